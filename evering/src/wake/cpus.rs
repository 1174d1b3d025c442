//! On which CPUs a side may run.
//!
//! The one idea: whether spinning can pay is a matter of the pair. A thread that is pinned to one CPU still finds news by
//! spinning if its peer is pinned to another one; and two that share their only CPU never do, as each keeps the other from running.

use std::mem;

/// A set of CPUs, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpus(u64);

impl Cpus {
    /// Nobody knows.
    pub const UNKNOWN: Self = Cpus(0);

    /// More than need telling apart: some have no bit.
    const MANY: Self = Cpus(u64::MAX);

    /// Those that the calling thread may run on.
    pub fn of_this_thread() -> Self {
        let mut set = [0u64; 128];
        // SAFETY: the kernel writes at most as many bytes as it is told that there are, all of which may be any.
        let written = unsafe {
            libc::syscall(libc::SYS_sched_getaffinity, 0, mem::size_of_val(&set), set.as_mut_ptr())
        };
        match set {
            // It knows of more CPUs than there is room for.
            _ if written <= 0 => Cpus::MANY,
            [first, rest @ ..] if rest.iter().all(|&word| word == 0) => Cpus(first),
            _ => Cpus::MANY,
        }
    }

    /// As a word that a peer may read.
    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    /// What a peer has written.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Cpus(bits)
    }

    /// Whether this side and the other one have one CPU for both.
    pub fn are_one(self, other: Cpus) -> bool {
        self != Cpus::UNKNOWN && self == other && self.0.is_power_of_two()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_cpu_if_both_have_the_same_only_one() {
        let (zero, one, both) = (Cpus(1), Cpus(2), Cpus(3));
        assert!(zero.are_one(zero) && one.are_one(one));
        assert!(!zero.are_one(one) && !both.are_one(both) && !zero.are_one(both));
        assert!(!Cpus::UNKNOWN.are_one(Cpus::UNKNOWN) && !zero.are_one(Cpus::UNKNOWN));
        assert!(!Cpus::MANY.are_one(Cpus::MANY));
    }

    #[test]
    fn a_thread_knows_where_it_may_run() {
        let cpus = Cpus::of_this_thread();
        let parallel = std::thread::available_parallelism().map_or(1, usize::from);
        assert!(cpus == Cpus::MANY || cpus.0.count_ones() as usize >= parallel, "{cpus:?}");
    }
}
