//! Published ports: clients on the host and servers inside, and the other way that a connection can end.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream, UdpSocket},
    process::Command,
    thread,
    time::Duration,
};

use tests::{
    background::{Background, free_port, until},
    scratch::Scratch,
};

const LIMIT: Duration = Duration::from_secs(40);

/// A Python program inside, at `port` of the host by way of its own port 7000; `text` may use `sock`, a function that gives a server's socket.
fn python(scratch: &Scratch, publish: &str, text: &str) -> Background {
    let program = format!(
        "import socket, sys, threading, os, struct, time\n\
         def listen(host='127.0.0.1'):\n\
         \x20   s = socket.create_server((host, 7000), family=socket.AF_INET6 if ':' in host else socket.AF_INET, backlog=300)\n\
         \x20   print('ready', file=open('ready', 'w'))\n\
         \x20   return s\n{text}"
    );
    let dir = scratch.path().display();
    let bind = format!("{dir}:{dir}");
    let words = ["--bind", &bind, "-p", publish, "/usr/bin/python3", "-c", &program];
    let inside = Background::start(scratch.path(), &words).unwrap();
    until(|| scratch.path().join("ready").exists().then_some(())).expect("the server starts");
    inside
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

const ECHO: &str = "
def serve(c):
    with c:
        while data := c.recv(65536): c.sendall(data)
        c.sendall(b'end')
";

const FOREVER: &str = "
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
";

#[test]
fn two_hundred_clients_are_served_at_once_and_each_half_ends_by_itself() {
    let scratch = Scratch::empty().unwrap();
    let port = free_port();
    let _inside =
        python(&scratch, &format!("{port}:7000"), &format!("{ECHO}s = listen(){FOREVER}"));
    let mut clients: Vec<_> = (0..200).map(|_| connect(port)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        write!(client, "client {number} ").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
    }
    for (number, mut client) in clients.into_iter().enumerate() {
        let mut all = String::new();
        client.read_to_string(&mut all).unwrap();
        assert_eq!(all, format!("client {number} end"));
    }
}

#[test]
fn megabytes_go_both_ways_unchanged_and_who_does_not_read_holds_up_who_writes() {
    let scratch = Scratch::empty().unwrap();
    let port = free_port();
    let _inside =
        python(&scratch, &format!("{port}:7000"), &format!("{ECHO}s = listen(){FOREVER}"));
    let bytes: Vec<u8> =
        (0..20 << 20_u32).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut client = connect(port);
    let mut writer = client.try_clone().unwrap();
    let sent = bytes.clone();
    let writer = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    thread::sleep(Duration::from_millis(500));
    assert!(!writer.is_finished(), "20 MB were taken before any was read");
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    writer.join().unwrap();
    assert!(all.len() == bytes.len() + 3 && all.starts_with(&bytes));
}

#[test]
fn nobody_who_listens_is_a_reset_and_so_is_a_servers_reset() {
    let scratch = Scratch::empty().unwrap();
    let port = free_port();
    let _inside = python(
        &scratch,
        &format!("{port}:7000"),
        "s = listen(); c = s.accept()[0]; c.recv(1); s.close()
c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); c.close()
open('closed', 'w'); time.sleep(60)",
    );
    let mut client = connect(port);
    client.write_all(b"x").unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    until(|| scratch.path().join("closed").exists().then_some(())).unwrap();
    let mut client = connect(port);
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_clients_reset_reaches_the_server() {
    let scratch = Scratch::empty().unwrap();
    let port = free_port();
    let mut inside = python(
        &scratch,
        &format!("{port}:7000"),
        "s = listen(); c, peer = s.accept(); print(peer[0], c.getsockname(), flush=True); c.sendall(b'x')
try: print(c.recv(1))
except OSError as error: print(error)",
    );
    let mut client = connect(port);
    client.read_exact(&mut [0]).unwrap();
    nix::sys::socket::setsockopt(
        &client,
        nix::sys::socket::sockopt::Linger,
        &nix::libc::linger { l_onoff: 1, l_linger: 0 },
    )
    .unwrap();
    drop(client);
    let (status, said) = inside.wait();
    let wanted = "127.0.0.1 ('127.0.0.1', 7000)\n[Errno 104] Connection reset by peer\n";
    assert_eq!((status, &*said), (Some(0), wanted));
}

#[test]
fn a_server_of_ipv6_is_found_and_the_host_may_listen_at_ipv6() {
    let scratch = Scratch::empty().unwrap();
    let port = free_port();
    let publish = format!("[::1]:{port}:7000");
    let _inside = python(
        &scratch,
        &publish,
        "s = listen('::1'); c, peer = s.accept(); c.sendall(peer[0].encode())",
    );
    let mut all = String::new();
    TcpStream::connect(("::1", port)).unwrap().read_to_string(&mut all).unwrap();
    assert_eq!(all, "::1");
}

#[test]
fn datagrams_of_each_client_are_answered_to_it() {
    let scratch = Scratch::empty().unwrap();
    let port = free_port();
    let _inside = python(
        &scratch,
        &format!("{port}:7000/udp"),
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 7000)); seen = {}
open('ready', 'w')
while True:
    data, peer = s.recvfrom(65536); seen[peer] = seen.get(peer, 0) + 1
    s.sendto(b'%d %d ' % (len(seen), seen[peer]) + data, peer)",
    );
    let client = || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        socket.connect(("127.0.0.1", port)).unwrap();
        socket
    };
    let ask = |socket: &UdpSocket, bytes: &[u8]| {
        socket.send(bytes).unwrap();
        let mut answer = vec![0; 65536];
        let len = socket.recv(&mut answer).unwrap();
        answer.truncate(len);
        answer
    };
    let (one, other) = (client(), client());
    assert_eq!(ask(&one, b"a"), b"1 1 a");
    assert_eq!(ask(&other, b""), b"2 1 ");
    assert_eq!(ask(&one, b"c"), b"2 2 c");
    assert_eq!(ask(&other, &[7; 60_000]), [&b"2 2 "[..], &[7; 60_000]].concat());
}

#[test]
fn real_clients_reach_real_servers() {
    let scratch = Scratch::empty().unwrap();
    let (web, redis) = (free_port(), free_port());
    let script =
        "cd /usr/share && /usr/bin/python3 -m http.server 8000 --bind 127.0.0.1 >/dev/null 2>&1 &
        exec redis-server --port 6379 --save '' >/dev/null";
    let words =
        ["-p", &format!("{web}:8000"), "-p", &format!("{redis}:6379"), "/bin/sh", "-c", script];
    let _inside = Background::start(scratch.path(), &words).unwrap();
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let page =
        until(|| run("curl", &["-sS", "--max-time", "9", &format!("http://127.0.0.1:{web}/")]));
    assert!(page.unwrap().contains("Directory listing"));
    let port = redis.to_string();
    let client = |words: &[&str]| run("redis-cli", &[&["-p", &port], words].concat());
    until(|| client(&["ping"]).filter(|answer| answer == "PONG\n")).unwrap();
    assert_eq!(client(&["set", "key", "value"]).as_deref(), Some("OK\n"));
    assert_eq!(client(&["get", "key"]).as_deref(), Some("value\n"));
}

#[test]
fn a_port_that_cannot_be_published_is_a_failure() {
    let scratch = Scratch::empty().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let publish = format!("{port}:80");
    for words in [
        &["-p", &publish, "/bin/true"][..],
        &["-p", "8080:80", "--net", "host", "/bin/true"],
        &["-p", "8080:80", "--net", "none", "/bin/true"],
    ] {
        let (status, _) = Background::start(scratch.path(), words).unwrap().wait();
        assert_eq!(status, Some(2), "{words:?}");
    }
}
