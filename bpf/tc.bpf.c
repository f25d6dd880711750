// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The TC programs: entries only. */
#include "hook_tc.h"
#include "verdict_tc.h"
#include "fdb_gc.h"
#include "flow_flush.h"
#include "../maps/meta.maps.h"

/* A frame that the cache knows the way of. Returns the action, or -1: it takes the whole way. */
static __always_inline int switch_known(struct pkt *p)
{
	const struct cache_entry *c = parse(p) || p->inner_tag ? NULL : cache_lookup(p);

	if (!c)
		return -1;
	if (c->flags & (CACHE_OUT | CACHE_IN))
		return p->hairpin ? -1 : nat_short(p, c, false);
	return short_way(p, c) == TO_PORT ? verdict_tc_cached(p, c) : -1;
}

static __always_inline int switch_frame(struct __sk_buff *skb, bool from_host)
{
	struct pkt known = {.ctx = skb, .from_host = from_host}, p = {};
	int action;

	if (skb->mark == MARK_SWITCHED) { /* the switch's own, on its way through the uplink */
		skb->mark = 0;
		return TC_ACT_UNSPEC;
	}
	if (from_host) {
		known.routed = skb->ingress_ifindex;
		known.external = nat_marked(skb->mark);
		if (known.external) {
			skb->mark = 0;
			known.routed = false;
		} else if (!known.routed && nat_host(skb)) {
			return TC_ACT_SHOT;
		}
	} else if (skb->mark == MARK_HAIRPIN) {
		skb->mark = 0;
		known.hairpin = true;
		bpf_skb_change_type(skb, PACKET_HOST);
	}
	if (skb->mark == MARK_HELD) {
		skb->mark = 0;
		frag_again(skb->ifindex, skb->len + (skb->vlan_present ? VLAN_HLEN : 0));
	}
	action = switch_known(&known);
	if (action >= 0)
		return action;
	p.ctx = anew(skb);
	p.from_host = from_host;
	p.routed = known.routed;
	p.external = known.external;
	p.hairpin = known.hairpin;
	return verdict_tc(&p, pipeline(&p));
}

/* Every port: what its party sent. */
SEC("tc")
int xdpctl_ingress(struct __sk_buff *skb)
{
	return switch_frame(skb, false);
}

/* Uplinks: what the host sends on its own address. */
SEC("tc")
int xdpctl_egress(struct __sk_buff *skb)
{
	return switch_frame(skb, true);
}

/* lo, while there are forwards: what the host sends to itself. */
SEC("tc")
int xdpctl_local(struct __sk_buff *skb)
{
	return nat_local(skb);
}

/* Run once by the command line, never attached. */
SEC("tc")
int xdpctl_gc(struct __sk_buff *skb)
{
	return fdb_gc_run();
}

/* Run by the command line, never attached. */
SEC("tc")
int xdpctl_flow_flush(struct __sk_buff *skb)
{
	return flow_flush_run(skb);
}

char _license[] SEC("license") = "Dual BSD/GPL";
