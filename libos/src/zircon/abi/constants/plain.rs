//! The constants that are defined here, and those of kernel-objects that have another name in C.
//!
//! By what they are about; topics and properties by their numbers, others as they come. Those of one type in C stand together.

use kernel_objects::{
    clock::ClockOptions,
    dma::{IommuDescriptor, PinOptions},
    iob::IobAccess,
    pager::PagerVmoOptions,
    port::PageCommand,
    profile::{self, ProfileFlags},
    resource::{ResourceKind, SystemBase},
    socket::SocketKind,
    stream::{SeekOrigin, StreamMode, StreamWrite},
    task::{
        BlockedReason, ExceptionChannelType, ExceptionState, ExceptionStrategy, PolicyAction,
        PolicyCondition, PolicyOverride, SlackMode, StateKind, ThreadState,
    },
    vmo::{CachePolicy, ChildOptions, VmoFlags},
};

/// A constant that is defined here: its name, its C type, its value.
pub(super) type Plain = (&'static str, &'static str, i128);

macro_rules! constants {
    ($($ty:ty as $c:literal { $($name:ident = $value:expr;)* })*) => {
        $($(
            #[allow(missing_docs, reason = "Zircon's headers have it under this name")]
            pub const $name: $ty = $value;
        )*)*

        /// All of the above.
        pub(super) const PLAIN: &[Plain] = &[$($((stringify!($name), $c, $name as i128),)*)*];
    };
}

constants! {
    u32 as "zx_handle_t" {
        ZX_HANDLE_INVALID = 0;
        ZX_HANDLE_FIXED_BITS_MASK = 3;
    }

    i64 as "zx_time_t" {
        ZX_TIME_INFINITE = i64::MAX;
        ZX_TIME_INFINITE_PAST = i64::MIN;
    }

    u64 as "zx_koid_t" {
        ZX_KOID_INVALID = 0;
        ZX_KOID_FIRST = 1024;
    }

    usize as "size_t" {
        ZX_MAX_NAME_LEN = kernel_objects::object::MAX_NAME_LEN;
        ZX_WAIT_MANY_MAX_ITEMS = kernel_objects::handle::WAIT_MANY_MAX_ITEMS;
    }

    u32 as "zx_obj_type_t" {
        ZX_OBJ_TYPE_NONE = 0;
    }

    u32 as "zx_obj_props_t" {
        ZX_OBJ_PROP_WAITABLE = 1;
    }

    u32 as "uint32_t" {
        ZX_INFO_HANDLE_VALID = 1;
        ZX_INFO_HANDLE_BASIC = 2;
        ZX_INFO_PROCESS = 3 | 1 << 28;
        ZX_INFO_PROCESS_THREADS = 4;
        ZX_INFO_VMAR = 7;
        ZX_INFO_JOB_CHILDREN = 8;
        ZX_INFO_JOB_PROCESSES = 9;
        ZX_INFO_THREAD = 10;
        ZX_INFO_THREAD_EXCEPTION_REPORT = 11 | 1 << 28;
        ZX_INFO_TASK_STATS = 1 << 28 | 12;
        ZX_INFO_PROCESS_MAPS = 2 << 28 | 13;
        ZX_INFO_PROCESS_VMOS = 3 << 28 | 14;
        ZX_INFO_THREAD_STATS = 15;
        ZX_INFO_KMEM_STATS = 1 << 28 | 17;
        ZX_INFO_RESOURCE = 18;
        ZX_INFO_HANDLE_COUNT = 19;
        ZX_INFO_BTI = 20;
        ZX_INFO_PROCESS_HANDLE_STATS = 21;
        ZX_INFO_SOCKET = 22;
        ZX_INFO_VMO = 3 << 28 | 23;
        ZX_INFO_JOB = 24;
        ZX_INFO_TIMER = 25;
        ZX_INFO_STREAM = 26;
        ZX_INFO_HANDLE_TABLE = 27;
        ZX_INFO_MSI = 28;
        ZX_INFO_TASK_RUNTIME = 1 << 28 | 30;
        ZX_INFO_IOB = 34;
        ZX_INFO_IOB_REGIONS = 35;
        ZX_INFO_VMAR_MAPS = 36;
        ZX_INFO_MEMORY_STALL = 38;
        ZX_INFO_INTERRUPT = 39;
        ZX_INFO_CLOCK_MAPPED_SIZE = 40;
        ZX_INFO_MAPS_TYPE_ASPACE = 1;
        ZX_INFO_MAPS_TYPE_VMAR = 2;
        ZX_INFO_MAPS_TYPE_MAPPING = 3;
        ZX_INFO_VMO_TYPE_PAGED = VmoFlags::PAGED.bits();
        ZX_INFO_VMO_RESIZABLE = VmoFlags::RESIZABLE.bits();
        ZX_INFO_VMO_IS_COW_CLONE = VmoFlags::COW_CLONE.bits();
        ZX_INFO_VMO_VIA_HANDLE = VmoFlags::VIA_HANDLE.bits();
        ZX_INFO_VMO_VIA_MAPPING = VmoFlags::VIA_MAPPING.bits();
        ZX_INFO_VMO_PAGER_BACKED = VmoFlags::PAGER_BACKED.bits();
        ZX_INFO_VMO_CONTIGUOUS = VmoFlags::CONTIGUOUS.bits();
        ZX_INFO_VMO_DISCARDABLE = VmoFlags::DISCARDABLE.bits();
        ZX_INFO_VMO_IMMUTABLE = VmoFlags::IMMUTABLE.bits();
        ZX_INFO_PROCESS_FLAG_STARTED = 1;
        ZX_INFO_PROCESS_FLAG_EXITED = 2;
        ZX_INFO_PROCESS_FLAG_DEBUGGER_ATTACHED = 4;
        ZX_INFO_INVALID_CPU = u32::MAX;
    }

    u32 as "uint32_t" {
        ZX_PROP_REGISTER_GS = 2;
        ZX_PROP_NAME = 3;
        ZX_PROP_REGISTER_FS = 4;
        ZX_PROP_PROCESS_DEBUG_ADDR = 5;
        ZX_PROP_PROCESS_VDSO_BASE_ADDRESS = 6;
        ZX_PROP_PROCESS_BREAK_ON_LOAD = 7;
        ZX_PROP_SOCKET_RX_THRESHOLD = 12;
        ZX_PROP_SOCKET_TX_THRESHOLD = 13;
        ZX_PROP_JOB_KILL_ON_OOM = 15;
        ZX_PROP_EXCEPTION_STATE = 16;
        ZX_PROP_VMO_CONTENT_SIZE = 17;
        ZX_PROP_EXCEPTION_STRATEGY = 18;
        ZX_PROP_STREAM_MODE_APPEND = 19;
    }

    u32 as "zx_handle_op_t" {
        ZX_HANDLE_OP_MOVE = 0;
        ZX_HANDLE_OP_DUPLICATE = 1;
    }

    u32 as "uint32_t" {
        ZX_WAIT_ASYNC_ONCE = 0;
        ZX_WAIT_ASYNC_TIMESTAMP = 1;
        ZX_WAIT_ASYNC_EDGE = 2;
        ZX_WAIT_ASYNC_BOOT_TIMESTAMP = 4;
        ZX_PORT_BIND_TO_INTERRUPT = 1;
        ZX_PKT_TYPE_USER = 0;
        ZX_PKT_TYPE_SIGNAL_ONE = 1;
        ZX_PKT_TYPE_INTERRUPT = 7;
        ZX_PKT_TYPE_PAGE_REQUEST = 9;
    }

    u32 as "uint32_t" {
        ZX_CHANNEL_READ_MAY_DISCARD = 1;
        ZX_CHANNEL_WRITE_USE_IOVEC = 2;
        ZX_CHANNEL_MAX_MSG_BYTES = kernel_objects::channel::MAX_BYTES as u32;
        ZX_CHANNEL_MAX_MSG_HANDLES = kernel_objects::channel::MAX_HANDLES as u32;
        ZX_CHANNEL_MAX_MSG_IOVECS = 8192;
    }

    u32 as "uint32_t" {
        ZX_SOCKET_STREAM = SocketKind::Stream as u32;
        ZX_SOCKET_DATAGRAM = SocketKind::Datagram as u32;
        ZX_SOCKET_PEEK = kernel_objects::socket::ReadOptions::PEEK.bits();
        ZX_SOCKET_DISPOSITION_WRITE_DISABLED = 1;
        ZX_SOCKET_DISPOSITION_WRITE_ENABLED = 2;
    }

    u32 as "uint32_t" {
        ZX_STREAM_MODE_READ = StreamMode::READ.bits();
        ZX_STREAM_MODE_WRITE = StreamMode::WRITE.bits();
        ZX_STREAM_MODE_APPEND = StreamMode::APPEND.bits();
        ZX_STREAM_APPEND = StreamWrite::APPEND.bits();
    }

    u32 as "zx_stream_seek_origin_t" {
        ZX_STREAM_SEEK_ORIGIN_START = SeekOrigin::Start as u32;
        ZX_STREAM_SEEK_ORIGIN_CURRENT = SeekOrigin::Current as u32;
        ZX_STREAM_SEEK_ORIGIN_END = SeekOrigin::End as u32;
    }

    u32 as "zx_clock_t" {
        ZX_CLOCK_MONOTONIC = 0;
        ZX_CLOCK_BOOT = 1;
    }

    u64 as "uint64_t" {
        ZX_CLOCK_ARGS_VERSION_SHIFT = 58;
        ZX_CLOCK_OPT_MONOTONIC = ClockOptions::MONOTONIC.bits();
        ZX_CLOCK_OPT_CONTINUOUS = ClockOptions::CONTINUOUS.bits();
        ZX_CLOCK_OPT_AUTO_START = ClockOptions::AUTO_START.bits();
        ZX_CLOCK_OPT_BOOT = ClockOptions::BOOT.bits();
        ZX_CLOCK_OPT_MAPPABLE = ClockOptions::MAPPABLE.bits();
        ZX_CLOCK_UNKNOWN_ERROR = kernel_objects::clock::UNKNOWN_ERROR_BOUND;
        ZX_CLOCK_UPDATE_OPTION_SYNTHETIC_VALUE_VALID = 1 << 0;
        ZX_CLOCK_UPDATE_OPTION_RATE_ADJUST_VALID = 1 << 1;
        ZX_CLOCK_UPDATE_OPTION_ERROR_BOUND_VALID = 1 << 2;
        ZX_CLOCK_UPDATE_OPTION_REFERENCE_VALUE_VALID = 1 << 3;
    }

    u32 as "uint32_t" {
        ZX_TIMER_SLACK_CENTER = SlackMode::Center as u32;
        ZX_TIMER_SLACK_EARLY = SlackMode::Early as u32;
        ZX_TIMER_SLACK_LATE = SlackMode::Late as u32;
    }

    u32 as "uint32_t" {
        ZX_JOB_POL_RELATIVE = 0;
        ZX_JOB_POL_ABSOLUTE = 1;
        ZX_JOB_POL_BASIC_V1 = 0;
        ZX_JOB_POL_TIMER_SLACK = 1;
        ZX_JOB_POL_BASIC_V2 = 0x0100_0000;
        ZX_JOB_CRITICAL_PROCESS_RETCODE_NONZERO = 1;
        ZX_POL_BAD_HANDLE = PolicyCondition::BadHandle as u32;
        ZX_POL_WRONG_OBJECT = PolicyCondition::WrongObject as u32;
        ZX_POL_VMAR_WX = PolicyCondition::VmarWx as u32;
        ZX_POL_NEW_ANY = PolicyCondition::NewAny as u32;
        ZX_POL_NEW_VMO = PolicyCondition::NewVmo as u32;
        ZX_POL_NEW_CHANNEL = PolicyCondition::NewChannel as u32;
        ZX_POL_NEW_EVENT = PolicyCondition::NewEvent as u32;
        ZX_POL_NEW_EVENTPAIR = PolicyCondition::NewEventPair as u32;
        ZX_POL_NEW_PORT = PolicyCondition::NewPort as u32;
        ZX_POL_NEW_SOCKET = PolicyCondition::NewSocket as u32;
        ZX_POL_NEW_FIFO = PolicyCondition::NewFifo as u32;
        ZX_POL_NEW_TIMER = PolicyCondition::NewTimer as u32;
        ZX_POL_NEW_PROCESS = PolicyCondition::NewProcess as u32;
        ZX_POL_NEW_PROFILE = PolicyCondition::NewProfile as u32;
        ZX_POL_NEW_PAGER = PolicyCondition::NewPager as u32;
        ZX_POL_AMBIENT_MARK_VMO_EXEC = PolicyCondition::AmbientMarkVmoExec as u32;
        ZX_POL_MAX = 16;
        ZX_POL_ACTION_ALLOW = PolicyAction::Allow as u32;
        ZX_POL_ACTION_DENY = PolicyAction::Deny as u32;
        ZX_POL_ACTION_ALLOW_EXCEPTION = PolicyAction::AllowException as u32;
        ZX_POL_ACTION_DENY_EXCEPTION = PolicyAction::DenyException as u32;
        ZX_POL_ACTION_KILL = PolicyAction::Kill as u32;
        ZX_POL_OVERRIDE_ALLOW = PolicyOverride::Allow as u32;
        ZX_POL_OVERRIDE_DENY = PolicyOverride::Deny as u32;
    }

    u32 as "uint32_t" {
        ZX_PROCESS_SHARED = 1;
    }

    u64 as "uint64_t" {
        ZX_RESTRICTED_REASON_SYSCALL = 0;
        ZX_RESTRICTED_REASON_EXCEPTION = 1;
        ZX_RESTRICTED_REASON_KICK = 2;
    }

    i64 as "int64_t" {
        ZX_TASK_RETCODE_SYSCALL_KILL = kernel_objects::task::retcode::SYSCALL_KILL;
        ZX_TASK_RETCODE_OOM_KILL = kernel_objects::task::retcode::OOM_KILL;
        ZX_TASK_RETCODE_POLICY_KILL = kernel_objects::task::retcode::POLICY_KILL;
        ZX_TASK_RETCODE_VDSO_KILL = kernel_objects::task::retcode::VDSO_KILL;
        ZX_TASK_RETCODE_EXCEPTION_KILL = kernel_objects::task::retcode::EXCEPTION_KILL;
        ZX_TASK_RETCODE_CRITICAL_PROCESS_KILL = kernel_objects::task::retcode::CRITICAL_PROCESS_KILL;
    }

    u32 as "zx_thread_state_t" {
        ZX_THREAD_STATE_NEW = ThreadState::New.raw();
        ZX_THREAD_STATE_RUNNING = ThreadState::Running.raw();
        ZX_THREAD_STATE_SUSPENDED = ThreadState::Suspended.raw();
        ZX_THREAD_STATE_DEAD = ThreadState::Dead.raw();
        ZX_THREAD_STATE_BLOCKED_WAIT_ONE = BlockedReason::WaitOne as u32;
        ZX_THREAD_STATE_BLOCKED_PAGER = BlockedReason::Pager as u32;
        ZX_THREAD_STATE_BLOCKED_EXCEPTION = BlockedReason::Exception as u32;
        ZX_THREAD_STATE_BLOCKED_SLEEPING = BlockedReason::Sleeping as u32;
        ZX_THREAD_STATE_BLOCKED_FUTEX = BlockedReason::Futex as u32;
        ZX_THREAD_STATE_BLOCKED_PORT = BlockedReason::Port as u32;
        ZX_THREAD_STATE_BLOCKED_CHANNEL = BlockedReason::Channel as u32;
        ZX_THREAD_STATE_BLOCKED_WAIT_MANY = BlockedReason::WaitMany as u32;
        ZX_THREAD_STATE_BLOCKED_INTERRUPT = BlockedReason::Interrupt as u32;
    }

    u32 as "uint32_t" {
        ZX_THREAD_STATE_GENERAL_REGS = StateKind::GeneralRegs as u32;
        ZX_THREAD_STATE_FP_REGS = StateKind::FpRegs as u32;
        ZX_THREAD_STATE_VECTOR_REGS = StateKind::VectorRegs as u32;
        ZX_THREAD_STATE_DEBUG_REGS = StateKind::DebugRegs as u32;
        ZX_THREAD_STATE_SINGLE_STEP = StateKind::SingleStep as u32;
        ZX_THREAD_X86_REGISTER_FS = StateKind::RegisterFs as u32;
        ZX_THREAD_X86_REGISTER_GS = StateKind::RegisterGs as u32;
    }

    u32 as "uint32_t" {
        ZX_EXCEPTION_STATE_TRY_NEXT = ExceptionState::TryNext as u32;
        ZX_EXCEPTION_STATE_HANDLED = ExceptionState::Handled as u32;
        ZX_EXCEPTION_STATE_THREAD_EXIT = ExceptionState::ThreadExit as u32;
        ZX_EXCEPTION_STRATEGY_FIRST_CHANCE = ExceptionStrategy::FirstChance as u32;
        ZX_EXCEPTION_STRATEGY_SECOND_CHANCE = ExceptionStrategy::SecondChance as u32;
        ZX_EXCEPTION_CHANNEL_TYPE_THREAD = ExceptionChannelType::Thread as u32;
        ZX_EXCEPTION_CHANNEL_DEBUGGER = 1;
        ZX_EXCEPTION_TARGET_JOB_DEBUGGER = 1;
    }

    u32 as "uint32_t" {
        ZX_PROFILE_INFO_FLAG_PRIORITY = ProfileFlags::PRIORITY.bits();
        ZX_PROFILE_INFO_FLAG_CPU_MASK = ProfileFlags::CPU_MASK.bits();
        ZX_PROFILE_INFO_FLAG_DEADLINE = ProfileFlags::DEADLINE.bits();
        ZX_PROFILE_INFO_FLAG_NO_INHERIT = ProfileFlags::NO_INHERIT.bits();
        ZX_PROFILE_INFO_FLAG_MEMORY_PRIORITY = ProfileFlags::MEMORY_PRIORITY.bits();
    }

    i32 as "int32_t" {
        ZX_PRIORITY_LOWEST = profile::PRIORITY_LOWEST;
        ZX_PRIORITY_LOW = profile::PRIORITY_LOW;
        ZX_PRIORITY_DEFAULT = profile::PRIORITY_DEFAULT;
        ZX_PRIORITY_HIGH = profile::PRIORITY_HIGH;
        ZX_PRIORITY_HIGHEST = profile::PRIORITY_HIGHEST;
    }

    u64 as "uint64_t" {
        ZX_VMO_DIRTY_RANGE_IS_ZERO = 1;
    }

    u32 as "uint32_t" {
        ZX_VMO_RESIZABLE = 1 << 1;
        ZX_VMO_TRAP_DIRTY = PagerVmoOptions::TRAP_DIRTY.bits();
        ZX_VMO_UNBOUNDED = 1 << 4;
        ZX_VMO_DISCARDABLE = 1 << 2;
        ZX_VMO_OP_COMMIT = 1;
        ZX_VMO_OP_DECOMMIT = 2;
        ZX_VMO_OP_LOCK = 3;
        ZX_VMO_OP_UNLOCK = 4;
        ZX_VMO_OP_CACHE_SYNC = 6;
        ZX_VMO_OP_CACHE_INVALIDATE = 7;
        ZX_VMO_OP_CACHE_CLEAN = 8;
        ZX_VMO_OP_CACHE_CLEAN_INVALIDATE = 9;
        ZX_VMO_OP_TRY_LOCK = 11;
        ZX_VMO_OP_DONT_NEED = 12;
        ZX_VMO_OP_ALWAYS_NEED = 13;
        ZX_VMO_OP_PREFETCH = 14;
        ZX_VMO_OP_ZERO = 10;
        ZX_VMO_CHILD_SNAPSHOT = ChildOptions::SNAPSHOT.bits();
        ZX_VMO_CHILD_RESIZABLE = ChildOptions::RESIZABLE.bits();
        ZX_VMO_CHILD_SLICE = ChildOptions::SLICE.bits();
        ZX_VMO_CHILD_SNAPSHOT_AT_LEAST_ON_WRITE = ChildOptions::SNAPSHOT_AT_LEAST_ON_WRITE.bits();
        ZX_VMO_CHILD_REFERENCE = ChildOptions::REFERENCE.bits();
        ZX_VMO_CHILD_SNAPSHOT_MODIFIED = ChildOptions::SNAPSHOT_MODIFIED.bits();
        ZX_VMO_CHILD_NO_WRITE = ChildOptions::NO_WRITE.bits();
    }

    u32 as "uint32_t" {
        ZX_VMAR_OP_COMMIT = 1;
        ZX_VMAR_OP_DECOMMIT = 2;
        ZX_VMAR_OP_MAP_RANGE = 3;
        ZX_VMAR_OP_ZERO = 10;
        ZX_VMAR_OP_DONT_NEED = 12;
        ZX_VMAR_OP_ALWAYS_NEED = 13;
        ZX_VMAR_OP_PREFETCH = 14;
        ZX_VM_ALIGN_BASE = 24;
    }

    u32 as "zx_vm_option_t" {
        ZX_VM_PERM_READ = 1 << 0;
        ZX_VM_PERM_WRITE = 1 << 1;
        ZX_VM_PERM_EXECUTE = 1 << 2;
        ZX_VM_COMPACT = 1 << 3;
        ZX_VM_SPECIFIC = 1 << 4;
        ZX_VM_SPECIFIC_OVERWRITE = 1 << 5;
        ZX_VM_CAN_MAP_SPECIFIC = 1 << 6;
        ZX_VM_CAN_MAP_READ = 1 << 7;
        ZX_VM_CAN_MAP_WRITE = 1 << 8;
        ZX_VM_CAN_MAP_EXECUTE = 1 << 9;
        ZX_VM_MAP_RANGE = 1 << 10;
        ZX_VM_REQUIRE_NON_RESIZABLE = 1 << 11;
        ZX_VM_ALLOW_FAULTS = 1 << 12;
        ZX_VM_OFFSET_IS_UPPER_LIMIT = 1 << 13;
        ZX_VM_PERM_READ_IF_XOM_UNSUPPORTED = 1 << 14;
        ZX_VM_ALIGN_1KB = 10 << 24;
        ZX_VM_ALIGN_2KB = 11 << 24;
        ZX_VM_ALIGN_4KB = 12 << 24;
        ZX_VM_ALIGN_8KB = 13 << 24;
        ZX_VM_ALIGN_16KB = 14 << 24;
        ZX_VM_ALIGN_32KB = 15 << 24;
        ZX_VM_ALIGN_64KB = 16 << 24;
        ZX_VM_ALIGN_128KB = 17 << 24;
        ZX_VM_ALIGN_256KB = 18 << 24;
        ZX_VM_ALIGN_512KB = 19 << 24;
        ZX_VM_ALIGN_1MB = 20 << 24;
        ZX_VM_ALIGN_2MB = 21 << 24;
        ZX_VM_ALIGN_4MB = 22 << 24;
        ZX_VM_ALIGN_8MB = 23 << 24;
        ZX_VM_ALIGN_16MB = 24 << 24;
        ZX_VM_ALIGN_32MB = 25 << 24;
        ZX_VM_ALIGN_64MB = 26 << 24;
        ZX_VM_ALIGN_128MB = 27 << 24;
        ZX_VM_ALIGN_256MB = 28 << 24;
        ZX_VM_ALIGN_512MB = 29 << 24;
        ZX_VM_ALIGN_1GB = 30 << 24;
        ZX_VM_ALIGN_2GB = 31 << 24;
        ZX_VM_ALIGN_4GB = 32 << 24;
    }

    u32 as "uint16_t" {
        ZX_PAGER_VMO_READ = PageCommand::Read as u32;
        ZX_PAGER_VMO_COMPLETE = PageCommand::Complete as u32;
        ZX_PAGER_VMO_DIRTY = PageCommand::Dirty as u32;
    }

    u32 as "uint32_t" {
        ZX_PAGER_OP_FAIL = 1;
        ZX_PAGER_OP_DIRTY = 2;
        ZX_PAGER_OP_WRITEBACK_BEGIN = 3;
        ZX_PAGER_OP_WRITEBACK_END = 4;
        ZX_PAGER_RESET_VMO_STATS = 1;
        ZX_PAGER_VMO_STATS_MODIFIED = 1;
    }

    usize as "size_t" {
        ZX_IOB_MAX_REGIONS = kernel_objects::iob::MAX_REGIONS;
    }

    u32 as "uint32_t" {
        ZX_IOB_REGION_TYPE_PRIVATE = 0;
        ZX_IOB_REGION_TYPE_SHARED = 1;
        ZX_IOB_EP0_CAN_MAP_READ = IobAccess::EP0_MAP_READ.bits();
        ZX_IOB_EP0_CAN_MAP_WRITE = IobAccess::EP0_MAP_WRITE.bits();
        ZX_IOB_EP0_CAN_MEDIATED_READ = IobAccess::EP0_MEDIATED_READ.bits();
        ZX_IOB_EP0_CAN_MEDIATED_WRITE = IobAccess::EP0_MEDIATED_WRITE.bits();
        ZX_IOB_EP1_CAN_MAP_READ = IobAccess::EP1_MAP_READ.bits();
        ZX_IOB_EP1_CAN_MAP_WRITE = IobAccess::EP1_MAP_WRITE.bits();
        ZX_IOB_EP1_CAN_MEDIATED_READ = IobAccess::EP1_MEDIATED_READ.bits();
        ZX_IOB_EP1_CAN_MEDIATED_WRITE = IobAccess::EP1_MEDIATED_WRITE.bits();
    }

    u64 as "uint64_t" {
        ZX_IOB_DISCIPLINE_TYPE_NONE = 0;
        ZX_IOB_DISCIPLINE_TYPE_ID_ALLOCATOR = 1;
        ZX_IOB_DISCIPLINE_TYPE_MEDIATED_WRITE_RING_BUFFER = 2;
    }

    u32 as "uint32_t" {
        ZX_INTERRUPT_REMAP_IRQ = 1;
        ZX_INTERRUPT_MODE_DEFAULT = 0;
        ZX_INTERRUPT_MODE_EDGE_LOW = 1 << 1;
        ZX_INTERRUPT_MODE_EDGE_HIGH = 2 << 1;
        ZX_INTERRUPT_MODE_LEVEL_LOW = 3 << 1;
        ZX_INTERRUPT_MODE_LEVEL_HIGH = 4 << 1;
        ZX_INTERRUPT_MODE_EDGE_BOTH = 5 << 1;
        ZX_INTERRUPT_VIRTUAL = 0x10;
        ZX_INTERRUPT_BIND = 0;
        ZX_INTERRUPT_UNBIND = 1;
    }

    u32 as "uint32_t" {
        ZX_IOMMU_TYPE_DUMMY = IommuDescriptor::DUMMY;
        ZX_BTI_PERM_READ = PinOptions::READ.bits();
        ZX_BTI_PERM_WRITE = PinOptions::WRITE.bits();
        ZX_BTI_PERM_EXECUTE = PinOptions::EXECUTE.bits();
        ZX_BTI_COMPRESS = PinOptions::COMPRESS.bits();
        ZX_BTI_CONTIGUOUS = PinOptions::CONTIGUOUS.bits();
    }

    usize as "size_t" {
        ZX_IOMMU_MAX_DESC_LEN = 4096;
    }

    u32 as "uint32_t" {
        ZX_RSRC_KIND_MMIO = ResourceKind::Mmio as u32;
        ZX_RSRC_KIND_IRQ = ResourceKind::Irq as u32;
        ZX_RSRC_KIND_IOPORT = ResourceKind::IoPort as u32;
        ZX_RSRC_KIND_ROOT = ResourceKind::Root as u32;
        ZX_RSRC_KIND_SMC = ResourceKind::Smc as u32;
        ZX_RSRC_KIND_SYSTEM = ResourceKind::System as u32;
        ZX_RSRC_SYSTEM_VMEX_BASE = SystemBase::Vmex as u32;
        ZX_RSRC_SYSTEM_INFO_BASE = SystemBase::Info as u32;
        ZX_RSRC_SYSTEM_STALL_BASE = SystemBase::Stall as u32;
        ZX_RSRC_SYSTEM_CPU_BASE = SystemBase::Cpu as u32;
        ZX_RSRC_SYSTEM_POWER_BASE = SystemBase::Power as u32;
        ZX_RSRC_SYSTEM_DEBUG_BASE = SystemBase::Debug as u32;
        ZX_RSRC_SYSTEM_IOMMU_BASE = SystemBase::Iommu as u32;
        ZX_RSRC_SYSTEM_PROFILE_BASE = SystemBase::Profile as u32;
        ZX_RSRC_SYSTEM_MSI_BASE = SystemBase::Msi as u32;
        ZX_RSRC_FLAG_EXCLUSIVE = 0x10000;
    }

    u32 as "uint32_t" {
        ZX_LOG_FLAG_READABLE = kernel_objects::debuglog::LOG_READABLE;
    }

    usize as "size_t" {
        ZX_LOG_RECORD_MAX = kernel_objects::debuglog::RECORD_MAX;
        ZX_LOG_RECORD_DATA_MAX = kernel_objects::debuglog::RECORD_DATA_MAX;
    }

    u32 as "uint32_t" {
        ZX_SYSTEM_EVENT_OUT_OF_MEMORY = 1;
        ZX_SYSTEM_EVENT_MEMORY_PRESSURE_CRITICAL = 2;
        ZX_SYSTEM_EVENT_MEMORY_PRESSURE_WARNING = 3;
        ZX_SYSTEM_EVENT_MEMORY_PRESSURE_NORMAL = 4;
        ZX_SYSTEM_EVENT_IMMINENT_OUT_OF_MEMORY = 5;
        ZX_SYSTEM_MEMORY_STALL_SOME = 0;
        ZX_SYSTEM_MEMORY_STALL_FULL = 1;
        ZX_SYSTEM_POWERCTL_ENABLE_ALL_CPUS = 1;
        ZX_SYSTEM_POWERCTL_DISABLE_ALL_CPUS_BUT_PRIMARY = 2;
        ZX_SYSTEM_POWERCTL_ACPI_TRANSITION_S_STATE = 3;
        ZX_SYSTEM_POWERCTL_X86_SET_PKG_PL1 = 4;
        ZX_SYSTEM_POWERCTL_REBOOT = 5;
        ZX_SYSTEM_POWERCTL_REBOOT_BOOTLOADER = 6;
        ZX_SYSTEM_POWERCTL_REBOOT_RECOVERY = 7;
        ZX_SYSTEM_POWERCTL_SHUTDOWN = 8;
        ZX_SYSTEM_POWERCTL_ACK_KERNEL_INITIATED_REBOOT = 9;
        ZX_CPU_PERF_SCALE = 1;
        ZX_CPU_DEFAULT_PERF_SCALE = 2;
    }

    usize as "size_t" {
        ZX_CPRNG_ADD_ENTROPY_MAX_LEN = 256;
        ZX_CPRNG_DRAW_MAX_LEN = 256;
    }

    u32 as "uint32_t" {
        ZX_CACHE_POLICY_CACHED = CachePolicy::Cached as u32;
        ZX_CACHE_POLICY_UNCACHED = CachePolicy::Uncached as u32;
        ZX_CACHE_POLICY_UNCACHED_DEVICE = CachePolicy::UncachedDevice as u32;
        ZX_CACHE_POLICY_WRITE_COMBINING = CachePolicy::WriteCombining as u32;
        ZX_CACHE_FLUSH_INSN = 1;
        ZX_CACHE_FLUSH_DATA = 2;
        ZX_CACHE_FLUSH_INVALIDATE = 4;
        ZX_FEATURE_KIND_CPU = 0;
        ZX_HAS_CPU_FEATURES = 1;
    }

    u32 as "uint32_t" {
        ZX_PROCARGS_PROTOCOL = 0x4150_585d;
        ZX_PROCARGS_VERSION = 0x1000;
        PA_PROC_SELF = 0x01;
        PA_THREAD_SELF = 0x02;
        PA_JOB_DEFAULT = 0x03;
        PA_VMAR_ROOT = 0x04;
        PA_VMAR_LOADED = 0x05;
        PA_LDSVC_LOADER = 0x10;
        PA_VMO_VDSO = 0x11;
        PA_VMO_STACK = 0x13;
        PA_VMO_EXECUTABLE = 0x14;
        PA_NS_DIR = 0x20;
        PA_FD = 0x30;
        PA_DIRECTORY_REQUEST = 0x3b;
        PA_RESOURCE = 0x3f;
        PA_USER0 = 0xf0;
        PA_USER1 = 0xf1;
        PA_USER2 = 0xf2;
        FDIO_FLAG_USE_FOR_STDIO = 0x8000;
    }
}
