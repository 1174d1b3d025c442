//! A million waits of each kind that are begun and given up: none may leave anything behind, neither in the object waited for
//! nor in memory. In a test program of its own, so that the memory is this test's.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
};

use hal::{
    pmem::PhysicalMemory,
    time::{monotonic, sleep_until},
};
use kernel_objects::{
    Channel, Clock, Counter, DebugLog, Error, Event, EventPair, Fifo, FutexTable, Handle,
    HandleTable, Interrupt, Job, KernelObject, Pager, Port, Process, Rights, Signals, Socket,
    Stream, Thread, Timer, Vmo, VmoOptions, WaitQueue,
    channel::{Message, ReadOptions, Room},
    clock::{ClockId, ClockOptions},
    deadline::{until, until_with_slack},
    debuglog::{KernelLog, LOG_READABLE},
    object::live_objects,
    pager::PagerVmoOptions,
    port::WaitAsync,
    resource::ResourceSpace,
    socket::SocketKind,
    stream::StreamMode,
    task::{SlackMode, TimerSlack},
    wait_many::wait_many,
};

const WAITS: usize = 1_000_000;
/// How many exist at once.
const AT_ONCE: usize = 1000;

const HOUR: u64 = 3_600_000_000_000;

/// One of each type that can be waited for, none of which is ever signaled here, with what keeps them so.
fn objects() -> (Vec<Arc<dyn KernelObject>>, impl Sized) {
    let memory = PhysicalMemory::new(None).unwrap();
    let options = VmoOptions { resizable: true, ..VmoOptions::default() };
    let vmo = Vmo::create(&memory, 0, options).unwrap();
    let stream = Stream::create(StreamMode::READ, &vmo, Rights::IO, 0).unwrap();
    let (event, event_peer) = EventPair::create();
    let (channel, channel_peer) = Channel::create();
    let (fifo, fifo_peer) = Fifo::create(1, 8).unwrap();
    let (socket, socket_peer) = Socket::create(SocketKind::Stream);
    let process = Process::create(&Job::root(), "p").unwrap();
    let thread = Thread::create(&process, "t").unwrap();
    let log =
        DebugLog::create(&ResourceSpace::new().root(), &KernelLog::new(), LOG_READABLE).unwrap();
    let objects: Vec<Arc<dyn KernelObject>> = vec![
        Event::create(),
        event,
        channel,
        fifo,
        socket,
        Counter::create(),
        Timer::create(SlackMode::Center, ClockId::Monotonic),
        Clock::create(ClockOptions::empty(), 0).unwrap(),
        Interrupt::create_virtual(),
        process.job().clone(),
        process,
        thread,
        log,
        stream,
        vmo,
    ];
    (objects, (event_peer, channel_peer, fifo_peer, socket_peer))
}

type Wait<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

fn wait<'a, T>(future: impl Future<Output = T> + 'a) -> Wait<'a> {
    Box::pin(async move {
        let _ = future.await;
    })
}

/// Begins waits and drops them, all together in the end.
fn give_up<'a>(kind: &str, count: usize, mut begin: impl FnMut(usize) -> Wait<'a>) {
    let mut context = Context::from_waker(Waker::noop());
    let mut waits: Vec<_> = (0..AT_ONCE).map(|_| None).collect();
    for i in 0..count {
        let mut wait = begin(i);
        assert!(wait.as_mut().poll(&mut context).is_pending(), "{kind}");
        // In another order than they began.
        waits[i * 7 % AT_ONCE] = Some(wait);
    }
}

/// The pages that this process has in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse().unwrap()
}

fn all_kinds(count: usize) {
    let (objects, _keep) = objects();
    let (port, queue, table, futexes) =
        (Port::create(), WaitQueue::new(), HandleTable::new(), FutexTable::new());
    let thread = Thread::create(&Process::create(&Job::root(), "p").unwrap(), "t").unwrap();
    let interrupt = Interrupt::create_virtual();
    let values: Vec<_> =
        objects.iter().map(|object| table.insert(Handle::new(object.clone())).unwrap()).collect();
    let (client, server) = Channel::create();
    let client_value = table.insert(Handle::new(client.clone())).unwrap();
    let slack = TimerSlack { amount: HOUR, mode: SlackMode::Late };

    // Signals that none of them ever has.
    let mask = Signals::USER_3;
    let pick = |i: usize| i % objects.len();
    give_up("one", count, |i| wait(objects[pick(i)].wait_one(mask)));
    give_up("one, through a handle", count, |i| wait(table.wait_one(values[pick(i)], mask)));
    give_up("many", count, |i| {
        let some = [i, i + 4, i + 9].map(|i| (&*objects[pick(i)], mask));
        wait(wait_many(some))
    });
    give_up("many, through handles", count, |i| {
        let some = [i, i + 4, i + 9].map(|i| (values[pick(i)], mask));
        let table = &table;
        wait(async move { table.wait_many(&some).await })
    });
    give_up("sleep", count, |i| wait(sleep_until(monotonic() + HOUR + i as u64)));
    give_up("with a deadline", count, |i| {
        wait(until(monotonic() + HOUR, objects[pick(i)].wait_one(mask)))
    });
    give_up("with a deadline and slack", count, |i| {
        wait(until_with_slack(monotonic() + HOUR, slack, objects[pick(i)].wait_one(mask)))
    });
    give_up("port", count, |_| wait(port.wait()));
    give_up("queue", count, |_| wait(queue.wait()));
    let memory = PhysicalMemory::new(None).unwrap();
    let (pager, requests) = (Pager::create(), Port::create());
    let file = pager.create_vmo(&memory, PagerVmoOptions::empty(), &requests, 0, 1 << 20).unwrap();
    give_up("page", count, |i| {
        let at = (i as u64 * 5) << 10 & 0xfffff;
        wait(file.fetch(at..at + 1, i % 2 == 0))
    });
    assert!(requests.is_empty());
    give_up("interrupt", count, |_| wait(interrupt.wait()));
    give_up("futex", count, |i| {
        let at = 4 + 4 * (i as u64 % 10);
        wait(futexes.wait(&thread, at, || Ok(true), Ok(None)).unwrap())
    });
    give_up("call", count, |_| {
        // The request of one before, which stays when its call is given up.
        let _ = server.read(Room::ANY, ReadOptions::empty());
        wait(client.call(Message::new([0; 8], vec![]), Room::ANY))
    });
    give_up("call through a handle, with a deadline", count, |_| {
        let _ = server.read(Room::ANY, ReadOptions::empty());
        let deadline = monotonic() + HOUR;
        wait(table.channel_call(client_value, vec![0; 8], &[], Room::ANY, deadline))
    });
    for i in 0..count {
        let (object, key) = (&objects[pick(i)], i as u64 % 100);
        port.wait_async(object, key, mask, WaitAsync::EDGE).unwrap();
        if i % 100 == 99 {
            (0..100).for_each(|key| port.cancel_key(key).unwrap());
        }
    }
    (0..100).for_each(|key| assert!(matches!(port.cancel_key(key), Ok(()) | Err(Error::NotFound))));

    for object in &objects {
        assert_eq!(object.base().signal_state().watchers(), 0, "{object:?}");
    }
    assert_eq!(client.base().signal_state().watchers(), 0);
    assert!(client.is_empty() && server.len() <= 1);
    assert_eq!((queue.entries(), futexes.waiters(), port.len()), (0, 0, 0));
}

#[test]
fn a_million_waits_of_each_kind_that_are_given_up_leave_nothing_behind() {
    const PARTS: usize = 5;
    let before = live_objects();
    all_kinds(WAITS / PARTS);
    let warm = resident();
    for _ in 1..PARTS {
        all_kinds(WAITS / PARTS);
    }
    assert_eq!(live_objects(), before);
    let grown = resident().saturating_sub(warm);
    assert!(grown < 512, "{grown} pages of memory are left");
}
