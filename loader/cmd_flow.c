// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* xdpctl flow: connections. */
#include <stdio.h>
#include <string.h>
#include "cmd.h"
#include "flow.h"
#include "flow_row.h"
#include "port.h"

/* What was asked for, by name; the rest is in flow_filter. */
struct filter {
	const char *network, *dev;
	bool proto_given;
	struct prefix src, dst; /* family 0: not given */
	struct flow_filter flows;
};

static int read_proto(struct args *a, struct filter *f)
{
	const char *word;
	__u8 proto;
	int err = args_next(a, "proto", &word) ?: parse_proto("proto", word, &proto);

	if (err)
		return err;
	f->proto_given = true;
	f->flows.rest |= FLOW_REST(proto, 1, 0);
	f->flows.rest_mask |= FLOW_REST_PROTO;
	return 0;
}

static int read_filter(struct args *a, struct filter *f)
{
	const char *word;
	int err = 0;

	while (a->n && !err) {
		if (!f->network && args_take(a, "network"))
			err = args_next(a, "network", &word)
				      ?: parse_network_name(word, &f->network);
		else if (!f->dev && args_take(a, "dev"))
			err = args_next(a, "dev", &word) ?: parse_dev_name(word, &f->dev);
		else if (!f->proto_given && args_take(a, "proto"))
			err = read_proto(a, f);
		else if (!f->src.family && args_take(a, "src"))
			err = args_next(a, "src", &word) ?: parse_prefix("src", word, &f->src);
		else if (!f->dst.family && args_take(a, "dst"))
			err = args_next(a, "dst", &word) ?: parse_prefix("dst", word, &f->dst);
		else
			err = args_end(a);
	}
	if (!err && f->src.family && f->dst.family && f->src.family != f->dst.family)
		err = usage("%s: src and dst are of different address families", a->what);
	if (!err && f->src.family)
		flow_filter_src(&f->flows, &f->src);
	if (!err && f->dst.family)
		flow_filter_dst(&f->flows, &f->dst);
	return err;
}

static int find_filter(struct state *s, struct filter *f)
{
	struct network_info net;
	struct port_info port;
	__u32 id;
	int err;

	if (f->network) {
		err = network_find(s, f->network, &id, &net);
		if (err)
			return err;
		f->flows.rest |= FLOW_REST(0, id, 0);
		f->flows.rest_mask |= FLOW_REST_NETWORK;
	}
	return f->dev ? port_find(s, f->dev, &f->flows.port, &port) : 0;
}

/* Reads the words, and opens what they ask for; names and slots may be NULL. */
static int open_view(struct args *a, struct filter *f, struct flow_view *view, struct names *names,
		     struct nat_addr *slots)
{
	struct state *s;
	int err = read_filter(a, f) ?: state_open(STATE_READ, &s);

	if (err)
		return err;
	err = find_filter(s, f);
	if (!err && names)
		err = names_read(s, names);
	if (!err) {
		err = flow_view_open(s, view);
		if (err && names)
			names_free(names);
	}
	if (!err && slots && state_exists(s))
		memcpy(slots, s->nat_addrs, NAT_ADDRS * sizeof(*slots));
	state_unlock(s);
	return err;
}

/* ---- show ---- */

struct show {
	struct flow_view view;
	struct names names;
	struct nat_addr slots[NAT_ADDRS];
};

static void show_one(const struct flow *f, const struct nat_flow *nat, __u32 left, bool opening,
		     void *data)
{
	struct show *show = data;

	out_row(flow_row(f, nat, show->slots, show->view.now, left, &show->names));
}

static int flow_show(struct args *a)
{
	static const struct out_column columns[] = {
		{"network", "NETWORK"},	    {"dev", "DEV"},
		{"proto", "PROTO"},	    {"src", "SRC"},
		{"sport", "SPORT"},	    {"dst", "DST"},
		{"dport", "DPORT"},	    {"nat_addr", "NAT ADDR"},
		{"nat_port", "NAT PORT"},   {"vlan", "VLAN"},
		{"state", "STATE"},	    {"packets", "PACKETS"},
		{"bytes", "BYTES"},	    {"age", "AGE (s)"},
		{"expires", "EXPIRES (s)"}, {},
	};
	static const int widths[] = {12, 12, 5, 20, 5, 20, 5, 15, 8, 4, 11, 8, 10, 7, 0};
	struct filter filter = {};
	struct show show = {};
	int err = open_view(a, &filter, &show.view, &show.names, show.slots);

	if (err)
		return err;
	out_rows_begin(columns, widths);
	flow_foreach(&show.view, &filter.flows, show_one, &show);
	out_rows_end();
	flow_view_close(&show.view);
	names_free(&show.names);
	return 0;
}

/* ---- count ---- */

struct tally {
	__u64 all, opening;
};

static void count_one(const struct flow *f, const struct nat_flow *nat, __u32 left, bool opening,
		      void *data)
{
	struct tally *t = data;

	t->all++;
	t->opening += opening;
}

static void count_text(struct json_object *o)
{
	printf("connections  %s\nhalf-open    %s\nmaximum      %s\n",
	       json_object_get_string(json_object_object_get(o, "count")),
	       json_object_get_string(json_object_object_get(o, "half_open")),
	       json_object_get_string(json_object_object_get(o, "max")));
}

static int flow_count(struct args *a)
{
	struct filter filter = {};
	struct tally t = {};
	struct flow_view view;
	struct json_object *o;
	int err = open_view(a, &filter, &view, NULL, NULL);

	if (err)
		return err;
	flow_foreach(&view, &filter.flows, count_one, &t);
	flow_view_close(&view);
	o = json_object_new_object();
	json_object_object_add(o, "count", json_object_new_uint64(t.all));
	json_object_object_add(o, "half_open", json_object_new_uint64(t.opening));
	json_object_object_add(o, "max", json_object_new_uint64(FLOW_MAX));
	out_document(o, count_text);
	return 0;
}

/* ---- flush ---- */

static int flow_flush_run(struct args *a)
{
	struct filter filter = {};
	struct state *s;
	int err = read_filter(a, &filter) ?: state_open(STATE_WRITE, &s);

	if (err)
		return err;
	err = find_filter(s, &filter);
	if (!err && state_exists(s)) {
		err = flow_flush(s, &filter.flows);
		state_void_cache(s);
	}
	state_unlock(s);
	return err;
}

#define FILTER "[network NETWORK] [dev DEV] [proto PROTO] [src PREFIX] [dst PREFIX]"

static const struct command commands[] = {
	{"show", flow_show, FILTER, "Lists connections."},
	{"count", flow_count, FILTER, "Counts them, and those that are not answered yet."},
	{"flush", flow_flush_run, FILTER,
	 "Forgets them: their next packet is judged by the lists as a new one."},
	{},
};

const struct object object_flow = {
	"flow",
	commands,
	"the connections that lists, policies and limits follow",
	"PROTO is tcp, udp, icmp, icmp6, sctp or a number; src is the end that opened the\n"
	"connection, dst the other one; dev is a port at either end.\n",
};
