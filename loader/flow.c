// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Connections from the outside. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include "err.h"
#include "flow.h"

/* The map whose only place holds the table, and the pin for those who look at it. */
static const struct table {
	enum state_map outer;
	const char *name;
	__u32 buckets;
} tables[] = {
	{MAP_FLOWS, "flow_table", FLOW_BUCKETS},
	{MAP_FLOWS_OPENING, "flow_opening_table", FLOW_OPENING_BUCKETS},
};
#define TABLES (sizeof(tables) / sizeof(*tables))

/* Opens a table; *fd is the caller's, -1: there is none. */
static int open_table(const struct state *s, const struct table *t, int *fd)
{
	__u32 zero = 0, id;

	*fd = -1;
	if (bpf_map_lookup_elem(s->maps[t->outer], &zero, &id))
		return 0;
	*fd = bpf_map_get_fd_by_id(id);
	return *fd < 0 ? fail(errno, "%s: cannot be opened: %s", t->name, strerror(errno)) : 0;
}

/* The types of the programs name a table's members; without them it is made all the same. */
static void table_types(const struct state *s, struct bpf_map_create_opts *opts)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	struct btf *btf;
	int key, value;

	if (bpf_obj_get_info_by_fd(s->progs[PROG_TC_INGRESS], &info, &len) || !info.btf_id)
		return;
	btf = btf__load_from_kernel_by_id(info.btf_id);
	if (!btf)
		return;
	key = btf__find_by_name_kind(btf, "__u32", BTF_KIND_TYPEDEF);
	value = btf__find_by_name_kind(btf, "flow_bucket", BTF_KIND_STRUCT);
	btf__free(btf);
	opts->btf_fd = key > 0 && value > 0 ? bpf_btf_get_fd_by_id(info.btf_id) : -1;
	if ((int)opts->btf_fd < 0) {
		opts->btf_fd = 0;
		return;
	}
	opts->btf_key_type_id = key;
	opts->btf_value_type_id = value;
}

/* One update puts a table into its place: it is there as a whole, or not at all. */
static int make_table(struct state *s, const struct table *t, int *fd)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__u32 zero = 0;
	int made, err;

	table_types(s, &opts);
	made = bpf_map_create(BPF_MAP_TYPE_ARRAY, t->name, sizeof(zero), sizeof(struct flow_bucket),
			      t->buckets, &opts);
	err = errno;
	if (opts.btf_fd)
		close(opts.btf_fd);
	if (made < 0)
		return fail(err, "%s: cannot be made (%zu MB of kernel memory): %s", t->name,
			    t->buckets * sizeof(struct flow_bucket) >> 20, strerror(err));
	err = bpf_map_update_elem(s->maps[t->outer], &zero, &made, BPF_ANY);
	if (err) {
		close(made);
		return fail(err, "%s: cannot be put into its place: %s", t->name, strerror(-err));
	}
	*fd = made;
	return 0;
}

int flow_tables_make(struct state *s)
{
	int err = 0, fd = -1;

	for (size_t i = 0; i < TABLES && !err; i++) {
		err = open_table(s, &tables[i], &fd);
		if (!err && fd < 0)
			err = make_table(s, &tables[i], &fd);
		err = err ?: state_pin_map(s, fd, tables[i].name);
		if (fd >= 0)
			close(fd);
	}
	return err;
}
