// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Networks with a gateway. A change goes: state_begin(), the remembered form, nat_sync(),
 * state_end(). nat_sync() plans first, so that what cannot be is refused with nothing changed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "addr.h"
#include "attach.h"
#include "err.h"
#include "flow.h"
#include "gateway.h"
#include "map.h"
#include "nat.h"
#include "nat_pool.h"
#include "nat_rule.h"
#include "nat_slot.h"
#include "netaddr.h"
#include "netdev.h"
#include "parse.h"
#include "uplink.h"

#define PUT(place, value)                                                      \
	do {                                                                   \
		if ((place) != (value))                                        \
			__atomic_store_n(&(place), (value), __ATOMIC_RELEASE); \
	} while (0)

#define MTU_DEFAULT 1500

/* ---- what is remembered ---- */

static int info_put(struct state *s, __u32 id, const struct nat_info *info)
{
	int err = bpf_map_update_elem(s->maps[MAP_NAT_INFO], &id, info, BPF_ANY);

	return err ? fail(err, "network: cannot be remembered: %s", strerror(-err)) : 0;
}

/* Whether there is a network with a gateway at all: each command asks. */
static bool any(struct state *s)
{
	__u32 id;

	return !bpf_map_get_next_key(s->maps[MAP_NAT_INFO], NULL, &id);
}

static void find_uplink(struct state *s, struct nat_entry *e)
{
	struct port_info port;

	if (!e->info.uplink)
		return;
	if (!bpf_map_lookup_elem(s->maps[MAP_PORT_INFO], &e->info.uplink, &port))
		e->uplink_ifindex = port.ifindex;
	if (!e->uplink_ifindex) /* it is missing: its addresses keep their slots */
		e->uplink_ifindex = s->nat_networks[e->id].uplink_ifindex;
}

int nat_list(struct state *s, struct nat_list *out)
{
	struct network_list l;
	struct nat_entry *e;
	int err;

	*out = (struct nat_list){};
	if (!state_exists(s) || !any(s))
		return 0;
	err = network_list(s, &l);
	if (err)
		return err;
	out->at = calloc(l.n + 1, sizeof(*out->at));
	if (!out->at)
		err = fail(ENOMEM, "networks: out of memory");
	for (__u32 i = 0; i < l.n && !err; i++) {
		e = &out->at[out->n];
		e->id = l.at[i].id;
		e->net = l.at[i].info;
		if (l.at[i].info.state == NETWORK_DELETING ||
		    bpf_map_lookup_elem(s->maps[MAP_NAT_INFO], &e->id, &e->info))
			continue;
		find_uplink(s, e);
		out->n++;
	}
	network_list_free(&l);
	return err;
}

void nat_list_free(struct nat_list *l)
{
	free(l->at);
	*l = (struct nat_list){};
}

struct prefix nat_prefix(const __u8 addr[16], __u8 family, __u8 len)
{
	struct prefix p = {.family = family, .len = len};

	memcpy(p.addr, addr, sizeof(p.addr));
	return p;
}

int nat_find(struct state *s, const char *name, struct nat_entry *out)
{
	struct nat_list l;
	int err = network_find(s, name, &out->id, &out->net);

	if (!err && out->net.mode != NETWORK_NAT)
		err = fail(EINVAL, "network %s: is not of mode nat", name);
	err = err ?: nat_list(s, &l);
	if (err)
		return err;
	err = -ENOENT;
	for (__u32 i = 0; i < l.n && err; i++)
		if (l.at[i].id == out->id) {
			*out = l.at[i];
			err = 0;
		}
	nat_list_free(&l);
	return err ? fail(err, "network %s: is not complete", name) : 0;
}

/* The range that `masquerade to` gave. Returns how many addresses, 0: none was given. */
static __u32 masquerade_range(const struct nat_info *info, __u8 family, __u64 first[2])
{
	bool six = family == 6;
	__u64 last[2];

	if (!(info->families & (six ? 2 : 1)))
		return 0;
	addr_pack(first, family, six ? info->first6 : info->first);
	addr_pack(last, family, six ? info->last6 : info->last);
	return addr_distance(first, last) + 1;
}

bool nat_masquerades(const struct nat_info *info, const __u64 addr[2])
{
	__u64 first[2];
	__u32 n = masquerade_range(info, addr[0] == FLOW_IPV4 ? 4 : 6, first);

	return n && addr_distance(first, addr) < n;
}

int nat_check_external(const struct netaddrs *addrs, const struct nat_entry *net,
		       const __u64 addr[2])
{
	char text[ADDR_TEXT];
	struct netdev dev;
	__u64 there[2];

	for (__u32 i = 0; i < addrs->n; i++) {
		addr_pack(there, addrs->at[i].address.family, addrs->at[i].address.addr);
		if (addrs->at[i].ifindex == net->uplink_ifindex && addr_equal(addr, there))
			return 0;
	}
	return fail(EADDRNOTAVAIL, "address %s: is not on the uplink (dev %s)",
		    addr_text(addr, text),
		    netdev_get(NULL, net->uplink_ifindex, &dev) ? "?" : dev.name);
}

/* ---- slots ---- */

/* The addresses that a network's mappings may have. */
static int want_masquerade(struct nat_wants *w, const struct netaddrs *addrs,
			   const struct nat_entry *e, __u8 family)
{
	struct nat_want one = {.ifindex = e->uplink_ifindex, .pools = NAT_ALL_POOLS};
	__u32 n = masquerade_range(&e->info, family, one.addr);

	if (n)
		return nat_want_range(w, &one, n);
	netaddr_preferred(addrs, e->uplink_ifindex, family, one.addr);
	one.flags = NAT_ADDR_OWN;
	return nat_want(w, &one);
}

/* An address that belongs to a VM is none of the host's. */
static void leave_out_statics(const struct nat_rules *rules, struct netaddrs *addrs)
{
	const struct nat_rule_entry *r;
	__u32 n;

	for (__u32 i = 0; i < rules->n; i++) {
		r = &rules->at[i];
		n = 0;
		for (__u32 j = 0; j < addrs->n; j++)
			if (!nat_rule_is_static(r) ||
			    addrs->at[j].address.family != r->key.family ||
			    memcmp(addrs->at[j].address.addr, r->key.external, 16))
				addrs->at[n++] = addrs->at[j];
		addrs->n = n;
	}
}

static int gather(const struct nat_list *l, const struct nat_rules *rules, struct netaddrs *addrs,
		  struct nat_wants *w)
{
	int err = 0;

	leave_out_statics(rules, addrs);
	for (__u32 i = 0; i < l->n && !err; i++) {
		if (l->at[i].net.mode != NETWORK_NAT)
			continue;
		err = want_masquerade(w, addrs, &l->at[i], 4);
		if (!err && l->at[i].info.len6)
			err = want_masquerade(w, addrs, &l->at[i], 6);
	}
	return err ?: nat_rules_want(rules, l, addrs, w);
}

/* ---- what the data path reads of a network ---- */

/* The slots for a network's mappings. */
static void slots_of(const struct nat_plan *p, const struct nat_entry *e, __u8 family, __u16 *first,
		     __u16 *n)
{
	__u64 addr[2];

	*n = masquerade_range(&e->info, family, addr);
	if (*n) {
		*first = nat_plan_slot(p, addr, e->uplink_ifindex);
	} else {
		*first = nat_plan_own(p, e->uplink_ifindex, family);
		*n = 1;
	}
	if (!*first)
		*n = 0;
}

static void put_slots(__u16 *first, __u16 *n, __u16 new_first, __u16 new_n)
{
	if (*first != new_first) {
		PUT(*n, 0);
		PUT(*first, new_first);
	}
	PUT(*n, new_n);
}

/* Networks leave slots that are about to go. */
static void leave_slots(struct state *s, const struct nat_plan *p, const struct nat_entry *e)
{
	struct nat_network *n = &s->nat_networks[e->id];

	for (__u32 i = 0; i < n->addrs4; i++)
		if (nat_plan_moves(s, p, n->first4 + i))
			PUT(n->addrs4, 0);
	for (__u32 i = 0; i < n->addrs6; i++)
		if (nat_plan_moves(s, p, n->first6 + i))
			PUT(n->addrs6, 0);
}

static __u32 ipv4_of(const __u8 addr[16])
{
	return (__u32)addr[0] << 24 | addr[1] << 16 | addr[2] << 8 | addr[3];
}

static void derive_subnets(struct nat_network *n, const struct nat_info *info)
{
	__u64 subnet[2], mask[2], gateway[2];

	PUT(n->subnet, info->len ? ipv4_of(info->subnet) : 0);
	PUT(n->mask, info->len ? ~0U << (32 - info->len) : 0);
	PUT(n->gateway, info->len ? ipv4_of(info->gateway) : 0);
	addr_pack(subnet, 6, info->subnet6);
	addr_pack(gateway, 6, info->gateway6);
	addr_mask(mask, 6, info->len6);
	for (int i = 0; i < 2; i++) {
		PUT(n->subnet6[i], subnet[i]);
		PUT(n->mask6[i], mask[i]);
		PUT(n->gateway6[i], gateway[i]);
	}
}

/*
 * The addresses that the host has in a network, IPv6's anycast one of routers (RFC 4291, 2.6.1)
 * among them, are known to the data path, or are not any more (!on).
 */
static void put_gateways(struct state *s, __u32 id, bool on)
{
	const struct nat_network *n = &s->nat_networks[id];
	const struct nat_addr_key keys[] = {
		{{FLOW_IPV4, (__u64)n->gateway << 32}},
		{{n->gateway6[0], n->gateway6[1]}},
		{{n->subnet6[0], n->subnet6[1]}},
	};
	int fd = s->maps[MAP_NAT_GATEWAYS];

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		if (!keys[i].addr[1] && (!keys[i].addr[0] || keys[i].addr[0] == FLOW_IPV4))
			continue;
		if (on)
			bpf_map_update_elem(fd, &keys[i], &id, BPF_ANY);
		else
			bpf_map_delete_elem(fd, &keys[i]);
	}
}

/* Which ports of VMs rules lead to: all, where one has an address for itself. */
static void derive_served(struct nat_network *n, __u32 id, const struct nat_rules *rules)
{
	__u16 min = 0xffff, max = 0;

	for (__u32 i = 0; i < rules->n; i++) {
		const struct nat_rule_entry *r = &rules->at[i];
		__u16 first = nat_rule_is_static(r) ? 0 : r->rule.internal_port;
		__u16 last = nat_rule_is_static(r) ? 0xffff : first + r->rule.ports - 1;

		if (r->key.network != id)
			continue;
		min = first < min ? first : min;
		max = last > max ? last : max;
	}
	PUT(n->served_min, min);
	PUT(n->served_max, max);
}

/* All mappings of a network are where they are looked for, or displaced. n: as it will be. */
static int rehome(struct state *s, __u32 id, const struct nat_network *n)
{
	int err = 0;

	for (__u32 slot = 1; slot < NAT_ADDRS && !err; slot++)
		err = nat_pool_rehome(s, slot, id, n);
	return err;
}

/*
 * The slots for a network's mappings. When they change, connections go on: what they have is
 * found elsewhere before that, and what was opened meanwhile, after it.
 */
static int derive_slots(struct state *s, const struct nat_plan *p, const struct nat_entry *e)
{
	struct nat_network *now = &s->nat_networks[e->id], n = {};
	bool nat = e->net.mode == NETWORK_NAT;
	int err;

	if (nat)
		slots_of(p, e, 4, &n.first4, &n.addrs4);
	if (nat && e->info.len6)
		slots_of(p, e, 6, &n.first6, &n.addrs6);
	if (now->first4 == n.first4 && now->addrs4 == n.addrs4 && now->first6 == n.first6 &&
	    now->addrs6 == n.addrs6)
		return 0;
	err = rehome(s, e->id, &n);
	if (err)
		return err;
	put_slots(&now->first4, &now->addrs4, n.first4, n.addrs4);
	put_slots(&now->first6, &now->addrs6, n.first6, n.addrs6);
	return rehome(s, e->id, &n);
}

/* Flags come last: what they ask for is there then. */
static int derive_network(struct state *s, const struct nat_plan *p, const struct nat_rules *rules,
			  const struct nat_entry *e)
{
	struct nat_network *n = &s->nat_networks[e->id];
	bool nat = e->net.mode == NETWORK_NAT;
	int err;

	derive_subnets(n, &e->info);
	put_gateways(s, e->id, true);
	PUT(n->port_min, e->info.port_min ?: NAT_PORT_MIN);
	PUT(n->port_max, e->info.port_max ?: NAT_PORT_MAX);
	PUT(n->port_min6, e->info.port_min6 ?: NAT_PORT_MIN);
	PUT(n->port_max6, e->info.port_max6 ?: NAT_PORT_MAX);
	err = derive_slots(s, p, e);
	if (err)
		return err;
	PUT(n->uplink_ifindex, e->uplink_ifindex);
	PUT(n->uplink, e->info.uplink);
	PUT(n->gateway_ifindex, e->info.ifindex);
	derive_served(n, e->id, rules);
	PUT(n->flags,
	    (nat ? NAT_ROUTES : 0U) | (e->info.filter_independent ? NAT_FILTER_INDEPENDENT : 0U));
	return 0;
}

/* again: slots (bit N: slot N) whose ports are bound again, even if they have been there. */
static int sync_slots(struct state *s, __u64 again)
{
	struct nat_wants wants = {};
	struct netaddrs addrs = {};
	struct nat_rules rules = {};
	struct nat_plan plan;
	struct nat_list l;
	__u64 fresh;
	int err = nat_list(s, &l);

	if (err)
		return err;
	err = netaddrs_read(&addrs) ?: nat_rules_read(s, &rules);
	err = err ?: gather(&l, &rules, &addrs, &wants) ?: nat_plan_make(&wants, s->nat_addrs, &plan);
	for (__u32 i = 0; i < l.n && !err; i++)
		leave_slots(s, &plan, &l.at[i]);
	err = err ?: nat_plan_apply(s, &plan, &fresh);
	for (__u32 i = 0; i < l.n && !err; i++)
		err = derive_network(s, &plan, &rules, &l.at[i]);
	err = err ?: nat_rules_bind(s, &rules, &l, fresh | again) ?: nat_plan_tidy(s, &plan);
	err = err ?: attach_local(s, rules.n);
	nat_rules_free(&rules);
	netaddrs_free(&addrs);
	nat_list_free(&l);
	return err;
}

int nat_sync(struct state *s)
{
	return sync_slots(s, 0);
}

void nat_policy(const struct state *s, __u32 port, const struct port_info *info,
		union port_policy *policy)
{
	policy->nat = 0;
	if (!info->uplink || info->gateway)
		return;
	for (__u32 id = 1; id <= NETWORK_MAX && !policy->nat; id++)
		policy->nat = s->nat_networks[id].flags & NAT_ROUTES &&
			      s->nat_networks[id].uplink == port;
	/* Generic XDP sees what is made for the kernel's own use, as a veth's frames are. */
	if (policy->nat && info->xdp_mode == MODE_GENERIC)
		policy->offloads = 1;
}

/* ---- devices ---- */

static struct gateway gateway_of(__u32 id, const char *name, bool nat, const struct nat_info *info)
{
	struct gateway g = {
		.network = id,
		.mtu = info->mtu ?: MTU_DEFAULT,
		.routes = nat,
		.address = nat_prefix(info->gateway, info->len ? 4 : 0, info->len),
		.address6 = nat_prefix(info->gateway6, info->len6 ? 6 : 0, info->len6),
	};

	snprintf(g.name, sizeof(g.name), "%.15s", name);
	memcpy(g.mac, info->mac, sizeof(g.mac));
	return g;
}

bool nat_other_end(struct state *s, const char *dev)
{
	__u32 id = gateway_other_end(dev);
	struct nat_info info;

	return id && !bpf_map_lookup_elem(s->maps[MAP_NAT_INFO], &id, &info);
}

/*
 * A locally administered address that follows from the name: VMs that outlive a network or the
 * host's boot find the gateway where they have known it. It has to be unique in its network only.
 */
static void choose_mac(const char *name, __u8 mac[6])
{
	__u64 h = 0xcbf29ce484222325ULL; /* FNV-1a */

	for (; *name; name++)
		h = (h ^ (__u8)*name) * 0x100000001b3ULL;
	h ^= h >> 32;
	memcpy(mac, &h, 6);
	mac[0] = (mac[0] & 0xfc) | 2;
}

/* The MTU of what the uplink leads to. */
static void follow_mtu(struct state *s, struct nat_info *info)
{
	struct port_info port;
	struct netdev dev;

	if (info->uplink && !bpf_map_lookup_elem(s->maps[MAP_PORT_INFO], &info->uplink, &port) &&
	    port.ifindex && !netdev_get(NULL, port.ifindex, &dev))
		info->mtu = dev.mtu;
}

/* ---- what a new network may not have ---- */

static int check_networks(const struct nat_list *l, const struct prefix *subnet)
{
	char text[PREFIX_TEXT], other[PREFIX_TEXT];

	for (__u32 i = 0; i < l->n; i++) {
		const struct nat_info *info = &l->at[i].info;
		__u8 len = subnet->family == 4 ? info->len : info->len6;
		struct prefix p = nat_prefix(subnet->family == 4 ? info->subnet : info->subnet6,
					     subnet->family, len);

		if (len && addr_overlap(subnet, &p))
			return fail(EEXIST, "subnet %s: overlaps %s of network %s",
				    prefix_text(subnet, text), prefix_text(&p, other),
				    l->at[i].net.name);
	}
	return 0;
}

static int check_host(const struct netaddrs *l, const struct prefix *subnet)
{
	char text[PREFIX_TEXT], other[PREFIX_TEXT];
	struct netdev dev;

	for (__u32 i = 0; i < l->n; i++) {
		const struct netaddr *a = &l->at[i];

		if (!addr_overlap(subnet, &a->peer) && !addr_inside(&a->address, subnet))
			continue;
		if (netdev_get(NULL, a->ifindex, &dev))
			continue; /* gone meanwhile */
		return fail(EADDRINUSE, "subnet %s: overlaps address %s of dev %s",
			    prefix_text(subnet, text), prefix_text(&a->address, other), dev.name);
	}
	return 0;
}

int nat_check_subnets(struct state *s, const struct nat_info *info)
{
	struct prefix v4 = nat_prefix(info->subnet, 4, info->len),
		      v6 = nat_prefix(info->subnet6, 6, info->len6);
	struct netaddrs addrs = {};
	struct nat_list l;
	int err = nat_list(s, &l) ?: netaddrs_read(&addrs);

	if (!err && info->len)
		err = check_networks(&l, &v4) ?: check_host(&addrs, &v4);
	if (!err && info->len6)
		err = check_networks(&l, &v6) ?: check_host(&addrs, &v6);
	nat_list_free(&l);
	netaddrs_free(&addrs);
	return err;
}

/* ---- adding, changing, removing ---- */

int nat_create(struct state *s, __u32 id, const struct network_info *net, struct nat_info *info,
	       const char *dev, __u32 *port)
{
	struct port_info host;
	struct gateway g;
	int err;

	choose_mac(net->name, info->mac);
	err = info_put(s, id, info);
	if (!err && dev)
		err = uplink_join(s, id, dev, true, &info->uplink);
	if (err)
		return err;
	follow_mtu(s, info);
	g = gateway_of(id, net->name, dev, info);
	err = info_put(s, id, info) ?: gateway_make(&g, &info->ifindex);
	err = err ?: nat_apply(s, id, info);
	if (err)
		return err;
	port_defaults(&host, net->name, id, true);
	host.gateway = dev ? GATEWAY_NAT : GATEWAY_HOSTONLY;
	return port_create(s, &host, port);
}

int nat_apply(struct state *s, __u32 id, const struct nat_info *info)
{
	int err;

	state_begin(s);
	err = info_put(s, id, info) ?: nat_sync(s);
	if (!err && info->uplink)
		err = port_derive(s, info->uplink);
	state_end(s);
	return err;
}

int nat_set_filtering(struct state *s, __u32 id, bool independent)
{
	struct nat_info info;

	if (bpf_map_lookup_elem(s->maps[MAP_NAT_INFO], &id, &info))
		return fail(ENOENT, "network: is gone");
	info.filter_independent = independent;
	return nat_apply(s, id, &info);
}

/* Flows of slots that a network no longer has; all, when its ports are others. */
static int flush_masquerade(struct state *s, const struct nat_entry *net,
			    const struct nat_info *info, __u16 first, __u16 n, __u16 new_first,
			    __u16 new_n)
{
	bool ports = net->info.port_min != info->port_min || net->info.port_max != info->port_max ||
		     net->info.port_min6 != info->port_min6 ||
		     net->info.port_max6 != info->port_max6;
	struct flow_filter f = {
		.rest = FLOW_REST(0, net->id, 0),
		.rest_mask = FLOW_REST_NETWORK,
		.nat_mask = 0xffff0000,
	};
	int err = 0;

	for (__u32 slot = first; slot < first + n && !err; slot++) {
		if (!ports && slot >= new_first && slot < new_first + new_n)
			continue;
		f.nat = slot << 16;
		err = flow_forget(s, &f);
	}
	return err;
}

int nat_set_masquerade(struct state *s, const struct nat_entry *net, const struct nat_info *info)
{
	struct nat_network old = s->nat_networks[net->id], *now = &s->nat_networks[net->id];
	char why[512];
	int err;

	state_begin(s);
	err = nat_apply(s, net->id, info);
	if (err) {
		snprintf(why, sizeof(why), "%s", err_message());
		nat_apply(s, net->id, &net->info);
		fail(err, "%s", why);
	} else {
		err = flush_masquerade(s, net, info, old.first4, old.addrs4, now->first4,
				       now->addrs4);
		err = err
			      ?: flush_masquerade(s, net, info, old.first6, old.addrs6, now->first6,
						  now->addrs6);
	}
	state_end(s);
	return err;
}

static void remove_device(struct state *s, __u32 id)
{
	struct nat_info info;

	if (!bpf_map_lookup_elem(s->maps[MAP_NAT_INFO], &id, &info))
		gateway_remove(id, info.ifindex, info.mac);
}

int nat_forget(struct state *s, __u32 id)
{
	struct nat_info info;
	int err;

	if (bpf_map_lookup_elem(s->maps[MAP_NAT_INFO], &id, &info))
		return 0;
	PUT(s->nat_networks[id].flags, 0U);
	remove_device(s, id);
	err = nat_rules_forget(s, id);
	if (err)
		return err;
	bpf_map_delete_elem(s->maps[MAP_NAT_INFO], &id);
	put_gateways(s, id, false);
	memset(&s->nat_networks[id], 0, sizeof(s->nat_networks[id]));
	err = nat_sync(s);
	return err || !info.uplink ? err : uplink_settle(s, info.uplink);
}

/* ---- repair ---- */

static int repair_network(struct state *s, struct nat_entry *e)
{
	if (s->networks[e->id].uplink != e->net.uplink)
		return port_derive(s, e->net.uplink);
	return 0;
}

int nat_repair(struct state *s)
{
	struct nat_list l;
	int err = nat_list(s, &l) ?: sync_slots(s, ~0ULL);

	for (__u32 i = 0; i < l.n && !err; i++) {
		err = repair_network(s, &l.at[i]);
		if (!err && l.at[i].info.uplink)
			err = port_derive(s, l.at[i].info.uplink);
	}
	nat_list_free(&l);
	return err;
}

void nat_remove_devices(struct state *s)
{
	__u32 id, next;
	int err;

	if (s->maps[MAP_NAT_INFO] < 0)
		return;
	attach_local(s, false);
	for (err = bpf_map_get_next_key(s->maps[MAP_NAT_INFO], NULL, &next); !err;) {
		id = next;
		remove_device(s, id);
		err = bpf_map_get_next_key(s->maps[MAP_NAT_INFO], &id, &next);
	}
}

/* ---- refresh ---- */

/* The device that somebody removed is made again; the port takes it as one that came back. */
static int refresh_device(struct state *s, struct nat_entry *e)
{
	struct gateway g;
	struct port_info port;
	struct netdev dev;
	int err;

	if (!bpf_map_lookup_elem(s->maps[MAP_PORT_INFO], &e->net.uplink, &port) &&
	    !netdev_get(NULL, e->info.ifindex, &dev) && !strcmp(dev.kind, "veth"))
		return 0;
	g = gateway_of(e->id, e->net.name, e->net.mode == NETWORK_NAT, &e->info);
	state_begin(s);
	gateway_remove(e->id, 0, e->info.mac);
	err = gateway_make(&g, &e->info.ifindex) ?: info_put(s, e->id, &e->info);
	if (!err) {
		snprintf(port.dev, sizeof(port.dev), "%s", g.name);
		err = bpf_map_update_elem(s->maps[MAP_PORT_INFO], &e->net.uplink, &port, BPF_ANY);
	}
	state_end(s);
	return err;
}

int nat_refresh_devices(struct state *s)
{
	struct nat_list l;
	int err = nat_list(s, &l);

	for (__u32 i = 0; i < l.n && !err; i++)
		if (l.at[i].net.state == NETWORK_ACTIVE && refresh_device(s, &l.at[i])) {
			warn("%s", err_message());
			err_clear();
		}
	nat_list_free(&l);
	return err;
}

static bool has_address(const struct netaddrs *l, __u32 ifindex, const struct prefix *address)
{
	for (__u32 i = 0; i < l->n; i++)
		if (l->at[i].ifindex == ifindex &&
		    !memcmp(l->at[i].address.addr, address->addr, sizeof(address->addr)) &&
		    l->at[i].address.family == address->family)
			return true;
	return !address->family;
}

/* Addresses and settings that somebody took away, and the MTU when the uplink's has changed. */
static int keep_device(struct state *s, struct nat_entry *e, const struct netaddrs *addrs)
{
	struct nat_info info = e->info;
	struct netdev dev;
	struct gateway g;
	int err = 0;

	if (netdev_get(NULL, info.ifindex, &dev))
		return 0;
	memcpy(info.mac, dev.mac, sizeof(info.mac));
	follow_mtu(s, &info);
	g = gateway_of(e->id, e->net.name, e->net.mode == NETWORK_NAT, &info);
	if (info.mtu == e->info.mtu)
		g.mtu = 0;
	snprintf(g.name, sizeof(g.name), "%s", dev.name);
	if (g.mtu || !has_address(addrs, info.ifindex, &g.address) ||
	    !has_address(addrs, info.ifindex, &g.address6) || !gateway_routes(dev.name, 4) ||
	    (g.address6.family && !gateway_routes(dev.name, 6)))
		err = gateway_keep(&g, &dev);
	if (err || !memcmp(&info, &e->info, sizeof(info)))
		return err;
	return info_put(s, e->id, &info);
}

int nat_refresh(struct state *s)
{
	struct netaddrs addrs = {};
	struct nat_list l;
	int err;

	if (!any(s))
		return 0;
	err = nat_list(s, &l) ?: netaddrs_read(&addrs);
	for (__u32 i = 0; i < l.n && !err; i++)
		if (l.at[i].net.state == NETWORK_ACTIVE)
			err = keep_device(s, &l.at[i], &addrs);
	err = err ?: nat_sync(s);
	nat_list_free(&l);
	netaddrs_free(&addrs);
	if (err) { /* the command goes on */
		warn("%s", err_message());
		err_clear();
	}
	return 0;
}
