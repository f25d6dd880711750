/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a frame says above its Ethernet header: too much for the stack, so it is in per-CPU
 * memory while the frame is looked at. Filled by bpf/l3.h.
 */
#ifndef MAPS_L3_H
#define MAPS_L3_H

#include "acl.h"
#include "flow.h"

#define L3_HEAD	  104 /* octets copied from the network header on */
#define L3_PLACES 4   /* two, and what ICMP errors in each of them quote */
#define L3_QUOTED 2

/* In l3.flags. */
#define L3_BAD	      0x01 /* a header is cut off, or contradicts itself */
#define L3_FRAG	      0x02 /* a fragment */
#define L3_FRAG_LATER 0x04 /* not the first one: no transport header */
#define L3_HAS_L4     0x08 /* the transport header's fields are valid */
#define L3_ERROR      0x10 /* an ICMP or ICMPv6 error: quotes a packet behind its header */
#define L3_GROUP      0x20 /* to a multicast or broadcast address */
#define L3_EXTENDED   0x40 /* IPv6 extension headers were walked */
#define L3_OWNED      0x80 /* the guard knows the source address as its sender's */

struct l3 {
	struct acl_key key; /* complete but for the state */
	__u32 seq;	    /* TCP; host order */
	__u32 ack;
	__u32 payload;	   /* octets behind the TCP header */
	__u32 frag_id;	   /* host order */
	__u32 length;	   /* octets from the network header on, by its own word */
	__u32 l4;	   /* of the transport header, from the frame's start */
	__u32 frag_length; /* octets of the fragment */
	__u16 frag_offset; /* octets */
	__u16 frag_header; /* of the first one: octets to the transport header's end */
	__u16 window;	   /* as in the header, not scaled */
	__u16 ethertype;   /* behind all tags, host order */
	__u16 offset;	   /* of the network header, from the frame's start */
	__u16 icmp_id;	   /* of an echo, host order */
	__u8 family;	   /* 4, 6; 0: neither */
	__u8 proto;	   /* IP protocol behind extension headers */
	__u8 type;	   /* ICMP type, or TCP flags */
	__u8 code;	   /* ICMP code */
	__u8 flags;	   /* L3_… */
	__u8 header;	   /* octets of the TCP header */
	__u8 scale;	   /* a SYN's window scale (RFC 7323), or FLOW_NO_SCALE */
	__u8 answers;	   /* the packet with which its connection is established */

	/* NAT (bpf/nat.h) */
	__u8 nat;	   /* enum nat_way */
	__u8 nat_addr;	   /* slot of the external address, 0: not known yet */
	__u8 nat_holds;	   /* as in struct nat_flow, for the flow that is opened */
	__u8 nat_new;	   /* the host's: it meets a VM's connection */
	__u16 nat_port;	   /* external port, host order */
	__u16 inside_port; /* from the wire: the VM's port, host order */
	__u64 inside[2];   /* and its address, as in struct flow_key */
	__u32 hop[4];	   /* address of the next hop, network order */
	__u16 hop_family;  /* AF_INET, AF_INET6 */
	__u16 hop_place;   /* in nat_hops, 0: its link-layer address is not known */
	__u32 mtu;	   /* that the packet does not fit in, 0: it does */
	__u16 answer;	   /* ICMP type and code to drop it with, 0: none */
	__u8 mac[6];	   /* from the wire: the VM's */

	/* where the flow is, as flow_search() says; if it was `sought` already */
	__u32 found;
	__u8 sought;
	__u8 pad[3];

	/* The frame from the network header on, as far as it goes; with extension headers, the
	 * transport header is at 40. */
	__u8 head[L3_HEAD];

	/* What judges it fills in: who sends it to whom, and what was found. */
	struct flow_key flow;
	__u32 side;   /* which end of `flow` has sent it */
	__u32 in_id;  /* port ids; the host's is its uplink's */
	__u32 out_id; /* 0: not known, or all */
	__u32 in_judged;
	__u32 out_judged;
	__u32 len; /* octets of the frame */
	__u16 network;
	__u16 vid;
	__u8 from_host;
	__u8 to_host;
	__u8 pad2;
	__u8 ask;	 /* what lists are asked for: enum judge_ask */
	__u32 known;	 /* flooded: port id that the connection leads to, 0: none */
	__u16 copy_why;	 /* flooded: why no port that judges gets it, enum reason */
	__u8 state;	 /* enum acl_state */
	__u8 opens;	 /* flooded: a connection, if somebody gets it */
	__u64 result[2]; /* by direction: what a list said (ACL_RESULT_…) */
	__u32 list[2];	 /* and which: its place in acl_lists */
};
_Static_assert(sizeof(struct l3) == 376, "no hidden padding");

/* Why ports get no copy of the packet that is flooded now, by port id: enum reason. */
struct judge_withheld {
	__u8 why[2 * PORT_MAX]; /* a power of two: the verifier is shown a mask */
};

#endif
