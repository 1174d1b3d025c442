//! The end of threads and processes.
//!
//! The one idea: a process has ended when its last thread has left its loop; until then exit_group(2) and deadly signals only
//! leave a note and ask every thread to leave.

use std::sync::{Arc, atomic::Ordering};

use super::{Process, Thread, work};
use crate::{signal::SigSet, syscall::argument::UserPtr, vfs::lock::LockOwner};

/// How a process ended, wait(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitStatus {
    /// By exit(2) or exit_group(2) with the low eight bits of this status.
    Exited(u8),
    /// By a signal.
    Signaled {
        /// The signal's number.
        signal: u8,
        /// Whether Linux would have written a core file (`WCOREDUMP`).
        core: bool,
    },
}

impl ExitStatus {
    /// The status word that wait4(2) stores.
    pub fn wait_status(self) -> i32 {
        match self {
            Self::Exited(code) => i32::from(code) << 8,
            Self::Signaled { signal, core } => i32::from(signal) | if core { 0x80 } else { 0 },
        }
    }

    /// What a shell puts in `$?`.
    pub fn shell_code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled { signal, .. } => 128_u8.wrapping_add(signal),
        }
    }
}

impl Process {
    /// How it ends, once that is decided; threads may still be on their way out.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.exit.get().copied()
    }

    /// Decides how the process ends, unless that is decided, and asks all its threads to leave.
    pub fn begin_exit(&self, status: ExitStatus) {
        // Under the lock, so that no thread is adopted in between and misses the request.
        let threads = self.threads.lock();
        if self.exit.set(status).is_ok() {
            for thread in threads.values().filter_map(std::sync::Weak::upgrade) {
                thread.notify(work::EXIT);
            }
            self.signals.resumed.notify_all();
        }
    }

    /// Waits until its last thread has left, and says how it ended.
    pub async fn wait_ended(&self) -> ExitStatus {
        self.ended
            .wait_until(|| match (self.exit_status(), self.thread_count()) {
                (Some(status), 0) => Some(status),
                _ => None,
            })
            .await
    }
}

impl Thread {
    /// Leaves the process: what the thread owes others is settled here, whatever way it ended.
    pub(super) fn leave(self: &Arc<Self>, code: u8) {
        crate::futex::exit_robust_list(self);
        let word = UserPtr::<u32>::new(self.clear_child_tid.load(Ordering::Relaxed));
        if !word.is_null() && word.write(&self.memory, &0).is_ok() {
            crate::futex::wake_one(self, word.addr());
        }
        let process = &self.process;
        let last = {
            let mut threads = process.threads.lock();
            threads.remove(&self.tid);
            process.past_cpu_time.fetch_add(self.cpu_time.now(), Ordering::Relaxed);
            if threads.is_empty() {
                // The last thread's exit(2) is the process's, unless something else decided before.
                let _ = process.exit.set(ExitStatus::Exited(code));
            }
            threads.is_empty()
        };
        process.kernel.pids.release(self.tid);
        // What was sent to the process and would have been this thread's is another one's now.
        process.retarget_signals(SigSet::FULL);
        if last {
            process.timers.clear();
            drop(self.files.clear());
            process.kernel.locks.release_everywhere(LockOwner::Process(process.pid));
            *process.memory.lock() = None;
            if process.parent.upgrade().is_none() {
                // Nobody will wait for it.
                process.kernel.pids.release_process(process.pid);
            }
        }
        process.ended.notify_all();
    }
}
