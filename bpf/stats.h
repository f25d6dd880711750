/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Counting, in per-CPU memory only. */
#ifndef BPF_STATS_H
#define BPF_STATS_H

#include "pkt.h"

static __always_inline void stats_rx(__u32 port, __u32 len)
{
	struct port_stats *s = bpf_map_lookup_elem(&port_stats, &port);

	if (s) {
		s->rx_packets++;
		s->rx_bytes += len;
	}
}

static __always_inline void stats_tx(__u32 port, __u32 len)
{
	struct port_stats *s = bpf_map_lookup_elem(&port_stats, &port);

	if (s) {
		s->tx_packets++;
		s->tx_bytes += len;
	}
}

/* A drop or a note at a port. */
__noinline int stats_reason(__u32 port, __u32 reason)
{
	struct port_drops *d = bpf_map_lookup_elem(&port_drops, &port);

	if (d && reason < REASON_MAX)
		d->count[reason]++;
	return 0;
}

#endif
