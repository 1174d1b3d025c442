//! Packets by their order and content, cancellation, the bound, and all of it under threads.

use futures::{FutureExt, executor::block_on};

use super::*;
use crate::{event::Event, handle::Handle};

fn user(port: &Port, key: u64) -> Result {
    port.queue(key, 0, [0; 32])
}

fn keys(port: &Port) -> Vec<u64> {
    std::iter::from_fn(|| port.try_wait().ok()).map(|packet| packet.key).collect()
}

fn object() -> (Arc<Event>, Arc<dyn KernelObject>) {
    let event = Event::create();
    (event.clone(), event)
}

const NONE: WaitAsync = WaitAsync::empty();

#[test]
fn packets_come_in_order_and_complete() {
    let port = Port::create();
    let bytes = std::array::from_fn(|i| i as u8);
    assert_eq!(port.queue(1, -7, bytes), Ok(()));
    assert_eq!(user(&port, 2), Ok(()));
    assert_eq!(port.len(), 2);
    let packet = Packet { key: 1, status: -7, payload: Payload::User(bytes) };
    assert_eq!(port.wait().now_or_never(), Some(packet));
    assert_eq!(keys(&port), [2]);
    assert_eq!(port.try_wait(), Err(Error::ShouldWait));
}

#[test]
fn a_full_port_refuses_users_but_not_objects() {
    let port = Port::with_capacity(2);
    assert_eq!([1, 2, 3].map(|key| user(&port, key)), [Ok(()), Ok(()), Err(Error::ShouldWait)]);
    let (event, object) = object();
    event.base().signal_state().set(Signals::SIGNALED);
    assert_eq!(port.wait_async(&object, 4, Signals::SIGNALED, NONE), Ok(()));
    assert_eq!(keys(&port), [1, 2, 4]);
    assert_eq!(user(&port, 5), Ok(()));
}

#[test]
fn unknown_options_are_refused() {
    let bad = Port::create_with(PortOptions::from_bits_retain(2));
    assert_eq!(bad.err(), Some(Error::InvalidArgs));
    assert!(Port::create_with(PortOptions::empty()).is_ok_and(|port| !port.takes_interrupts()));
}

#[test]
fn a_wait_times_out() {
    let port = Port::create();
    assert_eq!(block_on(port.wait_until(0)), Err(Error::TimedOut));
    let soon = hal::time::monotonic() + 2_000_000;
    assert_eq!(block_on(port.wait_until(soon)), Err(Error::TimedOut));
    assert_eq!(user(&port, 1), Ok(()));
    assert!(block_on(port.wait_until(0)).is_ok());
    assert_eq!(port.waiters.entries(), 0);
}

#[test]
fn an_operation_delivers_one_packet() {
    let port = Port::create();
    let (event, object) = object();
    let trigger = Signals::USER_0 | Signals::USER_1;
    assert_eq!(port.wait_async(&object, 9, trigger, NONE), Ok(()));
    let state = event.base().signal_state();
    state.set(Signals::USER_2);
    assert!(port.is_empty());
    state.set(Signals::USER_1);
    state.clear(Signals::USER_1);
    state.set(Signals::USER_0);
    let observed = Signals::USER_1 | Signals::USER_2;
    let payload = Payload::Signal(SignalPacket { trigger, observed, count: 1, timestamp: 0 });
    assert_eq!(port.try_wait(), Ok(Packet { key: 9, status: 0, payload }));
    assert!(port.is_empty());
    assert_eq!(state.watchers(), 0);
    assert_eq!(port.inner.lock().operations.len(), 0);
}

#[test]
fn an_edge_ignores_what_is_set_already() {
    let port = Port::create();
    let (event, object) = object();
    let state = event.base().signal_state();
    state.set(Signals::SIGNALED);
    assert_eq!(port.wait_async(&object, 1, Signals::SIGNALED, WaitAsync::EDGE), Ok(()));
    assert!(port.is_empty());
    state.clear(Signals::SIGNALED);
    state.set(Signals::SIGNALED);
    assert_eq!(keys(&port), [1]);
}

#[test]
fn timestamps_are_made_when_asked_for() {
    let port = Port::create();
    let (event, object) = object();
    event.base().signal_state().set(Signals::SIGNALED);
    for options in [WaitAsync::TIMESTAMP, WaitAsync::BOOT_TIMESTAMP] {
        let before = hal::time::monotonic();
        assert_eq!(port.wait_async(&object, 1, Signals::SIGNALED, options), Ok(()));
        let Ok(Packet { payload: Payload::Signal(packet), .. }) = port.try_wait() else {
            panic!("there should be a packet")
        };
        assert!(packet.timestamp >= before);
    }
}

#[test]
fn bad_options_are_refused() {
    let port = Port::create();
    let (_, object) = object();
    let wait = |options| port.wait_async(&object, 1, Signals::SIGNALED, options);
    assert_eq!(wait(WaitAsync::from_bits_retain(1 << 3)), Err(Error::InvalidArgs));
    let both = WaitAsync::TIMESTAMP | WaitAsync::BOOT_TIMESTAMP;
    assert_eq!(wait(both), Err(Error::InvalidArgs));
    assert_eq!(object.base().signal_state().watchers(), 0);
}

#[test]
fn cancel_ends_operations_and_removes_their_packets() {
    let port = Port::create();
    let ((a, a_object), (_b, b_object)) = (object(), object());
    for key in [1, 1, 2] {
        assert_eq!(port.wait_async(&a_object, key, Signals::USER_0, NONE), Ok(()));
    }
    assert_eq!(port.wait_async(&b_object, 1, Signals::USER_0, NONE), Ok(()));
    assert_eq!(user(&port, 1), Ok(()));
    a.base().signal_state().set(Signals::USER_0);
    assert_eq!(port.len(), 4);
    assert_eq!(port.cancel(a.koid(), 1), Ok(()));
    assert_eq!(port.cancel(a.koid(), 1), Err(Error::NotFound));
    assert_eq!(port.cancel(a.koid(), 3), Err(Error::NotFound));
    assert_eq!(port.len(), 2);
    assert_eq!(port.cancel(b_object.koid(), 1), Ok(()));
    assert_eq!(b_object.base().signal_state().watchers(), 0);
    assert_eq!(keys(&port), [1, 2], "the user's packet and that of key 2");
    assert_eq!(port.inner.lock().stale, 0);
}

#[test]
fn cancel_leaves_the_operations_of_other_sources() {
    let port = Port::create();
    let objects = [(); 3].map(|()| object().1);
    for object in &objects {
        assert_eq!(port.wait_async(object, 1, Signals::USER_0, NONE), Ok(()));
    }
    assert_eq!(port.cancel(objects[1].koid(), 1), Ok(()));
    assert_eq!(objects.map(|o| o.base().signal_state().watchers()), [1, 0, 1]);
}

#[test]
fn cancel_key_ends_operations_of_all_sources() {
    let port = Port::create();
    let (a, b) = (object(), object());
    for (object, key) in [(&a.1, 1), (&b.1, 1), (&b.1, 2)] {
        assert_eq!(port.wait_async(object, key, Signals::USER_0, NONE), Ok(()));
    }
    b.0.base().signal_state().set(Signals::USER_0);
    assert_eq!(port.cancel_key(1), Ok(()));
    assert_eq!(port.cancel_key(1), Err(Error::NotFound));
    assert_eq!(keys(&port), [2]);
    assert_eq!(a.0.base().signal_state().watchers(), 0);
}

#[test]
fn closing_the_handle_ends_the_operation_but_keeps_a_queued_packet() {
    let (port, table) = (Port::create(), HandleTable::new());
    let (event, _) = object();
    let value = table.insert(Handle::new(event.clone())).unwrap_or(HandleValue::INVALID);
    assert_eq!(table.wait_async(value, &port, 1, Signals::USER_0, NONE), Ok(()));
    assert_eq!(table.wait_async(value, &port, 2, Signals::USER_1, NONE), Ok(()));
    event.base().signal_state().set(Signals::USER_0);
    assert_eq!(table.close(value), Ok(()));
    event.base().signal_state().set(Signals::USER_1);
    assert_eq!(keys(&port), [1]);
    let wait = |value| table.wait_async(value, &port, 1, Signals::USER_0, NONE);
    assert_eq!(wait(value), Err(Error::BadHandle));
    let deaf = table.insert(Handle::with_rights(event, Rights::SIGNAL));
    assert_eq!(deaf.and_then(wait), Err(Error::AccessDenied));
}

#[test]
fn what_is_set_already_is_told_at_once_through_a_handle_too() {
    let (port, table) = (Port::create(), HandleTable::new());
    let (event, _) = object();
    event.base().signal_state().set(Signals::USER_0);
    let value = table.insert(Handle::new(event)).unwrap_or(HandleValue::INVALID);
    assert_eq!(table.wait_async(value, &port, 1, Signals::USER_0, NONE), Ok(()));
    assert_eq!(keys(&port), [1]);
    assert_eq!(table.wait_async(value, &port, 2, Signals::USER_0, WaitAsync::EDGE), Ok(()));
    assert!(port.is_empty(), "it does not come to be set");
}

#[test]
fn the_last_handle_closes_the_port() {
    let port = Port::create();
    let (event, object) = object();
    let handle = Handle::new(port.clone());
    assert_eq!(port.wait_async(&object, 1, Signals::USER_0, NONE), Ok(()));
    assert_eq!(user(&port, 1), Ok(()));
    drop(handle);
    assert_eq!(event.base().signal_state().watchers(), 0);
    assert!(port.is_empty());
    assert_eq!(user(&port, 1), Err(Error::BadHandle));
    assert_eq!(port.wait_async(&object, 1, Signals::USER_0, NONE), Err(Error::BadHandle));
}

#[test]
fn a_dropped_port_leaves_no_watcher() {
    let port = Port::create();
    let (event, object) = object();
    assert_eq!(port.wait_async(&object, 1, Signals::USER_0, NONE), Ok(()));
    drop(port);
    assert_eq!(event.base().signal_state().watchers(), 0);
}

#[test]
fn a_hundred_thousand_packets_are_cancelled_one_by_one() {
    const N: u64 = 100_000;
    let port = Port::create();
    let (event, object) = object();
    event.base().signal_state().set(Signals::USER_0);
    for key in 0..N {
        assert_eq!(port.wait_async(&object, key, Signals::USER_0, NONE), Ok(()));
    }
    assert_eq!(port.len() as u64, N);
    for key in (0..N).step_by(2) {
        assert_eq!(port.cancel(event.koid(), key), Ok(()));
    }
    assert!(keys(&port).into_iter().eq((1..N).step_by(2)));
    assert_eq!(port.inner.lock().operations.capacity(), 0);
}

#[test]
fn threads_that_queue_wait_and_cancel_agree_on_the_packets() {
    const N: u64 = 5_000;
    let port = Port::with_capacity(usize::MAX);
    let received = parking_lot::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for sender in 0..3 {
            let port = &port;
            scope
                .spawn(move || (0..N).for_each(|i| assert_eq!(user(port, sender * N + i), Ok(()))));
        }
        let (event, object) = object();
        let port_ref = &port;
        scope.spawn(move || {
            for _ in 0..N {
                assert_eq!(port_ref.wait_async(&object, u64::MAX, Signals::USER_0, NONE), Ok(()));
                // Whether it had fired or not: nothing of it may arrive.
                let _ = port_ref.cancel(object.koid(), u64::MAX);
            }
        });
        scope.spawn(move || {
            for _ in 0..N {
                event.base().signal_state().set(Signals::USER_0);
                event.base().signal_state().clear(Signals::USER_0);
            }
        });
        for _ in 0..3 {
            scope.spawn(|| {
                let mut mine = Vec::new();
                while mine.len() < N as usize {
                    let packet = block_on(port.wait());
                    if packet.key != u64::MAX {
                        mine.push(packet.key);
                    }
                }
                received.lock().extend(mine);
            });
        }
    });
    let mut received = received.into_inner();
    received.sort_unstable();
    assert!(received.into_iter().eq(0..3 * N));
    assert!(port.inner.lock().operations.is_empty());
}

#[test]
fn an_operation_does_not_get_the_packet_of_one_that_was_in_its_place() {
    let port = Port::create();
    let ((a, a_object), (b, b_object)) = (object(), object());
    // So many that the place of the cancelled one stays in the queue.
    assert_eq!([1, 2, 3].map(|key| user(&port, key)), [Ok(()); 3]);
    a.base().signal_state().set(Signals::USER_0);
    assert_eq!(port.wait_async(&a_object, 4, Signals::USER_0, NONE), Ok(()));
    assert_eq!(port.cancel(a.koid(), 4), Ok(()));
    assert_eq!((port.len(), port.inner.lock().stale), (3, 1));
    assert_eq!(port.wait_async(&b_object, 5, Signals::USER_0, NONE), Ok(()));
    assert_eq!(keys(&port), [1, 2, 3]);
    assert_eq!((port.len(), port.inner.lock().stale), (0, 0));
    b.base().signal_state().set(Signals::USER_0);
    assert_eq!(keys(&port), [5], "it goes on");
}

#[test]
fn a_closed_port_forgets_packets_of_every_kind() {
    let port = Port::create_with(PortOptions::BIND_TO_INTERRUPT).unwrap();
    let handle = Handle::new(port.clone());
    let interrupt = crate::Interrupt::create_virtual();
    assert_eq!((interrupt.bind(&port, 1), interrupt.trigger(0)), (Ok(()), Ok(())));
    assert_eq!([1, 2, 3].map(|key| user(&port, key)), [Ok(()); 3]);
    let (event, object) = object();
    event.base().signal_state().set(Signals::USER_0);
    for key in [4, 5] {
        assert_eq!(port.wait_async(&object, key, Signals::USER_0, NONE), Ok(()));
    }
    assert_eq!((port.cancel_key(4), port.inner.lock().stale), (Ok(()), 1));
    assert_eq!(port.len(), 5);
    drop(handle);
    assert_eq!((port.len(), port.try_wait()), (0, Err(Error::ShouldWait)));
    assert_eq!(port.inner.lock().user_packets, 0);
    assert_eq!(port.cancel_key(5), Err(Error::NotFound));
}

#[test]
fn a_port_holds_so_many_packets_of_users_whatever_else_is_in_it() {
    let port = Port::create_with(PortOptions::BIND_TO_INTERRUPT).unwrap();
    assert!(port.takes_interrupts());
    let interrupt = crate::Interrupt::create_virtual();
    assert_eq!((interrupt.bind(&port, 1), interrupt.trigger(0)), (Ok(()), Ok(())));
    let (event, object) = object();
    event.base().signal_state().set(Signals::USER_0);
    assert_eq!(port.wait_async(&object, 0, Signals::USER_0, NONE), Ok(()));
    for key in 0..DEFAULT_CAPACITY as u64 {
        assert_eq!(user(&port, key), Ok(()));
    }
    assert_eq!(user(&port, 0), Err(Error::ShouldWait));
    assert_eq!(port.len(), DEFAULT_CAPACITY + 2);
    assert!(port.try_wait().is_ok() && port.try_wait().is_ok());
    assert_eq!(user(&port, 0), Err(Error::ShouldWait), "neither was a user's");
    assert!(port.try_wait().is_ok());
    assert_eq!((user(&port, 0), user(&port, 0)), (Ok(()), Err(Error::ShouldWait)));
}
