//! Operations that are cancelled while they begin or their signal comes, and ports that close meanwhile.

use super::*;
use crate::{
    Error, Event, Handle, KernelObject, Port, Signals,
    port::{Packet, WaitAsync},
};

const A: Signals = Signals::SIGNALED;
const KEY: u64 = 7;

fn event() -> (Arc<Event>, Arc<dyn KernelObject>) {
    let event = Event::create();
    (event.clone(), event)
}

fn wait_async(port: &Port, object: &Arc<dyn KernelObject>) {
    assert_eq!(port.wait_async(object, KEY, A, WaitAsync::empty()), Ok(()));
}

/// Runs something and tells what it results in.
fn told<T: Send>(result: &mut Option<T>, run: impl FnOnce() -> T + Send) -> impl FnOnce() + Send {
    move || *result = Some(run())
}

#[test]
fn a_signal_and_a_cancel_give_either_a_packet_or_none() {
    model(|| {
        let (port, (event, object)) = (Port::create(), event());
        wait_async(&port, &object);
        let mut cancelled = None;
        race!(
            told(&mut cancelled, || port.cancel_key(KEY)),
            || event.base().signal_state().set(A),
            || event.base().signal_state().clear(A),
        );
        // The signal comes in any case, and the packet has not been read: so it is cancelled, before or after.
        assert_eq!(cancelled, Some(Ok(())));
        assert_eq!((port.len(), event.base().signal_state().watchers()), (0, 0));
        assert_eq!(port.cancel_key(KEY), Err(Error::NotFound));
    });
}

#[test]
fn a_packet_is_read_or_cancelled_and_not_both() {
    model(|| {
        let (port, (event, object)) = (Port::create(), event());
        wait_async(&port, &object);
        let (mut cancelled, mut read) = (None, None);
        race!(
            told(&mut cancelled, || port.cancel(object.koid(), KEY)),
            told(&mut read, || port.try_wait().ok()),
            || event.base().signal_state().set(A),
        );
        let read: Option<Packet> = read.flatten();
        assert_eq!(cancelled.unwrap().is_ok(), read.is_none());
        assert_eq!((port.len(), event.base().signal_state().watchers()), (0, 0));
    });
}

#[test]
fn an_operation_that_is_cancelled_while_it_begins_leaves_nothing() {
    model(|| {
        let (port, (event, object)) = (Port::create(), event());
        let mut cancelled = None;
        race!(|| wait_async(&port, &object), told(&mut cancelled, || port.cancel_key(KEY)),);
        let left = usize::from(cancelled.unwrap().is_err());
        assert_eq!((port.len(), event.base().signal_state().watchers()), (0, left));
        event.base().signal_state().set(A);
        assert_eq!(port.len(), left);
    });
}

#[test]
fn an_operation_that_begins_while_its_signal_comes_delivers_once() {
    model(|| {
        let (port, (event, object)) = (Port::create(), event());
        race!(|| wait_async(&port, &object), || event.base().signal_state().set(A), || assert_eq!(
            block_on(port.wait()).key,
            KEY
        ),);
        assert_eq!((port.len(), event.base().signal_state().watchers()), (0, 0));
    });
}

#[test]
fn each_of_two_readers_gets_a_packet() {
    model(|| {
        let port = Port::create();
        let mut given_up = Box::pin(port.wait());
        assert!(poll_once(&mut given_up).is_pending());
        race!(
            || drop(given_up),
            || _ = block_on(port.wait()),
            || _ = block_on(port.wait()),
            || assert_eq!(port.queue(1, 0, [0; 32]), Ok(())),
            || assert_eq!(port.queue(2, 0, [0; 32]), Ok(())),
        );
        assert_eq!(port.len(), 0);
    });
}

#[test]
fn a_port_that_closes_while_operations_begin_and_fire_keeps_none() {
    model(|| {
        let (port, (event, object)) = (Port::create(), event());
        let handle = Handle::new(port.clone());
        wait_async(&port, &object);
        race!(|| drop(handle), || event.base().signal_state().set(A), || _ =
            port.wait_async(&object, KEY, A, WaitAsync::EDGE),);
        assert_eq!((port.len(), event.base().signal_state().watchers()), (0, 0));
        assert_eq!(port.cancel_key(KEY), Err(Error::NotFound));
    });
}

#[test]
fn a_signal_that_comes_while_the_port_goes_away_finds_it_or_not() {
    model(|| {
        let (port, (event, object)) = (Port::create(), event());
        wait_async(&port, &object);
        race!(|| drop(port), || event.base().signal_state().set(A));
        assert_eq!(event.base().signal_state().watchers(), 0);
    });
}

/// The watch that a cancel is about to end may have fired since, and its place may be another's.
#[test]
fn a_cancel_ends_its_own_watch_only() {
    model(|| {
        let (port, (event, object)) = (Port::create(), event());
        wait_async(&port, &object);
        race!(
            || _ = port.cancel_key(KEY),
            || event.base().signal_state().set(A),
            || assert!(block_on(event.wait_one(Signals::USER_0)).is_ok()),
            || event.base().signal_state().set(Signals::USER_0),
        );
        assert_eq!(event.base().signal_state().watchers(), 0);
    });
}
