//! Comparing what two threads have, kcmp(2).
//!
//! The one idea: what is shared is one object with one address in both. Which of two comes first is as arbitrary as addresses are, and the same
//! each time.

use std::{cmp::Ordering, sync::Arc};

use super::remote;
use crate::{
    errno::{Errno, SysResult},
    process::{Share, Thread},
    syscall::argument::Fd,
};

const KCMP_FILE: u32 = 0;
const KCMP_VM: u32 = 1;
const KCMP_FILES: u32 = 2;
const KCMP_FS: u32 = 3;
const KCMP_SIGHAND: u32 = 4;
const KCMP_IO: u32 = 5;
const KCMP_SYSVSEM: u32 = 6;
const KCMP_EPOLL_TFD: u32 = 7;

/// 0 for one and the same, 1 or 2 as the first comes first or not.
fn compare<T>(first: &Arc<T>, second: &Arc<T>) -> u32 {
    order(Arc::as_ptr(first).addr(), Arc::as_ptr(second).addr())
}

fn order(first: usize, second: usize) -> u32 {
    match first.cmp(&second) {
        Ordering::Equal => 0,
        Ordering::Less => 1,
        Ordering::Greater => 2,
    }
}

/// kcmp(2); `EOPNOTSUPP` for what is no object here.
pub(crate) fn kcmp(
    thread: &Thread,
    first: i32,
    second: i32,
    kind: u32,
    first_index: u64,
    second_index: u64,
) -> SysResult<u32> {
    let pids = &thread.process.kernel.pids;
    let find = |tid| pids.thread(tid).ok_or(Errno::ESRCH);
    let (first, second) = (find(first)?, find(second)?);
    remote::may_attach(thread, &first.process)?;
    remote::may_attach(thread, &second.process)?;
    match kind {
        KCMP_FILE => {
            let file = |thread: &Thread, index: u64| {
                let fd = i32::try_from(index).map_err(|_| Errno::EBADF)?;
                thread.files.get_any(Fd(fd))
            };
            let files = (file(&first, first_index)?, file(&second, second_index)?);
            Ok(compare(&files.0, &files.1))
        }
        KCMP_VM => Ok(compare(&first.memory, &second.memory)),
        KCMP_FILES => Ok(compare(Share::get(&first.files), Share::get(&second.files))),
        KCMP_FS => Ok(order(first.fs.identity(), second.fs.identity())),
        KCMP_SIGHAND => {
            let [first, second] = [&first, &second].map(|one| one.process.signals.actions());
            Ok(compare(&first, &second))
        }
        KCMP_IO | KCMP_SYSVSEM | KCMP_EPOLL_TFD => Err(Errno::EOPNOTSUPP),
        _ => Err(Errno::EINVAL),
    }
}
