// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * NAT without a kernel: addresses (loader/addr.c), subnets and endpoints in words
 * (loader/parse.c, loader/endpoint.c), and which external address gets which slot
 * (loader/nat_plan.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>
#undef fail /* cmocka's: ours is loader/err.h's */
#include <errno.h>
#include "../loader/addr.h"
#include "../loader/endpoint.h"
#include "../loader/err.h"
#include "../loader/nat_plan.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* A refusal says which word it was. */
#define REFUSED(call, word)                                     \
	do {                                                    \
		err_clear();                                    \
		assert_int_equal(call, -EUSAGE);                \
		assert_non_null(strstr(err_message(), (word))); \
		assert_null(strchr(err_message(), '\n'));       \
	} while (0)

static struct prefix prefix(const char *word)
{
	struct prefix p;

	assert_int_equal(parse_prefix_around("key", word, &p), 0);
	return p;
}

static void pack(__u64 out[2], const char *word)
{
	struct prefix p;

	assert_int_equal(parse_host("key", word, 0, &p), 0);
	addr_pack(out, p.family, p.addr);
}

/* ---- addresses ---- */

static void addresses_in_both_forms(void **state)
{
	static const char *const words[] = {"192.0.2.255", "1.2.3.4", "2001:db8::1",
					    "fd00::ffff:0:1"};
	char text[ADDR_TEXT];
	__u8 octets[16];
	__u64 a[2];

	for (size_t i = 0; i < COUNT(words); i++) {
		struct prefix p = prefix(words[i]);

		addr_pack(a, p.family, p.addr);
		assert_string_equal(addr_text(a, text), words[i]);
		assert_int_equal(addr_unpack(octets, a), p.family);
		assert_memory_equal(octets, p.addr, 16);
		assert_true(addr_given(a));
	}
	pack(a, "192.0.2.1");
	assert_int_equal(a[0], FLOW_IPV4);
	assert_int_equal(a[1], 0xc0000201ULL << 32);
	a[1] = 0;
	assert_false(addr_given(a));
	a[0] = 0;
	assert_false(addr_given(a));
}

static void distances(void **state)
{
	__u64 a[2], b[2];

	pack(a, "192.0.2.1");
	pack(b, "192.0.2.1");
	assert_int_equal(addr_distance(a, b), 0);
	addr_add(b, 255);
	assert_int_equal(addr_distance(a, b), 255);
	assert_int_equal(addr_distance(b, a), ~0ULL);
	pack(b, "fd00::1");
	assert_int_equal(addr_distance(a, b), ~0ULL);
	pack(a, "fd00::fffe");
	assert_int_equal(addr_distance(b, a), 0xfffd);
	pack(b, "fd01::ffff"); /* too far */
	assert_int_equal(addr_distance(a, b), ~0ULL);
}

static void overlaps(void **state)
{
	static const struct {
		const char *a, *b;
		bool overlap, inside;
	} rows[] = {
		{"10.0.0.0/8", "10.1.0.0/16", true, false},
		{"10.1.0.0/16", "10.0.0.0/8", true, true},
		{"10.1.0.0/16", "10.2.0.0/16", false, false},
		{"10.0.0.5", "10.0.0.0/24", true, true},
		{"10.0.1.5", "10.0.0.0/24", false, false},
		{"0.0.0.0/0", "10.0.0.0/24", true, false},
		{"fd00::/16", "fd00:1::/64", true, false},
		{"fd00:1:2:3:4::/80", "fd00:1:2:3::/64", true, true},
		{"fd00:1:2:4::/64", "fd00:1:2:3::/64", false, false},
		{"::/0", "10.0.0.0/8", false, false},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct prefix a = prefix(rows[i].a), b = prefix(rows[i].b);

		assert_int_equal(addr_overlap(&a, &b), rows[i].overlap);
		assert_int_equal(addr_overlap(&b, &a), rows[i].overlap);
		assert_int_equal(addr_inside(&a, &b), rows[i].inside);
	}
}

static void hosts(void **state)
{
	static const struct {
		const char *addr, *subnet;
		bool host;
	} rows[] = {
		{"10.0.0.0", "10.0.0.0/24", false},
		{"10.0.0.1", "10.0.0.0/24", true},
		{"10.0.0.254", "10.0.0.0/24", true},
		{"10.0.0.255", "10.0.0.0/24", false},
		{"10.0.0.255", "10.0.0.0/23", true},
		{"10.0.0.2", "10.0.0.0/30", true},
		{"10.0.0.3", "10.0.0.0/30", false},
		{"fd00::", "fd00::/64", false},
		{"fd00::1", "fd00::/64", true},
		{"fd00::ffff:ffff:ffff:ffff", "fd00::/64", true},
		{"fd00:0:0:1::", "fd00::/48", true},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct prefix a = prefix(rows[i].addr), net = prefix(rows[i].subnet);

		assert_int_equal(addr_is_host(&a, &net), rows[i].host);
	}
}

/* ---- words ---- */

static void subnets(void **state)
{
	static const char *const bad4[] = {
		"",
		"x",
		"10.0.0.0",
		"10.0.0.0/32",
		"10.0.0.0/31",
		"10.0.0.0/7",
		"0.0.0.0/8",
		"127.0.0.0/8",
		"224.0.0.0/8",
		"240.0.0.0/8",
		"10.0.0.1/24",
		"fd00::/64",
		"169.254.0.0/16",
		"192.168.50.0/",
		"192.168.50/24",
	};
	static const char *const bad6[] = {
		"10.0.0.0/24", "fd00::", "fd00::/128", "fd00::/127", "fd00::/15",     "fe80::/64",
		"ff02::/64",   "::/64",	 "::/16",      "fd00::1/64", "::ffff:0:0/96",
	};
	struct prefix p = {.len = 99};

	for (size_t i = 0; i < COUNT(bad4); i++)
		REFUSED(parse_subnet("subnet", bad4[i], 4, &p), bad4[i]);
	for (size_t i = 0; i < COUNT(bad6); i++)
		REFUSED(parse_subnet("subnet6", bad6[i], 6, &p), bad6[i]);
	assert_int_equal(p.len, 99);
	assert_int_equal(parse_subnet("subnet", "10.0.0.0/8", 4, &p), 0);
	assert_int_equal(p.len, 8);
	assert_int_equal(parse_subnet("subnet", "192.168.50.0/30", 4, &p), 0);
	assert_int_equal(parse_subnet("subnet6", "fd00::/126", 6, &p), 0);
	assert_int_equal(parse_subnet("subnet6", "fd00::/16", 6, &p), 0);
}

static void assert_endpoint(const struct endpoint *e, const char *addr, int first, int last)
{
	char text[PREFIX_TEXT] = "";

	if (e->addr.family)
		prefix_text(&e->addr, text);
	assert_string_equal(text, addr);
	assert_int_equal(e->first, first);
	assert_int_equal(e->last, last);
}

static void external_endpoints(void **state)
{
	static const struct {
		const char *word, *addr;
		int first, last;
	} good[] = {
		{"1", "", 1, 1},
		{"65535", "", 65535, 65535},
		{"8000-8010", "", 8000, 8010},
		{"8000-8000", "", 8000, 8000},
		{"192.0.2.1:80", "192.0.2.1", 80, 80},
		{"192.0.2.1:1-65535", "192.0.2.1", 1, 65535},
		{"[2001:db8::1]:80", "2001:db8::1", 80, 80},
		{"[2001:db8::1]:80-81", "2001:db8::1", 80, 81},
	};
	static const char *const bad[] = {
		"",
		"x",
		"0",
		"65536",
		"80-",
		"-80",
		"81-80",
		"80-65536",
		"80-81-82",
		"80 ",
		" 80",
		"+80",
		"0x50",
		"999999",
		":80",
		"192.0.2.1",
		"a:80",
		"192.0.2.1:",
		"192.0.2:80",
		"192.0.2.1:0",
		"192.0.2.1:80:",
		"192.0.2.1::80",
		"[]:80",
		"[192.0.2.1]:80",
		"[fd00::1]",
		"[fd00::1]:",
		"[fd00::1]80",
		"fd00::1:80",
		"fd00::1",
		"[fd00::1]:80-79",
		"[fd00::1:80",
		"fd00::1]:80",
		"[fe80::1]:80",
		"224.0.0.1:80",
		"[::]:80",
		"0.0.0.0:80",
		"[fd00::1]:]:80",
	};
	struct endpoint e = {.first = 7};

	for (size_t i = 0; i < COUNT(bad); i++)
		REFUSED(parse_external("forward", bad[i], true, &e), bad[i]);
	assert_int_equal(e.first, 7);
	for (size_t i = 0; i < COUNT(good); i++) {
		assert_int_equal(parse_external("forward", good[i].word, true, &e), 0);
		assert_endpoint(&e, good[i].addr, good[i].first, good[i].last);
	}
	REFUSED(parse_external("forward", "80-81", false, &e), "80-81");
	REFUSED(parse_external("forward", "192.0.2.1:80-81", false, &e), "192.0.2.1:80-81");
	assert_int_equal(parse_external("forward", "80", false, &e), 0);
}

static void internal_endpoints(void **state)
{
	static const char *const bad[] = {
		"",	      "80",	      ":80",
		"192.0.2.1:", "192.0.2.1:0",  "192.0.2.1:80-81",
		"192.0.2",    "[fd00::1]",    "[fd00::1]:",
		"fd00::1:x",  "192.0.2.1/32", "fd00::1/128",
		"0.0.0.0",    "::",	      "192.0.2.1:65536",
	};
	struct endpoint e = {.first = 7};

	for (size_t i = 0; i < COUNT(bad); i++)
		REFUSED(parse_internal("to", bad[i], &e), bad[i]);
	assert_int_equal(e.first, 7);
	assert_int_equal(parse_internal("to", "192.0.2.1", &e), 0);
	assert_endpoint(&e, "192.0.2.1", 0, 0);
	assert_int_equal(parse_internal("to", "192.0.2.1:443", &e), 0);
	assert_endpoint(&e, "192.0.2.1", 443, 443);
	assert_int_equal(parse_internal("to", "fd00::1", &e), 0);
	assert_endpoint(&e, "fd00::1", 0, 0);
	assert_int_equal(parse_internal("to", "fd00::1:80", &e), 0); /* an address */
	assert_endpoint(&e, "fd00::1:80", 0, 0);
	assert_int_equal(parse_internal("to", "[fd00::1]:80", &e), 0);
	assert_endpoint(&e, "fd00::1", 80, 80);
}

static void address_ranges(void **state)
{
	static const char *const bad[] = {
		"",
		"x",
		"192.0.2.1-",
		"-192.0.2.1",
		"192.0.2.2-192.0.2.1",
		"192.0.2.1-4",
		"192.0.2.0/24",
		"192.0.2.1-192.0.2.5",
		"192.0.2.1-fd00::1",
		"fd00::1-fd00::5",
		"fd00::1-fd01::1",
	};
	struct prefix first = {.len = 99}, last;
	char text[PREFIX_TEXT];

	for (size_t i = 0; i < COUNT(bad); i++)
		REFUSED(parse_addr_range("to", bad[i], 4, &first, &last), bad[i]);
	assert_int_equal(first.len, 99);
	assert_int_equal(parse_addr_range("to", "192.0.2.255-192.0.3.2", 4, &first, &last), 0);
	assert_string_equal(prefix_text(&first, text), "192.0.2.255");
	assert_string_equal(prefix_text(&last, text), "192.0.3.2");
	assert_int_equal(parse_addr_range("to", "fd00::1", 4, &first, &last), 0);
	assert_string_equal(prefix_text(&last, text), "fd00::1");
}

static void port_ranges(void **state)
{
	static const char *const bad[] = {"", "x", "0", "0-1", "2-1", "1-65536", "1-", "1-2-3"};
	__u16 first = 7, last;

	for (size_t i = 0; i < COUNT(bad); i++)
		REFUSED(parse_ports("ports", bad[i], &first, &last), bad[i]);
	assert_int_equal(first, 7);
	assert_int_equal(parse_ports("ports", "1-65535", &first, &last), 0);
	assert_int_equal(first, 1);
	assert_int_equal(last, 65535);
	assert_int_equal(parse_ports("ports", "80", &first, &last), 0);
	assert_int_equal(last, 80);
}

/* ---- slots ---- */

static void want(struct nat_wants *w, const char *addr, __u32 ifindex, __u16 flags)
{
	struct nat_want one = {.ifindex = ifindex, .flags = flags, .pools = 1};

	pack(one.addr, addr);
	assert_int_equal(nat_want(w, &one), 0);
}

static void want_range(struct nat_wants *w, const char *addr, __u32 n)
{
	struct nat_want one = {.ifindex = 3, .pools = NAT_ALL_POOLS};

	pack(one.addr, addr);
	assert_int_equal(nat_want_range(w, &one, n), 0);
}

/* The slots as a plan leaves them. */
static void apply(struct nat_addr *now, const struct nat_plan *p)
{
	memset(now, 0, NAT_ADDRS * sizeof(*now));
	for (int i = 1; i < NAT_ADDRS; i++) {
		memcpy(now[i].addr, p->at[i].addr, sizeof(now[i].addr));
		now[i].ifindex = p->at[i].ifindex;
		now[i].flags = p->at[i].flags;
	}
}

static __u32 slot(const struct nat_plan *p, const char *addr)
{
	__u64 a[2];

	pack(a, addr);
	return nat_plan_slot(p, a, 3);
}

static void slots_stay(void **state)
{
	struct nat_addr now[NAT_ADDRS] = {};
	struct nat_wants w = {};
	struct nat_plan p;

	want(&w, "192.0.2.1", 3, NAT_ADDR_OWN);
	want(&w, "192.0.2.9", 3, 0);
	want(&w, "192.0.2.9", 3, 0);
	assert_int_equal(w.n, 2);
	assert_int_equal(nat_plan_make(&w, now, &p), 0);
	assert_int_equal(slot(&p, "192.0.2.1"), 1);
	assert_int_equal(slot(&p, "192.0.2.9"), 2);
	apply(now, &p);

	/* one goes, others come */
	w = (struct nat_wants){};
	want(&w, "192.0.2.7", 3, 0);
	want(&w, "192.0.2.9", 3, 0);
	want(&w, "fd00::9", 3, NAT_ADDR_OWN);
	assert_int_equal(nat_plan_make(&w, now, &p), 0);
	assert_int_equal(slot(&p, "192.0.2.9"), 2);
	assert_int_equal(slot(&p, "192.0.2.1"), 0);
	assert_true(slot(&p, "192.0.2.7") && slot(&p, "fd00::9"));
	assert_int_equal(nat_plan_own(&p, 3, 4), 0);
	assert_int_equal(nat_plan_own(&p, 3, 6), slot(&p, "fd00::9"));
}

static void own_address_changes_in_its_slot(void **state)
{
	struct nat_addr now[NAT_ADDRS] = {};
	struct nat_wants w = {};
	struct nat_plan p;

	want(&w, "192.0.2.9", 3, 0);
	want(&w, "192.0.2.1", 3, NAT_ADDR_OWN);
	want(&w, "198.51.100.1", 4, NAT_ADDR_OWN);
	assert_int_equal(nat_plan_make(&w, now, &p), 0);
	assert_int_equal(nat_plan_own(&p, 3, 4), 2);
	assert_int_equal(nat_plan_own(&p, 4, 4), 3);
	apply(now, &p);
	w = (struct nat_wants){};
	want(&w, "192.0.2.9", 3, 0);
	want(&w, "192.0.2.2", 3, NAT_ADDR_OWN);
	assert_int_equal(nat_plan_make(&w, now, &p), 0);
	assert_int_equal(slot(&p, "192.0.2.2"), 2);
	apply(now, &p);
	/* an address that has a slot becomes the own one: that slot is it */
	w = (struct nat_wants){};
	want(&w, "192.0.2.9", 3, NAT_ADDR_OWN);
	assert_int_equal(nat_plan_make(&w, now, &p), 0);
	assert_int_equal(nat_plan_own(&p, 3, 4), 1);
	/* the former own address is still wanted: both have one */
	w = (struct nat_wants){};
	want(&w, "192.0.2.2", 3, 0);
	want(&w, "192.0.2.3", 3, NAT_ADDR_OWN);
	assert_int_equal(nat_plan_make(&w, now, &p), 0);
	assert_int_equal(slot(&p, "192.0.2.2"), 2);
	assert_int_equal(nat_plan_own(&p, 3, 4), slot(&p, "192.0.2.3"));
	assert_true(slot(&p, "192.0.2.3") && slot(&p, "192.0.2.3") != 2);
}

static void uplinks_without_an_address(void **state)
{
	struct nat_want none = {.addr = {FLOW_IPV4}, .ifindex = 3, .flags = NAT_ADDR_OWN};
	struct nat_addr now[NAT_ADDRS] = {};
	struct nat_wants w = {};
	struct nat_plan p;

	assert_int_equal(nat_want(&w, &none), 0);
	none.ifindex = 4;
	assert_int_equal(nat_want(&w, &none), 0);
	assert_int_equal(w.n, 2);
	assert_int_equal(nat_plan_make(&w, now, &p), 0);
	assert_int_equal(nat_plan_own(&p, 3, 4) + nat_plan_own(&p, 4, 4), 3);
	assert_int_equal(nat_plan_own(&p, 3, 6), 0);
	apply(now, &p);
	w = (struct nat_wants){};
	want(&w, "192.0.2.1", 4, NAT_ADDR_OWN);
	assert_int_equal(nat_plan_make(&w, now, &p), 0);
	assert_int_equal(nat_plan_own(&p, 4, 4), now[1].ifindex == 4 ? 1 : 2);
}

static void ranges_follow_each_other(void **state)
{
	struct nat_addr now[NAT_ADDRS] = {};
	struct nat_wants w = {};
	struct nat_plan p;
	__u32 first;

	want(&w, "192.0.2.3", 3, NAT_ADDR_OWN);
	assert_int_equal(nat_plan_make(&w, now, &p), 0);
	apply(now, &p);
	assert_int_equal(slot(&p, "192.0.2.3"), 1);
	/* the own address is in the range: slot 1 cannot be its third */
	want_range(&w, "192.0.2.1", 4);
	want_range(&w, "192.0.2.3", 4); /* overlaps: they are one of 6 */
	want_range(&w, "198.51.100.1", 3);
	assert_int_equal(w.ranges, 2);
	assert_int_equal(nat_plan_make(&w, now, &p), 0);
	first = slot(&p, "192.0.2.1");
	assert_int_equal(slot(&p, "192.0.2.3"), first + 2);
	assert_int_equal(slot(&p, "192.0.2.6"), first + 5);
	assert_int_equal(nat_plan_own(&p, 3, 4), first + 2);
	first = slot(&p, "198.51.100.1");
	assert_int_equal(slot(&p, "198.51.100.3"), first + 2);
	/* again, it stays */
	apply(now, &p);
	assert_int_equal(nat_plan_make(&w, now, &p), 0);
	assert_int_equal(slot(&p, "198.51.100.1"), first);
	/* a shorter one stays, too */
	w = (struct nat_wants){};
	want_range(&w, "198.51.100.2", 2);
	assert_int_equal(nat_plan_make(&w, now, &p), 0);
	assert_int_equal(slot(&p, "198.51.100.2"), first + 1);
}

static void a_range_between_two_becomes_one(void **state)
{
	struct nat_wants w = {};

	want_range(&w, "192.0.2.1", 3);
	want_range(&w, "192.0.2.5", 3);
	assert_int_equal(w.ranges, 2);
	want_range(&w, "192.0.2.3", 3);
	assert_int_equal(w.ranges, 1);
	assert_int_equal(w.range[0].n, 7);
	assert_int_equal(w.n, 7);
}

static void no_room(void **state)
{
	struct nat_want one = {.ifindex = 3};
	struct nat_addr now[NAT_ADDRS] = {};
	struct nat_wants w = {};
	struct nat_plan p, same;

	want_range(&w, "192.0.2.1", 32);
	want_range(&w, "192.0.3.1", 31);
	memset(&p, 0x5a, sizeof(p));
	same = p;
	pack(one.addr, "198.51.100.1");
	assert_int_equal(nat_want(&w, &one), -ENOSPC);
	assert_non_null(strstr(err_message(), "198.51.100.1"));
	assert_int_equal(nat_plan_make(&w, now, &p), 0);
	assert_int_equal(slot(&p, "192.0.2.1"), 1);
	assert_int_equal(slot(&p, "192.0.3.31"), 63);
	apply(now, &p);
	assert_int_equal(nat_plan_make(&w, now, &same), 0);
	assert_memory_equal(&same, &p, sizeof(p));
	/* all places are taken by what goes: that is room */
	w = (struct nat_wants){};
	want_range(&w, "203.0.113.1", 32);
	assert_int_equal(nat_plan_make(&w, now, &p), 0);
	/* an address on two uplinks */
	pack(one.addr, "203.0.113.1");
	one.ifindex = 4;
	assert_int_equal(nat_want(&w, &one), -EADDRINUSE);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_in_both_forms),
		cmocka_unit_test(distances),
		cmocka_unit_test(overlaps),
		cmocka_unit_test(hosts),
		cmocka_unit_test(subnets),
		cmocka_unit_test(external_endpoints),
		cmocka_unit_test(internal_endpoints),
		cmocka_unit_test(address_ranges),
		cmocka_unit_test(port_ranges),
		cmocka_unit_test(slots_stay),
		cmocka_unit_test(own_address_changes_in_its_slot),
		cmocka_unit_test(uplinks_without_an_address),
		cmocka_unit_test(ranges_follow_each_other),
		cmocka_unit_test(a_range_between_two_becomes_one),
		cmocka_unit_test(no_room),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
