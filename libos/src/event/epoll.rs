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

use kernel_objects::{
    WaitQueue,
    wait_queue::{Observer, ObserverKey},
};
use parking_lot::Mutex;

use crate::{
    errno::{Errno, SysResult},
    vfs::{File, OpenFile, PollEvents, file::CloseWatcher},
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

/// How many sets may watch each other in a row.
const NESTS_MAX: usize = 5;

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
    /// Whether it is on the ready list. Set by whoever puts it there, cleared by whoever takes it off, before it asks the file.
    listed: AtomicBool,
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
    fn notify(&self, events: u32) {
        let wanted = self.interest.lock().wanted().bits();
        if !self.armed.load(Ordering::Acquire) || events & wanted == 0 {
            return;
        }
        if let Some(set) = self.set.upgrade()
            && !self.listed.swap(true, Ordering::AcqRel)
        {
            set.list(self.id);
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
            itself: itself.clone(),
        })
    }

    /// Puts an item on the ready list that is marked as being there, and wakes a waiter.
    fn list(&self, id: Id) {
        self.ready.lock().push_back(id);
        self.queue.notify_n_for(1, PollEvents::READABLE.bits());
    }

    /// EPOLL_CTL_ADD. `EEXIST`; `EPERM` for files that are always ready; `EINVAL` for the set itself, `ELOOP` for a ring of sets.
    pub fn add(&self, fd: i32, file: &Arc<OpenFile>, interest: Interest) -> SysResult<()> {
        let queue = file.wait_queue().ok_or(Errno::EPERM)?;
        if interest.events & EPOLLEXCLUSIVE != 0 && interest.events & !EXCLUSIVE_WITH != 0 {
            return Err(Errno::EINVAL);
        }
        if let Some(other) = file.downcast::<Self>() {
            if std::ptr::eq(other, self) || interest.events & EPOLLEXCLUSIVE != 0 {
                return Err(Errno::EINVAL);
            }
            if other.reaches(self, NESTS_MAX) {
                return Err(Errno::ELOOP);
            }
        }
        let id = id(fd, file);
        let item = Arc::new(Item {
            set: self.itself.clone(),
            file: Arc::downgrade(file),
            id,
            interest: Mutex::new(interest),
            listed: AtomicBool::new(false),
            armed: AtomicBool::new(true),
            observer: Mutex::new(None),
        });
        match self.items.lock().entry(id) {
            std::collections::hash_map::Entry::Occupied(_) => return Err(Errno::EEXIST),
            std::collections::hash_map::Entry::Vacant(slot) => slot.insert(Arc::clone(&item)),
        };
        let key = queue.register(u32::MAX, Arc::clone(&item) as Arc<dyn Observer>);
        *item.observer.lock() = Some(key);
        file.watch_close(Arc::downgrade(&item) as Weak<dyn CloseWatcher>);
        self.look(&item);
        Ok(())
    }

    /// Puts an item on the list if its file is ready now.
    fn look(&self, item: &Item) {
        if !item.ready().is_empty() && !item.listed.swap(true, Ordering::AcqRel) {
            self.list(item.id);
        }
    }

    /// Whether a chain of sets leads from this one to `target`, or is longer than `depth`.
    fn reaches(&self, target: &Self, depth: usize) -> bool {
        if depth == 0 {
            return true;
        }
        let files: Vec<_> =
            self.items.lock().values().filter_map(|item| item.file.upgrade()).collect();
        files
            .iter()
            .filter_map(|file| file.downcast::<Self>())
            .any(|other| std::ptr::eq(other, target) || other.reaches(target, depth - 1))
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
            item.listed.store(false, Ordering::Release);
            let events = item.ready();
            if events.is_empty() {
                continue;
            }
            let interest = *item.interest.lock();
            result = take(Interest { events: events.bits(), data: interest.data });
            if result.is_err() {
                if !item.listed.swap(true, Ordering::AcqRel) {
                    again.push_back(id);
                }
                break;
            }
            found += 1;
            if interest.events & EPOLLONESHOT != 0 {
                item.armed.store(false, Ordering::Release);
            } else if interest.events & EPOLLET == 0 && !item.listed.swap(true, Ordering::AcqRel) {
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
    fn poll(&self) -> PollEvents {
        let listed: Vec<Id> = self.ready.lock().iter().copied().collect();
        let ready = listed.iter().any(|id| {
            let item = self.items.lock().get(id).cloned();
            item.is_some_and(|item| !item.ready().is_empty())
        });
        if ready { PollEvents::READABLE } else { PollEvents::empty() }
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek(&self, _: u64) -> SysResult<u64> {
        // As in Linux, where these files have a position that never moves.
        Ok(0)
    }

    fn size(&self) -> SysResult<u64> {
        Ok(0)
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
