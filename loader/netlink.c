// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Requests to the kernel by netlink. */
#include <errno.h>
#include <sys/socket.h>
#include "netlink.h"

struct nlmsghdr *netlink_request(char *buf, __u16 type, __u16 flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = flags;
	return nlh;
}

int netlink_ask(int bus, struct nlmsghdr *request, mnl_cb_t cb, void *data)
{
	struct mnl_socket *nl = mnl_socket_open2(bus, SOCK_CLOEXEC);
	char buf[32768];
	int err = 0;
	ssize_t n;

	if (!nl)
		return -errno;
	request->nlmsg_flags |= NLM_F_REQUEST;
	if ((request->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		request->nlmsg_flags |= NLM_F_ACK;
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) ||
	    mnl_socket_sendto(nl, request, request->nlmsg_len) < 0)
		err = -errno;
	while (!err) {
		n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (n < 0 || (n = mnl_cb_run(buf, n, 0, 0, cb, data)) < 0)
			err = -errno;
		else if (n == MNL_CB_STOP)
			break;
	}
	mnl_socket_close(nl);
	return err;
}
