//! Exception channels: how a task's exceptions get to those who handle them.
//!
//! A task has one [`Binding`] for each kind of handler, with at most one channel in it. The kernel keeps the end that it writes to, and the
//! handler the other, which can only be read. A handler that closes its end is no handler any more; a task that ends
//! closes the kernel's, so that its handlers learn of it.

use std::{mem, sync::Arc};

use parking_lot::Mutex;

use crate::{
    channel::Channel,
    error::{Error, Result},
    handle::Handle,
    object::KernelObject,
    rights::Rights,
    signals::Signals,
    task::{Job, Process, Thread},
};

/// By which channel an exception went to its handler: `ZX_EXCEPTION_CHANNEL_TYPE_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum ExceptionChannelType {
    /// By none.
    #[default]
    None = 0,
    /// The debugger's of the process.
    Debugger = 1,
    /// The thread's.
    Thread = 2,
    /// The process's.
    Process = 3,
    /// A job's.
    Job = 4,
    /// The debugger's of a job.
    JobDebugger = 5,
}

/// Which of a task's channels is meant: the options of `zx_task_create_exception_channel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HandlerKind {
    /// Of a handler of what would kill the process.
    #[default]
    Standard,
    /// Of a debugger: `ZX_EXCEPTION_CHANNEL_DEBUGGER`.
    Debugger,
}

impl HandlerKind {
    /// The kind that these options ask for.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for others.
    pub fn from_options(options: u32) -> Result<Self> {
        match options {
            0 => Ok(Self::Standard),
            1 => Ok(Self::Debugger),
            _ => Err(Error::InvalidArgs),
        }
    }
}

/// What a handler can do with its end.
const HANDLER_RIGHTS: Rights = Rights::TRANSFER.union(Rights::WAIT).union(Rights::READ);

/// What a handle to a task must allow so that one may handle the task's exceptions: they give the same rights to the thread.
const TASK_RIGHTS: Rights =
    Rights::INSPECT.union(Rights::DUPLICATE).union(Rights::TRANSFER).union(Rights::MANAGE_THREAD);

/// A place for an exception channel.
#[derive(Default)]
pub(in crate::task) struct Binding(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Free,
    Bound(Bound),
    /// The task has ended.
    Shut,
}

/// The kernel's end of an exception channel.
#[derive(Clone)]
pub(super) struct Bound {
    pub(super) channel: Arc<Channel>,
    /// Those of the handle to the task through which the channel was made.
    pub(super) rights: Rights,
}

impl Bound {
    fn is_open(&self) -> bool {
        !self.channel.signals().contains(Signals::PEER_CLOSED)
    }
}

impl Binding {
    /// Makes a channel, and returns the handler's end.
    fn bind(&self, rights: Rights) -> Result<Handle> {
        let (channel, handlers) = Channel::create();
        let mut state = self.0.lock();
        match &*state {
            State::Shut => return Err(Error::BadState),
            State::Bound(bound) if bound.is_open() => return Err(Error::AlreadyBound),
            State::Bound(_) | State::Free => {}
        }
        let old = mem::replace(&mut *state, State::Bound(Bound { channel, rights }));
        drop(state);
        drop(old);
        Ok(Handle::with_rights(handlers, HANDLER_RIGHTS))
    }

    /// The channel, if there is a handler.
    pub(super) fn get(&self) -> Option<Bound> {
        match &*self.0.lock() {
            State::Bound(bound) if bound.is_open() => Some(bound.clone()),
            _ => None,
        }
    }

    /// Whether there is a handler.
    pub(in crate::task) fn is_bound(&self) -> bool {
        matches!(&*self.0.lock(), State::Bound(bound) if bound.is_open())
    }

    /// Closes the channel, for the task has ended, and takes no other.
    pub(in crate::task) fn shut(&self) {
        let old = mem::replace(&mut *self.0.lock(), State::Shut);
        drop(old);
    }
}

/// A channel from which exceptions of the task behind `task` are read (`zx_task_create_exception_channel`).
///
/// # Errors
///
/// [`Error::WrongType`] if it is no job, process or thread; [`Error::InvalidArgs`] for the debugger of a thread;
/// [`Error::AccessDenied`] without [`Rights::INSPECT`], [`Rights::DUPLICATE`], [`Rights::TRANSFER`] and
/// [`Rights::MANAGE_THREAD`], or without [`Rights::ENUMERATE`] of a job or process; [`Error::AlreadyBound`] if the task has a handler
/// of this kind; [`Error::BadState`] if it is ending or has ended.
pub fn create_exception_channel(task: &Handle, kind: HandlerKind) -> Result<Handle> {
    let of_many = TASK_RIGHTS | Rights::ENUMERATE;
    let rights = task.rights();
    if let Ok(job) = task.get::<Job>(Rights::empty()) {
        rights.require(of_many)?;
        if job.is_ending() {
            return Err(Error::BadState);
        }
        job.handlers.of(kind).bind(rights)
    } else if let Ok(process) = task.get::<Process>(Rights::empty()) {
        rights.require(of_many)?;
        if process.is_ending() {
            return Err(Error::BadState);
        }
        process.handlers.of(kind).bind(rights)
    } else {
        let thread = task.get::<Thread>(TASK_RIGHTS)?;
        if kind == HandlerKind::Debugger {
            return Err(Error::InvalidArgs);
        }
        if thread.is_dying() {
            return Err(Error::BadState);
        }
        thread.exceptions.handler.bind(rights)
    }
}
