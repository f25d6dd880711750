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

/*
 * Takes what was parsed through memory: the verifier, which came here by many ways, knows nothing
 * of it then, and looks at what follows once.
 */
static __always_inline void pkt_forget(struct pkt *p)
{
	struct plain *k = plain_of(p->from_host);

	if (!k)
		return;
	k->parsed = (struct parsed){
		.tag = p->tag,
		.size = p->size,
		.proto = p->proto,
		.offset = p->offset,
		.inner_tag = p->inner_tag,
	};
	barrier();
	p->tag = k->parsed.tag;
	p->size = k->parsed.size;
	p->proto = k->parsed.proto;
	p->offset = k->parsed.offset;
	p->inner_tag = k->parsed.inner_tag;
}

/* The whole way of a frame that was parsed with a result. */
static __always_inline enum verdict pipeline(struct pkt *p, enum verdict parsed)
{
	enum verdict v;

	pkt_forget(p);
	if (p->hairpin)
		return port_lookup(p) ?: TO_HOST;
	v = port_lookup(p) ?: parsed ?: vlan_ingress(p) ?: guard(p) ?: forward(p);

	if (!hook_takes(p, v))
		return UPPER;
	if (p->now) /* it came as far as forward */
		fdb_learn(p);
	return v;
}

#endif
