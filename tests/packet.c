// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Runs the packet tables at both hooks. At each, a frame is put through the hook's program
 * by BPF_PROG_TEST_RUN, and then sent on a device: the programs in place, whatever they
 * are and however they share the work, must do the same once more. Compared are the
 * verdict, the octets of the frame and of each copy, all counters of all ports, and that
 * nothing came out anywhere else.
 *
 *	packet [WORD…]	only tests whose name contains a WORD
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include "packet.h"
#include "tap.h"

/* The second time the decision may come from the cache. */
#define TIMES 2

static char **wanted;
static const char *const hook_names[] = {"xdp", "tc"};

bool packet_wanted(const char *name)
{
	if (!*wanted)
		return true;
	for (char **w = wanted; *w; w++)
		if (strstr(name, *w))
			return true;
	return false;
}

/* ---- set-up ---- */

#define COMMANDS 8192

static char current[COMMANDS]; /* the set-up in place */

static void append(char *to, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Appends to a buffer of COMMANDS octets. */
static void append(char *to, const char *fmt, ...)
{
	size_t n = strlen(to);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(to + n, COMMANDS - n, fmt, ap);
	va_end(ap);
}

/* The next line of a set-up in line[], without its '\n'. Returns where the one after it is. */
static const char *next_line(const char *at, char line[256])
{
	size_t n = strcspn(at, "\n");

	snprintf(line, 256, "%.*s", (int)n, at);
	return at + n + (at[n] == '\n');
}

/* Whether a line sets up a port. */
static bool is_about(const char *line, enum end e)
{
	char dev[32];

	return sscanf(line, "port set dev %31s", dev) == 1 && !strcmp(dev, lab_dev[e]);
}

/* All that a set-up says of a port. */
static void about(const char *setup, enum end e, char *to)
{
	char line[256];

	*to = '\0';
	while (*setup) {
		setup = next_line(setup, line);
		if (is_about(line, e))
			append(to, "%s\n", line);
	}
}

/* Takes back what a set-up did, but at ports that stay as they are. */
static void undo(const char *setup, const bool *stays, char *to_ip, char *to_xdpctl)
{
	static char words[COMMANDS];
	char line[256], mac[32], dev[32], vlan[32];

	append(to_xdpctl, "fdb flush network lan\n");
	for (const char *at = setup; *at;) {
		int n;

		at = next_line(at, line);
		n = sscanf(line, "fdb add %31s dev %31s vlan %31s", mac, dev, vlan);
		if (n == 2)
			append(to_xdpctl, "fdb del %s network lan\n", mac);
		if (n == 3)
			append(to_xdpctl, "fdb del %s network lan vlan %s\n", mac, vlan);
		if (sscanf(line, "!link set %31s", dev) == 1)
			append(to_ip, "link set %s mtu 1500 up\n", dev);
	}
	if (strstr(setup, "network set"))
		append(to_xdpctl, "network set lan %s ageing 300s fdb-max 0\n",
		       strstr(setup, "uplink u1") ? "uplink none" : "");
	for (int e = P1; e <= NIC; e++) {
		about(setup, e, words);
		if (e != UP && *words && !stays[e])
			append(to_xdpctl,
			       "port set dev %s vlan none\n"
			       "port set dev %s trunk none isolated off group 0 mac any fdb-max 0 "
			       "learning on flood on mcast-flood on bcast-flood on sticky off "
			       "hairpin off ip any dhcp-server on ra on policy-in allow "
			       "policy-out allow conn-max 0\n",
			       lab_dev[e], lab_dev[e]);
	}
}

static void redo(const char *setup, const bool *stays, enum lab_hook hook, char *to_ip,
		 char *to_xdpctl)
{
	char line[256];

	while (*setup) {
		bool skip = false;

		setup = next_line(setup, line);
		for (int e = P1; e <= NIC; e++)
			skip |= e != UP && stays[e] && is_about(line, e);
		if (*line == '!')
			append(to_ip, "%s\n", line + 1);
		else if (!skip)
			append(to_xdpctl, "%s\n", line);
		if (strstr(line, "uplink u1"))
			append(to_xdpctl, "port set dev u1 hook %s\n", hook_names[hook]);
	}
}

void packet_setup(const char *setup, enum lab_hook hook)
{
	static char to_ip[COMMANDS], to_xdpctl[COMMANDS], was[COMMANDS], is[COMMANDS];
	bool stays[ENDS] = {};

	if (!strcmp(current, setup))
		return;
	*to_ip = *to_xdpctl = '\0';
	for (int e = P1; e <= NIC; e++) {
		about(current, e, was);
		about(setup, e, is);
		stays[e] = !strcmp(was, is);
	}
	undo(current, stays, to_ip, to_xdpctl);
	redo(setup, stays, hook, to_ip, to_xdpctl);
	if (*to_ip)
		lab_ip(to_ip);
	lab_xdpctl(to_xdpctl);
	lab_refresh();
	snprintf(current, sizeof(current), "%s", setup);
}

/* ---- one row ---- */

static bool is_uplink(enum end e)
{
	return e == UP || e == HOST;
}

/* What becomes of a row's frame at one hook. */
struct outcome {
	__u32 retval;
	bool decided;	 /* counted and edited here */
	bool goes_on;	 /* to the next hook, or the other side of an uplink */
	bool has_copies; /* sent from within the program */
};

static struct outcome expect_xdp(const struct row *row)
{
	struct outcome o = {.retval = XDP_PASS};
	/* What a tap or veth sends is only known to be complete where it is understood. */
	bool unknown = row->f.payload == DATA && lab_policy(row->in).offloads;
	bool reaches = row->out[0].there && row->out[0].at < PORT_ENDS && !row->xdp_passes &&
		       lab_policy(row->out[0].at).xdp_tx && !unknown;

	if (row->way == FORWARD && reaches)
		o = (struct outcome){.retval = XDP_REDIRECT, .decided = true};
	else if (!is_uplink(row->in) &&
		 ((row->way == DROPPED && !row->xdp_passes) || (row->way == REFUSED && reaches)))
		o = (struct outcome){.retval = XDP_DROP, .decided = true};
	return o;
}

static struct outcome expect_tc(const struct row *row)
{
	struct outcome o = {.decided = true};
	bool uplink = is_uplink(row->in);

	switch (row->way) {
	case FORWARD:
	case HOSTWARD:
		o.retval = TC_ACT_REDIRECT;
		break;
	case FLOOD:
		o.retval = uplink ? (__u32)TC_ACT_UNSPEC : TC_ACT_SHOT;
		o.has_copies = true;
		o.goes_on = uplink;
		break;
	case FLOOD_NONE:
	case DROPPED:
		o.retval = uplink ? (__u32)TC_ACT_UNSPEC : TC_ACT_SHOT;
		o.goes_on = uplink;
		break;
	case REFUSED:
		o.retval = row->in == UP ? (__u32)TC_ACT_UNSPEC : TC_ACT_SHOT;
		o.goes_on = row->in == UP;
		break;
	case UPWARD:
		o.retval = TC_ACT_UNSPEC;
		o.goes_on = true;
		break;
	}
	return o;
}

static void build_copy(const struct row *row, const struct copy *c, struct frame *f)
{
	struct frame_spec spec = row->f;

	if (c->retagged)
		memcpy(spec.tags, c->tags, sizeof(spec.tags));
	frame_build(f, &spec);
}

/* Whether a row's frame is sent on from one side of the uplink to the other. */
static bool crosses(const struct row *row, const struct copy *c)
{
	return (row->in == UP && c->at == HOST) || (row->in == HOST && c->at == UP);
}

static void check_counters(const struct row *row, const struct lab_counters *got, bool decided,
			   size_t len)
{
	struct lab_counters want = {};
	bool refused = row->way == REFUSED;

	if (decided) {
		if (row->in != HOST) {
			want.stats[row->in].rx_packets = 1;
			want.stats[row->in].rx_bytes = len;
		}
		if (row->reason)
			want.drops[row->in == HOST ? UP : row->in].count[row->reason] = 1;
		for (const struct copy *c = row->skipped; c->there; c++)
			want.drops[c->at].count[row->skips]++;
		for (const struct copy *c = row->out; c->there; c++) {
			struct frame f;

			if (c->at == HOST || (refused && c == row->out))
				continue;
			build_copy(row, c, &f);
			want.stats[c->at].tx_packets++;
			want.stats[c->at].tx_bytes += f.len;
		}
	}
	for (int e = 0; e < PORT_ENDS; e++)
		lab_same_counters(e, got, &want);
}

/* What comes out of the devices when a row's frame is sent, or put through TC's program. */
struct expected {
	size_t n;
	struct {
		enum end at;
		struct frame f;
	} frames[24];
};

static void expect_at(struct expected *x, enum end at, const struct row *row, const struct copy *c)
{
	struct frame *f = &x->frames[x->n].f;
	__u16 type;

	build_copy(row, c, f);
	type = f->data[12] << 8 | f->data[13];
	if (at == HOST && (type == 0x8100 || type == 0x88a8))
		frame_pop(f);
	x->frames[x->n++].at = at;
}

static void expect_frames(struct expected *x, const struct row *row, bool live)
{
	x->n = 0;
	for (const struct copy *c = row->out; c->there; c++) {
		if (c->at == NIC || (!live && crosses(row, c)) ||
		    (row->way == REFUSED && c == row->out))
			continue;
		expect_at(x, c->at, row, c);
		if (c->at == HOST && row->in != UP)
			expect_at(x, HOST_DEV, row, c);
	}
}

static void check_received(const struct row *row, const struct lab_received *got,
			   const struct expected *want)
{
	bool used[sizeof(got->frames) / sizeof(*got->frames)] = {};

	for (size_t w = 0; w < want->n; w++) {
		enum end at = want->frames[w].at;
		const struct frame *near = NULL;
		bool found = false;

		for (size_t i = 0; i < got->n && !found; i++) {
			if (used[i] || got->frames[i].at != at)
				continue;
			near = &got->frames[i].f;
			found = frame_equal(near, &want->frames[w].f);
			used[i] = found;
		}
		if (!found && near)
			tap_fail("%s got    %s", lab_dev[at], frame_text(near));
		if (!found)
			tap_fail("%s misses %s", lab_dev[at], frame_text(&want->frames[w].f));
	}
	for (size_t i = 0; i < got->n; i++)
		if (!used[i] && !(row->in == UP && got->frames[i].at == HOST_DEV))
			tap_fail("%s got, unexpectedly, %s", lab_dev[got->frames[i].at],
				 frame_text(&got->frames[i].f));
}

/* The octets behind the program. TC keeps a tag that it pushed in the skb's metadata. */
static void check_frame_out(const struct row *row, enum lab_hook hook, const struct outcome *o,
			    const struct frame *in, const struct frame *out)
{
	static struct frame want;
	const struct copy *to = &row->out[0];

	if (row->way != FORWARD && row->way != HOSTWARD) {
		/* A flood from an uplink is edited and edited back: see check_received(). */
		if (!o->has_copies && !frame_equal(in, out))
			tap_fail("the frame changed: %s", frame_text(out));
		return;
	}
	if (!o->decided) {
		want = *in;
	} else {
		build_copy(row, to, &want);
		if (hook != LAB_XDP && to->retagged && to->tags[0] && to->tags[0] != row->f.tags[0])
			frame_pop(&want);
	}
	if (!frame_equal(&want, out)) {
		tap_fail("data out is   %s", frame_text(out));
		tap_fail("and should be %s", frame_text(&want));
	}
}

static void check_learned(const struct row *row)
{
	struct fdb_entry e;
	bool known;

	if (!row->stray && !row->learns)
		return;
	known = lab_fdb(row->f.src, row->vid, &e);
	if (row->stray && known)
		tap_fail("the source was learned in VLAN %u", row->vid);
	if (!row->stray && (!known || e.port != lab_port_id(row->in == HOST ? UP : row->in)))
		tap_fail("the source was not learned in VLAN %u", row->vid);
}

static void run_program(const struct row *row, enum lab_hook hook, const struct frame *in)
{
	struct outcome o = hook == LAB_XDP ? expect_xdp(row) : expect_tc(row);
	static struct lab_counters before, got;
	static struct lab_received received;
	static struct expected want;
	static struct frame out;
	__u32 retval;
	int err;

	lab_counters(&before);
	lab_gso_size = row->gso;
	err = lab_test_run(hook, row->in, in, &retval, &out);
	lab_gso_size = 0;
	if (err) {
		/* Some kernels run no TC program on a frame that ends with its header. */
		if (err != -EINVAL || in->len != 14)
			tap_fail("TEST_RUN: %s", strerror(-err));
		return;
	}
	want.n = 0;
	if (o.has_copies)
		expect_frames(&want, row, false);
	lab_receive(&received, want.n);
	lab_counters_since(&before, &got);
	if (retval != o.retval)
		tap_fail("TEST_RUN: verdict %d, not %d", (int)retval, (int)o.retval);
	check_frame_out(row, hook, &o, in, &out);
	check_counters(row, &got, o.decided, in->len);
	check_received(row, &received, &want);
	if (o.decided)
		check_learned(row);
}

/* metadata: the sender leaves its tag to the hardware. */
static void run_live(const struct row *row, const struct frame *in, bool metadata)
{
	static struct lab_counters before, got;
	static struct lab_received received;
	static struct expected want;
	int err;

	lab_counters(&before);
	err = metadata ? lab_send_tag_apart(row->in, in) : lab_send(row->in, in);
	if (err) {
		tap_fail("live: cannot be sent: %s", strerror(-err));
		return;
	}
	expect_frames(&want, row, true);
	lab_receive(&received, want.n);
	lab_counters_since(&before, &got);
	/* Nothing may come out: it is done when it is counted. */
	for (int i = 0; i < 500 && row->in != HOST && !got.stats[row->in].rx_packets; i++) {
		usleep(1000);
		lab_counters_since(&before, &got);
	}
	check_counters(row, &got, true, in->len);
	check_received(row, &received, &want);
	check_learned(row);
}

static bool has_tag(const struct row *row)
{
	return row->f.tags[0] >> 16 == 0x8100 || row->f.tags[0] >> 16 == 0x88a8;
}

void packet_run(const struct row *row, enum lab_hook hook)
{
	static struct frame in;

	packet_setup(row->setup ?: "", hook);
	frame_build(&in, &row->f);
	for (int i = 0; i < TIMES; i++) {
		if (hook == LAB_XDP && row->in != HOST && !(row->only & NO_XDP))
			run_program(row, LAB_XDP, &in);
		if (hook == LAB_TC && !(row->only & NO_TC))
			run_program(row, row->in == HOST ? LAB_EGRESS : LAB_TC, &in);
	}
	if (row->in == NIC || row->gso || row->only & NO_LIVE)
		return;
	for (int i = 0; i < TIMES; i++)
		run_live(row, &in, false);
	if (has_tag(row) && row->in != P6 && row->in != HOST)
		run_live(row, &in, true);
}

/* ---- all rows ---- */

static const struct table tables[] = {
	{"forward", packet_forward},
	{"vlan", packet_vlan},
	{"host", packet_host},
	{"guard", packet_guard},
	{"spoof", packet_spoof},
	{"offload", packet_offload},
	{},
};

/* Whether there is anything of a row to be run at a hook. */
static bool runs(const struct row *row, enum lab_hook hook)
{
	bool live = row->in != NIC && !row->gso && !(row->only & NO_LIVE);

	if (hook == LAB_XDP)
		return live || (row->in != HOST && !(row->only & NO_XDP));
	return live || !(row->only & NO_TC);
}

static void run_table(const struct table *t, enum lab_hook hook)
{
	char name[256];

	for (const struct row *row = t->rows; row->name; row++) {
		snprintf(name, sizeof(name), "%s %s: %s", hook_names[hook], t->name, row->name);
		if (!packet_wanted(name) || !runs(row, hook))
			continue;
		tap_begin("%s", name);
		if (row->stray || row->learns)
			lab_flush();
		packet_run(row, hook);
		tap_end();
	}
}

static void set_hooks(enum lab_hook hook)
{
	static char commands[COMMANDS];

	*commands = '\0';
	for (int e = P1; e <= P6; e++)
		append(commands, "port set dev %s hook %s\n", lab_dev[e], hook_names[hook]);
	lab_xdpctl(commands);
	lab_refresh();
}

static int body(void)
{
	lab_start("xdp");
	tap_remark("XDP to veth: %s",
		   lab_xdp_features() ? "as the kernel tells" : "told to the maps by this test");
	for (enum lab_hook hook = LAB_XDP; hook <= LAB_TC; hook++) {
		set_hooks(hook);
		for (const struct table *t = tables; t->name; t++)
			run_table(t, hook);
		packet_matrix(hook);
		packet_learning(hook);
		packet_setup("", hook);
		packet_nat(hook);
	}
	return tap_done();
}

int main(int argc, char **argv)
{
	wanted = argv + 1;
	return lab_run(argv[0], body);
}
