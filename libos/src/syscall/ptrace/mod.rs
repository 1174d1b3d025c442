//! Tracing threads: ptrace(2).
//!
//! The one idea: checks, copies and Linux's layouts are here, in Linux's order; what happens is in [`process`](crate::process).

mod info;
mod memory;
pub(crate) mod registers;

use std::sync::Arc;

use linux_raw_sys::ptrace as raw;

use super::{argument::UserPtr, remote, thread::change_bases};
use crate::{
    errno::{Errno, SysResult},
    process::{
        Thread,
        trace::{Mode, Options, Resume, Tracee},
    },
    signal::{SigInfo, SigSet, Signal},
};

/// Requests that x86 alone has, and such as the headers name elsewhere.
mod request {
    pub(super) const SYSEMU: u32 = 31;
    pub(super) const SYSEMU_SINGLESTEP: u32 = 32;
    pub(super) const ARCH_PRCTL: u32 = 30;
    pub(super) const GETREGS: u32 = 12;
    pub(super) const SETREGS: u32 = 13;
    pub(super) const GETFPREGS: u32 = 14;
    pub(super) const SETFPREGS: u32 = 15;
}

/// The signal of a request's last argument; `EIO` when it is none.
fn signal(data: u64) -> SysResult<Option<Signal>> {
    match i32::try_from(data) {
        Ok(0) => Ok(None),
        Ok(number) => Signal::from_raw(number).map(Some).ok_or(Errno::EIO),
        Err(_) => Err(Errno::EIO),
    }
}

/// `EINVAL` for options that are unknown, and for the one that needs what is not there.
fn options(data: u64) -> SysResult<Options> {
    let bits = u32::try_from(data).map_err(|_| Errno::EINVAL)?;
    Options::from_bits(bits).ok_or(Errno::EINVAL)
}

/// The thread `tid`, if the caller may trace it.
fn target(thread: &Thread, tid: i32) -> SysResult<Arc<Thread>> {
    let target = thread.process.visible().thread(tid).ok_or(Errno::ESRCH)?;
    if Arc::ptr_eq(&target.process, &thread.process) {
        return Err(Errno::EPERM);
    }
    remote::may_attach(thread, &target.process)?;
    Ok(target)
}

/// ptrace(2)
pub(crate) fn ptrace(
    thread: &Thread,
    request: u32,
    tid: i32,
    addr: u64,
    data: u64,
) -> SysResult<u64> {
    match request {
        raw::PTRACE_TRACEME => return thread.trace_by_parent().map(|()| 0),
        raw::PTRACE_ATTACH => {
            thread.attach(&target(thread, tid)?, false, Options::empty())?;
            return Ok(0);
        }
        raw::PTRACE_SEIZE => {
            let target = target(thread, tid)?;
            if addr != 0 {
                return Err(Errno::EIO);
            }
            let options = options(data).map_err(|_| Errno::EIO)?;
            thread.attach(&target, true, options)?;
            return Ok(0);
        }
        _ => {}
    }
    let tracee = thread.tracee_of(tid)?;
    let subject = || thread.process.visible().thread(tid).ok_or(Errno::ESRCH);
    match request {
        raw::PTRACE_KILL => {
            subject()?.process.send_signal(Signal::SIGKILL, SigInfo::kernel(Signal::SIGKILL))?;
            Ok(0)
        }
        raw::PTRACE_INTERRUPT if tracee.seized => {
            tracee.interrupt(&*subject()?);
            Ok(0)
        }
        raw::PTRACE_INTERRUPT => Err(Errno::EIO),
        _ => {
            // From here on it has to have stopped.
            tracee.stop()?;
            of_stopped(thread, &tracee, &*subject()?, request, addr, data)
        }
    }
}

fn of_stopped(
    thread: &Thread,
    tracee: &Tracee,
    subject: &Thread,
    request: u32,
    addr: u64,
    data: u64,
) -> SysResult<u64> {
    let resume = |mode| tracee.resume(Resume { mode, signal: signal(data)? });
    match request {
        raw::PTRACE_CONT => resume(Mode::Continue)?,
        raw::PTRACE_SYSCALL => resume(Mode::Call)?,
        raw::PTRACE_SINGLESTEP => resume(Mode::Step)?,
        request::SYSEMU => resume(Mode::Emulate)?,
        request::SYSEMU_SINGLESTEP => resume(Mode::EmulateStep)?,
        raw::PTRACE_DETACH => subject.set_free(tracee, signal(data)?),
        raw::PTRACE_LISTEN => tracee.listen(subject)?,
        raw::PTRACE_PEEKTEXT | raw::PTRACE_PEEKDATA => {
            let word = memory::peek(&subject.memory, addr)?;
            UserPtr::<u64>::new(data).write(&thread.memory, &word)?;
        }
        raw::PTRACE_POKETEXT | raw::PTRACE_POKEDATA => memory::poke(&subject.memory, addr, data)?,
        raw::PTRACE_PEEKUSR => {
            let word = registers::peek(&mut *tracee.parked()?, addr)?;
            UserPtr::<u64>::new(data).write(&thread.memory, &word)?;
        }
        raw::PTRACE_POKEUSR => registers::poke(&mut *tracee.parked()?, addr, data)?,
        request::GETREGS
        | request::SETREGS
        | request::GETFPREGS
        | request::SETFPREGS
        | raw::PTRACE_GETREGSET
        | raw::PTRACE_SETREGSET => registers::sets(thread, tracee, request, addr, data)?,
        request::ARCH_PRCTL => {
            let code = u32::try_from(data).map_err(|_| Errno::EINVAL)?;
            change_bases(&mut tracee.parked()?.context, &thread.memory, code, addr)?;
        }
        raw::PTRACE_SETOPTIONS => tracee.set_options(options(data)?)?,
        raw::PTRACE_GETEVENTMSG => {
            UserPtr::<u64>::new(data).write(&thread.memory, &tracee.message()?)?;
        }
        raw::PTRACE_GETSIGINFO => {
            let info = tracee.stop()?.info.ok_or(Errno::EINVAL)?;
            UserPtr::<SigInfo>::new(data).write(&thread.memory, &info)?;
        }
        raw::PTRACE_SETSIGINFO => {
            let info = UserPtr::<SigInfo>::new(data).read(&thread.memory)?;
            tracee.set_info(info.checked(info.signo)?)?;
        }
        raw::PTRACE_PEEKSIGINFO => return info::peek_signals(thread, subject, addr, data),
        raw::PTRACE_GETSIGMASK => {
            check_mask_size(addr)?;
            let mask = subject.signals.mask();
            UserPtr::<SigSet>::new(data).write(&thread.memory, &mask)?;
        }
        raw::PTRACE_SETSIGMASK => {
            check_mask_size(addr)?;
            let mask = UserPtr::<SigSet>::new(data).read(&thread.memory)?;
            subject.set_signal_mask(mask.difference(SigSet::UNBLOCKABLE));
        }
        raw::PTRACE_GET_SYSCALL_INFO => return info::of_call(thread, tracee, addr, data),
        _ => return Err(Errno::EIO),
    }
    Ok(0)
}

fn check_mask_size(size: u64) -> SysResult<()> {
    if size == size_of::<SigSet>() as u64 { Ok(()) } else { Err(Errno::EINVAL) }
}
