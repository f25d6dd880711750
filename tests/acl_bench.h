/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* How long the kernel takes to classify packets by lists of 1 to 100,000 rules. */
#ifndef TESTS_ACL_BENCH_H
#define TESTS_ACL_BENCH_H

#include "acl_kernel.h"

/* Prints a table. directory: of the ClassBench sets. Returns an exit status. */
int acl_bench(struct acl_kernel *kernel, const char *directory);

#endif
