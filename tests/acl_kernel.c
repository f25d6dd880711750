// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Lists and packets for tests/acl.bpf.c: see acl_kernel.h. */
#include <errno.h>
#include <linux/if_ether.h>
#include <stdlib.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include "acl_kernel.h"
#include "tests/acl.skel.h"

int acl_kernel_open(struct acl_kernel *k)
{
	*k = (struct acl_kernel){.skel = acl_bpf__open()};
	if (!k->skel)
		return -errno;
	return acl_bpf__load(k->skel);
}

void acl_kernel_close(struct acl_kernel *k)
{
	acl_bpf__destroy(k->skel);
}

/* Writes n elements of a map from the first one on. */
static int write_elements(int map, const void *elements, __u32 n)
{
	__u32 *places = malloc(n * sizeof(*places)), count = n;
	int err;

	if (!places)
		return -ENOMEM;
	for (__u32 i = 0; i < n; i++)
		places[i] = i;
	err = bpf_map_update_batch(map, places, elements, &count, NULL);
	free(places);
	return err;
}

int acl_kernel_list(struct acl_kernel *k, const struct acl_rule *lines, __u32 n)
{
	const struct btf *btf = bpf_object__btf(k->skel->obj);
	/* With types: Linux 6.1 takes a map without them for another kind of map. */
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_INNER_MAP | BPF_F_MMAPABLE,
		    .btf_fd = bpf_object__btf_fd(k->skel->obj),
		    .btf_key_type_id = btf__find_by_name_kind(btf, "__u32", BTF_KIND_TYPEDEF),
		    .btf_value_type_id = btf__find_by_name_kind(btf, "acl_rule", BTF_KIND_STRUCT));
	__u32 place = ACL_KERNEL_LIST;
	int fd, err;

	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "acl_list", sizeof(place), ACL_LINE, n, &opts);
	if (fd < 0)
		return -errno;
	err = write_elements(fd, lines, n);
	if (!err)
		err = bpf_map_update_elem(bpf_map__fd(k->skel->maps.acl_lists), &place, &fd, 0);
	close(fd);
	return err;
}

int acl_kernel_packets(struct acl_kernel *k, const struct acl_key *packets, __u32 n)
{
	return write_elements(bpf_map__fd(k->skel->maps.packets), packets, n);
}

int acl_kernel_ask(struct acl_kernel *k, __u32 list, __u32 n, __u64 *ns, __u64 *results)
{
	static const __u8 frame[ETH_ZLEN];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame));
	int fd = bpf_map__fd(k->skel->maps.results), err;

	k->skel->bss->list = list;
	k->skel->bss->count = n;
	err = bpf_prog_test_run_opts(bpf_program__fd(k->skel->progs.acl_ask), &opts);
	*ns = k->skel->bss->time;
	for (__u32 i = 0; results && !err && i < n; i++)
		err = bpf_map_lookup_elem(fd, &i, &results[i]);
	return err;
}
