// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * What can be tested without a kernel: words of the command line to values (loader/parse.c),
 * the writer of text and JSON (loader/out.c), flows in words (loader/flow_row.c), messages
 * (loader/err.c), reasons and types.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#undef fail /* cmocka's: ours is loader/err.h's */
#include "../loader/err.h"
#include "../loader/flow_row.h"
#include "../loader/out.h"
#include "../loader/parse.h"
#include "../maps/fdb.h"
#include "../maps/network.h"
#include "../maps/port.h"
#include "../maps/reasons.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* A refusal says which word it was. */
#define REFUSED(call, word)                                     \
	do {                                                    \
		err_clear();                                    \
		assert_int_equal(call, -EUSAGE);                \
		assert_non_null(strstr(err_message(), (word))); \
		assert_null(strchr(err_message(), '\n'));       \
	} while (0)

/* ---- words ---- */

static void args_are_taken_in_order(void **state)
{
	char *words[] = {"a", "b", "c"};
	struct args a = {3, words, "thing do"};
	const char *w;

	assert_false(args_take(&a, "b"));
	assert_true(args_take(&a, "a"));
	assert_int_equal(args_next(&a, "a", &w), 0);
	assert_string_equal(w, "b");
	REFUSED(args_end(&a), "\"c\"");
	assert_non_null(strstr(err_message(), "thing do"));
	assert_true(args_take(&a, "c"));
	assert_int_equal(args_end(&a), 0);
	assert_false(args_take(&a, "c"));
	w = "same";
	REFUSED(args_next(&a, "key", &w), "key needs a value");
	assert_string_equal(w, "same");
}

static void numbers(void **state)
{
	static const char *const bad[] = {"",	 "x",	 "-1",	  "+1",
					  " 1",	 "1 ",	 "0x1",	  "1.0",
					  "1e2", "4095", "4094a", "99999999999999999999999999",
					  "١"};
	__u64 n = 7;

	assert_int_equal(parse_number("key", "0", 0, 4094, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(parse_number("key", "4094", 0, 4094, &n), 0);
	assert_int_equal(n, 4094);
	assert_int_equal(parse_number("key", "00010", 0, 4094, &n), 0);
	assert_int_equal(n, 10);
	n = 7;
	for (size_t i = 0; i < COUNT(bad); i++)
		REFUSED(parse_number("key", bad[i], 0, 4094, &n), bad[i]);
	REFUSED(parse_number("key", "9", 10, 20, &n), "\"9\"");
	assert_non_null(strstr(err_message(), "10 to 20"));
	assert_int_equal(n, 7);
}

static void switches(void **state)
{
	static const char *const bad[] = {"", "o", "onn", "offf", "ON", "true", "1", "yes"};
	__u8 v = 7;

	assert_int_equal(parse_onoff("key", "on", &v), 0);
	assert_int_equal(v, 1);
	assert_int_equal(parse_onoff("key", "off", &v), 0);
	assert_int_equal(v, 0);
	v = 7;
	for (size_t i = 0; i < COUNT(bad); i++)
		REFUSED(parse_onoff("key", bad[i], &v), "key");
	assert_int_equal(v, 7);
}

static void times(void **state)
{
	static const char *const bad[] = {"",
					  "30",
					  "s",
					  "30S",
					  "30 s",
					  "-30s",
					  "1d",
					  "9s",
					  "61m",
					  "2h",
					  "30ss",
					  "30s ",
					  "0.5h",
					  "1h30m",
					  "18446744073709551616s",
					  "1000000000000000h"};
	__u32 s = 7;

	assert_int_equal(parse_time("ageing", "10s", 10, 3600, &s), 0);
	assert_int_equal(s, 10);
	assert_int_equal(parse_time("ageing", "5m", 10, 3600, &s), 0);
	assert_int_equal(s, 300);
	assert_int_equal(parse_time("ageing", "1h", 10, 3600, &s), 0);
	assert_int_equal(s, 3600);
	s = 7;
	for (size_t i = 0; i < COUNT(bad); i++)
		REFUSED(parse_time("ageing", bad[i], 10, 3600, &s), bad[i]);
	/* no way round 32 bits: 1193047 h is 4,294,969,200 s, 1904 more than 2^32 */
	REFUSED(parse_time("ageing", "1193047h", 10, 4294967295U, &s), "1193047h");
	assert_int_equal(s, 7);
}

static void vids(void **state)
{
	static const char *const bad[] = {"",	"0",   "4095", "4096", "65537",
					  "-1", "1-2", "1,2",  "x"};
	__u16 v = 7;

	assert_int_equal(parse_vid("vlan", "1", &v), 0);
	assert_int_equal(v, 1);
	assert_int_equal(parse_vid("vlan", "4094", &v), 0);
	assert_int_equal(v, 4094);
	for (size_t i = 0; i < COUNT(bad); i++)
		REFUSED(parse_vid("vlan", bad[i], &v), bad[i]);
	assert_int_equal(v, 4094);
}

static bool member(const struct port_vlans *v, unsigned int vid)
{
	return v->member[vid / 64] >> (vid % 64) & 1;
}

static void vid_lists(void **state)
{
	static const char *const bad[] = {"",	  ",",	    "10,",	   ",10",   "10,,20",
					  "0",	  "4095",   "1-",	   "-1",    "20-10",
					  "0-10", "1-4095", "1-2-3",	   "10 20", "10, 20",
					  "a",	  "10,a",   "1-4294967306"};
	struct port_vlans v, old;

	memset(&v, 0xff, sizeof(v));
	assert_int_equal(parse_vid_list("trunk", "10,20,100-199", &v), 0);
	for (unsigned int vid = 0; vid < 4096; vid++)
		assert_int_equal(member(&v, vid),
				 vid == 10 || vid == 20 || (vid >= 100 && vid <= 199));
	assert_int_equal(parse_vid_list("trunk", "1-4094", &v), 0);
	assert_false(member(&v, 0));
	assert_true(member(&v, 1));
	assert_true(member(&v, 4094));
	assert_false(member(&v, 4095));
	assert_int_equal(parse_vid_list("trunk", "7,7,5-7", &v), 0);
	for (unsigned int vid = 0; vid < 4096; vid++)
		assert_int_equal(member(&v, vid), vid >= 5 && vid <= 7);
	old = v;
	for (size_t i = 0; i < COUNT(bad); i++)
		REFUSED(parse_vid_list("trunk", bad[i], &v), bad[i]);
	assert_memory_equal(&v, &old, sizeof(v));
}

static void macs(void **state)
{
	static const char *const bad[] = {"",
					  "52:54:00:12:34",
					  "52:54:00:12:34:",
					  "52:54:00:12:34:5",
					  "52:54:00:12:34:567",
					  "52:54:00:12:34:56:78",
					  "52-54-00-12-34-56",
					  "5254.0012.3456",
					  "525400123456",
					  "52:54:00:12:34:5g",
					  " 52:54:00:12:34:56",
					  "52:54:00:12:34:56 ",
					  "0x:54:00:12:34:56",
					  "01:00:5e:00:00:01",
					  "ff:ff:ff:ff:ff:ff",
					  "00:00:00:00:00:00",
					  "2:54:00:12:34:56"};
	__u8 mac[6], same[6];

	assert_int_equal(parse_mac("mac", "52:54:00:12:34:aF", mac), 0);
	assert_memory_equal(mac, "\x52\x54\x00\x12\x34\xaf", 6);
	memcpy(same, mac, 6);
	for (size_t i = 0; i < COUNT(bad); i++)
		REFUSED(parse_mac("mac", bad[i], mac), bad[i]);
	assert_memory_equal(mac, same, 6);
}

static void prefixes(void **state)
{
	static const struct {
		const char *word;
		__u8 family, len;
		const char *first; /* octets */
		const char *text;  /* NULL: as it is */
	} good[] = {
		{"10.0.0.5", 4, 32, "\x0a\0\0\x05", NULL},
		{"10.0.0.5/32", 4, 32, "\x0a\0\0\x05", NULL},
		{"10.0.0.0/24", 4, 24, "\x0a\0\0\0", NULL},
		{"10.0.0.4/30", 4, 30, "\x0a\0\0\x04", NULL},
		{"0.0.0.0/0", 4, 0, "\0\0\0\0", NULL},
		{"128.0.0.0/1", 4, 1, "\x80\0\0\0", NULL},
		{"255.255.255.255", 4, 32, "\xff\xff\xff\xff", NULL},
		{"2001:DB8:0:0::/64", 6, 64, "\x20\x01\x0d\xb8", "2001:db8::/64"},
		{"fe80::/10", 6, 10, "\xfe\x80\0\0", NULL},
		{"::", 6, 128, "\0\0\0\0", NULL},
		{"::/0", 6, 0, "\0\0\0\0", NULL},
		{"::1/128", 6, 128, "\0\0\0\0", NULL},
		{"::ffff:10.0.0.5", 6, 128, "\0\0\0\0", NULL},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", 6, 127, "\xff\xff\xff\xff", NULL},
	};
	static const char *const bad[] = {
		"",
		"x",
		"any",
		"10.0.0",
		"10.0.0.256",
		"10.0.0.5/",
		"10.0.0.5/33",
		"10.0.0.5/-1",
		"10.0.0.5/x",
		"10.0.0.0/24/24",
		"/24",
		" 10.0.0.5",
		"10.0.0.5 ",
		"010.0.0.1",
		"10.0.0.0/255.255.255.0",
		"10.0.0.5/0032",
		"10.0.0.5,",
		":",
		":::",
		"fd00::/129",
		"fd00::/64x",
		"fd00:::/64",
		"fe80::1%eth0",
		"g::",
		"1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9",
	};
	static const char *const host[][2] = {{"10.0.0.5/24", "10.0.0.0/24"},
					      {"10.0.0.5/31", "10.0.0.4/31"},
					      {"10.0.0.5/0", "0.0.0.0/0"},
					      {"fd00::1/64", "fd00::/64"},
					      {"fd00:0:0:1::/63", "fd00::/63"}};
	struct prefix p, same, other;
	char text[PREFIX_TEXT];

	for (size_t i = 0; i < COUNT(good); i++) {
		assert_int_equal(parse_prefix("ip", good[i].word, &p), 0);
		assert_int_equal(p.family, good[i].family);
		assert_int_equal(p.len, good[i].len);
		assert_memory_equal(p.addr, good[i].first, 4);
		assert_string_equal(prefix_text(&p, text), good[i].text ?: good[i].word);
		assert_true(!i || !prefix_equal(&p, &other) || p.len_given != other.len_given);
		other = p;
	}
	memcpy(&same, &p, sizeof(p));
	for (size_t i = 0; i < COUNT(bad); i++)
		REFUSED(parse_prefix("ip", bad[i], &p), bad[i]);
	for (size_t i = 0; i < COUNT(host); i++) {
		REFUSED(parse_prefix("ip", host[i][0], &p), host[i][0]);
		assert_non_null(strstr(err_message(), host[i][1]));
	}
	assert_memory_equal(&p, &same, sizeof(p));
	parse_prefix("ip", "10.0.0.5", &p);
	parse_prefix("ip", "10.0.0.5/32", &same);
	assert_true(prefix_equal(&p, &same));
	parse_prefix("ip", "a00:5::", &same);
	assert_false(prefix_equal(&p, &same));
}

static void protos(void **state)
{
	static const char *const bad[] = {"",	 "TCP", "tcp ", "ip", "icmpv6",
					  "256", "-1",	"6x",	"0x6"};
	char text[PROTO_TEXT];
	__u8 proto = 77;

	assert_int_equal(parse_proto("proto", "tcp", &proto), 0);
	assert_int_equal(proto, 6);
	assert_int_equal(parse_proto("proto", "icmp6", &proto), 0);
	assert_int_equal(proto, 58);
	assert_int_equal(parse_proto("proto", "0", &proto), 0);
	assert_int_equal(proto, 0);
	assert_int_equal(parse_proto("proto", "255", &proto), 0);
	assert_int_equal(proto, 255);
	assert_string_equal(proto_text(255, text), "255");
	assert_int_equal(parse_proto("proto", "132", &proto), 0);
	assert_string_equal(proto_text(proto, text), "sctp");
	assert_string_equal(proto_text(1, text), "icmp");
	assert_string_equal(proto_text(17, text), "udp");
	for (size_t i = 0; i < COUNT(bad); i++)
		REFUSED(parse_proto("proto", bad[i], &proto), bad[i]);
}

static void names(void **state)
{
	static const char *const bad[] = {
		"",	    "-a",  ".a",
		"a b",	    "a/b", "a\n",
		"\xc3\xa4", "a:b", "12345678901234567890123456789012" /* 32 */};
	static const char *const bad_dev[] = {
		"", ".", "..", "a/b", "a b", "a:b", "a\tb", "a\x01", "1234567890123456" /* 16 */};
	const char *out = "same";

	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(parse_network_name(bad[i], &out), -EUSAGE);
	for (size_t i = 0; i < COUNT(bad_dev); i++)
		assert_int_equal(parse_dev_name(bad_dev[i], &out), -EUSAGE);
	assert_string_equal(out, "same");
	assert_int_equal(parse_network_name("1234567890123456789012345678901", &out), 0); /* 31 */
	assert_int_equal(strlen(out), 31);
	assert_int_equal(parse_network_name("a_b.c-D9", &out), 0);
	assert_int_equal(parse_dev_name("123456789012345", &out), 0);
	assert_string_equal(out, "123456789012345");
	assert_int_equal(parse_dev_name("br-lan.10", &out), 0);
}

static void long_words_fit_the_message(void **state)
{
	char word[5000];
	__u16 v;

	memset(word, 'x', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	assert_int_equal(parse_vid("vlan", word, &v), -EUSAGE);
	assert_true(strlen(err_message()) < 1000);
	assert_non_null(strstr(err_message(), "vlan"));
}

static void errors(void **state)
{
	assert_int_equal(fail(17, "there is %s", "one"), -17);
	assert_string_equal(err_message(), "there is one");
	assert_int_equal(fail(-17, "%d", 2), -17);
	assert_int_equal(usage("three"), -EUSAGE);
	assert_string_equal(err_message(), "three");
	err_clear();
	assert_string_equal(err_message(), "");
}

/* ---- random words ---- */

static uint64_t seed;

static uint32_t next_random(void) /* xorshift64* */
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (seed * 0x2545f4914f6cdd1dULL) >> 32;
}

/* A word that is nearly right: a good one with some octets changed, removed or doubled. */
static void random_word(char *word, size_t size)
{
	static const char *const good[] = {"10,20,100-199",
					   "1-4094",
					   "52:54:00:12:34:56",
					   "300s",
					   "5m",
					   "on",
					   "off",
					   "4094",
					   "lan",
					   "tap0",
					   "18446744073709551615",
					   ""};
	static const char octets[] = "0123456789abcdefx:,-. smh/\t\x80\xff";
	size_t n = snprintf(word, size, "%s", good[next_random() % COUNT(good)]);

	for (int edits = next_random() % 6; edits; edits--) {
		size_t at = next_random() % (n + 1);
		char octet = octets[next_random() % (sizeof(octets) - 1)];

		switch (next_random() % 4) {
		case 0:
			if (at < n)
				word[at] = octet;
			break;
		case 1:
			if (at < n)
				memmove(word + at, word + at + 1, n-- - at);
			break;
		case 2:
			if (n + 2 < size) {
				memmove(word + at + 1, word + at, ++n - at);
				word[at] = octet;
			}
			break;
		default:
			if (n && 2 * n + 1 < size) {
				memcpy(word + n, word, n);
				n *= 2;
				word[n] = '\0';
			}
		}
	}
}

/*
 * Whatever the word: a value in its range, or a refusal that leaves the value alone. The
 * word is in memory of just its size, so that the sanitizer sees each step beyond it.
 */
static void random_words(void **state)
{
	const char *given = getenv("SEED");
	struct timespec from, now;
	unsigned long rounds = 0;
	uint64_t first;

	clock_gettime(CLOCK_MONOTONIC, &from);
	seed = first =
		(given ? strtoull(given, NULL, 0) : (uint64_t)from.tv_nsec << 20 | getpid()) | 1;
	printf("# random words: SEED=%#llx\n", (unsigned long long)first);
	do {
		struct port_vlans list = {{0x1234}}, same_list = list;
		__u8 mac[6] = {1, 2, 3, 4, 5, 6}, v8 = 77;
		struct prefix prefix = {.len = 77};
		const char *name = NULL;
		char word[256], *exact;
		__u16 v16 = 7777;
		__u32 v32 = 7777;
		__u64 v64 = 7777;

		random_word(word, sizeof(word));
		exact = strdup(word);
		assert_non_null(exact);
		if (!parse_vid("k", exact, &v16))
			assert_in_range(v16, 1, 4094);
		else
			assert_int_equal(v16, 7777);
		if (!parse_number("k", exact, 5, 5000, &v64))
			assert_in_range(v64, 5, 5000);
		else
			assert_int_equal(v64, 7777);
		if (!parse_time("k", exact, 10, 86400, &v32))
			assert_in_range(v32, 10, 86400);
		else
			assert_int_equal(v32, 7777);
		if (!parse_onoff("k", exact, &v8))
			assert_in_range(v8, 0, 1);
		else
			assert_int_equal(v8, 77);
		if (!parse_vid_list("k", exact, &list)) {
			assert_false(member(&list, 0) || member(&list, 4095));
			assert_memory_not_equal(&list, &(struct port_vlans){}, sizeof(list));
		} else {
			assert_memory_equal(&list, &same_list, sizeof(list));
		}
		if (!parse_mac("k", exact, mac))
			assert_int_equal(mac[0] & 1, 0);
		else
			assert_memory_equal(mac, "\1\2\3\4\5\6", 6);
		if (!parse_prefix("k", exact, &prefix))
			assert_in_range(prefix.len, 0, prefix.family == 4 ? 32 : 128);
		else
			assert_int_equal(prefix.len, 77);
		if (!parse_network_name(exact, &name))
			assert_true(*exact && strlen(exact) < NETWORK_NAME_LEN);
		if (!parse_dev_name(exact, &name))
			assert_true(*exact && strlen(exact) < PORT_NAME_LEN);
		free(exact);
		rounds++;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (rounds < 1000 || (rounds < 200000 && now.tv_sec - from.tv_sec < 3));
	printf("# %lu words\n", rounds);
}

/* ---- the writer ---- */

static FILE *captured;
static int real_stdout;

static void capture_begin(void)
{
	fflush(stdout);
	captured = tmpfile();
	real_stdout = dup(1);
	assert_non_null(captured);
	dup2(fileno(captured), 1);
}

/* What was printed since; valid until the next one. */
static const char *capture_end(void)
{
	static char text[8192];
	size_t n;

	fflush(stdout);
	dup2(real_stdout, 1);
	close(real_stdout);
	rewind(captured);
	n = fread(text, 1, sizeof(text) - 1, captured);
	text[n] = '\0';
	fclose(captured);
	return text;
}

static int plain(void **state)
{
	memset(&out_options, 0, sizeof(out_options));
	return 0;
}

static struct json_object *sample(void)
{
	return json_tokener_parse("[{\"dev\":\"tap0\",\"vlan\":10,\"up\":true,\"trunk\":null,"
				  "\"mac\":[\"52:54:00:00:00:01\",\"52:54:00:00:00:02\"]},"
				  "{\"dev\":\"a-long-name\",\"vlan\":null,\"up\":false,"
				  "\"trunk\":[10,11,12,20,30,31],\"mac\":[]}]");
}

static const struct out_column columns[] = {{"dev", "DEV"},	{"vlan", "VLAN"}, {"up", "UP"},
					    {"trunk", "TRUNK"}, {"mac", "MAC"},	  {}};

static void table_as_text(void **state)
{
	capture_begin();
	out_table(sample(), columns);
	assert_string_equal(
		capture_end(),
		"DEV          VLAN  UP   TRUNK           MAC\n"
		"tap0         10    on   -               52:54:00:00:00:01,52:54:00:00:00:02\n"
		"a-long-name  -     off  10-12,20,30-31  -\n");
}

static void table_as_json(void **state)
{
	struct json_object *want = sample(), *got;

	out_options.json = true;
	capture_begin();
	out_table(sample(), columns);
	got = json_tokener_parse(capture_end());
	assert_true(json_object_equal(got, want));
	json_object_put(got);
	json_object_put(want);
}

static void an_empty_table(void **state)
{
	capture_begin();
	out_table(json_object_new_array(), columns);
	assert_string_equal(capture_end(), "DEV  VLAN  UP  TRUNK  MAC\n");
	out_options.json = true;
	capture_begin();
	out_table(json_object_new_array(), columns);
	assert_string_equal(capture_end(), "[]\n");
}

static void json_is_one_line_unless_pretty(void **state)
{
	const char *text;

	out_options.json = true;
	capture_begin();
	out_table(sample(), columns);
	text = capture_end();
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	out_options.pretty = true;
	capture_begin();
	out_table(sample(), columns);
	text = capture_end();
	assert_ptr_not_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void lines_leave_out_defaults(void **state)
{
	struct json_object *defaults = json_tokener_parse("{\"learning\":true,\"group\":0}");
	struct json_object *array = json_tokener_parse(
		"[{\"dev\":\"tap0\",\"learning\":true,\"isolated\":false,\"group\":0,\"vlan\":null},"
		"{\"dev\":\"tap1\",\"learning\":false,\"isolated\":true,\"group\":3,"
		"\"fdb_max\":9}]");

	capture_begin();
	out_lines(array, "dev", defaults);
	assert_string_equal(capture_end(),
			    "tap0\ntap1 learning off isolated on group 3 fdb-max 9\n");
}

static void lines_as_json_leave_out_nothing(void **state)
{
	struct json_object *got;

	out_options.json = true;
	capture_begin();
	out_lines(json_tokener_parse("[{\"dev\":\"tap0\",\"fdb_max\":0}]"), "dev",
		  json_tokener_parse("{\"fdb_max\":0}"));
	got = json_tokener_parse(capture_end());
	assert_true(json_object_is_type(got, json_type_array));
	assert_int_equal(json_object_array_length(got), 1);
	assert_true(json_object_object_get_ex(json_object_array_get_idx(got, 0), "fdb_max", NULL));
	json_object_put(got);
}

static void document_text(struct json_object *doc)
{
	printf("text of %s\n", json_object_get_string(doc));
}

static void documents(void **state)
{
	capture_begin();
	out_document(json_object_new_string("one"), document_text);
	assert_string_equal(capture_end(), "text of one\n");
	out_options.json = true;
	capture_begin();
	out_document(json_object_new_string("a/b"), document_text);
	assert_string_equal(capture_end(), "\"a/b\"\n");
}

static void a_batch_is_one_document(void **state)
{
	struct json_object *got;

	out_options.json = out_options.batch = true;
	capture_begin();
	out_table(sample(), columns);
	out_document(json_object_new_string("x"), document_text);
	out_end_batch();
	got = json_tokener_parse(capture_end());
	assert_int_equal(json_object_array_length(got), 2);
	json_object_put(got);
	capture_begin();
	out_end_batch();
	assert_string_equal(capture_end(), "[]\n");
}

static void rows_are_streamed(void **state)
{
	static const struct out_column cols[] = {{"a", "A"}, {"b", "B"}, {"c", "C"}, {}};
	static const int widths[] = {3, 5, 0};
	static const char *const rows[] = {"{\"a\":1,\"b\":\"xyz\",\"c\":null}",
					   "{\"a\":12345,\"b\":true,\"c\":\"z\"}"};
	struct json_object *got, *wanted;

	for (int mode = 0; mode < 3; mode++) {
		out_options.json = mode > 0;
		out_options.pretty = mode == 2;
		capture_begin();
		out_rows_begin(cols, widths);
		for (size_t i = 0; i < COUNT(rows); i++)
			out_row(json_tokener_parse(rows[i]));
		out_rows_end();
		if (!mode) {
			assert_string_equal(capture_end(), "A    B      C\n"
							   "1    xyz    -\n"
							   "12345  on     z\n");
			continue;
		}
		got = json_tokener_parse(capture_end());
		wanted = json_tokener_parse("[{\"a\":1,\"b\":\"xyz\",\"c\":null},"
					    "{\"a\":12345,\"b\":true,\"c\":\"z\"}]");
		assert_true(json_object_equal(got, wanted));
		json_object_put(got);
		json_object_put(wanted);
	}
}

static void strings(void **state)
{
	static const __u8 mac[6] = {0x52, 0x54, 0, 0xab, 0xcd, 0xef};
	struct json_object *o = out_mac(mac);

	assert_string_equal(json_object_get_string(o), "52:54:00:ab:cd:ef");
	json_object_put(o);
	assert_null(out_string(NULL));
	assert_null(out_string(""));
	o = out_string("x");
	assert_string_equal(json_object_get_string(o), "x");
	json_object_put(o);
}

/* ---- flows ---- */

/* A flow of a table's row. The first end is the one with the lower address. */
static struct flow a_flow(__u8 proto, const char *first, const char *second, __u8 flags)
{
	struct flow f = {.flags = flags, .state = FLOW_ESTABLISHED, .created = 100, .port = {1, 2}};
	const char *const ends[] = {first, second};
	struct prefix p;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(parse_prefix("end", ends[i], &p), 0);
		f.key.addr[i][0] = FLOW_IPV4;
		for (int at = 0; at < (p.family == 4 ? 4 : 16); at++) {
			__u64 *word = &f.key.addr[i][p.family == 4 ? 1 : at / 8];

			*word = (at % 8 ? *word : 0) | (__u64)p.addr[at] << (56 - at % 8 * 8);
		}
	}
	f.key.port[0] = 1000;
	f.key.port[1] = 2000;
	f.key.rest = FLOW_REST(proto, 4096, 30);
	f.packets[0] = 1;
	f.packets[1] = 1ULL << 40;
	f.bytes[0] = 5;
	f.bytes[1] = 6;
	return f;
}

static void flow_filters(void **state)
{
	/* Whether flows with these ends, opened by the first or the second one, fit. */
	static const struct {
		const char *src, *dst, *first, *second;
		bool fits, fits_second;
	} rows[] = {
		{NULL, NULL, "10.0.0.1", "10.0.0.2", true, true},
		{"10.0.0.1", NULL, "10.0.0.1", "10.0.0.2", true, false},
		{NULL, "10.0.0.1", "10.0.0.1", "10.0.0.2", false, true},
		{"10.0.0.0/31", "10.0.0.2", "10.0.0.1", "10.0.0.2", true, false},
		{"10.0.0.0/30", "10.0.0.0/30", "10.0.0.1", "10.0.0.2", true, true},
		{"10.0.0.0/24", NULL, "10.0.1.1", "10.0.2.1", false, false},
		{"0.0.0.0/0", NULL, "10.0.0.1", "10.0.0.2", true, true},
		{"128.0.0.0/1", NULL, "10.0.0.1", "200.0.0.2", false, true},
		{"0.0.0.0/0", NULL, "fd00::1", "fd00::2", false, false},
		{"::/0", NULL, "10.0.0.1", "10.0.0.2", false, false},
		{"8000::/1", NULL, "10.0.0.1", "10.0.0.2", false, false},
		{"::/0", NULL, "fd00::1", "fd00::2", true, true},
		{"fd00::2", NULL, "fd00::1", "fd00::2", false, true},
		{"fd00::/63", NULL, "fd00:0:0:1::1", "fd00:0:0:2::1", true, false},
		{"fd00::/64", NULL, "fd00:0:0:1::1", "fd00::1", false, true},
		{"fd00::/65", NULL, "fd00::1", "fd00::8000:0:0:1", true, false},
		{"::a00:1", NULL, "10.0.0.1", "10.0.0.2", false, false},
	};
	struct prefix p;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct flow f = a_flow(6, rows[i].first, rows[i].second, 0);
		struct flow_filter filter = {};

		if (rows[i].src && !parse_prefix("src", rows[i].src, &p))
			flow_filter_src(&filter, &p);
		if (rows[i].dst && !parse_prefix("dst", rows[i].dst, &p))
			flow_filter_dst(&filter, &p);
		assert_int_equal(flow_fits(&f, &filter), rows[i].fits);
		f.flags |= FLOW_SECOND;
		assert_int_equal(flow_fits(&f, &filter), rows[i].fits_second);
	}
}

static void flow_filters_by_place(void **state)
{
	struct flow f = a_flow(6, "10.0.0.1", "10.0.0.2", 0);

	assert_true(flow_fits(&f, &(struct flow_filter){.port = 1}));
	assert_true(flow_fits(&f, &(struct flow_filter){.port = 2}));
	assert_false(flow_fits(&f, &(struct flow_filter){.port = 3}));
	for (__u32 network = 1; network <= 4096; network += 4095)
		for (__u32 proto = 6; proto <= 7; proto++) {
			struct flow_filter filter = {
				.rest = FLOW_REST(proto, network, 0),
				.rest_mask = FLOW_REST_PROTO | FLOW_REST_NETWORK,
			};

			assert_int_equal(flow_fits(&f, &filter), network == 4096 && proto == 6);
		}
}

/* A flow as `flow show` has it, without what all rows of the table have. */
static void assert_flow(const struct flow *f, const char *wanted)
{
	char networks[NETWORK_MAX + 1][NETWORK_NAME_LEN] = {[4096] = "last"};
	char ports[PORT_MAX + 1][PORT_NAME_LEN] = {[1] = "one", [2] = "two"};
	struct names names = {networks, ports};
	struct json_object *o = flow_row(f, NULL, NULL, 160, 7, &names);
	static const char *const same[] = {"network", "nat_addr", "nat_port", "packets",
					   "bytes",   "age",	  "expires",  "vlan"};

	assert_string_equal(json_object_get_string(json_object_object_get(o, "network")), "last");
	assert_int_equal(json_object_get_int64(json_object_object_get(o, "packets")),
			 (1ULL << 40) + 1);
	assert_int_equal(json_object_get_int(json_object_object_get(o, "bytes")), 11);
	assert_int_equal(json_object_get_int(json_object_object_get(o, "age")), 60);
	assert_int_equal(json_object_get_int(json_object_object_get(o, "expires")), 7);
	assert_int_equal(json_object_get_int(json_object_object_get(o, "vlan")), 30);
	for (size_t i = 0; i < COUNT(same); i++) {
		assert_true(json_object_object_get_ex(o, same[i], NULL));
		json_object_object_del(o, same[i]);
	}
	assert_string_equal(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), wanted);
	json_object_put(o);
}

static void flow_rows(void **state)
{
	static const char *const states[] = {
		[FLOW_SYN_SENT] = "syn_sent", [FLOW_SYN_RECV] = "syn_recv",
		[FLOW_NEW] = "new",	      [FLOW_ESTABLISHED] = "established",
		[FLOW_FIN_WAIT] = "fin_wait", [FLOW_CLOSED] = "closed",
	};
	char wanted[256];
	struct flow f;

	f = a_flow(6, "10.0.0.1", "192.0.2.255", 0);
	assert_flow(&f, "{\"dev\":\"one\",\"proto\":\"tcp\",\"src\":\"10.0.0.1\",\"sport\":1000,"
			"\"dst\":\"192.0.2.255\",\"dport\":2000,\"state\":\"established\"}");
	f = a_flow(17, "10.0.0.1", "10.0.0.2", FLOW_SECOND);
	assert_flow(&f, "{\"dev\":\"two\",\"proto\":\"udp\",\"src\":\"10.0.0.2\",\"sport\":2000,"
			"\"dst\":\"10.0.0.1\",\"dport\":1000,\"state\":\"established\"}");
	f = a_flow(132, "fd00::1", "fd00:1::2", FLOW_DENIED);
	assert_flow(&f, "{\"dev\":\"one\",\"proto\":\"sctp\",\"src\":\"fd00::1\",\"sport\":1000,"
			"\"dst\":\"fd00:1::2\",\"dport\":2000,\"state\":\"denied\"}");
	f = a_flow(58, "fd00::1", "fd00:1::2", FLOW_SECOND);
	assert_flow(&f, "{\"dev\":\"two\",\"proto\":\"icmp6\",\"src\":\"fd00:1::2\",\"sport\":1000,"
			"\"dst\":\"fd00::1\",\"dport\":null,\"state\":\"established\"}");
	f = a_flow(47, "10.0.0.1", "10.0.0.2", 0);
	f.port[0] = 9; /* gone */
	assert_flow(&f, "{\"dev\":null,\"proto\":\"47\",\"src\":\"10.0.0.1\",\"sport\":null,"
			"\"dst\":\"10.0.0.2\",\"dport\":null,\"state\":\"established\"}");
	for (__u8 i = FLOW_SYN_SENT; i <= FLOW_CLOSED; i++) {
		f.state = i;
		snprintf(wanted, sizeof(wanted),
			 "{\"dev\":null,\"proto\":\"47\",\"src\":\"10.0.0.1\",\"sport\":null,"
			 "\"dst\":\"10.0.0.2\",\"dport\":null,\"state\":\"%s\"}",
			 states[i]);
		assert_flow(&f, wanted);
	}
}

/* ---- what both sides share ---- */

static void reasons(void **state)
{
	static const char *const text[] = {
#define X(id, name, help) name, help,
		DROP_REASONS(X) NOTES(X)
#undef X
	};

	assert_int_equal(COUNT(text) / 2, REASON_MAX - 1);
	assert_int_equal(NOTE_FDB_MOVED, REASON_DROPS_END);
	for (size_t i = 0; i < COUNT(text); i += 2) {
		assert_int_equal(strspn(text[i], "abcdefghijklmnopqrstuvwxyz0123456789_"),
				 strlen(text[i]));
		assert_true(strlen(text[i + 1]) > 10);
		for (size_t j = 0; j < i; j += 2)
			assert_string_not_equal(text[i], text[j]);
	}
}

/* The policy's fields are apart: what is put in comes out, and the rest is 0. */
static void policy_fields(void **state)
{
	union port_policy p = {.network = NETWORK_MAX, .pvid = 4094, .group = 255};

	assert_int_equal(p.network, NETWORK_MAX);
	assert_int_equal(p.pvid, 4094);
	assert_int_equal(p.group, 255);
	assert_int_equal(p.vlan_mode, VLAN_TRANSPARENT);
	assert_int_equal(p.uplink | p.isolated | p.learning | p.flood | p.mcast_flood |
				 p.bcast_flood | p.sticky | p.hairpin | p.mac_guard | p.xdp_tx |
				 p.offloads,
			 0);
	p = (union port_policy){.vlan_mode = VLAN_TRUNK};
	assert_int_equal(p.network | p.pvid | p.group, 0);
	assert_int_equal(p.vlan_mode, VLAN_TRUNK);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(args_are_taken_in_order),
		cmocka_unit_test(numbers),
		cmocka_unit_test(switches),
		cmocka_unit_test(times),
		cmocka_unit_test(vids),
		cmocka_unit_test(vid_lists),
		cmocka_unit_test(macs),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(protos),
		cmocka_unit_test(names),
		cmocka_unit_test(long_words_fit_the_message),
		cmocka_unit_test(errors),
		cmocka_unit_test(random_words),
		cmocka_unit_test_setup(table_as_text, plain),
		cmocka_unit_test_setup(table_as_json, plain),
		cmocka_unit_test_setup(an_empty_table, plain),
		cmocka_unit_test_setup(json_is_one_line_unless_pretty, plain),
		cmocka_unit_test_setup(lines_leave_out_defaults, plain),
		cmocka_unit_test_setup(lines_as_json_leave_out_nothing, plain),
		cmocka_unit_test_setup(documents, plain),
		cmocka_unit_test_setup(a_batch_is_one_document, plain),
		cmocka_unit_test_setup(rows_are_streamed, plain),
		cmocka_unit_test_setup(strings, plain),
		cmocka_unit_test(flow_filters),
		cmocka_unit_test(flow_filters_by_place),
		cmocka_unit_test(flow_rows),
		cmocka_unit_test(reasons),
		cmocka_unit_test(policy_fields),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
