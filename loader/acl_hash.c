// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Where rules are found: a perfect hash (as Belazzougui, Botelho, Dietzfelbinger: Hash,
 * displace, and compress, 2009). Hashes are thrown into groups of some four; for each group,
 * the largest first, a pilot is sought that sends all of them to free slots. So pilots are a
 * small table that stays in the cache, and the only other memory that is looked at is the
 * rule's own slot. Rules of the same hash are a chain, the best first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "acl_index.h"
#include "err.h"

#define PILOT_MAX   0xffff
#define GROUP	    4 /* hashes, on average */
#define GROUP_MAX   64
#define SEEDS	    32
#define COVERED_MAX 256 /* rules of a chain that a new one is compared with */
#define NONE	    0xffffffff

struct hasher {
	const struct acl_rule *rule;
	__u32 n;
	const struct acl_tuples *tuples;
	__u64 *hash;  /* of each rule */
	__u32 *next;  /* rule of the same hash, NONE: none */
	__u32 *slot;  /* of each rule, NONE: it needs none */
	__u32 *table; /* first rule of a hash, NONE: free */
	__u32 table_mask;
	__u32 *head; /* first rules, by group */
	__u32 heads;
	__u32 *start; /* of each group in head[] */
	__u32 *order; /* groups, the largest first */
	__u16 *pilot;
	__u32 pilots;
	__u64 *taken; /* slots, a bit each */
	__u32 slots;
};

bool acl_covers(const struct acl_rule *a, const struct acl_rule *b)
{
	return (b->src[0] & a->src_mask[0]) == a->src[0] && !(a->src_mask[0] & ~b->src_mask[0]) &&
	       (b->src[1] & a->src_mask[1]) == a->src[1] && !(a->src_mask[1] & ~b->src_mask[1]) &&
	       (b->dst[0] & a->dst_mask[0]) == a->dst[0] && !(a->dst_mask[0] & ~b->dst_mask[0]) &&
	       (b->dst[1] & a->dst_mask[1]) == a->dst[1] && !(a->dst_mask[1] & ~b->dst_mask[1]) &&
	       (b->src_mac & a->src_mac_mask) == a->src_mac &&
	       !(a->src_mac_mask & ~b->src_mac_mask) &&
	       (b->dst_mac & a->dst_mac_mask) == a->dst_mac &&
	       !(a->dst_mac_mask & ~b->dst_mac_mask) && (b->misc & a->misc_mask) == a->misc &&
	       !(a->misc_mask & ~b->misc_mask) && a->sport_min <= b->sport_min &&
	       a->sport_max >= b->sport_max && a->dport_min <= b->dport_min &&
	       a->dport_max >= b->dport_max;
}

struct acl_brief acl_brief_of(const struct acl_rule *r, __u32 line)
{
	struct acl_brief b = {
		.src = r->src[0] >> 32,
		.src_mask = r->src_mask[0] >> 32,
		.dst = r->dst[0] >> 32,
		.dst_mask = r->dst_mask[0] >> 32,
		.misc = r->misc,
		.misc_mask = r->misc_mask,
		.sport_min = r->sport_min,
		.sport_max = r->sport_max,
		.dport_min = r->dport_min,
		.dport_max = r->dport_max,
		.prio = r->prio,
		.rule = line,
		.result = ACL_RESULT(r->action & 3, r->flags & ACL_RULE_LOG,
				     r->counter & (ACL_COUNTER_MAX - 1), 0),
	};

	if ((__u32)r->src_mask[0] || r->src_mask[1] || (__u32)r->dst_mask[0] || r->dst_mask[1] ||
	    r->src_mac_mask || r->dst_mac_mask || !acl_can_match(r))
		b.result |= ACL_BRIEF_MORE;
	return b;
}

static bool hasher_init(struct hasher *h, const struct acl_rule *rules, __u32 n,
			const struct acl_tuples *tuples)
{
	__u32 table = 256;

	while (table < 2 * n)
		table *= 2;
	*h = (struct hasher){
		.rule = rules,
		.n = n,
		.tuples = tuples,
		.table_mask = table - 1,
		.pilots = n / GROUP + 1,
		.slots = n + n / 4 + 2,
	};
	h->hash = malloc((n + 1) * sizeof(*h->hash));
	h->next = malloc((n + 1) * sizeof(*h->next));
	h->slot = malloc((n + 1) * sizeof(*h->slot));
	h->table = malloc(table * sizeof(*h->table));
	h->head = malloc((n + 1) * sizeof(*h->head));
	h->start = malloc((h->pilots + 1) * sizeof(*h->start));
	h->order = malloc(h->pilots * sizeof(*h->order));
	h->pilot = malloc(h->pilots * sizeof(*h->pilot));
	h->taken = malloc((h->slots / 64 + 1) * sizeof(*h->taken));
	return h->hash && h->next && h->slot && h->table && h->head && h->start && h->order &&
	       h->pilot && h->taken;
}

static void hasher_free(struct hasher *h)
{
	free(h->hash);
	free(h->next);
	free(h->slot);
	free(h->table);
	free(h->head);
	free(h->start);
	free(h->order);
	free(h->pilot);
	free(h->taken);
}

/* Takes rules out of a chain that its new first one makes needless. */
static void drop_covered(struct hasher *h, __u32 first)
{
	__u32 last = first, kept = 0;

	while (h->next[last] != NONE && kept < COVERED_MAX) {
		if (acl_covers(&h->rule[first], &h->rule[h->next[last]])) {
			h->next[last] = h->next[h->next[last]];
		} else {
			last = h->next[last];
			kept++;
		}
	}
}

/* Makes chains of the rules of the same hash. */
static void make_chains(struct hasher *h)
{
	memset(h->table, 0xff, (h->table_mask + 1) * sizeof(*h->table));
	for (__u32 i = h->n; i-- > 0;) {
		struct acl_key key = acl_rule_key(&h->rule[i]);
		__u32 at;

		h->slot[i] = NONE;
		if (!acl_can_match(&h->rule[i]))
			continue;
		h->hash[i] = acl_hash(&key, &h->tuples->tuple[h->tuples->of[i]]);
		at = h->hash[i] & h->table_mask;
		while (h->table[at] != NONE && h->hash[h->table[at]] != h->hash[i])
			at = (at + 1) & h->table_mask;
		h->next[i] = h->table[at];
		h->table[at] = i;
		drop_covered(h, i);
	}
}

/* Sorts the first rules of chains by group. */
static void make_groups(struct hasher *h)
{
	__u32 sum = 0;

	memset(h->start, 0, (h->pilots + 1) * sizeof(*h->start));
	for (__u32 at = 0; at <= h->table_mask; at++) {
		if (h->table[at] != NONE)
			h->start[acl_pilot(h->hash[h->table[at]], h->pilots)]++;
	}
	for (__u32 g = 0; g <= h->pilots; g++) {
		sum += h->start[g];
		h->start[g] = sum; /* the end, from which the loop below counts down */
	}
	h->heads = sum;
	for (__u32 at = 0; at <= h->table_mask; at++) {
		if (h->table[at] != NONE)
			h->head[--h->start[acl_pilot(h->hash[h->table[at]], h->pilots)]] =
				h->table[at];
	}
}

/* Returns false when a group is too large. */
static bool order_groups(struct hasher *h)
{
	__u32 place[GROUP_MAX + 1] = {}, sum = 0;

	for (__u32 g = 0; g < h->pilots; g++) {
		__u32 size = h->start[g + 1] - h->start[g];

		if (size > GROUP_MAX)
			return false;
		place[size]++;
	}
	for (__u32 size = GROUP_MAX + 1; size-- > 0;) {
		__u32 count = place[size];

		place[size] = sum;
		sum += count;
	}
	for (__u32 g = 0; g < h->pilots; g++)
		h->order[place[h->start[g + 1] - h->start[g]]++] = g;
	return true;
}

static bool is_taken(const struct hasher *h, __u32 slot)
{
	return h->taken[slot / 64] >> slot % 64 & 1;
}

static void take(struct hasher *h, __u32 rule, __u32 slot)
{
	h->slot[rule] = slot;
	h->taken[slot / 64] |= 1ULL << slot % 64;
}

/* Whether a pilot sends all of a group to free slots; takes them if so. */
static bool try_pilot(struct hasher *h, __u32 group, __u32 pilot)
{
	const __u32 *head = &h->head[h->start[group]];
	__u32 n = h->start[group + 1] - h->start[group], slot[GROUP_MAX];

	for (__u32 i = 0; i < n; i++) {
		slot[i] = acl_slot(h->hash[head[i]], pilot, h->slots);
		if (is_taken(h, slot[i]))
			return false;
		for (__u32 j = 0; j < i; j++) {
			if (slot[j] == slot[i])
				return false;
		}
	}
	for (__u32 i = 0; i < n; i++)
		take(h, head[i], slot[i]);
	h->pilot[group] = pilot;
	return true;
}

static bool place_heads(struct hasher *h)
{
	make_groups(h);
	if (!order_groups(h))
		return false;
	memset(h->taken, 0, (h->slots / 64 + 1) * sizeof(*h->taken));
	for (__u32 i = 0; i < h->pilots; i++) {
		__u32 pilot = 0;

		while (!try_pilot(h, h->order[i], pilot)) {
			if (pilot++ == PILOT_MAX)
				return false;
		}
	}
	return true;
}

/* The rules behind the first ones get what slots are left. */
static void place_others(struct hasher *h)
{
	__u32 slot = 0;

	for (__u32 i = 0; i < h->heads; i++) {
		for (__u32 r = h->next[h->head[i]]; r != NONE; r = h->next[r]) {
			while (is_taken(h, slot))
				slot++;
			take(h, r, slot);
		}
	}
}

static int fill_lines(const struct hasher *h, struct acl_lines *lines, struct acl_header *header)
{
	struct acl_brief *brief;
	__u32 stop = 0;

	header->slots = h->slots;
	header->pilots = h->pilots;
	header->brief = acl_lines_add(lines, (h->slots + ACL_LATE_MAX + 1) / 2);
	header->pilot = acl_lines_add(lines, h->pilots / ACL_PILOTS_OF_LINE + 1);
	if (!header->brief || !header->pilot)
		return -ENOMEM;
	memcpy(&lines->line[header->pilot], h->pilot, h->pilots * sizeof(*h->pilot));
	brief = (struct acl_brief *)&lines->line[header->brief];
	for (__u32 slot = 0; slot < h->slots; slot++)
		brief[slot].prio = ACL_PRIO_MAX + 1U; /* none */
	for (__u32 i = 0; i < h->n; i++) {
		struct acl_brief *b = &brief[h->slot[i]];

		if (h->slot[i] != NONE) {
			*b = acl_brief_of(&h->rule[i], i + 1);
			b->next = (h->next[i] == NONE ? 0 : h->slot[h->next[i]] + 1) |
				  stop << ACL_SLOT_BITS;
		}
		if (h->tuples->of[i] == stop) /* the best rule of the next tuple */
			stop++;
	}
	return 0;
}

static void measure_chains(const struct hasher *h, struct acl_tuples *tuples)
{
	for (__u32 i = 0; i < h->heads; i++) {
		__u32 n = 0;

		for (__u32 r = h->head[i]; r != NONE; r = h->next[r])
			n++;
		for (__u32 r = h->head[i]; r != NONE; r = h->next[r]) {
			struct acl_tuple *t = &tuples->tuple[tuples->of[r]];

			if (n > t->chain)
				t->chain = n;
		}
	}
}

int acl_hash_make(const struct acl_rule *rules, __u32 n, struct acl_lines *lines,
		  struct acl_tuples *tuples, struct acl_header *header)
{
	struct hasher h;
	int err = hasher_init(&h, rules, n, tuples) ? -EAGAIN : -ENOMEM;

	for (__u32 i = 0; err == -EAGAIN && i < SEEDS; i++) {
		for (__u32 t = 0; t < tuples->n; t++)
			tuples->tuple[t].seed = (i * ACL_TUPLE_MAX + t + 1) * 0x9e3779b97f4a7c15;
		make_chains(&h);
		if (place_heads(&h))
			err = 0;
	}
	if (!err) {
		place_others(&h);
		measure_chains(&h, tuples);
		err = fill_lines(&h, lines, header);
	}
	hasher_free(&h);
	if (err == -EAGAIN)
		return fail(err, "%u rules: no perfect hash was found", n);
	return err ? fail(ENOMEM, "%u rules: out of memory", n) : 0;
}
