// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* xdpctl network: add, set, del and show L2 domains. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include "addr.h"
#include "cmd.h"
#include "fdb.h"
#include "gateway.h"
#include "nat.h"
#include "port.h"
#include "uplink.h"

#define AGEING_MAX (365 * 24 * 3600)

static const char *const mode_names[] = {
	[NETWORK_BRIDGE] = "bridge",
	[NETWORK_INTERNAL] = "internal",
	[NETWORK_NAT] = "nat",
	[NETWORK_HOSTONLY] = "hostonly",
};
#define MODES (sizeof(mode_names) / sizeof(*mode_names))

/* Keys, in the order in which they are shown. */
enum key {
	KEY_MODE,
	KEY_UPLINK,
	KEY_SUBNET,
	KEY_GATEWAY,
	KEY_SUBNET6,
	KEY_GATEWAY6,
	KEY_FILTERING,
	KEY_AGEING,
	KEY_FDB_MAX,
	KEYS,
};

#define BIT(mode) (1U << NETWORK_##mode)

/* add, set: modes that take the key, for the words after each command. needed: that must have it. */
static const struct {
	const char *name;
	__u32 add, set, needed;
} keys[KEYS] = {
	[KEY_MODE] = {"mode", ~0U, 0, 0},
	[KEY_UPLINK] = {"uplink", BIT(BRIDGE) | BIT(NAT), BIT(BRIDGE), BIT(NAT)},
	[KEY_SUBNET] = {"subnet", BIT(NAT) | BIT(HOSTONLY), 0, BIT(NAT) | BIT(HOSTONLY)},
	[KEY_GATEWAY] = {"gateway", BIT(NAT) | BIT(HOSTONLY), 0, 0},
	[KEY_SUBNET6] = {"subnet6", BIT(NAT) | BIT(HOSTONLY), 0, 0},
	[KEY_GATEWAY6] = {"gateway6", BIT(NAT) | BIT(HOSTONLY), 0, 0},
	[KEY_FILTERING] = {"filtering", BIT(NAT), BIT(NAT), 0},
	[KEY_AGEING] = {"ageing", ~0U, ~0U, 0},
	[KEY_FDB_MAX] = {"fdb-max", ~0U, ~0U, 0},
};

/* What the words of `add` and `set` asked for. */
struct wanted {
	__u32 given;		/* bit enum key */
	const char *word[KEYS]; /* NULL: not given, or none */
	const char *uplink;
	struct prefix net[2];	  /* subnet, subnet6; family 0: none */
	struct prefix gateway[2]; /* family 0: the subnet's first address */
	__u32 ageing;
	__u32 fdb_max;
	__u8 mode;
	__u8 independent; /* filtering endpoint-independent */
};

static bool given(const struct wanted *w, enum key key)
{
	return w->given >> key & 1;
}

static int parse_mode(const char *word, __u8 *mode)
{
	for (size_t i = 0; i < MODES; i++)
		if (!strcmp(mode_names[i], word)) {
			*mode = i;
			return 0;
		}
	return usage("mode: \"%s\" is none of bridge, internal, nat, hostonly", word);
}

static int parse_filtering(const char *word, __u8 *independent)
{
	if (strcmp(word, "endpoint-independent") && strcmp(word, "endpoint-dependent"))
		return usage("filtering: \"%s\" is neither endpoint-independent nor "
			     "endpoint-dependent",
			     word);
	*independent = !strcmp(word, "endpoint-independent");
	return 0;
}

static int parse_value(struct wanted *w, enum key key, const char *word)
{
	const char *name = keys[key].name;
	__u64 n = 0;
	int err = 0;

	switch (key) {
	case KEY_MODE:
		return parse_mode(word, &w->mode);
	case KEY_UPLINK:
		return parse_dev_name(word, &w->uplink);
	case KEY_SUBNET:
	case KEY_SUBNET6:
		return parse_subnet(name, word, key == KEY_SUBNET ? 4 : 6,
				    &w->net[key == KEY_SUBNET6]);
	case KEY_GATEWAY:
	case KEY_GATEWAY6:
		return parse_host(name, word, key == KEY_GATEWAY ? 4 : 6,
				  &w->gateway[key == KEY_GATEWAY6]);
	case KEY_FILTERING:
		return parse_filtering(word, &w->independent);
	case KEY_AGEING:
		return parse_time(name, word, 1, AGEING_MAX, &w->ageing);
	case KEY_FDB_MAX:
		err = parse_number(name, word, 0, FDB_MAX, &n);
		w->fdb_max = n;
		return err;
	default:
		return -EUSAGE;
	}
}

static int parse_words(struct args *a, struct wanted *w, bool add)
{
	const char *name, *word;
	__u32 key;
	int err = 0;

	w->ageing = NETWORK_AGEING_SECS;
	while (a->n && !err) {
		err = args_next(a, "network", &name);
		for (key = 0; key < KEYS && strcmp(keys[key].name, name); key++)
			;
		if (!err && (key == KEYS || !(add ? keys[key].add : keys[key].set)))
			return usage("%s: unknown key \"%s\"", a->what, name);
		if (!err && given(w, key))
			return usage("network: %s is given twice", name);
		err = err ?: args_next(a, name, &word);
		if (err)
			break;
		w->given |= 1U << key;
		if (strcmp(word, "none") || key == KEY_MODE) {
			w->word[key] = word;
			err = parse_value(w, key, word);
		}
	}
	return err;
}

/* ---- add ---- */

static const char *word_of(const struct wanted *w, enum key key)
{
	return w->word[key] ?: "none";
}

/* Keys that the mode does not take, or needs. */
static int check_keys(const struct wanted *w)
{
	const char *mode = mode_names[w->mode];

	if (!given(w, KEY_MODE))
		return usage("network add: mode is missing (bridge, internal, nat or hostonly)");
	for (__u32 key = 0; key < KEYS; key++) {
		if (given(w, key) && !(keys[key].add >> w->mode & 1))
			return usage("network add: %s \"%s\": a network of mode %s has none",
				     keys[key].name, word_of(w, key), mode);
		if (!w->word[key] && keys[key].needed >> w->mode & 1)
			return usage("network add: %s is missing (mode %s needs it)",
				     keys[key].name, mode);
	}
	return 0;
}

/* The gateway of a subnet: the first address unless given, and never one that is not a host's. */
static int check_gateway(const struct wanted *w, int six, struct prefix *out)
{
	const struct prefix *net = &w->net[six], *gateway = &w->gateway[six];
	const char *name = keys[six ? KEY_GATEWAY6 : KEY_GATEWAY].name;
	char text[PREFIX_TEXT];

	if (!net->family && gateway->family)
		return usage("network add: %s \"%s\" needs %s", name,
			     word_of(w, six ? KEY_GATEWAY6 : KEY_GATEWAY),
			     six ? "subnet6" : "subnet");
	*out = *net;
	if (!net->family)
		return 0;
	if (!gateway->family) {
		out->addr[six ? 15 : 3] |= 1;
		return 0;
	}
	if (!addr_inside(gateway, net))
		return usage("network add: %s %s: is not in %s", name,
			     word_of(w, six ? KEY_GATEWAY6 : KEY_GATEWAY), prefix_text(net, text));
	memcpy(out->addr, gateway->addr, sizeof(out->addr));
	if (!addr_is_host(out, net))
		return usage("network add: %s %s: is not a host's address in %s", name,
			     word_of(w, six ? KEY_GATEWAY6 : KEY_GATEWAY), prefix_text(net, text));
	return 0;
}

/* What is to be remembered of a network with a gateway. */
static int make_info(const struct wanted *w, const char *name, struct nat_info *info)
{
	struct prefix gateway[2];
	const char *dev;
	int err = check_gateway(w, 0, &gateway[0]) ?: check_gateway(w, 1, &gateway[1]);

	if (err)
		return err;
	if (parse_dev_name(name, &dev) || gateway_other_end(name) || !strcmp(name, "all") ||
	    !strcmp(name, "default"))
		return usage("network: \"%s\" cannot be a device's name (1 to %d characters; not "
			     "all, default or xdpctl with a number), and mode %s makes one",
			     name, PORT_NAME_LEN - 1, mode_names[w->mode]);
	*info = (struct nat_info){
		.len = w->net[0].len,
		.len6 = w->net[1].len,
		.filter_independent = w->independent,
	};
	memcpy(info->subnet, w->net[0].addr, sizeof(info->subnet));
	memcpy(info->gateway, gateway[0].addr, sizeof(info->gateway));
	memcpy(info->subnet6, w->net[1].addr, sizeof(info->subnet6));
	memcpy(info->gateway6, gateway[1].addr, sizeof(info->gateway6));
	return 0;
}

static bool has_gateway(__u8 mode)
{
	return mode == NETWORK_NAT || mode == NETWORK_HOSTONLY;
}

/* Makes a network and what it has of its own: all, or nothing. */
static int make_network(struct state *s, struct network_info *info, const struct wanted *w,
			struct nat_info *nat)
{
	char why[512];
	__u32 id;
	int err;

	state_begin(s);
	err = network_create(s, info, &id);
	if (!err && has_gateway(info->mode))
		err = nat_create(s, id, info, nat, w->uplink, &info->uplink);
	else if (!err && w->uplink)
		err = uplink_join(s, id, w->uplink, false, &info->uplink);
	if (!err) {
		info->state = NETWORK_ACTIVE;
		err = network_apply(s, id, info);
	}
	if (err) {
		snprintf(why, sizeof(why), "%s", err_message());
		network_remove(s, id, info);
		fail(err, "%s", why);
	}
	state_end(s);
	return err;
}

static int network_add(struct args *a)
{
	struct network_info info = {};
	struct nat_info nat = {};
	const char *word, *name;
	struct wanted w = {};
	struct network_list l;
	struct state *s;
	__u32 id;
	int err;

	err = args_next(a, "network", &word) ?: parse_network_name(word, &name);
	err = err ?: parse_words(a, &w, true) ?: check_keys(&w);
	if (!err && has_gateway(w.mode))
		err = make_info(&w, name, &nat);
	err = err ?: state_open(STATE_CREATE, &s);
	if (err)
		return err;
	if (!network_find(s, name, &id, &info))
		err = fail(EEXIST, "network %s: exists already", name);
	if (!err && has_gateway(w.mode))
		err = nat_check_subnets(s, &nat);
	if (!err) {
		memset(&info, 0, sizeof(info));
		snprintf(info.name, sizeof(info.name), "%s", name);
		info.mode = w.mode;
		info.ageing = w.ageing;
		info.fdb_max = w.fdb_max;
		info.state = NETWORK_ADDING;
		err = make_network(s, &info, &w, &nat);
	}
	if (err && !network_list(s, &l)) {
		if (!l.n) /* nor is a data plane left that this command made for nothing */
			state_detach(s);
		network_list_free(&l);
	}
	state_unlock(s);
	return err;
}

/* ---- set ---- */

/*
 * Changes a network's uplink to dev (NULL: none) and its settings to *info. The new uplink is
 * a port before the network names it, the old one until it no longer does: whichever the
 * network names is the true one.
 */
static int change_uplink(struct state *s, __u32 id, struct network_info *info, const char *dev)
{
	struct port_info old_port;
	__u32 old = info->uplink;
	int err = 0;

	if (old && dev && !strcmp(port_name(s, old, &old_port), dev))
		return network_apply(s, id, info);
	info->uplink = 0;
	if (dev)
		err = uplink_join(s, id, dev, false, &info->uplink);
	err = err ?: network_apply(s, id, info);
	if (err) {
		if (info->uplink)
			uplink_undo(s, info->uplink);
		if (old)
			port_derive(s, old);
	} else if (old) {
		err = uplink_settle(s, old);
	}
	return err;
}

static int check_set(const char *name, const struct wanted *w, __u8 mode)
{
	for (__u32 key = 0; key < KEYS; key++)
		if (given(w, key) && !(keys[key].set >> mode & 1))
			return fail(EINVAL,
				    keys[key].add >> mode & 1
					    ? "network %s: %s %s: cannot be changed in mode %s"
					    : "network %s: %s %s: mode %s has none",
				    name, keys[key].name, word_of(w, key), mode_names[mode]);
	return 0;
}

static int network_set(struct args *a)
{
	struct network_info info;
	const char *word, *name;
	struct wanted w = {};
	struct state *s;
	__u32 id;
	int err;

	err = args_next(a, "network", &word) ?: parse_network_name(word, &name);
	if (!err && !a->n)
		return usage("network set: needs a key and a value");
	err = err ?: parse_words(a, &w, false) ?: state_open(STATE_WRITE, &s);
	if (err)
		return err;
	err = network_find(s, name, &id, &info) ?: check_set(name, &w, info.mode);
	if (!err) {
		state_begin(s);
		if (given(&w, KEY_AGEING))
			info.ageing = w.ageing;
		if (given(&w, KEY_FDB_MAX))
			info.fdb_max = w.fdb_max;
		if (given(&w, KEY_FILTERING))
			err = nat_set_filtering(s, id, w.independent);
		if (!err)
			err = given(&w, KEY_UPLINK) ? change_uplink(s, id, &info, w.uplink)
						    : network_apply(s, id, &info);
		state_end(s);
	}
	state_unlock(s);
	return err;
}

/* ---- del and show ---- */

static int network_del(struct args *a)
{
	struct network_info info;
	const char *word, *name;
	struct port_list l;
	struct state *s;
	__u32 id;
	int err;

	err = args_next(a, "network", &word) ?: parse_network_name(word, &name) ?: args_end(a);
	err = err ?: state_open(STATE_WRITE, &s);
	if (err)
		return err;
	err = network_find(s, name, &id, &info) ?: port_list(s, &l);
	if (!err) {
		for (__u32 i = 0; i < l.n && !err; i++)
			if (l.at[i].info.network == id && !l.at[i].info.uplink)
				err = fail(EBUSY, "network %s: still has port %s", name,
					   l.at[i].info.dev);
		port_list_free(&l);
		err = err ?: network_remove(s, id, &info);
	}
	state_unlock(s);
	return err;
}

static void add_prefix(struct json_object *o, const char *key, const struct prefix *p)
{
	char text[PREFIX_TEXT];

	json_object_object_add(o, key,
			       p->family ? json_object_new_string(prefix_text(p, text)) : NULL);
}

/* A subnet and its gateway, as they would be typed. */
static void add_subnet(struct json_object *o, const char *subnet, const char *gateway, __u8 family,
		       __u8 len, const __u8 net[16], const __u8 host[16])
{
	struct prefix p = nat_prefix(net, len ? family : 0, len);

	add_prefix(o, subnet, &p);
	p = nat_prefix(host, len ? family : 0, family == 4 ? 32 : 128);
	add_prefix(o, gateway, &p);
}

static struct json_object *network_json(struct state *s, const struct network_entry *n,
					const struct port_list *ports)
{
	struct json_object *o = json_object_new_object(), *devs = json_object_new_array(),
			   *uplink = NULL;
	struct nat_info nat = {};

	bpf_map_lookup_elem(s->maps[MAP_NAT_INFO], &n->id, &nat);
	for (__u32 i = 0; i < ports->n; i++) {
		const struct port_info *p = &ports->at[i].info;
		bool leads = nat.uplink && ports->at[i].id == nat.uplink;

		if (p->gateway || (!leads && (p->network != n->id || p->nat_only)))
			continue;
		json_object_array_add(devs, json_object_new_string(p->dev));
		if (p->uplink)
			uplink = json_object_new_string(p->dev);
	}
	json_object_object_add(o, "name", json_object_new_string(n->info.name));
	json_object_object_add(o, "mode", json_object_new_string(mode_names[n->info.mode]));
	json_object_object_add(o, "uplink", uplink);
	add_subnet(o, "subnet", "gateway", 4, nat.len, nat.subnet, nat.gateway);
	add_subnet(o, "subnet6", "gateway6", 6, nat.len6, nat.subnet6, nat.gateway6);
	json_object_object_add(o, "ageing", json_object_new_int64(n->info.ageing));
	json_object_object_add(o, "fdb_max",
			       n->info.fdb_max ? json_object_new_int64(n->info.fdb_max) : NULL);
	json_object_object_add(o, "ports", devs);
	if (nat.filter_independent)
		json_object_object_add(o, "filtering",
				       json_object_new_string("endpoint-independent"));
	return o;
}

static int network_show(struct args *a)
{
	struct network_list nets = {};
	struct port_list ports = {};
	struct network_info info;
	struct json_object *array;
	const char *name = NULL, *word;
	struct state *s;
	__u32 id;
	int err = 0;

	if (a->n)
		err = args_next(a, "network", &word) ?: parse_network_name(word, &name);
	err = err ?: args_end(a) ?: state_open(STATE_READ, &s);
	if (err)
		return err;
	if (name)
		err = network_find(s, name, &id, &info);
	err = err ?: network_list(s, &nets) ?: port_list(s, &ports);
	if (!err) {
		array = json_object_new_array();
		for (__u32 i = 0; i < nets.n; i++)
			if (!name || !strcmp(name, nets.at[i].info.name))
				json_object_array_add(array, network_json(s, &nets.at[i], &ports));
		out_lines(array, "name", NULL);
	}
	network_list_free(&nets);
	port_list_free(&ports);
	state_unlock(s);
	return err;
}

static const struct command commands[] = {
	{"show", network_show, "[NAME]", "Lists networks."},
	{"add", network_add,
	 "NAME mode {bridge|internal|nat|hostonly} [uplink DEV]\n"
	 "                   [subnet PREFIX [gateway ADDR]] [subnet6 PREFIX [gateway6 ADDR]]\n"
	 "                   [filtering endpoint-independent] [ageing TIME] [fdb-max N]",
	 "Makes an L2 domain.\n"
	 "bridge: its VMs are on the physical network behind uplink, where the host keeps its\n"
	 "addresses. internal: VMs only. nat: VMs are on a private subnet, the host is their\n"
	 "gateway, and what leaves by uplink has the uplink's address. hostonly: VMs and host.\n"
	 "nat and hostonly make a device NAME with the gateway's addresses: run DHCP and DNS there."},
	{"set", network_set,
	 "NAME [uplink DEV|none] [filtering endpoint-independent|endpoint-dependent]\n"
	 "                   [ageing TIME] [fdb-max N]",
	 "Changes a network under traffic. uplink is a bridge network's, filtering a nat one's."},
	{"del", network_del, "NAME",
	 "Removes a network that has no ports (its uplink goes with it)."},
	{},
};

const struct object object_network = {
	"network",
	commands,
	"L2 domains",
	"  subnet, subnet6    the VMs' addresses (nat, hostonly), as 192.168.50.0/24\n"
	"  gateway, gateway6  the host's address there (default: the first one)\n"
	"  filtering          who may send to a VM's mapping: those it has sent to\n"
	"                     (endpoint-dependent, the default), or anybody (endpoint-independent)\n"
	"  ageing   how long an unused address stays learned: 30s, 5m, 1h (default 5m)\n"
	"  fdb-max  at most so many learned addresses; when full, the port with the most gives\n"
	"           up its oldest (default: none)\n",
};
