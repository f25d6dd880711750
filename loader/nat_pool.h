/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The ports of external addresses: pools, and the ports that forwards bind. Programs in the
 * kernel bind and free ports meanwhile; whoever takes the last reference away frees.
 */
#ifndef LOADER_NAT_POOL_H
#define LOADER_NAT_POOL_H

#include "state.h"

#define NAT_POOL_PORTS 65536

/* Makes a pool. Returns its fd, the caller's, or a negative errno with a message. */
int nat_pool_make(const struct state *s);
/* Maps a pool; *out is NULL when there is none. */
int nat_pool_open(const struct state *s, __u32 slot, enum nat_proto proto, struct nat_pool **out);
void nat_pool_close(struct nat_pool *pool);

/* Ports of a forward at one external address. */
struct nat_ports {
	__u32 slot;
	enum nat_proto pool;
	__u8 proto; /* IP protocol */
	__u16 first;
	__u32 n;
	__u64 inside[2]; /* as in struct flow_key */
	__u16 inside_port;
	__u16 network;
};
/*
 * Binds them: mappings that have them end. Ports that are bound by a forward already become
 * this one's.
 */
int nat_ports_bind(struct state *s, const struct nat_ports *p);
/* Takes them away, and ends their flows (flush), unless there are none any more. */
int nat_ports_free(struct state *s, const struct nat_ports *p, bool flush);
/* Adds how many ports of a pool are bound, and how many of them by displaced mappings. */
void nat_pool_count(const struct nat_pool *pool, __u32 *bound, __u32 *displaced);

/*
 * A network's addresses are given other slots (n: as it will be, or is): mappings in this slot
 * that would not be looked for there any more become displaced ones.
 */
int nat_pool_rehome(struct state *s, __u32 slot, __u32 network, const struct nat_network *n);

/* Ends the flows of an external address, of a protocol (0: all) and an aligned range of ports. */
int nat_flush(struct state *s, __u32 slot, __u8 proto, __u16 port, __u16 port_mask);

#endif
