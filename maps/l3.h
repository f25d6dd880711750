/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a frame says above its Ethernet header: too much for the stack, so it is in per-CPU
 * memory while the frame is looked at. Filled by bpf/l3.h.
 */
#ifndef MAPS_L3_H
#define MAPS_L3_H

#include "acl.h"

#define L3_HEAD 96 /* octets copied from the network header on */

/* In l3.flags. */
#define L3_BAD	      0x01 /* a header is cut off, or contradicts itself */
#define L3_FRAG	      0x02 /* a fragment */
#define L3_FRAG_LATER 0x04 /* not the first one: no transport header */
#define L3_HAS_L4     0x08 /* the transport header's fields are valid */
#define L3_ERROR      0x10 /* an ICMP or ICMPv6 error: quotes a packet at `inner` */
#define L3_GROUP      0x20 /* to a multicast or broadcast address */
#define L3_EXTENDED   0x40 /* IPv6 extension headers were walked */

struct l3 {
	struct acl_key key; /* complete but for the state */
	__u32 seq;	    /* TCP; host order */
	__u32 ack;
	__u16 window;	   /* as in the header, not scaled */
	__u16 payload;	   /* octets behind the TCP header */
	__u32 frag_id;	   /* host order */
	__u16 frag_offset; /* octets */
	__u16 frag_length; /* octets of the fragment's payload */
	__u16 ethertype;   /* behind all tags, host order */
	__u16 offset;	   /* of the network header, from the frame's (data's) start */
	__u16 l4;	   /* of the transport header, likewise */
	__u16 length;	   /* octets from the network header on, by the header's own word */
	__u8 family;	   /* 4, 6; 0: neither */
	__u8 proto;	   /* IP protocol behind extension headers */
	__u8 type;	   /* ICMP type, or TCP flags */
	__u8 code;	   /* ICMP code */
	__u8 flags;	   /* L3_… */
	__u8 header;	   /* octets of the TCP header */
	__u8 pad[2];
	__u16 icmp_id; /* of an echo, host order */
	__u16 pad2;
	__u8 head[L3_HEAD]; /* the frame from the network header on, as far as it goes */
};
_Static_assert(sizeof(struct l3) == 192, "no hidden padding");

#endif
