//! The seeds of a fuzzer: those that have found something, then new ones until its time is over.

use std::{
    env,
    time::{Duration, Instant, SystemTime},
};

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap())
}

/// The seeds of one run, at least one: `kept`, then others from the time of day on, for `FUZZ_SECONDS` or ten seconds. `FUZZ_SEED=N`
/// begins with that one instead.
pub fn seeds(kept: &[u64]) -> impl Iterator<Item = u64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let given = number("FUZZ_SEED");
    let first = given.unwrap_or(now.as_secs());
    let end = Instant::now() + Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(10));
    eprintln!("seeds from {first}");
    let kept = if given.is_some() { &[] } else { kept };
    let all = kept.iter().copied().chain(first..).enumerate();
    all.take_while(move |&(run, _)| run == 0 || Instant::now() < end).map(|(_, seed)| seed)
}
