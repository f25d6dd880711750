/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Connections. Two tables of the same shape: `flows` for those that were answered, and
 * `flows_opening` for those that were not yet, so that a flood of openings fills the second
 * alone. A table is an array of buckets of 15 places; a flow is in one of two buckets that its
 * key's hash names. Only a bucket's lock holder adds and removes; readers look without it.
 * The tables are made when the first list, policy or limit needs them.
 */
#ifndef MAPS_FLOW_H
#define MAPS_FLOW_H

#include <linux/types.h>

#define FLOW_MAX	     (1 << 20)
#define FLOW_OPENING_MAX     (1 << 16)
#define FLOW_WAYS	     15
#define FLOW_BUCKETS	     90112 /* 1.35 M places: two choices find one up to FLOW_MAX */
#define FLOW_OPENING_BUCKETS 5632  /* 84,480 places */

/* Seconds without a packet after which a flow is gone (RFC 4787, 5382, 5508). */
#define FLOW_UDP_SECS	      300
#define FLOW_UDP_OPENING_SECS 30
#define FLOW_TCP_SECS	      7440
#define FLOW_TCP_OPENING_SECS 240
#define FLOW_TCP_CLOSING_SECS 240
#define FLOW_ICMP_SECS	      60
#define FLOW_OTHER_SECS	      600

/*
 * Both directions of a connection have one key: the end with the lower (address, port) comes
 * first. IPv4 addresses are FLOW_IPV4 in [0] (a multicast address, which no connection has)
 * and the address in the upper half of [1]. Numbers have the most significant bit first.
 */
struct flow_key {
	__u64 addr[2][2];
	__u16 port[2]; /* host order; ICMP: the identifier, and the number of the end that asks */
	__u32 rest;    /* proto 8 | network - 1: 12 | VID 12 */
};
_Static_assert(sizeof(struct flow_key) == 40, "no hidden padding");
#define FLOW_IPV4 0xff00000000000000ULL
#define FLOW_REST(proto, network, vid) \
	((__u32)(proto) << 24 | (((__u32)(network)-1) & 0xfff) << 12 | ((vid)&0xfff))

enum __attribute__((packed)) flow_state {
	FLOW_NONE,
	FLOW_SYN_SENT,	  /* TCP: opened, unanswered */
	FLOW_SYN_RECV,	  /* TCP: answered, not confirmed */
	FLOW_NEW,	  /* other protocols, and TCP seen from its middle on: unanswered */
	FLOW_ESTABLISHED, /* answered */
	FLOW_FIN_WAIT,	  /* TCP: one side has closed */
	FLOW_CLOSED,	  /* TCP: both sides have, or it was reset */
};

#define FLOW_NO_SCALE 0xff /* in scale: the SYN had no such option */

#define FLOW_SECOND   0x1	    /* the second end of the key opened it */
#define FLOW_DENIED   0x2	    /* a later list denies it */
#define FLOW_LOOSE    0x4	    /* TCP seen from its middle on: window scales are not known */
#define FLOW_NAT      0x8	    /* translated: struct nat_flow */
#define FLOW_FIN(n)   (0x10 << (n)) /* end n has sent a FIN */

/* What one end of a TCP connection has sent (RFC 9293, 3.3.1; host order). */
struct flow_tcp {
	__u32 end;     /* highest sequence number + 1 */
	__u32 ack;     /* highest acknowledgement */
	__u32 max_end; /* what the other end lets it send up to */
	__u32 max_win; /* largest window that it has offered, 0: not seen yet */
};

/* One place. Ends are numbered as in the key. */
struct flow {
	struct flow_key key;
	__u32 created;	     /* s, CLOCK_MONOTONIC */
	__u32 generation[2]; /* of the port at each end, when its lists allowed the flow */
	__u16 port[2];	     /* port ids */
	__u16 owner;	     /* port id whose conn-max it counts for */
	enum flow_state state;
	__u8 flags;    /* FLOW_… */
	__u8 scale[2]; /* TCP window scales */
	__u8 pad[2];
	struct flow_tcp tcp[2];
	__u64 packets[2]; /* by sending end */
	__u64 bytes[2];	  /* of frames without FCS */
};
_Static_assert(sizeof(struct flow) == 128, "two cache lines");

/* What else a translated flow has (FLOW_NAT): its external endpoint and the way to both ends. */
struct nat_flow {
	__u8 addr;    /* slot of the external address (maps/nat.h), 0: none */
	__u8 holds;   /* a reference to the port's binding */
	__u16 port;   /* external port, host order */
	__u16 hop;    /* place in nat_hops, 0: none */
	__u8 mac[6];  /* the VM's, 0: not seen yet */
	__u32 looked; /* generation in which the route was looked up, 0: never */
};
_Static_assert(sizeof(struct nat_flow) == 16, "four in a cache line");

struct flow_bucket {
	__u32 lock;	      /* 1: held */
	__u16 tag[FLOW_WAYS]; /* of the hash, 0: free */
	__u16 pad;
	__u32 expires[FLOW_WAYS]; /* s, CLOCK_MONOTONIC: gone from then on */
	__u8 pad2[32];
	struct nat_flow nat[FLOW_WAYS + 1]; /* of the flows in the same places */
	struct flow flow[FLOW_WAYS];
};
_Static_assert(sizeof(struct flow_bucket) == 2304, "flows are on cache line boundaries");

/* A flow that is to be put into a table. */
struct flow_new {
	struct flow flow;
	__u64 hash;
	__u32 expires;
	__u16 opening;	     /* which table */
	__u16 state;	     /* while it is being put there: what becomes flow.state at the end */
	struct nat_flow nat; /* FLOW_NAT; what it holds goes with the flow */
};

#endif
