/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Where translated packets go from TC, and the marks that they have on their way. */
#ifndef BPF_NAT_AWAY_H
#define BPF_NAT_AWAY_H

#include "nat.h"
#include "stats.h"

/* On frames that the switch hands to its own programs at the uplink; removed there. */
#define MARK_SWITCHED 0x78647063

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

/* Whether VMs may be behind an uplink's inner side: it has a bridge network. */
static __always_inline bool nat_uplink_switches(__u32 id)
{
	struct port *uplink = bpf_map_lookup_elem(&ports, &id);

	return uplink && port_policy(uplink).network;
}

/* Sends the packet in l3_scratch[place], that is translated, on. Returns what becomes of it. */
__noinline int nat_redirect(struct __sk_buff *skb, __u32 place, __u32 neigh, __u32 len)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct bpf_redir_neigh hop = {};
	struct nat_network *n;

	if (!l)
		return TC_ACT_SHOT;
	n = nat_network(l->network);
	if (!n)
		return TC_ACT_SHOT;
	if (neigh) {
		hop.nh_family = l->family == 4 ? AF_INET : AF_INET6;
		nat_wire_addr(hop.ipv6_nh, l->inside, l->family);
		skb->mark = MARK_EXTERNAL | (__u32)l->nat_addr << 16 | l->nat_port;
		return bpf_redirect_neigh(n->gateway_ifindex, &hop, sizeof(hop), 0);
	}
	if (l->nat == NAT_HAIRPIN) {
		skb->mark = MARK_HAIRPIN;
		return bpf_redirect(n->uplink_ifindex, BPF_F_INGRESS);
	}
	skb->mark = MARK_SWITCHED;
	if (l->mtu) /* the kernel makes fragments of it */
		return bpf_redirect(n->gateway_ifindex, BPF_F_INGRESS);
	if (nat_uplink_switches(n->uplink))
		skb->mark = 0;
	else
		stats_tx(n->uplink, len);
	hop.nh_family = l->hop_family;
	__builtin_memcpy(&hop.ipv6_nh, l->hop, sizeof(hop.ipv6_nh));
	return bpf_redirect_neigh(n->uplink_ifindex, &hop, sizeof(hop), 0);
}

#endif
