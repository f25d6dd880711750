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

#define L3_TAGS		   3 /* VLAN tags looked behind */
#define L3_EXTENSIONS	   8 /* IPv6 extension headers walked */

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

/* The transport header at head[at], of which `there` octets are in the packet. */
static __always_inline void l3_transport(struct l3 *l, __u32 at, __u32 there)
{
	const __u8 *t;

	if (at > L3_HEAD - 20)
		return;
	t = l->head + at;
	switch (l->proto) {
	case IPPROTO_TCP:
		if (there < 20)
			return;
		l->header = t[12] >> 4 << 2;
		l->type = t[13];
		l->seq = get32(t + 4);
		l->ack = get32(t + 8);
		l->window = get16(t + 14);
		if (l->header < 20 || l->header > there) {
			l->flags |= L3_BAD;
			return;
		}
		l->payload = there - l->header;
		break;
	case IPPROTO_UDP:
		if (there < 8)
			return;
		if (get16(t + 4) < 8 && get16(t + 4)) /* 0: a jumbogram (RFC 2675) */
			l->flags |= L3_BAD;
		if (!(l->flags & L3_FRAG) && get16(t + 4) > there)
			l->flags |= L3_BAD;
		break;
	case IPPROTO_SCTP:
		if (there < 12)
			return;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (there < 8 || (l->proto == IPPROTO_ICMP) != (l->family == 4))
			return;
		l->type = t[0];
		l->code = t[1];
		if (l->type == (l->family == 4 ? ICMP_ECHO_REQUEST : ICMP6_ECHO_REQUEST) ||
		    l->type == (l->family == 4 ? ICMP_ECHO_REPLY : ICMP6_ECHO_REPLY))
			l->icmp_id = get16(t + 4);
		else if (l->family == 4 ? l->type == 3 || l->type == 4 || l->type == 5 ||
						  l->type == 11 || l->type == 12
					: l->type < 128)
			l->flags |= L3_ERROR;
		l->flags |= L3_HAS_L4;
		l->key.misc |= ACL_MISC_L4(l->type) | ACL_MISC_HAS_L4;
		return;
	default:
		return;
	}
	l->key.sport = get16(t);
	l->key.dport = get16(t + 2);
	l->flags |= L3_HAS_L4;
	l->key.misc |= ACL_MISC_L4(l->proto == IPPROTO_TCP ? l->type : 0) | ACL_MISC_HAS_L4;
}

/* Whether a protocol has a transport header that l3_transport() reads. */
static __always_inline bool l3_has_transport(__u8 family, __u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP ||
	       proto == (family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

/* The transport header of a packet whose fixed part is done. at: from the network header on. */
static __always_inline void l3_upper(struct l3 *l, __u32 head, __u32 at)
{
	__u32 there = l->length > at ? l->length - at : 0;

	l->l4 = l->offset + at;
	l->key.misc |= ACL_MISC_PROTO(l->proto);
	if (l->flags & L3_FRAG)
		l->frag_length = there;
	if (l->flags & L3_FRAG_LATER)
		return;
	l3_transport(l, head, there);
	if (!(l->flags & (L3_HAS_L4 | L3_FRAG)) && l3_has_transport(l->family, l->proto))
		l->flags |= L3_BAD;
}

/* there: octets from the network header to the frame's end. */
static __always_inline void l3_ipv4(struct l3 *l, __u32 there)
{
	const __u8 *h = l->head;
	__u32 header = (h[0] & 0xf) * 4, total = get16(h + 2), fragment = get16(h + 6);

	l->key.misc |= ACL_MISC_FAMILY(ACL_IP);
	l->family = 4;
	l->key.src[0] = (__u64)get32(h + 12) << 32;
	l->key.dst[0] = (__u64)get32(h + 16) << 32;
	l->proto = h[9];
	if (!total) /* a GSO packet above 64 KiB (BIG TCP) */
		total = there;
	l->length = total > 0xffff ? 0xffff : total;
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
	l3_upper(l, header, header);
}

/* Walks the extension headers (RFC 8200, 4; AH: RFC 4302). Returns where they end, or 0. */
static __always_inline __u32 l3_extensions(hook_ctx *ctx, struct l3 *l)
{
	__u32 at = 40, length;
	__u8 next = l->proto, h[8];

	for (int i = 0; i < L3_EXTENSIONS; i++) {
		if (next != 0 && next != 43 && next != 44 && next != 51 && next != 60 &&
		    next != 135) {
			l->proto = next;
			return at;
		}
		if (at + 8 > l->length || hook_load(ctx, l->offset + at, h, 8))
			return 0;
		length = next == 51 ? (h[1] + 2) * 4 : (h[1] + 1) * 8;
		l->flags |= L3_EXTENDED;
		if (next == 44) {
			length = 8;
			l->frag_offset = get16(h + 2) & 0xfff8;
			l->frag_id = get32(h + 4);
			if (get16(h + 2) & 0xfff9) /* not an atomic one (RFC 6946) */
				l->flags |= L3_FRAG;
			if (l->frag_offset) {
				l->flags |= L3_FRAG_LATER;
				l->proto = h[0];
				return at + length;
			}
		}
		next = h[0];
		at += length;
	}
	return 0;
}

static __always_inline void l3_ipv6(hook_ctx *ctx, struct l3 *l, __u32 there)
{
	const __u8 *h = l->head;
	__u32 total = get16(h + 4) + 40, at = 40, n;

	l->key.misc |= ACL_MISC_FAMILY(ACL_IP6);
	l->family = 6;
	l->key.src[0] = get64(h + 8);
	l->key.src[1] = get64(h + 16);
	l->key.dst[0] = get64(h + 24);
	l->key.dst[1] = get64(h + 32);
	l->proto = h[6];
	if (total == 40) /* a jumbogram, or a GSO packet above 64 KiB */
		total = there;
	l->length = total > 0xffff ? 0xffff : total;
	if (there < 40 || h[0] >> 4 != 6 || total > there) {
		l->flags |= L3_BAD;
		return;
	}
	if (h[24] == 0xff)
		l->flags |= L3_GROUP;
	if (!l3_has_transport(6, l->proto))
		at = l3_extensions(ctx, l);
	if (!at || at > l->length) {
		l->flags |= L3_BAD;
		return;
	}
	if (at != 40 &&
	    !(l->flags & L3_FRAG_LATER)) { /* the transport header, to where it is looked for */
		n = l->length - at;
		if (n > 32)
			n = 32;
		if (n && hook_load(ctx, l->offset + at, l->head + 40, n))
			l->flags |= L3_BAD;
	}
	l3_upper(l, 40, at);
}

/*
 * Reads the frame whose network header (or further tags) is at `offset` in its data, behind an
 * ethertype (network order), into l3_scratch[place]. A global function: the verifier reads it once.
 */
__noinline int l3_read(hook_ctx *ctx, __u32 place, __u32 offset, __u32 ethertype)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	__u16 proto = ethertype;
	__u32 length, there;
	struct {
		__be16 tci;
		__be16 proto;
	} tag;

	if (!l)
		return 0;
	__builtin_memset(l, 0, offsetof(struct l3, head));
	length = hook_length(ctx);
	for (int i = 0; i < L3_TAGS && is_vlan_proto(proto); i++) {
		if (hook_load(ctx, offset, &tag, sizeof(tag))) {
			l->flags |= L3_BAD;
			return 0;
		}
		proto = tag.proto;
		offset += sizeof(tag);
	}
	l->offset = offset;
	l->ethertype = bpf_ntohs(proto);
	there = length > offset ? length - offset : 0;
	length = there > L3_HEAD ? L3_HEAD : there;
	if (length - 1 < L3_HEAD && hook_load(ctx, offset, l->head, length))
		l->flags |= L3_BAD;
	if (length < L3_HEAD && length < 40) /* what is read unasked is not of an earlier frame */
		__builtin_memset(l->head + length, 0, L3_HEAD - 40);
	if (proto == bpf_htons(ETH_P_IP))
		l3_ipv4(l, there);
	else if (proto == bpf_htons(ETH_P_IPV6))
		l3_ipv6(ctx, l, there);
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
