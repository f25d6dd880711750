/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The forwarding database (802.1Q, 8.8): addresses by network and VLAN. Learned
 * addresses are also in a queue of their port, oldest first (fdb_queue, fdb_node),
 * so that ageing and the limits find the oldest without a search.
 */
#ifndef MAPS_FDB_H
#define MAPS_FDB_H

#include <linux/types.h>
#include <linux/bpf.h>

#define FDB_MAX (1 << 20)
/* Learned addresses leave room for static ones. */
#define FDB_LEARNED_MAX (FDB_MAX - 32768)
#define FDB_TOUCH	500000000ULL /* ns: a younger time stamp is not refreshed */

struct fdb_key {
	__u8 mac[6];
	__u16 vlan;
	__u32 network;
};
_Static_assert(sizeof(struct fdb_key) == 12, "hash key without padding");

/* One octet: bpftool shows an enum's value by name. */
enum __attribute__((packed)) fdb_state {
	FDB_DYNAMIC,
	FDB_STATIC,
};

#define FDB_LOCAL 0x1 /* an address of the host, behind the uplink's inner side */
#define FDB_OWN	  0x4 /* static by its port's `mac` setting */

struct fdb_entry {
	__u64 used; /* ns, CLOCK_MONOTONIC: last frame from it, or up to 1.5 s before */
	__u16 port;
	enum fdb_state state;
	__u8 flags; /* FDB_… */
	__u32 node; /* its place in the port's queue, 0: static */
};
_Static_assert(sizeof(struct fdb_entry) == 16, "no hidden padding");

/* A place in a port's queue: valid while the entry of its address names it. */
struct fdb_node {
	__u8 mac[6];
	__u16 vlan;
	__u32 next;  /* towards the younger ones; in the free list, the next free */
	__u32 stamp; /* s, CLOCK_MONOTONIC: when it was queued or last looked at */
};
_Static_assert(sizeof(struct fdb_node) == 16, "no hidden padding");

struct fdb_queue {
	struct bpf_spin_lock lock;
	__u32 head; /* oldest, 0: empty */
	__u32 tail;
	__u32 pad;
};

/* Nodes never used yet are those above `fresh`. */
struct fdb_pool {
	struct bpf_spin_lock lock;
	__u32 free;
	__u32 fresh;
	__u32 heaviest; /* hint: port id with the most learned addresses of all */
};

struct fdb_gc {
	struct bpf_timer timer;
	__u32 port;   /* where the next tick goes on */
	__u32 bucket; /* likewise, of `flows` */
	__u64 voided; /* ns, when the decision cache was last made void */
};

#endif
