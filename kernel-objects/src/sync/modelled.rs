//! The model checker's locks, with the methods of the machine's. All their orderings are sequentially consistent: what weaker ones
//! do is explored where they are used, in `hal`.

use std::{fmt, sync::PoisonError};

use shuttle::sync::{
    MutexGuard,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use super::Change;

#[derive(Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Mutex(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Its bias changes what it costs, not what it does.
pub(crate) type BiasedMutex<T> = Mutex<T>;
pub(crate) type BiasedGuard<'a, T> = MutexGuard<'a, T>;

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}

/// See [`hal::sync::Waiters`].
#[derive(Default)]
pub(crate) struct Waiters<T> {
    count: AtomicUsize,
    list: Mutex<T>,
}

impl<T> Waiters<T> {
    pub(crate) fn lock(&self) -> BiasedGuard<'_, T> {
        self.list.lock()
    }

    pub(crate) fn enter(&self, _locked: &mut BiasedGuard<'_, T>, count: usize) {
        self.count.store(count, SeqCst);
    }

    pub(crate) fn leave(&self, _locked: &mut BiasedGuard<'_, T>, count: usize) {
        self.count.store(count, SeqCst);
    }

    pub(crate) fn is_empty_after(&self, _kind: Change) -> bool {
        self.count.load(SeqCst) == 0
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(SeqCst)
    }
}
