//! Netlink sockets (netlink(7)), by which programs ask about the network (rtnetlink(7)) and its sockets (sock_diag(7)).
//!
//! Read `route` and `diag` for what is answered, `change` and `news` for what is changed and who hears of it, [`message`] for how it is written down
//! and `asker` for how a request ends.
//!
//! The one idea: whoever sends a request has its answers in its own queue when the call returns; there is nobody else on the other side.

mod asker;
mod change;
mod diag;
mod filter;
pub mod message;
mod news;
mod route;

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write,
    ops::Deref,
    sync::{Arc, Weak},
};

use kernel_objects::WaitQueue;
use linux_raw_sys::net as raw;
use parking_lot::Mutex;

use self::{
    asker::{Asker, Found},
    diag::Sockets,
    message::{Request, flags, kinds},
};
use super::{
    Address, Caller, Incoming, MessageFlags, Outgoing, Shutdown, Socket, SocketKind,
    core::{Core, SENDABLE},
    inet::Stack,
    unix,
};
use crate::{
    config::Network,
    errno::{Errno, SysResult},
    vfs::{Attributes, Capabilities, File, IoDst, IoSrc, Metadata, PollEvents},
};

/// `NETLINK_ROUTE`: questions about the network.
pub const ROUTE: i32 = 0;
/// `NETLINK_SOCK_DIAG`: questions about sockets.
pub const SOCKETS: i32 = 4;
/// The level of its options.
const LEVEL: u32 = 270;
/// The length of `struct sockaddr_nl`.
const ADDRESS_LEN: usize = 12;
/// The largest request.
const REQUEST_MAX: usize = 64 << 10;

/// The ports of all netlink sockets, which are mostly numbers of processes.
pub type Ports = Mutex<HashMap<u32, Weak<NetlinkSocket>>>;

/// What is waiting to be received, and who the socket is.
#[derive(Default)]
struct State {
    port: u32,
    /// A bit for each group that it has joined.
    groups: u64,
    /// Whom it talks to: the kernel, unless somebody says otherwise.
    peer: (u32, u32),
    answers: VecDeque<Vec<u8>>,
    /// Bytes of the answers.
    len: usize,
    /// The options of its level that are set.
    set: Vec<u32>,
}

/// A netlink socket.
pub struct NetlinkSocket {
    core: Core,
    stack: Arc<Stack>,
    unix: Arc<unix::Namespace>,
    kind: SocketKind,
    protocol: i32,
    /// Whether who made it may change the network.
    may_change: bool,
    this: Weak<Self>,
    state: Mutex<State>,
}

impl Deref for NetlinkSocket {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

/// A port and groups of an address. `EINVAL`.
fn parse(address: &[u8]) -> SysResult<(u32, u32)> {
    if address.len() < ADDRESS_LEN {
        return Err(Errno::EINVAL);
    }
    let number = |at: usize| {
        let bytes = address.get(at..at + 4).and_then(|bytes| bytes.first_chunk::<4>());
        bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    };
    if number(0) & 0xffff != raw::AF_NETLINK {
        return Err(Errno::EINVAL);
    }
    Ok((number(4), number(8)))
}

fn to_address((port, groups): (u32, u32)) -> Address {
    let mut bytes = Address::new();
    bytes.extend_from_slice(&raw::AF_NETLINK.to_ne_bytes());
    bytes.extend_from_slice(&port.to_ne_bytes());
    bytes.extend_from_slice(&groups.to_ne_bytes());
    bytes
}

impl NetlinkSocket {
    /// One that asks about the network of `stack`, or its sockets and those of `unix`. `ESOCKTNOSUPPORT`; `EPROTONOSUPPORT` for all else.
    pub fn new(
        stack: &Arc<Stack>,
        unix: &Arc<unix::Namespace>,
        caller: &dyn Caller,
        kind: u32,
        protocol: i32,
    ) -> SysResult<Arc<Self>> {
        let kind = match kind {
            raw::SOCK_RAW => SocketKind::Raw,
            raw::SOCK_DGRAM => SocketKind::Datagram,
            _ => return Err(Errno::ESOCKTNOSUPPORT),
        };
        // Of sockets of the host's network nothing is known here.
        let known = protocol == ROUTE || protocol == SOCKETS && stack.network() != Network::Host;
        if !known {
            return Err(Errno::EPROTONOSUPPORT);
        }
        if stack.network() == Network::None {
            return Err(Errno::EAFNOSUPPORT);
        }
        let core = stack.new_core(caller.real())?;
        let may_change = stack.allows(caller, Capabilities::NET_ADMIN);
        let (stack, unix) = (stack.clone(), unix.clone());
        Ok(Arc::new_cyclic(|this| Self {
            core,
            stack,
            unix,
            kind,
            protocol,
            may_change,
            this: this.clone(),
            state: Mutex::default(),
        }))
    }

    /// Gives it a port: that one, or, for 0, the process's number, or one that is free. `EADDRINUSE`.
    fn claim(&self, caller: Option<&dyn Caller>, port: u32) -> SysResult<()> {
        let mut state = self.state.lock();
        if state.port != 0 {
            return if port == 0 || port == state.port { Ok(()) } else { Err(Errno::EINVAL) };
        }
        let mut ports = self.stack.netlink.lock();
        let is_free = |ports: &HashMap<u32, Weak<Self>>, port| {
            ports.get(&port).is_none_or(|owner| owner.strong_count() == 0)
        };
        let mut chosen = port;
        if port == 0 {
            chosen = caller.map_or(self.owner().pid, |caller| caller.real().pid) as u32;
            let mut next = u32::MAX - 4096;
            while !is_free(&ports, chosen) && next > i32::MAX as u32 {
                (chosen, next) = (next, next - 1);
            }
        }
        if !is_free(&ports, chosen) {
            return Err(Errno::EADDRINUSE);
        }
        ports.insert(chosen, self.this.clone());
        state.port = chosen;
        Ok(())
    }

    fn ask(&self, caller: Option<&dyn Caller>, message: &mut Outgoing<'_, '_>) -> SysResult {
        if message.flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let (peer, _) = match message.to {
            Some(to) => parse(to)?,
            None => self.state.lock().peer,
        };
        self.claim(caller, 0)?;
        let len = message.data.remaining();
        if len > REQUEST_MAX {
            return Err(Errno::EMSGSIZE);
        }
        let mut request = vec![0; len];
        let mut done = 0;
        while done < len {
            match message.data.read(&mut request[done..])? {
                0 => return Err(Errno::EFAULT),
                n => done += n,
            }
        }
        if peer != 0 {
            // Of what programs could say to each other nothing is carried.
            return Err(Errno::ECONNREFUSED);
        }
        let may_change = self.may_change
            && caller.is_none_or(|caller| self.stack.allows(caller, Capabilities::NET_ADMIN));
        let port = self.state.lock().port;
        for request in message::requests(&request).filter(|request| request.kind >= kinds::FIRST) {
            // What a request brings comes as a whole, as Linux makes it only when it is read.
            if self.state.lock().len > self.options.receive_buffer() {
                self.overflow();
                return Ok(len);
            }
            let user = self.owner().uid;
            let asker = Asker { request: &request, port, user };
            let answers = match self.protocol {
                SOCKETS => {
                    let sockets = Sockets { inet: &self.stack, unix: &self.unix };
                    asker.answer(diag::answer(sockets, &asker))
                }
                _ if change::is_meant(&request) => {
                    let done = self.change(&request, may_change);
                    // What asks others for all of something says here how it is to be changed.
                    let request = Request { flags: request.flags & flags::ACK, ..request };
                    Asker { request: &request, port, user }.answer(done)
                }
                _ => asker.answer(route::answer(&self.stack, &asker).map(Found::from)),
            };
            let mut state = self.state.lock();
            state.len += answers.iter().map(Vec::len).sum::<usize>();
            state.answers.extend(answers);
        }
        self.notify(PollEvents::READABLE);
        Ok(len)
    }
}

impl NetlinkSocket {
    /// Changes the network, and tells who wants to know.
    fn change(&self, request: &Request<'_>, may_change: bool) -> SysResult<Found> {
        let change = change::make(&self.stack, request, may_change)?;
        change.into_iter().for_each(|change| news::tell(&self.stack, change));
        Ok(Vec::new().into())
    }

    /// There is no room for what it should have got.
    fn overflow(&self) {
        self.set_error(Errno::ENOBUFS);
        self.notify(PollEvents::ERR);
    }

    /// Gets `message` if it has joined `group`.
    fn hear(&self, group: u32, message: &[u8]) {
        {
            let mut state = self.state.lock();
            if self.protocol != ROUTE || state.groups & news::bit(group) == 0 {
                return;
            }
            if state.len <= self.options.receive_buffer() {
                state.len += message.len();
                state.answers.push_back(message.to_vec());
                drop(state);
                return self.notify(PollEvents::READABLE);
            }
        }
        self.overflow();
    }
}

impl Stack {
    /// All netlink sockets that have a port.
    fn netlink_sockets(&self) -> Vec<Arc<NetlinkSocket>> {
        self.netlink.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// /proc/net/netlink: the sockets that have a port.
    pub fn netlink_table(&self) -> String {
        let mut sockets = self.netlink_sockets();
        sockets.sort_by_key(|socket| (socket.protocol, socket.ino()));
        let mut text = String::from(
            "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n",
        );
        for socket in sockets {
            let state = socket.state.lock();
            let _ = writeln!(
                text,
                "{:016x} {:<3} {:<10} {:08x} {:<8} {:<8} {:<5} {:<8} {:<8} {:<8}",
                0,
                socket.protocol,
                state.port,
                state.groups as u32,
                state.len,
                0,
                0,
                2,
                0,
                socket.ino()
            );
        }
        text
    }
}

impl Drop for NetlinkSocket {
    fn drop(&mut self) {
        let port = self.state.get_mut().port;
        let mut ports = self.stack.netlink.lock();
        if ports.get(&port).is_some_and(|owner| owner.ptr_eq(&self.this)) {
            ports.remove(&port);
        }
    }
}

impl File for NetlinkSocket {
    fn read(&self, _offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        self.receive(&mut Incoming::bytes(dst))
    }

    fn write(&self, _offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        self.ask(None, &mut Outgoing::bytes(src))
    }

    fn socket(&self) -> Option<&dyn Socket> {
        Some(self)
    }

    fn metadata(&self) -> Option<SysResult<Metadata>> {
        Some(Ok(self.core.metadata()))
    }

    fn attributes(&self) -> Option<&Attributes> {
        Some(self.core.attributes())
    }

    fn poll(&self) -> PollEvents {
        let mut events = SENDABLE;
        events.set(PollEvents::READABLE, !self.state.lock().answers.is_empty());
        events.set(PollEvents::ERR, self.has_error());
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn wait_limit(&self, events: PollEvents) -> Option<u64> {
        self.core.wait_limit(events)
    }

    fn takes_whole(&self, _len: usize) -> bool {
        // What it may do depends on who sends it.
        false
    }

    fn signals_broken_pipe(&self) -> bool {
        false
    }

    fn link_text(&self) -> Vec<u8> {
        self.core.link_text()
    }
}

impl Socket for NetlinkSocket {
    fn family(&self) -> u16 {
        raw::AF_NETLINK as u16
    }

    fn kind(&self) -> SocketKind {
        self.kind
    }

    fn protocol(&self) -> i32 {
        self.protocol
    }

    fn network(&self) -> Option<&Stack> {
        Some(&self.stack)
    }

    fn core(&self) -> &Core {
        &self.core
    }

    fn bind(&self, caller: &dyn Caller, address: &[u8]) -> SysResult<()> {
        let (port, groups) = parse(address)?;
        self.claim(Some(caller), port)?;
        let groups_at = &mut self.state.lock().groups;
        // The groups that an address has no bit for stay.
        *groups_at = *groups_at >> 32 << 32 | u64::from(groups);
        Ok(())
    }

    fn connect(&self, caller: &dyn Caller, address: &[u8], _may_wait: bool) -> SysResult<()> {
        if super::inet::address::is_unspecified(address)? {
            self.state.lock().peer = (0, 0);
            return Ok(());
        }
        let peer = parse(address)?;
        self.claim(Some(caller), 0)?;
        self.state.lock().peer = peer;
        Ok(())
    }

    fn local_address(&self) -> SysResult<Address> {
        let state = self.state.lock();
        Ok(to_address((state.port, state.groups as u32)))
    }

    fn peer_address(&self) -> SysResult<Address> {
        Ok(to_address(self.state.lock().peer))
    }

    fn send(&self, caller: &dyn Caller, message: &mut Outgoing<'_, '_>) -> SysResult {
        self.ask(Some(caller), message)
    }

    fn receive(&self, into: &mut Incoming<'_, '_>) -> SysResult {
        if into.flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        if let Some(error) = self.take_error() {
            return Err(error);
        }
        let mut state = self.state.lock();
        let answer = state.answers.front().ok_or(Errno::EAGAIN)?;
        let len = answer.len();
        let copied = into.data.write(answer);
        if !into.flags.contains(MessageFlags::PEEK) {
            state.answers.pop_front();
            state.len -= len;
        }
        drop(state);
        let copied = if len == 0 { 0 } else { copied? };
        if copied < len {
            into.result |= MessageFlags::TRUNC;
        }
        if into.wants_address {
            into.address = Some(to_address((0, 0)));
        }
        Ok(if into.flags.contains(MessageFlags::TRUNC) { len } else { copied })
    }

    fn shut_down(&self, _how: Shutdown) -> SysResult<()> {
        Err(Errno::EOPNOTSUPP)
    }

    fn set_option(
        &self,
        _caller: &dyn Caller,
        level: u32,
        name: u32,
        value: &[u8],
    ) -> SysResult<()> {
        /// Groups are joined and left.
        const JOIN: u32 = 1;
        const LEAVE: u32 = 2;
        if level != LEVEL {
            return Err(Errno::ENOPROTOOPT);
        }
        let number = value.first_chunk::<4>().map(|bytes| u32::from_ne_bytes(*bytes));
        let number = number.ok_or(Errno::EINVAL)?;
        match name {
            JOIN | LEAVE if !(1..=36).contains(&number) => Err(Errno::EINVAL),
            JOIN => {
                self.state.lock().groups |= news::bit(number);
                Ok(())
            }
            LEAVE => {
                self.state.lock().groups &= !news::bit(number);
                Ok(())
            }
            3..=5 | 10..=12 => {
                let set = &mut self.state.lock().set;
                set.retain(|&other| other != name);
                if number != 0 {
                    set.push(name);
                }
                Ok(())
            }
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn option(&self, level: u32, name: u32, _room: usize) -> SysResult<Vec<u8>> {
        match name {
            3..=5 | 10..=12 if level == LEVEL => {
                let set = self.state.lock().set.contains(&name);
                Ok(u32::from(set).to_ne_bytes().to_vec())
            }
            _ => Err(Errno::ENOPROTOOPT),
        }
    }
}
