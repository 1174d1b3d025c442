//! Bus transaction initiators: devices, as memory sees them.
//!
//! A [`Bti`] stands for all transactions that bear one number at one IOMMU. It turns pages of a VMO into addresses that its
//! device may use, one for each page, one for each block that is surely in a row, or one for a VMO that is in one piece anyway.
//! It counts what is pinned for it, and keeps in quarantine what was not unpinned in the right way.

use std::{fmt, sync::Arc};

use bitflags::bitflags;
use hal::pmem::PAGE_SIZE;
use parking_lot::Mutex;

use super::{
    iommu::Iommu,
    pmt::{Hold, Pmt},
};
use crate::{
    error::{Error, Result},
    object::{KObjectBase, KernelObject, Koid, ObjectType},
    rights::Rights,
    vmo::Vmo,
};

const PAGE: u64 = PAGE_SIZE as u64;

bitflags! {
    /// What a device may do with pinned pages, and which addresses are wanted: `ZX_BTI_*`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct PinOptions: u32 {
        /// Read them.
        const READ = 1 << 0;
        /// Write them.
        const WRITE = 1 << 1;
        /// Execute them.
        const EXECUTE = 1 << 2;
        /// One address for each block of the minimum contiguity.
        const COMPRESS = 1 << 3;
        /// One address, of a VMO that lies in one piece.
        const CONTIGUOUS = 1 << 4;
    }
}

impl PinOptions {
    const PERMISSIONS: Self = Self::READ.union(Self::WRITE).union(Self::EXECUTE);

    /// The options with this number.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for an unknown bit.
    pub fn from_raw(raw: u32) -> Result<Self> {
        Self::from_bits(raw).ok_or(Error::InvalidArgs)
    }

    /// The rights that the handle of a VMO must have to be pinned so.
    pub fn vmo_rights(self) -> Rights {
        let mut rights = Rights::MAP;
        rights.set(Rights::READ, self.intersects(Self::READ | Self::EXECUTE));
        rights.set(Rights::WRITE, self.contains(Self::WRITE));
        rights
    }
}

/// What a BTI is: `zx_info_bti_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BtiInfo {
    /// How many bytes are surely in a row behind an address that [`PinOptions::COMPRESS`] gives.
    pub minimum_contiguity: u64,
    /// How large the space of its device's addresses is, in bytes.
    pub aspace_size: u64,
    /// How many times memory is pinned for it, in quarantine or not.
    pub pmo_count: u64,
    /// How many of those are in quarantine.
    pub quarantine_count: u64,
}

/// A device behind an IOMMU (`zx_bti_create`).
///
/// ```
/// use hal::pmem::PhysicalMemory;
/// use kernel_objects::{Vmo, VmoOptions, resource::ResourceSpace};
/// use kernel_objects::dma::{Bti, Iommu, IommuDescriptor, PinOptions};
///
/// let (memory, machine) = (PhysicalMemory::new(None).unwrap(), ResourceSpace::new());
/// let iommu = Iommu::create(&machine.root(), &memory, IommuDescriptor::Dummy).unwrap();
/// let bti = Bti::create(&iommu, 0, 1).unwrap();
/// let vmo = Vmo::create(&memory, 0x2000, VmoOptions::default()).unwrap();
/// let mut addresses = [0; 2];
/// let pmt = bti.pin(PinOptions::READ, &vmo, 0, 0x2000, &mut addresses).unwrap();
/// assert!(addresses.iter().all(|address| address % 0x1000 == 0));
/// assert_eq!(bti.info().pmo_count, 1);
/// pmt.unpin().unwrap();
/// ```
pub struct Bti {
    base: KObjectBase,
    iommu: Arc<Iommu>,
    /// The number on its transactions.
    id: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many times memory is pinned, but for the quarantine.
    pinned: u64,
    quarantine: Vec<Hold>,
}

impl Bti {
    /// Stands for the device that puts the number `id` on its transactions.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if `options` is not 0, or `id` is none that the IOMMU knows.
    pub fn create(iommu: &Arc<Iommu>, options: u32, id: u64) -> Result<Arc<Bti>> {
        if options != 0 || !iommu.knows(id) {
            return Err(Error::InvalidArgs);
        }
        let (iommu, base) = (iommu.clone(), KObjectBase::new());
        Ok(Arc::new(Bti { base, iommu, id, state: Mutex::default() }))
    }

    /// The IOMMU that its device is behind.
    pub fn iommu(&self) -> &Arc<Iommu> {
        &self.iommu
    }

    /// The number on its transactions.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What it is (`ZX_INFO_BTI`).
    pub fn info(&self) -> BtiInfo {
        let state = self.state.lock();
        let quarantine_count = state.quarantine.len() as u64;
        BtiInfo {
            minimum_contiguity: self.iommu.minimum_contiguity(),
            aspace_size: self.iommu.address_space(),
            pmo_count: state.pinned + quarantine_count,
            quarantine_count,
        }
    }

    /// Pins `size` bytes of `vmo` from `offset` on and lets the device reach them; puts the addresses into `addrs`, which has a
    /// place for each. The handle of `vmo` needs [those rights](PinOptions::vmo_rights). May block.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if `options` allows the device nothing, or asks for both kinds of addresses; if it asks for a
    /// contiguous address of a VMO that is not in one piece; if `offset` or `size` is not a page multiple, or `size` is 0; or if
    /// `addrs` has not as many places as there are addresses. [`Error::OutOfRange`] beyond the end of `vmo`,
    /// [`Error::Unavailable`] if the device has no addresses left, [`Error::NoMemory`].
    pub fn pin(
        self: &Arc<Self>,
        options: PinOptions,
        vmo: &Arc<Vmo>,
        offset: u64,
        size: u64,
        addrs: &mut [u64],
    ) -> Result<Arc<Pmt>> {
        let kinds = PinOptions::COMPRESS | PinOptions::CONTIGUOUS;
        let permissions = options & PinOptions::PERMISSIONS;
        if permissions.is_empty() || options.contains(kinds) {
            return Err(Error::InvalidArgs);
        }
        let contiguous = options.contains(PinOptions::CONTIGUOUS);
        if contiguous && !vmo.is_contiguous() {
            return Err(Error::InvalidArgs);
        }
        let step = match () {
            () if contiguous => size,
            () if options.contains(PinOptions::COMPRESS) => self.iommu.minimum_contiguity(),
            () => PAGE,
        };
        let count = if step == 0 { 0 } else { size.div_ceil(step) };
        if addrs.len() as u64 != count {
            return Err(Error::InvalidArgs);
        }
        let pin = vmo.pin(offset, size)?;
        let granted = self.iommu.grant(self.id, pin.runs(), permissions)?;
        let steps = granted
            .iter()
            .flat_map(|&(address, len)| (0..len.div_ceil(step)).map(move |i| address + i * step));
        addrs.iter_mut().zip(steps).for_each(|(place, address)| *place = address);
        let address = granted.first().map_or(0, |&(address, _)| address);
        self.state.lock().pinned += 1;
        Ok(Pmt::new(self, Hold { address, pin }))
    }

    /// Ends what a token holds.
    pub(super) fn release(&self, hold: Hold) {
        self.state.lock().pinned -= 1;
        self.iommu.revoke(self.id, hold.address);
        drop(hold);
    }

    /// Keeps what a token that was not unpinned holds.
    pub(super) fn quarantine(&self, hold: Hold) {
        let mut state = self.state.lock();
        state.pinned -= 1;
        state.quarantine.push(hold);
    }

    /// Lets everything in quarantine go: whoever calls this knows that the device does not use it any more
    /// (`zx_bti_release_quarantine`).
    pub fn release_quarantine(&self) {
        let holds = std::mem::take(&mut self.state.lock().quarantine);
        for hold in &holds {
            self.iommu.revoke(self.id, hold.address);
        }
    }
}

impl KernelObject for Bti {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Bti
    }

    fn related_koid(&self) -> Koid {
        self.iommu.koid()
    }
}

impl Drop for Bti {
    fn drop(&mut self) {
        let left = std::mem::take(&mut self.state.get_mut().quarantine);
        self.iommu.abandon(left);
    }
}

impl fmt::Debug for Bti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bti")
            .field("base", &self.base)
            .field("id", &self.id)
            .field("info", &self.info())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use hal::pmem::PhysicalMemory;

    use super::{super::IommuDescriptor, *};
    use crate::{
        handle::Handle,
        resource::ResourceSpace,
        vmo::{RangeOp, VmoOptions},
    };

    const DEVICE: u64 = 0x0102;
    const BOTH: PinOptions = PinOptions::READ.union(PinOptions::WRITE);
    /// One whose blocks are four pages.
    const TRANSLATING: IommuDescriptor =
        IommuDescriptor::Translating { address_space: 64 * PAGE, minimum_contiguity: 4 * PAGE };

    fn bti(descriptor: IommuDescriptor) -> Arc<Bti> {
        let memory = PhysicalMemory::new(None).unwrap();
        let iommu = Iommu::create(&ResourceSpace::new().root(), &memory, descriptor).unwrap();
        Bti::create(&iommu, 0, DEVICE).unwrap()
    }

    fn vmo(bti: &Bti, pages: u64) -> Arc<Vmo> {
        let options = VmoOptions { resizable: true, charged: false };
        Vmo::create(bti.iommu().memory(), pages * PAGE, options).unwrap()
    }

    #[test]
    fn creation_checks_the_options_and_the_number() {
        let iommu = bti(TRANSLATING).iommu().clone();
        assert_eq!(Bti::create(&iommu, 1, 0).err(), Some(Error::InvalidArgs));
        assert_eq!(Bti::create(&iommu, 0, 0x1_0000).err(), Some(Error::InvalidArgs));
        let bti = Bti::create(&iommu, 0, 0xffff).unwrap();
        assert_eq!((bti.id(), bti.related_koid()), (0xffff, iommu.koid()));
    }

    #[test]
    fn options_are_bits_and_each_wants_its_rights() {
        for raw in [1, 2, 4, 7, 9, 0x11, 0x1f] {
            assert_eq!(PinOptions::from_raw(raw).map(|options| options.bits()), Ok(raw));
        }
        assert_eq!(PinOptions::from_raw(0x20), Err(Error::InvalidArgs));
        for (options, rights) in [
            (PinOptions::READ, Rights::READ),
            (PinOptions::WRITE, Rights::WRITE),
            (PinOptions::EXECUTE, Rights::READ),
            (PinOptions::WRITE | PinOptions::EXECUTE, Rights::IO),
            (PinOptions::COMPRESS, Rights::empty()),
        ] {
            assert_eq!(options.vmo_rights(), rights | Rights::MAP);
        }
    }

    #[test]
    fn what_cannot_be_pinned_is_refused_and_nothing_is_pinned() {
        let bti = bti(TRANSLATING);
        let vmo = vmo(&bti, 4);
        let pin = |options, offset, size, count| {
            bti.pin(options, &vmo, offset, size, &mut vec![0; count]).err()
        };
        let invalid = Some(Error::InvalidArgs);
        assert_eq!(pin(PinOptions::empty(), 0, PAGE, 1), invalid);
        assert_eq!(pin(PinOptions::COMPRESS, 0, PAGE, 1), invalid, "no permission");
        let kinds = PinOptions::READ | PinOptions::COMPRESS | PinOptions::CONTIGUOUS;
        assert_eq!(pin(kinds, 0, PAGE, 1), invalid);
        let contiguous = PinOptions::READ | PinOptions::CONTIGUOUS;
        assert_eq!(pin(contiguous, 0, PAGE, 1), invalid, "it is not in one piece");
        for (offset, size, count) in [(1, PAGE, 1), (0, PAGE + 1, 2), (0, 0, 0)] {
            assert_eq!(pin(BOTH, offset, size, count), invalid);
        }
        for count in [0, 1, 3] {
            assert_eq!(pin(BOTH, 0, 2 * PAGE, count), invalid);
        }
        assert_eq!(pin(BOTH | PinOptions::COMPRESS, 0, 2 * PAGE, 2), invalid);
        assert_eq!(pin(BOTH, 3 * PAGE, 2 * PAGE, 2), Some(Error::OutOfRange));
        assert_eq!(bti.info().pmo_count, 0);
        assert!(!vmo.is_pinned(0..4 * PAGE));
    }

    #[test]
    fn addresses_come_by_page_by_block_or_alone() {
        let bti = bti(TRANSLATING);
        let vmo = vmo(&bti, 6);
        let mut pages = [0; 6];
        let _by_page = bti.pin(BOTH, &vmo, 0, 6 * PAGE, &mut pages).unwrap();
        assert!((0..6).all(|i| pages[i] == pages[0] + i as u64 * PAGE), "{pages:?}");
        let mut blocks = [0; 2];
        let options = BOTH | PinOptions::COMPRESS;
        let _by_block = bti.pin(options, &vmo, 0, 6 * PAGE, &mut blocks).unwrap();
        assert_eq!(blocks[1], blocks[0] + 4 * PAGE);
        assert!(blocks.iter().all(|block| block % (4 * PAGE) == 0));
        let one = Vmo::create_contiguous(bti.iommu().memory(), 6 * PAGE, 0).unwrap();
        let mut address = [0];
        let options = BOTH | PinOptions::CONTIGUOUS;
        let _alone = bti.pin(options, &one, 0, 6 * PAGE, &mut address).unwrap();
        assert_eq!(bti.iommu().dma_write(DEVICE, address[0] + 5 * PAGE, b"end"), Ok(()));
        let mut seen = [0; 3];
        one.read(5 * PAGE, &mut seen).unwrap();
        assert_eq!(&seen, b"end");
    }

    #[test]
    fn behind_the_dummy_addresses_are_physical() {
        let bti = bti(IommuDescriptor::Dummy);
        let memory = bti.iommu().memory().clone();
        let vmo = vmo(&bti, 3);
        let mut addresses = [0; 3];
        let pmt = bti.pin(BOTH, &vmo, 0, 3 * PAGE, &mut addresses).unwrap();
        for (page, address) in addresses.into_iter().enumerate() {
            memory.write(hal::pmem::PhysAddr(address), &[page as u8 + 1]);
            let mut seen = [0];
            vmo.read(page as u64 * PAGE, &mut seen).unwrap();
            assert_eq!(seen, [page as u8 + 1]);
        }
        let info = bti.info();
        assert_eq!((info.minimum_contiguity, info.aspace_size), (PAGE, u64::MAX));
        assert_eq!(pmt.unpin(), Ok(()));
    }

    #[test]
    fn unpinning_ends_the_access_and_the_pin() {
        let bti = bti(TRANSLATING);
        let vmo = vmo(&bti, 1);
        let mut address = [0];
        let pmt = bti.pin(BOTH, &vmo, 0, PAGE, &mut address).unwrap();
        assert_eq!(pmt.related_koid(), bti.koid());
        assert_eq!(vmo.op_range(RangeOp::Decommit, 0, PAGE), Err(Error::BadState));
        assert_eq!(vmo.set_size(0), Err(Error::BadState));
        assert_eq!(pmt.unpin(), Ok(()));
        assert_eq!(pmt.unpin(), Err(Error::BadState));
        assert_eq!(bti.iommu().dma_write(DEVICE, address[0], &[1]), Err(Error::NotFound));
        assert_eq!(bti.info().pmo_count, 0);
        drop(pmt);
        assert_eq!(bti.info().quarantine_count, 0);
        assert_eq!(vmo.set_size(0), Ok(()));
    }

    #[test]
    fn what_is_not_unpinned_is_quarantined_until_released() {
        let bti = bti(TRANSLATING);
        let vmo = vmo(&bti, 1);
        let (mut first, mut second) = ([0], [0]);
        let by_handle = bti.pin(BOTH, &vmo, 0, PAGE, &mut first).unwrap();
        let by_reference = bti.pin(BOTH, &vmo, 0, PAGE, &mut second).unwrap();
        drop(Handle::new(by_handle.clone()));
        assert_eq!((bti.info().pmo_count, bti.info().quarantine_count), (2, 1));
        assert_eq!(by_handle.unpin(), Err(Error::BadState));
        drop(by_reference);
        assert_eq!((bti.info().pmo_count, bti.info().quarantine_count), (2, 2));
        let reach = |address: [u64; 1]| bti.iommu().dma_write(DEVICE, address[0], &[1]);
        assert_eq!((reach(first), reach(second)), (Ok(()), Ok(())), "the device may be at it");
        assert_eq!(vmo.set_size(0), Err(Error::BadState));
        bti.release_quarantine();
        assert_eq!((bti.info().pmo_count, bti.info().quarantine_count), (0, 0));
        assert_eq!(reach(first), Err(Error::NotFound));
        assert_eq!(vmo.set_size(0), Ok(()));
    }

    #[test]
    fn a_token_is_unpinned_though_others_are_in_quarantine_and_leaves_them_there() {
        let bti = bti(TRANSLATING);
        let vmo = vmo(&bti, 1);
        let pin = || bti.pin(BOTH, &vmo, 0, PAGE, &mut [0]).unwrap();
        let token = pin();
        drop(pin());
        assert_eq!((bti.info().pmo_count, bti.info().quarantine_count), (2, 1));
        assert_eq!(token.unpin(), Ok(()));
        assert_eq!((bti.info().pmo_count, bti.info().quarantine_count), (1, 1));
        assert!(vmo.is_pinned(0..PAGE));
    }

    #[test]
    fn the_quarantine_of_a_bti_that_is_gone_lasts_as_long_as_the_iommu() {
        let bti = bti(TRANSLATING);
        let (vmo, iommu) = (vmo(&bti, 1), bti.iommu().clone());
        drop(bti.pin(BOTH, &vmo, 0, PAGE, &mut [0]));
        drop(bti);
        assert!(vmo.is_pinned(0..PAGE));
        drop(iommu);
        assert!(!vmo.is_pinned(0..PAGE));
    }

    #[test]
    fn a_device_without_addresses_left_gets_nothing_pinned() {
        let bti = bti(TRANSLATING);
        let vmo = vmo(&bti, 64);
        let pinned = bti.pin(BOTH, &vmo, 0, 64 * PAGE, &mut [0; 64]);
        assert_eq!(pinned.err(), Some(Error::Unavailable));
        assert!(!vmo.is_pinned(0..64 * PAGE));
        assert!(bti.pin(BOTH, &vmo, 0, 60 * PAGE, &mut [0; 60]).is_ok());
    }
}
