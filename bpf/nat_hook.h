/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * NAT in a frame's way through the TC hook: behind the gateway (nat_leave(), nat_send()), and
 * before the host (nat_arrives(), nat_enter()). The other files of NAT do the work.
 */
#ifndef BPF_NAT_HOOK_H
#define BPF_NAT_HOOK_H

#include "flood.h"
#include "frag_hold.h"
#include "nat_host.h"
#include "nat_route.h"

static __always_inline int hook_bind(struct pkt *p)
{
	if (!p->nat && !p->external)
		return REASON_NONE;
	return nat_bind(p->ctx, p->from_host);
}

/* ---- behind the gateway ---- */

/*
 * A VM's packet for the host, which is the gateway of its network: it may go further. Returns
 * REASON_NONE, or why it goes nowhere.
 */
static __always_inline enum reason nat_leave(struct pkt *p)
{
	int way;

	if (!READ_ONCE(p->net->gateway) || p->vid)
		return REASON_NONE;
	if (p->inner_tag)
		return DROP_DOUBLE_TAG;
	if (l3_parse(p) || !p->l3)
		return DROP_NO_MEMORY;
	way = nat_route(p->ctx, p->from_host, p->in_policy.network);
	if (way & NAT_WHY)
		return way & (NAT_WHY - 1);
	p->l3->nat = way;
	p->nat = way != NAT_NONE;
	return REASON_NONE;
}

/* Of what size the packets are that fit the device of the port that a packet leaves by. */
static __always_inline __u32 nat_mtu(const struct pkt *p)
{
	__u32 frame = p->out ? READ_ONCE(p->out->frame_max) : 0;

	return frame > ETH_HLEN ? frame - ETH_HLEN : 0;
}

/* Drops a packet for a reason that its sender is told of, where that is due. */
static __always_inline enum verdict nat_refuse(struct pkt *p, enum reason why)
{
	if (why == DROP_MTU && p->nat && p->l3) {
		p->l3->mtu = p->l3->mtu ?: nat_mtu(p);
		nat_too_big(p->from_host);
	}
	return drop(p, why);
}

/* The next packet that leaves like this one may take the short way. */
static __always_inline void nat_remember(struct pkt *p)
{
	struct nat_network *n = nat_network(p->in_policy.network);
	__u32 uplink = n ? n->uplink : 0;
	struct port *out = bpf_map_lookup_elem(&ports, &uplink);

	if (out && uplink && !port_policy(out).network && p->l3 && p->l3->nat == NAT_OUT && !p->tag)
		cache_store_out(p, out);
}

/* A packet that was judged leaves its network, or enters it. Returns what becomes of it. */
static __always_inline enum verdict nat_send(struct pkt *p)
{
	struct l3 *l = p->l3;
	__u32 tag;
	int why;

	if (!l)
		return drop(p, DROP_NO_MEMORY);
	if (!p->nat) /* the host itself has opened it, by an external endpoint */
		l->nat = NAT_HOST_OUT;
	if (l->flags & L3_ERROR && l->nat != NAT_IN && !nat_error_sound(p->ctx, p->from_host))
		return drop(p, DROP_NAT_PROTOCOL);
	why = nat_translate(p->ctx, p->from_host);
	if (why)
		return nat_refuse(p, why);
	if (l->nat == NAT_HOST_OUT) {
		p->ctx->mark = MARK_SWITCHED;
		return TO_HOST;
	}
	if (l->nat != NAT_IN) {
		if (l->ask != JUDGE_OPEN)
			nat_note(p->from_host, p->src);
		nat_remember(p);
		tag = p->tag;
		if (tc_retag(p->ctx, &tag, NO_TAG))
			return drop(p, DROP_NO_MEMORY);
		return TO_WIRE;
	}
	if (nat_to_vm(p->ctx, p->from_host, p->net->host_mac_raw))
		return drop(p, DROP_NO_MEMORY);
	stats_tx(p->out_id, p->len);
	return TO_PORT;
}

/* ---- before the host ---- */

/* Whether a frame (that would be the host's: v) has to be looked at. VID 0 is no VLAN. */
static __always_inline bool nat_arrives(const struct pkt *p, enum verdict v)
{
	if (!p->in || !p->in_policy.nat || p->from_host || p->tag & VLAN_VID_MASK || p->inner_tag)
		return false;
	if (v != TO_HOST && !(v == UPPER && !p->in_policy.network))
		return false;
	return p->hairpin || p->ctx->pkt_type == PACKET_HOST;
}

/* A packet of a connection becomes as one that the host sends on the network's gateway. */
static __always_inline enum verdict nat_known(struct pkt *p)
{
	__u32 network = p->l3->network;
	struct port *gateway;

	p->net = bpf_map_lookup_elem(&networks, &network);
	if (!p->net)
		return drop(p, DROP_NO_DESTINATION);
	p->in_id = p->net->uplink;
	gateway = bpf_map_lookup_elem(&ports, &p->in_id);
	p->out_id = p->l3->out_id;
	p->out = bpf_map_lookup_elem(&ports, &p->out_id);
	if (!gateway || !p->out || !p->out_id)
		return drop(p, DROP_NO_DESTINATION);
	p->in = gateway;
	p->in_policy = port_policy(gateway);
	p->out_policy = port_policy(p->out);
	if (p->in_policy.network != network || p->out_policy.network != network)
		return drop(p, DROP_NO_DESTINATION);
	p->vid = 0;
	p->inside = NO_TAG;
	p->now = 0;
	return TO_PORT;
}

/* A packet of a connection of the host, that is translated. */
static __always_inline enum verdict nat_to_socket(struct pkt *p)
{
	struct l3 *l = p->l3;

	if (!l)
		return UPPER;
	l->nat = NAT_HOST_IN;
	l->in_id = l->out_id = p->in_id;
	if (!judge_look(p->ctx, true) && l->answers)
		judge_promote(true);
	return nat_rewrite(p->ctx, true) ? drop(p, DROP_NO_MEMORY) : UPPER;
}

/* A frame that the wire sent to the host. Returns UPPER: it is the host's; else what becomes of it.
 */
static __always_inline enum verdict nat_enter(struct pkt *p)
{
	struct nat_addr *a;
	int found, why;

	p->from_host = true;
	stats_rx(p->in_id, p->len);
	if (tc_retag(p->ctx, &p->tag, NO_TAG)) /* a priority tag, which the host does not heed */
		return drop(p, DROP_NO_MEMORY);
	p->offset = ETH_HLEN;
	p->len = p->size;
	if (l3_parse(p) || !p->l3)
		return UPPER;
	found = nat_look(p->ctx, true, hook_ifindex(p->ctx), p->hairpin);
	if (frag_outside(p->ctx, true, p->in_id, found == NAT_KNOWN || found == NAT_OPENS))
		return drop(p, DROP_NO_MEMORY);
	if (found == NAT_NOT_OURS)
		return UPPER;
	p->nat = true;
	p->l3->nat = NAT_IN;
	if (found == NAT_FILTERED)
		return drop(p, DROP_NAT_UNSOLICITED);
	if (found == NAT_TO_HOST)
		return nat_to_socket(p);
	if (found == NAT_KNOWN) {
		a = nat_addr(p->l3->nat_addr);
		if (a && !p->hairpin)
			cache_store_in(p, p->l3->nat_addr, a->addr);
		return nat_known(p);
	}
	why = nat_translate(p->ctx, true);
	return why ? nat_refuse(p, why) : TO_NEIGH;
}

#endif
