//! Futexes: the process has them; a call only finds the owner behind a handle.

use std::sync::Arc;

use kernel_objects::{Error, Result, Rights, futex::RequeueWake};

use super::argument::{In, Out};
use crate::zircon::{
    Thread,
    abi::{ZxFutex, ZxHandle, ZxKoid, ZxTime},
};

/// The thread that is to own a futex, if any. Whether the handle is good matters only once the value has been compared.
fn owner(thread: &Thread, handle: ZxHandle) -> Result<Option<Arc<kernel_objects::Thread>>> {
    match handle {
        ZxHandle(0) => Ok(None),
        handle => thread.get(handle, Rights::empty()).map(Some),
    }
}

/// After the value could perhaps not be compared: the call is done again if that is because a pager has it.
fn note_lack(thread: &Thread, value_ptr: In<ZxFutex>, error: Error) {
    if error == Error::InvalidArgs {
        let _ = value_ptr.0.read(thread.vmar());
    }
}

/// zx_futex_wait
pub(super) async fn wait(
    thread: &Thread,
    value_ptr: In<ZxFutex>,
    current_value: i32,
    new_futex_owner: ZxHandle,
    deadline: ZxTime,
) -> Result {
    let owner = owner(thread, new_futex_owner);
    let (object, at) = (&thread.object, value_ptr.0.addr());
    let wait =
        thread.process().futex_wait(object, at, current_value, owner, deadline.deadline()).await;
    wait.inspect_err(|error| note_lack(thread, value_ptr, *error))
}

/// zx_futex_wake
pub(super) fn wake(thread: &Thread, value_ptr: In<ZxFutex>, wake_count: u32) -> Result {
    thread.process().futexes().wake(value_ptr.0.addr(), wake_count)
}

/// zx_futex_wake_single_owner
pub(super) fn wake_single_owner(thread: &Thread, value_ptr: In<ZxFutex>) -> Result {
    thread.process().futexes().wake_single_owner(value_ptr.0.addr())
}

/// zx_futex_requeue
pub(super) fn requeue(
    thread: &Thread,
    value_ptr: In<ZxFutex>,
    wake_count: u32,
    current_value: i32,
    requeue_ptr: In<ZxFutex>,
    requeue_count: u32,
    new_requeue_owner: ZxHandle,
) -> Result {
    let wake = RequeueWake::Count(wake_count);
    let owner = owner(thread, new_requeue_owner);
    let (from, to) = (value_ptr.0.addr(), requeue_ptr.0.addr());
    let requeued =
        thread.process().futex_requeue(from, wake, current_value, to, requeue_count, owner);
    requeued.inspect_err(|error| note_lack(thread, value_ptr, *error))
}

/// zx_futex_requeue_single_owner
pub(super) fn requeue_single_owner(
    thread: &Thread,
    value_ptr: In<ZxFutex>,
    current_value: i32,
    requeue_ptr: In<ZxFutex>,
    requeue_count: u32,
    new_requeue_owner: ZxHandle,
) -> Result {
    let wake = RequeueWake::SingleOwner;
    let owner = owner(thread, new_requeue_owner);
    let (from, to) = (value_ptr.0.addr(), requeue_ptr.0.addr());
    let requeued =
        thread.process().futex_requeue(from, wake, current_value, to, requeue_count, owner);
    requeued.inspect_err(|error| note_lack(thread, value_ptr, *error))
}

/// zx_futex_get_owner
pub(super) fn get_owner(thread: &Thread, value_ptr: In<ZxFutex>, koid: Out<ZxKoid>) -> Result {
    let owner = thread.process().futexes().owner(value_ptr.0.addr())?;
    koid.0.write(thread.vmar(), &ZxKoid(owner))
}

/// zx_futex_wake_handle_close_thread_exit
///
/// The thread ends whatever comes of the rest: for the caller there is nothing behind the call.
pub(super) fn wake_handle_close_thread_exit(
    thread: &Thread,
    value_ptr: In<ZxFutex>,
    wake_count: u32,
    new_value: i32,
    close_handle: ZxHandle,
) -> Result {
    let size = size_of::<ZxFutex>() as u64;
    if let Err(error) = thread.vmar().require_writable(value_ptr.0.addr(), size)
        && thread.vmar().lacks()
    {
        return Err(error);
    }
    let stored = value_ptr.0.write(thread.vmar(), &ZxFutex(new_value));
    let woken = stored.and_then(|()| wake(thread, value_ptr, wake_count));
    let closed = match close_handle {
        ZxHandle(0) => Ok(()),
        handle => thread.handles().close(handle.value()),
    };
    thread.object.exit();
    woken.and(closed)
}
