//! Who sends into a ring: one, or many at the same time.
//!
//! The one idea: one sender alone can publish by its index; of many, each has to mark the slots that it
//! has filled, for they are not filled in order. So the two kinds of ring differ in what a slot holds
//! beside its entry, and nothing else of the memory does.

use super::stamp::{NoStamp, Stamp};

/// [`One`] or [`Many`].
pub trait Producers: sealed::Sealed + Send + Sync + 'static {
    #[doc(hidden)]
    type Stamp: Stamp;
    /// What the ring's header says of it.
    #[doc(hidden)]
    const KIND: u32;
}

/// One sender, whose index publishes what it has sent.
#[derive(Debug, Clone, Copy)]
pub enum One {}

/// Any number of senders, who claim slots and mark each when it is filled.
#[derive(Debug, Clone, Copy)]
pub enum Many {}

impl Producers for One {
    type Stamp = NoStamp;
    const KIND: u32 = 1;
}

impl Producers for Many {
    type Stamp = super::stamp::Lap;
    const KIND: u32 = 2;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::One {}
    impl Sealed for super::Many {}
}
