p=23465; memcached -u root -l 127.0.0.1 -p $p -U $p -t 4 -c 2048 & m=$!
cat > c.py <<'X'
import socket, struct, sys, threading, time
port = int(sys.argv[1])
class Client:
    def __init__(self):
        for attempt in range(100):
            try: self.s = socket.create_connection(('127.0.0.1', port)); break
            except ConnectionRefusedError: time.sleep(0.05)
        self.f = self.s.makefile('rb')
    def say(self, *words, data=None):
        line = ' '.join(map(str, words)).encode() + b'\r\n'
        self.s.sendall(line + (data + b'\r\n' if data is not None else b''))
    def ask(self, *words, data=None):
        self.say(*words, data=data); return self.f.readline().strip().decode()
    def get(self, verb, key):
        self.say(verb, key); head = self.f.readline().split()
        if head[0] == b'END': return None
        value = self.f.read(int(head[3]) + 2)[:-2]; self.f.readline()
        return value, head[4:]
c = Client()
print(c.ask('set', 'a', 5, 0, 5, data=b'hello'), c.get('get', 'a'), c.get('get', 'none'))
print(c.ask('add', 'a', 0, 0, 1, data=b'x'), c.ask('append', 'a', 0, 0, 2, data=b'!!'), c.get('get', 'a'))
value, (cas,) = c.get('gets', 'a')
print(c.ask('cas', 'a', 0, 0, 1, cas.decode(), data=b'1'), c.ask('cas', 'a', 0, 0, 1, cas.decode(), data=b'2'))
print(c.ask('set', 'n', 0, 0, 1, data=b'0'), c.ask('incr', 'n', 41), c.ask('decr', 'n', 1), c.ask('touch', 'n', 100), c.ask('delete', 'a'), c.ask('delete', 'a'))
big = bytes(range(256)) * 2048
print(c.ask('set', 'big', 0, 0, len(big), data=big), c.get('get', 'big')[0] == big, c.ask('set', 'huge', 0, 0, 1 << 21, data=b'x' * (1 << 21)))
def work(number):
    clients = [Client() for _ in range(25)]
    for round in range(20):
        for client in clients: client.say('incr', 'n', 1)
        for client in clients: client.f.readline()
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()
c = Client(); print(c.get('get', 'n'))
c.say('set q 0 0 1\r\nq\r\nget q\r\nget n'); print([c.f.readline().strip() for _ in range(7)])
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(10); u.connect(('127.0.0.1', port))
u.send(struct.pack('!4H', 7, 0, 1, 0) + b'get n\r\n'); print(u.recv(2000))
c.say('stats'); stats = {}
while (line := c.f.readline().split())[0] != b'END': stats[line[1].decode()] = line[2].decode()
print(stats['threads'], stats['total_connections'], int(stats['curr_connections']) < 10, stats['cmd_touch'])
X
/usr/bin/python3 c.py $p; kill $m; wait $m; echo $?
