//! Waiting for children: wait4(2), waitid(2).
//!
//! The one idea: one look at all children under the lock of the table, which takes what it finds, and a queue that is notified when
//! looking again may help.

use std::sync::{Arc, atomic::Ordering};

use linux_raw_sys::general as raw;

use super::{
    Process, Thread,
    family::{Aftermath, code_and_status},
    pids::Table,
    trace::Tracee,
};
use crate::{
    errno::{Errno, SysResult},
    signal::{Signal, info::code, stop::News},
};

/// What processes have used, getrusage(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Nanoseconds on a CPU.
    pub cpu: u64,
    /// The most bytes that one had in memory.
    pub resident: u64,
}

impl Usage {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_add(other.cpu),
            resident: self.resident.max(other.resident),
        }
    }
}

/// Which children to wait for.
#[derive(Clone)]
pub enum Whom {
    /// Any.
    Any,
    /// The one with this number.
    Pid(i32),
    /// Those of a process group.
    Group(i32),
    /// This one, whatever its number means by now.
    Process(Arc<Process>),
}

/// What to wait for: the flags of waitid(2).
#[derive(Clone)]
pub struct Wish {
    /// The children.
    pub whom: Whom,
    /// `WEXITED`, `WSTOPPED`, `WCONTINUED`, `WNOWAIT`, `__WALL`, `__WCLONE`, `__WNOTHREAD`.
    pub options: u32,
}

/// What became of a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waited {
    /// Its number.
    pub pid: i32,
    /// Its real user.
    pub uid: u32,
    /// `CLD_*`.
    pub code: i32,
    /// Its exit status, or a signal's number.
    pub status: i32,
    /// What it and the children that it waited for have used.
    pub usage: Usage,
}

impl Waited {
    /// The status word that wait4(2) stores.
    pub fn word(&self) -> i32 {
        match self.code {
            code::CLD_EXITED => self.status << 8,
            code::CLD_STOPPED | code::CLD_TRAPPED => self.status << 8 | 0x7f,
            code::CLD_CONTINUED => 0xffff,
            code::CLD_DUMPED => self.status | 0x80,
            _ => self.status,
        }
    }
}

impl Wish {
    fn has(&self, flag: u32) -> bool {
        self.options & flag != 0
    }

    fn is_for(&self, waiter: &Thread, child: &Process, exit_signal: u32) -> bool {
        let chosen = match &self.whom {
            Whom::Any => true,
            Whom::Pid(pid) => child.pid == *pid,
            Whom::Group(group) => child.pgid() == *group,
            Whom::Process(process) => std::ptr::eq(&**process, child),
        };
        let ordinary = exit_signal == Signal::SIGCHLD.raw() as u32;
        chosen
            && (self.has(raw::__WALL) || ordinary != self.has(raw::__WCLONE))
            && (!self.has(raw::__WNOTHREAD) || child.made_by.load(Ordering::Relaxed) == waiter.tid)
    }

    fn is_for_tracee(&self, waiter: &Thread, tracee: &Tracee) -> bool {
        let process = &tracee.process;
        let chosen = match &self.whom {
            Whom::Any => true,
            Whom::Pid(pid) => tracee.tid() == *pid,
            Whom::Group(group) => process.pgid() == *group,
            Whom::Process(chosen) => Arc::ptr_eq(chosen, process) && tracee.tid() == process.pid,
        };
        chosen
            && tracee.tracer.pid() == waiter.process.pid
            && (!self.has(raw::__WNOTHREAD) || tracee.tracer.is_thread(waiter.tid))
    }
}

impl Process {
    /// What it has used, without its children. Of its memory that is what was left when it ended, and nothing before.
    pub fn usage(&self) -> Usage {
        Usage { cpu: self.object.runtime(), resident: self.last_resident.load(Ordering::Relaxed) }
    }

    /// What the children that it has waited for have used, with theirs.
    pub fn children_usage(&self) -> Usage {
        *self.children_usage.lock()
    }
}

/// What is told of a child: `CLD_*` and a status.
type What = (i32, i32);

impl Table {
    /// Looks at the children of `waiter`'s process and those whom it traces: what was found is taken unless `WNOWAIT`. `ECHILD` when there is
    /// nobody to wait for.
    fn look(&mut self, waiter: &Thread, wish: &Wish) -> SysResult<Option<Found>> {
        let parent = &waiter.process;
        let Some(family) = self.processes.get(&parent.pid) else { return Err(Errno::ECHILD) };
        let keep = wish.has(raw::WNOWAIT);
        let (mut anybody, found) = self.look_at_tracees(waiter, wish);
        if let Some((tracee, what)) = found {
            return Ok(Some(self.take_tracee(parent, &tracee, what, keep)));
        }
        let mut found = None;
        for &pid in &family.children {
            let Some(entry) = self.processes.get(&pid) else { continue };
            let child = &entry.process;
            if !wish.is_for(waiter, child, entry.exit_signal) {
                continue;
            }
            let tracer = self.tracees.get(&pid).map(|tracee| tracee.tracer.pid());
            if tracer == Some(parent.pid) {
                // It was among those.
                continue;
            }
            let what = if child.has_ended() {
                if tracer.is_some() {
                    // Its tracer waits first.
                    anybody = true;
                    continue;
                }
                if !wish.has(raw::WEXITED) {
                    continue;
                }
                code_and_status(child.status())
            } else {
                anybody = true;
                let wanted = |news: &News| match news {
                    News::Stopped(_) => wish.has(raw::WSTOPPED),
                    News::Continued => wish.has(raw::WCONTINUED),
                };
                match child.stop.news(wanted, keep) {
                    Some(News::Stopped(signal)) => (code::CLD_STOPPED, signal.raw()),
                    Some(News::Continued) => (code::CLD_CONTINUED, Signal::SIGCONT.raw()),
                    None => continue,
                }
            };
            found = Some((Arc::clone(child), what));
            break;
        }
        let Some((child, (code, status))) = found else {
            return if anybody { Ok(None) } else { Err(Errno::ECHILD) };
        };
        Ok(Some(self.take(parent, child, (code, status), keep)))
    }

    /// What is told of `child`, which is let go of if it has ended and is not to be kept.
    fn take(
        &mut self,
        parent: &Process,
        child: Arc<Process>,
        (code, status): What,
        keep: bool,
    ) -> Found {
        let usage = child.usage().and(child.children_usage());
        if child.has_ended() && !keep {
            let mut total = parent.children_usage.lock();
            *total = total.and(usage);
            drop(total);
            self.remove(child.pid);
        }
        let uid = child.ids.lock().users[0];
        let waited = Waited { pid: child.pid, uid, code, status, usage };
        Found { waited, _process: child, aftermath: Aftermath::default() }
    }

    /// Looks at those whom `waiter`'s process traces: whether there are any, and one of which there is something to tell.
    fn look_at_tracees(&self, waiter: &Thread, wish: &Wish) -> (bool, Option<(Arc<Tracee>, What)>) {
        let mut anybody = false;
        let mine = |tracee: &&Arc<Tracee>| wish.is_for_tracee(waiter, tracee);
        for tracee in self.tracees.values().filter(mine) {
            let process = &tracee.process;
            let first = tracee.tid() == process.pid;
            let ended = if first { process.has_ended() } else { tracee.has_ended() };
            if ended && !wish.has(raw::WEXITED) {
                continue;
            }
            anybody = true;
            let what = match ended && first {
                true => Some(code_and_status(process.status())),
                false => tracee.news(wish.has(raw::WNOWAIT)),
            };
            if let Some(what) = what {
                return (true, Some((Arc::clone(tracee), what)));
            }
        }
        (anybody, None)
    }

    /// What is told of `tracee`. One that has ended and is not to be kept is traced no more: a process is then its parent's to wait for.
    fn take_tracee(
        &mut self,
        waiter: &Process,
        tracee: &Tracee,
        (code, status): What,
        keep: bool,
    ) -> Found {
        let process = Arc::clone(&tracee.process);
        let tid = tracee.tid();
        let ended = tid == process.pid && process.has_ended();
        if ended && process.ppid() == waiter.pid {
            return self.take(waiter, process, (code, status), keep);
        }
        let mut aftermath = Aftermath::default();
        if !keep && (ended || tracee.has_ended()) {
            self.tracees.remove(&tid);
        }
        if !keep && ended {
            self.tell_end(tid, &mut aftermath);
        }
        let (usage, uid) = (process.usage(), process.ids.lock().users[0]);
        Found {
            waited: Waited { pid: tid, uid, code, status, usage },
            _process: process,
            aftermath,
        }
    }
}

/// What was found, with what is to be done without the lock.
struct Found {
    waited: Waited,
    _process: Arc<Process>,
    aftermath: Aftermath,
}

impl Thread {
    /// Looks at its process's children once; `None` when it has to wait.
    pub(crate) fn look_at_children(&self, wish: &Wish) -> SysResult<Option<Waited>> {
        let looked = self.process.kernel.pids.0.lock().look(self, wish)?;
        Ok(looked.map(|found| {
            found.aftermath.send();
            found.waited
        }))
    }

    /// Waits until a child is as wished.
    pub(crate) async fn wait_for_child(&self, wish: &Wish) -> SysResult<Waited> {
        let mut woken = Ok(());
        loop {
            let mut changed = self.process.children_changed.wait();
            changed.arm();
            // What a signal tells of is found before the signal counts, be it that nobody is left.
            if let Some(waited) = self.look_at_children(wish)? {
                return Ok(waited);
            }
            woken?;
            woken = self.interruptible(changed).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_word_tells_ends_stops_and_continuations_apart() {
        let word =
            |code, status| Waited { pid: 1, uid: 0, code, status, usage: Usage::default() }.word();
        assert_eq!(word(code::CLD_EXITED, 3), 0x300);
        assert_eq!(word(code::CLD_KILLED, 9), 9);
        assert_eq!(word(code::CLD_DUMPED, 11), 0x8b);
        assert_eq!(word(code::CLD_STOPPED, 19), 0x137f);
        assert_eq!(word(code::CLD_CONTINUED, 18), 0xffff);
    }

    #[test]
    fn usages_add_up_but_for_the_largest() {
        let (a, b) = (Usage { cpu: 1, resident: 9 }, Usage { cpu: 2, resident: 3 });
        assert_eq!(a.and(b), Usage { cpu: 3, resident: 9 });
    }
}
