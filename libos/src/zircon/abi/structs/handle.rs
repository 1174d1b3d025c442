//! Handles: what is waited for, what is moved, what is told of them.

use super::structs;
use crate::zircon::abi::{CType, plain, scalar::*};

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
    /// `ZX_INFO_HANDLE_COUNT`.
    InfoHandleCount = "zx_info_handle_count", 4 {
        /// How many handles the object has.
        handle_count: u32,
    }
}
