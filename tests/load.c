// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Every program of every object passes this kernel's verifier: each object as a whole, with
 * its maps, and then each program alone, so that one that is not wanted here (an extension
 * of libxdp's dispatcher is loaded as the program that it stands for) is seen as well.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "tap.h"
#include "tc.skel.h"
#include "xdp.skel.h"

/* Of what libbpf says: the verifier's reason is at the end of a long log. */
#define SHOWN 6000
static char last[16 << 20];

static int keep_message(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (level == LIBBPF_WARN) {
		size_t n = strlen(last);

		vsnprintf(last + n, sizeof(last) - n, fmt, ap);
	}
	return 0;
}

static void print_messages(void)
{
	size_t n = strlen(last);
	char *from = n > SHOWN ? strchr(last + n - SHOWN, '\n') : last;

	for (char *line = strtok(from, "\n"); line; line = strtok(NULL, "\n"))
		tap_fail("%s", line);
}

/* The program for veths asks for kfuncs of 6.2; xdpctl does without it before. */
static bool needs_newer_kernel(const char *name)
{
	struct utsname kernel;
	int major = 0, minor = 0;

	uname(&kernel);
	sscanf(kernel.release, "%d.%d", &major, &minor);
	return !strcmp(name, "xdpctl_xdp_veth") && major * 100 + minor < 602;
}

static void load(const char *object, const void *elf, size_t size, const char *only)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = object);
	struct bpf_object *obj = bpf_object__open_mem(elf, size, &opts);
	struct bpf_program *prog;
	int err;

	*last = '\0';
	if (libbpf_get_error(obj)) {
		tap_fail("cannot be opened: %s", strerror(errno));
		return;
	}
	bpf_object__for_each_program(prog, obj)
	{
		if (only ? strcmp(bpf_program__name(prog), only)
			 : needs_newer_kernel(bpf_program__name(prog)))
			bpf_program__set_autoload(prog, false);
	}
	err = bpf_object__load(obj);
	if (err) {
		tap_fail("refused: %s", strerror(-err));
		print_messages();
	} else {
		bpf_object__for_each_program(prog, obj)
		{
			struct bpf_prog_info info = {};
			__u32 len = sizeof(info);

			if (bpf_program__fd(prog) >= 0 &&
			    !bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len))
				tap_remark("%s: %u instructions, %u verified",
					   bpf_program__name(prog), info.xlated_prog_len / 8,
					   info.verified_insns);
		}
	}
	bpf_object__close(obj);
}

static void load_object(const char *name, const void *elf, size_t size)
{
	struct bpf_object *obj = bpf_object__open_mem(elf, size, NULL);
	struct bpf_program *prog;

	tap_begin("%s: the object loads", name);
	load(name, elf, size, NULL);
	tap_end();
	if (libbpf_get_error(obj))
		return;
	bpf_object__for_each_program(prog, obj)
	{
		tap_begin("%s: %s loads", name, bpf_program__name(prog));
		if (needs_newer_kernel(bpf_program__name(prog)))
			tap_skip("no bpf_cast_to_kern_ctx, bpf_rdonly_cast (6.2)");
		else
			load(name, elf, size, bpf_program__name(prog));
		tap_end();
	}
	bpf_object__close(obj);
}

int main(int argc, char **argv)
{
	struct utsname kernel;
	const void *elf;
	size_t size;

	uname(&kernel);
	tap_remark("kernel %s, libbpf %s", kernel.release, libbpf_version_string());
	libbpf_set_print(keep_message);
	elf = tc_bpf__elf_bytes(&size);
	load_object("tc", elf, size);
	elf = xdp_bpf__elf_bytes(&size);
	load_object("xdp", elf, size);
	return tap_done();
}
