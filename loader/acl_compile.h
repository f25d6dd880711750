/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Makes the lines of an access control list (maps/acl.h), its index among them, from its rules. */
#ifndef LOADER_ACL_COMPILE_H
#define LOADER_ACL_COMPILE_H

#include "../maps/acl.h"

/* The most that any packet can need in a list. */
struct acl_certificate {
	__u32 tuples;
	__u32 probes; /* of the index */
	__u32 steps;  /* rules compared */
};

/*
 * Makes a list of n rules, which are sorted by prio, each prio once. *lines is the caller's
 * to free. Fails with E2BIG for more than ACL_RULE_MAX rules, ENOMEM, or ENOSPC when a packet
 * could need more work than the data path may do.
 */
int acl_compile(const struct acl_rule *rules, __u32 n, struct acl_rule **lines, __u32 *n_lines,
		struct acl_certificate *cert);

#endif
