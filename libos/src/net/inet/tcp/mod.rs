//! TCP (tcp(7)): connections that are pairs of byte queues. One end of a connection to another machine is held by the kernel, which passes on what comes to it.
//!
//! Read in this order: `connection` (the queues, and what closing and resetting does to both ends), `listen` (how connections come to be), [`socket`] (the
//! open file), `option` and `kernel` (what the kernel does with ends of its own).
//!
//! The one idea: what TCP's packets would bring about is done at once to both ends. The state of an end is the one that Linux would show as
//! soon as nothing is on its way any more, so there are no states in between.

mod connection;
mod kernel;
mod listen;
mod option;
pub mod socket;

use std::{
    ops::Deref,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use hal::cpu::Task;
use parking_lot::Mutex;

pub(in crate::net) use self::kernel::Listener;
pub(super) use self::option::CONGESTION;
pub use self::socket::TcpSocket;
use self::{connection::Pair, listen::Backlog};
use super::{
    Stack,
    address::Family,
    endpoint::Inet,
    options::{Numbers, TCP},
    ports::{Claim, Held, Terms},
};
use crate::{
    errno::{Errno, SysResult},
    net::{Options, Shutdown, Ucred},
    vfs::PollEvents,
};

/// What a new socket may send, and has room for (`net.ipv4.tcp_wmem`, `tcp_rmem`).
pub const BUFFERS: (usize, usize) = (16384, 131_072);
/// What a connected socket may send, unless somebody has said something else: what Linux finds for the packets of `lo`.
pub const SEND_BUFFER: usize = 2_626_560;

/// States of a socket, with Linux's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Connected.
    Established = 1,
    /// Waits for a place among those to be accepted.
    SynSent = 2,
    /// Has sent all; the peer has not.
    FinWait2 = 5,
    /// Not connected, or not any more.
    Close = 7,
    /// The peer has sent all.
    CloseWait = 8,
    /// Accepts connections.
    Listen = 10,
}

impl State {
    fn from_raw(raw: u8) -> Self {
        match raw {
            1 => Self::Established,
            2 => Self::SynSent,
            5 => Self::FinWait2,
            8 => Self::CloseWait,
            10 => Self::Listen,
            _ => Self::Close,
        }
    }
}

/// How far connect(2) has come, which outlives the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Not asked for.
    None,
    /// Whoever asks next is told how it has ended.
    Begun,
    /// Told.
    Done,
}

/// What others can hold of a TCP socket.
pub struct End {
    inet: Inet,
    state: AtomicU8,
    /// The peer has sent all that it will.
    finished: AtomicBool,
    /// Its last descriptor is gone.
    closed: AtomicBool,
    /// Connected, and not yet accepted.
    unaccepted: AtomicBool,
    /// It stands for one that another machine has, whose ports are not this machine's.
    elsewhere: AtomicBool,
    progress: Mutex<Progress>,
    /// Connections to accept, if it listens.
    listening: Mutex<Option<Backlog>>,
    /// What it is connected by, which its socket owns.
    pair: Mutex<Weak<Pair>>,
    /// The one that it will be accepted from, if that wants something to be there first (`TCP_DEFER_ACCEPT`).
    listener: OnceLock<Weak<Self>>,
    /// It is connected, and waits for something to be there.
    deferred: AtomicBool,
    /// Ends waiting, for an answer or for that.
    timer: Mutex<Option<Task<()>>>,
}

impl Deref for End {
    type Target = Inet;

    fn deref(&self) -> &Inet {
        &self.inet
    }
}

impl Claim for End {
    fn terms(&self) -> Terms {
        self.inet.terms(self.state() == State::Listen)
    }
}

impl End {
    fn new(stack: &Arc<Stack>, family: Family, owner: Ucred) -> SysResult<Arc<Self>> {
        let options = Options::sized(BUFFERS.0, BUFFERS.1);
        let inet = Inet::new(stack, family, owner, options, Numbers::new(family, TCP))?;
        Ok(Self::of(inet, Progress::None))
    }

    /// One that will be accepted from this one: it has the same options.
    fn child(&self) -> SysResult<Arc<Self>> {
        let (options, numbers) = (self.options.copy(), self.numbers.copy());
        let inet = Inet::new(self.stack(), self.family(), self.owner(), options, numbers)?;
        Ok(Self::of(inet, Progress::Done))
    }

    fn of(inet: Inet, progress: Progress) -> Arc<Self> {
        Arc::new(Self {
            inet,
            state: AtomicU8::new(State::Close as u8),
            finished: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            unaccepted: AtomicBool::new(false),
            elsewhere: AtomicBool::new(false),
            progress: Mutex::new(progress),
            listening: Mutex::default(),
            pair: Mutex::default(),
            listener: OnceLock::new(),
            deferred: AtomicBool::new(false),
            timer: Mutex::default(),
        })
    }

    /// Its state.
    pub fn state(&self) -> State {
        State::from_raw(self.state.load(Ordering::Acquire))
    }

    /// Changes the state; of a connection, with both its queues locked.
    fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Release);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether it is connected and not yet accepted.
    pub(super) fn is_unaccepted(&self) -> bool {
        self.unaccepted.load(Ordering::Relaxed)
    }

    /// Both ends exchange data from now on.
    fn establish(&self) {
        self.set_state(State::Established);
        self.options.grow_send_buffer(SEND_BUFFER);
    }

    /// It is as if it had never been connected.
    fn renew(&self) {
        self.reopen();
        self.finished.store(false, Ordering::Relaxed);
        self.set_state(State::Close);
    }

    /// `SO_OOBINLINE`
    fn reads_urgent_inline(&self) -> bool {
        self.options.urgent_inline.load(Ordering::Relaxed)
    }

    /// Whether it can send.
    fn may_send(&self) -> bool {
        matches!(self.state(), State::Established | State::CloseWait)
            && !self.shut().contains(Shutdown::SEND)
            && !self.has_error()
    }

    /// Why it cannot.
    fn why_not_send(&self) -> Errno {
        match self.take_error() {
            Some(error) => error,
            None if self.state() == State::SynSent => Errno::EAGAIN,
            None => Errno::EPIPE,
        }
    }

    /// What receiving ends with when there is nothing to receive.
    fn why_not_receive(&self) -> SysResult {
        if self.state() == State::Listen {
            return Err(Errno::ENOTCONN);
        }
        if self.finished.load(Ordering::Acquire) {
            return Ok(0);
        }
        match self.take_error() {
            Some(error) => Err(error),
            None if self.shut().contains(Shutdown::RECEIVE) => Ok(0),
            None if self.state() == State::Close => Err(Errno::ENOTCONN),
            None => Err(Errno::EAGAIN),
        }
    }

    /// The connection is over: nobody meets it in the table of ports any more, except by what bind(2) gave it.
    fn retire(self: &Arc<Self>) {
        let mut names = self.names.lock();
        let Some(held) = names.held.take() else { return };
        let mut ports = self.stack().tcp.lock();
        ports.release(held, self);
        if names.bound_port && !self.is_closed() {
            let held = Held { peer: None, ..held };
            ports.hold(held, self);
            names.held = Some(held);
        }
    }

    /// Its port is not for everybody for some time: it was the first to close.
    fn rest(&self) {
        if self.elsewhere.load(Ordering::Relaxed) {
            return;
        }
        let (local, reuses) = (self.names.lock().local, self.terms().reuses_address);
        self.stack().tcp.lock().wait(local, reuses);
    }

    /// Whether it is in /proc: not if it has only a name.
    pub(super) fn is_shown(&self) -> bool {
        self.state() != State::Close
    }

    /// Of one that listens, how many connections wait and how many may.
    pub(super) fn fill(&self) -> Option<(usize, usize)> {
        self.listening.lock().as_ref().map(Backlog::fill)
    }

    /// How many bytes it has sent that its peer has no room for, and how many it has received.
    pub(super) fn queues(&self) -> (usize, usize) {
        let pair = self.pair.lock().upgrade();
        pair.map_or((0, 0), |pair| pair.queues_of(self))
    }

    /// Tells everybody that everything has changed.
    fn notify_all(&self) {
        self.notify(PollEvents::all());
    }
}
