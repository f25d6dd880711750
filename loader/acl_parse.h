/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Rules of access control lists as words, [prio N] [MATCH]... ACTION [log], to struct acl_rule
 * and back. Knows no map and no kernel.
 */
#ifndef LOADER_ACL_PARSE_H
#define LOADER_ACL_PARSE_H

#include <json-c/json.h>
#include "../maps/acl.h"
#include "parse.h"

#define ACL_PRIO_STEP 10  /* from the last rule to one that is added without prio */
#define ACL_RULE_TEXT 512 /* a rule's words fit */

/* A list of rules; `at` is the owner's to free. */
struct acl_rules {
	__u32 n;
	struct acl_rule *at;
};

/*
 * Reads a rule, all words that are left. Its prio is 0 when none was given, its counter 0.
 * Fails with a usage error, and *out is then as it was.
 */
int acl_parse_rule(struct args *a, struct acl_rule *out);
/*
 * Reads a list, one rule a line; '#' begins a comment. text: size octets and a '\0' behind
 * them, changed by reading. Rules without prio come ACL_PRIO_STEP behind the highest before.
 * The rules are sorted by prio. Fails with a usage error that names the line, as in
 * "NAME line 7: ...", E2BIG above ACL_RULE_MAX rules, or ENOMEM.
 */
int acl_parse_list(const char *name, char *text, size_t size, struct acl_rules *out);
/* The prio of a rule that is added behind the one with prio `last` (0: none). */
int acl_next_prio(__u32 last, __u32 *prio);

/* The words of a rule, as acl_parse_rule() reads them. */
const char *acl_rule_text(const struct acl_rule *r, char out[ACL_RULE_TEXT]);
/* Its MATCH words with their values as strings; in the words '-' becomes '_'. */
struct json_object *acl_match_json(const struct acl_rule *r);
const char *acl_action_name(enum acl_action action);
const char *acl_direction_name(__u32 direction);

/* Whether two rules match the same packets and do the same with them. */
bool acl_rule_same(const struct acl_rule *a, const struct acl_rule *b);

#endif
