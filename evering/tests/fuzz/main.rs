//! Bytes of any kind where a peer's are expected: in a region's header, anywhere in a region between any two steps, in answers to a
//! driver, and on the socket by which peers meet. Nothing but errors may come of it.
//!
//! Each test draws random bytes, makes of them what it is to do (`arbitrary`), and does it, over and over: for
//! a second, or for as many as `EVERING_FUZZ_SECONDS` says. Everything runs in one thread, so what was found once is found again:
//! a failure prints its seed, and `EVERING_FUZZ_SEED` runs just that one.
//!
//! ```text
//! EVERING_FUZZ_SECONDS=60 cargo test -p evering --test fuzz
//! ```

mod answers;
#[path = "../common/random.rs"]
mod random;
mod region;
mod socket;

use std::{
    env, thread,
    time::{Duration, Instant, SystemTime},
};

use arbitrary::{Result, Unstructured};

use random::Random;

/// What one input is made of at most, in bytes.
const MOST: u64 = 2048;

/// Runs `input` on many; it makes of the bytes what it likes, and panics if it finds something.
fn fuzz(mut input: impl FnMut(&mut Unstructured<'_>) -> Result<()>) {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let mut run = |seed| {
        let _seed = Seed(seed);
        let mut random = Random(seed);
        let length = random.below(MOST);
        let bytes: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
        // Bytes that run out are an end like any other.
        let _ = input(&mut Unstructured::new(&bytes));
    };
    if let Some(seed) = number("EVERING_FUZZ_SEED") {
        return run(seed);
    }
    let end = Instant::now() + Duration::from_secs(number("EVERING_FUZZ_SECONDS").unwrap_or(1));
    let since = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64);
    let mut inputs = 0;
    while Instant::now() < end {
        inputs += 1;
        run(since.wrapping_add(inputs).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    }
    assert!(inputs > 20, "there was hardly any: {inputs}");
}

/// Names the input that something was found with.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("found with EVERING_FUZZ_SEED={}", self.0);
        }
    }
}
