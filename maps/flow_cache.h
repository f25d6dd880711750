/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Where connections were found lately, per CPU. A hint says where to look and nothing else: the
 * flow itself says whose packets may pass (bpf/flow_cache.h). One that is of the decision cache's
 * current generation also says that the flow's time was looked at, and renewed, since that began.
 */
#ifndef MAPS_FLOW_CACHE_H
#define MAPS_FLOW_CACHE_H

#include <linux/types.h>

#define FLOW_HINTS 8192 /* of a CPU, a power of two */

/* One word, so that it is read and written at once: generation 32 | tag 11 | way 4 | bucket 17. */
struct flow_hint {
	__u64 word;
};
#define FLOW_HINT_WAY	 17
#define FLOW_HINT_TAG	 21
#define FLOW_HINT_TAGS	 0x7ff
#define FLOW_HINT_PLACE	 ((1 << FLOW_HINT_TAG) - 1)
#define FLOW_HINT_BUCKET ((1 << FLOW_HINT_WAY) - 1)

#endif
