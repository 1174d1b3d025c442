//! Process groups and sessions, for job control: setpgid(2), setsid(2), credentials(7).
//!
//! The one idea: a group is a number with members, and a session is an object that its members share, for what belongs to a session as
//! a whole. Both live as long as they have members, the dead that were not waited for among them; so a number never means another group.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use super::{
    Process,
    pids::{PidTable, Table, remove_member},
};
use crate::{
    errno::{Errno, SysResult},
    signal::{SigInfo, Signal},
};

/// A session.
#[derive(Debug)]
pub struct Session {
    /// Its number, that of the process that began it.
    pub id: i32,
}

impl Session {
    /// The session that process `id` begins.
    pub(super) fn new(id: i32) -> Arc<Self> {
        Arc::new(Self { id })
    }
}

impl Process {
    /// The number of its process group.
    pub fn pgid(&self) -> i32 {
        self.pgid.load(Ordering::Relaxed)
    }

    /// Its session.
    pub fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session.read())
    }

    /// The number of its session.
    pub fn sid(&self) -> i32 {
        self.session.read().id
    }

    /// Whether it began its session.
    pub fn leads_session(&self) -> bool {
        self.sid() == self.pid
    }

    /// Begins a session with itself as the only member, and a group in it. `EPERM` when a group has its number.
    pub fn begin_session(&self) -> SysResult<()> {
        let mut table = self.kernel.pids.0.lock();
        if table.groups.contains_key(&self.pid) {
            return Err(Errno::EPERM);
        }
        table.join_session(self, Session::new(self.pid));
        table.join_group(self, self.pid);
        drop(table);
        self.forget_terminal();
        Ok(())
    }

    /// Moves the process `pid`, itself or a child, to the group `group`, which is one of its session or has its number. `ESRCH` when there is no such
    /// process, `EACCES` for a child that has executed a program, `EPERM` across sessions.
    pub fn move_to_group(&self, pid: i32, group: i32) -> SysResult<()> {
        let mut table = self.kernel.pids.0.lock();
        let target = Arc::clone(table.process(pid).ok_or(Errno::ESRCH)?);
        if target.ppid() == self.pid {
            if target.sid() != self.sid() {
                return Err(Errno::EPERM);
            }
            if target.executed.load(Ordering::Relaxed) {
                return Err(Errno::EACCES);
            }
        } else if pid != self.pid {
            return Err(Errno::ESRCH);
        }
        if target.leads_session() {
            return Err(Errno::EPERM);
        }
        if group != pid && table.session_of_group(group) != Some(self.sid()) {
            return Err(Errno::EPERM);
        }
        table.join_group(&target, group);
        Ok(())
    }
}

impl Table {
    pub(super) fn join_group(&mut self, process: &Process, group: i32) {
        remove_member(&mut self.groups, process.pgid(), process.pid);
        self.groups.entry(group).or_default().insert(process.pid);
        process.pgid.store(group, Ordering::Relaxed);
    }

    pub(super) fn join_session(&mut self, process: &Process, session: Arc<Session>) {
        remove_member(&mut self.sessions, process.sid(), process.pid);
        self.sessions.entry(session.id).or_default().insert(process.pid);
        *process.session.write() = session;
    }

    fn members(&self, numbers: Option<&BTreeSet<i32>>) -> impl Iterator<Item = &Arc<Process>> {
        numbers.into_iter().flatten().filter_map(|&pid| self.process(pid))
    }

    /// The members of a group.
    pub(super) fn group(&self, group: i32) -> impl Iterator<Item = &Arc<Process>> {
        self.members(self.groups.get(&group))
    }

    fn session_of_group(&self, group: i32) -> Option<i32> {
        self.group(group).next().map(|member| member.sid())
    }

    /// Whether the group has no member, besides `leaving`, with a parent in another group of its session who could let it go on.
    pub(super) fn is_orphaned(&self, group: i32, leaving: Option<i32>) -> bool {
        !self.group(group).any(|member| {
            if member.has_ended() || Some(member.pid) == leaving {
                return false;
            }
            match self.process(member.ppid()) {
                Some(parent)
                    if !parent.is_init() || member.made_by.load(Ordering::Relaxed) != 0 =>
                {
                    parent.pgid() != group && parent.sid() == member.sid()
                }
                // What began it is outside, and lets it go on.
                _ => true,
            }
        })
    }
}

impl PidTable {
    /// The members of the process group, dead or alive, by ascending number.
    pub fn group(&self, group: i32) -> Vec<Arc<Process>> {
        self.0.lock().group(group).cloned().collect()
    }

    /// The members of the session, dead or alive, by ascending number.
    pub fn session(&self, session: i32) -> Vec<Arc<Process>> {
        let table = self.0.lock();
        table.members(table.sessions.get(&session)).cloned().collect()
    }

    /// The session that the process group is in; `None` when there is no such group.
    pub fn session_of_group(&self, group: i32) -> Option<i32> {
        self.0.lock().session_of_group(group)
    }

    /// Whether nobody could let the process group go on if it stopped: no member has a parent in another group of its session.
    pub fn group_is_orphaned(&self, group: i32) -> bool {
        self.0.lock().is_orphaned(group, None)
    }

    /// Sends `signal` of the kernel's own, as a terminal does, to all members of the process group.
    pub fn signal_group(&self, group: i32, signal: Signal) {
        for member in self.group(group) {
            // A full queue drops none of these: no standard signal needs an entry.
            let _ = member.send_signal(signal, SigInfo::kernel(signal));
        }
    }
}
