//! `--init`: process 1 is the kernel's own, and the machine lasts as long as anything runs in it.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tests::{
    background::{Background, until},
    guests::{self, Build},
    run::Guest,
    scratch::Scratch,
};

fn inside(script: &str) -> (Option<i32>, String) {
    let scratch = Scratch::empty().unwrap();
    let guest =
        Guest::new("/bin/bash", &["-c", &format!("exec 2>&1; {script}")]).options(&["--init"]);
    let outcome = guest.inside(scratch.path()).unwrap();
    (outcome.status, String::from_utf8_lossy(&outcome.stdout).into_owned())
}

/// A script inside that can leave files for the test.
fn background(scratch: &Scratch, script: &str) -> Background {
    started(scratch, &["--init"], script)
}

fn started(scratch: &Scratch, options: &[&str], script: &str) -> Background {
    let dir = scratch.path().display();
    let bind = format!("{dir}:{dir}");
    let words = [options, &["--bind", &bind, "/bin/bash", "-c", script]].concat();
    Background::start(scratch.path(), &words).unwrap()
}

fn appears(scratch: &Scratch, name: &str) {
    until(|| scratch.path().join(name).exists().then_some(()))
        .unwrap_or_else(|| panic!("no {name}"));
}

#[test]
fn the_program_is_a_child_of_process_1() {
    let (status, said) = inside("echo $$ $PPID; exit 7");
    assert_eq!((status, &*said), (Some(7), "2 1\n"));
    let (_, said) = inside("ps -eo pid,ppid,stat,comm,args");
    let lines: Vec<_> =
        said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines.get(1).map(String::as_str), Some("1 0 Ss libos-init libos-init"), "{said}");
    let (status, said) = inside(
        "grep -E '^(Name|State|Pid|PPid)' /proc/1/status; cat /proc/1/comm; tr '\\0' '\\n' </proc/1/cmdline",
    );
    let wanted =
        "Name:\tlibos-init\nState:\tS (sleeping)\nPid:\t1\nPPid:\t0\nlibos-init\nlibos-init\n";
    assert_eq!((status, &*said), (Some(0), wanted));
}

#[test]
fn nothing_ends_process_1_and_a_signal_to_it_is_the_programs() {
    let (status, said) = inside(
        "kill -KILL 1; echo $?; kill -STOP 1; kill -CHLD 1; kill -0 1; echo $?; trap 'echo told; exit 3' TERM; kill 1; sleep 20 & wait",
    );
    assert_eq!((status, &*said), (Some(3), "0\n0\ntold\n"));
}

#[test]
fn a_thousand_orphans_leave_no_zombie() {
    let program = guests::build("orphans.c", Build::C, &[]).unwrap();
    let scratch = Scratch::empty().unwrap();
    let outcome =
        Guest::new(program, &["1000"]).options(&["--init"]).inside(scratch.path()).unwrap();
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), "2 processes, a child of 1\n");
}

#[test]
fn an_orphans_parent_is_process_1() {
    let (status, said) = inside("(sh -c 'sleep 1; echo $(ps -o ppid= -p $$)' &) ; echo left");
    assert_eq!((status, &*said), (Some(0), "left\n1\n"));
}

#[test]
fn daemons_outlive_the_script_that_started_them_and_the_status_is_the_scripts() {
    let scratch = Scratch::empty().unwrap();
    let script = "for i in 1 2 3; do (while [ ! -e stop ]; do sleep 0.1; done; echo $i >end$i) & done; touch started; exit 5";
    let mut machine = background(&scratch, script);
    appears(&scratch, "started");
    std::thread::sleep(Duration::from_millis(500));
    assert!(!machine.has_ended());
    std::fs::write(scratch.path().join("stop"), "").unwrap();
    assert_eq!(machine.wait().0, Some(5));
    for name in ["end1", "end2", "end3"] {
        appears(&scratch, name);
    }
}

#[test]
fn sigterm_after_the_programs_end_ends_the_daemons() {
    let scratch = Scratch::empty().unwrap();
    let script = "(trap 'touch obeyed; exit' TERM; touch ready1; while :; do sleep 0.1; done) &
        (trap '' TERM; touch ready2; while :; do sleep 0.1; done) & exit 4";
    let mut machine = background(&scratch, script);
    appears(&scratch, "ready1");
    appears(&scratch, "ready2");
    let start = Instant::now();
    machine.signal(Signal::SIGTERM);
    assert_eq!(machine.wait().0, Some(4));
    // The second one has to be killed.
    assert!(start.elapsed() >= Duration::from_secs(4));
    appears(&scratch, "obeyed");
}

#[test]
fn one_sigterm_ends_the_program_and_then_what_it_left() {
    let scratch = Scratch::empty().unwrap();
    let mut machine =
        background(&scratch, "trap 'exit 6' TERM; sleep 1000 & sleep 1001 & touch ready; wait");
    appears(&scratch, "ready");
    let start = Instant::now();
    machine.signal(Signal::SIGTERM);
    assert_eq!(machine.wait().0, Some(6));
    assert!(start.elapsed() < Duration::from_secs(4), "nothing was to be killed");
}

#[test]
fn a_second_sigterm_is_for_all_and_who_ignores_it_is_killed() {
    let scratch = Scratch::empty().unwrap();
    let mut machine =
        background(&scratch, "trap '' TERM; touch ready; while :; do sleep 0.1; done");
    appears(&scratch, "ready");
    machine.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(300));
    assert!(!machine.has_ended());
    machine.signal(Signal::SIGTERM);
    assert_eq!(machine.wait().0, Some(137));
}

#[test]
fn signals_of_the_host_are_the_programs() {
    let script = "for s in HUP INT QUIT USR1 USR2; do trap \"echo $s\" $s; done
        trap 'exit 8' TERM; touch ready; while :; do sleep 0.1; done";
    for options in [&["--init"][..], &[]] {
        let scratch = Scratch::empty().unwrap();
        let mut machine = started(&scratch, options, script);
        appears(&scratch, "ready");
        for signal in [
            Signal::SIGHUP,
            Signal::SIGINT,
            Signal::SIGQUIT,
            Signal::SIGUSR1,
            Signal::SIGUSR2,
            Signal::SIGTERM,
        ] {
            machine.signal(signal);
            std::thread::sleep(Duration::from_millis(400));
        }
        let wanted = (Some(8), "HUP\nINT\nQUIT\nUSR1\nUSR2\n".to_owned());
        assert_eq!(machine.wait(), wanted, "{options:?}");
    }
}

#[test]
fn a_program_that_a_signal_of_the_host_ends_says_so() {
    for (signal, status) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        for options in [&["--init"][..], &[]] {
            let scratch = Scratch::empty().unwrap();
            let mut machine = started(&scratch, options, "touch ready; exec sleep 1000");
            appears(&scratch, "ready");
            std::thread::sleep(Duration::from_millis(300));
            machine.signal(signal);
            assert_eq!(machine.wait().0, Some(status), "{signal} {options:?}");
        }
    }
}
