//! IOMMUs, the devices behind them, and memory that is pinned for those.

use kernel_objects::{
    Error, Handle, Resource, Result, Rights, Vmo,
    dma::{Bti, Iommu, IommuDescriptor, PinOptions, Pmt},
    downcast,
    task::BlockedReason,
    vmo::RangeOp,
};

use super::argument::{In, Out};
use crate::{
    abi::argument::UserPtr,
    zircon::{
        Thread,
        abi::{Void, ZxHandle, ZxPaddr, constants::*},
    },
};

const PAGE: u64 = hal::pmem::PAGE_SIZE as u64;

/// zx_iommu_create
pub(super) fn iommu_create(
    thread: &Thread,
    resource: ZxHandle,
    kind: u32,
    desc: In<Void>,
    desc_size: usize,
    out: Out<ZxHandle>,
) -> Result {
    let resource = thread.get::<Resource>(resource, Rights::empty())?;
    if desc_size > ZX_IOMMU_MAX_DESC_LEN {
        return Err(Error::InvalidArgs);
    }
    let desc = UserPtr::<u8>::new(desc.0.addr()).read_slice(thread.vmar(), desc_size)?;
    let desc = IommuDescriptor::from_raw(kind, &desc)?;
    let iommu = Iommu::create(&resource, thread.machine().memory(), desc)?;
    thread.give([(Handle::new(iommu), out)])
}

/// zx_bti_create
pub(super) fn bti_create(
    thread: &Thread,
    iommu: ZxHandle,
    options: u32,
    bti_id: u64,
    out: Out<ZxHandle>,
) -> Result {
    let iommu = thread.get::<Iommu>(iommu, Rights::empty())?;
    thread.give([(Handle::new(Bti::create(&iommu, options, bti_id)?), out)])
}

/// zx_bti_pin
#[allow(clippy::too_many_arguments, reason = "the call has so many")]
pub(super) async fn bti_pin(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    vmo: ZxHandle,
    offset: u64,
    size: u64,
    addrs: Out<ZxPaddr>,
    num_addrs: usize,
    pmt: Out<ZxHandle>,
) -> Result {
    let options = PinOptions::from_raw(options)?;
    let bti = thread.get::<Bti>(handle, Rights::MAP)?;
    let vmo = thread.get::<Vmo>(vmo, options.vmo_rights())?;
    if offset.checked_add(size).is_none_or(|end| end > vmo.size()) {
        return Err(Error::OutOfRange);
    }
    // There is never more than one for a page.
    if num_addrs as u64 > size.div_ceil(PAGE) {
        return Err(Error::InvalidArgs);
    }
    let mut found: Vec<u64> = Vec::new();
    found.try_reserve_exact(num_addrs).map_err(|_| Error::NoMemory)?;
    found.resize(num_addrs, 0);
    // Pinning would block the processor for what a pager has, and leave it to the device to commit the rest.
    if !vmo.is_contiguous() {
        let commit = vmo.op_range_async(RangeOp::Commit, offset, size);
        thread.blocked(BlockedReason::Pager, commit).await?;
    }
    let token = bti.pin(options, &vmo, offset, size, &mut found)?;
    let found: Vec<ZxPaddr> = found.into_iter().map(ZxPaddr).collect();
    let told = addrs.0.write_slice(thread.vmar(), &found);
    let told = told.and_then(|()| thread.give([(Handle::new(token.clone()), pmt)]));
    told.inspect_err(|_| {
        // No device knows of the pages, so they need no quarantine; a handle that was closed has them there already.
        let _ = token.unpin();
    })
}

/// zx_bti_release_quarantine
pub(super) fn bti_release_quarantine(thread: &Thread, handle: ZxHandle) -> Result {
    thread.get::<Bti>(handle, Rights::WRITE)?.release_quarantine();
    Ok(())
}

/// zx_pmt_unpin, which closes the handle whatever it is.
pub(super) fn pmt_unpin(thread: &Thread, handle: ZxHandle) -> Result {
    let handle = thread.handles().take(handle.value())?;
    downcast::<Pmt>(handle.object().clone())?.unpin()
}
