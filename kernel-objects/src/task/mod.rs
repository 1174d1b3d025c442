//! Tasks: jobs contain processes, processes contain threads.
//!
//! The references point upwards, a thread to its process and so on, and what runs keeps itself alive:
//! the future that a started thread is. Downwards a task knows its children by weak references only,
//! which is enough to list and to kill them. So a task that does not run and that nobody refers to
//! goes away by itself, and no cycle keeps a dead one.
//!
//! Locks are taken from a thread to its process to its job, or not at once; nothing is woken while one is
//! held. Whatever walks a tree does so with a list of its own, not by recursion.

mod by_handle;
mod enforce;
mod exception;
mod info;
mod interrupt;
mod job;
mod memory;
mod policy;
mod process;
mod properties;
mod registers;
mod run;
mod runtime;
mod shared;
mod suspend_token;
mod thread;
mod waker;

pub use exception::{
    ArchContext, Exception, ExceptionChannelType, ExceptionInfo, ExceptionReport, ExceptionState,
    ExceptionStrategy, ExceptionType, HandlerKind, PolicyCode, create_exception_channel,
};
pub use info::{HandleStats, MapEntry, MapKind, OBJ_TYPE_UPPER_BOUND, TaskStats, VmoUse};
pub use interrupt::{Interrupted, Kick, work};
pub use job::{Critical, Job, JobInfo, MAX_JOB_HEIGHT};
pub use policy::{
    BasicPolicy, JobPolicy, PolicyAction, PolicyCondition, PolicyMode, PolicyOverride, SlackMode,
    TimerSlack,
};
pub use process::{Process, ProcessInfo};
pub use properties::DEBUG_ADDR_BREAK_ON_SET;
pub use registers::{GeneralState, RegisterState, StateKind, USER_FLAGS, set_fs_base};
pub use run::Run;
pub use runtime::TaskRuntime;
pub use suspend_token::SuspendToken;
pub use thread::{Blocked, BlockedReason, Cookie, Thread, ThreadInfo, ThreadState, ThreadStats};

/// Why a task ended, when nobody gave it a code: `ZX_TASK_RETCODE_*`.
pub mod retcode {
    /// By `kill` of the task or one that it belongs to.
    pub const SYSCALL_KILL: i64 = -1024;
    /// By the system, which was out of memory.
    pub const OOM_KILL: i64 = -1025;
    /// By a policy of its job.
    pub const POLICY_KILL: i64 = -1026;
    /// By the vDSO.
    pub const VDSO_KILL: i64 = -1027;
    /// By an exception that nobody handled.
    pub const EXCEPTION_KILL: i64 = -1028;
    /// By the end of a process that was critical to its job.
    pub const CRITICAL_PROCESS_KILL: i64 = -1029;
}
