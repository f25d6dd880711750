/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* IP addresses: octets in network order, and the two numbers of struct flow_key. */
#ifndef LOADER_ADDR_H
#define LOADER_ADDR_H

#include <stdbool.h>
#include <linux/types.h>
#include "../maps/port.h"

#define ADDR_TEXT 46 /* INET6_ADDRSTRLEN */

/* octets: 4 or 16 of them, as the family (4, 6) has. */
void addr_pack(__u64 out[2], __u8 family, const __u8 *octets);
/* The reverse; IPv4 fills the first 4 octets, the rest is 0. Returns the family. */
__u8 addr_unpack(__u8 octets[16], const __u64 addr[2]);
/* As one would type it. */
const char *addr_text(const __u64 addr[2], char out[ADDR_TEXT]);

/* Adds to an address, as far as its lower 64 bits (IPv4: 32) go. */
void addr_add(__u64 addr[2], __u64 n);
/* b - a for addresses of one family; ~0: less than 0, or too far. */
__u64 addr_distance(const __u64 a[2], const __u64 b[2]);
static inline bool addr_equal(const __u64 a[2], const __u64 b[2])
{
	return a[0] == b[0] && a[1] == b[1];
}
/* Whether there is one: not 0.0.0.0 nor ::. */
bool addr_given(const __u64 addr[2]);

/* The mask of the first n bits, as an address of the family is packed (IPv4: its marker too). */
void addr_mask(__u64 out[2], __u8 family, __u8 n);
/* Whether two ranges have an address in common. */
bool addr_overlap(const struct prefix *a, const struct prefix *b);
/* Whether the address (all of its bits, whatever a->len) is in a range. */
bool addr_inside(const struct prefix *a, const struct prefix *range);
/*
 * Whether an address in a subnet can be a host's: not the network's own, nor (IPv4) for broadcast.
 */
bool addr_is_host(const struct prefix *a, const struct prefix *subnet);

#endif
