// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Packet table: frames whose checksum the sender left to its device. From taps and veths
 * XDP must leave those to TC, and everything of which it cannot tell; what is complete
 * it forwards itself.
 */
#include "packet.h"

#define VLANS \
	"port set dev p1 vlan 10\nport set dev p2 trunk 10\nfdb add 52:54:00:00:00:02 dev p2 vlan 10\n"

/* A payload at XDP: forwarded, or left to TC. */
#define DONE(text, ...)                                           \
	{                                                         \
		text, K2, P1, {H(2), H(1), __VA_ARGS__}, FORWARD, \
		{                                                 \
			TO(P2)                                    \
		}                                                 \
	}
#define CUT(text, ...)                                                              \
	{                                                                           \
		text, K2, P1, {H(2), H(1), __VA_ARGS__}, FORWARD, {TO(P2)},         \
			.xdp_passes = true, .only = NO_TC /* TEST_RUN refuses it */ \
	}
#define LEFT(text, ...)                                                                        \
	{                                                                                      \
		text, K2, P1, {H(2), H(1), __VA_ARGS__}, FORWARD, {TO(P2)}, .xdp_passes = true \
	}
/* From a NIC no such frame comes: the same octets are a checksum like any other. */
#define NIC_DONE(text, ...)                                        \
	{                                                          \
		text, K2, NIC, {H(2), H(8), __VA_ARGS__}, FORWARD, \
		{                                                  \
			TO(P2)                                     \
		}                                                  \
	}

const struct row packet_offload[] = {
	DONE("complete: UDP/IPv4", .payload = UDP4),
	DONE("complete: TCP/IPv4", .payload = TCP4),
	DONE("complete: TCP/IPv4, odd length", .payload = TCP4, .size = 333),
	DONE("complete: TCP/IPv4, options", .payload = TCP4, .options = true, .size = 100),
	DONE("complete: UDP/IPv6", .payload = UDP6),
	DONE("complete: TCP/IPv6", .payload = TCP6),
	DONE("complete: TCP/IPv6, odd length", .payload = TCP6, .size = 1499),
	DONE("complete: ICMP", .payload = ICMP4),
	DONE("complete: ICMPv6", .payload = ICMP6),
	DONE("complete: IGMP", .payload = IGMP4),
	DONE("complete: SCTP", .payload = SCTP4),
	DONE("complete: a fragment", .payload = UDP4, .fragment = true),
	DONE("complete: ARP", .payload = ARP),
	DONE("complete: VID 0 in front", .tags = {CTAG(0)}, .payload = TCP4),

	LEFT("left: UDP/IPv4", .payload = UDP4, .csum = CSUM_PSEUDO),
	LEFT("left: TCP/IPv4", .payload = TCP4, .csum = CSUM_PSEUDO),
	LEFT("left: TCP/IPv4, odd length", .payload = TCP4, .csum = CSUM_PSEUDO, .size = 333),
	LEFT("left: TCP/IPv4, full size", .payload = TCP4, .csum = CSUM_PSEUDO, .size = 1500),
	LEFT("left: TCP/IPv4, options", .payload = TCP4, .csum = CSUM_PSEUDO, .options = true,
	     .size = 100),
	LEFT("left: TCP/IPv4, no length in the sum", .payload = TCP4, .csum = CSUM_PSEUDO_NOLEN),
	LEFT("left: UDP/IPv6", .payload = UDP6, .csum = CSUM_PSEUDO),
	LEFT("left: TCP/IPv6", .payload = TCP6, .csum = CSUM_PSEUDO),
	LEFT("left: TCP/IPv6, odd length", .payload = TCP6, .csum = CSUM_PSEUDO, .size = 1499),
	LEFT("left: TCP/IPv6, no length in the sum", .payload = TCP6, .csum = CSUM_PSEUDO_NOLEN),
	LEFT("left: UDP/IPv6, no length in the sum", .payload = UDP6, .csum = CSUM_PSEUDO_NOLEN),
	LEFT("left: SCTP", .payload = SCTP4, .csum = CSUM_PSEUDO),
	LEFT("left: TCP, VID 0 in front", .tags = {CTAG(0)}, .payload = TCP4, .csum = CSUM_PSEUDO),

	LEFT("unknown: an unknown ethertype", .payload = DATA),
	LEFT("unknown: UDP without a checksum", .payload = UDP4, .csum = CSUM_ZERO),
	LEFT("unknown: VXLAN", .payload = UDP4, .dport = 4789),
	LEFT("unknown: GENEVE", .payload = UDP6, .dport = 6081),
	LEFT("unknown: GTP-U", .payload = UDP4, .dport = 2152),
	LEFT("unknown: GRE", .payload = GRE4),
	LEFT("unknown: IPv6 extension headers", .payload = HOP6),
	CUT("unknown: an IPv4 header that is cut off", .payload = TCP4, .cut = 33),
	LEFT("unknown: a TCP header that is cut off", .payload = TCP4, .cut = 51),
	LEFT("unknown: a UDP header that is cut off", .payload = UDP4, .cut = 41),
	CUT("unknown: an IPv6 header that is cut off", .payload = TCP6, .cut = 53),

	NIC_DONE("NIC: TCP with the pseudo header's sum", .payload = TCP4, .csum = CSUM_PSEUDO),
	NIC_DONE("NIC: UDP without a checksum", .payload = UDP4, .csum = CSUM_ZERO),
	NIC_DONE("NIC: an unknown ethertype", .payload = DATA),
	NIC_DONE("NIC: GRE", .payload = GRE4),

	{"a push: complete",
	 VLANS,
	 P1,
	 {H(2), H(1), .payload = TCP4},
	 FORWARD,
	 {TAGGED(P2, CTAG(10))}},
	{"a push: left",
	 VLANS,
	 P1,
	 {H(2), H(1), .payload = TCP4, .csum = CSUM_PSEUDO},
	 FORWARD,
	 {TAGGED(P2, CTAG(10))},
	 .xdp_passes = true},
	{"a tag: complete",
	 VLANS,
	 P1,
	 {H(2), H(1), .tags = {CTAG(PCP(2) | 10)}, .payload = TCP6},
	 FORWARD,
	 {TO(P2)}},
	{"a tag: left",
	 VLANS,
	 P1,
	 {H(2), H(1), .tags = {CTAG(PCP(2) | 10)}, .payload = TCP6, .csum = CSUM_PSEUDO},
	 FORWARD,
	 {TO(P2)},
	 .xdp_passes = true},
	{"a tap: complete", K2, P6, {H(2), H(6), .payload = TCP4}, FORWARD, {TO(P2)}},
	{"a tap: left",
	 K2,
	 P6,
	 {H(2), H(6), .payload = TCP4, .csum = CSUM_PSEUDO},
	 FORWARD,
	 {TO(P2)},
	 .xdp_passes = true},
	{},
};
