// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The data plane of the current network namespace. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <linux/magic.h>
#include "attach.h"
#include "err.h"
#include "nat.h"
#include "port.h"
#include "state.h"

#ifndef VERSION
#error VERSION is set by the Makefile
#endif
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#define BPFFS "/sys/fs/bpf"

const char *const state_map_names[MAP_COUNT] = {
#define X(id, name) #name,
	STATE_MAPS(X)
#undef X
};
const char *const state_prog_pins[PROG_COUNT] = {"prog_xdp", "prog_tc_ingress", "prog_tc_egress",
						 "prog_tc_local", "prog_flow_flush"};

/* There is one: the namespace is entered once per process. */
static struct state the_state = {.lock = -1};
static bool maps_open;
static ino_t maps_dir; /* the directory that the open maps are from */
static __u64 netns_cookie;
static int changes; /* state_begin()s without their state_end() */

const char *state_dir(void)
{
	return the_state.dir;
}

const char *state_version(void)
{
	return VERSION;
}

/* ---- finding the BPF file system ---- */

static pid_t parent_of(pid_t pid)
{
	char path[64];
	int parent = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%*d (%*[^)]) %*c %d", &parent) != 1)
		parent = 0;
	fclose(f);
	return parent;
}

static int open_mount_ns(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/*
 * A command under `ip netns exec` is in a mount namespace that ends with it, and so would
 * its pins. Those of the first process or, where that one is out of reach, of the oldest
 * ancestor that is not, outlive it.
 */
static void enter_lasting_mount_ns(void)
{
	struct stat own, other;
	int fd = open_mount_ns(1), next;

	for (pid_t pid = getpid(); fd < 0 && (pid = parent_of(pid)) > 1;) {
		next = open_mount_ns(pid);
		if (next < 0)
			continue;
		/* keep the oldest: go on, and remember this one */
		for (pid_t older = pid; (older = parent_of(older)) > 1;) {
			int better = open_mount_ns(older);

			if (better >= 0) {
				close(next);
				next = better;
			}
		}
		fd = next;
	}
	if (fd < 0)
		return;
	if (!stat("/proc/self/ns/mnt", &own) && !fstat(fd, &other) && own.st_ino != other.st_ino)
		if (setns(fd, CLONE_NEWNS))
			warn("cannot leave this mount namespace: pins may end with it: %s",
			     strerror(errno));
	close(fd);
}

int state_init(void)
{
	socklen_t len = sizeof(netns_cookie);
	struct stat st;
	int fd;

	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &netns_cookie, &len))
		return fail(errno, "network namespace: cannot be identified: %s", strerror(errno));
	close(fd);
	if (stat("/proc/self/ns/net", &st))
		return fail(errno, "/proc/self/ns/net: %s", strerror(errno));
	snprintf(the_state.dir, sizeof(the_state.dir), STATE_ROOT "/%lu", (unsigned long)st.st_ino);
	enter_lasting_mount_ns();
	return 0;
}

static bool bpffs_mounted(void)
{
	struct statfs fs;

	return !statfs(BPFFS, &fs) && (unsigned long)fs.f_type == BPF_FS_MAGIC;
}

static int make_dir(const char *path)
{
	return mkdir(path, 0700) && errno != EEXIST
		       ? fail(errno, "%s: cannot be made: %s", path, strerror(errno))
		       : 0;
}

/* ---- the directory and its lock ---- */

static int lock_dir(struct state *s, bool create)
{
	struct stat locked, named;
	int fd;

	for (;;) {
		if (create) {
			if (!bpffs_mounted() && mount("bpf", BPFFS, "bpf", 0, "mode=0700"))
				return fail(errno, BPFFS ": cannot mount a BPF file system: %s",
					    strerror(errno));
			if (make_dir(STATE_ROOT))
				return -EIO;
			if (mkdir(s->dir, 0700) && errno == ENOENT) {
				if (!lstat(STATE_ROOT, &named) && !S_ISDIR(named.st_mode))
					return fail(ENOTDIR, STATE_ROOT ": is not a directory");
				continue; /* another namespace's detach took the root away */
			}
			if (make_dir(s->dir))
				return -EIO;
		}
		fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT && create)
			continue; /* a detach was faster */
		if (fd < 0)
			return errno == ENOENT ? 0 : fail(errno, "%s: %s", s->dir, strerror(errno));
		if (flock(fd, LOCK_EX)) {
			close(fd);
			return fail(errno, "%s: cannot be locked: %s", s->dir, strerror(errno));
		}
		if (!fstat(fd, &locked) && !stat(s->dir, &named) && locked.st_ino == named.st_ino) {
			s->lock = fd;
			if (maps_open && maps_dir != locked.st_ino)
				maps_open = false;
			maps_dir = locked.st_ino;
			return 0;
		}
		close(fd); /* it was removed while we waited */
	}
}

void state_unlock(struct state *s)
{
	if (s->lock >= 0) {
		flock(s->lock, LOCK_UN); /* a process that ends an update has it, too */
		close(s->lock);
	}
	s->lock = -1;
}

/* ---- maps and programs ---- */

static void pin_path(const struct state *s, const char *name, char *buf, size_t n)
{
	snprintf(buf, n, "%s/%s", s->dir, name);
}

static void unmap(void *at, size_t n)
{
	if (at)
		munmap(at, n);
}

/* What the last data plane of this process left open. */
static void close_maps(struct state *s)
{
	for (int i = 0; i < MAP_COUNT; i++) {
		if (s->maps[i] > 0)
			close(s->maps[i]);
		s->maps[i] = -1;
	}
	for (int i = 0; i < PROG_COUNT; i++) {
		if (s->progs[i] > 0)
			close(s->progs[i]);
		s->progs[i] = -1;
	}
	unmap(s->meta, sizeof(*s->meta));
	unmap(s->networks, (NETWORK_MAX + 1) * sizeof(*s->networks));
	unmap(s->ports, (PORT_MAX + 1) * sizeof(*s->ports));
	unmap(s->slots, PORT_SLOTS * sizeof(*s->slots));
	unmap(s->vlans, (PORT_MAX + 1) * sizeof(*s->vlans));
	unmap(s->generation, sizeof(*s->generation));
	unmap(s->acl_numbers, sizeof(*s->acl_numbers));
	unmap(s->nat_networks, (NETWORK_MAX + 1) * sizeof(*s->nat_networks));
	unmap(s->nat_addrs, NAT_ADDRS * sizeof(*s->nat_addrs));
	s->meta = NULL;
	s->networks = NULL;
	s->ports = NULL;
	s->slots = NULL;
	s->vlans = NULL;
	s->generation = NULL;
	s->acl_numbers = NULL;
	s->nat_networks = NULL;
	s->nat_addrs = NULL;
}

static int map_map(int fd, size_t n, void *out)
{
	void *at;

	if (*(void **)out)
		return 0;
	at = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		return fail(errno, "maps: cannot be mapped: %s", strerror(errno));
	*(void **)out = at;
	return 0;
}

static int map_all(struct state *s)
{
	return map_map(s->maps[MAP_META], sizeof(*s->meta), &s->meta)
		       ?: map_map(s->maps[MAP_NETWORKS], (NETWORK_MAX + 1) * sizeof(*s->networks),
				  &s->networks)
		       ?: map_map(s->maps[MAP_PORTS], (PORT_MAX + 1) * sizeof(*s->ports), &s->ports)
		       ?: map_map(s->maps[MAP_PORT_SLOTS], PORT_SLOTS * sizeof(*s->slots), &s->slots)
		       ?: map_map(s->maps[MAP_PORT_VLANS], (PORT_MAX + 1) * sizeof(*s->vlans),
				  &s->vlans)
		       ?: map_map(s->maps[MAP_GENERATION], sizeof(*s->generation), &s->generation)
		       ?: map_map(s->maps[MAP_ACL_NUMBERS], sizeof(*s->acl_numbers),
				  &s->acl_numbers)
		       ?: map_map(s->maps[MAP_NAT_NETWORKS],
				  (NETWORK_MAX + 1) * sizeof(*s->nat_networks), &s->nat_networks)
		       ?: map_map(s->maps[MAP_NAT_ADDRS], NAT_ADDRS * sizeof(*s->nat_addrs),
				  &s->nat_addrs);
}

/* A pin's fd, or -1 when there is none; anything else is an error. */
static int open_pin(const struct state *s, const char *name, int *fd)
{
	char path[128];

	pin_path(s, name, path, sizeof(path));
	*fd = bpf_obj_get(path);
	return *fd < 0 && errno != ENOENT ? fail(errno, "%s: %s", path, strerror(errno)) : 0;
}

/* Opens the pins that are there; *all: none is missing. */
static int open_pins(struct state *s, bool *all)
{
	int err = 0;

	close_maps(s);
	*all = true;
	for (int i = 0; i < MAP_COUNT && !err; i++) {
		err = open_pin(s, state_map_names[i], &s->maps[i]);
		*all &= s->maps[i] >= 0;
	}
	for (int i = 0; i < PROG_COUNT && !err; i++) {
		err = open_pin(s, state_prog_pins[i], &s->progs[i]);
		*all &= s->progs[i] >= 0;
	}
	return err;
}

/* Pins a map or program, in the place of one that is there. */
static int pin(const struct state *s, int fd, const char *name)
{
	char path[128], temporary[128];

	pin_path(s, name, path, sizeof(path));
	pin_path(s, "new", temporary, sizeof(temporary));
	unlink(temporary);
	if (bpf_obj_pin(fd, temporary) || rename(temporary, path))
		return fail(errno, "%s: cannot be pinned: %s", path, strerror(errno));
	return 0;
}

int state_pin_map(const struct state *s, int fd, const char *name)
{
	char path[128];

	pin_path(s, name, path, sizeof(path));
	return access(path, F_OK) ? pin(s, fd, name) : 0;
}

static int pin_maps(const struct state *s)
{
	int err = 0;

	for (int i = 0; i < MAP_COUNT && !err; i++)
		err = state_pin_map(s, s->maps[i], state_map_names[i]);
	return err;
}

static int pin_progs(const struct state *s)
{
	int err = 0;

	for (int i = 0; i < PROG_COUNT && !err; i++)
		err = pin(s, s->progs[i], state_prog_pins[i]);
	return err;
}

/*
 * Removes the pins and their directory, under the lock; links and programs on devices go first.
 */
static int remove_pins(struct state *s)
{
	DIR *d = opendir(s->dir);
	struct dirent *e;
	char path[512];

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", s->dir, e->d_name);
		unlink(path);
	}
	if (d)
		closedir(d);
	if (rmdir(s->dir) && errno != ENOENT)
		return fail(errno, "%s: cannot be removed: %s", s->dir, strerror(errno));
	rmdir(STATE_ROOT);
	return 0;
}

/* Loads this build's programs, takes over what is attached, and says so in meta. */
static int take_over(struct state *s)
{
	struct port_list ports;
	int gc = -1, err;

	err = attach_load(s, &gc) ?: pin_maps(s) ?: map_all(s);
	if (!err)
		err = port_list(s, &ports);
	if (!err) {
		for (__u32 i = 0; i < ports.n && !err; i++)
			err = attach_replace(s, ports.at[i].id, &ports.at[i].info);
		port_list_free(&ports);
	}
	err = err ?: pin_progs(s);
	err = err ?: attach_start_gc(gc);
	if (gc >= 0)
		close(gc);
	if (err)
		return err;
	snprintf(s->meta->version, sizeof(s->meta->version), "%s", VERSION);
	s->meta->build = attach_build();
	return 0;
}

static int create(struct state *s)
{
	int err = take_over(s);

	if (err)
		return err;
	s->meta->layout = MAPS_LAYOUT;
	s->meta->netns = netns_cookie;
	s->meta->next_order = 1;
	s->generation->number = 1;
	if (getrandom(&s->generation->seed, sizeof(s->generation->seed), 0) < 0)
		return fail(errno, "random numbers: %s", strerror(errno));
	__atomic_store_n(&s->meta->ready, 1, __ATOMIC_RELEASE);
	return 0;
}

/* What a dead command left of making or removing a data plane, or of another namespace's. */
static int sweep(struct state *s)
{
	struct port_list ports;
	int err;

	if (s->meta && s->meta->layout == MAPS_LAYOUT && s->meta->netns == netns_cookie &&
	    s->maps[MAP_PORT_INFO] >= 0 && !map_all(s) && !port_list(s, &ports)) {
		for (__u32 i = 0; i < ports.n; i++)
			port_remove(s, ports.at[i].id, &ports.at[i].info);
		port_list_free(&ports);
		nat_remove_devices(s);
	}
	err = remove_pins(s);
	close_maps(s);
	maps_open = false;
	state_unlock(s);
	return err;
}

/* Whether the maps that are open are a finished data plane of this namespace. */
static bool usable(const struct state *s)
{
	return s->meta && s->meta->ready && s->meta->netns == netns_cookie;
}

/* Opens what is pinned; with STATE_CREATE makes what is not. Unlocked: nothing is there. */
static int open_maps(struct state *s, enum state_open how)
{
	bool complete;
	int err = open_pins(s, &complete);

	if (!err && s->maps[MAP_META] >= 0)
		err = map_map(s->maps[MAP_META], sizeof(*s->meta), &s->meta);
	if (err)
		return err;
	if (usable(s) && s->meta->layout != MAPS_LAYOUT)
		return fail(EPROTO,
			    "%s: made by xdpctl %s with map layout %u, this one has %u: "
			    "`detach` with that version first",
			    s->dir, s->meta->version, s->meta->layout, MAPS_LAYOUT);
	if (usable(s))
		return complete ? map_all(s) : take_over(s);
	if (s->meta || how != STATE_CREATE)
		return sweep(s);
	err = create(s);
	if (err)
		sweep(s);
	return err;
}

/* Looks at the devices, in a batch not for each command. */
static int refresh(struct state *s)
{
	static time_t last;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec == last)
		return 0;
	last = now.tv_sec;
	return port_refresh(s);
}

int state_open(enum state_open how, struct state **out)
{
	struct state *s = &the_state;
	int err;

	*out = s;
	do {
		err = lock_dir(s, how == STATE_CREATE);
		if (!err && s->lock >= 0 && !maps_open)
			err = open_maps(s, how);
	} while (!err && s->lock < 0 && how == STATE_CREATE);
	if (err || s->lock < 0)
		goto out;
	maps_open = true;
	if (how != STATE_READ && s->meta->build != attach_build())
		err = take_over(s);
	if (!err && s->meta->dirty)
		err = port_repair(s);
	err = err ?: refresh(s);
out:
	if (err)
		state_unlock(s);
	return err;
}

void state_begin(struct state *s)
{
	changes++;
	__atomic_store_n(&s->meta->dirty, 1, __ATOMIC_SEQ_CST);
}

void state_void_cache(struct state *s)
{
	__atomic_fetch_add(&s->generation->number, 1, __ATOMIC_SEQ_CST);
}

void state_end(struct state *s)
{
	state_void_cache(s);
	if (!--changes)
		__atomic_store_n(&s->meta->dirty, 0, __ATOMIC_SEQ_CST);
}

int state_detach(struct state *s)
{
	__atomic_store_n(&s->meta->ready, 0, __ATOMIC_SEQ_CST);
	return sweep(s);
}
