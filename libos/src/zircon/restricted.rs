//! Restricted mode: a thread runs code under its own supervision.
//!
//! The one idea: the thread's one context takes other registers, those that lie in a page which the supervisor maps as well, and runs in the
//! [restricted memory](kernel_objects::Process::restricted_vmar) of its process, if that has any. What would enter the kernel brings it back
//! to *normal* mode instead: the registers go to the page, and the normal ones come back as they were, but for the program counter and
//! two arguments. The vector state is the same in both modes, and the GS base is the kernel's in both.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use hal::{
    aspace::AddressSpace,
    context::{GeneralRegs, Trap, UserContext},
};
use kernel_objects::{
    Error, KernelObject, Result, Vmar, Vmo,
    task::{ExceptionReport, USER_FLAGS, set_fs_base},
    vmo::VmoOptions,
};
use parking_lot::Mutex;
use zerocopy::{FromZeros, IntoBytes};

use super::{
    abi::{self, RestrictedState, constants::*},
    process::Current,
};

/// Flags that are always set for a guest: interrupts, and the bit that is always one.
const FIXED_FLAGS: u64 = 0x202;
/// Flags that a supervisor may find in a state and leave there without effect: trap, resume, alignment check, identification.
const IGNORED_FLAGS: u64 = 0x25_0100;

/// What a thread has that may enter restricted mode.
#[derive(Default)]
pub(super) struct Restriction {
    /// Where the registers are.
    state: Mutex<Option<Arc<Vmo>>>,
    /// Somebody wants it out of restricted mode, or not in it the next time.
    kicked: AtomicBool,
}

/// Where a thread that enters restricted mode comes back to.
#[derive(Clone, Copy, Debug)]
pub struct Return {
    /// The program counter then.
    pub vector: u64,
    /// The first argument.
    pub context: u64,
}

/// A thread is in restricted mode.
pub(super) struct Mode {
    to: Return,
    /// The registers of normal mode.
    normal: (GeneralRegs, u64),
    state: Arc<Vmo>,
    /// `None`: the process's only one.
    memory: Option<Arc<Vmar>>,
}

impl Mode {
    /// The memory it runs in, if that is not its process's only one.
    pub(super) fn memory(&self) -> Option<&Vmar> {
        self.memory.as_deref()
    }

    /// The address space of that.
    pub(super) fn aspace(&self) -> Option<&AddressSpace> {
        self.memory.as_ref().map(|vmar| &**vmar.aspace())
    }
}

/// Why a thread is back in normal mode.
enum Reason {
    Syscall,
    Exception(ExceptionReport),
    Kick,
}

impl Restriction {
    /// A new place for registers, instead of the one before.
    ///
    /// # Errors
    ///
    /// [`Error::NoMemory`].
    pub(super) fn bind(&self, memory: &Arc<hal::pmem::PhysicalMemory>) -> Result<Arc<Vmo>> {
        let size = hal::pmem::PAGE_SIZE as u64;
        let vmo = Vmo::create(memory, size, VmoOptions::default())?;
        vmo.set_name("restricted state");
        *self.state.lock() = Some(vmo.clone());
        Ok(vmo)
    }

    /// There is no place for registers any more.
    pub(super) fn unbind(&self) {
        *self.state.lock() = None;
    }

    /// The thread is to leave restricted mode, or not to enter it the next time.
    pub(super) fn kick(&self) {
        self.kicked.store(true, Ordering::SeqCst);
    }

    fn take_kick(&self) -> bool {
        self.kicked.swap(false, Ordering::SeqCst)
    }
}

/// Gives `context` the registers of `state`.
fn load(context: &mut UserContext, state: &RestrictedState, end: u64) -> Result {
    let allowed = USER_FLAGS | FIXED_FLAGS | IGNORED_FLAGS;
    if state.ip >= end || state.flags & !allowed != 0 || state.gs_base != 0 {
        return Err(Error::BadState);
    }
    set_fs_base(context, state.fs_base).map_err(|_| Error::BadState)?;
    *context.regs_mut() = GeneralRegs {
        rax: state.rax,
        rbx: state.rbx,
        rcx: state.rcx,
        rdx: state.rdx,
        rsi: state.rsi,
        rdi: state.rdi,
        rbp: state.rbp,
        rsp: state.rsp,
        r8: state.r8,
        r9: state.r9,
        r10: state.r10,
        r11: state.r11,
        r12: state.r12,
        r13: state.r13,
        r14: state.r14,
        r15: state.r15,
        rip: state.ip,
        rflags: state.flags & USER_FLAGS | FIXED_FLAGS,
    };
    context.leave_site();
    Ok(())
}

fn store(context: &mut UserContext) -> RestrictedState {
    let regs = context.regs();
    RestrictedState {
        rdi: regs.rdi,
        rsi: regs.rsi,
        rbp: regs.rbp,
        rbx: regs.rbx,
        rdx: regs.rdx,
        rcx: regs.rcx,
        rax: regs.rax,
        rsp: regs.rsp,
        r8: regs.r8,
        r9: regs.r9,
        r10: regs.r10,
        r11: regs.r11,
        r12: regs.r12,
        r13: regs.r13,
        r14: regs.r14,
        r15: regs.r15,
        ip: regs.rip,
        flags: regs.rflags,
        fs_base: context.fs_base(),
        gs_base: 0,
    }
}

impl Current {
    /// Enters restricted mode; whoever has been kicked comes back at once.
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if there is no place for registers, or what is there cannot be registers.
    pub(super) fn enter_restricted(&mut self, to: Return) -> Result {
        let restriction = &self.thread.restriction;
        let state = restriction.state.lock().clone().ok_or(Error::BadState)?;
        let mut registers = RestrictedState::new_zeroed();
        state.read(0, registers.as_mut_bytes()).map_err(|_| Error::BadState)?;
        let memory = self.thread.process().restricted_vmar();
        let end = memory.as_ref().map_or(self.thread.vmar().range(), |vmar| vmar.range()).end;
        let normal = (*self.context.regs(), self.context.fs_base());
        if restriction.take_kick() {
            self.mode = Some(Box::new(Mode { to, normal, state, memory }));
            self.leave_restricted(&Reason::Kick, false);
            return Ok(());
        }
        load(&mut self.context, &registers, end)?;
        self.mode = Some(Box::new(Mode { to, normal, state, memory }));
        Ok(())
    }

    /// Goes back to normal mode, after storing the registers if they are those of restricted mode.
    fn leave_restricted(&mut self, reason: &Reason, store_state: bool) {
        let Some(mode) = self.mode.take() else { return };
        let (code, report) = match reason {
            Reason::Syscall => (ZX_RESTRICTED_REASON_SYSCALL, None),
            Reason::Exception(report) => (ZX_RESTRICTED_REASON_EXCEPTION, Some(report)),
            Reason::Kick => (ZX_RESTRICTED_REASON_KICK, None),
        };
        let mut bytes = Vec::new();
        if store_state {
            bytes.extend_from_slice(store(&mut self.context).as_bytes());
        }
        if let Some(report) = report {
            bytes.extend_from_slice(abi::ExceptionReport::from(report).as_bytes());
        }
        if mode.state.write(0, &bytes).is_err() {
            // There is no memory for the page, and nobody who could be told.
            self.thread.process().kill();
        }
        let (normal, fs_base) = mode.normal;
        *self.context.regs_mut() =
            GeneralRegs { rip: mode.to.vector, rdi: mode.to.context, rsi: code, ..normal };
        // It was one before.
        let _ = set_fs_base(&mut self.context, fs_base);
        self.context.leave_site();
    }

    /// Handles what ended a turn in restricted mode.
    pub(super) async fn restricted_trap(&mut self, trap: Trap) {
        let reason = match trap {
            Trap::Syscall => Reason::Syscall,
            Trap::PageFault(fault) => match self.page_fault(fault).await {
                Ok(()) => return,
                Err(error) => Reason::Exception(ExceptionReport::page_fault(&self.context, error)),
            },
            Trap::Exception(exception) => Reason::Exception(ExceptionReport::from(&exception)),
            // Kicks are looked at with what else there is to do.
            Trap::Timer | Trap::Interrupted => return,
            Trap::Lost => return self.thread.process().kill(),
        };
        self.leave_restricted(&reason, true);
    }

    /// Leaves restricted mode if somebody wants that.
    pub(super) fn look_for_kick(&mut self) {
        if self.mode.is_some() && self.thread.restriction.take_kick() {
            self.leave_restricted(&Reason::Kick, true);
        }
    }
}
