/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Access control lists: what a list says of a packet. */
#ifndef BPF_ACL_H
#define BPF_ACL_H

#include "pkt.h"
#include "stats.h"
#include "acl_match.h"

/* Counts a packet for the rule that judged it. len: octets of the frame. */
__noinline int acl_count(__u32 counter, __u32 len)
{
	__u32 chunk = counter / ACL_COUNTER_CHUNK, place = counter % ACL_COUNTER_CHUNK;
	void *counters = bpf_map_lookup_elem(&acl_counters, &chunk);
	struct acl_counter *c;

	c = counters ? bpf_map_lookup_elem(counters, &place) : NULL;
	if (c) {
		c->packets++;
		c->bytes += len;
	}
	return 0;
}

/* Tells `xdpctl acl log` of the rule that decided on the packet in l3_scratch[place]. */
__noinline int acl_log(__u32 place, __u32 direction)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct acl_event *e;
	__u64 result;

	if (!l)
		return 0;
	e = bpf_ringbuf_reserve(&acl_events, sizeof(*e), 0);
	if (!e) {
		stats_reason(l->in_id, NOTE_LOG_LOST);
		return 0;
	}
	result = l->result[direction & 1];
	e->time = bpf_ktime_get_ns();
	e->key = l->key;
	e->prio = ACL_RESULT_PRIO(result);
	e->length = l->len;
	e->port = direction == ACL_IN ? l->out_id : l->in_id;
	e->network = l->list[direction & 1] >= ACL_NETWORK_LIST(0, 0) ? l->network : 0;
	e->direction = direction;
	e->action = ACL_RESULT_ACTION(result);
	e->pad = 0;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

#endif
