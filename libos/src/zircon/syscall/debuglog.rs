//! The debug log, and the serial line that it also goes to.

use kernel_objects::{
    DebugLog, Error, Handle, Resource, Result, Rights,
    debuglog::{LOG_READABLE, RECORD_DATA_MAX, RECORD_MAX},
    resource::SystemBase,
    task::BlockedReason,
};

use super::argument::{In, Out};
use crate::{
    abi::argument::UserPtr,
    zircon::{
        Thread,
        abi::{CChar, Void, ZxHandle},
    },
};

/// The most that zx_debug_write writes at once; what is beyond is left out.
const WRITE_MAX: usize = 256;
/// The most that zx_debug_read reads at once.
const READ_MAX: usize = 4096;

/// zx_debuglog_create
pub(super) fn create(
    thread: &Thread,
    resource: ZxHandle,
    options: u32,
    out: Out<ZxHandle>,
) -> Result {
    let resource = thread.get::<Resource>(resource, Rights::empty())?;
    let log = DebugLog::create(&resource, &thread.machine().log, options)?;
    let mut rights = Rights::default_for(kernel_objects::ObjectType::DebugLog);
    rights.set(Rights::READ, options & LOG_READABLE != 0);
    thread.give([(Handle::with_rights(log, rights), out)])
}

/// zx_debuglog_write
pub(super) async fn write(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    buffer: In<Void>,
    buffer_size: usize,
) -> Result {
    let log = thread.get::<DebugLog>(handle, Rights::WRITE)?;
    let size = buffer_size.min(RECORD_DATA_MAX);
    let data = UserPtr::<u8>::new(buffer.0.addr()).read_slice(thread.vmar(), size)?;
    log.write(options, Some(&thread.object), &data)?;
    thread.machine().console.show_log().await;
    Ok(())
}

/// zx_debuglog_read: returns the record's size.
pub(super) fn read(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    buffer: Out<Void>,
    buffer_size: usize,
) -> Result<usize> {
    if options != 0 {
        return Err(Error::InvalidArgs);
    }
    let log = thread.get::<DebugLog>(handle, Rights::READ)?;
    let entry = log.read()?;
    let mut record = [0; RECORD_MAX];
    let size = entry.record.encode(&mut record).min(buffer_size);
    let record = record.get(..size).unwrap_or_default();
    UserPtr::<u8>::new(buffer.0.addr()).write_slice(thread.vmar(), record)?;
    Ok(size)
}

/// zx_debug_read: waits for the first bytes, and takes no more than there are then.
pub(super) async fn debug_read(
    thread: &Thread,
    resource: ZxHandle,
    buffer: Out<CChar>,
    buffer_size: usize,
    actual: Out<usize>,
) -> Result {
    let resource = thread.get::<Resource>(resource, Rights::empty())?;
    resource.validate_system(SystemBase::Debug)?;
    let mut text = vec![0; buffer_size.min(READ_MAX)];
    let read = thread.machine().console.read(&mut text);
    let count = thread.blocked(BlockedReason::Sleeping, read).await?;
    let text = text.get(..count).unwrap_or_default();
    UserPtr::<u8>::new(buffer.0.addr()).write_slice(thread.vmar(), text)?;
    actual.0.write(thread.vmar(), &count)
}

/// zx_debug_write
pub(super) async fn debug_write(thread: &Thread, buffer: In<CChar>, buffer_size: usize) -> Result {
    let text = UserPtr::<u8>::new(buffer.0.addr());
    let text = text.read_slice(thread.vmar(), buffer_size.min(WRITE_MAX))?;
    thread.machine().console.write(&text).await;
    Ok(())
}
