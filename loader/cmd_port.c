// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* xdpctl port: devices in networks and their settings. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include "attach.h"
#include "cmd.h"
#include "netdev.h"
#include "port.h"
#include "../maps/flow.h"

static const char *const hook_names[] = {[HOOK_AUTO] = "auto", [HOOK_XDP] = "xdp", [HOOK_TC] = "tc"};

/* Settings that are on or off. */
static const struct {
	const char *key;
	const char *json;
	size_t offset; /* of the __u8 in struct port_info */
	bool default_on;
} switches[] = {
	{"isolated", "isolated", offsetof(struct port_info, isolated), false},
	{"learning", "learning", offsetof(struct port_info, learning), true},
	{"flood", "flood", offsetof(struct port_info, flood), true},
	{"mcast-flood", "mcast_flood", offsetof(struct port_info, mcast_flood), true},
	{"bcast-flood", "bcast_flood", offsetof(struct port_info, bcast_flood), true},
	{"sticky", "sticky", offsetof(struct port_info, sticky), false},
	{"hairpin", "hairpin", offsetof(struct port_info, hairpin), false},
};
#define SWITCHES (sizeof(switches) / sizeof(*switches))

/* Settings in a __u8 of struct port_info. */
struct choice {
	const char *key;
	const char *json;
	size_t offset;
};

/* On or off, with a default that depends on others: enum port_may. */
static const struct choice may_keys[] = {
	{"dhcp-server", "dhcp_server", offsetof(struct port_info, dhcp_server)},
	{"ra", "ra", offsetof(struct port_info, ra)},
};
#define MAY_KEYS (sizeof(may_keys) / sizeof(*may_keys))

/* Allow or deny. */
static const struct choice policies[] = {
	{"policy-in", "policy_in", offsetof(struct port_info, deny_in)},
	{"policy-out", "policy_out", offsetof(struct port_info, deny_out)},
};
#define POLICIES (sizeof(policies) / sizeof(*policies))

static const char *const values[] = {"vlan",	  "trunk",	"native",  "group",	  "mac",
				     "fdb-max",	  "hook",	"ip",	   "dhcp-server", "ra",
				     "policy-in", "policy-out", "conn-max"};
#define VALUES (sizeof(values) / sizeof(*values))

static __u8 *switch_of(struct port_info *info, size_t i)
{
	return (__u8 *)info + switches[i].offset;
}

static __u8 *choice_of(struct port_info *info, const struct choice *c)
{
	return (__u8 *)info + c->offset;
}

/* Which keys one command gave: bit i of the switches, then of the values. */
static int key_index(const char *key)
{
	for (size_t i = 0; i < SWITCHES; i++)
		if (!strcmp(switches[i].key, key))
			return i;
	for (size_t i = 0; i < VALUES; i++)
		if (!strcmp(values[i], key))
			return SWITCHES + i;
	return -1;
}

static bool given(__u32 keys, const char *key)
{
	return keys >> key_index(key) & 1;
}

static int parse_macs(const char *word, struct port_info *info)
{
	__u8 macs[PORT_MAC_MAX][6] = {};
	char one[32];
	__u8 n = 0;
	int err;

	if (!strcmp(word, "any") || !strcmp(word, "none")) {
		info->nmacs = 0;
		return 0;
	}
	for (const char *at = word; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
		snprintf(one, sizeof(one), "%.*s", (int)strcspn(at, ","), at);
		if (n == PORT_MAC_MAX)
			return usage("mac: \"%s\" has more than %d addresses", word, PORT_MAC_MAX);
		err = parse_mac("mac", one, macs[n]);
		if (err)
			return err;
		for (__u8 i = 0; i < n; i++)
			if (!memcmp(macs[i], macs[n], 6))
				return usage("mac: %s is given twice", one);
		n++;
	}
	memcpy(info->macs, macs, sizeof(macs));
	info->nmacs = n;
	return 0;
}

static int parse_ips(const char *word, struct port_info *info)
{
	struct prefix ips[PORT_IP_MAX] = {};
	char one[PREFIX_TEXT];
	__u8 n = 0;
	int err;

	if (!strcmp(word, "any") || !strcmp(word, "none")) {
		memset(info->ips, 0, sizeof(info->ips));
		info->nips = 0;
		return 0;
	}
	for (const char *at = word; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
		snprintf(one, sizeof(one), "%.*s", (int)strcspn(at, ","), at);
		if (n == PORT_IP_MAX)
			return usage("ip: \"%s\" has more than %d prefixes", word, PORT_IP_MAX);
		err = parse_prefix("ip", one, &ips[n]);
		if (err)
			return err;
		for (__u8 i = 0; i < n; i++)
			if (prefix_equal(&ips[i], &ips[n]))
				return usage("ip: %s is given twice", one);
		n++;
	}
	memcpy(info->ips, ips, sizeof(ips));
	info->nips = n;
	return 0;
}

static void set_vlan_mode(struct port_info *info, __u8 mode)
{
	if (info->vlan_mode == mode)
		return;
	info->vlan_mode = mode;
	info->pvid = 0;
	memset(&info->trunk, 0, sizeof(info->trunk));
}

/* The VLAN keys; their order on the command line does not matter. */
static int apply_vlan(struct port_info *info, __u32 keys, const char *const word[], bool add)
{
	const char *vlan = given(keys, "vlan") ? word[0] : NULL;
	const char *trunk = given(keys, "trunk") ? word[1] : NULL;
	const char *native = given(keys, "native") ? word[2] : NULL;
	struct port_vlans list;
	__u16 vid = 0;
	int err = 0;

	if (vlan && trunk)
		return usage("port: vlan %s and trunk %s exclude each other", vlan, trunk);
	if (vlan && native)
		return usage("port: vlan %s and native %s exclude each other", vlan, native);
	if (vlan && strcmp(vlan, "none")) {
		err = parse_vid("vlan", vlan, &vid);
		if (err)
			return err;
		set_vlan_mode(info, VLAN_ACCESS);
		info->pvid = vid;
	} else if (vlan && info->vlan_mode == VLAN_ACCESS) {
		set_vlan_mode(info, VLAN_TRANSPARENT);
	}
	if (trunk && strcmp(trunk, "none")) {
		err = parse_vid_list("trunk", trunk, &list);
		if (err)
			return err;
		set_vlan_mode(info, VLAN_TRUNK);
		info->trunk = list;
	} else if (trunk && info->vlan_mode == VLAN_TRUNK) {
		set_vlan_mode(info, VLAN_TRANSPARENT);
	}
	if (!native)
		return 0;
	if (strcmp(native, "none"))
		err = parse_vid("native", native, &vid);
	if (err)
		return err;
	if (info->vlan_mode != VLAN_TRUNK && vid)
		return add || trunk
			       ? usage("port: native %s needs a trunk", native)
			       : fail(EINVAL, "port: native %s needs a trunk, and dev %s has none",
				      native, info->dev);
	if (info->vlan_mode == VLAN_TRUNK)
		info->pvid = vid;
	return 0;
}

static int parse_hook(const char *word, __u8 *hook)
{
	if (!strcmp(word, "none"))
		word = "auto";
	for (size_t i = 0; i < sizeof(hook_names) / sizeof(*hook_names); i++)
		if (!strcmp(hook_names[i], word)) {
			*hook = i;
			return 0;
		}
	return usage("hook: \"%s\" is none of auto, xdp, tc", word);
}

static int parse_count(const char *key, const char *word, __u64 max, __u64 *n)
{
	*n = 0;
	return strcmp(word, "none") ? parse_number(key, word, 0, max, n) : 0;
}

/* The words of `add` and `set`, kept until the port that they change is known. */
struct wanted {
	__u32 keys; /* by key_index() */
	const char *word[SWITCHES + VALUES];
};

static int read_wanted(struct args *a, struct wanted *w)
{
	const char *key;
	int err = 0, i;

	while (a->n && !err) {
		err = args_next(a, "port", &key);
		i = key_index(key);
		if (i < 0)
			return usage("%s: unknown key \"%s\"", a->what, key);
		if (w->keys >> i & 1)
			return usage("%s: %s is given twice", a->what, key);
		w->keys |= 1U << i;
		err = args_next(a, key, &w->word[i]);
	}
	return err;
}

/* The word that was given for a key, or NULL. */
static const char *word_of(const struct wanted *w, const char *key)
{
	return w->word[key_index(key)];
}

static int parse_policy(const char *key, const char *word, __u8 *deny)
{
	if (!strcmp(word, "none"))
		word = "allow";
	if (strcmp(word, "allow") && strcmp(word, "deny"))
		return usage("%s: \"%s\" is neither allow nor deny", key, word);
	*deny = !strcmp(word, "deny");
	return 0;
}

/* What judges a port's packets. */
static int apply_judges(const struct wanted *w, struct port_info *info)
{
	const char *word = word_of(w, "ip");
	int err = word ? parse_ips(word, info) : 0;
	__u64 n;
	__u8 on;

	for (const struct choice *c = may_keys; !err && c < may_keys + MAY_KEYS; c++) {
		word = word_of(w, c->key);
		err = word ? parse_onoff(c->key, word, &on) : 0;
		if (word && !err)
			*choice_of(info, c) = on ? MAY_ON : MAY_OFF;
	}
	for (const struct choice *c = policies; !err && c < policies + POLICIES; c++) {
		word = word_of(w, c->key);
		err = word ? parse_policy(c->key, word, choice_of(info, c)) : 0;
	}
	word = word_of(w, "conn-max");
	if (!err && word) {
		err = parse_count("conn-max", word, FLOW_MAX, &n);
		if (!err)
			info->conn_max = n;
	}
	return err;
}

/* Applies the words to *info. add: *info is a new port's. */
static int apply(const struct wanted *w, struct port_info *info, bool add)
{
	const char *const *value = w->word + SWITCHES;
	__u64 n;
	int err;

	for (size_t i = 0; i < SWITCHES; i++) {
		if (!(w->keys >> i & 1))
			continue;
		err = parse_onoff(switches[i].key, w->word[i], switch_of(info, i));
		if (err)
			return err;
	}
	if (given(w->keys, "group")) {
		err = parse_count("group", value[3], 255, &n);
		if (err)
			return err;
		info->group = n;
	}
	if (given(w->keys, "mac")) {
		err = parse_macs(value[4], info);
		if (err)
			return err;
	}
	if (given(w->keys, "fdb-max")) {
		err = parse_count("fdb-max", value[5], FDB_MAX, &n);
		if (err)
			return err;
		info->fdb_max = n;
	}
	if (given(w->keys, "hook")) {
		err = parse_hook(value[6], &info->hook);
		if (err)
			return err;
	}
	return apply_judges(w, info) ?: apply_vlan(info, w->keys, value, add);
}

/* An uplink leads to everybody. */
static int check_uplink(struct port_info *info)
{
	if (!info->uplink)
		return 0;
	if (info->nat_only && info->vlan_mode != VLAN_TRANSPARENT)
		return fail(EINVAL, "dev %s: vlan, trunk: no bridge network has this uplink",
			    info->dev);
	if (info->nat_only && (info->deny_in || info->deny_out || info->conn_max))
		return fail(EINVAL,
			    "dev %s: policy-in, policy-out, conn-max: no bridge network has this "
			    "uplink",
			    info->dev);
	if (info->isolated)
		return fail(EINVAL, "dev %s: isolated on: an uplink is never isolated", info->dev);
	if (info->group)
		return fail(EINVAL, "dev %s: group %u: an uplink is in no group", info->dev,
			    info->group);
	if (info->nmacs)
		return fail(EINVAL, "dev %s: mac: an uplink brings any address", info->dev);
	if (info->nips)
		return fail(EINVAL, "dev %s: ip: an uplink brings any address", info->dev);
	for (const struct choice *c = may_keys; c < may_keys + MAY_KEYS; c++)
		if (*choice_of(info, c) == MAY_OFF)
			return fail(EINVAL,
				    "dev %s: %s off: what comes off the wire is not guarded",
				    info->dev, c->key);
	return 0;
}

static int read_dev(struct args *a, const char **dev)
{
	const char *word;

	if (!args_take(a, "dev"))
		return a->n ? usage("%s: expected \"dev\", not \"%s\"", a->what, *a->v)
			    : usage("%s: dev is missing", a->what);
	return args_next(a, "dev", &word) ?: parse_dev_name(word, dev);
}

static int port_add(struct args *a)
{
	const char *word, *network, *dev;
	struct network_info net;
	struct port_info info;
	struct wanted w = {};
	struct state *s;
	__u32 id;
	int err;

	err = args_next(a, "network", &word) ?: parse_network_name(word, &network);
	err = err ?: read_dev(a, &dev) ?: read_wanted(a, &w);
	if (err)
		return err;
	port_defaults(&info, dev, 0, false);
	err = apply(&w, &info, true) ?: state_open(STATE_WRITE, &s);
	if (err)
		return err;
	err = network_find(s, network, &id, &net);
	info.network = id;
	err = err ?: port_create(s, &info, &id);
	state_unlock(s);
	return err;
}

static int port_set(struct args *a)
{
	struct port_info old, new;
	struct wanted w = {};
	struct state *s;
	const char *dev;
	__u32 id;
	int err;

	err = read_dev(a, &dev);
	if (!err && !a->n)
		return usage("port set: needs a key and a value");
	if (!err)
		err = read_wanted(a, &w);
	if (err)
		return err;
	/* Bad words are refused before anything is looked at. */
	port_defaults(&new, dev, 0, false);
	new.vlan_mode = VLAN_TRUNK;
	err = apply(&w, &new, false) ?: state_open(STATE_WRITE, &s);
	if (err)
		return err;
	err = port_find_settable(s, dev, &id, &old);
	if (!err) {
		new = old;
		err = apply(&w, &new, false) ?: check_uplink(&new) ?: port_change(s, id, &old, &new);
	}
	state_unlock(s);
	return err;
}

static int port_del(struct args *a)
{
	struct port_info info;
	struct state *s;
	const char *dev;
	__u32 id;
	int err;

	err = read_dev(a, &dev) ?: args_end(a) ?: state_open(STATE_WRITE, &s);
	if (err)
		return err;
	err = port_find_settable(s, dev, &id, &info);
	if (!err && info.uplink) {
		struct network_info net;

		network_name(s, info.network, &net);
		err = fail(EBUSY,
			   info.nat_only ? "dev %s: the uplink of network %s (use network del %s)"
					 : "dev %s: the uplink of network %s (use network set %s "
					   "uplink none)",
			   dev, net.name, net.name);
	}
	err = err ?: port_remove(s, id, &info);
	state_unlock(s);
	return err;
}

static struct json_object *trunk_json(const struct port_info *p)
{
	struct json_object *list;

	if (p->vlan_mode != VLAN_TRUNK)
		return NULL;
	list = json_object_new_array();
	for (int vid = 1; vid < 4095; vid++)
		if (p->trunk.member[vid / 64] >> (vid % 64) & 1)
			json_object_array_add(list, json_object_new_int(vid));
	return list;
}

static struct json_object *macs_json(const struct port_info *p)
{
	struct json_object *list;

	if (!p->nmacs)
		return NULL;
	list = json_object_new_array();
	for (int i = 0; i < p->nmacs; i++)
		json_object_array_add(list, out_mac(p->macs[i]));
	return list;
}

static struct json_object *ips_json(const struct port_info *p)
{
	struct json_object *list;
	char text[PREFIX_TEXT];

	if (!p->nips)
		return NULL;
	list = json_object_new_array();
	for (int i = 0; i < p->nips; i++)
		json_object_array_add(list, json_object_new_string(prefix_text(&p->ips[i], text)));
	return list;
}

static const char *hook_name(const struct port_info *p)
{
	if (p->hook != HOOK_AUTO)
		return hook_names[p->hook];
	return p->xdp_mode ? "xdp+tc" : "tc";
}

static const char *device_state(const struct port_info *p)
{
	struct netdev dev;

	if (!p->ifindex || netdev_get(NULL, p->ifindex, &dev))
		return "missing";
	return netdev_up(&dev) ? "up" : "down";
}

static void add_vid(struct json_object *o, const char *key, __u16 vid)
{
	json_object_object_add(o, key, vid ? json_object_new_int(vid) : NULL);
}

static struct json_object *port_json(struct state *s, struct port_info *p)
{
	struct json_object *o = json_object_new_object();
	struct network_info net;

	json_object_object_add(o, "dev", json_object_new_string(p->dev));
	json_object_object_add(o, "network",
			       json_object_new_string(network_name(s, p->network, &net)));
	json_object_object_add(o, "uplink", json_object_new_boolean(p->uplink));
	add_vid(o, "vlan", p->vlan_mode == VLAN_ACCESS ? p->pvid : 0);
	json_object_object_add(o, "trunk", trunk_json(p));
	add_vid(o, "native", p->vlan_mode == VLAN_TRUNK ? p->pvid : 0);
	json_object_object_add(o, "group", json_object_new_int(p->group));
	json_object_object_add(o, "mac", macs_json(p));
	json_object_object_add(o, "ip", ips_json(p));
	for (size_t i = 0; i < SWITCHES; i++)
		json_object_object_add(o, switches[i].json,
				       json_object_new_boolean(*switch_of(p, i)));
	for (const struct choice *c = may_keys; c < may_keys + MAY_KEYS; c++)
		json_object_object_add(o, c->json,
				       json_object_new_boolean(port_may(p, *choice_of(p, c))));
	json_object_object_add(o, "fdb_max", json_object_new_int64(p->fdb_max));
	for (const struct choice *c = policies; c < policies + POLICIES; c++)
		json_object_object_add(o, c->json,
				       json_object_new_string(*choice_of(p, c) ? "deny" : "allow"));
	json_object_object_add(o, "conn_max", json_object_new_int64(p->conn_max));
	json_object_object_add(o, "hook", json_object_new_string(hook_name(p)));
	json_object_object_add(o, "state", json_object_new_string(device_state(p)));
	return o;
}

static struct json_object *port_defaults_json(void)
{
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; i < SWITCHES; i++)
		json_object_object_add(o, switches[i].json,
				       json_object_new_boolean(switches[i].default_on));
	json_object_object_add(o, "group", json_object_new_int(0));
	json_object_object_add(o, "fdb_max", json_object_new_int64(0));
	for (size_t i = 0; i < MAY_KEYS; i++)
		json_object_object_add(o, may_keys[i].json, json_object_new_boolean(true));
	for (size_t i = 0; i < POLICIES; i++)
		json_object_object_add(o, policies[i].json, json_object_new_string("allow"));
	json_object_object_add(o, "conn_max", json_object_new_int64(0));
	return o;
}

static int port_show(struct args *a)
{
	const char *dev = NULL, *network = NULL, *word;
	struct port_list ports = {};
	struct network_info net;
	struct json_object *array;
	struct port_info info;
	struct state *s;
	__u32 id, net_id = 0;
	int err = 0;

	while (a->n && !err) {
		if (!dev && args_take(a, "dev"))
			err = args_next(a, "dev", &word) ?: parse_dev_name(word, &dev);
		else if (!network && args_take(a, "network"))
			err = args_next(a, "network", &word) ?: parse_network_name(word, &network);
		else
			err = args_end(a);
	}
	if (!err && dev && network)
		return usage("port show: dev %s and network %s exclude each other", dev, network);
	err = err ?: state_open(STATE_READ, &s);
	if (err)
		return err;
	if (dev)
		err = port_find_settable(s, dev, &id, &info);
	if (!err && network)
		err = network_find(s, network, &net_id, &net);
	err = err ?: port_list(s, &ports);
	if (!err) {
		array = json_object_new_array();
		for (__u32 i = 0; i < ports.n; i++)
			if (!ports.at[i].info.gateway &&
			    (!dev || !strcmp(dev, ports.at[i].info.dev)) &&
			    (!network || ports.at[i].info.network == net_id))
				json_object_array_add(array, port_json(s, &ports.at[i].info));
		out_lines(array, "dev", port_defaults_json());
	}
	port_list_free(&ports);
	state_unlock(s);
	return err;
}

static const struct command commands[] = {
	{"show", port_show, "[dev DEV | network NETWORK]", "Lists ports and their settings."},
	{"add", port_add, "NETWORK dev DEV [KEY VALUE]...", "Puts a device into a network."},
	{"set", port_set, "dev DEV KEY VALUE...", "Changes a port under traffic."},
	{"del", port_del, "dev DEV", "Takes a device out of its network (an uplink: network set)."},
	{},
};

const struct object object_port = {
	"port",
	commands,
	"devices (tap, veth, NIC, VF representor) in networks",
	"  vlan VID         access port: untagged outside, VID inside\n"
	"  trunk LIST       carries these VIDs tagged (10,20,100-199)\n"
	"  native VID       with trunk: untagged frames belong to VID, and VID leaves untagged\n"
	"  isolated on|off  isolated ports never reach each other\n"
	"  group N          community 1..255: reaches its own community and group 0 only\n"
	"  mac LLADDR,...   only these source addresses; they are static FDB entries (any: all)\n"
	"  ip PREFIX,...    only these source addresses, in ARP and ND too (any: all)\n"
	"  dhcp-server on|off, ra on|off   may send DHCP answers, router advertisements and\n"
	"                   redirects (default off with mac or ip, else on)\n"
	"  learning, flood, mcast-flood, bcast-flood on|off   as the Linux bridge's (default on)\n"
	"  sticky on|off    addresses learned here do not move\n"
	"  fdb-max N        at most N learned addresses (0: no limit)\n"
	"  hairpin on|off   may send back out of the port it came in by\n"
	"  policy-in allow|deny, policy-out allow|deny   for packets to (in) and from (out) the\n"
	"                   VM that no rule matches\n"
	"  conn-max N       at most N tracked connections of its own (0: no limit)\n"
	"  hook auto|xdp|tc where the port's frames are handled\n"
	"none unsets a value.\n",
};
