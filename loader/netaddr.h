/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* IP addresses of the current namespace's devices. */
#ifndef LOADER_NETADDR_H
#define LOADER_NETADDR_H

#include <stdbool.h>
#include <linux/types.h>
#include "../maps/port.h"

struct netaddr {
	__u32 ifindex;
	__u32 flags;	       /* IFA_F_… */
	__u8 scope;	       /* RT_SCOPE_… */
	struct prefix address; /* all its bits; len: of its subnet */
	struct prefix peer;    /* point-to-point: the other end's, else the same */
};

struct netaddrs {
	__u32 n;
	struct netaddr *at;
};

/* All addresses, those of a device in the kernel's order. Free with netaddrs_free(). */
int netaddrs_read(struct netaddrs *out);
void netaddrs_free(struct netaddrs *l);
/* Whether others may send to it: of global scope, and in force. */
bool netaddr_usable(const struct netaddr *a);

/* Gives a device an address, whose subnet has a->len bits. Returns 0 or -errno (no message). */
int netaddr_add(__u32 ifindex, const struct prefix *a);
/*
 * The address of a family (4, 6) that the kernel prefers for what leaves a device towards
 * anywhere: packed as in struct flow_key, {0, 0} or {FLOW_IPV4, 0} when there is none.
 */
void netaddr_preferred(const struct netaddrs *l, __u32 ifindex, __u8 family, __u64 out[2]);

#endif
