//! Tasks of any kind: killed, suspended, watched for exceptions. What handles must allow is known where the objects are.

use kernel_objects::{Result, task::HandlerKind};

use super::argument::Out;
use crate::zircon::{Thread, abi::ZxHandle};

/// zx_task_kill
pub(super) fn kill(thread: &Thread, handle: ZxHandle) -> Result {
    thread.handles().task_kill(handle.value())
}

/// zx_task_suspend and its older name zx_task_suspend_token
pub(super) fn suspend(thread: &Thread, handle: ZxHandle, token: Out<ZxHandle>) -> Result {
    let suspension = thread.handles().task_suspend(&thread.object, handle.value())?;
    thread.give([(suspension, token)])
}

/// zx_task_create_exception_channel
pub(super) fn create_exception_channel(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    out: Out<ZxHandle>,
) -> Result {
    let kind = HandlerKind::from_options(options)?;
    let channel = thread.handles().task_create_exception_channel(handle.value(), kind)?;
    thread.give([(channel, out)])
}

/// zx_exception_get_thread
pub(super) fn exception_get_thread(
    thread: &Thread,
    handle: ZxHandle,
    out: Out<ZxHandle>,
) -> Result {
    let found = thread.handles().exception_get_thread(handle.value())?;
    thread.give([(found, out)])
}

/// zx_exception_get_process
pub(super) fn exception_get_process(
    thread: &Thread,
    handle: ZxHandle,
    out: Out<ZxHandle>,
) -> Result {
    let found = thread.handles().exception_get_process(handle.value())?;
    thread.give([(found, out)])
}
