// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Which rules are found by which hash. A rule's own mask is what it asks for, and of its port
 * ranges the bits that all their ports share. A rule may be found under any mask that asks
 * for less, at the price of longer chains: so that there are few tuples, small ones are joined
 * to others whose mask is part of theirs, while chains stay short.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "acl_index.h"
#include "err.h"

#define NATURAL_MAX 4096 /* tuples before joining */
#define TRIES	    4	 /* tuples that a tuple is tried to be joined to */
#define NONE	    0xffffffff

struct group {
	struct acl_tuple tuple;
	__u32 bits;  /* set in the mask */
	__u32 n;     /* rules */
	__u32 first; /* of them, NONE: none */
	__u32 last;
	__u32 best; /* lowest place in the list */
};

struct joiner {
	const struct acl_rule *rule;
	__u32 rules;
	struct acl_key *key; /* what each rule asks, as a packet */
	__u32 *link;	     /* the next rule of the same group */
	struct group *group;
	__u32 n;
	__u32 room;
	__u32 alive;
	struct acl_table groups;
	struct counted {
		__u64 hash;
		__u32 n;
	} * counted; /* rules by group and hash */
	__u32 counted_mask;
	__u32 counted_n;
};

/* The bits that all numbers of a range share. */
static __u16 range_mask(__u16 min, __u16 max)
{
	return min == max ? 0xffff : (__u16) ~(0xffffU >> (__builtin_clz(min ^ max) - 16));
}

static struct acl_key rule_mask(const struct acl_rule *r)
{
	return (struct acl_key){
		.src = {r->src_mask[0], r->src_mask[1]},
		.dst = {r->dst_mask[0], r->dst_mask[1]},
		.src_mac = r->src_mac_mask,
		.dst_mac = r->dst_mac_mask,
		.misc = r->misc_mask,
		.sport = range_mask(r->sport_min, r->sport_max),
		.dport = range_mask(r->dport_min, r->dport_max),
	};
}

struct acl_key acl_rule_key(const struct acl_rule *r)
{
	return (struct acl_key){
		.src = {r->src[0], r->src[1]},
		.dst = {r->dst[0], r->dst[1]},
		.src_mac = r->src_mac,
		.dst_mac = r->dst_mac,
		.misc = r->misc,
		.sport = r->sport_min,
		.dport = r->dport_min,
	};
}

/* A mask's leading ones, their number rounded down to a multiple of step. */
static __u64 round_word(__u64 mask, __u32 step)
{
	__u32 ones = ~mask ? __builtin_clzll(~mask) : 64;

	ones -= ones % step;
	return ones ? ~0ULL << (64 - ones) : 0;
}

static void round_address(__u64 *mask, __u32 step)
{
	mask[1] = ~mask[0] ? 0 : round_word(mask[1], step);
	mask[0] = round_word(mask[0], step);
}

static __u32 round_field(__u32 mask, __u32 field)
{
	return (mask & field) == field ? field : 0;
}

/*
 * How masks are made coarser, for lists of too many. The last level leaves a few hundred.
 */
static const struct level {
	__u8 address; /* length of prefixes: a multiple of this */
	__u8 port;
	bool others; /* hardware addresses and misc: whole or not at all */
} levels[] = {
	{1, 1, false}, {2, 1, false}, {4, 1, false}, {8, 1, false},
	{4, 4, false}, {8, 4, true},  {16, 8, true}, {32, 16, true},
};

static void round_mask(struct acl_key *m, const struct level *l)
{
	round_address(m->src, l->address);
	round_address(m->dst, l->address);
	m->sport = round_word((__u64)m->sport << 48, l->port) >> 48;
	m->dport = round_word((__u64)m->dport << 48, l->port) >> 48;
	if (!l->others)
		return;
	m->src_mac = ~m->src_mac & ACL_MAC_MASK ? 0 : ACL_MAC_MASK;
	m->dst_mac = ~m->dst_mac & ACL_MAC_MASK ? 0 : ACL_MAC_MASK;
	m->misc = round_field(m->misc, ACL_MISC_PROTO_MASK | ACL_MISC_FAMILY_MASK);
}

struct wanted {
	const struct joiner *j;
	const struct acl_key *mask;
};

static bool same_mask(const void *something, __u32 value)
{
	const struct wanted *w = something;

	return !memcmp(&w->j->group[value - 1].tuple.mask, w->mask, sizeof(*w->mask));
}

static __u32 mask_bits(const struct acl_key *m)
{
	__u64 words[sizeof(*m) / sizeof(__u64)];
	__u32 n = 0;

	memcpy(words, m, sizeof(*m));
	for (__u32 i = 0; i < sizeof(*m) / sizeof(__u64); i++)
		n += __builtin_popcountll(words[i]);
	return n;
}

/* Returns the group of a mask, a new one if need be; NONE: no memory. */
static __u32 group_of(struct joiner *j, const struct acl_key *mask)
{
	struct wanted w = {j, mask};
	struct acl_tuple plain = {.mask = {.misc = 0xffffffff, .sport = 0xffff, .dport = 0xffff}};
	struct acl_slot *slot;
	struct group *g;
	__u32 hash;

	memset(&plain.mask, 0xff, sizeof(plain.mask));
	hash = acl_hash(mask, &plain) >> 32;
	slot = acl_table_find(&j->groups, hash, same_mask, &w);
	if (!slot || slot->value)
		return slot ? slot->value - 1 : NONE;
	if (j->n == j->room) {
		g = realloc(j->group, 2 * (j->room + 64) * sizeof(*g));
		if (!g)
			return NONE;
		j->group = g;
		j->room = 2 * (j->room + 64);
	}
	g = &j->group[j->n++];
	*g = (struct group){.tuple.mask = *mask, .first = NONE, .last = NONE, .best = NONE};
	g->tuple.seed = j->n * 0x9e3779b97f4a7c15;
	g->bits = mask_bits(mask);
	acl_table_take(&j->groups, slot, hash, j->n);
	return j->n - 1;
}

static void group_add(struct joiner *j, struct group *g, __u32 rule)
{
	j->link[rule] = NONE;
	if (g->first == NONE)
		g->first = rule;
	else
		j->link[g->last] = rule;
	g->last = rule;
	g->n++;
	if (rule < g->best)
		g->best = rule;
}

/* Puts each rule into the group of its mask at a level of rounding. */
static int sort_rules(struct joiner *j, __u32 level)
{
	j->n = 0;
	acl_table_free(&j->groups);
	for (__u32 i = 0; i < j->rules; i++) {
		struct acl_key mask = rule_mask(&j->rule[i]);
		__u32 g;

		if (level)
			round_mask(&mask, &levels[level]);
		g = group_of(j, &mask);
		if (g == NONE)
			return -ENOMEM;
		group_add(j, &j->group[g], i);
	}
	return 0;
}

static bool counted_grow(struct joiner *j)
{
	__u32 slots = j->counted ? 2 * (j->counted_mask + 1) : 1024;
	struct counted *counted;

	while (slots < 4 * j->rules)
		slots *= 2;
	counted = calloc(slots, sizeof(*counted));
	if (!counted)
		return false;
	for (__u32 i = 0; j->counted && i <= j->counted_mask; i++) {
		__u32 at = j->counted[i].hash >> 32 & (slots - 1);

		if (!j->counted[i].n)
			continue;
		while (counted[at].n)
			at = (at + 1) & (slots - 1);
		counted[at] = j->counted[i];
	}
	free(j->counted);
	j->counted = counted;
	j->counted_mask = slots - 1;
	return true;
}

/* The place where rules of a group with a hash are counted. NULL: no memory. */
static struct counted *counted_at(struct joiner *j, const struct group *g, __u32 rule)
{
	__u64 hash = acl_hash(&j->key[rule], &g->tuple) | 1; /* 0: free */
	__u32 at;

	if ((!j->counted || j->counted_n > j->counted_mask / 2) && !counted_grow(j))
		return NULL;
	for (at = hash >> 32 & j->counted_mask; j->counted[at].hash;
	     at = (at + 1) & j->counted_mask) {
		if (j->counted[at].hash == hash)
			return &j->counted[at];
	}
	j->counted[at].hash = hash;
	j->counted_n++;
	return &j->counted[at];
}

/* Whether the mask of a is part of b's. */
static bool is_part(const struct acl_key *a, const struct acl_key *b)
{
	__u64 x[sizeof(*a) / sizeof(__u64)], y[sizeof(*a) / sizeof(__u64)];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	for (__u32 i = 0; i < sizeof(*a) / sizeof(__u64); i++) {
		if (x[i] & ~y[i])
			return false;
	}
	return true;
}

/* Counts a's rules in b as well. Returns the first that makes too long a chain, or NONE. */
static __u32 count_rules(struct joiner *j, const struct group *a, const struct group *b,
			 __u32 chain)
{
	for (__u32 r = a->first; r != NONE; r = j->link[r]) {
		struct counted *c = counted_at(j, b, r);

		if (!c)
			return r;
		if (++c->n > chain)
			return r;
	}
	return NONE;
}

static void uncount_rules(struct joiner *j, const struct group *a, const struct group *b,
			  __u32 last)
{
	for (__u32 r = a->first; r != NONE; r = j->link[r]) {
		struct counted *c = counted_at(j, b, r);

		if (c)
			c->n--;
		if (r == last)
			return;
	}
}

static bool join(struct joiner *j, struct group *a, struct group *b, __u32 chain)
{
	__u32 failed = count_rules(j, a, b, chain);

	if (failed != NONE) {
		uncount_rules(j, a, b, failed);
		return false;
	}
	if (b->first == NONE)
		b->first = a->first;
	else
		j->link[b->last] = a->first;
	b->last = a->last;
	b->n += a->n;
	if (a->best < b->best)
		b->best = a->best;
	a->n = 0;
	a->first = a->last = a->best = NONE;
	j->alive--;
	return true;
}

/* Joins a to the group with the most bits that can have it. */
static bool join_any(struct joiner *j, struct group *a, __u32 chain)
{
	struct group *found[TRIES] = {};

	for (struct group *b = j->group; b < j->group + j->n; b++) {
		struct group *g = b;

		if (!b->n || b == a || b->bits >= a->bits ||
		    (found[TRIES - 1] && found[TRIES - 1]->bits >= b->bits) ||
		    !is_part(&b->tuple.mask, &a->tuple.mask))
			continue;
		for (__u32 i = 0; i < TRIES && g; i++) {
			struct group *was = found[i];

			if (was && was->bits >= g->bits)
				continue;
			found[i] = g;
			g = was;
		}
	}
	for (__u32 i = 0; i < TRIES && found[i]; i++) {
		if (join(j, a, found[i], chain))
			return true;
	}
	return false;
}

static int by_size(const void *a, const void *b, void *ctx)
{
	const struct group *group = ctx;
	const struct group *x = &group[*(const __u32 *)a], *y = &group[*(const __u32 *)b];

	if (x->n != y->n)
		return x->n < y->n ? -1 : 1;
	return x < y ? -1 : x > y;
}

/* The groups, those of few rules first. Returns their number. */
static __u32 sort_groups(struct joiner *j, __u32 *order)
{
	__u32 n = 0;

	for (__u32 i = 0; i < j->n; i++) {
		if (j->group[i].n)
			order[n++] = i;
	}
	qsort_r(order, n, sizeof(*order), by_size, j->group);
	return n;
}

static void join_round(struct joiner *j, __u32 *order, __u32 target, __u32 chain)
{
	__u32 n = sort_groups(j, order);

	for (__u32 i = 0; i < n && j->alive > target; i++)
		join_any(j, &j->group[order[i]], chain);
}

/* What two masks have in common. */
static struct acl_key common_mask(const struct acl_key *a, const struct acl_key *b)
{
	__u64 x[sizeof(*a) / sizeof(__u64)], y[sizeof(*a) / sizeof(__u64)];
	struct acl_key m;

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	for (__u32 i = 0; i < sizeof(*a) / sizeof(__u64); i++)
		x[i] &= y[i];
	memcpy(&m, x, sizeof(m));
	return m;
}

/* Makes a new group for a and the one whose mask has most in common with its. */
static int join_pair(struct joiner *j, __u32 a, __u32 chain)
{
	__u32 best = NONE, bits = 0, g;
	struct acl_key mask;

	for (__u32 b = 0; b < j->n; b++) {
		if (b == a || !j->group[b].n)
			continue;
		mask = common_mask(&j->group[a].tuple.mask, &j->group[b].tuple.mask);
		if (best == NONE || mask_bits(&mask) > bits) {
			best = b;
			bits = mask_bits(&mask);
		}
	}
	if (best == NONE)
		return 0;
	mask = common_mask(&j->group[a].tuple.mask, &j->group[best].tuple.mask);
	g = group_of(j, &mask);
	if (g == NONE)
		return -ENOMEM;
	if (g == a || g == best)
		return 0;
	if (!j->group[g].n)
		j->alive++; /* undone by the first join */
	if (join(j, &j->group[a], &j->group[g], chain))
		join(j, &j->group[best], &j->group[g], chain);
	else if (!j->group[g].n)
		j->alive--;
	return 0;
}

static int join_pairs(struct joiner *j, __u32 *order, __u32 target, __u32 chain)
{
	__u32 n = sort_groups(j, order);
	int err = 0;

	for (__u32 i = 0; !err && i < n && j->alive > target; i++) {
		if (j->group[order[i]].n)
			err = join_pair(j, order[i], chain);
	}
	return err;
}

static int join_groups(struct joiner *j, __u32 most, __u32 chain)
{
	__u32 *order = malloc((j->n + 1) * sizeof(*order));
	int err = order ? 0 : -ENOMEM;

	j->alive = j->n;
	for (__u32 i = 0; !err && i < j->n; i++) {
		if (count_rules(j, &j->group[i], &j->group[i], NONE) != NONE)
			err = -ENOMEM;
	}
	for (__u32 i = 2; !err && i <= chain; i++)
		join_round(j, order, 1, i);
	for (__u32 i = chain; !err && j->alive > most; i *= 2) {
		join_round(j, order, most, i);
		err = join_pairs(j, order, most, i);
	}
	free(order);
	return err;
}

static int by_best(const void *a, const void *b)
{
	const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;

	return x->best < y->best ? -1 : x->best > y->best;
}

/* The groups that are left, as tuples. */
static int make_tuples(struct joiner *j, struct acl_tuples *tuples)
{
	struct group **sorted = malloc((j->n + 1) * sizeof(*sorted));
	__u32 n = 0;

	tuples->tuple = calloc(j->alive + 1, sizeof(*tuples->tuple));
	tuples->of = calloc(j->rules + 1, sizeof(*tuples->of));
	if (!sorted || !tuples->tuple || !tuples->of) {
		free(sorted);
		return -ENOMEM;
	}
	for (__u32 i = 0; i < j->n; i++) {
		if (j->group[i].n)
			sorted[n++] = &j->group[i];
	}
	qsort(sorted, n, sizeof(*sorted), by_best);
	for (__u32 i = 0; i < n; i++) {
		tuples->tuple[i] = sorted[i]->tuple;
		tuples->tuple[i].best = j->rule[sorted[i]->best].prio;
		for (__u32 r = sorted[i]->first; r != NONE; r = j->link[r])
			tuples->of[r] = i;
	}
	tuples->n = n;
	free(sorted);
	return 0;
}

static void joiner_free(struct joiner *j)
{
	free(j->key);
	free(j->link);
	free(j->group);
	free(j->counted);
	acl_table_free(&j->groups);
}

static int join_rules(struct joiner *j, __u32 most, __u32 chain, struct acl_tuples *tuples)
{
	__u32 level = 0;
	int err;

	j->key = malloc((j->rules + 1) * sizeof(*j->key));
	j->link = malloc((j->rules + 1) * sizeof(*j->link));
	if (!j->key || !j->link)
		return -ENOMEM;
	for (__u32 i = 0; i < j->rules; i++)
		j->key[i] = acl_rule_key(&j->rule[i]);
	err = sort_rules(j, level);
	tuples->masks = j->n;
	while (!err && j->n > NATURAL_MAX && level + 1 < sizeof(levels) / sizeof(*levels))
		err = sort_rules(j, ++level);
	if (!err)
		err = join_groups(j, most, chain);
	return err ? err : make_tuples(j, tuples);
}

int acl_tuples_make(const struct acl_rule *rules, __u32 n, __u32 most, __u32 chain,
		    struct acl_tuples *tuples)
{
	struct joiner j = {.rule = rules, .rules = n};
	int err;

	*tuples = (struct acl_tuples){};
	err = join_rules(&j, most, chain, tuples);
	joiner_free(&j);
	if (!err)
		return 0;
	acl_tuples_free(tuples);
	return fail(ENOMEM, "%u rules: out of memory", n);
}

void acl_tuples_free(struct acl_tuples *tuples)
{
	free(tuples->tuple);
	free(tuples->of);
	*tuples = (struct acl_tuples){};
}
