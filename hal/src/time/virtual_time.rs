//! Virtual time: what nobody works through is skipped.
//!
//! The one idea: *time passes while somebody works.* Those at work are counted: CPUs that are awake, jobs on the pool for what
//! blocks, and whoever holds the time ([`hold`]). When the last of them stops, all clocks are moved forward together to the earliest
//! deadline of any timer queue, and the sleepers look again.
//!
//! **No wake-up is overtaken**: [`AtWork`] says why. What comes from the host (a signal, input) is in nobody's count: it comes as if
//! after the jump; but the reactor is asked first for what has come before.
//!
//! What the host is told (time-outs of its futexes, its timers) stays in the host's time, see [`to_host`].
//!
//! A [seed](crate::seed) goes further: then the host's clocks are not looked at, and the guests' begin at a fixed moment and advance by
//! [steps](step).

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::{Clock, NANOS_PER_SEC, monotonic, queue};
use crate::sync::at_work::AtWork;

/// The clocks are the host's. Changed before the first machine is started, by whom that is for.
const HOST: u8 = 0;
/// They are ahead of the host's. Stays so.
const AHEAD_OF_HOST: u8 = 1;
/// They advance by steps alone. Stays so.
const BY_STEPS: u8 = 2;

/// What the clocks are.
static KIND: AtomicU8 = AtomicU8::new(HOST);
/// How far the clocks are ahead of the host's, or how far they have advanced, ns.
static AHEAD: AtomicU64 = AtomicU64::new(0);
/// When clocks that advance by steps begin: 2030-01-01, and 1000 seconds after the machine was switched on, ns.
const BEGIN: (u64, u64) = (1_893_456_000 * NANOS_PER_SEC, 1000 * NANOS_PER_SEC);
/// How far a step takes them, ns.
const STEP: u64 = 1000;
/// Those at work.
static AT_WORK: AtWork = AtWork::new();
/// How many machines this process has started.
static MACHINES: AtomicUsize = AtomicUsize::new(0);

/// CPUs have been started already, which nobody has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CPUs run already by the host's time")]
pub struct TooLate;

/// Makes the time of this process virtual, for good. To be called before its first CPUs are started; again does nothing.
///
/// # Errors
///
/// [`TooLate`].
pub fn make_virtual() -> Result<(), TooLate> {
    if is_virtual() { Ok(()) } else { become_kind(AHEAD_OF_HOST) }
}

/// Has the clocks of this process advance by steps; as [`make_virtual`], but again lets them begin anew.
pub(crate) fn make_stepping() -> Result<(), TooLate> {
    if !is_stepping() {
        become_kind(BY_STEPS)?;
    }
    AHEAD.store(0, Ordering::SeqCst);
    Ok(())
}

fn become_kind(kind: u8) -> Result<(), TooLate> {
    if MACHINES.load(Ordering::SeqCst) > 0 {
        return Err(TooLate);
    }
    KIND.store(kind, Ordering::SeqCst);
    Ok(())
}

/// Whether the time of this process is virtual.
#[inline]
pub fn is_virtual() -> bool {
    KIND.load(Ordering::Relaxed) != HOST
}

/// Whether its clocks advance by steps.
#[inline]
pub(crate) fn is_stepping() -> bool {
    KIND.load(Ordering::Relaxed) == BY_STEPS
}

/// What a clock shows, ns.
pub(super) fn now(clock: Clock) -> u64 {
    let is_cpu = matches!(clock, Clock::ProcessCpu | Clock::ThreadCpu);
    if is_stepping() {
        let begin = match clock {
            Clock::Realtime | Clock::RealtimeCoarse | Clock::Tai => BEGIN.0,
            _ if is_cpu => 0,
            _ => BEGIN.1,
        };
        return begin.saturating_add(ahead());
    }
    let (sec, nsec) = clock.host_now();
    let host = sec.saturating_mul(NANOS_PER_SEC).saturating_add(nsec);
    if is_cpu { host } else { host.saturating_add(ahead()) }
}

/// Takes clocks that advance by steps one further.
#[inline]
pub(crate) fn step() {
    advance(STEP);
}

/// Takes clocks that advance by steps further.
pub(crate) fn advance(nanos: u64) {
    if is_stepping() {
        AHEAD.fetch_add(nanos, Ordering::Relaxed);
    }
}

/// A machine is about to be started.
pub(crate) fn note_machine() {
    MACHINES.fetch_add(1, Ordering::SeqCst);
}

/// How far the clocks are ahead of the host's, ns.
#[inline]
pub(super) fn ahead() -> u64 {
    // Relaxed: who was woken by a jump has it by what woke him.
    AHEAD.load(Ordering::Relaxed)
}

/// A time of the monotonic clock in the host's time, as it is now. After a jump it is another, which wakes whoever sleeps by it. Clocks that
/// advance by steps get there by no time of the host's.
#[inline]
pub(crate) fn to_host(time: u64) -> u64 {
    if is_stepping() { u64::MAX } else { time.saturating_sub(ahead()) }
}

/// Somebody begins to work.
#[inline]
pub(crate) fn begin_work() {
    if is_virtual() {
        AT_WORK.begin();
    }
}

/// Somebody stops working, who has seen that there is nothing more to do.
#[inline]
pub(crate) fn end_work() {
    if is_virtual() && AT_WORK.end() {
        skip();
    }
}

/// Takes a [`begin_work`] back that was one too many. May be called with locks held.
#[inline]
pub(crate) fn take_back() {
    if is_virtual() && AT_WORK.end() {
        queue::have_skipped();
    }
}

/// Moves the clocks to the next deadline if nobody works.
#[cold]
pub(super) fn skip() {
    static SKIPPING: Mutex<()> = Mutex::new(());
    if AT_WORK.rest().is_none() || queue::earliest().is_none() {
        return;
    }
    crate::reactor::catch_up();
    let _alone = SKIPPING.lock();
    // Of several who got here the first has woken somebody.
    let Some(rest) = AT_WORK.rest() else { return };
    let Some(deadline) = queue::earliest() else { return };
    // Whoever has begun meanwhile may have taken a timer away, and skips when he ends.
    if !AT_WORK.still_rests(rest) {
        return;
    }
    AHEAD.fetch_add(deadline.saturating_sub(monotonic()), Ordering::SeqCst);
    queue::look_again();
}

/// Has time pass as the host's does until the result is dropped: for a wait for the host that is to have its time.
#[must_use = "holds only as long as it lives"]
#[derive(Debug)]
pub struct Hold(());

/// See [`Hold`].
pub fn hold() -> Hold {
    begin_work();
    Hold(())
}

impl Drop for Hold {
    fn drop(&mut self) {
        end_work();
    }
}
