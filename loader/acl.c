// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Access control lists in the kernel. A change goes: counters for rules that have none, the new
 * list made and filled, one update of acl_lists, then what follows from it. Killed before the
 * update, the old list is in force and acl_repair() takes back the counters; killed after
 * it, the repair derives the rest anew. A single rule of a long list is added or deleted in the
 * list's place while there is room for that (acl_late.h); a deleted one keeps its counter's number
 * until the list is made anew, as packets may have met it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "acl.h"
#include "acl_late.h"
#include "err.h"
#include "flow.h"
#include "map.h"
#include "port.h"

#define NO_COUNTER   ACL_COUNTER_MAX /* a rule's that has none yet */
#define NUMBER_WORDS (ACL_COUNTER_MAX / 64)
#define LONG_LIST    512 /* rules from which on a list is changed in its place */

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

	if (p->gateway) /* it has none, and the VMs' ports have theirs */
		return;
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
		network_awareness(s, s->ports[owner].policy.network);
		return;
	}
	for (__u32 at = s->networks[owner].members; at; at = s->ports[at].next)
		if (!s->ports[at].policy.uplink)
			judge_port(s, at);
	network_awareness(s, owner);
}

/* ---- reading ---- */

static int unreadable(int err)
{
	return fail(err, "acl: a list cannot be read: %s", strerror(err < 0 ? -err : err));
}

/* Opens the list behind an fd, which it closes. */
static int open_fd(int fd, struct acl_list *out)
{
	struct acl_header *h = MAP_FAILED;
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	size_t size;
	int err;

	err = bpf_obj_get_info_by_fd(fd, &info, &len);
	size = (size_t)info.max_entries * ACL_LINE;
	if (!err && info.value_size == ACL_LINE)
		h = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	err = h == MAP_FAILED ? unreadable(errno) : 0;
	close(fd);
	if (!err)
		*out = (struct acl_list){
			.cert = {.tuples = h->tuples, .probes = h->probes, .steps = h->steps},
			.lines = (struct acl_rule *)h,
			.size = size,
		};
	return err;
}

int acl_open(const struct state *s, __u32 list, struct acl_list *out)
{
	int fd = map_inner(s->maps[MAP_ACL_LISTS], list), err;

	*out = (struct acl_list){};
	if (fd < 0)
		return fd == -ENOENT ? 0 : unreadable(fd);
	err = open_fd(fd, out);
	if (!err)
		out->cert.steps += acl_late_steps(out->lines);
	return err;
}

int acl_read(struct acl_list *l)
{
	const struct acl_header *h = (const struct acl_header *)l->lines;

	if (!h || l->at)
		return 0;
	if (!acl_late_any(l->lines)) {
		l->at = l->lines + 1;
		l->n = h->rules;
		return 0;
	}
	l->own = malloc((h->rules + ACL_LATE_MAX) * sizeof(*l->own));
	if (!l->own)
		return fail(ENOMEM, "acl: out of memory");
	l->at = l->own;
	l->n = acl_late_rules(l->lines, l->own);
	return 0;
}

const struct acl_rule *acl_find(const struct acl_list *l, __u32 prio)
{
	return l->lines ? acl_late_find(l->lines, prio) : NULL;
}

__u32 acl_last(const struct acl_list *l)
{
	return l->lines ? acl_late_last(l->lines) : 0;
}

void acl_close(struct acl_list *l)
{
	if (l->lines)
		munmap(l->lines, l->size);
	free(l->own);
	*l = (struct acl_list){};
}

/* ---- counters ---- */

/* Numbers that are not free: those of all lists, and of lists that packets may still be in. */
struct taken {
	__u64 bits[NUMBER_WORDS];
	__u32 hint;
};

static void set_bit(__u64 *bits, __u32 number)
{
	bits[number / 64 % NUMBER_WORDS] |= 1ULL << number % 64;
}

/* Sets the bits of all numbers of a list, those of deleted rules too. Returns how many it has. */
static __u32 set_numbers(__u64 *bits, const struct acl_list *l)
{
	const struct acl_rule *r;
	__u32 n = 0;

	for (__u32 line = 1; line <= acl_late_end(l->lines); line++) {
		r = acl_late_line(l->lines, line);
		if (!r)
			continue;
		set_bit(bits, r->counter);
		n++;
	}
	return n;
}

/* The rules of a replaced list whose update the kernel has not ended yet (see put_list()). */
static void take_old(const struct state *s, __u32 id, struct taken *taken)
{
	int fd = bpf_map_get_fd_by_id(id);
	struct acl_list l;

	if (fd < 0 || open_fd(fd, &l))
		return;
	set_numbers(taken->bits, &l);
	acl_close(&l);
}

static struct taken *taken_numbers(const struct state *s)
{
	struct taken *taken = malloc(sizeof(*taken));

	if (!taken)
		return NULL;
	taken->hint = 0;
	memcpy(taken->bits, s->acl_numbers->used, sizeof(taken->bits));
	for (int i = 0; i < ACL_OLD_LISTS; i++)
		if (s->acl_numbers->old[i])
			take_old(s, s->acl_numbers->old[i], taken);
	return taken;
}

static bool take_number(struct state *s, struct taken *taken, __u32 *number)
{
	for (; taken->hint < NUMBER_WORDS; taken->hint++) {
		__u64 *bits = &taken->bits[taken->hint];

		if (!~*bits)
			continue;
		*number = taken->hint * 64 + __builtin_ctzll(~*bits);
		set_bit(taken->bits, *number);
		set_bit(s->acl_numbers->used, *number);
		return true;
	}
	return false;
}

static void release_number(struct state *s, __u32 number)
{
	if (number < ACL_COUNTER_MAX)
		s->acl_numbers->used[number / 64] &= ~(1ULL << number % 64);
}

/* The numbers of a list that is no more. */
static void release_numbers(struct state *s, const struct acl_list *l)
{
	const struct acl_rule *r;
	__u32 n = 0;

	for (__u32 line = 1; l->lines && line <= acl_late_end(l->lines); line++) {
		r = acl_late_line(l->lines, line);
		if (!r)
			continue;
		release_number(s, r->counter);
		n++;
	}
	s->acl_numbers->dead -= n - l->n;
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

	for (__u32 i = 0; i < NUMBER_WORDS; i++)
		n += __builtin_popcountll(s->acl_numbers->used[i]);
	return n - s->acl_numbers->dead;
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

/* Rules of an old list that have no partner in the new one yet, to be found by what they match. */
struct partners {
	const struct acl_list *old;
	__u32 *table; /* rule + 1, 0: free */
	__u32 size;
	__u32 *chain; /* rule + 1 of the next that is the same */
	bool *left;   /* rule i is in nobody's place */
};

/* The place of rules like this one: theirs, or a free one. */
static __u32 *partners_of(const struct partners *p, const struct acl_rule *r)
{
	__u32 at = rule_hash(r) & (p->size - 1);

	while (p->table[at] && !acl_rule_same(&p->old->at[p->table[at] - 1], r))
		at = (at + 1) & (p->size - 1);
	return &p->table[at];
}

/* Pairs what is left of `old` with rules of `new` that have no number, equal ones in order. */
static void pair_by_hash(struct partners *p, struct acl_rules *new)
{
	__u32 *place;

	for (__u32 i = p->old->n; i-- > 0;) { /* the last first: chains ascend */
		if (!p->left[i])
			continue;
		place = partners_of(p, &p->old->at[i]);
		p->chain[i] = *place;
		*place = i + 1;
	}
	for (__u32 i = 0; i < new->n; i++) {
		if (new->at[i].counter != NO_COUNTER)
			continue;
		place = partners_of(p, &new->at[i]);
		if (!*place || !p->left[*place - 1])
			continue;
		new->at[i].counter = p->old->at[*place - 1].counter;
		p->left[*place - 1] = false;
		if (p->chain[*place - 1]) /* the last of a chain keeps the place of all */
			*place = p->chain[*place - 1];
	}
}

/* Pairs rules that are the same and have the same prio. Returns how many of `old` are left. */
static __u32 pair_by_prio(const struct acl_list *old, struct acl_rules *new, bool *left)
{
	__u32 at = 0, paired = 0;

	for (__u32 i = 0; i < new->n; i++) {
		new->at[i].counter = NO_COUNTER;
		while (at < old->n && old->at[at].prio < new->at[i].prio)
			left[at++] = true;
		if (at == old->n || old->at[at].prio != new->at[i].prio ||
		    !acl_rule_same(&old->at[at], &new->at[i]))
			continue;
		new->at[i].counter = old->at[at++].counter;
		paired++;
	}
	while (at < old->n)
		left[at++] = true;
	return old->n - paired;
}

/*
 * Gives each rule of `new` the number of one of `old` that is the same: one of the same prio
 * first, then in order. left[i]: old rule i is in nobody's place. Rules without a partner get
 * NO_COUNTER.
 */
static int pair_rules(const struct acl_list *old, struct acl_rules *new, bool *left)
{
	__u32 n = pair_by_prio(old, new, left);
	struct partners p = {.old = old, .left = left, .size = 16};
	int err = 0;

	if (!n || old->n - n == new->n)
		return 0;
	while (p.size < n * 2)
		p.size *= 2;
	p.table = calloc(p.size, sizeof(*p.table));
	p.chain = calloc(old->n, sizeof(*p.chain));
	if (p.table && p.chain)
		pair_by_hash(&p, new);
	else
		err = fail(ENOMEM, "acl: out of memory");
	free(p.table);
	free(p.chain);
	return err;
}

/* Numbers for rules that have none; *fresh: those numbers, the caller's to free and release. */
static int number_rules(struct state *s, struct acl_rules *new, __u32 **fresh, __u32 *n)
{
	__u32 *numbers = malloc((new->n ?: 1) * sizeof(*numbers));
	struct taken *taken = taken_numbers(s);
	int err = numbers && taken ? 0 : fail(ENOMEM, "acl: out of memory");

	*n = 0;
	*fresh = numbers;
	for (__u32 i = 0; i < new->n && !err; i++) {
		if (new->at[i].counter != NO_COUNTER)
			continue;
		if (take_number(s, taken, &new->at[i].counter))
			numbers[(*n)++] = new->at[i].counter;
		else
			err = fail(ENOSPC, "acl: all lists together hold %u rules",
				   ACL_COUNTER_MAX);
	}
	free(taken);
	return err ?: *n ? make_counters(s, numbers, *n) : 0;
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

static __u32 map_id(int fd)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.id;
}

/*
 * Notes a list that is about to be replaced. Returns false while as many others may still be in
 * use as there is room for.
 */
static bool note_old(struct state *s, __u32 id)
{
	for (int i = 0; i < ACL_OLD_LISTS; i++) {
		__u32 *old = &s->acl_numbers->old[i];
		int fd = *old && *old != id ? bpf_map_get_fd_by_id(*old) : -1;

		if (fd < 0) {
			*old = id;
			return true;
		}
		close(fd);
	}
	return false;
}

/* Waits until an update shows, or its process fails. */
static int await_update(const struct state *s, __u32 list, __u32 id, pid_t pid)
{
	const struct timespec moment = {.tv_nsec = 20000};
	int status = 0;
	__u32 now;

	for (;;) {
		if (!bpf_map_lookup_elem(s->maps[MAP_ACL_LISTS], &list, &now) && now == id)
			return 0;
		if (waitpid(pid, &status, WNOHANG) == pid)
			return !WIFEXITED(status) ? -EINTR : -WEXITSTATUS(status);
		nanosleep(&moment, NULL);
	}
}

/*
 * The update itself. The new list is in force at once, but the kernel returns only when no packet
 * can be in the old one any more, some 10 ms later: that is left to a process of its own. It
 * holds the old list, so that whoever needs numbers meanwhile sees which may still be counted
 * (taken_numbers()), and it holds the lock, so that if this process dies, the next command comes
 * after the update.
 */
static int put_list(struct state *s, __u32 list, int fd)
{
	int old = map_inner(s->maps[MAP_ACL_LISTS], list), err;
	pid_t pid = -1;

	while (waitpid(-1, NULL, WNOHANG) > 0) /* of earlier updates */
		;
	if (old < 0 || note_old(s, map_id(old)))
		pid = fork();
	if (pid > 0) {
		err = await_update(s, list, map_id(fd), pid);
	} else {
		if (!pid) /* nobody who reads our output waits for this */
			for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
				close(i);
		err = bpf_map_update_elem(s->maps[MAP_ACL_LISTS], &list, &fd, BPF_ANY);
		if (!pid)
			_exit(-err);
	}
	if (old >= 0)
		close(old);
	return err;
}

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
	err = put_list(s, list, fd);
	close(fd);
	return err ? fail(err, "acl: a list cannot be put into its place: %s", strerror(-err)) : 0;
}

int acl_replace(struct state *s, __u32 list, struct acl_list *old, struct acl_rules *new)
{
	int err = acl_read(old);
	bool *left = calloc(old->n + 1, sizeof(*left));
	__u32 *fresh = NULL, n = 0;

	if (!err && !left)
		err = fail(ENOMEM, "acl: out of memory");
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
		release_numbers(s, old);
		for (__u32 i = 0; i < new->n; i++)
			set_bit(s->acl_numbers->used, new->at[i].counter);
		judge_owner(s, list);
	}
	state_end(s);
	free(fresh);
	free(left);
	return err;
}

/* ---- one rule ---- */

/* Whether the list is so long that to compile it anew takes longer than to change it. */
static bool is_long(const struct acl_list *l)
{
	return l->lines && ((const struct acl_header *)l->lines)->rules >= LONG_LIST;
}

/* A copy of a list's rules, with one more, or without one of them. */
static int copy_rules(struct acl_list *from, const struct acl_rule *rule, bool add,
		      struct acl_rules *to)
{
	int err = acl_read(from);
	__u32 at = 0, rest;

	if (err)
		return err;
	to->at = malloc((from->n + 1) * sizeof(*to->at));
	if (!to->at)
		return fail(ENOMEM, "acl: out of memory");
	while (at < from->n && from->at[at].prio < rule->prio)
		at++;
	rest = from->n - at - !add;
	to->n = at + add + rest;
	if (at)
		memcpy(to->at, from->at, at * sizeof(*to->at));
	if (add)
		to->at[at] = *rule;
	if (rest)
		memcpy(to->at + at + add, from->at + at + !add, rest * sizeof(*to->at));
	return 0;
}

static int replace_one(struct state *s, __u32 list, struct acl_list *old,
		       const struct acl_rule *rule, bool add)
{
	struct acl_rules new = {};
	int err = copy_rules(old, rule, add, &new) ?: acl_replace(s, list, old, &new);

	free(new.at);
	return err;
}

int acl_add(struct state *s, __u32 list, struct acl_list *old, const struct acl_rule *rule)
{
	struct acl_rule numbered = *rule;
	struct acl_rules one = {.at = &numbered, .n = 1};
	__u32 *fresh = NULL, n = 0;
	int err;

	if (!is_long(old) || acl_late_end(old->lines) > ACL_RULE_MAX || !acl_late_room(old->lines))
		return replace_one(s, list, old, rule, true);
	numbered.counter = NO_COUNTER;
	state_begin(s);
	err = number_rules(s, &one, &fresh, &n);
	if (!err) {
		acl_late_add(old->lines, &numbered);
		judge_owner(s, list);
	} else if (n) {
		release_number(s, *fresh);
	}
	state_end(s);
	free(fresh);
	return err;
}

int acl_del(struct state *s, __u32 list, struct acl_list *old, const struct acl_rule *rule)
{
	int err;

	if (!is_long(old))
		return replace_one(s, list, old, rule, false);
	state_begin(s);
	err = acl_late_del(old->lines, rule);
	if (!err) {
		s->acl_numbers->dead++;
		judge_owner(s, list);
	}
	state_end(s);
	return err ? replace_one(s, list, old, rule, false) : 0;
}

void acl_forget(struct state *s, __u32 list)
{
	struct acl_list old;
	int err;

	/* A data plane that ends takes all lists along. */
	if (!s->meta->ready || !acl_exists(s, list))
		return;
	err = acl_open(s, list, &old) ?: acl_read(&old);
	bpf_map_delete_elem(s->maps[MAP_ACL_LISTS], &list);
	if (err)
		err_clear();
	else
		release_numbers(s, &old);
	acl_close(&old);
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

/* A list that is there, and its numbers. */
static int repair_list(struct state *s, __u32 list, __u64 *used, __u64 *dead)
{
	struct acl_list l;
	int err = acl_open(s, list, &l);

	if (!err) {
		acl_late_repair(l.lines);
		err = acl_read(&l);
	}
	if (!err)
		*dead += set_numbers(used, &l) - l.n;
	acl_close(&l);
	return err;
}

int acl_repair(struct state *s)
{
	__u64 *used = calloc(NUMBER_WORDS, sizeof(*used)), dead = 0;
	int err = used ? 0 : fail(ENOMEM, "acl: out of memory");

	for (__u32 list = 0; list < ACL_LISTS && !err; list++) {
		if (!acl_exists(s, list))
			continue;
		if (has_owner(s, list))
			err = repair_list(s, list, used, &dead);
		else
			bpf_map_delete_elem(s->maps[MAP_ACL_LISTS], &list);
	}
	if (!err) {
		memcpy(s->acl_numbers->used, used, sizeof(s->acl_numbers->used));
		s->acl_numbers->dead = dead;
	}
	free(used);
	return err;
}
