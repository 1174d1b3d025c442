//! IOBuffers: memory that two ends share, each with rights of its own.
//!
//! An [`Iob`] is one of two ends. Both show the same regions, and for each region was said, once and for all, which end may map it
//! to read and to write. Of most the kernel moves nothing: what the bytes mean is between the ends. With a *discipline* a region
//! means something to the kernel too, which then writes there for an end that may not do so itself: messages into a ring
//! ([`ring`]), or blobs that get numbers (`ids`).
//!
//! An end is closed when its last handle is gone *and* nothing is mapped through it any more: so each maps views of its own of the
//! regions, and the last of those to go tells the peer.

mod ids;
pub mod ring;

use std::{
    fmt,
    sync::{Arc, OnceLock, Weak},
};

use bitflags::bitflags;
use hal::{aspace::Prot, pmem::PhysicalMemory};
use parking_lot::Mutex;

use self::ids::Ids;
pub use self::ring::SharedRegion;
use crate::{
    error::{Error, Result},
    object::{KObjectBase, KernelObject, Koid, ObjectType},
    peer::Half,
    signals::Signals,
    vmo::{ChildOptions, Vmo, VmoOptions},
};

/// How many regions there may be: `ZX_IOB_MAX_REGIONS`.
pub const MAX_REGIONS: usize = 64;

bitflags! {
    /// Who may do what with a region: `ZX_IOB_EP*_CAN_*`. An end sees itself as the first.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct IobAccess: u32 {
        /// The first end maps it to read.
        const EP0_MAP_READ = 1 << 0;
        /// The first end maps it to write.
        const EP0_MAP_WRITE = 1 << 1;
        /// The first end reads it by system calls, of which there are none so far.
        const EP0_MEDIATED_READ = 1 << 2;
        /// The first end writes it by system calls.
        const EP0_MEDIATED_WRITE = 1 << 3;
        /// The second end maps it to read.
        const EP1_MAP_READ = 1 << 4;
        /// The second end maps it to write.
        const EP1_MAP_WRITE = 1 << 5;
        /// The second end reads it by system calls.
        const EP1_MEDIATED_READ = 1 << 6;
        /// The second end writes it by system calls.
        const EP1_MEDIATED_WRITE = 1 << 7;
    }
}

impl IobAccess {
    /// As the other end sees it.
    #[must_use]
    pub const fn swapped(self) -> Self {
        Self::from_bits_truncate(self.bits() << 4 | self.bits() >> 4)
    }

    /// Whether one of the ends reads or writes by system calls.
    fn is_mediated(self) -> bool {
        let first = Self::EP0_MEDIATED_READ | Self::EP0_MEDIATED_WRITE;
        self.intersects(first | first.swapped())
    }

    /// What the first end may do with memory that it maps.
    #[must_use]
    pub fn prot(self) -> Prot {
        let mut prot = Prot::empty();
        prot.set(Prot::READ, self.contains(Self::EP0_MAP_READ));
        prot.set(Prot::WRITE, self.contains(Self::EP0_MAP_WRITE));
        prot
    }
}

/// Where the memory of a region is, and what it means to the kernel: types and disciplines of `zx_iob_region_t`, as far as they go
/// together.
#[derive(Debug, Clone)]
pub enum IobContent {
    /// So many bytes of its own, rounded up to pages, of no meaning.
    Bytes(u64),
    /// So many bytes of its own, rounded up to pages, in which blobs get numbers: `ZX_IOB_DISCIPLINE_TYPE_ID_ALLOCATOR`.
    Ids(u64),
    /// A ring of messages that others may share: `ZX_IOB_DISCIPLINE_TYPE_MEDIATED_WRITE_RING_BUFFER`.
    Ring {
        /// Its memory.
        region: Arc<SharedRegion>,
        /// What precedes each message that comes from here.
        tag: u64,
    },
}

/// A region: `zx_iob_region_t`.
#[derive(Debug, Clone)]
pub struct IobRegion {
    /// Who may do what with it.
    pub access: IobAccess,
    /// What it is.
    pub content: IobContent,
}

/// What an end knows of a region: `zx_iob_region_info_t`.
#[derive(Debug, Clone)]
pub struct IobRegionInfo {
    /// With access as this end sees it.
    pub region: IobRegion,
    /// How many bytes it has.
    pub size: u64,
    /// The identity of its memory, the same for both ends, or of the shared region.
    pub koid: Koid,
}

/// A region and its memory.
struct Region {
    region: IobRegion,
    vmo: Arc<Vmo>,
    /// If it gives numbers and somebody gets them by system calls; else programs begin it.
    ids: Option<Ids>,
}

impl Region {
    fn new(memory: &Arc<PhysicalMemory>, region: &IobRegion, charged: bool) -> Result<Self> {
        let access = region.access;
        if access.is_empty() || !IobAccess::all().contains(access) {
            return Err(Error::InvalidArgs);
        }
        let own = |size| Vmo::create(memory, size, VmoOptions { resizable: false, charged });
        let (vmo, ids) = match &region.content {
            IobContent::Bytes(size) => (own(*size)?, None),
            IobContent::Ids(size) => {
                let vmo = own(*size)?;
                let ids = access.is_mediated().then(|| Ids::new(&vmo)).transpose()?;
                (vmo, ids)
            }
            IobContent::Ring { region, .. } if region.capacity() == 0 => {
                return Err(Error::InvalidArgs);
            }
            IobContent::Ring { region, .. } => (region.vmo().clone(), None),
        };
        Ok(Self { region: region.clone(), vmo, ids })
    }
}

/// One of two ends of shared memory (`zx_iob_create`).
///
/// ```
/// use hal::pmem::PhysicalMemory;
/// use kernel_objects::iob::{Iob, IobAccess, IobContent, IobRegion};
///
/// let memory = PhysicalMemory::new(None).unwrap();
/// let access = IobAccess::EP0_MAP_READ | IobAccess::EP0_MAP_WRITE | IobAccess::EP1_MAP_READ;
/// let region = IobRegion { access, content: IobContent::Bytes(4096) };
/// let (writer, reader) = Iob::create(&memory, &[region], false).unwrap();
/// let (view, prot) = writer.view(0).unwrap();
/// view.write(0, b"hello").unwrap();
/// let (view, other) = reader.view(0).unwrap();
/// let mut bytes = [0; 5];
/// view.read(0, &mut bytes).unwrap();
/// assert_eq!((&bytes, prot == other), (b"hello", false));
/// ```
pub struct Iob {
    base: KObjectBase,
    half: Half<Iob, ()>,
    regions: OnceLock<Arc<[Region]>>,
    /// Whether this is the second end, which sees access swapped.
    second: OnceLock<()>,
    /// What mappings are of; gone with the last handle.
    views: Mutex<Vec<Arc<Vmo>>>,
}

/// Goes with the last view of an end: the last handle is gone, and nothing is mapped.
struct Open {
    peer: Weak<Iob>,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(peer) = self.peer.upgrade() {
            peer.base.signal_state().set(Signals::PEER_CLOSED);
        }
    }
}

impl Iob {
    /// Two ends of memory with these regions, which counts against the limit if `charged`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if there is no region, or more than [`MAX_REGIONS`], or one that nobody may use, or one that is too
    /// small or large for its discipline; [`Error::OutOfRange`] if one is absurdly large; [`Error::NoMemory`].
    pub fn create(
        memory: &Arc<PhysicalMemory>,
        regions: &[IobRegion],
        charged: bool,
    ) -> Result<(Arc<Iob>, Arc<Iob>)> {
        if regions.is_empty() || regions.len() > MAX_REGIONS {
            return Err(Error::InvalidArgs);
        }
        let make = |region| Region::new(memory, region, charged);
        let regions: Arc<[Region]> = regions.iter().map(make).collect::<Result<_>>()?;
        let (first, second) = Half::pair(Signals::empty(), |base, half| Iob {
            base,
            half,
            regions: OnceLock::new(),
            second: OnceLock::new(),
            views: Mutex::default(),
        });
        let _ = second.second.set(());
        for (end, peer) in [(&first, &second), (&second, &first)] {
            let open = Arc::new(Open { peer: Arc::downgrade(peer) });
            let view = |region: &Region| {
                let view = region.vmo.create_child(ChildOptions::SLICE, 0, region.vmo.size())?;
                view.set_cookie(open.clone());
                Ok(view)
            };
            *end.views.lock() = regions.iter().map(view).collect::<Result<_>>()?;
            let _ = end.regions.set(regions.clone());
        }
        Ok((first, second))
    }

    fn regions(&self) -> &[Region] {
        self.regions.get().map_or(&[], |regions| regions)
    }

    /// How many regions there are (`ZX_INFO_IOB`).
    pub fn region_count(&self) -> usize {
        self.regions().len()
    }

    fn seen(&self, access: IobAccess) -> IobAccess {
        if self.second.get().is_some() { access.swapped() } else { access }
    }

    /// The regions, as this end sees them (`ZX_INFO_IOB_REGIONS`).
    pub fn region_info(&self) -> Vec<IobRegionInfo> {
        let info = |of: &Region| {
            let region = IobRegion { access: self.seen(of.region.access), ..of.region.clone() };
            let koid = match &region.content {
                IobContent::Ring { region, .. } => region.koid(),
                IobContent::Bytes(_) | IobContent::Ids(_) => of.vmo.koid(),
            };
            IobRegionInfo { region, size: of.vmo.size(), koid }
        };
        self.regions().iter().map(info).collect()
    }

    /// What is to be mapped of a region, and what may be done with it there (`zx_vmar_map_iob`). While somebody has it, this end is
    /// not closed.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if there is no such region; [`Error::BadState`] if the last handle is gone.
    pub fn view(&self, index: usize) -> Result<(Arc<Vmo>, Prot)> {
        let region = self.regions().get(index).ok_or(Error::OutOfRange)?;
        let view = self.views.lock().get(index).cloned().ok_or(Error::BadState)?;
        Ok((view, self.seen(region.region.access).prot()))
    }

    /// The region that this end may write to by system calls, if that is one.
    fn mediated(&self, index: usize) -> Result<(&Region, Result)> {
        let of = self.regions().get(index).ok_or(Error::OutOfRange)?;
        let allowed = self.seen(of.region.access).contains(IobAccess::EP0_MEDIATED_WRITE);
        Ok((of, if allowed { Ok(()) } else { Err(Error::AccessDenied) }))
    }

    /// Appends a message to the ring of a region (`zx_iob_writev`).
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if there is no such region, [`Error::WrongType`] if it has no ring, [`Error::AccessDenied`] if this end may
    /// not write to it so. [`Error::InvalidArgs`] if the message is longer than [`ring::MAX_MESSAGE`], [`Error::NoSpace`] if
    /// there is no room for it until others are read, [`Error::IoDataIntegrity`] if what the region says of itself
    /// cannot be.
    pub fn write(&self, index: usize, message: &[u8]) -> Result {
        let (of, allowed) = self.mediated(index)?;
        let IobContent::Ring { region, tag } = &of.region.content else {
            return Err(Error::WrongType);
        };
        allowed?;
        region.write(*tag, message)
    }

    /// Stores a blob in a region that numbers blobs; its number (`zx_iob_allocate_id`).
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if there is no such region, [`Error::WrongType`] if it numbers no blobs, [`Error::AccessDenied`] if this end
    /// may not write to it so. [`Error::NoMemory`] if there is no room, [`Error::IoDataIntegrity`] if what the region says of
    /// itself cannot be.
    pub fn allocate_id(&self, index: usize, blob: &[u8]) -> Result<u32> {
        let (of, allowed) = self.mediated(index)?;
        if !matches!(of.region.content, IobContent::Ids(_)) {
            return Err(Error::WrongType);
        }
        allowed?;
        of.ids.as_ref().ok_or(Error::AccessDenied)?.allocate(blob)
    }

    fn close(&self) {
        let views = std::mem::take(&mut *self.views.lock());
        drop(views);
    }
}

impl KernelObject for Iob {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Iob
    }

    fn related_koid(&self) -> Koid {
        self.half.peer_koid()
    }

    fn peer(&self) -> Result<Arc<dyn KernelObject>> {
        self.half.open_peer()
    }

    fn on_zero_handles(&self) {
        self.half.lock().closed = true;
        self.close();
    }
}

impl fmt::Debug for Iob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iob")
            .field("base", &self.base)
            .field("peer", &self.half.peer_koid())
            .field("regions", &self.region_count())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use hal::aspace::AddressSpace;

    use super::*;
    use crate::{
        handle::Handle,
        vmar::{MapArgs, Vmar},
    };

    const ALL: IobAccess = IobAccess::EP0_MAP_READ
        .union(IobAccess::EP0_MAP_WRITE)
        .union(IobAccess::EP1_MAP_READ)
        .union(IobAccess::EP1_MAP_WRITE);

    fn memory() -> Arc<PhysicalMemory> {
        PhysicalMemory::new(None).unwrap()
    }

    fn region(access: IobAccess, size: u64) -> IobRegion {
        IobRegion { access, content: IobContent::Bytes(size) }
    }

    #[test]
    fn the_ends_share_bytes_and_see_access_each_from_its_side() {
        let first_only = IobAccess::EP0_MAP_READ | IobAccess::EP0_MAP_WRITE;
        let regions = [region(ALL, 5000), region(first_only, 4096)];
        let (a, b) = Iob::create(&memory(), &regions, false).unwrap();
        assert_eq!((a.related_koid(), b.related_koid()), (b.koid(), a.koid()));
        a.view(0).unwrap().0.write(4096, b"shared").unwrap();
        let mut bytes = [0; 6];
        b.view(0).unwrap().0.read(4096, &mut bytes).unwrap();
        assert_eq!(&bytes, b"shared");
        let (mine, theirs) = (a.region_info(), b.region_info());
        assert_eq!((mine[0].region.access, mine[0].size), (ALL, 8192), "whole pages");
        assert_eq!(mine[1].koid, theirs[1].koid);
        assert_eq!(mine[1].region.access, first_only);
        assert_eq!(theirs[1].region.access, first_only.swapped());
        assert_eq!(a.view(1).unwrap().1, Prot::READ | Prot::WRITE);
        assert_eq!(b.view(1).unwrap().1, Prot::empty());
        assert_eq!(a.view(2).unwrap_err(), Error::OutOfRange);
    }

    #[test]
    fn an_end_is_closed_when_its_handles_and_its_mappings_are_gone() {
        let memory = memory();
        let (a, b) = Iob::create(&memory, &[region(ALL, 4096)], false).unwrap();
        let (a_handle, b_handle) = (Handle::new(a.clone()), Handle::new(b.clone()));
        let vmar = Vmar::create_root(&AddressSpace::new(&memory).unwrap()).unwrap();
        let map = || vmar.map(MapArgs::new(a.view(0).unwrap().0, 4096)).unwrap();
        let (one, two) = (map(), map());
        drop(a_handle);
        assert_eq!(a.view(0).unwrap_err(), Error::BadState);
        assert_eq!(b.signals(), Signals::empty());
        vmar.unmap(one, 4096).unwrap();
        assert_eq!(b.signals(), Signals::empty());
        vmar.unmap(two, 4096).unwrap();
        assert_eq!(b.signals(), Signals::PEER_CLOSED);
        drop(b_handle);
        assert_eq!(a.signals(), Signals::PEER_CLOSED);
    }

    #[test]
    fn what_is_documented_to_fail_fails() {
        let create = |regions: &[IobRegion]| Iob::create(&memory(), regions, false).map(drop);
        assert_eq!(create(&[]), Err(Error::InvalidArgs));
        assert_eq!(create(&vec![region(ALL, 4096); MAX_REGIONS]), Ok(()));
        assert_eq!(create(&vec![region(ALL, 4096); MAX_REGIONS + 1]), Err(Error::InvalidArgs));
        assert_eq!(create(&[region(IobAccess::empty(), 4096)]), Err(Error::InvalidArgs));
        let unknown = IobAccess::from_bits_retain(1 << 8 | 1);
        assert_eq!(create(&[region(unknown, 4096)]), Err(Error::InvalidArgs));
        assert_eq!(create(&[region(ALL, u64::MAX)]), Err(Error::OutOfRange));
    }

    #[test]
    fn only_the_end_that_may_writes_by_calls_and_only_what_the_discipline_is_for() {
        let memory = memory();
        let ring = SharedRegion::create(&memory, 2 * 4096, false).unwrap();
        let access = IobAccess::EP0_MAP_READ | IobAccess::EP1_MEDIATED_WRITE;
        let regions = [
            IobRegion { access, content: IobContent::Ring { region: ring.clone(), tag: 5 } },
            IobRegion { access, content: IobContent::Ids(4096) },
            region(IobAccess::all(), 4096),
        ];
        let (a, b) = Iob::create(&memory, &regions, false).unwrap();
        assert_eq!(b.write(0, b"message"), Ok(()));
        assert_eq!(a.write(0, b"message"), Err(Error::AccessDenied));
        for other in [1, 2] {
            assert_eq!(b.write(other, b"message"), Err(Error::WrongType));
            assert_eq!(a.write(other, b"message"), Err(Error::WrongType));
        }
        assert_eq!(b.write(3, b"message"), Err(Error::OutOfRange));
        assert_eq!(b.allocate_id(1, b"blob"), Ok(0));
        assert_eq!(b.allocate_id(1, b"blob"), Ok(1));
        assert_eq!(a.allocate_id(1, b"blob"), Err(Error::AccessDenied));
        for other in [0, 2] {
            assert_eq!(b.allocate_id(other, b"blob"), Err(Error::WrongType));
        }
        assert_eq!(b.allocate_id(3, b"blob"), Err(Error::OutOfRange));
        // The other end sees it all in its mapping.
        let mut head = [0; 8];
        a.view(0).unwrap().0.read(0, &mut head).unwrap();
        assert_eq!(u64::from_ne_bytes(head), 24);
        a.view(1).unwrap().0.read(0, &mut head).unwrap();
        assert_eq!(u64::from_ne_bytes(head), 4088 << 32 | 2);
        let info = a.region_info();
        assert_eq!((info[0].koid, info[0].size), (ring.koid(), 2 * 4096));
        assert_eq!(b.view(0).unwrap().1, Prot::empty());
    }

    #[test]
    fn a_ring_is_shared_by_many_and_outlives_them() {
        let memory = memory();
        let ring = SharedRegion::create(&memory, 2 * 4096, false).unwrap();
        let ends = [1, 2].map(|tag| {
            let content = IobContent::Ring { region: ring.clone(), tag };
            let access = IobAccess::EP0_MEDIATED_WRITE;
            Iob::create(&memory, &[IobRegion { access, content }], false).unwrap().0
        });
        for end in &ends {
            end.write(0, b"12345678").unwrap();
        }
        drop(ends);
        let mut bytes = [0; 48];
        ring.vmo().read(4096, &mut bytes).unwrap();
        assert_eq!((bytes[0], bytes[24]), (1, 2));
    }

    #[test]
    fn programs_begin_a_region_of_numbers_that_no_call_writes_to() {
        let regions = [IobRegion { access: ALL, content: IobContent::Ids(4096) }];
        let (a, _b) = Iob::create(&memory(), &regions, false).unwrap();
        let mut header = [1; 8];
        a.view(0).unwrap().0.read(0, &mut header).unwrap();
        assert_eq!(header, [0; 8]);
        assert_eq!(a.allocate_id(0, b"blob"), Err(Error::AccessDenied));
    }

    #[test]
    fn the_kernel_begins_a_region_of_numbers_that_is_there_for_calls_of_either_kind() {
        for access in [
            IobAccess::EP0_MEDIATED_READ,
            IobAccess::EP0_MEDIATED_WRITE,
            IobAccess::EP1_MEDIATED_READ,
            IobAccess::EP1_MEDIATED_WRITE,
        ] {
            let regions = [IobRegion { access: ALL | access, content: IobContent::Ids(4096) }];
            let (a, _b) = Iob::create(&memory(), &regions, false).unwrap();
            let mut header = [0; 8];
            a.view(0).unwrap().0.read(0, &mut header).unwrap();
            assert_eq!(u64::from_ne_bytes(header), 4096 << 32, "{access:?}");
        }
    }

    #[test]
    fn a_discipline_wants_memory_of_some_size() {
        let memory = memory();
        let create = |content| {
            let access = IobAccess::EP0_MEDIATED_WRITE;
            Iob::create(&memory, &[IobRegion { access, content }], false).map(drop)
        };
        let ring = |size| SharedRegion::create(&memory, size, false).unwrap();
        let short = IobContent::Ring { region: ring(4096), tag: 0 };
        assert_eq!(create(short), Err(Error::InvalidArgs));
        assert_eq!(create(IobContent::Ring { region: ring(8192), tag: 0 }), Ok(()));
        assert_eq!(create(IobContent::Ids(1 << 32)), Err(Error::InvalidArgs));
    }
}
