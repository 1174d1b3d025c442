//! Time: the clocks of the system and those that programs maintain, and sleeping.

use kernel_objects::{
    Clock, Error, Handle, Result, Rights,
    clock::{ClockDetails, ClockOptions, ClockUpdate, STATE_SIZE},
    deadline::until,
    task::BlockedReason,
};

use super::argument::{In, Out};
use crate::zircon::{
    Thread,
    abi::{
        ClockCreateArgsV1, ClockDetailsV1, ClockRate, ClockTransformation, ClockUpdateArgsV1,
        ClockUpdateArgsV2, Void, ZxHandle, ZxTicks, ZxTime, constants::*,
    },
    ticks_per_second,
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
    let clock = Clock::create_mappable(thread.machine().memory(), options, backstop)?;
    thread.give([(Handle::new(clock), out)])
}

/// zx_clock_read
pub(super) fn read(thread: &Thread, handle: ZxHandle, now: Out<ZxTime>) -> Result {
    let clock = thread.get::<Clock>(handle, Rights::READ)?;
    now.0.write(thread.vmar(), &ZxTime(clock.read()))
}

/// zx_clock_get_details
pub(super) fn get_details(
    thread: &Thread,
    handle: ZxHandle,
    options: u64,
    details: Out<Void>,
) -> Result {
    let clock = thread.get::<Clock>(handle, Rights::READ)?;
    match version(options) {
        (0, 1) => details.0.cast().write(thread.vmar(), &encode(&clock.details())),
        _ => Err(Error::InvalidArgs),
    }
}

/// zx_clock_read_mapped
pub(super) async fn read_mapped(thread: &Thread, clock_addr: In<Void>, now: Out<ZxTime>) -> Result {
    now.0.write(thread.vmar(), &ZxTime(mapped(thread, clock_addr).await?.shows()))
}

/// zx_clock_get_details_mapped
pub(super) async fn get_details_mapped(
    thread: &Thread,
    clock_addr: In<Void>,
    options: u64,
    details: Out<Void>,
) -> Result {
    if version(options) != (0, 1) {
        return Err(Error::InvalidArgs);
    }
    let found = mapped(thread, clock_addr).await?;
    details.0.cast().write(thread.vmar(), &encode(&found))
}

/// How often a clock is looked at that is just being changed before it is none: a change takes no longer than a look.
const LOOKS: usize = 1000;

/// What the clock that is mapped there shows. (Another call than that which reads a clock: the time is the kernel's to tell.)
async fn mapped(thread: &Thread, clock_addr: In<Void>) -> Result<ClockDetails> {
    for _ in 0..LOOKS {
        let number = clock_addr.0.cast::<u64>();
        let before = number.read(thread.vmar())?;
        let state = clock_addr.0.cast::<[u8; STATE_SIZE]>().read(thread.vmar())?;
        match ClockDetails::of_mapped(before, &state, number.read(thread.vmar())?) {
            Err(Error::ShouldWait) => hal::cpu::yield_now().await,
            found => return found,
        }
    }
    Err(Error::BadState)
}

/// As C has it. The clock's reference counts nanoseconds, and a program's ticks are the processor's.
fn encode(details: &ClockDetails) -> ClockDetailsV1 {
    let ticks = Ticks::now(details.query);
    let line = details.transformation;
    let (synthetic, reference) = ticks.rate(line.synthetic_ticks, line.reference_ticks);
    let update = |time| if time == 0 { ZxTicks(0) } else { ticks.at(time as i64) };
    ClockDetailsV1 {
        options: details.options.bits(),
        backstop_time: ZxTime(details.backstop),
        reference_ticks_to_synthetic: ClockTransformation {
            reference_offset: ticks.at(line.reference_offset).0,
            synthetic_offset: line.synthetic_offset,
            rate: ClockRate { synthetic_ticks: synthetic, reference_ticks: reference },
        },
        reference_to_synthetic: ClockTransformation {
            reference_offset: line.reference_offset,
            synthetic_offset: line.synthetic_offset,
            rate: ClockRate {
                synthetic_ticks: line.synthetic_ticks,
                reference_ticks: line.reference_ticks,
            },
        },
        error_bound: details.error_bound,
        query_ticks: ticks.at(details.query as i64),
        last_value_update_ticks: update(details.last_value_update),
        last_rate_adjust_update_ticks: update(details.last_rate_adjust_update),
        last_error_bounds_update_ticks: update(details.last_error_bound_update),
        generation_counter: details.generation,
        padding1: [0; 4],
    }
}

/// What the processor counted at some time of a clock's reference, and how fast it counts.
struct Ticks {
    time: i64,
    ticks: u64,
    per_second: u64,
}

impl Ticks {
    fn now(time: u64) -> Self {
        let time = i64::try_from(time).unwrap_or(i64::MAX);
        Self { time, ticks: hal::time::cycles(), per_second: ticks_per_second() }
    }

    /// What it counts at a time in nanoseconds, which may be in the past.
    fn at(&self, time: i64) -> ZxTicks {
        let passed = i128::from(time) - i128::from(self.time);
        let ticks = passed * i128::from(self.per_second) / i128::from(hal::time::NANOS_PER_SEC);
        let ticks = i128::from(self.ticks) + ticks;
        ZxTicks(ticks.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    /// The rate to nanoseconds as one to ticks, as near as 32 bits can say.
    fn rate(&self, synthetic: u32, reference: u32) -> (u32, u32) {
        let synthetic = u128::from(synthetic) * u128::from(hal::time::NANOS_PER_SEC);
        let reference = u128::from(reference) * u128::from(self.per_second);
        let bits = 128 - synthetic.max(reference).leading_zeros();
        let shift = bits.saturating_sub(32);
        ((synthetic >> shift) as u32, (reference >> shift) as u32)
    }
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
