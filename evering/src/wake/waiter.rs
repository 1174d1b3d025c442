//! Who waits for news, and who brings them.
//!
//! The one idea: a waiter does not know what it waits for. It is given a look, and calls it while it spins, once more after
//! its bell is armed, and whenever it wakes up; so a bell that a peer rings in vain costs a look, and news that come
//! without a bell are found by the next one.

use core::{fmt, ops::Deref};
#[cfg(not(loom))]
use core::{
    future::poll_fn,
    task::{Context, Poll},
};
use std::time::Instant;

#[cfg(not(loom))]
use super::EventFd;
use super::{Bell, How, Spin, futex};

/// Waits on one bell by putting the thread to sleep on its futex.
///
/// ```
/// use std::sync::Arc;
/// use evering::{RecvError, wake::{Bell, Ringer, Waiter}};
///
/// let (mut sender, mut receiver) = evering::channel::<u64>(8).unwrap();
/// let bell = Arc::new(Bell::new());
/// let (mut waiter, ringer) = (Waiter::new(bell.clone()), Ringer::new(bell));
/// let server = std::thread::spawn(move || {
///     let mut sum = 0;
///     // Something there is always news: an entry, or the end.
///     let mut next = || waiter.wait(None, || match receiver.recv() {
///         Err(RecvError::Empty) => None,
///         other => Some(other),
///     });
///     while let Some(Ok(n)) = next() {
///         sum += n;
///     }
///     sum
/// });
/// sender.send_batch(&[1, 2, 3]).unwrap();
/// ringer.ring(); // once for all three
/// drop(sender);
/// drop(ringer); // rings, as the end of the queue is news too
/// assert_eq!(server.join().unwrap(), 6);
/// ```
#[derive(Debug)]
pub struct Waiter<B> {
    bell: B,
    spin: Spin,
}

impl<B: Deref<Target = Bell>> Waiter<B> {
    /// One that spins as long as that pays.
    pub fn new(bell: B) -> Self {
        Self::with_spin(bell, Spin::adaptive())
    }

    /// One that spins as it is told to before it sleeps.
    pub fn with_spin(bell: B, spin: Spin) -> Self {
        Waiter { bell, spin }
    }

    /// Calls `look` until it finds something, which is returned, or until `deadline`.
    #[inline]
    pub fn wait<T>(
        &mut self,
        deadline: Option<Instant>,
        look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        wait(&self.bell, &mut self.spin, &Futex, deadline, look)
    }

    /// The bell.
    pub fn bell(&self) -> &B {
        &self.bell
    }
}

/// What a thread sleeps on.
trait Bed {
    /// How its sleeper is woken.
    const HOW: How;

    /// Sleeps until somebody answers the bell, or `deadline`, or for no reason.
    fn sleep(&self, bell: &Bell, deadline: Option<Instant>);
}

/// The futex in the bell itself.
struct Futex;

impl Bed for Futex {
    const HOW: How = How::Futex;

    fn sleep(&self, bell: &Bell, deadline: Option<Instant>) {
        futex::wait(bell.word(), Self::HOW as u32, deadline);
    }
}

#[cfg(not(loom))]
impl Bed for EventFd {
    const HOW: How = How::EventFd;

    fn sleep(&self, _: &Bell, deadline: Option<Instant>) {
        self.wait(deadline);
        self.clear();
    }
}

/// Spins, then sleeps, until `look` finds something or until `deadline`.
#[inline]
fn wait<T, B: Bed>(
    bell: &Bell,
    spin: &mut Spin,
    bed: &B,
    deadline: Option<Instant>,
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    spin.until(&mut look).or_else(|| sleep(bell, bed, deadline, look))
}

/// Sleeps until `look` finds something, or until `deadline`.
#[cold]
fn sleep<T, B: Bed>(
    bell: &Bell,
    bed: &B,
    deadline: Option<Instant>,
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    loop {
        bell.arm(B::HOW);
        if let Some(news) = look() {
            bell.disarm();
            return Some(news);
        }
        bed.sleep(bell, deadline);
        bell.disarm();
        let news = look();
        if news.is_some() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return news;
        }
    }
}

/// Waits on one bell by an eventfd, which an epoll loop or an async runtime can watch; or this thread.
///
/// To wait in a loop of one's own: [`prepare`](Self::prepare), and if that finds nothing, wait until the descriptor is
/// readable, then call [`awake`](Self::awake). In async code, [`wait_with`](Self::wait_with) does all that:
///
/// ```
/// use std::{os::fd::AsFd, sync::Arc};
/// use evering::wake::{Bell, EventFd, EventWaiter, Ringer};
/// use tokio::io::unix::AsyncFd;
///
/// # tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap().block_on(async {
/// let (mut sender, mut receiver) = evering::channel::<u64>(8).unwrap();
/// let (bell, event) = (Arc::new(Bell::new()), EventFd::new().unwrap());
/// let ringer = Ringer::with_event(bell.clone(), event.try_clone().unwrap());
/// let mut waiter = EventWaiter::new(bell, event);
/// let server = tokio::spawn(async move {
///     let fd = waiter.as_fd().try_clone_to_owned().unwrap();
///     // SAFETY: the descriptor stays open and the same while it is registered.
///     let readable = unsafe { AsyncFd::register(fd) }.unwrap();
///     waiter
///         .wait_with(
///             || receiver.recv().ok(),
///             |cx| readable.poll_read_ready(cx).map(|guard| guard.unwrap().clear_ready()),
///         )
///         .await
/// });
/// tokio::task::yield_now().await;
/// sender.send(7).unwrap();
/// ringer.ring();
/// assert_eq!(server.await.unwrap(), 7);
/// # });
/// ```
#[cfg(not(loom))]
#[derive(Debug)]
pub struct EventWaiter<B> {
    bell: B,
    spin: Spin,
    event: EventFd,
}

#[cfg(not(loom))]
impl<B: Deref<Target = Bell>> EventWaiter<B> {
    /// One that spins as long as that pays. The other side has `event` too.
    pub fn new(bell: B, event: EventFd) -> Self {
        Self::with_spin(bell, event, Spin::adaptive())
    }

    /// One that spins as it is told to before it sleeps. In a thread that has other tasks to run, that should be
    /// [`Spin::never`].
    pub fn with_spin(bell: B, event: EventFd, spin: Spin) -> Self {
        EventWaiter { bell, spin, event }
    }

    /// Looks for news, and if there is none, has the next be told by the descriptor.
    #[inline]
    pub fn prepare<T>(&mut self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        self.spin.until(&mut look).or_else(|| {
            self.bell.arm(How::EventFd);
            let news = look();
            if news.is_some() {
                self.awake();
            }
            news
        })
    }

    /// Ends what [`prepare`](Self::prepare) began. One that tells the descriptor just now makes it readable for nothing
    /// later.
    pub fn awake(&mut self) {
        if self.bell.disarm() {
            self.event.clear();
        }
    }

    /// Calls `look` until it finds something, which is returned, or until `deadline`; puts the thread to sleep.
    pub fn wait<T>(
        &mut self,
        deadline: Option<Instant>,
        look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        wait(&self.bell, &mut self.spin, &self.event, deadline, look)
    }

    /// Calls `look` until it finds something. In between it waits for `poll_readable`, which has to be ready when the
    /// descriptor is readable, and then to forget that it was.
    ///
    /// The future may be dropped at any time: what `look` has found is returned in the same poll.
    pub async fn wait_with<T>(
        &mut self,
        mut look: impl FnMut() -> Option<T>,
        mut poll_readable: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> T {
        loop {
            if let Some(news) = self.prepare(&mut look) {
                return news;
            }
            poll_fn(&mut poll_readable).await;
            self.awake();
        }
    }

    /// The bell.
    pub fn bell(&self) -> &B {
        &self.bell
    }
}

#[cfg(not(loom))]
impl<B> std::os::fd::AsFd for EventWaiter<B> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// Rings one bell, whichever way its waiter sleeps.
///
/// Dropped, it rings: let it go after the queue's end whose news it brings, since that queue's close is news too.
pub struct Ringer<B: Deref<Target = Bell>> {
    bell: B,
    #[cfg(not(loom))]
    event: Option<EventFd>,
}

impl<B: Deref<Target = Bell>> Ringer<B> {
    /// One that wakes by the futex.
    pub fn new(bell: B) -> Self {
        Ringer {
            bell,
            #[cfg(not(loom))]
            event: None,
        }
    }

    /// One that wakes by `event` as well, if the waiter sleeps on that.
    #[cfg(not(loom))]
    pub fn with_event(bell: B, event: EventFd) -> Self {
        Ringer { bell, event: Some(event) }
    }

    /// Says that there are news: to be called after they were published, once for a batch. Costs a full fence, and a call
    /// to the host only if the waiter sleeps.
    #[inline]
    pub fn ring(&self) {
        if let Some(how) = self.bell.answer() {
            self.wake(how);
        }
    }

    #[cold]
    fn wake(&self, how: How) {
        match how {
            How::Futex => futex::wake(self.bell.word()),
            #[cfg(not(loom))]
            How::EventFd => {
                if let Some(event) = &self.event {
                    event.signal();
                }
            }
            // Models have no eventfd.
            #[cfg(loom)]
            How::EventFd => {}
        }
    }

    /// The bell.
    pub fn bell(&self) -> &B {
        &self.bell
    }
}

impl<B: Deref<Target = Bell>> Drop for Ringer<B> {
    fn drop(&mut self) {
        self.ring();
    }
}

impl<B: Deref<Target = Bell>> fmt::Debug for Ringer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ringer").field("bell", &*self.bell).finish_non_exhaustive()
    }
}

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
