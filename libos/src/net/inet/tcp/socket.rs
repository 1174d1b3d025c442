//! A TCP socket as an open file.
//!
//! The one idea: this is what descriptors share; when it is dropped the socket is closed. It owns the connection, which its peer must not keep alive.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use kernel_objects::WaitQueue;
use linux_raw_sys::{ioctl, net as raw};
use parking_lot::RwLock;

use super::{
    End, State,
    connection::{Connection, PORTION},
};
use crate::{
    errno::{Errno, SysResult},
    net::{
        Address, Caller, Core, Incoming, MessageFlags, Outgoing, Shutdown, Socket, SocketKind,
        Ucred,
        inet::{Stack, address::Family, endpoint::Names, options::TCP, ports::Held},
    },
    vfs::{Attributes, File, GuestMemory, IoDst, IoSrc, Metadata, PollEvents},
};

/// What a socket is connected by. Nearly always it is set once and then looked at for each transfer, which costs a load; what comes
/// after connect(2) without an address costs a lock.
#[derive(Default)]
struct Slot {
    first: OnceLock<Connection>,
    /// The first one counts no more.
    renewed: AtomicBool,
    later: RwLock<Option<Arc<Connection>>>,
}

/// A look into a [`Slot`].
pub(super) enum Look<'a> {
    First(&'a Connection),
    Later(Arc<Connection>),
}

impl std::ops::Deref for Look<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match self {
            Self::First(connection) => connection,
            Self::Later(connection) => connection,
        }
    }
}

impl Slot {
    fn get(&self) -> Option<Look<'_>> {
        if !self.renewed.load(Ordering::Acquire) {
            return self.first.get().map(Look::First);
        }
        self.later.read().clone().map(Look::Later)
    }

    fn set(&self, connection: Connection) {
        let renewed = self.renewed.load(Ordering::Acquire);
        let connection = match renewed {
            false => match self.first.set(connection) {
                Ok(()) => return,
                Err(connection) => connection,
            },
            true => connection,
        };
        *self.later.write() = Some(Arc::new(connection));
        self.renewed.store(true, Ordering::Release);
    }

    fn clear(&self) {
        if self.first.get().is_some() {
            *self.later.write() = None;
            self.renewed.store(true, Ordering::Release);
        }
    }
}

/// A TCP socket.
pub struct TcpSocket {
    pub(super) end: Arc<End>,
    slot: Slot,
}

impl TcpSocket {
    /// One of `stack`, made by `owner`. `ENOMEM`.
    pub fn new(stack: &Arc<Stack>, family: Family, owner: Ucred) -> SysResult<Arc<Self>> {
        Ok(Self::of(End::new(stack, family, owner)?, false))
    }

    fn of(end: Arc<End>, unaccepted: bool) -> Arc<Self> {
        end.unaccepted.store(unaccepted, Ordering::Relaxed);
        Arc::new(Self { end, slot: Slot::default() })
    }

    /// The socket that `listener` will accept for a client of these names.
    pub(super) fn child(listener: &Arc<End>, client: &Names) -> SysResult<Arc<Self>> {
        let to = client.peer.ok_or(Errno::ECONNREFUSED)?;
        let end = listener.child()?;
        if listener.numbers.is_set(TCP, raw::TCP_DEFER_ACCEPT) {
            let _ = end.listener.set(Arc::downgrade(listener));
        }
        {
            let mut names = end.names.lock();
            (names.local, names.peer) = (to, Some(client.local));
            let scope = end.scope(to.ip);
            let held = Held { port: to.port, scope, peer: names.peer, found: false };
            end.stack().tcp.lock().hold(held, &end);
            names.held = Some(held);
        }
        Ok(Self::of(end, true))
    }

    /// What it is connected by, if it is.
    pub(super) fn connection(&self) -> Option<Look<'_>> {
        self.slot.get()
    }

    pub(super) fn set_connection(&self, connection: Connection) {
        self.slot.set(connection);
    }

    /// What it was connected by is of no use any more.
    pub(super) fn forget(&self) {
        self.slot.clear();
    }

    pub(super) fn accepted(&self) {
        self.end.unaccepted.store(false, Ordering::Relaxed);
    }

    /// Whether the next byte is the one that came out of band.
    pub(super) fn is_at_mark(&self) -> bool {
        self.connection().is_some_and(|connection| connection.inbound().is_at_mark())
    }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        self.stop_listening();
        let aborts = self.end.is_unaccepted() || self.end.options.kept.lock().linger == [1, 0];
        match self.connection() {
            Some(connection) => connection.close(aborts),
            None => self.end.closed.store(true, Ordering::Release),
        }
        self.end.release(&self.end.stack().tcp, &*self.end);
    }
}

impl File for TcpSocket {
    fn read(&self, _offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        if dst.remaining() == 0 {
            return Ok(0);
        }
        self.receive(&mut Incoming::bytes(dst))
    }

    fn write(&self, _offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        match self.connection() {
            Some(connection) => connection.send(&mut Outgoing::bytes(src)),
            None => Err(self.end.why_not_send()),
        }
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
        let mut events = PollEvents::empty();
        let state = end.state();
        if state == State::Listen {
            let ready = end.listening.lock().as_ref().is_some_and(|backlog| backlog.is_ready());
            events.set(PollEvents::READABLE, ready);
            events.set(PollEvents::ERR, end.has_error());
            return events;
        }
        let shut = end.shut();
        events.set(PollEvents::HUP, shut == Shutdown::all() || state == State::Close);
        if shut.contains(Shutdown::RECEIVE) {
            events |= PollEvents::READABLE | PollEvents::RDHUP;
        }
        events.set(PollEvents::ERR, end.has_news());
        if state == State::SynSent {
            return events;
        }
        let mut writable = true;
        if let Some(connection) = self.connection() {
            let inline = end.reads_urgent_inline();
            let inbound = connection.inbound();
            let target = usize::try_from(end.options.low_water()).unwrap_or(1).max(1);
            if inbound.available(inline) >= target {
                events |= PollEvents::READABLE;
            }
            events.set(PollEvents::PRI, inbound.has_urgent());
            drop(inbound);
            writable = shut.contains(Shutdown::SEND) || connection.is_writable();
        }
        events.set(PollEvents::WRITABLE, writable);
        events
    }

    fn likely_waits(&self, events: PollEvents) -> bool {
        events == PollEvents::IN
            && (self.end.options.low_water() > 1
                || self.connection().is_some_and(|connection| connection.seems_empty()))
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.end.queue)
    }

    fn wait_limit(&self, events: PollEvents) -> Option<u64> {
        self.end.wait_limit(events)
    }

    fn takes_whole(&self, len: usize) -> bool {
        len <= PORTION
    }

    fn ioctl(&self, command: u32, arg: u64, memory: &dyn GuestMemory) -> SysResult {
        let listens = self.end.state() == State::Listen;
        let bytes = match command {
            ioctl::FIONREAD | ioctl::TIOCOUTQ if listens => return Err(Errno::EINVAL),
            ioctl::FIONREAD => {
                let inline = self.end.reads_urgent_inline();
                self.connection().map_or(0, |connection| connection.inbound().available(inline))
            }
            ioctl::TIOCOUTQ => self.connection().map_or(0, |connection| connection.unsent_bytes()),
            ioctl::SIOCATMARK => usize::from(self.is_at_mark()),
            _ => return Err(Errno::ENOTTY),
        };
        memory.write(arg, &i32::try_from(bytes).unwrap_or(i32::MAX).to_ne_bytes())?;
        Ok(0)
    }

    fn link_text(&self) -> Vec<u8> {
        self.end.link_text()
    }

    fn signals_readiness(&self) -> bool {
        true
    }
}

impl Socket for TcpSocket {
    fn family(&self) -> u16 {
        self.end.family().raw()
    }

    fn kind(&self) -> SocketKind {
        SocketKind::Stream
    }

    fn protocol(&self) -> i32 {
        TCP as i32
    }

    fn network(&self) -> Option<&Stack> {
        Some(self.end.stack())
    }

    fn core(&self) -> &Core {
        &self.end
    }

    fn bind(&self, caller: &dyn Caller, address: &[u8]) -> SysResult<()> {
        let end = &self.end;
        let name = end.check_bind(caller, address, true)?;
        if end.state() != State::Close {
            return Err(Errno::EINVAL);
        }
        end.bind(&end.stack().tcp, end, name)
    }

    fn listen(&self, _caller: &dyn Caller, backlog: usize) -> SysResult<()> {
        self.begin_to_listen(backlog)
    }

    fn connect(&self, _caller: &dyn Caller, address: &[u8], may_wait: bool) -> SysResult<()> {
        self.begin_to_connect(address, may_wait)
    }

    fn accept(&self) -> SysResult<Arc<dyn Socket>> {
        Ok(self.next_connection()?)
    }

    fn local_address(&self) -> SysResult<Address> {
        Ok(self.end.names().local.to_address(self.end.family()))
    }

    fn peer_address(&self) -> SysResult<Address> {
        let end = &self.end;
        let connected = !matches!(end.state(), State::Close | State::SynSent | State::Listen);
        let peer = end.names().peer.filter(|_| connected).ok_or(Errno::ENOTCONN)?;
        Ok(peer.to_address(end.family()))
    }

    fn accepted_address(&self) -> SysResult<Address> {
        let peer = self.end.names().peer.ok_or(Errno::ENOTCONN)?;
        Ok(peer.to_address(self.end.family()))
    }

    fn send(&self, _caller: &dyn Caller, message: &mut Outgoing<'_, '_>) -> SysResult {
        match self.connection() {
            Some(connection) => connection.send(message),
            None => Err(self.end.why_not_send()),
        }
    }

    fn receive(&self, into: &mut Incoming<'_, '_>) -> SysResult {
        let Some(connection) = self.connection() else { return self.end.why_not_receive() };
        if into.flags.contains(MessageFlags::OOB) {
            return connection.receive_urgent(into);
        }
        connection.receive(into)
    }

    fn shut_down(&self, how: Shutdown) -> SysResult<()> {
        self.shut(how)
    }

    fn is_listening(&self) -> bool {
        self.end.state() == State::Listen
    }

    fn set_option(
        &self,
        caller: &dyn Caller,
        level: u32,
        name: u32,
        value: &[u8],
    ) -> SysResult<()> {
        self.set_own_option(caller, level, name, value)
    }

    fn option(&self, level: u32, name: u32, room: usize) -> SysResult<Vec<u8>> {
        self.own_option(level, name, room)
    }
}
