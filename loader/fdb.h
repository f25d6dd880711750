/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The forwarding database from the outside; the data path learns at the same time. */
#ifndef LOADER_FDB_H
#define LOADER_FDB_H

#include "state.h"

/* Called for each entry; a non-zero return ends the walk and is returned. */
typedef int (*fdb_visit)(struct state *s, const struct fdb_key *key, const struct fdb_entry *e,
			 void *data);
int fdb_foreach(struct state *s, fdb_visit visit, void *data);
/* Removes an entry and takes it out of the counts. Returns 0 or -ENOENT (no message). */
int fdb_remove(struct state *s, const struct fdb_key *key);
/*
 * Adds a static entry; a learned one gives way. Returns 0, -EEXIST when there is a static
 * one, -ENOSPC when the table is full (messages by the caller).
 */
int fdb_add_static(struct state *s, const struct fdb_key *key, __u32 port, __u8 flags);
/* Removes the learned entries of a port. */
int fdb_remove_learned(struct state *s, __u32 port);
/* Removes all entries of a port. */
int fdb_remove_port(struct state *s, __u32 port);
/* Makes the counts of entries right again, after a command died in between. */
int fdb_recount(struct state *s);
/* Seconds since an entry was used; 0 for a static one. */
__u32 fdb_age(const struct fdb_entry *e);
bool fdb_is_expired(struct state *s, const struct fdb_key *key, const struct fdb_entry *e);

#endif
