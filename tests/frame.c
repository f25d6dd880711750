// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The frame builder: see frame.h. */
#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include "octets.h"

#define PROTO_ICMP  1
#define PROTO_IGMP  2
#define PROTO_TCP   6
#define PROTO_UDP   17
#define PROTO_GRE   47
#define PROTO_ICMP6 58
#define PROTO_SCTP  132
#define PROTO_TEST  253

/* An address as text, NULL: the n-th of those that go without saying. */
static void put_ip(struct frame *f, int family, const char *text, int n)
{
	uint8_t addr[16] = {};
	size_t size = family == AF_INET ? 4 : 16;

	addr[0] = family == AF_INET ? 10 : 0xfd;
	addr[size - 1] = n;
	if (text)
		assert(inet_pton(family, text, addr) == 1);
	for (size_t i = 0; i < size; i++)
		put8(f, addr[i]);
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

static void put_option(struct frame *f, uint8_t type, mac_t mac)
{
	put8(f, type);
	put8(f, 1);
	put_mac(f, mac);
}

/* Neighbour discovery (RFC 4861, 4) and multicast listeners (RFC 2710, 3). */
static void put_icmp6(struct frame *f, const struct frame_spec *spec, size_t end, uint32_t pseudo)
{
	size_t l4 = f->len;

	put8(f, spec->icmp);
	put8(f, 0);
	put16(f, 0);
	put32(f, 0);
	if (spec->icmp == 134) {
		put32(f, 0);
		put32(f, 0);
	} else if (spec->icmp != 133) {
		put_ip(f, AF_INET6, spec->target ?: spec->sip, 1);
	}
	if (spec->icmp == 137)
		put_ip(f, AF_INET6, NULL, 9);
	if (spec->slla)
		put_option(f, 1, spec->slla);
	if (spec->tlla)
		put_option(f, 2, spec->tlla);
	if (spec->nonce)
		put_option(f, 14, 0x010203040506);
	if (spec->size)
		fill(f, end);
	checksum(f, spec->csum, l4 + 2, l4, pseudo, PROTO_ICMP6);
}

/* A transport header and its data, up to a frame of `end` octets. */
static void put_transport(struct frame *f, const struct frame_spec *spec, uint8_t proto, size_t end,
			  uint32_t pseudo)
{
	size_t l4 = f->len;

	if (proto == PROTO_ICMP6 && spec->icmp) {
		put_icmp6(f, spec, end, pseudo);
		return;
	}
	switch (proto) {
	case PROTO_TCP:
		put16(f, spec->sport ?: 40000);
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
		put16(f, spec->sport ?: 40000);
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
		put16(f, spec->sport ?: 40000);
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
	if (spec->frag)
		put16(f, (spec->frag & FRAG_MORE ? 0x2000 : 0) | spec->frag / 8);
	else
		put16(f, spec->fragment ? 0x2000 : 0x4000);
	put8(f, 64);
	put8(f, proto);
	put16(f, 0);
	put_ip(f, AF_INET, spec->sip, 1);
	put_ip(f, AF_INET, spec->dip, 2);
	if (spec->options)
		put32(f, 0x01010101);
	set16(f, ip + 10, ~fold(sum(f->data + ip, hlen)));
	pseudo = sum(f->data + ip + 12, 8);
	put_transport(f, spec, proto, end, pseudo);
}

/* An extension header (RFC 8200, 4; AH: RFC 4302, 2) before one of type `next`. */
static void put_extension(struct frame *f, const struct frame_spec *spec, uint8_t kind,
			  uint8_t next)
{
	size_t size = kind == EXT_LONG ? 128 : kind == EXT_AH ? 24 : 8;
	size_t end = f->len + size;

	put8(f, next);
	put8(f, kind == EXT_FRAGMENT ? 0 : kind == EXT_AH ? size / 4 - 2 : size / 8 - 1);
	if (kind == EXT_FRAGMENT) {
		put16(f, spec->frag);
		put32(f, 0x01020304);
	} else if (kind != EXT_ROUTE && kind != EXT_AH) { /* one option of padding */
		put8(f, 1);
		put8(f, size - 4);
	}
	while (f->len < end)
		put8(f, 0);
}

static void put_ipv6(struct frame *f, const struct frame_spec *spec, uint8_t proto, size_t end,
		     bool hop)
{
	static const uint8_t numbers[] = {[EXT_HOP] = 0, [EXT_ROUTE] = 43,   [EXT_FRAGMENT] = 44,
					  [EXT_AH] = 51, [EXT_OPTIONS] = 60, [EXT_LONG] = 60};
	const uint8_t hops[FRAME_EXTENSIONS] = {EXT_HOP}, *ext = hop ? hops : spec->extensions;
	size_t ip = f->len;

	put32(f, 0x60000000);
	put16(f, 0);
	put8(f, *ext ? numbers[*ext] : proto);
	put8(f, spec->icmp ? 255 : 64);
	put_ip(f, AF_INET6, spec->sip, 1);
	put_ip(f, AF_INET6, spec->dip, 2);
	for (int i = 0; i < FRAME_EXTENSIONS && ext[i]; i++) {
		bool last = i + 1 == FRAME_EXTENSIONS || !ext[i + 1];

		put_extension(f, spec, ext[i], last ? proto : numbers[ext[i + 1]]);
	}
	if (!spec->size)
		end += f->len - ip - 40;
	put_transport(f, spec, proto, end, sum(f->data + ip + 8, 32));
	set16(f, ip + 4, f->len - ip - 40);
}

/* Cuts a packet off, and makes its header say so. */
static void trim(struct frame *f, const struct frame_spec *spec, size_t ip)
{
	bool v4 = f->data[ip] >> 4 == 4;

	assert(ip + spec->trim <= f->len);
	f->len = ip + spec->trim;
	set16(f, v4 ? ip + 2 : ip + 4, v4 ? spec->trim : spec->trim - 40);
	if (!v4)
		return;
	set16(f, ip + 10, 0);
	set16(f, ip + 10, ~fold(sum(f->data + ip, (f->data[ip] & 0xf) * 4)));
}

static void put_arp(struct frame *f, const struct frame_spec *spec, size_t end)
{
	put16(f, 1);
	put16(f, 0x0800);
	put16(f, 0x0604);
	put16(f, spec->arp_op ?: 1);
	put_mac(f, spec->arp_src ?: spec->src);
	put_ip(f, AF_INET, spec->sip, 1);
	put_mac(f, 0);
	put_ip(f, AF_INET, spec->dip, 2);
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
	[RARP] = {0x8035, 0},
	[DATA6] = {0x86dd, PROTO_TEST},
};

static void put_headers(struct frame *f, const struct frame_spec *spec, uint16_t type)
{
	put_mac(f, spec->dst);
	put_mac(f, spec->src);
	for (int i = 0; i < FRAME_TAGS && spec->tags[i]; i++)
		put32(f, spec->tags[i]);
	if (spec->snap) {
		put16(f, 8 + (spec->size ?: 46));
		put32(f, 0xaaaa0300);
		put16(f, 0);
	}
	put16(f, type);
}

void frame_build(struct frame *f, const struct frame_spec *spec)
{
	uint16_t type = spec->payload == DATA ? spec->type ?: 0x88b5 : kinds[spec->payload].type;
	size_t least = type == 0x86dd && !spec->icmp ? 80 : 46, net, end;

	f->len = 0;
	put_headers(f, spec, type);
	net = f->len;
	end = net + (spec->size ?: least);
	if (spec->payload == ARP || spec->payload == RARP)
		put_arp(f, spec, end);
	else if (type == 0x0800 && spec->payload != DATA)
		put_ipv4(f, spec, kinds[spec->payload].proto, end);
	else if (type == 0x86dd && spec->payload != DATA)
		put_ipv6(f, spec, kinds[spec->payload].proto, end, spec->payload == HOP6);
	if (spec->trim)
		trim(f, spec, net);
	else
		fill(f, end);
	for (const struct patch *p = spec->patch; p < spec->patch + 4 && p->there; p++)
		f->data[net + p->at] = p->to;
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
