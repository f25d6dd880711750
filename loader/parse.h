/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Words of the command line to values. Each returns 0, or a usage error that names the
 * word and what is accepted; *out is untouched on failure.
 */
#ifndef LOADER_PARSE_H
#define LOADER_PARSE_H

#include <stdbool.h>
#include <linux/types.h>
#include "../maps/port.h"

/* The words still to be read; what: the command, for messages. */
struct args {
	int n;
	char **v;
	const char *what;
};

/* Takes the next word, or fails with "KEY needs a value" for the key before it. */
int args_next(struct args *a, const char *key, const char **word);
/* Fails unless all words are read. */
int args_end(const struct args *a);
/* Takes the next word if it is the given one. */
bool args_take(struct args *a, const char *word);

int parse_number(const char *key, const char *s, __u64 min, __u64 max, __u64 *out);
/* A number that is usually written in hexadecimal, as 0x0806; decimal is accepted. */
int parse_hex(const char *key, const char *s, __u64 min, __u64 max, __u64 *out);
int parse_onoff(const char *key, const char *s, __u8 *out);
/* 30s 5m 1h, to seconds. */
int parse_time(const char *key, const char *s, __u32 min, __u32 max, __u32 *out);
/* VLAN ID 1..4094 (802.1Q, 9.6). */
int parse_vid(const char *key, const char *s, __u16 *out);
int parse_vid_list(const char *key, const char *s, struct port_vlans *out);

/* ADDRESS or ADDRESS/LENGTH; bits behind the length are refused. */
int parse_prefix(const char *key, const char *s, struct prefix *out);
/* The same, but bits behind the length are cleared: the prefix that an address is in. */
int parse_prefix_around(const char *key, const char *s, struct prefix *out);
/* The same for a private network's addresses: of the family (4, 6), and of a length to live in. */
int parse_subnet(const char *key, const char *s, __u8 family, struct prefix *out);
/* An address of the family (4, 6; 0: either) without a length, that may be a host's. */
int parse_host(const char *key, const char *s, __u8 family, struct prefix *out);
#define PREFIX_TEXT 52
/* As it would be typed: the length is left out of a host's address that was given without. */
const char *prefix_text(const struct prefix *p, char out[PREFIX_TEXT]);
/* Whether two are the same range. */
bool prefix_equal(const struct prefix *a, const struct prefix *b);

/* An IP protocol, by name (tcp udp icmp icmp6 sctp) or number. */
int parse_proto(const char *key, const char *s, __u8 *out);
#define PROTO_TEXT 8
/* As it would be typed: the name where there is one. */
const char *proto_text(__u8 proto, char out[PROTO_TEXT]);

/* A unicast address, aa:bb:cc:dd:ee:ff. */
int parse_mac(const char *key, const char *s, __u8 out[6]);
/* A unicast or multicast address. */
int parse_mac_any(const char *key, const char *s, __u8 out[6]);
int parse_network_name(const char *s, const char **out);
int parse_dev_name(const char *s, const char **out);

#endif
