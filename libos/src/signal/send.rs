//! Sending signals to threads and processes, and taking them.
//!
//! The one idea: a signal that would be ignored is never queued, one that is queued sets `work::SIGNAL` of one thread that would take it,
//! and a thread whose mask changes looks itself. See kill(2), signal(7).

use std::sync::Arc;

use super::{
    action::{SIG_DFL, SigAction},
    info::{SigInfo, code},
    number::{SigSet, Signal},
    pending::Queued,
};
use crate::{
    errno::SysResult,
    process::{ExitStatus, Process, Resource, Thread},
};

/// What `target` of [`Process::send`] is.
#[derive(Clone, Copy)]
enum Target<'a> {
    Thread(&'a Thread),
    Process,
}

impl Target<'_> {
    /// Whether a tracer wants to know of what is ignored, too.
    fn is_traced(&self, process: &Process) -> bool {
        match self {
            Self::Thread(thread) => thread.tracee().is_some(),
            Self::Process => !process.tracees().is_empty(),
        }
    }
}

impl Process {
    /// Sends `signal` to the process: one of its threads takes it. `EAGAIN` when too many are queued.
    pub fn send_signal(&self, signal: Signal, info: SigInfo) -> SysResult<()> {
        self.send(Target::Process, None, signal, info)
    }

    /// As [`send_signal`](Self::send_signal), for `sender` in a system call of its own loop.
    pub(crate) fn send_signal_from(
        &self,
        sender: &Thread,
        signal: Signal,
        info: SigInfo,
    ) -> SysResult<()> {
        self.send(Target::Process, Some(sender), signal, info)
    }

    fn send(
        &self,
        target: Target<'_>,
        sender: Option<&Thread>,
        signal: Signal,
        info: SigInfo,
    ) -> SysResult<()> {
        if self.object.is_ending() {
            return Ok(());
        }
        if self.is_init() && SigSet::UNBLOCKABLE.contains(signal) {
            // As Linux does for the init of a pid namespace.
            return Ok(());
        }
        let from_kernel = info.code == code::SI_KERNEL;
        if self.is_namespace_init()
            && SigSet::UNBLOCKABLE.contains(signal)
            && !from_kernel
            && info.pid() != 0
        {
            // Only who is outside of the namespace, and has no number in it, ends or stops its init.
            return Ok(());
        }
        if signal == Signal::SIGKILL {
            self.begin_exit(ExitStatus::KILLED);
            return Ok(());
        }
        if signal == Signal::SIGCONT {
            self.discard_everywhere(SigSet::STOP);
            // Nobody takes what else is pending before this is, too.
            let queued = self.queue(target, sender, signal, info);
            self.resume();
            return queued;
        }
        if SigSet::STOP.contains(signal) {
            self.discard_everywhere(SigSet::of(&[Signal::SIGCONT]));
        }
        self.queue(target, sender, signal, info)
    }

    /// Whether `signal` does nothing to it because it is the init of a namespace without a handler for that.
    pub(super) fn ignores_as_init(&self, signal: Signal, action: &SigAction) -> bool {
        self.is_namespace_init()
            && action.handler == SIG_DFL
            && !SigSet::UNBLOCKABLE.contains(signal)
    }

    /// Makes `signal` pending unless it is ignored, and has somebody look.
    fn queue(
        &self,
        target: Target<'_>,
        sender: Option<&Thread>,
        signal: Signal,
        info: SigInfo,
    ) -> SysResult<()> {
        let action = self.signals.with(|actions| actions.get(signal));
        let ignored = (action.ignores(signal) || self.ignores_as_init(signal, &action))
            && !target.is_traced(self);
        let held_back = match target {
            Target::Thread(thread) => thread.signals.holds_back(signal),
            Target::Process => {
                ignored && self.threads().iter().any(|thread| thread.signals.holds_back(signal))
            }
        };
        if ignored && !held_back {
            return Ok(());
        }
        let users = self.user_namespace();
        let info = match users.is_first() {
            true => info,
            false => info.with_user(|user| users.shown_user(user)),
        };
        let limit = usize::try_from(self.limit(Resource::PendingSignals)).unwrap_or(usize::MAX);
        let queued = match target {
            Target::Thread(thread) => thread.signals.push(signal, info, limit)?,
            Target::Process => self.signals.push(signal, info, limit)?,
        };
        if queued == Queued::Added {
            match target {
                Target::Thread(thread) if thread.signals.is_open(signal) => {
                    tell(thread, sender);
                }
                Target::Thread(_) => {}
                Target::Process => self.notify_one_for(signal, sender),
            }
            self.signals.arrivals.notify_all();
        }
        Ok(())
    }

    /// Asks one thread that does not block `signal` to look; the first one is preferred, as in Linux.
    fn notify_one_for(&self, signal: Signal, sender: Option<&Thread>) {
        let takes =
            |thread: &&Arc<Thread>| !thread.object.is_dying() && thread.signals.is_open(signal);
        if let Some(thread) = self.threads().iter().find(takes) {
            tell(thread, sender);
        }
    }

    /// Has other threads look at what the process has pending; for one that blocks more signals now or ends.
    pub fn retarget_signals(&self, blocked: SigSet) {
        for signal in self.signals.pending().intersection(blocked).iter() {
            self.notify_one_for(signal, None);
        }
    }

    /// Forgets pending signals, of the process and of every thread.
    pub(crate) fn discard_everywhere(&self, set: SigSet) {
        self.signals.discard(set);
        for thread in self.threads() {
            thread.signals.discard(set);
        }
    }
}

/// Has `thread` look at its signals; `sender` is the thread whose loop this runs in, if any.
fn tell(thread: &Thread, sender: Option<&Thread>) {
    match sender {
        Some(sender) if std::ptr::eq(sender, thread) => thread.object.interrupt_self(),
        _ => thread.object.interrupt(),
    }
}

impl Thread {
    /// Sends `signal` to this thread alone. `EAGAIN` when too many are queued.
    pub fn send_signal(&self, signal: Signal, info: SigInfo) -> SysResult<()> {
        self.process.send(Target::Thread(self), None, signal, info)
    }

    /// As [`send_signal`](Self::send_signal), for `sender` in a system call of its own loop.
    pub(crate) fn send_signal_from(
        &self,
        sender: &Self,
        signal: Signal,
        info: SigInfo,
    ) -> SysResult<()> {
        self.process.send(Target::Thread(self), Some(sender), signal, info)
    }

    /// Sends a signal that can neither be blocked nor ignored, for what the thread itself did: then its default action comes.
    pub fn force_signal(&self, signal: Signal, info: SigInfo) {
        let blocked = self.signals.mask().contains(signal);
        self.process.signals.with(|actions| {
            if blocked || actions.get(signal).handler == super::action::SIG_IGN {
                actions.reset(signal);
            }
        });
        self.signals.push_forced(signal, info);
        self.object.interrupt_self();
    }

    /// Whether a signal waits to be delivered to it.
    pub(crate) fn has_deliverable_signal(&self) -> bool {
        self.signals.has_deliverable(self.process.signals.pending())
    }

    /// Takes the next deliverable signal.
    pub(super) fn take_deliverable(&self) -> Option<(Signal, SigInfo)> {
        let open = self.signals.mask().complement();
        self.take_signal(open)
    }

    /// Takes the next pending signal of `wanted`, blocked or not: first the thread's, then the process's.
    pub(crate) fn take_signal(&self, wanted: SigSet) -> Option<(Signal, SigInfo)> {
        let taken = self.signals.pop(wanted).or_else(|| self.process.signals.pop(wanted));
        if let Some((_, info)) = &taken {
            self.process.timers.signal_taken(info);
        }
        taken
    }

    /// Blocks exactly `mask`; returns the mask before.
    pub(crate) fn set_signal_mask(&self, mask: SigSet) -> SigSet {
        let old = self.signals.replace_mask(mask);
        self.signal_mask_changed(old, mask);
        old
    }

    /// Blocks exactly `mask` for the rest of the system call, and if a handler runs, until that has returned.
    pub(crate) fn set_signal_mask_for_call(&self, mask: SigSet) {
        let old = self.signals.mask();
        self.signals.replace_mask_for_a_while(mask);
        self.signal_mask_changed(old, mask);
    }

    /// Ends what [`set_signal_mask_for_call`](Self::set_signal_mask_for_call) began; for a call that was not interrupted.
    pub(crate) fn restore_signal_mask(&self) {
        if let Some(mask) = self.signals.take_saved_mask() {
            self.set_signal_mask(mask);
        }
    }

    fn signal_mask_changed(&self, old: SigSet, new: SigSet) {
        let shared = self.process.signals.pending();
        let blocked = new.difference(old);
        if !shared.intersection(blocked).is_empty() {
            self.process.retarget_signals(blocked);
        }
        if self.signals.has_deliverable(shared) {
            self.object.interrupt_self();
        }
    }

    /// Lets through the signals in `set` although they are blocked; empty ends that.
    pub(crate) fn wait_for_signals(&self, set: SigSet) {
        self.signals.set_waiting(set);
        if self.signals.has_deliverable(self.process.signals.pending()) {
            self.object.interrupt_self();
        }
    }
}

/// What a writer to a pipe or socket without readers gets besides `EPIPE`.
pub(crate) fn broken_pipe(thread: &Thread) {
    complain(thread, Signal::SIGPIPE);
}

/// Tells the thread that a file would pass its process's size limit.
pub(crate) fn file_too_large(thread: &Thread) {
    complain(thread, Signal::SIGXFSZ);
}

fn complain(thread: &Thread, signal: Signal) {
    // It has no sender; the queue has room for it, or the process has one pending already.
    let _ = thread.send_signal_from(thread, signal, SigInfo::kill(signal, 0, 0));
}
