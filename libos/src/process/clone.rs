//! Making threads and processes: clone(2), clone3(2), fork(2), vfork(2).
//!
//! The one idea: what is made is a copy of its maker's registers, with each thing that a thread has either shared or copied, as the flags
//! say. A process of its own has a [`Process`] besides. What a process shares of its memory (`CLONE_VM`) it shares as the threads of one
//! do; one that shares nothing gets a [fork](crate::memory::UserMemory::fork) of it.

use std::sync::{Arc, atomic::Ordering};

use futures::channel::oneshot;
use kernel_objects::task::BlockedReason;
use linux_raw_sys::general as raw;

use super::{
    Birth, Current, FsState, PidNamespace, Process, ProcessAttributes, Resource, Share, Thread,
    ThreadAttributes, ThreadParts, UserNamespace, namespaces::next_number, pids::PID_MAX,
    trace::Event,
};
use crate::{
    errno::{Errno, SysResult},
    event::PidFd,
    signal::Signal,
    syscall::argument::{Fd, UserPtr},
    vfs::{Capabilities, FsContext, OpenFile},
};

/// `CLONE_CLEAR_SIGHAND`: handlers become defaults in the child.
pub(crate) const CLONE_CLEAR_SIGHAND: u64 = 1 << 32;
/// `CLONE_INTO_CGROUP`.
pub(crate) const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// Namespaces that there may be several of.
const NAMESPACES: u64 = (raw::CLONE_NEWNS
    | raw::CLONE_NEWCGROUP
    | raw::CLONE_NEWUTS
    | raw::CLONE_NEWIPC
    | raw::CLONE_NEWPID
    | raw::CLONE_NEWNET) as u64;
/// Namespaces of which there is one each.
const SINGLE_NAMESPACES: u64 = raw::CLONE_NEWTIME as u64;
/// All flags that make namespaces.
pub(crate) const ALL_NAMESPACES: u64 = NAMESPACES | SINGLE_NAMESPACES | raw::CLONE_NEWUSER as u64;

/// What clone(2) and its kin are asked for.
#[derive(Clone, Copy)]
pub(crate) struct CloneRequest {
    /// `CLONE_*`, without the signal that clone(2) has in the lowest bits.
    pub flags: u64,
    /// The signal that the parent gets when the new process ends.
    pub exit_signal: u32,
    /// The stack pointer; 0 keeps the maker's.
    pub stack: u64,
    /// Where to store the new number, for `CLONE_PARENT_SETTID`.
    pub parent_tid: UserPtr<u32>,
    /// Where to store it in the new one's memory, and what word to clear at the end.
    pub child_tid: UserPtr<u32>,
    /// Where to store the descriptor of `CLONE_PIDFD`.
    pub pidfd: UserPtr<i32>,
    /// The FS base for `CLONE_SETTLS`.
    pub tls: u64,
    /// The number that it is to have.
    pub tid: Option<i32>,
}

/// The number of clone(2), which a tracer sees when something is made.
const CLONE: u64 = 56;

impl CloneRequest {
    /// What a tracer calls it.
    fn event(&self) -> Event {
        match self.has(raw::CLONE_VFORK) {
            true => Event::Vfork,
            false if self.exit_signal == Signal::SIGCHLD.raw() as u32 => Event::Fork,
            false => Event::Clone,
        }
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & u64::from(flag) != 0
    }

    /// What the new task, which is in `process` if that is new, has for root, working directory and umask; who it is among `users`.
    fn fs_state(
        &self,
        thread: &Thread,
        process: Option<&Process>,
        users: &UserNamespace,
    ) -> Arc<FsState> {
        let own = Share::get(&thread.fs);
        match process {
            None if self.has(raw::CLONE_FS) => Arc::clone(own),
            Some(process) if self.has(raw::CLONE_FS) => own.share(process.pid),
            process => {
                let pid = process.map_or(thread.process.pid, |process| process.pid);
                let mut context = FsContext { pid, ..own.read().clone() };
                if let Some(process) = process.filter(|_| self.has(raw::CLONE_NEWUSER)) {
                    process.enter_users(users.clone(), Arc::make_mut(&mut context.cred));
                }
                if self.has(raw::CLONE_NEWNS) {
                    context.leave_mounts(next_number(), users);
                }
                Arc::new(FsState::new(context))
            }
        }
    }

    /// What the new task has said about itself.
    fn attributes(&self, thread: &Thread) -> ThreadAttributes {
        let attributes = thread.attributes.lock().inherited(self.has(raw::CLONE_IO));
        match self.has(raw::CLONE_NEWUSER) {
            true => ThreadAttributes { bounding: Capabilities::FULL, ..attributes },
            false => attributes,
        }
    }

    /// Refuses combinations as Linux's `copy_process` does, and what is not there.
    fn check(&self, thread: &Thread) -> SysResult<()> {
        let invalid = self.has(raw::CLONE_NEWNS | raw::CLONE_NEWUSER) && self.has(raw::CLONE_FS)
            || self.has(raw::CLONE_THREAD) && !self.has(raw::CLONE_SIGHAND)
            || self.has(raw::CLONE_SIGHAND) && !self.has(raw::CLONE_VM)
            || self.has(raw::CLONE_SIGHAND) && self.flags & CLONE_CLEAR_SIGHAND != 0
            || self.has(raw::CLONE_THREAD) && self.has(raw::CLONE_NEWUSER | raw::CLONE_NEWPID)
            || self.has(raw::CLONE_PIDFD) && self.has(raw::CLONE_DETACHED | raw::CLONE_THREAD)
            // A first process would get a sibling that nobody waits for.
            || self.has(raw::CLONE_PARENT)
                && (thread.process.ppid() == 0 || thread.process.is_namespace_init())
            || self.has(raw::CLONE_THREAD) && !thread.bears_among_its_own();
        if invalid {
            return Err(Errno::EINVAL);
        }
        check_namespaces(thread, self.flags)?;
        if self.flags & CLONE_INTO_CGROUP != 0 { Err(Errno::EOPNOTSUPP) } else { Ok(()) }
    }
}

/// Whether `thread` may make the namespaces in `flags`: `EINVAL` for a kind that there is one of, as in a Linux without it, `EPERM`. With a new
/// one of users there is nothing to ask, for it comes first.
pub(crate) fn check_namespaces(thread: &Thread, flags: u64) -> SysResult<()> {
    let privileged = || {
        flags & u64::from(raw::CLONE_NEWUSER) != 0
            || thread.fs.read().cred.has_own(Capabilities::SYS_ADMIN)
    };
    if flags & (NAMESPACES | SINGLE_NAMESPACES) != 0 && !privileged() {
        return Err(Errno::EPERM);
    }
    let twice = flags & u64::from(raw::CLONE_NEWPID) != 0 && !thread.bears_among_its_own();
    if twice || flags & SINGLE_NAMESPACES != 0 { Err(Errno::EINVAL) } else { Ok(()) }
}

/// The namespace of users that what `thread` makes with `flags` belongs to: a new one with `CLONE_NEWUSER`. `ENOSPC`; `EPERM` for one in
/// another root directory, which it could leave then.
pub(crate) fn users_for(thread: &Thread, flags: u64) -> SysResult<UserNamespace> {
    if flags & u64::from(raw::CLONE_NEWUSER) == 0 {
        return Ok(thread.process.user_namespace());
    }
    let fs = thread.fs.read();
    let made = UserNamespace::new(&fs.cred)?;
    if fs.root.same(&fs.mounts.root()) { Ok(made) } else { Err(Errno::EPERM) }
}

/// `EAGAIN` when the caller's user has as many threads as it may have.
fn check_limit(thread: &Thread) -> SysResult<()> {
    let process = &thread.process;
    let limit = process.limit(Resource::Processes);
    // Counted only if it can matter.
    if (process.kernel.pids.thread_count() as u64) < limit {
        return Ok(());
    }
    let user = process.ids.lock().users[0];
    let cred = Arc::clone(&thread.fs.read().cred);
    let exempt =
        user == 0 || cred.has(Capabilities::SYS_RESOURCE) || cred.has(Capabilities::SYS_ADMIN);
    let threads = || {
        let processes = process.kernel.pids.processes();
        let same = processes.iter().filter(|other| other.ids.lock().users[0] == user);
        same.map(|other| other.object.thread_count() as u64).sum::<u64>()
    };
    if exempt || threads() < limit { Ok(()) } else { Err(Errno::EAGAIN) }
}

/// Takes a number that is `tid` in `namespace`, as clone3(2) asks for, for a new task: `EINVAL` if it is no number of one, `EPERM`, `EEXIST` if it is
/// taken.
fn allocate_as(thread: &Thread, namespace: &Arc<PidNamespace>, tid: i32) -> SysResult<i32> {
    if !(1..PID_MAX).contains(&tid) {
        return Err(Errno::EINVAL);
    }
    let cred = Arc::clone(&thread.fs.read().cred);
    if !cred.has(Capabilities::SYS_ADMIN) && !cred.has(Capabilities::CHECKPOINT_RESTORE) {
        return Err(Errno::EPERM);
    }
    thread.process.kernel.pids.allocate_as(namespace, tid)
}

/// What a task has before it has a thread that gives it back: its number, and its process if that is new.
struct Unborn<'a> {
    maker: &'a Thread,
    tid: i32,
    process: Option<Arc<Process>>,
    born: bool,
}

impl Drop for Unborn<'_> {
    fn drop(&mut self) {
        let pids = &self.maker.process.kernel.pids;
        if let Some(process) = self.process.as_ref().filter(|_| !self.born) {
            pids.forget_process(process);
        }
        if !self.born {
            pids.release(self.tid);
        }
    }
}

impl Current {
    /// Makes a thread or a process, and says its number as the caller knows it. With `CLONE_VFORK` that is when the new one has executed a program or ended: the caller waits
    /// for it whatever signals come, but those that kill.
    pub(crate) async fn clone_task(&mut self, request: &CloneRequest) -> SysResult<i32> {
        let event = request.event();
        let traced = self.thread.tracee().is_some();
        let (tid, released) = self.make_task(request)?;
        if traced && !request.has(raw::CLONE_UNTRACED) {
            Box::pin(self.tell_birth(event, tid)).await;
        }
        if let Some(released) = released {
            // That it is dropped is the message.
            let _ = self.thread.object.blocked(BlockedReason::Pager, released).await;
            if traced {
                Box::pin(self.tell_birth(Event::VforkDone, tid)).await;
            }
        }
        Ok(self.thread.process.sees(tid))
    }

    /// Tells its tracer that the task `tid` was made, by what that calls it.
    async fn tell_birth(&mut self, event: Event, tid: i32) {
        let tracer = self.thread.tracee().map(|tracee| tracee.tracer.sees(tid));
        self.tell_event(event, tracer.unwrap_or(tid) as u64, Some(CLONE)).await;
    }

    fn make_task(
        &mut self,
        request: &CloneRequest,
    ) -> SysResult<(i32, Option<oneshot::Receiver<()>>)> {
        let thread = Arc::clone(&self.thread);
        let process = &thread.process;
        let kernel = &process.kernel;
        request.check(&thread)?;
        // What is sent to a whole group must not miss a member that is just being made.
        if thread.has_deliverable_signal() {
            return Err(Errno::ERESTARTNOINTR);
        }
        check_limit(&thread)?;
        let users = users_for(&thread, request.flags)?;
        let namespaces = thread.namespaces.read().renewed(kernel, request.flags, &users)?;
        let tid = match request.tid {
            None => kernel.pids.allocate(&namespaces.pid)?,
            Some(tid) => allocate_as(&thread, &namespaces.pid, tid)?,
        };
        let mut unborn = Unborn { maker: &thread, tid, process: None, born: false };
        let memory = match request.has(raw::CLONE_VM) {
            true => Arc::clone(&thread.memory),
            false => thread.memory.fork(kernel.isolation)?,
        };
        if request.has(raw::CLONE_NEWUSER) {
            memory.leave_family();
        }
        let mut context = self.context.duplicate();
        self.without_step(&mut context);
        context.regs_mut().rax = 0;
        if request.stack != 0 {
            context.regs_mut().rsp = request.stack;
        }
        if request.has(raw::CLONE_SETTLS) && !context.set_fs_base(request.tls) {
            return Err(Errno::EPERM);
        }
        let new_process = match request.has(raw::CLONE_THREAD) {
            true => None,
            false => Some(process.fork(&thread, tid, &namespaces.pid, request)?),
        };
        unborn.process.clone_from(&new_process);
        if let Some(new) = &new_process
            && request.has(raw::CLONE_PIDFD)
        {
            let fd = open_pidfd(&thread, new, 0)?;
            if let Err(error) = request.pidfd.write(&thread.memory, &fd.0) {
                drop(thread.files.remove(fd));
                return Err(error);
            }
        }
        if request.has(raw::CLONE_PARENT_SETTID) {
            // As on Linux, a bad address is no error.
            let _ = request.parent_tid.write(&thread.memory, &(process.sees(tid) as u32));
        }
        if request.has(raw::CLONE_CHILD_SETTID) {
            let own_tid = namespaces.pid.shown(tid);
            let _ = request.child_tid.write(&memory, &(own_tid as u32));
        }
        let shares_only_memory = !request.has(raw::CLONE_VFORK) && request.has(raw::CLONE_VM);
        let parts = ThreadParts {
            process: Arc::clone(new_process.as_ref().unwrap_or(process)),
            memory,
            files: match request.has(raw::CLONE_FILES) {
                true => Arc::clone(Share::get(&thread.files)),
                false => thread.files.duplicate(),
            },
            fs: request.fs_state(&thread, new_process.as_deref(), &users),
            namespaces,
            signals: thread.signals.for_clone(!shares_only_memory),
            attributes: request.attributes(&thread),
        };
        if request.has(raw::CLONE_SYSVSEM) {
            // Linux makes one to share.
            process.has_undo_list.store(true, Ordering::Relaxed);
        }
        let new = Thread::create(tid, parts, &thread.name(), context.kicker())?;
        if request.has(raw::CLONE_CHILD_CLEARTID) {
            new.clear_child_tid.store(request.child_tid.addr(), Ordering::Relaxed);
        }
        let released = request.has(raw::CLONE_VFORK).then(|| {
            let (leaves, released) = oneshot::channel();
            *new.borrows.lock() = Some(leaves);
            released
        });
        let memory = Arc::clone(&new.memory);
        kernel.pids.register_thread(&new);
        if let Some(tracee) = thread.tracee()
            && (request.has(raw::CLONE_PTRACE)
                || tracee.wants(request.event()) && !request.has(raw::CLONE_UNTRACED))
        {
            thread.share_tracer(&new);
        }
        // If it does not start, its thread leaves, and gives the number back.
        unborn.born = true;
        let run = Current::start(new, context).inspect_err(|_| {
            if let Some(process) = &new_process {
                kernel.pids.forget_process(process);
            }
        })?;
        if let Some(process) = &new_process {
            // Its host process may have been killed already: then it has a thread to be ended.
            process.enter_memory(&memory);
        }
        let handle = kernel.cpus.handle();
        if new_process.is_some() {
            // Mostly the caller is about to wait for it: then it is here, and nobody need be woken. If not, an idle CPU takes it.
            handle.spawn(run).detach();
        } else {
            handle.spawn_spread(run).detach();
        }
        Ok((tid, released))
    }
}

impl Thread {
    /// Whether its children are in the namespace of process numbers that it is in itself.
    fn bears_among_its_own(&self) -> bool {
        Arc::ptr_eq(&self.namespaces.read().pid, &self.process.pid_namespace)
    }
}

impl Process {
    /// A process like this one, made by its thread `maker`: known, but without threads. It is `pid` to the kernel and has a name in `namespace`.
    fn fork(
        &self,
        maker: &Thread,
        pid: i32,
        namespace: &Arc<PidNamespace>,
        request: &CloneRequest,
    ) -> SysResult<Arc<Self>> {
        let signals = self.signals.for_fork(request.has(raw::CLONE_SIGHAND));
        if request.flags & CLONE_CLEAR_SIGHAND != 0 {
            signals.reset_for_exec();
        }
        let (ids, limits) = (self.ids.lock().clone(), self.limits.read().clone());
        let (kernel, namespace) = (Arc::clone(&self.kernel), Arc::clone(namespace));
        let process = Self::new(kernel, pid, namespace, signals, ids, limits)?;
        let inherited = self.attributes.lock().clone();
        *process.attributes.lock() = ProcessAttributes { subreaper: false, ..inherited };
        let membarrier = self.membarrier.load(Ordering::Relaxed);
        process.membarrier.store(membarrier, Ordering::Relaxed);
        let birth = Birth {
            maker: Some(maker),
            sibling: request.has(raw::CLONE_PARENT),
            exit_signal: request.exit_signal,
        };
        self.kernel.pids.register_process(&process, &birth)?;
        Ok(process)
    }
}

/// A descriptor for `process`, closed by execve(2); `flags` may be `O_NONBLOCK`.
pub(crate) fn open_pidfd(thread: &Thread, process: &Arc<Process>, flags: u32) -> SysResult<Fd> {
    install_pidfd(thread, PidFd::new(Arc::clone(process)), flags)
}

/// A descriptor for `pidfd`, as [`open_pidfd`] makes one.
pub(crate) fn install_pidfd(thread: &Thread, pidfd: PidFd, flags: u32) -> SysResult<Fd> {
    let file = OpenFile::from_file(Arc::new(pidfd), None, raw::O_RDWR | flags);
    thread.files.insert(file, true, 0, thread.process.limit(Resource::OpenFiles))
}
