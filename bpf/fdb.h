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
		} else if (!idx && !pool->free && pool->fresh < FDB_MAX - 1) {
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

/* Removes a learned address. Returns 0, -1 when somebody else did. */
static __always_inline int fdb_forget(const struct fdb_key *key, __u32 port_id)
{
	__u32 network = key->network;
	struct port *port = bpf_map_lookup_elem(&ports, &port_id);
	struct network *net = bpf_map_lookup_elem(&networks, &network);

	if (!port || !net || bpf_map_delete_elem(&fdb, key))
		return -1;
	cache_void();
	fdb_count(port, net, -1);
	return 0;
}

enum fdb_look {
	FDB_LOOK_EMPTY, /* nothing queued */
	FDB_LOOK_YOUNG, /* the oldest was looked at lately */
	FDB_LOOK_KEPT,	/* the oldest is in use: it went to the tail */
	FDB_LOOK_STALE, /* a node without an address was freed */
	FDB_LOOK_GONE,	/* the oldest address was removed */
};

/*
 * Looks at the oldest node of a port's queue and frees it where it can go: its
 * address is gone or expired, or (evict) was not used since it was queued. Without
 * evict, a node is looked at a quarter of the ageing time after the last look.
 */
__noinline int fdb_look(__u32 port_id, bool evict, __u64 now)
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
	if (!evict && network && now_s - n->stamp < 1 + net->ageing / 4000000000ULL)
		return FDB_LOOK_YOUNG;
	__builtin_memcpy(&key, n, 8);
	key.network = network;
	e = bpf_map_lookup_elem(&fdb, &key);
	in_use = e && e->node == idx && !fdb_expired(e, net->ageing, now) &&
		 (!evict || e->used / 1000000000 > n->stamp);
	if (fdb_queue_pop(port_id, idx))
		return FDB_LOOK_KEPT;
	if (in_use) {
		n->stamp = now_s;
		if (!fdb_queue_push(port_id, idx))
			return FDB_LOOK_KEPT;
	}
	if (e && e->node == idx && !fdb_forget(&key, port_id)) {
		fdb_node_free(idx);
		return FDB_LOOK_GONE;
	}
	fdb_node_free(idx);
	return FDB_LOOK_STALE;
}

/* Frees at least one learned address of a port. Returns 0, -1 when there is none to free. */
__noinline int fdb_make_room(__u32 port, bool evict, __u64 now)
{
	for (int i = 0; i < FDB_SCAN; i++) {
		int r = fdb_look(port, evict, now);

		if (r == FDB_LOOK_GONE)
			return 0;
		if (r == FDB_LOOK_EMPTY || r == FDB_LOOK_YOUNG)
			return -1;
	}
	return -1;
}

/*
 * In a full network the port with the most learned addresses gives up its oldest, so
 * that a port that floods addresses can only push out its own.
 */
__noinline int fdb_evict(__u32 network, __u32 port_id, __u64 now)
{
	struct network *net = bpf_map_lookup_elem(&networks, &network);
	__u32 victim = net ? READ_ONCE(net->heaviest) : 0;
	struct port *in = bpf_map_lookup_elem(&ports, &port_id);
	struct port *heavy = bpf_map_lookup_elem(&ports, &victim);

	if (!in || !heavy)
		return -1;
	if (port_policy(heavy).network != network || heavy->learned <= in->learned)
		victim = port_id;
	if (fdb_make_room(victim, true, now))
		return -1;
	stats_reason(victim, NOTE_FDB_EVICTED);
	return 0;
}

struct fdb_new {
	struct fdb_key key;
	__u32 port;
	__u64 now;
	__u32 flags; /* FDB_LOCAL, FDB_STICKY */
	__u32 pad;
};

static __always_inline int fdb_insert(const struct fdb_new *new)
{
	__u32 port_id = new->port, network = new->key.network, heavy_id, idx;
	struct port *port = bpf_map_lookup_elem(&ports, &port_id), *heavy;
	struct network *net = bpf_map_lookup_elem(&networks, &network);
	struct fdb_entry e = {.used = new->now, .port = port_id, .flags = new->flags};
	struct fdb_key key = new->key; /* 6.1: a key may not be in a caller's memory */
	struct fdb_node *n;

	if (!port || !net)
		return -1;
	if (port->fdb_max && port->learned >= port->fdb_max &&
	    fdb_make_room(port_id, false, new->now))
		return -1;
	if (net->fdb_max && net->learned >= net->fdb_max && fdb_evict(network, port_id, new->now))
		return -1;
	idx = fdb_node_alloc();
	if (!idx && !fdb_evict(network, port_id, new->now))
		idx = fdb_node_alloc();
	n = bpf_map_lookup_elem(&fdb_nodes, &idx);
	if (!idx || !n)
		return -1;
	__builtin_memcpy(n, &key, 8);
	n->stamp = new->now / 1000000000;
	e.node = idx;
	fdb_count(port, net, 1);
	if (bpf_map_update_elem(&fdb, &key, &e, BPF_NOEXIST)) {
		fdb_count(port, net, -1);
		fdb_node_free(idx);
		return -1;
	}
	if (fdb_queue_push(port_id, idx)) {
		fdb_forget(&key, port_id);
		fdb_node_free(idx);
		return -1;
	}
	heavy_id = net->heaviest;
	heavy = bpf_map_lookup_elem(&ports, &heavy_id);
	if (!heavy || port_policy(heavy).network != network || port->learned > heavy->learned)
		WRITE_ONCE(net->heaviest, port_id);
	return 0;
}

/* Learns an address that is new, or was elsewhere. */
__noinline int fdb_learn_new(const struct fdb_new *new)
{
	struct fdb_entry *e;
	struct fdb_key key;

	if (!new)
		return -1;
	key = new->key;
	e = bpf_map_lookup_elem(&fdb, &key);
	if (e && e->state != FDB_DYNAMIC)
		return 0;
	if (e) {
		bool moved = e->port != new->port;

		if (fdb_forget(&key, e->port))
			return 0;
		if (moved)
			stats_reason(new->port, NOTE_FDB_MOVED);
	}
	if (fdb_insert(new))
		stats_reason(new->port, NOTE_FDB_REFUSED);
	return 0;
}

/* Stage learn (802.1Q, 8.7): the source address is behind the port it came from. */
static __always_inline void fdb_learn(struct pkt *p)
{
	__u32 flags = p->from_host ? FDB_LOCAL : 0;
	struct fdb_entry *e;
	struct fdb_new new;

	if (!p->in_policy.learning || p->src == p->net->host_mac_raw || !p->src || (p->src & 1))
		return;
	e = fdb_lookup(p, p->src);
	if (e) {
		if (e->port == p->in_id && (e->flags & FDB_LOCAL) == flags) {
			if (p->now - e->used >= FDB_TOUCH && e->state == FDB_DYNAMIC)
				WRITE_ONCE(e->used, p->now);
			return;
		}
		if (e->state == FDB_STATIC || (e->flags & FDB_STICKY))
			return;
	}
	__builtin_memset(&new, 0, sizeof(new));
	fdb_key_set(&new.key, p->in_policy.network, p->src, p->vid);
	new.port = p->in_id;
	new.now = p->now;
	new.flags = flags | (p->in_policy.sticky ? FDB_STICKY : 0);
	fdb_learn_new(&new);
}

#endif
