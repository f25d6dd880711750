/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Packet tables: a row says how the switch is set up, which frame comes in where, and all
 * that must come of it. Rows are in packet_*.c; packet.c runs each at XDP and at TC, by
 * BPF_PROG_TEST_RUN and as a frame on the devices.
 */
#ifndef TESTS_PACKET_H
#define TESTS_PACKET_H

#include "frame.h"
#include "lab.h"

/* Addresses: H(n) is behind port n, WIRE behind the uplink, NOBODY nowhere. */
#define H(n)	 (0x525400000000ULL + (n))
#define HOST_MAC LAB_UPLINK_MAC
#define WIRE	 0x5254000000e1ULL
#define NOBODY	 0x5254000000ffULL
#define BCAST	 0xffffffffffffULL
#define MCAST	 0x01005e000001ULL
#define MCAST6	 0x333300000001ULL
#define LLDP	 0x0180c200000eULL

/* Set-up: H(n) is known at port n. */
#define K1     "fdb add 52:54:00:00:00:01 dev p1\n"
#define K2     "fdb add 52:54:00:00:00:02 dev p2\n"
#define K3     "fdb add 52:54:00:00:00:03 dev p3\n"
#define K6     "fdb add 52:54:00:00:00:06 dev p6\n"
#define KN     "fdb add 52:54:00:00:00:08 dev nic\n"
#define KWIRE  "fdb add 52:54:00:00:00:e1 dev u1\n"
#define UPLINK "network set lan uplink u1\n"

enum way {
	FORWARD = 1, /* to out[0] alone */
	FLOOD,	     /* to all of out */
	FLOOD_NONE,  /* nobody takes the flood: dropped for `reason` */
	DROPPED,     /* before a destination was looked for (uplink: it goes on all the same) */
	REFUSED,     /* the destination refuses it: dropped at out[0] for `reason` */
	HOSTWARD,    /* from a VM to the host */
	UPWARD,	     /* on to the host, or to the wire, as it came */
};

struct copy {
	bool there;
	enum end at;
	bool retagged; /* with `tags`; else as it came in */
	uint32_t tags[FRAME_TAGS];
};
#define TO(e)                            \
	{                                \
		.there = true, .at = (e) \
	}
#define UNTAGGED(e)                                        \
	{                                                  \
		.there = true, .at = (e), .retagged = true \
	}
#define TAGGED(e, ...)                                                              \
	{                                                                           \
		.there = true, .at = (e), .retagged = true, .tags = { __VA_ARGS__ } \
	}
#define TO_ALL_BUT_1 TO(P2), TO(P3), TO(P4), TO(P5), TO(P6), TO(NIC)

enum only {
	NO_XDP = 1,  /* not by TEST_RUN at XDP */
	NO_TC = 2,   /* not by TEST_RUN at TC */
	NO_LIVE = 4, /* not on the devices */
};

struct row {
	const char *name;
	/* Lines for xdpctl, or, with a '!', for ip; undone by the runner. */
	const char *setup;
	enum end in;
	struct frame_spec f;
	enum way way;
	struct copy out[10];
	enum reason reason; /* counted once at `in` */
	enum reason skips;  /* counted once at each of `skipped`, whose copy there is not */
	struct copy skipped[3];
	bool xdp_passes; /* XDP leaves to TC what it could decide otherwise */
	bool stray;	 /* the source must not be learned */
	bool learns;	 /* the source must be learned */
	uint16_t vid;	 /* in which VLAN */
	uint32_t gso;	 /* GSO segment size (TEST_RUN at TC only) */
	int only;	 /* enum only bits */
};

/* Runs one row; the hook is the one that the ports have. Inside tap_begin()/tap_end(). */
void packet_run(const struct row *row, enum lab_hook hook);
/* Makes the switch what a row's set-up says. */
void packet_setup(const char *setup, enum lab_hook hook);

struct table {
	const char *name;
	const struct row *rows; /* ends with a row without a name */
};
extern const struct row packet_forward[], packet_vlan[], packet_host[], packet_guard[],
	packet_spoof[], packet_offload[];

/* Tests that are computed, or need more than one frame. Print their own results. */
void packet_matrix(enum lab_hook hook);
void packet_learning(enum lab_hook hook);
/* The tables of NAT, in a nat network that is there meanwhile. */
void packet_nat(enum lab_hook hook);
/* Whether a name was asked for on the command line. */
bool packet_wanted(const char *name);

#endif
