/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Sockets of the current namespace that take what is sent to a port of the host. */
#ifndef LOADER_LISTENER_H
#define LOADER_LISTENER_H

#include <stdbool.h>
#include <linux/types.h>

struct listener {
	__u64 addr[2]; /* as in struct flow_key; wildcard: {FLOW_IPV4, 0} or {0, 0} */
	__u16 port;    /* host order */
	__u32 ifindex; /* the device it is bound to, 0: none */
	bool both;     /* an IPv6 wildcard that takes IPv4, too */
};
struct listeners {
	__u32 n;
	struct listener *at;
};

/* proto: IPPROTO_TCP, _UDP (unconnected ones) or _SCTP. Free with listeners_free(). */
int listeners_read(__u8 proto, struct listeners *out);
void listeners_free(struct listeners *l);
/* Whether it takes what comes to an address by a device. */
bool listener_takes(const struct listener *l, const __u64 addr[2], __u32 ifindex);

#endif
