// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The XDP program: entry only. */
#include "hook_xdp.h"
#include "verdict_xdp.h"

SEC("xdp.frags")
int xdpctl_xdp(struct xdp_md *ctx)
{
	struct pkt p = {.ctx = ctx};
	enum verdict parsed = parse(&p);
	const struct cache_entry *c = parsed ? NULL : cache_lookup(&p);

	return c ? verdict_xdp_cached(&p, c) : verdict_xdp(&p, pipeline(&p, parsed));
}

char _license[] SEC("license") = "Dual BSD/GPL";
