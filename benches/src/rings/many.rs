//! Four producers on two CPUs and one consumer: more threads than CPUs, as it is in practice.

use std::{
    hint::black_box,
    sync::{Arc, Barrier},
    thread,
};

use super::{Against, Contestant, Figures, Result, Target, Task, measure, pin};

/// Entries in a sample, of all producers together.
const COUNT: u64 = 400_000;
const PRODUCERS: usize = 4;
const CAPACITY: usize = 1024;

/// The task.
pub fn task() -> Task {
    let target =
        |other| Target { of: "evering", limit: 1.0 / 1.3, against: Against::Contestant(other) };
    Task {
        name: "four producers on two CPUs, 8 bytes",
        contestants: vec![
            Contestant { name: "evering", sample: evering },
            Contestant { name: "crossbeam ArrayQueue", sample: array_queue },
            Contestant { name: "tokio mpsc", sample: tokio },
        ],
        targets: vec![target("crossbeam ArrayQueue"), target("tokio mpsc")],
    }
}

/// Every producer has a clone of `sender` and sends its share; who finds no room, or nothing, lets others run.
fn gather<S: Clone + Send>(
    sender: S,
    send: impl Fn(&mut S, u64) -> bool + Sync,
    mut receive: impl FnMut() -> Option<u64>,
) -> Result<Figures> {
    let start = Barrier::new(PRODUCERS + 1);
    let share = COUNT / PRODUCERS as u64;
    thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let (mut sender, start, send) = (sender.clone(), &start, &send);
            scope.spawn(move || {
                let pinned = pin(producer % 2);
                start.wait();
                for n in 0..share {
                    while !send(&mut sender, n) {
                        thread::yield_now();
                    }
                }
                pinned
            });
        }
        pin(1)?;
        start.wait();
        measure(COUNT, || {
            let mut sum = 0;
            for _ in 0..COUNT {
                sum += loop {
                    match receive() {
                        Some(n) => break n,
                        None => thread::yield_now(),
                    }
                };
            }
            let expected = PRODUCERS as u64 * (share * (share - 1) / 2);
            if black_box(sum) == expected { Ok(()) } else { Err("something is missing".into()) }
        })
    })
}

fn evering() -> Result<Figures> {
    let (sender, mut receiver) = evering::mpsc::channel::<u64>(CAPACITY)?;
    gather(sender, |sender, n| sender.send(n).is_ok(), || receiver.recv().ok())
}

fn array_queue() -> Result<Figures> {
    let queue = Arc::new(crossbeam_queue::ArrayQueue::<u64>::new(CAPACITY));
    gather(queue.clone(), |queue, n| queue.push(n).is_ok(), || queue.pop())
}

fn tokio() -> Result<Figures> {
    let (sender, mut receiver) = ::tokio::sync::mpsc::channel::<u64>(CAPACITY);
    gather(sender, |sender, n| sender.try_send(n).is_ok(), || receiver.try_recv().ok())
}
