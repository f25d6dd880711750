"""
NAT: what the host's translation costs, beside the kernel's forwarding with nftables' masquerade.

    nat_hop      established connections, one packet's hop, both ways
    nat_million  the same with a million connections in rotation
    nat_new      new connections, and those for which a range of ports has just room
    nat_tcp      bulk TCP from a VM to the wire
    nat_latency  request and response

    vm1 ──veth── p1  host  p2 ──veth── vm2, the wire: 198.19.0.2, and the router to 10.0.0.0/8

The VM's addresses are 198.18.0.1 to .16, the host's are 198.18.0.254 inside and 198.19.0.1 outside.
The peer is at its best: one rule, looked at by first packets only; no check of checksums, no early
demultiplexing, a hash table of as many buckets as there are connections. (Its flow table, where
the kernel has one, is not used: it would have to be set up for the two devices.)
"""
import contextlib
import json
import statistics

from common import (CPUS, MAC1, MAC2, QUICK, Failure, Lan, if_built, row, section, sh, take_turns, tool)

CONNTRACK = {"net.netfilter.nf_conntrack_max": 1 << 21, "net.netfilter.nf_conntrack_buckets": 1 << 20}
GATEWAY, OUTSIDE = "198.18.0.254", "198.19.0.1"
MANY = 1_000_000
NEW = 40_960  # connections that the table of unanswered ones has room for
PORTS = 20_000, 39_999  # a range that is filled
TC_TOO = () if QUICK else ("xdpctl-tc",)  # for information
SOURCES = 64  # ends inside of the connections of nat_hop and nat_million


class NatLan(Lan):
    """A VM, its host and the wire. Variants: none, bare-xdp, nft, xdpctl-…; see Lan."""

    ip2 = "198.19.0.2"

    def __init__(self, variant, live=False, name=None):
        super().__init__(variant, live, name)
        sh("ip", "-n", self.vm1, "route", "add", "default", "via", GATEWAY, "dev", "vm1", "onlink")
        self.inside, self.outside = MAC2, MAC1  # what the ends send to
        if variant == "nft" or variant.startswith("xdpctl"):
            dev = "p1" if variant == "nft" else "priv"
            self.inside, self.outside = self.mac(dev), self.mac("p2")
            for n in range(1, 17):
                sh("ip", "-n", self.switch, "neighbour", "replace", f"198.18.0.{n}", "lladdr", MAC1, "dev", dev)
            sh("ip", "-n", self.vm1, "neighbour", "replace", GATEWAY, "lladdr", self.inside, "dev", "vm1")

    def mac(self, dev):
        return json.loads(sh("ip", "-j", "-n", self.switch, "link", "show", "dev", dev))[0]["address"]

    def wire(self):
        """The host's way out."""
        ip = "ip", "-n", self.switch
        sh(*ip, "address", "add", f"{OUTSIDE}/24", "dev", "p2")
        sh(*ip, "neighbour", "replace", self.ip2, "lladdr", MAC2, "dev", "p2")
        sh(*ip, "route", "add", "10.0.0.0/8", "via", self.ip2)

    def connect_nft(self, _):
        self.wire()
        sh("ip", "-n", self.switch, "address", "add", f"{GATEWAY}/24", "dev", "p1")
        self.sysctl(self.switch, "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0",
                    "net.ipv4.conf.p1.rp_filter=0", "net.ipv4.conf.p2.rp_filter=0", "net.ipv4.ip_early_demux=0",
                    "net.netfilter.nf_conntrack_checksum=0", "net.netfilter.nf_conntrack_udp_timeout=600",
                    "net.netfilter.nf_conntrack_udp_timeout_stream=600")
        self.masquerade()

    def masquerade(self, rule="masquerade"):
        """All that nftables is asked for."""
        self.nft("table ip nat\ndelete table ip nat\ntable ip nat {\nchain post {\n"
                 f"type nat hook postrouting priority srcnat;\noif p2 {rule}\n}}\n}}\n")

    def connect_xdpctl(self, hook):
        if hook == "xdp":  # a veth takes XDP frames only when its peer has NAPI on
            for netns, dev in (self.vm1, "vm1"), (self.vm2, "vm2"):
                sh("nsenter", f"--net=/run/netns/{netns}", "ethtool", "-K", dev, "gro", "on")
        self.wire()
        self.xdpctl("network", "add", "priv", "mode", "nat", "uplink", "p2", "subnet", "198.18.0.0/24",
                    "gateway", GATEWAY)
        self.xdpctl("port", "add", "priv", "dev", "p1", "hook", hook)
        self.xdpctl("port", "set", "dev", "p2", "hook", hook)

    def out(self, burst, number, *, form="udp", flows=(0, 1), sources=SOURCES, targets=1 << 20):
        """Frames from the VM's connections flows[0], …, flows[1] of them, in turn."""
        return self.send(burst, "out", self.inside, form, sources, targets, *flows, number)

    def back(self, burst, number, *, form="udp", flows=(0, 1), sources=SOURCES, targets=1 << 20):
        """The same from the wire's ends."""
        return self.send(burst, "in", self.outside, form, sources, targets, *flows, number, back=True)

    def open(self, count, chunk=60_000):
        """Opens connections, and has them answered."""
        for start in range(0, count, chunk):
            number = min(chunk, count - start)
            for way in self.out, self.back:
                got = way(64, number, flows=(start, number))
                if got["received"] < number:
                    raise Failure(f"{self.name}: of {number} frames of new connections {got['received']} arrived")


@contextlib.contextmanager
def conntrack_room():
    """Room for all connections of the peer, for a while."""
    before = {name: sh("sysctl", "-n", name).strip() for name in CONNTRACK}
    try:
        for name, value in CONNTRACK.items():
            sh("sysctl", "-qw", f"{name}={value}")
        yield
    finally:
        for name, value in before.items():
            sh("sysctl", "-qw", f"{name}={value}")


def hops(variants, results, what):
    """{variant: median of what it adds to `none`}, printed with the frames lost."""
    hop = {}
    for variant in variants:
        got = results[variant]
        ns = statistics.median(result["ns"] for result in got)
        hop[variant] = round(statistics.median(
            result["ns"] - none["ns"] for result, none in zip(got, results["none"])), 1)
        lost = 1 - sum(result["received"] for result in got) / sum(result["sent"] for result in got)
        print(f"    {what}, {variant:<10} {ns:7.1f} ns/frame  hop {hop[variant]:7.1f} ns  lost {100 * lost:.2f} %",
              flush=True)
    return hop


def bench_hop():
    section("NAT, established, 64-byte frames, one core: what the host adds to each")
    variants = ["none", "bare-xdp", "nft", *if_built("xdpctl-xdp", *TC_TOO)]
    lans = {variant: NatLan(variant, live=True) for variant in variants}
    for variant in variants:
        if variant != "none":
            lans[variant].open(1)
    for burst, size in (64, "bursts of 64"), (1, "single frames"):
        for way, where in ("out", "VM to wire"), ("back", "wire to VM"):
            results = take_turns(variants, 3 if QUICK else 9, lambda variant, _, size=burst, to=way:
                                 getattr(lans[variant], to)(size, f"{100 if QUICK else 250}ms"))
            what = f"{where}, {size}"
            hop = hops(variants, results, what)
            row(f"{what}, hook xdp", "ns", hop.get("xdpctl-xdp"), {"bare-xdp": hop["bare-xdp"], "nft": hop["nft"]},
                [("bare-xdp", "<=", 1.8), ("nft", "<=", 0.3)])
            if "xdpctl-tc" in hop:
                row(f"{what}, hook tc", "ns", hop["xdpctl-tc"], {"nft": hop["nft"]})


def bench_million():
    section("NAT, 64-byte frames of a million connections in rotation: what the host adds to each")
    variants = ["none", "nft", *if_built("xdpctl-xdp", *TC_TOO)]
    with conntrack_room():
        lans = {variant: NatLan(variant, live=True) for variant in variants}
        for variant in variants[1:]:
            lans[variant].open(MANY)
        # A connection that was idle for seconds has its route looked up anew: the first third does that
        for way, where in ("out", "VM to wire"), ("back", "wire to VM"):
            results = take_turns(variants, 1 if QUICK else 5, lambda variant, _, to=way: getattr(lans[variant], to)(
                64, 3 * MANY, flows=(0, MANY)))
            what = f"{MANY} connections, {where}"
            hop = hops(variants, results, where)
            row(f"{what}, hook xdp", "ns", hop.get("xdpctl-xdp"), {"nft": hop["nft"]}, [("nft", "<=", 0.5)])
            if "xdpctl-tc" in hop:
                row(f"{what}, hook tc", "ns", hop["xdpctl-tc"], {"nft": hop["nft"]})
        for lan in lans.values():
            lan.remove()


FORMS = {"udp": ("udp", "udp"), "tcp": ("syn", "synack", "ack")}


def open_new(lan, turn, form):
    """Nanoseconds for each packet that opens a connection, of an end inside of its own: a UDP
    datagram and its answer, or TCP's handshake."""
    if lan.variant.startswith("xdpctl"):
        lan.xdpctl("flow", "flush")
    results = []
    for i, what in enumerate(FORMS[form]):
        results.append((lan.back if i == 1 else lan.out)(64, NEW, form=what, flows=(turn * NEW, NEW), sources=60_000))
        if results[-1]["received"] < NEW:
            raise Failure(f"{lan.name}: of {NEW} frames ({what}) {results[-1]['received']} arrived")
    return [result["ns"] for result in results]


def bench_new():
    section("NAT, new connections a second, of what the host adds; each of an end inside of its own")
    variants = ["none", "nft", *if_built("xdpctl-xdp", *TC_TOO)]
    with conntrack_room():
        lans = {variant: NatLan(variant, live=True) for variant in variants}
        added = {}  # (form, variant): ns that each packet of it takes
        for form, packets in FORMS.items():
            results = take_turns(variants, 3 if QUICK else 7,
                                 lambda variant, turn, form=form: open_new(lans[variant], turn, form))
            for variant in variants[1:]:
                added[form, variant] = [statistics.median(
                    ours[i] - none[i] for ours, none in zip(results[variant], results["none"]))
                    for i in range(len(packets))]
                print(f"    {form}, {variant:<10} ns for each packet: "
                      f"{', '.join(f'{ns:.0f}' for ns in added[form, variant])}", flush=True)
        for form, packets, what in (("udp", 1, "UDP, first packets"), ("udp", 2, "UDP, with the answer"),
                                    ("tcp", 3, "TCP handshakes")):
            rate = {variant: round(1e9 / sum(added[form, variant][:packets])) for variant in variants[1:]}
            row(f"{what}, hook xdp", "1/s", rate.get("xdpctl-xdp"), {"nft": rate["nft"]}, [("nft", ">=", 5)])
            if "xdpctl-tc" in rate:
                row(f"{what}, hook tc", "1/s", rate["xdpctl-tc"], {"nft": rate["nft"]})
        lost = {variant: fill_ports(lans[variant]) for variant in variants[1:]}
        row("failures up to 99 % port use", "", lost.get("xdpctl-xdp"), {"nft": lost["nft"]}, [(None, "<=", 0)])
        for lan in lans.values():
            lan.remove()


def fill_ports(lan):
    """Connections to one end outside until 99 % of a range of ports are used; returns how many failed."""
    ports = f"{PORTS[0]}-{PORTS[1]}"
    if lan.variant == "nft":
        lan.masquerade(f"ip protocol udp masquerade to :{ports}")
    else:
        lan.xdpctl("flow", "flush")
        lan.xdpctl("nat", "masquerade", "priv", "to", OUTSIDE, "ports", ports)
    count = (PORTS[1] - PORTS[0] + 1) * 99 // 100
    got = lan.out(16, count, flows=(0, count), sources=count, targets=1)
    return count - got["received"]


def bench_tcp():
    section("NAT, TCP from VM to wire, default offloads")
    variants = ["nft", *if_built("xdpctl-auto")]
    lans = {variant: NatLan(variant) for variant in variants}
    results = take_turns(variants, 6 if QUICK else 14,
                         lambda variant, turn: lans[variant].iperf(CPUS[turn % 2 - 1], CPUS[-(turn % 2)],
                                                                   1 if QUICK else 2))
    gbps = {variant: round(statistics.median(got), 2) for variant, got in results.items()}
    row("TCP from VM to wire", "Gbit/s", gbps.get("xdpctl-auto"), {"nft": gbps["nft"]}, [("nft", ">=", 1.05)])


def bench_latency():
    section("NAT, one-byte TCP request and response from VM to wire")
    variants = ["nft", *if_built("xdpctl-auto")]
    lans = {variant: NatLan(variant) for variant in variants}
    for what, server_cpu in ("one core", CPUS[-1]), ("two cores, polling", CPUS[0]):
        results = take_turns(variants, 5 if QUICK else 9,
                             lambda variant, _, cpu=server_cpu: tool(
                                 "pingpong", lans[variant].vm1, lans[variant].vm2, lans[variant].ip2,
                                 5000 if QUICK else 20000, CPUS[-1], cpu, cpu=CPUS[-1]))
        for percentile in "p50", "p99":
            us = {variant: round(statistics.median(result[percentile] for result in got), 2)
                  for variant, got in results.items()}
            row(f"latency {percentile}, {what}", "us", us.get("xdpctl-auto"), {"nft": us["nft"]},
                [("nft", "<=", 1.0)])
