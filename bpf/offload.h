/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Whether XDP may carry a frame that came from a tap or veth. Such a device hands over
 * frames whose checksum the sender left to the hardware, and GSO frames, which always
 * are of that kind; only the skb says so, and a redirect from XDP loses the skb. On a veth
 * the skb is asked (bpf/xdp.bpf.c); on a tap, and where nobody can, it is found by looking: a
 * checksum left undone holds the folded sum of the pseudo header instead (the kernel's
 * CHECKSUM_PARTIAL; virtio 1.2, 5.1.6.2): that is what is looked for. A right checksum
 * that happens to be the same number only goes to TC, where every frame is safe.
 */
#ifndef BPF_OFFLOAD_H
#define BPF_OFFLOAD_H

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include "pkt.h"

static __always_inline __u32 csum_fold32(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/*
 * Whether a sum folds to 0xffff, that is: 65535 divides it. What an odd number divides is found by
 * its inverse modulo 2^64: multiples of it become small, others do not.
 */
static __always_inline bool csum_none(__u64 sum)
{
	return sum * 0xfffefffefffeffffULL <= ~0ULL / 65535;
}

/* A checksum field that holds only the pseudo header's sum, with or without the length. */
static __always_inline bool csum_left(__u16 check, __u64 addrs, __u8 proto, __u32 len)
{
	__u64 without = addrs + bpf_htons(proto) + (__u16)~check;

	return check && (csum_none(without) || csum_none(without + bpf_htons(len & 0xffff)));
}

/* Ports of UDP tunnels, whose outer checksum says nothing of the inner one. */
static __always_inline bool is_tunnel_port(__u16 port)
{
	return port == bpf_htons(4789) || port == bpf_htons(8472) || port == bpf_htons(6081) ||
	       port == bpf_htons(4790) || port == bpf_htons(5555) || port == bpf_htons(6080) ||
	       port == bpf_htons(2152) || port == bpf_htons(4341);
}

struct l4_ports {
	__be16 source;
	__be16 dest;
};

/* The transport header at `l4` is complete in itself. addrs: sum of the addresses' words. */
static __always_inline bool transport_done(void *l4, void *end, __u8 proto, __u64 addrs, __u32 len)
{
	struct l4_ports *udp = l4;
	__u16 *check;
	__u32 *crc;

	switch (proto) {
	case IPPROTO_TCP:
		check = l4 + 16;
		return (void *)(check + 1) <= end && !csum_left(*check, addrs, proto, len);
	case IPPROTO_UDP:
		check = l4 + 6;
		return (void *)(check + 1) <= end && *check && !is_tunnel_port(udp->dest) &&
		       !csum_left(*check, addrs, proto, len);
	case IPPROTO_SCTP:
		crc = l4 + 8;
		return (void *)(crc + 1) <= end && *crc;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
	case IPPROTO_IGMP:
		return true;
	default:
		return false;
	}
}

static __always_inline bool ipv4_done(void *l3, void *end)
{
	struct iphdr *ip = l3;
	__u32 hlen;

	if ((void *)(ip + 1) > end)
		return false;
	hlen = ip->ihl * 4;
	if (hlen < sizeof(*ip))
		return false;
	if (ip->frag_off & bpf_htons(0x3fff)) /* fragments are made after the checksum */
		return true;
	return transport_done(l3 + hlen, end, ip->protocol, (__u64)ip->saddr + ip->daddr,
			      bpf_ntohs(ip->tot_len) - hlen);
}

static __always_inline bool ipv6_done(void *l3, void *end)
{
	struct ipv6hdr *ip = l3;
	__u64 addrs = 0;

	if ((void *)(ip + 1) > end)
		return false;
	for (int i = 0; i < 4; i++)
		addrs += (__u64)ip->saddr.in6_u.u6_addr32[i] + ip->daddr.in6_u.u6_addr32[i];
	return transport_done(ip + 1, end, ip->nexthdr, addrs, bpf_ntohs(ip->payload_len));
}

static __always_inline bool offload_done(struct pkt *p)
{
	void *data = (void *)(long)p->ctx->data, *end = (void *)(long)p->ctx->data_end;
	__u32 offset = hook_tagged(p) ? ETH_HLEN + VLAN_HLEN : ETH_HLEN;

	if (p->sum != SUM_UNKNOWN)
		return p->sum == SUM_DONE;
	if (p->inner_tag)
		return false;
	switch (p->proto) {
	case bpf_htons(ETH_P_IP):
		return ipv4_done(data + offset, end);
	case bpf_htons(ETH_P_IPV6):
		return ipv6_done(data + offset, end);
	case bpf_htons(ETH_P_ARP):
		return true;
	default: /* what it carries may have a checksum too */
		return false;
	}
}

#endif
