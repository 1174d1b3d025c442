//! Who may use a heap: one thread, or several.
//!
//! The one idea: to allocate and to free takes a few nanoseconds, so a lock would be most of it. A thread that
//! has a connection to itself needs none.

use core::cell::UnsafeCell;

use alloc::rc::Rc;
#[cfg(feature = "std")]
use std::sync::{Arc, Mutex, PoisonError};

/// [`Local`] or [`Threads`].
pub trait Sharing: sealed::Sealed + Sized + 'static {
    #[doc(hidden)]
    type Shared<T>: Clone;
    #[doc(hidden)]
    fn share<T>(value: T) -> Self::Shared<T>;
    /// Nothing that `run` calls may come back here: no foreign code, and none that drops a buffer.
    #[doc(hidden)]
    fn with<T, R>(shared: &Self::Shared<T>, run: impl FnOnce(&mut T) -> R) -> R;
}

/// The heap and its buffers stay in one thread, and need no lock.
#[derive(Debug, Clone, Copy)]
pub enum Local {}

impl Sharing for Local {
    type Shared<T> = Rc<Alone<T>>;

    fn share<T>(value: T) -> Self::Shared<T> {
        Rc::new(Alone(UnsafeCell::new(value)))
    }

    #[inline]
    fn with<T, R>(shared: &Self::Shared<T>, run: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: `Rc` keeps it in one thread, where nobody else has a reference: they are made here only, and what `run` calls
        // does not come back here while it has this one.
        run(unsafe { &mut *shared.0.get() })
    }
}

/// What one thread shares with itself. A `RefCell`'s flag would cost as much again as what it guards.
#[doc(hidden)]
pub struct Alone<T>(UnsafeCell<T>);

/// The heap and its buffers may be used and dropped by any thread, under a lock.
#[cfg(feature = "std")]
#[derive(Debug, Clone, Copy)]
pub enum Threads {}

#[cfg(feature = "std")]
impl Sharing for Threads {
    type Shared<T> = Arc<Mutex<T>>;

    fn share<T>(value: T) -> Self::Shared<T> {
        Arc::new(Mutex::new(value))
    }

    #[inline]
    fn with<T, R>(shared: &Self::Shared<T>, run: impl FnOnce(&mut T) -> R) -> R {
        // Nothing that can panic runs under the lock.
        run(&mut shared.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Local {}
    #[cfg(feature = "std")]
    impl Sealed for super::Threads {}
}
