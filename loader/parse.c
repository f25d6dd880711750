// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Words of the command line to values. */
#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "err.h"
#include "parse.h"
#include "../maps/network.h"

int args_next(struct args *a, const char *key, const char **word)
{
	if (!a->n)
		return usage("%s: %s needs a value", a->what, key);
	*word = *a->v++;
	a->n--;
	return 0;
}

int args_end(const struct args *a)
{
	return a->n ? usage("%s: unexpected word \"%s\"", a->what, *a->v) : 0;
}

bool args_take(struct args *a, const char *word)
{
	if (!a->n || strcmp(*a->v, word))
		return false;
	a->v++;
	a->n--;
	return true;
}

/* Decimal digits only: no sign, no blank, no prefix. Returns where they end, or NULL. */
static const char *digits(const char *s, __u64 *out)
{
	__u64 n = 0;

	if (!isdigit((unsigned char)*s))
		return NULL;
	for (; isdigit((unsigned char)*s); s++) {
		if (n > 1000000000000000ULL)
			return NULL;
		n = n * 10 + (*s - '0');
	}
	*out = n;
	return s;
}

int parse_number(const char *key, const char *s, __u64 min, __u64 max, __u64 *out)
{
	const char *end;
	__u64 n;

	end = digits(s, &n);
	if (!end || *end || n < min || n > max)
		return usage("%s: \"%s\" is not a number from %llu to %llu", key, s, min, max);
	*out = n;
	return 0;
}

int parse_onoff(const char *key, const char *s, __u8 *out)
{
	if (strcmp(s, "on") && strcmp(s, "off"))
		return usage("%s: \"%s\" is neither on nor off", key, s);
	*out = s[1] == 'n';
	return 0;
}

int parse_time(const char *key, const char *s, __u32 min, __u32 max, __u32 *out)
{
	static const struct {
		const char *unit;
		__u32 seconds;
	} units[] = {{"s", 1}, {"m", 60}, {"h", 3600}};
	const char *end;
	__u64 n;

	end = digits(s, &n);
	for (size_t i = 0; end && i < sizeof(units) / sizeof(*units); i++)
		if (!strcmp(end, units[i].unit) && n <= max && n * units[i].seconds >= min &&
		    n * units[i].seconds <= max) {
			*out = n * units[i].seconds;
			return 0;
		}
	return usage("%s: \"%s\" is not a time from %us to %us (as 30s, 5m or 1h)", key, s, min,
		     max);
}

int parse_vid(const char *key, const char *s, __u16 *out)
{
	const char *end;
	__u64 n;

	end = digits(s, &n);
	if (!end || *end || n < 1 || n > 4094)
		return usage("%s: \"%s\" is not a VLAN ID from 1 to 4094", key, s);
	*out = n;
	return 0;
}

int parse_vid_list(const char *key, const char *s, struct port_vlans *out)
{
	struct port_vlans list = {};
	const char *at = s;
	__u64 from, to;

	do {
		at = digits(at, &from);
		to = from;
		if (at && *at == '-')
			at = digits(at + 1, &to);
		if (!at || from < 1 || to > 4094 || from > to || (*at && *at != ','))
			return usage("%s: \"%s\" is not a list of VLAN IDs from 1 to 4094 "
				     "(as 10,20,100-199)",
				     key, s);
		for (; from <= to; from++)
			list.member[from / 64] |= 1ULL << (from % 64);
	} while (*at++);
	*out = list;
	return 0;
}

static const struct {
	const char *name;
	__u8 proto;
} protos[] = {{"tcp", IPPROTO_TCP},
	      {"udp", IPPROTO_UDP},
	      {"icmp", IPPROTO_ICMP},
	      {"icmp6", IPPROTO_ICMPV6},
	      {"sctp", IPPROTO_SCTP}};
#define PROTOS (sizeof(protos) / sizeof(*protos))

int parse_proto(const char *key, const char *s, __u8 *out)
{
	const char *end;
	__u64 n;

	for (size_t i = 0; i < PROTOS; i++)
		if (!strcmp(s, protos[i].name)) {
			*out = protos[i].proto;
			return 0;
		}
	end = digits(s, &n);
	if (!end || *end || n > 255)
		return usage("%s: \"%s\" is not a protocol (tcp, udp, icmp, icmp6, sctp, or a "
			     "number from 0 to 255)",
			     key, s);
	*out = n;
	return 0;
}

const char *proto_text(__u8 proto, char out[PROTO_TEXT])
{
	for (size_t i = 0; i < PROTOS; i++)
		if (proto == protos[i].proto)
			return protos[i].name;
	snprintf(out, PROTO_TEXT, "%u", proto);
	return out;
}

static int read_mac(const char *key, const char *s, __u8 mac[6])
{
	const char *at = s;

	for (int i = 0; i < 6; i++) {
		char hex[3] = {at[0], at[0] ? at[1] : '\0'};

		if (!isxdigit((unsigned char)hex[0]) || !isxdigit((unsigned char)hex[1]) ||
		    at[2] != (i < 5 ? ':' : '\0'))
			return usage("%s: \"%s\" is not an address (as 52:54:00:12:34:56)", key, s);
		mac[i] = strtoul(hex, NULL, 16);
		at += 3;
	}
	return 0;
}

int parse_mac(const char *key, const char *s, __u8 out[6])
{
	__u8 mac[6];
	int err = read_mac(key, s, mac);

	if (!err && (mac[0] & 1 || !memcmp(mac, "\0\0\0\0\0\0", 6)))
		err = usage("%s: \"%s\" is not a unicast address", key, s);
	if (!err)
		memcpy(out, mac, 6);
	return err;
}

int parse_mac_any(const char *key, const char *s, __u8 out[6])
{
	__u8 mac[6];
	int err = read_mac(key, s, mac);

	if (!err && !memcmp(mac, "\0\0\0\0\0\0", 6))
		err = usage("%s: \"%s\" is no station's or group's address", key, s);
	if (!err)
		memcpy(out, mac, 6);
	return err;
}

int parse_hex(const char *key, const char *s, __u64 min, __u64 max, __u64 *out)
{
	const char *end = NULL;
	__u64 n = 0;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		for (end = s + 2; isxdigit((unsigned char)*end) && n <= max; end++)
			n = n << 4 |
			    (isdigit((unsigned char)*end) ? *end - '0' : (*end | 32) - 'a' + 10);
		if (end == s + 2)
			end = NULL;
	} else {
		end = digits(s, &n);
	}
	if (!end || *end || n < min || n > max)
		return usage("%s: \"%s\" is not a number from 0x%02llx to 0x%02llx", key, s, min,
			     max);
	*out = n;
	return 0;
}

static int bits_of(const struct prefix *p)
{
	return p->family == 4 ? 32 : 128;
}

/* Clears the bits behind the length. Returns whether there were any. */
static bool clear_host_bits(struct prefix *p)
{
	__u8 keep, lost = 0;

	for (int i = 0; i < bits_of(p) / 8; i++) {
		keep = p->len >= 8 * i + 8 ? 0xff
		       : p->len <= 8 * i   ? 0
					   : 0xff00 >> (p->len - 8 * i);
		lost |= p->addr[i] & ~keep;
		p->addr[i] &= keep;
	}
	return lost;
}

/* As it is written, bits behind the length and all. */
static int read_prefix(const char *key, const char *s, struct prefix *out)
{
	char address[INET6_ADDRSTRLEN];
	size_t n = strcspn(s, "/");
	const char *end = NULL;
	struct prefix p = {};
	__u64 len;

	snprintf(address, sizeof(address), "%.*s", (int)n, s);
	if (n < sizeof(address) && inet_pton(AF_INET, address, p.addr) == 1)
		p.family = 4;
	else if (n < sizeof(address) && inet_pton(AF_INET6, address, p.addr) == 1)
		p.family = 6;
	else
		return usage("%s: \"%s\" is not an IPv4 or IPv6 address or prefix "
			     "(as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/64)",
			     key, s);
	len = bits_of(&p);
	if (s[n])
		end = digits(s + n + 1, &len);
	if (s[n] &&
	    (!end || *end || len > (__u64)bits_of(&p) || strlen(s + n) > sizeof("/128") - 1))
		return usage("%s: the length of \"%s\" is not a number from 0 to %d", key, s,
			     bits_of(&p));
	p.len = len;
	p.len_given = s[n] && len == (__u64)bits_of(&p);
	*out = p;
	return 0;
}

int parse_prefix(const char *key, const char *s, struct prefix *out)
{
	char text[PREFIX_TEXT];
	struct prefix p;
	int err = read_prefix(key, s, &p);

	if (!err && clear_host_bits(&p))
		err = usage("%s: \"%s\" has bits behind its length: the network is %s", key, s,
			    prefix_text(&p, text));
	if (!err)
		*out = p;
	return err;
}

int parse_prefix_around(const char *key, const char *s, struct prefix *out)
{
	int err = read_prefix(key, s, out);

	if (!err)
		clear_host_bits(out);
	return err;
}

/* The least and greatest length of a subnet: a network's, a host's and a VM's address fit. */
static const struct {
	__u8 least, greatest;
} subnet_lens[] = {{8, 30}, {16, 126}};

/* Addresses that no host has: multicast, loopback, link-local, unspecified and reserved ones. */
static bool is_special(const struct prefix *p)
{
	static const __u8 loopback[16] = {[15] = 1}, zero[12];
	const __u8 *a = p->addr;

	if (p->family == 4)
		return !a[0] || a[0] == 127 || a[0] >= 224 || (a[0] == 169 && a[1] == 254);
	return a[0] == 0xff || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) ||
	       !memcmp(a, loopback, sizeof(loopback)) || !memcmp(a, zero, 10);
}

int parse_subnet(const char *key, const char *s, __u8 family, struct prefix *out)
{
	__u8 least = subnet_lens[family == 6].least, greatest = subnet_lens[family == 6].greatest;
	struct prefix p;
	int err = parse_prefix(key, s, &p);

	if (err)
		return err;
	if (p.family != family)
		return usage("%s: \"%s\" is not an IPv%u prefix", key, s, family);
	if (p.len < least || p.len > greatest)
		return usage("%s: \"%s\": a subnet has a length from /%u to /%u", key, s, least,
			     greatest);
	if (is_special(&p))
		return usage("%s: \"%s\": no host can have such an address", key, s);
	*out = p;
	return 0;
}

int parse_host(const char *key, const char *s, __u8 family, struct prefix *out)
{
	struct prefix p;

	if (strchr(s, '/') || read_prefix(key, s, &p) || (family && p.family != family))
		return usage("%s: \"%s\" is not an %s address (as %s)", key, s,
			     family == 4   ? "IPv4"
			     : family == 6 ? "IPv6"
					   : "IPv4 or IPv6",
			     family == 6 ? "2001:db8::1" : "192.0.2.1");
	if (is_special(&p))
		return usage("%s: \"%s\": no host can have such an address", key, s);
	*out = p;
	return 0;
}

const char *prefix_text(const struct prefix *p, char out[PREFIX_TEXT])
{
	size_t n;

	if (!inet_ntop(p->family == 4 ? AF_INET : AF_INET6, p->addr, out, PREFIX_TEXT))
		*out = '\0';
	n = strlen(out);
	if (p->len != bits_of(p) || p->len_given)
		snprintf(out + n, PREFIX_TEXT - n, "/%u", p->len);
	return out;
}

bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
	return a->family == b->family && a->len == b->len && !memcmp(a->addr, b->addr, 16);
}

int parse_network_name(const char *s, const char **out)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

	if (!n || s[n] || n >= NETWORK_NAME_LEN || *s == '-' || *s == '.')
		return usage(
			"network: \"%s\" is not a name (1 to %d letters, digits, '_', '.', '-')", s,
			NETWORK_NAME_LEN - 1);
	*out = s;
	return 0;
}

int parse_dev_name(const char *s, const char **out)
{
	size_t n = strlen(s);
	bool bad = !n || n >= PORT_NAME_LEN || !strcmp(s, ".") || !strcmp(s, "..");

	for (const char *c = s; *c; c++)
		bad |= *c == '/' || *c == ':' || isspace((unsigned char)*c) || *c < ' ';
	if (bad)
		return usage("dev: \"%s\" is not a device name (1 to %d characters)", s,
			     PORT_NAME_LEN - 1);
	*out = s;
	return 0;
}
