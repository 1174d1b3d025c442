//! Entries from one CPU to another as fast as they go: what a ring carries.

use std::{hint::black_box, thread};

use super::{Against, Contestant, Figures, Result, Target, Task, measure, pin, spin};

/// Entries in a sample, and before it, by which every page of the ring has been touched.
const COUNT: u64 = 1_000_000;
const WARM_UP: u64 = 100_000;
const CAPACITY: usize = 1024;
const BATCH: usize = 32;

/// The task.
pub fn task() -> Task {
    let ratio = |of, limit, other| Target { of, limit, against: Against::Contestant(other) };
    Task {
        name: "one way, 8 bytes",
        contestants: vec![
            Contestant { name: "evering", sample: single },
            Contestant { name: "rtrb", sample: rtrb },
            Contestant { name: "evering, without a pause", sample: single_unpaused },
            Contestant { name: "rtrb, without a pause", sample: rtrb_unpaused },
            Contestant { name: "evering, batches of 32", sample: batches },
            Contestant { name: "rtrb, chunks of 32", sample: rtrb_chunks },
        ],
        targets: vec![
            ratio("evering", 0.4, "rtrb"),
            ratio("evering, without a pause", 0.4, "rtrb, without a pause"),
            Target { of: "evering, batches of 32", limit: 2.0, against: Against::Time },
            ratio("evering, batches of 32", 1.0, "rtrb, chunks of 32"),
        ],
    }
}

/// Sends the numbers from 0 on, each with its successors as `send` likes (it is told the next and gives back how many it sent),
/// while `receive` gives back how many came, and their sum.
fn stream(
    mut send: impl FnMut(u64) -> u64,
    mut receive: impl FnMut() -> (u64, u64) + Send,
) -> Result<Figures> {
    thread::scope(|scope| {
        let receiver = scope.spawn(move || -> Result<u64> {
            pin(1)?;
            let (mut count, mut sum) = (0, 0u64);
            while count < WARM_UP + COUNT {
                let (more, partial) = receive();
                count += more;
                sum = sum.wrapping_add(partial);
            }
            Ok(black_box(sum))
        });
        pin(0)?;
        let mut next = 0;
        while next < WARM_UP {
            next += send(next);
        }
        let left = WARM_UP + COUNT - next;
        measure(left, || {
            while next < WARM_UP + COUNT {
                next += send(next);
            }
            let sum = receiver.join().map_err(|_| "the receiver panicked")??;
            let all = WARM_UP + COUNT;
            if sum == all * (all - 1) / 2 { Ok(()) } else { Err("something is missing".into()) }
        })
    })
}

fn single() -> Result<Figures> {
    let (mut sender, mut receiver) = evering::channel::<u64>(CAPACITY)?;
    stream(
        |n| {
            spin(|| sender.send(n).ok());
            1
        },
        move || (1, spin(|| receiver.recv().ok())),
    )
}

fn rtrb() -> Result<Figures> {
    let (mut sender, mut receiver) = ::rtrb::RingBuffer::<u64>::new(CAPACITY);
    stream(
        |n| {
            spin(|| sender.push(n).ok());
            1
        },
        move || (1, spin(|| receiver.pop().ok())),
    )
}

/// Calls `attempt` until it gives something, without the hint to the CPU that it waits. Which of the two ends then
/// outruns the other is another matter, and with it the pace of both.
#[inline]
fn insist<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = attempt() {
            return found;
        }
    }
}

fn single_unpaused() -> Result<Figures> {
    let (mut sender, mut receiver) = evering::channel::<u64>(CAPACITY)?;
    stream(
        |n| {
            insist(|| sender.send(n).ok());
            1
        },
        move || (1, insist(|| receiver.recv().ok())),
    )
}

fn rtrb_unpaused() -> Result<Figures> {
    let (mut sender, mut receiver) = ::rtrb::RingBuffer::<u64>::new(CAPACITY);
    stream(
        |n| {
            insist(|| sender.push(n).ok());
            1
        },
        move || (1, insist(|| receiver.pop().ok())),
    )
}

fn batches() -> Result<Figures> {
    let (mut sender, mut receiver) = evering::channel::<u64>(CAPACITY)?;
    let (mut batch, mut room) = ([0; BATCH], [0; BATCH]);
    stream(
        |first| {
            let wanted = (BATCH as u64).min(WARM_UP + COUNT - first) as usize;
            batch.iter_mut().zip(first..).for_each(|(entry, n)| *entry = n);
            spin(|| sender.send_batch(&batch[..wanted]).ok()) as u64
        },
        move || {
            let count = spin(|| receiver.recv_batch(&mut room).ok());
            (count as u64, room[..count].iter().sum())
        },
    )
}

fn rtrb_chunks() -> Result<Figures> {
    let (mut sender, mut receiver) = ::rtrb::RingBuffer::<u64>::new(CAPACITY);
    stream(
        |first| {
            let wanted = (BATCH as u64).min(WARM_UP + COUNT - first);
            spin(|| (sender.slots() >= wanted as usize).then_some(()));
            let Ok(chunk) = sender.write_chunk_uninit(wanted as usize) else { return 0 };
            chunk.fill_from_iter(first..first + wanted) as u64
        },
        move || {
            let count = spin(|| Some(receiver.slots().min(BATCH)).filter(|&count| count > 0));
            let Ok(chunk) = receiver.read_chunk(count) else { return (0, 0) };
            let (one, other) = chunk.as_slices();
            let sum = one.iter().chain(other).sum();
            chunk.commit_all();
            (count as u64, sum)
        },
    )
}
