// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The TC programs: entries only. */
#include "hook_tc.h"
#include "verdict_tc.h"
#include "fdb_gc.h"
#include "../maps/meta.maps.h"

/* Frames of the switch's own on their way through the uplink. */
static __always_inline bool tc_switched(struct __sk_buff *skb)
{
	if (skb->mark != MARK_SWITCHED)
		return false;
	skb->mark = 0;
	return true;
}

/* Every port: what its party sent. */
SEC("tc")
int xdpctl_ingress(struct __sk_buff *skb)
{
	struct pkt p = {.ctx = skb};

	if (tc_switched(skb))
		return TC_ACT_UNSPEC;
	return verdict_tc(&p, pipeline(&p));
}

/* Uplinks: what the host sends on its own address. */
SEC("tc")
int xdpctl_egress(struct __sk_buff *skb)
{
	struct pkt p = {.ctx = skb, .from_host = true};

	if (tc_switched(skb))
		return TC_ACT_UNSPEC;
	return verdict_tc(&p, pipeline(&p));
}

/* Run once by the command line, never attached. */
SEC("tc")
int xdpctl_gc(struct __sk_buff *skb)
{
	return fdb_gc_run();
}

char _license[] SEC("license") = "Dual BSD/GPL";
