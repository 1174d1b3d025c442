//! semget(2), semop(2), semctl(2).

use std::sync::atomic::Ordering;

use kernel_objects::task::BlockedReason;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{RawPermission, command::*};
use crate::{
    errno::{Errno, SysResult},
    ipc::{
        Caller, Object,
        permission::READ,
        sem::{Operation, Query, SEM_UNDO, SEMMNI, SEMMNS, SEMMSL, SEMOPM, SEMVMX, SemaphoreSet},
    },
    process::Thread,
    syscall::argument::{Flags, UserAddr, UserPtr},
    timer::Timespec,
};

/// semget(2)
pub(crate) fn semget(thread: &Thread, key: i32, count: i32, flags: Flags) -> SysResult<i32> {
    let kernel = &thread.process.kernel;
    let count =
        usize::try_from(count).ok().filter(|&count| count <= SEMMSL).ok_or(Errno::EINVAL)?;
    let enough = |set: &SemaphoreSet| {
        if count > set.count() { Err(Errno::EINVAL) } else { Ok(()) }
    };
    let create = |id, permission| SemaphoreSet::new(&kernel.memory, id, permission, count);
    thread.ipc().objects.sem.obtain(key, flags.0, &Caller::of(thread), enough, create)
}

/// `struct sembuf`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct RawOperation {
    number: u16,
    change: i16,
    flags: i16,
}

/// semop(2)
pub(crate) async fn semop(
    thread: &Thread,
    id: i32,
    operations: UserPtr<RawOperation>,
    count: usize,
) -> SysResult<()> {
    semtimedop(thread, id, operations, count, UserPtr::new(0)).await
}

/// semtimedop(2)
pub(crate) async fn semtimedop(
    thread: &Thread,
    id: i32,
    operations: UserPtr<RawOperation>,
    count: usize,
    timeout: UserPtr<Timespec>,
) -> SysResult<()> {
    let timeout = timeout.non_null().map(|pointer| pointer.read(&thread.memory)).transpose()?;
    if count < 1 || id < 0 {
        return Err(Errno::EINVAL);
    }
    if count > SEMOPM {
        return Err(Errno::E2BIG);
    }
    let operations = operations.read_slice(&thread.memory, count)?;
    let deadline = match timeout {
        Some(timeout) => hal::time::monotonic().saturating_add(timeout.to_nanos()?),
        None => u64::MAX,
    };
    let operations: Vec<Operation> = operations
        .iter()
        .map(|raw| Operation {
            number: raw.number,
            change: raw.change,
            flags: u32::from(raw.flags as u16),
        })
        .collect();
    if operations.iter().any(|operation| operation.flags & SEM_UNDO != 0) {
        thread.process.has_undo_list.store(true, Ordering::Relaxed);
    }
    let set = thread.ipc().objects.sem.get(id)?;
    let Some(mut waiting) = set.operate(&Caller::of(thread), &operations)? else { return Ok(()) };
    let wait = hal::time::timeout_at(deadline, waiting.finished());
    let ended = match thread.object.interruptible(BlockedReason::WaitOne, wait).await {
        Ok(Ok(result)) => return result,
        Ok(Err(_)) => Errno::EAGAIN,
        Err(_) => Errno::EINTR,
    };
    waiting.withdraw().unwrap_or(Err(ended))
}

const GETPID: i32 = 11;
const GETVAL: i32 = 12;
const GETALL: i32 = 13;
const GETNCNT: i32 = 14;
const GETZCNT: i32 = 15;
const SETVAL: i32 = 16;
const SETALL: i32 = 17;
const SEM_STAT: i32 = 18;
const SEM_INFO: i32 = 19;
const SEM_STAT_ANY: i32 = 20;

/// `struct semid64_ds`
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct RawSet {
    permission: RawPermission,
    operated: i64,
    unused: u64,
    changed: i64,
    unused_too: u64,
    count: u64,
    tail: [u64; 2],
}

/// `struct seminfo`
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct RawLimits {
    map: i32,
    sets: i32,
    semaphores: i32,
    undos: i32,
    of_a_set: i32,
    operations: i32,
    undo_entries: i32,
    sets_now: i32,
    value: i32,
    semaphores_now: i32,
}

/// The bytes of `struct sem_undo`, which `IPC_INFO` tells for no reason.
const SEMUSZ: i32 = 20;

/// semctl(2). `argument` is the fourth one, whatever it is.
pub(crate) fn semctl(
    thread: &Thread,
    id: i32,
    number: i32,
    command: i32,
    argument: u64,
) -> SysResult<i32> {
    let ipc = thread.ipc();
    let table = &ipc.objects.sem;
    let caller = Caller::of(thread);
    let buffer = UserAddr(argument);
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    match command {
        IPC_INFO | SEM_INFO => {
            let all = table.all();
            let limit = SEMMNS as i32;
            let now = command == SEM_INFO;
            let semaphores: usize = all.iter().map(|set| set.count()).sum();
            let limits = RawLimits {
                map: limit,
                sets: SEMMNI as i32,
                semaphores: limit,
                undos: limit,
                of_a_set: SEMMSL as i32,
                operations: SEMOPM as i32,
                undo_entries: SEMOPM as i32,
                sets_now: if now { all.len() as i32 } else { SEMUSZ },
                value: SEMVMX,
                semaphores_now: if now { semaphores as i32 } else { SEMVMX },
            };
            buffer.cast().write(&thread.memory, &limits)?;
            Ok(table.highest())
        }
        IPC_STAT | SEM_STAT | SEM_STAT_ANY => {
            let set = if command == IPC_STAT { table.get(id)? } else { table.at(id)? };
            let status = set.status();
            if command != SEM_STAT_ANY {
                status.permission.check(&caller, READ)?;
            }
            let raw = RawSet {
                permission: RawPermission::new(&status.permission, &caller.cred.namespace),
                operated: status.operated,
                unused: 0,
                changed: status.changed,
                unused_too: 0,
                count: status.count as u64,
                tail: [0; 2],
            };
            buffer.cast().write(&thread.memory, &raw)?;
            Ok(if command == IPC_STAT { 0 } else { set.id() })
        }
        GETVAL | GETPID | GETNCNT | GETZCNT => {
            let query = match command {
                GETVAL => Query::Value,
                GETPID => Query::Pid,
                GETNCNT => Query::Growing,
                _ => Query::Zero,
            };
            let answer = table.get(id)?.query(&caller, number, query)?;
            Ok(if command == GETPID { thread.process.sees(answer) } else { answer })
        }
        GETALL => {
            let values = table.get(id)?.values(&caller)?;
            UserPtr::<u16>::new(argument).write_slice(&thread.memory, &values).map(|()| 0)
        }
        SETALL => {
            let set = table.get(id)?;
            set.check_alterable(&caller)?;
            let values = UserPtr::<u16>::new(argument).read_slice(&thread.memory, set.count())?;
            set.set_values(&caller, &values).map(|()| 0)
        }
        SETVAL => {
            let value = argument as i32;
            if !(0..=SEMVMX).contains(&value) {
                return Err(Errno::ERANGE);
            }
            table.get(id)?.set_value(&caller, number, value).map(|()| 0)
        }
        IPC_SET => {
            let new = UserPtr::<RawSet>::new(argument).read(&thread.memory)?.permission;
            let (uid, gid) = new.owner(&caller.cred.namespace)?;
            table.get(id)?.set(&caller, uid, gid, new.mode).map(|()| 0)
        }
        IPC_RMID => {
            table.get(id)?.remove(&caller)?;
            table.remove(id);
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}
