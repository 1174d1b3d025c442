//! Tests of interrupts: delivery, acknowledgement, binding, lines.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use futures::{FutureExt, executor::block_on};

use super::*;
use crate::{
    handle::Handle,
    port::{InterruptPacket, Packet, Payload, PortOptions},
    resource::{ResourceOptions, ResourceSpace},
};

const UNTRIGGERED: Signals = Signals::VIRTUAL_INTERRUPT_UNTRIGGERED;

fn port() -> Arc<Port> {
    Port::create_with(PortOptions::BIND_TO_INTERRUPT).unwrap()
}

fn packet(key: u64, timestamp: u64) -> Result<Packet> {
    let payload = Payload::Interrupt(InterruptPacket { timestamp });
    Ok(Packet { key, status: 0, payload })
}

fn look(interrupt: &Interrupt) -> Option<Result<u64>> {
    interrupt.wait().now_or_never()
}

#[test]
fn options_are_checked() {
    for good in [0x10, 0, 1, 2, 4, 6, 8, 10, 11, 0x20, 0x30, 0x50, 0x64, 0x70] {
        assert_eq!(InterruptOptions::from_raw(good).map(InterruptOptions::raw), Ok(good));
    }
    for bad in [0x11, 0x12, 12, 14, 0x31, 0x4c, 0x80, u32::MAX] {
        assert_eq!(InterruptOptions::from_raw(bad), Err(Error::InvalidArgs), "{bad}");
    }
}

#[test]
fn options_tell_levels_from_edges_and_virtual_ones_from_physical_ones() {
    let is = |raw| InterruptOptions::from_raw(raw).map(|o| (o.is_level(), o.is_virtual()));
    for edge in [0, 1, 2, 4, 10, 0x24] {
        assert_eq!(is(edge), Ok((false, false)), "{edge}");
    }
    for level in [6, 7, 8, 0x48] {
        assert_eq!(is(level), Ok((true, false)), "{level}");
    }
    assert_eq!((is(0x10), is(0x70)), (Ok((false, true)), Ok((false, true))));
}

#[test]
fn a_level_triggers_again_as_long_as_it_is_asserted() {
    let space = ResourceSpace::new();
    let irq = space.ranged_root(ResourceKind::Irq, "").unwrap();
    let line = Line::new("device");
    let create = || {
        let options = InterruptOptions::LEVEL_HIGH;
        Interrupt::create_physical(&irq, 5, options, line.clone()).unwrap()
    };
    let interrupt = create();
    assert_eq!(interrupt.info().options, InterruptOptions::LEVEL_HIGH);
    line.assert();
    let triggered = || matches!(look(&interrupt), Some(Ok(_)));
    assert!(triggered() && triggered(), "its device has not been seen to");
    line.assert();
    line.deassert();
    assert!(!triggered(), "what came before it was acknowledged is over");

    let port = port();
    assert_eq!(interrupt.bind(&port, 3), Ok(()));
    line.assert();
    let key = || port.try_wait().map(|packet| packet.key);
    assert_eq!((key(), key()), (Ok(3), Err(Error::ShouldWait)));
    assert_eq!((interrupt.ack(), key()), (Ok(()), Ok(3)));
    line.deassert();
    assert_eq!((interrupt.ack(), key()), (Ok(()), Err(Error::ShouldWait)));
}

#[test]
fn a_wait_takes_a_trigger_and_the_time_of_the_first_of_several() {
    let interrupt = Interrupt::create_virtual();
    assert_eq!(look(&interrupt), None);
    for time in [5, 6, 7] {
        assert_eq!(interrupt.trigger(time), Ok(()));
    }
    assert_eq!(look(&interrupt), Some(Ok(5)));
    assert_eq!(look(&interrupt), None, "they were one");
    assert_eq!(interrupt.trigger(0), Ok(()));
    assert_eq!(look(&interrupt), Some(Ok(0)));
    assert_eq!(interrupt.trigger(9), Ok(()), "before it was acknowledged");
    assert_eq!(look(&interrupt), Some(Ok(9)));
}

#[test]
fn a_trigger_wakes_who_waits() {
    let interrupt = Interrupt::create_virtual();
    let waiter = std::thread::spawn({
        let interrupt = interrupt.clone();
        move || block_on(interrupt.wait())
    });
    while interrupt.state.lock().waiting == 0 {
        std::thread::yield_now();
    }
    assert_eq!(interrupt.trigger(3), Ok(()));
    assert_eq!(waiter.join().unwrap(), Ok(3));
    assert_eq!(interrupt.state.lock().waiting, 0);
}

#[test]
fn the_signal_tells_that_a_virtual_one_is_not_triggered() {
    let interrupt = Interrupt::create_virtual();
    assert_eq!(interrupt.signals(), UNTRIGGERED);
    assert_eq!(interrupt.trigger(1), Ok(()));
    assert_eq!(interrupt.signals(), Signals::empty());
    assert_eq!(look(&interrupt), Some(Ok(1)));
    assert_eq!(interrupt.signals(), Signals::empty(), "not acknowledged");
    assert_eq!(look(&interrupt), None);
    assert_eq!(interrupt.signals(), UNTRIGGERED, "a wait acknowledges");
    let port = port();
    assert_eq!(interrupt.bind(&port, 1), Ok(()));
    assert_eq!(interrupt.trigger(2), Ok(()));
    assert_eq!(interrupt.trigger(3), Ok(()));
    assert_eq!(interrupt.ack(), Ok(()));
    assert_eq!(interrupt.signals(), Signals::empty(), "triggered again");
    assert_eq!(interrupt.ack(), Ok(()));
    assert_eq!(interrupt.signals(), UNTRIGGERED);
}

#[test]
fn who_waits_for_the_signal_is_woken_by_the_acknowledgement() {
    let (interrupt, port) = (Interrupt::create_virtual(), port());
    interrupt.bind(&port, 1).unwrap();
    interrupt.trigger(5).unwrap();
    assert_eq!(port.try_wait(), packet(1, 5));
    let waiter = interrupt.clone();
    let thread = std::thread::spawn(move || block_on(waiter.wait_one(UNTRIGGERED)));
    while interrupt.base.signal_state().watchers() == 0 {
        std::thread::yield_now();
    }
    interrupt.ack().unwrap();
    assert!(thread.join().unwrap().is_ok_and(|seen| seen.contains(UNTRIGGERED)));
}

#[test]
fn a_bound_one_delivers_a_packet_for_each_acknowledgement() {
    let (interrupt, port) = (Interrupt::create_virtual(), port());
    assert_eq!(interrupt.ack(), Err(Error::BadState), "not bound");
    assert_eq!(interrupt.bind(&port, 7), Ok(()));
    assert_eq!(look(&interrupt), Some(Err(Error::BadState)));
    assert_eq!(interrupt.trigger(10), Ok(()));
    assert_eq!(interrupt.trigger(11), Ok(()));
    assert_eq!(interrupt.trigger(12), Ok(()));
    assert_eq!(port.len(), 1);
    assert_eq!(port.try_wait(), packet(7, 10));
    assert_eq!(port.try_wait(), Err(Error::ShouldWait));
    assert_eq!(interrupt.ack(), Ok(()));
    assert_eq!(port.try_wait(), packet(7, 11));
    assert_eq!(interrupt.ack(), Ok(()));
    assert!(port.is_empty());
    assert_eq!(interrupt.ack(), Ok(()), "twice is no error");
}

#[test]
fn packets_of_interrupts_come_first() {
    let (a, b, port) = (Interrupt::create_virtual(), Interrupt::create_virtual(), port());
    assert_eq!(port.queue(1, 0, [0; 32]), Ok(()));
    assert_eq!((a.bind(&port, 2), b.bind(&port, 3)), (Ok(()), Ok(())));
    assert_eq!((b.trigger(0), a.trigger(1)), (Ok(()), Ok(())));
    let keys: Vec<_> = std::iter::from_fn(|| port.try_wait().ok()).map(|p| p.key).collect();
    assert_eq!(keys, [3, 2, 1]);
}

#[test]
fn binding_is_refused_where_it_would_be_ambiguous() {
    let (interrupt, here, there) = (Interrupt::create_virtual(), port(), port());
    assert_eq!(interrupt.bind(&Port::create(), 1), Err(Error::WrongType));
    let mut wait = Box::pin(interrupt.wait());
    assert!((&mut wait).now_or_never().is_none());
    assert_eq!(interrupt.bind(&here, 1), Err(Error::BadState), "someone waits");
    drop(wait);
    assert_eq!(interrupt.unbind(&here), Err(Error::NotFound));
    assert_eq!(interrupt.bind(&here, 1), Ok(()));
    assert_eq!(interrupt.bind(&here, 1), Err(Error::AlreadyBound));
    assert_eq!(interrupt.bind(&there, 1), Err(Error::AlreadyBound));
    assert_eq!(interrupt.unbind(&there), Err(Error::NotFound));
    assert_eq!(interrupt.unbind(&here), Ok(()));
    assert_eq!(interrupt.unbind(&here), Err(Error::NotFound));
}

#[test]
fn one_that_is_triggered_delivers_when_it_is_bound() {
    let (interrupt, port) = (Interrupt::create_virtual(), port());
    assert_eq!(interrupt.trigger(4), Ok(()));
    assert_eq!(interrupt.bind(&port, 1), Ok(()));
    assert_eq!(port.try_wait(), packet(1, 4));
    assert_eq!(interrupt.trigger(5), Ok(()));
    assert!(port.is_empty(), "it needs to be acknowledged");
}

#[test]
fn unbinding_removes_the_packet() {
    let (interrupt, port) = (Interrupt::create_virtual(), port());
    assert_eq!(interrupt.bind(&port, 1), Ok(()));
    assert_eq!(interrupt.trigger(4), Ok(()));
    assert_eq!(interrupt.unbind(&port), Ok(()));
    assert!(port.is_empty());
    assert_eq!(interrupt.trigger(5), Ok(()));
    assert!(port.is_empty());
    assert_eq!(look(&interrupt), Some(Ok(5)));
}

#[test]
fn a_destroyed_one_cancels_everything() {
    let interrupt = Interrupt::create_virtual();
    let mut wait = Box::pin(interrupt.wait());
    assert!((&mut wait).now_or_never().is_none());
    assert_eq!(interrupt.destroy(), Ok(()));
    assert_eq!(wait.now_or_never(), Some(Err(Error::Canceled)));
    assert_eq!(look(&interrupt), Some(Err(Error::Canceled)));
    assert_eq!(interrupt.trigger(1), Err(Error::Canceled));
    assert_eq!(interrupt.ack(), Err(Error::Canceled));
    assert_eq!(interrupt.bind(&port(), 1), Err(Error::Canceled));
    assert_eq!(interrupt.unbind(&port()), Err(Error::Canceled));
    assert_eq!(interrupt.destroy(), Ok(()));
}

#[test]
fn destroying_tells_whether_a_packet_was_read_and_not_acknowledged() {
    let make = || {
        let (interrupt, port) = (Interrupt::create_virtual(), port());
        assert_eq!(interrupt.bind(&port, 1), Ok(()));
        (interrupt, port)
    };
    let (interrupt, _port) = make();
    assert_eq!(interrupt.destroy(), Ok(()), "not triggered");

    let (interrupt, port) = make();
    assert_eq!(interrupt.trigger(1), Ok(()));
    assert_eq!(interrupt.destroy(), Ok(()), "not read");
    assert!(port.is_empty());

    let (interrupt, port) = make();
    assert_eq!(interrupt.trigger(1), Ok(()));
    assert!(port.try_wait().is_ok());
    assert_eq!(interrupt.destroy(), Err(Error::NotFound));
    assert_eq!(interrupt.trigger(1), Err(Error::Canceled));

    let (interrupt, port) = make();
    assert_eq!(interrupt.trigger(1), Ok(()));
    assert!(port.try_wait().is_ok());
    assert_eq!(interrupt.ack(), Ok(()));
    assert_eq!(interrupt.destroy(), Ok(()), "acknowledged");
}

#[test]
fn the_last_handle_destroys_it_and_a_closed_port_takes_nothing() {
    let (interrupt, port) = (Interrupt::create_virtual(), port());
    let (handle, port_handle) = (Handle::new(interrupt.clone()), Handle::new(port.clone()));
    assert_eq!(interrupt.bind(&port, 1), Ok(()));
    drop(port_handle);
    assert_eq!(interrupt.trigger(1), Ok(()));
    assert!(port.is_empty());
    drop(handle);
    assert_eq!(interrupt.trigger(1), Err(Error::Canceled));
}

#[test]
fn a_line_triggers_a_physical_one() {
    let space = ResourceSpace::new();
    let options = ResourceOptions::shared(ResourceKind::Irq);
    let irq = Resource::create(&space.root(), options, 32, 4, "irq").unwrap();
    let line = Line::new("device");
    let create = |resource: &Resource, number, options| {
        Interrupt::create_physical(resource, number, options, line.clone())
    };
    let error = |number, options| create(&irq, number, options).err();
    assert_eq!(error(36, InterruptOptions::DEFAULT), Some(Error::AccessDenied));
    assert_eq!(error(33, InterruptOptions::VIRTUAL), Some(Error::InvalidArgs));
    let mmio = space.ranged_root(ResourceKind::Mmio, "").unwrap();
    let wrong = create(&mmio, 33, InterruptOptions::DEFAULT);
    assert_eq!(wrong.err(), Some(Error::WrongType));

    line.raise();
    let interrupt = create(&irq, 33, InterruptOptions::DEFAULT).unwrap();
    assert_eq!(interrupt.trigger(1), Err(Error::BadState));
    assert!(matches!(look(&interrupt), Some(Ok(_))), "what was raised before");
    assert_eq!(look(&interrupt), None);
    let before = monotonic();
    line.raise();
    line.raise();
    assert!(matches!(look(&interrupt), Some(Ok(time)) if time >= before));
    assert_eq!(look(&interrupt), None);
    let port = port();
    assert_eq!(interrupt.bind(&port, 5), Ok(()));
    line.raise();
    assert_eq!(port.try_wait().map(|packet| packet.key), Ok(5));
    drop(interrupt);
    line.raise();
    assert!(port.is_empty());
}

#[test]
fn eight_threads_that_trigger_read_and_acknowledge_lose_no_last_trigger() {
    const ROUNDS: u64 = 3000;
    let (interrupt, port) = (Interrupt::create_virtual(), port());
    assert_eq!(interrupt.bind(&port, 1), Ok(()));
    let (read, done) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for time in 1..=ROUNDS {
                    assert_eq!(interrupt.trigger(time), Ok(()));
                }
                done.fetch_add(1, SeqCst);
            });
        }
        for _ in 0..4 {
            scope.spawn(|| {
                while done.load(SeqCst) < 4 || !port.is_empty() {
                    if port.try_wait().is_ok() {
                        read.fetch_add(1, SeqCst);
                        assert_eq!(interrupt.ack(), Ok(()));
                    }
                }
            });
        }
    });
    assert!((1..=4 * ROUNDS).contains(&read.into_inner()));
    let state = interrupt.state.lock();
    assert_eq!((state.phase, state.triggered), (Phase::Armed, None));
}
