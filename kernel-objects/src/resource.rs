//! Resources: the right to name hardware.
//!
//! A [`Resource`] stands for a range of physical addresses, of interrupt numbers, of I/O ports or of some other kind;
//! whoever holds a handle to one may ask the kernel for the objects that touch that hardware. From a resource smaller ones of its
//! kind are made, to be given away; everything begins with the root resource, which may do anything.
//!
//! A [`ResourceSpace`] is what there is of each kind on one machine. It knows every resource made from it as long as that
//! exists, so that an *exclusive* one overlaps no other.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::{Arc, OnceLock, Weak},
};

use hal::pmem::Extent;
use parking_lot::Mutex;

use crate::{
    error::{Error, Result},
    msi::MsiController,
    object::{KObjectBase, KernelObject, Koid, ObjectType},
    signals::Signals,
};

/// What a resource is about: `ZX_RSRC_KIND_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum ResourceKind {
    /// Physical addresses.
    Mmio = 0,
    /// Interrupt numbers.
    Irq = 1,
    /// I/O ports.
    IoPort = 2,
    /// All of it.
    Root = 3,
    /// Calls to secure firmware.
    Smc = 4,
    /// Parts of the system, by numbers of their own.
    System = 5,
}

impl ResourceKind {
    const ALL: [Self; 6] =
        [Self::Mmio, Self::Irq, Self::IoPort, Self::Root, Self::Smc, Self::System];

    /// The kind with this number.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`].
    pub fn from_raw(raw: u32) -> Result<Self> {
        Self::ALL.into_iter().find(|&kind| kind as u32 == raw).ok_or(Error::InvalidArgs)
    }

    /// What there is of it on an ordinary machine.
    fn all(self) -> Range<u64> {
        match self {
            Self::Mmio => 0..u64::MAX,
            Self::Irq => 0..1 << 32,
            Self::IoPort | Self::Smc | Self::System => 0..1 << 16,
            Self::Root => 0..0,
        }
    }
}

/// Parts of the system, each of them one number of a resource of kind [`ResourceKind::System`]: `ZX_RSRC_SYSTEM_*_BASE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum SystemBase {
    /// Virtual machines.
    Hypervisor = 0,
    /// Making memory executable.
    Vmex = 1,
    /// Debugging the kernel.
    Debug = 2,
    /// Reading what the system does.
    Info = 3,
    /// CPUs.
    Cpu = 4,
    /// Switching the machine off.
    Power = 5,
    /// Starting another kernel.
    Mexec = 6,
    /// Reading how much energy is used.
    EnergyInfo = 7,
    /// IOMMUs.
    Iommu = 8,
    /// The boot loader's picture.
    Framebuffer = 9,
    /// Profiles.
    Profile = 10,
    /// Message-signalled interrupts.
    Msi = 11,
    /// The debug log.
    DebugLog = 12,
    /// How long threads wait for memory.
    Stall = 13,
    /// Tracing the kernel.
    Tracing = 14,
    /// Sampling threads.
    Sampling = 15,
}

/// How a resource is made: its kind in the low half, flags in the high one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceOptions {
    /// What it is about.
    pub kind: ResourceKind,
    /// No other may overlap it: `ZX_RSRC_FLAG_EXCLUSIVE`.
    pub exclusive: bool,
}

impl ResourceOptions {
    const EXCLUSIVE: u32 = 0x10000;

    /// Options that others may share the range with.
    pub fn shared(kind: ResourceKind) -> Self {
        ResourceOptions { kind, exclusive: false }
    }

    /// Options that keep others away.
    pub fn exclusive(kind: ResourceKind) -> Self {
        ResourceOptions { kind, exclusive: true }
    }

    /// The options with this number.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for an unknown kind or flag.
    pub fn from_raw(raw: u32) -> Result<Self> {
        let kind = ResourceKind::from_raw(raw & 0xffff)?;
        match raw & !0xffff {
            0 => Ok(Self::shared(kind)),
            Self::EXCLUSIVE => Ok(Self::exclusive(kind)),
            _ => Err(Error::InvalidArgs),
        }
    }
}

/// What a resource is: `zx_info_resource_t`, but for the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceInfo {
    /// Its kind and whether it is exclusive.
    pub options: ResourceOptions,
    /// The first of its range.
    pub base: u64,
    /// How many there are; 0 in a resource for all of its kind.
    pub size: u64,
}

/// What there is of each kind on one machine.
pub struct ResourceSpace {
    this: Weak<ResourceSpace>,
    /// Those that exist and have a range, by koid.
    ranges: Mutex<BTreeMap<Koid, (ResourceOptions, Range<u64>)>>,
    /// Memory of devices, by its physical address.
    devices: Mutex<BTreeMap<u64, Arc<Extent>>>,
    msi: OnceLock<Arc<MsiController>>,
}

impl ResourceSpace {
    /// A space in which nothing has been handed out.
    pub fn new() -> Arc<ResourceSpace> {
        Arc::new_cyclic(|this| ResourceSpace {
            this: this.clone(),
            ranges: Mutex::default(),
            devices: Mutex::default(),
            msi: OnceLock::new(),
        })
    }

    /// The resource that may do anything.
    pub fn root(&self) -> Arc<Resource> {
        let options = ResourceOptions::shared(ResourceKind::Root);
        self.make(ResourceInfo { options, base: 0, size: 0 }, "root")
    }

    /// A resource for all there is of a kind.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] for [`ResourceKind::Root`], which has no range.
    pub fn ranged_root(&self, kind: ResourceKind, name: &str) -> Result<Arc<Resource>> {
        if kind == ResourceKind::Root {
            return Err(Error::WrongType);
        }
        let options = ResourceOptions::shared(kind);
        Ok(self.make(ResourceInfo { options, base: 0, size: 0 }, name))
    }

    /// Says that `extent` is a device's: its registers, or memory of its own. Physical VMOs can be made of it, and of nothing
    /// else, for as long as the machine exists.
    pub fn add_device_memory(&self, extent: impl Into<Arc<Extent>>) -> Arc<Extent> {
        let extent = extent.into();
        self.devices.lock().insert(extent.base().0, extent.clone());
        extent
    }

    /// Gives the machine message-signalled interrupts; `None` if it has them already.
    pub fn set_msi_controller(&self, controller: Arc<MsiController>) -> Option<Arc<MsiController>> {
        self.msi.set(controller.clone()).ok().map(|()| controller)
    }

    /// What its devices send messages to, if there is such a thing.
    pub(crate) fn msi_controller(&self) -> Option<Arc<MsiController>> {
        self.msi.get().cloned()
    }

    fn make(&self, info: ResourceInfo, name: &str) -> Arc<Resource> {
        Arc::new(Resource {
            base: KObjectBase::with(name, Signals::empty()),
            info,
            space: self.this.clone(),
        })
    }

    /// Enters a range, if it is there and nobody has it who would not share it.
    fn reserve(&self, info: ResourceInfo, name: &str) -> Result<Arc<Resource>> {
        let ResourceInfo { options, base, size } = info;
        let end = base.checked_add(size).filter(|_| size > 0).ok_or(Error::InvalidArgs)?;
        if end > options.kind.all().end {
            return Err(Error::NotFound);
        }
        let mut ranges = self.ranges.lock();
        let conflict = ranges.values().any(|(other, range)| {
            let overlap = other.kind == options.kind && base < range.end && range.start < end;
            overlap && (options.exclusive || other.exclusive)
        });
        if conflict {
            return Err(Error::NotFound);
        }
        let resource = self.make(info, name);
        ranges.insert(resource.koid(), (options, base..end));
        Ok(resource)
    }
}

impl fmt::Debug for ResourceSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceSpace").field("ranges", &self.ranges.lock()).finish()
    }
}

/// A right to name hardware (`zx_resource_create`).
///
/// ```
/// use kernel_objects::{Error, Resource};
/// use kernel_objects::resource::{ResourceKind, ResourceOptions, ResourceSpace};
///
/// let machine = ResourceSpace::new();
/// let options = ResourceOptions::exclusive(ResourceKind::Mmio);
/// let uart = Resource::create(&machine.root(), options, 0x1000, 0x100, "uart").unwrap();
/// assert!(uart.validate(ResourceKind::Mmio, 0x1010, 8).is_ok());
/// assert_eq!(uart.validate(ResourceKind::Mmio, 0x10ff, 2), Err(Error::OutOfRange));
/// // Nobody else gets it meanwhile.
/// let again = Resource::create(&machine.root(), options, 0x1080, 1, "thief");
/// assert_eq!(again.err(), Some(Error::NotFound));
/// ```
pub struct Resource {
    base: KObjectBase,
    info: ResourceInfo,
    space: Weak<ResourceSpace>,
}

impl Resource {
    /// A resource for `size` of a kind from `base` on, by the right that `parent` gives.
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] if `parent` is neither the root nor one of that kind with that range in it.
    /// [`Error::InvalidArgs`] for a range that is empty or passes the end of numbers, and for one that is not empty of
    /// [`ResourceKind::Root`], or if that is to be exclusive. [`Error::NotFound`] if the machine has no such range, if another resource has a part of it
    /// exclusively, or if this one is to be exclusive and another has a part of it; so has `parent`, unless it is for all of
    /// its kind.
    pub fn create(
        parent: &Resource,
        options: ResourceOptions,
        base: u64,
        size: u64,
        name: &str,
    ) -> Result<Arc<Resource>> {
        let space = parent.space()?;
        let info = ResourceInfo { options, base, size };
        if options.kind == ResourceKind::Root {
            parent.permits(ResourceKind::Root, 0, 0).map_err(|_| Error::AccessDenied)?;
            if base != 0 || size != 0 || options.exclusive {
                return Err(Error::InvalidArgs);
            }
            return Ok(space.make(info, name));
        }
        parent.permits(options.kind, base, size).map_err(|_| Error::AccessDenied)?;
        space.reserve(info, name)
    }

    /// What it is (`ZX_INFO_RESOURCE`).
    pub fn info(&self) -> ResourceInfo {
        self.info
    }

    /// The machine that it is of.
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if that is gone.
    pub(crate) fn space(&self) -> Result<Arc<ResourceSpace>> {
        self.space.upgrade().ok_or(Error::BadState)
    }

    /// The memory of a device that has all of `size` bytes from `base` on.
    pub(crate) fn device_memory(&self, base: u64, size: u64) -> Option<Arc<Extent>> {
        let space = self.space.upgrade()?;
        let devices = space.devices.lock();
        let (start, extent) = devices.range(..=base).next_back()?;
        let end = (base - start).checked_add(size)?;
        (end <= extent.len()).then(|| extent.clone())
    }

    fn permits(&self, kind: ResourceKind, base: u64, size: u64) -> Result {
        let own = &self.info;
        if own.options.kind == ResourceKind::Root {
            return Ok(());
        }
        if own.options.kind != kind {
            return Err(Error::WrongType);
        }
        if own.size == 0 {
            return Ok(());
        }
        let from_start = base.checked_sub(own.base);
        let end = from_start.and_then(|offset| offset.checked_add(size));
        if end.is_some_and(|end| end <= own.size) { Ok(()) } else { Err(Error::OutOfRange) }
    }

    /// Checks that it gives the right to a part of the system, as the root resource does.
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] if it does not.
    pub fn validate_system(&self, base: SystemBase) -> Result {
        self.validate(ResourceKind::System, base as u64, 1).map_err(|_| Error::AccessDenied)
    }

    /// Checks that it gives the right to `size` of a kind from `base` on.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] if it is of another kind, [`Error::OutOfRange`] if not all of the range is in its own, or the machine
    /// has not so much.
    pub fn validate(&self, kind: ResourceKind, base: u64, size: u64) -> Result {
        self.permits(kind, base, size)?;
        let end = base.checked_add(size).ok_or(Error::OutOfRange)?;
        if end <= kind.all().end { Ok(()) } else { Err(Error::OutOfRange) }
    }
}

impl KernelObject for Resource {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Resource
    }
}

impl Drop for Resource {
    fn drop(&mut self) {
        if let Some(space) = self.space.upgrade() {
            space.ranges.lock().remove(&self.base.koid());
        }
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource").field("base", &self.base).field("info", &self.info).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MMIO: ResourceOptions = ResourceOptions { kind: ResourceKind::Mmio, exclusive: false };
    const EXCLUSIVE: ResourceOptions =
        ResourceOptions { kind: ResourceKind::Mmio, exclusive: true };
    const ROOT: ResourceOptions = ResourceOptions { kind: ResourceKind::Root, exclusive: false };

    fn error<T>(result: Result<T>) -> Option<Error> {
        result.err()
    }

    #[test]
    fn options_are_a_kind_and_a_flag() {
        for kind in ResourceKind::ALL {
            let raw = kind as u32;
            assert_eq!(ResourceOptions::from_raw(raw), Ok(ResourceOptions::shared(kind)));
            let exclusive = ResourceOptions::from_raw(raw | 0x10000);
            assert_eq!(exclusive, Ok(ResourceOptions::exclusive(kind)));
        }
        for bad in [6, 0x20000, 0x30001, u32::MAX] {
            assert_eq!(ResourceOptions::from_raw(bad), Err(Error::InvalidArgs));
        }
    }

    #[test]
    fn a_resource_is_what_it_was_made_as() {
        let space = ResourceSpace::new();
        let long = "a name of far more than thirty-one bytes";
        let resource = Resource::create(&space.root(), EXCLUSIVE, 16, 32, long).unwrap();
        assert_eq!(resource.info(), ResourceInfo { options: EXCLUSIVE, base: 16, size: 32 });
        assert_eq!(resource.name(), &long[..31]);
    }

    #[test]
    fn children_stay_within_the_kind_and_range_of_their_parent() {
        let space = ResourceSpace::new();
        let parent = Resource::create(&space.root(), MMIO, 100, 50, "p").unwrap();
        let create =
            |options, base, size| error(Resource::create(&parent, options, base, size, "c"));
        for (base, size) in [(100, 50), (120, 1), (149, 1)] {
            assert_eq!(create(MMIO, base, size), None);
        }
        for (base, size) in [(99, 1), (99, 51), (100, 51), (149, 2), (150, 1), (120, u64::MAX)] {
            assert_eq!(create(MMIO, base, size), Some(Error::AccessDenied), "{base} {size}");
        }
        let other = ResourceOptions::shared(ResourceKind::Irq);
        assert_eq!(create(other, 100, 1), Some(Error::AccessDenied));
        assert_eq!(create(ROOT, 0, 0), Some(Error::AccessDenied));
        assert_eq!(create(MMIO, 100, 0), Some(Error::InvalidArgs));
        let all = space.ranged_root(ResourceKind::Mmio, "all").unwrap();
        assert_eq!(error(Resource::create(&all, MMIO, 1 << 40, 1, "")), None);
        assert_eq!(error(Resource::create(&all, other, 0, 1, "")), Some(Error::AccessDenied));
        assert_eq!(error(space.ranged_root(ResourceKind::Root, "")), Some(Error::WrongType));
    }

    #[test]
    fn the_root_makes_everything_and_has_no_range() {
        let space = ResourceSpace::new();
        let root = space.root();
        let create = |options, base, size| error(Resource::create(&root, options, base, size, ""));
        for kind in [ResourceKind::Mmio, ResourceKind::Irq, ResourceKind::IoPort] {
            assert_eq!(create(ResourceOptions::shared(kind), 1, 1), None);
        }
        assert_eq!(create(ROOT, 0, 0), None);
        assert_eq!(create(ROOT, 1, 0), Some(Error::InvalidArgs));
        assert_eq!(create(ROOT, 0, 1), Some(Error::InvalidArgs));
        let exclusive = ResourceOptions::exclusive(ResourceKind::Root);
        assert_eq!(create(exclusive, 0, 0), Some(Error::InvalidArgs));
        assert_eq!(create(MMIO, u64::MAX, 2), Some(Error::InvalidArgs));
        let ports = ResourceOptions::shared(ResourceKind::IoPort);
        assert_eq!(create(ports, 65_535, 1), None);
        assert_eq!(create(ports, 65_535, 2), Some(Error::NotFound));
    }

    #[test]
    fn an_exclusive_range_overlaps_no_other_while_it_exists() {
        let space = ResourceSpace::new();
        let root = space.root();
        let create = |options, base, size| Resource::create(&root, options, base, size, "");
        let first = create(EXCLUSIVE, 100, 10).unwrap();
        for (base, size) in [(100, 10), (90, 11), (109, 1), (0, 1000)] {
            for options in [MMIO, EXCLUSIVE] {
                assert_eq!(error(create(options, base, size)), Some(Error::NotFound));
            }
        }
        let neighbours = [create(EXCLUSIVE, 90, 10), create(MMIO, 110, 1)];
        assert!(neighbours.iter().all(Result::is_ok));
        let irq = ResourceOptions::exclusive(ResourceKind::Irq);
        assert_eq!(error(create(irq, 100, 10)), None, "another kind");
        // Not even its own children.
        let child = Resource::create(&first, MMIO, 100, 1, "");
        assert_eq!(error(child), Some(Error::NotFound));
        drop(first);
        let shared = create(MMIO, 100, 10).unwrap();
        assert_eq!(error(create(MMIO, 105, 1)), None, "those that share do");
        assert_eq!(error(create(EXCLUSIVE, 105, 1)), Some(Error::NotFound));
        drop(shared);
        assert_eq!(error(create(EXCLUSIVE, 105, 1)), None);
        drop(neighbours);
        assert_eq!(space.ranges.lock().len(), 0);
    }

    #[test]
    fn a_part_of_the_system_is_for_who_has_just_that_or_all() {
        let space = ResourceSpace::new();
        let system = space.ranged_root(ResourceKind::System, "system").unwrap();
        let options = ResourceOptions::shared(ResourceKind::System);
        let msi = Resource::create(&system, options, SystemBase::Msi as u64, 1, "msi").unwrap();
        assert_eq!(msi.validate_system(SystemBase::Msi), Ok(()));
        for base in [SystemBase::Profile, SystemBase::DebugLog, SystemBase::Hypervisor] {
            assert_eq!(msi.validate_system(base), Err(Error::AccessDenied));
            assert_eq!(system.validate_system(base), Ok(()));
            assert_eq!(space.root().validate_system(base), Ok(()));
        }
        let mmio = space.ranged_root(ResourceKind::Mmio, "").unwrap();
        assert_eq!(mmio.validate_system(SystemBase::Msi), Err(Error::AccessDenied));
        assert_eq!((SystemBase::Iommu as u64, SystemBase::Sampling as u64), (8, 15));
    }

    #[test]
    fn nothing_is_made_once_the_machine_is_gone() {
        let root = ResourceSpace::new().root();
        assert_eq!(error(Resource::create(&root, MMIO, 0, 1, "")), Some(Error::BadState));
    }

    #[test]
    fn validation_tells_the_kind_from_the_range() {
        let space = ResourceSpace::new();
        let resource = Resource::create(&space.root(), MMIO, 100, 50, "").unwrap();
        assert_eq!(resource.validate(ResourceKind::Mmio, 100, 50), Ok(()));
        assert_eq!(resource.validate(ResourceKind::Irq, 100, 50), Err(Error::WrongType));
        assert_eq!(resource.validate(ResourceKind::Mmio, 149, 2), Err(Error::OutOfRange));
        assert_eq!(resource.validate(ResourceKind::Mmio, 0, 1), Err(Error::OutOfRange));
        assert_eq!(space.root().validate(ResourceKind::Irq, 7, 1), Ok(()));
        assert_eq!(space.root().validate(ResourceKind::Irq, 1 << 32, 1), Err(Error::OutOfRange));
    }
}
