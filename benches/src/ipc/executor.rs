//! A set of futures run by one thread: the least executor that does it.
//!
//! The one idea: a waker sets a bit, and who is ready is polled in the order of the bits. What is done when nobody is ready is the business
//! of whoever [runs](run) the set, who spins and sleeps on a bell of its own without an event loop in between, or of the runtime in whose
//! task [`all`] of them are awaited: that is how every contestant runs its tasks.
//!
//! Nearly all wakers are called by the thread that runs the set, as answers are taken there. Those set a bit of the thread's own, with no
//! locked instruction.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use super::Result;

/// Who is ready, and whom to tell.
#[derive(Default)]
struct Ready {
    /// A bit each: those that other threads have woken.
    bits: Vec<AtomicU64>,
    /// Nobody is, and `outer` is to be woken by the first thread other than the set's that wakes one.
    asleep: AtomicBool,
    outer: Mutex<Option<Waker>>,
}

impl Ready {
    /// Which set it is, among those that are running.
    fn number(&self) -> usize {
        self.bits.as_ptr().addr()
    }

    /// Who is ready among the tasks of this word; none of them is any more.
    fn take(&self, word: usize) -> u64 {
        let own = HERE.with(|here| here.ready.get(word).map_or(0, |bits| bits.take()));
        match &self.bits[word] {
            others if others.load(SeqCst) == 0 => own,
            others => own | others.swap(0, SeqCst),
        }
    }

    /// Has `outer` woken when one becomes ready; false if one is.
    fn sleep(&self, outer: &Waker) -> bool {
        if let Ok(mut known) = self.outer.lock()
            && !known.as_ref().is_some_and(|known| known.will_wake(outer))
        {
            *known = Some(outer.clone());
        }
        HERE.with(|here| here.asleep.set(true));
        self.asleep.store(true, SeqCst);
        // Whoever sets a bit looks whether this is set afterwards.
        self.bits.iter().all(|bits| bits.load(SeqCst) == 0)
    }

    fn wake_up(&self) {
        HERE.with(|here| here.asleep.set(false));
        self.asleep.store(false, SeqCst);
    }

    fn wake_outer(&self) {
        if let Ok(Some(outer)) = self.outer.lock().as_deref() {
            outer.wake_by_ref();
        }
    }
}

/// So many words are kept for the thread's own wakers; tasks beyond them are woken as from other threads.
const WORDS: usize = 4;

/// The set that a thread is running, and who is ready because of that thread.
#[derive(Default)]
struct Here {
    number: Cell<usize>,
    ready: [Cell<u64>; WORDS],
    /// As [`Ready::asleep`], for the thread itself.
    asleep: Cell<bool>,
}

impl Here {
    fn swap(&self, other: &Here) {
        self.number.swap(&other.number);
        self.ready.iter().zip(&other.ready).for_each(|(one, other)| one.swap(other));
        self.asleep.swap(&other.asleep);
    }
}

thread_local! {
    static HERE: Here = const {
        Here { number: Cell::new(0), ready: [const { Cell::new(0) }; WORDS], asleep: Cell::new(false) }
    };
}

/// Makes a set the one that the thread is running, in place of the one before until this is dropped.
struct Running(Here);

impl Running {
    fn new(set: &Ready) -> Self {
        let before = Here { number: Cell::new(set.number()), ..Here::default() };
        HERE.with(|here| here.swap(&before));
        Running(before)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        HERE.with(|here| here.swap(&self.0));
    }
}

struct Bit {
    ready: Arc<Ready>,
    index: usize,
}

impl Wake for Bit {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let (word, bit) = (self.index / 64, 1 << (self.index % 64));
        let asleep = HERE.with(|here| match here.ready.get(word) {
            Some(bits) if here.number.get() == self.ready.number() => {
                bits.set(bits.get() | bit);
                here.asleep.take()
            }
            _ => {
                self.ready.bits[word].fetch_or(bit, SeqCst);
                self.ready.asleep.load(SeqCst) && self.ready.asleep.swap(false, SeqCst)
            }
        });
        if asleep {
            self.ready.wake_outer();
        }
    }
}

/// Futures that are run together, and what those returned that have ended.
struct Set<T, F> {
    futures: Vec<Option<Pin<Box<F>>>>,
    results: Vec<Option<T>>,
    ready: Arc<Ready>,
    wakers: Vec<Waker>,
    running: usize,
}

impl<T, F: Future<Output = Result<T>>> Set<T, F> {
    fn new(futures: impl IntoIterator<Item = F>) -> Self {
        let futures: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
        let running = futures.len();
        let bits = (0..running.div_ceil(64)).map(|_| AtomicU64::new(u64::MAX)).collect();
        let ready = Arc::new(Ready { bits, ..Ready::default() });
        let waker = |index| Arc::new(Bit { ready: ready.clone(), index }).into();
        let wakers = (0..running).map(waker).collect();
        Set { results: futures.iter().map(|_| None).collect(), futures, ready, wakers, running }
    }

    /// Polls everyone who is ready once, those too that become so meanwhile if their turn is yet to come. False if nobody was.
    fn round(&mut self) -> Result<bool> {
        let mut somebody = false;
        for word in 0..self.ready.bits.len() {
            let mut bits = self.ready.take(word);
            while bits != 0 {
                let index = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let Some(Some(future)) = self.futures.get_mut(index) else { continue };
                somebody = true;
                if let Poll::Ready(result) = poll(future.as_mut(), &self.wakers[index]) {
                    self.results[index] = Some(result?);
                    self.futures[index] = None;
                    self.running -= 1;
                }
            }
        }
        Ok(somebody)
    }

    fn results(self) -> Vec<T> {
        self.results.into_iter().flatten().collect()
    }
}

/// Runs all `futures` to their ends and returns what they return. Calls `wait` when none is ready, which
/// must not come back before one may be.
///
/// # Errors
///
/// The first error of a future, or that of `wait`.
pub fn run<T>(
    futures: impl IntoIterator<Item = impl Future<Output = Result<T>>>,
    mut wait: impl FnMut() -> Result<()>,
) -> Result<Vec<T>> {
    let mut set = Set::new(futures);
    let _running = Running::new(&set.ready);
    while set.running > 0 {
        if !set.round()? {
            wait()?;
        }
    }
    Ok(set.results())
}

/// Awaits all `futures`, in a task of its own thread; what wakes them while it is pending wakes that task. It goes on as long as one is
/// ready: a runtime that counts what its tasks do must not hold them back.
///
/// # Errors
///
/// The first error of a future.
pub async fn all<T>(
    futures: impl IntoIterator<Item = impl Future<Output = Result<T>>>,
) -> Result<Vec<T>> {
    let mut set = Set::new(futures);
    let _running = Running::new(&set.ready);
    poll_fn(|context| {
        set.ready.wake_up();
        while set.running > 0 {
            match set.round() {
                Ok(true) => {}
                Ok(false) if set.ready.sleep(context.waker()) => return Poll::Pending,
                Ok(false) => set.ready.wake_up(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    })
    .await?;
    Ok(set.results())
}

fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(waker))
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::poll_fn};

    use super::*;

    #[test]
    fn everyone_runs_to_its_end_and_waits_in_between() {
        let waits = Cell::new(0);
        let wakers = std::cell::RefCell::new(Vec::<Waker>::new());
        let task = |n: u32| {
            let (mut polls, wakers) = (0, &wakers);
            poll_fn(move |context| {
                polls += 1;
                if polls <= n % 3 {
                    wakers.borrow_mut().push(context.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(Ok(n))
            })
        };
        let results = run((0..200).map(task), || {
            waits.set(waits.get() + 1);
            wakers.borrow_mut().drain(..).for_each(Waker::wake);
            Ok(())
        });
        assert_eq!(results.ok(), Some((0..200).collect()));
        assert_eq!(waits.get(), 2);
    }

    #[test]
    fn another_set_may_run_meanwhile_and_other_threads_may_wake() {
        let inner = |n: u32| {
            let mut woken = false;
            poll_fn(move |context| {
                if woken {
                    return Poll::Ready(Ok(n));
                }
                woken = true;
                let waker = context.waker().clone();
                std::thread::scope(|scope| drop(scope.spawn(|| waker.wake_by_ref())));
                Poll::Pending
            })
        };
        let outer = |n: u32| {
            let mut sum = None;
            poll_fn(move |context| match sum {
                Some(sum) => Poll::Ready(Ok::<u32, Box<dyn std::error::Error>>(sum)),
                None => {
                    context.waker().wake_by_ref();
                    let results = run((0..n).map(inner), || Ok(()));
                    // It was not asked by its own set.
                    context.waker().wake_by_ref();
                    sum = results.ok().map(|results| results.into_iter().sum());
                    Poll::Pending
                }
            })
        };
        let results = run((1..4).map(outer), || Err("somebody was not woken".into()));
        assert_eq!(results.ok(), Some(vec![0, 1, 3]));
    }

    #[test]
    fn all_of_them_can_be_awaited_in_a_task_of_a_runtime() -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let task = |n: u32| async move {
            for _ in 0..n % 3 {
                // By the runtime, between two turns of the task; by the future itself; by another thread.
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                tokio::task::yield_now().await;
                let (send, receive) = tokio::sync::oneshot::channel();
                std::thread::spawn(move || send.send(n));
                assert_eq!(receive.await?, n);
            }
            Ok(n)
        };
        for _ in 0..3 {
            assert_eq!(runtime.block_on(all((0..300).map(task)))?, Vec::from_iter(0..300));
        }
        let failing = (0..3).map(|n| async move { if n == 2 { Err("no".into()) } else { Ok(n) } });
        assert!(runtime.block_on(all(failing)).is_err());
        Ok(())
    }

    #[test]
    fn the_first_error_ends_it() {
        let tasks = [1, 2].map(|n| async move { if n == 1 { Err("no".into()) } else { Ok(n) } });
        assert!(run(tasks, || Ok(())).is_err());
    }
}
