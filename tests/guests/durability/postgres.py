"""A postgres that keeps what it commits: `postgres.py DATA ACKS [init|check]`.

Starts the server on DATA, sees that all that was committed before is there, and inserts on by psql, noting each commit in ACKS, until it is
killed. As root it becomes nobody first, for the server runs as nobody else.
"""
import os, subprocess, sys, time

data, acks = sys.argv[1:3]
mode = sys.argv[3:]
BIN = '/usr/lib/postgresql/15/bin'
PSQL = [f'{BIN}/psql', '-h', '127.0.0.1', '-p', '23471', '-U', 'postgres', '-AtqX']

if os.getuid() == 0:
    for place in (data, os.path.dirname(acks)):
        os.chown(place, 65534, 65534)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
os.environ.update(LC_ALL='C', HOME=data)
os.chdir(data)
cluster = f'{data}/cluster'
if mode == ['init']:
    subprocess.run([f'{BIN}/initdb', '-D', cluster, '-A', 'trust', '-U', 'postgres', '-N'], check=True, stdout=subprocess.DEVNULL)
# Whoever wrote it is dead, and its number may be somebody else's here.
if os.path.exists(f'{cluster}/postmaster.pid'):
    os.unlink(f'{cluster}/postmaster.pid')
server = subprocess.Popen([f'{BIN}/postgres', '-D', cluster, '-k', data, '-h', '127.0.0.1', '-p', '23471'],
                          stdout=subprocess.DEVNULL, stderr=open(os.path.dirname(acks) + '/log', 'a'))


def query(text):
    return subprocess.run([*PSQL, '-c', text], check=True, capture_output=True, text=True).stdout.split()


for _ in range(600):
    ready = subprocess.run([*PSQL, '-c', 'select 1'], capture_output=True)
    if ready.returncode == 0:
        break
    if server.poll() is not None:
        sys.exit(f'the server ended: {server.returncode}')
    time.sleep(0.1)
else:
    sys.exit(f'the server does not start: {ready.stderr}')
if mode == ['init']:
    query('create table t (number int primary key, content text)')
try:
    with open(acks) as file:
        known = {int(line) for line in file.read().split('\n')[:-1]}
except FileNotFoundError:
    known = set()
there = {int(number) for number in query("select number from t where content = md5(number::text)")}
if lost := known - there:
    sys.exit(f'lost: {sorted(lost)}, of {len(known)}')
print('kept', len(known), flush=True)
if mode:
    server.terminate()
    sys.exit(server.wait())
note = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
session = subprocess.Popen(PSQL, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
answers = os.fdopen(os.dup(session.stdout.fileno()), 'rb')
number = max(there, default=0)
while True:
    number += 1
    session.stdin.write(f'insert into t values ({number}, md5({number}::text)) returning number;\n'.encode())
    if answers.readline().strip() != str(number).encode():
        sys.exit('an insert fails')
    os.write(note, f'{number}\n'.encode())
