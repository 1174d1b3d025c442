//! Handles: closed, duplicated, replaced.

use kernel_objects::{Error, HandleValue, Result, handle::MAX_HANDLES};

use super::argument::{In, Out};
use crate::zircon::{
    Thread,
    abi::{ZxHandle, ZxRights},
};

/// zx_handle_close
pub(super) fn close(thread: &Thread, handle: ZxHandle) -> Result {
    thread.handles().close(handle.value())
}

/// zx_handle_close_many
pub(super) fn close_many(thread: &Thread, handles: In<ZxHandle>, num_handles: usize) -> Result {
    // More than there can be would only be closed twice.
    if num_handles > MAX_HANDLES {
        return Err(Error::OutOfRange);
    }
    let handles = handles.0.read_slice(thread.vmar(), num_handles)?;
    let values: Vec<HandleValue> = handles.into_iter().map(ZxHandle::value).collect();
    thread.handles().close_many(&values)
}

/// zx_handle_duplicate
pub(super) fn duplicate(
    thread: &Thread,
    handle: ZxHandle,
    rights: ZxRights,
    out: Out<ZxHandle>,
) -> Result {
    let value = thread.handles().duplicate(handle.value(), rights.rights())?;
    thread.announce(&[value], || out.0.write(thread.vmar(), &value.into()))
}

/// zx_handle_replace
pub(super) fn replace(
    thread: &Thread,
    handle: ZxHandle,
    rights: ZxRights,
    out: Out<ZxHandle>,
) -> Result {
    let value = thread.handles().replace(handle.value(), rights.rights())?;
    thread.announce(&[value], || out.0.write(thread.vmar(), &value.into()))
}

/// zx_handle_check_valid
pub(super) fn check_valid(thread: &Thread, handle: ZxHandle) -> Result {
    thread.handles().info(handle.value()).map(drop)
}
