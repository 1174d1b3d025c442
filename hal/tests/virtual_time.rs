//! Virtual time by itself, in a process of its own: what waits is over at once and in order, and what works keeps its time.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use futures::future::join_all;
use hal::{
    cpu::{Config, Cpus, block_on, spawn_blocking},
    time::{Clock, boottime, hold, make_virtual, monotonic, realtime, sleep, timeout},
};

const HOUR: Duration = Duration::from_secs(3600);
const HOUR_NS: u64 = 3_600_000_000_000;

// One test, since the time is the process's.
#[test]
fn time_passes_only_while_somebody_works() {
    make_virtual().unwrap();
    make_virtual().unwrap();
    let begin = Instant::now();
    let clocks = || [monotonic(), boottime(), realtime(), Clock::MonotonicRaw.now()];
    let before = clocks();

    // Without any machine.
    block_on(sleep(HOUR));
    let after = clocks();
    for (before, after) in before.iter().zip(after) {
        assert!((HOUR_NS..HOUR_NS + HOUR_NS / 60).contains(&(after - before)));
    }

    // Sleepers on two CPUs, many times, end in order.
    let cpus = Cpus::start(Config { cpus: 2, stealing: true, ..Config::default() }).unwrap();
    for round in 0..200 {
        let order = Arc::new(Mutex::new(Vec::new()));
        // This thread is no CPU, and in nobody's count.
        let held = hold();
        let start = monotonic();
        let tasks: Vec<_> = [3, 1, 4, 2]
            .map(|hours| {
                let order = order.clone();
                cpus.handle().spawn_spread(async move {
                    hal::time::sleep_until(start + hours * HOUR_NS).await;
                    order.lock().unwrap().push(hours);
                })
            })
            .into();
        drop(held);
        cpus.block_on(join_all(tasks));
        assert_eq!(*order.lock().unwrap(), [1, 2, 3, 4], "round {round}");
    }

    // A job that blocks is work, and so is holding the time.
    let job = cpus.spawn(timeout(HOUR, async {
        spawn_blocking(|| thread::sleep(Duration::from_millis(50))).await;
    }));
    assert_eq!(cpus.block_on(job), Ok(()));
    let held = hold();
    let sleeper = cpus.spawn(sleep(HOUR));
    thread::sleep(Duration::from_millis(100));
    assert!(!sleeper.is_finished());
    drop(held);
    cpus.block_on(sleeper);

    // Deadlines that pass by themselves, next to others.
    let (sender, receiver) = std::sync::mpsc::channel();
    let start = monotonic();
    let busy = cpus.spawn_on(0, async move {
        let end = Instant::now() + Duration::from_millis(60);
        while Instant::now() < end {}
        sender.send(monotonic()).unwrap();
    });
    cpus.block_on(cpus.spawn_on(1, sleep(Duration::from_millis(20))));
    cpus.block_on(busy);
    assert!(receiver.recv().unwrap() - start >= 55_000_000);

    drop(cpus);
    block_on(sleep(HOUR));
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
}
