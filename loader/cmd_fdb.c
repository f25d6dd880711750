// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* xdpctl fdb: the forwarding database. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "cmd.h"
#include "fdb.h"
#include "port.h"

/* Which entries: all that is given must fit. */
struct filter {
	const char *network_name, *dev;
	bool vlan_given;
	__u16 vlan;
	__u32 network, port; /* 0: any */
	const __u8 *mac;     /* NULL: any */
};

/* VID 0 is the untagged traffic of transparent ports. */
static int parse_fdb_vid(const char *word, __u16 *vid)
{
	if (strcmp(word, "0"))
		return parse_vid("vlan", word, vid);
	*vid = 0;
	return 0;
}

static int read_filter(struct args *a, struct filter *f, bool network, bool dev)
{
	const char *word;
	int err = 0;

	while (a->n && !err) {
		if (network && !f->network_name && args_take(a, "network"))
			err = args_next(a, "network", &word)
				      ?: parse_network_name(word, &f->network_name);
		else if (dev && !f->dev && args_take(a, "dev"))
			err = args_next(a, "dev", &word) ?: parse_dev_name(word, &f->dev);
		else if (!f->vlan_given && args_take(a, "vlan")) {
			f->vlan_given = true;
			err = args_next(a, "vlan", &word) ?: parse_fdb_vid(word, &f->vlan);
		} else {
			err = args_end(a);
		}
	}
	return err;
}

static int find_filter(struct state *s, struct filter *f)
{
	struct network_info net;
	struct port_info port;
	int err = 0;

	if (f->network_name)
		err = network_find(s, f->network_name, &f->network, &net);
	if (!err && f->dev)
		err = port_find(s, f->dev, &f->port, &port);
	return err;
}

static bool fits(const struct filter *f, const struct fdb_key *key, const struct fdb_entry *e)
{
	return (!f->network || key->network == f->network) && (!f->port || e->port == f->port) &&
	       (!f->vlan_given || key->vlan == f->vlan) &&
	       (!f->mac || !memcmp(key->mac, f->mac, sizeof(key->mac)));
}

static void mac_text(const __u8 *mac, char buf[18])
{
	snprintf(buf, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
		 mac[5]);
}

/* The VLAN of an entry at a port: as given, or the port's own. */
static int entry_vlan(const struct port_info *p, const struct filter *f, __u16 *vlan)
{
	bool member;

	if (!f->vlan_given) {
		*vlan = p->pvid;
		return p->vlan_mode == VLAN_TRUNK && !p->pvid
			       ? fail(EINVAL, "dev %s: a trunk without native VLAN: vlan is needed",
				      p->dev)
			       : 0;
	}
	*vlan = f->vlan;
	member = p->vlan_mode == VLAN_TRANSPARENT || (f->vlan && f->vlan == p->pvid) ||
		 (p->vlan_mode == VLAN_TRUNK && f->vlan &&
		  p->trunk.member[f->vlan / 64] >> (f->vlan % 64) & 1);
	return member ? 0 : fail(EINVAL, "dev %s: does not carry vlan %u", p->dev, f->vlan);
}

static int fdb_add(struct args *a)
{
	struct fdb_key key = {};
	struct filter f = {};
	struct port_info port;
	struct state *s;
	const char *word;
	char text[18];
	__u32 id;
	int err;

	err = args_next(a, "LLADDR", &word) ?: parse_mac("fdb add", word, key.mac);
	err = err ?: read_filter(a, &f, false, true);
	if (!err && !f.dev)
		return usage("fdb add: dev is missing");
	err = err ?: state_open(STATE_WRITE, &s);
	if (err)
		return err;
	mac_text(key.mac, text);
	err = port_find(s, f.dev, &id, &port) ?: entry_vlan(&port, &f, &key.vlan);
	if (!err) {
		key.network = port.network;
		state_begin(s);
		err = fdb_add_static(s, &key, id, 0);
		state_end(s);
		if (err == -EEXIST)
			fail(err, "fdb: %s vlan %u: a static entry exists already", text, key.vlan);
		else if (err == -ENOSPC)
			fail(err, "fdb: %s: the table is full (%d entries)", text, FDB_MAX);
		else if (err)
			fail(err, "fdb: %s: %s", text, strerror(-err));
	}
	state_unlock(s);
	return err;
}

struct found {
	const struct filter *filter;
	struct fdb_key key;
	int n;
};

static int find_one(struct state *s, const struct fdb_key *key, const struct fdb_entry *e,
		    void *data)
{
	struct found *found = data;

	if (fits(found->filter, key, e) && !fdb_is_expired(s, key, e)) {
		found->key = *key;
		found->n++;
	}
	return 0;
}

static int fdb_del(struct args *a)
{
	struct filter f = {};
	struct found found = {.filter = &f};
	struct port_info port;
	struct fdb_entry e;
	struct state *s;
	const char *word;
	char text[18];
	__u8 mac[6];
	int err;

	err = args_next(a, "LLADDR", &word) ?: parse_mac("fdb del", word, mac);
	err = err ?: read_filter(a, &f, true, false) ?: state_open(STATE_WRITE, &s);
	if (err)
		return err;
	f.mac = mac;
	mac_text(mac, text);
	err = find_filter(s, &f);
	if (!err && state_exists(s)) {
		if (f.network && f.vlan_given) { /* the whole key: no search */
			memcpy(found.key.mac, mac, sizeof(mac));
			found.key.vlan = f.vlan;
			found.key.network = f.network;
			found.n = 1;
		} else {
			err = fdb_foreach(s, find_one, &found);
		}
	}
	if (!err && found.n > 1)
		err = fail(EINVAL,
			   "fdb: %s: is in several VLANs or networks: vlan or network is needed",
			   text);
	else if (!err && !found.n)
		err = fail(ENOENT, "fdb: %s: no such entry", text);
	if (!err && !bpf_map_lookup_elem(s->maps[MAP_FDB], &found.key, &e) && e.flags & FDB_OWN)
		err = fail(EBUSY, "fdb: %s: by the mac setting of dev %s", text,
			   port_name(s, e.port, &port));
	if (!err) {
		state_begin(s);
		if (fdb_remove(s, &found.key))
			err = fail(ENOENT, "fdb: %s: no such entry", text);
		state_end(s);
	}
	state_unlock(s);
	return err;
}

static int flush_one(struct state *s, const struct fdb_key *key, const struct fdb_entry *e,
		     void *data)
{
	if (e->state == FDB_DYNAMIC && fits(data, key, e))
		fdb_remove(s, key);
	return 0;
}

static int fdb_flush(struct args *a)
{
	struct filter f = {};
	struct state *s;
	int err;

	err = read_filter(a, &f, true, true) ?: state_open(STATE_WRITE, &s);
	if (err)
		return err;
	err = find_filter(s, &f);
	if (!err && state_exists(s)) {
		state_begin(s);
		err = fdb_foreach(s, flush_one, &f);
		state_end(s);
	}
	state_unlock(s);
	return err;
}

/* The entries to show, and the names that they share. */
struct show {
	struct filter filter;
	struct row {
		struct fdb_key key;
		struct fdb_entry entry;
	} * rows;
	size_t n, room;
	struct names names;
};

static int show_one(struct state *s, const struct fdb_key *key, const struct fdb_entry *e,
		    void *data)
{
	struct show *show = data;

	if (!fits(&show->filter, key, e) || fdb_is_expired(s, key, e) ||
	    key->network > NETWORK_MAX || e->port > PORT_MAX)
		return 0;
	if (show->n == show->room) {
		size_t room = show->room ? show->room * 2 : 1024;
		struct row *rows = realloc(show->rows, room * sizeof(*rows));

		if (!rows)
			return fail(ENOMEM, "fdb: out of memory");
		show->rows = rows;
		show->room = room;
	}
	show->rows[show->n++] = (struct row){*key, *e};
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct fdb_key *x = &((const struct row *)a)->key, *y = &((const struct row *)b)->key;

	if (x->network != y->network)
		return x->network < y->network ? -1 : 1;
	if (x->vlan != y->vlan)
		return x->vlan < y->vlan ? -1 : 1;
	return memcmp(x->mac, y->mac, sizeof(x->mac));
}

static struct json_object *row_json(const struct show *show, const struct row *row)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "network",
			       json_object_new_string(show->names.networks[row->key.network]));
	json_object_object_add(o, "mac", out_mac(row->key.mac));
	json_object_object_add(o, "vlan", json_object_new_int(row->key.vlan));
	json_object_object_add(o, "dev",
			       json_object_new_string(show->names.ports[row->entry.port]));
	json_object_object_add(o, "state",
			       json_object_new_string(row->entry.state == FDB_STATIC ? "static"
										     : "dynamic"));
	json_object_object_add(o, "age", json_object_new_int64(fdb_age(&row->entry)));
	return o;
}

static int fdb_show(struct args *a)
{
	static const struct out_column columns[] = {
		{"network", "NETWORK"},
		{"mac", "MAC"},
		{"vlan", "VLAN"},
		{"dev", "DEV"},
		{"state", "STATE"},
		{"age", "AGE (s)"},
		{},
	};
	static const int widths[] = {NETWORK_NAME_LEN / 2, 17, 4, PORT_NAME_LEN - 1, 7, 0};
	struct show show = {};
	struct state *s;
	int err;

	err = read_filter(a, &show.filter, true, true) ?: state_open(STATE_READ, &s);
	if (err)
		return err;
	err = find_filter(s, &show.filter);
	if (!err && state_exists(s))
		err = names_read(s, &show.names) ?: fdb_foreach(s, show_one, &show);
	state_unlock(s);
	if (!err) {
		if (show.n)
			qsort(show.rows, show.n, sizeof(*show.rows), by_place);
		out_rows_begin(columns, widths);
		for (size_t i = 0; i < show.n; i++)
			out_row(row_json(&show, &show.rows[i]));
		out_rows_end();
	}
	free(show.rows);
	names_free(&show.names);
	return err;
}

static const struct command commands[] = {
	{"show", fdb_show, "[network NETWORK] [dev DEV] [vlan VID]", "Lists addresses."},
	{"add", fdb_add, "LLADDR dev DEV [vlan VID]", "Adds a static entry, which never moves."},
	{"del", fdb_del, "LLADDR [network NETWORK] [vlan VID]", "Removes an entry."},
	{"flush", fdb_flush, "[network NETWORK] [dev DEV] [vlan VID]",
	 "Removes learned entries; static ones stay."},
	{},
};

const struct object object_fdb = {
	"fdb",
	commands,
	"the forwarding database: which address is behind which port",
	"VLAN 0 is the untagged traffic of ports without vlan or trunk.\n",
};
