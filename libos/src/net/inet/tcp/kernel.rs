//! What the kernel's own clients and gateways do with a socket: those of a published port ([`publish`](crate::net::publish)), and those
//! at the far end of a guest's connection to another machine ([`ethernet`](crate::net::ethernet)).
//!
//! The one idea: they have the socket in hand, not a descriptor; nobody asks them for rights, and they take bytes where they lie.

use std::sync::{Arc, atomic::Ordering};

use super::{
    End, State, TcpSocket,
    connection::{Connection, Pair},
};
use crate::{
    errno::{Errno, SysResult},
    net::{
        Ucred,
        inet::{
            Stack,
            address::{Family, Name},
        },
    },
};

/// Somebody who accepts connections.
pub(in crate::net) struct Listener(Arc<End>);

impl Stack {
    /// Who accepts connections from `from` to `to`.
    pub(in crate::net) fn listener(&self, to: Name, from: Name) -> Option<Listener> {
        self.tcp.lock().find(to, from, |end| end.state() == State::Listen).map(Listener)
    }
}

impl Listener {
    /// Whether one more may wait to be accepted.
    pub(in crate::net) fn has_room(&self) -> bool {
        self.0.fill().is_some_and(|(pending, limit)| pending <= limit)
    }

    /// The client's end of a connection from another machine's `client` to `to`. `ECONNREFUSED` when nobody listens any more, `ENOMEM`.
    pub(in crate::net) fn open(&self, client: Name, to: Name) -> SysResult<Arc<TcpSocket>> {
        let socket = TcpSocket::elsewhere(self.0.stack(), client, to)?;
        socket.meet(&self.0)?;
        Ok(socket)
    }
}

impl TcpSocket {
    /// The end of a connection that another machine has: nobody meets its name here.
    fn elsewhere(stack: &Arc<Stack>, local: Name, peer: Name) -> SysResult<Arc<Self>> {
        let family = if local.ip.is_ipv4() { Family::V4 } else { Family::V6 };
        let socket = Self::new(stack, family, Ucred::KERNEL)?;
        socket.end.elsewhere.store(true, Ordering::Relaxed);
        let mut names = socket.end.names.lock();
        (names.local, names.peer) = (local, Some(peer));
        drop(names);
        Ok(socket)
    }

    /// Leaves the other end of this one's connection with the gateway to another machine, which answers for it.
    pub(super) fn meet_elsewhere(&self, local: Name, peer: Name) -> SysResult<()> {
        let stack = self.end.stack();
        let ethernet = stack.ethernet().ok_or(Errno::ENETUNREACH)?;
        let far = Self::elsewhere(stack, peer, local)?;
        let pair = Pair::new(&self.end, &far.end);
        self.set_connection(Connection::new(&pair, 0));
        far.set_connection(Connection::new(&pair, 1));
        self.end.set_state(State::SynSent);
        ethernet.connect(far, local, peer)?;
        self.end.be_patient();
        Ok(())
    }

    /// connect(2), which does not wait.
    pub(in crate::net) fn connect_by_kernel(&self, address: &[u8]) -> SysResult<()> {
        self.begin_to_connect(address, false)
    }

    /// The other machine has answered: both ends exchange data from now on. False if the guest has gone.
    pub(in crate::net) fn establish_by_kernel(&self) -> bool {
        let client = self.connection().and_then(|connection| connection.establish());
        client.inspect(|client| client.notify_all()).is_some()
    }

    /// The other machine cannot be reached: the guest's end is told why.
    pub(in crate::net) fn fail_by_kernel(&self, error: Errno) {
        if let Some(connection) = self.connection() {
            connection.fail_peer(error);
        }
    }

    /// Whether it waits for a place among those to be accepted.
    pub(in crate::net) fn waits(&self) -> bool {
        self.end.state() == State::SynSent
    }

    /// Whether the guest's end waits for an answer.
    pub(in crate::net) fn is_awaited(&self) -> bool {
        self.connection().is_some_and(|connection| {
            connection.peer().state() == State::SynSent && !connection.peer().is_closed()
        })
    }

    /// Whether the guest has closed its end.
    pub(in crate::net) fn peer_has_closed(&self) -> bool {
        self.connection().is_none_or(|connection| connection.peer().is_closed())
    }

    /// Has `take` take from the front of what was received, as much as it says; 0 at the end of the stream, too. `EAGAIN` when there is nothing. The
    /// sender waits meanwhile, so `take` must not.
    pub(in crate::net) fn take_received(&self, take: impl FnOnce(&[u8]) -> SysResult) -> SysResult {
        match self.connection() {
            Some(connection) => connection.take(take),
            None => self.end.why_not_receive(),
        }
    }

    /// Whether there is plenty of room to send; if not, its queue is notified when there is.
    pub(in crate::net) fn has_room(&self) -> bool {
        self.connection().is_none_or(|connection| connection.is_writable())
    }
}
