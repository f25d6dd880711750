#!/usr/bin/python3
"""
Rule sets for the bench: ClassBench sets (tests/classbench), and one of single hosts, as files
for `xdpctl acl load`, as nftables chains, and as files of frames that are drawn from rules.

    selftests/bench/rules.py SET COUNT {acl|nft|map|frames}     to stdout

SET is acl1, fw1, ipc1 or hosts; COUNT rules of it. nft: a chain of the bridge family with one
rule each; map: the same with one look-up in a verdict map, for hosts alone; frames: 4096 of
them from rules drawn at random, 64 octets each. A ClassBench line is
`@src/len dst/len lo : hi (source ports) lo : hi (destination ports) proto/mask flags/mask`; the
flags are not those of TCP only, and are left out here, in the same way for all.
"""
import lzma
import os
import random
import socket
import struct
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLASSBENCH = os.environ.get("CLASSBENCH") or os.path.join(ROOT, "tests/classbench")
SIZES = (1000, 10_000, 100_000)
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 132: "sctp"}
ANY_PORT = (0, 65535)
FRAMES = 4096


class Rule:
    """proto None: any; addresses as (number, prefix length), ports as (lowest, highest)."""

    def __init__(self, src, dst, sport, dport, proto):
        self.src, self.dst, self.sport, self.dport, self.proto = src, dst, sport, dport, proto

    def acl(self, action):
        """The words of a line for `acl load`."""
        words = []
        if not self.src[1] and not self.dst[1]:
            words.append("family ip")
        if self.proto is not None:
            words.append(f"proto {PROTOCOLS.get(self.proto, self.proto)}")
        words += [f"{word} {prefix_text(prefix)}" for word, prefix in (("src", self.src), ("dst", self.dst))
                  if prefix[1]]
        words += [f"{word} {range_text(ports)}" for word, ports in (("sport", self.sport), ("dport", self.dport))
                  if ports != ANY_PORT]
        return " ".join([*words, action])

    def nft(self, action):
        words = []
        if not self.src[1] and not self.dst[1] and self.proto is None:
            words.append("meta protocol ip")
        words += [f"ip {word} {prefix_text(prefix)}" for word, prefix in (("saddr", self.src), ("daddr", self.dst))
                  if prefix[1]]
        if self.sport == self.dport == ANY_PORT:
            if self.proto is not None:
                words.append(f"ip protocol {self.proto}")
        else:
            words += [f"{PROTOCOLS[self.proto]} {word} {range_text(ports)}"
                      for word, ports in (("sport", self.sport), ("dport", self.dport)) if ports != ANY_PORT]
        return " ".join([*words, action])

    def draw(self, rng):
        """(proto, src, dst, sport, dport) of a packet that the rule matches."""
        proto = rng.choice((6, 17)) if self.proto is None else self.proto
        addresses = (prefix[0] | rng.getrandbits(32) & ~mask(prefix[1]) for prefix in (self.src, self.dst))
        return proto, *addresses, rng.randint(*self.sport), rng.randint(*self.dport)


def mask(length):
    return 0xffffffff << 32 - length & 0xffffffff


def address_text(number):
    return socket.inet_ntoa(struct.pack(">I", number))


def prefix_text(prefix):
    return address_text(prefix[0]) + (f"/{prefix[1]}" if prefix[1] != 32 else "")


def range_text(ports):
    return f"{ports[0]}-{ports[1]}" if ports[0] != ports[1] else str(ports[0])


def parse_prefix(text):
    address, length = text.split("/")
    return struct.unpack(">I", socket.inet_aton(address))[0] & mask(int(length)), int(length)


def parse_range(text):
    low, high = text.split(":")
    return int(low), int(high)


def parse_line(line):
    src, dst, sport, dport, proto = line[1:].split("\t")[:5]
    number, proto_mask = (int(part, 16) for part in proto.split("/"))
    rule = Rule(parse_prefix(src), parse_prefix(dst), parse_range(sport), parse_range(dport),
                number if proto_mask else None)
    if rule.proto not in (6, 17, 132) and (rule.sport, rule.dport) != (ANY_PORT, ANY_PORT):
        return None  # ports of a protocol that may have none
    return rule


def hosts(count):
    """Rules that ask for one address each, a protocol and a port: those that a hash can hold."""
    rng = random.Random(count)
    unique = {}
    while len(unique) < count:
        src, dst = (0x0a000000 | rng.getrandbits(24) for _ in range(2))
        proto, port = rng.choice((6, 17)), rng.randint(1, 65535)
        unique[src, dst, proto, port] = Rule((src, 32), (dst, 32), ANY_PORT, (port, port), proto)
    return list(unique.values())


def load(name, count):
    """The first `count` rules of a set (fewer where the set has fewer)."""
    if name == "hosts":
        return hosts(count)
    size = min(size for size in SIZES if size >= count)
    with lzma.open(os.path.join(CLASSBENCH, f"{name}_{size // 1000}k.xz"), "rt") as file:
        rules = [parse_line(line) for line in file if line.startswith("@")]
    return [rule for rule in rules if rule][:count]


def acl_file(rules, action):
    return "".join(rule.acl(action) + "\n" for rule in rules)


def nft_file(rules, action, otherwise):
    """A chain that each bridged packet goes through, and its policy."""
    lines = "\n".join(rule.nft(action) for rule in rules)
    return ("table bridge bench {\nchain forward {\ntype filter hook forward priority 0; "
            f"policy {otherwise};\nether type arp accept\n{lines}\n}}\n}}\n")


def nft_map_file(rules, action, otherwise):
    """The same for rules of single hosts, in a verdict map."""
    elements = ",\n".join(f"{address_text(rule.src[0])} . {address_text(rule.dst[0])} . "
                          f"{rule.proto} . {rule.dport[0]} : {action}" for rule in rules)
    return ("table bridge bench {\nmap verdicts {\n"
            "typeof ip saddr . ip daddr . ip protocol . th dport : verdict\n"
            f"elements = {{\n{elements}\n}}\n}}\n"
            f"chain forward {{\ntype filter hook forward priority 0; policy {otherwise};\n"
            "ether type arp accept\n"
            "ip saddr . ip daddr . ip protocol . th dport vmap @verdicts\n}\n}\n")


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def frame(proto, src, dst, sport, dport):
    """A 60-octet frame, with zeros for the hardware addresses, padded to 64 octets."""
    if proto == 6:  # a SYN
        upper, at = struct.pack(">HHIIBBHHH", sport, dport, 1, 0, 5 << 4, 2, 65535, 0, 0), 16
    elif proto == 17:
        upper, at = struct.pack(">HHHH18x", sport, dport, 26, 0), 6
    elif proto == 1:  # an echo request
        upper, at = struct.pack(">BBHHH18x", 8, 0, 0, sport, 1), 2
    else:
        upper, at = bytes(26), None
    if at:
        pseudo = b"" if proto == 1 else struct.pack(">IIHH", src, dst, proto, len(upper))
        upper = upper[:at] + struct.pack(">H", checksum(pseudo + upper) or 0xffff) + upper[at + 2:]
    header = struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(upper), 0, 0, 64, proto, 0, src, dst)
    header = header[:10] + struct.pack(">H", checksum(header)) + header[12:]
    return (bytes(12) + b"\x08\x00" + header + upper).ljust(64, b"\0")


def is_host(address):
    return address >> 24 not in (0, 127) and address >> 28 < 14


def draw_frames(rules, count, seed=1, unique=False):
    """Frames of packets that rules drawn at random match. unique: none twice, and all of them may
    begin a connection: TCP and UDP between addresses of single hosts."""
    rng = random.Random(seed)
    drawn, seen = [], set()
    if unique:
        rules = [rule for rule in rules if rule.proto in (None, 6, 17)]
    for _ in range(count * 20):
        if len(drawn) == count:
            break
        packet = rng.choice(rules).draw(rng)
        if unique and (packet in seen or not (is_host(packet[1]) and is_host(packet[2]))):
            continue
        seen.add(packet)
        drawn.append(frame(*packet))
    return drawn


def main():
    if len(sys.argv) != 4 or sys.argv[3] not in ("acl", "nft", "map", "frames"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    rules = load(sys.argv[1], int(sys.argv[2]))
    if sys.argv[3] == "frames":
        sys.stdout.buffer.write(b"".join(draw_frames(rules, FRAMES)))
    elif sys.argv[3] == "acl":
        sys.stdout.write(acl_file(rules, "allow"))
    else:
        sys.stdout.write((nft_file if sys.argv[3] == "nft" else nft_map_file)(rules, "accept", "drop"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
