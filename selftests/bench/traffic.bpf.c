/*
 * Generator and sink of the bench, loaded by traffic.c. The generator is run
 * by BPF_PROG_TEST_RUN in live-frame mode, so that frames are made in the
 * kernel at many times the rate of any switch; the sink sits at the other end.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "kinds.h"

#define WORDS	    15 /* of a 60-byte frame */
#define RECORD	    16 /* of a prepared one */
#define SLICE	    128 /* frames between two time stamps: less than what the scheduler gives a task */
#define STAMPS	    16384
#define STRIDE	    618041     /* visits flows in an order no cache likes; a prime */
#define FLOW_ADDR   0x0a000000 /* 10.0.0.0: flow n has port n mod 32768 at address n / 32768 */
#define FLOW_PORT   1024
#define SCATTER	    0x9e3779b1 /* odd: all targets have their turn */
#define INSIDE	    0xc6120001 /* 198.18.0.1 and 15 more, behind a NAT with the address */
#define OUTSIDE	    0xc6130001 /* 198.19.0.1 */
#define INSIDE_MASK 15

const volatile __u32 out_ifindex;
const volatile __u32 frame[WORDS];
const volatile __u32 slice = SLICE; /* tells the loader */
const volatile __u32 kind;	    /* enum kind */
const volatile __u32 first;
const volatile __u32 count;
const volatile __u32 ip_sum; /* of the words that are the same in all flows */
const volatile __u32 l4_sum;
const volatile __u32 l4_check; /* word of the checksum */
const volatile __u32 sources;  /* of connections that a NAT translates: ends inside */
const volatile __u32 targets;  /* and outside, a power of two */

struct record {
	__u32 word[RECORD];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct record);
} prepared SEC(".maps");

__u32 next;
__u64 received;
__u64 stamp[STAMPS]; /* ns, when frame 0, SLICE, 2 * SLICE, ... arrived */

/* 02:00:00 and a number, which no device here has. */
static __always_inline void write_source(struct ethhdr *eth)
{
	eth->h_source[0] = 2;
	eth->h_source[1] = 0;
	eth->h_source[2] = 0;
	eth->h_source[3] = next >> 16;
	eth->h_source[4] = next >> 8;
	eth->h_source[5] = next;
	next = next + 1 < count ? next + 1 : 0;
}

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* The varying end of a connection, and the checksums; offsets in 16-bit words. */
static __always_inline void write_flow(__u16 *half)
{
	__u32 flow = first + next, addr = bpf_htonl(FLOW_ADDR | flow >> 15);
	__u16 port = bpf_htons(FLOW_PORT + (flow & 0x7fff));
	__u32 sum = (addr & 0xffff) + (addr >> 16);

	if (kind == FRAME_FLOWS) {
		half[13] = addr;
		half[14] = addr >> 16;
		half[17] = port;
	} else {
		half[15] = addr;
		half[16] = addr >> 16;
		half[18] = port;
	}
	half[12] = fold(ip_sum + sum);
	half[20] = fold(l4_sum + sum + port);
	next += STRIDE % count;
	if (next >= count)
		next -= count;
}

/*
 * Likewise both ends of a connection that a NAT translates. The NAT is expected to keep ports
 * that only one end inside has.
 */
static __always_inline void write_translated(__u16 *half)
{
	__u32 flow = first + next, source = flow % sources, target = flow * SCATTER & (targets - 1);
	__u32 outer = bpf_htonl(FLOW_ADDR | target >> 15);
	__u16 outer_port = bpf_htons(FLOW_PORT + (target & 0x7fff));
	__u32 inner = bpf_htonl(INSIDE + (source & INSIDE_MASK));
	__u16 inner_port = bpf_htons(FLOW_PORT + source);
	bool in = kind == FRAME_IN;
	__u32 sum;

	if (in)
		inner = bpf_htonl(OUTSIDE);
	half[in ? 13 : 15] = outer;
	half[in ? 14 : 16] = outer >> 16;
	half[in ? 17 : 18] = outer_port;
	half[in ? 15 : 13] = inner;
	half[in ? 16 : 14] = inner >> 16;
	half[in ? 18 : 17] = inner_port;
	sum = (inner & 0xffff) + (inner >> 16) + (outer & 0xffff) + (outer >> 16);
	half[12] = fold(ip_sum + sum);
	half[l4_check == 25 ? 25 : 20] = fold(l4_sum + sum + inner_port + outer_port);
	next += STRIDE % count;
	if (next >= count)
		next -= count;
}

static __always_inline const volatile __u32 *template(void)
{
	__u32 key = next;
	struct record *r;

	if (kind != FRAME_PREPARED)
		return frame;
	r = bpf_map_lookup_elem(&prepared, &key);
	next = next + 1 < count ? next + 1 : 0;
	return r ? r->word : frame;
}

/*
 * Pages are recycled and may carry what a switch made of the frame before:
 * every byte is written for every frame.
 */
SEC("xdp")
int generate(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	const volatile __u32 *from = template();
	__u32 *word = data;

	if ((void *)(word + WORDS) > end)
		return XDP_ABORTED;
	for (int i = 0; i < WORDS; i++)
		word[i] = from[i];
	if (kind == FRAME_SOURCES)
		write_source(data);
	else if (kind == FRAME_FLOWS || kind == FRAME_ANSWERS)
		write_flow(data);
	else if (kind == FRAME_OUT || kind == FRAME_IN)
		write_translated(data);
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
