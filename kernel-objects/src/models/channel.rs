//! Messages, calls and answers that meet the close of an end, or a caller that gives up.

use super::*;
use crate::{
    Channel, Error, Event, Handle, KernelObject, Message, Signals,
    channel::{ReadOptions, Room},
};

fn message(bytes: &[u8]) -> Message {
    Message::new(bytes, Vec::new())
}

fn read(channel: &Channel) -> Option<Message> {
    channel.read(Room::ANY, ReadOptions::empty()).ok()
}

/// Whether `READABLE` is set as long as there is a message.
fn assert_signals_tell_the_truth(channel: &Channel) {
    assert_eq!(channel.signals().contains(Signals::READABLE), !channel.is_empty());
}

/// Answers a request, if one comes before the other end closes.
fn serve(channel: &Channel) {
    let readable = Signals::READABLE | Signals::PEER_CLOSED;
    loop {
        let seen = block_on(channel.wait_one(readable)).unwrap();
        if let Some(request) = read(channel) {
            // Nobody may want it any more.
            let _ = channel.write(request);
            return;
        }
        if seen.contains(Signals::PEER_CLOSED) {
            return;
        }
    }
}

#[test]
fn a_call_ends_by_its_answer_or_by_the_close_of_the_other_end() {
    model(|| {
        let (client, server) = Channel::create();
        let (served, closing) = (server.clone(), Handle::new(server));
        race!(
            || match block_on(client.call(message(b"____?"), Room::ANY)) {
                Ok(answer) => assert_eq!(&answer.bytes[4..], b"?"),
                Err(error) => assert_eq!(Error::from(error), Error::PeerClosed),
            },
            || {
                if let Some(request) = read(&served) {
                    let _ = served.write(request);
                }
            },
            || drop(closing),
        );
        assert_signals_tell_the_truth(&client);
    });
}

#[test]
fn a_call_ends_when_its_own_end_closes() {
    model(|| {
        let (client, server) = Channel::create();
        let closing = Handle::new(client.clone());
        race!(
            || match block_on(client.call(message(b"____?"), Room::ANY)) {
                Ok(answer) => assert_eq!(&answer.bytes[4..], b"?"),
                Err(error) =>
                    assert!(matches!(Error::from(error), Error::Canceled | Error::PeerClosed)),
            },
            || serve(&server),
            || drop(closing),
        );
    });
}

#[test]
fn two_calls_get_each_its_own_answer() {
    model(|| {
        let (client, server) = Channel::create();
        let call = |what: &'static [u8]| {
            let client = &client;
            move || {
                let answer = block_on(client.call(message(what), Room::ANY)).unwrap();
                assert_eq!(answer.bytes[4..], what[4..]);
            }
        };
        race!(call(b"____1"), call(b"____2"), || serve(&server), || serve(&server));
        assert!(client.is_empty() && server.is_empty());
    });
}

#[test]
fn the_answer_to_a_call_that_is_given_up_is_a_message() {
    model(|| {
        let (client, server) = Channel::create();
        let mut call = client.call(message(b"____?"), Room::ANY);
        assert!(poll_once(&mut call).is_pending());
        race!(|| drop(call), || serve(&server));
        assert_eq!(client.len(), 1);
        assert_signals_tell_the_truth(&client);
    });
}

#[test]
fn the_answer_to_a_call_that_is_given_up_on_a_closed_end_is_dropped() {
    model(|| {
        let (client, server) = Channel::create();
        let mut call = client.call(message(b"____?"), Room::ANY);
        assert!(poll_once(&mut call).is_pending());
        let request = read(&server).unwrap();
        let (event, closing) = (Event::create(), Handle::new(client.clone()));
        let answer = Message::new(&request.bytes[..4], vec![Handle::new(event.clone())]);
        race!(|| drop(call), || drop(closing), || assert!(matches!(
            server.write(answer),
            Ok(()) | Err(Error::PeerClosed)
        )),);
        assert!(client.is_empty());
        assert_eq!(event.handle_count(), 0, "the handle in it is closed");
    });
}

#[test]
fn a_message_written_while_the_other_end_closes_is_refused_or_dropped() {
    model(|| {
        let (writer, reader) = Channel::create();
        let (event, closing) = (Event::create(), Handle::new(reader.clone()));
        race!(
            || {
                let message = Message::new([0; 4], vec![Handle::new(event.clone())]);
                assert!(matches!(writer.write(message), Ok(()) | Err(Error::PeerClosed)));
            },
            || drop(closing),
        );
        assert_eq!(event.handle_count(), 0, "the handle in it is closed in either case");
        assert!(reader.is_empty());
        assert!(writer.signals().contains(Signals::PEER_CLOSED));
        assert!(!writer.signals().contains(Signals::WRITABLE));
    });
}

#[test]
fn readable_is_set_exactly_while_there_is_a_message() {
    model(|| {
        let (writer, reader) = Channel::create();
        let write = || assert_eq!(writer.write(message(b"x")), Ok(()));
        race!(write, write, || drop(read(&reader)), || drop(read(&reader)));
        assert_signals_tell_the_truth(&reader);
    });
}

#[test]
fn both_ends_can_close_at_once() {
    model(|| {
        let (a, b) = Channel::create();
        let event = Event::create();
        for end in [&a, &b] {
            let message = Message::new([], vec![Handle::new(event.clone())]);
            assert_eq!(end.write(message), Ok(()));
        }
        let (a, b) = (Handle::new(a), Handle::new(b));
        race!(|| drop(a), || drop(b));
        assert_eq!(event.handle_count(), 0);
    });
}
