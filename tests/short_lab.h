/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * For the tests of the short way (bpf/flow_cache.h): packets of connections between two hosts at
 * P1 and P2, which way each went, and what the tables know of its flow.
 */
#ifndef TESTS_SHORT_LAB_H
#define TESTS_SHORT_LAB_H

#include "../maps/flow.h"
#include "lab.h"

#define TCP_FIN	   0x01
#define TCP_SYN	   0x02
#define TCP_RST	   0x04
#define TCP_PSH	   0x08
#define TCP_ACK	   0x10
#define TCP_URG	   0x20

#define SCALE_NONE 0xff

/* A packet of a connection. Pairs of hosts have addresses of their own. */
struct packet {
	__u8 pair;  /* 0: H(1) and H(2), 1: H(17) and H(18), both at P1 and P2 */
	bool udp;   /* else TCP */
	bool six;   /* IPv6 */
	bool back;  /* from P2, which was called */
	__u16 port; /* of who calls, the other's is 7; 0: 40000 */
	__u8 flags;
	__u8 scale; /* a SYN's option, SCALE_NONE: without */
	__u8 words; /* TCP: options that say nothing, words of 4 octets */
	__u8 doff;  /* TCP: not 0: how many words the header says that it has */
	__u16 window;
	__u32 seq, ack;
	__u16 length; /* octets behind the transport header */
	__u8 pad;     /* octets behind the packet */
	/* Not 0 or NULL: instead of these */
	__u16 sport, dport;
	const char *sip, *dip;
};

enum way_taken {
	WAY_SHORT, /* by a hint */
	WAY_FOUND, /* the short way, but its flow had to be searched */
	WAY_WHOLE,
};
extern const char *const short_way_names[];

struct sent {
	__u32 retval;
	enum way_taken way;
	bool passed; /* on to another port */
	bool same;   /* it is what came in */
};

/* Opens what is needed behind lab_start(). */
void short_start(void);
void short_build(const struct packet *p, struct frame *f);
struct sent short_send_frame(enum lab_hook hook, enum end in, const struct frame *f);
struct sent short_send(enum lab_hook hook, const struct packet *p);
/* The next packet of this pair in this direction takes the whole way. */
void short_forget(const struct packet *p);
/* As when what judges a port has changed to something that judges alike. */
void short_judge_anew(enum end e);
/* Both ports' lists have been changed as often. */
void short_judge_alike(enum end e, enum end other);
/* As when a second is over. */
void short_next_second(void);
/* Of decisions: a timer raises it every second. */
__u32 short_generation(void);

/* The flow of a packet, in either table; NULL: none. Valid until the next packet. */
const struct flow *short_flow(const struct packet *p);
/* Gives a packet from the caller other ports, above CALLED, with which it has the same hint. */
void short_same_hint(struct packet *p);
/* Which end of its flow has sent the packet. */
__u32 short_side(const struct packet *p);

#endif
