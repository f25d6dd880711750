/*
 * What the bench's small programs have in common: fatal errors, network
 * namespaces, the clock, and the order statistics that they report.
 */
#ifndef BENCH_UTIL_H
#define BENCH_UTIL_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Ends the program when @failed, with "what: reason of errno". */
static inline void check(int failed, const char *what)
{
	if (!failed)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

/* Moves this thread to the network namespace @name (see ip-netns(8)). */
static inline void netns_enter(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	check(fd < 0 || setns(fd, CLONE_NEWNET), path);
	close(fd);
}

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline int compare_doubles(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The @percent quantile of @samples, which get sorted; @count is at least 1. */
static inline double quantile(double *samples, size_t count, double percent)
{
	qsort(samples, count, sizeof(*samples), compare_doubles);
	return samples[(size_t)((double)(count - 1) * percent / 100)];
}

#endif
