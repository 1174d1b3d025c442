//! Zircon's kernel objects as asynchronous Rust values.
//!
//! An object here is an ordinary `Arc`: tasks, memory, ports and events that `cargo test` can drive
//! without any privilege. Waiting is a future. Dropped, it deregisters; moved to another task, it
//! wakes that one. Names, values and semantics are those Zircon documents; the Linux personality is
//! built on the same objects.
//!
//! Start with [`object`] (what all objects have), [`signals`] (how one waits for them), [`handle`]
//! (how a process names them) and [`wait_queue`] (how anything else blocks).

#![forbid(unsafe_code)]

pub mod channel;
pub mod clock;
pub mod counter;
pub mod deadline;
pub mod debuglog;
pub mod dma;
pub mod error;
pub mod event;
pub mod eventpair;
pub mod fifo;
pub mod futex;
pub mod handle;
pub mod interrupt;
pub mod iob;
#[cfg(all(test, shuttle))]
mod models;
pub mod msi;
pub mod object;
pub mod pager;
pub mod pci;
mod peer;
pub mod port;
pub mod profile;
pub mod resource;
pub mod rights;
pub mod signals;
pub mod socket;
pub mod stream;
mod sync;
pub mod task;
pub mod timer;
pub mod vmar;
pub mod vmo;
pub mod wait_many;
pub mod wait_queue;
#[cfg(all(test, not(shuttle)))]
mod wakes;

pub use channel::{Channel, Message};
pub use clock::Clock;
pub use counter::Counter;
pub use debuglog::DebugLog;
pub use dma::{Bti, Iommu, Pmt};
pub use error::{Error, Result};
pub use event::Event;
pub use eventpair::EventPair;
pub use fifo::Fifo;
pub use futex::FutexTable;
pub use handle::{Handle, HandleInfo, HandleTable, HandleValue};
pub use interrupt::Interrupt;
pub use iob::Iob;
pub use msi::MsiAllocation;
pub use object::{KObjectBase, KernelObject, Koid, ObjectType, downcast};
pub use pager::Pager;
pub use pci::PciDevice;
pub use port::Port;
pub use profile::Profile;
pub use resource::Resource;
pub use rights::Rights;
pub use signals::Signals;
pub use socket::Socket;
pub use stream::Stream;
pub use task::{Job, Process, SuspendToken, Thread};
pub use timer::Timer;
pub use vmar::{MapArgs, Mapping, MappingFlags, Placement, Vmar};
pub use vmo::{PageSink, PageSource, Vmo, VmoOptions};
pub use wait_queue::WaitQueue;
