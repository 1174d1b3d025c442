# Servers and clients over Unix sockets, in threads of one process.
import asyncio, multiprocessing.connection as connection, os, selectors, socket, socketserver, tempfile, threading

place = tempfile.mkdtemp(dir=".") + "/socket"
one, other = socket.socketpair()


def drain():
    total = 0
    while data := other.recv(65536):
        total += len(data)
    print("drained", total)


thread = threading.Thread(target=drain)
thread.start(), one.sendall(b"x" * 3000000), one.close(), thread.join()


class Upper(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())


def client(number):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(place)
        with s.makefile("rw") as f:
            for k in range(200):
                f.write(f"{number} line {k}\n"), f.flush()
                assert f.readline() == f"{number} LINE {k}\n"


with socketserver.ThreadingUnixStreamServer(place, Upper) as server:
    threading.Thread(target=server.serve_forever).start()
    threads = [threading.Thread(target=client, args=(n,)) for n in range(5)]
    [t.start() for t in threads], [t.join() for t in threads]
    print("streams", server.server_address == place)
    server.shutdown()
os.unlink(place)

with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as d, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as e:
    d.bind("\0libos-python-test-%d" % os.getpid()), e.bind(place)
    e.sendto(b"datagram", d.getsockname())
    message, sender = d.recvfrom(100)
    print(message, sender == place)
os.unlink(place)

with connection.Listener(place, "AF_UNIX", authkey=b"secret") as listener:
    def serve():
        with listener.accept() as c:
            for _ in range(100):
                c.send([c.recv(), None])

    thread = threading.Thread(target=serve)
    thread.start()
    with connection.Client(place, authkey=b"secret") as c:
        for k in range(100):
            c.send({"number": k, "bytes": b"y" * k * 1000})
            assert c.recv()[0]["number"] == k
    thread.join()
    print("connections")

one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
read, write = os.pipe()
socket.send_fds(one, [b"files"], [write])
message, files, flags, address = socket.recv_fds(other, 100, 10)
os.write(files[0], b"through"), print(message, len(files), flags, os.read(read, 10))

chosen = selectors.DefaultSelector()
chosen.register(other, selectors.EVENT_READ)
print(chosen.select(0)), one.send(b"z")
print([events for _, events in chosen.select()])


async def answer(reader, writer):
    while data := await reader.readline():
        writer.write(data.strip()[::-1] + b"\n")
        await writer.drain()
    writer.close()


async def ask(n):
    reader, writer = await asyncio.open_unix_connection(place + "2")
    for k in range(50):
        writer.write(b"%d %d\n" % (n, k))
        assert (await reader.readline()).strip()[::-1] == b"%d %d" % (n, k)
    writer.close()
    return n


async def main():
    async with await asyncio.start_unix_server(answer, place + "2"):
        print(await asyncio.gather(*(ask(n) for n in range(1, 6))))


asyncio.run(main())
