/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The ports of external addresses: pools, and the ports that forwards bind. Programs in the
 * kernel bind and free ports meanwhile; whoever takes the last reference away frees.
 */
#ifndef LOADER_NAT_POOL_H
#define LOADER_NAT_POOL_H

#include "state.h"

/* Makes a pool. Returns its fd, the caller's, or a negative errno with a message. */
int nat_pool_make(const struct state *s);
/* Maps a pool; *out is NULL when there is none. */
int nat_pool_open(const struct state *s, __u32 slot, enum nat_proto proto, struct nat_pool **out);
void nat_pool_close(struct nat_pool *pool);

/* Ends the flows of an external address, of a protocol (0: all) and an aligned range of ports. */
int nat_flush(struct state *s, __u32 slot, __u8 proto, __u16 port, __u16 port_mask);

#endif
