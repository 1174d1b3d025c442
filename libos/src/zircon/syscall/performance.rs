//! How fast the processors are said to be.

use kernel_objects::{
    Error, Resource, Result, Rights,
    resource::{ResourceKind, SystemBase},
};

use super::argument::{In, Out};
use crate::zircon::{
    Thread,
    abi::{CpuPerformanceInfo, CpuPerformanceScale, Void, ZxHandle, constants::*},
    performance::FULL,
};

/// Fails unless the resource is one for processors.
fn check(thread: &Thread, resource: ZxHandle) -> Result {
    let resource = thread.get::<Resource>(resource, Rights::empty())?;
    resource.validate(ResourceKind::System, SystemBase::Cpu as u64, 1)
}

/// zx_system_get_performance_info
pub(super) fn get(
    thread: &Thread,
    resource: ZxHandle,
    topic: u32,
    count: usize,
    info: Out<Void>,
    output_count: Out<usize>,
) -> Result {
    check(thread, resource).map_err(|error| match error {
        Error::OutOfRange => Error::AccessDenied,
        other => other,
    })?;
    let mut speeds = thread.machine().performance.get();
    match topic {
        ZX_CPU_PERF_SCALE => {}
        ZX_CPU_DEFAULT_PERF_SCALE => speeds.fill(FULL),
        _ => return Err(Error::InvalidArgs),
    }
    if count != speeds.len() {
        return Err(Error::OutOfRange);
    }
    let record = |(cpu, speed): (u32, u64)| CpuPerformanceInfo {
        logical_cpu_number: cpu,
        performance_scale: CpuPerformanceScale {
            integral_part: (speed >> 32) as u32,
            fractional_part: speed as u32,
        },
    };
    let records: Vec<_> = (0..).zip(speeds).map(record).collect();
    info.0.cast::<CpuPerformanceInfo>().write_slice(thread.vmar(), &records)?;
    output_count.0.write(thread.vmar(), &records.len())
}

/// zx_system_set_performance_info
pub(super) fn set(
    thread: &Thread,
    resource: ZxHandle,
    topic: u32,
    info: In<Void>,
    count: usize,
) -> Result {
    check(thread, resource)?;
    if topic != ZX_CPU_PERF_SCALE {
        return Err(Error::InvalidArgs);
    }
    let performance = &thread.machine().performance;
    if count > performance.get().len() {
        return Err(Error::OutOfRange);
    }
    let records = info.0.cast::<CpuPerformanceInfo>().read_slice(thread.vmar(), count)?;
    let speed = |record: CpuPerformanceInfo| {
        let CpuPerformanceScale { integral_part, fractional_part } = record.performance_scale;
        let speed = u64::from(integral_part) << 32 | u64::from(fractional_part);
        (record.logical_cpu_number, speed)
    };
    performance.set(&records.into_iter().map(speed).collect::<Vec<_>>())
}
