//! Waiting for children: wait4(2), waitid(2).
//!
//! The one idea: checks and copies are here, in Linux's order; what there is to wait for says [`process`](crate::process).

use std::sync::Arc;

use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    errno::{Errno, SysResult},
    event::PidFd,
    process::{Thread, Waited, Whom, Wish},
    signal::Signal,
    syscall::{
        argument::{Fd, Flags, UserPtr},
        time::Rusage,
    },
};

/// Flags about which children count.
const CHILDREN: u32 = raw::__WNOTHREAD | raw::__WCLONE | raw::__WALL;

/// Waits for a child as wished; `None` when there is none yet and `WNOHANG` says not to wait.
async fn wait(thread: &Thread, wish: &Wish) -> SysResult<Option<Waited>> {
    if wish.options & raw::WNOHANG != 0 {
        return thread.look_at_children(wish);
    }
    thread.wait_for_child(wish).await.map(Some)
}

/// wait4(2)
pub(crate) async fn wait4(
    thread: &Thread,
    pid: i32,
    status: UserPtr<i32>,
    options: Flags,
    usage: UserPtr<Rusage>,
) -> SysResult<i32> {
    if options.0 & !(raw::WNOHANG | raw::WUNTRACED | raw::WCONTINUED | CHILDREN) != 0 {
        return Err(Errno::EINVAL);
    }
    let visible = thread.process.visible();
    let whom = match pid {
        i32::MIN => return Err(Errno::ESRCH),
        -1 => Whom::Any,
        0 => Whom::Group(thread.process.pgid()),
        pid if pid < 0 => Whom::Group(visible.meant(-pid).unwrap_or(NOBODY)),
        pid => Whom::Pid(visible.meant(pid).unwrap_or(NOBODY)),
    };
    let wish = Wish { whom, options: options.0 | raw::WEXITED };
    let Some(waited) = wait(thread, &wish).await? else { return Ok(0) };
    status.write_if_wanted(&thread.memory, &waited.word())?;
    usage.write_if_wanted(&thread.memory, &waited.usage.into())?;
    Ok(thread.process.sees(waited.pid))
}

/// The number of no child.
const NOBODY: i32 = -1;

const P_ALL: u32 = 0;
const P_PID: u32 = 1;
const P_PGID: u32 = 2;
const P_PIDFD: u32 = 3;

/// Whom waitid(2) means, and whether it may wait for them.
fn chosen(thread: &Thread, kind: u32, id: i32) -> SysResult<(Whom, bool)> {
    let meant = |id| thread.process.visible().meant(id).unwrap_or(NOBODY);
    let whom = match (kind, id) {
        (P_ALL, _) => Whom::Any,
        (P_PID, 1..) => Whom::Pid(meant(id)),
        (P_PGID, 0) => Whom::Group(thread.process.pgid()),
        (P_PGID, 1..) => Whom::Group(meant(id)),
        (P_PIDFD, 0..) => {
            let file = thread.files.get(Fd(id))?;
            let process = Arc::clone(file.downcast::<PidFd>().ok_or(Errno::EBADF)?.process());
            return Ok((Whom::Process(process), file.flags() & raw::O_NONBLOCK == 0));
        }
        _ => return Err(Errno::EINVAL),
    };
    Ok((whom, true))
}

/// What waitid(2) stores of a `siginfo_t`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Info {
    signo: i32,
    errno: i32,
    code: i32,
}

/// The part of it behind four bytes that stay as they are.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct ChildInfo {
    pid: i32,
    uid: u32,
    status: i32,
}

/// Where the second part is.
const CHILD_INFO: u64 = 16;

async fn wait_as_asked(
    thread: &Thread,
    kind: u32,
    id: i32,
    options: u32,
) -> SysResult<Option<Waited>> {
    let what = raw::WEXITED | raw::WSTOPPED | raw::WCONTINUED;
    if options & !(raw::WNOHANG | raw::WNOWAIT | what | CHILDREN) != 0 || options & what == 0 {
        return Err(Errno::EINVAL);
    }
    let (whom, may_wait) = chosen(thread, kind, id)?;
    if may_wait {
        return wait(thread, &Wish { whom, options }).await;
    }
    match thread.look_at_children(&Wish { whom, options })? {
        None if options & raw::WNOHANG == 0 => Err(Errno::EAGAIN),
        looked => Ok(looked),
    }
}

/// waitid(2). As on Linux the info is written in any case, as zeros when there is nothing to tell.
pub(crate) async fn waitid(
    thread: &Thread,
    kind: u32,
    id: i32,
    info: UserPtr<[u8; 128]>,
    options: Flags,
    usage: UserPtr<Rusage>,
) -> SysResult<()> {
    let result = wait_as_asked(thread, kind, id, options.0).await;
    let memory = &thread.memory;
    if let Ok(Some(waited)) = &result {
        usage.write_if_wanted(memory, &waited.usage.into())?;
    }
    if !info.is_null() {
        let (head, child) = match &result {
            Ok(Some(waited)) => (
                Info { signo: Signal::SIGCHLD.raw(), errno: 0, code: waited.code },
                ChildInfo {
                    pid: thread.process.sees(waited.pid),
                    uid: thread.process.user_namespace().shown_user(waited.uid),
                    status: waited.status,
                },
            ),
            _ => Default::default(),
        };
        UserPtr::<Info>::new(info.addr()).write(memory, &head)?;
        let rest = info.addr().checked_add(CHILD_INFO).ok_or(Errno::EFAULT)?;
        UserPtr::<ChildInfo>::new(rest).write(memory, &child)?;
    }
    result.map(drop)
}
