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

#define ACL_SETS 5

/* A packet's search through an index. */
struct acl_search {
	void *lines;
	const struct acl_key *key;
	const struct acl_header *header;
	const __u64 *set[ACL_SETS]; /* of each field: the tuples that may have a rule for it */
	__u8 at[8];		    /* the first word of each set in its line */
	__u64 bits;		    /* of the current word: the tuples left to ask */
	__u32 word;		    /* next one */
	__u32 stop;		    /* tuples from this one on have no better rule than found */
	__u32 line;		    /* next rule to compare, 0: none */
	__u32 left;		    /* rules to compare yet in this chain, at most */
	__u32 prio;		    /* of the best rule so far */
	__u32 pad;
	__u64 result;
};

/* The lowest bit that is set: BPF has no instruction for it. */
static __always_inline __u32 acl_lowest(__u64 bits)
{
	__u32 n = 0;

	bits &= -bits;
	n |= !!(bits & 0xaaaaaaaaaaaaaaaaULL);
	n |= !!(bits & 0xccccccccccccccccULL) << 1;
	n |= !!(bits & 0xf0f0f0f0f0f0f0f0ULL) << 2;
	n |= !!(bits & 0xff00ff00ff00ff00ULL) << 3;
	n |= !!(bits & 0xffff0000ffff0000ULL) << 4;
	n |= !!(bits & 0xffffffff00000000ULL) << 5;
	return n;
}

/* The entry of a trie's root for a field's 128 bits. */
static __always_inline __u32 acl_root(void *lines, const struct acl_trie *trie, __u64 high,
				      __u64 low)
{
	__u32 entry = trie->root, bits = trie->bits, at, line;
	const __u32 *node;

	if (!bits)
		return entry;
	at = (entry & ACL_ENTRY_LOW ? low : high) >> ACL_ENTRY_SHIFT(entry) &
	     ((1 << (bits & 31)) - 1);
	line = ACL_ENTRY_LINE(entry) + at / ACL_NODE;
	node = bpf_map_lookup_elem(lines, &line);
	return node ? node[at % ACL_NODE] : ACL_ENTRY_ALL;
}

static __always_inline __u32 acl_child(void *lines, __u32 entry, __u64 high, __u64 low)
{
	__u32 line = ACL_ENTRY_LINE(entry);
	const __u32 *node = bpf_map_lookup_elem(lines, &line);
	__u64 word = entry & ACL_ENTRY_LOW ? low : high;

	return node ? node[(word >> ACL_ENTRY_SHIFT(entry)) % ACL_NODE] : ACL_ENTRY_ALL;
}

/* What a leaf says. Returns false if the list is not whole. */
static __always_inline bool acl_set(struct acl_search *s, __u32 n, __u32 entry)
{
	__u32 line = ACL_ENTRY_SET_LINE(entry);

	s->set[n] = bpf_map_lookup_elem(s->lines, &line);
	s->at[n] = ACL_ENTRY_SET_WORD(entry);
	return s->set[n];
}

/* Looks up what the packet's fields say of tuples. Returns false if the list is not whole. */
static __always_inline bool acl_sets(struct acl_search *s)
{
	const struct acl_header *h = s->header;
	const struct acl_key *k = s->key;
	__u32 family = k->misc & ACL_MISC_FAMILY_MASK, line, class = ACL_CLASS(k->misc);
	__u32 src = ACL_ENTRY_ALL, dst = ACL_ENTRY_ALL, sport, dport;
	__u64 sports = (__u64)k->sport << 48, dports = (__u64)k->dport << 48;
	const __u32 *classes;

	if (family == ACL_MISC_FAMILY(ACL_IP)) {
		src = acl_root(s->lines, &h->trie[ACL_SRC4], k->src[0], k->src[1]);
		dst = acl_root(s->lines, &h->trie[ACL_DST4], k->dst[0], k->dst[1]);
	} else if (family == ACL_MISC_FAMILY(ACL_IP6)) {
		src = acl_root(s->lines, &h->trie[ACL_SRC6], k->src[0], k->src[1]);
		dst = acl_root(s->lines, &h->trie[ACL_DST6], k->dst[0], k->dst[1]);
	}
	sport = acl_root(s->lines, &h->trie[ACL_SPORT], sports, 0);
	dport = acl_root(s->lines, &h->trie[ACL_DPORT], dports, 0);
	line = h->classes + class / ACL_NODE;
	classes = bpf_map_lookup_elem(s->lines, &line);
	if (!classes || !acl_set(s, 0, classes[class % ACL_NODE]))
		return false;
	/* side by side, so that one does not wait for the other's memory */
	for (int i = 0; i < ACL_DEPTH; i++) {
		if (!(src & ACL_ENTRY_LEAF))
			src = acl_child(s->lines, src, k->src[0], k->src[1]);
		if (!(dst & ACL_ENTRY_LEAF))
			dst = acl_child(s->lines, dst, k->dst[0], k->dst[1]);
		if (!(sport & ACL_ENTRY_LEAF))
			sport = acl_child(s->lines, sport, sports, 0);
		if (!(dport & ACL_ENTRY_LEAF))
			dport = acl_child(s->lines, dport, dports, 0);
		if (src & dst & sport & dport & ACL_ENTRY_LEAF)
			break;
	}
	for (int i = 1; i < ACL_SETS; i++) {
		s->set[i] = s->set[0];
		s->at[i] = s->at[0];
	}
	return (src == ACL_ENTRY_ALL || acl_set(s, 1, src)) &&
	       (dst == ACL_ENTRY_ALL || acl_set(s, 2, dst)) &&
	       (sport == ACL_ENTRY_ALL || acl_set(s, 3, sport)) &&
	       (dport == ACL_ENTRY_ALL || acl_set(s, 4, dport));
}

/* Asks a tuple for its rules: the first one's line, or 0. */
static __always_inline __u32 acl_probe(struct acl_search *s, __u32 n)
{
	const struct acl_tuple *tuple;
	const __u32 *bucket;
	__u32 line = s->header->tuple + n, at, entry;
	__u64 h;

	tuple = bpf_map_lookup_elem(s->lines, &line);
	if (!tuple)
		return 0;
	h = acl_hash(s->key, tuple);
	line = s->header->bucket + ACL_HASH_BUCKET(h, s->header->buckets);
	bucket = bpf_map_lookup_elem(s->lines, &line);
	if (!bucket)
		return 0;
	s->left = tuple->chain;
	at = ACL_HASH_PLACE(h);
	for (int i = 0; i < ACL_BUCKET; i++) {
		entry = bucket[(at + i) % ACL_BUCKET];
		if (!entry)
			return 0;
		if (entry >> ACL_LINE_BITS == ACL_HASH_PRINT(h))
			return ACL_NEXT_LINE(entry);
	}
	return 0;
}

/* Goes to the next tuple that may have a rule for the packet. Returns whether it is all over. */
static __always_inline bool acl_next(struct acl_search *s)
{
	__u32 word = s->word, n;

	if (!s->bits) {
		if (word >= s->header->words || word * 64 >= s->stop)
			return true;
		s->bits = s->set[0][(s->at[0] + word) % 16] & s->set[1][(s->at[1] + word) % 16] &
			  s->set[2][(s->at[2] + word) % 16] & s->set[3][(s->at[3] + word) % 16] &
			  s->set[4][(s->at[4] + word) % 16];
		s->word = word + 1;
		if (!s->bits)
			return false;
	}
	n = acl_lowest(s->bits) + (s->word - 1) * 64;
	if (n >= s->stop)
		return true;
	s->bits &= s->bits - 1;
	s->line = acl_probe(s, n);
	return false;
}

static long acl_step(__u32 index, void *context)
{
	struct acl_search *s = context;
	const struct acl_rule *r;
	__u32 next;

	if (!s->line && acl_next(s))
		return 1;
	if (!s->line)
		return 0;
	r = bpf_map_lookup_elem(s->lines, &s->line);
	if (!r)
		return 1;
	next = r->next;
	s->line = 0;
	if (r->prio >= s->prio)
		return 0;
	if (acl_rule_matches(r, s->key)) {
		s->prio = r->prio;
		s->result = acl_result(r);
		s->stop = ACL_NEXT_STOP(next);
	} else if (--s->left) {
		s->line = ACL_NEXT_LINE(next);
	}
	return 0;
}

static __always_inline __u64 acl_match_index(void *lines, const struct acl_key *key,
					     const struct acl_header *header)
{
	struct acl_search s = {
		.lines = lines,
		.key = key,
		.header = header,
		.stop = header->tuples,
		.prio = ACL_PRIO_MAX + 1U,
	};

	if (acl_sets(&s))
		bpf_loop(ACL_WORK_MAX + ACL_TUPLE_MAX / 64, acl_step, &s, 0);
	return s.result;
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
	if (!header->tuples)
		return acl_match_linear(lines, &l3->key, header->rules);
	return acl_match_index(lines, &l3->key, header);
}

#endif
