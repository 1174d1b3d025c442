//! Namespaces of process numbers, pid_namespaces(7).
//!
//! The one idea: within the kernel a task has one number, that of the first namespace, whoever asks. A namespace only says what its members call
//! whom. So a number is put into its reader's terms where it leaves the kernel ([`Process::sees`]), and out of them where it comes in
//! ([`Process::visible`]); in the first namespace both do nothing.
//!
//! A task has a number in its own namespace and in each of those around it. The process with the number 1 is a namespace's init: it
//! gets the orphans, and all the others end with it.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock, Weak},
};

use kernel_objects::WaitQueue;
use parking_lot::Mutex;

use super::{
    Process, Thread, UserNamespace,
    namespaces::{Kind, next_number},
    pids::{PID_MAX, PidTable},
};
use crate::{
    errno::{Errno, SysResult},
    signal::{SigInfo, Signal},
};

/// How many namespaces there may be around one, the first among them: `MAX_PID_NS_LEVEL`.
pub(crate) const DEEPEST: usize = 32;

/// A namespace of process numbers.
pub struct PidNamespace {
    /// Its own number: the inode of its file in /proc.
    pub number: u64,
    /// Whose it is.
    pub owner: UserNamespace,
    parent: Option<Arc<Self>>,
    /// How many namespaces are around it.
    level: usize,
    names: Mutex<Names>,
    /// Its init, once there was one.
    init: OnceLock<Weak<Process>>,
    /// Notified when a process that is in it was waited for, once its init has ended.
    pub(super) left: WaitQueue,
}

/// What its members call whom.
#[derive(Default)]
struct Names {
    /// By the kernel's numbers.
    own: BTreeMap<i32, i32>,
    /// By its own.
    kernels: BTreeMap<i32, i32>,
    last: i32,
    /// Its init is ending: nobody can be born in it.
    ending: bool,
}

impl PidNamespace {
    /// The namespace of a kernel's first process.
    pub(super) fn first() -> Arc<Self> {
        Arc::new(Self::at(Kind::Pid.first_number(), UserNamespace::FIRST, None, 0))
    }

    fn at(number: u64, owner: UserNamespace, parent: Option<Arc<Self>>, level: usize) -> Self {
        let (names, init, left) = (Mutex::default(), OnceLock::new(), WaitQueue::new());
        Self { number, owner, parent, level, names, init, left }
    }

    /// A new one in `self`, without members, which is `owner`'s. `ENOSPC` when it would be too deep.
    pub(crate) fn nested(self: &Arc<Self>, owner: &UserNamespace) -> SysResult<Arc<Self>> {
        let level = self.level + 1;
        if level > DEEPEST {
            return Err(Errno::ENOSPC);
        }
        Ok(Arc::new(Self::at(next_number(), owner.clone(), Some(Arc::clone(self)), level)))
    }

    /// Whether it is the first one, whose numbers are the kernel's.
    pub(crate) fn is_first(&self) -> bool {
        self.parent.is_none()
    }

    /// Itself and those around it.
    fn outward(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |inner| inner.parent.as_deref())
    }

    /// Itself and those around it but the first.
    fn chain(&self) -> impl Iterator<Item = &Self> {
        self.outward().filter(|namespace| !namespace.is_first())
    }

    /// The namespace around it.
    pub(crate) fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    /// Whether it is `other` or in it.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.outward().any(|namespace| std::ptr::eq(namespace, other))
    }

    /// What its members call the task, group or session that the kernel calls `number`; 0 if that has no name here.
    pub(crate) fn shown(&self, number: i32) -> i32 {
        if self.is_first() {
            return number;
        }
        self.names.lock().own.get(&number).copied().unwrap_or(0)
    }

    /// The numbers of what the kernel calls `number`, in `outermost` first and then inwards down to this one.
    pub(crate) fn shown_from(&self, outermost: &Self, number: i32) -> Vec<i32> {
        let inside = self.outward().take_while(|namespace| namespace.level >= outermost.level);
        let mut shown: Vec<_> = inside.map(|namespace| namespace.shown(number)).collect();
        shown.reverse();
        shown
    }

    /// What the kernel calls what its members call `number`.
    pub(crate) fn meant(&self, number: i32) -> Option<i32> {
        if self.is_first() {
            return Some(number);
        }
        self.names.lock().kernels.get(&number).copied()
    }

    /// Its init, if that has not been waited for.
    pub(super) fn init(&self) -> Option<Arc<Process>> {
        self.init.get().and_then(Weak::upgrade)
    }

    /// `process` is its init from now on, if it has the number for it.
    pub(super) fn born(&self, process: &Arc<Process>) {
        if !self.is_first() && process.own_pid == 1 {
            let _ = self.init.set(Arc::downgrade(process));
        }
    }

    /// Whether its init ends, or has.
    pub(super) fn is_ending(&self) -> bool {
        self.names.lock().ending
    }

    /// Nobody can be born in it any more.
    pub(super) fn end(&self) {
        self.names.lock().ending = true;
    }

    /// Gives the task `number` of the kernel a name here and in those around: here `wanted`, if given. `EEXIST` when somebody has that,
    /// `EINVAL` when it would be the first without being 1, `ENOMEM` when the namespace is at its end. `is_taken` says of a number of the kernel's
    /// whether it means anybody.
    pub(super) fn enter(
        &self,
        number: i32,
        wanted: Option<i32>,
        is_taken: impl Fn(i32) -> bool,
    ) -> SysResult<()> {
        let mut wanted = wanted;
        for namespace in self.chain() {
            let entered = namespace.names.lock().enter(number, wanted.take(), &is_taken);
            if let Err(error) = entered {
                self.forget(number);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Nobody has the number of the kernel's any more: neither has it a name here and in those around.
    pub(super) fn forget(&self, number: i32) {
        for namespace in self.chain() {
            namespace.names.lock().forget(number);
        }
    }

    /// Tells those who wait for this namespace, or for one around it, to be empty that a process of it is gone.
    pub(super) fn tell_left(&self) {
        for namespace in self.chain() {
            namespace.left.notify_all();
        }
    }
}

impl Names {
    fn enter(
        &mut self,
        number: i32,
        wanted: Option<i32>,
        is_taken: impl Fn(i32) -> bool,
    ) -> SysResult<()> {
        if self.ending {
            return Err(Errno::ENOMEM);
        }
        let is_free = |names: &Self, name: i32| {
            names.kernels.get(&name).is_none_or(|&number| !is_taken(number))
        };
        let name = match wanted {
            Some(name) if self.last == 0 && name != 1 => return Err(Errno::EINVAL),
            Some(name) if !is_free(self, name) => return Err(Errno::EEXIST),
            Some(name) => name,
            None => (0..PID_MAX)
                .map(|step| (self.last + step) % (PID_MAX - 1) + 1)
                .find(|&name| is_free(self, name))
                .ok_or(Errno::EAGAIN)?,
        };
        if wanted.is_none() || self.last == 0 {
            self.last = name;
        }
        if let Some(gone) = self.kernels.insert(name, number) {
            self.own.remove(&gone);
        }
        self.own.insert(number, name);
        Ok(())
    }

    fn forget(&mut self, number: i32) {
        if let Some(name) = self.own.remove(&number) {
            self.kernels.remove(&name);
        }
    }
}

/// The tasks that a process can name, by the names that it has for them.
#[derive(Clone, Copy)]
pub(crate) struct Visible<'a> {
    table: &'a PidTable,
    namespace: &'a PidNamespace,
}

impl<'a> Visible<'a> {
    /// Those of `table` that have a name in `namespace`.
    pub(crate) fn new(table: &'a PidTable, namespace: &'a PidNamespace) -> Self {
        Self { table, namespace }
    }

    /// What the kernel calls the task, group or session `number`; `ESRCH` when there is no name like that.
    pub(crate) fn meant(self, number: i32) -> SysResult<i32> {
        self.namespace.meant(number).ok_or(Errno::ESRCH)
    }

    /// The thread `tid`.
    pub(crate) fn thread(self, tid: i32) -> Option<Arc<Thread>> {
        self.table.thread(self.namespace.meant(tid)?)
    }

    /// The process `pid`, dead or alive.
    pub(crate) fn process(self, pid: i32) -> Option<Arc<Process>> {
        self.table.process(self.namespace.meant(pid)?)
    }

    /// The process that has a thread `tid`, or had it as its own.
    pub(crate) fn process_of(self, tid: i32) -> Option<Arc<Process>> {
        self.table.process_of(self.namespace.meant(tid)?)
    }

    /// The members of the process group, dead or alive.
    pub(crate) fn group(self, group: i32) -> Vec<Arc<Process>> {
        self.namespace.meant(group).map_or_else(Vec::new, |group| self.table.group(group))
    }

    /// All processes, by ascending number of the kernel's.
    pub(crate) fn processes(self) -> Vec<Arc<Process>> {
        let mut all = self.table.processes();
        if !self.namespace.is_first() {
            all.retain(|process| process.pid_namespace.is_within(self.namespace));
        }
        all
    }
}

impl Process {
    /// What it calls the task, group or session that the kernel calls `number`; 0 if that is in none of its namespaces' names.
    pub(crate) fn sees(&self, number: i32) -> i32 {
        self.pid_namespace.shown(number)
    }

    /// The tasks that it can name.
    pub(crate) fn visible(&self) -> Visible<'_> {
        Visible::new(&self.kernel.pids, &self.pid_namespace)
    }

    /// The thread that it calls `tid`, if it is one of this process.
    pub(crate) fn thread_called(&self, tid: i32) -> Option<Arc<Thread>> {
        self.thread(self.pid_namespace.meant(tid)?)
    }

    /// It, the init of its namespace, ends: nobody else is born there, and all others end.
    pub(super) fn end_namespace(&self) {
        self.pid_namespace.end();
        for other in self.visible().processes() {
            if other.pid != self.pid {
                // It needs no room in a queue.
                let _ = other.send_signal(Signal::SIGKILL, SigInfo::kernel(Signal::SIGKILL));
            }
        }
        self.reap_children();
    }

    /// Waits until it is the only process of its namespace that was not waited for.
    pub(super) async fn alone_in_namespace(&self) {
        let alone = || {
            let members = self.visible().processes();
            members.iter().all(|member| member.pid == self.pid).then_some(())
        };
        self.pid_namespace.left.wait_until(alone).await;
    }

    /// Whether it is the init of a namespace but the first.
    pub(crate) fn is_namespace_init(&self) -> bool {
        self.own_pid == 1 && !self.pid_namespace.is_first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(namespace: &PidNamespace, number: i32, wanted: Option<i32>) -> SysResult<i32> {
        namespace.enter(number, wanted, |_| true)?;
        Ok(namespace.shown(number))
    }

    #[test]
    fn the_first_namespace_has_the_kernels_numbers() {
        let first = PidNamespace::first();
        assert_eq!((first.shown(7), first.meant(9)), (7, Some(9)));
        assert_eq!(enter(&first, 7, None), Ok(7));
    }

    #[test]
    fn a_task_has_a_name_in_each_namespace_that_it_is_in() {
        let outer = PidNamespace::first().nested(&UserNamespace::FIRST).unwrap();
        let inner = outer.nested(&UserNamespace::FIRST).unwrap();
        assert_eq!(enter(&outer, 50, None), Ok(1));
        assert_eq!(enter(&inner, 51, None), Ok(1));
        assert_eq!((outer.shown(51), inner.shown(50), inner.shown(51)), (2, 0, 1));
        assert_eq!((outer.meant(2), inner.meant(2)), (Some(51), None));
        assert!(inner.is_within(&outer) && !outer.is_within(&inner));
        inner.forget(51);
        assert_eq!((outer.meant(2), inner.meant(1)), (None, None));
    }

    #[test]
    fn a_name_can_be_asked_for_and_is_one_tasks_only() {
        let namespace = PidNamespace::first().nested(&UserNamespace::FIRST).unwrap();
        assert_eq!(enter(&namespace, 20, Some(5)), Err(Errno::EINVAL), "the first is init");
        assert_eq!(enter(&namespace, 20, None), Ok(1));
        assert_eq!(enter(&namespace, 21, Some(2)), Ok(2));
        assert_eq!(enter(&namespace, 22, Some(2)), Err(Errno::EEXIST));
        assert_eq!(enter(&namespace, 22, None), Ok(3));
        namespace.end();
        assert_eq!(enter(&namespace, 23, None), Err(Errno::ENOMEM));
    }

    #[test]
    fn a_name_that_means_nobody_can_be_given_again() {
        let namespace = PidNamespace::first().nested(&UserNamespace::FIRST).unwrap();
        for number in 1..10 {
            enter(&namespace, number, None).unwrap();
        }
        namespace.enter(10, Some(3), |number| number != 3).unwrap();
        assert_eq!((namespace.shown(10), namespace.meant(3), namespace.shown(3)), (3, Some(10), 0));
    }

    #[test]
    fn namespaces_nest_only_so_deep() {
        let mut namespace = PidNamespace::first();
        for _ in 0..DEEPEST {
            namespace = namespace.nested(&UserNamespace::FIRST).unwrap();
        }
        assert_eq!(namespace.nested(&UserNamespace::FIRST).err(), Some(Errno::ENOSPC));
    }
}
