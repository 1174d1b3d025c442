//! How a receiver finds entries: one at a time, or many.
//!
//! The one idea: a receiver that waits for a single entry wants it beside the index; one that finds many at a look takes them from
//! their slots, and to put each beside the index as well is work for nothing. The receiver knows which it is, and says so in a word that
//! the [sender reads](super::ends::STREAMS). What that says is a hint: entries arrive either way.

/// A receiver's observation.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Many were found, and few so many times since.
    streams: bool,
    few: u32,
}

/// So many at a look are many. (Models see both soon.)
const MANY: u32 = if cfg!(loom) { 2 } else { 8 };
/// After so many looks that find few the receiver waits for single entries again.
const PATIENCE: u32 = if cfg!(loom) { 1 } else { 32 };

impl Pace {
    /// A look found `there` entries, and not none. What is to be said, if that is news.
    #[inline]
    pub(crate) fn found(&mut self, there: u32) -> Option<bool> {
        self.few = if there >= MANY { 0 } else { self.few.saturating_add(1) };
        let streams = self.few == 0 || self.streams && self.few < PATIENCE;
        let before = core::mem::replace(&mut self.streams, streams);
        (before != streams).then_some(streams)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn many_are_a_stream_until_there_are_few_for_long() {
        let mut pace = Pace::default();
        assert_eq!((pace.found(1), pace.found(7)), (None, None));
        assert_eq!((pace.found(MANY), pace.found(100)), (Some(true), None));
        assert!((1..PATIENCE).all(|_| pace.found(1).is_none()));
        assert_eq!((pace.found(1), pace.found(1)), (Some(false), None));
    }

    #[test]
    fn few_now_and_then_are_a_stream_still() {
        let mut pace = Pace::default();
        assert_eq!(pace.found(MANY), Some(true));
        assert!((0..1000).all(|n| pace.found(if n % 30 == 0 { MANY } else { 1 }).is_none()));
    }
}
