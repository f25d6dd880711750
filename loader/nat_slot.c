// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* External addresses in their slots. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "addr.h"
#include "err.h"
#include "nat_pool.h"
#include "nat_slot.h"

#define PUT(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)

/* Whether a slot goes on, with the same address or as the uplink's preferred one. */
static bool goes_on(const struct nat_addr *now, const struct nat_want *w)
{
	return now->ifindex && w->ifindex &&
	       (nat_same_addr(now->addr, now->ifindex, w->addr, w->ifindex) ||
		(now->ifindex == w->ifindex && now->flags & w->flags & NAT_ADDR_OWN &&
		 (now->addr[0] == FLOW_IPV4) == (w->addr[0] == FLOW_IPV4)));
}

bool nat_plan_moves(const struct state *s, const struct nat_plan *p, __u32 slot)
{
	return s->nat_addrs[slot].ifindex && !goes_on(&s->nat_addrs[slot], &p->at[slot]);
}

/* Pools that are to be made, by NAT_POOL(): all are made before anything is changed. */
static int make_pools(struct state *s, const struct nat_plan *p, int *fds)
{
	__u32 place, id;

	for (__u32 i = 1; i < NAT_ADDRS; i++)
		for (int proto = 0; proto < NAT_PROTOS; proto++) {
			place = NAT_POOL(i, proto);
			if (!p->at[i].ifindex || !(p->at[i].pools >> proto & 1) ||
			    (!nat_plan_moves(s, p, i) &&
			     !bpf_map_lookup_elem(s->maps[MAP_NAT_POOLS], &place, &id)))
				continue;
			fds[place] = nat_pool_make(s);
			if (fds[place] < 0)
				return fds[place];
		}
	return 0;
}

/* Removes keys of nat_addr_slots and nat_statics that the plan does not have. */
static int remove_keys(struct state *s, const struct nat_plan *p)
{
	struct nat_static_key inside, next_inside;
	struct nat_addr_key key, next;
	__u32 slot;
	int err;

	for (err = bpf_map_get_next_key(s->maps[MAP_NAT_ADDR_SLOTS], NULL, &next); !err;) {
		key = next;
		err = bpf_map_get_next_key(s->maps[MAP_NAT_ADDR_SLOTS], &key, &next);
		if (bpf_map_lookup_elem(s->maps[MAP_NAT_ADDR_SLOTS], &key, &slot) ||
		    slot >= NAT_ADDRS || !p->at[slot].ifindex ||
		    !addr_equal(p->at[slot].addr, key.addr))
			bpf_map_delete_elem(s->maps[MAP_NAT_ADDR_SLOTS], &key);
	}
	for (err = bpf_map_get_next_key(s->maps[MAP_NAT_STATICS], NULL, &next_inside); !err;) {
		inside = next_inside;
		err = bpf_map_get_next_key(s->maps[MAP_NAT_STATICS], &inside, &next_inside);
		if (bpf_map_lookup_elem(s->maps[MAP_NAT_STATICS], &inside, &slot) ||
		    slot >= NAT_ADDRS || !(p->at[slot].flags & NAT_ADDR_STATIC) ||
		    p->at[slot].network != inside.network ||
		    !addr_equal(p->at[slot].inside, inside.addr))
			bpf_map_delete_elem(s->maps[MAP_NAT_STATICS], &inside);
	}
	return err == -ENOENT ? 0
			      : fail(err, "external addresses: cannot be read: %s", strerror(-err));
}

/* Endpoints of a slot that goes; their flows are gone, and usually took them along. */
static void remove_endpoints(struct state *s, __u32 slot)
{
	struct nat_endpoint key, next;
	struct nat_mapping m;
	int err = bpf_map_get_next_key(s->maps[MAP_NAT_ENDPOINTS], NULL, &next);

	while (!err) {
		key = next;
		err = bpf_map_get_next_key(s->maps[MAP_NAT_ENDPOINTS], &key, &next);
		if (!bpf_map_lookup_elem(s->maps[MAP_NAT_ENDPOINTS], &key, &m) && m.addr == slot)
			bpf_map_delete_elem(s->maps[MAP_NAT_ENDPOINTS], &key);
	}
}

/* Networks and rules have left it. */
static int release(struct state *s, __u32 slot)
{
	int err = nat_flush(s, slot, 0, 0, 0);

	if (err)
		return err;
	remove_endpoints(s, slot);
	PUT(s->nat_addrs[slot].ifindex, 0);
	memset(&s->nat_addrs[slot], 0, sizeof(s->nat_addrs[slot]));
	return 0;
}

/* Writes what is in a slot; the address itself can be changed by the data path, too. */
static int install(struct state *s, const struct nat_want *w, __u32 slot)
{
	struct nat_static_key inside = {.network = w->network};
	struct nat_addr *a = &s->nat_addrs[slot];
	struct nat_addr_key key;
	int err = 0;

	for (int i = 0; i < 2; i++) {
		if (a->addr[i] != w->addr[i])
			PUT(a->addr[i], w->addr[i]);
		PUT(a->inside[i], w->inside[i]);
		key.addr[i] = w->addr[i];
		inside.addr[i] = w->inside[i];
	}
	PUT(a->network, w->network);
	PUT(a->flags, w->flags);
	PUT(a->ifindex, w->ifindex);
	if (addr_given(w->addr))
		err = bpf_map_update_elem(s->maps[MAP_NAT_ADDR_SLOTS], &key, &slot, BPF_ANY);
	if (!err && w->flags & NAT_ADDR_STATIC)
		err = bpf_map_update_elem(s->maps[MAP_NAT_STATICS], &inside, &slot, BPF_ANY);
	return err ? fail(err, "external addresses: cannot be set: %s", strerror(-err)) : 0;
}

static int put_pools(struct state *s, int *fds, __u32 slot, __u64 *fresh)
{
	__u32 place;
	int err = 0;

	for (int proto = 0; proto < NAT_PROTOS && !err; proto++) {
		place = NAT_POOL(slot, proto);
		if (fds[place] < 0)
			continue;
		err = bpf_map_update_elem(s->maps[MAP_NAT_POOLS], &place, &fds[place], BPF_ANY);
		*fresh |= 1ULL << slot;
	}
	return err ? fail(err, "nat_pool: cannot be put into its place: %s", strerror(-err)) : 0;
}

int nat_plan_apply(struct state *s, const struct nat_plan *p, __u64 *fresh)
{
	int fds[NAT_ADDRS * NAT_PROTOS], err;

	memset(fds, 0xff, sizeof(fds)); /* -1 */
	*fresh = 0;
	err = make_pools(s, p, fds) ?: remove_keys(s, p);
	for (__u32 i = 1; i < NAT_ADDRS && !err; i++)
		if (nat_plan_moves(s, p, i))
			err = release(s, i);
	for (__u32 i = 1; i < NAT_ADDRS && !err; i++) {
		if (!p->at[i].ifindex)
			continue;
		if (!s->nat_addrs[i].ifindex)
			*fresh |= 1ULL << i;
		err = put_pools(s, fds, i, fresh) ?: install(s, &p->at[i], i);
	}
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return err;
}

/* A protocol's flows at an address; ICMP is another one for each family. */
static int flush_proto(struct state *s, __u32 slot, enum nat_proto proto)
{
	static const __u8 protos[NAT_PROTOS] = {
		[NAT_TCP] = IPPROTO_TCP,
		[NAT_UDP] = IPPROTO_UDP,
		[NAT_ICMP] = IPPROTO_ICMP,
		[NAT_SCTP] = IPPROTO_SCTP,
	};
	bool ipv6 = s->nat_addrs[slot].addr[0] != FLOW_IPV4;

	return nat_flush(s, slot, proto == NAT_ICMP && ipv6 ? IPPROTO_ICMPV6 : protos[proto], 0, 0);
}

int nat_plan_tidy(struct state *s, const struct nat_plan *p)
{
	__u32 place, id;
	int err = 0;

	for (__u32 slot = 1; slot < NAT_ADDRS; slot++)
		for (int proto = 0; proto < NAT_PROTOS && !err; proto++) {
			place = NAT_POOL(slot, proto);
			if ((p->at[slot].ifindex && p->at[slot].pools >> proto & 1) ||
			    bpf_map_lookup_elem(s->maps[MAP_NAT_POOLS], &place, &id))
				continue;
			if (p->at[slot].ifindex)
				err = flush_proto(s, slot, proto);
			if (!err)
				bpf_map_delete_elem(s->maps[MAP_NAT_POOLS], &place);
		}
	return err;
}
