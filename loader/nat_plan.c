// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Which external address gets which slot. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "addr.h"
#include "err.h"
#include "nat_plan.h"

/* ---- what is wanted ---- */

bool nat_same_addr(const __u64 a[2], __u32 a_ifindex, const __u64 b[2], __u32 b_ifindex)
{
	return addr_equal(a, b) && (addr_given(a) || a_ifindex == b_ifindex);
}

int nat_want(struct nat_wants *w, const struct nat_want *one)
{
	char text[ADDR_TEXT];

	for (__u32 i = 0; i < w->n; i++) {
		struct nat_want *there = &w->at[i];

		if (!nat_same_addr(there->addr, there->ifindex, one->addr, one->ifindex))
			continue;
		if (there->ifindex != one->ifindex)
			return fail(EADDRINUSE, "address %s: is on two uplinks",
				    addr_text(one->addr, text));
		if (one->flags & NAT_ADDR_STATIC) {
			there->network = one->network;
			memcpy(there->inside, one->inside, sizeof(there->inside));
		}
		there->flags |= one->flags;
		there->pools |= one->pools;
		return 0;
	}
	if (w->n == NAT_ADDRS - 1)
		return fail(ENOSPC, "address %s: there are %d external addresses already",
			    addr_text(one->addr, text), NAT_ADDRS - 1);
	w->at[w->n++] = *one;
	return 0;
}

/* Ranges that overlap are one. */
static void add_range(struct nat_wants *w, const __u64 first[2], __u32 n)
{
	struct nat_range new = {.first = {first[0], first[1]}, .n = n}, *r;
	__u64 before, after;

	for (__u32 i = 0; i < w->ranges; i++) {
		r = &w->range[i];
		before = addr_distance(new.first, r->first);
		after = addr_distance(r->first, new.first);
		if (before >= new.n && after >= r->n)
			continue;
		if (after != ~0ULL) {
			new.n = after + new.n > r->n ? after + new.n : r->n;
			memcpy(new.first, r->first, sizeof(new.first));
		} else if (before + r->n > new.n) {
			new.n = before + r->n;
		}
		*r = w->range[--w->ranges];
		i = -1; /* what it has become may overlap another one */
	}
	w->range[w->ranges++] = new;
}

int nat_want_range(struct nat_wants *w, const struct nat_want *first, __u32 n)
{
	struct nat_want one = *first;
	int err = 0;

	for (__u32 i = 0; i < n && !err; i++) {
		err = nat_want(w, &one);
		addr_add(one.addr, 1);
	}
	if (!err)
		add_range(w, first->addr, n);
	return err;
}

/* ---- finding slots ---- */

/* Addresses whose slots follow each other: a range, or one alone. */
struct run {
	__u32 n;
	const struct nat_want *at[NAT_ADDRS];
};

static __u32 slot_now(const struct nat_addr *now, const struct nat_want *w)
{
	for (__u32 i = 1; i < NAT_ADDRS; i++)
		if (now[i].ifindex &&
		    nat_same_addr(now[i].addr, now[i].ifindex, w->addr, w->ifindex))
			return i;
	return 0;
}

static bool wanted(const struct nat_wants *w, const struct nat_addr *a)
{
	for (__u32 i = 0; i < w->n; i++)
		if (nat_same_addr(a->addr, a->ifindex, w->at[i].addr, w->at[i].ifindex))
			return true;
	return false;
}

/* Where the preferred address of an uplink was, if that one is no longer wanted. */
static __u32 slot_of_former(const struct nat_wants *w, const struct nat_addr *now,
			    const struct nat_want *one)
{
	for (__u32 i = 1; i < NAT_ADDRS && one->flags & NAT_ADDR_OWN; i++)
		if (now[i].ifindex == one->ifindex && now[i].flags & NAT_ADDR_OWN &&
		    (now[i].addr[0] == FLOW_IPV4) == (one->addr[0] == FLOW_IPV4) &&
		    !wanted(w, &now[i]))
			return i;
	return 0;
}

static void place(const struct run *r, __u32 base, struct nat_plan *plan)
{
	for (__u32 i = 0; i < r->n; i++)
		plan->at[base + i] = *r->at[i];
}

/* Keeps a run where its addresses are. Returns whether it could. */
static bool keep(const struct nat_wants *w, const struct run *r, const struct nat_addr *now,
		 struct nat_plan *plan)
{
	__u32 base = 0, slot;

	for (__u32 i = 0; i < r->n; i++) {
		slot = slot_now(now, r->at[i]);
		if (!slot && r->n == 1)
			slot = slot_of_former(w, now, r->at[i]);
		if (slot && base && slot != base + i)
			return false;
		if (slot <= i) {
			if (slot)
				return false;
			continue;
		}
		base = slot - i;
	}
	if (!base || base + r->n > NAT_ADDRS)
		return false;
	for (__u32 i = 0; i < r->n; i++)
		if (plan->at[base + i].ifindex ||
		    (now[base + i].ifindex && slot_now(now, r->at[i]) != base + i &&
		     wanted(w, &now[base + i])))
			return false;
	place(r, base, plan);
	return true;
}

static bool find_room(const struct run *r, const struct nat_addr *now, bool empty,
		      struct nat_plan *plan)
{
	__u32 n = 0;

	for (__u32 slot = 1; slot < NAT_ADDRS; slot++) {
		n = plan->at[slot].ifindex || (empty && now[slot].ifindex) ? 0 : n + 1;
		if (n < r->n)
			continue;
		place(r, slot + 1 - n, plan);
		return true;
	}
	return false;
}

static const struct nat_want *find_want(const struct nat_wants *w, const __u64 addr[2])
{
	for (__u32 i = 0; i < w->n; i++)
		if (addr_equal(w->at[i].addr, addr))
			return &w->at[i];
	return NULL;
}

/* Sorts what is wanted into runs; returns how many. */
static __u32 make_runs(const struct nat_wants *w, struct run *runs)
{
	bool done[NAT_ADDRS] = {};
	__u32 n = 0;

	for (__u32 i = 0; i < w->ranges; i++, n++) {
		__u64 addr[2] = {w->range[i].first[0], w->range[i].first[1]};

		runs[n].n = w->range[i].n;
		for (__u32 j = 0; j < runs[n].n; j++, addr_add(addr, 1)) {
			runs[n].at[j] = find_want(w, addr);
			done[runs[n].at[j] - w->at] = true;
		}
	}
	for (__u32 i = 0; i < w->n; i++)
		if (!done[i]) {
			runs[n].n = 1;
			runs[n++].at[0] = &w->at[i];
		}
	return n;
}

static int by_size(const void *a, const void *b)
{
	const struct run *x = a, *y = b;

	return (y->n > x->n) - (y->n < x->n);
}

int nat_plan_make(const struct nat_wants *w, const struct nat_addr *now, struct nat_plan *out)
{
	struct run *runs = calloc(NAT_ADDRS, sizeof(*runs));
	struct nat_plan plan = {};
	char text[ADDR_TEXT];
	__u32 n, left = 0;
	int err = 0;

	if (!runs)
		return fail(ENOMEM, "external addresses: out of memory");
	n = make_runs(w, runs);
	qsort(runs, n, sizeof(*runs), by_size);
	for (__u32 i = 0; i < n; i++) /* those that stay, first */
		if (!keep(w, &runs[i], now, &plan))
			runs[left++] = runs[i];
	for (__u32 i = 0; i < left && !err; i++)
		if (!find_room(&runs[i], now, true, &plan) &&
		    !find_room(&runs[i], now, false, &plan))
			err = fail(ENOSPC,
				   "address %s: no room for %u more external addresses (there "
				   "may be %d)",
				   addr_text(runs[i].at[0]->addr, text), runs[i].n, NAT_ADDRS - 1);
	free(runs);
	if (!err)
		*out = plan;
	return err;
}

__u32 nat_plan_slot(const struct nat_plan *p, const __u64 addr[2], __u32 ifindex)
{
	for (__u32 i = 1; i < NAT_ADDRS; i++)
		if (p->at[i].ifindex &&
		    nat_same_addr(p->at[i].addr, p->at[i].ifindex, addr, ifindex))
			return i;
	return 0;
}

__u32 nat_plan_own(const struct nat_plan *p, __u32 ifindex, __u8 family)
{
	for (__u32 i = 1; i < NAT_ADDRS; i++)
		if (p->at[i].ifindex == ifindex && p->at[i].flags & NAT_ADDR_OWN &&
		    (p->at[i].addr[0] == FLOW_IPV4) == (family == 4))
			return i;
	return 0;
}
