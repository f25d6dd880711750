/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The places of flows: their lock, and how one is freed. Only programs take the lock, for
 * one that runs always ends; the command line could be killed.
 */
#ifndef BPF_FLOW_TABLE_H
#define BPF_FLOW_TABLE_H

#include "nat_pool.h"

#define FLOW_LOCK_TRIES 64

/* A bucket, or NULL: also while there are no tables. */
static __always_inline struct flow_bucket *flow_bucket(__u32 opening, __u32 number)
{
	__u32 zero = 0;
	void *table = opening ? bpf_map_lookup_elem(&flows_opening, &zero)
			      : bpf_map_lookup_elem(&flows, &zero);

	return table ? bpf_map_lookup_elem(table, &number) : NULL;
}

/*
 * Returns 1 with the bucket locked, or 0: a holder on this CPU may have been interrupted, so
 * nobody waits for long. The lock is held for some stores, never across a loop of buckets.
 */
__noinline int flow_lock(struct flow_bucket *b)
{
	if (!b)
		return 0;
	for (int i = 0; i < FLOW_LOCK_TRIES; i++)
		if (!READ_ONCE(b->lock) && !__sync_val_compare_and_swap(&b->lock, 0, 1))
			return 1;
	return 0;
}

static __always_inline void flow_unlock(struct flow_bucket *b)
{
	__sync_lock_test_and_set(&b->lock,
				 0); /* an exchange: what was stored before is seen first */
}

/* Changes what a port's connections are counted at. */
static __always_inline void flow_count(__u32 owner, __s32 all, __s32 opening)
{
	struct port *port = owner ? bpf_map_lookup_elem(&ports, &owner) : NULL;

	if (port && all)
		__sync_fetch_and_add(&port->flows, all);
	if (port && opening)
		__sync_fetch_and_add(&port->opening, opening);
}

/* Frees a place; the bucket is locked. opening: it is of flows_opening. */
static __always_inline void flow_remove(struct flow_bucket *b, __u32 place, bool opening)
{
	__u32 owner;

	if (place >= FLOW_WAYS)
		return;
	owner = b->flow[place].owner;
	WRITE_ONCE(b->flow[place].state, FLOW_NONE);
	WRITE_ONCE(b->tag[place], 0);
	if (b->flow[place].flags & FLOW_NAT)
		nat_forget(&b->nat[place], opening, b->flow[place].key.rest >> 24);
	flow_count(owner, -1, opening ? -1 : 0);
}

#endif
