//! Acting on signals: between a trap and the return to the guest.
//!
//! The one idea: handlers do not run here. Delivering to a handler only rewrites the registers so that the guest, when it goes on, is in the handler;
//! several pending signals stack up, the last one runs first, as in Linux.

use hal::{
    aspace::Fault,
    context::{Exception, UserContext},
};
use kernel_objects::task::retcode;

use super::{
    action::{SIG_DFL, SIG_IGN, SigAction, flags},
    frame::{self, Delivery},
    info::{SigInfo, code},
    number::{DefaultAction, SigSet, Signal},
};
use crate::{
    errno::{Errno, SysResult},
    memory::FaultCause,
    process::{Current, CutShort, ExitStatus, Resource, Thread, trace::Event},
};

/// Acts on all signals that the thread does not block.
///
/// `cut_short` is the system call that was interrupted; it is taken when a handler decides what becomes of it.
pub(crate) async fn deliver(current: &mut Current, cut_short: &mut Option<CutShort>) {
    let is_traced = |current: &Current| current.thread().tracee().is_some();
    let mut entered = false;
    loop {
        loop {
            if is_traced(current) {
                Box::pin(current.take_group_stops(cut_short)).await;
            }
            let continued = current.thread().process.stop.continued();
            let Some((mut signal, mut info)) = current.thread().take_deliverable() else { break };
            let traced = is_traced(current);
            if traced {
                let stop = Box::pin(current.stop_for_signal(signal, info, cut_short));
                match stop.await {
                    Some(wanted) => (signal, info) = wanted,
                    None => continue,
                }
            }
            let process = &current.thread().process;
            let action = process.signals.with(|actions| actions.take_for_delivery(signal));
            match action.handler {
                SIG_IGN => {}
                // What it has done itself ends an init, too.
                SIG_DFL if process.ignores_as_init(signal, &action) && !info.is_synchronous() => {}
                SIG_DFL => {
                    let fate = default_action(current.thread(), signal, continued);
                    if let Some(fate) = fate {
                        if traced {
                            let status = fate.wait_status() as u64;
                            Box::pin(current.tell_event(Event::Exit, status, None)).await;
                        }
                        current.thread().exit_group(fate);
                        return;
                    }
                }
                _ => {
                    if traced {
                        current.disarm_step();
                    }
                    entered |= handle(current, signal, &info, &action, cut_short);
                }
            }
        }
        // No handler was run with it, so a temporary mask ends here; that may let more signals through.
        match current.thread().signals.take_saved_mask() {
            Some(mask) => current.thread().set_signal_mask(mask),
            None => break,
        };
    }
    if is_traced(current) {
        if entered && current.is_stepping() {
            Box::pin(current.step_into_handler()).await;
        }
        current.arm_step();
    }
}

/// Does what happens to a signal without a handler, which was taken when the process had been `continued` so often. How the process is
/// to end if that is what happens.
fn default_action(thread: &Thread, signal: Signal, continued: u64) -> Option<ExitStatus> {
    let core = match signal.default_action() {
        DefaultAction::Ignore | DefaultAction::Continue => return None,
        DefaultAction::Stop => {
            thread.process.stop_by(signal, continued);
            return None;
        }
        // Whether there would be one; it is not written.
        DefaultAction::Core => thread.process.limit(Resource::Core) > 0,
        DefaultAction::Terminate => false,
    };
    Some(ExitStatus::Signaled { signal: signal.raw() as u8, core })
}

/// Sends the thread into its handler for `signal`. Whether that is where it goes on.
fn handle(
    current: &mut Current,
    signal: Signal,
    info: &SigInfo,
    action: &SigAction,
    cut_short: &mut Option<CutShort>,
) -> bool {
    if let Some(call) = cut_short.take() {
        finish_call(&mut current.context, call, action);
    }
    let thread = std::sync::Arc::clone(current.thread());
    let signals = &thread.signals;
    let mask = signals.take_saved_mask().unwrap_or_else(|| signals.mask());
    let altstack = signals.altstack();
    let delivery = Delivery { signal, info, action, mask, altstack: &altstack };
    if frame::enter_handler(&mut current.context, &thread.memory, &delivery).is_err() {
        signals.replace_mask(mask);
        if signal == Signal::SIGSEGV {
            thread.process.signals.with(|actions| actions.reset(signal));
        }
        thread.force_signal(Signal::SIGSEGV, SigInfo::kernel(Signal::SIGSEGV));
        return false;
    }
    if altstack.disarms() {
        signals.set_altstack(super::AltStack::NONE);
    }
    let mut blocked = signals.mask().union(action.mask);
    if !action.has(flags::SA_NODEFER) {
        blocked.insert(signal);
    }
    thread.set_signal_mask(blocked);
    true
}

/// Decides whether an interrupted call is made again after the handler or fails with `EINTR` (signal(7)).
fn finish_call(context: &mut UserContext, call: CutShort, action: &SigAction) {
    let again = match call.error {
        Errno::ERESTARTNOINTR => true,
        Errno::ERESTARTSYS => action.has(flags::SA_RESTART),
        _ => false,
    };
    if again {
        context.restart_syscall(call.number);
    } else {
        context.regs_mut().rax = Errno::EINTR.to_register();
    }
}

/// Bytes of a system-call instruction.
const SYSCALL: u64 = 2;

/// rt_sigreturn(2): goes back to what a handler interrupted. A frame that makes no sense is a SIGSEGV.
pub(crate) fn sigreturn(current: &mut Current) -> SysResult<u64> {
    let thread = std::sync::Arc::clone(current.thread());
    let site = current.context.regs().rip.wrapping_sub(SYSCALL);
    thread.memory.restorer().returned(&thread.memory, site);
    match frame::leave_handler(&mut current.context, &thread.memory) {
        Ok(returned) => {
            let sp = current.context.regs().rsp;
            // Linux ignores a stack that can not be set, too.
            if let Ok(altstack) = thread.signals.altstack().replaced_by(returned.stack, sp) {
                thread.signals.set_altstack(altstack);
            }
            thread.set_signal_mask(returned.mask.difference(SigSet::UNBLOCKABLE));
        }
        Err(_) => thread.force_signal(Signal::SIGSEGV, SigInfo::kernel(Signal::SIGSEGV)),
    }
    Ok(current.context.regs().rax)
}

/// Sends the signal for an access that the guest's memory could not make possible.
pub(crate) fn force_fault(current: &mut Current, fault: &Fault, cause: FaultCause) {
    let (signal, code) = match cause {
        FaultCause::Unmapped => (Signal::SIGSEGV, code::SEGV_MAPERR),
        FaultCause::Protection => (Signal::SIGSEGV, code::SEGV_ACCERR),
        FaultCause::BeyondEnd => (Signal::SIGBUS, code::BUS_ADRERR),
        FaultCause::OutOfMemory => {
            current.thread().process.object.exit(retcode::OOM_KILL);
            return;
        }
    };
    current.thread().force_signal(signal, SigInfo::fault(signal, code, fault.addr));
}

/// Sends the signal for an exception other than a page fault.
pub(crate) fn force_exception(current: &mut Current, exception: &Exception) {
    // The machine knows no others; if it did, this is what a general protection fault gives.
    let signal = Signal::from_raw(exception.signal).unwrap_or(Signal::SIGSEGV);
    let info = SigInfo::fault(signal, exception.code, exception.addr);
    current.thread().force_signal(signal, info);
}
