/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Rules and packets for tests of access control lists: the ClassBench sets in
 * tests/classbench, packets at and around what rules ask for, and the answer that a straight
 * scan of the rules gives.
 */
#ifndef TESTS_ACL_RULES_H
#define TESTS_ACL_RULES_H

#include <stdbool.h>
#include "../maps/acl.h"

/* Numbers that the seed determines. */
struct acl_random {
	__u64 state;
};
__u64 acl_random(struct acl_random *r);
/* Below n. */
__u32 acl_random_below(struct acl_random *r, __u32 n);

struct acl_rules {
	struct acl_rule *rule;
	__u32 n;
	/* the scan's shortcut: what a rule asks of the upper bits of addresses */
	struct acl_filter {
		__u32 src, src_mask, dst, dst_mask;
	} * filter;
};

/* Reads a ClassBench set (.xz), at most `most` rules. Prio and counter tell the line. */
int acl_rules_read(const char *path, __u32 most, struct acl_rules *rules);
/*
 * Makes n rules at random, of all that a rule can ask for; some lists use all of it, some
 * little, so that rules overlap.
 */
int acl_rules_random(__u32 n, struct acl_random *random, struct acl_rules *rules);
/* Readies rules that are in place for acl_rules_scan(). */
int acl_rules_ready(struct acl_rules *rules);
void acl_rules_free(struct acl_rules *rules);
/* Whether a rule has this prio. */
bool acl_rules_has(const struct acl_rules *rules, __u32 prio);

/* What is to come of a packet: as acl_match(). */
__u64 acl_rules_scan(const struct acl_rules *rules, const struct acl_key *key);

/* A packet for a rule, its fields at the edges of what the rule asks for, or past them. */
struct acl_key acl_packet_for(const struct acl_rule *rule, struct acl_random *random);
/* A packet of fields that rules of the list ask for, the same rule's or several's. */
struct acl_key acl_packet(const struct acl_rules *rules, struct acl_random *random);

#endif
