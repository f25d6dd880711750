/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Connections from the outside. The command line makes their tables and reads them; flows
 * themselves are changed by programs in the kernel alone.
 */
#ifndef LOADER_FLOW_H
#define LOADER_FLOW_H

#include "../maps/flow_filter.h"
#include "state.h"

/*
 * Makes the tables where there are none, and their pins: to be called before a port's
 * connections are tracked (struct port_policy.track). Takes some 200 MB of kernel memory.
 */
int flow_tables_make(struct state *s);

/* Both tables, mapped for reading; they outlive the state's lock. */
struct flow_view {
	const struct flow_bucket *flows; /* NULL: there is none */
	const struct flow_bucket *opening;
	__u32 now; /* s, as struct flow has it */
};
int flow_view_open(struct state *s, struct flow_view *out);
void flow_view_close(struct flow_view *v);

/*
 * nat: its external endpoint, NULL: it is not translated. left: seconds until it is gone. opening:
 * it was not answered yet.
 */
typedef void (*flow_visit)(const struct flow *f, const struct nat_flow *nat, __u32 left,
			   bool opening, void *data);
/* Visits the flows that fit, in no order. */
void flow_foreach(const struct flow_view *v, const struct flow_filter *filter, flow_visit visit,
		  void *data);

/* Removes the flows that fit. */
int flow_flush(struct state *s, const struct flow_filter *filter);
/* Removes those of a port or network that takes no more frames, also those just being made. */
int flow_forget(struct state *s, const struct flow_filter *filter);

#endif
