//! A system call that is being recorded, from its submission to its completion.
//!
//! The one idea: nothing is recorded before it is known whether the call waits. One that does not is a single record when it has ended; one
//! that does is in the trace from its first wait on, and whatever way it ends its end follows, for it is a value that is dropped.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Wake, Waker},
};

use super::{
    Recorder,
    record::{Abi, Door, Event, Outcome, Submission, Who},
};
use crate::abi::strace::Traced;

/// A thread whose calls can be recorded.
pub(crate) trait Recorded: Traced {
    /// Whose numbers its calls' are.
    const ABI: Abi;

    /// What records them, if anything does.
    fn recorder(&self) -> Option<&Arc<Recorder>>;

    /// Who it is.
    fn who(&self) -> Who;

    /// Which way its traps come.
    fn door(&self) -> Door;

    /// A result as it is recorded.
    fn outcome(result: &Result<u64, Self::Error>) -> Outcome;
}

/// A call that has begun. Dropped, it has ended.
#[derive(Debug)]
pub(crate) struct Call {
    recorder: Arc<Recorder>,
    submission: Submission,
    /// Its beginning is recorded.
    waits: bool,
    outcome: Outcome,
    waker: Option<CallWaker>,
}

impl Call {
    /// Thread `thread` makes call `number`; `None` if nobody records that.
    pub(crate) fn begin<T: Recorded>(thread: &T, number: u64) -> Option<Self> {
        let recorder = Arc::clone(thread.recorder()?);
        let begin = hal::time::monotonic();
        let submission =
            Submission { who: thread.who(), abi: T::ABI, door: thread.door(), number, begin };
        Some(Self { recorder, submission, waits: false, outcome: Outcome::Dropped, waker: None })
    }

    /// It has ended with that.
    pub(crate) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// It is about to be polled with `waker`: what it is to be polled with instead.
    fn polled_with(&mut self, waker: &Waker) -> Waker {
        let old = self.waker.take().filter(|old| old.notes.task.will_wake(waker));
        let new = old.unwrap_or_else(|| CallWaker::new(&self.recorder, self.submission.who, waker));
        new.notes.arm();
        self.waker.insert(new).waker.clone()
    }

    fn has_to_wait(&mut self) {
        if !self.waits {
            self.waits = self.recorder.record(Event::Waits(self.submission));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(waker) = &self.waker {
            waker.notes.disarm();
        }
        if self.waits {
            self.recorder.keep(Event::Ends(self.submission.who, self.outcome));
        } else {
            self.recorder.record(Event::Call(self.submission, self.outcome));
        }
    }
}

/// Waits for `future`, which does the work of `call`.
pub(crate) async fn watch<F: Future>(call: Option<&mut Call>, future: F) -> F::Output {
    let Some(call) = call else { return future.await };
    let mut future = pin!(future);
    poll_fn(|context| {
        let waker = call.polled_with(context.waker());
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_pending() {
            call.has_to_wait();
        }
        polled
    })
    .await
}

/// What a call is polled with: it wakes the thread, and tells who does so.
#[derive(Debug)]
struct CallWaker {
    waker: Waker,
    notes: Arc<Notes>,
}

#[derive(Debug)]
struct Notes {
    task: Waker,
    recorder: Arc<Recorder>,
    who: Who,
    /// The number that the next wake-up has; 0 when there was one since the last poll.
    armed: AtomicU64,
    /// The number that it has or had.
    number: AtomicU64,
}

impl CallWaker {
    fn new(recorder: &Arc<Recorder>, who: Who, task: &Waker) -> Self {
        let notes = Arc::new(Notes {
            task: task.clone(),
            recorder: Arc::clone(recorder),
            who,
            armed: AtomicU64::new(0),
            number: AtomicU64::new(0),
        });
        Self { waker: Waker::from(Arc::clone(&notes)), notes }
    }
}

impl Notes {
    /// Before a poll: what woke the thread for it is done with, and the next wake-up is a new one.
    fn arm(&self) {
        self.disarm();
        let number = Recorder::next(&self.recorder.wake_ups);
        self.number.store(number, Ordering::Relaxed);
        // Whoever finds it there has what the poll gave it, which orders the rest.
        self.armed.store(number, Ordering::Relaxed);
    }

    /// The thread has seen that it was woken, if it was.
    fn disarm(&self) {
        let number = self.number.load(Ordering::Relaxed);
        if self.armed.swap(0, Ordering::Relaxed) == 0 && number != 0 {
            self.recorder.record(Event::Resumed { who: self.who, wake_up: number });
        }
    }
}

impl Wake for Notes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let number = self.armed.swap(0, Ordering::Relaxed);
        if number != 0 {
            self.recorder.record(Event::Woken { who: self.who, wake_up: number });
        }
        self.task.wake_by_ref();
    }
}
