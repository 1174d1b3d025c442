//! The signal calls: actions, masks, sending, waiting for signals.
//!
//! The one idea: checks and copies are here, in Linux's order because it shows in the errors; what happens is in [`crate::signal`].

use std::{future::pending, sync::Arc};

use kernel_objects::task::BlockedReason;

use crate::{
    errno::{Errno, SysResult},
    process::{Current, OVERFLOW_ID, Process, Thread},
    signal::{SigAction, SigInfo, SigSet, Signal, StackT, info::code},
    syscall::{
        argument::{UserAddr, UserPtr},
        restart::Restart,
    },
    timer::Timespec,
    vfs::Capabilities,
};

/// Bytes of the kernel's `sigset_t`, which every call with a set is told.
const SIGSET_SIZE: usize = size_of::<SigSet>();

fn check_size(size: usize) -> SysResult<()> {
    if size == SIGSET_SIZE { Ok(()) } else { Err(Errno::EINVAL) }
}

fn signal_number(number: i32) -> SysResult<Signal> {
    Signal::from_raw(number).ok_or(Errno::EINVAL)
}

/// rt_sigaction(2)
pub(crate) fn rt_sigaction(
    thread: &Thread,
    number: i32,
    new: UserPtr<SigAction>,
    old: UserPtr<SigAction>,
    size: usize,
) -> SysResult<()> {
    check_size(size)?;
    let new = new.non_null().map(|new| new.read(&thread.memory)).transpose()?;
    let signal = signal_number(number)?;
    if new.is_some() && SigSet::UNBLOCKABLE.contains(signal) {
        return Err(Errno::EINVAL);
    }
    let process = &thread.process;
    let before = process.signals.with(|actions| match new {
        Some(new) => actions.set(signal, new),
        None => actions.get(signal),
    });
    if new.is_some_and(|new| new.ignores(signal)) {
        process.discard_everywhere(SigSet::of(&[signal]));
    }
    old.write_if_wanted(&thread.memory, &before)
}

const SIG_BLOCK: i32 = 0;
const SIG_UNBLOCK: i32 = 1;
const SIG_SETMASK: i32 = 2;

/// rt_sigprocmask(2)
pub(crate) fn rt_sigprocmask(
    thread: &Thread,
    how: i32,
    set: UserPtr<SigSet>,
    old: UserPtr<SigSet>,
    size: usize,
) -> SysResult<()> {
    check_size(size)?;
    let before = thread.signals.mask();
    if let Some(set) = set.non_null() {
        let set = set.read(&thread.memory)?;
        let new = match how {
            SIG_BLOCK => before.union(set),
            SIG_UNBLOCK => before.difference(set),
            SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        let new = new.difference(SigSet::UNBLOCKABLE);
        if new != before {
            thread.set_signal_mask(new);
        }
    }
    old.write_if_wanted(&thread.memory, &before)
}

/// rt_sigpending(2)
pub(crate) fn rt_sigpending(thread: &Thread, set: UserAddr, size: usize) -> SysResult<()> {
    if size > SIGSET_SIZE {
        return Err(Errno::EINVAL);
    }
    let pending = thread.signals.pending().union(thread.process.signals.pending());
    let blocked = pending.intersection(thread.signals.mask()).0.to_le_bytes();
    thread.memory.write_bytes(set.0, blocked.get(..size).unwrap_or(&blocked))
}

/// rt_sigreturn(2)
pub(crate) async fn rt_sigreturn(current: &mut Current) -> SysResult<u64> {
    // What a handler interrupted is not gone on with by a restart_syscall(2) of the program's own.
    *current.thread().restart.lock() = Restart::Nothing;
    crate::signal::sigreturn(current)
}

/// sigaltstack(2)
pub(crate) async fn sigaltstack(
    current: &mut Current,
    new: UserPtr<StackT>,
    old: UserPtr<StackT>,
) -> SysResult<()> {
    let sp = current.context.regs().rsp;
    let thread = current.thread();
    let new = new.non_null().map(|new| new.read(&thread.memory)).transpose()?;
    let before = thread.signals.altstack();
    if let Some(new) = new {
        thread.signals.set_altstack(before.replaced_by(new, sp)?);
    }
    old.write_if_wanted(&thread.memory, &before.show(sp))
}

/// Waits for a handler; for pause(2) and rt_sigsuspend(2).
async fn until_handled(thread: &Thread) -> SysResult<()> {
    let _ = thread.interruptible(pending::<()>()).await;
    Err(Errno::ERESTARTNOHAND)
}

/// pause(2)
pub(crate) async fn pause(thread: &Thread) -> SysResult<()> {
    until_handled(thread).await
}

/// rt_sigsuspend(2)
pub(crate) async fn rt_sigsuspend(
    thread: &Thread,
    mask: UserPtr<SigSet>,
    size: usize,
) -> SysResult<()> {
    check_size(size)?;
    let mask = mask.read(&thread.memory)?;
    thread.set_signal_mask_for_call(mask);
    until_handled(thread).await
}

/// rt_sigtimedwait(2)
pub(crate) async fn rt_sigtimedwait(
    thread: &Thread,
    set: UserPtr<SigSet>,
    info: UserPtr<SigInfo>,
    timeout: UserPtr<Timespec>,
    size: usize,
) -> SysResult<i32> {
    check_size(size)?;
    let set = set.read(&thread.memory)?.difference(SigSet::UNBLOCKABLE);
    let timeout = match timeout.non_null() {
        Some(timeout) => Some(timeout.read(&thread.memory)?.to_nanos()?),
        None => None,
    };
    let (signal, taken) = match thread.take_signal(set) {
        Some(taken) => taken,
        None if timeout == Some(0) => return Err(Errno::EAGAIN),
        None => {
            let _letting_through = LettingThrough::new(thread, set);
            let deadline =
                timeout.map_or(u64::MAX, |nanos| hal::time::monotonic().saturating_add(nanos));
            let waited = thread
                .object
                .interruptible(BlockedReason::Sleeping, hal::time::sleep_until(deadline))
                .await;
            match thread.take_signal(set) {
                Some(taken) => taken,
                None if waited.is_ok() => return Err(Errno::EAGAIN),
                None => return Err(Errno::EINTR),
            }
        }
    };
    info.write_if_wanted(&thread.memory, &taken)?;
    Ok(signal.raw())
}

/// Has blocked signals interrupt the thread while it exists.
struct LettingThrough<'a>(&'a Thread);

impl<'a> LettingThrough<'a> {
    fn new(thread: &'a Thread, set: SigSet) -> Self {
        thread.wait_for_signals(set);
        Self(thread)
    }
}

impl Drop for LettingThrough<'_> {
    fn drop(&mut self) {
        self.0.wait_for_signals(SigSet::EMPTY);
    }
}

/// Who sends, as `si_pid` and `si_uid` show it.
fn sender(thread: &Thread) -> (u32, u32) {
    (thread.process.pid as u32, thread.process.ids.lock().users[0])
}

/// What of `info`, which `thread` has made up, gets to `target`: no number that means somebody else there.
fn as_told(thread: &Thread, target: &Process, info: SigInfo) -> SigInfo {
    if target.sees(thread.process.pid) == 0 { info.without_sender() } else { info }
}

/// Whether `thread` may send `signal` to `target`; `EPERM`. See kill(2).
fn may_send(thread: &Thread, target: &Process, signal: Option<Signal>) -> SysResult<()> {
    if std::ptr::eq(Arc::as_ptr(&thread.process), target) {
        return Ok(());
    }
    let mine = thread.process.ids.lock().users;
    let theirs = target.ids.lock().users;
    let related = [mine[0], mine[1]].iter().any(|uid| *uid == theirs[0] || *uid == theirs[2]);
    let privileged = || thread.fs.read().cred.has_in(&target.user_namespace(), Capabilities::KILL);
    let same_session = || thread.process.sid() == target.sid();
    if related || privileged() || signal == Some(Signal::SIGCONT) && same_session() {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// A signal number of which 0 stands for "only check".
pub(super) fn signal_or_check(number: i32) -> SysResult<Option<Signal>> {
    if number == 0 { Ok(None) } else { signal_number(number).map(Some) }
}

/// Sends `signal`, if any, to `target` if that is allowed: with `info`, or as kill(2) does.
pub(super) fn send_to_process(
    thread: &Thread,
    target: &Process,
    signal: Option<Signal>,
    info: Option<SigInfo>,
) -> SysResult<()> {
    may_send(thread, target, signal)?;
    let Some(signal) = signal else { return Ok(()) };
    let info = info.map(|info| as_told(thread, target, info)).unwrap_or_else(|| {
        let (pid, uid) = sender(thread);
        SigInfo::kill(signal, pid, uid).seen_by(target)
    });
    target.send_signal_from(thread, signal, info)
}

/// As [`send_to_process`], for each of `targets`: one success is enough. `ESRCH` when there are none.
pub(super) fn send_to_each(
    thread: &Thread,
    targets: Vec<Arc<Process>>,
    signal: Option<Signal>,
    info: Option<SigInfo>,
) -> SysResult<()> {
    let mut result = Err(Errno::ESRCH);
    for target in targets {
        let sent = send_to_process(thread, &target, signal, info);
        if result != Ok(()) {
            result = sent;
        }
    }
    result
}

/// As [`send_to_process`], for one thread and as tgkill(2) does.
pub(super) fn send_to_thread(
    thread: &Thread,
    target: &Thread,
    signal: Option<Signal>,
    info: Option<SigInfo>,
) -> SysResult<()> {
    may_send(thread, &target.process, signal)?;
    let Some(signal) = signal else { return Ok(()) };
    let info = info.map(|info| as_told(thread, &target.process, info)).unwrap_or_else(|| {
        let (pid, uid) = sender(thread);
        SigInfo::tkill(signal, pid, uid).seen_by(&target.process)
    });
    target.send_signal_from(thread, signal, info)
}

/// kill(2)
pub(crate) fn kill(thread: &Thread, pid: i32, number: i32) -> SysResult<()> {
    let signal = signal_or_check(number);
    let visible = thread.process.visible();
    if pid > 0 {
        // Also a thread's number finds its process.
        let target = visible.process_of(pid).ok_or(Errno::ESRCH)?;
        return send_to_process(thread, &target, signal?, None);
    }
    let targets = match pid {
        0 => thread.process.kernel.pids.group(thread.process.pgid()),
        -1 => {
            let mut all = visible.processes();
            all.retain(|target| {
                thread.process.sees(target.pid) != 1 && target.pid != thread.process.pid
            });
            all
        }
        i32::MIN => return Err(Errno::ESRCH),
        group => visible.group(-group),
    };
    send_to_each(thread, targets, signal?, None)
}

/// Finds the thread `tid`, of process `tgid` if given; `EINVAL`, `ESRCH`.
fn find_thread(thread: &Thread, tgid: Option<i32>, tid: i32) -> SysResult<Arc<Thread>> {
    if tid <= 0 || tgid.is_some_and(|tgid| tgid <= 0) {
        return Err(Errno::EINVAL);
    }
    let visible = thread.process.visible();
    let target = visible.thread(tid).ok_or(Errno::ESRCH)?;
    match tgid {
        Some(tgid) if Ok(target.process.pid) != visible.meant(tgid) => Err(Errno::ESRCH),
        _ => Ok(target),
    }
}

fn kill_thread(thread: &Thread, tgid: Option<i32>, tid: i32, number: i32) -> SysResult<()> {
    let target = find_thread(thread, tgid, tid)?;
    send_to_thread(thread, &target, signal_or_check(number)?, None)
}

/// tkill(2)
pub(crate) fn tkill(thread: &Thread, tid: i32, number: i32) -> SysResult<()> {
    kill_thread(thread, None, tid, number)
}

/// tgkill(2)
pub(crate) fn tgkill(thread: &Thread, tgid: i32, tid: i32, number: i32) -> SysResult<()> {
    kill_thread(thread, Some(tgid), tid, number)
}

/// Reads what a guest wants sent: `E2BIG`, `EFAULT`. With `exact`, `EINVAL` for one of another signal.
pub(super) fn guest_info(
    thread: &Thread,
    number: i32,
    info: UserPtr<SigInfo>,
    exact: bool,
) -> SysResult<SigInfo> {
    let info = info.read(&thread.memory)?;
    let info = info.checked(if exact { info.signo } else { number })?;
    if info.signo != number {
        return Err(Errno::EINVAL);
    }
    let users = thread.process.user_namespace();
    Ok(info.with_user(|user| users.kernel_user(user).unwrap_or(OVERFLOW_ID)))
}

/// Only to itself may a guest pretend that a signal comes from the kernel: `EPERM`.
pub(super) fn check_pretence(info: &SigInfo, to_self: bool) -> SysResult<()> {
    let pretends = info.code >= 0 || info.code == code::SI_TKILL;
    if pretends && !to_self { Err(Errno::EPERM) } else { Ok(()) }
}

/// rt_sigqueueinfo(2)
pub(crate) fn rt_sigqueueinfo(
    thread: &Thread,
    pid: i32,
    number: i32,
    info: UserPtr<SigInfo>,
) -> SysResult<()> {
    let info = guest_info(thread, number, info, false)?;
    check_pretence(&info, pid == thread.process.own_pid)?;
    let target = thread.process.visible().process_of(pid).ok_or(Errno::ESRCH)?;
    send_to_process(thread, &target, signal_or_check(number)?, Some(info))
}

/// rt_tgsigqueueinfo(2)
pub(crate) fn rt_tgsigqueueinfo(
    thread: &Thread,
    tgid: i32,
    tid: i32,
    number: i32,
    info: UserPtr<SigInfo>,
) -> SysResult<()> {
    let info = guest_info(thread, number, info, false)?;
    if tgid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL);
    }
    check_pretence(&info, tid == thread.own_tid)?;
    let target = find_thread(thread, Some(tgid), tid)?;
    send_to_thread(thread, &target, signal_or_check(number)?, Some(info))
}
