/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Addresses with ports, and ranges, in words. Each parser returns 0, or a usage error that names
 * the word; *out is untouched on failure.
 */
#ifndef LOADER_ENDPOINT_H
#define LOADER_ENDPOINT_H

#include "parse.h"

/* [ADDR:]PORT[-PORT]: an IPv6 address is in brackets then. */
struct endpoint {
	struct prefix addr; /* family 0: none */
	__u16 first;	    /* ports, 0: none */
	__u16 last;
};

/* The outer end of a forward: [ADDR:]PORT, with range also [ADDR:]PORT-PORT. */
int parse_external(const char *key, const char *s, bool range, struct endpoint *out);
/* The inner one: ADDR[:PORT]. */
int parse_internal(const char *key, const char *s, struct endpoint *out);
/* ADDR[-ADDR], of one family, at most max addresses. */
int parse_addr_range(const char *key, const char *s, __u32 max, struct prefix *first,
		     struct prefix *last);
/* N[-M], from 1 to 65535. */
int parse_ports(const char *key, const char *s, __u16 *first, __u16 *last);

#endif
