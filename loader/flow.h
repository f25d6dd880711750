/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Connections from the outside: their tables, which only programs in the kernel change. */
#ifndef LOADER_FLOW_H
#define LOADER_FLOW_H

#include "state.h"

/*
 * Makes the tables where there are none, and their pins: to be called before a port's
 * connections are tracked (struct port_policy.track). Takes some 200 MB of kernel memory.
 */
int flow_tables_make(struct state *s);

#endif
