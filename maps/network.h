/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Networks as the data path sees them (struct network, by network id) and as the
 * command line remembers them (struct network_info): shared by both sides.
 */
#ifndef MAPS_NETWORK_H
#define MAPS_NETWORK_H

#include <linux/types.h>

#define NETWORK_MAX	    4096 /* network ids are 1..NETWORK_MAX; 0 is none */
#define NETWORK_NAME_LEN    32
#define NETWORK_AGEING_SECS 300 /* 802.1D, table 7-5 */

enum network_mode {
	NETWORK_BRIDGE,
	NETWORK_INTERNAL,
	NETWORK_NAT,
	NETWORK_HOSTONLY,
};

struct network {
	union {
		__u8 host_mac[6];   /* the uplink device's own address */
		__u64 host_mac_raw; /* the same as the frame's first octets, 0: no uplink */
	};
	__u64 ageing;	  /* ns */
	__u32 members;	  /* first port id, the rest by struct port.next */
	__u32 uplink;	  /* port id, 0: none */
	__u32 fdb_max;	  /* learned addresses, 0: no limit but the table's */
	__u32 vlan_aware; /* a port has vlan or trunk: link-local frames are not forwarded */
	__u32 tracked;	  /* a port tracks connections */
	__u32 gateway;	  /* `uplink` is the host's device in it, see maps/nat.h */
	__u8 pad[24];
	__u32 learned;	/* addresses learned now */
	__u32 fixed;	/* static addresses */
	__u32 heaviest; /* hint: port id with the most learned addresses */
	__u8 pad2[52];
};
_Static_assert(sizeof(struct network) == 128, "two cache lines");

enum network_state {
	NETWORK_ADDING = 1,
	NETWORK_ACTIVE,
	NETWORK_DELETING,
};

struct network_info {
	char name[NETWORK_NAME_LEN];
	__u8 mode;  /* enum network_mode */
	__u8 state; /* enum network_state */
	__u16 pad;
	__u32 ageing; /* s */
	__u32 fdb_max;
	__u32 order;
	__u32 uplink; /* port id, 0: none; what says which of two is the uplink in a change;
		       * nat and hostonly: of the host's device */
	__u32 pad2;
};
_Static_assert(sizeof(struct network_info) == 56, "no hidden padding");

#endif
