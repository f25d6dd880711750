// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Flows in words. */
#include <netinet/in.h>
#include "addr.h"
#include "flow_row.h"
#include "out.h"

/* ---- filters ---- */

static void filter_addr(__u64 *addr, __u64 *mask, const struct prefix *p)
{
	addr_pack(addr, p->family, p->addr);
	addr_mask(mask, p->family, p->len);
}

void flow_filter_src(struct flow_filter *f, const struct prefix *p)
{
	f->family = p->family;
	filter_addr(f->src, f->src_mask, p);
}

void flow_filter_dst(struct flow_filter *f, const struct prefix *p)
{
	f->family = p->family;
	filter_addr(f->dst, f->dst_mask, p);
}

/* ---- rows ---- */

static struct json_object *addr_json(const __u64 addr[2])
{
	char text[ADDR_TEXT];

	return json_object_new_string(addr_text(addr, text));
}

/* Ports where the protocol has them; of an ICMP echo, its identifier as the opening end's. */
static struct json_object *port_json(const struct flow *f, bool opener)
{
	bool second = f->flags & FLOW_SECOND;

	switch (f->key.rest >> 24) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		return json_object_new_int(f->key.port[opener == second]);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return opener ? json_object_new_int(f->key.port[0]) : NULL;
	default:
		return NULL;
	}
}

static const char *state_name(const struct flow *f)
{
	static const char *const names[] = {
		[FLOW_NONE] = "new",
		[FLOW_SYN_SENT] = "syn_sent",
		[FLOW_SYN_RECV] = "syn_recv",
		[FLOW_NEW] = "new",
		[FLOW_ESTABLISHED] = "established",
		[FLOW_FIN_WAIT] = "fin_wait",
		[FLOW_CLOSED] = "closed",
	};

	if (f->flags & FLOW_DENIED)
		return "denied";
	return f->state < sizeof(names) / sizeof(*names) ? names[f->state] : "new";
}

static void add_external(struct json_object *o, const struct flow *f, const struct nat_flow *nat,
			 const struct nat_addr *slots)
{
	bool known = nat && nat->addr < NAT_ADDRS && slots[nat->addr].ifindex;
	__u8 proto = f->key.rest >> 24;
	bool port = proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP ||
		    proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;

	json_object_object_add(o, "nat_addr", known ? addr_json(slots[nat->addr].addr) : NULL);
	json_object_object_add(o, "nat_port",
			       known && port ? json_object_new_int(nat->port) : NULL);
}

struct json_object *flow_row(const struct flow *f, const struct nat_flow *nat,
			     const struct nat_addr *slots, __u32 now, __u32 left,
			     const struct names *names)
{
	__u32 network = (f->key.rest >> 12 & 0xfff) + 1, src = f->flags & FLOW_SECOND ? 1 : 0;
	struct json_object *o = json_object_new_object();
	/* one that is translated is the VM's, whoever has opened it */
	__u16 dev = f->flags & FLOW_NAT ? f->owner : f->port[src];
	char proto[PROTO_TEXT];

	json_object_object_add(o, "network", out_string(names->networks[network]));
	json_object_object_add(o, "dev", dev <= PORT_MAX ? out_string(names->ports[dev]) : NULL);
	json_object_object_add(o, "proto",
			       json_object_new_string(proto_text(f->key.rest >> 24, proto)));
	json_object_object_add(o, "src", addr_json(f->key.addr[src]));
	json_object_object_add(o, "sport", port_json(f, true));
	json_object_object_add(o, "dst", addr_json(f->key.addr[!src]));
	json_object_object_add(o, "dport", port_json(f, false));
	add_external(o, f, nat, slots);
	json_object_object_add(o, "state", json_object_new_string(state_name(f)));
	json_object_object_add(o, "packets", json_object_new_uint64(f->packets[0] + f->packets[1]));
	json_object_object_add(o, "bytes", json_object_new_uint64(f->bytes[0] + f->bytes[1]));
	json_object_object_add(o, "age",
			       json_object_new_int64(now > f->created ? now - f->created : 0));
	json_object_object_add(o, "expires", json_object_new_int64(left));
	json_object_object_add(o, "vlan", json_object_new_int(f->key.rest & 0xfff));
	return o;
}
