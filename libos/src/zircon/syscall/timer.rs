//! Timers.

use kernel_objects::{
    Handle, Result, Rights, Timer,
    clock::ClockId,
    task::{PolicyCondition, SlackMode},
};

use super::argument::Out;
use crate::zircon::{
    Thread,
    abi::{ZxClock, ZxDuration, ZxHandle, ZxTime},
};

/// zx_timer_create
pub(super) fn create(
    thread: &Thread,
    options: u32,
    clock_id: ZxClock,
    out: Out<ZxHandle>,
) -> Result {
    let options = SlackMode::from_raw(options)?;
    let clock = ClockId::from_raw(clock_id.0)?;
    thread.policy(PolicyCondition::NewTimer)?;
    thread.give([(Handle::new(Timer::create(options, clock)), out)])
}

/// zx_timer_set
pub(super) fn set(
    thread: &Thread,
    handle: ZxHandle,
    deadline: ZxTime,
    slack: ZxDuration,
) -> Result {
    thread.get::<Timer>(handle, Rights::WRITE)?.set(deadline.deadline(), slack.0)
}

/// zx_timer_cancel
pub(super) fn cancel(thread: &Thread, handle: ZxHandle) -> Result {
    thread.get::<Timer>(handle, Rights::WRITE)?.cancel();
    Ok(())
}
