//! How other threads wake this one.
//!
//! The one idea: who wakes a task from elsewhere puts it on a list, and if the thread sleeps, writes an eventfd that the thread is reading, as one
//! more call of its ring. So a thread sleeps in one place, for everything.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
};

use async_task::Runnable;

use super::{event, try_with};
use crate::operation::{self, Fd, Lent, Memory, submission};

/// What other threads know of a runtime.
pub(crate) struct Remote {
    ready: Mutex<Vec<Runnable>>,
    /// Something was put on the list, or the main future was woken, since the thread looked last.
    news: AtomicBool,
    /// The thread sleeps, or is about to. Who takes it back writes the event.
    asleep: AtomicBool,
    event: OwnedFd,
}

impl Remote {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            ready: Mutex::default(),
            news: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            event: event::create()?,
        })
    }

    /// What to [hear].
    pub(super) fn listen(&self) -> io::Result<Fd> {
        self.event.try_clone().map(Fd::from)
    }

    /// Whether this is its thread.
    pub(super) fn is_here(self: &Arc<Self>) -> bool {
        try_with(|core| Arc::ptr_eq(&core.remote, self)).unwrap_or(false)
    }

    pub(super) fn push(&self, runnable: Runnable) {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(runnable);
        self.notify();
    }

    fn notify(&self) {
        self.news.store(true, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            event::set(&self.event);
        }
    }

    /// Moves what others have put here to `into`.
    pub(super) fn take(&self, into: &mut impl Extend<Runnable>) {
        if self.news.load(Ordering::Relaxed) && self.news.swap(false, Ordering::SeqCst) {
            into.extend(self.ready.lock().unwrap_or_else(PoisonError::into_inner).drain(..));
        }
    }

    /// Whether there is something that others have put here.
    pub(super) fn has_news(&self) -> bool {
        self.news.load(Ordering::SeqCst)
    }

    /// Calls `sleep`, which others can end; it is told if they have already.
    pub(super) fn sleep<R>(&self, sleep: impl FnOnce(bool) -> R) -> R {
        // Either they see this, or we see what they have put here before: all four accesses are in one order.
        self.asleep.store(true, Ordering::SeqCst);
        let result = sleep(self.has_news());
        self.asleep.store(false, Ordering::SeqCst);
        result
    }
}

/// Reads the event as long as the runtime is there.
pub(super) async fn hear(fd: Fd) {
    let mut buffer = vec![0_u8; 8];
    loop {
        let read = submission(libc::SYS_read, [fd.raw(), buffer.as_mut_ptr() as u64, 8]);
        let lent = Lent { fd: Some(fd.clone()), memory: Memory::Bytes(buffer), ..Lent::default() };
        // SAFETY: the eight bytes are the buffer's, which is lent.
        let (result, lent) = unsafe { operation::call(read, lent) }.await;
        match (result, lent.memory) {
            (Ok(_), Memory::Bytes(same)) => buffer = same,
            _ => return,
        }
    }
}

/// Wakes the main future.
pub(super) struct MainWaker {
    set: AtomicBool,
    remote: Arc<Remote>,
}

impl MainWaker {
    pub(super) fn new(remote: Arc<Remote>) -> Self {
        Self { set: AtomicBool::new(true), remote }
    }

    pub(super) fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    pub(super) fn take(&self) -> bool {
        self.is_set() && self.set.swap(false, Ordering::AcqRel)
    }
}

impl Wake for MainWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.set.swap(true, Ordering::AcqRel) && !self.remote.is_here() {
            self.remote.notify();
        }
    }
}
