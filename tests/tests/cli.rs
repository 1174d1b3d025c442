//! The command line: what cannot run says so in one clear line, with the shell's exit code.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use tests::{
    run::{Guest, Outcome},
    scratch::Scratch,
};

fn libos(scratch: &Scratch, words: &[&str]) -> Outcome {
    let (program, args) = words.split_first().unwrap();
    Guest::new(*program, args).inside(scratch.path()).unwrap()
}

/// One line on stderr that contains `needle`, nothing on stdout, the status, and nothing left behind.
#[track_caller]
fn complains(scratch: &Scratch, words: &[&str], status: i32, needle: &str) {
    let before = scratch.tree().unwrap();
    let outcome = libos(scratch, words);
    let stderr = String::from_utf8_lossy(&outcome.stderr).into_owned();
    assert_eq!(outcome.status, Some(status), "{words:?}: {stderr}");
    assert!(outcome.stdout.is_empty(), "{words:?}: {:?}", outcome.stdout);
    assert!(stderr.contains(needle), "{words:?}: `{stderr}` does not say `{needle}`");
    assert_eq!(stderr.lines().count(), 1, "{words:?}: {stderr}");
    assert_eq!(before, scratch.tree().unwrap());
}

fn executable(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_missing_program_is_127() {
    let scratch = Scratch::empty().unwrap();
    complains(&scratch, &["/no/such/program"], 127, "No such file or directory");
    complains(&scratch, &["no-such-program"], 127, "not found");
}

#[test]
fn a_directory_is_126() {
    let scratch = Scratch::empty().unwrap();
    complains(&scratch, &["/etc"], 126, "/etc");
}

#[test]
fn a_file_without_permission_is_126() {
    let scratch = Scratch::empty().unwrap();
    fs::write(scratch.path().join("plain"), "#!/bin/cat\n").unwrap();
    complains(&scratch, &["./plain"], 126, "Permission denied");
}

#[test]
fn text_without_an_interpreter_line_is_126() {
    let scratch = Scratch::empty().unwrap();
    executable(&scratch.path().join("text"), b"echo hello\n");
    complains(&scratch, &["./text"], 126, "xec format error");
}

#[test]
fn an_empty_file_is_126() {
    let scratch = Scratch::empty().unwrap();
    executable(&scratch.path().join("empty"), b"");
    complains(&scratch, &["./empty"], 126, "xec format error");
}

#[test]
fn a_script_whose_interpreter_is_missing_is_a_failure_that_names_it() {
    let scratch = Scratch::empty().unwrap();
    executable(&scratch.path().join("script"), b"#!/no/such/interpreter\n");
    complains(&scratch, &["./script"], 126, "/no/such/interpreter");
}

#[test]
fn a_script_that_is_its_own_interpreter_ends() {
    let scratch = Scratch::empty().unwrap();
    executable(&scratch.path().join("ouroboros"), b"#!./ouroboros\n");
    complains(&scratch, &["./ouroboros"], 126, "ouroboros");
}

#[test]
fn a_32_bit_image_is_126() {
    let scratch = Scratch::empty().unwrap();
    let mut image = fs::read("/bin/true").unwrap();
    image[4] = 1;
    executable(&scratch.path().join("image"), &image);
    complains(&scratch, &["./image"], 126, "32-bit");
}

#[test]
fn an_image_of_another_machine_is_126() {
    let scratch = Scratch::empty().unwrap();
    let mut image = fs::read("/bin/true").unwrap();
    image[18..20].copy_from_slice(&183_u16.to_le_bytes());
    executable(&scratch.path().join("image"), &image);
    complains(&scratch, &["./image"], 126, "image");
}

#[test]
fn a_truncated_image_is_126_wherever_it_ends() {
    let scratch = Scratch::empty().unwrap();
    let image = fs::read("/bin/true").unwrap();
    for len in [4, 16, 63, 64, 100, 300, 700] {
        executable(&scratch.path().join("image"), &image[..len]);
        complains(&scratch, &["./image"], 126, "image");
    }
}

#[test]
fn a_bad_option_is_2() {
    let scratch = Scratch::empty().unwrap();
    for words in [
        &["--no-such-option", "/bin/true"][..],
        &["--cpus", "none", "/bin/true"],
        &["--cpus", "0", "/bin/true"],
        &["--memory", "much", "/bin/true"],
        &["--env", "novalue", "/bin/true"],
        &["--bind", "/no/such/dir:/x", "/bin/true"],
        &["--root", "/no/such/dir", "/bin/true"],
        &["--cwd", "/no/such/dir", "/bin/true"],
    ] {
        let outcome = libos(&scratch, words);
        let stderr = String::from_utf8_lossy(&outcome.stderr);
        assert_eq!(outcome.status, Some(2), "{words:?}: {stderr}");
        assert!(!stderr.is_empty() && outcome.stdout.is_empty(), "{words:?}: {stderr}");
    }
}

#[test]
fn no_program_is_2() {
    let scratch = Scratch::empty().unwrap();
    let outcome = libos(&scratch, &["--cpus", "1"]);
    assert_eq!(outcome.status, Some(2));
    assert!(!outcome.stderr.is_empty());
}

#[test]
fn help_shows_examples() {
    let scratch = Scratch::empty().unwrap();
    let outcome = libos(&scratch, &["--help"]);
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    assert_eq!(outcome.status, Some(0));
    for word in ["--strace", "--cpus", "--memory", "--env", "--cwd", "--root", "--bind", "--log"] {
        assert!(text.contains(word), "{word} is not in the help:\n{text}");
    }
    assert!(text.contains("libos /bin/ls") || text.to_lowercase().contains("example"), "{text}");
}

#[test]
fn options_after_the_program_are_the_programs() {
    let scratch = Scratch::empty().unwrap();
    let outcome = libos(&scratch, &["/bin/echo", "--cpus", "--help-not"]);
    assert_eq!(outcome.stdout, b"--cpus --help-not\n");
}

#[test]
fn env_and_cwd_are_the_guests() {
    let scratch = Scratch::empty().unwrap();
    let words = ["--env", "COLOUR=green", "--cwd", "/usr/bin", "/usr/bin/env"];
    let outcome = libos(&scratch, &words);
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    assert!(text.lines().any(|line| line == "COLOUR=green"), "{text}");
    let outcome = libos(&scratch, &["--cwd", "/usr/bin", "/bin/pwd", "-P"]);
    assert_eq!(outcome.stdout, b"/usr/bin\n");
}

#[test]
fn a_program_is_found_on_the_path() {
    let scratch = Scratch::empty().unwrap();
    assert_eq!(libos(&scratch, &["echo", "found"]).stdout, b"found\n");
}

#[test]
fn a_bound_directory_lets_writes_through_and_a_read_only_one_does_not() {
    let scratch = Scratch::empty().unwrap();
    let path = scratch.path().display().to_string();
    let bind = format!("{path}:/mnt");
    let outcome = libos(&scratch, &["--bind", &bind, "/bin/cp", "/etc/hostname", "/mnt/copy"]);
    assert_eq!(outcome.status, Some(0), "{}", String::from_utf8_lossy(&outcome.stderr));
    let copy = fs::read(scratch.path().join("copy")).unwrap();
    assert_eq!(copy, fs::read("/etc/hostname").unwrap());
    let bind = format!("{path}:/mnt:ro");
    let outcome = libos(&scratch, &["--bind", &bind, "/bin/rm", "-f", "/mnt/copy"]);
    assert_eq!(outcome.status, Some(1));
    assert!(String::from_utf8_lossy(&outcome.stderr).contains("Read-only file system"));
    assert!(scratch.path().join("copy").exists());
}

#[test]
fn another_root_holds_what_it_holds() {
    let scratch = Scratch::empty().unwrap();
    let root = scratch.path().display().to_string();
    fs::create_dir(scratch.path().join("bin")).unwrap();
    fs::copy("/bin/busybox", scratch.path().join("bin/busybox")).unwrap();
    let outcome = libos(&scratch, &["--root", &root, "/bin/busybox", "ls", "/bin"]);
    assert_eq!(outcome.stdout, b"busybox\n", "{}", String::from_utf8_lossy(&outcome.stderr));
    complains(&scratch, &["--root", &root, "/bin/ls"], 127, "/bin/ls");
}

#[test]
fn a_trace_names_the_calls_and_goes_where_it_is_told() {
    let scratch = Scratch::empty().unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let option = format!("--strace={}", log.path().display());
    let outcome = libos(&scratch, &[&option, "/bin/cat", "/etc/hostname"]);
    assert_eq!(outcome.stdout, fs::read("/etc/hostname").unwrap());
    assert!(outcome.stderr.is_empty());
    let trace = fs::read_to_string(log.path()).unwrap();
    for needle in ["openat(", "\"/etc/hostname\"", "exit_group(0)"] {
        assert!(trace.contains(needle), "no {needle} in:\n{trace}");
    }
    let outcome = libos(&scratch, &["--strace", "/bin/true"]);
    assert!(String::from_utf8_lossy(&outcome.stderr).contains("exit_group(0)"));
}

#[test]
fn a_signal_that_kills_is_128_and_its_number() {
    let scratch = Scratch::empty().unwrap();
    let script = "import os, signal, sys; os.kill(os.getpid(), int(sys.argv[1]))";
    for signal in [6, 9, 11, 15] {
        let number = signal.to_string();
        let outcome = libos(&scratch, &["/usr/bin/python3", "-c", script, &number]);
        assert_eq!(outcome.status, Some(128 + signal));
    }
}

#[test]
fn the_clocks_are_the_host_s() {
    let wall = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let scratch = Scratch::empty().unwrap();
    let before = wall();
    let outcome = libos(&scratch, &["/bin/date", "+%s%N"]);
    let after = wall();
    let inside = String::from_utf8(outcome.stdout).unwrap().trim().parse::<u128>().unwrap();
    assert!((before..=after).contains(&inside), "{inside} is not in {before}..={after}");
}
