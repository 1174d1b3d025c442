//! No guest call reaches the host: the host's own strace, attached to the kernel, must not see a call that only the guest
//! makes. The control: the same program run natively under strace shows every one of them.

use std::{collections::BTreeSet, fs, process::Command, time::Duration};

use tests::{
    guests::{self, Build},
    host, kernel,
    run::{self, Guest},
    scratch::Scratch,
};

/// The system calls that `guests/markers.c` makes with a mark that nothing else would pass.
const MARKS: [&str; 3] = ["getpriority(0x5ca1ab1e", "fchmod(-559038737", "ppoll(0x5ca1ab1e"];

fn traced(words: &[&str], scratch: &Scratch) -> String {
    let strace = host::locate("strace", "strace").unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(strace);
    command.args(["-f", "-X", "raw", "-o"]).arg(log.path()).args(words).current_dir(scratch.path());
    let outcome = run::collect(command, None, Duration::from_secs(120)).unwrap();
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!(outcome.status, Some(0), "{stderr}");
    assert_eq!(outcome.stdout, b"done\n", "{stderr}");
    fs::read_to_string(log.path()).unwrap()
}

fn marks_in(trace: &str) -> BTreeSet<&'static str> {
    MARKS.into_iter().filter(|mark| trace.contains(mark)).collect()
}

#[test]
fn strace_of_the_kernel_sees_no_call_of_the_guest() {
    let scratch = Scratch::empty().unwrap();
    let libos = kernel::binary().unwrap().to_str().unwrap();
    for how in [Build::C, Build::Static] {
        let guest = guests::build("markers.c", how, &[]).unwrap();
        let guest = guest.to_str().unwrap();
        let native = traced(&[guest], &scratch);
        assert_eq!(marks_in(&native), BTreeSet::from(MARKS), "the control failed:\n{native}");
        let inside = traced(&[libos, guest], &scratch);
        assert!(inside.contains("exit_group"), "strace saw nothing");
        assert_eq!(marks_in(&inside), BTreeSet::new(), "a guest call reached the host");
    }
}

#[test]
fn a_page_made_at_run_time_asks_for_the_guests_own_pid() {
    let scratch = Scratch::empty().unwrap();
    let guest = guests::build("rawpid.c", Build::C, &[]).unwrap();
    let outcome = Guest::new(guest, &[]).inside(scratch.path()).unwrap();
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    assert_eq!(outcome.status, Some(0), "{text}");
    // A pid of this kernel is small; the host's would be the kernel's own process id.
    let mut numbers = text.split_whitespace().map(|word| word.parse::<u32>().unwrap());
    let (raw, libc) = (numbers.next().unwrap(), numbers.next().unwrap());
    assert_eq!(raw, libc);
    assert!(raw < 100, "pid {raw} looks like the host's");
}

#[test]
fn the_host_is_as_it_was_after_a_guest_that_writes_everywhere() {
    let scratch = Scratch::with_inputs().unwrap();
    let before = scratch.tree().unwrap();
    let script = "import os, shutil; open('/etc/made-by-a-guest', 'w').write('x'); open('text.txt', 'w').write('x'); \
                  shutil.rmtree('tree'); os.mkdir('/made-by-a-guest'); os.chmod('noise.bin', 0); \
                  os.rename('numbers.txt', 'renamed'); print(sorted(os.listdir('.'))[:2])";
    let guest = Guest::new("/usr/bin/python3", &["-c", script]);
    let outcome = guest.inside(scratch.path()).unwrap();
    assert_eq!(outcome.status, Some(0), "{}", String::from_utf8_lossy(&outcome.stderr));
    assert_eq!(before, scratch.tree().unwrap());
    for path in ["/etc/made-by-a-guest", "/made-by-a-guest"] {
        assert!(!fs::exists(path).unwrap(), "{path} is on the host");
    }
}
