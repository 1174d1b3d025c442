//! What no program sees: that sockets leave nothing behind.

use hal::pmem::PhysicalMemory;
use linux_raw_sys::general as raw;

use super::*;
use crate::{
    net::{Caller, Incoming, Outgoing, Socket, Ucred},
    process::FsState,
    vfs::{IoDst, IoSrc, OpenFile, testing::World},
};

/// Somebody who may do everything.
pub(in crate::net) struct Anybody(FsState);

impl Caller for Anybody {
    fn real(&self) -> Ucred {
        Ucred { pid: 7, uid: 0, gid: 0 }
    }
    fn effective(&self) -> Ucred {
        self.real()
    }
    fn fs(&self) -> &FsState {
        &self.0
    }
    fn in_flight_limit(&self) -> u64 {
        u64::MAX
    }
}

pub(in crate::net) fn anybody() -> Anybody {
    Anybody(FsState::new(World::new().ctx))
}

fn space() -> Arc<Namespace> {
    Namespace::new(&PhysicalMemory::new(None).unwrap(), &Arc::default())
}

/// Two sockets with open files that are connected to each other.
fn pair(space: &Arc<Namespace>, kind: SocketKind) -> [Arc<OpenFile>; 2] {
    let (one, other) = UnixSocket::pair(space, kind, &anybody()).unwrap();
    [one, other].map(|socket| OpenFile::from_file(socket, None, raw::O_RDWR))
}

fn send(by: &OpenFile, files: &[&Arc<OpenFile>]) -> SysResult {
    let mut data = IoSrc::kernel(b"x");
    let mut message = Outgoing::bytes(&mut data);
    message.control.files = files.iter().map(|file| Arc::clone(file)).collect();
    by.socket()?.send(&anybody(), &mut message)
}

fn receive(by: &OpenFile) -> SysResult<Vec<Arc<OpenFile>>> {
    let mut bytes = [0; 9];
    let mut data = IoDst::kernel(&mut bytes);
    let mut into = Incoming::bytes(&mut data);
    by.socket()?.receive(&mut into)?;
    Ok(into.control.files)
}

const KINDS: [SocketKind; 3] = [SocketKind::Stream, SocketKind::Datagram, SocketKind::SeqPacket];

#[test]
fn sockets_that_are_on_the_way_through_each_other_are_collected() {
    for kind in KINDS {
        let space = space();
        let ([a, b], [c, d]) = (pair(&space, kind), pair(&space, kind));
        send(&a, &[&c, &d]).unwrap();
        send(&c, &[&a, &b, &c]).unwrap();
        drop((a, c, d));
        drop(pair(&space, kind));
        assert_eq!(space.in_flight(), 4, "b can still be received from");
        drop(b);
        drop(pair(&space, kind));
        assert_eq!((space.in_flight(), space.memory.charged()), (0, 0), "{kind:?}");
        assert!(space.sockets.lock().is_empty());
    }
}

#[test]
fn what_can_be_received_is_not_collected() {
    for kind in KINDS {
        let space = space();
        let ([a, b], [c, d]) = (pair(&space, kind), pair(&space, kind));
        // Only messages refer to c and d, and to d only one in c's own queue.
        send(&d, &[&d]).unwrap();
        send(&a, &[&c]).unwrap();
        drop((a, c, d));
        drop(pair(&space, kind));
        let c = receive(&b).unwrap().pop().unwrap();
        let d = receive(&c).unwrap().pop().unwrap();
        send(&d, &[]).unwrap();
        assert_eq!(receive(&c).unwrap().len(), 0);
        assert_eq!(space.in_flight(), 0);
    }
}

#[test]
fn what_is_lost_with_a_socket_may_be_its_peer() {
    for kind in KINDS {
        let space = space();
        let [a, b] = pair(&space, kind);
        send(&a, &[&a]).unwrap();
        drop(a);
        drop(b);
        assert_eq!((space.in_flight(), space.memory.charged()), (0, 0), "{kind:?}");
    }
}

#[test]
fn a_chain_as_long_as_a_guest_likes_is_dropped_without_recursion() {
    let space = space();
    let [first, mut last] = pair(&space, SocketKind::Stream);
    for _ in 0..10_000 {
        let [a, b] = pair(&space, SocketKind::Stream);
        send(&a, &[&last]).unwrap();
        last = b;
    }
    drop((first, last));
    assert_eq!((space.in_flight(), space.memory.charged()), (0, 0));
}

#[test]
fn a_name_is_free_when_its_socket_is_closed() {
    let space = space();
    let anybody = anybody();
    let named = || {
        let socket = UnixSocket::new(&space, SocketKind::Stream, anybody.real()).unwrap();
        socket.bind(&anybody, b"\x01\0\0name").map(|()| socket)
    };
    let first = named().unwrap();
    assert_eq!(named().err(), Some(Errno::EADDRINUSE));
    drop(first);
    named().unwrap();
    assert!(space.names.lock().is_empty());
}

#[test]
fn a_name_is_known_in_its_own_namespace() {
    let (one, anybody) = (space(), anybody());
    let other = one.another();
    let listener = UnixSocket::new(&one, SocketKind::Stream, anybody.real()).unwrap();
    listener.bind(&anybody, b"\x01\0\0name").unwrap();
    listener.listen(&anybody, 1).unwrap();
    let connect = |space| {
        let client = UnixSocket::new(space, SocketKind::Stream, anybody.real()).unwrap();
        client.connect(&anybody, b"\x01\0\0name", true)
    };
    assert_eq!((connect(&one), connect(&other)), (Ok(()), Err(Errno::ECONNREFUSED)));
    let same = UnixSocket::new(&other, SocketKind::Stream, anybody.real()).unwrap();
    assert_eq!(same.bind(&anybody, b"\x01\0\0name"), Ok(()));
}

#[test]
fn sockets_of_two_namespaces_on_the_way_through_each_other_are_collected() {
    let one = space();
    let other = one.another();
    let ([a, b], [c, d]) = (pair(&one, SocketKind::Stream), pair(&other, SocketKind::Stream));
    send(&a, &[&c, &d]).unwrap();
    send(&c, &[&a, &b]).unwrap();
    assert_eq!(one.in_flight(), 4);
    drop((a, b, c, d));
    drop(pair(&other, SocketKind::Stream));
    assert_eq!((other.in_flight(), other.memory.charged()), (0, 0));
}
