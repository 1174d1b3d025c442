//! What many of something cost: ten times as many may not cost much more than ten times as much.
//!
//! Costs are the CPU time of this thread, the best of a few runs, and the bound is wide: what it finds is work that grows with the square
//! of a number, and recursion that grows with it, since all of it runs on a small stack.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
    thread,
    time::Duration,
};

use hal::time::monotonic;
use kernel_objects::{
    Channel, Error, Event, FutexTable, Handle, HandleTable, Job, KernelObject, Message, Port,
    Process, Rights, Signals, Thread, Timer,
    channel::{ReadOptions, Room},
    clock::ClockId,
    futex::RequeueWake,
    handle::WAIT_MANY_MAX_ITEMS,
    port::WaitAsync,
    task::SlackMode,
    wait_many::wait_many,
};
use nix::time::{ClockId as HostClock, clock_gettime};

const A: Signals = Signals::SIGNALED;
const HOUR: u64 = 3_600_000_000_000;

/// How many times as much ten times as many may cost.
const BOUND: u32 = 50;
const RUNS: usize = 5;
const STACK: usize = 128 << 10;

fn cpu_time() -> Duration {
    clock_gettime(HostClock::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// Runs `run` for `count` of something and for a tenth of that, on a small stack, and compares.
fn scales(count: usize, run: fn(usize)) {
    let best = move |count: usize| {
        let once = |_| {
            let begin = cpu_time();
            run(count);
            cpu_time() - begin
        };
        (0..RUNS).map(once).min().unwrap()
    };
    let compare = move || (best(count / 10), best(count));
    let thread = thread::Builder::new().stack_size(STACK).spawn(compare).unwrap();
    let (few, many) = thread.join().unwrap();
    assert!(many <= few * BOUND, "{} cost {few:?}, {count} cost {many:?}", count / 10);
}

fn events(count: usize) -> Vec<Arc<Event>> {
    (0..count).map(|_| Event::create()).collect()
}

fn is_pending<F: Future>(future: Pin<&mut F>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[test]
fn waiting_for_one_of_ten_thousand_objects() {
    scales(10_000, |count| {
        let events = events(count);
        let wait = wait_many(events.iter().map(|e| (&**e as &dyn KernelObject, A)));
        let mut wait = std::pin::pin!(wait);
        assert!(is_pending(wait.as_mut()) && is_pending(wait.as_mut()));
        events[count / 2].signal(Signals::empty(), A).unwrap();
        assert!(!is_pending(wait));
    });
}

#[test]
fn ten_thousand_waits_for_one_object() {
    scales(10_000, |count| {
        let event = Event::create();
        let mut waits: Vec<_> = (0..count).map(|_| Box::pin(event.wait_one(A))).collect();
        assert!(waits.iter_mut().all(|wait| is_pending(wait.as_mut())));
        waits.drain(..count / 2).for_each(drop);
        event.signal(Signals::empty(), A).unwrap();
        assert!(!waits.iter_mut().any(|wait| is_pending(wait.as_mut())));
    });
}

#[test]
fn ten_thousand_handles_of_one_object_watched_by_one_port() {
    scales(10_000, |count| {
        let (table, port) = (HandleTable::new(), Port::create());
        let first = table.insert(Handle::new(Event::create())).unwrap();
        let object = table.get_any(first, Rights::empty()).unwrap();
        let mut values: Vec<_> =
            (1..count).map(|_| table.duplicate(first, Rights::SAME_RIGHTS).unwrap()).collect();
        values.push(first);
        for (key, &value) in (0..).zip(&values) {
            table.wait_async(value, &port, key, A, WaitAsync::empty()).unwrap();
        }
        assert_eq!(object.base().signal_state().watchers(), count);
        table.close_many(&values).unwrap();
        assert_eq!(object.base().signal_state().watchers(), 0);
        assert!(port.is_empty());
    });
}

#[test]
fn a_hundred_thousand_packets_of_users() {
    scales(100_000, |count| {
        let port = Port::with_capacity(count);
        for key in 0..count {
            port.queue(key as u64, 0, [0; 32]).unwrap();
        }
        assert_eq!(port.queue(0, 0, [0; 32]), Err(Error::ShouldWait));
        for key in 0..count {
            assert_eq!(port.try_wait().map(|packet| packet.key), Ok(key as u64));
        }
    });
}

#[test]
fn a_hundred_thousand_packets_of_objects_half_of_them_cancelled() {
    scales(100_000, |count| {
        let (port, event) = (Port::create(), Event::create());
        let object: Arc<dyn KernelObject> = event.clone();
        for key in 0..count {
            port.wait_async(&object, key as u64, A, WaitAsync::empty()).unwrap();
        }
        // A quarter before they are queued, a quarter after.
        (0..count).step_by(4).for_each(|key| port.cancel_key(key as u64).unwrap());
        event.signal(Signals::empty(), A).unwrap();
        (1..count).step_by(4).for_each(|key| port.cancel_key(key as u64).unwrap());
        assert_eq!(port.len(), count / 2);
        assert_eq!(std::iter::from_fn(|| port.try_wait().ok()).count(), count / 2);
        assert_eq!(event.base().signal_state().watchers(), 0);
    });
}

#[test]
fn as_many_handles_as_can_be_waited_for_at_once() {
    let table = HandleTable::new();
    let event = Event::create();
    let object: Arc<dyn KernelObject> = event.clone();
    let items: Vec<_> = (0..=WAIT_MANY_MAX_ITEMS)
        .map(|_| (table.insert(Handle::new(object.clone())).unwrap(), A))
        .collect();
    let wait = |count: usize| table.wait_many(&items[..count]);
    assert!(is_pending(Box::pin(wait(WAIT_MANY_MAX_ITEMS)).as_mut()));
    let more = futures::executor::block_on(wait(WAIT_MANY_MAX_ITEMS + 1));
    assert_eq!(more, Err(Error::OutOfRange));
    event.signal(Signals::empty(), A).unwrap();
    let pending = futures::executor::block_on(wait(WAIT_MANY_MAX_ITEMS)).unwrap();
    assert!(pending.len() == WAIT_MANY_MAX_ITEMS && pending.iter().all(|seen| *seen == A));
    assert_eq!(event.base().signal_state().watchers(), 0);
}

#[test]
fn a_tree_of_jobs_a_thousand_deep() {
    scales(1000, |depth| {
        let root = Job::root();
        let mut leaf = root.clone();
        for _ in 0..depth {
            leaf = Job::create(&leaf).unwrap();
        }
        let process = Process::create(&leaf, "leaf").unwrap();
        assert!(root.contains(&leaf) && !leaf.contains(&root));
        root.kill();
        assert!(process.signals().contains(Signals::TASK_TERMINATED));
        assert!(leaf.signals().contains(Signals::TASK_TERMINATED));
    });
}

#[test]
fn a_tree_of_jobs_a_thousand_deep_that_nobody_holds() {
    scales(1000, |depth| {
        let mut leaf = Job::root();
        for _ in 0..depth {
            leaf = Job::create(&leaf).unwrap();
        }
        drop(leaf);
    });
}

#[test]
fn a_hundred_thousand_handles() {
    scales(100_000, |count| {
        let (table, event) = (HandleTable::new(), Event::create());
        let first = table.insert(Handle::new(event.clone())).unwrap();
        let mut values = vec![first];
        values.extend((1..count).map(|_| table.duplicate(first, Rights::SAME_RIGHTS).unwrap()));
        assert!(values.iter().all(|&value| table.get::<Event>(value, Rights::WAIT).is_ok()));
        assert_eq!((event.handle_count() as usize, table.list().len()), (count, count));
        values.drain(..count / 2).for_each(|value| table.close(value).unwrap());
        let again = values[0];
        values.extend((0..count / 4).map(|_| table.duplicate(again, Rights::WAIT).unwrap()));
        table.clear();
        assert_eq!(event.handle_count(), 0);
    });
}

#[test]
fn ten_thousand_timers() {
    scales(10_000, |count| {
        let timers: Vec<_> =
            (0..count).map(|_| Timer::create(SlackMode::Center, ClockId::Monotonic)).collect();
        let base = monotonic() + HOUR;
        for (i, timer) in timers.iter().enumerate() {
            timer.set(base + (i * 7919 % count) as u64 * 1000, (i % 3) as i64 * 500).unwrap();
        }
        timers.iter().step_by(2).for_each(|timer| timer.set(base - 1, 0).unwrap());
        timers.iter().step_by(3).for_each(|timer| timer.cancel());
        timers.iter().step_by(4).for_each(|timer| timer.set(0, 0).unwrap());
        let fired = timers.iter().filter(|timer| timer.signals().contains(A)).count();
        assert_eq!(fired, count / 4);
    });
}

#[test]
fn ten_thousand_threads_at_a_futex() {
    const HERE: u64 = 0x1000;
    const THERE: u64 = 0x2000;
    scales(10_000, |count| {
        let process = Process::create(&Job::root(), "p").unwrap();
        let (table, thread) = (FutexTable::new(), Thread::create(&process, "t").unwrap());
        let mut waits: Vec<_> = (0..count)
            .map(|_| Box::pin(table.wait(&thread, HERE, || Ok(true), Ok(None)).unwrap()))
            .collect();
        waits.drain(..count / 4).for_each(drop);
        let wake = RequeueWake::Count(count as u32 / 4);
        assert_eq!(table.requeue(HERE, wake, || Ok(true), THERE, u32::MAX, Ok(None)), Ok(()));
        assert_eq!(
            waits.iter_mut().filter_map(|w| is_pending(w.as_mut()).then_some(())).count(),
            count / 2
        );
        assert_eq!(table.wake(THERE, u32::MAX), Ok(()));
        assert!(!waits.iter_mut().any(|wait| is_pending(wait.as_mut())));
        assert_eq!(table.waiters(), 0);
    });
}

#[test]
fn a_hundred_thousand_calls_of_a_channel() {
    scales(100_000, |count| {
        let (client, server) = Channel::create();
        let mut calls: Vec<_> = (0..count)
            .map(|_| Box::pin(client.call(Message::new([0; 8], vec![]), Room::ANY)))
            .collect();
        assert!(calls.iter_mut().all(|call| is_pending(call.as_mut())));
        calls.drain(..count / 4).for_each(drop);
        assert_eq!(server.len(), count);
        while let Ok(request) = server.read(Room::ANY, ReadOptions::empty()) {
            server.write(request).unwrap();
        }
        assert_eq!(client.len(), count / 4, "of those given up");
        assert!(!calls.iter_mut().any(|call| is_pending(call.as_mut())));
    });
}

/// Each the only handle of the next, in a message of it.
#[test]
fn a_chain_of_a_hundred_thousand_channels_that_goes() {
    scales(100_000, |count| {
        let mut last = Handle::new(Event::create());
        for _ in 0..count {
            let (a, b) = Channel::create();
            a.write(Message::new([], vec![last])).unwrap();
            last = Handle::new(b);
        }
        drop(last);
    });
}
