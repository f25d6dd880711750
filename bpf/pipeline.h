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
 * parse(), with what it finds taken through memory: the verifier, which comes here by many ways,
 * knows nothing of it then, and looks at what follows once.
 */
static __always_inline enum verdict pkt_parse(struct pkt *p)
{
	struct plain *k = plain_of(p->from_host);
	bool malformed = parse(p);

	if (!k)
		return UPPER;
	k->parsed = (struct parsed){
		.dst = p->dst,
		.src = p->src,
		.tag = p->tag,
		.len = p->len,
		.size = p->size,
		.proto = p->proto,
		.offset = p->offset,
		.inner_tag = p->inner_tag,
		.malformed = malformed,
	};
	barrier();
	p->dst = k->parsed.dst;
	p->src = k->parsed.src;
	p->tag = k->parsed.tag;
	p->len = k->parsed.len;
	p->size = k->parsed.size;
	p->proto = k->parsed.proto;
	p->offset = k->parsed.offset;
	p->inner_tag = k->parsed.inner_tag;
	p->reason = DROP_MALFORMED;
	return k->parsed.malformed ? DROP : CONTINUE;
}

/* The whole way, from the start: what the short way found is not known any more. */
static __always_inline enum verdict pipeline(struct pkt *p)
{
	enum verdict parsed, v;

	p->generation = cache_generation();
	parsed = pkt_parse(p);
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
