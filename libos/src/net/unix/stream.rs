//! Connected sockets: streams, and messages in order.
//!
//! The one idea: the two ends of a connection share a [`Pair`] of queues, a *lane* for each direction, and what an end does takes the lock of
//! one lane and touches no reference count.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use hal::sync::{BiasedGuard, BiasedMutex};
use parking_lot::MutexGuard;

use super::{
    endpoint::Endpoint,
    queue::{self, Queue, Record},
    rights::{Flight, Rights},
    socket::{Sender, UnixSocket},
};
use crate::{
    errno::{Errno, SysResult},
    net::{Incoming, MessageFlags, Outgoing, Shutdown, SocketKind, core::SENDABLE},
    vfs::PollEvents,
};

/// What one end receives.
struct Lane {
    queue: BiasedMutex<Queue>,
    /// Whether there was anything to read when the lock was last free: a guess.
    filled: AtomicBool,
}

/// What the ends of a connection share.
pub(super) struct Pair {
    ends: [Arc<Endpoint>; 2],
    lanes: [Lane; 2],
}

impl Pair {
    /// A connection of two sockets.
    pub(super) fn new(one: &Arc<Endpoint>, other: &Arc<Endpoint>) -> Arc<Self> {
        let lane = || Lane {
            queue: BiasedMutex::new(Queue::new(&one.space().memory)),
            filled: AtomicBool::new(false),
        };
        let pair = Arc::new(Self { ends: [one.clone(), other.clone()], lanes: [lane(), lane()] });
        one.set_pair(&pair);
        other.set_pair(&pair);
        pair
    }

    fn side_of(&self, end: &Endpoint) -> usize {
        usize::from(!std::ptr::eq(&*self.ends[0], end))
    }

    /// The end that is not `end`.
    pub(super) fn other(&self, end: &Endpoint) -> &Endpoint {
        &self.ends[self.side_of(end) ^ 1]
    }

    /// How many bytes `end` has received, and what it is charged for those that the other one has not read.
    pub(super) fn queues_of(&self, end: &Endpoint) -> (usize, usize) {
        let side = self.side_of(end);
        let received = self.lanes[side].queue.lock().bytes();
        (received, self.lanes[side ^ 1].queue.lock().charged())
    }
}

/// A connection as one of its ends has it.
pub(super) struct Connection {
    pair: Arc<Pair>,
    /// Which end: the lane of that number is what it receives.
    side: usize,
}

impl Connection {
    /// The end number `side` (0 or 1) of `pair`.
    pub(super) fn new(pair: &Arc<Pair>, side: usize) -> Self {
        Self { pair: pair.clone(), side: side & 1 }
    }

    /// The other end.
    pub(super) fn peer(&self) -> &Arc<Endpoint> {
        &self.pair.ends[self.side ^ 1]
    }

    fn lane_in(&self) -> &Lane {
        &self.pair.lanes[self.side]
    }

    fn lane_out(&self) -> &Lane {
        &self.pair.lanes[self.side ^ 1]
    }

    /// What it has received.
    pub(super) fn inbound(&self) -> BiasedGuard<'_, Queue> {
        self.lane_in().queue.lock()
    }

    /// What it has sent and the peer has not read.
    pub(super) fn outbound(&self) -> BiasedGuard<'_, Queue> {
        self.lane_out().queue.lock()
    }

    /// Whether there is most likely nothing to read.
    pub(super) fn seems_empty(&self) -> bool {
        !self.lane_in().filled.load(Ordering::Relaxed)
    }

    /// Whether what is sent says who sent it.
    pub(super) fn passes_credentials(&self, end: &Endpoint) -> bool {
        end.options.passes_credentials() || self.peer().options.passes_credentials()
    }

    /// shutdown(2), of both ends.
    pub(super) fn shut_down(&self, end: &Endpoint, how: Shutdown) {
        let lanes = (self.pair.lanes[0].queue.lock(), self.pair.lanes[1].queue.lock());
        end.set_shut(how);
        self.peer().set_shut(how.of_peer());
        drop(lanes);
        end.notify(PollEvents::all());
        self.peer().notify(PollEvents::all());
    }

    /// Its socket is closed: the peer gets what was sent, and learns that what it sent was not all read.
    pub(super) fn close(&self, unaccepted: bool) {
        let lost = {
            let mut lanes = (self.pair.lanes[0].queue.lock(), self.pair.lanes[1].queue.lock());
            let inbound = if self.side == 0 { &mut lanes.0 } else { &mut lanes.1 };
            self.peer().set_shut(Shutdown::all());
            if unaccepted || !inbound.is_empty() {
                self.peer().set_error(Errno::ECONNRESET);
            }
            inbound.clear()
        };
        self.peer().notify(PollEvents::all());
        // Without a lock: files may be in it, and one of them the peer.
        drop(lost);
    }
}

/// The lock of a queue, after that of what is on the way if the queue has files in it.
pub(super) fn with_rights<'a>(
    end: &'a Endpoint,
    lock: impl Fn() -> BiasedGuard<'a, Queue>,
) -> (Option<MutexGuard<'a, Flight>>, BiasedGuard<'a, Queue>) {
    let queue = lock();
    if !queue.has_rights() {
        return (None, queue);
    }
    drop(queue);
    let flight = end.space().flight();
    (Some(flight), lock())
}

impl UnixSocket {
    /// Receives what the peer has sent.
    pub(super) fn receive_connected(&self, into: &mut Incoming<'_, '_>) -> SysResult {
        let stream = self.end.kind() == SocketKind::Stream;
        let Some(connection) = self.connection() else {
            return Err(if stream { Errno::EINVAL } else { Errno::ENOTCONN });
        };
        if into.flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let end = &*self.end;
        // A message does not hide an error, a stream's bytes do.
        if !stream && let Some(error) = end.take_error() {
            return Err(error);
        }
        let peek = into.flags.contains(MessageFlags::PEEK);
        let (mut flight, mut lane) = with_rights(end, || connection.inbound());
        if lane.is_empty() {
            return match end.take_error() {
                Some(error) => Err(error),
                None if end.shut().contains(Shutdown::RECEIVE) => Ok(0),
                None => Err(Errno::EAGAIN),
            };
        }
        let offset = usize::try_from(end.options.peek_offset()).unwrap_or(0);
        let (done, moved) = if stream {
            let strict = end.options.passes_credentials();
            let done = lane.read_stream(into, strict, offset, flight.as_deref_mut())?;
            if peek && done == 0 && into.data.remaining() > 0 {
                // Everything that there is was peeked at before.
                return match end.shut().contains(Shutdown::RECEIVE) {
                    true => Ok(0),
                    false => Err(Errno::EAGAIN),
                };
            }
            (Ok(done), done)
        } else {
            let (done, record) = lane.read_message(into, offset, flight.as_deref_mut())?;
            // Whatever of it was read, all of it is gone.
            (done, record.map_or(done.unwrap_or(0), |(_, whole)| whole))
        };
        if into.wants_address {
            into.address = connection.peer().name().map(|name| super::name::address(Some(name)));
        }
        end.options.move_peek_offset(peek, moved);
        if peek {
            return done;
        }
        connection.lane_in().filled.store(!lane.is_empty(), Ordering::Relaxed);
        let charged = lane.charged();
        drop((lane, flight));
        if connection.peer().has_room(charged) {
            connection.peer().notify(SENDABLE);
        }
        done
    }

    /// Sends to the peer: a message, or as many bytes of a stream as fit.
    pub(super) fn send_connected(
        &self,
        sender: &Sender<'_>,
        message: &mut Outgoing<'_, '_>,
    ) -> SysResult {
        let end = &*self.end;
        let stream = end.kind() == SocketKind::Stream;
        if (!stream || message.waited)
            && let Some(error) = end.take_error()
        {
            return Err(error);
        }
        let Some(connection) = self.connection() else {
            let named = stream && message.to.is_some();
            return Err(if named { Errno::EOPNOTSUPP } else { Errno::ENOTCONN });
        };
        if message.flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        if stream && message.to.is_some() {
            return Err(Errno::EISCONN);
        }
        let limit = end.options.send_buffer();
        let len = message.data.remaining();
        if !stream && len > limit - 32 {
            return Err(Errno::EMSGSIZE);
        }
        let credentials = match message.control.credentials {
            Some(given) => given,
            None => sender.seen_if(connection.passes_credentials(end), end),
        };
        let mut flight = match message.control.files.is_empty() {
            true => None,
            false => Some(end.space().flight()),
        };
        if let Some(flight) = &flight {
            flight.check(sender.user(end), sender.in_flight_limit())?;
        }
        let mut lane = connection.outbound();
        if end.shut().contains(Shutdown::SEND) {
            return Err(Errno::EPIPE);
        }
        let mut done = 0;
        while done < len || (!stream && done == 0) {
            if lane.charged() >= limit {
                if done == 0 {
                    message.waited = true;
                    return Err(Errno::EAGAIN);
                }
                break;
            }
            let chunk = if stream { (len - done).min(queue::portion(limit)) } else { len };
            if let Err(error) = lane.fill(message.data, chunk) {
                if done == 0 {
                    return Err(error);
                }
                break;
            }
            // They go with the first byte.
            let rights = flight.as_mut().filter(|_| done == 0).map(|flight| {
                let files = std::mem::take(&mut message.control.files);
                Rights::send(flight, end.space(), sender.user(end), files)
            });
            lane.commit(Record {
                len: chunk,
                charge: queue::charge(end.kind(), chunk),
                credentials,
                rights,
                sender: None,
            });
            done += chunk;
            if !stream {
                break;
            }
        }
        connection.lane_out().filled.store(true, Ordering::Relaxed);
        drop((lane, flight));
        if done > 0 || !stream {
            connection.peer().notify(PollEvents::READABLE);
        }
        Ok(done)
    }
}
