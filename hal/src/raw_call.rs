//! Host calls that touch no thread-local variable.
//!
//! A signal handler may interrupt a guest, whose FS base, and so whose thread-local variables, are then live:
//! the C library's wrappers would write the guest's memory in place of `errno`.

use std::arch::asm;

/// Makes a host call; a negative result is `-errno`.
///
/// # Safety
///
/// As for the call itself with these arguments.
pub(crate) unsafe fn syscall4(nr: i64, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    // SAFETY: the host's calling convention: rcx and r11 are lost, memory may be touched as the call says.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") nr as isize => result,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}
