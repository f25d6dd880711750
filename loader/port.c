// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Ports and networks. A change goes: state_begin(), the remembered form, what is derived
 * from it, state_end(). A port's remembered state says which half is the true one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if_arp.h>
#include "acl.h"
#include "attach.h"
#include "err.h"
#include "fdb.h"
#include "flow.h"
#include "nat.h"
#include "port.h"
#include "uplink.h"

/* s: time stamps of addresses in use may be this old. */
#define AGEING_LEAST 2

#define READ_CHUNK   64

/* A setting that the data path reads meanwhile. */
#define PUT(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)

/* ---- lists ---- */

/*
 * Reads a whole hash map with __u32 keys into records of `record` octets: the key, then at
 * `offset` the value. *out is the caller's to free.
 */
static int read_all(int fd, size_t size, size_t offset, size_t record, __u32 *n, void *out)
{
	__u32 keys[READ_CHUNK], at, got = 0, chunk;
	char *values = malloc(READ_CHUNK * size), *records = malloc(1), *more;
	int err = values && records ? 0 : -ENOMEM;
	bool first = true;

	while (!err) {
		chunk = READ_CHUNK;
		err = bpf_map_lookup_batch(fd, first ? NULL : &at, &at, keys, values, &chunk, NULL);
		if (err && err != -ENOENT)
			break;
		first = false;
		more = realloc(records, (got + chunk + 1) * record);
		if (!more) {
			err = -ENOMEM;
			break;
		}
		records = more;
		memset(records + got * record, 0, (chunk + 1) * record);
		for (__u32 i = 0; i < chunk; i++, got++) {
			memcpy(records + got * record, &keys[i], sizeof(keys[i]));
			memcpy(records + got * record + offset, values + i * size, size);
		}
	}
	free(values);
	if (err != -ENOENT) {
		free(records);
		return fail(err, "maps: cannot be read: %s", strerror(-err));
	}
	*n = got;
	*(void **)out = records;
	return 0;
}

static int by_port_order(const void *a, const void *b)
{
	const struct port_entry *x = a, *y = b;

	return x->info.order < y->info.order ? -1 : x->info.order > y->info.order;
}

static int by_network_order(const void *a, const void *b)
{
	const struct network_entry *x = a, *y = b;

	return x->info.order < y->info.order ? -1 : x->info.order > y->info.order;
}

int port_list(struct state *s, struct port_list *out)
{
	struct port_list l = {};
	int err;

	if (state_exists(s)) {
		err = read_all(s->maps[MAP_PORT_INFO], sizeof(struct port_info),
			       offsetof(struct port_entry, info), sizeof(*l.at), &l.n, &l.at);
		if (err)
			return err;
		qsort(l.at, l.n, sizeof(*l.at), by_port_order);
	}
	*out = l;
	return 0;
}

int network_list(struct state *s, struct network_list *out)
{
	struct network_list l = {};
	int err;

	if (state_exists(s)) {
		err = read_all(s->maps[MAP_NETWORK_INFO], sizeof(struct network_info),
			       offsetof(struct network_entry, info), sizeof(*l.at), &l.n, &l.at);
		if (err)
			return err;
		qsort(l.at, l.n, sizeof(*l.at), by_network_order);
	}
	*out = l;
	return 0;
}

void port_list_free(struct port_list *l)
{
	free(l->at);
	l->at = NULL;
}

void network_list_free(struct network_list *l)
{
	free(l->at);
	l->at = NULL;
}

int port_find(struct state *s, const char *dev, __u32 *id, struct port_info *info)
{
	struct port_list l;
	int err = port_list(s, &l);

	if (err)
		return err;
	err = -ENOENT;
	for (__u32 i = 0; i < l.n && err; i++)
		if (!strcmp(l.at[i].info.dev, dev)) {
			*id = l.at[i].id;
			*info = l.at[i].info;
			err = 0;
		}
	port_list_free(&l);
	return err ? fail(err, "dev %s: not a port", dev) : 0;
}

int port_find_settable(struct state *s, const char *dev, __u32 *id, struct port_info *info)
{
	struct network_info net;
	int err = port_find(s, dev, id, info);

	if (!err && info->gateway)
		err = fail(EINVAL, "dev %s: the host's own device in network %s has no settings",
			   dev, network_name(s, info->network, &net));
	return err;
}

int network_find(struct state *s, const char *name, __u32 *id, struct network_info *info)
{
	struct network_list l;
	int err = network_list(s, &l);

	if (err)
		return err;
	err = -ENOENT;
	for (__u32 i = 0; i < l.n && err; i++)
		if (!strcmp(l.at[i].info.name, name)) {
			*id = l.at[i].id;
			*info = l.at[i].info;
			err = 0;
		}
	network_list_free(&l);
	return err ? fail(err, "network %s: does not exist", name) : 0;
}

const char *network_name(struct state *s, __u32 id, struct network_info *buf)
{
	return bpf_map_lookup_elem(s->maps[MAP_NETWORK_INFO], &id, buf) ? "?" : buf->name;
}

const char *port_name(struct state *s, __u32 id, struct port_info *buf)
{
	return bpf_map_lookup_elem(s->maps[MAP_PORT_INFO], &id, buf) ? "?" : buf->dev;
}

static int names_fill(struct state *s, struct names *n)
{
	struct network_list nets;
	struct port_list ports;
	int err = network_list(s, &nets);

	if (err)
		return err;
	for (__u32 i = 0; i < nets.n; i++)
		memcpy(n->networks[nets.at[i].id], nets.at[i].info.name, NETWORK_NAME_LEN);
	network_list_free(&nets);
	err = port_list(s, &ports);
	if (err)
		return err;
	for (__u32 i = 0; i < ports.n; i++)
		memcpy(n->ports[ports.at[i].id], ports.at[i].info.dev, PORT_NAME_LEN);
	port_list_free(&ports);
	return 0;
}

int names_read(struct state *s, struct names *out)
{
	struct names n = {
		.networks = calloc(NETWORK_MAX + 1, sizeof(*n.networks)),
		.ports = calloc(PORT_MAX + 1, sizeof(*n.ports)),
	};
	int err = n.networks && n.ports ? names_fill(s, &n) : fail(ENOMEM, "names: out of memory");

	if (err)
		names_free(&n);
	else
		*out = n;
	return err;
}

void names_free(struct names *n)
{
	free(n->networks);
	free(n->ports);
	*n = (struct names){};
}

/* ---- what is derived ---- */

/* The place of an ifindex that holds `content`: the same ifindex, or 0 for a free place. */
static struct port_slot *slot_of(struct state *s, __u32 ifindex, __u32 content)
{
	for (__u32 i = 0; i < PORT_SLOT_PROBES; i++) {
		struct port_slot *slot = &s->slots[(ifindex + i) & (PORT_SLOTS - 1)];

		if (slot->ifindex == content)
			return slot;
	}
	return NULL;
}

static void slot_put(struct port_slot *slot, __u32 ifindex, __u32 port)
{
	struct port_slot value = {.ifindex = ifindex, .port = port};
	__u64 word;

	memcpy(&word, &value, sizeof(word));
	PUT(*(__u64 *)slot, word);
}

static int slot_publish(struct state *s, __u32 ifindex, __u32 port)
{
	struct port_slot *slot = slot_of(s, ifindex, ifindex) ?: slot_of(s, ifindex, 0);

	if (!slot)
		return fail(ENOSPC, "ports: the index is full around ifindex %u", ifindex);
	slot_put(slot, ifindex, port);
	return 0;
}

static void slot_remove(struct state *s, __u32 ifindex)
{
	struct port_slot *slot = ifindex ? slot_of(s, ifindex, ifindex) : NULL;

	if (slot)
		slot_put(slot, 0, 0);
}

static void member_add(struct state *s, __u32 network, __u32 id)
{
	struct network *net = &s->networks[network];

	for (__u32 at = net->members; at; at = s->ports[at].next)
		if (at == id)
			return;
	PUT(s->ports[id].next, net->members);
	PUT(net->members, id);
}

/* The port's own `next` stays: a flood that stands on it goes on from there. */
static void member_remove(struct state *s, __u32 network, __u32 id)
{
	__u32 *link = &s->networks[network].members;

	while (*link && *link != id)
		link = &s->ports[*link].next;
	if (*link)
		PUT(*link, s->ports[id].next);
}

void network_awareness(struct state *s, __u32 network)
{
	__u32 aware = 0, tracked = 0;

	for (__u32 at = s->networks[network].members; at; at = s->ports[at].next) {
		aware |= s->ports[at].policy.vlan_mode != VLAN_TRANSPARENT;
		tracked |= s->ports[at].policy.track;
	}
	PUT(s->networks[network].vlan_aware, aware);
	PUT(s->networks[network].tracked, tracked);
}

bool port_may(const struct port_info *info, __u8 setting)
{
	return setting == MAY_ON || (setting == MAY_DEFAULT && !info->nmacs && !info->nips);
}

static bool has_ipv6(const struct port_info *info)
{
	for (int i = 0; i < info->nips; i++)
		if (info->ips[i].family == 6)
			return true;
	return false;
}

void port_judge_anew(struct state *s, __u32 id)
{
	PUT(s->ports[id].judged, s->ports[id].judged + 1);
	state_void_cache(s);
}

static union port_policy policy_of(const struct port_info *info, bool xdp_tx)
{
	return (union port_policy){
		.network = info->nat_only ? 0 : info->network,
		.vlan_mode = info->vlan_mode,
		.pvid = info->pvid,
		.group = info->group,
		.uplink = info->uplink,
		.isolated = info->isolated,
		.learning = info->learning,
		.flood = info->flood,
		.mcast_flood = info->mcast_flood,
		.bcast_flood = info->bcast_flood,
		.sticky = info->sticky,
		.hairpin = info->hairpin,
		.mac_guard = info->nmacs > 0,
		.xdp_tx = xdp_tx,
		.offloads = info->offloads,
		.ip_guard = info->nips > 0,
		.ip6_own = has_ipv6(info),
		.dhcp_server = port_may(info, info->dhcp_server),
		.ra = port_may(info, info->ra),
		.track = info->deny_in || info->deny_out || info->conn_max ||
			 info->gateway == GATEWAY_NAT,
		.deny_in = info->deny_in,
		.deny_out = info->deny_out,
		.gateway = info->gateway != GATEWAY_NONE,
	};
}

/* What the data path must find before a port's policy word says that it tracks connections. */
static int tracking_prepare(struct state *s, const struct port_info *info)
{
	return policy_of(info, false).track ? flow_tables_make(s) : 0;
}

/* Whether XDP may send to a port: its hook has XDP, and its device takes such frames. */
static bool xdp_reachable(struct state *s, __u32 id, const struct port_info *info,
			  const struct netdev *dev)
{
	if (info->xdp_mode && dev && netdev_takes_xdp(dev) &&
	    !bpf_map_update_elem(s->maps[MAP_XDP_PORTS], &id, &dev->ifindex, BPF_ANY))
		return true;
	bpf_map_delete_elem(s->maps[MAP_XDP_PORTS], &id);
	return false;
}

static void uplink_address(struct state *s, const struct port_info *info, const struct netdev *dev)
{
	__u64 mac = 0;

	if (!info->uplink || info->nat_only || !dev)
		return;
	memcpy(&mac, dev->mac, sizeof(dev->mac));
	if (s->networks[info->network].host_mac_raw != mac)
		PUT(s->networks[info->network].host_mac_raw, mac);
}

/* Writes what the data path reads of a port. dev: its device, NULL when it is gone. */
static void derive_settings(struct state *s, __u32 id, const struct port_info *info,
			    const struct netdev *dev)
{
	struct port *p = &s->ports[id];
	union port_policy policy;

	if (info->vlan_mode == VLAN_TRUNK)
		for (int i = 0; i < VLAN_WORDS; i++)
			PUT(s->vlans[id].member[i], info->trunk.member[i]);
	PUT(p->ifindex, dev ? dev->ifindex : 0);
	PUT(p->frame_max, dev ? dev->mtu + 14 : 0);
	PUT(p->fdb_max, info->fdb_max);
	PUT(p->conn_max, info->conn_max);
	uplink_address(s, info, dev);
	policy = policy_of(info, xdp_reachable(s, id, info, dev));
	acl_policy(s, id, &policy);
	nat_policy(s, id, info, &policy);
	PUT(p->policy.raw, policy.raw);
	state_void_cache(s);
}

/* The VLANs in which a port's own addresses are known: all that it is a member of. */
static bool own_vlan(const struct port_info *info, __u16 vid)
{
	if (info->vlan_mode == VLAN_TRANSPARENT)
		return !vid;
	return vid && (vid == info->pvid || (info->vlan_mode == VLAN_TRUNK &&
					     info->trunk.member[vid / 64] >> (vid % 64) & 1));
}

static bool own_mac(const struct port_info *info, const __u8 *mac)
{
	for (int i = 0; i < info->nmacs; i++)
		if (!memcmp(info->macs[i], mac, 6))
			return true;
	return false;
}

/* Calls for each (address, VLAN) that `have` has and `not` (may be NULL) has not. */
static int each_own(const struct port_info *have, const struct port_info * not,
		    int (*visit)(struct state *s, const struct fdb_key *key, __u32 id),
		    struct state *s, __u32 id)
{
	struct fdb_key key = {.network = have->network};
	int err = 0;

	for (int i = 0; i < have->nmacs; i++)
		for (key.vlan = 0; key.vlan < 4095 && !err; key.vlan++) {
			if (!own_vlan(have, key.vlan))
				continue;
			memcpy(key.mac, have->macs[i], 6);
			if (not &&own_vlan(not, key.vlan) && own_mac(not, key.mac))
				continue;
			err = visit(s, &key, id);
		}
	return err;
}

static int own_add(struct state *s, const struct fdb_key *key, __u32 id)
{
	struct port_info buf;
	struct fdb_entry e;
	int err = fdb_add_static(s, key, id, FDB_OWN);

	if (err == -EEXIST && !bpf_map_lookup_elem(s->maps[MAP_FDB], key, &e)) {
		if (e.port == id)
			return 0;
		return fail(EEXIST,
			    "mac %02x:%02x:%02x:%02x:%02x:%02x: already an address of dev %s",
			    key->mac[0], key->mac[1], key->mac[2], key->mac[3], key->mac[4],
			    key->mac[5], port_name(s, e.port, &buf));
	}
	return err ? fail(err, "mac: cannot be added to the FDB: %s", strerror(-err)) : 0;
}

static int own_remove(struct state *s, const struct fdb_key *key, __u32 id)
{
	struct fdb_entry e;

	if (!bpf_map_lookup_elem(s->maps[MAP_FDB], key, &e) && e.port == id && e.flags & FDB_OWN)
		fdb_remove(s, key);
	return 0;
}

/* ---- what the guard lets pass ---- */

/* The link-local address that a hardware address gives (RFC 4291, appendix A). */
static struct prefix link_local(const __u8 *mac)
{
	return (struct prefix){
		.addr = {0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4],
			 mac[5]},
		.len = 128,
		.family = 6,
	};
}

/* The i-th of a port's own prefixes: `ip`, then what `mac` gives. Returns false past the last. */
static bool own_prefix(const struct port_info *info, int i, struct prefix *out)
{
	if (i < info->nips)
		*out = info->ips[i];
	else if (has_ipv6(info) && i - info->nips < info->nmacs)
		*out = link_local(info->macs[i - info->nips]);
	else
		return false;
	return true;
}

int port_prefixes(const struct port_info *info)
{
	return info->nips + (has_ipv6(info) ? info->nmacs : 0);
}

static struct port_ip guard_key(__u32 id, const struct prefix *p)
{
	struct port_ip key = {
		.prefixlen = PORT_IP_BITS + p->len,
		.port = id,
		.family = p->family,
	};

	memcpy(key.addr, p->addr, sizeof(key.addr));
	return key;
}

static bool own_ip(__u32 id, const struct port_info *info, const struct port_ip *key)
{
	struct port_ip own;
	struct prefix p;

	for (int i = 0; own_prefix(info, i, &p); i++) {
		own = guard_key(id, &p);
		if (!memcmp(&own, key, sizeof(own)))
			return true;
	}
	return false;
}

static int guard_add(struct state *s, __u32 id, const struct port_info *info)
{
	struct port_mac mac = {.port = id};
	struct port_ip ip;
	struct prefix p;
	__u8 one = 1;
	int err = 0;

	for (int i = 0; i < info->nmacs && !err; i++) {
		memcpy(mac.mac, info->macs[i], 6);
		err = bpf_map_update_elem(s->maps[MAP_PORT_MACS], &mac, &one, BPF_ANY);
	}
	if (err)
		return fail(err, "mac: cannot be added: %s", strerror(-err));
	for (int i = 0; own_prefix(info, i, &p) && !err; i++) {
		ip = guard_key(id, &p);
		err = bpf_map_update_elem(s->maps[MAP_PORT_IPS], &ip, &one, BPF_ANY);
	}
	return err ? fail(err, "ip: cannot be added: %s", strerror(-err)) : 0;
}

/* What `old` has and `new` has not. */
static void guard_remove(struct state *s, __u32 id, const struct port_info *old,
			 const struct port_info *new)
{
	struct port_mac mac = {.port = id};
	struct port_ip ip;
	struct prefix p;

	for (int i = 0; i < old->nmacs; i++) {
		memcpy(mac.mac, old->macs[i], 6);
		if (!own_mac(new, mac.mac))
			bpf_map_delete_elem(s->maps[MAP_PORT_MACS], &mac);
	}
	for (int i = 0; own_prefix(old, i, &p); i++) {
		ip = guard_key(id, &p);
		if (!own_ip(id, new, &ip))
			bpf_map_delete_elem(s->maps[MAP_PORT_IPS], &ip);
	}
}

/* ---- the remembered form ---- */

static int info_put(struct state *s, __u32 id, const struct port_info *info)
{
	int err = bpf_map_update_elem(s->maps[MAP_PORT_INFO], &id, info, BPF_ANY);

	return err ? fail(err, "dev %s: cannot be remembered: %s", info->dev, strerror(-err)) : 0;
}

int port_remember_changed(struct state *s, __u32 id, __u8 changed)
{
	struct port_info info;

	if (bpf_map_lookup_elem(s->maps[MAP_PORT_INFO], &id, &info))
		return fail(ENOENT, "port %u: is gone", id);
	if (info.changed == changed)
		return 0;
	info.changed = changed;
	return info_put(s, id, &info);
}

void port_defaults(struct port_info *info, const char *dev, __u32 network, bool uplink)
{
	*info = (struct port_info){
		.network = network,
		.uplink = uplink,
		.learning = 1,
		.flood = 1,
		.mcast_flood = 1,
		.bcast_flood = 1,
	};
	snprintf(info->dev, sizeof(info->dev), "%s", dev);
}

static int usable_device(struct state *s, const char *name, struct netdev *dev)
{
	struct netdev master;
	struct port_list l;
	int err;

	if (netdev_get(name, 0, dev))
		return fail(ENODEV, "dev %s: no such device", name);
	if (dev->type != ARPHRD_ETHER)
		return fail(EINVAL, "dev %s: not an Ethernet device", name);
	if (dev->master && !netdev_get(NULL, dev->master, &master) &&
	    (!strcmp(master.kind, "bridge") || !strcmp(master.kind, "openvswitch")))
		return fail(EBUSY, "dev %s: belongs to %s %s", name, master.kind, master.name);
	if (nat_other_end(s, name))
		return fail(EBUSY, "dev %s: the other end of a network's device", name);
	err = port_list(s, &l);
	for (__u32 i = 0; !err && i < l.n; i++)
		if (!strcmp(l.at[i].info.dev, name) || l.at[i].info.ifindex == dev->ifindex)
			err = fail(EEXIST, "dev %s: already a port", name);
	port_list_free(&l);
	return err;
}

static int count_on_all_cpus(struct state *s, __u32 id)
{
	int cpus = libbpf_num_possible_cpus(), err;
	struct port_drops *zero = calloc(cpus, sizeof(*zero));
	struct port_stats *none = calloc(cpus, sizeof(*none));

	err = zero && none ? bpf_map_update_elem(s->maps[MAP_PORT_DROPS], &id, zero, BPF_ANY)
			   : -ENOMEM;
	if (!err)
		err = bpf_map_update_elem(s->maps[MAP_PORT_STATS], &id, none, BPF_ANY);
	free(zero);
	free(none);
	bpf_map_delete_elem(s->maps[MAP_STATS_BASE], &id);
	return err ? fail(err, "counters: %s", strerror(-err)) : 0;
}

static void leave_network(struct state *s, __u32 id, __u32 network)
{
	if (network > NETWORK_MAX)
		return;
	member_remove(s, network, id);
	network_awareness(s, network);
	if (s->networks[network].uplink == id) {
		PUT(s->networks[network].uplink, 0);
		PUT(s->networks[network].host_mac_raw, 0);
	}
}

/* Takes a port out of everything that is derived from it. */
static void derive_nothing(struct state *s, __u32 id, const struct port_info *info)
{
	struct port_info none = *info;

	none.nmacs = 0;
	none.nips = 0;
	slot_remove(s, s->ports[id].ifindex);
	leave_network(s, id, info->network);
	PUT(s->ports[id].policy.raw, 0);
	PUT(s->ports[id].ifindex, 0);
	guard_remove(s, id, info, &none);
	bpf_map_delete_elem(s->maps[MAP_XDP_PORTS], &id);
}

static int derive_port(struct state *s, __u32 id, const struct port_info *info,
		       const struct netdev *dev)
{
	int err = tracking_prepare(s, info) ?: guard_add(s, id, info);

	if (err)
		return err;
	if (dev && s->ports[id].ifindex != dev->ifindex)
		slot_remove(s, s->ports[id].ifindex);
	if (info->gateway)
		PUT(s->networks[info->network].gateway, 1);
	derive_settings(s, id, info, dev);
	if (!info->nat_only) {
		member_add(s, info->network, id);
		network_awareness(s, info->network);
		if (info->uplink)
			PUT(s->networks[info->network].uplink, id);
	}
	port_judge_anew(s, id);
	return dev ? slot_publish(s, dev->ifindex, id) : 0;
}

int port_derive(struct state *s, __u32 id)
{
	struct port_info info;
	struct netdev dev;

	if (bpf_map_lookup_elem(s->maps[MAP_PORT_INFO], &id, &info))
		return -ENOENT;
	return derive_port(s, id, &info,
			   info.ifindex && !netdev_get(NULL, info.ifindex, &dev) ? &dev : NULL);
}

/* ---- adding, changing, removing ---- */

int port_create(struct state *s, struct port_info *info, __u32 *out)
{
	struct netdev dev;
	__u32 id;
	int err;

	err = usable_device(s, info->dev, &dev);
	if (err)
		return err;
	for (id = 1; id <= PORT_MAX && s->ports[id].policy.raw; id++)
		;
	if (id > PORT_MAX)
		return fail(ENOSPC, "dev %s: there are %d ports already", info->dev, PORT_MAX);

	state_begin(s);
	memcpy(info->dev, dev.name, sizeof(info->dev)); /* not an alternative name */
	info->ifindex = dev.ifindex;
	PUT(s->ports[id].learned, 0);
	PUT(s->ports[id].flows, 0);
	PUT(s->ports[id].opening, 0);
	info->state = PORT_ADDING;
	info->order = s->meta->next_order++;
	err = info_put(s, id, info);
	err = err ?: count_on_all_cpus(s, id);
	err = err ?: each_own(info, NULL, own_add, s, id);
	err = err ?: derive_port(s, id, info, &dev);
	err = err ?: attach_port(s, id, info, &dev);
	if (!err) {
		derive_settings(s, id, info, &dev); /* what was attached decides, too */
		info->state = PORT_ACTIVE;
		err = info_put(s, id, info);
	}
	if (err)
		port_undo(s, id);
	else
		*out = id;
	state_end(s);
	return err;
}

void port_undo(struct state *s, __u32 id)
{
	struct port_info info;
	char why[512];

	snprintf(why, sizeof(why), "%s", err_message());
	if (!bpf_map_lookup_elem(s->maps[MAP_PORT_INFO], &id, &info))
		port_remove(s, id, &info);
	fail(EIO, "%s", why);
}

/* Whether what decides about a port's packets, apart from its lists, is not the same. */
static bool judged_otherwise(const struct port_info *a, const struct port_info *b)
{
	return a->deny_in != b->deny_in || a->deny_out != b->deny_out ||
	       a->conn_max != b->conn_max || a->dhcp_server != b->dhcp_server || a->ra != b->ra ||
	       a->nmacs != b->nmacs || memcmp(a->macs, b->macs, sizeof(a->macs)) ||
	       a->nips != b->nips || memcmp(a->ips, b->ips, sizeof(a->ips));
}

int port_change(struct state *s, __u32 id, const struct port_info *old, struct port_info *new)
{
	struct port_info attached = *old;
	struct netdev dev,
		*here = old->ifindex && !netdev_get(NULL, old->ifindex, &dev) ? &dev : NULL;
	bool moved = old->vlan_mode != new->vlan_mode || old->pvid != new->pvid ||
		     memcmp(&old->trunk, &new->trunk, sizeof(old->trunk));
	int err;

	state_begin(s);
	err = tracking_prepare(s, new);
	if (!err && new->hook != old->hook && here) {
		attached.hook = new->hook;
		err = attach_port(s, id, &attached, here);
		new->xdp_mode = attached.xdp_mode;
		new->tc_mode = attached.tc_mode;
		new->changed = attached.changed;
		memcpy(new->why, attached.why, sizeof(new->why));
	}
	if (!err) {
		err = each_own(new, old, own_add, s, id);
		err = err ?: guard_add(s, id, new);
		err = err ?: info_put(s, id, new);
		if (err) {
			each_own(new, old, own_remove, s, id);
			guard_remove(s, id, new, old);
			if (new->hook != old->hook && here) {
				attached.hook = old->hook;
				attach_port(s, id, &attached, here);
			}
		}
	}
	if (!err) {
		derive_settings(s, id, new, here);
		network_awareness(s, new->network);
		guard_remove(s, id, old, new);
		if (judged_otherwise(old, new))
			port_judge_anew(s, id);
		each_own(old, new, own_remove, s, id);
		if (moved) /* learned in VLANs that it may have left */
			fdb_remove_learned(s, id);
	}
	state_end(s);
	return err;
}

int port_move(struct state *s, __u32 id, const struct port_info *old, struct port_info *new)
{
	struct flow_filter of_port = {.port = id};
	struct netdev dev,
		*here = new->ifindex && !netdev_get(NULL, new->ifindex, &dev) ? &dev : NULL;
	int err;

	state_begin(s);
	err = info_put(s, id, new);
	if (!err && !old->nat_only) {
		leave_network(s, id, old->network);
		derive_settings(s, id, new, here);
		acl_forget(s, ACL_PORT_LIST(id, ACL_IN));
		acl_forget(s, ACL_PORT_LIST(id, ACL_OUT));
		err = fdb_remove_port(s, id) ?: flow_forget(s, &of_port);
	}
	if (!err && here)
		err = attach_repair(s, id, new, here) ?: info_put(s, id, new);
	err = err ?: derive_port(s, id, new, here);
	state_end(s);
	return err;
}

/* with_flows: not those of a network that goes as a whole. */
static int remove_port(struct state *s, __u32 id, struct port_info *info, bool with_flows)
{
	struct flow_filter of_port = {.port = id};
	struct netdev dev,
		*here = info->ifindex && !netdev_get(NULL, info->ifindex, &dev) ? &dev : NULL;
	int err;

	state_begin(s);
	info->state = PORT_DELETING;
	err = info_put(s, id, info);
	if (!err) {
		attach_remove(s, id, info, here);
		derive_nothing(s, id, info);
		acl_forget(s, ACL_PORT_LIST(id, ACL_IN));
		acl_forget(s, ACL_PORT_LIST(id, ACL_OUT));
		err = fdb_remove_port(s, id);
		if (!err && with_flows)
			err = flow_forget(s, &of_port);
		bpf_map_delete_elem(s->maps[MAP_PORT_DROPS], &id);
		bpf_map_delete_elem(s->maps[MAP_STATS_BASE], &id);
		bpf_map_delete_elem(s->maps[MAP_PORT_INFO], &id);
	}
	state_end(s);
	return err;
}

int port_remove(struct state *s, __u32 id, struct port_info *info)
{
	return remove_port(s, id, info, true);
}

/* ---- repair ---- */

/* Entries of ports that are gone, or of addresses or VLANs that a port no longer has. */
static int drop_strange_own(struct state *s, const struct fdb_key *key, const struct fdb_entry *e,
			    void *data)
{
	struct port_info info;
	__u32 id = e->port;

	if (bpf_map_lookup_elem(s->maps[MAP_PORT_INFO], &id, &info) || info.state == PORT_ADDING ||
	    info.network != key->network || (e->flags & FDB_OWN && !own_mac(&info, key->mac)) ||
	    ((e->flags & FDB_OWN || info.vlan_mode != VLAN_TRANSPARENT) &&
	     !own_vlan(&info, key->vlan)))
		fdb_remove(s, key);
	return 0;
}

static int repair_port(struct state *s, __u32 id, struct port_info *info)
{
	struct netdev dev, *here = NULL;
	struct network_info net;
	int err;

	if (info->state == PORT_ACTIVE && info->uplink && !info->gateway) {
		err = uplink_settle(s, id);
		if (err || bpf_map_lookup_elem(s->maps[MAP_PORT_INFO], &id, info))
			return err;
	} else if (info->state != PORT_ACTIVE ||
		   bpf_map_lookup_elem(s->maps[MAP_NETWORK_INFO], &info->network, &net) ||
		   (info->gateway && net.state == NETWORK_ACTIVE && net.uplink != id)) {
		return port_remove(s, id, info);
	}
	if (info->ifindex && !netdev_get(NULL, info->ifindex, &dev))
		here = &dev;
	err = guard_add(s, id, info) ?: each_own(info, NULL, own_add, s, id);
	if (!err && here)
		err = attach_repair(s, id, info, here) ?: info_put(s, id, info);
	return err ?: derive_port(s, id, info, here);
}

/* Removes the keys of a map of the guard's that a dead command left to a port, or to none. */
static int drop_strange(struct state *s, enum state_map map, void *key, void *next, size_t size,
			bool (*strange)(struct state *s, const void *key))
{
	int err = bpf_map_get_next_key(s->maps[map], NULL, next);

	while (!err) {
		memcpy(key, next, size);
		err = bpf_map_get_next_key(s->maps[map], key, next);
		if (strange(s, key))
			bpf_map_delete_elem(s->maps[map], key);
	}
	return err == -ENOENT ? 0 : fail(err, "maps: cannot be read: %s", strerror(-err));
}

static bool strange_mac(struct state *s, const void *data)
{
	const struct port_mac *key = data;
	struct port_info info;
	__u32 id = key->port;

	return bpf_map_lookup_elem(s->maps[MAP_PORT_INFO], &id, &info) || !own_mac(&info, key->mac);
}

static bool strange_ip(struct state *s, const void *data)
{
	const struct port_ip *key = data;
	struct port_info info;
	__u32 id = key->port;

	return bpf_map_lookup_elem(s->maps[MAP_PORT_INFO], &id, &info) || !own_ip(id, &info, key);
}

static int repair_guard(struct state *s)
{
	struct port_mac mac, next_mac;
	struct port_ip ip, next_ip;

	return drop_strange(s, MAP_PORT_MACS, &mac, &next_mac, sizeof(mac), strange_mac)
		       ?: drop_strange(s, MAP_PORT_IPS, &ip, &next_ip, sizeof(ip), strange_ip);
}

static int repair_networks(struct state *s)
{
	struct network_list l;
	int err = network_list(s, &l);

	for (__u32 i = 0; !err && i < l.n; i++) {
		if (l.at[i].info.state == NETWORK_ACTIVE)
			err = network_apply(s, l.at[i].id, &l.at[i].info);
		else
			err = network_remove(s, l.at[i].id, &l.at[i].info);
	}
	network_list_free(&l);
	return err;
}

int port_repair(struct state *s)
{
	struct port_list l = {};
	int err;

	state_begin(s);
	err = acl_repair(s) ?: port_list(s, &l);
	for (__u32 i = 0; !err && i < l.n; i++)
		err = repair_port(s, l.at[i].id, &l.at[i].info);
	port_list_free(&l);
	err = err ?: repair_networks(s) ?: nat_repair(s);
	err = err ?: repair_guard(s);
	err = err ?: fdb_foreach(s, drop_strange_own, NULL);
	err = err ?: fdb_recount(s);
	state_end(s);
	return err;
}

/* A device came back under its name, or went away. */
static int refresh_device(struct state *s, __u32 id, struct port_info *info, struct netdev *dev,
			  bool found)
{
	int err = 0;

	if (info->ifindex) { /* its links died with it */
		state_begin(s);
		slot_remove(s, info->ifindex);
		attach_remove(s, id, info, NULL);
		info->ifindex = 0;
		err = info_put(s, id, info);
		derive_settings(s, id, info, NULL);
		state_end(s);
	}
	if (err || !found)
		return err;
	state_begin(s);
	info->ifindex = dev->ifindex;
	err = attach_port(s, id, info, dev) ?: info_put(s, id, info) ?: derive_port(s, id, info, dev);
	state_end(s);
	if (err) { /* it stays missing; the command that found it goes on */
		warn("%s", err_message());
		err_clear();
	}
	return 0;
}

/* A port goes by its device's name; a missing port of that name can no longer come back. */
static void rename_port(struct state *s, __u32 id, struct port_info *info, const char *name)
{
	struct port_info other;
	__u32 other_id;

	if (!port_find(s, name, &other_id, &other) && !other.ifindex) {
		warn("dev %s: the missing port of that name is given up, dev %s bears it now", name,
		     info->dev);
		port_remove(s, other_id, &other);
	}
	err_clear();
	memcpy(info->dev, name, sizeof(info->dev));
	info_put(s, id, info);
}

static int refresh_port(struct state *s, __u32 id, struct port_info *info)
{
	struct netdev dev;

	if (info->ifindex && attach_alive(s, id, info) && !netdev_get(NULL, info->ifindex, &dev)) {
		if (strcmp(info->dev, dev.name))
			rename_port(s, id, info, dev.name);
		if (s->ports[id].frame_max != dev.mtu + 14) {
			PUT(s->ports[id].frame_max, dev.mtu + 14);
			state_void_cache(s);
		}
		uplink_address(s, info, &dev);
		if (info->xdp_mode)
			derive_settings(s, id, info, &dev);
		return 0;
	}
	if (!netdev_get(info->dev, 0, &dev) &&
	    (dev.ifindex == info->ifindex || !slot_of(s, dev.ifindex, dev.ifindex)))
		return refresh_device(s, id, info, &dev, true);
	return info->ifindex ? refresh_device(s, id, info, NULL, false) : 0;
}

int port_refresh(struct state *s)
{
	struct port_list l;
	int err = nat_refresh_devices(s) ?: port_list(s, &l);

	if (err)
		return err;
	for (__u32 i = 0; !err && i < l.n; i++)
		err = refresh_port(s, l.at[i].id, &l.at[i].info);
	port_list_free(&l);
	return err ?: nat_refresh(s);
}

/* ---- networks ---- */

int network_apply(struct state *s, __u32 id, const struct network_info *info)
{
	int err = bpf_map_update_elem(s->maps[MAP_NETWORK_INFO], &id, info, BPF_ANY);

	if (err)
		return fail(err, "network %s: cannot be remembered: %s", info->name,
			    strerror(-err));
	PUT(s->networks[id].ageing,
	    (info->ageing < AGEING_LEAST ? AGEING_LEAST : info->ageing) * 1000000000ULL);
	PUT(s->networks[id].fdb_max, info->fdb_max);
	return 0;
}

int network_create(struct state *s, struct network_info *info, __u32 *out)
{
	struct network_info there;
	__u32 id;

	for (id = 1; id <= NETWORK_MAX; id++)
		if (bpf_map_lookup_elem(s->maps[MAP_NETWORK_INFO], &id, &there))
			break;
	if (id > NETWORK_MAX)
		return fail(ENOSPC, "network %s: there are %d networks already", info->name,
			    NETWORK_MAX);
	memset(&s->networks[id], 0, sizeof(s->networks[id]));
	info->order = s->meta->next_order++;
	*out = id;
	return network_apply(s, id, info);
}

static int remove_of_network(struct state *s, const struct fdb_key *key, const struct fdb_entry *e,
			     void *data)
{
	if (key->network == *(__u32 *)data)
		fdb_remove(s, key);
	return 0;
}

int network_remove(struct state *s, __u32 id, struct network_info *info)
{
	struct flow_filter of_network = {.rest = FLOW_REST(0, id, 0),
					 .rest_mask = FLOW_REST_NETWORK};
	struct port_list l;
	int err;

	state_begin(s);
	info->state = NETWORK_DELETING;
	err = network_apply(s, id, info) ?: port_list(s, &l);
	if (!err) {
		for (__u32 i = 0; !err && i < l.n; i++) {
			if (l.at[i].info.network != id)
				continue;
			if (l.at[i].info.uplink && !l.at[i].info.gateway)
				err = uplink_settle(s, l.at[i].id);
			else
				err = remove_port(s, l.at[i].id, &l.at[i].info, false);
		}
		port_list_free(&l);
	}
	err = err ?: flow_forget(s, &of_network);
	err = err ?: nat_forget(s, id);
	if (!err && (s->networks[id].learned || s->networks[id].fixed))
		err = fdb_foreach(s, remove_of_network, &id);
	if (!err) {
		acl_forget(s, ACL_NETWORK_LIST(id, ACL_IN));
		acl_forget(s, ACL_NETWORK_LIST(id, ACL_OUT));
		bpf_map_delete_elem(s->maps[MAP_NETWORK_INFO], &id);
		memset(&s->networks[id], 0, sizeof(s->networks[id]));
	}
	state_end(s);
	return err;
}
