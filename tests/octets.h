/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What builders of frames share: numbers as octets, and the sum of octets (RFC 1071). */
#ifndef TESTS_OCTETS_H
#define TESTS_OCTETS_H

#include <assert.h>
#include "frame.h"

static inline void put8(struct frame *f, uint8_t v)
{
	assert(f->len < FRAME_MAX);
	f->data[f->len++] = v;
}

static inline void put16(struct frame *f, uint16_t v)
{
	put8(f, v >> 8);
	put8(f, v);
}

static inline void put32(struct frame *f, uint32_t v)
{
	put16(f, v >> 16);
	put16(f, v);
}

static inline void put_mac(struct frame *f, mac_t mac)
{
	put16(f, mac >> 32);
	put32(f, mac);
}

/* Octets that count up, to a frame of `end` octets. */
static inline void fill(struct frame *f, size_t end)
{
	for (uint8_t n = 0; f->len < end; n++)
		put8(f, n);
}

static inline void set16(struct frame *f, size_t at, uint16_t v)
{
	f->data[at] = v >> 8;
	f->data[at + 1] = v;
}

static inline uint32_t sum(const uint8_t *p, size_t n)
{
	uint32_t s = 0;

	for (size_t i = 0; i < n; i++)
		s += i % 2 ? p[i] : p[i] << 8;
	return s;
}

static inline uint16_t fold(uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

#endif
