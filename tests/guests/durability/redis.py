"""A redis that keeps what it acknowledges: `redis.py DATA ACKS [init|check]`.

Starts the server on DATA, sees that all that was acknowledged before is there, and writes on, noting each acknowledgement in ACKS, until it is killed.
"""
import os, socket, subprocess, sys, time

data, acks = sys.argv[1:3]
PORT = 23470


def connect():
    for _ in range(600):
        try:
            return socket.create_connection(('127.0.0.1', PORT))
        except OSError:
            time.sleep(0.05)
            if server.poll() is not None:
                sys.exit(f'the server ended: {server.returncode}')
    sys.exit('the server does not start')


def ask(*words):
    request = f'*{len(words)}\r\n' + ''.join(f'${len(word)}\r\n{word}\r\n' for word in words)
    connection.sendall(request.encode())
    line = answers.readline()
    if line.startswith(b'$') and line != b'$-1\r\n':
        return answers.read(int(line[1:]) + 2)[:-2].decode()
    return line.strip().decode()


def acknowledged():
    try:
        with open(acks) as file:
            return [int(line) for line in file.read().split('\n')[:-1]]
    except FileNotFoundError:
        return []


server = subprocess.Popen(
    ['redis-server', '--port', str(PORT), '--bind', '127.0.0.1', '--dir', data, '--appendonly', 'yes', '--appendfsync', 'always',
     '--save', ''], stdout=open(os.path.dirname(acks) + '/log', 'a'))
connection = connect()
answers = connection.makefile('rb')
while ask('PING') != '+PONG':
    time.sleep(0.05)
known = acknowledged()
for number in known:
    if ask('GET', f'key{number}') != f'value{number}':
        sys.exit(f'lost: {number}, of {len(known)}')
print('kept', len(known), flush=True)
if sys.argv[3:]:
    ask('SHUTDOWN')
    sys.exit(server.wait())
note = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
number = max(known, default=0)
while True:
    number += 1
    if ask('SET', f'key{number}', f'value{number}') != '+OK':
        sys.exit('a write fails')
    os.write(note, f'{number}\n'.encode())
