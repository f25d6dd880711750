/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Stage learn, and the table's upkeep: queues, limits, ageing.
 *
 * A learned address has an entry in `fdb` and a node in its port's queue. Removing
 * the entry is what removes the address: whoever's delete succeeds takes it out of
 * the counts; its node is stale from then on and is freed when it comes to the head.
 * Queues are ordered by node stamp: a node goes to the tail when it is queued and
 * when it was looked at and found in use.
 *
 * What is not for each frame is in global functions: the verifier reads those once,
 * not once for each way that leads to them.
 *
 * Under a bpf_spin_lock no helper may be called: pointers are looked up before, and
 * what they were looked up for is checked again under the lock.
 */
#ifndef BPF_FDB_H
#define BPF_FDB_H

#include "cache.h"
#include "pkt.h"
#include "stats.h"

#define FDB_LOCK_TRIES 8
#define FDB_SCAN       32 /* nodes looked at for one that can go */

static __always_inline void fdb_key_set(struct fdb_key *key, __u32 network, __u64 mac, __u16 vid)
{
	__u64 word = mac | (__u64)vid << 48;

	__builtin_memcpy(key, &word, sizeof(word));
	key->network = network;
}

static __always_inline bool fdb_expired(const struct fdb_entry *e, __u64 ageing, __u64 now)
{
	return e->state == FDB_DYNAMIC && (__s64)(now - e->used) > (__s64)ageing;
}

/* Returns the entry of an address that is not older than the ageing time, or NULL. */
static __always_inline struct fdb_entry *fdb_lookup(const struct pkt *p, __u64 mac)
{
	struct fdb_entry *e;
	struct fdb_key key;

	fdb_key_set(&key, p->in_policy.network, mac, p->vid);
	e = bpf_map_lookup_elem(&fdb, &key);
	return e && !fdb_expired(e, p->net->ageing, p->now) ? e : NULL;
}

/* Returns a node index, 0 when all are in use. */
__noinline __u32 fdb_node_alloc(void)
{
	__u32 zero = 0, idx;
	struct fdb_pool *pool = bpf_map_lookup_elem(&fdb_pool, &zero);
	struct fdb_node *n;

	if (!pool)
		return 0;
	for (int i = 0; i < FDB_LOCK_TRIES; i++) {
		bool got = false;

		idx = READ_ONCE(pool->free);
		n = bpf_map_lookup_elem(&fdb_nodes, &idx);
		if (!n)
			return 0;
		bpf_spin_lock(&pool->lock);
		if (idx && pool->free == idx) {
			pool->free = n->next;
			got = true;
		} else if (!idx && !pool->free && pool->fresh < FDB_LEARNED_MAX) {
			idx = ++pool->fresh;
			got = true;
		}
		bpf_spin_unlock(&pool->lock);
		if (got)
			return idx;
	}
	return 0;
}

__noinline int fdb_node_free(__u32 idx)
{
	__u32 zero = 0;
	struct fdb_pool *pool = bpf_map_lookup_elem(&fdb_pool, &zero);
	struct fdb_node *n = bpf_map_lookup_elem(&fdb_nodes, &idx);

	if (!pool || !n || !idx)
		return 0;
	bpf_spin_lock(&pool->lock);
	n->next = pool->free;
	pool->free = idx;
	bpf_spin_unlock(&pool->lock);
	return 0;
}

/* Appends a node to a port's queue. Returns 0, -1 when other CPUs were always faster. */
__noinline int fdb_queue_push(__u32 port, __u32 idx)
{
	struct fdb_queue *q = bpf_map_lookup_elem(&fdb_queues, &port);
	struct fdb_node *n = bpf_map_lookup_elem(&fdb_nodes, &idx), *last;

	if (!q || !n || !idx)
		return -1;
	n->next = 0;
	for (int i = 0; i < FDB_LOCK_TRIES; i++) {
		__u32 tail = READ_ONCE(q->tail);
		bool done = false;

		last = bpf_map_lookup_elem(&fdb_nodes, &tail);
		if (!last)
			return -1;
		bpf_spin_lock(&q->lock);
		if (q->tail == tail) {
			if (tail)
				last->next = idx;
			else
				q->head = idx;
			q->tail = idx;
			done = true;
		}
		bpf_spin_unlock(&q->lock);
		if (done)
			return 0;
	}
	return -1;
}

/* Takes the head `idx` off a port's queue. Returns 0, -1 when it is no longer the head. */
__noinline int fdb_queue_pop(__u32 port, __u32 idx)
{
	struct fdb_queue *q = bpf_map_lookup_elem(&fdb_queues, &port);
	struct fdb_node *n = bpf_map_lookup_elem(&fdb_nodes, &idx);
	int err = -1;

	if (!q || !n || !idx)
		return -1;
	bpf_spin_lock(&q->lock);
	if (q->head == idx) {
		q->head = n->next;
		if (!q->head)
			q->tail = 0;
		err = 0;
	}
	bpf_spin_unlock(&q->lock);
	return err;
}

static __always_inline void fdb_count(struct port *port, struct network *net, __s32 by)
{
	__sync_fetch_and_add(&port->learned, by);
	__sync_fetch_and_add(&net->learned, by);
}

/*
 * Removes a learned address. Who gets the node's number out of the entry does it, and counts
 * it. Returns 0, -1 when that was somebody else.
 */
static __always_inline int fdb_forget(const struct fdb_key *key, struct fdb_entry *e)
{
	__u32 network = key->network, port_id = e->port, idx = READ_ONCE(e->node);
	struct port *port = bpf_map_lookup_elem(&ports, &port_id);
	struct network *net = bpf_map_lookup_elem(&networks, &network);

	if (!port || !net || !idx || __sync_val_compare_and_swap(&e->node, idx, 0) != idx)
		return -1;
	bpf_map_delete_elem(&fdb, key);
	cache_void();
	fdb_count(port, net, -1);
	return 0;
}

/* Why a port's oldest address is looked at. */
enum fdb_why {
	FDB_AGEING, /* goes if it is expired; looked at once in a quarter of the ageing time */
	FDB_LIMIT, /* the port is at its limit: goes if it is expired, and is the only one looked at
		    */
	FDB_FULL,  /* the network or table is full: goes unless it was used since the last look */
};

enum fdb_look {
	FDB_LOOK_EMPTY, /* nothing queued */
	FDB_LOOK_YOUNG, /* the oldest stays where it is, and so do all behind it */
	FDB_LOOK_KEPT,	/* the oldest is in use: it went to the tail */
	FDB_LOOK_STALE, /* a node without an address was freed */
	FDB_LOOK_GONE,	/* the oldest address was removed */
};

/* Looks at the oldest node of a port's queue and frees it if it can go. */
__noinline int fdb_look(__u32 port_id, __u32 why, __u64 now)
{
	struct port *port = bpf_map_lookup_elem(&ports, &port_id);
	struct fdb_queue *q = bpf_map_lookup_elem(&fdb_queues, &port_id);
	__u32 network = port ? port_policy(port).network : 0;
	struct network *net = bpf_map_lookup_elem(&networks, &network);
	__u32 idx = q ? READ_ONCE(q->head) : 0, now_s = now / 1000000000;
	struct fdb_node *n = bpf_map_lookup_elem(&fdb_nodes, &idx);
	struct fdb_entry *e;
	struct fdb_key key = {};
	bool in_use;

	if (!idx || !n || !net)
		return FDB_LOOK_EMPTY;
	if (why == FDB_AGEING && network && now_s - n->stamp < 1 + net->ageing / 4000000000ULL)
		return FDB_LOOK_YOUNG;
	__builtin_memcpy(&key, n, 8);
	key.network = network;
	e = bpf_map_lookup_elem(&fdb, &key);
	in_use = e && e->node == idx && !fdb_expired(e, net->ageing, now) &&
		 (why != FDB_FULL || e->used / 1000000000 > n->stamp);
	if (in_use && why == FDB_LIMIT)
		return FDB_LOOK_YOUNG;
	if (fdb_queue_pop(port_id, idx))
		return FDB_LOOK_KEPT;
	if (in_use) {
		n->stamp = now_s;
		if (!fdb_queue_push(port_id, idx))
			return FDB_LOOK_KEPT;
	}
	if (e && e->node == idx && !fdb_forget(&key, e)) {
		fdb_node_free(idx);
		return FDB_LOOK_GONE;
	}
	fdb_node_free(idx);
	return FDB_LOOK_STALE;
}

/* Frees a learned address of a port. Returns 0, -1 when there is none to free. */
__noinline int fdb_make_room(__u32 port, __u32 why, __u64 now)
{
	for (int i = 0; i < FDB_SCAN; i++) {
		int r = fdb_look(port, why, now);

		if (r == FDB_LOOK_GONE)
			return 0;
		if (r == FDB_LOOK_EMPTY || r == FDB_LOOK_YOUNG)
			return -1;
	}
	return -1;
}

/* Notes a port that has more learned addresses than any other of its network, or of all. */
__noinline int fdb_weigh(__u32 port_id)
{
	__u32 zero = 0, network, heavy_id;
	struct port *port = bpf_map_lookup_elem(&ports, &port_id), *heavy;
	struct fdb_pool *pool = bpf_map_lookup_elem(&fdb_pool, &zero);
	struct network *net;

	if (!port || !pool)
		return 0;
	network = port_policy(port).network;
	net = bpf_map_lookup_elem(&networks, &network);
	if (!net)
		return 0;
	heavy_id = READ_ONCE(net->heaviest);
	heavy = bpf_map_lookup_elem(&ports, &heavy_id);
	if (!heavy || port_policy(heavy).network != network || port->learned > heavy->learned)
		WRITE_ONCE(net->heaviest, port_id);
	heavy_id = READ_ONCE(pool->heaviest);
	heavy = bpf_map_lookup_elem(&ports, &heavy_id);
	if (!heavy || port->learned > heavy->learned)
		WRITE_ONCE(pool->heaviest, port_id);
	return 0;
}

/*
 * In a full network or table the port with the most learned addresses gives up its oldest:
 * a port that floods addresses can only push out its own. heaviest: that port, as far as known.
 */
__noinline int fdb_evict(__u32 heaviest, __u32 port_id, __u64 now)
{
	struct port *in = bpf_map_lookup_elem(&ports, &port_id);
	struct port *heavy = bpf_map_lookup_elem(&ports, &heaviest);
	__u32 victim = port_id;

	if (!in || !heavy)
		return -1;
	if (heavy->learned > in->learned)
		victim = heaviest;
	if (fdb_make_room(victim, FDB_FULL, now))
		return -1;
	stats_reason(victim, NOTE_FDB_EVICTED);
	return 0;
}

/* Keeps to a port's limit. Returns 0, -1 when it may not learn one more. */
static __always_inline int fdb_port_room(__u32 port_id, struct port *port, __u64 now)
{
	if (!port->fdb_max || port->learned < port->fdb_max)
		return 0;
	return fdb_make_room(port_id, FDB_LIMIT, now);
}

/* Keeps to a network's limit. Returns 0, -1 when it may not learn one more. */
static __always_inline int fdb_network_room(__u32 port_id, __u32 network, struct network *net,
					    __u64 now)
{
	__u32 heaviest = READ_ONCE(net->heaviest);
	struct port *heavy = bpf_map_lookup_elem(&ports, &heaviest);

	if (!net->fdb_max || net->learned < net->fdb_max)
		return 0;
	if (!heavy || port_policy(heavy).network != network)
		heaviest = port_id;
	if (net->learned > net->fdb_max) /* the limit was lowered */
		fdb_evict(heaviest, port_id, now);
	return fdb_evict(heaviest, port_id, now);
}

static __always_inline __u32 fdb_node_get(__u32 port_id, __u64 now)
{
	__u32 idx = fdb_node_alloc(), zero = 0;
	struct fdb_pool *pool;

	if (idx)
		return idx;
	pool = bpf_map_lookup_elem(&fdb_pool, &zero);
	if (!pool || fdb_evict(READ_ONCE(pool->heaviest), port_id, now))
		return 0;
	return fdb_node_alloc();
}

/* Returns 0, -1 when there is no room. Fills in the entry's node. */
static __always_inline int fdb_insert(const struct fdb_key *key, struct fdb_entry *e,
				      struct port *port, struct network *net)
{
	__u32 id = e->port, idx = fdb_node_get(id, e->used);
	struct fdb_node *n = bpf_map_lookup_elem(&fdb_nodes, &idx);
	struct fdb_entry *there;

	if (!idx || !n)
		return -1;
	__builtin_memcpy(n, key, 8);
	n->stamp = e->used / 1000000000;
	e->node = idx;
	fdb_count(port, net, 1);
	if (bpf_map_update_elem(&fdb, key, e, BPF_NOEXIST)) { /* another CPU was faster */
		fdb_count(port, net, -1);
		fdb_node_free(idx);
		return 0;
	}
	if (fdb_queue_push(id, idx)) {
		there = bpf_map_lookup_elem(&fdb, key);
		if (there && there->node == idx)
			fdb_forget(key, there);
		fdb_node_free(idx);
		return -1;
	}
	fdb_weigh(id);
	return 0;
}

/* Learns an address that is new, or was elsewhere. flags: FDB_LOCAL. */
__noinline int fdb_learn_new(__u64 mac, __u32 vid, __u32 network, __u32 port_id, __u32 flags)
{
	struct fdb_entry new = {.used = bpf_ktime_get_coarse_ns(), .port = port_id, .flags = flags},
			 *e;
	struct network *net;
	struct fdb_key key;
	struct port *port;
	bool moved = false;

	fdb_key_set(&key, network, mac, vid);
	port = bpf_map_lookup_elem(&ports, &port_id);
	net = bpf_map_lookup_elem(&networks, &network);
	e = bpf_map_lookup_elem(&fdb, &key);
	if (!port || !net || (e && e->state != FDB_DYNAMIC))
		return 0;
	/* Room first: a port at its limit takes no address away from another. */
	if (fdb_port_room(port_id, port, new.used))
		goto refused;
	e = bpf_map_lookup_elem(&fdb, &key);
	if (e) {
		moved = e->port != port_id;
		if (fdb_forget(&key, e))
			return 0;
	} else if (fdb_network_room(port_id, network, net, new.used)) {
		goto refused;
	}
	if (fdb_insert(&key, &new, port, net))
		goto refused;
	if (moved)
		stats_reason(port_id, NOTE_FDB_MOVED);
	return 0;
refused:
	stats_reason(port_id, NOTE_FDB_REFUSED);
	return 0;
}

/* Whether an address may leave the port that it was learned on. */
static __always_inline bool fdb_may_move(const struct pkt *p, const struct fdb_entry *e)
{
	__u32 id = e->port;
	struct port *from = bpf_map_lookup_elem(&ports, &id);

	return e->state == FDB_DYNAMIC && (id == p->in_id || !from || !port_policy(from).sticky);
}

/* Stage learn (802.1Q, 8.7): the source address is behind the port it came from. */
static __always_inline void fdb_learn(struct pkt *p)
{
	__u32 flags = p->from_host ? FDB_LOCAL : 0;
	struct fdb_entry *e;

	if (!p->in_policy.learning || p->src == p->net->host_mac_raw || !p->src || (p->src & 1))
		return;
	e = fdb_lookup(p, p->src);
	if (e && e->port == p->in_id && (e->flags & FDB_LOCAL) == flags) {
		if (p->now - e->used >= FDB_TOUCH && e->state == FDB_DYNAMIC)
			WRITE_ONCE(e->used, p->now);
		return;
	}
	if (e && !fdb_may_move(p, e))
		return;
	fdb_learn_new(p->src, p->vid, p->in_policy.network, p->in_id, flags);
}

#endif
