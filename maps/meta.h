/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What one namespace's data plane is, for the commands that find it. */
#ifndef MAPS_META_H
#define MAPS_META_H

#include <linux/types.h>

/* Raised with every change of a key or value type in maps/. */
#define MAPS_LAYOUT 4

struct meta {
	__u32 layout;
	__u32 ready; /* all maps and programs are pinned */
	__u32 dirty; /* a command changes things: the next one repairs if it died */
	__u32 next_order;
	__u64 netns; /* cookie of the network namespace */
	__u64 build; /* of the programs attached */
	char version[32];
};

#endif
