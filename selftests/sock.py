#!/usr/bin/python3
"""sock.py - sockets in many namespaces, for nat_lab.sh: who reaches whom, and what address each
sees of the other.

    sock.py PREFIX      PREFIX is that of the namespaces

Reads one command a line, fields separated by '|', and answers with one line. An end is a socket
that a name was given to. An address is written "ADDRESS PORT", and `nothing` means that nothing
came in time.

    udp NAME SPACE ADDRESS PORT       a socket, bound; PORT 0: any
    listen NAME SPACE ADDRESS PORT    a TCP listener
    tcp NAME SPACE ADDRESS PORT       what connects by the first `ask`
    sctplisten, sctp                  the same with SCTP, one association for a socket
    close NAME...                     reset NAME...: TCP's go with RST
    ask FROM ADDRESS PORT TO          FROM sends there (TCP: connects first); what TO sees as source.
                                      TCP: both ways, else nothing
    back TO FROM                      TO answers whom it saw last; what FROM sees as source
    port NAME                         the local port
    stream FROM ADDRESS PORT TO MIB   a connection of its own, MIB random MiB both ways at once
    each SPACE ADDRESS N PORT TOADDRESS TOPORT TO    N sockets of TO's kind, addresses counted up,
                                      all at PORT; what TO saw of each, a comma between; or
                                      unanswered, nothing
    again FROM TO                     those of the last `each`, from one number to another, again
"""

import ctypes
import errno
import ipaddress
import os
import select
import socket
import struct
import sys
import threading
import time

WAIT = 0.5  # s, until `nothing`
PIECE = 1 << 14  # octets of a message; SCTP takes no larger ones than its buffer


def enter(prefix, space):
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{prefix}-{space}") as there:
        if libc.setns(there.fileno(), 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")


class End:
    def __init__(self, kind, family):
        self.kind = kind
        self.sctp = kind.startswith("sctp")
        self.socket = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM,
                                    socket.IPPROTO_SCTP if self.sctp else 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.connection = None  # TCP: what is connected
        self.last = None        # UDP: whom it heard last

    def close(self, reset=False):
        for each in {self.connection, self.socket} - {None}:
            if reset:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.close()


def written(address):
    return f"{address[0]} {address[1]}"


def until(receiver, wanted, wait=WAIT):
    """The address that the wanted datagram came from; others are thrown away."""
    end = time.monotonic() + wait
    while (left := end - time.monotonic()) > 0:
        if not select.select([receiver], [], [], left)[0]:
            break
        try:
            data, address = receiver.recvfrom(70000)
        except OSError:
            continue
        if data == wanted:
            return address
    return None


def exactly(receiver, size, wait):
    """So many octets of a stream."""
    out = b""
    receiver.settimeout(wait)
    while len(out) < size:
        part = receiver.recv(min(size - len(out), 1 << 20))
        if not part:
            break
        out += part
    return out


class Sockets:
    def __init__(self, prefix):
        self.prefix = prefix
        self.ends = {}
        self.count = 0
        self.many = []

    def token(self):
        self.count += 1
        return b"token %d of %d" % (self.count, os.getpid())

    def open(self, kind, name, space, address, port):
        enter(self.prefix, space)
        if name in self.ends:
            self.ends.pop(name).close()
        end = End(kind, socket.AF_INET6 if ":" in address else socket.AF_INET)
        end.socket.bind((address, int(port)))
        if kind in ("listen", "sctplisten"):
            end.socket.listen(64)
        self.ends[name] = end
        return "ok"

    def do_udp(self, *args):
        return self.open("udp", *args)

    def do_tcp(self, *args):
        return self.open("tcp", *args)

    def do_listen(self, *args):
        return self.open("listen", *args)

    def do_sctp(self, *args):
        return self.open("sctp", *args)

    def do_sctplisten(self, *args):
        return self.open("sctplisten", *args)

    def do_close(self, *names):
        for name in names:
            self.ends.pop(name).close()
        return "ok"

    def do_reset(self, *names):
        for name in names:
            self.ends.pop(name).close(reset=True)
        return "ok"

    def do_port(self, name):
        return str(self.ends[name].socket.getsockname()[1])

    def connect(self, sender, address, receiver):
        """None, or what went wrong."""
        sender.socket.setblocking(False)
        try:
            sender.socket.connect(address)
        except BlockingIOError:
            pass
        if not select.select([], [sender.socket], [], 2 * WAIT)[1]:
            return "nothing"
        error = sender.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            return errno.errorcode[error]
        sender.socket.setblocking(True)
        sender.connection = sender.socket
        token = self.token()
        sender.connection.sendall(token)
        # there may be others that come late
        while select.select([receiver.socket], [], [], WAIT)[0]:
            if receiver.connection:
                receiver.connection.close()
            receiver.connection = receiver.socket.accept()[0]
            try:
                if exactly(receiver.connection, len(token), WAIT) == token:
                    return None
            except OSError:
                pass
        return "somebody else"

    def do_ask(self, sender, address, port, receiver):
        token, address = self.token(), (address, int(port))
        sender, receiver = self.ends[sender], self.ends[receiver]
        if sender.kind == "udp":
            try:
                sender.socket.sendto(token, address)
            except OSError as error:  # of an earlier one, perhaps
                try:
                    sender.socket.sendto(token, address)
                except OSError:
                    return errno.errorcode[error.errno]
            seen = until(receiver.socket, token)
            if seen:
                receiver.last = seen
            return written(seen) if seen else "nothing"
        try:
            if not sender.connection:
                wrong = self.connect(sender, address, receiver)
                if wrong:
                    return wrong
            for a, b in (sender, receiver), (receiver, sender):
                a.connection.sendall(token)
                if exactly(b.connection, len(token), 2 * WAIT) != token:
                    return "nothing"
        except TimeoutError:
            return "nothing"
        except OSError as error:
            return errno.errorcode[error.errno]
        return written(receiver.connection.getpeername())

    def do_back(self, sender, receiver):
        sender, receiver = self.ends[sender], self.ends[receiver]
        if not sender.last:
            return "nothing"
        token = self.token()
        sender.socket.sendto(token, sender.last)
        seen = until(receiver.socket, token)
        return written(seen) if seen else "nothing"

    def do_stream(self, space, address, port, listener, mib):
        enter(self.prefix, space)
        size = int(mib) << 20
        listener = self.ends[listener]
        client = End("sctp" if listener.sctp else "tcp", socket.AF_INET6 if ":" in address else socket.AF_INET)
        wrong = self.connect(client, (address, int(port)), listener)
        if wrong:
            return wrong
        ends = [client.connection, listener.connection]
        data = [os.urandom(size), os.urandom(size)]
        got = [b"", b""]

        def send(i):
            try:
                ends[i].settimeout(20)
                for at in range(0, size, PIECE if listener.sctp else size):
                    ends[i].sendall(data[i][at:at + (PIECE if listener.sctp else size)])
            except OSError:
                pass

        def receive(i):
            try:
                got[i] = exactly(ends[i], size, 20)
            except OSError:
                pass

        threads = [threading.Thread(target=f, args=(i,)) for f in (send, receive) for i in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client.close()
        wrong = [f"{way}: {len(a)} octets came{'' if len(a) < size else ', wrong ones'}"
                 for way, a, b in (("there", got[1], data[0]), ("back", got[0], data[1])) if a != b]
        return ", ".join(wrong) or "ok"

    def do_each(self, space, first, number, port, address, toport, receiver):
        enter(self.prefix, space)
        for end in self.many:
            end.close(reset=True)
        self.many = []
        self.receiver = self.ends[receiver]
        self.target = address, int(toport)
        for i in range(int(number)):
            end = End("udp" if self.receiver.kind == "udp" else "tcp",
                      socket.AF_INET6 if ":" in first else socket.AF_INET)
            end.socket.bind((str(ipaddress.ip_address(first) + i), int(port)))
            self.many.append(end)
        return self.do_again(0, number)

    def once(self, end):
        """There and back; the source address that was seen."""
        if end.kind == "tcp" and not end.connection:
            wrong = self.connect(end, self.target, self.receiver)
            return wrong or written(self.receiver.connection.getpeername())
        token = self.token()
        if end.kind == "tcp":
            end.connection.sendall(token)
            return "sent"
        try:
            end.socket.sendto(token, self.target)
        except OSError:
            pass  # an earlier one's ICMP error
        seen = until(self.receiver.socket, token, 0.3)
        if seen:
            self.receiver.socket.sendto(token, seen)
        heard = seen and until(end.socket, token, 0.3)
        return written(seen) if heard else "unanswered" if seen else "nothing"

    def do_again(self, start, stop):
        return ",".join(self.once(end) for end in self.many[int(start):int(stop)])


def main():
    sockets = Sockets(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        verb, *words = line.rstrip("\n").split("|")
        try:
            print(getattr(sockets, f"do_{verb}")(*words), flush=True)
        except OSError as error:
            print(f"{verb}: {error}", flush=True)


if __name__ == "__main__":
    main()
