//! Reads that are on their way without a task.
//!
//! The one idea: what a read from a pipe or a socket waits for is that there is something in it, and for that a place in the file's queue is
//! enough. When its turn comes the place says which read it is, and whoever looks at the ring next makes it: the thread that waits for
//! completions, if one does, which is woken for that once however many reads there are. It takes neither a task nor a
//! thread to stand in for the caller, as an [operation](super::operations) does, which costs ten times as much.
//!
//! ```text
//! begin ──► in the file's queue ──► ready ──► collect: tried ──► done
//!                 ▲                                  │ somebody else was faster
//!                 └──────────────────────────────────┘
//! ```

use std::{
    collections::BTreeSet,
    future::Future,
    mem,
    ops::Deref,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
};

use hal::sync::{BiasedMutex, Mark};
use kernel_objects::{WaitQueue, wait_queue::Wait};
use libos_guest::abi::Submission;
use linux_raw_sys::general as raw;
use slab::Slab;

use super::operations::End;
use crate::{
    errno::{Errno, SysResult},
    memory::UserMemory,
    process::Thread,
    syscall::{argument::Fd, io::check_reach},
    trace,
    vfs::{IoDst, OpenFile, PollEvents},
};

/// The most bytes of a read that is made in one piece.
const MOST: u64 = 64 << 10;
/// What it waits for.
const READABLE: PollEvents = PollEvents::IN.union(PollEvents::ERR).union(PollEvents::HUP);

/// What a thread is told by that is to [collect](Reads::collect), beside the events of poll(2).
pub(super) const READY: u32 = 1 << 26;

/// Who collects when no thread waits for completions.
pub(super) trait Collector: Send + Sync {
    /// Sees to it that [`collect`](Reads::collect) is called.
    fn collect_soon(&self);
}

/// The reads of one ring.
pub(super) struct Reads<C: Collector> {
    me: Weak<Self>,
    /// Where threads wait for completions.
    completed: Arc<WaitQueue>,
    collector: Weak<C>,
    /// There are ready ones, and somebody is going to collect them.
    told: Mark,
    count: AtomicUsize,
    /// Whose turn has come. They may have ended since, or not yet be what they were.
    ready: BiasedMutex<Vec<usize>>,
    /// Locked while one is tried, so that nothing is left of any when it has been emptied.
    waiting: BiasedMutex<Waiting>,
}

struct Waiting {
    /// Whose they are; `None` when that has ended.
    memory: Option<Arc<UserMemory>>,
    places: Slab<Read>,
    /// By their ids, which need not be different: from the first cancellation on.
    by_id: Option<BTreeSet<(u64, usize)>>,
    /// What says whose turn has come, for each place. They lead here, until the end.
    wakers: Vec<Waker>,
    /// Swapped with those that are ready.
    turn: Vec<usize>,
}

/// A read as it was submitted.
pub(super) struct Read {
    id: u64,
    address: u64,
    len: usize,
    wait: Wait<QueueOf>,
    record: Option<trace::Operation>,
}

/// What a read that is done was known by, and its record in the trace.
pub(super) type Known = (u64, Option<trace::Operation>);

/// A file's queue, with the file.
struct QueueOf(Arc<OpenFile>);

impl Deref for QueueOf {
    type Target = WaitQueue;

    fn deref(&self) -> &WaitQueue {
        self.0.wait_queue().expect("looked at when the read was made")
    }
}

/// What has become of a submission that was to [begin](Reads::begin).
pub(super) enum Begun {
    /// It is on its way.
    Waits,
    Done(SysResult),
    /// It is no read that can wait here.
    Unsuited,
}

/// Says that it is a read's turn.
struct Turn<C: Collector> {
    reads: Arc<Reads<C>>,
    place: usize,
}

impl<C: Collector + 'static> Wake for Turn<C> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.reads.ready.lock().push(self.place);
        self.reads.tell();
    }
}

impl Read {
    /// The read that `submission` asks for, if it is one of those that can wait here: a plain one of a few bytes from what has no
    /// position, whose turn has come when there is anything to read.
    fn of(thread: &Thread, submission: &Submission) -> Option<Self> {
        let [fd, address, len, flags, from, _] = submission.arguments;
        let is_read = submission.call == raw::__NR_read;
        let is_recv = submission.call == raw::__NR_recvfrom && flags == 0 && from == 0 && len > 0;
        if submission.flags != 0
            || !(is_read || is_recv)
            || len > MOST
            || check_reach(address, len).is_err()
        {
            return None;
        }
        let file = thread.files.get(Fd(fd as i32)).ok()?;
        let waits = file.is_simple()
            && !file.nonblocking()
            && file.wait_queue().is_some()
            && file.wait_limit(PollEvents::IN).is_none();
        let suits = match file.socket() {
            Ok(socket) => socket.kind().is_connected() && socket.options().low_water() <= 1,
            Err(_) => is_read,
        };
        let wait = Wait::new(QueueOf(file), READABLE.bits());
        let (id, len) = (submission.id, len as usize);
        (waits && suits).then_some(Self { id, address, len, wait, record: None })
    }

    /// Reads, or is in the file's queue again: with a try after it, so that nothing is missed.
    fn attempt(&mut self, memory: &UserMemory, waker: &Waker) -> Option<SysResult> {
        let mut context = Context::from_waker(waker);
        loop {
            let queued = Pin::new(&mut self.wait).poll(&mut context).is_pending();
            let mut into = IoDst::guest(memory, self.address, self.len);
            let file = &self.wait.queue().0;
            match file.read(&mut into) {
                Err(Errno::EAGAIN) if queued => return None,
                Err(Errno::EAGAIN) => {
                    self.wait = Wait::new(QueueOf(Arc::clone(file)), READABLE.bits());
                }
                result => return Some(result),
            }
        }
    }
}

impl<C: Collector + 'static> Reads<C> {
    /// Those of `thread`'s process; who waits at `completed` for [`READY`] collects, else it is the collector's to see to.
    pub(super) fn new(thread: &Thread, completed: Arc<WaitQueue>, collector: Weak<C>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            completed,
            collector,
            told: Mark::new(),
            count: AtomicUsize::new(0),
            ready: BiasedMutex::default(),
            waiting: BiasedMutex::new(Waiting {
                memory: Some(Arc::clone(&thread.memory)),
                places: Slab::new(),
                by_id: None,
                wakers: Vec::new(),
                turn: Vec::new(),
            }),
        })
    }

    /// Whether there may be some whose turn has come. By the list and not by the mark: its lock orders this look after the caller's place
    /// among those who are told.
    pub(super) fn are_ready(&self) -> bool {
        !self.ready.lock().is_empty()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Begins what `submission` asks for, if it can wait here; `record` goes with it then. `EAGAIN` for a process that ends.
    pub(super) fn begin(
        &self,
        thread: &Thread,
        submission: &Submission,
        record: &mut Option<trace::Operation>,
    ) -> Begun {
        let Some(mut read) = Read::of(thread, submission) else { return Begun::Unsuited };
        let mut waiting = self.waiting.lock();
        let Waiting { memory, places, by_id, wakers, .. } = &mut *waiting;
        let Some(memory) = memory else { return Begun::Done(Err(Errno::EAGAIN)) };
        let place = places.vacant_key();
        while wakers.len() <= place {
            let Some(reads) = self.me.upgrade() else { return Begun::Unsuited };
            wakers.push(Waker::from(Arc::new(Turn { reads, place: wakers.len() })));
        }
        let Some(waker) = wakers.get(place) else { return Begun::Unsuited };
        if let Some(result) = read.attempt(memory, waker) {
            return Begun::Done(result);
        }
        // Not taken unless there is one: what was just written in part would be read as a whole, for which the processor waits.
        if record.is_some() {
            read.record = record.take();
        }
        if let Some(by_id) = by_id {
            by_id.insert((read.id, place));
        }
        places.insert(read);
        self.count.store(places.len(), Ordering::Relaxed);
        Begun::Waits
    }

    fn tell(&self) {
        // A thread that waits does it on its way back to its own code.
        if self.told.set()
            && self.completed.notify_all_for(READY) == 0
            && let Some(collector) = self.collector.upgrade()
        {
            collector.collect_soon();
        }
    }

    /// Makes the reads whose turn has come, and calls `done` for each that is done.
    pub(super) fn collect(&self, mut done: impl FnMut(Known, SysResult)) {
        // Whoever comes after this tells again.
        if !self.told.is_set() || !self.told.clear() {
            return;
        }
        let mut waiting = self.waiting.lock();
        let mut turn = mem::take(&mut waiting.turn);
        mem::swap(&mut turn, &mut self.ready.lock());
        for place in turn.drain(..) {
            let Waiting { memory, places, wakers, by_id, .. } = &mut *waiting;
            let (Some(memory), Some(read), Some(waker)) =
                (memory, places.get_mut(place), wakers.get(place))
            else {
                continue;
            };
            let Some(result) = read.attempt(memory, waker) else { continue };
            if let Some(Read { id, record, .. }) = places.try_remove(place) {
                if let Some(by_id) = by_id {
                    by_id.remove(&(id, place));
                }
                done((id, record), result);
            }
        }
        waiting.turn = turn;
        self.count.store(waiting.places.len(), Ordering::Relaxed);
    }

    /// Takes the read `id` out, if there is one.
    pub(super) fn cancel(&self, id: u64) -> Option<Known> {
        let mut waiting = self.waiting.lock();
        let Waiting { places, by_id, .. } = &mut *waiting;
        let by_id = by_id
            .get_or_insert_with(|| places.iter().map(|(place, read)| (read.id, place)).collect());
        let found = *by_id.range((id, 0)..=(id, usize::MAX)).next()?;
        by_id.remove(&found);
        let read = places.try_remove(found.1)?;
        self.count.store(places.len(), Ordering::Relaxed);
        drop(waiting);
        Some((id, read.record))
    }
}

impl<C: Collector> End for Reads<C> {
    fn end(&self) {
        let mut waiting = self.waiting.lock();
        let ended = (
            mem::take(&mut waiting.places),
            mem::take(&mut waiting.wakers),
            waiting.memory.take(),
            waiting.by_id.take(),
        );
        self.count.store(0, Ordering::Relaxed);
        drop(waiting);
        drop(ended);
    }
}
