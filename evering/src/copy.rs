//! Copying to and from memory that a peer may be writing.
//!
//! The one idea: no Rust reference to that memory ever exists, and each copy is an assembly block, which means
//! to the language what a loop of relaxed atomic loads and stores of bytes would: a peer that writes at the same
//! time makes the bytes arbitrary and nothing else. (Such a loop itself cannot be vectorised; it takes
//! up to twice as long.) Long copies use the processor's own string move, which is as fast as `memcpy` from some
//! hundred bytes on; shorter ones go by vector registers.

/// From this many bytes on the string move is as good as anything: measured on a Sapphire Rapids.
#[cfg(target_arch = "x86_64")]
const LONG: usize = 1024;

/// Copies `len` bytes.
///
/// # Safety
///
/// `from` must be valid for reads and `to` for writes of `len` bytes, and they must not overlap. If others
/// may access the bytes at the same time, they must do so by this function, by [`fill`], or by atomic operations,
/// unless they are other processes.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    use core::arch::asm;
    // SAFETY: every block below reads bytes of the `len` at `from` and writes those of the `len` at `to` only: the
    // chunks that a loop counts, and a last one that ends where the range ends and may lie over the one before
    // it. By the contract nobody's reference or plain access is concerned.
    unsafe {
        match len {
            LONG.. => asm!(
                "rep movsb",
                inout("rcx") len => _, inout("rsi") from => _, inout("rdi") to => _,
                options(nostack, preserves_flags),
            ),
            16.. => asm!(
                "2:",
                "movdqu {chunk}, [{from} + {at}]",
                "movdqu [{to} + {at}], {chunk}",
                "add {at}, 16",
                "cmp {at}, {last}",
                "jb 2b",
                "movdqu {chunk}, [{from} + {last}]",
                "movdqu [{to} + {last}], {chunk}",
                from = in(reg) from, to = in(reg) to,
                at = inout(reg) 0usize => _, last = in(reg) len - 16,
                chunk = out(xmm_reg) _,
                options(nostack),
            ),
            8.. => asm!(
                "mov {a}, [{from}]",
                "mov {b}, [{from} + {last}]",
                "mov [{to}], {a}",
                "mov [{to} + {last}], {b}",
                from = in(reg) from, to = in(reg) to, last = in(reg) len - 8,
                a = out(reg) _, b = out(reg) _,
                options(nostack, preserves_flags),
            ),
            4.. => asm!(
                "mov {a:e}, [{from}]",
                "mov {b:e}, [{from} + {last}]",
                "mov [{to}], {a:e}",
                "mov [{to} + {last}], {b:e}",
                from = in(reg) from, to = in(reg) to, last = in(reg) len - 4,
                a = out(reg) _, b = out(reg) _,
                options(nostack, preserves_flags),
            ),
            1.. => asm!(
                "2:",
                "mov {byte}, [{from} + {left} - 1]",
                "mov [{to} + {left} - 1], {byte}",
                "dec {left}",
                "jnz 2b",
                from = in(reg) from, to = in(reg) to,
                left = inout(reg) len => _,
                byte = out(reg_byte) _,
                options(nostack),
            ),
            0 => {}
        }
    }
}

/// Writes `byte` to each of `len` bytes.
///
/// # Safety
///
/// As [`copy`], for `to`.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
    // SAFETY: it writes the `len` bytes at `to`; the rest as in `copy`.
    unsafe {
        core::arch::asm!(
            "rep stosb",
            inout("rcx") len => _, inout("rdi") to => _, in("al") byte,
            options(nostack, preserves_flags),
        );
    }
}

/// Whether `len` bytes are the same here and there. What a peer writes meanwhile may be seen or not, byte by byte.
///
/// # Safety
///
/// As [`copy`], for `ours` and `shared` both read.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) unsafe fn equal(ours: *const u8, shared: *const u8, len: usize) -> bool {
    let blocks = len / BLOCK * BLOCK;
    // SAFETY: the blocks are not more than the `len` bytes; the rest as in `copy`.
    if blocks > 0 && !unsafe { equal_blocks(ours, shared, blocks) } {
        return false;
    }
    let left = len - blocks;
    if left == 0 {
        return true;
    }
    let mut rest = [0; BLOCK];
    // SAFETY: the rest is shorter than a block, and lies behind them here and there.
    let (ours, rest) = unsafe {
        copy(shared.add(blocks), rest.as_mut_ptr(), left);
        (core::slice::from_raw_parts(ours.add(blocks), left), &rest[..left])
    };
    ours == rest
}

/// What is compared at a time, in bytes.
#[cfg(target_arch = "x86_64")]
const BLOCK: usize = 128;

/// [`equal`] for whole blocks, one at least.
///
/// # Safety
///
/// As [`equal`].
#[cfg(target_arch = "x86_64")]
#[inline]
unsafe fn equal_blocks(ours: *const u8, shared: *const u8, len: usize) -> bool {
    #[cfg(feature = "std")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has the instructions; the rest says the caller.
        return unsafe { equal_wide(ours, shared, len) };
    }
    // SAFETY: the same.
    unsafe { equal_narrow(ours, shared, len) }
}

/// By registers of 32 bytes: half as many instructions, so that twice as many bytes are under way from the other CPU.
#[cfg(all(target_arch = "x86_64", feature = "std"))]
#[target_feature(enable = "avx2")]
unsafe fn equal_wide(ours: *const u8, shared: *const u8, len: usize) -> bool {
    let mask: u32;
    // SAFETY: it reads `len` bytes here and there; the rest as in `copy`.
    unsafe {
        core::arch::asm!(
            "vpcmpeqd {all}, {all}, {all}",
            "2:",
            "vmovdqu {a}, [{ours} + {at}]",
            "vmovdqu {b}, [{ours} + {at} + 32]",
            "vmovdqu {c}, [{ours} + {at} + 64]",
            "vmovdqu {d}, [{ours} + {at} + 96]",
            "vpcmpeqb {a}, {a}, [{shared} + {at}]",
            "vpcmpeqb {b}, {b}, [{shared} + {at} + 32]",
            "vpcmpeqb {c}, {c}, [{shared} + {at} + 64]",
            "vpcmpeqb {d}, {d}, [{shared} + {at} + 96]",
            "vpand {a}, {a}, {b}",
            "vpand {c}, {c}, {d}",
            "vpand {all}, {all}, {a}",
            "vpand {all}, {all}, {c}",
            "add {at}, 128",
            "cmp {at}, {end}",
            "jb 2b",
            "vpmovmskb {mask:e}, {all}",
            "vzeroupper",
            ours = in(reg) ours, shared = in(reg) shared,
            at = inout(reg) 0usize => _, end = in(reg) len, mask = out(reg) mask,
            all = out(ymm_reg) _, a = out(ymm_reg) _, b = out(ymm_reg) _,
            c = out(ymm_reg) _, d = out(ymm_reg) _,
            options(nostack, readonly),
        );
    }
    mask == u32::MAX
}

/// By registers of 16 bytes, which every processor has.
///
/// # Safety
///
/// As [`equal`].
#[cfg(target_arch = "x86_64")]
unsafe fn equal_narrow(ours: *const u8, shared: *const u8, len: usize) -> bool {
    let mask: u32;
    // SAFETY: it reads `len` bytes here and there; the rest as in `copy`.
    unsafe {
        core::arch::asm!(
            "pcmpeqd {all}, {all}",
            "2:",
            "movdqu {a}, [{ours} + {at}]",
            "movdqu {x}, [{shared} + {at}]",
            "movdqu {b}, [{ours} + {at} + 16]",
            "movdqu {y}, [{shared} + {at} + 16]",
            "pcmpeqb {a}, {x}",
            "pcmpeqb {b}, {y}",
            "pand {all}, {a}",
            "pand {all}, {b}",
            "add {at}, 32",
            "cmp {at}, {end}",
            "jb 2b",
            "pmovmskb {mask:e}, {all}",
            ours = in(reg) ours, shared = in(reg) shared,
            at = inout(reg) 0usize => _, end = in(reg) len, mask = out(reg) mask,
            all = out(xmm_reg) _, a = out(xmm_reg) _, b = out(xmm_reg) _,
            x = out(xmm_reg) _, y = out(xmm_reg) _,
            options(nostack, readonly),
        );
    }
    mask == 0xffff
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) use portable::{copy, equal, fill};

/// The loop of relaxed atomics that the assembly stands for.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

    /// # Safety
    ///
    /// As [`copy`](super::copy).
    pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
        let mut at = 0;
        let even = |at: usize| ((from as usize + at) | (to as usize + at)).is_multiple_of(8);
        while at < len {
            // SAFETY: both words and both bytes are in the ranges that the caller promises, and words are aligned.
            // Where only one side is shared the atomic access to the other is a plain one.
            unsafe {
                if even(at) && len - at >= 8 {
                    let word = (*from.add(at).cast::<AtomicU64>()).load(Relaxed);
                    (*to.add(at).cast::<AtomicU64>()).store(word, Relaxed);
                    at += 8;
                } else {
                    let byte = (*from.add(at).cast::<AtomicU8>()).load(Relaxed);
                    (*to.add(at).cast::<AtomicU8>()).store(byte, Relaxed);
                    at += 1;
                }
            }
        }
    }

    /// # Safety
    ///
    /// As [`equal`](super::equal).
    pub(crate) unsafe fn equal(ours: *const u8, shared: *const u8, len: usize) -> bool {
        // SAFETY: it is one of the `len` bytes.
        (0..len).all(|at| unsafe {
            *ours.add(at) == (*shared.add(at).cast::<AtomicU8>()).load(Relaxed)
        })
    }

    /// # Safety
    ///
    /// As [`fill`](super::fill).
    pub(crate) unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
        for at in 0..len {
            // SAFETY: it is one of the `len` bytes.
            unsafe { (*to.add(at).cast::<AtomicU8>()).store(byte, Relaxed) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use super::*;

    type Copy = unsafe fn(*const u8, *mut u8, usize);
    type Equal = unsafe fn(*const u8, *const u8, usize) -> bool;

    /// Every length around the borders between the ways to copy, from and to every alignment.
    #[test]
    fn every_length_arrives_whole_and_nothing_beside_it() {
        for copy in [copy as Copy, portable::copy] {
            for len in (0..70).chain(1000..1050).chain([4096, 10_000]) {
                for (from, to) in [(0, 0), (1, 0), (0, 7), (3, 5), (8, 9)] {
                    let source: Vec<u8> = (0..len + 16).map(|i| (i * 7 % 251) as u8).collect();
                    let mut target = vec![0xEE; len + 32];
                    // SAFETY: there are `len` bytes from there on, here and there.
                    unsafe { copy(source[from..].as_ptr(), target[to..].as_mut_ptr(), len) };
                    assert_eq!(target[to..to + len], source[from..from + len], "{len} {from} {to}");
                    assert!(target[..to].iter().chain(&target[to + len..]).all(|&b| b == 0xEE));
                }
            }
        }
    }

    #[test]
    fn a_difference_is_found_wherever_it_is() {
        for equal in [equal as Equal, portable::equal] {
            for len in [0, 1, 15, 63, 64, 65, 127, 128, 129, 255, 256, 400] {
                let ours: Vec<u8> = (0..len + 3).map(|i| (i * 7 % 251) as u8).collect();
                let mut shared = ours[3..].to_vec();
                // SAFETY: there are `len` bytes here and there.
                let same =
                    |shared: &[u8]| unsafe { equal(ours[3..].as_ptr(), shared.as_ptr(), len) };
                assert!(same(&shared), "{len}");
                for at in 0..len {
                    shared[at] ^= 0x80;
                    assert!(!same(&shared), "{at} of {len}");
                    shared[at] ^= 0x80;
                }
            }
        }
    }

    /// What the processor does not take is compared as well.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_difference_is_found_by_narrow_registers() {
        let ours: Vec<u8> = (0..256).map(|i| (i * 7 % 251) as u8).collect();
        let mut shared = ours.clone();
        // SAFETY: there are as many bytes here and there.
        let same = |shared: &[u8]| unsafe { equal_narrow(ours.as_ptr(), shared.as_ptr(), 256) };
        assert!(same(&shared));
        for at in 0..256 {
            shared[at] ^= 1;
            assert!(!same(&shared), "{at}");
            shared[at] ^= 1;
        }
    }

    #[test]
    fn filling_writes_the_range_and_nothing_beside_it() {
        for fill in [fill as unsafe fn(*mut u8, u8, usize), portable::fill] {
            for len in [0, 1, 5, 64, 5000] {
                let mut target = vec![0xEE; len + 2];
                // SAFETY: there are `len` bytes from the second on.
                unsafe { fill(target[1..].as_mut_ptr(), 7, len) };
                assert!(target[1..=len].iter().all(|&b| b == 7));
                assert_eq!((target[0], target[len + 1]), (0xEE, 0xEE));
            }
        }
    }
}
