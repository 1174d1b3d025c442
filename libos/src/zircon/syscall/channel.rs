//! Channels: messages are copied in whole before the channel is looked at, and out whole when it has given them up.

use kernel_objects::{
    Channel, Error, Handle, HandleValue, ObjectType, Result,
    channel::{
        self, HandleDisposition, HandleOp, MAX_BYTES, MAX_HANDLES, ReadError, ReadOptions,
        Received, Room,
    },
    task::{BlockedReason, PolicyCondition},
};

use super::{
    argument::{In, Out},
    no_options,
};
use crate::{
    abi::argument::UserPtr,
    zircon::{
        Thread,
        abi::{
            self, ChannelCallArgs, ChannelCallEtcArgs, ChannelIovec, HandleInfo, Void, ZxHandle,
            ZxObjType, ZxRights, ZxStatus, ZxTime,
            constants::{ZX_CHANNEL_MAX_MSG_IOVECS, ZX_CHANNEL_WRITE_USE_IOVEC},
        },
    },
};

/// zx_channel_create
pub(super) fn create(
    thread: &Thread,
    options: u32,
    out0: Out<ZxHandle>,
    out1: Out<ZxHandle>,
) -> Result {
    no_options(options)?;
    thread.policy(PolicyCondition::NewChannel)?;
    let (one, other) = Channel::create();
    thread.give([(Handle::new(one), out0), (Handle::new(other), out1)])
}

/// zx_channel_write
pub(super) fn write(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    bytes: In<Void>,
    num_bytes: u32,
    handles: In<ZxHandle>,
    num_handles: u32,
) -> Result {
    let handles = handles_in(thread, handles.0, num_handles)?;
    // From here on the handles are gone whatever the result.
    match message_bytes(thread, options, bytes.0.addr(), num_bytes) {
        Ok(bytes) => thread.handles().channel_write(handle.value(), bytes, &handles),
        Err(error) => {
            close_unless_lacking(thread, &handles);
            Err(error)
        }
    }
}

/// zx_channel_write_etc
pub(super) fn write_etc(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    bytes: In<Void>,
    num_bytes: u32,
    handles: Out<abi::HandleDisposition>,
    num_handles: u32,
) -> Result {
    let mut dispositions = Dispositions::read(thread, handles.0, num_handles)?;
    let bytes = match message_bytes(thread, options, bytes.0.addr(), num_bytes) {
        Ok(bytes) => bytes,
        Err(error) => return Err(dispositions.discard(thread, error)),
    };
    let result = thread.handles().channel_write_etc(handle.value(), bytes, &mut dispositions.list);
    dispositions.write_results(thread)?;
    result
}

/// zx_channel_read
#[allow(clippy::too_many_arguments, reason = "the call has so many")]
pub(super) fn read(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    bytes: Out<Void>,
    handles: Out<ZxHandle>,
    num_bytes: u32,
    num_handles: u32,
    actual_bytes: Out<u32>,
    actual_handles: Out<u32>,
) -> Result {
    let room = room(num_bytes, num_handles);
    let received = thread.handles().channel_read(handle.value(), room, read_options(options)?);
    deliver(thread, received, bytes.0.addr(), actual_bytes, actual_handles, |received| {
        handles.0.write_slice(thread.vmar(), &plain_handles(received))
    })
}

/// zx_channel_read_etc
#[allow(clippy::too_many_arguments, reason = "the call has so many")]
pub(super) fn read_etc(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    bytes: Out<Void>,
    handles: Out<HandleInfo>,
    num_bytes: u32,
    num_handles: u32,
    actual_bytes: Out<u32>,
    actual_handles: Out<u32>,
) -> Result {
    let room = room(num_bytes, num_handles);
    let received = thread.handles().channel_read(handle.value(), room, read_options(options)?);
    deliver(thread, received, bytes.0.addr(), actual_bytes, actual_handles, |received| {
        handles.0.write_slice(thread.vmar(), &handle_infos(received))
    })
}

/// zx_channel_call
pub(super) async fn call(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    deadline: ZxTime,
    args: In<ChannelCallArgs>,
    actual_bytes: Out<u32>,
    actual_handles: Out<u32>,
) -> Result {
    let args = args.0.read(thread.vmar())?;
    let handles = handles_in(thread, UserPtr::new(args.wr_handles.0), args.wr_num_handles)?;
    let bytes = match message_bytes(thread, options, args.wr_bytes.0, args.wr_num_bytes) {
        Ok(bytes) => bytes,
        Err(error) => {
            close_unless_lacking(thread, &handles);
            return Err(error);
        }
    };
    let room = room(args.rd_num_bytes, args.rd_num_handles);
    let value = handle.value();
    let table = thread.handles();
    let call = table.channel_call(value, bytes, &handles, room, deadline.deadline());
    let received = thread.blocked(BlockedReason::Channel, call).await;
    deliver(thread, received, args.rd_bytes.0, actual_bytes, actual_handles, |received| {
        let out = UserPtr::new(args.rd_handles.0);
        out.write_slice(thread.vmar(), &plain_handles(received))
    })
}

/// zx_channel_call_etc
pub(super) async fn call_etc(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    deadline: ZxTime,
    args: Out<ChannelCallEtcArgs>,
    actual_bytes: Out<u32>,
    actual_handles: Out<u32>,
) -> Result {
    let args = args.0.read(thread.vmar())?;
    let handles = UserPtr::new(args.wr_handles.0);
    let mut dispositions = Dispositions::read(thread, handles, args.wr_num_handles)?;
    let bytes = match message_bytes(thread, options, args.wr_bytes.0, args.wr_num_bytes) {
        Ok(bytes) => bytes,
        Err(error) => return Err(dispositions.discard(thread, error)),
    };
    let room = room(args.rd_num_bytes, args.rd_num_handles);
    let (value, deadline) = (handle.value(), deadline.deadline());
    let table = thread.handles();
    let call = table.channel_call_etc(value, bytes, &mut dispositions.list, room, deadline);
    let received = thread.blocked(BlockedReason::Channel, call).await;
    let written = dispositions.write_results(thread);
    deliver(thread, received, args.rd_bytes.0, actual_bytes, actual_handles, |received| {
        written?;
        let out = UserPtr::new(args.rd_handles.0);
        out.write_slice(thread.vmar(), &handle_infos(received))
    })
}

/// Copies in the values of the handles of a message.
fn handles_in(thread: &Thread, handles: UserPtr<ZxHandle>, count: u32) -> Result<Vec<HandleValue>> {
    let count = usize::try_from(count).ok().filter(|&count| count <= MAX_HANDLES);
    let handles = handles.read_slice(thread.vmar(), count.ok_or(Error::OutOfRange)?)?;
    Ok(handles.into_iter().map(ZxHandle::value).collect())
}

/// The message can not be copied in: its handles are gone, unless that is to be tried again.
fn close_unless_lacking(thread: &Thread, handles: &[HandleValue]) {
    if !thread.vmar().lacks() {
        // That there are bad ones among them is not what the call fails with.
        let _ = thread.handles().close_many(handles);
    }
}

/// Copies in the bytes of a message, from one place or from several.
fn message_bytes(thread: &Thread, options: u32, bytes: u64, count: u32) -> Result<Vec<u8>> {
    let count = count as usize;
    match options {
        0 if count > MAX_BYTES => Err(Error::OutOfRange),
        0 => UserPtr::<u8>::new(bytes).read_slice(thread.vmar(), count),
        ZX_CHANNEL_WRITE_USE_IOVEC if count > ZX_CHANNEL_MAX_MSG_IOVECS as usize => {
            Err(Error::OutOfRange)
        }
        ZX_CHANNEL_WRITE_USE_IOVEC => {
            let parts = UserPtr::<ChannelIovec>::new(bytes).read_slice(thread.vmar(), count)?;
            gather(thread, &parts)
        }
        _ => Err(Error::InvalidArgs),
    }
}

fn gather(thread: &Thread, parts: &[ChannelIovec]) -> Result<Vec<u8>> {
    let mut message = Vec::new();
    for part in parts {
        if part.reserved != 0 {
            return Err(Error::InvalidArgs);
        }
        let capacity = part.capacity as usize;
        if capacity > MAX_BYTES - message.len() {
            return Err(Error::OutOfRange);
        }
        let bytes = UserPtr::<u8>::new(part.buffer.0).read_slice(thread.vmar(), capacity)?;
        message.extend_from_slice(&bytes);
    }
    Ok(message)
}

/// The handles of an `_etc` call, and where their results go.
struct Dispositions {
    list: Vec<HandleDisposition>,
    raw: Vec<abi::HandleDisposition>,
    out: UserPtr<abi::HandleDisposition>,
}

impl Dispositions {
    fn read(thread: &Thread, out: UserPtr<abi::HandleDisposition>, count: u32) -> Result<Self> {
        let count = usize::try_from(count).ok().filter(|&count| count <= MAX_HANDLES);
        let raw = out.read_slice(thread.vmar(), count.ok_or(Error::OutOfRange)?)?;
        let list = raw.iter().map(Self::parse).collect::<Result<_>>()?;
        Ok(Self { list, raw, out })
    }

    fn parse(raw: &abi::HandleDisposition) -> Result<HandleDisposition> {
        Ok(HandleDisposition {
            operation: HandleOp::from_raw(raw.operation.0)?,
            handle: raw.handle.value(),
            object_type: match raw.r#type {
                ZxObjType(0) => None,
                ZxObjType(number) => Some(ObjectType::from_raw(number)?),
            },
            rights: raw.rights.rights(),
            result: match raw.result {
                ZxStatus(0) => Ok(()),
                ZxStatus(status) => Err(Error::from_status(status).unwrap_or(Error::InvalidArgs)),
            },
        })
    }

    /// The message is not written; the handles that were to be moved are gone all the same.
    fn discard(self, thread: &Thread, error: Error) -> Error {
        let moved = |line: &&HandleDisposition| line.operation == HandleOp::Move;
        let values: Vec<_> = self.list.iter().filter(moved).map(|line| line.handle).collect();
        close_unless_lacking(thread, &values);
        error
    }

    /// Tells what became of each, if anything went wrong with one.
    fn write_results(&mut self, thread: &Thread) -> Result {
        if self.list.iter().all(|line| line.result.is_ok()) {
            return Ok(());
        }
        for (raw, line) in self.raw.iter_mut().zip(&self.list) {
            raw.result = ZxStatus(line.result.err().map_or(0, Error::status));
        }
        self.out.write_slice(thread.vmar(), &self.raw)
    }
}

fn room(num_bytes: u32, num_handles: u32) -> Room {
    Room { bytes: num_bytes as usize, handles: num_handles as usize }
}

fn read_options(options: u32) -> Result<ReadOptions> {
    ReadOptions::from_bits(options).ok_or(Error::InvalidArgs)
}

fn plain_handles(received: &Received) -> Vec<ZxHandle> {
    received.handles.iter().map(|&(value, _)| value.into()).collect()
}

fn handle_infos(received: &Received) -> Vec<HandleInfo> {
    let info = |&(value, info): &(HandleValue, kernel_objects::HandleInfo)| HandleInfo {
        handle: value.into(),
        r#type: ZxObjType(info.object_type as u32),
        rights: ZxRights(info.rights.bits()),
        unused: 0,
    };
    received.handles.iter().map(info).collect()
}

/// Copies a message out, or what it would need. If a pointer is bad the message is lost, and its handles with it.
fn deliver(
    thread: &Thread,
    received: Result<Received, ReadError>,
    bytes: u64,
    actual_bytes: Out<u32>,
    actual_handles: Out<u32>,
    write_handles: impl FnOnce(&Received) -> Result,
) -> Result {
    let sizes = |bytes: usize, handles: usize| {
        // A message is not so large that these could not be 32-bit numbers.
        actual_bytes.0.write_if_wanted(thread.vmar(), &(bytes as u32))?;
        actual_handles.0.write_if_wanted(thread.vmar(), &(handles as u32))
    };
    let received = match received {
        Ok(received) => received,
        Err(ReadError::TooSmall { bytes, handles }) => {
            sizes(bytes, handles)?;
            return Err(Error::BufferTooSmall);
        }
        Err(ReadError::Other(error)) => return Err(error),
    };
    let values: Vec<_> = received.handles.iter().map(|&(value, _)| value).collect();
    thread.announce(&values, || {
        sizes(received.bytes.len(), values.len())?;
        UserPtr::<u8>::new(bytes).write_slice(thread.vmar(), &received.bytes)?;
        if values.is_empty() { Ok(()) } else { write_handles(&received) }
    })
}

const _: () = assert!(channel::MAX_BYTES <= u32::MAX as usize);
