//! Many descriptors, of which nearly none is ever ready: what a wake costs among them, and what they cost while nothing happens.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tests::{
    guests::{self, Build},
    kernel,
    run::Guest,
    scratch::Scratch,
};

#[test]
fn a_wake_costs_about_the_same_among_a_thousand_and_a_hundred_thousand() {
    let program = guests::build("many.c", Build::C, &["-pthread"]).unwrap();
    for isolation in ["auto", "always"] {
        let mut guest = Guest::new(&program, &["wakes", "100000"]);
        guest = guest.options(&["--isolation", isolation]);
        guest.timeout = Some(Duration::from_secs(120));
        let outcome = guest.inside(Scratch::empty().unwrap().path()).unwrap();
        let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
        let one = "poll: 1, the right one: 1\n".repeat(3);
        assert_eq!(
            String::from_utf8_lossy(&outcome.stdout),
            format!("epoll: about the same: 1\n{one}none: 0\nselect: 1, the right one: 1\n"),
            "--isolation {isolation}: {said}"
        );
        assert_eq!(outcome.status, Some(0), "--isolation {isolation}: {said}");
    }
}

/// A guest that has made so many connections, and sleeps until it is told to go on.
fn connected(count: u32) -> (Child, BufReader<std::process::ChildStdout>) {
    let program = guests::build("many.c", Build::C, &["-pthread"]).unwrap();
    let mut child = Command::new(kernel::binary().unwrap())
        .args([program.as_os_str(), "idle".as_ref(), count.to_string().as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "connected\n");
    (child, out)
}

/// Ends such a guest: each connection still carries a byte.
fn end((mut child, mut out): (Child, BufReader<std::process::ChildStdout>), count: u32) {
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, format!("heard: {count}\n"));
    assert!(child.wait().unwrap().success());
}

/// Bytes of the kernel that are in memory.
fn resident(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// CPU time of the kernel, in ticks.
fn ticks(child: &Child) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn connections_that_are_idle_cost_little_memory_and_no_time() {
    const MANY: u32 = 10_000;
    let few = connected(1);
    let least = resident(&few.0);
    end(few, 1);
    let many = connected(MANY);
    // What making them has left to do is done soon.
    thread::sleep(Duration::from_millis(500));
    let each = resident(&many.0).saturating_sub(least) / u64::from(MANY);
    let before = ticks(&many.0);
    thread::sleep(Duration::from_secs(2));
    let took = ticks(&many.0) - before;
    println!("a connection, with both its ends: {each} bytes; {MANY} idle for 2 s: {took} ticks");
    end(many, MANY);
    assert!(each < 32 << 10, "{each} bytes each");
    assert!(took <= 2, "{took} ticks");
}
