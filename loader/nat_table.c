// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The tables beside those of flows. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "err.h"
#include "map.h"
#include "nat_table.h"

static const struct nat_table {
	struct map_kind kind;
	__u32 buckets;
} tables[] = {
	{{BPF_MAP_TYPE_ARRAY, "nat_flow_table", "nat_bucket", sizeof(struct nat_bucket),
	  BPF_F_MMAPABLE | BPF_F_INNER_MAP},
	 FLOW_BUCKETS},
	{{BPF_MAP_TYPE_ARRAY, "nat_opening", "nat_bucket", sizeof(struct nat_bucket),
	  BPF_F_MMAPABLE | BPF_F_INNER_MAP},
	 FLOW_OPENING_BUCKETS},
};

static int make_table(struct state *s, __u32 place)
{
	const struct nat_table *t = &tables[place];
	int fd = map_inner(s->maps[MAP_NAT_FLOWS], place), err;

	if (fd == -ENOENT) {
		fd = map_make(s, &t->kind, t->buckets);
		if (fd < 0)
			return fail(fd, "%s: cannot be made (%u MB of kernel memory): %s",
				    t->kind.name, t->buckets * t->kind.value_size >> 20,
				    strerror(-fd));
		err = bpf_map_update_elem(s->maps[MAP_NAT_FLOWS], &place, &fd, BPF_ANY);
		if (err) {
			close(fd);
			return fail(err, "%s: cannot be put into its place: %s", t->kind.name,
				    strerror(-err));
		}
	}
	if (fd < 0)
		return fail(fd, "%s: cannot be opened: %s", t->kind.name, strerror(-fd));
	err = state_pin_map(s, fd, t->kind.name);
	close(fd);
	return err;
}

int nat_tables_make(struct state *s)
{
	return make_table(s, 0) ?: make_table(s, 1);
}

int nat_tables_map(const struct state *s, const struct nat_bucket *out[2])
{
	int fd, err = 0;
	void *at;

	for (__u32 place = 0; place < 2; place++) {
		fd = map_inner(s->maps[MAP_NAT_FLOWS], place);
		if (fd == -ENOENT)
			continue;
		if (fd < 0)
			return fail(fd, "%s: cannot be opened: %s", tables[place].kind.name,
				    strerror(-fd));
		at = mmap(NULL, tables[place].buckets * sizeof(**out), PROT_READ, MAP_SHARED, fd,
			  0);
		err = errno;
		close(fd);
		if (at == MAP_FAILED)
			return fail(err, "%s: cannot be mapped: %s", tables[place].kind.name,
				    strerror(err));
		out[place] = at;
	}
	return 0;
}

void nat_tables_unmap(const struct nat_bucket *at[2])
{
	for (__u32 place = 0; place < 2; place++)
		if (at[place])
			munmap((void *)at[place], tables[place].buckets * sizeof(**at));
}
