/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Decisions of the last second, per CPU: a frame like one before goes the same way
 * without a look at ports or FDB. An entry holds while `generation` is its own: whatever
 * could change a decision (a setting, an address moved or removed) raises it, and so does
 * the ageing timer every second, so that addresses in use are seen to be.
 */
#ifndef MAPS_CACHE_H
#define MAPS_CACHE_H

#include <linux/types.h>

#define CACHE_SIZE 1024 /* entries of a CPU, a power of two */

/* In cache_entry.ifindex: sent by the host on its uplink. */
#define CACHE_FROM_HOST 0x80000000

#define CACHE_XDP	0x1  /* XDP may send it */
#define CACHE_UPLINK	0x2  /* the destination is the uplink */
#define CACHE_CHECK	0x4  /* XDP must look for a checksum left to the hardware */
#define CACHE_TRACK	0x8  /* only packets of a connection that is known and allowed */
#define CACHE_GUARD	0x10 /* only plain packets, and no DHCP server's */
#define CACHE_SOURCE	0x20 /* only packets from the addresses `source` */
#define CACHE_GATEWAY	0x40 /* only what the host sends itself */
#define CACHE_OUT	0x80 /* to a gateway: packets of connections that are translated */
#define CACHE_IN	0x100 /* to the host: likewise; source6 is an external address, rest its slot */

/* Known unicast whose tag stays as it is. */
struct cache_entry {
	__u64 dst; /* addresses as in struct pkt */
	__u64 src;
	__u32 ifindex; /* ingress device, CACHE_FROM_HOST */
	__u32 tag;
	__u32 generation;
	__u32 in_port;
	__u32 out_port;
	__u32 out_ifindex;
	__u32 frame_max; /* octets without tag: larger ones are looked at anew */
	__u32 flags;	 /* CACHE_… */
	__u32 in_judged; /* CACHE_TRACK: struct port.judged at both ends */
	__u32 out_judged;
	__u32 rest;	  /* CACHE_TRACK: as in struct flow_key, without protocol */
	__u32 source4;	  /* addresses of the sender that its guard knows, host order; 0: none */
	__u64 source6[2]; /* as in struct acl_key */
	__u8 pad[48];
};
_Static_assert(sizeof(struct cache_entry) == 128, "two cache lines, the second for IPv6 guards");

struct cache_generation {
	__u32 number; /* never 0 */
	__u32 pad;
	__u64 seed; /* of the hash that places connections: chosen once, at random */
	__u8 pad2[48];
};

#endif
