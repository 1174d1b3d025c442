//! The queues of waiting threads.
//!
//! The one idea: a waiter is an `Arc` that its thread keeps for life, a queue is a vector of references to waiters, so neither a wait nor a wake
//! allocates. The number of waiters beside each bucket's lock lets a wake that finds nobody return without the lock (see [`Waiters`]): the
//! waiter counts itself *before* it looks at the word, and the guest changes the word *before* the wake looks at the number.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures::task::AtomicWaker;
use hal::sync::{BiasedGuard, Change, Waiters};
use kernel_objects::Thread;

use super::key::FutexKey;
use crate::errno::{Errno, SysResult};

/// The bitset of waits and wakes that do not give one.
pub const MATCH_ANY: u32 = !0;

const BUCKET_BITS: u32 = 8;

/// Free for a wait. Set by whoever takes the waiter out of the queue for its owner.
const IDLE: u32 = 0;
/// In a queue. Set by the owner, under the lock of the bucket.
const QUEUED: u32 = 1;
/// Taken out of the queue by a wake. Set under the lock of the bucket; cleared by the owner.
const WOKEN: u32 = 2;

/// One who waits; a thread keeps one for all its waits.
#[derive(Debug, Default)]
pub struct Waiter {
    state: AtomicU32,
    /// In which bucket it is; changed with the locks of both the old and the new one held.
    bucket: AtomicUsize,
    /// The realtime priority of the thread, 1 to 99; 0 if it has none. A wait keeps the one that it began with.
    priority: AtomicU32,
    /// Where the waits of this waiter register; unused if it belongs to a thread.
    waker: AtomicWaker,
    /// The one thread that it belongs to.
    thread: Option<Arc<Thread>>,
}

impl Waiter {
    /// That of a thread, whose body does all waits of this waiter.
    pub fn of_thread(thread: Arc<Thread>) -> Self {
        Self { thread: Some(thread), ..Self::default() }
    }

    /// Sets the priority of the thread's next waits, sched(7).
    pub fn set_priority(&self, priority: u32) {
        self.priority.store(priority, Ordering::Relaxed);
    }

    fn wake(&self) {
        match &self.thread {
            None => self.waker.wake(),
            Some(thread) => thread.wake(),
        }
    }
}

struct Entry {
    key: FutexKey,
    bitset: u32,
    /// Who waits for the lock to be handed over; 0 for an ordinary wait.
    tid: u32,
    priority: u32,
    waiter: Arc<Waiter>,
}

#[repr(align(64))]
#[derive(Default)]
struct Bucket {
    queue: Waiters<Vec<Entry>>,
}

/// Puts an entry behind those that are as urgent or more.
#[inline]
fn enqueue(queue: &mut Vec<Entry>, entry: Entry) {
    if entry.priority == 0 {
        queue.push(entry);
    } else {
        let at = queue.iter().position(|other| other.priority < entry.priority);
        queue.insert(at.unwrap_or(queue.len()), entry);
    }
}

/// A bucket's queue, locked.
type Locked<'a> = BiasedGuard<'a, Vec<Entry>>;

/// Those that a wake took out of their queues, to be woken when no lock is held. Mostly it is one.
#[derive(Default)]
struct Woken {
    first: Option<Arc<Waiter>>,
    rest: Vec<Arc<Waiter>>,
}

impl Woken {
    #[inline]
    fn push(&mut self, waiter: Arc<Waiter>) {
        match self.first {
            None => self.first = Some(waiter),
            Some(_) => self.rest.push(waiter),
        }
    }

    /// Wakes them; how many there were.
    #[inline]
    fn wake(&mut self) -> usize {
        let Some(first) = self.first.take() else { return 0 };
        first.wake();
        1 + self.rest.drain(..).inspect(|waiter| waiter.wake()).count()
    }
}

/// All futex queues of a kernel.
pub struct FutexTable {
    buckets: Box<[Bucket]>,
}

impl Default for FutexTable {
    fn default() -> Self {
        Self::new()
    }
}

impl FutexTable {
    /// Empty queues.
    pub fn new() -> Self {
        Self { buckets: (0..1 << BUCKET_BITS).map(|_| Bucket::default()).collect() }
    }

    fn bucket(&self, key: FutexKey) -> (usize, &Bucket) {
        let index = key.hash(BUCKET_BITS);
        (index, &self.buckets[index])
    }

    /// A place for a wait, in no queue yet.
    ///
    /// `waiter` is the thread's own; if it is in use another one is made.
    #[inline]
    pub fn place<'a>(&'a self, waiter: &'a Arc<Waiter>) -> Queued<'a> {
        Queued { table: self, waiter, other: None, joined: false }
    }

    /// With the queue of `key` locked, tells `give` which thread is the first that waits for the lock to be handed over; wakes that thread if `give` agrees.
    pub fn hand_over(
        &self,
        key: FutexKey,
        give: impl FnOnce(Option<u32>) -> SysResult<()>,
    ) -> SysResult<()> {
        let (_, bucket) = self.bucket(key);
        let mut queue = bucket.queue.lock();
        let next = queue.iter().position(|entry| entry.key == key && entry.tid != 0);
        give(next.map(|next| queue[next].tid))?;
        let mut woken = Woken::default();
        if let Some(next) = next {
            let entry = queue.remove(next);
            bucket.has_fewer(&mut queue);
            entry.waiter.state.store(WOKEN, Ordering::Release);
            woken.push(entry.waiter);
        }
        drop(queue);
        woken.wake();
        Ok(())
    }

    /// Wakes up to `count` of those that wait on `key` with a bit of `bitset`; the most urgent first, of those the oldest. How many there were.
    pub fn wake(&self, key: FutexKey, count: usize, bitset: u32) -> usize {
        let (_, bucket) = self.bucket(key);
        // The guest may have changed the word by any kind of store.
        if bucket.queue.is_empty_after(Change::Store) {
            return 0;
        }
        let mut woken = Woken::default();
        let mut queue = bucket.queue.lock();
        bucket.take(&mut queue, key, count, bitset, &mut woken);
        drop(queue);
        woken.wake()
    }

    /// Wakes up to `wake` waiters of `from` and moves up to `requeue` more to `to`, if `check`, called with both queues locked, agrees.
    /// Returns how many were woken and how many moved.
    pub fn requeue(
        &self,
        from: FutexKey,
        to: FutexKey,
        wake: usize,
        requeue: usize,
        check: impl FnOnce() -> SysResult<()>,
    ) -> SysResult<(usize, usize)> {
        let (source_index, source) = self.bucket(from);
        let (target_index, target) = self.bucket(to);
        let (mut source_queue, mut target_queue) = self.lock_both(source_index, target_index);
        check()?;
        let mut woken = Woken::default();
        source.take(&mut source_queue, from, wake, MATCH_ANY, &mut woken);
        let mut moved = 0;
        if from != to {
            match &mut target_queue {
                // Both in one bucket: they only change their key.
                None => {
                    for entry in source_queue.iter_mut().filter(|entry| entry.key == from) {
                        if moved == requeue {
                            break;
                        }
                        entry.key = to;
                        moved += 1;
                    }
                }
                Some(target_queue) => {
                    let leaving = source_queue.extract_if(.., |entry| {
                        let leaves = moved < requeue && entry.key == from;
                        moved += usize::from(leaves);
                        leaves
                    });
                    for mut entry in leaving {
                        entry.key = to;
                        entry.waiter.bucket.store(target_index, Ordering::Relaxed);
                        enqueue(target_queue, entry);
                    }
                    let count = target_queue.len();
                    target.queue.enter(target_queue, count);
                    source.has_fewer(&mut source_queue);
                }
            }
        } else {
            moved = source_queue.iter().filter(|entry| entry.key == from).count().min(requeue);
        }
        drop(source_queue);
        drop(target_queue);
        Ok((woken.wake(), moved))
    }

    /// FUTEX_WAKE_OP: with both queues locked, `operate` changes the word of `second` and says whether its waiters are to be woken as well.
    pub fn wake_op(
        &self,
        first: FutexKey,
        second: FutexKey,
        wake_first: usize,
        wake_second: usize,
        operate: impl FnOnce() -> SysResult<bool>,
    ) -> SysResult<usize> {
        let (first_index, first_bucket) = self.bucket(first);
        let (second_index, second_bucket) = self.bucket(second);
        let (mut first_queue, mut second_queue) = self.lock_both(first_index, second_index);
        let also_second = operate()?;
        let mut woken = Woken::default();
        first_bucket.take(&mut first_queue, first, wake_first, MATCH_ANY, &mut woken);
        if also_second {
            let queue = second_queue.as_mut().unwrap_or(&mut first_queue);
            second_bucket.take(queue, second, wake_second, MATCH_ANY, &mut woken);
        }
        drop(first_queue);
        drop(second_queue);
        Ok(woken.wake())
    }

    /// Locks two buckets, always in the order of their places; the second is `None` when they are the same.
    fn lock_both(&self, first: usize, second: usize) -> (Locked<'_>, Option<Locked<'_>>) {
        if first == second {
            return (self.buckets[first].queue.lock(), None);
        }
        if first < second {
            let guard = self.buckets[first].queue.lock();
            (guard, Some(self.buckets[second].queue.lock()))
        } else {
            let other = self.buckets[second].queue.lock();
            (self.buckets[first].queue.lock(), Some(other))
        }
    }

    /// How many threads wait, for tests of what is left behind.
    pub fn waiting(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.queue.lock().len()).sum()
    }
}

impl Bucket {
    /// Takes up to `count` waiters on `key` with a bit of `bitset` out of the locked queue.
    fn take(
        &self,
        queue: &mut Locked<'_>,
        key: FutexKey,
        count: usize,
        bitset: u32,
        woken: &mut Woken,
    ) {
        let mut left = count;
        let mut at = 0;
        while left > 0 && at < queue.len() {
            if queue[at].key != key || queue[at].bitset & bitset == 0 {
                at += 1;
                continue;
            }
            let entry = queue.remove(at);
            entry.waiter.state.store(WOKEN, Ordering::Release);
            woken.push(entry.waiter);
            left -= 1;
        }
        self.has_fewer(queue);
    }

    /// Counts those that are left in the locked queue.
    fn has_fewer(&self, queue: &mut Locked<'_>) {
        let count = queue.len();
        self.queue.leave(queue, count);
    }
}

/// A place in a queue, once it has [joined](Self::join) one; as a future it is ready once a wake has chosen it. A thread's own waiter is to be
/// awaited by its own task.
#[must_use = "dropped, it leaves the queue"]
pub struct Queued<'table> {
    table: &'table FutexTable,
    /// The thread's own.
    waiter: &'table Arc<Waiter>,
    /// In place of that one if it was in use.
    other: Option<Arc<Waiter>>,
    joined: bool,
}

impl Queued<'_> {
    /// Joins the queue of `key` if `check`, which looks at the word with the queue locked, says so; once. The wait itself is to await this
    /// place. `check` must not use this table.
    #[inline]
    pub fn join(
        &mut self,
        key: FutexKey,
        bitset: u32,
        check: impl FnOnce() -> SysResult<()>,
    ) -> SysResult<()> {
        self.join_as(key, (bitset, 0), check)
    }

    /// As [`join`](Self::join), for thread `tid` that waits for a lock to be handed over.
    pub fn join_lock(
        &mut self,
        key: FutexKey,
        tid: u32,
        check: impl FnOnce() -> SysResult<()>,
    ) -> SysResult<()> {
        self.join_as(key, (MATCH_ANY, tid), check)
    }

    #[inline]
    fn join_as(
        &mut self,
        key: FutexKey,
        (bitset, tid): (u32, u32),
        check: impl FnOnce() -> SysResult<()>,
    ) -> SysResult<()> {
        let (index, bucket) = self.table.bucket(key);
        let mut queue = bucket.queue.lock();
        let count = queue.len();
        bucket.queue.enter(&mut queue, count + 1);
        if let Err(error) = check() {
            bucket.queue.leave(&mut queue, count);
            return Err(error);
        }
        // Only its owner, who calls, makes it another's than idle.
        if self.waiter.state.load(Ordering::Relaxed) != IDLE {
            let other = Waiter::default();
            other.set_priority(self.waiter.priority.load(Ordering::Relaxed));
            self.other = Some(Arc::new(other));
        }
        let waiter = self.waiter();
        waiter.state.store(QUEUED, Ordering::Relaxed);
        waiter.bucket.store(index, Ordering::Relaxed);
        let priority = waiter.priority.load(Ordering::Relaxed);
        enqueue(&mut queue, Entry { key, bitset, tid, priority, waiter: Arc::clone(waiter) });
        drop(queue);
        self.joined = true;
        Ok(())
    }

    #[inline]
    fn waiter(&self) -> &Arc<Waiter> {
        self.other.as_ref().unwrap_or(self.waiter)
    }

    /// Whether a wake has chosen it.
    #[inline]
    pub fn is_woken(&self) -> bool {
        self.waiter().state.load(Ordering::Acquire) == WOKEN
    }

    /// Leaves the queue. True if a wake came first.
    #[inline]
    pub fn leave(&mut self) -> bool {
        if !self.joined {
            return false;
        }
        self.joined = false;
        let waiter = self.waiter();
        if waiter.state.load(Ordering::Acquire) != WOKEN {
            self.take_out();
        }
        let woken = waiter.state.load(Ordering::Relaxed) == WOKEN;
        waiter.state.store(IDLE, Ordering::Relaxed);
        woken
    }

    #[cold]
    fn take_out(&self) {
        let waiter = self.waiter();
        loop {
            if waiter.state.load(Ordering::Acquire) != QUEUED {
                break;
            }
            let index = waiter.bucket.load(Ordering::Relaxed);
            let bucket = &self.table.buckets[index];
            let mut queue = bucket.queue.lock();
            // It may have been requeued before we had the lock.
            if waiter.bucket.load(Ordering::Relaxed) != index {
                continue;
            }
            if let Some(at) = queue.iter().position(|entry| Arc::ptr_eq(&entry.waiter, waiter)) {
                queue.remove(at);
                bucket.has_fewer(&mut queue);
                waiter.state.store(IDLE, Ordering::Relaxed);
            }
            break;
        }
    }
}

impl Future for Queued<'_> {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.is_woken() {
            return Poll::Ready(());
        }
        if self.waiter().thread.is_some() {
            return Poll::Pending;
        }
        self.waiter().waker.register(context.waker());
        if self.is_woken() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Queued<'_> {
    #[inline]
    fn drop(&mut self) {
        self.leave();
    }
}

/// What `check` returns when the word is not what the caller expects.
pub fn expect(value: SysResult<u32>, expected: u32) -> SysResult<()> {
    if value? == expected { Ok(()) } else { Err(Errno::EAGAIN) }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        thread,
    };

    use futures::{FutureExt, executor::block_on};

    use super::*;

    const A: FutexKey = FutexKey::private(1, 0x1000);
    const B: FutexKey = FutexKey::private(1, 0x2000);

    fn queued(table: &FutexTable, key: FutexKey, bitset: u32) -> Queued<'_> {
        let waiter = Box::leak(Box::new(Arc::default()));
        let mut queued = table.place(waiter);
        queued.join(key, bitset, || Ok(())).unwrap();
        queued
    }

    #[test]
    fn a_wake_reaches_the_oldest_waiters_of_its_key_and_bits() {
        let table = FutexTable::new();
        let (first, second) = (queued(&table, A, 1), queued(&table, A, 3));
        let other = queued(&table, B, MATCH_ANY);
        assert_eq!(table.wake(A, 10, 2), 1);
        assert_eq!((first.is_woken(), second.is_woken(), other.is_woken()), (false, true, false));
        assert_eq!(table.wake(A, 10, MATCH_ANY), 1);
        assert_eq!(table.wake(A, 10, MATCH_ANY), 0);
        drop(other);
        assert_eq!(table.waiting(), 0);
    }

    #[test]
    fn a_wake_reaches_the_most_urgent_first_after_a_requeue_too() {
        let table = FutexTable::new();
        let join = |key, priority| {
            let waiter: &_ = Box::leak(Box::<Arc<Waiter>>::default());
            waiter.set_priority(priority);
            let mut queued = table.place(waiter);
            queued.join(key, MATCH_ANY, || Ok(())).unwrap();
            queued
        };
        let waits = [join(A, 0), join(A, 1), join(A, 9), join(A, 1), join(B, 0), join(B, 5)];
        let order = || waits.iter().map(|wait| u8::from(wait.is_woken())).collect::<Vec<_>>();
        assert_eq!(table.wake(A, 2, MATCH_ANY), 2);
        assert_eq!(order(), [0, 1, 1, 0, 0, 0]);
        assert_eq!(table.requeue(A, B, 0, 9, || Ok(())), Ok((0, 2)));
        assert_eq!(table.wake(B, 1, MATCH_ANY), 1);
        assert_eq!(order(), [0, 1, 1, 0, 0, 1]);
        assert_eq!(table.wake(B, 2, MATCH_ANY), 2);
        assert_eq!(order(), [0, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn a_wait_on_another_value_does_not_begin() {
        let table = FutexTable::new();
        let waiter = Arc::default();
        let refused = table.place(&waiter).join(A, MATCH_ANY, || expect(Ok(1), 2));
        assert_eq!(refused, Err(Errno::EAGAIN));
        assert_eq!(table.bucket(A).1.queue.count(), 0);
    }

    #[test]
    fn a_dropped_wait_leaves_even_after_it_was_requeued() {
        let table = FutexTable::new();
        let (mut first, mut second, third) =
            (queued(&table, A, MATCH_ANY), queued(&table, A, MATCH_ANY), queued(&table, A, 1));
        assert_eq!(table.requeue(A, B, 1, 1, || Ok(())), Ok((1, 1)));
        assert!(first.leave());
        assert!(!second.leave());
        assert_eq!(table.wake(B, 9, MATCH_ANY), 0);
        assert!(third.now_or_never().is_none());
        assert_eq!(table.waiting(), 0);
        assert!(table.buckets.iter().all(|b| b.queue.count() == 0));
    }

    #[test]
    fn a_thread_in_a_wait_can_wait_for_something_else_as_well() {
        let table = FutexTable::new();
        let own = Arc::new(Waiter::default());
        let [mut first, mut second] = [table.place(&own), table.place(&own)];
        first.join(A, MATCH_ANY, || Ok(())).unwrap();
        second.join(B, MATCH_ANY, || Ok(())).unwrap();
        assert_eq!(table.wake(B, 1, MATCH_ANY), 1);
        assert_eq!((first.is_woken(), second.is_woken()), (false, true));
    }

    #[test]
    fn no_wake_is_lost_between_threads() {
        const ROUNDS: u32 = 20_000;
        let (table, word) = (FutexTable::new(), AtomicU32::new(0));
        let player = |mine: u32| {
            let waiter = Arc::new(Waiter::default());
            loop {
                let seen = word.load(Ordering::Relaxed);
                if seen == ROUNDS {
                    break;
                }
                if seen % 2 != mine {
                    let check = || expect(Ok(word.load(Ordering::Relaxed)), seen);
                    let mut wait = table.place(&waiter);
                    if wait.join(A, MATCH_ANY, check).is_ok() {
                        block_on(wait);
                    }
                    continue;
                }
                word.store(seen + 1, Ordering::Release);
                table.wake(A, 1, MATCH_ANY);
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| player(0));
            scope.spawn(|| player(1));
        });
        assert_eq!(word.load(Ordering::Relaxed), ROUNDS);
    }
}
