/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which flows: all that is given must fit. The command line shows and counts by it, and a
 * program flushes by it (bpf/flow_flush.h).
 */
#ifndef MAPS_FLOW_FILTER_H
#define MAPS_FLOW_FILTER_H

#include <stdbool.h>
#include "flow.h"

/* The fields of flow_key.rest. */
#define FLOW_REST_PROTO	  0xff000000
#define FLOW_REST_NETWORK 0x00fff000

/* Addresses are as in struct flow_key; a mask of 0 lets all through. */
struct flow_filter {
	__u64 src[2]; /* of the end that opened the flow */
	__u64 src_mask[2];
	__u64 dst[2]; /* of the other one */
	__u64 dst_mask[2];
	__u32 rest; /* as in struct flow_key */
	__u32 rest_mask;
	__u32 family;	/* 4, 6; 0: any */
	__u32 port;	/* id of the port at either end, 0: any */
	__u32 nat;	/* slot << 16 | external port, see maps/nat.h */
	__u32 nat_mask; /* 0: any */
};
_Static_assert(sizeof(struct flow_filter) == 88, "no hidden padding");

/* What a run of the flush does; in a frame, FLOW_FLUSH_AT octets from its start. */
struct flow_flush {
	struct flow_filter filter;
	__u32 first;   /* bucket */
	__u32 buckets; /* how many */
	__u32 opening; /* of flows_opening, not of flows */
	__u32 pad;
};
_Static_assert(sizeof(struct flow_flush) == 104, "no hidden padding");
#define FLOW_FLUSH_AT	   16
#define FLOW_FLUSH_BUCKETS 1024	      /* most of one run */
#define FLOW_FLUSH_BUSY	   0x80000000 /* in what it returns: a bucket was locked, run again */

static inline __attribute__((always_inline)) bool
flow_addr_fits(const __u64 *addr, const __u64 *wanted, const __u64 *mask)
{
	return (addr[0] & mask[0]) == wanted[0] && (addr[1] & mask[1]) == wanted[1];
}

static inline __attribute__((always_inline)) bool flow_fits(const struct flow *f,
							    const struct flow_filter *filter)
{
	bool second = f->flags & FLOW_SECOND;
	const __u64 *src = second ? f->key.addr[1] : f->key.addr[0];
	const __u64 *dst = second ? f->key.addr[0] : f->key.addr[1];
	__u32 family = src[0] == FLOW_IPV4 ? 4 : 6;

	return (f->key.rest & filter->rest_mask) == filter->rest &&
	       (!filter->family || filter->family == family) &&
	       (!filter->port || f->port[0] == filter->port || f->port[1] == filter->port) &&
	       flow_addr_fits(src, filter->src, filter->src_mask) &&
	       flow_addr_fits(dst, filter->dst, filter->dst_mask);
}

#endif
