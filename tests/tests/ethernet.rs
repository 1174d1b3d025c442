//! Kernels on one wire: `--ethernet`.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tests::{
    background::{self, Background, until},
    paths,
    scratch::{Scratch, fnv},
};

/// Words that put a kernel on the wire of a test, with its directory.
fn words<'a>(ethernet: &'a str, bind: &'a str, program: &[&'a str]) -> Vec<&'a str> {
    [&["--ethernet", ethernet, "--bind", bind], program].concat()
}

fn bind(scratch: &Scratch) -> String {
    let dir = scratch.path().display();
    format!("{dir}:{dir}")
}

/// Runs a program in a kernel on the wire, to its end.
fn inside(scratch: &Scratch, ethernet: &str, program: &[&str]) -> Output {
    let bind = bind(scratch);
    let mut command = background::command(scratch.path()).unwrap();
    command.args(words(ethernet, &bind, program)).stdin(Stdio::null()).output().unwrap()
}

/// The same beside the test.
fn start(scratch: &Scratch, ethernet: &str, program: &[&str]) -> Background {
    Background::start(scratch.path(), &words(ethernet, &bind(scratch), program)).unwrap()
}

fn python(text: &str) -> [&str; 3] {
    ["/usr/bin/python3", "-c", text]
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits for a file that a guest makes.
fn await_file(scratch: &Scratch, name: &str) {
    let path = scratch.path().join(name);
    until(|| path.exists().then_some(())).unwrap_or_else(|| panic!("{name} is made"));
}

/// What both sides of tests/guests/talk.py say, natively or inside.
fn talk(scratch: &Scratch, address: &str, options: Option<&[&str]>) -> (String, String) {
    scratch.reset().unwrap();
    let script = paths::sources().join("guests/talk.py");
    let bind = bind(scratch);
    let start = |role: &str, ethernet: &str| {
        let mut command = match options {
            None => {
                let mut command = Command::new("/usr/bin/python3");
                command.current_dir(scratch.path());
                command
            }
            Some(options) => {
                let mut command = background::command(scratch.path()).unwrap();
                command.args(words(ethernet, &bind, options)).arg("/usr/bin/python3");
                command
            }
        };
        command.arg(&script).args([role, address]).stdin(Stdio::null()).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let server = start("server", "talk=10.77.0.1");
    let client = start("client", "talk=10.77.0.2");
    let said = [client, server].map(|mut child| {
        if until(|| child.try_wait().unwrap()).is_none() {
            let _ = child.kill();
        }
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stdout));
        text(&output.stdout)
    });
    said.into()
}

fn talks_as_on_one_machine(options: &[&str]) {
    let scratch = Scratch::empty().unwrap();
    for (native, wire) in [("127.0.0.1", "10.77.0.1"), ("::1", "fd77::10.77.0.1")] {
        let expected = talk(&scratch, native, None);
        let wire = wire.parse::<std::net::IpAddr>().unwrap().to_string();
        assert_eq!(talk(&scratch, &wire, Some(options)), expected);
    }
}

#[test]
fn two_machines_see_of_each_other_what_two_processes_of_one_see() {
    talks_as_on_one_machine(&["--isolation", "auto"]);
}

#[test]
fn so_do_those_whose_guests_are_isolated() {
    talks_as_on_one_machine(&["--isolation", "always"]);
}

#[test]
fn a_file_is_fetched_by_both_versions_of_ip() {
    let scratch = Scratch::empty().unwrap();
    let bytes: Vec<u8> =
        (0..20 << 20_u32).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(scratch.path().join("file"), &bytes).unwrap();
    let server = ["/usr/bin/python3", "-m", "http.server", "--bind", "::", "8000"];
    let _server = start(&scratch, "lab", &server);
    await_file(&scratch, "libos/lab.ethernet/02-42-0a-4d-00-01.sock");
    for address in ["10.77.0.1", "[fd77::10.77.0.1]", "[fe80::42:aff:fe4d:1%25eth0]"] {
        let url = format!("http://{address}:8000/file");
        let words = ["curl", "-sS", "--retry-connrefused", "--retry", "9", "-o", "got", &url];
        let output = inside(&scratch, "lab", &words);
        assert!(output.status.success(), "{address}: {}", text(&output.stderr));
        let got = fs::read(scratch.path().join("got")).unwrap();
        assert!((got.len(), fnv(&got)) == (bytes.len(), fnv(&bytes)), "{address}");
    }
}

#[test]
fn what_is_said_last_arrives_although_the_machine_ends_at_once() {
    let scratch = Scratch::empty().unwrap();
    let server = python(
        "import socket, time
s = socket.create_server(('0.0.0.0', 7)); open('ready', 'w'); c, _ = s.accept(); time.sleep(0.5); n = 0
while d := c.recv(65536): n += len(d)
print(n)",
    );
    let mut server = start(&scratch, "lab", &server);
    await_file(&scratch, "ready");
    let client = python(
        "import socket
s = socket.create_connection(('10.77.0.1', 7)); s.sendall(bytes(3_000_000))",
    );
    assert!(inside(&scratch, "lab", &client).status.success());
    assert_eq!(server.wait(), (Some(0), "3000000\n".into()));
}

#[test]
fn where_nobody_is_nobody_is_reached() {
    let scratch = Scratch::empty().unwrap();
    let program = python(
        "import errno, socket, time
def attempt(address, port=80):
    start = time.monotonic()
    try: socket.create_connection((address, port))
    except OSError as error: print(address, errno.errorcode[error.errno], round(time.monotonic() - start))
for address in '10.77.0.200', 'fd77::10.77.0.200', '192.0.2.1', '10.77.0.1', 'fe80::1': attempt(address)
s = socket.socket(); s.bind(('127.0.0.1', 0))
try: s.connect(('10.77.0.200', 80))
except OSError as error: print(errno.errorcode[error.errno])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); print(s.sendto(b'x', ('10.77.0.200', 9)))
try: s.sendto(b'x', ('10.77.0.255', 9))
except OSError as error: print(errno.errorcode[error.errno])",
    );
    let output = inside(&scratch, "lab=10.77.0.1", &program);
    let expected = "10.77.0.200 EHOSTUNREACH 3
fd77::10.77.0.200 EHOSTUNREACH 3
192.0.2.1 ENETUNREACH 0
10.77.0.1 ECONNREFUSED 0
fe80::1 ENETUNREACH 0
EINVAL
1
EACCES
";
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
}

#[test]
fn it_looks_like_a_card_on_a_network() {
    let scratch = Scratch::empty().unwrap();
    let script = "ip -o addr | sed 's/ *valid_lft.*//; s/\\\\//'
ip -o link show eth0 | grep -o 'eth0:.*mtu\\|state UP\\|link/ether .*'
ip route; ip -6 route show dev eth0; ip route get 10.9.8.200 | head -1
cat /sys/class/net/eth0/address; ls /sys/class/net; sed -n 4p /proc/net/dev | cut -d: -f1
ifconfig eth0 | grep -o 'inet .*\\|flags.*>'
python3 -c 'import socket; print(socket.if_nameindex())'";
    let output = inside(&scratch, "lab=10.9.8.7/16", &["/bin/sh", "-c", script]);
    let expected = "1: lo    inet 127.0.0.1/8 scope host lo
1: lo    inet6 ::1/128 scope host
2: eth0    inet 10.9.8.7/16 brd 10.9.255.255 scope global eth0
2: eth0    inet6 fd77::a09:807/64 scope global
2: eth0    inet6 fe80::42:aff:fe09:807/64 scope link
eth0: <BROADCAST,MULTICAST,NOARP,UP,LOWER_UP> mtu
state UP
link/ether 02:42:0a:09:08:07 brd ff:ff:ff:ff:ff:ff
10.9.0.0/16 dev eth0 proto kernel scope link src 10.9.8.7
224.0.0.0/4 dev eth0 scope link
fd77::/64 proto kernel metric 256 pref medium
fe80::/64 proto kernel metric 256 pref medium
10.9.8.200 dev eth0 src 10.9.8.7 uid 0
02:42:0a:09:08:07
eth0
lo
  eth0
flags=4291<UP,BROADCAST,RUNNING,NOARP,MULTICAST>
inet 10.9.8.7  netmask 255.255.0.0  broadcast 10.9.255.255
[(1, 'lo'), (2, 'eth0')]
";
    let lines = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_eq!(lines(&text(&output.stdout)), lines(expected), "{}", text(&output.stderr));
}

#[test]
fn machines_are_asked_for_an_echo_and_connections_are_shown() {
    let scratch = Scratch::empty().unwrap();
    let server = python(
        "import socket, time
s = socket.create_server(('0.0.0.0', 7)); open('ready', 'w'); c, _ = s.accept(); c.recv(1)",
    );
    let _server = start(&scratch, "lab", &server);
    await_file(&scratch, "ready");
    let script = "for to in 10.77.0.1 fd77::10.77.0.1 fe80::42:aff:fe4d:1%eth0 10.77.0.2; do
    ping -q -c 3 -i 0.2 $to | grep -o '[0-9]* received'; done
ping -q -c 1 -W 1 10.77.0.9 | grep -o '[0-9]* received'
exec 3<>/dev/tcp/10.77.0.1/7; ss -tnH | tr -s ' ' | sed 's/:[0-9]* 10/:PORT 10/'";
    let output = inside(&scratch, "lab", &["/bin/bash", "-c", script]);
    let expected = "3 received\n3 received\n3 received\n3 received\n0 received
ESTAB 0 0 10.77.0.2:PORT 10.77.0.1:7\n";
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
}

/// Three machines that all hear what one of them says to all, and to those who have joined; and each one has a connection to each other one.
#[test]
fn three_machines_hear_each_other() {
    let scratch = Scratch::empty().unwrap();
    let program = "import os, socket, struct, sys, threading, time
me = int(sys.argv[1]); others = [n for n in (1, 2, 3) if n != me]
address = lambda n: '10.77.0.%d' % n
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('', 9)); u.settimeout(20)
u.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
if me != 3: u.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton('239.1.2.3') + socket.inet_aton(address(me)))
v = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); v.bind(('::', 10)); v.settimeout(20)
v.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, 'ff02::77') + struct.pack('I', 2))
s = socket.create_server(('', 7))
def serve():
    while True:
        c, peer = s.accept(); c.sendall(peer[0].encode()); c.close()
threading.Thread(target=serve, daemon=True).start()
def meet(step):
    open('%s.%d' % (step, me), 'w')
    while not all(os.path.exists('%s.%d' % (step, n)) for n in (1, 2, 3)): time.sleep(0.01)
meet('ready')
for n in others:
    c = socket.create_connection((address(n), 7)); print(n, c.recv(99).decode())
meet('connected')
if me == 1:
    u.sendto(b'to the group', ('239.1.2.3', 9)); u.sendto(b'to all', ('10.77.0.255', 9)); u.sendto(b'to really all', ('255.255.255.255', 9))
    v.sendto(b'to the wire', ('ff02::77%eth0', 10))
for _ in range(2 if me == 3 else 3): print(*u.recvfrom(99))
data, peer = v.recvfrom(99); print(data, peer[0], peer[3])
u.setblocking(False)
meet('heard')
try: print(u.recv(99))
except BlockingIOError: print('nothing more')
meet('over')";
    let machines = [1, 2, 3].map(|me: u8| {
        let me = me.to_string();
        start(&scratch, &format!("lab=10.77.0.{me}"), &["/usr/bin/python3", "-c", program, &me])
    });
    for (number, mut machine) in (1..).zip(machines) {
        let others = (1..=3).filter(|&other| other != number);
        let mut expected: String =
            others.map(|other| format!("{other} 10.77.0.{number}\n")).collect();
        let group = if number == 3 { "" } else { "b'to the group' ('10.77.0.1', 9)\n" };
        expected += group;
        expected += "b'to all' ('10.77.0.1', 9)\nb'to really all' ('10.77.0.1', 9)\n";
        expected += "b'to the wire' fe80::42:aff:fe4d:1 2\nnothing more\n";
        assert_eq!(machine.wait(), (Some(0), expected), "machine {number}");
    }
}

#[test]
fn who_is_killed_is_missed_and_its_address_is_free_again() {
    let scratch = Scratch::empty().unwrap();
    let server = "import socket, time
s = socket.create_server(('', 7)); open('ready', 'w'); c, _ = s.accept(); c.sendall(b'hello'); time.sleep(100)";
    let mut killed = start(&scratch, "lab=10.77.0.7", &python(server));
    await_file(&scratch, "ready");
    let client = python(
        "import errno, socket
s = socket.create_connection(('10.77.0.7', 7)); print(s.recv(5)); open('connected', 'w')
try: print(s.recv(5))
except OSError as error: print(errno.errorcode[error.errno])",
    );
    let mut client = start(&scratch, "lab", &client);
    await_file(&scratch, "connected");
    let taken = start(&scratch, "lab=10.77.0.7", &["/bin/true"]).wait();
    assert_eq!(taken.0, Some(2));
    killed.signal(Signal::SIGKILL);
    assert_eq!(killed.wait().0, None);
    let begun = Instant::now();
    // It finds out by itself: nothing is sent.
    assert_eq!(client.wait(), (Some(0), "b'hello'\nEHOSTUNREACH\n".into()));
    assert!(begun.elapsed() < Duration::from_secs(20));
    let output = inside(&scratch, "lab=10.77.0.7", &["/bin/hostname", "-I"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    // The lowest address is that of the client, which has ended.
    let output = inside(&scratch, "lab", &["/bin/sh", "-c", "ip -o -4 addr show eth0"]);
    assert!(text(&output.stdout).contains("10.77.0.1/24"), "{}", text(&output.stdout));
}

#[test]
fn a_wire_that_cannot_be_joined_is_a_failure() {
    let scratch = Scratch::empty().unwrap();
    let refused = |words: &[&str]| {
        let (status, _) = Background::start(scratch.path(), words).unwrap().wait();
        assert_eq!(status, Some(2), "{words:?}");
    };
    for with in [&["--net", "host"][..], &["--net", "none"], &["--virtual-time"], &["--seed", "1"]]
    {
        refused(&[with, &["--ethernet", "lab", "/bin/true"]].concat());
    }
    let folder = scratch.path().join("libos/lab.ethernet");
    fs::create_dir_all(&folder).unwrap();
    open_to_others(&scratch.path().join("libos"));
    refused(&["--ethernet", "lab", "/bin/true"]);
}

/// Others may write there: what is found there is nobody's word.
fn open_to_others(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
}
