/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Maps that are made when they are needed, to be put into maps of maps. */
#ifndef LOADER_MAP_H
#define LOADER_MAP_H

#include "state.h"

struct map_kind {
	enum bpf_map_type type;
	const char *name;
	const char *value; /* the struct that it holds, which bpftool shows */
	__u32 value_size;
	__u32 flags;
};

/* Makes a map with __u32 keys. Returns its fd, which is the caller's, or -errno (no message). */
int map_make(const struct state *s, const struct map_kind *kind, __u32 entries);
/* Opens the map at a place of a map of maps. Returns its fd, -ENOENT or -errno (no message). */
int map_inner(int outer, __u32 place);

#endif
