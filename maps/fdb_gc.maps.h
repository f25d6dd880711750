/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The ageing timer: in the TC object only, for XDP may not hold one. */
#ifndef MAPS_FDB_GC_MAPS_H
#define MAPS_FDB_GC_MAPS_H

#include "fdb.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fdb_gc);
} fdb_gc SEC(".maps");

#endif
