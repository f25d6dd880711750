// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Maps that are made when they are needed. */
#include <errno.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include "map.h"

/* The types of the programs that are pinned; without them a map is made all the same. */
static void find_types(const struct state *s, const char *value, struct bpf_map_create_opts *opts)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	struct btf *btf;
	int k = 0, v = 0;

	if (bpf_obj_get_info_by_fd(s->progs[PROG_TC_INGRESS], &info, &len) || !info.btf_id)
		return;
	btf = btf__load_from_kernel_by_id(info.btf_id);
	if (btf) {
		k = btf__find_by_name_kind(btf, "__u32", BTF_KIND_TYPEDEF);
		v = btf__find_by_name_kind(btf, value, BTF_KIND_STRUCT);
	}
	btf__free(btf);
	if (k > 0 && v > 0) {
		opts->btf_fd = bpf_btf_get_fd_by_id(info.btf_id);
		opts->btf_key_type_id = k;
		opts->btf_value_type_id = v;
	}
	if ((int)opts->btf_fd < 0)
		opts->btf_fd = opts->btf_key_type_id = opts->btf_value_type_id = 0;
}

int map_make(const struct state *s, const struct map_kind *kind, __u32 entries)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = kind->flags);
	int fd;

	find_types(s, kind->value, &opts);
	fd = bpf_map_create(kind->type, kind->name, sizeof(__u32), kind->value_size, entries,
			    &opts);
	if (fd < 0)
		fd = -errno;
	if (opts.btf_fd)
		close(opts.btf_fd);
	return fd;
}

int map_inner(int outer, __u32 place)
{
	__u32 id;
	int fd;

	if (bpf_map_lookup_elem(outer, &place, &id))
		return -errno;
	fd = bpf_map_get_fd_by_id(id);
	return fd < 0 ? -errno : fd;
}
