//! POSIX message queues: mq_open(2) and its kin.
//!
//! The one idea: a queue's descriptor is an open file of [`MqueueFs`], so poll(2), close(2) and fcntl(2) need nothing of their own.

use std::sync::Arc;

use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    errno::{Errno, SysResult},
    ipc::mqueue::{Capacity, DEFAULT, MQ_PRIO_MAX, MessageQueue, Notice},
    process::{Resource, Thread},
    signal::Signal,
    syscall::{
        argument::{Fd, Flags, Mode, UserAddr, UserPtr, UserStr},
        patience::{Patience, until_changed},
    },
    timer::{ClockId, Timespec, posix::SigEvent},
    vfs::{
        Access, Capabilities, FileType, LookupFlags, NewNode, OpenFile, Path,
        mqueuefs::{MqueueFs, QueueFile},
        ops,
    },
};

/// `struct mq_attr`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct RawAttributes {
    flags: i64,
    messages: i64,
    bytes: i64,
    count: i64,
    reserved: [u64; 4],
}

/// The longest name.
const NAME_MAX: usize = 255;

/// The name of a queue, as the file system has it: glibc has taken the slash away.
fn name(thread: &Thread, name: UserStr) -> SysResult<Vec<u8>> {
    let name = name.path(&thread.memory)?;
    match &name[..] {
        b"" => Err(Errno::ENOENT),
        b"." | b".." => Err(Errno::EACCES),
        name if name.contains(&b'/') => Err(Errno::EACCES),
        name if name.len() > NAME_MAX => Err(Errno::ENAMETOOLONG),
        _ => Ok(name),
    }
}

/// mq_open(2)
pub(crate) fn mq_open(
    thread: &Thread,
    path: UserStr,
    flags: Flags,
    mode: Mode,
    attributes: UserPtr<RawAttributes>,
) -> SysResult<Fd> {
    let wanted = attributes.non_null().map(|pointer| pointer.read(&thread.memory)).transpose()?;
    let name = name(thread, path)?;
    let flags = flags.0;
    let limit = thread.process.limit(Resource::OpenFiles);
    thread.files.check_room(limit)?;
    let kernel = &thread.process.kernel;
    let fs = thread.fs.read().clone();
    let top = Path::root_of(&kernel.mqueues);
    let lookup = || ops::resolve(&fs, Some(&top), &name, LookupFlags::empty());
    let place = match lookup() {
        Ok(_) if flags & raw::O_CREAT != 0 && flags & raw::O_EXCL != 0 => {
            return Err(Errno::EEXIST);
        }
        Ok(place) => {
            let want = match flags & raw::O_ACCMODE {
                raw::O_RDONLY => Access::READ,
                raw::O_WRONLY => Access::WRITE,
                raw::O_RDWR => Access::READ | Access::WRITE,
                _ => return Err(Errno::EINVAL),
            };
            ops::check(&fs.cred, &place, want)?;
            place
        }
        Err(Errno::ENOENT) if flags & raw::O_CREAT != 0 => {
            let privileged = fs.cred.has(Capabilities::SYS_RESOURCE);
            let capacity = match wanted {
                Some(wanted) => Capacity {
                    messages: u64::try_from(wanted.messages).map_err(|_| Errno::EINVAL)?,
                    bytes: u64::try_from(wanted.bytes).map_err(|_| Errno::EINVAL)?,
                },
                None => DEFAULT,
            };
            capacity.check(privileged)?;
            let mode = mode.0 & 0o7777 & !fs.umask;
            let node = NewNode::new(FileType::Regular, mode, fs.cred.fsuid, fs.cred.fsgid);
            let queues = MqueueFs::of(kernel.mqueues.superblock().fs()).ok_or(Errno::ENOSYS)?;
            let bytes = thread.process.limit(Resource::MessageQueues);
            queues.create_queue(&name, &node, capacity, privileged, bytes)?;
            lookup()?
        }
        Err(error) => return Err(error),
    };
    let file = place.inode().open(flags)?.ok_or(Errno::ENXIO)?;
    let flags = flags & (raw::O_ACCMODE | raw::O_NONBLOCK);
    thread.files.insert(OpenFile::from_file(file, Some(place), flags), true, 0, limit)
}

/// mq_unlink(2)
pub(crate) fn mq_unlink(thread: &Thread, path: UserStr) -> SysResult<()> {
    let name = name(thread, path)?;
    let fs = thread.fs.read().clone();
    ops::unlink(&fs, Some(&Path::root_of(&thread.process.kernel.mqueues)), &name)
}

/// The queue behind a descriptor; `EBADF`.
fn queue_of(file: &OpenFile) -> SysResult<&Arc<MessageQueue>> {
    file.downcast().map(QueueFile::queue).ok_or(Errno::EBADF)
}

/// How long a call waits that `timeout`, a time of day, ends.
fn patience(thread: &Thread, timeout: UserPtr<Timespec>) -> SysResult<Patience> {
    let deadline = match timeout.non_null() {
        Some(timeout) => ClockId::Realtime.to_monotonic(timeout.read(&thread.memory)?.to_nanos()?),
        None => u64::MAX,
    };
    let deadline = Some(deadline);
    Ok(Patience { waits: Errno::EAGAIN, deadline, interrupted: Errno::ERESTARTSYS })
}

/// mq_timedsend(2)
pub(crate) async fn mq_timedsend(
    thread: &Thread,
    fd: Fd,
    message: UserAddr,
    len: usize,
    priority: u32,
    timeout: UserPtr<Timespec>,
) -> SysResult<()> {
    let mut patience = patience(thread, timeout)?;
    if priority >= MQ_PRIO_MAX {
        return Err(Errno::EINVAL);
    }
    let file = thread.files.get(fd)?;
    let queue = queue_of(&file)?;
    if !file.writable() {
        return Err(Errno::EBADF);
    }
    if len as u64 > queue.capacity().bytes {
        return Err(Errno::EMSGSIZE);
    }
    if file.nonblocking() {
        patience.deadline = None;
    }
    let mut message = message.cast::<u8>().read_slice(&thread.memory, len)?;
    let user = thread.process.ids.lock().users[0];
    let sender = (thread.process.pid as u32, user);
    let send = || queue.send(&mut message, priority, sender);
    until_changed(thread, queue.changed(), patience, send).await
}

/// mq_timedreceive(2): how many bytes the message has.
pub(crate) async fn mq_timedreceive(
    thread: &Thread,
    fd: Fd,
    message: UserAddr,
    len: usize,
    priority: UserPtr<u32>,
    timeout: UserPtr<Timespec>,
) -> SysResult {
    let mut patience = patience(thread, timeout)?;
    let file = thread.files.get(fd)?;
    let queue = queue_of(&file)?;
    if !file.readable() {
        return Err(Errno::EBADF);
    }
    if (len as u64) < queue.capacity().bytes {
        return Err(Errno::EMSGSIZE);
    }
    if file.nonblocking() {
        patience.deadline = None;
    }
    let receiver = queue.waiting();
    let received = until_changed(thread, queue.changed(), patience, || queue.receive()).await;
    drop(receiver);
    let (text, found) = received?;
    // One whose buffer is bad is lost, as on Linux.
    priority.write_if_wanted(&thread.memory, &found)?;
    message.cast::<u8>().write_slice(&thread.memory, &text).map(|()| text.len())
}

const SIGEV_SIGNAL: i32 = 0;
const SIGEV_NONE: i32 = 1;
const SIGEV_THREAD: i32 = 2;

/// mq_notify(2)
pub(crate) fn mq_notify(thread: &Thread, fd: Fd, event: UserPtr<SigEvent>) -> SysResult<()> {
    let event = event.non_null().map(|pointer| pointer.read(&thread.memory)).transpose()?;
    let notice = match event {
        None => None,
        Some(SigEvent { notify: SIGEV_NONE, .. }) => Some(Notice::None),
        Some(SigEvent { notify: SIGEV_SIGNAL, signo: 0, value, .. }) => {
            Some(Notice::Signal(None, value))
        }
        Some(SigEvent { notify: SIGEV_SIGNAL, signo, value, .. }) => {
            let signal = Signal::from_raw(signo).ok_or(Errno::EINVAL)?;
            Some(Notice::Signal(Some(signal), value))
        }
        // It takes a netlink socket.
        Some(SigEvent { notify: SIGEV_THREAD, .. }) => return Err(Errno::EOPNOTSUPP),
        Some(_) => return Err(Errno::EINVAL),
    };
    let file = thread.files.get(fd)?;
    let queue = queue_of(&file)?;
    match notice {
        Some(notice) => queue.notify(&thread.process, notice),
        None => {
            queue.forget(&thread.process);
            Ok(())
        }
    }
}

/// mq_getsetattr(2)
pub(crate) fn mq_getsetattr(
    thread: &Thread,
    fd: Fd,
    new: UserPtr<RawAttributes>,
    old: UserPtr<RawAttributes>,
) -> SysResult<()> {
    let new = new.non_null().map(|pointer| pointer.read(&thread.memory)).transpose()?;
    let nonblock = i64::from(raw::O_NONBLOCK);
    if new.is_some_and(|new| new.flags & !nonblock != 0) {
        return Err(Errno::EINVAL);
    }
    let file = thread.files.get(fd)?;
    let queue = queue_of(&file)?;
    let before = RawAttributes {
        flags: if file.nonblocking() { nonblock } else { 0 },
        messages: queue.capacity().messages as i64,
        bytes: queue.capacity().bytes as i64,
        count: queue.count() as i64,
        reserved: [0; 4],
    };
    if let Some(new) = new {
        let others = file.flags() & !raw::O_NONBLOCK;
        file.set_flags(others | new.flags as u32)?;
    }
    old.write_if_wanted(&thread.memory, &before)
}
