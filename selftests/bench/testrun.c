/*
 * testrun NETNS DEV PROGRAM DST SRC {hot|dst|src} COUNT REPEAT
 *
 * Nanoseconds that the pinned XDP or TC program PROGRAM takes for a frame from
 * SRC to DST that comes in on DEV, measured by the kernel (BPF_PROG_TEST_RUN).
 * hot: always that frame; dst, src: the last three bytes of that address
 * rotate over 0..COUNT-1, and what the rotation adds is subtracted. Prints
 * JSON: ns, and what the program returned for the last frame.
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

/*
 * Loads the rotation with @slot as its target and puts the program @fd into
 * slot 0. A tail call demands that both programs agree in how they were
 * loaded, so the combinations are tried.
 */
static struct testrun_bpf *rotation_load(const struct run *run, int fd, uint32_t slot,
					 uint32_t addresses, uint32_t offset)
{
	static const struct {
		uint32_t type, flags, attach_type;
	} variants[] = {
		{BPF_PROG_TYPE_XDP, 0, BPF_XDP}, {BPF_PROG_TYPE_XDP, BPF_F_XDP_HAS_FRAGS, BPF_XDP},
		{BPF_PROG_TYPE_XDP, 0, 0},	 {BPF_PROG_TYPE_XDP, BPF_F_XDP_HAS_FRAGS, 0},
		{BPF_PROG_TYPE_SCHED_CLS, 0, 0}, {BPF_PROG_TYPE_SCHED_CLS, 0, TCX_INGRESS},
	};
	bool is_xdp = run->type == BPF_PROG_TYPE_XDP;

	for (size_t i = 0; i < sizeof(variants) / sizeof(*variants); i++) {
		struct bpf_program *progs[2];
		struct testrun_bpf *skel;
		uint32_t key[2] = {0, 1};
		int map, nothing;

		if (variants[i].type != run->type)
			continue;
		skel = testrun_bpf__open();
		check(!skel, "open BPF object");
		skel->rodata->slot = slot;
		skel->rodata->addresses = addresses;
		skel->rodata->offset = offset;
		bpf_program__set_autoload(skel->progs.rotate_xdp, is_xdp);
		bpf_program__set_autoload(skel->progs.nothing_xdp, is_xdp);
		bpf_program__set_autoload(skel->progs.rotate_tc, !is_xdp);
		bpf_program__set_autoload(skel->progs.nothing_tc, !is_xdp);
		progs[0] = is_xdp ? skel->progs.rotate_xdp : skel->progs.rotate_tc;
		progs[1] = is_xdp ? skel->progs.nothing_xdp : skel->progs.nothing_tc;
		for (int p = 0; p < 2; p++) {
			bpf_program__set_flags(progs[p], variants[i].flags);
			bpf_program__set_expected_attach_type(
				progs[p], (enum bpf_attach_type)variants[i].attach_type);
		}
		check(testrun_bpf__load(skel), "load BPF object");
		map = bpf_map__fd(skel->maps.under_test);
		nothing = bpf_program__fd(progs[1]);
		if (!bpf_map_update_elem(map, &key[0], &fd, 0) &&
		    !bpf_map_update_elem(map, &key[1], &nothing, 0))
			return skel;
		testrun_bpf__destroy(skel);
	}
	errno = EINVAL;
	check(1, "no way to tail-call the program");
	return NULL;
}

/* As measure(), with the address at @offset rotating. */
static double measure_rotation(const struct run *run, int fd, uint32_t addresses, uint32_t offset,
			       uint32_t *verdict)
{
	bool is_xdp = run->type == BPF_PROG_TYPE_XDP;
	double nothing = 0, rotated[2]; /* by slot: PROGRAM, nothing */

	for (uint32_t slot = 2; slot-- > 0;) {
		struct testrun_bpf *skel = rotation_load(run, fd, slot, addresses, offset);

		rotated[slot] = measure(run,
					bpf_program__fd(is_xdp ? skel->progs.rotate_xdp
							       : skel->progs.rotate_tc),
					verdict);
		if (slot == 1)
			nothing = measure(run,
					  bpf_program__fd(is_xdp ? skel->progs.nothing_xdp
								 : skel->progs.nothing_tc),
					  verdict);
		testrun_bpf__destroy(skel);
	}
	return rotated[0] - (rotated[1] - nothing);
}

int main(int argc, char **argv)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info), verdict = 0, addresses, offset;
	struct ether_addr dst, src;
	struct run run = {};
	double ns;
	int fd;

	if (argc != 9 || !ether_aton_r(argv[4], &dst) || !ether_aton_r(argv[5], &src) ||
	    (strcmp(argv[6], "hot") && strcmp(argv[6], "dst") && strcmp(argv[6], "src"))) {
		fprintf(stderr, "usage: %s NETNS DEV PROGRAM DST SRC {hot|dst|src} COUNT REPEAT\n",
			argv[0]);
		return 2;
	}
	addresses = (uint32_t)strtoul(argv[7], NULL, 10);
	offset = strcmp(argv[6], "src") ? 3 : ETH_ALEN + 3;
	run.repeat = (uint32_t)strtoul(argv[8], NULL, 10);
	frame_build(&run.frame, dst.ether_addr_octet, src.ether_addr_octet);

	netns_enter(argv[1]);
	run.ifindex = if_nametoindex(argv[2]);
	check(!run.ifindex, argv[2]);
	fd = bpf_obj_get(argv[3]);
	check(fd < 0, argv[3]);
	check(bpf_obj_get_info_by_fd(fd, &info, &len), argv[3]);
	run.type = info.type;

	if (!strcmp(argv[6], "hot"))
		ns = measure(&run, fd, &verdict);
	else
		ns = measure_rotation(&run, fd, addresses, offset, &verdict);
	printf("{\"ns\": %.1f, \"verdict\": %u}\n", ns, verdict);
	close(fd);
	return 0;
}
