//! Whom a runtime has its system calls carried out by.
//!
//! The one idea: below the runtime there is always the same pair of evering's queues. In this kernel its other side is the kernel; everywhere
//! else it is a [`Backend`] on this side of the host's calls, which takes the same submissions and has the same completions. So nothing above
//! knows where it runs.
//!
//! ```text
//!                 ┌── the kernel, behind its ring       (Kind::Ring)
//!  queues ◄──────►├── the host's io_uring               (Kind::IoUring)
//!                 └── epoll and a pool of threads       (Kind::Epoll)
//! ```

mod direct;
mod epoll;
mod pool;
mod uring;

use std::{env, fmt, io, time::Duration};

use evering::{
    peer::{self, Link, Peer},
    region::{Keeper, Options},
    spsc::{Receiver, Sender},
};

use crate::{
    Ring,
    abi::{Completion, Setup, Submission, setup},
    ring::{Door, Parts},
};

/// The variable of the environment that says which [`Kind`] to use.
pub(crate) const VARIABLE: &str = "LIBOS_GUEST_BACKEND";

/// Who carries out the system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The kernel, by its own ring.
    Ring,
    /// The kernel, by io_uring.
    IoUring,
    /// This process, by calls that do not block, epoll(7), and threads for those that do.
    Epoll,
}

impl Kind {
    /// All, the best one first.
    pub const ALL: [Self; 3] = [Self::Ring, Self::IoUring, Self::Epoll];

    fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        }
    }

    /// The one that the environment asks for with `LIBOS_GUEST_BACKEND`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a name that none has.
    pub(crate) fn forced() -> io::Result<Option<Self>> {
        let Some(name) = env::var_os(VARIABLE) else { return Ok(None) };
        match Self::ALL.into_iter().find(|kind| name == kind.name()) {
            Some(kind) => Ok(Some(kind)),
            None => {
                let text = format!("{VARIABLE} is ring, io_uring or epoll");
                Err(io::Error::new(io::ErrorKind::InvalidInput, text))
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The other side of the queues.
pub(crate) trait Backend {
    /// Sees to it that what is published is begun.
    fn submit(&mut self) -> io::Result<()>;

    /// The same, and waits until there is a completion, for `timeout`, or until something else happens.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;
}

/// How large a runtime's queues are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// How many operations can be on their way. Each may be followed by one that cancels it, which completes, too: so there are twice as
    /// many places for completions.
    pub(crate) operations: u32,
    pub(crate) arena: u64,
    pub(crate) polled: bool,
}

/// The runtime's side, and the other one.
pub(crate) type Connection = (Parts, Box<dyn Backend>, Kind);

/// Connects with `kind`, or with the best one that there is.
pub(crate) fn connect(kind: Option<Kind>, sizes: Sizes) -> io::Result<Connection> {
    let kinds = match kind {
        Some(kind) => &[kind][..],
        None => &Kind::ALL[..],
    };
    let mut result = Err(io::ErrorKind::Unsupported.into());
    for &kind in kinds {
        let connected = match kind {
            Kind::Ring => connect_ring(sizes),
            Kind::IoUring => connect_here(sizes, |side| uring::Uring::new(side, sizes.operations)),
            Kind::Epoll => connect_here(sizes, epoll::Epoll::new),
        };
        result = connected.map(|(parts, backend)| (parts, backend, kind));
        if result.is_ok() {
            break;
        }
    }
    result
}

fn connect_ring(sizes: Sizes) -> io::Result<(Parts, Box<dyn Backend>)> {
    let setup = Setup {
        flags: if sizes.polled { setup::POLLED } else { 0 },
        submissions: sizes.operations,
        completions: sizes.operations * 2,
        arena: sizes.arena,
        ..Setup::default()
    };
    let (parts, door) = Ring::open_parts(setup)?;
    Ok((parts, Box::new(door)))
}

impl Backend for Door {
    fn submit(&mut self) -> io::Result<()> {
        Self::submit(self)
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.park(1, timeout)
    }
}

/// The other side of queues within this process.
pub(crate) struct Side {
    requests: Receiver<Submission, Keeper>,
    answers: Sender<Completion, Keeper>,
    /// Of both sides, which end together.
    _links: [Link; 2],
}

/// How many submissions are taken at once.
const BATCH: usize = 32;

impl Side {
    /// Takes submissions: how many.
    fn take(&mut self, batch: &mut [Submission; BATCH]) -> usize {
        // The other side is our own: it does not break the queue, and when it is gone there is nothing to do.
        self.requests.recv_batch(batch).unwrap_or(0)
    }

    /// Answers. There is room, since there are no more operations than that.
    fn answer(&mut self, id: u64, result: i64) {
        let sent = self.answers.send(Completion { id, result });
        debug_assert!(sent.is_ok(), "there is a place for every operation's completion");
    }

    /// Whether there are completions that the runtime has not seen.
    fn has_answers(&mut self) -> bool {
        self.answers.unreceived().is_ok_and(|count| count > 0)
    }
}

fn connect_here<B: Backend + 'static>(
    sizes: Sizes,
    make: impl FnOnce(Side) -> io::Result<B>,
) -> io::Result<(Parts, Box<dyn Backend>)> {
    let options = Options::new()
        .capacities(sizes.operations * 2, sizes.operations)
        .arenas(0, sizes.arena)
        .away(1);
    let (there, here) = peer::pair(&options).map_err(io::Error::other)?;
    let Peer { sender: answers, receiver: requests, arena: _, link: theirs } = there;
    let Peer { sender, receiver, arena, link: ours } = here;
    let backend = make(Side { requests, answers, _links: [ours, theirs] })?;
    Ok((Parts { sender, receiver, arena }, Box::new(backend)))
}
