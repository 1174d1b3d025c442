//! The loop of a thread: run, trap, handle, signals, run.
//!
//! The one idea: a handler is polled once in place, and nearly all finish there, so the common system call is a call and a return; only one
//! that really waits suspends the task, and only then is the vector state put away.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
};

use hal::{aspace::Fault, context::Trap, sync::Actor};
use kernel_objects::task::work;

use super::{Current, ExitStatus, Thread, trace::Entry};
use crate::{
    abi::put_away_while_waiting,
    errno::Errno,
    memory::FaultCause,
    signal,
    syscall::{Arguments, restart::RESTART_SYSCALL, strace, table},
    trace::{self, Recorded, Why},
};

/// A system call that a signal cut short: what is needed to make it again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CutShort {
    /// One of the `ERESTART*` errors, which say when to make the call again.
    pub error: Errno,
    /// The call's number.
    pub number: u64,
}

impl Current {
    /// Runs the thread until it ends: the body of its object.
    pub async fn run(self) {
        let mut actor = Actor::new();
        let watched = self.thread.recorder().cloned().zip(Some(Arc::clone(&self.thread.object)));
        let mut running = pin!(self.run_loop());
        poll_fn(|context| {
            if let Some((recorder, object)) = &watched
                && let Some(thread) = Thread::of(object)
            {
                recorder.runs(thread.who());
            }
            actor.run(|| running.as_mut().poll(context))
        })
        .await;
    }

    async fn run_loop(mut self) {
        self.thread.favour();
        // It stays the same for life; execve(2) makes a new thread around it.
        let object = Arc::clone(&self.thread.object);
        self.note_guest();
        loop {
            let trap = self.context.run(self.thread.memory.address_space());
            let mut cut_short = None;
            match trap {
                Trap::Syscall => cut_short = self.system_call().await,
                trap => self.other_trap(trap).await,
            }
            if (object.work() != 0 || cut_short.is_some()) && self.handle_work(cut_short).await {
                return;
            }
            // Again after each turn: what comes while the thread waits for its own must not wait for the next tick.
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
                if let Err(cause) = self.page_fault(fault).await {
                    signal::force_fault(self, &fault, cause);
                }
            }
            Trap::Exception(exception) => {
                if let Some(exception) = self.seen_exception(exception) {
                    signal::force_exception(self, &exception);
                }
            }
            Trap::Syscall | Trap::Timer | Trap::Interrupted => {}
            Trap::Lost => self.thread.exit_group(ExitStatus::KILLED),
        }
        self.note_guest();
    }

    /// Resolves a fault of the guest, off the CPU if a disk must be read for it.
    async fn page_fault(&mut self, fault: Fault) -> Result<(), FaultCause> {
        if let Some(resolved) = self.thread.memory.try_fault(&fault) {
            return resolved;
        }
        self.context.suspend();
        let memory = Arc::clone(&self.thread.memory);
        self.thread.off_cpu(move || memory.fault(&fault)).await
    }

    /// Carries out the call that the registers hold and stores its result, unless a signal cut it short.
    async fn system_call(&mut self) -> Option<CutShort> {
        let (number, arguments) = self.context.call();
        if self.traced {
            return self.traced_call(number).await;
        }
        let result = match table::dispatch_now(&self.thread, number, &arguments) {
            Some(result) => result,
            None => {
                // Again, so that the future need not keep them from before.
                let (_, arguments) = self.context.call();
                self.waiting_call(number, &arguments).await
            }
        };
        self.store_result(number, result)
    }

    async fn traced_call(&mut self, number: u64) -> Option<CutShort> {
        let has_tracer = self.thread.tracee().is_some();
        if has_tracer {
            self.note_kernel(Why::Call);
        }
        // In boxes: the future of a thread is not to be as large as those of tracees.
        let entry = match has_tracer {
            true => Box::pin(self.enter_call(number)).await,
            false => Entry::Make(number),
        };
        let number = match entry {
            Entry::Make(number) => number,
            Entry::Skip => return Box::pin(self.leave_call(number, None)).await,
        };
        let (_, arguments) = self.context.call();
        let shown = strace::enter(&self.thread, number, &arguments);
        let mut recorded = trace::Call::begin(&*self.thread, number);
        let result = match table::dispatch_now(&self.thread, number, &arguments) {
            Some(result) => result,
            None => {
                let call = self.waiting_call(number, &arguments);
                trace::watch(recorded.as_mut(), call).await
            }
        };
        if let Some(recorded) = recorded {
            recorded.end(Thread::outcome(&result));
        }
        if let Some(shown) = shown {
            shown.leave(&result);
        }
        let cut_short = self.store_result(number, result);
        if has_tracer {
            self.note_kernel(Why::Work);
        }
        let cut_short = Box::pin(self.leave_call(number, cut_short)).await;
        if has_tracer {
            self.note_guest();
        }
        cut_short
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

    /// Carries out a call that may wait; the vector state is put away when it does.
    async fn waiting_call(&mut self, number: u64, arguments: &Arguments) -> Result<u64, Errno> {
        put_away_while_waiting(pin!(table::dispatch(self, number, arguments))).await
    }

    /// Gives the guest the result of call `number`, unless a signal cut it short.
    #[inline]
    fn store_result(&mut self, number: u64, result: Result<u64, Errno>) -> Option<CutShort> {
        match result {
            Ok(value) => self.context.set_result(value),
            Err(error) if error.is_restart() => return Some(CutShort { error, number }),
            Err(error) => self.context.set_result(error.to_register()),
        }
        None
    }

    /// Does what the thread's [`work`] asks for. True when the thread must end.
    async fn handle_work(&mut self, mut cut_short: Option<CutShort>) -> bool {
        self.note_kernel(Why::Work);
        loop {
            let bits = self.thread.object.work();
            if bits & work::KILL != 0 {
                return true;
            }
            if bits & work::SUSPEND != 0 {
                self.context.suspend();
                self.thread.object.checkpoint().await;
            } else if bits & work::SIGNAL != 0 {
                self.thread.object.take_interrupt();
                signal::deliver(self, &mut cut_short).await;
            } else {
                break;
            }
        }
        if let Some(CutShort { error, number }) = cut_short {
            // No handler ran: the guest never learns that the call was cut short.
            let resumes = error == Errno::ERESTART_RESTARTBLOCK;
            self.context.restart_syscall(if resumes { RESTART_SYSCALL } else { number });
        }
        self.note_guest();
        false
    }
}
