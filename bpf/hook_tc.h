/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the stages need to know of the TC hook: the outer tag may be metadata. */
#ifndef BPF_HOOK_TC_H
#define BPF_HOOK_TC_H

#include <linux/bpf.h>

typedef struct __sk_buff hook_ctx;

#include "pkt.h"

/* Whether a packet that is rejected can be answered here. */
#define HOOK_ANSWERS 1

static __always_inline void hook_frame(struct __sk_buff *skb, void **data, void **end, __u32 *len)
{
	if (skb->data_end - skb->data < ETH_HLEN + VLAN_HLEN)
		bpf_skb_pull_data(skb, skb->len < ETH_HLEN + VLAN_HLEN ? skb->len
								       : ETH_HLEN + VLAN_HLEN);
	*data = (void *)(long)skb->data;
	*end = (void *)(long)skb->data_end;
	*len = skb->len + (skb->vlan_present ? VLAN_HLEN : 0);
}

static __always_inline bool hook_is_gso(struct __sk_buff *skb)
{
	return skb->gso_size;
}

/* Octets of payload in the packets that a GSO packet becomes, or GSO_BY_FRAGS, or 0. */
static __always_inline __u32 hook_segment(struct __sk_buff *skb)
{
	return skb->gso_size;
}

/* What is compared with the largest frame of a device. */
static __always_inline __u32 hook_size(struct __sk_buff *skb, __u32 size)
{
	return skb->gso_size ? skb->gso_size + ETH_HLEN + 40 : size;
}

/* Octets of the frame's data. */
static __always_inline __u32 hook_length(struct __sk_buff *skb)
{
	return skb->len;
}

/* Copies n octets of the frame, wherever they are. Returns 0, or not: they are not all there. */
static __always_inline long hook_load(struct __sk_buff *skb, __u32 offset, void *to, __u32 n)
{
	return bpf_skb_load_bytes(skb, offset, to, n);
}

/* Returns the protocol of a tag in the metadata (network order) or 0. */
static __always_inline __u16 hook_tag(struct __sk_buff *skb, __u32 *tag)
{
	if (!skb->vlan_present)
		return 0;
	*tag = TAG_PRESENT | skb->vlan_tci;
	return skb->vlan_proto;
}

/* Whether the tag of a frame without a second one is in its data. */
static __always_inline bool hook_tagged(const struct pkt *p)
{
	return p->tag && !p->ctx->vlan_present;
}

static __always_inline __u32 hook_ifindex(struct __sk_buff *skb)
{
	return skb->ifindex;
}

/* The wire's frames for the host's own address, also while that is being changed. */
static __always_inline bool hook_for_host(struct pkt *p)
{
	return p->in_policy.uplink && !p->from_host && p->ctx->pkt_type == PACKET_HOST;
}

#endif
