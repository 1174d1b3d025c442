"""Two that talk: `talk.py server ADDRESS` and `talk.py client ADDRESS` in one directory.

What both print is the same wherever they are, on one machine or on two.
"""

import hashlib
import os
import select
import socket
import struct
import sys
import threading
import time

ROLE, ADDRESS = sys.argv[1:3]
FAMILY = socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET
BIG = bytes(range(256)) * 12000
IP_RECVTTL = 12
LINGER = struct.pack("ii", 1, 0)


def say(*words):
    print(*words, flush=True)


def bound(kind):
    sock = socket.socket(FAMILY, kind)
    sock.bind((ADDRESS, 0))
    return sock


def port_of(sock):
    return sock.getsockname()[1]


def attempt(work):
    """What `work` gives, or the name of its error."""
    try:
        return work()
    except OSError as error:
        return os.strerror(error.errno)


def everything(sock):
    parts = []
    while part := sock.recv(65536):
        parts.append(part)
    return b"".join(parts)


def digest(data):
    return len(data), hashlib.sha1(data).hexdigest()


class Server:
    """A method for each thing that a client may want."""

    def names(self, conn, peer):
        conn.sendall(repr((peer[:2], conn.getsockname()[:2])).encode())

    def count(self, conn, peer):
        conn.sendall(repr(digest(everything(conn))).encode())

    def both(self, conn, peer):
        writer = threading.Thread(target=conn.sendall, args=(BIG,))
        writer.start()
        say("both", digest(conn.recv(len(BIG), socket.MSG_WAITALL)) == digest(BIG))
        writer.join()

    def close(self, conn, peer):
        pass

    def reset(self, conn, peer):
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)

    def unread(self, conn, peer):
        conn.sendall(b"answer")
        select.select([conn], [], [])

    def wait(self, conn, peer):
        say("wait", attempt(lambda: conn.recv(1)))

    def slow(self, conn, peer):
        time.sleep(0.5)
        say("slow", digest(everything(conn)))

    def half(self, conn, peer):
        conn.sendall(b"all there is")
        conn.shutdown(socket.SHUT_WR)
        say("half", digest(everything(conn)))


def serve():
    listener, datagrams, shut = bound(socket.SOCK_STREAM), bound(socket.SOCK_DGRAM), bound(socket.SOCK_STREAM)
    gone = bound(socket.SOCK_DGRAM)
    listener.listen(10)
    ports = port_of(listener), port_of(datagrams), port_of(shut), port_of(gone)
    gone.close()
    if FAMILY == socket.AF_INET:
        datagrams.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        datagrams.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)

    def answer():
        while True:
            data, extra, _, peer = datagrams.recvmsg(65536, 256)
            told = sorted((kind, data[0]) for _, kind, data in extra)
            datagrams.sendto(repr((digest(data), told)).encode(), peer)

    threading.Thread(target=answer, daemon=True).start()
    with open("ports.new", "w") as file:
        print(*ports, file=file)
    os.rename("ports.new", "ports")
    while True:
        conn, peer = listener.accept()
        with conn:
            wish = b""
            while not wish.endswith(b"\n"):
                wish += conn.recv(1)
            wish = wish.decode().strip()
            if wish == "end":
                return
            getattr(Server(), wish)(conn, peer)


def ask():
    while not os.path.exists("ports"):
        time.sleep(0.01)
    with open("ports") as file:
        stream, datagram, shut, gone = map(int, file.read().split())

    def connect(wish):
        sock = socket.create_connection((ADDRESS, stream), 20)
        sock.sendall(wish.encode() + b"\n")
        return sock

    with connect("names") as sock:
        told = eval(everything(sock))
        say("names", told == (sock.getsockname()[:2], sock.getpeername()[:2]), told[1] == (ADDRESS, stream))
    with connect("count") as sock:
        sock.sendall(BIG)
        sock.shutdown(socket.SHUT_WR)
        say("count", everything(sock).decode())
        say("after the end", attempt(lambda: sock.send(b"x")), attempt(lambda: sock.recv(1)))
    with connect("both") as sock:
        writer = threading.Thread(target=sock.sendall, args=(BIG,))
        writer.start()
        say("both", digest(everything(sock)) == digest(BIG))
        writer.join()
    with connect("half") as sock:
        say("half", everything(sock))
        time.sleep(0.1)
        sock.sendall(BIG)
    with connect("close") as sock:
        say("close", sock.recv(1))
        for _ in range(3):
            say("send", attempt(lambda: sock.send(b"x")))
            time.sleep(0.3)
        say("receive", attempt(lambda: sock.recv(1)))
    with connect("reset") as sock:
        say("reset", attempt(lambda: sock.recv(1)), attempt(lambda: sock.recv(1)))
        say("send", attempt(lambda: sock.send(b"x")))
    with connect("unread") as sock:
        sock.sendall(b"not read")
        time.sleep(0.3)
        say("unread", attempt(lambda: sock.recv(6)), attempt(lambda: sock.recv(1)))
    with connect("wait") as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
    with connect("wait") as sock:
        pass
    with connect("slow") as sock:
        sock.sendall(BIG)
    say("refused", attempt(lambda: socket.create_connection((ADDRESS, shut), 20)))
    sock = socket.socket(FAMILY, socket.SOCK_STREAM)
    sock.setblocking(False)
    say("begun", os.strerror(sock.connect_ex((ADDRESS, stream))))
    say("able to send", bool(select.select([], [sock], [], 20)[1]))
    say("outcome", sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), sock.connect_ex((ADDRESS, stream)))
    sock.setblocking(True)
    sock.sendall(b"close\n")
    say("closed", sock.recv(1))
    sock.close()

    sock = socket.socket(FAMILY, socket.SOCK_DGRAM)
    sock.settimeout(20)
    for size in 0, 1, 1000, 60000, 65507 if FAMILY == socket.AF_INET else 65000:
        sock.sendto(BIG[:size], (ADDRESS, datagram))
        data, peer = sock.recvfrom(65536)
        say("datagram", data.decode(), peer[:2] == (ADDRESS, datagram))
    say("too large", attempt(lambda: sock.sendto(BIG[:65536], (ADDRESS, datagram))))
    if FAMILY == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 9)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 16)
        sock.sendto(b"marked", (ADDRESS, datagram))
        say("marked", sock.recv(65536).decode())
    sock.connect((ADDRESS, gone))
    sock.send(b"x")
    say("nobody", attempt(lambda: sock.recv(1)))
    sock.close()
    connect("end").close()


serve() if ROLE == "server" else ask()
