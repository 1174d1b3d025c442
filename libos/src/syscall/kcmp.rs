//! Comparing what two threads have, kcmp(2).
//!
//! The one idea: what is shared is one object with one address in both. Which of two comes first is as arbitrary as addresses are, and the same
//! each time.

use std::{
    cmp::Ordering,
    sync::{Arc, atomic},
};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::remote;
use crate::{
    errno::{Errno, SysResult},
    event::Epoll,
    process::{Share, Thread},
    syscall::argument::{Fd, UserPtr},
    vfs::OpenFile,
};

const KCMP_FILE: u32 = 0;
const KCMP_VM: u32 = 1;
const KCMP_FILES: u32 = 2;
const KCMP_FS: u32 = 3;
const KCMP_SIGHAND: u32 = 4;
const KCMP_IO: u32 = 5;
const KCMP_SYSVSEM: u32 = 6;
const KCMP_EPOLL_TFD: u32 = 7;

/// `struct kcmp_epoll_slot`: a file of an epoll set.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct EpollSlot {
    /// The set.
    set: u32,
    /// The number under which the file is in it.
    target: u32,
    /// Which of those with this number.
    offset: u32,
}

/// 0 for one and the same, 1 or 2 as the first comes first or not. Two that have none have the same.
fn compare_some<T>(first: Option<&Arc<T>>, second: Option<&Arc<T>>) -> u32 {
    let [first, second] =
        [first, second].map(|object| object.map_or(0, |object| Arc::as_ptr(object).addr()));
    order(first, second)
}

fn order(first: usize, second: usize) -> u32 {
    match first.cmp(&second) {
        Ordering::Equal => 0,
        Ordering::Less => 1,
        Ordering::Greater => 2,
    }
}

fn compare<T>(first: &Arc<T>, second: &Arc<T>) -> u32 {
    compare_some(Some(first), Some(second))
}

/// `EBADF`.
fn file(thread: &Thread, index: u64) -> SysResult<Arc<OpenFile>> {
    let fd = i32::try_from(index).map_err(|_| Errno::EBADF)?;
    thread.files.get_any(Fd(fd))
}

/// What `slot` names of `thread`'s; `EBADF`, `EINVAL` if that is no epoll set, `ENOENT` if it is not in there.
fn target(thread: &Thread, slot: EpollSlot) -> SysResult<Arc<OpenFile>> {
    let set = file(thread, slot.set.into())?;
    let set = set.downcast::<Epoll>().ok_or(Errno::EINVAL)?;
    let files = set.files_of(slot.target.cast_signed());
    files.into_iter().nth(slot.offset as usize).ok_or(Errno::ENOENT)
}

/// kcmp(2)
pub(crate) fn kcmp(
    thread: &Thread,
    first: i32,
    second: i32,
    kind: u32,
    first_index: u64,
    second_index: u64,
) -> SysResult<u32> {
    let pids = thread.process.visible();
    let find = |tid| pids.thread(tid).ok_or(Errno::ESRCH);
    let (first, second) = (find(first)?, find(second)?);
    remote::may_attach(thread, &first.process)?;
    remote::may_attach(thread, &second.process)?;
    match kind {
        KCMP_FILE => {
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
        KCMP_IO => {
            let [first, second] = [&first, &second].map(|one| one.attributes.lock().io.clone());
            Ok(compare_some(first.as_ref(), second.as_ref()))
        }
        KCMP_SYSVSEM => {
            let [first, second] = [&first, &second].map(|one| {
                Some(&one.process)
                    .filter(|process| process.has_undo_list.load(atomic::Ordering::Relaxed))
            });
            Ok(compare_some(first, second))
        }
        KCMP_EPOLL_TFD => {
            let slot = UserPtr::<EpollSlot>::new(second_index).read(&thread.memory)?;
            let file = file(&first, first_index)?;
            Ok(compare(&file, &target(&second, slot)?))
        }
        _ => Err(Errno::EINVAL),
    }
}
