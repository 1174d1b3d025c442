//! Configuration space: a device's page of standard registers.
//!
//! It lies in a page of physical memory, so that a driver in user space can be given it as a physical VMO. What is read-only is so
//! by a mask of the bits that a driver may change; the kernel itself changes any.

use std::sync::Arc;

use hal::pmem::{Extent, PAGE_SIZE};
use parking_lot::Mutex;

use super::description::{Capability, Description};
use crate::{
    error::{Error, Result},
    msi,
};

/// Offsets in the header (PCI Local Bus Specification 3.0, chapter 6).
pub(super) mod offset {
    pub(in crate::pci) const VENDOR_ID: u64 = 0x00;
    pub(in crate::pci) const DEVICE_ID: u64 = 0x02;
    pub(in crate::pci) const COMMAND: u64 = 0x04;
    pub(in crate::pci) const STATUS: u64 = 0x06;
    pub(in crate::pci) const REVISION_ID: u64 = 0x08;
    pub(in crate::pci) const CLASS: u64 = 0x09;
    pub(in crate::pci) const BAR_0: u64 = 0x10;
    pub(in crate::pci) const CAPABILITIES: u64 = 0x34;
    pub(in crate::pci) const INTERRUPT_PIN: u64 = 0x3d;
}

/// Bits of the command register.
pub(super) mod command {
    pub(in crate::pci) const PORTS: u16 = 1 << 0;
    pub(in crate::pci) const MEMORY: u16 = 1 << 1;
    pub(in crate::pci) const BUS_MASTER: u16 = 1 << 2;
    pub(in crate::pci) const INTERRUPT_DISABLE: u16 = 1 << 10;
}

/// Bits of the status register.
pub(super) mod status {
    pub(in crate::pci) const INTERRUPT: u16 = 1 << 3;
    pub(in crate::pci) const HAS_CAPABILITIES: u16 = 1 << 4;
}

/// The header, which a driver may not write: `ZX_PCI_STANDARD_CONFIG_HDR_SIZE`.
const HEADER: u64 = 64;
/// `ZX_PCI_BASE_CONFIG_SIZE`.
const BASE: u64 = 256;
/// `ZX_PCI_EXTENDED_CONFIG_SIZE`.
const EXTENDED: u64 = 4096;

/// The number of the PCI Express capability.
const EXPRESS_ID: u8 = 0x10;
/// The number of a maker's own.
const VENDOR_ID: u8 = 0x09;

/// A device's configuration space.
#[derive(Debug)]
pub(super) struct ConfigSpace {
    page: Arc<Extent>,
    /// Bit by bit, what a driver may change; for the base size.
    writable: Vec<u8>,
    /// What the capabilities were at first.
    initial: Vec<u8>,
    /// Where the MSI capability is, and how many vectors it is for.
    pub(super) msi: Option<(u64, u32)>,
    express: bool,
    /// The function can be reset by itself.
    pub(super) function_level_reset: bool,
    /// Held while bits change.
    changing: Mutex<()>,
}

impl ConfigSpace {
    /// How large a space is in memory.
    pub(super) const LEN: usize = PAGE_SIZE;

    /// Fills `page` as the device is described, but for the base address registers.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if the description is not possible.
    pub(super) fn new(page: Arc<Extent>, description: &Description) -> Result<ConfigSpace> {
        let mut config = ConfigSpace {
            page,
            writable: vec![0; BASE as usize],
            initial: vec![0; (BASE - HEADER) as usize],
            msi: None,
            express: false,
            function_level_reset: false,
            changing: Mutex::default(),
        };
        if description.interrupt_pin > 4 {
            return Err(Error::InvalidArgs);
        }
        config.set_u16(offset::VENDOR_ID, description.vendor_id);
        config.set_u16(offset::DEVICE_ID, description.device_id);
        config.set(offset::REVISION_ID, &[description.revision_id]);
        let [base, sub, interface] = description.class;
        config.set(offset::CLASS, &[interface, sub, base]);
        config.set(offset::INTERRUPT_PIN, &[description.interrupt_pin]);
        let mut at = HEADER;
        let mut link = offset::CAPABILITIES;
        for capability in &description.capabilities {
            let body = config.capability(at, capability)?;
            let end = at + body.len() as u64;
            if end > BASE {
                return Err(Error::InvalidArgs);
            }
            config.set(at, &body);
            config.set(link, &[at as u8]);
            link = at + 1;
            at = end.next_multiple_of(4);
        }
        if at > HEADER {
            config.set_u16(offset::STATUS, status::HAS_CAPABILITIES);
        }
        let first = config.page.base().offset(HEADER);
        config.page.memory().read(first, &mut config.initial);
        Ok(config)
    }

    /// The bytes of a capability that is to be at `at`, without the link to the next.
    fn capability(&mut self, at: u64, capability: &Capability) -> Result<Vec<u8>> {
        match capability {
            &Capability::Msi { vectors, masks } => {
                if !vectors.is_power_of_two() || vectors > 32 || self.msi.is_some() {
                    return Err(Error::InvalidArgs);
                }
                let mut control = (vectors.trailing_zeros() as u16) << 1 | msi::Capability::WIDE;
                if masks {
                    control |= msi::Capability::MASKS;
                }
                self.msi = Some((at, vectors));
                let mut body = vec![0; msi::Capability::LEN as usize];
                body[0] = msi::Capability::ID;
                body[2..4].copy_from_slice(&control.to_le_bytes());
                if masks {
                    let at = msi::Capability::mask_offset(control) as usize;
                    body[at..at + 4].copy_from_slice(&mask_of(vectors).to_le_bytes());
                }
                Ok(body)
            }
            &Capability::Express { function_level_reset } => {
                self.express = true;
                self.function_level_reset = function_level_reset;
                let mut body = vec![0; 20];
                body[0] = EXPRESS_ID;
                body[2] = 2; // the version
                let device_capabilities = u32::from(function_level_reset) << 28;
                body[4..8].copy_from_slice(&device_capabilities.to_le_bytes());
                Ok(body)
            }
            Capability::Vendor { data, writable } => {
                let len = u8::try_from(data.len() + 3).map_err(|_| Error::InvalidArgs)?;
                let mut body = vec![VENDOR_ID, 0, len];
                body.extend(data);
                let start = at as usize + 3;
                if let Some(bits) = self.writable.get_mut(start..start + data.len()) {
                    bits.fill(if *writable { 0xff } else { 0 });
                }
                Ok(body)
            }
        }
    }

    /// How many bytes of it there are.
    pub(super) fn len(&self) -> u64 {
        if self.express { EXTENDED } else { BASE }
    }

    /// Reads a register of 1, 2 or 4 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for any other width, or one that passes the end.
    pub(super) fn read(&self, offset: u64, width: usize) -> Result<u32> {
        self.check(offset, width)?;
        let mut bytes = [0; 4];
        let part = bytes.get_mut(..width).ok_or(Error::InvalidArgs)?;
        self.page.memory().read(self.page.base().offset(offset), part);
        Ok(u32::from_le_bytes(bytes))
    }

    /// Writes a register of 1, 2 or 4 bytes; bits that a driver may not change stay.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for any other width, one that passes the end, and for the header.
    pub(super) fn write(&self, offset: u64, width: usize, value: u32) -> Result {
        self.check(offset, width)?;
        if offset < HEADER {
            return Err(Error::InvalidArgs);
        }
        let _changing = self.changing.lock();
        let start = offset as usize;
        for (at, byte) in (start..start + width).zip(value.to_le_bytes()) {
            let writable = self.writable.get(at).copied().unwrap_or(0);
            let mut old = [0];
            let pa = self.page.base().offset(at as u64);
            self.page.memory().read(pa, &mut old);
            self.page.memory().write(pa, &[old[0] & !writable | byte & writable]);
        }
        Ok(())
    }

    fn check(&self, offset: u64, width: usize) -> Result {
        let fits = offset.checked_add(width as u64).is_some_and(|end| end <= self.len());
        if fits && matches!(width, 1 | 2 | 4) { Ok(()) } else { Err(Error::InvalidArgs) }
    }

    /// Writes as the kernel does.
    pub(super) fn set(&self, offset: u64, bytes: &[u8]) {
        self.page.memory().write(self.page.base().offset(offset), bytes);
    }

    pub(super) fn set_u16(&self, offset: u64, value: u16) {
        self.set(offset, &value.to_le_bytes());
    }

    pub(super) fn set_u32(&self, offset: u64, value: u32) {
        self.set(offset, &value.to_le_bytes());
    }

    pub(super) fn get_u16(&self, offset: u64) -> u16 {
        let mut bytes = [0; 2];
        self.page.memory().read(self.page.base().offset(offset), &mut bytes);
        u16::from_le_bytes(bytes)
    }

    pub(super) fn get_u32(&self, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        self.page.memory().read(self.page.base().offset(offset), &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// Clears and then sets bits of a word.
    pub(super) fn change_u16(&self, offset: u64, clear: u16, set: u16) {
        let _changing = self.changing.lock();
        self.set_u16(offset, self.get_u16(offset) & !clear | set);
    }

    /// Makes the capabilities what they were at first.
    pub(super) fn restore(&self) {
        let _changing = self.changing.lock();
        self.set(HEADER, &self.initial);
    }

    /// Where it is in memory.
    pub(super) fn page(&self) -> &Arc<Extent> {
        &self.page
    }
}

/// A bit for each of `count` vectors.
pub(super) fn mask_of(count: u32) -> u32 {
    u32::MAX >> (32 - count.clamp(1, 32))
}

#[cfg(test)]
mod tests {
    use hal::pmem::PhysicalMemory;

    use super::*;

    fn config(capabilities: Vec<Capability>) -> Result<ConfigSpace> {
        let memory = PhysicalMemory::new(None).unwrap();
        let page = Arc::new(memory.allocate(ConfigSpace::LEN).unwrap());
        let description = Description {
            vendor_id: 0x8086,
            device_id: 0x1234,
            class: [2, 0, 7],
            revision_id: 9,
            interrupt_pin: 1,
            capabilities,
            ..Description::default()
        };
        ConfigSpace::new(page, &description)
    }

    fn vendor(len: usize, writable: bool) -> Capability {
        Capability::Vendor { data: vec![0xa5; len], writable }
    }

    #[test]
    fn the_header_is_as_described() {
        let config = config(vec![]).unwrap();
        assert_eq!(config.read(0, 4), Ok(0x1234_8086));
        assert_eq!(config.read(8, 4), Ok(0x0200_0709));
        assert_eq!((config.read(0x3d, 1), config.read(0x34, 1)), (Ok(1), Ok(0)));
        assert_eq!(config.read(6, 2), Ok(0));
        let pin = Description { interrupt_pin: 5, ..Description::default() };
        let bad = ConfigSpace::new(config.page().clone(), &pin);
        assert_eq!(bad.err(), Some(Error::InvalidArgs));
    }

    #[test]
    fn capabilities_are_a_list() {
        let msi = Capability::Msi { vectors: 8, masks: true };
        let express = Capability::Express { function_level_reset: true };
        let config = config(vec![vendor(2, false), msi, express]).unwrap();
        assert_eq!(config.read(6, 2), Ok(0x10));
        let mut found = Vec::new();
        let mut at = config.read(0x34, 1).unwrap();
        while at != 0 {
            found.push((at, config.read(at.into(), 1).unwrap()));
            at = config.read(u64::from(at) + 1, 1).unwrap();
        }
        assert_eq!(found, [(64, 0x09), (72, 0x05), (96, 0x10)]);
        assert_eq!(config.read(66, 1), Ok(5), "the length of the maker's own");
        assert_eq!(config.msi, Some((72, 8)));
        assert_eq!(config.read(74, 2), Ok(0x186));
        assert_eq!(config.read(72 + 16, 4), Ok(0xff), "all are masked");
        assert_eq!(config.read(100, 4), Ok(1 << 28));
    }

    #[test]
    fn impossible_capabilities_are_refused() {
        for bad in [
            vec![Capability::Msi { vectors: 3, masks: false }],
            vec![Capability::Msi { vectors: 64, masks: false }],
            vec![Capability::Msi { vectors: 1, masks: false }; 2],
            vec![vendor(253, false)],
            vec![vendor(100, false), vendor(100, false)],
        ] {
            assert_eq!(config(bad).err(), Some(Error::InvalidArgs));
        }
        assert!(config(vec![vendor(189, false)]).is_ok(), "up to the end");
        assert!(config(vec![vendor(190, false)]).is_err());
    }

    #[test]
    fn registers_are_of_1_2_or_4_bytes_inside() {
        let plain = config(vec![]).unwrap();
        let express = config(vec![Capability::Express { function_level_reset: false }]).unwrap();
        for (config, len) in [(plain, 256), (express, 4096)] {
            assert_eq!(config.len(), len);
            for width in [0, 3, 5, 8] {
                assert_eq!(config.read(64, width), Err(Error::InvalidArgs));
                assert_eq!(config.write(64, width, 0), Err(Error::InvalidArgs));
            }
            for (offset, width) in [(len, 1), (len - 1, 2), (len - 3, 4), (u64::MAX, 1)] {
                assert_eq!(config.read(offset, width), Err(Error::InvalidArgs));
                assert_eq!(config.write(offset, width, 0), Err(Error::InvalidArgs));
            }
            assert!(config.read(len - 4, 4).is_ok() && config.write(len - 4, 4, 0).is_ok());
        }
    }

    #[test]
    fn a_driver_changes_what_the_device_lets_it() {
        let config = config(vec![vendor(4, true), vendor(4, false)]).unwrap();
        for (offset, width) in [(4, 2), (0x10, 4), (0x3c, 1), (63, 1), (62, 4)] {
            assert_eq!(config.write(offset, width, 0), Err(Error::InvalidArgs), "the header");
        }
        assert_eq!(config.write(64, 4, 0x1122_3344), Ok(()));
        assert_eq!(config.read(64, 4), Ok(0x1107_4809), "the head stays");
        assert_eq!(config.write(68, 2, 0xbeef), Ok(()));
        assert_eq!(config.read(68, 2), Ok(0xbeef));
        assert_eq!(config.write(75, 4, 0), Ok(()));
        assert_eq!(config.read(75, 4), Ok(0xa5a5_a5a5), "it is read-only");
    }

    #[test]
    fn there_is_a_bit_for_each_vector() {
        assert_eq!((mask_of(1), mask_of(8), mask_of(32)), (1, 0xff, u32::MAX));
    }
}
