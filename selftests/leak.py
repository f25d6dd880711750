#!/usr/bin/python3
"""leak.py - sends frames that nobody should have made, out of a VM of a nat network and in from the
wire, and looks whether anything private leaves, for nat_leak.sh.

    leak.py PREFIX GATEWAY SECONDS SEED PCAP...

GATEWAY is the address of the network's device. Frames are crafted ones and those of the
captures, with the VM's or the wire's addresses in them; most of them are mutated, and some have their
checksums made right again. Whatever was sent, these must hold on the wire:

    - a frame has the uplink's Ethernet address as source
    - an IP packet has an address of the host's as source, and no private one as destination
    - nor has what an ICMP error quotes, nor an ARP or ND packet

Says how many frames were sent, and how many came out; what was wrong, at the first time.
"""

import ipaddress
import os
import random
import struct
import sys
import time

import craft

VM, WIRE = "192.168.50.90", "10.0.0.210"
VM6, WIRE6 = "fd00:50::90", "fd00::210"
PRIVATE = [ipaddress.ip_network(net) for n in (50, 60, 70)
           for net in (f"192.168.{n}.0/24", f"fd00:{n}::/64")]
HOST = [ipaddress.ip_address(a) for a in ("10.0.0.100", "fd00::100")]
UPLINK = bytes.fromhex("020000000064")
BRIDGED = bytes.fromhex("020000000001")  # v1

OUT = """
ip/VM/WIRE udp/4000/53
ip/VM/WIRE udp/4000/53 zero
ip/VM/WIRE tcp/4000/80/S/1
ip/VM/WIRE tcp/4000/80/A/2/2
ip/VM/WIRE icmp/8/0/77
ip/VM/WIRE icmp/13/0/77
ip/VM/WIRE icmp/3/3 quote ip/WIRE/VM udp/53/4000
ip/VM/WIRE icmp/3/3 quote/28 ip/WIRE/VM udp/53/4000
ip/VM/WIRE icmp/11/0 quote ip/WIRE/VM tcp/80/4000/A/2/2
ip/VM/WIRE icmp/3/4/mtu=600 quote ip/VM/WIRE udp/4000/53
ip/VM/WIRE icmp/5/1 quote ip/WIRE/VM udp/53/4000
ip/VM/WIRE sctp/4000/5000
ip/VM/WIRE proto/47
ip/VM/WIRE proto/4
ip/VM/WIRE proto/50
ip/VM/WIRE/options=07040000 udp/4000/53
ip/VM/WIRE/options=01010101 icmp/8/0/78
ip/VM/WIRE/ttl=1 udp/4000/53
ip/VM/WIRE/id=7 udp/4000/53 part/0/40
ip/VM/WIRE/id=7 udp/4000/53 part/40
ip/VM/WIRE/id=8 udp/4000/53 part/8
ip/VM/10.0.0.100 udp/4000/4000
ip/VM/10.0.0.100 tcp/4001/22/S/1
ip/VM/192.168.50.1 icmp/8/0/1
ip/VM/192.168.60.13 udp/4000/53
ip/VM/203.0.113.2 udp/4000/53
ip/VM/203.0.113.2/ttl=2 udp/4000/53
ip/VM/255.255.255.255 udp/68/67
ip/VM/224.0.0.251 udp/5353/5353
ip/VM/10.0.0.255 udp/4000/53
ip/0.0.0.0/WIRE udp/4000/53
ip/10.0.0.100/WIRE udp/4000/53
ip/192.168.60.13/WIRE udp/4000/53
ip/127.0.0.1/WIRE udp/4000/53
ip/VM6/WIRE6 udp/4000/53
ip/VM6/WIRE6 tcp/4000/80/S/1
ip/VM6/WIRE6 icmp/128/0/77
ip/VM6/WIRE6 icmp/1/4 quote ip/WIRE6/VM6 udp/53/4000
ip/VM6/WIRE6 icmp/2/0/mtu=1280 quote/48 ip/WIRE6/VM6 tcp/80/4000/A/2/2
ip/VM6/WIRE6 icmp/3/0 quote ip/VM6/WIRE6 udp/4000/53
ip/VM6/WIRE6 icmp/133/0
ip/VM6/WIRE6 icmp/137/0
ip/VM6/WIRE6 ns/WIRE6
ip/VM6/WIRE6 na/VM6
ip/VM6/WIRE6 hbh dstopts/1 udp/4000/53
ip/VM6/WIRE6 route udp/4000/53
ip/VM6/WIRE6 ah udp/4000/53
ip/VM6/WIRE6 frag udp/4000/53
ip/VM6/WIRE6/id=7 udp/4000/53 part/0/40
ip/VM6/WIRE6/id=7 udp/4000/53 part/40
ip/VM6/WIRE6 proto/41
ip/VM6/WIRE6 sctp/4000/5000
ip/VM6/fd00:60::13 udp/4000/53
ip/VM6/fd00::100 udp/4000/4000
ip/VM6/ff02::1 udp/4000/53
ip/VM6/ff0e::1 udp/4000/53
ip/fe80::90/WIRE6 udp/4000/53
ip/::/WIRE6 udp/4000/53
ip/fd00::100/WIRE6 udp/4000/53
arp/1/m90/VM/00:00:00:00:00:00/WIRE
arp/2/m90/VM/m100/10.0.0.100
88b5
88cc
""".split("\n")[1:-1]

IN = """
ip/WIRE/10.0.0.100 udp/53/4000
ip/WIRE/10.0.0.100 udp/54/4000
ip/WIRE/10.0.0.100 tcp/80/4000/SA/1/2
ip/WIRE/10.0.0.100 tcp/5000/8080/S/1
ip/WIRE/10.0.0.100 udp/5000/5353
ip/WIRE/10.0.0.100 icmp/0/0/77
ip/WIRE/10.0.0.100 icmp/8/0/9
ip/WIRE/10.0.0.100 icmp/3/3 quote ip/10.0.0.100/WIRE udp/4000/53
ip/WIRE/10.0.0.100 icmp/3/3 quote ip/VM/WIRE udp/4000/53
ip/10.0.0.100/10.0.0.100 udp/4000/5353
ip/VM/10.0.0.100 udp/53/5353
ip/VM/VM udp/53/5353
ip/WIRE/VM udp/53/4000
ip/WIRE/VM icmp/8/0/9
ip/WIRE/10.0.0.100/ttl=1 udp/53/4000
ip/WIRE/10.0.0.100/id=9 udp/53/4000 part/0/40
ip/WIRE/10.0.0.100/id=9 udp/53/4000 part/40
ip/WIRE6/fd00::100 udp/53/4000
ip/WIRE6/fd00::100 tcp/5000/8080/S/1
ip/WIRE6/fd00::100 icmp/1/4 quote ip/fd00::100/WIRE6 udp/4000/53
ip/WIRE6/fd00::100 icmp/129/0/77
ip/WIRE6/VM6 udp/53/4000
ip/VM6/fd00::100 udp/53/5353
arp/1/m210/WIRE/00:00:00:00:00:00/VM
arp/1/m210/WIRE/00:00:00:00:00:00/192.168.50.1
""".split("\n")[1:-1]


def crafted(lines, target, source):
    words = [line.replace("VM6", VM6).replace("WIRE6", WIRE6).replace("VM", VM).replace("WIRE", WIRE)
             for line in lines]
    return [craft.build(f"{target} {source} {line}", b"") for line in words]


def captured(paths):
    """The frames of Ethernet captures."""
    out = []
    for path in paths:
        with open(path, "rb") as file:
            data = file.read()
        order = {0xa1b2c3d4: "<", 0xa1b23c4d: "<", 0xd4c3b2a1: ">", 0x4d3cb2a1: ">"}.get(
            struct.unpack("<I", data[:4])[0] if len(data) >= 24 else 0)
        if not order or struct.unpack(order + "I", data[20:24])[0] & 0xffff != 1:
            continue
        at = 24
        while at + 16 <= len(data):
            size = struct.unpack(order + "I", data[at + 8:at + 12])[0]
            if 14 <= size <= 1500:
                out.append(data[at + 16:at + 16 + size])
            at += 16 + size
    return out


def readdress(frame, target, source, addresses):
    """A frame with other Ethernet addresses, and perhaps other IP addresses."""
    out = bytearray(craft.mac(target) + craft.mac(source) + frame[12:])
    if out[12:14] == b"\x08\x00" and len(out) >= 34:
        for at, address in ((26, addresses[0]), (30, addresses[1])):
            if address:
                out[at:at + 4] = ipaddress.ip_address(address).packed
        right(out)
    elif out[12:14] == b"\x86\xdd" and len(out) >= 54:
        for at, address in ((22, addresses[2]), (38, addresses[3])):
            if address:
                out[at:at + 16] = ipaddress.ip_address(address).packed
    return bytes(out)


def right(frame):
    """Makes the IPv4 header's checksum right."""
    size = (frame[14] & 15) * 4
    if size >= 20 and len(frame) >= 14 + size:
        frame[24:26] = b"\0\0"
        frame[24:26] = struct.pack("!H", craft.checksum(bytes(frame[14:14 + size])))


def mutate(frame, rng):
    out = bytearray(frame)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 6))):
        kind = rng.randrange(9)
        at = rng.randrange(12, min(len(out), 100))
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at] = rng.choice((0, 1, 4, 5, 6, 17, 41, 44, 47, 50, 58, 60, 127, 128, 255))
        elif kind == 2:
            value = rng.choice((0, 1, 8, 20, 0xffff, 0x4000, 0x2000, 0x1fff, len(out)))
            out[at:at + 2] = struct.pack("!H", value)
        elif kind == 3:
            del out[rng.randrange(14, len(out) + 1):]
        elif kind == 4:
            out += os.urandom(8) if rng.randrange(2) else bytes(rng.randrange(1, 40))
        elif kind == 5:
            del out[at:at + rng.choice((1, 2, 4, 8, 20, 40))]
        elif kind == 6:
            out[at:at] = bytes(out[at:at + rng.choice((1, 2, 4, 8, 20, 40))])
        elif kind == 7:
            out[12:12] = rng.choice((b"\x81\x00\x00\x00", b"\x81\x00\x00\x0a", b"\x88\xa8\x00\x05"))
        elif len(out) >= 34:
            place = rng.choice((14, 15, 16, 20, 22, 23, 26, 30, 34, 42))
            if place < len(out):
                out[place] = rng.randrange(256)
        if len(out) < 14:
            out += bytes(14 - len(out))
    if rng.randrange(2) and out[12:14] == b"\x08\x00" and len(out) >= 34:
        right(out)
    return bytes(out[:1514])


# ---- what came out ----


def private(octets):
    address = ipaddress.ip_address(bytes(octets))
    return any(address in net for net in PRIVATE if net.version == address.version)


def wrong_packet(data, outer):
    """What is wrong with an IP packet; outer: or what an error quotes. The host's own errors, of
    which nobody decremented the TTL, give the wire back what it sent."""
    if len(data) >= 20 and data[0] >> 4 == 4:
        source, target, proto, size = data[12:16], data[16:20], data[9], (data[0] & 15) * 4
        own = data[8] == 64
        first = not struct.unpack("!H", data[6:8])[0] & 0x1fff
        if outer and ipaddress.ip_address(source) not in HOST:
            return f"source {ipaddress.ip_address(source)}"
    elif len(data) >= 40 and data[0] >> 4 == 6:
        source, target, proto, size, first = data[8:24], data[24:40], data[6], 40, True
        own = data[7] == 64
        address = ipaddress.ip_address(source)
        if outer and address not in HOST and not address.is_link_local and not address.is_unspecified:
            return f"source {address}"
    else:
        return "no IP packet" if outer else None
    for name, octets in (("source", source), ("destination", target)):
        if private(octets):
            return f"private {name}{'' if outer else ' in a quote'}"
    body = data[size:]
    errors = ((1, 3), (1, 4), (1, 5), (1, 11), (1, 12))
    if len(source) == 16:
        errors = ((58, 1), (58, 2), (58, 3), (58, 4))
    if outer and first and not own and len(body) >= 8 and (proto, body[0]) in errors:
        return wrong_packet(body[8:], False)
    if outer and proto == 58 and len(body) >= 24 and body[0] in (135, 136) and private(body[8:24]):
        return "private target"
    return None


def wrong(frame):
    if frame[6:12] != UPLINK:
        return "not the uplink's frame"
    if frame[12:14] == b"\x81\x00" and not struct.unpack("!H", frame[14:16])[0] & 0xfff:
        frame = frame[:12] + frame[16:]  # a priority alone
    if frame[12:14] in (b"\x08\x00", b"\x86\xdd"):
        return wrong_packet(frame[14:], True)
    if frame[12:14] == b"\x08\x06" and len(frame) >= 42:
        if private(frame[28:32]) or private(frame[38:42]):
            return "ARP of a private address"
        return None
    return "not an IP or ARP frame"


class Test:
    def __init__(self, prefix):
        self.vm = craft.Party("a1", prefix)
        self.wire = craft.Party("wire", prefix)
        self.out = 0

    def drain(self, party, wait=0.0):
        """The first wrong frame that came to the wire, and why."""
        end = time.monotonic() + wait
        while True:
            got = self.wire.receive(self.wire.sockets[0])
            if got is None:
                if time.monotonic() >= end:
                    return None
                time.sleep(0.001)
                continue
            if not got[0] or got[0][6:12] == BRIDGED:
                continue
            self.out += 1
            why = wrong(got[0])
            if why:
                return why, got[0]

    def run(self, kinds, seconds, rng):
        count, last, end = 0, [], time.monotonic() + seconds
        while time.monotonic() < end:
            for _ in range(32):
                party, seeds = kinds[rng.randrange(len(kinds))]
                frame = mutate(seeds[rng.randrange(len(seeds))], rng)
                try:
                    party.send(frame)
                except OSError:
                    continue
                count += 1
                last = last[-255:] + [(party, frame)]
            found = self.drain(party)
            if found:
                return count, found, self.search(last)
        found = self.drain(self.vm, 0.2)
        return count, found, self.search(last) if found else None

    def search(self, last):
        """Which of the last frames it is, when one alone is enough."""
        for party, frame in reversed(last):
            self.drain(party, 0.005)
            party.send(frame)
            found = self.drain(party, 0.01)
            if found:
                return party, frame, found
        return None


def main():
    prefix, gateway, seconds, seed, *paths = sys.argv[1:]
    rng = random.Random(int(seed))
    frames = captured(paths)
    outward = crafted(OUT, gateway, "m90") + crafted(OUT, "bc", "m90")[:8]
    inward = crafted(IN, "m100", "m210")
    captures = [readdress(f, gateway, "m90", (VM, None, VM6, None)) for f in frames] + \
        [readdress(f, gateway, "m90", (VM, WIRE, VM6, WIRE6)) for f in frames]
    back = [readdress(f, "m100", "m210", (WIRE, "10.0.0.100", WIRE6, "fd00::100")) for f in frames]
    test = Test(prefix)
    kinds = [(test.vm, outward), (test.vm, outward), (test.wire, inward)]
    if frames:
        kinds += [(test.vm, captures), (test.wire, back)]
    count, found, cause = test.run(kinds, float(seconds), rng)
    print(f"{count} frames sent, {test.out} came out, seed {seed}, {len(frames)} captured ones")
    if found:
        print(f"{found[0]}: {craft.show(found[1])}\n{found[1].hex()}")
        if cause:
            print(f"because {cause[0].name} sent {craft.show(cause[1])}\n{cause[1].hex()}\n"
                  f"{cause[2][0]}: {craft.show(cause[2][1])}")
        sys.exit(1)
    sys.exit(0 if test.out else "nothing came out at all")


if __name__ == "__main__":
    main()
