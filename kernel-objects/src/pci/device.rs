//! A PCI device, as its driver has it.
//!
//! A [`PciDevice`] lets a driver read its device's configuration space, but write only what is beyond the header: the kernel has set
//! that up. For each other thing that a driver needs of the header there is a verb: addresses of registers, being a bus master,
//! resetting, and interrupts in one of three modes.

use std::sync::{Arc, Weak};

use super::{
    bus::{Bus, Function, Irq, Space},
    config::{command, mask_of, offset, status},
};
use crate::{
    error::{Error, Result},
    interrupt::Interrupt,
    msi::{self, MsiAllocation},
    object::{KObjectBase, KernelObject, ObjectType},
    resource::{Resource, ResourceKind},
    vmo::{CachePolicy, Vmo},
};

/// Which device it is: `zx_pcie_device_info_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Who made it.
    pub vendor_id: u16,
    /// What it is, of that maker's.
    pub device_id: u16,
    /// Its base class.
    pub base_class: u8,
    /// Its subclass.
    pub sub_class: u8,
    /// Its programming interface.
    pub program_interface: u8,
    /// Its revision.
    pub revision_id: u8,
    /// The number of its bus.
    pub bus_id: u8,
    /// Its number on the bus.
    pub dev_id: u8,
    /// The number of the function in the device.
    pub func_id: u8,
}

/// How a device interrupts: `ZX_PCIE_IRQ_MODE_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u32)]
pub enum IrqMode {
    /// Not at all.
    #[default]
    Disabled = 0,
    /// By a line.
    Legacy = 1,
    /// By messages.
    Msi = 2,
    /// By messages from a table of the device's. No device here can.
    MsiX = 3,
}

impl IrqMode {
    /// The mode with this number.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`].
    pub fn from_raw(raw: u32) -> Result<Self> {
        let all = [Self::Disabled, Self::Legacy, Self::Msi, Self::MsiX];
        all.into_iter().find(|&mode| mode as u32 == raw).ok_or(Error::InvalidArgs)
    }
}

/// What a base address register gives to a driver: `zx_pci_bar_t`.
#[derive(Debug)]
pub struct BarInfo {
    /// Which one it is.
    pub id: u32,
    /// How many bytes or ports.
    pub size: u64,
    /// What they are.
    pub memory: BarMemory,
}

/// What is behind a base address register.
#[derive(Debug)]
pub enum BarMemory {
    /// Memory: a physical VMO, not cached, of whole pages.
    Mmio(Arc<Vmo>),
    /// I/O ports from this one on.
    Ports(u64),
}

/// A device on a bus (`zx_pci_get_nth_device`).
///
/// ```
/// use hal::pmem::PhysicalMemory;
/// use kernel_objects::pci::{Bus, Description, IrqMode, PciDevice};
/// use kernel_objects::resource::ResourceSpace;
///
/// let machine = ResourceSpace::new();
/// let bus = Bus::new(&machine, &PhysicalMemory::new(None).unwrap());
/// let model = bus.plug(Description { interrupt_pin: 1, ..Default::default() }).unwrap();
///
/// let (_, device) = PciDevice::get_nth(&bus, &machine.root(), 0).unwrap();
/// assert_eq!(device.query_irq_mode(IrqMode::Legacy), Ok(1));
/// device.set_irq_mode(IrqMode::Legacy, 1).unwrap();
/// let interrupt = device.map_interrupt(0).unwrap();
/// assert!(model.raise(0));
/// assert!(futures::executor::block_on(interrupt.wait()).is_ok());
/// ```
#[derive(Debug)]
pub struct PciDevice {
    base: KObjectBase,
    function: Arc<Function>,
}

impl PciDevice {
    /// The device at place `index` on `bus`, by the right of the root resource, and which one it is.
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] if `resource` is not a root resource, [`Error::OutOfRange`] if there are not so many devices.
    pub fn get_nth(
        bus: &Bus,
        resource: &Resource,
        index: u32,
    ) -> Result<(DeviceInfo, Arc<PciDevice>)> {
        resource.validate(ResourceKind::Root, 0, 0).map_err(|_| Error::AccessDenied)?;
        let function = bus.nth(index).ok_or(Error::OutOfRange)?;
        let description = function.description();
        let [base_class, sub_class, program_interface] = description.class;
        let (bus_id, dev_id, func_id) = function.address();
        let info = DeviceInfo {
            vendor_id: description.vendor_id,
            device_id: description.device_id,
            base_class,
            sub_class,
            program_interface,
            revision_id: description.revision_id,
            bus_id,
            dev_id,
            func_id,
        };
        Ok((info, Arc::new(PciDevice { base: KObjectBase::new(), function })))
    }

    /// Reads `width` bytes, 1, 2 or 4, of configuration space (`zx_pci_config_read`).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for another width, or one that passes the end: 256, or 4096 of PCI Express.
    pub fn config_read(&self, offset: u16, width: usize) -> Result<u32> {
        self.function.config.read(offset.into(), width)
    }

    /// Writes `width` bytes, 1, 2 or 4, of configuration space beyond the header of 64 bytes (`zx_pci_config_write`). What the
    /// device does not let be written stays as it is.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for the header, another width, or one that passes the end.
    pub fn config_write(&self, offset: u16, width: usize, value: u32) -> Result {
        self.function.config.write(offset.into(), width, value)
    }

    /// What is behind base address register `bar`, which answers from now on (`zx_pci_get_bar`).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if there are not so many registers, [`Error::NotFound`] if this one is not used.
    pub fn get_bar(&self, bar: u32) -> Result<BarInfo> {
        let space = self.function.bars.get(bar as usize).ok_or(Error::InvalidArgs)?;
        let (size, memory, enable) = match space {
            Space::None => return Err(Error::NotFound),
            Space::Memory(extent, size) => {
                let root = self.function.bus()?.machine().root();
                let vmo = Vmo::create_physical(&root, extent.base().0, extent.len())?;
                vmo.set_cache_policy(CachePolicy::UncachedDevice)?;
                (*size, BarMemory::Mmio(vmo), command::MEMORY)
            }
            Space::Ports(ports) => {
                let info = ports.info();
                (info.size, BarMemory::Ports(info.base), command::PORTS)
            }
        };
        self.function.config.change_u16(offset::COMMAND, 0, enable);
        Ok(BarInfo { id: bar, size, memory })
    }

    /// Lets the device do transactions of its own, or no more (`zx_pci_enable_bus_master`).
    pub fn enable_bus_master(&self, enable: bool) {
        let (clear, set) = if enable { (0, command::BUS_MASTER) } else { (command::BUS_MASTER, 0) };
        self.function.config.change_u16(offset::COMMAND, clear, set);
    }

    /// Resets the function: it stops answering, interrupting and doing transactions, and its capabilities are as at first
    /// (`zx_pci_reset_device`).
    ///
    /// # Errors
    ///
    /// [`Error::NotSupported`] if it cannot be reset by itself, [`Error::BadState`] while an interrupt of it is mapped.
    pub fn reset(&self) -> Result {
        let config = &self.function.config;
        if !config.function_level_reset {
            return Err(Error::NotSupported);
        }
        self.set_irq_mode(IrqMode::Disabled, 0)?;
        config.change_u16(offset::COMMAND, u16::MAX, 0);
        config.change_u16(offset::STATUS, status::INTERRUPT, 0);
        config.restore();
        if let Some(on_reset) = &self.function.description().on_reset {
            on_reset();
        }
        Ok(())
    }

    /// How many interrupts the device can have in `mode` (`zx_pci_query_irq_mode`).
    ///
    /// # Errors
    ///
    /// [`Error::NotSupported`] if it does not have that mode.
    pub fn query_irq_mode(&self, mode: IrqMode) -> Result<u32> {
        let pin = self.function.description().interrupt_pin;
        match (mode, self.function.config.msi) {
            (IrqMode::Legacy, _) if pin != 0 => Ok(1),
            (IrqMode::Msi, Some((_, vectors))) => Ok(vectors),
            _ => Err(Error::NotSupported),
        }
    }

    /// Has the device interrupt in `mode`, with `count` interrupts (`zx_pci_set_irq_mode`).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if `count` is 0, but for [`IrqMode::Disabled`]; [`Error::NotSupported`] if the device does not have
    /// that mode or so many, or the machine has no messages; [`Error::BadState`] while an interrupt is mapped;
    /// [`Error::NoResources`] if no vectors are left.
    pub fn set_irq_mode(&self, mode: IrqMode, count: u32) -> Result {
        if mode != IrqMode::Disabled {
            let most = self.query_irq_mode(mode)?;
            if count == 0 {
                return Err(Error::InvalidArgs);
            }
            if count > most {
                return Err(Error::NotSupported);
            }
        }
        let mut irq = self.function.irq.lock();
        if irq.mapped.iter().any(is_alive) {
            return Err(Error::BadState);
        }
        self.disable(&mut irq);
        match mode {
            IrqMode::Disabled => return Ok(()),
            IrqMode::Msi => irq.msi = Some(self.enable_messages(count)?),
            _ => {
                let config = &self.function.config;
                config.change_u16(offset::COMMAND, command::INTERRUPT_DISABLE, 0);
            }
        }
        irq.mode = mode;
        irq.mapped = (0..count).map(|_| Weak::new()).collect();
        Ok(())
    }

    /// Has the device not interrupt any more.
    fn disable(&self, irq: &mut Irq) {
        let config = &self.function.config;
        *irq = Irq::default();
        config.change_u16(offset::COMMAND, 0, command::INTERRUPT_DISABLE);
        if let Some((at, _)) = config.msi {
            config.change_u16(at + 2, msi::Capability::ENABLE | 0x70, 0);
        }
    }

    /// Tells the device where to write its messages.
    fn enable_messages(&self, count: u32) -> Result<Arc<MsiAllocation>> {
        let config = &self.function.config;
        let (at, vectors) = config.msi.ok_or(Error::NotSupported)?;
        let count = count.next_power_of_two();
        let root = self.function.bus()?.machine().root();
        let allocation = MsiAllocation::allocate(&root, count)?;
        let info = allocation.info();
        config.set_u32(at + 4, info.target_addr as u32);
        config.set_u32(at + 8, (info.target_addr >> 32) as u32);
        config.set_u16(at + 12, info.target_data as u16);
        let control = config.get_u16(at + 2);
        if control & msi::Capability::MASKS != 0 {
            config.set_u32(at + msi::Capability::mask_offset(control), mask_of(vectors));
        }
        let log2 = (count.trailing_zeros() as u16) << 4;
        config.change_u16(at + 2, 0, msi::Capability::ENABLE | log2);
        Ok(allocation)
    }

    /// The interrupt with number `which`, in the mode that is set (`zx_pci_map_interrupt`).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if there are not so many, none before a mode is set; [`Error::AlreadyBound`] if it is mapped.
    pub fn map_interrupt(&self, which: i32) -> Result<Arc<Interrupt>> {
        let mut irq = self.function.irq.lock();
        let index = usize::try_from(which).map_err(|_| Error::InvalidArgs)?;
        let mapped = irq.mapped.get(index).ok_or(Error::InvalidArgs)?;
        if is_alive(mapped) {
            return Err(Error::AlreadyBound);
        }
        let interrupt = match &irq.msi {
            Some(allocation) => self.map_message(allocation, index as u32)?,
            None => Interrupt::from_line(self.function.line().clone(), Box::new(())),
        };
        if let Some(mapped) = irq.mapped.get_mut(index) {
            *mapped = Arc::downgrade(&interrupt);
        }
        Ok(interrupt)
    }

    fn map_message(&self, allocation: &MsiAllocation, which: u32) -> Result<Arc<Interrupt>> {
        let (at, _) = self.function.config.msi.ok_or(Error::NotSupported)?;
        let page = self.function.config_page();
        let root = self.function.bus()?.machine().root();
        let registers = Vmo::create_physical(&root, page.base().0, page.len())?;
        registers.set_cache_policy(CachePolicy::UncachedDevice)?;
        allocation.create(0, which, &registers, at)
    }
}

/// Whether an interrupt that was mapped still is.
fn is_alive(interrupt: &Weak<Interrupt>) -> bool {
    interrupt.upgrade().is_some_and(|interrupt| !interrupt.is_destroyed())
}

impl KernelObject for PciDevice {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::PciDevice
    }
}

#[cfg(test)]
mod tests;
