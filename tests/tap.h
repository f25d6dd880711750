/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Test results as TAP lines on stdout: "ok N - name", and remarks as "# …". */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <stdbool.h>

#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

/* Begins a test; what tap_fail() says until tap_end() fails it. */
void tap_begin(const char *fmt, ...) PRINTF_LIKE(1, 2);
void tap_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* What is tried now, for the failures that follow. */
void tap_step(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Prints the result. Returns whether it passed. */
bool tap_end(void);
/* Ends a test that cannot run here; a tap_end() behind it does nothing. */
void tap_skip(const char *reason);
void tap_remark(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* The plan and a summary. Returns the exit status. */
int tap_done(void);

/* Fails the current test unless the condition holds. */
#define EXPECT(cond) ((cond) ? (void)0 : tap_fail("%s:%d: %s", __FILE__, __LINE__, #cond))

#endif
