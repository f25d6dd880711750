/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The maps of maps/fdb.h. */
#ifndef MAPS_FDB_MAPS_H
#define MAPS_FDB_MAPS_H

#include "fdb.h"
#include "port.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FDB_MAX);
	__type(key, struct fdb_key);
	__type(value, struct fdb_entry);
} fdb SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FDB_MAX);
	__type(key, __u32);
	__type(value, struct fdb_node);
} fdb_nodes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PORT_MAX + 1);
	__type(key, __u32);
	__type(value, struct fdb_queue);
} fdb_queues SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fdb_pool);
} fdb_pool SEC(".maps");

#endif
