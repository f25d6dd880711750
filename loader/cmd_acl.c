// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* xdpctl acl: ordered lists of rules on ports and networks. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "acl.h"
#include "acl_log.h"
#include "cmd.h"
#include "file.h"
#include "port.h"

/* Whose list or lists. */
struct target {
	const char *dev, *network; /* at most one */
	int direction;		   /* enum acl_direction, -1: not given */
	__u32 id;		   /* of the port or network */
};

/* [dev DEV | network NETWORK] */
static int read_owner(struct args *a, struct target *t)
{
	const char *word;

	if (args_take(a, "dev"))
		return args_next(a, "dev", &word) ?: parse_dev_name(word, &t->dev);
	if (args_take(a, "network"))
		return args_next(a, "network", &word) ?: parse_network_name(word, &t->network);
	return 0;
}

static void read_direction(struct args *a, struct target *t)
{
	if (args_take(a, "in"))
		t->direction = ACL_IN;
	else if (args_take(a, "out"))
		t->direction = ACL_OUT;
}

/* {dev DEV | network NETWORK} {in|out} */
static int read_target(struct args *a, struct target *t)
{
	int err;

	*t = (struct target){.direction = -1};
	err = read_owner(a, t);
	if (err)
		return err;
	if (!t->dev && !t->network && a->n)
		return usage("%s: \"%s\": dev DEV or network NETWORK is expected", a->what, *a->v);
	if (!t->dev && !t->network)
		return usage("%s: dev DEV or network NETWORK is missing", a->what);
	read_direction(a, t);
	if (t->direction < 0 && a->n)
		return usage("%s: \"%s\" is neither in nor out", a->what, *a->v);
	if (t->direction < 0)
		return usage("%s: in or out is missing", a->what);
	return 0;
}

static int find_target(struct state *s, struct target *t)
{
	struct network_info network;
	struct port_info port;

	if (t->dev)
		return port_find_settable(s, t->dev, &t->id, &port);
	return t->network ? network_find(s, t->network, &t->id, &network) : 0;
}

/* A list that would judge nothing is refused. */
static int check_target(struct state *s, const struct target *t)
{
	struct port_info port;

	if (t->dev && !bpf_map_lookup_elem(s->maps[MAP_PORT_INFO], &t->id, &port) && port.nat_only)
		return fail(EINVAL,
			    "dev %s: the uplink of nat networks alone has no lists (they and "
			    "their ports have)",
			    t->dev);
	return 0;
}

static __u32 list_of(const struct target *t)
{
	return t->dev ? ACL_PORT_LIST(t->id, t->direction) : ACL_NETWORK_LIST(t->id, t->direction);
}

/* "dev v1" */
static const char *on(const struct target *t, char out[64])
{
	snprintf(out, 64, "%s %s", t->dev ? "dev" : "network", t->dev ?: t->network);
	return out;
}

/* Opens the data plane and reads the list that a command changes. Unlock in any case. */
static int open_list(struct target *t, struct state **s, struct acl_list *out)
{
	int err = state_open(STATE_WRITE, s);

	*out = (struct acl_list){};
	return err ?: find_target(*s, t) ?: check_target(*s, t) ?: acl_open(*s, list_of(t), out);
}

/* ---- changing ---- */

static int add(struct args *a)
{
	struct acl_rule rule;
	struct acl_list old;
	struct target t;
	struct state *s;
	char name[64];
	int err;

	err = read_target(a, &t) ?: acl_parse_rule(a, &rule);
	if (err)
		return err;
	err = open_list(&t, &s, &old);
	if (!err && !rule.prio)
		err = acl_next_prio(acl_last(&old), &rule.prio);
	if (!err && acl_find(&old, rule.prio))
		err = fail(EEXIST, "acl: %s %s: there is a rule with prio %u already", on(&t, name),
			   acl_direction_name(t.direction), rule.prio);
	err = err ?: acl_add(s, list_of(&t), &old, &rule);
	state_unlock(s);
	acl_close(&old);
	return err;
}

/* prio N, or all: 0 */
static int read_prio(struct args *a, __u32 *prio)
{
	const char *word;
	__u64 n = 0;
	int err = 0;

	if (args_take(a, "prio"))
		err = args_next(a, "prio", &word)
			      ?: parse_number("prio", word, 1, ACL_PRIO_MAX, &n);
	else if (!args_take(a, "all"))
		return a->n ? usage("%s: \"%s\": prio N or all is expected", a->what, *a->v)
			    : usage("%s: prio N or all is missing", a->what);
	*prio = n;
	return err ?: args_end(a);
}

static int del(struct args *a)
{
	const struct acl_rule *rule = NULL;
	struct acl_rules none = {};
	struct acl_list old;
	struct target t;
	struct state *s;
	__u32 prio = 0;
	char name[64];
	int err;

	err = read_target(a, &t) ?: read_prio(a, &prio);
	if (err)
		return err;
	err = open_list(&t, &s, &old);
	if (!err && prio) {
		rule = acl_find(&old, prio);
		if (!rule)
			err = fail(ENOENT, "acl: %s %s: there is no rule with prio %u",
				   on(&t, name), acl_direction_name(t.direction), prio);
	}
	if (!err && old.lines)
		err = rule ? acl_del(s, list_of(&t), &old, rule)
			   : acl_replace(s, list_of(&t), &old, &none);
	state_unlock(s);
	acl_close(&old);
	return err;
}

static int load(struct args *a)
{
	struct acl_rules new = {};
	struct acl_list old;
	char *text = NULL;
	const char *file;
	struct target t;
	struct state *s;
	size_t size;
	int err;

	err = read_target(a, &t) ?: args_next(a, "FILE", &file) ?: args_end(a);
	if (!err && out_options.batch && !strcmp(file, "-"))
		err = usage("acl load: \"-\": not from a batch");
	err = err ?: file_read(file, &text, &size) ?: acl_parse_list(file, text, size, &new);
	free(text);
	if (err)
		return err;
	err = open_list(&t, &s, &old);
	if (!err && (old.lines || new.n))
		err = acl_replace(s, list_of(&t), &old, &new);
	state_unlock(s);
	acl_close(&old);
	free(new.at);
	return err;
}

/* ---- showing ---- */

/* One list, read under the lock and printed afterwards. */
struct shown {
	char on[64];
	int direction;
	struct acl_list rules;
	struct acl_counter *counts;
};

struct show {
	struct target target;
	bool verbose;
	struct acl_totals totals;
	struct shown *lists;
	size_t n;
};

static int read_counts(struct state *s, struct show *show, struct shown *l)
{
	int err = 0;

	l->counts = calloc(l->rules.n, sizeof(*l->counts));
	if (!l->counts)
		return fail(ENOMEM, "acl: out of memory");
	for (__u32 i = 0; i < l->rules.n && !err; i++)
		err = acl_count(s, &show->totals, &l->rules.at[i], &l->counts[i]);
	return err;
}

/* Adds the lists of a port or network to what is shown. */
static int show_owner(struct state *s, struct show *show, const struct target *of)
{
	struct target t = *of;
	struct shown *l, *lists;
	int err = 0;

	for (t.direction = ACL_IN; t.direction <= ACL_OUT && !err; t.direction++) {
		if (show->target.direction >= 0 && show->target.direction != t.direction)
			continue;
		if (!acl_exists(s, list_of(&t)))
			continue;
		lists = realloc(show->lists, (show->n + 1) * sizeof(*lists));
		if (!lists)
			return fail(ENOMEM, "acl: out of memory");
		show->lists = lists;
		l = &lists[show->n++];
		*l = (struct shown){.direction = t.direction};
		on(&t, l->on);
		err = acl_open(s, list_of(&t), &l->rules) ?: acl_read(&l->rules)
			?: read_counts(s, show, l);
	}
	return err;
}

static int show_all(struct state *s, struct show *show)
{
	struct network_list networks;
	struct port_list ports;
	struct target t = {};
	int err = port_list(s, &ports);

	if (err)
		return err;
	for (__u32 i = 0; i < ports.n && !err; i++) {
		t.dev = ports.at[i].info.dev;
		t.id = ports.at[i].id;
		err = show_owner(s, show, &t);
	}
	port_list_free(&ports);
	err = err ?: network_list(s, &networks);
	if (err)
		return err;
	t.dev = NULL;
	for (__u32 i = 0; i < networks.n && !err; i++) {
		t.network = networks.at[i].info.name;
		t.id = networks.at[i].id;
		err = show_owner(s, show, &t);
	}
	network_list_free(&networks);
	return err;
}

static struct json_object *rule_json(const struct shown *l, __u32 i, bool whose)
{
	const struct acl_rule *r = &l->rules.at[i];
	struct json_object *o = json_object_new_object();

	if (whose) {
		json_object_object_add(o, "on", json_object_new_string(l->on));
		json_object_object_add(o, "direction",
				       json_object_new_string(acl_direction_name(l->direction)));
	}
	json_object_object_add(o, "prio", json_object_new_int64(r->prio));
	json_object_object_add(o, "match", acl_match_json(r));
	json_object_object_add(o, "action", json_object_new_string(acl_action_name(r->action)));
	json_object_object_add(o, "log", json_object_new_boolean(r->flags & ACL_RULE_LOG));
	json_object_object_add(o, "packets", json_object_new_uint64(l->counts[i].packets));
	json_object_object_add(o, "bytes", json_object_new_uint64(l->counts[i].bytes));
	return o;
}

/* Verbose: an object for each list, its rules in it. */
static struct json_object *list_json(const struct shown *l)
{
	struct json_object *o = json_object_new_object(), *rules = json_object_new_array();

	json_object_object_add(o, "on", json_object_new_string(l->on));
	json_object_object_add(o, "direction",
			       json_object_new_string(acl_direction_name(l->direction)));
	json_object_object_add(o, "tuples", json_object_new_int64(l->rules.cert.tuples));
	json_object_object_add(o, "probes", json_object_new_int64(l->rules.cert.probes));
	json_object_object_add(o, "steps", json_object_new_int64(l->rules.cert.steps));
	for (__u32 i = 0; i < l->rules.n; i++)
		json_object_array_add(rules, rule_json(l, i, false));
	json_object_object_add(o, "rules", rules);
	return o;
}

static void print_json(const struct show *show)
{
	static const struct out_column none[] = {{}};

	out_rows_begin(none, NULL);
	for (size_t i = 0; i < show->n; i++) {
		if (show->verbose)
			out_row(list_json(&show->lists[i]));
		for (__u32 r = 0; !show->verbose && r < show->lists[i].rules.n; r++)
			out_row(rule_json(&show->lists[i], r, true));
	}
	out_rows_end();
}

/* What `acl load` reads: the rest is in comments. */
static void print_text(const struct show *show)
{
	char text[ACL_RULE_TEXT];

	for (size_t i = 0; i < show->n; i++) {
		const struct shown *l = &show->lists[i];

		printf("# %s %s: %u rule%s", l->on, acl_direction_name(l->direction), l->rules.n,
		       l->rules.n == 1 ? "" : "s");
		if (show->verbose)
			printf("; a packet needs at most %u look-ups in an index of %u tuples and "
			       "%u rules compared",
			       l->rules.cert.probes, l->rules.cert.tuples, l->rules.cert.steps);
		putchar('\n');
		for (__u32 r = 0; r < l->rules.n; r++)
			printf("%s  # packets %llu bytes %llu\n",
			       acl_rule_text(&l->rules.at[r], text), l->counts[r].packets,
			       l->counts[r].bytes);
	}
}

static int show(struct args *a)
{
	struct show show = {.target.direction = -1};
	struct state *s;
	int err;

	show.verbose = args_take(a, "-v");
	err = read_owner(a, &show.target);
	read_direction(a, &show.target);
	show.verbose |= args_take(a, "-v");
	err = err ?: args_end(a) ?: state_open(STATE_READ, &s);
	if (err)
		return err;
	err = find_target(s, &show.target);
	if (!err && state_exists(s))
		err = show.target.dev || show.target.network ? show_owner(s, &show, &show.target)
							     : show_all(s, &show);
	state_unlock(s);
	if (!err && out_options.json)
		print_json(&show);
	else if (!err)
		print_text(&show);
	for (size_t i = 0; i < show.n; i++) {
		acl_close(&show.lists[i].rules);
		free(show.lists[i].counts);
	}
	free(show.lists);
	acl_totals_free(&show.totals);
	return err;
}

static int follow(struct args *a)
{
	struct target t = {.direction = -1};
	struct acl_log_filter filter = {};
	struct state *s;
	int err;

	if (out_options.batch)
		return usage("acl log: not from a batch");
	err = read_owner(a, &t);
	read_direction(a, &t);
	err = err ?: args_end(a) ?: state_open(STATE_READ, &s);
	if (err)
		return err;
	err = find_target(s, &t);
	if (!err && !state_exists(s))
		err = fail(ENOENT, "acl log: there is no network yet");
	if (err) {
		state_unlock(s);
		return err;
	}
	filter.port = t.dev ? t.id : 0;
	filter.network = t.network ? t.id : 0;
	filter.direction = t.direction;
	return acl_log_follow(s, &filter);
}

static const struct command commands[] = {
	{"show", show, "[dev DEV | network NETWORK] [in|out] [-v]",
	 "Lists rules, with what they counted. Lists are printed as `acl load` reads them. -v: also\n"
	 "the most work that any packet needs in a list."},
	{"add", add,
	 "{dev DEV | network NETWORK} {in|out} [prio N] [MATCH]... {allow|deny|reject} [log]",
	 "Adds a rule; without prio it goes last."},
	{"del", del, "{dev DEV | network NETWORK} {in|out} {prio N | all}",
	 "Removes a rule, or all of a list."},
	{"load", load, "{dev DEV | network NETWORK} {in|out} FILE",
	 "Replaces a whole list by that of FILE ('-': standard input): each packet meets the old one\n"
	 "or the new one. One rule a line, in the words behind the direction; '#' begins a comment.\n"
	 "A file that has an error changes nothing; an empty one empties the list."},
	{"log", follow, "[dev DEV | network NETWORK] [in|out]",
	 "Prints what rules with `log` tell, until interrupted; what nobody has read yet comes first.\n"
	 "Each event is told once, to one who follows."},
	{},
};

const struct object object_acl = {
	"acl",
	commands,
	"ordered lists of rules on ports and networks",
	"in is towards the VM (or the wire), out is from it. The rule with the lowest prio that\n"
	"matches decides. A port's rules come first; when none matches, its network's; then the\n"
	"port's policy-in and policy-out. Replies and related ICMP errors of an allowed connection\n"
	"pass. A list that changes judges live connections anew.\n\n"
	"  prio N            1 to 2147483647, unique in a list (default: the last one + 10)\n"
	"MATCH, in any order, each word once; without any, a rule matches every frame:\n"
	"  family ip|ip6\n"
	"  proto P           tcp, udp, icmp, icmp6, sctp or a number\n"
	"  src, dst PREFIX   ADDRESS or ADDRESS/LENGTH\n"
	"  sport, dport N[-M]   with proto tcp, udp or sctp\n"
	"  icmp-type N       with proto icmp or icmp6\n"
	"  tcp-flags MASK/VALUE  with proto tcp: the flags in MASK are those in VALUE (0x12/0x02)\n"
	"  src-mac, dst-mac LLADDR\n"
	"  ethertype N       as 0x0806, behind an outer VLAN tag\n"
	"  vlan VID          inside the network, an access port's too; 0: untagged\n"
	"  state S           new, established, related or invalid\n"
	"Actions:\n"
	"  allow, deny       deny drops without an answer\n"
	"  reject            answers with a TCP reset or port unreachable\n"
	"  log               also tells of each packet that the rule judges: acl log\n",
};
