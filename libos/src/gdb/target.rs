//! The process as the protocol's target: threads, registers, memory, breakpoints, and when it has stopped.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures::future::select;
use gdbstub::{
    common::{Pid, Signal as GdbSignal, Tid},
    stub::MultiThreadStopReason,
    target::{
        self, TargetError, TargetResult,
        ext::{
            auxv::{Auxv, AuxvOps},
            base::{
                BaseOps,
                multithread::{
                    MultiThreadBase, MultiThreadResume, MultiThreadResumeOps,
                    MultiThreadSchedulerLocking, MultiThreadSchedulerLockingOps,
                    MultiThreadSingleStep, MultiThreadSingleStepOps,
                },
            },
            breakpoints::{
                Breakpoints, BreakpointsOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint,
                SwBreakpointOps, WatchKind,
            },
            exec_file::{ExecFile, ExecFileOps},
            host_io::HostIoOps,
            thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps},
        },
    },
};
use kernel_objects::WaitQueue;

use super::{
    registers::{Amd64, Amd64Registers},
    signals,
};
use crate::{
    errno::Errno,
    memory::UserMemory,
    process::{
        ExitStatus, Process, Thread,
        trace::{DebugRegisters, Event, Mode, Resume, Stop, Tracee, Why},
    },
    signal::{Signal, info::code},
    vfs::{FsContext, OpenFile},
};

/// The instruction that a breakpoint is.
const BREAKPOINT: u8 = 0xcc;
/// How long threads that do not stop are waited for: one that waits for its vfork(2)'s child stops for nobody.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many addresses can be watched.
const WATCHES: usize = 4;

/// Why the target has stopped.
pub(super) type Reason = MultiThreadStopReason<u64>;

/// A process and what the debugger has done to it.
pub(super) struct Target {
    process: Arc<Process>,
    /// Notified when a thread has stopped or ended.
    changes: Arc<WaitQueue>,
    /// The breakpoints, with what is there in the program.
    breakpoints: BTreeMap<u64, u8>,
    /// Those of a program that is not executed any more.
    lost: BTreeSet<u64>,
    /// What is watched: addresses and lengths.
    watches: Vec<(u64, u64)>,
    /// How threads are to go on.
    actions: BTreeMap<i32, Resume>,
    /// Threads without an action do not.
    locked: bool,
    /// They are to once it is known that there is nothing to tell.
    deferred: bool,
    /// The debugger's user wants it to stop.
    interrupted: bool,
    /// Why it is about to stop.
    reason: Option<Reason>,
    /// Where the process found files when it was last seen.
    last_fs: FsContext,
    /// The debugger's open files.
    pub(super) files: Vec<Option<Arc<OpenFile>>>,
}

fn tid_of(tid: i32) -> Option<Tid> {
    Tid::new(usize::try_from(tid).ok()?)
}

impl Target {
    /// `process`, which finds files in `fs`; `changes` tells of its changes.
    pub(super) fn new(process: Arc<Process>, fs: FsContext, changes: Arc<WaitQueue>) -> Self {
        Self {
            last_fs: fs,
            process,
            changes,
            breakpoints: BTreeMap::new(),
            lost: BTreeSet::new(),
            watches: Vec::new(),
            actions: BTreeMap::new(),
            locked: false,
            deferred: false,
            interrupted: false,
            reason: None,
            files: Vec::new(),
        }
    }

    /// Where the process finds files.
    pub(super) fn fs(&self) -> FsContext {
        let thread = self.process.threads().into_iter().next();
        match thread {
            Some(thread) => thread.fs.read().clone(),
            None => self.last_fs.clone(),
        }
    }

    fn tracee(&self, tid: Tid) -> Option<(Arc<Thread>, Arc<Tracee>)> {
        let thread = self.process.thread(i32::try_from(tid.get()).ok()?)?;
        let tracee = thread.tracee()?;
        Some((thread, tracee))
    }

    fn memory(&self) -> Option<Arc<UserMemory>> {
        self.process.memory()
    }

    /// Ends the process.
    pub(super) fn kill(&self) {
        self.process.begin_exit(ExitStatus::KILLED);
    }

    /// Lets go of the process, which goes on by itself.
    pub(super) fn detach(&mut self) {
        self.lift_breakpoints();
        self.breakpoints.clear();
        for (thread, tracee) in self.process.tracees() {
            thread.set_free(&tracee, None);
        }
    }

    /// Takes all breakpoints out of `memory`.
    fn lift_from(&self, memory: &Arc<UserMemory>) {
        for (&addr, &byte) in &self.breakpoints {
            memory.write_by_force(addr, &[byte]);
        }
    }

    fn lift_breakpoints(&self) {
        if let Some(memory) = self.memory() {
            self.lift_from(&memory);
        }
    }

    fn plant_breakpoints(&self) {
        let Some(memory) = self.memory() else { return };
        for &addr in self.breakpoints.keys() {
            memory.write_by_force(addr, &[BREAKPOINT]);
        }
    }

    /// The debugger's user wants all to stop.
    pub(super) fn interrupt(&mut self) {
        self.interrupted = true;
        if let Some((thread, tracee)) = self.process.tracees().first() {
            tracee.interrupt(thread);
        }
    }

    /// Waits until something has happened that the debugger is told of; then all threads have stopped. May be dropped and called again.
    pub(super) async fn next_event(&mut self) -> Reason {
        let process = Arc::clone(&self.process);
        loop {
            let changes = Arc::clone(&self.changes);
            let (mut changed, mut ended) = (changes.wait(), process.ended.wait());
            changed.arm();
            ended.arm();
            if process.has_ended() {
                return match process.exit_status() {
                    Some(ExitStatus::Signaled { signal, .. }) => {
                        let signal = Signal::from_raw(signal.into()).unwrap_or(Signal::SIGKILL);
                        Reason::Terminated(signals::to_gdb(signal))
                    }
                    Some(ExitStatus::Exited(code)) => Reason::Exited(code),
                    None => Reason::Exited(0),
                };
            }
            if self.reason.is_none() {
                self.reason = self.look();
            }
            if self.reason.is_none() && self.deferred {
                self.resume_all();
            }
            if self.reason.is_some() {
                self.stop_all().await;
                self.interrupted = false;
                if let Some(reason) = self.reason.take() {
                    return reason;
                }
            }
            select(pin!(changed), pin!(ended)).await;
        }
    }

    /// Looks at who has stopped since the last time, lets those go on whose stop is nobody's concern, and says why all are to stop.
    fn look(&mut self) -> Option<Reason> {
        self.process.kernel.pids.reap_tracees(&self.process);
        for (thread, tracee) in self.process.tracees() {
            if tracee.news(false).is_none() {
                continue;
            }
            let Ok(stop) = tracee.stop() else { continue };
            if let Some(reason) = self.judge(&thread, &tracee, &stop) {
                return Some(reason);
            }
        }
        None
    }

    /// What a stop is to the debugger; if nothing, the thread goes on.
    fn judge(&mut self, thread: &Thread, tracee: &Arc<Tracee>, stop: &Stop) -> Option<Reason> {
        let tid = tid_of(thread.tid)?;
        let trap = Reason::SignalWithThread { tid, signal: GdbSignal::SIGTRAP };
        if stop.is(Event::Stop) {
            if self.interrupted {
                return Some(Reason::SignalWithThread { tid, signal: GdbSignal::SIGINT });
            }
            let by_job_control = stop.code & 0xff != Signal::SIGTRAP.raw();
            if !by_job_control || tracee.listen(thread).is_err() {
                self.go_on(tracee);
            }
            return None;
        }
        if stop.why == Why::Event {
            if stop.is(Event::Exec) {
                // Another program: they are gone with the old one.
                self.lost.extend(std::mem::take(&mut self.breakpoints).into_keys());
                return Some(trap);
            }
            if stop.is(Event::Fork) || stop.is(Event::Vfork) {
                self.let_child_go(tracee, stop.is(Event::Vfork));
            }
            if stop.is(Event::VforkDone) {
                self.plant_breakpoints();
            }
            self.go_on(tracee);
            return None;
        }
        let info = stop.info?;
        let signal = Signal::from_raw(stop.code).unwrap_or(Signal::SIGTRAP);
        if signal != Signal::SIGTRAP {
            return Some(Reason::SignalWithThread { tid, signal: signals::to_gdb(signal) });
        }
        match info.code {
            code::SI_KERNEL => self.judge_breakpoint(tracee, tid).or_else(|| {
                self.go_on(tracee);
                None
            }),
            code::TRAP_HWBKPT => {
                let status = tracee.parked().map_or(0, |parked| parked.debug.get(6));
                let hit = self.watches.get(status.trailing_zeros() as usize);
                Some(hit.map_or(trap, |&(addr, _)| Reason::Watch {
                    tid,
                    kind: WatchKind::Write,
                    addr,
                }))
            }
            _ => Some(trap),
        }
    }

    /// A breakpoint has been met: the thread is put back to it. One that is not there any more has not been met.
    fn judge_breakpoint(&self, tracee: &Tracee, tid: Tid) -> Option<Reason> {
        let mut parked = tracee.parked().ok()?;
        let regs = parked.context.regs_mut();
        let addr = regs.rip.wrapping_sub(1);
        if self.breakpoints.contains_key(&addr) {
            regs.rip = addr;
            return Some(Reason::SwBreak(tid));
        }
        let mut byte = [0];
        self.memory()?.read_by_force(addr, &mut byte);
        if byte == [BREAKPOINT] {
            // The program's own.
            return Some(Reason::SignalWithThread { tid, signal: GdbSignal::SIGTRAP });
        }
        regs.rip = addr;
        None
    }

    /// A child is not debugged: it goes on without breakpoints. One that shares memory takes them away from its parent as long as it does.
    fn let_child_go(&self, tracee: &Tracee, shares: bool) {
        let Ok(child) = tracee.message() else { return };
        let Some(child) = self.process.kernel.pids.thread(child as i32) else { return };
        match shares {
            true => self.lift_breakpoints(),
            false => self.lift_from(&child.memory),
        }
        if let Some(tracee) = child.tracee() {
            child.set_free(&tracee, None);
        }
    }

    fn resume_all(&mut self) {
        self.deferred = false;
        for (_, tracee) in self.process.tracees() {
            self.go_on(&tracee);
        }
    }

    /// Lets a thread go on as the debugger has said, if it is to; not before all are.
    fn go_on(&self, tracee: &Tracee) {
        if self.deferred || self.locked && !self.actions.contains_key(&tracee.tid()) {
            return;
        }
        let resume = self.actions.get(&tracee.tid()).copied().unwrap_or_default();
        if let Ok(mut parked) = tracee.parked() {
            let mut debug = DebugRegisters::default();
            let mut control = 0;
            for (place, &(addr, len)) in self.watches.iter().enumerate() {
                // Checked when it was asked for.
                let _ = debug.set(place, addr);
                control |= 1 << (2 * place) | (1 | length_bits(len) << 2) << (16 + 4 * place);
            }
            let _ = debug.set(7, control);
            parked.debug = debug;
        }
        tracee.forget_interrupt();
        // It fails for one that is about to die.
        let _ = tracee.resume(resume);
    }

    /// Waits until all threads have stopped, at the beginning.
    pub(super) async fn begin(&mut self) {
        self.stop_all().await;
    }

    /// Has all threads stop, and waits until they have.
    async fn stop_all(&mut self) {
        for (thread, tracee) in self.process.tracees() {
            if !tracee.has_stopped() {
                tracee.interrupt(&thread);
            }
        }
        let process = Arc::clone(&self.process);
        let changes = Arc::clone(&self.changes);
        let all_stopped = changes.wait_until(|| {
            let tracees = process.tracees();
            let stopped = |(thread, tracee): &(Arc<Thread>, Arc<Tracee>)| {
                tracee.has_stopped() || thread.object.is_dying()
            };
            tracees.iter().all(stopped).then_some(())
        });
        let _ = hal::time::timeout(PATIENCE, all_stopped).await;
        for (_, tracee) in self.process.tracees() {
            // Those that have stopped for us alone have nothing to tell.
            if tracee.stop().is_ok_and(|stop| stop.is(Event::Stop)) {
                let _ = tracee.news(false);
            }
        }
    }
}

/// DR7's bits for a length.
fn length_bits(len: u64) -> u64 {
    match len {
        1 => 0,
        2 => 1,
        8 => 2,
        _ => 3,
    }
}

impl target::Target for Target {
    type Arch = Amd64;
    type Error = Errno;

    fn base_ops(&mut self) -> BaseOps<'_, Self::Arch, Self::Error> {
        BaseOps::MultiThread(self)
    }

    fn guard_rail_implicit_sw_breakpoints(&self) -> bool {
        true
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_host_io(&mut self) -> Option<HostIoOps<'_, Self>> {
        Some(self)
    }

    fn support_exec_file(&mut self) -> Option<ExecFileOps<'_, Self>> {
        Some(self)
    }

    fn support_auxv(&mut self) -> Option<AuxvOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadBase for Target {
    fn read_registers(&mut self, regs: &mut Amd64Registers, tid: Tid) -> TargetResult<(), Self> {
        let (_, tracee) = self.tracee(tid).ok_or(TargetError::NonFatal)?;
        let mut parked = tracee.parked().map_err(|_| TargetError::NonFatal)?;
        *regs = Amd64Registers::read(&mut parked);
        Ok(())
    }

    fn write_registers(&mut self, regs: &Amd64Registers, tid: Tid) -> TargetResult<(), Self> {
        let (_, tracee) = self.tracee(tid).ok_or(TargetError::NonFatal)?;
        let mut parked = tracee.parked().map_err(|_| TargetError::NonFatal)?;
        regs.write(&mut parked).map_err(|_| TargetError::NonFatal)
    }

    fn read_addrs(
        &mut self,
        start_addr: u64,
        data: &mut [u8],
        _tid: Tid,
    ) -> TargetResult<usize, Self> {
        let memory = self.memory().ok_or(TargetError::NonFatal)?;
        let len = memory.read_by_force(start_addr, data);
        // What the program has there.
        let end = start_addr.saturating_add(len as u64);
        for (&addr, &byte) in self.breakpoints.range(start_addr..end) {
            if let Some(slot) = data.get_mut((addr - start_addr) as usize) {
                *slot = byte;
            }
        }
        if len == 0 && !data.is_empty() { Err(TargetError::NonFatal) } else { Ok(len) }
    }

    fn write_addrs(&mut self, start_addr: u64, data: &[u8], _tid: Tid) -> TargetResult<(), Self> {
        let memory = self.memory().ok_or(TargetError::NonFatal)?;
        let mut bytes = data.to_vec();
        let end = start_addr.saturating_add(data.len() as u64);
        for (&addr, byte) in self.breakpoints.range_mut(start_addr..end) {
            if let Some(slot) = bytes.get_mut((addr - start_addr) as usize) {
                *byte = std::mem::replace(slot, BREAKPOINT);
            }
        }
        let written = memory.write_by_force(start_addr, &bytes);
        if written == data.len() { Ok(()) } else { Err(TargetError::NonFatal) }
    }

    fn list_active_threads(&mut self, thread_is_active: &mut dyn FnMut(Tid)) -> Result<(), Errno> {
        for thread in self.process.threads() {
            if let Some(tid) = tid_of(thread.tid) {
                thread_is_active(tid);
            }
        }
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl ThreadExtraInfo for Target {
    fn thread_extra_info(&self, tid: Tid, buf: &mut [u8]) -> Result<usize, Errno> {
        let name = self.tracee(tid).map(|(thread, _)| thread.name()).unwrap_or_default();
        Ok(copy_part(&name, 0, buf.len(), buf))
    }
}

impl MultiThreadResume for Target {
    fn resume(&mut self) -> Result<(), Errno> {
        let tracees = self.process.tracees();
        // There may be more to tell before anything goes on.
        self.deferred = tracees.iter().any(|(_, tracee)| tracee.news(true).is_some());
        if !self.deferred {
            self.resume_all();
        }
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), Errno> {
        self.actions.clear();
        self.locked = false;
        Ok(())
    }

    fn set_resume_action_continue(
        &mut self,
        tid: Tid,
        signal: Option<GdbSignal>,
    ) -> Result<(), Errno> {
        self.set_action(tid, Mode::Continue, signal);
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl Target {
    fn set_action(&mut self, tid: Tid, mode: Mode, signal: Option<GdbSignal>) {
        let signal = signal.and_then(signals::from_gdb);
        if let Ok(tid) = i32::try_from(tid.get()) {
            self.actions.insert(tid, Resume { mode, signal });
        }
    }
}

impl MultiThreadSingleStep for Target {
    fn set_resume_action_step(&mut self, tid: Tid, signal: Option<GdbSignal>) -> Result<(), Errno> {
        self.set_action(tid, Mode::Step, signal);
        Ok(())
    }
}

impl MultiThreadSchedulerLocking for Target {
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), Errno> {
        self.locked = true;
        Ok(())
    }
}

impl Breakpoints for Target {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl SwBreakpoint for Target {
    fn add_sw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        if self.breakpoints.contains_key(&addr) {
            return Ok(true);
        }
        let Some(memory) = self.memory() else { return Ok(false) };
        let mut byte = [0];
        if memory.read_by_force(addr, &mut byte) == 0
            || memory.write_by_force(addr, &[BREAKPOINT]) == 0
        {
            return Ok(false);
        }
        self.breakpoints.insert(addr, byte[0]);
        Ok(true)
    }

    fn remove_sw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        let Some(byte) = self.breakpoints.remove(&addr) else {
            return Ok(self.lost.remove(&addr));
        };
        if let Some(memory) = self.memory() {
            memory.write_by_force(addr, &[byte]);
        }
        Ok(true)
    }
}

impl HwWatchpoint for Target {
    fn add_hw_watchpoint(
        &mut self,
        addr: u64,
        len: u64,
        kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        let fits = matches!(len, 1 | 2 | 4 | 8) && addr < hal::pmem::GUEST_END;
        if kind != WatchKind::Write || !fits || self.watches.len() == WATCHES {
            return Ok(false);
        }
        self.watches.push((addr, len));
        Ok(true)
    }

    fn remove_hw_watchpoint(
        &mut self,
        addr: u64,
        len: u64,
        _kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        let found = self.watches.iter().position(|&watch| watch == (addr, len));
        Ok(found.map(|at| self.watches.remove(at)).is_some())
    }
}

/// Copies the part of `all` at `offset`, at most `length` bytes; says how many.
fn copy_part(all: &[u8], offset: u64, length: usize, buf: &mut [u8]) -> usize {
    let from = usize::try_from(offset).unwrap_or(usize::MAX).min(all.len());
    let part = &all[from..];
    let len = part.len().min(length).min(buf.len());
    buf[..len].copy_from_slice(&part[..len]);
    len
}

impl Auxv for Target {
    fn get_auxv(&self, offset: u64, length: usize, buf: &mut [u8]) -> TargetResult<usize, Self> {
        let auxv = self.memory().map(|memory| memory.image().auxv).unwrap_or_default();
        Ok(copy_part(&auxv, offset, length, buf))
    }
}

impl ExecFile for Target {
    fn get_exec_file(
        &self,
        _pid: Option<Pid>,
        offset: u64,
        length: usize,
        buf: &mut [u8],
    ) -> TargetResult<usize, Self> {
        let path = self.memory().map(|memory| memory.image().executable).unwrap_or_default();
        Ok(copy_part(&path, offset, length, buf))
    }
}
