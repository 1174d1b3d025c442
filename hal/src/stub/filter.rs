//! The stub's seccomp filter: host calls of the stub's code are made, all others trap.
//!
//! It tells them apart by the address of the instruction, which nobody can forge.

use super::layout::CODE;

const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
/// Offsets in `struct seccomp_data`.
const ARCH: u32 = 4;
const RIP_LOW: u32 = 8;
const RIP_HIGH: u32 = 12;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const NOT_BELOW: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// The filter for code of `len` bytes at [`CODE`].
pub(super) fn program(len: u64) -> Vec<libc::sock_filter> {
    let (low, high) = (CODE as u32, (CODE >> 32) as u32);
    let step = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    vec![
        step(LOAD, ARCH, 0, 0),
        step(EQUAL, AUDIT_ARCH_X86_64, 0, 6),
        step(LOAD, RIP_HIGH, 0, 0),
        step(EQUAL, high, 0, 4),
        step(LOAD, RIP_LOW, 0, 0),
        step(NOT_BELOW, low, 0, 2),
        step(NOT_BELOW, low + len as u32 + 1, 1, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
        step(RETURN, libc::SECCOMP_RET_TRAP, 0, 0),
    ]
}
