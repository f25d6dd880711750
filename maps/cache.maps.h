/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The maps of maps/cache.h. */
#ifndef MAPS_CACHE_MAPS_H
#define MAPS_CACHE_MAPS_H

#include "cache.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CACHE_SIZE);
	__type(key, __u32);
	__type(value, struct cache_entry);
} cache SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cache_generation);
} generation SEC(".maps");

#endif
