/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * One writer for text and JSON: a command builds JSON, and what it builds is printed as
 * it is or as a table.
 */
#ifndef LOADER_OUT_H
#define LOADER_OUT_H

#include <stdbool.h>
#include <json-c/json.h>
#include <linux/types.h>

struct out_options {
	bool json;
	bool pretty;
	bool batch; /* JSON documents are gathered into one array */
};
extern struct out_options out_options;

/* A column of a table: a key of the array's objects. */
struct out_column {
	const char *key;
	const char *title;
};

/* Prints an array of objects, as JSON or as a table, and frees it. */
void out_table(struct json_object *array, const struct out_column *columns);
/*
 * The same for a table that may be long: row after row, in columns of given widths. A row is
 * an object of single values, and is freed.
 */
void out_rows_begin(const struct out_column *columns, const int *widths);
void out_row(struct json_object *row);
void out_rows_end(void);
/*
 * Prints an array of objects, as JSON or a line each: the value of `key`, then the other
 * keys with their values, but those that are null, false or in `defaults` (an object of
 * the same keys, may be NULL; freed too). Frees it.
 */
void out_lines(struct json_object *array, const char *key, struct json_object *defaults);
/* Prints one JSON document, or calls text() to print it otherwise. Frees it. */
void out_document(struct json_object *doc, void (*text)(struct json_object *doc));
/* With -j and -b: prints what was gathered. */
void out_end_batch(void);

struct json_object *out_mac(const __u8 mac[6]);
/* A string, or null for NULL or "". */
struct json_object *out_string(const char *s);

#endif
