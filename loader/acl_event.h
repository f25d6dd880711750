/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Events of rules with `log`, as JSON and as text. Knows no map and no kernel. */
#ifndef LOADER_ACL_EVENT_H
#define LOADER_ACL_EVENT_H

#include <json-c/json.h>
#include "../maps/acl.h"

/* An event as JSON. dev: its port's device; network: the name of the list's, NULL: a port's. */
struct json_object *acl_event_json(const struct acl_event *e, const char *dev, const char *network);
/* The same as a line of text, without its end; the caller's to free. NULL: out of memory. */
char *acl_event_text(struct json_object *event);

#endif
