//! The queue of completions.
//!
//! The one idea: the kernel knows the tail and reads the guest's head, so all that a guest can do to it is to make it look full. What does not fit
//! is kept in a list, in order, which the guest is told of by a flag and which goes to the queue when somebody enters the ring.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

use hal::pmem::Charge;
use kernel_objects::WaitQueue;
use linux_raw_sys::io_uring as raw;
use parking_lot::Mutex;
use zerocopy::IntoBytes;

use super::{
    entry::Cqe,
    layout::{Geometry, Shared, word},
};
use crate::{
    errno::{Errno, SysResult},
    vfs::{IoSrc, OpenFile, PollEvents},
};

/// The most completions that are kept for a guest that does not look.
const KEPT: usize = 1 << 18;
/// How many more are paid for at a time.
const STEP: usize = 256;

/// The queue, and what does not fit in it.
pub(super) struct Completions {
    shared: Arc<Shared>,
    geometry: Geometry,
    state: Mutex<State>,
    /// Notified when there are more, and when the ring is over.
    pub(super) queue: Arc<WaitQueue>,
    /// Whether an eventfd was ever registered.
    has_eventfd: OnceLock<()>,
}

struct State {
    tail: u32,
    kept: VecDeque<Cqe>,
    /// For what is kept.
    charge: Charge,
    /// How many there have been, but for [`Kind::Timeout`].
    counted: u32,
    /// How many of [`Kind::Timeout`] there have been.
    timeouts: u32,
    eventfd: Option<EventFd>,
}

/// What is told of completions.
struct EventFd {
    file: Arc<OpenFile>,
    /// Only of those that come later than their submission.
    only_late: bool,
}

/// What a completion counts for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It came while its submission was taken.
    AtOnce,
    /// It came later.
    Late,
    /// A time is up: whoever waits for completions waits no longer, and those who count them do not count it.
    Timeout,
}

/// What whoever waits for completions looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Glance {
    /// How many there are to be seen.
    pub(super) ready: u32,
    /// How many times were up so far.
    pub(super) timeouts: u32,
}

impl Completions {
    pub(super) fn new(shared: Arc<Shared>, geometry: Geometry, charge: Charge) -> Self {
        let state = State {
            tail: 0,
            kept: VecDeque::new(),
            charge,
            counted: 0,
            timeouts: 0,
            eventfd: None,
        };
        let state = Mutex::new(state);
        Self { shared, geometry, state, queue: Arc::default(), has_eventfd: OnceLock::new() }
    }

    /// How many the guest has not taken yet: what it says, as far as that can be.
    fn used(&self, tail: u32) -> u32 {
        tail.wrapping_sub(self.shared.load(word::CQ_HEAD)).min(self.geometry.cq_entries)
    }

    fn put(&self, tail: &mut u32, cqe: &Cqe) {
        let at = self.geometry.cqe(*tail);
        self.shared.write(at, cqe.as_bytes());
        if self.geometry.has_large_completions() {
            self.shared.write(at + size_of::<Cqe>() as u32, &[0; 16]);
        }
        *tail = tail.wrapping_add(1);
    }

    /// Keeps one for later; one too many is lost, and counted.
    fn keep(&self, state: &mut State, cqe: &Cqe) {
        let len = state.kept.len();
        if len.is_multiple_of(STEP) {
            let bytes = ((len + STEP) * size_of::<Cqe>()) as u64;
            if len >= KEPT || state.charge.resize(bytes).is_err() {
                return self.shared.add(word::CQ_OVERFLOW, 1);
            }
        }
        state.kept.push_back(*cqe);
        self.shared.set(word::SQ_FLAGS, raw::IORING_SQ_CQ_OVERFLOW);
    }

    /// Sends completions to the guest and tells who waits for them.
    pub(super) fn post(&self, cqes: &[Cqe], kind: Kind) {
        if cqes.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        let mut tail = state.tail;
        let mut room = self.geometry.cq_entries - self.used(tail);
        for cqe in cqes {
            if room > 0 && state.kept.is_empty() {
                self.put(&mut tail, cqe);
                room -= 1;
            } else {
                self.keep(&mut state, cqe);
            }
        }
        state.tail = tail;
        self.shared.store(word::CQ_TAIL, tail);
        match kind {
            Kind::Timeout => state.timeouts = state.timeouts.wrapping_add(cqes.len() as u32),
            _ => state.counted = state.counted.wrapping_add(cqes.len() as u32),
        }
        let eventfd = match self.has_eventfd.get() {
            Some(()) => self.eventfd_to_tell(&state, kind),
            None => None,
        };
        drop(state);
        self.queue.notify_all_for(PollEvents::READABLE.bits());
        if let Some(file) = eventfd {
            // One that is full says so already.
            let _ = file.write(&mut IoSrc::kernel(&1u64.to_ne_bytes()));
        }
    }

    /// Sends one of several of an operation, if it need not be [kept](Self::keep): if it has, the operation is to end with it.
    pub(super) fn post_if_room(&self, cqe: Cqe) -> bool {
        self.post_one_if_room(cqe, Kind::Late)
    }

    /// The same, when a time is up.
    pub(super) fn post_timeout_if_room(&self, cqe: Cqe) -> bool {
        self.post_one_if_room(cqe, Kind::Timeout)
    }

    fn post_one_if_room(&self, cqe: Cqe, kind: Kind) -> bool {
        let state = self.state.lock();
        let room = state.kept.is_empty() && self.used(state.tail) < self.geometry.cq_entries;
        drop(state);
        if room {
            // Should somebody else take the place meanwhile, it is kept after all.
            self.post(&[cqe], kind);
        }
        room
    }

    fn eventfd_to_tell(&self, state: &State, kind: Kind) -> Option<Arc<OpenFile>> {
        let EventFd { file, only_late } = state.eventfd.as_ref()?;
        let quiet = self.shared.load(word::CQ_FLAGS) & raw::IORING_CQ_EVENTFD_DISABLED != 0;
        let wanted = !(quiet || *only_late && kind == Kind::AtOnce);
        wanted.then(|| Arc::clone(file))
    }

    /// Moves what was kept to where there is room now, and says how it stands.
    pub(super) fn flush(&self) -> Glance {
        let mut state = self.state.lock();
        let (used, timeouts) = (self.used(state.tail), state.timeouts);
        if state.kept.is_empty() {
            return Glance { ready: used, timeouts };
        }
        let count = state.kept.len().min((self.geometry.cq_entries - used) as usize);
        let mut tail = state.tail;
        for cqe in state.kept.drain(..count) {
            self.put(&mut tail, &cqe);
        }
        state.tail = tail;
        if state.kept.is_empty() {
            state.kept = VecDeque::new();
            // It becomes less, which never fails.
            let _ = state.charge.resize(0);
            self.shared.clear(word::SQ_FLAGS, raw::IORING_SQ_CQ_OVERFLOW);
        }
        self.shared.store(word::CQ_TAIL, tail);
        Glance { ready: self.used(tail), timeouts }
    }

    /// How many the guest could take now, with those that are kept.
    pub(super) fn available(&self) -> usize {
        let state = self.state.lock();
        self.used(state.tail) as usize + state.kept.len()
    }

    /// How many there have been, but for [times that were up](Kind::Timeout).
    pub(super) fn counted(&self) -> u32 {
        self.state.lock().counted
    }

    /// Has `file`, an eventfd, told of completions. `EBUSY` if there is one.
    pub(super) fn set_eventfd(&self, file: Arc<OpenFile>, only_late: bool) -> SysResult<()> {
        let mut state = self.state.lock();
        if state.eventfd.is_some() {
            return Err(Errno::EBUSY);
        }
        state.eventfd = Some(EventFd { file, only_late });
        let _ = self.has_eventfd.set(());
        Ok(())
    }

    /// Ends that. `ENXIO` if there is none.
    pub(super) fn take_eventfd(&self) -> SysResult<()> {
        let taken = self.state.lock().eventfd.take();
        taken.map(drop).ok_or(Errno::ENXIO)
    }
}
