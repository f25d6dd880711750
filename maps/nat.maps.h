/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The maps of maps/nat.h. */
#ifndef MAPS_NAT_MAPS_H
#define MAPS_NAT_MAPS_H

#include "nat.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NETWORK_MAX + 1);
	__type(key, __u32);
	__type(value, struct nat_network);
} nat_networks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NAT_ADDRS);
	__type(key, __u32);
	__type(value, struct nat_addr);
} nat_addrs SEC(".maps");

/* External address → slot. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NAT_ADDRS);
	__type(key, struct nat_addr_key);
	__type(value, __u32);
} nat_addr_slots SEC(".maps");

/* The host's addresses as gateways, which nobody outside is to see → network id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 3 * NETWORK_MAX);
	__type(key, struct nat_addr_key);
	__type(value, __u32);
} nat_gateways SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NAT_STATICS);
	__type(key, struct nat_static_key);
	__type(value, __u32);
} nat_statics SEC(".maps");

struct nat_pool_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct nat_pool);
};

/* By NAT_POOL(). The command line makes a pool when its address needs one. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, NAT_ADDRS *NAT_PROTOS);
	__type(key, __u32);
	__array(values, struct nat_pool_map);
} nat_pools SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NAT_ENDPOINTS);
	__type(key, struct nat_endpoint);
	__type(value, struct nat_mapping);
} nat_endpoints SEC(".maps");

/* How many displaced mappings the endpoints have whose hash is the place: 0, none. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NAT_DISPLACED);
	__type(key, __u32);
	__type(value, __u64);
} nat_displaced SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NAT_HOPS);
	__type(key, __u32);
	__type(value, struct nat_hop);
} nat_hops SEC(".maps");

/* What the command line remembers. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NETWORK_MAX);
	__type(key, __u32);
	__type(value, struct nat_info);
} nat_info SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NAT_FORWARDS);
	__type(key, struct nat_rule_key);
	__type(value, struct nat_rule);
} nat_rules SEC(".maps");

#endif
