/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Errors. A function that fails says why once, where it knows most, and returns the
 * negative errno that fail() gives it; those above only pass it on. main() prints.
 */
#ifndef LOADER_ERR_H
#define LOADER_ERR_H

/* What usage() returns: the command line itself is wrong (exit status 2). */
#define EUSAGE	     4095

#define PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Keeps the message for main(). Returns -err. */
int fail(int err, const char *fmt, ...) PRINTF(2, 3);
/* Likewise, returns -EUSAGE. */
int usage(const char *fmt, ...) PRINTF(1, 2);
/* Something that the user should know but that stops nothing, on stderr. */
void warn(const char *fmt, ...) PRINTF(1, 2);

const char *err_message(void);
void err_clear(void);

#endif
