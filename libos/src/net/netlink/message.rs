//! Netlink's messages: a header, a structure, attributes, each at a multiple of four.

/// The length of `struct nlmsghdr`.
pub const HEADER: usize = 16;

/// `NLM_F_*`
pub mod flags {
    /// It is one of several.
    pub const MULTI: u16 = 2;
    /// An answer is wanted in any case.
    pub const ACK: u16 = 4;
    /// All that there are.
    pub const DUMP: u16 = 0x300;
}

/// Types of messages that are not about anything.
pub mod kinds {
    /// How a request has ended.
    pub const ERROR: u16 = 2;
    /// There is no more.
    pub const DONE: u16 = 3;
    /// The first one that is about something.
    pub const FIRST: u16 = 16;
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// All of it, with its header.
    pub bytes: &'a [u8],
    /// What it is about.
    pub kind: u16,
    /// `NLM_F_*`
    pub flags: u16,
    /// Which one it is to its sender.
    pub sequence: u32,
}

impl<'a> Request<'a> {
    /// What comes after the header.
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(HEADER..).unwrap_or_default()
    }

    /// Whether all that there are is asked for.
    pub fn is_dump(&self) -> bool {
        self.flags & flags::DUMP == flags::DUMP
    }

    /// The attributes behind a structure of `skip` bytes, as far as they make sense.
    pub fn attributes(&self, skip: usize) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut rest = self.payload().get(skip.next_multiple_of(4)..).unwrap_or_default();
        std::iter::from_fn(move || {
            let len = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
            let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?) & 0x3fff;
            let data = rest.get(4..len)?;
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
            Some((kind, data))
        })
    }

    /// The attribute `kind` behind a structure of `skip` bytes.
    pub fn attribute(&self, skip: usize, kind: u16) -> Option<&'a [u8]> {
        self.attributes(skip).find(|(found, _)| *found == kind).map(|(_, data)| data)
    }
}

/// The requests that `bytes` hold, as far as they make sense.
pub fn requests(mut bytes: &[u8]) -> impl Iterator<Item = Request<'_>> {
    std::iter::from_fn(move || {
        let word = |at: usize| {
            let bytes = bytes.get(at..at + 4)?.first_chunk::<4>()?;
            Some(u32::from_ne_bytes(*bytes))
        };
        let (len, kind, sequence) = (word(0)? as usize, word(4)?, word(8)?);
        let whole = bytes.get(..len).filter(|whole| whole.len() >= HEADER)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Request { bytes: whole, kind: kind as u16, flags: (kind >> 16) as u16, sequence })
    })
}

/// A message that is being written.
pub struct Answer {
    bytes: Vec<u8>,
}

impl Answer {
    /// One of a type to a request, to the socket of that port.
    pub fn new(request: &Request<'_>, port: u32, kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&request.sequence.to_ne_bytes());
        bytes.extend_from_slice(&port.to_ne_bytes());
        Self { bytes }
    }

    /// Appends bytes of the structure.
    pub fn put(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Appends an attribute.
    pub fn attribute(mut self, kind: u16, data: &[u8]) -> Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.bytes.extend_from_slice(&((data.len() + 4) as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// The whole message.
    pub fn finish(mut self) -> Vec<u8> {
        let len = (self.bytes.len() as u32).to_ne_bytes();
        self.bytes[..4].copy_from_slice(&len);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let request = Request { bytes: &[], kind: 0, flags: 0, sequence: 7 };
        let one = Answer::new(&request, 9, 18, flags::DUMP).put(&[1; 5]);
        let bytes = one.attribute(3, b"lo\0").attribute(4, &[2; 4]).finish();
        let two = [&bytes[..], &bytes, &[1, 2, 3]].concat();
        let requests: Vec<_> = requests(&two).collect();
        assert_eq!(requests.len(), 2);
        let request = requests[1];
        assert_eq!((request.kind, request.sequence, request.is_dump()), (18, 7, true));
        assert_eq!(request.attribute(5, 3), Some(&b"lo\0"[..]));
        assert_eq!(request.attribute(5, 4), Some(&[2; 4][..]));
        assert_eq!(request.attribute(5, 5), None);
    }

    #[test]
    fn what_makes_no_sense_is_no_request() {
        for bytes in [&[][..], &[1; 15], &[255; 40], &[0; 40]] {
            assert_eq!(requests(bytes).count(), 0);
        }
    }
}
