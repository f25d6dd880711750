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

/* What of a rule is compared first. */
static __always_inline const struct acl_brief *
acl_brief(void *lines, const struct acl_header *header, __u32 slot)
{
	__u32 line = header->brief + slot / 2;
	const struct acl_brief *pair = bpf_map_lookup_elem(lines, &line);

	return pair ? pair + slot % 2 : NULL;
}

static __always_inline bool acl_brief_matches(const struct acl_brief *b, const struct acl_key *k)
{
	return ((__u32)(k->src[0] >> 32) & b->src_mask) == b->src &&
	       ((__u32)(k->dst[0] >> 32) & b->dst_mask) == b->dst &&
	       (k->misc & b->misc_mask) == b->misc && k->sport >= b->sport_min &&
	       k->sport <= b->sport_max && k->dport >= b->dport_min && k->dport <= b->dport_max;
}

/* Whether a rule matches. */
static __always_inline bool acl_matches(void *lines, const struct acl_brief *b,
					const struct acl_key *key)
{
	const struct acl_rule *r;
	__u32 line;

	if (!acl_brief_matches(b, key))
		return false;
	if (!(b->result & ACL_BRIEF_MORE))
		return true;
	line = b->rule;
	r = bpf_map_lookup_elem(lines, &line);
	return r && acl_rule_matches(r, key);
}

static __always_inline __u64 acl_result(const struct acl_brief *b)
{
	return (b->result & ~ACL_BRIEF_MORE) | (__u64)b->prio << 32;
}

static __always_inline __u64 acl_match_linear(void *lines, const struct acl_header *header,
					      const struct acl_key *key)
{
	for (__u32 slot = 0; slot < ACL_LINEAR_MAX; slot += 2) {
		const struct acl_brief *b;

		if (slot >= header->rules)
			break;
		b = acl_brief(lines, header, slot);
		if (!b)
			break;
		if (acl_matches(lines, b, key))
			return acl_result(b);
		if (slot + 1 < header->rules && acl_matches(lines, b + 1, key))
			return acl_result(b + 1);
	}
	return 0;
}

/* A packet's search through an index. */
struct acl_search {
	void *lines;
	const struct acl_key *key;
	const struct acl_header *header;
	__u64 result;
	__u32 tuples; /* left to ask: a set, the best rules first */
	__u32 next;   /* slot + 1 of the next rule to compare, 0: none */
	__u32 left;   /* rules to compare yet in this chain, at most */
	__u32 prio;   /* of the best rule so far */
};

/* The lowest bit that is set: BPF has no instruction for it. */
static __always_inline __u32 acl_lowest(__u32 bits)
{
	bits &= -bits;
	return (__u32) !!(bits & 0xaaaaaaaa) | (__u32) !!(bits & 0xcccccccc) << 1 |
	       (__u32) !!(bits & 0xf0f0f0f0) << 2 | (__u32) !!(bits & 0xff00ff00) << 3 |
	       (__u32) !!(bits & 0xffff0000) << 4;
}

/* The entry of a node of so many bits for a field's value. */
static __always_inline __u32 acl_node(void *lines, __u32 entry, __u32 bits, __u64 word)
{
	__u32 at = word >> ACL_ENTRY_SHIFT(entry) & ((1U << (bits & 31)) - 1);
	__u32 line = ACL_ENTRY_LINE(entry) + at / ACL_NODE;
	const __u32 *node = bpf_map_lookup_elem(lines, &line);

	return node ? node[at % ACL_NODE] : ACL_ENTRY_ALL;
}

/* The word of an address that a node looks at. */
static __always_inline __u64 acl_word(__u32 entry, const __u64 *address)
{
	return address[!!(entry & ACL_ENTRY_LOW)];
}

/* A port as a trie's word. */
static __always_inline __u64 acl_port_word(__u16 port)
{
	return (__u64)port << 48;
}

static __always_inline __u32 acl_address_root(void *lines, const struct acl_trie *t,
					      const __u64 *address)
{
	return t->bits ? acl_node(lines, t->root, t->bits, acl_word(t->root, address)) : t->root;
}

static __always_inline __u32 acl_port_root(void *lines, const struct acl_trie *t, __u16 port)
{
	return t->bits ? acl_node(lines, t->root, t->bits, acl_port_word(port)) : t->root;
}

/*
 * Whether an entry is a leaf; the verifier learns nothing of the entry by it, lest it follows what
 * comes for each combination of leaves and nodes.
 */
static __always_inline bool acl_is_leaf(__u32 entry)
{
	__u32 leaf = entry >> 31;

	asm volatile("" : "+r"(leaf));
	return leaf;
}

static __always_inline __u32 acl_address_child(void *lines, __u32 entry, const __u64 *address)
{
	if (acl_is_leaf(entry))
		return entry;
	return acl_node(lines, entry, ACL_NODE_BITS, acl_word(entry, address));
}

static __always_inline __u32 acl_port_child(void *lines, __u32 entry, __u16 port)
{
	if (acl_is_leaf(entry))
		return entry;
	return acl_node(lines, entry, ACL_NODE_BITS, acl_port_word(port));
}

/* The tuples that can have a rule for a packet. */
static __always_inline __u32 acl_tuples(void *lines, const struct acl_header *h,
					const struct acl_key *k)
{
	__u32 family = k->misc & ACL_MISC_FAMILY_MASK, class = ACL_CLASS_OTHER, src, dst, sport,
	      dport, set;

	src = dst = ACL_ENTRY_ALL;
	if (family == ACL_MISC_FAMILY(ACL_IP)) {
		class = ACL_CLASS_IP + acl_class_of_proto(k->misc & ACL_MISC_PROTO_MASK);
		src = acl_address_root(lines, &h->trie[ACL_SRC4], k->src);
		dst = acl_address_root(lines, &h->trie[ACL_DST4], k->dst);
	} else if (family == ACL_MISC_FAMILY(ACL_IP6)) {
		class = ACL_CLASS_IP6 + acl_class_of_proto(k->misc & ACL_MISC_PROTO_MASK);
		src = acl_address_root(lines, &h->trie[ACL_SRC6], k->src);
		dst = acl_address_root(lines, &h->trie[ACL_DST6], k->dst);
	}
	set = h->class[class];
	asm volatile("" : "+r"(set)); /* now: the verifier would follow each class apart */
	sport = acl_port_root(lines, &h->trie[ACL_SPORT], k->sport);
	dport = acl_port_root(lines, &h->trie[ACL_DPORT], k->dport);
	/* side by side, so that one does not wait for the other's memory */
	for (int i = 0; i < ACL_DEPTH && !(src & dst & sport & dport & ACL_ENTRY_LEAF); i++) {
		src = acl_address_child(lines, src, k->src);
		dst = acl_address_child(lines, dst, k->dst);
		sport = acl_port_child(lines, sport, k->sport);
		dport = acl_port_child(lines, dport, k->dport);
	}
	return src & dst & sport & dport & set & ~ACL_ENTRY_LEAF;
}

/* Where the first of the tuples has its rule for the packet, if it has one. */
static __always_inline void acl_probe(struct acl_search *s)
{
	__u32 line = s->header->tuple + acl_lowest(s->tuples), pilot;
	const struct acl_tuple *tuple = bpf_map_lookup_elem(s->lines, &line);
	const __u16 *pilots;
	__u64 hash;

	s->tuples &= s->tuples - 1;
	if (!tuple)
		return;
	s->left = tuple->chain;
	hash = acl_hash(s->key, tuple);
	pilot = acl_pilot(hash, s->header->pilots);
	line = s->header->pilot + pilot / ACL_PILOTS_OF_LINE;
	pilots = bpf_map_lookup_elem(s->lines, &line);
	if (pilots)
		s->next = 1 + acl_slot(hash, pilots[pilot % ACL_PILOTS_OF_LINE], s->header->slots);
}

/* Compares a rule, of the next tuple if need be. Returns whether that was all. */
static __always_inline bool acl_compare(struct acl_search *s)
{
	const struct acl_brief *b;
	__u32 slot;

	if (!s->next) {
		if (!s->tuples)
			return true;
		acl_probe(s);
		if (!s->next)
			return true;
	}
	slot = s->next - 1;
	s->next = 0;
	b = acl_brief(s->lines, s->header, slot);
	if (!b)
		return true;
	if (b->prio < s->prio && acl_matches(s->lines, b, s->key)) {
		s->prio = b->prio;
		s->result = acl_result(b);
		s->tuples &= (1U << ACL_NEXT_STOP(b->next)) - 1;
	} else if (b->prio < s->prio && --s->left) {
		s->next = ACL_NEXT_SLOT(b->next);
	}
	return !s->next && !s->tuples;
}

static long acl_step(__u32 index, void *search)
{
	return acl_compare(search);
}

static __always_inline __u64 acl_match_index(void *lines, const struct acl_header *header,
					     const struct acl_key *key)
{
	struct acl_search s = {
		.lines = lines,
		.key = key,
		.header = header,
		.tuples = acl_tuples(lines, header, key),
		.next = header->late,
		.left = ACL_LATE_MAX,
		.prio = ACL_PRIO_MAX + 1U,
	};

	if (s.next || !acl_compare(&s)) /* most packets are done */
		bpf_loop(ACL_STEP_MAX, acl_step, &s, 0);
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
		return acl_match_linear(lines, header, &l3->key);
	return acl_match_index(lines, header, &l3->key);
}

#endif
