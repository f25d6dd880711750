/*
 * Puts many addresses through a switch program within one test run, loaded by
 * testrun.c: a test run repeats one frame, so these programs change an address
 * and tail-call the program under test. Slot 1 holds a program that does
 * nothing, to find out what the rotation itself costs.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#define STRIDE 618033 /* visits the addresses in an order no cache likes */

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} under_test SEC(".maps");

const volatile __u32 slot;
const volatile __u32 addresses;
const volatile __u32 offset; /* of the address's last three bytes in the frame */

__u32 position;

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
