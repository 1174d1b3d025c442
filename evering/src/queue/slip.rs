//! How far a receiver lets the sender get ahead.
//!
//! A receiver that takes entries one by one faster than they come looks at the sender's index all the time, and
//! each look takes the line away from the sender, which then waits for it: both crawl from one transfer of the line
//! to the next. The one idea: to fall behind on purpose. A pause before the look makes it find more, and the lines
//! move less often.
//!
//! Whether a pause pays is tried, for only a sender that keeps sending is helped: if the look behind it finds no more than looks
//! did before, the sender had nothing more, and was waiting for us perhaps. Then there is no pause for
//! many looks to come. And there is none where entries come singly.

/// A receiver's way of pausing.
#[derive(Debug, Default)]
pub(crate) struct Slip {
    /// For how many [`spin_loop`](core::hint::spin_loop)s to pause. 0 most of the time.
    pause: u32,
    /// How many entries a look found before there was a pause.
    before: u32,
    /// How many looks to go without.
    rest: u32,
    /// How many looks to go without if the next trial is in vain.
    patience: u32,
}

/// The pause; about a microsecond.
const PAUSE: u32 = 32;
const LEAST_PATIENCE: u32 = 16;
const MOST_PATIENCE: u32 = 1 << 14;

impl Slip {
    /// Before a look, all that the look before found having been taken.
    #[inline]
    pub(crate) fn pause(&self) {
        for _ in 0..self.pause {
            core::hint::spin_loop();
        }
    }

    /// A look found `there` entries, and not none.
    #[inline]
    pub(crate) fn found(&mut self, there: u32) {
        if self.pause > 0 {
            if there < 2 * self.before {
                self.pause = 0;
                self.patience = (self.patience * 2).clamp(LEAST_PATIENCE, MOST_PATIENCE);
                self.rest = self.patience;
            } else {
                self.patience = LEAST_PATIENCE;
            }
        } else if self.rest > 0 {
            self.rest -= 1;
        } else if there > 1 {
            self.pause = PAUSE;
            self.before = there;
        }
    }
}
