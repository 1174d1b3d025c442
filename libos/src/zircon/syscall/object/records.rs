//! What zx_object_get_info tells of an object, as C has it.

use std::sync::Arc;

use kernel_objects::{
    Error, Job, KernelObject, MsiAllocation, Process, Result, Rights, Socket, Stream, Thread,
    Timer, Vmo, dma::Bti, downcast, profile::CpuSet, vmo::VmoFlags,
};

use super::name_of;
use crate::zircon::abi::{
    CBool, CChar, CpuMask, ExceptionContext, ExceptionHeader, ExceptionReport, InfoBti, InfoJob,
    InfoMsi, InfoProcess, InfoSocket, InfoStream, InfoThread, InfoThreadStats, InfoTimer, InfoVmo,
    ZxClock, ZxDuration, ZxKoid, ZxOff, ZxRights, ZxThreadState, ZxTime, constants::*,
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
    let report = thread.exception_report()?;
    Ok(ExceptionReport {
        header: ExceptionHeader {
            size: size_of::<ExceptionReport>() as u32,
            r#type: report.exception as u32,
        },
        context: ExceptionContext {
            vector: report.arch.vector,
            err_code: report.arch.error_code,
            cr2: report.arch.cr2,
            synth_code: report.synth_code,
            synth_data: report.synth_data,
        },
    })
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
        metadata_bytes: 0,
        committed_change_events: 0,
        populated_bytes: info.committed_bytes,
        committed_private_bytes: info.committed_private_bytes,
        populated_private_bytes: info.committed_private_bytes,
        committed_scaled_bytes: info.committed_scaled_bytes,
        populated_scaled_bytes: info.committed_scaled_bytes,
        committed_fractional_scaled_bytes: info.committed_fractional_scaled_bytes,
        populated_fractional_scaled_bytes: info.committed_fractional_scaled_bytes,
    }
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
