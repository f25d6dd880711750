/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Forwards and static translations: what is remembered of them, and where they are in force. */
#ifndef LOADER_NAT_RULE_H
#define LOADER_NAT_RULE_H

#include "nat.h"
#include "nat_plan.h"
#include "netaddr.h"

struct nat_rule_entry {
	struct nat_rule_key key;
	struct nat_rule rule;
};
struct nat_rules {
	__u32 n;
	struct nat_rule_entry *at;
};

/* All of them, oldest first. Free with nat_rules_free(). */
int nat_rules_read(struct state *s, struct nat_rules *out);
void nat_rules_free(struct nat_rules *r);

static inline bool nat_rule_is_static(const struct nat_rule_entry *r)
{
	return !r->key.proto;
}
/* A forward that serves all addresses of its uplink. */
bool nat_rule_any(const struct nat_rule_entry *r);

/* Addresses and pools that rules want. addrs: the host's. */
int nat_rules_want(const struct nat_rules *r, const struct nat_list *l,
		   const struct netaddrs *addrs, struct nat_wants *w);
/* Binds the ports of forwards in these slots (bit N: slot N), as far as they are not. */
int nat_rules_bind(struct state *s, const struct nat_rules *r, const struct nat_list *l,
		   __u64 slots);
/* Refuses a rule that is in the way of another one, of the host's sockets or addresses. */
int nat_rule_allowed(struct state *s, const struct nat_entry *net, const struct nat_rule_entry *r);
/* Adds a rule, or removes one. All or nothing. */
int nat_rule_add(struct state *s, const struct nat_entry *net, struct nat_rule_entry *r);
int nat_rule_del(struct state *s, const struct nat_entry *net, const struct nat_rule_entry *r);

/* Removes those of a network that goes; its uplink's slots are still there. */
int nat_rules_forget(struct state *s, __u32 network);

/* As one would type its external side: "tcp 203.0.113.1:80-89", "static 203.0.113.7". */
#define NAT_RULE_TEXT 80
const char *nat_rule_text(const struct nat_rule_entry *r, char out[NAT_RULE_TEXT]);

#endif
