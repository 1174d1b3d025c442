//! What an exception says: its type, and what the processor or the kernel knows of it.

use hal::context::{Exception as Fault, UserContext};

use crate::{
    error::{Error, Result},
    object::Koid,
    task::PolicyCondition,
};

/// What happened: `ZX_EXCP_*` (`zircon/syscalls/exception.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ExceptionType {
    /// A fault of the processor that is none of the others.
    General = 0x008,
    /// An access to memory that is not there or not allowed.
    FatalPageFault = 0x108,
    /// An instruction that does not exist.
    UndefinedInstruction = 0x208,
    /// A breakpoint instruction.
    SoftwareBreakpoint = 0x308,
    /// A breakpoint of the processor's debug registers, or a single step.
    HardwareBreakpoint = 0x408,
    /// An access that is not aligned, where that is checked.
    UnalignedAccess = 0x508,
    /// A thread starts. For process debuggers.
    ThreadStarting = 0x8008,
    /// A thread ends. For process debuggers.
    ThreadExiting = 0x8108,
    /// A thread met a condition of its job's policy.
    PolicyError = 0x8208,
    /// A process starts. For job debuggers.
    ProcessStarting = 0x8308,
    /// A thread says something to a job debugger.
    User = 0x8309,
}

impl ExceptionType {
    /// What an exception of the processor with this vector is.
    const fn of_vector(vector: u64) -> Self {
        match vector {
            1 => Self::HardwareBreakpoint,
            3 => Self::SoftwareBreakpoint,
            6 => Self::UndefinedInstruction,
            14 => Self::FatalPageFault,
            17 => Self::UnalignedAccess,
            _ => Self::General,
        }
    }

    /// Whether the processor raised it; the kernel raises the others, which are *synthetic*.
    pub const fn is_architectural(self) -> bool {
        self as u32 & 0x8000 == 0
    }
}

/// What the processor says of an exception: `zx_x86_64_exc_data_t`. All zero for a synthetic one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ArchContext {
    /// The exception's vector.
    pub vector: u64,
    /// Its error code.
    pub error_code: u64,
    /// The address of a page fault.
    pub cr2: u64,
}

/// Which condition a policy exception is about: `ZX_EXCP_POLICY_CODE_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyCode {
    /// One of the job's policy.
    Condition(PolicyCondition),
    /// Too many messages wait in a channel.
    ChannelFullWrite,
    /// Too many packets wait in a port.
    PortTooManyPackets,
    /// The number of a system call that does not exist.
    BadSyscall,
    /// Too many waits are registered with a port.
    PortTooManyObservers,
}

impl PolicyCode {
    /// Its number.
    pub const fn raw(self) -> u32 {
        match self {
            PolicyCode::Condition(condition) => condition as u32,
            PolicyCode::ChannelFullWrite => 16,
            PolicyCode::PortTooManyPackets => 17,
            PolicyCode::BadSyscall => 18,
            PolicyCode::PortTooManyObservers => 19,
        }
    }
}

/// All that is known of an exception: `zx_exception_report_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExceptionReport {
    /// What happened.
    pub exception: ExceptionType,
    /// What the processor says.
    pub arch: ArchContext,
    /// For a page fault the status of the attempt to resolve it, for a policy error a [`PolicyCode`], for a user exception what
    /// the thread gave.
    pub synth_code: u32,
    /// More of that.
    pub synth_data: u32,
}

impl ExceptionReport {
    /// One that the kernel raises.
    pub(super) const fn synthetic(exception: ExceptionType, code: u32, data: u32) -> Self {
        let arch = ArchContext { vector: 0, error_code: 0, cr2: 0 };
        ExceptionReport { exception, arch, synth_code: code, synth_data: data }
    }

    /// A page fault of the thread that runs with `context`, which could not be resolved because of `reason`.
    pub fn page_fault(context: &UserContext, reason: Error) -> Self {
        let (vector, error_code, cr2) = context.last_exception();
        ExceptionReport {
            exception: ExceptionType::FatalPageFault,
            arch: ArchContext { vector, error_code, cr2 },
            synth_code: reason.status().cast_unsigned(),
            synth_data: 0,
        }
    }

    /// An exception about a condition of a policy.
    pub(crate) const fn policy(code: PolicyCode, data: u32) -> Self {
        Self::synthetic(ExceptionType::PolicyError, code.raw(), data)
    }
}

impl ExceptionReport {
    /// What an instruction that the processor does not know is.
    pub fn undefined_instruction() -> Self {
        const VECTOR: u64 = 6;
        ExceptionReport {
            exception: ExceptionType::of_vector(VECTOR),
            arch: ArchContext { vector: VECTOR, error_code: 0, cr2: 0 },
            synth_code: 0,
            synth_data: 0,
        }
    }
}

impl From<&Fault> for ExceptionReport {
    fn from(fault: &Fault) -> Self {
        let (vector, error_code) = (fault.trapno, fault.error);
        ExceptionReport {
            exception: ExceptionType::of_vector(vector),
            arch: ArchContext { vector, error_code, cr2: 0 },
            synth_code: 0,
            synth_data: 0,
        }
    }
}

/// The bytes of the message that goes through an exception channel: `zx_exception_info_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExceptionInfo {
    /// The process in which it happened.
    pub process: Koid,
    /// The thread to which it happened.
    pub thread: Koid,
    /// The number of its [`ExceptionType`].
    pub exception: u32,
}

impl ExceptionInfo {
    /// How many bytes the message has.
    pub const SIZE: usize = 24;

    /// The message's bytes.
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..8].copy_from_slice(&self.process.to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.thread.to_ne_bytes());
        bytes[16..20].copy_from_slice(&self.exception.to_ne_bytes());
        bytes
    }

    /// What a message says.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if it has not the right size.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bytes: &[u8; Self::SIZE] = bytes.try_into().map_err(|_| Error::InvalidArgs)?;
        let [p0, p1, p2, p3, p4, p5, p6, p7, thread @ ..] = bytes;
        let [t0, t1, t2, t3, t4, t5, t6, t7, e0, e1, e2, e3, ..] = thread;
        Ok(ExceptionInfo {
            process: u64::from_ne_bytes([*p0, *p1, *p2, *p3, *p4, *p5, *p6, *p7]),
            thread: u64::from_ne_bytes([*t0, *t1, *t2, *t3, *t4, *t5, *t6, *t7]),
            exception: u32::from_ne_bytes([*e0, *e1, *e2, *e3]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_the_processor_have_zircons_types() {
        let of = |trapno| {
            let fault = Fault { signal: 11, code: 0, addr: 5, trapno, error: 7 };
            let report = ExceptionReport::from(&fault);
            assert_eq!(report.arch, ArchContext { vector: trapno, error_code: 7, cr2: 0 });
            assert!(report.exception.is_architectural());
            report.exception as u32
        };
        let types = [0, 1, 3, 6, 13, 14, 16, 17, 19].map(of);
        assert_eq!(types, [0x8, 0x408, 0x308, 0x208, 0x8, 0x108, 0x8, 0x508, 0x8]);
    }

    #[test]
    fn a_page_fault_says_why_it_was_not_resolved() {
        let report = ExceptionReport::page_fault(&UserContext::new(), Error::OutOfRange);
        assert_eq!(report.exception as u32, 0x108);
        assert_eq!(report.synth_code as i32, -14);
    }

    #[test]
    fn synthetic_types_and_policy_codes_are_zircons() {
        use ExceptionType::*;
        let types = [ThreadStarting, ThreadExiting, PolicyError, ProcessStarting, User];
        assert_eq!(types.map(|t| t as u32), [0x8008, 0x8108, 0x8208, 0x8308, 0x8309]);
        assert!(types.into_iter().all(|t| !t.is_architectural()));
        let report = ExceptionReport::policy(PolicyCode::Condition(PolicyCondition::NewPager), 0);
        assert_eq!((report.exception, report.synth_code), (PolicyError, 14));
        assert_eq!(PolicyCode::BadSyscall.raw(), 18);
    }

    #[test]
    fn the_message_has_zircons_layout() {
        let info = ExceptionInfo { process: 0x0102, thread: 0x0304, exception: 0x8008 };
        let bytes = info.to_bytes();
        assert_eq!((bytes[0], bytes[1], bytes[8], bytes[9]), (2, 1, 4, 3));
        assert_eq!((bytes[16], bytes[17]), (8, 0x80));
        assert_eq!(ExceptionInfo::from_bytes(&bytes), Ok(info));
        assert_eq!(ExceptionInfo::from_bytes(&bytes[..23]), Err(Error::InvalidArgs));
    }
}
