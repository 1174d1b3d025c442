//! A Unix socket as an open file.
//!
//! The one idea: this is what descriptors share; when it is dropped the socket is closed. It owns what peers must not keep alive: the connection, from which the
//! queues hang.

use std::sync::{Arc, OnceLock};

use kernel_objects::WaitQueue;
use linux_raw_sys::{ioctl, net::AF_UNIX};

use super::{
    Namespace, datagram,
    endpoint::Endpoint,
    listen,
    name::{self, Alleged, Name},
    queue::{self, Queue},
    rights::Rights,
    stream::{Connection, Pair},
};
use crate::{
    errno::{Errno, SysResult},
    net::{
        Address, Caller, Core, Incoming, Outgoing, Shutdown, Socket, SocketKind, Ucred,
        core::SENDABLE,
    },
    vfs::{Attributes, File, GuestMemory, IoDst, IoSrc, Metadata, PollEvents, ops},
};

/// How many bytes a socket's buffers hold that are not yet sent; linux-raw-sys knows the number by the terminals' name.
const SIOCOUTQ: u32 = ioctl::TIOCOUTQ;

/// Who sends.
pub(super) enum Sender<'a> {
    /// Who makes the call.
    Caller(&'a dyn Caller),
    /// Somebody who is not known here: the socket's owner stands for them.
    Owner,
}

impl Sender<'_> {
    /// What a message shows of the sender, if anything.
    pub(super) fn seen_if(&self, shown: bool, end: &Endpoint) -> Ucred {
        match self {
            _ if !shown => Ucred::UNKNOWN,
            Self::Caller(caller) => caller.real(),
            Self::Owner => end.owner(),
        }
    }

    /// Whose files those in the message are.
    pub(super) fn user(&self, end: &Endpoint) -> u32 {
        self.seen_if(true, end).uid
    }

    pub(super) fn in_flight_limit(&self) -> u64 {
        match self {
            Self::Caller(caller) => caller.in_flight_limit(),
            Self::Owner => u64::MAX,
        }
    }
}

/// A Unix socket.
pub struct UnixSocket {
    pub(super) end: Arc<Endpoint>,
    connection: OnceLock<Connection>,
}

impl UnixSocket {
    /// One of `space`, made by `owner`. `ENOMEM`.
    pub fn new(space: &Arc<Namespace>, kind: SocketKind, owner: Ucred) -> SysResult<Arc<Self>> {
        let end = Endpoint::new(space, kind, owner)?;
        Ok(Arc::new(Self { end, connection: OnceLock::new() }))
    }

    /// Two that are connected to each other: socketpair(2).
    pub fn pair(
        space: &Arc<Namespace>,
        kind: SocketKind,
        caller: &dyn Caller,
    ) -> SysResult<(Arc<Self>, Arc<Self>)> {
        let one = Self::new(space, kind, caller.real())?;
        let other = Self::new(space, kind, caller.real())?;
        for socket in [&one, &other] {
            *socket.end.peer_credentials.lock() = caller.effective();
        }
        if kind.is_connected() {
            let pair = Pair::new(&one.end, &other.end);
            one.set_connection(Connection::new(&pair, 0));
            other.set_connection(Connection::new(&pair, 1));
        } else {
            one.end.inbox.lock().peer = Some(other.end.clone());
            other.end.inbox.lock().peer = Some(one.end.clone());
        }
        Ok((one, other))
    }

    /// What it is connected by, if it is.
    pub(super) fn connection(&self) -> Option<&Connection> {
        self.connection.get()
    }

    /// Connects it; false if it is.
    pub(super) fn set_connection(&self, connection: Connection) -> bool {
        self.connection.set(connection).is_ok()
    }

    /// Calls `look` with each queue whose content is received through this socket.
    fn with_queues(&self, look: &mut dyn FnMut(&mut Queue)) {
        if let Some(connection) = self.connection() {
            look(&mut connection.inbound());
        } else if self.end.kind() == SocketKind::Datagram {
            look(&mut self.end.inbox.lock().messages);
        } else {
            // With the lock: a reference of ours must not be the last one.
            let listening = self.end.listening.lock();
            for socket in listening.iter().flat_map(|backlog| backlog.pending()) {
                if let Some(connection) = socket.connection() {
                    look(&mut connection.inbound());
                }
            }
        }
    }

    /// Calls `each` for the open files of each message that it has received.
    pub(super) fn each_right(&self, each: &mut dyn FnMut(&Rights)) {
        self.with_queues(&mut |queue| queue.rights().for_each(&mut *each));
    }

    /// Takes the open files out of what it has received.
    pub(super) fn take_rights(&self) -> Vec<Rights> {
        let mut taken = Vec::new();
        self.with_queues(&mut |queue| taken.extend(queue.take_rights()));
        taken
    }

    fn receive_any(&self, into: &mut Incoming<'_, '_>) -> SysResult {
        if self.end.kind().is_connected() {
            self.receive_connected(into)
        } else {
            self.receive_datagram(into)
        }
    }

    fn send_any(&self, sender: &Sender<'_>, message: &mut Outgoing<'_, '_>) -> SysResult {
        if self.end.kind().is_connected() {
            self.send_connected(sender, message)
        } else {
            self.send_datagram(sender, message)
        }
    }

    /// Bytes that can be received now (`SIOCINQ`). `EINVAL` while it listens.
    fn available(&self) -> SysResult {
        if self.end.is_listening() {
            return Err(Errno::EINVAL);
        }
        Ok(match self.connection() {
            Some(connection) => connection.inbound().bytes(),
            None => self.end.inbox.lock().messages.first(),
        })
    }

    /// What it is charged for what others have not read yet.
    fn charged(&self) -> usize {
        match self.connection() {
            Some(connection) => connection.outbound().charged(),
            None => self.end.sent(),
        }
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let (pending, inbox) = self.end.close();
        if let Some(connection) = self.connection.get() {
            connection.close(self.end.is_unaccepted());
        }
        self.end.room_came();
        drop(pending);
        let datagram::Inbox { mut messages, peer } = inbox;
        datagram::lose(messages.clear());
        drop(peer);
        self.end.space().collect(true);
    }
}

impl File for UnixSocket {
    fn read(&self, _offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        if dst.remaining() == 0 {
            return Ok(0);
        }
        self.receive_any(&mut Incoming::bytes(dst))
    }

    fn write(&self, _offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        self.send_any(&Sender::Owner, &mut Outgoing::bytes(src))
    }

    fn socket(&self) -> Option<&dyn Socket> {
        Some(self)
    }

    fn metadata(&self) -> Option<SysResult<Metadata>> {
        Some(Ok(self.end.metadata()))
    }

    fn attributes(&self) -> Option<&Attributes> {
        Some(self.end.attributes())
    }

    fn poll(&self) -> PollEvents {
        let end = &self.end;
        let shut = end.shut();
        let mut events = PollEvents::empty();
        events.set(PollEvents::ERR, end.has_error());
        events.set(PollEvents::HUP, shut == Shutdown::all());
        if shut.contains(Shutdown::RECEIVE) {
            events |= PollEvents::RDHUP | PollEvents::READABLE;
        }
        let mut writable = true;
        match self.connection() {
            Some(connection) => {
                events.set(
                    PollEvents::READABLE,
                    events.contains(PollEvents::IN) || !connection.inbound().is_empty(),
                );
                writable = end.has_room(connection.outbound().charged());
            }
            None if end.kind().is_connected() => {
                let listening = end.listening.lock();
                match &*listening {
                    Some(backlog) => {
                        writable = false;
                        if !backlog.pending().is_empty() {
                            events |= PollEvents::READABLE;
                        }
                    }
                    None => events |= PollEvents::HUP,
                }
            }
            None => {
                if !end.inbox.lock().messages.is_empty() {
                    events |= PollEvents::READABLE;
                }
                writable = end.has_room(end.sent()) && datagram::peer_has_room(end);
            }
        }
        events.set(SENDABLE, writable);
        events
    }

    fn likely_waits(&self, events: PollEvents) -> bool {
        events == PollEvents::IN
            && (self.end.options.low_water() > 1
                || self.connection().is_some_and(Connection::seems_empty))
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.end.queue)
    }

    fn wait_limit(&self, events: PollEvents) -> Option<u64> {
        self.end.wait_limit(events)
    }

    fn takes_whole(&self, len: usize) -> bool {
        // Not if somebody wants to know who sends.
        match self.connection() {
            Some(connection) => {
                !connection.passes_credentials(&self.end)
                    && (self.end.kind() != SocketKind::Stream
                        || len <= queue::portion(self.end.options.send_buffer()))
            }
            None => false,
        }
    }

    fn signals_readiness(&self) -> bool {
        true
    }

    fn signals_broken_pipe(&self) -> bool {
        self.end.kind() == SocketKind::Stream
    }

    fn ioctl(&self, command: u32, arg: u64, memory: &dyn GuestMemory) -> SysResult {
        let bytes = match command {
            ioctl::FIONREAD => self.available()?,
            SIOCOUTQ => self.charged(),
            _ => return Err(Errno::ENOTTY),
        };
        memory.write(arg, &i32::try_from(bytes).unwrap_or(i32::MAX).to_ne_bytes())?;
        Ok(0)
    }

    fn link_text(&self) -> Vec<u8> {
        self.end.link_text()
    }
}

impl Socket for UnixSocket {
    fn family(&self) -> u16 {
        AF_UNIX as u16
    }

    fn kind(&self) -> SocketKind {
        self.end.kind()
    }

    fn core(&self) -> &Core {
        &self.end
    }

    fn bind(&self, caller: &dyn Caller, address: &[u8]) -> SysResult<()> {
        let end = &self.end;
        if name::is_unnamed(address) {
            return end.space().autobind(end);
        }
        match name::parse(address)? {
            Alleged::Abstract(name) => end.space().bind_abstract(end, name),
            Alleged::Path(path) => {
                let may = || if end.name().is_some() { Err(Errno::EINVAL) } else { Ok(()) };
                let place = ops::make_socket(&caller.fs().read(), path, may)?;
                let inode = place.inode().clone();
                end.set_name(Name::of_path(path, place))?;
                inode.socket().ok_or(Errno::EOPNOTSUPP)?.set(end);
                Ok(())
            }
        }
    }

    fn listen(&self, caller: &dyn Caller, backlog: usize) -> SysResult<()> {
        self.begin_to_listen(caller, backlog)
    }

    fn connect(&self, caller: &dyn Caller, address: &[u8], _may_wait: bool) -> SysResult<()> {
        listen::connect(self, caller, address)
    }

    fn accept(&self) -> SysResult<Arc<dyn Socket>> {
        Ok(self.next_connection()?)
    }

    fn local_address(&self) -> SysResult<Address> {
        Ok(name::address(self.end.name()))
    }

    fn peer_address(&self) -> SysResult<Address> {
        match self.connection() {
            Some(connection) => Ok(name::address(connection.peer().name())),
            None => {
                let peer = self.end.inbox.lock().peer.clone().ok_or(Errno::ENOTCONN)?;
                Ok(name::address(peer.name()))
            }
        }
    }

    fn send(&self, caller: &dyn Caller, message: &mut Outgoing<'_, '_>) -> SysResult {
        self.send_any(&Sender::Caller(caller), message)
    }

    fn receive(&self, into: &mut Incoming<'_, '_>) -> SysResult {
        self.receive_any(into)
    }

    fn shut_down(&self, how: Shutdown) -> SysResult<()> {
        match self.connection() {
            Some(connection) => connection.shut_down(&self.end, how),
            None => {
                let inbox = self.end.inbox.lock();
                self.end.set_shut(how);
                drop(inbox);
                self.end.notify(PollEvents::all());
            }
        }
        Ok(())
    }

    fn is_listening(&self) -> bool {
        self.end.is_listening()
    }

    fn peer_credentials(&self) -> Ucred {
        *self.end.peer_credentials.lock()
    }
}
