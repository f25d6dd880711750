// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The lines of a list in the making: see acl_index.h. */
#include <stdlib.h>
#include <string.h>
#include "acl_index.h"

static bool table_grow(struct acl_table *t)
{
	__u32 slots = t->slot ? 2 * (t->mask + 1) : 256;
	struct acl_slot *slot = calloc(slots, sizeof(*slot));

	if (!slot)
		return false;
	for (__u32 i = 0; t->slot && i <= t->mask; i++) {
		__u32 at = t->slot[i].hash & (slots - 1);

		if (!t->slot[i].value)
			continue;
		while (slot[at].value)
			at = (at + 1) & (slots - 1);
		slot[at] = t->slot[i];
	}
	free(t->slot);
	t->slot = slot;
	t->mask = slots - 1;
	return true;
}

struct acl_slot *acl_table_find(struct acl_table *t, __u32 hash,
				bool (*same)(const void *something, __u32 value),
				const void *something)
{
	__u32 at;

	if ((!t->slot || t->n > t->mask / 2) && !table_grow(t))
		return NULL;
	for (at = hash & t->mask; t->slot[at].value; at = (at + 1) & t->mask) {
		if (t->slot[at].hash == hash && same(something, t->slot[at].value))
			break;
	}
	return &t->slot[at];
}

void acl_table_take(struct acl_table *t, struct acl_slot *slot, __u32 hash, __u32 value)
{
	slot->hash = hash;
	slot->value = value;
	t->n++;
}

void acl_table_free(struct acl_table *t)
{
	free(t->slot);
	*t = (struct acl_table){};
}

static __u32 hash_words(const __u64 *word, __u32 n)
{
	__u64 h = 0;

	for (__u32 i = 0; i < n; i++) {
		h = (h ^ word[i]) * 0x9e3779b97f4a7c15;
		h ^= h >> 29;
	}
	return h >> 16;
}

__u32 acl_lines_add(struct acl_lines *l, __u32 n)
{
	__u32 at = l->n, room = l->room;
	struct acl_rule *line;

	if (l->n + n > l->room) {
		room = 2 * (l->n + n);
		line = realloc(l->line, room * sizeof(*line));
		if (!line)
			return 0;
		l->line = line;
		l->room = room;
	}
	memset(l->line + at, 0, n * sizeof(*l->line));
	l->n += n;
	return at;
}

struct candidate {
	const struct acl_lines *lines;
	const __u32 *entries;
};

static bool same_node(const void *something, __u32 line)
{
	const struct candidate *c = something;

	return !memcmp(&c->lines->line[line], c->entries, ACL_LINE);
}

__u32 acl_lines_node(struct acl_lines *l, const __u32 *entries)
{
	struct candidate c = {l, entries};
	__u64 words[ACL_LINE / sizeof(__u64)];
	struct acl_slot *slot;
	__u32 hash, line;

	memcpy(words, entries, ACL_LINE);
	hash = hash_words(words, ACL_LINE / sizeof(__u64));
	slot = acl_table_find(&l->nodes, hash, same_node, &c);
	if (!slot || slot->value)
		return slot ? slot->value : 0;
	line = acl_lines_add(l, 1);
	if (!line)
		return 0;
	memcpy(&l->line[line], entries, ACL_LINE);
	acl_table_take(&l->nodes, slot, hash, line);
	return line;
}

void acl_lines_free(struct acl_lines *l)
{
	free(l->line);
	acl_table_free(&l->nodes);
	*l = (struct acl_lines){};
}
