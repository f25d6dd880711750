/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The maps of maps/network.h. */
#ifndef MAPS_NETWORK_MAPS_H
#define MAPS_NETWORK_MAPS_H

#include "network.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NETWORK_MAX + 1);
	__type(key, __u32);
	__type(value, struct network);
} networks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NETWORK_MAX);
	__type(key, __u32);
	__type(value, struct network_info);
} network_info SEC(".maps");

#endif
