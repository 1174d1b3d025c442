//! Tests of the executor as a whole.

use std::{
    collections::HashSet,
    future::{self, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
    thread,
    time::Duration,
};

use futures::{channel::oneshot, future::join_all};
use parking_lot::Mutex;

use super::*;
use crate::time;

fn start(cpus: usize) -> Cpus {
    Cpus::start(Config { cpus, ..Config::default() }).unwrap()
}

fn start_stealing(cpus: usize) -> Cpus {
    Cpus::start(Config { cpus, stealing: true, ..Config::default() }).unwrap()
}

/// Two tasks that wake each other in turn; the oldest one-slot channel there is.
#[derive(Default)]
struct Turn {
    whose: AtomicUsize,
    wakers: [Mutex<Option<Waker>>; 2],
}

impl Turn {
    async fn play(self: Arc<Self>, me: usize, rounds: usize) {
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

#[test]
fn a_measured_task_knows_how_long_it_waited_for_its_cpu() {
    let cpus = start(1);
    let handle = cpus.handle();
    let (waited, again) = cpus.block_on(cpus.spawn(async move {
        let task = handle.spawn_measured(async {
            let begun = begin_stretch();
            (queued_until(begun), queued_until(begun))
        });
        let begin = time::monotonic();
        while time::monotonic() < begin + 1_000_000 {}
        task.await
    }));
    assert!(time::cycles_to_nanos(waited) >= 900_000);
    assert_eq!(again, 0, "it is told once a turn");
    assert_eq!(cpus.block_on(cpus.spawn(async { queued_until(begin_stretch()) })), 0);
}

#[test]
fn a_task_gives_its_result() {
    let cpus = start(2);
    assert_eq!(cpus.block_on(cpus.spawn(async { 6 * 7 })), 42);
}

#[test]
fn workers_are_named_and_know_their_cpu() {
    let cpus = start(3);
    for cpu in 0..3 {
        let (name, number) =
            cpus.block_on(cpus.spawn_on(cpu, async {
                (thread::current().name().map(String::from), current_cpu())
            }));
        assert_eq!((name, number), (Some(format!("cpu{cpu}")), Some(cpu)));
    }
    assert_eq!(current_cpu(), None);
}

#[test]
fn on_start_runs_on_each_worker() {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let on_start = || {
        assert!(thread::current().name().unwrap().starts_with("cpu"));
        STARTED.fetch_add(1, Ordering::Relaxed);
    };
    Cpus::start(Config { cpus: 3, on_start, ..Config::default() }).unwrap().shutdown();
    assert_eq!(STARTED.load(Ordering::Relaxed), 3);
}

#[test]
fn a_bad_number_of_cpus_is_refused() {
    for cpus in [0, MAX_CPUS + 1] {
        assert!(Cpus::start(Config { cpus, ..Config::default() }).is_err());
    }
}

#[test]
fn spawn_stays_on_the_current_cpu_and_spread_finds_an_idle_one() {
    let cpus = start(2);
    let (near, far) = cpus.block_on(cpus.spawn_on(1, async {
        let near = spawn(async { current_cpu() }).await;
        // Give the other worker the time to fall asleep.
        time::sleep(Duration::from_millis(50)).await;
        let far = spawn_spread(async { current_cpu() }).await;
        (near, far)
    }));
    assert_eq!((near, far), (Some(1), Some(0)));
}

#[test]
fn block_on_enters_the_machine() {
    let cpus = start(1);
    assert_eq!(cpus.block_on(async { spawn(async { current_cpu() }).await }), Some(0));
    assert!(Handle::current().is_none());
}

#[test]
fn dropping_a_task_cancels_it_and_detaching_does_not() {
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let cpus = start(1);
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Flag(dropped.clone());
    let task = cpus.spawn(async move {
        let _flag = flag;
        future::pending::<()>().await;
    });
    cpus.block_on(cpus.spawn(async {}));
    assert!(!dropped.load(Ordering::SeqCst));
    assert_eq!(cpus.block_on(task.cancel()), None);
    assert!(dropped.load(Ordering::SeqCst));

    let (sender, receiver) = oneshot::channel();
    cpus.spawn(async { sender.send(5).unwrap() }).detach();
    assert_eq!(cpus.block_on(receiver), Ok(5));
}

#[test]
fn a_panic_reaches_the_awaiter_and_the_cpu_goes_on() {
    let cpus = start(1);
    let task = cpus.spawn(async { panic!("in a task") });
    assert!(catch_unwind(AssertUnwindSafe(|| cpus.block_on(task))).is_err());
    cpus.spawn(async { panic!("in a detached task") }).detach();
    assert_eq!(cpus.block_on(cpus.spawn(async { 1 })), 1);
}

#[test]
fn tasks_that_wake_each_other_across_cpus_lose_no_wake_up() {
    for cpus in [start(1), start(2), start_stealing(2)] {
        let turn = Arc::new(Turn::default());
        let rounds = 20_000;
        let a = cpus.spawn(turn.clone().play(0, rounds));
        let b = cpus.spawn(turn.play(1, rounds));
        cpus.block_on(async { (a.await, b.await) });
    }
}

#[test]
fn wake_ups_from_outside_reach_a_sleeping_cpu() {
    let cpus = start(1);
    for _ in 0..2000 {
        let (sender, receiver) = oneshot::channel();
        let task = cpus.spawn(receiver);
        sender.send(()).unwrap();
        cpus.block_on(task).unwrap();
    }
}

#[test]
fn tasks_that_hand_over_for_ever_starve_neither_timers_nor_queue_nor_inbox() {
    let cpus = start(1);
    let turn = Arc::new(Turn::default());
    let players = [0, 1].map(|me| cpus.spawn_on(0, turn.clone().play(me, usize::MAX)));
    cpus.block_on(cpus.spawn_on(0, time::sleep(Duration::from_millis(1)))); // inbox and timers
    cpus.block_on(cpus.spawn_on(0, async { spawn(yield_now()).await })); // the queue
    drop(players);
}

#[test]
fn a_task_that_yields_for_ever_starves_no_timer() {
    let cpus = start(1);
    let spinner = cpus.spawn(async {
        loop {
            yield_now().await;
        }
    });
    cpus.block_on(cpus.spawn(time::sleep(Duration::from_millis(1))));
    drop(spinner);
}

#[test]
fn yield_now_takes_turns() {
    let cpus = start(1);
    let log = Arc::new(Mutex::new(Vec::new()));
    let player = |name: u8| {
        let log = log.clone();
        async move {
            for _ in 0..3 {
                log.lock().push(name);
                yield_now().await;
            }
        }
    };
    let (a, b) = (player(b'a'), player(b'b'));
    cpus.block_on(cpus.spawn(async {
        let tasks = [spawn(a), spawn(b)];
        join_all(tasks).await
    }));
    assert_eq!(*log.lock(), *b"ababab");
}

#[test]
fn runnable_and_need_resched_see_who_waits() {
    let cpus = start(1);
    cpus.block_on(cpus.spawn(async {
        assert!(!runnable() && !need_resched());
        let other = spawn(async {});
        assert!(runnable());
        // It is our turn for a while yet.
        assert!(!need_resched());
        let begin = time::monotonic();
        while !need_resched() {
            assert!(time::monotonic() - begin < 5_000_000_000, "the turn never ends");
        }
        other.await;
        assert!(!runnable() && !need_resched());
        request_resched();
        assert!(need_resched());
        yield_now().await;
        assert!(!need_resched());
    }));
    assert!(!runnable() && !need_resched());
}

#[test]
fn the_preemption_tick_ends_a_turn() {
    let cpus = start(1);
    cpus.block_on(cpus.spawn(async {
        crate::context::attach().unwrap();
        let begin = time::monotonic();
        while !need_resched() {
            assert!(time::monotonic() - begin < 5_000_000_000, "no tick came");
        }
        yield_now().await;
        assert!(!need_resched());
    }));
}

#[test]
fn need_resched_says_that_a_timer_is_due() {
    let cpus = start(1);
    cpus.block_on(cpus.spawn(async {
        let sleeper = spawn(time::sleep(Duration::from_millis(1)));
        yield_now().await;
        assert!(next_deadline().is_some());
        while !need_resched() {}
        yield_now().await;
        yield_now().await;
        assert!(sleeper.is_finished());
    }));
}

#[test]
fn a_task_that_a_timer_woke_comes_before_those_in_the_queue() {
    let cpus = start(1);
    let log = Arc::new(Mutex::new(Vec::new()));
    let note = |name: &'static str| {
        let log = log.clone();
        async move { log.lock().push(name) }
    };
    let (first, second, queued) = (note("first"), note("second"), note("queued"));
    cpus.block_on(cpus.spawn(async {
        let deadline = time::monotonic() + 1_000_000;
        let sleepers = [
            spawn(async move {
                time::sleep_until(deadline + 1).await;
                second.await;
            }),
            spawn(async move {
                time::sleep_until(deadline).await;
                first.await;
            }),
        ];
        yield_now().await;
        let queued = spawn(queued);
        while time::monotonic() <= deadline + 1 {}
        yield_now().await;
        join_all(sleepers).await;
        queued.await;
    }));
    assert_eq!(*log.lock(), ["first", "second", "queued"]);
}

#[test]
fn an_urgent_task_makes_the_running_one_give_way_and_overtakes_the_queue() {
    let cpus = start(1);
    let log = Arc::new(Mutex::new(Vec::new()));
    let note = |name: &'static str| {
        let log = log.clone();
        async move { log.lock().push(name) }
    };
    let (queued, urgent, running) = (note("queued"), note("urgent"), note("running"));
    cpus.block_on(cpus.spawn(async {
        let queued = spawn(queued);
        assert!(!need_resched());
        let urgent = spawn_urgent(urgent);
        assert!(need_resched());
        yield_now().await;
        running.await; // goes on where it was
        assert!(!need_resched());
        join_all([queued, urgent]).await;
    }));
    assert_eq!(*log.lock(), ["urgent", "running", "queued"]);
}

#[test]
fn tasks_that_timers_wake_again_and_again_get_no_more_than_their_share() {
    let cpus = start(1);
    let work = |nanos: u64| {
        let begin = time::monotonic();
        while time::monotonic() - begin < nanos {}
    };
    cpus.block_on(cpus.spawn(async move {
        // Two of them: one is always due when the other sleeps.
        let greedy = [(), ()].map(|()| {
            spawn(async move {
                loop {
                    time::sleep(Duration::from_micros(100)).await;
                    work(1_000_000);
                }
            })
        });
        for _ in 0..20 {
            yield_now().await; // hangs if they starve the queue
            work(1_000_000);
        }
        drop(greedy);
    }));
}

#[test]
fn a_due_timer_takes_the_cpu_from_a_task_before_the_tick() {
    const ROUNDS: u64 = 20;
    let cpus = start(1);
    let used = cpus.block_on(cpus.spawn(async {
        crate::context::attach().unwrap();
        let busy = spawn(async {
            loop {
                // Looks at the flag alone, as a guest that never calls would have it set.
                while !crate::context::need_resched() {}
                yield_now().await;
            }
        });
        let began = time::thread_cpu();
        for _ in 0..ROUNDS {
            time::sleep(Duration::from_millis(1)).await;
        }
        let used = time::thread_cpu() - began;
        drop(busy);
        used
    }));
    // CPU time, so that a busy host makes no difference; five milliseconds a round by the tick alone.
    assert!(used < ROUNDS * 2_500_000, "{used} ns");
}

#[test]
fn stealing_spreads_what_one_cpu_spawns_and_leaves_pinned_tasks() {
    let cpus = start_stealing(2);
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let gate = Arc::new(AtomicU64::new(0));
    cpus.block_on(cpus.spawn_on(0, async move {
        let tasks = [(), ()].map(|()| {
            let (seen, gate) = (seen.clone(), gate.clone());
            spawn(async move {
                seen.lock().insert(current_cpu());
                gate.fetch_add(1, Ordering::SeqCst);
                // Both at once: only two CPUs can.
                while gate.load(Ordering::SeqCst) < 2 {
                    thread::yield_now();
                }
            })
        });
        join_all(tasks).await;
        assert_eq!(seen.lock().len(), 2);
    }));
    let pinned = (0..100).map(|_| {
        cpus.spawn_on(1, async {
            for _ in 0..10 {
                assert_eq!(current_cpu(), Some(1));
                yield_now().await;
            }
        })
    });
    cpus.block_on(join_all(pinned.collect::<Vec<_>>()));
}

#[test]
fn a_task_that_yields_alone_stays_where_it_is() {
    let cpus = start_stealing(2);
    let moves = cpus.block_on(cpus.spawn(async {
        let (mut moves, mut last) = (0, current_cpu());
        for _ in 0..10_000 {
            yield_now().await;
            moves += usize::from(current_cpu() != last);
            last = current_cpu();
        }
        moves
    }));
    assert_eq!(moves, 0);
}

#[test]
fn stealing_runs_every_task_once() {
    let cpus = start_stealing(4);
    let count = Arc::new(AtomicUsize::new(0));
    let tasks = (0..10_000).map(|i| {
        let count = count.clone();
        cpus.spawn(async move {
            for _ in 0..i % 7 {
                yield_now().await;
            }
            count.fetch_add(1, Ordering::Relaxed);
        })
    });
    cpus.block_on(join_all(tasks.collect::<Vec<_>>()));
    assert_eq!(count.load(Ordering::Relaxed), 10_000);
}

#[test]
fn shutdown_drops_queued_and_sleeping_tasks() {
    let alive = Arc::new(());
    for stealing in [false, true] {
        let cpus = Cpus::start(Config { cpus: 2, stealing, ..Config::default() }).unwrap();
        for i in 0..100 {
            let alive = alive.clone();
            cpus.spawn(async move {
                let _alive = alive;
                loop {
                    match i % 2 {
                        0 => yield_now().await,
                        _ => time::sleep(Duration::from_secs(3600)).await,
                    }
                }
            })
            .detach();
        }
        cpus.shutdown();
        cpus.shutdown();
        // Spawned too late: dropped, on the pool.
        let late = alive.clone();
        cpus.spawn(async move { drop(late) }).detach();
    }
    let begin = time::monotonic();
    while Arc::strong_count(&alive) > 1 {
        assert!(time::monotonic() - begin < 5_000_000_000, "a task outlived its machine");
        thread::yield_now();
    }
}

#[test]
fn idle_cpus_use_no_cpu_time() {
    let cpus = start(2);
    let used = |cpus: &Cpus| -> u64 {
        (0..2).map(|cpu| cpus.block_on(cpus.spawn_on(cpu, async { time::thread_cpu() }))).sum()
    };
    let before = used(&cpus);
    thread::sleep(Duration::from_millis(200));
    assert!(used(&cpus) - before < 20_000_000);
}

/// Two tasks on two CPUs that pass the turn to and fro. Returns where each was for its last turn.
fn far_apart(cpus: &Cpus, rounds: usize) -> [usize; 2] {
    let turn = Arc::new(Turn::default());
    let tasks = [0, 1].map(|me| {
        let turn = turn.clone();
        cpus.spawn(async move {
            turn.play(me, rounds).await;
            current_cpu().unwrap()
        })
    });
    let ends = cpus.block_on(join_all(tasks));
    [ends[0], ends[1]]
}

#[test]
fn tasks_that_only_wake_each_other_come_together_on_one_cpu() {
    let cpus = start_stealing(2);
    let together = (0..10).filter(|_| {
        let [one, other] = far_apart(&cpus, 10_000);
        one == other
    });
    assert!(together.count() > 5);
    let cpus = start(2);
    let [one, other] = far_apart(&cpus, 100);
    assert_ne!(one, other, "without stealing, tasks stay");
}

#[test]
fn who_is_woken_by_a_task_that_goes_on_is_not_kept_waiting() {
    const LONG: u64 = 100_000_000;
    let cpus = start_stealing(2);
    let turn = Arc::new(Turn::default());
    let (woken, waker) = (turn.clone(), turn);
    let late = Arc::new(AtomicUsize::new(0));
    let counts = late.clone();
    let answers = cpus.spawn(async move { woken.play(1, 1010).await });
    let asks = cpus.spawn(async move {
        for round in 0..1010 {
            waker.clone().play(0, 1).await;
            // It is known for waiting at once, and then goes on.
            let until = time::monotonic() + LONG;
            if round < 1000 || waker.whose.load(Ordering::Acquire) == 0 {
                continue;
            }
            while waker.whose.load(Ordering::Acquire) == 1 {
                need_resched();
                if time::monotonic() > until {
                    counts.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
        }
    });
    cpus.block_on(join_all([asks, answers]));
    assert!(late.load(Ordering::Relaxed) < 5, "a machine without time aside");
}
