// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * xdpctl: options, the command tables' dispatcher, help, batches, and the one place where
 * an error becomes a message and an exit status.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/libbpf.h>
#include <xdp/libxdp.h>
#include "cmd.h"
#include "file.h"

static const struct object *const objects[] = {
	&object_network, &object_port,	&object_fdb,	&object_acl,	&object_nat,
	&object_flow,	 &object_stats, &object_status, &object_detach,
};
#define OBJECTS (sizeof(objects) / sizeof(*objects))

/* ---- help ---- */

static void help_all(FILE *f)
{
	fputs("Usage: xdpctl [OPTIONS] OBJECT [COMMAND [ARGUMENTS]]\n\nObjects:\n", f);
	for (size_t i = 0; i < OBJECTS; i++)
		fprintf(f, "  %-9s %s\n", objects[i]->name, objects[i]->help);
	fputs("\nOptions:\n"
	      "  -j, --json        JSON on stdout; errors too, on stderr\n"
	      "  -p, --pretty      indent the JSON\n"
	      "  -n, --netns NAME  act in that network namespace\n"
	      "  -b, --batch FILE  read commands from FILE ('-': standard input), one a line\n"
	      "      --force       with -b: go on after an error\n"
	      "  -V, --version     -h, --help\n\n"
	      "xdpctl OBJECT help and xdpctl OBJECT COMMAND help tell more.\n",
	      f);
}

static void help_command(const struct object *o, const struct command *c)
{
	printf("Usage: xdpctl %s%s%s%s%s\n%s\n", o->name, *c->name ? " " : "", c->name,
	       *c->usage ? " " : "", c->usage, c->help);
}

static void help_object(const struct object *o)
{
	printf("%s: %s\n\n", o->name, o->help);
	for (const struct command *c = o->commands; c->name; c++)
		printf("  xdpctl %s%s%s%s%s\n", o->name, *c->name ? " " : "", c->name,
		       *c->usage ? " " : "", c->usage);
	if (o->details)
		printf("\n%s", o->details);
}

static bool is_help(const char *word)
{
	return !strcmp(word, "help") || !strcmp(word, "-h") || !strcmp(word, "--help");
}

/* ---- commands ---- */

/* Whether a command's name, of one word or two, begins n words. */
static bool begins(const struct command *c, int n, char **words)
{
	size_t first = strcspn(c->name, " ");

	if (!n || strlen(words[0]) != first || strncmp(c->name, words[0], first))
		return false;
	return !c->name[first] || (n > 1 && !strcmp(c->name + first + 1, words[1]));
}

static const struct command *find_command(const struct object *o, int n, char **words)
{
	for (const struct command *c = o->commands; c->name; c++)
		if (begins(c, n, words))
			return c;
	return NULL;
}

static int words_of(const struct command *c)
{
	return strchr(c->name, ' ') ? 2 : 1;
}

/* Words that begin the arguments of a `show` whose name was left out. */
static bool begins_show(const char *word)
{
	static const char *const words[] = {"dev", "network", "vlan", "in",
					    "out", "proto",   "src",  "dst"};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(word, words[i]))
			return true;
	return false;
}

static int unknown_command(const struct object *o, const char *word)
{
	char list[128] = "";
	size_t n = 0;

	for (const struct command *c = o->commands; c->name; c++)
		if (*c->name)
			n += snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "", c->name);
	return n ? usage("%s: unknown command \"%s\" (there is %s)", o->name, word, list)
		 : usage("%s: unexpected word \"%s\"", o->name, word);
}

/* Help for all commands whose first of two words this is. Returns whether there are any. */
static bool help_group(const struct object *o, const char *word, bool print)
{
	size_t n = strlen(word);
	bool any = false;

	for (const struct command *c = o->commands; c->name; c++) {
		if (strncmp(c->name, word, n) || c->name[n] != ' ')
			continue;
		if (print)
			help_command(o, c);
		any = true;
	}
	return any;
}

static const struct command *default_command(const struct object *o)
{
	static char *none[] = {""}, *show[] = {"show"};

	return find_command(o, 1, none) ?: find_command(o, 1, show);
}

static int run_object(const struct object *o, int n, char **words)
{
	const struct command *c = default_command(o);
	struct args args = {.what = o->name};
	char what[64];

	if (n && is_help(words[0])) {
		help_object(o);
		return 0;
	}
	if (n > 1 && is_help(words[1]) && help_group(o, words[0], true))
		return 0;
	if (n && *words[0] && find_command(o, n, words)) {
		c = find_command(o, n, words);
		words += words_of(c);
		n -= words_of(c);
		if (n && is_help(words[0])) {
			help_command(o, c);
			return 0;
		}
	} else if (n && (!*c->name || !begins_show(words[0]))) {
		return unknown_command(o, words[0]);
	}
	snprintf(what, sizeof(what), "%s%s%s", o->name, *c->name ? " " : "", c->name);
	args.what = what;
	args.n = n;
	args.v = words;
	return c->run(&args);
}

static const struct object *find_object(const char *word)
{
	for (size_t i = 0; i < OBJECTS; i++)
		if (!strcmp(objects[i]->name, word))
			return objects[i];
	return NULL;
}

static int unknown_object(const char *word)
{
	return usage(
		"unknown object \"%s\" (there is network, port, fdb, acl, nat, flow, stats, status, "
		"detach)",
		word);
}

static int run_words(int n, char **words)
{
	const struct object *o = find_object(words[0]);

	if (is_help(words[0])) {
		help_all(stdout);
		return 0;
	}
	return o ? run_object(o, n - 1, words + 1) : unknown_object(words[0]);
}

/* ---- errors and batches ---- */

/* Prints the message of a failed command. Returns the exit status. */
static int report(int err, unsigned int line)
{
	const char *code = err == -EUSAGE ? "EINVAL" : strerrorname_np(-err);
	const char *message = *err_message() ? err_message() : strerror(-err);
	struct json_object *o;
	char where[32] = "", text[600];

	fflush(stdout);
	if (line)
		snprintf(where, sizeof(where), "line %u: ", line);
	if (out_options.json) {
		snprintf(text, sizeof(text), "%s%s", where, message);
		o = json_object_new_object();
		json_object_object_add(o, "error", json_object_new_string(text));
		json_object_object_add(o, "code", json_object_new_string(code ? code : "EIO"));
		fprintf(stderr, "%s\n",
			json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
								  JSON_C_TO_STRING_NOSLASHESCAPE));
		json_object_put(o);
	} else {
		snprintf(text, sizeof(text), "%s", message);
		for (char *c = text; *c; c++) /* a word may hold anything: this is one line */
			if ((unsigned char)*c < ' ' || *c == 0x7f)
				*c = '?';
		fprintf(stderr, "xdpctl: %s%s\n", where, text);
	}
	err_clear();
	return err == -EUSAGE ? 2 : 1;
}

#define WORDS_MAX 128

/* Splits a line at blanks, up to a comment. Returns the number of words, -1: too many. */
static int split(char *line, char **words)
{
	char *save, *word;
	int n = 0;

	line[strcspn(line, "#")] = '\0';
	for (word = strtok_r(line, " \t\r\n", &save); word;
	     word = strtok_r(NULL, " \t\r\n", &save)) {
		if (n == WORDS_MAX)
			return -1;
		words[n++] = word;
	}
	return n;
}

static int run_batch(FILE *f, bool force)
{
	char *line = NULL, *words[WORDS_MAX];
	unsigned int number = 0;
	int status = 0, n, err;
	size_t size = 0;

	out_options.batch = true;
	while (getline(&line, &size, f) >= 0) {
		number++;
		n = split(line, words);
		if (!n)
			continue;
		err = n < 0 ? usage("more than %d words", WORDS_MAX) : run_words(n, words);
		if (!err)
			continue;
		status = report(err, number);
		if (!force)
			break;
		status = 1;
	}
	if (!status && ferror(f))
		status = report(fail(errno, "batch: cannot be read: %s", strerror(errno)), 0);
	free(line);
	out_end_batch();
	return status;
}

static FILE *open_batch(const char *file)
{
	FILE *f = strcmp(file, "-") ? fopen(file, "re") : stdin;

	if (!f)
		fail(errno, "batch %s: %s", file, strerror(errno));
	return f;
}

static int enter_netns(const char *name)
{
	char path[300];
	int fd;

	if (!*name || strchr(name, '/') || strlen(name) > 255)
		return usage("netns: \"%s\" is not a name", name);
	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(errno, "netns %s: %s", name, strerror(errno));
	if (setns(fd, CLONE_NEWNET)) {
		close(fd);
		return fail(errno, "netns %s: cannot be entered: %s", name, strerror(errno));
	}
	close(fd);
	return 0;
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return getenv("XDPCTL_DEBUG") ? vfprintf(stderr, fmt, ap) : 0;
}

static int quiet_xdp(enum libxdp_print_level level, const char *fmt, va_list ap)
{
	return getenv("XDPCTL_DEBUG") ? vfprintf(stderr, fmt, ap) : 0;
}

/* What the options ask for. */
struct options {
	const char *netns;
	const char *batch;
	bool force, version, help;
};

static int read_options(int argc, char **argv, struct options *o)
{
	enum { FORCE = 256 };
	static const struct option long_options[] = {
		{"json", no_argument, NULL, 'j'},	 {"pretty", no_argument, NULL, 'p'},
		{"netns", required_argument, NULL, 'n'}, {"batch", required_argument, NULL, 'b'},
		{"force", no_argument, NULL, FORCE},	 {"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},	 {},
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:jpn:b:Vh", long_options, NULL)) != -1) {
		switch (c) {
		case 'j':
			out_options.json = true;
			break;
		case 'p':
			out_options.pretty = true;
			break;
		case 'n':
			o->netns = optarg;
			break;
		case 'b':
			o->batch = optarg;
			break;
		case FORCE:
			o->force = true;
			break;
		case 'V':
			o->version = true;
			break;
		case 'h':
			o->help = true;
			break;
		case ':':
			return usage("option %s needs a value", argv[optind - 1]);
		default:
			return usage("unknown option \"%s\" (see xdpctl help)", argv[optind - 1]);
		}
	}
	return 0;
}

static int run(int argc, char **argv, const struct options *o)
{
	FILE *f = NULL;
	int err;

	/* Files are the caller's: opened before any namespace is entered. */
	if (o->batch) {
		f = open_batch(o->batch);
		if (!f)
			return report(-errno, 0);
		if (argc)
			return report(usage("\"%s\": commands come from the batch", argv[0]), 0);
	}
	if (geteuid())
		return report(fail(EPERM, "must be run as root"), 0);
	err = o->netns ? enter_netns(o->netns) : 0;
	err = err ?: state_init();
	if (err)
		return report(err, 0);
	if (f)
		return run_batch(f, o->force);
	err = run_words(argc, argv);
	return err ? report(err, 0) : 0;
}

/* Whether words ask for help: as the object, or right behind an object or command. */
static bool asks_for_help(int n, char **words)
{
	const struct object *o = n ? find_object(words[0]) : NULL;
	const struct command *c = o ? find_command(o, n - 1, words + 1) : NULL;

	if (n && is_help(words[0]))
		return true;
	if (o && n > 1 && is_help(words[1]))
		return true;
	if (o && n > 2 && is_help(words[2]) && help_group(o, words[1], false))
		return true;
	return c && n > 1 + words_of(c) && is_help(words[1 + words_of(c)]);
}

/* xdpctl -h [OBJECT [COMMAND]] */
static int option_help(int n, char **words)
{
	const struct object *o = n ? find_object(words[0]) : NULL;
	const struct command *c = o && n > 1 ? find_command(o, n - 1, words + 1) : NULL;

	if (n && !o && !is_help(words[0]))
		return unknown_object(words[0]);
	if (c)
		help_command(o, c);
	else if (o && n > 1 && help_group(o, words[1], true))
		return 0;
	else if (o)
		help_object(o);
	else
		help_all(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = {};
	int status = 0, err;

	libbpf_set_print(quiet);
	libxdp_set_print(quiet_xdp);
	file_init();
	err = read_options(argc, argv, &o);
	argc -= optind;
	argv += optind;
	if (err) {
		status = report(err, 0);
	} else if (o.version) {
		printf("xdpctl %s\n", state_version());
	} else if (o.help) {
		err = option_help(argc, argv);
		status = err ? report(err, 0) : 0;
	} else if (!argc && !o.batch) {
		if (!out_options.json)
			help_all(stderr);
		status = out_options.json ? report(usage("an object is missing"), 0) : 2;
	} else if (o.force && !o.batch) {
		status = report(usage("option --force needs -b"), 0);
	} else if (argc && asks_for_help(argc, argv) && !o.batch) {
		err = run_words(argc, argv); /* needs no root */
		status = err ? report(err, 0) : 0;
	} else {
		status = run(argc, argv, &o);
	}
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "xdpctl: standard output: %s\n", strerror(errno));
		status = status ?: 1;
	}
	return status;
}
