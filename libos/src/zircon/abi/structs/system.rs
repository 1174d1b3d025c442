//! The machine: its resources, devices and memory.

use super::structs;
use crate::zircon::abi::{CType, plain, scalar::*};

structs! {
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
    /// `ZX_INFO_MSI`.
    InfoMsi = "zx_info_msi", 24 {
        /// Where the device is to write.
        target_addr: u64,
        /// What it is to write for the first vector.
        target_data: u32,
        /// The first vector.
        base_irq_id: u32,
        /// How many there are.
        num_irq: u32,
        /// For how many of them there is an interrupt.
        interrupt_count: u32,
    }
    /// `ZX_INFO_BTI`.
    InfoBti = "zx_info_bti", 32 {
        /// Behind each address of a compressed pin so many bytes are in a row.
        minimum_contiguity: u64,
        /// The size of the device's address space in bytes.
        aspace_size: u64,
        /// How many times memory is pinned, in quarantine or not.
        pmo_count: u64,
        /// How many of those are in quarantine.
        quarantine_count: u64,
    }
    /// `ZX_INFO_MEMORY_STALL`: for how long threads have waited until memory was free.
    InfoMemoryStall = "zx_info_memory_stall", 16 {
        /// While at least one did.
        stalled_time_some: ZxDuration,
        /// While nothing else was done.
        stalled_time_full: ZxDuration,
    }
    /// How fast something is, 1 being the fastest.
    CpuPerformanceScale = "zx_cpu_performance_scale", 8 {
        /// The whole part.
        integral_part: u32,
        /// The rest in units of 2^-32.
        fractional_part: u32,
    }
    /// How fast a processor is.
    CpuPerformanceInfo = "zx_cpu_performance_info", 12 {
        /// Its number.
        logical_cpu_number: u32,
        /// In comparison with the fastest.
        performance_scale: CpuPerformanceScale,
    }
    /// `ZX_INFO_INTERRUPT`.
    InfoInterrupt = "zx_info_interrupt", 4 {
        /// How it was made: `ZX_INTERRUPT_*`.
        options: u32,
    }
    /// `ZX_INFO_KMEM_STATS`. What is not commented on is 0: it is the kernel's own, in memory of the host, or nobody counts it.
    InfoKmemStats = "zx_info_kmem_stats", 152 {
        /// All memory for programs.
        total_bytes: u64,
        /// Of that, free.
        free_bytes: u64,
        /// Not counted.
        free_loaned_bytes: u64,
        /// Not counted.
        wired_bytes: u64,
        /// Not counted.
        total_heap_bytes: u64,
        /// Not counted.
        free_heap_bytes: u64,
        /// In VMOs.
        vmo_bytes: u64,
        /// Not counted.
        mmu_overhead_bytes: u64,
        /// Not counted.
        ipc_bytes: u64,
        /// Was in use, and is kept to be used again.
        cache_bytes: u64,
        /// Not counted.
        slab_bytes: u64,
        /// Nothing is compressed.
        zram_bytes: u64,
        /// Not counted.
        other_bytes: u64,
        /// In VMOs, and can be taken from them.
        vmo_reclaim_total_bytes: u64,
        /// Not counted.
        vmo_reclaim_newest_bytes: u64,
        /// Not counted.
        vmo_reclaim_oldest_bytes: u64,
        /// Not counted.
        vmo_reclaim_disabled_bytes: u64,
        /// Not counted.
        vmo_discardable_locked_bytes: u64,
        /// Not counted.
        vmo_discardable_unlocked_bytes: u64,
    }
}
