// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The host's device in a network of its own. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include "err.h"
#include "gateway.h"
#include "netaddr.h"
#include "netlink.h"
#include "../maps/network.h"

#define OTHER_END "xdpctl"

static void other_end(__u32 network, char name[PORT_NAME_LEN])
{
	snprintf(name, PORT_NAME_LEN, OTHER_END "%u", network);
}

__u32 gateway_other_end(const char *name)
{
	const char *digits = name + strlen(OTHER_END);
	unsigned long id;

	if (strncmp(name, OTHER_END, strlen(OTHER_END)) || !isdigit((unsigned char)*digits))
		return 0;
	id = strtoul(digits, (char **)&digits, 10);
	return *digits || id > NETWORK_MAX ? 0 : id;
}

/* ---- settings ---- */

/* A setting below /proc/sys/net. needed: else a kernel without that protocol has none. */
static int put_setting(const char *family, const char *dev, const char *key, int value, bool needed)
{
	char path[128], text[16];
	int n = snprintf(text, sizeof(text), "%d", value), fd, err = 0;

	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, dev, key);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && !needed)
		return 0;
	if (fd < 0 || write(fd, text, n) != n)
		err = fail(errno, "%s: cannot be set to %d: %s", path, value, strerror(errno));
	if (fd >= 0)
		close(fd);
	return err;
}

/* Those of the device alone: whether the host routes elsewhere is its own business. */
static int put_settings(const struct gateway *g)
{
	bool ipv6 = g->address6.family;
	const struct {
		const char *family, *key;
		int value;
	} settings[] = {
		{"ipv4", "forwarding", true}, /* bpf_fib_lookup() asks for it */
		{"ipv4", "accept_local", 1},  /* a VM that reaches itself by its forward */
		{"ipv4", "rp_filter", 0},	 {"ipv4", "send_redirects", 0},
		{"ipv6", "disable_ipv6", !ipv6}, {"ipv6", "accept_ra", 0},
		{"ipv6", "autoconf", 0},	 {"ipv6", "accept_dad", 0},
		{"ipv6", "forwarding", ipv6},
	};
	char other[PORT_NAME_LEN];
	int err = 0;

	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings) && !err; i++)
		err = put_setting(settings[i].family, g->name, settings[i].key, settings[i].value,
				  ipv6 || strcmp(settings[i].family, "ipv6"));
	other_end(g->network, other);
	return err ?: put_setting("ipv6", other, "disable_ipv6", 1, false);
}

/* ---- the pair ---- */

static int make_pair(const struct gateway *g)
{
	char buf[1024], other[PORT_NAME_LEN];
	struct nlmsghdr *nlh = netlink_request(buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	struct nlattr *info, *data, *peer;

	other_end(g->network, other);
	mnl_attr_put_strz(nlh, IFLA_IFNAME, g->name);
	mnl_attr_put(nlh, IFLA_ADDRESS, sizeof(g->mac), g->mac);
	mnl_attr_put_u32(nlh, IFLA_MTU, g->mtu);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(nlh, VETH_INFO_PEER);
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_flags = ifi->ifi_change = IFF_NOARP;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, other);
	mnl_attr_put_u32(nlh, IFLA_MTU, g->mtu);
	mnl_attr_nest_end(nlh, peer);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	return netlink_ask(NETLINK_ROUTE, nlh, NULL, NULL);
}

static int remove_device(__u32 ifindex)
{
	char buf[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *nlh = netlink_request(buf, RTM_DELLINK, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));

	ifi->ifi_index = ifindex;
	return netlink_ask(NETLINK_ROUTE, nlh, NULL, NULL);
}

/* Sets flags (IFF_…), or an MTU that is not 0. */
static int change_device(__u32 ifindex, unsigned int flags, __u32 mtu)
{
	char buf[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *nlh = netlink_request(buf, RTM_NEWLINK, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));

	ifi->ifi_index = ifindex;
	ifi->ifi_flags = ifi->ifi_change = flags;
	if (mtu)
		mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
	return netlink_ask(NETLINK_ROUTE, nlh, NULL, NULL);
}

static bool is_pair(const char *name, struct netdev *dev)
{
	return !netdev_get(name, 0, dev) && !strcmp(dev->kind, "veth");
}

void gateway_remove(__u32 network, __u32 ifindex, const __u8 mac[6])
{
	char other[PORT_NAME_LEN];
	struct netdev dev;

	other_end(network, other);
	if (is_pair(other, &dev))
		remove_device(dev.ifindex);
	else if (ifindex && !netdev_get(NULL, ifindex, &dev) && !strcmp(dev.kind, "veth") &&
		 !memcmp(dev.mac, mac, sizeof(dev.mac)))
		remove_device(ifindex); /* somebody renamed or moved the other end */
}

static int give_address(const struct gateway *g, __u32 ifindex, const struct prefix *address)
{
	int err = netaddr_add(ifindex, address);

	return err && err != -EEXIST ? fail(err, "network %s: its address cannot be set: %s",
					    g->name, strerror(-err))
				     : 0;
}

static int give_addresses(const struct gateway *g, __u32 ifindex)
{
	int err = g->address.family ? give_address(g, ifindex, &g->address) : 0;

	return err || !g->address6.family ? err : give_address(g, ifindex, &g->address6);
}

int gateway_make(const struct gateway *g, __u32 *ifindex)
{
	char other[PORT_NAME_LEN];
	struct netdev dev;
	int err;

	other_end(g->network, other);
	if (!netdev_get(g->name, 0, &dev))
		return fail(EEXIST, "network %s: there is a device of that name", g->name);
	if (!netdev_get(other, 0, &dev))
		return fail(EEXIST, "network %s: dev %s: exists already, and no network has it",
			    g->name, other);
	err = make_pair(g);
	if (err)
		return fail(err, "network %s: its device cannot be made: %s", g->name,
			    strerror(-err));
	if (netdev_get(g->name, 0, &dev))
		err = fail(ENODEV, "network %s: its device vanished", g->name);
	err = err ?: put_settings(g) ?: give_addresses(g, dev.ifindex);
	if (!err && (change_device(dev.link, IFF_UP, 0) || change_device(dev.ifindex, IFF_UP, 0)))
		err = fail(EIO, "network %s: its device cannot be set up", g->name);
	if (err)
		gateway_remove(g->network, 0, g->mac);
	else
		*ifindex = dev.ifindex;
	return err;
}

bool gateway_routes(const char *dev, __u8 family)
{
	char path[128], value = '0';
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv%u/conf/%s/forwarding", family, dev);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, &value, 1) != 1)
		value = '0';
	if (fd >= 0)
		close(fd);
	return value == '1';
}

int gateway_keep(const struct gateway *g, const struct netdev *dev)
{
	int err = 0;

	if (g->mtu && g->mtu != dev->mtu)
		err = change_device(dev->ifindex, 0, g->mtu) ?: change_device(dev->link, 0, g->mtu);
	if (err)
		return fail(err, "network %s: its MTU cannot be set: %s", g->name, strerror(-err));
	return put_settings(g) ?: give_addresses(g, dev->ifindex);
}
