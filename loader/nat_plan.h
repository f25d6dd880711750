/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which external address gets which slot (maps/nat.h). A plan is made from what networks and
 * rules want before anything is changed; addresses stay where they are as far as can be.
 */
#ifndef LOADER_NAT_PLAN_H
#define LOADER_NAT_PLAN_H

#include <stdbool.h>
#include "../maps/nat.h"

#define NAT_RANGE_MAX 32 /* addresses of one `masquerade to` */

#define NAT_ALL_POOLS ((1 << NAT_PROTOS) - 1)

/* An external address that is wanted. */
struct nat_want {
	__u64 addr[2];
	__u64 inside[2]; /* NAT_ADDR_STATIC */
	__u32 ifindex;
	__u16 network; /* NAT_ADDR_STATIC */
	__u16 flags;   /* NAT_ADDR_… */
	__u8 pools;    /* bit enum nat_proto: needs that pool */
};

struct nat_plan {
	struct nat_want at[NAT_ADDRS]; /* by slot; ifindex 0: free */
};

/* What is wanted, gathered. */
struct nat_wants {
	__u32 n;
	struct nat_want at[NAT_ADDRS];
	__u32 ranges;
	struct nat_range {
		__u64 first[2];
		__u32 n;
	} range[NAT_ADDRS]; /* whose slots are to follow each other */
};
/* Adds an address, or what else is wanted of one that is there. */
int nat_want(struct nat_wants *w, const struct nat_want *one);
/* Adds n addresses that are to have slots one after the other. */
int nat_want_range(struct nat_wants *w, const struct nat_want *first, __u32 n);

/* Finds a slot for each; now: the slots as they are. Fails with ENOSPC. */
int nat_plan_make(const struct nat_wants *w, const struct nat_addr *now, struct nat_plan *out);
/* The slot of an address, 0: none. ifindex: of its uplink, for the address 0. */
__u32 nat_plan_slot(const struct nat_plan *p, const __u64 addr[2], __u32 ifindex);
/* The slot that follows the preferred address of a family (4, 6) of an uplink, 0: none. */
__u32 nat_plan_own(const struct nat_plan *p, __u32 ifindex, __u8 family);
/* Whether two are one: uplinks that have no address yet are told apart by their devices. */
bool nat_same_addr(const __u64 a[2], __u32 a_ifindex, const __u64 b[2], __u32 b_ifindex);

#endif
