//! A set of futures run by one thread: the least executor that does it.
//!
//! The one idea: a waker sets a bit, and who is ready is polled in the order of the bits. Whoever runs the
//! set says how to wait when nobody is ready: the evering contestants spin and sleep on their own bell,
//! without an event loop in between.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use super::Result;

/// Who is ready, a bit each.
struct Ready(Vec<AtomicU64>);

struct Bit {
    ready: Arc<Ready>,
    index: usize,
}

impl Wake for Bit {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.0[self.index / 64].fetch_or(1 << (self.index % 64), Ordering::Release);
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
    let mut running = futures.len();
    while running > 0 {
        let mut nobody = true;
        for (word, bits) in ready.0.iter().enumerate() {
            if bits.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut bits = bits.swap(0, Ordering::Acquire);
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
    fn the_first_error_ends_it() {
        let tasks = [1, 2].map(|n| async move { if n == 1 { Err("no".into()) } else { Ok(n) } });
        assert!(run(tasks, || Ok(())).is_err());
    }
}
