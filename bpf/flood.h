/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Flooding at TC: a copy to every port of the network that may have one, each with the
 * tag that its port wants (802.1Q, 8.8.2). The frame's own tag is edited between copies.
 */
#ifndef BPF_FLOOD_H
#define BPF_FLOOD_H

#include "nat_away.h"
#include "pipeline.h"

enum flood_kind {
	FLOOD_UNKNOWN, /* unicast to an address that is not in the table */
	FLOOD_MULTICAST,
	FLOOD_BROADCAST,
};

struct flood {
	union port_policy from;
	__u32 in_id;
	__u32 next; /* port id of the next copy */
	__u32 tag;  /* the frame's tag now */
	__u32 inside;
	__u32 len;  /* octets without `tag` */
	__u32 size; /* as pkt.size */
	__u32 copies;
	__u32 why; /* a port did not get its copy: enum reason */
	__u32 vid;
	__u32 uplink; /* port id */
	__u16 kind;   /* enum flood_kind */
	__u8 inner_tag;
	__u8 from_host;
	__u32 mark;   /* the frame's own */
	__u32 judged; /* copies have to be asked for */
};

/* For the loop: the pieces that its body works on. */
struct flood_step {
	struct __sk_buff *skb;
	struct flood *f;
};

/* Makes *tag, the skb's, the wanted one; it is what the skb has also after an error. */
static __always_inline int tc_retag(struct __sk_buff *skb, __u32 *tag, __u32 want)
{
	int err = 0;

	if (*tag == want)
		return 0;
	if (*tag)
		err = bpf_skb_vlan_pop(skb);
	if (err)
		return err;
	*tag = NO_TAG;
	if (want)
		err = bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), want & 0xffff);
	if (!err)
		*tag = want;
	return err;
}

/*
 * Whether a frame of size octets (without its tag) fits the device of a port. GSO frames fit
 * when their segments do; an unknown header is taken as the least TCP one.
 */
static __always_inline enum reason tc_fits(struct __sk_buff *skb, const struct port *to, __u32 size)
{
	bool by_frags = skb->gso_size == GSO_BY_FRAGS;
	__u32 mtu = 0;
	int err;

	if (size <= READ_ONCE(to->frame_max))
		return REASON_NONE;
	if (!READ_ONCE(to->ifindex))
		return DROP_NO_DEVICE;
	if (skb->gso_size && !by_frags)
		return skb->gso_size + ETH_HLEN + 40 > READ_ONCE(to->frame_max) ? DROP_MTU
										: REASON_NONE;
	err = bpf_check_mtu(skb, READ_ONCE(to->ifindex), &mtu,
			    by_frags ? 0 : size - (__s32)skb->len, by_frags ? BPF_MTU_CHK_SEGS : 0);
	return err < 0 ? DROP_NO_DEVICE : err ? DROP_MTU : REASON_NONE;
}

static __always_inline bool flood_wanted(__u16 kind, union port_policy to)
{
	if (kind == FLOOD_BROADCAST)
		return to.bcast_flood;
	return kind == FLOOD_MULTICAST ? to.mcast_flood : to.flood;
}

/* Sends a copy with a tag to a device. Returns 0 or why not. */
static __always_inline enum reason flood_send(struct __sk_buff *skb, struct flood *f, __u32 tag,
					      __u32 ifindex, __u32 mark, __u64 flags)
{
	int err;

	if (tc_retag(skb, &f->tag, tag))
		return DROP_NO_MEMORY;
	skb->mark = mark;
	err = bpf_clone_redirect(skb, ifindex, flags);
	skb->mark = f->mark;
	if (err)
		return DROP_COPY_FAILED;
	f->copies++;
	return REASON_NONE;
}

/* What lists have said of a copy for a port (judge_copies()). */
static __always_inline enum reason flood_judged(__u32 id)
{
	__u32 zero = 0;
	struct judge_withheld *w = bpf_map_lookup_elem(&judge_withheld, &zero);

	return w ? w->why[id & (2 * PORT_MAX - 1)] : DROP_NO_MEMORY;
}

/* The copy for one port. Returns 0 or why there is none. */
static __always_inline enum reason flood_copy(struct __sk_buff *skb, struct flood *f, __u32 id,
					      const struct port *to, union port_policy policy)
{
	enum reason why;
	__u32 tag;

	why = port_separation(f->from, policy)
		      ?: vlan_egress(id, policy, f->vid, f->inside, f->inner_tag, &tag)
		      ?: tc_fits(skb, to, f->size)
		      ?: (f->judged ? flood_judged(id) : REASON_NONE)
		      ?: flood_send(skb, f, tag, READ_ONCE(to->ifindex),
				    policy.uplink ? MARK_SWITCHED : f->mark, 0);
	if (why == REASON_NONE)
		stats_tx(id, f->len + (tag ? VLAN_HLEN : 0));
	else if (why == DROP_COPY_FAILED || why == DROP_MTU || why == DROP_NO_DEVICE ||
		 why == DROP_NO_MEMORY)
		stats_reason(id, why);
	return why;
}

/* Whether a copy was withheld because of who sends it to whom: that counts, once a frame. */
static __always_inline bool flood_withheld(enum reason why)
{
	return why == DROP_ISOLATED || why == DROP_GROUP || why == DROP_ACL_DENY ||
	       why == DROP_ACL_REJECT || why == DROP_POLICY_DENY || why == DROP_BAD_HEADER ||
	       why == DROP_FRAG_FIRST || why == DROP_FRAG_DENIED || why == DROP_FRAG_OVERLAP ||
	       why == DROP_FRAG_TINY;
}

static long flood_port(__u32 i, struct flood_step *step)
{
	struct flood *f = step->f;
	__u32 id = f->next;
	struct port *to = bpf_map_lookup_elem(&ports, &id);
	union port_policy policy;
	enum reason why;

	if (!to || !id)
		return 1;
	f->next = READ_ONCE(to->next);
	policy = port_policy(to);
	if (policy.network != f->from.network || policy.gateway || !flood_wanted(f->kind, policy) ||
	    (id == f->in_id && (f->from_host || !policy.hairpin)))
		return 0;
	why = flood_copy(step->skb, f, id, to, policy);
	if (why && !flood_withheld(f->why))
		f->why = why;
	return 0;
}

/* A copy for the host, as if it had come by the uplink. */
static __always_inline void flood_host(struct __sk_buff *skb, struct flood *f)
{
	__u32 id = f->uplink, tag;
	struct port *uplink = bpf_map_lookup_elem(&ports, &id);

	if (!uplink || !id || id == f->in_id || f->kind == FLOOD_UNKNOWN ||
	    vlan_egress(id, port_policy(uplink), f->vid, f->inside, f->inner_tag, &tag))
		return;
	flood_send(skb, f, tag, READ_ONCE(uplink->ifindex), MARK_SWITCHED, BPF_F_INGRESS);
}

/* Not on the stack: that is small. Place 1 is for what the host sends. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct flood);
} flood_scratch SEC(".maps");

/*
 * Sends all copies; f->copies says how many, f->why what kept a port from its own. Global,
 * so that the verifier reads the loop once.
 */
__noinline int flood_all(struct __sk_buff *skb, __u32 place)
{
	struct flood *f = bpf_map_lookup_elem(&flood_scratch, &place);
	struct flood_step step = {.skb = skb, .f = f};

	if (!f)
		return 0;
	bpf_loop(PORT_MAX, flood_port, &step, 0);
	flood_host(skb, f);
	return 0;
}

/*
 * Floods pkt. Returns the number of copies, and in *why what kept a port from its own. judged:
 * ports have to be asked for whether they take a copy.
 */
static __always_inline __u32 flood(struct pkt *p, bool judged, enum reason *why)
{
	__u32 place = p->from_host;
	struct flood *f = bpf_map_lookup_elem(&flood_scratch, &place);

	*why = REASON_NONE;
	if (!f)
		return 0;
	f->from = p->in_policy;
	f->in_id = p->in_id;
	f->next = p->net->members;
	f->tag = p->tag;
	f->inside = p->inside;
	f->len = p->len - (p->tag ? VLAN_HLEN : 0);
	f->size = p->size;
	f->copies = 0;
	f->why = REASON_NONE;
	f->vid = p->vid;
	f->uplink = p->net->uplink;
	f->kind = p->dst == MAC_MASK ? FLOOD_BROADCAST
		  : p->dst & 1	     ? FLOOD_MULTICAST
				     : FLOOD_UNKNOWN;
	f->inner_tag = p->inner_tag;
	f->from_host = p->from_host;
	f->mark = p->ctx->mark;
	f->judged = judged;
	flood_all(p->ctx, place);
	if (p->in_policy.uplink) /* the frame itself goes on, as it came */
		tc_retag(p->ctx, &f->tag, p->tag);
	*why = f->why;
	return f->copies;
}

#endif
