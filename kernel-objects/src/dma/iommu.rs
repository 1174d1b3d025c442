//! IOMMUs: what memory a device reaches by which address.
//!
//! The *dummy* is a machine without one: a device's address is a physical address, and nothing keeps it from any. The
//! *translating* one is this kernel's own: each device has a space of addresses to itself, in which pinned pages lie in a row
//! wherever they are in memory, and what is not pinned is not there. Devices here are Rust code; they reach memory by
//! [`Iommu::dma_read`] and [`Iommu::dma_write`] only.

use std::{collections::BTreeMap, fmt, sync::Arc};

use hal::pmem::{PAGE_SIZE, PhysAddr, PhysicalMemory};
use parking_lot::Mutex;

use super::{bti::PinOptions, pmt::Hold};
use crate::{
    error::{Error, Result},
    object::{KObjectBase, KernelObject, ObjectType},
    resource::{Resource, SystemBase},
};

const PAGE: u64 = PAGE_SIZE as u64;

/// The longest descriptor, in bytes: `ZX_IOMMU_MAX_DESC_LEN`.
const MAX_DESCRIPTOR: usize = 4096;

/// What an IOMMU is to be: a `ZX_IOMMU_TYPE_*` and its descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IommuDescriptor {
    /// `ZX_IOMMU_TYPE_DUMMY`: none at all. Its descriptor is one byte without meaning.
    Dummy,
    /// One that translates. Its descriptor is the two numbers, of 64 bits each.
    Translating {
        /// How large each device's space of addresses is, in bytes: a multiple of the other number.
        address_space: u64,
        /// How many bytes are surely in a row behind one address: a power of two, at least a page.
        minimum_contiguity: u64,
    },
}

impl IommuDescriptor {
    /// `ZX_IOMMU_TYPE_DUMMY`.
    pub const DUMMY: u32 = 0;
    /// The type of the translating one, which Zircon does not have.
    pub const TRANSLATING: u32 = 0x1_0000;

    /// The descriptor of this type with these bytes, in the machine's byte order.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if it is too long, or not valid for the type; [`Error::NotSupported`] for any other type, such as
    /// `ZX_IOMMU_TYPE_INTEL`, which needs real registers.
    pub fn from_raw(kind: u32, bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_DESCRIPTOR {
            return Err(Error::InvalidArgs);
        }
        match kind {
            Self::DUMMY if bytes.len() == 1 => Ok(Self::Dummy),
            Self::TRANSLATING => {
                let (address_space, rest) = bytes.split_first_chunk().ok_or(Error::InvalidArgs)?;
                let minimum_contiguity = rest.try_into().map_err(|_| Error::InvalidArgs)?;
                Ok(Self::Translating {
                    address_space: u64::from_ne_bytes(*address_space),
                    minimum_contiguity: u64::from_ne_bytes(minimum_contiguity),
                })
            }
            Self::DUMMY => Err(Error::InvalidArgs),
            _ => Err(Error::NotSupported),
        }
    }
}

/// Pages that a device may reach, behind addresses in a row.
#[derive(Debug)]
struct Grant {
    len: u64,
    runs: Vec<(PhysAddr, u64)>,
    permissions: PinOptions,
}

/// What stands between devices and memory (`zx_iommu_create`).
///
/// ```
/// use hal::pmem::PhysicalMemory;
/// use kernel_objects::{Error, Vmo, VmoOptions, resource::ResourceSpace};
/// use kernel_objects::dma::{Bti, Iommu, IommuDescriptor, PinOptions};
///
/// let (memory, machine) = (PhysicalMemory::new(None).unwrap(), ResourceSpace::new());
/// let translating =
///     IommuDescriptor::Translating { address_space: 1 << 32, minimum_contiguity: 1 << 20 };
/// let iommu = Iommu::create(&machine.root(), &memory, translating).unwrap();
///
/// let bti = Bti::create(&iommu, 0, 7).unwrap();
/// let vmo = Vmo::create(&memory, 0x1000, VmoOptions::default()).unwrap();
/// let mut address = [0];
/// let pmt = bti.pin(PinOptions::WRITE, &vmo, 0, 0x1000, &mut address).unwrap();
/// iommu.dma_write(7, address[0], b"from the device").unwrap();
/// pmt.unpin().unwrap();
/// assert_eq!(iommu.dma_write(7, address[0], b"late"), Err(Error::NotFound));
/// ```
pub struct Iommu {
    base: KObjectBase,
    memory: Arc<PhysicalMemory>,
    descriptor: IommuDescriptor,
    /// What devices may reach, by their number and the first address; the translating one only.
    grants: Mutex<BTreeMap<(u64, u64), Grant>>,
    /// Left behind by BTIs that are gone.
    abandoned: Mutex<Vec<Hold>>,
}

impl Iommu {
    /// An IOMMU in front of `memory`, by the right of the resource for [IOMMUs](SystemBase::Iommu), or of the root resource.
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] if the resource is another; [`Error::InvalidArgs`] if the descriptor's numbers are not as it
    /// wants them.
    pub fn create(
        resource: &Resource,
        memory: &Arc<PhysicalMemory>,
        descriptor: IommuDescriptor,
    ) -> Result<Arc<Iommu>> {
        resource.validate_system(SystemBase::Iommu)?;
        if let IommuDescriptor::Translating { address_space, minimum_contiguity } = descriptor {
            let fits = minimum_contiguity.is_power_of_two()
                && minimum_contiguity >= PAGE
                && address_space > 0
                && address_space.is_multiple_of(minimum_contiguity);
            if !fits {
                return Err(Error::InvalidArgs);
            }
        }
        Ok(Arc::new(Iommu {
            base: KObjectBase::new(),
            memory: memory.clone(),
            descriptor,
            grants: Mutex::default(),
            abandoned: Mutex::default(),
        }))
    }

    /// What it is.
    pub fn descriptor(&self) -> IommuDescriptor {
        self.descriptor
    }

    /// The memory that it stands in front of.
    pub fn memory(&self) -> &Arc<PhysicalMemory> {
        &self.memory
    }

    /// How many bytes are surely in a row behind one address.
    pub fn minimum_contiguity(&self) -> u64 {
        match self.descriptor {
            IommuDescriptor::Dummy => PAGE,
            IommuDescriptor::Translating { minimum_contiguity, .. } => minimum_contiguity,
        }
    }

    /// How large the space of a device's addresses is, in bytes.
    pub fn address_space(&self) -> u64 {
        match self.descriptor {
            IommuDescriptor::Dummy => u64::MAX,
            IommuDescriptor::Translating { address_space, .. } => address_space,
        }
    }

    /// Whether a device can have this number: in the translating one, those of PCI (bus, device and function in 16 bits).
    pub(super) fn knows(&self, device: u64) -> bool {
        self.descriptor == IommuDescriptor::Dummy || device <= u16::MAX.into()
    }

    /// Lets a device reach `runs`; gives the addresses at which each of them begins and its length.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if no addresses are left.
    pub(super) fn grant(
        &self,
        device: u64,
        runs: Vec<(PhysAddr, u64)>,
        permissions: PinOptions,
    ) -> Result<Vec<(u64, u64)>> {
        if self.descriptor == IommuDescriptor::Dummy {
            return Ok(runs.into_iter().map(|(pa, len)| (pa.0, len)).collect());
        }
        let len = runs.iter().map(|(_, len)| len).sum();
        let mut grants = self.grants.lock();
        // Address 0 is left out: drivers take it for none.
        let mut start = self.minimum_contiguity();
        for ((_, taken), grant) in grants.range((device, 0)..=(device, u64::MAX)) {
            if taken - start >= len {
                break;
            }
            start = (taken + grant.len).next_multiple_of(self.minimum_contiguity());
        }
        let end = start.checked_add(len).filter(|&end| end <= self.address_space());
        end.ok_or(Error::Unavailable)?;
        grants.insert((device, start), Grant { len, runs, permissions });
        Ok(vec![(start, len)])
    }

    /// What was granted from `address` on cannot be reached any more.
    pub(super) fn revoke(&self, device: u64, address: u64) {
        self.grants.lock().remove(&(device, address));
    }

    /// Keeps what a BTI that is gone had in quarantine: nobody is left to say that the device has stopped.
    pub(super) fn abandon(&self, holds: Vec<Hold>) {
        self.abandoned.lock().extend(holds);
    }

    /// Calls `each` for the pieces of memory behind a device's addresses: where, and their part of the transaction.
    fn transact(
        &self,
        device: u64,
        address: u64,
        len: usize,
        permission: PinOptions,
        mut each: impl FnMut(PhysAddr, std::ops::Range<usize>),
    ) -> Result {
        let wanted = len as u64;
        if self.descriptor == IommuDescriptor::Dummy {
            let end = address.checked_add(wanted).filter(|&end| end <= self.memory.size());
            end.ok_or(Error::NotFound)?;
            each(PhysAddr(address), 0..len);
            return Ok(());
        }
        // Held throughout, so that nothing is reached once it has been revoked.
        let grants = self.grants.lock();
        let below = grants.range((device, 0)..=(device, address)).next_back();
        let (&(_, start), grant) = below.ok_or(Error::NotFound)?;
        let mut skip = address - start;
        if skip.checked_add(wanted).is_none_or(|end| end > grant.len) {
            return Err(Error::NotFound);
        }
        if !grant.permissions.contains(permission) {
            return Err(Error::AccessDenied);
        }
        let mut done = 0;
        for &(pa, run) in &grant.runs {
            let part = run.saturating_sub(skip).min((len - done) as u64) as usize;
            if part > 0 {
                each(pa.offset(skip), done..done + part);
            }
            done += part;
            skip = skip.saturating_sub(run);
        }
        Ok(())
    }

    /// A device reads memory.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if not all of it is there for the device, [`Error::AccessDenied`] if it may not be read.
    pub fn dma_read(&self, device: u64, address: u64, buf: &mut [u8]) -> Result {
        self.transact(device, address, buf.len(), PinOptions::READ, |pa, part| {
            if let Some(part) = buf.get_mut(part) {
                self.memory.read(pa, part);
            }
        })
    }

    /// A device writes memory.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if not all of it is there for the device, [`Error::AccessDenied`] if it may not be written.
    pub fn dma_write(&self, device: u64, address: u64, buf: &[u8]) -> Result {
        self.transact(device, address, buf.len(), PinOptions::WRITE, |pa, part| {
            if let Some(part) = buf.get(part) {
                self.memory.write(pa, part);
            }
        })
    }
}

impl KernelObject for Iommu {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Iommu
    }
}

impl fmt::Debug for Iommu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iommu")
            .field("base", &self.base)
            .field("descriptor", &self.descriptor)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{ResourceKind, ResourceSpace};

    fn memory() -> Arc<PhysicalMemory> {
        PhysicalMemory::new(None).unwrap()
    }

    fn translating(address_space: u64, minimum_contiguity: u64) -> IommuDescriptor {
        IommuDescriptor::Translating { address_space, minimum_contiguity }
    }

    #[test]
    fn a_descriptor_must_fit_its_type() {
        let raw = IommuDescriptor::from_raw;
        assert_eq!(raw(0, &[0]), Ok(IommuDescriptor::Dummy));
        for bad in [&[][..], &[0; 2], &[0; 4096], &[0; 4097]] {
            assert_eq!(raw(0, bad), Err(Error::InvalidArgs));
        }
        let bytes = [7u64.to_ne_bytes(), 9u64.to_ne_bytes()].concat();
        assert_eq!(raw(0x1_0000, &bytes), Ok(translating(7, 9)));
        for len in [0, 8, 15, 17] {
            assert_eq!(raw(0x1_0000, &vec![0; len]), Err(Error::InvalidArgs));
        }
        assert_eq!(raw(1, &[0; 24]), Err(Error::NotSupported), "Intel's");
        assert_eq!(raw(2, &[0; 4096]), Err(Error::NotSupported));
        assert_eq!(raw(2, &[0; 4097]), Err(Error::InvalidArgs));
    }

    #[test]
    fn only_the_right_resource_makes_one_and_its_numbers_are_checked() {
        let (memory, machine) = (memory(), ResourceSpace::new());
        let mmio = machine.ranged_root(ResourceKind::Mmio, "").unwrap();
        let denied = Iommu::create(&mmio, &memory, IommuDescriptor::Dummy);
        assert_eq!(denied.err(), Some(Error::AccessDenied));
        let root = machine.root();
        for (size, contiguity) in
            [(0, PAGE), (PAGE, 0), (PAGE, 2048), (3 * PAGE, 3 * PAGE), (3 * PAGE, 2 * PAGE)]
        {
            let bad = Iommu::create(&root, &memory, translating(size, contiguity));
            assert_eq!(bad.err(), Some(Error::InvalidArgs), "{size} {contiguity}");
        }
        let iommu = Iommu::create(&root, &memory, translating(8 * PAGE, 4 * PAGE)).unwrap();
        assert_eq!((iommu.address_space(), iommu.minimum_contiguity()), (8 * PAGE, 4 * PAGE));
        assert!(iommu.knows(0xffff) && !iommu.knows(0x1_0000));
        let dummy = Iommu::create(&root, &memory, IommuDescriptor::Dummy).unwrap();
        assert_eq!((dummy.address_space(), dummy.minimum_contiguity()), (u64::MAX, PAGE));
        assert!(dummy.knows(u64::MAX));
    }

    #[test]
    fn the_dummy_keeps_devices_from_nothing_but_what_is_not_memory() {
        let memory = memory();
        let root = ResourceSpace::new().root();
        // The space is gone, and with it nothing that an IOMMU needs.
        let dummy = Iommu::create(&root, &memory, IommuDescriptor::Dummy).unwrap();
        let extent = memory.allocate(PAGE_SIZE).unwrap();
        assert_eq!(dummy.dma_write(1, extent.base().0, b"here"), Ok(()));
        let mut seen = [0; 4];
        assert_eq!(dummy.dma_read(2, extent.base().0, &mut seen), Ok(()));
        assert_eq!(&seen, b"here");
        for address in [memory.size() - 3, memory.size(), u64::MAX - 1] {
            assert_eq!(dummy.dma_read(1, address, &mut seen), Err(Error::NotFound));
        }
        assert_eq!(dummy.dma_read(1, memory.size() - 4, &mut seen), Ok(()));
    }

    #[test]
    fn a_device_reaches_scattered_pages_in_a_row_and_nothing_else() {
        let memory = memory();
        let root = ResourceSpace::new().root();
        let iommu = Iommu::create(&root, &memory, translating(1 << 20, PAGE)).unwrap();
        let extents: Vec<_> = (0..5).map(|_| memory.allocate(PAGE_SIZE).unwrap()).collect();
        let pages = [4, 0, 2].map(|i: usize| (extents[i].base(), PAGE));
        let both = PinOptions::READ | PinOptions::WRITE;
        let [(at, len)] = iommu.grant(5, pages.to_vec(), both).unwrap()[..] else { panic!() };
        assert_eq!(len, 3 * PAGE);
        let text: Vec<u8> = (0..2 * PAGE).map(|i| (i % 251) as u8).collect();
        assert_eq!(iommu.dma_write(5, at + PAGE / 2, &text), Ok(()));
        let mut seen = vec![0; text.len()];
        assert_eq!(iommu.dma_read(5, at + PAGE / 2, &mut seen), Ok(()));
        assert_eq!(seen, text);
        let mut middle = vec![0; PAGE_SIZE];
        memory.read(pages[1].0, &mut middle);
        assert_eq!(middle, text[PAGE_SIZE / 2..PAGE_SIZE / 2 + PAGE_SIZE]);
        for (device, address, len) in [
            (5, at - 1, 2),
            (5, at + 3 * PAGE - 1, 2),
            (5, at + 3 * PAGE, 1),
            (4, at, 1),
            (6, at, 1),
        ] {
            let result = iommu.dma_read(device, address, &mut seen[..len]);
            assert_eq!(result, Err(Error::NotFound), "{device} {address}");
        }
        assert_eq!(iommu.dma_read(5, at + 3 * PAGE - 1, &mut seen[..1]), Ok(()));
    }

    #[test]
    fn permissions_are_each_for_itself() {
        let memory = memory();
        let root = ResourceSpace::new().root();
        let iommu = Iommu::create(&root, &memory, translating(1 << 20, PAGE)).unwrap();
        let extent = memory.allocate(PAGE_SIZE).unwrap();
        let grant =
            |permissions| iommu.grant(1, vec![(extent.base(), PAGE)], permissions).unwrap()[0].0;
        let (read, write) = (grant(PinOptions::READ), grant(PinOptions::WRITE));
        assert_eq!(iommu.dma_write(1, read, &[1]), Err(Error::AccessDenied));
        assert_eq!(iommu.dma_read(1, write, &mut [0]), Err(Error::AccessDenied));
        assert_eq!(iommu.dma_write(1, write, &[9]), Ok(()));
        let mut seen = [0];
        assert_eq!((iommu.dma_read(1, read, &mut seen), seen), (Ok(()), [9]));
    }

    #[test]
    fn addresses_are_aligned_found_again_and_run_out() {
        let memory = memory();
        let root = ResourceSpace::new().root();
        let iommu = Iommu::create(&root, &memory, translating(8 * PAGE, 2 * PAGE)).unwrap();
        let extent = memory.allocate(8 * PAGE_SIZE).unwrap();
        let grant = |device, pages| {
            let granted =
                iommu.grant(device, vec![(extent.base(), pages * PAGE)], PinOptions::READ);
            granted.map(|runs| runs[0].0 / PAGE)
        };
        assert_eq!((grant(1, 1), grant(1, 1), grant(1, 2)), (Ok(2), Ok(4), Ok(6)));
        assert_eq!(grant(1, 1), Err(Error::Unavailable));
        assert_eq!(grant(2, 6), Ok(2), "each device has its own");
        iommu.revoke(1, 4 * PAGE);
        assert_eq!(grant(1, 3), Err(Error::Unavailable));
        assert_eq!(grant(1, 2), Ok(4));
    }
}
