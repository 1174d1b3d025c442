//! The same exchange under several executors, with a server in a thread of its own that sleeps when it can.

use std::{boxed::Box, thread};

use futures::{future::join_all, task::LocalSpawnExt};

use super::*;
use crate::wake::{Spin, Waiter};

/// Tasks at a time, and what each asks.
const TASKS: u64 = 20;
const REQUESTS: u64 = 200;

type Client<S> = Driver<Message, Message, u64, S>;

/// A client's driver and its waiter, and a server that answers until the driver is gone.
fn serve_in_thread<S: Sharing>(
    make: fn(usize, usize) -> (Client<S>, Ends),
) -> (Client<S>, Waiter<Arc<Bell>>, thread::JoinHandle<u64>) {
    let (driver, (server_in, server_out)) = make(8, 8);
    let bells = [(); 2].map(|()| Arc::new(Bell::new()));
    let [ours, theirs] =
        bells.each_ref().map(|bell| Waiter::with_spin(bell.clone(), Spin::never()));
    let [to_us, to_them] = bells.map(Ringer::new);
    let server = thread::spawn(move || {
        let mut waiter = theirs;
        let mut server = Server::new(server_in, server_out).with_ringer(to_us);
        let mut count = 0;
        loop {
            let served = waiter.wait(None, || {
                let answer = |request: Message| Some(Message { n: request.n + 100, ..request });
                Some(server.serve(answer)).filter(|served| *served != Ok(0))
            });
            match served {
                Some(Ok(served)) => count += served as u64,
                _ => return count,
            }
        }
    });
    (driver.with_ringer(to_them), ours, server)
}

async fn client<S: Sharing>(driver: Client<S>, task: u64) {
    for n in 0..REQUESTS {
        let asked = task << 32 | n;
        let operation = driver.submit(message(asked), asked).await.expect("the server is there");
        let (answer, lent) = operation.await.expect("the server is there");
        assert_eq!((answer.n, lent), (asked + 100, asked));
    }
}

fn finish<S: Sharing>(driver: Client<S>, server: thread::JoinHandle<u64>) {
    assert_eq!((driver.len(), driver.strays()), (0, 0));
    drop(driver);
    assert_eq!(server.join().expect("it does not panic"), TASKS * REQUESTS);
}

#[test]
fn a_bare_thread() {
    for batching in [false, true] {
        let (mut driver, mut waiter, server) = serve_in_thread(local);
        if batching {
            driver = driver.batching();
        }
        let tasks = join_all((0..TASKS).map(|task| client(driver.clone(), task)));
        driver.block_on(&mut waiter, tasks);
        finish(driver, server);
    }
}

#[test]
fn a_pool_in_one_thread() {
    let (driver, mut waiter, server) = serve_in_thread(local);
    let driver = driver.batching();
    let mut pool = futures::executor::LocalPool::new();
    for task in 0..TASKS {
        pool.spawner().spawn_local(client(driver.clone(), task)).expect("the pool is there");
    }
    // All that can run, then a turn: requests go together.
    while !{
        pool.run_until_stalled();
        driver.is_empty()
    } {
        driver.wait(&mut waiter, None).expect("the server is there");
    }
    finish(driver, server);
}

#[test]
fn tasks_of_async_task() {
    let (driver, mut waiter, server) = serve_in_thread(pair);
    let (send, run_queue) = std::sync::mpsc::channel::<async_task::Runnable>();
    for task in 0..TASKS {
        let send = send.clone();
        let schedule = move |runnable| send.send(runnable).expect("the queue is there");
        let (runnable, task) = async_task::spawn(client(driver.clone(), task), schedule);
        task.detach();
        runnable.schedule();
    }
    drop(send);
    loop {
        match run_queue.try_recv() {
            Ok(runnable) => drop(runnable.run()),
            Err(std::sync::mpsc::TryRecvError::Empty) => {
                driver.wait(&mut waiter, None).expect("the server is there");
            }
            Err(_) => break,
        }
    }
    finish(driver, server);
}

#[test]
fn tasks_of_tokio_on_several_threads() {
    let (driver, mut waiter, server) = serve_in_thread(pair);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
    let runtime = runtime.expect("there are threads");
    let turns = driver.clone();
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (stop, bell) = (done.clone(), waiter.bell().clone());
    let turner = thread::spawn(move || {
        while !stop.load(SeqCst) {
            waiter.wait(None, || match turns.turn() {
                Ok(0) => stop.load(SeqCst).then_some(()),
                _ => Some(()),
            });
        }
    });
    runtime.block_on(async {
        let tasks: Vec<_> =
            (0..TASKS).map(|task| tokio::spawn(client(driver.clone(), task))).collect();
        for task in tasks {
            task.await.expect("it does not panic");
        }
    });
    done.store(true, SeqCst);
    Ringer::new(bell).ring();
    turner.join().expect("it does not panic");
    finish(driver, server);
}

#[test]
fn a_future_that_something_else_wakes_ends_the_sleep() {
    let (driver, mut waiter, server) = serve_in_thread(local);
    let (send, receive) = futures::channel::oneshot::channel();
    let other = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        send.send(5)
    });
    assert_eq!(driver.block_on(&mut waiter, receive), Ok(5));
    assert_eq!(other.join().expect("it does not panic"), Ok(()));
    drop(driver);
    assert_eq!(server.join().expect("it does not panic"), 0);
}

#[test]
fn a_deadline_ends_the_sleep() {
    let (driver, server) = local::<()>(4, 4);
    let mut waiter = Waiter::new(Arc::new(Bell::new()));
    let due = Instant::now() + Duration::from_millis(20);
    let operation = driver.try_submit(message(1), ()).expect("there is room").with_deadline(due);
    assert_eq!(driver.block_on(&mut waiter, operation), Err(OperationError::TimedOut));
    assert!(Instant::now() >= due);
    drop(server);
}

/// A server that finds no room keeps the answers, and takes no more requests meanwhile.
#[test]
fn answers_wait_for_room_in_the_queue() {
    let (mut requests, server_in) = channel::<Message>(8).expect("a power of two");
    let (server_out, mut answers) = channel::<Message>(2).expect("a power of two");
    let mut server = Server::new(server_in, server_out);
    assert_eq!(requests.send_batch(&[1, 2, 3].map(message)), Ok(3));
    assert_eq!(server.serve(Some), Ok(3));
    assert_eq!(requests.send(message(4)), Ok(()));
    assert_eq!(server.serve(Some), Ok(0), "there is an answer to be sent first");
    assert_eq!([answers.recv(), answers.recv()].map(|a| a.map(|a| a.n)), [Ok(1), Ok(2)]);
    assert_eq!(server.serve(|_| None), Ok(1));
    server.answer(message(5));
    server.flush();
    assert_eq!([answers.recv(), answers.recv()].map(|a| a.map(|a| a.n)), [Ok(3), Ok(5)]);
    let requester = Box::new((requests, answers));
    drop(requester);
    assert!(server.is_closed());
    assert_eq!(server.serve(Some), Err(RecvError::Closed));
}
