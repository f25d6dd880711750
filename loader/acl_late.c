// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Rules that come and go in a list that is in use: see acl_late.h. All that a packet may be
 * reading is changed by single stores:
 *
 *	add	the brief is written where no packet looks, then put into the chain by one
 *		store to its predecessor (or the header); the chain is sorted by prio
 *	delete	the brief's misc gets a bit that no packet has. Before, the rules that were left
 *		out of the index because this one covers them (drop_covered()) are put beside
 *		the index; after, a brief of the chain is taken out of that
 *
 * A place in the chain is used once, as packets may be there for a while.
 */
#include <errno.h>
#include <stdlib.h>
#include "acl_index.h"
#include "acl_late.h"

#define DEAD_PART 4 /* 1 of so many rules may be dead */

/* The header and briefs of a list. */
static struct acl_header *header_of(const struct acl_rule *lines)
{
	return (struct acl_header *)lines;
}

static struct acl_brief *brief_at(const struct acl_rule *lines, __u32 slot)
{
	return (struct acl_brief *)(lines + header_of(lines)->brief) + slot;
}

static void put(__u32 *at, __u32 value)
{
	__atomic_store_n(at, value, __ATOMIC_RELEASE);
}

static bool is_dead(const struct acl_rule *r)
{
	return r->flags & ACL_RULE_DEAD;
}

/* ---- the chain ---- */

static struct acl_brief *next_brief(const struct acl_rule *lines, __u32 link)
{
	return ACL_NEXT_SLOT(link) ? brief_at(lines, ACL_NEXT_SLOT(link) - 1) : NULL;
}

static struct acl_brief *first_brief(const struct acl_rule *lines)
{
	return header_of(lines)->tuples ? next_brief(lines, header_of(lines)->late) : NULL;
}

/* The rule of a brief if it was added and is not deleted. */
static const struct acl_rule *added(const struct acl_rule *lines, const struct acl_brief *b)
{
	const struct acl_rule *r = &lines[b->rule];

	return b->rule > header_of(lines)->rules && !is_dead(r) ? r : NULL;
}

/* The free place with the lowest number, ACL_LATE_MAX: there is none. */
static __u32 free_place(const struct acl_rule *lines)
{
	const struct acl_header *h = header_of(lines);
	__u32 place = 0;

	while (place < ACL_LATE_MAX && brief_at(lines, h->slots + place)->rule)
		place++;
	return place;
}

static __u32 free_places(const struct acl_rule *lines)
{
	return header_of(lines)->tuples ? ACL_LATE_MAX - free_place(lines) : 0;
}

/* How many tuples can have a better rule. */
static __u32 better_tuples(const struct acl_rule *lines, __u32 prio)
{
	const struct acl_header *h = header_of(lines);
	const struct acl_tuple *tuple = (const struct acl_tuple *)&lines[h->tuple];
	__u32 n = 0;

	while (n < h->tuples && tuple[n].best < prio)
		n++;
	return n;
}

/* Puts the rule in a line into the chain, by means of a free place. */
static void link_rule(struct acl_rule *lines, __u32 line, __u32 place)
{
	struct acl_header *h = header_of(lines);
	__u32 prio = lines[line].prio, slot = h->slots + place, *link = &h->late;
	struct acl_brief *b = brief_at(lines, slot), *next;

	*b = acl_brief_of(&lines[line], line);
	while ((next = next_brief(lines, *link)) && next->prio < prio)
		link = &next->next;
	b->next = ACL_NEXT_SLOT(*link) | better_tuples(lines, prio) << ACL_SLOT_BITS;
	put(link, (*link & ~ACL_NEXT_SLOT(*link)) | (slot + 1));
}

static void unlink_brief(struct acl_rule *lines, const struct acl_brief *b)
{
	__u32 *link = &header_of(lines)->late;
	struct acl_brief *at;

	while ((at = next_brief(lines, *link)) && at != b)
		link = &at->next;
	if (at)
		put(link, (*link & ~ACL_NEXT_SLOT(*link)) | ACL_NEXT_SLOT(b->next));
}

/* ---- what was left out of the index ---- */

/* Says of each line whether its rule has a brief that packets find. */
static bool *find_briefs(const struct acl_rule *lines)
{
	const struct acl_header *h = header_of(lines);
	bool *has = calloc(h->rules + 1 + ACL_LATE_MAX, sizeof(*has));

	for (__u32 slot = 0; has && slot < h->slots; slot++)
		has[brief_at(lines, slot)->rule] = true;
	for (struct acl_brief *b = has ? first_brief(lines) : NULL; b;
	     b = next_brief(lines, b->next))
		has[b->rule] = true;
	return has;
}

static bool covered_by_any(const struct acl_rule *lines, const __u32 *by, __u32 n, __u32 line)
{
	for (__u32 i = 0; i < n; i++)
		if (acl_covers(&lines[by[i]], &lines[line]))
			return true;
	return false;
}

/*
 * The lines of rules that need a brief when `rule` goes: those without one that it covers,
 * except where one of these covers another. Returns their number, room + 1: too many.
 */
static __u32 find_covered(const struct acl_rule *lines, const bool *has,
			  const struct acl_rule *rule, __u32 room, __u32 *found)
{
	__u32 n = 0;

	for (__u32 i = 1; i <= header_of(lines)->rules; i++) {
		const struct acl_rule *r = &lines[i];

		if (has[i] || is_dead(r) || r->prio < rule->prio || !acl_can_match(r) ||
		    !acl_covers(rule, r) || covered_by_any(lines, found, n, i))
			continue;
		if (n == room)
			return room + 1;
		found[n++] = i;
	}
	return n;
}

/* ---- changes ---- */

bool acl_late_room(const struct acl_rule *lines)
{
	return free_places(lines);
}

void acl_late_add(struct acl_rule *lines, const struct acl_rule *rule)
{
	__u32 place = free_place(lines), line = header_of(lines)->rules + 1 + place;

	lines[line] = *rule;
	link_rule(lines, line, place);
}

/* No packet matches the rule in a line any more. */
static void kill_rule(struct acl_rule *lines, __u32 line)
{
	const struct acl_header *h = header_of(lines);

	for (__u32 slot = 0; slot < h->slots + ACL_LATE_MAX; slot++) {
		struct acl_brief *b = brief_at(lines, slot);

		if (b->rule != line)
			continue;
		put(&b->misc, b->misc | ACL_MISC_DEAD);
		if (slot >= h->slots)
			unlink_brief(lines, b);
	}
}

int acl_late_del(struct acl_rule *lines, const struct acl_rule *rule)
{
	struct acl_header *h = header_of(lines);
	__u32 covered[ACL_LATE_MAX], n = 0, room = free_places(lines), line = rule - lines;
	bool *has;

	if (!h->tuples || h->dead >= h->rules / DEAD_PART)
		return -ENOSPC;
	has = find_briefs(lines);
	if (!has)
		return -ENOMEM;
	if (has[line] && line <= h->rules)
		n = find_covered(lines, has, rule, room, covered);
	free(has);
	if (n > room)
		return -ENOSPC;
	for (__u32 i = 0; i < n; i++)
		link_rule(lines, covered[i], free_place(lines));
	if (line <= h->rules)
		put(&h->dead, h->dead + 1);
	__atomic_store_n(&lines[line].flags, lines[line].flags | ACL_RULE_DEAD, __ATOMIC_RELEASE);
	kill_rule(lines, line);
	return 0;
}

void acl_late_repair(struct acl_rule *lines)
{
	struct acl_header *h = header_of(lines);
	__u32 dead = 0;

	for (__u32 line = 1; h->tuples && line <= h->rules + ACL_LATE_MAX; line++) {
		if (!is_dead(&lines[line]))
			continue;
		kill_rule(lines, line);
		dead += line <= h->rules;
	}
	put(&h->dead, dead);
}

/* ---- what there is ---- */

bool acl_late_any(const struct acl_rule *lines)
{
	return header_of(lines)->dead || header_of(lines)->late;
}

__u32 acl_late_steps(const struct acl_rule *lines)
{
	__u32 n = 0;

	for (struct acl_brief *b = first_brief(lines); b; b = next_brief(lines, b->next))
		n++;
	return n;
}

const struct acl_rule *acl_late_find(const struct acl_rule *lines, __u32 prio)
{
	__u32 low = 1, high = header_of(lines)->rules + 1;

	while (low < high) {
		__u32 middle = low + (high - low) / 2;

		if (lines[middle].prio < prio)
			low = middle + 1;
		else
			high = middle;
	}
	if (low <= header_of(lines)->rules && lines[low].prio == prio && !is_dead(&lines[low]))
		return &lines[low];
	for (struct acl_brief *b = first_brief(lines); b; b = next_brief(lines, b->next))
		if (b->prio == prio && added(lines, b))
			return added(lines, b);
	return NULL;
}

__u32 acl_late_last(const struct acl_rule *lines)
{
	__u32 line = header_of(lines)->rules, last;

	while (line && is_dead(&lines[line]))
		line--;
	last = line ? lines[line].prio : 0;
	for (struct acl_brief *b = first_brief(lines); b; b = next_brief(lines, b->next))
		if (added(lines, b) && b->prio > last)
			last = b->prio;
	return last;
}

__u32 acl_late_rules(const struct acl_rule *lines, struct acl_rule *out)
{
	const struct acl_brief *b = first_brief(lines);
	__u32 n = 0;

	for (__u32 line = 1; line <= header_of(lines)->rules; line++) {
		for (; b && b->prio < lines[line].prio; b = next_brief(lines, b->next))
			if (added(lines, b))
				out[n++] = *added(lines, b);
		if (!is_dead(&lines[line]))
			out[n++] = lines[line];
	}
	for (; b; b = next_brief(lines, b->next))
		if (added(lines, b))
			out[n++] = *added(lines, b);
	return n;
}

__u32 acl_late_end(const struct acl_rule *lines)
{
	const struct acl_header *h = header_of(lines);

	return h->rules + (h->tuples ? ACL_LATE_MAX : 0);
}

const struct acl_rule *acl_late_line(const struct acl_rule *lines, __u32 line)
{
	const struct acl_header *h = header_of(lines);

	if (line > h->rules && brief_at(lines, h->slots + line - h->rules - 1)->rule != line)
		return NULL;
	return &lines[line];
}
