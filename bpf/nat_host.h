/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The host's own connections by an uplink whose addresses VMs share. A VM is never mapped to an
 * endpoint that a socket of the host has (nat_host_has()). The other way round, a connection that
 * the host opens may meet one of a VM with the same ports and the same remote: then the host's is
 * translated to another port. So are all echo requests of the host: identifiers have no sockets to
 * be looked up.
 *
 * Such connections are kept as others are, in a space of their own (NAT_HOST).
 */
#ifndef BPF_NAT_HOST_H
#define BPF_NAT_HOST_H

#include "judge.h"
#include "nat_away.h"
#include "nat_look.h"
#include "nat_rewrite.h"
#include "port.h"

/* Whether a VM has a connection with the packet's endpoints. l: as the wire sees the packet. */
static __always_inline bool nat_host_meets(struct l3 *l, __u32 place, const struct nat_binding *b)
{
	__u64 src[2] = {l->key.src[0], l->key.src[1]}, inside[2] = {b->addr[0], b->addr[1]};
	__u16 port = l->key.sport;
	struct flow_at at;

	if (b->network == NAT_HOST || !b->network)
		return false;
	nat_space(l, b->network);
	nat_l3_addr(l->key.src, inside, l->family);
	l->key.sport = b->port;
	flow_key_make(l);
	flow_find(&at, place, FLOW_ANSWERED | FLOW_UNANSWERED);
	l->key.src[0] = src[0];
	l->key.src[1] = src[1];
	l->key.sport = port;
	return at.flow;
}

/* Gives a connection of the host another external port. Returns REASON_NONE or why not. */
__noinline int nat_host_open(__u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct nat_endpoint e = {.network = NAT_HOST};
	struct nat_pool *pool;
	__u32 port, wish;

	if (!l)
		return DROP_NO_MEMORY;
	l->nat_addr = nat_slot(l->key.src, l->family);
	e.proto = nat_proto(l->proto);
	e.port = nat_source_port(l);
	nat_key_addr(e.addr, l->key.src, l->family);
	pool = nat_pool(l->nat_addr, e.proto);
	if (!pool)
		return DROP_NAT_EXHAUSTED;
	wish = e.proto == NAT_ICMP ? e.port : e.port ^ (bpf_get_prandom_u32() & 0xfffe);
	port = nat_port_find(l->nat_addr, e.proto, wish, NAT_WELL_KNOWN | 0xffffU << 16);
	if (port == NAT_NO_PORT)
		return DROP_NAT_EXHAUSTED;
	nat_bound(pool, port, &e);
	l->nat_port = port;
	l->nat_holds = true;
	return judge_open(place); /* gives the port back if there is no room */
}

/*
 * Looks at a packet that the host sends by an uplink, into l3_scratch[1]. Returns 1 if it may have
 * to be translated: then judge_look() says whether it is already. l3.nat_new: it has to be.
 */
__noinline int nat_host_look(struct __sk_buff *skb)
{
	__u32 place = 1, id = port_by_ifindex(skb->ifindex);
	struct port *port = bpf_map_lookup_elem(&ports, &id);
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct nat_binding *b;
	struct nat_pool *pool;
	bool query;

	if (!l || !port || !id || !port_policy(port).nat || skb->vlan_present)
		return 0;
	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return 0;
	l3_read(skb, place, ETH_HLEN, skb->protocol);
	if (!l->family || l->flags & (L3_BAD | L3_GROUP | L3_FRAG | L3_FRAG_LATER) ||
	    !flow_tracks(l) || nat_proto(l->proto) >= NAT_PROTOS)
		return 0;
	pool = nat_pool(nat_slot(l->key.src, l->family), nat_proto(l->proto));
	if (!pool)
		return 0;
	query = flow_icmp(l) &&
		l->type == (l->family == 4 ? ICMP_ECHO_REQUEST : ICMP6_ECHO_REQUEST);
	b = &pool->at[nat_source_port(l)];
	if (!query && !READ_ONCE(b->refs))
		return 0;
	l->nat_new = query || nat_host_meets(l, place, b);
	nat_space(l, NAT_HOST);
	l->in_id = l->out_id = id;
	l->in_judged = l->out_judged = 0;
	l->from_host = true;
	l->to_host = false;
	l->len = skb->len;
	return 1;
}

/* What there is to do next. */
enum nat_host_step {
	NAT_HOST_PASSES,
	NAT_HOST_OPENS,
	NAT_HOST_ANSWERS,
};

/* why: what judge_look() said. */
__noinline int nat_host_next(__u32 why)
{
	__u32 place = 1;
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);

	if (!l)
		return NAT_HOST_PASSES;
	if (why == JUDGE_ASK)
		return l->ask == JUDGE_OPEN && l->nat_new ? NAT_HOST_OPENS : NAT_HOST_PASSES;
	return l->answers ? NAT_HOST_ANSWERS : NAT_HOST_PASSES;
}

/* Translates the packet, if its connection is. Returns 0 or -1. */
__noinline int nat_host_rewrite(struct __sk_buff *skb)
{
	__u32 place = 1;
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);

	if (!l || !l->nat_addr)
		return 0;
	l->nat = NAT_HOST_OUT;
	return nat_rewrite(skb, place);
}

/*
 * A packet that the host sends to itself, by lo, to an external endpoint that is forwarded: the VM
 * gets it. Returns what becomes of it.
 */
static __always_inline int nat_local(struct __sk_buff *skb)
{
	__u32 place = 1, network;
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct network *net;
	int found, why;

	if (!l || (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6)))
		return TC_ACT_UNSPEC;
	l3_read(skb, place, ETH_HLEN, skb->protocol);
	if (l->flags & L3_FRAG || !nat_slot(l->key.dst, l->family))
		return TC_ACT_UNSPEC;
	found = nat_look(skb, place, 0, true);
	if (found != NAT_KNOWN && found != NAT_OPENS)
		return TC_ACT_UNSPEC;
	l->nat = NAT_IN;
	why = nat_translate(skb, place);
	if (why) {
		network = l->network;
		net = bpf_map_lookup_elem(&networks, &network);
		if (net)
			stats_reason(net->uplink, why);
		return TC_ACT_SHOT;
	}
	return nat_redirect(skb, place, true, skb->len);
}

/*
 * A packet that the host sends by an uplink: one that would meet a VM's connection is translated.
 * Returns 0, or -1: there is no port for it, which is counted. In steps, for the chain of calls is
 * long.
 */
static __always_inline int nat_host(struct __sk_buff *skb)
{
	int step, why;

	if (!nat_host_look(skb))
		return 0;
	step = nat_host_next(judge_look(skb, true));
	why = step == NAT_HOST_OPENS ? nat_host_open(true) : REASON_NONE;
	if (why) {
		stats_reason(port_by_ifindex(skb->ifindex), why);
		return -1;
	}
	if (step == NAT_HOST_ANSWERS)
		judge_promote(true);
	return nat_host_rewrite(skb);
}

#endif
