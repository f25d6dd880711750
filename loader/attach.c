// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Programs: loading them, and putting them on devices. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <xdp/libxdp.h>
#include "attach.h"
#include "err.h"
#include "port.h"
#include "tc.skel.h"
#include "xdp.skel.h"

/* 6.6's bpf.h; the floor's headers are older. */
#define TCX_INGRESS   46
#define TCX_EGRESS    47

#define XDP_PROGRAM   "xdpctl_xdp"
#define XDP_EXTENSION "xdpctl_xdp_ext"
#define TC_HANDLE     0x786470 /* of our filter in a clsact qdisc */
#define TC_PRIORITY   1

static const char *const map_names[MAP_COUNT] = {
#define X(id, name) #name,
	STATE_MAPS(X)
#undef X
};

static bool probe_tcx(void)
{
	struct bpf_insn insns[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K},
				   {.code = BPF_JMP | BPF_EXIT}};
	int prog, err;

	prog = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, NULL, "GPL", insns, 2, NULL);
	if (prog < 0)
		return false;
	err = bpf_link_create(prog, 0x7fffffff, TCX_INGRESS, NULL); /* no such device */
	if (err >= 0)
		close(err);
	close(prog);
	return err == -ENODEV;
}

static bool probe_xdp_features(void)
{
	struct netdev lo;

	/* lo does not take XDP frames; a kernel that cannot tell is taken to say it does. */
	return !netdev_get("lo", 0, &lo) && !netdev_takes_xdp(&lo);
}

const struct features *attach_features(void)
{
	static struct features f;
	static bool known;

	if (!known) {
		f.tcx = probe_tcx();
		f.xdp_dispatcher = libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_EXT, NULL) == 1;
		f.xdp_features = probe_xdp_features();
		if (!f.xdp_dispatcher)
			setenv("LIBXDP_SKIP_DISPATCHER", "1", 1);
		known = true;
	}
	return &f;
}

static __u64 hash(__u64 h, const void *data, size_t n)
{
	for (const unsigned char *c = data; n--; c++) /* FNV-1a */
		h = (h ^ *c) * 0x100000001b3ULL;
	return h;
}

__u64 attach_build(void)
{
	static __u64 build;
	const void *elf;
	size_t n;

	if (!build) {
		elf = tc_bpf__elf_bytes(&n);
		build = hash(0xcbf29ce484222325ULL, elf, n);
		elf = xdp_bpf__elf_bytes(&n);
		build = hash(build, elf, n);
	}
	return build;
}

static int map_index(const char *name)
{
	for (int i = 0; i < MAP_COUNT; i++)
		if (!strcmp(map_names[i], name))
			return i;
	return -1;
}

/* Makes an object use the maps that s has open. */
static int reuse_maps(struct state *s, struct bpf_object *obj)
{
	struct bpf_map *map;
	int err, i;

	bpf_object__for_each_map(map, obj)
	{
		i = map_index(bpf_map__name(map));
		if (i < 0 || s->maps[i] < 0)
			continue;
		err = bpf_map__reuse_fd(map, s->maps[i]);
		if (err)
			return fail(err, "map %s: cannot be taken over: %s", map_names[i],
				    strerror(-err));
	}
	return 0;
}

/* Keeps fds of an object's maps and of a program in s, past the object's end. */
static int keep_maps(struct state *s, struct bpf_object *obj)
{
	struct bpf_map *map;
	int i;

	bpf_object__for_each_map(map, obj)
	{
		i = map_index(bpf_map__name(map));
		if (i < 0 || s->maps[i] >= 0)
			continue;
		s->maps[i] = dup(bpf_map__fd(map));
		if (s->maps[i] < 0)
			return fail(errno, "map %s: %s", map_names[i], strerror(errno));
	}
	return 0;
}

static int keep_prog(int *fd, const struct bpf_program *prog)
{
	int copy = dup(bpf_program__fd(prog));

	if (copy < 0)
		return fail(errno, "program %s: %s", bpf_program__name(prog), strerror(errno));
	if (*fd >= 0)
		close(*fd);
	*fd = copy;
	return 0;
}

static int load_tc(struct state *s, int *gc)
{
	struct tc_bpf *tc = tc_bpf__open();
	int err;

	if (!tc)
		return fail(errno, "TC programs: cannot be opened: %s", strerror(errno));
	err = reuse_maps(s, tc->obj);
	if (!err) {
		err = tc_bpf__load(tc);
		if (err)
			fail(err, "TC programs: the kernel refused them: %s", strerror(-err));
	}
	err = err ?: keep_maps(s, tc->obj);
	err = err ?: keep_prog(&s->progs[PROG_TC_INGRESS], tc->progs.xdpctl_ingress);
	err = err ?: keep_prog(&s->progs[PROG_TC_EGRESS], tc->progs.xdpctl_egress);
	err = err ?: keep_prog(gc, tc->progs.xdpctl_gc);
	tc_bpf__destroy(tc);
	return err;
}

static void xdp_set_frags(struct bpf_program *prog)
{
	bpf_program__set_flags(prog, bpf_program__flags(prog) | BPF_F_XDP_HAS_FRAGS);
}

static int load_xdp(struct state *s)
{
	struct xdp_bpf *xdp = xdp_bpf__open();
	int err;

	if (!xdp)
		return fail(errno, "XDP program: cannot be opened: %s", strerror(errno));
	/*
	 * A devmap's programs must agree on multi-buffer support, and an extension below
	 * libxdp's dispatcher has none of its own (the dispatcher has it): kernel/bpf/core.c,
	 * bpf_prog_map_compatible().
	 */
	if (!attach_features()->xdp_dispatcher)
		xdp_set_frags(xdp->progs.xdpctl_xdp);
	bpf_program__set_autoload(xdp->progs.xdpctl_xdp_ext, false);
	err = reuse_maps(s, xdp->obj);
	if (!err) {
		err = xdp_bpf__load(xdp);
		if (err)
			fail(err, "XDP program: the kernel refused it: %s", strerror(-err));
	}
	err = err ?: keep_prog(&s->progs[PROG_XDP], xdp->progs.xdpctl_xdp);
	xdp_bpf__destroy(xdp);
	return err;
}

int attach_load(struct state *s, int *gc)
{
	return load_tc(s, gc) ?: load_xdp(s);
}

int attach_start_gc(int gc)
{
	unsigned char frame[64] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame));
	int err = bpf_prog_test_run_opts(gc, &opts);

	if (err || opts.retval)
		return fail(err ?: (int)opts.retval, "ageing: cannot be started: %s",
			    strerror(err ? -err : -(int)opts.retval));
	return 0;
}

/* ---- TC ---- */

static void link_path(const struct state *s, __u32 id, bool egress, char *buf, size_t n)
{
	snprintf(buf, n, "%s/link_%s_%u", s->dir, egress ? "tc_egress" : "tc_ingress", id);
}

static void tcx_remove(const struct state *s, __u32 id, bool egress)
{
	char path[128];
	int fd;

	link_path(s, id, egress, path, sizeof(path));
	fd = bpf_obj_get(path);
	if (fd >= 0) {
		bpf_link_detach(fd);
		close(fd);
	}
	unlink(path);
}

static int tcx_attach(const struct state *s, __u32 id, const struct netdev *dev, bool egress)
{
	int prog = s->progs[egress ? PROG_TC_EGRESS : PROG_TC_INGRESS], fd, err = 0;
	char path[128];

	tcx_remove(s, id, egress);
	link_path(s, id, egress, path, sizeof(path));
	fd = bpf_link_create(prog, dev->ifindex, egress ? TCX_EGRESS : TCX_INGRESS, NULL);
	if (fd < 0)
		return fail(fd, "%s: cannot attach by TCX: %s", dev->name, strerror(-fd));
	if (bpf_obj_pin(fd, path))
		err = fail(errno, "%s: cannot pin its link: %s", dev->name, strerror(errno));
	close(fd);
	return err;
}

static int tcx_replace(const struct state *s, __u32 id, bool egress)
{
	int prog = s->progs[egress ? PROG_TC_EGRESS : PROG_TC_INGRESS], fd, err;
	char path[128];

	link_path(s, id, egress, path, sizeof(path));
	fd = bpf_obj_get(path);
	if (fd < 0)
		return fail(errno, "%s: %s", path, strerror(errno));
	err = bpf_link_update(fd, prog, NULL);
	close(fd);
	return err ? fail(err, "%s: cannot replace the program: %s", path, strerror(-err)) : 0;
}

/* Whether a pinned link is there and on the port's device. */
static bool tcx_alive(const struct state *s, __u32 id, const struct port_info *info, bool egress)
{
	struct bpf_link_info link = {};
	__u32 len = sizeof(link);
	char path[128];
	int fd, err;

	link_path(s, id, egress, path, sizeof(path));
	fd = bpf_obj_get(path);
	if (fd < 0)
		return false;
	err = bpf_obj_get_info_by_fd(fd, &link, &len);
	close(fd);
	return !err && link.xdp.ifindex == info->ifindex; /* where tcx.ifindex is, too */
}

static enum bpf_tc_attach_point tc_point(bool egress)
{
	return egress ? BPF_TC_EGRESS : BPF_TC_INGRESS;
}

static bool clsact_alive(const struct port_info *info, bool egress)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = info->ifindex, .attach_point = tc_point(egress));
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY);

	return !bpf_tc_query(&hook, &opts);
}

bool attach_alive(const struct state *s, __u32 id, const struct port_info *info)
{
	if (info->tc_mode == MODE_TCX)
		return tcx_alive(s, id, info, false);
	return info->tc_mode != MODE_CLSACT || clsact_alive(info, false);
}

/* Also replaces the program of a filter that is there. */
static int clsact_attach(const struct state *s, const struct netdev *dev, bool egress)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = dev->ifindex, .attach_point = tc_point(egress));
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY,
		    .prog_fd = s->progs[egress ? PROG_TC_EGRESS : PROG_TC_INGRESS],
		    .flags = BPF_TC_F_REPLACE);
	int err = bpf_tc_hook_create(&hook);

	if (err && err != -EEXIST)
		return fail(err, "%s: cannot add a clsact qdisc: %s", dev->name, strerror(-err));
	err = bpf_tc_attach(&hook, &opts);
	return err ? fail(err, "%s: cannot attach by clsact: %s", dev->name, strerror(-err)) : 0;
}

static void clsact_remove(const struct netdev *dev, bool egress)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = dev->ifindex, .attach_point = tc_point(egress));
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY);

	bpf_tc_detach(&hook, &opts);
}

static void clsact_drop(const struct netdev *dev)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = dev->ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

	if (!netdev_has_tc_filters(dev->ifindex))
		bpf_tc_hook_destroy(&hook);
}

static int tc_attach(struct state *s, __u32 id, struct port_info *info, const struct netdev *dev)
{
	int err;

	if (attach_features()->tcx) {
		info->tc_mode = MODE_TCX;
		err = tcx_attach(s, id, dev, false);
		return err || !info->uplink ? err : tcx_attach(s, id, dev, true);
	}
	info->tc_mode = MODE_CLSACT;
	if (!netdev_has_clsact(dev->ifindex)) {
		info->changed |= PORT_SET_CLSACT;
		err = port_remember_changed(s, id, info->changed);
		if (err)
			return err;
	}
	err = clsact_attach(s, dev, false);
	return err || !info->uplink ? err : clsact_attach(s, dev, true);
}

/* info->tc_mode may lag behind what a dead command did: whatever is there goes. */
static void tc_remove(struct state *s, __u32 id, struct port_info *info, const struct netdev *dev)
{
	tcx_remove(s, id, false);
	tcx_remove(s, id, true);
	if (dev && (info->tc_mode == MODE_CLSACT || !attach_features()->tcx)) {
		clsact_remove(dev, false);
		if (info->uplink)
			clsact_remove(dev, true);
		if (info->changed & PORT_SET_CLSACT)
			clsact_drop(dev);
	}
	info->changed &= ~PORT_SET_CLSACT;
	info->tc_mode = MODE_NONE;
}

/* ---- XDP ---- */

static bool is_ours(struct xdp_program *prog)
{
	const char *name = prog ? xdp_program__name(prog) : NULL;

	return name && (!strcmp(name, XDP_PROGRAM) || !strcmp(name, XDP_EXTENSION));
}

static enum xdp_attach_mode xdp_mode(__u8 mode)
{
	return mode == MODE_GENERIC ? XDP_MODE_SKB : XDP_MODE_NATIVE;
}

/*
 * A program for libxdp: with its dispatcher it must load the program itself, as an
 * extension; otherwise the loaded one is used. *skel is to be destroyed after it.
 */
static struct xdp_program *xdp_program_new(struct state *s, struct xdp_bpf **skel)
{
	DECLARE_LIBXDP_OPTS(xdp_program_opts, opts);
	struct xdp_program *prog;

	if (!attach_features()->xdp_dispatcher) {
		prog = xdp_program__from_fd(s->progs[PROG_XDP]);
		return libxdp_get_error(prog) ? NULL : prog;
	}
	*skel = xdp_bpf__open();
	if (!*skel || reuse_maps(s, (*skel)->obj))
		return NULL;
	bpf_program__set_autoload((*skel)->progs.xdpctl_xdp, false);
	xdp_set_frags((*skel)->progs.xdpctl_xdp_ext);
	opts.obj = (*skel)->obj;
	opts.prog_name = XDP_EXTENSION;
	prog = xdp_program__create(&opts);
	return libxdp_get_error(prog) ? NULL : prog;
}

/* Returns 0 or -errno without a message: whether it matters depends on what was asked for. */
static int xdp_attach(struct state *s, const struct netdev *dev, __u8 mode)
{
	struct xdp_bpf *skel = NULL;
	struct xdp_program *prog = xdp_program_new(s, &skel);
	int err = prog ? xdp_program__attach(prog, dev->ifindex, xdp_mode(mode), 0) : -ENOMEM;

	if (prog)
		xdp_program__close(prog);
	xdp_bpf__destroy(skel);
	return err;
}

/* Takes our programs off a device, but the one with id `keep`. */
static void xdp_remove(__u32 ifindex, __u32 keep)
{
	struct xdp_multiprog *mp = xdp_multiprog__get_from_ifindex(ifindex);
	enum xdp_attach_mode mode;
	struct xdp_program *prog = NULL;

	if (libxdp_get_error(mp))
		return;
	mode = xdp_multiprog__attach_mode(mp);
	if (xdp_multiprog__is_legacy(mp)) {
		prog = xdp_multiprog__main_prog(mp);
		if (is_ours(prog) && xdp_program__id(prog) != keep) {
			LIBBPF_OPTS(bpf_xdp_attach_opts, opts,
				    .old_prog_fd = xdp_program__fd(prog));

			bpf_xdp_detach(ifindex,
				       (mode == XDP_MODE_SKB ? XDP_FLAGS_SKB_MODE
							     : XDP_FLAGS_DRV_MODE) |
					       XDP_FLAGS_REPLACE,
				       &opts);
		}
	} else {
		while ((prog = xdp_multiprog__next_prog(prog, mp)))
			if (is_ours(prog) && xdp_program__id(prog) != keep &&
			    !xdp_program__detach(prog, ifindex, mode, 0))
				break;
	}
	xdp_multiprog__close(mp);
}

/* Which mode our XDP program has on a device, MODE_NONE without one. */
static __u8 xdp_attached(__u32 ifindex)
{
	struct xdp_multiprog *mp = xdp_multiprog__get_from_ifindex(ifindex);
	struct xdp_program *prog = NULL;
	__u8 mode = MODE_NONE;

	if (libxdp_get_error(mp))
		return MODE_NONE;
	while (!mode &&
	       (prog = xdp_multiprog__is_legacy(mp) ? prog ? NULL : xdp_multiprog__main_prog(mp)
						    : xdp_multiprog__next_prog(prog, mp)))
		if (is_ours(prog))
			mode = xdp_multiprog__attach_mode(mp) == XDP_MODE_SKB ? MODE_GENERIC
									      : MODE_NATIVE;
	xdp_multiprog__close(mp);
	return mode;
}

static int xdp_replace(struct state *s, const struct port_info *info)
{
	__u32 flags = info->xdp_mode == MODE_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
	struct xdp_bpf *skel = NULL;
	struct xdp_multiprog *mp;
	struct xdp_program *prog;
	int err;

	mp = xdp_multiprog__get_from_ifindex(info->ifindex);
	if (!libxdp_get_error(mp) && xdp_multiprog__is_legacy(mp)) {
		prog = xdp_multiprog__main_prog(mp);
		LIBBPF_OPTS(bpf_xdp_attach_opts, opts, .old_prog_fd = xdp_program__fd(prog));

		err = !is_ours(prog) ? -EBUSY
				     : bpf_xdp_attach(info->ifindex, s->progs[PROG_XDP],
						      flags | XDP_FLAGS_REPLACE, &opts);
		xdp_multiprog__close(mp);
		return err;
	}
	if (!libxdp_get_error(mp))
		xdp_multiprog__close(mp);
	/* Both run for a moment: the first one's verdict stands. */
	prog = xdp_program_new(s, &skel);
	err = prog ? xdp_program__attach(prog, info->ifindex, xdp_mode(info->xdp_mode), 0)
		   : -ENOMEM;
	if (!err)
		xdp_remove(info->ifindex, xdp_program__id(prog));
	if (prog)
		xdp_program__close(prog);
	xdp_bpf__destroy(skel);
	return err;
}

/* ---- ports ---- */

/*
 * The device settings that forwarding needs. What is to be changed is remembered first, so
 * that it is put back even if this command dies.
 */
static int device_prepare(struct state *s, __u32 id, struct port_info *info,
			  const struct netdev *dev, bool xdp)
{
	__u8 change = 0;
	int err;

	if (netdev_is_virtual_port(dev))
		return 0;
	if (!(dev->flags & IFF_PROMISC))
		change |= PORT_SET_PROMISC;
	if (netdev_offload(dev->name, NETDEV_LRO))
		change |= PORT_SET_LRO;
	if (xdp && netdev_offload(dev->name, NETDEV_RXVLAN))
		change |= PORT_SET_RXVLAN;
	info->changed |= change;
	err = port_remember_changed(s, id, info->changed);
	if (!err && change & PORT_SET_PROMISC)
		err = netdev_set_promisc(dev->name, true);
	if (!err && change & PORT_SET_LRO)
		err = netdev_set_offload(dev->name, NETDEV_LRO, false);
	if (!err && change & PORT_SET_RXVLAN)
		err = netdev_set_offload(dev->name, NETDEV_RXVLAN, false);
	return err;
}

/* Puts back what device_prepare() changed. */
static void device_restore(struct port_info *info, const struct netdev *dev, __u8 which)
{
	which &= info->changed;
	if (dev && which & PORT_SET_PROMISC)
		netdev_set_promisc(dev->name, false);
	if (dev && which & PORT_SET_LRO)
		netdev_set_offload(dev->name, NETDEV_LRO, true);
	if (dev && which & PORT_SET_RXVLAN)
		netdev_set_offload(dev->name, NETDEV_RXVLAN, true);
	info->changed &= ~which;
}

static void PRINTF(2, 3) why(struct port_info *info, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(info->why, sizeof(info->why), fmt, ap);
	va_end(ap);
}

/* Attaches XDP where the hook setting wants it. */
static int xdp_choose(struct state *s, struct port_info *info, const struct netdev *dev)
{
	const char *kind = dev->kind[0] ? dev->kind : "device";
	int err;

	if (info->hook == HOOK_TC) {
		why(info, "hook tc was asked for");
		return 0;
	}
	if (info->hook == HOOK_AUTO && info->offloads) {
		why(info, "%s: TC keeps GSO and checksum offload", kind);
		return 0;
	}
	err = xdp_attach(s, dev, MODE_NATIVE);
	if (!err) {
		info->xdp_mode = MODE_NATIVE;
		why(info, "%s%s has native XDP, TC takes the rest",
		    info->hook == HOOK_XDP ? "hook xdp was asked for; " : "", kind);
		return 0;
	}
	if (err == -EBUSY || err == -EEXIST)
		return info->hook == HOOK_XDP
			       ? fail(EBUSY, "%s: another XDP program is there", dev->name)
			       : (why(info, "another XDP program is on this %s", kind), 0);
	if (info->hook == HOOK_AUTO) {
		why(info, "%s: no native XDP (%s)", kind, strerror(-err));
		return 0;
	}
	err = xdp_attach(s, dev, MODE_GENERIC);
	if (err)
		return fail(err, "%s: cannot attach XDP: %s", dev->name, strerror(-err));
	info->xdp_mode = MODE_GENERIC;
	why(info, "hook xdp was asked for; %s has no native XDP", kind);
	return 0;
}

int attach_port(struct state *s, __u32 id, struct port_info *info, const struct netdev *dev)
{
	struct port_info old = *info;
	bool xdp;
	int err;

	info->offloads = netdev_is_virtual_port(dev);
	xdp = info->hook == HOOK_XDP || (info->hook == HOOK_AUTO && !info->offloads);
	if (xdp_attached(dev->ifindex)) { /* also one that was kept while the device was away */
		xdp_remove(dev->ifindex, 0);
		info->xdp_mode = MODE_NONE;
	}
	err = device_prepare(s, id, info, dev, xdp);
	/* TC first: what XDP hands up must find it. */
	if (!err && !info->tc_mode)
		err = tc_attach(s, id, info, dev);
	if (!err)
		err = xdp_choose(s, info, dev);
	if (err) {
		if (!old.tc_mode)
			tc_remove(s, id, info, dev);
		device_restore(info, dev, ~old.changed);
		if (old.xdp_mode)
			xdp_attach(s, dev, old.xdp_mode);
		*info = old;
		return err;
	}
	if (!info->xdp_mode)
		device_restore(info, dev, PORT_SET_RXVLAN);
	return 0;
}

void attach_remove(struct state *s, __u32 id, struct port_info *info, const struct netdev *dev)
{
	if (dev)
		xdp_remove(dev->ifindex, 0);
	info->xdp_mode = MODE_NONE;
	tc_remove(s, id, info, dev);
	device_restore(info, dev, 0xff);
	info->changed = 0;
}

int attach_repair(struct state *s, __u32 id, struct port_info *info, const struct netdev *dev)
{
	int err = 0;

	if (!attach_features()->tcx) {
		err = tc_attach(s, id, info, dev); /* replaces in place */
	} else {
		info->tc_mode = MODE_TCX;
		for (int egress = 0; egress <= info->uplink && !err; egress++)
			if (!tcx_alive(s, id, info, egress))
				err = tcx_attach(s, id, dev, egress);
	}
	if (err || xdp_attached(dev->ifindex) == info->xdp_mode)
		return err;
	xdp_remove(dev->ifindex, 0);
	if (info->xdp_mode)
		err = xdp_attach(s, dev, info->xdp_mode);
	return err ? fail(err, "%s: cannot attach XDP: %s", dev->name, strerror(-err)) : 0;
}

int attach_replace(struct state *s, __u32 id, const struct port_info *info)
{
	struct netdev dev;
	int err = 0;

	if (!info->ifindex || netdev_get(NULL, info->ifindex, &dev))
		return 0; /* it gets its programs when it comes back */
	if (info->tc_mode == MODE_TCX)
		err = tcx_replace(s, id, false) ?: info->uplink ? tcx_replace(s, id, true) : 0;
	else if (info->tc_mode == MODE_CLSACT)
		err = clsact_attach(s, &dev, false)
			      ?: info->uplink ? clsact_attach(s, &dev, true)
					      : 0;
	if (!err && info->xdp_mode) {
		err = xdp_replace(s, info);
		if (err)
			fail(err, "%s: cannot replace the XDP program: %s", dev.name,
			     strerror(-err));
	}
	return err;
}
