/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The guard's second half: whether a VM's packet is from an address of its own, in the IP
 * header and in what ARP (RFC 826, 5227) and neighbour discovery (RFC 4861) say, and
 * whether it plays the DHCP server or the router. Reads what l3_parse() has filled.
 */
#ifndef BPF_GUARD_L3_H
#define BPF_GUARD_L3_H

#include "l3.h"

#define ARP_LENGTH		28 /* for IPv4 over Ethernet */
#define ARP_REQUEST		1
#define RARP_REQUEST		3

#define ND_ROUTER_SOLICITATION	133
#define ND_ROUTER_ADVERTISEMENT 134
#define ND_SOLICITATION		135
#define ND_ADVERTISEMENT	136
#define ND_REDIRECT		137
#define ND_SOURCE_ADDRESS	1 /* options: link-layer addresses */
#define ND_TARGET_ADDRESS	2
#define ND_OPTIONS		32 /* options walked */

#define MLD_REPORT		131
#define MLD_DONE		132
#define MLD2_REPORT		143

/* Where l3_parse() leaves things in l3.head. */
#define IPV4_SOURCE  12
#define IPV6_SOURCE  8
#define ICMP6_HEADER 40

/* The source address of the frame, as in struct pkt. */
static __always_inline __u64 guard_frame_source(const struct l3 *l)
{
	return l->key.src_mac & ACL_MAC_MASK;
}

static __always_inline __u64 guard_mac_at(const __u8 *at)
{
	__u64 mac = 0;

	__builtin_memcpy(&mac, at, 6);
	return mac;
}

/* Whether an address (network order) is among a port's prefixes. */
static __always_inline bool guard_owns(__u32 port, __u8 family, const __u8 *addr)
{
	struct port_ip key = {
		.prefixlen = PORT_IP_BITS + (family == 4 ? 32 : 128),
		.port = port,
		.family = family,
	};

	if (family == 4)
		__builtin_memcpy(key.addr, addr, 4);
	else
		__builtin_memcpy(key.addr, addr, 16);
	return bpf_map_lookup_elem(&port_ips, &key);
}

/*
 * ARP, and of RARP (RFC 903) the request, with which a VM that moved announces itself: the
 * sender's hardware address is the frame's, its protocol address an own one. A request of
 * nobody's is a probe (RFC 5227, 2.1.1).
 */
static __always_inline bool guard_arp(const struct l3 *l, __u32 length, __u32 port, bool ip_guard)
{
	const __u8 *arp = l->head;
	__u16 hardware = get16(arp), operation = get16(arp + 6);

	if (length < ARP_LENGTH || (hardware != 1 && hardware != 6) || get16(arp + 2) != ETH_P_IP ||
	    arp[4] != 6 || arp[5] != 4)
		return false;
	if (guard_mac_at(arp + 8) != guard_frame_source(l))
		return false;
	if (l->ethertype == ETH_P_RARP && operation != RARP_REQUEST)
		return false;
	if (!ip_guard ||
	    (!get32(arp + 14) && (operation == ARP_REQUEST || operation == RARP_REQUEST)))
		return true;
	return guard_owns(port, 4, arp + 14);
}

/* A DHCP client that has no address yet (RFC 2131, 4.1). */
static __always_inline bool guard_ipv4_setup(const struct l3 *l)
{
	return !l->key.src[0] && l->key.dst[0] >> 32 == 0xffffffff && l->proto == IPPROTO_UDP &&
	       l->flags & L3_HAS_L4 && l->key.sport == 68 && l->key.dport == 67;
}

/*
 * A link-local address that may be the sender's: not one that another hardware address gives
 * (RFC 4291, appendix A). Others (RFC 7217) tell nothing about whose they are.
 */
static __always_inline bool guard_link_local(const struct l3 *l)
{
	__u64 id = l->key.src[1], mac = guard_frame_source(l);

	if (l->key.src[0] >> 54 != 0xfe80 >> 6)
		return false;
	if ((id >> 24 & 0xffff) != 0xfffe)
		return true;
	mac = __builtin_bswap64(mac) >> 16;
	return id == ((mac >> 24 ^ 0x020000) << 40 | 0xfffe000000ULL | (mac & 0xffffff));
}

/*
 * What a host sends to get an address, from none or a link-local one: DAD (RFC 4862, 5.4; the
 * rest is guard_nd()'s), MLD (RFC 3590, 3810), router solicitation, DHCPv6 (RFC 8415, 7).
 */
static __always_inline bool guard_ipv6_setup(const struct l3 *l)
{
	bool unspecified = !l->key.src[0] && !l->key.src[1];

	if ((~l->flags & (L3_HAS_L4 | L3_GROUP)) || (!unspecified && !guard_link_local(l)))
		return false;
	if (l->proto == IPPROTO_UDP)
		return !unspecified && l->key.sport == 546 && l->key.dport == 547 &&
		       l->key.dst[0] == 0xff02000000000000ULL && l->key.dst[1] == 0x10002;
	if (l->proto != IPPROTO_ICMPV6)
		return false;
	switch (l->type) {
	case ND_SOLICITATION:
		return unspecified;
	case ND_ROUTER_SOLICITATION:
	case MLD_REPORT:
	case MLD_DONE:
	case MLD2_REPORT:
		return true;
	}
	return false;
}

/*
 * Walks the options at `at`, up to `end` in the frame: link-layer addresses must be the frame's
 * source, and a source that is not known (RFC 4861, 4.1, 4.3) has none.
 */
static __always_inline bool guard_nd_options(hook_ctx *ctx, const struct l3 *l, __u32 at, __u32 end)
{
	bool unspecified = !l->key.src[0] && !l->key.src[1];
	__u8 option[8];

	for (int i = 0; i < ND_OPTIONS; i++) {
		if (at == end)
			return true;
		if (at + 8 > end || hook_load(ctx, at, option, sizeof(option)) || !option[1])
			return false;
		if (option[0] == ND_SOURCE_ADDRESS && unspecified)
			return false;
		if ((option[0] == ND_SOURCE_ADDRESS || option[0] == ND_TARGET_ADDRESS) &&
		    (option[1] != 1 || guard_mac_at(option + 2) != guard_frame_source(l)))
			return false;
		at += option[1] * 8;
	}
	return false;
}

/* Duplicate address detection (RFC 4862, 5.4.2): to the target's solicited-node group. */
static __always_inline bool guard_dad(const struct l3 *l, __u32 port, bool own)
{
	const __u8 *target = l->head + ICMP6_HEADER + 8;

	if (l->key.dst[0] != 0xff02000000000000ULL ||
	    l->key.dst[1] != (0x1ff000000ULL | (get32(target + 12) & 0xffffff)))
		return false;
	return !own || guard_owns(port, 6, target);
}

/* Neighbour discovery; its addresses are not yet judged but the packet's source is. */
static __always_inline bool guard_nd(hook_ctx *ctx, const struct l3 *l, __u32 port,
				     union port_policy policy)
{
	bool unspecified = !l->key.src[0] && !l->key.src[1];
	__u32 end = l->offset + l->length, fixed;

	if (l->flags & L3_FRAG) /* RFC 6980 */
		return false;
	if (!policy.mac_guard && !policy.ip_guard)
		return true;
	switch (l->type) {
	case ND_ROUTER_SOLICITATION:
		fixed = 8;
		break;
	case ND_ROUTER_ADVERTISEMENT:
		fixed = 16;
		break;
	case ND_REDIRECT: /* tells of another router's address */
		return true;
	default:
		fixed = 24;
	}
	if (l->type == ND_SOLICITATION && unspecified && policy.ip_guard &&
	    !guard_dad(l, port, policy.ip6_own))
		return false;
	if (l->type == ND_ADVERTISEMENT && policy.ip_guard &&
	    !guard_owns(port, 6, l->head + ICMP6_HEADER + 8))
		return false;
	return guard_nd_options(ctx, l, l->l4 + fixed, end);
}

/* Whether a UDP packet is from a DHCP or DHCPv6 server, or for a client: either tells. */
static __always_inline bool guard_dhcp_server(const struct l3 *l)
{
	if (l->proto != IPPROTO_UDP || !(l->flags & L3_HAS_L4))
		return false;
	if (l->family == 4)
		return l->key.sport == 67 || l->key.dport == 68;
	return l->key.sport == 547 || l->key.dport == 546;
}

static __always_inline enum reason guard_ip(hook_ctx *ctx, struct l3 *l, __u32 port,
					    union port_policy policy)
{
	bool nd = l->family == 6 && l->proto == IPPROTO_ICMPV6 && l->flags & L3_HAS_L4 &&
		  l->type >= ND_ROUTER_SOLICITATION && l->type <= ND_REDIRECT;

	/* without its ports or type, nobody knows what it is */
	if ((l->flags & (L3_FRAG | L3_FRAG_LATER | L3_HAS_L4)) == L3_FRAG &&
	    l3_has_transport(l->family, l->proto))
		return DROP_FRAG_TINY;
	if (!policy.dhcp_server && guard_dhcp_server(l))
		return DROP_DHCP_SERVER;
	if (!policy.ra && nd && (l->type == ND_ROUTER_ADVERTISEMENT || l->type == ND_REDIRECT))
		return DROP_RA_GUARD;
	if (policy.ip_guard) {
		if (guard_owns(port, l->family,
			       l->head + (l->family == 4 ? IPV4_SOURCE : IPV6_SOURCE)))
			l->flags |= L3_OWNED;
		else if (!(l->family == 4 ? guard_ipv4_setup(l) : guard_ipv6_setup(l)))
			return DROP_IP_SPOOF;
	}
	return nd && !guard_nd(ctx, l, port, policy) ? DROP_ND_SPOOF : REASON_NONE;
}

/*
 * Judges the packet in l3_scratch[place], which port `port` sent. Returns enum reason, 0: it
 * may pass. A global function: the verifier reads it once.
 */
__noinline int guard_l3_check(hook_ctx *ctx, __u32 place, __u32 port, __u64 raw)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	union port_policy policy = {.raw = raw};

	if (!l)
		return REASON_NONE;
	if (l->ethertype == ETH_P_ARP || l->ethertype == ETH_P_RARP) {
		bool asked = policy.mac_guard || policy.ip_guard;

		return asked && !guard_arp(l, hook_length(ctx) - l->offset, port, policy.ip_guard)
			       ? DROP_ARP_SPOOF
			       : REASON_NONE;
	}
	if (l->flags & L3_BAD) /* with `mac` alone, IP is not looked at */
		return policy.ip_guard || !policy.dhcp_server || !policy.ra ? DROP_BAD_HEADER
									    : REASON_NONE;
	return l->family ? guard_ip(ctx, l, port, policy) : REASON_NONE;
}

#endif
