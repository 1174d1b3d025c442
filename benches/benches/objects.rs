//! `cargo bench -p benches --bench objects [-- --save] [-- --rounds N] [-- NAME]`: what kernel objects cost, against what the host has
//! for the same.
//!
//! Each row is measured on both sides in turn, several rounds. Objects are used by tasks of a machine with one CPU. Where two take
//! turns, the host's threads run on one CPU as well: that is where they are fastest.

#[path = "objects/vmo.rs"]
mod vmo;

use std::{
    array, fs,
    hint::black_box,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    process::ExitCode,
    sync::Arc,
    thread,
    time::Instant,
};

use benches::{
    chart,
    options::{self, Options},
    page,
    report::{self, Row, Target},
};
use futures::FutureExt;
use hal::cpu::{self, Config, Cpus};
use kernel_objects::{
    Channel, Event, Handle, HandleTable, HandleValue, KernelObject, Message, Port, Rights, Signals,
    channel::{ReadError, ReadOptions, Room},
};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        eventfd::EventFd,
    },
    unistd::Pid,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What is measured: its name, what is to be reached, and a round of either side, in nanoseconds an operation.
struct Pair {
    name: &'static str,
    target: Target,
    native: fn() -> Result<f64>,
    inside: fn() -> Result<f64>,
}

/// At least 0.9 of the speed of a plain copy.
const AS_A_COPY: Target = Target::Ratio(1.0 / 0.9);

const PAIRS: [Pair; 11] = [
    Pair {
        name: "channel write + read 64 B",
        target: Target::Ratio(0.5),
        native: pipe,
        inside: channel,
    },
    Pair {
        name: "ping-pong",
        target: Target::Ratio(0.05),
        native: socketpair_threads,
        inside: channel_tasks,
    },
    Pair {
        name: "event signal + wait",
        target: Target::Ratio(0.05),
        native: eventfd_threads,
        inside: event_tasks,
    },
    Pair { name: "port queue + wait", target: Target::Ratio(0.5), native: epoll, inside: port },
    Pair {
        name: "VMO read 4 KiB",
        target: AS_A_COPY,
        native: vmo::small_copy,
        inside: vmo::small_read,
    },
    Pair {
        name: "VMO write 4 KiB",
        target: AS_A_COPY,
        native: vmo::small_copy,
        inside: vmo::small_write,
    },
    Pair {
        name: "VMO read 1 MiB",
        target: AS_A_COPY,
        native: vmo::large_copy,
        inside: vmo::large_read,
    },
    Pair {
        name: "VMO write 1 MiB",
        target: AS_A_COPY,
        native: vmo::large_copy,
        inside: vmo::large_write,
    },
    Pair {
        name: "VMO create + commit + drop 64 KiB",
        target: Target::Ratio(1.0),
        native: vmo::mapping,
        inside: vmo::committed,
    },
    Pair {
        name: "VMO snapshot 1 MiB",
        target: Target::Ratio(0.1),
        native: vmo::large_copy,
        inside: vmo::snapshot,
    },
    Pair {
        name: "handle lookup",
        target: Target::Time(20.0),
        native: vec_index,
        inside: handle_lookup,
    },
];

/// A round's figure is that of the best of so many batches.
const BATCHES: usize = 15;

fn main() -> ExitCode {
    options::run(5, |options| {
        // As `libos` does: locks that favour a single CPU need it.
        hal::context::prepare()?;
        measure(options)
    })
}

fn measure(options: &Options) -> Result<()> {
    let wanted = |pair: &&Pair| options.wants(pair.name);
    let pairs: Vec<&Pair> = PAIRS.iter().filter(wanted).collect();
    let row = |pair: &&Pair| Row {
        name: pair.name.into(),
        target: pair.target,
        native: Vec::new(),
        inside: Vec::new(),
    };
    let mut rows: Vec<Row> = pairs.iter().map(row).collect();
    for _ in 0..options.rounds {
        for (pair, row) in pairs.iter().zip(&mut rows) {
            row.native.push((pair.native)()?);
            row.inside.push((pair.inside)()?);
        }
    }
    print!("{}", report::table(&rows));
    let folder = page::folder().map_err(|error| error.to_string())?;
    fs::write(folder.join("objects.csv"), report::csv(&rows))?;
    chart::write(&folder.join("objects.svg"), &rows).map_err(|error| error.to_string())?;
    if options.save {
        let how = format!(
            "{} rounds, the host's and ours in turn, medians of rounds (a round: its best batch of {BATCHES}).",
            options.rounds
        );
        let body = format!("![ratios](objects.svg)\n\n{}", report::markdown(&rows));
        page::save("objects", "Kernel objects", &how, &body, &["objects.svg"])
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Nanoseconds an operation, in the best of the batches.
fn best(count: u32, mut operation: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..BATCHES {
        let begin = Instant::now();
        for _ in 0..count {
            operation()?;
        }
        best = best.min(begin.elapsed().as_nanos() as f64 / f64::from(count));
    }
    Ok(best)
}

/// As [`best`], in a task.
fn best_in_task(count: u32, operation: impl FnMut() -> Result<()> + Send + 'static) -> Result<f64> {
    let cpus = Cpus::start(Config { cpus: 1, ..Config::default() })?;
    cpus.block_on(cpus.spawn(async move { best(count, operation) }))
}

fn pipe() -> Result<f64> {
    let (mut reader, mut writer) = io::pipe()?;
    let (data, mut buffer) = ([7; 64], [0; 64]);
    best(5_000, || {
        writer.write_all(black_box(&data))?;
        reader.read_exact(&mut buffer)?;
        black_box(&buffer);
        Ok(())
    })
}

/// As a process does it: through handles, into its own memory.
fn channel() -> Result<f64> {
    let (table, a, b) = channel_ends()?;
    let (data, mut buffer) = ([7; 64], [0; 64]);
    best_in_task(20_000, move || {
        table.channel_write(a, black_box(&data).to_vec(), &[])?;
        let received = table.channel_read(b, Room::ANY, ReadOptions::empty())?;
        buffer.copy_from_slice(&received.bytes);
        black_box(&buffer);
        Ok(())
    })
}

fn channel_ends() -> Result<(HandleTable, HandleValue, HandleValue)> {
    let (table, (a, b)) = (HandleTable::new(), Channel::create());
    let (a, b) = (table.insert(Handle::new(a))?, table.insert(Handle::new(b))?);
    Ok((table, a, b))
}

/// Runs `other` in a thread beside `this`, both on one CPU.
fn on_one_cpu(
    this: impl FnOnce() -> Result<f64> + Send,
    other: impl FnOnce() -> Result<()> + Send,
) -> Result<f64> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let first = (0..CpuSet::count()).find(|&cpu| allowed.is_set(cpu).unwrap_or(false));
    let mut one = CpuSet::new();
    one.set(first.ok_or("no CPU")?)?;
    let pinned = || sched_setaffinity(Pid::from_raw(0), &one);
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            pinned()?;
            other()
        });
        let this = scope.spawn(|| {
            pinned()?;
            this()
        });
        let figure = this.join().map_err(|_| "a thread panicked")??;
        other.join().map_err(|_| "a thread panicked")??;
        Ok(figure)
    })
}

fn socketpair_threads() -> Result<f64> {
    let (mut here, mut there) = UnixStream::pair()?;
    let ping = move || {
        let mut buffer = [7; 64];
        best(1_000, || {
            here.write_all(&buffer)?;
            Ok(here.read_exact(&mut buffer)?)
        })
    };
    on_one_cpu(ping, move || {
        let mut buffer = [0; 64];
        // Until the other end closes.
        while there.read(&mut buffer)? == buffer.len() {
            there.write_all(&buffer)?;
        }
        Ok(())
    })
}

fn eventfd_threads() -> Result<f64> {
    let [request, reply]: [io::Result<Arc<EventFd>>; 2] =
        array::from_fn(|_| Ok(Arc::new(EventFd::new()?)));
    let (request, reply) = (request?, reply?);
    let rounds = BATCHES as u32 * 1_000;
    let (their_request, their_reply) = (request.clone(), reply.clone());
    let ping = move || {
        best(1_000, || {
            request.write(1)?;
            reply.read()?;
            Ok(())
        })
    };
    on_one_cpu(ping, move || {
        for _ in 0..rounds {
            their_request.read()?;
            their_reply.write(1)?;
        }
        Ok(())
    })
}

/// Awaits `count` rounds of `this` in a task while `other` runs in another, on one CPU, and times them; the best batch.
fn tasks<F, G>(count: u32, this: impl Fn() -> F, other: impl Fn(u32) -> G) -> Result<f64>
where
    F: Future<Output = Result<()>> + Send + 'static,
    G: Future<Output = Result<()>> + Send + 'static,
{
    let cpus = Cpus::start(Config { cpus: 1, ..Config::default() })?;
    let mut best = f64::INFINITY;
    for _ in 0..BATCHES {
        let (this, other) = (this(), other(count));
        let elapsed = cpus.block_on(cpus.spawn(async move {
            let begin = Instant::now();
            let other = cpu::spawn_on(0, other);
            this.await?;
            let elapsed = begin.elapsed();
            other.await.map(|()| elapsed)
        }))?;
        best = best.min(elapsed.as_nanos() as f64 / f64::from(count));
    }
    Ok(best)
}

/// The next message, when it is there.
async fn next(channel: &Channel) -> std::result::Result<Message, ReadError> {
    channel.wait_one(Signals::READABLE | Signals::PEER_CLOSED).await?;
    channel.read(Room::ANY, ReadOptions::empty())
}

fn channel_tasks() -> Result<f64> {
    const COUNT: u32 = 10_000;
    let (a, b) = Channel::create();
    let ping = || {
        let a = a.clone();
        async move {
            for _ in 0..COUNT {
                a.write(Message::new([7; 64], Vec::new()))?;
                black_box(&next(&a).await?);
            }
            Ok(())
        }
    };
    let pong = |count| {
        let b = b.clone();
        async move {
            for _ in 0..count {
                b.write(next(&b).await?)?;
            }
            Ok(())
        }
    };
    tasks(COUNT, ping, pong)
}

/// Sets an event.
fn set(event: &Event) -> Result<()> {
    Ok(event.signal(Signals::empty(), Signals::SIGNALED)?)
}

/// Waits for an event and clears it.
async fn take(event: &Event) -> Result<()> {
    event.wait_one(Signals::SIGNALED).await?;
    Ok(event.signal(Signals::SIGNALED, Signals::empty())?)
}

fn event_tasks() -> Result<f64> {
    const COUNT: u32 = 10_000;
    let (request, reply) = (Event::create(), Event::create());
    let ping = || {
        let (request, reply) = (request.clone(), reply.clone());
        async move {
            for _ in 0..COUNT {
                set(&request)?;
                take(&reply).await?;
            }
            Ok(())
        }
    };
    let pong = |count| {
        let (request, reply) = (request.clone(), reply.clone());
        async move {
            for _ in 0..count {
                take(&request).await?;
                set(&reply)?;
            }
            Ok(())
        }
    };
    tasks(COUNT, ping, pong)
}

/// Edge-triggered, so that the counter need not be read.
fn epoll() -> Result<f64> {
    let (epoll, event) = (Epoll::new(EpollCreateFlags::empty())?, EventFd::new()?);
    epoll.add(&event, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 7))?;
    let mut events = [EpollEvent::empty()];
    best(5_000, || {
        event.write(1)?;
        match epoll.wait(&mut events, EpollTimeout::ZERO)? {
            1 => Ok(()),
            _ => Err("no event".into()),
        }
    })
}

fn port() -> Result<f64> {
    let port = Port::create();
    best_in_task(20_000, move || {
        port.queue(7, 0, black_box([0; 32]))?;
        match port.wait().now_or_never() {
            Some(packet) => {
                black_box(packet);
                Ok(())
            }
            None => Err("no packet".into()),
        }
    })
}

/// How many objects lookups choose from.
const OBJECTS: usize = 1024;

fn vec_index() -> Result<f64> {
    let events: Vec<Arc<Event>> = (0..OBJECTS).map(|_| Event::create()).collect();
    let mut index = 0;
    best_in_task(50_000, move || {
        index = (index + 389) % OBJECTS;
        black_box(events[black_box(index)].clone());
        Ok(())
    })
}

fn handle_lookup() -> Result<f64> {
    let table = HandleTable::new();
    let values: kernel_objects::Result<Vec<HandleValue>> =
        (0..OBJECTS).map(|_| table.insert(Handle::new(Event::create()))).collect();
    let values = values?;
    let mut index = 0;
    best_in_task(50_000, move || {
        index = (index + 389) % OBJECTS;
        black_box(table.get::<Event>(black_box(values[index]), Rights::SIGNAL)?);
        Ok(())
    })
}
