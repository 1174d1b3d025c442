//! What is recorded: small plain values, made by the CPU that has something to tell and turned into text later, by another thread.
//!
//! The one idea: a record says what changed, not how long it lasted, so that the CPU keeps no state for it; [`Timeline`] makes slices of
//! the changes. Only a call that ended at once is one record instead of two, for it is what there is most of.
//!
//! [`Timeline`]: super::timeline::Timeline

use hal::{aspace::AddressSpace, context::Trap};
use kernel_objects::Error;

use crate::errno::Errno;

/// A guest's thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Who {
    /// Its process's number; a koid of Zircon's.
    pub(crate) pid: u32,
    /// Its own number.
    pub(crate) tid: u32,
}

/// Which way a system call comes into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// By a trap in the kernel's own host process.
    InProcess,
    /// By a trap in a host process of its own.
    Isolated,
    /// By a ring of evering's.
    Evering,
    /// By one of io_uring's.
    IoUring,
}

impl Door {
    /// The way of traps from `space`.
    pub(crate) fn of(space: &AddressSpace) -> Self {
        if space.is_isolated() { Self::Isolated } else { Self::InProcess }
    }

    /// What the trace calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::InProcess => "trap in-process",
            Self::Isolated => "trap isolated",
            Self::Evering => "evering",
            Self::IoUring => "io_uring",
        }
    }
}

/// Whose numbers a call's is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abi {
    /// Linux.
    Linux,
    /// Zircon.
    Zircon,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With what Linux returns.
    Linux(Result<u64, Errno>),
    /// With what Zircon returns.
    Zircon(Result<u64, Error>),
    /// Not by itself: it was dropped where it waited, with its thread for instance.
    Dropped,
}

/// A system call, as far as it is known when it is submitted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Submission {
    /// Who makes it.
    pub(crate) who: Who,
    /// Whose call it is.
    pub(crate) abi: Abi,
    /// How it came.
    pub(crate) door: Door,
    /// Its number, as the guest has it.
    pub(crate) number: u64,
    /// When it came, ns.
    pub(crate) begin: u64,
}

/// An operation of a ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct RingOperation {
    /// The process that the ring belongs to.
    pub(super) pid: u32,
    /// What kind of ring that is.
    pub(super) door: Door,
    /// The operation's own number, among all of the trace.
    pub(super) id: u64,
    /// What it is called.
    pub(super) name: &'static str,
}

/// What a thread is in the kernel for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A system call, of which more is told later.
    Call,
    /// A page fault.
    PageFault,
    /// Another exception of the CPU.
    Exception,
    /// It was taken out of the guest's code, by a timer or by another thread.
    Interrupt,
    /// Before it goes on: signals, stops, the end.
    Work,
    /// Before it goes on, others get the CPU.
    GivesWay,
}

impl Why {
    /// What `trap` brought it there for.
    pub(crate) fn of(trap: &Trap) -> Self {
        match trap {
            Trap::Syscall => Self::Call,
            Trap::PageFault(_) => Self::PageFault,
            Trap::Exception(_) => Self::Exception,
            Trap::Timer | Trap::Interrupted | Trap::Lost => Self::Interrupt,
        }
    }

    /// What the trace calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Call => "system call",
            Self::PageFault => "page fault",
            Self::Exception => "exception",
            Self::Interrupt => "interrupt",
            Self::Work => "signals and stops",
            Self::GivesWay => "giving way",
        }
    }

    /// Whether the guest was in its own code until then; else the thread was about to go back to that.
    pub(super) fn is_trap(self) -> bool {
        !matches!(self, Self::Work | Self::GivesWay)
    }
}

/// The beginning of a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    bytes: [u8; Self::LEN],
    len: u8,
}

impl Name {
    const LEN: usize = 31;

    /// As much of `name` as there is room for.
    pub(crate) fn new(name: &[u8]) -> Self {
        let mut bytes = [0; Self::LEN];
        let mut len = 0;
        for (to, from) in bytes.iter_mut().zip(name) {
            *to = *from;
            len += 1;
        }
        Self { bytes, len }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// What happened when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// ns of the monotonic clock.
    pub(super) time: u64,
    pub(super) event: Event,
}

/// What happened, on the CPU that says so.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// The CPU has nothing to do and sleeps.
    Sleeps,
    /// It has slept.
    Wakes,
    /// It polls a task.
    TaskBegins,
    /// It has polled it.
    TaskEnds,
    /// The task is this thread.
    Runs(Who),
    /// The thread goes on in its own code.
    Guest(Who),
    /// The thread does not.
    Kernel(Who, Why),
    /// A call was made that has ended already.
    Call(Submission, Outcome),
    /// A call was made that waits.
    Waits(Submission),
    /// The call that the thread has waited in has ended.
    Ends(Who, Outcome),
    /// A thread that waits was woken.
    Woken { who: Who, wake_up: u64 },
    /// And looks what it was woken for.
    Resumed { who: Who, wake_up: u64 },
    /// An operation was taken from a ring.
    Submitted(RingOperation),
    /// It has ended.
    Completed(RingOperation, Outcome),
    /// A ring has so many operations that have not ended, and so many completions that nobody has reaped.
    Depth { pid: u32, door: Door, ring: u32, operations: u32, completions: u32 },
    /// The thread is called that from now on.
    ThreadIs(Who, Name),
    /// The process is.
    ProcessIs(u32, Name),
    /// The thread has ended.
    Gone(Who),
}
