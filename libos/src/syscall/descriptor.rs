//! Descriptors themselves: duplicating, closing, their flags, and ioctl(2).

use std::sync::Arc;

use linux_raw_sys::{general as raw, ioctl as requests};

use crate::{
    errno::{Errno, SysResult},
    net::Socket,
    process::{Descriptor, Resource, Thread},
    signal::{Signal, async_io},
    syscall::{
        argument::{Fd, Flags, UserPtr},
        lock, namespace, terminal,
    },
    vfs::{Capabilities, OpenFile, mqueuefs::QueueFile, pipe::PipeEnd, procfs::NamespaceFile},
};

fn limit(thread: &Thread) -> u64 {
    thread.process.limit(Resource::OpenFiles)
}

/// What asm-generic/fcntl.h hides from 64-bit programs: there `O_LARGEFILE` is 0.
const O_LARGEFILE: u32 = 0o100000;

/// Lets go of what a descriptor named, and of what the process loses with it: locks, and being told of a queue's messages.
fn closed(thread: &Thread, descriptor: Descriptor) {
    thread.process.kernel.locks.closed_by(&descriptor.file, thread.process.pid);
    if let Some(file) = descriptor.file.downcast::<QueueFile>() {
        file.queue().forget(&thread.process);
    }
}

/// close(2)
pub(crate) fn close(thread: &Thread, fd: Fd) -> SysResult<()> {
    thread.files.remove(fd).map(|descriptor| closed(thread, descriptor))
}

const CLOSE_RANGE_UNSHARE: u32 = 2;
const CLOSE_RANGE_CLOEXEC: u32 = 4;

/// close_range(2)
pub(crate) fn close_range(thread: &Thread, first: u32, last: u32, flags: Flags) -> SysResult<()> {
    let known = CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE;
    if first > last || flags.0 & !known != 0 {
        return Err(Errno::EINVAL);
    }
    if flags.0 & CLOSE_RANGE_UNSHARE != 0 {
        thread.unshare_files()?;
    }
    if flags.0 & CLOSE_RANGE_CLOEXEC != 0 {
        thread.files.set_close_on_exec_range(first, last);
    } else {
        for descriptor in thread.files.remove_range(first, last) {
            closed(thread, descriptor);
        }
    }
    Ok(())
}

/// dup(2)
pub(crate) fn dup(thread: &Thread, fd: Fd) -> SysResult<Fd> {
    let file = thread.files.get_any(fd)?;
    thread.files.insert(file, false, 0, limit(thread))
}

fn duplicate_to(thread: &Thread, old: Fd, new: Fd, close_on_exec: bool) -> SysResult<Fd> {
    let file = thread.files.get_any(old)?;
    let old = thread.files.replace(new, Descriptor { file, close_on_exec }, limit(thread))?;
    if let Some(old) = old {
        closed(thread, old);
    }
    Ok(new)
}

/// dup2(2)
pub(crate) fn dup2(thread: &Thread, old: Fd, new: Fd) -> SysResult<Fd> {
    if old == new {
        thread.files.get_any(old).map(|_| new)
    } else {
        duplicate_to(thread, old, new, false)
    }
}

/// dup3(2)
pub(crate) fn dup3(thread: &Thread, old: Fd, new: Fd, flags: Flags) -> SysResult<Fd> {
    if flags.0 & !raw::O_CLOEXEC != 0 || old == new {
        return Err(Errno::EINVAL);
    }
    duplicate_to(thread, old, new, flags.0 & raw::O_CLOEXEC != 0)
}

/// fcntl(2)
pub(crate) async fn fcntl(thread: &Thread, fd: Fd, command: u32, argument: u64) -> SysResult<u64> {
    let descriptor = thread.files.descriptor(fd)?;
    if lock::is_record_command(command) {
        return lock::record(thread, &descriptor.file, command, argument).await;
    }
    command_now(thread, fd, descriptor, command, argument)
}

/// The commands of fcntl(2) that never wait.
fn command_now(
    thread: &Thread,
    fd: Fd,
    descriptor: Descriptor,
    command: u32,
    argument: u64,
) -> SysResult<u64> {
    let file = &descriptor.file;
    let path_only = matches!(
        command,
        raw::F_DUPFD | raw::F_DUPFD_CLOEXEC | raw::F_GETFD | raw::F_SETFD | raw::F_GETFL
    );
    if file.is_path_only() && !path_only {
        return Err(Errno::EBADF);
    }
    match command {
        raw::F_DUPFD | raw::F_DUPFD_CLOEXEC => {
            let from = u32::try_from(argument & 0xffff_ffff).map_err(|_| Errno::EINVAL)?;
            if u64::from(from) >= limit(thread) {
                return Err(Errno::EINVAL);
            }
            let close_on_exec = command == raw::F_DUPFD_CLOEXEC;
            let file = descriptor.file;
            let fd = thread.files.insert(file, close_on_exec, from as usize, limit(thread))?;
            Ok(fd.0 as u64)
        }
        raw::F_GETFD => Ok(u64::from(descriptor.close_on_exec)),
        raw::F_SETFD => {
            let close_on_exec = argument & u64::from(raw::FD_CLOEXEC) != 0;
            thread.files.set_close_on_exec(fd, close_on_exec).map(|()| 0)
        }
        // Every file is a large file to a 64-bit program, and F_GETFL says so.
        raw::F_GETFL if file.inode().is_some() && !file.is_path_only() => {
            Ok(u64::from(file.flags() | O_LARGEFILE))
        }
        raw::F_GETFL => Ok(u64::from(file.flags())),
        raw::F_SETFL => {
            let added = argument as u32 & !file.flags();
            if added & raw::O_NOATIME != 0 && !thread.fs.read().cred.owns(&file.metadata()?) {
                return Err(Errno::EPERM);
            }
            let flags = set_async(thread, file, fd, argument as u32)?;
            file.set_flags(flags).map(|()| 0)
        }
        raw::F_SETOWN => {
            let owner = async_io::owner_from_number(&thread.process, argument as i32)?;
            async_io::set_owner(thread, file, owner);
            Ok(0)
        }
        raw::F_GETOWN => Ok(file.readiness().owner().number(&thread.process) as u64),
        raw::F_SETOWN_EX => {
            let pair = UserPtr::<[i32; 2]>::new(argument).read(&thread.memory)?;
            let owner = async_io::owner_from_pair(&thread.process, pair)?;
            async_io::set_owner(thread, file, owner);
            Ok(0)
        }
        raw::F_GETOWN_EX => {
            let pair = file.readiness().owner().pair(&thread.process);
            UserPtr::<[i32; 2]>::new(argument).write(&thread.memory, &pair).map(|()| 0)
        }
        raw::F_SETSIG => {
            let signal = match argument {
                0 => None,
                number => {
                    let number = i32::try_from(number).map_err(|_| Errno::EINVAL)?;
                    Some(Signal::from_raw(number).ok_or(Errno::EINVAL)?)
                }
            };
            file.readiness().set_signal(signal);
            Ok(0)
        }
        raw::F_GETSIG => Ok(file.readiness().signal().map_or(0, |signal| signal.raw() as u64)),
        raw::F_SETPIPE_SZ => {
            let end = file.downcast::<PipeEnd>().ok_or(Errno::EBADF)?;
            let privileged = thread.fs.read().cred.has(Capabilities::SYS_RESOURCE);
            end.set_capacity(argument as u32 as usize, privileged).map(|size| size as u64)
        }
        raw::F_ADD_SEALS => {
            if !file.writable() {
                return Err(Errno::EPERM);
            }
            let known = raw::F_SEAL_SEAL
                | raw::F_SEAL_SHRINK
                | raw::F_SEAL_GROW
                | raw::F_SEAL_WRITE
                | raw::F_SEAL_FUTURE_WRITE;
            let seals = u32::try_from(argument).map_err(|_| Errno::EINVAL)?;
            if seals & !known != 0 {
                return Err(Errno::EINVAL);
            }
            file.inode().ok_or(Errno::EINVAL)?.add_seals(seals).map(|()| 0)
        }
        raw::F_GET_SEALS => file.inode().ok_or(Errno::EINVAL)?.seals().map(u64::from),
        // To be told of nothing more is all that can be asked of dnotify here.
        raw::F_NOTIFY if argument as u32 & !raw::DN_MULTISHOT == 0 => Ok(0),
        raw::F_GETPIPE_SZ => {
            let end = file.downcast::<PipeEnd>().ok_or(Errno::EBADF)?;
            Ok(end.capacity() as u64)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Begins or ends telling by signals that `file` is ready, as `flags` have `O_ASYNC`; without that bit for a file that tells nobody.
fn set_async(thread: &Thread, file: &Arc<OpenFile>, fd: Fd, flags: u32) -> SysResult<u32> {
    let on = flags & raw::FASYNC != 0;
    if on == (file.flags() & raw::FASYNC != 0) {
        return Ok(flags);
    }
    match async_io::watch(&thread.process.kernel, file, fd.0, on) {
        Err(Errno::ENOTTY) => Ok(flags & !raw::FASYNC),
        result => result.map(|()| flags),
    }
}

/// ioctl(2) where it need not wait: what is about the descriptor here, the rest by the file.
pub(crate) fn ioctl_at_once(
    thread: &Thread,
    fd: Fd,
    request: Flags,
    argument: u64,
) -> Option<SysResult> {
    let file = match thread.files.get(fd) {
        Ok(file) => file,
        Err(error) => return Some(Err(error)),
    };
    let done = match request.0 {
        requests::FIOCLEX => thread.files.set_close_on_exec(fd, true),
        requests::FIONCLEX => thread.files.set_close_on_exec(fd, false),
        requests::FIONBIO => set_nonblocking(thread, &file, argument),
        requests::FIOSETOWN | requests::SIOCSPGRP if file.socket().is_ok() => {
            set_owner(thread, &file, argument)
        }
        requests::FIOGETOWN | requests::SIOCGPGRP if file.socket().is_ok() => {
            let owner = file.readiness().owner().number(&thread.process);
            UserPtr::<i32>::new(argument).write(&thread.memory, &owner)
        }
        requests::FIOASYNC if !file.is_terminal() => change_async(thread, &file, fd, argument),
        request if file.is_terminal() => {
            return terminal::control_at_once(thread, &file, request, argument);
        }
        request => return Some(control(thread, &file, request, argument)),
    };
    Some(done.map(|()| 0))
}

/// What a file knows, of a namespace what the caller may, and of any socket what is about network devices.
fn control(thread: &Thread, file: &OpenFile, request: u32, argument: u64) -> SysResult {
    let namespace = file.downcast::<NamespaceFile>().map(NamespaceFile::namespace);
    let known = |of| namespace::control(thread, of, request, argument);
    if let Some(result) = namespace.and_then(known) {
        return result;
    }
    match file.ioctl(request, argument, &*thread.memory) {
        Err(Errno::ENOTTY) => match file.socket().map(Socket::network) {
            Ok(Some(network)) => network.control(thread, request, argument, &*thread.memory),
            Ok(None) => thread.net().inet.control(thread, request, argument, &*thread.memory),
            Err(_) => Err(Errno::ENOTTY),
        },
        result => result,
    }
}

/// ioctl(2) of a terminal that has to wait until all that was written is out.
pub(crate) async fn ioctl(thread: &Thread, fd: Fd, request: Flags, argument: u64) -> SysResult {
    terminal::control(thread, &*thread.files.get(fd)?, request.0, argument).await
}

fn set_owner(thread: &Thread, file: &Arc<OpenFile>, argument: u64) -> SysResult<()> {
    let number = UserPtr::<i32>::new(argument).read(&thread.memory)?;
    let owner = async_io::owner_from_number(&thread.process, number)?;
    async_io::set_owner(thread, file, owner);
    Ok(())
}

fn change_async(thread: &Thread, file: &Arc<OpenFile>, fd: Fd, argument: u64) -> SysResult<()> {
    let on = UserPtr::<i32>::new(argument).read(&thread.memory)? != 0;
    let flags = file.flags();
    let wanted = if on { flags | raw::FASYNC } else { flags & !raw::FASYNC };
    if set_async(thread, file, fd, wanted)? != wanted {
        return Err(Errno::ENOTTY);
    }
    file.set_flags(wanted)
}

fn set_nonblocking(thread: &Thread, file: &OpenFile, argument: u64) -> SysResult<()> {
    let on = UserPtr::<i32>::new(argument).read(&thread.memory)? != 0;
    let flags = file.flags();
    file.set_flags(if on { flags | raw::O_NONBLOCK } else { flags & !raw::O_NONBLOCK })
}
