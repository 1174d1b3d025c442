//! A Zircon thread: its loop, and what a handler can ask of it.
//!
//! The one idea: the loop is Linux's (run, trap, handle, run) without signals, and a wait needs no care for interruption. A thread that
//! is suspended while it waits is one whose future is not polled; one that is killed loses its future.

use std::{
    future::poll_fn,
    mem,
    pin::pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use hal::{
    aspace::{Fault, Watcher},
    context::{Trap, UserContext},
    sync::Actor,
};
use kernel_objects::{
    Error, Handle, HandleTable, HandleValue, KernelObject, Process, Result, Rights, Vmar,
    object::MAX_NAME_LEN,
    task::{BlockedReason, ExceptionReport, PolicyCondition, Run, set_fs_base, work},
};
use parking_lot::Mutex;

use super::{
    Machine,
    abi::{CChar, ZxHandle},
    memory::Memory,
    restricted::{Mode, Restriction, Return},
    syscall::{
        Arguments,
        argument::{In, Out},
        table,
    },
};
use crate::{
    abi::{argument::UserPtr, strace},
    trace::{self, Recorded, Why},
};

/// A thread as its calls' handlers see it.
pub struct Thread {
    /// Its life.
    pub object: Arc<kernel_objects::Thread>,
    machine: Arc<Machine>,
    memory: Memory,
    /// For restricted mode.
    pub(super) restriction: Restriction,
    /// What a call wants of the registers: asked after each call.
    wish: Mutex<Option<Wish>>,
    wishes: AtomicBool,
}

/// What a call wants of its thread's registers, which only the thread's loop has.
#[derive(Clone, Copy, Debug)]
pub enum Wish {
    /// To have this FS base: a user address.
    SetFs(u64),
    /// To be told the FS base, there.
    TellFs(UserPtr<u64>),
    /// Those of restricted mode, until it is left for there.
    Restrict(Return),
}

impl Thread {
    /// What all processes share.
    pub fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// The process it belongs to.
    pub fn process(&self) -> &Arc<Process> {
        self.object.process()
    }

    /// The handles of its process.
    pub fn handles(&self) -> &HandleTable {
        self.process().handles()
    }

    /// The root VMAR of its process: what pointers point into.
    pub fn vmar(&self) -> &Memory {
        &self.memory
    }

    /// The object behind `handle` as a `T`, if the handle has `rights`.
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`], [`Error::WrongType`], [`Error::AccessDenied`].
    pub fn get<T: KernelObject>(&self, handle: ZxHandle, rights: Rights) -> Result<Arc<T>> {
        self.handles().get(handle.value(), rights)
    }

    /// As [`get`](Self::get), with the handle's rights.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_with_rights<T: KernelObject>(
        &self,
        handle: ZxHandle,
        rights: Rights,
    ) -> Result<(Arc<T>, Rights)> {
        self.handles().get_with_rights(handle.value(), rights)
    }

    /// Does what the job's policy says of a call that meets `condition`.
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] if it is not to go on.
    pub fn policy(&self, condition: PolicyCondition) -> Result {
        self.object.enforce_policy(condition)
    }

    /// Gives the process new handles, and writes their values where it wants them.
    ///
    /// # Errors
    ///
    /// [`Error::NoMemory`] if it has too many, [`Error::InvalidArgs`] if a pointer is bad; the handles are closed then.
    pub fn give<const N: usize>(&self, handles: [(Handle, Out<ZxHandle>); N]) -> Result {
        let mut values = Vec::with_capacity(N);
        let mut result = Ok(());
        for (handle, out) in handles {
            result = result.and_then(|()| {
                let value = self.handles().insert(handle)?;
                values.push(value);
                out.0.write(self.vmar(), &value.into())
            });
        }
        self.announce(&values, || result)
    }

    /// Tells the process of handles that it has already; if `tell` fails, they are closed.
    ///
    /// # Errors
    ///
    /// That of `tell`.
    pub fn announce(&self, values: &[HandleValue], tell: impl FnOnce() -> Result) -> Result {
        tell().inspect_err(|_| {
            // Another thread may have guessed one, and closed it.
            let _ = self.handles().close_many(values);
        })
    }

    /// Copies in what an object is to be called: as much of `size` bytes at `name` as a name has room for.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for a bad pointer.
    pub fn read_name(&self, name: In<CChar>, size: usize) -> Result<Vec<u8>> {
        let size = size.min(MAX_NAME_LEN - 1);
        UserPtr::<u8>::new(name.0.addr()).read_slice(self.vmar(), size)
    }

    /// Has `wish` fulfilled when the call has succeeded.
    pub fn wish(&self, wish: Wish) {
        *self.wish.lock() = Some(wish);
        self.wishes.store(true, Ordering::Relaxed);
    }

    /// Waits for `operation`; meanwhile the thread is seen to be blocked `on` that.
    pub async fn blocked<T>(&self, on: BlockedReason, operation: impl Future<Output = T>) -> T {
        self.object.blocked(on, operation).await
    }
}

/// A thread as one of its calls has it.
pub struct Caller<'a>(&'a Thread);

impl Caller<'_> {
    /// The thread.
    pub fn thread(&self) -> &Thread {
        self.0
    }
}

/// A thread together with the registers it runs with; owned by the thread's loop.
pub struct Current {
    pub(super) thread: Arc<Thread>,
    /// Whether its calls are shown: found out once, as every call asks.
    traced: bool,
    pub(super) context: UserContext,
    /// It is in restricted mode.
    pub(super) mode: Option<Box<Mode>>,
}

/// What a thread starts with.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its first instruction.
    pub pc: u64,
    /// Its stack pointer.
    pub sp: u64,
    /// Its two arguments.
    pub arguments: [u64; 2],
}

/// Makes `vmar` the memory of a process that is new.
///
/// # Errors
///
/// As [`Process::set_root_vmar`].
pub(super) fn enter(process: &Arc<Process>, vmar: &Arc<Vmar>) -> Result {
    process.set_root_vmar(vmar.clone())?;
    watch(process, vmar);
    Ok(())
}

/// Has the process end with the host process that `vmar` is in, if it is in one of its own.
pub(super) fn watch(process: &Arc<Process>, vmar: &Vmar) {
    let watcher: Weak<dyn Watcher> = Arc::downgrade(process) as Weak<_>;
    vmar.aspace().watch(watcher);
}

/// Starts `object`, and its process if it is the `first`: what the result does, once a CPU runs it.
///
/// # Errors
///
/// [`Error::BadState`] if one of them was started before or has ended, or if the process has no memory.
pub fn start(
    machine: &Arc<Machine>,
    object: &Arc<kernel_objects::Thread>,
    entry: Entry,
    first: bool,
) -> Result<Run<impl Future<Output = ()> + use<>>> {
    let process = object.process();
    let vmar = process.root_vmar().ok_or(Error::BadState)?;
    let mut context = UserContext::new();
    let registers = context.regs_mut();
    (registers.rip, registers.rsp) = (entry.pc, entry.sp);
    [registers.rdi, registers.rsi] = entry.arguments;
    let kicker = context.kicker();
    let traced = machine.kernel.watches_calls();
    let memory = Memory::new(vmar);
    let thread = Arc::new(Thread {
        object: object.clone(),
        machine: machine.clone(),
        memory,
        restriction: Restriction::default(),
        wish: Mutex::default(),
        wishes: AtomicBool::new(false),
    });
    if let Some(recorder) = thread.recorder() {
        recorder.process_is(thread.who().pid, &process.name_bytes());
        recorder.thread_is(thread.who(), &object.name_bytes());
    }
    let cookie: Weak<Thread> = Arc::downgrade(&thread);
    let body = Current { thread, traced, context: UserContext::default(), mode: None }.run();
    let run = if first { process.start(object, body) } else { object.start(body) }?;
    // Others may want to see and change them before it runs.
    object.expose(context);
    object.set_cookie(cookie);
    object.set_kick(Some(kicker));
    Ok(run)
}

impl Current {
    /// Runs the thread until it ends: the body of its object.
    async fn run(self) {
        let mut actor = Actor::new();
        let watched = self.thread.recorder().cloned().zip(Some(self.thread.who()));
        let mut running = pin!(self.run_loop());
        poll_fn(|context| {
            if let Some((recorder, who)) = &watched {
                recorder.runs(*who);
            }
            actor.run(|| running.as_mut().poll(context))
        })
        .await;
    }

    async fn run_loop(mut self) {
        if let Some(initial) = self.thread.object.withdraw() {
            self.context = initial;
        }
        self.thread.memory.aspace().favour();
        self.note_guest();
        loop {
            let restricted = self.mode.as_deref().and_then(Mode::aspace);
            let trap = self.context.run(restricted.unwrap_or(self.thread.memory.aspace().as_ref()));
            match trap {
                trap if self.mode.is_some() => self.restricted_trap(trap).await,
                Trap::Syscall => self.system_call().await,
                trap => self.other_trap(trap).await,
            }
            if self.thread.object.work() != 0 && self.handle_work().await {
                return;
            }
            while hal::cpu::need_resched() {
                self.context.suspend();
                self.note_kernel(Why::GivesWay);
                hal::cpu::yield_now().await;
                self.note_guest();
            }
        }
    }

    /// Handles what is no system call.
    async fn other_trap(&mut self, trap: Trap) {
        self.note_kernel(Why::of(&trap));
        match trap {
            Trap::PageFault(fault) => {
                if let Err(error) = self.page_fault(fault).await {
                    self.raise(ExceptionReport::page_fault(&self.context, error)).await;
                }
            }
            Trap::Exception(exception) => self.raise(ExceptionReport::from(&exception)).await,
            Trap::Syscall | Trap::Timer | Trap::Interrupted => {}
            Trap::Lost => self.thread.process().kill(),
        }
        self.note_guest();
    }

    /// Records that the thread is in the kernel, if anything records.
    fn note_kernel(&self, why: Why) {
        if let Some(recorder) = self.thread.recorder() {
            recorder.in_kernel(self.thread.who(), why);
        }
    }

    /// Records that the thread goes back to its own code.
    fn note_guest(&self) {
        if let Some(recorder) = self.thread.recorder() {
            recorder.in_guest(self.thread.who());
        }
    }

    /// Does what the thread's [`work`] asks for. True when the thread must end.
    async fn handle_work(&mut self) -> bool {
        self.note_kernel(Why::Work);
        loop {
            let bits = self.thread.object.work();
            if bits & work::KILL != 0 {
                return true;
            }
            if bits & work::POLICY != 0 {
                let object = &self.thread.object;
                object.exposing(&mut self.context, object.raise_policy_exception()).await;
            } else if bits & work::SUSPEND != 0 {
                let object = &self.thread.object;
                object.exposing(&mut self.context, object.checkpoint()).await;
            } else {
                if bits & work::SIGNAL != 0 {
                    self.thread.object.take_interrupt();
                    self.look_for_kick();
                }
                self.note_guest();
                return false;
            }
        }
    }

    /// Has an exception handled. If nobody does, the process is killed and this does not come back.
    async fn raise(&mut self, report: ExceptionReport) {
        let (name, pc) = (self.thread.process().name_bytes(), self.context.regs().rip);
        log::warn!("{}: {:?} at {pc:#x}", name.escape_ascii(), report.exception);
        let object = &self.thread.object;
        object.exposing(&mut self.context, object.raise(report)).await;
    }

    /// Resolves a fault of the guest; waits for the page if a disk or a pager has it.
    pub(super) async fn page_fault(&mut self, fault: Fault) -> Result {
        let begin = hal::time::cycles();
        let resolved = self.resolve(fault).await;
        self.thread.object.note_page_fault(hal::time::cycles().saturating_sub(begin));
        resolved
    }

    async fn resolve(&mut self, fault: Fault) -> Result {
        let restricted = self.mode.as_deref().and_then(Mode::memory);
        let memory = restricted.unwrap_or(&self.thread.memory);
        match memory.try_fault(fault.addr, fault.access) {
            Err(Error::ShouldWait) => {}
            resolved => return resolved,
        }
        let wait = memory.fault_async(fault.addr, fault.access);
        let wait = self.thread.blocked(BlockedReason::Pager, wait);
        // Whoever has it go on elsewhere meanwhile does not want the page.
        exposing(&self.thread.object, &mut self.context, wait).await.unwrap_or(Ok(()))
    }

    /// Carries out the call that the registers hold and stores its result.
    async fn system_call(&mut self) {
        let registers = self.context.regs();
        let number = registers.rax;
        let arguments = [
            registers.rdi,
            registers.rsi,
            registers.rdx,
            registers.r10,
            registers.r8,
            registers.r9,
            registers.r12,
            registers.r13,
        ];
        let (shown, mut recorded) = match self.traced {
            true => (
                strace::enter(&self.thread, number, &arguments),
                trace::Call::begin(&*self.thread, number),
            ),
            false => (None, None),
        };
        let result = loop {
            let result = match table::dispatch_now(&self.thread, number, &arguments) {
                Some(result) => Some(result),
                None if !self.traced => self.waiting_call(number, &arguments).await,
                None => {
                    let call = self.waiting_call(number, &arguments);
                    trace::watch(recorded.as_mut(), call).await
                }
            };
            let Some(result) = result else { break None };
            if !self.thread.memory.waits() {
                break Some(result);
            }
            // In a box, as it is rare and every call's future would be larger.
            match trace::watch(recorded.as_mut(), Box::pin(self.settle(result))).await {
                Some(None) => {}
                Some(settled) => break settled,
                None => break None,
            }
        };
        if let Some(recorded) = recorded {
            recorded.end(Thread::outcome(result.as_ref().unwrap_or(&Err(Error::Canceled))));
        }
        if let Some(shown) = shown {
            shown.leave(result.as_ref().unwrap_or(&Err(Error::Canceled)));
        }
        // Sent elsewhere while it waited, it has the registers that it was given.
        let Some(mut result) = result else { return };
        if self.thread.wishes.swap(false, Ordering::Relaxed) {
            let wish = self.thread.wish.lock().take();
            if let (Ok(_), Some(wish)) = (&result, wish) {
                match self.fulfil(wish) {
                    // The registers are others now, and where the thread is says how it went.
                    Ok(()) if matches!(wish, Wish::Restrict(_)) => return,
                    Ok(()) => {}
                    Err(error) => result = Err(error),
                }
            }
        }
        // Some failures are the policy's business too, whichever call they come from.
        let result = self.thread.object.enforce_on_result(result);
        self.context.set_result(result.unwrap_or_else(|error| error.status() as u64));
    }

    /// Carries out a call that may wait. `None` when it was abandoned.
    async fn waiting_call(&mut self, number: u64, arguments: &Arguments) -> Option<Result<u64>> {
        let mut caller = Caller(&self.thread);
        let call = table::dispatch(&mut caller, number, arguments);
        exposing(&self.thread.object, &mut self.context, call).await
    }

    /// Waits for the pages that a call lacked: `Some(None)` when it is to be done again, `None` when it was abandoned.
    async fn settle(&mut self, result: Result<u64>) -> Option<Option<Result<u64>>> {
        let settle = self.thread.memory.settle(result);
        let settle = self.thread.blocked(BlockedReason::Pager, settle);
        let settled = exposing(&self.thread.object, &mut self.context, settle).await;
        if settled == Some(None) {
            hal::cpu::yield_now().await;
        }
        settled
    }

    /// Does to the registers what the call wished.
    fn fulfil(&mut self, wish: Wish) -> Result {
        match wish {
            Wish::SetFs(base) => set_fs_base(&mut self.context, base),
            Wish::TellFs(to) => to.write(&self.thread.memory, &self.context.fs_base()),
            Wish::Restrict(to) => self.enter_restricted(to),
        }
    }
}

/// Carries out what may wait, and leaves the registers to debuggers when it does. `None` when one of them has sent the thread elsewhere:
/// then it is abandoned.
async fn exposing<T>(
    object: &kernel_objects::Thread,
    context: &mut UserContext,
    operation: impl Future<Output = T>,
) -> Option<T> {
    let pc = context.regs().rip;
    let mut exposed = false;
    let mut operation = pin!(operation);
    let output = poll_fn(|cx| {
        if exposed && object.exposed_pc() != Some(pc) {
            return Poll::Ready(None);
        }
        let polled = operation.as_mut().poll(cx);
        if polled.is_pending() && !exposed {
            // What is in this CPU's registers nobody else could read.
            context.suspend();
            object.expose(mem::take(context));
            exposed = true;
        }
        polled.map(Some)
    })
    .await;
    if exposed && let Some(own) = object.withdraw() {
        *context = own;
    }
    output
}

impl Drop for Current {
    fn drop(&mut self) {
        // The registers are of no use to anybody; the context must be off this CPU before it is freed.
        self.context.suspend();
        if let Some(recorder) = self.thread.recorder() {
            recorder.gone(self.thread.who());
        }
    }
}
