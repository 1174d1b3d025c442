//! A message on a stream of bytes: its length, its header, its body.
//!
//! All of it is in one reused buffer. So a message is one write (what `writev` would gather is gathered
//! already), and is read straight to where it is checked, with one read if it arrives in one piece.

use std::mem;

use super::{super::payload, Result};

/// Bytes before the body: the body's length and the header.
const PREFIX: usize = 8;

/// A buffer of the size of the longest message.
pub(super) struct Frame {
    bytes: Vec<u8>,
    size: usize,
}

impl Frame {
    /// A frame for bodies of `size` bytes.
    pub(super) fn new(size: usize) -> Self {
        Frame { bytes: vec![1; PREFIX + size], size }
    }

    /// Takes the buffer out, for who needs to own it.
    pub(super) fn take(&mut self) -> Vec<u8> {
        mem::take(&mut self.bytes)
    }

    /// Puts the buffer back that was taken.
    pub(super) fn put(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
    }

    /// The message.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where to read a message to.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Writes the message with header `header` and a fresh body.
    pub(super) fn write(&mut self, header: u32) -> Result<()> {
        let (prefix, body) = self.bytes.split_at_mut(PREFIX);
        prefix[..4].copy_from_slice(&u32::try_from(body.len())?.to_le_bytes());
        prefix[4..].copy_from_slice(&header.to_le_bytes());
        payload::write(header, body);
        Ok(())
    }

    /// How many bytes to have in all, `filled` of which are here: those of the prefix until it says more.
    pub(super) fn needed(&self, filled: usize) -> Result<usize> {
        if filled < PREFIX {
            return Ok(PREFIX);
        }
        let length = u32::from_le_bytes(self.bytes[..4].try_into()?) as usize;
        if length > self.size {
            return Err(format!("a body of {length} bytes does not fit").into());
        }
        Ok(PREFIX + length)
    }

    /// Checks a whole message of a request; returns its header.
    pub(super) fn check_request(&self) -> Result<u32> {
        let header = self.header()?;
        if !payload::is_request(header) {
            return Err("not a request".into());
        }
        self.check(header)
    }

    /// Checks a whole message of the response to `request`.
    pub(super) fn check_response(&self, request: u32) -> Result<()> {
        if self.header()? != payload::response(request) {
            return Err("a response to something else".into());
        }
        self.check(payload::response(request)).map(drop)
    }

    fn header(&self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.bytes[4..PREFIX].try_into()?))
    }

    fn check(&self, header: u32) -> Result<u32> {
        if payload::check(header, &self.bytes[PREFIX..]) {
            Ok(header)
        } else {
            Err("a body with a wrong byte".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_how_long_it_is_and_what_it_is() {
        let mut frame = Frame::new(100);
        frame.write(payload::request(3)).expect("it fits");
        assert_eq!((frame.needed(0).ok(), frame.needed(8).ok()), (Some(8), Some(108)));
        assert_eq!(frame.check_request().ok(), Some(payload::request(3)));
        frame.write(payload::response(payload::request(3))).expect("it fits");
        assert!(frame.check_response(payload::request(3)).is_ok());
        assert!(frame.check_response(payload::request(4)).is_err());
        assert!(frame.check_request().is_err());
        frame.bytes_mut()[50] ^= 1;
        assert!(frame.check_response(payload::request(3)).is_err());
        frame.bytes_mut()[3] = 1;
        assert!(frame.needed(8).is_err());
    }
}
