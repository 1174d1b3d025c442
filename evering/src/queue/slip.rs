//! How far a receiver lets the sender get ahead.
//!
//! A receiver that takes entries one by one faster than they come looks at the sender's index all the time, and
//! each look takes the line away from the sender, which has to get it back: both crawl from one transfer of the line
//! to the next. The one idea: to fall behind on purpose. A pause before a look makes it find more, and the lines
//! move less often.
//!
//! Whether a pause pays is tried, for it helps only with a sender that keeps sending: if the look behind it finds no more than
//! looks did before, the sender had nothing more, and was waiting for us perhaps. Then there is no pause for many
//! looks to come. And there is none where entries come one at a time.

/// A receiver's way of pausing.
#[derive(Debug, Default)]
pub(crate) struct Slip {
    /// For how many [`spin_loop`](core::hint::spin_loop)s to pause before a look. 0 most of the time.
    pause: u32,
    /// How many entries a look without a pause finds, on the average.
    before: u32,
    /// How many looks to go without.
    rest: u32,
    /// How many looks to go without after the next trial that is in vain.
    patience: u32,
    /// All that the last look found has been taken.
    behind: bool,
}

/// The pause: a microsecond or less.
const PAUSE: u32 = 24;
const LEAST_PATIENCE: u32 = 16;
const MOST_PATIENCE: u32 = 1 << 14;

impl Slip {
    /// Before a look. Only the first one after entries were found pauses: who finds nothing is waiting.
    #[inline]
    pub(crate) fn pause(&mut self) {
        if self.behind {
            self.behind = false;
            for _ in 0..self.pause {
                core::hint::spin_loop();
            }
        }
    }

    /// A look found `there` entries, and not none.
    #[inline]
    pub(crate) fn found(&mut self, there: u32) {
        self.behind = true;
        if self.pause > 0 {
            if there < 2 * self.before {
                self.pause = 0;
                self.rest = self.patience;
                self.patience = (self.patience * 2).min(MOST_PATIENCE);
            } else {
                self.patience = LEAST_PATIENCE;
            }
        } else {
            // One that was held up finds a lot once, which is not to count for more than the others.
            self.before = match self.before {
                0 => there,
                before => (3 * before + there.min(2 * before)).div_ceil(4),
            };
            if self.rest > 0 {
                self.rest -= 1;
            } else if there > 1 {
                self.pause = PAUSE;
                self.patience = self.patience.max(LEAST_PATIENCE);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn it_pauses_while_that_finds_more() {
        let mut slip = Slip::default();
        slip.found(8);
        assert_eq!(slip.pause, PAUSE);
        for _ in 0..100 {
            slip.found(100);
            assert_eq!(slip.pause, PAUSE);
        }
        slip.found(8);
        assert_eq!((slip.pause, slip.rest), (0, LEAST_PATIENCE));
    }

    #[test]
    fn it_tries_less_and_less_often_in_vain() {
        let mut slip = Slip::default();
        let mut trials = 0;
        for _ in 0..1 << 16 {
            slip.found(8);
            trials += u32::from(slip.pause > 0);
        }
        assert!((8..20).contains(&trials), "{trials}");
    }

    #[test]
    fn one_look_that_finds_a_lot_does_not_forbid_to_pause() {
        let mut slip = Slip { rest: 3, ..Slip::default() };
        [8, 8, 1000].into_iter().for_each(|there| slip.found(there));
        assert!(slip.before < 20, "{}", slip.before);
        slip.found(8);
        assert_eq!(slip.pause, PAUSE);
        slip.found(60);
        assert_eq!(slip.pause, PAUSE);
    }

    #[test]
    fn single_entries_are_never_paused_for() {
        let mut slip = Slip::default();
        (0..1000).for_each(|_| slip.found(1));
        assert_eq!(slip.pause, 0);
    }
}
