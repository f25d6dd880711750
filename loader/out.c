// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* One writer for text and JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "out.h"

struct out_options out_options;
static struct json_object *gathered;

static const char *json_text(struct json_object *doc)
{
	int flags = JSON_C_TO_STRING_NOSLASHESCAPE;

	flags |= out_options.pretty ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED
				    : JSON_C_TO_STRING_PLAIN;
	return json_object_to_json_string_ext(doc, flags);
}

static void print_json(struct json_object *doc)
{
	puts(json_text(doc));
	json_object_put(doc);
}

static void json_document(struct json_object *doc)
{
	if (!out_options.batch) {
		print_json(doc);
		return;
	}
	if (!gathered)
		gathered = json_object_new_array();
	json_object_array_add(gathered, doc);
}

void out_end_batch(void)
{
	if (out_options.json)
		print_json(gathered ? gathered : json_object_new_array());
	gathered = NULL;
}

struct json_object *out_mac(const __u8 mac[6])
{
	char s[18];

	snprintf(s, sizeof(s), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
		 mac[4], mac[5]);
	return json_object_new_string(s);
}

struct json_object *out_string(const char *s)
{
	return s && *s ? json_object_new_string(s) : NULL;
}

/* A single value as one would type it; the object's own. */
static const char *plain_text(struct json_object *v)
{
	switch (json_object_get_type(v)) {
	case json_type_null:
		return "-";
	case json_type_boolean:
		return json_object_get_boolean(v) ? "on" : "off";
	default:
		return json_object_get_string(v);
	}
}

/* Writes a value as one would type it; runs of numbers as a-b. */
static void print_value(FILE *f, struct json_object *v)
{
	size_t n, i, last;

	if (!json_object_is_type(v, json_type_array)) {
		fputs(plain_text(v), f);
		return;
	}
	n = json_object_array_length(v);
	for (i = 0; i < n; i = last + 1) {
		struct json_object *e = json_object_array_get_idx(v, i);

		for (last = i; json_object_is_type(e, json_type_int) && last + 1 < n &&
			       json_object_get_int64(json_object_array_get_idx(v, last + 1)) ==
				       json_object_get_int64(e) + (int64_t)(last + 1 - i);)
			last++;
		if (i)
			fputc(',', f);
		print_value(f, e);
		if (last > i)
			fprintf(f, "-%s",
				json_object_get_string(json_object_array_get_idx(v, last)));
	}
	if (!n)
		fputs("-", f);
}

static char *value_text(struct json_object *v)
{
	char *s = NULL;
	size_t n;
	FILE *f = open_memstream(&s, &n);

	if (!f)
		return NULL;
	print_value(f, v);
	fclose(f);
	return s;
}

#define COLUMNS_MAX 16

static void table_text(struct json_object *array, const struct out_column *columns)
{
	size_t rows = json_object_array_length(array), width[COLUMNS_MAX], n = 0;

	for (; columns[n].key; n++) {
		width[n] = strlen(columns[n].title);
		for (size_t r = 0; r < rows; r++) {
			struct json_object *o = json_object_array_get_idx(array, r);
			char *s = value_text(json_object_object_get(o, columns[n].key));

			if (s && strlen(s) > width[n])
				width[n] = strlen(s);
			free(s);
		}
		printf("%-*s%s", columns[n + 1].key ? (int)width[n] : 0, columns[n].title,
		       columns[n + 1].key ? "  " : "\n");
	}
	for (size_t r = 0; r < rows; r++) {
		struct json_object *o = json_object_array_get_idx(array, r);

		for (size_t c = 0; c < n; c++) {
			char *s = value_text(json_object_object_get(o, columns[c].key));

			printf("%-*s%s", c + 1 < n ? (int)width[c] : 0, s ? s : "",
			       c + 1 < n ? "  " : "\n");
			free(s);
		}
	}
}

void out_table(struct json_object *array, const struct out_column *columns)
{
	if (out_options.json) {
		json_document(array);
		return;
	}
	table_text(array, columns);
	json_object_put(array);
}

static struct {
	const struct out_column *columns;
	const int *widths;
	struct json_object *array; /* in a batch: part of one document */
	size_t n;
} rows;

void out_rows_begin(const struct out_column *columns, const int *widths)
{
	rows.columns = columns;
	rows.widths = widths;
	rows.n = 0;
	rows.array = NULL;
	if (out_options.json && out_options.batch)
		rows.array = json_object_new_array();
	for (size_t i = 0; !out_options.json && columns[i].key; i++)
		printf("%-*s%s", widths[i], columns[i].title, columns[i + 1].key ? "  " : "\n");
	if (out_options.json && !rows.array)
		putchar('[');
}

void out_row(struct json_object *row)
{
	if (rows.array) {
		json_object_array_add(rows.array, row);
		return;
	}
	if (out_options.json) {
		printf("%s%s", rows.n++ ? "," : "", json_text(row));
	} else {
		for (size_t i = 0; rows.columns[i].key; i++)
			printf("%-*s%s", rows.widths[i],
			       plain_text(json_object_object_get(row, rows.columns[i].key)),
			       rows.columns[i + 1].key ? "  " : "\n");
	}
	json_object_put(row);
}

void out_rows_end(void)
{
	if (rows.array)
		json_document(rows.array);
	else if (out_options.json)
		puts("]");
	rows.array = NULL;
}

static bool is_default(struct json_object *v, struct json_object *defaults, const char *key)
{
	struct json_object *d;

	if (!v)
		return true;
	if (json_object_object_get_ex(defaults, key, &d))
		return json_object_equal(v, d);
	return json_object_is_type(v, json_type_boolean) && !json_object_get_boolean(v);
}

void out_lines(struct json_object *array, const char *key, struct json_object *defaults)
{
	if (out_options.json) {
		json_object_put(defaults);
		json_document(array);
		return;
	}
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *o = json_object_array_get_idx(array, i);

		print_value(stdout, json_object_object_get(o, key));
		json_object_object_foreach(o, k, v)
		{
			char word[64];

			if (!strcmp(k, key) || is_default(v, defaults, k))
				continue;
			snprintf(word, sizeof(word), "%s", k);
			for (char *c = word; *c; c++)
				*c = *c == '_' ? '-' : *c;
			printf(" %s ", word);
			print_value(stdout, v);
		}
		putchar('\n');
	}
	json_object_put(defaults);
	json_object_put(array);
}

void out_document(struct json_object *doc, void (*text)(struct json_object *doc))
{
	if (out_options.json) {
		json_document(doc);
		return;
	}
	text(doc);
	json_object_put(doc);
}
