/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A reader of capture files: the classic format of libpcap, of either byte order, Ethernet. */
#ifndef TESTS_PCAP_H
#define TESTS_PCAP_H

#include "frame.h"

/*
 * Appends the frames of a file to *frames, which has *n; frames of less than 14 octets are
 * filled up with zeros, longer ones than FRAME_MAX cut. Returns 0, -1 when it is no such file.
 */
int pcap_read(const char *path, struct frame **frames, size_t *n);

#endif
