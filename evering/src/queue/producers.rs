//! Who sends into a ring: one, or many at the same time.
//!
//! The one idea: one sender alone can publish by its index; of many, each has to mark the slots that it
//! has filled, for they are not filled in order. So the two kinds of ring differ in what a slot holds
//! beside its entry, and nothing else of the memory does.

use super::{
    entry::Entry,
    error::AttachError,
    memory::Ring,
    mpsc, spsc,
    stamp::{Lap, NoStamp, Stamp},
};

/// [`One`] or [`Many`].
pub trait Producers: sealed::Sealed + Sized + Send + Sync + 'static {
    /// The sending end of such a ring.
    type Sender<T: Entry, K>;
    /// The receiving end.
    type Receiver<T: Entry, K>;
    #[doc(hidden)]
    fn sender<T: Entry, K>(ring: Ring<T, K, Self>) -> Result<Self::Sender<T, K>, AttachError>;
    #[doc(hidden)]
    fn receiver<T: Entry, K>(ring: Ring<T, K, Self>) -> Result<Self::Receiver<T, K>, AttachError>;
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
    type Sender<T: Entry, K> = spsc::Sender<T, K>;
    type Receiver<T: Entry, K> = spsc::Receiver<T, K>;

    fn sender<T: Entry, K>(ring: Ring<T, K, Self>) -> Result<Self::Sender<T, K>, AttachError> {
        spsc::Sender::new(ring)
    }

    fn receiver<T: Entry, K>(ring: Ring<T, K, Self>) -> Result<Self::Receiver<T, K>, AttachError> {
        spsc::Receiver::new(ring)
    }

    type Stamp = NoStamp;
    const KIND: u32 = 1;
}

impl Producers for Many {
    type Sender<T: Entry, K> = mpsc::Sender<T, K>;
    type Receiver<T: Entry, K> = mpsc::Receiver<T, K>;

    fn sender<T: Entry, K>(ring: Ring<T, K, Self>) -> Result<Self::Sender<T, K>, AttachError> {
        mpsc::Sender::new(ring)
    }

    fn receiver<T: Entry, K>(ring: Ring<T, K, Self>) -> Result<Self::Receiver<T, K>, AttachError> {
        mpsc::Receiver::new(ring)
    }

    type Stamp = Lap;
    const KIND: u32 = 2;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::One {}
    impl Sealed for super::Many {}
}
