//! What the task that runs asks of its CPU: which it is, whether to give way, and how long its turn took.
//!
//! All of it is asked often, some of it in each trip of a guest into the kernel, so that the answers are loads of what belongs to the worker.

use std::sync::{Arc, LazyLock, atomic::Ordering};

use super::{Local, RESCHED_CALLS, SLICE_CYCLES, local};
use crate::{
    context,
    seed::Chances,
    time::{self, TimerQueue},
};

/// With a seed, the running task gives way once in this many calls if others are ready.
const GIVE_WAY: usize = 4;

/// The timer queue of the CPU that this thread is.
pub(crate) fn current_timers() -> Option<Arc<TimerQueue>> {
    local(|local| local.map(|l| l.worker().timers.clone()))
}

/// The CPU that this thread is, counted from 0; `None` outside of workers.
pub fn current_cpu() -> Option<usize> {
    local(|local| local.map(|l| l.cpu))
}

/// Whether a CPU of this machine has nothing to do, so that spinning here takes nothing from anybody.
pub fn has_spare() -> bool {
    local(|local| local.is_none_or(|l| l.machine.idle.count() > 0))
}

/// Whether the host has more CPUs for this process than this machine has virtual ones: a guest in a stub has one of its own then.
pub(crate) fn leaves_host_cpus() -> bool {
    static HOST: LazyLock<usize> = LazyLock::new(crate::host::system::online_cpus);
    local(|local| local.is_none_or(|l| l.machine.workers.len() < *HOST))
}

/// How many CPUs of this machine do something; 1 outside of workers.
pub(crate) fn busy() -> usize {
    let count = |l: &Local| l.machine.workers.len().saturating_sub(l.machine.idle.count());
    local(|local| local.map_or(1, count))
}

/// Whether another task is ready on this CPU: what `sched_yield` would give way to. Two loads.
pub fn runnable() -> bool {
    local(|local| local.is_some_and(Local::others_wait))
}

/// Whether a guest that makes no calls is to leave this CPU: for another task, or with a seed, when the host's timers are not used, for a timer.
/// Async-signal-safe.
pub(crate) fn is_wanted() -> bool {
    let has_timer = |l: &Local| l.chances.is_some() && l.worker().timers.next().is_some();
    local(|local| local.is_some_and(|l| l.others_wait() || has_timer(l)))
}

/// Whether the running task should give way soon ([`crate::cpu::yield_now`]): it had its turn and somebody else waits, or a
/// timer is due, or a preemption signal came, or [`request_resched`] was called. A few loads and stores; meant for every trip through a guest thread's loop.
#[inline]
pub fn need_resched() -> bool {
    local(|local| {
        let Some(local) = local else { return false };
        if local.called.get() | local.held.get() != 0 {
            local.look_after_called();
        }
        if local.resched.load(Ordering::Relaxed) || context::need_resched() {
            return true;
        }
        let calls = local.calls.get();
        if calls > 0 {
            local.calls.set(calls - 1);
            return false;
        }
        local.turn_is_over()
    })
}

impl Local {
    #[cold]
    fn turn_is_over(&self) -> bool {
        if let Some(chances) = &self.chances {
            return self.gives_way(&mut chances.borrow_mut());
        }
        self.calls.set(RESCHED_CALLS);
        let now = time::cycles();
        if self.slice.get() == 0 {
            self.slice.set(now);
        }
        let over = now.wrapping_sub(self.slice.get()) > SLICE_CYCLES;
        (over && self.others_wait())
            || self.worker().timers.next().is_some_and(|next| next <= time::monotonic())
    }

    /// Whether the running task gives way after this call, with a seed. It is asked once in each trip of a guest into the kernel.
    fn gives_way(&self, chances: &mut Chances) -> bool {
        context::forget_ticks();
        time::step();
        let timers = &self.worker().timers;
        timers.next().is_some_and(|next| next <= time::monotonic())
            || self.others_wait() && chances.once_in(GIVE_WAY)
    }
}

/// When the stretch of CPU time began that the running task has from now on, in cycles: now, or if the task before it was measured as well,
/// the end of that one's, so that a switch costs one look at the counter and the choice of the next task counts as its own.
#[inline]
pub fn begin_stretch() -> u64 {
    match local(|local| local.map_or(0, |local| local.begun.take())) {
        0 => time::cycles(),
        begun => begun,
    }
}

/// When that stretch ended: now.
#[inline]
pub fn end_stretch() -> u64 {
    let now = time::cycles();
    local(|local| {
        if let Some(local) = local {
            local.ended.set(now);
        }
    });
    now
}

/// How long the running task waited for its CPU since it was woken, in cycles, if it was [spawned](crate::cpu::Handle::spawn_measured) to be
/// measured: until `begun`, which [`begin_stretch`] returned. 0 when this was asked before in the same turn.
#[inline]
pub fn queued_until(begun: u64) -> u64 {
    match local(|local| local.map_or(0, |local| local.queued.take())) {
        0 => 0,
        queued => begun.saturating_sub(queued),
    }
}

/// Makes [`need_resched`] say yes until the running task's turn ends. Async-signal-safe: for the preemption timer's handler.
pub fn request_resched() {
    local(|local| {
        if let Some(local) = local {
            local.resched.store(true, Ordering::Relaxed);
        }
    });
}

/// When this CPU's earliest timer is due, in ns of the monotonic clock: the latest time to take a
/// guest off it.
pub fn next_deadline() -> Option<u64> {
    local(|local| local.and_then(|l| l.worker().timers.next()))
}

pub(in crate::cpu) fn note_yield() {
    local(|local| {
        if let Some(local) = local {
            local.yielded.set(true);
        }
    });
}
