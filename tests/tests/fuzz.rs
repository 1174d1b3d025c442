//! Random system calls with random arguments: the guest may die of them, the kernel must not.
//!
//! `FUZZ_SECONDS=600 cargo test -p tests --test fuzz` for a long run, `FUZZ_SEED=N` to begin with (and repeat) a seed.

use std::{
    env,
    time::{Duration, Instant, SystemTime},
};

use tests::{
    compare,
    guests::{self, Build},
    run::Guest,
    scratch::Scratch,
};

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[test]
fn random_calls_do_not_make_the_kernel_panic() {
    let program = guests::build("fuzz.c", Build::C, &[]).unwrap();
    let scratch = Scratch::empty().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let first = number("FUZZ_SEED", now.as_secs());
    let end = Instant::now() + Duration::from_secs(number("FUZZ_SECONDS", 10));
    let mut seed = first;
    while seed == first || Instant::now() < end {
        let words = [seed.to_string(), "5000".to_string()];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut guest = Guest::new(&program, &words).options(&["--memory", "256M"]);
        guest.timeout = Some(Duration::from_secs(3));
        let outcome = guest.inside(scratch.path()).unwrap();
        let stderr = String::from_utf8_lossy(&outcome.stderr);
        // A guest that has put itself to sleep for good is within its rights; a kernel that says this is not.
        let broken = ["panicked at", "kernel bug"].iter().any(|word| stderr.contains(word));
        let tail = compare::tail(&outcome.stderr, 30);
        assert!(!broken, "FUZZ_SEED={seed}: status {:?}\n{tail}", outcome.status);
        assert_ne!(outcome.status, Some(101), "FUZZ_SEED={seed}\n{tail}");
        seed += 1;
    }
    assert!(scratch.tree().unwrap().is_empty(), "a random call reached the host's files");
    eprintln!("seeds {first} to {}", seed - 1);
}
