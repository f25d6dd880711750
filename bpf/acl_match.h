/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Access control lists: which rule of a list decides on a packet. Lists are made by
 * loader/acl_compile.c. Needs l3_scratch, acl_lists and bpf_map_lookup_elem(), nothing else:
 * the tests compile it for user space as well.
 */
#ifndef BPF_ACL_MATCH_H
#define BPF_ACL_MATCH_H

#include <stdbool.h>

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

static __always_inline __u64 acl_result(const struct acl_rule *r)
{
	return ACL_RESULT(r->action & 3, r->flags & ACL_RULE_LOG,
			  r->counter & (ACL_COUNTER_MAX - 1), r->prio);
}

static __always_inline __u64 acl_match_linear(void *list, const struct acl_key *key, __u32 rules)
{
	for (__u32 i = 1; i <= ACL_LINEAR_MAX; i++) {
		const struct acl_rule *r;
		__u32 line = i;

		if (i > rules)
			break;
		r = bpf_map_lookup_elem(list, &line);
		if (r && acl_rule_matches(r, key))
			return acl_result(r);
	}
	return 0;
}

/* What a list says of the packet in l3_scratch[place]: ACL_RESULT…, 0: nothing. */
__noinline __u64 acl_match(__u32 list, __u32 place)
{
	const struct l3 *l3 = bpf_map_lookup_elem(&l3_scratch, &place);
	void *lines = bpf_map_lookup_elem(&acl_lists, &list);
	const struct acl_header *header;
	__u32 line = 0;

	if (!lines || !l3)
		return 0;
	header = bpf_map_lookup_elem(lines, &line);
	if (!header)
		return 0;
	return acl_match_linear(lines, &l3->key, header->rules);
}

#endif
