/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The short way behind the decision cache: what a port's lists or guard would look at, but for
 * plain packets of what is known already. A connection's packet passes when its flow says so
 * itself: it has the packet's key, is established, was judged for these two ports by what judges
 * them now, and the segment fits. Whatever changes one of these is seen by the next packet.
 * Everything else takes the whole way.
 *
 * Inline, without helpers and locks; the flow's own cache lines are all that is written.
 */
#ifndef BPF_FLOW_CACHE_H
#define BPF_FLOW_CACHE_H

#include "plain.h"

/* The end of the key that has sent a packet: the one with the lower (address, port) is 0. */
static __always_inline __u32 flow_side(const struct plain *k)
{
	if (k->src[0] != k->dst[0])
		return k->src[0] > k->dst[0];
	if (!k->ip6) /* the lower halves are free */
		return (k->src[1] | k->sport) > (k->dst[1] | k->dport);
	if (k->src[1] != k->dst[1])
		return k->src[1] > k->dst[1];
	return k->sport > k->dport;
}

/* The answered flow in a place, as a hint or flow_search() has it; at.flow is NULL without one. */
static __always_inline void flow_answered(struct flow_at *at, __u32 place)
{
	flow_found(at, place == FLOW_NOWHERE ? place : place & FLOW_HINT_PLACE);
}

/*
 * The place of the established flow with the key in l3_scratch[place], whose time is renewed, or
 * FLOW_NOWHERE.
 */
__noinline __u32 flow_seek(__u32 place)
{
	__u32 found = flow_search(place, FLOW_ANSWERED);
	struct flow_at at;

	flow_answered(&at, found);
	if (!at.flow || at.flow->state != FLOW_ESTABLISHED)
		return FLOW_NOWHERE;
	flow_touch(at.bucket, at.way, at.flow->key.rest >> 24, flow_now());
	return found;
}

/* A packet's key, to l3.flow. */
static __always_inline void flow_key_plain(struct l3 *l, const struct plain *k, __u32 side,
					   __u32 rest)
{
	l->flow.addr[side][0] = k->src[0];
	l->flow.addr[side][1] = k->src[1];
	l->flow.addr[!side][0] = k->dst[0];
	l->flow.addr[!side][1] = k->dst[1];
	l->flow.port[side] = k->sport;
	l->flow.port[!side] = k->dport;
	l->flow.rest = rest;
}

/* A packet's flow without a hint. */
static __always_inline __u32 flow_place_found(const struct plain *k, __u32 side, __u32 rest,
					      bool from_host)
{
	struct l3 *l = l3_of(from_host);

	if (!l)
		return FLOW_NOWHERE;
	flow_key_plain(l, k, side, rest);
	return flow_seek(from_host);
}

/* The same for both directions. Each end is mixed by itself: what they share does not cancel out. */
static __always_inline __u64 flow_hint_mix(const struct plain *k)
{
	__u64 src = (k->src[0] + k->src[1] + k->sport) * 0x9e3779b97f4a7c15ULL;
	__u64 dst = (k->dst[0] + k->dst[1] + k->dport) * 0x9e3779b97f4a7c15ULL;

	return (src ^ src >> 32) + (dst ^ dst >> 32);
}

/* A place to look for a hint in, and the word that it begins with. */
struct flow_asked {
	struct flow_hint *hint; /* NULL: there is none */
	__u64 head;
};

static __always_inline struct flow_asked flow_ask(const struct plain *k, __u32 now)
{
	__u64 mix = flow_hint_mix(k) * 0x9e3779b97f4a7c15ULL;
	__u32 at = mix >> 51;

	return (struct flow_asked){
		.hint = bpf_map_lookup_elem(&flow_hints, &at),
		.head = (__u64)now << 32 | (mix >> 40 & FLOW_HINT_TAGS) << FLOW_HINT_TAG,
	};
}

/* Where a packet's flow is, by a hint; or FLOW_NOWHERE. */
static __always_inline __u32 flow_hinted(const struct flow_asked *a)
{
	__u64 word = a->hint ? READ_ONCE(a->hint->word) : 0;

	return a->hint && word >> FLOW_HINT_TAG == a->head >> FLOW_HINT_TAG ? (__u32)word
									    : FLOW_NOWHERE;
}

static __always_inline void flow_hint(const struct flow_asked *a, __u32 place)
{
	if (a->hint && place != FLOW_NOWHERE)
		WRITE_ONCE(a->hint->word, a->head | place);
}

/* Where a packet's flow is, by a hint if there is one. */
static __always_inline __u32 flow_place(const struct plain *k, __u32 side, __u32 rest, __u32 now,
					bool from_host)
{
	struct flow_asked a = flow_ask(k, now);
	__u32 place = flow_hinted(&a);

	if (place != FLOW_NOWHERE || !a.hint)
		return place;
	place = flow_place_found(k, side, rest, from_host);
	flow_hint(&a, place);
	return place;
}

static __always_inline bool flow_is(const struct flow *f, const struct plain *k, __u32 side,
				    __u32 rest)
{
	const struct flow_key *key = &f->key;

	return !((key->addr[side][0] ^ k->src[0]) | (key->addr[side][1] ^ k->src[1]) |
		 (key->addr[!side][0] ^ k->dst[0]) | (key->addr[!side][1] ^ k->dst[1]) |
		 (key->port[side] ^ k->sport) | (key->port[!side] ^ k->dport) | (key->rest ^ rest));
}

/* Whether a flow's verdict is that its packets from one port to the other pass, still. */
static __always_inline bool flow_allowed(const struct flow *f, __u32 side, __u32 in_port,
					 __u32 out_port, __u32 in_judged, __u32 out_judged)
{
	return f->state == FLOW_ESTABLISHED && !(f->flags & FLOW_DENIED) &&
	       f->port[side] == in_port && f->port[!side] == out_port &&
	       f->generation[side] == in_judged && f->generation[!side] == out_judged;
}

/* Notes and counts a packet of an established flow. Returns false: it needs a closer look. */
static __always_inline bool flow_note(struct flow *f, struct plain *k, __u32 side, __u32 len)
{
	if (k->proto == IPPROTO_TCP) {
		k->tcp.side = side;
		if ((k->tcp.flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) != TCP_ACK ||
		    !tcp_fits(&k->tcp, f))
			return false;
		tcp_learn(&k->tcp, f);
	}
	flow_counts(f, side, len);
	return true;
}

/* A packet of a connection: if it passes, it is noted and counted. */
static __always_inline bool flow_passes(struct plain *k, const struct cache_entry *c, __u32 len,
					bool from_host)
{
	__u32 side = flow_side(k), rest = c->rest | (__u32)k->proto << 24;
	struct flow_at at;

	flow_answered(&at, flow_place(k, side, rest, c->generation, from_host));
	return at.flow && flow_is(at.flow, k, side, rest) &&
	       flow_allowed(at.flow, side, c->in_port, c->out_port, c->in_judged, c->out_judged) &&
	       flow_note(at.flow, k, side, len);
}

/* Whether this hook can send a frame that the cache knows. */
static __always_inline bool hook_sends(struct pkt *p, const struct cache_entry *c);

/*
 * What becomes of a frame that the decision cache knows the way of: TO_PORT, UPPER, or CONTINUE
 * when it needs a closer look.
 */
static __always_inline enum verdict short_way(struct pkt *p, const struct cache_entry *c)
{
	struct plain *k = NULL;

	if (c->flags & (CACHE_OUT | CACHE_IN)) /* bpf/nat_cache.h */
		return CONTINUE;
	if (c->flags & CACHE_GATEWAY && (p->routed || p->external))
		return CONTINUE;
	if (c->flags & (CACHE_TRACK | CACHE_GUARD)) {
		k = plain_of(p->from_host);
		if (!k || !plain_parse(k, p) || (c->flags & CACHE_GUARD && !plain_guarded(k, c)))
			return CONTINUE;
	}
	if (!hook_sends(p, c))
		return UPPER;
	if (c->flags & CACHE_TRACK && (!k || !flow_passes(k, c, p->len, p->from_host)))
		return CONTINUE;
	return TO_PORT;
}

#endif
