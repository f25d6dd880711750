// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The short way against the whole one: two pairs of hosts say the same to each other, and the
 * packets of one pair may take the short way, those of the other never do. After each packet both
 * have the same verdict, and both flows are the same. Packets that do not fit their connection
 * are denied by a rule, so that a verdict tells whether they do.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "acl_rules.h"
#include "short_way.h"
#include "tap.h"

#define STEPS	  80 /* packets of a sequence */
#define SLACK	  66000
#define WRONG_MAX 3 /* packets that are shown */

/* One sequence: the connection, and what is drawn for it. */
struct sequence {
	struct acl_random random;
	enum lab_hook hook;
	struct packet like;
	__u32 step;
	__u32 seq[2]; /* first sequence numbers */
};

static struct {
	__u32 sent[3]; /* by way taken */
	__u32 refused; /* packets that do not fit, of connections that are established */
	__u32 wrong;
} seen;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static __u32 below(struct sequence *s, __u32 n)
{
	return acl_random_below(&s->random, n);
}

/* ---- packets ---- */

/* A few octets around an edge. */
static __u32 near(struct sequence *s, __u32 edge)
{
	return edge + below(s, 5) - 2;
}

static __u8 draw_flags(struct sequence *s)
{
	static const __u8 rare[] = {TCP_SYN,	       TCP_SYN | TCP_ACK, TCP_FIN | TCP_ACK,
				    TCP_RST,	       TCP_RST | TCP_ACK, 0,
				    TCP_FIN,	       TCP_PSH,		  TCP_SYN | TCP_FIN,
				    TCP_ACK | TCP_URG, TCP_ACK | 0xc0};

	if (!below(s, 20))
		return rare[below(s, sizeof(rare))];
	return below(s, 2) ? TCP_ACK : TCP_ACK | TCP_PSH;
}

static __u16 draw_window(struct sequence *s)
{
	static const __u16 windows[] = {0, 1, 501, 8192, 0xffff};
	__u32 n = below(s, 8);

	return n < 5 ? windows[n] : acl_random(&s->random);
}

/* Sequence and acknowledgement at, or just beyond, the edges that the flow knows of. */
static void draw_edge(struct sequence *s, struct packet *p, const struct flow_tcp *own,
		      const struct flow_tcp *other)
{
	__u32 slack = own->max_win > SLACK ? own->max_win : SLACK;

	switch (below(s, 3)) {
	case 0:
		p->seq = near(s, own->max_end);
		break;
	case 1:
		p->seq = near(s, own->end - other->max_win - 1 - p->length);
		break;
	default:
		p->seq = near(s, own->end);
	}
	switch (below(s, 3)) {
	case 0:
		p->ack = near(s, other->end);
		break;
	case 1:
		p->ack = near(s, other->end - slack - 1);
		break;
	default:
		p->ack = other->end;
	}
}

/* A segment of a connection of which the tables know. */
static void draw_segment(struct sequence *s, struct packet *p, const struct flow *f)
{
	__u32 side = short_side(p), kind = below(s, 10);
	const struct flow_tcp *own = &f->tcp[side], *other = &f->tcp[!side];

	p->flags = draw_flags(s);
	p->window = draw_window(s);
	if (kind < 3) {
		draw_edge(s, p, own, other);
	} else if (kind < 9) {
		p->seq = own->max_win ? own->end : s->seq[p->back];
		p->ack = other->max_win ? other->end : s->seq[!p->back];
		if (!below(s, 4)) /* again */
			p->seq -= below(s, 3000);
		if (!below(s, 4))
			p->ack -= below(s, 3000);
	} else {
		p->seq = acl_random(&s->random);
		p->ack = acl_random(&s->random);
	}
}

/* The opening, if it goes well. */
static void draw_opening(struct sequence *s, struct packet *p)
{
	p->back = s->step == 1;
	p->seq = s->seq[p->back] + (s->step == 2);
	p->ack = s->step ? s->seq[!p->back] + 1 : 0;
	p->flags = s->step == 0 ? TCP_SYN : s->step == 1 ? TCP_SYN | TCP_ACK : TCP_ACK;
	p->window = draw_window(s);
	p->length = 0;
}

static struct packet draw(struct sequence *s)
{
	const struct flow *f = s->step ? short_flow(&s->like) : NULL;
	struct packet p = s->like;

	p.back = below(s, 2);
	p.length = below(s, 3) ? below(s, 1300) : 0;
	p.pad = below(s, 4) ? 0 : below(s, 30);
	p.scale = below(s, 4) ? below(s, 16) : SCALE_NONE;
	if (p.udp)
		return p;
	p.words = below(s, 2) ? below(s, 10) : 0;
	p.doff = below(s, 40) ? 0 : 4 + below(s, 12);
	if (s->step < 3 && below(s, 10))
		draw_opening(s, &p);
	else if (f)
		draw_segment(s, &p, f);
	else
		draw_opening(s, &p);
	return p;
}

/* ---- what is compared ---- */

/* A flow but for what differs between the pairs. */
static struct flow essence(const struct flow *f)
{
	struct flow e = {};

	if (!f)
		return e;
	e = *f;
	memset(&e.key, 0, sizeof(e.key));
	e.created = 0;
	return e;
}

static void show_flow(const char *whose, const struct flow *f)
{
	tap_remark("  %s: state %u flags %02x scale %u %u packets %llu %llu", whose, f->state,
		   f->flags, f->scale[0], f->scale[1], f->packets[0], f->packets[1]);
	for (int i = 0; i < 2; i++)
		tap_remark("    end %08x ack %08x max_end %08x max_win %u", f->tcp[i].end,
			   f->tcp[i].ack, f->tcp[i].max_end, f->tcp[i].max_win);
}

static void show_difference(const struct sequence *s, const struct packet *p, const char *what,
			    struct sent one, struct sent other, const struct flow *a,
			    const struct flow *b)
{
	tap_fail("step %u: %s: verdicts %u by %s, %u by %s", s->step, what, one.retval,
		 short_way_names[one.way], other.retval, short_way_names[other.way]);
	tap_remark("  %s %s, seq %08x ack %08x flags %02x window %u, %u octets, %u behind it",
		   p->six ? "IPv6" : "IPv4", p->back ? "back" : "there", p->seq, p->ack, p->flags,
		   p->window, p->length, p->pad);
	show_flow("one", a);
	show_flow("other", b);
	seen.wrong++;
}

/* Sends a packet of each pair. */
static void step(struct sequence *s)
{
	struct packet p = draw(s), q = p;
	struct flow was = essence(short_flow(&p)), a, b;
	struct sent one, other;
	const char *what;

	q.pair = 1;
	short_forget(&q);
	one = short_send(s->hook, &p);
	other = short_send(s->hook, &q);
	a = essence(short_flow(&p));
	b = essence(short_flow(&q));
	what = other.way != WAY_WHOLE	    ? "the way"
	       : one.retval != other.retval ? "the verdict"
	       : memcmp(&a, &b, sizeof(a))  ? "the flow"
					    : NULL;
	if (what)
		show_difference(s, &p, what, one, other, &a, &b);
	if (was.state == FLOW_ESTABLISHED)
		seen.refused += !one.passed;
	seen.sent[one.way]++;
}

static void run(struct sequence *s)
{
	for (s->step = 0; s->step < STEPS && seen.wrong < WRONG_MAX; s->step++) {
		step(s);
		if (!below(s, 60))
			short_judge_anew(below(s, 2) ? P1 : P2);
		if (!below(s, 60))
			short_next_second();
	}
}

void short_sequences(enum lab_hook hook, __u64 seed, double seconds)
{
	static __u16 port = 10000;
	struct sequence s = {.random = {seed}, .hook = hook};
	__u32 n = 0;

	memset(&seen, 0, sizeof(seen));
	tap_begin("sequences of packets at random: both ways make the same of them");
	tap_step("SEED=%" PRIu64, (uint64_t)seed);
	for (double end = now() + seconds; now() < end && seen.wrong < WRONG_MAX; n++) {
		s.like = (struct packet){
			.port = ++port, .six = below(&s, 3) == 0, .udp = below(&s, 8) == 0};
		s.seq[0] = acl_random(&s.random);
		s.seq[1] = acl_random(&s.random);
		run(&s);
	}
	/* enough of them say something of the short way */
	EXPECT(seen.sent[WAY_SHORT] > n * STEPS / 4);
	EXPECT(seen.sent[WAY_FOUND] > n / 2);
	EXPECT(seen.refused > n * STEPS / 20);
	tap_step("%s", "");
	tap_end();
	tap_remark("%u sequences: %u packets by %s, %u by %s, %u by %s, %u refused", n,
		   seen.sent[WAY_SHORT], short_way_names[WAY_SHORT], seen.sent[WAY_FOUND],
		   short_way_names[WAY_FOUND], seen.sent[WAY_WHOLE], short_way_names[WAY_WHOLE],
		   seen.refused);
}
