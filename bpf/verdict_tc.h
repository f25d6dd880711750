/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The TC hook's one exit. An uplink's frames always go on to the host (those from the
 * wire) or the wire (those from the host) unless a VM is their only destination; a VM
 * port's frames never reach the host but through its uplink.
 */
#ifndef BPF_VERDICT_TC_H
#define BPF_VERDICT_TC_H

#include "flood.h"
#include "frag_hold.h"
#include "nat_cache.h"
#include "nat_hook.h"
#include "reject.h"

static __always_inline bool hook_takes(struct pkt *p, enum verdict v)
{
	return p->in && p->net;
}

/*
 * To one port (v: TO_PORT), or from a VM to the host (TO_HOST): in by the uplink, with the tag
 * that the uplink would show; where the host is a gateway, perhaps further. Returns v or what
 * else becomes of it.
 */
static __always_inline enum verdict to_one(struct pkt *p, enum verdict v)
{
	bool host = v == TO_HOST;
	enum verdict judged;
	__u32 has = p->tag, tag;
	enum reason why;

	if (host) {
		p->out_id = p->net->uplink;
		p->out = bpf_map_lookup_elem(&ports, &p->out_id);
		if (!p->out_id || !p->out)
			return drop(p, DROP_NO_DESTINATION);
		p->out_policy = port_policy(p->out);
	}
	if (egress_policy(p, &tag))
		return DROP;
	why = host ? nat_leave(p) : tc_fits(p->ctx, p->out, p->size);
	if (why)
		return nat_refuse(p, why);
	judged = judge(p, host);
	if (frag_order(p, judged))
		return drop(p, DROP_NO_MEMORY);
	if (judged)
		return judged;
	if (p->nat || (host && p->l3 && p->l3->nat_addr))
		return nat_send(p);
	if (!host && tag == p->tag)
		cache_store(p);
	if (tc_retag(p->ctx, &has, tag))
		return drop(p, DROP_NO_MEMORY);
	if (p->out_policy.uplink) /* to a host that VMs share an address with: as from the wire */
		p->ctx->mark = host && p->out_policy.nat ? MARK_HAIRPIN : MARK_SWITCHED;
	if (!host)
		stats_tx(p->out_id, p->len + (tag ? VLAN_HLEN : 0) - (p->tag ? VLAN_HLEN : 0));
	return v;
}

static __always_inline enum verdict to_all(struct pkt *p)
{
	enum verdict v = judge_all(p);
	enum reason why;
	__u32 copies;

	if (v)
		return v;
	copies = flood(p, p->l3 && judge_wanted_by_some(p), &why);
	if (p->l3 && judge_wanted_by_some(p))
		judge_sent(p->from_host, p->in_id, copies);
	if (!copies && !p->in_policy.uplink)
		return drop(p, why ?: DROP_NO_DESTINATION);
	if (flood_withheld(why))
		stats_reason(p->in_id, why);
	return TO_ALL;
}

/* ---- NAT's short way ---- */

static __always_inline bool hook_complete(struct __sk_buff *skb, __u32 proto, enum sum sum)
{
	return true;
}

static __always_inline int hook_send(struct __sk_buff *skb, __u32 to, __u32 ifindex, bool uplink,
				     bool by_map)
{
	if (uplink)
		skb->mark = MARK_SWITCHED;
	return bpf_redirect(ifindex, 0);
}

/* The frame's headers are made anew in memory, and stored at once; checksums by the kernel, which
 * knows what is left to the hardware. */
static __always_inline int hook_edit(struct __sk_buff *skb, const struct plain *k,
				     const struct nat_edit *e)
{
	__u32 l4 = ETH_HLEN + (k->ip6 ? 40 : 20), check = l4 + (k->proto == IPPROTO_TCP ? 16 : 6);
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u64 zero = k->proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	struct l3 *l = l3_of(false);
	struct nat_sum sum;

	if (!l)
		return -1;
	if (k->ip6) {
		if (data + ETH_HLEN + 44 > end)
			return -1;
		__builtin_memcpy(l->head, data, ETH_HLEN + 44);
		nat_edit_ipv6(l->head, e, &sum);
	} else {
		if (data + ETH_HLEN + 24 > end)
			return -1;
		__builtin_memcpy(l->head, data, ETH_HLEN + 24);
		nat_edit_ipv4(l->head, e, &sum);
	}
	if (bpf_skb_store_bytes(skb, 0, l->head, l3_bound(l4 + 4, L3_HEAD), 0) ||
	    bpf_l4_csum_replace(skb, check, 0, sum.addr, BPF_F_PSEUDO_HDR | zero))
		return -1;
	return sum.port ? bpf_l4_csum_replace(skb, check, 0, sum.port, zero) : 0;
}

static __always_inline bool hook_sends(struct pkt *p, const struct cache_entry *c)
{
	return true;
}

/* A frame that the cache knows. */
static __always_inline int verdict_tc_cached(struct pkt *p, const struct cache_entry *c)
{
	if (c->flags & CACHE_UPLINK)
		p->ctx->mark = MARK_SWITCHED;
	if (!p->from_host)
		stats_rx(c->in_port, p->len);
	stats_tx(c->out_port, p->len);
	return bpf_redirect(c->out_ifindex, 0);
}

static __always_inline int verdict_tc(struct pkt *p, enum verdict v)
{
	bool onward = p->in_policy.uplink && !p->in_policy.gateway, arrived;

	arrived = nat_arrives(p, v);
	if (arrived) {
		v = nat_enter(p);
		onward = v == UPPER;
	}
	if (!p->in || !p->net)
		return TC_ACT_UNSPEC;
	if (v == TO_HOST && p->in_policy.uplink)
		v = UPPER;
	if (v == TO_PORT || v == TO_HOST)
		v = to_one(p, v);
	else if (v == TO_ALL)
		v = to_all(p);

	if (!arrived && (!p->from_host || p->in_policy.gateway))
		stats_rx(p->in_id, p->len);
	else if (onward && !arrived && (v == UPPER || v == TO_ALL || (v == DROP && !p->out)))
		stats_tx(p->in_id, p->len);
	if (v == TO_WIRE || v == TO_NEIGH)
		return nat_redirect(p->ctx, p->from_host, v == TO_NEIGH, p->len);
	if (v == TO_PORT)
		return bpf_redirect(READ_ONCE(p->out->ifindex), 0);
	if (v == TO_HOST)
		return bpf_redirect(READ_ONCE(p->out->ifindex), BPF_F_INGRESS);
	if (v == DROP) {
		if (!onward || !p->from_host || p->out)
			stats_reason(p->in_id, p->reason);
		if (reject_due(p) && (p->out || !onward))
			return reject(p);
		return onward && !(p->from_host && p->out) ? TC_ACT_UNSPEC : TC_ACT_SHOT;
	}
	/* TCX has no TC_ACT_STOLEN: the frame, sent as copies, ends here. */
	return onward ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

#endif
