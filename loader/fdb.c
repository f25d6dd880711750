// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The forwarding database from the outside. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <bpf/bpf.h>
#include "err.h"
#include "fdb.h"

#define BATCH 4096

int fdb_foreach(struct state *s, fdb_visit visit, void *data)
{
	struct fdb_entry *entries = calloc(BATCH, sizeof(*entries));
	struct fdb_key *keys = calloc(BATCH, sizeof(*keys));
	__u32 at, n;
	bool first = true, last = false;
	int err = entries && keys ? 0 : fail(ENOMEM, "fdb: out of memory");

	while (!err && !last) {
		n = BATCH;
		err = bpf_map_lookup_batch(s->maps[MAP_FDB], first ? NULL : &at, &at, keys, entries,
					   &n, NULL);
		last = err == -ENOENT;
		if (err && !last) {
			err = fail(err, "fdb: cannot read the table: %s", strerror(-err));
			break;
		}
		first = false;
		err = 0;
		for (__u32 i = 0; i < n && !err; i++)
			err = visit(s, &keys[i], &entries[i], data);
	}
	free(entries);
	free(keys);
	return err;
}

static void count(__u32 *counter, __s32 by)
{
	__atomic_fetch_add(counter, by, __ATOMIC_RELAXED);
}

int fdb_remove(struct state *s, const struct fdb_key *key)
{
	struct fdb_entry e;

	if (bpf_map_lookup_and_delete_elem(s->maps[MAP_FDB], key, &e))
		return -ENOENT;
	state_void_cache(s);
	if (key->network > NETWORK_MAX || e.port > PORT_MAX)
		return 0;
	if (e.state == FDB_STATIC) {
		count(&s->networks[key->network].fixed, -1);
	} else if (e.node) { /* else the data path was removing it, and counts */
		count(&s->networks[key->network].learned, -1);
		count(&s->ports[e.port].learned, -1);
	}
	return 0;
}

int fdb_add_static(struct state *s, const struct fdb_key *key, __u32 port, __u8 flags)
{
	struct fdb_entry e = {.port = port, .state = FDB_STATIC, .flags = flags}, old;
	int err;

	for (int tries = 0; tries < 64; tries++) {
		err = bpf_map_update_elem(s->maps[MAP_FDB], key, &e, BPF_NOEXIST);
		if (!err) {
			state_void_cache(s);
			count(&s->networks[key->network].fixed, 1);
			return 0;
		}
		if (err != -EEXIST)
			return err == -E2BIG ? -ENOSPC : err;
		if (!bpf_map_lookup_elem(s->maps[MAP_FDB], key, &old) && old.state == FDB_STATIC)
			return -EEXIST;
		fdb_remove(s, key);
	}
	return -EBUSY;
}

static int remove_learned(struct state *s, const struct fdb_key *key, const struct fdb_entry *e,
			  void *data)
{
	if (e->port == *(__u32 *)data && e->state == FDB_DYNAMIC)
		fdb_remove(s, key);
	return 0;
}

int fdb_remove_learned(struct state *s, __u32 port)
{
	return s->ports[port].learned ? fdb_foreach(s, remove_learned, &port) : 0;
}

static int remove_of_port(struct state *s, const struct fdb_key *key, const struct fdb_entry *e,
			  void *data)
{
	if (e->port == *(__u32 *)data)
		fdb_remove(s, key);
	return 0;
}

int fdb_remove_port(struct state *s, __u32 port)
{
	return fdb_foreach(s, remove_of_port, &port);
}

struct tally {
	__u32 learned[NETWORK_MAX + 1], fixed[NETWORK_MAX + 1], port[PORT_MAX + 1];
};

static int tally_one(struct state *s, const struct fdb_key *key, const struct fdb_entry *e,
		     void *data)
{
	struct tally *t = data;

	if (key->network > NETWORK_MAX || e->port > PORT_MAX)
		return 0;
	if (e->state == FDB_STATIC) {
		t->fixed[key->network]++;
	} else {
		t->learned[key->network]++;
		t->port[e->port]++;
	}
	return 0;
}

static void tally_apply(struct state *s, const struct tally *t)
{
	for (int i = 0; i <= NETWORK_MAX; i++) {
		if (s->networks[i].fixed != t->fixed[i])
			__atomic_store_n(&s->networks[i].fixed, t->fixed[i], __ATOMIC_RELAXED);
		if (s->networks[i].learned != t->learned[i])
			__atomic_store_n(&s->networks[i].learned, t->learned[i], __ATOMIC_RELAXED);
	}
	for (int i = 0; i <= PORT_MAX; i++)
		if (s->ports[i].learned != t->port[i])
			__atomic_store_n(&s->ports[i].learned, t->port[i], __ATOMIC_RELAXED);
}

static __u64 learned_now(const struct state *s)
{
	__u64 n = 0;

	for (int i = 0; i <= NETWORK_MAX; i++)
		n += s->networks[i].learned;
	return n;
}

int fdb_recount(struct state *s)
{
	struct tally *t = malloc(sizeof(*t));
	int err = t ? 0 : fail(ENOMEM, "fdb: out of memory");
	__u64 before;

	/* The data path learns meanwhile: a count during which it did not is the right one. */
	for (int tries = 0; tries < 8 && !err; tries++) {
		memset(t, 0, sizeof(*t));
		before = learned_now(s);
		err = fdb_foreach(s, tally_one, t);
		if (!err && learned_now(s) == before)
			break;
	}
	if (!err)
		tally_apply(s, t);
	free(t);
	return err;
}

static __u64 now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

__u32 fdb_age(const struct fdb_entry *e)
{
	__s64 age = now() - e->used;

	return e->state == FDB_STATIC || age < 0 ? 0 : age / 1000000000;
}

bool fdb_is_expired(struct state *s, const struct fdb_key *key, const struct fdb_entry *e)
{
	return e->state == FDB_DYNAMIC && key->network <= NETWORK_MAX &&
	       (__s64)(now() - e->used) > (__s64)s->networks[key->network].ageing;
}
