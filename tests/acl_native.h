/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The data path's matcher, bpf/acl_match.h, in user space: for tests that ask it millions of
 * times, and for fuzzers.
 */
#ifndef TESTS_ACL_NATIVE_H
#define TESTS_ACL_NATIVE_H

#include "../maps/l3.h"

/* What a packet needed. */
struct acl_work {
	__u32 lookups; /* of lines */
	__u32 probes;  /* of the index */
	__u32 steps;   /* rules compared */
};

/* What the list of these lines says of a packet, as acl_match() would. */
__u64 acl_native(const struct acl_rule *lines, __u32 n_lines, const struct acl_key *key,
		 struct acl_work *work);

#endif
