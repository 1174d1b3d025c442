//! What a tracee and its tracer share.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicI32, Ordering},
};

use bitflags::bitflags;
use hal::context::UserContext;
use kernel_objects::WaitQueue;
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use super::{DebugRegisters, TextHold};
use crate::{
    errno::{Errno, SysResult},
    process::{Process, Thread},
    signal::{SigInfo, Signal, action, info::code},
};

bitflags! {
    /// What the tracer wants to be told, `PTRACE_O_*`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct Options: u32 {
        /// Stops at calls show as SIGTRAP with 0x80.
        const SYSGOOD = 1;
        const FORK = 1 << 1;
        const VFORK = 1 << 2;
        const CLONE = 1 << 3;
        const EXEC = 1 << 4;
        const VFORK_DONE = 1 << 5;
        const EXIT = 1 << 6;
        /// Never happens: there are no filters.
        const SECCOMP = 1 << 7;
        /// The tracee is killed when its tracer ends.
        const EXITKILL = 1 << 20;
    }
}

/// `PTRACE_EVENT_*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub(crate) enum Event {
    Fork = 1,
    Vfork = 2,
    Clone = 3,
    Exec = 4,
    VforkDone = 5,
    Exit = 6,
    /// Of one that was seized: for job control, by `PTRACE_INTERRUPT`, as a new thread.
    Stop = 128,
}

impl Event {
    /// The option that asks for it.
    pub(crate) const fn option(self) -> Options {
        match self {
            Self::Fork => Options::FORK,
            Self::Vfork => Options::VFORK,
            Self::Clone => Options::CLONE,
            Self::Exec => Options::EXEC,
            Self::VforkDone => Options::VFORK_DONE,
            Self::Exit => Options::EXIT,
            Self::Stop => Options::empty(),
        }
    }
}

/// What a tracee has stopped for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    /// A signal is about to be delivered.
    Signal,
    /// Its process is stopped for job control, or it was interrupted.
    Group,
    /// A system call begins or has ended.
    Call(Call),
    /// What an option asks for.
    Event,
}

/// A stop at a system call, for `PTRACE_GET_SYSCALL_INFO`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    /// Before it is made.
    Entry,
    /// It has ended.
    Exit,
}

/// A tracee's stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    /// What for.
    pub(crate) why: Why,
    /// The upper half of the status word: a signal, and an event above it.
    pub(crate) code: i32,
    /// What `PTRACE_GETSIGINFO` tells.
    pub(crate) info: Option<SigInfo>,
}

impl Stop {
    /// The event, if it is one's.
    pub(crate) fn is(&self, event: Event) -> bool {
        self.code >> 8 == event as i32
    }
}

/// How a tracee goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Mode {
    /// To the next signal or event.
    #[default]
    Continue,
    /// To the next beginning or end of a system call.
    Call,
    /// One instruction.
    Step,
    /// To the next beginning of a call, and that is not made.
    Emulate,
    /// As the former, or one instruction.
    EmulateStep,
}

impl Mode {
    /// Whether it stops where a call begins.
    pub(crate) const fn stops_at_entry(self) -> bool {
        matches!(self, Self::Call | Self::Emulate | Self::EmulateStep)
    }

    /// Whether it stops behind an instruction.
    pub(crate) const fn steps(self) -> bool {
        matches!(self, Self::Step | Self::EmulateStep)
    }
}

/// What the tracer says when it lets a tracee go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Resume {
    /// How.
    pub(crate) mode: Mode,
    /// The signal that it gets; of a stop for a signal in that one's place.
    pub(crate) signal: Option<Signal>,
}

/// The registers of a tracee that has stopped.
pub(crate) struct Parked {
    /// Those of the machine.
    pub(crate) context: UserContext,
    /// The call's number, negative if it is in none: then none is made again.
    pub(crate) orig_rax: u64,
    /// The debug registers.
    pub(crate) debug: DebugRegisters,
}

/// Who traces.
pub(crate) enum Tracer {
    /// A thread, by number, of a process.
    Guest {
        /// Its process.
        process: Weak<Process>,
        /// Its process's number.
        pid: i32,
        /// Its own, which execve(2) may change.
        tid: AtomicI32,
    },
    /// A debugger outside: notified when a tracee has stopped or ended.
    Outside(Arc<WaitQueue>),
}

impl Tracer {
    /// `thread`.
    pub(crate) fn thread(process: &Arc<Process>, tid: i32) -> Self {
        let tid = AtomicI32::new(tid);
        Self::Guest { process: Arc::downgrade(process), pid: process.pid, tid }
    }

    /// The same.
    pub(crate) fn same(&self) -> Self {
        match self {
            Self::Guest { process, pid, tid } => {
                let tid = AtomicI32::new(tid.load(Ordering::Relaxed));
                Self::Guest { process: Weak::clone(process), pid: *pid, tid }
            }
            Self::Outside(changes) => Self::Outside(Arc::clone(changes)),
        }
    }

    /// The number of its process; 0 from outside.
    pub(crate) fn pid(&self) -> i32 {
        match self {
            Self::Guest { pid, .. } => *pid,
            Self::Outside(_) => 0,
        }
    }

    /// What it calls the task that the kernel calls `number`; 0 if it has no name for that.
    pub(crate) fn sees(&self, number: i32) -> i32 {
        match self {
            Self::Guest { process, .. } => {
                process.upgrade().map_or(0, |process| process.sees(number))
            }
            Self::Outside(_) => number,
        }
    }

    /// Whether it is the thread `tid`.
    pub(crate) fn is_thread(&self, thread: i32) -> bool {
        matches!(self, Self::Guest { tid, .. } if tid.load(Ordering::Relaxed) == thread)
    }

    /// Tells it that the tracee has changed, with `info` if it wants to hear of such.
    pub(crate) fn tell(&self, info: SigInfo) {
        let process = match self {
            Self::Guest { process, .. } => process.upgrade(),
            Self::Outside(changes) => {
                changes.notify_all();
                return;
            }
        };
        let Some(process) = process else { return };
        let stopped = !matches!(info.code, code::CLD_EXITED | code::CLD_KILLED | code::CLD_DUMPED);
        let action = process.signals.with(|actions| actions.get(Signal::SIGCHLD));
        let deaf =
            action.handler == action::SIG_IGN || stopped && action.has(action::flags::SA_NOCLDSTOP);
        if !deaf {
            // One that is pending already says as much.
            let _ = process.send_signal(Signal::SIGCHLD, info.seen_by(&process));
        }
        process.children_changed().notify_all();
    }
}

/// A thread that is traced.
pub(crate) struct Tracee {
    /// By whom.
    pub(crate) tracer: Tracer,
    /// By `PTRACE_SEIZE`: it does not stop for being attached to, and says more of why it stops.
    pub(crate) seized: bool,
    /// The process it is a thread of.
    pub(crate) process: Arc<Process>,
    /// Its number, which execve(2) may change.
    tid: AtomicI32,
    state: Mutex<State>,
    /// Notified when it may go on.
    resumed: WaitQueue,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) options: Options,
    /// What `PTRACE_GETEVENTMSG` tells.
    pub(super) message: u64,
    /// It has stopped, and was not resumed.
    pub(super) stop: Option<Stop>,
    /// Somebody has waited for the stop.
    pub(super) told: bool,
    /// It stays as it is, but a new event is told (`PTRACE_LISTEN`).
    pub(super) listening: bool,
    /// What it is to do, until it has noticed.
    pub(super) resume: Option<Resume>,
    /// What was told of the last stop's signal when that ended, as the tracer has changed it.
    pub(super) told_info: Option<SigInfo>,
    /// Its registers while it has stopped.
    pub(super) parked: Option<Box<Parked>>,
    /// It is to stop for this signal of job control.
    pub(super) group: Option<Signal>,
    /// It is to stop because the tracer wants it to, or its process was let go on.
    pub(super) interrupt: bool,
    /// How it ended, a thread that is not the first: `CLD_*` and a status.
    pub(super) ended: Option<(i32, i32)>,
    /// Nobody traces it any more.
    pub(super) free: bool,
    /// Its memory's text.
    pub(super) text: Option<TextHold>,
}

impl State {
    fn end_stop(&mut self, resume: Resume) {
        self.told_info = self.stop.take().and_then(|stop| stop.info);
        self.resume = Some(resume);
    }
}

impl Tracee {
    /// `thread`, which `tracer` traces.
    pub(super) fn new(
        thread: &Thread,
        tracer: Tracer,
        seized: bool,
        options: Options,
        text: TextHold,
    ) -> Arc<Self> {
        let state = State { options, text: Some(text), ..State::default() };
        let (tid, process) = (AtomicI32::new(thread.tid), Arc::clone(&thread.process));
        let (state, resumed) = (Mutex::new(state), WaitQueue::new());
        Arc::new(Self { tracer, seized, process, tid, state, resumed })
    }

    /// Its number.
    pub(crate) fn tid(&self) -> i32 {
        self.tid.load(Ordering::Relaxed)
    }

    pub(super) fn set_tid(&self, tid: i32) {
        self.tid.store(tid, Ordering::Relaxed);
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// What the tracer wants to be told.
    pub(crate) fn options(&self) -> Options {
        self.state().options
    }

    /// Whether it wants to be told of `event`.
    pub(crate) fn wants(&self, event: Event) -> bool {
        self.options().contains(event.option())
    }

    /// Whether it has stopped.
    pub(crate) fn has_stopped(&self) -> bool {
        self.state().stop.is_some()
    }

    /// Its registers and the stop, to read and change; `ESRCH` while it runs.
    pub(crate) fn parked(&self) -> SysResult<MappedMutexGuard<'_, Parked>> {
        MutexGuard::try_map(self.stopped()?, |state| state.parked.as_deref_mut())
            .map_err(|_| Errno::ESRCH)
    }

    /// Its state, `ESRCH` while it runs.
    pub(super) fn stopped(&self) -> SysResult<MutexGuard<'_, State>> {
        let state = self.state();
        if state.stop.is_some() && !state.listening { Ok(state) } else { Err(Errno::ESRCH) }
    }

    /// What it has stopped for; `ESRCH` while it runs.
    pub(crate) fn stop(&self) -> SysResult<Stop> {
        self.stopped()?.stop.clone().ok_or(Errno::ESRCH)
    }

    /// Replaces what is told of the stop's signal; `EINVAL` if it has none.
    pub(crate) fn set_info(&self, info: SigInfo) -> SysResult<()> {
        let mut state = self.stopped()?;
        let known = state.stop.as_mut().and_then(|stop| stop.info.as_mut()).ok_or(Errno::EINVAL)?;
        *known = info;
        Ok(())
    }

    /// The message of the last event.
    pub(crate) fn message(&self) -> SysResult<u64> {
        Ok(self.stopped()?.message)
    }

    /// Says what the tracer wants to be told.
    pub(crate) fn set_options(&self, options: Options) -> SysResult<()> {
        self.stopped()?.options = options;
        Ok(())
    }

    /// Lets it go on; `ESRCH` while it runs.
    pub(crate) fn resume(&self, resume: Resume) -> SysResult<()> {
        let mut state = self.stopped()?;
        state.end_stop(resume);
        drop(state);
        self.resumed.notify_all();
        Ok(())
    }

    /// It need not stop any more only because it was to.
    pub(crate) fn forget_interrupt(&self) {
        self.state().interrupt = false;
    }

    /// Nobody traces it any more. If it has stopped it goes on, with `signal`.
    pub(super) fn set_free(&self, signal: Option<Signal>) {
        let mut state = self.state();
        state.free = true;
        (state.group, state.interrupt, state.listening) = (None, false, false);
        state.options = Options::empty();
        let text = state.text.take();
        if state.stop.is_some() {
            state.end_stop(Resume { mode: Mode::Continue, signal });
        }
        drop(state);
        drop(text);
        self.resumed.notify_all();
    }

    /// Whether it is to stop for job control or an interruption, and for which signal if that is known.
    pub(super) fn take_group_stop(&self) -> Option<Option<Signal>> {
        let mut state = self.state();
        let interrupt = std::mem::take(&mut state.interrupt);
        let group = state.group.take();
        (interrupt || group.is_some()).then_some(group)
    }

    /// Waits until it is to go on.
    pub(super) async fn resumption(&self) -> Resume {
        self.resumed.wait_until(|| self.state().resume.take()).await
    }

    /// A stop that nobody was told of, or the end of a thread that is not the first, as wait(2) shows it: `CLD_*` and a status.
    /// It is told now unless `keep`.
    pub(crate) fn news(&self, keep: bool) -> Option<(i32, i32)> {
        let mut state = self.state();
        if let Some(ended) = state.ended {
            return Some(ended);
        }
        let code = state.stop.as_ref()?.code;
        if state.told || state.listening {
            return None;
        }
        state.told = !keep;
        Some((code::CLD_TRAPPED, code))
    }

    /// Whether it has ended, not being a process's first thread.
    pub(crate) fn has_ended(&self) -> bool {
        self.state().ended.is_some()
    }

    /// The number of the process that traces `thread`; 0 is nobody.
    pub(crate) fn tracer_of(thread: &Thread) -> i32 {
        thread.tracee().map_or(0, |tracee| tracee.tracer.pid())
    }
}
