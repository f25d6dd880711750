// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Puts prepared packets through the matcher of access control lists (bpf/acl_match.h), one
 * run for all of them: for tests/acl.c, which compares, and measures.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "../maps/acl.maps.h"
#include "../maps/l3.maps.h"
#include "../bpf/acl_match.h"

#define PACKETS_MAX (1 << 16)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PACKETS_MAX);
	__type(key, __u32);
	__type(value, struct acl_key);
} packets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PACKETS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} results SEC(".maps");

__u32 list;  /* to ask */
__u32 count; /* packets */
__u64 time;  /* ns that they took */

/* See bpf/btf.h. */
__attribute__((noinline)) int btf_inner_types(const struct acl_rule *rule,
					      const struct acl_counter *counter)
{
	return (rule ? 1 : 0) + (counter ? 1 : 0);
}

static long ask(__u32 i, void *context)
{
	const struct acl_key *packet = bpf_map_lookup_elem(&packets, &i);
	__u32 place = 0;
	struct l3 *l3 = bpf_map_lookup_elem(&l3_scratch, &place);
	__u64 *result = bpf_map_lookup_elem(&results, &i);

	if (!packet || !l3 || !result)
		return 1;
	l3->key = *packet;
	*result = acl_match(list, place);
	return 0;
}

SEC("xdp")
int acl_ask(struct xdp_md *ctx)
{
	__u64 start = bpf_ktime_get_ns();

	(void)ctx;
	bpf_loop(count, ask, NULL, 0);
	time = bpf_ktime_get_ns() - start;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
