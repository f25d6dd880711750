/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Access control lists: what a list says of a packet. */
#ifndef BPF_ACL_H
#define BPF_ACL_H

#include "pkt.h"

/* Counts a packet for the rule that judged it. len: octets of the frame. */
__noinline int acl_count(__u32 counter, __u32 len)
{
	__u32 chunk = counter / ACL_COUNTER_CHUNK, place = counter % ACL_COUNTER_CHUNK;
	void *counters = bpf_map_lookup_elem(&acl_counters, &chunk);
	struct acl_counter *c;

	c = counters ? bpf_map_lookup_elem(counters, &place) : NULL;
	if (c) {
		c->packets++;
		c->bytes += len;
	}
	return 0;
}

/* Whether a rule matches a packet (of one line of a list). */
static __always_inline bool acl_rule_matches(const struct acl_rule *r, const struct acl_key *k)
{
	return (k->src[0] & r->src_mask[0]) == r->src[0] &&
	       (k->src[1] & r->src_mask[1]) == r->src[1] &&
	       (k->dst[0] & r->dst_mask[0]) == r->dst[0] &&
	       (k->dst[1] & r->dst_mask[1]) == r->dst[1] &&
	       (k->src_mac & r->src_mac_mask) == r->src_mac &&
	       (k->dst_mac & r->dst_mac_mask) == r->dst_mac &&
	       (k->misc & r->misc_mask) == r->misc && k->sport >= r->sport_min &&
	       k->sport <= r->sport_max && k->dport >= r->dport_min && k->dport <= r->dport_max;
}

#endif
