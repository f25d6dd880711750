// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Lists of rules as the data path reads them: see acl_compile.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "acl_compile.h"
#include "acl_index.h"
#include "err.h"

#define SMALL 4096 /* rules of a list whose tries may be precise */

struct compiler {
	const struct acl_rule *rule;
	__u32 n;
	struct acl_lines lines;
	struct acl_tuples tuples;
	struct acl_header header;
	struct acl_leaves leaves[ACL_TRIES];
	struct acl_leaves classes[4]; /* by family */
};

static int no_memory(const struct compiler *c)
{
	return fail(ENOMEM, "%u rules: out of memory", c->n);
}

/* Whether a packet can match at all. */
static bool can_match(const struct acl_rule *r)
{
	return !(r->src[0] & ~r->src_mask[0]) && !(r->src[1] & ~r->src_mask[1]) &&
	       !(r->dst[0] & ~r->dst_mask[0]) && !(r->dst[1] & ~r->dst_mask[1]) &&
	       !(r->src_mac & ~r->src_mac_mask) && !(r->dst_mac & ~r->dst_mac_mask) &&
	       !(r->misc & ~r->misc_mask) && r->sport_min <= r->sport_max &&
	       r->dport_min <= r->dport_max;
}

/* ---- tries ---- */

struct prefixes {
	struct acl_prefix *prefix;
	__u32 n;
	__u32 room;
};

static bool add_prefix(struct prefixes *p, struct acl_prefix prefix)
{
	if (p->n == p->room) {
		__u32 room = 2 * p->room + 1024;
		struct acl_prefix *grown = realloc(p->prefix, room * sizeof(*grown));

		if (!grown)
			return false;
		p->prefix = grown;
		p->room = room;
	}
	p->prefix[p->n++] = prefix;
	return true;
}

/* The prefixes that make up a range of ports. */
static bool add_range(struct prefixes *p, __u32 min, __u32 max, __u16 tuple)
{
	while (min <= max) {
		__u32 bits = min ? __builtin_ctz(min) : 16;

		while (min + (1U << bits) - 1 > max)
			bits--;
		if (!add_prefix(p, (struct acl_prefix){.high = (__u64)min << 48,
						       .len = 16 - bits,
						       .tuple = tuple}))
			return false;
		min += 1U << bits;
	}
	return true;
}

/* Of a mask that has ones behind zeros, the ones before: all that it matches is in there. */
static bool add_address(struct prefixes *p, const __u64 *address, const __u64 *mask, __u32 width,
			__u16 tuple)
{
	__u32 len = ~mask[0]   ? __builtin_clzll(~mask[0])
		    : ~mask[1] ? 64 + __builtin_clzll(~mask[1])
			       : 128;
	struct acl_prefix prefix = {.tuple = tuple};

	if (len > width)
		len = width;
	prefix.len = len;
	if (len)
		prefix.high = len < 64 ? address[0] & ~0ULL << (64 - len) : address[0];
	if (len > 64)
		prefix.low = address[1] & ~0ULL << (128 - len);
	return add_prefix(p, prefix);
}

/* Whether packets of a family can match. */
static bool of_family(const struct acl_rule *r, enum acl_family family)
{
	return !((r->misc ^ ACL_MISC_FAMILY(family)) & r->misc_mask & ACL_MISC_FAMILY_MASK);
}

static bool add_field(struct prefixes *p, const struct acl_rule *r, enum acl_field field,
		      __u16 tuple)
{
	switch (field) {
	case ACL_SRC4:
		return !of_family(r, ACL_IP) || add_address(p, r->src, r->src_mask, 32, tuple);
	case ACL_DST4:
		return !of_family(r, ACL_IP) || add_address(p, r->dst, r->dst_mask, 32, tuple);
	case ACL_SRC6:
		return !of_family(r, ACL_IP6) || add_address(p, r->src, r->src_mask, 128, tuple);
	case ACL_DST6:
		return !of_family(r, ACL_IP6) || add_address(p, r->dst, r->dst_mask, 128, tuple);
	case ACL_SPORT:
		return add_range(p, r->sport_min, r->sport_max, tuple);
	default:
		return add_range(p, r->dport_min, r->dport_max, tuple);
	}
}

static int make_trie(struct compiler *c, enum acl_field field, struct prefixes *p)
{
	p->n = 0;
	for (__u32 i = 0; i < c->n; i++) {
		if (can_match(&c->rule[i]) && !add_field(p, &c->rule[i], field, c->tuples.of[i]))
			return no_memory(c);
	}
	return acl_trie_make(&c->lines, p->prefix, p->n, c->n > SMALL ? 3 : 1,
			     &c->header.trie[field], &c->leaves[field]);
}

static int make_tries(struct compiler *c)
{
	struct prefixes p = {};
	int err = 0;

	for (enum acl_field field = 0; !err && field < ACL_TRIES; field++)
		err = make_trie(c, field, &p);
	free(p.prefix);
	return err;
}

/* ---- classes ---- */

/* The table's leaves by family, each once. */
static int list_classes(struct compiler *c)
{
	const __u32 *table = (const __u32 *)&c->lines.line[c->header.classes];

	for (__u32 family = 0; family < 4; family++, table += ACL_CLASSES / 4) {
		struct acl_leaves *l = &c->classes[family];

		l->leaf = malloc(ACL_CLASSES / 4 * sizeof(*l->leaf));
		if (!l->leaf)
			return no_memory(c);
		for (__u32 i = 0; i < ACL_CLASSES / 4; i++) {
			__u32 k = 0;

			while (k < l->n && l->leaf[k] != table[i])
				k++;
			l->leaf[k] = table[i];
			l->n += k == l->n;
		}
	}
	return 0;
}

static int make_classes(struct compiler *c)
{
	struct acl_set *set = calloc(ACL_CLASSES, sizeof(*set));
	__u32 line = acl_lines_add(&c->lines, ACL_CLASSES / ACL_NODE), leaf;

	if (!set || !line) {
		free(set);
		return no_memory(c);
	}
	c->header.classes = line;
	for (__u32 i = 0; i < c->n; i++) {
		__u32 asked = ACL_CLASS(c->rule[i].misc), mask = ACL_CLASS(c->rule[i].misc_mask);
		__u32 tuple = c->tuples.of[i], rest = (ACL_CLASSES - 1) & ~mask;

		if (!can_match(&c->rule[i]))
			continue;
		for (__u32 sub = rest;; sub = (sub - 1) & rest) {
			set[asked | sub].word[tuple / 64] |= 1ULL << tuple % 64;
			if (!sub)
				break;
		}
	}
	for (__u32 i = 0; i < ACL_CLASSES; i++) {
		leaf = acl_lines_set(&c->lines, &set[i]);
		if (!leaf) {
			free(set);
			return no_memory(c);
		}
		((__u32 *)&c->lines.line[line])[i] = leaf;
	}
	free(set);
	return list_classes(c);
}

/* ---- hash ---- */

/* Whether all packets that match b match a. */
static bool covers(const struct acl_rule *a, const struct acl_rule *b)
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

static __u64 rule_hash(const struct compiler *c, __u32 i)
{
	const struct acl_rule *r = &c->rule[i];
	struct acl_key key = {
		.src = {r->src[0], r->src[1]},
		.dst = {r->dst[0], r->dst[1]},
		.src_mac = r->src_mac,
		.dst_mac = r->dst_mac,
		.misc = r->misc,
		.sport = r->sport_min,
		.dport = r->dport_min,
	};

	return acl_hash(&key, &c->tuples.tuple[c->tuples.of[i]]);
}

/* Puts a rule before the others of its hash. Returns false when the bucket is full. */
static bool bucket_add(struct compiler *c, __u32 *bucket, __u64 hash, __u32 line)
{
	struct acl_rule *r = &c->lines.line[line];
	__u32 at = ACL_HASH_PLACE(hash), i;

	for (i = 0; i < ACL_BUCKET; i++, at = (at + 1) % ACL_BUCKET) {
		if (!bucket[at] || bucket[at] >> ACL_LINE_BITS == ACL_HASH_PRINT(hash))
			break;
	}
	if (i == ACL_BUCKET)
		return false;
	r->next = ACL_NEXT_LINE(bucket[at]);
	while (r->next && covers(r, &c->lines.line[r->next]))
		r->next = c->lines.line[r->next].next;
	bucket[at] = ACL_HASH_PRINT(hash) << ACL_LINE_BITS | line;
	return true;
}

static bool fill_buckets(struct compiler *c)
{
	for (__u32 i = c->n; i-- > 0;) {
		__u64 hash = rule_hash(c, i);
		__u32 bucket = c->header.bucket + ACL_HASH_BUCKET(hash, c->header.buckets);

		if (can_match(&c->rule[i]) &&
		    !bucket_add(c, (__u32 *)&c->lines.line[bucket], hash, i + 1))
			return false;
	}
	return true;
}

/* The longest chain that a tuple's rules are in. */
static int measure_chains(struct compiler *c)
{
	__u32 *behind = calloc(c->n + 1, sizeof(*behind)),
	      *whole = calloc(c->n + 1, sizeof(*whole));

	if (!behind || !whole) {
		free(behind);
		free(whole);
		return no_memory(c);
	}
	for (__u32 line = c->n; line > 0; line--) {
		__u32 next = c->lines.line[line].next;

		behind[line] = 1 + (next ? behind[next] : 0);
	}
	for (__u32 line = 1; line <= c->n; line++) {
		__u32 next = c->lines.line[line].next;
		struct acl_tuple *t = &c->tuples.tuple[c->tuples.of[line - 1]];

		if (!whole[line])
			whole[line] = behind[line];
		if (next)
			whole[next] = whole[line];
		if (whole[line] > t->chain)
			t->chain = whole[line];
	}
	free(behind);
	free(whole);
	return 0;
}

/* Tells each rule how many tuples can have a better one. */
static void set_stops(struct compiler *c)
{
	__u32 stop = 0;

	for (__u32 i = 0; i < c->n; i++) {
		if (c->tuples.of[i] == stop) /* the first of the next tuple */
			stop++;
		c->lines.line[i + 1].next |= stop << ACL_LINE_BITS;
	}
}

static int make_hash(struct compiler *c)
{
	__u32 buckets = c->n / 12 + 1;

	c->header.bucket = acl_lines_add(&c->lines, buckets);
	if (!c->header.bucket)
		return no_memory(c);
	c->header.buckets = buckets;
	while (!fill_buckets(c)) {
		__u32 more = buckets / 8 + 1;

		if (!acl_lines_add(&c->lines, more))
			return no_memory(c);
		buckets += more;
		c->header.buckets = buckets;
		memset(&c->lines.line[c->header.bucket], 0, buckets * sizeof(*c->lines.line));
	}
	return measure_chains(c);
}

/* ---- certificate ---- */

#define EFFORT 100000 /* sets combined in search of the worst packet */
#define LEVELS 5

/* A search for the packet of most work: each level combines a field's sets with those above. */
struct bound {
	const struct compiler *c;
	struct choice {
		const __u64 *word;
		__u32 weight;
	} * choice[LEVELS]; /* heaviest first */
	__u32 n[LEVELS];
	__u32 levels;
	__u32 effort; /* left */
	__u32 best;
	bool steps; /* work is rules compared, else tuples asked */
};

static __u32 weigh(const struct bound *b, const __u64 *word)
{
	__u32 sum = 0;

	for (__u32 i = 0; i < b->c->lines.words; i++) {
		if (!b->steps) {
			sum += __builtin_popcountll(word[i]);
			continue;
		}
		for (__u64 bits = word[i]; bits; bits &= bits - 1)
			sum += b->c->tuples.tuple[i * 64 + __builtin_ctzll(bits)].chain;
	}
	return sum;
}

/* When no effort is left, what has been combined so far is the bound: more only takes away. */
static void bound_level(struct bound *b, __u32 level, const struct acl_set *set)
{
	__u32 weight = weigh(b, set->word);

	if (weight <= b->best)
		return;
	if (level == b->levels || !b->effort) {
		b->best = weight;
		return;
	}
	for (__u32 i = 0; i < b->n[level] && b->best < weight; i++) {
		const struct choice *choice = &b->choice[level][i];
		struct acl_set both;

		if (choice->weight <= b->best)
			break;
		if (b->effort)
			b->effort--;
		for (__u32 w = 0; w < b->c->lines.words; w++)
			both.word[w] = set->word[w] & choice->word[w];
		bound_level(b, level + 1, &both);
	}
}

static int by_weight(const void *a, const void *b)
{
	const struct choice *x = a, *y = b;

	return x->weight > y->weight ? -1 : x->weight < y->weight;
}

static bool add_level(struct bound *b, const struct acl_leaves *leaves)
{
	struct choice *choice = malloc((leaves->n + 1) * sizeof(*choice));

	if (!choice)
		return false;
	for (__u32 i = 0; i < leaves->n; i++) {
		choice[i].word = acl_lines_words(&b->c->lines, leaves->leaf[i]);
		choice[i].weight = weigh(b, choice[i].word);
	}
	qsort(choice, leaves->n, sizeof(*choice), by_weight);
	b->choice[b->levels] = choice;
	b->n[b->levels++] = leaves->n;
	return true;
}

/* The most work for any packet of a family, or *most if that is more. */
static int bound_family(const struct compiler *c, enum acl_family family, bool steps, __u32 *most)
{
	struct bound b = {.c = c, .effort = EFFORT, .best = *most, .steps = steps};
	struct acl_set all;
	bool ok = true;

	memset(&all, 0, sizeof(all));
	for (__u32 i = 0; i < c->tuples.n; i++)
		all.word[i / 64] |= 1ULL << i % 64;
	if (family == ACL_IP || family == ACL_IP6)
		ok = add_level(&b, &c->leaves[family == ACL_IP ? ACL_SRC4 : ACL_SRC6]) &&
		     add_level(&b, &c->leaves[family == ACL_IP ? ACL_DST4 : ACL_DST6]);
	ok = ok && add_level(&b, &c->leaves[ACL_DPORT]) && add_level(&b, &c->classes[family]) &&
	     add_level(&b, &c->leaves[ACL_SPORT]);
	if (ok)
		bound_level(&b, 0, &all);
	for (__u32 i = 0; i < b.levels; i++)
		free(b.choice[i]);
	*most = b.best;
	return ok ? 0 : no_memory(c);
}

static int certify(struct compiler *c)
{
	int err = 0;

	for (__u32 family = 0; !err && family < 4; family++) {
		err = bound_family(c, family, false, &c->header.probes);
		if (!err)
			err = bound_family(c, family, true, &c->header.steps);
	}
	return err;
}

/* ---- */

static void forget(struct compiler *c)
{
	acl_tuples_free(&c->tuples);
	acl_lines_free(&c->lines);
	for (__u32 i = 0; i < ACL_TRIES; i++)
		free(c->leaves[i].leaf);
	for (__u32 i = 0; i < 4; i++)
		free(c->classes[i].leaf);
	memset(c->leaves, 0, sizeof(c->leaves));
	memset(c->classes, 0, sizeof(c->classes));
}

static int start_lines(struct compiler *c)
{
	c->header = (struct acl_header){.rules = c->n};
	c->lines.n = c->n + 1;
	c->lines.room = 2 * (c->n + 1);
	c->lines.line = calloc(c->lines.room, sizeof(*c->lines.line));
	if (!c->lines.line)
		return no_memory(c);
	if (c->n)
		memcpy(c->lines.line + 1, c->rule, c->n * sizeof(*c->rule));
	return 0;
}

static int add_tuples(struct compiler *c)
{
	__u32 n = c->tuples.n;

	c->header.tuple = acl_lines_add(&c->lines, n);
	if (!c->header.tuple)
		return no_memory(c);
	memcpy(&c->lines.line[c->header.tuple], c->tuples.tuple, n * sizeof(*c->lines.line));
	c->header.tuples = n;
	c->header.words = c->lines.words;
	return 0;
}

static int make_index(struct compiler *c, const struct acl_joining *joining)
{
	int err = start_lines(c);

	if (!err)
		err = acl_tuples_make(c->rule, c->n, joining, &c->tuples);
	if (err)
		return err;
	c->lines.words = (c->tuples.n + 63) / 64;
	err = make_hash(c);
	if (err)
		return err;
	set_stops(c);
	err = make_classes(c);
	if (!err)
		err = make_tries(c);
	if (!err)
		err = add_tuples(c);
	return err ? err : certify(c);
}

static int too_diverse(const struct compiler *c)
{
	__u32 chain = 0;

	for (__u32 i = 0; i < c->tuples.n; i++)
		chain = c->tuples.tuple[i].chain > chain ? c->tuples.tuple[i].chain : chain;
	return fail(ENOSPC,
		    "%u rules are too diverse: a packet could need %u look-ups and %u comparisons, "
		    "of %u together (%u combinations of prefix lengths, port ranges and other "
		    "masks; up to %u rules that only ranges tell apart)",
		    c->n, c->header.probes, c->header.steps, ACL_WORK_MAX, c->tuples.natural,
		    chain);
}

/* Joins more and more tuples until the work for a packet is bounded well enough. */
static int find_index(struct compiler *c)
{
	static const struct acl_joining joining[] = {{64, 3}, {32, 8}, {8, 32}, {1, 64}};
	int err;

	for (__u32 i = 0; i < sizeof(joining) / sizeof(*joining); i++) {
		forget(c);
		err = make_index(c, &joining[i]);
		if (err || c->header.probes + c->header.steps <= ACL_WORK_MAX)
			return err;
	}
	return too_diverse(c);
}

int acl_compile(const struct acl_rule *rules, __u32 n, struct acl_rule **lines, __u32 *n_lines,
		struct acl_certificate *cert)
{
	struct compiler c = {.rule = rules, .n = n};
	int err;

	if (n > ACL_RULE_MAX)
		return fail(E2BIG, "%u rules: a list holds %u", n, ACL_RULE_MAX);
	err = n > ACL_LINEAR_MAX ? find_index(&c) : start_lines(&c);
	if (n <= ACL_LINEAR_MAX)
		c.header.steps = n;
	if (err) {
		forget(&c);
		return err;
	}
	c.header.lines = c.lines.n;
	*(struct acl_header *)c.lines.line = c.header;
	*cert = (struct acl_certificate){
		.tuples = c.header.tuples, .probes = c.header.probes, .steps = c.header.steps};
	*lines = c.lines.line;
	*n_lines = c.lines.n;
	c.lines.line = NULL;
	forget(&c);
	return 0;
}
