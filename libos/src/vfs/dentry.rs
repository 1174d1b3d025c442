//! The dentry cache: the tree of names that have been looked up.
//!
//! The one idea: a [`Dentry`] ties a name in a directory to an inode and lives as long as anyone stands on it; the
//! parent's map of children remembers names that exist *and* names that do not, so a repeated path walk never
//! asks the file system. Every change of a directory goes through its dentry, under the lock of that map, which
//! is how the cache and the file system stay in step. Directories that change behind our back
//! ([`Inode::caches_entries`]) remember nothing but mount points.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};

use super::inode::{Inode, NAME_MAX, NewNode, RenameFlags};
use super::notify::Farewell;
use crate::errno::{Errno, SysResult};

/// A quick hash for short byte strings. Collisions hurt only the guest that makes them.
#[derive(Default)]
pub struct NameHasher(u64);

impl NameHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, tail) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(tail);
        self.mix(u64::from_le_bytes(last) ^ ((bytes.len() as u64) << 56));
    }

    fn write_usize(&mut self, n: usize) {
        self.mix(n as u64);
    }

    fn write_u64(&mut self, n: u64) {
        self.mix(n);
    }
}

/// A map by name or number with the quick hash.
pub type NameMap<K, V> = HashMap<K, V, BuildHasherDefault<NameHasher>>;

/// How many children a directory remembers before those out of use are dropped.
const CHILDREN_SOFT_LIMIT: usize = 4096;

/// The names looked up in one directory: `None` is a name known not to exist.
#[derive(Default)]
struct Children {
    map: NameMap<Box<[u8]>, Option<Arc<Dentry>>>,
    prune_at: usize,
}

impl Children {
    fn insert(&mut self, name: &[u8], child: Option<Arc<Dentry>>) {
        if self.map.len() >= self.prune_at.max(CHILDREN_SOFT_LIMIT) {
            self.map.retain(|_, child| child.as_ref().is_some_and(|child| child.in_use()));
            self.prune_at = self.map.len().saturating_mul(2);
        }
        match self.map.get_mut(name) {
            Some(slot) => *slot = child,
            None => {
                self.map.insert(name.into(), child);
            }
        }
    }
}

/// Where a dentry hangs in the tree.
struct Place {
    parent: Option<Arc<Dentry>>,
    name: Arc<[u8]>,
}

/// A name in a directory and the inode it leads to.
pub struct Dentry {
    inode: Arc<dyn Inode>,
    place: Mutex<Place>,
    children: Mutex<Children>,
    /// How many mounts (of any mount of this tree) sit on this dentry.
    mounts: AtomicU32,
    unlinked: AtomicBool,
    /// What is told when nobody uses it any more, if it was its inode's last name and somebody watches that.
    farewell: OnceLock<Farewell>,
}

impl Dentry {
    fn with_place(inode: Arc<dyn Inode>, parent: Option<Arc<Dentry>>, name: &[u8]) -> Arc<Self> {
        Arc::new(Self {
            inode,
            place: Mutex::new(Place { parent, name: name.into() }),
            children: Mutex::new(Children::default()),
            mounts: AtomicU32::new(0),
            unlinked: AtomicBool::new(false),
            farewell: OnceLock::new(),
        })
    }

    /// The dentry of a file system's root.
    pub fn root(inode: Arc<dyn Inode>) -> Arc<Self> {
        Self::with_place(inode, None, b"")
    }

    /// A dentry of a file without a name (`O_TMPFILE`), shown as a deleted `name` in `self`.
    pub fn unnamed(self: &Arc<Self>, inode: Arc<dyn Inode>, name: &[u8]) -> Arc<Self> {
        let dentry = Self::with_place(inode, Some(self.clone()), name);
        dentry.unlinked.store(true, Ordering::Relaxed);
        dentry
    }

    /// The inode.
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.inode
    }

    /// The directory that this is an entry of; `None` for a root.
    pub fn parent(&self) -> Option<Arc<Dentry>> {
        self.place.lock().parent.clone()
    }

    /// The name in that directory; empty for a root.
    pub fn name(&self) -> Arc<[u8]> {
        self.place.lock().name.clone()
    }

    /// Whether the name has been removed since.
    pub fn is_unlinked(&self) -> bool {
        self.unlinked.load(Ordering::Relaxed)
    }

    /// Keeps what is to be told when nobody uses it any more; the first one counts.
    pub(super) fn keep_farewell(&self, farewell: Farewell) {
        // A second one would tell the same, now.
        let _ = self.farewell.set(farewell);
    }

    /// Whether something is mounted here (in some mount of this tree).
    pub fn is_mount_point(&self) -> bool {
        self.mounts.load(Ordering::Relaxed) != 0
    }

    /// Whether `self` is `ancestor` or below it.
    pub fn is_within(self: &Arc<Self>, ancestor: &Arc<Self>) -> bool {
        let mut at = self.clone();
        loop {
            if Arc::ptr_eq(&at, ancestor) {
                return true;
            }
            let Some(parent) = at.parent() else { return false };
            at = parent;
        }
    }

    fn in_use(self: &Arc<Self>) -> bool {
        // A parent's lock is held: not to wait here is what keeps rename's order of locks free of deadlock.
        let childless = || self.children.try_lock().is_some_and(|children| children.map.is_empty());
        Arc::strong_count(self) > 1 || self.is_mount_point() || !childless()
    }

    /// Counts a mount on this dentry, which stays in its parent's map while it has one.
    pub(super) fn add_mount(self: &Arc<Self>) {
        self.mounts.fetch_add(1, Ordering::Relaxed);
        let (parent, name) = (self.parent(), self.name());
        if let Some(parent) = parent {
            parent.children.lock().insert(&name, Some(self.clone()));
        }
    }

    /// Takes back [`add_mount`](Self::add_mount).
    pub(super) fn remove_mount(&self) {
        self.mounts.fetch_sub(1, Ordering::Relaxed);
        let (parent, name) = (self.parent(), self.name());
        if let Some(parent) = parent
            && !parent.inode.caches_entries()
            && !self.is_mount_point()
        {
            parent.children.lock().map.remove(&*name);
        }
    }

    /// The entry `name`: from the cache, else from the file system. `ENOENT`, `ENAMETOOLONG`, `ENOTDIR`.
    pub fn lookup(self: &Arc<Self>, name: &[u8]) -> SysResult<Arc<Dentry>> {
        let mut children = self.children.lock();
        match children.map.get(name) {
            Some(Some(child)) => Ok(child.clone()),
            Some(None) => Err(Errno::ENOENT),
            None => self.lookup_uncached(&mut children, name),
        }
    }

    #[cold]
    fn lookup_uncached(
        self: &Arc<Self>,
        children: &mut Children,
        name: &[u8],
    ) -> SysResult<Arc<Dentry>> {
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        match self.inode.lookup(name) {
            Ok(inode) => Ok(self.adopt(children, name, inode)),
            Err(Errno::ENOENT) => {
                if self.inode.caches_entries() && !self.is_unlinked() {
                    children.insert(name, None);
                }
                Err(Errno::ENOENT)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the dentry of a new or newly found entry and remembers it.
    fn adopt(
        self: &Arc<Self>,
        children: &mut Children,
        name: &[u8],
        inode: Arc<dyn Inode>,
    ) -> Arc<Dentry> {
        let child = Self::with_place(inode, Some(self.clone()), name);
        if self.inode.caches_entries() {
            children.insert(name, Some(child.clone()));
        }
        child
    }

    /// Fails with `ENOENT` in a directory that was removed.
    fn alive(&self) -> SysResult<()> {
        if self.is_unlinked() { Err(Errno::ENOENT) } else { Ok(()) }
    }

    /// The name must be fit for a new entry and not exist.
    fn check_new(self: &Arc<Self>, children: &mut Children, name: &[u8]) -> SysResult<()> {
        self.alive()?;
        let found = match children.map.get(name) {
            Some(child) => child.is_some(),
            None => match self.lookup_uncached(children, name) {
                Ok(_) => true,
                Err(Errno::ENOENT) => false,
                Err(error) => return Err(error),
            },
        };
        if found { Err(Errno::EEXIST) } else { Ok(()) }
    }

    /// Makes a new file, directory, link or node.
    pub fn create(self: &Arc<Self>, name: &[u8], node: &NewNode<'_>) -> SysResult<Arc<Dentry>> {
        let mut children = self.children.lock();
        self.check_new(&mut children, name)?;
        let inode = self.inode.create(name, node)?;
        Ok(self.adopt(&mut children, name, inode))
    }

    /// Makes another entry for `target`.
    pub fn link(self: &Arc<Self>, name: &[u8], target: &Arc<dyn Inode>) -> SysResult<()> {
        let mut children = self.children.lock();
        self.check_new(&mut children, name)?;
        self.inode.link(name, target)?;
        self.adopt(&mut children, name, target.clone());
        Ok(())
    }

    /// Forgets `name`, whose entry the file system has removed.
    fn forget(&self, children: &mut Children, name: &[u8], dir: bool) {
        let old = children.map.remove(name).flatten();
        if let Some(old) = old {
            old.unlinked.store(true, Ordering::Relaxed);
            if dir && let Some(mut children) = old.children.try_lock() {
                // Only names known not to exist are left; they would keep the dentry's memory. As in `in_use`, no waiting.
                children.map.clear();
            }
        }
        if self.inode.caches_entries() {
            children.insert(name, None);
        }
    }

    /// Removes the entry `name`, a file that is no directory.
    pub fn unlink(self: &Arc<Self>, name: &[u8]) -> SysResult<()> {
        let mut children = self.children.lock();
        self.inode.unlink(name)?;
        self.forget(&mut children, name, false);
        Ok(())
    }

    /// Removes the entry `name`, an empty directory.
    pub fn rmdir(self: &Arc<Self>, name: &[u8]) -> SysResult<()> {
        let mut children = self.children.lock();
        self.inode.rmdir(name)?;
        self.forget(&mut children, name, true);
        Ok(())
    }

    /// Moves `name` to `new_name` in `new_dir`. The caller holds the file system's rename lock and has
    /// excluded cycles; `old` and `new` are the dentries found under the names.
    pub(super) fn rename(
        self: &Arc<Self>,
        (name, old): (&[u8], &Arc<Dentry>),
        new_dir: &Arc<Dentry>,
        (new_name, new): (&[u8], Option<&Arc<Dentry>>),
        flags: RenameFlags,
    ) -> SysResult<()> {
        new_dir.alive()?;
        let (mut from, mut to) = self.lock_pair(new_dir);
        self.inode.rename(name, &new_dir.inode, new_name, flags)?;
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        let target = to.as_mut().unwrap_or(&mut from);
        if new_dir.inode.caches_entries() {
            target.insert(new_name, Some(old.clone()));
        }
        *old.place.lock() = Place { parent: Some(new_dir.clone()), name: new_name.into() };
        match new {
            Some(new) if exchange => {
                if self.inode.caches_entries() {
                    from.insert(name, Some(new.clone()));
                }
                *new.place.lock() = Place { parent: Some(self.clone()), name: name.into() };
            }
            _ => {
                if let Some(new) = new {
                    new.unlinked.store(true, Ordering::Relaxed);
                    new.children.lock().map.clear();
                }
                if self.inode.caches_entries() {
                    from.insert(name, None);
                }
            }
        }
        Ok(())
    }

    /// Locks the children of `self` and of `other`, which may be the same, in an order that cannot deadlock.
    fn lock_pair<'a>(
        &'a self,
        other: &'a Self,
    ) -> (MutexGuard<'a, Children>, Option<MutexGuard<'a, Children>>) {
        match std::ptr::from_ref(self).cmp(&std::ptr::from_ref(other)) {
            std::cmp::Ordering::Equal => (self.children.lock(), None),
            std::cmp::Ordering::Less => {
                let first = self.children.lock();
                (first, Some(other.children.lock()))
            }
            std::cmp::Ordering::Greater => {
                let second = other.children.lock();
                (self.children.lock(), Some(second))
            }
        }
    }

    /// Forgets all names below, without recursion: a guest decides how deep the tree is.
    pub fn clear(self: &Arc<Self>) {
        let mut todo = vec![self.clone()];
        while let Some(dentry) = todo.pop() {
            let children = std::mem::take(&mut dentry.children.lock().map);
            todo.extend(children.into_values().flatten());
        }
    }
}

impl Drop for Dentry {
    fn drop(&mut self) {
        // Up the chain of parents in a loop, since letting each drop the next would recurse.
        let mut parent = self.place.get_mut().parent.take();
        while let Some(dentry) = parent.and_then(Arc::into_inner) {
            parent = dentry.place.lock().parent.take();
        }
    }
}
