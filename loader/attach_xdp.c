// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* XDP programs on devices. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <xdp/libxdp.h>
#include "attach.h"
#include "attach_xdp.h"
#include "err.h"
#include "xdp.skel.h"

#define XDP_EXTENSION "xdpctl_xdp_ext"

const void *xdp_elf(size_t *n)
{
	return xdp_bpf__elf_bytes(n);
}

/* Frames in several buffers (a jumbo MTU) are passed on, not refused. */
static void set_frags(struct bpf_program *prog)
{
	bpf_program__set_flags(prog, bpf_program__flags(prog) | BPF_F_XDP_HAS_FRAGS);
}

/* Opens the object on the maps of s, with one of its programs to be loaded. */
static struct xdp_bpf *open_for(struct state *s, const char *name)
{
	struct xdp_bpf *skel = xdp_bpf__open();
	struct bpf_program *prog;

	if (!skel || attach_reuse_maps(s, skel->obj)) {
		xdp_bpf__destroy(skel);
		return NULL;
	}
	bpf_object__for_each_program(prog, skel->obj)
		bpf_program__set_autoload(prog, !strcmp(bpf_program__name(prog), name));
	return skel;
}

int xdp_load(struct state *s)
{
	struct xdp_bpf *skel = open_for(s, "xdpctl_xdp");
	int err;

	if (!skel)
		return fail(errno, "XDP program: cannot be opened: %s", strerror(errno));
	set_frags(skel->progs.xdpctl_xdp);
	err = xdp_bpf__load(skel);
	if (err)
		fail(err, "XDP program: the kernel refused it: %s", strerror(-err));
	err = err ?: attach_keep_prog(&s->progs[PROG_XDP], skel->progs.xdpctl_xdp);
	xdp_bpf__destroy(skel);
	return err;
}

/* ---- by link ---- */

static bool is_veth(const struct netdev *dev)
{
	return !strcmp(dev->kind, "veth");
}

static bool by_link(const struct netdev *dev)
{
	return is_veth(dev) || !attach_features()->xdp_dispatcher;
}

/* Loads the program for veths. Returns its fd, the caller's, or -ENOTSUP. */
static int load_veth(struct state *s)
{
	struct xdp_bpf *skel = open_for(s, "xdpctl_xdp_veth");
	int fd = -1, err;

	if (!skel)
		return -ENOMEM;
	set_frags(skel->progs.xdpctl_xdp_veth);
	err = xdp_bpf__load(skel) ? -ENOTSUP : attach_keep_prog(&fd, skel->progs.xdpctl_xdp_veth);
	xdp_bpf__destroy(skel);
	return err ?: fd;
}

/* The program for a link. Returns its fd, the caller's, or -errno. */
static int link_prog(struct state *s, const struct netdev *dev)
{
	int fd = is_veth(dev) ? load_veth(s) : dup(s->progs[PROG_XDP]);

	return fd < 0 && !is_veth(dev) ? -errno : fd;
}

static void link_path(const struct state *s, __u32 id, char *buf, size_t n)
{
	snprintf(buf, n, "%s/link_xdp_%u", s->dir, id);
}

static int link_open(const struct state *s, __u32 id)
{
	char path[128];

	link_path(s, id, path, sizeof(path));
	return bpf_obj_get(path);
}

static int link_attach(struct state *s, __u32 id, const struct netdev *dev, __u8 mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts,
		    .flags = mode == MODE_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);
	int prog = link_prog(s, dev), fd, err = 0;
	char path[128];

	if (prog < 0)
		return prog;
	fd = bpf_link_create(prog, dev->ifindex, BPF_XDP, &opts);
	close(prog);
	if (fd < 0)
		return fd;
	link_path(s, id, path, sizeof(path));
	if (bpf_obj_pin(fd, path))
		err = -errno;
	close(fd);
	return err;
}

static void link_remove(const struct state *s, __u32 id)
{
	char path[128];

	link_path(s, id, path, sizeof(path));
	attach_link_remove(path);
}

static int link_replace(struct state *s, __u32 id, const struct netdev *dev)
{
	int fd = link_open(s, id), prog, err;

	if (fd < 0)
		return fd;
	prog = link_prog(s, dev);
	err = prog < 0 ? prog : bpf_link_update(fd, prog, NULL);
	if (prog >= 0)
		close(prog);
	close(fd);
	return err;
}

static bool link_alive(const struct state *s, __u32 id, const struct netdev *dev)
{
	char path[128];

	link_path(s, id, path, sizeof(path));
	return attach_link_on(path, dev->ifindex);
}

/* ---- below libxdp's dispatcher ---- */

static bool is_ours(struct xdp_program *prog)
{
	const char *name = xdp_program__name(prog);

	return name && !strcmp(name, XDP_EXTENSION);
}

/* Returns our extension on a device, or NULL; *mp is to be closed after it. */
static struct xdp_program *extension_find(__u32 ifindex, __u32 not_id, struct xdp_multiprog **mp)
{
	struct xdp_program *prog = NULL;

	*mp = xdp_multiprog__get_from_ifindex(ifindex);
	if (libxdp_get_error(*mp)) {
		*mp = NULL;
		return NULL;
	}
	if (xdp_multiprog__is_legacy(*mp))
		return NULL;
	while ((prog = xdp_multiprog__next_prog(prog, *mp)))
		if (is_ours(prog) && xdp_program__id(prog) != not_id)
			break;
	return prog;
}

static void extension_remove(__u32 ifindex, __u32 not_id)
{
	struct xdp_multiprog *mp;
	struct xdp_program *prog = extension_find(ifindex, not_id, &mp);

	if (prog)
		xdp_program__detach(prog, ifindex, xdp_multiprog__attach_mode(mp), 0);
	if (mp)
		xdp_multiprog__close(mp);
}

/* *prog_id: the new program's. */
static int extension_attach(struct state *s, const struct netdev *dev, __u8 mode, __u32 *prog_id)
{
	struct xdp_bpf *skel = open_for(s, XDP_EXTENSION);
	DECLARE_LIBXDP_OPTS(xdp_program_opts, opts, .prog_name = XDP_EXTENSION);
	struct xdp_program *prog;
	int err;

	if (!skel)
		return -ENOMEM;
	set_frags(skel->progs.xdpctl_xdp_ext);
	opts.obj = skel->obj;
	prog = xdp_program__create(&opts);
	err = libxdp_get_error(prog);
	if (!err) {
		err = xdp_program__attach(prog, dev->ifindex,
					  mode == MODE_GENERIC ? XDP_MODE_SKB : XDP_MODE_NATIVE, 0);
		*prog_id = xdp_program__id(prog);
		xdp_program__close(prog);
	}
	xdp_bpf__destroy(skel);
	return err;
}

/* ---- both ---- */

int xdp_attach(struct state *s, __u32 id, const struct netdev *dev, __u8 mode)
{
	__u32 prog_id;

	return by_link(dev) ? link_attach(s, id, dev, mode)
			    : extension_attach(s, dev, mode, &prog_id);
}

void xdp_remove(struct state *s, __u32 id, const struct netdev *dev)
{
	link_remove(s, id);
	if (dev && !by_link(dev))
		extension_remove(dev->ifindex, 0);
}

__u8 xdp_attached(struct state *s, __u32 id, const struct netdev *dev)
{
	struct xdp_multiprog *mp;
	__u8 mode = MODE_NONE;

	if (by_link(dev)) {
		LIBBPF_OPTS(bpf_xdp_query_opts, query);

		if (link_alive(s, id, dev) && !bpf_xdp_query(dev->ifindex, 0, &query))
			mode = query.attach_mode == XDP_ATTACHED_SKB ? MODE_GENERIC : MODE_NATIVE;
		return mode;
	}
	if (extension_find(dev->ifindex, 0, &mp))
		mode = xdp_multiprog__attach_mode(mp) == XDP_MODE_SKB ? MODE_GENERIC : MODE_NATIVE;
	if (mp)
		xdp_multiprog__close(mp);
	return mode;
}

int xdp_replace(struct state *s, __u32 id, __u8 mode, const struct netdev *dev)
{
	__u32 prog_id;
	int err;

	if (by_link(dev))
		return link_replace(s, id, dev);
	/* Both run for a moment: the first one's verdict stands. */
	err = extension_attach(s, dev, mode, &prog_id);
	if (!err)
		extension_remove(dev->ifindex, prog_id);
	return err;
}
