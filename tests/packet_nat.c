// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Packet tables of NAT: connections of a VM at P5, which is in a nat network with the uplink UP,
 * and ICMP errors about them in both directions (RFC 5508, REQ-3 to REQ-5). Once a VM's ports are
 * the same outside, once others. For each row: verdict, octets, counters, what comes out of the
 * devices; and what is known of the connections, which no error may change. Frames are made from
 * the ground up as they are inside and on the wire (nat_frame.h).
 *
 *	VM ── f5 ── P5 ─ priv (nat) ─ UP ── wire ── SERVER, ROUTER
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/pkt_cls.h>
#include "nat_frame.h"
#include "nat_known.h"
#include "packet.h"
#include "tap.h"

#define SYN   0x02
#define ACK   0x10

#define OTHER 4003 /* a port of the VM that no connection has */

enum speed {
	WHOLE_WAY,
	SHORT_WAY,   /* behind the first one */
	SHORT_AT_TC, /* but not at XDP */
};

struct nat_row {
	const char *name;
	bool out; /* from the VM */
	struct nat_packet p;
	enum way way; /* FORWARD: translated. DROPPED. UPWARD: the host's */
	enum reason reason;
	bool at_gateway; /* where it is counted, not at the port */
	enum speed speed;
};

/* ---- packets of connections ---- */

/* In either direction. */
static const struct {
	const char *name;
	struct nat_packet p; /* .back is seen to */
	enum speed speed;
} packets[] = {
	{"UDP", {UDP}, SHORT_WAY},
	{"UDP of odd length", {UDP, .size = 33}, SHORT_WAY},
	{"UDP of one octet, and others behind it", {UDP, .size = 1, .trailer = 17}, SHORT_WAY},
	{"UDP without a checksum", {UDP, .unsummed = true}, SHORT_AT_TC},
	{"UDP with a wrong checksum", {UDP, .error = 0x1357}, SHORT_WAY},
	{"UDP whose checksum is 0", {UDP, .zero = ZERO_BEFORE}, SHORT_WAY},
	{"UDP whose checksum becomes 0", {UDP, .zero = ZERO_AFTER}, SHORT_WAY},
	{"UDP with a wrong header checksum", {UDP, .header_error = 1, .family = 4}, SHORT_WAY},
	{"UDP behind options", {UDP, .options = true, .family = 4}},
	{"UDP with its last hop but one", {UDP, .hops = 2}, SHORT_WAY},
	{"TCP", {TCP}, SHORT_WAY},
	{"TCP with a wrong checksum", {TCP, .error = 0x1357}, SHORT_WAY},
	{"TCP of 1,400 octets", {TCP, .size = 1400}, SHORT_WAY},
	{"an echo", {ECHO}},
	{"an echo of odd length", {ECHO, .size = 33}},
	{"an echo with a wrong checksum", {ECHO, .error = 0x1357}},
	{},
};

/* ---- errors that are translated ---- */

/* Each error of either family, about each of these; in: quoting what the VM has sent. */
static const struct about {
	const char *name;
	struct nat_packet quote; /* .back is seen to */
	struct nat_packet error; /* what else there is of it */
} abouts[] = {
	{"UDP", {UDP}},
	{"UDP, its first 8 octets", {UDP}, {.quoted = 8}},
	{"UDP, cut off in its data", {UDP}, {.quoted = 21}},
	{"UDP of odd length", {UDP, .size = 33}},
	{"UDP without a checksum", {UDP, .unsummed = true}},
	{"UDP without a checksum, its first 8 octets", {UDP, .unsummed = true}, {.quoted = 8}},
	{"UDP with a wrong checksum", {UDP, .error = 0x1357}},
	{"UDP whose checksum is 0", {UDP, .zero = ZERO_BEFORE}},
	{"UDP whose checksum becomes 0", {UDP, .zero = ZERO_AFTER}},
	{"UDP, and octets behind the error", {UDP}, {.trailer = 7}},
	{"UDP with its last hop", {UDP, .hops = 1}},
	{"UDP, itself with its last hop but one", {UDP}, {.hops = 2}},
	{"UDP of 1,200 octets", {UDP, .size = 1200}},
	{"UDP, with an extension", {UDP}, {.extended = true}},
	{"UDP of 400 octets, with an extension", {UDP, .size = 400}, {.extended = true}},
	{"the first fragment of UDP", {UDP, .pieces = 1}},
	{"the first fragment of UDP, its first 16 octets", {UDP, .pieces = 1}, {.quoted = 16}},
	{"TCP", {TCP}},
	{"TCP, its first 8 octets", {TCP}, {.quoted = 8}},
	{"TCP, its first 8 octets, others behind the error", {TCP}, {.quoted = 8, .trailer = 16}},
	{"TCP, up to its checksum", {TCP}, {.quoted = 16}},
	{"TCP, its checksum included", {TCP}, {.quoted = 18}},
	{"TCP, its header", {TCP}, {.quoted = 20}},
	{"TCP with a wrong checksum", {TCP, .error = 0x1357}},
	{"TCP, with an extension", {TCP}, {.extended = true}},
	{"an echo", {ECHO}},
	{"an echo, its first 8 octets", {ECHO}, {.quoted = 8}},
	{"an echo with a wrong checksum", {ECHO, .error = 0x1357}},
	{"an echo, with an extension", {ECHO}, {.extended = true}},
	{"UDP behind options", {UDP, .options = true, .family = 4}},
	{"TCP behind options, its first 8 octets",
	 {TCP, .options = true, .family = 4},
	 {.quoted = 8}},
	{"an echo behind options", {ECHO, .options = true, .family = 4}},
	{"UDP, itself with options", {UDP, .family = 4}, {.options = true}},
	{"UDP, both with options", {UDP, .options = true, .family = 4}, {.options = true}},
	{"UDP behind options, extended", {UDP, .options = true, .family = 4}, {.extended = true}},
	{},
};

static const struct type {
	const char *name;
	uint8_t type, code;
	uint32_t rest;
	bool length; /* its header has one of what is quoted (RFC 4884, 4) */
} types[2][10] = {
	{
		{"network unreachable", 3, 0, .length = true},
		{"host unreachable", 3, 1, .length = true},
		{"port unreachable", 3, 3, .length = true},
		{"fragmentation needed", 3, 4, 1400, .length = true},
		{"administratively prohibited", 3, 13, .length = true},
		{"source quench", 4, 0},
		{"time exceeded", 11, 0, .length = true},
		{"time for fragments exceeded", 11, 1, .length = true},
		{"parameter problem", 12, 0, 0x09000000, .length = true},
	},
	{
		{"no route", 1, 0, .length = true},
		{"administratively prohibited", 1, 1, .length = true},
		{"address unreachable", 1, 3, .length = true},
		{"port unreachable", 1, 4, .length = true},
		{"packet too big", 2, 0, 1400},
		{"hop limit exceeded", 3, 0, .length = true},
		{"time for fragments exceeded", 3, 1, .length = true},
		{"parameter problem", 4, 0, 6},
		{"unknown next header", 4, 1, 40},
	},
};

/* ---- errors that are not ---- */

#define QUOTE(...)                          \
	.quote = &(const struct nat_packet) \
	{                                   \
		__VA_ARGS__                 \
	}
/* From a router outside: the host's, or dropped. From the VM. .type 0 is port unreachable. */
#define HOSTS(name, ...)                                                                   \
	{                                                                                  \
		name, false, {ERROR, .from = ROUTER, .to = VM, __VA_ARGS__}, .way = UPWARD \
	}
#define LOST_IN(name, why, ...)                                              \
	{                                                                    \
		name, false, {ERROR, .from = ROUTER, .to = VM, __VA_ARGS__}, \
			.way = DROPPED, why, .at_gateway = (why) == DROP_TTL \
	}
#define LOST_OUT(name, why, ...)                                       \
	{                                                              \
		name, true, {ERROR, __VA_ARGS__}, .way = DROPPED, why, \
	}

static const struct nat_row refusals[] = {
	HOSTS("about a port without a mapping", QUOTE(UDP, .vm_port = OTHER)),
	HOSTS("about another port there", QUOTE(UDP, .server_port = 54)),
	HOSTS("about another server", QUOTE(UDP, .to = ROUTER)),
	HOSTS("about TCP to another port", QUOTE(TCP, .server_port = 81)),
	HOSTS("about another identifier", QUOTE(ECHO, .vm_port = OTHER)),
	HOSTS("about another protocol", QUOTE(TUNNEL)),
	HOSTS("about a packet to the VM", QUOTE(UDP, .back = true)),
	HOSTS("about an echo's reply", QUOTE(ECHO, .back = true)),
	HOSTS("about somebody else's packet", QUOTE(UDP, .from = ROUTER)),
	HOSTS("about the VM's own address", QUOTE(UDP, .from = PRIVATE)),
	HOSTS("about an error", QUOTE(ERROR, .type = 3, .code = 1, QUOTE(UDP, .back = true))),
	HOSTS("about a later fragment", QUOTE(UDP, .pieces = 2)),
	HOSTS("about 7 octets of UDP", .quoted = 7, QUOTE(UDP)),
	HOSTS("about 7 octets of UDP, others behind it", .quoted = 7, .trailer = 8, QUOTE(UDP)),
	HOSTS("about 7 octets of TCP behind options", .family = 4, .quoted = 7,
	      QUOTE(TCP, .options = true)),
	HOSTS("about 7 octets of an echo", .quoted = 7, QUOTE(ECHO)),
	HOSTS("about half a header", .quoted = 1, .cut = 11, QUOTE(UDP)),
	HOSTS("about nothing", .quote = NULL),
	HOSTS("about nothing, octets behind it", .trailer = 60),
	LOST_IN("with a wrong checksum", DROP_NAT_UNSOLICITED, .error = 0x1357, QUOTE(UDP)),
	LOST_IN("with a checksum that is wrong by 1", DROP_NAT_UNSOLICITED, .error = 1, QUOTE(TCP)),
	LOST_IN("with a wrong checksum, of odd length", DROP_NAT_UNSOLICITED, .error = 0x0100,
		QUOTE(ECHO, .size = 33)),
	LOST_IN("with a wrong checksum, of 1,200 octets", DROP_NAT_UNSOLICITED, .error = 1,
		QUOTE(UDP, .size = 1200)),
	LOST_IN("about a wrong header checksum", DROP_NAT_UNSOLICITED, .family = 4,
		QUOTE(UDP, .header_error = 0x1357)),
	LOST_IN("about one that is wrong by 1, behind options", DROP_NAT_UNSOLICITED, .family = 4,
		QUOTE(UDP, .header_error = 1, .options = true)),
	LOST_IN("whose hops run out", DROP_TTL, .hops = 1, QUOTE(UDP)),

	LOST_OUT("about a port without a mapping", DROP_NAT_PROTOCOL,
		 QUOTE(UDP, .back = true, .vm_port = OTHER)),
	LOST_OUT("about another port there", DROP_NAT_PROTOCOL,
		 QUOTE(UDP, .back = true, .server_port = 54)),
	LOST_OUT("about another server", DROP_NAT_PROTOCOL, .to = ROUTER,
		 QUOTE(UDP, .back = true, .from = ROUTER)),
	LOST_OUT("to another server", DROP_NAT_PROTOCOL, .to = ROUTER, QUOTE(UDP, .back = true)),
	LOST_OUT("about another identifier", DROP_NAT_PROTOCOL,
		 QUOTE(ECHO, .back = true, .vm_port = OTHER)),
	LOST_OUT("about another protocol", DROP_NAT_PROTOCOL, QUOTE(TUNNEL, .back = true)),
	LOST_OUT("about a packet of the VM", DROP_NAT_PROTOCOL, QUOTE(UDP)),
	LOST_OUT("about another VM's", DROP_NAT_PROTOCOL,
		 QUOTE(UDP, .back = true, .to = NEIGHBOUR)),
	LOST_OUT("about a later fragment", DROP_NAT_PROTOCOL,
		 QUOTE(UDP, .back = true, .pieces = 2)),
	LOST_OUT("about 7 octets of UDP", DROP_NAT_PROTOCOL, .quoted = 7, QUOTE(UDP, .back = true)),
	LOST_OUT("about 7 octets of UDP, others behind it", DROP_NAT_PROTOCOL, .quoted = 7,
		 .trailer = 8, QUOTE(UDP, .back = true)),
	LOST_OUT("about nothing", DROP_NAT_PROTOCOL, .quote = NULL),
	LOST_OUT("with a wrong checksum", DROP_NAT_PROTOCOL, .error = 0x1357,
		 QUOTE(UDP, .back = true)),
	LOST_OUT("about a wrong header checksum", DROP_NAT_PROTOCOL, .family = 4,
		 QUOTE(UDP, .back = true, .header_error = 0x1357)),
	LOST_OUT("whose hops run out", DROP_TTL, .hops = 1, QUOTE(UDP, .back = true)),
	LOST_OUT("that is a redirect", DROP_NAT_PROTOCOL, .family = 4, .type = 5, .code = 1,
		 QUOTE(UDP, .back = true)),

	/* what a router among the VMs has to say is the VM's */
	{"from a neighbour", true, {ERROR, .from = NEIGHBOUR, QUOTE(UDP, .back = true)}, FORWARD},
	{},
};

/* ---- one row ---- */

static struct nat_kind kind;
static enum lab_hook at;

/* A row's frame, and what becomes of it. */
struct run {
	const struct nat_row *row;
	enum end in;
	struct frame sent;
	struct frame want;	/* as it comes out of a device */
	struct frame want_data; /* where the kernel has still to find the next hop */
};

static void check_counters(const struct run *r, const struct lab_counters *got, bool counted)
{
	static struct lab_counters want;
	enum end to = r->in == UP ? P5 : UP;

	memset(&want, 0, sizeof(want));
	if (counted) {
		want.stats[r->in] = (struct port_stats){.rx_packets = 1, .rx_bytes = r->sent.len};
		if (r->row->way == FORWARD)
			want.stats[to] =
				(struct port_stats){.tx_packets = 1, .tx_bytes = r->sent.len};
		if (r->row->reason)
			want.drops[r->row->at_gateway ? GATEWAY : r->in].count[r->row->reason] = 1;
	}
	for (int e = 0; e < PORT_ENDS; e++)
		if (e != GATEWAY) /* the kernel speaks to groups when it likes */
			lab_same_counters(e, got, &want);
	if (r->row->at_gateway &&
	    got->drops[GATEWAY].count[r->row->reason] != want.drops[GATEWAY].count[r->row->reason])
		tap_fail("the gateway counted %s %llu times", lab_reason_name(r->row->reason),
			 got->drops[GATEWAY].count[r->row->reason]);
}

/* Where two frames begin to differ, and what is there. */
static void say_difference(const struct frame *got, const struct frame *want)
{
	size_t i = 0;

	while (i < got->len && i < want->len && got->data[i] == want->data[i])
		i++;
	if (got->len != want->len)
		tap_fail("%zu octets, not %zu", got->len, want->len);
	for (size_t end = i + 16; i < got->len && i < want->len && i < end; i++)
		if (got->data[i] != want->data[i])
			tap_fail("octet %zu is %02x, not %02x", i, got->data[i], want->data[i]);
}

/* How the program decides: TC's without the cache or with it, XDP's. */
enum by { WHOLE, SHORT, FAST };

/* The verdict on a row's frame where one is made. */
static __u32 verdict_on(const struct nat_row *row, enum by by)
{
	if (row->way == FORWARD)
		return by == FAST ? (__u32)XDP_REDIRECT : (__u32)TC_ACT_REDIRECT;
	return row->way == DROPPED ? (__u32)TC_ACT_SHOT : (__u32)TC_ACT_UNSPEC;
}

/* sure: no second ended meanwhile, so it is known which way the frame took. */
static void check_program(const struct run *r, enum by by, __u32 verdict, const struct frame *out,
			  const struct lab_counters *got, bool sure)
{
	bool decides = by != FAST || r->row->speed == SHORT_WAY;
	const struct frame *want = &r->sent;
	__u32 expected = XDP_PASS;

	if (!sure && by == FAST && verdict == XDP_PASS)
		decides = false;
	if (decides)
		expected = verdict_on(r->row, by);
	if (decides && r->row->way == FORWARD)
		want = by == WHOLE ? &r->want_data : &r->want;
	if (!sure && by == SHORT && frame_equal(out, &r->want_data))
		want = &r->want_data;
	if (verdict != expected)
		tap_fail("TEST_RUN: verdict %d, not %d", (int)verdict, (int)expected);
	if (!frame_equal(out, want)) {
		tap_fail("data out:");
		say_difference(out, want);
	}
	check_counters(r, got, decides);
}

/* generation: that in which the way was made known. Returns whether it still is. */
static bool run_program(const struct run *r, enum by by, __u32 generation)
{
	static struct lab_counters before, got;
	static struct frame out;
	__u32 verdict;
	bool sure;
	int err;

	lab_counters(&before);
	err = lab_test_run(by == FAST ? LAB_XDP : LAB_TC, r->in, &r->sent, &verdict, &out);
	sure = lab_generation() == generation;
	lab_counters_since(&before, &got);
	if (err)
		tap_fail("TEST_RUN: %s", strerror(-err));
	else
		check_program(r, by, verdict, &out, &got, sure);
	return sure;
}

/* The first packet takes the whole way, those behind it the short one if they can. */
static void run_programs(const struct run *r)
{
	__u32 generation;
	bool sure = false;

	for (int i = 0; i < 10 && !sure; i++) {
		lab_next_second();
		generation = lab_generation();
		sure = run_program(r, WHOLE, generation);
		if (at == LAB_XDP)
			sure = run_program(r, FAST, generation) && sure;
		for (int n = 0; n < 2 && at == LAB_TC && r->row->speed; n++)
			sure = run_program(r, SHORT, generation) && sure;
	}
	if (!sure)
		tap_fail("it took seconds");
}

/* The kernel's, to groups; and what comes off the wire. */
static bool is_expected_noise(const struct run *r, enum end e, const struct frame *f)
{
	return f->data[0] & 1 || (r->in == UP && e == HOST_DEV);
}

static void check_received(const struct run *r, const struct lab_received *got)
{
	enum end to = r->row->way == UPWARD ? HOST : r->in == UP ? P5 : UP;
	const struct frame *want = r->row->way == UPWARD ? &r->sent : &r->want;
	bool found = r->row->way == DROPPED;

	for (size_t i = 0; i < got->n; i++) {
		const struct frame *f = &got->frames[i].f;
		enum end e = got->frames[i].at;

		if (is_expected_noise(r, e, f))
			continue;
		if (!found && e == to) {
			found = true;
			if (!frame_equal(f, want)) {
				tap_fail("live, at %s:", lab_dev[e]);
				say_difference(f, want);
			}
			continue;
		}
		tap_fail("%s got, unexpectedly, %s", lab_dev[e], frame_text(f));
	}
	if (!found)
		tap_fail("%s misses %s", lab_dev[to], frame_text(want));
}

static void run_live(const struct run *r)
{
	static struct lab_counters before, got;
	static struct lab_received received;
	int err;

	lab_receive(&received, 0);
	lab_counters(&before);
	err = lab_send(r->in, &r->sent);
	if (err) {
		tap_fail("live: cannot be sent: %s", strerror(-err));
		return;
	}
	lab_receive(&received, r->row->way == DROPPED ? 0 : 1);
	lab_counters_since(&before, &got);
	/* Nothing may come out: it is done when it is counted. */
	for (int i = 0; i < 500 && !got.stats[r->in].rx_packets; i++) {
		usleep(1000);
		lab_counters_since(&before, &got);
	}
	check_counters(r, &got, true);
	check_received(r, &received);
}

static void run_row(const struct nat_row *row)
{
	bool error = row->p.carries == ERROR;
	static struct run r;
	struct nat_known before;

	r.row = row;
	r.in = row->out ? P5 : UP;
	nat_frame(&r.sent, &kind, &row->p, row->out, false);
	nat_frame(&r.want, &kind, &row->p, row->out, true);
	r.want_data = r.want;
	if (row->out) /* bpf_redirect_neigh() */
		memcpy(r.want_data.data, r.sent.data, 12);
	nat_known_mark();
	nat_known_look(&before);
	run_programs(&r);
	for (int i = 0; i < (error ? 1 : 2); i++)
		run_live(&r);
	if (error)
		nat_known_check(&before);
}

/* ---- the tables ---- */

static bool of_this_family(const struct nat_packet *p)
{
	return !p->family || p->family == (kind.six ? 6 : 4);
}

static const char *title(char name[256], bool out, const char *what)
{
	snprintf(name, 256, "%s nat: %s%s: %s: %s", at == LAB_XDP ? "xdp" : "tc",
		 kind.six ? "IPv6" : "IPv4", kind.moved ? ", other ports" : "", out ? "out" : "in",
		 what);
	return name;
}

static void run_packets(bool out)
{
	char name[256];

	for (int i = 0; packets[i].name; i++) {
		struct nat_row row = {.out = out, .p = packets[i].p, .speed = packets[i].speed};

		title(name, out, packets[i].name);
		if (!of_this_family(&row.p) || !packet_wanted(name))
			continue;
		row.way = FORWARD;
		row.p.back = !out;
		tap_begin("%s", name);
		run_row(&row);
		tap_end();
	}
}

static void run_refusals(void)
{
	char name[256], what[200];

	for (const struct nat_row *row = refusals; row->name; row++) {
		struct nat_row r = *row;

		snprintf(what, sizeof(what), "an error %s", row->name);
		if (!of_this_family(&r.p) || !packet_wanted(title(name, row->out, what)))
			continue;
		if (!r.p.type) {
			r.p.type = kind.six ? 1 : 3;
			r.p.code = kind.six ? 4 : 3;
		}
		tap_begin("%s", name);
		run_row(&r);
		tap_end();
	}
}

static void run_about(const struct about *a, bool out)
{
	char name[256], what[200];
	struct nat_packet quote = a->quote;
	struct nat_row row = {.out = out, .p = a->error, .way = FORWARD};

	snprintf(what, sizeof(what), "an error about %s", a->name);
	if (!of_this_family(&quote) || !packet_wanted(title(name, out, what)))
		return;
	quote.back = out;
	row.p.carries = ERROR;
	row.p.from = out ? VM : ROUTER;
	row.p.to = out ? SERVER : VM;
	row.p.quote = &quote;
	tap_begin("%s", name);
	for (const struct type *t = types[kind.six]; t->name; t++) {
		if (row.p.extended && !t->length)
			continue;
		tap_step("%s", t->name);
		row.p.type = t->type;
		row.p.code = t->code;
		row.p.rest = t->rest;
		run_row(&row);
	}
	tap_step("%s", "");
	tap_end();
}

/* The connections of all rows. */
static void open_connections(void)
{
	static const struct nat_row rows[] = {
		{"the first packet of UDP", true, {UDP}, .speed = SHORT_WAY},
		{"its answer", false, {UDP, .back = true}, .speed = SHORT_WAY},
		{"SYN", true, {TCP, .tcp = SYN}, .speed = SHORT_WAY},
		{"SYN, ACK", false, {TCP, .back = true, .tcp = SYN | ACK}, .speed = SHORT_WAY},
		{"ACK", true, {TCP}, .speed = SHORT_WAY},
		{"an echo request", true, {ECHO}},
		{"its reply", false, {ECHO, .back = true}},
		{},
	};
	char name[256];

	lab_xdpctl("flow flush network priv\n");
	nat_known_forget();
	tap_begin("%s", title(name, true, "connections"));
	for (const struct nat_row *row = rows; row->name; row++) {
		struct nat_row r = *row;

		r.way = FORWARD;
		tap_step("%s", row->name);
		run_row(&r);
	}
	tap_step("%s", "");
	nat_known_find(nat_frame_port(&kind, 4000));
	tap_end();
}

static void run_kind(void)
{
	open_connections();
	for (int out = 1; out >= 0; out--)
		run_packets(out);
	for (int out = 0; out < 2; out++)
		for (const struct about *a = abouts; a->name; a++)
			run_about(a, out);
	run_refusals();
}

/* ---- the network ---- */

static void set_up(enum lab_hook hook)
{
	const char *name = hook == LAB_XDP ? "xdp" : "tc";
	char commands[1024];

	lab_ip("link set u1 addrgenmode none\n");
	lab_sysctl("net/ipv6/conf/u1/disable_ipv6", "0");
	lab_ip("address add 10.0.0.100/24 dev u1\n"
	       "address add fd00::100/64 dev u1 nodad\n"
	       "neigh replace 10.0.0.210 lladdr 52:54:00:00:00:e1 dev u1 nud permanent\n"
	       "neigh replace fd00::210 lladdr 52:54:00:00:00:e1 dev u1 nud permanent\n");
	snprintf(commands, sizeof(commands),
		 "port del dev p5\n"
		 "network add priv mode nat uplink u1 subnet 192.168.50.0/24 subnet6 "
		 "fd00:50::/64\n"
		 "port add priv dev p5 hook %s\n"
		 "port set dev p5 mcast-flood off\n" /* of what the kernel has to say */
		 "port set dev u1 hook %s\n",
		 name, name);
	lab_xdpctl(commands);
	lab_refresh();
	kind.vm = H(5);
	kind.neighbour = H(0x15);
	kind.gateway = lab_device_mac("priv");
	kind.host = HOST_MAC;
	kind.wire = WIRE;
}

static void take_down(enum lab_hook hook)
{
	char commands[256];

	nat_known_forget();
	snprintf(commands, sizeof(commands),
		 "port del dev p5\nnetwork del priv\nport add lan dev p5 hook %s\n",
		 hook == LAB_XDP ? "xdp" : "tc");
	lab_xdpctl(commands);
	lab_ip("address flush dev u1\nneigh flush dev u1 nud permanent\n");
	lab_sysctl("net/ipv6/conf/u1/disable_ipv6", "1");
	lab_refresh();
}

/* Whether there is a row of this kind among those that were asked for. */
static bool wanted(void)
{
	char name[256], what[200];

	for (int i = 0; packets[i].name; i++)
		if (packet_wanted(title(name, true, packets[i].name)) ||
		    packet_wanted(title(name, false, packets[i].name)))
			return true;
	for (const struct about *a = abouts; a->name; a++) {
		snprintf(what, sizeof(what), "an error about %s", a->name);
		if (packet_wanted(title(name, false, what)) ||
		    packet_wanted(title(name, true, what)))
			return true;
	}
	for (const struct nat_row *row = refusals; row->name; row++) {
		snprintf(what, sizeof(what), "an error %s", row->name);
		if (packet_wanted(title(name, row->out, what)))
			return true;
	}
	return false;
}

void packet_nat(enum lab_hook hook)
{
	bool is_set_up = false;

	at = hook;
	for (int i = 0; i < 4; i++) {
		kind.six = i & 1;
		kind.moved = i >> 1;
		if (!wanted())
			continue;
		if (!is_set_up)
			set_up(hook);
		is_set_up = true;
		if (kind.moved)
			lab_xdpctl("nat masquerade priv to 10.0.0.100 ports 30000-30001\n"
				   "nat masquerade priv to fd00::100 ports 30000-30001\n");
		lab_refresh();
		run_kind();
	}
	if (is_set_up)
		take_down(hook);
}
