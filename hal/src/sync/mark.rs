//! "There is something to look at": set by many, cleared by one who then looks.
//!
//! **No change is missed.** Who changes something sets the mark after; who finds it set already leaves the looking to whoever set it.
//! That is right because the clearing is a read-modify-write that acquires: it either comes before the setting, and then the
//! setter finds the mark clear and calls the looker, or it comes after, and then the look that follows sees the change. A plain store in
//! its place could overtake that look.

use super::{
    atomic::{AtomicBool, Ordering},
    futex_word::FutexWord,
};

/// Nobody has to look. Set by the looker, before it looks.
const CLEAR: bool = false;
/// Somebody has changed something since, and somebody is on the way to look. Set by whoever changes something, after it.
const SET: bool = true;

/// One thing to look at.
#[derive(Debug)]
pub struct Mark(AtomicBool);

impl Mark {
    /// A mark that is clear.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self(AtomicBool::new(CLEAR))
    }

    /// A mark that is clear.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self(AtomicBool::new(CLEAR))
    }

    /// Sets it, after a change. True when it was clear: the caller must see to it that somebody looks.
    #[inline]
    pub fn set(&self) -> bool {
        // Even when it is set already this must write: the clearing that takes the mark away then has read from this
        // write, or from a later one in the same chain, and sees what came before it.
        self.0.swap(SET, Ordering::AcqRel) == CLEAR
    }

    /// Clears it, before a look. True when it was set.
    #[inline]
    pub fn clear(&self) -> bool {
        self.0.swap(CLEAR, Ordering::AcqRel) == SET
    }

    /// Whether it is set, for a guess.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed) == SET
    }
}

impl Default for Mark {
    fn default() -> Self {
        Self::new()
    }
}

/// The looker sleeps, or is about to look. Set by the looker, before it looks.
const ANSWERED: u32 = 0;
/// The looker is to look, and not to fall asleep before. Set by whoever changes something, after it.
const CALLED: u32 = 1;

/// A mark whose looker sleeps until it is set. To call is async-signal-safe, and touches no thread-local variable.
#[derive(Debug)]
pub(crate) struct Call(FutexWord);

impl Call {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self(FutexWord::new(ANSWERED))
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self(FutexWord::new(ANSWERED))
    }

    /// Anybody, after a change.
    pub(crate) fn call(&self) {
        if self.0.word().swap(CALLED, Ordering::AcqRel) == ANSWERED {
            self.0.wake();
        }
    }

    /// The looker, before it looks.
    pub(crate) fn answer(&self) {
        self.0.word().swap(ANSWERED, Ordering::AcqRel);
    }

    /// The looker, when it has seen nothing: sleeps unless called since it [answered](Self::answer).
    pub(crate) fn wait(&self) {
        self.0.wait(ANSWERED, None);
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::{
        sync::{Arc, Notify},
        thread,
    };

    use super::*;
    use crate::sync::{atomic::AtomicU32, model};

    /// Whoever sets the mark anew calls; a change without a call that was missed leaves the looker waiting for ever, which loom reports.
    #[test]
    fn a_change_is_seen_or_the_looker_is_called_again() {
        model(|| {
            let shared = Arc::new((Mark::new(), [0, 1].map(|_| AtomicU32::new(0)), Notify::new()));
            // Somebody has called before, and the looker is on the way.
            assert!(shared.0.set());
            let threads = [0, 1].map(|index| {
                let shared = shared.clone();
                thread::spawn(move || {
                    let (mark, things, call) = &*shared;
                    things[index].store(1, Ordering::Relaxed);
                    if mark.set() {
                        call.notify();
                    }
                })
            });
            let (mark, things, call) = &*shared;
            loop {
                mark.clear();
                if things.iter().all(|thing| thing.load(Ordering::Relaxed) == 1) {
                    break;
                }
                call.wait();
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    #[test]
    fn a_change_is_seen_or_ends_the_sleep() {
        model(|| {
            let shared = Arc::new((Call::new(), [0, 1].map(|_| AtomicU32::new(0))));
            let threads = [0, 1].map(|index| {
                let shared = shared.clone();
                thread::spawn(move || {
                    let (call, things) = &*shared;
                    things[index].store(1, Ordering::Relaxed);
                    call.call();
                })
            });
            let (call, things) = &*shared;
            loop {
                call.answer();
                if things.iter().all(|thing| thing.load(Ordering::Relaxed) == 1) {
                    break;
                }
                call.wait();
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_setter_calls() {
        let mark = Mark::new();
        assert!(mark.set() && !mark.set() && mark.is_set());
        assert!(mark.clear() && !mark.clear() && !mark.is_set());
        assert!(mark.set());
    }
}
