//! Numbers for processes and threads, and who has them.
//!
//! The one idea: one space of numbers for both (pid_namespaces(7)), given out in ascending order and used again
//! only after all others were.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use super::{Process, Thread};
use crate::errno::{Errno, SysResult};

/// One more than the highest number: the default of /proc/sys/kernel/pid_max on 64-bit Linux.
pub(crate) const PID_MAX: i32 = 4_194_304;

#[derive(Default)]
struct Table {
    next: i32,
    threads: BTreeMap<i32, Weak<Thread>>,
    processes: BTreeMap<i32, Arc<Process>>,
}

/// The table of processes and threads of a kernel.
#[derive(Default)]
pub struct PidTable(Mutex<Table>);

impl PidTable {
    /// A number that nobody has. It is taken from now on until [`PidTable::release`]; `EAGAIN` when all are.
    pub fn allocate(&self) -> SysResult<i32> {
        let mut table = self.0.lock();
        for _ in 0..PID_MAX {
            table.next = if table.next + 1 < PID_MAX { table.next + 1 } else { 1 };
            let pid = table.next;
            if !table.threads.contains_key(&pid) && !table.processes.contains_key(&pid) {
                table.threads.insert(pid, Weak::new());
                return Ok(pid);
            }
        }
        Err(Errno::EAGAIN)
    }

    /// Says which thread has the number.
    pub fn register_thread(&self, thread: &Arc<Thread>) {
        self.0.lock().threads.insert(thread.tid, Arc::downgrade(thread));
    }

    /// Says which process has the number.
    pub fn register_process(&self, process: &Arc<Process>) {
        self.0.lock().processes.insert(process.pid, Arc::clone(process));
    }

    /// The thread's number may be used again.
    pub fn release(&self, tid: i32) {
        self.0.lock().threads.remove(&tid);
    }

    /// The process's number may be used again: it was waited for.
    pub fn release_process(&self, pid: i32) {
        self.0.lock().processes.remove(&pid);
    }

    /// The thread with the number.
    pub fn thread(&self, tid: i32) -> Option<Arc<Thread>> {
        self.0.lock().threads.get(&tid).and_then(Weak::upgrade)
    }

    /// The process with the number, dead or alive.
    pub fn process(&self, pid: i32) -> Option<Arc<Process>> {
        self.0.lock().processes.get(&pid).cloned()
    }

    /// All processes by ascending number.
    pub fn processes(&self) -> Vec<Arc<Process>> {
        self.0.lock().processes.values().cloned().collect()
    }

    /// How many numbers are taken by threads.
    pub fn thread_count(&self) -> usize {
        self.0.lock().threads.len()
    }
}
