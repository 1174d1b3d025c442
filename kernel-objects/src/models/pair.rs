//! FIFOs and sockets that are full and empty again, and ends that close meanwhile.

use super::*;
use crate::{
    Error, Event, EventPair, Fifo, Handle, KernelObject, Result, Signals, Socket,
    socket::{CAPACITY, ReadOptions, SocketKind},
};

/// Tries until it need not wait any more.
fn retry<T>(object: &dyn KernelObject, signal: Signals, run: impl Fn() -> Result<T>) -> Result<T> {
    loop {
        match run() {
            Err(Error::ShouldWait) => {
                block_on(object.wait_one(signal | Signals::PEER_CLOSED)).unwrap();
            }
            ended => return ended,
        }
    }
}

fn has(object: &dyn KernelObject, signal: Signals) -> bool {
    object.signals().contains(signal)
}

#[test]
fn a_fifo_of_one_passes_each_element_on() {
    model(|| {
        let (writer, reader) = Fifo::create(1, 1).unwrap();
        let write = |element: &[u8; 1]| {
            assert_eq!(retry(&*writer, Signals::WRITABLE, || writer.write(1, element)), Ok(1));
        };
        let read = || {
            let read = || {
                let mut element = [0];
                reader.read(1, &mut element).map(|_| element[0])
            };
            retry(&*reader, Signals::READABLE, read).unwrap()
        };
        let mut sums = [0; 2];
        let [first, second] = &mut sums;
        race!(
            || write(&[1]),
            || {
                write(&[2]);
                write(&[4]);
            },
            || *first = read(),
            || *second = read() + read(),
        );
        assert_eq!(sums[0] + sums[1], 7);
        assert!(!has(&*reader, Signals::READABLE) && has(&*writer, Signals::WRITABLE));
    });
}

#[test]
fn one_who_waits_for_room_in_a_fifo_learns_that_it_closes() {
    model(|| {
        let (writer, reader) = Fifo::create(1, 1).unwrap();
        let closing = Handle::new(reader);
        assert_eq!(writer.write(1, &[0]), Ok(1));
        race!(
            || assert_eq!(
                retry(&*writer, Signals::WRITABLE, || writer.write(1, &[1])),
                Err(Error::PeerClosed)
            ),
            || drop(closing),
        );
        assert!(has(&*writer, Signals::PEER_CLOSED) && !has(&*writer, Signals::WRITABLE));
    });
}

#[test]
fn a_full_socket_takes_more_when_it_is_read() {
    model(|| {
        let (writer, reader) = Socket::create(SocketKind::Stream);
        assert_eq!(writer.write(&vec![0; CAPACITY]), Ok(CAPACITY));
        race!(
            || assert_eq!(retry(&*writer, Signals::WRITABLE, || writer.write(&[1])), Ok(1)),
            || {
                let mut buffer = vec![0; CAPACITY];
                assert_eq!(reader.read(&mut buffer, ReadOptions::empty()), Ok(CAPACITY));
                let read = || reader.read(&mut buffer.clone(), ReadOptions::empty());
                assert_eq!(retry(&*reader, Signals::READABLE, read), Ok(1));
            },
        );
        assert!(!has(&*reader, Signals::READABLE) && has(&*writer, Signals::WRITABLE));
    });
}

#[test]
fn what_was_written_to_a_socket_that_closes_can_still_be_read() {
    model(|| {
        let (writer, reader) = Socket::create(SocketKind::Stream);
        let closing = Handle::new(writer.clone());
        race!(
            || {
                assert_eq!(writer.write(&[1]), Ok(1));
                drop(closing);
            },
            || {
                let read = || reader.read(&mut [0], ReadOptions::empty());
                assert_eq!(retry(&*reader, Signals::READABLE, read), Ok(1));
                assert_eq!(retry(&*reader, Signals::READABLE, read), Err(Error::PeerClosed));
            },
        );
        assert!(has(&*reader, Signals::PEER_CLOSED) && !has(&*reader, Signals::WRITABLE));
    });
}

#[test]
fn both_ends_of_an_event_pair_can_close_at_once() {
    model(|| {
        let (a, b) = EventPair::create();
        let handles = [&a, &b].map(|end| Handle::new(end.clone()));
        let event = Event::create();
        let [first, second] = handles;
        race!(|| drop(first), || drop(second), || match a
            .signal_peer(Signals::empty(), Signals::USER_0)
        {
            Ok(()) => event.base().signal_state().set(Signals::USER_0),
            Err(error) => assert_eq!(error, Error::PeerClosed),
        },);
        assert_eq!(has(&*b, Signals::USER_0), has(&*event, Signals::USER_0));
        assert_eq!(a.peer().err(), Some(Error::PeerClosed));
    });
}
