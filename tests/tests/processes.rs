//! Many processes, killed host processes, and guests that want out of theirs.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{
    compare,
    guests::{self, Build},
    kernel,
    run::{Guest, Outcome, collect},
    scratch::Scratch,
};

/// The processes that are children of `parent`, with their names.
fn children(parent: u32) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((head, tail)) = stat.rsplit_once(')') else { continue };
        let name = head.split_once('(').map_or("", |(_, name)| name);
        if tail.split_whitespace().nth(1) == Some(&parent.to_string()) {
            found.push((pid, name.to_owned()));
        }
    }
    found.sort();
    found
}

/// The host processes of a kernel's isolated guests, and the one that they are cloned from.
fn stubs(kernel: u32) -> Vec<i32> {
    let stubs = children(kernel).into_iter().filter(|(_, name)| name == "libos-stub");
    stubs.map(|(pid, _)| pid).collect()
}

#[test]
fn ten_thousand_forks_two_hundred_processes_and_a_bomb_leave_the_kernel_well() {
    let program = guests::build("forks.c", Build::C, &[]).unwrap();
    let scratch = Scratch::empty().unwrap();
    let guest = Guest::new(program, &["10000"]);
    let native = guest.native(scratch.path()).unwrap();
    for mode in ["auto", "always"] {
        let outcome = guest.clone().options(&["--isolation", mode]).inside(scratch.path()).unwrap();
        let said = |outcome: &Outcome| String::from_utf8_lossy(&outcome.stdout).into_owned();
        assert_eq!(said(&outcome), said(&native), "{mode}");
        assert_eq!(outcome.status, native.status, "{mode}");
        assert!(!outcome.kernel_broke());
    }
}

#[test]
fn a_killed_host_process_ends_its_guest_and_nobody_else() {
    let script = "for i in $(seq 100); do (sleep 0.0$((i % 9)); exit 3); [ $? = 3 ] || echo lost; done; echo end";
    let seconds =
        std::env::var("KILL_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let child = Command::new(kernel::binary().unwrap())
        .args(["/bin/sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (end, mut killed) = (Instant::now() + Duration::from_secs(seconds), 0);
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(20));
        let stubs = stubs(child.id());
        if let Some(&victim) = stubs.get(killed % stubs.len().max(1))
            && kill(Pid::from_raw(victim), Signal::SIGKILL).is_ok()
        {
            killed += 1;
        }
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let lost = said.lines().filter(|line| *line == "lost").count();
    assert!(killed > 0 && lost <= killed, "{lost} lost of {killed} killed");
    assert!(said.ends_with("end\n") && output.status.success(), "{:?}", output.status);
}

#[test]
fn nothing_is_left_of_a_kernel_that_is_killed() {
    let mut child = Command::new(kernel::binary().unwrap())
        .args(["--isolation", "always", "/bin/sh", "-c", "sleep 100 & sleep 100"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut stubs = children(child.id());
    while stubs.len() < 3 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
        stubs = children(child.id());
    }
    assert!(stubs.len() >= 3, "{stubs:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    let gone = |pid: i32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name.trim() == "libos-stub")
    };
    while stubs.iter().any(|(pid, _)| gone(*pid)) {
        assert!(Instant::now() < deadline, "some of {stubs:?} live on");
        thread::sleep(Duration::from_millis(20));
    }
}

/// CPU time of a process and its children that are alive, in ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let own = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let tail = stat.rsplit_once(')').map_or("", |(_, tail)| tail).to_owned();
        let fields: Vec<u64> = tail.split_whitespace().filter_map(|f| f.parse().ok()).collect();
        // utime and stime are fields 14 and 15 of proc(5); the state, field 3, is no number.
        fields.get(10).copied().unwrap_or(0) + fields.get(11).copied().unwrap_or(0)
    };
    own(pid.cast_signed()) + children(pid).iter().map(|(child, _)| own(*child)).sum::<u64>()
}

#[test]
fn processes_that_wait_use_no_cpu() {
    let script = "for i in 1 2 3 4 5 6 7 8; do sleep 100 & done; wait";
    let mut child = Command::new(kernel::binary().unwrap())
        .args(["--isolation", "always", "/bin/sh", "-c", script])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    // On a busy machine it takes a while until all have begun to wait.
    let window = || {
        let before = ticks(child.id());
        thread::sleep(Duration::from_secs(2));
        ticks(child.id()) - before
    };
    let used = (0..8).map(|_| window()).find(|used| *used <= 2);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(used.is_some(), "never idle for two seconds");
}

fn escape(how: &str, argument: &str) -> Outcome {
    let program = guests::build("escape.c", Build::C, &["-pthread"]).unwrap();
    let scratch = Scratch::empty().unwrap();
    let mut command = Command::new(kernel::binary().unwrap());
    command.args(["--isolation", "always"]).arg(program).args([how, argument]);
    command.current_dir(scratch.path());
    let outcome = collect(command, None, Duration::from_secs(90)).unwrap();
    assert!(!outcome.kernel_broke(), "{how}: {}", compare::tail(&outcome.stderr, 30));
    outcome
}

/// Killed, as by SIGKILL or by the fault that it ran into; not at its end.
#[track_caller]
fn dies(outcome: &Outcome) {
    assert!(matches!(outcome.status, Some(137 | 139 | 135)), "{outcome:?}");
}

#[test]
fn the_stubs_code_makes_no_other_host_calls_than_its_own() {
    let scratch = Scratch::empty().unwrap();
    let file = scratch.path().join("made");
    let path = file.to_str().unwrap();
    dies(&escape("open", path));
    dies(&escape("exec", path));
    assert!(!file.exists());
    let mut victim = Command::new("/bin/sleep").arg("100").spawn().unwrap();
    dies(&escape("kill", &victim.id().to_string()));
    assert!(victim.try_wait().unwrap().is_none(), "a process of the host was killed");
    victim.kill().unwrap();
    victim.wait().unwrap();
}

/// What a guest wrote.
fn said(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.stdout).into_owned()
}

/// Wherever it jumps to, and with whatever registers: what is mapped is changed by the stub's leader alone.
#[test]
fn a_guest_cannot_use_the_stubs_calls() {
    let outcome = escape("calls", "");
    let lines = said(&outcome);
    assert_eq!(lines.lines().filter(|line| line.ends_with(" kills")).count(), 16, "{lines}");
    assert_eq!(said(&escape("anywhere", "")), "done\n");
    assert_eq!(said(&escape("deaf", "")), "9\n", "a guest that takes no kicks cannot be killed");
}

#[test]
fn spoiling_what_is_shared_with_the_kernel_spoils_the_guest_alone() {
    dies(&escape("write-code", ""));
    dies(&escape("write-orders", ""));
    assert_eq!(said(&escape("race-answers", "")), "0 wrong\n");
    for how in ["write-ring", "race-ring", "gs", "unmap-all"] {
        // It may even live: what it has written is its own registers.
        assert!(escape(how, "").status.is_some(), "{how} hangs");
    }
}

#[test]
fn the_stub_is_out_of_reach_of_memory_calls() {
    // Nothing of the guest is there to be unmapped, which is no error, and what is stays.
    assert_eq!(said(&escape("unmap-stub", "")), "0\n0\n-1\n");
    assert_eq!(said(&escape("mem", "")), "-1\n");
}
