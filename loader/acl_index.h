/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The parts that acl_compile.c makes a list's index of: its lines (acl_lines.c), the tuples
 * of its rules (acl_tuples.c), where they hash to (acl_hash.c), the tries of its fields
 * (acl_trie.c).
 */
#ifndef LOADER_ACL_INDEX_H
#define LOADER_ACL_INDEX_H

#include <stdbool.h>
#include "../maps/acl.h"

/* A hash table of numbers (not 0) that stand for something. */
struct acl_table {
	struct acl_slot {
		__u32 hash;
		__u32 value;
	} * slot;
	__u32 mask; /* slots - 1 */
	__u32 n;
};

/*
 * Returns the slot of a number with this hash that is the same as something, or a free one
 * for it (value is 0); NULL: no memory.
 */
struct acl_slot *acl_table_find(struct acl_table *t, __u32 hash,
				bool (*same)(const void *something, __u32 value),
				const void *something);
/* Takes a free slot that acl_table_find() found. */
void acl_table_take(struct acl_table *t, struct acl_slot *slot, __u32 hash, __u32 value);
void acl_table_free(struct acl_table *t);

/* A list's lines in the making. Nodes of tries that are the same are one. */
struct acl_lines {
	struct acl_rule *line;
	__u32 n;
	__u32 room;
	struct acl_table nodes;
};

/* Adds n lines of zeros. Returns the first one's number, or 0: no memory. */
__u32 acl_lines_add(struct acl_lines *l, __u32 n);
/* Returns the line of a node with these entries, or 0: no memory. */
__u32 acl_lines_node(struct acl_lines *l, const __u32 *entries);
void acl_lines_free(struct acl_lines *l);

/* What the rules were sorted into. */
struct acl_tuples {
	struct acl_tuple *tuple; /* by the best of their rules */
	__u32 n;
	__u32 masks; /* of rules, before tuples were joined */
	__u8 *of;    /* each rule's tuple */
};

/*
 * Sorts rules into ACL_TUPLE_MAX tuples at most, in which chains are of `chain` rules if
 * that can be.
 */
int acl_tuples_make(const struct acl_rule *rules, __u32 n, __u32 most, __u32 chain,
		    struct acl_tuples *tuples);
void acl_tuples_free(struct acl_tuples *tuples);

/* Whether a packet can match a rule at all. */
bool acl_can_match(const struct acl_rule *r);
/* Whether all packets that match b match a. */
bool acl_covers(const struct acl_rule *a, const struct acl_rule *b);
/* What of the rule in a line is compared first. */
struct acl_brief acl_brief_of(const struct acl_rule *r, __u32 line);

/*
 * Puts the rules' briefs where their hashes go, and says so in the header; sets the tuples'
 * chains.
 */
int acl_hash_make(const struct acl_rule *rules, __u32 n, struct acl_lines *lines,
		  struct acl_tuples *tuples, struct acl_header *header);

/* What a rule asks for, as a packet. */
struct acl_key acl_rule_key(const struct acl_rule *r);

/* A tuple has a rule for the values that begin with the first len bits of these. */
struct acl_prefix {
	__u64 high;
	__u64 low;
	__u32 len;
	__u32 tuple;
};

/* The leaves of a trie, each once. */
struct acl_leaves {
	__u32 *leaf;
	__u32 n;
};

/*
 * Makes a trie of prefixes, which are sorted here. slack: how many tuples a leaf may have in
 * vain rather than to be made a node. The leaves are the caller's to free.
 */
int acl_trie_make(struct acl_lines *l, struct acl_prefix *prefixes, __u32 n, __u32 slack,
		  struct acl_trie *trie, struct acl_leaves *leaves);

#endif
