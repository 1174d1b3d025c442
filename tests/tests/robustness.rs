//! Hostile guests: each gets what Linux would give it, and the kernel goes on and ends with the right status.

use std::{fs::File, os::unix::fs::FileExt, time::Duration};

use tests::{
    compare,
    guests::{self, Build},
    run::{Guest, Outcome},
    scratch::Scratch,
};

fn hostile(how: &str, options: &[&str]) -> Outcome {
    guest("hostile.c", how, options)
}

fn guest(source: &str, how: &str, options: &[&str]) -> Outcome {
    let program = guests::build(source, Build::C, &[]).unwrap();
    let scratch = Scratch::empty().unwrap();
    let mut guest = Guest::new(program, &[how]).options(options);
    guest.timeout = Some(Duration::from_secs(30));
    let outcome = guest.inside(scratch.path()).unwrap();
    assert!(!outcome.kernel_broke(), "{how}: {}", compare::tail(&outcome.stderr, 30));
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

/// Runs what keeps the kernel busy, on one CPU and on two: whoever only wants to sleep a little beside it has turns, and the end is an end.
#[track_caller]
fn leaves_turns(how: &str) {
    for cpus in ["1", "2"] {
        let outcome = guest("greedy.c", how, &["--cpus", cpus, "--memory", "256M"]);
        let errors = String::from_utf8_lossy(&outcome.stderr).into_owned();
        let text = String::from_utf8_lossy(&outcome.stdout);
        assert_eq!(text, "had turns\n", "{how} on {cpus}\n{errors}");
        assert_eq!(outcome.status, Some(0), "{how} on {cpus}\n{errors}");
    }
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
    says("bare-threads", &["--memory", "64M"], "ENOMEM\n");
}

#[test]
fn ten_thousand_threads_wait_in_read() {
    let program = guests::build("readers.c", Build::C, &[]).unwrap();
    let scratch = Scratch::empty().unwrap();
    let guest = Guest::new(program, &["10000"]);
    let native = guest.native(scratch.path()).unwrap();
    assert_eq!(native.status, Some(0), "{}", compare::tail(&native.stderr, 30));
    for isolation in ["never", "always"] {
        let guest = guest.clone().options(&["--cpus", "2", "--isolation", isolation]);
        let inside = guest.inside(scratch.path()).unwrap();
        let errors = compare::tail(&inside.stderr, 30);
        assert_eq!(inside.status, Some(0), "{isolation}\n{errors}");
        assert_eq!(inside.stdout, native.stdout, "{isolation}\n{errors}");
    }
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
    says("many-names", &["--memory", "64M"], "full\nmade\nfull\n");
}

#[test]
fn what_pipes_and_holes_hold_has_a_bound() {
    says("pipes", &["--memory", "64M"], "ENOMEM\n-1 1\n4096\n");
    says("holes", &["--memory", "64M"], "16384 0\nENOMEM\nENOMEM\n-1 1\n");
}

#[test]
fn a_file_of_the_host_larger_than_memory_is_used_a_part_at_a_time() {
    let scratch = Scratch::empty().unwrap();
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(scratch.path().join("large"))
        .unwrap();
    file.set_len(65536 * 4096).unwrap();
    for page in 0..65536 {
        file.write_all_at(&[1], page * 4096).unwrap();
    }
    let bind = format!("{0}:{0}", scratch.path().display());
    let program = guests::build("hostile.c", Build::C, &[]).unwrap();
    let guest = Guest::new(program, &["large-file"]);
    let outcome = guest.options(&["--memory", "64M", "--bind", &bind]).inside(scratch.path());
    let outcome = outcome.unwrap();
    let errors = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), "65536 0\nbounded\n", "{errors}");
    let mut word = [0; 8];
    for page in 0..65536 {
        file.read_exact_at(&mut word, page * 4096 + 8).unwrap();
        assert_eq!(u64::from_ne_bytes(word), page * 4096);
    }
}

#[test]
fn sizes_that_overflow_are_errors() {
    says("wide", &["--memory", "64M"], "done\n");
}

#[test]
fn a_call_that_moves_gigabytes_leaves_turns_to_others() {
    for how in ["copy", "zero", "random", "exchange", "populate", "protect"] {
        leaves_turns(how);
    }
}

#[test]
fn timers_that_expire_all_the_time_leave_turns_to_others() {
    leaves_turns("timers");
}

#[test]
fn sets_of_sets_of_files_are_neither_deep_nor_slow() {
    leaves_turns("chain");
    leaves_turns("web");
}

#[test]
fn flags_that_a_guest_may_set_do_not_hold_in_the_kernel() {
    leaves_turns("steps");
    leaves_turns("alignment");
}

#[test]
fn memory_that_changes_under_the_calls_that_use_it_is_an_error_at_most() {
    leaves_turns("churn");
}
