// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The XDP programs: entries only. */
#include "hook_xdp.h"
#include "verdict_xdp.h"

static __always_inline int switch_frame(struct xdp_md *ctx, bool resize)
{
	struct pkt p = {.ctx = ctx};
	enum verdict parsed = parse(&p);
	const struct cache_entry *c = parsed ? NULL : cache_lookup(&p);

	return c ? verdict_xdp_cached(&p, c) : verdict_xdp(&p, pipeline(&p, parsed), resize);
}

SEC("xdp")
int xdpctl_xdp(struct xdp_md *ctx)
{
	return switch_frame(ctx, true);
}

/*
 * Below libxdp's dispatcher: since 6.12.5 (and in stable kernels) an extension may not move
 * a frame's edges when what it replaces does not, as in libxdp 1.3's dispatcher. Frames
 * that gain or lose a tag are TC's there.
 */
SEC("xdp")
int xdpctl_xdp_ext(struct xdp_md *ctx)
{
	return switch_frame(ctx, false);
}

char _license[] SEC("license") = "Dual BSD/GPL";
