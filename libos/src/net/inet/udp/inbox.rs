//! What a UDP socket has received and nobody has read yet.
//!
//! The one idea: bytes lie one behind the other in a ring, and a list beside it says where each datagram ends and what is known about it, so a
//! transfer allocates nothing once the ring has grown.

use std::{collections::VecDeque, net::IpAddr, sync::Arc};

use hal::pmem::PhysicalMemory;

use crate::{
    errno::{Errno, SysResult},
    net::{SocketKind, inet::address::Name, unix::queue::charge},
    vfs::{IoDst, IoSrc, ring::ByteRing},
};

/// The headers of a datagram.
const HEADERS: usize = 28;

/// What is known about a datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram {
    /// How many bytes it has.
    pub len: usize,
    /// Who sent it.
    pub from: Name,
    /// To which address.
    pub to: IpAddr,
    /// How many hops it might have gone on.
    pub ttl: u8,
    /// Type of service, or traffic class.
    pub tos: u8,
    /// When, in ns of the realtime clock.
    pub time: u64,
    /// It is several, of this size but for the last; 0 for one.
    pub segment: u16,
    /// The number of the device that it came by.
    pub device: u32,
}

/// What came back instead of an answer (`IP_RECVERR`).
#[derive(Clone, Debug)]
pub struct Failure {
    /// Where the datagram was sent to.
    pub to: Name,
    /// Who says so.
    pub by: IpAddr,
    /// What was sent.
    pub bytes: Vec<u8>,
}

/// Datagrams in the order of their arrival.
pub struct Inbox {
    bytes: ByteRing,
    datagrams: VecDeque<Datagram>,
    charged: usize,
    /// Errors, with what caused them.
    pub(super) failures: VecDeque<Failure>,
}

impl Inbox {
    /// An empty one.
    pub(super) fn new(memory: &Arc<PhysicalMemory>) -> Self {
        Self {
            bytes: ByteRing::new(memory),
            datagrams: VecDeque::new(),
            charged: 0,
            failures: VecDeque::new(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// How many bytes the first one has.
    pub fn first(&self) -> usize {
        self.datagrams.front().map_or(0, |datagram| datagram.len)
    }

    /// What they cost, as Linux counts it.
    pub fn charged(&self) -> usize {
        self.charged
    }

    /// Appends one, if `limit` is not reached yet; otherwise it is lost. `EFAULT`, `ENOMEM`.
    pub(super) fn push(
        &mut self,
        datagram: Datagram,
        data: &mut IoSrc<'_>,
        limit: usize,
    ) -> SysResult<bool> {
        if self.charged > limit {
            return Ok(false);
        }
        let len = datagram.len;
        self.bytes.grow(len)?;
        let done = self.bytes.push(data, len)?;
        if done < len {
            self.bytes.unpush(done);
            return Err(Errno::EFAULT);
        }
        self.charged += cost(len);
        self.datagrams.push_back(datagram);
        Ok(true)
    }

    /// The one that the byte `skip` bytes from the front is in, how many bytes come before it, and how many of its own.
    pub(super) fn look(&self, mut skip: usize) -> Option<(Datagram, usize, usize)> {
        let mut before = 0;
        for datagram in &self.datagrams {
            if skip < datagram.len || datagram.len == 0 {
                return Some((*datagram, before, skip));
            }
            skip -= datagram.len;
            before += datagram.len;
        }
        None
    }

    /// Copies `len` bytes, the first of which is `from` bytes from the front.
    pub(super) fn copy(&self, from: usize, len: usize, into: &mut IoDst<'_>) -> SysResult<()> {
        let mut done = 0;
        while done < len {
            match into.write(self.bytes.front(from + done, len - done))? {
                0 => return Err(Errno::EFAULT),
                n => done += n,
            }
        }
        Ok(())
    }

    /// Takes the first one out.
    pub(super) fn pop(&mut self) {
        if let Some(datagram) = self.datagrams.pop_front() {
            self.bytes.drop_front(datagram.len);
            self.charged = self.charged.saturating_sub(cost(datagram.len));
        }
    }
}

fn cost(len: usize) -> usize {
    charge(SocketKind::Datagram, len + HEADERS)
}
