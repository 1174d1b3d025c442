//! The structures of `<zircon/types.h>` and `<zircon/syscalls/*.h>`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{CType, plain, scalar::*};

/// A structure's name in C and its fields, each declared.
pub struct Declaration {
    /// Without the `_t`.
    pub name: &'static str,
    /// How many bytes it has.
    pub size: usize,
    /// Its fields' declarations.
    pub fields: fn() -> Vec<String>,
}

/// A field's name in C, which knows other keywords.
fn c_name(field: &'static str) -> &'static str {
    field.trim_start_matches("r#")
}

macro_rules! structs {
    ($($(#[doc = $doc:literal])+ $name:ident = $c_name:literal, $size:literal {
        $($(#[doc = $field_doc:literal])+ $field:ident: $ty:ty,)+
    })*) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
            #[repr(C)]
            pub struct $name {
                $($(#[doc = $field_doc])+ pub $field: $ty,)+
            }

            const _: () = assert!(size_of::<$name>() == $size);

            impl CType for $name {
                fn declare(name: &str) -> String { plain(concat!($c_name, "_t"), name) }
            }
        )*

        /// All of them, in an order in which C can read them.
        pub const STRUCTS: &[Declaration] = &[$(Declaration {
            name: $c_name,
            size: $size,
            fields: || vec![$(<$ty as CType>::declare(c_name(stringify!($field)))),+],
        }),*];
    };
}

structs! {
    /// What is waited for in `zx_object_wait_many`.
    WaitItem = "zx_wait_item", 12 {
        /// Through which handle.
        handle: ZxHandle,
        /// For which signals.
        waitfor: ZxSignals,
        /// The object's signals afterwards.
        pending: ZxSignals,
    }
    /// A handle that was read from a channel.
    HandleInfo = "zx_handle_info", 16 {
        /// Its value.
        handle: ZxHandle,
        /// Its object's type.
        r#type: ZxObjType,
        /// Its rights.
        rights: ZxRights,
        /// 0.
        unused: u32,
    }
    /// A handle that is written to a channel.
    HandleDisposition = "zx_handle_disposition", 20 {
        /// Moved or duplicated.
        operation: ZxHandleOp,
        /// Its value.
        handle: ZxHandle,
        /// The type that its object must have, or none.
        r#type: ZxObjType,
        /// The rights that it will have.
        rights: ZxRights,
        /// What became of it.
        result: ZxStatus,
    }
    /// The message of `zx_channel_call` and the room for its answer.
    ChannelCallArgs = "zx_channel_call_args", 48 {
        /// The bytes.
        wr_bytes: ConstBytes,
        /// The handles.
        wr_handles: ConstHandles,
        /// Where the answer's bytes go.
        rd_bytes: MutBytes,
        /// Where the answer's handles go.
        rd_handles: MutHandles,
        /// How many bytes.
        wr_num_bytes: u32,
        /// How many handles.
        wr_num_handles: u32,
        /// Room for how many bytes.
        rd_num_bytes: u32,
        /// Room for how many handles.
        rd_num_handles: u32,
    }
    /// The message of `zx_channel_call_etc` and the room for its answer.
    ChannelCallEtcArgs = "zx_channel_call_etc_args", 48 {
        /// The bytes.
        wr_bytes: ConstBytes,
        /// The handles and what is done with them.
        wr_handles: MutDispositions,
        /// Where the answer's bytes go.
        rd_bytes: MutBytes,
        /// Where the answer's handles go.
        rd_handles: MutHandleInfos,
        /// How many bytes.
        wr_num_bytes: u32,
        /// How many handles.
        wr_num_handles: u32,
        /// Room for how many bytes.
        rd_num_bytes: u32,
        /// Room for how many handles.
        rd_num_handles: u32,
    }
    /// A part of a message.
    ChannelIovec = "zx_channel_iovec", 16 {
        /// Its bytes.
        buffer: ConstBytes,
        /// How many.
        capacity: u32,
        /// 0.
        reserved: u32,
    }
    /// A part of a stream's transfer.
    Iovec = "zx_iovec", 16 {
        /// Where it is.
        buffer: MutBytes,
        /// How many bytes.
        capacity: u64,
    }
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
    /// `ZX_INFO_HANDLE_BASIC`.
    InfoHandleBasic = "zx_info_handle_basic", 32 {
        /// The object's identity.
        koid: ZxKoid,
        /// The handle's rights.
        rights: ZxRights,
        /// The object's type.
        r#type: ZxObjType,
        /// The related object's identity.
        related_koid: ZxKoid,
        /// Whether it can be waited for.
        props: ZxObjProps,
        /// 0.
        padding1: [u8; 4],
    }
    /// What `ZX_VMO_OP_LOCK` tells.
    VmoLockState = "zx_vmo_lock_state", 32 {
        /// The first byte that was locked.
        offset: u64,
        /// How many.
        size: u64,
        /// The first byte that had been discarded.
        discarded_offset: u64,
        /// How many.
        discarded_size: u64,
    }
    /// `ZX_INFO_HANDLE_TABLE`.
    InfoHandleExtended = "zx_info_handle_extended", 40 {
        /// The object's type.
        r#type: ZxObjType,
        /// The handle's value in the process that was asked about.
        handle_value: ZxHandle,
        /// The handle's rights.
        rights: ZxRights,
        /// Whether it can be waited for.
        props: ZxObjProps,
        /// The object's identity.
        koid: ZxKoid,
        /// The related object's identity.
        related_koid: ZxKoid,
        /// 0, as in Zircon.
        peer_owner_koid: ZxKoid,
    }
    /// `ZX_INFO_PROCESS_HANDLE_STATS`.
    InfoProcessHandleStats = "zx_info_process_handle_stats", 256 {
        /// How many handles there are to objects of each type.
        handle_count: [u32; 64],
    }
    /// `ZX_INFO_RESOURCE`.
    InfoResource = "zx_info_resource", 56 {
        /// What it is about: `ZX_RSRC_KIND_*`.
        kind: u32,
        /// Whether it is exclusive: `ZX_RSRC_FLAG_EXCLUSIVE`.
        flags: u32,
        /// The first of its range.
        base: u64,
        /// How many there are.
        size: usize,
        /// Its name.
        name: [CChar; 32],
    }
    /// `ZX_INFO_HANDLE_COUNT`.
    InfoHandleCount = "zx_info_handle_count", 4 {
        /// How many handles the object has.
        handle_count: u32,
    }
    /// `ZX_INFO_VMAR`.
    InfoVmar = "zx_info_vmar", 16 {
        /// Its first address.
        base: ZxVaddr,
        /// Its length in bytes.
        len: usize,
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
