"""
What the sections of the bench have in common: the LANs that they measure in, turns, and the
table of figures.

    vm1 ──veth── p1  switch  p2 ──veth── vm2      three namespaces a LAN;
                                                  "none" has vm1 ──veth── vm2

Variants of a LAN: none; bridge, the Linux bridge at its best (no snooping, no netfilter);
bridge-nf, the same with br_netfilter's default settings, where the kernel has it; bare-xdp and
bare-tc, BPF programs that only redirect; xdpctl-xdp, -tc and -auto, by hook.
"""
import json
import os
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOLS = os.path.join(ROOT, "build/bench")
XDPCTL = os.path.abspath(os.environ.get("XDPCTL") or os.path.join(ROOT, "build/xdpctl"))
HAVE_XDPCTL = os.access(XDPCTL, os.X_OK)
HAVE_BRIDGE_NF = os.path.isdir("/proc/sys/net/bridge")
QUICK = os.environ.get("QUICK", "") not in ("", "0")
NAPI = os.environ.get("NAPI", "pass")
CPUS = sorted(os.sched_getaffinity(0))
PREFIX = f"xb-{os.getpid()}-"

MAC1, MAC2 = "02:be:00:00:00:01", "02:be:00:00:00:02"
IP1, IP2 = "198.18.0.1", "198.18.0.2"


class Failure(Exception):
    """Something that has to work did not."""


def sh(*command, **options):
    """Runs a command and returns what it printed."""
    done = subprocess.run([str(word) for word in command], capture_output=True,
                          text=True, **options)
    if done.returncode:
        raise Failure(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def tool(name, *arguments, cpu=None):
    """Runs one of the bench's programs, undisturbed as far as possible; returns its JSON."""
    prefix = ["nice", "-n", "-20", "taskset", "-c", cpu] if cpu is not None else []
    out = sh(*prefix, os.path.join(TOOLS, name), *arguments)
    return json.loads(out) if out else None


def timed(*command):
    """Milliseconds that a command takes."""
    start = time.perf_counter()
    sh(*command)
    return (time.perf_counter() - start) * 1000


def take_turns(variants, rounds, measure):
    """{variant: [result of each round]}, the variants taking turns."""
    results = {variant: [] for variant in variants}
    for turn in range(rounds):
        for variant in variants:
            results[variant].append(measure(variant, turn))
    return results


class Lan:
    """Two VMs (namespaces) and the switch between them. live: to be sent live frames; name: where
    there are several of a variant."""

    ip1, ip2 = IP1, IP2

    def __init__(self, variant, live=False, name=None):
        self.variant = variant
        self.name = name or variant
        self.vm1, self.vm2, self.switch = (PREFIX + self.name + end for end in ("-vm1", "-vm2", "-sw"))
        self.made = []
        all_lans.append(self)
        for netns in self.vm1, self.vm2, self.switch:
            self.made.append(netns)
            sh("ip", "netns", "add", netns)
            self.sysctl(netns, "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        if variant == "none":
            self.veth(self.vm1, "vm1", MAC1, self.vm2, "vm2", "address", MAC2)
        else:
            self.veth(self.vm1, "vm1", MAC1, self.switch, "p1")
            self.veth(self.vm2, "vm2", MAC2, self.switch, "p2")
        sh("ip", "-n", self.vm1, "address", "add", f"{self.ip1}/24", "dev", "vm1")
        sh("ip", "-n", self.vm2, "address", "add", f"{self.ip2}/24", "dev", "vm2")
        getattr(self, "connect_" + variant.partition("-")[0])(variant.partition("-")[2])
        if live and variant not in ("none", "bare-xdp", "xdpctl-xdp"):
            self.napi()

    @staticmethod
    def sysctl(netns, *settings):
        sh("nsenter", f"--net=/run/netns/{netns}", "sysctl", "-qw", *settings)

    @staticmethod
    def veth(netns, dev, mac, peer_netns, peer, *peer_options):
        sh("ip", "-n", netns, "link", "add", dev, "address", mac, "type", "veth",
           "peer", "name", peer, *peer_options, "netns", peer_netns)
        sh("ip", "-n", netns, "link", "set", dev, "up")
        sh("ip", "-n", peer_netns, "link", "set", peer, "up")

    def connect_none(self, _):
        pass

    def connect_bridge(self, kind):
        """A bridge at its best: no snooping, and no netfilter unless the variant is about that."""
        if HAVE_BRIDGE_NF:
            self.sysctl(self.switch, *(f"net.bridge.bridge-nf-call-{table}={int(kind == 'nf')}"
                                       for table in ("iptables", "ip6tables", "arptables")))
        sh("ip", "-n", self.switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", 0)
        sh("ip", "-n", self.switch, "link", "set", "br0", "up")
        for port in "p1", "p2":
            sh("ip", "-n", self.switch, "link", "set", port, "master", "br0")

    def connect_bare(self, hook):
        tool("redirect", self.switch, hook, "p1", "p2")

    def connect_xdpctl(self, hook):
        if hook == "xdp":  # a veth takes XDP frames only when its peer has NAPI on
            for netns, dev in (self.vm1, "vm1"), (self.vm2, "vm2"):
                sh("nsenter", f"--net=/run/netns/{netns}", "ethtool", "-K", dev, "gro", "on")
        self.xdpctl("network", "add", "lan", "mode", "bridge", "ageing", "1h", "fdb-max", 1 << 20)
        for port in "p1", "p2":
            self.xdpctl("port", "add", "lan", "dev", port, "hook", hook)

    def xdpctl(self, *words):
        return sh(XDPCTL, "-n", self.switch, *words)

    def xdpctl_file(self, *words, text):
        """A command whose last argument is a file."""
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(text)
            file.flush()
            return self.xdpctl(*words, file.name)

    def status(self):
        return json.loads(self.xdpctl("-j", "status"))

    def napi(self):
        """Live frames enter a port through NAPI only. An XDP program that passes everything is
        quicker than GRO for all variants that switch skbs, the bridge too: so they all have it."""
        if NAPI == "pass":
            tool("redirect", self.switch, "pass", "p1", "p2")
        else:
            for port in "p1", "p2":
                sh("nsenter", f"--net=/run/netns/{self.switch}", "ethtool", "-K", port, "gro", "on")

    def send(self, burst, *what, back=False):
        """Live frames from vm1 to vm2, or back; see traffic.c."""
        ends = [self.vm1, "vm1", self.vm2, "vm2"]
        got = tool("traffic", *(ends[2:] + ends[:2] if back else ends), burst, *what, cpu=CPUS[-1])
        if not got["received"]:
            raise Failure(f"{self.name}: no frame of {got['sent']} arrived")
        return got

    def nft(self, text):
        sh("nsenter", f"--net=/run/netns/{self.switch}", "nft", "-f", "-", input=text)

    def iperf(self, client_cpu, server_cpu, seconds):
        """Gbit/s of one TCP connection from vm1 to vm2."""
        def inside(netns, cpu):
            # nice(1) would not do: it counts within a session only. iperf3 sleeps when it has to wait
            return ["chrt", "--fifo", "1", "nsenter", f"--net=/run/netns/{netns}", "taskset", "-c", str(cpu), "iperf3"]

        server = subprocess.Popen([*inside(self.vm2, server_cpu), "-s", "-1", "-B", self.ip2],
                                  stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 5
            while ":1451 00000000:0000 0A" not in open(f"/proc/{server.pid}/net/tcp").read():
                if time.monotonic() > deadline or server.poll() is not None:
                    raise Failure(f"{self.name}: the iperf3 server does not listen")
                time.sleep(0.02)
            out = sh(*inside(self.vm1, client_cpu), "-c", self.ip2, "-t", seconds, "-J", "--connect-timeout", 3000)
            return json.loads(out)["end"]["sum_received"]["bits_per_second"] / 1e9
        finally:
            server.kill()
            server.wait()

    def remove(self):
        if self.variant.startswith("xdpctl") and self.switch in self.made:
            subprocess.run([XDPCTL, "-n", self.switch, "detach"], capture_output=True, check=False)
        for netns in self.made:
            subprocess.run(["ip", "netns", "del", netns], capture_output=True, check=False)
        self.made = []
        all_lans.remove(self)


all_lans = []
rows = []


def row(name, unit, ours, peers=None, targets=()):
    """One figure. targets: (peer or None for an absolute one, "<=" or ">=", number)."""
    peers = peers or {}
    verdicts = []
    if ours is not None:
        for peer, sign, limit in targets:
            value = ours / peers[peer] if peer else ours
            verdicts.append(value <= limit if sign == "<=" else value >= limit)
    rows.append({
        "name": name, "unit": unit, "ours": ours, "peers": peers,
        "ratios": {peer: round(ours / value, 3) for peer, value in peers.items()
                   if ours is not None and value},
        "target": ", ".join(f"{sign} {limit} {'x ' + peer if peer else unit}"
                            for peer, sign, limit in targets) or None,
        "ok": all(verdicts) if verdicts else None,
    })
    print_row(rows[-1], targets, verdicts)


def short(value):
    """Three digits that count."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def print_row(figure, targets, verdicts):
    """A line for the figure's absolute target or none, then one for each peer."""
    def line(name, ours, peer, value, target_of):
        ratio = figure["ratios"].get(value)
        wanted = [(i, target) for i, target in enumerate(targets) if target[0] == target_of]
        text = f"{wanted[0][1][1]} {wanted[0][1][2]}" if wanted else ""
        verdict = "" if not wanted or not verdicts else "ok" if verdicts[wanted[0][0]] else "MISS"
        print(f"  {name:<38} {ours:>9}  {peer:<20} {short(ratio) if ratio is not None else '':>6}"
              f"  {text:<9} {verdict}".rstrip(), flush=True)

    name, ours = f"{figure['name']}, {figure['unit']}", short(figure["ours"])
    if not figure["peers"] or any(not target[0] for target in targets):
        line(name, ours, "", None, None)
        name = ours = ""
    for peer, value in figure["peers"].items():
        line(name, ours, f"{peer} {short(value)}", peer, peer)
        name = ours = ""


def section(title):
    print(f"\n{title}\n  {'':<38} {'ours':>9}  {'peer':<20} {'ratio':>6}  target", flush=True)


def if_built(*names):
    """The variants that need xdpctl, if there is one."""
    return list(names) if HAVE_XDPCTL else []


