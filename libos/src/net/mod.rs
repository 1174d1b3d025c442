//! Sockets: what the families have in common, and the families.
//!
//! The one idea: a socket is a [`File`] that can do more, so everything that works on a descriptor (reading, writing, polling,
//! epoll, splicing, passing on) needs no case for it, and what only sockets can do is the trait [`Socket`], by which a family joins.
//! As with all files, nothing here waits: what would have to is `EAGAIN`, and the socket's wait queue is notified when that changes.
//!
//! `kernel_objects::Socket` is not what these are made of. It is a pair from its birth, with no names and nobody to accept it; its buffers have
//! a fixed size that counts for the receiver, where Linux counts what its sender may send; it knows neither handles nor senders beside the bytes; and
//! what it signals is not what poll(2) has to say.

pub mod completions;
pub mod core;
pub mod ethernet;
pub mod host;
pub mod inet;
pub mod message;
pub mod netlink;
pub mod options;
pub mod publish;
pub mod unix;

use std::sync::Arc;

use bitflags::bitflags;
use smallvec::SmallVec;
use zerocopy::{FromBytes, Immutable, IntoBytes};

pub use self::{
    core::Core,
    message::{Ancillary, Control, Incoming, MessageFlags, Outgoing},
    options::Options,
};
use crate::{
    errno::{Errno, SysResult},
    process::{FsState, Process, UserNamespace},
    vfs::{Capabilities, File},
};

/// An address as the guest has it: `sa_family` and what follows.
pub type Address = SmallVec<[u8; 128]>;

/// What a socket carries: `SOCK_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketKind {
    /// Bytes in order, between two ends.
    Stream = 1,
    /// Messages, to anybody.
    Datagram = 2,
    /// Messages with their headers, to anybody.
    Raw = 3,
    /// Messages in order, between two ends.
    SeqPacket = 5,
}

impl SocketKind {
    /// Whether it is used between two ends that were connected before.
    pub const fn is_connected(self) -> bool {
        matches!(self, Self::Stream | Self::SeqPacket)
    }
}

bitflags! {
    /// Halves of a socket that are shut down.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Shutdown: u8 {
        /// Nothing more is received: `SHUT_RD`.
        const RECEIVE = 1;
        /// Nothing more is sent: `SHUT_WR`.
        const SEND = 2;
    }
}

impl Shutdown {
    /// What shutdown(2) is asked for. `EINVAL`.
    pub const fn from_raw(how: i32) -> SysResult<Self> {
        match how {
            0 => Ok(Self::RECEIVE),
            1 => Ok(Self::SEND),
            2 => Ok(Self::all()),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The same from the other end of a connection.
    pub fn of_peer(self) -> Self {
        let mut peer = Self::empty();
        peer.set(Self::SEND, self.contains(Self::RECEIVE));
        peer.set(Self::RECEIVE, self.contains(Self::SEND));
        peer
    }
}

/// Who a process is to another: `struct ucred` (unix(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Ucred {
    /// The process.
    pub pid: i32,
    /// A user id of it.
    pub uid: u32,
    /// A group id of it.
    pub gid: u32,
}

impl Ucred {
    /// Whose the kernel's own sockets are.
    pub(crate) const KERNEL: Self = Self { pid: 0, uid: 0, gid: 0 };

    /// What `process` sees, of the numbers of its own namespaces.
    pub(crate) fn seen_by(self, process: &Process) -> Self {
        let users = process.user_namespace();
        match self {
            Self::UNKNOWN | Self::NOBODY => self,
            Self { pid, uid, gid } => Self {
                pid: process.sees(pid),
                uid: users.shown_user(uid),
                gid: users.shown_group(gid),
            },
        }
    }

    /// What a message shows that came without: the overflow ids.
    pub const UNKNOWN: Self = Self { pid: 0, uid: 65534, gid: 65534 };
    /// What `SO_PEERCRED` shows without a peer.
    pub const NOBODY: Self = Self { pid: 0, uid: u32::MAX, gid: u32::MAX };

    /// Whom somebody in `users` means; `EINVAL` for nobody.
    pub(crate) fn named_in(self, users: &UserNamespace) -> SysResult<Self> {
        let (uid, gid) = (users.kernel_user(self.uid)?, users.kernel_group(self.gid)?);
        Ok(Self { uid, gid, ..self })
    }
}

/// On whose behalf a socket is used.
pub trait Caller {
    /// With the real ids, which messages carry.
    fn real(&self) -> Ucred;
    /// With the effective ids, which a peer asks for.
    fn effective(&self) -> Ucred;
    /// Where its paths lead.
    fn fs(&self) -> &FsState;
    /// Whether it has all of `caps` over what is `owner`'s.
    fn has_in(&self, owner: &UserNamespace, caps: Capabilities) -> bool {
        self.fs().read().cred.has_in(owner, caps)
    }
    /// How many open files it may have on the way in messages (`RLIMIT_NOFILE`); none with the right capabilities.
    fn in_flight_limit(&self) -> u64;
}

/// What a file can do that is a socket.
///
/// `EAGAIN` means that it would have to wait: for [`PollEvents::OUT`](crate::vfs::PollEvents) of its wait queue to send or to connect, for `IN`
/// to receive or to accept. Addresses are as the guest gave them: any bytes.
pub trait Socket: File {
    /// The address family: `SO_DOMAIN`.
    fn family(&self) -> u16;

    /// What it carries: `SO_TYPE`.
    fn kind(&self) -> SocketKind;

    /// The protocol: `SO_PROTOCOL`.
    fn protocol(&self) -> i32 {
        0
    }

    /// What all families have.
    fn core(&self) -> &Core;

    /// The options that all families have.
    fn options(&self) -> &Options {
        &self.core().options
    }

    /// bind(2)
    fn bind(&self, caller: &dyn Caller, address: &[u8]) -> SysResult<()>;

    /// listen(2). `EOPNOTSUPP` without connections, as for [`accept`](Self::accept).
    fn listen(&self, caller: &dyn Caller, backlog: usize) -> SysResult<()> {
        let _ = (caller, backlog);
        Err(Errno::EOPNOTSUPP)
    }

    /// connect(2). Who may not wait is told `EINPROGRESS` if it takes time, or could.
    fn connect(&self, caller: &dyn Caller, address: &[u8], may_wait: bool) -> SysResult<()>;

    /// accept(2): the socket of the next connection.
    fn accept(&self) -> SysResult<Arc<dyn Socket>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// getsockname(2)
    fn local_address(&self) -> SysResult<Address>;

    /// getpeername(2)
    fn peer_address(&self) -> SysResult<Address>;

    /// Whose connection it is, as accept(2) tells: it may be over already.
    fn accepted_address(&self) -> SysResult<Address> {
        self.peer_address()
    }

    /// Sends a message, or as much of a stream's bytes as there is room for; how many bytes. `EPIPE` where nobody receives them.
    fn send(&self, caller: &dyn Caller, message: &mut Outgoing<'_, '_>) -> SysResult;

    /// Receives a message, or a stream's bytes; how many. 0 at the end.
    fn receive(&self, into: &mut Incoming<'_, '_>) -> SysResult;

    /// shutdown(2)
    fn shut_down(&self, how: Shutdown) -> SysResult<()>;

    /// The pending error, which is no more then: `SO_ERROR`.
    fn take_error(&self) -> Option<Errno> {
        self.core().take_error()
    }

    /// Whether it accepts connections: `SO_ACCEPTCONN`.
    fn is_listening(&self) -> bool {
        false
    }

    /// Whether it has the options of `SOL_SOCKET` too by [`set_option`](Self::set_option) and [`option`](Self::option), but for time limits.
    fn has_hosts_options(&self) -> bool {
        false
    }

    /// Sets an option of a level that is not `SOL_SOCKET`.
    fn set_option(
        &self,
        caller: &dyn Caller,
        level: u32,
        name: u32,
        value: &[u8],
    ) -> SysResult<()> {
        let _ = (caller, level, name, value);
        Err(Errno::EOPNOTSUPP)
    }

    /// The value of an option of such a level, for who has room for `room` bytes.
    fn option(&self, level: u32, name: u32, room: usize) -> SysResult<Vec<u8>> {
        let _ = (level, name, room);
        Err(Errno::EOPNOTSUPP)
    }

    /// The network that it is in, if it is known.
    fn network(&self) -> Option<&inet::Stack> {
        None
    }

    /// A number that no other socket has or had: `SO_COOKIE`.
    fn cookie(&self) -> u64 {
        self.core().ino()
    }

    /// `SO_PEERCRED`
    fn peer_credentials(&self) -> Ucred {
        Ucred::NOBODY
    }
}
