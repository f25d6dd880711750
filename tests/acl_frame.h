/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Frames for what is matched against lists (struct acl_key), and rules as words: made from the
 * numbers, so that what reads them elsewhere is told nothing of how.
 */
#ifndef TESTS_ACL_FRAME_H
#define TESTS_ACL_FRAME_H

#include "acl_rules.h"
#include "frame.h"

#define ACL_MACS  3   /* that frames are from, and to */
#define ACL_WORDS 512 /* a rule's words fit */

#define ACL_VIDS  4
/* In the VLANs of these. */
extern const __u16 acl_frame_vids[ACL_VIDS];
/* The n-th address of each side. */
mac_t acl_frame_src(int n);
mac_t acl_frame_dst(int n);

/* Makes of a rule one that words can tell, nearly what it was. */
void acl_rule_settle(struct acl_rule *r);
/* How many bits of a packet it asks for, not counting ports. */
int acl_rule_bits(const struct acl_rule *r);
/* Its words, denying and logging what matches. */
void acl_rule_words(const struct acl_rule *r, char out[ACL_WORDS]);

/*
 * Makes of a key one that a frame without a connection has, nearly what it was; with the state
 * that such a frame is in.
 */
void acl_key_settle(struct acl_key *key, struct acl_random *random);
/* A frame with that key. Sizes, options and extension headers are as the seed says. */
void acl_frame_build(struct frame *f, const struct acl_key *key, __u64 seed);

#endif
