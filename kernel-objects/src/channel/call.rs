//! Calls: a message and the wait for its answer.
//!
//! The table of the calls that wait is under the channel's lock, as are the messages: an answer is either handed to its call or
//! queued, and a close finds every call that was written before it.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures::future::FusedFuture;

use super::{Channel, Message, ReadError, Room};
use crate::{
    error::{Error, Result},
    signals::Signals,
};

/// Set in each transaction id that the kernel chooses; those that users choose themselves should do without.
const KERNEL_TXID: u32 = 1 << 31;

/// The calls through one end whose outcome has not been taken.
#[derive(Default)]
pub(super) struct Waiting {
    /// In order of their ids, so that a close wakes them in the same order each time.
    calls: BTreeMap<u32, State>,
    /// Where to look for an id for the next call.
    next: u32,
}

enum State {
    Waits(Waker),
    Ended(Result<Message>),
}

impl Waiting {
    /// Enters a call under an id that no other has.
    fn enter(&mut self, waker: Waker) -> u32 {
        loop {
            let txid = KERNEL_TXID | self.next;
            self.next = self.next.wrapping_add(1) & !KERNEL_TXID;
            if let Entry::Vacant(free) = self.calls.entry(txid) {
                free.insert(State::Waits(waker));
                return txid;
            }
        }
    }

    /// Whether a call waits for this message. A second answer is a message like others.
    #[inline]
    pub(super) fn wait_for(&self, message: &Message) -> bool {
        let waits = |txid| matches!(self.calls.get(&txid), Some(State::Waits(_)));
        !self.calls.is_empty() && message.txid().is_some_and(waits)
    }

    /// Ends the call that waits for this message, and returns whom to wake.
    pub(super) fn answer(&mut self, message: Message) -> Option<Waker> {
        let state = self.calls.get_mut(&message.txid()?)?;
        match std::mem::replace(state, State::Ended(Ok(message))) {
            State::Waits(waker) => Some(waker),
            State::Ended(_) => None,
        }
    }

    /// Ends all calls that wait, and returns whom to wake.
    pub(super) fn fail(&mut self, error: Error) -> Vec<Waker> {
        let fail = |state: &mut State| match state {
            State::Waits(_) => match std::mem::replace(state, State::Ended(Err(error))) {
                State::Waits(waker) => Some(waker),
                State::Ended(_) => None,
            },
            State::Ended(_) => None,
        };
        self.calls.values_mut().filter_map(fail).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    #[cfg(test)]
    pub(super) fn start_at(&mut self, next: u32) {
        self.next = next;
    }
}

/// A call that was begun, made by [`Channel::call`].
///
/// Dropped, it leaves nothing behind: an answer that comes later, or that has come and was not taken, is queued as a message
/// like others. It wakes the task that polled it last.
#[must_use = "futures do nothing unless polled"]
pub struct Call<'a> {
    channel: &'a Channel,
    room: Room,
    progress: Progress,
}

enum Progress {
    New(Message),
    /// Entered under this transaction id.
    Waiting(u32),
    Done,
}

impl<'a> Call<'a> {
    pub(super) fn new(channel: &'a Channel, message: Message, room: Room) -> Self {
        Call { channel, room, progress: Progress::New(message) }
    }

    /// Writes the message and enters the call, in one step.
    fn start(&self, mut message: Message, waker: Waker) -> Result<u32> {
        let channel = self.channel;
        channel.check(&message)?;
        message.set_txid(KERNEL_TXID)?;
        let mut pair = channel.half.lock();
        if pair.closed {
            drop(pair);
            return Err(Error::PeerClosed);
        }
        let txid = channel.half.both(&mut pair).0.calls.enter(waker);
        // It has room for an id: that was written above.
        let _ = message.set_txid(txid);
        let calls = channel.deliver(&mut pair, message);
        drop(pair);
        calls.run();
        Ok(txid)
    }

    /// The call's outcome; without one, `waker` is the one to wake.
    fn outcome(&self, txid: u32, waker: &Waker) -> Option<Result<Message>> {
        let mut pair = self.channel.half.lock();
        let calls = &mut self.channel.half.both(&mut pair).0.calls.calls;
        match calls.get_mut(&txid)? {
            State::Waits(registered) if registered.will_wake(waker) => None,
            State::Waits(registered) => {
                let replaced = std::mem::replace(registered, waker.clone());
                drop(pair);
                drop(replaced);
                None
            }
            State::Ended(_) => match calls.remove(&txid) {
                Some(State::Ended(outcome)) => Some(outcome),
                _ => None,
            },
        }
    }

    /// Takes the call back. If it has been answered, the answer becomes an ordinary message.
    fn cancel(&self, txid: u32) {
        let channel = self.channel;
        let mut pair = channel.half.lock();
        let (mine, _) = channel.half.both(&mut pair);
        let state = mine.calls.calls.remove(&txid);
        let Some(State::Ended(Ok(answer))) = state else {
            drop(pair);
            drop(state); // a waker's drop is foreign code
            return;
        };
        if mine.gone {
            drop(pair);
            drop(answer);
        } else if mine.queue(answer) {
            let calls = channel.base.signal_state().change(Signals::empty(), Signals::READABLE);
            drop(pair);
            calls.run();
        }
    }
}

impl Future for Call<'_> {
    type Output = Result<Message, ReadError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match std::mem::replace(&mut self.progress, Progress::Done) {
            Progress::New(message) => match self.start(message, cx.waker().clone()) {
                Ok(txid) => {
                    self.progress = Progress::Waiting(txid);
                    Poll::Pending
                }
                Err(error) => Poll::Ready(Err(error.into())),
            },
            Progress::Waiting(txid) => match self.outcome(txid, cx.waker()) {
                None => {
                    self.progress = Progress::Waiting(txid);
                    Poll::Pending
                }
                Some(outcome) => {
                    let answer = outcome?;
                    Poll::Ready(answer.fits(self.room).map(|()| answer))
                }
            },
            // Polled after its end, as a fused future is: there is nothing to come.
            Progress::Done => Poll::Pending,
        }
    }
}

impl FusedFuture for Call<'_> {
    fn is_terminated(&self) -> bool {
        matches!(self.progress, Progress::Done)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Progress::Waiting(txid) = self.progress {
            self.cancel(txid);
        }
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("channel", self.channel).finish_non_exhaustive()
    }
}
