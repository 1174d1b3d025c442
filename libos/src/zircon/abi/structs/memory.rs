//! VMOs, streams, pagers and address spaces.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::structs;
use crate::zircon::abi::{CType, plain, scalar::*};

structs! {
    /// A part of a stream's transfer.
    Iovec = "zx_iovec", 16 {
        /// Where it is.
        buffer: MutBytes,
        /// How many bytes.
        capacity: u64,
    }
    /// What a pager has to write back.
    VmoDirtyRange = "zx_vmo_dirty_range", 24 {
        /// The first byte.
        offset: u64,
        /// How many.
        length: u64,
        /// What they are: `ZX_VMO_DIRTY_RANGE_IS_ZERO`.
        options: u64,
    }
    /// What a pager knows of a VMO's use.
    PagerVmoStats = "zx_pager_vmo_stats", 4 {
        /// `ZX_PAGER_VMO_STATS_MODIFIED` or 0.
        modified: u32,
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
    /// `ZX_INFO_STREAM`.
    InfoStream = "zx_info_stream", 24 {
        /// What it is for.
        options: u32,
        /// 0.
        padding1: u32,
        /// Its position.
        seek: ZxOff,
        /// Where it ends.
        content_size: u64,
    }
    /// `ZX_INFO_VMO`. Sizes are in bytes. What is populated is committed: nothing is compressed.
    InfoVmo = "zx_info_vmo", 176 {
        /// Its identity.
        koid: ZxKoid,
        /// Its name.
        name: [CChar; 32],
        /// Its size.
        size_bytes: u64,
        /// What it is a child of, or 0.
        parent_koid: ZxKoid,
        /// How many children it has.
        num_children: usize,
        /// How many mappings.
        num_mappings: usize,
        /// In how many address spaces it is mapped.
        share_count: usize,
        /// What kind it is: `ZX_INFO_VMO_*`.
        flags: u32,
        /// 0.
        padding1: [u8; 4],
        /// Of its own or shared with others, in memory.
        committed_bytes: u64,
        /// The rights of the handle that it was found by.
        handle_rights: ZxRights,
        /// How it is cached: `ZX_CACHE_POLICY_*`.
        cache_policy: u32,
        /// What the kernel needs to keep it.
        metadata_bytes: u64,
        /// How often memory was reclaimed from it.
        committed_change_events: u64,
        /// As `committed_bytes`.
        populated_bytes: u64,
        /// In memory and not shared.
        committed_private_bytes: u64,
        /// As `committed_private_bytes`.
        populated_private_bytes: u64,
        /// In memory, each page divided by how many share it.
        committed_scaled_bytes: u64,
        /// As `committed_scaled_bytes`.
        populated_scaled_bytes: u64,
        /// What `committed_scaled_bytes` is too small by, in units of 2^-63.
        committed_fractional_scaled_bytes: u64,
        /// As `committed_fractional_scaled_bytes`.
        populated_fractional_scaled_bytes: u64,
    }
    /// A mapping, of `ZX_INFO_PROCESS_MAPS`. What is populated is committed: nothing is compressed.
    InfoMapsMapping = "zx_info_maps_mapping", 88 {
        /// `ZX_VM_PERM_*`.
        mmu_flags: ZxVmOption,
        /// 0.
        padding1: [u8; 4],
        /// What is mapped.
        vmo_koid: ZxKoid,
        /// From where on.
        vmo_offset: u64,
        /// In memory, of what is mapped.
        committed_bytes: usize,
        /// As `committed_bytes`.
        populated_bytes: usize,
        /// In memory and not shared with copies.
        committed_private_bytes: usize,
        /// As `committed_private_bytes`.
        populated_private_bytes: usize,
        /// In memory, each page divided by how many VMOs share it.
        committed_scaled_bytes: usize,
        /// As `committed_scaled_bytes`.
        populated_scaled_bytes: usize,
        /// What `committed_scaled_bytes` is too small by, in units of 2^-63.
        committed_fractional_scaled_bytes: u64,
        /// As `committed_fractional_scaled_bytes`.
        populated_fractional_scaled_bytes: u64,
    }
    /// `ZX_INFO_PROCESS_MAPS`, `ZX_INFO_VMAR_MAPS`: a node of an address space.
    InfoMaps = "zx_info_maps", 152 {
        /// Its name, if it has one.
        name: [CChar; 32],
        /// Its first address.
        base: ZxVaddr,
        /// Its length in bytes.
        size: usize,
        /// How many nodes it is in.
        depth: usize,
        /// What it is: `ZX_INFO_MAPS_TYPE_*`.
        r#type: u32,
        /// 0.
        padding1: [u8; 4],
        /// If it is a mapping.
        u: MapsUnion,
    }
    /// `ZX_INFO_VMAR`.
    InfoVmar = "zx_info_vmar", 16 {
        /// Its first address.
        base: ZxVaddr,
        /// Its length in bytes.
        len: usize,
    }
}

/// What is known of a node of an address space by its type: only of a mapping is there more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct MapsUnion(pub InfoMapsMapping);

impl CType for MapsUnion {
    fn declare(name: &str) -> String {
        plain("union { zx_info_maps_mapping_t mapping; }", name)
    }
}
