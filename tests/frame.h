/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Frames from a description: addresses, VLAN tags, and a payload whose lengths and
 * checksums are right unless asked otherwise. A test names what matters, and the rest
 * is filled in the same way each time, so that two descriptions that differ in one
 * thing give frames that differ in that alone.
 */
#ifndef TESTS_FRAME_H
#define TESTS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX  9300
#define FRAME_TAGS 4

/* Tags, outermost first: TPID << 16 | TCI. */
#define CTAG(tci) (0x81000000u | (tci))
#define STAG(tci) (0x88a80000u | (tci))
#define PCP(n)	  ((n) << 13)
#define DEI	  0x1000

/* An address as a number: 0x525400000001 is 52:54:00:00:00:01. */
typedef uint64_t mac_t;

enum payload {
	DATA, /* octets that count up, behind `type` */
	ARP,
	UDP4,
	TCP4,
	ICMP4,
	IGMP4,
	SCTP4,
	GRE4,
	UDP6,
	TCP6,
	ICMP6,
	HOP6, /* TCP behind a hop-by-hop header */
	RARP,
	DATA6, /* octets that count up, of the experimental IP protocol 253 */
};

/* IPv6 extension headers. */
enum extension {
	EXT_NONE,
	EXT_HOP,
	EXT_ROUTE,
	EXT_FRAGMENT, /* says what frame_spec.frag says */
	EXT_AH,
	EXT_OPTIONS,
	EXT_LONG, /* options of 128 octets */
};
#define FRAME_EXTENSIONS 10

#define FRAG_MORE	 1 /* in frame_spec.frag: not the last */

/* An octet to be put elsewise: of the network header, or what is in its place. */
struct patch {
	bool there;
	uint16_t at;
	uint8_t to;
};
#define PATCH(at, to)        \
	{                    \
		true, at, to \
	}

enum checksum {
	CSUM_RIGHT,
	CSUM_PSEUDO,	   /* left to the hardware: the pseudo header's sum */
	CSUM_PSEUDO_NOLEN, /* the same without the length */
	CSUM_ZERO,
};

struct frame_spec {
	mac_t dst, src;
	uint32_t tags[FRAME_TAGS]; /* ends with 0 */
	enum payload payload;
	uint16_t type;	/* of DATA; 0: 0x88b5, an experimental one */
	uint16_t size;	/* octets behind the last tag's ethertype; 0: 46 */
	uint16_t dport; /* 0: 7 */
	enum checksum csum;
	bool fragment; /* IPv4: a first fragment */
	bool options;  /* IPv4: with a 4-octet option */
	uint16_t cut;  /* octets that are left of the frame, 0: all */
	/* IP, ARP, ND, as text; NULL: 10.0.0.1 and 10.0.0.2, fd00::1 and fd00::2 */
	const char *sip, *dip;
	uint16_t sport; /* 0: 40000 */
	uint16_t frag;	/* IPv4, EXT_FRAGMENT: octets of offset | FRAG_MORE */
	uint16_t trim;	/* IP: octets that are left of the packet; its length says so, too */
	uint8_t extensions[FRAME_EXTENSIONS];
	uint16_t arp_op; /* 0: 1, request */
	mac_t arp_src;	 /* 0: src */
	uint8_t icmp;	 /* ICMP6: type; 0: 128, echo request */
	/* Of ICMP6 types 130 to 143 */
	const char *target; /* NULL: sip */
	mac_t slla, tlla;   /* options: link-layer addresses; 0: none */
	bool nonce;	    /* option of RFC 3971 */
	bool snap;	    /* with a SNAP header (RFC 1042) */
	struct patch patch[4];
};

struct frame {
	size_t len;
	uint8_t data[FRAME_MAX];
};

void frame_build(struct frame *f, const struct frame_spec *spec);
/* The octets of an address. */
void frame_mac(uint8_t out[6], mac_t mac);
/* Puts a tag behind the addresses, or takes the outermost one off. */
void frame_push(struct frame *f, uint32_t tag);
void frame_pop(struct frame *f);
/* Whether two frames are the same octet by octet. */
bool frame_equal(const struct frame *a, const struct frame *b);
/* Up to 64 octets as text. Returns a static buffer, one of four. */
const char *frame_text(const struct frame *f);

#endif
