// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Addresses with ports, and ranges, in words. */
#include <stdio.h>
#include <string.h>
#include "addr.h"
#include "endpoint.h"
#include "err.h"

static int bad_endpoint(const char *key, const char *s, const char *forms)
{
	return usage("%s: \"%s\" is not %s (IPv6: [2001:db8::1]:80)", key, s, forms);
}

/* One number of a range that ends with `end`. Returns where it ends, or NULL. */
static const char *read_port(const char *s, __u16 *out)
{
	__u32 n = 0;
	size_t len = strspn(s, "0123456789");

	if (!len || len > 5)
		return NULL;
	for (; len; len--)
		n = n * 10 + (*s++ - '0');
	if (!n || n > 65535)
		return NULL;
	*out = n;
	return s;
}

/* N or N-M. */
static bool read_ports(const char *s, bool range, __u16 *first, __u16 *last)
{
	const char *end = read_port(s, first);

	*last = *first;
	if (end && range && *end == '-')
		end = read_port(end + 1, last);
	return end && !*end && *first <= *last;
}

/*
 * Splits at the colon before the ports: addr gets what is before it, without brackets. Returns
 * the ports, or NULL when there is no address with ports (what is there may be either).
 */
static const char *split(const char *s, char *addr, size_t n, bool *brackets)
{
	const char *colon = strrchr(s, ':'), *end = colon;

	*brackets = *s == '[';
	if (!colon || (*brackets && (colon == s || colon[-1] != ']')) ||
	    (!*brackets && colon != strchr(s, ':')))
		return NULL;
	if (*brackets) {
		s++;
		end--;
	}
	if ((size_t)(end - s) >= n)
		return NULL;
	snprintf(addr, n, "%.*s", (int)(end - s), s);
	return colon + 1;
}

int parse_external(const char *key, const char *s, bool range, struct endpoint *out)
{
	char addr[ADDR_TEXT], text[ADDR_TEXT];
	struct endpoint e = {};
	const char *ports;
	bool brackets;

	ports = split(s, addr, sizeof(addr), &brackets);
	if (!read_ports(ports ?: s, range, &e.first, &e.last))
		return bad_endpoint(key, s,
				    range ? "[ADDR:]PORT[-PORT], as 8080, 8000-8010 or 192.0.2.1:80"
					  : "[ADDR:]PORT, as 8080 or 192.0.2.1:80");
	if (ports && parse_host(key, addr, brackets ? 6 : 4, &e.addr)) {
		snprintf(text, sizeof(text), "%s", addr);
		return usage("%s: \"%s\": \"%s\" is not an address of a host", key, s, text);
	}
	*out = e;
	return 0;
}

int parse_internal(const char *key, const char *s, struct endpoint *out)
{
	struct endpoint e = {};
	char addr[ADDR_TEXT];
	const char *port;
	bool brackets;

	port = split(s, addr, sizeof(addr), &brackets);
	if (port ? !read_ports(port, false, &e.first, &e.last) ||
			    parse_host(key, addr, brackets ? 6 : 4, &e.addr)
		 : !!parse_host(key, s, 0, &e.addr))
		return bad_endpoint(key, s, "ADDR[:PORT], as 192.168.50.10 or 192.168.50.10:80");
	*out = e;
	return 0;
}

int parse_addr_range(const char *key, const char *s, __u32 max, struct prefix *first,
		     struct prefix *last)
{
	size_t n = strcspn(s, "-");
	char text[ADDR_TEXT];
	struct prefix a, b;
	__u64 from[2], to[2];

	snprintf(text, sizeof(text), "%.*s", (int)n, s);
	if (n >= sizeof(text) || parse_host(key, text, 0, &a) ||
	    (s[n] && parse_host(key, s + n + 1, a.family, &b)))
		return usage("%s: \"%s\" is not ADDR[-ADDR], as 192.0.2.1 or 192.0.2.1-192.0.2.4",
			     key, s);
	if (!s[n])
		b = a;
	addr_pack(from, a.family, a.addr);
	addr_pack(to, b.family, b.addr);
	if (addr_distance(from, to) >= max)
		return usage("%s: \"%s\" is not a range of 1 to %u addresses", key, s, max);
	*first = a;
	*last = b;
	return 0;
}

int parse_ports(const char *key, const char *s, __u16 *first, __u16 *last)
{
	__u16 from, to;

	if (!read_ports(s, true, &from, &to))
		return usage("%s: \"%s\" is not a port or range of ports from 1 to 65535 (as "
			     "1024-65535)",
			     key, s);
	*first = from;
	*last = to;
	return 0;
}
