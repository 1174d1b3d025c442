//! Threads: made, started, their registers read and written while they are stopped.

use hal::context::{FpRegs, GeneralRegs, VectorRegs};
use kernel_objects::{
    Error, Handle, KernelObject, Process, Result, Rights,
    task::{ExceptionType, GeneralState, RegisterState, StateKind},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{
    argument::{In, Out},
    no_options,
    process::check_entry,
};
use crate::{
    abi::argument::UserPtr,
    zircon::{
        Thread,
        abi::{
            CChar, ExceptionContext, ThreadFpRegs, ThreadGeneralRegs, ThreadVectorRegs, Void,
            X87Register, ZmmRegister, ZxHandle, ZxVaddr, constants::*,
        },
        process::{Entry, start as start_thread},
    },
};

/// zx_thread_create
pub(super) fn create(
    thread: &Thread,
    process: ZxHandle,
    name: In<CChar>,
    name_size: usize,
    options: u32,
    out: Out<ZxHandle>,
) -> Result {
    no_options(options)?;
    let process = thread.get::<Process>(process, Rights::MANAGE_THREAD)?;
    let name = thread.read_name(name, name_size)?;
    let made = kernel_objects::Thread::create(&process, "")?;
    made.set_name_bytes(&name);
    thread.give([(Handle::new(made), out)])
}

/// zx_thread_start
pub(super) fn start(
    thread: &Thread,
    handle: ZxHandle,
    thread_entry: ZxVaddr,
    stack: ZxVaddr,
    arg1: u64,
    arg2: u64,
) -> Result {
    let started = thread.get::<kernel_objects::Thread>(handle, Rights::MANAGE_THREAD)?;
    check_entry(started.process(), thread_entry)?;
    let entry = Entry { pc: thread_entry.0, sp: stack.0, arguments: [arg1, arg2] };
    let run = start_thread(thread.machine(), &started, entry, false)?;
    thread.machine().kernel.cpus.spawn_measured(run).detach();
    Ok(())
}

/// zx_thread_exit
pub(super) fn exit(thread: &Thread) -> Result {
    thread.object.exit();
    Ok(())
}

/// zx_thread_legacy_yield
pub(super) async fn legacy_yield(_: &Thread, options: u32) -> Result {
    no_options(options)?;
    hal::cpu::yield_now().await;
    Ok(())
}

/// zx_thread_raise_exception
pub(super) async fn raise_exception(
    thread: &Thread,
    options: u32,
    r#type: u32,
    context: In<Void>,
) -> Result {
    if options != ZX_EXCEPTION_TARGET_JOB_DEBUGGER || r#type != ExceptionType::User as u32 {
        return Err(Error::InvalidArgs);
    }
    let context = UserPtr::<ExceptionContext>::new(context.0.addr()).read(thread.vmar())?;
    // Once it has waited, others see its registers.
    hal::cpu::yield_now().await;
    thread.object.raise_user(context.synth_code, context.synth_data).await;
    Ok(())
}

/// zx_thread_read_state
pub(super) fn read_state(
    thread: &Thread,
    handle: ZxHandle,
    kind: u32,
    buffer: Out<Void>,
    buffer_size: usize,
) -> Result {
    let kind = StateKind::from_raw(kind)?;
    let stopped = thread.get::<kernel_objects::Thread>(handle, Rights::READ)?;
    let to = State { thread, at: buffer.0, size: buffer_size };
    match stopped.read_state(kind)? {
        RegisterState::General(state) => to.put(&general(&state)),
        RegisterState::Fs(base) | RegisterState::Gs(base) => to.put(&base),
        RegisterState::Fp(regs) => to.put(&fp(&regs)),
        RegisterState::Vector(regs) => to.put(&vector(&regs)),
    }
}

/// zx_thread_write_state
pub(super) fn write_state(
    thread: &Thread,
    handle: ZxHandle,
    kind: u32,
    buffer: In<Void>,
    buffer_size: usize,
) -> Result {
    let kind = StateKind::from_raw(kind)?;
    let stopped = thread.get::<kernel_objects::Thread>(handle, Rights::WRITE)?;
    let from = State { thread, at: buffer.0, size: buffer_size };
    let state = match kind {
        StateKind::GeneralRegs => RegisterState::General(general_state(&from.get()?)),
        StateKind::RegisterFs => RegisterState::Fs(from.get()?),
        StateKind::RegisterGs => RegisterState::Gs(from.get()?),
        StateKind::FpRegs => RegisterState::Fp(fp_state(&from.get()?)),
        StateKind::VectorRegs => RegisterState::Vector(Box::new(vector_state(&from.get()?))),
        StateKind::DebugRegs | StateKind::SingleStep => return Err(Error::NotSupported),
    };
    stopped.write_state(&state)
}

/// Where registers go or come from.
struct State<'a> {
    thread: &'a Thread,
    at: UserPtr<Void>,
    size: usize,
}

impl State<'_> {
    fn check<T>(&self) -> Result<UserPtr<T>> {
        if self.size < size_of::<T>() { Err(Error::BufferTooSmall) } else { Ok(self.at.cast()) }
    }

    fn put<T: FromBytes + IntoBytes + Immutable>(&self, state: &T) -> Result {
        self.check()?.write(self.thread.vmar(), state)
    }

    fn get<T: FromBytes + IntoBytes + Immutable>(&self) -> Result<T> {
        self.check::<T>()?.read(self.thread.vmar())
    }
}

macro_rules! same_registers {
    ($($register:ident)*) => {
        fn general(state: &GeneralState) -> ThreadGeneralRegs {
            ThreadGeneralRegs {
                $($register: state.regs.$register,)*
                fs_base: state.fs_base,
                gs_base: state.gs_base,
            }
        }

        fn general_state(raw: &ThreadGeneralRegs) -> GeneralState {
            GeneralState {
                regs: GeneralRegs { $($register: raw.$register,)* },
                fs_base: raw.fs_base,
                gs_base: raw.gs_base,
            }
        }
    };
}

same_registers!(rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags);

fn fp(regs: &FpRegs) -> ThreadFpRegs {
    ThreadFpRegs {
        fcw: regs.fcw,
        fsw: regs.fsw,
        ftw: regs.ftw,
        reserved: 0,
        fop: regs.fop,
        fip: regs.fip,
        fdp: regs.fdp,
        padding1: [0; 8],
        st: regs.st.map(|st| X87Register { low: st as u64, high: (st >> 64) as u64 }),
    }
}

fn fp_state(raw: &ThreadFpRegs) -> FpRegs {
    FpRegs {
        fcw: raw.fcw,
        fsw: raw.fsw,
        ftw: raw.ftw,
        fop: raw.fop,
        fip: raw.fip,
        fdp: raw.fdp,
        st: raw.st.map(|st| u128::from(st.low) | u128::from(st.high) << 64),
    }
}

fn vector(regs: &VectorRegs) -> ThreadVectorRegs {
    ThreadVectorRegs {
        zmm: regs.zmm.map(|v| ZmmRegister { v }),
        opmask: regs.opmask,
        mxcsr: regs.mxcsr,
        padding1: [0; 4],
    }
}

fn vector_state(raw: &ThreadVectorRegs) -> VectorRegs {
    VectorRegs { zmm: raw.zmm.map(|zmm| zmm.v), opmask: raw.opmask, mxcsr: raw.mxcsr }
}
