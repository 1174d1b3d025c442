//! Exceptions: what happens to a thread that it cannot go on from by itself, as values that others handle.
//!
//! A thread that [raises](Thread::raise) an exception waits. A message goes to the first of those who handle exceptions of the thread,
//! its process and its jobs, and in it a handle to the [`Exception`]. What the handler does with it takes effect when the last
//! handle to it is closed, so a handler that dies holds nobody up: the thread goes on, or ends, or the next handler has its turn.
//! When nobody is left the process is killed.
//!
//! The waiting thread is a future like any other. A kill drops it where it waits, and a suspension comes after it.
//!
//! Those who only want to see threads and processes come and go are told by exceptions too: a debugger of a process when a thread
//! starts or exits, a debugger of a job when a process starts.

mod binding;
mod deliver;
mod report;

use std::{fmt, mem, sync::Arc, task::Waker};

use futures::task::AtomicWaker;
use parking_lot::Mutex;

use self::binding::Binding;
pub use self::{
    binding::{ExceptionChannelType, HandlerKind, create_exception_channel},
    report::{ArchContext, ExceptionInfo, ExceptionReport, ExceptionType, PolicyCode},
};
use super::{process::Process, thread::Thread};
use crate::{
    channel::Message,
    error::{Error, Result},
    handle::Handle,
    object::{KObjectBase, KernelObject, ObjectType},
    rights::Rights,
};

/// What becomes of the thread when the exception is closed: `ZX_EXCEPTION_STATE_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum ExceptionState {
    /// The next handler has its turn.
    #[default]
    TryNext = 0,
    /// It goes on.
    Handled = 1,
    /// It ends.
    ThreadExit = 2,
}

impl ExceptionState {
    /// The state with this number.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`].
    pub fn from_raw(raw: u32) -> Result<Self> {
        match raw {
            0 => Ok(Self::TryNext),
            1 => Ok(Self::Handled),
            2 => Ok(Self::ThreadExit),
            _ => Err(Error::InvalidArgs),
        }
    }
}

/// How often the debugger of a process has its turn: `ZX_EXCEPTION_STRATEGY_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum ExceptionStrategy {
    /// Before all others.
    #[default]
    FirstChance = 0,
    /// Once more behind the process's handler.
    SecondChance = 1,
}

impl ExceptionStrategy {
    /// The strategy with this number.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`].
    pub fn from_raw(raw: u32) -> Result<Self> {
        match raw {
            0 => Ok(Self::FirstChance),
            1 => Ok(Self::SecondChance),
            _ => Err(Error::InvalidArgs),
        }
    }
}

/// An exception that a thread waits in.
///
/// ```
/// use futures::executor::block_on;
/// use hal::context::Exception as Fault;
/// use kernel_objects::{Channel, Handle, KernelObject, Signals, downcast};
/// use kernel_objects::channel::{ReadOptions, Room};
/// use kernel_objects::task::*;
///
/// let process = Process::create(&Job::root(), "p").unwrap();
/// let thread = Thread::create(&process, "t").unwrap();
/// // Whoever has a handle to the process may handle what happens to its threads.
/// let handle = Handle::new(process.clone());
/// let handler = create_exception_channel(&handle, HandlerKind::Standard).unwrap();
///
/// // The thread divides by zero, and goes on when somebody has taken care of it.
/// let body = {
///     let thread = thread.clone();
///     let fault = Fault { signal: 8, code: 1, addr: 0x1000, trapno: 0, error: 0 };
///     async move { thread.raise(ExceptionReport::from(&fault)).await }
/// };
/// let run = process.start(&thread, body).unwrap();
/// let guest = std::thread::spawn(move || block_on(run));
///
/// let channel: std::sync::Arc<Channel> = downcast(handler.object().clone()).unwrap();
/// block_on(channel.wait_one(Signals::READABLE)).unwrap();
/// let message = channel.read(Room::ANY, ReadOptions::empty()).unwrap();
/// let exception: std::sync::Arc<Exception> = downcast(message.handles[0].object().clone()).unwrap();
/// assert_eq!(exception.report().exception, ExceptionType::General);
/// exception.set_state(ExceptionState::Handled);
/// drop(message); // closes the handle
/// guest.join().unwrap();
/// ```
pub struct Exception {
    base: KObjectBase,
    thread: Arc<Thread>,
    report: ExceptionReport,
    /// Of the thread, while a handler has its turn.
    waker: AtomicWaker,
    turn: Mutex<Turn>,
}

/// What one handler sees and says.
#[derive(Default)]
struct Turn {
    /// By which channel the handler got it.
    channel: ExceptionChannelType,
    /// What the handler may do with the thread, and with the process.
    rights: Rights,
    state: ExceptionState,
    /// Kept from one turn to the next.
    strategy: ExceptionStrategy,
    /// The handler has closed it.
    closed: bool,
}

impl Exception {
    fn new(thread: &Arc<Thread>, report: ExceptionReport) -> Arc<Exception> {
        Arc::new(Exception {
            base: KObjectBase::new(),
            thread: thread.clone(),
            report,
            waker: AtomicWaker::new(),
            turn: Mutex::default(),
        })
    }

    /// The thread that it happened to.
    pub fn thread(&self) -> &Arc<Thread> {
        &self.thread
    }

    /// What is known of it.
    pub fn report(&self) -> &ExceptionReport {
        &self.report
    }

    /// A handle to the thread, with the rights of the handle through which the handler's channel was made
    /// (`zx_exception_get_thread`).
    pub fn get_thread(&self) -> Handle {
        Handle::with_rights(self.thread.clone(), self.turn.lock().rights)
    }

    /// A handle to the process, with the rights of the handle through which the handler's channel was made
    /// (`zx_exception_get_process`).
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] if it came through a thread's channel, for whoever handles a thread need not know the process.
    pub fn get_process(&self) -> Result<Handle> {
        let turn = self.turn.lock();
        if turn.channel == ExceptionChannelType::Thread {
            return Err(Error::AccessDenied);
        }
        let process: Arc<Process> = self.thread.process().clone();
        Ok(Handle::with_rights(process, turn.rights))
    }

    /// What is to become of the thread (`ZX_PROP_EXCEPTION_STATE`).
    pub fn state(&self) -> ExceptionState {
        self.turn.lock().state
    }

    /// Says what is to become of the thread when this is closed (`ZX_PROP_EXCEPTION_STATE`).
    pub fn set_state(&self, state: ExceptionState) {
        self.turn.lock().state = state;
    }

    /// How often the debugger has its turn (`ZX_PROP_EXCEPTION_STRATEGY`).
    pub fn strategy(&self) -> ExceptionStrategy {
        self.turn.lock().strategy
    }

    /// Says how often the debugger has its turn (`ZX_PROP_EXCEPTION_STRATEGY`).
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] unless it is the debugger of the process that has its turn.
    pub fn set_strategy(&self, strategy: ExceptionStrategy) -> Result {
        if self.thread.info().wait_exception_channel != ExceptionChannelType::Debugger {
            return Err(Error::BadState);
        }
        self.turn.lock().strategy = strategy;
        Ok(())
    }

    /// By which channel the handler whose turn it is got it, as long as the thread waits.
    pub(in crate::task) fn channel_type(&self) -> ExceptionChannelType {
        let turn = self.turn.lock();
        if turn.closed { ExceptionChannelType::None } else { turn.channel }
    }

    /// Gives the handler behind `binding` its turn; false if there is none.
    fn send(self: &Arc<Self>, channel: ExceptionChannelType, binding: &Binding) -> bool {
        let Some(bound) = binding.get() else { return false };
        let info = ExceptionInfo {
            process: self.thread.process().koid(),
            thread: self.thread.koid(),
            exception: self.report.exception as u32,
        };
        let rights = bound.rights;
        {
            let mut turn = self.turn.lock();
            *turn = Turn { channel, rights, strategy: turn.strategy, ..Turn::default() };
        }
        let handles = vec![Handle::new(self.clone())];
        // If it closed its end meanwhile, the handle goes with the message, as if it had been read and closed.
        bound.channel.write(Message::new(info.to_bytes(), handles)).is_ok()
    }

    /// What the handler said, once it has; until then `waker` is to be woken.
    fn poll_closed(&self, waker: &Waker) -> Option<ExceptionState> {
        self.waker.register(waker);
        let turn = self.turn.lock();
        turn.closed.then_some(turn.state)
    }
}

/// What a process or a job has to do with exceptions.
#[derive(Default)]
pub(in crate::task) struct TaskHandlers {
    pub(in crate::task) standard: Binding,
    pub(in crate::task) debugger: Binding,
}

impl TaskHandlers {
    fn of(&self, kind: HandlerKind) -> &Binding {
        match kind {
            HandlerKind::Standard => &self.standard,
            HandlerKind::Debugger => &self.debugger,
        }
    }

    /// The task has ended.
    pub(in crate::task) fn shut(&self) {
        self.standard.shut();
        self.debugger.shut();
    }
}

/// What a thread has to do with exceptions.
#[derive(Default)]
pub(in crate::task) struct ThreadExceptions {
    pub(in crate::task) handler: Binding,
    /// The one that it waits in.
    current: Mutex<Option<Arc<Exception>>>,
    /// What it is to be raised about when a call has ended.
    deferred: Mutex<Option<(PolicyCode, u32)>>,
}

impl ThreadExceptions {
    pub(in crate::task) fn current(&self) -> Option<Arc<Exception>> {
        self.current.lock().clone()
    }

    fn set_current(&self, exception: Option<Arc<Exception>>) {
        let before = mem::replace(&mut *self.current.lock(), exception);
        drop(before);
    }

    pub(in crate::task) fn defer(&self, code: PolicyCode, data: u32) {
        *self.deferred.lock() = Some((code, data));
    }

    pub(in crate::task) fn take_deferred(&self) -> Option<(PolicyCode, u32)> {
        self.deferred.lock().take()
    }
}

impl KernelObject for Exception {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Exception
    }

    fn on_zero_handles(&self) {
        // It may come late, when the next handler has its turn already.
        if self.handle_count() == 0 {
            self.turn.lock().closed = true;
            self.waker.wake();
        }
    }
}

impl fmt::Debug for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exception")
            .field("base", &self.base)
            .field("thread", &self.thread)
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(in crate::task) mod tests;
