//! Which of the host's CPUs a stub's threads run on.

use std::sync::LazyLock;

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity},
    unistd::Pid,
};

/// The CPUs that the kernel was given.
static ALLOWED: LazyLock<Option<CpuSet>> =
    LazyLock::new(|| sched_getaffinity(Pid::from_raw(0)).ok());

/// The CPU that the caller runs on.
pub(crate) fn current_cpu() -> Option<usize> {
    sched_getcpu().ok()
}

/// Keeps a thread off a CPU, if there is another.
pub(super) fn keep_off(tid: libc::pid_t, cpu: usize) {
    let Some(mut set) = *ALLOWED else { return };
    if set.unset(cpu).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(tid), &set);
    }
}

/// Binds a thread to one CPU, or lets it run on all that the kernel was given. It is no harm if that fails, but slow.
pub(super) fn bind(tid: libc::pid_t, cpu: Option<usize>) {
    let one = cpu.and_then(|cpu| {
        let mut set = CpuSet::new();
        set.set(cpu).ok().map(|()| set)
    });
    if let Some(set) = one.or(*ALLOWED) {
        let _ = sched_setaffinity(Pid::from_raw(tid), &set);
    }
}
