//! PCI: a bus whose devices are described in Rust.
//!
//! A [`Bus`] gives every [`Function`] that is plugged into it an address, a page of configuration space filled as its
//! [`Description`] says, memory for its base address registers and a line for its interrupt. That is the device's side: its model
//! reads its registers, raises its interrupt and does its transactions through the [`Function`]. The driver's side is
//! [`PciDevice`], Zircon's object, with the rules that keep a driver from what the kernel has set up.

mod bus;
mod config;
mod description;
mod device;

pub use self::{
    bus::{Bus, Function},
    description::{Bar, Capability, Description},
    device::{BarInfo, BarMemory, DeviceInfo, IrqMode, PciDevice},
};
