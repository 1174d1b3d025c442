//! Sockets: as with FIFOs, nothing larger than a socket's buffer is copied in or made room for.

use kernel_objects::{
    Error, Handle, Result, Rights, Socket,
    socket::{CAPACITY, Disposition, ReadOptions, SocketKind},
    task::PolicyCondition,
};

use super::{
    argument::{In, Out},
    no_options,
};
use crate::{
    abi::argument::UserPtr,
    zircon::{
        Thread,
        abi::{Void, ZxHandle},
    },
};

/// zx_socket_create
pub(super) fn create(
    thread: &Thread,
    options: u32,
    out0: Out<ZxHandle>,
    out1: Out<ZxHandle>,
) -> Result {
    let kind = SocketKind::from_raw(options)?;
    thread.policy(PolicyCondition::NewSocket)?;
    let (one, other) = Socket::create(kind);
    thread.give([(Handle::new(one), out0), (Handle::new(other), out1)])
}

/// zx_socket_write
pub(super) fn write(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    buffer: In<Void>,
    buffer_size: usize,
    actual: Out<usize>,
) -> Result {
    no_options(options)?;
    let socket = thread.get::<Socket>(handle, Rights::WRITE)?;
    // One byte more, so that a datagram that is too large stays too large.
    let size = buffer_size.min(CAPACITY + 1);
    let data = UserPtr::<u8>::new(buffer.0.addr()).read_slice(thread.vmar(), size)?;
    let count = socket.write(&data)?;
    actual.0.write_if_wanted(thread.vmar(), &count)
}

/// zx_socket_read
pub(super) fn read(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    buffer: Out<Void>,
    buffer_size: usize,
    actual: Out<usize>,
) -> Result {
    let options = ReadOptions::from_bits(options).ok_or(Error::InvalidArgs)?;
    let socket = thread.get::<Socket>(handle, Rights::READ)?;
    if buffer.0.is_null() {
        return Err(Error::InvalidArgs);
    }
    let mut data = vec![0; buffer_size.min(CAPACITY)];
    let count = socket.read(&mut data, options)?;
    data.truncate(count);
    UserPtr::<u8>::new(buffer.0.addr()).write_slice(thread.vmar(), &data)?;
    actual.0.write_if_wanted(thread.vmar(), &count)
}

/// zx_socket_set_disposition
pub(super) fn set_disposition(
    thread: &Thread,
    handle: ZxHandle,
    disposition: u32,
    disposition_peer: u32,
) -> Result {
    let this = Disposition::from_raw(disposition)?;
    let peer = Disposition::from_raw(disposition_peer)?;
    thread.get::<Socket>(handle, Rights::MANAGE_SOCKET)?.set_disposition(this, peer)
}
