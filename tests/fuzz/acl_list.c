// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Any text as a file of rules: it is refused with a message of one line that names the file, or
 * what was read is sorted, each key is inside its mask, and its own text is read as the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../loader/acl_parse.h"
#include "../../loader/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "does not hold: %s (last message: %s)\n", what, err_message());
	abort();
}

/* A copy with nothing behind its '\0', so that a sanitizer sees who reads on. */
static int read_list(const void *data, size_t size, struct acl_rules *out)
{
	char *text = malloc(size + 1);
	int err;

	memcpy(text, data, size);
	text[size] = '\0';
	err = acl_parse_list("FILE", text, size, out);
	free(text);
	return err;
}

static void check_rule(const struct acl_rule *r)
{
	demand(!(r->src[0] & ~r->src_mask[0]) && !(r->src[1] & ~r->src_mask[1]), "src in its mask");
	demand(!(r->dst[0] & ~r->dst_mask[0]) && !(r->dst[1] & ~r->dst_mask[1]), "dst in its mask");
	demand(!(r->src_mac & ~r->src_mac_mask) && !(r->dst_mac & ~r->dst_mac_mask),
	       "addresses in their masks");
	demand(!(r->misc & ~r->misc_mask), "misc in its mask");
	demand(r->sport_min <= r->sport_max && r->dport_min <= r->dport_max, "ports in order");
	demand(r->action >= ACL_ALLOW && r->action <= ACL_REJECT, "an action");
	demand(r->prio >= 1 && r->prio <= ACL_PRIO_MAX, "a prio");
	demand(!r->line && !r->counter && !(r->flags & ~ACL_RULE_LOG), "nothing else");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct acl_rules rules = {}, again = {};
	char text[ACL_RULE_TEXT], *all = NULL;
	size_t n = 0;
	FILE *f;

	err_clear();
	if (read_list(data, size, &rules)) {
		demand(!rules.at && !rules.n, "a refused list gives nothing");
		demand(!strncmp(err_message(), "FILE line ", 10), "the message names the line");
		return 0;
	}
	f = open_memstream(&all, &n);
	for (__u32 i = 0; i < rules.n; i++) {
		check_rule(&rules.at[i]);
		demand(!i || rules.at[i - 1].prio < rules.at[i].prio, "rules are sorted");
		fprintf(f, "%s # %u\n", acl_rule_text(&rules.at[i], text), i);
		json_object_put(acl_match_json(&rules.at[i]));
	}
	fclose(f);
	demand(!read_list(all, n, &again), "the list's text is a list");
	demand(again.n == rules.n &&
		       (!again.n || !memcmp(again.at, rules.at, again.n * sizeof(*again.at))),
	       "the list's text is the same list");
	free(all);
	free(rules.at);
	free(again.at);
	return 0;
}
