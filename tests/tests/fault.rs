//! `--fault`: what the host may do reaches a guest as it is, a guest that expects it gets along, and the same seed brings the same faults.

use std::fs;

use tests::{
    run::{Guest, Outcome},
    scratch::Scratch,
};

/// Runs a python script with the scratch directory at /data.
#[track_caller]
fn python(scratch: &Scratch, options: &[&str], script: &str) -> Outcome {
    let bind = format!("{}:/data", scratch.path().display());
    let guest = Guest::new("/usr/bin/python3", &["-c", script]).options(&["--cwd", "/"]);
    let outcome =
        guest.options(&["--bind", &bind]).options(options).inside(scratch.path()).unwrap();
    assert!(!outcome.kernel_broke(), "{}", said(&outcome));
    outcome
}

fn said(outcome: &Outcome) -> String {
    [&outcome.stdout, &outcome.stderr].map(|text| String::from_utf8_lossy(text)).join("\n")
}

/// How many faults came, and the whole line.
#[track_caller]
fn injected(outcome: &Outcome) -> (u64, String) {
    let stderr = String::from_utf8_lossy(&outcome.stderr).into_owned();
    let line = stderr.lines().find(|line| line.contains("faults injected"));
    let line = line.unwrap_or_else(|| panic!("no report: {stderr}")).to_owned();
    (line.split(' ').nth(1).unwrap().parse().unwrap(), line)
}

/// A copy by calls that are made again as POSIX wants it. Python itself goes on after EINTR.
const COPY: &str = "
import os
source, copy = os.open('/data/in', os.O_RDONLY), os.open('/data/out', os.O_WRONLY | os.O_CREAT, 0o644)
while data := os.read(source, 4096):
    while data: data = data[os.write(copy, data):]
os.fsync(copy)
";

const RULES: &str = "read:short=0.5,write:short=0.5,any:eintr=0.2,sync:delay=1ms*1";

#[test]
fn a_copy_survives_thousands_of_faults() {
    for isolation in ["auto", "always"] {
        let scratch = Scratch::empty().unwrap();
        let bytes: Vec<u8> =
            (0..3_000_000_u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
        fs::write(scratch.path().join("in"), &bytes).unwrap();
        let outcome = python(&scratch, &["--isolation", isolation, "--fault", RULES], COPY);
        assert_eq!(outcome.status, Some(0), "{}", said(&outcome));
        assert!(injected(&outcome).0 > 1000, "{:?}", injected(&outcome));
        assert!(fs::read(scratch.path().join("out")).unwrap() == bytes, "the copy differs");
    }
}

#[test]
fn a_seed_brings_the_same_faults() {
    let run = |options: &[&str]| {
        let scratch = Scratch::empty().unwrap();
        fs::write(scratch.path().join("in"), vec![7; 300_000]).unwrap();
        let options = [options, &["--fault", RULES]].concat();
        let outcome = python(&scratch, &options, COPY);
        assert_eq!(outcome.status, Some(0), "{}", said(&outcome));
        injected(&outcome)
    };
    for options in [&["--seed", "5"], &["--fault", "seed=5"]] {
        let first = run(options);
        assert!(first.0 > 100 && first.1.contains("(seed=5)"), "{first:?}");
        assert_eq!(first, run(options));
    }
    assert_ne!(run(&["--seed", "5"]).1, run(&["--seed", "6"]).1);
    assert_eq!(run(&["--fault", "limit=17"]).0, 17);
}

#[test]
fn errors_of_the_host_are_the_guests() {
    let scratch = Scratch::empty().unwrap();
    fs::create_dir(scratch.path().join("full")).unwrap();
    fs::create_dir(scratch.path().join("free")).unwrap();
    let full = scratch.path().join("full");
    let place = full.display();
    let rules = format!(
        "write:enospc=1@{place},sync:eio=1@{place},read:eio=1@{place},create:emfile=1@{place}/dir"
    );
    let script = "
import errno, os
def error(call, *arguments):
    try: call(*arguments)
    except OSError as error: return errno.errorcode[error.errno]
for place in ('full', 'free'):
    os.mkdir(f'/data/{place}/dir')
    file = os.open(f'/data/{place}/file', os.O_RDWR | os.O_CREAT)
    print(place, error(os.write, file, b'x'), error(os.fsync, file), error(os.pread, file, 9, 0),
          error(os.posix_fallocate, file, 0, 4096), error(os.mkdir, f'/data/{place}/dir/new'))
print(error(open('/tmp/other', 'w').write, 'x'))
";
    let outcome = python(&scratch, &["--fault", &rules], script);
    let stdout = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let expected = "full ENOSPC EIO EIO ENOSPC EMFILE\nfree None None None None None\nNone\n";
    assert_eq!(stdout, expected, "{}", String::from_utf8_lossy(&outcome.stderr));
    assert_eq!(injected(&outcome).0, 5);
    assert!(fs::read_dir(full.join("dir")).unwrap().next().is_none());
}

#[test]
fn refused_memory_is_enomem() {
    let script = "
import errno, mmap
refused = 0
for _ in range(2000):
    try: mmap.mmap(-1, 1 << 16).close()
    except OSError as error:
        assert error.errno == errno.ENOMEM
        refused += 1
print(refused)
";
    // With some seeds it is a program's start that has no memory.
    let refused = (0..30).find_map(|seed| {
        let scratch = Scratch::empty().unwrap();
        let rules = format!("alloc:enomem=0.005,seed={seed}");
        let outcome = python(&scratch, &["--fault", &rules], script);
        let stdout = String::from_utf8_lossy(&outcome.stdout).into_owned();
        (outcome.status == Some(0))
            .then(|| (stdout.trim().parse::<u64>().unwrap(), injected(&outcome)))
    });
    let (refused, injected) = refused.expect("no run to the end");
    assert!(refused > 0 && injected.0 >= refused, "{refused} of {injected:?}");
}

#[test]
fn connections_to_the_hosts_network_are_reset() {
    let script = "
import errno, socket
def error(call, *arguments):
    try: call(*arguments)
    except OSError as error: return errno.errorcode[error.errno]
listener = socket.create_server(('127.0.0.1', 0))
seen = set()
for _ in range(100):
    client = socket.socket()
    if refused := error(client.connect, listener.getsockname()):
        seen.add(refused)
        continue
    server, _ = listener.accept()
    if reset := error(client.sendall, b'x' * 1000):
        seen.add(reset)
        # The other side learns of it, after what was sent before.
        assert error(lambda: all(iter(lambda: server.recv(4096), b''))) == 'ECONNRESET'
print(sorted(seen))
";
    let scratch = Scratch::empty().unwrap();
    let rules = "connect:etimedout=0.2@net,write:reset=0.3@net,write:short=0.3,seed=1";
    let outcome = python(&scratch, &["--net", "host", "--fault", rules], script);
    assert_eq!(outcome.stdout, b"['ECONNRESET', 'ETIMEDOUT']\n", "{}", said(&outcome));
}

#[test]
fn inherited_descriptors_have_faults_when_named() {
    let scratch = Scratch::empty().unwrap();
    let script = "import os; os._exit(0 if 0 < len(os.read(0, 4096)) < 4096 else 1)";
    for (rules, status) in [("read:short=1@stdio", 0), ("read:short=1", 1)] {
        let mut guest = Guest::new("/usr/bin/python3", &["-c", script]);
        guest = guest.options(&["--fault", rules]);
        guest.stdin = Some(vec![b'x'; 4096]);
        let outcome = guest.inside(scratch.path()).unwrap();
        assert_eq!(outcome.status, Some(status), "{rules}: {}", injected(&outcome).1);
    }
}
