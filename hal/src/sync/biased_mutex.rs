//! A mutex that costs the tasks of a machine with a single CPU next to nothing.
//!
//! The one idea: tasks of one CPU do not run at the same time, and a guard of this kind cannot be held across an await, so among them there
//! is nothing to lock. What is left are the host's other threads (the blocking pool, the reactor), which come seldom. So on a machine with a
//! single CPU the mutex favours that CPU's worker, which comes and goes with plain stores (see `bias.rs` for why that is safe); others keep it
//! out while they hold the lock. With more CPUs it is an ordinary mutex from the start, as a kernel built for one processor differs from one for many.

use std::{
    cell::{Cell, UnsafeCell},
    fmt,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::{RawMutex, lock_api::RawMutex as _};

use super::{barrier, bias::Bias};

/// The number of a thread that is not the only worker of a machine.
pub(super) const NOT_SOLE: u64 = 0;

thread_local! {
    /// The number of this worker, if its machine has no other.
    static SOLE_WORKER: Cell<u64> = const { Cell::new(NOT_SOLE) };
}

/// The number of the calling worker, if its machine has no other; else one that is never favoured.
#[inline]
pub(super) fn sole_worker() -> u64 {
    SOLE_WORKER.get()
}

/// The calling thread is a machine's only worker until the result is dropped.
#[derive(Debug)]
#[must_use = "it ends when dropped"]
pub(crate) struct SoleWorker(PhantomData<*const ()>);

impl SoleWorker {
    pub(crate) fn enter() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(NOT_SOLE + 1);
        if barrier::is_there() {
            SOLE_WORKER.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        Self(PhantomData)
    }
}

impl Drop for SoleWorker {
    fn drop(&mut self) {
        SOLE_WORKER.set(NOT_SOLE);
    }
}

/// A mutex that favours the first worker that locks it which is its machine's only one.
pub struct BiasedMutex<T> {
    bias: Bias,
    lock: RawMutex,
    value: UnsafeCell<T>,
}

// SAFETY: as of any mutex: the value moves with it,
unsafe impl<T: Send> Send for BiasedMutex<T> {}
// SAFETY: and through `&self` it is one holder's at a time, on whatever thread.
unsafe impl<T: Send> Sync for BiasedMutex<T> {}

impl<T> BiasedMutex<T> {
    /// A mutex of `value`.
    pub fn new(value: T) -> Self {
        Self { bias: Bias::new(), lock: RawMutex::INIT, value: UnsafeCell::new(value) }
    }

    pub(super) fn bias(&self) -> &Bias {
        &self.bias
    }

    /// Waits until nobody else holds it.
    ///
    /// # Panics
    ///
    /// When the favoured worker holds it already, which with an ordinary mutex would be a deadlock.
    #[inline]
    pub fn lock(&self) -> BiasedGuard<'_, T> {
        let me = sole_worker();
        let held = if self.bias.enter_once(me) { Held::Inside } else { self.lock_with_others(me) };
        BiasedGuard { mutex: self, held, _here: PhantomData }
    }

    #[cold]
    fn lock_with_others(&self, me: u64) -> Held {
        self.lock.lock();
        if me != NOT_SOLE {
            self.bias.favour(me);
        }
        if self.bias.exclude(me) { Held::LockedForNow } else { Held::Locked }
    }

    #[cold]
    fn unlock(&self, held: Held) {
        if held == Held::LockedForNow {
            self.bias.readmit();
        }
        // SAFETY: only guards call this, once, and this one's `lock_with_others` has locked it on this thread.
        unsafe { self.lock.unlock() };
    }
}

impl<T: Default> Default for BiasedMutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for BiasedMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BiasedMutex").finish_non_exhaustive()
    }
}

/// How a guard keeps the others out. (A byte, not a guard within the guard: those move at every lock, and what moves right after it was
/// written waits in the store buffer.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Held {
    /// Being the favoured, by being inside.
    Inside,
    /// By the lock.
    Locked,
    /// By the lock, and by keeping out the favoured until then.
    LockedForNow,
}

/// Nobody else reaches the value while this lives. It stays on the thread where it was made.
#[must_use = "dropped, it unlocks"]
pub struct BiasedGuard<'a, T> {
    mutex: &'a BiasedMutex<T>,
    held: Held,
    _here: PhantomData<*const ()>,
}

impl<T> Drop for BiasedGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        match self.held {
            Held::Inside => self.mutex.bias.leave(),
            held => self.mutex.unlock(held),
        }
    }
}

impl<T> Deref for BiasedGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: others are kept out by the lock or by the bias, and the worker itself by not being let in twice.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for BiasedGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the guard itself is borrowed exclusively.
        unsafe { &mut *self.mutex.value.get() }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    fn is_favoured<T>(mutex: &BiasedMutex<T>) -> bool {
        matches!(mutex.lock().held, Held::Inside)
    }

    #[test]
    fn a_sole_worker_is_favoured_once_it_has_locked() {
        crate::context::prepare().unwrap();
        let mutex = BiasedMutex::new(1);
        *mutex.lock() += 1;
        let sole = SoleWorker::enter();
        assert!(!is_favoured(&mutex) && is_favoured(&mutex));
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(!is_favoured(&mutex));
                *mutex.lock() += 1;
            });
        });
        assert!(is_favoured(&mutex));
        assert_eq!(*mutex.lock(), 3);
        drop(sole);
        assert!(!is_favoured(&mutex));
    }

    #[test]
    #[should_panic(expected = "kernel bug")]
    fn a_worker_that_locks_twice_is_told() {
        crate::context::prepare().unwrap();
        let _sole = SoleWorker::enter();
        let mutex = BiasedMutex::new(());
        drop(mutex.lock());
        let _first = mutex.lock();
        let _second = mutex.lock();
    }

    #[test]
    fn the_worker_and_others_never_meet() {
        crate::context::prepare().unwrap();
        for _ in 0..20 {
            let sole = SoleWorker::enter();
            let mutex = Arc::new(BiasedMutex::new([0u64; 4]));
            let add = |mutex: &BiasedMutex<[u64; 4]>| {
                let mut value = mutex.lock();
                assert!(value.iter().all(|part| *part == value[0]));
                value.iter_mut().for_each(|part| *part += 1);
            };
            let others = [0, 1].map(|_| {
                let mutex = mutex.clone();
                thread::spawn(move || (0..500).for_each(|_| add(&mutex)))
            });
            (0..20_000).for_each(|_| add(&mutex));
            others.into_iter().for_each(|other| other.join().unwrap());
            assert_eq!(*mutex.lock(), [21_000; 4]);
            drop(sole);
        }
    }
}
