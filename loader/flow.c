// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Connections from the outside. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "err.h"
#include "flow.h"
#include "map.h"

#define FLUSH_TRIES 1000 /* at a range of buckets of which some are locked */

/* The map whose only place holds the table, and the pin for those who look at it. */
static const struct table {
	enum state_map outer;
	const char *name;
	__u32 buckets;
} tables[] = {
	{MAP_FLOWS, "flow_table", FLOW_BUCKETS},
	{MAP_FLOWS_OPENING, "flow_opening_table", FLOW_OPENING_BUCKETS},
};
#define TABLES (sizeof(tables) / sizeof(*tables))

/* Gives the id of a table's map, 0: there is none. */
static __u32 table_id(const struct state *s, const struct table *t)
{
	__u32 zero = 0, id;

	return bpf_map_lookup_elem(s->maps[t->outer], &zero, &id) ? 0 : id;
}

/* Opens a table; *fd is the caller's, -1: there is none. */
static int open_table(const struct state *s, const struct table *t, int *fd)
{
	__u32 id = table_id(s, t);

	*fd = id ? bpf_map_get_fd_by_id(id) : -1;
	return id && *fd < 0 ? fail(errno, "%s: cannot be opened: %s", t->name, strerror(errno))
			     : 0;
}

/* One update puts a table into its place: it is there as a whole, or not at all. */
static int make_table(struct state *s, const struct table *t, int *fd)
{
	const struct map_kind kind = {
		.type = BPF_MAP_TYPE_ARRAY,
		.name = t->name,
		.value = "flow_bucket",
		.value_size = sizeof(struct flow_bucket),
		.flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP,
	};
	int made = map_make(s, &kind, t->buckets), err;
	__u32 zero = 0;

	if (made < 0)
		return fail(made, "%s: cannot be made (%zu MB of kernel memory): %s", t->name,
			    t->buckets * sizeof(struct flow_bucket) >> 20, strerror(-made));
	err = bpf_map_update_elem(s->maps[t->outer], &zero, &made, BPF_ANY);
	if (err) {
		close(made);
		return fail(err, "%s: cannot be put into its place: %s", t->name, strerror(-err));
	}
	*fd = made;
	return 0;
}

int flow_tables_make(struct state *s)
{
	int err = 0, fd = -1;

	for (size_t i = 0; i < TABLES && !err; i++) {
		err = open_table(s, &tables[i], &fd);
		if (!err && fd < 0)
			err = make_table(s, &tables[i], &fd);
		err = err ?: state_pin_map(s, fd, tables[i].name);
		if (fd >= 0)
			close(fd);
	}
	return err;
}

/* ---- reading ---- */

static int map_table(const struct state *s, const struct table *t, const struct flow_bucket **out)
{
	void *at;
	int fd, err = open_table(s, t, &fd);

	if (err || fd < 0)
		return err;
	at = mmap(NULL, t->buckets * sizeof(**out), PROT_READ, MAP_SHARED, fd, 0);
	err = errno;
	close(fd);
	if (at == MAP_FAILED)
		return fail(err, "%s: cannot be mapped: %s", t->name, strerror(err));
	*out = at;
	return 0;
}

int flow_view_open(struct state *s, struct flow_view *out)
{
	struct flow_view v = {};
	struct timespec now;
	int err = 0;

	if (state_exists(s))
		err = map_table(s, &tables[0], &v.flows) ?: map_table(s, &tables[1], &v.opening);
	if (err) {
		flow_view_close(&v);
		return err;
	}
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	v.now = now.tv_sec;
	*out = v;
	return 0;
}

void flow_view_close(struct flow_view *v)
{
	if (v->flows)
		munmap((void *)v->flows, FLOW_BUCKETS * sizeof(*v->flows));
	if (v->opening)
		munmap((void *)v->opening, FLOW_OPENING_BUCKETS * sizeof(*v->opening));
	*v = (struct flow_view){};
}

/* Copies a flow that is there and not expired; programs may be changing it meanwhile. */
static bool read_flow(const struct flow_bucket *b, __u32 place, __u32 now, struct flow *f,
		      struct nat_flow *nat, __u32 *left)
{
	__u16 tag = __atomic_load_n(&b->tag[place], __ATOMIC_ACQUIRE);
	__u32 expires = __atomic_load_n(&b->expires[place], __ATOMIC_RELAXED);

	if (!tag || expires <= now)
		return false;
	*f = b->flow[place];
	*nat = f->flags & FLOW_NAT ? b->nat[place] : (struct nat_flow){};
	*left = expires - now;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&b->tag[place], __ATOMIC_RELAXED) == tag;
}

static void visit_table(const struct flow_view *v, bool opening, const struct flow_filter *filter,
			flow_visit visit, void *data)
{
	const struct flow_bucket *b = opening ? v->opening : v->flows;
	__u32 buckets = b ? tables[opening].buckets : 0, left;
	struct nat_flow nat;
	struct flow f;

	for (__u32 at = 0; at < buckets; at++)
		for (__u32 i = 0; i < FLOW_WAYS; i++)
			if (read_flow(&b[at], i, v->now, &f, &nat, &left) &&
			    (f.key.rest & 0xfff) != NAT_SPACE_VID && flow_fits(&f, filter))
				visit(&f, nat.addr ? &nat : NULL, left, opening, data);
}

void flow_foreach(const struct flow_view *v, const struct flow_filter *filter, flow_visit visit,
		  void *data)
{
	visit_table(v, false, filter, visit, data);
	visit_table(v, true, filter, visit, data);
}

/* ---- removing ---- */

/* One run of the program that flushes. Returns 0, -EBUSY when it is to be repeated, -errno. */
static int flush_run(const struct state *s, const struct flow_flush *ask)
{
	unsigned char frame[FLOW_FLUSH_AT + sizeof(*ask)] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame));
	int err;

	memcpy(frame + FLOW_FLUSH_AT, ask, sizeof(*ask));
	err = bpf_prog_test_run_opts(s->progs[PROG_FLOW_FLUSH], &opts);
	return err ?: opts.retval & FLOW_FLUSH_BUSY ? -EBUSY : 0;
}

/* Goes through all buckets; -EBUSY: all but some that stay locked. */
static int flush_table(const struct state *s, const struct table *t,
		       const struct flow_filter *filter)
{
	struct flow_flush ask = {
		.filter = *filter,
		.buckets = FLOW_FLUSH_BUCKETS,
		.opening = t->outer == MAP_FLOWS_OPENING,
	};
	int err, tries, busy = 0;

	for (; ask.first < t->buckets; ask.first += ask.buckets) {
		tries = 0;
		while ((err = flush_run(s, &ask)) == -EBUSY && ++tries < FLUSH_TRIES)
			sched_yield();
		if (err == -EBUSY)
			busy = err;
		else if (err)
			return err;
	}
	return busy;
}

int flow_flush(struct state *s, const struct flow_filter *filter)
{
	int err = 0, busy = 0;

	for (size_t i = 0; i < TABLES && !err; i++) {
		err = table_id(s, &tables[i]) ? flush_table(s, &tables[i], filter) : 0;
		if (err == -EBUSY) {
			busy = err;
			err = 0;
		}
	}
	err = err ?: busy;
	return err ? fail(err, "flows: cannot be flushed: %s", strerror(-err)) : 0;
}

/*
 * Waits until each program that runs now has ended: what it began to make is made then. The
 * kernel does so when a map in a map is replaced, here by itself.
 */
static int settle(const struct state *s)
{
	__u32 zero = 0;
	int fd, err = open_table(s, &tables[0], &fd);

	if (err || fd < 0)
		return err;
	err = bpf_map_update_elem(s->maps[tables[0].outer], &zero, &fd, BPF_ANY);
	close(fd);
	return err ? fail(err, "%s: cannot be put into its place: %s", tables[0].name,
			  strerror(-err))
		   : 0;
}

int flow_forget(struct state *s, const struct flow_filter *filter)
{
	/* A data plane that ends takes its tables along. */
	return s->meta->ready ? settle(s) ?: flow_flush(s, filter) : 0;
}
