//! Datagrams: messages from anybody to anybody.
//!
//! The one idea: a datagram lies with its receiver and is charged to its sender until it is read, and where too many lie already a sender that is not the
//! receiver's peer has to wait. A socket that is connected receives from its peer only.

use std::sync::Arc;

use hal::pmem::PhysicalMemory;
use linux_raw_sys::net::AF_UNSPEC;

use super::{
    DATAGRAMS_MAX,
    endpoint::Endpoint,
    listen::find,
    name,
    queue::{self, Queue, Record},
    rights::Rights,
    socket::{Sender, UnixSocket},
};
use crate::{
    errno::{Errno, SysResult},
    net::{Caller, Incoming, MessageFlags, Outgoing, Shutdown},
    vfs::PollEvents,
};

/// What a socket has received, and whom it is connected to.
pub(super) struct Inbox {
    pub(super) messages: Queue,
    /// Cleared when either is closed, so that two that are connected to each other do not keep each other.
    pub(super) peer: Option<Arc<Endpoint>>,
}

impl Inbox {
    /// An empty one.
    pub(super) fn new(memory: &Arc<PhysicalMemory>) -> Self {
        Self { messages: Queue::new(memory), peer: None }
    }

    /// Whether `sender` has to wait, unless it is the peer.
    fn is_full_for(&self, sender: &Arc<Endpoint>) -> bool {
        self.messages.len() > DATAGRAMS_MAX && !self.is_peer(sender)
    }

    fn is_peer(&self, other: &Arc<Endpoint>) -> bool {
        self.peer.as_ref().is_some_and(|peer| Arc::ptr_eq(peer, other))
    }

    /// Whether it receives from `sender`.
    fn accepts(&self, sender: &Arc<Endpoint>) -> bool {
        self.peer.is_none() || self.is_peer(sender)
    }
}

/// Messages that nobody will read are no more charged to their senders. Drops them; no lock may be held.
pub(super) fn lose(messages: impl IntoIterator<Item = Record>) {
    for record in messages {
        if let Some(sender) = &record.sender {
            sender.release_sent(record.charge);
        }
    }
}

/// connect(2): makes what `address` names the peer, or none for `AF_UNSPEC`.
pub(super) fn connect(end: &Arc<Endpoint>, caller: &dyn Caller, address: &[u8]) -> SysResult<()> {
    let peer = match name::family(address) {
        None => return Err(Errno::EINVAL),
        Some(family) if u32::from(family) == AF_UNSPEC => None,
        Some(_) => {
            let to = name::parse(address)?;
            if end.options.passes_credentials() {
                end.space().autobind(end)?;
            }
            let peer = find(caller, end, to)?;
            if !peer.inbox.lock().accepts(end) {
                return Err(Errno::EPERM);
            }
            Some(peer)
        }
    };
    set_peer(end, peer);
    Ok(())
}

/// Changes the peer. What came from others is lost then, and a peer that was connected to this one learns that it is left.
fn set_peer(end: &Arc<Endpoint>, peer: Option<Arc<Endpoint>>) {
    let (old, lost) = {
        let mut inbox = end.inbox.lock();
        let same = match (&inbox.peer, &peer) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            _ => false,
        };
        let old = std::mem::replace(&mut inbox.peer, peer).filter(|_| !same);
        let lost = old.is_some().then(|| inbox.messages.clear());
        (old, lost)
    };
    if let Some(old) = old {
        lose(lost.into_iter().flatten());
        end.room_came();
        let was_mutual = !old.is_closed() && old.inbox.lock().is_peer(end);
        if was_mutual {
            old.set_error(Errno::ECONNRESET);
            old.notify(PollEvents::ERR);
        }
    }
    end.notify(PollEvents::all());
}

/// Whether a datagram to the peer would not have to wait there. If it would, `end` is notified when that changes.
pub(super) fn peer_has_room(end: &Arc<Endpoint>) -> bool {
    let Some(peer) = end.inbox.lock().peer.clone() else { return true };
    if Arc::ptr_eq(&peer, end) {
        return true;
    }
    let inbox = peer.inbox.lock();
    if inbox.is_full_for(end) {
        peer.wait_for_room(end);
        return false;
    }
    true
}

impl UnixSocket {
    /// Receives a datagram.
    pub(super) fn receive_datagram(&self, into: &mut Incoming<'_, '_>) -> SysResult {
        if into.flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let end = &*self.end;
        if let Some(error) = end.take_error() {
            return Err(error);
        }
        let offset = usize::try_from(end.options.peek_offset()).unwrap_or(0);
        let (len, record) = {
            let mut inbox = end.inbox.lock();
            let mut flight = None;
            if inbox.messages.has_rights() {
                drop(inbox);
                flight = Some(end.space().flight());
                inbox = end.inbox.lock();
            }
            if inbox.messages.is_empty() {
                let ended = end.shut().contains(Shutdown::RECEIVE) && !into.nonblocking;
                return if ended { Ok(0) } else { Err(Errno::EAGAIN) };
            }
            inbox.messages.read_message(into, offset, flight.as_deref_mut())?
        };
        match record {
            // Whatever of it was read, all of it is gone.
            Some((record, whole)) => {
                end.options.move_peek_offset(false, whole);
                lose([record]);
                end.room_came();
            }
            None => end.options.move_peek_offset(true, len.unwrap_or(0)),
        }
        len
    }

    /// Sends a datagram.
    pub(super) fn send_datagram(
        &self,
        sender: &Sender<'_>,
        message: &mut Outgoing<'_, '_>,
    ) -> SysResult {
        if message.flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let end = &self.end;
        let to = message.to.map(name::parse).transpose()?;
        if end.options.passes_credentials() {
            end.space().autobind(end)?;
        }
        let len = message.data.remaining();
        let limit = end.options.send_buffer();
        if len > limit - 32 {
            return Err(Errno::EMSGSIZE);
        }
        if let Some(error) = end.take_error() {
            return Err(error);
        }
        if end.shut().contains(Shutdown::SEND) {
            return Err(Errno::EPIPE);
        }
        if end.sent() >= limit {
            return Err(Errno::EAGAIN);
        }
        let target = match (to, sender) {
            (Some(name), Sender::Caller(caller)) => find(*caller, end, name)?,
            _ => end.inbox.lock().peer.clone().ok_or(Errno::ENOTCONN)?,
        };
        let credentials = match message.control.credentials {
            Some(given) => given,
            None => {
                let passed =
                    end.options.passes_credentials() || target.options.passes_credentials();
                sender.seen_if(passed, end)
            }
        };
        let mut flight = match message.control.files.is_empty() {
            true => None,
            false => Some(end.space().flight()),
        };
        if let Some(flight) = &flight {
            flight.check(sender.user(end), sender.in_flight_limit())?;
        }
        let charge = queue::charge(end.kind(), len);
        {
            let mut inbox = target.inbox.lock();
            if !inbox.accepts(end) {
                return Err(Errno::EPERM);
            }
            if target.is_closed() {
                drop(inbox);
                drop(flight);
                if to.is_none() {
                    forget_peer(end, &target);
                }
                return Err(Errno::ECONNREFUSED);
            }
            if target.shut().contains(Shutdown::RECEIVE) {
                return Err(Errno::EPIPE);
            }
            if !Arc::ptr_eq(&target, end) && inbox.is_full_for(end) {
                target.wait_for_room(end);
                return Err(Errno::EAGAIN);
            }
            inbox.messages.fill(message.data, len)?;
            let rights = flight.as_mut().map(|flight| {
                let files = std::mem::take(&mut message.control.files);
                Rights::send(flight, end.space(), sender.user(end), files)
            });
            end.add_sent(charge);
            let sender = Some(end.clone());
            inbox.messages.commit(Record { len, charge, credentials, rights, sender });
        }
        drop(flight);
        target.notify(PollEvents::READABLE);
        Ok(len)
    }
}

/// The peer is closed: `end` has none any more, and what it received is lost.
fn forget_peer(end: &Arc<Endpoint>, peer: &Arc<Endpoint>) {
    if end.inbox.lock().is_peer(peer) {
        set_peer(end, None);
    }
}
