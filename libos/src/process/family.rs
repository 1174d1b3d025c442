//! Parents and children.
//!
//! The one idea: who is whose child is decided under the lock of the table of processes, together with who has ended, and a parent is told
//! with it held. So whoever waits sees an end exactly once, whoever the parent is by then, and never before the signal that
//! tells of it; nor is there a signal before the end can be seen.

use std::sync::{Arc, atomic::Ordering};

use kernel_objects::SuspendToken;

use super::{
    ExitStatus, Process, Session, Thread,
    pids::{Entry, PidTable, Table},
    trace::Tracee,
};
use crate::{
    errno::{Errno, SysResult},
    signal::{SigInfo, SigSet, Signal, action, info::code},
    timer::ticks,
};

/// Whose child a new process is, and what its end is to its parent.
pub struct Birth<'a> {
    /// Who makes it; none for one that the kernel starts, which is a child of init if there is one.
    pub maker: Option<&'a Thread>,
    /// It is a child of its maker's parent, `CLONE_PARENT`, and its end is to that what its maker's is.
    pub sibling: bool,
    /// The signal that its parent gets when it ends; 0 is none.
    pub exit_signal: u32,
}

impl Birth<'_> {
    /// That of a process which no other waits for and which begins a session.
    pub const FIRST: Birth<'static> = Birth { maker: None, sibling: false, exit_signal: 0 };
}

/// A signal that is sent once the table is no longer locked.
type Later = (Arc<Process>, Signal, SigInfo);

/// What an end leaves to be done without the lock.
#[derive(Default)]
pub(super) struct Aftermath {
    signals: Vec<Later>,
    /// Those whom nobody will wait for.
    gone: Vec<Entry>,
}

/// How the end of a process shows in `si_code` and `si_status`.
pub(super) fn code_and_status(status: ExitStatus) -> (i32, i32) {
    match status {
        ExitStatus::Exited(status) => (code::CLD_EXITED, i32::from(status)),
        ExitStatus::Signaled { signal, core: true } => (code::CLD_DUMPED, i32::from(signal)),
        ExitStatus::Signaled { signal, core: false } => (code::CLD_KILLED, i32::from(signal)),
    }
}

impl Process {
    /// The number of its parent; 0 when it has none.
    pub fn ppid(&self) -> i32 {
        self.ppid.load(Ordering::Relaxed)
    }

    /// Whether it has ended: all its threads have left, and its parent can wait for it.
    pub fn has_ended(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// What its parent is told of it.
    fn news(&self, code: i32, status: i32) -> SigInfo {
        let uid = self.ids.lock().users[0];
        SigInfo::child(code, self.pid as u32, uid, status, ticks(self.object.runtime()), 0)
    }

    /// It has ended, its threads have left: its children get another parent, and its own one can wait for it.
    pub(super) fn leave_family(&self) {
        let mut table = self.kernel.pids.0.lock();
        let mut aftermath = Aftermath::default();
        table.give_children_away(self, &mut aftermath);
        if let Some(parent) = table.process(self.ppid()).cloned() {
            table.check_stopped_group(self, &parent, Some(self.pid), &mut aftermath);
        }
        self.over.store(true, Ordering::Relaxed);
        table.tell_end(self.pid, &mut aftermath);
        drop(table);
        aftermath.send();
    }

    /// It is the init of a namespace and ends: those of its children who have ended already are waited for by nobody.
    pub(super) fn reap_children(&self) {
        let mut table = self.kernel.pids.0.lock();
        let mut aftermath = Aftermath::default();
        let dead = table.children(self.pid).filter(|child| child.has_ended());
        for pid in dead.map(|child| child.pid).collect::<Vec<_>>() {
            table.tell_end(pid, &mut aftermath);
        }
        drop(table);
        aftermath.send();
    }

    /// A thread of it leaves: the processes that it has made are another one's, and those that want to hear of it do. Those of the last thread
    /// are left to [`leave_family`](Self::leave_family).
    pub(super) fn leave_children(&self, thread: &Thread) {
        let mut aftermath = Aftermath::default();
        let table = self.kernel.pids.0.lock();
        let mut survivor = None;
        for child in table.children(self.pid) {
            if child.made_by.load(Ordering::Relaxed) != thread.tid {
                continue;
            }
            if survivor.is_none() {
                survivor = self.threads().into_iter().find(|other| !other.object.is_dying());
            }
            let Some(survivor) = &survivor else { break };
            child.made_by.store(survivor.tid, Ordering::Relaxed);
            aftermath.add_death_signals(child);
        }
        drop(table);
        aftermath.send();
    }

    /// It has executed a program, by its thread `tid`, which is the first now and has made what it has made. Its end is told as that of
    /// any other process from here on.
    pub(super) fn renew_in_family(&self, tid: i32) {
        let mut table = self.kernel.pids.0.lock();
        if let Some(entry) = table.processes.get_mut(&self.pid) {
            entry.exit_signal = Signal::SIGCHLD.raw() as u32;
        }
        for child in table.children(self.pid) {
            if child.made_by.load(Ordering::Relaxed) == tid {
                child.made_by.store(self.pid, Ordering::Relaxed);
            }
        }
    }

    /// Stops it because of `signal`, unless it was let go on since it had been `continued` so often, and tells its parent. A signal for
    /// job control stops nobody whom no shell could let go on.
    pub(crate) fn stop_by(&self, signal: Signal, continued: u64) {
        let table = self.kernel.pids.0.lock();
        if signal != Signal::SIGSTOP && table.is_orphaned(self.pgid(), None) {
            return;
        }
        if self.stop.stop(self.suspend_untraced(), signal, continued) {
            let tracees = self.tracees();
            for (thread, tracee) in &tracees {
                tracee.stop_with_process(thread, signal);
            }
            // A parent that traces it hears of each thread's stop.
            if !tracees.iter().any(|(_, tracee)| tracee.tracer.pid() == self.ppid()) {
                table.tell_stop(self, code::CLD_STOPPED, signal);
            }
        }
    }

    /// Suspends its threads but those that somebody traces, as long as the result exists.
    pub(super) fn suspend_untraced(&self) -> Vec<Arc<SuspendToken>> {
        let threads = self.threads();
        let untraced = |thread: &&Arc<Thread>| thread.tracee().is_none();
        let suspended = if threads.iter().all(|thread| untraced(&thread)) {
            vec![SuspendToken::create_for_process(&self.object)]
        } else {
            let threads = threads.iter().filter(untraced);
            threads.map(|thread| SuspendToken::create(&thread.object)).collect()
        };
        // It fails for what is ending.
        suspended.into_iter().flatten().collect()
    }

    /// Lets it go on if it is stopped, and tells its parent.
    pub(crate) fn resume(&self) {
        let table = self.kernel.pids.0.lock();
        if self.stop.resume() {
            table.tell_stop(self, code::CLD_CONTINUED, Signal::SIGCONT);
        }
        drop(table);
        self.tell_tracers_of_continuation();
    }
}

impl Aftermath {
    /// Does what was left to be done.
    pub(super) fn send(self) {
        for (process, signal, info) in self.signals {
            // Nobody is there to be told that a queue is full.
            let _ = process.send_signal(signal, info);
        }
    }

    /// The parent's thread that made `child` is no more.
    fn add_death_signals(&mut self, child: &Arc<Process>) {
        for thread in child.threads() {
            let signal = thread.attributes.lock().parent_death_signal;
            if let Some(signal) = Signal::from_raw(signal as i32) {
                self.signals.push((Arc::clone(child), signal, SigInfo::kill(signal, 0, 0)));
            }
        }
    }
}

impl Table {
    /// The children of `pid` that were not waited for, dead or alive, by ascending number.
    fn children(&self, pid: i32) -> impl Iterator<Item = &Arc<Process>> {
        let children = self.processes.get(&pid).into_iter().flat_map(|entry| &entry.children);
        children.filter_map(|&child| self.process(child))
    }

    /// Who gets the orphans of `process`: the nearest ancestor in its namespace that wants them, or the first one there.
    fn reaper(&self, process: &Process) -> Option<Arc<Process>> {
        let namespace = &process.pid_namespace;
        let mut reaper = self.process(process.ppid())?;
        loop {
            if !Arc::ptr_eq(&reaper.pid_namespace, namespace) {
                return namespace.init();
            }
            if reaper.attributes.lock().subreaper {
                break;
            }
            match self.process(reaper.ppid()) {
                Some(parent) => reaper = parent,
                None => break,
            }
        }
        Some(Arc::clone(reaper))
    }

    fn give_children_away(&mut self, parent: &Process, aftermath: &mut Aftermath) {
        let Some(entry) = self.processes.get_mut(&parent.pid) else { return };
        let children = std::mem::take(&mut entry.children);
        if children.is_empty() {
            return;
        }
        let reaper = self.reaper(parent);
        let reaper_pid = reaper.as_ref().map_or(0, |reaper| reaper.pid);
        for pid in children {
            let Some(entry) = self.processes.get_mut(&pid) else { continue };
            entry.exit_signal = Signal::SIGCHLD.raw() as u32;
            let child = Arc::clone(&entry.process);
            child.ppid.store(reaper_pid, Ordering::Relaxed);
            child.made_by.store(reaper_pid, Ordering::Relaxed);
            if let Some(entry) = self.processes.get_mut(&reaper_pid) {
                entry.children.insert(pid);
            }
            aftermath.add_death_signals(&child);
            if child.has_ended() {
                self.tell_end(pid, aftermath);
            }
            self.check_stopped_group(&child, parent, None, aftermath);
        }
    }

    /// When the group of `process` has lost the last one who could let it go on, its parent being or having been `parent`, and somebody in it
    /// is stopped, all are hung up and go on.
    fn check_stopped_group(
        &self,
        process: &Process,
        parent: &Process,
        leaving: Option<i32>,
        aftermath: &mut Aftermath,
    ) {
        let group = process.pgid();
        if parent.pgid() != group
            && parent.sid() == process.sid()
            && self.is_orphaned(group, leaving)
            && self.group(group).any(|member| member.stop.is_stopped())
        {
            for signal in [Signal::SIGHUP, Signal::SIGCONT] {
                let to =
                    |member: &Arc<Process>| (Arc::clone(member), signal, SigInfo::kernel(signal));
                aftermath.signals.extend(self.group(group).map(to));
            }
        }
    }

    /// Tells the parent of `pid` that it has ended, or lets go of it if nobody will wait. A tracer that is not the parent is told first,
    /// and the parent once that has waited.
    pub(super) fn tell_end(&mut self, pid: i32, aftermath: &mut Aftermath) {
        let Some(entry) = self.processes.get(&pid) else { return };
        let child = &entry.process;
        if let Some(tracee) = self.foreign_tracer(child) {
            let (code, status) = code_and_status(child.status());
            tracee.tracer.tell(child.news(code, status));
            return;
        }
        let traced = self.tracees.contains_key(&pid);
        let Some(parent) = self.process(child.ppid()).cloned() else {
            aftermath.gone.extend(self.remove(pid));
            return;
        };
        let mut signal = Signal::from_raw(entry.exit_signal as i32);
        let mut nobody_waits = false;
        if signal == Some(Signal::SIGCHLD) {
            let action = parent.signals.with(|actions| actions.get(Signal::SIGCHLD));
            let ignored = action.handler == action::SIG_IGN;
            nobody_waits = !traced && (ignored || action.has(action::flags::SA_NOCLDWAIT));
            if ignored {
                signal = None;
            }
        }
        if parent.is_namespace_init() && parent.object.is_ending() {
            (signal, nobody_waits) = (None, !traced);
        }
        if let Some(signal) = signal {
            let (code, status) = code_and_status(child.status());
            let info = child.news(code, status).with_signal(signal);
            let acts_at_once = SigSet::STOP.contains(signal)
                || matches!(signal, Signal::SIGKILL | Signal::SIGCONT);
            if acts_at_once {
                aftermath.signals.push((Arc::clone(&parent), signal, info.seen_by(&parent)));
            } else {
                let _ = parent.send_signal(signal, info.seen_by(&parent));
            }
        }
        if nobody_waits {
            aftermath.gone.extend(self.remove(pid));
        }
        parent.children_changed.notify_all();
    }

    fn tell_stop(&self, child: &Process, code: i32, signal: Signal) {
        let Some(parent) = self.process(child.ppid()) else { return };
        let action = parent.signals.with(|actions| actions.get(Signal::SIGCHLD));
        if action.handler != action::SIG_IGN && !action.has(action::flags::SA_NOCLDSTOP) {
            let news = child.news(code, signal.raw()).seen_by(parent);
            let _ = parent.send_signal(Signal::SIGCHLD, news);
        }
        parent.children_changed.notify_all();
    }
}

impl PidTable {
    /// Nobody traces `tracee` any more: if it was a process that has ended its parent may wait for that.
    pub(super) fn forget_tracee(&self, tracee: &Tracee) {
        let mut aftermath = Aftermath::default();
        let tid = tracee.tid();
        let mut table = self.0.lock();
        if table.tracees.get(&tid).is_some_and(|known| std::ptr::eq(&**known, tracee)) {
            table.tracees.remove(&tid);
            if tid == tracee.process.pid && tracee.process.has_ended() {
                table.tell_end(tid, &mut aftermath);
            }
        }
        drop(table);
        aftermath.send();
    }

    /// Enters a new process: from now on it is found, and a member of its maker's group and session. `EAGAIN` when its maker
    /// was waited for meanwhile, `ENOMEM` when its namespace is at its end.
    pub fn register_process(&self, process: &Arc<Process>, birth: &Birth<'_>) -> SysResult<()> {
        let mut table = self.0.lock();
        if process.pid_namespace.is_ending() {
            return Err(Errno::ENOMEM);
        }
        let mut exit_signal = birth.exit_signal;
        let (group, session, parent) = match birth.maker {
            None => {
                let init = table.processes.get_mut(&1).filter(|entry| entry.process.is_init());
                let parent = init.map_or(0, |entry| {
                    // Which init ignores: it is reaped at once.
                    exit_signal = Signal::SIGCHLD.raw() as u32;
                    entry.children.insert(process.pid);
                    entry.process.pid
                });
                (process.pid, Session::new(process.pid), parent)
            }
            Some(thread) => {
                let maker = &thread.process;
                let (parent, made_by) = match birth.sibling {
                    true => (maker.ppid(), maker.made_by.load(Ordering::Relaxed)),
                    false => (maker.pid, thread.tid),
                };
                if birth.sibling {
                    let entry = table.processes.get(&maker.pid).ok_or(Errno::EAGAIN)?;
                    exit_signal = entry.exit_signal;
                }
                process.made_by.store(made_by, Ordering::Relaxed);
                let entry = table.processes.get_mut(&parent).ok_or(Errno::EAGAIN)?;
                entry.children.insert(process.pid);
                (maker.pgid(), maker.session(), parent)
            }
        };
        process.pid_namespace.born(process);
        process.ppid.store(parent, Ordering::Relaxed);
        let entry =
            Entry { process: Arc::clone(process), children: Default::default(), exit_signal };
        table.processes.insert(process.pid, entry);
        table.join_group(process, group);
        table.join_session(process, session);
        drop(table);
        if let Some(maker) = birth.maker {
            process.inherit_terminal(&maker.process);
        }
        Ok(())
    }

    /// The numbers of the children of the process that were not waited for, dead or alive, in ascending order; only of those that the
    /// thread `maker` has made, if given.
    pub fn children(&self, pid: i32, maker: Option<i32>) -> Vec<i32> {
        let table = self.0.lock();
        let made_by = |child: &&Arc<Process>| {
            maker.is_none_or(|maker| child.made_by.load(Ordering::Relaxed) == maker)
        };
        table.children(pid).filter(made_by).map(|child| child.pid).collect()
    }
}
