//! IOBuffers: made here, written to by their disciplines, and mapped where all is mapped.

use kernel_objects::{
    Error, Handle, Iob, Result, Rights,
    iob::{IobAccess, IobContent, IobRegion, MAX_REGIONS, SharedRegion, ring::MAX_MESSAGE},
};

use super::argument::{In, Out};
use crate::{
    abi::argument::UserPtr,
    zircon::{
        Thread,
        abi::{IobRegion as RawRegion, IobRegionShared, Iovec, Void, ZxHandle, constants::*},
    },
};

/// How many pieces a message may have.
const MAX_PIECES: usize = 8;

/// zx_iob_create
pub(super) fn create(
    thread: &Thread,
    options: u64,
    regions: In<Void>,
    num_regions: u32,
    ep0: Out<ZxHandle>,
    ep1: Out<ZxHandle>,
) -> Result {
    let count = usize::try_from(num_regions).ok().filter(|&count| count <= MAX_REGIONS);
    if options != 0 || count.is_none() {
        return Err(Error::InvalidArgs);
    }
    let raw = regions.0.cast::<RawRegion>().read_slice(thread.vmar(), count.unwrap_or(0))?;
    let regions: Vec<_> = raw.iter().map(|raw| parse(thread, raw)).collect::<Result<_>>()?;
    let memory = thread.machine().memory();
    let (one, other) = Iob::create(memory, &regions, memory.limit().is_some())?;
    thread.give([(Handle::new(one), ep0), (Handle::new(other), ep1)])
}

fn parse(thread: &Thread, raw: &RawRegion) -> Result<IobRegion> {
    let access = IobAccess::from_bits(raw.access).ok_or(Error::InvalidArgs)?;
    let IobRegionShared { options, shared_region, .. } = raw.extension.0;
    let content = match (raw.r#type, raw.discipline.r#type) {
        _ if options != 0 => return Err(Error::InvalidArgs),
        (ZX_IOB_REGION_TYPE_PRIVATE, ZX_IOB_DISCIPLINE_TYPE_NONE) => IobContent::Bytes(raw.size),
        (ZX_IOB_REGION_TYPE_PRIVATE, ZX_IOB_DISCIPLINE_TYPE_ID_ALLOCATOR) => {
            IobContent::Ids(raw.size)
        }
        (ZX_IOB_REGION_TYPE_SHARED, ZX_IOB_DISCIPLINE_TYPE_MEDIATED_WRITE_RING_BUFFER)
            if raw.size == 0 =>
        {
            let region = thread.get::<SharedRegion>(shared_region, Rights::empty())?;
            IobContent::Ring { region, tag: raw.discipline.extension.0.tag }
        }
        _ => return Err(Error::InvalidArgs),
    };
    Ok(IobRegion { access, content })
}

/// zx_iob_create_shared_region
pub(super) fn create_shared_region(
    thread: &Thread,
    options: u64,
    size: u64,
    out: Out<ZxHandle>,
) -> Result {
    if options != 0 {
        return Err(Error::InvalidArgs);
    }
    let memory = thread.machine().memory();
    let region = SharedRegion::create(memory, size, memory.limit().is_some())?;
    thread.give([(Handle::new(region), out)])
}

/// zx_iob_writev
pub(super) fn writev(
    thread: &Thread,
    handle: ZxHandle,
    options: u64,
    region_index: u32,
    vectors: In<Iovec>,
    num_vectors: usize,
) -> Result {
    if options != 0 {
        return Err(Error::InvalidArgs);
    }
    let iob = thread.get::<Iob>(handle, Rights::WRITE)?;
    if num_vectors > MAX_PIECES {
        return Err(Error::InvalidArgs);
    }
    let pieces = vectors.0.read_slice(thread.vmar(), num_vectors)?;
    let size = pieces.iter().try_fold(0_u64, |sum, piece| sum.checked_add(piece.capacity));
    if size.is_none_or(|size| size > MAX_MESSAGE as u64) {
        return Err(Error::InvalidArgs);
    }
    let mut message = Vec::new();
    for piece in pieces {
        let bytes = UserPtr::<u8>::new(piece.buffer.0);
        let bytes = bytes.read_slice(thread.vmar(), piece.capacity as usize);
        message.extend_from_slice(&bytes.map_err(|_| Error::NotFound)?);
    }
    iob.write(index(region_index), &message)
}

/// zx_iob_allocate_id
pub(super) fn allocate_id(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    region_index: u32,
    blob: In<Void>,
    blob_size: usize,
    id: Out<u32>,
) -> Result {
    super::no_options(options)?;
    let iob = thread.get::<Iob>(handle, Rights::WRITE)?;
    // One that is larger than the region is too large, however it goes on.
    let size = iob.region_info().get(index(region_index)).map_or(0, |info| info.size as usize);
    let blob_size = blob_size.min(size.saturating_add(1));
    let blob = UserPtr::<u8>::new(blob.0.addr()).read_slice(thread.vmar(), blob_size)?;
    let new = iob.allocate_id(index(region_index), &blob)?;
    id.0.write(thread.vmar(), &new)
}

/// A region's index; one that does not fit names none.
fn index(raw: u32) -> usize {
    usize::try_from(raw).unwrap_or(usize::MAX)
}
