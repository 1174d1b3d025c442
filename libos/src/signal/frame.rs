//! The signal frame: what the kernel puts on a guest's stack before a handler runs, and takes back in rt_sigreturn(2).
//!
//! The one idea: the frame is exactly Linux's (`struct rt_sigframe`, then the vector state above it at a multiple of 64), because debuggers, language
//! runtimes and libunwind read and change it. On the way back everything in it is the guest's word: segments are ignored,
//! flags masked, the vector state checked.

use hal::context::{GeneralRegs, UserContext};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::{
    action::{SigAction, flags::SA_ONSTACK},
    altstack::{AltStack, StackT},
    info::SigInfo,
    number::{SigSet, Signal},
};
use crate::{
    errno::{Errno, SysResult},
    memory::UserMemory,
};

const UC_FP_XSTATE: u64 = 1;
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;

const USER_CS: u16 = 0x33;
const USER_SS: u16 = 0x2b;

const CF: u64 = 1;
const PF: u64 = 1 << 2;
const AF: u64 = 1 << 4;
const ZF: u64 = 1 << 6;
const SF: u64 = 1 << 7;
const TF: u64 = 1 << 8;
const DF: u64 = 1 << 10;
const OF: u64 = 1 << 11;
const RF: u64 = 1 << 16;
const AC: u64 = 1 << 18;
/// What a frame may change of the flags (`FIX_EFLAGS` of Linux).
const RESTORABLE_FLAGS: u64 = AC | OF | DF | TF | SF | ZF | AF | PF | CF | RF;

/// Bytes below the stack pointer that the ABI lets a function use.
const RED_ZONE: u64 = 128;

/// The legacy part of the vector state; where in it the kernel's words for software begin, and the first of them.
pub(crate) const LEGACY_XSTATE: usize = 512;
pub(crate) const SOFTWARE_WORDS: usize = 464;
const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
/// `FP_XSTATE_MAGIC2`, which follows the vector state.
pub(crate) const MAGIC2_SIZE: usize = 4;

/// `struct sigcontext_64`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct SigContext {
    r8: u64,
    r9: u64,
    r10: u64,
    r11: u64,
    r12: u64,
    r13: u64,
    r14: u64,
    r15: u64,
    rdi: u64,
    rsi: u64,
    rbp: u64,
    rbx: u64,
    rdx: u64,
    rax: u64,
    rcx: u64,
    rsp: u64,
    rip: u64,
    rflags: u64,
    cs: u16,
    gs: u16,
    fs: u16,
    ss: u16,
    error: u64,
    trapno: u64,
    oldmask: u64,
    cr2: u64,
    fpstate: u64,
    reserved: [u64; 8],
}

/// `struct ucontext`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct UContext {
    flags: u64,
    link: u64,
    stack: StackT,
    registers: SigContext,
    mask: SigSet,
}

/// `struct rt_sigframe`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Frame {
    /// Where the handler returns to.
    return_address: u64,
    context: UContext,
    info: SigInfo,
}

impl SigContext {
    fn new(
        regs: &GeneralRegs,
        last_exception: (u64, u64, u64),
        mask: SigSet,
        fpstate: u64,
    ) -> Self {
        let (trapno, error, cr2) = last_exception;
        Self {
            r8: regs.r8,
            r9: regs.r9,
            r10: regs.r10,
            r11: regs.r11,
            r12: regs.r12,
            r13: regs.r13,
            r14: regs.r14,
            r15: regs.r15,
            rdi: regs.rdi,
            rsi: regs.rsi,
            rbp: regs.rbp,
            rbx: regs.rbx,
            rdx: regs.rdx,
            rax: regs.rax,
            rcx: regs.rcx,
            rsp: regs.rsp,
            rip: regs.rip,
            rflags: regs.rflags,
            cs: USER_CS,
            gs: 0,
            fs: 0,
            ss: USER_SS,
            error,
            trapno,
            oldmask: mask.0,
            cr2,
            fpstate,
            reserved: [0; 8],
        }
    }

    fn restore(&self, regs: &mut GeneralRegs) {
        regs.r8 = self.r8;
        regs.r9 = self.r9;
        regs.r10 = self.r10;
        regs.r11 = self.r11;
        regs.r12 = self.r12;
        regs.r13 = self.r13;
        regs.r14 = self.r14;
        regs.r15 = self.r15;
        regs.rdi = self.rdi;
        regs.rsi = self.rsi;
        regs.rbp = self.rbp;
        regs.rbx = self.rbx;
        regs.rdx = self.rdx;
        regs.rax = self.rax;
        regs.rcx = self.rcx;
        regs.rsp = self.rsp;
        regs.rip = self.rip;
        regs.rflags = regs.rflags & !RESTORABLE_FLAGS | self.rflags & RESTORABLE_FLAGS;
    }
}

/// Where a frame goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    frame: u64,
    xstate: u64,
}

impl Place {
    /// Finds room below `sp` or on the alternate stack; `EFAULT` when the alternate stack is too small.
    fn find(sp: u64, altstack: &AltStack, on_altstack: bool, xstate_size: u64) -> SysResult<Self> {
        let nested = altstack.holds(sp);
        let mut top = sp.wrapping_sub(RED_ZONE);
        let entering = on_altstack && altstack.is_enabled() && !altstack.holds(top);
        if entering {
            top = altstack.top();
        }
        let xstate = top.checked_sub(xstate_size).ok_or(Errno::EFAULT)? & !63;
        let frame = xstate.checked_sub(size_of::<Frame>() as u64).ok_or(Errno::EFAULT)? & !15;
        // As after a call: 16 bytes aligned once the return address is popped.
        let frame = frame.checked_sub(8).ok_or(Errno::EFAULT)?;
        if (nested || entering) && !altstack.contains(frame) {
            return Err(Errno::EFAULT);
        }
        Ok(Self { frame, xstate })
    }
}

/// What [`enter_handler`] is to deliver.
pub(super) struct Delivery<'a> {
    pub(super) signal: Signal,
    pub(super) info: &'a SigInfo,
    pub(super) action: &'a SigAction,
    /// What to block again after the handler.
    pub(super) mask: SigSet,
    pub(super) altstack: &'a AltStack,
}

/// Pushes a frame and points the registers at the handler. `EFAULT` leaves the registers as they are.
pub(super) fn enter_handler(
    context: &mut UserContext,
    memory: &UserMemory,
    delivery: &Delivery<'_>,
) -> SysResult<()> {
    let Delivery { signal, info, action, mask, altstack } = delivery;
    let mut xstate = Vec::with_capacity(UserContext::xsave_size());
    context.save_xstate(&mut xstate);
    let place =
        Place::find(context.regs().rsp, altstack, action.has(SA_ONSTACK), xstate.len() as u64)?;
    let exception = context.last_exception();
    let registers = SigContext::new(context.regs(), exception, *mask, place.xstate);
    let frame = Frame {
        return_address: action.restorer,
        context: UContext {
            flags: UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
            link: 0,
            stack: altstack.raw(),
            registers,
            mask: *mask,
        },
        info: **info,
    };
    memory.write_bytes(place.xstate, &xstate)?;
    memory.write_bytes(place.frame, frame.as_bytes())?;
    let regs = context.regs_mut();
    regs.rdi = signal.raw() as u64;
    regs.rsi = place.frame + std::mem::offset_of!(Frame, info) as u64;
    regs.rdx = place.frame + std::mem::offset_of!(Frame, context) as u64;
    // For handlers without a prototype, says Linux.
    regs.rax = 0;
    regs.rsp = place.frame;
    regs.rip = action.handler;
    regs.rflags &= !(DF | RF | TF);
    Ok(())
}

/// What a frame restored beyond the registers.
pub(super) struct Returned {
    /// What to block.
    pub(super) mask: SigSet,
    /// The alternate stack to set, if it can be.
    pub(super) stack: StackT,
}

/// Takes registers and vector state back from the frame that a returning handler left the stack pointer at.
/// `EFAULT` for a frame that can not be read, `EINVAL` for one with a vector state that the CPU would refuse.
pub(super) fn leave_handler(context: &mut UserContext, memory: &UserMemory) -> SysResult<Returned> {
    let mut frame = Frame::new_zeroed();
    // The handler's return popped the return address.
    let at = context.regs().rsp.wrapping_sub(8);
    memory.read_bytes(at, frame.as_mut_bytes())?;
    let registers = &frame.context.registers;
    if registers.fpstate == 0 {
        context.reset_xstate();
    } else {
        let xstate = read_xstate(memory, registers.fpstate)?;
        context.restore_xstate(&xstate).map_err(|_| Errno::EINVAL)?;
    }
    registers.restore(context.regs_mut());
    Ok(Returned { mask: frame.context.mask, stack: frame.context.stack })
}

/// The vector state at `at`, without `FP_XSTATE_MAGIC2`: as much as its own words say and this machine's is long, else the legacy part.
fn read_xstate(memory: &UserMemory, at: u64) -> SysResult<Vec<u8>> {
    if !at.is_multiple_of(64) {
        return Err(Errno::EFAULT);
    }
    let mut xstate = vec![0; LEGACY_XSTATE];
    memory.read_bytes(at, &mut xstate)?;
    let word = |index: usize| {
        let from = SOFTWARE_WORDS + 4 * index;
        xstate.get(from..from + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    };
    let full = UserContext::xsave_size();
    let claimed = word(1) as usize;
    if word(0) == FP_XSTATE_MAGIC1 && claimed > LEGACY_XSTATE + MAGIC2_SIZE && claimed <= full {
        xstate.resize(claimed, 0);
        memory.read_bytes(at, &mut xstate)?;
    }
    Ok(xstate)
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn the_layout_is_that_of_linux() {
        assert_eq!(size_of::<SigContext>(), 256);
        assert_eq!(size_of::<UContext>(), 304);
        assert_eq!(size_of::<Frame>(), 440);
        assert_eq!(offset_of!(Frame, info), 312);
        // From asm/sigcontext.h: REG_RIP is gregs[16], REG_CR2 gregs[22].
        assert_eq!(offset_of!(SigContext, rip), 16 * 8);
        assert_eq!(offset_of!(SigContext, cr2), 22 * 8);
        assert_eq!(offset_of!(UContext, registers), 40);
    }

    #[test]
    fn a_frame_skips_the_red_zone_and_is_aligned_as_after_a_call() {
        let place = Place::find(0x7000_1234, &AltStack::NONE, true, 2696).unwrap();
        assert!(place.xstate.is_multiple_of(64) && place.xstate + 2696 <= 0x7000_1234 - RED_ZONE);
        assert_eq!(place.frame % 16, 8);
        assert!(place.frame + 440 <= place.xstate);
    }

    #[test]
    fn the_alternate_stack_is_entered_once_and_never_left_below() {
        let stack = AltStack::NONE.replaced_by(StackT::new(0x10000, 0, 0x4000), 0).unwrap();
        let first = Place::find(0x7000_0000, &stack, true, 2696).unwrap();
        assert!(stack.contains(first.frame) && first.xstate + 2696 <= stack.top());
        let nested = Place::find(first.frame, &stack, true, 2696).unwrap();
        assert!(nested.frame < first.frame);
        assert_eq!(Place::find(0x10800, &stack, true, 2696), Err(Errno::EFAULT));
        assert!(Place::find(1000, &AltStack::NONE, false, 2696).is_err());
    }

    #[test]
    fn a_frame_changes_no_flag_that_user_mode_may_not() {
        let mut regs = GeneralRegs { rflags: 0x202, ..GeneralRegs::default() };
        let mut context = SigContext::new(&regs, (0, 0, 0), SigSet::EMPTY, 0);
        context.rflags = !0;
        context.restore(&mut regs);
        assert_eq!(regs.rflags, 0x202 | RESTORABLE_FLAGS);
        context.rflags = 0;
        context.restore(&mut regs);
        assert_eq!(regs.rflags, 0x202);
    }
}
