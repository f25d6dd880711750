/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Stage VLAN: a frame's VLAN by its ingress port, its tag by its egress port (802.1Q, 8.6, 8.8). */
#ifndef BPF_VLAN_H
#define BPF_VLAN_H

#include "pkt.h"

static __always_inline bool vlan_trunk_carries(__u32 port, __u32 vid)
{
	struct port_vlans *v = bpf_map_lookup_elem(&port_vlans, &port);

	vid &= VLAN_VID_MASK;
	return v && READ_ONCE(v->member[vid / 64]) >> (vid % 64) & 1;
}

/* Sets pkt.vid and pkt.inside. An S-tagged frame is as untagged on a transparent port. */
static __always_inline enum verdict vlan_ingress(struct pkt *p)
{
	union port_policy policy = p->in_policy;
	__u16 vid = p->tag & VLAN_VID_MASK;

	if (policy.vlan_mode == VLAN_TRANSPARENT) {
		p->vid = vid;
		p->inside = p->tag;
		return CONTINUE;
	}
	if (!p->tag && p->inner_tag)
		return drop(p, DROP_VLAN_TAGGED);
	if (policy.vlan_mode == VLAN_ACCESS) {
		if (vid && vid != policy.pvid)
			return drop(p, DROP_VLAN_TAGGED);
		vid = 0;
	} else if (vid && vid != policy.pvid && !vlan_trunk_carries(p->in_id, vid)) {
		return drop(p, DROP_VLAN_NOT_MEMBER);
	}
	if (!vid) {
		if (!policy.pvid)
			return drop(p, DROP_VLAN_UNTAGGED);
		if (p->inner_tag)
			return drop(p, DROP_DOUBLE_TAG);
		vid = policy.pvid;
	}
	p->vid = vid;
	p->inside = TAG_PRESENT | (p->tag & 0xf000) | vid;
	return CONTINUE;
}

/*
 * The tag that a frame of VLAN vid leaves port `to` with: `inside` or NO_TAG, in *tag.
 * Returns REASON_NONE or why the port does not carry it.
 */
static __always_inline enum reason vlan_egress(__u32 to, union port_policy policy, __u16 vid,
					       __u32 inside, bool inner_tag, __u32 *tag)
{
	*tag = inside;
	if (policy.vlan_mode == VLAN_TRANSPARENT)
		return REASON_NONE;
	if (!vid)
		return DROP_VLAN_EGRESS;
	if (vid == policy.pvid) {
		*tag = NO_TAG;
		return inner_tag ? DROP_DOUBLE_TAG : REASON_NONE;
	}
	if (policy.vlan_mode == VLAN_TRUNK && vlan_trunk_carries(to, vid))
		return REASON_NONE;
	return DROP_VLAN_EGRESS;
}

#endif
