/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Counters of a port, a copy per CPU. rx is what the port's party sent, tx what it
 * was sent; frame octets without FCS, tags included; a GSO frame counts as one.
 */
#ifndef MAPS_STATS_H
#define MAPS_STATS_H

#include <linux/types.h>
#include "reasons.h"

struct port_stats {
	__u64 rx_packets;
	__u64 rx_bytes;
	__u64 tx_packets;
	__u64 tx_bytes;
};
_Static_assert(sizeof(struct port_stats) == 32, "two ports to a cache line");

/* By enum reason. */
struct port_drops {
	__u64 count[64];
};
_Static_assert(REASON_MAX <= 64, "a new reason needs a new layout version");

/* What `stats reset` subtracts. */
struct stats_base {
	struct port_stats stats;
	struct port_drops drops;
};

#endif
