//! The end of threads and processes.
//!
//! The one idea: what ends is the object, and its return code is the status word of wait(2). exit_group(2) and deadly signals end
//! the process object, which kills its threads; each of them settles what it owes others when its body is dropped, and the last one
//! has the process settle the rest. Only then does the object say `TASK_TERMINATED`, which is what a parent waits for.

use std::sync::{Arc, atomic::Ordering};

use kernel_objects::{KernelObject, Signals};

use super::{Process, Thread};
use crate::{
    signal::{SigSet, Signal},
    syscall::argument::UserPtr,
    trace::Recorded,
    vfs::lock::LockOwner,
};

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
    /// By SIGKILL.
    pub const KILLED: Self = Self::Signaled { signal: Signal::SIGKILL.raw() as u8, core: false };

    /// The status word that wait4(2) stores.
    pub fn wait_status(self) -> i32 {
        match self {
            Self::Exited(code) => i32::from(code) << 8,
            Self::Signaled { signal, core } => i32::from(signal) | if core { 0x80 } else { 0 },
        }
    }

    /// How a process ended whose object has this return code: a status word, or a negative number if nobody gave it one, which is the
    /// end that SIGKILL makes.
    pub fn from_return_code(code: i64) -> Self {
        match u16::try_from(code) {
            Err(_) => Self::KILLED,
            Ok(word) => match (word as u8 & 0x7f, word as u8 & 0x80, (word >> 8) as u8) {
                (0, _, code) => Self::Exited(code),
                (signal, core, _) => Self::Signaled { signal, core: core != 0 },
            },
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
        self.object.is_ending().then(|| self.status())
    }

    pub(super) fn status(&self) -> ExitStatus {
        ExitStatus::from_return_code(self.object.info().return_code)
    }

    /// The status word that wait4(2) stores; 0 before it ends.
    pub fn wait_status(&self) -> i32 {
        self.exit_status().map_or(0, ExitStatus::wait_status)
    }

    /// Decides how the process ends, unless that is decided, and has all its threads end.
    pub fn begin_exit(&self, status: ExitStatus) {
        self.object.exit(status.wait_status().into());
    }

    /// Waits until its last thread has left, and says how it ended.
    pub async fn wait_ended(&self) -> ExitStatus {
        // It fails for handles only.
        let _ = self.object.wait_one(Signals::TASK_TERMINATED).await;
        self.status()
    }

    /// Lets go of what is the process's and not its threads': they have all left.
    pub(super) fn clean_up(self: &Arc<Self>) {
        self.operations.end();
        self.end_with_terminal();
        self.timers.clear();
        self.kernel.locks.release_everywhere(LockOwner::Process(self.pid));
        self.undo_semaphores();
        if !self.is_namespace_init() {
            self.be_missed();
            return;
        }
        // The namespace ends with it, and whoever waits for it sees nobody left in there.
        self.end_namespace();
        let init = Arc::clone(self);
        let end = async move {
            init.alone_in_namespace().await;
            init.be_missed();
        };
        self.kernel.cpus.handle().spawn(end).detach();
    }

    /// Everybody is told that it has ended.
    fn be_missed(&self) {
        self.leave_family();
        self.ended.notify_all();
    }
}

impl Process {
    /// Takes back what it has done to semaphores with `SEM_UNDO`.
    pub(crate) fn undo_semaphores(&self) {
        for ipc in self.kernel.ipcs() {
            for semaphores in ipc.objects.sem.all() {
                semaphores.exited(self.pid);
            }
        }
    }
}

impl Thread {
    /// Ends the calling thread, exit(2).
    pub fn exit(&self, code: u8) {
        self.exit_code.store(i32::from(code) << 8, Ordering::Relaxed);
        if self.tid == self.process.pid {
            // If the process as a whole is not ended, the first thread's status is the process's.
            let status = ExitStatus::Exited(code).wait_status();
            let _ = self.process.object.set_return_code(status.into());
        }
        self.object.exit();
    }

    /// How it ends: by its own exit(2), or as its process does.
    pub(super) fn own_status(&self) -> ExitStatus {
        self.process.exit_status().unwrap_or_else(|| {
            let word = self.exit_code.load(Ordering::Relaxed);
            ExitStatus::from_return_code(word.into())
        })
    }

    /// Ends the process of the calling thread, exit_group(2).
    pub fn exit_group(&self, status: ExitStatus) {
        // It needs no kick to notice.
        self.object.exit();
        self.process.begin_exit(status);
    }

    /// Leaves its memory, by its end or for another program: what it owes those who still use it is settled.
    pub(super) fn leave_memory(&self) {
        crate::futex::exit_robust_list(self);
        let word = UserPtr::<u32>::new(self.clear_child_tid.load(Ordering::Relaxed));
        if !word.is_null() && word.write(&self.memory, &0).is_ok() {
            crate::futex::wake_one(self, word.addr());
        }
        let borrowed = self.borrows.lock().take();
        drop(borrowed);
    }

    /// Leaves the process: what the thread owes others is settled here, whatever way it ended.
    pub(super) fn leave(self: &Arc<Self>) {
        // Whoever looks for a thread from now on takes another one.
        self.object.exit();
        if self.process.ppid() != 0 && self.process.object.thread_count() == 1 {
            // For whoever waits for it.
            let resident = self.memory.resident_bytes();
            self.process.last_resident.store(resident, Ordering::Relaxed);
        }
        self.leave_memory();
        self.end_traces();
        let rings = std::mem::take(&mut *self.rings.lock());
        drop(rings);
        self.process.leave_children(self);
        if let Some(recorder) = self.recorder() {
            recorder.gone(self.who());
        }
        self.process.kernel.pids.release(self.tid);
        // What was sent to the process and would have been this thread's is another one's now.
        self.process.retarget_signals(SigSet::FULL);
        self.files.detach();
        self.process.thread_ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use kernel_objects::task::retcode;

    use super::*;

    #[test]
    fn a_return_code_is_the_status_word_and_back() {
        let core = ExitStatus::Signaled { signal: 11, core: true };
        for status in [ExitStatus::Exited(0), ExitStatus::Exited(255), core, ExitStatus::KILLED] {
            assert_eq!(ExitStatus::from_return_code(status.wait_status().into()), status);
        }
        for code in [retcode::SYSCALL_KILL, retcode::OOM_KILL, i64::MIN, 1 << 32] {
            assert_eq!(ExitStatus::from_return_code(code), ExitStatus::KILLED);
        }
    }
}
