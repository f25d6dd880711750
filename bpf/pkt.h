/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * One frame on its way through the pipeline. parse() fills what the frame says, the
 * later stages add what the switch makes of it; no stage reads the frame again.
 */
#ifndef BPF_PKT_H
#define BPF_PKT_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "../maps/cache.maps.h"
#include "../maps/port.maps.h"
#include "../maps/network.maps.h"
#include "../maps/fdb.maps.h"
#include "../maps/stats.maps.h"
#include "../maps/acl.maps.h"
#include "../maps/flow.maps.h"
#include "../maps/frag.maps.h"
#include "../maps/l3.maps.h"
#include "../maps/nat.maps.h"

#define barrier()	 asm volatile("" ::: "memory")
#define READ_ONCE(x)	 (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))

/*
 * A context as if nothing had been read of it yet. The short way's struct pkt is in registers, the
 * whole way's in memory, for the verifier and maps are shown its fields: parsing again costs less
 * than to keep what the short way has read.
 */
#define anew(ctx)                              \
	({                                     \
		typeof(ctx) _ctx = (ctx);      \
		asm volatile("" : "+r"(_ctx)); \
		_ctx;                          \
	})

#define VLAN_VID_MASK 0x0fff
#define VLAN_HLEN     4
/* skb->gso_size where each segment has its own size: the kernel's number for SCTP's. */
#define GSO_BY_FRAGS 0xffff
/* A VLAN tag as the stages pass it around: NO_TAG, or TAG_PRESENT | TCI (802.1Q, 9.6). */
#define NO_TAG	    0
#define TAG_PRESENT 0x10000

#define MAC_MASK    0xffffffffffffULL /* an address as loaded from the frame, in a __u64 */

enum verdict {
	CONTINUE, /* on to the next stage */
	UPPER,	  /* not this hook's: XDP leaves it to TC, TC to the host, both untouched */
	TO_PORT,  /* to pkt.out */
	TO_HOST,  /* to the host behind the uplink */
	TO_ALL,	  /* flooded */
	TO_WIRE,  /* out of a NAT network, by its uplink */
	TO_NEIGH, /* into one, to a VM whose link-layer address the kernel finds */
	DROP,	  /* for pkt.reason */
};

/* Whether a frame's checksums are its own, or left to the hardware that is to send it. */
enum sum {
	SUM_UNKNOWN, /* to be found by looking: bpf/offload.h */
	SUM_DONE,
	SUM_LEFT,
};

/* tag and inner_tag are at multiples of 8: only there the verifier keeps what it learns of a field.
 */
struct pkt {
	hook_ctx *ctx;

	/* parse */
	__u64 dst; /* addresses in frame order from the low octet on */
	__u64 src;
	__u32 len;	  /* octets from the destination address on, tags included */
	__u32 size;	  /* len without the outer tag: what an MTU limits */
	__u32 tag;	  /* the outer tag, if it is a C-tag: NO_TAG or TAG_PRESENT | TCI */
	__u16 proto;	  /* ethertype behind that tag, network order */
	__u16 offset;	  /* octets to what follows that ethertype */
	__u8 inner_tag;	  /* not 0: another tag follows, or the outer one is an S-tag */
	__u8 sum;	  /* enum sum, from the entry on */
	__u32 generation; /* of the decision cache, when the whole way began */

	/* port */
	struct port *in;
	struct network *net;
	__u32 in_id;
	union port_policy in_policy;
	bool from_host; /* sent by the host on its uplink; `in` is the uplink */
	bool routed;	/* likewise, but the kernel forwards it for somebody */
	bool hairpin;	/* from one external endpoint to another */
	bool nat;	/* it is being translated: l3.nat says how */
	__u32 external; /* from_host: the external endpoint that it was sent to, slot 16 | port 16 */

	/* VLAN */
	__u32 inside; /* the tag that the frame has on a port that carries all VLANs */
	__u16 vid;    /* 0: untagged on transparent ports */

	/* l3, where something asks for it; else NULL */
	struct l3 *l3;

	/* forward */
	__u64 now; /* ns, CLOCK_MONOTONIC, coarse */
	struct port *out;
	union port_policy out_policy;
	__u32 out_id;

	enum reason reason; /* with DROP */
};

static __always_inline enum verdict drop(struct pkt *p, enum reason reason)
{
	p->reason = reason;
	return DROP;
}

static __always_inline union port_policy port_policy(const struct port *port)
{
	return (union port_policy){.raw = READ_ONCE(port->policy.raw)};
}

/* Whether what a port sends is looked at above its Ethernet header. */
static __always_inline bool guard_l3(union port_policy policy)
{
	return !policy.uplink &&
	       (policy.mac_guard || policy.ip_guard || !policy.dhcp_server || !policy.ra);
}

/* The octets that an MTU limits: without the outer tag. */
static __always_inline __u32 pkt_size(const struct pkt *p)
{
	return p->tag || p->inner_tag ? p->len - VLAN_HLEN : p->len;
}

static __always_inline bool is_vlan_proto(__u16 proto)
{
	return proto == bpf_htons(ETH_P_8021Q) || proto == bpf_htons(ETH_P_8021AD);
}

#endif
