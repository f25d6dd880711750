/*
 * The bare forwarders that the switch is measured against, loaded by
 * redirect.c: whatever enters one port leaves by the other, without a look at
 * it. No switch on the same hook can be faster.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} out SEC(".maps");

const volatile __u32 out_ifindex;

SEC("xdp")
int redirect_xdp(struct xdp_md *ctx)
{
	(void)ctx;
	return bpf_redirect_map(&out, 0, XDP_DROP);
}

SEC("tc")
int redirect_tc(struct __sk_buff *skb)
{
	(void)skb;
	return bpf_redirect(out_ifindex, 0);
}

/* No forwarder: turns NAPI on in a veth where GRO would be the slower way. */
SEC("xdp")
int pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
