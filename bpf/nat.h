/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * NAT at TC: where a VM's packet for its gateway goes, which external endpoint its connection
 * has, and whose a packet is that came to the uplink (RFC 4787, 5382, 5508). A packet is judged
 * and kept as a connection between the VM's port and the gateway's, by its internal addresses;
 * l3_scratch says what else NAT knows of it.
 *
 * Routing is the kernel's table (bpf_fib_lookup()), and so is the next hop's link-layer address.
 */
#ifndef BPF_NAT_H
#define BPF_NAT_H

#include "flow.h"
#include "frag.h"
#include "nat_quote.h"
#include "offload.h"

#define AF_INET	      2
#define AF_INET6      10

#define NAT_WHY	      0x100 /* with an enum reason: it goes nowhere */

#define ICMP_REDIRECT 5
#define NAT_PIECE     64  /* octets that are summed at once */
#define NAT_PIECES    144 /* of a jumbo frame */

/* Ports that are mapped to each other (RFC 4787, REQ-3 a). */
#define NAT_WELL_KNOWN 1024

/* A network's translation, or NULL. */
static __always_inline struct nat_network *nat_network(__u32 id)
{
	return bpf_map_lookup_elem(&nat_networks, &id);
}

/* The sender's port of a packet, or the identifier of an echo. */
static __always_inline __u16 nat_source_port(const struct l3 *l)
{
	return flow_icmp(l) ? l->icmp_id : l->key.sport;
}

static __always_inline __u16 nat_target_port(const struct l3 *l)
{
	return flow_icmp(l) ? l->icmp_id : l->key.dport;
}

/* The slot of an external address (as in struct l3), or 0. */
static __always_inline __u32 nat_slot(const __u64 *addr, __u8 family)
{
	struct nat_addr_key key;
	__u32 *slot;

	nat_key_addr(key.addr, addr, family);
	slot = bpf_map_lookup_elem(&nat_addr_slots, &key);
	return slot ? *slot : 0;
}

/* ---- routing ---- */

#define NAT_FIB_SRC 0x10 /* BPF_FIB_LOOKUP_SRC, since 6.7 */

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
__noinline int nat_is_local(struct __sk_buff *skb, const struct nat_addr_key *key, __u32 ifindex)
{
	struct bpf_fib_lookup f = {.ifindex = ifindex};
	bool ipv4 = key && key->addr[0] == FLOW_IPV4;

	if (!key)
		return 0;
	f.family = ipv4 ? AF_INET : AF_INET6;
	nat_wire_addr(f.ipv6_dst, key->addr, ipv4 ? 4 : 6); /* ipv4_dst is its first word */
	return bpf_fib_lookup(skb, &f, sizeof(f), 0) == BPF_FIB_LKUP_RET_NOT_FWDED;
}

/*
 * The kernel would send by another address than the uplink's own one: if that is gone, the other
 * takes its slot, and with it all mappings. f: what was found with NAT_FIB_SRC.
 */
static __always_inline void nat_follow(struct __sk_buff *skb, const struct bpf_fib_lookup *f,
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
	    nat_is_local(skb, &old, n->gateway_ifindex))
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

/* Whether a source address is of a network's subnet. */
static __always_inline bool nat_inside(const struct l3 *l, const struct nat_network *n)
{
	if (l->family == 4)
		return n->subnet && (l->key.src[0] >> 32 & n->mask) == n->subnet;
	return (n->subnet6[0] | n->subnet6[1]) && (l->key.src[0] & n->mask6[0]) == n->subnet6[0] &&
	       (l->key.src[1] & n->mask6[1]) == n->subnet6[1];
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
__noinline int nat_is_bound(struct __sk_buff *skb, __u32 place, __u32 slot)
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
	if (l->flags & L3_ERROR ? l3_quoted(skb, place) : !(l->flags & L3_HAS_L4))
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

/*
 * Where a VM's packet for the gateway's link-layer address goes, in l3_scratch[place]. Returns
 * enum nat_way (NAT_NONE: to the host), or NAT_WHY with a reason.
 */
__noinline int nat_route(struct __sk_buff *skb, __u32 place, __u32 network)
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
	length = skb->gso_size ? skb->gso_size + (l->l4 - l->offset) + l->header : l->length;
	nat_fib_ask(&f, l, n->gateway_ifindex, length);
	found = bpf_fib_lookup(skb, &f, sizeof(f), NAT_FIB_SRC);
	if (found < 0) { /* it is an older kernel */
		nat_fib_ask(&f, l, n->gateway_ifindex, length);
		found = bpf_fib_lookup(skb, &f, sizeof(f), 0);
	} else if ((found == BPF_FIB_LKUP_RET_SUCCESS || found == BPF_FIB_LKUP_RET_NO_NEIGH) &&
		   f.ifindex == n->uplink_ifindex) {
		nat_follow(skb, &f, l, n);
	}
	if (found == BPF_FIB_LKUP_RET_NOT_FWDED) {
		if (!nat_vms_or_none(l, n))
			return NAT_WHY | DROP_NAT_SOURCE;
		slot = nat_slot(l->key.dst, l->family);
		if (!slot || !(n->flags & NAT_ROUTES) || !nat_is_bound(skb, place, slot))
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

/* ---- mapping ---- */

/*
 * Whether a socket of the host has the external endpoint (slot, l3.nat_port) to itself, or with
 * the packet's remote. in: the packet is from there.
 */
__noinline int nat_host_has(struct __sk_buff *skb, __u32 place, __u32 slot, bool in)
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
	sk = l->proto == IPPROTO_TCP ? bpf_skc_lookup_tcp(skb, &t, size, BPF_F_CURRENT_NETNS, 0)
				     : bpf_sk_lookup_udp(skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	bpf_sk_release(sk);
	return 1;
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
	barrier();
	WRITE_ONCE(b->refs, 1);
	__sync_fetch_and_add(&pool->taken, 1);
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
 * as that has ports (RFC 4787, REQ-2). Leaves it in l3. Returns REASON_NONE or why not.
 */
__noinline int nat_claim_port(__u32 place, const struct nat_endpoint *e, __u32 wish)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct nat_network *n = nat_network(e ? e->network : 0);
	__u32 first, addrs, at, slot, port, range;
	struct nat_pool *pool;

	if (!l || !n || !e)
		return DROP_NAT_EXHAUSTED;
	first = l->family == 4 ? n->first4 : n->first6;
	addrs = l->family == 4 ? n->addrs4 : n->addrs6;
	if (!first || !addrs)
		return DROP_NAT_ADDRESS;
	at = (e->addr[0] ^ e->addr[1] >> 32 ^ e->addr[1]) * 0x9e3779b1 % addrs;
	range = nat_range(n, l->family, e->proto, e->port);
	for (__u32 i = 0; i < NAT_ADDRS / 2; i++) {
		if (i >= addrs)
			break;
		slot = first + (at + i) % addrs;
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
	l->nat_addr = slot;
	l->nat_port = port;
	return REASON_NONE;
}

/*
 * The external endpoint of a connection that a VM opens: the mapping that its endpoint has, or a
 * new one (RFC 4787, REQ-1; RFC 5382, REQ-1). One that the host itself uses towards this remote is
 * passed over. Returns REASON_NONE or why there is none; what is found is held.
 */
__noinline int nat_map(struct __sk_buff *skb, __u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct nat_endpoint e = {};
	struct nat_static_key key = {};
	struct nat_mapping *m, mapping;
	__u32 *slot;
	int why;

	if (!l)
		return DROP_NO_MEMORY;
	nat_key_addr(e.addr, l->key.src, l->family);
	e.network = key.network = l->network;
	key.addr[0] = e.addr[0];
	key.addr[1] = e.addr[1];
	e.port = nat_source_port(l);
	slot = bpf_map_lookup_elem(&nat_statics, &key);
	if (slot) {
		l->nat_addr = *slot;
		l->nat_port = e.port;
		l->nat_holds = false;
		return REASON_NONE;
	}
	e.proto = nat_proto(l->proto);
	if (e.proto >= NAT_PROTOS || !flow_tracks(l))
		return DROP_NAT_PROTOCOL;
	l->nat_holds = true;
	m = bpf_map_lookup_elem(&nat_endpoints, &e);
	if (m && nat_hold(m->addr, e.proto, m->port)) {
		l->nat_addr = m->addr;
		l->nat_port = m->port;
	} else {
		why = nat_claim_port(place, &e, e.port);
		if (why)
			return why;
		mapping.addr = l->nat_addr;
		mapping.port = l->nat_port;
		bpf_map_update_elem(&nat_endpoints, &e, &mapping, BPF_ANY);
	}
	for (int i = 0; i < 4; i++) {
		if (!nat_host_has(skb, place, l->nat_addr, false))
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
__noinline int nat_bind(struct __sk_buff *skb, __u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);

	if (!l)
		return DROP_NO_MEMORY;
	if (l->nat == NAT_OUT || l->nat == NAT_HAIRPIN)
		return nat_map(skb, place);
	return !l->nat_addr || nat_take(place) ? REASON_NONE : DROP_NAT_UNSOLICITED;
}

/* ---- from the wire ---- */

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
	bool opening, known;
	__u32 network;

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
	opening = flow_find(&at, place, FLOW_ANSWERED | FLOW_UNANSWERED);
	nat = at.flow ? nat_flow(opening, at.bucket->number, at.way) : NULL;
	if (!nat || nat->addr != l->nat_addr || nat->port != l->nat_port)
		return network == NAT_HOST ? NAT_NOT_OURS : nat_unknown(skb, l, place);
	if (network == NAT_HOST)
		return NAT_TO_HOST;
	l->out_id = at.flow->port[!(l->side & 1)];
	__builtin_memcpy(l->mac, nat->mac, 6);
	known = l->mac[0] | l->mac[1] | l->mac[2] | l->mac[3] | l->mac[4] | l->mac[5];
	return known ? NAT_KNOWN : NAT_OPENS;
}

/* ---- rewriting ---- */

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

/* A checksum in what an error quotes, if it got that far. add: what has changed that it covers. */
static __always_inline int nat_quoted_check(struct __sk_buff *skb, __u32 at, __u32 add, bool udp,
					    __u64 *sum)
{
	struct nat_field f = {.at = at};

	if (hook_load(skb, at, &f.old, 2) || (udp && !f.old))
		return 0;
	f.new = ~csum_fold32((__u64)(__u16)~f.old + add);
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
	if (l->family == 4 && nat_quoted_check(skb, q->offset + 10, add, false, &sum))
		return -1;
	if (l->family == 4 && flow_icmp(q))
		add = 0;
	add += (__u16)~port.old + port.new;
	check = nat_check_at(q);
	if (check && nat_quoted_check(skb, q->l4 + check, add, q->proto == IPPROTO_UDP, &sum))
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

/* Notes beside a connection which way its packets take, for the short way (bpf/nat_cache.h). */
__noinline int nat_note(__u32 place, __u64 mac)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct nat_flow *n;
	struct flow_at at;
	bool opening;

	if (!l)
		return 0;
	opening = flow_find(&at, place, FLOW_ANSWERED | FLOW_UNANSWERED);
	n = at.flow ? nat_flow(opening, at.bucket->number, at.way) : NULL;
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
