//! The CPU's time-stamp counter: a clock that costs a few nanoseconds to look at and has no unit.
//!
//! The idea: how long a cycle is is found out only when somebody asks for nanoseconds, from how far the counter and the monotonic
//! clock have come since the start; so there is nothing to calibrate.

use std::sync::OnceLock;

/// What counter and clock showed at the start.
static START: OnceLock<(u64, u64)> = OnceLock::new();

/// The counter. It runs at a constant rate, also while the CPU sleeps, and is the same on all CPUs of the machines that the host trusts it on.
/// Where clocks [advance by steps](crate::seed), it counts their nanoseconds.
#[inline]
pub fn cycles() -> u64 {
    if super::is_stepping() { super::thread_cpu() } else { host_cycles() }
}

/// [`cycles`] as the host has it, for how long to wait for what the host does.
#[inline]
pub(crate) fn host_cycles() -> u64 {
    // SAFETY: every x86-64 CPU has RDTSC; that it is enabled for user mode the vDSO relies on too.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// Takes the point from which cycles are measured; the first call counts.
pub(crate) fn start() {
    START.get_or_init(|| (host_cycles(), super::host_monotonic()));
}

/// How many nanoseconds `count` cycles take.
pub fn cycles_to_nanos(count: u64) -> u64 {
    if super::is_stepping() {
        return count;
    }
    let &(first_cycles, first_nanos) =
        START.get_or_init(|| (host_cycles(), super::host_monotonic()));
    let mut elapsed = (
        host_cycles().wrapping_sub(first_cycles),
        super::host_monotonic().saturating_sub(first_nanos),
    );
    // Right after the start the ratio would be coarse; a hundred microseconds give a thousandth.
    while elapsed.1 < 100_000 {
        elapsed = (
            host_cycles().wrapping_sub(first_cycles),
            super::host_monotonic().saturating_sub(first_nanos),
        );
    }
    let nanos = u128::from(count) * u128::from(elapsed.1) / u128::from(elapsed.0.max(1));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_become_the_nanoseconds_that_passed() {
        start();
        let (first, begin) = (cycles(), crate::time::monotonic());
        while crate::time::monotonic() < begin + 20_000_000 {}
        let (cycles, nanos) = (cycles() - first, crate::time::monotonic() - begin);
        let converted = cycles_to_nanos(cycles);
        assert!(converted.abs_diff(nanos) < nanos / 20, "{converted} ns for {nanos} ns");
    }
}
