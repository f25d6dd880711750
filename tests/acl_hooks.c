// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Access control lists through the whole of the switch: lists are loaded as a user would, rules are
 * added to long ones and deleted from them, the pinned programs are run on frames at both hooks,
 * and for each frame the rule that decided, as its log tells, all that the log says of the frame,
 * and the verdict are what a straight scan of the rules gives. What of a frame is right or wrong
 * is known before the frame is made.
 *
 * Environment: SEED repeats another run; DURATION: not all of it, for slow machines.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include "acl_frame.h"
#include "lab.h"
#include "tap.h"

#define PACKETS	     3000 /* of a list, at each hook */
#define DRAWS	     (4 * PACKETS)
#define RANDOM_LISTS 12
#define BITS_FEW     10	 /* that a rule asks for */
#define SHOWN	     3	 /* wrong packets of a list */
#define LAN	     1	 /* the network's id: it is the first one */
#define LONG	     512 /* rules from which on a list is changed in its place */
#define CHANGES	     16	 /* of such a list */

static char directory[4096]; /* of ClassBench sets */
static char file[64];
static __u64 seed;
static struct ring_buffer *ring;
static bool slow;

/* Where lists are. */
static const struct place {
	const char *name;
	enum acl_direction direction;
	bool network;
} places[] = {
	{"dev p1 out", ACL_OUT},
	{"dev p2 in", ACL_IN},
	{"network lan out", ACL_OUT, true},
	{"network lan in", ACL_IN, true},
};
#define PLACES (sizeof(places) / sizeof(*places))

/* A packet that is sent, and what is to come of it. */
static struct packet {
	struct acl_key key;
	__u64 result; /* as acl_rules_scan() */
} packets[PACKETS];
static __u32 n_packets;

static struct acl_event event;
static int events; /* of the last packet */

static int on_event(void *ctx, void *data, size_t size)
{
	events++;
	memcpy(&event, data, size < sizeof(event) ? size : sizeof(event));
	return 0;
}

/* ---- the list ---- */

static void load(const struct acl_rules *rules, const struct place *place)
{
	FILE *out = fopen(file, "w");
	char text[ACL_WORDS];

	for (__u32 i = 0; out && i < rules->n; i++) {
		acl_rule_words(&rules->rule[i], text);
		fprintf(out, "%s\n", text);
	}
	if (!out || fclose(out)) {
		tap_fail("%s cannot be written", file);
		return;
	}
	snprintf(text, sizeof(text), "acl load %s %s\n", place->name, file);
	lab_xdpctl(text);
	lab_refresh();
}

/* Rules of the list that were added or deleted since it was loaded. */
static struct acl_rule changed[CHANGES];
static __u32 n_changed;

/* Puts a rule before one that there is, if there is a prio for it. */
static bool add_rule(struct acl_rules *rules, const struct place *place, struct acl_rule rule,
		     __u32 at)
{
	char words[ACL_WORDS], line[ACL_WORDS + 64];

	rule.prio = rules->rule[at].prio - 1;
	if (!rule.prio || acl_rules_has(rules, rule.prio))
		return false;
	memmove(&rules->rule[at + 1], &rules->rule[at], (rules->n - at) * sizeof(rule));
	rules->rule[at] = rule;
	rules->n++;
	changed[n_changed++] = rule;
	acl_rule_words(&rule, words);
	snprintf(line, sizeof(line), "acl add %s %s\n", place->name, words);
	lab_xdpctl(line);
	return true;
}

static void delete_rule(struct acl_rules *rules, const struct place *place, __u32 at)
{
	char line[128];

	snprintf(line, sizeof(line), "acl del %s prio %u\n", place->name, rules->rule[at].prio);
	changed[n_changed++] = rules->rule[at];
	rules->n--;
	memmove(&rules->rule[at], &rules->rule[at + 1], (rules->n - at) * sizeof(*rules->rule));
	lab_xdpctl(line);
}

/* The id of the list's map. */
static __u32 list_id(const struct place *place)
{
	__u32 owner = lab_port_id(place->direction == ACL_OUT ? P1 : P2), id = 0;
	__u32 list = place->network ? ACL_NETWORK_LIST(LAN, place->direction)
				    : ACL_PORT_LIST(owner, place->direction);
	int fd = lab_pin("acl_lists");

	if (bpf_map_lookup_elem(fd, &list, &id))
		tap_fail("the list is not found");
	close(fd);
	return id;
}

/* Adds copies of rules to the list and deletes some; in_place: the list has room for that. */
static int change(struct acl_rules *rules, const struct place *place, struct acl_random *random,
		  bool in_place)
{
	__u32 id = list_id(place);
	struct acl_rule *more = realloc(rules->rule, (rules->n + CHANGES) * sizeof(*more));

	if (!more)
		return -1;
	rules->rule = more;
	for (int draws = 0; draws < 1000 && n_changed < CHANGES; draws++) {
		const struct acl_rule *rule = &more[acl_random_below(random, rules->n)];
		__u32 at = acl_random_below(random, draws % 2 ? rules->n : 50);

		if (acl_random_below(random, 3))
			add_rule(rules, place, *rule, at);
		else
			delete_rule(rules, place, at);
	}
	EXPECT(n_changed == CHANGES);
	EXPECT(list_id(place) == id || !in_place);
	lab_refresh();
	return 0;
}

static void unload(const struct place *place)
{
	char text[64];

	snprintf(text, sizeof(text), "acl del %s all\n", place->name);
	lab_xdpctl(text);
	lab_refresh();
}

/* ---- packets ---- */

/* Connections that packets open, by what both their ends have in common; few are taken for one. */
#define OPENED (1 << 20)
static bool opened[OPENED];

static bool *opened_at(const struct acl_key *k)
{
	struct acl_random r = {k->src[0] ^ k->dst[0]};

	r.state ^= acl_random(&r) ^ k->src[1] ^ k->dst[1];
	r.state ^= acl_random(&r) ^ (k->sport ^ k->dport);
	r.state ^= acl_random(&r) ^ (k->misc & (ACL_MISC_PROTO_MASK | ACL_MISC_FAMILY_MASK));
	return &opened[acl_random(&r) % OPENED];
}

/* Draws packets; none is of a connection that one before it opens. */
static void draw(const struct acl_rules *rules, struct acl_random *random)
{
	memset(opened, 0, sizeof(opened));
	n_packets = 0;
	for (int i = 0; i < DRAWS && n_packets < PACKETS; i++) {
		struct packet *p = &packets[n_packets];
		bool *open;

		p->key = n_changed && !acl_random_below(random, 4)
				 ? acl_packet_for(&changed[acl_random_below(random, n_changed)],
						  random)
				 : acl_packet(rules, random);
		acl_key_settle(&p->key, random);
		open = opened_at(&p->key);
		if (*open)
			continue;
		p->result = acl_rules_scan(rules, &p->key);
		*open = !p->result;
		n_packets++;
	}
}

static void show_packet(const struct packet *p, const struct frame *f)
{
	const struct acl_key *k = &p->key;

	tap_remark("  key src %016llx:%016llx dst %016llx:%016llx macs %016llx %016llx misc %07x "
		   "ports %u %u",
		   k->src[0], k->src[1], k->dst[0], k->dst[1], k->src_mac, k->dst_mac, k->misc,
		   k->sport, k->dport);
	tap_remark("  frame %s", frame_text(f));
}

/* Says what of an outcome is wrong, or NULL. */
static const char *wrong(const struct place *place, enum lab_hook hook, const struct packet *p,
			 const struct frame *f, __u32 retval)
{
	bool xdp = hook == LAB_XDP;
	__u32 drop = xdp ? (__u32)XDP_DROP : TC_ACT_SHOT;
	__u32 pass = xdp ? (__u32)XDP_REDIRECT : TC_ACT_REDIRECT;

	if (events != !!p->result)
		return "the log";
	if (events && event.prio != ACL_RESULT_PRIO(p->result))
		return "the rule";
	if (retval != (p->result ? drop : pass))
		return "the verdict";
	if (!events)
		return NULL;
	if (memcmp(&event.key, &p->key, sizeof(event.key)))
		return "the logged packet";
	if (event.length != f->len || event.action != ACL_DENY)
		return "the logged length or action";
	if (event.port != lab_port_id(place->direction == ACL_OUT ? P1 : P2) ||
	    event.direction != place->direction || !event.network == place->network)
		return "the logged list";
	return NULL;
}

static bool send_packet(const struct place *place, enum lab_hook hook, __u32 i)
{
	static struct frame f, out;
	const struct packet *p = &packets[i];
	const char *what;
	__u32 retval;
	int err;

	acl_frame_build(&f, &p->key, seed + i);
	events = 0;
	err = lab_test_run(hook, P1, &f, &retval, &out);
	ring_buffer__consume(ring);
	what = err ? strerror(-err) : wrong(place, hook, p, &f, retval);
	if (!what)
		return true;
	tap_fail("packet %u: %s: rule %u, not %u, %d events, verdict %d", i, what,
		 events ? event.prio : 0, ACL_RESULT_PRIO(p->result), events, (int)retval);
	show_packet(p, &f);
	return false;
}

/* All packets at a hook, and what is counted of them. */
static void run_hook(const struct place *place, enum lab_hook hook)
{
	static struct lab_counters before, got;
	__u32 bad = 0, denied = 0;

	lab_xdpctl("flow flush\n");
	lab_refresh();
	lab_complete(P1);
	lab_counters(&before);
	for (__u32 i = 0; i < n_packets && bad < SHOWN; i++) {
		bad += !send_packet(place, hook, i);
		denied += !!packets[i].result;
	}
	lab_counters_since(&before, &got);
	if (bad)
		return;
	for (int e = 0; e < PORT_ENDS; e++)
		for (int r = 0; r < REASON_MAX; r++) {
			__u64 want = e == P1 && r == DROP_ACL_DENY ? denied : 0;

			if (got.drops[e].count[r] != want)
				tap_fail("%s: %s: %llu counted, not %" PRIu64, lab_dev[e],
					 lab_reason_name(r), got.drops[e].count[r], (uint64_t)want);
		}
}

/* ---- tests ---- */

static int by_number(const void *a, const void *b)
{
	__u32 x = *(const __u32 *)a, y = *(const __u32 *)b;

	return x < y ? -1 : x > y;
}

static void remark(void)
{
	static __u32 prios[PACKETS];
	__u32 denied = 0, rules = 0;

	for (__u32 i = 0; i < n_packets; i++)
		if (packets[i].result)
			prios[denied++] = ACL_RESULT_PRIO(packets[i].result);
	qsort(prios, denied, sizeof(*prios), by_number);
	for (__u32 i = 0; i < denied; i++)
		rules += !i || prios[i] != prios[i - 1];
	tap_remark("%u packets at each hook, %u denied by %u different rules", n_packets, denied,
		   rules);
}

/*
 * Settles a list. Rules of a random list may ask for next to nothing: all but the last ones of
 * those go, lest the others decide on no packet.
 */
static void settle(struct acl_rules *rules, bool thin)
{
	__u32 n = 0;

	for (__u32 i = 0; i < rules->n; i++) {
		struct acl_rule *r = &rules->rule[i];

		acl_rule_settle(r);
		if (!thin || acl_rule_bits(r) >= BITS_FEW || i + 2 >= rules->n)
			rules->rule[n++] = *r;
	}
	rules->n = n;
}

static void run_list(const char *name, struct acl_rules *rules, bool thin,
		     const struct place *place, struct acl_random *random)
{
	static const char *const hooks[] = {[LAB_XDP] = "XDP", [LAB_TC] = "TC"};

	settle(rules, thin);
	tap_begin("%s as %s", name, place->name);
	load(rules, place);
	n_changed = 0;
	if ((rules->n >= LONG && change(rules, place, random, !thin)) || acl_rules_ready(rules))
		tap_fail("out of memory");
	draw(rules, random);
	for (enum lab_hook hook = LAB_XDP; hook <= LAB_TC; hook++) {
		tap_step("%s", hooks[hook]);
		run_hook(place, hook);
	}
	unload(place);
	EXPECT(n_packets >= PACKETS / 10);
	tap_end();
	remark();
	acl_rules_free(rules);
}

static void test_set(const char *set, const struct place *place, struct acl_random *random)
{
	char path[sizeof(directory) + 32];
	struct acl_rules rules;
	int err;

	snprintf(path, sizeof(path), "%s/%s.xz", directory, set);
	err = acl_rules_read(path, ACL_RULE_MAX, &rules);
	if (!err) {
		run_list(set, &rules, false, place, random);
		return;
	}
	tap_begin("%s", set);
	tap_fail("%s: %s", path, strerror(-err));
	tap_end();
}

static void test_random(struct acl_random *random)
{
	for (int i = 0; i < (slow ? 2 : RANDOM_LISTS); i++) {
		__u32 n = i % 3 ? 1 + acl_random_below(random, i % 2 ? 100 : 2000) : 12;
		struct acl_rules rules;
		char name[64];

		snprintf(name, sizeof(name), "random list %d, of %u rules,", i, n);
		if (acl_rules_random(n, random, &rules))
			tap_remark("out of memory");
		else
			run_list(name, &rules, true, &places[i % PLACES], random);
	}
}

/* All are known, so that nothing is flooded. */
static void know_addresses(void)
{
	char line[128], commands[4096] = "";

	for (int i = 0; i < ACL_MACS * ACL_VIDS; i++) {
		__u8 s = acl_frame_src(i / ACL_VIDS), d = acl_frame_dst(i / ACL_VIDS);
		__u16 vid = acl_frame_vids[i % ACL_VIDS];

		snprintf(line, sizeof(line), vid ? " vlan %u\n" : "\n", vid);
		snprintf(commands + strlen(commands), sizeof(commands) - strlen(commands),
			 "fdb add 52:54:00:00:00:%02x dev p1%s"
			 "fdb add 52:54:00:00:00:%02x dev p2%s",
			 s, line, d, line);
	}
	lab_xdpctl(commands);
}

static int body(void)
{
	static const char *const sets[] = {"acl1_1k", "fw1_1k",	  "ipc1_1k", "acl1_10k",
					   "fw1_10k", "ipc1_10k", "fw1_100k"};
	struct acl_random random = {seed};

	lab_start("xdp");
	know_addresses();
	ring = ring_buffer__new(lab_pin("acl_events"), on_event, NULL, NULL);
	if (!ring) {
		printf("Bail out! acl_events cannot be read\n");
		return 1;
	}
	tap_remark("SEED=%" PRIu64, (uint64_t)seed);
	for (size_t i = 0; i < (slow ? 3 : sizeof(sets) / sizeof(*sets)); i++)
		test_set(sets[i], &places[i % PLACES], &random);
	test_random(&random);
	ring_buffer__free(ring);
	return tap_done();
}

int main(int argc, char **argv)
{
	const char *given = getenv("SEED"), *slash = strrchr(argv[0], '/');
	int status, fd;

	seed = given ? strtoull(given, NULL, 0) : (__u64)time(NULL);
	slow = getenv("DURATION") != NULL;
	snprintf(directory, sizeof(directory), "%.*s/../../tests/classbench",
		 slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
	snprintf(file, sizeof(file), "/tmp/acl_hooks.XXXXXX");
	fd = mkstemp(file);
	if (fd < 0) {
		printf("Bail out! %s cannot be made\n", file);
		return 1;
	}
	close(fd);
	status = lab_run(argv[0], body);
	unlink(file);
	return status;
}
