/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Requests to the kernel by netlink. */
#ifndef LOADER_NETLINK_H
#define LOADER_NETLINK_H

#include <libmnl/libmnl.h>
#include <linux/types.h>

/* Begins a request in buf (MNL_NLMSG_HDRLEN and what is put behind it). */
struct nlmsghdr *netlink_request(char *buf, __u16 type, __u16 flags);
/* Sends one, whose answers cb() reads (NULL: there are none). Returns 0 or -errno (no message). */
int netlink_ask(int bus, struct nlmsghdr *request, mnl_cb_t cb, void *data);

#endif
