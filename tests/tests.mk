# The test programs, in $(B)/tests/, with the sanitizers.
#
#   unit      words, tables and JSON without a kernel
#   nat_words addresses, endpoints and slots without a kernel
#   acl_words rules, files of rules and events without a kernel
#   load      every program passes this kernel's verifier
#   packet    packet tables at both hooks
#   captures  real captures, mutated
#   short_way what known connections' packets are spared, against what they are not
#   acl_hooks lists of rules as both hooks use them, against a scan of them
#   acl       lists of rules against a scan of them; `acl bench` measures
#
# and what system tests need, in $(B)/helpers/:
#
#   flow_fill  puts flows into their tables

T := $(B)/tests
TEST_HEADERS := $(wildcard tests/*.h)
TEST_PROGRAMS := unit nat_words acl_words acl acl_hooks load packet short_way captures
LAB := lab frame tap
# A row of a table names what matters: the rest is 0.
TEST_CFLAGS = $(CFLAGS) $(SANITIZE) -Wno-missing-field-initializers

HELPERS := $(B)/helpers

# libFuzzer targets, run by selftests/fuzz.sh.
FUZZ_TARGETS := acl_list
FUZZ_CFLAGS = $(CFLAGS) $(SANITIZE) -fsanitize=fuzzer

.PHONY: tests
tests: $(TEST_PROGRAMS:%=$(T)/%) $(HELPERS)/flow_fill $(FUZZ_TARGETS:%=$(B)/fuzz/%)

$(T)/%.o: tests/%.c $(B)/xdp.skel.h $(B)/tc.skel.h $(HEADERS) $(TEST_HEADERS) Makefile tests/tests.mk
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) -c -o $@ $<

$(T)/packet: $(patsubst %,$(T)/%.o,packet packet_forward packet_vlan packet_host packet_guard packet_spoof \
	packet_offload packet_matrix packet_learning packet_nat nat_frame nat_known flows \
	$(LAB))
	$(CC) $(TEST_CFLAGS) -o $@ $^ -lbpf -ljson-c

$(T)/unit: $(T)/unit.o $(patsubst %,$(B)/sanitized/%.o,parse out err addr flow_row)
	$(CC) $(TEST_CFLAGS) -o $@ $^ -lcmocka -ljson-c

$(T)/nat_words: $(T)/nat_words.o $(patsubst %,$(B)/sanitized/%.o,parse err addr endpoint nat_plan)
	$(CC) $(TEST_CFLAGS) -o $@ $^ -lcmocka

$(T)/acl_words: $(T)/acl_words.o $(patsubst %,$(B)/sanitized/%.o,acl_parse acl_event parse out err)
	$(CC) $(TEST_CFLAGS) -o $@ $^ -lcmocka -ljson-c

$(T)/load: $(T)/load.o $(T)/tap.o
	$(CC) $(TEST_CFLAGS) -o $@ $^ -lbpf

$(T)/captures: $(patsubst %,$(T)/%.o,captures pcap $(LAB))
	$(CC) $(TEST_CFLAGS) -o $@ $^ -lbpf -ljson-c

$(HELPERS)/flow_fill: $(T)/flow_fill.o $(patsubst %,$(B)/sanitized/%,$(filter-out main.o,$(OBJ)))
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) -o $@ $^ $(LIBS)

$(B)/fuzz/acl_list: tests/fuzz/acl_list.c $(patsubst %,loader/%.c,acl_parse parse err) $(HEADERS) \
		Makefile tests/tests.mk
	@mkdir -p $(@D)
	$(CLANG) $(FUZZ_CFLAGS) -o $@ $(filter %.c,$^) -ljson-c

$(T)/acl: $(patsubst %,$(T)/%.o,acl acl_bench acl_kernel acl_late acl_native acl_rules tap) \
	$(patsubst %,$(B)/sanitized/%.o,acl_compile acl_hash acl_lines acl_trie acl_tuples err)
	$(CC) $(TEST_CFLAGS) -o $@ $^ -lbpf

$(T)/acl_hooks: $(patsubst %,$(T)/%.o,acl_hooks acl_frame acl_rules $(LAB))
	$(CC) $(TEST_CFLAGS) -o $@ $^ -lbpf -ljson-c

$(T)/short_way: $(patsubst %,$(T)/%.o,short_way short_sequences short_lab flows acl_rules $(LAB))
	$(CC) $(TEST_CFLAGS) -o $@ $^ -lbpf -ljson-c

$(T)/acl_kernel.o: $(T)/acl.skel.h
$(T)/acl_late.o: loader/acl_late.c

$(T)/%.skel.h: $(T)/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $*_bpf > $@

$(T)/%.bpf.o: tests/%.bpf.c $(HEADERS)
	@mkdir -p $(@D)
	$(CLANG) $(BPFCFLAGS) -c -o $@ $<
