/*
 * Puts many addresses or frames through a switch program within one test run,
 * loaded by testrun.c: a test run repeats one frame, so these programs change it
 * and tail-call the program under test. Slot 1 holds a program that does
 * nothing, to find out what the change itself costs.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#define STRIDE 618033 /* visits the addresses in an order no cache likes */
#define WORDS  15     /* of a 60-byte frame */
#define RECORD 16     /* of a prepared one */
#define NS     8192   /* times that are told apart */

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} under_test SEC(".maps");

const volatile __u32 slot;
const volatile __u32 addresses; /* or frames */
const volatile __u32 offset;	/* of the address's last three bytes in the frame */

struct record {
	__u32 word[RECORD];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct record);
} prepared SEC(".maps");

__u32 position;
__u64 last;
__u32 took[NS]; /* frames, by the nanoseconds from one frame's start to the next one's */

static __always_inline int rotate(void *data, void *end)
{
	__u8 *byte = data + (offset == ETH_ALEN + 3 ? ETH_ALEN + 3 : 3);

	if (data + ETH_HLEN > end)
		return -1;
	byte[0] = position >> 16;
	byte[1] = position >> 8;
	byte[2] = position;
	position += STRIDE;
	if (position >= addresses)
		position -= addresses;
	return 0;
}

SEC("xdp")
int rotate_xdp(struct xdp_md *ctx)
{
	if (!rotate((void *)(long)ctx->data, (void *)(long)ctx->data_end))
		bpf_tail_call(ctx, &under_test, slot);
	return XDP_ABORTED;
}

SEC("tc")
int rotate_tc(struct __sk_buff *skb)
{
	if (!rotate((void *)(long)skb->data, (void *)(long)skb->data_end))
		bpf_tail_call(skb, &under_test, slot);
	return TC_ACT_SHOT;
}

static __always_inline int replace(void *data, void *end)
{
	__u64 now = bpf_ktime_get_ns(), ns = now - last;
	struct record *r = bpf_map_lookup_elem(&prepared, &position);
	__u32 *word = data;

	last = now;
	took[ns < NS ? ns : NS - 1]++;
	if (!r || (void *)(word + WORDS) > end)
		return -1;
	for (int i = 0; i < WORDS; i++)
		word[i] = r->word[i];
	position = position + 1 < addresses ? position + 1 : 0;
	return 0;
}

SEC("xdp")
int replace_xdp(struct xdp_md *ctx)
{
	if (!replace((void *)(long)ctx->data, (void *)(long)ctx->data_end))
		bpf_tail_call(ctx, &under_test, slot);
	return XDP_ABORTED;
}

SEC("tc")
int replace_tc(struct __sk_buff *skb)
{
	if (!replace((void *)(long)skb->data, (void *)(long)skb->data_end))
		bpf_tail_call(skb, &under_test, slot);
	return TC_ACT_SHOT;
}

SEC("xdp")
int nothing_xdp(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

SEC("tc")
int nothing_tc(struct __sk_buff *skb)
{
	(void)skb;
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "GPL";
