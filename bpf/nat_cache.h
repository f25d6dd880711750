/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * NAT's short way, at both hooks: plain packets (bpf/plain.h) of connections that are translated.
 * The decision cache says that packets between two link-layer addresses are to be looked at so:
 * from a VM to its gateway (CACHE_OUT), from the wire to the host (CACHE_IN). What is found has to
 * be as the whole way left it: the flow allowed by what judges it now, the next hop looked up in
 * this generation, and the flow's route not long before.
 *
 * A connection that is not established is opened here, or answered: as on the whole way, by the
 * same functions, but without all that the decision cache knows (nat_open()). What is not clear
 * then, or refused, takes the whole way, on which nothing of it has been counted yet.
 */
#ifndef BPF_NAT_CACHE_H
#define BPF_NAT_CACHE_H

#include "flow_cache.h"
#include "judge.h"
#include "nat_map.h"
#include "nat_route.h"
#include "offload.h"

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

	/* the packet's flow */
	__u32 side;
	__u32 rest;  /* as in struct flow_key */
	__u32 place; /* as in a hint, or FLOW_NOWHERE: it is not an established one */
	__u32 where; /* in which tables it may be (FLOW_…) */
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
static __always_inline bool hook_complete(hook_ctx *ctx, __u32 proto, enum sum sum);
/* Sends it. to: the port; ifindex: its device; by_map: XDP's xdp_ports. Returns the hook's action. */
static __always_inline int hook_send(hook_ctx *ctx, __u32 to, __u32 ifindex, bool uplink,
				     bool by_map);

/* The short ways' answer: it takes the whole one, or nat_edit says where to. Actions are not
 * negative. */
#define NAT_SHORT_NO   -1
#define NAT_SHORT_YES  0
#define NAT_SHORT_OPEN 1 /* its connection is not established */

/* Reads an untagged frame. */
static __always_inline bool nat_plain(struct plain *k, hook_ctx *ctx, __u32 proto, __u32 len)
{
	struct pkt p = {.ctx = ctx, .proto = proto, .len = len};

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

/* ---- where a packet's flow is ---- */

/* In which tables flows are that hold a port. */
static __always_inline __u32 nat_where(const struct nat_binding *b)
{
	__u32 opening = READ_ONCE(b->opening), all = READ_ONCE(b->refs) & ~NAT_FORWARD;

	return (opening ? FLOW_UNANSWERED : 0) | (all > opening ? FLOW_ANSWERED : 0);
}

/*
 * In which tables the flow of a VM's packet may be: none but those that hold the port of its
 * endpoint, unless the endpoint has others, too (a forward's, a displaced one).
 */
static __always_inline __u32 nat_where_out(const struct plain *k, const struct nat_network *n,
					   __u32 network)
{
	struct nat_endpoint e = {
		.addr = {k->src[0], k->src[1]},
		.port = k->sport,
		.network = network,
		.proto = k->proto == IPPROTO_TCP ? NAT_TCP : NAT_UDP,
	};
	struct nat_pool *pool = nat_pool(nat_home(n, k->src, !k->ip6), e.proto);
	__u64 *displaced = nat_displaced_of(&e);

	if (!pool || !displaced || READ_ONCE(*displaced) ||
	    (k->sport >= n->served_min && k->sport <= n->served_max))
		return FLOW_ANSWERED | FLOW_UNANSWERED;
	return nat_binding_is(&pool->at[k->sport], &e) ? nat_where(&pool->at[k->sport]) : 0;
}

/* From a VM: unless it is for the gateway itself. */
static __always_inline bool nat_short_leaves(const struct plain *k, struct nat_edit *e,
					     const struct cache_entry *c)
{
	struct nat_network *n;

	e->network = (c->rest >> 12 & 0xfff) + 1;
	n = nat_network(e->network);
	if (!n || !(n->flags & NAT_ROUTES))
		return false;
	return k->ip6 ? k->dst[0] != n->gateway6[0] || k->dst[1] != n->gateway6[1]
		      : k->dst[1] >> 32 != n->gateway;
}

/* Finds a packet's flow if it is established: to nat_edit.place. now: the generation. */
static __always_inline void nat_short_seek(struct plain *k, struct nat_edit *e, __u32 now)
{
	struct flow_asked asked = flow_ask(k, now);
	bool syn = k->proto == IPPROTO_TCP && k->tcp.flags & TCP_SYN;
	struct l3 *l = l3_of(false);
	struct nat_network *n;

	e->side = flow_side(k);
	e->rest = FLOW_REST(k->proto, e->network, 0);
	e->place = flow_hinted(&asked);
	if (e->place != FLOW_NOWHERE || !l)
		return;
	flow_key_plain(l, k, e->side & 1, e->rest);
	if (!e->in && (k->proto == IPPROTO_UDP || syn))
		flow_fetch(false, FLOW_UNANSWERED);
	n = nat_network(e->network);
	if (n && !e->in)
		e->where = nat_where_out(k, n, e->network);
	if (e->where == FLOW_UNANSWERED) /* and there it will be put, if this is the answer */
		flow_fetch(false, FLOW_UNANSWERED | (syn ? 0 : FLOW_ANSWERED));
	if (!(e->where & FLOW_ANSWERED))
		return;
	e->place = flow_seek(false);
	flow_hint(&asked, e->place);
}

/* The flow in a packet's place, if it is the packet's. */
static __always_inline bool nat_short_find(struct flow_at *at, const struct plain *k,
					   const struct nat_edit *e)
{
	flow_answered(at, e->place);
	return at->flow && at->nat->addr && at->flow->flags & FLOW_NAT &&
	       flow_is(at->flow, k, e->side & 1, e->rest);
}

/* ---- established connections ---- */

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
	e->where = nat_where(b);
	return e->where;
}

/*
 * Reads a packet, and whose it is, into the places for that. Returns whether it may take the short
 * way.
 */
static __noinline int nat_short_read(hook_ctx *ctx, const struct cache_entry *c, __u32 len,
				     __u32 proto, enum sum sum)
{
	struct nat_edit *e = nat_edit_of();
	struct plain *k = plain_of(false);

	if (!HOOK_ANSWERS && c->flags & CACHE_OUT && !(c->flags & CACHE_XDP))
		return false;
	if (!k || !e || !nat_plain(k, ctx, proto, len) || !nat_hops_left(ctx, k))
		return false;
	e->len = len;
	if (c->flags & CACHE_CHECK && !hook_complete(ctx, proto, sum))
		return false;
	e->in = !!(c->flags & CACHE_IN);
	if (e->in ? !nat_short_owner(k, e, c)
		  : !nat_short_leaves(k, e, c) || (c->flags & CACHE_GUARD && !plain_guarded(k, c)))
		return false;
	nat_short_seek(k, e, c->generation);
	return true;
}

/* Whether a next hop's address was looked up in this generation. */
static __always_inline bool nat_hop_known(const struct nat_hop *hop, const struct cache_entry *c)
{
	return hop && hop->ifindex == c->out_ifindex && hop->looked == c->generation;
}

/* What becomes of a packet for the wire. a: its external address. */
static __always_inline void nat_edit_out(struct nat_edit *e, const struct nat_addr *a, __u16 port,
					 const struct nat_hop *hop)
{
	e->addr[0] = a->addr[0];
	e->addr[1] = a->addr[1];
	e->port = port;
	e->dst = hop->mac;
	e->src = hop->source_mac;
	e->to = hop->port;
	e->ifindex = hop->ifindex;
}

/* Changes a packet as nat_edit says, and counts it. */
static __always_inline int nat_short_send(hook_ctx *ctx, const struct plain *k,
					  const struct nat_edit *e, const struct cache_entry *c)
{
	if (hook_edit(ctx, k, e))
		return NAT_SHORT_NO;
	stats_rx(c->in_port, e->len);
	stats_tx(e->to, e->len);
	return NAT_SHORT_YES;
}

/* From a VM to the wire: what nat_short_read() has read. */
static __noinline int nat_short_out(hook_ctx *ctx, const struct cache_entry *c)
{
	struct nat_edit *e = nat_edit_of();
	struct plain *k = plain_of(false);
	struct flow_at s;
	struct nat_addr *a;
	struct nat_hop *hop;
	__u32 place;

	if (!k || !e)
		return NAT_SHORT_NO;
	if (e->place == FLOW_NOWHERE)
		return NAT_SHORT_OPEN;
	if (!nat_short_find(&s, k, e) || !flow_allowed(s.flow, e->side & 1, c->in_port, c->out_port,
						       c->in_judged, c->out_judged))
		return NAT_SHORT_NO;
	place = s.nat->hop;
	hop = bpf_map_lookup_elem(&nat_hops, &place);
	a = nat_addr(s.nat->addr);
	if (!place || !a || !nat_is_known(a) || !nat_hop_known(hop, c) ||
	    c->generation - s.nat->looked > NAT_ROUTE_AGE)
		return NAT_SHORT_NO;
	if (!flow_note(s.flow, k, e->side & 1, e->len))
		return NAT_SHORT_NO;
	nat_edit_out(e, a, s.nat->port, hop);
	return nat_short_send(ctx, k, e, c);
}

/* The ports that a packet from the wire passes. */
struct nat_ends {
	struct network *net;
	struct port *gateway;
	struct port *vm;
	__u32 to; /* id of the VM's */
};

/* Whether it can be sent to the VM from here, by the flow that it was found to have. */
static __always_inline bool nat_ends_of(struct nat_ends *ends, hook_ctx *ctx, struct nat_edit *e,
					const struct flow *f, const struct nat_flow *nat)
{
	__u32 network = e->network;
	union port_policy policy;

	ends->net = bpf_map_lookup_elem(&networks, &network);
	if (!ends->net || nat->addr != e->slot || nat->port != e->external)
		return false;
	ends->to = f->port[!(e->side & 1)];
	ends->vm = bpf_map_lookup_elem(&ports, &ends->to);
	ends->gateway = bpf_map_lookup_elem(&ports, &ends->net->uplink);
	if (!ends->vm || !ends->gateway)
		return false;
	policy = port_policy(ends->vm);
	e->dst = 0;
	__builtin_memcpy(&e->dst, nat->mac, 6);
	e->src = ends->net->host_mac_raw;
	e->to = ends->to;
	e->ifindex = READ_ONCE(ends->vm->ifindex);
	return policy.network == network && policy.vlan_mode == VLAN_TRANSPARENT && e->dst &&
	       hook_size(ctx, e->len) <= READ_ONCE(ends->vm->frame_max) &&
	       (policy.xdp_tx || HOOK_ANSWERS);
}

/* From the wire to a VM: what nat_short_read() has read. */
static __noinline int nat_short_in(hook_ctx *ctx, const struct cache_entry *c)
{
	struct nat_edit *e = nat_edit_of();
	struct plain *k = plain_of(false);
	struct nat_ends ends;
	struct flow_at s;

	if (!k || !e)
		return NAT_SHORT_NO;
	if (e->place == FLOW_NOWHERE)
		return NAT_SHORT_OPEN;
	if (!nat_short_find(&s, k, e) || !nat_ends_of(&ends, ctx, e, s.flow, s.nat) ||
	    !flow_allowed(s.flow, e->side & 1, ends.net->uplink, ends.to,
			  READ_ONCE(ends.gateway->judged), READ_ONCE(ends.vm->judged)))
		return NAT_SHORT_NO;
	if (!flow_note(s.flow, k, e->side & 1, e->len))
		return NAT_SHORT_NO;
	return nat_short_send(ctx, k, e, c);
}

/* ---- connections that are not established ---- */

/* Reads the packet, in l3_scratch[0], and where its flow is if that was not answered. */
__noinline int nat_open_read(hook_ctx *ctx)
{
	struct nat_edit *e = nat_edit_of();
	struct plain *k = plain_of(false);
	struct l3 *l = l3_of(false);

	if (!e || !k || !l)
		return NAT_SHORT_NO;
	l3_read(ctx, false, ETH_HLEN, bpf_htons(k->ip6 ? ETH_P_IPV6 : ETH_P_IP));
	l->len = e->len;
	l->network = e->network;
	l->vid = 0;
	l->from_host = e->in;
	l->to_host = !e->in;
	l->nat = e->in ? NAT_IN : NAT_OUT;
	if (e->in) {
		nat_l3_addr(l->key.dst, e->addr, l->family);
		l->key.dport = e->port;
		l->nat_addr = e->slot;
		l->nat_port = e->external;
	}
	flow_key_make(l);
	l->sought = true;
	l->found = e->where & FLOW_UNANSWERED ? flow_search(false, FLOW_UNANSWERED) : FLOW_NOWHERE;
	return NAT_SHORT_OPEN;
}

/* Whether lists have a say in what a VM sends to its gateway. */
static __always_inline bool nat_open_asks(__u32 id)
{
	struct port *port = bpf_map_lookup_elem(&ports, &id);
	union port_policy policy;

	if (!port)
		return true;
	policy = port_policy(port);
	return policy.list_out || policy.net_list_out || policy.deny_out;
}

/* From a VM: what nat_open_read() has read. Everything but its connection is seen to. */
static __noinline int nat_open_out(hook_ctx *ctx, const struct cache_entry *c)
{
	struct l3 *l = l3_of(false);
	struct nat_flow *nat;
	struct flow_at at;
	struct nat_hop *hop;
	__u32 place;

	if (!l)
		return NAT_SHORT_NO;
	l->key.src_mac = c->src | ACL_KEY_ETHERTYPE((__u64)l->ethertype);
	l->key.dst_mac = c->dst;
	l->in_id = c->in_port;
	l->out_id = c->out_port;
	l->in_judged = c->in_judged;
	l->out_judged = c->out_judged;
	flow_found(&at, l->found);
	nat = at.nat;
	if (!nat && nat_open_asks(c->in_port))
		return NAT_SHORT_NO;
	place = nat && c->generation - nat->looked <= NAT_ROUTE_AGE ? nat->hop : 0;
	hop = bpf_map_lookup_elem(&nat_hops, &place);
	if (place && nat_hop_known(hop, c)) {
		l->hop_place = place;
		return NAT_SHORT_OPEN;
	}
	if (nat_route(ctx, false, l->network) != NAT_OUT || l->mtu || !l->hop_place)
		return NAT_SHORT_NO;
	if (nat) {
		nat->hop = l->hop_place;
		nat->looked = c->generation;
	}
	return NAT_SHORT_OPEN;
}

/* Likewise, from the wire. */
static __noinline int nat_open_in(hook_ctx *ctx, const struct cache_entry *c)
{
	struct nat_edit *e = nat_edit_of();
	struct l3 *l = l3_of(false);
	struct flow_at at;
	struct nat_flow *nat;
	struct nat_ends ends;

	if (!e || !l)
		return NAT_SHORT_NO;
	flow_found(&at, l->found);
	nat = at.nat;
	if (!nat || !nat_ends_of(&ends, ctx, e, at.flow, nat))
		return NAT_SHORT_NO;
	l->in_id = ends.net->uplink;
	l->out_id = ends.to;
	l->in_judged = READ_ONCE(ends.gateway->judged);
	l->out_judged = READ_ONCE(ends.vm->judged);
	return NAT_SHORT_OPEN;
}

/* Its connection may go on, or was opened: the packet is sent. */
static __noinline int nat_open_send(hook_ctx *ctx, const struct cache_entry *c)
{
	struct nat_edit *e = nat_edit_of();
	struct plain *k = plain_of(false);
	struct l3 *l = l3_of(false);
	struct nat_addr *a;
	struct nat_hop *hop;
	__u32 place;

	if (!e || !k || !l)
		return NAT_SHORT_NO;
	if (e->in)
		return nat_short_send(ctx, k, e, c);
	place = l->hop_place;
	hop = bpf_map_lookup_elem(&nat_hops, &place);
	a = nat_addr(l->nat_addr);
	if (!l->nat_addr || !a || !nat_is_known(a) || !nat_hop_known(hop, c))
		return NAT_SHORT_NO;
	nat_edit_out(e, a, l->nat_port, hop);
	return nat_short_send(ctx, k, e, c);
}

/*
 * A plain packet whose connection is not established. In steps, for chains of calls must not be
 * long. Returns NAT_SHORT_YES or NAT_SHORT_NO.
 */
static __always_inline int nat_open(hook_ctx *ctx, const struct cache_entry *c, bool out)
{
	struct l3 *l = l3_of(false);
	int why;

	if (!l || nat_open_read(ctx) != NAT_SHORT_OPEN ||
	    (out ? nat_open_out(ctx, c) : nat_open_in(ctx, c)) != NAT_SHORT_OPEN)
		return NAT_SHORT_NO;
	why = judge_look(ctx, false);
	if (why == JUDGE_ASK && out && l->ask == JUDGE_OPEN)
		why = nat_map(ctx, false) ?: judge_open(false);
	if (!why && l->answers)
		why = judge_promote(false);
	return why ? NAT_SHORT_NO : nat_open_send(ctx, c);
}

/*
 * The short way of a frame that the cache knows: the hook's action, or NAT_SHORT_NO. by_map is a
 * constant: a program that must not use xdp_ports may not even name it.
 */
static __always_inline int nat_short(struct pkt *p, const struct cache_entry *c, bool by_map)
{
	bool out = c->flags & CACHE_OUT;
	struct nat_edit *e;
	int went;

	if (!nat_short_read(p->ctx, c, p->len, p->proto, p->sum))
		return NAT_SHORT_NO;
	went = out ? nat_short_out(p->ctx, c) : nat_short_in(p->ctx, c);
	if (went == NAT_SHORT_OPEN)
		went = nat_open(p->ctx, c, out);
	if (went != NAT_SHORT_YES)
		return NAT_SHORT_NO;
	e = nat_edit_of();
	return e ? hook_send(p->ctx, e->to, e->ifindex, out, by_map) : NAT_SHORT_NO;
}

#endif
