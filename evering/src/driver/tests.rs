//! Operations dropped, answered, lost and refused in every state.

use std::{
    boxed::Box,
    collections::VecDeque,
    future::Future,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
    vec::Vec,
};

use futures::{FutureExt, executor::block_on, task::noop_waker_ref};
use proptest::prelude::*;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::*;
use crate::channel;

mod executors;

#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Message {
    id: u64,
    n: u64,
}

const CANCEL: u64 = u64::MAX;

impl Tagged for Message {
    fn id(&self) -> u64 {
        self.id
    }
    fn set_id(&mut self, id: u64) {
        self.id = id;
    }
}

fn message(n: u64) -> Message {
    Message { id: 0, n }
}

type Ends = (Receiver<Message>, Sender<Message>);
/// [`pair`] or [`local`], for operations that lend an `Arc`.
type Make<S> = fn(usize, usize) -> (Driver<Message, Message, Arc<()>, S>, Ends);

/// Runs a test with a driver of either kind.
macro_rules! either {
    ($($test:ident),*) => {
        $(mod $test {
            use super::*;
            #[test]
            fn shared() {
                super::$test(pair);
            }
            #[test]
            fn local() {
                super::$test(super::local);
            }
        })*
    };
}

fn pair<L>(capacity: usize, limit: usize) -> (Driver<Message, Message, L>, Ends) {
    let (requests, server_in) = channel(capacity).expect("a power of two");
    let (server_out, answers) = channel(capacity).expect("a power of two");
    (Driver::new(requests, answers, limit), (server_in, server_out))
}

/// Answers every request with its number plus 100.
fn serve((server_in, server_out): &mut Ends) -> usize {
    let requests: Vec<_> = server_in.drain().map(Iterator::collect).unwrap_or_default();
    requests.iter().filter(|r| r.n != CANCEL).for_each(|request| {
        assert!(server_out.send(Message { n: request.n + 100, ..*request }).is_ok());
    });
    requests.len()
}

fn local<L>(capacity: usize, limit: usize) -> (LocalDriver<Message, Message, L>, Ends) {
    let (requests, server_in) = channel(capacity).expect("a power of two");
    let (server_out, answers) = channel(capacity).expect("a power of two");
    (LocalDriver::local(requests, answers, limit), (server_in, server_out))
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    future.poll_unpin(&mut Context::from_waker(noop_waker_ref()))
}

#[test]
fn an_answer_brings_back_what_was_lent() {
    let (driver, mut server) = pair::<&str>(4, 4);
    let mut operation = driver.try_submit(message(1), "buffer").expect("there is room");
    assert!(poll(&mut operation).is_pending());
    assert_eq!((serve(&mut server), driver.turn()), (1, Ok(1)));
    let Poll::Ready(Ok((answer, lent))) = poll(&mut operation) else { panic!("not answered") };
    assert_eq!((answer.n, lent), (101, "buffer"));
    assert!(poll(&mut operation).is_pending(), "it is fused");
    assert!(driver.is_empty());
}

#[test]
fn what_an_abandoned_operation_lent_is_kept_until_the_answer() {
    let (driver, mut server) = pair::<Arc<()>>(4, 4);
    let buffer = Arc::new(());
    drop(driver.try_submit(message(1), buffer.clone()));
    assert_eq!((driver.turn(), Arc::strong_count(&buffer)), (Ok(0), 2));
    serve(&mut server);
    assert_eq!((driver.turn(), Arc::strong_count(&buffer)), (Ok(1), 1));
    assert!(driver.is_empty());
}

#[test]
fn an_answered_operation_may_be_dropped_unpolled() {
    let (driver, mut server) = pair::<()>(4, 4);
    let operation = driver.try_submit(message(1), ());
    serve(&mut server);
    assert_eq!(driver.turn(), Ok(1));
    drop(operation);
    assert!(driver.is_empty());
}

#[test]
fn answers_to_nobody_are_strays() {
    let (driver, mut server) = pair::<()>(8, 8);
    let first = driver.try_submit(message(1), ()).expect("there is room");
    let id = first.id();
    for answer in [id, id, id ^ 1 << 40, 7, u64::MAX] {
        assert!(server.1.send(Message { id: answer, n: 5 }).is_ok());
    }
    assert_eq!((driver.turn(), driver.strays()), (Ok(5), 4));
    assert!(block_on(first).is_ok_and(|(answer, ())| answer.n == 5));
    // The place is used again, by another number: a late answer does not reach it.
    let mut second = driver.try_submit(message(2), ()).expect("there is room");
    assert_ne!(second.id(), id);
    assert!(server.1.send(Message { id, n: 6 }).is_ok());
    assert_eq!((driver.turn(), driver.strays()), (Ok(1), 5));
    assert!(poll(&mut second).is_pending());
}

#[test]
fn a_peer_that_goes_away_ends_every_operation() {
    let (driver, server) = pair::<Arc<()>>(4, 4);
    let buffer = Arc::new(());
    let lent = || buffer.clone();
    let (kept, dropped) =
        (driver.try_submit(message(1), lent()), driver.try_submit(message(2), lent()));
    drop(dropped);
    drop(server);
    assert_eq!(driver.turn(), Err(RecvError::Closed));
    assert_eq!(Arc::strong_count(&buffer), 2, "the abandoned one's is back");
    assert!(block_on(kept.expect("there was room")).is_err());
    assert_eq!(Arc::strong_count(&buffer), 1);
    let refused = driver.try_submit(message(3), lent());
    assert!(matches!(refused, Err(SubmitError::Lost(Message { n: 3, .. }, _))));
    assert!(driver.is_empty());
}

#[test]
fn there_are_no_more_operations_than_allowed() {
    let (driver, mut server) = pair::<()>(4, 2);
    let a = driver.try_submit(message(1), ());
    let b = driver.try_submit(message(2), ());
    assert!(matches!(driver.try_submit(message(3), ()), Err(SubmitError::Busy(..))));
    let mut waiting = Box::pin(driver.submit(message(3), ()));
    assert!(poll(&mut waiting).is_pending());
    drop(a);
    assert!(poll(&mut waiting).is_pending(), "an abandoned one keeps its place");
    assert_eq!((serve(&mut server), driver.turn()), (2, Ok(2)));
    let Poll::Ready(Ok(c)) = poll(&mut waiting) else { panic!("there should be a place") };
    drop(waiting);
    serve(&mut server);
    assert_eq!(driver.turn(), Ok(1));
    assert!(block_on(b.expect("there was room")).is_ok_and(|(answer, ())| answer.n == 102));
    assert!(block_on(c).is_ok_and(|(answer, ())| answer.n == 103));
    assert!(Threads::with(&driver.state, |state| state.waiters.is_empty()));
}

#[test]
fn a_submitter_that_gives_up_passes_its_chance_on() {
    struct Count(AtomicUsize);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let (driver, mut server) = pair::<()>(1, 1);
    let first = driver.try_submit(message(1), ());
    let counts = [(); 2].map(|()| Arc::new(Count(AtomicUsize::new(0))));
    let [mut a, mut b] = [(); 2].map(|()| Box::pin(driver.submit(message(2), ())));
    for (submit, count) in [(&mut a, &counts[0]), (&mut b, &counts[1])] {
        let waker = Waker::from(count.clone());
        assert!(submit.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
    }
    serve(&mut server);
    assert_eq!(driver.turn(), Ok(1));
    assert_eq!(counts.each_ref().map(|c| c.0.load(SeqCst)), [0, 0], "answered, but not seen");
    drop(first);
    assert_eq!(counts.each_ref().map(|c| c.0.load(SeqCst)), [1, 0]);
    drop(a);
    assert_eq!(counts.each_ref().map(|c| c.0.load(SeqCst)), [1, 1]);
    drop(b);
}

#[test]
fn the_peer_is_told_of_what_nobody_wants() {
    let (driver, mut server) = pair::<()>(2, 2);
    let driver = driver.with_cancel(|id| Message { id, n: CANCEL });
    let (a, b) = (driver.try_submit(message(1), ()), driver.try_submit(message(2), ()));
    let id = a.as_ref().map(Operation::id).expect("there was room");
    drop(a); // the queue is full
    assert_eq!(server.0.recv().map(|request| request.n), Ok(1));
    assert_eq!(driver.turn(), Ok(0));
    assert_eq!(server.0.recv().map(|request| request.n), Ok(2));
    assert_eq!(server.0.recv(), Ok(Message { id, n: CANCEL }));
    assert!(server.1.send(Message { id, n: 0 }).is_ok());
    assert_eq!((driver.turn(), driver.len()), (Ok(1), 1));
    drop(b);
}

#[test]
fn threads_share_a_driver() {
    const N: u64 = 2_000;
    let (driver, mut server) = pair::<u64>(16, 8);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let driver = driver.clone();
                scope.spawn(move || {
                    for n in 0..N {
                        let operation = block_on(driver.submit(message(n), n));
                        let mut operation = operation.expect("the server is there");
                        if n % 7 != 0 {
                            let (answer, lent) = block_on(&mut operation).expect("answered");
                            assert_eq!((answer.n, lent), (n + 100, n));
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                serve(&mut server);
                assert!(driver.turn().is_ok());
                std::thread::yield_now();
            }
        });
        for client in clients {
            client.join().expect("it does not panic");
        }
        stop.store(true, SeqCst);
    });
    serve(&mut server);
    assert!(driver.turn().is_ok());
    assert!(driver.is_empty());
    assert_eq!(driver.strays(), 0);
}

#[derive(Debug, Clone)]
enum Op {
    Submit(Option<u64>),
    Poll(usize),
    Drop(usize),
    Serve(usize),
    Turn,
    Expire,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => proptest::option::of(0u64..20).prop_map(Op::Submit),
        2 => (0usize..8).prop_map(Op::Poll),
        1 => (0usize..8).prop_map(Op::Drop),
        2 => (0usize..8).prop_map(Op::Serve),
        2 => Just(Op::Turn),
        1 => Just(Op::Expire),
    ]
}

/// Whatever is dropped when: each operation gets its own answer or the news of its deadline, and nothing stays lent.
fn check<S: Sharing>(
    ops: Vec<Op>,
    batching: bool,
    (mut driver, mut server): (Driver<Message, Message, Arc<()>, S>, Ends),
) -> Result<(), TestCaseError> {
    if batching {
        driver = driver.batching();
    }
    let buffer = Arc::new(());
    let start = Instant::now();
    let mut now = start;
    let mut live = Vec::new();
    let mut at_server = VecDeque::new();
    for (n, op) in (0u64..).zip(ops) {
        match op {
            Op::Submit(deadline) => match driver.try_submit(message(n), buffer.clone()) {
                Ok(operation) => {
                    let due = deadline.map(|after| start + Duration::from_secs(n + after));
                    live.push((
                        n,
                        due,
                        match due {
                            Some(due) => operation.with_deadline(due),
                            None => operation,
                        },
                    ));
                }
                Err(_) => prop_assert!(driver.len() == 8),
            },
            Op::Poll(i) if i < live.len() => {
                if let Poll::Ready(done) = poll(&mut live[i].2) {
                    let (n, due, _) = live.swap_remove(i);
                    match done {
                        Ok((answer, _)) => prop_assert_eq!(answer.n, n + 100),
                        Err(error) => {
                            prop_assert_eq!(error, OperationError::TimedOut);
                            prop_assert!(due.is_some_and(|due| due <= now));
                        }
                    }
                }
            }
            Op::Drop(i) if i < live.len() => drop(live.swap_remove(i)),
            Op::Serve(i) => {
                at_server.extend(server.0.drain().into_iter().flatten());
                if let Some(request) = at_server.remove(i) {
                    let answer = Message { n: request.n + 100, ..request };
                    prop_assert!(server.1.send(answer).is_ok());
                }
            }
            Op::Turn => prop_assert!(driver.turn().is_ok()),
            Op::Expire => {
                now = start + Duration::from_secs(n);
                driver.expire(now);
                prop_assert!(driver.next_deadline().is_none_or(|next| next > now));
            }
            Op::Poll(_) | Op::Drop(_) => {}
        }
    }
    drop((live, server));
    while driver.turn().is_ok() {}
    prop_assert!(driver.is_empty());
    prop_assert_eq!(driver.strays(), 0);
    prop_assert_eq!((Arc::strong_count(&buffer), driver.next_deadline()), (1, None));
    Ok(())
}

proptest! {
    #[test]
    fn operations_get_their_own_answers(
        ops in proptest::collection::vec(op(), 1..300),
        batching in any::<bool>(),
    ) {
        check(ops.clone(), batching, pair(8, 8))?;
        check(ops, batching, local(8, 8))?;
    }
}

either!(a_million_operations_dropped_in_any_state_leave_nothing);
fn a_million_operations_dropped_in_any_state_leave_nothing<S: Sharing>(make: Make<S>) {
    let (driver, mut server) = make(64, 64);
    let driver = driver.with_cancel(|id| Message { id, n: CANCEL });
    let buffer = Arc::new(());
    let mut live = VecDeque::new();
    let mut random = 1u32;
    let now = Instant::now();
    let mut submitted = 0;
    while submitted < 1_000_000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match random >> 28 {
            0..7 => {
                if let Ok(operation) = driver.try_submit(message(1), buffer.clone()) {
                    let due = now + Duration::from_secs(u64::from(random % 8));
                    live.push_back(operation.with_deadline(due));
                    submitted += 1;
                }
            }
            7..9 => drop(live.pop_front()),
            9..11 => drop(live.pop_back()),
            11 => {
                if let Some(Poll::Pending) = live.front_mut().map(poll) {
                    live.rotate_left(1);
                }
            }
            12 => drop(driver.expire(now + Duration::from_secs(1))),
            13 => drop(serve(&mut server)),
            _ => assert!(driver.turn().is_ok()),
        }
    }
    live.clear();
    for _ in 0..3 {
        // A turn sends what there was no room for.
        assert!(driver.turn().is_ok());
        serve(&mut server);
    }
    assert!(driver.turn().is_ok());
    assert!(driver.is_empty());
    assert_eq!((driver.strays(), Arc::strong_count(&buffer)), (0, 1));
}

either!(a_deadline_ends_the_operation_and_not_the_loan);
fn a_deadline_ends_the_operation_and_not_the_loan<S: Sharing>(make: Make<S>) {
    let (driver, mut server) = make(4, 4);
    let driver = driver.with_cancel(|id| Message { id, n: CANCEL });
    let (buffer, now) = (Arc::new(()), Instant::now());
    let due = [1, 2, 3].map(|seconds| now + Duration::from_secs(seconds));
    let mut submit = |due| {
        let operation = driver.try_submit(message(1), buffer.clone()).expect("there is room");
        operation.with_deadline(due)
    };
    let [mut a, mut b, mut c] = due.map(&mut submit);
    assert_eq!(driver.next_deadline(), Some(due[0]));
    assert!(poll(&mut a).is_pending() && poll(&mut c).is_pending());
    assert_eq!((driver.expire(now), driver.expire(due[1])), (0, 2));
    assert_eq!(poll(&mut a), Poll::Ready(Err(OperationError::TimedOut)));
    assert_eq!((driver.len(), Arc::strong_count(&buffer)), (3, 4), "the peer has it still");
    let requests: Vec<_> = server.0.drain().map(Iterator::collect).unwrap_or_default();
    assert_eq!(requests.iter().filter(|request| request.n == CANCEL).count(), 1);
    // An answer that comes before anybody has seen the deadline pass is an answer.
    for request in requests.iter().filter(|request| request.n != CANCEL) {
        assert!(server.1.send(*request).is_ok());
    }
    assert_eq!(driver.turn(), Ok(3));
    assert!(matches!(poll(&mut b), Poll::Ready(Ok(_))));
    assert!(matches!(poll(&mut c), Poll::Ready(Ok(_))));
    assert_eq!((Arc::strong_count(&buffer), driver.next_deadline()), (1, None));
    assert_eq!((driver.strays(), driver.is_empty()), (0, true));
}

#[test]
fn a_driver_that_batches_publishes_at_its_turn() {
    let (driver, mut server) = local::<()>(4, 4);
    let driver = driver.batching();
    let operations = [1, 2].map(|n| driver.try_submit(message(n), ()));
    assert_eq!(serve(&mut server), 0);
    assert_eq!((driver.flush(), driver.flush()), (2, 0));
    assert_eq!((serve(&mut server), driver.turn()), (2, Ok(2)));
    drop(operations);
}

#[test]
fn requests_wait_for_room_in_the_queue() {
    let (requests, server_in) = channel(2).expect("a power of two");
    let (server_out, answers) = channel(8).expect("a power of two");
    let driver = LocalDriver::<Message, Message>::local(requests, answers, 8);
    let mut server = (server_in, server_out);
    let operations: Vec<_> = (0..5).map(|n| driver.try_submit(message(n), ())).collect();
    for (served, answered) in [(2, 2), (2, 2), (1, 1)] {
        assert_eq!((serve(&mut server), driver.turn()), (served, Ok(answered)));
    }
    for (n, operation) in (0..).zip(operations) {
        let (answer, ()) = block_on(operation.expect("there was a place")).expect("answered");
        assert_eq!(answer.n, n + 100);
    }
}

#[test]
fn a_peer_that_is_said_to_be_dead_gives_everything_back() {
    let (driver, server) = pair::<Arc<()>>(4, 2);
    let buffer = Arc::new(());
    let mut kept = driver.try_submit(message(1), buffer.clone()).expect("there is room");
    drop(driver.try_submit(message(2), buffer.clone()));
    let mut waits = driver.permit();
    assert!(poll(&mut kept).is_pending() && poll(&mut waits).is_pending());
    driver.lose();
    assert!(matches!(poll(&mut kept), Poll::Ready(Err(OperationError::Lost(_)))));
    assert!(matches!(poll(&mut waits), Poll::Ready(Err(Disconnected))));
    assert_eq!((Arc::strong_count(&buffer), driver.is_empty()), (1, true));
    drop(server);
}

#[test]
fn a_permit_keeps_its_place() {
    let (driver, mut server) = pair::<()>(2, 1);
    let permit = block_on(driver.permit()).expect("the peer is there");
    assert!(matches!(driver.try_submit(message(1), ()), Err(SubmitError::Busy(..))));
    let operation = permit.submit(message(2), ()).expect("it was kept");
    assert_eq!((serve(&mut server), driver.turn()), (1, Ok(1)));
    assert!(block_on(operation).is_ok_and(|(answer, ())| answer.n == 102));
    drop(block_on(driver.permit()));
    assert!(driver.try_submit(message(3), ()).is_ok());
}

/// A waker that comes back to the driver finds it free.
#[test]
fn wakers_may_use_the_driver() {
    struct Again(Driver<Message, Message, Arc<Again>>);
    impl std::task::Wake for Again {
        fn wake(self: Arc<Self>) {
            assert!(self.0.turn().is_ok());
            drop(self.0.try_submit(message(9), self.clone()));
        }
    }
    let (driver, mut server) = pair::<Arc<Again>>(8, 8);
    let again = Arc::new(Again(driver.clone()));
    let waker = Waker::from(again.clone());
    let mut operation = driver.try_submit(message(1), again).expect("there is room");
    assert!(operation.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    serve(&mut server);
    assert_eq!(driver.turn(), Ok(1));
    assert!(matches!(poll(&mut operation), Poll::Ready(Ok((Message { n: 101, .. }, _)))));
    assert_eq!(serve(&mut server), 1);
    assert_eq!(driver.turn(), Ok(1));
    assert!(driver.is_empty());
}

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl std::task::Wake for Count {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Count {
    fn poll<F: Future + Unpin>(self: &Arc<Self>, future: &mut F) -> Poll<F::Output> {
        future.poll_unpin(&mut Context::from_waker(&Waker::from(self.clone())))
    }
    /// How often it was woken, and how many wakers there are.
    fn counts(self: &Arc<Self>) -> (usize, usize) {
        (self.0.load(SeqCst), Arc::strong_count(self) - 1)
    }
}

either!(a_waker_is_kept_for_the_next_operation_but_not_by_an_idle_driver);
fn a_waker_is_kept_for_the_next_operation_but_not_by_an_idle_driver<S: Sharing>(make: Make<S>) {
    let (driver, mut server) = make(8, 8);
    let submit = || driver.try_submit(message(1), Arc::new(())).expect("there is room");
    let [busy, task, other] = [(); 3].map(|()| Arc::new(Count::default()));
    let (mut first, mut operation) = (submit(), submit());
    assert!(task.poll(&mut operation).is_pending());
    assert_eq!((serve(&mut server), driver.turn()), (2, Ok(2)));
    // Another one is under way, so there will be more for the task to wait for.
    let mut long = submit();
    assert!(busy.poll(&mut long).is_pending());
    assert_eq!(task.counts(), (1, 1));
    assert!(task.poll(&mut operation).is_ready());
    let mut operation = submit();
    assert!(task.poll(&mut operation).is_pending());
    assert_eq!(task.counts(), (1, 1), "the same waker");

    // The place's next operation is another task's, which has not asked to be woken.
    assert!(poll(&mut first).is_ready());
    assert_eq!((serve(&mut server), driver.turn()), (2, Ok(2)));
    assert_eq!((task.counts(), busy.counts()), ((2, 1), (1, 1)));
    let mut last = submit();
    assert!(task.poll(&mut operation).is_ready());
    let mut operation = submit();
    assert_eq!((serve(&mut server), driver.turn()), (2, Ok(2)));
    assert_eq!((task.counts(), other.counts()), ((2, 1), (0, 0)), "not woken for it");
    assert!(other.poll(&mut operation).is_ready() && other.poll(&mut last).is_ready());
    assert_eq!((task.counts(), busy.counts()), ((2, 1), (1, 1)), "one is not over yet");
    assert!(busy.poll(&mut long).is_ready());
    assert_eq!((task.counts(), busy.counts()), ((2, 0), (1, 0)), "none is");
}

either!(an_answer_that_nobody_wants_is_seen_by_the_one_for_orphans);

fn an_answer_that_nobody_wants_is_seen_by_the_one_for_orphans<S: Sharing>(make: Make<S>) {
    fn orphan(answer: Message, lent: std::sync::Arc<()>) {
        SEEN.with_borrow_mut(|seen| seen.push((answer.n, std::sync::Arc::strong_count(&lent))));
    }
    std::thread_local! {
        static SEEN: core::cell::RefCell<Vec<(u64, usize)>> = const { core::cell::RefCell::new(Vec::new()) };
    }
    let (driver, mut ends) = make(8, 8);
    let driver = driver.with_orphans(orphan).with_cancel(|_| message(CANCEL));
    let lent = std::sync::Arc::new(());
    // Dropped before the answer, and after it.
    drop(driver.try_submit(message(1), lent.clone()));
    let late = driver.try_submit(message(2), lent.clone());
    driver.flush();
    assert_eq!(serve(&mut ends), 3);
    assert_eq!(driver.turn(), Ok(2));
    drop(late);
    assert_eq!(SEEN.take(), [(101, 3), (102, 2)]);
    // Detached: the peer is not told.
    let Ok(operation) = driver.try_submit(message(3), lent.clone()) else {
        panic!("there is room")
    };
    operation.detach();
    driver.flush();
    assert_eq!(serve(&mut ends), 1);
    assert_eq!(driver.turn(), Ok(1));
    assert_eq!(SEEN.take(), [(103, 2)]);
    assert_eq!(std::sync::Arc::strong_count(&lent), 1);
    assert!(driver.is_empty());
}
