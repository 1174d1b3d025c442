//! What a tracer does with the relation as a whole: beginning it, ending it, and what becomes of it when either side ends or executes a
//! program.

use std::sync::{Arc, atomic::Ordering};

use super::{Event, Options, Tracee, Tracer, record::State};
use crate::{
    errno::{Errno, SysResult},
    memory::UserMemory,
    process::{ExitStatus, Process, Thread, family::code_and_status, pids::Table},
    signal::{SigInfo, Signal, info::code},
};

/// Keeps the text of a memory as the guest has it, for a tracer that steps through it.
pub(crate) struct TextHold(Arc<UserMemory>);

impl TextHold {
    /// Of `memory`.
    pub(crate) fn new(memory: &Arc<UserMemory>) -> Self {
        memory.address_space().hold_text();
        Self(Arc::clone(memory))
    }
}

impl Drop for TextHold {
    fn drop(&mut self) {
        self.0.address_space().release_text();
    }
}

impl Thread {
    /// Has `tracer` trace it from now on; `EPERM` when it is traced or ends.
    pub(crate) fn begin_trace(
        &self,
        tracer: Tracer,
        seized: bool,
        options: Options,
    ) -> SysResult<Arc<Tracee>> {
        let hold = TextHold::new(&self.memory);
        let mut table = self.process.kernel.pids.0.lock();
        let mut own = self.tracee.lock();
        if own.is_some() || self.object.is_dying() {
            return Err(Errno::EPERM);
        }
        let tracee = Tracee::new(self, tracer, seized, options, hold);
        table.tracees.insert(self.tid, Arc::clone(&tracee));
        *own = Some(Arc::clone(&tracee));
        Ok(tracee)
    }

    /// The parent traces it, `PTRACE_TRACEME`.
    pub(crate) fn trace_by_parent(&self) -> SysResult<()> {
        let process = &self.process;
        let parent = process.kernel.pids.process(process.ppid()).ok_or(Errno::EPERM)?;
        let maker = process.made_by.load(Ordering::Relaxed);
        self.begin_trace(Tracer::thread(&parent, maker), false, Options::empty()).map(drop)
    }

    /// Traces `target`, `PTRACE_ATTACH` or, `seized`, `PTRACE_SEIZE`.
    pub(crate) fn attach(
        &self,
        target: &Arc<Self>,
        seized: bool,
        options: Options,
    ) -> SysResult<()> {
        target.attach_by(Tracer::thread(&self.process, self.tid), seized, options).map(drop)
    }

    /// `tracer` traces it: unless it is `seized` it stops for that.
    pub(crate) fn attach_by(
        &self,
        tracer: Tracer,
        seized: bool,
        options: Options,
    ) -> SysResult<Arc<Tracee>> {
        let tracee = self.begin_trace(tracer, seized, options)?;
        let process = &self.process;
        if process.stop.is_stopped() {
            // Before it may run: it stops as its tracer's instead.
            tracee.interrupt(self);
            process.stop.hold_instead(|| process.suspend_untraced());
        }
        if !seized {
            let stop = Signal::SIGSTOP;
            let _ = self.send_signal(stop, SigInfo::kernel(stop));
        }
        Ok(tracee)
    }

    /// The thread that it calls `tid`, which it traces; `ESRCH`.
    pub(crate) fn tracee_of(&self, tid: i32) -> SysResult<Arc<Tracee>> {
        let tid = self.process.visible().meant(tid)?;
        let table = self.process.kernel.pids.0.lock();
        let tracee = table.tracees.get(&tid).filter(|tracee| tracee.tracer.is_thread(self.tid));
        tracee.cloned().ok_or(Errno::ESRCH)
    }

    /// A thread or process that it makes, `new`, is traced as it is, and stops before it runs.
    pub(crate) fn share_tracer(&self, new: &Arc<Self>) {
        let Some(tracee) = self.tracee() else { return };
        let (seized, options) = (tracee.seized, tracee.options());
        let Ok(child) = new.begin_trace(tracee.tracer.same(), seized, options) else { return };
        if seized {
            child.state().interrupt = true;
        } else {
            let stop = SigInfo::kill(Signal::SIGSTOP, 0, 0);
            let _ = new.signals.push(Signal::SIGSTOP, stop, usize::MAX);
        }
        new.object.interrupt();
    }

    /// Ends what its tracer has with it, before it goes on with `signal`, if it has stopped.
    pub(crate) fn set_free(&self, tracee: &Tracee, signal: Option<Signal>) {
        let mut own = self.tracee.lock();
        if own.as_ref().is_some_and(|own| std::ptr::eq(&**own, tracee)) {
            *own = None;
        }
        drop(own);
        // It may have ended, and be a tracee of the dead.
        self.process.kernel.pids.forget_tracee(tracee);
        // If its process is stopped it is that without a tracer, too.
        self.process.stop.hold_instead(|| self.process.suspend_untraced());
        tracee.set_free(signal);
    }

    /// It leaves: whom it traced nobody traces any more, and who traces it is told.
    pub(crate) fn end_traces(&self) {
        let pids = &self.process.kernel.pids;
        let mut table = pids.0.lock();
        if !table.tracees.is_empty() {
            let mine = table.tracees.values().filter(|tracee| tracee.tracer.is_thread(self.tid));
            let mine: Vec<_> = mine.cloned().collect();
            drop(table);
            for tracee in mine {
                pids.abandon(&tracee);
            }
            table = pids.0.lock();
        }
        let Some(tracee) = self.tracee.lock().take() else { return };
        drop(tracee.state().text.take());
        if self.tid == self.process.pid {
            // Its end is the process's.
            return;
        }
        let (code, status) = code_and_status(self.own_status());
        tracee.state().ended = Some((code, status));
        drop(table);
        let uid = self.process.ids.lock().users[0];
        tracee.tracer.tell(SigInfo::child(code, self.tid as u32, uid, status, 0, 0));
    }

    /// It has executed a program, is the first thread now, and was `old`.
    pub(crate) fn inherit_traces(&self, old: &Self) {
        let mut table = self.process.kernel.pids.0.lock();
        for tracee in table.tracees.values() {
            if let Tracer::Guest { tid, .. } = &tracee.tracer {
                let _ =
                    tid.compare_exchange(old.tid, self.tid, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
        let Some(tracee) = old.tracee.lock().take() else {
            if old.tid != self.tid {
                // The one before it with that number has gone without a word.
                table.tracees.remove(&self.tid);
            }
            return;
        };
        table.tracees.remove(&old.tid);
        tracee.set_tid(self.tid);
        table.tracees.insert(self.tid, Arc::clone(&tracee));
        *self.tracee.lock() = Some(tracee);
    }
}

impl crate::process::PidTable {
    /// Forgets the threads of `process` that have ended, for a tracer who waits for none of them.
    pub(crate) fn reap_tracees(&self, process: &Process) {
        let mut table = self.0.lock();
        table
            .tracees
            .retain(|_, tracee| !std::ptr::eq(&*tracee.process, process) || !tracee.has_ended());
    }

    /// The tracer of `tracee` has ended.
    fn abandon(&self, tracee: &Tracee) {
        let Some(thread) = self.thread(tracee.tid()) else {
            // Dead, and nobody will wait for it but a parent.
            self.forget_tracee(tracee);
            return;
        };
        let kills = tracee.options().contains(Options::EXITKILL);
        if kills {
            thread.process.begin_exit(ExitStatus::KILLED);
        }
        thread.set_free(tracee, None);
    }
}

impl Process {
    /// The threads that somebody traces.
    pub(crate) fn tracees(&self) -> Vec<(Arc<Thread>, Arc<Tracee>)> {
        let threads = self.threads().into_iter();
        threads.filter_map(|thread| thread.tracee().map(|tracee| (thread, tracee))).collect()
    }

    /// Its process was let go on: tracers who want to know are told.
    pub(crate) fn tell_tracers_of_continuation(&self) {
        for (thread, tracee) in self.tracees() {
            let mut state = tracee.state();
            state.group = None;
            if !tracee.seized {
                continue;
            }
            if state.listening {
                drop(state);
                tracee.stop_again(&thread);
            } else if state.stop.as_ref().is_some_and(|stop| stop.is(Event::Stop)) {
                state.interrupt = true;
                drop(state);
                thread.object.interrupt();
            }
        }
    }
}

impl Tracee {
    /// `PTRACE_INTERRUPT`: it stops soon, unless it has.
    pub(crate) fn interrupt(&self, thread: &Thread) {
        let mut state = self.state();
        if state.listening {
            drop(state);
            self.stop_again(thread);
            return;
        }
        state.interrupt = true;
        drop(state);
        thread.object.interrupt();
    }

    /// `PTRACE_LISTEN`: stays stopped for job control until there is news of that. `EIO` when it is not.
    pub(crate) fn listen(&self, subject: &Thread) -> SysResult<()> {
        let mut state = self.stopped()?;
        if !self.seized || !state.stop.as_ref().is_some_and(|stop| stop.is(Event::Stop)) {
            return Err(Errno::EIO);
        }
        state.listening = true;
        if std::mem::take(&mut state.interrupt) {
            // There is news already.
            drop(state);
            self.stop_again(subject);
        }
        Ok(())
    }

    /// One that listens has news: it has stopped once more.
    fn stop_again(&self, thread: &Thread) {
        let signal = thread.process.stop.signal().unwrap_or(Signal::SIGTRAP);
        let mut state = self.state();
        let State { listening, told, stop, .. } = &mut *state;
        let Some(stop) = stop.as_mut().filter(|_| std::mem::take(listening)) else { return };
        *told = false;
        stop.code = signal.raw() | (Event::Stop as i32) << 8;
        let uid = thread.process.ids.lock().users[0];
        let tid = thread.tid as u32;
        stop.info = Some(SigInfo::notice(signal, stop.code, thread.own_tid as u32, uid));
        drop(state);
        self.tracer.tell(SigInfo::child(code::CLD_STOPPED, tid, uid, signal.raw(), 0, 0));
    }

    /// It is to stop with its process, for `signal`.
    pub(crate) fn stop_with_process(&self, thread: &Thread, signal: Signal) {
        self.state().group = Some(signal);
        thread.object.interrupt();
    }
}

impl Table {
    /// Whether `process` is traced by another process than its parent: that one hears of its end before the parent does.
    pub(crate) fn foreign_tracer(&self, process: &Process) -> Option<&Arc<Tracee>> {
        let tracee = self.tracees.get(&process.pid)?;
        (tracee.tracer.pid() != process.ppid()).then_some(tracee)
    }
}
