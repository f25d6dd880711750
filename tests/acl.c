// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Access control lists: what the compiler (loader/acl_compile.c) and the data path's matcher
 * (bpf/acl_match.h) make of a list is what a straight scan of the rules says, and no packet
 * needs more work than was certified. The matcher runs in user space, and in the kernel on a
 * part of the packets.
 *
 *	acl		the tests
 *	acl bench	ns that a classification takes, by list
 *
 * Environment: SEED repeats the random lists of another run; DURATION in seconds, for slow
 * machines: random lists for so long, and of the sets of rules only the small ones.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "../loader/acl_compile.h"
#include "../loader/err.h"
#include "acl_bench.h"
#include "acl_kernel.h"
#include "acl_late.h"
#include "acl_native.h"
#include "acl_rules.h"
#include "tap.h"

#define KERNEL_PACKETS 4096 /* of a list */
#define SHOWN	       20   /* rules of a failing list */
#define WRONG_MAX      3    /* packets that a list may be wrong about before the next one's turn */

static const char *const sets[] = {"acl1", "fw1", "ipc1"};
static char directory[4096]; /* of the sets */
static struct acl_kernel kernel;
static double duration; /* s, 0: the usual */

struct list {
	struct acl_rules rules;
	struct acl_rule *lines;
	__u32 n_lines;
	struct acl_certificate cert;
	struct acl_work most; /* seen */
	__u32 matched;
	__u32 wrong;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int list_compile(struct list *l)
{
	return acl_compile(l->rules.rule, l->rules.n, &l->lines, &l->n_lines, &l->cert);
}

static void list_free(struct list *l)
{
	acl_rules_free(&l->rules);
	free(l->lines);
	*l = (struct list){};
}

/* ---- one packet ---- */

static void show_key(const struct acl_key *k)
{
	tap_remark(
		"  packet src %016llx:%016llx dst %016llx:%016llx macs %016llx %016llx misc %07x "
		"ports %u %u",
		k->src[0], k->src[1], k->dst[0], k->dst[1], k->src_mac, k->dst_mac, k->misc,
		k->sport, k->dport);
}

static void show_rule(const struct acl_rule *r)
{
	tap_remark(
		"  rule %u: src %016llx:%016llx/%016llx:%016llx dst %016llx:%016llx/%016llx:%016llx "
		"macs %016llx/%016llx %016llx/%016llx misc %07x/%07x ports %u-%u %u-%u",
		r->prio, r->src[0], r->src[1], r->src_mask[0], r->src_mask[1], r->dst[0], r->dst[1],
		r->dst_mask[0], r->dst_mask[1], r->src_mac, r->src_mac_mask, r->dst_mac,
		r->dst_mac_mask, r->misc, r->misc_mask, r->sport_min, r->sport_max, r->dport_min,
		r->dport_max);
}

/* Whether matcher and certificate are right about a packet. */
static bool list_right(struct list *l, const struct acl_key *key)
{
	struct acl_work work;
	__u64 want = acl_rules_scan(&l->rules, key);
	__u64 got = acl_native(l->lines, l->n_lines, key, &work);

	l->matched += !!want;
	if (work.probes > l->most.probes)
		l->most.probes = work.probes;
	if (work.steps > l->most.steps)
		l->most.steps = work.steps;
	return got == want && work.probes <= l->cert.probes && work.steps <= l->cert.steps;
}

static bool still_wrong(const struct acl_rules *rules, const struct acl_key *key)
{
	struct list l = {.rules = {.rule = rules->rule, .n = rules->n}};
	bool wrong;

	if (acl_rules_ready(&l.rules) || list_compile(&l))
		return false;
	wrong = !list_right(&l, key);
	free(l.rules.filter);
	free(l.lines);
	return wrong;
}

/* Takes `part` rules away wherever the list remains wrong about the packet. */
static bool shrink(struct acl_rules *rules, __u32 part, const struct acl_key *key, double end)
{
	struct acl_rule *all = malloc((rules->n + 1) * sizeof(*all));
	struct acl_rules less = {.rule = all};
	bool shrunk = false;

	for (__u32 at = 0; all && at + part <= rules->n && now() < end;) {
		less.n = rules->n - part;
		memcpy(all, rules->rule, at * sizeof(*all));
		memcpy(all + at, rules->rule + at + part, (less.n - at) * sizeof(*all));
		if (still_wrong(&less, key)) {
			memcpy(rules->rule, all, less.n * sizeof(*all));
			rules->n = less.n;
			shrunk = true;
		} else {
			at += part;
		}
	}
	free(all);
	return shrunk;
}

/* Prints the packet and as few rules as the list is still wrong with. */
static void show_failure(const struct list *l, const struct acl_key *key)
{
	struct acl_rules rules = {.rule = malloc((l->rules.n + 1) * sizeof(*rules.rule))};
	double end = now() + 10;

	if (!rules.rule)
		return;
	rules.n = l->rules.n;
	memcpy(rules.rule, l->rules.rule, rules.n * sizeof(*rules.rule));
	for (__u32 part = (rules.n + 1) / 2; part && now() < end;) {
		bool shrunk = shrink(&rules, part, key, end);

		part = shrunk && part == 1 ? 1 : part / 2;
	}
	tap_remark("  wrong with %u rules", rules.n);
	for (__u32 i = 0; i < rules.n && i < SHOWN; i++)
		show_rule(&rules.rule[i]);
	show_key(key);
	free(rules.rule);
}

static void check_packet(struct list *l, const struct acl_key *key)
{
	struct acl_work work;
	__u64 got;

	if (list_right(l, key))
		return;
	got = acl_native(l->lines, l->n_lines, key, &work);
	tap_fail("got %" PRIx64 ", want %" PRIx64 "; %u of %u probes, %u of %u steps",
		 (uint64_t)got, (uint64_t)acl_rules_scan(&l->rules, key), work.probes,
		 l->cert.probes, work.steps, l->cert.steps);
	show_failure(l, key);
}

/* Packets that fit rules, mixtures of such, and others just beside them. */
static void check_packets(struct list *l, __u32 n, struct acl_random *random)
{
	for (__u32 i = 0; i < n && l->wrong < WRONG_MAX; i++) {
		struct acl_key key = acl_packet(&l->rules, random);

		check_packet(l, &key);
	}
}

/* The kernel's answers are the native ones. */
static void check_kernel(struct list *l, struct acl_random *random)
{
	struct acl_key *key = calloc(KERNEL_PACKETS, sizeof(*key));
	__u64 *got = calloc(KERNEL_PACKETS, sizeof(*got)), ns;
	__u32 wrong = 0;
	int err;

	for (__u32 i = 0; i < KERNEL_PACKETS; i++)
		key[i] = acl_packet(&l->rules, random);
	err = acl_kernel_list(&kernel, l->lines, l->n_lines);
	if (!err)
		err = acl_kernel_packets(&kernel, key, KERNEL_PACKETS);
	if (!err)
		err = acl_kernel_ask(&kernel, ACL_KERNEL_LIST, KERNEL_PACKETS, &ns, got);
	if (err)
		tap_fail("kernel: %s", strerror(-err));
	for (__u32 i = 0; !err && i < KERNEL_PACKETS; i++) {
		if (got[i] == acl_native(l->lines, l->n_lines, &key[i], NULL) || wrong++)
			continue;
		tap_fail("kernel: got %" PRIx64, (uint64_t)got[i]);
		show_key(&key[i]);
	}
	if (wrong)
		tap_fail("kernel: wrong about %u packets of %u", wrong, KERNEL_PACKETS);
	free(key);
	free(got);
}

/* ---- tests ---- */

static void test_set(const char *set, const char *size, __u32 packets)
{
	struct acl_random random = {1};
	struct list l = {};
	char path[sizeof(directory) + 32];
	double start;
	int err;

	tap_begin("%s_%s: what a scan of the rules says", set, size);
	snprintf(path, sizeof(path), "%s/%s_%s.xz", directory, set, size);
	err = acl_rules_read(path, ~0U, &l.rules);
	if (err)
		tap_fail("%s: %s", path, strerror(-err));
	start = now();
	if (!err && list_compile(&l)) {
		tap_fail("%s", err_message());
	} else if (!err) {
		tap_remark(
			"%s_%s: %u rules, %.0f ms, %u kB, %u tuples, certified %u probes, %u steps",
			set, size, l.rules.n, (now() - start) * 1e3, l.n_lines * ACL_LINE / 1000,
			l.cert.tuples, l.cert.probes, l.cert.steps);
		check_packets(&l, packets, &random);
		EXPECT(l.matched > packets / 4);
		check_kernel(&l, &random);
		tap_remark("%s_%s: seen %u probes, %u steps", set, size, l.most.probes,
			   l.most.steps);
	}
	list_free(&l);
	tap_end();
}

/* The small sets in their place, and a larger one under way. */
static void test_late(void)
{
	static const char *const names[] = {"acl1_1k", "fw1_1k", "ipc1_1k", "fw1_10k"};
	struct acl_random random = {time(NULL)};
	char path[sizeof(directory) + 32];
	struct acl_rules rules;
	int err;

	for (__u32 i = 0; i < sizeof(names) / sizeof(*names); i++) {
		tap_begin("%s, changed in its place", names[i]);
		tap_step("seed %" PRIu64, (uint64_t)random.state);
		snprintf(path, sizeof(path), "%s/%s.xz", directory, names[i]);
		err = acl_rules_read(path, ~0U, &rules);
		if (err)
			tap_fail("%s: %s", path, strerror(-err));
		for (int k = 0; !err && k < (duration ? 1 : 5); k++) {
			acl_late_changes(&rules, 24, &random, &kernel);
			acl_late_race(&rules, &random);
		}
		acl_rules_free(&rules);
		tap_step("%s", "");
		tap_end();
	}
}

static void test_sets(void)
{
	for (__u32 i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
		test_set(sets[i], "1k", duration ? 2000 : 20000);
		if (duration)
			continue;
		test_set(sets[i], "10k", 20000);
		test_set(sets[i], "100k", 10000);
	}
}

/* A list that the seed determines: most often a short one. */
static void check_random_list(__u64 seed)
{
	static const __u32 most[] = {40, 40, 40, 40, 40, 40, 40, 500, 500, 3000};
	struct acl_random random = {seed * 1000003};
	__u32 limit = most[acl_random_below(&random, sizeof(most) / sizeof(*most))];
	struct list l = {};

	limit = acl_random_below(&random, limit) + 1;
	if (acl_rules_random(limit, &random, &l.rules)) {
		tap_fail("out of memory");
		return;
	}
	tap_step("seed %" PRIu64 ", %u rules", (uint64_t)seed, l.rules.n);
	if (!list_compile(&l)) {
		check_packets(&l, 200, &random);
		if (!(seed % 64))
			check_kernel(&l, &random);
		if (l.cert.tuples)
			acl_late_changes(&l.rules, 24, &random, seed % 16 ? NULL : &kernel);
	} else if (l.rules.n <= ACL_WORK_MAX - 8) {
		tap_fail("%s", err_message());
	}
	list_free(&l);
}

static void test_random(void)
{
	const char *given = getenv("SEED");
	__u64 seed = given ? strtoull(given, NULL, 10) : (__u64)time(NULL), first = seed;

	tap_begin("lists at random: what a scan of the rules says");
	for (double end = now() + (duration ? duration : 5); now() < end; seed++)
		check_random_list(seed);
	tap_step("%s", "");
	tap_remark("seeds %" PRIu64 " to %" PRIu64, (uint64_t)first, (uint64_t)seed - 1);
	tap_end();
}

/* A list of n rules that make_rule() makes, compiled. */
static bool list_make(struct list *l, __u32 n, void (*make_rule)(__u32 i, struct acl_rule *r))
{
	*l = (struct list){.rules = {.rule = calloc(n + 1, sizeof(struct acl_rule)), .n = n}};
	for (__u32 i = 0; i < n; i++) {
		l->rules.rule[i] = (struct acl_rule){.sport_max = 0xffff, .dport_max = 0xffff};
		make_rule(i, &l->rules.rule[i]);
		l->rules.rule[i].prio = i + 1;
		l->rules.rule[i].counter = i;
		l->rules.rule[i].action = ACL_ALLOW + i % 3;
	}
	if (acl_rules_ready(&l->rules))
		return false;
	return !list_compile(l);
}

static void ask_tcp(struct acl_rule *r)
{
	r->misc = ACL_MISC_FAMILY(ACL_IP) | ACL_MISC_PROTO(6) | ACL_MISC_HAS_L4;
	r->misc_mask = ACL_MISC_FAMILY_MASK | ACL_MISC_PROTO_MASK | ACL_MISC_HAS_L4;
}

static void rule_of_ports(__u32 i, struct acl_rule *r)
{
	ask_tcp(r);
	r->dport_min = 6 * i;
	r->dport_max = 6 * i + 4;
}

static void rule_of_all(__u32 i, struct acl_rule *r)
{
	ask_tcp(r);
}

/* Nothing in common: all prefix lengths, any ranges. */
static void rule_of_any(__u32 i, struct acl_rule *r)
{
	struct acl_random random = {i};
	__u16 ports[4];

	ask_tcp(r);
	r->src_mask[0] = ~0ULL << 32 << acl_random_below(&random, 32);
	r->dst_mask[0] = ~0ULL << 32 << acl_random_below(&random, 32);
	r->src[0] = acl_random(&random) & r->src_mask[0];
	r->dst[0] = acl_random(&random) & r->dst_mask[0];
	for (int k = 0; k < 4; k++)
		ports[k] = acl_random(&random);
	r->sport_min = ports[0] < ports[1] ? ports[0] : ports[1];
	r->sport_max = ports[0] < ports[1] ? ports[1] : ports[0];
	r->dport_min = ports[2] < ports[3] ? ports[2] : ports[3];
	r->dport_max = ports[2] < ports[3] ? ports[3] : ports[2];
}

/* Around the same ports, none inside another. */
static void rule_of_nested_ports(__u32 i, struct acl_rule *r)
{
	ask_tcp(r);
	r->sport_min = 32767 - i;
	r->sport_max = 65535 - i;
}

/* Each is inside an earlier one, or reaches beyond all of them. */
static void rule_of_ranges(__u32 i, struct acl_rule *r)
{
	struct acl_random random = {i};
	__u16 a = acl_random(&random), b = acl_random(&random);

	ask_tcp(r);
	r->dport_min = a < b ? a : b;
	r->dport_max = a < b ? b : a;
}

static void rule_of_hosts6(__u32 i, struct acl_rule *r)
{
	ask_tcp(r);
	r->misc ^= ACL_MISC_FAMILY(ACL_IP) | ACL_MISC_FAMILY(ACL_IP6);
	r->src_mask[0] = r->src_mask[1] = r->dst_mask[0] = ~0ULL;
	r->src[0] = 0x20010db800000000 + i % 5;
	r->src[1] = i;
	r->dst[0] = 0x20010db8ffff0000 + i % 7;
}

static void test_made(const char *name, __u32 n, void (*make_rule)(__u32 i, struct acl_rule *r),
		      __u32 most_work)
{
	struct acl_random random = {n};
	struct list l;

	tap_begin("%u rules, %s", n, name);
	if (!list_make(&l, n, make_rule)) {
		tap_fail("%s", err_message());
	} else {
		tap_remark("%u tuples, certified %u probes, %u steps", l.cert.tuples, l.cert.probes,
			   l.cert.steps);
		if (l.cert.probes + l.cert.steps > most_work)
			tap_fail("%u probes, %u steps", l.cert.probes, l.cert.steps);
		check_packets(&l, 1000, &random);
		if (n)
			check_kernel(&l, &random);
	}
	list_free(&l);
	tap_end();
}

static void test_refused(const char *name, __u32 n, void (*make_rule)(__u32 i, struct acl_rule *r),
			 int err)
{
	struct list l;

	tap_begin("%u rules, %s, are refused", n, name);
	if (list_make(&l, n, make_rule))
		tap_fail("%u tuples, %u probes, %u steps", l.cert.tuples, l.cert.probes,
			 l.cert.steps);
	else if (list_compile(&l) != -err)
		tap_fail("%s", err_message());
	tap_remark("%s", err_message());
	list_free(&l);
	tap_end();
}

static void test_empty(void)
{
	struct acl_key key = {};
	struct list l;

	tap_begin("a list without rules says nothing");
	EXPECT(list_make(&l, 0, rule_of_all));
	EXPECT(l.n_lines && !acl_native(l.lines, l.n_lines, &key, NULL));
	list_free(&l);
	tap_end();
}

int main(int argc, char **argv)
{
	char *slash;
	int err;

	snprintf(directory, sizeof(directory) - 32, "%s", argv[0]);
	slash = strrchr(directory, '/');
	snprintf(slash ? slash + 1 : directory, 32, "../../tests/classbench");
	if (getenv("DURATION"))
		duration = atof(getenv("DURATION"));
	err = acl_kernel_open(&kernel);
	if (err) {
		printf("Bail out! the matcher cannot be loaded: %s\n", strerror(-err));
		return 1;
	}
	if (argc > 1 && !strcmp(argv[1], "bench"))
		return acl_bench(&kernel, directory);
	test_empty();
	test_sets();
	for (__u32 n = 1; n <= 3; n++)
		test_made("at the edge of having an index", ACL_LINEAR_MAX - 2 + n, rule_of_any,
			  64);
	test_made("of any prefixes and ranges", 500, rule_of_any, ACL_WORK_MAX);
	test_made("of disjoint port ranges", 10000, rule_of_ports, 40);
	test_made("of IPv6 hosts", 5000, rule_of_hosts6, 16);
	test_made("of any port ranges", 20000, rule_of_ranges, 256);
	test_made("all the same", 20000, rule_of_all, 4);
	test_refused("of ranges around the same ports", 2000, rule_of_nested_ports, ENOSPC);
	test_refused("all the same", ACL_RULE_MAX + 1, rule_of_all, E2BIG);
	test_late();
	test_random();
	acl_kernel_close(&kernel);
	return tap_done();
}
