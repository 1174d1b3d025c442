//! Interest in many files at once, epoll(7).
//!
//! The one idea: each file of a set has an item that the file's wait queue calls, and a call puts the item on the set's ready list. A wait looks only at
//! that list, so it costs what is ready and not what is watched. An item on the list is a hint: whoever takes it off asks the file.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use hal::sync::Mark;
use kernel_objects::{
    WaitQueue,
    wait_queue::{Observer, ObserverKey},
};
use parking_lot::Mutex;

use crate::{
    errno::{Errno, SysResult},
    vfs::{File, OpenFile, PollEvents, Seeking, file::CloseWatcher},
};

/// Readiness is told once, when it comes.
pub const EPOLLET: u32 = 1 << 31;
/// Readiness is told once, then never until asked for again.
pub const EPOLLONESHOT: u32 = 1 << 30;
/// Keeps the machine awake; of no meaning here.
pub const EPOLLWAKEUP: u32 = 1 << 29;
/// One of several sets need be told only.
pub const EPOLLEXCLUSIVE: u32 = 1 << 28;

const FLAGS: u32 = EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE;
/// All that may be asked for together with `EPOLLEXCLUSIVE`.
const EXCLUSIVE_WITH: u32 = EPOLLEXCLUSIVE
    | EPOLLWAKEUP
    | EPOLLET
    | PollEvents::IN.union(PollEvents::OUT).union(ALWAYS).bits();
const ALWAYS: PollEvents = PollEvents::ERR.union(PollEvents::HUP);

/// How many sets may watch each other in a row, in links from one to the next. What is ready is asked, and told, along them.
const NESTS_MAX: usize = 5;

/// Held while a set begins to watch another: two at a time could make a ring, or a chain that is too long, of two halves.
static NESTING: Mutex<()> = Mutex::new(());

/// What a guest wants to know of a file, and the number it gave it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interest {
    /// `EPOLL*` bits.
    pub events: u32,
    /// `epoll_data`
    pub data: u64,
}

impl Interest {
    fn wanted(&self) -> PollEvents {
        PollEvents::from_bits_truncate(self.events & !FLAGS) | ALWAYS
    }
}

/// One file in a set.
struct Item {
    set: Weak<Epoll>,
    file: Weak<OpenFile>,
    id: Id,
    interest: Mutex<Interest>,
    /// Set while it is on the ready list: by whoever puts it there, after the file has changed; cleared by whoever takes it off, before it
    /// asks the file.
    listed: Mark,
    /// Cleared when a one-shot item has been told, or the item was removed.
    armed: AtomicBool,
    observer: Mutex<Option<ObserverKey>>,
}

/// The descriptor and the place of the file in the kernel: the same file may be in a set under several numbers.
type Id = (i32, usize);

impl Item {
    /// What a wait would report of it now.
    fn ready(&self) -> PollEvents {
        match self.file.upgrade() {
            Some(file) if self.armed.load(Ordering::Acquire) => {
                file.poll() & self.interest.lock().wanted()
            }
            _ => PollEvents::empty(),
        }
    }
}

impl Observer for Item {
    fn notify(&self, events: u32) -> bool {
        let wanted = self.interest.lock().wanted().bits();
        if !self.armed.load(Ordering::Acquire) || events & wanted == 0 {
            return false;
        }
        match self.set.upgrade() {
            Some(set) if self.listed.set() => set.list(self.id),
            _ => false,
        }
    }
}

impl CloseWatcher for Item {
    fn closed(&self, file: &OpenFile) {
        if let Some(set) = self.set.upgrade() {
            set.items.lock().remove(&self.id);
        }
        self.retire(file);
    }
}

impl Item {
    /// Has the file call it no more.
    fn retire(&self, file: &OpenFile) {
        self.armed.store(false, Ordering::Release);
        if let (Some(queue), Some(key)) = (file.wait_queue(), self.observer.lock().take()) {
            queue.unregister(key);
        }
    }
}

/// A set of files and what is wanted of them.
pub struct Epoll {
    items: Mutex<HashMap<Id, Arc<Item>>>,
    /// Those that may be ready, longest first.
    ready: Mutex<VecDeque<Id>>,
    queue: WaitQueue,
    /// The sets that began to watch this one, some of which may have stopped.
    above: Mutex<Vec<Weak<Epoll>>>,
    itself: Weak<Epoll>,
}

fn id(fd: i32, file: &Arc<OpenFile>) -> Id {
    (fd, Arc::as_ptr(file).addr())
}

impl Epoll {
    /// An empty set.
    pub fn new() -> Arc<Self> {
        Arc::new_cyclic(|itself| Self {
            items: Mutex::default(),
            ready: Mutex::default(),
            queue: WaitQueue::new(),
            above: Mutex::default(),
            itself: itself.clone(),
        })
    }

    /// Puts an item on the ready list that is marked as being there, and wakes a waiter; whether there was one.
    fn list(&self, id: Id) -> bool {
        self.ready.lock().push_back(id);
        self.queue.notify_n_for(1, PollEvents::READABLE.bits()) > 0
    }

    /// EPOLL_CTL_ADD. `EEXIST`; `EPERM` for files that are always ready; `EINVAL` for the set itself, `ELOOP` for a ring of sets.
    pub fn add(&self, fd: i32, file: &Arc<OpenFile>, interest: Interest) -> SysResult<()> {
        let queue = file.wait_queue().ok_or(Errno::EPERM)?;
        if interest.events & EPOLLET != 0 && file.edges_are_late() {
            // What it is ready for now counts once, and not again when that is told.
            hal::reactor::catch_up();
        }
        if interest.events & EPOLLEXCLUSIVE != 0 && interest.events & !EXCLUSIVE_WITH != 0 {
            return Err(Errno::EINVAL);
        }
        let inner = file.downcast::<Self>();
        let nesting = inner.map(|_| NESTING.lock());
        if let Some(inner) = inner {
            if std::ptr::eq(inner, self) || interest.events & EPOLLEXCLUSIVE != 0 {
                return Err(Errno::EINVAL);
            }
            self.check_nesting(inner)?;
        }
        let id = id(fd, file);
        let item = Arc::new(Item {
            set: self.itself.clone(),
            file: Arc::downgrade(file),
            id,
            interest: Mutex::new(interest),
            listed: Mark::new(),
            armed: AtomicBool::new(true),
            observer: Mutex::new(None),
        });
        match self.items.lock().entry(id) {
            std::collections::hash_map::Entry::Occupied(_) => return Err(Errno::EEXIST),
            std::collections::hash_map::Entry::Vacant(slot) => slot.insert(Arc::clone(&item)),
        };
        if let Some(inner) = inner {
            inner.above.lock().push(self.itself.clone());
        }
        drop(nesting);
        let observer = Arc::clone(&item) as Arc<dyn Observer>;
        let key = match interest.events & EPOLLEXCLUSIVE {
            0 => queue.register(u32::MAX, observer),
            _ => queue.register_exclusive(u32::MAX, observer),
        };
        *item.observer.lock() = Some(key);
        file.watch_close(Arc::downgrade(&item) as Weak<dyn CloseWatcher>);
        self.look(&item);
        Ok(())
    }

    /// Puts an item on the list if its file is ready now.
    fn look(&self, item: &Item) {
        if !item.ready().is_empty() && item.listed.set() {
            self.list(item.id);
        }
    }

    /// `ELOOP` when a chain of sets would be closed to a ring, or become longer than [`NESTS_MAX`] links, if this one watched `inner`.
    fn check_nesting(&self, inner: &Self) -> SysResult<()> {
        let mut below = HashMap::from([(self.address(), None)]);
        let height = inner.height(&mut below).ok_or(Errno::ELOOP)?;
        let depth = self.depth(&mut HashMap::new());
        if depth + 1 + height > NESTS_MAX { Err(Errno::ELOOP) } else { Ok(()) }
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The sets that this one watches. Their files are kept open meanwhile: the last one to be dropped looks at the items, too.
    fn watched_sets(&self) -> Vec<Arc<OpenFile>> {
        let items = self.items.lock();
        let files = items.values().filter_map(|item| item.file.upgrade());
        files.filter(|file| file.downcast::<Self>().is_some()).collect()
    }

    /// Links in the longest chain of sets below this one; `None` when it leads to one that `known` says so of. `known` has those that were
    /// looked at, which makes this as cheap as there are links; the chains are short, by [`Self::check_nesting`].
    fn height(&self, known: &mut HashMap<usize, Option<usize>>) -> Option<usize> {
        if let Some(height) = known.get(&self.address()) {
            return *height;
        }
        let files = self.watched_sets();
        let below = files.iter().filter_map(|file| file.downcast::<Self>());
        let height = below
            .map(|set| Some(set.height(known)? + 1))
            .try_fold(0, |most, height| height.map(|height| most.max(height)));
        known.insert(self.address(), height);
        height
    }

    /// Links in the longest chain of sets above this one.
    fn depth(&self, known: &mut HashMap<usize, usize>) -> usize {
        if let Some(depth) = known.get(&self.address()) {
            return *depth;
        }
        let above = self.watching_sets();
        let depth = above.iter().map(|set| set.depth(known) + 1).max().unwrap_or(0);
        known.insert(self.address(), depth);
        depth
    }

    /// The sets that watch this one; those that do no more are forgotten.
    fn watching_sets(&self) -> Vec<Arc<Self>> {
        let mut sets = Vec::new();
        self.above.lock().retain(|set| {
            let Some(set) = set.upgrade() else { return false };
            let is_self = |file: &Arc<OpenFile>| {
                file.downcast::<Self>().is_some_and(|inner| std::ptr::eq(inner, self))
            };
            let watches = set.watched_sets().iter().any(is_self);
            if watches {
                sets.push(set);
            }
            watches
        });
        sets
    }

    /// The files that are in the set under number `fd`, in an order that stays: descriptors are given out again, so there may be many.
    pub fn files_of(&self, fd: i32) -> Vec<Arc<OpenFile>> {
        let items = self.items.lock();
        let same = items.iter().filter(|((number, _), _)| *number == fd);
        let mut files: Vec<_> = same.filter_map(|(_, item)| item.file.upgrade()).collect();
        drop(items);
        files.sort_by_key(|file| Arc::as_ptr(file).addr());
        files
    }

    fn item(&self, fd: i32, file: &Arc<OpenFile>) -> SysResult<Arc<Item>> {
        self.items.lock().get(&id(fd, file)).cloned().ok_or(Errno::ENOENT)
    }

    /// EPOLL_CTL_MOD. `ENOENT`; `EINVAL` where EPOLLEXCLUSIVE is or was.
    pub fn modify(&self, fd: i32, file: &Arc<OpenFile>, interest: Interest) -> SysResult<()> {
        let item = self.item(fd, file)?;
        {
            let mut old = item.interest.lock();
            if (interest.events | old.events) & EPOLLEXCLUSIVE != 0 {
                return Err(Errno::EINVAL);
            }
            *old = interest;
        }
        item.armed.store(true, Ordering::Release);
        self.look(&item);
        Ok(())
    }

    /// EPOLL_CTL_DEL. `ENOENT`.
    pub fn remove(&self, fd: i32, file: &Arc<OpenFile>) -> SysResult<()> {
        let item = self.items.lock().remove(&id(fd, file)).ok_or(Errno::ENOENT)?;
        item.retire(file);
        file.unwatch_close(&(Arc::downgrade(&item) as Weak<dyn CloseWatcher>));
        Ok(())
    }

    /// Tells `take` of up to `max` ready files; how many there were.
    pub fn collect(
        &self,
        max: usize,
        mut take: impl FnMut(Interest) -> SysResult<()>,
    ) -> SysResult {
        let mut found = 0;
        let mut again = VecDeque::new();
        let mut result = Ok(());
        // Items that come back to the list meanwhile are for the next call.
        let mut left = self.ready.lock().len();
        while found < max && left > 0 {
            left -= 1;
            let Some(id) = self.ready.lock().pop_front() else { break };
            let Some(item) = self.items.lock().get(&id).cloned() else { continue };
            item.listed.clear();
            let events = item.ready();
            if events.is_empty() {
                continue;
            }
            let interest = *item.interest.lock();
            result = take(Interest { events: events.bits(), data: interest.data });
            if result.is_err() {
                if item.listed.set() {
                    again.push_back(id);
                }
                break;
            }
            found += 1;
            if interest.events & EPOLLONESHOT != 0 {
                item.armed.store(false, Ordering::Release);
            } else if interest.events & EPOLLET == 0 && item.listed.set() {
                // Level-triggered: it stays a candidate until it is found not ready.
                again.push_back(id);
            }
        }
        let more = {
            let mut ready = self.ready.lock();
            ready.append(&mut again);
            !ready.is_empty()
        };
        if more {
            self.queue.notify_n_for(1, PollEvents::READABLE.bits());
        }
        if found == 0 { result.map(|()| 0) } else { Ok(found) }
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        for (_, item) in self.items.get_mut().drain() {
            if let Some(file) = item.file.upgrade() {
                item.retire(&file);
                file.unwatch_close(&(Arc::downgrade(&item) as Weak<dyn CloseWatcher>));
            }
        }
    }
}

impl File for Epoll {
    fn transfers(&self) -> (bool, bool) {
        (false, false)
    }

    fn poll(&self) -> PollEvents {
        let listed: Vec<Id> = self.ready.lock().iter().copied().collect();
        let ready = listed.iter().any(|id| {
            let item = self.items.lock().get(id).cloned();
            item.is_some_and(|item| !item.ready().is_empty())
        });
        if ready { PollEvents::READABLE } else { PollEvents::empty() }
    }

    fn seeking(&self) -> Seeking {
        Seeking::Idle
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn link_text(&self) -> Vec<u8> {
        b"anon_inode:[eventpoll]".to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::EventFd, vfs::IoDst, vfs::IoSrc};

    fn eventfd(count: u32) -> Arc<OpenFile> {
        OpenFile::from_file(Arc::new(EventFd::new(count, false)), None, 2)
    }

    fn add_one(file: &OpenFile) {
        file.write(&mut IoSrc::kernel(&1_u64.to_ne_bytes())).unwrap();
    }

    fn ready(set: &Epoll) -> Vec<u64> {
        let mut found = Vec::new();
        set.collect(10, |interest| {
            found.push(interest.data);
            Ok(())
        })
        .unwrap();
        found
    }

    const IN: u32 = 1;

    #[test]
    fn a_level_is_told_until_it_is_gone_and_an_edge_once() {
        let set = Epoll::new();
        let (level, edge) = (eventfd(0), eventfd(0));
        set.add(3, &level, Interest { events: IN, data: 3 }).unwrap();
        set.add(4, &edge, Interest { events: IN | EPOLLET, data: 4 }).unwrap();
        assert!(ready(&set).is_empty());
        add_one(&level);
        add_one(&edge);
        assert_eq!(ready(&set), [3, 4]);
        assert_eq!(ready(&set), [3]);
        add_one(&edge);
        assert_eq!(ready(&set), [3, 4]);
        level.read(&mut IoDst::kernel(&mut [0; 8])).unwrap();
        assert!(ready(&set).is_empty());
    }

    #[test]
    fn a_one_shot_is_told_again_only_after_a_change() {
        let set = Epoll::new();
        let file = eventfd(1);
        let once = Interest { events: IN | EPOLLONESHOT, data: 1 };
        set.add(3, &file, once).unwrap();
        assert_eq!(ready(&set), [1]);
        add_one(&file);
        assert!(ready(&set).is_empty());
        set.modify(3, &file, once).unwrap();
        assert_eq!(ready(&set), [1]);
    }

    #[test]
    fn a_closed_file_leaves_the_set() {
        let set = Epoll::new();
        let file = eventfd(1);
        set.add(3, &file, Interest { events: IN, data: 1 }).unwrap();
        drop(file);
        assert!(ready(&set).is_empty());
        assert!(set.items.lock().is_empty());
    }

    #[test]
    fn sets_nest_but_not_in_a_ring() {
        let (outer, inner) = (Epoll::new(), Epoll::new());
        let (outer_file, inner_file) = (
            OpenFile::from_file(outer.clone(), None, 2),
            OpenFile::from_file(inner.clone(), None, 2),
        );
        let file = eventfd(0);
        inner.add(3, &file, Interest { events: IN, data: 1 }).unwrap();
        outer.add(4, &inner_file, Interest { events: IN, data: 2 }).unwrap();
        add_one(&file);
        assert_eq!(ready(&outer), [2]);
        let any = Interest { events: IN, data: 0 };
        assert_eq!(inner.add(5, &outer_file, any), Err(Errno::ELOOP));
        assert_eq!(outer.add(5, &outer_file, any), Err(Errno::EINVAL));
    }

    #[test]
    fn chains_of_sets_are_short_from_whichever_end_they_are_made() {
        let any = Interest { events: IN, data: 0 };
        let chain = |order: fn(usize) -> usize| {
            let sets: Vec<_> = (0..20).map(|_| Epoll::new()).collect();
            let files: Vec<_> =
                sets.iter().map(|set| OpenFile::from_file(set.clone(), None, 2)).collect();
            let made =
                (0..19).map(order).take_while(|&at| sets[at].add(3, &files[at + 1], any).is_ok());
            made.count()
        };
        assert_eq!(chain(|at| at), NESTS_MAX);
        assert_eq!(chain(|at| 18 - at), NESTS_MAX);
    }

    #[test]
    fn a_set_that_is_watched_no_more_may_be_nested_again() {
        let any = Interest { events: IN, data: 0 };
        let sets: Vec<_> = (0..7).map(|_| Epoll::new()).collect();
        let files: Vec<_> =
            sets.iter().map(|set| OpenFile::from_file(set.clone(), None, 2)).collect();
        for at in 0..5 {
            sets[at].add(3, &files[at + 1], any).unwrap();
        }
        assert_eq!(sets[5].add(3, &files[6], any), Err(Errno::ELOOP));
        sets[0].remove(3, &files[1]).unwrap();
        sets[5].add(3, &files[6], any).unwrap();
    }

    #[test]
    fn many_sets_that_watch_many_are_looked_at_once_each() {
        let any = Interest { events: IN, data: 0 };
        let layers: Vec<Vec<_>> = (0..5)
            .map(|_| (0..20).map(|_| OpenFile::from_file(Epoll::new(), None, 2)).collect())
            .collect();
        for pair in layers.windows(2).rev() {
            for outer in &pair[0] {
                for (fd, inner) in (0..).zip(&pair[1]) {
                    outer.downcast::<Epoll>().unwrap().add(fd, inner, any).unwrap();
                }
            }
        }
        let outermost = Epoll::new();
        outermost.add(0, &layers[0][0], any).unwrap();
        assert_eq!(outermost.add(0, &layers[0][0], any), Err(Errno::EEXIST));
    }

    #[test]
    fn the_usual_mistakes_have_their_errors() {
        let set = Epoll::new();
        let file = eventfd(0);
        let any = Interest { events: IN, data: 0 };
        set.add(3, &file, any).unwrap();
        assert_eq!(set.add(3, &file, any), Err(Errno::EEXIST));
        assert_eq!(set.remove(4, &file), Err(Errno::ENOENT));
        set.remove(3, &file).unwrap();
        add_one(&file);
        assert!(ready(&set).is_empty());
    }
}
