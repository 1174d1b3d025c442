//! unshare(2) and setns(2): having a namespace of one's own, or another one's.
//!
//! The one idea: a thread has what it shares in a few places ([`Share`](crate::process::Share)), and both calls put something else there. What there is
//! is checked first, so that a call that fails has changed nothing.

use std::sync::Arc;

use linux_raw_sys::general as raw;

use crate::{
    errno::{Errno, SysResult},
    event::PidFd,
    process::{
        ALL_NAMESPACES, Namespace, PidNamespace, Thread, UserNamespace, check_namespaces,
        namespaces::{Kind, next_number},
        users_for,
    },
    syscall::{
        argument::{Fd, Flags, UserPtr},
        fs::install,
    },
    vfs::{Capabilities, Credentials, OpenFile, procfs::NamespaceFile},
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
    // Threads of a process are the same user.
    let flags_of_alone = TASK | u64::from(raw::CLONE_NEWUSER);
    if flags & flags_of_alone != 0 && !alone {
        return Err(Errno::EINVAL);
    }
    check_namespaces(thread, flags)?;
    thread.check_itself()?;
    let users = users_for(thread, flags)?;
    let renewed = thread.namespaces.read().renewed(&thread.process.kernel, flags, &users)?;
    if has(flags, raw::CLONE_NEWNS) {
        thread.unshare_fs(|context| {
            context.leave_mounts(next_number(), &users);
            Ok(())
        })?;
    } else if has(flags, raw::CLONE_FS | raw::CLONE_NEWUSER) && thread.shares_fs() {
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
    if has(flags, raw::CLONE_NEWUSER) {
        enter_users(thread, users);
    }
    Ok(())
}

/// setns(2): the namespace whose file `fd` is, which must be of the kind `flags` unless that is 0; or those kinds of the process whose
/// pidfd it is, all or none.
pub(crate) fn setns(thread: &Thread, fd: Fd, flags: Flags) -> SysResult<()> {
    thread.check_itself()?;
    let file = thread.files.get(fd)?;
    if let Some(file) = file.downcast::<NamespaceFile>() {
        if flags.0 != 0 && flags.0 != file.namespace().kind().flag() {
            return Err(Errno::EINVAL);
        }
        return enter(thread, std::slice::from_ref(file.namespace()));
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
    let mut all = vec![
        Namespace::User(other.process.user_namespace()),
        Namespace::Pid(Arc::clone(&other.process.pid_namespace)),
        Namespace::Net(of_other.net),
        Namespace::Only(Kind::Time),
        Namespace::Cgroup(of_other.cgroup),
        Namespace::Ipc(of_other.ipc),
        Namespace::Uts(of_other.uts),
        Namespace::Mount(mounts),
    ];
    all.retain(|namespace| has(wanted, namespace.kind().flag()));
    enter(thread, &all)
}

/// Puts the thread into `namespaces`, if it may be in each.
fn enter(thread: &Thread, namespaces: &[Namespace]) -> SysResult<()> {
    // Who enters one of users enters the others as somebody there.
    let mut cred = Credentials::clone(&thread.fs.read().cred);
    for namespace in namespaces {
        check(thread, &cred, namespace)?;
        if let Namespace::User(users) = namespace {
            (cred.namespace, cred.caps) = (users.clone(), Capabilities::FULL);
        }
    }
    namespaces.iter().try_for_each(|namespace| apply(thread, namespace))
}

/// Whether the thread, whose credentials are `cred`, may be in `namespace`.
fn check(thread: &Thread, cred: &Credentials, namespace: &Namespace) -> SysResult<()> {
    let administers = |owner: &UserNamespace| cred.has_in(owner, Capabilities::SYS_ADMIN);
    if let Namespace::User(users) = namespace {
        // To enter again would give capabilities back.
        let alone = thread.process.object.thread_count() == 1 && !thread.shares_fs();
        if *users == cred.namespace || !alone {
            return Err(Errno::EINVAL);
        }
        return if administers(users) { Ok(()) } else { Err(Errno::EPERM) };
    }
    let owner = namespace.owner().unwrap_or_default();
    if !administers(&owner) || !cred.has_own(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    match namespace {
        Namespace::Mount(_) if !cred.has_own(Capabilities::SYS_CHROOT) => Err(Errno::EPERM),
        Namespace::Mount(_) if thread.shares_fs() => Err(Errno::EINVAL),
        // Outwards nobody's children go.
        Namespace::Pid(numbers) if !numbers.is_within(&thread.process.pid_namespace) => {
            Err(Errno::EINVAL)
        }
        _ => Ok(()),
    }
}

fn apply(thread: &Thread, namespace: &Namespace) -> SysResult<()> {
    match namespace {
        Namespace::User(users) => {
            enter_users(thread, users.clone());
            Ok(())
        }
        Namespace::Mount(mounts) => thread.fs.change(|context| {
            context.enter_mounts(Arc::clone(mounts));
            Ok(())
        }),
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
        Namespace::Cgroup(cgroup) => {
            thread.namespaces.write().cgroup = cgroup.clone();
            Ok(())
        }
        Namespace::Pid(numbers) => {
            thread.namespaces.write().pid = Arc::clone(numbers);
            Ok(())
        }
        Namespace::Only(_) => Ok(()),
    }
}

/// Puts the only thread of a process into a namespace of users.
fn enter_users(thread: &Thread, users: UserNamespace) {
    thread.memory.leave_family();
    thread.attributes.lock().bounding = Capabilities::FULL;
    let mut fs = thread.fs.write();
    thread.process.enter_users(users, Arc::make_mut(&mut fs.cred));
}

/// ioctl_ns(2) of a file of `namespace`, where it matters who calls; `None` for what does not.
pub(super) fn control(
    thread: &Thread,
    namespace: &Namespace,
    request: u32,
    argument: u64,
) -> Option<SysResult> {
    const GET_OWNER: u32 = 0xb701;
    const GET_PARENT: u32 = 0xb702;
    const GET_USER: u32 = 0xb704;
    let own = thread.process.user_namespace();
    let open = |namespace| {
        let file = Arc::new(NamespaceFile::new(namespace));
        let file = OpenFile::from_file(file, None, raw::O_RDONLY);
        install(thread, file, true).map(|fd| fd.0 as usize)
    };
    let open_owner = || {
        // Who is not below it must not get hold of it.
        let owner = namespace.owner().filter(|owner| owner.is_within(&own));
        open(Namespace::User(owner.ok_or(Errno::EPERM)?))
    };
    match (request, namespace) {
        (GET_OWNER, _) | (GET_PARENT, Namespace::User(_)) => Some(open_owner()),
        (GET_PARENT, Namespace::Pid(numbers)) => {
            let within =
                |parent: &&Arc<PidNamespace>| parent.is_within(&thread.process.pid_namespace);
            let parent =
                numbers.parent().filter(within).map(|parent| Namespace::Pid(Arc::clone(parent)));
            Some(parent.ok_or(Errno::EPERM).and_then(open))
        }
        (GET_PARENT, _) => Some(Err(Errno::EINVAL)),
        (GET_USER, Namespace::User(users)) => {
            let user = own.shown_user(users.owner());
            Some(UserPtr::new(argument).write(&thread.memory, &user).map(|()| 0))
        }
        (GET_USER, _) => Some(Err(Errno::EINVAL)),
        _ => None,
    }
}
