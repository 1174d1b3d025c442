//! Telling who watches a file or a directory what happens to it (inotify(7)).
//!
//! The one idea: a file system in use keeps who watches which of its inodes, and every change that is made through a [`Path`] asks it. Nobody
//! watches nearly always, so that question is one load.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use linux_raw_sys::general as raw;
use parking_lot::Mutex;

use super::inode::Inode;
use super::mount::Path;

/// What is told of an inode, and what a watch wants to know: the bits of inotify(7).
pub type EventMask = u32;

/// Those bits that are events and not flags.
pub const ALL_EVENTS: EventMask = raw::IN_ALL_EVENTS;

/// Who watches.
pub trait Watcher: Send + Sync {
    /// `mask` has happened to what it watches as `watch`; `name` is that of the entry if it watches the directory. Events of one rename have
    /// the same `cookie`.
    fn happened(&self, watch: i32, mask: EventMask, cookie: u32, name: &[u8]);

    /// The watch has ended.
    fn ended(&self, watch: i32);
}

/// Device and number of an inode.
pub type InodeKey = (u64, u64);

/// The inode's key; `None` if it can not be asked.
pub fn key_of(inode: &Arc<dyn Inode>) -> Option<InodeKey> {
    inode.metadata().ok().map(|metadata| (metadata.dev.0, metadata.ino))
}

struct Watch {
    watcher: Weak<dyn Watcher>,
    number: i32,
    mask: EventMask,
}

/// Who watches the inodes of one file system.
#[derive(Default)]
pub struct Watches {
    /// How many there are.
    count: AtomicUsize,
    watches: Mutex<HashMap<InodeKey, Vec<Watch>>>,
}

fn same(watch: &Watch, watcher: &Weak<dyn Watcher>) -> bool {
    Weak::ptr_eq(&watch.watcher, watcher)
}

impl Watches {
    /// Whether nobody watches anything.
    pub fn is_idle(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Has `watcher` told of the inode's events in `mask` as those of its watch `number`, which is new.
    pub fn add(&self, key: InodeKey, watcher: Weak<dyn Watcher>, number: i32, mask: EventMask) {
        let mut watches = self.watches.lock();
        watches.entry(key).or_default().push(Watch { watcher, number, mask });
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Changes the mask of the watch that `watcher` has of the inode by `change`; its number, if there is such a watch.
    pub fn change(
        &self,
        key: InodeKey,
        watcher: &Weak<dyn Watcher>,
        change: impl FnOnce(EventMask) -> EventMask,
    ) -> Option<i32> {
        let mut watches = self.watches.lock();
        let watch = watches.get_mut(&key)?.iter_mut().find(|watch| same(watch, watcher))?;
        watch.mask = change(watch.mask);
        Some(watch.number)
    }

    /// Ends the watch that `watcher` has of the inode, without telling it; whether there was one.
    pub fn remove(&self, key: InodeKey, watcher: &Weak<dyn Watcher>) -> bool {
        let mut watches = self.watches.lock();
        let Some(list) = watches.get_mut(&key) else { return false };
        let before = list.len();
        list.retain(|watch| !same(watch, watcher));
        let removed = before - list.len();
        if list.is_empty() {
            watches.remove(&key);
        }
        self.count.fetch_sub(removed, Ordering::Relaxed);
        removed > 0
    }

    /// Tells who watches the inode. A watch for one event ends with it, one for the directory's entries may not want those without a name.
    fn tell(&self, key: InodeKey, mask: EventMask, cookie: u32, name: &[u8], unlinked: bool) {
        let mut told = Vec::new();
        let mut watches = self.watches.lock();
        let Some(list) = watches.get_mut(&key) else { return };
        list.retain(|watch| {
            let events = mask & ALL_EVENTS & watch.mask;
            if events == 0 || unlinked && watch.mask & raw::IN_EXCL_UNLINK != 0 {
                return true;
            }
            let once = watch.mask & raw::IN_ONESHOT != 0;
            let flags = mask & raw::IN_ISDIR;
            told.push((watch.watcher.upgrade(), watch.number, events | flags, once));
            !once
        });
        if list.is_empty() {
            watches.remove(&key);
        }
        drop(watches);
        for (watcher, number, events, once) in told {
            if once {
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
            let Some(watcher) = watcher else { continue };
            watcher.happened(number, events, cookie, name);
            if once {
                watcher.ended(number);
            }
        }
    }

    /// The inode is no more: tells so who watches it, and ends that.
    fn gone(&self, key: InodeKey) {
        self.tell(key, raw::IN_DELETE_SELF, 0, b"", false);
        let ended = self.watches.lock().remove(&key).unwrap_or_default();
        self.end(ended, 0);
    }

    /// The file system is no longer mounted anywhere.
    pub(super) fn unmounted(&self) {
        let all = std::mem::take(&mut *self.watches.lock());
        self.end(all.into_values().flatten(), raw::IN_UNMOUNT);
    }

    fn end(&self, watches: impl IntoIterator<Item = Watch>, mask: EventMask) {
        for watch in watches {
            self.count.fetch_sub(1, Ordering::Relaxed);
            if let Some(watcher) = watch.watcher.upgrade() {
                if mask != 0 {
                    watcher.happened(watch.number, mask, 0, b"");
                }
                watcher.ended(watch.number);
            }
        }
    }
}

/// Tells that an inode is no more when it is dropped: kept by the dentry of its last name, and so by who has it open.
pub struct Farewell {
    watches: Arc<Watches>,
    key: InodeKey,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.watches.gone(self.key);
    }
}

static NEXT_COOKIE: AtomicU32 = AtomicU32::new(1);

/// A number for the events of one rename.
pub fn cookie() -> u32 {
    NEXT_COOKIE.fetch_add(1, Ordering::Relaxed)
}

/// The flag of events that are about a directory, but for those that only it itself is told.
fn kind_flag(inode: &Arc<dyn Inode>, mask: EventMask) -> EventMask {
    let flagged = inode.kind().is_dir() && mask & (raw::IN_MOVE_SELF | raw::IN_DELETE_SELF) == 0;
    if flagged { raw::IN_ISDIR } else { 0 }
}

/// `mask` has happened to the file at `place`: tells who watches its directory, by its name, and who watches itself.
pub fn file(place: &Path, mask: EventMask) {
    if !place.watches().is_idle() {
        tell_file(place, mask);
    }
}

#[cold]
fn tell_file(place: &Path, mask: EventMask) {
    let (watches, dentry) = (place.watches(), place.dentry());
    let mask = mask | kind_flag(place.inode(), mask);
    if let Some(parent) = dentry.parent()
        && let Some(key) = key_of(parent.inode())
    {
        watches.tell(key, mask, 0, &dentry.name(), dentry.is_unlinked());
    }
    if let Some(key) = key_of(place.inode()) {
        watches.tell(key, mask, 0, b"", dentry.is_unlinked());
    }
}

/// `mask` has happened to an inode of the file system that `place` is in: tells who watches it and not its directory.
pub fn inode(place: &Path, inode: &Arc<dyn Inode>, mask: EventMask) {
    if !place.watches().is_idle()
        && let Some(key) = key_of(inode)
    {
        place.watches().tell(key, mask | kind_flag(inode, mask), 0, b"", false);
    }
}

/// `mask` has happened to the entry `name` of the directory `dir`; `cookie` is 0 unless it was renamed.
pub fn entry(dir: &Path, name: &[u8], mask: EventMask, cookie: u32) {
    if !dir.watches().is_idle()
        && let Some(key) = key_of(dir.inode())
    {
        dir.watches().tell(key, mask, cookie, name, false);
    }
}

/// What is to be told once the last who uses it lets go of `inode`, which has lost a name; `None` if it has others or nobody watches.
pub fn farewell(place: &Path, inode: &Arc<dyn Inode>) -> Option<Farewell> {
    if place.watches().is_idle() {
        return None;
    }
    let metadata = inode.metadata().ok()?;
    let gone = metadata.nlink == 0 || metadata.kind.is_dir();
    let key = (metadata.dev.0, metadata.ino);
    gone.then(|| Farewell { watches: Arc::clone(place.watches()), key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Log(Mutex<Vec<String>>);

    impl Watcher for Log {
        fn happened(&self, watch: i32, mask: EventMask, cookie: u32, name: &[u8]) {
            let name = String::from_utf8_lossy(name);
            self.0.lock().push(format!("{watch} {mask:x} {cookie} {name}"));
        }

        fn ended(&self, watch: i32) {
            self.0.lock().push(format!("{watch} ended"));
        }
    }

    fn log() -> (Arc<Log>, Weak<dyn Watcher>) {
        let log = Arc::new(Log::default());
        let weak: Weak<dyn Watcher> = Arc::downgrade(&log) as _;
        (log, weak)
    }

    #[test]
    fn a_watch_is_told_what_it_wants_and_one_for_a_single_event_ends_with_it() {
        let (log, weak) = log();
        let watches = Watches::default();
        assert!(watches.is_idle());
        watches.add((1, 2), weak.clone(), 7, raw::IN_CREATE | raw::IN_ONESHOT);
        watches.add((1, 3), weak.clone(), 8, raw::IN_OPEN);
        watches.tell((1, 2), raw::IN_OPEN, 0, b"", false);
        watches.tell((1, 2), raw::IN_CREATE | raw::IN_ISDIR, 0, b"d", false);
        watches.tell((1, 2), raw::IN_CREATE, 0, b"e", false);
        assert_eq!(*log.0.lock(), ["7 40000100 0 d", "7 ended"]);
        assert_eq!(watches.change((1, 3), &weak, |mask| mask | raw::IN_CREATE), Some(8));
        assert_eq!(watches.change((1, 2), &weak, |mask| mask), None);
        assert!(watches.remove((1, 3), &weak) && !watches.remove((1, 3), &weak));
        assert!(watches.is_idle());
    }

    #[test]
    fn the_end_of_an_inode_and_of_a_file_system_ends_watches() {
        let (log, weak) = log();
        let watches = Arc::new(Watches::default());
        for number in 1..=3 {
            watches.add((1, number as u64), weak.clone(), number, raw::IN_DELETE_SELF);
        }
        drop(Farewell { watches: Arc::clone(&watches), key: (1, 2) });
        assert_eq!(*log.0.lock(), ["2 400 0 ", "2 ended"]);
        watches.unmounted();
        assert_eq!(log.0.lock().len(), 6);
        assert!(log.0.lock().contains(&"3 2000 0 ".to_owned()) && watches.is_idle());
    }
}
