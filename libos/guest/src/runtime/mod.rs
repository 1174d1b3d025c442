//! One thread's tasks, timers and calls, and the loop that runs them.
//!
//! The one idea: a thread has a ring to itself and enters the kernel when all its tasks wait, once: that hands over what they have asked for
//! meanwhile and waits for the first answer. Nothing is shared between threads but the lists on which wake-ups from elsewhere are put.
//!
//! ```text
//!   ┌─► tasks run, and write down their calls ─► published at once ─► answers taken ─┐
//!   │                                                                                │ some: their tasks run
//!   ├────────────────────────────────────────────────────────────────────────────────┤
//!   │                                                                                │ none, and no task is ready
//!   └───────────────────────── wait for one answer, the next timer ◄─────────────────┘
//!                              or another thread: one entry to the kernel
//! ```
//!
//! With a ring of this kernel's the thread is a coroutine of the kernel's while it waits: it [parks](crate::Ring::park), which is to return from a
//! poll, and is called again when there is an answer, with its stack and nothing in registers. Taken off its CPU in the middle of a task it is
//! a thread like any other.

mod builder;
pub(crate) mod event;
mod remote;
mod tasks;
mod timers;

use std::{
    cell::RefCell,
    future::Future,
    io,
    pin::Pin,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use evering::heap::{Heap, Local};

use self::{builder::Settings, remote::Remote};
pub use self::{
    builder::{Builder, block_on},
    tasks::{JoinHandle, spawn, yield_now},
};
pub(crate) use self::{tasks::Tasks, timers::Timers};
use crate::{
    abi::Submission,
    backend::{self, Backend, Kind},
    net::picked::Group,
    operation::{self, Driver, Fd, Lent, Operation},
    ring::Parts,
};

/// How many tasks are run before their calls are handed over, though others are ready.
const BUDGET: usize = 128;
/// How often what is ready is run before the calls of that are handed over, though something is ready again.
const ROUNDS: u32 = 16;
/// How long to look for answers of a kernel that looks at the ring by itself: about as long as to be woken takes.
const LOOK: Duration = Duration::from_micros(20);
/// How long a runtime that ends waits for its calls to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// What tasks use of their thread's runtime.
pub(crate) struct Core {
    driver: Driver,
    heap: Heap<Local>,
    pub(crate) tasks: Tasks,
    pub(crate) timers: Timers,
    remote: Arc<Remote>,
    /// The groups of buffers to pick from: the kernel has their memory until the end.
    groups: RefCell<Vec<Rc<Group>>>,
    kind: Kind,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
}

/// Calls `run` with this thread's runtime, if there is one.
pub(crate) fn try_with<R>(run: impl FnOnce(&Rc<Core>) -> R) -> Option<R> {
    CURRENT.try_with(|current| current.borrow().as_ref().map(run)).ok().flatten()
}

/// Calls `run` with this thread's runtime.
#[track_caller]
pub(crate) fn with<R>(run: impl FnOnce(&Rc<Core>) -> R) -> R {
    try_with(run).expect("there is no runtime of libos-guest on this thread: use block_on")
}

pub(crate) fn driver() -> Driver {
    with(|core| core.driver.clone())
}

pub(crate) fn heap() -> Heap<Local> {
    with(|core| core.heap.clone())
}

/// Who carries out this thread's system calls.
///
/// # Panics
///
/// If there is no runtime on this thread.
pub fn backend_kind() -> Kind {
    with(|core| core.kind)
}

/// Keeps a group of buffers as long as the runtime; its number.
pub(crate) fn keep_group(make: impl FnOnce(Weak<Core>, u16) -> Rc<Group>) -> io::Result<Rc<Group>> {
    with(|core| {
        let mut groups = core.groups.borrow_mut();
        let number = u16::try_from(groups.len()).map_err(io::Error::other)?;
        let group = make(Rc::downgrade(core), number);
        groups.push(Rc::clone(&group));
        Ok(group)
    })
}

/// Has a call made in whose result nobody is interested, if that is this thread's runtime and there is a place for it now.
///
/// # Safety
///
/// That of [`operation::begin`], with nothing lent.
pub(crate) unsafe fn fire(runtime: &Weak<Core>, submission: Submission) -> bool {
    let begun = try_with(|core| {
        let here = std::ptr::eq(Rc::as_ptr(core), runtime.as_ptr());
        here.then(|| core.driver.try_submit(submission, Lent::default()).ok()).flatten()
    });
    begun.flatten().map(Operation::detach).is_some()
}

/// A thread's runtime. It stays on its thread.
pub struct Runtime {
    core: Rc<Core>,
    backend: Option<Box<dyn Backend>>,
    /// What the task reads by which other threads wake this one, until it is there.
    unheard: Option<Fd>,
    /// The kernel looks at the ring by itself.
    polled: bool,
}

/// The future that [`Runtime::block_on`] was called with.
struct Main<'a, F> {
    future: Pin<&'a mut F>,
    woken: Arc<remote::MainWaker>,
    waker: Waker,
}

impl<F: Future> Main<'_, F> {
    fn poll_if_woken(&mut self) -> Poll<F::Output> {
        if !self.woken.take() {
            return Poll::Pending;
        }
        self.future.as_mut().poll(&mut Context::from_waker(&self.waker))
    }
}

/// Says which runtime is this thread's, and takes it back.
struct Entered {
    before: Option<Rc<Core>>,
}

impl Entered {
    fn new(core: &Rc<Core>) -> Self {
        Self { before: CURRENT.replace(Some(Rc::clone(core))) }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let _ = CURRENT.try_with(|current| current.replace(self.before.take()));
    }
}

impl Runtime {
    /// A runtime as a [`Builder`] makes it when it was told nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Builder::build`].
    pub fn new() -> io::Result<Self> {
        Builder::new().build()
    }

    fn with_settings(settings: &Settings) -> io::Result<Self> {
        let (parts, backend, kind) = backend::connect(settings.kind()?, settings.sizes())?;
        let Parts { sender, receiver, arena } = parts;
        let driver = Driver::local(sender, receiver, settings.sizes().operations as usize)
            .batching()
            .with_cancel(operation::cancel)
            .with_orphans(operation::orphan);
        let remote = Arc::new(Remote::new()?);
        let unheard = Some(remote.listen()?);
        let polled = settings.sizes().polled && kind == Kind::Ring;
        let core = Core {
            driver,
            heap: Heap::new(arena),
            tasks: Tasks::new(Arc::clone(&remote)),
            timers: Timers::default(),
            remote,
            groups: RefCell::default(),
            kind,
        };
        Ok(Self { core: Rc::new(core), backend: Some(backend), unheard, polled })
    }

    /// Who carries out the system calls.
    pub fn backend(&self) -> Kind {
        self.core.kind
    }

    /// Runs `future` to its end, and with it the tasks that were [spawned](spawn). Those that are left go on the next time.
    ///
    /// # Panics
    ///
    /// If a task panics, if a runtime is running on this thread already, and if the ring has become useless, as it does when somebody closes
    /// its descriptor.
    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        let entered = Entered::new(&self.core);
        assert!(entered.before.is_none(), "a runtime is running on this thread already");
        let future = std::pin::pin!(future);
        let woken = Arc::new(remote::MainWaker::new(Arc::clone(&self.core.remote)));
        let mut main = Main { future, waker: Waker::from(Arc::clone(&woken)), woken };
        loop {
            if let Poll::Ready(output) = self.run_until_idle(&mut main) {
                self.core.driver.flush();
                return output;
            }
            if let Some(fd) = self.unheard.take() {
                spawn(remote::hear(fd));
                continue;
            }
            self.park();
        }
    }

    /// Runs `main` and tasks until all of them wait, and has published then what they wait for.
    fn run_until_idle<F: Future>(&mut self, main: &mut Main<'_, F>) -> Poll<F::Output> {
        let mut rounds = 0_u32;
        loop {
            let main_is = main.poll_if_woken();
            if main_is.is_ready() {
                return main_is;
            }
            let more = self.core.tasks.run(BUDGET);
            self.core.timers.fire();
            let answers = self.core.driver.turn();
            if !more
                && !answers.is_ok_and(|count| count > 0)
                && !self.core.tasks.is_ready()
                && !main.woken.is_set()
            {
                return Poll::Pending;
            }
            rounds = rounds.wrapping_add(1);
            if more || rounds.is_multiple_of(ROUNDS) {
                // Nobody waits, so the kernel has to be told of what was published by itself.
                see(self.backend.as_mut().map_or(Ok(()), |backend| backend.submit()));
            }
        }
    }

    /// Waits for an answer, a timer or another thread: the one place where the thread sleeps.
    fn park(&mut self) {
        let timeout =
            self.core.timers.next().map(|at| at.saturating_duration_since(Instant::now()));
        if self.polled && self.look(timeout.unwrap_or(LOOK).min(LOOK)) {
            return;
        }
        let Some(backend) = self.backend.as_mut() else { return };
        see(self.core.remote.sleep(|awake| {
            let timeout = if awake { Some(Duration::ZERO) } else { timeout };
            backend.wait(timeout)
        }));
    }

    /// Looks for answers for a while, which a kernel that looks at the ring by itself may give meanwhile: whether something has come.
    fn look(&mut self, limit: Duration) -> bool {
        see(self.backend.as_mut().map_or(Ok(()), |backend| backend.submit()));
        let end = Instant::now() + limit;
        while Instant::now() < end {
            match self.core.driver.turn() {
                Ok(0) if !self.core.remote.has_news() => {}
                Ok(_) => return true,
                Err(_) => return false, // as whoever waits finds out
            }
            std::hint::spin_loop();
        }
        false
    }

    /// Waits until no operation is left: whether that was so.
    fn drain(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        loop {
            let over = self.core.driver.turn().is_err();
            if self.core.driver.is_empty() {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            let Some(backend) = self.backend.as_mut() else { return false };
            if over || left.is_zero() || backend.wait(Some(left)).is_err() {
                return false;
            }
        }
    }
}

/// Without whom carries out the calls nothing goes on. What is on its way is never freed then, as nobody knows who uses it.
fn see(result: io::Result<()>) {
    if let Err(error) = result {
        panic!("system calls are not carried out any more: {error}");
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let _entered = Entered::new(&self.core);
        self.core.tasks.clear();
        if !self.drain() {
            // The kernel may still use what was lent, and so nobody else may, ever.
            std::mem::forget(self.core.driver.clone());
            std::mem::forget(self.core.groups.take());
            std::mem::forget(self.backend.take());
        }
        // Before the groups, whose memory it may pick from.
        self.backend = None;
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("backend", &self.core.kind).finish_non_exhaustive()
    }
}
