//! Who watches an object's signals, and whom to call when that ends.
//!
//! The one idea: mostly there is one watcher or two, and to walk over them costs less than to keep any order. Only when there are many,
//! those through a handle are also found by that handle, so that closing one of many does not walk over the others.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, Weak},
    task::{Wake, Waker},
};

use super::{HandleId, SignalSink, Signals, WatchKey};
use crate::error::{Error, Result};

/// The watchers, by index. An entry is filled and emptied where it is: what moves right after it was written waits in the store buffer.
#[derive(Default)]
pub(super) struct Watchers {
    entries: Vec<Watcher>,
    /// The entry that was emptied last; each such names the one before.
    free: Option<usize>,
    len: usize,
    next_serial: u64,
    /// Those through a handle, by handle and index: since there have been more than [`FEW`], until there are none.
    by_handle: Option<BTreeSet<(HandleId, usize)>>,
}

pub(super) struct Watcher {
    pub(super) mask: Signals,
    handle: HandleId,
    serial: u64,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Free {
        next: Option<usize>,
    },
    /// A future, and whom to wake for it.
    Task(Waker),
    /// A future whose wait has ended. It takes itself out; until then the outcome waits for it here.
    Ended(Result<Signals>),
    /// A sink: taken out when it fires. `edge`: only a bit that was clear before counts.
    Sink {
        sink: Weak<dyn SignalSink>,
        token: u64,
        edge: bool,
    },
}

/// As many entries are kept when all are empty.
const KEEP: usize = 64;
/// So many watchers are searched one by one for those of a handle.
const FEW: usize = 64;

/// Whom to call for the watches that have ended.
#[derive(Default)]
struct Ended {
    /// The first task: nearly always there is no more.
    first: Option<Waker>,
    others: Vec<Call>,
}

impl Ended {
    #[inline]
    fn calls(self) -> Calls {
        if self.others.is_empty() {
            Calls(self.first)
        } else {
            Calls::of_many(self.first, self.others)
        }
    }
}

impl Watchers {
    /// How many there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// For how many there is memory.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    #[inline]
    pub(super) fn insert(&mut self, mask: Signals, handle: HandleId, kind: Kind) -> WatchKey {
        self.next_serial += 1;
        self.len += 1;
        let serial = self.next_serial;
        let free = self.free.and_then(|index| Some((index, self.entries.get_mut(index)?)));
        let index = if let Some((index, entry)) = free
            && let Kind::Free { next } = entry.kind
        {
            self.free = next;
            (entry.mask, entry.handle, entry.serial) = (mask, handle, serial);
            entry.kind = kind;
            index
        } else {
            self.entries.push(Watcher { mask, handle, serial, kind });
            self.entries.len() - 1
        };
        if self.len > FEW || self.by_handle.is_some() {
            self.note_handle(handle, index);
        }
        WatchKey { index, serial }
    }

    /// Lists a watcher that was just placed; with the others, if it is the first.
    #[cold]
    fn note_handle(&mut self, handle: HandleId, index: usize) {
        if let Some(by_handle) = &mut self.by_handle {
            by_handle.insert((handle, index));
            return;
        }
        let used = |(index, entry): (usize, &Watcher)| {
            (!matches!(entry.kind, Kind::Free { .. })).then_some((entry.handle, index))
        };
        self.by_handle = Some(self.entries.iter().enumerate().filter_map(used).collect());
    }

    #[inline]
    pub(super) fn get(&mut self, key: WatchKey) -> Option<&mut Kind> {
        let entry = self.entries.get_mut(key.index).filter(|entry| entry.serial == key.serial)?;
        Some(&mut entry.kind)
    }

    /// Empties an entry; what it was.
    #[inline]
    pub(super) fn remove(&mut self, key: WatchKey) -> Option<Kind> {
        let kind = self.get(key).filter(|kind| !matches!(kind, Kind::Free { .. }))?;
        let kind = mem::replace(kind, Kind::Ended(Ok(Signals::empty())));
        self.free(key.index);
        self.shrink();
        Some(kind)
    }

    /// Puts the entry on the list of the free ones.
    #[inline]
    fn free(&mut self, index: usize) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        entry.kind = Kind::Free { next: self.free };
        if let Some(by_handle) = &mut self.by_handle {
            by_handle.remove(&(entry.handle, index));
        }
        self.free = Some(index);
        self.len -= 1;
    }

    #[inline]
    fn shrink(&mut self) {
        if self.len == 0 && self.entries.len() > KEEP {
            (self.entries, self.free, self.by_handle) = (Vec::new(), None, None);
        }
    }

    /// Ends those watches that `chosen` says, and tells whom to call for them.
    #[inline]
    pub(super) fn end(&mut self, outcome: Signals, chosen: impl Fn(&Watcher) -> bool) -> Calls {
        let mut ended = Ended::default();
        for index in 0..self.entries.len() {
            if self.entries.get(index).is_some_and(&chosen) {
                self.end_one(index, Ok(outcome), &mut ended);
            }
        }
        self.shrink();
        ended.calls()
    }

    /// Ends those watches that were begun through a handle, as cancelled.
    pub(super) fn cancel(&mut self, handle: HandleId) -> Calls {
        let mut ended = Ended::default();
        let canceled = Err(Error::Canceled);
        match &self.by_handle {
            Some(by_handle) => {
                let range = by_handle.range((handle, 0)..=(handle, usize::MAX));
                let indices: Vec<usize> = range.map(|&(_, index)| index).collect();
                for index in indices {
                    self.end_one(index, canceled, &mut ended);
                }
            }
            None => {
                for index in 0..self.entries.len() {
                    if self.entries.get(index).is_some_and(|entry| entry.handle == handle) {
                        self.end_one(index, canceled, &mut ended);
                    }
                }
            }
        }
        self.shrink();
        ended.calls()
    }

    /// Ends a watch that has not ended.
    #[inline]
    fn end_one(&mut self, index: usize, outcome: Result<Signals>, ended: &mut Ended) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        if matches!(entry.kind, Kind::Task(_)) {
            let kind = mem::replace(&mut entry.kind, Kind::Ended(outcome));
            let Kind::Task(waker) = kind else { return };
            match ended.first {
                None => ended.first = Some(waker),
                Some(_) => ended.others.push(Call::Wake(waker)),
            }
        } else if matches!(entry.kind, Kind::Sink { .. }) {
            let kind = mem::replace(&mut entry.kind, Kind::Ended(outcome));
            let Kind::Sink { sink, token, .. } = kind else { return };
            self.free(index);
            ended.others.push(Call::Tell(sink, token, outcome));
        }
    }
}

/// What a change of signals leaves to be called once no lock is held any more: nearly always one waker at most, and so it is
/// of the size of one, which takes no memory to pass on.
#[derive(Default)]
#[must_use = "those who wait would not learn of the change"]
pub(crate) struct Calls(Option<Waker>);

/// Several to be called, as one waker.
struct Many(Vec<Call>);

enum Call {
    Wake(Waker),
    Tell(Weak<dyn SignalSink>, u64, Result<Signals>),
}

impl Calls {
    /// Wakes this one.
    pub(crate) fn wake(waker: Option<Waker>) -> Calls {
        Calls(waker)
    }

    #[cold]
    fn of_many(first: Option<Waker>, mut others: Vec<Call>) -> Calls {
        // In the order in which they came.
        others.splice(..0, first.map(Call::Wake));
        Calls(Some(Waker::from(Arc::new(Many(others)))))
    }

    /// Wakes those who waited and tells the sinks.
    #[inline]
    pub(crate) fn run(self) {
        if let Some(waker) = self.0 {
            waker.wake();
        }
    }
}

impl Wake for Many {
    fn wake(self: Arc<Self>) {
        let calls = Arc::into_inner(self).into_iter().flat_map(|many| many.0);
        for call in calls {
            match call {
                Call::Wake(waker) => waker.wake(),
                Call::Tell(sink, token, outcome) => match (sink.upgrade(), outcome) {
                    (Some(sink), Ok(observed)) => sink.deliver(token, observed),
                    (Some(sink), Err(_)) => sink.cancel(token),
                    (None, _) => {}
                },
            }
        }
    }
}
