/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Takes away the flows that fit a filter: a range of buckets a run, asked for by a frame. */
#ifndef BPF_FLOW_FLUSH_H
#define BPF_FLOW_FLUSH_H

#include "../maps/flow_filter.h"
#include "flow_table.h"

struct flow_flush_round {
	struct flow_flush ask;
	__u32 removed;
	__u32 busy; /* FLOW_FLUSH_BUSY or 0 */
};

/* Whether a flow has one of the external endpoints that are asked for. */
static __always_inline bool flow_flush_external(const struct flow_bucket *b, __u32 place,
						const struct flow_flush *ask)
{
	const struct nat_flow *n;

	if (!ask->filter.nat_mask)
		return true;
	n = &b->nat[place];
	return b->flow[place].flags & FLOW_NAT &&
	       (((__u32)n->addr << 16 | n->port) & ask->filter.nat_mask) == ask->filter.nat;
}

/* A global function: the verifier of 6.1 follows its branches once, not for each place. */
__noinline int flow_flush_fits(const struct flow_bucket *b, __u32 place,
			       const struct flow_flush *ask)
{
	return b && ask && place < FLOW_WAYS && READ_ONCE(b->tag[place]) &&
	       flow_fits(&b->flow[place], &ask->filter) && flow_flush_external(b, place, ask);
}

/* Removes the flow of one place if it fits. Returns how many were, or FLOW_FLUSH_BUSY. */
__noinline __u32 flow_flush_place(struct flow_bucket *b, __u32 place, const struct flow_flush *ask)
{
	__u32 removed = 0;

	if (!b || !ask || place >= FLOW_WAYS || !flow_flush_fits(b, place, ask))
		return 0;
	if (!flow_lock(b))
		return FLOW_FLUSH_BUSY;
	if (flow_flush_fits(b, place, ask)) { /* still */
		flow_remove(b, place, ask->opening);
		removed = 1;
	}
	flow_unlock(b);
	return removed;
}

/* Looks at one bucket. Returns how many flows were removed, with FLOW_FLUSH_BUSY or without. */
__noinline __u32 flow_flush_bucket(const struct flow_flush *ask, __u32 number)
{
	struct flow_bucket *b = ask ? flow_bucket(ask->opening, number) : NULL;
	__u32 removed = 0, busy = 0, n;

	for (__u32 i = 0; b && i < FLOW_WAYS; i++) {
		n = flow_flush_place(b, i, ask);
		removed += n & ~FLOW_FLUSH_BUSY;
		busy |= n & FLOW_FLUSH_BUSY;
	}
	return removed | busy;
}

static long flow_flush_step(__u32 i, struct flow_flush_round *round)
{
	__u32 n = flow_flush_bucket(&round->ask, round->ask.first + i);

	round->removed += n & ~FLOW_FLUSH_BUSY;
	round->busy |= n & FLOW_FLUSH_BUSY;
	return 0;
}

/* Returns how many flows were removed, with FLOW_FLUSH_BUSY when some may be left. */
static __always_inline int flow_flush_run(struct __sk_buff *skb)
{
	struct flow_flush_round round = {};
	__u32 n;

	if (bpf_skb_load_bytes(skb, FLOW_FLUSH_AT, &round.ask, sizeof(round.ask)))
		return 0;
	n = round.ask.buckets > FLOW_FLUSH_BUCKETS ? FLOW_FLUSH_BUCKETS : round.ask.buckets;
	bpf_loop(n, flow_flush_step, &round, 0);
	return round.removed | round.busy;
}

#endif
