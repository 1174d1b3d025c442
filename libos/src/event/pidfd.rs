//! A process as a file, pidfd_open(2).
//!
//! The one idea: it holds on to the process itself, so it never comes to mean another one that gets the number.

use std::sync::Arc;

use kernel_objects::WaitQueue;

use crate::{
    process::Process,
    vfs::{File, PollEvents},
};

/// A pidfd: readable once the process has ended.
pub struct PidFd {
    process: Arc<Process>,
}

impl PidFd {
    /// One for `process`.
    pub fn new(process: Arc<Process>) -> Self {
        Self { process }
    }

    /// The process, dead or alive.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }
}

impl File for PidFd {
    fn transfers(&self) -> (bool, bool) {
        (false, false)
    }

    fn poll(&self) -> PollEvents {
        match self.process.has_ended() {
            true => PollEvents::READABLE,
            false => PollEvents::empty(),
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.process.ended)
    }

    fn link_text(&self) -> Vec<u8> {
        b"anon_inode:[pidfd]".to_vec()
    }

    fn fdinfo(&self) -> String {
        let known = self.process.kernel.pids.process(self.process.pid);
        let pid = match known {
            Some(known) if Arc::ptr_eq(&known, &self.process) => self.process.pid,
            // It was waited for.
            _ => -1,
        };
        format!("Pid:\t{pid}\nNSpid:\t{pid}\n")
    }
}
