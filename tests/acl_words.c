// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Rules of access control lists without a kernel: words to values and back
 * (loader/acl_parse.c), files of rules, and events (loader/acl_event.c).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#undef fail /* cmocka's: ours is loader/err.h's */
#include "../loader/acl_event.h"
#include "../loader/acl_parse.h"
#include "../loader/err.h"

#define FAIL(...)                          \
	do {                               \
		print_error(__VA_ARGS__);  \
		print_error("\n");         \
		_fail(__FILE__, __LINE__); \
	} while (0)
#define COUNT(a)  (sizeof(a) / sizeof(*(a)))

#define HAS_L4	  ACL_MISC_HAS_L4
#define FAMILY	  ACL_MISC_FAMILY_MASK
#define PROTO	  ACL_MISC_PROTO_MASK
#define ALL_ONES  0xffffffffffffffffULL
#define ETHERTYPE 0xffff000000000000ULL
#define VID	  0xffff000000000000ULL

/* Reads a rule from words with single blanks between them. */
static int rule_of(const char *words, struct acl_rule *r)
{
	static char text[4096];
	char *v[64], *save;
	struct args a = {.v = v, .what = "rule"};

	snprintf(text, sizeof(text), "%s", words);
	for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save))
		v[a.n++] = w;
	return acl_parse_rule(&a, r);
}

static int list_of(const char *text, struct acl_rules *out)
{
	size_t n = strlen(text);
	char *copy = malloc(n + 1);
	int err;

	memcpy(copy, text, n + 1);
	err = acl_parse_list("rules", copy, n, out);
	free(copy);
	return err;
}

/* ---- words to fields ---- */

struct row {
	const char *words;
	const char *text; /* NULL: the words, behind "prio 0" */
	struct acl_rule want;
};

static const struct row rows[] = {
	{"allow", NULL, {.action = ACL_ALLOW}},
	{"deny log", NULL, {.action = ACL_DENY, .flags = ACL_RULE_LOG}},
	{"prio 2147483647 reject",
	 "prio 2147483647 reject",
	 {.action = ACL_REJECT, .prio = ACL_PRIO_MAX}},
	{"family ip deny",
	 NULL,
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_FAMILY,
	  .misc = ACL_MISC_FAMILY(ACL_IP),
	  .misc_mask = FAMILY}},
	{"family ip6 deny",
	 NULL,
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_FAMILY,
	  .misc = ACL_MISC_FAMILY(ACL_IP6),
	  .misc_mask = FAMILY}},
	{"proto tcp deny",
	 NULL,
	 {.action = ACL_DENY, .given = ACL_GIVEN_PROTO, .misc = 6, .misc_mask = PROTO}},
	{"proto 17 deny",
	 "prio 0 proto udp deny",
	 {.action = ACL_DENY, .given = ACL_GIVEN_PROTO, .misc = 17, .misc_mask = PROTO}},
	{"proto 255 deny",
	 NULL,
	 {.action = ACL_DENY, .given = ACL_GIVEN_PROTO, .misc = 255, .misc_mask = PROTO}},
	{"proto icmp deny",
	 NULL,
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_PROTO,
	  .misc = 1 | ACL_MISC_FAMILY(ACL_IP),
	  .misc_mask = PROTO | FAMILY}},
	{"proto 58 deny",
	 "prio 0 proto icmp6 deny",
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_PROTO,
	  .misc = 58 | ACL_MISC_FAMILY(ACL_IP6),
	  .misc_mask = PROTO | FAMILY}},
	{"src 10.1.2.3 deny",
	 NULL,
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_SRC,
	  .src = {0x0a01020300000000},
	  .src_mask = {0xffffffff00000000},
	  .misc = ACL_MISC_FAMILY(ACL_IP),
	  .misc_mask = FAMILY}},
	{"src 10.1.2.3/32 deny",
	 NULL,
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_SRC | ACL_GIVEN_SRC_LEN,
	  .src = {0x0a01020300000000},
	  .src_mask = {0xffffffff00000000},
	  .misc = ACL_MISC_FAMILY(ACL_IP),
	  .misc_mask = FAMILY}},
	{"dst 10.1.2.3/23 deny",
	 "prio 0 dst 10.1.2.0/23 deny",
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_DST,
	  .dst = {0x0a01020000000000},
	  .dst_mask = {0xfffffe0000000000},
	  .misc = ACL_MISC_FAMILY(ACL_IP),
	  .misc_mask = FAMILY}},
	{"src 0.0.0.0/0 dst 255.255.255.255/1 deny",
	 "prio 0 src 0.0.0.0/0 dst 128.0.0.0/1 deny",
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_SRC | ACL_GIVEN_DST,
	  .dst = {0x8000000000000000},
	  .dst_mask = {0x8000000000000000},
	  .misc = ACL_MISC_FAMILY(ACL_IP),
	  .misc_mask = FAMILY}},
	{"src 2001:db8:0:5::/63 dst 2001:DB8::1 deny",
	 "prio 0 src 2001:db8:0:4::/63 dst 2001:db8::1 deny",
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_SRC | ACL_GIVEN_DST,
	  .src = {0x20010db800000004},
	  .src_mask = {0xfffffffffffffffe},
	  .dst = {0x20010db800000000, 1},
	  .dst_mask = {ALL_ONES, ALL_ONES},
	  .misc = ACL_MISC_FAMILY(ACL_IP6),
	  .misc_mask = FAMILY}},
	{"dst fe80::1:2:3:4/65 src ::/0 deny",
	 "prio 0 src ::/0 dst fe80::/65 deny",
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_SRC | ACL_GIVEN_DST,
	  .dst = {0xfe80000000000000},
	  .dst_mask = {ALL_ONES, 0x8000000000000000},
	  .misc = ACL_MISC_FAMILY(ACL_IP6),
	  .misc_mask = FAMILY}},
	{"dst ::1/128 deny",
	 NULL,
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_DST | ACL_GIVEN_DST_LEN,
	  .dst = {0, 1},
	  .dst_mask = {ALL_ONES, ALL_ONES},
	  .misc = ACL_MISC_FAMILY(ACL_IP6),
	  .misc_mask = FAMILY}},
	{"dport 80 proto tcp allow",
	 "prio 0 proto tcp dport 80 allow",
	 {.action = ACL_ALLOW,
	  .given = ACL_GIVEN_PROTO | ACL_GIVEN_DPORT,
	  .misc = 6 | HAS_L4,
	  .misc_mask = PROTO | HAS_L4,
	  .dport_min = 80,
	  .dport_max = 80}},
	{"proto sctp sport 0-65535 dport 65535 allow",
	 NULL,
	 {.action = ACL_ALLOW,
	  .given = ACL_GIVEN_PROTO | ACL_GIVEN_SPORT | ACL_GIVEN_DPORT,
	  .misc = 132 | HAS_L4,
	  .misc_mask = PROTO | HAS_L4,
	  .dport_min = 65535,
	  .dport_max = 65535}},
	{"proto 17 sport 1024-2047 allow",
	 "prio 0 proto udp sport 1024-2047 allow",
	 {.action = ACL_ALLOW,
	  .given = ACL_GIVEN_PROTO | ACL_GIVEN_SPORT,
	  .misc = 17 | HAS_L4,
	  .misc_mask = PROTO | HAS_L4,
	  .sport_min = 1024,
	  .sport_max = 2047}},
	{"proto icmp icmp-type 0 allow",
	 NULL,
	 {.action = ACL_ALLOW,
	  .given = ACL_GIVEN_PROTO | ACL_GIVEN_ICMP_TYPE,
	  .misc = 1 | ACL_MISC_FAMILY(ACL_IP) | HAS_L4,
	  .misc_mask = PROTO | FAMILY | ACL_MISC_L4_MASK | HAS_L4}},
	{"icmp-type 255 proto icmp6 allow",
	 "prio 0 proto icmp6 icmp-type 255 allow",
	 {.action = ACL_ALLOW,
	  .given = ACL_GIVEN_PROTO | ACL_GIVEN_ICMP_TYPE,
	  .misc = 58 | ACL_MISC_L4(255) | ACL_MISC_FAMILY(ACL_IP6) | HAS_L4,
	  .misc_mask = PROTO | FAMILY | ACL_MISC_L4_MASK | HAS_L4}},
	{"proto tcp tcp-flags 0x12/0x02 deny",
	 NULL,
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_PROTO | ACL_GIVEN_TCP_FLAGS,
	  .misc = 6 | ACL_MISC_L4(2) | HAS_L4,
	  .misc_mask = PROTO | ACL_MISC_L4(0x12) | HAS_L4}},
	{"proto tcp tcp-flags 255/0 deny",
	 "prio 0 proto tcp tcp-flags 0xff/0x00 deny",
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_PROTO | ACL_GIVEN_TCP_FLAGS,
	  .misc = 6 | HAS_L4,
	  .misc_mask = PROTO | ACL_MISC_L4(0xff) | HAS_L4}},
	{"src-mac 52:54:00:12:34:AB deny",
	 "prio 0 src-mac 52:54:00:12:34:ab deny",
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_SRC_MAC,
	  .src_mac = 0xab3412005452,
	  .src_mac_mask = ACL_MAC_MASK}},
	{"dst-mac ff:ff:ff:ff:ff:ff deny",
	 NULL,
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_DST_MAC,
	  .dst_mac = ACL_MAC_MASK,
	  .dst_mac_mask = ACL_MAC_MASK}},
	{"dst-mac 01:80:c2:00:00:0e ethertype 0x88CC vlan 4094 src-mac 02:00:00:00:00:01 deny",
	 "prio 0 src-mac 02:00:00:00:00:01 dst-mac 01:80:c2:00:00:0e ethertype 0x88cc vlan 4094 deny",
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_SRC_MAC | ACL_GIVEN_DST_MAC | ACL_GIVEN_ETHERTYPE | ACL_GIVEN_VLAN,
	  .src_mac = 0x88cc010000000002,
	  .src_mac_mask = ALL_ONES,
	  .dst_mac = 0x0ffe0e0000c28001,
	  .dst_mac_mask = ALL_ONES}},
	{"ethertype 2054 deny",
	 "prio 0 ethertype 0x0806 deny",
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_ETHERTYPE,
	  .src_mac = 0x0806000000000000,
	  .src_mac_mask = ETHERTYPE}},
	{"ethertype 0x0800 src 10.0.0.0/8 deny",
	 "prio 0 src 10.0.0.0/8 ethertype 0x0800 deny",
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_ETHERTYPE | ACL_GIVEN_SRC,
	  .src = {0x0a00000000000000},
	  .src_mask = {0xff00000000000000},
	  .src_mac = 0x0800000000000000,
	  .src_mac_mask = ETHERTYPE,
	  .misc = ACL_MISC_FAMILY(ACL_IP),
	  .misc_mask = FAMILY}},
	{"vlan 0 deny", NULL, {.action = ACL_DENY, .given = ACL_GIVEN_VLAN, .dst_mac_mask = VID}},
	{"state new deny",
	 NULL,
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_STATE,
	  .misc = ACL_MISC_STATE(ACL_NEW),
	  .misc_mask = ACL_MISC_STATE_MASK}},
	{"state established family ip6 allow log",
	 "prio 0 family ip6 state established allow log",
	 {.action = ACL_ALLOW,
	  .flags = ACL_RULE_LOG,
	  .given = ACL_GIVEN_STATE | ACL_GIVEN_FAMILY,
	  .misc = ACL_MISC_STATE(ACL_ESTABLISHED) | ACL_MISC_FAMILY(ACL_IP6),
	  .misc_mask = ACL_MISC_STATE_MASK | FAMILY}},
	{"state related deny",
	 NULL,
	 {.action = ACL_DENY,
	  .given = ACL_GIVEN_STATE,
	  .misc = ACL_MISC_STATE(ACL_RELATED),
	  .misc_mask = ACL_MISC_STATE_MASK}},
	{"state invalid prio 7 deny",
	 "prio 7 state invalid deny",
	 {.action = ACL_DENY,
	  .prio = 7,
	  .given = ACL_GIVEN_STATE,
	  .misc = ACL_MISC_STATE(ACL_INVALID),
	  .misc_mask = ACL_MISC_STATE_MASK}},
};

static void words_become_fields(void **state)
{
	char text[ACL_RULE_TEXT], want[ACL_RULE_TEXT];
	struct acl_rule r, expected;

	for (size_t i = 0; i < COUNT(rows); i++) {
		expected = rows[i].want;
		if (!expected.sport_max)
			expected.sport_max = 0xffff;
		if (!expected.dport_max)
			expected.dport_max = 0xffff;
		memset(&r, 0x5a, sizeof(r));
		if (rule_of(rows[i].words, &r))
			FAIL("%s: %s", rows[i].words, err_message());
		if (memcmp(&r, &expected, sizeof(r)))
			print_error("%s\n", rows[i].words);
		assert_memory_equal(&r, &expected, sizeof(r));
		snprintf(want, sizeof(want), "prio 0 %s", rows[i].words);
		assert_string_equal(acl_rule_text(&r, text), rows[i].text ?: want);
	}
}

static void refused_rules(void **state)
{
	/* the words, and what the message names */
	static const char *const bad[][2] = {
		{"", "action is missing"},
		{"proto tcp", "allow, deny or reject"},
		{"log", "\"log\""},
		{"allow deny", "\"deny\""},
		{"allow proto tcp", "\"proto\""},
		{"allow log log", "\"log\""},
		{"drop", "\"drop\""},
		{"ALLOW", "\"ALLOW\""},
		{"prio allow", "\"allow\""},
		{"prio", "prio needs a value"},
		{"prio 0 allow", "\"0\""},
		{"prio -1 allow", "\"-1\""},
		{"prio 2147483648 allow", "\"2147483648\""},
		{"prio 1 prio 2 allow", "prio is given twice"},
		{"family ipv4 allow", "\"ipv4\""},
		{"family allow", "\"allow\""},
		{"family ip family ip allow", "family is given twice"},
		{"proto 0 allow", "\"0\""},
		{"proto 256 allow", "\"256\""},
		{"proto ip allow", "\"ip\""},
		{"proto TCP allow", "\"TCP\""},
		{"proto tcp proto tcp allow", "proto is given twice"},
		{"src 10.0.0.0/33 allow", "10.0.0.0/33"},
		{"src 10.0.0 allow", "\"10.0.0\""},
		{"src any allow", "\"any\""},
		{"dst fe80::/129 allow", "fe80::/129"},
		{"dst fe80::1%eth0 allow", "fe80::1%eth0"},
		{"src 10.0.0.1 dst ::1 allow", "::1"},
		{"src 10.0.0.1 family ip6 allow", "ip6"},
		{"family ip6 src 10.0.0.1 allow", "10.0.0.1"},
		{"proto icmp dst ::1 allow", "::1"},
		{"dst 10.0.0.1 proto icmp6 allow", "icmp6"},
		{"proto 58 family ip allow", "\"ip\""},
		{"sport 80 allow", "sport needs proto"},
		{"dport 80 allow", "dport needs proto"},
		{"proto icmp dport 80 allow", "dport needs proto"},
		{"proto 47 sport 80 allow", "sport needs proto"},
		{"proto tcp dport 65536 allow", "65536"},
		{"proto tcp dport 80-79 allow", "80-79"},
		{"proto tcp dport 80- allow", "80-"},
		{"proto tcp dport -80 allow", "-80"},
		{"proto tcp dport 80-90-100 allow", "80-90-100"},
		{"proto tcp dport 80,90 allow", "80,90"},
		{"proto tcp dport http allow", "http"},
		{"proto tcp dport 0x50 allow", "0x50"},
		{"proto tcp dport 000000000000080 allow", "000000000000080"},
		{"proto tcp dport 1 dport 2 allow", "dport is given twice"},
		{"icmp-type 8 allow", "icmp-type needs proto"},
		{"proto tcp icmp-type 8 allow", "icmp-type needs proto"},
		{"proto icmp icmp-type 256 allow", "256"},
		{"proto icmp icmp-type 0x8 allow", "0x8"},
		{"proto icmp icmp-type echo allow", "echo"},
		{"tcp-flags 0x12/0x02 allow", "tcp-flags needs proto tcp"},
		{"proto udp tcp-flags 0x12/0x02 allow", "tcp-flags needs proto tcp"},
		{"proto tcp tcp-flags 0x12 allow", "0x12"},
		{"proto tcp tcp-flags 0x12/ allow", "0x12/"},
		{"proto tcp tcp-flags /0x12 allow", "/0x12"},
		{"proto tcp tcp-flags 0x12/0x03 allow", "0x12/0x03"},
		{"proto tcp tcp-flags 0x0/0x0 allow", "0x0/0x0"},
		{"proto tcp tcp-flags 0x100/0x0 allow", "0x100/0x0"},
		{"proto tcp tcp-flags syn/syn allow", "syn/syn"},
		{"proto tcp tcp-flags 12/2/1 allow", "12/2/1"},
		{"src-mac ff:ff:ff:ff:ff:ff allow", "ff:ff:ff:ff:ff:ff"},
		{"src-mac 00:00:00:00:00:00 allow", "00:00:00:00:00:00"},
		{"src-mac 52:54:00 allow", "52:54:00"},
		{"dst-mac 00:00:00:00:00:00 allow", "00:00:00:00:00:00"},
		{"dst-mac 52:54:00:12:34:5 allow", "52:54:00:12:34:5"},
		{"dst-mac 52:54:00:12:34:567 allow", "52:54:00:12:34:567"},
		{"ethertype 0x05ff allow", "0x05ff"},
		{"ethertype 1500 allow", "1500"},
		{"ethertype 0x10000 allow", "0x10000"},
		{"ethertype 0x allow", "0x"},
		{"ethertype arp allow", "arp"},
		{"ethertype 0x0800 family ip6 allow", "0x0800"},
		{"ethertype 0x86dd src 10.0.0.1 allow", "0x86dd"},
		{"ethertype 0x0806 proto tcp allow", "0x0806"},
		{"ethertype 0x0806 family ip allow", "0x0806"},
		{"vlan 4095 allow", "4095"},
		{"vlan 1-2 allow", "1-2"},
		{"vlan none allow", "none"},
		{"state NEW allow", "NEW"},
		{"state new,established allow", "new,established"},
		{"state untracked allow", "untracked"},
		{"state new state related allow", "state is given twice"},
		{"iif eth0 allow", "\"iif\""},
		{"dev v1 allow", "\"dev\""},
	};
	struct acl_rule r, same;

	memset(&r, 0x5a, sizeof(r));
	same = r;
	for (size_t i = 0; i < COUNT(bad); i++) {
		err_clear();
		if (rule_of(bad[i][0], &r) != -EUSAGE)
			FAIL("taken: %s", bad[i][0]);
		if (!strstr(err_message(), bad[i][1]) || strchr(err_message(), '\n'))
			FAIL("%s: \"%s\" does not name %s", bad[i][0], err_message(), bad[i][1]);
		assert_memory_equal(&r, &same, sizeof(r));
	}
}

static void each_word_needs_a_value(void **state)
{
	static const char *const words[] = {"family",  "proto",	  "src",       "dst",
					    "sport",   "dport",	  "icmp-type", "tcp-flags",
					    "src-mac", "dst-mac", "ethertype", "vlan",
					    "state"};
	struct acl_rule r;
	char want[64];

	for (size_t i = 0; i < COUNT(words); i++) {
		assert_int_equal(rule_of(words[i], &r), -EUSAGE);
		snprintf(want, sizeof(want), "%s needs a value", words[i]);
		assert_non_null(strstr(err_message(), want));
	}
}

/* ---- rules at random ---- */

static __u32 draw(__u32 n)
{
	return (__u32)random() % n;
}

/* A random value of a MATCH word, one that goes with what the others are. */
static int random_match(char *out, size_t n, int which, bool ip6, const char *proto)
{
	bool ports = !strcmp(proto, "tcp") || !strcmp(proto, "udp") || !strcmp(proto, "sctp");
	__u32 a = draw(65536), b = draw(65536 - a) + a, mask = draw(255) + 1;
	static const char *const states[] = {"new", "established", "related", "invalid"};

	switch (which) {
	case 0:
		return snprintf(out, n, "family %s ", ip6 ? "ip6" : "ip");
	case 1:
	case 2:
		if (ip6)
			return snprintf(out, n, "%s %x:%x::%x/%u ", which == 1 ? "src" : "dst", a,
					b, draw(65536), draw(129));
		return snprintf(out, n, "%s %u.%u.%u.%u/%u ", which == 1 ? "src" : "dst", draw(256),
				draw(256), draw(256), draw(256), draw(33));
	case 3:
	case 4:
		return ports ? snprintf(out, n, "%s %u-%u ", which == 3 ? "sport" : "dport", a, b)
			     : 0;
	case 5:
		return strncmp(proto, "icmp", 4) ? 0 : snprintf(out, n, "icmp-type %u ", draw(256));
	case 6:
		return strcmp(proto, "tcp")
			       ? 0
			       : snprintf(out, n, "tcp-flags 0x%x/%u ", mask, mask & a);
	case 7:
		return snprintf(out, n, "src-mac 02:%02x:%02x:00:00:%02x ", a & 255, b & 255,
				draw(256));
	case 8:
		return snprintf(out, n, "dst-mac 03:%02x:%02x:00:00:%02x ", a & 255, b & 255,
				draw(256));
	case 9:
		return snprintf(out, n, "ethertype 0x%x ", ip6 ? 0x86dd : 0x800);
	case 10:
		return snprintf(out, n, "vlan %u ", draw(4095));
	case 11:
		return snprintf(out, n, "state %s ", states[draw(4)]);
	}
	return 0;
}

static void random_rule(char *out, size_t size)
{
	static const char *const protos[] = {"tcp",   "udp", "sctp", "icmp",
					     "icmp6", "47",  "1",    "58"};
	static const char *const actions[] = {"allow", "deny", "reject"};
	const char *proto = protos[draw(COUNT(protos))];
	bool ip6 = !strcmp(proto, "icmp6") || !strcmp(proto, "58") ||
		   (strcmp(proto, "icmp") && strcmp(proto, "1") && draw(2));
	int order[13];
	size_t n = 0;

	for (int i = 0; i < 13; i++) {
		int j = draw(i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	for (int i = 0; i < 13; i++)
		n += order[i] == 12 ? snprintf(out + n, size - n, "proto %s prio %u ", proto,
					       draw(1000) + 1)
		     : draw(2)	    ? random_match(out + n, size - n, order[i], ip6, proto)
				    : 0;
	snprintf(out + n, size - n, "%s%s", actions[draw(3)], draw(2) ? " log" : "");
}

/* What a rule asks for is inside its masks, and its words are read as the same rule again. */
static void random_rules_come_back(void **state)
{
	unsigned int seed = time(NULL);
	char words[1024], text[ACL_RULE_TEXT];
	struct acl_rule r, again;

	srandom(seed);
	for (int i = 0; i < 20000; i++) {
		random_rule(words, sizeof(words));
		if (rule_of(words, &r))
			FAIL("seed %u: %s: %s", seed, words, err_message());
		assert_int_equal(r.src[0] & ~r.src_mask[0], 0);
		assert_int_equal(r.src[1] & ~r.src_mask[1], 0);
		assert_int_equal(r.dst[0] & ~r.dst_mask[0], 0);
		assert_int_equal(r.dst[1] & ~r.dst_mask[1], 0);
		assert_int_equal(r.src_mac & ~r.src_mac_mask, 0);
		assert_int_equal(r.dst_mac & ~r.dst_mac_mask, 0);
		assert_int_equal(r.misc & ~r.misc_mask, 0);
		assert_int_equal(rule_of(acl_rule_text(&r, text), &again), 0);
		if (memcmp(&r, &again, sizeof(r)))
			FAIL("seed %u: %s is not %s", seed, words, text);
		assert_true(acl_rule_same(&r, &again));
	}
}

static void rules_that_are_the_same(void **state)
{
	static const char *const same[][2] = {
		{"prio 1 src 10.0.0.1 deny", "prio 2 src 10.0.0.1/32 deny"},
		{"src 10.0.0.7/8 deny", "src 10.0.0.0/8 family ip deny"},
		{"proto 6 dport 80 deny", "dport 80-80 proto tcp deny"},
	};
	static const char *const other[][2] = {
		{"deny", "allow"},
		{"deny", "deny log"},
		{"deny", "family ip deny"},
		{"src 10.0.0.1 deny", "dst 10.0.0.1 deny"},
		{"src 0.0.0.0/0 deny", "src ::/0 deny"},
		{"proto tcp deny", "proto tcp sport 0-65535 deny"},
		{"proto tcp sport 0-65534 deny", "proto tcp sport 0-65535 deny"},
		{"vlan 0 deny", "deny"},
		{"state new deny", "state related deny"},
	};
	struct acl_rule a, b;

	for (size_t i = 0; i < COUNT(same); i++) {
		assert_int_equal(rule_of(same[i][0], &a) | rule_of(same[i][1], &b), 0);
		a.counter = 5; /* nor does what the kernel adds matter */
		a.line = 7;
		assert_true(acl_rule_same(&a, &b));
	}
	for (size_t i = 0; i < COUNT(other); i++) {
		assert_int_equal(rule_of(other[i][0], &a) | rule_of(other[i][1], &b), 0);
		assert_false(acl_rule_same(&a, &b));
	}
}

static void matches_as_json(void **state)
{
	struct acl_rule r;
	struct json_object *o;

	rule_of("vlan 7 tcp-flags 18/2 proto 6 src-mac 02:00:00:00:00:01 dport 80-80 src 10.0.0.5/24 deny",
		&r);
	o = acl_match_json(&r);
	assert_string_equal(
		json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							  JSON_C_TO_STRING_NOSLASHESCAPE),
		"{\"proto\":\"tcp\",\"src\":\"10.0.0.0/24\",\"dport\":\"80\","
		"\"tcp_flags\":\"0x12/0x02\",\"src_mac\":\"02:00:00:00:00:01\",\"vlan\":\"7\"}");
	json_object_put(o);
	rule_of("deny", &r);
	o = acl_match_json(&r);
	assert_string_equal(json_object_to_json_string(o), "{ }");
	json_object_put(o);
}

/* ---- lists ---- */

static void lists_are_read(void **state)
{
	static const struct {
		const char *text;
		__u32 prios[6]; /* ends with 0 */
	} good[] = {
		{"", {0}},
		{"\n", {0}},
		{"# only\n   # comments\n\t\n", {0}},
		{"allow", {10}},
		{"allow\n", {10}},
		{"allow\r\ndeny\r\n", {10, 20}},
		{"allow\n\n  deny # why\n# nothing\nreject log#x\n", {10, 20, 30}},
		{"prio 7 allow\ndeny\n", {7, 17}},
		{"prio 100 allow\nprio 50 deny\ndeny\n", {50, 100, 110}},
		{"allow\nprio 5 deny\nallow", {5, 10, 20}},
		{"\tprio\t1\tallow\t\n", {1}},
		{"prio 2147483647 deny", {ACL_PRIO_MAX}},
		{"prio 2147483637 deny\ndeny", {ACL_PRIO_MAX - 10, ACL_PRIO_MAX}},
	};
	struct acl_rules l;
	__u32 n;

	for (size_t i = 0; i < COUNT(good); i++) {
		if (list_of(good[i].text, &l))
			FAIL("\"%s\": %s", good[i].text, err_message());
		for (n = 0; good[i].prios[n]; n++) {
			assert_true(n < l.n);
			assert_int_equal(l.at[n].prio, good[i].prios[n]);
			assert_int_equal(l.at[n].line, 0);
		}
		assert_int_equal(l.n, n);
		free(l.at);
	}
}

static void bad_lists_name_the_line(void **state)
{
	static const char *const bad[][3] = {
		{"drop", "rules line 1:", "\"drop\""},
		{"allow\n# x\n\ndeny foo\nbar", "rules line 4:", "\"foo\""},
		{"allow\r\nproto tcp\r\n", "rules line 2:", "action is missing"},
		{"allow\ndeny dport", "rules line 2:", "\"dport\""},
		{"prio 10 allow\nprio 20 allow\nprio 10 deny\n", "rules line 3:", "line 1"},
		{"allow\nprio 10 deny\n", "rules line 2:", "prio 10"},
		{"prio 10 deny\nprio 9 allow\nprio 9 deny\nprio 9 deny\n",
		 "rules line 3:", "line 2"},
		{"in proto tcp allow\n", "rules line 1:", "\"in\""},
		{"allow allow", "rules line 1:", "\"allow\""},
		{"proto tcp dport 80\\\n allow", "rules line 1:", "80\\"},
	};
	struct acl_rules l = {.n = 77}, same = l;
	char nul[] = "allow\nde\0y\n", long_line[2000] = "deny";

	for (size_t i = 0; i < COUNT(bad); i++) {
		err_clear();
		assert_int_equal(list_of(bad[i][0], &l), -EUSAGE);
		if (!strstr(err_message(), bad[i][1]) || !strstr(err_message(), bad[i][2]))
			FAIL("\"%s\": %s", bad[i][0], err_message());
	}
	assert_int_equal(list_of("prio 2147483638 deny\n\ndeny", &l), -ERANGE);
	assert_non_null(strstr(err_message(), "rules line 3:"));
	assert_int_equal(acl_parse_list("rules", nul, sizeof(nul) - 1, &l), -EUSAGE);
	assert_non_null(strstr(err_message(), "rules line 2:"));
	for (int i = 0; i < 100; i++)
		strcat(long_line, " x");
	assert_int_equal(list_of(long_line, &l), -EUSAGE);
	assert_non_null(strstr(err_message(), "words"));
	assert_memory_equal(&l, &same, sizeof(l));
}

static void lists_have_an_end(void **state)
{
	size_t line = strlen("deny\n"), n = (ACL_RULE_MAX + 1) * line;
	char *text = malloc(n + 1);
	struct acl_rules l;

	for (size_t i = 0; i < n; i += line)
		memcpy(text + i, "deny\n", line);
	assert_int_equal(acl_parse_list("rules", text, n - line, &l), 0);
	assert_int_equal(l.n, ACL_RULE_MAX);
	assert_int_equal(l.at[l.n - 1].prio, ACL_RULE_MAX * 10);
	free(l.at);
	for (size_t i = 0; i < n; i += line)
		memcpy(text + i, "deny\n", line);
	assert_int_equal(acl_parse_list("rules", text, n, &l), -E2BIG);
	assert_non_null(strstr(err_message(), "131072"));
	assert_non_null(strstr(err_message(), "line 131073"));
	free(text);
}

static void shuffled_lists_are_sorted(void **state)
{
	static char text[64 * 1024];
	struct acl_rules l;
	__u32 prios[1000];
	size_t n = 0;

	for (__u32 i = 0; i < COUNT(prios); i++) {
		__u32 j = draw(i + 1);

		prios[i] = prios[j];
		prios[j] = i + 1;
	}
	for (__u32 i = 0; i < COUNT(prios); i++)
		n += snprintf(text + n, sizeof(text) - n, "prio %u vlan %u deny\n", prios[i],
			      prios[i]);
	assert_int_equal(acl_parse_list("rules", text, n, &l), 0);
	assert_int_equal(l.n, COUNT(prios));
	for (__u32 i = 0; i < l.n; i++) {
		assert_int_equal(l.at[i].prio, i + 1);
		assert_int_equal(l.at[i].dst_mac, ACL_KEY_VID(i + 1));
	}
	free(l.at);
}

/* ---- events ---- */

static void events_as_text(void **state)
{
	static const struct {
		struct acl_event e;
		const char *network;
		const char *text; /* behind the time */
	} events[] = {
		{{.key = {.src = {0x0a00000100000000},
			  .dst = {0x0a00000200000000},
			  .src_mac = 0x0800010000000002,
			  .dst_mac = 0x000a020000000002,
			  .misc = 6 | ACL_MISC_L4(2) | HAS_L4 | ACL_MISC_FAMILY(ACL_IP) |
				  ACL_MISC_STATE(ACL_NEW),
			  .sport = 1024,
			  .dport = 80},
		  .prio = 10,
		  .length = 74,
		  .direction = ACL_OUT,
		  .action = ACL_DENY},
		 NULL,
		 " v1: on dev v1 out prio 10 deny proto tcp src 10.0.0.1 dst 10.0.0.2 sport 1024 dport 80 "
		 "tcp-flags 0x02 state new src-mac 02:00:00:00:00:01 dst-mac 02:00:00:00:00:02 "
		 "ethertype 0x0800 vlan 10 length 74"},
		{{.key = {.src = {0xfe80000000000000, 1},
			  .dst = {0xff02000000000000, 2},
			  .src_mac = 0x86dd010000000002,
			  .misc = 58 | ACL_MISC_L4(135) | HAS_L4 | ACL_MISC_FAMILY(ACL_IP6)},
		  .direction = ACL_IN,
		  .action = ACL_ALLOW},
		 "lan",
		 " v1: on network lan in prio 0 allow proto icmp6 src fe80::1 dst ff02::2 icmp-type 135 "
		 "src-mac 02:00:00:00:00:01 dst-mac 00:00:00:00:00:00 ethertype 0x86dd vlan 0 length 0"},
		{{.key = {.src_mac = 0x0806010000000002}, .direction = ACL_IN, .action = ACL_REJECT},
		 NULL,
		 " v1: on dev v1 in prio 0 reject src-mac 02:00:00:00:00:01 dst-mac 00:00:00:00:00:00 "
		 "ethertype 0x0806 vlan 0 length 0"},
	};
	struct json_object *o;
	char *text, *rest, year[8];
	time_t now = time(NULL);
	struct timespec boot;
	struct acl_event e;

	clock_gettime(CLOCK_MONOTONIC, &boot);
	strftime(year, sizeof(year), "%Y-", gmtime(&now));
	for (size_t i = 0; i < COUNT(events); i++) {
		e = events[i].e;
		e.time = boot.tv_sec * 1000000000ULL;
		o = acl_event_json(&e, "v1", events[i].network);
		text = acl_event_text(o);
		rest = strchr(text, ' ');
		assert_string_equal(rest, events[i].text);
		assert_int_equal(rest - text, strlen("2026-01-01T00:00:00.000000Z"));
		assert_memory_equal(text, year, strlen(year));
		assert_int_equal(rest[-1], 'Z');
		free(text);
		json_object_put(o);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_become_fields),
		cmocka_unit_test(refused_rules),
		cmocka_unit_test(each_word_needs_a_value),
		cmocka_unit_test(random_rules_come_back),
		cmocka_unit_test(rules_that_are_the_same),
		cmocka_unit_test(matches_as_json),
		cmocka_unit_test(lists_are_read),
		cmocka_unit_test(bad_lists_name_the_line),
		cmocka_unit_test(lists_have_an_end),
		cmocka_unit_test(shuffled_lists_are_sorted),
		cmocka_unit_test(events_as_text),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
