/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What rules with `log` tell, as it happens. */
#ifndef LOADER_ACL_LOG_H
#define LOADER_ACL_LOG_H

#include "state.h"

/* Which events: all that is given must fit; 0 and -1 are any. */
struct acl_log_filter {
	__u32 port;    /* the port that the packet belongs to */
	__u32 network; /* that port's network */
	int direction; /* enum acl_direction */
};

/*
 * Prints events until interrupted, or until the data plane is removed; those first that nobody
 * has read yet. Unlocks s: other commands run meanwhile.
 */
int acl_log_follow(struct state *s, const struct acl_log_filter *filter);

#endif
