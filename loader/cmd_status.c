// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* xdpctl status and detach: the data plane as a whole. */
#include <stdio.h>
#include <sys/utsname.h>
#include "acl.h"
#include "attach.h"
#include "cmd.h"
#include "nat_pool.h"
#include "nat_rule.h"
#include "port.h"

static const char *const mode_names[] = {
	[MODE_NONE] = NULL, [MODE_NATIVE] = "native", [MODE_GENERIC] = "generic",
	[MODE_TCX] = "tcx", [MODE_CLSACT] = "clsact",
};

static struct json_object *features_json(void)
{
	const struct features *f = attach_features();
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "tcx", json_object_new_boolean(f->tcx));
	json_object_object_add(o, "xdp_dispatcher", json_object_new_boolean(f->xdp_dispatcher));
	json_object_object_add(o, "xdp_features", json_object_new_boolean(f->xdp_features));
	return o;
}

static struct json_object *port_json(const struct port_info *p)
{
	struct json_object *o = json_object_new_object();
	const char *hook = p->hook == HOOK_XDP ? "xdp" : p->xdp_mode ? "xdp+tc" : "tc";

	json_object_object_add(o, "dev", json_object_new_string(p->dev));
	json_object_object_add(o, "hook", json_object_new_string(hook));
	json_object_object_add(o, "mode",
			       out_string(mode_names[p->xdp_mode ? p->xdp_mode : p->tc_mode]));
	json_object_object_add(o, "tc_mode", out_string(mode_names[p->tc_mode]));
	json_object_object_add(o, "why", out_string(p->ifindex ? p->why : "the device is missing"));
	return o;
}

static void add_map(struct json_object *array, const char *name, __u64 used, __u64 max)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "name", json_object_new_string(name));
	json_object_object_add(o, "used", json_object_new_uint64(used));
	json_object_object_add(o, "max", json_object_new_uint64(max));
	json_object_array_add(array, o);
}

/* Ports of a protocol at all external addresses: bound ones, those of displaced mappings, all. */
struct port_count {
	__u32 used, displaced, all;
};

static void count_ports(const struct state *s, enum nat_proto proto, struct port_count *n)
{
	struct nat_pool *pool;

	for (__u32 slot = 1; slot < NAT_ADDRS; slot++) {
		if (nat_pool_open(s, slot, proto, &pool) || !pool)
			continue;
		nat_pool_count(pool, &n->used, &n->displaced);
		n->all += NAT_POOL_PORTS;
		nat_pool_close(pool);
	}
}

static void add_nat_maps(struct state *s, struct json_object *array)
{
	static const char *const names[NAT_PROTOS] = {
		[NAT_TCP] = "nat_ports_tcp",
		[NAT_UDP] = "nat_ports_udp",
		[NAT_ICMP] = "nat_ports_icmp",
		[NAT_SCTP] = "nat_ports_sctp",
	};
	__u32 addrs = 0, endpoints = 0;
	struct nat_rules rules;

	for (__u32 slot = 1; slot < NAT_ADDRS; slot++)
		addrs += s->nat_addrs[slot].ifindex != 0;
	add_map(array, "nat_addrs", addrs, NAT_ADDRS - 1);
	if (!nat_rules_read(s, &rules)) {
		add_map(array, "nat_rules", rules.n, NAT_FORWARDS);
		nat_rules_free(&rules);
	}
	for (int proto = 0; proto < NAT_PROTOS; proto++) {
		struct port_count n = {};

		count_ports(s, proto, &n);
		add_map(array, names[proto], n.used, n.all);
		endpoints += n.displaced;
	}
	add_map(array, "nat_endpoints", endpoints, NAT_ENDPOINTS);
}

static struct json_object *maps_json(struct state *s, const struct network_list *nets,
				     const struct port_list *ports)
{
	struct json_object *array = json_object_new_array();
	__u64 learned = 0, fixed = 0, macs = 0, ips = 0, flows = 0, opening = 0;

	for (__u32 i = 0; i < nets->n; i++) {
		learned += s->networks[nets->at[i].id].learned;
		fixed += s->networks[nets->at[i].id].fixed;
	}
	for (__u32 i = 0; i < ports->n; i++) {
		macs += ports->at[i].info.nmacs;
		ips += port_prefixes(&ports->at[i].info);
		flows += s->ports[ports->at[i].id].flows;
		opening += s->ports[ports->at[i].id].opening;
	}
	add_map(array, "networks", nets->n, NETWORK_MAX);
	add_map(array, "ports", ports->n, PORT_MAX);
	add_map(array, "port_macs", macs, (__u64)PORT_MAX * PORT_MAC_MAX);
	add_map(array, "port_ips", ips, (__u64)PORT_MAX * (PORT_IP_MAX + PORT_MAC_MAX));
	add_map(array, "fdb", learned + fixed, FDB_MAX);
	add_map(array, "acl_rules", acl_rules_used(s), ACL_COUNTER_MAX);
	add_map(array, "flows", flows > opening ? flows - opening : 0, FLOW_MAX);
	add_map(array, "flows_opening", opening, FLOW_OPENING_MAX);
	add_nat_maps(s, array);
	return array;
}

static const char *get(struct json_object *o, const char *key)
{
	const char *s = json_object_get_string(json_object_object_get(o, key));

	return s ? s : "-";
}

static void status_text(struct json_object *o)
{
	struct json_object *list;

	printf("version   %s%s%s\nkernel    %s\npins      %s%s\n", get(o, "version"),
	       json_object_object_get(o, "programs") ? ", programs of " : "",
	       json_object_object_get(o, "programs") ? get(o, "programs") : "", get(o, "kernel"),
	       get(o, "pins"),
	       json_object_get_boolean(json_object_object_get(o, "running"))
		       ? ""
		       : " (nothing there: no network yet)");
	printf("features ");
	json_object_object_foreach(json_object_object_get(o, "features"), name, has)
		printf(" %s %s", name, json_object_get_boolean(has) ? "yes" : "no");
	putchar('\n');
	list = json_object_object_get(o, "ports");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *p = json_object_array_get_idx(list, i);

		printf("port      %s hook %s mode %s (%s)\n", get(p, "dev"), get(p, "hook"),
		       get(p, "mode"), get(p, "why"));
	}
	list = json_object_object_get(o, "maps");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *m = json_object_array_get_idx(list, i);

		printf("map       %s %s of %s\n", get(m, "name"), get(m, "used"), get(m, "max"));
	}
}

static int status_show(struct args *a)
{
	struct json_object *o, *list;
	struct network_list nets = {};
	struct port_list ports = {};
	struct utsname kernel;
	struct state *s;
	int err;

	err = args_end(a) ?: state_open(STATE_READ, &s);
	if (err)
		return err;
	err = network_list(s, &nets) ?: port_list(s, &ports);
	if (!err) {
		uname(&kernel);
		o = json_object_new_object();
		json_object_object_add(o, "version", json_object_new_string(state_version()));
		json_object_object_add(o, "kernel", json_object_new_string(kernel.release));
		json_object_object_add(o, "pins", json_object_new_string(state_dir()));
		json_object_object_add(o, "running", json_object_new_boolean(state_exists(s)));
		json_object_object_add(o, "programs",
				       state_exists(s) ? out_string(s->meta->version) : NULL);
		json_object_object_add(o, "features", features_json());
		list = json_object_new_array();
		for (__u32 i = 0; i < ports.n; i++)
			json_object_array_add(list, port_json(&ports.at[i].info));
		json_object_object_add(o, "ports", list);
		json_object_object_add(o, "maps",
				       state_exists(s) ? maps_json(s, &nets, &ports)
						       : json_object_new_array());
		out_document(o, status_text);
	}
	network_list_free(&nets);
	port_list_free(&ports);
	state_unlock(s);
	return err;
}

static int detach_run(struct args *a)
{
	struct state *s;
	int err = args_end(a) ?: state_open(STATE_READ, &s);

	if (!err && state_exists(s))
		err = state_detach(s);
	return err;
}

static const struct command status_commands[] = {
	{"show", status_show, "",
	 "Shows features, hooks and modes of ports, pins and fill levels."},
	{},
};
static const struct command detach_commands[] = {
	{"", detach_run, "",
	 "Removes every network, program, pin and changed device setting of this namespace."},
	{},
};

const struct object object_status = {"status", status_commands, "the data plane as a whole", NULL};
const struct object object_detach = {"detach", detach_commands, "removes everything", NULL};
