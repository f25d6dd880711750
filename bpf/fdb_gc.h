/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Ageing without a daemon: a kernel timer goes round the ports' queues. An expired
 * address is invisible from its last second on (fdb_lookup); this gives its room back.
 */
#ifndef BPF_FDB_GC_H
#define BPF_FDB_GC_H

#include "../maps/fdb_gc.maps.h"
#include "fdb.h"
#include "flow_gc.h"

#define FDB_GC_STEPS 8192	   /* nodes and ports looked at in a tick */
#define FDB_GC_REST  1000000000ULL /* ns between rounds */
#define FDB_GC_PAUSE 20000000ULL   /* ns between the ticks of a round */

/* The cursor stays in the map, where the verifier does not follow its values. */
struct fdb_gc_round {
	__u64 now;
	struct fdb_gc *gc;
};

static long fdb_gc_step(__u32 i, struct fdb_gc_round *round)
{
	int r = fdb_look(round->gc->port, FDB_AGEING, round->now);

	if (r != FDB_LOOK_EMPTY && r != FDB_LOOK_YOUNG)
		return 0;
	fdb_weigh(round->gc->port);
	if (++round->gc->port <= PORT_MAX)
		return 0;
	round->gc->port = 0;
	return 1;
}

static int fdb_gc_tick(void *map, __u32 *key, struct fdb_gc *gc)
{
	struct fdb_gc_round round = {.now = bpf_ktime_get_coarse_ns(), .gc = gc};

	if (round.now - gc->voided >= FDB_GC_REST - FDB_GC_PAUSE) {
		gc->voided = round.now;
		cache_void();
	}
	bpf_loop(FDB_GC_STEPS, fdb_gc_step, &round, 0);
	flow_gc_tick(gc);
	bpf_timer_start(&gc->timer, gc->port ? FDB_GC_PAUSE : FDB_GC_REST, 0);
	return 0;
}

/* Starts the timer, or makes a running one call this program's code. Returns 0 or -errno. */
static __always_inline int fdb_gc_run(void)
{
	__u32 zero = 0;
	struct fdb_gc *gc = bpf_map_lookup_elem(&fdb_gc, &zero);
	int err;

	if (!gc)
		return -1;
	bpf_timer_init(&gc->timer, &fdb_gc, 1 /* CLOCK_MONOTONIC */);
	err = bpf_timer_set_callback(&gc->timer, fdb_gc_tick);
	return err ?: bpf_timer_start(&gc->timer, FDB_GC_REST, 0);
}

#endif
