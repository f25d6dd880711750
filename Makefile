# xdpctl: an eBPF/XDP virtual switch.
#
#   make              build/xdpctl (needs the packages of `make deps`)
#   make demo         installs what is missing, builds, shows the switch on real traffic
#   make test         installs what is missing, builds, runs all tests
#   make test-kernels the programs and packet tables on Debian's stock 6.1, in a VM
#   make bench        measures against the Linux bridge and bare redirects
#   make lint         clang-format and shellcheck
#   make install      to $(DESTDIR)$(PREFIX); make uninstall

VERSION	:= 0.1.0
PREFIX	?= /usr/local
B	:= build

CC	:= gcc
CLANG	:= clang
BPFTOOL	:= $(or $(shell command -v bpftool),/usr/sbin/bpftool)
WARN	:= -Wall -Wextra -Werror -Wshadow -Wno-unused-parameter
CFLAGS	= -O2 -g -std=gnu11 $(WARN) -Wmissing-prototypes -Wstrict-prototypes -D_GNU_SOURCE \
	  -DVERSION='"$(VERSION)"' -I$(B)
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LIBS	:= -lxdp -lbpf -ljson-c -lmnl
BPFCFLAGS := -g -O2 -target bpf -mcpu=v3 $(WARN) -I/usr/include/x86_64-linux-gnu

PACKAGES := clang llvm libclang-rt-dev clang-format gcc libc6-dev make pkg-config bpftool \
	libbpf-dev libxdp-dev libjson-c-dev libmnl-dev libcmocka-dev iproute2 iputils-ping ethtool \
	iperf3 tcpdump jq socat procps kmod python3 nftables shellcheck qemu-system-x86 busybox-static \
	xz-utils zstd lz4 coturn dnsmasq-base

OBJ	:= $(patsubst loader/%.c,%.o,$(wildcard loader/*.c))
HEADERS	:= $(wildcard maps/*.h bpf/*.h loader/*.h)

.PHONY: all sanitized deps demo test test-kernels lint install uninstall clean
.DELETE_ON_ERROR:
.SECONDARY:

all: $(B)/xdpctl
sanitized: $(B)/sanitized/xdpctl

$(B)/xdpctl: $(OBJ:%=$(B)/loader/%)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/loader/%.o: loader/%.c $(B)/xdp.skel.h $(B)/tc.skel.h $(HEADERS) Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<

$(B)/sanitized/xdpctl: $(OBJ:%=$(B)/sanitized/%)
	$(CC) $(CFLAGS) $(SANITIZE) -o $@ $^ $(LIBS)

$(B)/sanitized/%.o: loader/%.c $(B)/xdp.skel.h $(B)/tc.skel.h $(HEADERS) Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(SANITIZE) -c -o $@ $<

$(B)/%.skel.h: $(B)/bpf/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $*_bpf > $@

$(B)/bpf/%.bpf.o: bpf/%.bpf.c $(HEADERS)
	@mkdir -p $(@D)
	$(CLANG) $(BPFCFLAGS) -c -o $@ $<

-include tests/tests.mk
-include selftests/bench/bench.mk
bench: all

deps:
	@missing=$$(for p in $(PACKAGES); do \
		dpkg-query -W -f '$${Status}\n' $$p 2>/dev/null | grep -q ' installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
		echo "installing" $$missing; \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi

# What follows starts make anew: deps may have just installed what the rules above look for.
demo: deps
	$(MAKE) all
	selftests/demo

test: deps
	$(MAKE) all sanitized tests
	selftests/run

test-kernels: deps
	$(MAKE) all tests
	selftests/kernels

SCRIPTS = $(shell grep -lE '^\#!/bin/(ba)?sh' -r selftests tests .ci)
lint:
	clang-format --dry-run -Werror $(shell git ls-files '*.c' '*.h')
	shellcheck -x $(SCRIPTS)

install: all
	install -D -m 755 $(B)/xdpctl $(DESTDIR)$(PREFIX)/sbin/xdpctl
	install -D -m 644 docs/xdpctl.8 $(DESTDIR)$(PREFIX)/share/man/man8/xdpctl.8

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/sbin/xdpctl $(DESTDIR)$(PREFIX)/share/man/man8/xdpctl.8

clean:
	rm -rf $(B)
