/*
 * redirect NETNS {xdp|tc|pass} DEV1 DEV2
 *
 * Connects two devices by the bare forwarders of redirect.bpf.c, both ways
 * (pass: only attaches a program to both that lets everything through). The
 * programs are attached without a link and stay until the devices go.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdbool.h>

#include "redirect.skel.h"
#include "util.h"

#define TCX_INGRESS 46 /* BPF_TCX_INGRESS, which Debian 12's headers lack */

static void attach_tc(int fd, uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = fd);
	int err;

	if (!bpf_prog_attach(fd, (int)ifindex, (enum bpf_attach_type)TCX_INGRESS, 0))
		return;
	err = bpf_tc_hook_create(&hook); /* before Linux 6.6 */
	if (!err)
		err = bpf_tc_attach(&hook, &opts);
	check(err, "attach to clsact");
}

/* Attaches to a device that has no XDP program; false: it has one. */
static bool attach_xdp(int fd, uint32_t ifindex)
{
	int err = bpf_xdp_attach((int)ifindex, fd, XDP_FLAGS_DRV_MODE | XDP_FLAGS_UPDATE_IF_NOEXIST,
				 NULL);

	check(err && err != -EBUSY && err != -EEXIST, "attach XDP");
	return !err;
}

/* Has all that enters @in leave by @out, as @how says. */
static void connect_ports(const char *how, uint32_t in, uint32_t out)
{
	struct redirect_bpf *skel = redirect_bpf__open();
	uint32_t key = 0;
	int err;

	check(!skel, "open BPF object");
	skel->rodata->out_ifindex = out;
	check(redirect_bpf__load(skel), "load BPF object");
	err = bpf_map_update_elem(bpf_map__fd(skel->maps.out), &key, &out, 0);
	check(err, "fill the device map");

	if (!strcmp(how, "xdp"))
		check(!attach_xdp(bpf_program__fd(skel->progs.redirect_xdp), in), "attach XDP");
	else if (!strcmp(how, "tc"))
		attach_tc(bpf_program__fd(skel->progs.redirect_tc), in);
	else
		attach_xdp(bpf_program__fd(skel->progs.pass), in); /* or has NAPI already */
	redirect_bpf__destroy(skel);
}

int main(int argc, char **argv)
{
	uint32_t port[2];

	if (argc != 5 ||
	    (strcmp(argv[2], "xdp") && strcmp(argv[2], "tc") && strcmp(argv[2], "pass"))) {
		fprintf(stderr, "usage: %s NETNS {xdp|tc|pass} DEV1 DEV2\n", argv[0]);
		return 2;
	}
	netns_enter(argv[1]);
	for (int i = 0; i < 2; i++) {
		port[i] = if_nametoindex(argv[3 + i]);
		check(!port[i], argv[3 + i]);
	}
	connect_ports(argv[2], port[0], port[1]);
	connect_ports(argv[2], port[1], port[0]);
	return 0;
}
