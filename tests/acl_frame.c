// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Frames of keys, and rules as words: see acl_frame.h. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <linux/if_ether.h>
#include "acl_frame.h"

#define PROTO_TEST 253
#define TCP_SYN	   0x02
#define TCP_FSRA   0x17 /* FIN, SYN, RST, ACK */

#define COUNT(a)   (sizeof(a) / sizeof(*(a)))

const __u16 acl_frame_vids[ACL_VIDS] = {0, 10, 11, 4094};
static const __u16 ethertypes[] = {0x88b5, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, 0x88cc, 0x8863};

mac_t acl_frame_src(int n)
{
	return 0x525400000001 + 0x10 * n;
}

mac_t acl_frame_dst(int n)
{
	return 0x525400000002 + 0x10 * n;
}

/* As in struct acl_key: the first octet is the lowest. */
static __u64 mac_number(mac_t mac)
{
	return __builtin_bswap64(mac) >> 16;
}

static __u32 misc_proto(__u32 misc)
{
	return misc & ACL_MISC_PROTO_MASK;
}

static __u32 misc_l4(__u32 misc)
{
	return (misc & ACL_MISC_L4_MASK) >> 8;
}

static __u32 misc_family(__u32 misc)
{
	return (misc & ACL_MISC_FAMILY_MASK) >> 16;
}

static bool has_ports(__u32 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
}

static bool is_icmp(__u32 family, __u32 proto)
{
	return proto == (family == ACL_IP ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

/* ---- rules ---- */

/* As many bits as the mask has, from the first on. */
static void settle_prefix(__u64 value[2], __u64 mask[2], __u32 family)
{
	int len = __builtin_popcountll(mask[0]) + __builtin_popcountll(mask[1]);

	if (!family)
		len = 0;
	else if (family == ACL_IP && len > 32)
		len = 32;
	mask[0] = len >= 64 ? ~0ULL : len ? ~0ULL << (64 - len) : 0;
	mask[1] = len <= 64 ? 0 : ~0ULL << (128 - len);
	value[0] &= mask[0];
	value[1] &= mask[1];
}

/* Random lists have 6, 17, 28 for a protocol, or bits of one. */
static __u32 settle_proto(__u32 misc, __u32 mask, __u32 family)
{
	static const __u8 others[] = {IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_GRE};
	__u32 proto = misc_proto(misc), other;

	if (misc_proto(mask) != ACL_MISC_PROTO_MASK)
		return 0;
	if (proto != 28)
		return proto;
	other = misc_l4(misc) % COUNT(others);
	if (other < 2 && family)
		other = family - ACL_IP;
	return others[other];
}

/* What a rule asks for beyond its protocol. */
static void settle_upper(struct acl_rule *r, __u32 family, __u32 proto, __u32 l4, __u32 l4_mask)
{
	if (proto == IPPROTO_TCP && l4_mask) {
		r->misc |= ACL_MISC_L4(l4 & l4_mask);
		r->misc_mask |= ACL_MISC_L4(l4_mask);
	} else if (is_icmp(family, proto) && l4_mask) {
		r->misc |= ACL_MISC_L4(l4);
		r->misc_mask |= ACL_MISC_L4_MASK;
	}
	if (!has_ports(proto)) {
		r->sport_min = r->dport_min = 0;
		r->sport_max = r->dport_max = 0xffff;
	}
	if (r->misc_mask & ACL_MISC_L4_MASK || r->sport_min || r->dport_min ||
	    r->sport_max != 0xffff || r->dport_max != 0xffff) {
		r->misc |= ACL_MISC_HAS_L4;
		r->misc_mask |= ACL_MISC_HAS_L4;
	}
}

static void settle_ethernet(struct acl_rule *r, __u32 family, bool ip)
{
	__u16 type = ethertypes[(r->src_mac >> 48) % COUNT(ethertypes)];
	bool src = r->src_mac_mask & ACL_MAC_MASK, ethertype = r->src_mac_mask >> 48;
	bool dst = r->dst_mac_mask & ACL_MAC_MASK, vlan = r->dst_mac_mask >> 48;
	__u16 vid = acl_frame_vids[(r->dst_mac >> 48) % ACL_VIDS];

	if (ip && type != ETH_P_IPV6)
		type = ETH_P_IP;
	if (family)
		type = family == ACL_IP ? ETH_P_IP : ETH_P_IPV6;
	r->src_mac = src ? mac_number(acl_frame_src(r->src_mac % ACL_MACS)) : 0;
	r->dst_mac = dst ? mac_number(acl_frame_dst(r->dst_mac % ACL_MACS)) : 0;
	r->src_mac |= ethertype ? ACL_KEY_ETHERTYPE(type) : 0;
	r->dst_mac |= vlan ? ACL_KEY_VID(vid) : 0;
	r->src_mac_mask = (src ? ACL_MAC_MASK : 0) | (ethertype ? ACL_KEY_ETHERTYPE(0xffff) : 0);
	r->dst_mac_mask = (dst ? ACL_MAC_MASK : 0) | (vlan ? ACL_KEY_VID(0xffff) : 0);
}

void acl_rule_settle(struct acl_rule *r)
{
	__u32 misc = r->misc, mask = r->misc_mask, family = misc_family(misc & mask), proto;
	__u32 state = (misc & mask & ACL_MISC_STATE_MASK) >> 20;

	if (family != ACL_IP && family != ACL_IP6)
		family = 0;
	proto = settle_proto(misc, mask, family);
	if (proto == IPPROTO_ICMP)
		family = ACL_IP;
	if (proto == IPPROTO_ICMPV6)
		family = ACL_IP6;
	r->misc = ACL_MISC_PROTO(proto) | ACL_MISC_FAMILY(family);
	r->misc_mask = (proto ? ACL_MISC_PROTO_MASK : 0) | (family ? ACL_MISC_FAMILY_MASK : 0);
	if (state) { /* its lowest bit */
		r->misc |= ACL_MISC_STATE(state & -state);
		r->misc_mask |= ACL_MISC_STATE_MASK;
	}
	settle_prefix(r->src, r->src_mask, family);
	settle_prefix(r->dst, r->dst_mask, family);
	settle_upper(r, family, proto, misc_l4(misc), misc_l4(mask));
	settle_ethernet(r, family, proto);
	r->prio++; /* 0 is none */
	r->action = ACL_DENY;
	r->flags = ACL_RULE_LOG;
}

int acl_rule_bits(const struct acl_rule *r)
{
	return __builtin_popcountll(r->src_mask[0]) + __builtin_popcountll(r->src_mask[1]) +
	       __builtin_popcountll(r->dst_mask[0]) + __builtin_popcountll(r->dst_mask[1]) +
	       __builtin_popcountll(r->src_mac_mask) + __builtin_popcountll(r->dst_mac_mask) +
	       __builtin_popcount(r->misc_mask);
}

/* ---- words ---- */

struct words {
	char *out;
	size_t n;
};

__attribute__((format(printf, 2, 3))) static void say(struct words *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	w->n += vsnprintf(w->out + w->n, ACL_WORDS - w->n, fmt, ap);
	va_end(ap);
}

static void put_address(const __u64 value[2], __u32 family, __u8 *to)
{
	__u64 octets[2] = {__builtin_bswap64(value[0]), __builtin_bswap64(value[1])};

	memcpy(to, octets, family == ACL_IP ? 4 : 16);
}

static void say_prefix(struct words *w, const char *word, const __u64 value[2], const __u64 mask[2],
		       __u32 family)
{
	int len = __builtin_popcountll(mask[0]) + __builtin_popcountll(mask[1]);
	char text[INET6_ADDRSTRLEN];
	__u8 octets[16];

	if (!len)
		return;
	put_address(value, family, octets);
	inet_ntop(family == ACL_IP ? AF_INET : AF_INET6, octets, text, sizeof(text));
	say(w, "%s %s/%d ", word, text, len);
}

static void say_ports(struct words *w, const char *word, __u32 min, __u32 max)
{
	if (min || max != 0xffff)
		say(w, "%s %u-%u ", word, min, max);
}

static void say_mac(struct words *w, const char *word, __u64 number)
{
	__u8 m[6];

	memcpy(m, &number, sizeof(m));
	say(w, "%s %02x:%02x:%02x:%02x:%02x:%02x ", word, m[0], m[1], m[2], m[3], m[4], m[5]);
}

static void say_ethernet(struct words *w, const struct acl_rule *r)
{
	if (r->src_mac_mask & ACL_MAC_MASK)
		say_mac(w, "src-mac", r->src_mac);
	if (r->dst_mac_mask & ACL_MAC_MASK)
		say_mac(w, "dst-mac", r->dst_mac);
	if (r->src_mac_mask >> 48)
		say(w, "ethertype 0x%04x ", (__u16)(r->src_mac >> 48));
	if (r->dst_mac_mask >> 48)
		say(w, "vlan %u ", (__u16)(r->dst_mac >> 48));
}

void acl_rule_words(const struct acl_rule *r, char out[ACL_WORDS])
{
	static const char *const states[] = {
		[ACL_NEW] = "new",
		[ACL_ESTABLISHED] = "established",
		[ACL_RELATED] = "related",
		[ACL_INVALID] = "invalid",
	};
	__u32 family = misc_family(r->misc), proto = misc_proto(r->misc), l4 = misc_l4(r->misc);
	struct words w = {out};

	say(&w, "prio %u ", r->prio);
	if (family)
		say(&w, "family %s ", family == ACL_IP ? "ip" : "ip6");
	if (r->misc_mask & ACL_MISC_PROTO_MASK)
		say(&w, "proto %u ", proto);
	say_prefix(&w, "src", r->src, r->src_mask, family);
	say_prefix(&w, "dst", r->dst, r->dst_mask, family);
	say_ports(&w, "sport", r->sport_min, r->sport_max);
	say_ports(&w, "dport", r->dport_min, r->dport_max);
	if (r->misc_mask & ACL_MISC_L4_MASK && proto == IPPROTO_TCP)
		say(&w, "tcp-flags 0x%02x/0x%02x ", misc_l4(r->misc_mask), l4);
	else if (r->misc_mask & ACL_MISC_L4_MASK)
		say(&w, "icmp-type %u ", l4);
	if (r->misc_mask & ACL_MISC_STATE_MASK)
		say(&w, "state %s ", states[(r->misc & ACL_MISC_STATE_MASK) >> 20]);
	say_ethernet(&w, r);
	say(&w, "deny log");
}

/* ---- keys ---- */

static bool is_icmp_error(__u32 family, __u32 type)
{
	if (family == ACL_IP6)
		return type < 128;
	return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

/* Without a connection, to one address. */
static enum acl_state lone_state(__u32 family, __u32 proto, __u32 l4)
{
	__u32 flags = l4 & TCP_FSRA;

	if (proto == IPPROTO_TCP)
		return flags == TCP_SYN || (flags & ~1U) == 0x10 ? ACL_NEW : ACL_INVALID;
	if (is_icmp(family, proto) && l4 == (family == ACL_IP ? 0 : 129)) /* an echo's reply */
		return ACL_INVALID;
	return ACL_NEW;
}

static enum acl_state key_state(const struct acl_key *key)
{
	__u32 family = misc_family(key->misc), proto = misc_proto(key->misc);
	__u32 first = key->dst[0] >> 56;

	if (is_icmp(family, proto) && is_icmp_error(family, misc_l4(key->misc)))
		return ACL_INVALID;
	if (!family || (family == ACL_IP ? first >= 224 : first == 0xff)) /* to a group */
		return ACL_NEW;
	return lone_state(family, proto, misc_l4(key->misc));
}

static void settle_macs(struct acl_key *key, struct acl_random *random)
{
	__u16 vid = acl_frame_vids[acl_random_below(random, ACL_VIDS)];
	__u64 src = 0, dst = 0;

	for (int i = 0; i < ACL_MACS; i++) {
		if ((key->src_mac & ACL_MAC_MASK) == mac_number(acl_frame_src(i)))
			src = mac_number(acl_frame_src(i));
		if ((key->dst_mac & ACL_MAC_MASK) == mac_number(acl_frame_dst(i)))
			dst = mac_number(acl_frame_dst(i));
	}
	for (int i = 0; i < ACL_VIDS; i++)
		if (key->dst_mac >> 48 == acl_frame_vids[i])
			vid = acl_frame_vids[i];
	key->src_mac = src ?: mac_number(acl_frame_src(acl_random_below(random, ACL_MACS)));
	key->dst_mac = dst ?: mac_number(acl_frame_dst(acl_random_below(random, ACL_MACS)));
	key->dst_mac |= ACL_KEY_VID(vid);
}

/* The family that a frame is of, and its ethertype; for none of the two protocols, 0. */
static __u32 settle_family(__u32 family, __u16 *ethertype, struct acl_random *random)
{
	bool known = false;

	for (size_t i = 0; i < COUNT(ethertypes); i++)
		known |= *ethertype == ethertypes[i];
	if (!known)
		*ethertype = ethertypes[acl_random_below(random, COUNT(ethertypes))];
	if (family == ACL_IP || family == ACL_IP6)
		*ethertype = family == ACL_IP ? ETH_P_IP : ETH_P_IPV6;
	return *ethertype == ETH_P_IP ? ACL_IP : *ethertype == ETH_P_IPV6 ? ACL_IP6 : 0;
}

/* A protocol that is none of the other family's, nor an extension header. */
static __u32 key_proto(__u32 family, __u32 proto)
{
	if (family == ACL_IP)
		return proto;
	return proto == 0 || proto == 1 || proto == 43 || proto == 44 || proto == 51 || proto == 60
		       ? PROTO_TEST
		       : proto;
}

void acl_key_settle(struct acl_key *key, struct acl_random *random)
{
	__u16 ethertype = key->src_mac >> 48;
	__u32 family = settle_family(misc_family(key->misc), &ethertype, random);
	__u32 proto = key_proto(family, misc_proto(key->misc)), l4 = misc_l4(key->misc);

	settle_macs(key, random);
	key->src_mac |= ACL_KEY_ETHERTYPE(ethertype);
	if (!family)
		memset(key->src, 0, sizeof(key->src) + sizeof(key->dst));
	if (family == ACL_IP) {
		key->src[0] &= ~0ULL << 32;
		key->dst[0] &= ~0ULL << 32;
		key->src[1] = key->dst[1] = 0;
	}
	key->misc = ACL_MISC_FAMILY(family);
	if (family)
		key->misc |= ACL_MISC_PROTO(proto);
	if (!family || !has_ports(proto))
		key->sport = key->dport = 0;
	if (family && (proto == IPPROTO_TCP || is_icmp(family, proto)))
		key->misc |= ACL_MISC_L4(l4);
	if (family && (has_ports(proto) || is_icmp(family, proto)))
		key->misc |= ACL_MISC_HAS_L4;
	key->misc |= ACL_MISC_STATE(key_state(key));
}

/* ---- frames ---- */

static void put8(struct frame *f, __u8 v)
{
	f->data[f->len++] = v;
}

static void put16(struct frame *f, __u16 v)
{
	put8(f, v >> 8);
	put8(f, v);
}

static void zeros(struct frame *f, size_t n)
{
	memset(f->data + f->len, 0, n);
	f->len += n;
}

static void set16(struct frame *f, size_t at, __u16 v)
{
	f->data[at] = v >> 8;
	f->data[at + 1] = v;
}

/* The transport header (with no checksum: nobody looks) and n octets behind it. */
static void put_upper(struct frame *f, const struct acl_key *key, __u32 n, __u32 options)
{
	__u32 proto = misc_proto(key->misc);
	size_t start = f->len;

	if (has_ports(proto)) {
		put16(f, key->sport);
		put16(f, key->dport);
	}
	if (proto == IPPROTO_TCP) {
		zeros(f, 8);
		put8(f, (5 + options) << 4);
		put8(f, misc_l4(key->misc));
		zeros(f, 6 + 4 * options);
	} else if (proto == IPPROTO_UDP) {
		put16(f, 8 + n);
		put16(f, 0);
	} else if (proto == IPPROTO_SCTP) {
		zeros(f, 8);
	} else {
		put8(f, misc_l4(key->misc));
		zeros(f, 7);
	}
	zeros(f, n);
	if (!(key->misc & ACL_MISC_HAS_L4)) /* what looks like ports is not */
		memset(f->data + start, 0x5a, f->len - start);
}

static void put_ip(struct frame *f, const struct acl_key *key, struct acl_random *shape)
{
	__u32 options = acl_random_below(shape, 4) ? 0 : acl_random_below(shape, 11);
	size_t start = f->len;

	put8(f, 0x45 + options);
	zeros(f, 7);
	put8(f, 64);
	put8(f, misc_proto(key->misc));
	zeros(f, 2);
	put_address(key->src, ACL_IP, f->data + f->len);
	put_address(key->dst, ACL_IP, f->data + f->len + 4);
	f->len += 8;
	memset(f->data + f->len, 1, 4 * options); /* no operation */
	f->len += 4 * options;
	put_upper(f, key, acl_random_below(shape, 64), acl_random_below(shape, 11));
	set16(f, start + 2, f->len - start);
}

/* Extension headers of 8 octets, of a padding option each (RFC 8200, 4.2). */
static void put_ip6(struct frame *f, const struct acl_key *key, struct acl_random *shape)
{
	static const __u8 kinds[] = {0, 60, 60};
	__u32 extensions = acl_random_below(shape, 4) ? 0 : acl_random_below(shape, 4);
	__u8 proto = misc_proto(key->misc);
	size_t start = f->len;

	put8(f, 0x60);
	zeros(f, 5);
	put8(f, extensions ? kinds[0] : proto);
	put8(f, 64);
	put_address(key->src, ACL_IP6, f->data + f->len);
	put_address(key->dst, ACL_IP6, f->data + f->len + 16);
	f->len += 32;
	for (__u32 i = 1; i <= extensions; i++) {
		put8(f, i < extensions ? kinds[i] : proto);
		put8(f, 0);
		put8(f, 1);
		put8(f, 4);
		zeros(f, 4);
	}
	put_upper(f, key, acl_random_below(shape, 64), acl_random_below(shape, 11));
	set16(f, start + 4, f->len - start - 40);
}

void acl_frame_build(struct frame *f, const struct acl_key *key, __u64 seed)
{
	struct acl_random shape = {seed};
	__u16 vid = key->dst_mac >> 48;

	memcpy(f->data, &key->dst_mac, 6);
	memcpy(f->data + 6, &key->src_mac, 6);
	f->len = 12;
	if (vid || !acl_random_below(&shape, 8)) { /* 0: a priority only */
		put16(f, ETH_P_8021Q);
		put16(f, vid | acl_random_below(&shape, 8) << 13);
	}
	put16(f, key->src_mac >> 48);
	if (misc_family(key->misc) == ACL_IP)
		put_ip(f, key, &shape);
	else if (misc_family(key->misc) == ACL_IP6)
		put_ip6(f, key, &shape);
	else
		zeros(f, 46);
	if (f->len < ETH_ZLEN && acl_random_below(&shape, 2)) /* padded */
		zeros(f, ETH_ZLEN - f->len);
}
