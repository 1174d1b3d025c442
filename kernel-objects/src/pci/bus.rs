//! The bus, and the devices' side of it.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use hal::{
    irq::Line,
    pmem::{Extent, PAGE_SIZE, PhysicalMemory},
};
use parking_lot::Mutex;

use super::{
    config::{ConfigSpace, command, offset, status},
    description::{Bar, Description},
    device::IrqMode,
};
use crate::{
    dma::Iommu,
    error::{Error, Result},
    interrupt::Interrupt,
    msi::{self, MsiAllocation},
    resource::{Resource, ResourceKind, ResourceOptions, ResourceSpace},
};

/// Devices on a bus: `ZX_PCI_MAX_DEVICES_PER_BUS`. Each has one function here.
const MAX_DEVICES: usize = 32;

/// Where I/O ports for devices begin.
const FIRST_PORT: u64 = 0xc000;

/// A bus on a machine.
///
/// ```
/// use hal::pmem::PhysicalMemory;
/// use kernel_objects::pci::{Bar, Bus, Description, PciDevice};
/// use kernel_objects::resource::ResourceSpace;
///
/// let machine = ResourceSpace::new();
/// let bus = Bus::new(&machine, &PhysicalMemory::new(None).unwrap());
/// let mut bars = [Bar::Unused; 6];
/// bars[0] = Bar::Memory32(0x1000);
/// let description = Description { vendor_id: 0x1af4, device_id: 0x1041, bars, ..Default::default() };
/// let function = bus.plug(description).unwrap();
///
/// let (info, device) = PciDevice::get_nth(&bus, &machine.root(), 0).unwrap();
/// assert_eq!((info.vendor_id, info.device_id), (0x1af4, 0x1041));
/// assert_eq!(device.config_read(0, 2), Ok(0x1af4));
/// ```
pub struct Bus {
    this: Weak<Bus>,
    machine: Arc<ResourceSpace>,
    memory: Arc<PhysicalMemory>,
    functions: Mutex<Vec<Arc<Function>>>,
}

impl Bus {
    /// A bus without devices, bus number 0 of `machine`.
    pub fn new(machine: &Arc<ResourceSpace>, memory: &Arc<PhysicalMemory>) -> Arc<Bus> {
        Arc::new_cyclic(|this| Bus {
            this: this.clone(),
            machine: machine.clone(),
            memory: memory.clone(),
            functions: Mutex::default(),
        })
    }

    /// Plugs a device in: it gets an address, a configuration space, and what its base address registers want.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if the description is not possible, [`Error::NoResources`] if no device or no more ports fit,
    /// [`Error::NoMemory`].
    pub fn plug(&self, description: Description) -> Result<Arc<Function>> {
        let bus = self.this.upgrade().ok_or(Error::BadState)?;
        let page = self.memory.allocate(ConfigSpace::LEN).map_err(|_| Error::NoMemory)?;
        let config = ConfigSpace::new(Arc::new(page), &description)?;
        let mut bars: [Space; 6] = Default::default();
        for (index, &bar) in description.bars.iter().enumerate() {
            let wide = matches!(bar, Bar::Memory64(_));
            if wide && description.bars.get(index + 1) != Some(&Bar::Unused) {
                return Err(Error::InvalidArgs);
            }
            let space = self.space_for(bar)?;
            let register = offset::BAR_0 + 4 * index as u64;
            let base = space.base();
            config.set_u32(register, base as u32 & !0xf | space.kind_bits(bar));
            if wide {
                config.set_u32(register + 4, (base >> 32) as u32);
            }
            if let Some(place) = bars.get_mut(index) {
                *place = space;
            }
        }
        let mut functions = self.functions.lock();
        if functions.len() >= MAX_DEVICES {
            return Err(Error::NoResources);
        }
        let number = functions.len() as u8;
        self.machine.add_device_memory(config.page().clone());
        for space in &bars {
            if let Space::Memory(extent, _) = space {
                self.machine.add_device_memory(extent.clone());
            }
        }
        let function = Arc::new(Function {
            bus: Arc::downgrade(&bus),
            number,
            line: Line::new(format!("pci 00:{number:02x}.0")),
            description,
            config,
            bars,
            irq: Mutex::default(),
        });
        functions.push(function.clone());
        Ok(function)
    }

    /// Addresses for a base address register.
    fn space_for(&self, bar: Bar) -> Result<Space> {
        match bar {
            Bar::Unused => Ok(Space::None),
            Bar::Memory32(size) | Bar::Memory64(size) => {
                if !size.is_power_of_two() || size < 16 {
                    return Err(Error::InvalidArgs);
                }
                let len = size.max(PAGE_SIZE as u64);
                let extent = usize::try_from(len).map_err(|_| Error::NoMemory).and_then(|len| {
                    self.memory.allocate_aligned(len, size).map_err(|_| Error::NoMemory)
                })?;
                if matches!(bar, Bar::Memory32(_)) && extent.base().0 + len > 1 << 32 {
                    return Err(Error::NoMemory);
                }
                Ok(Space::Memory(Arc::new(extent), size))
            }
            Bar::Ports(count) => {
                if !count.is_power_of_two() || !(4..=256).contains(&count) {
                    return Err(Error::InvalidArgs);
                }
                let ports = ResourceOptions::exclusive(ResourceKind::IoPort);
                let root = self.machine.root();
                let mut starts = (FIRST_PORT..1 << 16).step_by(count as usize);
                let found = starts.find_map(|start| {
                    Resource::create(&root, ports, start, count.into(), "pci").ok()
                });
                found.map(Space::Ports).ok_or(Error::NoResources)
            }
        }
    }

    pub(super) fn machine(&self) -> &Arc<ResourceSpace> {
        &self.machine
    }

    /// The device at this place in the order in which they were plugged in.
    pub(super) fn nth(&self, index: u32) -> Option<Arc<Function>> {
        self.functions.lock().get(index as usize).cloned()
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("functions", &self.functions.lock()).finish_non_exhaustive()
    }
}

/// What a base address register stands for.
#[derive(Debug, Default)]
pub(super) enum Space {
    #[default]
    None,
    /// Memory, and how much of it.
    Memory(Arc<Extent>, u64),
    /// Ports, which nobody else may have.
    Ports(Arc<Resource>),
}

impl Space {
    fn base(&self) -> u64 {
        match self {
            Space::None => 0,
            Space::Memory(extent, _) => extent.base().0,
            Space::Ports(ports) => ports.info().base,
        }
    }

    /// The low bits of the register, and what they cover of the address.
    fn kind_bits(&self, bar: Bar) -> u32 {
        match bar {
            Bar::Unused | Bar::Memory32(_) => 0,
            Bar::Memory64(_) => 0b100,
            // Ports are in units of four, so two more bits are of the address.
            Bar::Ports(_) => 0b1 | self.base() as u32 & 0xc,
        }
    }
}

/// A function of a device on a bus: what its model uses.
pub struct Function {
    bus: Weak<Bus>,
    number: u8,
    line: Line,
    description: Description,
    pub(super) config: ConfigSpace,
    pub(super) bars: [Space; 6],
    pub(super) irq: Mutex<Irq>,
}

/// How a function interrupts.
#[derive(Default)]
pub(super) struct Irq {
    pub(super) mode: IrqMode,
    /// Those that a driver has, by their numbers; as many as there may be.
    pub(super) mapped: Vec<Weak<Interrupt>>,
    /// The vectors of messages.
    pub(super) msi: Option<Arc<MsiAllocation>>,
}

impl Function {
    /// Its bus number, device number and function number.
    pub fn address(&self) -> (u8, u8, u8) {
        (0, self.number, 0)
    }

    /// The number that its transactions bear, for a [`Bti`](crate::dma::Bti): the address in 16 bits.
    pub fn requester_id(&self) -> u64 {
        u64::from(self.number) << 3
    }

    /// The memory behind a base address register, if there is any: what its driver writes to it.
    pub fn memory(&self, bar: usize) -> Option<&Arc<Extent>> {
        match self.bars.get(bar) {
            Some(Space::Memory(extent, _)) => Some(extent),
            _ => None,
        }
    }

    /// Its page of configuration space, as devices find it in memory (ECAM).
    pub fn config_page(&self) -> &Arc<Extent> {
        self.config.page()
    }

    pub(super) fn bus(&self) -> Result<Arc<Bus>> {
        self.bus.upgrade().ok_or(Error::IoNotPresent)
    }

    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    pub(super) fn description(&self) -> &Description {
        &self.description
    }

    fn is_bus_master(&self) -> bool {
        self.config.get_u16(offset::COMMAND) & command::BUS_MASTER != 0
    }

    /// Raises interrupt `which`; false if it did not reach anybody, since its driver has not set it up, or has masked it. What is
    /// masked is kept pending.
    pub fn raise(&self, which: u32) -> bool {
        match self.irq.lock().mode {
            IrqMode::Disabled | IrqMode::MsiX => return false,
            IrqMode::Legacy if which == 0 => {
                self.config.change_u16(offset::STATUS, 0, status::INTERRUPT);
                let command = self.config.get_u16(offset::COMMAND);
                let on = command & command::INTERRUPT_DISABLE == 0;
                if on {
                    self.line.raise();
                }
                return on;
            }
            IrqMode::Legacy => return false,
            IrqMode::Msi => {}
        }
        self.send_message(which)
    }

    /// Writes the message of vector `which`, as the capability says.
    fn send_message(&self, which: u32) -> bool {
        let Some((at, vectors)) = self.config.msi else { return false };
        let control = self.config.get_u16(at + 2);
        let enabled = control & msi::Capability::ENABLE != 0 && self.is_bus_master();
        if !enabled || which >= vectors {
            return false;
        }
        if control & msi::Capability::MASKS != 0 {
            let masks = at + msi::Capability::mask_offset(control);
            if self.config.get_u32(masks) >> which & 1 == 1 {
                let pending = self.config.get_u32(masks + 4);
                self.config.set_u32(masks + 4, pending | 1 << which);
                return false;
            }
        }
        let address =
            u64::from(self.config.get_u32(at + 4)) | u64::from(self.config.get_u32(at + 8)) << 32;
        let data = u32::from(self.config.get_u16(at + 12)) + which;
        let controller = self.bus().ok().and_then(|bus| bus.machine.msi_controller());
        controller.is_some_and(|controller| controller.write(address, data))
    }

    /// Takes the legacy interrupt back, once its driver has seen to what it was for.
    pub fn lower(&self) {
        self.config.change_u16(offset::STATUS, status::INTERRUPT, 0);
    }

    /// Reads memory through `iommu`.
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] if its driver has not made it a bus master; else as [`Iommu::dma_read`].
    pub fn dma_read(&self, iommu: &Iommu, address: u64, buf: &mut [u8]) -> Result {
        if !self.is_bus_master() {
            return Err(Error::AccessDenied);
        }
        iommu.dma_read(self.requester_id(), address, buf)
    }

    /// Writes memory through `iommu`.
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] if its driver has not made it a bus master; else as [`Iommu::dma_write`].
    pub fn dma_write(&self, iommu: &Iommu, address: u64, buf: &[u8]) -> Result {
        if !self.is_bus_master() {
            return Err(Error::AccessDenied);
        }
        iommu.dma_write(self.requester_id(), address, buf)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("address", &self.address())
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}
