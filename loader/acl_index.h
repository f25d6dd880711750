/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The parts that acl_compile.c makes a list's index of: its lines (acl_lines.c), the tuples
 * of its rules (acl_tuples.c), the tries of its fields (acl_trie.c).
 */
#ifndef LOADER_ACL_INDEX_H
#define LOADER_ACL_INDEX_H

#include <stdbool.h>
#include "../maps/acl.h"

#define ACL_SET_WORDS (ACL_TUPLE_MAX / 64)

/* A set of tuples. */
struct acl_set {
	__u64 word[ACL_SET_WORDS];
};

/* A hash table of numbers (not 0) that stand for something. */
struct acl_table {
	struct acl_slot {
		__u32 hash;
		__u32 value;
	} * slot;
	__u32 mask; /* slots - 1 */
	__u32 n;
};

/* Returns the first slot for a hash at or behind *at that is taken by it, or a free one; NULL: no
 * memory. */
struct acl_slot *acl_table_find(struct acl_table *t, __u32 hash,
				bool (*same)(const void *ctx, __u32 value), const void *ctx);
/* Takes a free slot that acl_table_find() found. */
void acl_table_take(struct acl_table *t, struct acl_slot *slot, __u32 hash, __u32 value);
void acl_table_free(struct acl_table *t);

/* A list's lines as they are made; sets of tuples and nodes of tries are there once each. */
struct acl_lines {
	struct acl_rule *line;
	__u32 n;
	__u32 room;
	__u32 words; /* of a set */
	__u32 sets;  /* the line that takes the next set */
	__u32 word;  /* where in it */
	struct acl_table set_table;
	struct acl_table node_table;
};

/* Adds n lines of zeros. Returns the first one's number, or 0: no memory. */
__u32 acl_lines_add(struct acl_lines *l, __u32 n);
/* Returns the leaf that names the set, or 0: no memory. */
__u32 acl_lines_set(struct acl_lines *l, const struct acl_set *set);
/* Returns the line of a node with these entries, or 0: no memory. */
__u32 acl_lines_node(struct acl_lines *l, const __u32 *entries);
/* The words of a leaf's set. */
const __u64 *acl_lines_words(const struct acl_lines *l, __u32 leaf);
void acl_lines_free(struct acl_lines *l);

/* What the rules were sorted into. */
struct acl_tuples {
	struct acl_tuple *tuple; /* by the lowest prio of their rules */
	__u32 n;
	__u32 natural; /* before any were joined */
	__u16 *of;     /* each rule's */
};

/* How far tuples are joined: until there are `target`, chains of `chain` rules at most. */
struct acl_joining {
	__u32 target;
	__u32 chain;
};

int acl_tuples_make(const struct acl_rule *rules, __u32 n, const struct acl_joining *joining,
		    struct acl_tuples *tuples);
void acl_tuples_free(struct acl_tuples *tuples);

/* A tuple has a rule for the values that begin with the first len bits of these. */
struct acl_prefix {
	__u64 high;
	__u64 low;
	__u16 len;
	__u16 tuple;
};

/* The leaves of a trie, each once. */
struct acl_leaves {
	__u32 *leaf;
	__u32 n;
};

/*
 * Makes a trie of prefixes, which are sorted here. slack: how many tuples a leaf may name in
 * vain rather than to be made a node. *leaves is the caller's to free.
 */
int acl_trie_make(struct acl_lines *l, struct acl_prefix *prefixes, __u32 n, __u32 slack,
		  struct acl_trie *trie, struct acl_leaves *leaves);

#endif
