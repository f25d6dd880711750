/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * NAT's short way, at both hooks: plain packets (bpf/plain.h) of connections that are established
 * and translated. The decision cache says that packets between two link-layer addresses are to be
 * looked at so: from a VM to its gateway (CACHE_OUT), from the wire to the host (CACHE_IN). What
 * is found has to be as the whole way left it: the flow allowed by what judges it now, the next hop
 * looked up in this generation, and the flow's route not long before. Everything else takes
 * the whole way.
 */
#ifndef BPF_NAT_CACHE_H
#define BPF_NAT_CACHE_H

#include "nat_quote.h"
#include "offload.h"
#include "flow_cache.h"

#define NAT_ROUTE_AGE 16 /* generations, of a second at most */

/* How a plain packet is changed. Link-layer addresses are as in struct pkt. */
struct nat_edit {
	__u64 addr[2]; /* as in struct flow_key */
	__u64 dst;
	__u64 src;
	__u16 port; /* host order */
	__u16 in;   /* the destination's, not the source's */

	/* from the wire: the external endpoint that it came to, and whose it is */
	__u32 slot;
	__u32 network; /* id */
	__u16 external;
	__u16 pad;

	__u32 len; /* octets of the frame */
	__u32 to;  /* port id, and its device */
	__u32 ifindex;
	__u32 pad2;
};

/* Not on the stack: that is small. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct nat_edit);
} nat_edit_scratch SEC(".maps");

static __always_inline struct nat_edit *nat_edit_of(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&nat_edit_scratch, &zero);
}

static __always_inline void nat_edit_macs(void *frame, const struct nat_edit *e)
{
	__be16 *at = frame;

	for (int i = 0; i < 3; i++) {
		at[i] = e->dst >> (16 * i);
		at[i + 3] = e->src >> (16 * i);
	}
}

/* What a change adds to the transport checksum: the address by the pseudo header, and the port. */
struct nat_sum {
	__u32 addr;
	__u32 port;
};

/* A sum of 32-bit words as the ones' complement sum of their halves, not folded to 16 bits. */
static __always_inline __u32 nat_word_diff(__u32 old, __u32 new)
{
	return csum_fold32((__u64)~old + new);
}

/* Changes the headers at `frame`, of an IPv4 packet without options, up to its ports. */
static __always_inline void nat_edit_ipv4(void *frame, const struct nat_edit *e,
					  struct nat_sum *sum)
{
	struct iphdr *ip = frame + ETH_HLEN;
	struct l4_ports *l4 = (void *)(ip + 1);
	__be32 *addr = e->in ? &ip->daddr : &ip->saddr, to = bpf_htonl(e->addr[1] >> 32);
	__be16 *port = e->in ? &l4->dest : &l4->source, number = bpf_htons(e->port);
	__u32 check;

	sum->addr = nat_word_diff(*addr, to);
	sum->port = *port == number ? 0 : csum_fold32((__u16) ~*port + number);
	/* the hop count is one less: 0x0100 in network order */
	check = csum_fold32((__u64)(__u16)~ip->check + sum->addr + (__u16)~bpf_htons(0x0100));
	ip->check = ~check;
	ip->ttl--;
	*addr = to;
	*port = number;
	nat_edit_macs(frame, e);
}

/* Likewise, of an IPv6 packet without extension headers. */
static __always_inline void nat_edit_ipv6(void *frame, const struct nat_edit *e,
					  struct nat_sum *sum)
{
	struct ipv6hdr *ip = frame + ETH_HLEN;
	struct l4_ports *l4 = (void *)(ip + 1);
	__be32 *addr = e->in ? ip->daddr.in6_u.u6_addr32 : ip->saddr.in6_u.u6_addr32, to;
	__be16 *port = e->in ? &l4->dest : &l4->source, number = bpf_htons(e->port);
	__u64 diff = 0;

	for (int i = 0; i < 4; i++) {
		to = bpf_htonl(e->addr[i / 2] >> (i & 1 ? 0 : 32));
		diff += (__u64)(__u32)~addr[i] + to;
		addr[i] = to;
	}
	sum->addr = csum_fold32(diff);
	sum->port = *port == number ? 0 : csum_fold32((__u16) ~*port + number);
	ip->hop_limit--;
	*port = number;
	nat_edit_macs(frame, e);
}

/* A hook's way to change a plain packet of `proto`. Returns 0 or -1. */
static __always_inline int hook_edit(hook_ctx *ctx, const struct plain *k,
				     const struct nat_edit *e);
/* Whether a packet's checksum is its own, if this hook needs to know. */
static __always_inline bool hook_complete(hook_ctx *ctx, __u32 proto);
/* Sends it. to: the port; ifindex: its device; by_map: XDP's xdp_ports. Returns the hook's action. */
static __always_inline int hook_send(hook_ctx *ctx, __u32 to, __u32 ifindex, bool uplink,
				     bool by_map);

/* The short ways' answer: it takes the whole one, or nat_edit says where to. Actions are not
 * negative. */
#define NAT_SHORT_NO  -1
#define NAT_SHORT_YES 0

/* Reads an untagged frame. */
static __always_inline bool nat_plain(struct plain *k, hook_ctx *ctx, __u32 proto, __u32 len)
{
	struct pkt p = {.ctx = ctx, .proto = proto, .offset = ETH_HLEN, .size = len};

	return plain_parse(k, &p);
}

/* The hop count, which must not run out here. */
static __always_inline bool nat_hops_left(hook_ctx *ctx, const struct plain *k)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u8 *hops = data + ETH_HLEN + 8;

	if (data + ETH_HLEN + 9 > end)
		return false;
	return (k->ip6 ? hops[-1] : hops[0]) > 1;
}

/* An established flow, and what is beside it. */
struct nat_short {
	struct flow *flow;
	struct nat_flow *nat;
	__u32 side;
};

/* Finds a packet's flow. rest: as in struct flow_key, without protocol; now: the generation. */
static __always_inline bool nat_short_find(struct nat_short *s, const struct plain *k, __u32 rest,
					   __u32 now)
{
	void *table = flow_established();
	__u32 place, number, way;
	struct flow_bucket *b;

	rest |= (__u32)k->proto << 24;
	s->side = flow_side(k);
	place = flow_place(k, s->side, rest, now, false);
	number = place & FLOW_HINT_BUCKET;
	way = flow_bound(place >> FLOW_HINT_WAY & 0xf);
	if (!table || place == FLOW_NOWHERE)
		return false;
	b = bpf_map_lookup_elem(table, &number);
	if (!b)
		return false;
	s->flow = &b->flow[way];
	s->nat = nat_flow(false, number, way);
	return s->nat && s->nat->addr && s->flow->flags & FLOW_NAT &&
	       flow_is(s->flow, k, s->side, rest);
}

/* Whose a plain packet is, by its external destination: gives it its internal one. */
static __always_inline bool nat_short_owner(struct plain *k, struct nat_edit *e,
					    const struct cache_entry *c)
{
	struct nat_addr_key key = {.addr = {k->dst[0], k->dst[1]}};
	struct nat_binding *b;
	struct nat_pool *pool;
	__u32 *found;

	e->slot = c->rest;
	if (k->dst[0] != c->source6[0] || k->dst[1] != c->source6[1]) {
		found = bpf_map_lookup_elem(&nat_addr_slots, &key);
		e->slot = found ? *found : 0;
	}
	pool = e->slot ? nat_pool(e->slot, k->proto == IPPROTO_TCP ? NAT_TCP : NAT_UDP) : NULL;
	if (!pool)
		return false;
	b = &pool->at[k->dport];
	e->external = k->dport;
	e->network = b->network;
	e->addr[0] = k->dst[0] = b->addr[0];
	e->addr[1] = k->dst[1] = b->addr[1];
	e->port = k->dport = b->port;
	return READ_ONCE(b->refs);
}

/*
 * Reads a packet, and whose it is, into the places for that. Returns whether it may take the short
 * way.
 */
static __noinline int nat_short_read(hook_ctx *ctx, const struct cache_entry *c, __u32 len,
				     __u32 proto)
{
	struct nat_edit *e = nat_edit_of();
	struct plain *k = plain_of(false);

	if (!HOOK_ANSWERS && c->flags & CACHE_OUT && !(c->flags & CACHE_XDP))
		return false;
	if (!k || !e || !nat_plain(k, ctx, proto, len) || !nat_hops_left(ctx, k))
		return false;
	e->len = len;
	if (c->flags & CACHE_CHECK && !hook_complete(ctx, proto))
		return false;
	if (c->flags & CACHE_IN)
		return nat_short_owner(k, e, c);
	return !(c->flags & CACHE_GUARD) || plain_guarded(k, c);
}

/* From a VM to the wire: what nat_short_read() has read. */
static __noinline int nat_short_out(hook_ctx *ctx, const struct cache_entry *c)
{
	struct nat_edit *e = nat_edit_of();
	struct plain *k = plain_of(false);
	struct nat_short s;
	struct nat_addr *a;
	struct nat_hop *hop;
	__u32 place;

	if (!k || !e || !nat_short_find(&s, k, c->rest, c->generation) ||
	    !flow_allowed(s.flow, s.side, c->in_port, c->out_port, c->in_judged, c->out_judged))
		return NAT_SHORT_NO;
	place = s.nat->hop;
	hop = bpf_map_lookup_elem(&nat_hops, &place);
	a = nat_addr(s.nat->addr);
	if (!place || !hop || !a || !nat_is_known(a) || hop->ifindex != c->out_ifindex ||
	    hop->looked != c->generation || c->generation - s.nat->looked > NAT_ROUTE_AGE)
		return NAT_SHORT_NO;
	if (!flow_note(s.flow, k, s.side, e->len))
		return NAT_SHORT_NO;
	e->in = false;
	e->addr[0] = a->addr[0];
	e->addr[1] = a->addr[1];
	e->port = s.nat->port;
	e->dst = hop->mac;
	e->src = hop->source_mac;
	if (hook_edit(ctx, k, e))
		return NAT_SHORT_NO;
	stats_rx(c->in_port, e->len);
	stats_tx(hop->port, e->len);
	e->to = hop->port;
	e->ifindex = hop->ifindex;
	return NAT_SHORT_YES;
}

/* From the wire to a VM: what nat_short_read() has read. */
static __noinline int nat_short_in(hook_ctx *ctx, const struct cache_entry *c)
{
	struct nat_edit *e = nat_edit_of();
	struct plain *k = plain_of(false);
	union port_policy policy;
	__u32 network, to;
	struct network *net;
	struct nat_short s;
	struct port *vm, *gateway;

	if (!k || !e)
		return NAT_SHORT_NO;
	network = e->network;
	net = bpf_map_lookup_elem(&networks, &network);
	if (!net || !nat_short_find(&s, k, FLOW_REST(0, network, 0), c->generation) ||
	    s.nat->addr != e->slot || s.nat->port != e->external)
		return NAT_SHORT_NO;
	to = s.flow->port[!s.side];
	vm = bpf_map_lookup_elem(&ports, &to);
	gateway = bpf_map_lookup_elem(&ports, &net->uplink);
	if (!vm || !gateway ||
	    !flow_allowed(s.flow, s.side, net->uplink, to, READ_ONCE(gateway->judged),
			  READ_ONCE(vm->judged)))
		return NAT_SHORT_NO;
	policy = port_policy(vm);
	e->dst = 0;
	__builtin_memcpy(&e->dst, s.nat->mac, 6);
	if (policy.network != network || policy.vlan_mode != VLAN_TRANSPARENT || !e->dst ||
	    hook_size(ctx, e->len) > READ_ONCE(vm->frame_max) || !(policy.xdp_tx || HOOK_ANSWERS))
		return NAT_SHORT_NO;
	if (!flow_note(s.flow, k, s.side, e->len))
		return NAT_SHORT_NO;
	e->in = true;
	e->src = net->host_mac_raw;
	if (hook_edit(ctx, k, e))
		return NAT_SHORT_NO;
	stats_rx(c->in_port, e->len);
	stats_tx(to, e->len);
	e->to = to;
	e->ifindex = READ_ONCE(vm->ifindex);
	return NAT_SHORT_YES;
}

/*
 * The short way of a frame that the cache knows: the hook's action, or NAT_SHORT_NO. by_map is a
 * constant: a program that must not use xdp_ports may not even name it.
 */
static __always_inline int nat_short(struct pkt *p, const struct cache_entry *c, bool by_map)
{
	bool out = c->flags & CACHE_OUT;
	struct nat_edit *e;

	if (!nat_short_read(p->ctx, c, p->len, p->proto) ||
	    (out ? nat_short_out(p->ctx, c) : nat_short_in(p->ctx, c)) != NAT_SHORT_YES)
		return NAT_SHORT_NO;
	e = nat_edit_of();
	return e ? hook_send(p->ctx, e->to, e->ifindex, out, by_map) : NAT_SHORT_NO;
}

#endif
