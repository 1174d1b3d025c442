//! Guests that make their system calls through rings, in both placements: rings of this kernel's own, and programs of libraries for io_uring.

use std::time::Duration;

use tests::{
    kernel,
    run::{Guest, Outcome},
    scratch::Scratch,
};

/// What the example `ring` prints: each line is a promise of `libos_guest::abi`.
const EXPECTED: &str = "\
a batch: 9 results
nothing to read yet: []
read and write: [(1, 5), (2, 5)] Ok(\"hello\")
a chain that breaks: [(1, 0), (2, -9), (3, -125)]
too late: [(1, 0), (2, -62)]
cancelled: [(1, -125), (2, 0)]
nobody has waited: 1 4
poll: 1 1 1
two readers of a pipe whose number is another's (true): [(1, 1), (2, 1), (3, 2)]
a byte each: Ok(\"eh\")
a timer: [(1, 0)]
registered, and where nothing is: [(1, 0), (2, -14)]
into it: [(1, 4), (2, 4)] Ok(\"hell\")
out of it and back: [(1, 3), (2, 3)]
what it holds then: Ok(\"ell\")
beyond it, a call that has none, its end: [(1, -14), (2, -22), (3, 0)]
after that: [(4, -14)]
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
    let example = kernel::example(example).unwrap();
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
    let example = kernel::example("ring").unwrap();
    let outcome = Guest::new(example.to_str().unwrap(), &[]).native(scratch.path()).unwrap();
    assert_eq!(outcome.status, Some(1));
    assert!(String::from_utf8_lossy(&outcome.stderr).contains("not implemented"));
}

/// Runs an example natively and inside, in both placements and with one CPU: the outputs are the same.
fn compare(name: &str) {
    let example = kernel::example(name).unwrap();
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
fn a_program_of_tokio_runs_unmodified() {
    compare("tokio_echo");
}

#[test]
fn a_program_of_monoio_runs_unmodified() {
    compare("monoio");
}

/// A run of one of libos-guest's examples.
fn example(name: &str, words: &[&str], input: &[u8]) -> Guest {
    let path = kernel::example(name).unwrap();
    let mut guest = Guest::new(path, words);
    guest.stdin = Some(input.to_vec());
    guest.timeout = Some(Duration::from_secs(120));
    guest
}

/// The same, with its calls carried out in a way of the host's; `None` if the host does not have it.
fn native(guest: &Guest, backend: &str, scratch: &Scratch) -> Option<Outcome> {
    let with = |guest: &Guest| {
        let mut guest = guest.clone();
        guest.env.push(("LIBOS_GUEST_BACKEND".into(), backend.into()));
        guest.native(scratch.path()).unwrap()
    };
    let probe = with(&example("cat", &[], b""));
    let refused = String::from_utf8_lossy(&probe.stderr);
    if ["not implemented", "not permitted"].iter().any(|why| refused.contains(why)) {
        return None;
    }
    Some(with(guest))
}

/// Sees that an example does the same natively, with each backend, and inside, in both placements and with one CPU.
fn same_everywhere(guest: &Guest, errors: bool) {
    let scratch = Scratch::with_inputs().unwrap();
    let expected = native(guest, "epoll", &scratch).expect("epoll is everywhere");
    assert_ne!(expected.status, None, "{guest:?} takes too long");
    let check = |outcome: &Outcome, where_: &str| {
        let of = |outcome: &Outcome| {
            let stderr = if errors { outcome.stderr.clone() } else { Vec::new() };
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (outcome.status, text(&outcome.stdout), text(&stderr))
        };
        assert!(!outcome.kernel_broke(), "{where_}: {outcome:?}");
        assert_eq!(of(outcome), of(&expected), "{where_}");
    };
    if let Some(outcome) = native(guest, "io_uring", &scratch) {
        check(&outcome, "io_uring");
    }
    for options in [&["--isolation", "auto"], &["--isolation", "always"], &["--cpus", "1"]] {
        let outcome = guest.clone().options(options).inside(scratch.path()).unwrap();
        check(&outcome, &options.join(" "));
    }
}

#[test]
fn cat_copies_files_and_what_comes_in() {
    let input: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    same_everywhere(&example("cat", &["/etc/passwd", "-", "/etc/services"], &input), true);
    same_everywhere(&example("cat", &["/etc", "/no/such", "/etc/passwd"], b""), true);
}

#[test]
fn echo_sends_everything_back() {
    same_everywhere(&example("echo", &[], b""), true);
}

#[test]
fn everybody_hears_the_chat() {
    same_everywhere(&example("chat", &[], b""), true);
}

#[test]
fn walk_counts_what_is_there() {
    same_everywhere(&example("walk", &["/usr/include", "/etc/no-such"], b""), true);
}

#[test]
fn nothing_is_lost_with_calls_that_are_dropped() {
    // How many had ended by then differs.
    same_everywhere(&example("drops", &["100000", "7"], b""), false);
}
