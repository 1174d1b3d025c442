//! Debian's servers inside and their clients on the host, who come by a published port: they print what they print of the same server on the host.

use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tests::{
    background::{Background, free_port, until},
    host, run,
    scratch::Scratch,
};

/// How long a client or a preparation may take.
const LIMIT: Duration = Duration::from_secs(100);

/// A server and what its clients do; shell lines with `$PORT`.
struct Case {
    /// Makes what the server wants to find, once and on the host.
    prepare: &'static str,
    /// Becomes the server.
    server: &'static str,
    /// Succeeds when the server is up.
    is_up: &'static str,
    /// Prints what is compared.
    clients: &'static str,
}

fn shell(dir: &Path, port: u16, script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).current_dir(dir).env_clear();
    command.env("PATH", host::PATH).env("LC_ALL", "C").env("HOME", dir);
    command.env("PORT", port.to_string());
    command
}

/// What `script` says, and how it ends.
fn said(dir: &Path, port: u16, script: &str) -> (String, Option<i32>) {
    let command = shell(dir, port, &format!("exec 2>&1; {script}"));
    let outcome = run::collect(command, None, LIMIT).unwrap();
    (String::from_utf8_lossy(&outcome.stdout).into_owned(), outcome.status)
}

/// A server of the host's own; ended when it is dropped.
struct Native(Child);

impl Drop for Native {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.0.id().cast_signed());
        // What has ended by itself needs no signal.
        let _ = killpg(group, Signal::SIGTERM);
        let _ = until(|| self.0.try_wait().ok().flatten());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// What the clients of a server at `port` say, once that is up.
fn clients(case: &Case, dir: &Path, port: u16) -> (String, Option<i32>) {
    until(|| (said(dir, port, case.is_up).1 == Some(0)).then_some(())).expect("the server is up");
    said(dir, port, case.clients)
}

#[track_caller]
fn same(case: &Case) {
    let scratch = Scratch::empty().unwrap();
    let dir = scratch.path();
    let (errors, status) = said(dir, 0, case.prepare);
    assert_eq!(status, Some(0), "{errors}");
    let wanted = {
        let port = free_port();
        let mut server = shell(dir, port, case.server);
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let _server = Native(server.spawn().unwrap());
        clients(case, dir, port)
    };
    for placement in ["auto", "always"] {
        let (outside, inside) = (free_port(), free_port());
        let publish = format!("{outside}:{inside}");
        let script = format!("export PORT={inside}; {}", case.server);
        let words = ["--isolation", placement, "-p", &publish, "/bin/sh", "-c", &script];
        let _server = Background::start(dir, &words).unwrap();
        assert_eq!(clients(case, dir, outside), wanted, "--isolation {placement}");
    }
    assert_eq!(wanted.1, Some(0), "{}", wanted.0);
}

/// Fifty connections at once, each of which hears what it has said.
const ECHO: &str = "python3 -c '
import os, socket, concurrent.futures as f
def ask(i):
    data = bytes(i * j % 251 for j in range(i * 1331))
    with socket.create_connection((\"127.0.0.1\", int(os.environ[\"PORT\"]))) as s, f.ThreadPoolExecutor(1) as writer:
        done = writer.submit(lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
        heard = b\"\".join(iter(lambda: s.recv(65536), b\"\"))
        done.result()
        return heard == data
with f.ThreadPoolExecutor(50) as pool: print(list(pool.map(ask, range(50))).count(True))'";

/// Somebody answers. (That a published port accepts says nothing of the server behind it.)
const ANSWERS: &str =
    "bash -c 'exec 3<>/dev/tcp/127.0.0.1/'$PORT'; echo version >&3; read -t 9 x <&3' 2>/dev/null";

#[test]
fn nginx_with_two_workers_and_tls() {
    same(&Case {
        prepare: "mkdir html && seq 200000 >html/big && echo hi >html/index.html &&
            openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 9 -subj /CN=localhost 2>/dev/null",
        server: "cat >nginx.conf <<X
worker_processes 2; events { worker_connections 256; } pid nginx.pid;
http { access_log off; sendfile on; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4;
scgi_temp_path t5; server { listen 127.0.0.1:$PORT ssl http2 reuseport; ssl_certificate cert; ssl_certificate_key key; root html; } }
X
            exec nginx -p $PWD/ -c nginx.conf -e error.log -g 'daemon off; user root;'",
        is_up: "curl -sko /dev/null https://127.0.0.1:$PORT/",
        clients: "get() { curl -s --cacert cert --resolve localhost:$PORT:127.0.0.1 \"$@\"; }; url=https://localhost:$PORT
            get $url/; get $url/big | md5sum; get -w '%{http_version} %{http_code}\\n' $url/none | tail -n 1
            get -o /dev/null -w '%{num_connects}\\n' $url/ -o /dev/null -w '%{num_connects}\\n' $url/big
            get -r 1000-1020 $url/big; wrk -t2 -c32 -d1s $url/ | grep -cE 'Socket errors|Non-2xx'; true",
    });
}

#[test]
fn redis_with_its_benchmark_and_a_snapshot() {
    same(&Case {
        prepare: "true",
        server: "rm -rf appendonlydir; exec redis-server --port $PORT --bind 127.0.0.1 --save '' --appendonly yes --appendfsync always",
        is_up: "redis-cli -p $PORT ping | grep -q PONG",
        clients: "ask() { redis-cli -p $PORT \"$@\"; }
            ask set a 1; ask incr a; ask lpush l x y z; ask lrange l 0 -1; ask setrange big 3000000 end; ask strlen big
            redis-benchmark -p $PORT -q -n 2000 -c 50 -P 4 -t set,get,lpush,mset >/dev/null; echo $?
            ask bgsave; until ask info persistence | grep -q rdb_bgsave_in_progress:0; do sleep 0.1; done
            ask info persistence | grep -E 'rdb_last_bgsave_status|aof_last_write_status'; ask get a; ask --pipe <<X
SET p 1
GET p
X
            ask get p",
    });
}

#[test]
fn postgres_with_psql_and_pgbench() {
    same(&Case {
        prepare: "chmod 755 . && mkdir data && chown 65534:65534 data &&
            setpriv --reuid 65534 --regid 65534 --clear-groups /usr/lib/postgresql/15/bin/initdb -D data -A trust -U postgres -N >/dev/null",
        server: "exec setpriv --reuid 65534 --regid 65534 --clear-groups \
            /usr/lib/postgresql/15/bin/postgres -D data -k '' -h 127.0.0.1 -p $PORT",
        is_up: "/usr/lib/postgresql/15/bin/pg_isready -q -h 127.0.0.1 -p $PORT",
        clients: "B=/usr/lib/postgresql/15/bin; O=\"-h 127.0.0.1 -p $PORT -U postgres\"
            export PGOPTIONS='-c client_min_messages=error'; ask() { $B/psql $O -AtX \"$@\" postgres; }
            ask -c 'drop table if exists t' -c 'create table t as select n, md5(n::text) m from generate_series(1, 20000) n' \
                -c 'select count(*), max(m) from t' -c 'create index on t (m)' -c \"select n from t where m = md5('777')\"
            ask -c 'copy t to stdout' | md5sum; ask -c 'select 1/0'; $B/pgbench $O -i -s 1 -q postgres 2>/dev/null
            $B/pgbench $O -c 4 -j 2 -t 50 postgres 2>/dev/null | grep -E 'actually processed|failed'; ask -c 'select count(*) from pgbench_history'",
    });
}

#[test]
fn memcached_and_asyncio_and_threads_of_python() {
    same(&Case {
        prepare: "true",
        server: "exec memcached -u root -l 127.0.0.1 -p $PORT -t 4",
        is_up: ANSWERS,
        clients: "bash -c 'exec 3<>/dev/tcp/127.0.0.1/'$PORT'
            printf \"set k 0 0 5\\r\\nhello\\r\\nget k\\r\\nincr k 1\\r\\nget none\\r\\nquit\\r\\n\" >&3; cat <&3'",
    });
    same(&Case {
        prepare: "true",
        server: "exec python3 -c '
import asyncio, os
async def echo(reader, writer):
    while data := await reader.read(4096):
        writer.write(data); await writer.drain()
    writer.close()
async def main():
    async with await asyncio.start_server(echo, \"127.0.0.1\", int(os.environ[\"PORT\"]), backlog=200) as s: await s.serve_forever()
asyncio.run(main())'",
        is_up: ANSWERS,
        clients: ECHO,
    });
    same(&Case {
        prepare: "mkdir files && seq 300000 >files/seq",
        server: "exec python3 -m http.server --bind 127.0.0.1 -d files $PORT",
        is_up: "curl -so /dev/null http://127.0.0.1:$PORT/",
        clients: "u=http://127.0.0.1:$PORT; curl -s $u/ | md5sum; curl -s $u/seq | md5sum
            curl -so /dev/null -w '%{http_code}\\n' $u/none; seq 20 | xargs -P 8 -I% curl -s $u/seq | wc -c",
    });
}

#[test]
fn node_with_children() {
    same(&Case {
        prepare: "cat >s.js <<'X'
const http = require('http'), { execFile } = require('child_process');
http.createServer((q, r) => {
  if (q.url == '/child') return execFile('sh', ['-c', 'echo from $0; exit 3', 'child'], (e, out) => r.end(out + e.code + '\\n'));
  let n = 0; q.on('data', d => n += d.length).on('end', () => r.end(q.method + ' ' + q.url + ' ' + n + '\\n'));
}).listen(process.env.PORT, '127.0.0.1');
X",
        server: "exec node s.js",
        is_up: "curl -so /dev/null http://127.0.0.1:$PORT/",
        clients: "u=http://127.0.0.1:$PORT; curl -s $u/a $u/child; seq 500000 | curl -s -T - $u/upload; wrk -t1 -c16 -d1s $u/ | grep -cE 'Socket errors|Non-2xx'; true",
    });
}

#[test]
fn sshd_with_a_terminal_and_copies() {
    same(&Case {
        prepare: "chmod 755 . && mkdir -p /run/sshd && ssh-keygen -q -t ed25519 -N '' -f host && ssh-keygen -q -t ed25519 -N '' -f user && seq 200000 >file",
        server: "mkdir -p /run/sshd; exec /usr/sbin/sshd -D -e -f /dev/null -p $PORT -o ListenAddress=127.0.0.1 -h $PWD/host -o AuthorizedKeysFile=$PWD/user.pub \
            -o StrictModes=no -o UsePAM=no -o PidFile=none -o PermitRootLogin=yes -o Subsystem='sftp internal-sftp'",
        is_up: ANSWERS,
        clients: "o=\"-q -F none -i $PWD/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentityAgent=none\"
            ask() { ssh $o -p $PORT \"$@\"; }; me=root@127.0.0.1
            ask $me 'echo over ssh; exit 7'; echo $?; ask -tt $me 'test -t 0 && stty -a | grep -o \"isig icanon\"; exit 2' </dev/null | tr -d '\\r'
            ask $me md5sum <file; scp $o -P $PORT file $me:/tmp/servers-copy; ask $me 'md5sum </tmp/servers-copy; rm /tmp/servers-copy'
            (echo 'cd '$PWD; echo 'get file back') | sftp $o -b - -P $PORT $me >/dev/null; md5sum <back",
    });
}

#[test]
fn programs_of_go_and_java() {
    same(&Case {
        prepare: "cat >echo.go <<'X'
package main
import (\"io\"; \"net\"; \"os\")
func main() {
	l, e := net.Listen(\"tcp\", \"127.0.0.1:\"+os.Getenv(\"PORT\")); if e != nil { panic(e) }
	for { c, e := l.Accept(); if e != nil { panic(e) }; go func() { io.Copy(c, c); c.Close() }() }
}
X
            GOCACHE=$PWD/cache GO111MODULE=off go build -o echo echo.go",
        server: "exec ./echo",
        is_up: ANSWERS,
        clients: ECHO,
    });
    same(&Case {
        prepare: "cat >Echo.java <<'X'
import java.net.*;
public class Echo {
  public static void main(String[] args) throws Exception {
    ServerSocket server = new ServerSocket(Integer.parseInt(System.getenv(\"PORT\")), 200, InetAddress.getLoopbackAddress());
    while (true) { Socket s = server.accept(); new Thread(() -> { try (s) { s.getInputStream().transferTo(s.getOutputStream()); } catch (Exception e) {} }).start(); }
  }
}
X
            javac -d . Echo.java",
        server: "exec java -Xmx64m -cp . Echo",
        is_up: ANSWERS,
        clients: ECHO,
    });
}
