//! Streams: the bytes pass through the kernel, of which one call takes only so much; to move fewer than asked for is allowed.

use kernel_objects::{
    Error, Handle, Result, Rights, Stream, Vmo,
    stream::{SeekOrigin, StreamMode, StreamWrite},
    task::BlockedReason,
};

use super::{
    argument::{In, Out},
    no_options,
};
use crate::{
    abi::argument::UserPtr,
    zircon::{
        Thread,
        abi::{Iovec, ZxHandle, ZxOff, ZxSeekOrigin},
    },
};

/// How many buffers a call may name.
const MAX_VECTOR: usize = 64 << 10;
/// How many bytes a call moves.
const MAX_TRANSFER: usize = 64 << 20;

/// zx_stream_create
pub(super) fn create(
    thread: &Thread,
    options: u32,
    vmo: ZxHandle,
    seek: ZxOff,
    out_stream: Out<ZxHandle>,
) -> Result {
    let mode = StreamMode::from_bits(options).ok_or(Error::InvalidArgs)?;
    let (vmo, rights) = thread.get_with_rights::<Vmo>(vmo, Rights::empty())?;
    thread.give([(Handle::new(Stream::create(mode, &vmo, rights, seek.0)?), out_stream)])
}

/// zx_stream_readv
pub(super) async fn readv(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    vector: Out<Iovec>,
    num_vector: usize,
    actual: Out<usize>,
) -> Result {
    read(thread, handle, options, None, vector, num_vector, actual).await
}

/// zx_stream_readv_at
pub(super) async fn readv_at(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    offset: ZxOff,
    vector: Out<Iovec>,
    num_vector: usize,
    actual: Out<usize>,
) -> Result {
    read(thread, handle, options, Some(offset.0), vector, num_vector, actual).await
}

/// zx_stream_writev
pub(super) async fn writev(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    vector: In<Iovec>,
    num_vector: usize,
    actual: Out<usize>,
) -> Result {
    let options = StreamWrite::from_bits(options).ok_or(Error::InvalidArgs)?;
    let stream = thread.get::<Stream>(handle, Rights::WRITE)?;
    let bytes = gather(thread, &parts(thread, vector.0, num_vector)?)?;
    let bytes = [bytes.as_slice()];
    let write = stream.writev_async(options, &bytes);
    let count = thread.blocked(BlockedReason::Pager, write).await?;
    actual.0.write_if_wanted(thread.vmar(), &count)
}

/// zx_stream_writev_at
pub(super) async fn writev_at(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    offset: ZxOff,
    vector: In<Iovec>,
    num_vector: usize,
    actual: Out<usize>,
) -> Result {
    no_options(options)?;
    let stream = thread.get::<Stream>(handle, Rights::WRITE)?;
    let bytes = gather(thread, &parts(thread, vector.0, num_vector)?)?;
    let bytes = [bytes.as_slice()];
    let write = stream.writev_at_async(offset.0, &bytes);
    let count = thread.blocked(BlockedReason::Pager, write).await?;
    actual.0.write_if_wanted(thread.vmar(), &count)
}

/// zx_stream_seek
pub(super) fn seek(
    thread: &Thread,
    handle: ZxHandle,
    whence: ZxSeekOrigin,
    offset: i64,
    out_seek: Out<ZxOff>,
) -> Result {
    let origin = SeekOrigin::from_raw(whence.0)?;
    let (stream, rights) = thread.get_with_rights::<Stream>(handle, Rights::empty())?;
    if !rights.intersects(Rights::IO) {
        return Err(Error::AccessDenied);
    }
    let position = stream.seek(origin, offset)?;
    out_seek.0.write_if_wanted(thread.vmar(), &ZxOff(position))
}

async fn read(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    offset: Option<u64>,
    vector: Out<Iovec>,
    num_vector: usize,
    actual: Out<usize>,
) -> Result {
    no_options(options)?;
    let stream = thread.get::<Stream>(handle, Rights::READ)?;
    let parts = parts(thread, vector.0, num_vector)?;
    let mut bytes = vec![0; parts.iter().map(|part| part.len).sum()];
    let mut buffers = [bytes.as_mut_slice()];
    let read = stream.readv_async(offset, &mut buffers);
    let count = thread.blocked(BlockedReason::Pager, read).await?;
    bytes.truncate(count);
    let mut rest = bytes.as_slice();
    for part in parts {
        let (now, later) = rest.split_at(part.len.min(rest.len()));
        part.at.write_slice(thread.vmar(), now).map_err(|_| Error::NotFound)?;
        rest = later;
    }
    actual.0.write_if_wanted(thread.vmar(), &count)
}

/// A buffer of the program.
struct Part {
    at: UserPtr<u8>,
    len: usize,
}

/// The buffers of a call, as much of them as it will move.
fn parts(thread: &Thread, vector: UserPtr<Iovec>, count: usize) -> Result<Vec<Part>> {
    if vector.is_null() || count > MAX_VECTOR {
        return Err(Error::InvalidArgs);
    }
    let vector = vector.read_slice(thread.vmar(), count).map_err(|_| Error::NotFound)?;
    let mut left = MAX_TRANSFER;
    let part = |part: Iovec| {
        let len = left.min(part.capacity as usize);
        left -= len;
        Part { at: UserPtr::new(part.buffer.0), len }
    };
    Ok(vector.into_iter().map(part).collect())
}

fn gather(thread: &Thread, parts: &[Part]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for part in parts {
        let part = part.at.read_slice(thread.vmar(), part.len).map_err(|_| Error::NotFound)?;
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}
