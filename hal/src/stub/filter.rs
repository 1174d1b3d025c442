//! The stubs' seccomp filters: the host calls that the stub's code makes are made, all others trap.
//!
//! The first one, of the whole process, tells who makes a call by the address of the instruction, which nobody can forge, and lets even the
//! stub's code make no other calls than it needs. But a guest may jump into that code with registers of its own. So the threads that have guests get a second
//! one, which leaves them nothing but to wait for their turn and to end: only the leader, whose registers no guest can have a hand in, changes what
//! is mapped. And since a wait for orders tells the kernel that they have been carried out, they cannot wait there, nor for a time of their own choice.

use super::{
    code,
    layout::{ANSWERS, Answers, CODE, CONTROL, REGION, STEPS},
};

const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const RIP_LOW: u32 = 8;
const RIP_HIGH: u32 = 12;
/// Of an argument's lower half.
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const NOT_BELOW: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Calls that the code makes with any arguments.
const FREE: [i64; 11] = [
    libc::SYS_futex,
    libc::SYS_arch_prctl,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_getppid,
    libc::SYS_seccomp,
    libc::SYS_exit_group,
];
/// Calls with these first arguments only.
const BOUND: [(i64, u32); 3] = [
    (libc::SYS_clone, super::THREAD as u32),
    (libc::SYS_clone, libc::CLONE_PARENT as u32),
    (libc::SYS_prctl, libc::PR_SET_PDEATHSIG as u32),
];

const fn step(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

const ALLOW: libc::sock_filter = step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0);
const TRAP: libc::sock_filter = step(RETURN, libc::SECCOMP_RET_TRAP, 0, 0);
/// A guest that tries this is up to no good.
const KILL: libc::sock_filter = step(RETURN, libc::SECCOMP_RET_KILL_PROCESS, 0, 0);

/// A step as it lies in memory.
pub(super) fn packed(step: &libc::sock_filter) -> u64 {
    u64::from(step.code)
        | u64::from(step.jt) << 16
        | u64::from(step.jf) << 24
        | u64::from(step.k) << 32
}

/// Ends with `outside` for calls that code of `len` bytes at [`CODE`] does not make.
fn by_the_stub(len: u64, outside: libc::sock_filter) -> Vec<libc::sock_filter> {
    let (low, high) = (CODE as u32, (CODE >> 32) as u32);
    vec![
        step(LOAD, RIP_HIGH, 0, 0),
        step(EQUAL, high, 1, 0),
        outside,
        // The address is that behind the instruction.
        step(LOAD, RIP_LOW, 0, 0),
        step(NOT_BELOW, low + 1, 1, 0),
        outside,
        step(NOT_BELOW, low + len as u32 + 1, 0, 1),
        outside,
    ]
}

/// The filter of a process with code of `len` bytes at [`CODE`].
pub(super) fn of_process(len: u64) -> Vec<libc::sock_filter> {
    let mut steps = vec![step(LOAD, ARCH, 0, 0), step(EQUAL, AUDIT_ARCH_X86_64, 1, 0), TRAP];
    steps.extend(by_the_stub(len, TRAP));
    steps.push(step(LOAD, NUMBER, 0, 0));
    for number in FREE {
        steps.extend([step(EQUAL, number as u32, 0, 1), ALLOW]);
    }
    for (number, first) in BOUND {
        steps.extend([
            step(LOAD, NUMBER, 0, 0),
            step(EQUAL, number as u32, 0, 3),
            step(LOAD, argument(0), 0, 0),
            step(EQUAL, first, 0, 1),
            ALLOW,
        ]);
    }
    steps.push(KILL);
    steps
}

/// The filter that a thread with a guest has besides.
pub(super) fn of_guests(len: u64) -> Vec<libc::sock_filter> {
    let is_at = |index, from: u64, to: u64| {
        vec![
            step(LOAD, argument(index) + 4, 0, 0),
            step(EQUAL, (from >> 32) as u32, 1, 0),
            KILL,
            step(LOAD, argument(index), 0, 0),
            step(NOT_BELOW, from as u32, 1, 0),
            KILL,
            step(NOT_BELOW, to as u32, 0, 1),
            KILL,
        ]
    };
    // What is not the stub's is the first filter's concern.
    let mut steps = by_the_stub(len, ALLOW);
    let mut call = |number: i64, checks: Vec<libc::sock_filter>| {
        steps.extend([
            step(LOAD, NUMBER, 0, 0),
            step(EQUAL, number as u32, 0, checks.len() as u8 + 1),
        ]);
        steps.extend(checks);
        steps.push(ALLOW);
    };
    let one_of = |index, values: [u32; 2]| {
        vec![
            step(LOAD, argument(index), 0, 0),
            step(EQUAL, values[0], 2, 0),
            step(EQUAL, values[1], 1, 0),
            KILL,
        ]
    };
    let words = CONTROL + ANSWERS + size_of::<Answers>() as u64;
    let mut futex = is_at(0, words, CONTROL + REGION);
    futex.extend(one_of(1, [libc::FUTEX_WAIT as u32, libc::FUTEX_WAKE as u32]));
    // Whoever sleeps there does so until it is woken.
    futex.extend(is_at(3, 0, 1));
    call(libc::SYS_futex, futex);
    call(libc::SYS_rt_sigprocmask, is_at(1, code::NO_SIGNALS, code::NO_SIGNALS + 1));
    call(libc::SYS_arch_prctl, one_of(0, [0x1002, 0x1003])); // ARCH_SET_FS, ARCH_GET_FS
    call(libc::SYS_rt_sigreturn, Vec::new());
    call(libc::SYS_exit_group, Vec::new());
    steps.push(KILL);
    assert!(steps.len() <= STEPS, "the orders have room for the filter");
    steps
}
