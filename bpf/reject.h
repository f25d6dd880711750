/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The answer to a packet that a rule rejects: a TCP reset (RFC 9293, 3.10.7.1), else ICMP or
 * ICMPv6 port unreachable (RFC 792; RFC 4443, 3.1), from the address that was asked for. The
 * frame itself becomes its answer, and so keeps its VLAN tags. TC only: XDP hands such
 * packets on.
 *
 * The sender may have left its checksum to the hardware: then the kernel will still compute it,
 * over what follows the network header, into the field where it was (offload.h). In a reset that
 * is the checksum's field. In an ICMP message it is another one; but as the message has a right
 * checksum already, what is computed is just what was there, if the field begins as the pseudo
 * header's sum (IPv4's ICMP: 0).
 */
#ifndef BPF_REJECT_H
#define BPF_REJECT_H

#include "judge.h"
#include "nat.h"

#define REJECT_RATE  100 /* answers a second, to what one port sends */
#define REJECT_QUOTE 200 /* octets of the packet in an ICMP message, a multiple of 4 */

struct reject_reply {
	__u8 octets[48 + REJECT_QUOTE];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct reject_reply);
} reject_scratch SEC(".maps");

static __always_inline void put16(__u8 *at, __u16 n)
{
	at[0] = n >> 8;
	at[1] = n;
}

static __always_inline void put32(__u8 *at, __u32 n)
{
	put16(at, n >> 16);
	put16(at + 2, n);
}

static __always_inline void put64(__u8 *at, __u64 n)
{
	put32(at, n >> 32);
	put32(at + 4, n);
}

/* Whether a dropped packet's sender is told. */
static __always_inline bool reject_due(const struct pkt *p)
{
	return p->reason == DROP_ACL_REJECT || (p->l3 && p->l3->answer);
}

/*
 * The address that an answer is from: as it was asked for from outside; that of the gateway, where
 * the packet got no further.
 */
__noinline int reject_from(__u32 place, __u32 external)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct nat_network *n;
	struct nat_addr *a;

	if (!l)
		return 0;
	n = nat_network(l->network);
	a = nat_addr(l->nat_addr);
	if (a && l->nat_addr && (l->nat == NAT_IN || external)) {
		nat_l3_addr(l->key.dst, a->addr, l->family);
		l->key.dport = l->nat_port;
	} else if (l->answer && n && l->family == 4) {
		l->key.dst[0] = (__u64)n->gateway << 32;
	} else if (l->answer && n) {
		nat_l3_addr(l->key.dst, n->gateway6, 6);
	}
	return 0;
}

/* Whether the packet is one that may be answered (RFC 1122, 3.2.2; RFC 4443, 2.4 (e)). */
static __always_inline bool reject_may(const struct pkt *p)
{
	const struct l3 *l = p->l3;
	__u8 top;

	if (!l || !l->family || p->dst & 1 ||
	    l->flags & (L3_BAD | L3_GROUP | L3_ERROR | L3_FRAG_LATER))
		return false;
	if (l->proto == IPPROTO_TCP && l->type & TCP_RST)
		return false;
	if (l->family == 6)
		return l->key.src[0] >> 56 != 0xff && (l->key.src[0] || l->key.src[1] > 1);
	top = l->key.src[0] >> 56;
	return top && top != 127 && top < 224;
}

/* Whether the port's packets were answered too often in this second. */
static __always_inline bool reject_limited(struct port *in)
{
	__u32 now = flow_now();

	if (READ_ONCE(in->rejects_second) != now) {
		WRITE_ONCE(in->rejects_second, now);
		WRITE_ONCE(in->rejects, 0);
	}
	return __sync_fetch_and_add(&in->rejects, 1) >= REJECT_RATE;
}

/* The network header of the answer, with `size` octets behind it. Returns its length. */
static __always_inline __u32 reject_network(const struct l3 *l, __u8 *h, __u32 size, __u8 proto)
{
	if (l->family == 4) {
		h[0] = 0x45;
		put16(h + 2, 20 + size);
		h[6] = 0x40; /* DF */
		h[8] = 64;
		h[9] = proto;
		put32(h + 12, l->key.dst[0] >> 32);
		put32(h + 16, l->key.src[0] >> 32);
		*(__u16 *)(h + 10) = ~csum_fold32(bpf_csum_diff(NULL, 0, (__be32 *)h, 20, 0));
		return 20;
	}
	h[0] = 0x60;
	put16(h + 4, size);
	h[6] = proto;
	h[7] = 64;
	put64(h + 8, l->key.dst[0]);
	put64(h + 16, l->key.dst[1]);
	put64(h + 24, l->key.src[0]);
	put64(h + 32, l->key.src[1]);
	return 40;
}

/* The sum of the pseudo header that a checksum of `size` octets of `proto` includes. */
static __always_inline __u32 reject_pseudo(const struct l3 *l, const __u8 *h, __u32 size,
					   __u8 proto)
{
	__u64 sum = bpf_htons(proto) + (__u64)bpf_htons(size);

	if (l->family == 4)
		return csum_fold32(sum + *(__u32 *)(h + 12) + *(__u32 *)(h + 16));
	for (int i = 8; i < 40; i += 4)
		sum += *(__u32 *)(h + i);
	return csum_fold32(sum);
}

/* Whether the packet's own checksum is left to the hardware: it is the pseudo header's sum. */
static __always_inline bool reject_csum_left(const struct l3 *l, __u32 at)
{
	__u64 addrs = 0;

	if (l->flags & (L3_FRAG | L3_EXTENDED))
		return false;
	if (l->family == 4)
		addrs = (__u64) * (__u32 *)(l->head + 12) + *(__u32 *)(l->head + 16);
	else
		for (int i = 8; i < 40; i += 4)
			addrs += *(__u32 *)(l->head + i);
	return csum_left(*(__u16 *)(l->head + (l->family == 4 ? 20 : 40) + at), addrs, l->proto,
			 l->length - (l->family == 4 ? 20 : 40));
}

/* RST, with the numbers that make it acceptable to the sender. */
static __always_inline __u32 reject_tcp(const struct l3 *l, __u8 *h)
{
	__u32 head = reject_network(l, h, 20, IPPROTO_TCP), sum;
	__u8 *t = h + 20;

	if (l->family == 6)
		t = h + 40;
	put16(t, l->key.dport);
	put16(t + 2, l->key.sport);
	t[12] = 5 << 4;
	if (l->type & TCP_ACK) {
		put32(t + 4, l->ack);
		t[13] = TCP_RST;
	} else {
		put32(t + 8, tcp_end(l));
		t[13] = TCP_RST | TCP_ACK;
	}
	sum = reject_pseudo(l, h, 20, IPPROTO_TCP);
	if (!reject_csum_left(l, 16))
		sum = ~csum_fold32(bpf_csum_diff(NULL, 0, (__be32 *)t, 20, sum));
	*(__u16 *)(t + 16) = sum;
	return head + 20;
}

/* Where the transport header's checksum is, if it is left to the hardware; else 0. */
static __always_inline __u32 reject_check_at(const struct l3 *l)
{
	if (l->proto == IPPROTO_UDP)
		return reject_csum_left(l, 6) ? 6 : 0;
	return l->proto == IPPROTO_TCP && reject_csum_left(l, 16) ? 16 : 0;
}

/* Port unreachable, or what l3.answer says; it quotes the packet. */
static __always_inline __u32 reject_icmp(struct __sk_buff *skb, const struct l3 *l, __u8 *h)
{
	__u32 quote = l->length & ~3U, head, sum;
	__u32 left = reject_check_at(l);
	__u8 proto = l->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	__u8 *t = h + 20;

	if (quote > REJECT_QUOTE)
		quote = REJECT_QUOTE;
	if (quote < 20)
		return 0;
	if (l->family == 6)
		t = h + 40;
	if (l3_copy(skb, l->offset, t + 8, quote, REJECT_QUOTE))
		return 0;
	head = reject_network(l, h, 8 + quote, proto);
	t[0] = l->family == 4 ? 3 : 1;
	t[1] = l->family == 4 ? 3 : 4;
	if (l->answer) {
		t[0] = l->answer >> 8;
		t[1] = l->answer;
		put32(t + 4, l->mtu);
	}
	sum = l->family == 4 ? 0 : reject_pseudo(l, h, 8 + quote, proto);
	*(__u16 *)(t + 2) = ~csum_fold32(
		bpf_csum_diff(NULL, 0, (__be32 *)t, l3_bound(8 + quote, 8 + REJECT_QUOTE), sum));
	if (left)
		*(__u16 *)(t + left) = sum;
	return head + 8 + quote;
}

/* Makes the frame the answer to the packet in l3_scratch[place]. Returns 0 or -1. */
__noinline int reject_make(struct __sk_buff *skb, __u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	__u32 zero = 0, length;
	struct reject_reply *r = bpf_map_lookup_elem(&reject_scratch, &zero);
	__u64 macs[2];

	if (!l || !r)
		return -1;
	__builtin_memset(r->octets, 0, 60);
	length = l->proto == IPPROTO_TCP && !l->answer ? reject_tcp(l, r->octets)
						       : reject_icmp(skb, l, r->octets);
	if (length < 40 || length > sizeof(r->octets))
		return -1;
	if (bpf_skb_change_tail(skb, l->offset + length, 0))
		return -1;
	if (bpf_skb_store_bytes(skb, l->offset, r->octets, l3_bound(length, sizeof(r->octets)), 0))
		return -1;
	macs[0] = (l->key.src_mac & ACL_MAC_MASK) | l->key.dst_mac << 48;
	macs[1] = (l->key.dst_mac & ACL_MAC_MASK) >> 16;
	return bpf_skb_store_bytes(skb, 0, macs, 12, 0) ? -1 : 0;
}

/* Answers a packet that was dropped. Returns what becomes of the frame. */
static __always_inline int reject(struct pkt *p)
{
	bool arrived = p->nat && p->l3 && p->l3->nat == NAT_IN;

	if (!reject_may(p))
		return TC_ACT_SHOT;
	if (reject_limited(p->in)) {
		stats_reason(p->in_id, NOTE_REJECT_LIMIT);
		return TC_ACT_SHOT;
	}
	reject_from(p->from_host, p->external);
	if (reject_make(p->ctx, p->from_host))
		return TC_ACT_SHOT;
	if (p->in_policy.uplink || arrived)
		p->ctx->mark = MARK_SWITCHED;
	return bpf_redirect(p->ctx->ifindex, p->from_host && !arrived ? BPF_F_INGRESS : 0);
}

#endif
