/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Plain packets: IPv4 without options or IPv6 without extension headers, not a fragment, with
 * TCP or UDP behind it, all headers in the frame's first buffer and as they should be. Nearly
 * all packets are; read where they lie, they need none of what bpf/l3.h does for the others.
 * What is plain here has the same fields there, and is never L3_BAD.
 */
#ifndef BPF_PLAIN_H
#define BPF_PLAIN_H

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include "flow.h"

static __always_inline struct plain *plain_of(bool from_host)
{
	__u32 place = from_host;

	return bpf_map_lookup_elem(&plain_scratch, &place);
}

static __always_inline bool plain_tcp(struct plain *k, const struct tcphdr *tcp, void *end)
{
	__u32 header;

	if ((void *)(tcp + 1) > end)
		return false;
	header = tcp->doff * 4;
	if (header < sizeof(*tcp) || header > k->length)
		return false;
	k->sport = bpf_ntohs(tcp->source);
	k->dport = bpf_ntohs(tcp->dest);
	k->tcp.flags = ((const __u8 *)tcp)[13];
	k->tcp.seq = bpf_ntohl(tcp->seq);
	k->tcp.end = k->tcp.seq + k->length - header;
	k->tcp.ack = bpf_ntohl(tcp->ack_seq);
	k->tcp.window = bpf_ntohs(tcp->window);
	return true;
}

static __always_inline bool plain_udp(struct plain *k, const struct udphdr *udp, void *end)
{
	__u32 length;

	if ((void *)(udp + 1) > end)
		return false;
	length = bpf_ntohs(udp->len);
	k->sport = bpf_ntohs(udp->source);
	k->dport = bpf_ntohs(udp->dest);
	return length >= sizeof(*udp) && length <= k->length;
}

static __always_inline bool plain_transport(struct plain *k, void *at, void *end)
{
	if (k->proto == IPPROTO_TCP)
		return plain_tcp(k, at, end);
	return k->proto == IPPROTO_UDP && plain_udp(k, at, end);
}

/* there: octets from the network header to the frame's end. */
static __always_inline bool plain_ipv4(struct plain *k, struct iphdr *ip, void *end, __u32 there)
{
	__u32 total;

	if ((void *)(ip + 1) > end || *(__u8 *)ip != 0x45 || ip->frag_off & bpf_htons(0x3fff))
		return false;
	total = bpf_ntohs(ip->tot_len);
	if (total < sizeof(*ip) || total > there)
		return false;
	k->length = total - sizeof(*ip);
	k->ip6 = false;
	k->proto = ip->protocol;
	k->src[0] = k->dst[0] = FLOW_IPV4;
	k->src[1] = (__u64)bpf_ntohl(ip->saddr) << 32;
	k->dst[1] = (__u64)bpf_ntohl(ip->daddr) << 32;
	return plain_transport(k, ip + 1, end);
}

/* An address's half. */
static __always_inline __u64 plain_half(const struct in6_addr *addr, int half)
{
	return (__u64)bpf_ntohl(addr->in6_u.u6_addr32[2 * half]) << 32 |
	       bpf_ntohl(addr->in6_u.u6_addr32[2 * half + 1]);
}

static __always_inline bool plain_ipv6(struct plain *k, struct ipv6hdr *ip, void *end, __u32 there)
{
	if ((void *)(ip + 1) > end || *(__u8 *)ip >> 4 != 6)
		return false;
	k->length = bpf_ntohs(ip->payload_len);
	if (k->length + sizeof(*ip) > there)
		return false;
	k->ip6 = true;
	k->proto = ip->nexthdr;
	k->src[0] = plain_half(&ip->saddr, 0);
	k->src[1] = plain_half(&ip->saddr, 1);
	k->dst[0] = plain_half(&ip->daddr, 0);
	k->dst[1] = plain_half(&ip->daddr, 1);
	if (k->dst[0] >> 56 == 0xff) /* a group's: it might look like FLOW_IPV4 */
		return false;
	return plain_transport(k, ip + 1, end);
}

/* Reads a frame without a second tag. Returns whether it is a plain packet. */
static __always_inline bool plain_parse(struct plain *k, const struct pkt *p)
{
	void *data = (void *)(long)p->ctx->data, *end = (void *)(long)p->ctx->data_end;
	void *at = data + (hook_tagged(p) ? ETH_HLEN + VLAN_HLEN : ETH_HLEN);
	__u32 there = pkt_size(p) - ETH_HLEN;

	if (p->proto == bpf_htons(ETH_P_IP))
		return plain_ipv4(k, at, end, there);
	return p->proto == bpf_htons(ETH_P_IPV6) && plain_ipv6(k, at, end, there);
}

/* Whether what a guarded port sends is what its guard would let pass (bpf/guard_l3.h). */
static __always_inline bool plain_guarded(const struct plain *k, const struct cache_entry *c)
{
	if (k->proto == IPPROTO_UDP &&
	    (k->ip6 ? k->sport == 547 || k->dport == 546 : k->sport == 67 || k->dport == 68))
		return false;
	if (!(c->flags & CACHE_SOURCE))
		return true;
	if (!k->ip6)
		return c->source4 && c->source4 == k->src[1] >> 32;
	return k->src[0] | k->src[1] && c->source6[0] == k->src[0] && c->source6[1] == k->src[1];
}

#endif
