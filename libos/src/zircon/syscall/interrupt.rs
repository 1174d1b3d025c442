//! Interrupts.

use kernel_objects::{
    Error, Handle, Interrupt, MsiAllocation, Port, Resource, Result, Rights, Vmo,
    interrupt::InterruptOptions, resource::ResourceKind, task::BlockedReason,
};

use super::{argument::Out, no_options};
use crate::zircon::{
    Thread,
    abi::{ZxHandle, ZxTime, constants::*},
};

/// zx_interrupt_create
///
/// A virtual one; the machine has no lines of its own that a program could be given.
pub(super) fn create(
    thread: &Thread,
    src_obj: ZxHandle,
    src_num: u32,
    options: u32,
    out_handle: Out<ZxHandle>,
) -> Result {
    let options = InterruptOptions::from_raw(options)?;
    if !options.is_virtual() {
        let resource = thread.get::<Resource>(src_obj, Rights::empty())?;
        let right = resource.validate(ResourceKind::Irq, src_num.into(), 1);
        right.map_err(|error| match error {
            Error::OutOfRange => Error::AccessDenied,
            other => other,
        })?;
        return Err(Error::NotSupported);
    }
    thread.give([(Handle::new(Interrupt::create_virtual()), out_handle)])
}

/// zx_interrupt_bind
pub(super) fn bind(
    thread: &Thread,
    handle: ZxHandle,
    port_handle: ZxHandle,
    key: u64,
    options: u32,
) -> Result {
    let interrupt = thread.get::<Interrupt>(handle, Rights::READ)?;
    let port = thread.get::<Port>(port_handle, Rights::WRITE)?;
    match options {
        ZX_INTERRUPT_BIND => interrupt.bind(&port, key),
        ZX_INTERRUPT_UNBIND => interrupt.unbind(&port),
        _ => Err(Error::InvalidArgs),
    }
}

/// zx_interrupt_wait
pub(super) async fn wait(thread: &Thread, handle: ZxHandle, out_timestamp: Out<ZxTime>) -> Result {
    let interrupt = thread.get::<Interrupt>(handle, Rights::WAIT)?;
    let timestamp = thread.blocked(BlockedReason::Interrupt, interrupt.wait()).await?;
    out_timestamp.0.write_if_wanted(thread.vmar(), &ZxTime::from_nanos(timestamp))
}

/// zx_interrupt_ack
pub(super) fn ack(thread: &Thread, handle: ZxHandle) -> Result {
    thread.get::<Interrupt>(handle, Rights::WRITE)?.ack()
}

/// zx_interrupt_destroy
pub(super) fn destroy(thread: &Thread, handle: ZxHandle) -> Result {
    thread.get::<Interrupt>(handle, Rights::WRITE)?.destroy()
}

/// zx_interrupt_trigger
pub(super) fn trigger(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    timestamp: ZxTime,
) -> Result {
    no_options(options)?;
    let interrupt = thread.get::<Interrupt>(handle, Rights::SIGNAL)?;
    interrupt.trigger(timestamp.0.max(0).unsigned_abs())
}

/// zx_msi_allocate
pub(super) fn msi_allocate(
    thread: &Thread,
    handle: ZxHandle,
    count: u32,
    out_allocation: Out<ZxHandle>,
) -> Result {
    let resource = thread.get::<Resource>(handle, Rights::empty())?;
    thread.give([(Handle::new(MsiAllocation::allocate(&resource, count)?), out_allocation)])
}

/// zx_msi_create
pub(super) fn msi_create(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    msi_id: u32,
    vmo: ZxHandle,
    vmo_offset: usize,
    out_interrupt: Out<ZxHandle>,
) -> Result {
    let allocation = thread.get::<MsiAllocation>(handle, Rights::empty())?;
    let vmo = thread.get::<Vmo>(vmo, Rights::MAP)?;
    let interrupt = allocation.create(options, msi_id, &vmo, vmo_offset as u64)?;
    thread.give([(Handle::new(interrupt), out_interrupt)])
}
