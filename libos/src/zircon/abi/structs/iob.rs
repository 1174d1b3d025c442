//! IOBuffers.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::structs;
use crate::zircon::abi::{CType, plain, scalar::*};

structs! {
    /// What a ring of messages is told with its discipline.
    IobDisciplineRing = "zx_iob_discipline_mediated_write_ring_buffer", 64 {
        /// What precedes each message.
        tag: u64,
        /// 0.
        reserved: [u64; 7],
    }
    /// What a region of an IOBuffer means to the kernel.
    IobDiscipline = "zx_iob_discipline", 72 {
        /// `ZX_IOB_DISCIPLINE_TYPE_*`.
        r#type: u64,
        /// The rest, by its type.
        extension: DisciplineExtension,
    }
    /// A region with memory of its own.
    IobRegionPrivate = "zx_iob_region_private", 32 {
        /// 0.
        options: u32,
        /// 0.
        padding1: u32,
        /// 0.
        padding2: [u64; 3],
    }
    /// A region with the memory of a shared region.
    IobRegionShared = "zx_iob_region_shared", 32 {
        /// 0.
        options: u32,
        /// The shared region.
        shared_region: ZxHandle,
        /// 0.
        padding: [u64; 3],
    }
    /// A region of an IOBuffer.
    IobRegion = "zx_iob_region", 120 {
        /// `ZX_IOB_REGION_TYPE_*`.
        r#type: u32,
        /// Who may do what: `ZX_IOB_EP*_CAN_*`.
        access: u32,
        /// Bytes; rounded up to pages. 0 for a shared region's.
        size: u64,
        /// What it means.
        discipline: IobDiscipline,
        /// By its type.
        extension: RegionExtension,
    }
    /// `ZX_INFO_IOB`.
    InfoIob = "zx_info_iob", 16 {
        /// How it was made.
        options: u64,
        /// How many regions it has.
        region_count: u32,
        /// 0.
        padding1: [u8; 4],
    }
    /// `ZX_INFO_IOB_REGIONS`: a region as this end sees it.
    IobRegionInfo = "zx_iob_region_info", 128 {
        /// The region.
        region: IobRegion,
        /// The identity of its memory.
        koid: ZxKoid,
    }
}

/// The rest of a discipline: nothing, or what a ring of messages is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct DisciplineExtension(pub IobDisciplineRing);

impl CType for DisciplineExtension {
    fn declare(_: &str) -> String {
        "union { uint64_t reserved[8]; \
         zx_iob_discipline_mediated_write_ring_buffer_t ring_buffer; }"
            .to_owned()
    }
}

/// The rest of a region: a handle at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct RegionExtension(pub IobRegionShared);

impl CType for RegionExtension {
    fn declare(_: &str) -> String {
        "union { zx_iob_region_private_t private_region; zx_iob_region_shared_t shared_region; \
         uint8_t max_extension[32]; }"
            .to_owned()
    }
}
