//! The signal state of a thread and of a process, without the threads and processes themselves.
//!
//! The one idea: whether a thread has something to deliver is asked at every system call, so the answer is a bit elsewhere
//! (`work::SIGNAL` of its object), and all that is here needs only be right about when that bit must be set. A sender makes the signal pending
//! first and looks at the mask of the thread after, under the thread's lock; a thread that changes its mask does so under that
//! lock and looks at what is pending after. So one of them sees the other.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use kernel_objects::WaitQueue;
use parking_lot::{Mutex, RwLock};

use super::{
    action::SignalActions,
    altstack::AltStack,
    info::SigInfo,
    number::{SigSet, Signal},
    pending::{PendingSignals, Queued},
};
use crate::errno::SysResult;

/// The signal state of one thread.
#[derive(Debug)]
pub struct ThreadSignals {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What is held back.
    mask: SigSet,
    /// What rt_sigtimedwait(2) waits for: taken although it is blocked.
    waiting: SigSet,
    /// The mask to come back to, while rt_sigsuspend(2), ppoll(2) and the like have replaced it.
    saved_mask: Option<SigSet>,
    /// See sigaltstack(2).
    altstack: AltStack,
    /// Sent to this thread.
    pending: PendingSignals,
}

impl State {
    /// What is not held back now.
    fn open(&self) -> SigSet {
        self.mask.complement().union(self.waiting)
    }
}

impl ThreadSignals {
    /// Nothing pending, `mask` blocked, no alternate stack.
    pub fn new(mask: SigSet) -> Self {
        Self {
            state: Mutex::new(State {
                mask: mask.difference(SigSet::UNBLOCKABLE),
                waiting: SigSet::EMPTY,
                saved_mask: None,
                altstack: AltStack::NONE,
                pending: PendingSignals::new(),
            }),
        }
    }

    /// What a thread made by clone(2) starts with: the mask, and the alternate stack unless the two share memory.
    pub fn for_clone(&self, keep_altstack: bool) -> Self {
        let state = self.state.lock();
        let child = Self::new(state.mask);
        if keep_altstack {
            child.state.lock().altstack = state.altstack;
        }
        child
    }

    /// What a thread keeps over execve(2): the mask and what is pending, which is taken; not the alternate stack.
    pub fn for_exec(&self) -> Self {
        let mut state = self.state.lock();
        let kept = Self::new(state.mask);
        kept.state.lock().pending = std::mem::take(&mut state.pending);
        kept
    }

    /// What is blocked.
    pub fn mask(&self) -> SigSet {
        self.state.lock().mask
    }

    /// Blocks exactly `mask` and returns the mask before. The caller then looks whether something is deliverable.
    pub(super) fn replace_mask(&self, mask: SigSet) -> SigSet {
        let mask = mask.difference(SigSet::UNBLOCKABLE);
        std::mem::replace(&mut self.state.lock().mask, mask)
    }

    /// Blocks exactly `mask` until a handler has returned or [`take_saved_mask`](Self::take_saved_mask) is applied.
    pub(super) fn replace_mask_for_a_while(&self, mask: SigSet) {
        let mut state = self.state.lock();
        let old = std::mem::replace(&mut state.mask, mask.difference(SigSet::UNBLOCKABLE));
        state.saved_mask.get_or_insert(old);
    }

    /// The mask that a temporary one replaced, if any; it is temporary no more.
    pub(super) fn take_saved_mask(&self) -> Option<SigSet> {
        self.state.lock().saved_mask.take()
    }

    /// Lets through the signals in `set` although they are blocked (rt_sigtimedwait).
    pub(super) fn set_waiting(&self, set: SigSet) {
        self.state.lock().waiting = set.difference(SigSet::UNBLOCKABLE);
    }

    /// What is blocked and not waited for: such a signal is kept even when its action is to ignore it.
    pub(super) fn holds_back(&self, signal: Signal) -> bool {
        let state = self.state.lock();
        state.mask.contains(signal) || state.waiting.contains(signal)
    }

    /// Whether the thread would take `signal` now.
    pub(super) fn is_open(&self, signal: Signal) -> bool {
        self.state.lock().open().contains(signal)
    }

    /// Whether one of its own pending signals or of `shared` is deliverable.
    pub(super) fn has_deliverable(&self, shared: SigSet) -> bool {
        let state = self.state.lock();
        !state.pending.set().union(shared).intersection(state.open()).is_empty()
    }

    /// What is pending for this thread alone.
    pub fn pending(&self) -> SigSet {
        self.state.lock().pending.set()
    }

    /// How many signals are queued.
    pub fn queued(&self) -> usize {
        self.state.lock().pending.len()
    }

    /// What is queued for this thread alone, oldest first.
    pub(crate) fn pending_infos(&self) -> Vec<SigInfo> {
        self.state.lock().pending.infos()
    }

    pub(crate) fn push(&self, signal: Signal, info: SigInfo, limit: usize) -> SysResult<Queued> {
        self.state.lock().pending.push(signal, info, limit)
    }

    /// Unblocks `signal` and makes it pending; for what can not be put off.
    pub(super) fn push_forced(&self, signal: Signal, info: SigInfo) {
        let mut state = self.state.lock();
        state.mask.remove(signal);
        // The standard signal that may be pending already would hide this one.
        state.pending.discard(SigSet::of(&[signal]));
        let _ = state.pending.push(signal, info, usize::MAX);
    }

    /// Takes the next own signal of `wanted`.
    pub(super) fn pop(&self, wanted: SigSet) -> Option<(Signal, SigInfo)> {
        self.state.lock().pending.pop(wanted)
    }

    pub(super) fn discard(&self, set: SigSet) {
        self.state.lock().pending.discard(set);
    }

    /// The alternate stack.
    pub fn altstack(&self) -> AltStack {
        self.state.lock().altstack
    }

    /// Replaces the alternate stack.
    pub fn set_altstack(&self, altstack: AltStack) {
        self.state.lock().altstack = altstack;
    }
}

/// The signal state that the threads of a process share.
pub struct ProcessSignals {
    actions: RwLock<Arc<SignalActions>>,
    pending: Mutex<PendingSignals>,
    /// The set of `pending`, to be read without its lock. Written under it.
    shared: AtomicU64,
    /// Notified when a signal becomes pending for the process or one of its threads (signalfd).
    pub arrivals: WaitQueue,
}

impl Default for ProcessSignals {
    fn default() -> Self {
        Self::new()
    }
}

impl ProcessSignals {
    /// All at default.
    pub fn new() -> Self {
        Self::with_actions(Arc::default())
    }

    /// Nothing pending, and these actions.
    pub fn with_actions(actions: Arc<SignalActions>) -> Self {
        Self {
            actions: RwLock::new(actions),
            pending: Mutex::default(),
            shared: AtomicU64::new(0),
            arrivals: WaitQueue::new(),
        }
    }

    /// What a child process starts with: nothing pending, and the same actions, as they are or shared (`CLONE_SIGHAND`).
    pub fn for_fork(&self, share_actions: bool) -> Self {
        let actions = self.actions();
        Self::with_actions(if share_actions { actions } else { Arc::new(actions.duplicate()) })
    }

    /// The actions.
    pub fn actions(&self) -> Arc<SignalActions> {
        Arc::clone(&self.actions.read())
    }

    /// Calls `with` with the actions, without the cost of holding on to them.
    pub fn with<T>(&self, with: impl FnOnce(&SignalActions) -> T) -> T {
        with(&self.actions.read())
    }

    /// Puts handlers back to default, as execve(2) does; others that shared the actions keep theirs.
    pub fn reset_for_exec(&self) {
        let mut actions = self.actions.write();
        *actions = Arc::new(actions.for_exec());
    }

    /// What is pending for the process as a whole.
    pub fn pending(&self) -> SigSet {
        SigSet(self.shared.load(Ordering::SeqCst))
    }

    /// How many signals are queued.
    pub fn queued(&self) -> usize {
        self.pending.lock().len()
    }

    /// What is queued for the process as a whole, oldest first.
    pub(crate) fn pending_infos(&self) -> Vec<SigInfo> {
        self.pending.lock().infos()
    }

    fn update<T>(&self, change: impl FnOnce(&mut PendingSignals) -> T) -> T {
        let mut pending = self.pending.lock();
        let result = change(&mut pending);
        self.shared.store(pending.set().0, Ordering::SeqCst);
        result
    }

    pub(super) fn push(&self, signal: Signal, info: SigInfo, limit: usize) -> SysResult<Queued> {
        self.update(|pending| pending.push(signal, info, limit))
    }

    /// Takes the next signal that was sent to the process, for one whose threads take none.
    pub(crate) fn take_any(&self) -> Option<Signal> {
        self.pop(SigSet::FULL).map(|(signal, _)| signal)
    }

    /// Takes the next signal of `wanted` that was sent to the process.
    pub(super) fn pop(&self, wanted: SigSet) -> Option<(Signal, SigInfo)> {
        if self.pending().intersection(wanted).is_empty() {
            return None;
        }
        self.update(|pending| pending.pop(wanted))
    }

    pub(super) fn discard(&self, set: SigSet) {
        if !self.pending().intersection(set).is_empty() {
            self.update(|pending| pending.discard(set));
        }
    }

    /// Forgets the signal of a deleted timer.
    pub fn discard_timer(&self, timer: i32) {
        self.update(|pending| pending.discard_timer(timer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_becomes_deliverable_when_unblocked_or_waited_for() {
        let usr1 = SigSet::of(&[Signal::SIGUSR1]);
        let thread = ThreadSignals::new(usr1);
        thread.push(Signal::SIGUSR1, SigInfo::kill(Signal::SIGUSR1, 1, 0), 9).unwrap();
        assert!(!thread.has_deliverable(SigSet::EMPTY));
        thread.set_waiting(usr1);
        assert!(thread.has_deliverable(SigSet::EMPTY));
        thread.set_waiting(SigSet::EMPTY);
        assert_eq!(thread.replace_mask(SigSet::EMPTY), usr1);
        assert!(thread.has_deliverable(SigSet::EMPTY));
    }

    #[test]
    fn a_temporary_mask_remembers_the_first_one_it_replaced() {
        let thread = ThreadSignals::new(SigSet(1));
        thread.replace_mask_for_a_while(SigSet(2));
        thread.replace_mask_for_a_while(SigSet(4));
        assert_eq!((thread.mask(), thread.take_saved_mask()), (SigSet(4), Some(SigSet(1))));
        assert_eq!(thread.take_saved_mask(), None);
    }

    #[test]
    fn a_forced_signal_gets_through_a_mask_and_past_an_earlier_one() {
        let thread = ThreadSignals::new(SigSet::FULL);
        thread.push(Signal::SIGSEGV, SigInfo::kill(Signal::SIGSEGV, 1, 0), 9).unwrap();
        thread.push_forced(Signal::SIGSEGV, SigInfo::fault(Signal::SIGSEGV, 1, 0x10));
        assert!(thread.has_deliverable(SigSet::EMPTY));
        assert_eq!(thread.pop(SigSet::FULL).map(|(_, info)| info.address()), Some(0x10));
    }

    #[test]
    fn what_is_pending_for_a_process_shows_without_its_lock() {
        let process = ProcessSignals::new();
        process.push(Signal::SIGTERM, SigInfo::kill(Signal::SIGTERM, 1, 0), 9).unwrap();
        assert_eq!(process.pending(), SigSet::of(&[Signal::SIGTERM]));
        assert!(process.pop(SigSet::FULL).is_some());
        assert!(process.pending().is_empty());
    }
}
