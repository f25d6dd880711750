// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Network devices by rtnetlink, ethtool and the netdev family of generic netlink. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/pkt_sched.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include "err.h"
#include "netdev.h"
#include "netlink.h"

/* linux/netdev.h, newer than the floor's headers. */
#define NETDEV_FAMILY		 "netdev"
#define NETDEV_CMD_GET		 1
#define NETDEV_ATTR_IFINDEX	 1
#define NETDEV_ATTR_XDP_FEATURES 3
#define NETDEV_FEATURE_NDO_XMIT	 (1 << 2)

static int ethtool(const char *name, void *command)
{
	struct ifreq ifr = {};
	int fd, err;

	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	memcpy(ifr.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	ifr.ifr_data = command;
	err = ioctl(fd, SIOCETHTOOL, &ifr) ? -errno : 0;
	close(fd);
	return err;
}

static int link_kind(const struct nlattr *attr, void *data)
{
	struct netdev *d = data;

	if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
		memcpy(d->kind, mnl_attr_get_str(attr),
		       strnlen(mnl_attr_get_str(attr), sizeof(d->kind) - 1));
	return MNL_CB_OK;
}

static int link_attr(const struct nlattr *attr, void *data)
{
	struct netdev *d = data;

	switch (mnl_attr_get_type(attr)) {
	case IFLA_IFNAME:
		memcpy(d->name, mnl_attr_get_str(attr),
		       strnlen(mnl_attr_get_str(attr), sizeof(d->name) - 1));
		break;
	case IFLA_MTU:
		d->mtu = mnl_attr_get_u32(attr);
		break;
	case IFLA_LINK:
		d->link = mnl_attr_get_u32(attr);
		break;
	case IFLA_MASTER:
		d->master = mnl_attr_get_u32(attr);
		break;
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(attr) == sizeof(d->mac))
			memcpy(d->mac, mnl_attr_get_payload(attr), sizeof(d->mac));
		break;
	case IFLA_LINKINFO:
		mnl_attr_parse_nested(attr, link_kind, d);
		break;
	}
	return MNL_CB_OK;
}

static int link_message(const struct nlmsghdr *nlh, void *data)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	struct netdev *d = data;

	d->ifindex = ifi->ifi_index;
	d->flags = ifi->ifi_flags;
	d->type = ifi->ifi_type;
	mnl_attr_parse(nlh, sizeof(*ifi), link_attr, d);
	return MNL_CB_OK;
}

int netdev_get(const char *name, __u32 ifindex, struct netdev *out)
{
	char buf[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ethtool_drvinfo drv = {.cmd = ETHTOOL_GDRVINFO};
	struct ifinfomsg *ifi;
	struct netdev d = {};
	int err;

	nlh->nlmsg_type = RTM_GETLINK;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_index = ifindex;
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	if (name)
		mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	err = netlink_ask(NETLINK_ROUTE, nlh, link_message, &d);
	if (err)
		return err;
	if (!d.kind[0] && !ethtool(d.name, &drv))
		memcpy(d.kind, drv.driver, strnlen(drv.driver, sizeof(d.kind) - 1));
	*out = d;
	return 0;
}

bool netdev_is_virtual_port(const struct netdev *d)
{
	return !strcmp(d->kind, "tun") || !strcmp(d->kind, "veth");
}

int netdev_set_promisc(const char *name, bool on)
{
	struct ifreq ifr = {};
	int fd, err = 0;

	memcpy(ifr.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr))
		err = errno;
	if (!err && !!(ifr.ifr_flags & IFF_PROMISC) != on) {
		ifr.ifr_flags ^= IFF_PROMISC;
		if (ioctl(fd, SIOCSIFFLAGS, &ifr))
			err = errno;
	}
	if (fd >= 0)
		close(fd);
	return err ? fail(err, "%s: cannot set promiscuous mode: %s", name, strerror(err)) : 0;
}

static const struct {
	__u32 flag;
	const char *name;
} offloads[] = {
	[NETDEV_RXVLAN] = {ETH_FLAG_RXVLAN, "rxvlan"},
	[NETDEV_LRO] = {ETH_FLAG_LRO, "lro"},
};

bool netdev_offload(const char *name, enum netdev_offload which)
{
	struct ethtool_value v = {.cmd = ETHTOOL_GFLAGS};

	return !ethtool(name, &v) && v.data & offloads[which].flag;
}

int netdev_set_offload(const char *name, enum netdev_offload which, bool on)
{
	struct ethtool_value v = {.cmd = ETHTOOL_GFLAGS};
	int err = ethtool(name, &v);

	if (!err && !!(v.data & offloads[which].flag) != on) {
		v.cmd = ETHTOOL_SFLAGS;
		v.data ^= offloads[which].flag;
		err = ethtool(name, &v);
	}
	return err ? fail(err, "%s: cannot switch %s %s: %s", name, offloads[which].name,
			  on ? "on" : "off", strerror(-err))
		   : 0;
}

static int family_attr(const struct nlattr *attr, void *data)
{
	if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID)
		*(__u16 *)data = mnl_attr_get_u16(attr);
	return MNL_CB_OK;
}

static int features_attr(const struct nlattr *attr, void *data)
{
	if (mnl_attr_get_type(attr) == NETDEV_ATTR_XDP_FEATURES)
		*(__u64 *)data = mnl_attr_get_u64(attr);
	return MNL_CB_OK;
}

static int family_message(const struct nlmsghdr *nlh, void *data)
{
	return mnl_attr_parse(nlh, sizeof(struct genlmsghdr), family_attr, data);
}

static int features_message(const struct nlmsghdr *nlh, void *data)
{
	return mnl_attr_parse(nlh, sizeof(struct genlmsghdr), features_attr, data);
}

static struct nlmsghdr *genl_request(char *buf, __u16 family, __u8 command)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *genl;

	nlh->nlmsg_type = family;
	genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	genl->cmd = command;
	genl->version = 1;
	return nlh;
}

/* Asking an older kernel would make it look for a module, each time. */
static bool kernel_has_netdev_family(void)
{
	struct utsname kernel;
	int major = 0, minor = 0;

	return !uname(&kernel) && sscanf(kernel.release, "%d.%d", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 3));
}

bool netdev_takes_xdp(const struct netdev *d)
{
	char buf[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *nlh;
	__u64 features = 0;
	__u16 family = 0;

	nlh = genl_request(buf, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, NETDEV_FAMILY);
	if (!kernel_has_netdev_family() ||
	    netlink_ask(NETLINK_GENERIC, nlh, family_message, &family) || !family)
		return strcmp(d->kind, "veth"); /* a veth's peer must be ready for it: unknown */
	nlh = genl_request(buf, family, NETDEV_CMD_GET);
	mnl_attr_put_u32(nlh, NETDEV_ATTR_IFINDEX, d->ifindex);
	if (netlink_ask(NETLINK_GENERIC, nlh, features_message, &features))
		return false;
	return features & NETDEV_FEATURE_NDO_XMIT;
}

static int count_message(const struct nlmsghdr *nlh, void *data)
{
	++*(int *)data;
	return MNL_CB_OK;
}

bool netdev_has_tc_filters(__u32 ifindex)
{
	const __u32 parents[] = {TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
				 TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)};
	char buf[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *nlh;
	struct tcmsg *tcm;
	int n = 0;

	for (int i = 0; i < 2; i++) {
		nlh = mnl_nlmsg_put_header(buf);
		nlh->nlmsg_type = RTM_GETTFILTER;
		nlh->nlmsg_flags = NLM_F_DUMP;
		tcm = mnl_nlmsg_put_extra_header(nlh, sizeof(*tcm));
		tcm->tcm_ifindex = ifindex;
		tcm->tcm_parent = parents[i];
		if (netlink_ask(NETLINK_ROUTE, nlh, count_message, &n))
			return true;
	}
	return n > 0;
}

struct qdisc_search {
	__u32 ifindex;
	bool found;
};

static int clsact_message(const struct nlmsghdr *nlh, void *data)
{
	const struct tcmsg *tcm = mnl_nlmsg_get_payload(nlh);
	struct qdisc_search *search = data;

	search->found |=
		(__u32)tcm->tcm_ifindex == search->ifindex && tcm->tcm_parent == TC_H_CLSACT;
	return MNL_CB_OK;
}

bool netdev_has_clsact(__u32 ifindex)
{
	struct qdisc_search search = {.ifindex = ifindex};
	char buf[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct tcmsg *tcm;

	nlh->nlmsg_type = RTM_GETQDISC;
	nlh->nlmsg_flags = NLM_F_DUMP;
	tcm = mnl_nlmsg_put_extra_header(nlh, sizeof(*tcm));
	tcm->tcm_ifindex = ifindex;
	return !netlink_ask(NETLINK_ROUTE, nlh, clsact_message, &search) && search.found;
}
