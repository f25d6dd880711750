// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The frame builder: see frame.h. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include "frame.h"

#define PROTO_ICMP  1
#define PROTO_IGMP  2
#define PROTO_TCP   6
#define PROTO_UDP   17
#define PROTO_GRE   47
#define PROTO_ICMP6 58
#define PROTO_SCTP  132

static void put8(struct frame *f, uint8_t v)
{
	assert(f->len < FRAME_MAX);
	f->data[f->len++] = v;
}

static void put16(struct frame *f, uint16_t v)
{
	put8(f, v >> 8);
	put8(f, v);
}

static void put32(struct frame *f, uint32_t v)
{
	put16(f, v >> 16);
	put16(f, v);
}

static void put_mac(struct frame *f, mac_t mac)
{
	put16(f, mac >> 32);
	put32(f, mac);
}

/* Octets that count up, to a frame of `end` octets. */
static void fill(struct frame *f, size_t end)
{
	for (uint8_t n = 0; f->len < end; n++)
		put8(f, n);
}

static void set16(struct frame *f, size_t at, uint16_t v)
{
	f->data[at] = v >> 8;
	f->data[at + 1] = v;
}

static uint32_t sum(const uint8_t *p, size_t n)
{
	uint32_t s = 0;

	for (size_t i = 0; i < n; i++)
		s += i % 2 ? p[i] : p[i] << 8;
	return s;
}

static uint16_t fold(uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

/* The transport checksum (RFC 1071) at `at`, over what starts at l4. */
static void checksum(struct frame *f, enum checksum how, size_t at, size_t l4, uint32_t pseudo,
		     uint8_t proto)
{
	uint32_t len = f->len - l4;
	uint16_t check = 0;

	set16(f, at, 0);
	switch (how) {
	case CSUM_RIGHT:
		check = ~fold(pseudo + proto + len + sum(f->data + l4, len));
		if (!check && proto == PROTO_UDP)
			check = 0xffff;
		break;
	case CSUM_PSEUDO:
		check = fold(pseudo + proto + len);
		break;
	case CSUM_PSEUDO_NOLEN:
		check = fold(pseudo + proto);
		break;
	case CSUM_ZERO:
		break;
	}
	set16(f, at, check);
}

/* A transport header and its data, up to a frame of `end` octets. */
static void put_transport(struct frame *f, const struct frame_spec *spec, uint8_t proto, size_t end,
			  uint32_t pseudo)
{
	size_t l4 = f->len;

	switch (proto) {
	case PROTO_TCP:
		put16(f, 40000);
		put16(f, spec->dport ?: 7);
		put32(f, 0x01020304);
		put32(f, 0x05060708);
		put16(f, 0x5010); /* 5 words, ACK */
		put16(f, 8192);
		put32(f, 0);
		fill(f, end);
		checksum(f, spec->csum, l4 + 16, l4, pseudo, proto);
		break;
	case PROTO_UDP:
		put16(f, 40000);
		put16(f, spec->dport ?: 7);
		put16(f, end - l4);
		put16(f, 0);
		fill(f, end);
		checksum(f, spec->csum, l4 + 6, l4, pseudo, proto);
		break;
	case PROTO_ICMP:
	case PROTO_ICMP6:
		put16(f, proto == PROTO_ICMP ? 0x0800 : 0x8000);
		put16(f, 0);
		fill(f, end);
		checksum(f, spec->csum, l4 + 2, l4,
			 proto == PROTO_ICMP ? -proto - (end - l4) : pseudo, proto);
		break;
	case PROTO_SCTP:
		put16(f, 40000);
		put16(f, spec->dport ?: 7);
		put32(f, 0x0badcafe);
		put32(f, spec->csum == CSUM_RIGHT ? 0x12345678 : 0); /* not a CRC, but not left */
		fill(f, end);
		break;
	default:
		fill(f, end);
	}
}

static void put_ipv4(struct frame *f, const struct frame_spec *spec, uint8_t proto, size_t end)
{
	size_t ip = f->len, hlen = spec->options ? 24 : 20;
	uint32_t pseudo;

	put8(f, 0x40 | hlen / 4);
	put8(f, 0);
	put16(f, end - ip);
	put16(f, 0x1234);
	put16(f, spec->fragment ? 0x2000 : 0x4000);
	put8(f, 64);
	put8(f, proto);
	put16(f, 0);
	put32(f, 0x0a000001);
	put32(f, 0x0a000002);
	if (spec->options)
		put32(f, 0x01010101);
	set16(f, ip + 10, ~fold(sum(f->data + ip, hlen)));
	pseudo = sum(f->data + ip + 12, 8);
	put_transport(f, spec, proto, end, pseudo);
}

static void put_ipv6(struct frame *f, const struct frame_spec *spec, uint8_t proto, size_t end,
		     bool hop)
{
	size_t ip = f->len;

	put32(f, 0x60000000);
	put16(f, end - ip - 40);
	put8(f, hop ? 0 : proto);
	put8(f, 64);
	for (int i = 1; i <= 2; i++) {
		put32(f, 0xfd000000);
		put32(f, 0);
		put32(f, 0);
		put32(f, i);
	}
	if (hop) {
		put16(f, proto << 8);
		put16(f, 0x0104);
		put32(f, 0);
	}
	put_transport(f, spec, proto, end, sum(f->data + ip + 8, 32));
}

static void put_arp(struct frame *f, const struct frame_spec *spec, size_t end)
{
	put16(f, 1);
	put16(f, 0x0800);
	put16(f, 0x0604);
	put16(f, 1);
	put_mac(f, spec->src);
	put32(f, 0x0a000001);
	put_mac(f, 0);
	put32(f, 0x0a000002);
	fill(f, end);
}

static const struct {
	uint16_t type;
	uint8_t proto;
} kinds[] = {
	[ARP] = {0x0806, 0},
	[UDP4] = {0x0800, PROTO_UDP},
	[TCP4] = {0x0800, PROTO_TCP},
	[ICMP4] = {0x0800, PROTO_ICMP},
	[IGMP4] = {0x0800, PROTO_IGMP},
	[SCTP4] = {0x0800, PROTO_SCTP},
	[GRE4] = {0x0800, PROTO_GRE},
	[UDP6] = {0x86dd, PROTO_UDP},
	[TCP6] = {0x86dd, PROTO_TCP},
	[ICMP6] = {0x86dd, PROTO_ICMP6},
	[HOP6] = {0x86dd, PROTO_TCP},
};

void frame_build(struct frame *f, const struct frame_spec *spec)
{
	uint16_t type = spec->payload == DATA ? spec->type ?: 0x88b5 : kinds[spec->payload].type;
	size_t least = type == 0x86dd ? 80 : 46, end;

	f->len = 0;
	put_mac(f, spec->dst);
	put_mac(f, spec->src);
	for (int i = 0; i < FRAME_TAGS && spec->tags[i]; i++)
		put32(f, spec->tags[i]);
	put16(f, type);
	end = f->len + (spec->size ?: least);
	if (spec->payload == ARP)
		put_arp(f, spec, end);
	else if (type == 0x0800 && spec->payload != DATA)
		put_ipv4(f, spec, kinds[spec->payload].proto, end);
	else if (type == 0x86dd && spec->payload != DATA)
		put_ipv6(f, spec, kinds[spec->payload].proto, end, spec->payload == HOP6);
	fill(f, end);
	if (spec->cut) {
		assert(spec->cut <= f->len);
		f->len = spec->cut;
	}
}

void frame_mac(uint8_t out[6], mac_t mac)
{
	for (int i = 0; i < 6; i++)
		out[i] = mac >> (40 - 8 * i);
}

void frame_push(struct frame *f, uint32_t tag)
{
	uint8_t field[4] = {tag >> 24, tag >> 16, tag >> 8, tag};

	assert(f->len >= 12 && f->len + 4 <= FRAME_MAX);
	memmove(f->data + 16, f->data + 12, f->len - 12);
	memcpy(f->data + 12, field, 4);
	f->len += 4;
}

void frame_pop(struct frame *f)
{
	assert(f->len >= 16);
	memmove(f->data + 12, f->data + 16, f->len - 16);
	f->len -= 4;
}

bool frame_equal(const struct frame *a, const struct frame *b)
{
	return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

const char *frame_text(const struct frame *f)
{
	static char buf[4][64 * 2 + 64];
	static int turn;
	char *s = buf[turn++ % 4];
	int n = sprintf(s, "%zu:", f->len);

	for (size_t i = 0; i < f->len && i < 64; i++)
		n += sprintf(s + n, i == 6 || i == 12 ? " %02x" : "%02x", f->data[i]);
	if (f->len > 64)
		sprintf(s + n, "...");
	return s;
}
