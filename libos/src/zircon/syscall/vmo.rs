//! VMOs.

use std::{ops::Range, sync::Arc};

use hal::pmem::GUEST_END;
use kernel_objects::{
    Error, Handle, ObjectType, Resource, Result, Rights, Vmo, VmoOptions,
    dma::Bti,
    resource::SystemBase,
    task::{BlockedReason, PolicyCondition},
    vmo::{CachePolicy, ChildOptions, CopyError, RangeOp},
};

use super::{
    argument::{In, Out},
    no_options,
};
use crate::zircon::{
    Thread,
    abi::{VmoLockState, Void, ZxHandle, ZxPaddr, constants::*},
};

/// What an address can be at which something could be mapped.
const GUEST_ADDRESSES: Range<u64> = 1..GUEST_END;

/// Copies between a VMO and `buffer`, by `copy` given how much has been done; waits for pages of both that a pager or a disk has.
async fn transfer(
    thread: &Thread,
    vmo: &Arc<Vmo>,
    buffer: u64,
    offset: u64,
    size: u64,
    write: bool,
    copy: impl Fn(u64) -> Result<(), CopyError>,
) -> Result {
    let mut done = 0;
    loop {
        match copy(done) {
            Ok(()) => return Ok(()),
            Err(CopyError::Guest(fault)) => {
                done = fault.addr.saturating_sub(buffer);
                let resolved = thread.vmar().fault_async(fault.addr, fault.access);
                let resolved = thread.blocked(BlockedReason::Pager, resolved).await;
                resolved.map_err(|error| match error {
                    Error::NotFound if GUEST_ADDRESSES.contains(&buffer) => Error::NotFound,
                    _ => Error::InvalidArgs,
                })?;
                hal::cpu::yield_now().await;
                continue;
            }
            Err(CopyError::Vmo(Error::ShouldWait)) => {}
            Err(CopyError::Vmo(error)) => return Err(error),
        }
        // It has been checked that this is in the VMO.
        let mut range = offset.saturating_add(done)..offset.saturating_add(size);
        while !range.is_empty() {
            let fetch = vmo.fetch(range.clone(), write);
            range.start += thread.blocked(BlockedReason::Pager, fetch).await?;
        }
    }
}

/// zx_vmo_create
pub(super) fn create(thread: &Thread, size: u64, options: u32, out: Out<ZxHandle>) -> Result {
    const ALL: u32 = ZX_VMO_RESIZABLE | ZX_VMO_DISCARDABLE | ZX_VMO_UNBOUNDED;
    let unbounded = options & ZX_VMO_UNBOUNDED != 0;
    if options & !ALL != 0 || (unbounded && options != ZX_VMO_UNBOUNDED) {
        return Err(Error::InvalidArgs);
    }
    thread.policy(PolicyCondition::NewVmo)?;
    let memory = thread.machine().memory();
    let resizable = options & ZX_VMO_RESIZABLE != 0;
    let vmo = if unbounded {
        // What is mapped or created counts as a whole against the limit, and this never fits.
        match memory.limit() {
            Some(_) => return Err(Error::NoMemory),
            None => Vmo::create_unbounded(memory, size)?,
        }
    } else if options & ZX_VMO_DISCARDABLE != 0 {
        let options = VmoOptions { resizable, charged: false };
        Vmo::create_discardable(memory, size, options)?
    } else {
        let options = VmoOptions { resizable, charged: memory.limit().is_some() };
        Vmo::create(memory, size, options)?
    };
    let mut rights = Rights::default_for(ObjectType::Vmo);
    rights.set(Rights::RESIZE, resizable);
    thread.give([(Handle::with_rights(vmo, rights), out)])
}

/// zx_vmo_read
pub(super) async fn read(
    thread: &Thread,
    handle: ZxHandle,
    buffer: Out<Void>,
    offset: u64,
    buffer_size: usize,
) -> Result {
    let vmo = thread.get::<Vmo>(handle, Rights::READ)?;
    let (to, size) = (buffer.0.addr(), buffer_size as u64);
    transfer(thread, &vmo, to, offset, size, false, |done| {
        thread.vmar().copy_from_vmo(
            to.wrapping_add(done),
            &vmo,
            offset.saturating_add(done),
            size.saturating_sub(done),
        )
    })
    .await
}

/// zx_vmo_write
pub(super) async fn write(
    thread: &Thread,
    handle: ZxHandle,
    buffer: In<Void>,
    offset: u64,
    buffer_size: usize,
) -> Result {
    let vmo = thread.get::<Vmo>(handle, Rights::WRITE)?;
    let (from, size) = (buffer.0.addr(), buffer_size as u64);
    transfer(thread, &vmo, from, offset, size, true, |done| {
        thread.vmar().copy_to_vmo(
            from.wrapping_add(done),
            &vmo,
            offset.saturating_add(done),
            size.saturating_sub(done),
        )
    })
    .await
}

/// zx_vmo_get_size
pub(super) fn get_size(thread: &Thread, handle: ZxHandle, size: Out<u64>) -> Result {
    let vmo = thread.get::<Vmo>(handle, Rights::empty())?;
    size.0.write(thread.vmar(), &vmo.size())
}

/// zx_vmo_set_size
pub(super) async fn set_size(thread: &Thread, handle: ZxHandle, size: u64) -> Result {
    let vmo = thread.get::<Vmo>(handle, Rights::WRITE | Rights::RESIZE)?;
    thread.blocked(BlockedReason::Pager, vmo.set_size_async(size)).await
}

/// zx_vmo_get_stream_size
pub(super) fn get_stream_size(thread: &Thread, handle: ZxHandle, size: Out<u64>) -> Result {
    let vmo = thread.get::<Vmo>(handle, Rights::empty())?;
    size.0.write(thread.vmar(), &vmo.content_size())
}

/// zx_vmo_set_stream_size
pub(super) async fn set_stream_size(thread: &Thread, handle: ZxHandle, size: u64) -> Result {
    let vmo = thread.get::<Vmo>(handle, Rights::WRITE)?;
    thread.blocked(BlockedReason::Pager, vmo.set_content_size_async(size)).await
}

/// zx_vmo_transfer_data
pub(super) fn transfer_data(
    thread: &Thread,
    dst_vmo: ZxHandle,
    options: u32,
    offset: u64,
    length: u64,
    src_vmo: ZxHandle,
    src_offset: u64,
) -> Result {
    no_options(options)?;
    let to = thread.get::<Vmo>(dst_vmo, Rights::WRITE)?;
    let from = thread.get::<Vmo>(src_vmo, Rights::READ | Rights::WRITE)?;
    to.transfer_data(offset, length, &from, src_offset)
}

/// zx_vmo_op_range
pub(super) async fn op_range(
    thread: &Thread,
    handle: ZxHandle,
    op: u32,
    offset: u64,
    size: u64,
    buffer: Out<Void>,
    buffer_size: usize,
) -> Result {
    let (vmo, rights) = thread.get_with_rights::<Vmo>(handle, Rights::empty())?;
    if op == ZX_VMO_OP_LOCK {
        return lock(
            thread,
            &vmo,
            rights,
            offset..offset.saturating_add(size),
            buffer,
            buffer_size,
        );
    }
    let op = RangeOp::from_raw(op)?;
    op.require(rights)?;
    thread.blocked(BlockedReason::Pager, vmo.op_range_async(op, offset, size)).await
}

/// `ZX_VMO_OP_LOCK`, which says what was discarded.
fn lock(
    thread: &Thread,
    vmo: &Vmo,
    rights: Rights,
    range: Range<u64>,
    buffer: Out<Void>,
    buffer_size: usize,
) -> Result {
    // As the other operations on locks.
    RangeOp::TryLock.require(rights)?;
    if buffer_size < size_of::<VmoLockState>() {
        return Err(Error::InvalidArgs);
    }
    let state = vmo.lock(range.start, range.end - range.start)?;
    let state = VmoLockState {
        offset: state.offset,
        size: state.size,
        discarded_offset: state.discarded_offset,
        discarded_size: state.discarded_size,
    };
    buffer.0.cast().write(thread.vmar(), &state).inspect_err(|_| {
        // One who does not learn what is gone must not believe that it holds it; it is locked, so this cannot fail.
        let _ = vmo.unlock(range.start, range.end - range.start);
    })
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

/// zx_vmo_create_contiguous
pub(super) fn create_contiguous(
    thread: &Thread,
    bti: ZxHandle,
    size: usize,
    alignment_log2: u32,
    out: Out<ZxHandle>,
) -> Result {
    thread.policy(PolicyCondition::NewVmo)?;
    let bti = thread.get::<Bti>(bti, Rights::MAP)?;
    let vmo = Vmo::create_contiguous(bti.iommu().memory(), size as u64, alignment_log2)?;
    thread.give([(Handle::new(vmo), out)])
}

/// zx_vmo_create_physical
pub(super) fn create_physical(
    thread: &Thread,
    resource: ZxHandle,
    paddr: ZxPaddr,
    size: usize,
    out: Out<ZxHandle>,
) -> Result {
    thread.policy(PolicyCondition::NewVmo)?;
    let resource = thread.get::<Resource>(resource, Rights::empty())?;
    let vmo = Vmo::create_physical(&resource, paddr.0, size as u64)?;
    thread.give([(Handle::new(vmo), out)])
}

/// zx_vmo_set_cache_policy
pub(super) fn set_cache_policy(thread: &Thread, handle: ZxHandle, cache_policy: u32) -> Result {
    let policy = CachePolicy::from_raw(cache_policy)?;
    thread.get::<Vmo>(handle, Rights::MAP)?.set_cache_policy(policy)
}

/// zx_vmo_replace_as_executable, after which `handle` is gone whatever comes of it.
pub(super) fn replace_as_executable(
    thread: &Thread,
    handle: ZxHandle,
    vmex: ZxHandle,
    out: Out<ZxHandle>,
) -> Result {
    let old = thread.handles().take(handle.value())?;
    if vmex.0 == ZX_HANDLE_INVALID {
        thread.policy(PolicyCondition::AmbientMarkVmoExec)?;
    } else {
        let vmex = thread.get::<Resource>(vmex, Rights::empty())?;
        vmex.validate_system(SystemBase::Vmex)?;
    }
    let vmo = old.get::<Vmo>(Rights::empty())?;
    let new = Handle::with_rights(vmo, old.rights() | Rights::EXECUTE);
    // The VMO always has a handle.
    drop(old);
    thread.give([(new, out)])
}
