/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a plain packet says (bpf/plain.h): in per-CPU memory, for the stack is small. */
#ifndef MAPS_PLAIN_H
#define MAPS_PLAIN_H

#include <linux/types.h>

/* What a TCP segment says (host order). */
struct tcp_segment {
	__u32 seq;
	__u32 end; /* sequence number behind it */
	__u32 ack;
	__u32 side; /* of the flow, that sent it */
	__u16 window;
	__u8 flags;
	__u8 pad;
};

/* What was parsed of a frame, while pkt_parse() has it here: see struct pkt. */
struct parsed {
	__u64 dst;
	__u64 src;
	__u32 tag;
	__u32 len;
	__u32 size;
	__u16 proto;
	__u16 offset;
	__u8 inner_tag;
	__u8 malformed;
	__u8 pad[6];
};

/* Numbers are in host order; IPv4 addresses are as in struct flow_key. */
struct plain {
	union {
		struct {
			__u64 src[2];
			__u64 dst[2];
			__u32 length; /* octets of the transport header and what follows */
			__u16 sport;
			__u16 dport;
			__u8 proto;
			__u8 ip6;
			__u8 pad[2];
			struct tcp_segment tcp;
		};
		struct parsed parsed;
	};
};
_Static_assert(sizeof(struct plain) == 64, "one cache line");

#endif
