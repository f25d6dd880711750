// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* See flows.h. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "flows.h"
#include "lab.h"

static struct table {
	const char *pin;
	__u32 buckets;
	struct flow_bucket *at; /* NULL: not made yet */
} tables[] = {{"flows_opening", FLOW_OPENING_BUCKETS}, {"flows", FLOW_BUCKETS}};
#define TABLES (sizeof(tables) / sizeof(*tables))

/* A table is made when it is first needed. */
static struct flow_bucket *open_table(struct table *t)
{
	int outer, inner;
	__u32 zero = 0, id;
	void *at;

	if (t->at)
		return t->at;
	outer = lab_pin(t->pin);
	if (bpf_map_lookup_elem(outer, &zero, &id)) {
		close(outer);
		return NULL;
	}
	inner = bpf_map_get_fd_by_id(id);
	at = mmap(NULL, t->buckets * sizeof(*t->at), PROT_READ | PROT_WRITE, MAP_SHARED, inner, 0);
	close(outer);
	close(inner);
	t->at = at == MAP_FAILED ? NULL : at;
	return t->at;
}

/* The first bucket from b on that is not empty. The table is large: not watched by the sanitizers. */
__attribute__((no_sanitize("address", "undefined"))) static struct flow_bucket *
next_used(struct flow_bucket *b, const struct flow_bucket *end)
{
	__u64 any, word;

	for (; b < end; b++) {
		any = 0;
		for (int i = 0; i < 4; i++) { /* the lock and all tags */
			memcpy(&word, (const char *)b + i * sizeof(word), sizeof(word));
			any |= word;
		}
		if (any)
			return b;
	}
	return NULL;
}

struct flow_bucket *flows_next(const struct flow_bucket *after)
{
	struct flow_bucket *b, *begin;

	for (struct table *t = tables; t < tables + TABLES; t++) {
		begin = open_table(t);
		if (!begin)
			continue;
		if (after && (after < begin || after >= begin + t->buckets))
			continue;
		b = next_used(after ? begin + (after - begin) + 1 : begin, begin + t->buckets);
		if (b)
			return b;
		after = NULL; /* on with the next one */
	}
	return NULL;
}
