//! The kernel's own `memcpy` and its kin. The idea: a guest's wide vector registers stay live while kernel code runs, and libc's versions of
//! these functions use them; these here replace libc's in the whole program and use `xmm0-7` alone, whose guest values the
//! door has put away. For the same reason the allocator below never lets libc clear or copy.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    arch::naked_asm,
    ffi::{c_char, c_int, c_void},
};

/// Hands requests to libc's allocator, but clears and copies with the functions of this module: `calloc` and `realloc`
/// would call libc's own.
struct KernelAllocator;

// SAFETY: passes on to `System` unchanged; `alloc_zeroed` and `realloc` are the trait's, made of these two.
unsafe impl GlobalAlloc for KernelAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: KernelAllocator = KernelAllocator;

/// memcpy(3).
///
/// # Safety
///
/// As in C.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn memcpy(
    to: *mut c_void,
    from: *const c_void,
    len: usize,
) -> *mut c_void {
    naked_asm!("jmp {}", sym memmove)
}

/// memmove(3).
///
/// # Safety
///
/// As in C.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn memmove(
    to: *mut c_void,
    from: *const c_void,
    len: usize,
) -> *mut c_void {
    naked_asm!(
        "mov rax, rdi",
        "cmp rdx, 16",
        "jb 20f",
        "cmp rdx, 32",
        "ja 10f",
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + rdx - 16]",
        "movups [rdi], xmm0",
        "movups [rdi + rdx - 16], xmm1",
        "ret",
        "10:",
        "cmp rdx, 128",
        "ja 30f",
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups xmm2, [rsi + rdx - 32]",
        "movups xmm3, [rsi + rdx - 16]",
        "cmp rdx, 64",
        "jbe 11f",
        "movups xmm4, [rsi + 32]",
        "movups xmm5, [rsi + 48]",
        "movups xmm6, [rsi + rdx - 64]",
        "movups xmm7, [rsi + rdx - 48]",
        "movups [rdi + 32], xmm4",
        "movups [rdi + 48], xmm5",
        "movups [rdi + rdx - 64], xmm6",
        "movups [rdi + rdx - 48], xmm7",
        "11:",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + rdx - 32], xmm2",
        "movups [rdi + rdx - 16], xmm3",
        "ret",
        // Less than 16 bytes: two overlapping words of a fitting size.
        "20:",
        "cmp edx, 8",
        "jb 21f",
        "mov rcx, [rsi]",
        "mov r8, [rsi + rdx - 8]",
        "mov [rdi], rcx",
        "mov [rdi + rdx - 8], r8",
        "ret",
        "21:",
        "cmp edx, 4",
        "jb 22f",
        "mov ecx, [rsi]",
        "mov r8d, [rsi + rdx - 4]",
        "mov [rdi], ecx",
        "mov [rdi + rdx - 4], r8d",
        "ret",
        "22:",
        "cmp edx, 1",
        "jb 24f",
        "je 23f",
        "movzx ecx, word ptr [rsi]",
        "movzx r8d, byte ptr [rsi + rdx - 1]",
        "mov [rdi], cx",
        "mov [rdi + rdx - 1], r8b",
        "ret",
        "23:",
        "mov cl, [rsi]",
        "mov [rdi], cl",
        "24:",
        "ret",
        // More than 128 bytes.
        "30:",
        "mov rcx, rdi",
        "sub rcx, rsi",
        "cmp rcx, rdx",
        "jb 40f",
        "cmp rdx, {string}",
        "jb 31f",
        // The string instruction is slow when the source is close behind the destination.
        "neg rcx",
        "cmp rcx, 64",
        "jb 31f",
        "mov rcx, rdx",
        "rep movsb",
        "ret",
        // Forwards; the last 64 bytes are read first.
        "31:",
        "movups xmm4, [rsi + rdx - 64]",
        "movups xmm5, [rsi + rdx - 48]",
        "movups xmm6, [rsi + rdx - 32]",
        "movups xmm7, [rsi + rdx - 16]",
        "lea rcx, [rdi + rdx - 64]",
        "32:",
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups xmm2, [rsi + 32]",
        "movups xmm3, [rsi + 48]",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + 32], xmm2",
        "movups [rdi + 48], xmm3",
        "add rsi, 64",
        "add rdi, 64",
        "cmp rdi, rcx",
        "jb 32b",
        "movups [rcx], xmm4",
        "movups [rcx + 16], xmm5",
        "movups [rcx + 32], xmm6",
        "movups [rcx + 48], xmm7",
        "ret",
        // Backwards; the first 64 bytes are read first.
        "40:",
        "movups xmm4, [rsi]",
        "movups xmm5, [rsi + 16]",
        "movups xmm6, [rsi + 32]",
        "movups xmm7, [rsi + 48]",
        "41:",
        "movups xmm0, [rsi + rdx - 16]",
        "movups xmm1, [rsi + rdx - 32]",
        "movups xmm2, [rsi + rdx - 48]",
        "movups xmm3, [rsi + rdx - 64]",
        "movups [rdi + rdx - 16], xmm0",
        "movups [rdi + rdx - 32], xmm1",
        "movups [rdi + rdx - 48], xmm2",
        "movups [rdi + rdx - 64], xmm3",
        "sub rdx, 64",
        "cmp rdx, 64",
        "ja 41b",
        "movups [rdi], xmm4",
        "movups [rdi + 16], xmm5",
        "movups [rdi + 32], xmm6",
        "movups [rdi + 48], xmm7",
        "ret",
        string = const STRING,
    )
}

/// From this length on the string instructions are faster.
const STRING: usize = 1024;

/// memset(3).
///
/// # Safety
///
/// As in C.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn memset(to: *mut c_void, byte: c_int, len: usize) -> *mut c_void {
    naked_asm!(
        "mov r9, rdi",
        "movzx eax, sil",
        "cmp rdx, {string}",
        "jae 40f",
        "mov rcx, 0x0101010101010101",
        "imul rax, rcx",
        "cmp rdx, 16",
        "jb 20f",
        "movq xmm0, rax",
        "punpcklqdq xmm0, xmm0",
        "movups [rdi + rdx - 16], xmm0",
        "lea rcx, [rdi + rdx - 16]",
        "10:",
        "movups [rdi], xmm0",
        "add rdi, 16",
        "cmp rdi, rcx",
        "jb 10b",
        "mov rax, r9",
        "ret",
        "20:",
        "cmp edx, 8",
        "jb 21f",
        "mov [rdi], rax",
        "mov [rdi + rdx - 8], rax",
        "mov rax, r9",
        "ret",
        "21:",
        "cmp edx, 4",
        "jb 22f",
        "mov [rdi], eax",
        "mov [rdi + rdx - 4], eax",
        "mov rax, r9",
        "ret",
        "22:",
        "test edx, edx",
        "jz 23f",
        "mov [rdi], al",
        "mov [rdi + rdx - 1], al",
        "shr edx, 1",
        "mov [rdi + rdx], al",
        "23:",
        "mov rax, r9",
        "ret",
        "40:",
        "mov rcx, rdx",
        "rep stosb",
        "mov rax, r9",
        "ret",
        string = const STRING,
    )
}

/// memcmp(3).
///
/// # Safety
///
/// As in C.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn memcmp(a: *const c_void, b: *const c_void, len: usize) -> c_int {
    naked_asm!(
        "cmp rdx, 16",
        "jb 20f",
        "sub rdx, 16", // rdx = where the last block begins
        "xor ecx, ecx",
        "10:",
        "movups xmm0, [rdi + rcx]",
        "movups xmm1, [rsi + rcx]",
        "pcmpeqb xmm0, xmm1",
        "pmovmskb eax, xmm0",
        "sub eax, 0xffff",
        "jnz 15f",
        "add rcx, 16",
        "cmp rcx, rdx",
        "jbe 10b",
        "lea r8, [rdx + 16]",
        "cmp rcx, r8",
        "je 16f",
        "mov rcx, rdx",
        "jmp 10b",
        // eax = mask - 0xffff: its lowest set bit is the first byte that differs.
        "15:",
        "bsf eax, eax",
        "add rcx, rax",
        "movzx eax, byte ptr [rdi + rcx]",
        "movzx edx, byte ptr [rsi + rcx]",
        "sub eax, edx",
        "ret",
        "16:",
        "xor eax, eax",
        "ret",
        "20:",
        "cmp edx, 4",
        "jb 25f",
        "cmp edx, 8",
        "jb 22f",
        "mov rax, [rdi]",
        "mov rcx, [rsi]",
        "cmp rax, rcx",
        "jne 21f",
        "mov rax, [rdi + rdx - 8]",
        "mov rcx, [rsi + rdx - 8]",
        "cmp rax, rcx",
        "je 16b",
        "21:",
        "bswap rax",
        "bswap rcx",
        "cmp rax, rcx",
        "sbb eax, eax",
        "or eax, 1",
        "ret",
        "22:",
        "mov eax, [rdi]",
        "mov ecx, [rsi]",
        "cmp eax, ecx",
        "jne 21b",
        "mov eax, [rdi + rdx - 4]",
        "mov ecx, [rsi + rdx - 4]",
        "cmp eax, ecx",
        "jne 21b",
        "xor eax, eax",
        "ret",
        "25:",
        "xor ecx, ecx",
        "26:",
        "cmp rcx, rdx",
        "je 16b",
        "movzx eax, byte ptr [rdi + rcx]",
        "movzx r8d, byte ptr [rsi + rcx]",
        "inc rcx",
        "sub eax, r8d",
        "jz 26b",
        "ret",
    )
}

/// bcmp(3).
///
/// # Safety
///
/// As in C.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn bcmp(a: *const c_void, b: *const c_void, len: usize) -> c_int {
    naked_asm!("jmp {}", sym memcmp)
}

/// strlen(3).
///
/// # Safety
///
/// As in C.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn strlen(text: *const c_char) -> usize {
    // Reads whole aligned blocks of 16, which never cross into another page.
    naked_asm!(
        "pxor xmm0, xmm0",
        "mov rax, rdi",
        "mov ecx, edi",
        "and rax, -16",
        "and ecx, 15",
        "movaps xmm1, [rax]",
        "pcmpeqb xmm1, xmm0",
        "pmovmskb edx, xmm1",
        "shr edx, cl",
        "shl edx, cl",
        "test edx, edx",
        "jnz 20f",
        "10:",
        "add rax, 16",
        "movaps xmm1, [rax]",
        "pcmpeqb xmm1, xmm0",
        "pmovmskb edx, xmm1",
        "test edx, edx",
        "jz 10b",
        "20:",
        "bsf edx, edx",
        "add rax, rdx",
        "sub rax, rdi",
        "ret",
    )
}

/// memchr(3).
///
/// # Safety
///
/// As in C.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn memchr(
    from: *const c_void,
    byte: c_int,
    len: usize,
) -> *mut c_void {
    naked_asm!(
        "movzx esi, sil",
        "add rdx, rdi", // rdx = end
        "jnc 5f",
        "mov rdx, -1",
        "5:",
        "imul esi, esi, 0x01010101",
        "movd xmm0, esi",
        "pshufd xmm0, xmm0, 0",
        "10:",
        "lea rax, [rdi + 16]",
        "cmp rax, rdx",
        "ja 20f",
        "movups xmm1, [rdi]",
        "pcmpeqb xmm1, xmm0",
        "pmovmskb ecx, xmm1",
        "test ecx, ecx",
        "jnz 30f",
        "mov rdi, rax",
        "jmp 10b",
        "20:",
        "cmp rdi, rdx",
        "jae 40f",
        "cmp [rdi], sil",
        "je 35f",
        "inc rdi",
        "jmp 20b",
        "30:",
        "bsf ecx, ecx",
        "lea rax, [rdi + rcx]",
        "ret",
        "35:",
        "mov rax, rdi",
        "ret",
        "40:",
        "xor eax, eax",
        "ret",
    )
}

/// memrchr(3).
///
/// # Safety
///
/// As in C.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn memrchr(
    from: *const c_void,
    byte: c_int,
    len: usize,
) -> *mut c_void {
    naked_asm!(
        "10:",
        "sub rdx, 1",
        "jb 20f",
        "cmp [rdi + rdx], sil",
        "jne 10b",
        "lea rax, [rdi + rdx]",
        "ret",
        "20:",
        "xor eax, eax",
        "ret",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that are all different from their neighbours.
    fn sample(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 7 + i / 256) as u8).collect()
    }

    #[test]
    fn moves_copy_any_length_at_any_distance() {
        for len in (0..300).chain([1023, 1024, 1025, 5000]) {
            for (from, to) in
                [(0, 6000), (6000, 0), (100, 101), (101, 100), (64, 0), (0, 64), (9, 9)]
            {
                let before = sample(12_000);
                let mut expected = before.clone();
                expected[to..to + len].copy_from_slice(&before[from..from + len]);
                let mut got = before.clone();
                let base = got.as_mut_ptr();
                // SAFETY: both ranges are inside the vector.
                let result = unsafe { memmove(base.add(to).cast(), base.add(from).cast(), len) };
                assert_eq!(result, base.wrapping_add(to).cast());
                assert!(got == expected, "len {len} from {from} to {to}");
            }
        }
    }

    #[test]
    fn sets_fill_exactly_the_range() {
        for len in (0..200).chain([1023, 1024, 3000]) {
            let mut got = sample(4000);
            let mut expected = got.clone();
            for byte in &mut expected[17..17 + len] {
                *byte = 0xa5;
            }
            // SAFETY: inside the vector.
            unsafe { memset(got.as_mut_ptr().add(17).cast(), 0x7a5, len) };
            assert!(got == expected, "len {len}");
        }
    }

    #[test]
    fn comparisons_find_the_first_difference_and_its_sign() {
        for len in 0..130 {
            let a = sample(len);
            // SAFETY: both have `len` bytes.
            let compare =
                |x: &[u8], y: &[u8]| unsafe { memcmp(x.as_ptr().cast(), y.as_ptr().cast(), len) };
            assert_eq!(compare(&a, &a.clone()), 0);
            for at in 0..len {
                let mut b = a.clone();
                b[at] ^= 0x80;
                // A later, opposite difference must not matter.
                if at + 1 < len {
                    b[len - 1] ^= 0x80;
                }
                let sign = if a[at] < b[at] { -1 } else { 1 };
                assert_eq!(compare(&a, &b).signum(), sign, "len {len} at {at}");
                assert_eq!(compare(&b, &a).signum(), -sign, "len {len} at {at}");
            }
        }
    }

    #[test]
    fn searches_find_the_first_and_the_last_match() {
        for len in 0..70usize {
            for start in 0..17 {
                let mut text = vec![b'x'; start];
                text.resize(start + len, b'a');
                text.push(0);
                // SAFETY: terminated; the ranges are inside the vector.
                unsafe {
                    let base = text.as_ptr().add(start);
                    assert_eq!(strlen(base.cast()), len);
                    assert!(memchr(base.cast(), 0, len).is_null());
                    assert_eq!(memchr(base.cast(), 0, len + 1), base.add(len).cast_mut().cast());
                    assert!(memrchr(base.cast(), c_int::from(b'x'), len).is_null());
                    let last = if len == 0 {
                        std::ptr::null_mut()
                    } else {
                        base.add(len - 1).cast_mut().cast()
                    };
                    assert_eq!(memrchr(base.cast(), c_int::from(b'a'), len), last);
                }
            }
        }
    }

    #[test]
    fn the_program_uses_these() {
        let found = libc::memcpy as *const ();
        assert_eq!(found, memcpy as *const ());
    }
}
