/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A frame's way through the switch, the same at every hook. What differs is in
 * hook_*.h (what a stage may ask of a frame) and verdict_*.h (what becomes of it):
 *
 *   hook_takes()  false: this hook leaves the frame, untouched and uncounted, to the
 *                 next one (XDP to TC, TC to the host)
 */
#ifndef BPF_PIPELINE_H
#define BPF_PIPELINE_H

#include "acl.h"
#include "btf.h"
#include "cache.h"
#include "fdb.h"
#include "flow_cache.h"
#include "forward.h"
#include "guard.h"
#include "judge.h"
#include "parse.h"
#include "port.h"
#include "vlan.h"

static __always_inline bool hook_takes(struct pkt *p, enum verdict v);

/* The whole way of a frame that was parsed with a result. */
static __always_inline enum verdict pipeline(struct pkt *p, enum verdict parsed)
{
	enum verdict v = port_lookup(p) ?: parsed ?: vlan_ingress(p) ?: guard(p) ?: forward(p);

	if (!hook_takes(p, v))
		return UPPER;
	if (p->now) /* it came as far as forward */
		fdb_learn(p);
	return v;
}

#endif
