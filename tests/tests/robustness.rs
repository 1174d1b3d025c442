//! Hostile guests: each gets what Linux would give it, and the kernel goes on and ends with the right status.

use std::time::Duration;

use tests::{
    compare,
    guests::{self, Build},
    run::{Guest, Outcome},
    scratch::Scratch,
};

fn hostile(how: &str, options: &[&str]) -> Outcome {
    let program = guests::build("hostile.c", Build::C, &[]).unwrap();
    let scratch = Scratch::empty().unwrap();
    let mut guest = Guest::new(program, &[how]).options(options);
    guest.timeout = Some(Duration::from_secs(30));
    let outcome = guest.inside(scratch.path()).unwrap();
    let errors = String::from_utf8_lossy(&outcome.stderr);
    let broken = ["panicked at", "kernel bug"].iter().any(|word| errors.contains(word));
    assert!(!broken, "{how}: {}", compare::tail(&outcome.stderr, 30));
    outcome
}

#[track_caller]
fn dies(how: &str, status: i32) {
    for options in [&["--cpus", "1"][..], &["--cpus", "2"]] {
        let outcome = hostile(how, options);
        let errors = String::from_utf8_lossy(&outcome.stderr).into_owned();
        assert_eq!(outcome.status, Some(status), "{how} {options:?}\n{errors}");
    }
}

#[track_caller]
fn says(how: &str, options: &[&str], text: &str) {
    let outcome = hostile(how, options);
    let errors = String::from_utf8_lossy(&outcome.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), text, "{how}\n{errors}");
    assert_eq!(outcome.status, Some(0), "{how}\n{errors}");
}

#[test]
fn a_crash_is_the_signals_status() {
    dies("segv", 139);
    dies("ill", 132);
    dies("fpe", 136);
    dies("trap", 133);
    dies("abort", 134);
    dies("thread-segv", 139);
}

#[test]
fn a_wild_jump_is_a_segmentation_fault() {
    for how in ["jump-null", "jump-kernel", "jump-above", "jump-noncanonical"] {
        dies(how, 139);
    }
}

#[test]
fn a_wild_stack_kills_the_guest_only() {
    dies("stack-null", 139);
    dies("stack-noncanonical", 135);
    dies("sigreturn", 139);
    dies("sigreturn-null", 139);
    dies("handler-null", 139);
}

#[test]
fn memory_that_is_not_the_guests_is_out_of_its_reach() {
    dies("unmap-all", 139);
    dies("protect-all", 139);
}

#[test]
fn a_loop_leaves_turns_to_the_thread_beside_it_on_one_cpu() {
    says("spin", &["--cpus", "1"], "had turns\n");
}

#[test]
fn threads_are_refused_when_there_is_no_more_room() {
    says("threads", &["--memory", "64M"], "EAGAIN\n");
}

#[test]
fn descriptors_are_refused_at_the_limit() {
    says("descriptors", &[], "256 EMFILE\n-1 1\n100\n");
}

#[test]
fn more_memory_than_the_machine_has_is_refused() {
    says("mmap", &["--memory", "64M"], "ENOMEM\n");
    says("malloc", &["--memory", "64M"], "ENOMEM\n");
    says(
        "noreserve",
        &["--memory", "64M"],
        "refused
",
    );
}

#[test]
fn a_full_file_system_is_an_error_and_goes_on_once_there_is_room() {
    says("tmpfs", &["--memory", "64M"], "full\n65536\n");
    says("many-files", &["--memory", "64M"], "done\n");
}

#[test]
fn sizes_that_overflow_are_errors() {
    says("wide", &["--memory", "64M"], "done\n");
}
