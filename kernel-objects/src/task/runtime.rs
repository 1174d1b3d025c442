//! Where the time of a thread goes.
//!
//! The clock runs while the thread's body is being polled, so two looks at the cycle counter for each stretch of running
//! are enough (one, where stretches follow each other), and a system call that does not wait costs none. How long it waited for its CPU
//! before a stretch the executor knows. Others may read it at any time.

use std::{
    ops::AddAssign,
    sync::atomic::{AtomicU64, Ordering},
};

/// Where the time of a task went: `zx_info_task_runtime_t`, without the kernel's own locks, whose contention nobody measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskRuntime {
    /// For how long it ran, in ns.
    pub cpu: u64,
    /// For how long it could have run while others did, in ns; without the wait that it is in. Nothing unless the executor
    /// [measures](hal::cpu::Handle::spawn_measured) it.
    pub queue: u64,
    /// How long its page faults took, in ns, those that its personality [noted](super::Thread::note_page_fault).
    pub page_fault: u64,
}

impl AddAssign for TaskRuntime {
    fn add_assign(&mut self, other: Self) {
        self.cpu = self.cpu.saturating_add(other.cpu);
        self.queue = self.queue.saturating_add(other.queue);
        self.page_fault = self.page_fault.saturating_add(other.page_fault);
    }
}

/// The clocks of a thread, in cycles.
#[derive(Debug, Default)]
pub(super) struct Runtime {
    /// What earlier stretches add up to.
    past: AtomicU64,
    /// The cycle counter when this stretch began; 0 when it is not running. Only the thread itself writes, here and below.
    since: AtomicU64,
    /// Waits for the CPU.
    queued: AtomicU64,
    /// Page faults.
    faulting: AtomicU64,
}

/// Adds to what nobody else writes, so that no atomic addition is needed.
fn add(sum: &AtomicU64, cycles: u64) {
    sum.store(sum.load(Ordering::Relaxed).wrapping_add(cycles), Ordering::Release);
}

impl Runtime {
    /// Lets it run.
    #[inline]
    pub(super) fn start(&self) {
        let begun = hal::cpu::begin_stretch().max(1);
        self.since.store(begun, Ordering::Relaxed);
        match hal::cpu::queued_until(begun) {
            0 => {}
            waited => add(&self.queued, waited),
        }
    }

    /// Stops it.
    #[inline]
    pub(super) fn stop(&self) {
        let since = self.since.load(Ordering::Relaxed);
        if since != 0 {
            let ran = hal::cpu::end_stretch().saturating_sub(since);
            // A reader between these sees too little for a moment, never too much.
            self.since.store(0, Ordering::Release);
            add(&self.past, ran);
        }
    }

    /// A page fault took that long.
    pub(super) fn note_page_fault(&self, cycles: u64) {
        add(&self.faulting, cycles);
    }

    /// For how long it has run.
    pub(super) fn cycles(&self) -> u64 {
        let past = self.past.load(Ordering::Acquire);
        match self.since.load(Ordering::Acquire) {
            0 => self.past.load(Ordering::Acquire),
            since => past.saturating_add(hal::time::cycles().saturating_sub(since)),
        }
    }

    /// What they show.
    pub(super) fn all(&self) -> TaskRuntime {
        let nanos = hal::time::cycles_to_nanos;
        TaskRuntime {
            cpu: nanos(self.cycles()),
            queue: nanos(self.queued.load(Ordering::Acquire)),
            page_fault: nanos(self.faulting.load(Ordering::Acquire)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spin(nanos: u64) {
        let end = hal::time::monotonic() + nanos;
        while hal::time::monotonic() < end {}
    }

    #[test]
    fn it_stands_still_unless_started() {
        let time = Runtime::default();
        let nanos = || hal::time::cycles_to_nanos(time.cycles());
        assert_eq!(nanos(), 0);
        time.start();
        spin(1_000_000);
        assert!(nanos() >= 900_000);
        time.stop();
        let stopped = time.cycles();
        assert!(stopped > 0);
        time.stop();
        assert_eq!(time.cycles(), stopped);
        assert_eq!(time.all().queue, 0, "nobody measures it");
    }

    #[test]
    fn page_faults_add_up() {
        let time = Runtime::default();
        (0..2).for_each(|_| time.note_page_fault(1 << 30));
        // How long a cycle takes is found out ever better.
        let twice = hal::time::cycles_to_nanos(2 << 30);
        assert!(time.all().page_fault.abs_diff(twice) < twice / 100);
        assert_eq!(time.all().cpu, 0);
    }

    #[test]
    fn who_waits_for_a_cpu_that_another_has_is_queued_meanwhile() {
        use super::super::{Thread, run::tests::started};
        use std::sync::{Arc, mpsc};

        let cpus = hal::cpu::Cpus::start(hal::cpu::Config { cpus: 1, ..Default::default() });
        let cpus = cpus.unwrap_or_else(|error| panic!("{error}"));
        let (tell, told) = mpsc::channel::<Arc<Thread>>();
        let measured = started(move |thread| async move {
            let _ = tell.send(thread);
        });
        let spawn = cpus.handle();
        // The CPU is busy from before the thread is queued until long after.
        cpus.spawn(async move {
            spawn.spawn_measured(measured).detach();
            spin(2_000_000);
        })
        .detach();
        let thread = told.recv().unwrap_or_else(|error| panic!("{error}"));
        let times = thread.runtimes();
        assert!((1_900_000..4_000_000_000).contains(&times.queue), "{times:?}");
    }
}
