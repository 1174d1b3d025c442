//! What is answered to those who ask about sockets (sock_diag(7)), as ss(8) does.
//!
//! The one idea: a family has one function that tells what there is to say about each of its sockets, a [`Told`] or
//! [`unix::Told`](crate::net::unix::Told), and only here is it written down in netlink's form.

use linux_raw_sys::net as raw;

use super::{
    asker::{Asker, Found},
    filter,
};
use crate::{
    errno::{Errno, SysResult},
    net::{
        SocketKind,
        inet::{
            Stack,
            address::{Family, Name, to_v6},
            diag::{CLOSE, LISTEN, Told},
            options::{TCP, UDP, UDPLITE},
        },
        unix,
    },
};

/// `SOCK_DIAG_BY_FAMILY`
const BY_FAMILY: u16 = 20;

/// The length of `struct inet_diag_req_v2`, and of `struct unix_diag_req`.
const INET_LEN: usize = 56;
const UNIX_LEN: usize = 24;

/// `INET_DIAG_REQ_PROTOCOL`
const PROTOCOL: u16 = 3;

/// `INET_DIAG_*`: what may be told beside the structure; asked for by the bit of number less one.
mod inet {
    pub(super) const MEMORY: u16 = 1;
    pub(super) const INFO: u16 = 2;
    pub(super) const CONGESTION: u16 = 4;
    pub(super) const TOS: u16 = 5;
    pub(super) const TCLASS: u16 = 6;
    pub(super) const SOCKET_MEMORY: u16 = 7;
    pub(super) const SHUTDOWN: u16 = 8;
    pub(super) const ONLY_V6: u16 = 11;
    pub(super) const MARK: u16 = 15;
}

/// `UNIX_DIAG_*`, and the bits by which they are asked for.
mod local {
    pub(super) const NAME: u16 = 0;
    pub(super) const PEER: u16 = 2;
    pub(super) const PENDING: u16 = 3;
    pub(super) const QUEUES: u16 = 4;
    pub(super) const MEMORY: u16 = 5;
    pub(super) const SHUTDOWN: u16 = 6;
    pub(super) const UID: u16 = 7;
    pub(super) const SHOW_NAME: u32 = 1;
    pub(super) const SHOW_PEER: u32 = 4;
    pub(super) const SHOW_PENDING: u32 = 8;
    pub(super) const SHOW_QUEUES: u32 = 0x10;
    pub(super) const SHOW_MEMORY: u32 = 0x20;
    pub(super) const SHOW_UID: u32 = 0x40;
}

/// Whom to ask.
#[derive(Clone, Copy)]
pub(super) struct Sockets<'a> {
    pub(super) inet: &'a Stack,
    pub(super) unix: &'a unix::Namespace,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk::<4>());
    bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

/// The messages that answer a request, but for what ends them. `ENOENT` for a family that tells nothing, or a socket that is not there.
pub(super) fn answer(sockets: Sockets<'_>, asker: &Asker<'_>) -> SysResult<Found> {
    if asker.request.kind != BY_FAMILY {
        return Err(Errno::EINVAL);
    }
    let family = asker.request.payload().first().copied().map(u32::from).ok_or(Errno::EINVAL)?;
    match family {
        raw::AF_INET => of_inet(sockets.inet, Family::V4, asker),
        raw::AF_INET6 => of_inet(sockets.inet, Family::V6, asker),
        raw::AF_UNIX => of_unix(sockets.unix, asker),
        46.. => Err(Errno::EINVAL),
        _ => Err(Errno::ENOENT),
    }
}

/// What is asked for of Internet sockets.
struct Wanted<'a> {
    extensions: u8,
    states: u32,
    /// `struct inet_diag_sockid`
    id: &'a [u8],
}

fn of_inet(stack: &Stack, family: Family, asker: &Asker<'_>) -> SysResult<Found> {
    let request = asker.request;
    let asked = request.payload().get(..INET_LEN).ok_or(Errno::EINVAL)?;
    let wanted = Wanted { extensions: asked[2], states: word(asked, 4), id: &asked[8..] };
    // The number of a protocol may need more than a byte.
    let protocol = request.attribute(INET_LEN, PROTOCOL).map(|bytes| word(bytes, 0));
    let told = match protocol.unwrap_or(u32::from(asked[1])) {
        TCP => stack.tell_tcp(family),
        protocol @ (UDP | UDPLITE) => stack.tell_udp(family, protocol),
        // Of a protocol that is not here there are none, and that is said at the end.
        _ if request.is_dump() => {
            return Ok(Found { messages: Vec::new(), error: Some(Errno::ENOENT) });
        }
        _ => return Err(Errno::ENOENT),
    };
    if request.is_dump() {
        let program = request.attribute(INET_LEN, filter::BYTECODE).map(filter::Program::parse);
        let program = program.transpose()?;
        let passes = |told: &&Told| {
            wanted.states & 1 << told.state != 0
                && program.as_ref().is_none_or(|program| program.passes(told))
                && ports_match(&wanted, told)
        };
        let meant = told.iter().filter(passes).map(|told| one_inet(told, &wanted, asker));
        return Ok(meant.collect::<Vec<_>>().into());
    }
    let found = told.iter().find(|told| {
        let id = identify(told);
        let same = |range: std::ops::Range<usize>| id.get(range.clone()) == wanted.id.get(range);
        let cookie = wanted.id.get(40..48).is_some_and(|cookie| cookie == [0xff; 8]);
        same(0..36) && (cookie || same(40..48))
    });
    found.map(|told| vec![one_inet(told, &wanted, asker)].into()).ok_or(Errno::ENOENT)
}

/// Whether the ports are those that a dump is about, if it is about some.
fn ports_match(wanted: &Wanted<'_>, told: &Told) -> bool {
    let matches = |at: usize, port: u16| match wanted.id.get(at..at + 2) {
        Some(&[0, 0]) | None => true,
        Some(bytes) => bytes == port.to_be_bytes(),
    };
    matches(0, told.local.port) && matches(2, told.peer.port)
}

/// `struct inet_diag_sockid`
fn identify(told: &Told) -> Vec<u8> {
    let ip = |name: Name| {
        let mut bytes = match (told.family, name.ip) {
            (Family::V4, std::net::IpAddr::V4(ip)) => ip.octets().to_vec(),
            (_, ip) => to_v6(ip).octets().to_vec(),
        };
        bytes.resize(16, 0);
        bytes
    };
    let mut id = [told.local.port.to_be_bytes(), told.peer.port.to_be_bytes()].concat();
    id.extend_from_slice(&ip(told.local));
    id.extend_from_slice(&ip(told.peer));
    id.extend_from_slice(&told.device.to_ne_bytes());
    id.extend_from_slice(&told.ino.to_ne_bytes());
    id
}

/// Words of `SK_MEMINFO_*`.
fn memory_words(told: &Told) -> Vec<u8> {
    let words: [usize; 9] =
        [told.queues.1, told.buffers.1, told.queues.0, told.buffers.0, 0, told.queues.0, 0, 0, 0];
    words.iter().flat_map(|&word| u32::try_from(word).unwrap_or(u32::MAX).to_ne_bytes()).collect()
}

fn one_inet(told: &Told, wanted: &Wanted<'_>, asker: &Asker<'_>) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_ne_bytes();
    let asked = |what: u16| wanted.extensions & 1 << (what - 1) != 0;
    let mut answer = asker
        .start(BY_FAMILY)
        .put(&[told.family.raw() as u8, told.state, 0, 0])
        .put(&identify(told))
        .put(&[0; 4])
        .put(&number(told.queues.1))
        .put(&number(told.queues.0))
        .put(&told.uid.to_ne_bytes())
        .put(&(told.ino as u32).to_ne_bytes())
        .attribute(inet::SHUTDOWN, &[told.shut]);
    if asked(inet::TOS) {
        answer = answer.attribute(inet::TOS, &[told.tos]);
    }
    if told.family == Family::V6 {
        if asked(inet::TCLASS) {
            answer = answer.attribute(inet::TCLASS, &[told.traffic_class]);
        }
        if matches!(told.state, CLOSE | LISTEN) {
            answer = answer.attribute(inet::ONLY_V6, &[u8::from(told.only_v6)]);
        }
    }
    if told.mark != 0 {
        answer = answer.attribute(inet::MARK, &told.mark.to_ne_bytes());
    }
    if asked(inet::MEMORY) {
        let words = [told.queues.1, told.queues.0, 0, told.queues.0];
        let bytes: Vec<u8> = words.into_iter().flat_map(number).collect();
        answer = answer.attribute(inet::MEMORY, &bytes);
    }
    if asked(inet::SOCKET_MEMORY) {
        answer = answer.attribute(inet::SOCKET_MEMORY, &memory_words(told));
    }
    if asked(inet::INFO)
        && let Some(info) = &told.info
    {
        answer = answer.attribute(inet::INFO, info);
    }
    if asked(inet::CONGESTION)
        && let Some(name) = told.congestion
    {
        answer = answer.attribute(inet::CONGESTION, &[name, b"\0"].concat());
    }
    answer.finish()
}

fn of_unix(space: &unix::Namespace, asker: &Asker<'_>) -> SysResult<Found> {
    let request = asker.request;
    let asked = request.payload().get(..UNIX_LEN).ok_or(Errno::EINVAL)?;
    let (states, ino, show) = (word(asked, 4), word(asked, 8), word(asked, 12));
    if request.is_dump() {
        let told = space.tell();
        let told = told.iter().filter(|told| states & 1 << told.state != 0);
        return Ok(told.map(|told| one_unix(told, show, asker)).collect::<Vec<_>>().into());
    }
    if ino == 0 {
        return Err(Errno::EINVAL);
    }
    let told = space.tell().into_iter().find(|told| told.ino as u32 == ino);
    let told = told.ok_or(Errno::ENOENT)?;
    let cookie = asked.get(16..24).unwrap_or_default();
    if cookie != [0xff; 8] && cookie != told.ino.to_ne_bytes() {
        return Err(Errno::ESTALE);
    }
    Ok(vec![one_unix(&told, show, asker)].into())
}

fn one_unix(told: &unix::Told, show: u32, asker: &Asker<'_>) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_ne_bytes();
    let kind = match told.kind {
        SocketKind::Stream => raw::SOCK_STREAM,
        SocketKind::SeqPacket => raw::SOCK_SEQPACKET,
        SocketKind::Datagram | SocketKind::Raw => raw::SOCK_DGRAM,
    };
    let mut answer = asker
        .start(BY_FAMILY)
        .put(&[raw::AF_UNIX as u8, kind as u8, told.state, 0])
        .put(&(told.ino as u32).to_ne_bytes())
        .put(&told.ino.to_ne_bytes());
    if show & local::SHOW_NAME != 0 && !told.name.is_empty() {
        answer = answer.attribute(local::NAME, &told.name);
    }
    if show & local::SHOW_PEER != 0
        && let Some(peer) = told.peer
    {
        answer = answer.attribute(local::PEER, &(peer as u32).to_ne_bytes());
    }
    if show & local::SHOW_PENDING != 0 && told.state == LISTEN {
        let inos: Vec<u8> =
            told.pending.iter().flat_map(|&ino| (ino as u32).to_ne_bytes()).collect();
        answer = answer.attribute(local::PENDING, &inos);
    }
    if show & local::SHOW_QUEUES != 0 {
        let queues = [number(told.queues.0), number(told.queues.1)].concat();
        answer = answer.attribute(local::QUEUES, &queues);
    }
    if show & local::SHOW_MEMORY != 0 {
        let (send, receive) = told.buffers;
        let words = [0, receive, 0, send, 0, 0, 0, 0, 0];
        let bytes: Vec<u8> = words.into_iter().flat_map(number).collect();
        answer = answer.attribute(local::MEMORY, &bytes);
    }
    if show & local::SHOW_UID != 0 {
        answer = answer.attribute(local::UID, &told.uid.to_ne_bytes());
    }
    answer.attribute(local::SHUTDOWN, &[told.shut]).finish()
}
