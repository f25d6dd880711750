/*
 * traffic GEN_NS GEN_DEV SINK_NS SINK_DEV BURST WHAT
 *
 * Sends minimum-size frames out of GEN_DEV to SINK_DEV's address, in bursts of
 * BURST, and counts them where they arrive (traffic.bpf.c), all on the core that
 * it is run on. WHAT is
 *
 *	ms N		     one frame, again and again, for N milliseconds
 *	sources N	     one from each of N source addresses
 *	frames FILE N	     N frames, those of FILE in turn (rules.py makes such files)
 *	flows FIRST COUNT N  N frames, in turn of COUNT connections from number FIRST on
 *	answers FIRST COUNT N  the same from these connections' other ends
 *	out MAC FORM SOURCES TARGETS FIRST COUNT N
 *			     N frames (or as many as take N milliseconds: Nms) to MAC, the
 *			     gateway, of COUNT connections that a NAT translates; they have
 *			     SOURCES ends inside, TARGETS outside (2^n). FORM is udp, syn,
 *			     synack or ack
 *	in MAC FORM SOURCES TARGETS FIRST COUNT N
 *			     the same from outside
 *
 * But for the last two, both devices first send a broadcast, so that a switch in between knows
 *them, and then a datagram to each other, so that the connection of `ms` has been answered. Prints
 *JSON: frames sent and received, and ns, the median over slices of the run of nanoseconds per frame
 *received.
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
#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "frame.h"
#include "kinds.h"
#include "traffic.skel.h"
#include "util.h"

#define MAX_BURST      128
#define WARM_UP_SLICES 128

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

/* Sends one frame out of the device. */
static void send_one(uint32_t ifindex, const struct frame *f)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)ifindex};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	check(fd < 0 || sendto(fd, f, sizeof(*f), 0, (struct sockaddr *)&to, sizeof(to)) !=
				sizeof(*f),
	      "first frames");
	close(fd);
}

/* An end of the way that is measured. */
struct end {
	const char *netns;
	uint32_t ifindex;
	uint8_t mac[ETH_ALEN];
};

/* Sends one frame from an end to an address; turned: of the second end's IP address. */
static void send_from(const struct end *from, const uint8_t *to, bool turned)
{
	struct frame f;

	netns_enter(from->netns);
	frame_build(&f, to, from->mac);
	if (turned)
		frame_turn(&f);
	send_one(from->ifindex, &f);
	usleep(1000);
}

/* A broadcast from each end, then a datagram and its answer. back: the second end generates. */
static void introduce(const struct end *gen, const struct end *sink, bool back)
{
	send_from(sink, broadcast, !back);
	send_from(gen, broadcast, back);
	send_from(gen, sink->mac, back);
	send_from(sink, gen->mac, !back);
	netns_enter(gen->netns);
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

/* The sum of n 16-bit words, as they lie in memory: BPF adds the varying ones. */
static uint32_t sum_words(const void *data, size_t n)
{
	uint16_t word[FRAME_LEN / 2];
	uint32_t sum = 0;

	memcpy(word, data, n * 2);
	while (n)
		sum += word[--n];
	return sum;
}

/* What the words after BURST ask for. */
struct task {
	uint32_t kind; /* enum kind */
	bool ms;       /* number is a time */
	uint32_t first;
	uint32_t count;
	uint32_t number;
	uint8_t *frames;

	/* FRAME_OUT, FRAME_IN */
	uint8_t mac[ETH_ALEN];
	const char *form;
	uint32_t sources;
	uint32_t targets;
};

/* Makes a TCP segment of the frame, without checksums. form: syn, synack or ack. */
static void make_tcp(struct frame *f, const char *form)
{
	bool syn = form[0] == 's', ack = strcmp(form, "syn") != 0, client = strcmp(form, "synack");
	struct tcphdr tcp = {.seq = htonl(client ? 1000 + !syn : 5000),
			     .ack_seq = ack ? htonl(client ? 5001 : 1001) : 0,
			     .doff = 5,
			     .syn = syn,
			     .ack = ack,
			     .window = htons(65535)};

	f->ip.protocol = IPPROTO_TCP;
	f->ip.tot_len = htons(sizeof(f->ip) + sizeof(tcp));
	memset(&f->udp, 0, sizeof(f->udp) + sizeof(f->payload));
	memcpy(&f->udp, &tcp, sizeof(tcp));
}

/* Prepares frames of connections: the frame without what varies, and its sums. */
static void prepare_flows(struct traffic_bpf *skel, const struct frame *from, const struct task *t)
{
	bool nat = t->kind == FRAME_OUT || t->kind == FRAME_IN;
	struct frame f = *from;

	if (t->kind == FRAME_ANSWERS)
		frame_turn(&f);
	if (t->kind == FRAME_ANSWERS || nat)
		f.ip.daddr = f.udp.dest = 0;
	if (t->kind == FRAME_FLOWS || nat)
		f.ip.saddr = f.udp.source = 0;
	f.ip.check = f.udp.check = 0;
	if (nat && strcmp(t->form, "udp"))
		make_tcp(&f, t->form);
	if (nat)
		memcpy(f.eth.h_dest, t->mac, ETH_ALEN);
	skel->rodata->ip_sum = sum_words(&f.ip, sizeof(f.ip) / 2);
	skel->rodata->l4_sum = sum_words((uint8_t *)&f.ip + 12, (FRAME_LEN - ETH_HLEN - 12) / 2) +
			       htons(f.ip.protocol) + htons(ntohs(f.ip.tot_len) - sizeof(f.ip));
	skel->rodata->l4_check = f.ip.protocol == IPPROTO_TCP ? 25 : 20;
	skel->rodata->sources = t->sources;
	skel->rodata->targets = t->targets;
	memcpy((void *)skel->rodata->frame, &f, sizeof(f));
}

/* The frames of a file, with the two ends' addresses. */
static void fill_prepared(const struct traffic_bpf *skel, uint8_t *frames, const struct frame *f)
{
	for (uint32_t i = 0; i < skel->rodata->count; i++) {
		uint8_t *record = frames + (size_t)i * FRAME_RECORD;
		int err;

		memcpy(record, &f->eth, 2 * ETH_ALEN);
		err = bpf_map_update_elem(bpf_map__fd(skel->maps.prepared), &i, record, 0);
		check(err, "prepared frames");
	}
}

/* The words after out and in. */
static bool task_parse_nat(struct task *t, char **argv)
{
	static const char *const forms[] = {"udp", "syn", "synack", "ack"};
	struct ether_addr mac;
	char *end;

	t->kind = strcmp(argv[0], "out") ? FRAME_IN : FRAME_OUT;
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		if (!strcmp(argv[2], forms[i]))
			t->form = forms[i];
	}
	if (!t->form || !ether_aton_r(argv[1], &mac))
		return false;
	memcpy(t->mac, &mac, ETH_ALEN);
	t->sources = (uint32_t)strtoul(argv[3], NULL, 10);
	t->targets = (uint32_t)strtoul(argv[4], NULL, 10);
	t->first = (uint32_t)strtoul(argv[5], NULL, 10);
	t->count = (uint32_t)strtoul(argv[6], NULL, 10);
	t->number = (uint32_t)strtoul(argv[7], &end, 10);
	t->ms = !strcmp(end, "ms");
	return t->sources && t->targets && t->count && t->number;
}

static bool task_parse(struct task *t, int argc, char **argv)
{
	static const struct {
		const char *word;
		int arguments;
		uint32_t kind;
	} tasks[] = {{"ms", 1, FRAME_FIXED},
		     {"sources", 1, FRAME_SOURCES},
		     {"frames", 2, FRAME_PREPARED},
		     {"flows", 3, FRAME_FLOWS},
		     {"answers", 3, FRAME_ANSWERS}};

	if (argc == 8 && (!strcmp(argv[0], "out") || !strcmp(argv[0], "in")))
		return task_parse_nat(t, argv);
	for (size_t i = 0; argc && i < sizeof(tasks) / sizeof(*tasks); i++) {
		if (strcmp(argv[0], tasks[i].word) || argc != tasks[i].arguments + 1)
			continue;
		t->kind = tasks[i].kind;
		t->ms = t->kind == FRAME_FIXED;
		t->number = t->count = (uint32_t)strtoul(argv[argc - 1], NULL, 10);
		if (t->kind == FRAME_PREPARED)
			t->frames = frames_read(argv[1], &t->count);
		if (tasks[i].arguments == 3) {
			t->first = (uint32_t)strtoul(argv[1], NULL, 10);
			t->count = (uint32_t)strtoul(argv[2], NULL, 10);
		}
		return t->count && t->number;
	}
	return false;
}

static struct traffic_bpf *load(const struct task *t, const struct end *gen, const struct end *sink)
{
	struct traffic_bpf *skel = traffic_bpf__open();
	struct frame f;

	check(!skel, "open BPF object");
	frame_build(&f, sink->mac, gen->mac);
	memcpy((void *)skel->rodata->frame, &f, sizeof(f));
	skel->rodata->out_ifindex = gen->ifindex;
	skel->rodata->kind = t->kind;
	skel->rodata->first = t->first;
	skel->rodata->count = t->count;
	if (t->kind >= FRAME_FLOWS)
		prepare_flows(skel, &f, t);
	if (t->frames)
		bpf_map__set_max_entries(skel->maps.prepared, t->count);
	check(traffic_bpf__load(skel), "load BPF object");
	if (t->frames)
		fill_prepared(skel, t->frames, &f);
	return skel;
}

int main(int argc, char **argv)
{
	struct end gen = {}, sink = {};
	struct traffic_bpf *skel;
	struct bpf_link *link;
	struct task t = {};
	uint64_t before;
	uint32_t burst;

	if (argc < 7 || atoi(argv[5]) < 1 || atoi(argv[5]) > MAX_BURST ||
	    !task_parse(&t, argc - 6, argv + 6)) {
		fprintf(stderr,
			"usage: %s GEN_NS GEN_DEV SINK_NS SINK_DEV BURST {ms N | sources N | "
			"frames FILE N | {flows|answers} FIRST COUNT N | "
			"{out|in} MAC FORM SOURCES TARGETS FIRST COUNT N}\n",
			argv[0]);
		return 2;
	}
	burst = (uint32_t)atoi(argv[5]);
	gen.netns = argv[1];
	sink.netns = argv[3];
	netns_enter(gen.netns);
	gen.ifindex = device_find(argv[2], gen.mac);
	netns_enter(sink.netns);
	sink.ifindex = device_find(argv[4], sink.mac);

	skel = load(&t, &gen, &sink);
	link = bpf_program__attach_xdp(skel->progs.sink, (int)sink.ifindex);
	check(!link, "attach the sink");
	if (t.kind != FRAME_OUT && t.kind != FRAME_IN)
		introduce(&gen, &sink, t.kind == FRAME_ANSWERS);
	netns_enter(gen.netns);

	if (t.ms)
		t.number = frames_for(skel, burst, t.number);
	before = received(skel);
	generate(skel, burst, t.number);
	usleep(10000); /* whatever is still on its way */

	printf("{\"sent\": %u, \"received\": %llu, \"ns\": %.2f}\n", t.number,
	       (unsigned long long)(received(skel) - before), time_per_frame(skel, before));
	bpf_link__destroy(link);
	traffic_bpf__destroy(skel);
	free(t.frames);
	return 0;
}
