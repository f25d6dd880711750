/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The map of maps/l3.h. */
#ifndef MAPS_L3_MAPS_H
#define MAPS_L3_MAPS_H

#include "l3.h"

/* Place 1 is for what the host sends: that may happen while a frame in place 0 is sent on. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, L3_PLACES);
	__type(key, __u32);
	__type(value, struct l3);
} l3_scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct judge_withheld);
} judge_withheld SEC(".maps");

/* A flow on its way into a table: likewise, too much for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct flow_new);
} flow_scratch SEC(".maps");

#endif
