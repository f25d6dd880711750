/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The map of maps/plain.h. */
#ifndef MAPS_PLAIN_MAPS_H
#define MAPS_PLAIN_MAPS_H

#include "plain.h"

/* Place 1 is for what the host sends, as in l3_scratch. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct plain);
} plain_scratch SEC(".maps");

#endif
