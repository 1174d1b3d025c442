//! What a thread or a process has said about itself, and what is told when somebody asks: prctl(2), personality(2), the scheduling calls.
//!
//! The one idea: a value with the rules of who inherits it. What acts on one reads it where it acts.

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use linux_raw_sys::general as raw;

use crate::vfs::Capabilities;

/// How a thread wants to be scheduled, sched(7). Kept and told; all threads are scheduled alike, and futexes alone wake
/// the most urgent first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scheduling {
    /// `SCHED_*`.
    pub policy: u32,
    /// 1 to 99 for a realtime policy, else 0.
    pub priority: u32,
    /// -20 to 19.
    pub nice: i32,
    /// `SCHED_RESET_ON_FORK`: children start with the ordinary policy.
    pub reset_on_fork: bool,
    /// A bit for each virtual CPU that it may run on.
    pub affinity: u64,
}

impl Scheduling {
    /// Whether the policy is one with priorities.
    pub fn is_realtime(&self) -> bool {
        matches!(self.policy, raw::SCHED_FIFO | raw::SCHED_RR)
    }

    /// What a child starts with.
    pub fn inherited(&self) -> Self {
        if !self.reset_on_fork {
            return *self;
        }
        let ordinary = Self { policy: raw::SCHED_NORMAL, priority: 0, ..*self };
        let nice = if self.is_realtime() { 0 } else { self.nice.max(0) };
        Self { nice, reset_on_fork: false, ..ordinary }
    }
}

/// What a thread has said about itself.
#[derive(Clone, Debug)]
pub struct ThreadAttributes {
    /// How it wants to be scheduled.
    pub scheduling: Scheduling,
    /// The signal to get when the parent dies, `PR_SET_PDEATHSIG`; 0 is none.
    pub parent_death_signal: u32,
    /// `PR_SET_NO_NEW_PRIVS`. No program gets more than its caller has, so there is nothing to refuse.
    pub no_new_privs: bool,
    /// Nanoseconds that a wake-up may be late, `PR_SET_TIMERSLACK`. Timers here are as exact as the host's.
    pub timer_slack: u64,
    /// What a `timer_slack` of 0 sets it to.
    pub default_timer_slack: u64,
    /// See personality(2).
    pub personality: u32,
    /// What it has said about its transfers to disks, if anything; shared with those that it makes with `CLONE_IO`.
    pub io: Option<Arc<IoContext>>,
    /// The capabilities that programs may get at all, `PR_CAPBSET_DROP`.
    pub bounding: Capabilities,
}

/// Nanoseconds of Linux's default slack.
const TIMER_SLACK: u64 = 50_000;

impl ThreadAttributes {
    /// Those of a first thread that may run on the CPUs of `affinity`.
    pub fn new(affinity: u64) -> Self {
        let scheduling = Scheduling {
            policy: raw::SCHED_NORMAL,
            priority: 0,
            nice: 0,
            reset_on_fork: false,
            affinity,
        };
        Self {
            scheduling,
            parent_death_signal: 0,
            no_new_privs: false,
            timer_slack: TIMER_SLACK,
            default_timer_slack: TIMER_SLACK,
            personality: 0,
            io: None,
            bounding: Capabilities::FULL,
        }
    }

    /// What a thread or process that it makes starts with, with `CLONE_IO` or not.
    pub fn inherited(&self, shares_io: bool) -> Self {
        let io = match (shares_io, self.io_priority()) {
            (true, _) => self.io.clone(),
            (false, 0) => None,
            (false, priority) => Some(Arc::new(IoContext::new(priority))),
        };
        Self {
            scheduling: self.scheduling.inherited(),
            parent_death_signal: 0,
            default_timer_slack: self.timer_slack,
            io,
            ..self.clone()
        }
    }

    /// How urgent its transfers to disks are, ioprio_get(2).
    pub fn io_priority(&self) -> u16 {
        self.io.as_ref().map_or(0, |io| io.priority.load(Ordering::Relaxed))
    }

    /// Sets that, for all that share it.
    pub fn set_io_priority(&mut self, priority: u16) {
        let io = self.io.get_or_insert_with(|| Arc::new(IoContext::new(priority)));
        io.priority.store(priority, Ordering::Relaxed);
    }
}

/// What threads have said about their transfers to disks, Linux's `io_context`. Kept and told.
#[derive(Debug)]
pub struct IoContext {
    priority: AtomicU16,
}

impl IoContext {
    fn new(priority: u16) -> Self {
        Self { priority: AtomicU16::new(priority) }
    }
}

/// What a process has said about itself.
#[derive(Clone, Debug)]
pub struct ProcessAttributes {
    /// Whether it may leave a core and be traced, `PR_SET_DUMPABLE`.
    pub dumpable: bool,
    /// Orphans below it become its children, `PR_SET_CHILD_SUBREAPER`.
    pub subreaper: bool,
    /// `PR_SET_THP_DISABLE`: no huge pages, of which there are none.
    pub huge_pages_disabled: bool,
    /// What /proc/PID/oom_score_adj says.
    pub oom: OomAdjustment,
    /// Who logged in.
    pub login: Login,
}

/// Who logged in, and in which session: what /proc/PID/loginuid and sessionid say.
#[derive(Clone, Copy, Debug)]
pub struct Login {
    /// The user.
    pub user: u32,
    /// The number of the session.
    pub session: u32,
}

impl Login {
    /// The number of either while nobody has.
    pub const NOBODY: u32 = u32::MAX;
}

/// How much more or less gladly a process would be killed when memory is short, proc(5): -1000 to 1000.
#[derive(Clone, Copy, Debug, Default)]
pub struct OomAdjustment {
    /// What it is.
    pub now: i16,
    /// The least that it can be set to without `CAP_SYS_RESOURCE`.
    pub least: i16,
}

impl Default for ProcessAttributes {
    fn default() -> Self {
        Self {
            dumpable: true,
            subreaper: false,
            huge_pages_disabled: false,
            oom: OomAdjustment::default(),
            login: Login { user: Login::NOBODY, session: Login::NOBODY },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_of_one_that_resets_is_ordinary() {
        let mut parent = ThreadAttributes::new(3);
        parent.scheduling = Scheduling {
            policy: raw::SCHED_FIFO,
            priority: 7,
            nice: -3,
            reset_on_fork: true,
            affinity: 2,
        };
        (parent.timer_slack, parent.parent_death_signal) = (9, 15);
        let child = parent.inherited(false);
        let ordinary = Scheduling {
            policy: raw::SCHED_NORMAL,
            priority: 0,
            nice: 0,
            reset_on_fork: false,
            affinity: 2,
        };
        assert_eq!(child.scheduling, ordinary);
        assert_eq!((child.default_timer_slack, child.parent_death_signal), (9, 0));
        parent.scheduling.reset_on_fork = false;
        assert_eq!(parent.inherited(false).scheduling, parent.scheduling);
    }
}
