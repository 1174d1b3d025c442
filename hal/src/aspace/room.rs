//! How many more mappings the host allows.
//!
//! The one idea: a page table's runs are the host's mappings, of which a process may have `vm.max_map_count`. Spaces in this process share that
//! number with each other and with the kernel, an isolated one has it for itself. A guest that maps on and on is refused while there are still some
//! left, for without them no page that faults could be mapped.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crate::host::system::proc_text;

/// What the host allows unless it says otherwise.
const USUAL: usize = 65_530;
/// How many mappings the kernel or a stub has for itself, at most.
const OWN: usize = 1024;
/// The part of the mappings that is left for faults.
const FOR_FAULTS: usize = 16;

/// The runs of all spaces in this process.
static IN_PROCESS: AtomicUsize = AtomicUsize::new(0);

/// How many mappings guests of one host process may have.
fn most() -> usize {
    static MOST: OnceLock<usize> = OnceLock::new();
    *MOST.get_or_init(|| {
        let text = proc_text("sys/vm/max_map_count").unwrap_or_default();
        let most = String::from_utf8_lossy(&text).trim().parse().unwrap_or(USUAL);
        most.saturating_sub(OWN).max(OWN)
    })
}

/// The share of one address space.
#[derive(Debug)]
pub(super) struct Room {
    in_process: AtomicBool,
    runs: AtomicUsize,
}

impl Room {
    pub(super) fn new(in_process: bool) -> Self {
        Self { in_process: AtomicBool::new(in_process), runs: AtomicUsize::new(0) }
    }

    /// Says how many runs there are now. Called with the space locked.
    pub(super) fn set_runs(&self, runs: usize) {
        let old = self.runs.load(Ordering::Relaxed);
        if runs == old {
            return;
        }
        self.runs.store(runs, Ordering::Relaxed);
        let in_process = self.in_process();
        if in_process && runs > old {
            IN_PROCESS.fetch_add(runs - old, Ordering::Relaxed);
        } else if in_process {
            IN_PROCESS.fetch_sub(old - runs, Ordering::Relaxed);
        }
    }

    fn in_process(&self) -> bool {
        self.in_process.load(Ordering::Relaxed)
    }

    /// From now on the space has a process for itself. Called with the space locked.
    pub(super) fn move_out(&self) {
        self.set_runs(0);
        self.in_process.store(false, Ordering::Relaxed);
    }

    fn used(&self) -> usize {
        let runs = if self.in_process() { &IN_PROCESS } else { &self.runs };
        runs.load(Ordering::Relaxed)
    }

    /// Whether there is room for a fault besides.
    pub(super) fn is_ample(&self) -> bool {
        self.used() < most() - most() / FOR_FAULTS
    }

    /// Whether there is room at all.
    pub(super) fn is_left(&self) -> bool {
        self.used() < most()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.set_runs(0);
    }
}
