#!/usr/bin/python3
"""craft.py - sends frames made to measure and looks at who gets them, for lib.sh's `frame`,
`routed`, `answer`, `answers`, `stream`, `flood`, `send` and `repeat`.

    craft.py PREFIX PARTY...    PREFIX is that of the namespaces; parties: see lib.sh

Reads one command a line, fields separated by '|', and answers with one line, "ok" or what was
wrong. A frame is written as words:

    DST SRC [TPID:TCI]... TYPE [+OCTETS]        any frame; TPID, TCI, TYPE in hexadecimal
    DST SRC [TPID:TCI]... udp/SRC/DST           UDP, ports 4000 and 4001
    DST SRC [TPID:TCI]... llc                   802.3 with LLC, as STP has it
    DST SRC [TPID:TCI]... PACKET [+OCTETS]

An address is mN (02:00:00:00:00:NN), bc, mc, mc6, or written out. A packet:

    arp/OP/HARDWARE/PROTOCOL/HARDWARE/PROTOCOL
    ip/SRC/DST[/KEY=VALUE]... [EXTENSION]... TRANSPORT    IPv4 or IPv6, by the addresses
        KEY: id, ttl, options (IPv4, octets in hexadecimal), total (the length it claims),
        sum=bad (IPv4, a wrong header checksum)
    EXTENSION   hbh[/N] dstopts[/N] (N times 8 octets more) route ah frag
    TRANSPORT   tcp/SPORT/DPORT/FLAGS[/SEQ[/ACK[/WINDOW]]]    FLAGS of FSRPAUEC, - for none
                udp/SPORT/DPORT  sctp/SPORT/DPORT  icmp/TYPE/CODE[/ID]  proto/N
                ns/TARGET  na/TARGET  icmp/TYPE/CODE[/ID|/mtu=N] quote[/N] PACKET
    quote            an error's packet, the first N octets of it
    part/FROM[/TO]   a fragment: of what follows the unfragmentable part, octets FROM to TO
    bad              a wrong transport checksum; zero: UDP without one

A `%` stands for a port that no other command's frame has. Several frames with ';' between
them are sent at once. All that a command sends carries one mark
in its payload, that is in no other frame; a frame too short for it is known by its octets.
"""

import ctypes
import errno
import fcntl
import ipaddress
import os
import select
import socket
import struct
import sys
import time

NAMED = {"bc": "ff:ff:ff:ff:ff:ff", "mc": "01:00:5e:00:00:fb", "mc6": "33:33:00:00:00:fb"}
ETH_P_ALL = 0x0003
SOL_PACKET = 263
HOST_TYPES = 0x88b5, 0x0800, 0x86dd, 0x0806, 0x88cc, 0x0004, 0x8847, 0x88a8, 0x8100
FLAGS = "FSRPAUEC"
MARK = b"xdpctl-test-"
EXTENSIONS = {"hbh": 0, "route": 43, "frag": 44, "ah": 51, "dstopts": 60}
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}

# ---- building ----


def quote(words):
    """Where an error's packet begins in words, after `quote`; their number when there is none."""
    return next((i for i, w in enumerate(words) if w.split("/")[0] == "quote"), len(words))



def mac(word):
    if word[0] == "m" and word[1:].isdigit():
        return b"\2\0\0\0" + int(word[1:]).to_bytes(2, "big")
    return bytes.fromhex(NAMED.get(word, word).replace(":", ""))


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def crc32c(data):
    crc = 0xffffffff
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return ~crc & 0xffffffff


def pseudo(source, target, proto, length):
    return source.packed + target.packed + struct.pack("!IHBB", length, 0, 0, proto)


def filling(mark, size):
    """Octets with the mark again and again, so that parts have it too."""
    if not mark:
        return bytes(i & 0xff for i in range(size))
    return (mark * (size // len(mark) + 1))[:size] if size >= len(mark) else bytes(size)


def transport(words, source, target, payload, mark):
    """The protocol number and octets of a transport header and its payload."""
    kind, *args = words[0].split("/")
    version, own = source.version, words[:quote(words)]
    where = None
    if kind == "tcp":
        sport, dport, flags = int(args[0]), int(args[1]), args[2]
        seq, ack, window = [int(n) for n in args[3:6]] + [0, 0, 65535][len(args) - 3:]
        bits = sum(1 << FLAGS.index(f) for f in flags if f != "-")
        body = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xffffffff, ack & 0xffffffff,
                           0x50, bits, window, 0, 0) + payload
        proto, where = 6, 16
    elif kind == "udp":
        body = struct.pack("!HHHH", int(args[0]), int(args[1]), 8 + len(payload), 0) + payload
        proto, where = 17, 6
    elif kind == "sctp":
        body = struct.pack("!HHII", int(args[0]), int(args[1]), 1, 0) + payload
        check = crc32c(body) ^ (0x5555 if "bad" in own else 0)
        return 132, body[:8] + struct.pack("<I", check) + body[12:]
    elif kind in ("ns", "na"):
        body = struct.pack("!BBHI", 135 if kind == "ns" else 136, 0, 0, 0) + \
            ipaddress.ip_address(args[0]).packed + payload
        proto, where = 58, 2
    elif kind == "icmp":
        rest = 0
        if len(args) > 2:
            rest = int(args[2][4:]) if args[2][:4] == "mtu=" else int(args[2]) << 16 | 1
        at = quote(words)
        if at < len(words):
            payload = packet(words[at + 1:], mark, 46)
            if "/" in words[at]:
                payload = payload[:int(words[at][6:])]
        body = struct.pack("!BBHI", int(args[0]), int(args[1]), 0, rest) + payload
        proto, where = (1, 2) if version == 4 else (58, 2)
    else:
        return int(args[0]), payload
    if where is not None:
        head = b"" if proto == 1 else pseudo(source, target, proto, len(body))
        check = checksum(head + body) or (0xffff if proto == 17 else 0)
        if "bad" in own:
            check += 0x5555  # as a sum, so that translation keeps the difference
            check = (check & 0xffff) + (check >> 16)
        if "zero" in own:
            check = 0
        body = body[:where] + struct.pack("!H", check) + body[where + 2:]
    return proto, body


def extension(word, following):
    """An IPv6 extension header; `following` is the next header's number."""
    kind, *args = word.split("/")
    if kind == "route":
        return struct.pack("!BBBBI", following, 0, 4, 0, 0)
    if kind == "ah":
        return struct.pack("!BBHIII", following, 2, 0, 1, 1, 0)
    if kind == "frag":
        return struct.pack("!BBHI", following, 0, 0, 0)
    more = int(args[0]) if args else 0
    return struct.pack("!BBBB", following, more, 1, 4 + 8 * more) + bytes(4 + 8 * more)


def arp(args):
    return struct.pack("!HHBBH", 1, 0x0800, 6, 4, int(args[0])) + mac(args[1]) + \
        ipaddress.ip_address(args[2]).packed + mac(args[3]) + ipaddress.ip_address(args[4]).packed


def packet(words, mark, size):
    """An IP packet from its words."""
    _, *args = words[0].split("/")
    source, target = (ipaddress.ip_address(a) for a in args[:2])
    keys = dict(a.split("=") for a in args[2:])
    part = None
    end = quote(words)
    for word in words[:end]:
        if word.startswith("part/"):
            part = [int(n) for n in word.split("/")[1:]]
    words = [w for i, w in enumerate(words) if i >= end or not w.startswith("part/")]
    chain, rest = [], words[1:]
    while rest[0].split("/")[0] in EXTENSIONS:
        chain.append(rest.pop(0))
    proto, body = transport(rest, source, target, filling(mark, size), mark)
    ident = int(keys.get("id", 1))
    if source.version == 6:
        # what is before `frag`, or all, is in front of the fragment header
        names = [w.split("/")[0] for w in chain]
        front = chain[:names.index("frag")] if "frag" in names else chain
        behind = chain[len(front) + ("frag" in names):]
        for word in reversed(behind):
            body, proto = extension(word, proto) + body, EXTENSIONS[word.split("/")[0]]
        if part or "frag" in names:
            start, stop = (part + [len(body)])[:2] if part else (0, len(body))
            more = stop < len(body)
            body = struct.pack("!BBHI", proto, 0, start | more, ident) + body[start:stop]
            proto = 44
        for word in reversed(front):
            body, proto = extension(word, proto) + body, EXTENSIONS[word.split("/")[0]]
        total = int(keys.get("total", len(body)))
        return struct.pack("!IHBB", 6 << 28, total, proto, int(keys.get("ttl", 64))) + \
            source.packed + target.packed + body
    options = bytes.fromhex(keys.get("options", ""))
    fragment = 0
    if part:
        start, stop = (part + [len(body)])[:2]
        fragment = start >> 3 | (0x2000 if stop < len(body) else 0)
        body = body[start:stop]
    total = int(keys.get("total", 20 + len(options) + len(body)))
    header = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0, total, ident, fragment,
                         int(keys.get("ttl", 64)), proto, 0) + source.packed + target.packed + options
    check = checksum(header) ^ (0x5555 if keys.get("sum") == "bad" else 0)
    return header[:10] + struct.pack("!H", check) + header[12:] + body


def build(text, mark, step=0):
    """A frame from its words. step is added to the source address."""
    words = text.split()
    size = int(words.pop()[1:]) if words[-1][0] == "+" else 46
    source = (int.from_bytes(mac(words[1]), "big") + step).to_bytes(6, "big")
    out = mac(words[0]) + source
    payload = filling(mark, size)
    words = words[2:]
    while words and len(words[0]) == 9 and words[0][4] == ":":
        out += bytes.fromhex(words.pop(0).replace(":", ""))
    kind, *args = words[0].split("/")
    if kind == "udp":
        words = ["ip/" + "/".join(args), "udp/4000/4001"]
        kind, args = "ip", args
    if kind == "ip":
        ethertype = b"\x86\xdd" if ":" in args[0] else b"\x08\x00"
        return out + ethertype + packet(words, mark, size)
    if kind == "arp":
        return out + b"\x08\x06" + arp(args)
    if kind == "llc":
        return out + struct.pack("!H", 3 + len(payload)) + b"\x42\x42\x03" + payload
    return out + bytes.fromhex(words[0]) + payload


# ---- describing what came, in the same words ----


def mac_word(octets):
    if octets[:4] == b"\2\0\0\0":
        return f"m{int.from_bytes(octets[4:], 'big')}"
    return {bytes.fromhex(v.replace(":", "")): k for k, v in NAMED.items()}.get(octets, octets.hex(":"))


def describe_transport(proto, source, target, body, partial):
    if proto == 6 and len(body) >= 20:
        sport, dport, seq, ack, _, bits = struct.unpack("!HHIIBB", body[:14])
        flags = "".join(f for i, f in enumerate(FLAGS) if bits >> i & 1) or "-"
        text = f"tcp/{sport}/{dport}/{flags}/{seq}/{ack}"
    elif proto == 17 and len(body) >= 8:
        text = "udp/%d/%d" % struct.unpack("!HH", body[:4])
    elif proto in (1, 58) and len(body) >= 8:
        text = f"icmp/{body[0]}/{body[1]}"
        if body[0] in ((3, 11, 12) if proto == 1 else (1, 2, 3, 4)):
            text += " quote " + describe_packet(body[8:], quoted=True)
    else:
        return f"proto/{proto}"
    head = b"" if proto == 1 else pseudo(source, target, proto, len(body))
    if partial is not None and not partial and checksum(head + body):
        text += " bad"
    return text


def describe_packet(data, partial=False, quoted=False):
    """partial: the checksum is still to be completed; None: cannot be checked."""
    if len(data) >= 40 and data[0] >> 4 == 6:
        source, target = ipaddress.ip_address(data[8:24]), ipaddress.ip_address(data[24:40])
        proto, body = data[6], data[40:40 + struct.unpack("!H", data[4:6])[0]]
        good = True
    elif len(data) >= 20 and data[0] >> 4 == 4:
        source, target = ipaddress.ip_address(data[12:16]), ipaddress.ip_address(data[16:20])
        size = (data[0] & 15) * 4
        proto, body = data[9], data[size:struct.unpack("!H", data[2:4])[0]]
        good = checksum(data[:size]) == 0
    else:
        return data[:40].hex()
    return f"ip/{source}/{target} " + ("" if good else "bad ") + \
        describe_transport(proto, source, target, body, None if quoted else partial)


def describe(frame, partial=False):
    words, at = [mac_word(frame[:6]), mac_word(frame[6:12])], 12
    while frame[at:at + 2] in (b"\x81\x00", b"\x88\xa8"):
        words.append(f"{frame[at:at + 2].hex()}:{frame[at + 2:at + 4].hex()}")
        at += 4
    if frame[at:at + 2] in (b"\x08\x00", b"\x86\xdd"):
        words.append(describe_packet(frame[at + 2:], partial))
    else:
        words.append(frame[at:at + 2].hex())
    return " ".join(words)


def network(frame):
    """A frame from its network header on."""
    at = 12
    while frame[at:at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    return frame[at + 2:]


def show(frame):
    return f"{describe(frame)} = {frame[:64].hex()}" + \
        (f"... ({len(frame)} octets)" if len(frame) > 64 else "")


# ---- sending and receiving ----


class Party:
    def __init__(self, word, prefix):
        kind, _, self.dev = word.rpartition(":")
        self.name = word
        self.sockets = []
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{prefix}-{'host' if kind else word}") as space:
            if libc.setns(space.fileno(), 0x40000000):
                raise OSError(ctypes.get_errno(), "setns")
        if kind == "tap":
            self.tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self.tap, 0x400454ca, struct.pack("16sH22x", self.dev.encode(), 0x1002))
            self.sockets.append(self.tap)
            return
        self.tap = None
        self.ignored = [4]  # PACKET_OUTGOING
        if kind == "dev":
            self.ignored.append(3)  # PACKET_OTHERHOST
        for proto in HOST_TYPES if kind == "dev" else (ETH_P_ALL,):
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(proto))
            s.setsockopt(socket.SOL_SOCKET, 33, 1 << 23)  # SO_RCVBUFFORCE
            s.setsockopt(SOL_PACKET, 8, 1)  # PACKET_AUXDATA
            s.bind((self.dev if kind else "eth0", proto))
            s.setblocking(False)
            self.sockets.append(s)
        self.sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sender.bind((self.dev if kind else "eth0", 0))
        # all frames, not only those for our address
        self.sender.setsockopt(SOL_PACKET, 1, struct.pack("iHH8s", socket.if_nametoindex(
            self.dev if kind else "eth0"), 1, 0, b""))

    def send(self, frame):
        if self.tap is not None:
            os.write(self.tap, frame)
            return
        try:
            self.sender.send(frame)
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # what is dropped on its way out
                raise

    def drain(self):
        """Other traffic may have filled the sockets."""
        for end in self.sockets:
            while self.receive(end) is not None:
                pass

    def receive(self, end):
        """A frame, with a tag that the kernel took out of it, and whether its checksum is
        partial; None when there is none."""
        if end is self.tap:
            try:
                return os.read(end, 70000), False
            except BlockingIOError:
                return None
        try:
            frame, control, _, address = end.recvmsg(70000, 256)
        except BlockingIOError:
            return None
        if address[2] in self.ignored:
            return b"", False
        partial = False
        for level, kind, value in control:
            if (level, kind) == (SOL_PACKET, 8) and len(value) >= 20:
                status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", value[:20])
                partial = bool(status & 0x8)  # TP_STATUS_CSUMNOTREADY
                if status & 0x10:  # TP_STATUS_VLAN_VALID
                    tpid = tpid if status & 0x40 else 0x8100
                    frame = frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
        return frame, partial


class Craft:
    def __init__(self, prefix, names):
        self.count = 0
        self.port = 20000
        self.parties = {name: Party(name, prefix) for name in names}

    def next_mark(self):
        self.count += 1
        return MARK + self.count.to_bytes(4, "big")

    def with_port(self, text):
        """Its own port in place of `%`."""
        if "%" not in text:
            return text
        self.port = self.port + 1 if self.port < 60000 else 20000
        return text.replace("%", str(self.port))

    def collect(self, belongs, wanted, settle):
        """{party: [(frame, partial)]} of what belongs: until as many as wanted are there, and
        a while longer."""
        seen = {name: [] for name in self.parties}
        ends = {end: party for party in self.parties.values() for end in party.sockets}
        deadline, quiet = time.monotonic() + 3, None
        while True:
            now = time.monotonic()
            if quiet is None and all(len(seen[name]) >= n for name, n in wanted.items()):
                quiet = now + settle
            if now >= (deadline if quiet is None else quiet):
                return seen
            for end in select.select(list(ends), [], [], 0.01)[0]:
                got = ends[end].receive(end)
                while got is not None:
                    if belongs(ends[end].name, got[0]):
                        seen[ends[end].name].append(got)
                    got = ends[end].receive(end)

    def do_frame(self, sender, text, *targets):
        return self.deliver(sender, text, targets, False)

    def do_routed(self, sender, text, *targets):
        return self.deliver(sender, text, targets, True)

    def deliver(self, sender, text, targets, routed):
        """routed: frames belong by their mark, or being as wanted, whoever's they seem."""
        mark = self.next_mark()
        sent = [build(t, mark) for t in text.split(";")]
        wanted, anything = {}, set()
        for target in targets:
            name, _, other = target.partition("=")
            if other == "*":
                anything.add(name)
                continue
            if name not in self.parties:
                return f"{name} is no party"
            wanted[name] = [build(t, mark) for t in other.split(";")] if other else sent
        sources = {frame[6:12] for frame in sent}
        plain = sent if not routed else [f for frames in wanted.values() for f in frames]
        plain = {network(frame) for frame in plain if mark not in frame}

        # a frame of somebody else's that quotes the mark is an ICMP error
        def belongs(_, frame):
            return (routed or frame[6:12] in sources) and (mark in frame or network(frame) in plain)

        for party in self.parties.values():
            party.drain()
        for frame in sent:
            self.parties[sender].send(frame)
        seen = self.collect(belongs, {n: len(f) for n, f in wanted.items()}, 0.05)
        wrong = []
        for name, got in seen.items():
            frames = [frame for frame, _ in got]
            if name in wanted and sorted(frames) != sorted(wanted[name]):
                wrong.append(f"{name} got {len(frames)} frames: {' '.join(map(show, frames))}"
                             f"\\nwanted {' '.join(map(show, wanted[name]))}")
            elif name not in wanted and name not in anything and frames:
                wrong.append(f"{name} got what is not for it: {show(frames[0])}")
        return "\\n".join(wrong) or "ok"

    def exchange(self, sender, frames, wanted, settle):
        """What comes back to the sender's addresses from whom it sent to. Frames of the
        sender's own addresses that reach anybody are an error."""
        source, target = frames[0][6:12], frames[0][:6]
        reached = []

        def belongs(name, frame):
            if name != sender:
                if frame[6:12] == source and any(network(f) == network(frame) for f in frames):
                    reached.append(f"{name} got it: {show(frame)}")
                return False
            return frame[:6] == source and network(frame)[:1] and \
                frame[12:14] in (b"\x08\x00", b"\x86\xdd", b"\x81\x00", b"\x88\xa8") and \
                (target[0] & 1 or frame[6:12] == target) and \
                not (network(frame)[6:7] == b"\x3a" and network(frame)[40] >= 133)

        for party in self.parties.values():
            party.drain()
        for frame in frames:
            self.parties[sender].send(frame)
        got = self.collect(belongs, {sender: wanted}, settle)[sender]
        return got, reached

    def do_answer(self, sender, text, *wanted):
        frame = build(text, self.next_mark())
        got, reached = self.exchange(sender, [frame], len(wanted), 0.1)
        seen = [describe(f, partial) for f, partial in got]
        if sorted(seen) == sorted(wanted) and not reached:
            return "ok"
        return "\\n".join([f"seen:   {s}" for s in seen or ["nothing"]] +
                          [f"wanted: {w}" for w in wanted or ["nothing"]] + reached)

    def do_answers(self, sender, number, text):
        """How many answers there are to a number of frames, sent within a moment."""
        frame = build(text, self.next_mark())
        got, reached = self.exchange(sender, [frame] * int(number), 1 << 30, 0)
        return reached[0] if reached else f"ok {len(got)}"

    def do_stream(self, sender, receiver, seconds, text):
        """Sends the frames in turn, 2,000 of each a second, with a new port each time; says
        how many of each were sent and received."""
        marks = [self.next_mark() for _ in text.split(";")]
        sent, seen = [0] * len(marks), [0] * len(marks)
        source, target = self.parties[sender], self.parties[receiver]
        target.drain()
        start = time.monotonic()
        end = start + float(seconds)
        while (now := time.monotonic()) < end + 0.5:
            while now < end and sent[-1] < (now - start) * 2000:
                for i, words in enumerate(text.split(";")):
                    source.send(build(self.with_port(words), marks[i]))
                    sent[i] += 1
            for receiving in target.sockets:
                while (got := target.receive(receiving)) is not None:
                    for i, mark in enumerate(marks):
                        seen[i] += mark in got[0]
            time.sleep(0.001)
        return "ok " + " ".join(f"{a}/{b}" for a, b in zip(sent, seen))

    def do_flood(self, sender, number, text):
        """The frames in turn, with `%` counted up. Checksums stay as they were."""
        frames = []
        for words in text.split(";"):
            a, b = (build(words.replace("%", str(n)), b"") for n in (0x1111, 0x2222))
            at = next(i for i in range(len(a)) if a[i:i + 2] == b"\x11\x11" and b[i:i + 2] == b"\x22\x22")
            frames.append((bytearray(a), at))
        for i in range(int(number)):
            frame, at = frames[i % len(frames)]
            struct.pack_into("!H", frame, at, 1024 + i // len(frames) % 64512)
            self.parties[sender].send(frame)
        return "ok"

    def do_send(self, sender, number, text):
        for step in range(int(number)):
            self.parties[sender].send(build(text, b"", step))
        return "ok"

    def do_repeat(self, sender, number, text):
        frame = build(text, b"")
        for _ in range(int(number)):
            self.parties[sender].send(frame)
        return "ok"


def main():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # frames stay in order
    craft = Craft(sys.argv[1], sys.argv[2:])
    print("ready", flush=True)
    for line in sys.stdin:
        if not line.startswith(("stream", "flood")):
            line = craft.with_port(line)
        verb, *words = line.rstrip("\n").split("|")
        print(getattr(craft, f"do_{verb}")(*words), flush=True)


if __name__ == "__main__":
    main()
