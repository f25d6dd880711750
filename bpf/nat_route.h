/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Where a VM's packet for its gateway goes. Routing is the kernel's table (bpf_fib_lookup()), and
 * so is the next hop's link-layer address.
 */
#ifndef BPF_NAT_ROUTE_H
#define BPF_NAT_ROUTE_H

#include "nat.h"

#define NAT_WHY	      0x100 /* with an enum reason: it goes nowhere */

#define ICMP_REDIRECT 5

#define NAT_FIB_SRC   0x10 /* BPF_FIB_LOOKUP_SRC, since 6.7 */

static __always_inline void nat_fib_ask(struct bpf_fib_lookup *f, const struct l3 *l, __u32 ifindex,
					__u32 length)
{
	__builtin_memset(f, 0, sizeof(*f));
	f->ifindex = ifindex;
	f->l4_protocol = l->proto;
	f->tot_len = length > 0xffff ? 0xffff : length;
	if (l->family == 4) {
		f->family = AF_INET;
		f->tos = l->head[1];
		__builtin_memcpy(&f->ipv4_src, l->head + 12, 4);
		__builtin_memcpy(&f->ipv4_dst, l->head + 16, 4);
	} else {
		f->family = AF_INET6;
		__builtin_memcpy(f->ipv6_src, l->head + 8, 16);
		__builtin_memcpy(f->ipv6_dst, l->head + 24, 16);
	}
}

/* Whether an address (as in struct flow_key) is still the host's. */
__noinline int nat_is_local(hook_ctx *ctx, const struct nat_addr_key *key, __u32 ifindex)
{
	struct bpf_fib_lookup f = {.ifindex = ifindex};
	bool ipv4 = key && key->addr[0] == FLOW_IPV4;

	if (!key)
		return 0;
	f.family = ipv4 ? AF_INET : AF_INET6;
	nat_wire_addr(f.ipv6_dst, key->addr, ipv4 ? 4 : 6); /* ipv4_dst is its first word */
	return bpf_fib_lookup(ctx, &f, sizeof(f), 0) == BPF_FIB_LKUP_RET_NOT_FWDED;
}

/*
 * The kernel would send by another address than the uplink's own one: if that is gone, the other
 * takes its slot, and with it all mappings. f: what was found with NAT_FIB_SRC.
 */
static __always_inline void nat_follow(hook_ctx *ctx, const struct bpf_fib_lookup *f,
				       const struct l3 *l, const struct nat_network *n)
{
	__u32 slot = l->family == 4 ? n->first4 : n->first6, *other, place;
	struct nat_addr *a = nat_addr(slot), *b;
	struct nat_addr_key now, old;

	if (!a || !slot || !(a->flags & NAT_ADDR_OWN))
		return;
	now.addr[0] = l->family == 4
			      ? FLOW_IPV4
			      : (__u64)bpf_ntohl(f->ipv6_src[0]) << 32 | bpf_ntohl(f->ipv6_src[1]);
	now.addr[1] = l->family == 4
			      ? (__u64)bpf_ntohl(f->ipv4_src) << 32
			      : (__u64)bpf_ntohl(f->ipv6_src[2]) << 32 | bpf_ntohl(f->ipv6_src[3]);
	old.addr[0] = a->addr[0];
	old.addr[1] = a->addr[1];
	if ((now.addr[0] == old.addr[0] && now.addr[1] == old.addr[1]) ||
	    bpf_map_lookup_elem(&nat_gateways, &now) || /* the kernel found nothing better */
	    nat_is_local(ctx, &old, n->gateway_ifindex))
		return;
	other = bpf_map_lookup_elem(&nat_addr_slots, &now);
	place = other ? *other : 0;
	b = place ? nat_addr(place) : NULL;
	WRITE_ONCE(a->addr[0], now.addr[0]);
	WRITE_ONCE(a->addr[1], now.addr[1]);
	bpf_map_update_elem(&nat_addr_slots, &now, &slot, BPF_ANY);
	if (b) { /* it had a slot: they change places, until the next command sees to it */
		WRITE_ONCE(b->addr[0], old.addr[0]);
		WRITE_ONCE(b->addr[1], old.addr[1]);
		bpf_map_update_elem(&nat_addr_slots, &old, &place, BPF_ANY);
	} else {
		bpf_map_delete_elem(&nat_addr_slots, &old);
	}
}

/* The place of a next hop in nat_hops, never 0. */
static __always_inline __u32 nat_hop_place(const __u32 *addr, __u32 ifindex)
{
	__u32 mix = (addr[0] ^ addr[1] ^ addr[2] ^ addr[3] ^ ifindex) * 0x9e3779b1;

	return (mix >> 22 & (NAT_HOPS - 1)) ?: 1;
}

/* Notes a next hop whose link-layer address is known. Returns its place. */
static __always_inline __u32 nat_hop_note(const struct bpf_fib_lookup *f, const struct l3 *l,
					  __u32 port)
{
	__u32 place = nat_hop_place(l->hop, f->ifindex);
	struct nat_hop *hop = bpf_map_lookup_elem(&nat_hops, &place);
	__u64 mac = 0, source = 0, addr[2];

	if (!hop)
		return 0;
	__builtin_memcpy(&mac, f->dmac, 6);
	__builtin_memcpy(&source, f->smac, 6);
	addr[0] = (__u64)l->hop[0] << 32 | l->hop[1];
	addr[1] = (__u64)l->hop[2] << 32 | l->hop[3];
	if (hop->ifindex != f->ifindex || hop->addr[0] != addr[0] || hop->addr[1] != addr[1]) {
		WRITE_ONCE(hop->ifindex, 0);
		barrier();
		hop->addr[0] = addr[0];
		hop->addr[1] = addr[1];
	}
	WRITE_ONCE(hop->mac, mac);
	WRITE_ONCE(hop->source_mac, source);
	hop->port = port;
	WRITE_ONCE(hop->looked, cache_generation());
	barrier();
	WRITE_ONCE(hop->ifindex, f->ifindex);
	return place;
}

/* Whether it may be a VM's: not the gateway's own. */
static __always_inline bool nat_vms(const struct l3 *l, const struct nat_network *n)
{
	if (!nat_inside(l, n))
		return false;
	if (l->family == 4)
		return l->key.src[0] >> 32 != n->gateway;
	return l->key.src[0] != n->gateway6[0] || l->key.src[1] != n->gateway6[1];
}

/* Whether the host may see it: so may also who has no address yet, and link-local ones. */
static __always_inline bool nat_vms_or_none(const struct l3 *l, const struct nat_network *n)
{
	if (l->family == 4)
		return !l->key.src[0] || nat_vms(l, n);
	return l->key.src[0] >> 54 == 0xfe80 >> 6 || !(l->key.src[0] | l->key.src[1]) ||
	       nat_vms(l, n);
}

/*
 * Whether the packet in l3_scratch[place] is for an external endpoint of ours that is bound, or
 * quotes a packet from there.
 */
__noinline int nat_is_bound(hook_ctx *ctx, __u32 place, __u32 slot)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct l3 *q = l3_quoted_of(place);
	struct nat_addr *a = nat_addr(slot);
	struct nat_pool *pool;
	__u32 proto;
	__u16 port;

	if (!l || !q || !a)
		return 0;
	if (a->flags & NAT_ADDR_STATIC || l->flags & L3_FRAG_LATER)
		return 1;
	if (l->flags & L3_ERROR ? l3_quoted(ctx, place) : !(l->flags & L3_HAS_L4))
		return 0;
	proto = nat_proto(l->flags & L3_ERROR ? q->proto : l->proto);
	port = l->flags & L3_ERROR ? nat_source_port(q) : nat_target_port(l);
	pool = proto < NAT_PROTOS ? nat_pool(slot, proto) : NULL;
	return pool && READ_ONCE(pool->at[port].refs);
}

/* An unreachable destination, in both families' codes. */
static __always_inline int nat_unreachable(struct l3 *l, __u32 code4, __u32 code6)
{
	l->answer = l->family == 4 ? 3 << 8 | code4 : 1 << 8 | code6;
	return NAT_WHY | DROP_NO_ROUTE;
}

/* What the kernel's table said. Returns enum nat_way or NAT_WHY. */
static __always_inline int nat_routed(struct l3 *l, const struct nat_network *n,
				      const struct bpf_fib_lookup *f, long found)
{
	switch (found) {
	case BPF_FIB_LKUP_RET_FWD_DISABLED:
		return NAT_WHY | DROP_FORWARDING_OFF;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		l->mtu = f->mtu_result;
		return NAT_OUT;
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		if (f->ifindex != n->uplink_ifindex)
			return nat_unreachable(l, 13, 1);
		return NAT_OUT;
	case BPF_FIB_LKUP_RET_BLACKHOLE:
		return NAT_WHY | DROP_NO_ROUTE;
	case BPF_FIB_LKUP_RET_PROHIBIT:
		return nat_unreachable(l, 13, 1);
	default:
		return nat_unreachable(l, 0, 0);
	}
}

/* How large a packet or its segments are; where only the kernel knows that, whether they fit. */
static __always_inline __u32 nat_length(hook_ctx *ctx, const struct l3 *l, __u32 uplink)
{
	__u32 segment = hook_segment(ctx), mtu = 0;

	if (segment == GSO_BY_FRAGS)
		return bpf_check_mtu(ctx, uplink, &mtu, 0, BPF_MTU_CHK_SEGS) > 0 ? 0xffff : 0;
	return segment ? segment + (l->l4 - l->offset) + l->header : l->length;
}

/*
 * Where a VM's packet for the gateway's link-layer address goes, in l3_scratch[place]. Returns
 * enum nat_way (NAT_NONE: to the host), or NAT_WHY with a reason.
 */
__noinline int nat_route(hook_ctx *ctx, __u32 place, __u32 network)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct nat_network *n = nat_network(network);
	struct bpf_fib_lookup f;
	__u32 length, slot;
	long found;
	int way;

	if (!l || !n)
		return NAT_NONE;
	if (!l->family) /* nothing that the host might make IP of, and route */
		return l->ethertype == ETH_P_ARP ? NAT_NONE : NAT_WHY | DROP_NO_ROUTE;
	if (l->flags & L3_BAD)
		return NAT_WHY | DROP_BAD_HEADER;
	length = nat_length(ctx, l, n->uplink_ifindex);
	nat_fib_ask(&f, l, n->gateway_ifindex, length);
	found = bpf_fib_lookup(ctx, &f, sizeof(f), NAT_FIB_SRC);
	if (found < 0) { /* it is an older kernel */
		nat_fib_ask(&f, l, n->gateway_ifindex, length);
		found = bpf_fib_lookup(ctx, &f, sizeof(f), 0);
	} else if ((found == BPF_FIB_LKUP_RET_SUCCESS || found == BPF_FIB_LKUP_RET_NO_NEIGH) &&
		   f.ifindex == n->uplink_ifindex) {
		nat_follow(ctx, &f, l, n);
	}
	if (found == BPF_FIB_LKUP_RET_NOT_FWDED) {
		if (!nat_vms_or_none(l, n))
			return NAT_WHY | DROP_NAT_SOURCE;
		slot = nat_slot(l->key.dst, l->family);
		if (!slot || !(n->flags & NAT_ROUTES) || !nat_is_bound(ctx, place, slot))
			return NAT_NONE;
		return nat_vms(l, n) ? NAT_HAIRPIN : NAT_WHY | DROP_NAT_SOURCE;
	}
	if (!(n->flags & NAT_ROUTES))
		return nat_unreachable(l, 13, 1);
	if (!nat_vms(l, n))
		return NAT_WHY | DROP_NAT_SOURCE;
	if (l->family == 4 && l->flags & L3_ERROR && l->type == ICMP_REDIRECT)
		return NAT_WHY | DROP_NAT_PROTOCOL;
	way = nat_routed(l, n, &f, found);
	if (way != NAT_OUT)
		return way;
	l->hop_family = f.family;
	__builtin_memcpy(l->hop, f.ipv6_dst, 16);
	if (f.family == AF_INET)
		l->hop[1] = l->hop[2] = l->hop[3] = 0;
	if (found == BPF_FIB_LKUP_RET_SUCCESS)
		l->hop_place = nat_hop_note(&f, l, n->uplink);
	return NAT_OUT;
}

#endif
