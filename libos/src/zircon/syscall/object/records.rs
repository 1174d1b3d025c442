//! What zx_object_get_info tells of an object, as C has it.

use std::sync::Arc;

use hal::aspace::Prot;
use kernel_objects::{
    Error, Interrupt, Iob, Job, KernelObject, MsiAllocation, ObjectType, Process, Result, Rights,
    Socket, Stream, Thread, Timer, Vmo,
    dma::Bti,
    downcast,
    iob::{IobContent, IobRegionInfo as IobInfo},
    object::MAX_NAME_LEN,
    profile::CpuSet,
    task::{MapEntry, MapKind},
    vmo::VmoFlags,
};
use zerocopy::FromZeros;

use super::name_of;
use crate::zircon::{
    Machine,
    abi::{
        CBool, CChar, CpuMask, ExceptionReport, InfoBti, InfoInterrupt, InfoJob, InfoKmemStats,
        InfoMaps, InfoMapsMapping, InfoMemoryStall, InfoMsi, InfoProcess, InfoSocket, InfoStream,
        InfoTaskRuntime, InfoTaskStats, InfoThread, InfoThreadStats, InfoTimer, InfoVmo, IobRegion,
        IobRegionInfo, MapsUnion, ZxClock, ZxDuration, ZxKoid, ZxOff, ZxRights, ZxThreadState,
        ZxTime, ZxVaddr, ZxVmOption, constants::*,
    },
};

/// Those of these objects.
pub(super) fn koids<T: KernelObject>(objects: &[Arc<T>]) -> Vec<ZxKoid> {
    objects.iter().map(|object| ZxKoid(object.koid())).collect()
}

pub(super) fn process(process: &Process) -> InfoProcess {
    let info = process.info();
    let flag = |is: bool, flag| if is { flag } else { 0 };
    InfoProcess {
        return_code: info.return_code,
        start_time: ZxTime::from_nanos(info.start_time),
        flags: flag(info.started, ZX_INFO_PROCESS_FLAG_STARTED)
            | flag(info.exited, ZX_INFO_PROCESS_FLAG_EXITED)
            | flag(info.debugger_attached, ZX_INFO_PROCESS_FLAG_DEBUGGER_ATTACHED),
        padding1: 0,
    }
}

pub(super) fn job(job: &Job) -> InfoJob {
    let info = job.info();
    InfoJob {
        return_code: info.return_code,
        exited: CBool::new(info.exited),
        kill_on_oom: CBool::new(info.kill_on_oom),
        debugger_attached: CBool::new(info.debugger_attached),
        padding1: [0; 5],
    }
}

pub(super) fn thread(thread: &Thread) -> InfoThread {
    let info = thread.info();
    // One of which nobody has said where it is to run may run anywhere.
    let CpuSet(mask) = info.affinity.unwrap_or(CpuSet([u64::MAX; 8]));
    InfoThread {
        state: ZxThreadState(info.state.raw()),
        wait_exception_channel_type: info.wait_exception_channel as u32,
        cpu_affinity_mask: CpuMask { mask },
    }
}

pub(super) fn thread_stats(thread: &Thread) -> Result<InfoThreadStats> {
    let stats = thread.stats()?;
    let cpu = stats.last_scheduled_cpu.and_then(|cpu| u32::try_from(cpu).ok());
    Ok(InfoThreadStats {
        total_runtime: ZxDuration(nanos(stats.total_runtime)),
        last_scheduled_cpu: cpu.unwrap_or(ZX_INFO_INVALID_CPU),
        padding1: 0,
    })
}

pub(super) fn exception_report(thread: &Thread) -> Result<ExceptionReport> {
    Ok((&thread.exception_report()?).into())
}

pub(super) fn socket(socket: &Socket) -> InfoSocket {
    let info = socket.info();
    InfoSocket {
        options: info.kind as u32,
        padding1: 0,
        rx_buf_max: info.rx_buf_max,
        rx_buf_size: info.rx_buf_size,
        rx_buf_available: info.rx_buf_available,
        tx_buf_max: info.tx_buf_max,
        tx_buf_size: info.tx_buf_size,
    }
}

pub(super) fn timer(timer: &Timer) -> InfoTimer {
    let info = timer.info();
    InfoTimer {
        options: info.options as u32,
        clock_id: ZxClock(info.clock as u32),
        deadline: ZxTime::from_nanos(info.deadline),
        slack: ZxDuration(nanos(info.slack)),
    }
}

pub(super) fn stream(stream: &Stream) -> InfoStream {
    let info = stream.info();
    InfoStream {
        options: info.mode.bits(),
        padding1: 0,
        seek: ZxOff(info.seek),
        content_size: info.content_size,
    }
}

pub(super) fn msi(msi: &MsiAllocation) -> InfoMsi {
    let info = msi.info();
    InfoMsi {
        target_addr: info.target_addr,
        target_data: info.target_data,
        base_irq_id: info.base_irq_id,
        num_irq: info.num_irq,
        interrupt_count: info.interrupt_count,
    }
}

pub(super) fn bti(bti: &Bti) -> InfoBti {
    let info = bti.info();
    InfoBti {
        minimum_contiguity: info.minimum_contiguity,
        aspace_size: info.aspace_size,
        pmo_count: info.pmo_count,
        quarantine_count: info.quarantine_count,
    }
}

/// A VMO that was found as `found` says; by a handle with `rights`, if by one.
pub(super) fn vmo(vmo: &Vmo, found: VmoFlags, rights: Rights) -> InfoVmo {
    let info = vmo.info();
    InfoVmo {
        koid: ZxKoid(info.koid),
        name: name_of(vmo).map(CChar),
        size_bytes: info.size,
        parent_koid: ZxKoid(info.parent_koid),
        num_children: info.children,
        num_mappings: info.mappings,
        share_count: info.share_count,
        flags: (info.flags | found).bits(),
        padding1: [0; 4],
        committed_bytes: info.committed_bytes,
        handle_rights: ZxRights(rights.bits()),
        cache_policy: info.cache_policy as u32,
        metadata_bytes: info.metadata_bytes,
        committed_change_events: info.committed_change_events,
        populated_bytes: info.committed_bytes,
        committed_private_bytes: info.committed_private_bytes,
        populated_private_bytes: info.committed_private_bytes,
        committed_scaled_bytes: info.committed_scaled_bytes,
        populated_scaled_bytes: info.committed_scaled_bytes,
        committed_fractional_scaled_bytes: info.committed_fractional_scaled_bytes,
        populated_fractional_scaled_bytes: info.committed_fractional_scaled_bytes,
    }
}

/// The nodes of an address space, in the order in which one would draw it.
pub(super) fn maps(entries: &[MapEntry]) -> Vec<InfoMaps> {
    entries.iter().map(map).collect()
}

fn map(entry: &MapEntry) -> InfoMaps {
    let mut name = [CChar(0); MAX_NAME_LEN];
    name.iter_mut().zip(&entry.name).for_each(|(to, &from)| *to = CChar(from));
    let (r#type, mapping) = match &entry.kind {
        MapKind::AddressSpace => (ZX_INFO_MAPS_TYPE_ASPACE, InfoMapsMapping::new_zeroed()),
        MapKind::Region => (ZX_INFO_MAPS_TYPE_VMAR, InfoMapsMapping::new_zeroed()),
        MapKind::Mapping(mapping, used) => {
            let flag = |prot, flag| if mapping.perms.contains(prot) { flag } else { 0 };
            let mapping = InfoMapsMapping {
                mmu_flags: ZxVmOption(
                    flag(Prot::READ, ZX_VM_PERM_READ)
                        | flag(Prot::WRITE, ZX_VM_PERM_WRITE)
                        | flag(Prot::EXEC, ZX_VM_PERM_EXECUTE),
                ),
                padding1: [0; 4],
                vmo_koid: ZxKoid(mapping.vmo.koid()),
                vmo_offset: mapping.vmo_offset,
                committed_bytes: used.committed as usize,
                populated_bytes: used.committed as usize,
                committed_private_bytes: used.private as usize,
                populated_private_bytes: used.private as usize,
                committed_scaled_bytes: used.scaled_bytes() as usize,
                populated_scaled_bytes: used.scaled_bytes() as usize,
                committed_fractional_scaled_bytes: used.fraction(),
                populated_fractional_scaled_bytes: used.fraction(),
            };
            (ZX_INFO_MAPS_TYPE_MAPPING, mapping)
        }
    };
    InfoMaps {
        name,
        base: ZxVaddr(entry.range.start),
        size: (entry.range.end - entry.range.start) as usize,
        depth: entry.depth,
        r#type,
        padding1: [0; 4],
        u: MapsUnion(mapping),
    }
}

pub(super) fn task_stats(process: &Process) -> Result<InfoTaskStats> {
    let stats = process.task_stats()?;
    Ok(InfoTaskStats {
        mem_mapped_bytes: stats.mapped as usize,
        mem_private_bytes: stats.private as usize,
        mem_shared_bytes: stats.shared as usize,
        mem_scaled_shared_bytes: (stats.scaled_shared >> 63) as usize,
        mem_fractional_scaled_shared_bytes: stats.scaled_shared as u64 & (u64::MAX >> 1),
    })
}

/// Of a job, a process or a thread.
pub(super) fn task_runtime(object: &Arc<dyn KernelObject>) -> Result<InfoTaskRuntime> {
    let times = match object.object_type() {
        ObjectType::Job => downcast::<Job>(object.clone())?.runtimes(),
        ObjectType::Process => downcast::<Process>(object.clone())?.runtimes(),
        _ => downcast::<Thread>(object.clone())?.runtimes(),
    };
    Ok(InfoTaskRuntime {
        cpu_time: ZxDuration(nanos(times.cpu)),
        queue_time: ZxDuration(nanos(times.queue)),
        page_fault_time: ZxDuration(nanos(times.page_fault)),
        lock_contention_time: ZxDuration(0),
    })
}

/// Of the memory that programs have; the kernel's own is the host's.
pub(super) fn kmem_stats(machine: &Machine) -> InfoKmemStats {
    let memory = machine.memory();
    let (total, _) = machine.kernel.memory_size();
    let cache = memory.cached();
    InfoKmemStats {
        total_bytes: total,
        free_bytes: total.saturating_sub(memory.committed()),
        vmo_bytes: memory.committed().saturating_sub(cache),
        cache_bytes: cache,
        vmo_reclaim_total_bytes: memory.cached_content(),
        ..InfoKmemStats::new_zeroed()
    }
}

pub(super) fn memory_stall(machine: &Machine) -> InfoMemoryStall {
    let times = machine.memory().stall_times();
    InfoMemoryStall {
        stalled_time_some: ZxDuration(nanos(times.some)),
        stalled_time_full: ZxDuration(nanos(times.full)),
    }
}

pub(super) fn iob_regions(iob: &Iob) -> Vec<IobRegionInfo> {
    let info = |info: IobInfo| {
        let mut region = IobRegion {
            r#type: ZX_IOB_REGION_TYPE_PRIVATE,
            access: info.region.access.bits(),
            size: info.size,
            ..IobRegion::new_zeroed()
        };
        match info.region.content {
            IobContent::Bytes(_) => {}
            IobContent::Ids(_) => region.discipline.r#type = ZX_IOB_DISCIPLINE_TYPE_ID_ALLOCATOR,
            IobContent::Ring { tag, .. } => {
                region.r#type = ZX_IOB_REGION_TYPE_SHARED;
                region.discipline.r#type = ZX_IOB_DISCIPLINE_TYPE_MEDIATED_WRITE_RING_BUFFER;
                region.discipline.extension.0.tag = tag;
            }
        }
        IobRegionInfo { region, koid: ZxKoid(info.koid) }
    };
    iob.region_info().into_iter().map(info).collect()
}

pub(super) fn interrupt(interrupt: &Interrupt) -> InfoInterrupt {
    InfoInterrupt { options: interrupt.info().options.raw() }
}

/// The VMOs that a process has handles to, and those that it maps: each as often as it is found.
pub(super) fn vmos(process: &Process) -> Result<Vec<InfoVmo>> {
    let vmar = process.root_vmar().ok_or(Error::BadState)?;
    let table = process.handles();
    let by_handle = table.list().into_iter().filter_map(|(value, _)| {
        // It may have been closed meanwhile.
        let (object, rights) = table.get_any_with_rights(value, Rights::empty()).ok()?;
        Some(vmo(&*downcast::<Vmo>(object).ok()?, VmoFlags::VIA_HANDLE, rights))
    });
    let mappings = vmar.mappings().into_iter();
    let mapped = mappings.map(|mapping| vmo(&mapping.vmo, VmoFlags::VIA_MAPPING, Rights::empty()));
    Ok(by_handle.chain(mapped).collect())
}

fn nanos(duration: u64) -> i64 {
    i64::try_from(duration).unwrap_or(i64::MAX)
}
