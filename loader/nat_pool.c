// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The ports of external addresses. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "err.h"
#include "flow.h"
#include "map.h"
#include "nat_pool.h"

static const struct map_kind pool_kind = {
	.type = BPF_MAP_TYPE_ARRAY,
	.name = "nat_pool",
	.value = "nat_pool",
	.value_size = sizeof(struct nat_pool),
	.flags = BPF_F_MMAPABLE,
};

int nat_pool_make(const struct state *s)
{
	int fd = map_make(s, &pool_kind, 1);

	return fd < 0 ? fail(fd, "nat_pool: cannot be made (%zu MB of kernel memory): %s",
			     sizeof(struct nat_pool) >> 20, strerror(-fd))
		      : fd;
}

int nat_pool_open(const struct state *s, __u32 slot, enum nat_proto proto, struct nat_pool **out)
{
	int fd = map_inner(s->maps[MAP_NAT_POOLS], NAT_POOL(slot, proto)), err;
	void *at;

	if (fd == -ENOENT) {
		*out = NULL;
		return 0;
	}
	if (fd < 0)
		return fail(fd, "nat_pool: cannot be opened: %s", strerror(-fd));
	at = mmap(NULL, sizeof(struct nat_pool), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	err = errno;
	close(fd);
	if (at == MAP_FAILED)
		return fail(err, "nat_pool: cannot be mapped: %s", strerror(err));
	*out = at;
	return 0;
}

void nat_pool_close(struct nat_pool *pool)
{
	if (pool)
		munmap(pool, sizeof(*pool));
}

int nat_flush(struct state *s, __u32 slot, __u8 proto, __u16 port, __u16 port_mask)
{
	struct flow_filter of_ports = {
		.rest = proto ? FLOW_REST(proto, 1, 0) : 0,
		.rest_mask = proto ? FLOW_REST_PROTO : 0,
		.nat = slot << 16 | port,
		.nat_mask = 0xffff0000 | port_mask,
	};

	return flow_forget(s, &of_ports);
}
