// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The message of the error that is on its way to main(). */
#include <stdarg.h>
#include <stdio.h>
#include "err.h"

static char message[512];

int fail(int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	return err < 0 ? err : -err;
}

int usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	return -EUSAGE;
}

void warn(const char *fmt, ...)
{
	va_list ap;

	fputs("xdpctl: warning: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

const char *err_message(void)
{
	return message;
}

void err_clear(void)
{
	message[0] = '\0';
}
