//! A thread's registers, as a debugger sees them.
//!
//! As long as a thread runs its registers belong to its body alone. A body that is about to wait where others may look at them
//! [exposes](Thread::exposing) them: it leaves them with the thread and takes them back, changed perhaps, when it goes on. They
//! can be read and written while the thread waits in an exception or is suspended, and at no other time.

use std::mem;

use hal::context::{FpRegs, GeneralRegs, UserContext, VectorRegs};

use super::{
    exception::ExceptionChannelType,
    thread::{Thread, ThreadState},
};
use crate::error::{Error, Result};

/// Which registers are meant: `ZX_THREAD_STATE_*` (`zircon/syscalls/debug.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum StateKind {
    /// The general registers and the segments' bases.
    GeneralRegs = 0,
    /// The x87 registers.
    FpRegs = 1,
    /// The vector registers.
    VectorRegs = 2,
    /// The processor's debug registers, which are the host's: not supported.
    DebugRegs = 4,
    /// Whether it stops behind each instruction: not supported, for the kernel's own code would stop.
    SingleStep = 5,
    /// The FS base.
    RegisterFs = 6,
    /// The GS base, which is the kernel's: 0 for a guest.
    RegisterGs = 7,
}

impl StateKind {
    /// The kind with this number.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`].
    pub fn from_raw(raw: u32) -> Result<Self> {
        match raw {
            0 => Ok(Self::GeneralRegs),
            1 => Ok(Self::FpRegs),
            2 => Ok(Self::VectorRegs),
            4 => Ok(Self::DebugRegs),
            5 => Ok(Self::SingleStep),
            6 => Ok(Self::RegisterFs),
            7 => Ok(Self::RegisterGs),
            _ => Err(Error::InvalidArgs),
        }
    }
}

/// The general registers and the segments' bases: `zx_thread_state_general_regs_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GeneralState {
    /// The general registers.
    pub regs: GeneralRegs,
    /// The FS base.
    pub fs_base: u64,
    /// The GS base.
    pub gs_base: u64,
}

/// One aspect of a thread's registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterState {
    /// [`StateKind::GeneralRegs`].
    General(GeneralState),
    /// [`StateKind::FpRegs`].
    Fp(FpRegs),
    /// [`StateKind::VectorRegs`].
    Vector(Box<VectorRegs>),
    /// [`StateKind::RegisterFs`].
    Fs(u64),
    /// [`StateKind::RegisterGs`].
    Gs(u64),
}

/// The flags that a guest may change at will: carry, parity, adjust, zero, sign, direction, overflow.
pub const USER_FLAGS: u64 = 0xcd5;

impl Thread {
    /// Leaves the registers to others while `wait` waits: for the thread's own body.
    pub async fn exposing<T>(&self, context: &mut UserContext, wait: impl Future<Output = T>) -> T {
        // What is in this CPU's registers nobody else could read.
        context.suspend();
        self.expose(mem::take(context));
        let output = wait.await;
        if let Some(own) = self.withdraw() {
            *context = own;
        }
        output
    }

    /// Leaves the registers to others, for one who starts the thread: its body then begins by [withdrawing](Self::withdraw) them.
    pub fn expose(&self, context: UserContext) {
        let before = self.registers.lock().replace(Box::new(context));
        drop(before);
    }

    /// Takes back what was left to others, as they have changed it: for the thread's own body.
    pub fn withdraw(&self) -> Option<UserContext> {
        self.registers.lock().take().map(|context| *context)
    }

    /// Where it is to go on, as others have left it, if its registers are exposed: for the thread's own body.
    pub fn exposed_pc(&self) -> Option<u64> {
        self.registers.lock().as_mut().map(|context| context.regs().rip)
    }

    /// Whether others may use its registers now.
    fn is_stopped(&self) -> bool {
        let info = self.info();
        info.state == ThreadState::Suspended
            || info.wait_exception_channel != ExceptionChannelType::None
    }

    fn with_registers<T>(&self, with: impl FnOnce(&mut UserContext) -> Result<T>) -> Result<T> {
        if !self.is_stopped() {
            return Err(Error::BadState);
        }
        with(self.registers.lock().as_mut().ok_or(Error::BadState)?)
    }

    /// Reads registers (`zx_thread_read_state`).
    ///
    /// # Errors
    ///
    /// [`Error::NotSupported`] for debug registers and single steps; [`Error::BadState`] unless it is suspended or waits in an exception,
    /// and has exposed its registers there.
    pub fn read_state(&self, kind: StateKind) -> Result<RegisterState> {
        if matches!(kind, StateKind::DebugRegs | StateKind::SingleStep) {
            return Err(Error::NotSupported);
        }
        self.with_registers(|context| {
            Ok(match kind {
                StateKind::GeneralRegs => RegisterState::General(GeneralState {
                    regs: *context.regs(),
                    fs_base: context.fs_base(),
                    gs_base: 0,
                }),
                StateKind::FpRegs => RegisterState::Fp(context.fp_regs()),
                StateKind::VectorRegs => RegisterState::Vector(Box::new(context.vector_regs())),
                StateKind::RegisterFs => RegisterState::Fs(context.fs_base()),
                StateKind::RegisterGs => RegisterState::Gs(0),
                StateKind::DebugRegs | StateKind::SingleStep => return Err(Error::NotSupported),
            })
        })
    }

    /// Writes registers (`zx_thread_write_state`). Of the flags those change that a program may change itself.
    ///
    /// # Errors
    ///
    /// [`Error::NotSupported`] for a GS base other than 0; [`Error::InvalidArgs`] for an FS base that is no user address, or values that
    /// the processor would refuse; [`Error::BadState`] as for [`read_state`](Self::read_state). Nothing is changed then.
    pub fn write_state(&self, state: &RegisterState) -> Result {
        let refused = |_| Error::InvalidArgs;
        self.with_registers(|context| match state {
            RegisterState::General(state) => {
                check_gs_base(state.gs_base)?;
                set_fs_base(context, state.fs_base)?;
                let flags = context.regs().rflags & !USER_FLAGS | state.regs.rflags & USER_FLAGS;
                *context.regs_mut() = GeneralRegs { rflags: flags, ..state.regs };
                Ok(())
            }
            RegisterState::Fp(regs) => context.set_fp_regs(regs).map_err(refused),
            RegisterState::Vector(regs) => context.set_vector_regs(regs).map_err(refused),
            RegisterState::Fs(base) => set_fs_base(context, *base),
            RegisterState::Gs(base) => check_gs_base(*base),
        })
    }
}

/// Sets the FS base of a guest (`ZX_PROP_REGISTER_FS`).
///
/// # Errors
///
/// [`Error::InvalidArgs`] if it is no user address.
pub fn set_fs_base(context: &mut UserContext, base: u64) -> Result {
    if context.set_fs_base(base) { Ok(()) } else { Err(Error::InvalidArgs) }
}

fn check_gs_base(base: u64) -> Result {
    if base == 0 { Ok(()) } else { Err(Error::NotSupported) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{
        super::{
            HandlerKind, SuspendToken, create_exception_channel,
            exception::tests::{exception, next},
            run::tests::{poll, started},
        },
        *,
    };
    use crate::{
        handle::Handle,
        task::{ExceptionReport, ExceptionState, Run},
    };

    /// A thread that exposes its registers while it looks whether it is suspended, and stops when `rax` is 0.
    fn looking() -> Run<impl Future<Output = ()>> {
        started(|thread| async move {
            let mut context = UserContext::new();
            context.regs_mut().rax = 7;
            while context.regs().rax != 0 {
                thread.exposing(&mut context, thread.checkpoint()).await;
                futures::pending!();
            }
        })
    }

    fn general(thread: &Thread) -> Result<GeneralState> {
        match thread.read_state(StateKind::GeneralRegs)? {
            RegisterState::General(state) => Ok(state),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn registers_of_a_suspended_thread_can_be_read_and_written() {
        let mut run = looking();
        let thread = run.thread().clone();
        assert!(poll(&mut run).is_pending());
        assert_eq!(general(&thread), Err(Error::BadState), "it runs");
        let token = SuspendToken::create(&thread);
        assert!(poll(&mut run).is_pending());
        let mut state = general(&thread).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((state.regs.rax, state.fs_base, state.gs_base), (7, 0, 0));
        (state.regs.rax, state.fs_base) = (0, 0x1000);
        assert_eq!(thread.write_state(&RegisterState::General(state)), Ok(()));
        assert_eq!(general(&thread), Ok(state));
        assert_eq!(thread.read_state(StateKind::RegisterFs), Ok(RegisterState::Fs(0x1000)));
        drop(token);
        assert!(poll(&mut run).is_pending());
        let again = thread.write_state(&RegisterState::General(state));
        assert_eq!(again, Err(Error::BadState));
        assert!(poll(&mut run).is_ready(), "it has the registers that were written");
    }

    #[test]
    fn registers_can_be_used_in_an_exception_until_it_is_closed() {
        let mut run = started(|thread| async move {
            let mut context = UserContext::new();
            let report = ExceptionReport::page_fault(&context, Error::NotFound);
            thread.exposing(&mut context, thread.raise(report)).await;
            assert_eq!(context.regs().rip, 0x40);
        });
        let thread = run.thread().clone();
        let process: Arc<dyn crate::KernelObject> = thread.process().clone();
        let handler = create_exception_channel(&Handle::new(process), HandlerKind::Standard);
        let handler = handler.unwrap_or_else(|error| panic!("{error}"));
        assert!(poll(&mut run).is_pending());
        let message = next(&handler).unwrap_or_else(|| panic!("no exception"));
        let mut state = general(&thread).unwrap_or_else(|error| panic!("{error}"));
        state.regs.rip = 0x40;
        assert_eq!(thread.write_state(&RegisterState::General(state)), Ok(()));
        exception(&message).set_state(ExceptionState::Handled);
        drop(message);
        assert_eq!(general(&thread), Err(Error::BadState));
        assert!(poll(&mut run).is_ready());
    }

    /// A thread that is suspended with its registers exposed.
    fn suspended() -> (Run<impl Future<Output = ()>>, Arc<SuspendToken>) {
        let mut run = looking();
        let token = SuspendToken::create(run.thread()).unwrap_or_else(|error| panic!("{error}"));
        run.thread().expose(UserContext::new());
        assert!(poll(&mut run).is_pending());
        (run, token)
    }

    #[test]
    fn vector_and_x87_registers_are_among_them() {
        let (run, _token) = suspended();
        let thread = run.thread();
        let fp = RegisterState::Fp(FpRegs { fcw: 0x27f, ..FpRegs::default() });
        assert_eq!(thread.write_state(&fp), Ok(()));
        assert_eq!(thread.read_state(StateKind::FpRegs), Ok(fp));
        let mut regs = VectorRegs::default();
        regs.zmm[3][1] = 9;
        let vector = RegisterState::Vector(Box::new(regs));
        assert_eq!(thread.write_state(&vector), Ok(()));
        assert_eq!(thread.read_state(StateKind::VectorRegs), Ok(vector));
    }

    #[test]
    fn what_a_guest_cannot_have_is_refused() {
        let (run, _token) = suspended();
        let thread = run.thread();
        let before = general(thread).unwrap_or_else(|error| panic!("{error}"));
        let write = |state| thread.write_state(&RegisterState::General(state));
        assert_eq!(write(GeneralState { gs_base: 1, ..before }), Err(Error::NotSupported));
        assert_eq!(write(GeneralState { fs_base: u64::MAX, ..before }), Err(Error::InvalidArgs));
        assert_eq!(thread.write_state(&RegisterState::Fs(u64::MAX)), Err(Error::InvalidArgs));
        assert_eq!(thread.write_state(&RegisterState::Gs(1)), Err(Error::NotSupported));
        assert_eq!(thread.write_state(&RegisterState::Gs(0)), Ok(()));
        let regs = VectorRegs { mxcsr: !0, ..VectorRegs::default() };
        let refused = thread.write_state(&RegisterState::Vector(Box::new(regs)));
        assert_eq!(refused, Err(Error::InvalidArgs));
        let regs = GeneralRegs { rflags: !0, ..before.regs };
        assert_eq!(write(GeneralState { regs, ..before }), Ok(()));
        let flags = general(thread).map(|state| state.regs.rflags);
        assert_eq!(flags, Ok(before.regs.rflags | 0xcd5));
    }

    #[test]
    fn debug_registers_and_single_steps_are_not_there() {
        let (run, _token) = suspended();
        for kind in [StateKind::DebugRegs, StateKind::SingleStep] {
            assert_eq!(run.thread().read_state(kind), Err(Error::NotSupported));
        }
        use StateKind::*;
        for kind in [GeneralRegs, FpRegs, VectorRegs, DebugRegs, SingleStep, RegisterFs, RegisterGs]
        {
            assert_eq!(StateKind::from_raw(kind as u32), Ok(kind));
        }
        assert_eq!((GeneralRegs as u32, VectorRegs as u32, RegisterGs as u32), (0, 2, 7));
        for raw in [3, 8] {
            assert_eq!(StateKind::from_raw(raw), Err(Error::InvalidArgs));
        }
    }

    #[test]
    fn a_thread_that_exposes_nothing_has_none() {
        let mut run = started(|_| std::future::pending());
        let _token = SuspendToken::create(run.thread());
        assert!(poll(&mut run).is_pending());
        let _ = poll(&mut run);
        assert_eq!(run.thread().info().state, ThreadState::Suspended);
        assert_eq!(general(run.thread()), Err(Error::BadState));
    }

    #[test]
    fn what_a_thread_exposes_before_it_stops_cannot_be_used() {
        let mut run = started(|_| std::future::pending());
        let thread = run.thread().clone();
        thread.expose(UserContext::new());
        assert!(poll(&mut run).is_pending());
        assert_eq!(thread.info().state, ThreadState::Running);
        assert_eq!(general(&thread), Err(Error::BadState));
        assert_eq!(thread.write_state(&RegisterState::Fs(0)), Err(Error::BadState));
        thread.kill();
        assert!(poll(&mut run).is_ready());
        assert!(thread.withdraw().is_none(), "a dead thread keeps none");
    }

    #[test]
    fn a_thread_may_start_with_registers_that_a_debugger_has_changed() {
        let mut run = started(|thread| async move {
            let context = thread.withdraw();
            assert_eq!(context.map(|mut context| context.regs().rdi), Some(5));
        });
        let thread = run.thread().clone();
        let process: Arc<dyn crate::KernelObject> = thread.process().clone();
        let debugger = create_exception_channel(&Handle::new(process), HandlerKind::Debugger);
        let debugger = debugger.unwrap_or_else(|error| panic!("{error}"));
        thread.expose(UserContext::new());
        assert!(poll(&mut run).is_pending());
        let message = next(&debugger).unwrap_or_else(|| panic!("no exception"));
        let mut state = general(&thread).unwrap_or_else(|error| panic!("{error}"));
        state.regs.rdi = 5;
        assert_eq!(thread.write_state(&RegisterState::General(state)), Ok(()));
        drop((message, debugger));
        assert!(poll(&mut run).is_ready());
    }
}
