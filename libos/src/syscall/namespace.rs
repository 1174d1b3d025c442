//! unshare(2) and setns(2): having a namespace of one's own, or another one's.
//!
//! The one idea: a thread has what it shares in a few places ([`Share`](crate::process::Share)), and both calls put something else there.

use std::sync::Arc;

use linux_raw_sys::general as raw;

use crate::{
    errno::{Errno, SysResult},
    event::PidFd,
    process::{
        ALL_NAMESPACES, Namespace, Thread, check_namespaces,
        namespaces::{Kind, next_number},
    },
    syscall::argument::{Fd, Flags},
    vfs::{Capabilities, procfs::NamespaceFile},
};

fn has(flags: u64, flag: u32) -> bool {
    flags & u64::from(flag) != 0
}

/// unshare(2)
pub(crate) fn unshare(thread: &Thread, flags: u64) -> SysResult<()> {
    const TASK: u64 = (raw::CLONE_THREAD | raw::CLONE_SIGHAND | raw::CLONE_VM) as u64;
    const SHARED: u64 = (raw::CLONE_FS | raw::CLONE_FILES | raw::CLONE_SYSVSEM) as u64;
    if flags & !(TASK | SHARED | ALL_NAMESPACES) != 0 {
        return Err(Errno::EINVAL);
    }
    let alone = thread.process.object.thread_count() == 1;
    if flags & TASK != 0 && !alone {
        return Err(Errno::EINVAL);
    }
    check_namespaces(thread, flags)?;
    thread.check_itself()?;
    let renewed = thread.namespaces.read().renewed(&thread.process.kernel, flags)?;
    if has(flags, raw::CLONE_NEWNS) {
        thread.unshare_fs(|context| {
            context.leave_mounts(next_number());
            Ok(())
        })?;
    } else if has(flags, raw::CLONE_FS) && thread.shares_fs() {
        thread.unshare_fs(|_| Ok(()))?;
    }
    if has(flags, raw::CLONE_FILES) {
        thread.unshare_files()?;
    }
    if has(flags, raw::CLONE_SYSVSEM | raw::CLONE_NEWIPC) && alone {
        thread.process.undo_semaphores();
    }
    if flags & ALL_NAMESPACES != 0 {
        *thread.namespaces.write() = renewed;
    }
    Ok(())
}

/// setns(2): the namespace whose file `fd` is, which must be of the kind `flags` unless that is 0; or those kinds of the process whose
/// pidfd it is.
pub(crate) fn setns(thread: &Thread, fd: Fd, flags: Flags) -> SysResult<()> {
    thread.check_itself()?;
    let file = thread.files.get(fd)?;
    if let Some(file) = file.downcast::<NamespaceFile>() {
        if flags.0 != 0 && flags.0 != file.namespace().kind().flag() {
            return Err(Errno::EINVAL);
        }
        return enter(thread, file.namespace());
    }
    let pidfd = file.downcast::<PidFd>().ok_or(Errno::EINVAL)?;
    let wanted = u64::from(flags.0);
    if wanted == 0 || wanted & !ALL_NAMESPACES != 0 {
        return Err(Errno::EINVAL);
    }
    let other = pidfd.thread()?;
    super::remote::may_attach(thread, pidfd.process())?;
    let of_other = other.namespaces.read().clone();
    let mounts = Arc::clone(&other.fs.read().mounts);
    let all = [
        Namespace::Only(Kind::User),
        Namespace::Pid(Arc::clone(&other.process.pid_namespace)),
        Namespace::Net(of_other.net),
        Namespace::Only(Kind::Time),
        Namespace::Cgroup(of_other.cgroup),
        Namespace::Ipc(of_other.ipc),
        Namespace::Uts(of_other.uts),
        Namespace::Mount(mounts),
    ];
    all.iter()
        .filter(|namespace| has(wanted, namespace.kind().flag()))
        .try_for_each(|namespace| enter(thread, namespace))
}

fn enter(thread: &Thread, namespace: &Namespace) -> SysResult<()> {
    if let Namespace::Only(Kind::User) = namespace {
        // It has it already, and entering again would give capabilities back.
        return Err(Errno::EINVAL);
    }
    let cred = Arc::clone(&thread.fs.read().cred);
    if !cred.has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    match namespace {
        Namespace::Mount(mounts) => {
            if !cred.has(Capabilities::SYS_CHROOT) {
                return Err(Errno::EPERM);
            }
            if thread.shares_fs() {
                return Err(Errno::EINVAL);
            }
            thread.fs.change(|context| {
                context.enter_mounts(Arc::clone(mounts));
                Ok(())
            })
        }
        Namespace::Uts(uts) => {
            thread.namespaces.write().uts = Arc::clone(uts);
            Ok(())
        }
        Namespace::Ipc(ipc) => {
            if thread.process.object.thread_count() == 1 {
                thread.process.undo_semaphores();
            }
            thread.namespaces.write().ipc = Arc::clone(ipc);
            Ok(())
        }
        Namespace::Net(net) => {
            thread.namespaces.write().net = Arc::clone(net);
            Ok(())
        }
        Namespace::Cgroup(number) => {
            thread.namespaces.write().cgroup = *number;
            Ok(())
        }
        Namespace::Pid(numbers) => {
            if !numbers.is_within(&thread.process.pid_namespace) {
                return Err(Errno::EINVAL);
            }
            thread.namespaces.write().pid = Arc::clone(numbers);
            Ok(())
        }
        Namespace::Only(_) => Ok(()),
    }
}
