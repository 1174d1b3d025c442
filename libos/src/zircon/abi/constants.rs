//! The constants of Zircon's headers.
//!
//! The one idea: a value is written once. What kernel-objects has (errors, rights, signals, types of objects, limits) is only named here;
//! the rest is defined here, and handlers use it from here. [`list`] is what the header is made from.

mod plain;

use kernel_objects::{Error, ObjectType, Rights, Signals, task::ExceptionType};

pub use plain::*;

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
    for &(name, ty, value) in plain::PLAIN {
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
