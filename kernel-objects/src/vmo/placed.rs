//! VMOs that lie in one piece of physical memory from the start: contiguous ones and physical ones.
//!
//! A *contiguous* VMO is ordinary memory whose pages are neighbours, all there and never given back, for a device that cannot
//! gather. A *physical* VMO is a window on what lies at a physical address already, the registers or the memory of a device; the
//! right to name that address comes from a [`Resource`]. Both hand out addresses that never change, and neither can have
//! snapshots, since what a device writes could not be kept out of them.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use hal::pmem::{Extent, PhysicalMemory};

use super::{Kind, PAGE, PageRun, Vmo, VmoOptions, round_up};
use crate::{
    error::{Error, Result},
    resource::{Resource, ResourceKind},
};

/// Where a contiguous or physical VMO is.
pub(super) struct Placed {
    extent: Arc<Extent>,
    /// Where in the extent the VMO begins.
    offset: u64,
    /// It is a window on a device's memory, not memory of its own.
    physical: bool,
    cache_policy: AtomicU32,
}

impl Placed {
    /// The run of `range`, offsets in the VMO.
    pub(super) fn run(&self, range: std::ops::Range<u64>) -> PageRun {
        let pa = self.extent.base().offset(self.offset + range.start);
        let len = range.end - range.start;
        PageRun { offset: range.start, pa, len, writable: true, warm: false }
    }
}

/// How the processor is to cache what a VMO holds: `ZX_CACHE_POLICY_*`.
///
/// The memory behind every VMO is the host's and cached; the policy is recorded, and decides what may be done with the VMO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum CachePolicy {
    /// As ordinary memory.
    Cached = 0,
    /// Not at all.
    Uncached = 1,
    /// Not at all, and in the order in which it is accessed, as registers of a device.
    UncachedDevice = 2,
    /// Not at all, but writes may be put together.
    WriteCombining = 3,
}

impl CachePolicy {
    const ALL: [Self; 4] =
        [Self::Cached, Self::Uncached, Self::UncachedDevice, Self::WriteCombining];

    /// The policy with this number.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`].
    pub fn from_raw(raw: u32) -> Result<Self> {
        Self::ALL.into_iter().find(|&policy| policy as u32 == raw).ok_or(Error::InvalidArgs)
    }
}

impl Vmo {
    /// Creates memory of `size` bytes, rounded up to pages, which reads as zero and lies in one piece from a multiple of
    /// 2^`alignment_log2` on (`zx_vmo_create_contiguous`); 0 is the alignment of a page. All of it counts against the limit.
    ///
    /// ```
    /// use hal::pmem::PhysicalMemory;
    /// use kernel_objects::Vmo;
    ///
    /// let memory = PhysicalMemory::new(None).unwrap();
    /// let ring = Vmo::create_contiguous(&memory, 0x3000, 16).unwrap();
    /// let [(address, len)] = ring.pin(0, 0x3000).unwrap().runs()[..] else { panic!() };
    /// assert!(address.0 % 0x10000 == 0 && len == 0x3000);
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] if `size` is 0 or the alignment is below a page's or no power of two of 64 bits,
    /// [`Error::OutOfRange`] if `size` is absurd, [`Error::NoMemory`] if no piece is large enough, or the limit would be passed.
    pub fn create_contiguous(
        memory: &Arc<PhysicalMemory>,
        size: u64,
        alignment_log2: u32,
    ) -> Result<Arc<Self>> {
        let align = match alignment_log2 {
            0 => PAGE,
            log2 => 1u64.checked_shl(log2).ok_or(Error::InvalidArgs)?,
        };
        if size == 0 || align < PAGE {
            return Err(Error::InvalidArgs);
        }
        let len = usize::try_from(round_up(size)?).map_err(|_| Error::NoMemory)?;
        let charge = memory.charge(len as u64).map_err(|_| Error::NoMemory)?;
        let extent = memory.allocate_aligned(len, align).map_err(|_| Error::NoMemory)?;
        let vmo = Self::place(memory, Arc::new(extent), 0, size, false)?;
        vmo.contents.write().charge = Some(charge);
        Ok(vmo)
    }

    /// Creates a window on `size` bytes of a device's memory from the physical address `base` on, to which `resource` gives the
    /// right (`zx_vmo_create_physical`). The device's memory is kept while the window exists.
    ///
    /// ```
    /// use hal::pmem::{PAGE_SIZE, PhysicalMemory};
    /// use kernel_objects::{Error, Vmo, resource::ResourceSpace};
    ///
    /// let (memory, machine) = (PhysicalMemory::new(None).unwrap(), ResourceSpace::new());
    /// let registers = machine.add_device_memory(memory.allocate(PAGE_SIZE).unwrap());
    /// let base = registers.base().0;
    /// let window = Vmo::create_physical(&machine.root(), base, 0x1000).unwrap();
    /// assert!(window.is_physical());
    /// let elsewhere = Vmo::create_physical(&machine.root(), base + 0x1000, 0x1000);
    /// assert_eq!(elsewhere.err(), Some(Error::OutOfRange));
    /// ```
    ///
    /// # Errors
    /// [`Error::WrongType`] if the resource is not one of addresses, [`Error::AccessDenied`] if the range is not all in it,
    /// [`Error::InvalidArgs`] if `base` or `size` is not a page multiple or `size` is 0, [`Error::OutOfRange`] if the machine has no
    /// [device's memory](crate::resource::ResourceSpace::add_device_memory) there.
    pub fn create_physical(resource: &Resource, base: u64, size: u64) -> Result<Arc<Self>> {
        match resource.validate(ResourceKind::Mmio, base, size) {
            Err(Error::OutOfRange) => return Err(Error::AccessDenied),
            result => result?,
        }
        if !base.is_multiple_of(PAGE) || !size.is_multiple_of(PAGE) || size == 0 {
            return Err(Error::InvalidArgs);
        }
        let extent = resource.device_memory(base, size).ok_or(Error::OutOfRange)?;
        let (memory, offset) = (extent.memory().clone(), base - extent.base().0);
        Self::place(&memory, extent, offset, size, true)
    }

    fn place(
        memory: &Arc<PhysicalMemory>,
        extent: Arc<Extent>,
        offset: u64,
        size: u64,
        physical: bool,
    ) -> Result<Arc<Self>> {
        let cache_policy = AtomicU32::new(CachePolicy::Cached as u32);
        let placed = Placed { extent, offset, physical, cache_policy };
        let kind = Kind::Placed(Box::new(placed));
        Ok(Arc::new(Vmo::new(memory, size, VmoOptions::default(), kind)?))
    }

    /// What it is, or is a slice of, that is in one place.
    fn placed(&self) -> Option<&Placed> {
        match &self.owner().0.kind {
            Kind::Placed(placed) => Some(placed),
            _ => None,
        }
    }

    /// Where a [contiguous](Self::create_contiguous) VMO is; `None` for others, and for slices of one.
    #[must_use]
    pub fn extent(&self) -> Option<&Arc<Extent>> {
        match &self.kind {
            Kind::Placed(placed) if !placed.physical => Some(&placed.extent),
            _ => None,
        }
    }

    /// Whether it lies in one piece of physical memory, being contiguous or physical, or a slice of such a one.
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        self.placed().is_some()
    }

    /// Whether it is a window on a device's memory, or a slice of one.
    #[must_use]
    pub fn is_physical(&self) -> bool {
        self.placed().is_some_and(|placed| placed.physical)
    }

    /// How it is to be cached.
    #[must_use]
    pub fn cache_policy(&self) -> CachePolicy {
        let raw = self.placed().map(|placed| placed.cache_policy.load(Ordering::Acquire));
        raw.and_then(|raw| CachePolicy::from_raw(raw).ok()).unwrap_or(CachePolicy::Cached)
    }

    /// Says how a contiguous or physical VMO is to be cached (`zx_vmo_set_cache_policy`).
    ///
    /// # Errors
    /// [`Error::BadState`] if it is a child or has children, is mapped or pinned; [`Error::NotSupported`] if it holds no physical
    /// memory of its own.
    pub fn set_cache_policy(&self, policy: CachePolicy) -> Result {
        if self.behind().is_some() || self.children() > 0 || self.is_mapped() {
            return Err(Error::BadState);
        }
        let Kind::Placed(placed) = &self.kind else { return Err(Error::NotSupported) };
        if self.is_pinned(0..self.size()) {
            return Err(Error::BadState);
        }
        placed.cache_policy.store(policy as u32, Ordering::Release);
        Ok(())
    }

    /// Checks that the kernel may read and write its bytes for a user.
    ///
    /// # Errors
    /// [`Error::NotSupported`] for a window on a device, [`Error::BadState`] if it is not cached.
    pub(super) fn check_direct(&self) -> Result {
        match self.placed() {
            Some(placed) if placed.physical => Err(Error::NotSupported),
            Some(_) if self.cache_policy() != CachePolicy::Cached => Err(Error::BadState),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use hal::{
        aspace::{AddressSpace, Prot},
        pmem::PAGE_SIZE,
    };

    use super::*;
    use crate::{
        resource::{ResourceOptions, ResourceSpace},
        vmar::{MapArgs, Vmar},
        vmo::{ChildOptions, RangeOp},
    };

    fn memory() -> Arc<PhysicalMemory> {
        PhysicalMemory::new(None).unwrap()
    }

    /// A machine with a device that has four pages, and their address.
    fn machine(memory: &Arc<PhysicalMemory>) -> (Arc<ResourceSpace>, u64) {
        let machine = ResourceSpace::new();
        let base = machine.add_device_memory(memory.allocate(4 * PAGE_SIZE).unwrap()).base().0;
        (machine, base)
    }

    #[test]
    fn a_contiguous_one_is_one_aligned_piece_of_zeroes() {
        let memory = memory();
        let _other = memory.allocate(PAGE_SIZE).unwrap();
        for (size, log2) in [(1, 0), (PAGE, 12), (5 * PAGE, 14), (3 * PAGE, 20)] {
            let vmo = Vmo::create_contiguous(&memory, size, log2).unwrap();
            let rounded = size.next_multiple_of(PAGE);
            assert_eq!((vmo.size(), vmo.content_size()), (rounded, size));
            let runs = vmo.pin(0, rounded).unwrap().runs();
            assert_eq!(runs.len(), 1);
            assert!(runs[0].0.0.is_multiple_of(1 << log2), "{runs:?}");
            let mut bytes = vec![1; size as usize];
            assert_eq!(vmo.read(0, &mut bytes), Ok(()));
            assert!(bytes.iter().all(|&byte| byte == 0));
            assert!(vmo.is_contiguous() && !vmo.is_physical());
        }
    }

    #[test]
    fn a_contiguous_one_must_be_possible() {
        let memory = PhysicalMemory::new(Some(4 * PAGE)).unwrap();
        let create = |size, log2| Vmo::create_contiguous(&memory, size, log2);
        let error = |size, log2| create(size, log2).err();
        assert_eq!(error(0, 0), Some(Error::InvalidArgs));
        for log2 in [1, 11, 64, u32::MAX] {
            assert_eq!(error(PAGE, log2), Some(Error::InvalidArgs), "{log2}");
        }
        assert_eq!(error(u64::MAX, 0), Some(Error::OutOfRange));
        assert_eq!(error(5 * PAGE, 0), Some(Error::NoMemory));
        assert_eq!(error(PAGE, 63), Some(Error::NoMemory));
        assert_eq!(memory.charged(), 0);
        let vmo = create(4 * PAGE, 0);
        assert_eq!((memory.charged(), error(PAGE, 0)), (4 * PAGE, Some(Error::NoMemory)));
        drop(vmo);
        assert_eq!((memory.charged(), memory.allocated()), (0, 0));
    }

    #[test]
    fn pages_of_a_contiguous_one_are_never_given_back() {
        let vmo = Vmo::create_contiguous(&memory(), 2 * PAGE, 0).unwrap();
        vmo.write(0, &[7; 2 * PAGE_SIZE]).unwrap();
        assert_eq!(vmo.op_range(RangeOp::Decommit, 0, PAGE), Err(Error::NotSupported));
        assert_eq!(vmo.op_range(RangeOp::Commit, 0, PAGE), Ok(()));
        assert_eq!(vmo.op_range(RangeOp::Zero, 0, PAGE), Ok(()));
        let mut bytes = [1; 2 * PAGE_SIZE];
        assert_eq!(vmo.read(0, &mut bytes), Ok(()));
        assert_eq!((bytes[0], bytes[PAGE_SIZE]), (0, 7));
        assert_eq!(vmo.set_size(PAGE), Err(Error::Unavailable));
    }

    #[test]
    fn neither_has_snapshots_but_both_have_slices() {
        let memory = memory();
        let (machine, base) = machine(&memory);
        let physical = Vmo::create_physical(&machine.root(), base, 2 * PAGE).unwrap();
        let contiguous = Vmo::create_contiguous(&memory, 2 * PAGE, 0).unwrap();
        for vmo in [physical, contiguous] {
            let slice = vmo.create_child(ChildOptions::SLICE, PAGE, PAGE).unwrap();
            for parent in [&vmo, &slice] {
                let snapshot = parent.create_child(ChildOptions::SNAPSHOT, 0, PAGE);
                assert_eq!(snapshot.err(), Some(Error::NotSupported));
            }
            assert_eq!(slice.is_physical(), vmo.is_physical());
            assert!(slice.is_contiguous());
            let whole = vmo.pin(0, 2 * PAGE).unwrap().runs()[0].0;
            assert_eq!(slice.pin(0, PAGE).unwrap().runs(), [(whole.offset(PAGE), PAGE)]);
            assert_eq!(slice.op_range(RangeOp::Decommit, 0, PAGE), Err(Error::NotSupported));
        }
    }

    #[test]
    fn a_window_needs_the_right_to_a_devices_whole_pages() {
        let memory = memory();
        let (machine, base) = machine(&memory);
        let options = ResourceOptions::shared(ResourceKind::Mmio);
        let two = Resource::create(&machine.root(), options, base + PAGE, 2 * PAGE, "").unwrap();
        let error = |base, size| Vmo::create_physical(&two, base, size).err();
        assert_eq!(error(base + PAGE, 2 * PAGE), None);
        for (base, size) in [(base, PAGE), (base + PAGE, 3 * PAGE), (base + PAGE, u64::MAX)] {
            assert_eq!(error(base, size), Some(Error::AccessDenied));
        }
        for (base, size) in [(base + PAGE + 8, PAGE), (base + PAGE, 8), (base + PAGE, 0)] {
            assert_eq!(error(base, size), Some(Error::InvalidArgs));
        }
        let irq = machine.ranged_root(ResourceKind::Irq, "").unwrap();
        let wrong = Vmo::create_physical(&irq, base, PAGE);
        assert_eq!(wrong.err(), Some(Error::WrongType));
        let root = machine.root();
        for (base, size) in [(0, PAGE), (base - PAGE, 2 * PAGE), (base + 3 * PAGE, 2 * PAGE)] {
            let beside = Vmo::create_physical(&root, base, size);
            assert_eq!(beside.err(), Some(Error::OutOfRange), "no device is there");
        }
    }

    #[test]
    fn a_window_shows_the_device_to_who_maps_it_and_to_nobody_else() {
        let memory = memory();
        let (machine, base) = machine(&memory);
        let window = Vmo::create_physical(&machine.root(), base + PAGE, PAGE).unwrap();
        assert_eq!(window.read(0, &mut [0]), Err(Error::NotSupported));
        assert_eq!(window.write(0, &[0]), Err(Error::NotSupported));
        for op in [RangeOp::Commit, RangeOp::Decommit, RangeOp::Zero] {
            assert_eq!(window.op_range(op, 0, PAGE), Err(Error::NotSupported));
        }
        let vmar = Vmar::create_root(&AddressSpace::new(&memory).unwrap()).unwrap();
        let rw = Prot::READ.union(Prot::WRITE);
        let at = vmar.map(MapArgs { perms: rw, ..MapArgs::new(window.clone(), PAGE) }).unwrap();
        vmar.write(at + 4, b"command").unwrap();
        let mut seen = [0; 7];
        memory.read(hal::pmem::PhysAddr(base + PAGE + 4), &mut seen);
        assert_eq!(&seen, b"command");
    }

    #[test]
    fn a_devices_memory_lives_as_long_as_a_window_on_it() {
        let memory = memory();
        let (machine, base) = machine(&memory);
        let window = Vmo::create_physical(&machine.root(), base, PAGE).unwrap();
        drop(machine);
        assert_eq!(memory.allocated(), 4 * PAGE);
        drop(window);
        assert_eq!(memory.allocated(), 0);
    }

    #[test]
    fn a_cache_policy_is_one_of_four() {
        for (raw, policy) in CachePolicy::ALL.into_iter().enumerate() {
            assert_eq!(CachePolicy::from_raw(raw as u32), Ok(policy));
        }
        assert_eq!(CachePolicy::from_raw(4), Err(Error::InvalidArgs));
    }

    #[test]
    fn a_cache_policy_is_for_unused_physical_memory() {
        let memory = memory();
        let set = |vmo: &Vmo| vmo.set_cache_policy(CachePolicy::UncachedDevice);
        let plain = Vmo::create(&memory, PAGE, VmoOptions::default()).unwrap();
        assert_eq!(
            (set(&plain), plain.cache_policy()),
            (Err(Error::NotSupported), CachePolicy::Cached)
        );

        let vmo = Vmo::create_contiguous(&memory, 2 * PAGE, 0).unwrap();
        let slice = vmo.create_child(ChildOptions::SLICE, 0, PAGE).unwrap();
        assert_eq!((set(&vmo), set(&slice)), (Err(Error::BadState), Err(Error::BadState)));
        drop(slice);
        let pin = vmo.pin(PAGE, PAGE).unwrap();
        assert_eq!(set(&vmo), Err(Error::BadState));
        drop(pin);
        let vmar = Vmar::create_root(&AddressSpace::new(&memory).unwrap()).unwrap();
        let at = vmar.map(MapArgs::new(vmo.clone(), PAGE)).unwrap();
        assert_eq!(set(&vmo), Err(Error::BadState));
        vmar.unmap(at, PAGE).unwrap();
        assert_eq!(vmo.read(0, &mut [0]), Ok(()));
        assert_eq!((set(&vmo), vmo.cache_policy()), (Ok(()), CachePolicy::UncachedDevice));
        assert_eq!(vmo.read(0, &mut [0]), Err(Error::BadState));
        assert_eq!(vmo.write(0, &[0]), Err(Error::BadState));
        assert_eq!(vmo.set_cache_policy(CachePolicy::Cached), Ok(()));
        assert_eq!(vmo.write(0, &[0]), Ok(()));
    }
}
