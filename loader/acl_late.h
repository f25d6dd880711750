/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Rules that are added to a list with an index, or deleted from it, while packets are looked up
 * in it: each packet meets the list with the rule or without it. `lines` is the list as
 * acl_compile() made it, where the data path reads it.
 *
 * An added rule's brief goes into a chain beside the index, which is searched first. A
 * deleted one's brief is made one that no packet matches; its line stays, marked. There is room
 * for ACL_LATE_MAX of the former; then the list has to be compiled anew. A command that
 * dies in the middle leaves one of both lists; acl_late_repair() makes what is shown of it
 * the same as what the data path does.
 */
#ifndef LOADER_ACL_LATE_H
#define LOADER_ACL_LATE_H

#include <stdbool.h>
#include "../maps/acl.h"

/* Whether there is room for another rule. */
bool acl_late_room(const struct acl_rule *lines);
/* Adds a rule whose prio no rule of the list has. There must be room. */
void acl_late_add(struct acl_rule *lines, const struct acl_rule *rule);
/* Deletes a rule that acl_late_find() found. Fails with ENOSPC or ENOMEM, without a message. */
int acl_late_del(struct acl_rule *lines, const struct acl_rule *rule);
void acl_late_repair(struct acl_rule *lines);

/* Whether a rule was added or deleted since the list was compiled. */
bool acl_late_any(const struct acl_rule *lines);
/* How many rules were added, or are beside the index since one that covers them was deleted. */
__u32 acl_late_steps(const struct acl_rule *lines);
/* The rule with a prio; NULL: none. */
const struct acl_rule *acl_late_find(const struct acl_rule *lines, __u32 prio);
/* The last rule's prio, 0: there is no rule. */
__u32 acl_late_last(const struct acl_rule *lines);
/* The list's rules, sorted. Returns their number, at most the header's rules + ACL_LATE_MAX. */
__u32 acl_late_rules(const struct acl_rule *lines, struct acl_rule *out);
/* Lines from 1 to this one may have rules. */
__u32 acl_late_end(const struct acl_rule *lines);
/* The rule in such a line, also one that was deleted; NULL: none. */
const struct acl_rule *acl_late_line(const struct acl_rule *lines, __u32 line);

#endif
