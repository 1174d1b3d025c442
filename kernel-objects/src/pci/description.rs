//! What a device is, before it is plugged in.

use std::fmt;

/// A base address register: what a device wants addresses for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bar {
    /// The register is not there.
    #[default]
    Unused,
    /// Memory below 4 GiB, of so many bytes: a power of two, at least 16.
    Memory32(u64),
    /// Memory anywhere, of so many bytes. It takes the next register too, which must be [`Bar::Unused`].
    Memory64(u64),
    /// I/O ports, so many: a power of two, 4 to 256.
    Ports(u32),
}

/// A capability: a structure of its own in the configuration space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capability {
    /// Message-signalled interrupts.
    Msi {
        /// How many: 1, 2, 4, 8, 16 or 32.
        vectors: u32,
        /// Each can be masked.
        masks: bool,
    },
    /// PCI Express: 4096 bytes of configuration space instead of 256.
    Express {
        /// The function can be reset by itself.
        function_level_reset: bool,
    },
    /// The maker's own, which drivers read and, if `writable`, write.
    Vendor {
        /// What follows the head of two bytes and the length.
        data: Vec<u8>,
        /// Drivers may write it.
        writable: bool,
    },
}

/// What a device is. The defaults are a function without registers, interrupts and capabilities.
#[derive(Default)]
pub struct Description {
    /// Who made it.
    pub vendor_id: u16,
    /// What it is, of that maker's.
    pub device_id: u16,
    /// Its class: base class, subclass and programming interface.
    pub class: [u8; 3],
    /// Its revision.
    pub revision_id: u8,
    /// Its base address registers.
    pub bars: [Bar; 6],
    /// Its legacy interrupt: 1 to 4 for INTA to INTD; 0 for none.
    pub interrupt_pin: u8,
    /// Its capabilities, in the order in which they are found.
    pub capabilities: Vec<Capability>,
    /// What its model does when it is reset.
    pub on_reset: Option<Box<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Description")
            .field("vendor_id", &self.vendor_id)
            .field("device_id", &self.device_id)
            .field("class", &self.class)
            .field("bars", &self.bars)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}
