//! Submissions that could not be finished where they were taken.
//!
//! The one idea: each is a future of its [operation](Operation)'s, and holds no more than a weak reference to its ring while it waits: a ring that
//! nobody has any more ends what is on its way.

use std::sync::Weak;

use kernel_objects::task::BlockedReason;
use libos_guest::abi::{self, Completion, Submission, call, flags};
use linux_raw_sys::general as raw;

use super::{Evering, deadline};
use crate::{
    errno::{Errno, SysResult},
    ring::{Operation, pick::Lent, registered},
    syscall::{argument::Fd, memory::populate, table},
    vfs::PollEvents,
};

/// Calls that are about the thread that makes them, which a ring has not.
pub(super) fn refuses(number: u64) -> bool {
    const ABOUT_THE_CALLER: [u32; 12] = [
        raw::__NR_exit,
        raw::__NR_ptrace,
        raw::__NR_rt_sigprocmask,
        raw::__NR_rt_sigsuspend,
        raw::__NR_rt_sigtimedwait,
        raw::__NR_pause,
        raw::__NR_restart_syscall,
        raw::__NR_set_robust_list,
        raw::__NR_set_tid_address,
        raw::__NR_prctl,
        raw::__NR_sched_yield,
        abi::RING_ENTER as u32,
    ];
    table::needs_registers(number) || ABOUT_THE_CALLER.iter().any(|&call| u64::from(call) == number)
}

/// Makes a submission's call, after those of the chain before it.
pub(super) async fn perform_in_chain(
    ring: &Weak<Evering>,
    operation: &Operation,
    submission: &Submission,
    until: Option<u64>,
) -> SysResult<u64> {
    if operation.is_canceled() {
        return Err(Errno::ECANCELED);
    }
    let (at_once, submission) = {
        let ring = ring.upgrade().ok_or(Errno::ECANCELED)?;
        let submission = match submission.flags & flags::FIXED {
            0 => *submission,
            _ => ring.resolve(submission)?,
        };
        (ring.at_once(operation.thread(), &submission), submission)
    };
    match at_once {
        Some(result) => result,
        None => perform(ring, operation, &submission, until).await,
    }
}

/// Makes a submission's call that could not be finished at once.
pub(super) async fn perform(
    ring: &Weak<Evering>,
    operation: &Operation,
    submission: &Submission,
    until: Option<u64>,
) -> SysResult<u64> {
    let Submission { call, flags, arguments, .. } = *submission;
    if call == call::TIMER {
        let sleep = hal::time::sleep_until(deadline(arguments));
        let object = &operation.thread().object;
        let wait = async {
            object
                .interruptible(BlockedReason::Sleeping, sleep)
                .await
                .map(|()| 0)
                .map_err(Errno::from)
        };
        return operation.until(until, wait).await;
    }
    if call == call::REGISTER {
        return register(ring, operation, submission).await;
    }
    if flags & flags::PICK != 0 {
        return perform_picking(ring, operation, submission, until).await;
    }
    operation.call(call.into(), &arguments, until).await
}

/// Registers a buffer, once all of it is there.
async fn register(
    ring: &Weak<Evering>,
    operation: &Operation,
    submission: &Submission,
) -> SysResult<u64> {
    let [address, size, ..] = submission.arguments;
    let buffer = registered::buffer(address, size)?;
    if !buffer.is_empty() {
        let thread = operation.thread();
        let pages = registered::pages(&buffer).ok_or(Errno::EFAULT)?;
        populate(thread, pages.clone(), true).await.map_err(|error| match error {
            Errno::ENOMEM if thread.memory.check_mapped(&pages).is_ok() => error,
            _ => Errno::EFAULT,
        })?;
    }
    let ring = ring.upgrade().ok_or(Errno::ECANCELED)?;
    ring.answers.lock().registered.set(submission.group, buffer);
    Ok(0)
}

/// Makes a call that reads into a buffer of the kernel's choice, once there is something to read.
async fn perform_picking(
    ring: &Weak<Evering>,
    operation: &Operation,
    submission: &Submission,
    until: Option<u64>,
) -> SysResult<u64> {
    let Submission { call, group, mut arguments, .. } = *submission;
    if ![raw::__NR_read, raw::__NR_pread64, raw::__NR_recvfrom].contains(&call) {
        return Err(Errno::EINVAL);
    }
    let thread = operation.thread();
    let file = thread.files.get(Fd(arguments[0] as i32))?;
    let readable = async {
        let Some(queue) = file.wait_queue() else { return Ok(0) };
        loop {
            let mut changed = queue.wait_for((PollEvents::READABLE | PollEvents::ALWAYS).bits());
            changed.arm();
            if !(file.poll() & (PollEvents::READABLE | PollEvents::ERR | PollEvents::HUP))
                .is_empty()
            {
                return Ok(0);
            }
            thread.object.interruptible(BlockedReason::WaitOne, changed).await?;
        }
    };
    operation.until(until, readable).await?;
    let lent = {
        let ring = ring.upgrade().ok_or(Errno::ECANCELED)?;
        let lent = ring.answers.lock().groups.take(group);
        lent.ok_or(Errno::ENOBUFS)?
    };
    let Lent { number, address, size } = lent;
    let wanted = arguments[2];
    arguments[1] = address;
    arguments[2] = if wanted == 0 { size.into() } else { wanted.min(size.into()) };
    let result = match table::dispatch_now(thread, call.into(), &arguments) {
        Some(result) => result,
        None => operation.call(call.into(), &arguments, until).await,
    };
    match result {
        Ok(len) => Ok(Completion::pack(number, len as u32).cast_unsigned()),
        Err(error) => {
            if let Some(ring) = ring.upgrade() {
                ring.answers.lock().groups.put_back(group, lent);
            }
            Err(error)
        }
    }
}
