/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The maps of maps/port.h. Mappable ones are written by the command line in place. */
#ifndef MAPS_PORT_MAPS_H
#define MAPS_PORT_MAPS_H

#include "port.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PORT_MAX + 1);
	__type(key, __u32);
	__type(value, struct port);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PORT_SLOTS);
	__type(key, __u32);
	__type(value, struct port_slot);
} port_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PORT_MAX + 1);
	__type(key, __u32);
	__type(value, struct port_vlans);
} port_vlans SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PORT_MAX *PORT_MAC_MAX);
	__type(key, struct port_mac);
	__type(value, __u8);
} port_macs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PORT_MAX *(PORT_IP_MAX + PORT_MAC_MAX));
	__type(key, struct port_ip);
	__type(value, __u8);
} port_ips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PORT_MAX);
	__type(key, __u32);
	__type(value, struct port_info);
} port_info SEC(".maps");

/* By port id: the devices that XDP sends to. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, PORT_MAX + 1);
	__type(key, __u32);
	__type(value, __u32);
} xdp_ports SEC(".maps");

#endif
