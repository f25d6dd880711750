/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Network devices of the current namespace: what they are, and the settings that ports need. */
#ifndef LOADER_NETDEV_H
#define LOADER_NETDEV_H

#include <stdbool.h>
#include <net/if.h>
#include <linux/types.h>

struct netdev {
	char name[IFNAMSIZ];
	__u32 ifindex;
	__u32 mtu;
	__u32 flags;  /* IFF_… */
	__u32 master; /* ifindex, 0: none */
	__u32 link;   /* ifindex of what is below, or of a veth's other end; 0: none */
	__u16 type;   /* ARPHRD_… */
	__u8 mac[6];
	char kind[16]; /* "tun", "veth", …; a NIC's driver name */
};

/* Looks a device up by name, or by ifindex when name is NULL. Returns 0 or -ENODEV (no message). */
int netdev_get(const char *name, __u32 ifindex, struct netdev *out);
static inline bool netdev_up(const struct netdev *d)
{
	return (d->flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
}

/* A tap or veth: its frames may be GSO or have a partial checksum. */
bool netdev_is_virtual_port(const struct netdev *d);

/* Promiscuous mode as set by hand (dev->flags & IFF_PROMISC tells). Returns 0 or -errno with a
 * message. */
int netdev_set_promisc(const char *name, bool on);

enum netdev_offload {
	NETDEV_RXVLAN, /* VLAN stripping on receive: hides tags from XDP */
	NETDEV_LRO,    /* large receive offload: its frames must not be forwarded */
};
bool netdev_offload(const char *name, enum netdev_offload which);
/* Returns 0 or -errno with a message. */
int netdev_set_offload(const char *name, enum netdev_offload which, bool on);

/*
 * Whether a device takes frames that XDP redirects to it (NETDEV_XDP_ACT_NDO_XMIT, from
 * 6.3 on; before, by kind). Returns 1 or 0.
 */
bool netdev_takes_xdp(const struct netdev *d);

/* Whether a device has a clsact qdisc. */
bool netdev_has_clsact(__u32 ifindex);
/* Whether anybody has a filter in a device's clsact qdisc. */
bool netdev_has_tc_filters(__u32 ifindex);

#endif
