//! Sockets: bytes between two ends, as a stream or in datagrams.
//!
//! A [`Socket`] is one of two ends, each with a buffer for what the other writes. A stream is bytes in order, written and read
//! in any portions; a write that finds room for a part of its bytes writes that part. A datagram is written whole or not at
//! all and read by one read: what the reader has no room for is lost. An end may be disabled for writing, by itself or by its peer:
//! the other then reads what is left and gets [`Error::BadState`] after it, which is how half a connection is closed.
//!
//! What the signals of an end say follows from the state of the pair, and is worked out anew after each change: so there is
//! one place that says what a signal means. `READABLE`: there is something to read. `WRITABLE`: something can be written; a datagram that was
//! refused for want of room clears it until something is read. The thresholds' signals say the same of as many bytes as
//! the user has chosen. The control plane and the queue of accepted sockets that Zircon's sockets once had are gone there, and were
//! never here.

mod buffer;

use std::{fmt, mem, sync::Arc};

use bitflags::bitflags;

use self::buffer::Buffer;
use crate::{
    error::{Error, Result},
    object::{KObjectBase, KernelObject, Koid, ObjectType},
    peer::{Half, Pair},
    signals::{Calls, SignalState, Signals},
};

/// How many bytes a buffer has room for.
pub const CAPACITY: usize = 256 * 1024;

/// What a socket carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum SocketKind {
    /// Bytes: `ZX_SOCKET_STREAM`.
    #[default]
    Stream = 0,
    /// Datagrams: `ZX_SOCKET_DATAGRAM`.
    Datagram = 1,
}

impl SocketKind {
    /// The kind that these options of `zx_socket_create` ask for.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`].
    pub fn from_raw(options: u32) -> Result<Self> {
        match options {
            0 => Ok(Self::Stream),
            1 => Ok(Self::Datagram),
            _ => Err(Error::InvalidArgs),
        }
    }
}

/// Whether an end may write: `ZX_SOCKET_DISPOSITION_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Disposition {
    /// It may not.
    WriteDisabled = 1,
    /// It may.
    WriteEnabled = 2,
}

impl Disposition {
    /// The disposition with this number; `None` for 0, which leaves things as they are.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`], also for both at once.
    pub fn from_raw(raw: u32) -> Result<Option<Self>> {
        match raw {
            0 => Ok(None),
            1 => Ok(Some(Self::WriteDisabled)),
            2 => Ok(Some(Self::WriteEnabled)),
            _ => Err(Error::InvalidArgs),
        }
    }
}

bitflags! {
    /// How [`Socket::read`] reads.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct ReadOptions: u32 {
        /// What is read stays: `ZX_SOCKET_PEEK`.
        const PEEK = 1 << 3;
    }
}

/// What a socket's buffers have in them: `zx_info_socket_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketInfo {
    /// What it carries.
    pub kind: SocketKind,
    /// How many bytes this end's buffer has room for.
    pub rx_buf_max: usize,
    /// How many bytes there are in it.
    pub rx_buf_size: usize,
    /// How many of them one read can get.
    pub rx_buf_available: usize,
    /// How many bytes the other end's buffer has room for; 0 if that end is closed.
    pub tx_buf_max: usize,
    /// How many bytes there are in it.
    pub tx_buf_size: usize,
}

/// An end of a socket (`zx_socket_create`).
///
/// ```
/// use kernel_objects::{Error, KernelObject, Signals, Socket};
/// use kernel_objects::socket::{Disposition, ReadOptions, SocketKind};
///
/// let (a, b) = Socket::create(SocketKind::Stream);
/// assert_eq!(a.write(b"hello"), Ok(5));
/// a.set_disposition(Some(Disposition::WriteDisabled), None).unwrap(); // that was all
///
/// let mut buffer = [0; 3];
/// assert_eq!(b.read(&mut buffer, ReadOptions::empty()), Ok(3));
/// assert_eq!(b.read(&mut buffer, ReadOptions::empty()), Ok(2));
/// assert_eq!(b.read(&mut buffer, ReadOptions::empty()), Err(Error::BadState));
/// assert_eq!(b.write(b"and you?"), Ok(8));
/// ```
pub struct Socket {
    base: KObjectBase,
    half: Half<Socket, End>,
    kind: SocketKind,
}

/// What belongs to one end.
#[derive(Default)]
struct End {
    /// What was written to it.
    received: Buffer,
    write_disabled: bool,
    /// A datagram of this end found no room since the other end last read.
    refused: bool,
    /// 0 is none.
    read_threshold: usize,
    /// 0 is none.
    write_threshold: usize,
}

impl End {
    /// What this end's signals are, but for those of users.
    fn signals(&self, other: &End, closed: bool) -> Signals {
        let received = self.received.len();
        let room = CAPACITY - other.received.len();
        let writes = !closed && !self.write_disabled;
        let when = |signal, condition| if condition { signal } else { Signals::empty() };
        when(Signals::READABLE, received > 0)
            | when(Signals::WRITABLE, writes && room > 0 && !self.refused)
            | when(Signals::PEER_CLOSED, closed)
            | when(Signals::SOCKET_WRITE_DISABLED, self.write_disabled)
            | when(Signals::SOCKET_PEER_WRITE_DISABLED, other.write_disabled)
            | when(
                Signals::SOCKET_READ_THRESHOLD,
                self.read_threshold > 0 && received >= self.read_threshold,
            )
            | when(
                Signals::SOCKET_WRITE_THRESHOLD,
                self.write_threshold > 0 && writes && room >= self.write_threshold,
            )
    }

    fn dispose(&mut self, disposition: Option<Disposition>) {
        match disposition {
            Some(Disposition::WriteDisabled) => self.write_disabled = true,
            Some(Disposition::WriteEnabled) => self.write_disabled = false,
            None => {}
        }
    }
}

impl Socket {
    /// The two ends of a new socket.
    pub fn create(kind: SocketKind) -> (Arc<Socket>, Arc<Socket>) {
        Half::pair(Signals::WRITABLE, |base, half| Socket { base, half, kind })
    }

    /// Gives the other end the signals that its state calls for.
    fn refresh_peer(&self, pair: &mut Pair<End>) -> Option<Calls> {
        let closed = pair.closed;
        let (mine, theirs) = self.half.both(pair);
        Self::refresh(self.half.peer_signals(), theirs.signals(mine, closed))
    }

    fn refresh(state: &SignalState, wanted: Signals) -> Option<Calls> {
        let all = Signals::all() - Signals::USER_ALL;
        (state.get() - Signals::USER_ALL != wanted).then(|| state.change(all - wanted, wanted))
    }

    /// Runs `operation` on this end and the other, with whether one is closed, and then brings the signals of both up to
    /// date.
    fn with<T>(&self, operation: impl FnOnce(&mut End, &mut End, bool) -> T) -> T {
        let mut pair = self.half.lock();
        let closed = pair.closed;
        let (mine, theirs) = self.half.both(&mut pair);
        let result = operation(mine, theirs, closed);
        let wanted = mine.signals(theirs, closed);
        let signals = Self::refresh(self.base.signal_state(), wanted);
        let peers = self.refresh_peer(&mut pair);
        drop(pair);
        signals.into_iter().chain(peers).for_each(Calls::run);
        result
    }

    /// Writes to the other end, and says how many bytes that were (`zx_socket_write`): of a stream as many as there is room
    /// for, of a datagram all. Nothing can be written always.
    ///
    /// # Errors
    ///
    /// [`Error::PeerClosed`] if an end is closed; [`Error::BadState`] if this end is disabled for writing; [`Error::OutOfRange`] for a
    /// datagram of more than [`CAPACITY`]; [`Error::ShouldWait`] if there is no room.
    pub fn write(&self, data: &[u8]) -> Result<usize> {
        self.with(|mine, theirs, closed| {
            if closed {
                return Err(Error::PeerClosed);
            }
            if mine.write_disabled {
                return Err(Error::BadState);
            }
            if data.is_empty() {
                return Ok(0);
            }
            let room = CAPACITY - theirs.received.len();
            let count = match self.kind {
                SocketKind::Datagram if data.len() > CAPACITY => return Err(Error::OutOfRange),
                SocketKind::Datagram if data.len() > room => {
                    mine.refused = true;
                    return Err(Error::ShouldWait);
                }
                SocketKind::Stream if room == 0 => return Err(Error::ShouldWait),
                _ => data.len().min(room),
            };
            let written = data.get(..count).unwrap_or_default();
            match self.kind {
                SocketKind::Stream => theirs.received.push(written),
                SocketKind::Datagram => theirs.received.push_datagram(written),
            }
            Ok(count)
        })
    }

    /// Reads what was written to this end, and says how many bytes that were (`zx_socket_read`): of a stream as many as there
    /// are and `buffer` has room for; of a datagram the first of them, of which the rest is dropped.
    ///
    /// # Errors
    ///
    /// If there is nothing to read: [`Error::PeerClosed`] if an end is closed, else [`Error::BadState`] if the other is disabled for writing, else
    /// [`Error::ShouldWait`]. [`Error::InvalidArgs`] for unknown options.
    pub fn read(&self, buffer: &mut [u8], options: ReadOptions) -> Result<usize> {
        if !ReadOptions::all().contains(options) {
            return Err(Error::InvalidArgs);
        }
        self.with(|mine, theirs, closed| {
            if mine.received.len() == 0 {
                return Err(match (closed, theirs.write_disabled) {
                    (true, _) => Error::PeerClosed,
                    (false, true) => Error::BadState,
                    (false, false) => Error::ShouldWait,
                });
            }
            let count = mine.received.peek(buffer);
            if !options.contains(ReadOptions::PEEK) {
                mine.received.consume(count);
                theirs.refused = false;
            }
            Ok(count)
        })
    }

    /// Says whether this end and the other may write from now on (`zx_socket_set_disposition`). Each where `None` stays as it
    /// is.
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if an end is to be enabled and the other has not yet read all that it wrote; nothing changes then.
    pub fn set_disposition(
        &self,
        mine: Option<Disposition>,
        theirs: Option<Disposition>,
    ) -> Result {
        self.with(|this, other, _| {
            let unread = |end: &End| end.received.len() > 0;
            if mine == Some(Disposition::WriteEnabled) && unread(other)
                || theirs == Some(Disposition::WriteEnabled) && unread(this)
            {
                return Err(Error::BadState);
            }
            this.dispose(mine);
            other.dispose(theirs);
            Ok(())
        })
    }

    /// How many bytes must be there for [`Signals::SOCKET_READ_THRESHOLD`]; 0 if it is not used.
    pub fn read_threshold(&self) -> usize {
        self.half.both(&mut self.half.lock()).0.read_threshold
    }

    /// Sets how many bytes must be there for [`Signals::SOCKET_READ_THRESHOLD`] (`ZX_PROP_SOCKET_RX_THRESHOLD`); 0 turns it off.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for more than [`CAPACITY`].
    pub fn set_read_threshold(&self, bytes: usize) -> Result {
        if bytes > CAPACITY {
            return Err(Error::InvalidArgs);
        }
        self.with(|mine, _, _| mine.read_threshold = bytes);
        Ok(())
    }

    /// How many bytes there must be room for, for [`Signals::SOCKET_WRITE_THRESHOLD`]; 0 if it is not used.
    pub fn write_threshold(&self) -> usize {
        self.half.both(&mut self.half.lock()).0.write_threshold
    }

    /// Sets how many bytes there must be room for, for [`Signals::SOCKET_WRITE_THRESHOLD`] (`ZX_PROP_SOCKET_TX_THRESHOLD`); 0
    /// turns it off.
    ///
    /// # Errors
    ///
    /// [`Error::PeerClosed`] if an end is closed; [`Error::InvalidArgs`] for more than [`CAPACITY`].
    pub fn set_write_threshold(&self, bytes: usize) -> Result {
        self.with(|mine, _, closed| {
            if closed {
                return Err(Error::PeerClosed);
            }
            if bytes > CAPACITY {
                return Err(Error::InvalidArgs);
            }
            mine.write_threshold = bytes;
            Ok(())
        })
    }

    /// What the buffers have in them (`ZX_INFO_SOCKET`).
    pub fn info(&self) -> SocketInfo {
        let mut pair = self.half.lock();
        let closed = pair.closed;
        let (mine, theirs) = self.half.both(&mut pair);
        SocketInfo {
            kind: self.kind,
            rx_buf_max: CAPACITY,
            rx_buf_size: mine.received.len(),
            rx_buf_available: mine.received.available(),
            tx_buf_max: if closed { 0 } else { CAPACITY },
            tx_buf_size: theirs.received.len(),
        }
    }

    /// Nobody uses this end any more.
    fn close(&self) {
        let mut pair = self.half.lock();
        pair.closed = true;
        drop(mem::take(&mut self.half.both(&mut pair).0.received));
        let signals = self.refresh_peer(&mut pair);
        drop(pair);
        if let Some(signals) = signals {
            signals.run();
        }
    }
}

impl KernelObject for Socket {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Socket
    }

    fn related_koid(&self) -> Koid {
        self.half.peer_koid()
    }

    fn peer(&self) -> Result<Arc<dyn KernelObject>> {
        self.half.open_peer()
    }

    fn on_zero_handles(&self) {
        self.close();
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("base", &self.base)
            .field("peer", &self.half.peer_koid())
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
