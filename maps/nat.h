/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Network address translation (RFC 4787, 5382, 5508): shared by both sides.
 *
 * An external address has a slot, and for each protocol with ports a pool: which of its 65,536
 * ports (ICMP: identifiers) belongs to which internal endpoint. A port that is bound is the
 * mapping of its endpoint, for all destinations; it is free again when its last flow is. What
 * comes in is looked up by its port, and then has to fit a flow (maps/flow.h) that has this
 * external endpoint. Forwards are ports bound by the command line.
 */
#ifndef MAPS_NAT_H
#define MAPS_NAT_H

#include "flow.h"
#include "network.h"

#define NAT_ADDRS     64     /* slots 1..NAT_ADDRS - 1 */
#define NAT_ENDPOINTS 524288 /* internal endpoints whose mapping has another port than they */
#define NAT_DISPLACED 32768  /* counters of such mappings, a power of two */
#define NAT_HOPS      1024   /* next hops, a power of two */
#define NAT_FORWARDS  65536
#define NAT_STATICS   1024

/* Protocols with pools. */
enum nat_proto {
	NAT_TCP,
	NAT_UDP,
	NAT_ICMP, /* echo identifiers */
	NAT_SCTP,
	NAT_PROTOS,
};

/* A slot's pool in nat_pools. */
#define NAT_POOL(addr, proto) ((addr)*NAT_PROTOS + (proto))

#define NAT_ADDR_OWN	      0x1 /* the uplink's preferred address: the data path follows its changes */
#define NAT_ADDR_STATIC	      0x2 /* all of it belongs to internal address `inside` */

/* An external address. */
struct nat_addr {
	__u64 addr[2];	 /* as in struct flow_key */
	__u64 inside[2]; /* NAT_ADDR_STATIC */
	__u32 ifindex;	 /* the uplink's device, 0: the slot is free */
	__u16 flags;	 /* NAT_ADDR_… */
	__u16 network;	 /* NAT_ADDR_STATIC: network id */
	__u8 pad[24];
};
_Static_assert(sizeof(struct nat_addr) == 64, "one cache line");

/*
 * Spaces of addresses besides the networks', in keys of connections (the host's own ones that are
 * translated, NAT_HOST) and of fragments (outside): as a VLAN that there is not (802.1Q, table 9-2).
 */
#define NAT_SPACE_NETWORK 1
#define NAT_SPACE_VID	  0xfff
#define NAT_HOST	  0xffff /* as a network: connections of the host that are translated */
#define NAT_FORWARD \
	0x80000000 /* in refs: bound by the command line, whether there are flows or not */

/* What a port of an external address is bound to. */
struct nat_binding {
	__u64 addr[2];	/* internal address, as in struct flow_key */
	__u32 refs;	/* flows that use it, NAT_FORWARD; 0: free, or about to be */
	__u16 port;	/* internal port, host order */
	__u16 network;	/* id */
	__u32 opening;	/* of the flows, those in flows_opening */
	__u8 displaced; /* it is not where its endpoint's mapping is looked for first */
	__u8 pad[3];
};
_Static_assert(sizeof(struct nat_binding) == 32, "half a cache line");

/* The ports of one external address and protocol. */
struct nat_pool {
	__u64 used[1024]; /* bit p mod 64 of word p / 64: port p is bound. Set before, cleared after
			   */
	__u64 taken;	  /* ports bound now */
	__u64 pad[7];
	struct nat_binding at[65536];
};

/*
 * An internal endpoint, whose mapping is looked for: first at its own port, of the external address
 * that its address is given (nat_home()). Most mappings are there, and need nothing else. Where
 * that port is another's, the mapping is displaced: in nat_endpoints, and counted in
 * nat_displaced, so that hardly anybody looks for what is not there.
 */
struct nat_endpoint {
	__u64 addr[2]; /* as in struct flow_key */
	__u16 port;    /* host order */
	__u16 network; /* id */
	__u16 proto;   /* enum nat_proto */
	__u16 pad;
};
_Static_assert(sizeof(struct nat_endpoint) == 24, "hash key without padding");

/* An endpoint's place in nat_displaced. */
static inline __attribute__((always_inline)) __u32 nat_displaced_place(const struct nat_endpoint *e)
{
	__u64 mix = e->addr[0] ^ e->addr[1] ^ e->addr[1] >> 32 ^
		    ((__u64)e->port << 32 | (__u32)e->network << 16 | e->proto);

	return mix * 0x9e3779b97f4a7c15ULL >> 49 & (NAT_DISPLACED - 1);
}

struct nat_mapping {
	__u16 addr; /* slot */
	__u16 port; /* external, host order */
};

/* An external address, to find its slot. */
struct nat_addr_key {
	__u64 addr[2]; /* as in struct flow_key */
};

/* An internal address that has an external one for itself. */
struct nat_static_key {
	__u64 addr[2]; /* as in struct flow_key */
	__u32 network;
	__u32 pad;
};

#define NAT_ROUTES	       0x1 /* mode nat: what is not for the host leaves by the uplink */
#define NAT_FILTER_INDEPENDENT 0x2 /* anybody may send to a mapping (RFC 4787, 5) */

/* A network whose gateway is the host (modes nat and hostonly), by network id. */
struct nat_network {
	__u32 flags;	       /* NAT_… */
	__u32 gateway_ifindex; /* the device named after the network */
	__u32 uplink_ifindex;  /* NAT_ROUTES */
	__u32 uplink;	       /* and its port id */
	__u32 subnet;	       /* IPv4, host order; 0: none */
	__u32 mask;
	__u32 gateway;	/* IPv4 address of the host */
	__u16 port_min; /* external ports for mappings, IPv4 */
	__u16 port_max;
	__u64 subnet6[2]; /* IPv6, as in struct flow_key; 0: none */
	__u64 mask6[2];
	__u64 gateway6[2];
	__u16 first4; /* slots of the external addresses for mappings: first, and how */
	__u16 addrs4; /* many; 0: none of this family */
	__u16 first6;
	__u16 addrs6;
	__u16 port_min6; /* as port_min, IPv6 */
	__u16 port_max6;
	__u16 served_min; /* ports of VMs that forwards or static addresses lead to: none other has */
	__u16 served_max; /* flows that came by them. served_min > served_max: there are none */
	__u8 pad[32];
};
_Static_assert(sizeof(struct nat_network) == 128, "two cache lines");

/* A next hop behind an uplink. */
struct nat_hop {
	__u64 addr[2];	  /* as in struct flow_key */
	__u64 mac;	  /* its link-layer address, as in struct pkt; one store changes it */
	__u64 source_mac; /* the uplink's */
	__u32 ifindex;	  /* the uplink's device, 0: none */
	__u32 port;	  /* and port id */
	__u32 looked;	  /* generation in which it was looked up */
	__u32 mtu;	  /* of packets */
	__u8 pad[16];
};
_Static_assert(sizeof(struct nat_hop) == 64, "one cache line");

/* The slot that an internal address (as in struct flow_key) is given as long as it has ports (RFC
 * 4787, REQ-2); 0: none. */
static inline __attribute__((always_inline)) __u32 nat_home(const struct nat_network *n,
							    const __u64 *addr, int ipv4)
{
	__u32 first = ipv4 ? n->first4 : n->first6, addrs = ipv4 ? n->addrs4 : n->addrs6;

	if (!first || addrs < 2)
		return addrs ? first : 0;
	return first + (__u32)(addr[0] ^ addr[1] >> 32 ^ addr[1]) * 0x9e3779b1 % addrs;
}

/* What the command line remembers of a network with a gateway, by network id. */
struct nat_info {
	__u32 uplink;	 /* port id, 0: hostonly */
	__u32 mtu;	 /* the uplink's, which the gateway's device has got; 0: none yet */
	__u8 subnet[16]; /* network order; all 0: none */
	__u8 gateway[16];
	__u8 subnet6[16];
	__u8 gateway6[16];
	__u8 len; /* of subnet */
	__u8 len6;
	__u8 filter_independent;
	__u8 families;	/* of masquerade_*: 0x1 IPv4, 0x2 IPv6 given */
	__u16 port_min; /* masquerade … ports, 0: not given */
	__u16 port_max;
	__u8 first[16]; /* masquerade … to, IPv4: network order; first and last */
	__u8 last[16];
	__u8 first6[16];
	__u8 last6[16];
	__u16 port_min6;
	__u16 port_max6;
	__u32 ifindex; /* of the gateway's device, when it was made */
	__u8 mac[6];   /* of that device */
	__u16 pad;
};

/* A forward or a static translation, as the command line remembers it. */
struct nat_rule_key {
	__u8 external[16]; /* network order; all 0 with a forward: all of the uplink's */
	__u16 network;	   /* id */
	__u16 port;	   /* first external port, host order; 0: static */
	__u8 proto;	   /* IP protocol; 0: static */
	__u8 family;	   /* 4, 6 */
	__u16 pad;
};
_Static_assert(sizeof(struct nat_rule_key) == 24, "hash key without padding");

struct nat_rule {
	__u8 internal[16];   /* network order */
	__u16 ports;	     /* how many */
	__u16 internal_port; /* first one */
	__u32 order;	     /* of adding */
};

#endif
