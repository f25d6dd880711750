// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Access control lists in the kernel. A change goes: counters for rules that have none, the new
 * list made and filled, one update of acl_lists, then what follows from it. Killed before the
 * update, the old list is in force and acl_repair() takes back the counters; killed after
 * it, the repair derives the rest anew.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "acl.h"
#include "err.h"
#include "flow.h"
#include "map.h"
#include "port.h"

#define NO_COUNTER ACL_COUNTER_MAX /* a rule's that has none yet */

static const struct map_kind list_kind = {
	.type = BPF_MAP_TYPE_ARRAY,
	.name = "acl_list",
	.value = "acl_rule",
	.value_size = sizeof(struct acl_rule),
	.flags = BPF_F_INNER_MAP | BPF_F_MMAPABLE,
};
static const struct map_kind chunk_kind = {
	.type = BPF_MAP_TYPE_PERCPU_ARRAY,
	.name = "acl_counts",
	.value = "acl_counter",
	.value_size = sizeof(struct acl_counter),
};

/* ---- whose list it is ---- */

static bool is_network_list(__u32 list)
{
	return list >= ACL_NETWORK_LIST(0, ACL_IN);
}

static __u32 owner_of(__u32 list)
{
	return (is_network_list(list) ? list - ACL_NETWORK_LIST(0, ACL_IN) : list) / 2;
}

bool acl_exists(const struct state *s, __u32 list)
{
	__u32 id;

	return !bpf_map_lookup_elem(s->maps[MAP_ACL_LISTS], &list, &id);
}

void acl_policy(const struct state *s, __u32 port, union port_policy *p)
{
	bool network = p->network && !p->uplink;

	p->list_in = acl_exists(s, ACL_PORT_LIST(port, ACL_IN));
	p->list_out = acl_exists(s, ACL_PORT_LIST(port, ACL_OUT));
	p->net_list_in = network && acl_exists(s, ACL_NETWORK_LIST(p->network, ACL_IN));
	p->net_list_out = network && acl_exists(s, ACL_NETWORK_LIST(p->network, ACL_OUT));
	p->track = p->list_in || p->list_out || p->net_list_in || p->net_list_out || p->deny_in ||
		   p->deny_out || s->ports[port].conn_max;
}

/* The port's packets are judged by another list than before, or by one less or more. */
static void judge_port(struct state *s, __u32 port)
{
	union port_policy policy = s->ports[port].policy;

	acl_policy(s, port, &policy);
	__atomic_store_n(&s->ports[port].policy.raw, policy.raw, __ATOMIC_RELEASE);
	port_judge_anew(s, port);
}

static void judge_owner(struct state *s, __u32 list)
{
	__u32 owner = owner_of(list);

	if (!is_network_list(list)) {
		judge_port(s, owner);
		return;
	}
	for (__u32 at = s->networks[owner].members; at; at = s->ports[at].next)
		if (!s->ports[at].policy.uplink)
			judge_port(s, at);
}

/* ---- reading ---- */

static int unreadable(int err)
{
	return fail(err, "acl: a list cannot be read: %s", strerror(err < 0 ? -err : err));
}

/* Maps the lines of a list; *lines: how many. Returns NULL without one or with *err set. */
static const struct acl_rule *view_list(const struct state *s, __u32 list, __u32 *lines, int *err)
{
	int fd = map_inner(s->maps[MAP_ACL_LISTS], list);
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	void *at;

	*err = fd == -ENOENT || fd >= 0 ? 0 : unreadable(fd);
	if (fd < 0)
		return NULL;
	if (bpf_obj_get_info_by_fd(fd, &info, &len)) {
		*err = unreadable(errno);
		close(fd);
		return NULL;
	}
	*lines = info.max_entries;
	at = mmap(NULL, (size_t)*lines * ACL_LINE, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (at == MAP_FAILED)
		*err = unreadable(errno);
	close(fd);
	return *err ? NULL : at;
}

int acl_read(const struct state *s, __u32 list, struct acl_rules *rules,
	     struct acl_certificate *cert)
{
	const struct acl_rule *view;
	const struct acl_header *h;
	struct acl_rules r = {};
	__u32 lines;
	int err;

	view = view_list(s, list, &lines, &err);
	if (view) {
		h = (const struct acl_header *)view;
		r.n = h->rules < lines ? h->rules : lines - 1;
		r.at = malloc((r.n ?: 1) * sizeof(*r.at));
		if (r.at)
			memcpy(r.at, view + 1, r.n * sizeof(*r.at));
		else
			err = fail(ENOMEM, "acl: out of memory");
		if (cert)
			*cert = (struct acl_certificate){
				.tuples = h->tuples, .probes = h->probes, .steps = h->steps};
		munmap((void *)view, (size_t)lines * ACL_LINE);
	} else if (cert) {
		*cert = (struct acl_certificate){};
	}
	if (!err)
		*rules = r;
	return err;
}

/* ---- counters ---- */

static bool take_number(struct state *s, __u32 *hint, __u32 *number)
{
	for (__u32 tries = 0; tries < ACL_COUNTER_MAX / 64; tries++) {
		__u32 word = (*hint + tries) % (ACL_COUNTER_MAX / 64);
		__u64 used = s->acl_numbers[word];

		if (!~used)
			continue;
		*hint = word;
		*number = word * 64 + __builtin_ctzll(~used);
		s->acl_numbers[word] = used | 1ULL << *number % 64;
		return true;
	}
	return false;
}

static void release_number(struct state *s, __u32 number)
{
	if (number < ACL_COUNTER_MAX)
		s->acl_numbers[number / 64] &= ~(1ULL << number % 64);
}

/* Makes the chunks of counters that are missing, all by one wait for the kernel. */
static int make_chunks(struct state *s, const bool *needed)
{
	__u32 places[ACL_COUNTER_CHUNKS], fds[ACL_COUNTER_CHUNKS], n = 0, id;
	int err = 0, fd;

	for (__u32 i = 0; i < ACL_COUNTER_CHUNKS && !err; i++) {
		if (!needed[i] || !bpf_map_lookup_elem(s->maps[MAP_ACL_COUNTERS], &i, &id))
			continue;
		fd = map_make(s, &chunk_kind, ACL_COUNTER_CHUNK);
		err = fd < 0 ? fd : 0;
		if (!err) {
			places[n] = i;
			fds[n++] = fd;
		}
	}
	if (!err && n) {
		id = n;
		err = bpf_map_update_batch(s->maps[MAP_ACL_COUNTERS], places, fds, &id, NULL);
	}
	for (__u32 i = 0; i < n; i++)
		close(fds[i]);
	return err ? fail(err, "acl: counters cannot be made: %s", strerror(-err)) : 0;
}

/* Numbers that rules have just been given, ascending within a chunk; their counters start at 0. */
static int clear_numbers(struct state *s, const __u32 *numbers, __u32 n)
{
	__u32 places[ACL_COUNTER_CHUNK], count, chunk;
	struct acl_counter *zero;
	int err = 0, fd;

	zero = calloc(ACL_COUNTER_CHUNK, libbpf_num_possible_cpus() * sizeof(*zero));
	if (!zero)
		return fail(ENOMEM, "acl: out of memory");
	for (__u32 i = 0; i < n && !err; i += count) {
		chunk = numbers[i] / ACL_COUNTER_CHUNK;
		for (count = 0; count < ACL_COUNTER_CHUNK && i + count < n; count++) {
			if (numbers[i + count] / ACL_COUNTER_CHUNK != chunk)
				break;
			places[count] = numbers[i + count] % ACL_COUNTER_CHUNK;
		}
		fd = map_inner(s->maps[MAP_ACL_COUNTERS], chunk);
		err = fd < 0 ? fd : bpf_map_update_batch(fd, places, zero, &(__u32){count}, NULL);
		if (fd >= 0)
			close(fd);
	}
	free(zero);
	return err ? fail(err, "acl: counters cannot be cleared: %s", strerror(-err)) : 0;
}

static int make_counters(struct state *s, const __u32 *numbers, __u32 n)
{
	bool needed[ACL_COUNTER_CHUNKS] = {};

	for (__u32 i = 0; i < n; i++)
		needed[numbers[i] / ACL_COUNTER_CHUNK] = true;
	return make_chunks(s, needed) ?: clear_numbers(s, numbers, n);
}

static int read_chunk(const struct state *s, __u32 chunk, struct acl_counter *sums)
{
	int cpus = libbpf_num_possible_cpus(), err;
	int fd = map_inner(s->maps[MAP_ACL_COUNTERS], chunk);
	__u32 keys[ACL_COUNTER_CHUNK], at, n = ACL_COUNTER_CHUNK;
	struct acl_counter *each;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	each = calloc(n * cpus, sizeof(*each));
	err = each ? bpf_map_lookup_batch(fd, NULL, &at, keys, each, &n, NULL) : -ENOMEM;
	if (err == -ENOENT)
		err = 0;
	for (__u32 i = 0; i < n * cpus && !err; i++) {
		sums[keys[i / cpus]].packets += each[i].packets;
		sums[keys[i / cpus]].bytes += each[i].bytes;
	}
	free(each);
	close(fd);
	return err;
}

int acl_count(const struct state *s, struct acl_totals *t, const struct acl_rule *r,
	      struct acl_counter *out)
{
	__u32 chunk = r->counter / ACL_COUNTER_CHUNK % ACL_COUNTER_CHUNKS;
	int err = 0;

	if (!t->chunk[chunk]) {
		t->chunk[chunk] = calloc(ACL_COUNTER_CHUNK, sizeof(*t->chunk[chunk]));
		err = t->chunk[chunk] ? read_chunk(s, chunk, t->chunk[chunk]) : -ENOMEM;
	}
	if (err)
		return fail(err, "acl: counters cannot be read: %s", strerror(-err));
	*out = t->chunk[chunk][r->counter % ACL_COUNTER_CHUNK];
	return 0;
}

void acl_totals_free(struct acl_totals *t)
{
	for (int i = 0; i < ACL_COUNTER_CHUNKS; i++)
		free(t->chunk[i]);
}

__u32 acl_rules_used(const struct state *s)
{
	__u32 n = 0;

	for (__u32 i = 0; i < ACL_COUNTER_MAX / 64; i++)
		n += __builtin_popcountll(s->acl_numbers[i]);
	return n;
}

/* ---- which rules stay the same ---- */

static __u32 rule_hash(const struct acl_rule *r)
{
	__u64 word, h = r->action ^ (r->flags & ACL_RULE_LOG) << 8;

	for (size_t i = 0; i < offsetof(struct acl_rule, prio); i += sizeof(word)) {
		memcpy(&word, (const char *)r + i, sizeof(word));
		h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 29;
	}
	return h >> 32;
}

/*
 * Gives each rule of `new` the number of one of `old` that is the same; equal ones are paired
 * in order. left[i]: old rule i is in nobody's place. Rules without a partner get NO_COUNTER.
 */
static int pair_rules(const struct acl_rules *old, struct acl_rules *new, bool *left)
{
	__u32 size = 16, at, *table, *chain;

	while (size < old->n * 2)
		size *= 2;
	table = calloc(size, sizeof(*table)); /* rule + 1, 0: free */
	chain = calloc(old->n + 1, sizeof(*chain));
	if (!table || !chain) {
		free(table);
		free(chain);
		return fail(ENOMEM, "acl: out of memory");
	}
	for (__u32 i = old->n; i-- > 0;) { /* the last first, so that chains ascend */
		at = rule_hash(&old->at[i]) & (size - 1);
		while (table[at] && !acl_rule_same(&old->at[table[at] - 1], &old->at[i]))
			at = (at + 1) & (size - 1);
		chain[i] = table[at];
		table[at] = i + 1;
		left[i] = true;
	}
	for (__u32 i = 0; i < new->n; i++) {
		at = rule_hash(&new->at[i]) & (size - 1);
		while (table[at] && !acl_rule_same(&old->at[table[at] - 1], &new->at[i]))
			at = (at + 1) & (size - 1);
		new->at[i].counter = NO_COUNTER;
		if (!table[at] || !left[table[at] - 1])
			continue;
		new->at[i].counter = old->at[table[at] - 1].counter;
		left[table[at] - 1] = false;
		if (chain[table[at] - 1]) /* the last of a chain keeps the place of all */
			table[at] = chain[table[at] - 1];
	}
	free(table);
	free(chain);
	return 0;
}

/* Numbers for rules that have none; *fresh: those numbers, the caller's to free and release. */
static int number_rules(struct state *s, struct acl_rules *new, __u32 **fresh, __u32 *n)
{
	__u32 hint = 0, *numbers = malloc((new->n ?: 1) * sizeof(*numbers));

	*n = 0;
	*fresh = numbers;
	if (!numbers)
		return fail(ENOMEM, "acl: out of memory");
	for (__u32 i = 0; i < new->n; i++) {
		if (new->at[i].counter != NO_COUNTER)
			continue;
		if (!take_number(s, &hint, &new->at[i].counter))
			return fail(ENOSPC, "acl: all lists together hold %u rules",
				    ACL_COUNTER_MAX);
		numbers[(*n)++] = new->at[i].counter;
	}
	return *n ? make_counters(s, numbers, *n) : 0;
}

/* ---- replacing ---- */

/* A map with these lines. Returns its fd or -errno, with a message. */
static int make_list(const struct state *s, const struct acl_rule *lines, __u32 n)
{
	size_t size = (size_t)n * ACL_LINE;
	int fd = map_make(s, &list_kind, n);
	void *at;

	if (fd < 0)
		return fail(fd, "acl: a list of %zu MB cannot be made: %s", size >> 20,
			    strerror(-fd));
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (at == MAP_FAILED) {
		fail(errno, "acl: a list cannot be filled: %s", strerror(errno));
		close(fd);
		return -EIO;
	}
	memcpy(at, lines, size);
	munmap(at, size);
	return fd;
}

/* The update itself; when it returns, no packet is in the old list any more. */
static int swap_list(struct state *s, __u32 list, const struct acl_rules *new)
{
	struct acl_certificate cert;
	struct acl_rule *lines;
	__u32 n;
	int err, fd;

	if (!new->n) {
		err = acl_exists(s, list) ? bpf_map_delete_elem(s->maps[MAP_ACL_LISTS], &list) : 0;
		return err ? fail(err, "acl: a list cannot be removed: %s", strerror(-err)) : 0;
	}
	err = acl_compile(new->at, new->n, &lines, &n, &cert);
	if (err)
		return err;
	fd = make_list(s, lines, n);
	free(lines);
	if (fd < 0)
		return fd;
	err = bpf_map_update_elem(s->maps[MAP_ACL_LISTS], &list, &fd, BPF_ANY);
	close(fd);
	return err ? fail(err, "acl: a list cannot be put into its place: %s", strerror(-err)) : 0;
}

int acl_replace(struct state *s, __u32 list, const struct acl_rules *old, struct acl_rules *new)
{
	bool *left = calloc(old->n + 1, sizeof(*left));
	__u32 *fresh = NULL, n = 0;
	int err = left ? 0 : fail(ENOMEM, "acl: out of memory");

	if (!err && new->n > ACL_RULE_MAX)
		err = fail(E2BIG, "acl: %u rules: a list holds %u", new->n, ACL_RULE_MAX);
	state_begin(s);
	if (new->n)
		err = err ?: flow_tables_make(s);
	err = err ?: pair_rules(old, new, left);
	err = err ?: number_rules(s, new, &fresh, &n);
	err = err ?: swap_list(s, list, new);
	if (err) {
		for (__u32 i = 0; i < n; i++)
			release_number(s, fresh[i]);
	} else {
		for (__u32 i = 0; i < old->n; i++)
			if (left[i])
				release_number(s, old->at[i].counter);
		judge_owner(s, list);
	}
	state_end(s);
	free(fresh);
	free(left);
	return err;
}

void acl_forget(struct state *s, __u32 list)
{
	struct acl_rules rules = {};

	/* A data plane that ends takes all lists along. */
	if (!s->meta->ready || !acl_exists(s, list))
		return;
	if (acl_read(s, list, &rules, NULL))
		err_clear();
	bpf_map_delete_elem(s->maps[MAP_ACL_LISTS], &list);
	for (__u32 i = 0; i < rules.n; i++)
		release_number(s, rules.at[i].counter);
	free(rules.at);
}

/* ---- repair ---- */

static bool has_owner(const struct state *s, __u32 list)
{
	__u32 owner = owner_of(list);
	struct network_info network;
	struct port_info port;

	return is_network_list(list)
		       ? !bpf_map_lookup_elem(s->maps[MAP_NETWORK_INFO], &owner, &network)
		       : !bpf_map_lookup_elem(s->maps[MAP_PORT_INFO], &owner, &port);
}

int acl_repair(struct state *s)
{
	__u64 *used = calloc(ACL_COUNTER_MAX / 64, sizeof(*used));
	struct acl_rules rules;
	int err = used ? 0 : fail(ENOMEM, "acl: out of memory");

	for (__u32 list = 0; list < ACL_LISTS && !err; list++) {
		if (!acl_exists(s, list))
			continue;
		if (!has_owner(s, list)) {
			bpf_map_delete_elem(s->maps[MAP_ACL_LISTS], &list);
			continue;
		}
		err = acl_read(s, list, &rules, NULL);
		for (__u32 i = 0; i < rules.n && !err; i++)
			used[rules.at[i].counter / 64 % (ACL_COUNTER_MAX / 64)] |=
				1ULL << rules.at[i].counter % 64;
		if (!err)
			free(rules.at);
	}
	if (!err)
		memcpy(s->acl_numbers, used, ACL_COUNTER_MAX / 8);
	free(used);
	return err;
}
