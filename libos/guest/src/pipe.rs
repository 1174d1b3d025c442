//! Pipes.

use std::{io, os::fd::OwnedFd};

use crate::{
    operation::Fd,
    transfer::{How, transfers},
};

/// The end of a pipe that is read.
#[derive(Debug)]
pub struct PipeReader {
    fd: Fd,
}

/// The end of a pipe that is written.
#[derive(Debug)]
pub struct PipeWriter {
    fd: Fd,
}

transfers!(PipeReader, How::Stream, read);
transfers!(PipeReader, close);
transfers!(PipeWriter, How::Stream, write);
transfers!(PipeWriter, close);

/// Both ends of a new pipe.
///
/// # Errors
///
/// Those of pipe(2).
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((OwnedFd::from(reader).into(), OwnedFd::from(writer).into()))
}
