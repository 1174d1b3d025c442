//! The first of several futures.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

/// The output of one of two futures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first one's.
    Left(A),
    /// The second one's.
    Right(B),
}

/// The output of the one that is ready first; the other is dropped. If both are, it is that of the first one.
pub async fn race<A: Future, B: Future>(a: A, b: B) -> Either<A::Output, B::Output> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|context| {
        if let Poll::Ready(output) = a.as_mut().poll(context) {
            return Poll::Ready(Either::Left(output));
        }
        b.as_mut().poll(context).map(Either::Right)
    })
    .await
}

/// Waits for the first of several futures, drops the others, and goes on as its arm says. They are asked in the order in which they are
/// written. To keep a future for another time write `&mut` before one that is pinned.
///
/// ```
/// # libos_guest::block_on(async {
/// use std::{future, time::Duration};
/// use libos_guest::{select, sleep};
///
/// let first = select! {
///     never = future::pending::<u8>() => never,
///     () = sleep(Duration::from_millis(1)) => 1,
///     () = sleep(Duration::from_secs(9)) => 9,
/// };
/// assert_eq!(first, 1);
/// # }).unwrap();
/// ```
#[macro_export]
macro_rules! select {
    ($($pattern:pat = $future:expr => $body:expr),+ $(,)?) => {
        $crate::select!(
            @arms $crate::select!(@race $($future),+).await,
            $($pattern => $body),+
        )
    };
    (@race $future:expr) => { $future };
    (@race $future:expr, $($rest:expr),+) => {
        $crate::race($future, $crate::select!(@race $($rest),+))
    };
    (@arms $output:expr, $pattern:pat => $body:expr) => {
        match $output { $pattern => $body }
    };
    (@arms $output:expr, $pattern:pat => $body:expr, $($rest:tt)+) => {
        match $output {
            $crate::Either::Left($pattern) => $body,
            $crate::Either::Right(rest) => $crate::select!(@arms rest, $($rest)+),
        }
    };
}
