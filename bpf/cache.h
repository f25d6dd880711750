/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The decision cache: looked at right after parse, filled when a frame went the whole way. */
#ifndef BPF_CACHE_H
#define BPF_CACHE_H

#include "pkt.h"

static __always_inline __u32 cache_generation(void)
{
	__u32 zero = 0;
	struct cache_generation *g = bpf_map_lookup_elem(&generation, &zero);

	return g ? READ_ONCE(g->number) : 0;
}

/* Makes all entries of all CPUs void. */
static __always_inline void cache_void(void)
{
	__u32 zero = 0;
	struct cache_generation *g = bpf_map_lookup_elem(&generation, &zero);

	if (g)
		__sync_fetch_and_add(&g->number, 1);
}

static __always_inline __u32 cache_ifindex(const struct pkt *p)
{
	return hook_ifindex(p->ctx) | (p->from_host ? CACHE_FROM_HOST : 0);
}

static __always_inline struct cache_entry *cache_place(const struct pkt *p)
{
	__u64 mix = (p->dst ^ p->src << 8) * 0x9e3779b97f4a7c15ULL;
	__u32 key = mix >> 54;

	return bpf_map_lookup_elem(&cache, &key);
}

/* Returns the entry that decides about pkt, or NULL. */
static __always_inline struct cache_entry *cache_lookup(struct pkt *p)
{
	struct cache_entry *c = cache_place(p);

	if (!c || c->dst != p->dst || c->src != p->src || c->generation != cache_generation() ||
	    c->ifindex != cache_ifindex(p) || c->tag != p->tag || p->inner_tag ||
	    hook_size(p->ctx, pkt_size(p)) > c->frame_max)
		return NULL;
	return c;
}

/* Which source addresses a guarded port's packets may have: those seen, one of each family. */
static __always_inline void cache_sources(struct cache_entry *c, const struct pkt *p)
{
	const struct l3 *l = p->l3;

	if (!l || !(l->flags & L3_OWNED))
		return;
	if (l->family == 4) {
		c->source4 = l->key.src[0] >> 32;
	} else {
		c->source6[0] = l->key.src[0];
		c->source6[1] = l->key.src[1];
	}
}

/* pkt goes to pkt.out with its tag as it is: the next like it may do so at once. */
static __always_inline void cache_store(const struct pkt *p)
{
	struct cache_entry *c = cache_place(p);

	if (!c || p->inner_tag)
		return;
	if (c->dst != p->dst || c->src != p->src || c->generation != p->generation ||
	    c->ifindex != cache_ifindex(p) || c->tag != p->tag)
		c->source4 = c->source6[0] = c->source6[1] = 0;
	c->dst = p->dst;
	c->src = p->src;
	c->ifindex = cache_ifindex(p);
	c->tag = p->tag;
	c->in_port = p->in_id;
	c->out_port = p->out_id;
	c->out_ifindex = READ_ONCE(p->out->ifindex);
	c->frame_max = READ_ONCE(p->out->frame_max);
	c->flags = (p->out_policy.xdp_tx ? CACHE_XDP : 0) |
		   (p->out_policy.uplink ? CACHE_UPLINK : 0) |
		   (p->in_policy.offloads ? CACHE_CHECK : 0) |
		   (p->in_policy.gateway ? CACHE_GATEWAY : 0);
	if (guard_l3(p->in_policy)) {
		c->flags |= p->in_policy.ip_guard ? CACHE_GUARD | CACHE_SOURCE : CACHE_GUARD;
		cache_sources(c, p);
	}
	if (p->in_policy.track || p->out_policy.track) {
		c->flags |= CACHE_TRACK;
		c->in_judged = READ_ONCE(p->in->judged);
		c->out_judged = READ_ONCE(p->out->judged);
		c->rest = FLOW_REST(0, p->in_policy.network, p->vid);
	}
	c->generation = p->generation;
}

/* pkt was translated, and leaves by port `out`: the next like it may do so at once. */
static __always_inline void cache_store_out(const struct pkt *p, const struct port *out)
{
	struct cache_entry *c = cache_place(p);

	if (!c)
		return;
	cache_store(p);
	c->out_ifindex = READ_ONCE(out->ifindex);
	c->frame_max = READ_ONCE(out->frame_max);
	c->flags &= ~(CACHE_XDP | CACHE_UPLINK);
	c->flags |= CACHE_OUT | (port_policy(out).xdp_tx ? CACHE_XDP : 0);
}

/* pkt came from the wire to an external address (as in struct flow_key), and is translated. */
static __always_inline void cache_store_in(const struct pkt *p, __u32 slot, const __u64 *addr)
{
	struct cache_entry *c = cache_place(p);

	if (!c)
		return;
	c->dst = p->dst;
	c->src = p->src;
	c->ifindex = hook_ifindex(p->ctx);
	c->tag = NO_TAG;
	c->in_port = p->in_id;
	c->frame_max = 0xffffffff; /* the VM's port has it */
	c->flags = CACHE_IN | (p->in_policy.offloads ? CACHE_CHECK : 0);
	c->rest = slot;
	c->source6[0] = addr[0];
	c->source6[1] = addr[1];
	c->generation = p->generation;
}

#endif
