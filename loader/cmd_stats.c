// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* xdpctl stats: counters of ports, and what the reasons mean. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "cmd.h"
#include "port.h"

static const struct reason_text {
	enum reason reason;
	const char *name;
	const char *help;
} reasons[] = {
#define X(id, name, help) {DROP_##id, name, help},
	DROP_REASONS(X)
#undef X
#define X(id, name, help) {NOTE_##id, name, help},
		NOTES(X)
#undef X
};
#define REASONS (sizeof(reasons) / sizeof(*reasons))

/* A port's counters, summed over the CPUs. */
static int read_counters(struct state *s, __u32 id, struct stats_base *sum)
{
	int cpus = libbpf_num_possible_cpus(), err = 0;
	struct port_drops *drops = calloc(cpus, sizeof(*drops));
	struct port_stats *stats = calloc(cpus, sizeof(*stats));

	memset(sum, 0, sizeof(*sum));
	if (!drops || !stats || bpf_map_lookup_elem(s->maps[MAP_PORT_DROPS], &id, drops) ||
	    bpf_map_lookup_elem(s->maps[MAP_PORT_STATS], &id, stats))
		err = fail(errno, "counters: cannot be read: %s", strerror(errno));
	for (int c = 0; c < cpus && !err; c++) {
		sum->stats.rx_packets += stats[c].rx_packets;
		sum->stats.rx_bytes += stats[c].rx_bytes;
		sum->stats.tx_packets += stats[c].tx_packets;
		sum->stats.tx_bytes += stats[c].tx_bytes;
		for (int r = 0; r < REASON_MAX; r++)
			sum->drops.count[r] += drops[c].count[r];
	}
	free(drops);
	free(stats);
	return err;
}

static void subtract(struct stats_base *sum, const struct stats_base *base)
{
	sum->stats.rx_packets -= base->stats.rx_packets;
	sum->stats.rx_bytes -= base->stats.rx_bytes;
	sum->stats.tx_packets -= base->stats.tx_packets;
	sum->stats.tx_bytes -= base->stats.tx_bytes;
	for (int r = 0; r < REASON_MAX; r++)
		sum->drops.count[r] -= base->drops.count[r];
}

static int port_counters(struct state *s, __u32 id, struct stats_base *sum)
{
	struct stats_base base;
	int err = read_counters(s, id, sum);

	if (!err && !bpf_map_lookup_elem(s->maps[MAP_STATS_BASE], &id, &base))
		subtract(sum, &base);
	return err;
}

static struct json_object *counters_json(struct state *s, const struct port_info *p,
					 const struct stats_base *sum)
{
	struct json_object *o = json_object_new_object(), *drops = json_object_new_object(),
			   *notes = json_object_new_object();
	struct network_info net;

	json_object_object_add(o, "dev", json_object_new_string(p->dev));
	json_object_object_add(o, "network",
			       json_object_new_string(network_name(s, p->network, &net)));
	json_object_object_add(o, "rx_packets", json_object_new_uint64(sum->stats.rx_packets));
	json_object_object_add(o, "rx_bytes", json_object_new_uint64(sum->stats.rx_bytes));
	json_object_object_add(o, "tx_packets", json_object_new_uint64(sum->stats.tx_packets));
	json_object_object_add(o, "tx_bytes", json_object_new_uint64(sum->stats.tx_bytes));
	for (size_t i = 0; i < REASONS; i++)
		json_object_object_add(reasons[i].reason < REASON_DROPS_END ? drops : notes,
				       reasons[i].name,
				       json_object_new_uint64(sum->drops.count[reasons[i].reason]));
	json_object_object_add(o, "drops", drops);
	json_object_object_add(o, "notes", notes);
	return o;
}

static void print_counts(const char *title, struct json_object *counts)
{
	json_object_object_foreach(counts, name, n) if (json_object_get_uint64(n))
		printf("  %s %s %s\n", title, name, json_object_get_string(n));
}

static void stats_text(struct json_object *array)
{
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *o = json_object_array_get_idx(array, i);

		printf("%s network %s\n", json_object_get_string(json_object_object_get(o, "dev")),
		       json_object_get_string(json_object_object_get(o, "network")));
		for (int tx = 0; tx < 2; tx++)
			printf("  %s %s packets %s bytes\n", tx ? "tx" : "rx",
			       json_object_get_string(
				       json_object_object_get(o, tx ? "tx_packets" : "rx_packets")),
			       json_object_get_string(
				       json_object_object_get(o, tx ? "tx_bytes" : "rx_bytes")));
		print_counts("drop", json_object_object_get(o, "drops"));
		print_counts("note", json_object_object_get(o, "notes"));
	}
}

static int read_dev(struct args *a, const char **dev)
{
	const char *word;
	int err = 0;

	if (args_take(a, "dev"))
		err = args_next(a, "dev", &word) ?: parse_dev_name(word, dev);
	return err ?: args_end(a);
}

/* Opens the data plane and lists the ports that are asked for; *l is to be freed. */
static int open_ports(enum state_open how, const char *dev, struct state **s, struct port_list *l)
{
	struct port_info info;
	__u32 id;
	int err = state_open(how, s);

	if (err)
		return err;
	err = dev ? port_find(*s, dev, &id, &info) : 0;
	err = err ?: port_list(*s, l);
	if (err)
		state_unlock(*s);
	return err;
}

static int stats_show(struct args *a)
{
	struct json_object *array = NULL;
	const char *dev = NULL;
	struct stats_base sum;
	struct port_list l;
	struct state *s;
	int err;

	err = read_dev(a, &dev) ?: open_ports(STATE_READ, dev, &s, &l);
	if (err)
		return err;
	array = json_object_new_array();
	for (__u32 i = 0; i < l.n && !err; i++) {
		if (dev && strcmp(dev, l.at[i].info.dev))
			continue;
		err = port_counters(s, l.at[i].id, &sum);
		if (!err)
			json_object_array_add(array, counters_json(s, &l.at[i].info, &sum));
	}
	port_list_free(&l);
	state_unlock(s);
	if (err)
		json_object_put(array);
	else
		out_document(array, stats_text);
	return err;
}

static int stats_reset(struct args *a)
{
	const char *dev = NULL;
	struct stats_base sum;
	struct port_list l;
	struct state *s;
	int err;

	err = read_dev(a, &dev) ?: open_ports(STATE_WRITE, dev, &s, &l);
	if (err)
		return err;
	for (__u32 i = 0; i < l.n && !err; i++) {
		if (dev && strcmp(dev, l.at[i].info.dev))
			continue;
		err = read_counters(s, l.at[i].id, &sum);
		if (!err &&
		    bpf_map_update_elem(s->maps[MAP_STATS_BASE], &l.at[i].id, &sum, BPF_ANY))
			err = fail(errno, "counters: cannot be reset: %s", strerror(errno));
	}
	port_list_free(&l);
	state_unlock(s);
	return err;
}

static int stats_reasons(struct args *a)
{
	static const struct out_column columns[] = {{"reason", "REASON"}, {"help", "HELP"}, {}};
	struct json_object *array, *o;
	int err = args_end(a);

	if (err)
		return err;
	array = json_object_new_array();
	for (size_t i = 0; i < REASONS; i++) {
		o = json_object_new_object();
		json_object_object_add(o, "reason", json_object_new_string(reasons[i].name));
		json_object_object_add(o, "help", json_object_new_string(reasons[i].help));
		json_object_array_add(array, o);
	}
	out_table(array, columns);
	return 0;
}

static const struct command commands[] = {
	{"show", stats_show, "[dev DEV]",
	 "Shows what each port's party sent (rx) and was sent (tx), and drops by reason."},
	{"reset", stats_reset, "[dev DEV]", "Makes the counters start from zero."},
	{"reasons", stats_reasons, "", "Explains the reasons."},
	{},
};

const struct object object_stats = {"stats", commands, "counters, and why frames were dropped",
				    NULL};
