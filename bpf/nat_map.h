/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which external endpoint a connection has (RFC 4787, 4; RFC 5382, 4; RFC 5508, 3). */
#ifndef BPF_NAT_MAP_H
#define BPF_NAT_MAP_H

#include "nat.h"

/*
 * Whether a socket of the host has the external endpoint (slot, l3.nat_port) to itself, or with
 * the packet's remote. in: the packet is from there.
 */
__noinline int nat_host_has(hook_ctx *ctx, __u32 place, __u32 slot, bool in)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct nat_addr *a = nat_addr(slot);
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk = NULL;
	__u32 size = sizeof(t.ipv4);
	const __u64 *remote;
	__be16 remote_port;

	if (!l || !a || (l->proto != IPPROTO_TCP && l->proto != IPPROTO_UDP))
		return 0;
	remote = in ? l->key.src : l->key.dst;
	remote_port = bpf_htons(in ? l->key.sport : l->key.dport);
	if (l->family == 4) {
		t.ipv4.saddr = bpf_htonl(remote[0] >> 32);
		t.ipv4.daddr = bpf_htonl(a->addr[1] >> 32);
		t.ipv4.sport = remote_port;
		t.ipv4.dport = bpf_htons(l->nat_port);
	} else {
		size = sizeof(t.ipv6);
		nat_wire_addr(t.ipv6.saddr, remote, 6);
		nat_wire_addr(t.ipv6.daddr, a->addr, 6);
		t.ipv6.sport = remote_port;
		t.ipv6.dport = bpf_htons(l->nat_port);
	}
	sk = l->proto == IPPROTO_TCP ? bpf_skc_lookup_tcp(ctx, &t, size, BPF_F_CURRENT_NETNS, 0)
				     : bpf_sk_lookup_udp(ctx, &t, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	bpf_sk_release(sk);
	return 1;
}

/* The endpoint that a VM's packet comes from. */
static __always_inline void nat_endpoint_make(struct nat_endpoint *e, const struct l3 *l)
{
	nat_key_addr(e->addr, l->key.src, l->family);
	e->port = nat_source_port(l);
	e->network = l->network;
	e->proto = nat_proto(l->proto);
	e->pad = 0;
}

/* Whether a bound port is an endpoint's. */
static __always_inline bool nat_binding_is(const struct nat_binding *b,
					   const struct nat_endpoint *e)
{
	return READ_ONCE(b->refs) && b->addr[0] == e->addr[0] && b->addr[1] == e->addr[1] &&
	       b->port == e->port && b->network == e->network;
}

/* A port that was claimed belongs to an endpoint, and has its first flow. */
static __always_inline void nat_bound(struct nat_pool *pool, __u32 port,
				      const struct nat_endpoint *e)
{
	struct nat_binding *b = &pool->at[port & 0xffff];

	b->addr[0] = e->addr[0];
	b->addr[1] = e->addr[1];
	b->port = e->port;
	b->network = e->network;
	b->displaced = false;
	barrier();
	WRITE_ONCE(b->refs, 1);
	__sync_fetch_and_add(&pool->taken, 1);
}

/* A mapping is not where it is looked for first. */
static __always_inline void nat_displace(struct nat_pool *pool, __u32 port,
					 const struct nat_endpoint *e)
{
	__u64 *displaced = nat_displaced_of(e);

	pool->at[port & 0xffff].displaced = true;
	if (displaced)
		__sync_fetch_and_add(displaced, 1);
}

/* The range of external ports for an internal one; the last in the upper half. */
static __always_inline __u32 nat_range(const struct nat_network *n, __u8 family, __u32 proto,
				       __u32 port)
{
	__u32 min = family == 4 ? n->port_min : n->port_min6;
	__u32 max = family == 4 ? n->port_max : n->port_max6;

	if (min == NAT_WELL_KNOWN && max == 0xffff) {
		if (proto == NAT_ICMP)
			min = 0;
		else if (port < NAT_WELL_KNOWN)
			return 1 | (NAT_WELL_KNOWN - 1) << 16;
	}
	return min | max << 16;
}

/*
 * Claims an external port for the endpoint; an internal address keeps to one external one as long
 * as that has ports. Leaves it in l3. Returns REASON_NONE or why not.
 */
__noinline int nat_claim_port(__u32 place, const struct nat_endpoint *e, __u32 wish)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct nat_network *n = nat_network(e ? e->network : 0);
	__u32 first, addrs, home, slot, port, range;
	struct nat_pool *pool;

	if (!l || !n || !e)
		return DROP_NAT_EXHAUSTED;
	first = l->family == 4 ? n->first4 : n->first6;
	addrs = l->family == 4 ? n->addrs4 : n->addrs6;
	home = nat_home(n, e->addr, l->family == 4);
	if (!home || !addrs)
		return DROP_NAT_ADDRESS;
	range = nat_range(n, l->family, e->proto, e->port);
	for (__u32 i = 0; i < NAT_ADDRS / 2; i++) {
		if (i >= addrs)
			break;
		slot = first + (home - first + i) % addrs;
		port = nat_port_find(slot, e->proto, wish, range);
		if (port != NAT_NO_PORT)
			break;
	}
	pool = nat_pool(slot, e->proto);
	if (port == NAT_NO_PORT || !pool) {
		/* administratively prohibited (RFC 5508, REQ-8; RFC 6888, REQ-11) */
		l->answer = l->family == 4 ? 3 << 8 | 13 : 1 << 8 | 1;
		return DROP_NAT_EXHAUSTED;
	}
	nat_bound(pool, port, e);
	if (slot != home || port != e->port)
		nat_displace(pool, port, e);
	l->nat_addr = slot;
	l->nat_port = port;
	return REASON_NONE;
}

/*
 * The mapping that an endpoint has, into l3, and held by one more flow. Returns whether there is
 * one.
 */
__noinline int nat_mapped(__u32 place, const struct nat_endpoint *e)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct nat_network *n = nat_network(e ? e->network : 0);
	struct nat_endpoint *key;
	struct nat_mapping *m;
	struct nat_pool *pool;
	__u64 *displaced;
	__u32 zero = 0;

	if (!l || !n || !e)
		return 0;
	l->nat_addr = nat_home(n, e->addr, l->family == 4);
	l->nat_port = e->port;
	pool = nat_pool(l->nat_addr, e->proto);
	if (pool && nat_binding_is(&pool->at[e->port], e) &&
	    nat_hold(l->nat_addr, e->proto, e->port)) {
		if (nat_binding_is(&pool->at[e->port], e)) /* still */
			return 1;
		nat_release(l->nat_addr, e->proto, e->port);
	}
	displaced = nat_displaced_of(e);
	if (!displaced || !READ_ONCE(*displaced))
		return 0;
	key = bpf_map_lookup_elem(&nat_freed, &zero); /* 6.1 takes no argument's memory as a key */
	if (!key)
		return 0;
	*key = *e;
	m = bpf_map_lookup_elem(&nat_endpoints, key);
	if (!m)
		return 0;
	l->nat_addr = m->addr;
	l->nat_port = m->port;
	pool = nat_pool(l->nat_addr, e->proto);
	if (!pool || !nat_hold(l->nat_addr, e->proto, l->nat_port))
		return 0;
	if (nat_binding_is(&pool->at[l->nat_port], e))
		return 1;
	nat_release(l->nat_addr, e->proto, l->nat_port);
	return 0;
}

/* An address that has an external one for itself: no port is to be held. */
static __always_inline bool nat_static(struct l3 *l, const struct nat_endpoint *e)
{
	struct nat_static_key key = {.addr = {e->addr[0], e->addr[1]}, .network = e->network};
	struct nat_network *n = nat_network(e->network);
	__u32 *slot = NULL;

	if (n && e->port >= n->served_min && e->port <= n->served_max)
		slot = bpf_map_lookup_elem(&nat_statics, &key);
	if (!slot)
		return false;
	l->nat_addr = *slot;
	l->nat_port = e->port;
	l->nat_holds = false;
	return true;
}

/* Whether l3's external endpoint is displaced. */
static __always_inline bool nat_is_displaced(const struct l3 *l)
{
	struct nat_pool *pool = nat_pool(l->nat_addr, nat_proto(l->proto));

	return pool && pool->at[l->nat_port].displaced;
}

/*
 * The external endpoint of a connection that a VM opens: the mapping that its endpoint has, or a
 * new one (RFC 4787, REQ-1; RFC 5382, REQ-1). One that the host itself uses towards this remote is
 * passed over. Returns REASON_NONE or why there is none; what is found is held.
 */
__noinline int nat_map(hook_ctx *ctx, __u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct nat_mapping mapping;
	struct nat_endpoint e;
	int why;

	if (!l)
		return DROP_NO_MEMORY;
	nat_endpoint_make(&e, l);
	if (nat_static(l, &e))
		return REASON_NONE;
	if (e.proto >= NAT_PROTOS || !flow_tracks(l))
		return DROP_NAT_PROTOCOL;
	l->nat_holds = true;
	if (!nat_mapped(place, &e)) {
		why = nat_claim_port(place, &e, e.port);
		if (why)
			return why;
		mapping.addr = l->nat_addr;
		mapping.port = l->nat_port;
		if (nat_is_displaced(l))
			bpf_map_update_elem(&nat_endpoints, &e, &mapping, BPF_ANY);
	}
	for (int i = 0; i < 4; i++) {
		if (!nat_host_has(ctx, place, l->nat_addr, false))
			return REASON_NONE;
		nat_release(l->nat_addr, e.proto, l->nat_port);
		why = nat_claim_port(place, &e, e.port ^ (bpf_get_prandom_u32() & 0xfffe));
		if (why)
			return why;
	}
	nat_release(l->nat_addr, e.proto, l->nat_port);
	return DROP_NAT_EXHAUSTED;
}

/* The connection that a packet opens gets its external endpoint. Returns REASON_NONE or why not. */
__noinline int nat_bind(hook_ctx *ctx, __u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);

	if (!l)
		return DROP_NO_MEMORY;
	if (l->nat == NAT_OUT || l->nat == NAT_HAIRPIN)
		return nat_map(ctx, place);
	return !l->nat_addr || nat_take(place) ? REASON_NONE : DROP_NAT_UNSOLICITED;
}

#endif
