//! How a runtime is to be, and runtimes on several threads.

use std::{future::Future, io, thread};

use super::Runtime;
use crate::backend::{Kind, Sizes};

/// How many operations can be on their way, unless a builder says otherwise.
const OPERATIONS: u32 = 1024;
/// How large the arena is, unless a builder says otherwise.
const ARENA: u64 = 1 << 20;

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    kind: Option<Kind>,
    sizes: Sizes,
}

impl Settings {
    pub(super) fn kind(&self) -> io::Result<Option<Kind>> {
        if self.kind.is_some() { Ok(self.kind) } else { Kind::forced() }
    }

    pub(super) fn sizes(&self) -> Sizes {
        self.sizes
    }
}

/// Says how a runtime is to be.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use libos_guest::Builder;
///
/// let mut runtime = Builder::new().operations(64).arena(64 << 10).build()?;
/// assert_eq!(runtime.block_on(async { 6 * 7 }), 42);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Builder {
    settings: Settings,
    threads: usize,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// One thread, 1024 operations, an arena of 1 MiB, and the best [`Kind`] that there is.
    pub fn new() -> Self {
        let sizes = Sizes { operations: OPERATIONS, arena: ARENA, polled: false };
        Self { settings: Settings { kind: None, sizes }, threads: 1 }
    }

    /// Who is to carry out the system calls. Otherwise the environment says it (`LIBOS_GUEST_BACKEND`, one of `ring`, `io_uring` and `epoll`), or
    /// what there is.
    #[must_use]
    pub fn backend(mut self, kind: Kind) -> Self {
        self.settings.kind = Some(kind);
        self
    }

    /// How many system calls each thread can have on their way, a power of two from 4 to 16384. One of them is the
    /// runtime's own. Those beyond wait.
    #[must_use]
    pub fn operations(mut self, count: u32) -> Self {
        self.settings.sizes.operations = count;
        self
    }

    /// How many bytes there are for [arena buffers](crate::buffer::arena), on each thread.
    #[must_use]
    pub fn arena(mut self, bytes: u64) -> Self {
        self.settings.sizes.arena = bytes;
        self
    }

    /// Has the kernel look at the ring by itself, on a CPU of its own, if it is [this kernel](Kind::Ring) and has one to spare.
    #[must_use]
    pub fn polled(mut self, polled: bool) -> Self {
        self.settings.sizes.polled = polled;
        self
    }

    /// How many threads [`run`](Self::run) starts; 0 is one for each CPU.
    #[must_use]
    pub fn threads(mut self, count: usize) -> Self {
        self.threads = count;
        self
    }

    /// A runtime for this thread.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for numbers that cannot be; `Unsupported` or `ENOSYS` if the host lacks the kind that was asked for; `EMFILE`, `ENOMEM`.
    pub fn build(&self) -> io::Result<Runtime> {
        let operations = self.settings.sizes.operations;
        if !operations.is_power_of_two() || !(4..=1 << 14).contains(&operations) {
            let text = "the number of operations is a power of two from 4 to 16384";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Runtime::with_settings(&self.settings)
    }

    /// Runs `main` on every thread, each with a runtime of its own, and gives what they returned. It is told the thread's number. Threads share
    /// nothing but what `main` has them share; wake-ups from one to the other work.
    ///
    /// # Errors
    ///
    /// Those of [`build`](Self::build), and of starting a thread.
    ///
    /// # Panics
    ///
    /// If one of them does.
    pub fn run<F>(&self, main: impl Fn(usize) -> F + Sync) -> io::Result<Vec<F::Output>>
    where
        F: Future<Output: Send>,
    {
        let count = match self.threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let run = |index| -> io::Result<F::Output> { Ok(self.build()?.block_on(main(index))) };
        if count == 1 {
            return Ok(vec![run(0)?]);
        }
        thread::scope(|scope| {
            let run = &run;
            let start = |index| thread::Builder::new().spawn_scoped(scope, move || run(index));
            let threads = (0..count).map(start).collect::<io::Result<Vec<_>>>()?;
            let join = |thread: thread::ScopedJoinHandle<'_, io::Result<F::Output>>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        })
    }
}

/// Runs `future` to its end in a runtime as [`Runtime::new`] makes it, with the tasks that it [spawns](crate::spawn). Those that are left are dropped.
///
/// # Errors
///
/// Those of [`Builder::build`].
pub fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    Ok(Runtime::new()?.block_on(future))
}
