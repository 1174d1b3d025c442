//! Counters.

use kernel_objects::{Counter, Handle, Result, Rights};

use super::{argument::Out, no_options};
use crate::zircon::{Thread, abi::ZxHandle};

/// zx_counter_create
pub(super) fn create(thread: &Thread, options: u32, out: Out<ZxHandle>) -> Result {
    no_options(options)?;
    thread.give([(Handle::new(Counter::create()), out)])
}

/// zx_counter_add
pub(super) fn add(thread: &Thread, handle: ZxHandle, amount: i64) -> Result {
    thread.get::<Counter>(handle, Rights::IO)?.add(amount)
}

/// zx_counter_read
pub(super) fn read(thread: &Thread, handle: ZxHandle, value: Out<i64>) -> Result {
    let counter = thread.get::<Counter>(handle, Rights::READ)?;
    value.0.write(thread.vmar(), &counter.read())
}

/// zx_counter_write
pub(super) fn write(thread: &Thread, handle: ZxHandle, value: i64) -> Result {
    thread.get::<Counter>(handle, Rights::WRITE)?.write(value);
    Ok(())
}
