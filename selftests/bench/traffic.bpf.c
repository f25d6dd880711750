/*
 * Generator and sink of the bench, loaded by traffic.c. The generator is run
 * by BPF_PROG_TEST_RUN in live-frame mode, so that frames are made in the
 * kernel at many times the rate of any switch; the sink sits at the other end.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>

#define WORDS  15   /* of a 60-byte frame */
#define SLICE  1024 /* frames between two time stamps */
#define STAMPS 16384

const volatile __u32 out_ifindex;
const volatile __u32 frame[WORDS];
const volatile __u32 slice = SLICE; /* tells the loader */
const volatile __u32 sources;	    /* different source addresses; 0: the frame's own */

__u32 next_source;
__u64 received;
__u64 stamp[STAMPS]; /* ns, when frame 0, SLICE, 2 * SLICE, ... arrived */

/*
 * Pages are recycled and may carry what a switch made of the frame before:
 * every byte is written for every frame.
 */
SEC("xdp")
int generate(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	__u32 *word = data;

	if ((void *)(word + WORDS) > end)
		return XDP_ABORTED;
	for (int i = 0; i < WORDS; i++)
		word[i] = frame[i];
	if (sources) { /* 02:00:00 and a number, which no device here has */
		eth->h_source[0] = 2;
		eth->h_source[1] = 0;
		eth->h_source[2] = 0;
		eth->h_source[3] = next_source >> 16;
		eth->h_source[4] = next_source >> 8;
		eth->h_source[5] = next_source;
		next_source = next_source + 1 < sources ? next_source + 1 : 0;
	}
	return bpf_redirect(out_ifindex, 0);
}

SEC("xdp")
int sink(struct xdp_md *ctx)
{
	__u64 number = __sync_fetch_and_add(&received, 1);

	(void)ctx;
	if (number % SLICE == 0)
		stamp[number / SLICE % STAMPS] = bpf_ktime_get_ns();
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
