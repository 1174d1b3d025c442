//! Timers: alarm, interval timers, POSIX timers.
//!
//! The one idea: checks and copies are here; what expires and how is in [`crate::timer`].

use crate::{
    errno::{Errno, SysResult},
    process::Thread,
    syscall::argument::{Flags, UserPtr},
    timer::{
        ClockId, Itimerspec, Itimerval, NANOS, Timespec, Timeval, alarm::Setting, posix::SigEvent,
        process::Which,
    },
};

fn itimerval(setting: Setting) -> Itimerval {
    Itimerval {
        interval: Timeval::from_nanos(setting.interval),
        value: Timeval::from_nanos_rounded_up(setting.remaining),
    }
}

fn itimerspec(setting: Setting) -> Itimerspec {
    Itimerspec {
        interval: Timespec::from_nanos(setting.interval),
        value: Timespec::from_nanos(setting.remaining),
    }
}

/// alarm(2)
pub(crate) fn alarm(thread: &Thread, seconds: u32) -> SysResult<u64> {
    let process = &thread.process;
    let nanos = u64::from(seconds) * NANOS;
    let before = process.timers.set(process, Which::Real, nanos, 0);
    // Rounded to the nearest second, but never to none while armed.
    let seconds = before.remaining.saturating_add(NANOS / 2) / NANOS;
    Ok(if before.remaining > 0 { seconds.max(1) } else { 0 })
}

/// getitimer(2)
pub(crate) fn getitimer(thread: &Thread, which: i32, value: UserPtr<Itimerval>) -> SysResult<()> {
    let setting = thread.process.timers.get(Which::from_raw(which)?);
    value.write(&thread.memory, &itimerval(setting))
}

/// setitimer(2)
pub(crate) fn setitimer(
    thread: &Thread,
    which: i32,
    new: UserPtr<Itimerval>,
    old: UserPtr<Itimerval>,
) -> SysResult<()> {
    // Linux takes a null pointer for zeros.
    let new = new.non_null().map(|new| new.read(&thread.memory)).transpose()?.unwrap_or_default();
    let (value, interval) = (new.value.to_nanos()?, new.interval.to_nanos()?);
    let which = Which::from_raw(which)?;
    let process = &thread.process;
    let before = process.timers.set(process, which, value, interval);
    old.write_if_wanted(&thread.memory, &itimerval(before))
}

/// timer_create(2)
pub(crate) fn timer_create(
    thread: &Thread,
    clock: i32,
    event: UserPtr<SigEvent>,
    id: UserPtr<i32>,
) -> SysResult<()> {
    let event = event.non_null().map(|event| event.read(&thread.memory)).transpose()?;
    let process = &thread.process;
    // Neither the raw nor the coarse clocks have timers.
    if matches!(clock, 4..=6) {
        return Err(Errno::EOPNOTSUPP);
    }
    let new = process.timers.posix.lock().create(process, thread, clock, event)?;
    id.write(&thread.memory, &new).inspect_err(|_| {
        let gone = process.timers.posix.lock().delete(new);
        drop(gone);
    })
}

const TIMER_ABSTIME: u32 = 1;

/// timer_settime(2)
pub(crate) fn timer_settime(
    thread: &Thread,
    id: i32,
    flags: Flags,
    new: UserPtr<Itimerspec>,
    old: UserPtr<Itimerspec>,
) -> SysResult<()> {
    if new.is_null() {
        return Err(Errno::EINVAL);
    }
    let new = new.read(&thread.memory)?;
    let (value, interval) = (new.value.to_nanos()?, new.interval.to_nanos()?);
    let process = &thread.process;
    let (alarm, clock) = process.timers.posix.lock().alarm(id)?;
    let first = if value == 0 {
        None
    } else {
        let clock = ClockId::from_raw(clock, thread)?;
        let absolute = flags.0 & TIMER_ABSTIME != 0;
        let at = if absolute { value } else { clock.now().saturating_add(value) };
        Some((clock, at))
    };
    // A signal of the old setting that was not taken yet is not one of the new.
    process.signals.discard_timer(id);
    let before = alarm.set(first, interval);
    old.write_if_wanted(&thread.memory, &itimerspec(before))
}

/// timer_gettime(2)
pub(crate) fn timer_gettime(thread: &Thread, id: i32, value: UserPtr<Itimerspec>) -> SysResult<()> {
    let (alarm, _) = thread.process.timers.posix.lock().alarm(id)?;
    value.write(&thread.memory, &itimerspec(alarm.get()))
}

/// timer_getoverrun(2)
pub(crate) fn timer_getoverrun(thread: &Thread, id: i32) -> SysResult<i32> {
    thread.process.timers.posix.lock().overrun(id)
}

/// timer_delete(2)
pub(crate) fn timer_delete(thread: &Thread, id: i32) -> SysResult<()> {
    let process = &thread.process;
    let alarm = process.timers.posix.lock().delete(id)?;
    alarm.set(None, 0);
    process.signals.discard_timer(id);
    Ok(())
}
