/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Packets of a VM's connections through a nat network, and ICMP errors about them, as they are
 * inside and on the wire. Either form is made from a description, from the ground up, and each of
 * its checksums of all octets that it covers: what NAT has to make of one form is the other.
 */
#ifndef TESTS_NAT_FRAME_H
#define TESTS_NAT_FRAME_H

#include "frame.h"

/* Where a packet is seen. */
enum seen { INSIDE, OUTSIDE };

enum who {
	NOT_SAID,
	VM,
	SERVER,	   /* the VM's peer */
	ROUTER,	   /* anybody else outside */
	NEIGHBOUR, /* another VM */
	PRIVATE,   /* the VM's address as it is inside, on the wire, too */
};

/* What a packet carries. */
enum carries {
	UDP,
	TCP,
	ECHO,	/* from the VM a request, from others a reply */
	ERROR,	/* ICMP: quotes another packet */
	TUNNEL, /* a protocol without ports */
};

enum zero {
	NOT_ZERO,
	ZERO_BEFORE, /* the UDP checksum is calculated to be 0 (RFC 768: it is sent as ffff) */
	ZERO_AFTER,  /* likewise, when it is translated */
};

struct nat_packet {
	enum carries carries;
	bool back;	      /* from SERVER to VM, not from VM to SERVER */
	enum who from, to;    /* not 0: instead of these, with their ports */
	uint16_t vm_port;     /* as inside; an echo's identifier. 0: 4000 */
	uint16_t server_port; /* 0: 53 */
	uint8_t hops;	      /* 0: 64 */
	uint8_t tcp;	      /* flags. 0: ACK */
	uint16_t size;	      /* octets of data. 0: 32 */
	uint8_t pieces;	      /* 1: a first fragment, 2: a later one */
	bool options;	      /* IPv4, of 8 octets */
	uint16_t trailer;     /* octets behind the packet */

	/* Checksums: what is added to the sum of the octets, so that it is wrong by that */
	uint16_t header_error, error;
	bool unsummed; /* UDP: without one */
	enum zero zero;

	/* ERROR */
	uint8_t type, code;
	uint32_t rest; /* of its header */
	const struct nat_packet *quote;
	uint16_t quoted; /* so many octets behind the quoted network header. 0: all */
	uint16_t cut;	 /* so many less of what is quoted */
	bool extended;	 /* with the quote's length, and an extension (RFC 4884) */

	int family; /* not 0: there is such a packet in this one alone */
};

/* What all packets have in common. */
struct nat_kind {
	bool six;
	bool moved; /* the VM's ports are others outside */
	mac_t vm, neighbour, gateway;
	mac_t host, wire; /* the uplink and its next hop */
};

/* Makes a frame from the VM (out) or from the wire, or what NAT makes of it. */
void nat_frame(struct frame *f, const struct nat_kind *k, const struct nat_packet *p, bool out,
	       bool translated);
/* The port that the VM's port has outside. */
uint16_t nat_frame_port(const struct nat_kind *k, uint16_t vm_port);
/* An address as text. */
const char *nat_frame_address(const struct nat_kind *k, enum who who, enum seen seen);

#endif
