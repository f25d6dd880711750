// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The reader of capture files: see pcap.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pcap.h"

#define MAGIC_US	  0xa1b2c3d4
#define MAGIC_NS	  0xa1b23c4d
#define LINKTYPE_ETHERNET 1

struct file_header {
	uint32_t magic, version, zone, accuracy, snaplen, linktype;
};

struct record_header {
	uint32_t seconds, fraction, len, original_len;
};

static int read_records(FILE *f, bool swapped, struct frame **frames, size_t *n)
{
	struct record_header r;

	while (fread(&r, sizeof(r), 1, f) == 1) {
		uint32_t len = swapped ? __builtin_bswap32(r.len) : r.len;
		struct frame *more, *frame;

		if (len > 1 << 20)
			return -1;
		more = realloc(*frames, (*n + 1) * sizeof(**frames));
		if (!more)
			return -1;
		*frames = more;
		frame = &more[*n];
		memset(frame, 0, sizeof(*frame));
		frame->len = len > FRAME_MAX ? FRAME_MAX : len;
		if (fread(frame->data, 1, frame->len, f) != frame->len)
			return 0; /* a file that is cut off */
		fseek(f, len - frame->len, SEEK_CUR);
		if (frame->len < 14)
			frame->len = 14;
		++*n;
	}
	return 0;
}

int pcap_read(const char *path, struct frame **frames, size_t *n)
{
	FILE *f = fopen(path, "re");
	struct file_header h;
	bool swapped;
	int err = -1;

	if (!f)
		return -1;
	if (fread(&h, sizeof(h), 1, f) == 1) {
		swapped = h.magic != MAGIC_US && h.magic != MAGIC_NS;
		if (swapped) {
			h.magic = __builtin_bswap32(h.magic);
			h.linktype = __builtin_bswap32(h.linktype);
		}
		/* above: flags about the FCS */
		if ((h.magic == MAGIC_US || h.magic == MAGIC_NS) &&
		    (h.linktype & 0xffffff) == LINKTYPE_ETHERNET)
			err = read_records(f, swapped, frames, n);
	}
	fclose(f);
	return err;
}
