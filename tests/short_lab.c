// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* See short_lab.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include "../maps/cache.h"
#include "../maps/l3.h"
#include "flows.h"
#include "short_lab.h"
#include "tap.h"

#define CPUS_MAX  1024
#define UNTOUCHED 0xffffffff
#define CALLED	  7 /* port */

const char *const short_way_names[] = {"the short way", "the short way, searching",
				       "the whole way"};

static struct {
	int scratch, cache;
} fd;
static struct port *ports;
static struct cache_generation *generation;
static int cpus;

/* ---- maps ---- */

static void *map_pin(const char *name, size_t size, int protection)
{
	int pin = lab_pin(name);
	void *at = mmap(NULL, size, protection, MAP_SHARED, pin, 0);

	if (at == MAP_FAILED) {
		printf("Bail out! %s cannot be mapped: %s\n", name, strerror(errno));
		exit(1);
	}
	close(pin);
	return at;
}

void short_start(void)
{
	cpus = libbpf_num_possible_cpus();
	if (cpus > CPUS_MAX) {
		printf("Bail out! %d CPUs\n", cpus);
		exit(1);
	}
	fd.scratch = lab_pin("l3_scratch");
	fd.cache = lab_pin("cache");
	ports = map_pin("ports", (PORT_MAX + 1) * sizeof(*ports), PROT_READ | PROT_WRITE);
	generation = map_pin("generation", sizeof(*generation), PROT_READ | PROT_WRITE);
}

/* ---- packets ---- */

static const char *address(const struct packet *p, bool back, char out[32])
{
	snprintf(out, 32, p->six ? "fd00:%x::%x" : "10.0.%d.%d", p->pair, back ? 2 : 1);
	return out;
}

static mac_t host(const struct packet *p, bool back)
{
	return 0x525400000001 + 16 * p->pair + back;
}

static void set32(__u8 *at, __u32 n)
{
	n = htonl(n);
	memcpy(at, &n, sizeof(n));
}

/* Words of a TCP header. */
static __u32 tcp_words(const struct packet *p)
{
	return 5 + p->words + (p->flags & TCP_SYN && p->scale != SCALE_NONE);
}

static void set_tcp(const struct packet *p, __u8 *tcp)
{
	static const __u8 scale[] = {1, 3, 3}; /* RFC 7323, 2.2 */
	__u32 words = tcp_words(p);

	set32(tcp + 4, p->seq);
	set32(tcp + 8, p->ack);
	tcp[12] = (p->doff ?: words) << 4;
	tcp[13] = p->flags;
	tcp[14] = p->window >> 8;
	tcp[15] = p->window;
	memset(tcp + 20, 1, 4 * p->words);
	if (words == 5U + p->words)
		return;
	memcpy(tcp + 4 * words - 4, scale, sizeof(scale));
	tcp[4 * words - 1] = p->scale;
}

void short_build(const struct packet *p, struct frame *f)
{
	__u16 caller = p->port ?: 40000, ip = p->six ? 40 : 20;
	char from[32], to[32];
	struct frame_spec spec = {
		.dst = host(p, !p->back),
		.src = host(p, p->back),
		.payload = p->udp ? (p->six ? UDP6 : UDP4) : (p->six ? TCP6 : TCP4),
		.sip = p->sip ?: address(p, p->back, from),
		.dip = p->dip ?: address(p, !p->back, to),
		.sport = p->sport
				 ?: p->back ? CALLED
					    : caller,
		.dport = p->dport
				 ?: p->back ? caller
					    : CALLED,
		.size = ip + (p->udp ? 8 : 4 * tcp_words(p)) + p->length,
	};

	frame_build(f, &spec);
	if (!p->udp)
		set_tcp(p, f->data + 14 + ip);
	memset(f->data + f->len, 0, p->pad);
	f->len += p->pad;
}

/* Marks where the whole way reads a packet to, and where a flow's key is made to search it. */
static void mark(void)
{
	static struct l3 l[CPUS_MAX];
	__u32 place = 0;

	for (int i = 0; i < cpus; i++) {
		l[i].key.misc = UNTOUCHED;
		l[i].flow.rest = UNTOUCHED;
	}
	if (bpf_map_update_elem(fd.scratch, &place, l, BPF_EXIST))
		tap_fail("l3_scratch: %s", strerror(errno));
}

static enum way_taken way_taken(void)
{
	static struct l3 l[CPUS_MAX];
	int cpu = sched_getcpu();
	__u32 place = 0;

	if (bpf_map_lookup_elem(fd.scratch, &place, l))
		tap_fail("l3_scratch: %s", strerror(errno));
	if (l[cpu].key.misc != UNTOUCHED)
		return WAY_WHOLE;
	return l[cpu].flow.rest != UNTOUCHED ? WAY_FOUND : WAY_SHORT;
}

struct sent short_send_frame(enum lab_hook hook, enum end in, const struct frame *f)
{
	static struct frame out;
	struct sent s = {};
	int err;

	mark();
	err = lab_test_run(hook, in, f, &s.retval, &out);
	if (err)
		tap_fail("%s", strerror(-err));
	s.way = way_taken();
	s.passed = s.retval == (hook == LAB_XDP ? (__u32)XDP_REDIRECT : TC_ACT_REDIRECT);
	s.same = frame_equal(f, &out);
	return s;
}

struct sent short_send(enum lab_hook hook, const struct packet *p)
{
	static struct frame f;

	short_build(p, &f);
	return short_send_frame(hook, p->back ? P2 : P1, &f);
}

/* ---- what is remembered ---- */

/* An address as in struct pkt: the first octet is the lowest. */
static __u64 as_read(mac_t mac)
{
	return __builtin_bswap64(mac) >> 16;
}

void short_forget(const struct packet *p)
{
	static const struct cache_entry none[CPUS_MAX];
	__u64 mix =
		(as_read(host(p, !p->back)) ^ as_read(host(p, p->back)) << 8) * 0x9e3779b97f4a7c15;
	__u32 place = mix >> 54;

	if (bpf_map_update_elem(fd.cache, &place, none, BPF_EXIST))
		tap_fail("cache: %s", strerror(errno));
}

void short_next_second(void)
{
	__atomic_fetch_add(&generation->number, 1, __ATOMIC_SEQ_CST);
}

__u32 short_generation(void)
{
	return __atomic_load_n(&generation->number, __ATOMIC_SEQ_CST);
}

void short_judge_anew(enum end e)
{
	__atomic_fetch_add(&ports[lab_port_id(e)].judged, 1, __ATOMIC_SEQ_CST);
	short_next_second();
}

void short_judge_alike(enum end e, enum end other)
{
	__u32 *a = &ports[lab_port_id(e)].judged, *b = &ports[lab_port_id(other)].judged;

	*a = *b = *a > *b ? *a : *b;
	short_next_second();
}

/* ---- flows ---- */

static void set_address(const char *text, bool six, __u64 out[2])
{
	__u8 octets[16] = {0xff};
	__u64 word;

	inet_pton(six ? AF_INET6 : AF_INET, text, octets + (six ? 0 : 8));
	for (int i = 0; i < 2; i++) {
		memcpy(&word, octets + 8 * i, sizeof(word));
		out[i] = __builtin_bswap64(word);
	}
}

__u32 short_side(const struct packet *p)
{
	return p->back; /* all addresses are so */
}

static bool is_flow_of(const struct flow *f, const struct packet *p)
{
	__u64 caller[2], called[2];
	char text[32];

	set_address(address(p, false, text), p->six, caller);
	set_address(address(p, true, text), p->six, called);
	return f->key.rest >> 24 == (p->udp ? IPPROTO_UDP : IPPROTO_TCP) &&
	       f->key.port[0] == (p->port ?: 40000) && f->key.port[1] == CALLED &&
	       !memcmp(f->key.addr[0], caller, sizeof(caller)) &&
	       !memcmp(f->key.addr[1], called, sizeof(called));
}

/* What flow_ask() makes a hint's place and tag of. */
static __u32 hint_of(__u64 src, __u64 dst)
{
	const __u64 odd = 0x9e3779b97f4a7c15ULL;

	src *= odd;
	dst *= odd;
	return ((src ^ src >> 32) + (dst ^ dst >> 32)) * odd >> 40;
}

void short_same_hint(struct packet *p)
{
	__u64 caller[2], called[2], src, dst;
	char text[32];
	__u32 hint;

	set_address(address(p, false, text), p->six, caller);
	set_address(address(p, true, text), p->six, called);
	src = caller[0] + caller[1];
	dst = called[0] + called[1];
	hint = hint_of(src + p->port, dst + CALLED);
	for (__u32 to = CALLED + 1; to < 0x10000; to++)
		for (__u32 from = 1; from < 0x10000; from++)
			if (hint_of(src + from, dst + to) == hint) {
				p->sport = from;
				p->dport = to;
				return;
			}
}

/* The place of a packet's flow in a bucket, FLOW_WAYS: it is not there. */
static __u32 way_of(const struct flow_bucket *b, const struct packet *p)
{
	__u32 way = 0;

	while (way < FLOW_WAYS && !(b->tag[way] && is_flow_of(&b->flow[way], p)))
		way++;
	return way;
}

const struct flow *short_flow(const struct packet *p)
{
	static const struct flow_bucket *last[4];
	const struct flow_bucket **b = &last[p->pair * 2 + p->six];
	__u32 way = *b ? way_of(*b, p) : FLOW_WAYS;

	if (way == FLOW_WAYS)
		*b = NULL;
	while (way == FLOW_WAYS && (*b = flows_next(*b)))
		way = way_of(*b, p);
	return *b ? &(*b)->flow[way] : NULL;
}
