/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Networks with a gateway (modes nat and hostonly). What is remembered of them is in nat_info
 * and nat_rules; the rest of maps/nat.h that the command line writes is derived from that and
 * from the uplinks' addresses, by nat_sync(), and can be derived again.
 */
#ifndef LOADER_NAT_H
#define LOADER_NAT_H

#include "port.h"

#define NAT_PORT_MIN 1024 /* external ports for mappings, unless others are asked for */
#define NAT_PORT_MAX 65535

/* The remembered form of a network with a gateway, and what its uplink is now. */
struct nat_entry {
	__u32 id;
	__u32 uplink_ifindex;
	struct network_info net;
	struct nat_info info;
};
struct nat_list {
	__u32 n;
	struct nat_entry *at;
};
/* All of them, oldest first, but for those that are being removed. Free with nat_list_free(). */
int nat_list(struct state *s, struct nat_list *out);
void nat_list_free(struct nat_list *l);

/* By name, of mode nat. Returns 0 or a negative errno with a message. */
int nat_find(struct state *s, const char *name, struct nat_entry *out);

/* Whether a network's mappings may have an address that was given (packed). */
bool nat_masquerades(const struct nat_info *info, const __u64 addr[2]);
/* Refuses an address that is not on a network's uplink. */
struct netaddrs;
int nat_check_external(const struct netaddrs *addrs, const struct nat_entry *net,
		       const __u64 addr[2]);

/* A remembered address with the length of its subnet; all bits as they are. */
struct prefix nat_prefix(const __u8 addr[16], __u8 family, __u8 len);

/* Refuses subnets that overlap with another network's, or with an address of the host. */
int nat_check_subnets(struct state *s, const struct nat_info *info);

/*
 * Makes what a new network has of its own: the host's device (*port: its port id) and, in mode
 * nat, the uplink (dev) and the external addresses. info: subnets and gateways. What a failure
 * leaves is removed by network_remove().
 */
int nat_create(struct state *s, __u32 id, const struct network_info *net, struct nat_info *info,
	       const char *dev, __u32 *port);
/* Remembers *info, and derives what follows. */
int nat_apply(struct state *s, __u32 id, const struct nat_info *info);
int nat_set_filtering(struct state *s, __u32 id, bool independent);
/* Mappings that a network's new masquerade no longer gives end. */
int nat_set_masquerade(struct state *s, const struct nat_entry *net, const struct nat_info *info);
/* Removes all that is derived from a network that goes, whose flows are gone. */
int nat_forget(struct state *s, __u32 id);
/* Derives slots, pools and what the data path reads of each network; changes what differs. */
int nat_sync(struct state *s);

/* Says in a port's policy whether NAT networks leave by it. */
void nat_policy(const struct state *s, __u32 port, const struct port_info *info,
		union port_policy *policy);
/* Whether a device is the other end of a network's device. */
bool nat_other_end(struct state *s, const char *dev);

/* After a command died. */
int nat_repair(struct state *s);
/* Makes devices again that somebody removed; before ports are looked at. */
int nat_refresh_devices(struct state *s);
/* Follows changes of addresses and MTU; after ports were looked at. */
int nat_refresh(struct state *s);
/* A data plane that ends: removes the devices that were made. */
void nat_remove_devices(struct state *s);

#endif
