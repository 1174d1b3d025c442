//! Time: the clocks of the system and those that programs maintain, and sleeping.

use kernel_objects::{
    Clock, Error, Handle, Result, Rights,
    clock::{ClockOptions, ClockUpdate},
    deadline::until,
    task::BlockedReason,
};

use super::argument::{In, Out};
use crate::zircon::{
    Thread,
    abi::{
        ClockCreateArgsV1, ClockUpdateArgsV1, ClockUpdateArgsV2, Void, ZxHandle, ZxTime,
        constants::*,
    },
};

/// zx_clock_get_monotonic
pub(super) fn get_monotonic(_: &Thread) -> Result<i64> {
    Ok(ZxTime::from_nanos(hal::time::monotonic()).0)
}

/// zx_clock_get_boot
pub(super) fn get_boot(_: &Thread) -> Result<i64> {
    Ok(ZxTime::from_nanos(hal::time::boottime()).0)
}

/// zx_nanosleep
pub(super) async fn nanosleep(thread: &Thread, deadline: ZxTime) -> Result {
    if deadline.0 <= 0 {
        hal::cpu::yield_now().await;
        return Ok(());
    }
    let sleep = until(deadline.deadline(), std::future::pending());
    match thread.blocked(BlockedReason::Sleeping, sleep).await {
        Err(Error::TimedOut) => Ok(()),
        other => other,
    }
}

/// The options without the version of the arguments, and that.
fn version(options: u64) -> (u64, u64) {
    let version = options >> ZX_CLOCK_ARGS_VERSION_SHIFT;
    (options & !(version << ZX_CLOCK_ARGS_VERSION_SHIFT), version)
}

/// zx_clock_create
pub(super) fn create(thread: &Thread, options: u64, args: In<Void>, out: Out<ZxHandle>) -> Result {
    let (options, version) = version(options);
    let options = ClockOptions::from_bits(options).ok_or(Error::InvalidArgs)?;
    let backstop = match version {
        0 if args.0.is_null() => 0,
        1 => args.0.cast::<ClockCreateArgsV1>().read(thread.vmar())?.backstop_time.0,
        _ => return Err(Error::InvalidArgs),
    };
    thread.give([(Handle::new(Clock::create(options, backstop)?), out)])
}

/// zx_clock_read
pub(super) fn read(thread: &Thread, handle: ZxHandle, now: Out<ZxTime>) -> Result {
    let clock = thread.get::<Clock>(handle, Rights::READ)?;
    now.0.write(thread.vmar(), &ZxTime(clock.read()))
}

/// zx_clock_update
pub(super) fn update(thread: &Thread, handle: ZxHandle, options: u64, args: In<Void>) -> Result {
    const ALL: u64 = ZX_CLOCK_UPDATE_OPTION_SYNTHETIC_VALUE_VALID
        | ZX_CLOCK_UPDATE_OPTION_RATE_ADJUST_VALID
        | ZX_CLOCK_UPDATE_OPTION_ERROR_BOUND_VALID
        | ZX_CLOCK_UPDATE_OPTION_REFERENCE_VALUE_VALID;
    let clock = thread.get::<Clock>(handle, Rights::WRITE)?;
    let (options, version) = version(options);
    if options & !ALL != 0 {
        return Err(Error::InvalidArgs);
    }
    let given = |option| options & option != 0;
    let update = |synthetic, reference, rate_adjust, error_bound| ClockUpdate {
        synthetic: given(ZX_CLOCK_UPDATE_OPTION_SYNTHETIC_VALUE_VALID).then_some(synthetic),
        reference: given(ZX_CLOCK_UPDATE_OPTION_REFERENCE_VALUE_VALID).then_some(reference),
        rate_adjust: given(ZX_CLOCK_UPDATE_OPTION_RATE_ADJUST_VALID).then_some(rate_adjust),
        error_bound: given(ZX_CLOCK_UPDATE_OPTION_ERROR_BOUND_VALID).then_some(error_bound),
    };
    match version {
        1 => {
            let args = args.0.cast::<ClockUpdateArgsV1>().read(thread.vmar())?;
            clock.update_v1(&update(args.value, 0, args.rate_adjust, args.error_bound))
        }
        2 => {
            let args = args.0.cast::<ClockUpdateArgsV2>().read(thread.vmar())?;
            let (value, reference) = (args.synthetic_value, args.reference_value);
            clock.update(&update(value, reference, args.rate_adjust, args.error_bound))
        }
        _ => Err(Error::InvalidArgs),
    }
}
