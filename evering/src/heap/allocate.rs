//! Waiting for room: back-pressure as a future.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::{AllocError, Buffer, Heap, Local, Sharing};

/// A buffer as soon as there is room for it, made by [`Heap::allocate`]. Dropped, it leaves the queue.
#[must_use = "futures do nothing unless polled"]
pub struct Allocate<'a, S: Sharing = Local> {
    heap: &'a Heap<S>,
    len: usize,
    /// Its number in the queue.
    number: Option<u64>,
}

impl<'a, S: Sharing> Allocate<'a, S> {
    pub(super) fn new(heap: &'a Heap<S>, len: usize) -> Self {
        Allocate { heap, len, number: None }
    }
}

impl<S: Sharing> Future for Allocate<'_, S> {
    type Output = Result<Buffer<S>, AllocError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.number.is_none() {
            // Mostly there is room and nobody waits; then the waker need not be cloned.
            match this.heap.alloc_unless_awaited(this.len) {
                Err(AllocError::Full) => {}
                found => return Poll::Ready(found),
            }
        }
        let shared = &this.heap.inner;
        let waker = cx.waker().clone();
        let (poll, unused) = S::with(shared, |inner| {
            let turn = match this.number {
                Some(number) => inner.waiters.is_first(number),
                None => inner.waiters.is_empty(),
            };
            let result = if turn { inner.alloc(this.len) } else { Err(AllocError::Full) };
            match (result, this.number) {
                (Err(AllocError::Full), Some(number)) => {
                    (Poll::Pending, [inner.waiters.stay(number, waker), None])
                }
                (Err(AllocError::Full), None) => {
                    this.number = Some(inner.waiters.join(waker));
                    (Poll::Pending, [None, None])
                }
                (Err(error), _) => (Poll::Ready(Err(error)), [Some(waker), None]),
                (Ok(block), number) => {
                    let left = number.and_then(|number| inner.waiters.leave(number));
                    this.number = None;
                    let bytes = inner.arena.bytes(block, this.len);
                    let buffer = Buffer::own(bytes, block, shared.clone());
                    (Poll::Ready(Ok(buffer)), [Some(waker), left])
                }
            }
        });
        // Foreign code, called when nothing is locked.
        drop(unused);
        if poll.is_ready() {
            this.heap.wake_next();
        }
        poll
    }
}

impl<S: Sharing> Drop for Allocate<'_, S> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let left = S::with(&self.heap.inner, |inner| inner.waiters.leave(number));
            drop(left);
            self.heap.wake_next();
        }
    }
}

impl<S: Sharing> fmt::Debug for Allocate<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allocate").field("len", &self.len).finish_non_exhaustive()
    }
}
