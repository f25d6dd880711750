/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * XDP programs on devices: below libxdp's dispatcher where the kernel has what it needs, so
 * that other programs may share a NIC, else by a pinned link. A veth always has a link, and a
 * program of its own (bpf/xdp.bpf.c).
 *
 * Functions return 0 or -errno without a message: what a failure means depends on the setting.
 */
#ifndef LOADER_ATTACH_XDP_H
#define LOADER_ATTACH_XDP_H

#include <stddef.h>
#include "netdev.h"
#include "state.h"

/* The object file that is built in. */
const void *xdp_elf(size_t *n);
/* Loads the program for test runs and for devices without the dispatcher (with a message). */
int xdp_load(struct state *s);
/* mode: MODE_NATIVE or MODE_GENERIC. -ENOTSUP: not safe on this kernel. */
int xdp_attach(struct state *s, __u32 id, const struct netdev *dev, __u8 mode);
/* Takes ours away; dev may be NULL when it is gone. */
void xdp_remove(struct state *s, __u32 id, const struct netdev *dev);
/* The mode of ours, MODE_NONE without one. */
__u8 xdp_attached(struct state *s, __u32 id, const struct netdev *dev);
/* Ours becomes this build's, without a gap. */
int xdp_replace(struct state *s, __u32 id, __u8 mode, const struct netdev *dev);

#endif
