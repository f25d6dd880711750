// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Tests of more than one frame: learning, moves, limits, ageing; and jumbo frames. */
#include <stdio.h>
#include <string.h>
#include "packet.h"
#include "tap.h"

static enum lab_hook at;

/* Sends a row's frame and checks all that must come of it. */
static void send(const char *setup, enum end in, struct frame_spec f, enum way way, struct copy to,
		 enum reason reason)
{
	struct row row = {.name = "",
			  .setup = setup,
			  .in = in,
			  .f = f,
			  .way = way,
			  .out = {to},
			  .reason = reason};

	packet_run(&row, at);
}

/* Sends one frame live without looking at what comes of it. */
static void speak_vlan(enum end in, mac_t src, uint32_t tag)
{
	struct frame_spec spec = {NOBODY, src, .tags = {tag}};
	static struct lab_received ignored;
	static struct frame f;

	frame_build(&f, &spec);
	EXPECT(!lab_send(in, &f));
	lab_receive(&ignored, 0);
}

static void speak(enum end in, mac_t src)
{
	speak_vlan(in, src, 0);
}

static bool behind(mac_t mac, uint16_t vid, enum end e)
{
	struct fdb_entry entry;

	return lab_fdb(mac, vid, &entry) && entry.port == lab_port_id(e);
}

static bool unknown(mac_t mac, uint16_t vid)
{
	struct fdb_entry entry;

	return !lab_fdb(mac, vid, &entry);
}

static __u64 reason_count(const struct lab_counters *before, enum end e, enum reason r)
{
	static struct lab_counters now;

	lab_counters_since(before, &now);
	return now.drops[e].count[r];
}

static struct lab_counters before;

static void learned_and_used(void)
{
	speak(P1, H(0x41));
	EXPECT(behind(H(0x41), 0, P1));
	EXPECT(lab_learned(P1) == 1 && lab_learned(ENDS) == 1);
	send("", P2, (struct frame_spec){H(0x41), H(0x42), .payload = UDP4}, FORWARD,
	     (struct copy)TO(P1), REASON_NONE);
	EXPECT(lab_learned(P2) == 1 && lab_learned(ENDS) == 2);
	speak(P1, H(0x41));
	EXPECT(lab_learned(P1) == 1 && lab_learned(ENDS) == 2);
}

static void one_address_in_two_vlans(void)
{
	packet_setup("port set dev p1 vlan 10\nport set dev p2 vlan 20\n", at);
	speak(P1, H(0x41));
	speak(P2, H(0x41));
	EXPECT(behind(H(0x41), 10, P1));
	EXPECT(behind(H(0x41), 20, P2));
	EXPECT(unknown(H(0x41), 0));
}

static void moves(void)
{
	speak(P1, H(0x41));
	lab_counters(&before);
	speak(P2, H(0x41));
	EXPECT(behind(H(0x41), 0, P2));
	EXPECT(reason_count(&before, P2, NOTE_FDB_MOVED) == 1);
	EXPECT(lab_learned(P1) == 0 && lab_learned(P2) == 1 && lab_learned(ENDS) == 1);
	speak(P1, H(0x41));
	EXPECT(behind(H(0x41), 0, P1));
	send("", P3, (struct frame_spec){H(0x41), H(0x43), .payload = UDP4}, FORWARD,
	     (struct copy)TO(P1), REASON_NONE);
}

/* A decision that was made before holds no longer than what it was made from. */
static void changes_take_effect_at_once(void)
{
	const struct frame_spec f = {H(0x41), H(0x43), .payload = UDP4};
	struct row flooded = {.name = "",
			      .setup = "",
			      .in = P3,
			      .f = f,
			      .way = FLOOD,
			      .out = {TO(P1), TO(P2), TO(P4), TO(P5), TO(P6), TO(NIC)}};

	speak(P1, H(0x41));
	send("", P3, f, FORWARD, (struct copy)TO(P1), REASON_NONE);
	tap_step("it moves");
	speak(P2, H(0x41));
	send("", P3, f, FORWARD, (struct copy)TO(P2), REASON_NONE);
	tap_step("fdb add");
	lab_xdpctl("fdb add 52:54:00:00:00:41 dev p4\n");
	lab_refresh();
	send("", P3, f, FORWARD, (struct copy)TO(P4), REASON_NONE);
	tap_step("isolated on");
	lab_xdpctl("port set dev p3 isolated on\nport set dev p4 isolated on\n");
	lab_refresh();
	send("", P3, f, REFUSED, (struct copy)TO(P4), DROP_ISOLATED);
	tap_step("isolated off");
	lab_xdpctl("port set dev p3 isolated off\nport set dev p4 isolated off\n");
	lab_refresh();
	send("", P3, f, FORWARD, (struct copy)TO(P4), REASON_NONE);
	tap_step("mac");
	lab_xdpctl("port set dev p3 mac 52:54:00:00:00:44\n");
	lab_refresh();
	send("", P3, f, DROPPED, (struct copy){}, DROP_MAC_SPOOF);
	lab_xdpctl("port set dev p3 mac any\n");
	lab_refresh();
	tap_step("vlan");
	send("", P3, f, FORWARD, (struct copy)TO(P4), REASON_NONE);
	lab_xdpctl("port set dev p4 vlan 10\n");
	lab_refresh();
	send("", P3, f, REFUSED, (struct copy)TO(P4), DROP_VLAN_EGRESS);
	lab_xdpctl("port set dev p4 vlan none\n");
	lab_refresh();
	tap_step("fdb del");
	send("", P3, f, FORWARD, (struct copy)TO(P4), REASON_NONE);
	lab_xdpctl("fdb del 52:54:00:00:00:41\n");
	lab_refresh();
	packet_run(&flooded, at);
	tap_step("fdb flush");
	speak(P2, H(0x41));
	send("", P3, f, FORWARD, (struct copy)TO(P2), REASON_NONE);
	lab_flush();
	packet_run(&flooded, at);
}

/* What one port may do does not help another one that sends the same frame. */
static void decisions_are_of_a_port(void)
{
	static const char setup[] = K2 K6 "port set dev p1 mac 52:54:00:00:00:01\n"
					  "port set dev p3 mac 52:54:00:00:00:03\n"
					  "port set dev p4 isolated on learning off\n"
					  "port set dev p6 isolated on\n";
	const struct frame_spec f = {H(2), H(1), .payload = UDP4},
				g = {H(6), H(5), .payload = UDP4};

	send(setup, P1, f, FORWARD, (struct copy)TO(P2), REASON_NONE);
	send(setup, P3, f, DROPPED, (struct copy){}, DROP_MAC_SPOOF);
	send(setup, P5, g, FORWARD, (struct copy)TO(P6), REASON_NONE);
	send(setup, P4, g, REFUSED, (struct copy)TO(P6), DROP_ISOLATED);
}

static void static_entries_stay(void)
{
	packet_setup(K2, at);
	lab_counters(&before);
	speak(P1, H(2));
	EXPECT(behind(H(2), 0, P2));
	EXPECT(reason_count(&before, P1, NOTE_FDB_MOVED) == 0);
	EXPECT(lab_learned(P1) == 0);
	lab_fdb_age(H(2), 0, 100000);
	send(K2, P3, (struct frame_spec){H(2), H(3), .payload = UDP4}, FORWARD, (struct copy)TO(P2),
	     REASON_NONE);
}

static void sticky_entries_stay(void)
{
	packet_setup("port set dev p1 sticky on\n", at);
	speak(P1, H(0x41));
	speak(P2, H(0x41));
	EXPECT(behind(H(0x41), 0, P1));
	send("port set dev p1 sticky on\n", P3, (struct frame_spec){H(0x41), H(3), .payload = UDP4},
	     FORWARD, (struct copy)TO(P1), REASON_NONE);
	speak(P2, H(0x42));
	speak(P1, H(0x42)); /* an entry of a port that is not sticky moves to one that is */
	EXPECT(behind(H(0x42), 0, P1));
	speak(P3, H(0x42));
	EXPECT(behind(H(0x42), 0, P1));
	lab_fdb_age(H(0x41), 0, 301);
	speak(P2, H(0x41)); /* it has aged: no longer anybody's */
	EXPECT(behind(H(0x41), 0, P2));
}

static void port_limit(void)
{
	packet_setup("port set dev p1 fdb-max 2\n", at);
	speak(P1, H(0x41));
	speak(P1, H(0x42));
	lab_counters(&before);
	speak(P1, H(0x43));
	EXPECT(behind(H(0x41), 0, P1));
	EXPECT(behind(H(0x42), 0, P1));
	EXPECT(unknown(H(0x43), 0));
	EXPECT(reason_count(&before, P1, NOTE_FDB_REFUSED) == 1);
	EXPECT(lab_learned(P1) == 2);
	speak(P2, H(0x43));
	EXPECT(behind(H(0x43), 0, P2));
	speak(P2, H(0x42)); /* a move makes room */
	speak(P1, H(0x44));
	EXPECT(behind(H(0x44), 0, P1));
	EXPECT(lab_learned(P1) == 2);
}

static void network_limit(void)
{
	packet_setup("network set lan fdb-max 4\n", at);
	speak(P1, H(0x41));
	speak(P2, H(0x51));
	speak(P2, H(0x52));
	speak(P2, H(0x53));
	lab_counters(&before);
	speak(P2, H(0x54)); /* the heaviest port pays for itself */
	EXPECT(behind(H(0x41), 0, P1));
	EXPECT(behind(H(0x54), 0, P2));
	EXPECT(lab_learned(ENDS) == 4 && lab_learned(P2) == 3 && lab_learned(P1) == 1);
	EXPECT(reason_count(&before, P2, NOTE_FDB_EVICTED) == 1);
	speak(P3, H(0x61)); /* and for a quiet one */
	EXPECT(behind(H(0x61), 0, P3));
	EXPECT(behind(H(0x41), 0, P1));
	EXPECT(lab_learned(ENDS) == 4 && lab_learned(P2) == 2);
	EXPECT(reason_count(&before, P2, NOTE_FDB_EVICTED) == 2);
	for (int i = 0; i < 300; i++)
		speak(P4, H(0x1000 + i));
	EXPECT(behind(H(0x41), 0, P1));
	EXPECT(behind(H(0x61), 0, P3));
	EXPECT(lab_learned(ENDS) == 4);
}

static void ageing(void)
{
	struct fdb_entry e;

	packet_setup("network set lan ageing 30s\n", at);
	speak(P1, H(0x41));
	lab_fdb_age(H(0x41), 0, 20);
	send("network set lan ageing 30s\n", P2, (struct frame_spec){H(0x41), H(0x42)}, FORWARD,
	     (struct copy)TO(P1), REASON_NONE);
	speak(P1, H(0x41)); /* use renews it */
	EXPECT(lab_fdb(H(0x41), 0, &e));
	lab_fdb_age(H(0x41), 0, 31);
	lab_counters(&before);
	speak(P2, H(0x43));
	{
		struct row row = {.name = "",
				  .setup = "network set lan ageing 30s\n",
				  .in = P2,
				  .f = {H(0x41), H(0x42)},
				  .way = FLOOD,
				  .out = {TO(P1), TO(P3), TO(P4), TO(P5), TO(P6), TO(NIC)}};

		packet_run(&row, at);
	}
	speak(P3, H(0x41));
	EXPECT(behind(H(0x41), 0, P3));
}

static void renewed_once_a_second(void)
{
	struct fdb_entry then, now;

	speak(P1, H(0x41));
	EXPECT(lab_fdb(H(0x41), 0, &then));
	speak(P1, H(0x41));
	EXPECT(lab_fdb(H(0x41), 0, &now));
	EXPECT(then.used == now.used);
	lab_fdb_age(H(0x41), 0, 5);
	speak(P1, H(0x41));
	EXPECT(lab_fdb(H(0x41), 0, &now));
	EXPECT(now.used >= then.used);
}

static void jumbo(void)
{
	static const char setup[] =
		"!link set p1 mtu 9000\n!link set f1 mtu 9000\n!link set p2 mtu 9000\n"
		"!link set f2 mtu 9000\n" K2;
	static const char *const vlans =
		"!link set p1 mtu 9000\n!link set f1 mtu 9000\n!link set p2 mtu 9000\n"
		"!link set f2 mtu 9000\nport set dev p1 vlan 10\nport set dev p2 trunk 10\n"
		"fdb add 52:54:00:00:00:02 dev p2 vlan 10\n";
	struct row row = {.name = "",
			  .setup = setup,
			  .in = P1,
			  .f = {H(2), H(1), .payload = TCP4, .size = 9000},
			  .way = FORWARD,
			  .out = {TO(P2)},
			  .xdp_passes = true,
			  .only = NO_TC};

	if (!lab_ip_try("link set f1 mtu 9000\n")) {
		tap_fail("the far end's MTU cannot be 9000");
		return;
	}
	packet_run(&row, at);
	row.setup = vlans;
	row.out[0] = (struct copy)TAGGED(P2, CTAG(10));
	packet_run(&row, at);
	row.f.tags[0] = CTAG(PCP(3) | 10);
	row.out[0] = (struct copy)TO(P2);
	packet_run(&row, at);
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{"an address is learned and used", learned_and_used},
	{"an address in two VLANs", one_address_in_two_vlans},
	{"an address moves", moves},
	{"changes take effect at once", changes_take_effect_at_once},
	{"decisions are of a port", decisions_are_of_a_port},
	{"static entries do not move or age", static_entries_stay},
	{"sticky entries do not move", sticky_entries_stay},
	{"a port's limit", port_limit},
	{"a network's limit", network_limit},
	{"ageing", ageing},
	{"an entry is renewed at most once a second", renewed_once_a_second},
	{"jumbo frames", jumbo},
	{},
};

void packet_learning(enum lab_hook hook)
{
	char name[256];

	at = hook;
	for (int i = 0; tests[i].name; i++) {
		snprintf(name, sizeof(name), "%s learning: %s", hook == LAB_XDP ? "xdp" : "tc",
			 tests[i].name);
		if (!packet_wanted(name))
			continue;
		tap_begin("%s", name);
		packet_setup("", hook);
		lab_flush();
		tests[i].run();
		tap_end();
	}
}
