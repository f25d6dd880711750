// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Forwards and static translations. A rule is remembered before it is in force, and forgotten
 * after it is not: killed in between, the next command puts it in force.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "addr.h"
#include "err.h"
#include "flow.h"
#include "flow_row.h"
#include "listener.h"
#include "nat_pool.h"
#include "nat_rule.h"
#include "parse.h"

#define READ_CHUNK 256

/* ---- lists ---- */

static int by_order(const void *a, const void *b)
{
	const struct nat_rule_entry *x = a, *y = b;

	return x->rule.order < y->rule.order ? -1 : x->rule.order > y->rule.order;
}

/* One chunk of the map behind *at. Returns 0, -ENOENT after the last one, -errno. */
static int read_chunk(struct state *s, bool first, __u32 *at, struct nat_rules *r)
{
	struct nat_rule_key keys[READ_CHUNK];
	struct nat_rule rules[READ_CHUNK];
	__u32 n = READ_CHUNK;
	struct nat_rule_entry *more;
	int err = bpf_map_lookup_batch(s->maps[MAP_NAT_RULES], first ? NULL : at, at, keys, rules,
				       &n, NULL);

	if (err && err != -ENOENT)
		return err;
	more = realloc(r->at, (r->n + n + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	r->at = more;
	for (__u32 i = 0; i < n; i++)
		r->at[r->n++] = (struct nat_rule_entry){keys[i], rules[i]};
	return err;
}

int nat_rules_read(struct state *s, struct nat_rules *out)
{
	struct nat_rules r = {};
	__u32 at;
	int err = 0;

	if (!state_exists(s)) {
		*out = r;
		return 0;
	}
	for (bool first = true; !err; first = false)
		err = read_chunk(s, first, &at, &r);
	if (err != -ENOENT) {
		free(r.at);
		return fail(err, "nat_rules: cannot be read: %s", strerror(-err));
	}
	qsort(r.at, r.n, sizeof(*r.at), by_order);
	*out = r;
	return 0;
}

void nat_rules_free(struct nat_rules *r)
{
	free(r->at);
	*r = (struct nat_rules){};
}

bool nat_rule_any(const struct nat_rule_entry *r)
{
	static const __u8 none[16];

	return !nat_rule_is_static(r) && !memcmp(r->key.external, none, sizeof(none));
}

static const struct nat_entry *find_network(const struct nat_list *l, __u32 id)
{
	for (__u32 i = 0; i < l->n; i++)
		if (l->at[i].id == id)
			return &l->at[i];
	return NULL;
}

static enum nat_proto pool_of(__u8 proto)
{
	return proto == IPPROTO_TCP ? NAT_TCP : proto == IPPROTO_UDP ? NAT_UDP : NAT_SCTP;
}

const char *nat_rule_text(const struct nat_rule_entry *r, char out[NAT_RULE_TEXT])
{
	__u16 last = r->key.port + r->rule.ports - 1;
	char addr[ADDR_TEXT] = "", proto[PROTO_TEXT];
	bool any = nat_rule_any(r);
	__u64 external[2];
	size_t n;

	addr_pack(external, r->key.family, r->key.external);
	if (!any)
		addr_text(external, addr);
	if (nat_rule_is_static(r)) {
		snprintf(out, NAT_RULE_TEXT, "static %s", addr);
		return out;
	}
	n = snprintf(out, NAT_RULE_TEXT, "%s %s%s%s%s%u", proto_text(r->key.proto, proto),
		     !any && r->key.family == 6 ? "[" : "", addr,
		     !any && r->key.family == 6 ? "]" : "", any ? "" : ":", r->key.port);
	if (r->rule.ports > 1)
		snprintf(out + n, NAT_RULE_TEXT - n, "-%u", last);
	return out;
}

/* ---- where rules are in force ---- */

static int want_rule(const struct nat_rule_entry *r, const struct nat_entry *e, struct nat_wants *w)
{
	struct nat_want one = {.ifindex = e->uplink_ifindex};

	addr_pack(one.addr, r->key.family, r->key.external);
	if (nat_rule_is_static(r)) {
		one.flags = NAT_ADDR_STATIC;
		one.network = e->id;
		addr_pack(one.inside, r->key.family, r->rule.internal);
	} else {
		one.pools = 1 << pool_of(r->key.proto);
	}
	return nat_want(w, &one);
}

/* All addresses of an uplink, with pools for the forwards that serve them all. */
static int want_any(const struct netaddrs *addrs, __u32 ifindex, __u8 family, __u8 pools,
		    struct nat_wants *w)
{
	struct nat_want one = {.ifindex = ifindex, .flags = NAT_ADDR_OWN, .pools = pools};
	int err;

	if (!pools)
		return 0;
	netaddr_preferred(addrs, ifindex, family, one.addr);
	err = nat_want(w, &one);
	one.flags = 0;
	for (__u32 i = 0; i < addrs->n && !err; i++) {
		const struct netaddr *a = &addrs->at[i];

		if (a->ifindex != ifindex || a->address.family != family || !netaddr_usable(a))
			continue;
		addr_pack(one.addr, family, a->address.addr);
		err = nat_want(w, &one);
	}
	return err;
}

int nat_rules_want(const struct nat_rules *r, const struct nat_list *l,
		   const struct netaddrs *addrs, struct nat_wants *w)
{
	__u8(*pools)[2] = calloc(l->n + 1, sizeof(*pools)); /* IPv4, IPv6 */
	const struct nat_entry *e;
	int err = pools ? 0 : fail(ENOMEM, "nat: out of memory");

	for (__u32 i = 0; i < r->n && !err; i++) {
		e = find_network(l, r->at[i].key.network);
		if (!e)
			continue;
		if (nat_rule_any(&r->at[i]))
			pools[e - l->at][r->at[i].key.family == 6] |=
				1 << pool_of(r->at[i].key.proto);
		else
			err = want_rule(&r->at[i], e, w);
	}
	for (__u32 i = 0; i < l->n && !err; i++) {
		err = want_any(addrs, l->at[i].uplink_ifindex, 4, pools[i][0], w);
		err = err ?: want_any(addrs, l->at[i].uplink_ifindex, 6, pools[i][1], w);
	}
	free(pools);
	return err;
}

/* Whether a forward is in force at the address in a slot. */
static bool serves(const struct nat_rule_entry *r, __u32 ifindex, const struct nat_addr *a)
{
	__u64 external[2];

	if (!a->ifindex || a->ifindex != ifindex || a->flags & NAT_ADDR_STATIC ||
	    (a->addr[0] == FLOW_IPV4) != (r->key.family == 4))
		return false;
	addr_pack(external, r->key.family, r->key.external);
	return nat_rule_any(r) || addr_equal(external, a->addr);
}

static struct nat_ports ports_of(const struct nat_rule_entry *r, __u32 slot)
{
	struct nat_ports p = {
		.slot = slot,
		.pool = pool_of(r->key.proto),
		.proto = r->key.proto,
		.first = r->key.port,
		.n = r->rule.ports,
		.inside_port = r->rule.internal_port,
		.network = r->key.network,
	};

	addr_pack(p.inside, r->key.family, r->rule.internal);
	return p;
}

static int bind_rule(struct state *s, const struct nat_rule_entry *r, __u32 ifindex, __u64 slots)
{
	struct nat_ports p;
	int err = 0;

	for (__u32 slot = 1; slot < NAT_ADDRS && !err; slot++) {
		if (!(slots >> slot & 1) || !serves(r, ifindex, &s->nat_addrs[slot]))
			continue;
		p = ports_of(r, slot);
		err = nat_ports_bind(s, &p);
	}
	return err;
}

static int unbind_rule(struct state *s, const struct nat_rule_entry *r, __u32 ifindex, bool flush)
{
	struct nat_ports p;
	int err = 0;

	for (__u32 slot = 1; slot < NAT_ADDRS && !err; slot++) {
		if (!serves(r, ifindex, &s->nat_addrs[slot]))
			continue;
		p = ports_of(r, slot);
		err = nat_ports_free(s, &p, flush);
	}
	return err;
}

int nat_rules_bind(struct state *s, const struct nat_rules *r, const struct nat_list *l,
		   __u64 slots)
{
	const struct nat_entry *e;
	int err = 0;

	for (__u32 i = 0; slots && i < r->n && !err; i++) {
		e = find_network(l, r->at[i].key.network);
		if (e && !nat_rule_is_static(&r->at[i]))
			err = bind_rule(s, &r->at[i], e->uplink_ifindex, slots);
	}
	return err;
}

/* ---- adding and removing ---- */

static int remember(struct state *s, const struct nat_rule_entry *r)
{
	int err = bpf_map_update_elem(s->maps[MAP_NAT_RULES], &r->key, &r->rule, BPF_NOEXIST);
	char text[NAT_RULE_TEXT];

	if (err == -E2BIG)
		return fail(ENOSPC, "%s: there are %d forwards and static addresses already",
			    nat_rule_text(r, text), NAT_FORWARDS);
	return err ? fail(err, "%s: cannot be remembered: %s", nat_rule_text(r, text),
			  strerror(-err))
		   : 0;
}

/*
 * Ends the connections of a VM whose external address changes: those that it opened, and, when it
 * loses a static one, those that came in by it.
 */
static int flush_inside(struct state *s, const struct nat_rule_entry *r, bool opened_there)
{
	struct prefix inside =
		nat_prefix(r->rule.internal, r->key.family, r->key.family == 4 ? 32 : 128);
	struct flow_filter of_vm = {.rest = FLOW_REST(0, r->key.network, 0),
				    .rest_mask = FLOW_REST_NETWORK};
	struct flow_filter to_vm = of_vm;

	flow_filter_src(&of_vm, &inside);
	flow_filter_dst(&to_vm, &inside);
	return flow_forget(s, &of_vm) ?: opened_there ? flow_forget(s, &to_vm) : 0;
}

static int withdraw(struct state *s, const struct nat_entry *net, const struct nat_rule_entry *r)
{
	int err = nat_rule_is_static(r) ? 0 : unbind_rule(s, r, net->uplink_ifindex, true);

	bpf_map_delete_elem(s->maps[MAP_NAT_RULES], &r->key);
	err = err ?: nat_sync(s);
	return err || !nat_rule_is_static(r) ? err : flush_inside(s, r, true);
}

int nat_rule_add(struct state *s, const struct nat_entry *net, struct nat_rule_entry *r)
{
	char why[512];
	int err;

	state_begin(s);
	r->rule.order = s->meta->next_order++;
	err = remember(s, r);
	if (!err) {
		err = nat_sync(s);
		if (!err)
			err = nat_rule_is_static(r) ? flush_inside(s, r, false)
						    : bind_rule(s, r, net->uplink_ifindex, ~0ULL);
		if (err) {
			snprintf(why, sizeof(why), "%s", err_message());
			withdraw(s, net, r);
			fail(err, "%s", why);
		}
	}
	state_end(s);
	return err;
}

int nat_rule_del(struct state *s, const struct nat_entry *net, const struct nat_rule_entry *r)
{
	int err;

	state_begin(s);
	err = withdraw(s, net, r);
	state_end(s);
	return err;
}

int nat_rules_forget(struct state *s, __u32 network)
{
	struct nat_rules rules;
	int err = nat_rules_read(s, &rules);

	for (__u32 i = 0; !err && i < rules.n; i++) {
		if (rules.at[i].key.network != network)
			continue;
		if (!nat_rule_is_static(&rules.at[i]))
			err = unbind_rule(s, &rules.at[i], s->nat_networks[network].uplink_ifindex,
					  false);
		if (!err)
			bpf_map_delete_elem(s->maps[MAP_NAT_RULES], &rules.at[i].key);
	}
	nat_rules_free(&rules);
	return err;
}

/* ---- what is in a rule's way ---- */

static bool ports_overlap(const struct nat_rule_entry *a, const struct nat_rule_entry *b)
{
	return a->key.port < b->key.port + b->rule.ports &&
	       b->key.port < a->key.port + a->rule.ports;
}

/* Both are in force at one uplink. */
static bool collide(const struct nat_rule_entry *a, const struct nat_rule_entry *b)
{
	bool same = !memcmp(a->key.external, b->key.external, sizeof(a->key.external));

	if (a->key.family != b->key.family)
		return false;
	if (nat_rule_is_static(a) || nat_rule_is_static(b))
		return same ||
		       (nat_rule_is_static(a) && nat_rule_is_static(b) &&
			a->key.network == b->key.network &&
			!memcmp(a->rule.internal, b->rule.internal, sizeof(a->rule.internal)));
	return a->key.proto == b->key.proto && ports_overlap(a, b) &&
	       (same || nat_rule_any(a) || nat_rule_any(b));
}

static int check_rules(struct state *s, const struct nat_list *l, const struct nat_entry *net,
		       const struct nat_rule_entry *r)
{
	char text[NAT_RULE_TEXT], other[NAT_RULE_TEXT];
	const struct nat_entry *e;
	struct nat_rules rules;
	int err = nat_rules_read(s, &rules);

	for (__u32 i = 0; !err && i < rules.n; i++) {
		e = find_network(l, rules.at[i].key.network);
		if (!e || e->info.uplink != net->info.uplink || !collide(r, &rules.at[i]))
			continue;
		err = fail(EEXIST, "%s: collides with %s of network %s", nat_rule_text(r, text),
			   nat_rule_text(&rules.at[i], other), e->net.name);
	}
	nat_rules_free(&rules);
	return err;
}

/* The sockets of the host that the rule's packets would be taken from. */
static int check_listeners(const struct netaddrs *addrs, const struct nat_entry *net,
			   const struct nat_rule_entry *r, __u8 proto)
{
	char text[NAT_RULE_TEXT], addr[ADDR_TEXT], name[PROTO_TEXT];
	bool any = nat_rule_any(r), all_ports = nat_rule_is_static(r);
	struct listeners l;
	__u64 a[2];
	int err = listeners_read(proto, &l);

	for (__u32 i = 0; !err && i < l.n; i++) {
		bool takes = false;

		if (!all_ports &&
		    (l.at[i].port < r->key.port || l.at[i].port >= r->key.port + r->rule.ports))
			continue;
		addr_pack(a, r->key.family, r->key.external);
		if (all_ports ? addr_given(l.at[i].addr) : !any || !addr_given(l.at[i].addr))
			takes = listener_takes(&l.at[i], a, net->uplink_ifindex);
		for (__u32 j = 0; any && j < addrs->n && !takes; j++) {
			if (addrs->at[j].ifindex != net->uplink_ifindex ||
			    addrs->at[j].address.family != r->key.family)
				continue;
			addr_pack(a, r->key.family, addrs->at[j].address.addr);
			takes = listener_takes(&l.at[i], a, net->uplink_ifindex);
		}
		if (takes)
			err = fail(EADDRINUSE,
				   "%s: a socket of the host listens there (%s %s port %u)",
				   nat_rule_text(r, text), proto_text(proto, name),
				   addr_given(l.at[i].addr) ? addr_text(l.at[i].addr, addr) : "any",
				   l.at[i].port);
	}
	listeners_free(&l);
	return err;
}

/* A static address takes all that comes to it. */
static int check_static(const struct netaddrs *addrs, const struct nat_list *l,
			const struct nat_entry *net, const struct nat_rule_entry *r)
{
	char text[ADDR_TEXT];
	__u64 addr[2], own[2];

	addr_pack(addr, r->key.family, r->key.external);
	netaddr_preferred(addrs, net->uplink_ifindex, r->key.family, own);
	if (addr_equal(addr, own))
		return fail(EADDRINUSE, "static %s: is the host's own address on the uplink",
			    addr_text(addr, text));
	for (__u32 i = 0; i < l->n; i++)
		if (nat_masquerades(&l->at[i].info, addr))
			return fail(EEXIST, "static %s: network %s masquerades with it",
				    addr_text(addr, text), l->at[i].net.name);
	return 0;
}

static int check_target(const struct nat_entry *net, const struct nat_rule_entry *r)
{
	bool six = r->key.family == 6;
	__u8 len = six ? net->info.len6 : net->info.len;
	struct prefix subnet = nat_prefix(six ? net->info.subnet6 : net->info.subnet, r->key.family,
					  len),
		      target = nat_prefix(r->rule.internal, r->key.family, six ? 128 : 32);
	char text[PREFIX_TEXT], around[PREFIX_TEXT];

	if (!len)
		return fail(EINVAL, "network %s: has no %s for %s", net->net.name,
			    six ? "subnet6" : "subnet", prefix_text(&target, text));
	if (!addr_inside(&target, &subnet))
		return fail(EINVAL, "network %s: %s is not in its subnet %s", net->net.name,
			    prefix_text(&target, text), prefix_text(&subnet, around));
	if (!addr_is_host(&target, &subnet) ||
	    !memcmp(target.addr, six ? net->info.gateway6 : net->info.gateway, six ? 16 : 4))
		return fail(EINVAL, "network %s: %s is not a VM's address in %s", net->net.name,
			    prefix_text(&target, text), prefix_text(&subnet, around));
	return 0;
}

int nat_rule_allowed(struct state *s, const struct nat_entry *net, const struct nat_rule_entry *r)
{
	static const __u8 protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP};
	struct netaddrs addrs = {};
	struct nat_list l = {};
	__u64 external[2];
	int err = check_target(net, r) ?: nat_list(s, &l);

	err = err ?: netaddrs_read(&addrs);
	addr_pack(external, r->key.family, r->key.external);
	if (!err && !nat_rule_any(r))
		err = nat_check_external(&addrs, net, external);
	err = err ?: check_rules(s, &l, net, r);
	if (!err && nat_rule_is_static(r))
		err = check_static(&addrs, &l, net, r);
	for (size_t i = 0; i < sizeof(protos) && !err; i++)
		if (nat_rule_is_static(r) || protos[i] == r->key.proto)
			err = check_listeners(&addrs, net, r, protos[i]);
	netaddrs_free(&addrs);
	nat_list_free(&l);
	return err;
}
