/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What an ICMP error quotes, where addresses are translated (RFC 5508, 4). */
#ifndef BPF_NAT_QUOTE_H
#define BPF_NAT_QUOTE_H

#include "flow.h"

/* Where a packet goes (l3.nat). */
enum nat_way {
	NAT_NONE,     /* it is not translated */
	NAT_OUT,      /* out of the uplink, from an external endpoint */
	NAT_HAIRPIN,  /* likewise, but to an external endpoint of our own */
	NAT_IN,	      /* from the wire, to an internal endpoint */
	NAT_HOST_OUT, /* out of the uplink, from the host (bpf/nat_host.h) */
	NAT_HOST_IN,  /* from the wire, to the host */
};

/* An address of l3.key as struct flow_key has it. */
static __always_inline void nat_key_addr(__u64 *to, const __u64 *addr, __u8 family)
{
	to[0] = family == 4 ? FLOW_IPV4 : addr[0];
	to[1] = family == 4 ? addr[0] : addr[1];
}

/* And back. */
static __always_inline void nat_l3_addr(__u64 *to, const __u64 *addr, __u8 family)
{
	to[0] = family == 4 ? addr[1] : addr[0];
	to[1] = family == 4 ? 0 : addr[1];
}

/* An address of struct flow_key as packets have it. */
static __always_inline void nat_wire_addr(__be32 *to, const __u64 *addr, __u8 family)
{
	to[0] = to[1] = to[2] = to[3] = 0;
	if (family == 4)
		to[0] = bpf_htonl(addr[1] >> 32);
	else
		for (int i = 0; i < 4; i++)
			to[i] = bpf_htonl(addr[i / 2] >> (i & 1 ? 0 : 32));
}

/* The quoted packet is as its sender has sent it, behind NAT. */
static __always_inline void nat_quote_inside(const struct l3 *l, struct l3 *q)
{
	nat_l3_addr(q->key.src, l->inside, l->family);
	if (flow_icmp(q))
		q->icmp_id = l->inside_port;
	else
		q->key.sport = l->inside_port;
}

#endif
