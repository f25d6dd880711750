/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The map of maps/flow_cache.h. */
#ifndef MAPS_FLOW_CACHE_MAPS_H
#define MAPS_FLOW_CACHE_MAPS_H

#include "flow_cache.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FLOW_HINTS);
	__type(key, __u32);
	__type(value, struct flow_hint);
} flow_hints SEC(".maps");

#endif
