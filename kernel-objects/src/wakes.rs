//! Wake-ups: whatever can be waited for wakes the task that waits.
//!
//! That a future is ready when it is polled again does not say that anything would have polled it again. So here wakers are
//! counted, for all objects in one place: each change must wake the task that waits for it, once.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::FutureExt;
use hal::pmem::PhysicalMemory;

use crate::{
    Channel, Clock, Counter, DebugLog, Error, Event, EventPair, Fifo, Handle, HandleTable,
    HandleValue, Interrupt, Iob, KernelObject, Message, Port, Result, Signals, Socket, Timer,
    channel::{ReadOptions, Room},
    clock::{ClockId, ClockOptions, ClockUpdate},
    debuglog::{KernelLog, LOG_READABLE, Severity},
    iob::{IobAccess, IobContent, IobRegion, SharedRegion},
    port::{PortOptions, WaitAsync},
    resource::ResourceSpace,
    socket::{self, Disposition, SocketKind},
    task::SlackMode,
    wait_many::wait_many,
};

const NONE: Signals = Signals::empty();

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What `wait` ends with, which is pending before `change`, wakes its task during that, and is ready then. That is the task
/// that polled it last.
#[track_caller]
fn woken<T>(wait: impl Future<Output = T>, change: impl FnOnce()) -> T {
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut context = Context::from_waker(&waker);
    let earlier = Arc::new(Count::default());
    let mut wait = pin!(wait);
    let first = Waker::from(earlier.clone());
    assert!(wait.as_mut().poll(&mut Context::from_waker(&first)).is_pending());
    assert!(wait.as_mut().poll(&mut context).is_pending(), "nothing has happened");
    drop(first);
    change();
    assert_eq!(count.0.load(Ordering::Relaxed), 1, "woken once");
    assert_eq!(earlier.0.load(Ordering::Relaxed), 0, "it has moved to another task");
    match wait.poll(&mut context) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("woken for nothing"),
    }
}

/// `change` wakes who waits for `signal` of the object.
#[track_caller]
fn wakes(object: &dyn KernelObject, signal: Signals, change: impl FnOnce()) {
    let seen = woken(object.wait_one(signal), change);
    assert!(seen.is_ok_and(|seen| seen.contains(signal)), "{signal:?}");
}

fn close<T: KernelObject>(object: &Arc<T>) {
    drop(Handle::new(object.clone()));
}

#[test]
fn users_signals_wake_at_this_end_and_the_other() {
    let event = Event::create();
    wakes(&*event, Signals::SIGNALED, || event.signal(NONE, Signals::SIGNALED).unwrap());
    let (a, b) = EventPair::create();
    wakes(&*b, Signals::USER_3, || a.signal_peer(NONE, Signals::USER_3).unwrap());
    wakes(&*b, Signals::PEER_CLOSED, || close(&a));
}

#[test]
fn messages_room_for_them_and_closing_wake_the_end_that_waits() {
    let (a, b) = Channel::create();
    let (answer, room) = (|| Message::new(b"\0\0\0\0", vec![]), Room::ANY);
    wakes(&*b, Signals::READABLE, || a.write(answer()).unwrap());
    assert!(b.read(room, ReadOptions::empty()).is_ok());
    let answered = woken(a.call(answer(), room), || {
        b.write(b.read(room, ReadOptions::empty()).unwrap()).unwrap();
    });
    assert!(answered.is_ok());
    let (c, d) = Channel::create();
    let closed = woken(c.call(answer(), room), || close(&d));
    assert_eq!(closed.err(), Some(Error::PeerClosed.into()));
    let canceled = woken(a.call(answer(), room), || close(&a));
    assert_eq!(canceled.err(), Some(Error::Canceled.into()));
    let (a, b) = Channel::create();
    wakes(&*b, Signals::PEER_CLOSED, || close(&a));

    let (a, b) = Fifo::create(1, 4).unwrap();
    wakes(&*b, Signals::READABLE, || assert_eq!(a.write(4, b"full"), Ok(1)));
    wakes(&*a, Signals::WRITABLE, || assert_eq!(b.read(4, &mut [0; 4]), Ok(1)));
    wakes(&*a, Signals::PEER_CLOSED, || close(&b));
}

#[test]
fn whatever_changes_a_sockets_signals_wakes_for_both_ends() {
    let (a, b) = Socket::create(SocketKind::Stream);
    let options = socket::ReadOptions::empty();
    wakes(&*b, Signals::READABLE, || assert_eq!(a.write(b"x"), Ok(1)));
    b.set_read_threshold(3).unwrap();
    wakes(&*b, Signals::SOCKET_READ_THRESHOLD, || assert_eq!(a.write(b"yz"), Ok(2)));
    b.set_read_threshold(4).unwrap();
    wakes(&*b, Signals::SOCKET_READ_THRESHOLD, || b.set_read_threshold(2).unwrap());
    let rest = vec![0; socket::CAPACITY - 3];
    assert_eq!(a.write(&rest), Ok(rest.len()));
    wakes(&*a, Signals::WRITABLE, || assert_eq!(b.read(&mut [0; 2], options), Ok(2)));
    wakes(&*a, Signals::SOCKET_WRITE_THRESHOLD, || a.set_write_threshold(1).unwrap());
    a.set_write_threshold(3).unwrap();
    let read = || assert_eq!(b.read(&mut [0], options), Ok(1));
    wakes(&*a, Signals::SOCKET_WRITE_THRESHOLD, read);
    let disabled = Some(Disposition::WriteDisabled);
    let disable = || b.set_disposition(None, disabled).unwrap();
    wakes(&*a, Signals::SOCKET_WRITE_DISABLED, disable);
    wakes(&*a, Signals::SOCKET_PEER_WRITE_DISABLED, || b.set_disposition(disabled, None).unwrap());
    wakes(&*b, Signals::WRITABLE, || {
        a.set_disposition(None, Some(Disposition::WriteEnabled)).unwrap();
    });
}

#[test]
fn times_and_numbers_wake_when_they_come() {
    let timer = Timer::create(SlackMode::Late, ClockId::Monotonic);
    wakes(&*timer, Signals::SIGNALED, || timer.set(0, 0).unwrap());
    let counter = Counter::create();
    wakes(&*counter, Signals::COUNTER_POSITIVE, || counter.add(1).unwrap());
    wakes(&*counter, Signals::COUNTER_NON_POSITIVE, || counter.write(0));
    let clock = Clock::create(ClockOptions::empty(), 0).unwrap();
    let update = ClockUpdate { synthetic: Some(1), ..ClockUpdate::default() };
    wakes(&*clock, Signals::CLOCK_STARTED, || clock.update(&update).unwrap());
    wakes(&*clock, Signals::CLOCK_UPDATED, || clock.update(&update).unwrap());
}

#[test]
fn records_wake_every_reader() {
    let (machine, kernel) = (ResourceSpace::new(), KernelLog::new());
    let reader = || DebugLog::create(&machine.root(), &kernel, LOG_READABLE).unwrap();
    let (one, other) = (reader(), reader());
    let both = async { (one.wait_one(Signals::READABLE).await, other.signals()) };
    let (seen, others) = woken(both, || kernel.write(Severity::Info, 0, None, b"x"));
    assert!(seen.is_ok() && others.contains(Signals::READABLE));
    assert!(one.read().is_ok());
    wakes(&*one, Signals::READABLE, || other.write(0, None, b"y").unwrap());
}

#[test]
fn every_kind_of_packet_wakes_a_reader_of_the_port() {
    let port = Port::create_with(PortOptions::BIND_TO_INTERRUPT).unwrap();
    let key = |change: &dyn Fn()| woken(port.wait(), change).key;
    assert_eq!(key(&|| port.queue(1, 0, [0; 32]).unwrap()), 1);
    let event = Event::create();
    let object: Arc<dyn KernelObject> = event.clone();
    let wait = |key| port.wait_async(&object, key, Signals::USER_0, WaitAsync::empty()).unwrap();
    wait(2);
    assert_eq!(key(&|| event.signal(NONE, Signals::USER_0).unwrap()), 2);
    assert_eq!(key(&|| wait(3)), 3, "set already");

    let (interrupt, other) = (Interrupt::create_virtual(), Interrupt::create_virtual());
    interrupt.bind(&port, 4).unwrap();
    assert_eq!(key(&|| interrupt.trigger(0).unwrap()), 4);
    interrupt.trigger(1).unwrap();
    assert!(port.is_empty());
    assert_eq!(key(&|| interrupt.ack().unwrap()), 4, "triggered meanwhile");
    other.trigger(2).unwrap();
    assert_eq!(key(&|| other.bind(&port, 5).unwrap()), 5, "triggered before");
}

#[test]
fn interrupts_wake_when_triggered_destroyed_and_acknowledged() {
    let interrupt = Interrupt::create_virtual();
    assert_eq!(woken(interrupt.wait(), || interrupt.trigger(7).unwrap()), Ok(7));
    wakes(&*interrupt, Signals::VIRTUAL_INTERRUPT_UNTRIGGERED, || {
        assert_eq!(interrupt.wait().now_or_never(), None, "which acknowledges");
    });
    let destroyed = woken(interrupt.wait(), || interrupt.destroy().unwrap());
    assert_eq!(destroyed, Err(Error::Canceled));
}

#[test]
fn shared_memory_wakes_when_it_is_written_and_when_it_is_closed() {
    let memory = PhysicalMemory::new(None).unwrap();
    let ring = SharedRegion::create(&memory, 2 * 4096, false).unwrap();
    let access = IobAccess::EP0_MEDIATED_WRITE | IobAccess::EP1_MAP_READ;
    let content = IobContent::Ring { region: ring.clone(), tag: 1 };
    let (a, b) = Iob::create(&memory, &[IobRegion { access, content }], false).unwrap();
    wakes(&*ring, Signals::IOB_SHARED_REGION_UPDATED, || a.write(0, b"x").unwrap());
    wakes(&*b, Signals::PEER_CLOSED, || close(&a));
}

#[test]
fn a_handle_that_leaves_its_table_wakes_those_who_wait_through_it() {
    let table = HandleTable::new();
    let insert = || table.insert(Handle::new(Event::create())).unwrap();
    let ways: [&dyn Fn(HandleValue); 3] = [
        &|value| table.close(value).unwrap(),
        &|value| drop(table.take_to_transfer(&[value]).unwrap()),
        &|value| assert!(table.replace(value, crate::Rights::SAME_RIGHTS).is_ok()),
    ];
    for leave in ways {
        let value = insert();
        let one = woken(table.wait_one(value, Signals::SIGNALED), || leave(value));
        assert_eq!(one, Err(Error::Canceled));
        let (value, items) = (insert(), [(insert(), Signals::SIGNALED)]);
        let many = woken(table.wait_many(&items), || leave(items[0].0));
        assert_eq!(many.map(drop), Err(Error::Canceled));
        assert_eq!(woken(table.closed(value), || leave(value)), Error::Canceled);
    }
}

#[test]
fn any_of_many_objects_wakes_who_waits_for_all() {
    for which in 0..3 {
        let events = [(); 3].map(|()| Event::create());
        let items = events.iter().map(|event| (&**event as &dyn KernelObject, Signals::USER_1));
        let pending: Result<_> = woken(wait_many(items), || {
            events[which].signal(NONE, Signals::USER_1 | Signals::USER_2).unwrap();
        });
        let mut expected = [NONE; 3];
        expected[which] = Signals::USER_1 | Signals::USER_2;
        assert_eq!(pending.as_deref(), Ok(&expected[..]));
    }
}
