//! The code of a stub: the only code besides the guest's that a stub's process has.
//!
//! The one idea: it is position-independent, has no data and uses no stack but the signal stack, and it touches no vector register, so that a
//! guest's stay where they are across a trap. The kernel never runs it: it is copied into an [image](super::image) of its own. The leader
//! knows what it finds in its [`Orders`](super::layout::Orders), a thread with a guest what is in its
//! [`Block`](super::layout::Block), at the GS base.
//!
//! ```text
//!  leader:   wait ◄──────────────────────────┐ sleep on the number of the orders
//!              │ another number              │
//!            make the host calls ── publish ─┘
//!              └ clone: a process begins with a leader, a thread below, with its filter
//!
//!            a rewritten call site jumps        a host signal: fault, seccomp's SIGSYS, kick
//!                        │                                   │
//!                      exit                               handler ── in this code? ── kick on the way in: turn round
//!                        │ registers → block                 │ registers → block      kick elsewhere:    note it (poke)
//!                        └──────────────┬────────────────────┘                        anything else:     die
//!                                    publish          turn := kernel's; wake it if it sleeps
//!                                       │
//!          ┌───────────────────────── wait ◄────────┐ spin, then sleep on the turn
//!          │ the turn is the guest's               │
//!     save the vector state, if told so ─ stay? ───┘ publish again
//!          │
//!       resume: block → registers, jump
//! ```

use std::{arch::global_asm, mem::offset_of, slice};

use super::{
    layout::{ANSWERS, Answers, Block, CONTROL, Flags, Orders, REGION},
    turn,
};
use crate::context::GeneralRegs;

const fn reg(offset: usize) -> usize {
    offset_of!(Block, regs) + offset
}

/// Where threads find the mask by which they take signals again.
pub(super) const NO_SIGNALS: u64 = CONTROL + offset_of!(Orders, no_signals) as u64;

/// Loads the guest's general registers but the stack pointer from the block, by moves only: on both ways in.
macro_rules! load_general {
    () => {
        concat!(
            "mov rax, gs:[{rax}]\n",
            "mov rbx, gs:[{rbx}]\n",
            "mov rcx, gs:[{rcx}]\n",
            "mov rdx, gs:[{rdx}]\n",
            "mov rsi, gs:[{rsi}]\n",
            "mov rdi, gs:[{rdi}]\n",
            "mov rbp, gs:[{rbp}]\n",
            "mov r8, gs:[{r8}]\n",
            "mov r9, gs:[{r9}]\n",
            "mov r10, gs:[{r10}]\n",
            "mov r11, gs:[{r11}]\n",
            "mov r12, gs:[{r12}]\n",
            "mov r13, gs:[{r13}]\n",
            "mov r14, gs:[{r14}]\n",
            "mov r15, gs:[{r15}]\n",
        )
    };
}

global_asm!(
    ".pushsection .rodata.hal_stub, \"a\"",
    ".balign 64",
    ".globl hal_stub_begin",
    "hal_stub_begin:",
    // The first instruction of the zygote, whose region is the first of the control file.
    ".globl hal_stub_start",
    "hal_stub_start:",
    "xor r14d, r14d",
    // A process, whose region begins at r14: maps it and leads.
    "hal_stub_process:",
    "mov eax, 9", // mmap
    "movabs rdi, {control}",
    "mov esi, {answers}",
    "mov edx, 1", // PROT_READ
    "mov r10d, 0x11", // MAP_SHARED | MAP_FIXED
    "mov r8d, 4",
    "mov r9, r14",
    "syscall",
    "mov eax, 9",
    "movabs rdi, {control_answers}",
    "mov esi, {writable}",
    "mov edx, 3", // PROT_READ | PROT_WRITE
    "mov r10d, 0x11",
    "mov r8d, 4",
    "lea r9, [r14 + {answers}]",
    "syscall",
    "movabs r12, {control}",
    "movabs r15, {control_answers}",
    "mov eax, 157", // prctl
    "mov edi, 1", // PR_SET_PDEATHSIG
    "mov esi, 9",
    "syscall",
    // Whoever is to be outlived may have ended before.
    "mov eax, 110", // getppid
    "syscall",
    "cmp eax, [r12 + {parent}]",
    "jne hal_stub_die",
    "xor esp, esp",
    "xor ebx, ebx",

    // The leader: ebx = the orders that have been carried out.
    "hal_stub_led:",
    "mov eax, {kernel}",
    "xchg [r15 + {answers_turn}], eax",
    "test eax, {kernel_sleeps}",
    "jz hal_stub_lead",
    "mov eax, 202", // futex
    "lea rdi, [r15 + {answers_turn}]",
    "mov esi, 1", // FUTEX_WAKE
    "mov edx, 1",
    "syscall",
    "hal_stub_lead:",
    "mov eax, [r12 + {number}]",
    "cmp eax, ebx",
    "jne 3f",
    "mov eax, 202",
    "lea rdi, [r12 + {number}]",
    "xor esi, esi", // FUTEX_WAIT
    "mov edx, ebx",
    "xor r10d, r10d",
    "syscall",
    "jmp hal_stub_lead",
    "3:",
    "mov ebx, eax",
    "lea rbp, [r12 + {commands}]",
    "mov r13, [r12 + {count}]",
    "4:",
    "test r13, r13",
    "jz hal_stub_led",
    "mov r14, [rbp]",
    "mov rax, r14",
    "mov rdi, [rbp + 8]",
    "mov rsi, [rbp + 16]",
    "mov rdx, [rbp + 24]",
    "mov r10, [rbp + 32]",
    "mov r8, [rbp + 40]",
    "mov r9, [rbp + 48]",
    "syscall",
    "cmp r14d, 56", // clone
    "je 5f",
    // Nobody would know what this process has mapped.
    "cmp rax, -4095",
    "jae hal_stub_die",
    "jmp 6f",
    "5:",
    "test rax, rax",
    "jz 7f",
    "6:",
    "mov [r15 + {result}], rax",
    "sub r13, 1",
    "add rbp, 56",
    "jmp 4b",
    "7:",
    "mov r14, r9",
    "test edi, 0x100", // CLONE_VM
    "jz hal_stub_process",

    // A new thread, whose block is at r14.
    "mov eax, 158", // arch_prctl
    "mov edi, 0x1001", // ARCH_SET_GS
    "mov rsi, r14",
    "syscall",
    "mov eax, 131", // sigaltstack
    "lea rdi, [r14 + {altstack}]",
    "xor esi, esi",
    "syscall",
    "mov eax, 317", // seccomp
    "mov edi, 1", // SECCOMP_SET_MODE_FILTER
    "mov esi, 4", // SECCOMP_FILTER_FLAG_SPEC_ALLOW
    "lea rdx, [r12 + {filter}]",
    "syscall",
    "test rax, rax",
    "jz hal_stub_published",

    "hal_stub_die:",
    "mov eax, 231", // exit_group
    "mov edi, 1",
    "syscall",

    // From a rewritten call site: rcx = the address after the call, r11 = where to go on, all else the guest's.
    ".globl hal_stub_exit",
    "hal_stub_exit:",
    "mov gs:[{resume}], r11",
    "mov gs:[{rip}], rcx",
    "mov gs:[{rcx}], rcx",
    "mov gs:[{rax}], rax",
    "mov gs:[{rbx}], rbx",
    "mov gs:[{rdx}], rdx",
    "mov gs:[{rsi}], rsi",
    "mov gs:[{rdi}], rdi",
    "mov gs:[{rbp}], rbp",
    "mov gs:[{rsp}], rsp",
    "mov gs:[{r8}], r8",
    "mov gs:[{r9}], r9",
    "mov gs:[{r10}], r10",
    "mov gs:[{r12}], r12",
    "mov gs:[{r13}], r13",
    "mov gs:[{r14}], r14",
    "mov gs:[{r15}], r15",
    "mov rsp, gs:[{stack_top}]",
    "pushfq",
    "pop rax",
    "mov gs:[{rflags}], rax",
    "mov gs:[{r11}], rax",
    // Single steps end here.
    "test eax, 0x100",
    "jz 21f",
    "push 0x202",
    "popfq",
    "21:",
    "mov dword ptr gs:[{cause}], 0",

    // The registers are in the block, the FS base is not.
    "hal_stub_publish:",
    "rdtscp",
    "mov gs:[{cpu}], ecx",
    "test dword ptr gs:[{fsgsbase}], 1",
    "jz 2f",
    "rdfsbase rax",
    "mov gs:[{fs}], rax",
    "jmp hal_stub_published",
    "2:",
    "mov eax, 158",
    "mov edi, 0x1003", // ARCH_GET_FS
    "mov rsi, gs:[{own}]",
    "add rsi, {fs}",
    "syscall",

    "hal_stub_published:",
    "mov dword ptr gs:[{poke}], 0",
    "mov eax, {kernel}",
    "xchg gs:[{turn}], eax",
    "test eax, {kernel_sleeps}",
    "jz hal_stub_wait",
    "mov eax, 202", // futex
    "mov rdi, gs:[{own}]",
    "add rdi, {turn}",
    "mov esi, 1", // FUTEX_WAKE
    "mov edx, 1",
    "xor r10d, r10d",
    "syscall",

    "hal_stub_wait:",
    "mov ecx, gs:[{spin}]",
    "21:",
    "mov eax, gs:[{turn}]",
    "test eax, {kernel}",
    "jz 3f",
    "sub ecx, 1",
    "js 2f",
    "pause",
    "jmp 21b",
    "2:",
    "mov edx, eax",
    "or edx, {stub_sleeps}",
    "lock cmpxchg gs:[{turn}], edx",
    "jne 21b",
    "mov eax, 202",
    "mov rdi, gs:[{own}]",
    "add rdi, {turn}",
    "xor esi, esi", // FUTEX_WAIT
    "xor r10d, r10d",
    "syscall",
    "xor ecx, ecx",
    "jmp 21b",

    "3:",
    "mov ebx, gs:[{flags}]",
    "test ebx, {save}",
    "jz 8f",
    "mov rdi, gs:[{own}]",
    "mov eax, gs:[{xstate_mask}]",
    "xor edx, edx",
    "xsave64 [rdi + {xstate}]",
    "8:",
    "test ebx, {stay}",
    "jnz hal_stub_published",
    "test ebx, {load}",
    "jz 9f",
    "mov rdi, gs:[{own}]",
    "mov eax, gs:[{xstate_mask}]",
    "xor edx, edx",
    "xrstor64 [rdi + {xstate}]",
    "9:",
    "test dword ptr gs:[{fsgsbase}], 1",
    "jz 28f",
    "mov rax, gs:[{fs}]",
    "wrfsbase rax",
    "jmp hal_stub_resume",
    "28:",
    "mov eax, 158",
    "mov edi, 0x1002", // ARCH_SET_FS
    "mov rsi, gs:[{fs}]",
    "syscall",

    // Up to the jump nothing in the block is written, so that the way in can be abandoned at any point.
    ".globl hal_stub_resume",
    "hal_stub_resume:",
    "cmp dword ptr gs:[{poke}], 0",
    "jne hal_stub_abandoned",
    "mov rsp, gs:[{stack_top}]",
    "mov rax, gs:[{rflags}]",
    "test eax, {not_arithmetic}",
    "jnz 21f",
    // Other code may be there than what was fetched; iret forgets that.
    "test ebx, {serialize}",
    "jnz 21f",
    "push rax",
    "popfq",
    "mov rsp, gs:[{rsp}]",
    load_general!(),
    ".globl hal_stub_jump",
    "hal_stub_jump:",
    "jmp qword ptr gs:[{target}]",
    // Flags such as TF must change in the same instruction as rip does.
    "21:",
    "push 0x2b",
    "push qword ptr gs:[{rsp}]",
    "push rax",
    "push 0x33",
    "push qword ptr gs:[{target}]",
    load_general!(),
    ".globl hal_stub_iret",
    "hal_stub_iret:",
    "iretq",
    "hal_stub_resume_end:",

    "hal_stub_abandoned:",
    "mov dword ptr gs:[{cause}], {kick}",
    "jmp hal_stub_published",

    // A host signal: edi = its number, rsi = siginfo_t, rdx = ucontext_t.
    ".globl hal_stub_handler",
    "hal_stub_handler:",
    "mov rax, [rdx + 168]",
    "lea rcx, [rip + hal_stub_begin]",
    "cmp rax, rcx",
    "jb 29f",
    "lea rcx, [rip + hal_stub_end]",
    "cmp rax, rcx",
    "jb 2f",
    "29:",
    "mov rax, [rdx + 40]",
    "mov gs:[{r8}], rax",
    "mov rax, [rdx + 48]",
    "mov gs:[{r9}], rax",
    "mov rax, [rdx + 56]",
    "mov gs:[{r10}], rax",
    "mov rax, [rdx + 64]",
    "mov gs:[{r11}], rax",
    "mov rax, [rdx + 72]",
    "mov gs:[{r12}], rax",
    "mov rax, [rdx + 80]",
    "mov gs:[{r13}], rax",
    "mov rax, [rdx + 88]",
    "mov gs:[{r14}], rax",
    "mov rax, [rdx + 96]",
    "mov gs:[{r15}], rax",
    "mov rax, [rdx + 104]",
    "mov gs:[{rdi}], rax",
    "mov rax, [rdx + 112]",
    "mov gs:[{rsi}], rax",
    "mov rax, [rdx + 120]",
    "mov gs:[{rbp}], rax",
    "mov rax, [rdx + 128]",
    "mov gs:[{rbx}], rax",
    "mov rax, [rdx + 136]",
    "mov gs:[{rdx}], rax",
    "mov rax, [rdx + 144]",
    "mov gs:[{rax}], rax",
    "mov rax, [rdx + 152]",
    "mov gs:[{rcx}], rax",
    "mov rax, [rdx + 160]",
    "mov gs:[{rsp}], rax",
    "mov rax, [rdx + 168]",
    "mov gs:[{rip}], rax",
    "mov rax, [rdx + 176]",
    // The resume flag, which the host sets in the frame of a fault, is no part of the guest's flags.
    "and eax, {not_rf}",
    "mov gs:[{rflags}], rax",
    "21:",
    "mov gs:[{cause}], edi",
    "mov eax, [rsi + 8]",
    "mov gs:[{code}], eax",
    "mov rax, [rsi + 16]",
    "mov gs:[{addr}], rax",
    "mov rax, [rsi + 24]",
    "mov gs:[{call}], rax",
    "mov rax, [rdx + 192]",
    "mov gs:[{err}], rax",
    "mov rax, [rdx + 200]",
    "mov gs:[{trapno}], rax",
    "mov rax, [rdx + 216]",
    "mov gs:[{cr2}], rax",
    // Back to the registers with what the host has put away for the handler.
    "mov r8, [rdx + 224]",
    "mov eax, -1",
    "mov edx, -1",
    "xrstor64 [r8]",
    "cmp edi, {kick}",
    "jne hal_stub_publish",
    // The handler is not returned from, so the signal is still blocked.
    "mov eax, 14", // rt_sigprocmask
    "mov edi, 2", // SIG_SETMASK
    "movabs rsi, {no_signals}",
    "xor edx, edx",
    "mov r10d, 8",
    "syscall",
    "jmp hal_stub_publish",

    // The signal has found this code.
    "2:",
    "mov rax, [rdx + 168]",
    "cmp edi, {kick}",
    "je 4f",
    "cmp edi, 5", // SIGTRAP: a single step that began in the guest
    "je hal_stub_return",
    // At the jump into the guest a fault is the guest's: its rip is no address. The block has its registers.
    "lea rcx, [rip + hal_stub_jump]",
    "cmp rax, rcx",
    "je 21b",
    "lea rcx, [rip + hal_stub_iret]",
    "cmp rax, rcx",
    "je 21b",
    // The guest has tampered with what it should not.
    "jmp hal_stub_die",
    "4:",
    "lea rcx, [rip + hal_stub_resume]",
    "cmp rax, rcx",
    "jb 5f",
    "lea rcx, [rip + hal_stub_resume_end]",
    "cmp rax, rcx",
    "jae 5f",
    "mov r8, [rdx + 224]",
    "mov eax, -1",
    "mov edx, -1",
    "xrstor64 [r8]",
    "mov eax, 14",
    "mov edi, 2",
    "movabs rsi, {no_signals}",
    "xor edx, edx",
    "mov r10d, 8",
    "syscall",
    "jmp hal_stub_abandoned",
    "5:",
    "mov dword ptr gs:[{poke}], 1",
    "hal_stub_return:",
    "add rsp, 8",
    ".globl hal_stub_restorer",
    "hal_stub_restorer:",
    "mov eax, 15", // rt_sigreturn
    "syscall",
    ".globl hal_stub_end",
    "hal_stub_end:",
    ".popsection",
    control = const CONTROL,
    answers = const ANSWERS,
    control_answers = const CONTROL + ANSWERS,
    writable = const REGION - ANSWERS,
    number = const offset_of!(Orders, number),
    count = const offset_of!(Orders, count),
    commands = const offset_of!(Orders, commands),
    parent = const offset_of!(Orders, parent),
    filter = const offset_of!(Orders, filter),
    answers_turn = const offset_of!(Answers, turn),
    result = const offset_of!(Answers, result),
    rax = const reg(offset_of!(GeneralRegs, rax)),
    rbx = const reg(offset_of!(GeneralRegs, rbx)),
    rcx = const reg(offset_of!(GeneralRegs, rcx)),
    rdx = const reg(offset_of!(GeneralRegs, rdx)),
    rsi = const reg(offset_of!(GeneralRegs, rsi)),
    rdi = const reg(offset_of!(GeneralRegs, rdi)),
    rbp = const reg(offset_of!(GeneralRegs, rbp)),
    rsp = const reg(offset_of!(GeneralRegs, rsp)),
    r8 = const reg(offset_of!(GeneralRegs, r8)),
    r9 = const reg(offset_of!(GeneralRegs, r9)),
    r10 = const reg(offset_of!(GeneralRegs, r10)),
    r11 = const reg(offset_of!(GeneralRegs, r11)),
    r12 = const reg(offset_of!(GeneralRegs, r12)),
    r13 = const reg(offset_of!(GeneralRegs, r13)),
    r14 = const reg(offset_of!(GeneralRegs, r14)),
    r15 = const reg(offset_of!(GeneralRegs, r15)),
    rip = const reg(offset_of!(GeneralRegs, rip)),
    rflags = const reg(offset_of!(GeneralRegs, rflags)),
    altstack = const offset_of!(Block, altstack),
    no_signals = const NO_SIGNALS,
    resume = const offset_of!(Block, report.resume),
    target = const offset_of!(Block, target),
    own = const offset_of!(Block, own),
    stack_top = const offset_of!(Block, stack_top),
    fsgsbase = const offset_of!(Block, fsgsbase),
    poke = const offset_of!(Block, poke),
    cpu = const offset_of!(Block, cpu),
    turn = const offset_of!(Block, turn),
    flags = const offset_of!(Block, flags),
    spin = const offset_of!(Block, spin),
    cause = const offset_of!(Block, report.cause),
    fs = const offset_of!(Block, fs_base),
    code = const offset_of!(Block, report.code),
    addr = const offset_of!(Block, report.addr),
    call = const offset_of!(Block, report.call),
    err = const offset_of!(Block, report.error),
    trapno = const offset_of!(Block, report.trapno),
    cr2 = const offset_of!(Block, report.cr2),
    xstate_mask = const offset_of!(Block, xstate_mask),
    xstate = const offset_of!(Block, xstate),
    kernel = const turn::KERNEL,
    kernel_sleeps = const turn::KERNEL_SLEEPS,
    stub_sleeps = const turn::STUB_SLEEPS,
    save = const Flags::SAVE.bits(),
    load = const Flags::LOAD.bits(),
    stay = const Flags::STAY.bits(),
    serialize = const Flags::SERIALIZE.bits(),
    // CF, PF, AF, ZF, SF, OF, and what is always set.
    not_arithmetic = const !(0x8d5 | 0x202),
    not_rf = const !(1 << 16),
    kick = const super::KICK,
);

unsafe extern "C" {
    static hal_stub_begin: u8;
    static hal_stub_end: u8;
    static hal_stub_start: u8;
    static hal_stub_exit: u8;
    static hal_stub_handler: u8;
    static hal_stub_restorer: u8;
}

/// The code's bytes.
pub(super) fn bytes() -> &'static [u8] {
    let begin = &raw const hal_stub_begin;
    let len = (&raw const hal_stub_end) as usize - begin as usize;
    // SAFETY: the assembler has put these bytes, which are never written, between the two labels.
    unsafe { slice::from_raw_parts(begin, len) }
}

fn offset(label: *const u8) -> u64 {
    label as u64 - (&raw const hal_stub_begin) as u64
}

/// Where the zygote begins, from the code's beginning.
pub(super) fn start() -> u64 {
    offset(&raw const hal_stub_start)
}

/// Where rewritten call sites jump to.
pub(super) fn exit() -> u64 {
    offset(&raw const hal_stub_exit)
}

/// The handler of host signals.
pub(super) fn handler() -> u64 {
    offset(&raw const hal_stub_handler)
}

/// Where it returns to.
pub(super) fn restorer() -> u64 {
    offset(&raw const hal_stub_restorer)
}

const _: () =
    assert!(size_of::<Block>() <= super::STACK_BEGIN as usize, "the stack begins behind the block");
