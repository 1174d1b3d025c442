//! Every object of signalling and IPC at once, used by the tasks of eight threads that take work from each other.
//!
//! Nothing here has a deadline of its own: a wake-up that is lost is a task that never ends, which the one deadline of all finds.
//! What goes in must come out, once, and nothing may be left when all is over.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicU64, Ordering::SeqCst},
    },
    task::Poll,
};

use futures::{FutureExt, future::join_all};
use hal::{
    cpu::{self, Config, Cpus, Task},
    time::monotonic,
};
use kernel_objects::{
    Channel, Counter, Error, Event, EventPair, Fifo, FutexTable, Handle, HandleTable, Job,
    KernelObject, Message, Port, Process, Rights, Signals, Socket, Thread, Timer,
    channel::{ReadOptions, Room},
    clock::ClockId,
    deadline::until,
    handle::live_handles,
    object::live_objects,
    port::{Payload, WaitAsync},
    socket::{self, SocketKind},
    task::SlackMode,
    wait_many::wait_many,
};

const THREADS: usize = 8;
/// How many tasks do the same.
const TASKS: usize = 4;
const ROUNDS: u64 = 30_000;

const READABLE: Signals = Signals::READABLE.union(Signals::PEER_CLOSED);
const WRITABLE: Signals = Signals::WRITABLE.union(Signals::PEER_CLOSED);

type Tasks = Vec<Task<()>>;

/// Spawns one of each for every task, with its number.
fn start<F: Future<Output = ()> + Send + 'static>(task: impl FnMut(u64) -> F) -> Tasks {
    (0..TASKS as u64).map(task).map(cpu::spawn).collect()
}

async fn ready(object: &dyn KernelObject, signals: Signals) {
    assert!(object.wait_one(signals).await.is_ok());
}

/// Begins what `future` does and gives it up, unless it ends at once.
async fn give_up<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Each task has a user signal of its own and takes turns by it with another, over an event pair.
fn event_pairs() -> Tasks {
    let (a, b) = EventPair::create();
    let signal = |i: u64| Signals::from_bits_retain(1 << (24 + i));
    let turns = |first: bool, mine: Arc<EventPair>, signal: Signals| async move {
        for _ in 0..ROUNDS {
            if first {
                mine.signal_peer(Signals::empty(), signal).unwrap();
            }
            let _ = give_up(mine.wait_one(signal)).await;
            ready(&*mine, signal).await;
            mine.signal(signal, Signals::empty()).unwrap();
            if !first {
                mine.signal_peer(Signals::empty(), signal).unwrap();
            }
        }
    };
    let mut tasks = start(|i| turns(true, a.clone(), signal(i)));
    tasks.extend(start(|i| turns(false, b.clone(), signal(i))));
    tasks
}

/// Who takes a token waits for it through many events, and puts it back elsewhere.
fn wait_many_tokens() -> Tasks {
    let events: Arc<Vec<_>> = Arc::new((0..20).map(|_| Event::create()).collect());
    let token = Arc::new(AtomicU64::new(0));
    events[0].signal(Signals::empty(), Signals::SIGNALED).unwrap();
    start(|_| {
        let (events, token) = (events.clone(), token.clone());
        async move {
            let mut taken = 0;
            while taken < ROUNDS / 10 {
                let items = events.iter().map(|e| (&**e as &dyn KernelObject, Signals::SIGNALED));
                let pending = wait_many(items).await.unwrap();
                let Some(at) = pending.iter().position(|seen| !seen.is_empty()) else { continue };
                // Others see the signal as well; the number says who is first.
                let number = token.load(SeqCst);
                if number as usize % events.len() != at
                    || token.compare_exchange(number, number + 1, SeqCst, SeqCst).is_err()
                {
                    cpu::yield_now().await;
                    continue;
                }
                taken += 1;
                events[at].signal(Signals::SIGNALED, Signals::empty()).unwrap();
                events[(at + 1) % events.len()]
                    .signal(Signals::empty(), Signals::SIGNALED)
                    .unwrap();
            }
        }
    })
}

/// Messages with a number, some with a handle, until the last writer closes its end.
fn channels(sum: &Arc<AtomicU64>) -> Tasks {
    let (writer, reader) = Channel::create();
    let event = Event::create();
    let end = Handle::new(writer.clone());
    let mut tasks = start(|i| {
        let (writer, event) = (writer.clone(), event.clone());
        let mine = Handle::new(end.object().clone());
        async move {
            for n in 0..ROUNDS {
                let handles = if n % 8 == 0 { vec![Handle::new(event.clone())] } else { vec![] };
                let number = (n * TASKS as u64 + i).to_ne_bytes();
                writer.write(Message::new(number, handles)).unwrap();
                if n % 64 == 0 {
                    cpu::yield_now().await;
                }
            }
            drop(mine);
        }
    });
    drop(end);
    tasks.extend(start(|_| {
        let (reader, sum) = (reader.clone(), sum.clone());
        async move {
            loop {
                match reader.read(Room::ANY, ReadOptions::empty()) {
                    Ok(message) => {
                        sum.fetch_add(number(&message.bytes), SeqCst);
                    }
                    Err(error) if Error::from(error) == Error::ShouldWait => {
                        ready(&*reader, READABLE).await;
                    }
                    Err(error) => {
                        assert_eq!(Error::from(error), Error::PeerClosed);
                        return;
                    }
                }
            }
        }
    }));
    tasks
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(*bytes.first_chunk().unwrap())
}

/// Calls through handles, some of which are given up: their answers are messages then.
fn calls(answered: &Arc<AtomicU64>) -> Tasks {
    let (client, server) = Channel::create();
    let end = Handle::new(client.clone());
    let mut tasks = start(|i| {
        let (client, answered) = (client.clone(), answered.clone());
        let mine = Handle::new(end.object().clone());
        async move {
            for n in 0..ROUNDS {
                let request =
                    || Message::new([[0; 4], (n as u32 + i as u32).to_ne_bytes()].concat(), vec![]);
                if n % 5 == 0 && give_up(client.call(request(), Room::ANY)).await.is_none() {
                    continue;
                }
                let answer = client.call(request(), Room::ANY).await.unwrap();
                assert_eq!(answer.bytes[4..], request().bytes[4..]);
                answered.fetch_add(1, SeqCst);
            }
            drop(mine);
        }
    });
    drop(end);
    tasks.extend(start(|_| {
        let server = server.clone();
        async move {
            loop {
                match server.read(Room::ANY, ReadOptions::empty()) {
                    // It may have closed since.
                    Ok(request) => _ = server.write(request),
                    Err(error) if Error::from(error) == Error::ShouldWait => {
                        ready(&*server, READABLE).await;
                    }
                    Err(_) => return,
                }
            }
        }
    }));
    tasks
}

/// Elements with a number through a FIFO that is full and empty again all the time.
fn fifos(sum: &Arc<AtomicU64>) -> Tasks {
    let (writer, reader) = Fifo::create(16, 8).unwrap();
    let end = Handle::new(writer.clone());
    let mut tasks = start(|i| {
        let writer = writer.clone();
        let mine = Handle::new(end.object().clone());
        async move {
            for n in 0..ROUNDS {
                let element = (n * TASKS as u64 + i).to_ne_bytes();
                while writer.write(8, &element) == Err(Error::ShouldWait) {
                    ready(&*writer, WRITABLE).await;
                }
            }
            drop(mine);
        }
    });
    drop(end);
    tasks.extend(start(|_| {
        let (reader, sum) = (reader.clone(), sum.clone());
        async move {
            loop {
                let mut elements = [0; 24];
                match reader.read(8, &mut elements) {
                    Ok(count) => elements.chunks_exact(8).take(count).for_each(|element| {
                        sum.fetch_add(number(element), SeqCst);
                    }),
                    Err(Error::ShouldWait) => ready(&*reader, READABLE).await,
                    Err(error) => return assert_eq!(error, Error::PeerClosed),
                }
            }
        }
    }));
    tasks
}

/// Datagrams with a number, which fill the socket.
fn sockets(sum: &Arc<AtomicU64>) -> Tasks {
    const SIZE: usize = 20_000;
    let (writer, reader) = Socket::create(SocketKind::Datagram);
    let end = Handle::new(writer.clone());
    let mut tasks = start(|i| {
        let writer = writer.clone();
        let mine = Handle::new(end.object().clone());
        async move {
            let mut datagram = vec![0; SIZE];
            for n in 0..ROUNDS {
                datagram[..8].copy_from_slice(&(n * TASKS as u64 + i).to_ne_bytes());
                while writer.write(&datagram) == Err(Error::ShouldWait) {
                    ready(&*writer, WRITABLE).await;
                }
            }
            drop(mine);
        }
    });
    drop(end);
    tasks.extend(start(|_| {
        let (reader, sum) = (reader.clone(), sum.clone());
        async move {
            loop {
                let mut start = [0; 8];
                match reader.read(&mut start, socket::ReadOptions::empty()) {
                    Ok(count) => {
                        assert_eq!(count, 8);
                        sum.fetch_add(number(&start), SeqCst);
                    }
                    Err(Error::ShouldWait) => ready(&*reader, READABLE).await,
                    Err(error) => return assert_eq!(error, Error::PeerClosed),
                }
            }
        }
    }));
    tasks
}

/// Packets of users and of events; each operation ends by its packet or by a cancel.
fn ports(sum: &Arc<AtomicU64>) -> Tasks {
    const END: u64 = u64::MAX;
    let port = Port::with_capacity(64);
    let senders = Arc::new(AtomicU64::new(TASKS as u64));
    let mut tasks = start(|i| {
        let (port, senders, sum) = (port.clone(), senders.clone(), sum.clone());
        async move {
            let event = Event::create();
            let object: Arc<dyn KernelObject> = event.clone();
            for n in 0..ROUNDS {
                let key = n * TASKS as u64 + i;
                if n % 2 == 0 {
                    while port.queue(key, 0, [0; 32]) == Err(Error::ShouldWait) {
                        cpu::yield_now().await;
                    }
                    continue;
                }
                port.wait_async(&object, key, Signals::SIGNALED, WaitAsync::EDGE).unwrap();
                event.signal(Signals::empty(), Signals::SIGNALED).unwrap();
                event.signal(Signals::SIGNALED, Signals::empty()).unwrap();
                if n % 3 == 0 && port.cancel_key(key).is_ok() {
                    sum.fetch_add(key, SeqCst); // as if it had been read
                }
            }
            if senders.fetch_sub(1, SeqCst) == 1 {
                for _ in 0..TASKS {
                    while port.queue(END, 0, [0; 32]) == Err(Error::ShouldWait) {
                        cpu::yield_now().await;
                    }
                }
            }
        }
    });
    tasks.extend(start(|_| {
        let (port, sum) = (port.clone(), sum.clone());
        async move {
            loop {
                let packet = match give_up(port.wait()).await {
                    Some(packet) => packet,
                    None => port.wait().await,
                };
                match packet.payload {
                    Payload::User(_) if packet.key == END => return,
                    Payload::Signal(signal) => assert_eq!(signal.observed, Signals::SIGNALED),
                    payload => assert!(matches!(payload, Payload::User(_))),
                }
                sum.fetch_add(packet.key, SeqCst);
            }
        }
    }));
    tasks
}

/// A lock made of a futex: 0 free, 1 held, 2 held and waited for.
struct Lock {
    table: FutexTable,
    word: AtomicI32,
    /// Only ever changed by its holder, in two steps.
    value: AtomicU64,
}

impl Lock {
    const AT: u64 = 0x1000;

    async fn lock(&self, thread: &Arc<Thread>) {
        if self.word.compare_exchange(0, 1, SeqCst, SeqCst).is_ok() {
            return;
        }
        while self.word.swap(2, SeqCst) != 0 {
            let wait =
                || self.table.wait(thread, Self::AT, || Ok(self.word.load(SeqCst) == 2), Ok(None));
            // A wait that is given up passes on a wake that it has got.
            drop(wait());
            if let Ok(wait) = wait() {
                wait.await;
            }
        }
    }

    fn unlock(&self) {
        if self.word.swap(0, SeqCst) == 2 {
            self.table.wake(Self::AT, 1).unwrap();
        }
    }
}

fn futexes(lock: &Arc<Lock>) -> Tasks {
    let process = Process::create(&Job::root(), "p").unwrap();
    let mut tasks = Tasks::new();
    for _ in 0..2 {
        tasks.extend(start(|_| {
            let (lock, thread) = (lock.clone(), Thread::create(&process, "t").unwrap());
            async move {
                for n in 0..ROUNDS {
                    lock.lock(&thread).await;
                    let value = lock.value.load(SeqCst);
                    if n % 16 == 0 {
                        cpu::yield_now().await;
                    }
                    lock.value.store(value + 1, SeqCst);
                    lock.unlock();
                }
            }
        }));
    }
    tasks
}

/// Timers of their own that fire, and one that all of them set and cancel.
fn timers() -> Tasks {
    let timer = || Timer::create(SlackMode::Center, ClockId::Monotonic);
    let shared = timer();
    start(|i| {
        let (shared, mine) = (shared.clone(), timer());
        async move {
            for n in 0..ROUNDS / 10 {
                mine.set(monotonic() + n % 7 * 1000, 500).unwrap();
                match (n + i) % 3 {
                    0 => shared.cancel(),
                    1 => shared.set(monotonic() + 2000, 0).unwrap(),
                    _ => shared.set(0, 0).unwrap(),
                }
                ready(&*mine, Signals::SIGNALED).await;
            }
            shared.cancel();
        }
    })
}

/// What some add others take away again.
fn counters(counter: &Arc<Counter>) -> Tasks {
    let mut tasks = start(|_| {
        let counter = counter.clone();
        async move {
            for n in 0..ROUNDS {
                counter.add(1).unwrap();
                if n % 16 == 0 {
                    cpu::yield_now().await;
                }
            }
        }
    });
    tasks.extend(start(|_| {
        let counter = counter.clone();
        async move {
            for _ in 0..ROUNDS {
                if give_up(counter.wait_one(Signals::COUNTER_POSITIVE)).await.is_none() {
                    cpu::yield_now().await;
                }
                counter.add(-1).unwrap();
            }
        }
    }));
    tasks
}

/// A table in which values are made, used, duplicated, sent and closed.
fn handles(table: &Arc<HandleTable>) -> Tasks {
    start(|_| {
        let table = table.clone();
        async move {
            for n in 0..ROUNDS {
                let event = Event::create();
                let value = table.insert(Handle::new(event.clone())).unwrap();
                let copy = table.duplicate(value, Rights::SAME_RIGHTS).unwrap();
                let mut wait = Box::pin(table.wait_one(copy, Signals::SIGNALED));
                assert!((&mut wait).now_or_never().is_none());
                table.get::<Event>(value, Rights::SIGNAL).unwrap();
                if n % 2 == 0 {
                    assert_eq!(table.close_many(&[value, copy]), Ok(()));
                } else {
                    drop(table.take_to_transfer(&[copy, value]).unwrap());
                }
                assert_eq!(wait.await, Err(Error::Canceled));
                assert_eq!(event.handle_count(), 0);
                if n % 32 == 0 {
                    cpu::yield_now().await;
                }
            }
        }
    })
}

#[test]
fn eight_threads_use_every_object_at_once_and_nothing_is_lost_or_left() {
    let before = (live_objects(), live_handles());
    let cpus = Cpus::start(Config { cpus: THREADS, stealing: true, ..Config::default() }).unwrap();
    let total = || Arc::new(AtomicU64::new(0));
    let (sent, passed, told, packets, answered) = (total(), total(), total(), total(), total());
    let lock = Arc::new(Lock {
        table: FutexTable::new(),
        word: AtomicI32::new(0),
        value: AtomicU64::new(0),
    });
    let (counter, table) = (Counter::create(), Arc::new(HandleTable::new()));
    cpus.block_on(async {
        let all = [
            event_pairs(),
            wait_many_tokens(),
            channels(&sent),
            calls(&answered),
            fifos(&passed),
            sockets(&told),
            ports(&packets),
            futexes(&lock),
            timers(),
            counters(&counter),
            handles(&table),
        ];
        let all = join_all(all.into_iter().flatten()).map(Ok);
        assert!(until(monotonic() + 300_000_000_000, all).await.is_ok(), "a wake-up was lost");
    });

    let count = ROUNDS * TASKS as u64;
    let sum = (0..count).sum::<u64>();
    assert_eq!([sent, passed, told, packets].map(|total| total.load(SeqCst)), [sum; 4]);
    assert!(answered.load(SeqCst) >= count * 4 / 5);
    assert_eq!(lock.value.load(SeqCst), 2 * count);
    assert_eq!((lock.table.waiters(), counter.read(), table.len()), (0, 0, 0));
    drop((lock, counter, table, cpus));
    assert_eq!((live_objects(), live_handles()), before);
}
