/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The XDP hook's one exit. XDP decides what it can without loss: drops at VM ports, and
 * known unicast between ports whose devices take XDP frames. The rest is TC's.
 */
#ifndef BPF_VERDICT_XDP_H
#define BPF_VERDICT_XDP_H

#include "nat_cache.h"
#include "offload.h"
#include "pipeline.h"

static __always_inline bool hook_takes(struct pkt *p, enum verdict v)
{
	if (v == DROP) /* the host still sees all that its uplink gets */
		return !p->in_policy.uplink;
	return v == TO_PORT && p->out_policy.xdp_tx && p->size <= READ_ONCE(p->out->frame_max) &&
	       (!p->in_policy.offloads || offload_done(p));
}

static __always_inline int hook_bind(struct pkt *p)
{
	return REASON_NONE;
}

/*
 * Gives the frame the wanted tag. Returns 0, -1 where it cannot: without room for it, or
 * (!resize) when its length would change.
 */
static __always_inline int xdp_retag(struct xdp_md *ctx, __u32 tag, __u32 want, bool resize)
{
	struct {
		__u32 words[3];
	} * macs, copy;
	struct vlan_tag *field;
	void *data, *end;

	if (tag == want)
		return 0;
	if (!resize && !(tag && want))
		return -1;
	if (!tag && bpf_xdp_adjust_head(ctx, -VLAN_HLEN))
		return -1;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + ETH_HLEN + VLAN_HLEN > end)
		return -1;
	if (!tag) {
		macs = data + VLAN_HLEN;
		copy = *(typeof(copy) *)macs;
		*(typeof(copy) *)data = copy;
		*(__be16 *)(data + sizeof(copy)) = bpf_htons(ETH_P_8021Q);
	} else if (!want) {
		macs = data;
		copy = *(typeof(copy) *)macs;
		*(typeof(copy) *)(data + VLAN_HLEN) = copy;
		return bpf_xdp_adjust_head(ctx, VLAN_HLEN);
	}
	field = data + ETH_HLEN;
	field->tci = bpf_htons(want);
	return 0;
}

/* What the program is: on its own, or an extension below libxdp's dispatcher (bpf/xdp.bpf.c). */
enum xdp_kind {
	XDP_WHOLE,
	XDP_EXTENSION,
};

/* Sends a frame to port `to`, whose device is `ifindex`. */
static __always_inline int xdp_send(struct pkt *p, __u32 from, __u32 to, __u32 ifindex, __u32 tag,
				    enum xdp_kind kind)
{
	stats_rx(from, p->len);
	stats_tx(to, p->len + (tag ? VLAN_HLEN : 0) - (p->tag ? VLAN_HLEN : 0));
	return kind == XDP_WHOLE ? bpf_redirect_map(&xdp_ports, to, XDP_PASS)
				 : bpf_redirect(ifindex, 0);
}

/* ---- NAT's short way ---- */

/* A checksum that is left to the hardware would be lost. */
static __always_inline bool hook_complete(struct xdp_md *ctx, __u32 proto, enum sum sum)
{
	struct pkt p = {.ctx = ctx, .sum = sum, .proto = proto};

	return offload_done(&p);
}

static __always_inline int hook_send(struct xdp_md *ctx, __u32 to, __u32 ifindex, bool uplink,
				     bool by_map)
{
	return by_map ? bpf_redirect_map(&xdp_ports, to, XDP_DROP) : bpf_redirect(ifindex, 0);
}

/* A transport checksum, with what has changed. A UDP one that is 0 says that there is none. */
static __always_inline void xdp_check(__u16 *check, const struct nat_sum *sum, bool udp)
{
	__u16 new;

	if (udp && !*check)
		return;
	new = ~csum_fold32((__u64)(__u16) ~*check + sum->addr + sum->port);
	*check = udp && !new ? 0xffff : new;
}

/* ip: octets of the network header. */
static __always_inline int xdp_edit(void *data, void *end, __u32 ip, const struct plain *k,
				    const struct nat_edit *e)
{
	void *l4 = data + ETH_HLEN + ip;
	bool udp = k->proto == IPPROTO_UDP;
	struct nat_sum sum;

	if (l4 + 8 > end || (!udp && l4 + 18 > end))
		return -1;
	if (ip == 40)
		nat_edit_ipv6(data, e, &sum);
	else
		nat_edit_ipv4(data, e, &sum);
	if (udp)
		xdp_check(l4 + 6, &sum, true);
	else if (l4 + 18 <= end)
		xdp_check(l4 + 16, &sum, false);
	return 0;
}

static __always_inline int hook_edit(struct xdp_md *ctx, const struct plain *k,
				     const struct nat_edit *e)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	return k->ip6 ? xdp_edit(data, end, 40, k, e) : xdp_edit(data, end, 20, k, e);
}

static __always_inline bool hook_sends(struct pkt *p, const struct cache_entry *c)
{
	return c->flags & CACHE_XDP && (!(c->flags & CACHE_CHECK) || offload_done(p));
}

/* A frame that the cache knows. */
static __always_inline int verdict_xdp_cached(struct pkt *p, const struct cache_entry *c,
					      enum xdp_kind kind)
{
	return xdp_send(p, c->in_port, c->out_port, c->out_ifindex, p->tag, kind);
}

/* A frame for one port. Returns TO_PORT, or what else becomes of it; in *tag its tag there. */
static __always_inline enum verdict xdp_to_port(struct pkt *p, enum xdp_kind kind, __u32 *tag)
{
	enum verdict v = egress_policy(p, tag);

	if (v) /* at an uplink TC decides: the host still sees all that its NIC gets */
		return p->in_policy.uplink ? UPPER : v;
	if (kind == XDP_EXTENSION && *tag != p->tag && !(*tag && p->tag)) /* see xdp_retag() */
		return UPPER;
	return judge(p, false) ?: TO_PORT;
}

static __always_inline int verdict_xdp(struct pkt *p, enum verdict v, enum xdp_kind kind)
{
	__u32 tag;

	if (v == TO_PORT)
		v = xdp_to_port(p, kind, &tag);
	if (v == TO_PORT) {
		if (tag == p->tag)
			cache_store(p);
		else if (xdp_retag(p->ctx, p->tag, tag, kind == XDP_WHOLE))
			return XDP_PASS;
		return xdp_send(p, p->in_id, p->out_id, READ_ONCE(p->out->ifindex), tag, kind);
	}
	if (v == DROP) {
		stats_rx(p->in_id, p->len);
		stats_reason(p->in_id, p->reason);
		return XDP_DROP;
	}
	return XDP_PASS;
}

#endif
