/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Stage port: whose frame is it, and what may pass between two ports. */
#ifndef BPF_PORT_H
#define BPF_PORT_H

#include "pkt.h"

/* A global function, so that the verifier does not follow each probe through the pipeline. */
__noinline __u32 port_probe(__u32 ifindex)
{
	for (__u32 i = 1; i < PORT_SLOT_PROBES; i++) {
		__u32 key = (ifindex + i) & (PORT_SLOTS - 1);
		struct port_slot *slot = bpf_map_lookup_elem(&port_slots, &key);

		if (slot && slot->ifindex == ifindex)
			return slot->port;
	}
	return 0;
}

static __always_inline __u32 port_by_ifindex(__u32 ifindex)
{
	__u32 key = ifindex & (PORT_SLOTS - 1);
	struct port_slot *slot = bpf_map_lookup_elem(&port_slots, &key);

	return slot && slot->ifindex == ifindex ? slot->port : port_probe(ifindex);
}

static __always_inline enum verdict port_lookup(struct pkt *p)
{
	__u32 network;

	p->in_id = port_by_ifindex(hook_ifindex(p->ctx));
	if (!p->in_id)
		return UPPER;
	p->in = bpf_map_lookup_elem(&ports, &p->in_id);
	if (!p->in)
		return UPPER;
	p->in_policy = port_policy(p->in);
	network = p->in_policy.network;
	p->net = bpf_map_lookup_elem(&networks, &network);
	if (!network || !p->net)
		return UPPER;
	return CONTINUE;
}

/*
 * Isolation, as the Linux bridge's flag, and communities, as a private VLAN's (RFC
 * 5517): whether a frame may pass from one port to another.
 * Returns REASON_NONE or why not.
 */
static __always_inline enum reason port_separation(union port_policy from, union port_policy to)
{
	if (from.uplink && to.uplink && !to.hairpin) /* two while one takes over from another */
		return DROP_SAME_PORT;
	if (from.isolated && to.isolated)
		return DROP_ISOLATED;
	if (from.group && to.group && from.group != to.group)
		return DROP_GROUP;
	return REASON_NONE;
}

#endif
