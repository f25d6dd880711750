// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Nanoseconds that acl_match() takes in the kernel: one run of a program classifies many
 * packets, each of them drawn from a rule of the list, in rotation; what the same run takes
 * without a list is taken off. See acl_bench.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "../loader/acl_compile.h"
#include "../loader/err.h"
#include "acl_bench.h"
#include "acl_rules.h"

#define RUNS 51

static const struct {
	const char *size;
	__u32 most; /* rules taken */
} lists[] = {{"1k", 1}, {"1k", 16}, {"1k", ~0U}, {"10k", ~0U}, {"100k", ~0U}};

static int by_number(const void *a, const void *b)
{
	__u64 x = *(const __u64 *)a, y = *(const __u64 *)b;

	return x < y ? -1 : x > y;
}

/* A packet that the rule matches. */
static struct acl_key packet_of(const struct acl_rule *r, struct acl_random *random)
{
	__u64 host = ~0ULL << 32;

	return (struct acl_key){
		.src = {r->src[0] | (acl_random(random) & ~r->src_mask[0] & host)},
		.dst = {r->dst[0] | (acl_random(random) & ~r->dst_mask[0] & host)},
		.src_mac = acl_random(random),
		.dst_mac = acl_random(random),
		.misc = r->misc | ACL_MISC_HAS_L4 | ACL_MISC_STATE(ACL_NEW) |
			(acl_random(random) & ~r->misc_mask & 0xffff),
		.sport = r->sport_min + acl_random_below(random, r->sport_max - r->sport_min + 1),
		.dport = r->dport_min + acl_random_below(random, r->dport_max - r->dport_min + 1),
	};
}

static int fill(struct acl_kernel *kernel, const struct acl_rules *rules, __u32 packets)
{
	struct acl_key *key = calloc(packets, sizeof(*key));
	struct acl_random random = {1};
	int err;

	if (!key)
		return -1;
	for (__u32 i = 0; i < packets; i++)
		key[i] = packet_of(&rules->rule[acl_random_below(&random, rules->n)], &random);
	err = acl_kernel_packets(kernel, key, packets);
	free(key);
	return err;
}

static int measure(struct acl_kernel *kernel, const struct acl_rules *rules)
{
	static const __u32 packets[] = {1024, 16384};
	__u64 with[RUNS], without[RUNS];
	int err = 0;

	for (__u32 p = 0; p < sizeof(packets) / sizeof(*packets); p++) {
		__u32 n = packets[p];

		err = fill(kernel, rules, n);
		for (__u32 i = 0; !err && i < RUNS; i++) {
			err = acl_kernel_ask(kernel, ACL_KERNEL_LIST, n, &with[i], NULL);
			if (!err)
				err = acl_kernel_ask(kernel, ACL_KERNEL_NO_LIST, n, &without[i],
						     NULL);
		}
		if (err)
			return err;
		qsort(with, RUNS, sizeof(*with), by_number);
		qsort(without, RUNS, sizeof(*without), by_number);
		printf("%7.1f %7.1f", ((double)with[RUNS / 2] - without[RUNS / 2]) / n,
		       ((double)with[RUNS / 10] - without[RUNS / 10]) / n);
	}
	return 0;
}

static int bench_list(struct acl_kernel *kernel, const char *path, const char *set, __u32 most)
{
	struct acl_certificate cert;
	struct acl_rules rules;
	struct acl_rule *lines;
	struct timespec start, end;
	__u32 n;
	int err = acl_rules_read(path, most, &rules);

	if (err)
		return err;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
	err = acl_compile(rules.rule, rules.n, &lines, &n, &cert);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	if (err) {
		printf("%s\n", err_message());
		acl_rules_free(&rules);
		return err;
	}
	printf("%-5s %6u %7u %6u %6u %6u %6.0f ", set, rules.n, n * ACL_LINE / 1000, cert.tuples,
	       cert.probes, cert.steps,
	       (end.tv_sec - start.tv_sec) * 1e3 + (end.tv_nsec - start.tv_nsec) / 1e6);
	err = acl_kernel_list(kernel, lines, n);
	if (!err)
		err = measure(kernel, &rules);
	printf("\n");
	fflush(stdout);
	free(lines);
	acl_rules_free(&rules);
	return err;
}

int acl_bench(struct acl_kernel *kernel, const char *directory)
{
	static const char *const sets[] = {"acl1", "fw1", "ipc1"};
	char path[4200];
	int err = 0;

	printf("                           certified         ns: 1,024 packets   16,384 packets\n"
	       "set    rules      kB tuples probes  steps     ms  median  quiet  median  quiet\n");
	for (__u32 s = 0; s < 3; s++) {
		for (__u32 i = 0; !err && i < sizeof(lists) / sizeof(*lists); i++) {
			snprintf(path, sizeof(path), "%s/%s_%s.xz", directory, sets[s],
				 lists[i].size);
			err = bench_list(kernel, path, sets[s], lists[i].most);
		}
	}
	if (err)
		fprintf(stderr, "acl bench: %s\n", strerror(-err));
	return err ? 1 : 0;
}
