//! Published ports (`--publish`): the host's way to a server inside.
//!
//! The one idea: a published port is a guest program that the kernel plays. It listens on the host, is a client of 127.0.0.1 in the kernel's own
//! network, and moves bytes from the one to the other; so servers need to know nothing of it. Read `stream`, then `datagram`.

mod datagram;
mod stream;

use std::{
    fmt,
    future::poll_fn,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::Poll,
};

use futures::task::AtomicWaker;
use hal::{
    cpu::Cpus,
    host::{HostError, socket::HostSocket},
    reactor::{Ready, Watch},
};
use linux_raw_sys::net as raw;

use super::inet::{
    Stack,
    address::{Family, Name},
    options::IPV6,
};
use crate::errno::{Errno, SysResult};

/// Connections that may wait on the host until they are carried inside.
const BACKLOG: i32 = 4096;

/// What a published port carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// `--publish [ADDR:]HOST:GUEST[/tcp|/udp]`: a port of the host that leads to one of the kernel's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Where the host's side listens.
    pub host: SocketAddr,
    /// The port inside, of 127.0.0.1 or ::1.
    pub guest: u16,
    /// What it carries.
    pub protocol: Protocol,
}

impl FromStr for Publish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected [ADDR:]HOST:GUEST, and /udp for datagrams".to_owned();
        let (ports, protocol) = match text.rsplit_once('/') {
            None => (text, Protocol::Tcp),
            Some((ports, "tcp")) => (ports, Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some(_) => return Err(expected()),
        };
        let (host, guest) = ports.rsplit_once(':').ok_or_else(expected)?;
        let port = |text: &str| match text.parse() {
            Ok(port @ 1..) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
            _ => Err("expected ports from 1 to 65535".to_owned()),
        };
        let (ip, host) = match host.rsplit_once(':') {
            None => (IpAddr::V4(Ipv4Addr::LOCALHOST), host),
            Some((ip, host)) => {
                let v6 = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
                let ip = match v6 {
                    Some(ip) => ip.parse().map(IpAddr::V6),
                    None => ip.parse().map(IpAddr::V4),
                };
                let ip = ip.map_err(|_| "expected an address such as 0.0.0.0 or [::1]".to_owned());
                (ip?, host)
            }
        };
        Ok(Self { host: SocketAddr::new(ip, port(host)?), guest: port(guest)?, protocol })
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        write!(f, "{}:{}/{protocol}", self.host, self.guest)
    }
}

/// A published port whose host side listens already.
pub struct Listener {
    publish: Publish,
    socket: HostSocket,
}

impl Listener {
    /// Listens. The host's errors: `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`.
    pub fn bind(publish: Publish) -> Result<Self, HostError> {
        let family = match publish.host.ip() {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        };
        let kind = match publish.protocol {
            Protocol::Tcp => raw::SOCK_STREAM,
            Protocol::Udp => raw::SOCK_DGRAM,
        };
        let socket = HostSocket::new(family.raw().into(), kind.cast_signed(), 0)?;
        let on = 1_i32.to_ne_bytes();
        if publish.protocol == Protocol::Tcp {
            // A kernel that is started anew has the port at once.
            socket.set_option(raw::SOL_SOCKET, raw::SO_REUSEADDR, &on)?;
        }
        if family == Family::V6 {
            socket.set_option(IPV6, raw::IPV6_V6ONLY, &on)?;
        }
        let name = Name::new(publish.host.ip(), publish.host.port());
        socket.bind(&name.to_address(family))?;
        if publish.protocol == Protocol::Tcp {
            socket.listen(BACKLOG)?;
        }
        Ok(Self { publish, socket })
    }

    /// Carries what comes, for as long as the machine runs.
    pub fn serve(self, stack: &Arc<Stack>, cpus: &Cpus) {
        let (stack, handle) = (Arc::clone(stack), cpus.handle());
        let Self { publish, socket } = self;
        match publish.protocol {
            Protocol::Tcp => cpus.spawn(stream::serve(socket, publish.guest, stack, handle)),
            Protocol::Udp => cpus.spawn(datagram::serve(socket, publish.guest, stack, handle)),
        }
        .detach();
    }
}

/// Where a server may be, in the order in which they are tried.
fn places(port: u16) -> [(Family, Name); 2] {
    [
        (Family::V4, Name::new(Ipv4Addr::LOCALHOST.into(), port)),
        (Family::V6, Name::new(Ipv6Addr::LOCALHOST.into(), port)),
    ]
}

fn errno(error: HostError) -> Errno {
    Errno::from_raw(error.errno())
}

/// There may be something to read.
const READABLE: u8 = 1;
/// There may be room to write.
const WRITABLE: u8 = 2;
/// The other side has ended its half, or the connection is broken: reads go on until they say so.
const HANGUP: u8 = 4;
/// Something has changed since somebody waited.
const NEWS: u8 = 8;
/// Something has changed since somebody looked for an error.
const LOOK: u8 = 16;

/// What a socket of the host has become ready for, edge by edge.
///
/// A bit is taken *before* the try that it allows, so an edge that comes meanwhile counts for the next one.
struct Edges {
    shared: Arc<(AtomicU8, AtomicWaker)>,
    _watch: Watch,
}

impl Edges {
    /// Those of `socket`, from now on.
    fn of(socket: &HostSocket) -> SysResult<Self> {
        let shared = Arc::new((AtomicU8::new(READABLE), AtomicWaker::new()));
        let noted = Arc::clone(&shared);
        let note = move |ready: Ready| {
            let bit = |is: bool, bit| if is { bit } else { 0 };
            let broken = ready.hangup || ready.error;
            let bits = bit(ready.readable || broken, READABLE)
                | bit(ready.writable || broken, WRITABLE)
                | bit(broken, HANGUP);
            noted.0.fetch_or(bits | NEWS | LOOK, Ordering::AcqRel);
            noted.1.wake();
        };
        let watch = socket.watch(note).map_err(|_| Errno::ENOMEM)?;
        Ok(Self { shared, _watch: watch })
    }

    /// Takes the bit; whether it was there.
    fn take(&self, bit: u8) -> bool {
        self.shared.0.fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    /// Puts a bit back: what it allowed is not used up.
    fn put(&self, bit: u8) {
        self.shared.0.fetch_or(bit, Ordering::AcqRel);
    }

    fn has(&self, bit: u8) -> bool {
        self.shared.0.load(Ordering::Acquire) & bit != 0
    }

    /// Waits for the next edge; one that came since the last call counts.
    async fn news(&self) {
        poll_fn(|context| {
            if self.take(NEWS) {
                return Poll::Ready(());
            }
            self.shared.1.register(context.waker());
            if self.take(NEWS) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_names_an_address_two_ports_and_a_protocol() {
        let parse = |text: &str| text.parse::<Publish>().map(|publish| publish.to_string());
        assert_eq!(parse("8080:80").unwrap(), "127.0.0.1:8080:80/tcp");
        assert_eq!(parse("0.0.0.0:53:5353/udp").unwrap(), "0.0.0.0:53:5353/udp");
        assert_eq!(parse("[::1]:8080:80/tcp").unwrap(), "[::1]:8080:80/tcp");
        for wrong in [
            "80",
            "0:80",
            "80:0",
            "80:65536",
            "80:+1",
            "::1:80:80",
            "host:80:80",
            "80:80/sctp",
            ":80",
            "80:",
            "[::1]80:80",
            "",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
