/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Stage guard: what a port may send. An uplink's frames are the wire's business. */
#ifndef BPF_GUARD_H
#define BPF_GUARD_H

#include "pkt.h"

static __always_inline enum verdict guard(struct pkt *p)
{
	struct port_mac own = {.port = p->in_id};

	if (p->in_policy.uplink)
		return CONTINUE;
	if (!p->src || (p->src & 1))
		return drop(p, DROP_BAD_SOURCE);
	if (!p->in_policy.mac_guard)
		return CONTINUE;
	__builtin_memcpy(own.mac, &p->src, sizeof(own.mac));
	return bpf_map_lookup_elem(&port_macs, &own) ? CONTINUE : drop(p, DROP_MAC_SPOOF);
}

#endif
