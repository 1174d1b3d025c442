//! Who may use a thing: one thread, or several.
//!
//! The one idea: what a heap or a driver does at a time takes a few nanoseconds, so a lock would be most of it. A
//! thread that has a connection to itself needs none. The things are written once, over this.

use alloc::rc::Rc;
use core::cell::RefCell;
#[cfg(feature = "std")]
use std::sync::{Arc, Mutex, PoisonError};

/// [`Local`] or [`Threads`].
pub trait Sharing: sealed::Sealed + Sized + 'static {
    #[doc(hidden)]
    type Shared<T>: Clone;
    #[doc(hidden)]
    fn share<T>(value: T) -> Self::Shared<T>;
    /// Nothing that `run` calls may come back here: it would panic or wait for itself. So no waker is called in it,
    /// and nothing foreign is dropped.
    #[doc(hidden)]
    fn with<T, R>(shared: &Self::Shared<T>, run: impl FnOnce(&mut T) -> R) -> R;
    /// [`with`](Self::with) for where even a look at a flag counts.
    ///
    /// # Safety
    ///
    /// Nothing that `run` calls may come back here with the same `shared`: it must call no foreign code.
    #[doc(hidden)]
    unsafe fn with_unchecked<T, R>(shared: &Self::Shared<T>, run: impl FnOnce(&mut T) -> R) -> R;
}

/// It stays in one thread, and needs no lock.
#[derive(Debug, Clone, Copy)]
pub enum Local {}

impl Sharing for Local {
    type Shared<T> = Rc<RefCell<T>>;

    fn share<T>(value: T) -> Self::Shared<T> {
        Rc::new(RefCell::new(value))
    }

    #[inline]
    fn with<T, R>(shared: &Self::Shared<T>, run: impl FnOnce(&mut T) -> R) -> R {
        run(&mut shared.borrow_mut())
    }

    #[inline]
    unsafe fn with_unchecked<T, R>(shared: &Self::Shared<T>, run: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: `Rc` keeps it in one thread, where nobody else has a reference: they are made in these two functions only, and
        // what `run` calls does not come back, says the caller.
        run(unsafe { &mut *shared.as_ptr() })
    }
}

/// Any thread may use and drop it, under a lock.
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
        // Nothing that can panic runs under the lock, or what it leaves behind is whole.
        run(&mut shared.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[inline]
    unsafe fn with_unchecked<T, R>(shared: &Self::Shared<T>, run: impl FnOnce(&mut T) -> R) -> R {
        Self::with(shared, run)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Local {}
    #[cfg(feature = "std")]
    impl Sealed for super::Threads {}
}
