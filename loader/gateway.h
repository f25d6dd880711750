/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The host's device in a network of its own (modes nat and hostonly): one end of a veth pair,
 * named after the network. Nothing is sent to its other end, xdpctlID: frames for the host go
 * into the first end as received ones, and frames that the host sends are taken there by the
 * egress program.
 */
#ifndef LOADER_GATEWAY_H
#define LOADER_GATEWAY_H

#include <stdbool.h>
#include "netdev.h"
#include "../maps/port.h"

struct gateway {
	__u32 network; /* id */
	char name[PORT_NAME_LEN];
	__u8 mac[6];
	__u32 mtu;
	bool routes;		/* mode nat */
	struct prefix address;	/* all bits of the host's, and the subnet's length */
	struct prefix address6; /* family 0: none */
};

/* Makes the device. All or nothing. */
int gateway_make(const struct gateway *g, __u32 *ifindex);
/* Gives it its addresses and settings again, if somebody took them away, and its MTU (0: as is). */
int gateway_keep(const struct gateway *g, const struct netdev *dev);
/* Whether the kernel routes what comes in by a device; net.ipv4.ip_forward changes that, too. */
bool gateway_routes(const char *dev, __u8 family);
/* Removes the device of a network; ifindex and mac: as they were. Also half-made ones. */
void gateway_remove(__u32 network, __u32 ifindex, const __u8 mac[6]);
/* The id of the network whose device's other end has this name, 0: none. */
__u32 gateway_other_end(const char *name);

#endif
