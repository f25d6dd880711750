// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The trie of a field: from a packet's value to the set of tuples that can have a rule for it.
 *
 * A set may name a tuple in vain, which costs a look at the hash table, but never lacks one.
 * So bits in which all prefixes of a branch agree are skipped, not compared (the prefixes of
 * shorter length that such a packet does match are in the sets below as well), a branch of
 * too many levels is cut off, and so is one that tells few tuples apart.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "acl_index.h"
#include "err.h"

#define ROOT_BITS_MAX 14
#define ROOT_SPREAD   2 /* entries of a root for a prefix, as a power of two */
#define SPANS	      (ROOT_BITS_MAX + 1)

struct builder {
	struct acl_lines *lines;
	const struct acl_prefix *prefix;
	__u32 slack;
	struct acl_table seen; /* leaves */
	bool failed;	       /* no memory */
};

static bool same_number(const void *something, __u32 value)
{
	return *(const __u32 *)something == value;
}

static __u32 leaf_of(struct builder *b, __u32 set)
{
	__u32 leaf = ACL_ENTRY_LEAF | set, hash = set * 0x9e3779b1;
	struct acl_slot *slot = acl_table_find(&b->seen, hash, same_number, &leaf);

	if (!slot)
		b->failed = true;
	else if (!slot->value)
		acl_table_take(&b->seen, slot, hash, leaf);
	return leaf;
}

/* How many leading bits two prefixes' values share. */
static __u32 common_bits(const struct acl_prefix *a, const struct acl_prefix *b)
{
	if (a->high != b->high)
		return __builtin_clzll(a->high ^ b->high);
	return a->low != b->low ? 64 + __builtin_clzll(a->low ^ b->low) : 128;
}

/* The first bit of a node that is to tell prefixes apart from bit `offset` on: all in one word. */
static __u32 node_offset(__u32 offset, __u32 bits)
{
	if (offset < 64)
		return offset + bits > 64 ? 64 - bits : offset;
	return offset + bits > 128 ? 128 - bits : offset;
}

/* An entry for a node of so many bits from bit `offset` on. */
static __u32 node_entry(__u32 line, __u32 offset, __u32 bits)
{
	__u32 low = offset >= 64;

	return line | (64 - bits - offset % 64) << 24 | (low ? ACL_ENTRY_LOW : 0);
}

static __u32 bits_of(const struct acl_prefix *p, __u32 offset, __u32 bits)
{
	__u64 word = offset < 64 ? p->high : p->low;

	return word >> (64 - bits - offset % 64) & ((1U << bits) - 1);
}

static __u32 branch(struct builder *b, __u32 from, __u32 to, __u32 offset, __u32 depth,
		    __u32 above);

/* A prefix that ends inside a node holds for a span of its entries. */
struct span {
	__u32 set;
	__u32 end;
	__u32 leaf;
};

/* Opens the span of a prefix that begins at entry `at`, inside the innermost one. */
static struct span *span_open(struct span *top, __u32 end, __u32 tuple)
{
	if (top->end != end) {
		top[1].set = top[0].set;
		top[1].end = end;
		top++;
	}
	top->set |= 1U << tuple;
	top->leaf = 0;
	return top;
}

/* Fills a node's entries, which tell bits [offset, offset + bits) of prefixes [from, to). */
static void fill(struct builder *b, __u32 from, __u32 to, __u32 offset, __u32 bits, __u32 depth,
		 __u32 above, __u32 *entry)
{
	const struct acl_prefix *p = b->prefix;
	struct span span[SPANS], *top = span;
	__u32 i = from, j;

	span->set = above;
	span->end = 1U << bits;
	span->leaf = 0;
	for (__u32 at = 0; at < 1U << bits; at++) {
		while (top->end <= at)
			top--;
		for (; i < to && p[i].len < offset + bits && bits_of(&p[i], offset, bits) == at;
		     i++)
			top = span_open(top, at + (1U << (offset + bits - p[i].len)), p[i].tuple);
		for (j = i; j < to && bits_of(&p[j], offset, bits) == at; j++)
			;
		if (i < j) {
			entry[at] = branch(b, i, j, offset + bits, depth + 1, top->set);
		} else {
			if (!top->leaf)
				top->leaf = leaf_of(b, top->set);
			entry[at] = top->leaf;
		}
		i = j;
	}
}

/* The entry for prefixes [from, to), of which the first `offset` bits are told. */
static __u32 branch(struct builder *b, __u32 from, __u32 to, __u32 offset, __u32 depth, __u32 above)
{
	const struct acl_prefix *p = b->prefix;
	__u32 entry[ACL_NODE], set = above, all, common, line;

	for (;;) {
		for (; from < to && p[from].len <= offset; from++)
			set |= 1U << p[from].tuple;
		if (from == to)
			return leaf_of(b, set);
		common = common_bits(&p[from], &p[to - 1]);
		for (__u32 i = from; i < to && common > offset; i++)
			common = p[i].len < common ? p[i].len : common;
		if (common <= offset)
			break;
		offset = common;
	}
	all = set;
	for (__u32 i = from; i < to; i++)
		all |= 1U << p[i].tuple;
	if (depth == ACL_DEPTH || (__u32)__builtin_popcount(all & ~set) <= b->slack)
		return leaf_of(b, all);
	offset = node_offset(offset, ACL_NODE_BITS);
	fill(b, from, to, offset, ACL_NODE_BITS, depth, set, entry);
	for (__u32 i = 1; i < ACL_NODE; i++) {
		if (entry[i] != entry[0]) {
			line = acl_lines_node(b->lines, entry);
			if (!line)
				b->failed = true;
			return node_entry(line, offset, ACL_NODE_BITS);
		}
	}
	return entry[0];
}

static int by_value(const void *a, const void *b)
{
	const struct acl_prefix *x = a, *y = b;

	if (x->high != y->high)
		return x->high < y->high ? -1 : 1;
	if (x->low != y->low)
		return x->low < y->low ? -1 : 1;
	return x->len != y->len ? x->len - y->len : x->tuple - y->tuple;
}

static __u32 unique(struct acl_prefix *p, __u32 n)
{
	__u32 kept = 0;

	for (__u32 i = 0; i < n; i++) {
		if (!kept || by_value(&p[kept - 1], &p[i]))
			p[kept++] = p[i];
	}
	return kept;
}

/* A root that tells as many bits as there are prefixes to tell. */
static int make_root(struct builder *b, __u32 n, struct acl_trie *trie)
{
	const struct acl_prefix *p = b->prefix;
	__u32 bits = ACL_NODE_BITS, offset = 0, from = 0, set = 0, line, *entry;

	for (; from < n && !p[from].len; from++)
		set |= 1U << p[from].tuple;
	if (from == n) {
		trie->bits = 0;
		trie->root = leaf_of(b, set);
		return 0;
	}
	while (bits < ROOT_BITS_MAX && 1U << (bits + 1) < n << ROOT_SPREAD)
		bits++;
	offset = common_bits(&p[from], &p[n - 1]);
	for (__u32 i = from; i < n; i++)
		offset = p[i].len - 1U < offset ? p[i].len - 1U : offset;
	offset = node_offset(offset, bits);
	entry = malloc(sizeof(*entry) << bits);
	if (!entry)
		return -ENOMEM;
	fill(b, from, n, offset, bits, 0, set, entry);
	line = acl_lines_add(b->lines, 1U << bits >> ACL_NODE_BITS);
	if (line)
		memcpy(&b->lines->line[line], entry, sizeof(*entry) << bits);
	free(entry);
	trie->bits = bits;
	trie->root = node_entry(line, offset, bits);
	return line ? 0 : -ENOMEM;
}

static int collect(struct builder *b, struct acl_leaves *leaves)
{
	leaves->leaf = malloc((b->seen.n + 1) * sizeof(*leaves->leaf));
	if (!leaves->leaf)
		return -ENOMEM;
	leaves->n = 0;
	for (__u32 i = 0; i <= b->seen.mask; i++) {
		if (b->seen.slot[i].value)
			leaves->leaf[leaves->n++] = b->seen.slot[i].value;
	}
	return 0;
}

int acl_trie_make(struct acl_lines *l, struct acl_prefix *prefixes, __u32 n, __u32 slack,
		  struct acl_trie *trie, struct acl_leaves *leaves)
{
	struct builder b = {.lines = l, .prefix = prefixes, .slack = slack};
	int err;

	if (n)
		qsort(prefixes, n, sizeof(*prefixes), by_value);
	err = make_root(&b, unique(prefixes, n), trie);
	if (!err)
		err = b.failed ? -ENOMEM : collect(&b, leaves);
	acl_table_free(&b.seen);
	return err ? fail(ENOMEM, "list of rules: out of memory") : 0;
}
