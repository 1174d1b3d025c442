//! A message on a stream of bytes: its length, its header, its body.
//!
//! It is read straight to where it is checked, with one read if it arrives in one piece, and written from where it was made, header
//! and body gathered by one `writev`. How the two lie in memory is a matter of what the stream's library takes: side by side, or each in a
//! buffer of its own. Buffers are reused.

use bytes::BytesMut;

use super::{super::payload, Result};

/// Bytes before the body: the body's length and the header.
pub(super) const PREFIX: usize = 8;

/// A buffer of the size of the longest message.
pub(super) trait Frame {
    /// A frame for bodies of `size` bytes.
    fn new(size: usize) -> Self;

    /// How many bytes the longest body has.
    fn size(&self) -> usize;

    /// What is before the body, and the body.
    fn parts(&self) -> (&[u8], &[u8]);

    /// The same, to be written.
    fn parts_mut(&mut self) -> (&mut [u8], &mut [u8]);

    /// Writes the message with header `header` and a fresh body.
    fn write(&mut self, header: u32) -> Result<()> {
        let (prefix, body) = self.parts_mut();
        prefix[..4].copy_from_slice(&u32::try_from(body.len())?.to_le_bytes());
        prefix[4..].copy_from_slice(&header.to_le_bytes());
        payload::write(header, body);
        Ok(())
    }

    /// How many bytes to have in all, `filled` of which are here: those of the prefix until it says more.
    fn needed(&self, filled: usize) -> Result<usize> {
        if filled < PREFIX {
            return Ok(PREFIX);
        }
        let length = u32::from_le_bytes(self.parts().0[..4].try_into()?) as usize;
        if length > self.size() {
            return Err(format!("a body of {length} bytes does not fit").into());
        }
        Ok(PREFIX + length)
    }

    /// Checks a whole message of a request; returns its header.
    fn check_request(&self) -> Result<u32> {
        let header = self.header()?;
        if !payload::is_request(header) {
            return Err("not a request".into());
        }
        self.check(header)
    }

    /// Checks a whole message of the response to `request`.
    fn check_response(&self, request: u32) -> Result<()> {
        if self.header()? != payload::response(request) {
            return Err("a response to something else".into());
        }
        self.check(payload::response(request)).map(drop)
    }

    /// The message's header.
    fn header(&self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.parts().0[4..].try_into()?))
    }

    /// Checks the body of a message with this header, which is returned.
    fn check(&self, header: u32) -> Result<u32> {
        if payload::check(header, self.parts().1) {
            Ok(header)
        } else {
            Err("a body with a wrong byte".into())
        }
    }
}

/// Both parts in one buffer, which can be split and joined without a copy.
pub(super) struct Joined(pub(super) BytesMut);

impl Frame for Joined {
    fn new(size: usize) -> Self {
        // Not zeroed, or the pages would be no more than promised.
        Joined(vec![1; PREFIX + size].as_slice().into())
    }

    fn size(&self) -> usize {
        self.0.len() - PREFIX
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        self.0.split_at(PREFIX)
    }

    fn parts_mut(&mut self) -> (&mut [u8], &mut [u8]) {
        self.0.split_at_mut(PREFIX)
    }
}

/// Each part in a buffer of its own. While a message is being read they may be as long as what has come of it.
pub(super) struct Parted {
    pub(super) prefix: Vec<u8>,
    pub(super) body: Vec<u8>,
    pub(super) size: usize,
}

impl Frame for Parted {
    fn new(size: usize) -> Self {
        Parted { prefix: vec![1; PREFIX], body: vec![1; size], size }
    }

    fn size(&self) -> usize {
        self.size
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        (&self.prefix, &self.body)
    }

    fn parts_mut(&mut self) -> (&mut [u8], &mut [u8]) {
        (&mut self.prefix, &mut self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says_how_long_it_is_and_what_it_is(mut frame: impl Frame) {
        frame.write(payload::request(3)).expect("it fits");
        assert_eq!((frame.needed(0).ok(), frame.needed(8).ok()), (Some(8), Some(108)));
        assert_eq!(frame.check_request().ok(), Some(payload::request(3)));
        frame.write(payload::response(payload::request(3))).expect("it fits");
        assert!(frame.check_response(payload::request(3)).is_ok());
        assert!(frame.check_response(payload::request(4)).is_err());
        assert!(frame.check_request().is_err());
        frame.parts_mut().1[50] ^= 1;
        assert!(frame.check_response(payload::request(3)).is_err());
        frame.parts_mut().0[3] = 1;
        assert!(frame.needed(8).is_err());
    }

    #[test]
    fn a_frame_says_how_long_it_is_and_what_it_is() {
        says_how_long_it_is_and_what_it_is(Joined::new(100));
        says_how_long_it_is_and_what_it_is(Parted::new(100));
    }
}
