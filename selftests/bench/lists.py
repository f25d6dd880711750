"""
Access control lists: what a packet costs by the number of rules, beside nftables in a bridge.

    rules        the programs alone: packets that no connection knows
    new          end to end: each frame begins a connection
    established  end to end: a connection that was answered, and bulk TCP
"""
import contextlib
import json
import os
import statistics
import tempfile

import rules
from common import (CPUS, HAVE_XDPCTL, MAC1, MAC2, QUICK, Failure, Lan, if_built, row, section,
                    take_turns, tool)

SETS = ("acl1", "fw1", "ipc1")
COUNTS = (1, 16, 1000, 10_000, 100_000)
HOOKS = (("xdp", "prog_xdp", 1), ("tc", "prog_tc_ingress", 2))  # XDP_DROP, TC_ACT_SHOT
NEW = 40_960  # connections that the table of unanswered ones has room for
LINEAR = 4096  # of them, for nftables
OWN = "src 198.18.0.0/15 dst 198.18.0.0/15 allow\n"  # the bench's own addresses


@contextlib.contextmanager
def frame_file(frames):
    """The path of a file of frames."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"".join(frames))
        file.flush()
        yield file.name


def measure_list(lan, hook, frames):
    """Quantiles of the nanoseconds that a denied packet takes."""
    name, program, denied = hook
    pin = os.path.join(lan.status()["pins"], program)
    with frame_file(frames) as path:
        got = tool("testrun", lan.switch, "p1", pin, MAC2, MAC1, "frames", path,
                   500_000 if QUICK else 2_000_000, cpu=CPUS[-1])
    if got["verdict"] != denied:
        raise Failure(f"test run, hook {name}: returned {got['verdict']}, not {denied}")
    return got


def bench_rules():
    """A denied packet leaves no connection: the same frames, again and again, are new each time.
    All rules deny, and so does the port's policy: without a list, it alone."""
    section("BPF_PROG_TEST_RUN: a packet of no connection, headers in rotation")
    if not HAVE_XDPCTL:
        return
    for hook in HOOKS:
        lan = Lan("xdpctl-" + hook[0], live=True)
        lan.send(64, "ms", 20)
        lan.xdpctl("port", "set", "dev", "p1", "policy-out", "deny")
        for name in SETS:
            sets = {count: rules.load(name, count) for count in COUNTS}
            none = measure_list(lan, hook, rules.draw_frames(sets[1000], rules.FRAMES))
            row(f"{name}, hook {hook[0]}, no list, p50", "ns", none["p50"])
            got = {}
            for count, chosen in sets.items():
                lan.xdpctl_file("acl", "load", "dev", "p1", "out", text=rules.acl_file(chosen, "deny"))
                got[count] = measure_list(lan, hook, rules.draw_frames(chosen, rules.FRAMES))
                for quantile in "p50", "p99":
                    peers, targets = {"no list": none[quantile]}, []
                    if count == 100_000:
                        peers["1000 rules"] = got[1000][quantile]
                        targets = [("1000 rules", "<=", 1.3)]
                    row(f"{name}, hook {hook[0]}, {count} rules, {quantile}", "ns", got[count][quantile],
                        peers, targets)
            row(f"{name}, hook {hook[0]}, 1 rule, over no list", "ns",
                round(got[1]["ns"] - none["ns"], 1), {}, [(None, "<=", 10)])
            lan.xdpctl("acl", "del", "dev", "p1", "out", "all")
        lan.remove()


def make_peers(name, chosen):
    """{name: LAN} of nftables in a bridge."""
    lans = {"nft linear": Lan("bridge", live=True, name=f"{name}-nft")}
    lans["nft linear"].nft(rules.nft_file(chosen, "accept", "drop"))
    if name == "hosts":
        lans["nft map"] = Lan("bridge", live=True, name=f"{name}-nftmap")
        lans["nft map"].nft(rules.nft_map_file(chosen, "accept", "drop"))
    return lans


def make_ours(name, chosen):
    lans = {}
    for variant in if_built("xdpctl-xdp", "xdpctl-tc"):
        lan = lans[variant] = Lan(variant, live=True, name=f"{name}-{variant[7:]}")
        lan.xdpctl_file("acl", "load", "dev", "p1", "out", text=OWN + rules.acl_file(chosen, "allow"))
        lan.xdpctl("port", "set", "dev", "p1", "policy-out", "deny")
    return lans


def send_new(lan, path):
    """Frames that no connection knows; nftables needs no more of them for a median."""
    if lan.variant.startswith("xdpctl"):
        lan.xdpctl("flow", "flush")
    # The last ones of a burst wait longest: no more than the softirq may work off at once
    got = lan.send(16, "frames", path, LINEAR if lan.name.endswith("-nft") else NEW)
    if got["received"] < 0.99 * got["sent"] and lan.variant.startswith("xdpctl"):
        raise Failure(f"{lan.name}: of {got['sent']} frames {got['received']} arrived")
    return got


def bench_new():
    """All frames are allowed, by a rule that is drawn at random. The switch makes a connection of
    each; nftables keeps none (this is the bridge family without conntrack)."""
    section("64-byte frames, 10,000 rules, new headers each frame: what a switch adds")
    for name in "acl1", "hosts":
        chosen = rules.load(name, 10_000)
        lans = {"none": Lan("none", live=True, name=f"{name}-none"), **make_peers(name, chosen),
                **make_ours(name, chosen)}
        with frame_file(rules.draw_frames(chosen, NEW, unique=True)) as path:
            results = take_turns(list(lans), 3 if QUICK else 7, lambda variant, _: send_new(lans[variant], path))
        hop = {}
        for variant, got in results.items():
            hop[variant] = round(statistics.median(
                result["ns"] - none["ns"] for result, none in zip(got, results["none"])), 1)
            lost = 1 - sum(result["received"] for result in got) / sum(result["sent"] for result in got)
            print(f"    {name}, {variant:<10} hop {hop[variant]:8.1f} ns  lost {100 * lost:.2f} %", flush=True)
        peers = {peer: ns for peer, ns in hop.items() if peer.startswith("nft")}
        for hook in "xdp", "tc":
            row(f"{name}, hook {hook}, a new header", "ns", hop.get(f"xdpctl-{hook}"), peers,
                [("nft linear", "<=", 0.05)])
        for lan in lans.values():
            lan.remove()


def with_lists(lan):
    """A list of 100,000 rules and a policy on both VMs' ports."""
    text = OWN + rules.acl_file(rules.load("acl1", 100_000), "deny")
    for port in "p1", "p2":
        lan.xdpctl_file("acl", "load", "dev", port, "out", text=text)
        lan.xdpctl("port", "set", "dev", port, "policy-out", "deny")
    return lan


def bench_established():
    section("Established connections: 100,000 rules and stateful policies beside none")
    if not HAVE_XDPCTL:
        return
    for hook in "xdp", "tc":
        lans = {"none": Lan("none", live=True), "without": Lan("xdpctl-" + hook, live=True, name=hook),
                "with": with_lists(Lan("xdpctl-" + hook, live=True, name=hook + "-acl"))}
        for burst, what in (64, "bursts of 64"), (1, "single frames"):
            results = take_turns(list(lans), 5 if QUICK else 15,
                                 lambda variant, _, size=burst: lans[variant].send(size, "ms", 100))
            hop = {variant: round(statistics.median(result["ns"] - none["ns"] for result, none
                                                    in zip(got, results["none"])), 1)
                   for variant, got in results.items()}
            row(f"established, hook {hook}, {what}", "ns", hop["with"], {"no list": hop["without"]},
                [("no list", "<=", 1.15)])
        for lan in lans.values():
            lan.remove()
    lans = {"without": Lan("xdpctl-auto"), "with": with_lists(Lan("xdpctl-auto", name="auto-acl"))}
    results = take_turns(list(lans), 4 if QUICK else 12,
                         lambda variant, turn: lans[variant].iperf(CPUS[turn % 2 - 1], CPUS[-(turn % 2)],
                                                                   1 if QUICK else 2))
    gbps = {variant: round(statistics.median(got), 2) for variant, got in results.items()}
    row("TCP from VM to VM", "Gbit/s", gbps["with"], {"no list": gbps["without"]}, [("no list", ">=", 0.97)])
    if not json.loads(lans["with"].xdpctl("-j", "flow", "count"))["count"]:
        raise Failure("no connection was tracked")
