/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Connections: finding one in the tables, following its TCP state, and keeping it. What is
 * decided about packets is in judge.h. See maps/flow.h for the tables.
 */
#ifndef BPF_FLOW_H
#define BPF_FLOW_H

#include "cache.h"
#include "flow_table.h"
#include "l3.h"
#include "../maps/flow_cache.maps.h"
#include "../maps/plain.maps.h"
#include "stats.h"

#define TCP_FIN	       0x01
#define TCP_SYN	       0x02
#define TCP_RST	       0x04
#define TCP_ACK	       0x10

#define FLOW_NOWHERE   0xffffffff /* no place */
#define FLOW_OPENING   0x80000000 /* a place in flows_opening */

#define FLOW_ACK_SLACK 66000 /* octets that an acknowledgement may lag behind, at least */
#define FLOW_SCALE_MAX 14    /* RFC 7323, 2.3 */

/* A place in a table. */
struct flow_at {
	struct flow_bucket *bucket;
	struct flow *flow;    /* NULL: not found */
	struct nat_flow *nat; /* likewise */
	__u32 way;
};

static __always_inline __u32 flow_now(void)
{
	return bpf_ktime_get_coarse_ns() / 1000000000;
}

/* ---- keys ---- */

/* Whether it is an ICMP message, of the family's own ICMP. */
static __always_inline bool flow_icmp(const struct l3 *l)
{
	return l->proto == (l->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

/* Whether packets like this have connections, and l3.flow is made of them. */
static __always_inline bool flow_tracks(const struct l3 *l)
{
	if (!l->family || l->flags & (L3_GROUP | L3_FRAG_LATER))
		return false;
	if (flow_icmp(l))
		return l->family == 4
			       ? l->type == ICMP_ECHO_REQUEST || l->type == ICMP_ECHO_REPLY
			       : l->type == ICMP6_ECHO_REQUEST || l->type == ICMP6_ECHO_REPLY;
	switch (l->proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		return l->flags & L3_HAS_L4;
	case IPPROTO_IGMP:
		return false;
	default:
		return true;
	}
}

/* Makes l3.flow and l3.side of l3.key. */
static __always_inline void flow_key_make(struct l3 *l)
{
	__u64 src0 = l->key.src[0], src1 = l->key.src[1], dst0 = l->key.dst[0],
	      dst1 = l->key.dst[1];
	__u16 sport = l->key.sport, dport = l->key.dport;
	struct flow_key *k = &l->flow;

	if (l->family == 4) {
		src1 = src0;
		dst1 = dst0;
		src0 = dst0 = FLOW_IPV4;
	}
	l->side = src0 > dst0 || (src0 == dst0 && (src1 > dst1 || (src1 == dst1 && sport > dport)));
	k->addr[0][0] = l->side ? dst0 : src0;
	k->addr[0][1] = l->side ? dst1 : src1;
	k->addr[1][0] = l->side ? src0 : dst0;
	k->addr[1][1] = l->side ? src1 : dst1;
	k->port[0] = l->side ? dport : sport;
	k->port[1] = l->side ? sport : dport;
	if (flow_icmp(l)) { /* the identifier, who asks */
		k->port[0] = l->icmp_id;
		k->port[1] = l->side ^ (l->type == ICMP_ECHO_REPLY || l->type == ICMP6_ECHO_REPLY);
	}
	k->rest = FLOW_REST(l->proto, l->network, l->vid);
}

static __always_inline __u64 flow_hash(const struct flow_key *k)
{
	__u32 zero = 0;
	struct cache_generation *g = bpf_map_lookup_elem(&generation, &zero);
	const __u64 *w = (const __u64 *)k;
	__u64 h;

	if (!g)
		return 0;
	/* Sums of products with odd numbers, the words being keyed by the seed. */
	h = (w[0] + g->seed) * 0x9e3779b97f4a7c15ULL;
	h += (w[1] ^ g->seed) * 0xc2b2ae3d27d4eb4fULL;
	h += (w[2] + (g->seed >> 7)) * 0x165667b19e3779f9ULL;
	h += (w[3] ^ (g->seed >> 13)) * 0xd6e8feb86659fd93ULL;
	h += (w[4] + (g->seed >> 21)) * 0xa0761d6478bd642fULL;
	h = (h ^ h >> 32) * 0xe7037ed1a0b428dbULL;
	return h ^ h >> 29;
}

static __always_inline __u16 flow_tag(__u64 hash)
{
	return (hash & 0xffff) ?: 1;
}

/* The first or second bucket of a hash. */
static __always_inline __u32 flow_bucket_number(__u64 hash, bool second, __u32 buckets)
{
	__u32 word = second ? (hash * 0x9fb21c651e98df25ULL) >> 32 : hash >> 32;

	return (__u64)word * buckets >> 32;
}

static __always_inline bool flow_key_equal(const struct flow_key *a, const struct flow_key *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3] && x[4] == y[4];
}

/* ---- looking ---- */

static __always_inline void *flow_established(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&flows, &zero);
}

static __always_inline void *flow_opening(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&flows_opening, &zero);
}

/* The place in a bucket of the flow with a key and its hash's tag, or FLOW_WAYS. */
__noinline __u32 flow_way(const struct flow_bucket *b, const struct flow_key *k, __u32 tag,
			  __u32 now)
{
	for (__u32 i = 0; b && k && i < FLOW_WAYS; i++)
		if (READ_ONCE(b->tag[i]) == tag && flow_key_equal(&b->flow[i].key, k) &&
		    (__s32)(READ_ONCE(b->expires[i]) - now) > 0)
			return i;
	return FLOW_WAYS;
}

/* The place, as in a hint (maps/flow_cache.h), of a key in a table, or FLOW_NOWHERE. */
static __always_inline __u32 flow_look(void *table, __u32 buckets, const struct flow_key *k,
				       __u64 hash, __u32 now)
{
	__u32 first = flow_bucket_number(hash, false, buckets), way;
	__u32 second = flow_bucket_number(hash, true, buckets);
	struct flow_bucket *b;

	b = table ? bpf_map_lookup_elem(table, &first) : NULL;
	if (!b)
		return FLOW_NOWHERE;
	way = flow_way(b, k, flow_tag(hash), now);
	if (way < FLOW_WAYS)
		return way << FLOW_HINT_WAY | first;
	b = bpf_map_lookup_elem(table, &second);
	if (!b)
		return FLOW_NOWHERE;
	way = flow_way(b, k, flow_tag(hash), now);
	return way < FLOW_WAYS ? way << FLOW_HINT_WAY | second : FLOW_NOWHERE;
}

/* Where to search: bits. */
#define FLOW_ANSWERED	0x1
#define FLOW_UNANSWERED 0x2

/*
 * Where the flow with the key l3_scratch[place].flow is. A global function: the verifier reads it
 * once.
 */
__noinline __u32 flow_search(__u32 place, __u32 tables)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	__u32 now = flow_now(), found = FLOW_NOWHERE;
	__u64 hash;

	if (!l)
		return FLOW_NOWHERE;
	hash = flow_hash(&l->flow);
	if (tables & FLOW_ANSWERED)
		found = flow_look(flow_established(), FLOW_BUCKETS, &l->flow, hash, now);
	if (found != FLOW_NOWHERE || !(tables & FLOW_UNANSWERED))
		return found;
	found = flow_look(flow_opening(), FLOW_OPENING_BUCKETS, &l->flow, hash, now);
	return found == FLOW_NOWHERE ? found : found | FLOW_OPENING;
}

/*
 * Has the heads of the buckets in which the flow with the key l3_scratch[place].flow may be
 * first, of these tables, on their way from memory, before somebody waits for them.
 */
__noinline int flow_fetch(__u32 place, __u32 tables)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct flow_bucket *b;
	__u64 hash;

	if (!l)
		return 0;
	hash = flow_hash(&l->flow);
	if (tables & FLOW_ANSWERED) {
		b = flow_bucket(false, flow_bucket_number(hash, false, FLOW_BUCKETS));
		if (b)
			(void)READ_ONCE(b->lock);
	}
	if (tables & FLOW_UNANSWERED) {
		b = flow_bucket(true, flow_bucket_number(hash, false, FLOW_OPENING_BUCKETS));
		if (b)
			(void)READ_ONCE(b->lock);
	}
	return 0;
}

/* way, which is one: for 6.1's verifier, which forgets such limits, right where it is used. */
static __always_inline __u32 flow_bound(__u32 way)
{
	asm volatile("" : "+r"(way));
	return way > FLOW_WAYS - 1 ? FLOW_WAYS - 1 : way;
}

/* The flow in a place that flow_search() has found. Returns whether it is an opening one. */
static __always_inline bool flow_found(struct flow_at *at, __u32 found)
{
	bool opening = found & FLOW_OPENING;
	__u32 way;

	at->flow = NULL;
	at->nat = NULL;
	if (found == FLOW_NOWHERE)
		return opening;
	way = flow_bound(found >> FLOW_HINT_WAY & 0xf);
	at->way = way;
	at->bucket = flow_bucket(opening, found & FLOW_HINT_BUCKET);
	if (at->bucket) {
		at->flow = &at->bucket->flow[way];
		at->nat = &at->bucket->nat[way];
	}
	return opening;
}

/* As flow_search(); at.flow is NULL without one. Returns whether it is an opening one. */
static __always_inline bool flow_find(struct flow_at *at, __u32 place, __u32 tables)
{
	return flow_found(at, flow_search(place, tables));
}

/* ---- time ---- */

static __always_inline __u32 flow_secs(__u8 proto, enum flow_state state)
{
	bool answered = state >= FLOW_ESTABLISHED;

	switch (proto) {
	case IPPROTO_TCP:
		return state == FLOW_ESTABLISHED ? FLOW_TCP_SECS
		       : answered		 ? FLOW_TCP_CLOSING_SECS
						 : FLOW_TCP_OPENING_SECS;
	case IPPROTO_UDP:
		return answered ? FLOW_UDP_SECS : FLOW_UDP_OPENING_SECS;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return FLOW_ICMP_SECS;
	default:
		return FLOW_OTHER_SECS;
	}
}

/* A packet of the flow in a place: it lives on. */
static __always_inline void flow_touch(struct flow_bucket *b, __u32 way, __u8 proto, __u32 now)
{
	__u32 expires;

	way = flow_bound(way);
	expires = now + flow_secs(proto, b->flow[way].state);
	if (READ_ONCE(b->expires[way]) != expires)
		WRITE_ONCE(b->expires[way], expires);
}

static __always_inline void flow_counts(struct flow *f, __u32 side, __u32 len)
{
	f->packets[side & 1]++;
	f->bytes[side & 1] += len;
}

/* ---- TCP ---- */

static __always_inline bool tcp_after(__u32 a, __u32 b)
{
	return (__s32)(a - b) > 0;
}

/* Sequence number after a segment. */
static __always_inline __u32 tcp_end(const struct l3 *l)
{
	return l->seq + l->payload + !!(l->type & TCP_SYN) + !!(l->type & TCP_FIN);
}

static __always_inline struct tcp_segment tcp_segment(const struct l3 *l)
{
	return (struct tcp_segment){
		.seq = l->seq,
		.end = tcp_end(l),
		.ack = l->ack,
		.side = l->side & 1,
		.window = l->window,
		.flags = l->type,
	};
}

/*
 * Whether a segment fits what its sender has sent, and what the other end takes and has sent
 * itself: Guido van Rooij, "Real Stateful TCP Packet Filtering in IP Filter", 3. An end that
 * was not seen yet sets no bounds.
 */
static __always_inline bool tcp_fits(const struct tcp_segment *t, const struct flow *f)
{
	const struct flow_tcp *s = &f->tcp[t->side & 1], *r = &f->tcp[!(t->side & 1)];
	__u32 slack = s->max_win > FLOW_ACK_SLACK ? s->max_win : FLOW_ACK_SLACK;

	if (!s->max_win)
		return true;
	if (r->max_win &&
	    (tcp_after(t->seq, s->max_end) || !tcp_after(t->end, s->end - r->max_win - 1)))
		return false;
	if (!(t->flags & TCP_ACK) || !r->max_win)
		return true;
	return !tcp_after(t->ack, r->end) && tcp_after(t->ack, r->end - slack - 1);
}

static __always_inline bool tcp_in_window(const struct l3 *l, const struct flow *f)
{
	struct tcp_segment t = tcp_segment(l);

	return tcp_fits(&t, f);
}

/* Whether a reset is one that its receiver takes (RFC 5961, 3.2, with the window for the point). */
static __always_inline bool tcp_reset_counts(const struct l3 *l, const struct flow *f)
{
	const struct flow_tcp *s = &f->tcp[l->side & 1], *r = &f->tcp[!(l->side & 1)];

	return s->max_win && r->max_win && !tcp_after(r->ack, l->seq) &&
	       !tcp_after(l->seq, s->max_end);
}

/* Notes what a segment says of both ends. */
static __always_inline void tcp_learn(const struct tcp_segment *t, struct flow *f)
{
	struct flow_tcp *s = &f->tcp[t->side & 1], *r = &f->tcp[!(t->side & 1)];
	__u32 scale = t->flags & TCP_SYN ? 0 : f->scale[t->side & 1] & 0xf;
	__u32 win = (__u32)t->window << scale;

	if (!s->max_win) {
		s->end = t->end;
		s->ack = t->ack;
		s->max_end = t->end + (r->max_win ?: win ?: 1);
	}
	if (win > s->max_win || !s->max_win)
		s->max_win = win ?: 1;
	if (tcp_after(t->end, s->end))
		s->end = t->end;
	if (tcp_after(t->end, s->max_end))
		s->max_end = t->end;
	if (!(t->flags & TCP_ACK))
		return;
	if (tcp_after(t->ack, s->ack))
		s->ack = t->ack;
	if (r->max_win && tcp_after(t->ack + win, r->max_end))
		r->max_end = t->ack + (win ?: 1);
}

static __always_inline void tcp_note(const struct l3 *l, struct flow *f)
{
	struct tcp_segment t = tcp_segment(l);

	tcp_learn(&t, f);
}

/* From its middle on: nothing is known of windows, and their scales may be the largest. */
static __always_inline void tcp_loosen(struct flow *f)
{
	f->flags |= FLOW_LOOSE;
	f->scale[0] = f->scale[1] = FLOW_SCALE_MAX;
	f->tcp[0].max_win = f->tcp[1].max_win = 0;
}

/* ---- keeping ---- */

/*
 * What follows looks at the places of a bucket: global functions, of whose results the verifier
 * knows nothing, and so looks at what follows once.
 */

/* A free way of a bucket, rather than one whose flow has expired; or FLOW_WAYS. */
__noinline __u32 flow_free_way(const struct flow_bucket *b, __u32 now)
{
	for (__u32 i = 0; b && i < FLOW_WAYS; i++)
		if (!READ_ONCE(b->tag[i]))
			return i;
	for (__u32 i = 0; b && i < FLOW_WAYS; i++)
		if ((__s32)(READ_ONCE(b->expires[i]) - now) <= 0)
			return i;
	return FLOW_WAYS;
}

/* Whether a bucket has so much room that another one need not be asked. Reads one cache line. */
__noinline int flow_roomy(const struct flow_bucket *b)
{
	__u32 n = 0;

	for (__u32 i = 0; b && i < FLOW_WAYS; i++)
		n += !READ_ONCE(b->tag[i]);
	return n > FLOW_WAYS / 2;
}

/* How many flows are in it. */
__noinline __u32 flow_load(const struct flow_bucket *b, __u32 now)
{
	__u32 n = 0;

	for (__u32 i = 0; b && i < FLOW_WAYS; i++)
		n += READ_ONCE(b->tag[i]) && (__s32)(READ_ONCE(b->expires[i]) - now) > 0;
	return n;
}

/* In a full bucket: a connection that is over already, or FLOW_WAYS. */
__noinline __u32 flow_closed_way(const struct flow_bucket *b)
{
	for (__u32 i = 0; b && i < FLOW_WAYS; i++)
		if (b->flow[i].state == FLOW_CLOSED)
			return i;
	return FLOW_WAYS;
}

/* In a full bucket: one of the port with the most unanswered connections, if that is not `owner`. */
__noinline __u32 flow_heavy_way(const struct flow_bucket *b, __u32 owner)
{
	struct port *port = bpf_map_lookup_elem(&ports, &owner);
	__u32 way = FLOW_WAYS, most = port ? READ_ONCE(port->opening) + 1 : 0, id;

	for (__u32 i = 0; b && i < FLOW_WAYS; i++) {
		id = b->flow[i].owner;
		port = bpf_map_lookup_elem(&ports, &id);
		if (port && READ_ONCE(port->opening) > most) {
			most = READ_ONCE(port->opening);
			way = i;
		}
	}
	return way;
}

/* Writes what a translated flow has; in flows_opening it is counted where its port is. */
static __always_inline void nat_put(struct nat_flow *nat, const struct flow_new *new)
{
	*nat = new->nat;
	if (new->opening && nat->holds)
		nat_count_opening(nat, nat_proto(new->flow.key.rest >> 24), 1);
}

/*
 * Puts the flow in flow_scratch[place] into one of its buckets: the first one while that has
 * plenty of room, so that most are found there at once; else the emptier one. In a full one,
 * an established flow takes the place of one that is closed, and an opening one that of a port
 * with more of them. Returns REASON_NONE or DROP_FLOW_FULL. Counts the owner's.
 */
__noinline int flow_put(__u32 place)
{
	struct flow_new *new = bpf_map_lookup_elem(&flow_scratch, &place);
	__u32 now = flow_now(), buckets, first, second, way;
	struct flow_bucket *b, *other;
	bool opening;
	void *table;

	if (!new)
		return DROP_FLOW_FULL;
	opening = new->opening;
	buckets = opening ? FLOW_OPENING_BUCKETS : FLOW_BUCKETS;
	table = opening ? flow_opening() : flow_established();
	if (!table)
		return DROP_FLOW_FULL;
	first = flow_bucket_number(new->hash, false, buckets);
	b = bpf_map_lookup_elem(table, &first);
	if (!b)
		return DROP_FLOW_FULL;
	if (!flow_roomy(b)) {
		second = flow_bucket_number(new->hash, true, buckets);
		other = bpf_map_lookup_elem(table, &second);
		if (!other)
			return DROP_FLOW_FULL;
		if (flow_load(other, now) < flow_load(b, now))
			b = other;
	}
	if (!flow_lock(b))
		return DROP_FLOW_FULL;
	way = flow_free_way(b, now);
	if (way == FLOW_WAYS) {
		way = opening ? flow_heavy_way(b, new->flow.owner) : flow_closed_way(b);
		if (way < FLOW_WAYS && opening)
			stats_reason(b->flow[way].owner, NOTE_FLOW_EVICTED);
	}
	if (way >= FLOW_WAYS) {
		flow_unlock(b);
		return DROP_FLOW_FULL;
	}
	if (b->tag[way])
		flow_remove(b, way, opening);
	new->state = new->flow.state;
	new->flow.state = FLOW_NONE;
	b->flow[way] = new->flow;
	b->expires[way] = new->expires;
	if (new->flow.flags & FLOW_NAT)
		nat_put(&b->nat[way], new);
	barrier();
	WRITE_ONCE(b->tag[way], flow_tag(new->hash));
	WRITE_ONCE(b->flow[way].state, new->state); /* last: flow_passes() trusts it */
	flow_count(new->flow.owner, 1, opening);
	flow_unlock(b);
	return REASON_NONE;
}

/* Takes a flow out of a table, if it is still where it was found. */
static __always_inline void flow_take(struct flow_at *at, const struct flow_key *k, bool opening)
{
	if (at->way >= FLOW_WAYS || !flow_lock(at->bucket))
		return;
	if (at->bucket->tag[at->way] && flow_key_equal(&at->bucket->flow[at->way].key, k))
		flow_remove(at->bucket, at->way, opening);
	flow_unlock(at->bucket);
}

#endif
