//! Guests that make their system calls through rings, in both placements: rings of this kernel's own, and programs of libraries for io_uring.

use std::time::Duration;

use tests::{kernel, run::Guest, scratch::Scratch};

/// What the example `ring` prints: each line is a promise of `libos_guest::abi`.
const EXPECTED: &str = "\
a batch: 9 results
nothing to read yet: []
read and write: [(1, 5), (2, 5)] Ok(\"hello\")
a chain that breaks: [(1, 0), (2, -9), (3, -125)]
too late: [(1, 0), (2, -62)]
cancelled: [(1, -125), (2, 0)]
a timer: [(1, 0)]
refused: [(1, -95), (2, -38)]
";

#[test]
fn calls_of_every_kind_go_through_a_ring() {
    for options in [["--isolation", "auto"], ["--isolation", "always"], ["--cpus", "1"]] {
        assert_eq!(run("ring", &options, &[]), EXPECTED, "{options:?}");
    }
}

fn run(example: &str, options: &[&str], arguments: &[&str]) -> String {
    let scratch = Scratch::empty().unwrap();
    let example = kernel::guest_example(example).unwrap();
    let words = [options, &[example.to_str().unwrap()], arguments].concat();
    let mut guest = Guest::new(kernel::binary().unwrap().to_str().unwrap(), &words);
    guest.timeout = Some(Duration::from_secs(900));
    let outcome = guest.native(scratch.path()).unwrap();
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let errors = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!((outcome.status, &*errors), (Some(0), ""), "{options:?} {arguments:?}: {text}");
    text
}

#[test]
fn nothing_is_left_of_calls_whose_process_went_away() {
    // 120,000 calls in all, in each placement and with one CPU and two.
    for (options, seed) in
        [(["--cpus", "1"], "1"), (["--cpus", "2"], "2"), (["--isolation", "always"], "3")]
    {
        let text = run("storm", &options, &[seed, "40000"]);
        assert!(text.ends_with("nothing is left\n"), "{text}");
    }
}

/// `RINGS_FUZZ_SECONDS` says for how long each, 3 unless it does.
#[test]
fn hostile_rings_cost_errors_and_nothing_else() {
    let seconds = std::env::var("RINGS_FUZZ_SECONDS").unwrap_or_else(|_| "3".into());
    for options in [["--cpus", "1"], ["--cpus", "2"], ["--isolation", "always"]] {
        let text = run("hostile", &options, &["1", &seconds]);
        assert!(text.contains("rings") && text.contains("broken"), "{text}");
    }
}

#[test]
fn elsewhere_there_are_no_rings() {
    let scratch = Scratch::empty().unwrap();
    let example = kernel::guest_example("ring").unwrap();
    let outcome = Guest::new(example.to_str().unwrap(), &[]).native(scratch.path()).unwrap();
    assert_eq!(outcome.status, Some(1));
    assert!(String::from_utf8_lossy(&outcome.stderr).contains("not implemented"));
}

/// Runs an example natively and inside, in both placements and with one CPU: the outputs are the same.
fn compare(name: &str) {
    let example = kernel::example("tests", name).unwrap();
    let guest = Guest::new(example.to_str().unwrap(), &[]);
    let scratch = Scratch::empty().unwrap();
    let native = guest.native(scratch.path()).unwrap();
    let said = String::from_utf8_lossy(&native.stderr);
    assert_eq!((native.status, &*said), (Some(0), ""), "natively");
    for options in [&["--isolation", "auto"], &["--isolation", "always"], &["--cpus", "1"]] {
        let scratch = Scratch::empty().unwrap();
        let inside = guest.clone().options(options).inside(scratch.path()).unwrap();
        let said = String::from_utf8_lossy(&inside.stderr);
        assert_eq!((inside.status, &*said), (Some(0), ""), "{options:?}");
        let text = |outcome: &[u8]| String::from_utf8_lossy(outcome).into_owned();
        assert_eq!(text(&inside.stdout), text(&native.stdout), "{options:?}");
    }
}

#[test]
fn a_program_of_tokio_uring_runs_unmodified() {
    compare("tokio_uring");
}

#[test]
fn a_program_of_monoio_runs_unmodified() {
    compare("monoio");
}
