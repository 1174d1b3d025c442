//! Who has sent a request, and the form of what comes back.
//!
//! The one idea: what a protocol finds is a list of messages or an error; how a request ends is the same for all of them.

use super::message::{Answer, HEADER, Request, flags, kinds};
use crate::errno::{Errno, SysResult};

/// The most bytes of a datagram with several messages, as Linux has it for who reads with a large buffer.
const DATAGRAM_MAX: usize = 32 << 10;

/// What a request brings.
pub(super) struct Found {
    pub(super) messages: Vec<Vec<u8>>,
    /// Why there are no more, of a request for all.
    pub(super) error: Option<Errno>,
}

impl From<Vec<Vec<u8>>> for Found {
    fn from(messages: Vec<Vec<u8>>) -> Self {
        Self { messages, error: None }
    }
}

/// A request, and where its answers go.
pub(super) struct Asker<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) port: u32,
    /// The user who made the socket.
    pub(super) user: u32,
}

impl Asker<'_> {
    /// Begins a message.
    pub(super) fn start(&self, kind: u16) -> Answer {
        let flags = if self.request.is_dump() { flags::MULTI } else { 0 };
        Answer::new(self.request, self.port, kind, flags)
    }

    /// How the request has ended: the whole request comes back with an error.
    fn ended(&self, error: i32) -> Vec<u8> {
        let bytes = self.request.bytes;
        let shown = if error == 0 { bytes.get(..HEADER) } else { Some(bytes) };
        let capped = if error == 0 { 0x100 } else { 0 };
        let mut shown = shown.unwrap_or_default().to_vec();
        shown.resize(shown.len().next_multiple_of(4), 0);
        let answer = Answer::new(self.request, self.port, kinds::ERROR, capped);
        answer.put(&error.to_ne_bytes()).put(&shown).finish()
    }

    /// What comes back: datagrams, each of some messages.
    pub(super) fn answer(&self, found: SysResult<Found>) -> Vec<Vec<u8>> {
        match found {
            Ok(found) if self.request.is_dump() => {
                let error = found.error.map_or(0, |error| -error.raw());
                let mut datagrams: Vec<Vec<u8>> = Vec::new();
                for message in found.messages {
                    match datagrams.last_mut() {
                        Some(last) if last.len() + message.len() <= DATAGRAM_MAX => {
                            last.extend_from_slice(&message);
                        }
                        _ => datagrams.push(message),
                    }
                }
                datagrams.push(self.start(kinds::DONE).put(&error.to_ne_bytes()).finish());
                datagrams
            }
            Ok(Found { messages: mut found, .. }) => {
                if self.request.flags & flags::ACK != 0 {
                    found.push(self.ended(0));
                }
                found
            }
            Err(error) => vec![self.ended(-error.raw())],
        }
    }
}
