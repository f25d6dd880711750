// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The XDP programs: entries only. */
#include "hook_xdp.h"
#include "verdict_xdp.h"
#include <bpf/bpf_core_read.h>

/* A frame that the cache knows the way of. Returns the action, or -1: it takes the whole way. */
static __always_inline int switch_known(struct xdp_md *ctx, enum xdp_kind kind, enum sum sum)
{
	struct pkt p = {.ctx = ctx, .sum = sum};
	const struct cache_entry *c = parse(&p) || p.inner_tag ? NULL : cache_lookup(&p);
	enum verdict v;

	if (!c)
		return -1;
	if (c->flags & (CACHE_OUT | CACHE_IN))
		return nat_short(&p, c, kind == XDP_WHOLE);
	v = short_way(&p, c);
	if (v == CONTINUE)
		return -1;
	return v == TO_PORT ? verdict_xdp_cached(&p, c, kind) : XDP_PASS;
}

static __always_inline int switch_frame(struct xdp_md *ctx, enum xdp_kind kind, enum sum sum)
{
	int action = switch_known(ctx, kind, sum);
	struct pkt p = {};

	if (action >= 0)
		return action;
	p.ctx = anew(ctx);
	p.sum = sum;
	return verdict_xdp(&p, pipeline(&p), kind);
}

/* A frame in several buffers is TC's: not every device can be sent one from here. */
static __always_inline bool in_pieces(struct xdp_md *ctx)
{
	return bpf_xdp_get_buff_len(ctx) != ctx->data_end - ctx->data;
}

SEC("xdp")
int xdpctl_xdp(struct xdp_md *ctx)
{
	return in_pieces(ctx) ? XDP_PASS : switch_frame(ctx, XDP_WHOLE, SUM_UNKNOWN);
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
	return in_pieces(ctx) ? XDP_PASS : switch_frame(ctx, XDP_EXTENSION, SUM_UNKNOWN);
}

/* Of the kernel's own types, what is read here; offsets and type ids are relocated at load. */
struct xdp_buff {
	__u32 flags;
} __attribute__((preserve_access_index));
#define CHECKSUM_PARTIAL 3 /* in sk_buff.ip_summed */
enum xdp_buff_flags {
	XDP_FLAGS_HAS_FRAGS = 1,
};
struct sk_buff___veth {
	__u32 vlan_all; /* not 0: there is a tag (since 6.2) */
	__u8 ip_summed : 2;
} __attribute__((preserve_access_index));
struct sk_buff_list {
	struct sk_buff___veth *next;
} __attribute__((preserve_access_index));

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym __weak;	   /* since 6.2 */
extern void *bpf_rdonly_cast(void *obj, __u32 type) __ksym __weak; /* since 6.2 */

/*
 * On a veth, whose peer may leave a tag in the skb's metadata (its tx-vlan-offload): such a
 * frame looks untagged here. And the skb says whether a checksum is left to the hardware: that
 * is put in *sum; of a frame that is no skb none can be. The driver hands its programs an
 * xdp_buff that the skb's address follows (drivers/net/veth.c, struct veth_xdp_buff), NULL for a
 * frame that is no skb; veth may be a module, so its type is not named: that of a queue of skbs
 * begins with an address of one, too. The kernel guards what a cast pointer reads.
 * bpf_xdp_metadata_rx_vlan_tag() would tell as well, but only a program bound to its device may
 * call it, and on 6.18 those crash the kernel when their device's namespace goes away.
 *
 * There are no helpers in it (nor in the look for more buffers): where returns are mitigated,
 * a call takes longer than all the rest.
 */
static __always_inline bool veth_leaves(struct xdp_md *ctx, enum sum *sum)
{
	struct xdp_buff *buff = bpf_cast_to_kern_ctx(ctx);
	struct sk_buff_list *behind;
	struct sk_buff___veth *skb;

	if (buff->flags & bpf_core_enum_value(enum xdp_buff_flags, XDP_FLAGS_HAS_FRAGS))
		return true;
	behind = bpf_rdonly_cast((void *)buff + bpf_core_type_size(struct xdp_buff),
				 bpf_core_type_id_kernel(struct sk_buff_list));
	skb = behind->next;
	*sum = skb && BPF_CORE_READ_BITFIELD(skb, ip_summed) == CHECKSUM_PARTIAL ? SUM_LEFT
										 : SUM_DONE;
	return skb && skb->vlan_all;
}

SEC("xdp")
int xdpctl_xdp_veth(struct xdp_md *ctx)
{
	enum sum sum;

	return veth_leaves(ctx, &sum) ? XDP_PASS : switch_frame(ctx, XDP_WHOLE, sum);
}

char _license[] SEC("license") = "Dual BSD/GPL";
