//! Tests of messages, signals, closing and calls; those of handle values are in [`values`].

use futures::{FutureExt, executor::block_on, future::FusedFuture, task::noop_waker_ref};
use std::task::{Context, Poll};

use super::*;
use crate::{event::Event, eventpair::EventPair, handle::Handle};

mod values;

fn message(bytes: &[u8]) -> Message {
    Message::new(bytes, Vec::new())
}

fn read(channel: &Channel) -> Result<Message, ReadError> {
    channel.read(Room::ANY, ReadOptions::empty())
}

fn bytes(channel: &Channel) -> Result<Vec<u8>, ReadError> {
    read(channel).map(|message| message.bytes)
}

fn poll(call: &mut Call<'_>) -> Poll<Result<Vec<u8>, ReadError>> {
    let poll = call.poll_unpin(&mut Context::from_waker(noop_waker_ref()));
    poll.map_ok(|message| message.bytes)
}

/// An answer to the request that is first in `server`, which is taken.
fn answer(server: &Channel, text: &[u8]) -> Message {
    let mut bytes = read(server).map(|request| request.bytes).unwrap_or_default();
    bytes.truncate(4);
    bytes.extend(text);
    message(&bytes)
}

const SHOULD_WAIT: ReadError = ReadError::Other(Error::ShouldWait);
const PEER_CLOSED: ReadError = ReadError::Other(Error::PeerClosed);

#[test]
fn messages_arrive_whole_and_in_order_at_the_other_end() {
    let (a, b) = Channel::create();
    assert_eq!(bytes(&b), Err(SHOULD_WAIT));
    for text in [&b"one"[..], b"", b"three"] {
        assert_eq!(a.write(message(text)), Ok(()));
    }
    assert_eq!((a.len(), b.len()), (0, 3));
    assert_eq!(bytes(&a), Err(SHOULD_WAIT));
    assert_eq!(bytes(&b), Ok(b"one".to_vec()));
    assert_eq!(bytes(&b), Ok(Vec::new()));
    assert_eq!(bytes(&b), Ok(b"three".to_vec()));
    assert_eq!(bytes(&b), Err(SHOULD_WAIT));
}

#[test]
fn the_ends_are_related_and_of_their_type() {
    let (a, b) = Channel::create();
    assert_eq!((a.related_koid(), b.related_koid()), (b.koid(), a.koid()));
    assert_eq!(a.object_type(), ObjectType::Channel);
    assert_eq!(a.signal_peer(Signals::empty(), Signals::USER_2), Ok(()));
    assert_eq!(b.signals(), Signals::WRITABLE | Signals::USER_2);
    assert_eq!(a.signal(Signals::empty(), Signals::READABLE), Err(Error::InvalidArgs));
    drop(b);
    assert_eq!(a.signal_peer(Signals::empty(), Signals::USER_2), Err(Error::PeerClosed));
}

#[test]
fn readable_is_set_while_there_are_messages_and_writable_while_there_is_a_peer() {
    let (a, b) = Channel::create();
    assert_eq!((a.signals(), b.signals()), (Signals::WRITABLE, Signals::WRITABLE));
    assert_eq!(a.write(message(b"1")), Ok(()));
    assert_eq!(a.write(message(b"2")), Ok(()));
    assert_eq!(
        (a.signals(), b.signals()),
        (Signals::WRITABLE, Signals::WRITABLE | Signals::READABLE)
    );
    assert!(read(&b).is_ok());
    assert_eq!(b.signals(), Signals::WRITABLE | Signals::READABLE, "one is left");
    assert!(read(&b).is_ok());
    assert_eq!(b.signals(), Signals::WRITABLE);
    assert_eq!(a.write(message(b"3")), Ok(()));
    drop(a);
    assert_eq!(b.signals(), Signals::READABLE | Signals::PEER_CLOSED);
    assert!(read(&b).is_ok());
    assert_eq!(b.signals(), Signals::PEER_CLOSED);
}

#[test]
fn a_closed_peer_leaves_its_messages_and_takes_those_written_to_it() {
    let (a, b) = Channel::create();
    let (kept, lost) = (Event::create(), Event::create());
    assert_eq!(a.write(Message::new(b"last", vec![Handle::new(kept.clone())])), Ok(()));
    assert_eq!(b.write(Message::new(b"unread", vec![Handle::new(lost.clone())])), Ok(()));
    drop(Handle::new(a.clone()));
    assert_eq!(lost.handle_count(), 0, "closing an end closes what was sent to it");
    assert_eq!(
        b.write(Message::new(b"late", vec![Handle::new(lost.clone())])),
        Err(Error::PeerClosed)
    );
    assert_eq!(lost.handle_count(), 0, "a write that fails consumes its handles");
    let last = read(&b);
    assert!(last.is_ok_and(|m| m.bytes == b"last" && m.handles[0].object().koid() == kept.koid()));
    assert_eq!(bytes(&b), Err(PEER_CLOSED));
    assert_eq!(bytes(&a), Err(PEER_CLOSED), "the closed end itself has nothing either");
    assert_eq!(a.write(message(b"")), Err(Error::PeerClosed));
}

#[test]
fn messages_are_limited_in_bytes_and_handles() {
    let (a, b) = Channel::create();
    let event = Event::create();
    let handles = |n| (0..n).map(|_| Handle::new(event.clone())).collect::<Vec<_>>();
    assert_eq!((MAX_BYTES, MAX_HANDLES), (65536, 64));
    assert_eq!(a.write(Message::new(vec![7; 65536], handles(64))), Ok(()));
    assert_eq!(a.write(Message::new(vec![7; 65537], handles(1))), Err(Error::OutOfRange));
    assert_eq!(a.write(Message::new(vec![7; 1], handles(65))), Err(Error::OutOfRange));
    assert_eq!(event.handle_count(), 64, "those refused are closed");
    assert!(read(&b).is_ok_and(|m| m.bytes == [7; 65536] && m.handles.len() == 64));
    assert_eq!(event.handle_count(), 0);
}

#[test]
fn a_message_that_does_not_fit_stays_unless_it_may_be_discarded() {
    let (a, b) = Channel::create();
    let event = Event::create();
    let write = || a.write(Message::new(b"12345", vec![Handle::new(event.clone())]));
    assert_eq!((write(), write()), (Ok(()), Ok(())));
    let room = |bytes, handles| Room { bytes, handles };
    let too_small = Some(ReadError::TooSmall { bytes: 5, handles: 1 });
    let keep = ReadOptions::empty();
    assert_eq!(b.read(room(4, 1), keep).err(), too_small);
    assert_eq!(b.read(room(5, 0), keep).err(), too_small);
    assert_eq!(b.len(), 2);
    assert_eq!(b.read(room(5, 0), ReadOptions::MAY_DISCARD).err(), too_small);
    assert_eq!((b.len(), event.handle_count()), (1, 1));
    assert!(b.read(room(5, 1), ReadOptions::MAY_DISCARD).is_ok());
    assert_eq!(b.signals(), Signals::WRITABLE);
    assert_eq!(Error::from(ReadError::TooSmall { bytes: 5, handles: 1 }), Error::BufferTooSmall);
    let unknown = b.read(Room::ANY, ReadOptions::from_bits_retain(2)).err();
    assert_eq!(unknown, Some(Error::InvalidArgs.into()));
}

#[test]
fn discarding_the_last_message_clears_readable() {
    let (a, b) = Channel::create();
    assert_eq!(a.write(message(b"12345")), Ok(()));
    assert!(b.read(Room { bytes: 0, handles: 0 }, ReadOptions::MAY_DISCARD).is_err());
    assert_eq!(b.signals(), Signals::WRITABLE);
}

#[test]
fn an_end_cannot_be_written_into_itself() {
    let (a, b) = Channel::create();
    let this = Message::new(b"", vec![Handle::new(Event::create()), Handle::new(a.clone())]);
    assert_eq!(a.write(this), Err(Error::NotSupported));
    assert!(b.is_empty());
}

#[test]
fn a_channel_in_its_own_queue_goes_with_its_peer() {
    for named in [false, true] {
        let (a, b) = Channel::create();
        let (event, weak) = (Event::create(), Arc::downgrade(&b));
        let outside = named.then(|| Handle::new(b.clone()));
        let handles = vec![Handle::new(b.clone()), Handle::new(event.clone())];
        drop(b);
        assert_eq!(a.write(Message::new(b"", handles)), Ok(()));
        drop(a);
        let Some(outside) = outside else {
            assert_eq!((weak.strong_count(), event.handle_count()), (0, 0));
            continue;
        };
        assert_eq!(event.handle_count(), 1, "someone can still read it");
        let b = outside.get::<Channel>(crate::Rights::READ);
        assert!(b.is_ok_and(|b| read(&b).is_ok_and(|message| message.handles.len() == 2)));
        drop(outside);
        assert_eq!((weak.strong_count(), event.handle_count()), (0, 0));
    }
}

#[test]
fn a_hundred_thousand_channels_in_one_another_go_without_recursion() {
    let (innermost, witness) = EventPair::create();
    let mut inside = Handle::new(innermost);
    for _ in 0..100_000 {
        let (a, b) = Channel::create();
        assert_eq!(a.write(Message::new(b"", vec![inside])), Ok(()));
        inside = Handle::new(b);
    }
    assert_eq!(witness.signals(), Signals::empty());
    drop(inside);
    assert_eq!(witness.signals(), Signals::PEER_CLOSED);
}

#[test]
fn a_deep_nest_goes_without_recursion_when_nobody_has_a_handle() {
    let (innermost, witness) = EventPair::create();
    let mut inside = Handle::new(innermost);
    let mut outermost = None;
    for _ in 0..100_000 {
        let (a, b) = Channel::create();
        assert_eq!(a.write(Message::new(b"", vec![inside])), Ok(()));
        inside = Handle::new(b.clone());
        outermost = Some((b, a));
    }
    let (a, b) = Channel::create();
    drop(outermost);
    assert_eq!(a.write(Message::new(b"", vec![inside])), Ok(()));
    drop(b);
    assert_eq!(witness.signals(), Signals::PEER_CLOSED);
}

#[test]
fn a_call_takes_the_answer_with_its_id_and_no_other() {
    let (client, server) = Channel::create();
    let mut call = client.call(message(b"____ping"), Room::ANY);
    assert!(server.is_empty(), "nothing is written before the first poll");
    assert!(poll(&mut call).is_pending());
    let request = bytes(&server).unwrap_or_default();
    assert_eq!(request[4..], *b"ping");
    assert_ne!(request[3] & 0x80, 0, "the kernel's ids have their high bit set");
    assert_eq!(server.write(message(b"1234 for all")), Ok(()));
    assert_eq!(server.write(message(&request[..3])), Ok(()));
    assert!(poll(&mut call).is_pending());
    assert_eq!(server.write(message(&request[..4])), Ok(()));
    assert_eq!(client.len(), 2, "the answer is not queued");
    assert_eq!(poll(&mut call), Poll::Ready(Ok(request[..4].to_vec())));
    assert_eq!(server.write(message(&request[..4])), Ok(()));
    assert_eq!(client.len(), 3, "a second answer is");
    assert!(poll(&mut call).is_pending(), "it is over");
    assert!(call.is_terminated());
}

#[test]
fn answers_may_come_in_any_order() {
    let (client, server) = Channel::create();
    let mut calls: Vec<_> = (0..4).map(|_| client.call(message(b"____"), Room::ANY)).collect();
    calls.iter_mut().for_each(|call| assert!(poll(call).is_pending()));
    let answers: Vec<_> = (0..4u8).map(|i| answer(&server, &[i])).collect();
    for answer in answers.into_iter().rev() {
        assert_eq!(server.write(answer), Ok(()));
    }
    for (i, call) in calls.iter_mut().enumerate() {
        assert!(matches!(poll(call), Poll::Ready(Ok(bytes)) if bytes[4..] == [i as u8]));
    }
    assert_eq!(client.signals(), Signals::WRITABLE);
}

#[test]
fn no_two_calls_have_one_id_even_when_the_ids_begin_again() {
    let (client, server) = Channel::create();
    let start_at = |next| client.half.both(&mut client.half.lock()).0.calls.start_at(next);
    let txid = || read(&server).ok().and_then(|m| m.txid());
    start_at(0x7fff_ffff);
    let mut last = client.call(message(b"____"), Room::ANY);
    let mut first = client.call(message(b"____"), Room::ANY);
    assert!(poll(&mut last).is_pending() && poll(&mut first).is_pending());
    assert_eq!((txid(), txid()), (Some(0xffff_ffff), Some(0x8000_0000)));
    start_at(0x7fff_ffff);
    let mut third = client.call(message(b"____"), Room::ANY);
    assert!(poll(&mut third).is_pending());
    assert_eq!(txid(), Some(0x8000_0001));
}

#[test]
fn a_call_is_checked_before_anything_is_sent() {
    let (client, server) = Channel::create();
    let call = |message| client.call(message, Room::ANY).now_or_never().map(|r| r.err());
    let error = |error: Error| Some(Some(ReadError::from(error)));
    assert_eq!(call(message(b"abc")), error(Error::InvalidArgs));
    assert_eq!(call(message(&[0; 65537])), error(Error::OutOfRange));
    let this = Message::new(b"____", vec![Handle::new(client.clone())]);
    assert_eq!(call(this), error(Error::NotSupported));
    assert!(server.is_empty());
}

#[test]
fn an_answer_without_room_is_dropped_and_reported() {
    let (client, server) = Channel::create();
    let event = Event::create();
    let mut call = client.call(message(b"____"), Room { bytes: 8, handles: 0 });
    assert!(poll(&mut call).is_pending());
    let mut answer = answer(&server, b"long");
    answer.handles.push(Handle::new(event.clone()));
    assert_eq!(server.write(answer), Ok(()));
    let too_small = ReadError::TooSmall { bytes: 8, handles: 1 };
    assert_eq!(poll(&mut call), Poll::Ready(Err(too_small)));
    assert_eq!((event.handle_count(), client.len()), (0, 0));
}

#[test]
fn a_late_answer_is_a_message_like_others() {
    let (client, server) = Channel::create();
    let deadline = hal::time::monotonic() + 1_000_000;
    let late = block_on(client.call_until(message(b"____"), Room::ANY, deadline));
    assert_eq!(late.err(), Some(ReadError::Other(Error::TimedOut)));
    assert_eq!(client.half.both(&mut client.half.lock()).0.calls.len(), 0);
    assert_eq!(server.write(answer(&server, b"late")), Ok(()));
    assert_eq!(client.signals(), Signals::WRITABLE | Signals::READABLE);
    assert!(bytes(&client).is_ok_and(|bytes| bytes[4..] == *b"late"));
}

#[test]
fn an_answer_that_a_dropped_call_had_got_is_not_lost() {
    let (client, server) = Channel::create();
    let event = Event::create();
    let mut call = client.call(message(b"____"), Room::ANY);
    assert!(poll(&mut call).is_pending());
    let mut answer = answer(&server, b"");
    answer.handles.push(Handle::new(event.clone()));
    assert_eq!(server.write(answer), Ok(()));
    drop(call);
    assert_eq!(client.signals(), Signals::WRITABLE | Signals::READABLE);
    assert!(read(&client).is_ok_and(|message| message.handles.len() == 1));
    assert_eq!(event.handle_count(), 0);
}

#[test]
fn an_answered_call_that_is_dropped_after_its_channel_closed_leaves_nothing() {
    let (client, server) = Channel::create();
    let event = Event::create();
    let mut call = client.call(message(b"____"), Room::ANY);
    assert!(poll(&mut call).is_pending());
    let mut answer = answer(&server, b"");
    answer.handles.push(Handle::new(event.clone()));
    assert_eq!(server.write(answer), Ok(()));
    drop(Handle::new(client.clone()));
    drop(call);
    assert_eq!((client.len(), event.handle_count()), (0, 0));
}

#[test]
fn closing_an_end_ends_its_calls_but_an_answer_that_came_before_counts() {
    for server_closes in [true, false] {
        let (client, server) = Channel::create();
        let mut calls: Vec<_> = (0..2).map(|_| client.call(message(b"____"), Room::ANY)).collect();
        calls.iter_mut().for_each(|call| assert!(poll(call).is_pending()));
        assert_eq!(server.write(answer(&server, b"")), Ok(()));
        let error = if server_closes {
            drop(server);
            Error::PeerClosed
        } else {
            drop(Handle::new(client.clone()));
            Error::Canceled
        };
        assert!(matches!(poll(&mut calls[0]), Poll::Ready(Ok(_))));
        assert_eq!(poll(&mut calls[1]), Poll::Ready(Err(error.into())));
        let next = client.call(message(b"____"), Room::ANY).now_or_never();
        assert_eq!(next.map(|r| r.err()), Some(Some(PEER_CLOSED)));
    }
}

#[test]
fn a_call_wakes_the_task_that_polled_it_last() {
    let (client, server) = Channel::create();
    let (first, first_woken) = futures_waker();
    let (second, second_woken) = futures_waker();
    let mut call = client.call(message(b"____"), Room::ANY);
    assert!(call.poll_unpin(&mut Context::from_waker(&first)).is_pending());
    assert!(call.poll_unpin(&mut Context::from_waker(&second)).is_pending());
    assert_eq!(server.write(answer(&server, b"")), Ok(()));
    assert_eq!((first_woken(), second_woken()), (0, 1));
}

/// A waker and how often it was woken.
fn futures_waker() -> (Waker, impl Fn() -> usize) {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    struct Count(AtomicUsize);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let count = Arc::new(Count(AtomicUsize::new(0)));
    (count.clone().into(), move || count.0.load(SeqCst))
}

/// Every step of a call, of its server and of closing is one critical section of the pair's lock, so the orders of these
/// steps are all that threads can do to each other. All of them: the outcome must be the answer exactly if it was written before
/// the call was taken back or an end closed, and whatever happens, every handle is somewhere.
#[test]
fn a_call_ends_in_one_way_in_every_order_of_answer_close_and_cancel() {
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Step {
        Answer,
        ServerCloses,
        ClientCloses,
        Look,
        Cancel,
    }
    use Step::*;
    fn orders(left: &[Step], done: &mut Vec<Step>, run: &mut impl FnMut(&[Step])) {
        if left.is_empty() {
            run(done);
        }
        for i in 0..left.len() {
            let mut rest = left.to_vec();
            done.push(rest.remove(i));
            orders(&rest, done, run);
            done.pop();
        }
    }
    let mut runs = 0;
    orders(&[Answer, ServerCloses, ClientCloses, Look, Cancel], &mut Vec::new(), &mut |order| {
        runs += 1;
        let (client, server) = Channel::create();
        let event = Event::create();
        let mut call = Some(client.call(message(b"____"), Room::ANY));
        assert!(call.as_mut().is_some_and(|call| poll(call).is_pending()));
        let mut reply = answer(&server, b"");
        reply.handles.push(Handle::new(event.clone()));
        let mut reply = Some(reply);
        let mut outcome = None;
        let at = |step| order.iter().position(|&s| s == step);
        for step in order {
            match step {
                Answer => {
                    let written = reply.take().map(|reply| server.write(reply));
                    let closed = at(ServerCloses).min(at(ClientCloses)) < at(Answer);
                    let expected = if closed { Err(Error::PeerClosed) } else { Ok(()) };
                    assert_eq!(written, Some(expected), "{order:?}");
                }
                ServerCloses => drop(Handle::new(server.clone())),
                ClientCloses => drop(Handle::new(client.clone())),
                Look => {
                    if let Some(call) = &mut call
                        && let Poll::Ready(ended) =
                            call.poll_unpin(&mut Context::from_waker(noop_waker_ref()))
                    {
                        outcome = Some(ended);
                    }
                }
                Cancel => call = None,
            }
        }
        let before_look = |step| at(step) < at(Look);
        let expected = if before_look(Cancel) {
            None
        } else {
            let events = [Answer, ServerCloses, ClientCloses];
            let first = events.into_iter().filter(|&s| before_look(s)).min_by_key(|&s| at(s));
            first.map(|step| match step {
                Answer => Ok(1),
                ServerCloses => Err(PEER_CLOSED),
                _ => Err(ReadError::Other(Error::Canceled)),
            })
        };
        let ended = outcome.map(|r| r.map(|message| message.handles.len()));
        assert_eq!(ended, expected, "{order:?}");
        assert_eq!(event.handle_count(), 0, "{order:?}: both ends are closed");
        assert_eq!(client.half.both(&mut client.half.lock()).0.calls.len(), 0);
    });
    assert_eq!(runs, 120);
}

#[test]
fn a_hundred_thousand_calls_and_waits_started_and_dropped_leave_nothing() {
    let (client, server) = Channel::create();
    let mut cx = Context::from_waker(noop_waker_ref());
    for _ in 0..100_000 {
        let mut call = client.call(message(b"____"), Room::ANY);
        assert!(poll(&mut call).is_pending());
        let mut wait = client.wait_one(Signals::READABLE);
        assert!(wait.poll_unpin(&mut cx).is_pending());
        drop((call, wait));
        assert!(read(&server).is_ok());
    }
    assert_eq!(client.half.both(&mut client.half.lock()).0.calls.len(), 0);
    assert_eq!(client.base.signal_state().watchers(), 0);
}

#[test]
fn eight_threads_call_answer_and_close_without_losing_a_message() {
    const CALLS: u32 = 2_000;
    let (client, server) = Channel::create();
    let event = Event::create();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4u32)
            .map(|caller| {
                let (client, event) = (&client, &event);
                scope.spawn(move || {
                    for i in 0..CALLS {
                        let mut request = vec![0; 4];
                        request.extend((caller * CALLS + i).to_ne_bytes());
                        let request = Message::new(request, vec![Handle::new(event.clone())]);
                        let answer = block_on(client.call(request, Room::ANY));
                        let answer = answer.map(|m| (m.bytes[4..].to_vec(), m.handles.len()));
                        assert_eq!(answer, Ok(((caller * CALLS + i).to_ne_bytes().to_vec(), 1)));
                    }
                })
            })
            .collect();
        for _ in 0..4 {
            let server = &server;
            scope.spawn(move || {
                loop {
                    match read(server) {
                        Ok(request) => assert_eq!(server.write(request), Ok(())),
                        Err(PEER_CLOSED) => break,
                        Err(error) => {
                            assert_eq!(error, SHOULD_WAIT);
                            let signals = Signals::READABLE | Signals::PEER_CLOSED;
                            assert!(block_on(server.wait_one(signals)).is_ok());
                        }
                    }
                }
            });
        }
        callers.into_iter().for_each(|caller| assert!(caller.join().is_ok()));
        drop(Handle::new(client.clone()));
    });
    assert_eq!(event.handle_count(), 0);
    assert_eq!(server.base.signal_state().watchers(), 0);
}

#[test]
fn writers_and_a_closing_reader_agree_on_every_handle() {
    for _ in 0..50 {
        let (a, b) = Channel::create();
        let event = Event::create();
        std::thread::scope(|scope| {
            for _ in 0..7 {
                let (a, event) = (&a, &event);
                scope.spawn(move || {
                    // Bounded, for the reader may not get a CPU for long.
                    for _ in 0..2_000 {
                        if a.write(Message::new(b"x", vec![Handle::new(event.clone())])).is_err() {
                            break;
                        }
                    }
                });
            }
            let end = Handle::new(b.clone());
            for _ in 0..20 {
                let _ = block_on(b.wait_one(Signals::READABLE));
                assert!(read(&b).is_ok());
            }
            drop(end);
        });
        assert_eq!((event.handle_count(), b.len()), (0, 0));
        assert_eq!(a.signals(), Signals::PEER_CLOSED);
    }
}
