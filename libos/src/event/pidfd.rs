//! A process as a file, pidfd_open(2).
//!
//! The one idea: it holds on to the process itself, so it never comes to mean another one that gets the number.

use std::{fmt::Write, sync::Arc};

use kernel_objects::WaitQueue;

use crate::{
    errno::{Errno, SysResult},
    process::{PidNamespace, Process, Thread},
    vfs::{File, PollEvents},
};

/// A pidfd: readable once the process has ended, or the thread.
pub struct PidFd {
    process: Arc<Process>,
    /// The thread that it is for, if it is for one (`PIDFD_THREAD`).
    thread: Option<Arc<kernel_objects::Thread>>,
}

impl PidFd {
    /// One for `process`.
    pub fn new(process: Arc<Process>) -> Self {
        Self { process, thread: None }
    }

    /// One for `thread` alone.
    pub fn of_thread(thread: &Arc<Thread>) -> Self {
        Self { process: Arc::clone(&thread.process), thread: Some(Arc::clone(&thread.object)) }
    }

    /// Whether it is for one thread.
    pub fn is_of_thread(&self) -> bool {
        self.thread.is_some()
    }

    /// The thread that it is for, or the first of the process. `ESRCH` when there is none any more.
    pub fn thread(&self) -> SysResult<Arc<Thread>> {
        match &self.thread {
            None => self.process.threads().into_iter().next(),
            Some(object) => Thread::of(object).filter(|thread| {
                let known = self.process.kernel.pids.thread(thread.tid);
                known.is_some_and(|known| Arc::ptr_eq(&known, thread))
            }),
        }
        .ok_or(Errno::ESRCH)
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
        let over = match &self.thread {
            None => self.process.has_ended(),
            Some(_) => self.thread().is_err(),
        };
        match over {
            true => PollEvents::READABLE,
            false => PollEvents::empty(),
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(if self.is_of_thread() { &self.process.thread_ended } else { &self.process.ended })
    }

    fn link_text(&self) -> Vec<u8> {
        b"anon_inode:[pidfd]".to_vec()
    }

    fn fdinfo(&self, reader: &PidNamespace) -> String {
        let known = self.process.kernel.pids.process(self.process.pid);
        let pid = match known {
            Some(known) if Arc::ptr_eq(&known, &self.process) => {
                let thread = self.thread.as_ref().map(|_| self.thread());
                thread.map_or(Some(self.process.pid), |thread| thread.ok().map(|thread| thread.tid))
            }
            // It was waited for.
            _ => None,
        };
        let Some(pid) = pid else { return "Pid:\t-1\nNSpid:\t-1\n".to_owned() };
        let mut out = format!("Pid:\t{}\nNSpid:", reader.shown(pid));
        for shown in self.process.pid_namespace.shown_from(reader, pid) {
            let _ = write!(out, "\t{shown}");
        }
        out.push('\n');
        out
    }
}
