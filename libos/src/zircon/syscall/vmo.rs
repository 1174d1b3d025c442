//! VMOs.

use kernel_objects::{
    Error, Handle, Result, Rights, Vmo, VmoOptions,
    task::PolicyCondition,
    vmo::{ChildOptions, CopyError, RangeOp},
};

use super::argument::{In, Out};
use crate::zircon::{
    Thread,
    abi::{Void, ZxHandle, constants::*},
};

fn transfer_error(error: CopyError) -> Error {
    match error {
        CopyError::Guest(_) => Error::InvalidArgs,
        CopyError::Vmo(error) => error,
    }
}

/// zx_vmo_create
pub(super) fn create(thread: &Thread, size: u64, options: u32, out: Out<ZxHandle>) -> Result {
    if options & !ZX_VMO_RESIZABLE != 0 {
        return Err(Error::InvalidArgs);
    }
    thread.policy(PolicyCondition::NewVmo)?;
    let memory = thread.machine().memory();
    let resizable = options & ZX_VMO_RESIZABLE != 0;
    let options = VmoOptions { resizable, charged: memory.limit().is_some() };
    let vmo = Vmo::create(memory, size, options)?;
    thread.give([(Handle::new(vmo), out)])
}

/// zx_vmo_read
pub(super) fn read(
    thread: &Thread,
    handle: ZxHandle,
    buffer: Out<Void>,
    offset: u64,
    buffer_size: usize,
) -> Result {
    let vmo = thread.get::<Vmo>(handle, Rights::READ)?;
    let copied = thread.vmar().copy_from_vmo(buffer.0.addr(), &vmo, offset, buffer_size as u64);
    copied.map_err(transfer_error)
}

/// zx_vmo_write
pub(super) fn write(
    thread: &Thread,
    handle: ZxHandle,
    buffer: In<Void>,
    offset: u64,
    buffer_size: usize,
) -> Result {
    let vmo = thread.get::<Vmo>(handle, Rights::WRITE)?;
    let copied = thread.vmar().copy_to_vmo(buffer.0.addr(), &vmo, offset, buffer_size as u64);
    copied.map_err(transfer_error)
}

/// zx_vmo_get_size
pub(super) fn get_size(thread: &Thread, handle: ZxHandle, size: Out<u64>) -> Result {
    let vmo = thread.get::<Vmo>(handle, Rights::empty())?;
    size.0.write(thread.vmar(), &vmo.size())
}

/// zx_vmo_set_size
pub(super) fn set_size(thread: &Thread, handle: ZxHandle, size: u64) -> Result {
    thread.get::<Vmo>(handle, Rights::WRITE)?.set_size(size)
}

/// zx_vmo_op_range
pub(super) fn op_range(
    thread: &Thread,
    handle: ZxHandle,
    op: u32,
    offset: u64,
    size: u64,
    _buffer: Out<Void>,
    _buffer_size: usize,
) -> Result {
    let (vmo, rights) = thread.get_with_rights::<Vmo>(handle, Rights::empty())?;
    let op = match op {
        ZX_VMO_OP_COMMIT => RangeOp::Commit,
        ZX_VMO_OP_DECOMMIT => RangeOp::Decommit,
        ZX_VMO_OP_ZERO => RangeOp::Zero,
        // Locks, caches and hints are absent; 5 is no operation any more.
        3 | 4 | 6..=9 | 11..=13 => return Err(Error::NotSupported),
        _ => return Err(Error::InvalidArgs),
    };
    rights.require(Rights::WRITE)?;
    vmo.op_range(op, offset, size)
}

/// zx_vmo_create_child
pub(super) fn create_child(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    offset: u64,
    size: u64,
    out: Out<ZxHandle>,
) -> Result {
    let options = ChildOptions::from_bits(options).ok_or(Error::InvalidArgs)?;
    let needed = Rights::DUPLICATE | Rights::READ;
    let (vmo, rights) = thread.get_with_rights::<Vmo>(handle, needed)?;
    let child = vmo.create_child(options, offset, size)?;
    thread.give([(Handle::with_rights(child, options.rights(rights)), out)])
}
