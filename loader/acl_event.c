// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Events of rules with `log`, as JSON and as text. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "acl_event.h"
#include "acl_parse.h"
#include "out.h"

static void add_string(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

/* Wall-clock time of a time on CLOCK_MONOTONIC, in UTC (RFC 3339). */
static void add_time(struct json_object *o, __u64 time)
{
	struct timespec now, wall;
	char day[32], text[48];
	__s64 ns;
	time_t s;
	struct tm tm;

	clock_gettime(CLOCK_MONOTONIC, &now);
	clock_gettime(CLOCK_REALTIME, &wall);
	ns = (wall.tv_sec - now.tv_sec) * 1000000000LL + wall.tv_nsec - now.tv_nsec + time;
	s = ns / 1000000000;
	gmtime_r(&s, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%06uZ", day, (__u32)(ns % 1000000000 / 1000));
	add_string(o, "time", text);
}

static void add_address(struct json_object *o, const char *key, const __u64 address[2],
			__u32 family)
{
	char text[INET6_ADDRSTRLEN];
	__u8 octets[16];

	for (int i = 0; i < 16; i++)
		octets[i] = address[i / 8] >> (56 - i % 8 * 8);
	inet_ntop(family == ACL_IP ? AF_INET : AF_INET6, octets, text, sizeof(text));
	add_string(o, key, text);
}

static void add_mac(struct json_object *o, const char *key, __u64 number)
{
	__u8 mac[6];

	memcpy(mac, &number, sizeof(mac));
	json_object_object_add(o, key, out_mac(mac));
}

static void add_transport(struct json_object *o, const struct acl_key *k)
{
	__u8 proto = k->misc & ACL_MISC_PROTO_MASK, l4 = k->misc >> 8 & 0xff;
	char text[8];

	if (!(k->misc & ACL_MISC_HAS_L4))
		return;
	if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6) {
		json_object_object_add(o, "icmp_type", json_object_new_int(l4));
		return;
	}
	json_object_object_add(o, "sport", json_object_new_int(k->sport));
	json_object_object_add(o, "dport", json_object_new_int(k->dport));
	if (proto != IPPROTO_TCP)
		return;
	snprintf(text, sizeof(text), "0x%02x", l4);
	add_string(o, "tcp_flags", text);
}

static const char *state_name(__u32 misc)
{
	switch (misc & ACL_MISC_STATE_MASK) {
	case ACL_MISC_STATE(ACL_NEW):
		return "new";
	case ACL_MISC_STATE(ACL_ESTABLISHED):
		return "established";
	case ACL_MISC_STATE(ACL_RELATED):
		return "related";
	case ACL_MISC_STATE(ACL_INVALID):
		return "invalid";
	}
	return NULL;
}

static void add_packet(struct json_object *o, const struct acl_event *e)
{
	const struct acl_key *k = &e->key;
	__u32 family = (k->misc & ACL_MISC_FAMILY_MASK) / ACL_MISC_FAMILY(1);
	char text[8];

	if (family) {
		add_string(o, "proto", proto_text(k->misc & ACL_MISC_PROTO_MASK, text));
		add_address(o, "src", k->src, family);
		add_address(o, "dst", k->dst, family);
		add_transport(o, k);
		if (state_name(k->misc))
			add_string(o, "state", state_name(k->misc));
	}
	add_mac(o, "src_mac", k->src_mac);
	add_mac(o, "dst_mac", k->dst_mac);
	snprintf(text, sizeof(text), "0x%04x", (__u16)(k->src_mac >> 48));
	add_string(o, "ethertype", text);
	json_object_object_add(o, "vlan", json_object_new_int(k->dst_mac >> 48));
	json_object_object_add(o, "length", json_object_new_int64(e->length));
}

struct json_object *acl_event_json(const struct acl_event *e, const char *dev, const char *network)
{
	struct json_object *o = json_object_new_object();
	char on[64];

	snprintf(on, sizeof(on), "%s %s", network ? "network" : "dev", network ?: dev);
	add_time(o, e->time);
	add_string(o, "dev", dev);
	add_string(o, "on", on);
	add_string(o, "direction", acl_direction_name(e->direction));
	json_object_object_add(o, "prio", json_object_new_int64(e->prio));
	add_string(o, "action", acl_action_name(e->action));
	add_packet(o, e);
	return o;
}

char *acl_event_text(struct json_object *event)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	json_object_object_foreach(event, key, value)
	{
		const char *word = json_object_get_string(value);

		/* "TIME DEV: on ON in prio 10 deny proto tcp ..." */
		if (!strcmp(key, "time"))
			fputs(word, f);
		else if (!strcmp(key, "dev"))
			fprintf(f, " %s:", word);
		else if (!strcmp(key, "direction") || !strcmp(key, "action"))
			fprintf(f, " %s", word);
		else {
			fputc(' ', f);
			for (const char *c = key; *c; c++)
				fputc(*c == '_' ? '-' : *c, f);
			fprintf(f, " %s", word);
		}
	}
	fclose(f);
	return text;
}
