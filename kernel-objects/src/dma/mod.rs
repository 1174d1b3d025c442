//! Direct memory access: which memory a device may touch, and for how long.
//!
//! An [`Iommu`] stands between devices and physical memory. A [`Bti`] stands for one device behind it, by the number that the
//! device puts on its transactions. A driver pins pages of a VMO for that device and gets a [`Pmt`], which it unpins when the
//! device is done. A token that is dropped instead may belong to a driver that died while its device goes on writing: its pages
//! are quarantined until a new driver says that the device was stopped.

mod bti;
mod iommu;
mod pmt;

pub use self::{
    bti::{Bti, BtiInfo, PinOptions},
    iommu::{Iommu, IommuDescriptor},
    pmt::Pmt,
};
