use futures::executor::block_on;

use super::*;
use crate::handle::Handle;

fn stream() -> (Arc<Socket>, Arc<Socket>) {
    Socket::create(SocketKind::Stream)
}

fn datagrams() -> (Arc<Socket>, Arc<Socket>) {
    Socket::create(SocketKind::Datagram)
}

fn read_with(socket: &Socket, room: usize, options: ReadOptions) -> Result<Vec<u8>> {
    let mut buffer = vec![0; room];
    let count = socket.read(&mut buffer, options)?;
    buffer.truncate(count);
    Ok(buffer)
}

fn read(socket: &Socket, room: usize) -> Result<Vec<u8>> {
    read_with(socket, room, ReadOptions::empty())
}

const DISABLED: Option<Disposition> = Some(Disposition::WriteDisabled);
const ENABLED: Option<Disposition> = Some(Disposition::WriteEnabled);

const NONE: Signals = Signals::empty();
const READABLE: Signals = Signals::READABLE;
const WRITABLE: Signals = Signals::WRITABLE;
const OFF: Signals = Signals::SOCKET_WRITE_DISABLED;
const PEER_OFF: Signals = Signals::SOCKET_PEER_WRITE_DISABLED;

#[test]
fn numbers_are_zircons() {
    assert_eq!(SocketKind::from_raw(0), Ok(SocketKind::Stream));
    assert_eq!(SocketKind::from_raw(1), Ok(SocketKind::Datagram));
    assert_eq!(SocketKind::from_raw(2), Err(Error::InvalidArgs));
    assert_eq!(Disposition::from_raw(0), Ok(None));
    assert_eq!(Disposition::from_raw(1), Ok(DISABLED));
    assert_eq!(Disposition::from_raw(2), Ok(ENABLED));
    assert_eq!(Disposition::from_raw(3), Err(Error::InvalidArgs));
    assert_eq!(ReadOptions::PEEK.bits(), 8);
}

#[test]
fn a_stream_has_no_boundaries_and_each_direction_its_own_bytes() {
    let (a, b) = stream();
    assert_eq!((a.write(b"abc"), a.write(b"def"), b.write(b"xy")), (Ok(3), Ok(3), Ok(2)));
    assert_eq!(read(&b, 4), Ok(b"abcd".to_vec()));
    assert_eq!(read(&b, 4), Ok(b"ef".to_vec()));
    assert_eq!(read(&b, 4), Err(Error::ShouldWait));
    assert_eq!(read(&a, 4), Ok(b"xy".to_vec()));
    assert_eq!((a.related_koid(), a.object_type()), (b.koid(), ObjectType::Socket));
}

#[test]
fn a_stream_write_is_short_when_there_is_room_for_a_part() {
    let (a, b) = stream();
    let bytes: Vec<u8> = (0..CAPACITY + 10).map(|i| i as u8).collect();
    assert_eq!(a.write(&bytes[..CAPACITY - 3]), Ok(CAPACITY - 3));
    assert_eq!(a.write(&bytes[CAPACITY - 3..]), Ok(3));
    assert_eq!(a.write(b"x"), Err(Error::ShouldWait));
    assert_eq!(a.write(b""), Ok(0), "nothing fits always");
    assert_eq!(read(&b, 10), Ok(bytes[..10].to_vec()));
    assert_eq!(a.write(&bytes[CAPACITY..]), Ok(10));
    assert_eq!(read(&b, CAPACITY + 1), Ok(bytes[10..].to_vec()));
}

#[test]
fn a_datagram_is_read_alone_and_its_rest_is_lost() {
    let (a, b) = datagrams();
    for datagram in [&b"first"[..], b"second", b"third"] {
        assert_eq!(a.write(datagram), Ok(datagram.len()));
    }
    assert_eq!(a.write(b""), Ok(0), "which is no datagram");
    assert_eq!(read(&b, 100), Ok(b"first".to_vec()));
    assert_eq!(read(&b, 3), Ok(b"sec".to_vec()));
    assert_eq!(read(&b, 0), Ok(vec![]), "all of it is the rest");
    assert_eq!(read(&b, 100), Err(Error::ShouldWait));
}

#[test]
fn a_datagram_is_written_whole_or_not_at_all() {
    let (a, b) = datagrams();
    assert_eq!(a.write(&vec![0; CAPACITY + 1]), Err(Error::OutOfRange));
    assert_eq!(a.write(&vec![0; CAPACITY - 2]), Ok(CAPACITY - 2));
    assert_eq!(a.signals(), WRITABLE);
    assert_eq!(a.write(b"abc"), Err(Error::ShouldWait));
    assert_eq!(a.signals(), NONE, "or else one would wait for it in vain");
    assert_eq!(b.info().rx_buf_size, CAPACITY - 2);
    assert!(read(&b, 1).is_ok());
    assert_eq!(a.signals(), WRITABLE);
    assert_eq!(a.write(&vec![0; CAPACITY]), Ok(CAPACITY));
    assert_eq!(a.signals(), NONE);
}

#[test]
fn peeking_leaves_what_it_reads() {
    let (a, b) = stream();
    assert_eq!(read_with(&b, 1, ReadOptions::PEEK), Err(Error::ShouldWait));
    assert_eq!(a.write(b"abc"), Ok(3));
    assert_eq!(read_with(&b, 2, ReadOptions::PEEK), Ok(b"ab".to_vec()));
    assert_eq!(b.signals(), READABLE | WRITABLE);
    assert_eq!(read(&b, 5), Ok(b"abc".to_vec()));
    let (a, b) = datagrams();
    assert_eq!((a.write(b"one"), a.write(b"two")), (Ok(3), Ok(3)));
    assert_eq!(read_with(&b, 2, ReadOptions::PEEK), Ok(b"on".to_vec()));
    assert_eq!(read_with(&b, 9, ReadOptions::PEEK), Ok(b"one".to_vec()));
    assert_eq!(read(&b, 9), Ok(b"one".to_vec()));
    let unknown = ReadOptions::from_bits_retain(1);
    assert_eq!(read_with(&b, 9, unknown), Err(Error::InvalidArgs));
}

#[test]
fn signals_tell_of_bytes_and_of_room() {
    let (a, b) = stream();
    assert_eq!((a.signals(), b.signals()), (WRITABLE, WRITABLE));
    assert_eq!(a.write(&vec![0; CAPACITY]), Ok(CAPACITY));
    assert_eq!((a.signals(), b.signals()), (NONE, READABLE | WRITABLE));
    assert!(read(&b, 1).is_ok());
    assert_eq!((a.signals(), b.signals()), (WRITABLE, READABLE | WRITABLE));
    assert!(read(&b, CAPACITY).is_ok());
    assert_eq!((a.signals(), b.signals()), (WRITABLE, WRITABLE));
    assert_eq!(a.signal(NONE, READABLE), Err(Error::InvalidArgs));
    assert_eq!(a.signal_peer(NONE, Signals::USER_0), Ok(()));
    assert_eq!(b.write(b"1"), Ok(1));
    assert_eq!(b.signals(), WRITABLE | Signals::USER_0, "users' signals stay");
}

#[test]
fn a_closed_peer_leaves_its_bytes() {
    let (a, b) = stream();
    assert_eq!((a.write(b"last"), b.write(b"lost")), (Ok(4), Ok(4)));
    drop(Handle::new(a.clone()));
    assert_eq!(b.signals(), READABLE | Signals::PEER_CLOSED);
    assert_eq!(b.write(b"x"), Err(Error::PeerClosed));
    assert_eq!(b.write(b""), Err(Error::PeerClosed));
    assert_eq!(read(&b, 9), Ok(b"last".to_vec()));
    assert_eq!(read(&b, 9), Err(Error::PeerClosed));
    assert_eq!(b.signals(), Signals::PEER_CLOSED);
    assert_eq!(read(&a, 9), Err(Error::PeerClosed), "what was sent to it is gone");
    assert_eq!(b.signal_peer(NONE, Signals::USER_0), Err(Error::PeerClosed));
    drop(a);
    assert_eq!(b.write(b"x"), Err(Error::PeerClosed));
}

#[test]
fn who_waits_for_bytes_is_woken_when_the_other_end_closes() {
    for (a, b) in [stream(), datagrams()] {
        let waiter = std::thread::spawn({
            let b = b.clone();
            move || block_on(b.wait_one(READABLE | Signals::PEER_CLOSED))
        });
        while b.base.signal_state().watchers() == 0 {
            std::thread::yield_now();
        }
        drop(Handle::new(a));
        assert_eq!(waiter.join().ok(), Some(Ok(Signals::PEER_CLOSED)));
    }
}

#[test]
fn an_end_that_is_disabled_cannot_write_and_the_other_reads_to_the_end() {
    for by_peer in [false, true] {
        let (a, b) = stream();
        assert_eq!(a.write(b"last"), Ok(4));
        let disabled = if by_peer {
            b.set_disposition(None, DISABLED)
        } else {
            a.set_disposition(DISABLED, None)
        };
        assert_eq!(disabled, Ok(()));
        assert_eq!((a.signals(), b.signals()), (OFF, PEER_OFF | READABLE | WRITABLE));
        assert_eq!((a.write(b"x"), a.write(b"")), (Err(Error::BadState), Err(Error::BadState)));
        assert_eq!(read(&b, 9), Ok(b"last".to_vec()));
        assert_eq!(read(&b, 9), Err(Error::BadState));
        assert_eq!((b.write(b"back"), read(&a, 9)), (Ok(4), Ok(b"back".to_vec())));
        drop(a);
        assert_eq!(b.write(b"x"), Err(Error::PeerClosed));
        assert_eq!(read(&b, 9), Err(Error::PeerClosed), "which comes before the disposition");
    }
}

#[test]
fn writing_can_be_enabled_again_once_all_is_read() {
    let (a, b) = stream();
    assert_eq!(a.write(b"x"), Ok(1));
    assert_eq!(a.set_disposition(DISABLED, DISABLED), Ok(()));
    assert_eq!(a.set_disposition(ENABLED, None), Err(Error::BadState));
    assert_eq!(b.set_disposition(ENABLED, ENABLED), Err(Error::BadState));
    assert_eq!(b.write(b"x"), Err(Error::BadState), "nothing has changed");
    assert_eq!(b.set_disposition(ENABLED, None), Ok(()), "it has no unread bytes");
    assert!(read(&b, 1).is_ok());
    assert_eq!(b.set_disposition(None, ENABLED), Ok(()));
    assert_eq!((a.signals(), b.signals()), (WRITABLE, WRITABLE));
    assert_eq!(read(&b, 1), Err(Error::ShouldWait));
    assert_eq!(a.write(b"x"), Ok(1));
}

#[test]
fn the_read_threshold_has_a_signal_of_its_own() {
    let (a, b) = stream();
    let reached = || b.signals().contains(Signals::SOCKET_READ_THRESHOLD);
    assert_eq!(b.set_read_threshold(CAPACITY + 1), Err(Error::InvalidArgs));
    assert_eq!((b.set_read_threshold(3), b.read_threshold()), (Ok(()), 3));
    assert!(!reached());
    assert_eq!(a.write(b"ab"), Ok(2));
    assert!(!reached());
    assert_eq!(a.write(b"c"), Ok(1));
    assert!(reached());
    assert_eq!(b.set_read_threshold(4), Ok(()));
    assert!(!reached());
    assert_eq!(b.set_read_threshold(2), Ok(()));
    assert!(reached());
    assert!(read(&b, 2).is_ok());
    assert!(!reached());
    assert_eq!((b.set_read_threshold(1), reached()), (Ok(()), true));
    assert_eq!((b.set_read_threshold(0), reached()), (Ok(()), false));
}

#[test]
fn the_write_threshold_has_a_signal_of_its_own() {
    let (a, b) = stream();
    let reached = || a.signals().contains(Signals::SOCKET_WRITE_THRESHOLD);
    assert_eq!(a.set_write_threshold(CAPACITY + 1), Err(Error::InvalidArgs));
    assert_eq!((a.set_write_threshold(10), a.write_threshold()), (Ok(()), 10));
    assert!(reached());
    assert_eq!(a.write(&vec![0; CAPACITY - 10]), Ok(CAPACITY - 10));
    assert!(reached());
    assert_eq!(a.write(b"x"), Ok(1));
    assert!(!reached() && a.signals().contains(WRITABLE));
    assert!(read(&b, 1).is_ok());
    assert!(reached());
    assert_eq!((a.set_write_threshold(0), reached()), (Ok(()), false));
    assert_eq!(a.set_write_threshold(1), Ok(()));
    assert_eq!((a.set_disposition(DISABLED, None), reached()), (Ok(()), false));
    drop(b);
    assert_eq!(a.set_write_threshold(1), Err(Error::PeerClosed));
}

#[test]
fn info_tells_of_both_buffers() {
    let (a, b) = datagrams();
    assert_eq!((a.write(b"abc"), a.write(b"de"), b.write(b"x")), (Ok(3), Ok(2), Ok(1)));
    let info = SocketInfo {
        kind: SocketKind::Datagram,
        rx_buf_max: CAPACITY,
        rx_buf_size: 5,
        rx_buf_available: 3,
        tx_buf_max: CAPACITY,
        tx_buf_size: 1,
    };
    assert_eq!(b.info(), info);
    drop(a);
    assert_eq!(b.info(), SocketInfo { tx_buf_max: 0, tx_buf_size: 0, ..info });
    let (a, b) = stream();
    assert_eq!(a.write(b"abc"), Ok(3));
    assert_eq!((b.info().rx_buf_available, a.info().tx_buf_size), (3, 3));
}

#[test]
fn a_stream_arrives_complete_between_threads() {
    const TOTAL: usize = 3 * CAPACITY + 17;
    let (a, b) = stream();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let end = Handle::new(a.clone());
            let bytes: Vec<u8> = (0..TOTAL).map(|i| (i % 251) as u8).collect();
            let mut left = &bytes[..];
            while !left.is_empty() {
                match a.write(&left[..left.len().min(1_000)]) {
                    Ok(count) => left = &left[count..],
                    Err(error) => {
                        assert_eq!(error, Error::ShouldWait);
                        assert!(block_on(a.wait_one(WRITABLE)).is_ok());
                    }
                }
            }
            drop(end);
        });
        let mut received = Vec::new();
        loop {
            match read(&b, 777) {
                Ok(bytes) => received.extend(bytes),
                Err(Error::PeerClosed) => break,
                Err(_) => {
                    assert!(block_on(b.wait_one(READABLE | Signals::PEER_CLOSED)).is_ok());
                }
            }
        }
        assert!(received.iter().enumerate().all(|(i, &byte)| byte == (i % 251) as u8));
        assert_eq!(received.len(), TOTAL);
    });
    assert_eq!(b.base.signal_state().watchers(), 0);
}

#[test]
fn a_refused_datagram_waits_until_the_other_end_reads_rather_than_looks() {
    let (a, b) = datagrams();
    assert_eq!(a.write(&vec![0; CAPACITY - 2]), Ok(CAPACITY - 2));
    assert_eq!((a.write(b"abc"), b.write(b"x")), (Err(Error::ShouldWait), Ok(1)));
    assert_eq!(a.signals(), READABLE);
    assert!(read_with(&b, 1, ReadOptions::PEEK).is_ok() && read(&a, 1).is_ok());
    assert_eq!(a.signals(), NONE, "there is no more room");
    assert!(read(&b, 1).is_ok());
    assert_eq!(a.signals(), WRITABLE);
}

#[test]
fn thresholds_go_up_to_the_whole_buffer_and_end_with_what_they_tell_of() {
    let (a, b) = stream();
    let (rx, tx) = (Signals::SOCKET_READ_THRESHOLD, Signals::SOCKET_WRITE_THRESHOLD);
    assert_eq!((a.set_write_threshold(CAPACITY), b.set_read_threshold(CAPACITY)), (Ok(()), Ok(())));
    assert_eq!((a.signals(), b.signals()), (WRITABLE | tx, WRITABLE), "there is room for all");
    assert_eq!(a.write(&vec![0; CAPACITY]), Ok(CAPACITY));
    assert_eq!((a.signals(), b.signals()), (NONE, READABLE | WRITABLE | rx));
    assert_eq!((b.set_write_threshold(1), b.signal(NONE, Signals::USER_0)), (Ok(()), Ok(())));
    assert_eq!(b.signals(), READABLE | WRITABLE | rx | tx | Signals::USER_0);
    drop(a);
    assert_eq!(b.signals(), READABLE | rx | Signals::PEER_CLOSED | Signals::USER_0);
    assert_eq!(b.set_write_threshold(CAPACITY + 1), Err(Error::PeerClosed), "which comes first");
    assert_eq!((b.set_read_threshold(0), b.write_threshold()), (Ok(()), 1));
    assert_eq!(b.signals(), READABLE | Signals::PEER_CLOSED | Signals::USER_0);
}

#[test]
fn a_closed_or_disabled_end_says_so_before_it_looks_at_the_data() {
    let (a, b) = datagrams();
    let large = vec![0; CAPACITY + 1];
    assert_eq!(a.set_disposition(DISABLED, None), Ok(()));
    assert_eq!(a.write(&large), Err(Error::BadState));
    drop(b);
    assert_eq!(a.write(&large), Err(Error::PeerClosed));
    assert_eq!((a.signals(), a.info().tx_buf_max), (OFF | Signals::PEER_CLOSED, 0));
    let (a, b) = stream();
    assert_eq!((a.info().rx_buf_available, a.write(&large)), (0, Ok(CAPACITY)));
    assert_eq!(b.info().rx_buf_available, CAPACITY);
    assert_eq!(read(&b, 0), Ok(vec![]));
    assert_eq!(b.info().rx_buf_size, CAPACITY, "no room reads nothing of a stream");
}
