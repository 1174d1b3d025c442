//! /proc/sysvipc: the System V objects, a line each, as ipcs(1) reads them.

use std::fmt::Write;

use crate::{errno::SysResult, ipc::Object, kernel::Kernel, process::UserNamespace};

/// /proc/sysvipc/shm
pub(super) fn shm(kernel: &Kernel, reader: &UserNamespace) -> SysResult<String> {
    let mut out = String::from(
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n",
    );
    for segment in kernel.namespaces.ipc.objects.shm.all() {
        let status = segment.status();
        let permission = &status.permission;
        let _ = writeln!(
            out,
            "{:>10} {:>10}  {:>4o} {:>21} {:>5} {:>5}  {:>5} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10} {:>10} {:>21} {:>21}",
            permission.key,
            segment.id(),
            permission.mode,
            segment.size,
            segment.creator,
            status.last_pid,
            segment.attachments(),
            reader.shown_user(permission.uid),
            reader.shown_group(permission.gid),
            reader.shown_user(permission.cuid),
            reader.shown_group(permission.cgid),
            status.attached,
            status.detached,
            status.changed,
            segment.resident(),
            0
        );
    }
    Ok(out)
}

/// /proc/sysvipc/sem
pub(super) fn sem(kernel: &Kernel, reader: &UserNamespace) -> SysResult<String> {
    let mut out = String::from(
        "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n",
    );
    for set in kernel.namespaces.ipc.objects.sem.all() {
        let status = set.status();
        let permission = &status.permission;
        let _ = writeln!(
            out,
            "{:>10} {:>10}  {:>4o} {:>10} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10}",
            permission.key,
            set.id(),
            permission.mode,
            status.count,
            reader.shown_user(permission.uid),
            reader.shown_group(permission.gid),
            reader.shown_user(permission.cuid),
            reader.shown_group(permission.cgid),
            status.operated,
            status.changed
        );
    }
    Ok(out)
}

/// /proc/sysvipc/msg
pub(super) fn msg(kernel: &Kernel, reader: &UserNamespace) -> SysResult<String> {
    let mut out = String::from(
        "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n",
    );
    for queue in kernel.namespaces.ipc.objects.msg.all() {
        let status = queue.status();
        let permission = &status.permission;
        let _ = writeln!(
            out,
            "{:>10} {:>10}  {:>4o}  {:>10} {:>10} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10} {:>10}",
            permission.key,
            queue.id(),
            permission.mode,
            status.bytes,
            status.count,
            status.sender,
            status.receiver,
            reader.shown_user(permission.uid),
            reader.shown_group(permission.gid),
            reader.shown_user(permission.cuid),
            reader.shown_group(permission.cgid),
            status.sent,
            status.received,
            status.changed
        );
    }
    Ok(out)
}
