//! The stub's seccomp filter: the host calls that the stub's code makes are made, all others trap.
//!
//! It tells who makes a call by the address of the instruction, which nobody can forge, and lets even the stub's code make no other calls than it
//! needs. A guest that jumps into that code with registers of its own gets so far and no further: no files, no other programs, no
//! signals to others. What is not kept from it yet is to have the stub map other parts of physical memory.

use super::layout::CODE;

const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const RIP_LOW: u32 = 8;
const RIP_HIGH: u32 = 12;
const FIRST_ARGUMENT: u32 = 16;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const NOT_BELOW: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Calls that the code makes with any arguments.
const FREE: [i64; 9] = [
    libc::SYS_futex,
    libc::SYS_arch_prctl,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_exit_group,
];
/// Calls with these first arguments only.
const BOUND: [(i64, u32); 3] = [
    (libc::SYS_clone, super::THREAD as u32),
    (libc::SYS_clone, libc::CLONE_PARENT as u32),
    (libc::SYS_prctl, libc::PR_SET_PDEATHSIG as u32),
];

/// The filter for code of `len` bytes at [`CODE`].
pub(super) fn program(len: u64) -> Vec<libc::sock_filter> {
    let (low, high) = (CODE as u32, (CODE >> 32) as u32);
    let step = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    let trap = || step(RETURN, libc::SECCOMP_RET_TRAP, 0, 0);
    let allow = || step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0);
    let mut steps = vec![
        step(LOAD, ARCH, 0, 0),
        step(EQUAL, AUDIT_ARCH_X86_64, 1, 0),
        trap(),
        step(LOAD, RIP_HIGH, 0, 0),
        step(EQUAL, high, 1, 0),
        trap(),
        // The address is that behind the instruction.
        step(LOAD, RIP_LOW, 0, 0),
        step(NOT_BELOW, low + 1, 1, 0),
        trap(),
        step(NOT_BELOW, low + len as u32 + 1, 0, 1),
        trap(),
        step(LOAD, NUMBER, 0, 0),
    ];
    for number in FREE {
        steps.extend([step(EQUAL, number as u32, 0, 1), allow()]);
    }
    for (number, argument) in BOUND {
        steps.extend([
            step(LOAD, NUMBER, 0, 0),
            step(EQUAL, number as u32, 0, 3),
            step(LOAD, FIRST_ARGUMENT, 0, 0),
            step(EQUAL, argument, 0, 1),
            allow(),
        ]);
    }
    // A guest that tries this is up to no good.
    steps.push(step(RETURN, libc::SECCOMP_RET_KILL_PROCESS, 0, 0));
    steps
}
