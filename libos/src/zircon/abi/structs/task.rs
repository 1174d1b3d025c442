//! Jobs, processes, threads and how they are scheduled.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::structs;
use crate::zircon::abi::{CType, plain, scalar::*};

structs! {
    /// `ZX_INFO_PROCESS`.
    InfoProcess = "zx_info_process", 24 {
        /// Why it ended, once it has.
        return_code: i64,
        /// When it was started.
        start_time: ZxTime,
        /// `ZX_INFO_PROCESS_FLAG_*`.
        flags: u32,
        /// 0.
        padding1: u32,
    }
    /// `ZX_INFO_JOB`.
    InfoJob = "zx_info_job", 16 {
        /// Why it ended, once it has.
        return_code: i64,
        /// Whether it has.
        exited: CBool,
        /// Whether it is to be killed when there is no memory left.
        kill_on_oom: CBool,
        /// Whether somebody debugs it.
        debugger_attached: CBool,
        /// 0.
        padding1: [u8; 5],
    }
    /// A set of CPUs.
    CpuMask = "zx_cpu_set", 64 {
        /// One bit for each.
        mask: [u64; 8],
    }
    /// `ZX_INFO_THREAD`.
    InfoThread = "zx_info_thread", 72 {
        /// What it is doing.
        state: ZxThreadState,
        /// By which channel the exception that it waits in went to a handler: `ZX_EXCEPTION_CHANNEL_TYPE_*`.
        wait_exception_channel_type: u32,
        /// Where it may run.
        cpu_affinity_mask: CpuMask,
    }
    /// `ZX_INFO_THREAD_STATS`.
    InfoThreadStats = "zx_info_thread_stats", 16 {
        /// For how long it has run.
        total_runtime: ZxDuration,
        /// Where it last did, `ZX_INFO_INVALID_CPU` if it never has.
        last_scheduled_cpu: u32,
        /// 0.
        padding1: u32,
    }
    /// `ZX_INFO_TASK_STATS`.
    InfoTaskStats = "zx_info_task_stats", 40 {
        /// Mapped, in memory or not.
        mem_mapped_bytes: usize,
        /// In memory and nobody else's.
        mem_private_bytes: usize,
        /// In memory and shared.
        mem_shared_bytes: usize,
        /// Of that, this process's part.
        mem_scaled_shared_bytes: usize,
        /// What that is too small by, in units of 2^-63.
        mem_fractional_scaled_shared_bytes: u64,
    }
    /// `ZX_INFO_TASK_RUNTIME`.
    InfoTaskRuntime = "zx_info_task_runtime", 32 {
        /// For how long it ran.
        cpu_time: ZxDuration,
        /// For how long it could have run while others did.
        queue_time: ZxDuration,
        /// How long the page faults took that the kernel saw: most the host resolves.
        page_fault_time: ZxDuration,
        /// 0: nobody measures it.
        lock_contention_time: ZxDuration,
    }
    /// A line of `ZX_JOB_POL_BASIC_V1`.
    PolicyBasicV1 = "zx_policy_basic_v1", 8 {
        /// What a process does: `ZX_POL_*`.
        condition: u32,
        /// What happens then: `ZX_POL_ACTION_*`.
        policy: u32,
    }
    /// A line of `ZX_JOB_POL_BASIC_V2`.
    PolicyBasicV2 = "zx_policy_basic_v2", 12 {
        /// What a process does: `ZX_POL_*`.
        condition: u32,
        /// What happens then: `ZX_POL_ACTION_*`.
        action: u32,
        /// Whether jobs below can change it: `ZX_POL_OVERRIDE_*`.
        flags: u32,
    }
    /// `ZX_JOB_POL_TIMER_SLACK`.
    PolicyTimerSlack = "zx_policy_timer_slack", 16 {
        /// By how much deadlines may be moved at least.
        min_slack: ZxDuration,
        /// In which direction: `ZX_TIMER_SLACK_*`.
        default_mode: u32,
        /// 0.
        padding1: u32,
    }
    /// When a thread's work is to be done, in nanoseconds.
    SchedDeadlineParams = "zx_sched_deadline_params", 24 {
        /// How long it takes at most.
        capacity: ZxDuration,
        /// By when it is to be done, from the beginning of its period.
        relative_deadline: ZxDuration,
        /// How often it comes.
        period: ZxDuration,
    }
    /// What a profile is to say.
    ProfileInfo = "zx_profile_info", 96 {
        /// What of the rest counts: `ZX_PROFILE_INFO_FLAG_*`.
        flags: u32,
        /// 0.
        padding1: [u8; 4],
        /// By the flags.
        competition: PriorityOrDeadline,
        /// The processors that a thread may run on.
        cpu_affinity_mask: CpuMask,
    }
}

/// How a thread competes with others: a priority in the low half of the first word, or a `zx_sched_deadline_params_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct PriorityOrDeadline(pub [i64; 3]);

impl CType for PriorityOrDeadline {
    fn declare(_: &str) -> String {
        "union { struct { int32_t priority; uint8_t padding2[20]; }; \
         zx_sched_deadline_params_t deadline_params; }"
            .to_owned()
    }
}
