/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Stage l3: what a frame says above its Ethernet header (IPv4, RFC 791; IPv6, RFC 8200; TCP,
 * UDP, SCTP, ICMP), for the stages that judge packets. Only frames that meet a guard, a list,
 * a policy or a limit come here. All octets are copied once into per-CPU memory, so that it
 * does not matter how a frame lies in its buffers.
 */
#ifndef BPF_L3_H
#define BPF_L3_H

#include <linux/in.h>
#include <linux/in6.h>
#include "pkt.h"

#define L3_TAGS		   3  /* VLAN tags looked behind */
#define L3_EXTENSIONS	   8  /* IPv6 extension headers walked */
#define TCP_OPTIONS	   20 /* of a SYN, looked at */

#define ICMP_ECHO_REPLY	   0
#define ICMP_ECHO_REQUEST  8
#define ICMP6_ECHO_REQUEST 128
#define ICMP6_ECHO_REPLY   129

static __always_inline struct l3 *l3_of(bool from_host)
{
	__u32 place = from_host;

	return bpf_map_lookup_elem(&l3_scratch, &place);
}

static __always_inline __u16 get16(const __u8 *at)
{
	return at[0] << 8 | at[1];
}

static __always_inline __u32 get32(const __u8 *at)
{
	return (__u32)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

static __always_inline __u64 get64(const __u8 *at)
{
	return (__u64)get32(at) << 32 | get32(at + 4);
}

/*
 * Loops are in global functions, for the verifier to read them once, and where several ways
 * meet, numbers go by memory: it then does not follow each of their values.
 */

/* A SYN's window scale (RFC 7323, 2.2); its options are at head[at] up to head[end]. */
__noinline int l3_tcp_scale(__u32 place, __u32 at, __u32 end)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	__u32 length;

	if (!l)
		return FLOW_NO_SCALE;
	for (int i = 0; i < TCP_OPTIONS; i++) {
		WRITE_ONCE(l->scale, at);
		at = READ_ONCE(l->scale);
		if (at + 3 > end || at > L3_HEAD - 3 || !l->head[at])
			break;
		length = l->head[at] == 1 ? 1 : l->head[at + 1];
		if (l->head[at] == 3 && length == 3)
			return l->head[at + 2] > 14 ? 14 : l->head[at + 2];
		if (!length)
			break;
		at += length;
	}
	return FLOW_NO_SCALE;
}

static __always_inline bool l3_tcp(struct l3 *l, __u32 place, __u32 at, __u32 there)
{
	const __u8 *t = l->head + at;

	if (there < 20)
		return false;
	l->header = t[12] >> 4 << 2;
	if (l->header < 20)
		l->flags |= L3_BAD;
	if (l->header < 20 || l->header > there)
		return false;
	l->type = t[13];
	l->seq = get32(t + 4);
	l->ack = get32(t + 8);
	l->window = get16(t + 14);
	l->payload = there - l->header;
	if (l->type & 0x02)
		l->scale = l3_tcp_scale(place, at + 20, at + l->header);
	return true;
}

static __always_inline bool l3_udp(struct l3 *l, const __u8 *t, __u32 there)
{
	__u32 length = get16(t + 4);

	if (there < 8)
		return false;
	/* 0 is a jumbogram's (RFC 2675); a fragment's length is the datagram's, that of a GSO
	 * packet may be its segments' */
	if (length ? length < 8 || (length > there && !(l->flags & L3_FRAG)) : l->family == 4)
		l->flags |= L3_BAD;
	l->header = 8;
	return true;
}

static __always_inline bool l3_icmp(struct l3 *l, const __u8 *t, __u32 there)
{
	if (there < 8)
		return false;
	l->type = t[0];
	l->code = t[1];
	if (l->type == (l->family == 4 ? ICMP_ECHO_REQUEST : ICMP6_ECHO_REQUEST) ||
	    l->type == (l->family == 4 ? ICMP_ECHO_REPLY : ICMP6_ECHO_REPLY))
		l->icmp_id = get16(t + 4);
	else if (l->family == 4 ? l->type == 3 || l->type == 4 || l->type == 5 || l->type == 11 ||
					  l->type == 12
				: l->type < 128)
		l->flags |= L3_ERROR;
	l->header = 8;
	return true;
}

/* The transport header at head[at], of which `there` octets are in the packet. */
static __always_inline void l3_transport(struct l3 *l, __u32 place, __u32 at, __u32 there)
{
	const __u8 *t;

	if (at > L3_HEAD - 20)
		return;
	t = l->head + at;
	switch (l->proto) {
	case IPPROTO_TCP:
		if (!l3_tcp(l, place, at, there))
			return;
		break;
	case IPPROTO_UDP:
		if (!l3_udp(l, t, there))
			return;
		break;
	case IPPROTO_SCTP:
		if (there < 12)
			return;
		l->header = 12;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if ((l->proto == IPPROTO_ICMP) == (l->family == 4) && l3_icmp(l, t, there)) {
			l->flags |= L3_HAS_L4;
			l->key.misc |= ACL_MISC_L4(l->type) | ACL_MISC_HAS_L4;
		}
		return;
	default:
		return;
	}
	l->key.sport = get16(t);
	l->key.dport = get16(t + 2);
	l->flags |= L3_HAS_L4;
	l->key.misc |= ACL_MISC_L4(l->type) | ACL_MISC_HAS_L4;
}

/* Whether a protocol has a transport header that l3_transport() reads. */
static __always_inline bool l3_has_transport(__u8 family, __u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP ||
	       proto == (family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

/*
 * The packet behind its network header and extension headers, at octets `at` from the network
 * header on, of which a copy is at head[head]. start: where what is fragmented begins.
 */
__noinline int l3_upper(__u32 place, __u32 head, __u32 at, __u32 start)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	__u32 there;

	if (!l)
		return 0;
	there = l->length > at ? l->length - at : 0;
	l->l4 = l->offset + at;
	l->key.misc |= ACL_MISC_PROTO(l->proto);
	if (l->flags & L3_FRAG) {
		l->frag_length = l->length - start;
		if (l->frag_offset + l->frag_length > 0xffff)
			l->flags |= L3_BAD;
	}
	if (l->flags & L3_FRAG_LATER)
		return 0;
	l3_transport(l, place, head, there);
	l->frag_header = at - start + l->header;
	if (!(l->flags & (L3_HAS_L4 | L3_FRAG)) && l3_has_transport(l->family, l->proto))
		l->flags |= L3_BAD;
	return 0;
}

/* there: octets from the network header to the frame's end. big: a GSO packet. */
static __always_inline void l3_ipv4(struct l3 *l, __u32 place, __u32 there, bool big)
{
	const __u8 *h = l->head;
	__u32 header = (h[0] & 0xf) * 4, total = get16(h + 2), fragment = get16(h + 6);

	l->key.misc |= ACL_MISC_FAMILY(ACL_IP);
	l->family = 4;
	l->key.src[0] = (__u64)get32(h + 12) << 32;
	l->key.dst[0] = (__u64)get32(h + 16) << 32;
	l->proto = h[9];
	if (!total && big) /* above 64 KiB (BIG TCP) */
		total = there;
	l->length = total;
	if (there < 20 || h[0] >> 4 != 4 || header < 20 || total < header || total > there) {
		l->flags |= L3_BAD;
		return;
	}
	if (h[16] >= 224) /* 224.0.0.0/4, 255.255.255.255 */
		l->flags |= L3_GROUP;
	if (fragment & 0x3fff) {
		l->flags |= L3_FRAG;
		l->frag_id = get16(h + 4);
		l->frag_offset = (fragment & 0x1fff) * 8;
		if (l->frag_offset)
			l->flags |= L3_FRAG_LATER;
	}
	l3_upper(place, header, header, header);
}

/* n, which is from 1 to max: 6.1's verifier sees so of a sum only, right where it is used. */
static __always_inline __u32 l3_bound(__u32 n, __u32 max)
{
	n--;
	asm volatile("" : "+r"(n));
	if (n > max - 1)
		n = max - 1;
	return n + 1;
}

/* Copies n octets (1 at least) of the frame, `max` at most. Returns 0, or not: they are not all
 * there. */
static __always_inline long l3_copy(hook_ctx *ctx, __u32 offset, __u8 *to, __u32 n, __u32 max)
{
	return hook_load(ctx, offset, to, l3_bound(n, max));
}

/*
 * Walks the extension headers (RFC 8200, 4; AH: RFC 4302). Returns where they end, or 0. Leaves
 * in l3.frag_header where what is fragmented begins.
 */
__noinline int l3_extensions(hook_ctx *ctx, __u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	__u8 next, h[8];
	__u32 at = 40;

	if (!l)
		return 0;
	next = l->proto;
	for (int i = 0; i <= L3_EXTENSIONS; i++) {
		if (next != 0 && next != 43 && next != 44 && next != 51 && next != 60) {
			l->proto = next;
			return at;
		}
		if (at + 8 > l->length || hook_load(ctx, l->offset + at, h, 8))
			return 0;
		l->flags |= L3_EXTENDED;
		if (next == 44) {
			if (l->frag_header) /* nobody fragments fragments */
				return 0;
			at += 8;
			l->frag_header = at;
			l->frag_offset = get16(h + 2) & 0xfff8;
			l->frag_id = get32(h + 4);
			if (get16(h + 2) & 0xfff9) /* not an atomic one (RFC 6946) */
				l->flags |= L3_FRAG;
			if (l->frag_offset) {
				l->flags |= L3_FRAG_LATER;
				l->proto = h[0];
				return at;
			}
		} else {
			at += next == 51 ? (h[1] + 2) * 4 : (h[1] + 1) * 8;
		}
		next = h[0];
	}
	return 0;
}

static __always_inline void l3_ipv6(hook_ctx *ctx, struct l3 *l, __u32 place, __u32 there, bool big)
{
	const __u8 *h = l->head;
	__u32 total = get16(h + 4) + 40, at = 40;

	l->key.misc |= ACL_MISC_FAMILY(ACL_IP6);
	l->family = 6;
	l->key.src[0] = get64(h + 8);
	l->key.src[1] = get64(h + 16);
	l->key.dst[0] = get64(h + 24);
	l->key.dst[1] = get64(h + 32);
	l->proto = h[6];
	if (total == 40 && big) /* above 64 KiB (BIG TCP) */
		total = there;
	l->length = total;
	if (there < 40 || h[0] >> 4 != 6 || total > there) {
		l->flags |= L3_BAD;
		return;
	}
	if (h[24] == 0xff)
		l->flags |= L3_GROUP;
	if (!l3_has_transport(6, l->proto))
		at = l3_extensions(ctx, place);
	if (!at || at > l->length) {
		/* a first fragment that does not hold its whole chain (RFC 7112) is a tiny one */
		if (!(l->flags & L3_FRAG))
			l->flags |= L3_BAD;
		l->proto = IPPROTO_TCP;
		return;
	}
	if (at != 40 && at < l->length && !(l->flags & L3_FRAG_LATER) &&
	    l3_copy(ctx, l->offset + at, l->head + 40, l->length - at, L3_HEAD - 40))
		l->flags |= L3_BAD; /* the copy is made where it is looked for */
	l3_upper(place, 40, at, l->frag_header);
}

/* What follows an 802.3 length: LLC with a SNAP header, which may hide an ethertype (RFC 1042). */
struct l3_snap {
	__be32 llc; /* aa aa 03 00 */
	__be16 oui;
	__be16 proto;
};

/* The ethertype (network order) behind a tag or a SNAP header at *offset, or 0: it is neither. */
static __always_inline __u16 l3_behind(hook_ctx *ctx, __u16 proto, __u32 *offset)
{
	struct l3_snap snap;
	__be16 tag[2];

	if (is_vlan_proto(proto)) {
		*offset += sizeof(tag);
		return hook_load(ctx, *offset - sizeof(tag), tag, sizeof(tag)) ? 0xffff : tag[1];
	}
	if (bpf_ntohs(proto) >= ETH_P_802_3_MIN || hook_load(ctx, *offset, &snap, sizeof(snap)) ||
	    snap.llc != bpf_htonl(0xaaaa0300) || (snap.oui && snap.oui != bpf_htons(0xf8)))
		return 0;
	*offset += sizeof(snap);
	return snap.proto;
}

/* The ethertype behind tags and SNAP headers, network order, and above it its payload's offset. */
__noinline __u32 l3_ethertype(hook_ctx *ctx, __u32 offset, __u32 ethertype)
{
	__u16 proto = ethertype, behind;

	for (int i = 0; i < L3_TAGS; i++) {
		behind = l3_behind(ctx, proto, &offset);
		if (!behind)
			break;
		proto = behind;
	}
	return offset << 16 | proto;
}

/*
 * Reads the frame whose network header (or further tags) is at `offset` in its data, behind an
 * ethertype (network order), into l3_scratch[place]. A global function: the verifier reads it
 * once.
 */
__noinline int l3_read(hook_ctx *ctx, __u32 place, __u32 offset, __u32 ethertype)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	__u32 length, there, behind;
	__u16 proto = ethertype;

	if (!l)
		return 0;
	__builtin_memset(l, 0, offsetof(struct l3, head));
	if (proto != bpf_htons(ETH_P_IP) && proto != bpf_htons(ETH_P_IPV6)) {
		behind = l3_ethertype(ctx, offset, proto);
		proto = behind;
		offset = behind >> 16;
	}
	l->offset = offset;
	l->ethertype = bpf_ntohs(proto);
	if (is_vlan_proto(proto)) { /* receivers may look behind any number of tags */
		l->flags |= L3_BAD;
		return 0;
	}
	length = hook_length(ctx);
	there = length > offset ? length - offset : 0;
	length = there > L3_HEAD ? L3_HEAD : there;
	if (there && l3_copy(ctx, offset, l->head, there, L3_HEAD))
		l->flags |= L3_BAD;
	if (length < 40) /* what is read unasked is not of an earlier frame */
		__builtin_memset(l->head + length, 0, 40);
	if (proto == bpf_htons(ETH_P_IP))
		l3_ipv4(l, place, there, hook_is_gso(ctx));
	else if (proto == bpf_htons(ETH_P_IPV6))
		l3_ipv6(ctx, l, place, there, hook_is_gso(ctx));
	return 0;
}

/* Where what l3_scratch[place] quotes is kept, or NULL. */
static __always_inline struct l3 *l3_quoted_of(__u32 place)
{
	place += L3_QUOTED;
	return bpf_map_lookup_elem(&l3_scratch, &place);
}

/*
 * The packet that the ICMP error in l3_scratch[place] quotes (RFC 792; RFC 4443, 3): addresses,
 * protocol, ports or identifier, and where they are. Returns 0, or -1: it tells too little.
 */
__noinline int l3_quoted(hook_ctx *ctx, __u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place), *q = l3_quoted_of(place);
	__u32 header = 40;
	__u8 *h;

	if (!l || !q)
		return -1;
	h = q->head; /* not on the stack: there are long chains of calls above */
	if (hook_load(ctx, l->l4 + 8, h, 28))
		return -1;
	__builtin_memset(q, 0, offsetof(struct l3, head));
	q->family = l->family;
	q->offset = l->l4 + 8;
	if (l->family == 4) {
		header = (h[0] & 0xf) * 4;
		q->proto = h[9];
		q->key.src[0] = (__u64)get32(h + 12) << 32;
		q->key.dst[0] = (__u64)get32(h + 16) << 32;
		if (h[0] >> 4 != 4 || header < 20 || get16(h + 6) & 0x1fff)
			return -1;
	} else {
		if (hook_load(ctx, l->l4 + 8, h, 40) || h[0] >> 4 != 6)
			return -1;
		q->proto = h[6];
		q->key.src[0] = get64(h + 8);
		q->key.src[1] = get64(h + 16);
		q->key.dst[0] = get64(h + 24);
		q->key.dst[1] = get64(h + 32);
		if (q->proto == IPPROTO_FRAGMENT) { /* too big, perhaps: a first one has ports */
			header = 48;
			if (hook_load(ctx, q->offset + 40, h, 8) || get16(h + 2) & 0xfff8)
				return -1;
			q->proto = h[0];
		}
	}
	q->l4 = q->offset + header;
	/* what is behind the packet in its frame is not of the quote */
	if (q->l4 + 8 > l->offset + l->length || hook_load(ctx, q->l4, h, 8))
		return -1;
	q->flags = L3_HAS_L4;
	if (q->proto == (l->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
		q->type = h[0];
		q->icmp_id = get16(h + 4);
	} else if (l3_has_transport(l->family, q->proto)) {
		q->key.sport = get16(h);
		q->key.dport = get16(h + 2);
		q->seq = get32(h + 4);
	}
	return 0;
}

/* Fills pkt.l3. Returns CONTINUE; a frame that cannot be read has L3_BAD. */
static __always_inline enum verdict l3_parse(struct pkt *p)
{
	if (p->l3)
		return CONTINUE;
	l3_read(p->ctx, p->from_host, p->offset, p->proto);
	p->l3 = l3_of(p->from_host);
	if (!p->l3)
		return UPPER;
	p->l3->key.src_mac = p->src | ACL_KEY_ETHERTYPE(bpf_ntohs(p->proto));
	p->l3->key.dst_mac = p->dst | ACL_KEY_VID(p->vid);
	return CONTINUE;
}

#endif
