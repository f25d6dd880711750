// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Lists of rules as the data path reads them: see acl_compile.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "acl_compile.h"
#include "err.h"

int acl_compile(const struct acl_rule *rules, __u32 n, struct acl_rule **lines, __u32 *n_lines,
		struct acl_certificate *cert)
{
	struct acl_header *header;
	struct acl_rule *made;

	if (n > ACL_RULE_MAX)
		return fail(E2BIG, "%u rules: a list holds %u", n, ACL_RULE_MAX);
	made = calloc(n + 1, sizeof(*made));
	if (!made)
		return fail(ENOMEM, "%u rules: out of memory", n);
	if (n)
		memcpy(made + 1, rules, n * sizeof(*made));
	header = (struct acl_header *)made;
	*header = (struct acl_header){.rules = n, .lines = n + 1, .steps = n};
	*cert = (struct acl_certificate){.steps = n};
	*lines = made;
	*n_lines = n + 1;
	return 0;
}
