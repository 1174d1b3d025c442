//! Numbers for processes and threads, and who has them.
//!
//! The one idea: one space of numbers for both, given out in ascending order and used again
//! only after all others were; other [namespaces](super::pid_namespace) have names for some of them. The number of a process is taken until it was waited for, and as long as a process group or a session
//! has it. With the number goes what processes are to each other, so that all of it changes under one lock: parents and
//! children ([`family`](super::family)), groups and sessions ([`session`](super::session)).
//!
//! The lock comes before those of processes, signals and objects. Nothing that may end a process is done with it held.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use super::{PidNamespace, Process, Thread, trace::Tracee};
use crate::errno::{Errno, SysResult};

/// One more than the highest number: the default of /proc/sys/kernel/pid_max on 64-bit Linux.
pub(crate) const PID_MAX: i32 = 4_194_304;

/// What the table has of a process.
pub(super) struct Entry {
    pub(super) process: Arc<Process>,
    /// The children that have not been waited for.
    pub(super) children: BTreeSet<i32>,
    /// The signal that its parent gets when it ends; 0 is none.
    pub(super) exit_signal: u32,
}

/// So many numbers with names in namespaces, and it is looked which of them mean nobody any more.
const FIRST_SWEEP: usize = 1024;

#[derive(Default)]
pub(super) struct Table {
    next: i32,
    threads: BTreeMap<i32, Weak<Thread>>,
    /// The namespaces of those that have names besides, until their numbers are used again.
    nested: BTreeMap<i32, Arc<PidNamespace>>,
    sweep_at: usize,
    pub(super) processes: BTreeMap<i32, Entry>,
    /// The threads that somebody traces, dead or alive, by number.
    pub(super) tracees: BTreeMap<i32, Arc<Tracee>>,
    /// The members of each process group.
    pub(super) groups: BTreeMap<i32, BTreeSet<i32>>,
    /// The members of each session.
    pub(super) sessions: BTreeMap<i32, BTreeSet<i32>>,
}

impl Table {
    fn is_taken(&self, number: i32) -> bool {
        self.threads.contains_key(&number)
            || self.processes.contains_key(&number)
            || self.tracees.contains_key(&number)
            || self.groups.contains_key(&number)
            || self.sessions.contains_key(&number)
    }

    /// Gives `number`, which is nobody's, to one who is in `namespace` and `own` there, if that is given.
    fn name(
        &mut self,
        number: i32,
        namespace: &Arc<PidNamespace>,
        own: Option<i32>,
    ) -> SysResult<()> {
        if let Some(old) = self.nested.remove(&number) {
            old.forget(number);
        }
        if namespace.is_first() {
            return Ok(());
        }
        if self.nested.len() >= self.sweep_at.max(FIRST_SWEEP) {
            let mut nested = std::mem::take(&mut self.nested);
            nested.retain(|&number, namespace| {
                let taken = self.is_taken(number);
                if !taken {
                    namespace.forget(number);
                }
                taken
            });
            (self.sweep_at, self.nested) = (2 * nested.len(), nested);
        }
        namespace.enter(number, own, |number| self.is_taken(number))?;
        self.nested.insert(number, Arc::clone(namespace));
        Ok(())
    }

    fn free_number(&mut self) -> SysResult<i32> {
        for _ in 0..PID_MAX {
            self.next = if self.next + 1 < PID_MAX { self.next + 1 } else { 1 };
            if !self.is_taken(self.next) {
                return Ok(self.next);
            }
        }
        Err(Errno::EAGAIN)
    }

    /// The process with the number, dead or alive.
    pub(super) fn process(&self, pid: i32) -> Option<&Arc<Process>> {
        self.processes.get(&pid).map(|entry| &entry.process)
    }

    /// Takes a process out. Its children have another parent already.
    pub(super) fn remove(&mut self, pid: i32) -> Option<Entry> {
        let entry = self.processes.remove(&pid)?;
        self.tracees.remove(&pid);
        if let Some(parent) = self.processes.get_mut(&entry.process.ppid()) {
            parent.children.remove(&pid);
        }
        remove_member(&mut self.groups, entry.process.pgid(), pid);
        remove_member(&mut self.sessions, entry.process.sid(), pid);
        entry.process.pid_namespace.tell_left();
        Some(entry)
    }
}

/// Takes `pid` out of the group or session `number`; one without members is no more.
pub(super) fn remove_member(sets: &mut BTreeMap<i32, BTreeSet<i32>>, number: i32, pid: i32) {
    if let Some(members) = sets.get_mut(&number) {
        members.remove(&pid);
        if members.is_empty() {
            sets.remove(&number);
        }
    }
}

/// The table of processes and threads of a kernel.
#[derive(Default)]
pub struct PidTable(pub(super) Mutex<Table>);

impl PidTable {
    /// A number that nobody has, with a name in `namespace` and those around it. It is taken from now on until [`PidTable::release`]; `EAGAIN`
    /// when all are, `ENOMEM` when the namespace is at its end.
    pub fn allocate(&self, namespace: &Arc<PidNamespace>) -> SysResult<i32> {
        self.allocate_named(namespace, None)
    }

    /// As [`allocate`](Self::allocate), with the name `own` in `namespace`; `EEXIST` when somebody has it there, `EINVAL` for the first
    /// member of one if it is not 1.
    pub fn allocate_as(&self, namespace: &Arc<PidNamespace>, own: i32) -> SysResult<i32> {
        self.allocate_named(namespace, Some(own))
    }

    fn allocate_named(&self, namespace: &Arc<PidNamespace>, own: Option<i32>) -> SysResult<i32> {
        let mut table = self.0.lock();
        let number = match own.filter(|_| namespace.is_first()) {
            Some(number) if table.is_taken(number) => return Err(Errno::EEXIST),
            Some(number) => number,
            None => table.free_number()?,
        };
        table.name(number, namespace, own)?;
        table.threads.insert(number, Weak::new());
        Ok(number)
    }

    /// Says which thread has the number.
    pub fn register_thread(&self, thread: &Arc<Thread>) {
        self.0.lock().threads.insert(thread.tid, Arc::downgrade(thread));
    }

    /// The thread's number may be used again.
    pub fn release(&self, tid: i32) {
        self.0.lock().threads.remove(&tid);
    }

    /// Forgets a process that could not be started; its number may be used again.
    pub fn forget_process(&self, process: &Process) {
        let mut table = self.0.lock();
        let is_it = table.process(process.pid).is_some_and(|known| std::ptr::eq(&**known, process));
        let removed = if is_it { table.remove(process.pid) } else { None };
        drop(table);
        drop(removed);
    }

    /// The thread with the number.
    pub fn thread(&self, tid: i32) -> Option<Arc<Thread>> {
        self.0.lock().threads.get(&tid).and_then(Weak::upgrade)
    }

    /// The process with the number, dead or alive.
    pub fn process(&self, pid: i32) -> Option<Arc<Process>> {
        self.0.lock().process(pid).cloned()
    }

    /// The process that has a thread with the number, or had it as its own.
    pub fn process_of(&self, tid: i32) -> Option<Arc<Process>> {
        self.process(tid).or_else(|| self.thread(tid).map(|thread| Arc::clone(&thread.process)))
    }

    /// All processes by ascending number.
    pub fn processes(&self) -> Vec<Arc<Process>> {
        self.0.lock().processes.values().map(|entry| Arc::clone(&entry.process)).collect()
    }

    /// How many numbers are taken by threads.
    pub fn thread_count(&self) -> usize {
        self.0.lock().threads.len()
    }
}
