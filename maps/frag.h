/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Datagrams in fragments: what became of the first one, which alone has the ports, for the
 * others.
 */
#ifndef MAPS_FRAG_H
#define MAPS_FRAG_H

#include <linux/types.h>

#define FRAG_MAX  8192
#define FRAG_SECS 60 /* as long as a receiver waits, at most (RFC 1122, 3.3.2; RFC 8200, 4.5) */

/* Addresses as in struct acl_key. */
struct frag_key {
	__u64 src[2];
	__u64 dst[2];
	__u32 id;   /* host order */
	__u32 rest; /* FLOW_REST() with IPv4's protocol; IPv6's identification needs none */
};
_Static_assert(sizeof(struct frag_key) == 40, "hash key without padding");

struct frag {
	__u32 expires; /* s, CLOCK_MONOTONIC */
	__u32 length;  /* octets of the first fragment */
	__u32 misc;    /* ACL_MISC_L4(), ACL_MISC_HAS_L4; with the ports, for lists */
	__u16 sport;
	__u16 dport;
	__u16 port;  /* id of the port that it came from */
	__u16 known; /* flooded: l3.known */
	__u8 denied;
	__u8 asked; /* flooded: lists were asked, as of a packet in this state (enum acl_state) */
	__u8 state;
	__u8 nat_addr; /* slot of the external address that it left from, 0: none */
};
_Static_assert(sizeof(struct frag) == 24, "no hidden padding");

/* Fragments that came before the first one wait for it (TC only). */
#define FRAG_HELD_MAX  1024
#define FRAG_HELD_WAYS 8    /* of one datagram */
#define FRAG_HELD_SIZE 2032 /* octets of a frame */
#define FRAG_HELD_SECS 2

struct frag_held_key {
	struct frag_key datagram;
	__u32 way; /* 0..FRAG_HELD_WAYS - 1 */
	__u32 pad;
};

struct frag_held {
	__u32 since; /* s, CLOCK_MONOTONIC */
	__u32 length;
	__u32 offset; /* of the network header */
	__u16 port;   /* id of the port that it came from */
	__u16 pad;
	__u8 frame[FRAG_HELD_SIZE];
};
_Static_assert(sizeof(struct frag_held) == 2048, "no hidden padding");

#endif
