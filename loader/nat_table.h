/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The tables beside those of flows (maps/nat.h): each flow's external endpoint. */
#ifndef LOADER_NAT_TABLE_H
#define LOADER_NAT_TABLE_H

#include "state.h"

/* Makes the tables where there are none, and their pins; after flow_tables_make(). */
int nat_tables_make(struct state *s);
/* Maps them for reading: beside `flows`, beside `flows_opening`; NULL stays where none is. */
int nat_tables_map(const struct state *s, const struct nat_bucket *out[2]);
void nat_tables_unmap(const struct nat_bucket *at[2]);

#endif
