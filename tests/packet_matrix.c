// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Packet tables that are computed: every kind of VLAN port to every kind with every tag,
 * all isolation and group settings of two ports, and all lengths of short frames. What must
 * come out is worked out here from the rules, not with the data path's code.
 */
#include <stdio.h>
#include <string.h>
#include "packet.h"
#include "tap.h"

/* The other ports take no floods. */
#define OTHERS                                                        \
	"port set dev p3 flood off mcast-flood off bcast-flood off\n" \
	"port set dev p4 flood off mcast-flood off bcast-flood off\n" \
	"port set dev p5 flood off mcast-flood off bcast-flood off\n" \
	"port set dev p6 flood off mcast-flood off bcast-flood off\n" \
	"port set dev nic flood off mcast-flood off bcast-flood off\n"

struct kind {
	const char *name;
	const char *words; /* after "port set dev DEV" */
	uint16_t untagged; /* the VLAN of untagged frames, 0: none */
	uint16_t tagged[3];
	bool any;
};

static const struct kind kinds[] = {
	{"transparent", "vlan none", .any = true},
	{"access 10", "vlan 10", 10},
	{"access 20", "vlan 20", 20},
	{"trunk 10,20", "trunk 10,20", 0, {10, 20}},
	{"trunk 10,20 native 10", "trunk 10,20 native 10", 10, {20}},
	{"trunk 20 native 30", "trunk 20 native 30", 30, {20}},
};
#define KINDS (sizeof(kinds) / sizeof(*kinds))

static const uint32_t tag_sets[][FRAME_TAGS] = {
	{},
	{CTAG(0)},
	{CTAG(PCP(5) | DEI)},
	{CTAG(10)},
	{CTAG(PCP(7) | DEI | 10)},
	{CTAG(PCP(1) | 20)},
	{CTAG(DEI | 30)},
	{CTAG(4094)},
	{CTAG(PCP(2) | 10), CTAG(PCP(3) | 20)},
	{CTAG(0), CTAG(10)},
	{CTAG(20), CTAG(10), CTAG(30)},
	{STAG(10)},
	{STAG(PCP(4) | 10), CTAG(20)},
};
#define TAG_SETS (sizeof(tag_sets) / sizeof(*tag_sets))

static bool carries_tagged(const struct kind *k, uint16_t vid)
{
	for (int i = 0; i < 3; i++)
		if (vid && k->tagged[i] == vid)
			return true;
	return k->any && vid;
}

static bool is_ctag(uint32_t tag)
{
	return tag >> 16 == 0x8100;
}

static bool is_tag(uint32_t tag)
{
	return is_ctag(tag) || tag >> 16 == 0x88a8;
}

/*
 * A frame's VLAN by its ingress port, and its tags as they would be on a trunk. Returns
 * REASON_NONE or why it is dropped.
 */
static enum reason classify(const struct kind *k, const uint32_t *tags, uint16_t *vid,
			    uint32_t *inside)
{
	uint32_t tag = is_ctag(tags[0]) ? tags[0] : 0;

	memcpy(inside, tags, FRAME_TAGS * sizeof(*tags));
	*vid = tag & 0xfff;
	if (k->any)
		return REASON_NONE;
	if (tags[0] && !tag)
		return DROP_VLAN_TAGGED;
	if (*vid && *vid != k->untagged && !carries_tagged(k, *vid))
		return k->tagged[0] ? DROP_VLAN_NOT_MEMBER : DROP_VLAN_TAGGED;
	if (*vid && k->tagged[0])
		return REASON_NONE;
	if (!k->untagged)
		return DROP_VLAN_UNTAGGED;
	if (tag && is_tag(tags[1]))
		return DROP_DOUBLE_TAG;
	*vid = k->untagged;
	inside[0] = (tag ?: CTAG(0)) | *vid;
	return REASON_NONE;
}

/* The tags behind an egress port. Returns REASON_NONE or why there is no frame. */
static enum reason leave(const struct kind *k, uint16_t vid, const uint32_t *inside, uint32_t *tags)
{
	memcpy(tags, inside, FRAME_TAGS * sizeof(*tags));
	if (k->any)
		return REASON_NONE;
	if (vid && vid == k->untagged) {
		if (is_tag(inside[1]))
			return DROP_DOUBLE_TAG;
		memset(tags, 0, FRAME_TAGS * sizeof(*tags));
		return REASON_NONE;
	}
	return carries_tagged(k, vid) ? REASON_NONE : DROP_VLAN_EGRESS;
}

/* H(2) in each VLAN that a port of this kind carries. */
static void known(const struct kind *k, char *to)
{
	static const uint16_t vids[] = {10, 20, 30, 4094};

	for (size_t i = 0; i < sizeof(vids) / sizeof(*vids); i++)
		if (carries_tagged(k, vids[i]) || k->untagged == vids[i])
			sprintf(to + strlen(to), "fdb add 52:54:00:00:00:02 dev p2 vlan %u\n",
				vids[i]);
	if (k->any)
		strcat(to, "fdb add 52:54:00:00:00:02 dev p2 vlan 0\n");
}

static void pair(const struct kind *in, const struct kind *out, enum lab_hook hook)
{
	char setup[2048];

	snprintf(setup, sizeof(setup), "port set dev p1 %s\nport set dev p2 %s\n" OTHERS, in->words,
		 out->words);
	known(out, setup);
	for (size_t t = 0; t < TAG_SETS; t++)
		for (int flooded = 0; flooded <= 1; flooded++) {
			struct row row = {.name = "", .setup = setup, .in = P1};
			struct copy to = {.there = true, .at = P2, .retagged = true};
			uint32_t inside[FRAME_TAGS];
			enum reason why, refused = REASON_NONE;
			uint16_t vid;

			row.f = (struct frame_spec){flooded ? BCAST : H(2), H(1), .payload = UDP4};
			memcpy(row.f.tags, tag_sets[t], sizeof(row.f.tags));
			why = classify(in, tag_sets[t], &vid, inside);
			if (!why)
				refused = leave(out, vid, inside, to.tags);
			row.reason = why ?: refused;
			row.way = why				? DROPPED
				  : !refused && flooded		? FLOOD
				  : !refused			? FORWARD
				  : flooded			? FLOOD_NONE
				  : refused == DROP_VLAN_EGRESS ? FLOOD_NONE
								: REFUSED;
			if (!why && (!refused || row.way == REFUSED))
				row.out[0] = to;
			/* Tags behind tags: XDP cannot tell what is there. */
			row.xdp_passes = row.way != DROPPED &&
					 (is_tag(tag_sets[t][1]) ||
					  (tag_sets[t][0] && !is_ctag(tag_sets[t][0])));
			tap_step("tags %08x %08x %08x%s", tag_sets[t][0], tag_sets[t][1],
				 tag_sets[t][2], flooded ? " broadcast" : "");
			packet_run(&row, hook);
		}
}

static void separation(enum lab_hook hook)
{
	static const int groups[] = {0, 1, 2, 255};

	for (int i = 0; i < 4 * 4 * 4; i++) {
		int g1 = groups[i & 3], g2 = groups[i >> 2 & 3];
		bool iso1 = i >> 4 & 1, iso2 = i >> 5 & 1;
		enum reason why = iso1 && iso2		 ? DROP_ISOLATED
				  : g1 && g2 && g1 != g2 ? DROP_GROUP
							 : REASON_NONE;
		char setup[2048];

		snprintf(setup, sizeof(setup),
			 K2 "port set dev p1 isolated %s group %d\n"
			    "port set dev p2 isolated %s group %d\n" OTHERS,
			 iso1 ? "on" : "off", g1, iso2 ? "on" : "off", g2);
		for (int flooded = 0; flooded <= 1; flooded++) {
			struct row row = {.name = "",
					  .setup = setup,
					  .in = P1,
					  .f = {flooded ? BCAST : H(2), H(1), .payload = ARP},
					  .way = !why	   ? (flooded ? FLOOD : FORWARD)
						 : flooded ? FLOOD_NONE
							   : REFUSED,
					  .reason = why};

			if (!why || !flooded)
				row.out[0] = (struct copy)TO(P2);
			tap_step("isolated %d %d group %d %d%s", iso1, iso2, g1, g2,
				 flooded ? " broadcast" : "");
			packet_run(&row, hook);
		}
	}
}

static void lengths_from(enum end in, enum lab_hook hook)
{
	char plain[256], push[256], pop[256];

	snprintf(plain, sizeof(plain), K2);
	snprintf(push, sizeof(push),
		 "port set dev %s vlan 10\nport set dev p2 trunk 10\n"
		 "fdb add 52:54:00:00:00:02 dev p2 vlan 10\n",
		 lab_dev[in]);
	snprintf(pop, sizeof(pop), "port set dev %s trunk 10\nport set dev p2 vlan 10\n" K2,
		 lab_dev[in]);
	for (int len = 14; len <= 64; len++) {
		struct row row = {.name = "",
				  .setup = plain,
				  .in = in,
				  .f = {H(2), H(1), .size = len > 14 ? len - 14 : 1, .cut = len},
				  .way = FORWARD,
				  .out = {TO(P2)}};

		tap_step("from %s, %d octets", lab_dev[in], len);
		packet_run(&row, hook);
		if (len == 14)
			continue;
		tap_step("from %s, %d octets, gets a tag", lab_dev[in], len);
		row.setup = push;
		row.f.cut = 0;
		row.out[0] = (struct copy)TAGGED(P2, CTAG(10));
		row.only = len < 16 ? NO_LIVE : 0; /* the far end's stack drops it */
		packet_run(&row, hook);
	}
	for (int len = 19; len <= 64; len++) {
		struct row row = {.name = "",
				  .setup = pop,
				  .in = in,
				  .f = {H(2), H(1), .tags = {CTAG(10)}, .size = len - 18},
				  .way = FORWARD,
				  .out = {UNTAGGED(P2)},
				  /* the stack drops a tag without its ethertype and two octets */
				  .only = len < 20 ? NO_LIVE : 0};

		tap_step("from %s, %d octets, loses a tag", lab_dev[in], len);
		packet_run(&row, hook);
	}
}

static void lengths(enum lab_hook hook)
{
	lengths_from(P1, hook);
	lengths_from(NIC, hook); /* of which XDP takes every ethertype */
}

void packet_matrix(enum lab_hook hook)
{
	const char *at = hook == LAB_XDP ? "xdp" : "tc";
	char name[256];

	for (size_t i = 0; i < KINDS; i++)
		for (size_t o = 0; o < KINDS; o++) {
			snprintf(name, sizeof(name), "%s matrix: %s to %s", at, kinds[i].name,
				 kinds[o].name);
			if (!packet_wanted(name))
				continue;
			tap_begin("%s", name);
			pair(&kinds[i], &kinds[o], hook);
			tap_end();
		}
	snprintf(name, sizeof(name), "%s matrix: isolation and groups", at);
	if (packet_wanted(name)) {
		tap_begin("%s", name);
		separation(hook);
		tap_end();
	}
	snprintf(name, sizeof(name), "%s matrix: frames of 14 to 64 octets", at);
	if (packet_wanted(name)) {
		tap_begin("%s", name);
		lengths(hook);
		tap_end();
	}
}
