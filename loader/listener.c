// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Sockets that listen, by sock_diag. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include "../maps/flow.h"
#include "addr.h"
#include "err.h"
#include "listener.h"
#include "netlink.h"

struct gather {
	struct listeners list;
	struct listener now; /* the message that is being read */
	bool v6only;
	const struct nlattr *locals; /* SCTP: all its addresses */
};

/* An address as a socket has it: IPv4 ones may be mapped. */
static void read_addr(struct listener *l, const void *octets, bool ipv6)
{
	struct in6_addr a;

	if (!ipv6) {
		addr_pack(l->addr, 4, octets);
		return;
	}
	memcpy(&a, octets, sizeof(a));
	if (IN6_IS_ADDR_V4MAPPED(&a))
		addr_pack(l->addr, 4, a.s6_addr + 12);
	else
		addr_pack(l->addr, 6, a.s6_addr);
}

static int diag_attr(const struct nlattr *attr, void *data)
{
	struct gather *g = data;

	if (mnl_attr_get_type(attr) == INET_DIAG_SKV6ONLY)
		g->v6only = mnl_attr_get_u8(attr);
	if (mnl_attr_get_type(attr) == INET_DIAG_LOCALS)
		g->locals = attr;
	return MNL_CB_OK;
}

static int add(struct gather *g)
{
	struct listener *more = realloc(g->list.at, (g->list.n + 1) * sizeof(*more));

	if (!more) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	g->list.at = more;
	more[g->list.n] = g->now;
	more[g->list.n++].both =
		!addr_given(g->now.addr) && g->now.addr[0] != FLOW_IPV4 && !g->v6only;
	return MNL_CB_OK;
}

/* An SCTP socket may be bound to several addresses. */
static int add_locals(struct gather *g)
{
	const char *at = mnl_attr_get_payload(g->locals);
	int n = mnl_attr_get_payload_len(g->locals), status = MNL_CB_OK;
	struct sockaddr_storage ss;

	for (; n >= (int)sizeof(ss) && status == MNL_CB_OK; n -= sizeof(ss), at += sizeof(ss)) {
		memcpy(&ss, at, sizeof(ss));
		if (ss.ss_family == AF_INET)
			read_addr(&g->now, &((struct sockaddr_in *)&ss)->sin_addr, false);
		else
			read_addr(&g->now, &((struct sockaddr_in6 *)&ss)->sin6_addr, true);
		status = add(g);
	}
	return status;
}

static int diag_message(const struct nlmsghdr *nlh, void *data)
{
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(nlh);
	struct gather *g = data;

	g->v6only = false;
	g->locals = NULL;
	g->now = (struct listener){
		.port = ntohs(m->id.idiag_sport),
		.ifindex = m->id.idiag_if,
	};
	mnl_attr_parse(nlh, sizeof(*m), diag_attr, g);
	if (g->locals)
		return add_locals(g);
	read_addr(&g->now, m->id.idiag_src, m->idiag_family == AF_INET6);
	return add(g);
}

static int read_family(struct gather *g, int family, __u8 proto)
{
	char buf[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *nlh = netlink_request(buf, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
	struct inet_diag_req_v2 *ask = mnl_nlmsg_put_extra_header(nlh, sizeof(*ask));

	ask->sdiag_family = family;
	ask->sdiag_protocol = proto;
	ask->idiag_states = 1 << (proto == IPPROTO_UDP ? TCP_CLOSE : TCP_LISTEN);
	return netlink_ask(NETLINK_SOCK_DIAG, nlh, diag_message, g);
}

int listeners_read(__u8 proto, struct listeners *out)
{
	struct gather g = {};
	int err = 0;

	/* Without the protocol there are none, and asking would load it. */
	if (proto != IPPROTO_SCTP || !access("/proc/net/sctp", F_OK))
		err = read_family(&g, AF_INET, proto);
	if (!err && (proto != IPPROTO_SCTP || !access("/proc/net/sctp", F_OK)))
		err = read_family(&g, AF_INET6, proto);
	if (err) {
		free(g.list.at);
		return fail(err, "sockets of the host: cannot be listed: %s", strerror(-err));
	}
	*out = g.list;
	return 0;
}

void listeners_free(struct listeners *l)
{
	free(l->at);
	*l = (struct listeners){};
}

bool listener_takes(const struct listener *l, const __u64 addr[2], __u32 ifindex)
{
	bool same_family = (l->addr[0] == FLOW_IPV4) == (addr[0] == FLOW_IPV4);

	if (l->ifindex && l->ifindex != ifindex)
		return false;
	if (addr_given(l->addr))
		return addr_equal(l->addr, addr);
	return same_family || (l->both && addr[0] == FLOW_IPV4);
}
