//! Tests of PCI devices: a model on one side, a driver on the other.

use std::sync::atomic::{AtomicU32, Ordering};

use futures::FutureExt;
use hal::pmem::{PAGE_SIZE, PhysicalMemory};

use super::*;
use crate::{
    dma::{Bti, Iommu, IommuDescriptor, PinOptions},
    msi::MsiController,
    pci::{Bar, Capability, Description},
    resource::ResourceSpace,
    vmo::VmoOptions,
};

struct Bench {
    memory: Arc<PhysicalMemory>,
    machine: Arc<ResourceSpace>,
    bus: Arc<Bus>,
}

fn bench() -> Bench {
    let (memory, machine) = (PhysicalMemory::new(None).unwrap(), ResourceSpace::new());
    machine.set_msi_controller(MsiController::new(32..64)).unwrap();
    let bus = Bus::new(&machine, &memory);
    Bench { memory, machine, bus }
}

impl Bench {
    /// A device with all that there is, and its driver's side.
    fn plug(&self, description: Description) -> (Arc<Function>, Arc<PciDevice>) {
        let function = self.bus.plug(description).unwrap();
        let (_, number, _) = function.address();
        let (_, device) =
            PciDevice::get_nth(&self.bus, &self.machine.root(), number.into()).unwrap();
        (function, device)
    }
}

fn full() -> Description {
    let bars = [
        Bar::Memory32(0x4000),
        Bar::Ports(32),
        Bar::Memory64(1 << 20),
        Bar::Unused,
        Bar::Memory32(64),
        Bar::Unused,
    ];
    Description {
        vendor_id: 0x1af4,
        device_id: 0x1041,
        class: [2, 1, 3],
        revision_id: 4,
        bars,
        interrupt_pin: 1,
        capabilities: vec![
            Capability::Msi { vectors: 4, masks: true },
            Capability::Express { function_level_reset: true },
        ],
        on_reset: None,
    }
}

fn triggered(interrupt: &Interrupt) -> bool {
    matches!(interrupt.wait().now_or_never(), Some(Ok(_)))
}

#[test]
fn devices_are_found_in_order_by_the_root_resource() {
    let bench = bench();
    bench.plug(Description::default());
    bench.plug(full());
    let get = |resource: &Resource, index| PciDevice::get_nth(&bench.bus, resource, index);
    let root = bench.machine.root();
    let (info, device) = get(&root, 1).unwrap();
    let expected = DeviceInfo {
        vendor_id: 0x1af4,
        device_id: 0x1041,
        base_class: 2,
        sub_class: 1,
        program_interface: 3,
        revision_id: 4,
        bus_id: 0,
        dev_id: 1,
        func_id: 0,
    };
    assert_eq!(info, expected);
    assert_eq!(device.config_read(0, 4), Ok(0x1041_1af4));
    assert_eq!(get(&root, 2).err(), Some(Error::OutOfRange));
    let mmio = bench.machine.ranged_root(ResourceKind::Mmio, "").unwrap();
    assert_eq!(get(&mmio, 0).err(), Some(Error::AccessDenied));
}

#[test]
fn a_bus_has_32_places() {
    let bench = bench();
    for _ in 0..32 {
        bench.plug(Description::default());
    }
    assert_eq!(bench.bus.plug(Description::default()).err(), Some(Error::NoResources));
}

#[test]
fn impossible_base_address_registers_are_refused() {
    let bench = bench();
    let plug = |index: usize, bar| {
        let mut bars = [Bar::Unused; 6];
        bars[index] = bar;
        bench.bus.plug(Description { bars, ..Description::default() }).err()
    };
    let invalid = Some(Error::InvalidArgs);
    for bar in [Bar::Memory32(8), Bar::Memory32(48), Bar::Memory64(0), Bar::Ports(2)] {
        assert_eq!(plug(0, bar), invalid, "{bar:?}");
    }
    for bar in [Bar::Ports(512), Bar::Ports(12)] {
        assert_eq!(plug(0, bar), invalid, "{bar:?}");
    }
    assert_eq!(plug(5, Bar::Memory64(0x1000)), invalid, "it takes two");
    let bars =
        [Bar::Memory64(16), Bar::Ports(4), Bar::Unused, Bar::Unused, Bar::Unused, Bar::Unused];
    let taken = bench.bus.plug(Description { bars, ..Description::default() });
    assert_eq!(taken.err(), invalid);
    assert_eq!(plug(0, Bar::Memory32(1 << 40)), Some(Error::NoMemory));
}

#[test]
fn a_register_gives_memory_that_the_device_sees() {
    let bench = bench();
    let (function, device) = bench.plug(full());
    assert_eq!(device.config_read(4, 2), Ok(0), "it does not answer");
    for (bar, size, pages, kind) in [(0, 0x4000, 4, 0), (2, 1 << 20, 256, 4), (4, 64, 1, 0)] {
        let info = device.get_bar(bar).unwrap();
        assert_eq!((info.id, info.size), (bar, size));
        let BarMemory::Mmio(vmo) = info.memory else { panic!("{bar}") };
        assert!(vmo.is_physical() && vmo.cache_policy() == CachePolicy::UncachedDevice);
        assert_eq!(vmo.size(), pages * PAGE_SIZE as u64);
        let extent = function.memory(bar as usize).unwrap();
        assert_eq!(vmo.pin(0, 0x1000).unwrap().runs()[0].0, extent.base());
        assert!(extent.base().0.is_multiple_of(size));
        let register = device.config_read(0x10 + 4 * bar as u16, 4).unwrap();
        assert_eq!(register, extent.base().0 as u32 | kind);
    }
    assert_eq!(device.config_read(4, 2), Ok(2), "memory is decoded");
    assert!(function.memory(1).is_none() && function.memory(6).is_none());
}

#[test]
fn a_register_gives_ports_that_nobody_else_has() {
    let bench = bench();
    let ports = |device: &PciDevice| match device.get_bar(1).unwrap() {
        BarInfo { id: 1, size: 32, memory: BarMemory::Ports(base) } => base,
        other => panic!("{other:?}"),
    };
    let ((_, first), (_, second)) = (bench.plug(full()), bench.plug(full()));
    assert_eq!((ports(&first), ports(&second)), (0xc000, 0xc020));
    assert_eq!(first.config_read(0x14, 4), Ok(0xc001));
    assert_eq!(second.config_read(0x14, 4), Ok(0xc021));
    assert_eq!(first.config_read(4, 2), Ok(1), "ports are decoded");
    for bar in [3, 5] {
        assert_eq!(first.get_bar(bar).err(), Some(Error::NotFound));
    }
    for bar in [6, u32::MAX] {
        assert_eq!(first.get_bar(bar).err(), Some(Error::InvalidArgs));
    }
}

#[test]
fn a_small_register_of_ports_shows_all_of_its_address() {
    let bench = bench();
    let mut bars = [Bar::Ports(4); 6];
    bars[5] = Bar::Unused;
    let (_, device) = bench.plug(Description { bars, ..Description::default() });
    assert_eq!(device.config_read(0x10, 4), Ok(0xc001));
    assert_eq!(device.config_read(0x14, 4), Ok(0xc005));
    assert_eq!(device.config_read(0x1c, 4), Ok(0xc00d));
}

#[test]
fn the_header_is_not_for_drivers_to_write() {
    let bench = bench();
    let (_, device) = bench.plug(full());
    assert_eq!(device.config_write(4, 2, 4), Err(Error::InvalidArgs));
    assert_eq!(device.config_write(0x10, 4, 0), Err(Error::InvalidArgs));
    assert_eq!(device.config_write(64, 2, 0), Ok(()));
    assert_eq!(device.config_read(64, 1), Ok(5), "nor is a capability");
    assert_eq!(device.config_read(4093, 4), Err(Error::InvalidArgs));
}

#[test]
fn only_a_bus_master_reaches_memory() {
    let bench = bench();
    let (function, device) = bench.plug(full());
    let descriptor =
        IommuDescriptor::Translating { address_space: 1 << 20, minimum_contiguity: 4096 };
    let iommu = Iommu::create(&bench.machine.root(), &bench.memory, descriptor).unwrap();
    let bti = Bti::create(&iommu, 0, function.requester_id()).unwrap();
    let vmo = Vmo::create(&bench.memory, 4096, VmoOptions::default()).unwrap();
    let (mut address, both) = ([0], PinOptions::READ | PinOptions::WRITE);
    let _pmt = bti.pin(both, &vmo, 0, 4096, &mut address).unwrap();
    let [at] = address;
    let denied = Err(Error::AccessDenied);
    assert_eq!(function.dma_write(&iommu, at, b"hello"), denied);
    assert_eq!(function.dma_read(&iommu, at, &mut [0]), denied);
    device.enable_bus_master(true);
    let mut seen = [0; 5];
    assert_eq!(function.dma_write(&iommu, at, b"hello"), Ok(()));
    assert_eq!(vmo.read(0, &mut seen), Ok(()));
    assert_eq!((&seen, function.dma_read(&iommu, at, &mut seen.clone())), (b"hello", Ok(())));
    device.enable_bus_master(false);
    assert_eq!(function.dma_write(&iommu, at, b"again"), denied);
}

#[test]
fn a_mode_must_be_one_that_the_device_has() {
    let bench = bench();
    let (_, bare) = bench.plug(Description::default());
    let (_, device) = bench.plug(full());
    let unsupported = Err(Error::NotSupported);
    for mode in [IrqMode::Disabled, IrqMode::Legacy, IrqMode::Msi, IrqMode::MsiX] {
        assert_eq!(IrqMode::from_raw(mode as u32), Ok(mode));
        assert_eq!(bare.query_irq_mode(mode), unsupported);
    }
    assert_eq!(IrqMode::from_raw(4), Err(Error::InvalidArgs));
    assert_eq!(device.query_irq_mode(IrqMode::Legacy), Ok(1));
    assert_eq!(device.query_irq_mode(IrqMode::Msi), Ok(4));
    assert_eq!(device.query_irq_mode(IrqMode::MsiX), unsupported);
    for (mode, count, result) in [
        (IrqMode::Legacy, 0, Err(Error::InvalidArgs)),
        (IrqMode::Legacy, 2, unsupported.map(|_: u32| ())),
        (IrqMode::Msi, 5, Err(Error::NotSupported)),
        (IrqMode::MsiX, 1, Err(Error::NotSupported)),
        (IrqMode::Disabled, 0, Ok(())),
        (IrqMode::Legacy, 1, Ok(())),
        (IrqMode::Msi, 4, Ok(())),
        (IrqMode::Msi, 3, Ok(())),
    ] {
        assert_eq!(device.set_irq_mode(mode, count), result, "{mode:?} {count}");
    }
    assert_eq!(bare.set_irq_mode(IrqMode::Legacy, 1), Err(Error::NotSupported));
}

#[test]
fn a_line_interrupts_once_it_is_mapped_and_not_disabled() {
    let bench = bench();
    let (function, device) = bench.plug(full());
    assert_eq!(device.map_interrupt(0).err(), Some(Error::InvalidArgs), "no mode is set");
    assert!(!function.raise(0));
    device.set_irq_mode(IrqMode::Legacy, 1).unwrap();
    let interrupt = device.map_interrupt(0).unwrap();
    assert_eq!(device.map_interrupt(0).err(), Some(Error::AlreadyBound));
    for which in [1, -1, i32::MIN, i32::MAX] {
        assert_eq!(device.map_interrupt(which).err(), Some(Error::InvalidArgs));
    }
    assert!(function.raise(0) && triggered(&interrupt));
    assert!(!function.raise(1));
    assert_eq!(device.config_read(6, 2), Ok(0x18), "the status says so");
    function.lower();
    assert_eq!(device.config_read(6, 2), Ok(0x10));
    assert_eq!(device.set_irq_mode(IrqMode::Disabled, 0), Err(Error::BadState));
    drop(interrupt);
    assert_eq!(device.set_irq_mode(IrqMode::Disabled, 0), Ok(()));
    assert_eq!(device.config_read(4, 2), Ok(0x400));
    assert!(!function.raise(0));
}

#[test]
fn a_line_whose_disable_bit_is_set_reaches_nobody_but_shows_in_the_status() {
    let bench = bench();
    let (function, device) = bench.plug(full());
    device.set_irq_mode(IrqMode::Legacy, 1).unwrap();
    let interrupt = device.map_interrupt(0).unwrap();
    // As a driver does that has the page of configuration space mapped.
    function.config.change_u16(offset::COMMAND, 0, command::INTERRUPT_DISABLE);
    assert!(!function.raise(0) && !triggered(&interrupt));
    assert_eq!(device.config_read(6, 2), Ok(0x18));
    function.config.change_u16(offset::COMMAND, command::INTERRUPT_DISABLE, 0);
    assert!(function.raise(0) && triggered(&interrupt));
}

#[test]
fn messages_go_to_their_own_interrupts() {
    let bench = bench();
    let (function, device) = bench.plug(full());
    device.set_irq_mode(IrqMode::Msi, 3).unwrap();
    let interrupts: Vec<_> = (0..3).map(|which| device.map_interrupt(which).unwrap()).collect();
    assert_eq!(device.map_interrupt(3).err(), Some(Error::InvalidArgs));
    assert_eq!(device.map_interrupt(1).err(), Some(Error::AlreadyBound));
    assert!(!function.raise(1), "a message is a transaction");
    device.enable_bus_master(true);
    assert!(function.raise(1));
    let seen: Vec<_> = interrupts.iter().map(|interrupt| triggered(interrupt)).collect();
    assert_eq!(seen, [false, true, false]);
    assert!(!function.raise(4));
    assert_eq!(device.set_irq_mode(IrqMode::Legacy, 1), Err(Error::BadState));
    interrupts[1].destroy().unwrap();
    assert!(!function.raise(1), "masked");
    let again = device.map_interrupt(1).unwrap();
    assert!(triggered(&again), "what was pending");
    drop((interrupts, again));
    assert_eq!(device.set_irq_mode(IrqMode::Legacy, 1), Ok(()));
    assert_eq!(device.config_read(66, 2), Ok(0x184), "messages are off");
}

#[test]
fn a_device_without_masks_loses_what_nobody_has() {
    let bench = bench();
    let capabilities = vec![Capability::Msi { vectors: 1, masks: false }];
    let (function, device) = bench.plug(Description { capabilities, ..Description::default() });
    device.enable_bus_master(true);
    device.set_irq_mode(IrqMode::Msi, 1).unwrap();
    assert!(!function.raise(0));
    let interrupt = device.map_interrupt(0).unwrap();
    assert!(!triggered(&interrupt));
    assert!(function.raise(0) && triggered(&interrupt));
    assert_eq!(device.reset(), Err(Error::NotSupported));
}

#[test]
fn a_machine_without_messages_has_no_such_mode() {
    let (memory, machine) = (PhysicalMemory::new(None).unwrap(), ResourceSpace::new());
    let bus = Bus::new(&machine, &memory);
    bus.plug(full()).unwrap();
    let (_, device) = PciDevice::get_nth(&bus, &machine.root(), 0).unwrap();
    assert_eq!(device.set_irq_mode(IrqMode::Msi, 1), Err(Error::NotSupported));
    drop(bus);
    assert_eq!(device.get_bar(0).err(), Some(Error::IoNotPresent), "the bus is gone");
}

#[test]
fn a_reset_device_is_as_it_was_plugged_in() {
    static RESETS: AtomicU32 = AtomicU32::new(0);
    let bench = bench();
    let on_reset = Box::new(|| {
        RESETS.fetch_add(1, Ordering::Relaxed);
    });
    let mut description = Description { on_reset: Some(on_reset), ..full() };
    description.capabilities.push(Capability::Vendor { data: vec![1; 4], writable: true });
    let (function, device) = bench.plug(description);
    let own = 64 + 24 + 20 + 3;
    assert_eq!(device.config_write(own, 4, 0x2222_2222), Ok(()));
    assert_eq!(device.config_read(own, 4), Ok(0x2222_2222));
    let bar = device.config_read(0x10, 4);
    device.get_bar(0).unwrap();
    device.enable_bus_master(true);
    device.set_irq_mode(IrqMode::Legacy, 1).unwrap();
    let interrupt = device.map_interrupt(0).unwrap();
    assert!(function.raise(0));
    assert_eq!((device.reset(), RESETS.load(Ordering::Relaxed)), (Err(Error::BadState), 0));
    drop(interrupt);
    assert_eq!((device.reset(), RESETS.load(Ordering::Relaxed)), (Ok(()), 1));
    assert_eq!((device.config_read(4, 2), device.config_read(6, 2)), (Ok(0), Ok(0x10)));
    assert_eq!((device.config_read(0x10, 4), device.config_read(own, 4)), (bar, Ok(0x0101_0101)));
    assert!(!function.raise(0));
}
