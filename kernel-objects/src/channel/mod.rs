//! Channels: messages of bytes and handles between two ends.
//!
//! A [`Channel`] is one of two ends. A message that is written to one end is read from the other, whole and in order, and
//! the handles in it move with it: who has written a handle has it no longer. A channel is thus how processes get at objects,
//! and how they talk about them. Messages are not bounded in number; each is in bytes and in handles. When an end closes, what
//! was written to it is dropped; what it has written itself can still be read.
//!
//! A [call](Channel::call) writes a message and waits for the one that answers it. The first four bytes of a message are its
//! transaction id: the kernel chooses one for a call, and a message to this end that begins with the same is not queued but
//! handed to the call. So many calls can be under way on one channel, and their answers come in any order. A call that is dropped
//! or times out takes its id with it, and an answer that comes later is a message like others.
//!
//! # Cycles
//!
//! A channel may be in a message to itself: its peer is written into it. When the other end closes, nobody can read that message
//! ever, so it is dropped if every handle to the channel is in it. A cycle of several channels, each of which has the next one in
//! a message, is not found: such channels exist as long as the kernel does, as in Zircon. What a long chain of
//! channels in messages costs when it goes is time only, no stack.

mod call;
mod message;
mod transfer;

use std::{collections::VecDeque, fmt, mem, sync::Arc, task::Waker};

pub use call::Call;
pub use message::{MAX_BYTES, MAX_HANDLES, Message, ReadError, Room};
pub use transfer::{HandleDisposition, HandleOp, Received};

use crate::{
    deadline::{Deadline, until},
    error::{Error, Result},
    object::{KObjectBase, KernelObject, Koid, ObjectType},
    peer::{Half, Pair},
    signals::{Calls, Signals},
};

use call::Waiting;

bitflags::bitflags! {
    /// How [`Channel::read`] reads.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct ReadOptions: u32 {
        /// A message that does not fit is dropped: `ZX_CHANNEL_READ_MAY_DISCARD`.
        const MAY_DISCARD = 1 << 0;
    }
}

/// An end of a channel (`zx_channel_create`).
///
/// ```
/// use futures::executor::block_on;
/// use kernel_objects::{Channel, Event, Handle, KernelObject, Message, Signals};
/// use kernel_objects::channel::{ReadOptions, Room};
///
/// let (client, server) = Channel::create();
/// let answers = std::thread::spawn(move || {
///     block_on(server.wait_one(Signals::READABLE)).unwrap();
///     let request = server.read(Room::ANY, ReadOptions::empty()).unwrap();
///     assert_eq!(&request.bytes[4..], b"an event, please");
///     // The answer begins with the transaction id of the request, and takes a handle with it.
///     let event = Handle::new(Event::create());
///     server.write(Message::new(&request.bytes[..4], vec![event])).unwrap();
/// });
/// let answer = block_on(client.call(Message::new(b"____an event, please", vec![]), Room::ANY));
/// assert_eq!(answer.unwrap().handles.len(), 1);
/// answers.join().unwrap();
/// ```
pub struct Channel {
    base: KObjectBase,
    half: Half<Channel, End>,
}

/// What belongs to one end.
#[derive(Default)]
struct End {
    /// What was written to it and not read yet.
    messages: VecDeque<Message>,
    /// The calls that were made through it.
    calls: Waiting,
    /// It is closed itself: nobody reads from it any more.
    gone: bool,
}

impl End {
    /// Queues a message to this end. True if it is the only one now.
    #[inline]
    fn queue(&mut self, message: Message) -> bool {
        self.messages.push_back(message);
        self.messages.len() == 1
    }
}

impl Channel {
    /// The two ends of a new channel.
    pub fn create() -> (Arc<Channel>, Arc<Channel>) {
        Half::pair(Signals::WRITABLE, |base, half| Channel { base, half })
    }

    /// Writes a message to the other end (`zx_channel_write`). It is consumed, with the handles in it, whatever the result.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for more than [`MAX_BYTES`] or [`MAX_HANDLES`]; [`Error::NotSupported`] if one of the handles is of this very
    /// end; [`Error::PeerClosed`] if an end is closed.
    pub fn write(&self, message: Message) -> Result {
        self.check(&message)?;
        let mut pair = self.half.lock();
        if pair.closed {
            // The message may not go under the lock.
            drop(pair);
            return Err(Error::PeerClosed);
        }
        let calls = self.deliver(&mut pair, message);
        drop(pair);
        calls.run();
        Ok(())
    }

    fn check(&self, message: &Message) -> Result {
        if message.bytes.len() > MAX_BYTES || message.handles.len() > MAX_HANDLES {
            return Err(Error::OutOfRange);
        }
        if message.handles.iter().any(|handle| handle.object().koid() == self.base.koid()) {
            return Err(Error::NotSupported);
        }
        Ok(())
    }

    /// Gives a message to the call of the other end that waits for it, or queues it there.
    #[inline]
    fn deliver(&self, pair: &mut Pair<End>, message: Message) -> Calls {
        let (_, theirs) = self.half.both(pair);
        if theirs.calls.wait_for(&message) {
            Calls::wake(theirs.calls.answer(message))
        } else if theirs.queue(message) {
            self.half.peer_signals().change(Signals::empty(), Signals::READABLE)
        } else {
            Calls::default()
        }
    }

    /// Reads the first message, if it has no more in it than there is room for (`zx_channel_read`).
    ///
    /// # Errors
    ///
    /// [`ReadError::TooSmall`] with the message's sizes if it has more, which leaves it in the channel unless
    /// [`ReadOptions::MAY_DISCARD`] says otherwise. Other errors are [`Error::ShouldWait`] if there is no message, and
    /// [`Error::PeerClosed`] if there will never be one; [`Error::InvalidArgs`] for unknown options.
    pub fn read(&self, room: Room, options: ReadOptions) -> Result<Message, ReadError> {
        if !ReadOptions::all().contains(options) {
            return Err(Error::InvalidArgs.into());
        }
        let mut calls = Calls::default();
        let message = self.take(room, options, &mut calls);
        calls.run();
        message
    }

    /// The first message. (The value moves once, from the queue to the caller: what moves right after it was written waits in the
    /// store buffer.)
    fn take(
        &self,
        room: Room,
        options: ReadOptions,
        calls: &mut Calls,
    ) -> Result<Message, ReadError> {
        let mut pair = self.half.lock();
        let none = if pair.closed { Error::PeerClosed } else { Error::ShouldWait };
        let (mine, _) = self.half.both(&mut pair);
        let fits = mine.messages.front().ok_or(none)?.fits(room);
        if let Err(error) = fits
            && !options.contains(ReadOptions::MAY_DISCARD)
        {
            return Err(error);
        }
        if mine.messages.len() == 1 {
            *calls = self.base.signal_state().change(Signals::READABLE, Signals::empty());
        }
        if let Err(error) = fits {
            let discarded = mine.messages.pop_front();
            drop(pair);
            drop(discarded); // what is in it may be closed by that: not under the lock
            return Err(error);
        }
        match mine.messages.pop_front() {
            Some(message) => Ok(message),
            None => Err(none.into()),
        }
    }

    /// Writes a message and waits for its answer (`zx_channel_call`): the next message that begins with the transaction id
    /// which the kernel puts in place of the first four bytes. The message is written when the future is polled first.
    ///
    /// Results in the answer, or in an error: those of [`write`](Self::write); [`Error::InvalidArgs`] for less than four bytes;
    /// [`Error::PeerClosed`] if the other end closes before it answers; [`Error::Canceled`] if this one does;
    /// [`ReadError::TooSmall`] if there is no room for the answer, which is dropped.
    pub fn call(&self, message: Message, room: Room) -> Call<'_> {
        Call::new(self, message, room)
    }

    /// As [`call`](Self::call), until a deadline.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call), and [`Error::TimedOut`].
    pub async fn call_until(
        &self,
        message: Message,
        room: Room,
        deadline: Deadline,
    ) -> Result<Message, ReadError> {
        until(deadline, async { Ok(self.call(message, room).await) }).await?
    }

    /// How many messages there are to read.
    pub fn len(&self) -> usize {
        self.half.both(&mut self.half.lock()).0.messages.len()
    }

    /// True if there is no message to read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if every handle to this end is in `messages`, which were written to it.
    fn is_only_in(&self, messages: &VecDeque<Message>) -> bool {
        let handles = messages.iter().flat_map(|message| &message.handles);
        let inside = handles.filter(|handle| handle.object().koid() == self.base.koid()).count();
        inside > 0 && inside == self.handle_count() as usize
    }

    /// Nobody uses this end any more.
    fn close(&self) {
        let peer = self.half.peer();
        let mut pair = self.half.lock();
        let first = !mem::replace(&mut pair.closed, true);
        let (mine, theirs) = self.half.both(&mut pair);
        mine.gone = true;
        let unread = mem::take(&mut mine.messages);
        let mut wakers = mine.calls.fail(Error::Canceled);
        let mut unreachable = VecDeque::new();
        let mut calls = Calls::default();
        if first {
            wakers.append(&mut theirs.calls.fail(Error::PeerClosed));
            let mut clear = Signals::WRITABLE;
            if peer.as_ref().is_some_and(|peer| peer.is_only_in(&theirs.messages)) {
                unreachable = mem::take(&mut theirs.messages);
                clear |= Signals::READABLE;
            }
            calls = self.half.peer_signals().change(clear, Signals::PEER_CLOSED);
        }
        drop(pair);
        calls.run();
        wakers.into_iter().for_each(Waker::wake);
        drop((unread, unreachable));
    }
}

impl KernelObject for Channel {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Channel
    }

    fn related_koid(&self) -> Koid {
        self.half.peer_koid()
    }

    fn peer(&self) -> Result<Arc<dyn KernelObject>> {
        self.half.open_peer()
    }

    fn on_zero_handles(&self) {
        self.close();
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("base", &self.base)
            .field("peer", &self.half.peer_koid())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
