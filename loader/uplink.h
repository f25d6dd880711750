/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Uplinks: a device is the uplink of one bridge network, of any number of NAT networks, or of
 * both. Networks say which (network_info.uplink, nat_info.uplink); the port follows.
 */
#ifndef LOADER_UPLINK_H
#define LOADER_UPLINK_H

#include <stdbool.h>
#include "state.h"

/* Makes a device an uplink of a network, whose mode says how; *port: its port id. */
int uplink_join(struct state *s, __u32 network, const char *dev, bool nat, __u32 *port);
/*
 * Makes an uplink what the networks that are active want of it: a bridge network's, that of NAT
 * networks alone, or no port at all.
 */
int uplink_settle(struct state *s, __u32 port);
/* The same after a failure, keeping its message. */
void uplink_undo(struct state *s, __u32 port);

#endif
