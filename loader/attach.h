/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Programs: loading them, and putting them on devices: XDP by libxdp (its dispatcher where
 * the kernel has what it needs), TC by TCX links, or clsact before 6.6.
 */
#ifndef LOADER_ATTACH_H
#define LOADER_ATTACH_H

#include "netdev.h"
#include "state.h"

struct features {
	bool tcx;
	bool xdp_dispatcher;
	bool xdp_features; /* the kernel tells which devices take XDP frames */
};
/* What this kernel has; found out once. */
const struct features *attach_features(void);

/* Identifies this build's programs. */
__u64 attach_build(void);

/*
 * Loads this build's programs into s->progs. Maps that s has open are used; the others are
 * made and opened. *gc: an fd of the program that starts ageing, the caller's to close.
 */
int attach_load(struct state *s, int *gc);
/* Makes an object use the maps that s has open. */
struct bpf_object;
int attach_reuse_maps(struct state *s, struct bpf_object *obj);
/* Replaces *fd by one of a loaded program that outlives its object. */
struct bpf_program;
int attach_keep_prog(int *fd, const struct bpf_program *prog);
/* Takes a pinned link off its device, also one that is in another namespace by now. */
void attach_link_remove(const char *path);
/* Whether a pinned TCX or XDP link is on a device. */
bool attach_link_on(const char *path, __u32 ifindex);
/* Starts or takes over the ageing timer. */
int attach_start_gc(int gc);

/*
 * Puts the programs that a port's hook setting asks for on its device, taking away those
 * that it does not, and changing the device's settings as needed: what and why goes to
 * info (xdp_mode, tc_mode, changed, why, offloads). Nothing stays changed on failure.
 */
int attach_port(struct state *s, __u32 id, struct port_info *info, const struct netdev *dev);
/* Undoes it. A device that is gone (dev NULL) only loses its pins. */
void attach_remove(struct state *s, __u32 id, struct port_info *info, const struct netdev *dev);
/*
 * After a command died: makes what is attached agree with what info remembers. Programs that
 * are where they should be stay.
 */
int attach_repair(struct state *s, __u32 id, struct port_info *info, const struct netdev *dev);
/* Whether a port's TC programs are still on its device: they die with a device, also when
 * a new one gets its name and index. */
bool attach_alive(const struct state *s, __u32 id, const struct port_info *info);
/* Puts the program that forwards what the host sends to itself on lo, or takes it away. */
int attach_local(const struct state *s, bool on);
/* The port's programs become s->progs, without a gap. */
int attach_replace(struct state *s, __u32 id, const struct port_info *info);

#endif
