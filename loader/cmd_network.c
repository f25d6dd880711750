// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* xdpctl network: add, set, del and show L2 domains. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include "cmd.h"
#include "fdb.h"
#include "port.h"

#define AGEING_MAX (365 * 24 * 3600)

static const char *const mode_names[] =
	{[NETWORK_BRIDGE] = "bridge", [NETWORK_INTERNAL] = "internal"};

/* What the words of `add` and `set` asked for. */
struct wanted {
	bool ageing_given, fdb_max_given, uplink_given, mode_given;
	__u32 ageing;
	__u32 fdb_max;
	const char *uplink; /* NULL: none */
	__u8 mode;
};

static int once(bool *given, const char *key)
{
	if (*given)
		return usage("network: %s is given twice", key);
	*given = true;
	return 0;
}

static int parse_mode(const char *word, __u8 *mode)
{
	for (size_t i = 0; i < sizeof(mode_names) / sizeof(*mode_names); i++)
		if (!strcmp(mode_names[i], word)) {
			*mode = i;
			return 0;
		}
	return usage("mode: \"%s\" is neither bridge nor internal", word);
}

static int parse_key(struct wanted *w, const char *key, const char *word)
{
	bool none = !strcmp(word, "none");
	__u64 n = 0;
	int err;

	if (!strcmp(key, "uplink")) {
		err = once(&w->uplink_given, key);
		w->uplink = NULL;
		return err || none ? err : parse_dev_name(word, &w->uplink);
	}
	if (!strcmp(key, "ageing")) {
		w->ageing = NETWORK_AGEING_SECS;
		err = once(&w->ageing_given, key);
		return err || none ? err : parse_time(key, word, 1, AGEING_MAX, &w->ageing);
	}
	if (!strcmp(key, "fdb-max")) {
		err = once(&w->fdb_max_given, key);
		err = err || none ? err : parse_number(key, word, 0, FDB_MAX, &n);
		w->fdb_max = n;
		return err;
	}
	return usage("network: unknown key \"%s\"", key);
}

static int parse_words(struct args *a, struct wanted *w, bool add)
{
	const char *key, *word;
	int err = 0;

	while (a->n && !err) {
		err = args_next(a, "network", &key);
		if (!err && strcmp(key, "uplink") && strcmp(key, "ageing") &&
		    strcmp(key, "fdb-max") && (!add || strcmp(key, "mode")))
			return usage("%s: unknown key \"%s\"", a->what, key);
		err = err ?: args_next(a, key, &word);
		if (!err && !strcmp(key, "mode"))
			err = once(&w->mode_given, key) ?: parse_mode(word, &w->mode);
		else if (!err)
			err = parse_key(w, key, word);
	}
	return err;
}

static int add_uplink(struct state *s, __u32 id, const char *dev, __u32 *port_id)
{
	struct port_info port;

	port_defaults(&port, dev, id, true);
	return port_create(s, &port, port_id);
}

static int network_add(struct args *a)
{
	struct wanted w = {.ageing = NETWORK_AGEING_SECS};
	struct network_info info = {};
	const char *word, *name;
	struct network_list l;
	struct state *s;
	__u32 id;
	int err;

	err = args_next(a, "network", &word) ?: parse_network_name(word, &name);
	err = err ?: parse_words(a, &w, true);
	if (err)
		return err;
	if (!w.mode_given)
		return usage("network add: mode is missing (bridge or internal)");
	if (w.mode == NETWORK_INTERNAL && w.uplink_given)
		return usage("network add: uplink \"%s\": an internal network has none",
			     w.uplink ? w.uplink : "none");
	err = state_open(STATE_CREATE, &s);
	if (err)
		return err;
	if (!network_find(s, name, &id, &info)) {
		err = fail(EEXIST, "network %s: exists already", name);
		goto out;
	}
	memset(&info, 0, sizeof(info));
	snprintf(info.name, sizeof(info.name), "%s", name);
	info.mode = w.mode;
	info.ageing = w.ageing;
	info.fdb_max = w.fdb_max;
	info.state = NETWORK_ADDING;
	state_begin(s);
	err = network_create(s, &info, &id);
	if (!err && w.uplink)
		err = add_uplink(s, id, w.uplink, &info.uplink);
	if (!err) {
		info.state = NETWORK_ACTIVE;
		err = network_apply(s, id, &info);
	} else {
		char why[512];

		snprintf(why, sizeof(why), "%s", err_message());
		network_remove(s, id, &info);
		fail(err, "%s", why);
	}
	state_end(s);
	if (err && !network_list(s, &l)) {
		if (!l.n) /* nor is a data plane left that this command made for nothing */
			state_detach(s);
		network_list_free(&l);
	}
out:
	state_unlock(s);
	return err;
}

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
		err = add_uplink(s, id, dev, &info->uplink);
	err = err ?: network_apply(s, id, info);
	if (err) {
		if (info->uplink)
			port_undo(s, info->uplink);
		if (old)
			port_derive(s, old);
	} else if (old && !bpf_map_lookup_elem(s->maps[MAP_PORT_INFO], &old, &old_port)) {
		err = port_remove(s, old, &old_port);
	}
	return err;
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
	err = network_find(s, name, &id, &info);
	if (!err && w.uplink && info.mode != NETWORK_BRIDGE)
		err = fail(EINVAL, "network %s: uplink %s: an internal network has none", name,
			   w.uplink);
	if (!err) {
		state_begin(s);
		if (w.ageing_given)
			info.ageing = w.ageing;
		if (w.fdb_max_given)
			info.fdb_max = w.fdb_max;
		err = w.uplink_given ? change_uplink(s, id, &info, w.uplink)
				     : network_apply(s, id, &info);
		state_end(s);
	}
	state_unlock(s);
	return err;
}

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

static struct json_object *network_json(const struct network_entry *n,
					const struct port_list *ports)
{
	static const char *const later[] = {"subnet", "gateway", "subnet6", "gateway6"};
	struct json_object *o = json_object_new_object(), *devs = json_object_new_array(),
			   *uplink = NULL;

	for (__u32 i = 0; i < ports->n; i++) {
		const struct port_info *p = &ports->at[i].info;

		if (p->network != n->id)
			continue;
		json_object_array_add(devs, json_object_new_string(p->dev));
		if (p->uplink)
			uplink = json_object_new_string(p->dev);
	}
	json_object_object_add(o, "name", json_object_new_string(n->info.name));
	json_object_object_add(o, "mode", json_object_new_string(mode_names[n->info.mode]));
	json_object_object_add(o, "uplink", uplink);
	for (size_t i = 0; i < sizeof(later) / sizeof(*later); i++)
		json_object_object_add(o, later[i], NULL);
	json_object_object_add(o, "ageing", json_object_new_int64(n->info.ageing));
	json_object_object_add(o, "fdb_max",
			       n->info.fdb_max ? json_object_new_int64(n->info.fdb_max) : NULL);
	json_object_object_add(o, "ports", devs);
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
				json_object_array_add(array, network_json(&nets.at[i], &ports));
		out_lines(array, "name", NULL);
	}
	network_list_free(&nets);
	port_list_free(&ports);
	state_unlock(s);
	return err;
}

static const struct command commands[] = {
	{"show", network_show, "[NAME]", "Lists networks."},
	{"add", network_add, "NAME mode {bridge|internal} [uplink DEV] [ageing TIME] [fdb-max N]",
	 "Makes an L2 domain. bridge: its VMs are on the physical network behind uplink, where the\n"
	 "host keeps its addresses; internal: VMs only."},
	{"set", network_set, "NAME [uplink DEV|none] [ageing TIME] [fdb-max N]",
	 "Changes a network under traffic."},
	{"del", network_del, "NAME",
	 "Removes a network that has no ports (its uplink goes with it)."},
	{},
};

const struct object object_network = {
	"network",
	commands,
	"L2 domains",
	"  ageing   how long an unused address stays learned: 30s, 5m, 1h (default 5m)\n"
	"  fdb-max  at most so many learned addresses; when full, the port with the most gives\n"
	"           up its oldest (default: none)\n",
};
