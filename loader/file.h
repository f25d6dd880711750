/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Files that the command line names: they are the caller's, whatever is entered meanwhile. */
#ifndef LOADER_FILE_H
#define LOADER_FILE_H

#include <stddef.h>

/* Remembers where the caller is. Call once, before any namespace is entered. */
void file_init(void);
/*
 * Reads a whole file ("-": standard input); *text is the caller's to free, has *size octets and
 * a '\0' behind them. Fails with EFBIG above 64 MiB.
 */
int file_read(const char *name, char **text, size_t *size);

#endif
