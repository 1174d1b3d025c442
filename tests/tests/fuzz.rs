//! Random system calls with random arguments: the guest may die of them, the kernel must not, nor may it keep a guest from ending.
//!
//! `FUZZ_SECONDS=600 cargo test -p tests --test fuzz` for a long run, `FUZZ_SEED=N` to begin with (and repeat) a seed, `LIBOS_BIN` for
//! another kernel, such as one that checks its arithmetic (`target/debug/libos`).

use std::{path::PathBuf, time::Duration};

use tests::{
    compare,
    guests::{self, Build},
    run::Guest,
    scratch::Scratch,
    seeds::seeds,
};

/// Seeds that have found something, tried before all others.
const KEPT: [u64; 8] = [1, 2, 3, 4, 5, 1547, 1786, 2730];

/// Calls of each of the guest's threads.
const CALLS: &str = "3000";

/// The guest ends itself after three to four seconds by the clock. What takes this long, on a busy machine too, will never end.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs one seed; how many calls were made.
fn run(program: &PathBuf, scratch: &Scratch, seed: u64) -> usize {
    let cpus = if seed.is_multiple_of(2) { "1" } else { "2" };
    let mut guest = Guest::new(program, &[&seed.to_string(), CALLS])
        .options(&["--memory", "256M", "--cpus", cpus]);
    guest.timeout = Some(LIMIT);
    let outcome = guest.inside(scratch.path()).unwrap();
    // 101 is how a panic ends, 134 how an abort does; the guest's own abort says nothing.
    let failed = outcome.kernel_broke() || outcome.status.is_none_or(|status| status == 101);
    let tail = compare::tail(&outcome.stderr, 40);
    assert!(!failed, "FUZZ_SEED={seed}: status {:?}, the last calls:\n{tail}", outcome.status);
    outcome.stderr.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"#")).count()
}

#[test]
fn random_calls_do_not_make_the_kernel_panic_or_hang() {
    let program = guests::build("fuzz.c", Build::C, &[]).unwrap();
    let scratch = Scratch::empty().unwrap();
    let (mut runs, mut calls) = (0, 0);
    for seed in seeds(&KEPT) {
        calls += run(&program, &scratch, seed);
        runs += 1;
    }
    assert!(scratch.tree().unwrap().is_empty(), "a random call reached the host's files");
    eprintln!("{runs} runs, {calls} calls");
}
