/*
 * traffic GEN_NS GEN_DEV SINK_NS SINK_DEV BURST {ms N | sources N}
 *
 * Sends minimum-size frames out of GEN_DEV to SINK_DEV's address, in bursts of
 * BURST, and counts them where they arrive (traffic.bpf.c), all on the core that
 * it is run on: for N milliseconds, or one frame from each of N addresses.
 * Both devices first send a broadcast, so that a switch in between knows them.
 * Prints JSON: frames sent and received, and ns, the median over slices of the
 * run of nanoseconds per frame received.
 *
 * The receiving end of GEN_DEV needs NAPI, that is GRO or an XDP program, or
 * the kernel refuses to redirect to GEN_DEV; SINK_DEV gets an XDP program here.
 * A burst fits veth's ring of 256 frames and is worked off by the softirq at its
 * end, so no frame needs to be lost.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "frame.h"
#include "traffic.skel.h"
#include "util.h"

#define MAX_BURST      128
#define WARM_UP_SLICES 64

static const uint8_t broadcast[ETH_ALEN] = {255, 255, 255, 255, 255, 255};

/* Looks @name up in this namespace; fills in its index and its address. */
static uint32_t device_find(const char *name, uint8_t *mac)
{
	uint32_t ifindex = if_nametoindex(name);
	struct ifreq req = {};
	int fd;

	check(!ifindex, name);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	check(fd < 0 || ioctl(fd, SIOCGIFHWADDR, &req), name);
	memcpy(mac, req.ifr_hwaddr.sa_data, ETH_ALEN);
	close(fd);
	return ifindex;
}

/* Sends a broadcast from @mac out of the device. */
static void announce(uint32_t ifindex, const uint8_t *mac)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)ifindex};
	struct frame f;
	int fd;

	frame_build(&f, broadcast, mac);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	check(fd < 0 ||
		      sendto(fd, &f, sizeof(f), 0, (struct sockaddr *)&to, sizeof(to)) != sizeof(f),
	      "announce");
	close(fd);
}

/* Has the kernel generate @count frames in bursts of @burst. */
static void generate(const struct traffic_bpf *skel, uint32_t burst, uint32_t count)
{
	uint8_t space[FRAME_LEN] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = space, .data_size_in = sizeof(space),
		    .repeat = (int)count, .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = burst);
	int err = bpf_prog_test_run_opts(bpf_program__fd(skel->progs.generate), &opts);

	check(err, "live-frame test run");
}

/* The sink's counter, which the kernel changes behind the compiler's back. */
static uint64_t received(const struct traffic_bpf *skel)
{
	return *(volatile __u64 *)&skel->bss->received;
}

/*
 * The median time per frame received since the sink's counter was @from, in
 * ns; 0 when there were too few. Time stamps of the sink are used, since a
 * live-frame run of the kernel takes milliseconds to set up and to take down.
 */
static double time_per_frame(const struct traffic_bpf *skel, uint64_t from)
{
	const size_t slots = sizeof(skel->bss->stamp) / sizeof(__u64);
	const uint64_t slice = skel->rodata->slice;
	static double ns[sizeof(skel->bss->stamp) / sizeof(__u64)];
	uint64_t i = (from + slice - 1) / slice;
	uint64_t end = (received(skel) + slice - 1) / slice;
	size_t count = 0;

	if (end > slots && i < end - slots)
		i = end - slots; /* older time stamps are overwritten */
	for (; i + 1 < end; i++)
		ns[count++] =
			(double)(skel->bss->stamp[(i + 1) % slots] - skel->bss->stamp[i % slots]) /
			(double)slice;
	return count ? quantile(ns, count, 50) : 0;
}

/* The number of frames that take @ms milliseconds, as a warm-up finds. */
static uint32_t frames_for(const struct traffic_bpf *skel, uint32_t burst, uint64_t ms)
{
	uint32_t slice = skel->rodata->slice;
	uint64_t from = received(skel);
	double ns;

	generate(skel, burst, WARM_UP_SLICES * slice);
	usleep(10000);
	ns = time_per_frame(skel, from);
	errno = EIO;
	check(ns <= 0, "no frames arrive");
	return (uint32_t)((double)ms * 1e6 / ns / slice + 2) * slice;
}

int main(int argc, char **argv)
{
	uint8_t gen_mac[ETH_ALEN], sink_mac[ETH_ALEN];
	uint32_t gen, sink, burst, number;
	struct traffic_bpf *skel;
	struct bpf_link *link;
	struct frame f;
	uint64_t before;

	if (argc != 8 || atoi(argv[5]) < 1 || atoi(argv[5]) > MAX_BURST ||
	    (strcmp(argv[6], "ms") && strcmp(argv[6], "sources"))) {
		fprintf(stderr, "usage: %s GEN_NS GEN_DEV SINK_NS SINK_DEV BURST {ms|sources} N\n",
			argv[0]);
		return 2;
	}
	burst = (uint32_t)atoi(argv[5]);
	number = (uint32_t)strtoul(argv[7], NULL, 10);

	netns_enter(argv[1]);
	gen = device_find(argv[2], gen_mac);
	netns_enter(argv[3]);
	sink = device_find(argv[4], sink_mac);

	skel = traffic_bpf__open();
	check(!skel, "open BPF object");
	frame_build(&f, sink_mac, gen_mac);
	memcpy((void *)skel->rodata->frame, &f, sizeof(f));
	skel->rodata->out_ifindex = gen;
	if (!strcmp(argv[6], "sources"))
		skel->rodata->sources = number;
	check(traffic_bpf__load(skel), "load BPF object");

	link = bpf_program__attach_xdp(skel->progs.sink, (int)sink);
	check(!link, "attach the sink");
	announce(sink, sink_mac);
	netns_enter(argv[1]);
	announce(gen, gen_mac);
	usleep(1000);

	if (!strcmp(argv[6], "ms"))
		number = frames_for(skel, burst, number);
	before = received(skel);
	generate(skel, burst, number);
	usleep(10000); /* whatever is still on its way */

	printf("{\"sent\": %u, \"received\": %llu, \"ns\": %.2f}\n", number,
	       (unsigned long long)(received(skel) - before), time_per_frame(skel, before));
	bpf_link__destroy(link);
	traffic_bpf__destroy(skel);
	return 0;
}
