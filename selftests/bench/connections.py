"""
Connections: a million of them, and a flood of openings.

    million  what a packet costs with a thousand and with a million connections open
    flood    one VM sends openings, twice the room for them a second; others transfer data
"""
import json
import os
import statistics
import subprocess
import time

from common import (CPUS, HAVE_XDPCTL, MAC1, PREFIX, QUICK, TOOLS, Failure, Lan, row, section, sh, take_turns,
                    tool)

FEW, MANY = 1000, 1_000_000
CHUNK = 40_000  # opened at once, before they are answered
PACKETS = 2_000_000
OPENING_ROOM = 1 << 16  # connections not answered yet (maps/flow.h)
MAC3, MAC4 = "02:be:00:00:00:03", "02:be:00:00:00:04"


def map_bytes():
    """{id: octets} of the BPF maps there are."""
    return {entry["id"]: entry["bytes_memlock"] for entry in json.loads(sh("bpftool", "-j", "map", "show"))}


def available():
    """Octets of memory that are available."""
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))


def flow_count(lan):
    return json.loads(lan.xdpctl("-j", "flow", "count"))


def open_flows(lan, first, count):
    """Opens connections from vm1 and has vm2 answer them."""
    for start in range(first, first + count, CHUNK):
        number = min(CHUNK, first + count - start)
        lan.send(64, "flows", start, number, number)
        lan.send(64, "answers", start, number, number, back=True)


def bench_million():
    section("64-byte frames of all open connections in rotation: what the switch adds to each")
    if not HAVE_XDPCTL:
        return
    for hook in "xdp", "tc":
        maps, memory = map_bytes(), available()
        lan = Lan("xdpctl-" + hook, live=True)
        lans = {"none": Lan("none", live=True), hook: lan}
        lan.send(64, "ms", 20)
        lan.xdpctl("port", "set", "dev", "p1", "policy-in", "deny")

        def measure(used):
            """Nanoseconds that the switch adds to a frame of `used` connections in rotation."""
            results = take_turns(list(lans), 3 if QUICK else 7,
                                 lambda variant, _: lans[variant].send(64, "flows", 0, used, PACKETS))
            return round(statistics.median(ours["ns"] - none["ns"] for ours, none
                                           in zip(results[hook], results["none"])), 1)

        open_flows(lan, 0, FEW)
        few = measure(FEW)
        open_flows(lan, FEW, MANY - FEW)
        known = flow_count(lan)
        if known["count"] < MANY or known["half_open"] > FEW:
            raise Failure(f"hook {hook}: of {MANY} connections {known} are open")
        row(f"{MANY} open, {FEW} of them used, hook {hook}", "ns", measure(FEW), {f"{FEW} open": few},
            [(f"{FEW} open", "<=", 2)])
        row(f"{MANY} open, all of them used, hook {hook}", "ns", measure(MANY), {f"{FEW} open": few},
            [(f"{FEW} open", "<=", 2)])
        row("  memory of all maps", "MiB", round(sum(
            size for number, size in map_bytes().items() if number not in maps) / 2**20, 1))
        row("  less memory available", "MiB", round((memory - available()) / 2**20, 1))
        for each in lans.values():
            each.remove()


class Flooded(Lan):
    """A LAN with two more VMs: the third sends what the fourth does not answer."""

    def __init__(self):
        super().__init__("xdpctl-auto", live=True, name="flood")
        self.vm3, self.vm4 = PREFIX + "flood-vm3", PREFIX + "flood-vm4"
        for netns, dev, mac in (self.vm3, "vm3", MAC3), (self.vm4, "vm4", MAC4):
            self.made.append(netns)
            sh("ip", "netns", "add", netns)
            self.sysctl(netns, "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
            self.veth(netns, dev, mac, self.switch, "p" + dev[2])
            self.xdpctl("port", "add", "lan", "dev", "p" + dev[2], "hook", "auto")
        tool("flood", self.vm4, "vm4", MAC3, MAC4, "same", 1000, 10)
        tool("flood", self.vm3, "vm3", MAC4, MAC3, "same", 1000, 10)
        for port in "p1", "p3":
            self.xdpctl("port", "set", "dev", port, "policy-in", "deny")

    def transfer(self, what, turn):
        """Gbit/s from vm1 to vm2 while vm3 sends `what`, twice the room for openings a second."""
        seconds = 2 if QUICK else 5
        flood = what != "nothing" and subprocess.Popen(
            [os.path.join(TOOLS, "flood"), self.vm3, "vm3", MAC4, MAC3, what, str(2 * OPENING_ROOM),
             str((seconds + 3) * 1000)], stdout=subprocess.PIPE, text=True)
        try:
            if flood:
                time.sleep(1)  # to fill the room
            return self.iperf(CPUS[turn % 2 - 1], CPUS[-(turn % 2)], seconds)
        finally:
            if flood:
                flood.terminate()
                flood.communicate()


def bench_flood():
    section("A flood of openings from one VM beside others' connections")
    if not HAVE_XDPCTL:
        return
    lan = Flooded()
    open_flows(lan, 0, FEW)
    results = take_turns(["nothing", "same", "syn"], 2 if QUICK else 6, lan.transfer)
    gbps = {what: round(statistics.median(got), 2) for what, got in results.items()}
    full = flow_count(lan)["half_open"]
    if full < 0.9 * OPENING_ROOM:
        raise Failure(f"the flood opened {full} connections only")
    row("TCP during the flood", "Gbit/s", gbps["syn"], {"as many frames of one flow": gbps["same"],
                                                         "quiet": gbps["nothing"]},
        [("as many frames of one flow", ">=", 0.95)])
    # policy-in deny: an answer passes only to a connection that is still known
    got = lan.send(64, "answers", 0, FEW, FEW, back=True)
    row("connections lost of a thousand idle ones", "", FEW - got["received"], {}, [(None, "<=", 0)])
