//! The door between kernel and guest: the few dozen instructions that load a guest's registers and jump to it, and
//! the one way back. The idea: both ranges of code are known by address, so that a signal handler can tell "in the
//! guest", "on the way in" (turn round) and "on the way out" (let it finish) from the interrupted `rip` alone.

use std::{
    arch::{asm, naked_asm},
    mem::offset_of,
};

use super::{GeneralRegs, UserContext, worker::WorkerState};

/// `rflags` bits that kernel code must never run with: TF, DF, NT, AC.
pub(super) const KERNEL_HOSTILE_FLAGS: u64 = 1 << 8 | 1 << 10 | 1 << 14 | 1 << 18;
/// The flags with which kernel code starts: interrupts on (which user mode cannot change anyway) and nothing else.
pub(super) const KERNEL_FLAGS: u64 = 0x202;
/// Flags that the fast way in can load (CF, PF, AF, ZF, SF, OF), and those that are always set.
const ARITHMETIC_FLAGS: i32 = 0x8d5 | KERNEL_FLAGS as i32;
/// The exception flags of `mxcsr`: they stick, and kernel code does not look at them.
const MXCSR_FLAGS: i32 = 0x3f;
/// `mxcsr` as kernel code expects it: all exceptions masked, round to nearest.
pub(super) const KERNEL_MXCSR: u32 = 0x1f80;

/// Why the guest was left, as the asm returns it: 0 is a system call through a rewritten site.
pub(super) const CAUSE_SYSCALL: u32 = 0;
/// A kick was pending before the guest was entered.
pub(super) const CAUSE_KICKED: u32 = 1;
/// A signal handler filled in `UserContext::signal_trap`.
pub(super) const CAUSE_SIGNAL: u32 = 2;

const fn gpr(offset: usize) -> usize {
    offset_of!(UserContext, regs) + offset
}

/// Enters the guest; returns one of the `CAUSE_*` values when it has been left.
///
/// No `call` and no `ret` is executed between guest and caller, so that the CPU's stack of return addresses stays the guest's:
/// with them, the guest's next return would be mispredicted, and so would ours.
///
/// # Safety
///
/// `worker` is the state of the calling thread, attached; `ctx` is exclusively the caller's and its `kick` pointer
/// is valid for the call. Between this and its return the thread runs guest code.
#[inline(always)]
pub(super) unsafe fn enter(ctx: *mut UserContext, worker: *mut WorkerState) -> u32 {
    let cause;
    // SAFETY: by the contract; the door returns to the label with the callee-saved registers and the stack as they were.
    unsafe {
        asm!(
            "lea rax, [rip + 2f]",
            "push rax",
            "jmp {door}",
            "2:",
            door = sym door,
            in("rdi") ctx,
            in("rsi") worker,
            lateout("eax") cause,
            clobber_abi("C"),
        );
    }
    cause
}

/// Loads the guest's general registers but the stack pointer from the context at `rdi`, by moves only: on both ways in.
macro_rules! load_general {
    () => {
        concat!(
            "mov rax, [rdi + {rax}]\n",
            "mov rbx, [rdi + {rbx}]\n",
            "mov rcx, [rdi + {rcx}]\n",
            "mov rdx, [rdi + {rdx}]\n",
            "mov rsi, [rdi + {rsi}]\n",
            "mov rbp, [rdi + {rbp}]\n",
            "mov r8, [rdi + {r8}]\n",
            "mov r9, [rdi + {r9}]\n",
            "mov r10, [rdi + {r10}]\n",
            "mov r11, [rdi + {r11}]\n",
            "mov r12, [rdi + {r12}]\n",
            "mov r13, [rdi + {r13}]\n",
            "mov r14, [rdi + {r14}]\n",
            "mov r15, [rdi + {r15}]\n",
            "mov rdi, [rdi + {rdi}]\n",
        )
    };
}

/// Stores what the guest's vector registers hold in the context at `r11`: on both ways out.
macro_rules! save_vector {
    () => {
        concat!(
            "stmxcsr [r11 + {c_mxcsr}]\n",
            "movups [r11 + {c_xmm} + 0x00], xmm0\n",
            "movups [r11 + {c_xmm} + 0x10], xmm1\n",
            "movups [r11 + {c_xmm} + 0x20], xmm2\n",
            "movups [r11 + {c_xmm} + 0x30], xmm3\n",
            "movups [r11 + {c_xmm} + 0x40], xmm4\n",
            "movups [r11 + {c_xmm} + 0x50], xmm5\n",
            "movups [r11 + {c_xmm} + 0x60], xmm6\n",
            "movups [r11 + {c_xmm} + 0x70], xmm7\n",
            "movups [r11 + {c_xmm} + 0x80], xmm8\n",
            "movups [r11 + {c_xmm} + 0x90], xmm9\n",
            "movups [r11 + {c_xmm} + 0xa0], xmm10\n",
            "movups [r11 + {c_xmm} + 0xb0], xmm11\n",
            "movups [r11 + {c_xmm} + 0xc0], xmm12\n",
            "movups [r11 + {c_xmm} + 0xd0], xmm13\n",
            "movups [r11 + {c_xmm} + 0xe0], xmm14\n",
            "movups [r11 + {c_xmm} + 0xf0], xmm15\n",
        )
    };
}

/// The door; its return address is on the stack, as if it had been called.
///
/// # Safety
///
/// As [`enter`], and only to be jumped to by it.
#[unsafe(naked)]
unsafe extern "C" fn door(ctx: *mut UserContext, worker: *mut WorkerState) -> u32 {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "mov [rsi + {w_krsp}], rsp",
        // The way in. Up to the final jump nothing in `ctx` is written, so that it can be abandoned at any point.
        ".globl hal_context_enter_begin",
        "hal_context_enter_begin:",
        "mov [rsi + {w_ctx}], rdi",
        "mov rax, [rdi + {c_kick}]",
        "cmp byte ptr [rax], 0",
        "jne 9f",
        "ldmxcsr [rdi + {c_mxcsr}]",
        "movups xmm0, [rdi + {c_xmm} + 0x00]",
        "movups xmm1, [rdi + {c_xmm} + 0x10]",
        "movups xmm2, [rdi + {c_xmm} + 0x20]",
        "movups xmm3, [rdi + {c_xmm} + 0x30]",
        "movups xmm4, [rdi + {c_xmm} + 0x40]",
        "movups xmm5, [rdi + {c_xmm} + 0x50]",
        "movups xmm6, [rdi + {c_xmm} + 0x60]",
        "movups xmm7, [rdi + {c_xmm} + 0x70]",
        "movups xmm8, [rdi + {c_xmm} + 0x80]",
        "movups xmm9, [rdi + {c_xmm} + 0x90]",
        "movups xmm10, [rdi + {c_xmm} + 0xa0]",
        "movups xmm11, [rdi + {c_xmm} + 0xb0]",
        "movups xmm12, [rdi + {c_xmm} + 0xc0]",
        "movups xmm13, [rdi + {c_xmm} + 0xd0]",
        "movups xmm14, [rdi + {c_xmm} + 0xe0]",
        "movups xmm15, [rdi + {c_xmm} + 0xf0]",
        "mov rax, [rdi + {c_fs}]",
        "test byte ptr [rsi + {w_fsgsbase}], 1",
        "jz 5f",
        "wrfsbase rax",
        "2:",
        "mov rax, [rdi + {rflags}]",
        "test eax, {not_arithmetic}",
        "jnz 3f",
        "mov rbx, [rdi + {c_target}]",
        "mov [rsi + {w_target}], rbx",
        // The arithmetic flags, in a fifth of the time that popf takes: 0x7f + OF overflows when OF is 1.
        "mov ecx, eax",
        "shr ecx, 11",
        "add cl, 0x7f",
        "mov ah, al",
        "sahf",
        // From here only moves: they leave the flags alone.
        "mov rsp, [rdi + {rsp}]",
        load_general!(),
        ".globl hal_context_enter_jump",
        "hal_context_enter_jump:",
        "jmp qword ptr gs:[{w_target}]",
        // Flags such as TF must change in the same instruction as rip does.
        "3:",
        "push 0x2b",
        "push [rdi + {rsp}]",
        "push [rdi + {rflags}]",
        "push 0x33",
        "push [rdi + {c_target}]",
        load_general!(),
        ".globl hal_context_enter_iret",
        "hal_context_enter_iret:",
        "iretq",
        // No FSGSBASE: ask the host for the guest's FS base.
        "5:",
        "mov rbx, rsi",
        "mov rbp, rdi",
        "mov rsi, rax",
        "mov edi, 0x1002", // ARCH_SET_FS
        "mov eax, 158",    // SYS_arch_prctl
        "syscall",
        "mov rsi, rbx",
        "mov rdi, rbp",
        "jmp 2b",
        "9:",
        ".globl hal_context_enter_end",
        "hal_context_enter_end:",
        "mov qword ptr [rsi + {w_ctx}], 0",
        "mov eax, {kicked}",
        "jmp 8f",

        // The way out of a rewritten site: rcx = the address after the call, r11 = where to go on, all else the guest's.
        ".globl hal_context_exit_begin",
        "hal_context_exit_begin:",
        "mov gs:[{w_target}], r11",
        "mov r11, gs:[{w_ctx}]",
        "mov [r11 + {rsp}], rsp",
        "mov rsp, gs:[{w_krsp}]",
        "mov [r11 + {rax}], rax",
        "mov [r11 + {rbx}], rbx",
        "mov [r11 + {rcx}], rcx",
        "mov [r11 + {rdx}], rdx",
        "mov [r11 + {rsi}], rsi",
        "mov [r11 + {rdi}], rdi",
        "mov [r11 + {rbp}], rbp",
        "mov [r11 + {r8}], r8",
        "mov [r11 + {r9}], r9",
        "mov [r11 + {r10}], r10",
        "mov [r11 + {r12}], r12",
        "mov [r11 + {r13}], r13",
        "mov [r11 + {r14}], r14",
        "mov [r11 + {r15}], r15",
        "mov [r11 + {rip}], rcx",
        "mov [r11 + {c_exit_rip}], rcx",
        "mov rax, gs:[{w_target}]",
        "mov [r11 + {c_resume}], rax",
        "pushfq",
        "pop rax",
        "mov [r11 + {rflags}], rax",
        "mov [r11 + {r11}], rax",
        "test eax, {hostile}",
        "jz 2f",
        "push {kernel_flags}",
        "popfq",
        "2:",
        save_vector!(),
        "test byte ptr gs:[{w_fsgsbase}], 1",
        "jz 5f",
        "rdfsbase rax",
        "mov [r11 + {c_fs}], rax",
        "mov rax, gs:[{w_kfs}]",
        "wrfsbase rax",
        "3:",
        "xor eax, eax",
        // Loading it takes time: not when all but the exception flags is as it should be.
        "mov ecx, [r11 + {c_mxcsr}]",
        "and ecx, {mxcsr_modes}",
        "cmp ecx, {mxcsr}",
        "je 7f",
        "jmp 6f",

        // Signal handlers come in here: r11 = context, rsp = kernel stack, FS = kernel's, eax = cause. Vector state is live.
        ".globl hal_context_exit_tail",
        "hal_context_exit_tail:",
        save_vector!(),
        // Abandoned entries come in here: the context in memory is whole.
        ".globl hal_context_exit_abort",
        "hal_context_exit_abort:",
        "6:",
        "ldmxcsr gs:[{w_mxcsr}]",
        "7:",
        "mov qword ptr gs:[{w_ctx}], 0",
        "8:",
        ".globl hal_context_exit_end",
        "hal_context_exit_end:",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "pop rdx",
        "jmp rdx",
        // No FSGSBASE: all registers are saved by now, so host calls may use them.
        "5:",
        "mov rbx, r11",
        "mov edi, 0x1003", // ARCH_GET_FS
        "lea rsi, [rbx + {c_fs}]",
        "mov eax, 158",
        "syscall",
        "mov edi, 0x1002", // ARCH_SET_FS
        "mov rsi, gs:[{w_kfs}]",
        "mov eax, 158",
        "syscall",
        "mov r11, rbx",
        "jmp 3b",
        ".globl hal_context_exit_far_end",
        "hal_context_exit_far_end:",
        rax = const gpr(offset_of!(GeneralRegs, rax)),
        rbx = const gpr(offset_of!(GeneralRegs, rbx)),
        rcx = const gpr(offset_of!(GeneralRegs, rcx)),
        rdx = const gpr(offset_of!(GeneralRegs, rdx)),
        rsi = const gpr(offset_of!(GeneralRegs, rsi)),
        rdi = const gpr(offset_of!(GeneralRegs, rdi)),
        rbp = const gpr(offset_of!(GeneralRegs, rbp)),
        rsp = const gpr(offset_of!(GeneralRegs, rsp)),
        r8 = const gpr(offset_of!(GeneralRegs, r8)),
        r9 = const gpr(offset_of!(GeneralRegs, r9)),
        r10 = const gpr(offset_of!(GeneralRegs, r10)),
        r11 = const gpr(offset_of!(GeneralRegs, r11)),
        r12 = const gpr(offset_of!(GeneralRegs, r12)),
        r13 = const gpr(offset_of!(GeneralRegs, r13)),
        r14 = const gpr(offset_of!(GeneralRegs, r14)),
        r15 = const gpr(offset_of!(GeneralRegs, r15)),
        rip = const gpr(offset_of!(GeneralRegs, rip)),
        rflags = const gpr(offset_of!(GeneralRegs, rflags)),
        c_fs = const offset_of!(UserContext, fs_base),
        c_xmm = const offset_of!(UserContext, xmm),
        c_mxcsr = const offset_of!(UserContext, mxcsr),
        c_kick = const offset_of!(UserContext, kick_flag),
        c_target = const offset_of!(UserContext, target),
        c_exit_rip = const offset_of!(UserContext, exit_rip),
        c_resume = const offset_of!(UserContext, resume),
        w_ctx = const offset_of!(WorkerState, ctx),
        w_krsp = const offset_of!(WorkerState, kernel_rsp),
        w_kfs = const offset_of!(WorkerState, kernel_fs),
        w_target = const offset_of!(WorkerState, target),
        w_mxcsr = const offset_of!(WorkerState, kernel_mxcsr),
        w_fsgsbase = const offset_of!(WorkerState, fsgsbase),
        not_arithmetic = const !ARITHMETIC_FLAGS,
        mxcsr = const KERNEL_MXCSR,
        mxcsr_modes = const !MXCSR_FLAGS,
        hostile = const KERNEL_HOSTILE_FLAGS,
        kernel_flags = const KERNEL_FLAGS,
        kicked = const CAUSE_KICKED,
    )
}

/// The labels below are in the door's text, which a binary that attaches but never enters a guest would leave out.
#[used]
static DOOR: unsafe extern "C" fn(*mut UserContext, *mut WorkerState) -> u32 = door;

unsafe extern "C" {
    static hal_context_enter_begin: u8;
    static hal_context_enter_jump: u8;
    static hal_context_enter_iret: u8;
    static hal_context_enter_end: u8;
    static hal_context_exit_begin: u8;
    static hal_context_exit_tail: u8;
    static hal_context_exit_abort: u8;
    static hal_context_exit_end: u8;
    static hal_context_exit_far_end: u8;
}

/// Where a `rip` above the boundary is, seen from the door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// On the way in: the context is whole in memory and the entry can be abandoned.
    Entering,
    /// At the very jump into the guest: a fault here is the guest's (its `rip` is no address).
    EnterJump,
    /// On the way out: let it finish.
    Leaving,
    /// Elsewhere: kernel code, or a guest that jumped above the boundary.
    Outside,
}

/// Classifies `rip`. Safe to call in a signal handler.
pub(super) fn place(rip: u64) -> Place {
    let at = |label: *const u8| label as u64;
    if rip == at(&raw const hal_context_enter_jump) || rip == at(&raw const hal_context_enter_iret)
    {
        return Place::EnterJump;
    }
    if (at(&raw const hal_context_enter_begin)..at(&raw const hal_context_enter_end)).contains(&rip)
    {
        return Place::Entering;
    }
    if (at(&raw const hal_context_exit_begin)..at(&raw const hal_context_exit_end)).contains(&rip)
        || (at(&raw const hal_context_exit_end)..at(&raw const hal_context_exit_far_end))
            .contains(&rip)
    {
        return Place::Leaving;
    }
    Place::Outside
}

/// Where rewritten sites jump to.
pub(super) fn exit_entry() -> u64 {
    (&raw const hal_context_exit_begin) as u64
}

/// Where a signal handler sends a thread that leaves the guest with its vector state live.
pub(super) fn exit_tail() -> u64 {
    (&raw const hal_context_exit_tail) as u64
}

/// Where a signal handler sends a thread whose entry it abandons.
pub(super) fn exit_abort() -> u64 {
    (&raw const hal_context_exit_abort) as u64
}
