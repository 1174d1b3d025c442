//! Whose turn it is: the word by which kernel and stub pass a thread to and fro.
//!
//! **No turn is lost.** Each side hands over by an exchange of the whole word and wakes the other if the old one says that it sleeps; each says
//! that it sleeps by a compare-and-exchange of what it has seen, and the futex does not sleep when the word has changed since. A poke, which
//! the kernel's own signal handler makes, changes the word as well, so that the kernel looks why before it sleeps.
//! The stub's half is in its [code](super::code); the models below have it in Rust.

use crate::sync::{atomic::Ordering, futex_word::FutexWord};

/// The guest's, or the stub's on its behalf. Set by the kernel.
pub(crate) const GUEST: u32 = 0;
/// The kernel's: what the guest wants is in the block. Set by the stub.
pub(crate) const KERNEL: u32 = 1;
/// The kernel sleeps or is about to: set by it during the guest's turn.
pub(crate) const KERNEL_SLEEPS: u32 = 2;
/// The stub sleeps or is about to: set by it during the kernel's turn.
pub(crate) const STUB_SLEEPS: u32 = 4;
/// The kernel should look around: set by its signal handler, taken by itself.
pub(crate) const POKED: u32 = 8;

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waited {
    /// It is the kernel's turn.
    Turn,
    /// [`poke`] was called.
    Poked,
    /// Neither has happened yet.
    TimedOut,
}

/// Whether it is the kernel's turn.
#[inline]
pub(crate) fn is_kernels(word: &FutexWord) -> bool {
    word.word().load(Ordering::Acquire) & KERNEL != 0
}

/// Gives the turn to the stub. Says whether it had to be woken.
#[inline]
pub(crate) fn give(word: &FutexWord) -> bool {
    let sleeps = word.word().swap(GUEST, Ordering::SeqCst) & STUB_SLEEPS != 0;
    if sleeps {
        word.wake_shared();
    }
    sleeps
}

/// Has the kernel's [`wait`] end. Async-signal-safe.
pub(crate) fn poke(word: &FutexWord) {
    word.word().fetch_or(POKED, Ordering::SeqCst);
}

/// Looks once; what it finds other than the guest's turn ends a wait.
#[inline]
pub(crate) fn look(word: &FutexWord) -> Option<Waited> {
    let seen = word.word().load(Ordering::Acquire);
    if seen & KERNEL != 0 {
        return Some(Waited::Turn);
    }
    if seen & POKED != 0 {
        word.word().fetch_and(!POKED, Ordering::SeqCst);
        return Some(Waited::Poked);
    }
    None
}

/// Sleeps until it is the kernel's turn, a poke, or `deadline` (ns of the host's monotonic clock).
pub(crate) fn sleep(word: &FutexWord, deadline: Option<u64>) -> Waited {
    loop {
        if let Some(waited) = look(word) {
            return waited;
        }
        let seen = word.word().load(Ordering::Relaxed);
        if seen & (KERNEL | POKED) != 0 {
            continue;
        }
        let asleep = seen | KERNEL_SLEEPS;
        let marked =
            word.word().compare_exchange(seen, asleep, Ordering::SeqCst, Ordering::Relaxed);
        if marked.is_err() {
            continue;
        }
        word.wait_shared(asleep, deadline);
        #[cfg(not(loom))]
        if look(word).is_none() && deadline.is_some_and(|at| crate::time::host_monotonic() >= at) {
            return Waited::TimedOut;
        }
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::{sync::Arc, thread};

    use super::*;
    use crate::sync::model;

    /// The stub's half, as in its code: publishes, waits for its turn.
    fn stub_turn(word: &FutexWord) {
        let old = word.word().swap(KERNEL, Ordering::SeqCst);
        if old & KERNEL_SLEEPS != 0 {
            word.wake_shared();
        }
        loop {
            let seen = word.word().load(Ordering::Acquire);
            if seen & KERNEL == 0 {
                return;
            }
            let asleep = seen | STUB_SLEEPS;
            if word
                .word()
                .compare_exchange(seen, asleep, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok()
            {
                word.wait_shared(asleep, None);
            }
        }
    }

    #[test]
    fn the_turn_goes_to_and_fro() {
        model(|| {
            let word = Arc::new(FutexWord::new(GUEST));
            let other = word.clone();
            let stub = thread::spawn(move || {
                for _ in 0..2 {
                    stub_turn(&other);
                }
            });
            for _ in 0..2 {
                assert_eq!(sleep(&word, None), Waited::Turn);
                give(&word);
            }
            stub.join().unwrap();
        });
    }

    #[test]
    fn a_poke_ends_the_wait_and_takes_nothing_from_the_turn() {
        model(|| {
            let word = Arc::new(FutexWord::new(GUEST));
            let (stub, signal) = (word.clone(), word.clone());
            let stub = thread::spawn(move || stub_turn(&stub));
            let poker = thread::spawn(move || {
                poke(&signal);
                // The signal itself ends the sleep.
                signal.wake_shared();
            });
            while sleep(&word, None) == Waited::Poked {}
            give(&word);
            stub.join().unwrap();
            poker.join().unwrap();
        });
    }
}
