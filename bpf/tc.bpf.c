// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The TC programs: entries only. */
#include "hook_tc.h"
#include "verdict_tc.h"
#include "fdb_gc.h"
#include "flow_flush.h"
#include "../maps/meta.maps.h"

static __always_inline int switch_frame(struct __sk_buff *skb, bool from_host)
{
	struct pkt p = {.ctx = skb, .from_host = from_host};
	const struct cache_entry *c;
	enum verdict parsed;
	int action;

	if (skb->mark == MARK_SWITCHED) { /* the switch's own, on its way through the uplink */
		skb->mark = 0;
		return TC_ACT_UNSPEC;
	}
	if (from_host) {
		p.routed = skb->ingress_ifindex;
		p.external = nat_marked(skb->mark);
		if (p.external) {
			skb->mark = 0;
			p.routed = false;
		} else if (!p.routed && nat_host(skb)) {
			return TC_ACT_SHOT;
		}
	} else if (skb->mark == MARK_HAIRPIN) {
		skb->mark = 0;
		p.hairpin = true;
		bpf_skb_change_type(skb, PACKET_HOST);
	}
	if (skb->mark == MARK_HELD) {
		skb->mark = 0;
		frag_again(skb->ifindex, skb->len + (skb->vlan_present ? VLAN_HLEN : 0));
	}
	parsed = parse(&p);
	c = parsed ? NULL : cache_lookup(&p);
	if (c && c->flags & (CACHE_OUT | CACHE_IN) && !p.hairpin) {
		action = nat_short(&p, c, false);
		if (action >= 0)
			return action;
	}
	return c && short_way(&p, c) == TO_PORT ? verdict_tc_cached(&p, c)
						: verdict_tc(&p, pipeline(&p, parsed));
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
