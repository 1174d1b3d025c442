//! Who is still there at a queue's two ends, in one word.
//!
//! The one idea: whoever changes the word says of which queue it speaks. A queue may be made in the memory of one before, which
//! somebody still has an end of, after its process was taken for dead perhaps: that one finds another generation in the word, takes
//! the queue for closed, and cannot close it for the others.
//!
//! Whoever closes an end in place of one that died has the news from the host, and so after all that the dead one did. The
//! other end then finds everything that was sent, and the close after it.
//!
//! ```text
//!     63                  32 31                8 7   4 3  2  1  0
//!     ├─────────────────────┼───────────────────┼────┬──┬──┬──┬──┐
//!     │ generation          │ how many senders, │    │  │  │  │  └─ SENDER_GONE
//!     │                     │ where many may be │    │  │  │  └──── RECEIVER_GONE
//!     │                     │                   │    │  │  └─────── SENDER_DIED
//!     └─────────────────────┴───────────────────┴────┴──┴────────── STREAMS
//! ```

#[cfg(not(loom))]
use core::ptr::NonNull;

use crate::sync::{AtomicU64, Ordering};

/// The sender, or the last of many, will not send any more. Set by the sender, once, or in its place by who knows of its death.
pub(crate) const SENDER_GONE: u64 = 1 << 0;
/// The receiver will not receive any more. Set by the receiver, once, or in its place.
pub(crate) const RECEIVER_GONE: u64 = 1 << 1;
/// Beside [`SENDER_GONE`]: whoever sent has died, and will not finish what it had begun. Set by who knows of the death.
pub(crate) const SENDER_DIED: u64 = 1 << 2;

/// The receiver finds many entries at a time, so that a single one need not come [beside the index](super::tail). A hint of the receiver's.
pub(crate) const STREAMS: u64 = 1 << 3;

const FLAGS: u64 = 0xff;
const ONE_SENDER: u64 = 1 << 8;
/// The count of senders. At its highest it stays: so many leave a queue that nobody closes.
const SENDERS: u64 = 0xff_ffff << 8;
const GENERATION: u32 = 32;

/// The word.
#[derive(Debug)]
pub(crate) struct Ends(AtomicU64);

impl Ends {
    /// Those of a new queue, in its memory's `generation`th use.
    pub(crate) fn new(generation: u32) -> Self {
        Ends(AtomicU64::new(Self::in_place(generation)))
    }

    /// In which use of the memory the queue was made, as the memory says.
    pub(crate) fn generation(&self) -> u32 {
        (self.0.load(Ordering::Acquire) >> GENERATION) as u32
    }

    /// Which flags a queue of that generation has beside nothing else; some other bits if there is another queue by now. What a
    /// sender alone looks at before each entry, and so in as few instructions as can be.
    #[inline]
    pub(crate) fn flags(&self, generation: u64) -> u64 {
        self.0.load(Ordering::Relaxed) ^ generation
    }

    /// The generation in its place, for [`flags`](Self::flags).
    pub(crate) fn in_place(generation: u32) -> u64 {
        u64::from(generation) << GENERATION
    }

    /// Which ends of the queue of that generation are gone: all, if there is another queue by now.
    #[inline]
    pub(crate) fn gone(&self, generation: u32, order: Ordering) -> u64 {
        let word = self.0.load(order);
        if word >> GENERATION == u64::from(generation) {
            word & FLAGS
        } else {
            SENDER_GONE | RECEIVER_GONE
        }
    }

    /// Changes the word of the queue of that generation. Release: after all that the caller did; and Acquire, so that it is
    /// after what all those did who changed the word before.
    fn change(&self, generation: u32, change: impl Fn(u64) -> u64) {
        // It fails if there is another queue by now, whose word is not the caller's to change.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
            (word >> GENERATION == u64::from(generation)).then(|| change(word))
        });
    }

    /// Says that the ends are `gone`.
    pub(crate) fn close(&self, generation: u32, gone: u64) {
        self.change(generation, |word| word | gone);
    }

    /// Says whether the receiver finds many entries at a time.
    pub(crate) fn set_streams(&self, generation: u32, streams: bool) {
        self.change(generation, |word| if streams { word | STREAMS } else { word & !STREAMS });
    }

    /// There is one sender more.
    pub(crate) fn enter(&self, generation: u32) {
        self.change(
            generation,
            |word| {
                if word & SENDERS == SENDERS { word } else { word + ONE_SENDER }
            },
        );
    }

    /// There is one sender less: if it was the last, the queue is closed.
    pub(crate) fn leave(&self, generation: u32) {
        self.change(generation, |word| match word & SENDERS {
            SENDERS | 0 => word,
            ONE_SENDER => (word - ONE_SENDER) | SENDER_GONE,
            _ => word - ONE_SENDER,
        });
    }
}

/// Closes an end in place of one that died, without a share in the queue.
#[cfg(not(loom))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closer {
    ends: NonNull<Ends>,
    generation: u32,
}

#[cfg(not(loom))]
impl Closer {
    pub(super) fn new(ends: &Ends, generation: u32) -> Self {
        Closer { ends: NonNull::from(ends), generation }
    }

    /// Says that the ends are `gone`.
    ///
    /// # Safety
    ///
    /// The queue's memory must be there still.
    pub(crate) unsafe fn close(&self, gone: u64) {
        // SAFETY: it is there, says the caller, and it is an atomic word, whatever it holds.
        unsafe { self.ends.as_ref() }.close(self.generation, gone);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_last_sender_closes() {
        let ends = Ends::new(7);
        let gone = || ends.gone(7, Ordering::Relaxed);
        ends.enter(7);
        ends.enter(7);
        ends.leave(7);
        assert_eq!(gone(), 0);
        ends.leave(7);
        assert_eq!(gone(), SENDER_GONE);
        ends.leave(7);
        ends.close(7, RECEIVER_GONE);
        assert_eq!((gone(), ends.generation()), (SENDER_GONE | RECEIVER_GONE, 7));
    }

    #[test]
    fn who_was_there_before_finds_all_gone_and_closes_nothing() {
        let ends = Ends::new(u32::MAX);
        ends.enter(u32::MAX);
        ends.enter(3);
        ends.leave(3);
        ends.leave(3);
        ends.close(3, SENDER_GONE | RECEIVER_GONE | SENDER_DIED);
        assert_eq!(ends.gone(3, Ordering::Relaxed), SENDER_GONE | RECEIVER_GONE);
        assert_eq!(ends.gone(u32::MAX, Ordering::Relaxed), 0);
    }

    #[test]
    fn more_senders_than_can_be_counted_close_nothing() {
        let ends = Ends(AtomicU64::new(SENDERS - ONE_SENDER));
        ends.enter(0);
        ends.enter(0);
        (0..3).for_each(|_| ends.leave(0));
        assert_eq!((ends.gone(0, Ordering::Relaxed), ends.generation()), (0, 0));
    }
}

#[cfg(all(test, loom))]
mod models {
    use std::vec::Vec;

    use loom::{sync::Arc, thread};

    use super::*;
    use crate::{
        HeapRing, RecvError,
        models::{model, receive_all},
        sync::AtomicU32,
    };

    /// The host tells of a process's end after all that it did.
    #[test]
    fn a_death_that_another_one_tells_hides_nothing_that_was_sent() {
        model(|| {
            let ring = HeapRing::<u32>::new(2).expect("a power of two");
            let mut receiver = ring.clone().receiver().expect("valid");
            let mut sender = ring.clone().sender().expect("valid");
            // A join would tell it too, but loom takes what follows one for released.
            let over = Arc::new(AtomicU32::new(0));
            let ends = over.clone();
            let live = thread::spawn(move || {
                assert_eq!(sender.send(1), Ok(()));
                ends.store(1, Ordering::Release);
                // Not dropped before all is over.
                sender
            });
            let tell = thread::spawn(move || {
                while over.load(Ordering::Acquire) == 0 {
                    thread::yield_now();
                }
                ring.close(SENDER_GONE);
            });
            // Not until it comes: loom does not get to the end of two threads that wait.
            let first = receiver.recv();
            assert_ne!(first, Err(RecvError::Closed));
            let mut all: Vec<_> = first.into_iter().collect();
            match receiver.recv() {
                Ok(entry) => all.push(entry),
                Err(end) => assert!(end == RecvError::Empty || all == [1], "{end}"),
            }
            tell.join().expect("it does not panic");
            all.extend(receive_all(|| receiver.recv()));
            assert_eq!(all, [1]);
            drop(live.join().expect("it does not panic"));
        });
    }
}
