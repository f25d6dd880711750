/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A switch to test, in a network namespace of its own: five veth pairs and a tap whose
 * near ends are ports, and one veth pair for an uplink. The command line configures it;
 * its pinned programs are run on single frames (BPF_PROG_TEST_RUN), or frames are sent
 * at the far ends; what comes out of the far ends, and to the host, is gathered.
 *
 *	f1 ── P1 ┐            ┌ UP ── wire
 *	f2 ── P2 ┤   switch   ┤
 *	…        │            └ HOST (the host's stack behind the uplink)
 *	fd ── P6 ┘ (a tap)    NIC (an empty bridge stands for one: no offloads, no far end)
 *	                      GATEWAY (a nat network's device "priv", while there is one)
 *
 * What the host's protocols get is taken behind the TC hook (HOST), but there the kernel
 * has dropped the tag of a VLAN that the host has no device for; so it is also taken
 * where it enters the uplink's device (HOST_DEV), and with it all that comes off the wire.
 */
#ifndef TESTS_LAB_H
#define TESTS_LAB_H

#include <linux/types.h>
#include "../maps/fdb.h"
#include "../maps/port.h"
#include "../maps/stats.h"
#include "frame.h"

enum end { P1, P2, P3, P4, P5, P6, UP, NIC, GATEWAY, HOST, HOST_DEV, ENDS };
#define PORT_ENDS HOST /* those that are ports */

extern const char *const lab_dev[ENDS];
#define LAB_UPLINK_MAC 0x5254000000aaULL

enum lab_hook { LAB_XDP, LAB_TC, LAB_EGRESS };

/*
 * Runs body() in a namespace of its own; afterwards the switch is detached, whatever
 * became of body(). argv0 tells where xdpctl is. Returns body()'s exit status.
 */
int lab_run(const char *argv0, int (*body)(void));

/* Makes devices and a bridge network "lan" with all VM ports; hook: of all but the tap. */
void lab_start(const char *hook);
/* Runs `ip` or xdpctl commands, one a line; exits when one fails. */
void lab_ip(const char *commands);
bool lab_ip_try(const char *commands);
void lab_xdpctl(const char *commands);
/* Sets a sysctl, its name in the form of a path. */
void lab_sysctl(const char *name, const char *value);
mac_t lab_device_mac(const char *dev);
/* Opens what is pinned by that name; exits when it cannot. */
int lab_pin(const char *name);
/* Finds the ports' ids anew after ports were added; lab_start() did it first. */
void lab_find_ports(void);
/* Whether XDP can send to a veth here without help; otherwise the maps are told that it can. */
bool lab_xdp_features(void);
/* After the configuration changed: where XDP may send to. */
void lab_refresh(void);
/*
 * A port's frames are taken for complete, as those of a NIC are: XDP leaves none of them to TC
 * lest a checksum is missing. Until the configuration changes.
 */
void lab_complete(enum end e);
/* What was decided before does not hold any more, as after a second. */
void lab_next_second(void);
/* Of what is decided: a timer raises it every second. */
__u32 lab_generation(void);
/* Forgets learned addresses. */
void lab_flush(void);

/* A port's policy, as the data path has it. */
union port_policy lab_policy(enum end e);
__u32 lab_ifindex(enum end e);
__u32 lab_port_id(enum end e);
/* How many connections count for a port. */
__u32 lab_connections(enum end e);

/* Looks up an address; *out is untouched without one. */
bool lab_fdb(mac_t mac, __u16 vid, struct fdb_entry *out);
/* Makes an address look as if it was last used so many seconds ago. */
void lab_fdb_age(mac_t mac, __u16 vid, __u32 seconds);
/* What the switch thinks it has learned, by port or (ENDS) by network. */
__u32 lab_learned(enum end e);

struct lab_counters {
	struct port_stats stats[PORT_ENDS];
	struct port_drops drops[PORT_ENDS];
};
void lab_counters(struct lab_counters *out);
/* *out = now - before */
void lab_counters_since(const struct lab_counters *before, struct lab_counters *out);
const char *lab_reason_name(enum reason r);
/* Fails the test where an end's counters are not as wanted. */
void lab_same_counters(enum end e, const struct lab_counters *got, const struct lab_counters *want);

/* Not 0: frames of lab_test_run() at TC are GSO frames of such segments. */
extern __u32 lab_gso_size;
/* One run of a program on a frame that comes in by a device. Returns 0 or -errno. */
int lab_test_run(enum lab_hook hook, enum end in, const struct frame *f, __u32 *retval,
		 struct frame *out);
/* Sends a frame at the far end of a port, or as the host. Returns 0 or -errno. */
int lab_send(enum end in, const struct frame *f);

/*
 * Likewise, with the frame's outermost tag in the skb's metadata, as a VLAN device on a veth
 * leaves it, or a NIC that strips it. Not at the tap or as the host.
 */
int lab_send_tag_apart(enum end in, const struct frame *f);

struct lab_received {
	size_t n;
	struct {
		enum end at;
		struct frame f;
	} frames[64];
};
/* Gathers what came out, until `want` frames have come (and nothing more is there). */
void lab_receive(struct lab_received *out, size_t want);

#endif
