// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* IP addresses of devices, by rtnetlink. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include "../maps/flow.h"
#include "addr.h"
#include "err.h"
#include "netaddr.h"
#include "netlink.h"

/* Far destinations (two root servers): what is asked for is the route, nothing is sent. */
#define FAR4 "198.41.0.4"
#define FAR6 "2001:503:ba3e::2:30"

struct gather {
	struct netaddrs list;
	struct netaddr now; /* the message that is being read */
	bool local;
};

static int address_attr(const struct nlattr *attr, void *data)
{
	struct gather *g = data;
	__u16 n = mnl_attr_get_payload_len(attr);

	if (n > sizeof(g->now.address.addr))
		n = sizeof(g->now.address.addr);
	switch (mnl_attr_get_type(attr)) {
	case IFA_LOCAL: /* differs from IFA_ADDRESS on point-to-point links */
		memcpy(g->now.address.addr, mnl_attr_get_payload(attr), n);
		g->local = true;
		break;
	case IFA_ADDRESS:
		memcpy(g->now.peer.addr, mnl_attr_get_payload(attr), n);
		break;
	case IFA_FLAGS:
		g->now.flags = mnl_attr_get_u32(attr);
		break;
	}
	return MNL_CB_OK;
}

static int address_message(const struct nlmsghdr *nlh, void *data)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	struct gather *g = data;
	struct netaddr *more;

	if (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6)
		return MNL_CB_OK;
	g->local = false;
	g->now = (struct netaddr){
		.ifindex = ifa->ifa_index,
		.flags = ifa->ifa_flags,
		.scope = ifa->ifa_scope,
		.peer = {.family = ifa->ifa_family == AF_INET ? 4 : 6, .len = ifa->ifa_prefixlen},
	};
	g->now.address = g->now.peer;
	mnl_attr_parse(nlh, sizeof(*ifa), address_attr, g);
	if (!g->local)
		g->now.address = g->now.peer;
	more = realloc(g->list.at, (g->list.n + 1) * sizeof(*more));
	if (!more) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	g->list.at = more;
	more[g->list.n++] = g->now;
	return MNL_CB_OK;
}

int netaddrs_read(struct netaddrs *out)
{
	char buf[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *nlh = netlink_request(buf, RTM_GETADDR, NLM_F_DUMP);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	struct gather g = {};
	int err;

	ifa->ifa_family = AF_UNSPEC;
	err = netlink_ask(NETLINK_ROUTE, nlh, address_message, &g);
	if (err) {
		free(g.list.at);
		return fail(err, "addresses: cannot be read: %s", strerror(-err));
	}
	*out = g.list;
	return 0;
}

void netaddrs_free(struct netaddrs *l)
{
	free(l->at);
	*l = (struct netaddrs){};
}

bool netaddr_usable(const struct netaddr *a)
{
	return a->scope == RT_SCOPE_UNIVERSE && !(a->flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) &&
	       !(a->address.family == 4 && a->address.addr[0] == 127);
}

int netaddr_add(__u32 ifindex, const struct prefix *a)
{
	char buf[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *nlh = netlink_request(buf, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	__u8 n = a->family == 4 ? 4 : 16;
	struct prefix last = *a;

	ifa->ifa_family = a->family == 4 ? AF_INET : AF_INET6;
	ifa->ifa_prefixlen = a->len;
	ifa->ifa_scope = RT_SCOPE_UNIVERSE;
	ifa->ifa_index = ifindex;
	mnl_attr_put(nlh, IFA_LOCAL, n, a->addr);
	mnl_attr_put(nlh, IFA_ADDRESS, n, a->addr);
	if (a->family == 6)
		mnl_attr_put_u32(nlh, IFA_FLAGS, IFA_F_NODAD);
	for (int bit = a->len; a->family == 4 && bit < 32; bit++)
		last.addr[bit / 8] |= 0x80 >> bit % 8;
	if (a->family == 4)
		mnl_attr_put(nlh, IFA_BROADCAST, n, last.addr);
	return netlink_ask(NETLINK_ROUTE, nlh, NULL, NULL);
}

/* ---- which one the kernel prefers ---- */

static int source_attr(const struct nlattr *attr, void *data)
{
	struct prefix *p = data;
	__u16 n = mnl_attr_get_payload_len(attr);

	if (mnl_attr_get_type(attr) == RTA_PREFSRC && n == (p->family == 4 ? 4 : 16))
		memcpy(p->addr, mnl_attr_get_payload(attr), n);
	return MNL_CB_OK;
}

static int source_message(const struct nlmsghdr *nlh, void *data)
{
	return mnl_attr_parse(nlh, sizeof(struct rtmsg), source_attr, data);
}

/* The source address of the route that leads far away by the device. */
static int route_source(__u32 ifindex, struct prefix *out)
{
	char buf[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *nlh = netlink_request(buf, RTM_GETROUTE, 0);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	__u8 far[16];

	rtm->rtm_family = out->family == 4 ? AF_INET : AF_INET6;
	rtm->rtm_dst_len = out->family == 4 ? 32 : 128;
	inet_pton(rtm->rtm_family, out->family == 4 ? FAR4 : FAR6, far);
	mnl_attr_put(nlh, RTA_DST, rtm->rtm_dst_len / 8, far);
	mnl_attr_put_u32(nlh, RTA_OIF, ifindex);
	return netlink_ask(NETLINK_ROUTE, nlh, source_message, out);
}

void netaddr_preferred(const struct netaddrs *l, __u32 ifindex, __u8 family, __u64 out[2])
{
	struct prefix source = {.family = family};
	const struct netaddr *first = NULL;

	if (route_source(ifindex, &source))
		memset(source.addr, 0, sizeof(source.addr));
	for (__u32 i = 0; i < l->n; i++) {
		const struct netaddr *a = &l->at[i];

		if (a->ifindex != ifindex || a->address.family != family || !netaddr_usable(a))
			continue;
		if (!memcmp(a->address.addr, source.addr, sizeof(source.addr))) {
			first = a;
			break;
		}
		if (!first || (first->flags & (IFA_F_DEPRECATED | IFA_F_TEMPORARY)))
			first = a;
	}
	if (first)
		source = first->address;
	else
		memset(source.addr, 0, sizeof(source.addr));
	addr_pack(out, family, source.addr);
}
