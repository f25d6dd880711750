/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Access control lists: rules, and what they are matched against. A list is one array map of
 * 128-octet lines, made by the command line (loader/acl_compile.c): a new list takes the place
 * of the old one by a single update of `acl_lists`, so each packet meets one of them, whole.
 * A single rule may be added to a long list, or taken out of it, in its place: one store of a
 * word does it (loader/acl_late.c). Line 0 is the header, the rules follow, then what is
 * compared of them and the index that finds one among many (docs/DESIGN.md). Counters are
 * apart, in `acl_counters`: a rule keeps its number through reloads.
 */
#ifndef MAPS_ACL_H
#define MAPS_ACL_H

#include <linux/types.h>
#include "network.h"
#include "port.h"

#define ACL_LINE	   128 /* octets */
#define ACL_LINEAR_MAX	   16  /* rules up to which a list is scanned */
#define ACL_RULE_MAX	   (1 << 17)
#define ACL_TUPLE_MAX	   31 /* bits of a leaf */
#define ACL_LATE_MAX	   16 /* rules beside an index */
#define ACL_PRIO_MAX	   0x7fffffff

#define ACL_COUNTER_CHUNK  4096 /* counters of one map in acl_counters */
#define ACL_COUNTER_CHUNKS 256
#define ACL_COUNTER_MAX	   (ACL_COUNTER_CHUNK * ACL_COUNTER_CHUNKS)

/* in is towards a port's party, out is from it. */
enum acl_direction {
	ACL_IN,
	ACL_OUT,
};

/* The place of a list in acl_lists: ports first, then networks, two each. */
#define ACL_PORT_LIST(id, direction)	(2 * (id) + (direction))
#define ACL_NETWORK_LIST(id, direction) (2 * (PORT_MAX + 1) + 2 * (id) + (direction))
#define ACL_LISTS			(2 * (PORT_MAX + 1) + 2 * (NETWORK_MAX + 1))

enum __attribute__((packed)) acl_action {
	ACL_NONE, /* no rule matches */
	ACL_ALLOW,
	ACL_DENY,
	ACL_REJECT,
};

/* A packet's state to its connection, one bit each in acl_key.misc. */
enum acl_state {
	ACL_NEW = 1,
	ACL_ESTABLISHED = 2,
	ACL_RELATED = 4,
	ACL_INVALID = 8,
};

enum acl_family {
	ACL_IP = 1,
	ACL_IP6 = 2,
};

/* Fields of acl_key.misc. */
#define ACL_MISC_PROTO(n)    ((__u32)(n))	/* IP protocol behind extension headers */
#define ACL_MISC_L4(n)	     ((__u32)(n) << 8)	/* TCP flags, or ICMP type */
#define ACL_MISC_FAMILY(n)   ((__u32)(n) << 16) /* enum acl_family, 0: neither */
#define ACL_MISC_STATE(n)    ((__u32)(n) << 20) /* enum acl_state */
#define ACL_MISC_HAS_L4	     ((__u32)1 << 24)	/* ports, flags, type are known */
#define ACL_MISC_DEAD	     ((__u32)1 << 31)	/* no packet has it: a deleted rule's */
#define ACL_MISC_PROTO_MASK  ACL_MISC_PROTO(0xff)
#define ACL_MISC_L4_MASK     ACL_MISC_L4(0xff)
#define ACL_MISC_FAMILY_MASK ACL_MISC_FAMILY(3)
#define ACL_MISC_STATE_MASK  ACL_MISC_STATE(0xf)

#define ACL_MAC_MASK	     0xffffffffffffULL

/*
 * What a rule may ask of a packet. Addresses are numbers, the most significant bit first: an
 * IPv4 address is the upper 32 bits of [0]. Hardware addresses are as in struct pkt: the
 * first octet is the lowest.
 */
struct acl_key {
	__u64 src[2];
	__u64 dst[2];
	__u64 src_mac; /* 48 bits, above them the ethertype behind a C-tag */
	__u64 dst_mac; /* 48 bits, above them the VID inside the network */
	__u32 misc;    /* ACL_MISC_… */
	__u16 sport;   /* host order; 0 where there is none */
	__u16 dport;
};
_Static_assert(sizeof(struct acl_key) == 56, "no hidden padding");
_Static_assert(__builtin_offsetof(struct acl_key, misc) % 8 == 0, "misc and ports are one word");
#define ACL_KEY_ETHERTYPE(n) ((__u64)(n) << 48)
#define ACL_KEY_VID(n)	     ((__u64)(n) << 48)

/* Which words a rule was given with: what `acl show` prints. */
#define ACL_GIVEN_FAMILY    0x0001
#define ACL_GIVEN_PROTO	    0x0002
#define ACL_GIVEN_SRC	    0x0004
#define ACL_GIVEN_DST	    0x0008
#define ACL_GIVEN_SPORT	    0x0010
#define ACL_GIVEN_DPORT	    0x0020
#define ACL_GIVEN_ICMP_TYPE 0x0040
#define ACL_GIVEN_TCP_FLAGS 0x0080
#define ACL_GIVEN_SRC_MAC   0x0100
#define ACL_GIVEN_DST_MAC   0x0200
#define ACL_GIVEN_ETHERTYPE 0x0400
#define ACL_GIVEN_VLAN	    0x0800
#define ACL_GIVEN_STATE	    0x1000
#define ACL_GIVEN_SRC_LEN   0x2000 /* a host's prefix with its length */
#define ACL_GIVEN_DST_LEN   0x4000

#define ACL_RULE_LOG	    0x1
#define ACL_RULE_DEAD	    0x2 /* it was deleted: the list still has its line */

/* One line. A packet matches if (packet & mask) == key in all words, and the ports are inside. */
struct acl_rule {
	__u64 src[2];
	__u64 dst[2];
	__u64 src_mac;
	__u64 dst_mac;
	__u64 src_mask[2];
	__u64 dst_mask[2];
	__u64 src_mac_mask;
	__u64 dst_mac_mask;
	__u32 misc;
	__u32 misc_mask;
	__u16 sport_min;
	__u16 sport_max;
	__u16 dport_min;
	__u16 dport_max;
	__u32 prio; /* unique in its list; the lowest that matches decides */
	__u32 line; /* of a file, while that is being read; else 0 */
	__u32 counter;
	__u16 given; /* ACL_GIVEN_… */
	enum acl_action action;
	__u8 flags; /* ACL_RULE_… */
};
_Static_assert(sizeof(struct acl_rule) == ACL_LINE, "one line");

/*
 * What of a rule is compared first, two in a line: for most rules all there is. The upper 32
 * bits of addresses are all of IPv4's.
 */
struct acl_brief {
	__u32 src;
	__u32 src_mask;
	__u32 dst;
	__u32 dst_mask;
	__u32 misc;
	__u32 misc_mask;
	__u16 sport_min;
	__u16 sport_max;
	__u16 dport_min;
	__u16 dport_max;
	__u32 prio;
	__u32 result; /* lower half of ACL_RESULT…, and ACL_BRIEF_MORE */
	__u32 rule;   /* its line */
	__u32 next;   /* of the index: ACL_NEXT_… */
	__u32 pad[4];
};
_Static_assert(sizeof(struct acl_brief) == ACL_LINE / 2, "two in a line");
#define ACL_BRIEF_MORE 0x80000000 /* the rule asks for more than is here */

/*
 * The index of a list. A tuple is a mask: its rules are found by a hash of the packet under
 * that mask. Tries of a packet's fields say which tuples can have a rule for it. All is made,
 * and explained, by loader/acl_compile.c, and read by bpf/acl_match.h.
 */
struct acl_tuple {
	struct acl_key mask;
	__u64 seed;
	__u32 chain; /* rules behind one hash, at most */
	__u32 best;  /* prio of its first rule */
	__u32 pad[14];
};
_Static_assert(sizeof(struct acl_tuple) == ACL_LINE, "one line");

/*
 * An entry of a trie. A leaf has a set of tuples. A node has its line, and how far the
 * packet's word is shifted to the right to have in its lowest five bits which of the line's
 * entries is next. ACL_ENTRY_LOW: it is the second word.
 */
#define ACL_ENTRY_LEAF	   0x80000000
#define ACL_ENTRY_LOW	   0x40000000
#define ACL_ENTRY_LINE(e)  ((e)&0xffffff)
#define ACL_ENTRY_SHIFT(e) ((e) >> 24 & 63)
#define ACL_ENTRY_ALL	   0xffffffff /* a leaf: all tuples */
#define ACL_NODE_BITS	   5
#define ACL_NODE	   (1 << ACL_NODE_BITS) /* entries of a line */
#define ACL_DEPTH	   8			/* nodes below a trie's root, at most */

struct acl_trie {
	__u32 root; /* an entry; its node has as many lines as `bits` needs */
	__u32 bits; /* that the root looks at; 0: it is a leaf */
};

enum acl_field {
	ACL_SRC4,
	ACL_DST4,
	ACL_SRC6,
	ACL_DST6,
	ACL_SPORT,
	ACL_DPORT,
	ACL_TRIES,
};

/* Leaves by family and protocol. */
enum acl_class {
	ACL_CLASS_OTHER, /* neither IPv4 nor IPv6 */
	ACL_CLASS_IP,	 /* the last of a family is for the rest of its protocols */
	ACL_CLASS_IP6 = ACL_CLASS_IP + 4,
	ACL_CLASSES = ACL_CLASS_IP6 + 4,
};

/* The place of a protocol among its family's classes. */
static inline __u32 acl_class_of_proto(__u32 proto)
{
	return proto == 6 ? 0 : proto == 17 ? 1 : proto == 1 || proto == 58 ? 2 : 3;
}

/*
 * A perfect hash: a pilot is chosen for each 1 of `pilots` groups of hashes so that all of them
 * go to places of their own.
 */
#define ACL_PILOTS_OF_LINE 64 /* of 16 bits */
#define ACL_SLOT_BITS	   18

static inline __u32 acl_pilot(__u64 hash, __u32 pilots)
{
	return (hash >> 32) * pilots >> 32;
}

static inline __u32 acl_slot(__u64 hash, __u32 pilot, __u32 slots)
{
	return ((hash ^ pilot * 0x9e3779b97f4a7c15) * 0x7d6eb9026e7f2f2b >> 32) * slots >> 32;
}

/* In acl_brief.next: the next one's slot + 1, or 0, and how many tuples can have a better rule. */
#define ACL_NEXT_SLOT(n) ((n) & ((1 << ACL_SLOT_BITS) - 1))
#define ACL_NEXT_STOP(n) ((n) >> ACL_SLOT_BITS & 31)

/* Tuples asked and rules compared for one packet, at most: of an index, and beside it. */
#define ACL_WORK_MAX 512
#define ACL_STEP_MAX (ACL_WORK_MAX + ACL_LATE_MAX)

/*
 * Line 0 of a list. One with an index has room for rules that come later: lines rules + 1 to
 * rules + ACL_LATE_MAX for them, slots `slots` to slots + ACL_LATE_MAX - 1 for their briefs,
 * which are a chain.
 */
struct acl_header {
	__u32 rules;  /* in lines 1 to rules */
	__u32 dead;   /* of them, at most */
	__u32 tuples; /* of the index, 0: there is none, and the rules are scanned */
	__u32 probes; /* tuples asked: the most that a packet can need */
	__u32 steps;  /* rules compared: the most that a packet can need */
	__u32 brief;  /* line of the first brief */
	__u32 slots;  /* for briefs that hashes lead to */
	__u32 tuple;  /* line of the first tuple */
	__u32 pilot;  /* line of the first pilot */
	__u32 pilots;
	struct acl_trie trie[ACL_TRIES];
	__u32 class[ACL_CLASSES];
	__u32 late; /* slot + 1 of the first brief of those that came later, 0: none */
};
_Static_assert(sizeof(struct acl_header) == ACL_LINE, "one line");

static inline __u64 acl_fold(__u64 word, __u64 factor)
{
	return (word ^ word >> 32) * factor;
}

/* The hash of a packet, or of what a rule asks of one, under a tuple's mask. */
static inline __u64 acl_hash(const struct acl_key *key, const struct acl_tuple *tuple)
{
	const struct acl_key *mask = &tuple->mask;
	__u64 last, last_mask, h = tuple->seed;

	/* misc and both ports are one aligned word */
	__builtin_memcpy(&last, &key->misc, sizeof(last));
	__builtin_memcpy(&last_mask, &mask->misc, sizeof(last_mask));
	h += acl_fold(key->src[0] & mask->src[0], 0x55cfe881fa9b8621);
	h += acl_fold(key->src[1] & mask->src[1], 0xa716fbd58b9daa67);
	h += acl_fold(key->dst[0] & mask->dst[0], 0xcd91046fe8fb0ac7);
	h += acl_fold(key->dst[1] & mask->dst[1], 0xb1e102bc9256d8c1);
	h += acl_fold(key->src_mac & mask->src_mac, 0xd2b5276b4e7e0bf3);
	h += acl_fold(key->dst_mac & mask->dst_mac, 0xd1fdf312864a76b5);
	h += acl_fold(last & last_mask, 0x8624028151f73281);
	h ^= h >> 29;
	h *= 0xfedda8b869657d21;
	return h ^ h >> 32;
}

/*
 * What a list says of a packet, in one number; 0: no rule matches. action: 2 bits, log: 1,
 * counter: 20, prio: the upper half.
 */
#define ACL_RESULT(action, log, counter, prio) \
	((__u64)(action) | (__u64)(log) << 2 | (__u64)(counter) << 3 | (__u64)(prio) << 32)
#define ACL_RESULT_ACTION(r)  ((enum acl_action)((r)&3))
#define ACL_RESULT_LOG(r)     ((__u32)(r) >> 2 & 1)
#define ACL_RESULT_COUNTER(r) ((__u32)(r) >> 3 & (ACL_COUNTER_MAX - 1))
#define ACL_RESULT_PRIO(r)    ((__u32)((r) >> 32))
_Static_assert(ACL_COUNTER_MAX <= 1 << 20, "fits into a result");

/* Counted when the rule itself judged a packet. */
struct acl_counter {
	__u64 packets;
	__u64 bytes; /* of the frame without FCS */
};

#define ACL_OLD_LISTS 16

/* Which counters are in use: the command line's own. */
struct acl_numbers {
	__u64 used[ACL_COUNTER_MAX / 64]; /* a bit for each number that a rule of some list has */
	__u32 old[ACL_OLD_LISTS]; /* ids of replaced lists; one that still exists may be in use */
	__u64 dead; /* numbers in use by rules that were deleted from a list in its place */
};

/* What a rule with `log` tells. */
struct acl_event {
	__u64 time; /* ns, CLOCK_MONOTONIC */
	struct acl_key key;
	__u32 prio;
	__u32 length;	/* of the frame without FCS */
	__u16 port;	/* id of the port that the list or its packet belongs to */
	__u16 network;	/* id of the network when the list is a network's, else 0 */
	__u8 direction; /* enum acl_direction */
	enum acl_action action;
	__u16 pad;
};
_Static_assert(sizeof(struct acl_event) == 80, "no hidden padding");

#endif
