/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * NAT in a frame's way through the TC hook: behind the gateway (nat_leave(), nat_send()), and
 * before the host (nat_arrives(), nat_enter()). bpf/nat.h does the work.
 */
#ifndef BPF_NAT_HOOK_H
#define BPF_NAT_HOOK_H

#include "flood.h"
#include "nat.h"

/*
 * On frames that go from one external endpoint to another, into the uplink; and, with the endpoint
 * that they were sent to (slot 16, port 0), on those that the kernel finds the VM for.
 */
#define MARK_HAIRPIN	   0x78647065
#define MARK_EXTERNAL	   0x78000000
#define MARK_EXTERNAL_MASK 0xff000000

/* The external endpoint in a mark, slot 16 | port 16; or 0: it is not one of ours. */
static __always_inline __u32 nat_marked(__u32 mark)
{
	__u32 external = mark & ~MARK_EXTERNAL_MASK;

	if ((mark & MARK_EXTERNAL_MASK) != MARK_EXTERNAL || external >> 16 >= NAT_ADDRS)
		return 0;
	return external >> 16 ? external : 0;
}

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

	if (!READ_ONCE(p->net->gateway) || p->vid || p->inner_tag || l3_parse(p) || !p->l3)
		return REASON_NONE;
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

	if (out && uplink && p->l3 && p->l3->nat == NAT_OUT && !p->tag)
		cache_store_out(p, out);
}

/* A packet that was judged leaves its network, or enters it. Returns what becomes of it. */
static __always_inline enum verdict nat_send(struct pkt *p)
{
	int why = nat_translate(p->ctx, p->from_host);
	struct l3 *l = p->l3;

	if (why || !l)
		return nat_refuse(p, why);
	if (l->nat != NAT_IN) {
		nat_note(p->from_host, p->src);
		nat_remember(p);
		return TO_WIRE;
	}
	if (nat_to_vm(p->ctx, p->from_host, p->net->host_mac_raw))
		return drop(p, DROP_NO_MEMORY);
	stats_tx(p->out_id, p->len);
	return TO_PORT;
}

/* ---- before the host ---- */

/* Whether a frame (that would be the host's: v) has to be looked at. */
static __always_inline bool nat_arrives(const struct pkt *p, enum verdict v)
{
	if (!p->in || !p->in_policy.nat || p->from_host || p->tag || p->inner_tag)
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

/*
 * A frame that the wire sent to the host. Returns CONTINUE: it is the host's; else what becomes
 * of it.
 */
static __always_inline enum verdict nat_enter(struct pkt *p)
{
	struct nat_addr *a;
	int found, why;

	p->from_host = true;
	if (l3_parse(p) || !p->l3)
		return CONTINUE;
	found = nat_look(p->ctx, true, hook_ifindex(p->ctx), p->hairpin);
	if (found == NAT_NOT_OURS)
		return CONTINUE;
	stats_rx(p->in_id, p->len);
	p->nat = true;
	p->l3->nat = NAT_IN;
	if (found == NAT_FILTERED)
		return drop(p, DROP_NAT_UNSOLICITED);
	if (found == NAT_KNOWN) {
		a = nat_addr(p->l3->nat_addr);
		if (a && !p->hairpin)
			cache_store_in(p, p->l3->nat_addr, a->addr);
		return nat_known(p);
	}
	why = nat_translate(p->ctx, true);
	return why ? nat_refuse(p, why) : TO_NEIGH;
}

/* The frame is the host's own, and goes on to it. */
static __always_inline int nat_to_host(struct pkt *p)
{
	stats_rx(p->in_id, p->len);
	return TC_ACT_UNSPEC;
}

/* ---- away ---- */

/* Sends a translated packet on, to a next hop. Returns what becomes of the frame. */
static __always_inline int nat_redirect(struct pkt *p, enum verdict v)
{
	struct bpf_redir_neigh hop = {};
	struct l3 *l = p->l3;
	struct nat_network *n;

	if (!l)
		return TC_ACT_SHOT;
	n = nat_network(l->network);
	if (!n)
		return TC_ACT_SHOT;
	if (v == TO_NEIGH) {
		hop.nh_family = l->family == 4 ? AF_INET : AF_INET6;
		if (l->family == 4)
			hop.ipv4_nh = bpf_htonl(l->inside[1] >> 32);
		else
			for (int i = 0; i < 4; i++)
				hop.ipv6_nh[i] = bpf_htonl(l->inside[i / 2] >> (i & 1 ? 0 : 32));
		p->ctx->mark = MARK_EXTERNAL | (__u32)l->nat_addr << 16 | l->nat_port;
		return bpf_redirect_neigh(n->gateway_ifindex, &hop, sizeof(hop), 0);
	}
	if (l->nat == NAT_HAIRPIN) {
		p->ctx->mark = MARK_HAIRPIN;
		return bpf_redirect(n->uplink_ifindex, BPF_F_INGRESS);
	}
	p->ctx->mark = MARK_SWITCHED;
	if (l->mtu) /* the kernel makes fragments of it */
		return bpf_redirect(n->gateway_ifindex, BPF_F_INGRESS);
	stats_tx(n->uplink, p->len);
	hop.nh_family = l->hop_family;
	__builtin_memcpy(&hop.ipv6_nh, l->hop, sizeof(hop.ipv6_nh));
	return bpf_redirect_neigh(n->uplink_ifindex, &hop, sizeof(hop), 0);
}

#endif
