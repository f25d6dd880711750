// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* See nat_frame.h. */
#include <arpa/inet.h>
#include <string.h>
#include "nat_frame.h"
#include "octets.h"

#define PROTO_ICMP     1
#define PROTO_TCP      6
#define PROTO_UDP      17
#define PROTO_FRAGMENT 44
#define PROTO_GRE      47
#define PROTO_ICMP6    58

#define TCP_SYN	       0x02
#define TCP_ACK	       0x10

#define PORT	       4000
#define MOVED	       30000 /* and the next one, by the parity of the VM's port */
#define SERVER_PORT    53
#define DATA_SIZE      32
#define EXTENDED_QUOTE 128 /* RFC 4884, 4: at least */

/* A form of a packet. */
struct form {
	const struct nat_kind *k;
	enum seen seen;
	enum seen tuned; /* in which form a checksum is 0 */
	bool probe;	 /* to find out what makes it so */
};

static const char *const addresses[][2][2] = {
	[VM] = {{"192.168.50.90", "10.0.0.100"}, {"fd00:50::90", "fd00::100"}},
	[SERVER] = {{"10.0.0.210", "10.0.0.210"}, {"fd00::210", "fd00::210"}},
	[ROUTER] = {{"10.0.0.211", "10.0.0.211"}, {"fd00::211", "fd00::211"}},
	[NEIGHBOUR] = {{"192.168.50.77", "10.0.0.100"}, {"fd00:50::77", "fd00::100"}},
	[PRIVATE] = {{"192.168.50.90", "192.168.50.90"}, {"fd00:50::90", "fd00:50::90"}},
};

static void put_packet(struct frame *f, const struct form *o, const struct nat_packet *p);

const char *nat_frame_address(const struct nat_kind *k, enum who who, enum seen seen)
{
	return addresses[who][k->six][seen];
}

uint16_t nat_frame_port(const struct nat_kind *k, uint16_t vm_port)
{
	return k->moved ? MOVED + (vm_port & 1) : vm_port;
}

static enum who sender(const struct nat_packet *p)
{
	return p->from ?: p->back ? SERVER : VM;
}

static enum who receiver(const struct nat_packet *p)
{
	return p->to ?: p->back ? VM : SERVER;
}

/* ---- network headers ---- */

static void put_address(struct frame *f, const struct form *o, enum who who)
{
	size_t size = o->k->six ? 16 : 4;

	assert(f->len + size <= FRAME_MAX);
	assert(inet_pton(o->k->six ? AF_INET6 : AF_INET, nat_frame_address(o->k, who, o->seen),
			 f->data + f->len) == 1);
	f->len += size;
}

static uint8_t proto_of(const struct form *o, const struct nat_packet *p)
{
	switch (p->carries) {
	case UDP:
		return PROTO_UDP;
	case TCP:
		return PROTO_TCP;
	case TUNNEL:
		return PROTO_GRE;
	default:
		return o->k->six ? PROTO_ICMP6 : PROTO_ICMP;
	}
}

/* Without length and checksum. */
static void put_ipv4(struct frame *f, const struct form *o, const struct nat_packet *p)
{
	static const uint8_t options[] = {7, 7, 4, 0, 0, 0, 0, 1}; /* an empty record route */

	put16(f, p->options ? 0x4700 : 0x4500);
	put16(f, 0);
	put16(f, 0x1234);
	put16(f, p->pieces == 2 ? 185 : p->pieces == 1 ? 0x2000 : 0x4000);
	put8(f, p->hops ?: 64);
	put8(f, proto_of(o, p));
	put16(f, 0);
	put_address(f, o, sender(p));
	put_address(f, o, receiver(p));
	for (size_t i = 0; p->options && i < sizeof(options); i++)
		put8(f, options[i]);
}

/* Without length. */
static void put_ipv6(struct frame *f, const struct form *o, const struct nat_packet *p)
{
	put32(f, 0x60012345);
	put16(f, 0);
	put8(f, p->pieces ? PROTO_FRAGMENT : proto_of(o, p));
	put8(f, p->hops ?: 64);
	put_address(f, o, sender(p));
	put_address(f, o, receiver(p));
	if (!p->pieces)
		return;
	put8(f, proto_of(o, p));
	put8(f, 0);
	put16(f, p->pieces == 2 ? 185 * 8 : 1);
	put32(f, 0x12345678);
}

/* Octets of the network header without options or extension headers. */
static size_t header_of(const struct form *o)
{
	return o->k->six ? 40 : 20;
}

static void finish_network(struct frame *f, const struct form *o, const struct nat_packet *p,
			   size_t ip, size_t l4)
{
	if (o->k->six) {
		set16(f, ip + 4, f->len - ip - 40);
		return;
	}
	set16(f, ip + 2, f->len - ip);
	set16(f, ip + 10, ~fold(sum(f->data + ip, l4 - ip) + p->header_error));
}

/* ---- what is in them ---- */

static uint16_t port_of(const struct form *o, const struct nat_packet *p, bool vm)
{
	uint16_t port = p->vm_port ?: PORT;

	if (!vm)
		return p->server_port ?: SERVER_PORT;
	return o->seen == OUTSIDE ? nat_frame_port(o->k, port) : port;
}

/* The word of the data with which a form's checksum is 0: it adds what the others lack. */
static uint16_t tuning(const struct form *o, const struct nat_packet *p)
{
	struct form probe = *o;
	struct frame f;
	size_t check;

	f.len = 0;
	probe.seen = o->tuned;
	probe.probe = true;
	put_packet(&f, &probe, p);
	check = header_of(o) + 6;
	return f.data[check] << 8 | f.data[check + 1];
}

static void put_data(struct frame *f, const struct form *o, const struct nat_packet *p)
{
	size_t end = f->len + (p->size ?: DATA_SIZE);

	if (p->zero)
		put16(f, o->probe ? 0 : tuning(o, p));
	fill(f, end);
}

static void put_tcp(struct frame *f, const struct form *o, const struct nat_packet *p)
{
	bool vm = !p->back;
	uint8_t flags = p->tcp ?: TCP_ACK;

	put16(f, port_of(o, p, vm));
	put16(f, port_of(o, p, !vm));
	put32(f, (vm ? 1001 : 5001) - !!(flags & TCP_SYN));
	put32(f, !(flags & TCP_ACK) ? 0 : vm ? 5001 : 1001);
	put8(f, 0x50);
	put8(f, flags);
	put16(f, 8192);
	put32(f, 0);
	if (!(flags & TCP_SYN))
		put_data(f, o, p);
}

static void put_udp(struct frame *f, const struct form *o, const struct nat_packet *p)
{
	bool vm = !p->back;
	size_t l4 = f->len;

	put16(f, port_of(o, p, vm));
	put16(f, port_of(o, p, !vm));
	put32(f, 0);
	put_data(f, o, p);
	set16(f, l4 + 4, f->len - l4);
}

static void put_echo(struct frame *f, const struct form *o, const struct nat_packet *p)
{
	bool vm = !p->back;

	if (o->k->six)
		put8(f, vm ? 128 : 129);
	else
		put8(f, vm ? 8 : 0);
	put8(f, 0);
	put16(f, 0);
	put16(f, port_of(o, p, true));
	put16(f, 1);
	put_data(f, o, p);
}

/* An extension structure with one object, an MPLS label (RFC 4884, 7 and 8; RFC 4950). */
static void put_extension(struct frame *f)
{
	size_t at = f->len;

	put16(f, 0x2000);
	put16(f, 0);
	put16(f, 8);
	put16(f, 0x0101);
	put32(f, 0x12345140);
	set16(f, at + 2, ~fold(sum(f->data + at, f->len - at)));
}

static void put_quote(struct frame *f, const struct form *o, const struct nat_packet *p)
{
	size_t size, from = f->len;
	struct frame q;

	q.len = 0;
	if (p->quote)
		put_packet(&q, o, p->quote);
	size = header_of(o) + (p->quote && p->quote->options ? 8 : 0) + p->quoted;
	if (!p->quoted || size > q.len)
		size = q.len;
	if (p->extended && size > EXTENDED_QUOTE)
		size = EXTENDED_QUOTE;
	size = size > p->cut ? size - p->cut : 0;
	for (size_t i = 0; i < size; i++)
		put8(f, q.data[i]);
	if (!p->extended)
		return;
	while (f->len < from + EXTENDED_QUOTE)
		put8(f, 0);
	f->data[from - (o->k->six ? 4 : 3)] = EXTENDED_QUOTE / (o->k->six ? 8 : 4);
	put_extension(f);
}

static void put_error(struct frame *f, const struct form *o, const struct nat_packet *p)
{
	put8(f, p->type);
	put8(f, p->code);
	put16(f, 0);
	put32(f, p->rest);
	put_quote(f, o, p);
}

/* The checksum of what starts at l4, of all octets from there on (RFC 1071). */
static void checksum(struct frame *f, const struct form *o, const struct nat_packet *p, size_t ip,
		     size_t l4)
{
	static const uint8_t places[] = {[UDP] = 6, [TCP] = 16, [ECHO] = 2, [ERROR] = 2};
	uint8_t proto = proto_of(o, p);
	uint32_t s = sum(f->data + l4, f->len - l4) + p->error;
	uint16_t check;

	if (p->carries == TUNNEL || (p->carries == UDP && p->unsummed))
		return;
	if (proto != PROTO_ICMP) { /* a pseudo header */
		s += o->k->six ? sum(f->data + ip + 8, 32) : sum(f->data + ip + 12, 8);
		s += proto + f->len - l4;
	}
	check = ~fold(s);
	if (p->carries == UDP && !check)
		check = 0xffff;
	set16(f, l4 + places[p->carries], check);
}

static void put_packet(struct frame *f, const struct form *o, const struct nat_packet *p)
{
	size_t ip = f->len, l4;

	if (o->k->six)
		put_ipv6(f, o, p);
	else
		put_ipv4(f, o, p);
	l4 = f->len;
	switch (p->carries) {
	case UDP:
		put_udp(f, o, p);
		break;
	case TCP:
		put_tcp(f, o, p);
		break;
	case ECHO:
		put_echo(f, o, p);
		break;
	case ERROR:
		put_error(f, o, p);
		break;
	case TUNNEL:
		put_data(f, o, p);
		break;
	}
	checksum(f, o, p, ip, l4);
	finish_network(f, o, p, ip, l4);
}

/* In which form a packet's, or its quote's, checksum is 0. */
static enum seen tuned(const struct nat_packet *p, bool out)
{
	enum zero zero = p->quote ? p->quote->zero : p->zero;

	return out == (zero == ZERO_BEFORE) ? INSIDE : OUTSIDE;
}

static void put_macs(struct frame *f, const struct nat_kind *k, const struct nat_packet *p,
		     bool out, enum seen seen)
{
	if (seen == OUTSIDE) {
		put_mac(f, out ? k->wire : k->host);
		put_mac(f, out ? k->host : k->wire);
	} else {
		put_mac(f, out ? k->gateway : k->vm);
		put_mac(f, !out ? k->gateway : p->from == NEIGHBOUR ? k->neighbour : k->vm);
	}
}

void nat_frame(struct frame *f, const struct nat_kind *k, const struct nat_packet *p, bool out,
	       bool translated)
{
	struct form o = {
		.k = k,
		.seen = out != translated ? INSIDE : OUTSIDE,
		.tuned = tuned(p, out),
	};
	struct nat_packet passed = *p;

	if (translated)
		passed.hops = (p->hops ?: 64) - 1;
	f->len = 0;
	put_macs(f, k, p, out, o.seen);
	put16(f, k->six ? 0x86dd : 0x0800);
	put_packet(f, &o, &passed);
	for (uint16_t i = 0; i < p->trailer; i++)
		put8(f, 0xa5 + i);
}
