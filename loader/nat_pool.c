// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The ports of external addresses. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "err.h"
#include "flow.h"
#include "map.h"
#include "nat_pool.h"

#define BIND_TRIES 8

static const struct map_kind pool_kind = {
	.type = BPF_MAP_TYPE_ARRAY,
	.name = "nat_pool",
	.value = "nat_pool",
	.value_size = sizeof(struct nat_pool),
	.flags = BPF_F_MMAPABLE,
};

int nat_pool_make(const struct state *s)
{
	int fd = map_make(s, &pool_kind, 1);

	return fd < 0 ? fail(fd, "nat_pool: cannot be made (%zu MB of kernel memory): %s",
			     sizeof(struct nat_pool) >> 20, strerror(-fd))
		      : fd;
}

int nat_pool_open(const struct state *s, __u32 slot, enum nat_proto proto, struct nat_pool **out)
{
	int fd = map_inner(s->maps[MAP_NAT_POOLS], NAT_POOL(slot, proto)), err;
	void *at;

	if (fd == -ENOENT) {
		*out = NULL;
		return 0;
	}
	if (fd < 0)
		return fail(fd, "nat_pool: cannot be opened: %s", strerror(-fd));
	at = mmap(NULL, sizeof(struct nat_pool), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	err = errno;
	close(fd);
	if (at == MAP_FAILED)
		return fail(err, "nat_pool: cannot be mapped: %s", strerror(err));
	*out = at;
	return 0;
}

void nat_pool_close(struct nat_pool *pool)
{
	if (pool)
		munmap(pool, sizeof(*pool));
}

/* The first port that is bound, from one on; or NAT_POOL_PORTS. */
static __u32 next_bound(const struct nat_pool *pool, __u32 port)
{
	__u64 word;

	while (port < NAT_POOL_PORTS) {
		word = __atomic_load_n(&pool->used[port / 64], __ATOMIC_RELAXED) >> port % 64;
		if (word)
			return port + __builtin_ctzll(word);
		port += 64 - port % 64;
	}
	return NAT_POOL_PORTS;
}

void nat_pool_count(const struct nat_pool *pool, __u32 *bound, __u32 *displaced)
{
	__u32 port = 0;

	while ((port = next_bound(pool, port)) < NAT_POOL_PORTS) {
		++*bound;
		*displaced += pool->at[port++].displaced;
	}
}

/* ---- mappings that are looked for elsewhere ---- */

/* In the order in which a program that frees the port meanwhile leaves nothing wrong behind. */
static int displace(struct state *s, __u32 slot, struct nat_binding *b, enum nat_proto proto,
		    __u64 *displaced, __u16 port)
{
	const struct nat_endpoint e = {
		.addr = {b->addr[0], b->addr[1]},
		.port = b->port,
		.network = b->network,
		.proto = proto,
	};
	const struct nat_mapping m = {.addr = slot, .port = port};
	int err;

	__atomic_fetch_add(&displaced[nat_displaced_place(&e)], 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&b->displaced, 1, __ATOMIC_SEQ_CST);
	err = bpf_map_update_elem(s->maps[MAP_NAT_ENDPOINTS], &e, &m, BPF_NOEXIST);
	return !err || err == -EEXIST
		       ? 0
		       : fail(err, "nat_endpoints: cannot be written: %s", strerror(-err));
}

static int rehome_pool(struct state *s, __u32 slot, enum nat_proto proto, __u32 network,
		       const struct nat_network *n, __u64 *displaced)
{
	struct nat_pool *pool;
	int err = nat_pool_open(s, slot, proto, &pool);
	struct nat_binding *b;
	__u32 port = 0;

	if (err || !pool)
		return err;
	for (; !err && (port = next_bound(pool, port)) < NAT_POOL_PORTS; port++) {
		b = &pool->at[port];
		if (b->refs & ~NAT_FORWARD && b->network == network && !b->displaced &&
		    nat_home(n, b->addr, b->addr[0] == FLOW_IPV4) != slot)
			err = displace(s, slot, b, proto, displaced, port);
	}
	nat_pool_close(pool);
	return err;
}

int nat_pool_rehome(struct state *s, __u32 slot, __u32 network, const struct nat_network *n)
{
	const size_t size = NAT_DISPLACED * sizeof(__u64);
	__u64 *displaced =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, s->maps[MAP_NAT_DISPLACED], 0);
	int err = 0;

	if (displaced == MAP_FAILED)
		return fail(errno, "nat_displaced: cannot be mapped: %s", strerror(errno));
	for (int proto = 0; proto < NAT_PROTOS && !err; proto++)
		err = rehome_pool(s, slot, proto, network, n, displaced);
	munmap(displaced, size);
	return err;
}

/* ---- forwards ---- */

/* Ends the flows of ports: as few aligned ranges as they are made of. */
static int flush_ports(struct state *s, const struct nat_ports *p)
{
	__u32 at = p->first, end = p->first + p->n, size;
	int err = 0;

	for (; at < end && !err; at += size) {
		size = at ? at & -at : 0x10000;
		while (size > end - at)
			size /= 2;
		err = nat_flush(s, p->slot, p->proto, at, ~(size - 1));
	}
	return err;
}

static __u64 port_bit(__u32 port)
{
	return 1ULL << (port % 64);
}

/* Takes a port, unless a mapping holds it; left: a bit that nobody cleared is no mapping. */
static bool take_port(struct nat_pool *pool, const struct nat_ports *p, __u32 port, bool left)
{
	struct nat_binding *b = &pool->at[port];
	__u64 was = __atomic_fetch_or(&pool->used[port / 64], port_bit(port), __ATOMIC_SEQ_CST);
	__u32 refs = __atomic_load_n(&b->refs, __ATOMIC_SEQ_CST);

	if (was & port_bit(port) && !(refs & NAT_FORWARD) && (refs || !left))
		return false;
	b->addr[0] = p->inside[0];
	b->addr[1] = p->inside[1];
	b->port = p->inside_port + (port - p->first);
	b->network = p->network;
	b->displaced = false;
	__atomic_fetch_or(&b->refs, NAT_FORWARD, __ATOMIC_SEQ_CST);
	if (!(was & port_bit(port)))
		__atomic_fetch_add(&pool->taken, 1, __ATOMIC_RELAXED);
	return true;
}

int nat_ports_bind(struct state *s, const struct nat_ports *p)
{
	__u32 left = p->n;
	struct nat_pool *pool;
	int err = nat_pool_open(s, p->slot, p->pool, &pool);

	if (err)
		return err;
	if (!pool)
		return fail(ENOENT, "nat_pool: address %u has none", p->slot);
	for (int tries = 0; left && !err && tries < BIND_TRIES; tries++) {
		left = 0;
		for (__u32 i = 0; i < p->n; i++)
			left += !take_port(pool, p, p->first + i, tries);
		if (left)
			err = flush_ports(s, p);
	}
	if (!err && left)
		err = fail(EBUSY, "port %u: a mapping does not give it up", p->first);
	nat_pool_close(pool);
	return err;
}

int nat_ports_free(struct state *s, const struct nat_ports *p, bool flush)
{
	struct nat_pool *pool;
	__u32 refs, freed = 0;
	int err = nat_pool_open(s, p->slot, p->pool, &pool);

	if (err || !pool)
		return err;
	for (__u32 port = p->first; port < p->first + p->n; port++) {
		refs = __atomic_fetch_and(&pool->at[port].refs, ~NAT_FORWARD, __ATOMIC_SEQ_CST);
		freed += !!(refs & NAT_FORWARD);
		if (refs != NAT_FORWARD)
			continue; /* it was none's, or its last flow frees it */
		pool->at[port].network = 0;
		__atomic_fetch_sub(&pool->taken, 1, __ATOMIC_RELAXED);
		__atomic_fetch_and(&pool->used[port / 64], ~port_bit(port), __ATOMIC_SEQ_CST);
	}
	nat_pool_close(pool);
	return freed && flush ? flush_ports(s, p) : 0;
}

int nat_flush(struct state *s, __u32 slot, __u8 proto, __u16 port, __u16 port_mask)
{
	struct flow_filter of_ports = {
		.rest = proto ? FLOW_REST(proto, 1, 0) : 0,
		.rest_mask = proto ? FLOW_REST_PROTO : 0,
		.nat = slot << 16 | port,
		.nat_mask = 0xffff0000 | port_mask,
	};

	return flow_forget(s, &of_ports);
}
