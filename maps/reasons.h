/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Why a frame was not forwarded, and what the switch did besides forwarding: one
 * list gives the enum of the data path, the names in `stats`, and their help.
 *
 * A drop ends a frame's way (or, where its help says so, one copy's); a note
 * counts something that an operator wants to know about a frame that went on.
 */
#ifndef MAPS_REASONS_H
#define MAPS_REASONS_H

/* X(ENUM_SUFFIX, "name", "help") */
#define DROP_REASONS(X)                                                                                 \
	X(MALFORMED, "malformed", "shorter than an Ethernet header, or cut off inside a VLAN tag")      \
	X(BAD_SOURCE, "bad_source", "source address is zero or multicast (IEEE 802.3, 3.2.3)")          \
	X(LINK_LOCAL, "link_local",                                                                     \
	  "link-local control frame (01:80:c2:00:00:0x) in a VLAN-aware network (802.1D, 7.12.6)")      \
	X(MAC_SPOOF, "mac_spoof", "source address is not among the port's `mac` addresses")             \
	X(IP_SPOOF, "ip_spoof", "IP source address is not among the port's `ip` prefixes")              \
	X(ARP_SPOOF, "arp_spoof", "ARP sender address is not the frame's or the port's own")            \
	X(ND_SPOOF, "nd_spoof",                                                                         \
	  "neighbour discovery with an address that is not the port's own, or in fragments")            \
	X(DHCP_SERVER, "dhcp_server", "DHCP server's answer from a port without `dhcp-server on`")      \
	X(RA_GUARD, "ra_guard", "router advertisement or redirect from a port without `ra on`")         \
	X(BAD_HEADER, "bad_header", "IP or transport header is cut off or contradicts itself")          \
	X(VLAN_TAGGED, "vlan_tagged", "tagged frame on an access port, or S-tag on a VLAN port")        \
	X(VLAN_UNTAGGED, "vlan_untagged", "untagged frame on a trunk without a native VLAN")            \
	X(VLAN_NOT_MEMBER, "vlan_not_member", "the trunk it came in by does not carry its VLAN")        \
	X(VLAN_EGRESS, "vlan_egress", "the destination port does not carry the frame's VLAN")           \
	X(DOUBLE_TAG, "double_tag", "would show an inner VLAN tag where the outer one is removed")      \
	X(ISOLATED, "isolated",                                                                         \
	  "source and destination are isolated ports (one copy at least, when flooded)")                \
	X(GROUP, "group", "source and destination are of different groups (likewise)")                  \
	X(ACL_DENY, "acl_deny", "a rule denies it")                                                     \
	X(ACL_REJECT, "acl_reject", "a rule rejects it")                                                \
	X(POLICY_DENY, "policy_deny", "no rule matches, and the port's policy is deny")                 \
	X(CONN_MAX, "conn_max", "the port owns as many connections as it may (`conn-max`)")             \
	X(FLOW_FULL, "flow_full", "the table of connections has no room")                               \
	X(FRAG_FIRST, "frag_first", "fragment whose first one has not come")                            \
	X(FRAG_DENIED, "frag_denied", "fragment whose first one was dropped")                           \
	X(FRAG_TINY, "frag_tiny", "first fragment without the whole transport header (RFC 1858)")       \
	X(FRAG_OVERLAP, "frag_overlap", "fragment that overlaps the transport header (RFC 1858)")       \
	X(ROUTED, "routed",                                                                             \
	  "the host would route it into a network that is behind NAT, or host-only")                    \
	X(NO_ROUTE, "no_route", "for an address that the network's gateway does not lead to")           \
	X(FORWARDING_OFF, "forwarding_off",                                                             \
	  "the gateway's device has forwarding switched off (sysctl net.ipv4.conf.NETWORK.forwarding)") \
	X(TTL, "ttl", "the hop count ran out at the gateway")                                           \
	X(NAT_SOURCE, "nat_source",                                                                     \
	  "would leave from an address that is not in its network's subnet")                            \
	X(NAT_ADDRESS, "nat_address", "the uplink has no address of the packet's family")               \
	X(NAT_EXHAUSTED, "nat_exhausted", "no external port is free for a new connection")              \
	X(NAT_PROTOCOL, "nat_protocol",                                                                 \
	  "a protocol that cannot be translated, or an ICMP error of nothing known")                    \
	X(NAT_UNSOLICITED, "nat_unsolicited",                                                           \
	  "came from the wire for a port of a VM that did not ask for it")                              \
	X(SAME_PORT, "same_port", "destination is behind the port it came from (see `hairpin`)")        \
	X(NO_DESTINATION, "no_destination", "no port takes this broadcast or unknown address")          \
	X(MTU, "mtu", "larger than the destination device's MTU")                                       \
	X(NO_DEVICE, "no_device", "the destination device has vanished")                                \
	X(NO_MEMORY, "no_memory", "the kernel had no memory to copy or edit the frame")                 \
	X(COPY_FAILED, "copy_failed", "a flooded copy was refused by its device (down, queue full)")

#define NOTES(X)                                                                                 \
	X(FDB_MOVED, "fdb_moved", "a learned address moved to this port")                        \
	X(FDB_REFUSED, "fdb_refused", "an address was not learned: the port's or table's limit") \
	X(FDB_EVICTED, "fdb_evicted", "this port's oldest address made room in a full network")  \
	X(FLOW_EVICTED, "flow_evicted", "an unanswered connection made room for another port's") \
	X(REJECT_LIMIT, "reject_limit", "a rejected packet was not answered: too many a second") \
	X(LOG_LOST, "log_lost", "an event of a rule with `log` found the ring full")

enum reason {
	REASON_NONE,
#define X(id, name, help) DROP_##id,
	DROP_REASONS(X)
#undef X
		REASON_DROPS_END,
	NOTE_BASE = REASON_DROPS_END - 1,
#define X(id, name, help) NOTE_##id,
	NOTES(X)
#undef X
		REASON_MAX,
};

#endif
