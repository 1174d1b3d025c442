//! IOBuffers: made here, and mapped where all is mapped.

use kernel_objects::{
    Error, Handle, Iob, Result,
    iob::{IobAccess, IobRegion, MAX_REGIONS},
};

use super::argument::{In, Out};
use crate::zircon::{
    Thread,
    abi::{IobRegion as RawRegion, Void, ZxHandle, constants::*},
};

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
    let regions: Vec<IobRegion> = raw.iter().map(parse).collect::<Result<_>>()?;
    let memory = thread.machine().memory();
    let (one, other) = Iob::create(memory, &regions, memory.limit().is_some())?;
    thread.give([(Handle::new(one), ep0), (Handle::new(other), ep1)])
}

/// A private region of raw bytes, the only kind there is.
fn parse(raw: &RawRegion) -> Result<IobRegion> {
    let plain = raw.r#type == ZX_IOB_REGION_TYPE_PRIVATE
        && raw.discipline.r#type == ZX_IOB_DISCIPLINE_TYPE_NONE
        && raw.private_region.options == 0;
    if !plain {
        return Err(Error::InvalidArgs);
    }
    let access = IobAccess::from_bits(raw.access).ok_or(Error::InvalidArgs)?;
    Ok(IobRegion { access, size: raw.size })
}
