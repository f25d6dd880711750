/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Lists that are changed in their place (loader/acl_late.c), for tests/acl.c: after each change the
 * rules that are shown and the matcher's answers are those of a list with just these rules. Also
 * when the command dies between two of its stores, and, for packets that are looked up
 * meanwhile, those of the list before or after.
 */
#ifndef TESTS_ACL_LATE_H
#define TESTS_ACL_LATE_H

#include "acl_kernel.h"
#include "acl_rules.h"

/* Changes a list so many times, or until there is no room. kernel: asked at the end, or NULL. */
void acl_late_changes(const struct acl_rules *rules, __u32 changes, struct acl_random *random,
		      struct acl_kernel *kernel);
/* Changes a list while packets are looked up in it. */
void acl_late_race(const struct acl_rules *rules, struct acl_random *random);

#endif
