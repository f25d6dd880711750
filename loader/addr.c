// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* IP addresses in their two forms. */
#include <arpa/inet.h>
#include <endian.h>
#include <string.h>
#include "../maps/flow.h"
#include "addr.h"

void addr_pack(__u64 out[2], __u8 family, const __u8 *octets)
{
	__be64 words[2];
	__be32 ipv4;

	if (family == 4) {
		memcpy(&ipv4, octets, sizeof(ipv4));
		out[0] = FLOW_IPV4;
		out[1] = (__u64)ntohl(ipv4) << 32;
		return;
	}
	memcpy(words, octets, sizeof(words));
	out[0] = be64toh(words[0]);
	out[1] = be64toh(words[1]);
}

__u8 addr_unpack(__u8 octets[16], const __u64 addr[2])
{
	__be64 words[2] = {htobe64(addr[0]), htobe64(addr[1])};

	memset(octets, 0, 16);
	if (addr[0] == FLOW_IPV4) {
		memcpy(octets, &words[1], 4);
		return 4;
	}
	memcpy(octets, words, sizeof(words));
	return 6;
}

const char *addr_text(const __u64 addr[2], char out[ADDR_TEXT])
{
	__u8 octets[16];

	if (!inet_ntop(addr_unpack(octets, addr) == 4 ? AF_INET : AF_INET6, octets, out, ADDR_TEXT))
		*out = '\0';
	return out;
}

void addr_add(__u64 addr[2], __u64 n)
{
	addr[1] += addr[0] == FLOW_IPV4 ? n << 32 : n;
}

__u64 addr_distance(const __u64 a[2], const __u64 b[2])
{
	if (a[0] != b[0] || a[1] > b[1])
		return ~0ULL;
	return a[0] == FLOW_IPV4 ? (b[1] - a[1]) >> 32 : b[1] - a[1];
}

bool addr_given(const __u64 addr[2])
{
	return addr[1] || (addr[0] && addr[0] != FLOW_IPV4);
}

static __u64 upper_bits(unsigned int n)
{
	return n ? ~0ULL << (64 - n) : 0;
}

void addr_mask(__u64 out[2], __u8 family, __u8 n)
{
	out[0] = family == 4 ? ~0ULL : upper_bits(n < 64 ? n : 64);
	out[1] = family == 4 ? upper_bits(n) : upper_bits(n > 64 ? n - 64 : 0);
}

static bool equal_bits(const struct prefix *a, const struct prefix *b, __u8 n)
{
	__u64 mask[2], x[2], y[2];

	if (a->family != b->family)
		return false;
	addr_pack(x, a->family, a->addr);
	addr_pack(y, b->family, b->addr);
	addr_mask(mask, a->family, n);
	return (x[0] & mask[0]) == (y[0] & mask[0]) && (x[1] & mask[1]) == (y[1] & mask[1]);
}

bool addr_overlap(const struct prefix *a, const struct prefix *b)
{
	return equal_bits(a, b, a->len < b->len ? a->len : b->len);
}

bool addr_is_host(const struct prefix *a, const struct prefix *subnet)
{
	__u64 addr[2], mask[2], host[2];

	addr_pack(addr, a->family, a->addr);
	addr_mask(mask, subnet->family, subnet->len);
	host[0] = addr[0] & ~mask[0];
	host[1] = addr[1] & ~mask[1];
	if (!host[0] && !host[1])
		return false;
	return a->family == 6 || host[1] != (~mask[1] & 0xffffffff00000000ULL);
}

bool addr_inside(const struct prefix *a, const struct prefix *range)
{
	return equal_bits(a, range, range->len);
}
