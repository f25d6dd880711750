/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The tables of connections (maps/flow.h) of the switch in the lab, as they lie in memory. */
#ifndef TESTS_FLOWS_H
#define TESTS_FLOWS_H

#include "../maps/flow.h"

/*
 * The next bucket that is not empty, first of the connections that were not answered, then of the
 * others; NULL: there is none. after: the one before it, or NULL.
 */
struct flow_bucket *flows_next(const struct flow_bucket *after);

#endif
