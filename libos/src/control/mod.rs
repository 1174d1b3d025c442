//! What other commands ask of a running kernel: `libos exec` and `libos ps`.
//!
//! The one idea: a kernel with a name listens on a Unix socket of that name, where only its user and root are heard. A program that is started by way of it
//! is one more first process, with the client's streams; if the client is at a terminal it gets a pty of the kernel's, whose other side is the client: so
//! it does not matter where the kernel was started, or whether it is in the background of that very terminal.
//!
//! Read in this order: `protocol` (what is said), `server`, `client`, [`options`].

mod client;
pub mod options;
mod protocol;
mod server;

use std::{os::fd::OwnedFd, time::Duration};

use hal::host::{HostError, local::Connection};

pub use self::client::{exec, ps};
use self::protocol::{Inbox, Malformed, Message};
pub(crate) use self::server::Server;
use crate::errno::Errno;

/// How much is received at once, and how much a terminal shows at once.
const CHUNK: usize = 32 << 10;

/// The exit status for what is wrong with a request, not with its program.
const REFUSED: u8 = 126;

/// The most characters of a name.
const NAME_MAX: usize = 64;

/// Whether a kernel may be called so: letters, digits and `_.-`, and no dot at the beginning.
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=NAME_MAX).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

/// A connection as a stream of messages.
struct Talk {
    connection: Connection,
    inbox: Inbox,
    /// Descriptors that came and were not taken.
    descriptors: Vec<OwnedFd>,
    buf: Vec<u8>,
}

/// Why a talk cannot go on.
#[derive(Debug)]
enum Broken {
    /// The other side has gone.
    Gone,
    /// It says what we do not understand.
    Malformed(Malformed),
}

impl From<HostError> for Broken {
    fn from(_: HostError) -> Self {
        Self::Gone
    }
}

impl Talk {
    fn new(connection: Connection) -> Self {
        Self { connection, inbox: Inbox::default(), descriptors: Vec::new(), buf: vec![0; CHUNK] }
    }

    /// Says something.
    async fn say(&self, message: &Message) -> Result<(), Broken> {
        let bytes = message.encode().ok_or(HostError::from_errno(Errno::E2BIG.raw()))?;
        Ok(self.connection.send(&bytes, &[]).await?)
    }

    /// Says no to who may still be talking. What is not heard when a connection is closed takes the answer with it, so all is heard, for a moment.
    async fn refuse(&mut self, why: &str) -> Result<(), Broken> {
        self.say(&Message::Refused(REFUSED, why.into())).await?;
        let rest = async {
            while let Ok(1..) = self.connection.receive(&mut self.buf, &mut self.descriptors).await
            {
                self.descriptors.clear();
            }
        };
        // Whoever takes longer has heard it.
        let _ = hal::time::timeout(Duration::from_secs(1), rest).await;
        Ok(())
    }

    /// Hears the next message. May be dropped and called again.
    async fn hear(&mut self) -> Result<Message, Broken> {
        loop {
            if let Some(message) = self.inbox.next().map_err(Broken::Malformed)? {
                return Ok(message);
            }
            match self.connection.receive(&mut self.buf, &mut self.descriptors).await? {
                0 => return Err(Broken::Gone),
                count => self.inbox.add(self.buf.get(..count).unwrap_or_default()),
            }
            // Nobody sends more than a program's three streams.
            self.descriptors.truncate(3);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_those_of_plain_files() {
        let long = "x".repeat(65);
        for wrong in ["", ".", "..", ".a", "a/b", "a b", "ä", "a\n", &long] {
            assert!(!super::is_name(wrong), "{wrong}");
        }
        assert!(["1", "web-1", "a.b_c", &long[1..]].into_iter().all(super::is_name));
    }
}
