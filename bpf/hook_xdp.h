/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the stages need to know of the XDP hook: tags are in the data (on a veth: see
 * xdpctl_xdp_veth). */
#ifndef BPF_HOOK_XDP_H
#define BPF_HOOK_XDP_H

#include <linux/bpf.h>

typedef struct xdp_md hook_ctx;

#include "pkt.h"

/* Whether a packet that is rejected can be answered here. */
#define HOOK_ANSWERS 0

static __always_inline void hook_frame(struct xdp_md *ctx, void **data, void **end, __u32 *len)
{
	*data = (void *)(long)ctx->data;
	*end = (void *)(long)ctx->data_end;
	*len = ctx->data_end - ctx->data;
}

static __always_inline __u32 hook_size(struct xdp_md *ctx, __u32 size)
{
	return size;
}

static __always_inline bool hook_is_gso(struct xdp_md *ctx)
{
	return false;
}

/* Octets of payload in the packets that a GSO packet becomes, or 0. */
static __always_inline __u32 hook_segment(struct xdp_md *ctx)
{
	return 0;
}

/* Octets of the frame's data. (Of the edges' difference, clang spills a half: refused by 6.18.) */
static __always_inline __u32 hook_length(struct xdp_md *ctx)
{
	return bpf_xdp_get_buff_len(ctx);
}

/* Copies n octets of the frame. Returns 0, or not: they are not all there. */
static __always_inline long hook_load(struct xdp_md *ctx, __u32 offset, void *to, __u32 n)
{
	return bpf_xdp_load_bytes(ctx, offset, to, n);
}

static __always_inline __u16 hook_tag(struct xdp_md *ctx, __u32 *tag)
{
	return 0;
}

/* Whether the tag of a frame without a second one is in its data. */
static __always_inline bool hook_tagged(const struct pkt *p)
{
	return p->tag;
}

static __always_inline __u32 hook_ifindex(struct xdp_md *ctx)
{
	return ctx->ingress_ifindex;
}

static __always_inline bool hook_for_host(struct pkt *p)
{
	return false;
}

#endif
