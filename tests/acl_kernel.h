/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The data path's matcher in the kernel: tests/acl.bpf.c, and lists for it. */
#ifndef TESTS_ACL_KERNEL_H
#define TESTS_ACL_KERNEL_H

#include "../maps/acl.h"

#define ACL_KERNEL_PACKETS (1 << 16) /* at most */
#define ACL_KERNEL_LIST	   7	     /* where acl_kernel_list() puts a list */
#define ACL_KERNEL_NO_LIST 8

struct acl_kernel {
	struct acl_bpf *skel;
};

/* Returns 0, or a negative errno of the load. */
int acl_kernel_open(struct acl_kernel *k);
void acl_kernel_close(struct acl_kernel *k);
/* Makes a list of these lines. */
int acl_kernel_list(struct acl_kernel *k, const struct acl_rule *lines, __u32 n);
/* The packets that acl_kernel_ask() asks for. */
int acl_kernel_packets(struct acl_kernel *k, const struct acl_key *packets, __u32 n);
/* Classifies them all. ns: what that took; results: as acl_match(), may be NULL. */
int acl_kernel_ask(struct acl_kernel *k, __u32 list, __u32 n, __u64 *ns, __u64 *results);

#endif
