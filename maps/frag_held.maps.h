/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Fragments that wait for their first one: in the TC object only. */
#ifndef MAPS_FRAG_HELD_MAPS_H
#define MAPS_FRAG_HELD_MAPS_H

#include "frag.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRAG_HELD_MAX);
	__type(key, struct frag_held_key);
	__type(value, struct frag_held);
} frags_held SEC(".maps");

/* Frames on their way there and back. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct frag_held);
} frag_buffer SEC(".maps");

#endif
