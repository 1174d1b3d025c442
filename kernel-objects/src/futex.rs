//! Futexes: waiting for a word of memory to change.
//!
//! A futex is no object and has no handle: it is an address that threads of one process wait at. The kernel knows of it
//! only while someone does, as a queue in the process's [`FutexTable`]; a lock that nobody contends never
//! comes here. A wait looks at the word and enters the queue in one step, so that whoever changes the word
//! first and wakes then cannot miss it.
//!
//! A futex can have an *owner*, the thread that the others wait for. Threads say who it is when they wait or requeue, and
//! a wake of a single thread can hand it over. It is recorded for those who ask, and goes with the last
//! waiter; tasks that are futures have no priority which it could inherit.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
};

use slab::Slab;
use smallvec::SmallVec;

use crate::{
    deadline::{Deadline, INFINITE, until_with_slack},
    error::{Error, Result},
    object::{KOID_INVALID, KernelObject, Koid},
    sync::Mutex,
    task::{BlockedReason, Process, Thread, ThreadState, TimerSlack},
};

/// The address of a futex: that of an aligned word of four bytes.
pub type FutexAddress = u64;

/// Who is to own a futex, as the handle given for it was looked up. An error counts only once the word has been found to
/// have its value.
pub type NewOwner = Result<Option<Arc<Thread>>>;

/// The futexes of a process that threads wait at. [`Process`] has the calls with the process's own memory.
///
/// ```
/// use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
/// use futures::FutureExt;
/// use kernel_objects::{Error, futex::FutexTable, task::{Job, Process, Thread}};
///
/// let process = Process::create(&Job::root(), "p").unwrap();
/// let thread = Thread::create(&process, "waiter").unwrap();
/// let (table, word) = (FutexTable::new(), AtomicI32::new(1));
/// let wait = |value| table.wait(&thread, 0x1000, || Ok(word.load(SeqCst) == value), Ok(None));
///
/// assert_eq!(wait(0).err(), Some(Error::BadState));
/// let mut waiting = wait(1).unwrap();
/// word.store(0, SeqCst);
/// assert!((&mut waiting).now_or_never().is_none());
/// table.wake(0x1000, 1).unwrap();
/// assert!(waiting.now_or_never().is_some());
/// ```
#[derive(Default)]
pub struct FutexTable {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Those with a waiter.
    queues: HashMap<FutexAddress, Queue>,
    waiters: Slab<Waiter>,
    next_ticket: u64,
}

#[derive(Default)]
struct Queue {
    /// Who waits, in order: indices of waiters by ticket.
    line: BTreeMap<u64, usize>,
    /// How often each thread is in the line.
    members: HashMap<Koid, u32>,
    owner: Option<Weak<Thread>>,
}

struct Waiter {
    thread: Weak<Thread>,
    koid: Koid,
    waker: Option<Waker>,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    Queued {
        at: FutexAddress,
        ticket: u64,
    },
    /// Taken out of the line by a wake at this address; one of the wait that goes away now reaches the next in line.
    Woken {
        at: FutexAddress,
        single: bool,
    },
}

/// Those to be woken when the lock is free.
type Woken = SmallVec<[Waker; 8]>;

impl Queue {
    fn join(&mut self, ticket: u64, index: usize, koid: Koid) {
        self.line.insert(ticket, index);
        *self.members.entry(koid).or_insert(0) += 1;
    }

    fn leave(&mut self, ticket: u64, koid: Koid) {
        self.line.remove(&ticket);
        match self.members.get_mut(&koid) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.members.remove(&koid)),
        }
    }
}

impl Inner {
    /// The owner to record, if it may be one of a futex at these addresses.
    fn check_owner(&self, owner: NewOwner, at: &[FutexAddress]) -> Result<Option<Weak<Thread>>> {
        let Some(owner) = owner? else { return Ok(None) };
        let waits = |at| self.queues.get(at).is_some_and(|q| q.members.contains_key(&owner.koid()));
        match owner.info().state {
            ThreadState::New => Err(Error::InvalidArgs),
            _ if at.iter().any(waits) => Err(Error::InvalidArgs),
            ThreadState::Dead => Ok(None),
            _ => Ok(Some(Arc::downgrade(&owner))),
        }
    }

    fn set_owner(&mut self, at: FutexAddress, owner: Option<Weak<Thread>>) {
        if let Some(queue) = self.queues.get_mut(&at) {
            queue.owner = owner;
        }
    }

    fn enqueue(&mut self, at: FutexAddress, index: usize) {
        let Some(waiter) = self.waiters.get_mut(index) else { return };
        self.next_ticket += 1;
        waiter.place = Place::Queued { at, ticket: self.next_ticket };
        self.queues.entry(at).or_default().join(self.next_ticket, index, waiter.koid);
    }

    /// Takes the first waiter out of the line; its index.
    fn dequeue(&mut self, at: FutexAddress) -> Option<usize> {
        let queue = self.queues.get_mut(&at)?;
        let (ticket, index) = queue.line.pop_first()?;
        queue.leave(ticket, self.waiters.get(index)?.koid);
        self.prune(at);
        Some(index)
    }

    /// Forgets a futex that nobody waits at.
    fn prune(&mut self, at: FutexAddress) {
        if self.queues.get(&at).is_some_and(|queue| queue.line.is_empty()) {
            self.queues.remove(&at);
        }
        if self.queues.is_empty() && self.queues.capacity() > 64 {
            self.queues = HashMap::new();
        }
    }

    /// Wakes the first `count` waiters, and leaves the futex without an owner or, with `single`, to the one woken.
    fn wake(&mut self, at: FutexAddress, count: u32, single: bool, woken: &mut Woken) {
        let mut last = None;
        for _ in 0..count {
            let Some(index) = self.dequeue(at) else { break };
            let Some(waiter) = self.waiters.get_mut(index) else { break };
            waiter.place = Place::Woken { at, single };
            woken.extend(waiter.waker.take());
            last = Some(waiter.thread.clone());
        }
        self.set_owner(at, last.filter(|_| single));
    }

    fn requeue(&mut self, from: FutexAddress, to: FutexAddress, count: u32) {
        for _ in 0..count {
            let Some(index) = self.dequeue(from) else { break };
            self.enqueue(to, index);
        }
    }

    fn remove(&mut self, index: usize) -> Option<Waiter> {
        let waiter = self.waiters.try_remove(index)?;
        if let Place::Queued { at, ticket } = waiter.place {
            if let Some(queue) = self.queues.get_mut(&at) {
                queue.leave(ticket, waiter.koid);
            }
            self.prune(at);
        }
        if self.waiters.is_empty() && self.waiters.capacity() > 64 {
            self.waiters = Slab::new();
        }
        Some(waiter)
    }
}

/// Checks that there can be a futex.
fn check_address(at: FutexAddress) -> Result {
    if at == 0 || !at.is_multiple_of(4) { Err(Error::InvalidArgs) } else { Ok(()) }
}

/// What is to happen at a futex before its waiters are moved; see [`FutexTable::requeue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequeueWake {
    /// So many threads are woken and the futex has no owner then.
    Count(u32),
    /// One thread is woken and owns the futex then.
    SingleOwner,
}

impl FutexTable {
    /// A table without futexes.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many waits there are, also those woken that have not noticed.
    pub fn waiters(&self) -> usize {
        self.inner.lock().waiters.len()
    }

    /// Enters the queue of a futex as `thread`, if `matches` says that the word there has the value expected, and sets the
    /// owner (`zx_futex_wait`). The thread waits by awaiting the result.
    ///
    /// `matches` is called with the table's lock held.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if the address is 0 or not aligned, or the owner is `thread` itself, another that waits
    /// there, or one that has not been started. [`Error::BadState`] if the word is another. Those of `matches` and of
    /// `owner`.
    pub fn wait(
        &self,
        thread: &Arc<Thread>,
        at: FutexAddress,
        matches: impl FnOnce() -> Result<bool>,
        owner: NewOwner,
    ) -> Result<FutexWait<'_>> {
        check_address(at)?;
        let mut inner = self.inner.lock();
        if !matches()? {
            return Err(Error::BadState);
        }
        let koid = thread.koid();
        if owner.as_ref().is_ok_and(|owner| owner.as_ref().is_some_and(|o| o.koid() == koid)) {
            return Err(Error::InvalidArgs);
        }
        let owner = inner.check_owner(owner, &[at])?;
        let index = inner.waiters.insert(Waiter {
            thread: Arc::downgrade(thread),
            koid,
            waker: None,
            place: Place::Woken { at, single: false },
        });
        inner.enqueue(at, index);
        inner.set_owner(at, owner);
        Ok(FutexWait { table: self, index: Some(index) })
    }

    /// Wakes up to `count` threads in the order of their arrival; the futex has no owner then (`zx_futex_wake`).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if the address is 0 or not aligned.
    pub fn wake(&self, at: FutexAddress, count: u32) -> Result {
        self.wake_as(at, count, false)
    }

    /// Wakes one thread, which owns the futex then if others wait (`zx_futex_wake_single_owner`).
    ///
    /// # Errors
    ///
    /// As [`wake`](Self::wake).
    pub fn wake_single_owner(&self, at: FutexAddress) -> Result {
        self.wake_as(at, 1, true)
    }

    fn wake_as(&self, at: FutexAddress, count: u32, single: bool) -> Result {
        check_address(at)?;
        let mut woken = Woken::new();
        self.inner.lock().wake(at, count, single, &mut woken);
        woken.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Wakes threads and moves up to `count` others to the end of the queue of the futex at `to`, which gets
    /// `owner`, if `matches` says that the word at `from` has the value expected (`zx_futex_requeue`,
    /// `zx_futex_requeue_single_owner`).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if an address is 0 or not aligned, both are the same, or the owner waits at one of them or
    /// has not been started. [`Error::BadState`] if the word is another. Those of `matches` and of `owner`. Nothing
    /// changes then.
    pub fn requeue(
        &self,
        from: FutexAddress,
        wake: RequeueWake,
        matches: impl FnOnce() -> Result<bool>,
        to: FutexAddress,
        count: u32,
        owner: NewOwner,
    ) -> Result {
        check_address(from)?;
        check_address(to)?;
        if from == to {
            return Err(Error::InvalidArgs);
        }
        let mut woken = Woken::new();
        let mut inner = self.inner.lock();
        if !matches()? {
            return Err(Error::BadState);
        }
        let owner = inner.check_owner(owner, &[from, to])?;
        match wake {
            RequeueWake::Count(count) => inner.wake(from, count, false, &mut woken),
            RequeueWake::SingleOwner => inner.wake(from, 1, true, &mut woken),
        }
        inner.requeue(from, to, count);
        inner.set_owner(to, owner);
        drop(inner);
        woken.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// The koid of a futex's owner, [`KOID_INVALID`] if it has none (`zx_futex_get_owner`).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if the address is 0 or not aligned.
    pub fn owner(&self, at: FutexAddress) -> Result<Koid> {
        check_address(at)?;
        let inner = self.inner.lock();
        let owner = inner.queues.get(&at).and_then(|queue| queue.owner.as_ref()?.upgrade());
        drop(inner);
        // One that has exited owns nothing any more.
        let owner = owner.filter(|thread| thread.info().state != ThreadState::Dead);
        Ok(owner.map_or(KOID_INVALID, |thread| thread.koid()))
    }
}

impl fmt::Debug for FutexTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FutexTable").field("waiters", &self.waiters()).finish_non_exhaustive()
    }
}

/// One wait at a futex, made by [`FutexTable::wait`]: ready when it has been woken. Dropped, it leaves the queue, and
/// a wake that it did not use reaches the next in line.
#[must_use = "a wait that is dropped is over"]
pub struct FutexWait<'a> {
    table: &'a FutexTable,
    /// `None` once it is over.
    index: Option<usize>,
}

impl Future for FutexWait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(index) = self.index else { return Poll::Ready(()) };
        let mut inner = self.table.inner.lock();
        let mut replaced = None;
        if let Some(waiter) = inner.waiters.get_mut(index)
            && let Place::Queued { .. } = waiter.place
        {
            if !waiter.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                replaced = waiter.waker.replace(cx.waker().clone());
            }
            drop(inner);
            drop(replaced); // a waker's drop is foreign code: not under the lock
            return Poll::Pending;
        }
        let over = inner.remove(index);
        drop(inner);
        drop(over);
        self.index = None;
        Poll::Ready(())
    }
}

impl Drop for FutexWait<'_> {
    fn drop(&mut self) {
        let Some(index) = self.index else { return };
        let mut woken = Woken::new();
        let mut inner = self.table.inner.lock();
        let over = inner.remove(index);
        if let Some(Waiter { place: Place::Woken { at, single }, .. }) = over {
            inner.wake(at, 1, single, &mut woken);
        }
        drop(inner);
        drop(over);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for FutexWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FutexWait").field("over", &self.index.is_none()).finish()
    }
}

impl Process {
    /// Whether the word at `at` is `value`; read once without a lock before, so that it is there then.
    fn futex_word_is(&self, at: FutexAddress, value: i32) -> impl Fn() -> Result<bool> {
        let vmar = self.root_vmar();
        move || {
            let vmar = vmar.as_ref().ok_or(Error::InvalidArgs)?;
            let word = vmar.load_u32(at).map_err(|_| Error::InvalidArgs)?;
            Ok(word.cast_signed() == value)
        }
    }

    /// Waits as `thread`, one of this process, until the futex at `at` is woken, if the word there is `value`
    /// (`zx_futex_wait`). The job's policy may move the deadline.
    ///
    /// # Errors
    ///
    /// As [`FutexTable::wait`]; [`Error::InvalidArgs`] if the word cannot be read; [`Error::TimedOut`].
    pub async fn futex_wait(
        &self,
        thread: &Arc<Thread>,
        at: FutexAddress,
        value: i32,
        owner: NewOwner,
        deadline: Deadline,
    ) -> Result {
        check_address(at)?;
        let matches = self.futex_word_is(at, value);
        matches()?;
        let wait = self.futexes().wait(thread, at, matches, owner)?;
        let slack = match deadline {
            INFINITE => TimerSlack::default(),
            _ => self.job().policy().timer_slack(),
        };
        let woken = until_with_slack(deadline, slack, async {
            wait.await;
            Ok(())
        });
        thread.blocked(BlockedReason::Futex, woken).await
    }

    /// Wakes threads and moves others to the futex at `to`, if the word at `from` is `value` (`zx_futex_requeue`,
    /// `zx_futex_requeue_single_owner`).
    ///
    /// # Errors
    ///
    /// As [`FutexTable::requeue`]; [`Error::InvalidArgs`] if the word cannot be read or `to` is not in the address space.
    pub fn futex_requeue(
        &self,
        from: FutexAddress,
        wake: RequeueWake,
        value: i32,
        to: FutexAddress,
        count: u32,
        owner: NewOwner,
    ) -> Result {
        check_address(from)?;
        let matches = self.futex_word_is(from, value);
        matches()?;
        if !self.root_vmar().is_some_and(|vmar| vmar.range().contains(&to)) {
            return Err(Error::InvalidArgs);
        }
        self.futexes().requeue(from, wake, matches, to, count, owner)
    }
}

#[cfg(test)]
mod tests;
