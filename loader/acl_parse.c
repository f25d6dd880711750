// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Rules of access control lists: words to values and back. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/if_ether.h>
#include "acl_parse.h"
#include "err.h"

#define WORDS_MAX  64	  /* of a rule: all MATCH words are fewer */
#define ETHERTYPES 0x0600 /* below are lengths (802.3, 3.2.6) */

static const char *const action_names[] =
	{[ACL_ALLOW] = "allow", [ACL_DENY] = "deny", [ACL_REJECT] = "reject"};
static const char *const family_names[] = {[ACL_IP] = "ip", [ACL_IP6] = "ip6"};
static const struct {
	const char *name;
	__u32 state;
} states[] = {
	{"new", ACL_NEW},
	{"established", ACL_ESTABLISHED},
	{"related", ACL_RELATED},
	{"invalid", ACL_INVALID},
};
#define COUNT(a) (sizeof(a) / sizeof(*(a)))

const char *acl_action_name(enum acl_action action)
{
	return action < COUNT(action_names) && action_names[action] ? action_names[action] : "?";
}

const char *acl_direction_name(__u32 direction)
{
	return direction == ACL_IN ? "in" : "out";
}

/* ---- fields of a rule ---- */

static void want_misc(struct acl_rule *r, __u32 value, __u32 mask)
{
	r->misc |= value;
	r->misc_mask |= mask;
}

static __u8 proto_of(const struct acl_rule *r)
{
	return r->misc & ACL_MISC_PROTO_MASK;
}

static __u32 family_of(const struct acl_rule *r)
{
	return (r->misc & ACL_MISC_FAMILY_MASK) / ACL_MISC_FAMILY(1);
}

/* A rule asks for one family, by whichever of its words. */
static int want_family(const char *key, const char *word, struct acl_rule *r, __u32 family)
{
	if (family_of(r) && family_of(r) != family)
		return usage("%s: \"%s\" is of family %s, another word of the rule of %s", key,
			     word, family_names[family], family_names[family_of(r)]);
	want_misc(r, ACL_MISC_FAMILY(family), ACL_MISC_FAMILY_MASK);
	return 0;
}

static __u64 be64(const __u8 *at)
{
	__u64 n = 0;

	for (int i = 0; i < 8; i++)
		n = n << 8 | at[i];
	return n;
}

static void put_be64(__u64 n, __u8 *at)
{
	for (int i = 7; i >= 0; i--, n >>= 8)
		at[i] = n;
}

static __u64 mac_number(const __u8 mac[6])
{
	__u64 n = 0;

	memcpy(&n, mac, 6);
	return n;
}

/* The first `len` bits of 128. */
static void mask_of(int len, __u64 mask[2])
{
	mask[0] = len >= 64 ? ~0ULL : len ? ~0ULL << (64 - len) : 0;
	mask[1] = len <= 64 ? 0 : ~0ULL << (128 - len);
}

static int length_of(const __u64 mask[2])
{
	return __builtin_popcountll(mask[0]) + __builtin_popcountll(mask[1]);
}

/* ---- words to fields ---- */

static int parse_family(const char *key, const char *word, struct acl_rule *r)
{
	for (__u32 i = ACL_IP; i <= ACL_IP6; i++)
		if (!strcmp(family_names[i], word))
			return want_family(key, word, r, i);
	return usage("%s: \"%s\" is neither ip nor ip6", key, word);
}

static int read_proto(const char *key, const char *word, struct acl_rule *r)
{
	int err;
	__u8 n;

	err = parse_proto(key, word, &n);
	if (err)
		return err;
	if (!n)
		return usage("%s: \"%s\" is what packets without a protocol have", key, word);
	want_misc(r, ACL_MISC_PROTO(n), ACL_MISC_PROTO_MASK);
	if (n == IPPROTO_ICMP)
		return want_family(key, word, r, ACL_IP);
	if (n == IPPROTO_ICMPV6)
		return want_family(key, word, r, ACL_IP6);
	return 0;
}

static int parse_address(const char *key, const char *word, struct acl_rule *r, __u64 value[2],
			 __u64 mask[2], __u16 len_given)
{
	struct prefix p;
	int err = parse_prefix_around(key, word, &p);

	if (err)
		return err;
	mask_of(p.len, mask);
	value[0] = be64(p.addr);
	value[1] = be64(p.addr + 8);
	if (p.len_given)
		r->given |= len_given;
	return want_family(key, word, r, p.family == 4 ? ACL_IP : ACL_IP6);
}

static int parse_src(const char *key, const char *word, struct acl_rule *r)
{
	return parse_address(key, word, r, r->src, r->src_mask, ACL_GIVEN_SRC_LEN);
}

static int parse_dst(const char *key, const char *word, struct acl_rule *r)
{
	return parse_address(key, word, r, r->dst, r->dst_mask, ACL_GIVEN_DST_LEN);
}

/* N or N-M */
static int parse_ports(const char *key, const char *word, __u16 *min, __u16 *max)
{
	char first[8];
	size_t n = strcspn(word, "-");
	__u64 from = 0, to = 0;
	int err;

	snprintf(first, sizeof(first), "%.*s", (int)n, word);
	err = n < sizeof(first) ? parse_number(key, first, 0, 0xffff, &from) : -EUSAGE;
	to = from;
	if (!err && word[n])
		err = parse_number(key, word + n + 1, 0, 0xffff, &to);
	if (err || from > to)
		return usage("%s: \"%s\" is not a port or range from 0 to 65535 (as 80 or "
			     "8000-8999)",
			     key, word);
	*min = from;
	*max = to;
	return 0;
}

static int parse_sport(const char *key, const char *word, struct acl_rule *r)
{
	return parse_ports(key, word, &r->sport_min, &r->sport_max);
}

static int parse_dport(const char *key, const char *word, struct acl_rule *r)
{
	return parse_ports(key, word, &r->dport_min, &r->dport_max);
}

static int parse_icmp_type(const char *key, const char *word, struct acl_rule *r)
{
	__u64 n;
	int err = parse_number(key, word, 0, 255, &n);

	if (!err)
		want_misc(r, ACL_MISC_L4(n), ACL_MISC_L4_MASK);
	return err;
}

static int parse_tcp_flags(const char *key, const char *word, struct acl_rule *r)
{
	char first[8];
	size_t n = strcspn(word, "/");
	__u64 mask, value;

	snprintf(first, sizeof(first), "%.*s", (int)n, word);
	if (n >= sizeof(first) || !word[n] || parse_hex(key, first, 1, 255, &mask) ||
	    parse_hex(key, word + n + 1, 0, 255, &value) || value & ~mask)
		return usage("%s: \"%s\" is not MASK/VALUE, two numbers up to 0xff, VALUE within "
			     "MASK (as 0x12/0x02)",
			     key, word);
	want_misc(r, ACL_MISC_L4(value), ACL_MISC_L4(mask));
	return 0;
}

static int parse_src_mac(const char *key, const char *word, struct acl_rule *r)
{
	__u8 mac[6];
	int err = parse_mac(key, word, mac);

	if (!err) {
		r->src_mac |= mac_number(mac);
		r->src_mac_mask |= ACL_MAC_MASK;
	}
	return err;
}

static int parse_dst_mac(const char *key, const char *word, struct acl_rule *r)
{
	__u8 mac[6];
	int err = parse_mac_any(key, word, mac);

	if (!err) {
		r->dst_mac |= mac_number(mac);
		r->dst_mac_mask |= ACL_MAC_MASK;
	}
	return err;
}

static int parse_ethertype(const char *key, const char *word, struct acl_rule *r)
{
	__u64 n;
	int err = parse_hex(key, word, ETHERTYPES, 0xffff, &n);

	if (!err) {
		r->src_mac |= ACL_KEY_ETHERTYPE(n);
		r->src_mac_mask |= ACL_KEY_ETHERTYPE(0xffff);
	}
	return err;
}

/* VID 0 is the untagged traffic of transparent ports. */
static int parse_vlan(const char *key, const char *word, struct acl_rule *r)
{
	__u16 vid = 0;
	int err = strcmp(word, "0") ? parse_vid(key, word, &vid) : 0;

	if (!err) {
		r->dst_mac |= ACL_KEY_VID(vid);
		r->dst_mac_mask |= ACL_KEY_VID(0xffff);
	}
	return err;
}

static int parse_state(const char *key, const char *word, struct acl_rule *r)
{
	for (size_t i = 0; i < COUNT(states); i++)
		if (!strcmp(states[i].name, word)) {
			want_misc(r, ACL_MISC_STATE(states[i].state), ACL_MISC_STATE_MASK);
			return 0;
		}
	return usage("%s: \"%s\" is none of new, established, related, invalid", key, word);
}

/* ---- fields to words ---- */

#define VALUE_TEXT 56

static void show_family(const struct acl_rule *r, char out[VALUE_TEXT])
{
	__u32 family = family_of(r);

	snprintf(out, VALUE_TEXT, "%s",
		 family == ACL_IP || family == ACL_IP6 ? family_names[family] : "?");
}

static void show_proto(const struct acl_rule *r, char out[VALUE_TEXT])
{
	char number[PROTO_TEXT];

	snprintf(out, VALUE_TEXT, "%s", proto_text(proto_of(r), number));
}

static void show_address(const struct acl_rule *r, const __u64 value[2], const __u64 mask[2],
			 __u16 len_given, char out[VALUE_TEXT])
{
	struct prefix p = {.family = family_of(r) == ACL_IP ? 4 : 6,
			   .len = length_of(mask),
			   .len_given = (r->given & len_given) != 0};

	put_be64(value[0], p.addr);
	put_be64(value[1], p.addr + 8);
	prefix_text(&p, out);
}

static void show_src(const struct acl_rule *r, char out[VALUE_TEXT])
{
	show_address(r, r->src, r->src_mask, ACL_GIVEN_SRC_LEN, out);
}

static void show_dst(const struct acl_rule *r, char out[VALUE_TEXT])
{
	show_address(r, r->dst, r->dst_mask, ACL_GIVEN_DST_LEN, out);
}

static void show_ports(__u16 min, __u16 max, char out[VALUE_TEXT])
{
	int n = snprintf(out, VALUE_TEXT, "%u", min);

	if (min != max)
		snprintf(out + n, VALUE_TEXT - n, "-%u", max);
}

static void show_sport(const struct acl_rule *r, char out[VALUE_TEXT])
{
	show_ports(r->sport_min, r->sport_max, out);
}

static void show_dport(const struct acl_rule *r, char out[VALUE_TEXT])
{
	show_ports(r->dport_min, r->dport_max, out);
}

static void show_icmp_type(const struct acl_rule *r, char out[VALUE_TEXT])
{
	snprintf(out, VALUE_TEXT, "%u", r->misc >> 8 & 0xff);
}

static void show_tcp_flags(const struct acl_rule *r, char out[VALUE_TEXT])
{
	snprintf(out, VALUE_TEXT, "0x%02x/0x%02x", r->misc_mask >> 8 & 0xff, r->misc >> 8 & 0xff);
}

static void show_mac(__u64 number, char out[VALUE_TEXT])
{
	__u8 m[6];

	memcpy(m, &number, sizeof(m));
	snprintf(out, VALUE_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
		 m[5]);
}

static void show_src_mac(const struct acl_rule *r, char out[VALUE_TEXT])
{
	show_mac(r->src_mac, out);
}

static void show_dst_mac(const struct acl_rule *r, char out[VALUE_TEXT])
{
	show_mac(r->dst_mac, out);
}

static void show_ethertype(const struct acl_rule *r, char out[VALUE_TEXT])
{
	snprintf(out, VALUE_TEXT, "0x%04x", (__u16)(r->src_mac >> 48));
}

static void show_vlan(const struct acl_rule *r, char out[VALUE_TEXT])
{
	snprintf(out, VALUE_TEXT, "%u", (__u16)(r->dst_mac >> 48));
}

static void show_state(const struct acl_rule *r, char out[VALUE_TEXT])
{
	snprintf(out, VALUE_TEXT, "?");
	for (size_t i = 0; i < COUNT(states); i++)
		if ((r->misc & ACL_MISC_STATE_MASK) == ACL_MISC_STATE(states[i].state))
			snprintf(out, VALUE_TEXT, "%s", states[i].name);
}

/* ---- the MATCH words ---- */

static const struct match {
	const char *word;
	const char *json;
	__u16 given;
	int (*parse)(const char *key, const char *word, struct acl_rule *r);
	void (*show)(const struct acl_rule *r, char out[VALUE_TEXT]);
} matches[] = {
	{"family", "family", ACL_GIVEN_FAMILY, parse_family, show_family},
	{"proto", "proto", ACL_GIVEN_PROTO, read_proto, show_proto},
	{"src", "src", ACL_GIVEN_SRC, parse_src, show_src},
	{"dst", "dst", ACL_GIVEN_DST, parse_dst, show_dst},
	{"sport", "sport", ACL_GIVEN_SPORT, parse_sport, show_sport},
	{"dport", "dport", ACL_GIVEN_DPORT, parse_dport, show_dport},
	{"icmp-type", "icmp_type", ACL_GIVEN_ICMP_TYPE, parse_icmp_type, show_icmp_type},
	{"tcp-flags", "tcp_flags", ACL_GIVEN_TCP_FLAGS, parse_tcp_flags, show_tcp_flags},
	{"src-mac", "src_mac", ACL_GIVEN_SRC_MAC, parse_src_mac, show_src_mac},
	{"dst-mac", "dst_mac", ACL_GIVEN_DST_MAC, parse_dst_mac, show_dst_mac},
	{"ethertype", "ethertype", ACL_GIVEN_ETHERTYPE, parse_ethertype, show_ethertype},
	{"vlan", "vlan", ACL_GIVEN_VLAN, parse_vlan, show_vlan},
	{"state", "state", ACL_GIVEN_STATE, parse_state, show_state},
};

#define ACTIONS "allow, deny or reject"

static const struct match *match_of(const char *word)
{
	for (size_t i = 0; i < COUNT(matches); i++)
		if (!strcmp(matches[i].word, word))
			return &matches[i];
	return NULL;
}

static enum acl_action action_of(const char *word)
{
	for (size_t i = ACL_ALLOW; i < COUNT(action_names); i++)
		if (!strcmp(action_names[i], word))
			return i;
	return ACL_NONE;
}

/* An ethertype behind the tags that no packet of the other words has. */
static int ethertype_fits(const struct acl_rule *r)
{
	__u16 type = r->src_mac >> 48;
	__u32 family = type == ETH_P_IP ? ACL_IP : type == ETH_P_IPV6 ? ACL_IP6 : 0;

	if (!(r->given & ACL_GIVEN_ETHERTYPE))
		return 0;
	if (family && family_of(r) && family != family_of(r))
		return usage("ethertype: \"0x%04x\" is of family %s, another word of the rule "
			     "of %s",
			     type, family_names[family], family_names[family_of(r)]);
	if (type == ETH_P_ARP && (family_of(r) || proto_of(r)))
		return usage("ethertype: \"0x%04x\" is ARP, another word of the rule wants IP",
			     type);
	return 0;
}

/* What words need of others, once all are read. */
static int complete(struct acl_rule *r)
{
	static const __u16 ports = ACL_GIVEN_SPORT | ACL_GIVEN_DPORT;
	__u8 proto = proto_of(r);

	if (r->given & ports && proto != IPPROTO_TCP && proto != IPPROTO_UDP &&
	    proto != IPPROTO_SCTP)
		return usage("%s needs proto tcp, udp or sctp",
			     r->given & ACL_GIVEN_SPORT ? "sport" : "dport");
	if (r->given & ACL_GIVEN_ICMP_TYPE && proto != IPPROTO_ICMP && proto != IPPROTO_ICMPV6)
		return usage("icmp-type needs proto icmp or icmp6");
	if (r->given & ACL_GIVEN_TCP_FLAGS && proto != IPPROTO_TCP)
		return usage("tcp-flags needs proto tcp");
	if (r->given & (ports | ACL_GIVEN_ICMP_TYPE | ACL_GIVEN_TCP_FLAGS))
		want_misc(r, ACL_MISC_HAS_L4, ACL_MISC_HAS_L4);
	return ethertype_fits(r);
}

static int parse_prio(struct args *a, struct acl_rule *r)
{
	const char *word;
	__u64 n;
	int err = args_next(a, "prio", &word) ?: parse_number("prio", word, 1, ACL_PRIO_MAX, &n);

	if (!err)
		r->prio = n;
	return err;
}

static int parse_match(struct args *a, const struct match *m, struct acl_rule *r)
{
	const char *word;
	int err;

	if (r->given & m->given)
		return usage("%s: %s is given twice", a->what, m->word);
	err = args_next(a, m->word, &word) ?: m->parse(m->word, word, r);
	r->given |= m->given;
	return err;
}

int acl_parse_rule(struct args *a, struct acl_rule *out)
{
	struct acl_rule r = {.sport_max = 0xffff, .dport_max = 0xffff};
	const struct match *m;
	const char *word;
	int err = 0;

	while (!err && a->n && !(r.action = action_of(*a->v))) {
		args_next(a, a->what, &word);
		m = match_of(word);
		if (m)
			err = parse_match(a, m, &r);
		else if (strcmp(word, "prio"))
			err = usage("%s: unknown word \"%s\"", a->what, word);
		else if (r.prio)
			err = usage("%s: prio is given twice", a->what);
		else
			err = parse_prio(a, &r);
	}
	if (err)
		return err;
	if (!r.action)
		return usage("%s: the action is missing (" ACTIONS ")", a->what);
	args_take(a, action_names[r.action]);
	if (args_take(a, "log"))
		r.flags |= ACL_RULE_LOG;
	err = args_end(a) ?: complete(&r);
	if (!err)
		*out = r;
	return err;
}

/* ---- lists ---- */

int acl_next_prio(__u32 last, __u32 *prio)
{
	if (last > ACL_PRIO_MAX - ACL_PRIO_STEP)
		return fail(ERANGE, "prio %u is the last rule's: no room behind it without prio",
			    last);
	*prio = last + ACL_PRIO_STEP;
	return 0;
}

/* Splits a line at blanks, up to a comment. Returns the number of words, -1: too many. */
static int split(char *line, char **words)
{
	char *save, *word;
	int n = 0;

	line[strcspn(line, "#")] = '\0';
	for (word = strtok_r(line, " \t\r", &save); word; word = strtok_r(NULL, " \t\r", &save)) {
		if (n == WORDS_MAX)
			return -1;
		words[n++] = word;
	}
	return n;
}

/* A list while it is read. */
struct reading {
	const char *name;
	__u32 line;
	__u32 last; /* the highest prio */
	__u32 room;
	struct acl_rules rules;
};

/* Puts the file and line before an error's message. */
static int in_line(const struct reading *in, __u32 line, int err)
{
	char why[400];

	snprintf(why, sizeof(why), "%s", err_message());
	if (err == -EUSAGE)
		return usage("%.80s line %u: %s", in->name, line, why);
	return fail(err, "%.80s line %u: %s", in->name, line, why);
}

static int room_for_one(struct reading *in)
{
	__u32 room = in->room ? in->room * 2 : 1024;
	struct acl_rule *at;

	if (in->rules.n == ACL_RULE_MAX)
		return fail(E2BIG, "more than %u rules", ACL_RULE_MAX);
	if (in->rules.n < in->room)
		return 0;
	at = realloc(in->rules.at, room * sizeof(*at));
	if (!at)
		return fail(ENOMEM, "out of memory");
	in->rules.at = at;
	in->room = room;
	return 0;
}

static int read_line(struct reading *in, char *line, size_t size)
{
	struct args a = {.what = "rule"};
	char *words[WORDS_MAX];
	struct acl_rule *r;
	int err;

	if (strlen(line) != size)
		return usage("a NUL in the text");
	a.v = words;
	a.n = split(line, words);
	if (!a.n)
		return 0;
	if (a.n < 0)
		return usage("more than %d words", WORDS_MAX);
	err = room_for_one(in);
	if (err)
		return err;
	r = &in->rules.at[in->rules.n];
	err = acl_parse_rule(&a, r);
	if (!err && !r->prio)
		err = acl_next_prio(in->last, &r->prio);
	if (err)
		return err;
	r->line = in->line;
	if (r->prio > in->last)
		in->last = r->prio;
	in->rules.n++;
	return 0;
}

static int by_prio_and_line(const void *a, const void *b)
{
	const struct acl_rule *x = a, *y = b;

	if (x->prio != y->prio)
		return x->prio < y->prio ? -1 : 1;
	return x->line < y->line ? -1 : x->line > y->line;
}

static int sort_rules(struct reading *in)
{
	struct acl_rule *at = in->rules.at;
	bool sorted = true;

	for (__u32 i = 1; i < in->rules.n; i++)
		sorted &= at[i - 1].prio < at[i].prio;
	if (!sorted)
		qsort(at, in->rules.n, sizeof(*at), by_prio_and_line);
	for (__u32 i = 1; i < in->rules.n; i++)
		if (at[i - 1].prio == at[i].prio)
			return usage("%.80s line %u: prio %u is that of line %u", in->name,
				     at[i].line, at[i].prio, at[i - 1].line);
	for (__u32 i = 0; i < in->rules.n; i++)
		at[i].line = 0;
	return 0;
}

int acl_parse_list(const char *name, char *text, size_t size, struct acl_rules *out)
{
	struct reading in = {.name = name};
	char *end = text + size, *next;
	int err = 0;

	for (char *line = text; line < end && !err; line = next + 1) {
		in.line++;
		next = memchr(line, '\n', end - line) ?: end;
		*next = '\0';
		err = read_line(&in, line, next - line);
		if (err)
			in_line(&in, in.line, err);
	}
	err = err ?: sort_rules(&in);
	if (err) {
		free(in.rules.at);
		return err;
	}
	*out = in.rules;
	return 0;
}

/* ---- printing and comparing ---- */

const char *acl_rule_text(const struct acl_rule *r, char out[ACL_RULE_TEXT])
{
	char value[VALUE_TEXT];
	size_t n;

	n = snprintf(out, ACL_RULE_TEXT, "prio %u ", r->prio);
	for (size_t i = 0; i < COUNT(matches); i++) {
		if (!(r->given & matches[i].given))
			continue;
		matches[i].show(r, value);
		n += snprintf(out + n, ACL_RULE_TEXT - n, "%s %s ", matches[i].word, value);
	}
	snprintf(out + n, ACL_RULE_TEXT - n, "%s%s", acl_action_name(r->action),
		 r->flags & ACL_RULE_LOG ? " log" : "");
	return out;
}

struct json_object *acl_match_json(const struct acl_rule *r)
{
	struct json_object *o = json_object_new_object();
	char value[VALUE_TEXT];

	for (size_t i = 0; i < COUNT(matches); i++) {
		if (!(r->given & matches[i].given))
			continue;
		matches[i].show(r, value);
		json_object_object_add(o, matches[i].json, json_object_new_string(value));
	}
	return o;
}

bool acl_rule_same(const struct acl_rule *a, const struct acl_rule *b)
{
	return !memcmp(a, b, offsetof(struct acl_rule, prio)) && a->action == b->action &&
	       (a->flags & ACL_RULE_LOG) == (b->flags & ACL_RULE_LOG);
}
