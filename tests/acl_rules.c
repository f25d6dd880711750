// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Rules and packets for tests of access control lists: see acl_rules.h. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "acl_rules.h"

/* Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014), SplitMix64. */
__u64 acl_random(struct acl_random *r)
{
	__u64 z = r->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

__u32 acl_random_below(struct acl_random *r, __u32 n)
{
	return (acl_random(r) >> 32) * n >> 32;
}

struct line {
	unsigned int src[4], src_len, dst[4], dst_len;
	unsigned int sport[2], dport[2];
	unsigned int proto, proto_mask, flags, flags_mask;
};

static __u64 address(const unsigned int *part)
{
	return (__u64)(part[0] << 24 | part[1] << 16 | part[2] << 8 | part[3]) << 32;
}

static __u64 prefix_mask(__u32 len)
{
	return len ? ~0ULL << (64 - len) : 0;
}

static void make_rule(const struct line *l, __u32 i, struct acl_rule *r)
{
	__u32 flags = l->flags >> 8, flags_mask = l->flags_mask >> 8;

	*r = (struct acl_rule){
		.src_mask = {prefix_mask(l->src_len)},
		.dst_mask = {prefix_mask(l->dst_len)},
		.misc = ACL_MISC_FAMILY(ACL_IP) | ACL_MISC_PROTO(l->proto & l->proto_mask),
		.misc_mask = ACL_MISC_FAMILY_MASK | ACL_MISC_PROTO(l->proto_mask),
		.sport_min = l->sport[0],
		.sport_max = l->sport[1],
		.dport_min = l->dport[0],
		.dport_max = l->dport[1],
		.prio = 10 * (i + 1),
		.counter = i,
		.action = ACL_ALLOW + i % 3,
		.flags = i % 7 ? 0 : ACL_RULE_LOG,
	};
	r->src[0] = address(l->src) & r->src_mask[0];
	r->dst[0] = address(l->dst) & r->dst_mask[0];
	if (flags_mask && (l->proto & l->proto_mask) == IPPROTO_TCP) {
		r->misc |= ACL_MISC_L4(flags & flags_mask);
		r->misc_mask |= ACL_MISC_L4(flags_mask);
	}
	if (r->sport_min || r->dport_min || r->sport_max != 0xffff || r->dport_max != 0xffff ||
	    (r->misc_mask & ACL_MISC_L4_MASK)) {
		r->misc |= ACL_MISC_HAS_L4;
		r->misc_mask |= ACL_MISC_HAS_L4;
	}
}

static int read_lines(FILE *file, __u32 most, struct acl_rules *rules)
{
	__u32 room = 0;
	struct line l;
	char text[256];

	while (rules->n < most && fgets(text, sizeof(text), file)) {
		if (sscanf(text, "@%u.%u.%u.%u/%u %u.%u.%u.%u/%u %u : %u %u : %u %x/%x %x/%x",
			   l.src, l.src + 1, l.src + 2, l.src + 3, &l.src_len, l.dst, l.dst + 1,
			   l.dst + 2, l.dst + 3, &l.dst_len, l.sport, l.sport + 1, l.dport,
			   l.dport + 1, &l.proto, &l.proto_mask, &l.flags, &l.flags_mask) != 18)
			return -EINVAL;
		if (rules->n == room) {
			struct acl_rule *grown;

			room = 2 * room + 1000;
			grown = realloc(rules->rule, room * sizeof(*grown));
			if (!grown)
				return -ENOMEM;
			rules->rule = grown;
		}
		make_rule(&l, rules->n, &rules->rule[rules->n]);
		rules->n++;
	}
	return rules->n ? 0 : -ENODATA;
}

int acl_rules_read(const char *path, __u32 most, struct acl_rules *rules)
{
	char command[512];
	FILE *file;
	int err;

	*rules = (struct acl_rules){};
	snprintf(command, sizeof(command), "xz -dc '%s'", path);
	file = popen(command, "r");
	if (!file)
		return -errno;
	err = read_lines(file, most, rules);
	pclose(file);
	if (!err)
		err = acl_rules_ready(rules);
	if (err)
		acl_rules_free(rules);
	return err;
}

int acl_rules_ready(struct acl_rules *rules)
{
	free(rules->filter);
	rules->filter = calloc(rules->n + 1, sizeof(*rules->filter));
	if (!rules->filter)
		return -ENOMEM;
	for (__u32 i = 0; i < rules->n; i++) {
		const struct acl_rule *r = &rules->rule[i];

		rules->filter[i] = (struct acl_filter){r->src[0] >> 32, r->src_mask[0] >> 32,
						       r->dst[0] >> 32, r->dst_mask[0] >> 32};
	}
	return 0;
}

void acl_rules_free(struct acl_rules *rules)
{
	free(rules->rule);
	free(rules->filter);
	*rules = (struct acl_rules){};
}

bool acl_rules_has(const struct acl_rules *rules, __u32 prio)
{
	for (__u32 i = 0; i < rules->n; i++)
		if (rules->rule[i].prio == prio)
			return true;
	return false;
}

/* What the rules of a random list ask for, and how much they differ in it. */
struct taste {
	__u32 fields; /* bits of enum field */
	__u32 spread; /* values of a field */
	bool ternary; /* masks of any bits */
	__u64 salt;
};

enum field {
	F_FAMILY,
	F_SRC,
	F_DST,
	F_SPORT,
	F_DPORT,
	F_PROTO,
	F_L4,
	F_STATE,
	F_SRC_MAC,
	F_DST_MAC,
	F_ETHERTYPE,
	F_VLAN,
	F_MISC,
	FIELDS,
};

/* One of few values, each as random as they come. */
static __u64 one_of(const struct taste *t, enum field field, struct acl_random *random)
{
	struct acl_random fixed = {t->salt + field * 1000 + acl_random_below(random, t->spread)};

	return acl_random(&fixed);
}

static void random_address(const struct taste *t, enum field field, __u32 family, __u64 *value,
			   __u64 *mask, struct acl_random *random)
{
	__u32 len = acl_random_below(random, 3) ? acl_random_below(random, 129) : 128;

	if (family != ACL_IP6)
		len = len > 32 ? 32 - acl_random_below(random, 2) : len;
	mask[0] = prefix_mask(len < 64 ? len : 64);
	mask[1] = prefix_mask(len > 64 ? len - 64 : 0);
	if (t->ternary) {
		mask[0] &= acl_random(random) | acl_random(random);
		mask[1] &= acl_random(random) | acl_random(random);
	}
	value[0] = one_of(t, field, random) & mask[0];
	value[1] = one_of(t, field, random) & mask[1];
}

static void random_range(const struct taste *t, enum field field, __u16 *min, __u16 *max,
			 struct acl_random *random)
{
	__u16 a = one_of(t, field, random), b = one_of(t, field, random);

	switch (acl_random_below(random, 4)) {
	case 0:
		b = a;
		break;
	case 1:
		b = a + acl_random_below(random, 20);
		break;
	case 2:
		b = 0xffff;
		break;
	}
	*min = a < b ? a : b;
	*max = a < b ? b : a;
}

static void random_misc(const struct taste *t, enum field field, __u32 part, struct acl_rule *r,
			struct acl_random *random)
{
	__u32 mask = t->ternary ? part & (__u32)acl_random(random) : part;

	r->misc_mask |= mask;
	r->misc |= one_of(t, field, random) & mask & ~r->misc;
}

/* Whether a rule asks for a field. */
static bool asks(const struct taste *t, enum field field, struct acl_random *random)
{
	return t->fields & 1U << field && acl_random_below(random, 3);
}

static void random_words(const struct taste *t, struct acl_rule *r, struct acl_random *random)
{
	if (asks(t, F_PROTO, random)) {
		r->misc |= ACL_MISC_PROTO(acl_random_below(random, 3) * 11 + 6);
		r->misc_mask |= ACL_MISC_PROTO_MASK;
	}
	if (asks(t, F_L4, random))
		random_misc(t, F_L4, ACL_MISC_L4_MASK | ACL_MISC_HAS_L4, r, random);
	if (asks(t, F_STATE, random)) {
		r->misc |= ACL_MISC_STATE(1U << acl_random_below(random, 4));
		r->misc_mask |= ACL_MISC_STATE_MASK;
	}
	if (asks(t, F_MISC, random)) { /* of any kind */
		r->misc_mask |= acl_random(random) & acl_random(random) & 0x1f3ffff;
		r->misc = (r->misc | acl_random(random)) & r->misc_mask;
	}
	if (asks(t, F_SRC_MAC, random))
		r->src_mac_mask |= ACL_MAC_MASK;
	if (asks(t, F_DST_MAC, random))
		r->dst_mac_mask |= ACL_MAC_MASK;
	if (asks(t, F_ETHERTYPE, random))
		r->src_mac_mask |= ACL_KEY_ETHERTYPE(0xffff);
	if (asks(t, F_VLAN, random))
		r->dst_mac_mask |= ACL_KEY_VID(0xfff);
	if (t->ternary) {
		r->src_mac_mask &= acl_random(random);
		r->dst_mac_mask &= acl_random(random);
	}
	r->src_mac = one_of(t, F_SRC_MAC, random) & r->src_mac_mask;
	r->dst_mac = one_of(t, F_DST_MAC, random) & r->dst_mac_mask;
}

static struct acl_rule random_rule(const struct taste *t, __u32 i, struct acl_random *random)
{
	struct acl_rule r = {
		.sport_max = 0xffff,
		.dport_max = 0xffff,
		.prio = 3 * i,
		.counter = ACL_COUNTER_MAX - 1 - i,
		.action = ACL_ALLOW + acl_random_below(random, 3),
		.flags = acl_random_below(random, 2) * ACL_RULE_LOG,
	};
	__u32 family = 0;

	if (asks(t, F_FAMILY, random)) {
		family = ACL_IP + acl_random_below(random, 2);
		r.misc |= ACL_MISC_FAMILY(family);
		r.misc_mask |= ACL_MISC_FAMILY_MASK;
	}
	random_words(t, &r, random);
	if (asks(t, F_SRC, random))
		random_address(t, F_SRC, family, r.src, r.src_mask, random);
	if (asks(t, F_DST, random))
		random_address(t, F_DST, family, r.dst, r.dst_mask, random);
	if (asks(t, F_SPORT, random))
		random_range(t, F_SPORT, &r.sport_min, &r.sport_max, random);
	if (asks(t, F_DPORT, random))
		random_range(t, F_DPORT, &r.dport_min, &r.dport_max, random);
	return r;
}

int acl_rules_random(__u32 n, struct acl_random *random, struct acl_rules *rules)
{
	struct taste t = {
		.fields = acl_random_below(random, 3) ? acl_random(random) : ~0U,
		.spread = 2 << acl_random_below(random, 8),
		.ternary = !acl_random_below(random, 4),
		.salt = acl_random(random),
	};
	int err;

	*rules = (struct acl_rules){.rule = calloc(n + 1, sizeof(*rules->rule)), .n = n};
	if (!rules->rule)
		return -ENOMEM;
	for (__u32 i = 0; i < n; i++)
		rules->rule[i] = random_rule(&t, i, random);
	err = acl_rules_ready(rules);
	if (err)
		acl_rules_free(rules);
	return err;
}

static bool matches(const struct acl_rule *r, const struct acl_key *k)
{
	if (((k->src[0] & r->src_mask[0]) ^ r->src[0]) | ((k->src[1] & r->src_mask[1]) ^ r->src[1]))
		return false;
	if (((k->dst[0] & r->dst_mask[0]) ^ r->dst[0]) | ((k->dst[1] & r->dst_mask[1]) ^ r->dst[1]))
		return false;
	if (((k->src_mac & r->src_mac_mask) ^ r->src_mac) |
	    ((k->dst_mac & r->dst_mac_mask) ^ r->dst_mac))
		return false;
	if ((k->misc & r->misc_mask) != r->misc)
		return false;
	return r->sport_min <= k->sport && k->sport <= r->sport_max && r->dport_min <= k->dport &&
	       k->dport <= r->dport_max;
}

/* Long, and simple: not watched by the sanitizers. */
__attribute__((no_sanitize("address", "undefined"))) __u64
acl_rules_scan(const struct acl_rules *rules, const struct acl_key *key)
{
	__u32 src = key->src[0] >> 32, dst = key->dst[0] >> 32;

	for (__u32 i = 0; i < rules->n; i++) {
		const struct acl_filter *f = &rules->filter[i];
		const struct acl_rule *r = &rules->rule[i];

		if (((src & f->src_mask) ^ f->src) | ((dst & f->dst_mask) ^ f->dst))
			continue;
		if (matches(r, key))
			return ACL_RESULT(r->action, r->flags & ACL_RULE_LOG, r->counter, r->prio);
	}
	return 0;
}

/* A value for a field that a rule asks for under a mask: an edge of it, inside, or just outside. */
static __u64 masked_value(__u64 value, __u64 mask, struct acl_random *random)
{
	switch (acl_random_below(random, 8)) {
	case 0:
		return value;
	case 1:
		return value | ~mask;
	case 2: /* one below the first, in the last bit asked for */
		return value - (mask & -mask);
	case 3:
		return (value | ~mask) + 1;
	case 4:
		return value ^ 1ULL << acl_random_below(random, 64);
	default:
		return value | (acl_random(random) & ~mask);
	}
}

static __u16 port_value(__u32 min, __u32 max, struct acl_random *random)
{
	switch (acl_random_below(random, 8)) {
	case 0:
		return min;
	case 1:
		return max;
	case 2:
		return min - 1;
	case 3:
		return max + 1;
	default:
		return min <= max ? min + acl_random_below(random, max - min + 1) : min;
	}
}

struct acl_key acl_packet_for(const struct acl_rule *r, struct acl_random *random)
{
	__u64 misc = r->misc | (acl_random(random) & ~r->misc_mask & 0x1f3ffff);
	struct acl_key key = {
		.src_mac = masked_value(r->src_mac, r->src_mac_mask, random),
		.dst_mac = masked_value(r->dst_mac, r->dst_mac_mask, random),
		.misc = misc,
		.sport = port_value(r->sport_min, r->sport_max, random),
		.dport = port_value(r->dport_min, r->dport_max, random),
	};

	if (!acl_random_below(random, 16))
		key.misc ^= 1U << acl_random_below(random, 25);
	for (int i = 0; i < 2; i++) {
		key.src[i] = masked_value(r->src[i], r->src_mask[i], random);
		key.dst[i] = masked_value(r->dst[i], r->dst_mask[i], random);
	}
	if ((key.misc & ACL_MISC_FAMILY_MASK) == ACL_MISC_FAMILY(ACL_IP)) {
		key.src[0] &= ~0ULL << 32;
		key.dst[0] &= ~0ULL << 32;
		key.src[1] = key.dst[1] = 0;
	} else if ((key.misc & ACL_MISC_FAMILY_MASK) != ACL_MISC_FAMILY(ACL_IP6)) {
		memset(key.src, 0, sizeof(key.src));
		memset(key.dst, 0, sizeof(key.dst));
	}
	return key;
}

static const struct acl_rule *any_rule(const struct acl_rules *rules, struct acl_random *random)
{
	return &rules->rule[acl_random_below(random, rules->n)];
}

struct acl_key acl_packet(const struct acl_rules *rules, struct acl_random *random)
{
	struct acl_key key = acl_packet_for(any_rule(rules, random), random), other;

	if (acl_random_below(random, 2))
		return key;
	other = acl_packet_for(any_rule(rules, random), random);
	memcpy(key.dst, other.dst, sizeof(key.dst));
	if (acl_random_below(random, 2))
		key.dport = other.dport;
	if (!acl_random_below(random, 4))
		key.sport = acl_packet_for(any_rule(rules, random), random).sport;
	return key;
}
