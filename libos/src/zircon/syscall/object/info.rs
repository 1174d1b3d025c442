//! zx_object_get_info: a topic is a kind of record, of which there is one or a list.

use kernel_objects::{
    Clock, Error, HandleInfo, HandleTable, HandleValue, Interrupt, Iob, Job, MsiAllocation,
    Process, Resource, Result, Rights, Socket, Stream, Timer, Vmar, Vmo,
    clock::MAPPED_SIZE,
    dma::Bti,
    resource::{ResourceInfo, SystemBase},
    vmo::VmoFlags,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{super::argument::Out, records};
use crate::{
    abi::argument::UserPtr,
    zircon::{
        Memory, Thread,
        abi::{
            CChar, InfoHandleBasic, InfoHandleCount, InfoHandleExtended, InfoIob,
            InfoProcessHandleStats, InfoResource, InfoVmar, Void, ZxHandle, ZxKoid, ZxObjProps,
            ZxObjType, ZxRights, ZxVaddr, constants::*,
        },
    },
};

/// Where the records go.
struct Sink<'a> {
    vmar: &'a Memory,
    buffer: u64,
    size: usize,
    actual: Out<usize>,
    avail: Out<usize>,
}

impl Sink<'_> {
    /// The one record there is of a topic.
    fn one<T: FromBytes + IntoBytes + Immutable>(&self, record: T) -> Result {
        self.list(&[record])?;
        if self.size < size_of::<T>() { Err(Error::BufferTooSmall) } else { Ok(()) }
    }

    /// As many records as fit.
    fn list<T: FromBytes + IntoBytes + Immutable>(&self, records: &[T]) -> Result {
        let count = records.len().min(self.size / size_of::<T>());
        let fitting = records.get(..count).unwrap_or_default();
        UserPtr::new(self.buffer).write_slice(self.vmar, fitting)?;
        self.actual.0.write_if_wanted(self.vmar, &count)?;
        self.avail.0.write_if_wanted(self.vmar, &records.len())
    }
}

fn props(waitable: bool) -> ZxObjProps {
    ZxObjProps(if waitable { ZX_OBJ_PROP_WAITABLE } else { 0 })
}

fn extended(table: &HandleTable, value: HandleValue, info: &HandleInfo) -> InfoHandleExtended {
    // One that was closed since it was listed has the properties of its type.
    let waitable = match table.get_any(value, Rights::empty()) {
        Ok(object) => object.is_waitable(),
        Err(_) => Rights::default_for(info.object_type).contains(Rights::WAIT),
    };
    InfoHandleExtended {
        r#type: ZxObjType(info.object_type as u32),
        handle_value: value.into(),
        rights: ZxRights(info.rights.bits()),
        props: props(waitable),
        koid: ZxKoid(info.koid),
        related_koid: ZxKoid(info.related_koid),
        peer_owner_koid: ZxKoid(0),
    }
}

/// zx_object_get_info
#[allow(clippy::too_many_arguments, reason = "the call has so many")]
pub(in super::super) fn get_info(
    thread: &Thread,
    handle: ZxHandle,
    topic: u32,
    buffer: Out<Void>,
    buffer_size: usize,
    actual: Out<usize>,
    avail: Out<usize>,
) -> Result {
    let sink =
        Sink { vmar: thread.vmar(), buffer: buffer.0.addr(), size: buffer_size, actual, avail };
    let value = handle.value();
    match topic {
        ZX_INFO_HANDLE_VALID => thread.handles().info(value).map(drop),
        ZX_INFO_HANDLE_BASIC => {
            let info = thread.handles().info(value)?;
            let object = thread.handles().get_any(value, Rights::empty())?;
            sink.one(InfoHandleBasic {
                koid: ZxKoid(info.koid),
                rights: ZxRights(info.rights.bits()),
                r#type: ZxObjType(info.object_type as u32),
                related_koid: ZxKoid(info.related_koid),
                props: props(object.is_waitable()),
                padding1: [0; 4],
            })
        }
        ZX_INFO_HANDLE_COUNT => {
            let object = thread.handles().get_any(value, Rights::INSPECT)?;
            sink.one(InfoHandleCount { handle_count: object.handle_count() })
        }
        ZX_INFO_HANDLE_TABLE => {
            let process =
                thread.get::<Process>(handle, Rights::INSPECT | Rights::MANAGE_PROCESS)?;
            let list = process.handles().list();
            let records: Vec<_> = list
                .iter()
                .map(|(value, info)| extended(process.handles(), *value, info))
                .collect();
            sink.list(&records)
        }
        ZX_INFO_PROCESS_HANDLE_STATS => {
            let process = thread.get::<Process>(handle, Rights::INSPECT)?;
            sink.one(InfoProcessHandleStats { handle_count: process.handle_stats().counts })
        }
        ZX_INFO_RESOURCE => {
            let resource = thread.get::<Resource>(handle, Rights::INSPECT)?;
            let ResourceInfo { options, base, size } = resource.info();
            sink.one(InfoResource {
                kind: options.kind as u32,
                flags: if options.exclusive { ZX_RSRC_FLAG_EXCLUSIVE } else { 0 },
                base,
                size: size as usize,
                name: super::name_of(&*resource).map(CChar),
            })
        }
        ZX_INFO_PROCESS => {
            sink.one(records::process(&*thread.get::<Process>(handle, Rights::INSPECT)?))
        }
        ZX_INFO_PROCESS_THREADS => {
            let process = thread.get::<Process>(handle, Rights::ENUMERATE)?;
            sink.list(&records::koids(&process.threads()))
        }
        ZX_INFO_JOB => sink.one(records::job(&*thread.get::<Job>(handle, Rights::INSPECT)?)),
        ZX_INFO_JOB_CHILDREN => {
            let job = thread.get::<Job>(handle, Rights::ENUMERATE)?;
            sink.list(&records::koids(&job.children()))
        }
        ZX_INFO_JOB_PROCESSES => {
            let job = thread.get::<Job>(handle, Rights::ENUMERATE)?;
            sink.list(&records::koids(&job.processes()))
        }
        ZX_INFO_THREAD => {
            let object = thread.get::<kernel_objects::Thread>(handle, Rights::INSPECT)?;
            sink.one(records::thread(&object))
        }
        ZX_INFO_THREAD_STATS => {
            let object = thread.get::<kernel_objects::Thread>(handle, Rights::INSPECT)?;
            sink.one(records::thread_stats(&object)?)
        }
        ZX_INFO_THREAD_EXCEPTION_REPORT => {
            let object = thread.get::<kernel_objects::Thread>(handle, Rights::INSPECT)?;
            sink.one(records::exception_report(&object)?)
        }
        ZX_INFO_SOCKET => {
            sink.one(records::socket(&*thread.get::<Socket>(handle, Rights::INSPECT)?))
        }
        ZX_INFO_TIMER => sink.one(records::timer(&*thread.get::<Timer>(handle, Rights::INSPECT)?)),
        ZX_INFO_STREAM => {
            sink.one(records::stream(&*thread.get::<Stream>(handle, Rights::INSPECT)?))
        }
        ZX_INFO_BTI => sink.one(records::bti(&*thread.get::<Bti>(handle, Rights::INSPECT)?)),
        ZX_INFO_MSI => {
            sink.one(records::msi(&*thread.get::<MsiAllocation>(handle, Rights::INSPECT)?))
        }
        ZX_INFO_PROCESS_VMOS => {
            let process = thread.get::<Process>(handle, Rights::INSPECT)?;
            sink.list(&records::vmos(&process)?)
        }
        ZX_INFO_PROCESS_MAPS => {
            let process = thread.get::<Process>(handle, Rights::INSPECT)?;
            sink.list(&records::maps(&process.maps()?))
        }
        ZX_INFO_VMAR_MAPS => {
            let vmar = thread.get::<Vmar>(handle, Rights::INSPECT)?;
            sink.list(&records::maps(&vmar.maps()?))
        }
        ZX_INFO_TASK_STATS => {
            let process = thread.get::<Process>(handle, Rights::INSPECT)?;
            sink.one(records::task_stats(&process)?)
        }
        ZX_INFO_TASK_RUNTIME => {
            let object = thread.handles().get_any(handle.value(), Rights::INSPECT)?;
            sink.one(records::task_runtime(&object)?)
        }
        ZX_INFO_KMEM_STATS => {
            let resource = thread.get::<Resource>(handle, Rights::empty())?;
            resource.validate_system(SystemBase::Info)?;
            sink.one(records::kmem_stats(thread.machine()))
        }
        ZX_INFO_MEMORY_STALL => {
            let resource = thread.get::<Resource>(handle, Rights::empty())?;
            resource.validate_system(SystemBase::Stall)?;
            sink.one(records::memory_stall(thread.machine()))
        }
        ZX_INFO_CLOCK_MAPPED_SIZE => {
            let clock = thread.get::<Clock>(handle, Rights::INSPECT)?;
            match clock.mapped() {
                Some(_) => sink.one(MAPPED_SIZE),
                None => Err(Error::InvalidArgs),
            }
        }
        ZX_INFO_IOB => {
            let iob = thread.get::<Iob>(handle, Rights::INSPECT)?;
            // Its options are always 0, and regions few.
            let region_count = iob.region_count() as u32;
            sink.one(InfoIob { options: 0, region_count, padding1: [0; 4] })
        }
        ZX_INFO_IOB_REGIONS => {
            let iob = thread.get::<Iob>(handle, Rights::INSPECT)?;
            sink.list(&records::iob_regions(&iob))
        }
        ZX_INFO_INTERRUPT => {
            let interrupt = thread.get::<Interrupt>(handle, Rights::INSPECT)?;
            sink.one(records::interrupt(&interrupt))
        }
        ZX_INFO_VMO => {
            let (vmo, rights) = thread.get_with_rights::<Vmo>(handle, Rights::INSPECT)?;
            sink.one(records::vmo(&vmo, VmoFlags::VIA_HANDLE, rights))
        }
        ZX_INFO_VMAR => {
            let range = thread.get::<Vmar>(handle, Rights::INSPECT)?.range();
            let len = (range.end - range.start) as usize;
            sink.one(InfoVmar { base: ZxVaddr(range.start), len })
        }
        _ => Err(Error::NotSupported),
    }
}
