//! msgget(2), msgsnd(2), msgrcv(2), msgctl(2).

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{RawPermission, command::*};
use crate::{
    errno::{Errno, SysResult},
    ipc::{
        Caller, Object,
        flags::IPC_NOWAIT,
        msg::{MSG_COPY, MSG_EXCEPT, MSGMAX, MSGMNB, MSGMNI, Message, Queue, Wanted},
        permission::READ,
    },
    process::Thread,
    syscall::{
        argument::{Flags, UserAddr, UserPtr},
        patience::{Patience, until_changed},
    },
};

/// msgget(2)
pub(crate) fn msgget(thread: &Thread, key: i32, flags: Flags) -> SysResult<i32> {
    let kernel = &thread.process.kernel;
    let create = |id, permission| Queue::new(&kernel.memory, id, permission);
    thread.ipc().objects.msg.obtain(key, flags.0, &Caller::of(thread), |_| Ok(()), create)
}

/// How a call waits whose attempts end with `waits`; what a signal ends is made again unless a handler runs, signal(7).
fn patience(waits: Errno, flags: u32) -> Patience {
    let deadline = if flags & IPC_NOWAIT == 0 { Some(u64::MAX) } else { None };
    Patience { waits, deadline, interrupted: Errno::ERESTARTNOHAND }
}

/// Where the text of a message begins, behind its type.
const TEXT: u64 = size_of::<i64>() as u64;

/// msgsnd(2)
pub(crate) async fn msgsnd(
    thread: &Thread,
    id: i32,
    message: UserPtr<i64>,
    size: usize,
    flags: Flags,
) -> SysResult<()> {
    let kernel = &thread.process.kernel;
    let kind = message.read(&thread.memory)?;
    if size > MSGMAX || id < 0 || kind < 1 {
        return Err(Errno::EINVAL);
    }
    let text = UserAddr(message.addr()).offset(TEXT)?;
    let bytes = text.cast::<u8>().read_slice(&thread.memory, size)?;
    let queue = thread.ipc().objects.msg.get(id)?;
    let mut message = Some(Message::new(&kernel.memory, kind, bytes)?);
    let caller = Caller::of(thread);
    let send = || queue.send(&caller, &mut message);
    until_changed(thread, queue.changed(), patience(Errno::EAGAIN, flags.0), send).await
}

/// msgrcv(2): how many bytes the message has.
pub(crate) async fn msgrcv(
    thread: &Thread,
    id: i32,
    message: UserPtr<i64>,
    size: usize,
    kind: i64,
    flags: Flags,
) -> SysResult {
    let flags = flags.0;
    if id < 0 || isize::try_from(size).is_err() {
        return Err(Errno::EINVAL);
    }
    if flags & MSG_COPY != 0 && (flags & IPC_NOWAIT == 0 || flags & MSG_EXCEPT != 0) {
        return Err(Errno::EINVAL);
    }
    let queue = thread.ipc().objects.msg.get(id)?;
    let caller = Caller::of(thread);
    let wanted = Wanted::new(kind, flags);
    let receive = || {
        queue.receive(&caller, wanted, size, flags, |found| {
            let text = found.bytes.get(..size).unwrap_or(&found.bytes);
            message.write(&thread.memory, &found.kind)?;
            let at = UserAddr(message.addr()).offset(TEXT)?;
            at.cast::<u8>().write_slice(&thread.memory, text).map(|()| text.len())
        })
    };
    // One whose buffer is bad is lost, as on Linux.
    until_changed(thread, queue.changed(), patience(Errno::ENOMSG, flags), receive).await?
}

const MSG_STAT: i32 = 11;
const MSG_INFO: i32 = 12;
const MSG_STAT_ANY: i32 = 13;

/// `struct msqid64_ds`
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct RawQueue {
    permission: RawPermission,
    sent: i64,
    received: i64,
    changed: i64,
    bytes: u64,
    count: u64,
    capacity: u64,
    sender: i32,
    receiver: i32,
    unused: [u64; 2],
}

/// `struct msginfo`
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct RawLimits {
    queues_now: i32,
    messages_now: i32,
    max: i32,
    capacity: i32,
    queues: i32,
    segment_size: i32,
    bytes_now: i32,
    segments: u16,
    padding: u16,
}

/// msgctl(2)
pub(crate) fn msgctl(thread: &Thread, id: i32, command: i32, buffer: UserAddr) -> SysResult<i32> {
    let ipc = thread.ipc();
    let table = &ipc.objects.msg;
    let caller = Caller::of(thread);
    if id < 0 || command < 0 {
        return Err(Errno::EINVAL);
    }
    match command {
        IPC_INFO | MSG_INFO => {
            let all: Vec<_> = table.all().iter().map(|queue| queue.status()).collect();
            let now = command == MSG_INFO;
            let sum =
                |of: fn(&crate::ipc::msg::Status) -> u64| all.iter().map(of).sum::<u64>() as i32;
            let limits = RawLimits {
                // Without numbers of now, those that Linux has given since there were pools.
                queues_now: if now {
                    all.len() as i32
                } else {
                    (MSGMNI as u64 * MSGMNB / 1024) as i32
                },
                messages_now: if now { sum(|status| status.count) } else { MSGMNB as i32 },
                max: MSGMAX as i32,
                capacity: MSGMNB as i32,
                queues: MSGMNI as i32,
                segment_size: 16,
                bytes_now: if now { sum(|status| status.bytes) } else { MSGMNB as i32 },
                segments: u16::MAX,
                padding: 0,
            };
            buffer.cast().write(&thread.memory, &limits)?;
            Ok(table.highest())
        }
        IPC_STAT | MSG_STAT | MSG_STAT_ANY => {
            let queue = if command == IPC_STAT { table.get(id)? } else { table.at(id)? };
            let status = queue.status();
            if command != MSG_STAT_ANY {
                status.permission.check(&caller, READ)?;
            }
            let raw = RawQueue {
                permission: RawPermission::new(&status.permission, &caller.cred.namespace),
                sent: status.sent,
                received: status.received,
                changed: status.changed,
                bytes: status.bytes,
                count: status.count,
                capacity: status.capacity,
                sender: thread.process.sees(status.sender),
                receiver: thread.process.sees(status.receiver),
                unused: [0; 2],
            };
            buffer.cast().write(&thread.memory, &raw)?;
            Ok(if command == IPC_STAT { 0 } else { queue.id() })
        }
        IPC_SET => {
            let new = UserPtr::<RawQueue>::new(buffer.0).read(&thread.memory)?;
            let (uid, gid) = new.permission.owner(&caller.cred.namespace)?;
            let mode = new.permission.mode;
            table.get(id)?.set(&caller, uid, gid, mode, new.capacity).map(|()| 0)
        }
        IPC_RMID => {
            table.get(id)?.remove(&caller)?;
            table.remove(id);
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}
