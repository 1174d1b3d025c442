//! Calls that take long: how they leave turns to others.
//!
//! The one idea: nothing takes a CPU away from the kernel, so a call that may move gigabytes does it in pieces and gives way
//! between them.

use crate::process::Thread;

/// The most bytes that a call moves at a time: well below a millisecond's worth.
pub(super) const PIECE: usize = 1 << 20;

/// Between two pieces: lets others run, and timers expire. A thread that is killed goes no further; true when there is something
/// else for it to do meanwhile, a signal, for which the caller may want to end early.
pub(crate) async fn give_way(thread: &Thread) -> bool {
    // Whether somebody waits is not asked: the way through the run queue is short beside a piece.
    hal::cpu::yield_now().await;
    thread.object.work() != 0
}
