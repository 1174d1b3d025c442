//! A UDP socket as an open file.

use std::sync::{Arc, atomic::Ordering};

use kernel_objects::WaitQueue;
use linux_raw_sys::ioctl;

use super::End;
use crate::{
    errno::{Errno, SysResult},
    net::{
        Address, Caller, Core, Incoming, Outgoing, Shutdown, Socket, SocketKind, Ucred,
        core::SENDABLE,
        inet::{Stack, address::Family},
    },
    vfs::{Attributes, File, GuestMemory, IoDst, IoSrc, Metadata, PollEvents},
};

/// A UDP socket.
pub struct UdpSocket {
    end: Arc<End>,
}

impl UdpSocket {
    /// One of `stack` and of `protocol`, made by `owner`. `ENOMEM`.
    pub fn new(
        stack: &Arc<Stack>,
        family: Family,
        protocol: u32,
        owner: Ucred,
    ) -> SysResult<Arc<Self>> {
        Ok(Arc::new(Self { end: End::new(stack, family, protocol, owner)? }))
    }

    /// What others can hold of it.
    pub(in crate::net::inet) fn end(&self) -> &Arc<End> {
        &self.end
    }

    /// connect(2) of the kernel's own client, of a published port.
    pub(in crate::net) fn connect_by_kernel(&self, address: &[u8]) -> SysResult<()> {
        self.end.connect(address)
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.end.closed.store(true, Ordering::Release);
        self.end.release(self.end.ports(), &*self.end);
    }
}

impl File for UdpSocket {
    fn read(&self, _offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        if dst.remaining() == 0 {
            return Ok(0);
        }
        self.end.receive(&mut Incoming::bytes(dst))
    }

    fn write(&self, _offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        self.end.send(&mut Outgoing::bytes(src))
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
        let (readable, failed) = {
            let inbox = end.inbox.lock();
            (!inbox.is_empty(), !inbox.failures.is_empty())
        };
        let mut events = SENDABLE;
        events.set(PollEvents::ERR, failed || end.has_news());
        events.set(PollEvents::HUP, shut == Shutdown::all());
        events.set(PollEvents::RDHUP, shut.contains(Shutdown::RECEIVE));
        events.set(PollEvents::READABLE, readable || shut.contains(Shutdown::RECEIVE));
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.end.queue)
    }

    fn wait_limit(&self, events: PollEvents) -> Option<u64> {
        self.end.wait_limit(events)
    }

    fn signals_broken_pipe(&self) -> bool {
        false
    }

    fn signals_readiness(&self) -> bool {
        true
    }

    fn ioctl(&self, command: u32, arg: u64, memory: &dyn GuestMemory) -> SysResult {
        let bytes = match command {
            ioctl::FIONREAD => self.end.inbox.lock().first(),
            ioctl::TIOCOUTQ => 0,
            _ => return Err(Errno::ENOTTY),
        };
        memory.write(arg, &i32::try_from(bytes).unwrap_or(i32::MAX).to_ne_bytes())?;
        Ok(0)
    }

    fn link_text(&self) -> Vec<u8> {
        self.end.link_text()
    }
}

impl Socket for UdpSocket {
    fn family(&self) -> u16 {
        self.end.family().raw()
    }

    fn kind(&self) -> SocketKind {
        SocketKind::Datagram
    }

    fn protocol(&self) -> i32 {
        self.end.numbers.protocol() as i32
    }

    fn network(&self) -> Option<&Stack> {
        Some(self.end.stack())
    }

    fn core(&self) -> &Core {
        &self.end
    }

    fn bind(&self, caller: &dyn Caller, address: &[u8]) -> SysResult<()> {
        let end = &self.end;
        let name = end.check_bind(caller, address, false)?;
        end.bind(end.ports(), end, name)
    }

    fn connect(&self, _caller: &dyn Caller, address: &[u8], _may_wait: bool) -> SysResult<()> {
        self.end.connect(address)
    }

    fn local_address(&self) -> SysResult<Address> {
        Ok(self.end.names().local.to_address(self.end.family()))
    }

    fn peer_address(&self) -> SysResult<Address> {
        let peer = self.end.names().peer.filter(|peer| peer.port != 0).ok_or(Errno::ENOTCONN)?;
        Ok(peer.to_address(self.end.family()))
    }

    fn send(&self, _caller: &dyn Caller, message: &mut Outgoing<'_, '_>) -> SysResult {
        self.end.send(message)
    }

    fn receive(&self, into: &mut Incoming<'_, '_>) -> SysResult {
        self.end.receive(into)
    }

    fn shut_down(&self, how: Shutdown) -> SysResult<()> {
        let end = &self.end;
        let connected = end.names().peer.is_some();
        end.set_shut(how);
        end.notify(PollEvents::all());
        if connected { Ok(()) } else { Err(Errno::ENOTCONN) }
    }

    fn set_option(
        &self,
        caller: &dyn Caller,
        level: u32,
        name: u32,
        value: &[u8],
    ) -> SysResult<()> {
        match self.end.set_group_option(level, name, value) {
            Some(done) => done,
            None => {
                self.end.set_number(caller, level, name, value)?;
                self.end.uncork()
            }
        }
    }

    fn option(&self, level: u32, name: u32, room: usize) -> SysResult<Vec<u8>> {
        match self.end.group_option(level, name, room) {
            Some(value) => Ok(value),
            None => self.end.number(level, name, room),
        }
    }
}
