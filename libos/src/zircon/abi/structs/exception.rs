//! Exceptions, and the registers of a thread that has one.

use kernel_objects::task;

use super::structs;
use crate::zircon::abi::{CType, plain, scalar::*};

structs! {
    /// The message in an exception channel.
    ExceptionInfo = "zx_exception_info", 24 {
        /// The process.
        pid: ZxKoid,
        /// The thread.
        tid: ZxKoid,
        /// What happened: `ZX_EXCP_*`.
        r#type: u32,
        /// 0.
        padding1: [u8; 4],
    }
    /// An x87 register: 80 bits, or 64 of MMX.
    X87Register = "zx_x87_register", 16 {
        /// The low 64 bits.
        low: u64,
        /// The rest.
        high: u64,
    }
    /// The x87 registers.
    ThreadFpRegs = "zx_thread_state_fp_regs", 160 {
        /// Control word.
        fcw: u16,
        /// Status word.
        fsw: u16,
        /// Tag word, a bit for each register.
        ftw: u8,
        /// 0.
        reserved: u8,
        /// Opcode of the last instruction.
        fop: u16,
        /// Its address.
        fip: u64,
        /// The address of its operand.
        fdp: u64,
        /// 0.
        padding1: [u8; 8],
        /// From the top of the stack on.
        st: [X87Register; 8],
    }
    /// A vector register: zmm, of which ymm and xmm are the low half and quarter.
    ZmmRegister = "zx_zmm_register", 64 {
        /// 64 bits each.
        v: [u64; 8],
    }
    /// The vector registers; what the processor does not have is 0.
    ThreadVectorRegs = "zx_thread_state_vector_regs", 2120 {
        /// zmm0 to zmm31.
        zmm: [ZmmRegister; 32],
        /// k0 to k7.
        opmask: [u64; 8],
        /// Control and status.
        mxcsr: u32,
        /// 0.
        padding1: [u8; 4],
    }
    /// The general registers and the segments' bases.
    ThreadGeneralRegs = "zx_thread_state_general_regs", 160 {
        /// A register.
        rax: u64,
        /// A register.
        rbx: u64,
        /// A register.
        rcx: u64,
        /// A register.
        rdx: u64,
        /// A register.
        rsi: u64,
        /// A register.
        rdi: u64,
        /// A register.
        rbp: u64,
        /// A register.
        rsp: u64,
        /// A register.
        r8: u64,
        /// A register.
        r9: u64,
        /// A register.
        r10: u64,
        /// A register.
        r11: u64,
        /// A register.
        r12: u64,
        /// A register.
        r13: u64,
        /// A register.
        r14: u64,
        /// A register.
        r15: u64,
        /// A register.
        rip: u64,
        /// A register.
        rflags: u64,
        /// The base of FS.
        fs_base: u64,
        /// The base of GS.
        gs_base: u64,
    }
    /// What the processor and the kernel say of an exception.
    ExceptionContext = "zx_exception_context", 32 {
        /// The exception's vector.
        vector: u64,
        /// Its error code.
        err_code: u64,
        /// The address of a page fault.
        cr2: u64,
        /// What happened, for exceptions that are not the processor's.
        synth_code: u32,
        /// More of that.
        synth_data: u32,
    }
    /// What kind of exception it is.
    ExceptionHeader = "zx_exception_header", 8 {
        /// How many bytes the report has.
        size: u32,
        /// What happened: `ZX_EXCP_*`.
        r#type: u32,
    }
    /// `ZX_INFO_THREAD_EXCEPTION_REPORT`.
    ExceptionReport = "zx_exception_report", 40 {
        /// What happened.
        header: ExceptionHeader,
        /// What is known of it.
        context: ExceptionContext,
    }
    /// The registers of restricted mode.
    RestrictedState = "zx_restricted_state", 160 {
        /// A register.
        rdi: u64,
        /// A register.
        rsi: u64,
        /// A register.
        rbp: u64,
        /// A register.
        rbx: u64,
        /// A register.
        rdx: u64,
        /// A register.
        rcx: u64,
        /// A register.
        rax: u64,
        /// A register.
        rsp: u64,
        /// A register.
        r8: u64,
        /// A register.
        r9: u64,
        /// A register.
        r10: u64,
        /// A register.
        r11: u64,
        /// A register.
        r12: u64,
        /// A register.
        r13: u64,
        /// A register.
        r14: u64,
        /// A register.
        r15: u64,
        /// The program counter.
        ip: u64,
        /// The flags.
        flags: u64,
        /// The base of FS.
        fs_base: u64,
        /// The base of GS: 0.
        gs_base: u64,
    }
    /// The same, and why it was left, if that was for an exception.
    RestrictedException = "zx_restricted_exception", 200 {
        /// The registers.
        state: RestrictedState,
        /// What happened.
        exception: ExceptionReport,
    }
}

impl From<&task::ExceptionReport> for ExceptionReport {
    fn from(report: &task::ExceptionReport) -> Self {
        Self {
            header: ExceptionHeader {
                size: size_of::<Self>() as u32,
                r#type: report.exception as u32,
            },
            context: ExceptionContext {
                vector: report.arch.vector,
                err_code: report.arch.error_code,
                cr2: report.arch.cr2,
                synth_code: report.synth_code,
                synth_data: report.synth_data,
            },
        }
    }
}
