/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the maps know of a VM's connections through a nat network, one of each protocol: they
 * themselves, and the external ports that are bound for them.
 */
#ifndef TESTS_NAT_KNOWN_H
#define TESTS_NAT_KNOWN_H

#include "../maps/nat.h"

#define NAT_KNOWN 3

struct nat_known {
	__u32 connections; /* of the VM's port */
	struct {
		__u16 tag;
		__u32 expires;
		struct flow flow;
		struct nat_flow nat;
		struct nat_binding bound;
		__u64 used, taken;
	} at[NAT_KNOWN];
};

/* Finds the connections: all that there are, each with this external port. */
void nat_known_find(__u16 port);
void nat_known_forget(void);
/* From now on they end at another time than any packet of theirs would make them. */
void nat_known_mark(void);
void nat_known_look(struct nat_known *k);
/* Fails the test if anything is not as it was. */
void nat_known_check(const struct nat_known *before);

#endif
