//! Pagers: what a service calls that supplies pages. Its clients call nothing: they wait wherever they touch a page.

use kernel_objects::{
    Error, Handle, Pager, Port, Result, Rights, Vmo,
    pager::{PagerOp, PagerVmoOptions},
    task::PolicyCondition,
};

use super::{argument::Out, no_options};
use crate::zircon::{
    Thread,
    abi::{PagerVmoStats, VmoDirtyRange, Void, ZxHandle, constants::*},
};

/// zx_pager_create
pub(super) fn create(thread: &Thread, options: u32, out: Out<ZxHandle>) -> Result {
    no_options(options)?;
    thread.policy(PolicyCondition::NewPager)?;
    thread.give([(Handle::new(Pager::create()), out)])
}

/// zx_pager_create_vmo
pub(super) fn create_vmo(
    thread: &Thread,
    pager: ZxHandle,
    options: u32,
    port: ZxHandle,
    key: u64,
    size: u64,
    out: Out<ZxHandle>,
) -> Result {
    let options = PagerVmoOptions::from_bits(options).ok_or(Error::InvalidArgs)?;
    thread.policy(PolicyCondition::NewVmo)?;
    let pager = thread.get::<Pager>(pager, Rights::empty())?;
    let port = thread.get::<Port>(port, Rights::WRITE)?;
    let vmo = pager.create_vmo(thread.machine().memory(), options, &port, key, size)?;
    thread.give([(Handle::new(vmo), out)])
}

/// zx_pager_detach_vmo
pub(super) fn detach_vmo(thread: &Thread, pager: ZxHandle, vmo: ZxHandle) -> Result {
    let pager = thread.get::<Pager>(pager, Rights::empty())?;
    pager.detach_vmo(&*thread.get::<Vmo>(vmo, Rights::empty())?)
}

/// zx_pager_supply_pages
pub(super) fn supply_pages(
    thread: &Thread,
    pager: ZxHandle,
    pager_vmo: ZxHandle,
    offset: u64,
    length: u64,
    aux_vmo: ZxHandle,
    aux_offset: u64,
) -> Result {
    let pager = thread.get::<Pager>(pager, Rights::empty())?;
    let vmo = thread.get::<Vmo>(pager_vmo, Rights::empty())?;
    let aux = thread.get::<Vmo>(aux_vmo, Rights::READ | Rights::WRITE)?;
    pager.supply_pages(&vmo, offset, length, &aux, aux_offset)
}

/// zx_pager_op_range
pub(super) fn op_range(
    thread: &Thread,
    pager: ZxHandle,
    op: u32,
    pager_vmo: ZxHandle,
    offset: u64,
    length: u64,
    data: u64,
) -> Result {
    let pager = thread.get::<Pager>(pager, Rights::empty())?;
    let vmo = thread.get::<Vmo>(pager_vmo, Rights::empty())?;
    pager.op_range(PagerOp::from_raw(op, data)?, &vmo, offset, length)
}

/// zx_pager_query_dirty_ranges
#[allow(clippy::too_many_arguments, reason = "the call has so many")]
pub(super) fn query_dirty_ranges(
    thread: &Thread,
    pager: ZxHandle,
    pager_vmo: ZxHandle,
    offset: u64,
    length: u64,
    buffer: Out<Void>,
    buffer_size: usize,
    actual: Out<usize>,
    avail: Out<usize>,
) -> Result {
    let pager = thread.get::<Pager>(pager, Rights::empty())?;
    let vmo = thread.get::<Vmo>(pager_vmo, Rights::empty())?;
    let dirty = pager.query_dirty_ranges(&vmo, offset, length)?;
    let room = buffer_size / size_of::<VmoDirtyRange>();
    let ranges: Vec<VmoDirtyRange> = dirty
        .iter()
        .take(room)
        .map(|range| VmoDirtyRange {
            offset: range.offset,
            length: range.length,
            options: if range.is_zero { ZX_VMO_DIRTY_RANGE_IS_ZERO } else { 0 },
        })
        .collect();
    buffer.0.cast().write_slice(thread.vmar(), &ranges)?;
    actual.0.write_if_wanted(thread.vmar(), &ranges.len())?;
    avail.0.write_if_wanted(thread.vmar(), &dirty.len())
}

/// zx_pager_query_vmo_stats
pub(super) fn query_vmo_stats(
    thread: &Thread,
    pager: ZxHandle,
    pager_vmo: ZxHandle,
    options: u32,
    buffer: Out<Void>,
    buffer_size: usize,
) -> Result {
    if options & !ZX_PAGER_RESET_VMO_STATS != 0 {
        return Err(Error::InvalidArgs);
    }
    let pager = thread.get::<Pager>(pager, Rights::empty())?;
    let vmo = thread.get::<Vmo>(pager_vmo, Rights::empty())?;
    if buffer_size < size_of::<PagerVmoStats>() {
        return Err(Error::BufferTooSmall);
    }
    let modified = pager.query_vmo_stats(&vmo, options != 0)?.modified;
    let modified = if modified { ZX_PAGER_VMO_STATS_MODIFIED } else { 0 };
    buffer.0.cast().write(thread.vmar(), &PagerVmoStats { modified })
}
