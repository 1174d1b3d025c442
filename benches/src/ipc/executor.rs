//! A set of futures run by one thread: the least executor that does it.
//!
//! The one idea: a waker sets a bit, and who is ready is polled in the order of the bits. Whoever runs the
//! set says how to wait when nobody is ready: the evering contestants spin and sleep on their own bell,
//! without an event loop in between.
//!
//! Nearly all wakers are called by the thread that runs the set, as answers are taken there. Those set a bit of the thread's own, with no
//! locked instruction, as tokio's `LocalSet` does.

use std::{
    cell::Cell,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use super::Result;

/// Who is ready, a bit each: those that other threads have woken.
struct Ready(Vec<AtomicU64>);

impl Ready {
    /// Which set it is, among those that are running.
    fn number(&self) -> usize {
        self.0.as_ptr().addr()
    }

    /// Who is ready among the tasks of this word; none of them is any more.
    fn take(&self, word: usize) -> u64 {
        let own = HERE.with(|here| here.ready.get(word).map_or(0, |bits| bits.take()));
        match &self.0[word] {
            others if others.load(Ordering::Relaxed) == 0 => own,
            others => own | others.swap(0, Ordering::Acquire),
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
}

impl Here {
    fn swap(&self, other: &Here) {
        self.number.swap(&other.number);
        self.ready.iter().zip(&other.ready).for_each(|(one, other)| one.swap(other));
    }
}

thread_local! {
    static HERE: Here = const { Here { number: Cell::new(0), ready: [const { Cell::new(0) }; WORDS] } };
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
        let here = HERE.with(|here| match here.ready.get(word) {
            Some(bits) if here.number.get() == self.ready.number() => {
                bits.set(bits.get() | bit);
                true
            }
            _ => false,
        });
        if !here {
            self.ready.0[word].fetch_or(bit, Ordering::Release);
        }
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
    let mut futures: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    let mut results: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    let words = futures.len().div_ceil(64);
    let ready = Arc::new(Ready((0..words).map(|_| AtomicU64::new(u64::MAX)).collect()));
    let wakers: Vec<Waker> = (0..futures.len())
        .map(|index| Arc::new(Bit { ready: ready.clone(), index }).into())
        .collect();
    let _running = Running::new(&ready);
    let mut running = futures.len();
    while running > 0 {
        let mut nobody = true;
        for word in 0..words {
            let mut bits = ready.take(word);
            while bits != 0 {
                let index = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let Some(Some(future)) = futures.get_mut(index) else { continue };
                nobody = false;
                if let Poll::Ready(result) = poll(future.as_mut(), &wakers[index]) {
                    results[index] = Some(result?);
                    futures[index] = None;
                    running -= 1;
                }
            }
        }
        if nobody {
            wait()?;
        }
    }
    Ok(results.into_iter().flatten().collect())
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
    fn the_first_error_ends_it() {
        let tasks = [1, 2].map(|n| async move { if n == 1 { Err("no".into()) } else { Ok(n) } });
        assert!(run(tasks, || Ok(())).is_err());
    }
}
