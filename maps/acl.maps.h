/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The maps of maps/acl.h. */
#ifndef MAPS_ACL_MAPS_H
#define MAPS_ACL_MAPS_H

#include "acl.h"

struct acl_list {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	/* As many lines as the list needs; the command line reads and fills them by mmap(). */
	__uint(map_flags, BPF_F_INNER_MAP | BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct acl_rule);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, ACL_LISTS);
	__type(key, __u32);
	__array(values, struct acl_list);
} acl_lists SEC(".maps");

struct acl_counter_chunk {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ACL_COUNTER_CHUNK);
	__type(key, __u32);
	__type(value, struct acl_counter);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, ACL_COUNTER_CHUNKS);
	__type(key, __u32);
	__array(values, struct acl_counter_chunk);
} acl_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct acl_numbers);
} acl_numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} acl_events SEC(".maps");

#endif
