/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The map of maps/meta.h. */
#ifndef MAPS_META_MAPS_H
#define MAPS_META_MAPS_H

#include "meta.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct meta);
} meta SEC(".maps");

#endif
