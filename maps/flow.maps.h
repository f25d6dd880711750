/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The maps of maps/flow.h: each holds one table, or none while nothing is tracked. */
#ifndef MAPS_FLOW_MAPS_H
#define MAPS_FLOW_MAPS_H

#include "flow.h"

struct flow_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags,
	       BPF_F_MMAPABLE | BPF_F_INNER_MAP); /* of FLOW_BUCKETS or FLOW_OPENING_BUCKETS */
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_bucket);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct flow_table);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct flow_table);
} flows_opening SEC(".maps");

#endif
