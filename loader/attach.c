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
#include "attach.h"
#include "attach_xdp.h"
#include "err.h"
#include "port.h"
#include "tc.skel.h"

/* 6.6's bpf.h; the floor's headers are older. */
#define TCX_INGRESS 46
#define TCX_EGRESS  47

#define TC_HANDLE   0x786470 /* of our filter in a clsact qdisc */
#define TC_PRIORITY 1

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

/* FNV-1a in words of eight octets: each command reads both objects. */
static __u64 hash(__u64 h, const void *data, size_t n)
{
	const char *at = data;
	__u64 word;

	for (; n; n -= n < sizeof(word) ? n : sizeof(word), at += sizeof(word)) {
		word = n; /* the last one may be cut off */
		memcpy(&word, at, n < sizeof(word) ? n : sizeof(word));
		h = (h ^ word) * 0x100000001b3ULL;
		h ^= h >> 32;
	}
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
		elf = xdp_elf(&n);
		build = hash(build, elf, n);
	}
	return build;
}

static int map_index(const char *name)
{
	for (int i = 0; i < MAP_COUNT; i++)
		if (!strcmp(state_map_names[i], name))
			return i;
	return -1;
}

/* Makes an object use the maps that s has open. */
int attach_reuse_maps(struct state *s, struct bpf_object *obj)
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
			return fail(err, "map %s: cannot be taken over: %s", state_map_names[i],
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
			return fail(errno, "map %s: %s", state_map_names[i], strerror(errno));
	}
	return 0;
}

int attach_keep_prog(int *fd, const struct bpf_program *prog)
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
	err = attach_reuse_maps(s, tc->obj);
	if (!err) {
		err = tc_bpf__load(tc);
		if (err)
			fail(err, "TC programs: the kernel refused them: %s", strerror(-err));
	}
	err = err ?: keep_maps(s, tc->obj);
	err = err ?: attach_keep_prog(&s->progs[PROG_TC_INGRESS], tc->progs.xdpctl_ingress);
	err = err ?: attach_keep_prog(&s->progs[PROG_TC_EGRESS], tc->progs.xdpctl_egress);
	err = err ?: attach_keep_prog(&s->progs[PROG_TC_LOCAL], tc->progs.xdpctl_local);
	err = err ?: attach_keep_prog(&s->progs[PROG_FLOW_FLUSH], tc->progs.xdpctl_flow_flush);
	err = err ?: attach_keep_prog(gc, tc->progs.xdpctl_gc);
	tc_bpf__destroy(tc);
	return err;
}

int attach_load(struct state *s, int *gc)
{
	return load_tc(s, gc) ?: xdp_load(s);
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

/* ---- pinned links ---- */

void attach_link_remove(const char *path)
{
	int fd = bpf_obj_get(path);

	if (fd >= 0) {
		bpf_link_detach(fd);
		close(fd);
	}
	unlink(path);
}

bool attach_link_on(const char *path, __u32 ifindex)
{
	struct bpf_link_info link = {};
	__u32 len = sizeof(link);
	int fd = bpf_obj_get(path), err;

	if (fd < 0)
		return false;
	err = bpf_obj_get_info_by_fd(fd, &link, &len);
	close(fd);
	return !err && link.xdp.ifindex == ifindex; /* where tcx.ifindex is, too */
}

/* ---- TC ---- */

static void link_path(const struct state *s, __u32 id, bool egress, char *buf, size_t n)
{
	snprintf(buf, n, "%s/link_%s_%u", s->dir, egress ? "tc_egress" : "tc_ingress", id);
}

static void tcx_remove(const struct state *s, __u32 id, bool egress)
{
	char path[128];

	link_path(s, id, egress, path, sizeof(path));
	attach_link_remove(path);
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
	char path[128];

	link_path(s, id, egress, path, sizeof(path));
	return attach_link_on(path, info->ifindex);
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

/* ---- ports ---- */

/* Puts back what device_prepare() changed. which: PORT_SET_… */
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
	if (!info->nat_only && !(dev->flags & IFF_PROMISC))
		change |= PORT_SET_PROMISC;
	if (info->nat_only)
		device_restore(info, dev, PORT_SET_PROMISC);
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
	if (!err && change & PORT_SET_RXVLAN && netdev_set_offload(dev->name, NETDEV_RXVLAN, false))
		info->changed &=
			~PORT_SET_RXVLAN; /* fixed: xdp_choose() sees that it is still on */
	return err;
}

static void PRINTF(2, 3) why(struct port_info *info, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(info->why, sizeof(info->why), fmt, ap);
	va_end(ap);
}

/* Attaches XDP where the hook setting wants it. */
static int xdp_choose(struct state *s, __u32 id, struct port_info *info, const struct netdev *dev)
{
	const char *kind = dev->kind[0] ? dev->kind : "device";
	const char *asked = info->hook == HOOK_XDP ? "hook xdp was asked for; " : "";
	__u8 mode = MODE_NATIVE;
	int err;

	if (info->hook == HOOK_TC) {
		why(info, "hook tc was asked for");
		return 0;
	}
	if (info->hook == HOOK_AUTO && info->offloads) {
		why(info, "%s: TC keeps GSO and checksum offload", kind);
		return 0;
	}
	if (!info->offloads && netdev_offload(dev->name, NETDEV_RXVLAN)) {
		why(info, "%s%s hides VLAN tags from XDP (rxvlan cannot be switched off)", asked,
		    kind);
		return 0;
	}
	err = xdp_attach(s, id, dev, mode);
	if (err == -ENOTSUP) {
		why(info, "%s%s may hide VLAN tags from XDP on this kernel (before 6.2)", asked,
		    kind);
		return 0;
	}
	if (err && err != -EBUSY && err != -EEXIST && *asked && strcmp(dev->kind, "veth")) {
		mode = MODE_GENERIC;
		err = xdp_attach(s, id, dev, mode);
	}
	if (err && *asked)
		return fail(err, "%s: cannot attach XDP: %s", dev->name,
			    err == -EBUSY || err == -EEXIST ? "another program is there"
							    : strerror(-err));
	if (err) {
		why(info, "%s: no native XDP (%s)", kind, strerror(-err));
		return 0;
	}
	info->xdp_mode = mode;
	why(info, "%s%s has %s XDP, TC takes the rest", asked, kind,
	    mode == MODE_NATIVE ? "native" : "only generic");
	return 0;
}

int attach_port(struct state *s, __u32 id, struct port_info *info, const struct netdev *dev)
{
	struct port_info old = *info;
	bool xdp;
	int err;

	info->offloads = netdev_is_virtual_port(dev);
	xdp = info->hook == HOOK_XDP || (info->hook == HOOK_AUTO && !info->offloads);
	xdp_remove(s, id, dev);
	info->xdp_mode = MODE_NONE;
	err = device_prepare(s, id, info, dev, xdp);
	/* TC first: what XDP hands up must find it. */
	if (!err && !info->tc_mode)
		err = tc_attach(s, id, info, dev);
	if (!err)
		err = xdp_choose(s, id, info, dev);
	if (err) {
		if (!old.tc_mode)
			tc_remove(s, id, info, dev);
		device_restore(info, dev, ~old.changed);
		port_remember_changed(s, id, old.changed);
		if (old.xdp_mode)
			xdp_attach(s, id, dev, old.xdp_mode);
		*info = old;
		return err;
	}
	if (!info->xdp_mode)
		device_restore(info, dev, PORT_SET_RXVLAN);
	return 0;
}

void attach_remove(struct state *s, __u32 id, struct port_info *info, const struct netdev *dev)
{
	xdp_remove(s, id, dev);
	info->xdp_mode = MODE_NONE;
	tc_remove(s, id, info, dev);
	device_restore(info, dev, 0xff);
	info->changed = 0;
}

int attach_repair(struct state *s, __u32 id, struct port_info *info, const struct netdev *dev)
{
	int err = device_prepare(s, id, info, dev, info->xdp_mode);

	if (err)
		return err;
	if (!attach_features()->tcx) {
		err = tc_attach(s, id, info, dev); /* replaces in place */
	} else {
		info->tc_mode = MODE_TCX;
		for (int egress = 0; egress <= info->uplink && !err; egress++)
			if (!tcx_alive(s, id, info, egress))
				err = tcx_attach(s, id, dev, egress);
	}
	if (!info->xdp_mode)
		device_restore(info, dev, PORT_SET_RXVLAN);
	if (err || xdp_attached(s, id, dev) == info->xdp_mode)
		return err;
	xdp_remove(s, id, dev);
	if (info->xdp_mode)
		err = xdp_attach(s, id, dev, info->xdp_mode);
	return err ? fail(err, "%s: cannot attach XDP: %s", dev->name, strerror(-err)) : 0;
}

/* ---- the host's own packets to itself ---- */

static int local_tcx(const struct state *s, const char *path, __u32 ifindex)
{
	int prog = s->progs[PROG_TC_LOCAL], fd, err = 0;

	if (attach_link_on(path, ifindex)) {
		fd = bpf_obj_get(path);
		err = fd < 0 ? -errno : bpf_link_update(fd, prog, NULL);
	} else {
		attach_link_remove(path);
		fd = bpf_link_create(prog, ifindex, TCX_EGRESS, NULL);
		if (fd < 0)
			err = fd;
		else if (bpf_obj_pin(fd, path))
			err = -errno;
	}
	if (fd >= 0)
		close(fd);
	return err;
}

static int local_clsact(const struct state *s, __u32 ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY,
		    .prog_fd = s->progs[PROG_TC_LOCAL], .flags = BPF_TC_F_REPLACE);
	int err = bpf_tc_hook_create(&hook);

	return err && err != -EEXIST ? err : bpf_tc_attach(&hook, &opts);
}

int attach_local(const struct state *s, bool on)
{
	char path[128];
	struct netdev lo;
	int err = 0;

	snprintf(path, sizeof(path), "%s/link_tc_local", s->dir);
	if (netdev_get("lo", 0, &lo))
		return 0;
	if (on)
		err = attach_features()->tcx ? local_tcx(s, path, lo.ifindex)
					     : local_clsact(s, lo.ifindex);
	else if (attach_features()->tcx)
		attach_link_remove(path);
	else if (netdev_has_clsact(lo.ifindex)) {
		clsact_remove(&lo, true);
		clsact_drop(&lo);
	}
	return err ? fail(err, "lo: cannot attach for forwards: %s", strerror(-err)) : 0;
}

int attach_replace(struct state *s, __u32 id, const struct port_info *info)
{
	struct netdev dev;
	int err = 0;

	/* What is not there is put there when the port is repaired or its device is back. */
	if (info->state != PORT_ACTIVE || !info->ifindex || !attach_alive(s, id, info) ||
	    netdev_get(NULL, info->ifindex, &dev))
		return 0;
	for (int egress = 0; egress <= info->uplink && !err; egress++)
		err = info->tc_mode == MODE_TCX ? tcx_replace(s, id, egress)
						: clsact_attach(s, &dev, egress);
	if (!err && info->xdp_mode) {
		err = xdp_replace(s, id, info->xdp_mode, &dev);
		if (err)
			fail(err, "%s: cannot replace the XDP program: %s", dev.name,
			     strerror(-err));
	}
	return err;
}
