//! Messages on their way between the guest and a socket.
//!
//! The one idea: all calls that send make an [`Outgoing`] and all that receive an [`Incoming`], read(2) and write(2) too, so a family has one way in
//! and one way out; what a call does not ask for is not made.

use std::sync::Arc;

use bitflags::bitflags;
use linux_raw_sys::net as raw;
use zerocopy::{Immutable, IntoBytes};

use super::{Address, Ucred};
use crate::vfs::{IoDst, IoSrc, OpenFile};

bitflags! {
    /// `MSG_*`
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MessageFlags: u32 {
        /// Out of band.
        const OOB = raw::MSG_OOB;
        /// What is received stays.
        const PEEK = raw::MSG_PEEK;
        /// Less control data than there was.
        const CTRUNC = raw::MSG_CTRUNC;
        /// Less of the message than there was; asked for: tell its whole length.
        const TRUNC = raw::MSG_TRUNC;
        /// Do not wait.
        const DONTWAIT = raw::MSG_DONTWAIT;
        /// Wait for all of it.
        const WAITALL = raw::MSG_WAITALL;
        /// No SIGPIPE.
        const NOSIGNAL = raw::MSG_NOSIGNAL;
        /// recvmmsg(2): wait for the first only.
        const WAITFORONE = 0x10000;
        /// More comes, which belongs to it.
        const MORE = raw::MSG_MORE;
        /// Without a copy, if it can be.
        const ZEROCOPY = 0x400_0000;
        /// Descriptors that come are close-on-exec.
        const CMSG_CLOEXEC = raw::MSG_CMSG_CLOEXEC;
        /// The others are for families that are not here, or hints.
        const _ = !0;
    }
}

/// A control message of a level that is not `SOL_SOCKET`.
#[derive(Clone, Debug)]
pub struct Ancillary {
    /// `cmsg_level`
    pub level: u32,
    /// `cmsg_type`
    pub kind: u32,
    /// What it says.
    pub data: Vec<u8>,
}

/// What travels beside the bytes.
#[derive(Clone, Default)]
pub struct Control {
    /// `SCM_RIGHTS`: open files.
    pub files: Vec<Arc<OpenFile>>,
    /// `SCM_CREDENTIALS`, checked.
    pub credentials: Option<Ucred>,
    /// What only some families understand, and check.
    pub ancillary: Vec<Ancillary>,
}

/// A message to send. What was sent of it is taken from it.
pub struct Outgoing<'a, 'b> {
    /// Its bytes.
    pub data: &'a mut IoSrc<'b>,
    /// Where to.
    pub to: Option<&'a [u8]>,
    /// What travels with the first byte.
    pub control: Control,
    /// How.
    pub flags: MessageFlags,
    /// There was no room before: an error that has come since goes before all else.
    pub waited: bool,
}

impl<'a, 'b> Outgoing<'a, 'b> {
    /// Bytes only, as write(2) has them.
    pub fn bytes(data: &'a mut IoSrc<'b>) -> Self {
        let (control, flags) = Default::default();
        Self { data, to: None, control, flags, waited: false }
    }
}

/// Where a message goes that is received, and what was found out about it. May be filled by several attempts on a stream.
pub struct Incoming<'a, 'b> {
    /// For its bytes.
    pub data: &'a mut IoDst<'b>,
    /// How.
    pub flags: MessageFlags,
    /// Who asks does not wait.
    pub nonblocking: bool,
    /// The sender's address is wanted.
    pub wants_address: bool,
    /// The sender's address, if it has one.
    pub address: Option<Address>,
    /// What came beside the bytes. The files have been taken out of the socket, or are further references to those there when peeking.
    pub control: Control,
    /// When it came, in ns of the realtime clock, if that is known.
    pub time: Option<u64>,
    /// [`MessageFlags::TRUNC`], [`MessageFlags::OOB`]
    pub result: MessageFlags,
    /// Nothing more may be added: what follows has other control data.
    pub complete: bool,
}

impl<'a, 'b> Incoming<'a, 'b> {
    /// Bytes only, as read(2) has them.
    pub fn bytes(data: &'a mut IoDst<'b>) -> Self {
        Self {
            data,
            flags: MessageFlags::empty(),
            nonblocking: false,
            wants_address: false,
            address: None,
            control: Control::default(),
            time: None,
            result: MessageFlags::empty(),
            complete: false,
        }
    }
}

/// `struct sock_extended_err`: what is told of an error, or of a call that is done, before an address.
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct ExtendedError {
    pub(super) errno: u32,
    pub(super) origin: u8,
    pub(super) kind: u8,
    pub(super) code: u8,
    pub(super) _pad: u8,
    pub(super) info: u32,
    pub(super) data: u32,
}
