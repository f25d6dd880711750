/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Whose a packet is that came to the uplink (RFC 4787, 5; RFC 5508, 4). */
#ifndef BPF_NAT_LOOK_H
#define BPF_NAT_LOOK_H

#include "frag.h"
#include "nat_map.h"
#include "offload.h"

#define NAT_PIECE  64  /* octets that are summed at once */
#define NAT_PIECES 144 /* of a jumbo frame */

/* The packet's destination is as the wire has it. */
static __always_inline void nat_external_dst(struct l3 *l)
{
	struct nat_addr *a = nat_addr(l->nat_addr);

	if (a)
		nat_l3_addr(l->key.dst, a->addr, l->family);
}

/* The packet's addresses are those of a network (id, or NAT_HOST). */
static __always_inline void nat_space(struct l3 *l, __u32 network)
{
	l->network = network == NAT_HOST ? NAT_SPACE_NETWORK : network;
	l->vid = network == NAT_HOST ? NAT_SPACE_VID : 0;
}

/* What nat_look() finds. */
enum nat_found {
	NAT_NOT_OURS, /* the host's */
	NAT_KNOWN,    /* of a connection: l3.out_id says to which port it goes */
	NAT_OPENS,    /* of none, but it may open one */
	NAT_FILTERED, /* of none, and it may not */
	NAT_TO_HOST,  /* of a connection of the host, that is translated */
};

/*
 * The external endpoint that a packet was sent to, or that an error is about: its port, to
 * l3.nat_port. Returns its pool (enum nat_proto), NAT_PROTOS: there is none. Of a fragment it is
 * the first one's.
 */
static __always_inline __u32 nat_endpoint_of(struct l3 *l, const struct l3 *q)
{
	struct frag_key key;
	struct frag *frag;

	if (l->flags & L3_ERROR) {
		l->nat_port = nat_source_port(q);
		return flow_tracks(q) ? nat_proto(q->proto) : NAT_PROTOS;
	}
	if (l->flags & L3_FRAG_LATER) {
		frag_key_make(&key, l);
		frag = bpf_map_lookup_elem(&frags, &key);
		if (!frag || (__s32)(frag->expires - flow_now()) <= 0)
			return NAT_PROTOS;
		l->nat_port = l->icmp_id = frag->dport;
		l->key.sport = frag->sport;
		l->type = frag->misc;
		return nat_proto(l->proto);
	}
	l->nat_port = nat_target_port(l);
	return flow_tracks(l) ? nat_proto(l->proto) : NAT_PROTOS;
}

/*
 * Whose a packet is that the wire sent to the host. Returns the network's id and leaves the
 * internal endpoint in l3.inside; or 0: the host's. Reads l3.key, and leaves its addresses.
 */
static __always_inline __u32 nat_owner(struct l3 *l, const struct l3 *q, __u32 ifindex)
{
	__u32 slot = nat_slot(l->key.dst, l->family), proto, network;
	struct nat_addr *a = slot ? nat_addr(slot) : NULL;
	struct nat_binding *b;
	struct nat_pool *pool;

	if (!a || (ifindex && a->ifindex != ifindex))
		return 0;
	proto = nat_endpoint_of(l, q);
	l->nat_addr = slot;
	if (a->flags & NAT_ADDR_STATIC) {
		l->inside[0] = a->inside[0];
		l->inside[1] = a->inside[1];
		l->inside_port = l->nat_port;
		return a->network;
	}
	pool = proto < NAT_PROTOS ? nat_pool(slot, proto) : NULL;
	if (!pool)
		return 0;
	b = &pool->at[l->nat_port];
	network = b->network;
	if (!READ_ONCE(b->refs))
		return 0;
	l->inside[0] = b->addr[0];
	l->inside[1] = b->addr[1];
	l->inside_port = b->port;
	return network;
}

/* Gives the packet its internal destination, in l3.key alone; and its connection's key. */
static __always_inline void nat_key_inside(struct l3 *l, struct l3 *q, __u32 network)
{
	nat_space(l, network);
	nat_l3_addr(l->key.dst, l->inside, l->family);
	if (l->flags & L3_ERROR) {
		nat_space(q, network);
		nat_quote_inside(l, q);
		flow_key_make(q);
		l->flow = q->flow;
		l->side = !q->side; /* as if the other end had sent it */
		return;
	}
	if (flow_icmp(l))
		l->icmp_id = l->inside_port;
	else
		l->key.dport = l->inside_port;
	flow_key_make(l);
}

/* Remembers where a first fragment goes, for the others. */
static __always_inline void nat_frag_note(struct l3 *l)
{
	struct frag frag = {};
	struct frag_key key;

	frag_key_make(&key, l);
	frag.expires = flow_now() + FRAG_SECS;
	frag.sport = l->key.sport;
	frag.dport = l->nat_port;
	frag.misc = l->type;
	bpf_map_update_elem(&frags, &key, &frag, BPF_ANY);
}

/* What a packet of no connection may do, which is for an endpoint that is bound. */
static __always_inline int nat_unknown(struct __sk_buff *skb, const struct l3 *l, __u32 place)
{
	struct nat_network *n = nat_network(l->network);
	struct nat_addr *a = nat_addr(l->nat_addr);
	struct nat_pool *pool;

	if (l->flags & L3_ERROR)
		return NAT_NOT_OURS; /* nor is it anybody's, but the host may want to see it */
	if (a && a->flags & NAT_ADDR_STATIC)
		return NAT_OPENS;
	pool = nat_pool(l->nat_addr, nat_proto(l->proto));
	if (!pool || !n)
		return NAT_NOT_OURS;
	if (READ_ONCE(pool->at[l->nat_port].refs) & NAT_FORWARD ||
	    n->flags & NAT_FILTER_INDEPENDENT)
		return NAT_OPENS;
	return nat_host_has(skb, place, l->nat_addr, true) ? NAT_NOT_OURS : NAT_FILTERED;
}

/* Whether a packet is for one of the host's addresses that nobody outside is to see. */
static __always_inline bool nat_is_gateway(const struct l3 *l)
{
	struct nat_addr_key key;

	nat_key_addr(key.addr, l->key.dst, l->family);
	return bpf_map_lookup_elem(&nat_gateways, &key);
}

/* A sum over the octets of a frame, in pieces. */
struct nat_octets {
	struct __sk_buff *skb;
	__u32 at;
	__u32 end;
	__s64 sum;
	__u8 piece[NAT_PIECE];
};

static long nat_sum_piece(__u32 i, struct nat_octets *o)
{
	__u32 n = o->end - o->at;

	if (o->at >= o->end)
		return 1;
	if (n > NAT_PIECE)
		n = NAT_PIECE;
	if (n < NAT_PIECE)
		__builtin_memset(o->piece, 0, NAT_PIECE);
	if (l3_copy(o->skb, o->at, o->piece, n, NAT_PIECE))
		return 1;
	o->sum = bpf_csum_diff(NULL, 0, (__be32 *)o->piece, NAT_PIECE, o->sum);
	o->at += n;
	return 0;
}

/*
 * Whether an error's checksum is right, and that of the IPv4 header that it quotes (RFC 5508,
 * REQ-3). An IPv6 packet's header is in its sum.
 */
__noinline int nat_error_sound(struct __sk_buff *skb, __u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place), *q = l3_quoted_of(place);
	struct nat_octets o = {.skb = skb};

	if (!l || !q)
		return 0;
	o.at = l->l4;
	o.end = l->offset + l->length;
	if (l->family == 6) {
		o.sum = bpf_csum_diff(NULL, 0, (__be32 *)(l->head + 8), 32, 0);
		o.sum = csum_fold32(o.sum) + bpf_htons(l->length - (l->l4 - l->offset)) +
			bpf_htons(IPPROTO_ICMPV6);
	}
	bpf_loop(NAT_PIECES, nat_sum_piece, &o, 0);
	if (o.at != o.end || csum_fold32(o.sum) != 0xffff)
		return 0;
	if (l->family == 6)
		return 1;
	o.at = q->offset;
	o.end = q->l4;
	o.sum = 0;
	bpf_loop(2, nat_sum_piece, &o, 0);
	return csum_fold32(o.sum) == 0xffff;
}

/*
 * Looks at a packet that the wire sent to the host, in l3_scratch[place]. Returns enum nat_found;
 * if it is not the host's, l3.key has its internal destination from now on. ifindex: of the uplink,
 * 0: any. own: it may be from one of our external addresses.
 */
__noinline int nat_look(struct __sk_buff *skb, __u32 place, __u32 ifindex, __u32 own)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct l3 *q = l3_quoted_of(place);
	struct nat_network *n;
	struct nat_flow *nat;
	struct flow_at at;
	__u32 network;
	bool known;

	if (!l || !q || !l->family || l->flags & (L3_BAD | L3_GROUP))
		return NAT_NOT_OURS;
	if (l->flags & L3_ERROR && (l3_quoted(skb, place) || q->key.src[0] != l->key.dst[0] ||
				    q->key.src[1] != l->key.dst[1]))
		return NAT_NOT_OURS;
	if (!own && nat_slot(l->key.src, l->family)) /* nobody but us has that address */
		return NAT_NOT_OURS;
	l->network = NAT_SPACE_NETWORK;
	l->vid = NAT_SPACE_VID;
	network = nat_owner(l, q, ifindex);
	if (!network)
		return ifindex && nat_is_gateway(l) ? NAT_FILTERED : NAT_NOT_OURS;
	n = nat_network(network);
	if (n && network != NAT_HOST && nat_inside(l, n)) /* nor is that out there */
		return NAT_FILTERED;
	if (l->flags & L3_ERROR && !nat_error_sound(skb, place))
		return NAT_FILTERED;
	if ((l->flags & (L3_FRAG | L3_FRAG_LATER)) == L3_FRAG)
		nat_frag_note(l);
	nat_key_inside(l, q, network);
	flow_find(&at, place, FLOW_ANSWERED | FLOW_UNANSWERED);
	nat = at.nat;
	if (!nat || nat->addr != l->nat_addr || nat->port != l->nat_port)
		return network == NAT_HOST ? NAT_NOT_OURS : nat_unknown(skb, l, place);
	if (network == NAT_HOST)
		return NAT_TO_HOST;
	l->out_id = at.flow->port[!(l->side & 1)];
	__builtin_memcpy(l->mac, nat->mac, 6);
	known = l->mac[0] | l->mac[1] | l->mac[2] | l->mac[3] | l->mac[4] | l->mac[5];
	return known ? NAT_KNOWN : NAT_OPENS;
}

#endif
