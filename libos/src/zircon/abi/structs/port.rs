//! Packets of ports.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::structs;
use crate::zircon::abi::{CType, plain, scalar::*};

structs! {
    /// What is in a packet that a user sends.
    PacketUser = "zx_packet_user", 32 {
        /// Anything.
        words: UserWords,
    }
    /// What is in a packet of `zx_object_wait_async`.
    PacketSignal = "zx_packet_signal", 32 {
        /// What was waited for.
        trigger: ZxSignals,
        /// All signals of the object.
        observed: ZxSignals,
        /// 1.
        count: u64,
        /// When, if asked for.
        timestamp: u64,
        /// 0.
        reserved1: u64,
    }
    /// What is in a packet of an interrupt.
    PacketInterrupt = "zx_packet_interrupt", 32 {
        /// When it was triggered.
        timestamp: ZxTime,
        /// 0.
        reserved0: u64,
        /// 0.
        reserved1: u64,
        /// 0.
        reserved2: u64,
    }
    /// What is in a packet of a pager.
    PacketPageRequest = "zx_packet_page_request", 32 {
        /// What is to be done: `ZX_PAGER_VMO_*`.
        command: u16,
        /// How.
        flags: u16,
        /// 0.
        reserved0: u32,
        /// The first byte.
        offset: u64,
        /// How many.
        length: u64,
        /// 0.
        reserved1: u64,
    }
    /// A packet of a port.
    PortPacket = "zx_port_packet", 48 {
        /// What it is about.
        key: u64,
        /// Its kind: `ZX_PKT_TYPE_*`.
        r#type: u32,
        /// A status.
        status: ZxStatus,
        /// The rest, by its kind.
        payload: PacketPayload,
    }
}

/// A user packet's content as numbers of any size: four of 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct UserWords(pub [u64; 4]);

impl CType for UserWords {
    fn declare(_: &str) -> String {
        "union { uint64_t u64[4]; uint32_t u32[8]; uint16_t u16[16]; uint8_t c8[32]; }".to_owned()
    }
}

/// What is in a packet: one of the `zx_packet_*` structures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct PacketPayload(pub [u64; 4]);

impl CType for PacketPayload {
    fn declare(_: &str) -> String {
        "union { zx_packet_user_t user; zx_packet_signal_t signal; zx_packet_interrupt_t interrupt; \
         zx_packet_page_request_t page_request; }"
            .to_owned()
    }
}
