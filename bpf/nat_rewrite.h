/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The other endpoint into a packet, and into what an ICMP error quotes. */
#ifndef BPF_NAT_REWRITE_H
#define BPF_NAT_REWRITE_H

#include "nat.h"
#include "offload.h"

/* Where a transport checksum is in its header, 0: there is none to be changed. */
static __always_inline __u32 nat_check_at(const struct l3 *l)
{
	if (l->flags & L3_FRAG_LATER || !(l->flags & L3_HAS_L4))
		return 0;
	switch (l->proto) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
		return 6;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 2;
	default:
		return 0;
	}
}

/* A packet's new header fields, as they are in it. */
struct nat_fields {
	__be32 addr[4];
	__be16 port;
	__be16 old_port;
};

/*
 * SCTP's checksum (RFC 9260, appendix A) is a CRC32c of the whole packet, which is linear: what
 * changes in it is the CRC of the change alone, a port of 16 bits with so many octets behind. To
 * append a zero octet is a multiplication by x^8, which is repeated by squares. Bits are reflected.
 */
#define CRC32C 0x82f63b78

/*
 * The lowest bit, as a factor. Neither a branch nor a mask of all bits or none: the verifier would
 * follow both ways of each (6.18 does so with masks).
 */
static __always_inline __u32 crc_bit(__u32 bits)
{
	bits &= 1;
	asm volatile("" : "+r"(bits));
	return bits;
}

/* a * b modulo the polynomial. */
__noinline __u32 crc_multiply(__u32 a, __u32 b)
{
	__u32 product = 0;

	for (int i = 0; i < 32; i++) {
		product ^= crc_bit(a >> 31) * b;
		a <<= 1;
		b = b >> 1 ^ crc_bit(b) * CRC32C;
	}
	return product;
}

/* What changes in a CRC when `diff` (the octets as they lie, exclusive or) is in front of n octets.
 */
__noinline __u32 nat_crc_diff(__u32 diff, __u32 n)
{
	__u32 crc = diff & 0xffff, square = 0x00800000; /* x^8 */

	for (int i = 0; i < 16; i++)
		crc = crc >> 1 ^ crc_bit(crc) * CRC32C;
	for (int i = 0; i < 16; i++) {
		crc ^= (crc_multiply(crc, square) ^ crc) * crc_bit(n >> i);
		square = crc_multiply(square, square);
	}
	return crc;
}

/* Likewise, into the packet: unless its checksum is left to the hardware. */
static __always_inline int nat_rewrite_sctp(struct __sk_buff *skb, const struct l3 *l,
					    const struct nat_fields *to, __u32 at)
{
	__u32 crc, length = l->offset + l->length - l->l4;

	if (hook_load(skb, l->l4 + 8, &crc, 4))
		return -1;
	if (!crc)
		return 0;
	crc ^= nat_crc_diff(to->old_port ^ to->port, length - at - 2);
	return bpf_skb_store_bytes(skb, l->l4 + 8, &crc, 4, 0);
}

/* The transport header's new port, and its checksum. sum: what the address adds to it. */
static __always_inline int nat_rewrite_l4(struct __sk_buff *skb, const struct l3 *l,
					  const struct nat_fields *to, __u32 at, __s64 sum)
{
	__u32 check = nat_check_at(l);
	__u64 zero = l->proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;

	if (check && !(l->family == 4 && l->proto == IPPROTO_ICMP) &&
	    bpf_l4_csum_replace(skb, l->l4 + check, 0, sum, BPF_F_PSEUDO_HDR | zero))
		return -1;
	if (to->port == to->old_port)
		return 0;
	if (l->proto == IPPROTO_SCTP && nat_rewrite_sctp(skb, l, to, at))
		return -1;
	if (check && bpf_l4_csum_replace(skb, l->l4 + check, to->old_port, to->port, 2 | zero))
		return -1;
	return bpf_skb_store_bytes(skb, l->l4 + at, &to->port, 2, 0);
}

/* The network header's new address and hop count. */
static __always_inline int nat_rewrite_l3(struct __sk_buff *skb, struct l3 *l,
					  const struct nat_fields *to, bool in, __s64 *sum)
{
	bool hop = l->nat < NAT_HOST_OUT;
	__u8 *h = l->head;
	__u32 check;

	if (l->family == 4) {
		__be32 *addr = (__be32 *)(h + (in ? 16 : 12)), before = *(__be32 *)(h + 8);

		*sum = bpf_csum_diff(addr, 4, (__be32 *)to->addr, 4, 0);
		*addr = to->addr[0];
		h[8] -= hop;
		check = csum_fold32((__u64)(__u16) ~*(__u16 *)(h + 10) + csum_fold32(*sum) +
				    (__u16) ~(before & 0xffff) + *(__u16 *)(h + 8));
		*(__u16 *)(h + 10) = ~check;
		return bpf_skb_store_bytes(skb, l->offset + 8, h + 8, 12, 0);
	}
	*sum = bpf_csum_diff((__be32 *)(h + (in ? 24 : 8)), 16, (__be32 *)to->addr, 16, 0);
	h[7] -= hop;
	return bpf_skb_store_bytes(skb, l->offset + 7, h + 7, 1, 0)
		       ?: bpf_skb_store_bytes(skb, l->offset + (in ? 24 : 8), to->addr, 16, 0);
}

/* A field of 16 bits in what an error quotes, before and after, and where it is. */
struct nat_field {
	__u32 at;
	__be16 old;
	__be16 new;
};

/* Changes a field; *sum: what the error's own checksum has to learn. Returns 0, or -1. */
static __always_inline int nat_field(struct __sk_buff *skb, const struct nat_field *f, __u64 *sum)
{
	*sum += (__u16)~f->old + f->new;
	return f->old == f->new ? 0 : bpf_skb_store_bytes(skb, f->at, &f->new, 2, 0);
}

/* A checksum in what the error l quotes, if it got that far. add: what has changed that it covers. */
static __always_inline int nat_quoted_check(struct __sk_buff *skb, const struct l3 *l, __u32 at,
					    __u32 add, bool udp, __u64 *sum)
{
	struct nat_field f = {.at = at};

	if (at + 2 > l->offset + l->length || hook_load(skb, at, &f.old, 2) || (udp && !f.old))
		return 0;
	f.new = ~csum_fold32((__u64)(__u16)~f.old + add);
	if (udp && !f.new) /* there would be none (RFC 768) */
		f.new = 0xffff;
	return nat_field(skb, &f, sum);
}

/*
 * The packet that an error quotes gets the endpoint that its receiver knows (RFC 5508, REQ-4,
 * REQ-5): coming in, its source; going out, its destination. addr: in network order.
 */
__noinline int nat_rewrite_quoted(struct __sk_buff *skb, __u32 place, __u32 in)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct l3 *q = l3_quoted_of(place);
	__be32 old[4] = {}, new[4];
	struct nat_field port;
	__u32 at, size, add, check;
	struct nat_addr *a;
	__u64 sum = 0;

	if (!l || !q)
		return -1;
	a = nat_addr(l->nat_addr);
	if (!a)
		return -1;
	nat_wire_addr(new, in ? l->inside : a->addr, l->family);
	port.new = bpf_htons(in ? l->inside_port : l->nat_port);
	size = l->family == 4 ? 4 : 16;
	at = q->offset + (l->family == 4 ? (in ? 12 : 16) : (in ? 8 : 24));
	port.at = q->l4 + (flow_icmp(q) ? 4 : in ? 0 : 2);
	if (hook_load(skb, at, old, l3_bound(size, 16)) || hook_load(skb, port.at, &port.old, 2))
		return -1;
	add = csum_fold32(bpf_csum_diff(old, 16, new, 16, 0));
	sum = add;
	if (bpf_skb_store_bytes(skb, at, new, l3_bound(size, 16), 0) || nat_field(skb, &port, &sum))
		return -1;
	if (l->family == 4 && nat_quoted_check(skb, l, q->offset + 10, add, false, &sum))
		return -1;
	if (l->family == 4 && flow_icmp(q))
		add = 0;
	add += (__u16)~port.old + port.new;
	check = nat_check_at(q);
	if (check && nat_quoted_check(skb, l, q->l4 + check, add, q->proto == IPPROTO_UDP, &sum))
		return -1;
	return bpf_l4_csum_replace(skb, l->l4 + 2, 0, csum_fold32(sum), 0);
}

/* Gives the packet in l3_scratch[place] its other endpoint, as l3.nat says. Returns 0 or -1. */
__noinline int nat_rewrite(struct __sk_buff *skb, __u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	bool in = l && (l->nat == NAT_IN || l->nat == NAT_HOST_IN);
	struct nat_fields to = {};
	struct nat_addr *a;
	__u32 port_at;
	__s64 sum = 0;

	if (!l)
		return -1;
	a = nat_addr(l->nat_addr);
	if (!a || !l->nat_addr)
		return -1;
	nat_wire_addr(to.addr, in ? l->inside : a->addr, l->family);
	to.port = bpf_htons(in ? l->inside_port : l->nat_port);
	if (flow_icmp(l)) {
		to.old_port = bpf_htons(in ? l->nat_port : l->icmp_id);
		port_at = 4;
	} else {
		to.old_port = bpf_htons(in ? l->nat_port : l->key.sport);
		port_at = in ? 2 : 0;
	}
	if (l->flags & L3_ERROR) {
		if (nat_rewrite_quoted(skb, place, in))
			return -1;
		to.old_port = to.port;
	}
	if (nat_rewrite_l3(skb, l, &to, in, &sum))
		return -1;
	if (!(l->flags & L3_HAS_L4) || l->flags & L3_FRAG_LATER)
		return 0;
	return nat_rewrite_l4(skb, l, &to, port_at, sum) ? -1 : 0;
}

/* An answer that tells the sender of a packet in which size it would fit (RFC 1191, RFC 8201). */
__noinline int nat_too_big(__u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);

	if (l)
		l->answer = l->family == 4 ? 3 << 8 | 4 : 2 << 8;
	return 0;
}

/* A connection that is not translated, but would have to be, ends: it may be opened anew. */
static __always_inline void nat_unmapped(struct l3 *l, __u32 place)
{
	struct flow_at at;
	bool opening;

	if (l->nat == NAT_IN || !flow_tracks(l))
		return;
	opening = flow_find(&at, place, FLOW_ANSWERED | FLOW_UNANSWERED);
	if (at.flow)
		flow_take(&at, &l->flow, opening);
}

/*
 * Translates the packet in l3_scratch[place], that was judged and may pass, as l3.nat says.
 * Returns REASON_NONE or why it cannot be.
 */
__noinline int nat_translate(struct __sk_buff *skb, __u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct nat_addr *a;
	__u8 hops;

	if (!l)
		return DROP_NO_MEMORY;
	if (!l->nat_addr) {
		nat_unmapped(l, place);
		return DROP_NAT_PROTOCOL;
	}
	a = nat_addr(l->nat_addr);
	if (!a || !nat_is_known(a))
		return DROP_NAT_ADDRESS;
	hops = l->family == 4 ? l->head[8] : l->head[7];
	if (hops <= 1 && l->nat < NAT_HOST_OUT) {
		l->answer = l->family == 4 ? 11 << 8 : 3 << 8;
		return DROP_TTL;
	}
	if (l->mtu && (l->family == 6 || l->head[6] & 0x40)) /* DF */
		return DROP_MTU;
	return nat_rewrite(skb, place) ? DROP_NO_MEMORY : REASON_NONE;
}

/* The link-layer addresses of a packet for a VM, from its gateway (as in struct pkt). */
__noinline int nat_to_vm(struct __sk_buff *skb, __u32 place, __u64 gateway)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	__u8 macs[12];

	if (!l)
		return -1;
	__builtin_memcpy(macs, l->mac, 6);
	__builtin_memcpy(macs + 6, &gateway, 6);
	return bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0);
}

/*
 * Notes beside a connection which way its packets take, for the short way (bpf/nat_cache.h). An
 * error about one may be from anybody, and tells nothing of that.
 */
__noinline int nat_note(__u32 place, __u64 mac)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct nat_flow *n;
	struct flow_at at;

	if (!l || l->flags & L3_ERROR)
		return 0;
	flow_find(&at, place, FLOW_ANSWERED | FLOW_UNANSWERED);
	n = at.nat;
	if (!n || !n->addr)
		return 0;
	__builtin_memcpy(n->mac, &mac, 6);
	if (l->nat == NAT_OUT) {
		n->hop = l->hop_place;
		n->looked = cache_generation();
	}
	return 0;
}

#endif
