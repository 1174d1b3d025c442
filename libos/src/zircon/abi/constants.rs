//! The constants of Zircon's headers.
//!
//! The one idea: a value is written once. What kernel-objects has (errors, rights, signals, types of objects, limits) is only named here;
//! the rest is defined here, and handlers use it from here. [`list`] is what the header is made from.

use kernel_objects::{
    Error, ObjectType, Rights, Signals,
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
        BlockedReason, ExceptionChannelType, ExceptionState, ExceptionStrategy, ExceptionType,
        PolicyAction, PolicyCondition, PolicyOverride, SlackMode, StateKind, ThreadState,
    },
    vmo::{CachePolicy, ChildOptions, VmoFlags},
};

/// What zx_exception_get_string knows: `ZX_EXCP_*`.
pub const EXCEPTIONS: &[(&str, ExceptionType)] = &[
    ("ZX_EXCP_GENERAL", ExceptionType::General),
    ("ZX_EXCP_FATAL_PAGE_FAULT", ExceptionType::FatalPageFault),
    ("ZX_EXCP_UNDEFINED_INSTRUCTION", ExceptionType::UndefinedInstruction),
    ("ZX_EXCP_SW_BREAKPOINT", ExceptionType::SoftwareBreakpoint),
    ("ZX_EXCP_HW_BREAKPOINT", ExceptionType::HardwareBreakpoint),
    ("ZX_EXCP_UNALIGNED_ACCESS", ExceptionType::UnalignedAccess),
    ("ZX_EXCP_THREAD_STARTING", ExceptionType::ThreadStarting),
    ("ZX_EXCP_THREAD_EXITING", ExceptionType::ThreadExiting),
    ("ZX_EXCP_POLICY_ERROR", ExceptionType::PolicyError),
    ("ZX_EXCP_PROCESS_STARTING", ExceptionType::ProcessStarting),
    ("ZX_EXCP_USER", ExceptionType::User),
];

/// A constant: its name, its C type, its value.
pub struct Constant {
    /// Its name.
    pub name: String,
    /// The type that its value is cast to.
    pub ty: &'static str,
    /// Its value.
    pub value: i128,
}

/// The signals by their names in C: each type of object has its own.
const SIGNALS: &[(&str, Signals)] = &[
    ("ZX_SIGNAL_NONE", Signals::empty()),
    ("ZX_SIGNAL_HANDLE_CLOSED", Signals::HANDLE_CLOSED),
    ("ZX_USER_SIGNAL_ALL", Signals::USER_ALL),
    ("ZX_USER_SIGNAL_0", Signals::USER_0),
    ("ZX_USER_SIGNAL_1", Signals::USER_1),
    ("ZX_USER_SIGNAL_2", Signals::USER_2),
    ("ZX_USER_SIGNAL_3", Signals::USER_3),
    ("ZX_USER_SIGNAL_4", Signals::USER_4),
    ("ZX_USER_SIGNAL_5", Signals::USER_5),
    ("ZX_USER_SIGNAL_6", Signals::USER_6),
    ("ZX_USER_SIGNAL_7", Signals::USER_7),
    ("ZX_EVENT_SIGNALED", Signals::SIGNALED),
    ("ZX_EVENTPAIR_SIGNALED", Signals::SIGNALED),
    ("ZX_EVENTPAIR_PEER_CLOSED", Signals::PEER_CLOSED),
    ("ZX_CHANNEL_READABLE", Signals::READABLE),
    ("ZX_CHANNEL_WRITABLE", Signals::WRITABLE),
    ("ZX_CHANNEL_PEER_CLOSED", Signals::PEER_CLOSED),
    ("ZX_CLOCK_STARTED", Signals::CLOCK_STARTED),
    ("ZX_CLOCK_UPDATED", Signals::CLOCK_UPDATED),
    ("ZX_COUNTER_NON_POSITIVE", Signals::COUNTER_NON_POSITIVE),
    ("ZX_COUNTER_POSITIVE", Signals::COUNTER_POSITIVE),
    ("ZX_COUNTER_SIGNALED", Signals::SIGNALED),
    ("ZX_FIFO_READABLE", Signals::READABLE),
    ("ZX_FIFO_WRITABLE", Signals::WRITABLE),
    ("ZX_FIFO_PEER_CLOSED", Signals::PEER_CLOSED),
    ("ZX_SOCKET_READABLE", Signals::READABLE),
    ("ZX_SOCKET_WRITABLE", Signals::WRITABLE),
    ("ZX_SOCKET_PEER_CLOSED", Signals::PEER_CLOSED),
    ("ZX_SOCKET_PEER_WRITE_DISABLED", Signals::SOCKET_PEER_WRITE_DISABLED),
    ("ZX_SOCKET_WRITE_DISABLED", Signals::SOCKET_WRITE_DISABLED),
    ("ZX_SOCKET_READ_THRESHOLD", Signals::SOCKET_READ_THRESHOLD),
    ("ZX_SOCKET_WRITE_THRESHOLD", Signals::SOCKET_WRITE_THRESHOLD),
    ("ZX_IOB_PEER_CLOSED", Signals::PEER_CLOSED),
    ("ZX_IOB_SHARED_REGION_UPDATED", Signals::IOB_SHARED_REGION_UPDATED),
    ("ZX_TASK_TERMINATED", Signals::TASK_TERMINATED),
    ("ZX_JOB_TERMINATED", Signals::TASK_TERMINATED),
    ("ZX_JOB_NO_JOBS", Signals::JOB_NO_JOBS),
    ("ZX_JOB_NO_PROCESSES", Signals::JOB_NO_PROCESSES),
    ("ZX_JOB_NO_CHILDREN", Signals::JOB_NO_CHILDREN),
    ("ZX_PROCESS_TERMINATED", Signals::TASK_TERMINATED),
    ("ZX_THREAD_TERMINATED", Signals::TASK_TERMINATED),
    ("ZX_THREAD_RUNNING", Signals::THREAD_RUNNING),
    ("ZX_THREAD_SUSPENDED", Signals::THREAD_SUSPENDED),
    ("ZX_LOG_READABLE", Signals::READABLE),
    ("ZX_LOG_WRITABLE", Signals::WRITABLE),
    ("ZX_TIMER_SIGNALED", Signals::SIGNALED),
    ("ZX_VIRTUAL_INTERRUPT_UNTRIGGERED", Signals::VIRTUAL_INTERRUPT_UNTRIGGERED),
    ("ZX_VMO_ZERO_CHILDREN", Signals::VMO_ZERO_CHILDREN),
];

/// All the constants.
pub fn list() -> Vec<Constant> {
    let mut all = Vec::new();
    let mut put = |name: &str, ty, value| all.push(Constant { name: name.to_owned(), ty, value });
    put("ZX_OK", "zx_status_t", 0);
    for error in Error::ALL {
        put(error.name(), "zx_status_t", error.status().into());
    }
    put("ZX_RIGHT_NONE", "zx_rights_t", 0);
    for (name, rights) in Rights::all().iter_names() {
        put(&format!("ZX_RIGHT_{name}"), "zx_rights_t", rights.bits().into());
    }
    for (name, rights) in [
        ("BASIC", Rights::BASIC),
        ("IO", Rights::IO),
        ("PROPERTY", Rights::PROPERTY),
        ("POLICY", Rights::POLICY),
    ] {
        put(&format!("ZX_RIGHTS_{name}"), "zx_rights_t", rights.bits().into());
    }
    for &(name, signals) in SIGNALS {
        put(name, "zx_signals_t", signals.bits().into());
    }
    for (name, kind) in OBJECT_TYPES {
        put(&format!("ZX_OBJ_TYPE_{name}"), "zx_obj_type_t", i128::from(*kind as u32));
    }
    for &(name, exception) in EXCEPTIONS {
        put(name, "uint32_t", i128::from(exception as u32));
    }
    for &(name, ty, value) in PLAIN {
        put(name, ty, value);
    }
    all
}

use ObjectType as T;

/// The types of objects by their names in C.
const OBJECT_TYPES: &[(&str, ObjectType)] = &[
    ("PROCESS", T::Process),
    ("THREAD", T::Thread),
    ("VMO", T::Vmo),
    ("CHANNEL", T::Channel),
    ("EVENT", T::Event),
    ("PORT", T::Port),
    ("INTERRUPT", T::Interrupt),
    ("PCI_DEVICE", T::PciDevice),
    ("DEBUGLOG", T::DebugLog),
    ("SOCKET", T::Socket),
    ("RESOURCE", T::Resource),
    ("EVENTPAIR", T::EventPair),
    ("JOB", T::Job),
    ("VMAR", T::Vmar),
    ("FIFO", T::Fifo),
    ("GUEST", T::Guest),
    ("VCPU", T::Vcpu),
    ("TIMER", T::Timer),
    ("IOMMU", T::Iommu),
    ("BTI", T::Bti),
    ("PROFILE", T::Profile),
    ("PMT", T::Pmt),
    ("SUSPEND_TOKEN", T::SuspendToken),
    ("PAGER", T::Pager),
    ("EXCEPTION", T::Exception),
    ("CLOCK", T::Clock),
    ("STREAM", T::Stream),
    ("MSI", T::Msi),
    ("IOB", T::Iob),
    ("COUNTER", T::Counter),
    ("IOB_SHARED_REGION", T::IobSharedRegion),
];

/// A constant that is defined here: its name, its C type, its value.
pub(crate) type Plain = (&'static str, &'static str, i128);

macro_rules! constants {
    ($($name:ident: $ty:ty as $c:literal = $value:expr;)*) => {
        $(
            #[allow(missing_docs, reason = "Zircon's headers have it under this name")]
            pub const $name: $ty = $value;
        )*

        /// All of the above.
        const PLAIN: &[Plain] = &[$((stringify!($name), $c, $name as i128)),*];
    };
}

constants! {
    ZX_HANDLE_INVALID: u32 as "zx_handle_t" = 0;
    ZX_HANDLE_FIXED_BITS_MASK: u32 as "zx_handle_t" = 3;
    ZX_TIME_INFINITE: i64 as "zx_time_t" = i64::MAX;
    ZX_TIME_INFINITE_PAST: i64 as "zx_time_t" = i64::MIN;
    ZX_KOID_INVALID: u64 as "zx_koid_t" = 0;
    ZX_KOID_FIRST: u64 as "zx_koid_t" = 1024;
    ZX_MAX_NAME_LEN: usize as "size_t" = kernel_objects::object::MAX_NAME_LEN;
    ZX_OBJ_TYPE_NONE: u32 as "zx_obj_type_t" = 0;
    ZX_WAIT_MANY_MAX_ITEMS: usize as "size_t" = kernel_objects::handle::WAIT_MANY_MAX_ITEMS;
    ZX_CLOCK_MONOTONIC: u32 as "zx_clock_t" = 0;
    ZX_CLOCK_BOOT: u32 as "zx_clock_t" = 1;
    ZX_CHANNEL_READ_MAY_DISCARD: u32 as "uint32_t" = 1;
    ZX_CHANNEL_WRITE_USE_IOVEC: u32 as "uint32_t" = 2;
    ZX_CHANNEL_MAX_MSG_BYTES: u32 as "uint32_t" = kernel_objects::channel::MAX_BYTES as u32;
    ZX_CHANNEL_MAX_MSG_HANDLES: u32 as "uint32_t" = kernel_objects::channel::MAX_HANDLES as u32;
    ZX_CHANNEL_MAX_MSG_IOVECS: u32 as "uint32_t" = 8192;
    ZX_HANDLE_OP_MOVE: u32 as "zx_handle_op_t" = 0;
    ZX_HANDLE_OP_DUPLICATE: u32 as "zx_handle_op_t" = 1;
    ZX_OBJ_PROP_WAITABLE: u32 as "zx_obj_props_t" = 1;
    ZX_PROP_NAME: u32 as "uint32_t" = 3;
    ZX_INFO_HANDLE_VALID: u32 as "uint32_t" = 1;
    ZX_INFO_HANDLE_BASIC: u32 as "uint32_t" = 2;
    ZX_INFO_VMAR: u32 as "uint32_t" = 7;
    ZX_PROP_VMO_CONTENT_SIZE: u32 as "uint32_t" = 17;
    ZX_INFO_BTI: u32 as "uint32_t" = 20;
    ZX_INFO_MSI: u32 as "uint32_t" = 28;
    ZX_INFO_PROCESS_VMOS: u32 as "uint32_t" = 3 << 28 | 14;
    ZX_INFO_VMO: u32 as "uint32_t" = 3 << 28 | 23;
    ZX_INFO_TASK_STATS: u32 as "uint32_t" = 1 << 28 | 12;
    ZX_INFO_PROCESS_MAPS: u32 as "uint32_t" = 2 << 28 | 13;
    ZX_INFO_KMEM_STATS: u32 as "uint32_t" = 1 << 28 | 17;
    ZX_INFO_TASK_RUNTIME: u32 as "uint32_t" = 1 << 28 | 30;
    ZX_INFO_VMAR_MAPS: u32 as "uint32_t" = 36;
    ZX_INFO_MEMORY_STALL: u32 as "uint32_t" = 38;
    ZX_INFO_INTERRUPT: u32 as "uint32_t" = 39;
    ZX_INFO_MAPS_TYPE_ASPACE: u32 as "uint32_t" = 1;
    ZX_INFO_MAPS_TYPE_VMAR: u32 as "uint32_t" = 2;
    ZX_INFO_MAPS_TYPE_MAPPING: u32 as "uint32_t" = 3;
    ZX_INFO_CLOCK_MAPPED_SIZE: u32 as "uint32_t" = 40;
    ZX_INFO_IOB: u32 as "uint32_t" = 34;
    ZX_INFO_IOB_REGIONS: u32 as "uint32_t" = 35;
    ZX_IOB_MAX_REGIONS: usize as "size_t" = kernel_objects::iob::MAX_REGIONS;
    ZX_IOB_REGION_TYPE_PRIVATE: u32 as "uint32_t" = 0;
    ZX_IOB_REGION_TYPE_SHARED: u32 as "uint32_t" = 1;
    ZX_IOB_DISCIPLINE_TYPE_NONE: u64 as "uint64_t" = 0;
    ZX_IOB_DISCIPLINE_TYPE_ID_ALLOCATOR: u64 as "uint64_t" = 1;
    ZX_IOB_DISCIPLINE_TYPE_MEDIATED_WRITE_RING_BUFFER: u64 as "uint64_t" = 2;
    ZX_IOB_EP0_CAN_MAP_READ: u32 as "uint32_t" = IobAccess::EP0_MAP_READ.bits();
    ZX_IOB_EP0_CAN_MAP_WRITE: u32 as "uint32_t" = IobAccess::EP0_MAP_WRITE.bits();
    ZX_IOB_EP0_CAN_MEDIATED_READ: u32 as "uint32_t" = IobAccess::EP0_MEDIATED_READ.bits();
    ZX_IOB_EP0_CAN_MEDIATED_WRITE: u32 as "uint32_t" = IobAccess::EP0_MEDIATED_WRITE.bits();
    ZX_IOB_EP1_CAN_MAP_READ: u32 as "uint32_t" = IobAccess::EP1_MAP_READ.bits();
    ZX_IOB_EP1_CAN_MAP_WRITE: u32 as "uint32_t" = IobAccess::EP1_MAP_WRITE.bits();
    ZX_IOB_EP1_CAN_MEDIATED_READ: u32 as "uint32_t" = IobAccess::EP1_MEDIATED_READ.bits();
    ZX_IOB_EP1_CAN_MEDIATED_WRITE: u32 as "uint32_t" = IobAccess::EP1_MEDIATED_WRITE.bits();
    ZX_INFO_RESOURCE: u32 as "uint32_t" = 18;
    ZX_INFO_PROCESS_HANDLE_STATS: u32 as "uint32_t" = 21;
    ZX_INFO_HANDLE_TABLE: u32 as "uint32_t" = 27;
    ZX_INFO_HANDLE_COUNT: u32 as "uint32_t" = 19;
    ZX_WAIT_ASYNC_ONCE: u32 as "uint32_t" = 0;
    ZX_WAIT_ASYNC_TIMESTAMP: u32 as "uint32_t" = 1;
    ZX_WAIT_ASYNC_EDGE: u32 as "uint32_t" = 2;
    ZX_WAIT_ASYNC_BOOT_TIMESTAMP: u32 as "uint32_t" = 4;
    ZX_PKT_TYPE_USER: u32 as "uint32_t" = 0;
    ZX_PKT_TYPE_SIGNAL_ONE: u32 as "uint32_t" = 1;
    ZX_PKT_TYPE_INTERRUPT: u32 as "uint32_t" = 7;
    ZX_PKT_TYPE_PAGE_REQUEST: u32 as "uint32_t" = 9;
    ZX_PAGER_VMO_READ: u32 as "uint16_t" = PageCommand::Read as u32;
    ZX_PAGER_VMO_COMPLETE: u32 as "uint16_t" = PageCommand::Complete as u32;
    ZX_PAGER_VMO_DIRTY: u32 as "uint16_t" = PageCommand::Dirty as u32;
    ZX_PAGER_OP_FAIL: u32 as "uint32_t" = 1;
    ZX_PAGER_OP_DIRTY: u32 as "uint32_t" = 2;
    ZX_PAGER_OP_WRITEBACK_BEGIN: u32 as "uint32_t" = 3;
    ZX_PAGER_OP_WRITEBACK_END: u32 as "uint32_t" = 4;
    ZX_PAGER_RESET_VMO_STATS: u32 as "uint32_t" = 1;
    ZX_PAGER_VMO_STATS_MODIFIED: u32 as "uint32_t" = 1;
    ZX_VMO_DIRTY_RANGE_IS_ZERO: u64 as "uint64_t" = 1;
    ZX_PORT_BIND_TO_INTERRUPT: u32 as "uint32_t" = 1;
    ZX_INTERRUPT_REMAP_IRQ: u32 as "uint32_t" = 1;
    ZX_INTERRUPT_MODE_DEFAULT: u32 as "uint32_t" = 0;
    ZX_INTERRUPT_MODE_EDGE_LOW: u32 as "uint32_t" = 1 << 1;
    ZX_INTERRUPT_MODE_EDGE_HIGH: u32 as "uint32_t" = 2 << 1;
    ZX_INTERRUPT_MODE_LEVEL_LOW: u32 as "uint32_t" = 3 << 1;
    ZX_INTERRUPT_MODE_LEVEL_HIGH: u32 as "uint32_t" = 4 << 1;
    ZX_INTERRUPT_MODE_EDGE_BOTH: u32 as "uint32_t" = 5 << 1;
    ZX_INTERRUPT_VIRTUAL: u32 as "uint32_t" = 0x10;
    ZX_INTERRUPT_BIND: u32 as "uint32_t" = 0;
    ZX_INTERRUPT_UNBIND: u32 as "uint32_t" = 1;
    ZX_RSRC_KIND_MMIO: u32 as "uint32_t" = ResourceKind::Mmio as u32;
    ZX_RSRC_KIND_IRQ: u32 as "uint32_t" = ResourceKind::Irq as u32;
    ZX_RSRC_KIND_IOPORT: u32 as "uint32_t" = ResourceKind::IoPort as u32;
    ZX_RSRC_KIND_ROOT: u32 as "uint32_t" = ResourceKind::Root as u32;
    ZX_RSRC_KIND_SMC: u32 as "uint32_t" = ResourceKind::Smc as u32;
    ZX_RSRC_KIND_SYSTEM: u32 as "uint32_t" = ResourceKind::System as u32;
    ZX_RSRC_SYSTEM_VMEX_BASE: u32 as "uint32_t" = SystemBase::Vmex as u32;
    ZX_RSRC_SYSTEM_INFO_BASE: u32 as "uint32_t" = SystemBase::Info as u32;
    ZX_RSRC_SYSTEM_STALL_BASE: u32 as "uint32_t" = SystemBase::Stall as u32;
    ZX_RSRC_SYSTEM_CPU_BASE: u32 as "uint32_t" = SystemBase::Cpu as u32;
    ZX_RSRC_SYSTEM_POWER_BASE: u32 as "uint32_t" = SystemBase::Power as u32;
    ZX_RSRC_SYSTEM_DEBUG_BASE: u32 as "uint32_t" = SystemBase::Debug as u32;
    ZX_RSRC_SYSTEM_IOMMU_BASE: u32 as "uint32_t" = SystemBase::Iommu as u32;
    ZX_RSRC_SYSTEM_PROFILE_BASE: u32 as "uint32_t" = SystemBase::Profile as u32;
    ZX_RSRC_SYSTEM_MSI_BASE: u32 as "uint32_t" = SystemBase::Msi as u32;
    ZX_PROFILE_INFO_FLAG_PRIORITY: u32 as "uint32_t" = ProfileFlags::PRIORITY.bits();
    ZX_PROFILE_INFO_FLAG_CPU_MASK: u32 as "uint32_t" = ProfileFlags::CPU_MASK.bits();
    ZX_PROFILE_INFO_FLAG_DEADLINE: u32 as "uint32_t" = ProfileFlags::DEADLINE.bits();
    ZX_PROFILE_INFO_FLAG_NO_INHERIT: u32 as "uint32_t" = ProfileFlags::NO_INHERIT.bits();
    ZX_PROFILE_INFO_FLAG_MEMORY_PRIORITY: u32 as "uint32_t" = ProfileFlags::MEMORY_PRIORITY.bits();
    ZX_PRIORITY_LOWEST: i32 as "int32_t" = profile::PRIORITY_LOWEST;
    ZX_PRIORITY_LOW: i32 as "int32_t" = profile::PRIORITY_LOW;
    ZX_PRIORITY_DEFAULT: i32 as "int32_t" = profile::PRIORITY_DEFAULT;
    ZX_PRIORITY_HIGH: i32 as "int32_t" = profile::PRIORITY_HIGH;
    ZX_PRIORITY_HIGHEST: i32 as "int32_t" = profile::PRIORITY_HIGHEST;
    ZX_IOMMU_TYPE_DUMMY: u32 as "uint32_t" = IommuDescriptor::DUMMY;
    ZX_IOMMU_MAX_DESC_LEN: usize as "size_t" = 4096;
    ZX_BTI_PERM_READ: u32 as "uint32_t" = PinOptions::READ.bits();
    ZX_BTI_PERM_WRITE: u32 as "uint32_t" = PinOptions::WRITE.bits();
    ZX_BTI_PERM_EXECUTE: u32 as "uint32_t" = PinOptions::EXECUTE.bits();
    ZX_BTI_COMPRESS: u32 as "uint32_t" = PinOptions::COMPRESS.bits();
    ZX_BTI_CONTIGUOUS: u32 as "uint32_t" = PinOptions::CONTIGUOUS.bits();
    ZX_INFO_VMO_TYPE_PAGED: u32 as "uint32_t" = VmoFlags::PAGED.bits();
    ZX_INFO_VMO_RESIZABLE: u32 as "uint32_t" = VmoFlags::RESIZABLE.bits();
    ZX_INFO_VMO_IS_COW_CLONE: u32 as "uint32_t" = VmoFlags::COW_CLONE.bits();
    ZX_INFO_VMO_VIA_HANDLE: u32 as "uint32_t" = VmoFlags::VIA_HANDLE.bits();
    ZX_INFO_VMO_VIA_MAPPING: u32 as "uint32_t" = VmoFlags::VIA_MAPPING.bits();
    ZX_INFO_VMO_PAGER_BACKED: u32 as "uint32_t" = VmoFlags::PAGER_BACKED.bits();
    ZX_INFO_VMO_CONTIGUOUS: u32 as "uint32_t" = VmoFlags::CONTIGUOUS.bits();
    ZX_INFO_VMO_DISCARDABLE: u32 as "uint32_t" = VmoFlags::DISCARDABLE.bits();
    ZX_INFO_VMO_IMMUTABLE: u32 as "uint32_t" = VmoFlags::IMMUTABLE.bits();
    ZX_CACHE_POLICY_CACHED: u32 as "uint32_t" = CachePolicy::Cached as u32;
    ZX_CACHE_POLICY_UNCACHED: u32 as "uint32_t" = CachePolicy::Uncached as u32;
    ZX_CACHE_POLICY_UNCACHED_DEVICE: u32 as "uint32_t" = CachePolicy::UncachedDevice as u32;
    ZX_CACHE_POLICY_WRITE_COMBINING: u32 as "uint32_t" = CachePolicy::WriteCombining as u32;
    ZX_RSRC_FLAG_EXCLUSIVE: u32 as "uint32_t" = 0x10000;
    ZX_TIMER_SLACK_CENTER: u32 as "uint32_t" = SlackMode::Center as u32;
    ZX_TIMER_SLACK_EARLY: u32 as "uint32_t" = SlackMode::Early as u32;
    ZX_TIMER_SLACK_LATE: u32 as "uint32_t" = SlackMode::Late as u32;
    ZX_SOCKET_STREAM: u32 as "uint32_t" = SocketKind::Stream as u32;
    ZX_SOCKET_DATAGRAM: u32 as "uint32_t" = SocketKind::Datagram as u32;
    ZX_SOCKET_PEEK: u32 as "uint32_t" = kernel_objects::socket::ReadOptions::PEEK.bits();
    ZX_SOCKET_DISPOSITION_WRITE_DISABLED: u32 as "uint32_t" = 1;
    ZX_SOCKET_DISPOSITION_WRITE_ENABLED: u32 as "uint32_t" = 2;
    ZX_INFO_PROCESS_THREADS: u32 as "uint32_t" = 4;
    ZX_INFO_JOB_CHILDREN: u32 as "uint32_t" = 8;
    ZX_INFO_JOB_PROCESSES: u32 as "uint32_t" = 9;
    ZX_INFO_THREAD: u32 as "uint32_t" = 10;
    ZX_INFO_THREAD_STATS: u32 as "uint32_t" = 15;
    ZX_INFO_SOCKET: u32 as "uint32_t" = 22;
    ZX_INFO_JOB: u32 as "uint32_t" = 24;
    ZX_INFO_TIMER: u32 as "uint32_t" = 25;
    ZX_INFO_STREAM: u32 as "uint32_t" = 26;
    ZX_INFO_PROCESS: u32 as "uint32_t" = 3 | 1 << 28;
    ZX_INFO_THREAD_EXCEPTION_REPORT: u32 as "uint32_t" = 11 | 1 << 28;
    ZX_INFO_PROCESS_FLAG_STARTED: u32 as "uint32_t" = 1;
    ZX_INFO_PROCESS_FLAG_EXITED: u32 as "uint32_t" = 2;
    ZX_INFO_PROCESS_FLAG_DEBUGGER_ATTACHED: u32 as "uint32_t" = 4;
    ZX_INFO_INVALID_CPU: u32 as "uint32_t" = u32::MAX;
    ZX_PROP_REGISTER_GS: u32 as "uint32_t" = 2;
    ZX_PROP_REGISTER_FS: u32 as "uint32_t" = 4;
    ZX_PROP_PROCESS_DEBUG_ADDR: u32 as "uint32_t" = 5;
    ZX_PROP_PROCESS_VDSO_BASE_ADDRESS: u32 as "uint32_t" = 6;
    ZX_PROP_PROCESS_BREAK_ON_LOAD: u32 as "uint32_t" = 7;
    ZX_PROP_SOCKET_RX_THRESHOLD: u32 as "uint32_t" = 12;
    ZX_PROP_SOCKET_TX_THRESHOLD: u32 as "uint32_t" = 13;
    ZX_PROP_JOB_KILL_ON_OOM: u32 as "uint32_t" = 15;
    ZX_PROP_EXCEPTION_STATE: u32 as "uint32_t" = 16;
    ZX_PROP_EXCEPTION_STRATEGY: u32 as "uint32_t" = 18;
    ZX_PROP_STREAM_MODE_APPEND: u32 as "uint32_t" = 19;
    ZX_EXCEPTION_STATE_TRY_NEXT: u32 as "uint32_t" = ExceptionState::TryNext as u32;
    ZX_EXCEPTION_STATE_HANDLED: u32 as "uint32_t" = ExceptionState::Handled as u32;
    ZX_EXCEPTION_STATE_THREAD_EXIT: u32 as "uint32_t" = ExceptionState::ThreadExit as u32;
    ZX_EXCEPTION_STRATEGY_FIRST_CHANCE: u32 as "uint32_t" = ExceptionStrategy::FirstChance as u32;
    ZX_EXCEPTION_STRATEGY_SECOND_CHANCE: u32 as "uint32_t" = ExceptionStrategy::SecondChance as u32;
    ZX_EXCEPTION_CHANNEL_TYPE_THREAD: u32 as "uint32_t" = ExceptionChannelType::Thread as u32;
    ZX_THREAD_STATE_NEW: u32 as "zx_thread_state_t" = ThreadState::New.raw();
    ZX_THREAD_STATE_RUNNING: u32 as "zx_thread_state_t" = ThreadState::Running.raw();
    ZX_THREAD_STATE_SUSPENDED: u32 as "zx_thread_state_t" = ThreadState::Suspended.raw();
    ZX_THREAD_STATE_DEAD: u32 as "zx_thread_state_t" = ThreadState::Dead.raw();
    ZX_THREAD_STATE_BLOCKED_WAIT_ONE: u32 as "zx_thread_state_t" = BlockedReason::WaitOne as u32;
    ZX_THREAD_STATE_BLOCKED_PAGER: u32 as "zx_thread_state_t" = BlockedReason::Pager as u32;
    ZX_THREAD_STATE_BLOCKED_EXCEPTION: u32 as "zx_thread_state_t" = BlockedReason::Exception as u32;
    ZX_THREAD_STATE_BLOCKED_SLEEPING: u32 as "zx_thread_state_t" = BlockedReason::Sleeping as u32;
    ZX_THREAD_STATE_BLOCKED_FUTEX: u32 as "zx_thread_state_t" = BlockedReason::Futex as u32;
    ZX_THREAD_STATE_BLOCKED_PORT: u32 as "zx_thread_state_t" = BlockedReason::Port as u32;
    ZX_THREAD_STATE_BLOCKED_CHANNEL: u32 as "zx_thread_state_t" = BlockedReason::Channel as u32;
    ZX_THREAD_STATE_BLOCKED_WAIT_MANY: u32 as "zx_thread_state_t" = BlockedReason::WaitMany as u32;
    ZX_THREAD_STATE_BLOCKED_INTERRUPT: u32 as "zx_thread_state_t" = BlockedReason::Interrupt as u32;
    ZX_CLOCK_ARGS_VERSION_SHIFT: u64 as "uint64_t" = 58;
    ZX_CLOCK_OPT_MONOTONIC: u64 as "uint64_t" = ClockOptions::MONOTONIC.bits();
    ZX_CLOCK_OPT_CONTINUOUS: u64 as "uint64_t" = ClockOptions::CONTINUOUS.bits();
    ZX_CLOCK_OPT_AUTO_START: u64 as "uint64_t" = ClockOptions::AUTO_START.bits();
    ZX_CLOCK_OPT_BOOT: u64 as "uint64_t" = ClockOptions::BOOT.bits();
    ZX_CLOCK_OPT_MAPPABLE: u64 as "uint64_t" = ClockOptions::MAPPABLE.bits();
    ZX_CLOCK_UNKNOWN_ERROR: u64 as "uint64_t" = kernel_objects::clock::UNKNOWN_ERROR_BOUND;
    ZX_CLOCK_UPDATE_OPTION_SYNTHETIC_VALUE_VALID: u64 as "uint64_t" = 1 << 0;
    ZX_CLOCK_UPDATE_OPTION_RATE_ADJUST_VALID: u64 as "uint64_t" = 1 << 1;
    ZX_CLOCK_UPDATE_OPTION_ERROR_BOUND_VALID: u64 as "uint64_t" = 1 << 2;
    ZX_CLOCK_UPDATE_OPTION_REFERENCE_VALUE_VALID: u64 as "uint64_t" = 1 << 3;
    ZX_JOB_POL_RELATIVE: u32 as "uint32_t" = 0;
    ZX_JOB_POL_ABSOLUTE: u32 as "uint32_t" = 1;
    ZX_JOB_POL_BASIC_V1: u32 as "uint32_t" = 0;
    ZX_JOB_POL_TIMER_SLACK: u32 as "uint32_t" = 1;
    ZX_JOB_POL_BASIC_V2: u32 as "uint32_t" = 0x0100_0000;
    ZX_JOB_CRITICAL_PROCESS_RETCODE_NONZERO: u32 as "uint32_t" = 1;
    ZX_POL_BAD_HANDLE: u32 as "uint32_t" = PolicyCondition::BadHandle as u32;
    ZX_POL_WRONG_OBJECT: u32 as "uint32_t" = PolicyCondition::WrongObject as u32;
    ZX_POL_VMAR_WX: u32 as "uint32_t" = PolicyCondition::VmarWx as u32;
    ZX_POL_NEW_ANY: u32 as "uint32_t" = PolicyCondition::NewAny as u32;
    ZX_POL_NEW_VMO: u32 as "uint32_t" = PolicyCondition::NewVmo as u32;
    ZX_POL_NEW_CHANNEL: u32 as "uint32_t" = PolicyCondition::NewChannel as u32;
    ZX_POL_NEW_EVENT: u32 as "uint32_t" = PolicyCondition::NewEvent as u32;
    ZX_POL_NEW_EVENTPAIR: u32 as "uint32_t" = PolicyCondition::NewEventPair as u32;
    ZX_POL_NEW_PORT: u32 as "uint32_t" = PolicyCondition::NewPort as u32;
    ZX_POL_NEW_SOCKET: u32 as "uint32_t" = PolicyCondition::NewSocket as u32;
    ZX_POL_NEW_FIFO: u32 as "uint32_t" = PolicyCondition::NewFifo as u32;
    ZX_POL_NEW_TIMER: u32 as "uint32_t" = PolicyCondition::NewTimer as u32;
    ZX_POL_NEW_PROCESS: u32 as "uint32_t" = PolicyCondition::NewProcess as u32;
    ZX_POL_NEW_PROFILE: u32 as "uint32_t" = PolicyCondition::NewProfile as u32;
    ZX_POL_NEW_PAGER: u32 as "uint32_t" = PolicyCondition::NewPager as u32;
    ZX_POL_AMBIENT_MARK_VMO_EXEC: u32 as "uint32_t" = PolicyCondition::AmbientMarkVmoExec as u32;
    ZX_POL_MAX: u32 as "uint32_t" = 16;
    ZX_POL_ACTION_ALLOW: u32 as "uint32_t" = PolicyAction::Allow as u32;
    ZX_POL_ACTION_DENY: u32 as "uint32_t" = PolicyAction::Deny as u32;
    ZX_POL_ACTION_ALLOW_EXCEPTION: u32 as "uint32_t" = PolicyAction::AllowException as u32;
    ZX_POL_ACTION_DENY_EXCEPTION: u32 as "uint32_t" = PolicyAction::DenyException as u32;
    ZX_POL_ACTION_KILL: u32 as "uint32_t" = PolicyAction::Kill as u32;
    ZX_POL_OVERRIDE_ALLOW: u32 as "uint32_t" = PolicyOverride::Allow as u32;
    ZX_POL_OVERRIDE_DENY: u32 as "uint32_t" = PolicyOverride::Deny as u32;
    ZX_EXCEPTION_CHANNEL_DEBUGGER: u32 as "uint32_t" = 1;
    ZX_EXCEPTION_TARGET_JOB_DEBUGGER: u32 as "uint32_t" = 1;
    ZX_THREAD_STATE_GENERAL_REGS: u32 as "uint32_t" = StateKind::GeneralRegs as u32;
    ZX_THREAD_STATE_FP_REGS: u32 as "uint32_t" = StateKind::FpRegs as u32;
    ZX_THREAD_STATE_VECTOR_REGS: u32 as "uint32_t" = StateKind::VectorRegs as u32;
    ZX_THREAD_STATE_DEBUG_REGS: u32 as "uint32_t" = StateKind::DebugRegs as u32;
    ZX_THREAD_STATE_SINGLE_STEP: u32 as "uint32_t" = StateKind::SingleStep as u32;
    ZX_THREAD_X86_REGISTER_FS: u32 as "uint32_t" = StateKind::RegisterFs as u32;
    ZX_THREAD_X86_REGISTER_GS: u32 as "uint32_t" = StateKind::RegisterGs as u32;
    ZX_STREAM_MODE_READ: u32 as "uint32_t" = StreamMode::READ.bits();
    ZX_STREAM_MODE_WRITE: u32 as "uint32_t" = StreamMode::WRITE.bits();
    ZX_STREAM_MODE_APPEND: u32 as "uint32_t" = StreamMode::APPEND.bits();
    ZX_STREAM_APPEND: u32 as "uint32_t" = StreamWrite::APPEND.bits();
    ZX_STREAM_SEEK_ORIGIN_START: u32 as "zx_stream_seek_origin_t" = SeekOrigin::Start as u32;
    ZX_STREAM_SEEK_ORIGIN_CURRENT: u32 as "zx_stream_seek_origin_t" = SeekOrigin::Current as u32;
    ZX_STREAM_SEEK_ORIGIN_END: u32 as "zx_stream_seek_origin_t" = SeekOrigin::End as u32;
    ZX_VMO_RESIZABLE: u32 as "uint32_t" = 1 << 1;
    ZX_VMO_TRAP_DIRTY: u32 as "uint32_t" = PagerVmoOptions::TRAP_DIRTY.bits();
    ZX_VMO_UNBOUNDED: u32 as "uint32_t" = 1 << 4;
    ZX_VMO_DISCARDABLE: u32 as "uint32_t" = 1 << 2;
    ZX_VMO_OP_COMMIT: u32 as "uint32_t" = 1;
    ZX_VMO_OP_DECOMMIT: u32 as "uint32_t" = 2;
    ZX_VMO_OP_LOCK: u32 as "uint32_t" = 3;
    ZX_VMO_OP_UNLOCK: u32 as "uint32_t" = 4;
    ZX_VMO_OP_CACHE_SYNC: u32 as "uint32_t" = 6;
    ZX_VMO_OP_CACHE_INVALIDATE: u32 as "uint32_t" = 7;
    ZX_VMO_OP_CACHE_CLEAN: u32 as "uint32_t" = 8;
    ZX_VMO_OP_CACHE_CLEAN_INVALIDATE: u32 as "uint32_t" = 9;
    ZX_VMO_OP_TRY_LOCK: u32 as "uint32_t" = 11;
    ZX_VMO_OP_DONT_NEED: u32 as "uint32_t" = 12;
    ZX_VMO_OP_ALWAYS_NEED: u32 as "uint32_t" = 13;
    ZX_VMO_OP_PREFETCH: u32 as "uint32_t" = 14;
    ZX_VMO_OP_ZERO: u32 as "uint32_t" = 10;
    ZX_VMO_CHILD_SNAPSHOT: u32 as "uint32_t" = ChildOptions::SNAPSHOT.bits();
    ZX_VMO_CHILD_RESIZABLE: u32 as "uint32_t" = ChildOptions::RESIZABLE.bits();
    ZX_VMO_CHILD_SLICE: u32 as "uint32_t" = ChildOptions::SLICE.bits();
    ZX_VMO_CHILD_SNAPSHOT_AT_LEAST_ON_WRITE: u32 as "uint32_t" = ChildOptions::SNAPSHOT_AT_LEAST_ON_WRITE.bits();
    ZX_VMO_CHILD_REFERENCE: u32 as "uint32_t" = ChildOptions::REFERENCE.bits();
    ZX_VMO_CHILD_SNAPSHOT_MODIFIED: u32 as "uint32_t" = ChildOptions::SNAPSHOT_MODIFIED.bits();
    ZX_VMO_CHILD_NO_WRITE: u32 as "uint32_t" = ChildOptions::NO_WRITE.bits();
    ZX_VMAR_OP_COMMIT: u32 as "uint32_t" = 1;
    ZX_VMAR_OP_DECOMMIT: u32 as "uint32_t" = 2;
    ZX_VMAR_OP_MAP_RANGE: u32 as "uint32_t" = 3;
    ZX_VMAR_OP_ZERO: u32 as "uint32_t" = 10;
    ZX_VMAR_OP_DONT_NEED: u32 as "uint32_t" = 12;
    ZX_VMAR_OP_ALWAYS_NEED: u32 as "uint32_t" = 13;
    ZX_VMAR_OP_PREFETCH: u32 as "uint32_t" = 14;
    ZX_VM_PERM_READ: u32 as "zx_vm_option_t" = 1 << 0;
    ZX_VM_PERM_WRITE: u32 as "zx_vm_option_t" = 1 << 1;
    ZX_VM_PERM_EXECUTE: u32 as "zx_vm_option_t" = 1 << 2;
    ZX_VM_COMPACT: u32 as "zx_vm_option_t" = 1 << 3;
    ZX_VM_SPECIFIC: u32 as "zx_vm_option_t" = 1 << 4;
    ZX_VM_SPECIFIC_OVERWRITE: u32 as "zx_vm_option_t" = 1 << 5;
    ZX_VM_CAN_MAP_SPECIFIC: u32 as "zx_vm_option_t" = 1 << 6;
    ZX_VM_CAN_MAP_READ: u32 as "zx_vm_option_t" = 1 << 7;
    ZX_VM_CAN_MAP_WRITE: u32 as "zx_vm_option_t" = 1 << 8;
    ZX_VM_CAN_MAP_EXECUTE: u32 as "zx_vm_option_t" = 1 << 9;
    ZX_VM_MAP_RANGE: u32 as "zx_vm_option_t" = 1 << 10;
    ZX_VM_REQUIRE_NON_RESIZABLE: u32 as "zx_vm_option_t" = 1 << 11;
    ZX_VM_ALLOW_FAULTS: u32 as "zx_vm_option_t" = 1 << 12;
    ZX_VM_OFFSET_IS_UPPER_LIMIT: u32 as "zx_vm_option_t" = 1 << 13;
    ZX_VM_PERM_READ_IF_XOM_UNSUPPORTED: u32 as "zx_vm_option_t" = 1 << 14;
    ZX_VM_ALIGN_BASE: u32 as "uint32_t" = 24;
    ZX_VM_ALIGN_1KB: u32 as "zx_vm_option_t" = 10 << 24;
    ZX_VM_ALIGN_2KB: u32 as "zx_vm_option_t" = 11 << 24;
    ZX_VM_ALIGN_4KB: u32 as "zx_vm_option_t" = 12 << 24;
    ZX_VM_ALIGN_8KB: u32 as "zx_vm_option_t" = 13 << 24;
    ZX_VM_ALIGN_16KB: u32 as "zx_vm_option_t" = 14 << 24;
    ZX_VM_ALIGN_32KB: u32 as "zx_vm_option_t" = 15 << 24;
    ZX_VM_ALIGN_64KB: u32 as "zx_vm_option_t" = 16 << 24;
    ZX_VM_ALIGN_128KB: u32 as "zx_vm_option_t" = 17 << 24;
    ZX_VM_ALIGN_256KB: u32 as "zx_vm_option_t" = 18 << 24;
    ZX_VM_ALIGN_512KB: u32 as "zx_vm_option_t" = 19 << 24;
    ZX_VM_ALIGN_1MB: u32 as "zx_vm_option_t" = 20 << 24;
    ZX_VM_ALIGN_2MB: u32 as "zx_vm_option_t" = 21 << 24;
    ZX_VM_ALIGN_4MB: u32 as "zx_vm_option_t" = 22 << 24;
    ZX_VM_ALIGN_8MB: u32 as "zx_vm_option_t" = 23 << 24;
    ZX_VM_ALIGN_16MB: u32 as "zx_vm_option_t" = 24 << 24;
    ZX_VM_ALIGN_32MB: u32 as "zx_vm_option_t" = 25 << 24;
    ZX_VM_ALIGN_64MB: u32 as "zx_vm_option_t" = 26 << 24;
    ZX_VM_ALIGN_128MB: u32 as "zx_vm_option_t" = 27 << 24;
    ZX_VM_ALIGN_256MB: u32 as "zx_vm_option_t" = 28 << 24;
    ZX_VM_ALIGN_512MB: u32 as "zx_vm_option_t" = 29 << 24;
    ZX_VM_ALIGN_1GB: u32 as "zx_vm_option_t" = 30 << 24;
    ZX_VM_ALIGN_2GB: u32 as "zx_vm_option_t" = 31 << 24;
    ZX_VM_ALIGN_4GB: u32 as "zx_vm_option_t" = 32 << 24;
    ZX_LOG_FLAG_READABLE: u32 as "uint32_t" = kernel_objects::debuglog::LOG_READABLE;
    ZX_LOG_RECORD_MAX: usize as "size_t" = kernel_objects::debuglog::RECORD_MAX;
    ZX_LOG_RECORD_DATA_MAX: usize as "size_t" = kernel_objects::debuglog::RECORD_DATA_MAX;
    ZX_SYSTEM_EVENT_OUT_OF_MEMORY: u32 as "uint32_t" = 1;
    ZX_SYSTEM_EVENT_MEMORY_PRESSURE_CRITICAL: u32 as "uint32_t" = 2;
    ZX_SYSTEM_EVENT_MEMORY_PRESSURE_WARNING: u32 as "uint32_t" = 3;
    ZX_SYSTEM_EVENT_MEMORY_PRESSURE_NORMAL: u32 as "uint32_t" = 4;
    ZX_SYSTEM_EVENT_IMMINENT_OUT_OF_MEMORY: u32 as "uint32_t" = 5;
    ZX_SYSTEM_MEMORY_STALL_SOME: u32 as "uint32_t" = 0;
    ZX_SYSTEM_MEMORY_STALL_FULL: u32 as "uint32_t" = 1;
    ZX_CPU_PERF_SCALE: u32 as "uint32_t" = 1;
    ZX_CPU_DEFAULT_PERF_SCALE: u32 as "uint32_t" = 2;
    ZX_SYSTEM_POWERCTL_ENABLE_ALL_CPUS: u32 as "uint32_t" = 1;
    ZX_SYSTEM_POWERCTL_DISABLE_ALL_CPUS_BUT_PRIMARY: u32 as "uint32_t" = 2;
    ZX_SYSTEM_POWERCTL_ACPI_TRANSITION_S_STATE: u32 as "uint32_t" = 3;
    ZX_SYSTEM_POWERCTL_X86_SET_PKG_PL1: u32 as "uint32_t" = 4;
    ZX_SYSTEM_POWERCTL_REBOOT: u32 as "uint32_t" = 5;
    ZX_SYSTEM_POWERCTL_REBOOT_BOOTLOADER: u32 as "uint32_t" = 6;
    ZX_SYSTEM_POWERCTL_REBOOT_RECOVERY: u32 as "uint32_t" = 7;
    ZX_SYSTEM_POWERCTL_SHUTDOWN: u32 as "uint32_t" = 8;
    ZX_SYSTEM_POWERCTL_ACK_KERNEL_INITIATED_REBOOT: u32 as "uint32_t" = 9;
    ZX_CPRNG_ADD_ENTROPY_MAX_LEN: usize as "size_t" = 256;
    ZX_CPRNG_DRAW_MAX_LEN: usize as "size_t" = 256;
    ZX_CACHE_FLUSH_INSN: u32 as "uint32_t" = 1;
    ZX_CACHE_FLUSH_DATA: u32 as "uint32_t" = 2;
    ZX_CACHE_FLUSH_INVALIDATE: u32 as "uint32_t" = 4;
    ZX_FEATURE_KIND_CPU: u32 as "uint32_t" = 0;
    ZX_HAS_CPU_FEATURES: u32 as "uint32_t" = 1;
    ZX_TASK_RETCODE_SYSCALL_KILL: i64 as "int64_t" = kernel_objects::task::retcode::SYSCALL_KILL;
    ZX_TASK_RETCODE_OOM_KILL: i64 as "int64_t" = kernel_objects::task::retcode::OOM_KILL;
    ZX_TASK_RETCODE_POLICY_KILL: i64 as "int64_t" = kernel_objects::task::retcode::POLICY_KILL;
    ZX_TASK_RETCODE_VDSO_KILL: i64 as "int64_t" = kernel_objects::task::retcode::VDSO_KILL;
    ZX_TASK_RETCODE_EXCEPTION_KILL: i64 as "int64_t" = kernel_objects::task::retcode::EXCEPTION_KILL;
    ZX_TASK_RETCODE_CRITICAL_PROCESS_KILL: i64 as "int64_t" = kernel_objects::task::retcode::CRITICAL_PROCESS_KILL;
    PA_PROC_SELF: u32 as "uint32_t" = 0x01;
    PA_THREAD_SELF: u32 as "uint32_t" = 0x02;
    PA_JOB_DEFAULT: u32 as "uint32_t" = 0x03;
    PA_VMAR_ROOT: u32 as "uint32_t" = 0x04;
    PA_VMAR_LOADED: u32 as "uint32_t" = 0x05;
    PA_LDSVC_LOADER: u32 as "uint32_t" = 0x10;
    PA_VMO_VDSO: u32 as "uint32_t" = 0x11;
    PA_VMO_STACK: u32 as "uint32_t" = 0x13;
    PA_VMO_EXECUTABLE: u32 as "uint32_t" = 0x14;
    PA_NS_DIR: u32 as "uint32_t" = 0x20;
    PA_FD: u32 as "uint32_t" = 0x30;
    PA_DIRECTORY_REQUEST: u32 as "uint32_t" = 0x3b;
    PA_RESOURCE: u32 as "uint32_t" = 0x3f;
    PA_USER0: u32 as "uint32_t" = 0xf0;
    PA_USER1: u32 as "uint32_t" = 0xf1;
    PA_USER2: u32 as "uint32_t" = 0xf2;
    FDIO_FLAG_USE_FOR_STDIO: u32 as "uint32_t" = 0x8000;
    ZX_PROCARGS_PROTOCOL: u32 as "uint32_t" = 0x4150_585d;
    ZX_PROCARGS_VERSION: u32 as "uint32_t" = 0x1000;
}
