// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* See nat_known.h. */
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <linux/in.h>
#include "flows.h"
#include "lab.h"
#include "nat_known.h"
#include "tap.h"

/* A place in a table of connections, and the port that is bound for it. */
static struct place {
	struct flow_bucket *bucket;
	__u32 way;
	struct nat_pool *pool;
} places[NAT_KNOWN];

static struct nat_pool *map_pool(__u32 slot, enum nat_proto proto)
{
	__u32 key = NAT_POOL(slot, proto), id;
	int pools = lab_pin("nat_pools"), inner;
	void *at = MAP_FAILED;

	if (!bpf_map_lookup_elem(pools, &key, &id)) {
		inner = bpf_map_get_fd_by_id(id);
		at = mmap(NULL, sizeof(struct nat_pool), PROT_READ, MAP_SHARED, inner, 0);
		close(inner);
	}
	close(pools);
	return at == MAP_FAILED ? NULL : at;
}

void nat_known_forget(void)
{
	for (int i = 0; i < NAT_KNOWN; i++)
		if (places[i].pool)
			munmap(places[i].pool, sizeof(struct nat_pool));
	memset(places, 0, sizeof(places));
}

void nat_known_find(__u16 port)
{
	struct flow_bucket *b = NULL;
	struct place *p = places;
	enum nat_proto proto;

	nat_known_forget();
	while ((b = flows_next(b)))
		for (__u32 way = 0; way < FLOW_WAYS; way++) {
			if (!b->tag[way])
				continue;
			if (p == places + NAT_KNOWN) {
				tap_fail("more than %d connections", NAT_KNOWN);
				return;
			}
			proto = b->flow[way].key.rest >> 24 == IPPROTO_TCP   ? NAT_TCP
				: b->flow[way].key.rest >> 24 == IPPROTO_UDP ? NAT_UDP
									     : NAT_ICMP;
			*p++ = (struct place){b, way, map_pool(b->nat[way].addr, proto)};
			if (!p[-1].pool || b->nat[way].port != port)
				tap_fail("a connection has another external endpoint");
		}
	if (p != places + NAT_KNOWN)
		tap_fail("%td connections", p - places);
}

void nat_known_look(struct nat_known *k)
{
	memset(k, 0, sizeof(*k));
	k->connections = lab_connections(P5);
	for (int i = 0; i < NAT_KNOWN && places[i].pool; i++) {
		const struct place *p = &places[i];
		__u16 port = p->bucket->nat[p->way].port;

		k->at[i].tag = p->bucket->tag[p->way];
		k->at[i].expires = p->bucket->expires[p->way];
		k->at[i].flow = p->bucket->flow[p->way];
		k->at[i].nat = p->bucket->nat[p->way];
		k->at[i].bound = p->pool->at[port];
		k->at[i].used = p->pool->used[port / 64];
		k->at[i].taken = p->pool->taken;
	}
}

void nat_known_mark(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	for (int i = 0; i < NAT_KNOWN && places[i].pool; i++)
		places[i].bucket->expires[places[i].way] = now.tv_sec + 100000;
}

#define SAME(a, b, field) (!memcmp(&(a)->field, &(b)->field, sizeof((a)->field)))

void nat_known_check(const struct nat_known *before)
{
	struct nat_known now;

	nat_known_look(&now);
	if (now.connections != before->connections)
		tap_fail("%u connections, not %u", now.connections, before->connections);
	for (int i = 0; i < NAT_KNOWN; i++) {
		if (!SAME(&now, before, at[i].tag) || !SAME(&now, before, at[i].flow))
			tap_fail("a connection has changed");
		if (now.at[i].expires != before->at[i].expires)
			tap_fail("a connection ends at another time");
		if (!SAME(&now, before, at[i].nat))
			tap_fail("a connection's translation has changed");
		if (!SAME(&now, before, at[i].bound) || now.at[i].used != before->at[i].used ||
		    now.at[i].taken != before->at[i].taken)
			tap_fail("a mapping has changed");
	}
}
