// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The short way of packets whose decision the cache knows (bpf/flow_cache.h), at both hooks: which
 * packets take it, and that whatever changes what becomes of a packet is seen by the next one.
 * For each packet: the way that it took, the verdict, its octets, and all counters of the ports.
 * (Where a second ends in the middle of a test, the way is not looked at any more.)
 *
 * Environment: SEED repeats the sequences of another run; DURATION: how long they take (s).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <linux/pkt_cls.h>
#include "short_way.h"
#include "tap.h"

#define TRACKED "acl add network lan out state invalid deny\n"

static enum lab_hook hook;
static __u32 generation; /* as it is to be until the next packet */
static bool late;	 /* a second went by: ways may be others */

/* Which way: of the short ones any will do in most cases. */
enum by {
	SHORT,
	HINTED,
	SEARCHED,
	WHOLE,
};

static bool fits(enum by by, enum way_taken way)
{
	return by == WHOLE	? way == WAY_WHOLE
	       : by == HINTED	? way == WAY_SHORT
	       : by == SEARCHED ? way == WAY_FOUND
				: way != WAY_WHOLE;
}

/* ---- packets ---- */

/* The next segment of a TCP connection, in order; or a UDP packet. */
static struct packet next(struct packet like, bool back, __u8 flags)
{
	const struct flow *f = short_flow(&like);
	struct packet p = like;

	p.back = back;
	p.flags = flags;
	p.window = 8192;
	p.length = flags == TCP_ACK ? 100 : 0;
	p.scale = SCALE_NONE;
	p.seq = f ? f->tcp[back].end : 1000U + 1000U * back;
	p.ack = f ? f->tcp[!back].end : 0;
	return p;
}

/* Checks the counters: it came in by `in`, and went to `to`, or (ENDS) was dropped for `why`. */
static void check_counters(const struct lab_counters *before, size_t len, enum end in, enum end to,
			   enum reason why)
{
	static struct lab_counters got, want;

	lab_counters_since(before, &got);
	memset(&want, 0, sizeof(want));
	want.stats[in] = (struct port_stats){.rx_packets = 1, .rx_bytes = len};
	if (to == ENDS) {
		want.drops[in].count[why] = 1;
	} else {
		want.stats[to].tx_packets = 1;
		want.stats[to].tx_bytes = len;
	}
	if (memcmp(&got, &want, sizeof(got)))
		tap_fail("counters");
}

static void send_frame(const char *what, const struct frame *f, enum end in, enum end to,
		       enum reason why, enum by by)
{
	static struct lab_counters before;
	struct sent s;

	tap_step("%s", what);
	lab_counters(&before);
	late |= generation != short_generation();
	s = short_send_frame(hook, in, f);
	late |= generation != short_generation();
	generation = short_generation();
	if (!late && !fits(by, s.way))
		tap_fail("it took %s", short_way_names[s.way]);
	if (s.passed != (to != ENDS))
		tap_fail("verdict %u", s.retval);
	EXPECT(s.same);
	check_counters(&before, f->len, in, to, why);
	tap_step("%s", "");
}

/* A packet goes to its receiver at `to`. */
static void goes(const char *what, struct packet p, enum end to, enum by by)
{
	static struct frame f;

	short_build(&p, &f);
	send_frame(what, &f, p.back ? P2 : P1, to, REASON_NONE, by);
}

static void passes(const char *what, struct packet p, enum by by)
{
	goes(what, p, p.back ? P1 : P2, by);
}

static void dropped(const char *what, struct packet p, enum reason why)
{
	static struct frame f;

	short_build(&p, &f);
	send_frame(what, &f, p.back ? P2 : P1, ENDS, why, WHOLE);
}

/* ---- set-up ---- */

/* Commands that leave addresses as they are. */
static void configure(const char *commands)
{
	lab_xdpctl(commands);
	lab_refresh();
	for (enum end e = P1; e <= P3; e++)
		lab_complete(e);
	generation = short_generation();
}

static void next_second(void)
{
	short_next_second();
	generation = short_generation();
}

static void begin(const char *name, const char *commands)
{
	tap_begin("%s: %s", hook == LAB_XDP ? "XDP" : "TC", name);
	configure(commands);
	late = false;
}

static void end(void)
{
	configure("acl del network lan out all\n"
		  "acl del dev p2 in all\n"
		  "port set dev p1 ip any dhcp-server on\n"
		  "flow flush\n");
	tap_end();
}

/* Opens a connection; a packet each way then brings it to the short way. */
static void open_connection(struct packet like)
{
	if (like.udp) {
		passes("a first packet", next(like, false, TCP_ACK), WHOLE);
		passes("its answer", next(like, true, TCP_ACK), WHOLE);
		return;
	}
	passes("SYN", next(like, false, TCP_SYN), WHOLE);
	passes("SYN, ACK", next(like, true, TCP_SYN | TCP_ACK), WHOLE);
	passes("ACK", next(like, false, TCP_ACK), WHOLE);
	passes("data back", next(like, true, TCP_ACK), SHORT);
	passes("data", next(like, false, TCP_ACK), HINTED);
}

/* ---- tests ---- */

static void test_hit(const char *name, struct packet like)
{
	begin(name, TRACKED);
	open_connection(like);
	next_second();
	passes("the first packet of a second", next(like, false, TCP_ACK), WHOLE);
	passes("the second one", next(like, false, TCP_ACK), SEARCHED);
	passes("the third one", next(like, false, TCP_ACK), HINTED);
	passes("the first one back", next(like, true, TCP_ACK), WHOLE);
	passes("the second one back", next(like, true, TCP_ACK), HINTED);
	end();
}

/* Another connection of the same hosts. */
static void open_other(struct packet other)
{
	passes("another's SYN", next(other, false, TCP_SYN), WHOLE);
	passes("its answer", next(other, true, TCP_SYN | TCP_ACK), WHOLE);
	passes("its acknowledgement", next(other, false, TCP_ACK), WHOLE);
}

static void test_other(void)
{
	struct packet like = {.port = 40000}, other = {.port = 40001}, p;

	begin("other connections of the same hosts", TRACKED);
	open_connection(like);
	open_other(other);
	passes("its data", next(other, false, TCP_ACK), SHORT);
	passes("data of the first", next(like, false, TCP_ACK), HINTED);
	other.port = 40002;
	passes("a third one's answer", next(other, true, TCP_ACK), WHOLE);
	end();

	begin("a connection with the same hint",
	      TRACKED "acl add dev p2 in proto udp dport 8-65535 deny\n");
	like.udp = true;
	open_connection(like);
	passes("its packet", next(like, false, TCP_ACK), SHORT);
	p = next(like, false, TCP_ACK);
	short_same_hint(&p);
	dropped("the other's", p, DROP_ACL_DENY);
	end();
}

static void test_flush(void)
{
	struct packet like = {}, p;

	begin("after flow flush",
	      "acl add dev p2 in proto tcp tcp-flags 0x12/0x02 state new allow\n"
	      "acl add dev p2 in deny\n");
	open_connection(like);
	p = next(like, false, TCP_ACK);
	configure("flow flush\n");
	dropped("data", p, DROP_ACL_DENY);
	dropped("and again", p, DROP_ACL_DENY);
	end();
}

static void test_end(void)
{
	struct packet like = {}, p;

	begin("after a reset", TRACKED);
	open_connection(like);
	passes("a reset", next(like, true, TCP_RST | TCP_ACK), WHOLE);
	passes("what was under way", next(like, true, TCP_ACK), WHOLE);
	passes("... from the other end", next(like, false, TCP_ACK), WHOLE);
	end();
	begin("while it ends", TRACKED);
	open_connection(like);
	passes("a FIN", next(like, false, TCP_FIN | TCP_ACK), WHOLE);
	passes("data", next(like, true, TCP_ACK), WHOLE);
	passes("the other FIN", next(like, true, TCP_FIN | TCP_ACK), WHOLE);
	passes("the last ACK", next(like, false, TCP_ACK), WHOLE);
	end();
	begin("segments that are no acknowledgements, or do not fit", TRACKED);
	open_connection(like);
	dropped("a SYN with FIN", next(like, false, TCP_SYN | TCP_FIN), DROP_ACL_DENY);
	dropped("without ACK", next(like, false, 0), DROP_ACL_DENY);
	p = next(like, false, TCP_ACK);
	p.seq += 100000;
	dropped("behind the window", p, DROP_ACL_DENY);
	p = next(like, false, TCP_ACK);
	p.ack += 1;
	dropped("for what was not sent", p, DROP_ACL_DENY);
	passes("data", next(like, false, TCP_ACK), HINTED);
	end();
}

static void test_lists(void)
{
	struct packet like = {.port = 40000}, other = {.port = 40001};

	begin("after a list has changed", TRACKED);
	open_connection(like);
	configure("acl add dev p2 in prio 5 proto tcp sport 40000 deny\n");
	dropped("data", next(like, false, TCP_ACK), DROP_ACL_DENY);
	dropped("back", next(like, true, TCP_ACK), DROP_ACL_DENY);
	configure("acl del dev p2 in prio 5\n");
	passes("data when it has changed again", next(like, false, TCP_ACK), WHOLE);
	passes("more data", next(like, false, TCP_ACK), SHORT);
	end();

	begin("after another's verdict was renewed", TRACKED);
	open_connection(like);
	open_other(other);
	configure("acl add dev p2 in prio 5 proto tcp sport 40000 deny\n");
	passes("its data, by the new list", next(other, false, TCP_ACK), WHOLE);
	passes("more of it", next(other, false, TCP_ACK), SHORT);
	dropped("data of the first", next(like, false, TCP_ACK), DROP_ACL_DENY);
	passes("once more of the other", next(other, false, TCP_ACK), SHORT);
	dropped("the first's, which was denied", next(like, false, TCP_ACK), DROP_ACL_DENY);
	configure("acl del dev p2 in prio 5\n");
	passes("the other's, by yet another list", next(other, false, TCP_ACK), WHOLE);
	passes("the first's likewise", next(like, false, TCP_ACK), WHOLE);
	end();
}

/* An address that is behind another port now. */
static void test_moved(void)
{
	struct packet like = {}, other = {.port = 40001}, from;
	static struct frame f;

	begin("after an address was moved by a command", TRACKED);
	short_judge_alike(P2, P3);
	next_second();
	open_connection(like);
	open_other(other);
	configure("fdb del 52:54:00:00:00:02 network lan\nfdb add 52:54:00:00:00:02 dev p3\n");
	goes("data", next(like, false, TCP_ACK), P3, WHOLE);
	goes("more data", next(like, false, TCP_ACK), P3, SHORT);
	goes("data of another", next(other, false, TCP_ACK), P3, WHOLE);
	configure("fdb del 52:54:00:00:00:02 network lan\nfdb add 52:54:00:00:00:02 dev p2\n");
	passes("data when it is back", next(like, false, TCP_ACK), WHOLE);
	end();

	begin("after an address has moved", TRACKED "fdb del 52:54:00:00:00:02 network lan\n"
						    "fdb add 52:54:00:00:00:02 dev p2\n"
						    "fdb del 52:54:00:00:00:02 network lan\n");
	from = next(like, true, TCP_ACK);
	from.udp = true;
	short_build(&from, &f);
	short_send_frame(LAB_TC, P2, &f);
	next_second();
	open_connection(like);
	short_send_frame(LAB_TC, P3, &f);
	generation = short_generation();
	goes("data", next(like, false, TCP_ACK), P3, WHOLE);
	goes("more data", next(like, false, TCP_ACK), P3, SHORT);
	configure("fdb add 52:54:00:00:00:02 dev p2\n");
	end();
}

static void test_guard(void)
{
	struct packet like = {}, six = {.six = true}, p;

	begin("where the sender has addresses",
	      TRACKED "port set dev p1 ip 10.0.0.1,10.0.0.3,fd00::1\n");
	open_connection(like);
	p = next(like, false, TCP_ACK);
	p.sip = "10.0.0.9";
	dropped("from another", p, DROP_IP_SPOOF);
	passes("from its own", next(like, false, TCP_ACK), HINTED);
	p = (struct packet){.udp = true, .sip = "10.0.0.3"};
	passes("from its other own", p, WHOLE);
	passes("from the first, which is remembered no more", next(like, false, TCP_ACK), WHOLE);
	passes("from it again", next(like, false, TCP_ACK), HINTED);
	open_connection(six);
	for (int i = 0; i < 3; i++) {
		passes("IPv4 and IPv6 by turns", next(like, false, TCP_ACK), SHORT);
		passes("IPv6 and IPv4 by turns", next(six, false, TCP_ACK), SHORT);
	}
	configure("port set dev p1 ip 10.0.0.9,fd00::1\n");
	dropped("from what is its own no more", next(like, false, TCP_ACK), DROP_IP_SPOOF);
	passes("from what still is", next(six, false, TCP_ACK), WHOLE);
	passes("more from that", next(six, false, TCP_ACK), SHORT);
	dropped("and again from what is not", next(like, false, TCP_ACK), DROP_IP_SPOOF);
	end();

	begin("IPv6 where the sender has IPv4 alone", TRACKED "port set dev p1 ip 10.0.0.1\n");
	open_connection(like);
	dropped("IPv6", next(six, false, TCP_SYN), DROP_IP_SPOOF);
	passes("IPv4", next(like, false, TCP_ACK), HINTED);
	end();

	begin("a guard without lists", "port set dev p1 ip 10.0.0.1\n");
	like.udp = true;
	passes("a first packet", next(like, false, TCP_ACK), WHOLE);
	passes("a second one", next(like, false, TCP_ACK), SHORT);
	passes("another protocol", next((struct packet){}, false, TCP_ACK), SHORT);
	p = next(like, false, TCP_ACK);
	p.sip = "10.0.0.9";
	dropped("from another", p, DROP_IP_SPOOF);
	configure("port set dev p1 ip fd00::1\n");
	passes("IPv6, which is its own now", next(six, false, TCP_ACK), WHOLE);
	dropped("IPv4, which is no more", next(like, false, TCP_ACK), DROP_IP_SPOOF);
	end();
}

static void test_dhcp(void)
{
	static const struct {
		const char *what;
		struct packet p;
		bool server;
	} cases[] = {
		{"from a server's port", {.sport = 67, .dport = 68}, true},
		{"from a client", {.sport = 68, .dport = 67}, false},
		{"an IPv6 server's", {.six = true, .sport = 547, .dport = 546}, true},
		{"an IPv6 client's", {.six = true, .sport = 546, .dport = 547}, false},
	};
	struct packet like = {.udp = true}, six = {.udp = true, .six = true};

	begin("DHCP", "port set dev p1 dhcp-server off\n");
	passes("any packet", next(like, false, TCP_ACK), WHOLE);
	passes("a second one", next(like, false, TCP_ACK), SHORT);
	passes("of IPv6", next(six, false, TCP_ACK), SHORT);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct packet p = cases[i].p;

		p.udp = true;
		p.length = 240;
		if (cases[i].server)
			dropped(cases[i].what, p, DROP_DHCP_SERVER);
		else
			passes(cases[i].what, p, SHORT);
	}
	passes("any other packet", next(like, false, TCP_ACK), SHORT);
	configure("port set dev p1 dhcp-server on\n");
	passes("from a server that may", (struct packet){.udp = true, .sport = 67, .dport = 68},
	       SHORT);
	end();
}

/* Packets of a connection's that are not plain, and such that only look like it. */
static void test_plain(void)
{
	struct frame_spec spec = {
		.dst = 0x525400000002, .src = 0x525400000001, .payload = UDP4, .options = true};
	struct packet like = {.udp = true}, six = {.udp = true, .six = true}, p;
	static struct frame f;

	begin("packets that are not plain", TRACKED);
	open_connection(like);
	open_connection(six);
	passes("a plain one", next(like, false, TCP_ACK), SHORT);
	frame_build(&f, &spec);
	send_frame("with an option", &f, P1, P2, REASON_NONE, WHOLE);
	spec = (struct frame_spec){.dst = 0x525400000002,
				   .src = 0x525400000001,
				   .payload = UDP6,
				   .extensions = {EXT_HOP}};
	frame_build(&f, &spec);
	send_frame("with an extension header", &f, P1, P2, REASON_NONE, WHOLE);
	passes("a plain one again", next(like, false, TCP_ACK), HINTED);
	end();

	begin("a UDP header among IPv4 options",
	      TRACKED "acl add dev p2 in proto udp dport 9 deny\n");
	open_connection(like);
	passes("a plain one", next(like, false, TCP_ACK), SHORT);
	spec = (struct frame_spec){
		.dst = 0x525400000002,
		.src = 0x525400000001,
		.payload = UDP4,
		.options = true,
		.sport = 20, /* as a length it fits */
		.dport = 9,
		.patch = {PATCH(20, 40000 >> 8), PATCH(21, 40000 & 0xff), PATCH(22, 0),
			  PATCH(23, 7)},
	};
	frame_build(&f, &spec);
	send_frame("the other", &f, P1, ENDS, DROP_ACL_DENY, WHOLE);
	end();

	begin("IPv6 with the numbers of an IPv4 connection",
	      TRACKED "acl add dev p2 in family ip6 deny\n");
	open_connection(like);
	passes("its own", next(like, false, TCP_ACK), SHORT);
	p = next(like, false, TCP_ACK);
	p.six = true;
	p.sip = "ff00::a00:1:0:0";
	p.dip = "ff00::a00:2:0:0";
	dropped("the other", p, DROP_ACL_DENY);
	end();
}

/* Fragments that begin with what could be a segment of a connection. */
static void test_fragments(void)
{
	struct packet like = {}, p;
	static struct frame f;

	begin("fragments", TRACKED);
	open_connection(like);
	p = next(like, false, TCP_ACK);
	for (int offset = 0; offset < 16; offset += 15) {
		tap_step("offset %d", offset * 8);
		short_build(&p, &f);
		f.data[20] = offset ? 0 : 0x20;
		f.data[21] = offset;
		EXPECT(short_send_frame(hook, P1, &f).way == WAY_WHOLE);
	}
	tap_step("%s", "");
	end();
}

/* A frame that XDP leaves to TC is noted once, by TC. */
static void test_left(const char *name, struct frame *f)
{
	static struct lab_counters before, none, got;
	struct packet like = {.udp = true};
	const struct flow *flow;
	struct sent s;
	__u64 packets;

	tap_step("%s", name);
	flow = short_flow(&like);
	packets = flow ? flow->packets[0] : 0;
	lab_counters(&before);
	s = short_send_frame(LAB_XDP, P1, f);
	lab_counters_since(&before, &got);
	EXPECT(s.retval == XDP_PASS && s.same);
	EXPECT(!memcmp(&got, &none, sizeof(got)));
	EXPECT(flow && flow->packets[0] == packets);
	s = short_send_frame(LAB_TC, P1, f);
	EXPECT(s.retval == TC_ACT_REDIRECT && s.same);
	EXPECT(flow && flow->packets[0] == packets + 1);
	tap_step("%s", "");
}

static void test_leaving(void)
{
	struct frame_spec spec = {
		.dst = 0x525400000002, .src = 0x525400000001, .payload = UDP4, .csum = CSUM_PSEUDO};
	struct packet like = {.udp = true}, p;
	static struct frame f;

	hook = LAB_TC;
	tap_begin("XDP leaves a frame to TC");
	configure(TRACKED);
	/* P1 is a veth again, whose checksums may be left */
	lab_xdpctl("port set dev p1 hook tc\nport set dev p1 hook xdp\n");
	lab_refresh();
	next_second();
	late = false;
	open_connection(like);
	passes("a packet", next(like, false, TCP_ACK), SHORT);
	frame_build(&f, &spec);
	test_left("whose checksum is left to the hardware", &f);
	configure("fdb del 52:54:00:00:00:02 network lan\nfdb add 52:54:00:00:00:02 dev nic\n");
	goes("to a port at TC", next(like, false, TCP_ACK), NIC, WHOLE);
	p = next(like, false, TCP_ACK);
	short_build(&p, &f);
	test_left("to a port at TC", &f);
	configure("fdb del 52:54:00:00:00:02 network lan\nfdb add 52:54:00:00:00:02 dev p2\n");
	end();
}

static __u64 seed;

static int body(void)
{
	const char *duration = getenv("DURATION");

	lab_start("xdp");
	short_start();
	configure("fdb add 52:54:00:00:00:01 dev p1\n"
		  "fdb add 52:54:00:00:00:02 dev p2\n"
		  "fdb add 52:54:00:00:00:11 dev p1\n"
		  "fdb add 52:54:00:00:00:12 dev p2\n");
	for (hook = LAB_XDP; hook <= LAB_TC; hook++) {
		test_hit("TCP", (struct packet){});
		test_hit("TCP, IPv6", (struct packet){.six = true});
		test_hit("UDP", (struct packet){.udp = true});
		test_hit("UDP, IPv6", (struct packet){.udp = true, .six = true});
		test_other();
		test_flush();
		test_end();
		test_lists();
		test_moved();
		test_guard();
		test_dhcp();
		test_plain();
		test_fragments();
		configure(TRACKED);
		short_sequences(hook, seed, duration ? atof(duration) : 4);
		configure("acl del network lan out all\n");
	}
	test_leaving();
	return tap_done();
}

int main(int argc, char **argv)
{
	const char *given = getenv("SEED");

	seed = given ? strtoull(given, NULL, 0) : (__u64)time(NULL);
	return lab_run(argv[0], body);
}
