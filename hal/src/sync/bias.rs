//! A lock's preference for one of its readers, who then comes and goes with plain stores.
//!
//! (Where the favoured may also write inside, there are no other readers: all others count as writers. See `biased_mutex.rs`.)
//!
//! **The favoured reader and a writer never meet.** The reader (1) says that it reads and (2) looks *after that* whether the preference is suspended;
//! a writer that is another (a) suspends it and (b) looks *after that* whether somebody reads, until nobody does. One of the two looks
//! comes second, so either the reader sees that it must take the lock like everybody, or the writer sees the reader and waits. The fence between (1) and (2) is
//! the light one of [`barrier`], so the writer pays for both. When it has done that often enough the preference does not come back: what
//! is changed from several sides is better served by an ordinary lock.
//!
//! All others, readers and writers, take the lock that this belongs to, which keeps them apart from each other.

use super::{
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    barrier,
};

/// How many writes by others it takes to end a preference.
#[cfg(not(loom))]
const PATIENCE: u32 = 64;
#[cfg(loom)]
const PATIENCE: u32 = 2;

/// Nobody is favoured yet.
const NOBODY: u64 = u64::MAX;
/// Nobody is favoured any more. Set by the writer that has been one too many.
const ENDED: u64 = u64::MAX - 1;
// Any other value is the number of the favoured. Set once, by itself, with the lock held for reading.

/// Whom a lock favours, and whether it reads.
#[derive(Debug)]
pub(crate) struct Bias {
    /// [`NOBODY`], [`ENDED`] or a number.
    favoured: AtomicU64,
    /// The favoured must take the lock. Set by writers that are not the favoured; cleared by them, unless it has been the last time.
    suspended: AtomicBool,
    /// How many times that was. Written by writers, which hold the lock.
    suspensions: AtomicU32,
    /// How many times the favoured is inside. Written by the favoured alone, hence without read-modify-writes.
    inside: AtomicU32,
}

impl Bias {
    pub(crate) fn new() -> Self {
        Self {
            favoured: AtomicU64::new(NOBODY),
            suspended: AtomicBool::new(false),
            suspensions: AtomicU32::new(0),
            inside: AtomicU32::new(0),
        }
    }

    /// Whether `me` is the favoured. Whoever is learns it for sure.
    #[inline]
    pub(crate) fn favours(&self, me: u64) -> bool {
        self.favoured.load(Ordering::Relaxed) == me
    }

    /// Whether anybody is favoured. Who learns that a preference has ended sees what the favoured did inside before.
    #[inline]
    pub(crate) fn is_in_force(&self) -> bool {
        !matches!(self.favoured.load(Ordering::Acquire), NOBODY | ENDED)
    }

    /// Favours `me` if nobody has been so far. The caller holds the lock for reading, and so sees what earlier writers wrote;
    /// there is only one with this number at any time.
    pub(crate) fn favour(&self, me: u64) {
        // The lock orders this against writers; among readers, the first one wins.
        let _ = self.favoured.compare_exchange(NOBODY, me, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Steps 1 and 2: whether `me` may read without the lock, until it [leaves](Self::leave). Who is inside may enter again.
    #[inline]
    pub(crate) fn enter(&self, me: u64) -> bool {
        // Only the favoured may go on: the rest is its own.
        if self.favoured.load(Ordering::Relaxed) != me {
            return false;
        }
        let depth = self.inside.load(Ordering::Relaxed);
        self.inside.store(depth + 1, Ordering::Relaxed);
        // Pairs with the barrier in `suspend`.
        barrier::light();
        // A writer waits for whoever is inside already, so that one may go on. What an earlier writer wrote is seen with its end.
        if depth == 0 && self.suspended.load(Ordering::Acquire) {
            self.leave();
            return false;
        }
        true
    }

    /// As [`enter`](Self::enter), for one who may not be inside already.
    ///
    /// # Panics
    ///
    /// When it is.
    #[inline]
    pub(crate) fn enter_once(&self, me: u64) -> bool {
        if !self.enter(me) {
            return false;
        }
        assert_eq!(self.inside.load(Ordering::Relaxed), 1, "kernel bug: a lock is taken twice");
        true
    }

    /// Ends what [`enter`](Self::enter) began.
    #[inline]
    pub(crate) fn leave(&self) {
        // What was read was read before.
        self.inside.store(self.inside.load(Ordering::Relaxed) - 1, Ordering::Release);
    }

    /// Steps a and b, for a writer that holds the lock: returns when the favoured is not inside, and it stays outside as long
    /// as the lock is held. When the result is true, [`readmit`](Self::readmit) is to be called before it is not.
    ///
    /// # Panics
    ///
    /// When the writer itself is the favoured and still reads, which with an ordinary lock would be a deadlock.
    #[inline]
    pub(crate) fn exclude(&self, me: u64) -> bool {
        let favoured = self.favoured.load(Ordering::Relaxed);
        if favoured == me {
            let inside = self.inside.load(Ordering::Relaxed);
            assert_eq!(inside, 0, "kernel bug: a lock is taken for writing by one who reads");
            return false;
        }
        favoured != NOBODY && favoured != ENDED && self.suspend()
    }

    #[cold]
    fn suspend(&self) -> bool {
        self.suspended.store(true, Ordering::Relaxed);
        barrier::heavy();
        while self.inside.load(Ordering::Acquire) != 0 {
            #[cfg(not(loom))]
            std::thread::yield_now();
            #[cfg(loom)]
            loom::thread::yield_now();
        }
        let suspensions = self.suspensions.load(Ordering::Relaxed) + 1;
        self.suspensions.store(suspensions, Ordering::Relaxed);
        if suspensions == PATIENCE {
            self.favoured.store(ENDED, Ordering::Release);
        }
        suspensions < PATIENCE
    }

    /// Ends a suspension: the favoured may read again, and sees what was written.
    #[inline]
    pub(crate) fn readmit(&self) {
        self.suspended.store(false, Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::{
        cell::UnsafeCell,
        sync::{Arc, RwLock},
        thread,
    };

    use super::*;
    use crate::sync::model;

    /// As `BiasedRwLock`; loom reports when a read and a write of the value meet, or are not ordered.
    struct Lock {
        bias: Bias,
        lock: RwLock<()>,
        value: UnsafeCell<[u32; 2]>,
    }

    impl Lock {
        fn new() -> Arc<Self> {
            let (bias, lock) = (Bias::new(), RwLock::new(()));
            Arc::new(Self { bias, lock, value: UnsafeCell::new([0; 2]) })
        }

        fn favour(&self, me: u64) {
            let _shared = self.lock.read().unwrap();
            self.bias.favour(me);
        }

        /// As `read`, with a second read inside of the first.
        fn read_twice(&self, me: u64) {
            if !self.bias.enter(me) {
                return;
            }
            assert!(self.bias.enter(me));
            // SAFETY: what the model is there to prove.
            let [a, b] = self.value.with(|value| unsafe { *value });
            assert_eq!(a, b);
            self.bias.leave();
            // SAFETY: what the model is there to prove.
            assert_eq!(self.value.with(|value| unsafe { *value }), [a, b]);
            self.bias.leave();
        }

        /// What is there, and whether the lock was not needed.
        fn read(&self, me: u64) -> (u32, bool) {
            let fast = self.bias.enter(me);
            let shared = (!fast).then(|| self.lock.read().unwrap());
            // SAFETY: what the model is there to prove.
            let [a, b] = self.value.with(|value| unsafe { *value });
            assert_eq!(a, b);
            drop(shared);
            if fast {
                self.bias.leave();
            }
            (a, fast)
        }

        fn add(&self, me: u64) {
            let exclusive = self.lock.write().unwrap();
            let readmits = self.bias.exclude(me);
            // SAFETY: what the model is there to prove.
            self.value.with_mut(|value| unsafe { *value = (*value).map(|part| part + 1) });
            if readmits {
                self.bias.readmit();
            }
            drop(exclusive);
        }
    }

    #[test]
    fn the_favoured_reads_nothing_half_written() {
        model(|| {
            let lock = Lock::new();
            lock.favour(1);
            let writer = {
                let lock = lock.clone();
                thread::spawn(move || lock.add(2))
            };
            let (first, _) = lock.read(1);
            let (second, _) = lock.read(1);
            assert!(second >= first);
            writer.join().unwrap();
            assert_eq!(lock.read(1), (1, true));
        });
    }

    #[test]
    fn the_favoured_is_readmitted_until_others_have_written_often() {
        model(|| {
            let lock = Lock::new();
            lock.favour(1);
            let writer = {
                let lock = lock.clone();
                thread::spawn(move || (0..PATIENCE).for_each(|_| lock.add(2)))
            };
            lock.read(1);
            writer.join().unwrap();
            assert_eq!(lock.read(1), (PATIENCE, false));
        });
    }

    #[test]
    fn a_write_by_the_favoured_keeps_the_preference_and_other_readers_out() {
        model(|| {
            let lock = Lock::new();
            let other = {
                let lock = lock.clone();
                thread::spawn(move || lock.read(2))
            };
            lock.favour(1);
            lock.add(1);
            assert_eq!(lock.read(1), (1, true));
            let (_, fast) = other.join().unwrap();
            assert!(!fast);
        });
    }

    #[test]
    fn one_of_two_is_favoured_and_a_writer_keeps_both_out() {
        model(|| {
            let lock = Lock::new();
            let threads = [1, 2].map(|me| {
                let lock = lock.clone();
                thread::spawn(move || {
                    lock.favour(me);
                    lock.read(me).1
                })
            });
            lock.add(3);
            let fast = threads.map(|thread| thread.join().unwrap());
            assert!(!(fast[0] && fast[1]));
            assert_eq!(lock.read(4), (1, false));
        });
    }

    #[test]
    fn who_is_inside_may_enter_again() {
        model(|| {
            let lock = Lock::new();
            lock.favour(1);
            let writer = {
                let lock = lock.clone();
                thread::spawn(move || lock.add(2))
            };
            lock.read_twice(1);
            writer.join().unwrap();
        });
    }

    #[test]
    fn what_the_favoured_writes_inside_is_whole_to_those_who_keep_it_out() {
        model(|| {
            let lock = Lock::new();
            lock.favour(1);
            let other = {
                let lock = lock.clone();
                thread::spawn(move || lock.add(2))
            };
            for _ in 0..2 {
                if !lock.bias.enter(1) {
                    lock.add(1);
                    continue;
                }
                // SAFETY: what the model is there to prove.
                lock.value.with_mut(|value| unsafe { *value = (*value).map(|part| part + 1) });
                lock.bias.leave();
            }
            other.join().unwrap();
            assert_eq!(lock.read(1), (3, true));
        });
    }

    #[test]
    fn the_favoured_may_go_on_in_another_thread() {
        model(|| {
            let lock = Lock::new();
            lock.favour(1);
            let writer = {
                let lock = lock.clone();
                thread::spawn(move || lock.add(2))
            };
            lock.read(1);
            let moved = lock.clone();
            thread::spawn(move || moved.read(1)).join().unwrap();
            writer.join().unwrap();
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_favoured_until_others_have_written_often() {
        let bias = Bias::new();
        assert!(!bias.enter(1));
        bias.favour(1);
        bias.favour(2);
        assert!(bias.enter(1) && bias.enter(1) && !bias.enter(2));
        bias.leave();
        bias.leave();
        assert!(!bias.exclude(1) && bias.enter(1));
        bias.leave();
        for _ in 1..PATIENCE {
            assert!(bias.exclude(2) && !bias.enter(1) && !bias.enter(2));
            bias.readmit();
            assert!(bias.enter(1) && !bias.enter(2));
            bias.leave();
        }
        assert!(!bias.exclude(2) && !bias.enter(1));
        assert!(!bias.exclude(1) && !bias.exclude(2));
        bias.favour(1);
        assert!(!bias.enter(1));
    }

    #[test]
    #[should_panic(expected = "kernel bug")]
    fn a_reader_that_wants_to_write_is_told() {
        let bias = Bias::new();
        bias.favour(1);
        assert!(bias.enter(1));
        let _ = bias.exclude(1);
    }
}
