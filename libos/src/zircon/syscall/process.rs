//! Processes: made, started, looked into.

use std::sync::Arc;

use kernel_objects::{
    Error, Handle, Job, KernelObject, Process, Result, Rights, Vmar,
    task::{BlockedReason, PolicyCondition},
};

use super::{
    argument::{In, Out},
    no_options,
};
use crate::{
    abi::argument::UserPtr,
    memory::address_space,
    zircon::{
        Thread,
        abi::{CChar, Void, ZxHandle, ZxVaddr, constants::ZX_PROCESS_SHARED},
        process::{Entry, enter, start as start_thread, watch},
    },
};

/// How much of another process's memory is copied at once; what is left is another call's, as documented.
const MAX_COPY: usize = 64 << 20;

/// zx_process_create
pub(super) fn create(
    thread: &Thread,
    job: ZxHandle,
    name: In<CChar>,
    name_size: usize,
    options: u32,
    proc_handle: Out<ZxHandle>,
    vmar_handle: Out<ZxHandle>,
) -> Result {
    if options & !ZX_PROCESS_SHARED != 0 {
        return Err(Error::InvalidArgs);
    }
    thread.policy(PolicyCondition::NewProcess)?;
    let job = thread.get::<Job>(job, Rights::MANAGE_PROCESS)?;
    let name = thread.read_name(name, name_size)?;
    let vmar = new_memory(thread)?;
    let process = Process::create(&job, "")?;
    process.set_name_bytes(&name);
    enter(&process, &vmar)?;
    if options & ZX_PROCESS_SHARED != 0 {
        share(&process, new_memory(thread)?)?;
    }
    give(thread, process, proc_handle, vmar, vmar_handle)
}

/// zx_process_create_shared
pub(super) fn create_shared(
    thread: &Thread,
    shared_proc: ZxHandle,
    options: u32,
    name: In<CChar>,
    name_size: usize,
    proc_handle: Out<ZxHandle>,
    restricted_vmar_handle: Out<ZxHandle>,
) -> Result {
    no_options(options)?;
    thread.policy(PolicyCondition::NewProcess)?;
    let shared = thread.get::<Process>(shared_proc, Rights::MANAGE_PROCESS)?;
    let name = thread.read_name(name, name_size)?;
    let restricted = new_memory(thread)?;
    let process = shared.create_shared("", restricted.clone())?;
    process.set_name_bytes(&name);
    let root = process.root_vmar().ok_or(Error::BadState)?;
    watch(&process, &root);
    watch(&process, &restricted);
    give(thread, process, proc_handle, restricted, restricted_vmar_handle)
}

/// The root of an address space that is new.
fn new_memory(thread: &Thread) -> Result<Arc<Vmar>> {
    let machine = thread.machine();
    let aspace = address_space(machine.memory(), machine.kernel.isolation);
    let aspace = aspace.map_err(|_| Error::NoMemory)?;
    Vmar::create_root(&aspace).map_err(|_| Error::NoMemory)
}

/// Lets other processes share the memory of this one, which has `restricted` for itself.
fn share(process: &Arc<Process>, restricted: Arc<Vmar>) -> Result {
    watch(process, &restricted);
    process.share(restricted)
}

/// Tells of a new process and memory of it.
fn give(
    thread: &Thread,
    process: Arc<Process>,
    proc_handle: Out<ZxHandle>,
    vmar: Arc<Vmar>,
    vmar_handle: Out<ZxHandle>,
) -> Result {
    let rights = vmar.default_rights() | Rights::IO | Rights::EXECUTE;
    let vmar = Handle::with_rights(vmar, rights);
    thread.give([(Handle::new(process), proc_handle), (vmar, vmar_handle)])
}

/// zx_process_start
pub(super) fn start(
    thread: &Thread,
    handle: ZxHandle,
    first: ZxHandle,
    entry: ZxVaddr,
    stack: ZxVaddr,
    arg1: ZxHandle,
    arg2: ZxVaddr,
) -> Result {
    // Gone whatever the result.
    let bootstrap = match arg1 {
        ZxHandle(0) => None,
        handle => Some(thread.handles().take(handle.value())),
    };
    let process = thread.get::<Process>(handle, Rights::WRITE)?;
    let first = thread.get::<kernel_objects::Thread>(first, Rights::WRITE)?;
    let bootstrap = bootstrap.transpose()?;
    if let Some(handle) = &bootstrap {
        handle.rights().require(Rights::TRANSFER)?;
    }
    if !Arc::ptr_eq(first.process(), &process) {
        return Err(Error::AccessDenied);
    }
    check_entry(&process, entry)?;
    if process.info().started {
        return Err(Error::BadState);
    }
    let value = bootstrap.map(|handle| process.handles().insert(handle)).transpose()?;
    let arguments = [value.map_or(0, |value| value.0.into()), arg2.0];
    let entry = Entry { pc: entry.0, sp: stack.0, arguments };
    match start_thread(thread.machine(), &first, entry, true) {
        Ok(run) => {
            thread.machine().kernel.cpus.spawn_measured(run).detach();
            Ok(())
        }
        Err(error) => {
            // It may have been started meanwhile by another, and have closed it.
            value.map(|value| process.handles().close(value));
            Err(error)
        }
    }
}

/// Fails unless a thread of `process` could have its first instruction there.
pub(super) fn check_entry(process: &Process, entry: ZxVaddr) -> Result {
    let end = process.root_vmar().ok_or(Error::BadState)?.range().end;
    if entry.0 < end { Ok(()) } else { Err(Error::InvalidArgs) }
}

/// zx_process_exit
pub(super) fn exit(thread: &Thread, retcode: i64) -> Result {
    thread.object.exit();
    thread.process().exit(retcode);
    Ok(())
}

/// zx_process_read_memory
pub(super) async fn read_memory(
    thread: &Thread,
    handle: ZxHandle,
    vaddr: ZxVaddr,
    buffer: Out<Void>,
    buffer_size: usize,
    actual: Out<usize>,
) -> Result {
    let process = thread.get::<Process>(handle, Rights::IO)?;
    check_buffer(buffer.0, buffer_size)?;
    let mut bytes = vec![0; buffer_size];
    let read = process.read_memory_async(vaddr.0, &mut bytes);
    let count = thread.blocked(BlockedReason::Pager, read).await?;
    bytes.truncate(count);
    UserPtr::<u8>::new(buffer.0.addr()).write_slice(thread.vmar(), &bytes)?;
    actual.0.write_if_wanted(thread.vmar(), &count)
}

/// zx_process_write_memory
pub(super) async fn write_memory(
    thread: &Thread,
    handle: ZxHandle,
    vaddr: ZxVaddr,
    buffer: In<Void>,
    buffer_size: usize,
    actual: Out<usize>,
) -> Result {
    let process = thread.get::<Process>(handle, Rights::WRITE)?;
    check_buffer(buffer.0, buffer_size)?;
    let bytes = UserPtr::<u8>::new(buffer.0.addr()).read_slice(thread.vmar(), buffer_size)?;
    let write = process.write_memory_async(vaddr.0, &bytes);
    let count = thread.blocked(BlockedReason::Pager, write).await?;
    actual.0.write_if_wanted(thread.vmar(), &count)
}

fn check_buffer(buffer: UserPtr<Void>, size: usize) -> Result {
    match buffer.is_null() || size == 0 || size > MAX_COPY {
        true => Err(Error::InvalidArgs),
        false => Ok(()),
    }
}
