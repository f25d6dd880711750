// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Test results as TAP lines: see tap.h. */
#include <stdarg.h>
#include <stdio.h>
#include "tap.h"

static char name[200], step[200];
static unsigned int count, failed, skipped, remarks;
static bool was_skipped;

void tap_begin(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	remarks = 0;
	was_skipped = false;
	*step = '\0';
}

void tap_step(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(step, sizeof(step), fmt, ap);
	va_end(ap);
}

void tap_fail(const char *fmt, ...)
{
	va_list ap;

	if (!remarks++)
		printf("not ok %u - %s\n", ++count, name);
	va_start(ap, fmt);
	printf("#   %s%s", step, *step ? ": " : "");
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
	fflush(stdout);
}

bool tap_end(void)
{
	if (was_skipped)
		return true;
	if (remarks)
		failed++;
	else
		printf("ok %u - %s\n", ++count, name);
	fflush(stdout);
	return !remarks;
}

void tap_skip(const char *reason)
{
	printf("ok %u - %s # SKIP %s\n", ++count, name, reason);
	skipped++;
	was_skipped = true;
}

void tap_remark(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("# ");
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
	fflush(stdout);
}

int tap_done(void)
{
	printf("1..%u\n# %u passed, %u failed, %u skipped\n", count, count - failed - skipped,
	       failed, skipped);
	fflush(stdout);
	return failed ? 1 : 0;
}
