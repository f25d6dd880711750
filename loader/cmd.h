/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The objects of the command line: each in its own file, as a table of commands. */
#ifndef LOADER_CMD_H
#define LOADER_CMD_H

#include "err.h"
#include "out.h"
#include "parse.h"
#include "state.h"

struct command {
	const char *name;
	int (*run)(struct args *args); /* 0, -errno or -EUSAGE, with a message */
	const char *usage;	       /* the words after the command */
	const char *help;	       /* what it does, one line or more */
};

struct object {
	const char *name;
	const struct command *commands; /* "" runs without a command word; ends with NULL */
	const char *help;		/* one line */
	const char *details;		/* keys and values, may be NULL */
};

extern const struct object object_network, object_port, object_fdb, object_acl, object_nat,
	object_flow, object_stats, object_status, object_detach;

#endif
