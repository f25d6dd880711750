// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Lists of rules as the data path (bpf/acl_match.h) reads them. A list's lines (maps/acl.h):
 *
 *	0		header: where all is, and the most work for a packet
 *	1 … rules	the rules, as given: for `acl show`, and to compare what a brief lacks
 *	…		with an index: ACL_LATE_MAX lines for rules that come later (acl_late.c)
 *	brief …		what is compared of rules first, two in a line, one in each slot; then
 *			those of rules that come later
 *	pilot …		16-bit numbers that send hashes to slots
 *	…		tries: nodes of 32 entries, and roots of more lines
 *	tuple …		masks
 *
 * A list of up to ACL_LINEAR_MAX rules has no index: briefs are in the rules' order and are
 * compared one after the other. A longer one has rules sorted into 31 tuples at most. A tuple
 * is a mask that is part of what each of its rules asks for, so they are found by the hash of
 * what the mask leaves of a packet: hash, pilot, slot, brief. Rules with the same hash are a
 * chain, the best first. The tuples themselves are in the order of their best rules.
 *
 * Which tuples to ask: a trie of each field (addresses by family, both ports) has for each value
 * the set of tuples with a rule for it; the header has a set for each class of protocols. The
 * sets' intersection is asked in order, until no tuple left has a better rule than was found.
 *
 * A set may name a tuple in vain and a chain may have rules that do not match: each brief is
 * compared in all of what it asks, so any coarser mask or set is right as well, only slower.
 * That freedom is used to keep tuples and tries small. How slow is then found by a search for
 * the worst packet; what may need more than ACL_WORK_MAX is refused. Lists of ACL_WORK_MAX - 8
 * rules never are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "acl_compile.h"
#include "acl_index.h"
#include "err.h"

#define SLACK 1 /* tuples that a leaf may have in vain */

struct compiler {
	const struct acl_rule *rule;
	__u32 n;
	struct acl_lines lines;
	struct acl_tuples tuples;
	struct acl_header header;
	struct acl_leaves leaves[ACL_TRIES];
};

static int no_memory(const struct compiler *c)
{
	return fail(ENOMEM, "%u rules: out of memory", c->n);
}

bool acl_can_match(const struct acl_rule *r)
{
	return !(r->src[0] & ~r->src_mask[0]) && !(r->src[1] & ~r->src_mask[1]) &&
	       !(r->dst[0] & ~r->dst_mask[0]) && !(r->dst[1] & ~r->dst_mask[1]) &&
	       !(r->src_mac & ~r->src_mac_mask) && !(r->dst_mac & ~r->dst_mac_mask) &&
	       !(r->misc & ~r->misc_mask) && r->sport_min <= r->sport_max &&
	       r->dport_min <= r->dport_max;
}

/* ---- tries ---- */

#define RECENT 1024

/* The same prefix comes again and again: most of that is seen by what came last with its hash. */
struct prefixes {
	struct acl_prefix *prefix;
	__u32 n;
	__u32 room;
	__u32 recent[RECENT]; /* place + 1 */
};

static bool add_prefix(struct prefixes *p, struct acl_prefix prefix)
{
	__u64 hash = (prefix.high ^ prefix.low * 3 ^ prefix.len ^ (__u64)prefix.tuple << 8) *
		     0x9e3779b97f4a7c15;
	__u32 *recent = &p->recent[(hash ^ hash >> 32) % RECENT];

	if (*recent && !memcmp(&p->prefix[*recent - 1], &prefix, sizeof(prefix)))
		return true;
	if (p->n == p->room) {
		__u32 room = 2 * p->room + 1024;
		struct acl_prefix *grown = realloc(p->prefix, room * sizeof(*grown));

		if (!grown)
			return false;
		p->prefix = grown;
		p->room = room;
	}
	p->prefix[p->n++] = prefix;
	*recent = p->n;
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
	memset(p->recent, 0, sizeof(p->recent));
	for (__u32 i = 0; i < c->n; i++) {
		if (acl_can_match(&c->rule[i]) &&
		    !add_field(p, &c->rule[i], field, c->tuples.of[i]))
			return no_memory(c);
	}
	return acl_trie_make(&c->lines, p->prefix, p->n, SLACK, &c->header.trie[field],
			     &c->leaves[field]);
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

/* Whether packets of a family and protocol can match. */
static bool of_proto(const struct acl_rule *r, __u32 family, __u32 proto)
{
	__u32 mask = ACL_MISC_FAMILY_MASK | ACL_MISC_PROTO_MASK;

	return !((r->misc ^ (ACL_MISC_FAMILY(family) | ACL_MISC_PROTO(proto))) & r->misc_mask &
		 mask);
}

static void classify(__u32 *class, const struct acl_rule *r, __u32 family, __u32 tuple)
{
	static const __u8 protos[] = {6, 17, 1, 58};
	bool named = false;

	for (__u32 i = 0; i < sizeof(protos); i++) {
		if (of_proto(r, family, protos[i])) {
			class[acl_class_of_proto(protos[i])] |= 1U << tuple;
			named = true;
		}
	}
	if (!named || (r->misc_mask & ACL_MISC_PROTO_MASK) != ACL_MISC_PROTO_MASK)
		class[acl_class_of_proto(0)] |= 1U << tuple;
}

static void make_classes(struct compiler *c)
{
	__u32 *class = c->header.class;

	for (__u32 i = 0; i < ACL_CLASSES; i++)
		class[i] = ACL_ENTRY_LEAF;
	for (__u32 i = 0; i < c->n; i++) {
		const struct acl_rule *r = &c->rule[i];
		__u32 tuple = c->tuples.of[i];

		if (!acl_can_match(r))
			continue;
		if (of_family(r, ACL_IP))
			classify(&class[ACL_CLASS_IP], r, ACL_IP, tuple);
		if (of_family(r, ACL_IP6))
			classify(&class[ACL_CLASS_IP6], r, ACL_IP6, tuple);
		if (of_family(r, 0) || of_family(r, 3))
			class[ACL_CLASS_OTHER] |= 1U << tuple;
	}
}

/* ---- certificate ---- */

#define EFFORT 100000 /* sets combined in search of the worst packet */
#define LEVELS 5

/* A search for the packet of most work: each level combines a field's sets with those above. */
struct bound {
	const struct acl_tuple *tuple;
	struct choice {
		__u32 set;
		__u32 weight;
	} * choice[LEVELS]; /* heaviest first */
	__u32 n[LEVELS];
	__u32 levels;
	__u32 effort; /* left */
	__u32 best;
	bool steps; /* work is rules compared, else tuples asked */
};

static __u32 weigh(const struct bound *b, __u32 set)
{
	__u32 sum = 0;

	if (!b->steps)
		return __builtin_popcount(set);
	for (; set; set &= set - 1)
		sum += b->tuple[__builtin_ctz(set)].chain;
	return sum;
}

/* When no effort is left, what has been combined so far is the bound: more only takes away. */
static void bound_level(struct bound *b, __u32 level, __u32 set)
{
	__u32 weight = weigh(b, set);

	if (weight <= b->best)
		return;
	if (level == b->levels || !b->effort) {
		b->best = weight;
		return;
	}
	for (__u32 i = 0; i < b->n[level] && b->best < weight; i++) {
		if (b->choice[level][i].weight <= b->best)
			break;
		if (b->effort)
			b->effort--;
		bound_level(b, level + 1, set & b->choice[level][i].set);
	}
}

static int by_weight(const void *a, const void *b)
{
	const struct choice *x = a, *y = b;

	return x->weight > y->weight ? -1 : x->weight < y->weight;
}

static bool add_level(struct bound *b, const __u32 *leaf, __u32 n)
{
	struct choice *choice = malloc((n + 1) * sizeof(*choice));

	if (!choice)
		return false;
	for (__u32 i = 0; i < n; i++) {
		choice[i].set = leaf[i] & ~ACL_ENTRY_LEAF;
		choice[i].weight = weigh(b, choice[i].set);
	}
	qsort(choice, n, sizeof(*choice), by_weight);
	b->choice[b->levels] = choice;
	b->n[b->levels++] = n;
	return true;
}

/* The most work for a packet with these classes and addresses, or *most if that is more. */
static int bound_family(const struct compiler *c, enum acl_class class, __u32 classes,
			const struct acl_leaves *src, const struct acl_leaves *dst, bool steps,
			__u32 *most)
{
	const struct acl_leaves *sport = &c->leaves[ACL_SPORT], *dport = &c->leaves[ACL_DPORT];
	struct bound b = {
		.tuple = c->tuples.tuple, .effort = EFFORT, .best = *most, .steps = steps};
	bool ok = (!src || add_level(&b, src->leaf, src->n)) &&
		  (!dst || add_level(&b, dst->leaf, dst->n)) &&
		  add_level(&b, dport->leaf, dport->n) && add_level(&b, sport->leaf, sport->n) &&
		  add_level(&b, &c->header.class[class], classes);

	if (ok)
		bound_level(&b, 0, (1U << c->tuples.n) - 1);
	for (__u32 i = 0; i < b.levels; i++)
		free(b.choice[i]);
	*most = b.best;
	return ok ? 0 : no_memory(c);
}

static int bound_work(const struct compiler *c, bool steps, __u32 *most)
{
	const struct acl_leaves *l = c->leaves;
	int err = bound_family(c, ACL_CLASS_IP, 4, &l[ACL_SRC4], &l[ACL_DST4], steps, most);

	if (!err)
		err = bound_family(c, ACL_CLASS_IP6, 4, &l[ACL_SRC6], &l[ACL_DST6], steps, most);
	if (!err)
		err = bound_family(c, ACL_CLASS_OTHER, 1, NULL, NULL, steps, most);
	return err;
}

static int certify(struct compiler *c)
{
	int err = bound_work(c, false, &c->header.probes);

	return err ? err : bound_work(c, true, &c->header.steps);
}

/* ---- lines ---- */

static void forget(struct compiler *c)
{
	acl_tuples_free(&c->tuples);
	acl_lines_free(&c->lines);
	for (__u32 i = 0; i < ACL_TRIES; i++)
		free(c->leaves[i].leaf);
	memset(c->leaves, 0, sizeof(c->leaves));
}

/* late: room for rules that come later. */
static int start_lines(struct compiler *c, __u32 late)
{
	c->header = (struct acl_header){.rules = c->n};
	c->lines.n = c->n + 1 + late;
	c->lines.room = 2 * c->lines.n;
	c->lines.line = calloc(c->lines.room, sizeof(*c->lines.line));
	if (!c->lines.line)
		return no_memory(c);
	if (c->n)
		memcpy(c->lines.line + 1, c->rule, c->n * sizeof(*c->rule));
	return 0;
}

/* A list without an index: rules to compare one after the other. */
static int make_scan(struct compiler *c)
{
	struct acl_brief *brief;
	int err = start_lines(c, 0);

	if (err)
		return err;
	c->header.steps = c->n;
	c->header.slots = c->n;
	c->header.brief = acl_lines_add(&c->lines, (c->n + 1) / 2);
	if (!c->header.brief)
		return no_memory(c);
	brief = (struct acl_brief *)&c->lines.line[c->header.brief];
	for (__u32 i = 0; i < c->n; i++)
		brief[i] = acl_brief_of(&c->rule[i], i + 1);
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
	return 0;
}

static int make_index(struct compiler *c, __u32 most, __u32 chain)
{
	int err = start_lines(c, ACL_LATE_MAX);

	if (!err)
		err = acl_tuples_make(c->rule, c->n, most, chain, &c->tuples);
	if (err)
		return err;
	err = acl_hash_make(c->rule, c->n, &c->lines, &c->tuples, &c->header);
	if (err)
		return err;
	make_classes(c);
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
		    c->n, c->header.probes, c->header.steps, ACL_WORK_MAX, c->tuples.masks, chain);
}

/*
 * When a packet could need too much work, fewer tuples may help: more rules are then in one
 * chain with those that make them needless.
 */
static int find_index(struct compiler *c)
{
	static const struct {
		__u32 tuples;
		__u32 chain;
	} attempts[] = {{ACL_TUPLE_MAX, 3}, {7, 12}};
	int err;

	for (__u32 i = 0; i < sizeof(attempts) / sizeof(*attempts); i++) {
		forget(c);
		err = make_index(c, attempts[i].tuples, attempts[i].chain);
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
	err = n > ACL_LINEAR_MAX ? find_index(&c) : make_scan(&c);
	if (err) {
		forget(&c);
		return err;
	}
	*(struct acl_header *)c.lines.line = c.header;
	*cert = (struct acl_certificate){
		.tuples = c.header.tuples, .probes = c.header.probes, .steps = c.header.steps};
	*lines = c.lines.line;
	*n_lines = c.lines.n;
	c.lines.line = NULL;
	forget(&c);
	return 0;
}
