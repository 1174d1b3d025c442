//! Connections that wait to be accepted.
//!
//! The one idea: connect(2) makes both ends at once and is done; the second one lies here until accept(2) gives it a descriptor. So a connection can be written
//! to before it is accepted, and one that is never accepted is closed like any other socket.

use std::{collections::VecDeque, sync::Arc};

use super::{
    datagram,
    endpoint::Endpoint,
    name::{self, Alleged},
    socket::UnixSocket,
    stream::{Connection, Pair},
};
use crate::{
    errno::{Errno, SysResult},
    net::{Caller, Shutdown, Ucred},
    vfs::{PollEvents, ops},
};

/// The connections of a socket that listens.
pub(super) struct Backlog {
    /// So many and one more may wait.
    limit: usize,
    pending: VecDeque<Arc<UnixSocket>>,
    /// Who called listen(2): that is whom clients see.
    credentials: Ucred,
}

impl Backlog {
    /// Those that wait.
    pub(super) fn pending(&self) -> &VecDeque<Arc<UnixSocket>> {
        &self.pending
    }

    /// How many may wait, and one more.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Those that wait, as it accepts no more.
    pub(super) fn into_pending(self) -> Vec<Arc<UnixSocket>> {
        self.pending.into()
    }
}

impl UnixSocket {
    /// listen(2)
    pub(super) fn begin_to_listen(&self, caller: &dyn Caller, backlog: usize) -> SysResult<()> {
        if !self.end.kind().is_connected() {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.end.name().is_none() || self.connection().is_some() {
            return Err(Errno::EINVAL);
        }
        let credentials = caller.effective();
        {
            let mut listening = self.end.listening.lock();
            match &mut *listening {
                Some(old) => {
                    old.limit = backlog;
                    old.credentials = credentials;
                }
                None => {
                    let pending = VecDeque::new();
                    *listening = Some(Backlog { limit: backlog, pending, credentials });
                }
            }
        }
        self.end.room_came();
        Ok(())
    }

    /// accept(2)
    pub(super) fn next_connection(&self) -> SysResult<Arc<UnixSocket>> {
        if !self.end.kind().is_connected() {
            return Err(Errno::EOPNOTSUPP);
        }
        let next = {
            let mut listening = self.end.listening.lock();
            let backlog = listening.as_mut().ok_or(Errno::EINVAL)?;
            match backlog.pending.pop_front() {
                Some(next) => next,
                None if self.end.shut().contains(Shutdown::RECEIVE) => return Err(Errno::EINVAL),
                None => return Err(Errno::EAGAIN),
            }
        };
        next.end.accepted();
        self.end.room_came();
        Ok(next)
    }

    /// connect(2) to a socket that listens.
    pub(super) fn connect_to_listener(&self, caller: &dyn Caller, address: &[u8]) -> SysResult<()> {
        let to = name::parse(address)?;
        if self.end.options.passes_credentials() {
            self.end.space().autobind(&self.end)?;
        }
        let server = UnixSocket::new(self.end.space(), self.end.kind(), caller.real())?;
        let listener = find(caller, &self.end, to)?;
        let listens = self.end.is_listening();
        {
            let mut listening = listener.listening.lock();
            let backlog = listening.as_mut().ok_or(Errno::ECONNREFUSED)?;
            if listener.is_closed() || listener.shut().contains(Shutdown::RECEIVE) {
                return Err(Errno::ECONNREFUSED);
            }
            if backlog.pending.len() > backlog.limit {
                listener.wait_for_room(&self.end);
                return Err(Errno::EAGAIN);
            }
            if self.connection().is_some() {
                return Err(Errno::EISCONN);
            }
            if listens {
                return Err(Errno::EINVAL);
            }
            server.end.share_name(&listener);
            *server.end.peer_credentials.lock() = caller.effective();
            let pair = Pair::new(&self.end, &server.end);
            if !self.set_connection(Connection::new(&pair, 0)) {
                return Err(Errno::EISCONN);
            }
            *self.end.peer_credentials.lock() = backlog.credentials;
            server.set_connection(Connection::new(&pair, 1));
            server.end.wait_to_be_accepted();
            backlog.pending.push_back(server);
        }
        listener.notify(PollEvents::READABLE);
        Ok(())
    }
}

/// The socket that `name` leads to from `end`, one of the same kind. `ECONNREFUSED` when there is none, `EPROTOTYPE` for one of another kind.
pub(super) fn find(
    caller: &dyn Caller,
    end: &Arc<Endpoint>,
    name: Alleged<'_>,
) -> SysResult<Arc<Endpoint>> {
    match name {
        Alleged::Abstract(name) => {
            end.space().find_abstract(end.kind(), name).ok_or(Errno::ECONNREFUSED)
        }
        Alleged::Path(path) => {
            let place = ops::find_socket(&caller.fs().read(), path)?;
            let found = place.inode().socket().and_then(super::Binding::get);
            let found = found.ok_or(Errno::ECONNREFUSED)?;
            if found.kind() == end.kind() { Ok(found) } else { Err(Errno::EPROTOTYPE) }
        }
    }
}

/// connect(2), for sockets of any kind.
pub(super) fn connect(socket: &UnixSocket, caller: &dyn Caller, address: &[u8]) -> SysResult<()> {
    if socket.end.kind().is_connected() {
        socket.connect_to_listener(caller, address)
    } else {
        datagram::connect(&socket.end, caller, address)
    }
}
