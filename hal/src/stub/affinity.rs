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

/// Where a thread of a stub may run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Allowed {
    /// On all CPUs that the kernel was given.
    All,
    /// On this one alone.
    Only(usize),
    /// On all but this one, if there is another.
    AllBut(usize),
}

/// Has a thread run where it is allowed to. It is no harm if that fails, but slow.
pub(super) fn allow(tid: libc::pid_t, allowed: Allowed) {
    let Some(all) = *ALLOWED else { return };
    let mut set = all;
    let changed = match allowed {
        Allowed::All => Ok(()),
        Allowed::Only(cpu) => {
            set = CpuSet::new();
            set.set(cpu)
        }
        Allowed::AllBut(cpu) => set.unset(cpu),
    };
    if changed.is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(tid), &set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn where_to() -> Vec<usize> {
        let set = sched_getaffinity(Pid::from_raw(0)).unwrap();
        (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap()).collect()
    }

    #[test]
    fn a_thread_runs_where_it_is_allowed_to() {
        let all = where_to();
        let first = all[0];
        allow(0, Allowed::Only(first));
        assert_eq!(where_to(), [first]);
        assert_eq!(current_cpu(), Some(first));
        allow(0, Allowed::AllBut(first));
        let others = &all[1..];
        assert_eq!(where_to(), if others.is_empty() { &all } else { others });
        allow(0, Allowed::Only(CpuSet::count()));
        allow(0, Allowed::All);
        assert_eq!(where_to(), all);
    }
}
