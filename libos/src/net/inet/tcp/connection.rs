//! A connection: two queues of bytes, and what closing and resetting does to both ends.
//!
//! The one idea: the ends share a [`Pair`] of lanes, one for each direction. A transfer takes the lock of one lane, copies once and touches no
//! reference count; what concerns both ends takes both locks, so a transfer sees an end either as it was before or as it is afterwards.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use hal::{
    pmem::PhysicalMemory,
    sync::{BiasedGuard, BiasedMutex},
};

use super::{End, State};
use crate::{
    errno::{Errno, SysResult},
    net::{Incoming, MessageFlags, Outgoing, Shutdown, core::SENDABLE},
    vfs::{PollEvents, ring::ByteRing},
};

/// So much is taken at once where there is room for a single byte: an overcharge that saves a wait, as Linux's packets do.
pub(super) const PORTION: usize = 16 << 10;

/// A byte out of band.
#[derive(Clone, Copy)]
struct Urgent {
    /// How many bytes of the stream come before it.
    at: u64,
    byte: u8,
    /// It was received.
    read: bool,
}

/// Bytes on their way to one end.
pub(super) struct Queue {
    bytes: ByteRing,
    /// How many have been taken out.
    taken: u64,
    urgent: Option<Urgent>,
    /// Who sends has found no room and is to be told.
    starved: bool,
}

impl Queue {
    fn new(memory: &Arc<PhysicalMemory>) -> Self {
        Self { bytes: ByteRing::new(memory), taken: 0, urgent: None, starved: false }
    }

    /// How many bytes there are.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn drop_front(&mut self, count: usize) {
        self.bytes.drop_front(count);
        self.taken = self.taken.wrapping_add(count as u64);
    }

    fn clear(&mut self) {
        self.drop_front(self.bytes.len());
        self.urgent = None;
    }

    /// How many bytes come before the urgent one, if it is still in the stream.
    fn until_urgent(&self) -> Option<usize> {
        let ahead = self.urgent?.at.checked_sub(self.taken)?;
        usize::try_from(ahead).ok()
    }

    /// Whether a byte out of band can be received.
    pub(super) fn has_urgent(&self) -> bool {
        self.urgent.is_some_and(|urgent| !urgent.read)
    }

    /// Whether the next byte is the urgent one.
    pub(super) fn is_at_mark(&self) -> bool {
        self.until_urgent() == Some(0)
    }

    /// How many bytes a read could get: those up to the mark.
    pub(super) fn available(&self, inline: bool) -> usize {
        match self.until_urgent() {
            Some(0) if !inline => self.len().saturating_sub(1),
            Some(ahead) if ahead > 0 => self.len().min(ahead),
            _ => self.len(),
        }
    }

    /// Takes bytes out, or looks at them `skip` bytes from the front. A read ends at the mark.
    fn read(&mut self, into: &mut Incoming<'_, '_>, mut skip: usize, inline: bool) -> SysResult {
        let peek = into.flags.contains(MessageFlags::PEEK);
        let mut len = self.len();
        if let Some(ahead) = self.until_urgent() {
            if ahead > 0 {
                len = len.min(ahead);
            } else if !inline && !peek {
                self.drop_front(1);
                len = self.len();
            } else if !inline {
                skip += 1;
            }
        }
        let wanted = into.data.remaining();
        if !peek && into.flags.contains(MessageFlags::TRUNC) {
            let count = len.min(wanted);
            self.drop_front(count);
            into.data.truncate(wanted - count);
            return Ok(count);
        }
        let start = if peek { skip } else { 0 };
        let count = len.saturating_sub(start).min(wanted);
        let mut done = 0;
        while done < count {
            match into.data.write(self.bytes.front(start + done, count - done)) {
                Ok(n) if n > 0 => done += n,
                _ if done > 0 => break,
                Ok(_) => return Err(Errno::EFAULT),
                Err(error) => return Err(error),
            }
        }
        if !peek {
            self.drop_front(done);
        }
        Ok(done)
    }
}

/// What one end receives.
struct Lane {
    queue: BiasedMutex<Queue>,
    /// Whether there was anything to read when the lock was last free: a guess.
    filled: AtomicBool,
}

/// What the ends of a connection share.
pub(super) struct Pair {
    ends: [Arc<End>; 2],
    lanes: [Lane; 2],
}

impl Pair {
    /// A connection of two sockets.
    pub(super) fn new(one: &Arc<End>, other: &Arc<End>) -> Arc<Self> {
        let lane = || Lane {
            queue: BiasedMutex::new(Queue::new(&one.stack().memory)),
            filled: AtomicBool::new(false),
        };
        let pair = Arc::new(Self { ends: [one.clone(), other.clone()], lanes: [lane(), lane()] });
        for end in [one, other] {
            *end.pair.lock() = Arc::downgrade(&pair);
        }
        pair
    }

    /// How many bytes `end` has sent that the other one has no room for, and how many it has received.
    pub(super) fn queues_of(&self, end: &End) -> (usize, usize) {
        let side = usize::from(!std::ptr::eq(&*self.ends[0], end));
        let received = self.lanes[side].queue.lock().len();
        // That the other one has sent all takes the place of a byte.
        let received = received + usize::from(end.state() == State::CloseWait);
        let sent = unsent(&self.lanes[side ^ 1].queue.lock(), &self.ends[side ^ 1]);
        (sent, received)
    }
}

/// A connection as one of its ends has it.
pub(super) struct Connection {
    pair: Arc<Pair>,
    /// Which end: the lane of that number is what it receives.
    side: usize,
}

/// Both queues of a connection.
struct Locked<'a> {
    inbound: BiasedGuard<'a, Queue>,
    outbound: BiasedGuard<'a, Queue>,
}

impl Connection {
    /// The end number `side` (0 or 1) of `pair`.
    pub(super) fn new(pair: &Arc<Pair>, side: usize) -> Self {
        Self { pair: pair.clone(), side: side & 1 }
    }

    /// This end.
    fn end(&self) -> &Arc<End> {
        &self.pair.ends[self.side]
    }

    /// The other end.
    pub(super) fn peer(&self) -> &Arc<End> {
        &self.pair.ends[self.side ^ 1]
    }

    fn lane_in(&self) -> &Lane {
        &self.pair.lanes[self.side]
    }

    fn lane_out(&self) -> &Lane {
        &self.pair.lanes[self.side ^ 1]
    }

    /// The server's end: both exchange data from now on. The client, unless it has gone.
    pub(super) fn establish(&self) -> Option<Arc<End>> {
        let (server, client) = (self.end(), self.peer());
        let _locked = self.lock();
        if client.state() != State::SynSent || client.is_closed() {
            return None;
        }
        server.establish();
        client.establish();
        Some(client.clone())
    }

    /// What it has received.
    pub(super) fn inbound(&self) -> BiasedGuard<'_, Queue> {
        self.lane_in().queue.lock()
    }

    /// Both queues, locked in the order in which both ends do it.
    fn lock(&self) -> Locked<'_> {
        let first = self.pair.lanes[0].queue.lock();
        let second = self.pair.lanes[1].queue.lock();
        let (inbound, outbound) = if self.side == 0 { (first, second) } else { (second, first) };
        Locked { inbound, outbound }
    }

    /// Whether there is most likely nothing to read.
    pub(super) fn seems_empty(&self) -> bool {
        !self.lane_in().filled.load(Ordering::Relaxed)
    }

    /// `SIOCOUTQ`
    pub(super) fn unsent_bytes(&self) -> usize {
        unsent(&self.lane_out().queue.lock(), self.peer())
    }

    /// Whether it can send; if not, it is told when it can.
    pub(super) fn is_writable(&self) -> bool {
        let mut outbound = self.lane_out().queue.lock();
        let writable = has_room(&outbound, self.end(), self.peer());
        outbound.starved |= !writable;
        writable
    }

    /// Receives what the peer has sent.
    pub(super) fn receive(&self, into: &mut Incoming<'_, '_>) -> SysResult {
        let end = self.end();
        let peek = into.flags.contains(MessageFlags::PEEK);
        let inline = end.reads_urgent_inline();
        let mut queue = self.inbound();
        let offset = usize::try_from(end.options.peek_offset()).unwrap_or(0);
        if queue.available(inline) <= if peek { offset } else { 0 } {
            return end.why_not_receive();
        }
        let done = queue.read(into, offset, inline)?;
        end.options.move_peek_offset(peek, done);
        if !peek {
            self.make_room(queue);
        }
        Ok(done)
    }

    /// Has `take` take from the front of what was received, as much as it says.
    pub(super) fn take(&self, take: impl FnOnce(&[u8]) -> SysResult) -> SysResult {
        let mut queue = self.inbound();
        if queue.is_empty() {
            return self.end().why_not_receive();
        }
        let done = take(queue.bytes.front(0, usize::MAX))?;
        queue.drop_front(done);
        self.make_room(queue);
        Ok(done)
    }

    /// Something was taken out of `queue`, the inbound one: a sender who waits for that is told.
    fn make_room(&self, mut queue: BiasedGuard<'_, Queue>) {
        self.lane_in().filled.store(!queue.is_empty(), Ordering::Relaxed);
        if queue.starved && has_room(&queue, self.peer(), self.end()) {
            queue.starved = false;
            drop(queue);
            self.peer().notify(SENDABLE);
        }
    }

    /// Receives the byte that came out of band. `EINVAL` when there is none.
    pub(super) fn receive_urgent(&self, into: &mut Incoming<'_, '_>) -> SysResult {
        let end = self.end();
        let mut queue = self.inbound();
        let Some(urgent) = queue.urgent.filter(|urgent| !urgent.read) else {
            return Err(Errno::EINVAL);
        };
        if end.reads_urgent_inline() {
            return Err(Errno::EINVAL);
        }
        into.result |= MessageFlags::OOB;
        let done = match into.data.remaining() {
            0 => {
                into.result |= MessageFlags::TRUNC;
                0
            }
            _ => into.data.write(&[urgent.byte])?,
        };
        if !into.flags.contains(MessageFlags::PEEK) {
            queue.urgent = Some(Urgent { read: true, ..urgent });
        }
        Ok(done)
    }

    /// Sends as many bytes as fit.
    pub(super) fn send(&self, message: &mut Outgoing<'_, '_>) -> SysResult {
        let (end, peer) = (self.end(), self.peer());
        let len = message.data.remaining();
        let mut queue = self.lane_out().queue.lock();
        if !end.may_send() {
            drop(queue);
            return Err(end.why_not_send());
        }
        if len == 0 {
            return Ok(0);
        }
        let (unsent, limit) = (unsent(&queue, peer), end.options.send_buffer());
        if unsent >= limit {
            queue.starved = true;
            return Err(Errno::EAGAIN);
        }
        // What the peer has room for counts only once it is full.
        let window = (peer.options.receive_buffer() / 2).saturating_sub(queue.len());
        let room = window.saturating_add(limit - unsent).max(PORTION);
        let count = len.min(room);
        queue.bytes.grow(count)?;
        let done = queue.bytes.push(message.data, count)?;
        queue.starved |= done < len;
        let urgent = message.flags.contains(MessageFlags::OOB) && done == len;
        if urgent && let Some(&byte) = queue.bytes.front(queue.len() - 1, 1).first() {
            let at = queue.taken.wrapping_add(queue.len() as u64 - 1);
            queue.urgent = Some(Urgent { at, byte, read: false });
        }
        let deaf = peer.state() == State::FinWait2 && peer.shut().contains(Shutdown::RECEIVE);
        if peer.is_closed() || deaf {
            // Nobody will read it, and nobody knew.
            queue.clear();
            drop(queue);
            self.reset_both();
            return Ok(done);
        }
        self.lane_out().filled.store(true, Ordering::Relaxed);
        drop(queue);
        peer.notify(if urgent {
            PollEvents::READABLE.union(PollEvents::PRI)
        } else {
            PollEvents::READABLE
        });
        peer.admit();
        Ok(done)
    }

    /// What was sent to a socket that is closed comes back as a reset.
    fn reset_both(&self) {
        let ends = [self.end(), self.peer()];
        let locked = self.lock();
        let were = ends.map(|end| reset(end));
        drop(locked);
        for (end, was) in ends.into_iter().zip(were) {
            if was {
                end.retire();
                end.notify_all();
            }
        }
    }

    /// Nobody has answered for too long: the client's end.
    pub(super) fn time_out(&self) {
        let end = self.end();
        let locked = self.lock();
        let waits = end.state() == State::SynSent;
        if waits {
            end.set_error(Errno::ETIMEDOUT);
            end.set_shut(Shutdown::all());
            end.set_state(State::Close);
        }
        drop(locked);
        if waits {
            end.retire();
            end.notify_all();
            self.peer().notify_all();
        }
    }

    /// What this end stands for cannot be reached any more: the other one is reset, with this error unless it has heard the end already.
    pub(super) fn fail_peer(&self, error: Errno) {
        let peer = self.peer();
        let locked = self.lock();
        let heard_all = peer.state() == State::CloseWait;
        let was = reset(peer);
        if was && !heard_all {
            peer.set_error(error);
        }
        drop(locked);
        if was {
            peer.retire();
            peer.notify_all();
        }
    }

    /// shutdown(2) of a connection.
    pub(super) fn shut_down(&self, how: Shutdown) {
        let (end, peer) = (self.end(), self.peer());
        let locked = self.lock();
        let sends = !end.shut().contains(Shutdown::SEND);
        end.set_shut(how);
        let over = how.contains(Shutdown::SEND) && sends && finish(end, peer);
        drop(locked);
        end.notify_all();
        if how.contains(Shutdown::SEND) {
            peer.notify_all();
            peer.admit();
        }
        if over {
            self.end_both();
        }
    }

    /// Both ends have sent everything: what is left is the port of the one that was first.
    fn end_both(&self) {
        let (end, peer) = (self.end(), self.peer());
        if !peer.is_closed() {
            peer.rest();
            peer.retire();
        }
        end.retire();
    }

    /// Its socket is closed, in an ordinary way or by a reset: the peer gets what was sent.
    pub(super) fn close(&self, aborted: bool) {
        let (end, peer) = (self.end(), self.peer());
        let mut locked = self.lock();
        let state = end.state();
        end.closed.store(true, Ordering::Release);
        let connected = matches!(state, State::Established | State::CloseWait | State::FinWait2);
        let (mut over, mut rests) = (false, false);
        if connected && (aborted || !locked.inbound.is_empty()) {
            over = reset(peer);
            locked.inbound.clear();
        } else if connected {
            rests = state != State::CloseWait;
            if state != State::FinWait2 {
                over = finish(end, peer);
            }
        } else if peer.state() == State::SynSent {
            // It was never accepted.
            over = reset(peer);
        }
        end.set_state(State::Close);
        drop(locked);
        if rests {
            end.rest();
        }
        if over {
            if connected && state == State::CloseWait && !peer.is_closed() {
                peer.rest();
            }
            peer.retire();
        }
        peer.notify_all();
        peer.admit();
    }

    /// connect(2) with no address: the peer is reset.
    pub(super) fn disconnect(&self) {
        let (end, peer) = (self.end(), self.peer());
        let mut locked = self.lock();
        let state = end.state();
        let connected = matches!(state, State::Established | State::CloseWait | State::FinWait2);
        let over = connected && reset(peer);
        locked.inbound.clear();
        locked.outbound.clear();
        end.renew();
        if connected || state == State::SynSent {
            end.set_error(Errno::ECONNRESET);
        }
        drop(locked);
        if over {
            peer.retire();
        }
        peer.notify_all();
        end.notify_all();
    }
}

/// What the receiver has not read, as far as it is more than it has room for: that still lies with the sender.
fn unsent(queue: &Queue, receiver: &End) -> usize {
    queue.len().saturating_sub(receiver.options.receive_buffer() / 2)
}

/// Whether a sender may be told that it can send: there is plenty of room then.
fn has_room(queue: &Queue, sender: &End, receiver: &End) -> bool {
    let unsent = unsent(queue, receiver);
    unsent.saturating_add(unsent / 2) <= sender.options.send_buffer()
}

/// `end` has sent everything. Whether the connection is over with that: then `peer` was the first.
fn finish(end: &End, peer: &End) -> bool {
    peer.set_shut(Shutdown::RECEIVE);
    peer.finished.store(true, Ordering::Release);
    if end.state() == State::CloseWait {
        end.set_shut(Shutdown::all());
        end.set_state(State::Close);
    } else {
        end.set_state(State::FinWait2);
    }
    match peer.state() {
        State::Established => peer.set_state(State::CloseWait),
        State::FinWait2 => {
            peer.set_shut(Shutdown::all());
            peer.set_state(State::Close);
            return true;
        }
        _ => {}
    }
    false
}

/// `end` is reset. Whether there was anything to be reset.
fn reset(end: &End) -> bool {
    let error = match end.state() {
        State::Close | State::Listen => return false,
        State::SynSent => Errno::ECONNREFUSED,
        State::CloseWait => Errno::EPIPE,
        State::Established | State::FinWait2 => Errno::ECONNRESET,
    };
    if !end.elsewhere.load(Ordering::Relaxed) {
        end.stack().counters.resets.count();
    }
    end.set_error(error);
    end.set_shut(Shutdown::all());
    end.set_state(State::Close);
    true
}
