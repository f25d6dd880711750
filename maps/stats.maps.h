/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The maps of maps/stats.h. */
#ifndef MAPS_STATS_MAPS_H
#define MAPS_STATS_MAPS_H

#include "stats.h"
#include "port.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PORT_MAX + 1);
	__type(key, __u32);
	__type(value, struct port_stats);
} port_stats SEC(".maps");

/* An entry is made with its port: the data path only adds to it. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PORT_MAX);
	__type(key, __u32);
	__type(value, struct port_drops);
} port_drops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PORT_MAX);
	__type(key, __u32);
	__type(value, struct stats_base);
} stats_base SEC(".maps");

#endif
