//! A reader-writer lock that costs the one who mostly reads it next to nothing.
//!
//! The one idea: what a process has, its page table or its descriptors, belongs to its threads, and mostly there is one. To that one an atomic read-modify-write
//! at every look is for nothing, and four or six of them are a third of a short system call. So the lock may favour an [`Actor`], which reads without
//! (see `bias.rs` for why that is safe). Others keep it out while they write, and when they do that often it is an ordinary lock.

use std::{
    cell::{Cell, UnsafeCell},
    fmt,
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{
    barrier,
    bias::Bias,
    biased_mutex::{NOT_SOLE, sole_worker},
};

/// The number of a thread of execution that is no actor's.
const NO_ACTOR: u64 = 0;
/// Set in the number of a worker that stands for all its actors.
const OF_WORKER: u64 = 1 << 62;

thread_local! {
    /// The actor that this host thread carries out.
    static CURRENT: Cell<u64> = const { Cell::new(NO_ACTOR) };
}

/// Somebody who is in one place at a time, whichever host thread that is: a guest's thread. On a machine with a single worker that worker
/// stands for all of them, so that the lock favours a guest's other threads as well.
#[derive(Debug)]
pub struct Actor(u64);

impl Default for Actor {
    fn default() -> Self {
        Self::new()
    }
}

impl Actor {
    /// One that never was before.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(NO_ACTOR + 1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Calls `act` as this actor. Being borrowed meanwhile is what keeps it from being elsewhere as well.
    #[inline]
    pub fn run<R>(&mut self, act: impl FnOnce() -> R) -> R {
        /// Gives the thread back to whom it had been lent by.
        struct Restore(u64);

        impl Drop for Restore {
            #[inline]
            fn drop(&mut self) {
                CURRENT.set(self.0);
            }
        }

        // All actors of a machine with a single worker are there, one at a time, and none stops in the middle of a look.
        let me = match sole_worker() {
            NOT_SOLE => self.0,
            worker => worker | OF_WORKER,
        };
        let _restore = Restore(CURRENT.replace(me));
        act()
    }
}

/// A reader-writer lock that may favour one reader.
pub struct BiasedRwLock<T> {
    bias: Bias,
    lock: RwLock<()>,
    value: UnsafeCell<T>,
}

// SAFETY: as of any reader-writer lock: the value moves with it,
unsafe impl<T: Send> Send for BiasedRwLock<T> {}
// SAFETY: and through `&self` it is either shared by readers or one writer's, on whatever thread.
unsafe impl<T: Send + Sync> Sync for BiasedRwLock<T> {}

impl<T> BiasedRwLock<T> {
    /// An ordinary lock of `value`.
    pub fn new(value: T) -> Self {
        Self { bias: Bias::new(), lock: RwLock::new(()), value: UnsafeCell::new(value) }
    }

    /// Has the lock favour the actor that calls, if it has favoured nobody yet. Others may read as before; their writes cost a
    /// barrier on all CPUs more, and end it for good when there are many. Nothing happens outside of an actor, and on a host that cannot run guests.
    pub fn favour(&self) {
        let me = CURRENT.get();
        if me != NO_ACTOR && barrier::is_there() {
            let _shared = self.lock.read();
            self.bias.favour(me);
        }
    }

    /// Calls `look` with the value, which does not change meanwhile; the cheap way for the favoured. Inside of it one may look again, and not write. (A guard in place of the call could
    /// outlive [`Actor::run`], and stay behind when the actor goes elsewhere.)
    #[inline]
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        /// Leaves, also when `look` panics.
        struct Inside<'a>(&'a Bias);

        impl Drop for Inside<'_> {
            #[inline]
            fn drop(&mut self) {
                self.0.leave();
            }
        }

        // There is one actor with this number, and it is here until the call ends: `Actor::run` has it borrowed. That of none is
        // never favoured.
        if !self.bias.enter(CURRENT.get()) {
            // Recursive: one may look again from inside, as the favoured may.
            let _shared = self.lock.read_recursive();
            // SAFETY: writers hold the lock exclusively.
            return look(unsafe { &*self.value.get() });
        }
        let _inside = Inside(&self.bias);
        // SAFETY: the favoured is inside, so no writer is: those exclude it.
        look(unsafe { &*self.value.get() })
    }

    /// Waits until nobody writes.
    #[inline]
    pub fn read(&self) -> ReadGuard<'_, T> {
        let shared = self.lock.read();
        // SAFETY: writers hold the lock exclusively, and the reference lives no longer than the guard that keeps them out.
        ReadGuard { value: unsafe { &*self.value.get() }, _shared: shared }
    }

    /// Waits until nobody else reads or writes.
    #[inline]
    pub fn write(&self) -> WriteGuard<'_, T> {
        let exclusive = self.lock.write();
        let readmits = self.bias.exclude(CURRENT.get());
        WriteGuard { lock: self, readmits, _exclusive: exclusive }
    }
}

impl<T: Default> Default for BiasedRwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for BiasedRwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BiasedRwLock").field(&*self.read()).finish()
    }
}

/// The value cannot change while this lives.
pub struct ReadGuard<'a, T> {
    value: &'a T,
    _shared: RwLockReadGuard<'a, ()>,
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value
    }
}

/// Nobody else sees the value while this lives.
pub struct WriteGuard<'a, T> {
    lock: &'a BiasedRwLock<T>,
    /// The favoured has been kept out for this.
    readmits: bool,
    /// Dropped after `drop`.
    _exclusive: RwLockWriteGuard<'a, ()>,
}

impl<T> Drop for WriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.readmits {
            self.lock.bias.readmit();
        }
    }
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: other readers and writers are kept out by the lock, and the favoured by `exclude`.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the guard itself is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    fn is_favoured<T>(lock: &BiasedRwLock<T>) -> bool {
        lock.with(|_| lock.lock.try_write().is_some())
    }

    #[test]
    fn an_actor_is_favoured_until_others_have_written_often() {
        crate::context::prepare().unwrap();
        let lock = BiasedRwLock::new(1);
        lock.favour();
        assert!(!is_favoured(&lock));
        let (mut one, mut two) = (Actor::new(), Actor::new());
        one.run(|| {
            lock.favour();
            assert!(is_favoured(&lock));
            *lock.write() += 1;
            // Others may look, even from inside.
            two.run(|| {
                lock.favour();
                assert!(!is_favoured(&lock));
            });
            assert!(is_favoured(&lock));
        });
        assert!(!is_favoured(&lock));
        two.run(|| *lock.write() += 1);
        one.run(|| assert!(is_favoured(&lock)));
        two.run(|| (0..1000).for_each(|_| *lock.write() += 1));
        one.run(|| {
            lock.favour();
            assert!(!is_favoured(&lock));
            assert_eq!(*lock.read(), 1003);
        });
    }

    #[test]
    fn the_favoured_and_a_writer_never_meet() {
        crate::context::prepare().unwrap();
        for round in 0..200u64 {
            let lock = BiasedRwLock::new([0u64; 8]);
            let start = Barrier::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    Actor::new().run(|| {
                        lock.favour();
                        start.wait();
                        let mut last = 0;
                        while last < 3 {
                            last = lock.with(|now| {
                                assert!(now.iter().all(|part| *part == now[0]));
                                assert!(now[0] >= last);
                                now[0]
                            });
                        }
                    });
                });
                start.wait();
                (0..round * 8).for_each(|_| std::hint::spin_loop());
                for _ in 0..3 {
                    lock.write().iter_mut().for_each(|part| *part += 1);
                }
            });
        }
    }
}
