//! Debian's gdb and strace as guests that trace guests, in either placement, compared with the host; and the host's gdb with a guest from outside.
//!
//! What they debug is `tests/guests/debuggee.c`. Of what they print, addresses and numbers of processes are taken out, and where threads
//! race, lines are sorted.

use std::{ffi::OsString, path::Path, time::Duration};

use regex::Regex;
use tests::{
    guests::{self, Build},
    kernel, paths,
    run::{Guest, Outcome},
    scratch::Scratch,
};

const GDB: &str =
    "gdb -q -nx -batch -ex 'set startup-with-shell off' -ex 'set debuginfod enabled off'";

/// A scratch folder with the debuggee in it.
fn scratch() -> Scratch {
    let scratch = Scratch::empty().unwrap();
    let source = paths::sources().join("guests/debuggee.c");
    let built = guests::build_source(&source, Build::C, &["-g", "-O0", "-pthread"]).unwrap();
    std::fs::copy(built, scratch.path().join("debuggee")).unwrap();
    scratch
}

/// What a shell says that runs `script`, both streams together.
fn shell(script: &str) -> Guest {
    let mut guest = Guest::new("/bin/sh", &["-c", &format!("exec 2>&1; {script}")]);
    guest.timeout = Some(Duration::from_secs(100));
    guest
}

/// The lines that do not change from run to run.
fn lines(outcome: &Outcome, sorted: bool) -> Vec<String> {
    let text = String::from_utf8_lossy(&outcome.stdout);
    let replaced = |text: &str, pattern: &str, by: &str| {
        Regex::new(pattern).unwrap().replace_all(text, by).into_owned()
    };
    let text = replaced(&text, "0x[0-9a-f]+", "ADDR");
    let text = replaced(&text, "([Pp]rocess|LWP) [0-9]+", "$1 N");
    let noise =
        Regex::new("debuginfod|libthread_db|Error disabling|^$|Using host|Download").unwrap();
    let mut lines: Vec<_> =
        text.lines().filter(|line| !noise.is_match(line)).map(String::from).collect();
    if sorted {
        // Which thread is the first is as it comes.
        for line in &mut lines {
            *line = replaced(line, "Thread [0-9.]+ |x=[0-9]", "");
        }
        lines.sort();
    }
    lines
}

fn inside(script: &str, scratch: &Path, placement: &str) -> Outcome {
    let options = ["--isolation", placement].map(OsString::from);
    shell(script).inside_with(scratch, &options).unwrap()
}

/// Runs `script` natively and inside in both placements: the same lines and the same end.
#[track_caller]
fn same(script: &str, sorted: bool) -> Vec<String> {
    let scratch = scratch();
    let native = shell(script).native(scratch.path()).unwrap();
    let wanted = lines(&native, sorted);
    for placement in ["auto", "always"] {
        let inside = inside(script, scratch.path(), placement);
        assert_eq!(lines(&inside, sorted), wanted, "--isolation {placement}: {script}");
        assert_eq!(inside.status, native.status, "--isolation {placement}: {script}");
    }
    wanted
}

/// gdb's `commands`, each an -ex, with the debuggee that does `what`.
fn gdb(commands: &[&str], what: &str) -> String {
    let commands: String = commands.iter().map(|command| format!(" -ex '{command}'")).collect();
    format!("{GDB}{commands} --args ./debuggee {what}")
}

#[track_caller]
fn contains(lines: &[String], needle: &str) {
    assert!(lines.iter().any(|line| line.contains(needle)), "no `{needle}` in {lines:#?}");
}

#[test]
fn gdb_breaks_steps_and_prints() {
    let commands =
        ["b add", "run", "p x", "bt", "next", "step", "p sum", "finish", "p total", "delete", "c"];
    contains(&same(&gdb(&commands, "calls"), false), "Value returned is $3 = 1");
    let commands = ["b deep if n==0", "run", "bt", "up", "info locals", "c"];
    contains(&same(&gdb(&commands, "calls"), false), "in deep (n=3)");
    let commands = [
        "b add",
        "run",
        "info registers rip",
        "stepi",
        "stepi",
        "x/i $pc",
        "p $eflags",
        "set var x = 10",
        "finish",
        "kill",
    ];
    contains(&same(&gdb(&commands, "calls"), false), "<add+13>");
}

#[test]
fn gdb_watches_memory() {
    let commands = ["b main", "run", "watch total", "c", "c", "delete", "c"];
    contains(&same(&gdb(&commands, "calls"), false), "Old value = 1");
}

#[test]
fn gdb_catches_forks_programs_and_calls() {
    same(&gdb(&["catch fork", "run", "c"], "fork"), true);
    let follow = ["set follow-fork-mode child", "b add", "run", "p x", "c"];
    contains(&same(&gdb(&follow, "fork"), true), "$1 = 100");
    contains(&same(&gdb(&["catch exec", "run", "c"], "exec"), false), "exec'd /usr/bin/true");
    let calls = ["catch syscall write", "run", "c", "delete", "c"];
    contains(&same(&gdb(&calls, "calls"), false), "returned from syscall write");
}

#[test]
fn gdb_sees_signals_and_crashes() {
    let signal = ["handle SIGUSR1 stop print", "run", "p $_siginfo.si_signo", "c"];
    contains(&same(&gdb(&signal, "signal"), false), "$1 = 10");
    let crash = ["run", "bt", "p $_siginfo._sifields._sigfault.si_addr", "c"];
    contains(&same(&gdb(&crash, "crash"), false), "Program terminated with signal SIGSEGV");
}

#[test]
fn gdb_breaks_in_threads() {
    let commands = ["b add", "run", "p x < 3", "c", "p x < 3", "c", "p x < 3", "delete", "c"];
    contains(&same(&gdb(&commands, "threads"), true), "total 6");
}

#[test]
fn gdb_attaches() {
    let script = format!(
        "./debuggee wait >out & p=$!; while ! grep -q waiting out; do sleep 0.05; done; \
         {GDB} -p $p -ex 'set var total = 5' -ex 'p total' -ex detach 2>&1 | grep '^.1 = '; \
         wait $p; echo status $?; cat out"
    );
    contains(&same(&script, false), "status 5");
}

/// Not compared: a gdb that is older than the host's processor can not put the registers back after a call.
#[test]
fn gdb_calls_functions_of_its_guest() {
    let scratch = scratch();
    let script = gdb(&["b deep", "run", "p add(41)", "p total", "delete", "c"], "calls");
    for placement in ["auto", "always"] {
        let outcome = inside(&script, scratch.path(), placement);
        let lines = lines(&outcome, false);
        contains(&lines, "$1 = 42");
        contains(&lines, "$2 = 48");
        contains(&lines, "total 49");
    }
}

#[test]
fn strace_counts_and_attaches() {
    let count = "strace -f -c -o s sh -c 'echo a; /bin/true; /bin/true'; \
                 awk '$NF == \"execve\" {print $4}' s; grep -c total s";
    assert_eq!(same(count, false), ["a", "3", "1"]);
    let attach = "./debuggee wait >out & p=$!; while ! grep -q waiting out; do sleep 0.05; done; \
                  timeout 2 strace -o s -e trace=clock_nanosleep -p $p; kill -0 $p && echo lives; \
                  grep -c clock_nanosleep s | sed 's/[0-9][0-9]*/many/'; kill $p; { wait $p; } 2>/dev/null; echo $?";
    contains(&same(attach, false), "lives");
    let injected = "strace -q -o s -e inject=write:error=EIO:when=1 /bin/echo hello; echo $?; \
                    grep -c INJECTED s";
    contains(&same(injected, false), "1");
    let paths = "strace -f -e trace=openat -o s cat /etc/hostname; grep -c '/etc/hostname' s";
    same(paths, false);
}

/// What the host's gdb says of a guest that it debugs from outside.
fn outside(placement: &str, commands: &[&str], what: &str) -> Vec<String> {
    let scratch = scratch();
    let binary = kernel::binary().unwrap();
    let commands: String = commands.iter().map(|command| format!(" -ex '{command}'")).collect();
    // Another port for each run; gdb tries again until there is somebody.
    let script = format!(
        "port=$((10000 + $$ % 10000)); {} --isolation {placement} --gdb $port ./debuggee {what} & \
         {GDB} -ex \"target remote :$port\"{commands}; wait $!; echo status $?",
        binary.display(),
    );
    let outcome = shell(&script).native(scratch.path()).unwrap();
    lines(&outcome, false)
}

#[test]
fn gdb_debugs_a_guest_from_outside() {
    for placement in ["auto", "always"] {
        let commands = [
            "b add",
            "c",
            "p x",
            "bt",
            "next",
            "next",
            "p sum",
            "finish",
            "stepi",
            "p $rip != 0",
            "info auxv",
            "info inferiors",
            "set var total = 20",
            "delete",
            "c",
        ];
        let lines = outside(placement, &commands, "calls");
        for wanted in [
            "Breakpoint 1, add (x=0)",
            "$1 = 0",
            "in main (argc=2",
            "$2 = 1",
            "Value returned is $3 = 1",
            "$4 = 1",
            "Entry point of program",
            "debuggee",
            "total 26",
            "exited with code 032",
            "status 26",
        ] {
            contains(&lines, wanted);
        }
        let lines = outside(placement, &["b main", "c", "watch total", "c", "c", "kill"], "calls");
        contains(&lines, "Old value = 1");
        contains(&lines, "status 137");
        let lines = outside(placement, &["b add", "c", "info threads", "delete", "c"], "threads");
        contains(&lines, "Thread 1.");
        contains(&lines, "total 6");
        let lines = outside(placement, &["handle SIGUSR1 stop print pass", "c", "c"], "signal");
        contains(&lines, "Program received signal SIGUSR1");
        contains(&lines, "status 10");
        let lines = outside(placement, &["b main", "c", "p add(41)", "detach"], "calls");
        contains(&lines, "$1 = 42");
        contains(&lines, "total 49");
        // A child is not debugged, and meets no breakpoint.
        let lines = outside(placement, &["b add", "c"], "fork");
        contains(&lines, "child 3");
        contains(&lines, "status 0");
        contains(&outside(placement, &["c", "bt"], "crash"), "SIGSEGV");
    }
}
