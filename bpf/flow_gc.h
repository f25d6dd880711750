/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The room of connections that are over is given back: the ageing timer goes round the
 * tables' buckets. A flow is invisible from its last second on, whenever this comes by.
 */
#ifndef BPF_FLOW_GC_H
#define BPF_FLOW_GC_H

#include "../maps/fdb_gc.maps.h"
#include "flow.h"

#define FLOW_GC_BUCKETS 8192 /* of each table in a tick of the timer */

/* Frees what is over in one bucket. Reads its head only. */
__noinline int flow_gc_bucket(__u32 number, __u32 opening, __u32 now)
{
	struct flow_bucket *b = flow_bucket(opening, number);

	if (!b)
		return -1;
	for (__u32 i = 0; i < FLOW_WAYS; i++) {
		if (!READ_ONCE(b->tag[i]) || (__s32)(READ_ONCE(b->expires[i]) - now) > 0)
			continue;
		if (!flow_lock(b))
			return 0;
		if (b->tag[i] && (__s32)(b->expires[i] - now) <= 0)
			flow_remove(b, i, opening);
		flow_unlock(b);
	}
	return 0;
}

static long flow_gc_step(__u32 i, struct fdb_gc **gc)
{
	__u32 now = flow_now(), number = (*gc)->bucket;

	if (i < FLOW_OPENING_BUCKETS)
		flow_gc_bucket(i, true, now);
	if (flow_gc_bucket(number, false, now))
		return i >= FLOW_OPENING_BUCKETS;
	(*gc)->bucket = number + 1 < FLOW_BUCKETS ? number + 1 : 0;
	return 0;
}

static __always_inline void flow_gc_tick(struct fdb_gc *gc)
{
	if (flow_opening())
		bpf_loop(FLOW_GC_BUCKETS, flow_gc_step, &gc, 0);
}

#endif
