// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* See acl_late.h. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "../loader/acl_compile.h"
#include "../loader/err.h"
#include "acl_late.h"
#include "acl_native.h"
#include "tap.h"

/* The command dies instead of one of its stores. */
static jmp_buf death;
static int stores_left = -1; /* until then, -1: it lives */
#define __atomic_store_n(at, value, order) \
	(stores_left-- ? (void)(*(volatile __typeof__(*(at)) *)(at) = (value)) : longjmp(death, 1))
#include "../loader/acl_late.c"
#undef __atomic_store_n

#define SPREAD	 16 /* prios between two rules */
#define PACKETS	 40 /* looked up after a change */
#define VERSIONS (2 * ACL_LATE_MAX)

/* A list, and the rules that it has to have. */
struct subject {
	struct acl_rules rules;
	struct acl_rule *lines;
	__u32 n_lines;
	struct acl_certificate cert;
	__u32 numbers; /* given to rules as counters */
};

struct change {
	struct acl_rule rule;
	bool add;
};

/* ---- lists ---- */

static int copy_list(const struct acl_rules *from, __u32 room, struct acl_rules *to)
{
	*to = (struct acl_rules){.rule = calloc(from->n + room, sizeof(*to->rule)), .n = from->n};
	if (!to->rule)
		return -ENOMEM;
	memcpy(to->rule, from->rule, from->n * sizeof(*to->rule));
	return acl_rules_ready(to);
}

static int subject_make(const struct acl_rules *rules, struct subject *s)
{
	int err;

	*s = (struct subject){.numbers = rules->n};
	err = copy_list(rules, VERSIONS, &s->rules);
	for (__u32 i = 0; !err && i < rules->n; i++)
		s->rules.rule[i].prio = (i + 1) * SPREAD;
	return err ? err : acl_compile(s->rules.rule, s->rules.n, &s->lines, &s->n_lines, &s->cert);
}

static void subject_free(struct subject *s)
{
	acl_rules_free(&s->rules);
	free(s->lines);
}

/* What a change makes of the rules. */
static void change_rules(struct acl_rules *rules, const struct change *c)
{
	__u32 at = 0, rest;

	while (at < rules->n && rules->rule[at].prio < c->rule.prio)
		at++;
	rest = rules->n - at - !c->add;
	memmove(&rules->rule[at + c->add], &rules->rule[at + !c->add], rest * sizeof(c->rule));
	if (c->add)
		rules->rule[at] = c->rule;
	rules->n += c->add ? 1 : -1;
	if (acl_rules_ready(rules))
		tap_fail("out of memory");
}

static int change_lines(struct acl_rule *lines, const struct change *c)
{
	if (!c->add)
		return acl_late_del(lines, acl_late_find(lines, c->rule.prio));
	if (!acl_late_room(lines))
		return -ENOSPC;
	acl_late_add(lines, &c->rule);
	return 0;
}

/*
 * Adds a rule like one that there is, before, between or behind others; or deletes one, most
 * often one of the first, which may have kept others out of the index.
 */
static struct change draw_change(struct subject *s, struct acl_random *random)
{
	__u32 most = acl_random_below(random, 2) ? s->rules.n : (s->rules.n + 7) / 8;
	struct change c = {.add = acl_random_below(random, 3) || s->rules.n < 2};
	struct acl_rule *r = &c.rule;

	*r = s->rules.rule[acl_random_below(random, most)];
	if (!c.add)
		return c;
	if (!acl_random_below(random, 3))
		r->src[0] = r->src[1] = r->src_mask[0] = r->src_mask[1] = 0;
	if (!acl_random_below(random, 3)) {
		r->dport_min = 0;
		r->dport_max = 0xffff;
	}
	do
		r->prio = 1 + acl_random_below(random, s->rules.rule[most - 1].prio + SPREAD);
	while (acl_rules_has(&s->rules, r->prio));
	r->counter = s->numbers++;
	r->action = ACL_ALLOW + acl_random_below(random, 3);
	return c;
}

/* ---- what is right ---- */

static bool shows(const struct acl_rule *lines, const struct acl_rules *rules)
{
	const struct acl_header *h = (const struct acl_header *)lines;
	struct acl_rule *shown = calloc(h->rules + ACL_LATE_MAX, sizeof(*shown));
	bool right = shown && acl_late_rules(lines, shown) == rules->n &&
		     !memcmp(shown, rules->rule, rules->n * sizeof(*shown)) &&
		     acl_late_last(lines) == (rules->n ? rules->rule[rules->n - 1].prio : 0);

	free(shown);
	return right;
}

/* Packets around a rule, and around others. */
static struct acl_key draw_packet(const struct acl_rules *rules, const struct acl_rule *rule,
				  struct acl_random *random)
{
	return acl_random_below(random, 2) ? acl_packet_for(rule, random)
					   : acl_packet(rules, random);
}

static void check_packets(struct subject *s, const struct change *c, struct acl_random *random)
{
	__u32 steps = s->cert.steps + acl_late_steps(s->lines);

	for (__u32 i = 0; i < PACKETS; i++) {
		struct acl_key key = draw_packet(&s->rules, &c->rule, random);
		struct acl_work work;
		__u64 want = acl_rules_scan(&s->rules, &key);
		__u64 got = acl_native(s->lines, s->n_lines, &key, &work);

		if (got == want && work.probes <= s->cert.probes && work.steps <= steps)
			continue;
		tap_fail("%s of %u: got %" PRIx64 ", want %" PRIx64 "; %u of %u probes, %u of %u "
			 "steps",
			 c->add ? "add" : "del", c->rule.prio, (uint64_t)got, (uint64_t)want,
			 work.probes, s->cert.probes, work.steps, steps);
		return;
	}
}

/* Packets meet the old list or the new one; all of them, and what is shown, one after repair. */
static void check_dead(const struct subject *s, struct acl_rule *lines, const struct acl_rules *new,
		       const struct change *c, int stores, struct acl_random *random)
{
	const char *what = c->add ? "add" : "del";
	const struct acl_rules *is;

	for (int repaired = 0; repaired < 2; repaired++) {
		if (repaired)
			acl_late_repair(lines);
		is = shows(lines, new) ? new : &s->rules;
		if (!shows(lines, is))
			tap_fail("%s died after %d: mixed rules, %d", what, stores, repaired);
		for (__u32 i = 0; i < PACKETS; i++) {
			struct acl_key key = draw_packet(&s->rules, &c->rule, random);
			__u64 got = acl_native(lines, s->n_lines, &key, NULL);

			if (got != acl_rules_scan(is, &key) &&
			    (repaired || (got != acl_rules_scan(&s->rules, &key) &&
					  got != acl_rules_scan(new, &key))))
				tap_fail("%s died after %d: got %" PRIx64 ", %d", what, stores,
					 (uint64_t)got, repaired);
		}
	}
}

/* Kills a change at each of its stores; what is left must be good for the same change. */
static void check_deaths(const struct subject *s, const struct change *c, struct acl_random *random)
{
	struct acl_rule *lines = calloc(s->n_lines, sizeof(*lines));
	struct acl_rules new = {};
	volatile bool died = lines && !copy_list(&s->rules, 1, &new);

	if (died)
		change_rules(&new, c);
	for (volatile int stores = 0; died; stores++) {
		died = false;
		memcpy(lines, s->lines, s->n_lines * sizeof(*lines));
		stores_left = stores;
		if (setjmp(death))
			died = true;
		else
			change_lines(lines, c);
		stores_left = -1;
		if (!died)
			break;
		check_dead(s, lines, &new, c, stores, random);
		if (shows(lines, &s->rules) && !change_lines(lines, c) && !shows(lines, &new))
			tap_fail("died after %d, and again: mixed rules", stores);
	}
	acl_rules_free(&new);
	free(lines);
}

static void check_kernel(struct subject *s, struct acl_kernel *kernel, struct acl_random *random)
{
	struct acl_key key[1024];
	__u64 got[1024], ns;
	int err = acl_kernel_list(kernel, s->lines, s->n_lines);

	for (__u32 i = 0; i < 1024; i++)
		key[i] = acl_packet(&s->rules, random);
	err = err ?: acl_kernel_packets(kernel, key, 1024);
	err = err ?: acl_kernel_ask(kernel, ACL_KERNEL_LIST, 1024, &ns, got);
	if (err)
		tap_fail("kernel: %s", strerror(-err));
	for (__u32 i = 0; !err && i < 1024; i++)
		if (got[i] != acl_rules_scan(&s->rules, &key[i]))
			err = 1;
	if (err == 1)
		tap_fail("kernel: wrong about a changed list");
}

/* ---- tests ---- */

void acl_late_changes(const struct acl_rules *rules, __u32 changes, struct acl_random *random,
		      struct acl_kernel *kernel)
{
	bool deaths = rules->n < 1000;
	struct subject s;

	if (subject_make(rules, &s)) {
		tap_fail("%s", err_message());
		changes = 0;
	}
	for (__u32 i = 0; i < changes && i < VERSIONS; i++) {
		struct change c = draw_change(&s, random);
		int err;

		if (deaths)
			check_deaths(&s, &c, random);
		err = change_lines(s.lines, &c);
		if (!err)
			change_rules(&s.rules, &c);
		else if (err != -ENOSPC)
			tap_fail("%s", strerror(-err));
		if (!shows(s.lines, &s.rules))
			tap_fail("%s of %u: mixed rules", c.add ? "add" : "del", c.rule.prio);
		check_packets(&s, &c, random);
	}
	if (kernel && s.lines)
		check_kernel(&s, kernel, random);
	subject_free(&s);
}

/* Packets that are looked up during changes. */
struct race {
	struct subject s;
	struct acl_key key[PACKETS];
	__u64 want[VERSIONS + 1][PACKETS];
	__u32 version; /* the list is this one, or is being made the next */
	__u32 last;
	__u64 lookups;
	bool wrong;
};

static void *look_up(void *arg)
{
	struct race *r = arg;
	__u32 before, after;

	do {
		before = __atomic_load_n(&r->version, __ATOMIC_ACQUIRE);
		for (__u32 i = 0; i < PACKETS; i++) {
			__u32 from = __atomic_load_n(&r->version, __ATOMIC_ACQUIRE), v;
			__u64 got = acl_native(r->s.lines, r->s.n_lines, &r->key[i], NULL);

			after = __atomic_load_n(&r->version, __ATOMIC_ACQUIRE);
			for (v = from; v <= after + 1 && v <= r->last; v++)
				if (got == r->want[v][i])
					break;
			r->wrong |= v > after + 1 || v > r->last;
			r->lookups++;
		}
	} while (before < r->last);
	return NULL;
}

/* Changes that fit, and what each packet is told before and after each of them. */
static void prepare(struct race *r, struct change *changes, struct acl_random *random)
{
	struct acl_rule *lines = calloc(r->s.n_lines, sizeof(*lines));

	for (__u32 i = 0; i < PACKETS; i++)
		r->key[i] = acl_packet(&r->s.rules, random);
	if (lines)
		memcpy(lines, r->s.lines, r->s.n_lines * sizeof(*lines));
	for (__u32 v = 0; lines && v <= VERSIONS; v++) {
		for (__u32 i = 0; i < PACKETS; i++)
			r->want[v][i] = acl_rules_scan(&r->s.rules, &r->key[i]);
		r->last = v;
		if (v == VERSIONS)
			break;
		changes[v] = draw_change(&r->s, random);
		if (change_lines(lines, &changes[v]))
			break;
		change_rules(&r->s.rules, &changes[v]);
	}
	free(lines);
}

void acl_late_race(const struct acl_rules *rules, struct acl_random *random)
{
	static const struct timespec moment = {.tv_nsec = 1000000};
	static struct change changes[VERSIONS];
	static struct race r;
	pthread_t thread;

	r = (struct race){};
	if (subject_make(rules, &r.s)) {
		tap_fail("%s", err_message());
		return;
	}
	prepare(&r, changes, random);
	if (pthread_create(&thread, NULL, look_up, &r)) {
		tap_fail("no thread");
		return;
	}
	for (__u32 v = 0; v < r.last; v++) {
		nanosleep(&moment, NULL);
		if (change_lines(r.s.lines, &changes[v]))
			tap_fail("change %u does not fit", v);
		__atomic_add_fetch(&r.version, 1, __ATOMIC_RELEASE);
	}
	pthread_join(thread, NULL);
	if (r.wrong)
		tap_fail("a packet met neither the old list nor the new one");
	tap_remark("%u changes, %" PRIu64 " packets meanwhile", r.last, (uint64_t)r.lookups);
	subject_free(&r.s);
}
