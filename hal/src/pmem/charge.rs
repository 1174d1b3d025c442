//! What counts against the memory limit.
//!
//! Two kinds do. What was *promised* (memory of guests, files in memory, kernel objects) must be there when it is touched, so a
//! promise beyond the limit is refused. What is *cached* (pages of files that can be read again) has what the promises leave,
//! and a little of its own, so that programs whose promises are all taken still find their code; it goes, oldest first, when
//! there is too much of it. Without a limit nothing is ever refused, and nobody keeps a list.

use std::{
    collections::VecDeque,
    fmt,
    ops::Range,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::{OutOfMemory, PhysicalMemory, stall::Stalls};
use crate::{cpu, fault};

/// What is cached has at least this part of the limit, whatever was promised.
const CACHE_SHARE: u64 = 8;
/// And as many bytes.
const CACHE_MIN: u64 = 1 << 20;

/// Something that caches pages which can be had again.
pub trait Reclaim: Send + Sync {
    /// Gives back what is cached of `range`, in its own terms; false if it is in use just now, or dear to somebody and this is not
    /// the `last_resort`. May block.
    fn reclaim(&self, range: &Range<u64>, last_resort: bool) -> bool;
}

/// Somebody who can do something about a limit that was met.
pub trait Shortage: Send + Sync {
    /// A promise was refused. Called on a thread that holds no lock, by one at a time: what is refused meanwhile is not told again.
    fn memory_is_short(&self);
}

/// Where cached pages are: who has them, and which.
type Cached = (Weak<dyn Reclaim>, Range<u64>);

/// What is known of cached pages, oldest first.
#[derive(Default)]
struct Queue {
    list: VecDeque<Cached>,
    /// Entries of what is gone are removed when there are this many.
    prune_at: usize,
}

/// The limit and what counts against it, in bytes.
pub(super) struct Limit {
    limit: Option<u64>,
    promised: AtomicU64,
    cached: AtomicU64,
    queue: Mutex<Queue>,
    /// Somebody is at it.
    trimming: AtomicBool,
    /// Whom to tell when a promise is refused.
    shortage: Mutex<Option<Weak<dyn Shortage>>>,
    /// He is being told.
    telling: AtomicBool,
    /// How long threads waited.
    stalls: Stalls,
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Limit");
        debug.field("limit", &self.limit).field("promised", &self.promised);
        debug.field("cached", &self.cached).finish_non_exhaustive()
    }
}

impl Limit {
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self {
            limit,
            promised: AtomicU64::new(0),
            cached: AtomicU64::new(0),
            queue: Mutex::default(),
            trimming: AtomicBool::new(false),
            shortage: Mutex::default(),
            telling: AtomicBool::new(false),
            stalls: Stalls::default(),
        }
    }

    /// How much may be cached now.
    fn cache_room(&self) -> u64 {
        let Some(limit) = self.limit else { return u64::MAX };
        let share = (limit / CACHE_SHARE).max(CACHE_MIN);
        limit.saturating_sub(self.promised.load(Ordering::Relaxed)).max(share)
    }

    fn cache_is_too_large(&self) -> bool {
        self.cached.load(Ordering::Relaxed) > self.cache_room()
    }

    fn counter(&self, kind: Kind) -> (&AtomicU64, u64) {
        match kind {
            Kind::Promised => (&self.promised, self.limit.unwrap_or(u64::MAX)),
            Kind::Cached => (&self.cached, self.cache_room()),
        }
    }
}

/// What a charge is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Promised,
    Cached,
}

impl PhysicalMemory {
    /// Counts `bytes` that are promised until the returned [`Charge`] is dropped.
    ///
    /// # Errors
    /// [`OutOfMemory`] if the limit would be passed.
    pub fn charge(self: &Arc<Self>, bytes: u64) -> Result<Charge, OutOfMemory> {
        let mut charge = self.no_charge();
        charge.resize(bytes)?;
        Ok(charge)
    }

    /// A promise of no bytes, to be [resized](Charge::resize).
    #[must_use]
    pub fn no_charge(self: &Arc<Self>) -> Charge {
        Charge { memory: self.clone(), bytes: 0, kind: Kind::Promised }
    }

    /// A charge for cached bytes, none yet. Making it larger fails when there is too much in caches:
    /// [`reclaim`](Self::reclaim) then.
    #[must_use]
    pub fn no_cache_charge(self: &Arc<Self>) -> Charge {
        Charge { memory: self.clone(), bytes: 0, kind: Kind::Cached }
    }

    /// Says that `range` of `cache` is cached from now on, for [`reclaim`](Self::reclaim).
    pub fn note_cached(&self, cache: Weak<dyn Reclaim>, range: Range<u64>) {
        if self.limit.limit.is_none() {
            return;
        }
        let mut queue = self.limit.queue.lock();
        if queue.list.len() >= queue.prune_at.max(1024) {
            queue.list.retain(|(cache, _)| cache.strong_count() > 0);
            queue.prune_at = queue.list.len() * 2;
        }
        queue.list.push_back((cache, range));
    }

    /// Says that `range` of `cache`, which is cached, is the first thing that may go.
    pub fn note_unneeded(&self, cache: Weak<dyn Reclaim>, range: Range<u64>) {
        if self.limit.limit.is_some() {
            self.limit.queue.lock().list.push_front((cache, range));
        }
    }

    /// Gives back what was cached first, until `bytes` more can be cached; false if there is nothing that can go. May block; to
    /// be called without a lock that somebody who caches may hold. The calling thread is [stalled](Self::stall_times) meanwhile.
    pub fn reclaim(&self, bytes: u64) -> bool {
        self.limit.stalls.stall(|| self.reclaim_quietly(bytes))
    }

    /// As [`reclaim`](Self::reclaim), where nobody waits for it.
    fn reclaim_quietly(&self, bytes: u64) -> bool {
        self.reclaim_once(bytes, false) || self.reclaim_once(bytes, true)
    }

    pub(super) fn stalls(&self) -> &Stalls {
        &self.limit.stalls
    }

    fn reclaim_once(&self, bytes: u64, last_resort: bool) -> bool {
        let limit = &self.limit;
        // Each is tried once: those in use go to the end.
        let mut tries = limit.queue.lock().list.len();
        while limit.cached.load(Ordering::Relaxed).saturating_add(bytes) > limit.cache_room() {
            let Some(left) = tries.checked_sub(1) else { return false };
            tries = left;
            let Some((cache, range)) = limit.queue.lock().list.pop_front() else { return false };
            let Some(alive) = cache.upgrade() else { continue };
            if !alive.reclaim(&range, last_resort) {
                limit.queue.lock().list.push_back((cache, range));
            }
        }
        true
    }

    /// The limit, in bytes.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        self.limit.limit
    }

    /// Bytes promised now.
    #[must_use]
    pub fn charged(&self) -> u64 {
        self.limit.promised.load(Ordering::Relaxed)
    }

    /// Bytes in caches now.
    #[must_use]
    pub fn cached_content(&self) -> u64 {
        self.limit.cached.load(Ordering::Relaxed)
    }

    /// Has `whom` be told whenever a promise is refused, in place of who was before.
    pub fn tell_of_shortage(&self, whom: Weak<dyn Shortage>) {
        *self.limit.shortage.lock() = Some(whom);
    }

    /// A promise was refused.
    #[cold]
    fn note_shortage(self: &Arc<Self>) {
        let limit = &self.limit;
        let whom = limit.shortage.lock().as_ref().and_then(Weak::upgrade);
        let Some(whom) = whom.filter(|_| !limit.telling.swap(true, Ordering::AcqRel)) else {
            return;
        };
        let memory = self.clone();
        // Not here, for whoever wanted it may hold locks.
        cpu::run_on_pool(move || {
            whom.memory_is_short();
            memory.limit.telling.store(false, Ordering::Release);
        });
    }

    /// After a promise: caches may have more than is left for them.
    fn trim_caches(self: &Arc<Self>) {
        let limit = &self.limit;
        if !limit.cache_is_too_large() || limit.trimming.swap(true, Ordering::AcqRel) {
            return;
        }
        let memory = self.clone();
        // Not here, for whoever promises may hold locks.
        cpu::run_on_pool(move || {
            memory.reclaim_quietly(0);
            memory.limit.trimming.store(false, Ordering::Release);
        });
    }
}

/// Bytes counted against the memory limit; dropping it gives them back.
#[derive(Debug)]
pub struct Charge {
    memory: Arc<PhysicalMemory>,
    bytes: u64,
    kind: Kind,
}

impl Charge {
    /// Bytes charged.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Charges `bytes` in all from now on.
    ///
    /// # Errors
    /// [`OutOfMemory`] if the limit would be passed; nothing has changed then.
    pub fn resize(&mut self, bytes: u64) -> Result<(), OutOfMemory> {
        let (counter, most) = self.memory.limit.counter(self.kind);
        if let Some(more) = bytes.checked_sub(self.bytes) {
            if self.kind == Kind::Promised && more > 0 && fault::refuses_memory() {
                return Err(OutOfMemory);
            }
            let sum = counter.try_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                now.checked_add(more).filter(|&sum| sum <= most)
            });
            if sum.is_err() {
                if self.kind == Kind::Promised {
                    self.memory.note_shortage();
                }
                return Err(OutOfMemory);
            }
            if self.kind == Kind::Promised {
                self.memory.trim_caches();
            }
        } else {
            counter.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let (counter, _) = self.memory.limit.counter(self.kind);
        counter.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn charges_stop_at_the_limit() {
        let memory = PhysicalMemory::new(Some(10_000)).unwrap();
        let mut charge = memory.charge(6_000).unwrap();
        assert!(memory.charge(5_000).is_err());
        assert!(memory.charge(u64::MAX).is_err());
        assert!(charge.resize(10_001).is_err());
        charge.resize(1_000).unwrap();
        let other = memory.charge(9_000).unwrap();
        assert_eq!(memory.charged(), 10_000);
        drop((charge, other));
        assert_eq!(memory.charged(), 0);
    }

    #[test]
    fn who_asked_for_it_is_told_of_each_shortage_of_promises() {
        struct Told(std::sync::mpsc::Sender<()>);
        impl Shortage for Told {
            fn memory_is_short(&self) {
                let _ = self.0.send(());
            }
        }
        let memory = PhysicalMemory::new(Some(MIB)).unwrap();
        assert!(memory.charge(2 * MIB).is_err(), "nobody asked");
        let (sender, told) = std::sync::mpsc::channel();
        let whom = Arc::new(Told(sender));
        let weak: Weak<dyn Shortage> = Arc::<Told>::downgrade(&whom);
        memory.tell_of_shortage(weak);
        let _fits = memory.charge(MIB).unwrap();
        assert!(memory.no_cache_charge().resize(4 * MIB).is_err(), "what is cached goes instead");
        for _ in 0..2 {
            assert!(memory.charge(1).is_err());
            told.recv().unwrap();
            while memory.limit.telling.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
        }
        drop(whom);
        assert!(memory.charge(1).is_err());
        assert!(told.recv().is_err(), "no more than that");
    }

    /// Something that has cached as much as it holds a charge for, and may be in use, or dear.
    struct Cache(Mutex<Option<Charge>>, AtomicBool, AtomicBool);

    impl Cache {
        fn with(memory: &Arc<PhysicalMemory>, bytes: u64) -> Result<Arc<Self>, OutOfMemory> {
            let mut charge = memory.no_cache_charge();
            charge.resize(bytes)?;
            let cache = Arc::new(Self(Mutex::new(Some(charge)), false.into(), false.into()));
            let weak: Weak<dyn Reclaim> = Arc::<Self>::downgrade(&cache);
            memory.note_cached(weak, 0..bytes);
            Ok(cache)
        }

        fn is_empty(&self) -> bool {
            self.0.lock().is_none()
        }
    }

    impl Reclaim for Cache {
        fn reclaim(&self, _: &Range<u64>, last_resort: bool) -> bool {
            let dear = self.2.load(Ordering::Relaxed) && !last_resort;
            let free = !self.1.load(Ordering::Relaxed) && !dear;
            if free {
                *self.0.lock() = None;
            }
            free
        }
    }

    #[test]
    fn caches_have_what_promises_leave_and_the_oldest_goes_first() {
        let memory = PhysicalMemory::new(Some(8 * MIB)).unwrap();
        let promise = memory.charge(4 * MIB).unwrap();
        let busy = Cache::with(&memory, MIB).unwrap();
        busy.1.store(true, Ordering::Relaxed);
        let old = Cache::with(&memory, 2 * MIB).unwrap();
        let new = Cache::with(&memory, MIB).unwrap();
        assert!(Cache::with(&memory, 1).is_err());
        assert!(memory.reclaim(3 * MIB / 2));
        assert!(old.is_empty() && !new.is_empty() && !busy.is_empty());
        assert_eq!((memory.charged(), memory.cached_content()), (4 * MIB, 2 * MIB));
        assert!(!memory.reclaim(5 * MIB), "one of them is in use");
        drop((busy, promise));
        assert!(memory.reclaim(8 * MIB));
        assert_eq!((memory.charged(), memory.cached_content()), (0, 0));
    }

    #[test]
    fn what_is_unneeded_goes_first_and_what_is_dear_last() {
        let memory = PhysicalMemory::new(Some(8 * MIB)).unwrap();
        let caches: Vec<_> = (0..4).map(|_| Cache::with(&memory, MIB).unwrap()).collect();
        let empty = || caches.iter().map(|cache| cache.is_empty()).collect::<Vec<_>>();
        caches[0].2.store(true, Ordering::Relaxed);
        let unneeded: Weak<dyn Reclaim> = Arc::<Cache>::downgrade(&caches[2]);
        memory.note_unneeded(unneeded, 0..MIB);
        assert!(memory.reclaim(5 * MIB));
        assert_eq!(empty(), [false, false, true, false]);
        assert!(memory.reclaim(7 * MIB));
        assert_eq!(empty(), [false, true, true, true]);
        assert!(memory.reclaim(8 * MIB));
        assert!(caches[0].is_empty());
    }

    #[test]
    fn promises_drive_caches_out_but_for_their_share() {
        let memory = PhysicalMemory::new(Some(8 * MIB)).unwrap();
        let caches: Vec<_> = (0..16).map(|_| Cache::with(&memory, MIB / 2).unwrap()).collect();
        let promise = memory.charge(8 * MIB).unwrap();
        while memory.cached_content() > MIB {
            std::thread::yield_now();
        }
        assert_eq!(caches.iter().filter(|cache| !cache.is_empty()).count(), 2);
        drop(promise);
    }
}
