// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The XDP programs: entries only. */
#include "hook_xdp.h"
#include "verdict_xdp.h"
#include <bpf/bpf_core_read.h>

static __always_inline int switch_frame(struct xdp_md *ctx, enum xdp_kind kind)
{
	struct pkt p = {.ctx = ctx};
	enum verdict parsed = parse(&p);
	const struct cache_entry *c = parsed ? NULL : cache_lookup(&p);

	if (c && !(c->flags & CACHE_XDP))
		return XDP_PASS;
	if (c && !judge_cached(&p, c))
		c = NULL;
	return c ? verdict_xdp_cached(&p, c, kind) : verdict_xdp(&p, pipeline(&p, parsed), kind);
}

SEC("xdp")
int xdpctl_xdp(struct xdp_md *ctx)
{
	return switch_frame(ctx, XDP_WHOLE);
}

/*
 * Below libxdp's dispatcher, where an extension may not do all that a program may. Since 6.12
 * it may not move a frame's edges when what it replaces does not, as in libxdp 1.3's dispatcher:
 * frames that gain or lose a tag are TC's. And it has no multi-buffer support of its own (the
 * dispatcher has it), in which the users of a devmap must agree (kernel/bpf/core.c,
 * bpf_prog_map_compatible()): it redirects by device.
 */
SEC("xdp")
int xdpctl_xdp_ext(struct xdp_md *ctx)
{
	return switch_frame(ctx, XDP_EXTENSION);
}

/* Of the kernel's own types, what tells of a tag in an skb; offsets are relocated at load. */
struct xdp_buff {
} __attribute__((preserve_access_index));
struct sk_buff___tag {
	__u32 vlan_all; /* not 0: there is a tag (since 6.2) */
} __attribute__((preserve_access_index));

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym __weak; /* since 6.2 */

/*
 * On a veth, whose peer may leave a tag in the skb's metadata (its tx-vlan-offload): such a
 * frame looks untagged here. The driver hands its programs an xdp_buff that the skb's address
 * follows (drivers/net/veth.c, struct veth_xdp_buff); NULL for a frame that is no skb.
 * bpf_xdp_metadata_rx_vlan_tag() would tell as well, but only a program bound to its device may
 * call it, and on 6.18 those crash the kernel when their device's namespace goes away.
 */
static __always_inline bool veth_has_tag(struct xdp_md *ctx)
{
	void *buff = bpf_cast_to_kern_ctx(ctx);
	struct sk_buff___tag *skb = NULL;
	__u32 tag = 0;

	bpf_probe_read_kernel(&skb, sizeof(skb), buff + bpf_core_type_size(struct xdp_buff));
	if (skb)
		bpf_core_read(&tag, sizeof(tag), &skb->vlan_all);
	return tag;
}

SEC("xdp")
int xdpctl_xdp_veth(struct xdp_md *ctx)
{
	return veth_has_tag(ctx) ? XDP_PASS : switch_frame(ctx, XDP_WHOLE);
}

char _license[] SEC("license") = "Dual BSD/GPL";
