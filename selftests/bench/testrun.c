/*
 * testrun NETNS DEV PROGRAM DST SRC {hot|dst|src} COUNT REPEAT
 * testrun NETNS DEV PROGRAM DST SRC frames FILE REPEAT
 *
 * Nanoseconds that the pinned XDP or TC program PROGRAM takes for a frame from
 * SRC to DST that comes in on DEV, measured by the kernel (BPF_PROG_TEST_RUN).
 * hot: always that frame; dst, src: the last three bytes of that address
 * rotate over 0..COUNT-1, and what the rotation adds is subtracted. Prints
 * JSON: ns, and what the program returned for the last frame.
 *
 * frames: the frames of FILE in rotation (rules.py makes such files), each timed
 * by itself. Prints JSON: ns, the mean of the program's own time (all else is
 * subtracted), p50 and p99 of it, which are as fine as the kernel's clock (on some
 * virtual machines 10 ns), and what it returned last.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netinet/ether.h>

#include "frame.h"
#include "testrun.skel.h"
#include "util.h"

#define SLICES	    9
#define TCX_INGRESS 46 /* BPF_TCX_INGRESS, which Debian 12's headers lack */

struct run {
	uint32_t ifindex;
	uint32_t type; /* BPF_PROG_TYPE_XDP or _SCHED_CLS */
	uint32_t repeat;
	struct frame frame;
	uint8_t *prepared; /* count frames of FRAME_RECORD octets, or NULL: addresses rotate */
	uint32_t count;
	uint32_t offset; /* of the address that rotates */
};

/*
 * The median nanoseconds of program @fd over SLICES test runs; *@verdict gets
 * what it returned last.
 */
static double measure(const struct run *run, int fd, uint32_t *verdict)
{
	struct xdp_md xdp = {.data_end = FRAME_LEN, .ingress_ifindex = run->ifindex};
	struct __sk_buff skb = {.ifindex = run->ifindex, .ingress_ifindex = run->ifindex};
	bool is_xdp = run->type == BPF_PROG_TYPE_XDP;
	double ns[SLICES];

	for (int i = 0; i < SLICES; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = &run->frame,
			    .data_size_in = FRAME_LEN,
			    .ctx_in = is_xdp ? (void *)&xdp : (void *)&skb,
			    .ctx_size_in = is_xdp ? sizeof(xdp) : sizeof(skb),
			    .repeat = (int)(run->repeat / SLICES));
		int err = bpf_prog_test_run_opts(fd, &opts);

		check(err, "test run");
		ns[i] = opts.duration;
		*verdict = opts.retval;
	}
	return quantile(ns, SLICES, 50);
}

/* What changes the frame and calls the program under test. */
static struct bpf_program *changer(const struct run *run, const struct testrun_bpf *skel)
{
	if (run->type == BPF_PROG_TYPE_XDP)
		return run->prepared ? skel->progs.replace_xdp : skel->progs.rotate_xdp;
	return run->prepared ? skel->progs.replace_tc : skel->progs.rotate_tc;
}

static struct bpf_program *nothing(const struct run *run, const struct testrun_bpf *skel)
{
	return run->type == BPF_PROG_TYPE_XDP ? skel->progs.nothing_xdp : skel->progs.nothing_tc;
}

/* Opens the object for slot @slot, with only the two programs that are needed. */
static struct testrun_bpf *open_for(const struct run *run, uint32_t slot)
{
	struct testrun_bpf *skel = testrun_bpf__open();
	struct bpf_program *prog;

	check(!skel, "open BPF object");
	skel->rodata->slot = slot;
	skel->rodata->addresses = run->count;
	skel->rodata->offset = run->offset;
	if (run->prepared)
		bpf_map__set_max_entries(skel->maps.prepared, run->count);
	bpf_object__for_each_program(prog, skel->obj) bpf_program__set_autoload(
		prog, prog == changer(run, skel) || prog == nothing(run, skel));
	return skel;
}

static void fill_prepared(const struct run *run, const struct testrun_bpf *skel)
{
	for (uint32_t i = 0; run->prepared && i < run->count; i++) {
		uint8_t *record = run->prepared + (size_t)i * FRAME_RECORD;
		int err;

		memcpy(record, &run->frame.eth, 2 * ETH_ALEN);
		err = bpf_map_update_elem(bpf_map__fd(skel->maps.prepared), &i, record, 0);
		check(err, "prepared frames");
	}
}

/*
 * Loads the rotation with @slot as its target and puts the program @fd into
 * slot 0. A tail call demands that both programs agree in how they were
 * loaded, so the combinations are tried.
 */
static struct testrun_bpf *rotation_load(const struct run *run, int fd, uint32_t slot)
{
	static const struct {
		uint32_t type, flags, attach_type;
	} variants[] = {
		{BPF_PROG_TYPE_XDP, 0, BPF_XDP}, {BPF_PROG_TYPE_XDP, BPF_F_XDP_HAS_FRAGS, BPF_XDP},
		{BPF_PROG_TYPE_XDP, 0, 0},	 {BPF_PROG_TYPE_XDP, BPF_F_XDP_HAS_FRAGS, 0},
		{BPF_PROG_TYPE_SCHED_CLS, 0, 0}, {BPF_PROG_TYPE_SCHED_CLS, 0, TCX_INGRESS},
	};

	for (size_t i = 0; i < sizeof(variants) / sizeof(*variants); i++) {
		struct testrun_bpf *skel;
		struct bpf_program *prog;
		uint32_t key[2] = {0, 1};
		int map, idle;

		if (variants[i].type != run->type)
			continue;
		skel = open_for(run, slot);
		bpf_object__for_each_program(prog, skel->obj)
		{
			bpf_program__set_flags(prog, variants[i].flags);
			bpf_program__set_expected_attach_type(
				prog, (enum bpf_attach_type)variants[i].attach_type);
		}
		check(testrun_bpf__load(skel), "load BPF object");
		map = bpf_map__fd(skel->maps.under_test);
		idle = bpf_program__fd(nothing(run, skel));
		if (!bpf_map_update_elem(map, &key[0], &fd, 0) &&
		    !bpf_map_update_elem(map, &key[1], &idle, 0)) {
			fill_prepared(run, skel);
			return skel;
		}
		testrun_bpf__destroy(skel);
	}
	errno = EINVAL;
	check(1, "no way to tail-call the program");
	return NULL;
}

/* As measure(), with the address at run->offset rotating. */
static double measure_rotation(const struct run *run, int fd, uint32_t *verdict)
{
	double idle = 0, rotated[2]; /* by slot: PROGRAM, nothing */

	for (uint32_t slot = 2; slot-- > 0;) {
		struct testrun_bpf *skel = rotation_load(run, fd, slot);

		rotated[slot] = measure(run, bpf_program__fd(changer(run, skel)), verdict);
		if (slot == 1)
			idle = measure(run, bpf_program__fd(nothing(run, skel)), verdict);
		testrun_bpf__destroy(skel);
	}
	return rotated[0] - (rotated[1] - idle);
}

/* The nanoseconds that @percent of the frames did not exceed. */
static double took(const struct testrun_bpf *skel, double percent)
{
	const uint32_t *frames = skel->bss->took;
	const size_t n = sizeof(skel->bss->took) / sizeof(*frames);
	double sum = 0, below = 0;
	size_t ns;

	for (ns = 0; ns < n; ns++)
		sum += frames[ns];
	for (ns = 0; ns + 1 < n; ns++) {
		below += frames[ns];
		if (below >= sum * percent / 100)
			break;
	}
	return (double)ns;
}

/* The program's own time for the prepared frames. */
struct times {
	double ns, p50, p99;
};

static struct times measure_frames(const struct run *run, int fd, uint32_t *verdict)
{
	struct times by_slot[2]; /* PROGRAM, nothing */

	for (uint32_t slot = 2; slot-- > 0;) {
		struct testrun_bpf *skel = rotation_load(run, fd, slot);
		int prog = bpf_program__fd(changer(run, skel));
		struct run warm_up = *run;

		warm_up.repeat = 2 * SLICES * run->count;
		measure(&warm_up, prog, verdict);
		memset(skel->bss->took, 0, sizeof(skel->bss->took));
		by_slot[slot].ns = measure(run, prog, verdict);
		by_slot[slot].p50 = took(skel, 50);
		by_slot[slot].p99 = took(skel, 99);
		testrun_bpf__destroy(skel);
	}
	return (struct times){.ns = by_slot[0].ns - by_slot[1].ns,
			      .p50 = by_slot[0].p50 - by_slot[1].p50,
			      .p99 = by_slot[0].p99 - by_slot[1].p50};
}

int main(int argc, char **argv)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info), verdict = 0;
	struct ether_addr dst, src;
	struct run run = {};
	struct times t;
	double ns;
	int fd;

	if (argc != 9 || !ether_aton_r(argv[4], &dst) || !ether_aton_r(argv[5], &src) ||
	    (strcmp(argv[6], "hot") && strcmp(argv[6], "dst") && strcmp(argv[6], "src") &&
	     strcmp(argv[6], "frames"))) {
		fprintf(stderr,
			"usage: %s NETNS DEV PROGRAM DST SRC {{hot|dst|src} COUNT | frames FILE} "
			"REPEAT\n",
			argv[0]);
		return 2;
	}
	if (!strcmp(argv[6], "frames"))
		run.prepared = frames_read(argv[7], &run.count);
	else
		run.count = (uint32_t)strtoul(argv[7], NULL, 10);
	run.offset = strcmp(argv[6], "src") ? 3 : ETH_ALEN + 3;
	run.repeat = (uint32_t)strtoul(argv[8], NULL, 10);
	frame_build(&run.frame, dst.ether_addr_octet, src.ether_addr_octet);

	netns_enter(argv[1]);
	run.ifindex = if_nametoindex(argv[2]);
	check(!run.ifindex, argv[2]);
	fd = bpf_obj_get(argv[3]);
	check(fd < 0, argv[3]);
	check(bpf_obj_get_info_by_fd(fd, &info, &len), argv[3]);
	run.type = info.type;

	if (run.prepared) {
		t = measure_frames(&run, fd, &verdict);
		printf("{\"ns\": %.1f, \"p50\": %.0f, \"p99\": %.0f, \"verdict\": %u}\n", t.ns,
		       t.p50, t.p99, verdict);
	} else {
		ns = strcmp(argv[6], "hot") ? measure_rotation(&run, fd, &verdict)
					    : measure(&run, fd, &verdict);
		printf("{\"ns\": %.1f, \"verdict\": %u}\n", ns, verdict);
	}
	free(run.prepared);
	close(fd);
	return 0;
}
