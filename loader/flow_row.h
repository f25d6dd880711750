/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Flows in words: a filter's addresses, and what `flow show` prints of one. */
#ifndef LOADER_FLOW_ROW_H
#define LOADER_FLOW_ROW_H

#include <json-c/json.h>
#include "../maps/flow_filter.h"
#include "parse.h"
#include "port.h"

/* Lets only flows through whose opening end (or the other one) is in a prefix. */
void flow_filter_src(struct flow_filter *f, const struct prefix *p);
void flow_filter_dst(struct flow_filter *f, const struct prefix *p);

/* now, left: s. nat: its external endpoint, may be NULL; slots: external addresses by slot. */
struct json_object *flow_row(const struct flow *f, const struct nat_flow *nat,
			     const struct nat_addr *slots, __u32 now, __u32 left,
			     const struct names *names);

#endif
