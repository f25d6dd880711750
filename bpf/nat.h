/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * NAT: what its parts share. A packet is judged and kept as a connection between the VM's port and
 * the gateway's, by its internal addresses; l3_scratch says what else NAT knows of it.
 *
 *   nat_route.h    where a VM's packet for its gateway goes
 *   nat_map.h      which external endpoint its connection has
 *   nat_look.h     whose a packet is that came to the uplink
 *   nat_rewrite.h  the other endpoint into the packet
 *   nat_host.h     connections of the host itself
 *   nat_hook.h     where all of it happens in a frame's way through the TC hook
 *   nat_cache.h    the short way, at both hooks
 */
#ifndef BPF_NAT_H
#define BPF_NAT_H

#include "flow.h"
#include "nat_quote.h"

#define AF_INET	 2
#define AF_INET6 10

/* Ports that are mapped to each other (RFC 4787, REQ-3 a). */
#define NAT_WELL_KNOWN 1024

/* A network's translation, or NULL. */
static __always_inline struct nat_network *nat_network(__u32 id)
{
	return bpf_map_lookup_elem(&nat_networks, &id);
}

/* The sender's port of a packet, or the identifier of an echo. */
static __always_inline __u16 nat_source_port(const struct l3 *l)
{
	return flow_icmp(l) ? l->icmp_id : l->key.sport;
}

static __always_inline __u16 nat_target_port(const struct l3 *l)
{
	return flow_icmp(l) ? l->icmp_id : l->key.dport;
}

/* The slot of an external address (as in struct l3), or 0. */
static __always_inline __u32 nat_slot(const __u64 *addr, __u8 family)
{
	struct nat_addr_key key;
	__u32 *slot;

	nat_key_addr(key.addr, addr, family);
	slot = bpf_map_lookup_elem(&nat_addr_slots, &key);
	return slot ? *slot : 0;
}

/* Whether a source address is of a network's subnet. */
static __always_inline bool nat_inside(const struct l3 *l, const struct nat_network *n)
{
	if (l->family == 4)
		return n->subnet && (l->key.src[0] >> 32 & n->mask) == n->subnet;
	return (n->subnet6[0] | n->subnet6[1]) && (l->key.src[0] & n->mask6[0]) == n->subnet6[0] &&
	       (l->key.src[1] & n->mask6[1]) == n->subnet6[1];
}

#endif
