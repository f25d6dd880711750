// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Uplinks that several networks may share. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include "err.h"
#include "nat.h"
#include "netdev.h"
#include "port.h"
#include "uplink.h"

/* Whether a device is a port already. */
static int find_port(struct state *s, const char *name, struct port_entry *out, bool *found)
{
	struct netdev dev;
	struct port_list l;
	int err = port_list(s, &l);

	if (err)
		return err;
	*found = false;
	if (netdev_get(name, 0, &dev))
		dev.ifindex = 0;
	for (__u32 i = 0; i < l.n && !*found; i++)
		if (dev.ifindex ? l.at[i].info.ifindex == dev.ifindex
				: !strcmp(l.at[i].info.dev, name)) {
			*out = l.at[i];
			*found = true;
		}
	port_list_free(&l);
	return 0;
}

static int join_port(struct state *s, __u32 network, const struct port_entry *p, bool nat)
{
	struct port_info info = p->info;
	struct network_info net;

	network_name(s, info.network, &net);
	if (info.gateway)
		return fail(EBUSY, "dev %s: the host's own device in network %s", info.dev,
			    net.name);
	if (!info.uplink)
		return fail(EBUSY, "dev %s: already a port of network %s, cannot be an uplink",
			    info.dev, net.name);
	if (!info.ifindex)
		return fail(ENODEV, "dev %s: no such device", info.dev);
	if (nat)
		return 0;
	if (!info.nat_only)
		return fail(EEXIST, "dev %s: already a port (the uplink of network %s)", info.dev,
			    net.name);
	info.nat_only = 0;
	info.network = network;
	return port_move(s, p->id, &p->info, &info);
}

int uplink_join(struct state *s, __u32 network, const char *dev, bool nat, __u32 *port)
{
	struct port_entry there;
	struct port_info info;
	bool found;
	int err = find_port(s, dev, &there, &found);

	if (err)
		return err;
	if (found) {
		err = join_port(s, network, &there, nat);
		if (!err)
			*port = there.id;
		return err;
	}
	port_defaults(&info, dev, network, true);
	info.nat_only = nat;
	return port_create(s, &info, port);
}

/* Who wants the uplink: ids of a bridge network, and of the oldest NAT network; 0: none. */
static int find_users(struct state *s, __u32 port, __u32 *bridge, __u32 *nat)
{
	struct network_list l;
	struct nat_info info;
	int err = network_list(s, &l);

	if (err)
		return err;
	*bridge = *nat = 0;
	for (__u32 i = 0; i < l.n; i++) {
		if (l.at[i].info.state != NETWORK_ACTIVE)
			continue;
		if (l.at[i].info.mode == NETWORK_BRIDGE && l.at[i].info.uplink == port)
			*bridge = l.at[i].id;
		if (!*nat && l.at[i].info.mode == NETWORK_NAT &&
		    !bpf_map_lookup_elem(s->maps[MAP_NAT_INFO], &l.at[i].id, &info) &&
		    info.uplink == port)
			*nat = l.at[i].id;
	}
	network_list_free(&l);
	return 0;
}

int uplink_settle(struct state *s, __u32 port)
{
	struct port_info info, new;
	__u32 bridge, nat;
	int err;

	if (bpf_map_lookup_elem(s->maps[MAP_PORT_INFO], &port, &info))
		return 0;
	err = find_users(s, port, &bridge, &nat);
	if (err)
		return err;
	if (!bridge && !nat)
		return port_remove(s, port, &info);
	new = info;
	if (!bridge && !info.nat_only) { /* its settings were for the bridge network */
		port_defaults(&new, info.dev, nat, true);
		new.ifindex = info.ifindex;
		new.state = info.state;
		new.hook = info.hook;
		new.xdp_mode = info.xdp_mode;
		new.tc_mode = info.tc_mode;
		new.changed = info.changed;
		new.offloads = info.offloads;
		new.order = info.order;
		memcpy(new.why, info.why, sizeof(new.why));
	}
	new.nat_only = !bridge;
	new.network = bridge ?: nat;
	if (new.nat_only == info.nat_only &&new.network == info.network)
		return port_derive(s, port);
	return port_move(s, port, &info, &new);
}

void uplink_undo(struct state *s, __u32 port)
{
	char why[512];

	snprintf(why, sizeof(why), "%s", err_message());
	uplink_settle(s, port);
	fail(EIO, "%s", why);
}
