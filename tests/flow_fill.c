// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * For system tests: makes the tables of flows as xdpctl does, and puts flows into them that
 * nobody has sent. Runs in the namespace of the switch.
 *
 *   flow_fill make                            the tables alone; prints their maps' ids
 *   flow_fill fill NETWORK A B FLOWS OPENING EXPIRED
 *                                             replaces what is in them (see make_flow())
 *   flow_fill lock 0|1                        the lock of one bucket of each
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "../loader/err.h"
#include "../loader/flow.h"
#include "../loader/port.h"

#define LOCKED 4000 /* the bucket that `lock` is about */

struct ends {
	__u32 network, a, b, now;
};

static void put_ipv4(__u64 addr[2], __u32 n)
{
	addr[0] = FLOW_IPV4;
	addr[1] = (__u64)n << 32;
}

static void put_ipv6(__u64 addr[2], __u64 upper, __u64 lower)
{
	addr[0] = upper << 32;
	addr[1] = lower;
}

/*
 * Ten kinds take turns, all of them between A, at the first end with 10.x.y.z or fd00::x, and
 * B with 192.0.2.x or fd00:1::x: four of TCP, one of TCP that B opened, UDP, ICMP, ICMPv6 in
 * VLAN 20, denied TCP over IPv6, GRE.
 */
static void make_flow(struct flow *f, const struct ends *e, __u32 i)
{
	static const struct {
		__u8 proto, state, flags;
		__u16 sport, dport;
	} kinds[] = {
		{6, FLOW_ESTABLISHED, 0, 40000, 443},
		{6, FLOW_ESTABLISHED, 0, 40000, 443},
		{6, FLOW_ESTABLISHED, 0, 40000, 443},
		{6, FLOW_ESTABLISHED, 0, 40000, 443},
		{6, FLOW_FIN_WAIT, FLOW_SECOND, 22, 50000},
		{17, FLOW_ESTABLISHED, 0, 5353, 53},
		{1, FLOW_ESTABLISHED, 0, 77, 0},
		{58, FLOW_ESTABLISHED, 0, 78, 0},
		{6, FLOW_ESTABLISHED, FLOW_DENIED, 1024, 443},
		{47, FLOW_ESTABLISHED, 0, 0, 0},
	};
	__u32 kind = i % 10;

	*f = (struct flow){
		.created = e->now > 100 ? e->now - 100 : 0,
		.port = {e->a, e->b},
		.owner = e->a,
		.state = kinds[kind].state,
		.flags = kinds[kind].flags,
		.packets = {3, 4},
		.bytes = {3000, 4000},
	};
	f->key.port[0] = kinds[kind].sport;
	f->key.port[1] = kinds[kind].dport;
	f->key.rest = FLOW_REST(kinds[kind].proto, e->network, kind == 7 ? 20 : 0);
	if (kind == 7 || kind == 8) {
		put_ipv6(f->key.addr[0], 0xfd000000, i);
		put_ipv6(f->key.addr[1], 0xfd000001, kind);
	} else {
		put_ipv4(f->key.addr[0], 10 << 24 | i);
		put_ipv4(f->key.addr[1], 192U << 24 | 2 << 8 | kind);
	}
}

static int open_pinned(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", state_dir(), name);
	fd = bpf_obj_get(path);
	return fd < 0 ? fail(errno, "%s: %s", path, strerror(errno)) : fd;
}

/* Fills a table with n flows, one in each bucket, then two …; the first `expired` are gone. */
static int fill(const char *name, const struct ends *e, bool opening, __u32 n, __u32 expired)
{
	__u32 buckets = opening ? FLOW_OPENING_BUCKETS : FLOW_BUCKETS;
	int fd = open_pinned(name), err = 0;
	struct flow_bucket *b;

	if (fd < 0)
		return fd;
	if (n > buckets * FLOW_WAYS)
		return fail(E2BIG, "%s: has %u places", name, buckets * FLOW_WAYS);
	b = aligned_alloc(64, sizeof(*b));
	for (__u32 at = 0; b && at < buckets && !err; at++) {
		memset(b, 0, sizeof(*b));
		for (__u32 i = at, place = 0; i < n; i += buckets, place++) {
			make_flow(&b->flow[place], e, opening ? 0 : i);
			if (opening) {
				b->flow[place].key.addr[0][1] += (__u64)i << 32;
				b->flow[place].state = FLOW_SYN_SENT;
			}
			b->tag[place] = 1 + i % 0xffff;
			b->expires[place] = i < expired ? e->now : e->now + 1000;
		}
		err = bpf_map_update_elem(fd, &at, b, BPF_ANY);
	}
	free(b);
	close(fd);
	return err ? fail(err, "%s: %s", name, strerror(-err)) : 0;
}

static int run_fill(struct state *s, char **word)
{
	__u32 flows = atoi(word[3]), opening = atoi(word[4]), expired = atoi(word[5]);
	struct network_info net;
	struct port_info port;
	struct timespec now;
	struct ends e;
	int err;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	e.now = now.tv_sec;
	err = network_find(s, word[0], &e.network, &net) ?: port_find(s, word[1], &e.a, &port);
	err = err ?: port_find(s, word[2], &e.b, &port) ?: flow_tables_make(s);
	err = err ?: fill("flow_table", &e, false, flows, expired);
	err = err ?: fill("flow_opening_table", &e, true, opening, 0);
	if (!err) {
		s->ports[e.a].flows = flows + opening;
		s->ports[e.a].opening = opening;
		s->ports[e.b].flows = s->ports[e.b].opening = 0;
	}
	return err;
}

static int run_make(struct state *s)
{
	static const char *const names[] = {"flow_table", "flow_opening_table"};
	int err = flow_tables_make(s);

	for (int i = 0; i < 2 && !err; i++) {
		struct bpf_map_info info = {};
		__u32 len = sizeof(info);
		int fd = open_pinned(names[i]);

		if (fd < 0)
			return fd;
		err = bpf_obj_get_info_by_fd(fd, &info, &len);
		close(fd);
		printf("%s %u %u\n", names[i], info.id, info.max_entries);
	}
	return err;
}

static int run_lock(const char *held)
{
	static const char *const names[] = {"flow_table", "flow_opening_table"};
	struct flow_bucket *b = aligned_alloc(64, sizeof(*b));
	__u32 at = LOCKED;
	int err = b ? 0 : fail(ENOMEM, "out of memory");

	for (int i = 0; i < 2 && !err; i++) {
		int fd = open_pinned(names[i]);

		if (fd < 0)
			err = fd;
		err = err ?: bpf_map_lookup_elem(fd, &at, b);
		b->lock = *held == '1';
		err = err ?: bpf_map_update_elem(fd, &at, b, BPF_ANY);
		close(fd);
	}
	free(b);
	return err;
}

int main(int argc, char **argv)
{
	struct state *s;
	int err = state_init() ?: state_open(STATE_WRITE, &s);

	if (!err && !state_exists(s))
		err = fail(ENOENT, "there is no data plane");
	if (!err && argc == 2 && !strcmp(argv[1], "make"))
		err = run_make(s);
	else if (!err && argc == 8 && !strcmp(argv[1], "fill"))
		err = run_fill(s, argv + 2);
	else if (!err && argc == 3 && !strcmp(argv[1], "lock"))
		err = run_lock(argv[2]);
	else if (!err)
		err = fail(EINVAL, "make | fill NETWORK A B FLOWS OPENING EXPIRED | lock 0|1");
	if (err)
		fprintf(stderr, "flow_fill: %s\n", err_message());
	return err ? 1 : 0;
}
