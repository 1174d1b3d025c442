//! What the executor costs: handing over between tasks, yielding, spawning, sleeping, and waking another CPU.
//!
//! The figure to keep is `hand over`: one switch between two tasks of one CPU, by wakers, without a host call.
//! What stays on one CPU is measured in that CPU's time, so that a busy machine does not distort it.

use std::{
    future::poll_fn,
    hint::black_box,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use criterion::{Criterion, criterion_group, criterion_main};
use futures::future::join;
use hal::{
    cpu::{self, Config, Cpus},
    time::{self, Clock},
};
use parking_lot::Mutex;

fn start(cpus: usize) -> Cpus {
    Cpus::start(Config { cpus, ..Config::default() }).expect("no CPUs")
}

/// Whose turn it is of two players, and how to wake the other.
#[derive(Default)]
struct Turn {
    whose: AtomicUsize,
    wakers: [Mutex<Option<Waker>>; 2],
}

impl Turn {
    async fn play(self: Arc<Self>, me: usize, rounds: u64) {
        for _ in 0..rounds {
            poll_fn(|cx| {
                if self.whose.load(Ordering::Acquire) == me {
                    return Poll::Ready(());
                }
                *self.wakers[me].lock() = Some(cx.waker().clone());
                match self.whose.load(Ordering::Acquire) == me {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
            self.whose.store(1 - me, Ordering::Release);
            let waker = self.wakers[1 - me].lock().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

/// `rounds` switches between a task on the first CPU and one on the last.
fn ping_pong(cpus: &Cpus, rounds: u64) -> Duration {
    let turn = Arc::new(Turn::default());
    let clock = if cpus.count() == 1 { Clock::ThreadCpu } else { Clock::Monotonic };
    let last = cpus.count() - 1;
    cpus.block_on(cpus.spawn_on(0, async move {
        let begin = clock.now();
        let a = cpu::spawn_on(0, turn.clone().play(0, rounds.div_ceil(2)));
        let b = cpu::spawn_on(last, turn.play(1, rounds.div_ceil(2)));
        join(a, b).await;
        Duration::from_nanos(clock.now() - begin)
    }))
}

/// Runs `rounds` of something in a task and times it there.
fn timed<F, Fut>(cpus: &Cpus, rounds: u64, round: F) -> Duration
where
    F: Fn() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    cpus.block_on(cpus.spawn(async move {
        let begin = time::thread_cpu();
        for _ in 0..rounds {
            round().await;
        }
        Duration::from_nanos(time::thread_cpu() - begin)
    }))
}

fn executor(c: &mut Criterion) {
    let one = start(1);
    c.bench_function("hand over to another task", |b| {
        b.iter_custom(|rounds| ping_pong(&one, rounds));
    });
    c.bench_function("hand over with a timer pending", |b| {
        let sleeper = one.spawn(time::sleep(Duration::from_secs(3600)));
        b.iter_custom(|rounds| ping_pong(&one, rounds));
        drop(sleeper);
    });
    c.bench_function("yield alone", |b| {
        b.iter_custom(|rounds| timed(&one, rounds, cpu::yield_now));
    });
    c.bench_function("spawn and await", |b| {
        b.iter_custom(|rounds| timed(&one, rounds, || cpu::spawn(async {})));
    });
    c.bench_function("need_resched", |b| {
        b.iter_custom(|rounds| {
            timed(&one, rounds, || {
                black_box(cpu::need_resched());
                std::future::ready(())
            })
        });
    });
    c.bench_function("start a sleep and drop it", |b| {
        b.iter_custom(|rounds| {
            let deadline = time::monotonic() + 3_600_000_000_000;
            timed(&one, rounds, move || {
                let mut sleep = time::sleep_until(deadline);
                let mut context = Context::from_waker(Waker::noop());
                assert!(Pin::new(&mut sleep).poll(&mut context).is_pending());
                std::future::ready(())
            })
        });
    });
    c.bench_function("read the monotonic clock", |b| {
        b.iter_custom(|rounds| {
            timed(&one, rounds, || {
                black_box(time::monotonic());
                std::future::ready(())
            })
        });
    });
    let two = start(2);
    c.bench_function("wake a task of another CPU", |b| {
        b.iter_custom(|rounds| ping_pong(&two, rounds));
    });
    c.bench_function("call on the blocking pool", |b| {
        b.iter(|| cpu::block_on(cpu::spawn_blocking(|| black_box(1))));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20);
    targets = executor
}
criterion_main!(benches);
