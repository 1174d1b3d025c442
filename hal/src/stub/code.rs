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

/// How many times a thread looks for its turn before it sleeps, if it is to look at all; four times that after it had to wake the kernel.
const LOOKS: u32 = 400;

/// Loads the guest's general registers but the stack pointer from the block, by moves only: on both ways in.
macro_rules! load_general {
    () => {
        concat!(
            "mov rax, gs:[{call_rax}]\n",
            "mov rbx, gs:[{rbx}]\n",
            "mov rcx, gs:[{rcx}]\n",
            "mov rdx, gs:[{call_rdx}]\n",
            "mov rsi, gs:[{call_rsi}]\n",
            "mov rdi, gs:[{call_rdi}]\n",
            "mov rbp, gs:[{rbp}]\n",
            "mov r8, gs:[{call_r8}]\n",
            "mov r9, gs:[{call_r9}]\n",
            "mov r10, gs:[{call_r10}]\n",
            "mov r11, gs:[{r11}]\n",
            "mov r12, gs:[{r12}]\n",
            "mov r13, gs:[{r13}]\n",
            "mov r14, gs:[{r14}]\n",
            "mov r15, gs:[{r15}]\n",
        )
    };
}

/// Stores what no register has: the FS base and, if that was asked for (the flags are in r12d), the CPU. Changes eax, ecx, edx, esi, edi, r11.
macro_rules! save_place {
    () => {
        concat!(
            "test r12d, {tell_cpu}\n",
            "jz 22f\n",
            "rdtscp\n",
            "mov gs:[{cpu}], ecx\n",
            "22:\n",
            "test dword ptr gs:[{fsgsbase}], 1\n",
            "jz 23f\n",
            "rdfsbase rcx\n",
            "mov gs:[{fs}], rcx\n",
            "jmp 24f\n",
            "23:\n",
            "mov eax, 158\n",
            "mov edi, 0x1003\n", // ARCH_GET_FS
            "mov rsi, gs:[{own}]\n",
            "add rsi, {fs}\n",
            "syscall\n",
            "24:\n",
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
    "xor ebx, ebx",
    "xor r12d, r12d",
    "test rax, rax",
    "jz hal_stub_published",

    "hal_stub_die:",
    "mov eax, 231", // exit_group
    "mov edi, 1",
    "syscall",

    // From a rewritten call site: rcx = the address after the call, r11 = where to go on, all else the guest's. The kernel waits
    // for the message; what goes into it is written last and at once.
    ".globl hal_stub_exit",
    "hal_stub_exit:",
    "mov gs:[{target}], r11",
    "mov gs:[{rip}], rcx",
    "mov gs:[{rcx}], rcx",
    "mov gs:[{rbx}], rbx",
    "mov gs:[{rbp}], rbp",
    "mov gs:[{rsp}], rsp",
    "mov gs:[{r12}], r12",
    "mov gs:[{r13}], r13",
    "mov gs:[{r14}], r14",
    "mov gs:[{r15}], r15",
    "mov rsp, gs:[{stack_top}]",
    "pushfq",
    "pop rcx",
    "mov gs:[{rflags}], rcx",
    "mov gs:[{r11}], rcx",
    // Single steps end here.
    "test ecx, 0x100",
    "jz 21f",
    "push 0x202",
    "popfq",
    "21:",
    "mov r12d, gs:[{note}]",
    "mov r13, rax",
    "mov r14, rdx",
    "mov r15, rdi",
    "mov rbx, rsi",
    save_place!(),
    "mov gs:[{call_rax}], r13",
    "mov gs:[{call_rdi}], r15",
    "mov gs:[{call_rsi}], rbx",
    "mov gs:[{call_rdx}], r14",
    "mov gs:[{call_r10}], r10",
    "mov gs:[{call_r8}], r8",
    "mov gs:[{call_r9}], r9",
    "xor ebx, ebx",

    // ebx = why the guest was left, r12d = the flags that it was entered with.
    "hal_stub_published:",
    "mov dword ptr gs:[{poke}], 0",
    "mov gs:[{note}], ebx",
    "mov eax, {kernel}",
    "xchg gs:[{turn}], eax",
    "xor ecx, ecx",
    "test r12d, {spin}",
    "jz 21f",
    "mov ecx, {looks}",
    "21:",
    "test eax, {kernel_sleeps}",
    "jz hal_stub_wait",
    // It takes its time.
    "lea ebp, [rcx * 4]",
    "mov eax, 202", // futex
    "mov rdi, gs:[{own}]",
    "add rdi, {turn}",
    "mov esi, 1", // FUTEX_WAKE
    "mov edx, 1",
    "xor r10d, r10d",
    "syscall",
    "mov ecx, ebp",

    "hal_stub_wait:",
    "mov eax, gs:[{turn}]",
    "test eax, {kernel}",
    "jz 3f",
    "sub ecx, 1",
    "js 2f",
    "pause",
    "jmp hal_stub_wait",
    "2:",
    "mov edx, eax",
    "or edx, {stub_sleeps}",
    "lock cmpxchg gs:[{turn}], edx",
    "jne hal_stub_wait",
    "mov eax, 202",
    "mov rdi, gs:[{own}]",
    "add rdi, {turn}",
    "xor esi, esi", // FUTEX_WAIT
    "xor r10d, r10d",
    "syscall",
    "xor ecx, ecx",
    "jmp hal_stub_wait",

    "3:",
    "mov ebx, gs:[{note}]",
    "test ebx, {rarely}",
    "jz hal_stub_resume",
    "test ebx, {save}",
    "jz 8f",
    "mov rdi, gs:[{own}]",
    "mov eax, gs:[{xstate_mask}]",
    "xor edx, edx",
    "xsave64 [rdi + {xstate}]",
    "8:",
    "mov r12d, ebx",
    "test ebx, {stay}",
    "jnz hal_stub_published",
    "test ebx, {load}",
    "jz 9f",
    "mov rdi, gs:[{own}]",
    "mov eax, gs:[{xstate_mask}]",
    "xor edx, edx",
    "xrstor64 [rdi + {xstate}]",
    "9:",
    "test ebx, {all}",
    "jz hal_stub_resume",
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
    // The arithmetic flags, as in the kernel's own door.
    "mov ecx, eax",
    "shr ecx, 11",
    "add cl, 0x7f",
    "mov ah, al",
    "sahf",
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
    "mov r12d, gs:[{note}]",
    "mov ebx, {kick}",
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
    "mov gs:[{call_r8}], rax",
    "mov rax, [rdx + 48]",
    "mov gs:[{call_r9}], rax",
    "mov rax, [rdx + 56]",
    "mov gs:[{call_r10}], rax",
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
    "mov gs:[{call_rdi}], rax",
    "mov rax, [rdx + 112]",
    "mov gs:[{call_rsi}], rax",
    "mov rax, [rdx + 120]",
    "mov gs:[{rbp}], rax",
    "mov rax, [rdx + 128]",
    "mov gs:[{rbx}], rax",
    "mov rax, [rdx + 136]",
    "mov gs:[{call_rdx}], rax",
    "mov rax, [rdx + 144]",
    "mov gs:[{call_rax}], rax",
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
    "mov ebx, edi",
    "mov r12d, gs:[{note}]",
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
    "jne 25f",
    // The handler is not returned from, so the signal is still blocked.
    "mov eax, 14", // rt_sigprocmask
    "mov edi, 2", // SIG_SETMASK
    "movabs rsi, {no_signals}",
    "xor edx, edx",
    "mov r10d, 8",
    "syscall",
    "25:",
    save_place!(),
    "jmp hal_stub_published",

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
    call_rax = const offset_of!(Block, message.call.rax),
    call_rdi = const offset_of!(Block, message.call.rdi),
    call_rsi = const offset_of!(Block, message.call.rsi),
    call_rdx = const offset_of!(Block, message.call.rdx),
    call_r10 = const offset_of!(Block, message.call.r10),
    call_r8 = const offset_of!(Block, message.call.r8),
    call_r9 = const offset_of!(Block, message.call.r9),
    rbx = const reg(offset_of!(GeneralRegs, rbx)),
    rcx = const reg(offset_of!(GeneralRegs, rcx)),
    rbp = const reg(offset_of!(GeneralRegs, rbp)),
    rsp = const reg(offset_of!(GeneralRegs, rsp)),
    r11 = const reg(offset_of!(GeneralRegs, r11)),
    r12 = const reg(offset_of!(GeneralRegs, r12)),
    r13 = const reg(offset_of!(GeneralRegs, r13)),
    r14 = const reg(offset_of!(GeneralRegs, r14)),
    r15 = const reg(offset_of!(GeneralRegs, r15)),
    rip = const reg(offset_of!(GeneralRegs, rip)),
    rflags = const reg(offset_of!(GeneralRegs, rflags)),
    altstack = const offset_of!(Block, altstack),
    no_signals = const NO_SIGNALS,
    target = const offset_of!(Block, target),
    own = const offset_of!(Block, own),
    stack_top = const offset_of!(Block, stack_top),
    fsgsbase = const offset_of!(Block, fsgsbase),
    poke = const offset_of!(Block, poke),
    cpu = const offset_of!(Block, cpu),
    turn = const offset_of!(Block, message.turn),
    note = const offset_of!(Block, message.note),
    looks = const LOOKS,
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
    all = const Flags::ALL.bits(),
    spin = const Flags::SPIN.bits(),
    tell_cpu = const Flags::TELL_CPU.bits(),
    rarely = const Flags::SAVE.union(Flags::LOAD).union(Flags::STAY).union(Flags::ALL).bits(),
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
