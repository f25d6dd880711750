/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Access control lists in the kernel: what is in `acl_lists` is all that is remembered of
 * them. Rules are read from there, changed in memory, and the list as a whole is replaced.
 * A list is named by its place, ACL_PORT_LIST() or ACL_NETWORK_LIST().
 */
#ifndef LOADER_ACL_H
#define LOADER_ACL_H

#include "acl_compile.h"
#include "acl_parse.h"
#include "state.h"

bool acl_exists(const struct state *s, __u32 list);
/* A list as it is in the kernel. */
struct acl_list {
	__u32 n;		   /* rules */
	const struct acl_rule *at; /* sorted by prio, after acl_read() */
	struct acl_certificate cert;
	struct acl_rule *lines; /* mapped, NULL: there is no list */
	size_t size;
	struct acl_rule *own; /* memory of `at`, NULL: it is in `lines` */
};
/* Opens a list; without one it is empty. */
int acl_open(const struct state *s, __u32 list, struct acl_list *out);
int acl_read(struct acl_list *l);
/* The rule with a prio; NULL: none. */
const struct acl_rule *acl_find(const struct acl_list *l, __u32 prio);
/* The last rule's prio, 0: there is no rule. */
__u32 acl_last(const struct acl_list *l);
void acl_close(struct acl_list *l);
/*
 * Puts `new` (sorted by prio, each once) into the place of `old`, what acl_open() gave: all or
 * nothing. Rules that stay the same keep their counters, whatever their prio. Packets meet the
 * old list or the new one.
 */
int acl_replace(struct state *s, __u32 list, struct acl_list *old, struct acl_rules *new);
/* Likewise, with one rule more, of a prio that no other has. */
int acl_add(struct state *s, __u32 list, struct acl_list *old, const struct acl_rule *rule);
/* Likewise, without a rule that acl_find() found. */
int acl_del(struct state *s, __u32 list, struct acl_list *old, const struct acl_rule *rule);
/* Removes the list of a port or network that takes no more frames. */
void acl_forget(struct state *s, __u32 list);

/* What rules counted, read chunk by chunk when first asked for; begins with zeroes. */
struct acl_totals {
	struct acl_counter *chunk[ACL_COUNTER_CHUNKS];
};
int acl_count(const struct state *s, struct acl_totals *t, const struct acl_rule *r,
	      struct acl_counter *out);
void acl_totals_free(struct acl_totals *t);
/* How many rules there are in all lists. */
__u32 acl_rules_used(const struct state *s);

/* Says in a port's policy which lists judge its packets, and whether connections are tracked. */
void acl_policy(const struct state *s, __u32 port, union port_policy *policy);
/* After a command died: lists of nobody go, and counters are those of the rules there are. */
int acl_repair(struct state *s);

#endif
