/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* External addresses in their slots, with their pools: a plan becomes true. */
#ifndef LOADER_NAT_SLOT_H
#define LOADER_NAT_SLOT_H

#include "nat_plan.h"
#include "state.h"

/* Makes the slots what the plan says. Bit N of *fresh: slot N is new, or has new pools. */
int nat_plan_apply(struct state *s, const struct nat_plan *p, __u64 *fresh);
/* Removes pools that nobody wants any more, after networks and rules have left them. */
int nat_plan_tidy(struct state *s, const struct nat_plan *p);
/* Whether a slot is another one in the plan than it is now: networks must leave it first. */
bool nat_plan_moves(const struct state *s, const struct nat_plan *p, __u32 slot);

#endif
