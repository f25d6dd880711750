/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Ports as the data path sees them (struct port, by port id) and as the command
 * line remembers them (struct port_info): shared by both sides.
 */
#ifndef MAPS_PORT_H
#define MAPS_PORT_H

#include <linux/types.h>

#define PORT_MAX	 4096  /* port ids are 1..PORT_MAX; 0 is none */
#define PORT_SLOTS	 16384 /* ifindex → port id: a power of two, four times PORT_MAX */
#define PORT_SLOT_PROBES 16
#define PORT_NAME_LEN	 16 /* IFNAMSIZ */
#define PORT_MAC_MAX	 16 /* addresses in one port's `mac` setting */
#define PORT_IP_MAX	 16 /* prefixes in one port's `ip` setting */
#define VLAN_WORDS	 64 /* 4,096 VIDs, one bit each */

enum vlan_mode {
	VLAN_TRANSPARENT,
	VLAN_ACCESS,
	VLAN_TRUNK,
};

/*
 * All that decides about a frame at a port, in one 64-bit word: the command line
 * changes a port with one store, so each frame meets the old or the new settings.
 */
union port_policy {
	__u64 raw;
	struct {
		__u64 network : 13;  /* network id, 0: not a port */
		__u64 vlan_mode : 2; /* enum vlan_mode */
		__u64 pvid : 12;     /* access VID, or the trunk's native VID; 0: none */
		__u64 group : 8;     /* community, 0: promiscuous */
		__u64 uplink : 1;
		__u64 isolated : 1;
		__u64 learning : 1;
		__u64 flood : 1; /* takes unknown unicast */
		__u64 mcast_flood : 1;
		__u64 bcast_flood : 1;
		__u64 sticky : 1;
		__u64 hairpin : 1;
		__u64 mac_guard : 1;   /* only sources in port_macs */
		__u64 xdp_tx : 1;      /* its device takes frames from XDP, and may get them so */
		__u64 offloads : 1;    /* frames may carry partial checksums (tap, veth) */
		__u64 ip_guard : 1;    /* only sources in port_ips */
		__u64 ip6_own : 1;     /* with ip_guard: there are IPv6 ones */
		__u64 dhcp_server : 1; /* may answer DHCP requests */
		__u64 ra : 1;	       /* may send router advertisements */
		__u64 track : 1;       /* a list, a policy or a limit: connections are tracked */
		__u64 deny_in : 1;     /* policy-in, policy-out: what no rule matches is denied */
		__u64 deny_out : 1;
		__u64 list_in : 1; /* has a list of its own */
		__u64 list_out : 1;
		__u64 net_list_in : 1; /* its network has a list (not of an uplink) */
		__u64 net_list_out : 1;
		__u64 gateway : 1; /* the host's device in a network of its own (NAT, host-only): an
				    * uplink without a wire */
		__u64 nat : 1;	   /* NAT networks leave by it; `network` is 0 if no other has it */
		__u64 unused : 5;
	};
};
_Static_assert(sizeof(union port_policy) == 8, "one store changes it");

struct port {
	union port_policy policy;
	__u32 ifindex;
	__u32 frame_max; /* octets, without VLAN tags: MTU + 14 when last looked at */
	__u32 next;	 /* next port of the network, 0: last */
	__u32 fdb_max;	 /* learned addresses, 0: no limit */
	__u32 judged;	 /* generation of what judges its packets: raised with each change */
	__u32 conn_max;	 /* connections that it may own, 0: no limit */
	__u8 pad[32];
	__u32 learned; /* addresses learned here now; apart from what each frame reads */
	__u32 flows;   /* connections that it owns now, the next ones included */
	__u32 opening; /* those not answered yet */
	__u32 rejects; /* answers of `reject` in this second */
	__u32 rejects_second;
	__u8 pad2[44];
};
_Static_assert(sizeof(struct port) == 128, "two cache lines");

/* One of PORT_SLOT_PROBES places from (ifindex mod PORT_SLOTS) on holds an ifindex. */
struct port_slot {
	__u32 ifindex;
	__u32 port;
};
_Static_assert(sizeof(struct port_slot) == 8, "one store changes it");

struct port_vlans {
	__u64 member[VLAN_WORDS]; /* bit (VID mod 64) of word (VID / 64): the trunk carries VID */
};

struct port_mac {
	__u8 mac[6];
	__u16 port;
};
_Static_assert(sizeof(struct port_mac) == 8, "hash key without padding");

/*
 * A key of the LPM trie port_ips: the port, the family, the address. Besides a port's `ip`
 * prefixes, if one of them is an IPv6 one, the link-local addresses that its `mac` addresses
 * give (RFC 4291, appendix A).
 */
struct port_ip {
	__u32 prefixlen; /* PORT_IP_BITS + that of the address */
	__u16 port;
	__u8 family;   /* 4 or 6 */
	__u8 addr[16]; /* network order */
	__u8 pad;
};
#define PORT_IP_BITS 24 /* of port and family */
_Static_assert(sizeof(struct port_ip) == 24, "no hidden padding");

/* A range of addresses of one family: the first `len` bits of addr, those behind them 0. */
struct prefix {
	__u8 addr[16]; /* network order; IPv4: the first 4 octets */
	__u8 len;
	__u8 family;	/* 4 or 6 */
	__u8 len_given; /* a host's address was written with its length (/32, /128) */
	__u8 pad;
};

/* A switch whose default depends on other settings. */
enum port_may {
	MAY_DEFAULT,
	MAY_ON,
	MAY_OFF,
};

enum port_state {
	PORT_ADDING = 1, /* an unfinished add: undone by the next command */
	PORT_ACTIVE,
	PORT_DELETING, /* an unfinished del: finished by the next command */
};

enum port_hook {
	HOOK_AUTO,
	HOOK_XDP,
	HOOK_TC,
};

enum port_mode {
	MODE_NONE,
	MODE_NATIVE,  /* XDP in the driver */
	MODE_GENERIC, /* XDP on skbs */
	MODE_TCX,
	MODE_CLSACT,
};

/* Whether it is the host's device in a network of its own. */
enum port_gateway {
	GATEWAY_NONE,
	GATEWAY_HOSTONLY,
	GATEWAY_NAT,
};

/* What xdpctl changed at the device, to be put back. */
#define PORT_SET_PROMISC 0x1
#define PORT_SET_RXVLAN	 0x2
#define PORT_SET_LRO	 0x4
#define PORT_SET_CLSACT	 0x8

struct port_info {
	char dev[PORT_NAME_LEN];
	__u32 ifindex;
	__u32 network;
	__u8 state;    /* enum port_state */
	__u8 hook;     /* enum port_hook, as asked for */
	__u8 xdp_mode; /* enum port_mode, what is attached */
	__u8 tc_mode;
	__u8 uplink;
	__u8 vlan_mode;
	__u8 group;
	__u8 isolated;
	__u8 learning;
	__u8 flood;
	__u8 mcast_flood;
	__u8 bcast_flood;
	__u8 sticky;
	__u8 hairpin;
	__u8 nmacs;
	__u8 changed; /* PORT_SET_… */
	__u16 pvid;
	__u16 pad;
	__u32 fdb_max;
	__u8 offloads; /* a tap or veth: frames may carry partial checksums */
	__u8 gateway;  /* enum port_gateway */
	__u8 nat_only; /* an uplink of NAT networks alone; network: the first of them */
	__u8 pad2;
	__u32 order; /* ports are listed in the order they were added */
	__u8 macs[PORT_MAC_MAX][6];
	__u32 conn_max;
	__u8 nips;
	__u8 dhcp_server; /* enum port_may */
	__u8 ra;	  /* enum port_may */
	__u8 deny_in;	  /* policy-in, policy-out */
	__u8 deny_out;
	__u8 pad3[3];
	struct prefix ips[PORT_IP_MAX];
	struct port_vlans trunk;
	char why[96]; /* the reason for the hook and mode, for status */
};
_Static_assert(sizeof(struct port_info) % 8 == 0, "no hidden padding");

#endif
