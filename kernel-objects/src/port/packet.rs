//! What a port delivers: one shape of packet for every sender.

use crate::signals::Signals;

/// What a port delivers: `zx_port_packet_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// What the sender chose to recognise it by.
    pub key: u64,
    /// A status; 0 in packets that come from objects.
    pub status: i32,
    /// The rest.
    pub payload: Payload,
}

/// What is in a packet beside its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// From [`Port::queue`](super::Port::queue): the sender's bytes (`ZX_PKT_TYPE_USER`).
    User([u8; 32]),
    /// From [`Port::wait_async`](super::Port::wait_async) (`ZX_PKT_TYPE_SIGNAL_ONE`).
    Signal(SignalPacket),
    /// From an [`Interrupt`](crate::Interrupt) (`ZX_PKT_TYPE_INTERRUPT`).
    Interrupt(InterruptPacket),
    /// About a VMO of a [`Pager`](crate::Pager) (`ZX_PKT_TYPE_PAGE_REQUEST`).
    PageRequest(PageRequestPacket),
}

impl Payload {
    /// The number of its kind: `ZX_PKT_TYPE_*`.
    pub const fn packet_type(&self) -> u32 {
        match self {
            Payload::User(_) => 0,
            Payload::Signal(_) => 1,
            Payload::Interrupt(_) => 7,
            Payload::PageRequest(_) => 9,
        }
    }
}

/// What an interrupt sends: `zx_packet_interrupt_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterruptPacket {
    /// When it was triggered, in ns of the monotonic clock or as its trigger said.
    pub timestamp: u64,
}

/// What an object sends: `zx_packet_signal_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalPacket {
    /// The signals that were waited for.
    pub trigger: Signals,
    /// All the object's signals when one of those was set.
    pub observed: Signals,
    /// How often; always 1.
    pub count: u64,
    /// When, in ns of the monotonic clock; 0 unless asked for.
    pub timestamp: u64,
}

/// What a VMO of a pager asks for: `zx_packet_page_request_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequestPacket {
    /// What is to be done.
    pub command: PageCommand,
    /// The first byte, a page multiple; 0 with [`PageCommand::Complete`].
    pub offset: u64,
    /// Bytes, a page multiple; 0 with [`PageCommand::Complete`].
    pub length: u64,
}

/// What a pager is to do: `ZX_PAGER_VMO_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum PageCommand {
    /// Supply the pages: somebody wants to use them.
    Read = 0,
    /// Nothing: there will be no more requests for this VMO.
    Complete = 1,
    /// Agree that the pages become dirty: somebody wants to write to them.
    Dirty = 2,
}
