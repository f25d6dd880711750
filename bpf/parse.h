/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Stage parse: the Ethernet header and the outer VLAN tag (802.3, 3.2; 802.1Q, 9). */
#ifndef BPF_PARSE_H
#define BPF_PARSE_H

#include "pkt.h"

struct vlan_tag {
	__be16 tci;
	__be16 proto; /* of what follows */
};

static __always_inline enum verdict parse(struct pkt *p)
{
	void *data, *end;
	struct ethhdr *eth;
	struct vlan_tag *tag;
	__u16 outer;

	hook_frame(p->ctx, &data, &end, &p->len);
	eth = data;
	if (data + sizeof(*eth) > end)
		return drop(p, DROP_MALFORMED);
	p->dst = *(__u64 *)data & MAC_MASK;
	p->src = *(__u64 *)(data + ETH_ALEN) & MAC_MASK;
	p->proto = eth->h_proto;
	p->offset = sizeof(*eth);

	outer = hook_tag(p->ctx, &p->tag);
	if (outer == bpf_htons(ETH_P_8021AD)) {
		p->inner_tag = true;
		p->tag = NO_TAG;
	} else if (outer) {
		p->inner_tag = is_vlan_proto(p->proto);
	} else if (p->proto == bpf_htons(ETH_P_8021AD)) {
		p->inner_tag = true;
	} else if (p->proto == bpf_htons(ETH_P_8021Q)) {
		tag = data + sizeof(*eth);
		if ((void *)(tag + 1) > end)
			return drop(p, DROP_MALFORMED);
		p->tag = TAG_PRESENT | bpf_ntohs(tag->tci);
		p->proto = tag->proto;
		p->offset += sizeof(*tag);
		p->inner_tag = is_vlan_proto(p->proto);
	}
	p->size = pkt_size(p);
	return CONTINUE;
}

#endif
