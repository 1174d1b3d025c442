//! Models: whole objects, used by several threads in every order that a scheduler comes up with.
//!
//! The one idea: here the locks and atomics of the objects are the model checker's (see `sync`), which decides at each of them who goes on.
//! Half of the orders are drawn at random; the other half by priorities that change at a few random points (PCT), which finds what needs
//! only a few unlucky switches. A wake-up that is lost is a deadlock, which is reported with the order that led there.

mod channel;
mod futex;
mod handle;
mod pair;
mod port;
mod signals;
mod timer;
mod wait_many;
mod wait_queue;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use shuttle::{
    Config, Runner,
    future::block_on,
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

/// How many orders of each kind are tried, unless `OBJECT_MODELS` says otherwise.
const ORDERS: usize = 2000;

/// The same orders each time.
const SEED: u64 = 0x6b65_726e_656c;

/// How many times the priorities change at most.
const CHANGES: usize = 3;

fn model(run: impl Fn() + Send + Sync + 'static) {
    let orders = std::env::var("OBJECT_MODELS").map_or(ORDERS, |n| n.parse().unwrap());
    let run = Arc::new(run);
    let check = |scheduler: Box<dyn Scheduler + Send>| {
        let run = run.clone();
        Runner::new(scheduler, Config::new()).run(move || run());
    };
    check(Box::new(RandomScheduler::new_from_seed(SEED, orders)));
    check(Box::new(PctScheduler::new_from_seed(SEED, CHANGES, orders)));
}

/// Runs all of these at the same time, each on a thread, until all have ended.
macro_rules! race {
    ($($run:expr),+ $(,)?) => {
        shuttle::thread::scope(|scope| {
            $(scope.spawn($run);)+
        })
    };
}
use race;

/// Polls once, as a task that then goes away.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}
