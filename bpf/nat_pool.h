/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * External ports: which are free, whose they are, and the flows that hold them (maps/nat.h). A
 * port is claimed by setting its bit, and belongs to who has set it until the last flow that
 * holds it is gone.
 */
#ifndef BPF_NAT_POOL_H
#define BPF_NAT_POOL_H

#include <linux/in.h>
#include <linux/in6.h>
#include "pkt.h"

#define NAT_HOLD_TRIES 16
#define NAT_POOL_WORDS 1024
#define NAT_NO_PORT    0x10000

static __always_inline struct nat_pool *nat_pool(__u32 addr, __u32 proto)
{
	__u32 key = NAT_POOL(addr, proto), zero = 0;
	void *map = bpf_map_lookup_elem(&nat_pools, &key);

	return map ? bpf_map_lookup_elem(map, &zero) : NULL;
}

/* The pool of an IP protocol (enum nat_proto), or NAT_PROTOS: it has none. */
static __always_inline __u32 nat_proto(__u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return NAT_TCP;
	case IPPROTO_UDP:
		return NAT_UDP;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return NAT_ICMP;
	case IPPROTO_SCTP:
		return NAT_SCTP;
	default:
		return NAT_PROTOS;
	}
}

static __always_inline struct nat_addr *nat_addr(__u32 slot)
{
	return bpf_map_lookup_elem(&nat_addrs, &slot);
}

/* Whether the uplink has the address: not, where its last one of the family is gone. */
static __always_inline bool nat_is_known(const struct nat_addr *a)
{
	return a->addr[1] || (a->addr[0] && a->addr[0] != FLOW_IPV4);
}

/* One more flow for a port that is bound. Returns 1, or 0: it is not, or not any more. */
__noinline int nat_hold(__u32 addr, __u32 proto, __u32 port)
{
	struct nat_pool *pool = nat_pool(addr, proto);
	struct nat_binding *b;
	__u32 refs;

	if (!pool)
		return 0;
	b = &pool->at[port & 0xffff];
	for (int i = 0; i < NAT_HOLD_TRIES; i++) {
		refs = READ_ONCE(b->refs);
		if (!refs)
			return 0;
		if (__sync_val_compare_and_swap(&b->refs, refs, refs + 1) == refs)
			return 1;
	}
	return 0;
}

/*
 * A connection that comes in holds the port that it came to, l3_scratch[place] says which; a static
 * address has no ports to be held. Returns 1, or 0: the port is not bound any more.
 */
__noinline int nat_take(__u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct nat_addr *a;

	if (!l)
		return 0;
	a = nat_addr(l->nat_addr);
	l->nat_holds = a && !(a->flags & NAT_ADDR_STATIC);
	return !l->nat_holds || nat_hold(l->nat_addr, nat_proto(l->proto), l->nat_port);
}

/* Not on the stack: ports are given back at the end of long chains of calls. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct nat_endpoint);
} nat_freed SEC(".maps");

/* The counter of displaced mappings of an endpoint. */
static __always_inline __u64 *nat_displaced_of(const struct nat_endpoint *e)
{
	__u32 place = nat_displaced_place(e);

	return bpf_map_lookup_elem(&nat_displaced, &place);
}

/* A displaced binding's mapping is forgotten. */
static __always_inline void nat_replace(struct nat_binding *b, __u32 addr, __u32 proto, __u32 port)
{
	__u32 zero = 0;
	struct nat_endpoint *e = bpf_map_lookup_elem(&nat_freed, &zero);
	struct nat_mapping *m;
	__u64 *displaced;

	if (!e)
		return;
	e->addr[0] = b->addr[0];
	e->addr[1] = b->addr[1];
	e->port = b->port;
	e->network = b->network;
	e->proto = proto;
	m = bpf_map_lookup_elem(&nat_endpoints, e);
	if (m && m->addr == addr && m->port == port)
		bpf_map_delete_elem(&nat_endpoints, e);
	displaced = nat_displaced_of(e);
	if (displaced)
		__sync_fetch_and_sub(displaced, 1);
	b->displaced = false;
}

/* Nobody holds the port any more. */
static __always_inline void nat_free(struct nat_pool *pool, __u32 addr, __u32 proto, __u32 port)
{
	struct nat_binding *b = &pool->at[port & 0xffff];

	if (b->displaced)
		nat_replace(b, addr, proto, port);
	WRITE_ONCE(b->network, 0);
	__sync_fetch_and_sub(&pool->taken, 1);
	__sync_fetch_and_and(&pool->used[(port & 0xffff) / 64], ~(1ULL << (port & 63)));
}

static __always_inline void nat_give_back(__u32 addr, __u32 proto, __u32 port)
{
	struct nat_pool *pool = nat_pool(addr, proto);

	if (pool && __sync_fetch_and_sub(&pool->at[port & 0xffff].refs, 1) == 1)
		nat_free(pool, addr, proto, port);
}

/* A flow gives back what it holds. */
__noinline int nat_release(__u32 addr, __u32 proto, __u32 port)
{
	nat_give_back(addr, proto, port);
	return 0;
}

/* Sets a port's bit. Returns whether it was free. */
static __always_inline bool nat_claim(struct nat_pool *pool, __u32 port)
{
	__u64 bit = 1ULL << (port & 63);

	return !(__sync_fetch_and_or(&pool->used[(port & 0xffff) / 64], bit) & bit);
}

/* The number of the lowest bit that is set in a word that is not 0. */
static __always_inline __u32 nat_lowest_bit(__u64 word)
{
	__u32 n = 0;

	for (__u32 half = 32; half; half /= 2)
		if (!(word & ((1ULL << half) - 1))) {
			word >>= half;
			n += half;
		}
	return n;
}

/* A search for a free port. */
struct nat_search {
	struct nat_pool *pool;
	__u32 word;  /* the next one to look at */
	__u32 first; /* the range's words */
	__u32 last;
	__u32 min; /* and its ports */
	__u32 max;
	__u32 found;  /* NAT_NO_PORT: not yet */
	__u64 parity; /* which bits of a word will do */
};

static long nat_search_word(__u32 i, struct nat_search *s)
{
	__u32 w = s->word & (NAT_POOL_WORDS - 1), port;
	__u64 free = ~READ_ONCE(s->pool->used[w]) & s->parity;

	s->word = w >= s->last ? s->first : w + 1;
	if (w == s->min / 64)
		free &= ~0ULL << (s->min & 63);
	if (w == s->max / 64)
		free &= ~0ULL >> (63 - (s->max & 63));
	if (!free)
		return 0;
	port = w * 64 + nat_lowest_bit(free);
	if (!nat_claim(s->pool, port))
		return 0;
	s->found = port;
	return 1;
}

/*
 * Claims a free port of a range: the wished one, else one of the same parity (RFC 4787, REQ-3),
 * else any. range: the first, and the last in the upper half. Returns it or NAT_NO_PORT. The
 * words of the bitmap are gone through twice, at most.
 */
__noinline __u32 nat_port_find(__u32 addr, __u32 proto, __u32 wish, __u32 range)
{
	struct nat_search s = {
		.pool = nat_pool(addr, proto),
		.min = range & 0xffff,
		.max = range >> 16,
		.found = NAT_NO_PORT,
		.parity = wish & 1 ? 0xaaaaaaaaaaaaaaaaULL : 0x5555555555555555ULL,
	};
	__u32 words;

	if (!s.pool || s.min > s.max)
		return NAT_NO_PORT;
	if (wish >= s.min && wish <= s.max && nat_claim(s.pool, wish))
		return wish;
	s.first = s.min / 64;
	s.last = s.max / 64;
	words = s.last - s.first + 1;
	s.word = s.first + bpf_get_prandom_u32() % words;
	bpf_loop(words, nat_search_word, &s, 0);
	if (s.found != NAT_NO_PORT)
		return s.found;
	s.parity = ~0ULL;
	bpf_loop(words, nat_search_word, &s, 0);
	return s.found;
}

/* One more flow of a port is in flows_opening, or one less. */
static __always_inline void nat_count_opening(const struct nat_flow *n, __u32 proto, __s32 add)
{
	struct nat_pool *pool = nat_pool(n->addr, proto);

	if (pool)
		__sync_fetch_and_add(&pool->at[n->port].opening, add);
}

/* A translated flow is taken out of its table: it gives its port back. */
__noinline int nat_forget(struct nat_flow *n, __u32 opening, __u32 ip_proto)
{
	__u32 proto = nat_proto(ip_proto);

	if (!n)
		return 0;
	if (n->holds && proto < NAT_PROTOS) {
		if (opening)
			nat_count_opening(n, proto, -1);
		nat_give_back(n->addr, proto, n->port);
	}
	n->addr = n->holds = 0;
	return 0;
}

#endif
