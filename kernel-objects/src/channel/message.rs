//! What goes through a channel.

use crate::{
    error::{Error, Result},
    handle::Handle,
};

/// How many bytes a message may have: `ZX_CHANNEL_MAX_MSG_BYTES`.
pub const MAX_BYTES: usize = 65536;

/// How many handles a message may have: `ZX_CHANNEL_MAX_MSG_HANDLES`.
pub const MAX_HANDLES: usize = 64;

/// Bytes and handles. Dropped, it closes the handles.
#[derive(Debug, Default)]
pub struct Message {
    /// The bytes; a transaction id first, if it is a call or the answer to one.
    pub bytes: Vec<u8>,
    /// The handles.
    pub handles: Vec<Handle>,
}

impl Message {
    /// A message.
    pub fn new(bytes: impl Into<Vec<u8>>, handles: Vec<Handle>) -> Message {
        Message { bytes: bytes.into(), handles }
    }

    /// The first four bytes, if there are so many: `zx_txid_t`.
    pub fn txid(&self) -> Option<u32> {
        self.bytes.first_chunk().map(|&bytes| u32::from_ne_bytes(bytes))
    }

    /// Writes a transaction id over the first four bytes.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if there are not so many.
    pub(super) fn set_txid(&mut self, txid: u32) -> Result {
        *self.bytes.first_chunk_mut().ok_or(Error::InvalidArgs)? = txid.to_ne_bytes();
        Ok(())
    }

    /// Checks that a reader with so much room can take it.
    pub(super) fn fits(&self, room: Room) -> Result<(), ReadError> {
        let (bytes, handles) = (self.bytes.len(), self.handles.len());
        if bytes > room.bytes || handles > room.handles {
            return Err(ReadError::TooSmall { bytes, handles });
        }
        Ok(())
    }
}

/// What a reader can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// How many bytes.
    pub bytes: usize,
    /// How many handles.
    pub handles: usize,
}

impl Room {
    /// Room for every message.
    pub const ANY: Room = Room { bytes: MAX_BYTES, handles: MAX_HANDLES };
}

/// Why nothing was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is a message, but not the room for it: [`Error::BufferTooSmall`] with what it needs.
    #[error("a message of {bytes} bytes and {handles} handles does not fit")]
    TooSmall {
        /// How many bytes it has.
        bytes: usize,
        /// How many handles it has.
        handles: usize,
    },
    /// Another reason.
    #[error(transparent)]
    Other(#[from] Error),
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Error {
        match error {
            ReadError::TooSmall { .. } => Error::BufferTooSmall,
            ReadError::Other(error) => error,
        }
    }
}
