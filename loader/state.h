/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The data plane of the current network namespace: where its pins are, its maps, the
 * lock that serialises commands, and what brings it back after a command died.
 */
#ifndef LOADER_STATE_H
#define LOADER_STATE_H

#include <stdbool.h>
#include <linux/bpf.h>
#include "../maps/acl.h"
#include "../maps/cache.h"
#include "../maps/fdb.h"
#include "../maps/flow.h"
#include "../maps/meta.h"
#include "../maps/nat.h"
#include "../maps/network.h"
#include "../maps/port.h"
#include "../maps/stats.h"

#define STATE_ROOT "/sys/fs/bpf/xdpctl"

/* X(enum suffix, name of the map and of its pin) */
#define STATE_MAPS(X)                     \
	X(META, meta)                     \
	X(NETWORKS, networks)             \
	X(NETWORK_INFO, network_info)     \
	X(PORTS, ports)                   \
	X(PORT_SLOTS, port_slots)         \
	X(PORT_VLANS, port_vlans)         \
	X(PORT_MACS, port_macs)           \
	X(PORT_INFO, port_info)           \
	X(XDP_PORTS, xdp_ports)           \
	X(FDB, fdb)                       \
	X(FDB_NODES, fdb_nodes)           \
	X(FDB_QUEUES, fdb_queues)         \
	X(FDB_POOL, fdb_pool)             \
	X(FDB_GC, fdb_gc)                 \
	X(PORT_STATS, port_stats)         \
	X(PORT_DROPS, port_drops)         \
	X(STATS_BASE, stats_base)         \
	X(CACHE, cache)                   \
	X(PORT_IPS, port_ips)             \
	X(ACL_LISTS, acl_lists)           \
	X(ACL_COUNTERS, acl_counters)     \
	X(ACL_EVENTS, acl_events)         \
	X(ACL_NUMBERS, acl_numbers)       \
	X(FLOWS, flows)                   \
	X(FLOWS_OPENING, flows_opening)   \
	X(JUDGE_WITHHELD, judge_withheld) \
	X(FLOW_SCRATCH, flow_scratch)     \
	X(L3_SCRATCH, l3_scratch)         \
	X(FLOW_HINTS, flow_hints)         \
	X(PLAIN_SCRATCH, plain_scratch)   \
	X(GENERATION, generation)         \
	X(NAT_NETWORKS, nat_networks)     \
	X(NAT_ADDRS, nat_addrs)           \
	X(NAT_ADDR_SLOTS, nat_addr_slots) \
	X(NAT_GATEWAYS, nat_gateways)     \
	X(NAT_STATICS, nat_statics)       \
	X(NAT_POOLS, nat_pools)           \
	X(NAT_ENDPOINTS, nat_endpoints)   \
	X(NAT_DISPLACED, nat_displaced)   \
	X(NAT_HOPS, nat_hops)             \
	X(NAT_INFO, nat_info)             \
	X(NAT_RULES, nat_rules)

enum state_map {
#define X(id, name) MAP_##id,
	STATE_MAPS(X)
#undef X
		MAP_COUNT,
};

enum state_prog {
	PROG_XDP,
	PROG_TC_INGRESS,
	PROG_TC_EGRESS,
	PROG_TC_LOCAL,
	PROG_FLOW_FLUSH,
	PROG_COUNT,
};

/* Names of the maps and their pins, by enum state_map. */
extern const char *const state_map_names[MAP_COUNT];
/* Pin names, by enum state_prog. */
extern const char *const state_prog_pins[PROG_COUNT];

struct state {
	char dir[64]; /* the pins' directory */
	int lock;     /* fd of dir, locked; -1: there is no data plane here */
	int maps[MAP_COUNT];
	int progs[PROG_COUNT];
	/* Mapped, so that one store changes one setting under traffic. */
	struct meta *meta;
	struct network *networks; /* [NETWORK_MAX + 1] */
	struct port *ports;	  /* [PORT_MAX + 1] */
	struct port_slot *slots;  /* [PORT_SLOTS] */
	struct port_vlans *vlans; /* [PORT_MAX + 1] */
	struct cache_generation *generation;
	struct acl_numbers *acl_numbers;
	struct nat_network *nat_networks; /* [NETWORK_MAX + 1] */
	struct nat_addr *nat_addrs;	  /* [NAT_ADDRS] */
};

enum state_open {
	STATE_READ,   /* what is there */
	STATE_WRITE,  /* likewise, and its programs become this build's */
	STATE_CREATE, /* made if missing */
};

/*
 * Enters the mount namespace whose BPF file system outlives this command, and finds the
 * pins' directory of the current network namespace. Call once, after entering the latter.
 */
int state_init(void);

/*
 * Opens and locks the data plane; *out stays valid until state_close(). Without one,
 * STATE_READ and STATE_WRITE succeed with state_exists() false. Repairs what a command that
 * died left, and looks for devices that vanished, came back or changed.
 */
int state_open(enum state_open how, struct state **out);
/* Unlocks; the maps stay open for the next command of this process. */
void state_unlock(struct state *s);
static inline bool state_exists(const struct state *s)
{
	return s->lock >= 0;
}

/* Between these two, a command that dies is repaired by the next one. */
void state_begin(struct state *s);
void state_end(struct state *s);

/* Pins a map under a name that is not there yet. */
int state_pin_map(const struct state *s, int fd, const char *name);

/* Makes cached decisions void: to be called after each change of what they depend on. */
void state_void_cache(struct state *s);

/* Removes everything: ports, programs, pins. */
int state_detach(struct state *s);
/* The pins' directory, whether it exists or not. */
const char *state_dir(void);
const char *state_version(void);

#endif
