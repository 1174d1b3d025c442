//! FIFOs: what is moved is bounded by what one has room for, however much a program asks for.

use kernel_objects::{Error, Fifo, Handle, Result, Rights, fifo::MAX_SIZE, task::PolicyCondition};

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

/// zx_fifo_create
pub(super) fn create(
    thread: &Thread,
    elem_count: usize,
    elem_size: usize,
    options: u32,
    out0: Out<ZxHandle>,
    out1: Out<ZxHandle>,
) -> Result {
    no_options(options)?;
    thread.policy(PolicyCondition::NewFifo)?;
    let (one, other) = Fifo::create(elem_count, elem_size)?;
    thread.give([(Handle::new(one), out0), (Handle::new(other), out1)])
}

/// zx_fifo_write
pub(super) fn write(
    thread: &Thread,
    handle: ZxHandle,
    elem_size: usize,
    data: In<Void>,
    count: usize,
    actual_count: Out<usize>,
) -> Result {
    let fifo = thread.get::<Fifo>(handle, Rights::WRITE)?;
    let size = transfer_size(&fifo, elem_size, count)?;
    let elements = UserPtr::<u8>::new(data.0.addr()).read_slice(thread.vmar(), size)?;
    let count = fifo.write(elem_size, &elements)?;
    actual_count.0.write_if_wanted(thread.vmar(), &count)
}

/// zx_fifo_read
pub(super) fn read(
    thread: &Thread,
    handle: ZxHandle,
    elem_size: usize,
    data: Out<Void>,
    count: usize,
    actual_count: Out<usize>,
) -> Result {
    let fifo = thread.get::<Fifo>(handle, Rights::READ)?;
    let mut elements = vec![0; transfer_size(&fifo, elem_size, count)?];
    let count = fifo.read(elem_size, &mut elements)?;
    elements.truncate(count * elem_size);
    UserPtr::<u8>::new(data.0.addr()).write_slice(thread.vmar(), &elements)?;
    actual_count.0.write_if_wanted(thread.vmar(), &count)
}

/// How many bytes `count` elements are, or as many elements as a FIFO can have at most.
fn transfer_size(fifo: &Fifo, elem_size: usize, count: usize) -> Result<usize> {
    if elem_size != fifo.element_size() {
        return Err(Error::OutOfRange);
    }
    Ok(count.min(MAX_SIZE / elem_size) * elem_size)
}
