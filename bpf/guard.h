/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Stage guard: what a port may send. An uplink's frames are the wire's business. */
#ifndef BPF_GUARD_H
#define BPF_GUARD_H

#include "guard_l3.h"

static __always_inline enum verdict guard_packet(struct pkt *p)
{
	enum verdict v = l3_parse(p);
	enum reason reason;

	if (v)
		return v;
	reason = guard_l3_check(p->ctx, p->from_host, p->in_id, p->in_policy.raw);
	return reason ? drop(p, reason) : CONTINUE;
}

static __always_inline enum verdict guard(struct pkt *p)
{
	struct port_mac own = {.port = p->in_id};

	if (p->in_policy.gateway && (p->routed || !p->from_host))
		return drop(p, DROP_ROUTED);
	if (p->in_policy.uplink)
		return CONTINUE;
	if (!p->src || (p->src & 1))
		return drop(p, DROP_BAD_SOURCE);
	__builtin_memcpy(own.mac, &p->src, sizeof(own.mac));
	if (p->in_policy.mac_guard && !bpf_map_lookup_elem(&port_macs, &own))
		return drop(p, DROP_MAC_SPOOF);
	return guard_l3(p->in_policy) ? guard_packet(p) : CONTINUE;
}

#endif
