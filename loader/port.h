/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Ports and networks, as the commands and the repair see them. struct port_info and
 * network_info are what is remembered; everything that the data path reads is derived
 * from them, and can be derived again.
 */
#ifndef LOADER_PORT_H
#define LOADER_PORT_H

#include "state.h"

struct port_entry {
	__u32 id;
	struct port_info info;
};
struct network_entry {
	__u32 id;
	struct network_info info;
};
struct port_list {
	__u32 n;
	struct port_entry *at;
};
struct network_list {
	__u32 n;
	struct network_entry *at;
};

/* All ports or networks, oldest first; empty without a data plane. Free with …_free(). */
int port_list(struct state *s, struct port_list *out);
int network_list(struct state *s, struct network_list *out);
void port_list_free(struct port_list *l);
void network_list_free(struct network_list *l);

/* By name. Returns 0, or -ENOENT with a message. */
int port_find(struct state *s, const char *dev, __u32 *id, struct port_info *info);
/* The same, of a port that users know: the host's device in a network of its own is refused. */
int port_find_settable(struct state *s, const char *dev, __u32 *id, struct port_info *info);
int network_find(struct state *s, const char *name, __u32 *id, struct network_info *info);
/* By id; "?" when it is gone. */
const char *network_name(struct state *s, __u32 id, struct network_info *buf);
const char *port_name(struct state *s, __u32 id, struct port_info *buf);

/* All names by id, for tables of many rows; "" where there is none. Free with names_free(). */
struct names {
	char (*networks)[NETWORK_NAME_LEN]; /* [NETWORK_MAX + 1] */
	char (*ports)[PORT_NAME_LEN];	    /* [PORT_MAX + 1] */
};
int names_read(struct state *s, struct names *out);
void names_free(struct names *n);

/* The settings of a new port. */
void port_defaults(struct port_info *info, const char *dev, __u32 network, bool uplink);
/* Whether a port may do what a switch says whose default depends on mac and ip (enum port_may). */
bool port_may(const struct port_info *info, __u8 setting);
/* How many address prefixes the guard has for a port: `ip`, and what `mac` gives. */
int port_prefixes(const struct port_info *info);
/* What judges the port's packets has changed: live connections are judged anew. */
void port_judge_anew(struct state *s, __u32 id);
/* Adds a port with the settings of *info to its network; *id: its id. All or nothing. */
int port_create(struct state *s, struct port_info *info, __u32 *id);
/* Changes a port's settings from *old to *new. All or nothing. */
int port_change(struct state *s, __u32 id, const struct port_info *old, struct port_info *new);
/* An uplink gets another role: the network's, or (nat_only) that of NAT networks alone. */
int port_move(struct state *s, __u32 id, const struct port_info *old, struct port_info *new);
/* Removes what port_create() made, keeping the message of the error that asks for it. */
void port_undo(struct state *s, __u32 id);
/* Writes again what the data path reads of a port. */
int port_derive(struct state *s, __u32 id);
/* Removes a port; its device may be gone. */
int port_remove(struct state *s, __u32 id, struct port_info *info);
/* Notes what is about to be changed at a port's device (PORT_SET_…). */
int port_remember_changed(struct state *s, __u32 id, __u8 changed);
/* After a data plane was opened: finishes or undoes what a dead command left. */
int port_repair(struct state *s);
/* Looks at each port's device: gone, back, renamed, another MTU or address. */
int port_refresh(struct state *s);

int network_create(struct state *s, struct network_info *info, __u32 *id);
/* Applies *info, also to the data path. */
int network_apply(struct state *s, __u32 id, const struct network_info *info);
int network_remove(struct state *s, __u32 id, struct network_info *info);

/*
 * Derives what follows for a network from all its ports' policies: whether link-local frames stop
 * here (802.1Q, 8.6.3; some port knows VLANs), and whether connections are tracked.
 */
void network_awareness(struct state *s, __u32 network);

#endif
