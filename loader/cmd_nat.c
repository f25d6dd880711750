// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* xdpctl nat: external addresses of NAT networks, forwards and static translations. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include "addr.h"
#include "cmd.h"
#include "endpoint.h"
#include "nat.h"
#include "nat_rule.h"
#include "netaddr.h"

static int read_network(struct args *a, const char **network)
{
	const char *word;

	return args_next(a, "network", &word) ?: parse_network_name(word, network);
}

static int expect(struct args *a, const char *word)
{
	if (args_take(a, word))
		return 0;
	return a->n ? usage("%s: expected \"%s\", not \"%s\"", a->what, word, *a->v)
		    : usage("%s: \"%s\" is missing", a->what, word);
}

/* ---- masquerade ---- */

/* What `masquerade` asks for. */
struct masquerade {
	struct prefix first, last; /* family 0: the uplink's own address */
	__u16 port_min, port_max;  /* 0: not given */
};

static int read_masquerade(struct args *a, struct masquerade *m)
{
	const char *word;
	int err = expect(a, "to") ?: args_next(a, "to", &word);

	if (err)
		return err;
	if (!strcmp(word, "uplink"))
		return args_end(a);
	err = parse_addr_range("to", word, NAT_RANGE_MAX, &m->first, &m->last);
	if (!err && args_take(a, "ports"))
		err = args_next(a, "ports", &word)
			      ?: parse_ports("ports", word, &m->port_min, &m->port_max);
	return err ?: args_end(a);
}

/* Each address has to be on the uplink, and not a VM's. */
static int check_masquerade(struct state *s, const struct nat_entry *net,
			    const struct masquerade *m)
{
	struct netaddrs addrs = {};
	struct nat_rules rules = {};
	__u64 addr[2], last[2], external[2];
	char text[ADDR_TEXT];
	int err;

	if (m->first.family == 6 && !net->info.len6)
		return fail(EINVAL, "network %s: has no subnet6 to masquerade", net->net.name);
	err = netaddrs_read(&addrs) ?: nat_rules_read(s, &rules);
	addr_pack(addr, m->first.family, m->first.addr);
	addr_pack(last, m->first.family, m->last.addr);
	for (; !err && addr_distance(addr, last) != ~0ULL; addr_add(addr, 1)) {
		err = nat_check_external(&addrs, net, addr);
		for (__u32 i = 0; i < rules.n && !err; i++) {
			addr_pack(external, rules.at[i].key.family, rules.at[i].key.external);
			if (nat_rule_is_static(&rules.at[i]) && addr_equal(external, addr))
				err = fail(EEXIST, "address %s: is a static one",
					   addr_text(addr, text));
		}
	}
	netaddrs_free(&addrs);
	nat_rules_free(&rules);
	return err;
}

static void set_masquerade(struct nat_info *info, const struct masquerade *m)
{
	bool six = m->first.family == 6;

	info->families |= six ? 2 : 1;
	memcpy(six ? info->first6 : info->first, m->first.addr, 16);
	memcpy(six ? info->last6 : info->last, m->last.addr, 16);
	*(six ? &info->port_min6 : &info->port_min) = m->port_min;
	*(six ? &info->port_max6 : &info->port_max) = m->port_max;
}

static void unset_masquerade(struct nat_info *info)
{
	info->families = 0;
	info->port_min = info->port_max = info->port_min6 = info->port_max6 = 0;
	memset(info->first, 0, sizeof(info->first));
	memset(info->last, 0, sizeof(info->last));
	memset(info->first6, 0, sizeof(info->first6));
	memset(info->last6, 0, sizeof(info->last6));
}

static int nat_masquerade(struct args *a)
{
	struct masquerade m = {};
	const char *network;
	struct nat_entry net;
	struct nat_info info;
	struct state *s;
	int err;

	err = read_network(a, &network) ?: read_masquerade(a, &m) ?: state_open(STATE_WRITE, &s);
	if (err)
		return err;
	err = nat_find(s, network, &net);
	if (!err && m.first.family)
		err = check_masquerade(s, &net, &m);
	if (!err) {
		info = net.info;
		if (m.first.family)
			set_masquerade(&info, &m);
		else
			unset_masquerade(&info);
		err = nat_set_masquerade(s, &net, &info);
	}
	state_unlock(s);
	return err;
}

/* ---- forward ---- */

static int read_proto(struct args *a, __u8 *proto)
{
	const char *word;
	int err = args_next(a, "network", &word);

	if (err)
		return err;
	if (strcmp(word, "tcp") && strcmp(word, "udp") && strcmp(word, "sctp"))
		return usage("%s: \"%s\" is none of tcp, udp, sctp", a->what, word);
	return parse_proto("proto", word, proto);
}

static int read_forward(struct args *a, struct nat_rule_entry *r)
{
	const char *external, *internal = "";
	struct endpoint out, in;
	int err;

	err = read_proto(a, &r->key.proto) ?: args_next(a, "the protocol", &external);
	err = err ?: parse_external(a->what, external, true, &out) ?: expect(a, "to");
	err = err ?: args_next(a, "to", &internal) ?: parse_internal("to", internal, &in);
	err = err ?: args_end(a);
	if (err)
		return err;
	if (out.addr.family && out.addr.family != in.addr.family)
		return usage("%s: %s and %s are of different address families", a->what, external,
			     internal);
	r->key.family = in.addr.family;
	memcpy(r->key.external, out.addr.addr, sizeof(r->key.external));
	r->key.port = out.first;
	memcpy(r->rule.internal, in.addr.addr, sizeof(r->rule.internal));
	r->rule.ports = out.last - out.first + 1;
	r->rule.internal_port = in.first ?: out.first;
	if (r->rule.internal_port + r->rule.ports > 65536)
		return usage("%s: %s: %u ports from %u on end above 65535", a->what, internal,
			     r->rule.ports, r->rule.internal_port);
	return 0;
}

/* Adds a rule whose words were read. */
static int add_rule(const char *network, struct nat_rule_entry *r)
{
	struct nat_entry net;
	struct state *s;
	int err = state_open(STATE_WRITE, &s);

	if (err)
		return err;
	err = nat_find(s, network, &net);
	r->key.network = net.id;
	err = err ?: nat_rule_allowed(s, &net, r) ?: nat_rule_add(s, &net, r);
	state_unlock(s);
	return err;
}

static int forward_add(struct args *a)
{
	struct nat_rule_entry r = {};
	const char *network;

	return read_network(a, &network) ?: read_forward(a, &r) ?: add_rule(network, &r);
}

/* Removes the rules of a network that have this key; family 0: of both. */
static int del_rules(const char *network, const struct nat_rule_entry *wanted)
{
	struct nat_rule_entry r = *wanted;
	char text[NAT_RULE_TEXT];
	struct nat_entry net;
	struct state *s;
	int err = state_open(STATE_WRITE, &s), found = 0;

	if (err)
		return err;
	err = nat_find(s, network, &net);
	r.key.network = net.id;
	for (__u8 family = 4; !err && family <= 6; family += 2) {
		if (wanted->key.family && wanted->key.family != family)
			continue;
		r.key.family = family;
		if (bpf_map_lookup_elem(s->maps[MAP_NAT_RULES], &r.key, &r.rule))
			continue;
		err = nat_rule_del(s, &net, &r);
		found++;
	}
	if (!err && !found) {
		r.rule.ports = 1;
		r.key.family = wanted->key.family ?: 4;
		err = fail(ENOENT, "network %s: %s: there is no such %s", network,
			   nat_rule_text(&r, text), r.key.proto ? "forward" : "address");
	}
	state_unlock(s);
	return err;
}

static int forward_del(struct args *a)
{
	struct nat_rule_entry r = {};
	const char *network, *word;
	struct endpoint out;
	int err;

	err = read_network(a, &network) ?: read_proto(a, &r.key.proto);
	err = err ?: args_next(a, "the protocol", &word);
	err = err ?: parse_external(a->what, word, false, &out) ?: args_end(a);
	if (err)
		return err;
	r.key.family = out.addr.family;
	r.key.port = out.first;
	memcpy(r.key.external, out.addr.addr, sizeof(r.key.external));
	return del_rules(network, &r);
}

/* ---- static ---- */

static int read_external(struct args *a, struct nat_rule_entry *r)
{
	struct prefix external;
	const char *word;
	int err = args_next(a, "network", &word) ?: parse_host(a->what, word, 0, &external);

	if (err)
		return err;
	r->key.family = external.family;
	memcpy(r->key.external, external.addr, sizeof(r->key.external));
	return 0;
}

static int static_add(struct args *a)
{
	struct nat_rule_entry r = {};
	const char *network, *word;
	struct prefix internal;
	int err;

	err = read_network(a, &network) ?: read_external(a, &r);
	err = err ?: args_next(a, "the external address", &word);
	err = err ?: parse_host(a->what, word, 0, &internal) ?: args_end(a);
	if (err)
		return err;
	if (internal.family != r.key.family)
		return usage("%s: %s is of another address family than the external address",
			     a->what, word);
	memcpy(r.rule.internal, internal.addr, sizeof(r.rule.internal));
	return add_rule(network, &r);
}

static int static_del(struct args *a)
{
	struct nat_rule_entry r = {};
	const char *network;
	int err = read_network(a, &network) ?: read_external(a, &r) ?: args_end(a);

	return err ?: del_rules(network, &r);
}

/* ---- show ---- */

static struct json_object *row(const struct nat_entry *net, const char *kind)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "network", json_object_new_string(net->net.name));
	json_object_object_add(o, "kind", json_object_new_string(kind));
	return o;
}

static struct json_object *addr_json(const __u64 addr[2])
{
	char text[ADDR_TEXT];

	return addr_given(addr) ? json_object_new_string(addr_text(addr, text)) : NULL;
}

static struct json_object *port_json(__u32 port)
{
	return port ? json_object_new_int(port) : NULL;
}

/* The addresses that a network's mappings have now. */
static struct json_object *range_json(const struct nat_addr *addrs, __u16 first, __u16 n)
{
	char text[2 * ADDR_TEXT + 1], last[ADDR_TEXT];

	if (!n || first + n > NAT_ADDRS || !addr_given(addrs[first].addr))
		return NULL;
	addr_text(addrs[first].addr, text);
	if (n > 1)
		snprintf(text + strlen(text), ADDR_TEXT + 1, "-%s",
			 addr_text(addrs[first + n - 1].addr, last));
	return json_object_new_string(text);
}

static void add_masquerade(struct json_object *array, struct state *s, const struct nat_entry *net,
			   bool six)
{
	const struct nat_network *now = &s->nat_networks[net->id];
	__u16 min = six ? net->info.port_min6 : net->info.port_min,
	      max = six ? net->info.port_max6 : net->info.port_max;
	struct prefix subnet = nat_prefix(six ? net->info.subnet6 : net->info.subnet, six ? 6 : 4,
					  six ? net->info.len6 : net->info.len);
	struct json_object *o = row(net, "masquerade");
	char text[PREFIX_TEXT];

	json_object_object_add(o, "proto", NULL);
	json_object_object_add(o, "external",
			       six ? range_json(s->nat_addrs, now->first6, now->addrs6)
				   : range_json(s->nat_addrs, now->first4, now->addrs4));
	json_object_object_add(o, "external_port", NULL);
	json_object_object_add(o, "internal", json_object_new_string(prefix_text(&subnet, text)));
	json_object_object_add(o, "internal_port", NULL);
	snprintf(text, sizeof(text), min == max ? "%u" : "%u-%u", min, max);
	json_object_object_add(o, "ports", min ? json_object_new_string(text) : NULL);
	json_object_array_add(array, o);
}

static void add_rule_row(struct json_object *array, const struct nat_entry *net,
			 const struct nat_rule_entry *r)
{
	struct json_object *o = row(net, nat_rule_is_static(r) ? "static" : "forward");
	char proto[PROTO_TEXT];
	__u64 addr[2];

	json_object_object_add(o, "proto",
			       nat_rule_is_static(r)
				       ? NULL
				       : json_object_new_string(proto_text(r->key.proto, proto)));
	addr_pack(addr, r->key.family, r->key.external);
	json_object_object_add(o, "external", addr_json(addr));
	json_object_object_add(o, "external_port", port_json(r->key.port));
	addr_pack(addr, r->key.family, r->rule.internal);
	json_object_object_add(o, "internal", addr_json(addr));
	json_object_object_add(o, "internal_port", port_json(r->rule.internal_port));
	json_object_object_add(o, "ports", port_json(r->rule.ports));
	json_object_array_add(array, o);
}

static int nat_show(struct args *a)
{
	static const struct out_column columns[] = {
		{"network", "NETWORK"},	   {"kind", "KIND"},	      {"proto", "PROTO"},
		{"external", "EXTERNAL"},  {"external_port", "PORT"}, {"internal", "INTERNAL"},
		{"internal_port", "PORT"}, {"ports", "PORTS"},	      {},
	};
	struct nat_rules rules = {};
	struct nat_list l = {};
	struct json_object *array;
	struct state *s;
	int err = args_end(a) ?: state_open(STATE_READ, &s);

	if (err)
		return err;
	err = nat_list(s, &l) ?: nat_rules_read(s, &rules);
	if (!err) {
		array = json_object_new_array();
		for (__u32 i = 0; i < l.n; i++) {
			if (l.at[i].net.mode != NETWORK_NAT)
				continue;
			add_masquerade(array, s, &l.at[i], false);
			if (l.at[i].info.len6)
				add_masquerade(array, s, &l.at[i], true);
			for (__u32 j = 0; j < rules.n; j++)
				if (rules.at[j].key.network == l.at[i].id)
					add_rule_row(array, &l.at[i], &rules.at[j]);
		}
		out_table(array, columns);
	}
	nat_rules_free(&rules);
	nat_list_free(&l);
	state_unlock(s);
	return err;
}

static const struct command commands[] = {
	{"show", nat_show, "", "Lists external addresses, forwards and static addresses."},
	{"masquerade", nat_masquerade, "NETWORK to {ADDR[-ADDR] [ports N-M] | uplink}",
	 "Chooses the addresses (of the uplink) and ports that the VMs' connections get. uplink:\n"
	 "the uplink's own address, the default."},
	{"forward add", forward_add, "NETWORK {tcp|udp|sctp} [ADDR:]PORT[-PORT] to ADDR[:PORT]",
	 "Leads a port of the uplink's addresses, or of one of them, to a VM. A range keeps its\n"
	 "order: the first port goes to PORT."},
	{"forward del", forward_del, "NETWORK {tcp|udp|sctp} [ADDR:]PORT",
	 "Ends a forward, and its connections. PORT is the first one of a range."},
	{"static add", static_add, "NETWORK EXTERNAL INTERNAL",
	 "Gives a VM an external address of its own, for all that it sends and is sent."},
	{"static del", static_del, "NETWORK EXTERNAL", "Takes it back."},
	{},
};

const struct object object_nat = {
	"nat",
	commands,
	"address translation of networks of mode nat",
	"External addresses are addresses of the uplink, which the host itself has. IPv6 addresses\n"
	"with a port are written [ADDR]:PORT.\n",
};
