//! The vector state beyond `xmm0-15`: upper halves, opmasks, x87. The idea: kernel code does not touch it (it is compiled
//! for baseline x86-64 and brings its own memory functions), so it stays in the registers across a system
//! call and is saved, by hand and only what `XINUSE` reports, when another context is to use the worker.

use std::{
    arch::asm,
    cell::UnsafeCell,
    ptr,
    sync::{OnceLock, atomic::AtomicPtr},
};

use super::worker::WorkerState;

/// XSAVE components that contexts keep.
const X87: u64 = 1 << 0;
const SSE: u64 = 1 << 1;
pub(super) const AVX: u64 = 1 << 2;
pub(super) const OPMASK: u64 = 1 << 5;
pub(super) const ZMM_HI256: u64 = 1 << 6;
pub(super) const HI16_ZMM: u64 = 1 << 7;
const MANAGED: u64 = X87 | SSE | AVX | OPMASK | ZMM_HI256 | HI16_ZMM;

/// The legacy (FXSAVE) region and the XSAVE header behind it.
pub(super) const LEGACY: usize = 512;
const HEADER_END: usize = 576;
pub(super) const MXCSR_AT: usize = 24;
const MXCSR_MASK_AT: usize = 28;
pub(super) const XMM_AT: usize = 160;
const SW_RESERVED_AT: usize = 464;
const FCW_INIT: u16 = 0x37f;
const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;

/// Room for all managed components on every CPU so far (Intel's MPX gap included).
const AREA: usize = 2816;

/// A standard-format XSAVE area and whose registers hold its content now.
#[repr(C, align(64))]
pub(super) struct ExtendedArea {
    bytes: UnsafeCell<[u8; AREA]>,
    /// The worker whose registers hold the newest values; null when `bytes` does.
    pub(super) live_on: AtomicPtr<WorkerState>,
}

/// What this CPU has, and where its parts lie in an XSAVE area.
pub(super) struct Layout {
    /// Managed components that the host has enabled.
    mask: u64,
    /// XSAVE/XGETBV exist.
    xsave: bool,
    /// XGETBV(1) reports what is in use.
    xinuse: bool,
    /// All of AVX-512 with byte/word opmasks: save by hand.
    by_hand: bool,
    opmask: usize,
    hi256: usize,
    hi16: usize,
    /// Bytes of the XSAVE area.
    size: usize,
    mxcsr_mask: u32,
}

/// The AVX component's place is the same on every CPU.
const AVX_AT: usize = 576;

/// A vector-state frame that Linux would refuse too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed extended register state")]
pub struct BadXstate;

pub(super) fn layout() -> &'static Layout {
    static LAYOUT: OnceLock<Layout> = OnceLock::new();
    LAYOUT.get_or_init(Layout::detect)
}

impl Layout {
    fn detect() -> Self {
        use std::arch::x86_64::{__cpuid, __cpuid_count};
        #[repr(C, align(16))]
        struct Legacy([u8; LEGACY]);
        let mut legacy = Legacy([0; LEGACY]);
        // SAFETY: 512 aligned bytes.
        unsafe { asm!("fxsave64 [{}]", in(reg) legacy.0.as_mut_ptr(), options(nostack)) };
        let mxcsr_mask = match read_u32(&legacy.0, MXCSR_MASK_AT) {
            0 => 0xffbf,
            mask => mask,
        };
        let xsave = __cpuid(1).ecx & (1 << 27) != 0;
        let mut this = Self {
            mask: X87 | SSE,
            xsave,
            xinuse: false,
            by_hand: false,
            opmask: 0,
            hi256: 0,
            hi16: 0,
            size: HEADER_END,
            mxcsr_mask,
        };
        if !xsave {
            return this;
        }
        let (low, high): (u32, u32);
        // SAFETY: OSXSAVE is set.
        unsafe {
            asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack))
        };
        let enabled = u64::from(low) | u64::from(high) << 32;
        let place = |component: u32| {
            let leaf = __cpuid_count(0xd, component);
            (leaf.ebx as usize, leaf.eax as usize)
        };
        for component in [2u32, 5, 6, 7] {
            let (at, size) = place(component);
            let end = at + size;
            if enabled & (1 << component) != 0 && size != 0 && end <= AREA {
                this.mask |= 1 << component;
                this.size = this.size.max(end);
            }
        }
        this.opmask = place(5).0;
        this.hi256 = place(6).0;
        this.hi16 = place(7).0;
        this.xinuse = __cpuid_count(0xd, 1).eax & (1 << 2) != 0;
        let bw = __cpuid_count(7, 0).ebx & (1 << 30) != 0;
        this.by_hand = this.mask & MANAGED == MANAGED && this.xinuse && bw && place(2).0 == AVX_AT;
        this
    }

    /// Whether the CPU has XSAVE.
    pub(super) fn has_xsave(&self) -> bool {
        self.xsave
    }

    /// The components that the CPU has.
    pub(super) fn components(&self) -> u64 {
        self.mask
    }

    /// Where one of the components beyond the legacy region is, if the CPU has it.
    pub(super) fn place(&self, component: u64) -> Option<usize> {
        let at = match component {
            AVX => AVX_AT,
            OPMASK => self.opmask,
            ZMM_HI256 => self.hi256,
            HI16_ZMM => self.hi16,
            _ => return None,
        };
        (self.mask & component != 0).then_some(at)
    }

    /// The components whose registers differ from their initial state, by what the CPU says.
    #[inline]
    fn in_use(&self) -> u64 {
        if !self.xinuse {
            return self.mask;
        }
        let low: u32;
        // SAFETY: XGETBV(1) exists.
        unsafe {
            asm!("xgetbv", in("ecx") 1, out("eax") low, out("edx") _, options(nomem, nostack));
        }
        u64::from(low) & self.mask
    }
}

impl ExtendedArea {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self {
            bytes: UnsafeCell::new([0; AREA]),
            live_on: AtomicPtr::new(ptr::null_mut()),
        })
    }

    fn base(&self) -> *mut u8 {
        self.bytes.get().cast()
    }

    /// `XSTATE_BV`: the components that `bytes` holds; the others are in their initial state.
    fn present(&self) -> u64 {
        // SAFETY: inside the area, aligned; the area is used by one thread at a time (see `UserContext`).
        unsafe { self.base().add(LEGACY).cast::<u64>().read() }
    }

    /// All components are in their initial state from now on.
    pub(super) fn forget(&self) {
        self.set_present(0);
    }

    fn set_present(&self, bits: u64) {
        // SAFETY: as in `present`.
        unsafe { self.base().add(LEGACY).cast::<u64>().write(bits) }
    }

    /// Copies the registers' extended state into the area. The registers keep it.
    ///
    /// # Safety
    ///
    /// The calling thread's registers hold the state of the context that owns this area, and nobody else uses the area.
    pub(super) unsafe fn save(&self) {
        let layout = layout();
        let base = self.base();
        let mut used = layout.in_use();
        // SAFETY: each block runs only where the CPU has the component (`used` is a subset of the mask), writes
        // inside the area (`detect` checked the extents) and changes no register.
        unsafe {
            if !layout.by_hand {
                if layout.xsave {
                    asm!("xsave64 [{}]", in(reg) base, in("eax") layout.mask as u32, in("edx") 0, options(nostack));
                } else {
                    asm!("fxsave64 [{}]", in(reg) base, options(nostack));
                    self.set_present(used);
                }
                return;
            }
            if used & HI16_ZMM != 0 {
                asm!(
                    "vmovdqu64 [{0} + 0x000], zmm16", "vmovdqu64 [{0} + 0x040], zmm17",
                    "vmovdqu64 [{0} + 0x080], zmm18", "vmovdqu64 [{0} + 0x0c0], zmm19",
                    "vmovdqu64 [{0} + 0x100], zmm20", "vmovdqu64 [{0} + 0x140], zmm21",
                    "vmovdqu64 [{0} + 0x180], zmm22", "vmovdqu64 [{0} + 0x1c0], zmm23",
                    "vmovdqu64 [{0} + 0x200], zmm24", "vmovdqu64 [{0} + 0x240], zmm25",
                    "vmovdqu64 [{0} + 0x280], zmm26", "vmovdqu64 [{0} + 0x2c0], zmm27",
                    "vmovdqu64 [{0} + 0x300], zmm28", "vmovdqu64 [{0} + 0x340], zmm29",
                    "vmovdqu64 [{0} + 0x380], zmm30", "vmovdqu64 [{0} + 0x3c0], zmm31",
                    in(reg) base.add(layout.hi16), options(nostack, preserves_flags),
                );
            }
            if used & OPMASK != 0 {
                asm!(
                    "kmovq [{0}], k0", "kmovq [{0} + 8], k1", "kmovq [{0} + 16], k2", "kmovq [{0} + 24], k3",
                    "kmovq [{0} + 32], k4", "kmovq [{0} + 40], k5", "kmovq [{0} + 48], k6", "kmovq [{0} + 56], k7",
                    in(reg) base.add(layout.opmask), options(nostack, preserves_flags),
                );
            }
            if used & AVX != 0 {
                asm!(
                    "vextractf128 [{0} + 0x00], ymm0, 1", "vextractf128 [{0} + 0x10], ymm1, 1",
                    "vextractf128 [{0} + 0x20], ymm2, 1", "vextractf128 [{0} + 0x30], ymm3, 1",
                    "vextractf128 [{0} + 0x40], ymm4, 1", "vextractf128 [{0} + 0x50], ymm5, 1",
                    "vextractf128 [{0} + 0x60], ymm6, 1", "vextractf128 [{0} + 0x70], ymm7, 1",
                    "vextractf128 [{0} + 0x80], ymm8, 1", "vextractf128 [{0} + 0x90], ymm9, 1",
                    "vextractf128 [{0} + 0xa0], ymm10, 1", "vextractf128 [{0} + 0xb0], ymm11, 1",
                    "vextractf128 [{0} + 0xc0], ymm12, 1", "vextractf128 [{0} + 0xd0], ymm13, 1",
                    "vextractf128 [{0} + 0xe0], ymm14, 1", "vextractf128 [{0} + 0xf0], ymm15, 1",
                    in(reg) base.add(AVX_AT), options(nostack, preserves_flags),
                );
            }
            if used & ZMM_HI256 != 0 {
                asm!(
                    "vextractf64x4 [{0} + 0x000], zmm0, 1", "vextractf64x4 [{0} + 0x020], zmm1, 1",
                    "vextractf64x4 [{0} + 0x040], zmm2, 1", "vextractf64x4 [{0} + 0x060], zmm3, 1",
                    "vextractf64x4 [{0} + 0x080], zmm4, 1", "vextractf64x4 [{0} + 0x0a0], zmm5, 1",
                    "vextractf64x4 [{0} + 0x0c0], zmm6, 1", "vextractf64x4 [{0} + 0x0e0], zmm7, 1",
                    "vextractf64x4 [{0} + 0x100], zmm8, 1", "vextractf64x4 [{0} + 0x120], zmm9, 1",
                    "vextractf64x4 [{0} + 0x140], zmm10, 1", "vextractf64x4 [{0} + 0x160], zmm11, 1",
                    "vextractf64x4 [{0} + 0x180], zmm12, 1", "vextractf64x4 [{0} + 0x1a0], zmm13, 1",
                    "vextractf64x4 [{0} + 0x1c0], zmm14, 1", "vextractf64x4 [{0} + 0x1e0], zmm15, 1",
                    in(reg) base.add(layout.hi256), options(nostack, preserves_flags),
                );
            }
            if used & X87 != 0 {
                asm!("fxsave64 [{}]", in(reg) base, options(nostack));
                // A return from a host signal loads this part and so puts it in use, though the guest may never do.
                if self.x87_is_initial() {
                    used &= !X87;
                }
            }
        }
        self.set_present(used);
    }

    /// Whether the x87 state that was just saved is the initial one.
    fn x87_is_initial(&self) -> bool {
        // Control, status and tag words and the last opcode; the pointers to it and its operand; the stack at 32.
        // SAFETY: as in `present`.
        let words = unsafe { &*self.base().cast::<[u64; XMM_AT / 8]>() };
        let [control, code, data, _mxcsr, stack @ ..] = words;
        *control == u64::from(FCW_INIT)
            && code | data == 0
            && stack.iter().fold(0, |all, word| all | word) == 0
    }

    /// Makes the registers' extended state what the area holds. `xmm0-15` and `mxcsr` are of no consequence: the
    /// door loads the guest's.
    ///
    /// # Safety
    ///
    /// Nobody's unsaved extended state is in this thread's registers, and nobody else uses the area.
    pub(super) unsafe fn load(&self) {
        let layout = layout();
        let base = self.base();
        let wanted = self.present();
        // SAFETY: reads inside the area and writes only vector registers, which are declared, or which compiled code
        // for baseline x86-64 does not know.
        unsafe {
            if !layout.by_hand {
                base.add(MXCSR_AT).cast::<u32>().write(super::entry::KERNEL_MXCSR);
                if layout.xsave {
                    asm!("xrstor64 [{}]", in(reg) base, in("eax") layout.mask as u32, in("edx") 0,
                        clobber_abi("C"), options(nostack));
                } else if wanted & X87 != 0 {
                    asm!("fxrstor64 [{}]", in(reg) base, clobber_abi("C"), options(nostack));
                } else {
                    asm!("fninit", options(nostack));
                }
                return;
            }
            let stale = layout.in_use() & !wanted;
            if (wanted | stale) & X87 != 0 {
                restore_x87(base, wanted);
            }
            if wanted & (AVX | ZMM_HI256) == 0 {
                if stale & (AVX | ZMM_HI256) != 0 {
                    asm!("vzeroupper", clobber_abi("C"), options(nostack, preserves_flags));
                }
            } else {
                restore_uppers(base.add(AVX_AT), base.add(layout.hi256), wanted);
            }
            if wanted & HI16_ZMM != 0 {
                asm!(
                    "vmovdqu64 zmm16, [{0} + 0x000]", "vmovdqu64 zmm17, [{0} + 0x040]",
                    "vmovdqu64 zmm18, [{0} + 0x080]", "vmovdqu64 zmm19, [{0} + 0x0c0]",
                    "vmovdqu64 zmm20, [{0} + 0x100]", "vmovdqu64 zmm21, [{0} + 0x140]",
                    "vmovdqu64 zmm22, [{0} + 0x180]", "vmovdqu64 zmm23, [{0} + 0x1c0]",
                    "vmovdqu64 zmm24, [{0} + 0x200]", "vmovdqu64 zmm25, [{0} + 0x240]",
                    "vmovdqu64 zmm26, [{0} + 0x280]", "vmovdqu64 zmm27, [{0} + 0x2c0]",
                    "vmovdqu64 zmm28, [{0} + 0x300]", "vmovdqu64 zmm29, [{0} + 0x340]",
                    "vmovdqu64 zmm30, [{0} + 0x380]", "vmovdqu64 zmm31, [{0} + 0x3c0]",
                    in(reg) base.add(layout.hi16), clobber_abi("C"), options(nostack, preserves_flags),
                );
            } else if stale & HI16_ZMM != 0 {
                asm!(
                    "vpxord zmm16, zmm16, zmm16",
                    "vpxord zmm17, zmm17, zmm17",
                    "vpxord zmm18, zmm18, zmm18",
                    "vpxord zmm19, zmm19, zmm19",
                    "vpxord zmm20, zmm20, zmm20",
                    "vpxord zmm21, zmm21, zmm21",
                    "vpxord zmm22, zmm22, zmm22",
                    "vpxord zmm23, zmm23, zmm23",
                    "vpxord zmm24, zmm24, zmm24",
                    "vpxord zmm25, zmm25, zmm25",
                    "vpxord zmm26, zmm26, zmm26",
                    "vpxord zmm27, zmm27, zmm27",
                    "vpxord zmm28, zmm28, zmm28",
                    "vpxord zmm29, zmm29, zmm29",
                    "vpxord zmm30, zmm30, zmm30",
                    "vpxord zmm31, zmm31, zmm31",
                    clobber_abi("C"),
                    options(nomem, nostack, preserves_flags),
                );
            }
            if wanted & OPMASK != 0 {
                asm!(
                    "kmovq k0, [{0}]", "kmovq k1, [{0} + 8]", "kmovq k2, [{0} + 16]", "kmovq k3, [{0} + 24]",
                    "kmovq k4, [{0} + 32]", "kmovq k5, [{0} + 40]", "kmovq k6, [{0} + 48]", "kmovq k7, [{0} + 56]",
                    in(reg) base.add(layout.opmask), clobber_abi("C"), options(nostack, preserves_flags),
                );
            } else if stale & OPMASK != 0 {
                asm!(
                    "kxorq k0, k0, k0",
                    "kxorq k1, k1, k1",
                    "kxorq k2, k2, k2",
                    "kxorq k3, k3, k3",
                    "kxorq k4, k4, k4",
                    "kxorq k5, k5, k5",
                    "kxorq k6, k6, k6",
                    "kxorq k7, k7, k7",
                    clobber_abi("C"),
                    options(nomem, nostack, preserves_flags),
                );
            }
        }
    }

    /// Appends the state in the format of a signal frame: a standard XSAVE area with Linux's software fields.
    pub(super) fn write_frame(&self, xmm: &[u128; 16], mxcsr: u32, out: &mut Vec<u8>) {
        let layout = layout();
        let start = out.len();
        // SAFETY: the caller owns the area exclusively (`&UserContext` on its own thread); a copy of plain bytes.
        let bytes = unsafe { &*self.bytes.get() };
        out.extend_from_slice(&bytes[..layout.size]);
        out.extend_from_slice(&FP_XSTATE_MAGIC2.to_le_bytes());
        let frame = &mut out[start..];
        let present = self.present();
        if present & X87 == 0 {
            frame[..LEGACY].fill(0);
            frame[..2].copy_from_slice(&FCW_INIT.to_le_bytes());
        }
        write_u32(frame, MXCSR_AT, mxcsr);
        write_u32(frame, MXCSR_MASK_AT, layout.mxcsr_mask);
        for (slot, value) in frame[XMM_AT..].chunks_exact_mut(16).zip(xmm) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        frame[XMM_AT + 256..HEADER_END].fill(0);
        write_u32(frame, SW_RESERVED_AT, FP_XSTATE_MAGIC1);
        write_u32(frame, SW_RESERVED_AT + 4, (layout.size + 4) as u32);
        frame[SW_RESERVED_AT + 8..SW_RESERVED_AT + 16].copy_from_slice(&layout.mask.to_le_bytes());
        write_u32(frame, SW_RESERVED_AT + 16, layout.size as u32);
        // Like Linux: the legacy parts are always there.
        frame[LEGACY..LEGACY + 8].copy_from_slice(&(present | X87 | SSE).to_le_bytes());
        // Parts in their initial state are zero in the frame, whatever the area held before.
        let parts = [
            (AVX, AVX_AT, 256),
            (OPMASK, layout.opmask, 64),
            (ZMM_HI256, layout.hi256, 512),
            (HI16_ZMM, layout.hi16, 1024),
        ];
        for (bit, at, len) in parts {
            if layout.mask & bit != 0 && present & bit == 0 {
                frame[at..at + len].fill(0);
            }
        }
    }

    /// Takes the state from a signal frame. Checks what the CPU would fault on.
    pub(super) fn read_frame(&self, frame: &[u8]) -> Result<([u128; 16], u32), BadXstate> {
        let layout = layout();
        let legacy = frame.get(..LEGACY).ok_or(BadXstate)?;
        let mxcsr = read_u32(legacy, MXCSR_AT);
        if mxcsr & !layout.mxcsr_mask != 0 {
            return Err(BadXstate);
        }
        let mut present = X87 | SSE;
        let mut extended = &[][..];
        let xstate_size = read_u32(legacy, SW_RESERVED_AT + 16) as usize;
        let extended_size = read_u32(legacy, SW_RESERVED_AT + 4) as usize;
        let well_formed = read_u32(legacy, SW_RESERVED_AT) == FP_XSTATE_MAGIC1
            && (HEADER_END..=layout.size).contains(&xstate_size)
            && xstate_size <= extended_size
            && frame.get(xstate_size..xstate_size + 4) == Some(&FP_XSTATE_MAGIC2.to_le_bytes());
        // A frame without the extension restores the legacy part and resets the rest, as in Linux.
        if well_formed {
            let header = &frame[LEGACY..HEADER_END];
            if header[8..].iter().any(|&byte| byte != 0) {
                return Err(BadXstate);
            }
            let said = read_u64(legacy, SW_RESERVED_AT + 8);
            present = read_u64(header, 0) & said & layout.mask;
            extended = &frame[HEADER_END..xstate_size];
        }
        let mut xmm = [0u128; 16];
        let mut mxcsr_loaded = mxcsr;
        if present & SSE != 0 {
            for (value, slot) in xmm.iter_mut().zip(legacy[XMM_AT..].chunks_exact(16)) {
                *value = u128::from(read_u64(slot, 0)) | u128::from(read_u64(slot, 8)) << 64;
            }
        } else if present & AVX == 0 {
            mxcsr_loaded = super::entry::KERNEL_MXCSR;
        }
        // SAFETY: `&self` of a context that its owner holds exclusively; bytes in, bytes out.
        let area = unsafe { &mut *self.bytes.get() };
        area.fill(0);
        area[..XMM_AT].copy_from_slice(&legacy[..XMM_AT]);
        write_u32(area, MXCSR_AT, super::entry::KERNEL_MXCSR);
        area[HEADER_END..HEADER_END + extended.len()].copy_from_slice(extended);
        self.set_present(present);
        Ok((xmm, mxcsr_loaded))
    }

    pub(super) fn copy_from(&self, other: &Self) {
        // SAFETY: two different areas, both exclusively the caller's.
        unsafe { ptr::copy_nonoverlapping(other.base(), self.base(), AREA) };
    }
}

/// Bytes of the frame that [`ExtendedArea::write_frame`] makes.
pub(super) fn frame_size() -> usize {
    layout().size + 4
}

/// # Safety
///
/// As [`ExtendedArea::load`]; XSAVE exists.
#[cold]
unsafe fn restore_x87(base: *mut u8, wanted: u64) {
    // SAFETY: a zero header asks for the initial state, a header with the x87 bit for the legacy region's.
    unsafe {
        base.add(MXCSR_AT).cast::<u32>().write(super::entry::KERNEL_MXCSR);
        let header = base.add(LEGACY).cast::<u64>();
        header.write(wanted & X87);
        asm!("xrstor64 [{}]", in(reg) base, in("eax") X87 as u32, in("edx") 0, clobber_abi("C"), options(nostack));
        header.write(wanted);
    }
}

/// # Safety
///
/// As [`ExtendedArea::load`]; the CPU has AVX-512.
#[cold]
unsafe fn restore_uppers(avx: *const u8, hi256: *const u8, wanted: u64) {
    // The low parts are loaded later, by the door, with instructions that keep the upper ones.
    // SAFETY: reads inside the area; writes vector registers that the asm declares.
    unsafe {
        if wanted & AVX != 0 {
            asm!(
                "vinsertf128 ymm0, ymm0, [{0} + 0x00], 1", "vinsertf128 ymm1, ymm1, [{0} + 0x10], 1",
                "vinsertf128 ymm2, ymm2, [{0} + 0x20], 1", "vinsertf128 ymm3, ymm3, [{0} + 0x30], 1",
                "vinsertf128 ymm4, ymm4, [{0} + 0x40], 1", "vinsertf128 ymm5, ymm5, [{0} + 0x50], 1",
                "vinsertf128 ymm6, ymm6, [{0} + 0x60], 1", "vinsertf128 ymm7, ymm7, [{0} + 0x70], 1",
                "vinsertf128 ymm8, ymm8, [{0} + 0x80], 1", "vinsertf128 ymm9, ymm9, [{0} + 0x90], 1",
                "vinsertf128 ymm10, ymm10, [{0} + 0xa0], 1", "vinsertf128 ymm11, ymm11, [{0} + 0xb0], 1",
                "vinsertf128 ymm12, ymm12, [{0} + 0xc0], 1", "vinsertf128 ymm13, ymm13, [{0} + 0xd0], 1",
                "vinsertf128 ymm14, ymm14, [{0} + 0xe0], 1", "vinsertf128 ymm15, ymm15, [{0} + 0xf0], 1",
                in(reg) avx, clobber_abi("C"), options(nostack, preserves_flags),
            );
        } else {
            asm!("vzeroupper", clobber_abi("C"), options(nostack, preserves_flags));
        }
        if wanted & ZMM_HI256 != 0 {
            asm!(
                "vinsertf64x4 zmm0, zmm0, [{0} + 0x000], 1", "vinsertf64x4 zmm1, zmm1, [{0} + 0x020], 1",
                "vinsertf64x4 zmm2, zmm2, [{0} + 0x040], 1", "vinsertf64x4 zmm3, zmm3, [{0} + 0x060], 1",
                "vinsertf64x4 zmm4, zmm4, [{0} + 0x080], 1", "vinsertf64x4 zmm5, zmm5, [{0} + 0x0a0], 1",
                "vinsertf64x4 zmm6, zmm6, [{0} + 0x0c0], 1", "vinsertf64x4 zmm7, zmm7, [{0} + 0x0e0], 1",
                "vinsertf64x4 zmm8, zmm8, [{0} + 0x100], 1", "vinsertf64x4 zmm9, zmm9, [{0} + 0x120], 1",
                "vinsertf64x4 zmm10, zmm10, [{0} + 0x140], 1", "vinsertf64x4 zmm11, zmm11, [{0} + 0x160], 1",
                "vinsertf64x4 zmm12, zmm12, [{0} + 0x180], 1", "vinsertf64x4 zmm13, zmm13, [{0} + 0x1a0], 1",
                "vinsertf64x4 zmm14, zmm14, [{0} + 0x1c0], 1", "vinsertf64x4 zmm15, zmm15, [{0} + 0x1e0], 1",
                in(reg) hi256, clobber_abi("C"), options(nostack, preserves_flags),
            );
        }
    }
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn write_u32(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(slot) = bytes.get_mut(at..at + 4) {
        slot.copy_from_slice(&value.to_le_bytes());
    }
}
