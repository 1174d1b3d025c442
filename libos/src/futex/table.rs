//! The queues of waiting threads.
//!
//! The one idea: a waiter is an `Arc` that its thread keeps for life, a queue is a vector of references to waiters, so neither a wait nor a wake
//! allocates. A counter beside each bucket's lock lets a wake that finds nobody return without the lock: the waiter raises it
//! *before* it looks at the word, the waker changes the word *before* it looks at the counter, and a fence in between on
//! both sides makes one of them see the other.

use std::{
    borrow::Cow,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering, fence},
    },
    task::{Context, Poll},
};

use futures::task::AtomicWaker;
use hal::sync::Presence;
use kernel_objects::Thread;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

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
    waiter: Arc<Waiter>,
}

#[repr(align(64))]
#[derive(Default)]
struct Bucket {
    /// How many wait here or are about to.
    waiters: Presence,
    queue: Mutex<Vec<Entry>>,
}

/// Those that a wake took out of their queues, to be woken when no lock is held.
type Woken = SmallVec<[Arc<Waiter>; 8]>;

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

    /// Joins the queue of `key` if `check`, which looks at the word with the queue locked, says so.
    ///
    /// `waiter` is the thread's own; if it is in use another one is made. The wait itself is to await the result; dropped, it leaves the queue.
    /// `check` must not use this table.
    pub fn enqueue<'a>(
        &'a self,
        key: FutexKey,
        bitset: u32,
        waiter: &'a Arc<Waiter>,
        check: impl FnOnce() -> SysResult<()>,
    ) -> SysResult<Queued<'a>> {
        self.join(key, (bitset, 0), waiter, check)
    }

    /// As [`enqueue`](Self::enqueue), for thread `tid` that waits for a lock to be handed over.
    pub fn enqueue_lock<'a>(
        &'a self,
        key: FutexKey,
        tid: u32,
        waiter: &'a Arc<Waiter>,
        check: impl FnOnce() -> SysResult<()>,
    ) -> SysResult<Queued<'a>> {
        self.join(key, (MATCH_ANY, tid), waiter, check)
    }

    /// With the queue of `key` locked, tells `give` which thread waits longest for the lock to be handed over; wakes that thread if `give` agrees.
    pub fn hand_over(
        &self,
        key: FutexKey,
        give: impl FnOnce(Option<u32>) -> SysResult<()>,
    ) -> SysResult<()> {
        let (_, bucket) = self.bucket(key);
        let mut queue = bucket.queue.lock();
        let next = queue.iter().position(|entry| entry.key == key && entry.tid != 0);
        give(next.map(|next| queue[next].tid))?;
        let mut woken = Woken::new();
        if let Some(next) = next {
            let entry = queue.remove(next);
            bucket.waiters.leave();
            entry.waiter.state.store(WOKEN, Ordering::Release);
            woken.push(entry.waiter);
        }
        drop(queue);
        wake_all(woken);
        Ok(())
    }

    fn join<'a>(
        &'a self,
        key: FutexKey,
        (bitset, tid): (u32, u32),
        waiter: &'a Arc<Waiter>,
        check: impl FnOnce() -> SysResult<()>,
    ) -> SysResult<Queued<'a>> {
        let (index, bucket) = self.bucket(key);
        bucket.waiters.enter();
        let mut queue = bucket.queue.lock();
        if let Err(error) = check() {
            drop(queue);
            bucket.waiters.leave();
            return Err(error);
        }
        let claim =
            waiter.state.compare_exchange(IDLE, QUEUED, Ordering::Relaxed, Ordering::Relaxed);
        let waiter = match claim {
            Ok(_) => Cow::Borrowed(waiter),
            Err(_) => {
                Cow::Owned(Arc::new(Waiter { state: AtomicU32::new(QUEUED), ..Waiter::default() }))
            }
        };
        waiter.bucket.store(index, Ordering::Relaxed);
        queue.push(Entry { key, bitset, tid, waiter: Arc::clone(&waiter) });
        Ok(Queued { table: self, waiter })
    }

    /// Wakes up to `count` of those that wait on `key` with a bit of `bitset`; oldest first. How many there were.
    pub fn wake(&self, key: FutexKey, count: usize, bitset: u32) -> usize {
        let (_, bucket) = self.bucket(key);
        // The guest may have changed the word by any kind of store.
        fence(Ordering::SeqCst);
        if bucket.waiters.is_empty() {
            return 0;
        }
        let mut woken = Woken::new();
        bucket.take(&mut bucket.queue.lock(), key, count, bitset, &mut woken);
        wake_all(woken)
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
        let mut woken = Woken::new();
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
                        target_queue.push(entry);
                    }
                    target.waiters.enter_many(moved);
                    source.waiters.leave_many(moved);
                }
            }
        } else {
            moved = source_queue.iter().filter(|entry| entry.key == from).count().min(requeue);
        }
        drop(source_queue);
        drop(target_queue);
        Ok((wake_all(woken), moved))
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
        let mut woken = Woken::new();
        first_bucket.take(&mut first_queue, first, wake_first, MATCH_ANY, &mut woken);
        if also_second {
            let queue = second_queue.as_mut().unwrap_or(&mut first_queue);
            second_bucket.take(queue, second, wake_second, MATCH_ANY, &mut woken);
        }
        drop(first_queue);
        drop(second_queue);
        Ok(wake_all(woken))
    }

    /// Locks two buckets, always in the order of their places; the second is `None` when they are the same.
    fn lock_both(
        &self,
        first: usize,
        second: usize,
    ) -> (MutexGuard<'_, Vec<Entry>>, Option<MutexGuard<'_, Vec<Entry>>>) {
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
        queue: &mut Vec<Entry>,
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
        self.waiters.leave_many(count - left);
    }
}

fn wake_all(woken: Woken) -> usize {
    let count = woken.len();
    for waiter in woken {
        waiter.wake();
    }
    count
}

/// A place in a queue; as a future it is ready once a wake has chosen it. A thread's own waiter is to be awaited by its
/// own task.
#[must_use = "dropped, it leaves the queue"]
pub struct Queued<'table> {
    table: &'table FutexTable,
    waiter: Cow<'table, Arc<Waiter>>,
}

impl Queued<'_> {
    /// Whether a wake has chosen it.
    pub fn is_woken(&self) -> bool {
        self.waiter.state.load(Ordering::Acquire) == WOKEN
    }

    /// Leaves the queue. True if a wake came first.
    pub fn leave(self) -> bool {
        self.take_out()
    }

    fn take_out(&self) -> bool {
        let waiter = &self.waiter;
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
                bucket.waiters.leave();
                waiter.state.store(IDLE, Ordering::Relaxed);
            }
            break;
        }
        let woken = waiter.state.load(Ordering::Relaxed) == WOKEN;
        if woken {
            waiter.state.store(IDLE, Ordering::Relaxed);
        }
        woken
    }
}

impl Future for Queued<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.is_woken() {
            return Poll::Ready(());
        }
        if self.waiter.thread.is_some() {
            return Poll::Pending;
        }
        self.waiter.waker.register(context.waker());
        if self.is_woken() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.take_out();
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
        table.enqueue(key, bitset, waiter, || Ok(())).unwrap()
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
    fn a_wait_on_another_value_does_not_begin() {
        let table = FutexTable::new();
        let refused = table.enqueue(A, MATCH_ANY, &Arc::default(), || expect(Ok(1), 2)).map(|_| ());
        assert_eq!(refused, Err(Errno::EAGAIN));
        assert_eq!(table.bucket(A).1.waiters.count(), 0);
    }

    #[test]
    fn a_dropped_wait_leaves_even_after_it_was_requeued() {
        let table = FutexTable::new();
        let (first, second, third) =
            (queued(&table, A, MATCH_ANY), queued(&table, A, MATCH_ANY), queued(&table, A, 1));
        assert_eq!(table.requeue(A, B, 1, 1, || Ok(())), Ok((1, 1)));
        assert!(first.leave());
        assert!(!second.leave());
        assert_eq!(table.wake(B, 9, MATCH_ANY), 0);
        assert!(third.now_or_never().is_none());
        assert_eq!(table.waiting(), 0);
        assert!(table.buckets.iter().all(|b| b.waiters.is_empty()));
    }

    #[test]
    fn a_thread_in_a_wait_can_wait_for_something_else_as_well() {
        let table = FutexTable::new();
        let own = Arc::new(Waiter::default());
        let first = table.enqueue(A, MATCH_ANY, &own, || Ok(())).unwrap();
        let second = table.enqueue(B, MATCH_ANY, &own, || Ok(())).unwrap();
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
                    if let Ok(wait) = table.enqueue(A, MATCH_ANY, &waiter, check) {
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
