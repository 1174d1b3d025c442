//! What can be done with any object: waiting, signalling, asking what it is.

use std::sync::Arc;

use kernel_objects::{
    Error, HandleValue, Job, KernelObject, Port, Process, Result, Rights, Signals, Socket, Stream,
    Vmo,
    deadline::until,
    downcast,
    handle::WAIT_MANY_MAX_ITEMS,
    object::MAX_NAME_LEN,
    port::WaitAsync,
    task::{BlockedReason, Exception, ExceptionState, ExceptionStrategy},
};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::argument::{In, Out};
use crate::{
    abi::argument::UserPtr,
    zircon::{
        Thread,
        abi::{Void, WaitItem, ZxHandle, ZxRights, ZxSignals, ZxTime, constants::*},
        process::Wish,
    },
};

mod info;
mod records;

pub(super) use info::get_info;

/// zx_object_signal
pub(super) fn signal(thread: &Thread, handle: ZxHandle, clear_mask: u32, set_mask: u32) -> Result {
    let object = thread.handles().get_any(handle.value(), Rights::SIGNAL)?;
    object.signal(Signals::from_bits_retain(clear_mask), Signals::from_bits_retain(set_mask))
}

/// zx_object_signal_peer
pub(super) fn signal_peer(
    thread: &Thread,
    handle: ZxHandle,
    clear_mask: u32,
    set_mask: u32,
) -> Result {
    let object = thread.handles().get_any(handle.value(), Rights::SIGNAL_PEER)?;
    object.signal_peer(Signals::from_bits_retain(clear_mask), Signals::from_bits_retain(set_mask))
}

/// zx_object_wait_one
pub(super) async fn wait_one(
    thread: &Thread,
    handle: ZxHandle,
    signals: ZxSignals,
    deadline: ZxTime,
    observed: Out<ZxSignals>,
) -> Result {
    let object = thread.handles().get_any(handle.value(), Rights::WAIT)?;
    let wait = thread.handles().wait_one(handle.value(), signals.signals());
    let wait = until(deadline.deadline(), wait);
    let (seen, result) = match thread.blocked(BlockedReason::WaitOne, wait).await {
        Ok(seen) => (seen, Ok(())),
        Err(Error::Canceled) => (object.signals() | Signals::HANDLE_CLOSED, Err(Error::Canceled)),
        Err(Error::TimedOut) => (object.signals(), Err(Error::TimedOut)),
        Err(error) => return Err(error),
    };
    observed.0.write_if_wanted(thread.vmar(), &seen.into())?;
    result
}

/// zx_object_wait_many
pub(super) async fn wait_many(
    thread: &Thread,
    items: Out<WaitItem>,
    num_items: usize,
    deadline: ZxTime,
) -> Result {
    if num_items > WAIT_MANY_MAX_ITEMS {
        return Err(Error::OutOfRange);
    }
    let mut list = items.0.read_slice(thread.vmar(), num_items)?;
    let wanted: Vec<(HandleValue, Signals)> =
        list.iter().map(|item| (item.handle.value(), item.waitfor.signals())).collect();
    let objects = wanted.iter().map(|&(value, _)| thread.handles().get_any(value, Rights::WAIT));
    let objects: Vec<_> = objects.collect::<Result<_>>()?;
    let wait = until(deadline.deadline(), thread.handles().wait_many(&wanted));
    let waited = thread.blocked(BlockedReason::WaitMany, wait).await;
    let result = match waited {
        Ok(pending) => {
            list.iter_mut().zip(pending).for_each(|(item, seen)| item.pending = seen.into());
            Ok(())
        }
        Err(error @ (Error::TimedOut | Error::Canceled)) => {
            for ((item, object), &(value, _)) in list.iter_mut().zip(&objects).zip(&wanted) {
                let mut seen = object.signals();
                // The same value again would be another handle, but not so soon.
                seen.set(Signals::HANDLE_CLOSED, thread.handles().info(value).is_err());
                item.pending = seen.into();
            }
            Err(error)
        }
        Err(error) => return Err(error),
    };
    items.0.write_slice(thread.vmar(), &list)?;
    result
}

/// zx_object_wait_async
pub(super) fn wait_async(
    thread: &Thread,
    handle: ZxHandle,
    port: ZxHandle,
    key: u64,
    signals: ZxSignals,
    options: u32,
) -> Result {
    let options = WaitAsync::from_bits(options).ok_or(Error::InvalidArgs)?;
    let port = thread.get::<Port>(port, Rights::WRITE)?;
    thread.handles().wait_async(handle.value(), &port, key, signals.signals(), options)
}

/// zx_object_get_child
pub(super) fn get_child(
    thread: &Thread,
    handle: ZxHandle,
    koid: u64,
    rights: ZxRights,
    out: Out<ZxHandle>,
) -> Result {
    let child = thread.handles().object_get_child(handle.value(), koid, rights.rights())?;
    thread.give([(child, out)])
}

/// An object's name, with zeros behind it.
fn name_of(object: &dyn KernelObject) -> [u8; MAX_NAME_LEN] {
    let mut name = [0; MAX_NAME_LEN];
    name.iter_mut().zip(object.name_bytes()).for_each(|(to, from)| *to = from);
    name
}

/// zx_object_get_property
pub(super) fn get_property(
    thread: &Thread,
    handle: ZxHandle,
    property: u32,
    value: Out<Void>,
    value_size: usize,
) -> Result {
    let object = thread.handles().get_any(handle.value(), Rights::GET_PROPERTY)?;
    let to = Property { thread, value: value.0, size: value_size };
    match property {
        ZX_PROP_NAME => to.put(&name_of(&*object)),
        ZX_PROP_VMO_CONTENT_SIZE => to.put(&downcast::<Vmo>(object)?.content_size()),
        ZX_PROP_REGISTER_FS => {
            own_thread(thread, object)?;
            let to = to.check()?;
            thread.wish(Wish::TellFs(to));
            Ok(())
        }
        ZX_PROP_REGISTER_GS => {
            own_thread(thread, object)?;
            // It is the kernel's.
            to.put(&0u64)
        }
        ZX_PROP_PROCESS_DEBUG_ADDR => to.put(&downcast::<Process>(object)?.debug_addr()),
        ZX_PROP_PROCESS_VDSO_BASE_ADDRESS => to.put(&downcast::<Process>(object)?.vdso_base()),
        ZX_PROP_PROCESS_BREAK_ON_LOAD => to.put(&downcast::<Process>(object)?.break_on_load()),
        ZX_PROP_SOCKET_RX_THRESHOLD => to.put(&downcast::<Socket>(object)?.read_threshold()),
        ZX_PROP_SOCKET_TX_THRESHOLD => to.put(&downcast::<Socket>(object)?.write_threshold()),
        ZX_PROP_EXCEPTION_STATE => to.put(&(downcast::<Exception>(object)?.state() as u32)),
        ZX_PROP_EXCEPTION_STRATEGY => to.put(&(downcast::<Exception>(object)?.strategy() as u32)),
        ZX_PROP_STREAM_MODE_APPEND => to.put(&u8::from(downcast::<Stream>(object)?.appends())),
        _ => Err(Error::NotSupported),
    }
}

/// zx_object_set_property
pub(super) async fn set_property(
    thread: &Thread,
    handle: ZxHandle,
    property: u32,
    value: In<Void>,
    value_size: usize,
) -> Result {
    let object = thread.handles().get_any(handle.value(), Rights::SET_PROPERTY)?;
    let from = Property { thread, value: value.0, size: value_size };
    match property {
        ZX_PROP_NAME => {
            object.set_name_bytes(&thread.read_name(In(value.0.cast()), value_size)?);
            Ok(())
        }
        ZX_PROP_VMO_CONTENT_SIZE => {
            let vmo = downcast::<Vmo>(object)?;
            let set = vmo.set_content_size_async(from.get()?);
            thread.blocked(BlockedReason::Pager, set).await
        }
        ZX_PROP_REGISTER_FS => {
            own_thread(thread, object)?;
            thread.wish(Wish::SetFs(from.get()?));
            Ok(())
        }
        ZX_PROP_REGISTER_GS => {
            own_thread(thread, object)?;
            if from.get::<u64>()? == 0 { Ok(()) } else { Err(Error::NotSupported) }
        }
        ZX_PROP_PROCESS_DEBUG_ADDR => downcast::<Process>(object)?.set_debug_addr(from.get()?),
        ZX_PROP_PROCESS_BREAK_ON_LOAD => {
            downcast::<Process>(object)?.set_break_on_load(from.get()?);
            Ok(())
        }
        ZX_PROP_SOCKET_RX_THRESHOLD => downcast::<Socket>(object)?.set_read_threshold(from.get()?),
        ZX_PROP_SOCKET_TX_THRESHOLD => downcast::<Socket>(object)?.set_write_threshold(from.get()?),
        ZX_PROP_JOB_KILL_ON_OOM => {
            let kill = match from.get::<usize>()? {
                0 => false,
                1 => true,
                _ => return Err(Error::InvalidArgs),
            };
            downcast::<Job>(object)?.set_kill_on_oom(kill);
            Ok(())
        }
        ZX_PROP_EXCEPTION_STATE => {
            let exception = downcast::<Exception>(object)?;
            exception.set_state(ExceptionState::from_raw(from.get()?)?);
            Ok(())
        }
        ZX_PROP_EXCEPTION_STRATEGY => {
            let exception = downcast::<Exception>(object)?;
            exception.set_strategy(ExceptionStrategy::from_raw(from.get()?)?)
        }
        ZX_PROP_STREAM_MODE_APPEND => {
            downcast::<Stream>(object)?.set_append(from.get::<u8>()? != 0);
            Ok(())
        }
        _ => Err(Error::NotSupported),
    }
}

/// Fails unless it is the caller's own thread: of no other are the registers properties.
fn own_thread(thread: &Thread, object: Arc<dyn KernelObject>) -> Result {
    let named = downcast::<kernel_objects::Thread>(object)?;
    if Arc::ptr_eq(&named, &thread.object) { Ok(()) } else { Err(Error::AccessDenied) }
}

/// Where a property's value is.
struct Property<'a> {
    thread: &'a Thread,
    value: UserPtr<Void>,
    size: usize,
}

impl Property<'_> {
    fn check<T>(&self) -> Result<UserPtr<T>> {
        match self.size < size_of::<T>() {
            true => Err(Error::BufferTooSmall),
            false => Ok(self.value.cast()),
        }
    }

    fn put<T: FromBytes + IntoBytes + Immutable>(&self, value: &T) -> Result {
        self.check()?.write(self.thread.vmar(), value)
    }

    fn get<T: FromBytes + IntoBytes + Immutable>(&self) -> Result<T> {
        self.check::<T>()?.read(self.thread.vmar())
    }
}
