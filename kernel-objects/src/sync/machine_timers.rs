//! A queue of timers without a clock: a model says when a time has come, by [`pass`].

use std::{
    collections::BTreeMap,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use super::Mutex;

#[derive(Default)]
struct Timers {
    now: u64,
    /// By deadline and number.
    queue: BTreeMap<(u64, u64), Waker>,
    count: u64,
}

shuttle::lazy_static! {
    /// Each execution of a model has its own.
    static ref TIMERS: Mutex<Timers> = Mutex::default();
}

/// Ready when `deadline` has come.
pub(crate) fn sleep_until(deadline: u64) -> Sleep {
    Sleep { deadline, key: None }
}

/// Lets the time come, and fires what is due by then.
pub(crate) fn pass(time: u64) {
    let mut timers = TIMERS.lock();
    timers.now = time;
    let later = timers.queue.split_off(&(time + 1, 0));
    let due = std::mem::replace(&mut timers.queue, later);
    drop(timers);
    due.into_values().for_each(Waker::wake);
}

/// How many timers there are.
pub(crate) fn queued() -> usize {
    TIMERS.lock().queue.len()
}

pub(crate) struct Sleep {
    deadline: u64,
    key: Option<(u64, u64)>,
}

impl Sleep {
    fn leave(&mut self) {
        if let Some(key) = self.key.take() {
            let waker = TIMERS.lock().queue.remove(&key);
            drop(waker);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut timers = TIMERS.lock();
        if timers.now >= self.deadline {
            drop(timers);
            self.leave();
            return Poll::Ready(());
        }
        timers.count += 1;
        let key = self.key.unwrap_or((self.deadline, timers.count));
        let old = timers.queue.insert(key, cx.waker().clone());
        drop(timers);
        drop(old);
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.leave();
    }
}
