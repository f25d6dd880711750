/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The map of maps/frag.h. */
#ifndef MAPS_FRAG_MAPS_H
#define MAPS_FRAG_MAPS_H

#include "frag.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRAG_MAX);
	__type(key, struct frag_key);
	__type(value, struct frag);
} frags SEC(".maps");

#endif
