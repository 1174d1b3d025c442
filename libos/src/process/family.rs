//! Parents and children.
//!
//! The one idea: who is whose child is decided under the lock of the table of processes, together with who has ended, so that whoever
//! waits sees an end exactly once, whoever the parent is by then.

use std::sync::{Arc, atomic::Ordering};

use super::{
    Process, Session,
    pids::{Entry, PidTable},
};
use crate::errno::{Errno, SysResult};

/// Whose child a new process is, and what its end is to its parent.
pub struct Birth<'a> {
    /// Who makes it; none for a first process.
    pub maker: Option<&'a Process>,
    /// It is a child of its maker's parent, `CLONE_PARENT`.
    pub sibling: bool,
}

impl Birth<'_> {
    /// That of a process which nobody waits for and which begins a session.
    pub const FIRST: Birth<'static> = Birth { maker: None, sibling: false };
}

impl Process {
    /// The number of its parent; 0 when it has none.
    pub fn ppid(&self) -> i32 {
        self.ppid.load(Ordering::Relaxed)
    }
}

impl PidTable {
    /// Enters a new process: from now on it is found, and a member of its maker's group and session. `EAGAIN` when its maker
    /// was waited for meanwhile.
    pub fn register_process(&self, process: &Arc<Process>, birth: &Birth<'_>) -> SysResult<()> {
        let mut table = self.0.lock();
        let (group, session, parent) = match birth.maker {
            None => (process.pid, Session::new(process.pid), 0),
            Some(maker) => {
                let parent = if birth.sibling { maker.ppid() } else { maker.pid };
                let entry = table.processes.get_mut(&parent).ok_or(Errno::EAGAIN)?;
                entry.children.insert(process.pid);
                (maker.pgid(), maker.session(), parent)
            }
        };
        process.ppid.store(parent, Ordering::Relaxed);
        let entry =
            Entry { process: Arc::clone(process), children: Default::default(), ended: false };
        table.processes.insert(process.pid, entry);
        table.join_group(process, group);
        table.join_session(process, session);
        Ok(())
    }
}
