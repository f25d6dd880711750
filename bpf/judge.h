/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Stage judge: whether lists, policies and connections let a packet from one port to another.
 *
 * A packet of a connection that is known takes the verdict that the connection has, until a
 * port's lists change (struct port.judged): then the connection is judged anew. Any other
 * packet is judged by the sender's lists (out), then by the receiver's (in), and opens a
 * connection if it may. Where nothing judges (port_policy.track), nothing of this happens.
 *
 * Results are enum reason; JUDGE_UPPER leaves the packet to the next hook.
 */
#ifndef BPF_JUDGE_H
#define BPF_JUDGE_H

#include "acl.h"
#include "acl_match.h"
#include "flow.h"
#include "frag.h"
#include "nat_quote.h"

#define JUDGE_ASK   0x200 /* lists have to be asked */
#define JUDGE_UPPER 0x100 /* XDP can neither answer what is rejected, nor keep a fragment */

/* What lists are asked for (l3.ask). */
enum judge_ask {
	JUDGE_NOTHING,	   /* they are not */
	JUDGE_ONLY,	   /* the packet has no connection, and opens none */
	JUDGE_OPEN,	   /* it opens one */
	JUDGE_RENEW,	   /* its connection is judged anew */
	JUDGE_RENEW_REPLY, /* likewise, and l3 is reversed: the packet is from the other end */
};

#define ICMP6_NEIGHBOUR_SOLICITATION  135
#define ICMP6_NEIGHBOUR_ADVERTISEMENT 136

/* ---- lists ---- */

/* Address resolution: what a deny policy lets pass. */
static __always_inline bool judge_resolves(const struct l3 *l)
{
	return l->ethertype == ETH_P_ARP || (l->proto == IPPROTO_ICMPV6 && l->flags & L3_HAS_L4 &&
					     (l->type == ICMP6_NEIGHBOUR_SOLICITATION ||
					      l->type == ICMP6_NEIGHBOUR_ADVERTISEMENT));
}

/*
 * What one port says of the packet in a direction: its list, its network's list, its policy.
 * Leaves the rule in l3.result and l3.list. Returns an enum acl_action; ACL_NONE: it may pass.
 */
static __always_inline int judge_side(struct l3 *l, __u32 place, __u32 port_id, __u32 direction)
{
	struct port *port = bpf_map_lookup_elem(&ports, &port_id);
	bool in = direction == ACL_IN;
	union port_policy policy;
	__u64 result = 0;
	__u32 list = 0;

	if (!port)
		return ACL_NONE;
	policy = port_policy(port);
	if (in ? policy.list_in : policy.list_out) {
		list = ACL_PORT_LIST(port_id, direction);
		result = acl_match(list, place);
	}
	if (!result && (in ? policy.net_list_in : policy.net_list_out)) {
		list = ACL_NETWORK_LIST((__u32)policy.network, direction);
		result = acl_match(list, place);
	}
	l->result[direction] = result;
	l->list[direction] = list;
	if (result)
		return ACL_RESULT_ACTION(result);
	return (in ? policy.deny_in : policy.deny_out) && !judge_resolves(l) ? ACL_DENY : ACL_NONE;
}

/* Counts and logs what a rule has decided. */
static __always_inline void judge_commit(struct l3 *l, __u32 place, __u32 direction)
{
	__u64 result = l->result[direction];

	if (!result)
		return;
	acl_count(ACL_RESULT_COUNTER(result), l->len);
	if (ACL_RESULT_LOG(result))
		acl_log(place, direction);
}

/* What opened a connection like the packet's: its flags, or its type. */
static __always_inline __u32 judge_opener(const struct l3 *l)
{
	switch (l->proto) {
	case IPPROTO_TCP:
		return TCP_SYN;
	case IPPROTO_ICMP:
		return ICMP_ECHO_REQUEST;
	case IPPROTO_ICMPV6:
		return ICMP6_ECHO_REQUEST;
	default:
		return 0;
	}
}

/* A refusal's reason: of a rule, or of a policy. */
static __always_inline int judge_reason(int action, __u64 result)
{
	if (action == ACL_REJECT)
		return DROP_ACL_REJECT;
	return result ? DROP_ACL_DENY : DROP_POLICY_DENY;
}

/*
 * Both sides' opinion of the packet, as l3.ask says. A live connection is asked for twice, as
 * what it is and, if that is refused, as what it began with (again). Returns REASON_NONE or why
 * not. Rules count what they decided, unless it is left to TC or asked for again.
 */
__noinline int judge_lists(__u32 place, __u32 again)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	int out = ACL_NONE, in = ACL_NONE, action;

	if (!l)
		return DROP_NO_MEMORY;
	l->key.misc =
		(l->key.misc & ~ACL_MISC_STATE_MASK) | ACL_MISC_STATE(again ? ACL_NEW : l->state);
	if (again)
		l->key.misc = (l->key.misc & ~ACL_MISC_L4_MASK) | ACL_MISC_L4(judge_opener(l));
	l->result[ACL_IN] = l->result[ACL_OUT] = 0;
	if (!l->from_host)
		out = judge_side(l, place, l->in_id, ACL_OUT);
	if (out < ACL_DENY && !l->to_host && l->out_id)
		in = judge_side(l, place, l->out_id, ACL_IN);
	action = out >= ACL_DENY ? out : in;
	if (action >= ACL_DENY && !again && l->ask >= JUDGE_RENEW)
		return DROP_ACL_DENY;
	if (action == ACL_REJECT && !HOOK_ANSWERS)
		return JUDGE_UPPER;
	judge_commit(l, place, ACL_OUT);
	judge_commit(l, place, ACL_IN);
	if (action < ACL_DENY)
		return REASON_NONE;
	return judge_reason(action, l->result[out >= ACL_DENY ? ACL_OUT : ACL_IN]);
}

/* The packet, as the other end would send it: what lists are asked about its connection. */
static __always_inline void judge_reverse(struct l3 *l)
{
	__u64 macs = (l->key.src_mac ^ l->key.dst_mac) & ACL_MAC_MASK, a, b;
	__u32 id = l->in_id;
	__u16 port = l->key.sport;
	__u8 host = l->from_host;

	a = l->key.src[0];
	b = l->key.src[1];
	l->key.src[0] = l->key.dst[0];
	l->key.src[1] = l->key.dst[1];
	l->key.dst[0] = a;
	l->key.dst[1] = b;
	l->key.src_mac ^= macs;
	l->key.dst_mac ^= macs;
	l->key.sport = l->key.dport;
	l->key.dport = port;
	l->in_id = l->out_id;
	l->out_id = id;
	l->from_host = l->to_host;
	l->to_host = host;
}

/* ---- opening ---- */

/* TCP segments that belong to no connection and open none (others count as its middle). */
static __always_inline bool judge_opens(const struct l3 *l)
{
	if (l->proto == IPPROTO_TCP) {
		__u8 flags = l->type & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN);

		return flags == TCP_SYN || flags == TCP_ACK || flags == (TCP_ACK | TCP_FIN);
	}
	if (flow_icmp(l))
		return l->type == (l->family == 4 ? ICMP_ECHO_REQUEST : ICMP6_ECHO_REQUEST);
	return true;
}

/* A port's generation of what judges it. */
static __always_inline __u32 judge_generation(__u32 id)
{
	struct port *port = bpf_map_lookup_elem(&ports, &id);

	return port ? READ_ONCE(port->judged) : 0;
}

/* The port that a connection counts for: the VM's that opened it, else that of the other end. */
static __always_inline __u32 judge_owner(const struct l3 *l)
{
	__u32 id = l->in_id;
	struct port *in = bpf_map_lookup_elem(&ports, &id);

	return in && !port_policy(in).uplink ? id : l->out_id ?: id;
}

/* The external endpoint of a connection that is opened, what it holds of it, and the way to both
 * ends as far as its first packet tells. */
static __always_inline void judge_external(const struct l3 *l, struct flow_new *new)
{
	bool out = l->nat == NAT_OUT || l->nat == NAT_HAIRPIN;
	__u64 mac = out ? l->key.src_mac : 0;

	new->nat = (struct nat_flow){
		.addr = l->nat_addr,
		.holds = l->nat_holds,
		.port = l->nat_port,
		.hop = out ? l->hop_place : 0,
		.looked = out && l->hop_place ? cache_generation() : 0,
	};
	__builtin_memcpy(new->nat.mac, &mac, sizeof(new->nat.mac));
	if (l->nat_addr)
		new->flow.flags |= FLOW_NAT;
}

/* Opens the connection of an allowed packet. Returns REASON_NONE or why there is no room. */
__noinline int judge_open(__u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct flow_new *new = bpf_map_lookup_elem(&flow_scratch, &place);
	__u32 now = flow_now(), side, owner;
	struct port *port;
	struct flow *f;
	int why;

	if (!l || !new)
		return DROP_NO_MEMORY;
	f = &new->flow;
	__builtin_memset(f, 0, sizeof(*f));
	side = l->side & 1;
	owner = judge_owner(l);
	port = bpf_map_lookup_elem(&ports, &owner);
	if (port && port->conn_max && READ_ONCE(port->flows) >= port->conn_max) {
		if (l->nat_holds)
			nat_release(l->nat_addr, nat_proto(l->proto), l->nat_port);
		return DROP_CONN_MAX;
	}
	f->key = l->flow;
	f->created = now;
	f->port[side] = l->in_id;
	f->port[!side] = l->out_id;
	f->generation[side] = l->in_judged;
	f->generation[!side] = l->out_judged;
	f->owner = owner;
	f->flags = side ? FLOW_SECOND : 0;
	f->state = FLOW_NEW;
	if (l->proto == IPPROTO_TCP) {
		if (l->type & TCP_SYN)
			f->state = FLOW_SYN_SENT;
		else
			tcp_loosen(f);
		if (l->type & TCP_SYN)
			f->scale[side] = l->scale;
		tcp_note(l, f);
	}
	f->packets[side] = 1;
	f->bytes[side] = l->len;
	judge_external(l, new);
	new->hash = flow_hash(&f->key);
	new->expires = now + flow_secs(l->proto, f->state);
	new->opening = 1;
	why = flow_put(place);
	if (why && new->nat.holds)
		nat_release(new->nat.addr, nat_proto(l->proto), new->nat.port);
	return why;
}

/* Asks the lists about a packet in a state, and says what its answer is for. */
static __always_inline int judge_ask(struct l3 *l, enum acl_state state, enum judge_ask ask)
{
	l->state = state;
	l->ask = ask;
	return JUDGE_ASK;
}

/* A packet without a connection. */
static __always_inline int judge_new(struct l3 *l)
{
	return judge_opens(l) ? judge_ask(l, ACL_NEW, JUDGE_OPEN)
			      : judge_ask(l, ACL_INVALID, JUDGE_ONLY);
}

/* ---- going on ---- */

/* The state of a TCP connection after a segment that fits. Returns false: it opens anew. */
static __always_inline void judge_tcp(const struct l3 *l, struct flow *f)
{
	__u32 side = l->side & 1, opener = !!(f->flags & FLOW_SECOND);

	if (l->type & TCP_RST) {
		f->state = FLOW_CLOSED;
		return;
	}
	if (l->type & TCP_SYN) {
		if (f->state >= FLOW_ESTABLISHED) /* its receiver asks, and is answered by a RST */
			return;			  /* if it is not forged (RFC 5961, 4.2) */
		if (side != opener) {
			f->state = FLOW_SYN_RECV;
			f->scale[side] = l->scale;
			if (l->scale == FLOW_NO_SCALE || f->scale[!side] == FLOW_NO_SCALE)
				f->scale[0] = f->scale[1] = 0; /* RFC 7323, 2.2 */
		} else if (f->state == FLOW_SYN_SENT) {	       /* another attempt */
			f->tcp[side].max_win = 0;
		}
	}
	tcp_note(l, f);
	if (!(l->type & TCP_FIN) || f->state < FLOW_ESTABLISHED)
		return;
	if (tcp_end(l) != f->tcp[side].end) /* more was sent: it is none */
		return;
	f->flags |= FLOW_FIN(side);
	f->state = (f->flags & FLOW_FIN(!side)) ? FLOW_CLOSED : FLOW_FIN_WAIT;
}

/* Whether a segment belongs to the connection: else it is invalid, and changes nothing. */
static __always_inline bool judge_tcp_fits(const struct l3 *l, const struct flow *f)
{
	__u32 side = l->side & 1, opener = !!(f->flags & FLOW_SECOND);

	if (f->state == FLOW_SYN_SENT && side != opener) {
		/* an answer acknowledges the opening (RFC 9293, 3.10.7.3); two may cross */
		if (l->type & TCP_ACK)
			return l->ack == f->tcp[opener].end && l->type & (TCP_SYN | TCP_RST);
		return (l->type & (TCP_SYN | TCP_RST)) == TCP_SYN;
	}
	if (l->type & TCP_SYN)
		return !(l->type & (TCP_RST | TCP_FIN));
	if (l->type & TCP_RST)
		return f->state < FLOW_ESTABLISHED ? tcp_in_window(l, f) : tcp_reset_counts(l, f);
	return l->type & TCP_ACK && tcp_in_window(l, f);
}

/* Whether the packet answers an opening flow, which with it is established. */
static __always_inline bool judge_answers(const struct l3 *l, const struct flow *f)
{
	bool reply = (l->side & 1) != !!(f->flags & FLOW_SECOND);

	if (f->state == FLOW_SYN_RECV) /* the opener's acknowledgement */
		return !reply && l->type & TCP_ACK && !(l->type & (TCP_SYN | TCP_RST));
	return f->state == FLOW_NEW && reply && !(l->proto == IPPROTO_TCP && l->type & TCP_RST);
}

/* From the table of opening flows to the other. Returns REASON_NONE or why not. */
__noinline int judge_promote(__u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct flow_new *new = bpf_map_lookup_elem(&flow_scratch, &place);
	__u32 now = flow_now();
	struct flow_at at;
	struct flow *f;
	int why;

	if (!l || !new)
		return DROP_NO_MEMORY;
	f = &new->flow;
	new->hash = flow_hash(&l->flow);
	flow_find(&at, place, FLOW_UNANSWERED);
	if (!at.flow) /* another CPU did it */
		return REASON_NONE;
	*f = *at.flow;
	new->nat = *at.nat;
	if (f->flags & FLOW_NAT && new->nat.holds &&
	    !nat_hold(new->nat.addr, nat_proto(l->proto), new->nat.port))
		new->nat.holds = false;
	f->state = FLOW_ESTABLISHED;
	if (l->proto == IPPROTO_TCP && l->type & TCP_FIN) {
		f->state = FLOW_FIN_WAIT;
		f->flags |= FLOW_FIN(l->side & 1);
	}
	new->expires = now + flow_secs(l->proto, f->state);
	new->opening = 0;
	why = flow_put(place);
	if (!why)
		flow_take(&at, &l->flow, true);
	else if (new->nat.holds)
		nat_release(new->nat.addr, nat_proto(l->proto), new->nat.port);
	return why;
}

/* Whether the packet takes the way between ports that its flow has. */
static __always_inline bool judge_same_way(const struct l3 *l, const struct flow *f)
{
	__u32 side = l->side & 1;

	return f->port[side] == l->in_id && f->port[!side] == l->out_id;
}

/* Whether the flow's verdict is of what judges its ports now. */
static __always_inline bool judge_current(const struct l3 *l, const struct flow *f)
{
	__u32 side = l->side & 1;

	return judge_same_way(l, f) && f->generation[side] == l->in_judged &&
	       f->generation[!side] == l->out_judged;
}

/* Gives a connection the verdict `why`. */
static __always_inline void judge_renew(const struct l3 *l, struct flow *f, int why)
{
	bool same_way = judge_same_way(l, f);
	__u32 side = l->side & 1;

	f->port[side] = l->in_id;
	f->port[!side] = l->out_id;
	f->generation[side] = l->in_judged;
	f->generation[!side] = l->out_judged;
	if (why) {
		f->flags |= FLOW_DENIED;
		return;
	}
	f->flags &= ~FLOW_DENIED;
	/* it may have been out of sight; who comes another way has to fit what was seen */
	if (l->proto == IPPROTO_TCP && f->state >= FLOW_ESTABLISHED && same_way)
		tcp_loosen(f);
}

/* A packet of a connection: that lives on, and is counted. */
static __always_inline void judge_count(const struct l3 *l, struct flow_at *at)
{
	flow_touch(at->bucket, at->way, l->proto, flow_now());
	flow_counts(at->flow, l->side, l->len);
}

/* The external endpoint that the packet's connection has. */
static __always_inline void judge_translated(struct l3 *l, const struct flow_at *at)
{
	l->nat_addr = at->nat->addr;
	l->nat_port = at->nat->port;
}

/* A packet of a connection that may go on. */
static __always_inline int judge_goes_on(struct l3 *l, __u32 place, struct flow_at *at,
					 bool opening)
{
	struct flow *f = at->flow;
	bool tcp = l->proto == IPPROTO_TCP;

	if (f->flags & FLOW_NAT)
		judge_translated(l, at);
	if (opening && judge_answers(l, f)) {
		if (tcp)
			tcp_note(l, f);
		judge_count(l, at);
		l->answers = true;
		return REASON_NONE;
	}
	if (tcp)
		judge_tcp(l, f);
	judge_count(l, at);
	if (opening && f->state == FLOW_CLOSED) /* refused */
		flow_take(at, &l->flow, true);
	return REASON_NONE;
}

/* A packet of a connection that was found: it passes, or lists have to be asked. */
static __always_inline int judge_known(struct l3 *l, __u32 place, struct flow_at *at, bool opening)
{
	struct flow *f = at->flow;
	bool tcp = l->proto == IPPROTO_TCP;

	if (tcp && f->state == FLOW_CLOSED && (l->type & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
		flow_take(at, &l->flow, opening);
		return judge_new(l);
	}
	if (tcp && !judge_same_way(l, f) && !judge_tcp_fits(l, f))
		return judge_ask(l, ACL_INVALID, JUDGE_ONLY);
	if (!judge_current(l, f)) {
		bool reply = (l->side & 1) != !!(f->flags & FLOW_SECOND);

		if (reply)
			judge_reverse(l);
		return judge_ask(l, ACL_ESTABLISHED, reply ? JUDGE_RENEW_REPLY : JUDGE_RENEW);
	}
	if (f->flags & FLOW_DENIED)
		return DROP_ACL_DENY;
	if (tcp && !judge_tcp_fits(l, f))
		return judge_ask(l, ACL_INVALID, JUDGE_ONLY);
	return judge_goes_on(l, place, at, opening);
}

/* A packet whose kind has connections. */
static __always_inline int judge_flow(struct l3 *l, __u32 place)
{
	struct flow_at at;
	bool opening;

	flow_key_make(l);
	opening = flow_found(&at, l->sought ? l->found
					    : flow_search(place, FLOW_ANSWERED | FLOW_UNANSWERED));
	return at.flow ? judge_known(l, place, &at, opening) : judge_new(l);
}

/* A connection has its new verdict; the packet is the first to go by it. */
static __always_inline int judge_renewed(struct l3 *l, __u32 place, int why)
{
	struct flow_at at;
	bool opening;

	if (l->ask == JUDGE_RENEW_REPLY)
		judge_reverse(l);
	if (why == JUDGE_UPPER)
		return why;
	opening = flow_find(&at, place, FLOW_ANSWERED | FLOW_UNANSWERED);
	if (!at.flow) /* it ended meanwhile */
		return why;
	judge_renew(l, at.flow, why);
	if (why)
		return why;
	if (l->proto == IPPROTO_TCP && !judge_tcp_fits(l, at.flow))
		return REASON_NONE;
	return judge_goes_on(l, place, &at, opening);
}

/* What the lists' answer was for, but for JUDGE_OPEN. Returns the verdict. */
__noinline int judge_then(__u32 place, __u32 why)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);

	if (!l)
		return DROP_NO_MEMORY;
	if (l->ask >= JUDGE_RENEW)
		why = judge_renewed(l, place, why);
	if (l->flags & L3_FRAG && !(l->flags & L3_FRAG_LATER) && why != JUDGE_UPPER)
		frag_note(place, why);
	return why;
}

/* ---- ICMP errors ---- */

/*
 * The connection of the packet that an ICMP error quotes (RFC 792; RFC 4443, 3): its key, to
 * l3.flow. An error that comes from the wire quotes an external endpoint.
 */
__noinline int judge_quoted(hook_ctx *ctx, __u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	struct l3 *q = l3_quoted_of(place);

	if (!l || !q || l3_quoted(ctx, place))
		return -1;
	q->network = l->network;
	q->vid = l->vid;
	if (l->nat == NAT_IN)
		nat_quote_inside(l, q);
	/* it goes back to who sent what it quotes */
	if (q->key.src[0] != l->key.dst[0] || q->key.src[1] != l->key.dst[1] || !flow_tracks(q))
		return -1;
	flow_key_make(q);
	l->flow = q->flow;
	l->side = q->side; /* which end has sent what is quoted */
	return 0;
}

/* Whether an ICMP error is about a connection that may go on. It changes nothing of it. */
static __always_inline bool judge_related(hook_ctx *ctx, struct l3 *l, __u32 place)
{
	struct flow_at at;

	if (judge_quoted(ctx, place))
		return false;
	flow_find(&at, place, FLOW_ANSWERED | FLOW_UNANSWERED);
	if (!at.flow || at.flow->flags & FLOW_DENIED)
		return false;
	if (at.flow->flags & FLOW_NAT)
		judge_translated(l, &at);
	return at.flow->port[l->side & 1] == l->out_id || !l->out_id;
}

/* ---- all of it ---- */

/*
 * The verdict on the packet in l3_scratch[place], which says from where to where it goes; or
 * JUDGE_ASK: judge_lists() has to be asked, and judge_then() told.
 */
__noinline int judge_look(hook_ctx *ctx, __u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	int why;

	if (!l)
		return DROP_NO_MEMORY;
	l->ask = JUDGE_NOTHING;
	if (l->flags & L3_BAD)
		return DROP_BAD_HEADER;
	if (l->flags & L3_FRAG_LATER) {
		why = frag_fate(place);
		return why == DROP_FRAG_FIRST && !HOOK_ANSWERS ? JUDGE_UPPER : why;
	}
	if (l->flags & L3_FRAG && !HOOK_ANSWERS) /* others may wait for it */
		return JUDGE_UPPER;
	if (l->flags & L3_FRAG && !(l->flags & L3_HAS_L4) && l3_has_transport(l->family, l->proto))
		return DROP_FRAG_TINY;
	if (!flow_tracks(l)) {
		if (l->flags & L3_ERROR)
			return judge_related(ctx, l, place) ? REASON_NONE
							    : judge_ask(l, ACL_INVALID, JUDGE_ONLY);
		return judge_ask(l, ACL_NEW, JUDGE_ONLY);
	}
	why = judge_flow(l, place);
	if (l->flags & L3_FRAG && why != JUDGE_ASK)
		frag_note(place, why);
	return why;
}

/* ---- flooding ---- */

/* What a flooded packet of a connection that was found is to it. */
static __always_inline int judge_flooded_known(struct l3 *l, __u32 place, struct flow_at *at,
					       bool opening)
{
	struct flow *f = at->flow;
	__u32 side = l->side & 1, other = f->port[!side];
	bool fits = l->proto != IPPROTO_TCP || judge_tcp_fits(l, f), current;

	current = f->port[side] == l->in_id && f->generation[side] == l->in_judged &&
		  !(f->flags & FLOW_DENIED);
	if (current && fits && f->generation[!side] == judge_generation(other))
		l->known = other;
	l->state = fits ? ACL_ESTABLISHED : ACL_INVALID;
	if (fits)
		judge_goes_on(l, place, at, opening);
	return current ? REASON_NONE : judge_ask(l, l->state, JUDGE_RENEW);
}

static __always_inline int judge_flooded_flow(struct l3 *l, __u32 place)
{
	struct flow_at at;
	bool opening;

	flow_key_make(l);
	opening = flow_find(&at, place, FLOW_ANSWERED | FLOW_UNANSWERED);
	if (at.flow)
		return judge_flooded_known(l, place, &at, opening);
	l->opens = judge_opens(l);
	return judge_ask(l, l->opens ? ACL_NEW : ACL_INVALID, JUDGE_ONLY);
}

/*
 * The sender's side of a flooded packet in l3_scratch[place]; leaves there what its copies are
 * judged by. Returns REASON_NONE or why nobody gets it; or JUDGE_ASK, likewise.
 */
__noinline int judge_flooded(__u32 place)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	__u32 in_id;
	struct port *in;

	if (!l)
		return DROP_NO_MEMORY;
	l->known = 0;
	l->copy_why = REASON_NONE;
	l->opens = false;
	l->ask = JUDGE_NOTHING;
	in_id = l->in_id;
	in = bpf_map_lookup_elem(&ports, &in_id);
	if (l->flags & L3_BAD)
		l->copy_why = DROP_BAD_HEADER;
	else if (l->flags & L3_FRAG_LATER)
		l->copy_why = frag_fate(place);
	else if (l->flags & L3_FRAG && !(l->flags & L3_HAS_L4) &&
		 l3_has_transport(l->family, l->proto))
		l->copy_why = DROP_FRAG_TINY;
	if (l->copy_why)
		return in && port_policy(in).track ? l->copy_why : REASON_NONE;
	if (l->flags & L3_FRAG_LATER) /* as the first one, which opened what there is to open */
		return l->ask ? JUDGE_ASK : REASON_NONE;
	return flow_tracks(l) ? judge_flooded_flow(l, place) : judge_ask(l, ACL_NEW, JUDGE_ONLY);
}

/* For the loop over copies: small, as the stack is. */
struct judge_copies {
	struct l3 *l;
	__u32 next; /* port id */
	__u16 place;
	__u16 network;
};

/* The receiver's side of a copy. Returns REASON_NONE or why the port gets none. */
static __always_inline int judge_copy(struct l3 *l, __u32 place, __u32 id)
{
	int action;

	if (l->copy_why)
		return l->copy_why;
	l->out_id = id; /* for the log */
	action = judge_side(l, place, id, ACL_IN);
	judge_commit(l, place, ACL_IN);
	l->out_id = 0;
	return action < ACL_DENY ? REASON_NONE : judge_reason(action, l->result[ACL_IN]);
}

static __always_inline void judge_withhold(__u32 id, int why)
{
	__u32 zero = 0;
	struct judge_withheld *w = bpf_map_lookup_elem(&judge_withheld, &zero);

	if (w)
		w->why[id & (2 * PORT_MAX - 1)] = why;
}

static long judge_next_copy(__u32 i, struct judge_copies *c)
{
	__u32 id = c->next;
	struct port *to = bpf_map_lookup_elem(&ports, &id);
	int why = REASON_NONE;

	if (!to || !id || id > PORT_MAX)
		return 1;
	c->next = READ_ONCE(to->next);
	if (port_policy(to).track && port_policy(to).network == c->network && id != c->l->in_id &&
	    id != c->l->known)
		why = judge_copy(c->l, c->place, id);
	judge_withhold(id, why);
	return 0;
}

/* Asks all ports from `members` on whether they take a copy: judge_withheld[0] says. */
__noinline int judge_copies(__u32 place, __u32 members, __u32 network)
{
	struct judge_copies c = {
		.l = bpf_map_lookup_elem(&l3_scratch, &place),
		.place = place,
		.next = members,
		.network = network,
	};

	if (!c.l)
		return 0;
	c.l->key.misc = (c.l->key.misc & ~ACL_MISC_STATE_MASK) | ACL_MISC_STATE(c.l->state);
	bpf_loop(PORT_MAX, judge_next_copy, &c, 0);
	return 0;
}

/* ---- for the hooks ---- */

static __always_inline bool judge_wanted(const struct pkt *p)
{
	return p->in_policy.track || p->out_policy.track;
}

/* Says in pkt.l3 from where to where it goes. out_id: 0 when to all. */
static __always_inline enum verdict judge_set_up(struct pkt *p, __u32 out_id, bool to_host)
{
	enum verdict v = l3_parse(p);
	struct l3 *l = p->l3;

	if (v || !l)
		return UPPER;
	l->in_id = p->in_id;
	l->out_id = out_id;
	l->in_judged = READ_ONCE(p->in->judged);
	l->out_judged = out_id ? judge_generation(out_id) : 0;
	l->len = p->len;
	l->network = p->in_policy.network;
	l->vid = p->vid;
	l->from_host = p->from_host;
	l->to_host = to_host;
	if (p->external) { /* of a connection that it opens; another has its own */
		l->nat_addr = p->external >> 16;
		l->nat_port = p->external;
	}
	return CONTINUE;
}

/* A connection that is opened gets its external endpoint, if it is translated. */
static __always_inline int hook_bind(struct pkt *p);

/* Whether a packet for one port (pkt.out), or for the host behind it, may pass. */
static __always_inline enum verdict judge(struct pkt *p, bool to_host)
{
	enum verdict v;
	int why;

	if (!judge_wanted(p))
		return CONTINUE;
	v = judge_set_up(p, p->out_id, to_host);
	if (v)
		return v;
	if (p->dst & 1) /* to many, whatever its IP address is */
		p->l3->flags |= L3_GROUP;
	why = judge_look(p->ctx, p->from_host);
	if (why == JUDGE_ASK) {
		why = judge_lists(p->from_host, false);
		if (why && p->l3->ask >= JUDGE_RENEW)
			why = judge_lists(p->from_host, true);
		if (!why && p->l3->ask == JUDGE_OPEN)
			why = hook_bind(p) ?: judge_open(p->from_host);
		why = judge_then(p->from_host, why);
	}
	if (!why && p->l3->answers)
		why = judge_promote(p->from_host);
	if (why == JUDGE_UPPER)
		return UPPER;
	return why ? drop(p, why) : CONTINUE;
}

static __always_inline bool judge_wanted_by_some(const struct pkt *p)
{
	return p->in_policy.track || READ_ONCE(p->net->tracked);
}

/* The sender's side of a packet that is to be flooded, and each copy's receiver's. */
static __always_inline enum verdict judge_all(struct pkt *p)
{
	enum verdict v;
	int why;

	if (!judge_wanted_by_some(p))
		return CONTINUE;
	v = judge_set_up(p, 0, false);
	if (v)
		return v;
	if (p->dst & 1)
		p->l3->flags |= L3_GROUP;
	why = judge_flooded(p->from_host);
	if (why == JUDGE_ASK) {
		why = judge_lists(p->from_host, false);
		if (why && p->l3->ask >= JUDGE_RENEW)
			why = judge_lists(p->from_host, true);
	}
	if (!why && p->l3->answers)
		why = judge_promote(p->from_host);
	if (why)
		return drop(p, why);
	judge_copies(p->from_host, p->net->members, p->in_policy.network);
	return CONTINUE;
}

/* After the copies of a judged packet: somebody got it (sent), or not. */
__noinline int judge_sent(__u32 place, __u32 in_id, __u32 sent)
{
	struct l3 *l = bpf_map_lookup_elem(&l3_scratch, &place);
	int why = sent ? REASON_NONE : DROP_NO_DESTINATION;

	if (!l)
		return 0;
	if (l->opens && sent && (!l->nat_addr || nat_take(place)))
		why = judge_open(place);
	if (why && sent)
		stats_reason(in_id, why);
	if ((l->flags & (L3_FRAG | L3_FRAG_LATER | L3_BAD)) == L3_FRAG)
		frag_note(place, why);
	return 0;
}

#endif
