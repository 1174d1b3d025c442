//! Guests that make their system calls through rings, in both placements.

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
    let scratch = Scratch::empty().unwrap();
    let example = kernel::guest_example("ring").unwrap();
    let example = example.to_str().unwrap();
    for options in [&["--isolation", "auto"], &["--isolation", "always"], &["--cpus", "1"]] {
        let mut words = options.to_vec();
        words.push(example);
        let kernel = kernel::binary().unwrap();
        let guest = Guest::new(kernel.to_str().unwrap(), &words);
        let outcome = guest.native(scratch.path()).unwrap();
        let text = String::from_utf8_lossy(&outcome.stdout);
        let errors = String::from_utf8_lossy(&outcome.stderr);
        assert_eq!((outcome.status, &*errors, &*text), (Some(0), "", EXPECTED), "{options:?}");
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
