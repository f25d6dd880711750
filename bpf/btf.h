/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * clang (14) leaves a struct that only the definition of an inner map names incomplete in
 * BTF, and libbpf cannot make the map; as a parameter of a global function it is complete.
 */
#ifndef BPF_BTF_H
#define BPF_BTF_H

#include "pkt.h"

__noinline int btf_inner_types(const struct acl_rule *rule, const struct acl_counter *counter,
			       const struct flow_bucket *bucket, const struct nat_pool *pool)
{
	return (rule ? 1 : 0) + (counter ? 1 : 0) + (bucket ? 1 : 0) + (pool ? 1 : 0);
}

#endif
