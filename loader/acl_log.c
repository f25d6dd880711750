// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What rules with `log` tell, as it happens. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "acl_event.h"
#include "acl_log.h"
#include "err.h"
#include "out.h"
#include "port.h"

#define POLL_MS 1000 /* how soon the end of the data plane is noticed */

static volatile sig_atomic_t interrupted;

static void interrupt(int sig)
{
	interrupted = 1;
}

struct following {
	struct state *s;
	const struct acl_log_filter *filter;
};

static int print_event(void *ctx, void *data, size_t size)
{
	const struct following *f = ctx;
	const struct acl_event *e = data;
	struct network_info network;
	struct port_info port = {};
	struct json_object *o;
	const char *dev;
	char *text;

	if (size < sizeof(*e) || interrupted)
		return 0;
	dev = port_name(f->s, e->port, &port);
	if ((f->filter->port && f->filter->port != e->port) ||
	    (f->filter->network && f->filter->network != port.network) ||
	    (f->filter->direction >= 0 && f->filter->direction != e->direction))
		return 0;
	o = acl_event_json(e, dev, e->network ? network_name(f->s, e->network, &network) : NULL);
	if (out_options.json) {
		puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							       JSON_C_TO_STRING_NOSLASHESCAPE));
	} else {
		text = acl_event_text(o);
		puts(text ? text : "?");
		free(text);
	}
	json_object_put(o);
	return 0;
}

int acl_log_follow(struct state *s, const struct acl_log_filter *filter)
{
	const struct sigaction action = {.sa_handler = interrupt};
	struct following f = {s, filter};
	struct ring_buffer *ring;
	int err = 0;

	ring = ring_buffer__new(s->maps[MAP_ACL_EVENTS], print_event, &f, NULL);
	if (!ring)
		err = fail(errno, "acl log: events cannot be read: %s", strerror(errno));
	state_unlock(s);
	if (err)
		return err;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	while (!interrupted && err >= 0 && __atomic_load_n(&s->meta->ready, __ATOMIC_ACQUIRE)) {
		err = ring_buffer__poll(ring, POLL_MS);
		if (err == -EINTR)
			err = 0;
		if (fflush(stdout)) /* main() says so */
			break;
	}
	ring_buffer__free(ring);
	return err < 0 ? fail(err, "acl log: events cannot be read: %s", strerror(-err)) : 0;
}
