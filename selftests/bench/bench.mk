# The bench: `make bench` measures the switch against the kernel's own ways,
# side by side (see selftests/bench/run). Included by the top Makefile, which
# builds xdpctl; without it the bench measures the peers alone.

BENCH_SRC := selftests/bench
BENCH_OUT := build/bench
BENCH_PROGRAMS := $(addprefix $(BENCH_OUT)/,traffic redirect testrun pingpong flood)
BPFTOOL ?= /usr/sbin/bpftool
BENCH_BPF_CFLAGS := -g -O2 -target bpf -mcpu=v3 -Wall -Wextra -Werror -Wshadow \
	-I/usr/include/x86_64-linux-gnu

.PHONY: bench bench-programs
bench: bench-programs
	$(BENCH_SRC)/run

bench-programs: $(BENCH_PROGRAMS)

$(BENCH_OUT):
	mkdir -p $@

$(BENCH_OUT)/%.bpf.o: $(BENCH_SRC)/%.bpf.c $(BENCH_SRC)/kinds.h | $(BENCH_OUT)
	$(CLANG) $(BENCH_BPF_CFLAGS) -c $< -o $@

$(BENCH_OUT)/%.skel.h: $(BENCH_OUT)/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $*_bpf > $@.tmp
	mv $@.tmp $@

$(BENCH_OUT)/%: $(BENCH_SRC)/%.c $(addprefix $(BENCH_SRC)/,util.h frame.h kinds.h) | $(BENCH_OUT)
	$(CC) -D_GNU_SOURCE $(CFLAGS) -I$(BENCH_OUT) $< -o $@ -lbpf

$(BENCH_OUT)/traffic: $(BENCH_OUT)/traffic.skel.h
$(BENCH_OUT)/redirect: $(BENCH_OUT)/redirect.skel.h
$(BENCH_OUT)/testrun: $(BENCH_OUT)/testrun.skel.h
