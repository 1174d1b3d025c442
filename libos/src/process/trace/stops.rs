//! Stopping, as the tracee does it.

use std::sync::Arc;

use hal::context::{Exception, UserContext};
use kernel_objects::task::BlockedReason;

use super::{Call, DebugRegisters, Event, Mode, Parked, Resume, Stop, TextHold, Tracee, Why};
use crate::{
    errno::Errno,
    process::{Current, CutShort, Thread},
    signal::{SigInfo, Signal, info::code},
};

/// The trap flag: the CPU stops behind each instruction.
const TRAP_FLAG: u64 = 1 << 8;
/// What is added to SIGTRAP at calls for those who want to tell them apart.
const SYSGOOD: i32 = 0x80;
/// exit(2) and exit_group(2).
const EXITS: [u64; 2] = [60, 231];
/// No call's number.
const NO_CALL: u64 = u64::MAX;

/// What a traced thread's loop keeps of being traced.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    /// How it was let go on.
    mode: Mode,
    /// What it watches.
    debug: DebugRegisters,
    /// The trap flag is set by the kernel.
    forced: bool,
}

/// What becomes of a call whose beginning was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// The call with this number is made.
    Make(u64),
    /// None is: the registers are as the tracer has left them.
    Skip,
}

/// The registers of a thread that has stopped are with its record; they come back when this is dropped.
struct Parking<'a> {
    current: &'a mut Current,
    tracee: &'a Tracee,
    orig_rax: &'a mut u64,
}

impl<'a> Parking<'a> {
    fn new(
        current: &'a mut Current,
        tracee: &'a Tracee,
        stop: Stop,
        orig_rax: &'a mut u64,
    ) -> Option<Self> {
        let steps = &mut current.steps;
        if std::mem::take(&mut steps.forced) {
            current.context.regs_mut().rflags &= !TRAP_FLAG;
        }
        // What is in this CPU's registers nobody else could read.
        current.context.suspend();
        current.context.leave_site();
        let context = std::mem::take(&mut current.context);
        let parked = Parked { context, orig_rax: *orig_rax, debug: current.steps.debug };
        let mut state = tracee.state();
        if state.free {
            current.context = parked.context;
            return None;
        }
        (state.told, state.listening, state.resume) = (false, false, None);
        state.parked = Some(Box::new(parked));
        state.stop = Some(stop);
        drop(state);
        Some(Self { current, tracee, orig_rax })
    }
}

impl Drop for Parking<'_> {
    fn drop(&mut self) {
        let mut state = self.tracee.state();
        state.stop = None;
        let parked = state.parked.take();
        drop(state);
        if let Some(parked) = parked {
            self.current.context = parked.context;
            self.current.steps.debug = parked.debug;
            *self.orig_rax = parked.orig_rax;
        }
    }
}

impl Thread {
    /// The record of its being traced, if it is.
    pub(crate) fn tracee(&self) -> Option<Arc<Tracee>> {
        self.tracee.lock().clone()
    }

    /// What `PTRACE_GETSIGINFO` tells of a stop that is no signal's.
    fn notice(&self, code: i32) -> SigInfo {
        let uid = self.process.ids.lock().users[0];
        let signal = Signal::from_raw(code & 0x7f).unwrap_or(Signal::SIGTRAP);
        SigInfo::notice(signal, code, self.own_tid as u32, uid)
    }
}

impl Current {
    /// Stops for what `stop` says until the tracer lets it go on; `None` when there is none any more. `orig_rax` is what the tracer sees, and
    /// may change, as the number of the call that the thread is in.
    async fn stop(
        &mut self,
        tracee: &Arc<Tracee>,
        stop: Stop,
        orig_rax: &mut u64,
    ) -> Option<Resume> {
        let thread = Arc::clone(&self.thread);
        // One that is to die stops for nobody.
        if thread.object.is_dying() {
            return None;
        }
        let why = if stop.why == Why::Group { code::CLD_STOPPED } else { code::CLD_TRAPPED };
        let uid = thread.process.ids.lock().users[0];
        let news = SigInfo::child(why, thread.tid as u32, uid, stop.code & 0x7f, 0, 0);
        let resume = match Parking::new(self, tracee, stop, orig_rax) {
            None => None,
            Some(_parking) => {
                tracee.tracer.tell(news);
                Some(thread.object.blocked(BlockedReason::WaitOne, tracee.resumption()).await)
            }
        };
        self.resumed(tracee, resume.unwrap_or_default().mode);
        resume
    }

    /// It goes on as `mode` says.
    fn resumed(&mut self, tracee: &Tracee, mode: Mode) {
        let free = tracee.state().free;
        self.steps.mode = if free { Mode::Continue } else { mode };
        if free {
            self.steps.debug = DebugRegisters::default();
        }
        let watched = self.thread.process.kernel.watches_calls();
        let tells_exit = !free && tracee.wants(Event::Exit);
        self.traced =
            watched || tells_exit || self.steps.mode != Mode::Continue || self.steps.debug.are_on();
        self.steps.debug.look(&self.thread.memory);
        self.arm_step();
    }

    /// Has the CPU stop behind the next instruction, if the tracer or the debug registers want that.
    pub(crate) fn arm_step(&mut self) {
        if self.steps.mode.steps() || self.steps.debug.are_on() {
            let flags = &mut self.context.regs_mut().rflags;
            self.steps.forced |= *flags & TRAP_FLAG == 0;
            *flags |= TRAP_FLAG;
        }
    }

    /// Takes back what [`arm_step`](Self::arm_step) has set, where the registers are about to be put away for the guest.
    pub(crate) fn disarm_step(&mut self) {
        if std::mem::take(&mut self.steps.forced) {
            self.context.regs_mut().rflags &= !TRAP_FLAG;
        }
    }

    /// Takes what [`arm_step`](Self::arm_step) has set out of `copy`, the registers of another thread.
    pub(crate) fn without_step(&self, copy: &mut UserContext) {
        if self.steps.forced {
            copy.regs_mut().rflags &= !TRAP_FLAG;
        }
    }

    /// Whether its tracer wants it to stop behind an instruction.
    pub(crate) fn is_stepping(&self) -> bool {
        self.steps.mode.steps()
    }

    /// What `exception` is to the guest; none if it is the end of a step that only the kernel wanted.
    pub(crate) fn seen_exception(&mut self, exception: Exception) -> Option<Exception> {
        let is_step = exception.signal == Signal::SIGTRAP.raw()
            && exception.code == code::TRAP_TRACE
            && self.steps.forced;
        if !is_step {
            return Some(exception);
        }
        let rip = self.context.regs().rip;
        let watches = self.steps.debug.are_on();
        if watches && self.steps.debug.has_hit(&self.thread.memory, rip) {
            return Some(Exception { code: code::TRAP_HWBKPT, ..exception });
        }
        if self.steps.mode.steps() {
            self.steps.debug.note_step();
            return Some(exception);
        }
        None
    }

    /// Before call `number`: tells the tracer if it wants to know.
    pub(crate) async fn enter_call(&mut self, number: u64) -> Entry {
        let Some(tracee) = self.thread.tracee() else { return Entry::Make(number) };
        let mode = self.steps.mode;
        let mut orig_rax = number;
        if mode.stops_at_entry() {
            self.context.regs_mut().rax = Errno::ENOSYS.to_register();
            self.stop_at_call(&tracee, Call::Entry, &mut orig_rax).await;
            if (orig_rax as i64) < 0 || mode != Mode::Call {
                return Entry::Skip;
            }
        }
        if EXITS.contains(&orig_rax) {
            let status = (self.context.regs().rdi & 0xff) << 8;
            self.tell_event(Event::Exit, status, Some(orig_rax)).await;
        }
        Entry::Make(orig_rax)
    }

    /// After call `number`, which may have been `cut_short`, and `made`: tells the tracer if it wants to know.
    pub(crate) async fn leave_call(
        &mut self,
        number: u64,
        cut_short: Option<CutShort>,
    ) -> Option<CutShort> {
        let Some(tracee) = self.thread.tracee() else {
            self.forget_tracer();
            return cut_short;
        };
        let steps = self.steps.mode.steps();
        let watches = self.steps.debug.are_on()
            && self.steps.debug.has_hit(&self.thread.memory, self.context.regs().rip);
        if steps || watches {
            let code = if watches { code::TRAP_HWBKPT } else { code::TRAP_BRKPT };
            let trap = SigInfo::fault(Signal::SIGTRAP, code, self.context.regs().rip);
            self.thread.force_signal(Signal::SIGTRAP, trap);
        }
        if self.steps.mode != Mode::Call {
            self.arm_step();
            return cut_short;
        }
        let (mut orig_rax, cut_short) = self.show(number, cut_short);
        self.stop_at_call(&tracee, Call::Exit, &mut orig_rax).await;
        self.hide(orig_rax, cut_short)
    }

    /// Nobody traces it any more, or did when it was told so last.
    fn forget_tracer(&mut self) {
        self.traced = self.thread.process.kernel.watches_calls();
        self.steps.mode = Mode::Continue;
        self.steps.debug = DebugRegisters::default();
        self.disarm_step();
    }

    /// Makes the registers look as Linux's do inside of a call that was cut short: what is to become of it is in rax.
    fn show(&mut self, number: u64, cut_short: Option<CutShort>) -> (u64, Option<CutShort>) {
        if let Some(cut_short) = cut_short {
            self.context.regs_mut().rax = cut_short.error.to_register();
        }
        (number, cut_short)
    }

    /// The call that is still to be made again, after a stop in which the tracer may have changed its mind about that.
    fn hide(&mut self, orig_rax: u64, cut_short: Option<CutShort>) -> Option<CutShort> {
        let cut_short = cut_short?;
        let kept =
            (orig_rax as i64) >= 0 && self.context.regs().rax == cut_short.error.to_register();
        kept.then_some(CutShort { number: orig_rax, ..cut_short })
    }

    async fn stop_at_call(&mut self, tracee: &Arc<Tracee>, call: Call, orig_rax: &mut u64) {
        let good = tracee.options().contains(super::Options::SYSGOOD);
        let code = Signal::SIGTRAP.raw() | if good { SYSGOOD } else { 0 };
        let stop = Stop { why: Why::Call(call), code, info: Some(self.thread.notice(code)) };
        let resume = self.stop(tracee, stop, orig_rax).await;
        if let Some(signal) = resume.and_then(|resume| resume.signal) {
            let _ = self.thread.send_signal_from(&self.thread, signal, SigInfo::kernel(signal));
        }
    }

    /// Stops for `event` with its `message`, if the tracer wants to be told; in call `number`, if it is given.
    pub(crate) async fn tell_event(&mut self, event: Event, message: u64, number: Option<u64>) {
        let Some(tracee) = self.thread.tracee() else { return };
        if !tracee.wants(event) {
            return;
        }
        tracee.state().message = message;
        let code = Signal::SIGTRAP.raw() | (event as i32) << 8;
        let stop = Stop { why: Why::Event, code, info: Some(self.thread.notice(code)) };
        let mut orig_rax = number.unwrap_or(NO_CALL);
        self.stop(&tracee, stop, &mut orig_rax).await;
    }

    /// Stops because `signal` is about to be delivered, and says what is delivered instead, if anything.
    pub(crate) async fn stop_for_signal(
        &mut self,
        signal: Signal,
        info: SigInfo,
        cut_short: &mut Option<CutShort>,
    ) -> Option<(Signal, SigInfo)> {
        let Some(tracee) = self.thread.tracee() else { return Some((signal, info)) };
        let stop = Stop { why: Why::Signal, code: signal.raw(), info: Some(info) };
        let Some(resume) = self.stop_in(&tracee, stop, cut_short).await else {
            return Some((signal, info));
        };
        let wanted = resume.signal?;
        let told = tracee.state().told_info;
        let mut info = told.unwrap_or(SigInfo::kernel(wanted));
        if info.signo != wanted.raw() {
            let (pid, uid) = match &tracee.tracer {
                super::Tracer::Guest { process, pid, .. } => {
                    let uid = process.upgrade().map_or(0, |process| process.ids.lock().users[0]);
                    (*pid as u32, uid)
                }
                super::Tracer::Outside(_) => (0, 0),
            };
            info = SigInfo::kill(wanted, pid, uid);
        }
        if self.thread.signals.mask().contains(wanted) {
            // It waits with the others that are blocked.
            let _ = self.thread.send_signal_from(&self.thread, wanted, info);
            return None;
        }
        Some((wanted, info))
    }

    /// Stops where a call may have been cut short, and says how it goes on; `None` as [`stop`](Self::stop).
    async fn stop_in(
        &mut self,
        tracee: &Arc<Tracee>,
        stop: Stop,
        cut_short: &mut Option<CutShort>,
    ) -> Option<Resume> {
        let number = cut_short.as_ref().map_or(NO_CALL, |cut_short| cut_short.number);
        let (mut orig_rax, before) = self.show(number, cut_short.take());
        let resume = self.stop(tracee, stop, &mut orig_rax).await;
        *cut_short = self.hide(orig_rax, before);
        resume
    }

    /// Stops for job control and interruptions, as often as there are.
    pub(crate) async fn take_group_stops(&mut self, cut_short: &mut Option<CutShort>) {
        loop {
            let Some(tracee) = self.thread.tracee() else { return };
            let Some(group) = tracee.take_group_stop() else { return };
            let signal = group.or(self.thread.process.stop.signal()).unwrap_or(Signal::SIGTRAP);
            let stop = match tracee.seized {
                true => {
                    let code = signal.raw() | (Event::Stop as i32) << 8;
                    Stop { why: Why::Group, code, info: Some(self.thread.notice(code)) }
                }
                false => Stop { why: Why::Group, code: signal.raw(), info: None },
            };
            self.stop_in(&tracee, stop, cut_short).await;
        }
    }

    /// A handler has been entered: one who steps stops before its first instruction.
    pub(crate) async fn step_into_handler(&mut self) {
        let Some(tracee) = self.thread.tracee() else { return };
        let code = Signal::SIGTRAP.raw();
        let stop = Stop { why: Why::Event, code, info: Some(self.thread.notice(code)) };
        self.stop(&tracee, stop, &mut { NO_CALL }).await;
    }

    /// The thread has executed a program, in call `number`; it was `old` before.
    pub(crate) async fn tell_exec(&mut self, old: &Thread, number: u64) {
        let Some(tracee) = self.thread.tracee() else { return };
        let hold = TextHold::new(&self.thread.memory);
        drop(tracee.state().text.replace(hold));
        self.steps.debug = DebugRegisters::default();
        self.steps.forced = false;
        if tracee.wants(Event::Exec) {
            let old = tracee.tracer.sees(old.tid);
            self.tell_event(Event::Exec, old as u64, Some(number)).await;
        } else if !tracee.seized {
            let pid = self.thread.process.own_pid as u32;
            let uid = self.thread.process.ids.lock().users[0];
            let info = SigInfo::kill(Signal::SIGTRAP, pid, uid);
            let _ = self.thread.send_signal_from(&self.thread, Signal::SIGTRAP, info);
        }
    }
}
