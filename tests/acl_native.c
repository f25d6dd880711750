// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* bpf/acl_match.h with what it calls of the kernel: see acl_native.h. */
#include <stdlib.h>
#include "acl_native.h"

#define __noinline __attribute__((noinline)) static
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

static __thread struct {
	const struct acl_rule *lines;
	__u32 n;
	struct acl_work work;
	struct l3 l3;
} state;
static int acl_lists, l3_scratch;

static void *bpf_map_lookup_elem(void *map, const void *key)
{
	__u32 place = *(const __u32 *)key;
	const struct acl_header *h = (const struct acl_header *)state.lines;
	__u32 late = h->tuples ? ACL_LATE_MAX : 0;

	if (map == &acl_lists)
		return place ? NULL : &state;
	if (map == &l3_scratch)
		return place ? NULL : &state.l3;
	if (place >= state.n)
		return NULL;
	state.work.lookups++;
	if (place >= h->brief && place < h->brief + (h->slots + late + 1) / 2)
		state.work.steps++;
	if (h->tuples && place >= h->tuple && place < h->tuple + h->tuples)
		state.work.probes++;
	return (void *)&state.lines[place];
}

static long bpf_loop(__u32 n, long (*step)(__u32 i, void *context), void *context, __u64 flags)
{
	__u32 i = 0;

	while (i < n && !step(i, context))
		i++;
	if (i == n)
		abort(); /* more than a list was certified for */
	return i;
}

#include "../bpf/acl_match.h"

__u64 acl_native(const struct acl_rule *lines, __u32 n_lines, const struct acl_key *key,
		 struct acl_work *work)
{
	__u64 result;

	state.lines = lines;
	state.n = n_lines;
	state.work = (struct acl_work){};
	state.l3.key = *key;
	result = acl_match(0, 0);
	if (work)
		*work = state.work;
	return result;
}
