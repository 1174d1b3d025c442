//! Message-signalled interrupts: interrupts that a device raises by writing a number to an address.
//!
//! An [`MsiController`] is the part of a machine that such writes go to: it turns the number into an interrupt vector. A
//! [`MsiAllocation`] is a block of vectors, for one device; from it, and from the device's MSI capability, an
//! [`Interrupt`] is made for each vector. Until then, and from when that is destroyed, the vector is masked in the capability if
//! that can be: what the device wants to say meanwhile stays pending there.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::{Arc, Weak},
};

use hal::{
    irq::Line,
    pmem::{PAGE_SIZE, PhysAddr},
};
use parking_lot::Mutex;

use crate::{
    error::{Error, Result},
    interrupt::Interrupt,
    object::{KObjectBase, KernelObject, ObjectType},
    resource::{Resource, ResourceKind, ResourceOptions, SystemBase},
    vmo::{CachePolicy, Pin, Vmo},
};

/// Where devices write to: the address that processors of this architecture listen at.
const TARGET: u64 = 0xfee0_0000;

/// The most vectors that an allocation may have.
const MAX_VECTORS: u32 = 32;

/// What turns writes of devices into interrupts.
#[derive(Debug)]
pub struct MsiController {
    vectors: Range<u32>,
    /// Those for which there is an interrupt.
    lines: Mutex<BTreeMap<u32, Line>>,
}

impl MsiController {
    /// One for these vectors.
    pub fn new(vectors: Range<u32>) -> Arc<MsiController> {
        Arc::new(MsiController { vectors, lines: Mutex::default() })
    }

    /// A device writes `data` to `address`. False if that is no interrupt, or nobody has it.
    pub fn write(&self, address: u64, data: u32) -> bool {
        let line = self.lines.lock().get(&data).cloned().filter(|_| address == TARGET);
        line.as_ref().map(Line::raise).is_some()
    }
}

/// What an allocation is: `zx_info_msi_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MsiInfo {
    /// Where the device is to write to.
    pub target_addr: u64,
    /// What it is to write for the first vector; the others count up from it.
    pub target_data: u32,
    /// The first vector.
    pub base_irq_id: u32,
    /// How many there are.
    pub num_irq: u32,
    /// For how many of them there is an interrupt.
    pub interrupt_count: u32,
}

/// A block of vectors (`zx_msi_allocate`).
///
/// ```
/// use hal::pmem::{PAGE_SIZE, PhysicalMemory};
/// use kernel_objects::{Vmo, msi::{MsiAllocation, MsiController}, resource::ResourceSpace};
/// use kernel_objects::vmo::CachePolicy;
///
/// let (memory, machine) = (PhysicalMemory::new(None).unwrap(), ResourceSpace::new());
/// let controller = machine.set_msi_controller(MsiController::new(32..64)).unwrap();
/// let msi = MsiAllocation::allocate(&machine.root(), 4).unwrap();
///
/// // A device's MSI capability, in a page of registers.
/// let registers = machine.add_device_memory(memory.allocate(PAGE_SIZE).unwrap());
/// memory.write(registers.base(), &[0x05]);
/// let page = Vmo::create_physical(&machine.root(), registers.base().0, 0x1000).unwrap();
/// page.set_cache_policy(CachePolicy::UncachedDevice).unwrap();
/// let interrupt = msi.create(0, 2, &page, 0).unwrap();
///
/// let info = msi.info();
/// assert!(controller.write(info.target_addr, info.target_data + 2));
/// assert!(futures::executor::block_on(interrupt.wait()).is_ok());
/// ```
pub struct MsiAllocation {
    base: KObjectBase,
    this: Weak<MsiAllocation>,
    controller: Arc<MsiController>,
    /// The vectors, which nobody else may have.
    vectors: Arc<Resource>,
    first: u32,
    count: u32,
    /// Bit n: there is an interrupt for the n-th.
    used: Mutex<u32>,
}

impl MsiAllocation {
    /// A block of `count` vectors, by the right of the resource for [MSIs](SystemBase::Msi), or of the root resource.
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] if the resource is another, [`Error::InvalidArgs`] if `count` is not 1, 2, 4, 8, 16 or 32,
    /// [`Error::NotSupported`] if the machine has no [`MsiController`], [`Error::NoResources`] if it has no such block left.
    pub fn allocate(resource: &Resource, count: u32) -> Result<Arc<MsiAllocation>> {
        resource.validate_system(SystemBase::Msi)?;
        if !count.is_power_of_two() || count > MAX_VECTORS {
            return Err(Error::InvalidArgs);
        }
        let machine = resource.space()?;
        let controller = machine.msi_controller().ok_or(Error::NotSupported)?;
        let irqs = ResourceOptions::exclusive(ResourceKind::Irq);
        let root = machine.root();
        // A device puts the number of its vector into the low bits, so they begin at a multiple.
        let mut firsts = controller.vectors.clone().filter(|first| first.is_multiple_of(count));
        let block = firsts.find_map(|first| {
            let fits = first.checked_add(count).is_some_and(|end| end <= controller.vectors.end);
            let vectors = Resource::create(&root, irqs, first.into(), count.into(), "msi");
            vectors.ok().filter(|_| fits).map(|vectors| (first, vectors))
        });
        let (first, vectors) = block.ok_or(Error::NoResources)?;
        Ok(Arc::new_cyclic(|this| MsiAllocation {
            base: KObjectBase::new(),
            this: this.clone(),
            controller,
            vectors,
            first,
            count,
            used: Mutex::new(0),
        }))
    }

    /// What it is (`ZX_INFO_MSI`).
    pub fn info(&self) -> MsiInfo {
        MsiInfo {
            target_addr: TARGET,
            target_data: self.first,
            base_irq_id: self.first,
            num_irq: self.count,
            interrupt_count: self.used.lock().count_ones(),
        }
    }

    /// The interrupt for vector `msi_id` of the block, which the device with the MSI capability at `vmo_offset` of `vmo` raises
    /// (`zx_msi_create`). `vmo` is its page of registers.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if `options` is not 0; if `vmo` is not one page, neither physical nor contiguous, or not
    /// [`CachePolicy::UncachedDevice`]; or if there is no MSI capability at `vmo_offset`, wholly inside.
    /// [`Error::BadState`] if the block has no such vector, [`Error::AlreadyBound`] if there is an interrupt for it.
    pub fn create(
        &self,
        options: u32,
        msi_id: u32,
        vmo: &Arc<Vmo>,
        vmo_offset: u64,
    ) -> Result<Arc<Interrupt>> {
        if options != 0 {
            return Err(Error::InvalidArgs);
        }
        if msi_id >= self.count {
            return Err(Error::BadState);
        }
        let capability = Capability::find(vmo, vmo_offset)?;
        let this = self.this.upgrade().ok_or(Error::BadState)?;
        {
            let mut used = self.used.lock();
            if *used >> msi_id & 1 == 1 {
                return Err(Error::AlreadyBound);
            }
            *used |= 1 << msi_id;
        }
        let line = Line::new(format!("msi {}", self.first + msi_id));
        self.controller.lines.lock().insert(self.first + msi_id, line.clone());
        if capability.unmask(msi_id) {
            line.raise();
        }
        let vector = Vector { allocation: this, msi_id, capability };
        Ok(Interrupt::from_line(line, Box::new(vector)))
    }
}

impl KernelObject for MsiAllocation {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Msi
    }
}

impl fmt::Debug for MsiAllocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MsiAllocation")
            .field("base", &self.base)
            .field("vectors", &self.vectors)
            .field("info", &self.info())
            .finish_non_exhaustive()
    }
}

/// A vector in use: dropped when its interrupt is destroyed.
struct Vector {
    allocation: Arc<MsiAllocation>,
    msi_id: u32,
    capability: Capability,
}

impl Drop for Vector {
    fn drop(&mut self) {
        self.capability.set_mask(self.msi_id, true);
        let allocation = &self.allocation;
        allocation.controller.lines.lock().remove(&(allocation.first + self.msi_id));
        *allocation.used.lock() &= !(1 << self.msi_id);
    }
}

/// The MSI capability of a device (PCI Local Bus Specification 3.0, section 6.8.1), in its page of registers.
pub(crate) struct Capability {
    /// Keeps the page.
    page: Pin,
    at: PhysAddr,
    control: u16,
}

impl Capability {
    /// The number that says what it is.
    pub(crate) const ID: u8 = 0x05;
    /// The longest form, in bytes.
    pub(crate) const LEN: u64 = 24;
    /// In the control word: messages are sent.
    pub(crate) const ENABLE: u16 = 1 << 0;
    /// In the control word: the address has 64 bits.
    pub(crate) const WIDE: u16 = 1 << 7;
    /// In the control word: each vector can be masked.
    pub(crate) const MASKS: u16 = 1 << 8;

    /// Where the mask is, from the beginning on; the pending bits follow it.
    pub(crate) fn mask_offset(control: u16) -> u64 {
        if control & Self::WIDE != 0 { 16 } else { 12 }
    }

    fn find(vmo: &Arc<Vmo>, offset: u64) -> Result<Capability> {
        let page = PAGE_SIZE as u64;
        let suitable = vmo.size() == page
            && vmo.is_contiguous()
            && vmo.cache_policy() == CachePolicy::UncachedDevice;
        if !suitable || offset > page - Self::LEN {
            return Err(Error::InvalidArgs);
        }
        let page = vmo.pin(0, page)?;
        let (start, _) = *page.runs().first().ok_or(Error::InvalidArgs)?;
        let at = start.offset(offset);
        let mut head = [0; 4];
        vmo.memory().read(at, &mut head);
        let [id, _, control @ ..] = head;
        if id != Self::ID {
            return Err(Error::InvalidArgs);
        }
        Ok(Capability { page, at, control: u16::from_le_bytes(control) })
    }

    /// Where the word of masks is, if there is one.
    fn masks(&self) -> Option<PhysAddr> {
        let has = self.control & Self::MASKS != 0;
        has.then(|| self.at.offset(Self::mask_offset(self.control)))
    }

    fn set_mask(&self, msi_id: u32, masked: bool) {
        let Some(at) = self.masks() else { return };
        let memory = self.page.vmo().memory();
        let mut word = [0; 4];
        memory.read(at, &mut word);
        let bits = u32::from_le_bytes(word) & !(1 << msi_id) | u32::from(masked) << msi_id;
        memory.write(at, &bits.to_le_bytes());
    }

    /// Lets the device send it; true if it had wanted to.
    fn unmask(&self, msi_id: u32) -> bool {
        self.set_mask(msi_id, false);
        let Some(at) = self.masks().map(|masks| masks.offset(4)) else { return false };
        let memory = self.page.vmo().memory();
        let mut word = [0; 4];
        memory.read(at, &mut word);
        let pending = u32::from_le_bytes(word);
        memory.write(at, &(pending & !(1 << msi_id)).to_le_bytes());
        pending >> msi_id & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use hal::pmem::PhysicalMemory;

    use super::*;
    use crate::resource::ResourceSpace;

    const PAGE: u64 = PAGE_SIZE as u64;

    struct Bench {
        memory: Arc<PhysicalMemory>,
        machine: Arc<ResourceSpace>,
        controller: Arc<MsiController>,
    }

    fn bench() -> Bench {
        let (memory, machine) = (PhysicalMemory::new(None).unwrap(), ResourceSpace::new());
        let controller = machine.set_msi_controller(MsiController::new(30..64)).unwrap();
        Bench { memory, machine, controller }
    }

    impl Bench {
        fn allocate(&self, count: u32) -> Result<Arc<MsiAllocation>> {
            MsiAllocation::allocate(&self.machine.root(), count)
        }

        /// A page with a capability at 64.
        fn page(&self, control: u16) -> Arc<Vmo> {
            let vmo = Vmo::create_contiguous(&self.memory, PAGE, 0).unwrap();
            let [low, high] = control.to_le_bytes();
            vmo.write(64, &[Capability::ID, 0, low, high]).unwrap();
            vmo.set_cache_policy(CachePolicy::UncachedDevice).unwrap();
            vmo
        }

        fn word(&self, vmo: &Arc<Vmo>, offset: u64) -> u32 {
            let mut word = [0; 4];
            self.memory.read(vmo.pin(0, PAGE).unwrap().runs()[0].0.offset(offset), &mut word);
            u32::from_le_bytes(word)
        }
    }

    fn triggered(interrupt: &Interrupt) -> bool {
        matches!(interrupt.wait().now_or_never(), Some(Ok(_)))
    }

    #[test]
    fn an_allocation_needs_the_right_a_good_number_and_a_controller() {
        let bench = bench();
        let irq = bench.machine.ranged_root(ResourceKind::Irq, "").unwrap();
        assert_eq!(MsiAllocation::allocate(&irq, 1).err(), Some(Error::AccessDenied));
        let options = ResourceOptions::shared(ResourceKind::System);
        let system = |base: SystemBase| {
            Resource::create(&bench.machine.root(), options, base as u64, 1, "").unwrap()
        };
        let iommu = MsiAllocation::allocate(&system(SystemBase::Iommu), 1);
        assert_eq!(iommu.err(), Some(Error::AccessDenied));
        assert!(MsiAllocation::allocate(&system(SystemBase::Msi), 1).is_ok());
        for count in [0, 3, 12, 33, 64, u32::MAX] {
            assert_eq!(bench.allocate(count).err(), Some(Error::InvalidArgs), "{count}");
        }
        let bare = ResourceSpace::new();
        let none = MsiAllocation::allocate(&bare.root(), 1);
        assert_eq!(none.err(), Some(Error::NotSupported));
        assert!(bench.machine.set_msi_controller(MsiController::new(0..1)).is_none());
    }

    #[test]
    fn blocks_are_aligned_and_do_not_overlap() {
        let bench = bench();
        let first = |msi: &Arc<MsiAllocation>| msi.info().base_irq_id;
        let (one, many) = (bench.allocate(1).unwrap(), bench.allocate(16).unwrap());
        assert_eq!((first(&one), first(&many)), (30, 32));
        let more = bench.allocate(16).unwrap();
        assert_eq!(first(&more), 48);
        assert_eq!(bench.allocate(2).err(), Some(Error::NoResources), "31 is odd");
        assert_eq!(bench.allocate(1).map(|msi| first(&msi)), Ok(31));
        let options = ResourceOptions::shared(ResourceKind::Irq);
        let taken = || Resource::create(&bench.machine.root(), options, 33, 1, "").err();
        assert_eq!(taken(), Some(Error::NotFound), "nor do others get them");
        drop(many);
        assert_eq!((taken(), bench.allocate(8).map(|msi| first(&msi))), (None, Ok(32)));
        let info = more.info();
        assert_eq!((info.target_addr, info.target_data, info.num_irq), (TARGET, 48, 16));
    }

    #[test]
    fn an_interrupt_is_made_of_a_vector_and_a_capability() {
        let bench = bench();
        let (msi, page) = (bench.allocate(4).unwrap(), bench.page(0));
        let error = |options, id, vmo: &Arc<Vmo>, at| msi.create(options, id, vmo, at).err();
        let invalid = Some(Error::InvalidArgs);
        assert_eq!(error(1, 0, &page, 64), invalid);
        for id in [4, 5, 32, u32::MAX] {
            assert_eq!(error(0, id, &page, 64), Some(Error::BadState));
        }
        for at in [0, 63, PAGE - 23, PAGE, u64::MAX] {
            assert_eq!(error(0, 0, &page, at), invalid, "{at}");
        }
        let cached = Vmo::create_contiguous(&bench.memory, PAGE, 0).unwrap();
        cached.write(64, &[Capability::ID]).unwrap();
        assert_eq!(error(0, 0, &cached, 64), invalid);
        let large = Vmo::create_contiguous(&bench.memory, 2 * PAGE, 0).unwrap();
        large.write(64, &[Capability::ID]).unwrap();
        large.set_cache_policy(CachePolicy::UncachedDevice).unwrap();
        assert_eq!(error(0, 0, &large, 64), invalid);
        let plain = Vmo::create(&bench.memory, PAGE, Default::default()).unwrap();
        plain.write(64, &[Capability::ID]).unwrap();
        assert_eq!(error(0, 0, &plain, 64), invalid);
        assert_eq!(msi.info().interrupt_count, 0);

        let interrupt = msi.create(0, 3, &page, 64).unwrap();
        assert_eq!(error(0, 3, &page, 64), Some(Error::AlreadyBound));
        let other = msi.create(0, 0, &page, 64).unwrap();
        assert_eq!(msi.info().interrupt_count, 2);
        interrupt.destroy().unwrap();
        assert_eq!(msi.info().interrupt_count, 1);
        assert!(msi.create(0, 3, &page, 64).is_ok());
        drop(other);
    }

    #[test]
    fn what_a_device_writes_triggers_its_interrupt_only() {
        let bench = bench();
        let (msi, page) = (bench.allocate(2).unwrap(), bench.page(0));
        let (target, data) = (msi.info().target_addr, msi.info().target_data);
        assert!(!bench.controller.write(target, data), "nobody has it");
        let (a, b) = (msi.create(0, 0, &page, 64).unwrap(), msi.create(0, 1, &page, 64).unwrap());
        assert!(!triggered(&a), "what was before is lost");
        assert!(bench.controller.write(target, data + 1));
        assert!(!triggered(&a) && triggered(&b));
        assert!(!bench.controller.write(target + 4, data));
        assert!(!bench.controller.write(target, data + 2));
        assert!(!triggered(&a) && !triggered(&b));
        assert_eq!(a.trigger(0), Err(Error::BadState), "it is no virtual one");
    }

    #[test]
    fn a_vector_without_an_interrupt_is_masked_and_what_is_pending_comes_later() {
        for (control, mask) in
            [(Capability::MASKS, 64 + 12), (Capability::MASKS | Capability::WIDE, 64 + 16)]
        {
            let bench = bench();
            let (msi, page) = (bench.allocate(4).unwrap(), bench.page(control));
            let pa = page.pin(0, PAGE).unwrap().runs()[0].0;
            bench.memory.write(pa.offset(mask), &0xf_u32.to_le_bytes());
            bench.memory.write(pa.offset(mask + 4), &0b0110_u32.to_le_bytes());
            let interrupt = msi.create(0, 1, &page, 64).unwrap();
            assert_eq!(bench.word(&page, mask), 0b1101);
            assert_eq!(bench.word(&page, mask + 4), 0b0100);
            assert!(triggered(&interrupt));
            drop(interrupt);
            assert_eq!(bench.word(&page, mask), 0b1111);
        }
    }

    #[test]
    fn an_allocation_lives_as_long_as_an_interrupt_of_it() {
        let bench = bench();
        let (msi, page) = (bench.allocate(32).unwrap(), bench.page(0));
        let interrupt = msi.create(0, 0, &page, 64).unwrap();
        drop(msi);
        assert_eq!(bench.allocate(32).err(), Some(Error::NoResources));
        drop(interrupt);
        assert!(bench.allocate(32).is_ok());
        assert!(bench.controller.lines.lock().is_empty());
    }
}
