/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The tests of the short way: what short_way.c runs. Each prints its own results. */
#ifndef TESTS_SHORT_WAY_H
#define TESTS_SHORT_WAY_H

#include "short_lab.h"

/* Sequences of segments at random: the short way and the whole one make the same of them. */
void short_sequences(enum lab_hook hook, __u64 seed, double seconds);

#endif
