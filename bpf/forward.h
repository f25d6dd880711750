/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Stage forward: where a frame goes by its destination address (802.1Q, 8.6, 8.8). */
#ifndef BPF_FORWARD_H
#define BPF_FORWARD_H

#include "fdb.h"
#include "port.h"
#include "vlan.h"

/* 01:80:c2:00:00:00 to :0f, as loaded from the frame (802.1Q, table 8-1). */
static __always_inline bool is_link_local(__u64 mac)
{
	return (mac & 0xf0ffffffffffULL) == 0x00000000c28001ULL;
}

static __always_inline enum verdict forward(struct pkt *p)
{
	struct fdb_entry *e;

	p->now = bpf_ktime_get_coarse_ns();
	if (p->dst & 1) {
		if (is_link_local(p->dst) && p->net->vlan_aware)
			return p->in_policy.uplink ? UPPER : drop(p, DROP_LINK_LOCAL);
		return TO_ALL;
	}
	if (p->dst == p->net->host_mac_raw || hook_for_host(p))
		return TO_HOST;
	e = fdb_lookup(p, p->dst);
	if (!e)
		return TO_ALL;
	if (e->flags & FDB_LOCAL)
		return TO_HOST;
	p->out_id = e->port;
	p->out = bpf_map_lookup_elem(&ports, &p->out_id);
	if (!p->out)
		return TO_ALL;
	p->out_policy = port_policy(p->out);
	if (p->out_policy.network != p->in_policy.network)
		return TO_ALL;
	if (p->out_id == p->in_id) {
		if (p->in_policy.uplink && !p->in_policy.hairpin)
			return UPPER;
		if (!p->in_policy.hairpin)
			return drop(p, DROP_SAME_PORT);
	}
	return TO_PORT;
}

/* Whether a frame may leave by pkt.out, and with which tag. */
static __always_inline enum verdict egress_policy(struct pkt *p, __u32 *tag)
{
	enum reason why = port_separation(p->in_policy, p->out_policy);

	if (!why)
		why = vlan_egress(p->out_id, p->out_policy, p->vid, p->inside, p->inner_tag, tag);
	return why ? drop(p, why) : CONTINUE;
}

#endif
