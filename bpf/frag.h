/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Fragments where packets are judged: later ones share the first one's fate (RFC 1858, 3128,
 * 5722). A datagram whose first fragment was not seen, or was denied, does not pass in part.
 */
#ifndef BPF_FRAG_H
#define BPF_FRAG_H

#include "flow.h"
#include "nat_quote.h"

static __always_inline void frag_key_make(struct frag_key *k, const struct l3 *l)
{
	k->src[0] = l->key.src[0];
	k->src[1] = l->key.src[1];
	k->dst[0] = l->key.dst[0];
	k->dst[1] = l->key.dst[1];
	k->id = l->frag_id;
	k->rest = FLOW_REST(l->family == 4 ? l->proto : 0, l->network, l->vid);
}

/* Remembers what became of a first fragment: why, an enum reason. */
__noinline int frag_note(__u32 place, __u32 why)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct frag frag = {};
	struct frag_key key;

	if (!l)
		return 0;
	frag_key_make(&key, l);
	frag.expires = flow_now() + FRAG_SECS;
	frag.length = l->frag_length;
	frag.port = l->in_id;
	frag.denied = why != REASON_NONE;
	frag.misc = l->key.misc & (ACL_MISC_L4_MASK | ACL_MISC_HAS_L4);
	frag.sport = l->key.sport;
	frag.dport = l->key.dport;
	frag.known = l->known;
	frag.asked = l->ask;
	frag.state = l->state;
	frag.nat_addr = l->nat == NAT_IN ? 0 : l->nat_addr;
	bpf_map_update_elem(&frags, &key, &frag, BPF_ANY);
	return 0;
}

/*
 * What becomes of a later fragment. One whose first was not seen: DROP_FRAG_FIRST. Where it may
 * pass, lists can be asked about it as about the first one.
 */
__noinline int frag_fate(__u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct frag_key key;
	struct frag *frag;

	if (!l)
		return DROP_NO_MEMORY;
	frag_key_make(&key, l);
	frag = bpf_map_lookup_elem(&frags, &key);
	if (!frag || (__s32)(frag->expires - flow_now()) <= 0 || frag->port != l->in_id)
		return DROP_FRAG_FIRST;
	if (l->frag_offset < frag->length)
		return DROP_FRAG_OVERLAP;
	if (frag->denied)
		return DROP_FRAG_DENIED;
	l->key.misc |= frag->misc;
	l->key.sport = frag->sport;
	l->key.dport = frag->dport;
	l->known = frag->known;
	l->ask = frag->asked;
	l->state = frag->state;
	if (l->nat != NAT_IN)
		l->nat_addr = frag->nat_addr;
	return REASON_NONE;
}

#endif
