//! Random system calls of Zircon with random arguments: the guest may die of them or wait for ever, the kernel must not panic, and must end
//! when it is told to.
//!
//! `FUZZ_SECONDS=600 cargo test -p tests --test zxfuzz` for a long run, `FUZZ_SEED=N` to begin with (and repeat) a seed.

use std::{ffi::OsString, path::Path, time::Duration};

use tests::{compare, host, kernel, paths, run::Guest, scratch::Scratch, seeds::seeds, zircon};

/// Calls that a run makes, unless it waits or dies before.
const CALLS: &str = "20000";

/// When a guest that waits is told to end, and when it must have.
const TOLD: &str = "2";
const LIMIT: Duration = Duration::from_secs(60);

fn run(program: &Path, scratch: &Scratch, seed: u64) {
    let seed_text = seed.to_string();
    let timeout = host::locate("timeout", "coreutils").unwrap();
    let options =
        ["--zircon", "--memory", "256M", "--cpus", if seed.is_multiple_of(2) { "1" } else { "2" }];
    let mut argv: Vec<OsString> =
        vec![timeout.into(), TOLD.into(), kernel::binary().unwrap().into()];
    argv.extend(options.map(OsString::from));
    argv.extend([program.as_os_str().to_owned(), seed_text.into(), CALLS.into()]);
    let guest = Guest { argv, timeout: Some(LIMIT), ..Guest::default() };
    let outcome = guest.native(scratch.path()).unwrap();
    // 101 is how a panic ends, 134 and 139 how an abort and a fault of the kernel itself do.
    let failed = outcome.kernel_broke() || matches!(outcome.status, None | Some(101 | 134 | 139));
    let tail = compare::tail(&outcome.stderr, 40);
    assert!(!failed, "FUZZ_SEED={seed}: status {:?}\n{tail}", outcome.status);
}

#[test]
fn random_calls_do_not_make_the_kernel_panic_or_hang() {
    let source = paths::sources().join("guests/zxfuzz.c");
    let program = zircon::build(&source).unwrap();
    let scratch = Scratch::empty().unwrap();
    let mut runs = 0;
    for seed in seeds(&[1, 2, 3]) {
        run(&program, &scratch, seed);
        runs += 1;
    }
    eprintln!("{runs} runs");
}
