/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Fragments that come before their first one wait for it, at TC: their fate is not known yet.
 * A copy of the frame is kept, and the frame counts as dropped. When the first fragment has
 * been judged, the copies are sent into their port again, and share its fate; what was counted
 * is taken back.
 */
#ifndef BPF_FRAG_HOLD_H
#define BPF_FRAG_HOLD_H

#include "../maps/frag_held.maps.h"
#include "judge.h"
#include "nat_look.h"

/* On frames that come again. */
#define MARK_HELD 0x78647064

static __always_inline bool frag_held_stale(const struct frag_held *h, __u32 now)
{
	return now - h->since > FRAG_HELD_SECS;
}

/* Keeps a copy of the frame whose packet is in l3_scratch[place], if there is room. */
__noinline int frag_hold(struct __sk_buff *skb, __u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	__u32 zero = 0, length = skb->len, now = flow_now();
	struct frag_held *copy = bpf_map_lookup_elem(&frag_buffer, &zero), *there;
	struct frag_held_key key = {};

	if (!l || !copy || length < ETH_HLEN || length > FRAG_HELD_SIZE)
		return -1;
	if (l3_copy(skb, 0, copy->frame, length, FRAG_HELD_SIZE))
		return -1;
	copy->since = now;
	copy->length = length;
	copy->offset = l->offset;
	copy->port = l->in_id;
	frag_key_make(&key.datagram, l);
	for (__u32 way = 0; way < FRAG_HELD_WAYS; way++) {
		key.way = way;
		there = bpf_map_lookup_elem(&frags_held, &key);
		if (!there || frag_held_stale(there, now))
			return bpf_map_update_elem(&frags_held, &key, copy, BPF_ANY);
	}
	return -1;
}

/* The frame becomes `length` octets of a frame. */
static __always_inline int frag_become(struct __sk_buff *skb, const struct frag_held *h,
				       __u32 length)
{
	if (length < ETH_HLEN || length > FRAG_HELD_SIZE)
		return -1;
	return bpf_skb_change_tail(skb, length, 0)
		       ?: bpf_skb_store_bytes(skb, 0, h->frame, l3_bound(length, FRAG_HELD_SIZE),
					      0);
}

/* One fragment that waits is sent into the device again. Returns 0, 1: no more of them. */
static __always_inline int frag_release_one(struct __sk_buff *skb, const struct l3 *l, __u32 way,
					    __u32 ifindex)
{
	struct frag_held_key key = {.way = way};
	struct frag_held *held;
	__u32 mark;

	frag_key_make(&key.datagram, l);
	held = bpf_map_lookup_elem(&frags_held, &key);
	if (!held)
		return 1;
	if (!frag_held_stale(held, flow_now()) && held->port == l->in_id &&
	    held->offset == l->offset && !frag_become(skb, held, held->length)) {
		mark = skb->mark;
		skb->mark = MARK_HELD;
		bpf_clone_redirect(skb, ifindex, BPF_F_INGRESS);
		skb->mark = mark;
	}
	bpf_map_delete_elem(&frags_held, &key);
	return 0;
}

/*
 * The fragments that wait for the one in l3_scratch[place] are sent into the device again; the
 * frame serves as their carrier meanwhile. Returns 0, or -1: the frame is lost.
 */
__noinline int frag_release(struct __sk_buff *skb, __u32 place, __u32 ifindex)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	__u32 zero = 0, length = skb->len, way;
	struct frag_held *first = bpf_map_lookup_elem(&frag_buffer, &zero);

	if (!l || !first || length < ETH_HLEN || length > FRAG_HELD_SIZE)
		return 0;
	if (l3_copy(skb, 0, first->frame, length, FRAG_HELD_SIZE))
		return 0;
	for (way = 0; way < FRAG_HELD_WAYS; way++)
		if (frag_release_one(skb, l, way, ifindex))
			break;
	return way ? frag_become(skb, first, length) : 0;
}

/*
 * Fragments from the wire are the VM's that gets the first one: they wait likewise, by their
 * addresses outside; but the host gets them as well, for they may be its own. Returns 0, -1: the
 * frame is lost.
 */
__noinline int frag_outside(struct __sk_buff *skb, __u32 place, __u32 port, __u32 ours)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	__u64 dst[2];
	__u32 network;
	int lost = 0;

	if (!l || !(l->flags & L3_FRAG) || l->flags & L3_BAD)
		return 0;
	dst[0] = l->key.dst[0];
	dst[1] = l->key.dst[1];
	network = l->network;
	l->in_id = port;
	l->network = NAT_SPACE_NETWORK;
	l->vid = NAT_SPACE_VID;
	if (ours && !(l->flags & L3_FRAG_LATER)) {
		nat_external_dst(l);
		lost = frag_release(skb, place, skb->ifindex);
	} else if (!ours && l->flags & L3_FRAG_LATER && nat_slot(l->key.dst, l->family)) {
		frag_hold(skb, place);
	}
	l->key.dst[0] = dst[0];
	l->key.dst[1] = dst[1];
	l->network = network;
	l->vid = 0;
	return lost;
}

/* A frame that comes again: what was counted when it was kept is taken back. */
static __always_inline void frag_again(__u32 ifindex, __u32 len)
{
	__u32 port = port_by_ifindex(ifindex);
	struct port_stats *s = bpf_map_lookup_elem(&port_stats, &port);
	struct port_drops *d = bpf_map_lookup_elem(&port_drops, &port);
	struct port *p = bpf_map_lookup_elem(&ports, &port);
	bool nat = p && port_policy(p).nat;

	if (!s || !d)
		return;
	s->rx_packets--;
	s->rx_bytes -= len;
	if (!nat) /* there it was not counted as dropped */
		d->count[DROP_FRAG_FIRST]--;
}

/* After a packet was judged: keeps it, or sends what waited for it. Returns 0, -1: it is lost. */
static __always_inline int frag_order(struct pkt *p, enum verdict v)
{
	const struct l3 *l = p->l3;

	if (!l || !(l->flags & L3_FRAG) || p->from_host || l->flags & L3_GROUP)
		return 0;
	if (!(l->flags & L3_FRAG_LATER))
		return frag_release(p->ctx, p->from_host, READ_ONCE(p->in->ifindex));
	if (v == DROP && p->reason == DROP_FRAG_FIRST)
		frag_hold(p->ctx, p->from_host);
	return 0;
}

#endif
