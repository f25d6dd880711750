// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Real captures and seeded mutations of them, put through the programs of both hooks and
 * sent on the devices of a switch with VLANs, isolated ports and groups. Whatever the
 * frame is, these must hold:
 *
 *   - the kernel runs the program, and its verdict is one that the hook may give;
 *   - XDP leaves a frame that it passes as it was, and counts nothing;
 *   - TC counts each frame once at the port that it came in by;
 *   - a frame that goes nowhere is counted with a reason;
 *   - what comes out somewhere is what came in, but for its outer tag;
 *   - nothing goes from an isolated port to an isolated one, from one group to another,
 *     from a VLAN to another, back to where it came from, or to an access port with a tag.
 *
 *	captures [DIRECTORY]	default: tests/pcap beside the sources
 *	SEED=… DURATION=… (seconds)	in the environment
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include "lab.h"
#include "pcap.h"
#include "tap.h"

#define FAILURES_MAX 20

/* p1 p2: isolated, 10; p3 p4 p5: 20, groups 1 2 0; p6: a trunk of 10; uplink: a trunk of both */
#define SETUP                                                                  \
	"port del dev nic\n"                                                   \
	"port set dev p1 vlan 10 isolated on\n"                                \
	"port set dev p2 vlan 10 isolated on\n"                                \
	"port set dev p3 vlan 20 group 1\n"                                    \
	"port set dev p4 vlan 20 group 2\n"                                    \
	"port set dev p5 vlan 20\n"                                            \
	"port set dev p6 trunk 10\n"                                           \
	"network set lan uplink u1 fdb-max 200\n"                              \
	"port set dev u1 trunk 10,20 hook xdp\n"                               \
	"fdb add 52:54:00:00:00:01 dev p1\nfdb add 52:54:00:00:00:02 dev p2\n" \
	"fdb add 52:54:00:00:00:03 dev p3\nfdb add 52:54:00:00:00:04 dev p4\n" \
	"fdb add 52:54:00:00:00:05 dev p5\n"                                   \
	"fdb add 52:54:00:00:00:06 dev p6 vlan 10\n"                           \
	"fdb add 52:54:00:00:00:07 dev u1 vlan 10\n"

static const uint16_t vlan_of[ENDS] = {
	[P1] = 10, [P2] = 10, [P3] = 20, [P4] = 20, [P5] = 20, [P6] = 10};

static struct frame *captured;
static size_t n_captured;
static const char *directory;
static uint64_t seed;
static unsigned int failures;
static unsigned long runs, redirected, dropped, passed, copies;

/* ---- what must hold ---- */

static const struct frame *current;
static enum end current_in;

#define WRONG(...)                                                                         \
	do {                                                                               \
		if (failures++ < FAILURES_MAX) {                                           \
			tap_fail(__VA_ARGS__);                                             \
			tap_fail("  in %s: %s", lab_dev[current_in], frame_text(current)); \
		}                                                                          \
	} while (0)

static uint32_t outer_tag(const struct frame *f)
{
	uint32_t tag = (uint32_t)f->data[12] << 24 | f->data[13] << 16;

	if (f->len < 18 || (tag >> 16 != 0x8100 && tag >> 16 != 0x88a8))
		return 0;
	return tag | f->data[14] << 8 | f->data[15];
}

static bool same_but_for_tag(const struct frame *a, const struct frame *b)
{
	static struct frame x, y;

	x = *a;
	y = *b;
	if (outer_tag(&x) >> 16 == 0x8100)
		frame_pop(&x);
	if (outer_tag(&y) >> 16 == 0x8100)
		frame_pop(&y);
	return frame_equal(&x, &y);
}

/* The VLAN that a frame belongs to by the port it came in by; 0: none. */
static uint16_t vlan_in(enum end in, const struct frame *f)
{
	uint32_t tag = outer_tag(f);

	if (in <= P5)
		return vlan_of[in];
	return tag >> 16 == 0x8100 ? tag & 0xfff : 0;
}

/* Whether a frame may leave from one end by another one at all. */
static void check_pair(enum end in, enum end out)
{
	uint16_t vid = vlan_in(in, current);

	if (out == in || (in == UP && out == HOST_DEV) || (in == HOST && out == UP))
		return; /* looked at by the caller */
	if ((in == P1 || in == P2) && (out == P1 || out == P2))
		WRONG("%s got a frame of an isolated port", lab_dev[out]);
	if ((in == P3 && out == P4) || (in == P4 && out == P3))
		WRONG("%s got a frame of another group", lab_dev[out]);
	if (out <= P6 && vlan_of[out] != vid)
		WRONG("%s got a frame of VLAN %u", lab_dev[out], vid);
	if (in == P6 && vid != 10)
		WRONG("%s got a frame of VLAN %u from a trunk of 10", lab_dev[out], vid);
	if ((out == UP || out == HOST_DEV) && vid != 10 && vid != 20)
		WRONG("%s got a frame of VLAN %u", lab_dev[out], vid);
}

static void check_received(enum end in, const struct lab_received *got)
{
	for (size_t i = 0; i < got->n; i++) {
		enum end out = got->frames[i].at;
		const struct frame *f = &got->frames[i].f;
		uint32_t tag = outer_tag(f);
		bool goes_on = (in == UP && out == HOST_DEV) || (in == HOST && out == UP);

		copies++;
		if (out == HOST) /* without its tag: HOST_DEV tells more */
			continue;
		if (out == in)
			WRONG("%s got its own frame back", lab_dev[out]);
		check_pair(in, out);
		if (goes_on ? !frame_equal(f, current) : !same_but_for_tag(f, current))
			WRONG("%s got %s", lab_dev[out], frame_text(f));
		if (out <= P5 && tag)
			WRONG("%s got a tag: %s", lab_dev[out], frame_text(f));
		if (!goes_on && out >= P6 &&
		    (tag >> 16 != 0x8100 || (tag & 0xfff) != vlan_in(in, current)))
			WRONG("%s got %s in VLAN %u", lab_dev[out], frame_text(f),
			      vlan_in(in, current));
	}
}

struct tally {
	__u64 rx, tx, reasons;
	enum end to; /* of tx */
};

static void tally(const struct lab_counters *c, struct tally *t)
{
	*t = (struct tally){};
	for (int e = 0; e < PORT_ENDS; e++) {
		t->rx += c->stats[e].rx_packets;
		t->tx += c->stats[e].tx_packets;
		if (c->stats[e].tx_packets)
			t->to = e;
		for (int r = 1; r < REASON_DROPS_END; r++)
			t->reasons += c->drops[e].count[r];
	}
}

/* Kernels run no TC program on a frame whose IP header, or all behind the MAC header, is missing. */
static bool kernel_refuses(const struct frame *f)
{
	uint16_t type = f->data[12] << 8 | f->data[13];

	return f->len <= 14 || (type == 0x0800 && f->len < 34) || (type == 0x86dd && f->len < 54);
}

static void check_xdp(const struct frame *f, enum end in)
{
	static struct lab_counters before, since;
	static struct lab_received got;
	static struct frame out;
	struct tally t;
	__u32 retval;
	int err;

	lab_counters(&before);
	err = lab_test_run(LAB_XDP, in, f, &retval, &out);
	if (err) {
		WRONG("XDP: %s", strerror(-err));
		return;
	}
	runs++;
	lab_counters_since(&before, &since);
	tally(&since, &t);
	lab_receive(&got, 0);
	if (got.n)
		WRONG("XDP: frames came out");
	switch (retval) {
	case XDP_PASS:
		passed++;
		if (t.rx || t.tx || t.reasons)
			WRONG("XDP: a frame that passes was counted");
		if (!frame_equal(f, &out))
			WRONG("XDP: a frame that passes was changed to %s", frame_text(&out));
		break;
	case XDP_DROP:
		dropped++;
		if (in == UP || t.rx != 1 || t.tx || t.reasons != 1 || !since.stats[in].rx_packets)
			WRONG("XDP: a dropped frame was counted rx %llu tx %llu reasons %llu", t.rx,
			      t.tx, t.reasons);
		break;
	case XDP_REDIRECT:
		redirected++;
		if (t.rx != 1 || t.tx != 1 || t.reasons || !since.stats[in].rx_packets)
			WRONG("XDP: a redirected frame was counted rx %llu tx %llu reasons %llu",
			      t.rx, t.tx, t.reasons);
		if (t.to == in)
			WRONG("XDP: back to %s", lab_dev[in]);
		check_pair(in, t.to);
		if (!same_but_for_tag(f, &out))
			WRONG("XDP: the frame became %s", frame_text(&out));
		if (t.to <= P5 ? outer_tag(&out) != 0
			       : outer_tag(&out) >> 16 != 0x8100 ||
					 (outer_tag(&out) & 0xfff) != vlan_in(in, f))
			WRONG("XDP: to %s as %s", lab_dev[t.to], frame_text(&out));
		break;
	default:
		WRONG("XDP: verdict %u", retval);
	}
}

static void check_tc(const struct frame *f, enum end in)
{
	static struct lab_counters before, since;
	static struct lab_received got;
	static struct frame out;
	bool uplink = in == UP || in == HOST;
	struct tally t;
	__u32 retval;
	size_t want;
	int err;

	if (f->len > 3600) /* more than TEST_RUN takes here */
		return;
	lab_counters(&before);
	err = lab_test_run(in == HOST ? LAB_EGRESS : LAB_TC, in, f, &retval, &out);
	if (err) {
		if (err != -EINVAL || !kernel_refuses(f))
			WRONG("TC: %s", strerror(-err));
		return;
	}
	runs++;
	lab_counters_since(&before, &since);
	tally(&since, &t);
	/* Copies may come late; what the program hands on, a test run does not send. */
	want = retval == TC_ACT_REDIRECT ? 0 : t.tx;
	if (want && in == HOST && (int)retval == TC_ACT_UNSPEC)
		want--;
	lab_receive(&got, want);
	check_received(in, &got);
	if (t.rx != (in != HOST) || (in != HOST && since.stats[in].rx_packets != 1))
		WRONG("TC: counted rx %llu times", t.rx);
	switch ((int)retval) {
	case TC_ACT_UNSPEC:
		passed++;
		if (!uplink)
			WRONG("TC: a VM's frame goes on to the host");
		break;
	case TC_ACT_SHOT:
		dropped++;
		if (!t.tx && !t.reasons && !got.n)
			WRONG("TC: gone without a reason");
		break;
	case TC_ACT_REDIRECT:
		redirected++;
		if (t.tx > 1 || t.reasons)
			WRONG("TC: redirected, and counted tx %llu reasons %llu", t.tx, t.reasons);
		if (t.tx && t.to == in)
			WRONG("TC: back to %s", lab_dev[in]);
		check_pair(in, t.tx ? t.to : HOST_DEV);
		break;
	default:
		WRONG("TC: verdict %d", (int)retval);
	}
}

static void check_live(const struct frame *f, enum end in)
{
	static struct lab_counters before, since;
	static struct lab_received got;
	struct tally t;

	lab_counters(&before);
	if (lab_send(in, f)) /* too long */
		return;
	runs++;
	/* On a busy machine the frame itself comes late, too, unless the stack drops it. */
	for (int tries = 0; tries < 10; tries++) {
		lab_counters_since(&before, &since);
		tally(&since, &t);
		if (t.rx || (in == HOST && t.tx))
			break;
		usleep(2000);
	}
	lab_receive(&got, t.tx);
	if (in != P6 || f->len > 14)
		check_received(in, &got);
	if (t.rx > (in != HOST)) /* the stack drops what is cut off in a tag */
		WRONG("live: counted rx %llu times", t.rx);
}

static void check(const struct frame *f, enum end in, bool live)
{
	current = f;
	current_in = in;
	if (in != HOST)
		check_xdp(f, in);
	check_tc(f, in);
	if (live)
		check_live(f, in);
}

/* ---- mutations ---- */

static uint32_t next_random(void) /* xorshift64* */
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (seed * 0x2545f4914f6cdd1dULL) >> 32;
}

static void random_mac(uint8_t *at)
{
	static const mac_t macs[] = {0xffffffffffff, 0x01005e000001, 0x333300000001,
				     0x0180c2000000, LAB_UPLINK_MAC, 0x5254000000ff};
	uint32_t n = next_random() % 14;

	frame_mac(at, n < 8 ? 0x525400000000ULL + n : macs[n - 8]);
}

static uint32_t random_tag(void)
{
	static const uint16_t vids[] = {0, 10, 20, 10, 20, 30, 4095, 1};
	uint16_t tci = vids[next_random() % 8] | (next_random() % 16) << 12;

	return next_random() % 4 ? CTAG(tci) : STAG(tci);
}

static void mutate(struct frame *f, enum end in)
{
	random_mac(f->data);
	if (next_random() % 4)
		frame_mac(f->data + 6, 0x525400000000 + (in == HOST ? 0xaa : in + 1));
	else
		random_mac(f->data + 6);
	if (in >= P6 && next_random() % 2)
		frame_push(f, CTAG(next_random() % 2 ? 10 : 20));
	for (int edits = next_random() % 4; edits; edits--)
		switch (next_random() % 7) {
		case 0: /* a bit */
			f->data[next_random() % f->len] ^= 1 << next_random() % 8;
			break;
		case 1: /* a bit of the headers */
			f->data[next_random() % (f->len < 60 ? f->len : 60)] ^=
				1 << next_random() % 8;
			break;
		case 2: /* cut off anywhere, or early */
			f->len = 14 + next_random() % (f->len - 13);
			break;
		case 3:
			if (f->len > 64)
				f->len = 14 + next_random() % 50;
			break;
		case 4:
			if (f->len + 4 < FRAME_MAX)
				frame_push(f, random_tag());
			break;
		case 5: /* a length field */
			if (f->len > 20) {
				f->data[16] = next_random();
				f->data[17] = next_random();
			}
			break;
		default: /* an address */
			if (f->len > 30)
				random_mac(f->data + 14 + next_random() % (f->len - 20));
		}
}

/* ---- the run ---- */

static void read_captures(void)
{
	DIR *d = opendir(directory);
	unsigned int files = 0;
	struct dirent *e;
	char path[600];

	tap_begin("captures are read from %s", directory);
	while (d && (e = readdir(d))) {
		if (*e->d_name == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, e->d_name);
		if (pcap_read(path, &captured, &n_captured))
			tap_fail("%s cannot be read", path);
		files++;
	}
	if (d)
		closedir(d);
	if (!n_captured)
		tap_fail("no frames in %s", directory);
	tap_end();
	tap_remark("%zu frames of %u files", n_captured, files);
}

static const enum end senders[] = {P1, P2, P3, P4, P5, P6, UP, HOST};
#define SENDERS (sizeof(senders) / sizeof(*senders))

static void as_they_are(void)
{
	tap_begin("frames as they are, from every port");
	for (size_t i = 0; i < n_captured; i++)
		for (size_t s = 0; s < SENDERS; s++)
			check(&captured[i], senders[s], true);
	tap_end();
}

static void mutations(unsigned int seconds)
{
	struct timespec from, now;
	static struct frame f;
	unsigned long n = 0;

	tap_begin("mutations");
	clock_gettime(CLOCK_MONOTONIC, &from);
	do {
		enum end in = senders[next_random() % SENDERS];

		f = captured[next_random() % n_captured];
		mutate(&f, in);
		check(&f, in, n % 4 == 0);
		n++;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - from.tv_sec < seconds && failures < FAILURES_MAX);
	tap_end();
	tap_remark("%lu frames, %lu runs: %lu passed, %lu dropped, %lu redirected, %lu copies "
		   "received",
		   n, runs, passed, dropped, redirected, copies);
	/* A test that never got to forwarding has shown nothing. */
	tap_begin("all verdicts were seen");
	EXPECT(passed > 100 && dropped > 100 && redirected > 100 && copies > 100);
	tap_end();
}

static int body(void)
{
	const char *given = getenv("SEED"), *seconds = getenv("DURATION");
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = (given ? strtoull(given, NULL, 0) : (uint64_t)now.tv_nsec << 20 | getpid()) | 1;
	tap_remark("SEED=%#llx", (unsigned long long)seed);
	read_captures();
	if (!n_captured)
		return tap_done();
	lab_start("xdp");
	lab_xdpctl(SETUP);
	lab_refresh();
	as_they_are();
	mutations(seconds ? atoi(seconds) : 8);
	free(captured);
	return tap_done();
}

int main(int argc, char **argv)
{
	static char path[512];
	char *slash;

	snprintf(path, sizeof(path), "%s", argv[0]);
	slash = strrchr(path, '/');
	snprintf(slash ? slash + 1 : path, 64, "../../tests/pcap");
	directory = argc > 1 ? argv[1] : path;
	return lab_run(argv[0], body);
}
