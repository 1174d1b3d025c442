//! User contexts: a guest thread's registers, and the way into and out of guest code. The idea: [`UserContext::run`] is the
//! whole boundary between kernel and user mode; it enters the guest and returns at its next trap, whatever host
//! mechanism (a rewritten call site, Syscall User Dispatch, a host signal) brought it back.
//!
//! Guests live below [`BOUNDARY`], the kernel above. The guest's FS base is its own; its GS base belongs to the kernel.

mod entry;
mod gate;
mod isolated;
mod kick;
mod memory_functions;
mod registers;
pub(crate) mod rewrite;
mod signals;
mod worker;
mod xstate;

use std::{
    mem, ptr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

pub(crate) use self::signals::{has_heavy_barrier, heavy_barrier};
pub(crate) use self::worker::has_fsgsbase;
pub use self::{
    isolated::limit_spinning,
    kick::{Kicker, barrier_all, barrier_everywhere},
    registers::{FpRegs, VectorRegs},
    worker::{attach, forget_ticks, need_resched, preempt_at, prepare, take_need_resched},
    xstate::BadXstate,
};
use self::{
    worker::{WorkerState, save_live},
    xstate::ExtendedArea,
};
pub use crate::aspace::{Access, Fault};
use crate::{aspace::AddressSpace, pmem::GUEST_END};

/// Guest addresses are below, all of the kernel's own code and data above.
pub const BOUNDARY: u64 = crate::pmem::GUEST_BOUNDARY;

/// The general registers of a guest thread.
///
/// After [`Trap::Syscall`]: `rax` is the call's number, `rip` the address behind the instruction, `rcx = rip` and
/// `r11 = rflags` as the hardware leaves them; arguments are in `rdi rsi rdx r10 r8 r9`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the registers'")]
pub struct GeneralRegs {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub rsp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub rflags: u64,
}

/// A processor exception other than a page fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The Linux signal that stands for it: SIGSEGV, SIGBUS, SIGFPE, SIGILL or SIGTRAP.
    pub signal: i32,
    /// `si_code` as the host gave it.
    pub code: i32,
    /// `si_addr`: mostly the address of the instruction; 0 for a general protection fault.
    pub addr: u64,
    /// The exception's vector, `trapno` of a `sigcontext`.
    pub trapno: u64,
    /// The error code, `err` of a `sigcontext`.
    pub error: u64,
}

/// Why a guest came back to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// A `syscall` instruction.
    Syscall,
    /// A page fault.
    PageFault(Fault),
    /// Another exception.
    Exception(Exception),
    /// The guest has used up a tick of CPU time, or the time given to [`preempt_at`] has come.
    Timer,
    /// [`Kicker::kick`] was called.
    Interrupted,
    /// The host process that the guest ran in has ended, not by the guest's doing or by its foul play; the guest can not go on.
    Lost,
}

/// A guest thread's registers.
#[repr(C, align(64))]
pub struct UserContext {
    regs: GeneralRegs,
    fs_base: u64,
    /// Where to go on entry; differs from `rip` when the site there is rewritten.
    target: u64,
    /// `rip` as the last call through a rewritten site left it, and where that site goes on.
    exit_rip: u64,
    resume: u64,
    /// The pending flag in `kicker`.
    kick_flag: *const AtomicU8,
    xmm: [u128; 16],
    mxcsr: u32,
    /// Set by a signal handler that leaves the guest.
    signal_trap: Trap,
    last_trapno: u64,
    last_error: u64,
    last_cr2: u64,
    kicker: Arc<Kicker>,
    extended: Option<Box<ExtendedArea>>,
    /// Of the registers only those that a system call has to do with are here, the others, `fs_base` and `resume` in the stub.
    partial: bool,
    /// Where it runs when its address space is in a stub.
    seat: Option<Box<isolated::Placed>>,
}

// SAFETY: the raw pointers are into `kicker` (shared, atomic) and to a worker, of which only the address is compared
// by other threads. State that is live in one thread's registers is never used by another: `run` refuses.
unsafe impl Send for UserContext {}
// SAFETY: methods on `&self` that touch the cells of `extended` do so only on the thread where it is live, or read
// memory that only `&mut self` methods write.
unsafe impl Sync for UserContext {}

impl Default for UserContext {
    fn default() -> Self {
        Self::new()
    }
}

impl UserContext {
    /// A context with all registers zero, flags and vector state as a new Linux process has them.
    pub fn new() -> Self {
        let kicker = Arc::new(Kicker::new());
        Self {
            regs: GeneralRegs { rflags: entry::KERNEL_FLAGS, ..GeneralRegs::default() },
            fs_base: 0,
            target: 0,
            exit_rip: 0,
            resume: 0,
            kick_flag: kicker.pending_flag(),
            xmm: [0; 16],
            mxcsr: entry::KERNEL_MXCSR,
            signal_trap: Trap::Syscall,
            last_trapno: 0,
            last_error: 0,
            last_cr2: 0,
            kicker,
            extended: Some(ExtendedArea::new()),
            partial: false,
            seat: None,
        }
    }

    /// A context with the same registers and vector state, as a thread starts with its maker's.
    pub fn duplicate(&mut self) -> Self {
        self.complete();
        self.fetch_vector_state();
        let mut copy = Self::new();
        copy.regs = self.regs;
        copy.fs_base = self.fs_base;
        (copy.exit_rip, copy.resume) = (self.exit_rip, self.resume);
        self.copy_live_state();
        copy.area().copy_from(self.area());
        copy.xmm = self.xmm;
        copy.mxcsr = self.mxcsr;
        copy
    }

    /// The general registers.
    #[inline]
    pub fn regs(&mut self) -> &GeneralRegs {
        self.complete();
        &self.regs
    }

    /// The general registers, to change them.
    #[inline]
    pub fn regs_mut(&mut self) -> &mut GeneralRegs {
        self.complete();
        &mut self.regs
    }

    /// The number and the arguments of the call that just trapped: what a call needs of [`regs`](Self::regs), which takes longer where all must
    /// be fetched.
    #[inline]
    pub fn call(&self) -> (u64, [u64; 6]) {
        let GeneralRegs { rax, rdi, rsi, rdx, r10, r8, r9, .. } = self.regs;
        (rax, [rdi, rsi, rdx, r10, r8, r9])
    }

    /// Gives that call its result.
    #[inline]
    pub fn set_result(&mut self, result: u64) {
        self.regs.rax = result;
    }

    /// The guest's FS base (its thread pointer).
    pub fn fs_base(&mut self) -> u64 {
        self.complete();
        self.fs_base
    }

    /// Sets the guest's FS base. Returns whether `base` is a user address; others are refused (`arch_prctl(2)`: EPERM).
    #[must_use]
    pub fn set_fs_base(&mut self, base: u64) -> bool {
        if base >= GUEST_END {
            return false;
        }
        self.complete();
        self.fs_base = base;
        true
    }

    /// `trapno`, `err` and `cr2` of the last exception, as a `sigcontext` wants them.
    pub fn last_exception(&self) -> (u64, u64, u64) {
        (self.last_trapno, self.last_error, self.last_cr2)
    }

    /// The handle with which other threads interrupt this context.
    pub fn kicker(&self) -> Arc<Kicker> {
        Arc::clone(&self.kicker)
    }

    /// Makes the next `run` repeat the system call that just trapped, as call `nr`.
    pub fn restart_syscall(&mut self, nr: u64) {
        self.complete();
        self.regs.rax = nr;
        // Both forms of a rewritten site have either the instruction itself or its replacement there.
        self.regs.rip = self.regs.rip.wrapping_sub(2);
    }

    /// Has the next `run` go on where `rip` says even if a rewritten site was left there: for one whose text has been given
    /// [back](AddressSpace::hold_text).
    pub fn leave_site(&mut self) {
        self.complete();
        self.exit_rip = 0;
        self.resume = 0;
    }

    /// Enters the guest and returns at its next trap.
    ///
    /// # Panics
    ///
    /// When the context ran on another thread last and was not [suspended](Self::suspend) there: its vector state is
    /// in that thread's registers.
    #[inline(always)]
    pub fn run(&mut self, space: &AddressSpace) -> Trap {
        if let Some(stub) = space.stub() {
            return self.run_isolated(stub, space);
        }
        let worker = worker::current();
        // SAFETY: this thread's own state, valid until the thread ends.
        let state = unsafe { &*worker };
        let area: *const ExtendedArea = self.area();
        // SAFETY: `area` was just made from a reference.
        let live_on = unsafe { (*area).live_on.load(Ordering::Relaxed) };
        if !ptr::eq(state.extended_owner.get(), area) || !ptr::eq(live_on, worker) {
            self.take_worker(state);
        }
        if self.regs.rip >= BOUNDARY {
            return self.wild_rip();
        }
        let space_id = ptr::from_ref(space).cast_mut().cast();
        space.rewriter.admit(state, space_id);
        self.target = if self.regs.rip == self.exit_rip {
            self.resume
        } else {
            space.rewriter.redirect(space, self.regs.rip)
        };
        // The door looks for a kick after that.
        self.kicker.enter(state.tid.get());
        // SAFETY: the worker is attached; `self` is exclusively ours and `kick_flag` points into `self.kicker`.
        let cause = unsafe { entry::enter(self, worker.cast_mut()) };
        self.kicker.leave();
        state.place.leave();
        match cause {
            entry::CAUSE_SYSCALL => Trap::Syscall,
            entry::CAUSE_KICKED => {
                self.kicker.take();
                Trap::Interrupted
            }
            _ => self.left_by_signal(state, space),
        }
    }

    /// Saves what of the context is still in this thread's registers, so that another context may use the worker and
    /// this one may go on elsewhere. To be called before the thread that owns the context waits. Idempotent; costs
    /// nothing when there is nothing to save.
    pub fn suspend(&mut self) {
        self.release_worker();
        self.kicker.park();
    }

    /// Bytes that [`save_xstate`](Self::save_xstate) writes.
    pub fn xsave_size() -> usize {
        xstate::frame_size()
    }

    /// Appends the vector state as Linux puts it into a signal frame: a standard-format XSAVE area with the
    /// `fp_xstate` magic numbers, [`xsave_size`](Self::xsave_size) bytes. It belongs at an address that is a multiple of 64.
    pub fn save_xstate(&mut self, out: &mut Vec<u8>) {
        self.fetch_vector_state();
        self.copy_live_state();
        self.area().write_frame(&self.xmm, self.mxcsr, out);
    }

    /// Takes the vector state from a signal frame (`rt_sigreturn(2)`).
    ///
    /// # Errors
    ///
    /// Refuses what would fault in the CPU: reserved bits in the header or in `mxcsr`, or less than 512 bytes. The context
    /// is unchanged then.
    pub fn restore_xstate(&mut self, frame: &[u8]) -> Result<(), BadXstate> {
        self.fetch_vector_state();
        self.release_worker();
        let (xmm, mxcsr) = self.area().read_frame(frame)?;
        self.xmm = xmm;
        self.mxcsr = mxcsr;
        Ok(())
    }

    /// Resets the vector state to that of a new process (`execve(2)`).
    pub fn reset_xstate(&mut self) {
        self.fetch_vector_state();
        self.release_worker();
        self.area().copy_from(&ExtendedArea::new());
        self.xmm = [0; 16];
        self.mxcsr = entry::KERNEL_MXCSR;
    }

    /// Gives up the vector registers, of which the guest has said that it does not need them any more: what it finds in them is its own or that
    /// of a new process, and nobody has to save and load them meanwhile. The modes in `mxcsr` stay as they are.
    pub fn discard_xstate(&mut self) {
        let area = self.area();
        let live_on = area.live_on.load(Ordering::Relaxed);
        if live_on.is_null() || !ptr::eq(live_on, worker::current_or_null()) {
            return;
        }
        // SAFETY: this thread's own state.
        let owner = unsafe { &(*live_on).extended_owner };
        if ptr::eq(owner.get(), area) {
            owner.set(ptr::null());
        }
        area.live_on.store(ptr::null_mut(), Ordering::Relaxed);
        area.forget();
    }

    #[inline]
    fn area(&self) -> &ExtendedArea {
        // Taken only in `drop`.
        self.extended.as_deref().expect("present until drop")
    }

    /// Makes this context's extended state the one in the calling thread's registers.
    #[cold]
    fn take_worker(&mut self, state: &WorkerState) {
        let area = self.area();
        assert!(
            area.live_on.load(Ordering::Relaxed).is_null(),
            "kernel bug: a context changes its worker without UserContext::suspend"
        );
        save_live(state);
        // SAFETY: whoever had the registers has been saved; `self` is exclusively ours.
        unsafe { area.load() };
        area.live_on.store(ptr::from_ref(state).cast_mut(), Ordering::Relaxed);
        state.extended_owner.set(area);
    }

    /// Saves the extended state if it is in this thread's registers, and lets go of them.
    #[inline]
    fn release_worker(&self) {
        let live_on = self.area().live_on.load(Ordering::Relaxed);
        if live_on.is_null() {
            return;
        }
        assert!(
            ptr::eq(live_on, worker::current_or_null()),
            "kernel bug: a context changes its worker without UserContext::suspend"
        );
        // SAFETY: this thread's own state.
        save_live(unsafe { &*live_on });
    }

    /// Brings the copy in memory up to date; the registers stay this context's.
    fn copy_live_state(&self) {
        let area = self.area();
        let live_on = area.live_on.load(Ordering::Relaxed);
        if !live_on.is_null() {
            assert!(
                ptr::eq(live_on, worker::current_or_null()),
                "kernel bug: the state of a context is read on another thread than it ran on"
            );
            // SAFETY: the registers of this thread hold this context's state (live_on says so).
            unsafe { area.save() };
        }
    }

    /// After a trap through a signal: anything may follow (a signal frame, a switch), so all state goes to memory.
    #[cold]
    fn left_by_signal(&mut self, state: &WorkerState, space: &AddressSpace) -> Trap {
        save_live(state);
        let trap = mem::replace(&mut self.signal_trap, Trap::Syscall);
        self.exit_rip = 0;
        self.resume = 0;
        match trap {
            Trap::Syscall => {
                self.regs.rcx = self.regs.rip;
                self.regs.r11 = self.regs.rflags;
                space.rewriter.trapped(space, self.regs.rip, self.regs.rax);
            }
            Trap::Interrupted => {
                self.kicker.take();
            }
            Trap::Timer | Trap::PageFault(_) | Trap::Exception(_) | Trap::Lost => {}
        }
        // The guest knows nothing of trampolines.
        self.regs.rip = space.rewriter.original(space, self.regs.rip);
        trap
    }

    /// A guest's `rip` is not below the boundary: the fetch would fault (or hit the kernel).
    #[cold]
    fn wild_rip(&mut self) -> Trap {
        let addr = self.regs.rip;
        self.last_cr2 = addr;
        (self.last_trapno, self.last_error) = (14, 20);
        Trap::PageFault(Fault { addr, access: Access::Execute, present: false })
    }
}

/// Whether the CPU can save and load vector state by components.
pub(crate) fn has_xsave() -> bool {
    xstate::layout().has_xsave()
}

/// The components of it that contexts keep.
pub(crate) fn xstate_mask() -> u32 {
    xstate::layout().components() as u32
}

/// Saves whatever context's state is in this thread's registers. An executor may call it inside of a task's poll
/// that returns pending, so that no task need remember to [`UserContext::suspend`].
pub fn release_registers() {
    let state = worker::current_or_null();
    if !state.is_null() {
        // SAFETY: this thread's own state.
        save_live(unsafe { &*state });
    }
}

impl Drop for UserContext {
    fn drop(&mut self) {
        let live_on = self.area().live_on.load(Ordering::Relaxed);
        if live_on.is_null() {
            return;
        }
        if ptr::eq(live_on, worker::current_or_null()) {
            // SAFETY: this thread's own state. The owner is this area, or a later one that took the registers.
            let owner = unsafe { &(*live_on).extended_owner };
            if ptr::eq(owner.get(), self.area()) {
                owner.set(ptr::null());
            }
        } else {
            // The other thread may still write to it when it hands its registers on.
            Box::leak(self.extended.take().expect("present until drop"));
        }
    }
}

impl std::fmt::Debug for UserContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserContext")
            .field("regs", &self.regs)
            .field("fs_base", &self.fs_base)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
