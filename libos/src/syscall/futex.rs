//! futex(2), futex_waitv(2) and the robust list calls.
//!
//! The one idea: one entry with many operations, decoded here into the few verbs of [`FutexTable`](crate::futex::FutexTable).

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::Poll,
};

use kernel_objects::task::BlockedReason;
use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    errno::{Errno, SysResult},
    futex::{
        FutexKey, Queued, Waiter, WakeOp, key_of, pi, robust::FUTEX_TID_MASK, table::MATCH_ANY,
    },
    process::Thread,
    syscall::{
        argument::{UserAddr, UserPtr},
        restart::{self, Restart},
    },
    timer::{ClockId, Timespec},
};

const COMMAND_MASK: u32 = !(raw::FUTEX_PRIVATE_FLAG | raw::FUTEX_CLOCK_REALTIME);

/// FUTEX_WAKE of a private word, which need not wait.
pub(crate) fn futex_at_once(
    thread: &Thread,
    word: UserAddr,
    operation: u32,
    value: u32,
    _timeout: u64,
    _second_word: UserAddr,
    _third_value: u32,
) -> Option<SysResult> {
    const WAKE_PRIVATE: u32 = raw::FUTEX_WAKE | raw::FUTEX_PRIVATE_FLAG;
    if operation != WAKE_PRIVATE {
        return None;
    }
    let wake = |key| thread.process.kernel.futexes.wake(key, at_least_one(value), MATCH_ANY);
    Some(key_of(&thread.memory, word.0, false).map(wake))
}

/// What counts is an int in Linux: a negative number of waiters counts as none.
fn count(value: u32) -> usize {
    usize::try_from(value as i32).unwrap_or(0)
}

/// As [`count`], for a wake, which always wakes the first.
fn at_least_one(value: u32) -> usize {
    count(value).max(1)
}

/// futex(2). The fourth argument is a time-out or a second count, by the operation.
#[expect(clippy::manual_async_fn, reason = "see `dispatch`")]
pub(crate) fn futex(
    thread: &Thread,
    word: UserAddr,
    operation: u32,
    value: u32,
    timeout_or_count: u64,
    second_word: UserAddr,
    third_value: u32,
) -> impl Future<Output = SysResult> {
    async move {
        let shared = operation & raw::FUTEX_PRIVATE_FLAG == 0;
        let command = operation & COMMAND_MASK;
        let realtime = operation & raw::FUTEX_CLOCK_REALTIME != 0;
        if realtime && !matches!(command, raw::FUTEX_WAIT_BITSET | raw::FUTEX_LOCK_PI2) {
            return Err(Errno::ENOSYS);
        }
        let timeout = UserPtr::<Timespec>::new(timeout_or_count);
        let key = |word: UserAddr| key_of(&thread.memory, word.0, shared);
        let table = &thread.process.kernel.futexes;
        match command {
            raw::FUTEX_WAIT => {
                // Relative, whatever the clock.
                let deadline = match timeout.non_null() {
                    Some(timeout) => {
                        let nanos = timeout.read(&thread.memory)?.to_nanos()?;
                        Some(hal::time::monotonic().saturating_add(nanos))
                    }
                    None => None,
                };
                wait(thread, Wait { word, shared, value, bitset: MATCH_ANY, deadline })
                    .await
                    .map(|()| 0)
            }
            raw::FUTEX_WAIT_BITSET => {
                let clock = if realtime { ClockId::Realtime } else { ClockId::Monotonic };
                let deadline = read_deadline(thread, timeout, clock)?;
                if third_value == 0 {
                    return Err(Errno::EINVAL);
                }
                wait(thread, Wait { word, shared, value, bitset: third_value, deadline })
                    .await
                    .map(|()| 0)
            }
            raw::FUTEX_WAKE => Ok(table.wake(key(word)?, at_least_one(value), MATCH_ANY)),
            raw::FUTEX_WAKE_BITSET => {
                if third_value == 0 {
                    return Err(Errno::EINVAL);
                }
                Ok(table.wake(key(word)?, at_least_one(value), third_value))
            }
            raw::FUTEX_REQUEUE | raw::FUTEX_CMP_REQUEUE => {
                if (value as i32) < 0 || (timeout_or_count as i32) < 0 {
                    return Err(Errno::EINVAL);
                }
                let (from, to) = (key(word)?, key(second_word)?);
                let compare = command == raw::FUTEX_CMP_REQUEUE;
                let check = || match compare {
                    true => expect(thread, word.0, third_value),
                    false => Ok(()),
                };
                let (woken, moved) =
                    table.requeue(from, to, count(value), count(timeout_or_count as u32), check)?;
                // The manual says that FUTEX_REQUEUE tells only of the woken; Linux tells of both.
                Ok(woken + moved)
            }
            raw::FUTEX_WAKE_OP => {
                let operation = WakeOp::decode(third_value)?;
                let (first, second) = (key(word)?, key(second_word)?);
                let operate = || {
                    let update = |old| operation.apply(old);
                    let old = thread
                        .memory
                        .with_faults(|space| space.fetch_update_u32(second_word.0, update))?;
                    Ok(operation.holds(old))
                };
                let counts = (at_least_one(value), count(timeout_or_count as u32).max(1));
                table.wake_op(first, second, counts.0, counts.1, operate)
            }
            raw::FUTEX_LOCK_PI | raw::FUTEX_LOCK_PI2 => {
                let by_wall_clock = realtime || command == raw::FUTEX_LOCK_PI;
                let clock = if by_wall_clock { ClockId::Realtime } else { ClockId::Monotonic };
                let deadline = read_deadline(thread, timeout, clock)?.unwrap_or(u64::MAX);
                lock_pi(thread, word, key(word)?, deadline).await.map(|()| 0)
            }
            raw::FUTEX_TRYLOCK_PI => try_lock_pi(thread, word, key(word)?, false).map(|_| 0),
            raw::FUTEX_UNLOCK_PI => {
                pi::unlock(table, &thread.memory, (word.0, key(word)?), thread.own_tid as u32)
                    .map(|()| 0)
            }
            _ => Err(Errno::ENOSYS),
        }
    }
}

fn try_lock_pi(
    thread: &Thread,
    word: UserAddr,
    key: FutexKey,
    wait: bool,
) -> SysResult<pi::Attempt<'_>> {
    let kernel = &thread.process.kernel;
    let exists = |tid: u32| thread.process.visible().thread(tid as i32).is_some();
    let who = (thread.own_tid as u32, &thread.futex_waiter);
    pi::lock(&kernel.futexes, &thread.memory, (word.0, key), who, wait, exists)
}

async fn lock_pi(thread: &Thread, word: UserAddr, key: FutexKey, deadline: u64) -> SysResult<()> {
    loop {
        let pi::Attempt::Queued(mut queued) = try_lock_pi(thread, word, key, true)? else {
            return Ok(());
        };
        let waited = thread
            .object
            .interruptible(BlockedReason::Futex, hal::time::timeout_at(deadline, &mut queued))
            .await;
        if queued.leave() {
            let value = thread.memory.with_faults(|space| space.load_u32(word.0))?;
            if value & FUTEX_TID_MASK == thread.own_tid as u32 {
                return Ok(());
            }
            // Woken by something other than a hand-over: try again.
            continue;
        }
        return Err(match waited {
            Ok(_) => Errno::ETIMEDOUT,
            Err(_) => Errno::ERESTARTNOINTR,
        });
    }
}

/// The monotonic time that an absolute `timeout` of `clock` stands for; none for a null pointer.
fn read_deadline(
    thread: &Thread,
    timeout: UserPtr<Timespec>,
    clock: ClockId,
) -> SysResult<Option<u64>> {
    let Some(timeout) = timeout.non_null() else { return Ok(None) };
    let nanos = timeout.read(&thread.memory)?.to_nanos()?;
    Ok(Some(clock.to_monotonic(nanos)))
}

/// Succeeds if the word has this value now; `EAGAIN`, `EFAULT`.
fn expect(thread: &Thread, word: u64, value: u32) -> SysResult<()> {
    let loaded = thread.memory.with_faults(|space| space.load_u32(word));
    crate::futex::table::expect(loaded, value)
}

/// A wait for one word.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    word: UserAddr,
    /// Whether with other processes.
    shared: bool,
    /// What the word must be for the wait to begin.
    value: u32,
    bitset: u32,
    /// When it ends with `ETIMEDOUT`, on the monotonic clock.
    deadline: Option<u64>,
}

impl Wait {
    /// A wait for `word` being changed from `value`, with other processes if `shared`, for wakes of one of `bitset`.
    pub(crate) fn new(word: UserAddr, value: u32, bitset: u32, shared: bool) -> Self {
        Self { word, shared, value, bitset, deadline: None }
    }
}

/// Waits until a wake chooses the thread. (Why it is no `async fn` says [`dispatch`](crate::syscall::table::dispatch);
/// a result without a value comes in registers.)
#[expect(clippy::manual_async_fn, reason = "see `dispatch`")]
pub(crate) fn wait(thread: &Thread, request: Wait) -> impl Future<Output = SysResult<()>> {
    async move {
        let table = &thread.process.kernel.futexes;
        let mut queued = table.place(&thread.futex_waiter);
        let check = || expect(thread, request.word.0, request.value);
        let key = key_of(&thread.memory, request.word.0, request.shared)?;
        queued.join(key, request.bitset, check)?;
        let object = &thread.object;
        let interrupted = match request.deadline {
            None => object.interruptible(BlockedReason::Futex, &mut queued).await.is_err(),
            Some(deadline) => {
                let wait = hal::time::timeout_at(deadline, &mut queued);
                object.interruptible(BlockedReason::Futex, wait).await.is_err()
            }
        };
        if queued.leave() {
            return Ok(());
        }
        match request.deadline {
            _ if !interrupted => Err(Errno::ETIMEDOUT),
            // A restarted call must not wait as long again, so one with a time limit goes on with what is left.
            Some(_) => Err(restart::later(thread, Restart::Futex(request))),
            None => Err(Errno::ERESTARTSYS),
        }
    }
}

/// `struct futex_waitv`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct WaitvEntry {
    value: u64,
    word: u64,
    flags: u32,
    reserved: u32,
}

const WAITV_MAX: u32 = 128;
const FUTEX2_SIZE_MASK: u32 = 3;
const FUTEX2_SIZE_U32: u32 = 2;
const FUTEX2_PRIVATE: u32 = 128;

/// futex_waitv(2): waits for any of several words.
pub(crate) async fn futex_waitv(
    thread: &Thread,
    entries: UserPtr<WaitvEntry>,
    count: u32,
    flags: u32,
    timeout: UserPtr<Timespec>,
    clock: i32,
) -> SysResult {
    if flags != 0 || count == 0 || count > WAITV_MAX || entries.is_null() {
        return Err(Errno::EINVAL);
    }
    let clock = match clock {
        0 => ClockId::Realtime,
        1 => ClockId::Monotonic,
        _ if timeout.is_null() => ClockId::Monotonic,
        _ => return Err(Errno::EINVAL),
    };
    let deadline = read_deadline(thread, timeout, clock)?;
    let entries = entries.read_slice(&thread.memory, count as usize)?;
    let table = &thread.process.kernel.futexes;
    let waiters: Vec<Arc<Waiter>> = entries.iter().map(|_| Arc::default()).collect();
    let mut queued: Vec<Queued<'_>> = Vec::with_capacity(entries.len());
    for entry in &entries {
        if entry.flags & !(FUTEX2_SIZE_MASK | FUTEX2_PRIVATE) != 0
            || entry.flags & FUTEX2_SIZE_MASK != FUTEX2_SIZE_U32
            || entry.reserved != 0
        {
            return Err(Errno::EINVAL);
        }
    }
    for (entry, waiter) in entries.iter().zip(&waiters) {
        let shared = entry.flags & FUTEX2_PRIVATE == 0;
        let value = u32::try_from(entry.value).map_err(|_| Errno::EINVAL)?;
        let key = key_of(&thread.memory, entry.word, shared)?;
        let mut place = table.place(waiter);
        match place.join(key, MATCH_ANY, || expect(thread, entry.word, value)) {
            Ok(()) => queued.push(place),
            // One that was woken meanwhile counts more.
            Err(error) => return first_woken(&queued).ok_or(error),
        }
    }
    let any = poll_fn(|context| {
        for place in &mut queued {
            if Pin::new(place).poll(context).is_ready() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    });
    let deadline = deadline.unwrap_or(u64::MAX);
    let waited = thread
        .object
        .interruptible(BlockedReason::Futex, hal::time::timeout_at(deadline, any))
        .await;
    match first_woken(&queued) {
        Some(index) => Ok(index),
        None if waited.is_ok() => Err(Errno::ETIMEDOUT),
        None => Err(Errno::ERESTARTSYS),
    }
}

fn first_woken(queued: &[Queued<'_>]) -> Option<usize> {
    queued.iter().position(Queued::is_woken)
}

/// Bytes of `struct robust_list_head`.
const ROBUST_LIST_HEAD_SIZE: usize = 24;

/// set_robust_list(2)
pub(crate) fn set_robust_list(thread: &Thread, head: UserAddr, size: usize) -> SysResult<()> {
    if size != ROBUST_LIST_HEAD_SIZE {
        return Err(Errno::EINVAL);
    }
    thread.robust_list.store(head.0, Ordering::Relaxed);
    Ok(())
}

/// get_robust_list(2)
pub(crate) fn get_robust_list(
    thread: &Thread,
    tid: i32,
    head: UserPtr<u64>,
    size: UserPtr<u64>,
) -> SysResult<()> {
    let list = match tid {
        0 => thread.robust_list.load(Ordering::Relaxed),
        tid => {
            let other = thread.process.visible().thread(tid).ok_or(Errno::ESRCH)?;
            other.robust_list.load(Ordering::Relaxed)
        }
    };
    size.write(&thread.memory, &(ROBUST_LIST_HEAD_SIZE as u64))?;
    head.write(&thread.memory, &list)
}
