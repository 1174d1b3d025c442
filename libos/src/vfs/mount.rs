//! Mounts: file systems hung into one tree of names.
//!
//! The one idea: a place is a [`Path`], a dentry *in a mount*, because one dentry may be visible through several
//! mounts. A mount owns the mounts that sit on its dentries; walking down asks the dentry first whether it is
//! a mount point at all, one load, and only then the map.

use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bitflags::bitflags;
use parking_lot::{Mutex, RwLock};

use super::dentry::{Dentry, NameMap};
use super::handle::Handles;
use super::inode::{FileSystem, Inode};
use super::metadata::{DeviceNumber, StatFs};
use super::notify::Watches;
use crate::errno::{Errno, SysResult};
use crate::process::UserNamespace;

bitflags! {
    /// Per-mount flags; the values of mount(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MountFlags: u64 {
        /// No changes.
        const RDONLY = 1;
        /// Ignore set-id bits.
        const NOSUID = 2;
        /// Device nodes do not open.
        const NODEV = 4;
        /// Nothing executes.
        const NOEXEC = 8;
        /// Do not update access times.
        const NOATIME = 1024;
        /// Update access times only now and then.
        const RELATIME = 1 << 21;
    }
}

impl MountFlags {
    /// The options as /proc/mounts shows them: `rw,nosuid`.
    pub fn options(self) -> String {
        let mut text = String::from(if self.contains(Self::RDONLY) { "ro" } else { "rw" });
        for (flag, name) in [
            (Self::NOSUID, ",nosuid"),
            (Self::NODEV, ",nodev"),
            (Self::NOEXEC, ",noexec"),
            (Self::NOATIME, ",noatime"),
            (Self::RELATIME, ",relatime"),
        ] {
            if self.contains(flag) {
                text.push_str(name);
            }
        }
        text
    }
}

/// A file system in use: its tree of dentries, shared by all mounts of it.
pub struct Superblock {
    fs: Arc<dyn FileSystem>,
    root: Arc<Dentry>,
    /// Held by rename, so that the shape of the tree does not change while it checks for cycles.
    rename: Mutex<()>,
    /// Who watches what of it.
    watches: Arc<Watches>,
    /// The handles it has given.
    handles: Handles,
    /// The namespace of users of whoever mounted it.
    owner: UserNamespace,
}

impl Superblock {
    /// Puts `fs` to use.
    pub fn new(fs: Arc<dyn FileSystem>) -> Arc<Self> {
        Self::of(UserNamespace::FIRST, fs)
    }

    /// Puts `fs` to use for somebody in the namespace of users `owner`.
    pub fn of(owner: UserNamespace, fs: Arc<dyn FileSystem>) -> Arc<Self> {
        let root = Dentry::root(fs.root());
        let (rename, watches, handles) = Default::default();
        Arc::new(Self { fs, root, rename, watches, handles, owner })
    }

    /// The namespace of users of whoever mounted it.
    pub fn owner(&self) -> &UserNamespace {
        &self.owner
    }

    /// The file system.
    pub fn fs(&self) -> &Arc<dyn FileSystem> {
        &self.fs
    }

    /// The root dentry.
    pub fn root(&self) -> &Arc<Dentry> {
        &self.root
    }

    /// The handles it has given.
    pub fn handles(&self) -> &Handles {
        &self.handles
    }

    pub(super) fn rename_lock(&self) -> &Mutex<()> {
        &self.rename
    }
}

impl Drop for Superblock {
    fn drop(&mut self) {
        self.watches.unmounted();
        self.handles.clear();
        // Parents and children hold each other.
        self.root.clear();
    }
}

/// By what a mount finds those that hang on its dentries.
fn key(dentry: &Arc<Dentry>) -> usize {
    Arc::as_ptr(dentry) as usize
}

/// How a mount is to be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmount {
    /// Only if nobody uses it and nothing is mounted below.
    IfUnused,
    /// From the tree, now; it goes with its last user (`MNT_DETACH`).
    Detach,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What of a mount somebody may not change who has it from somebody more privileged, mount_namespaces(7).
#[derive(Clone, Copy, Default)]
struct Lock {
    /// It is not to be taken away, as that would show what it covers.
    place: bool,
    /// The flags that it had.
    flags: Option<MountFlags>,
}

impl Lock {
    /// `EPERM` unless `flags` restrict as much, and treat access times the same.
    fn check(&self, flags: MountFlags) -> SysResult<()> {
        let restricts =
            MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
        let times = MountFlags::NOATIME | MountFlags::RELATIME;
        let allowed = self.flags.is_none_or(|locked| {
            flags.contains(locked & restricts) && flags & times == locked & times
        });
        if allowed { Ok(()) } else { Err(Errno::EPERM) }
    }
}

/// Mounts and what they were copied to.
type Copies = Vec<(Arc<Mount>, Arc<Mount>)>;

/// One attachment of a file system's tree (or of a part of it) to the tree of names.
pub struct Mount {
    id: u64,
    superblock: Arc<Superblock>,
    root: Arc<Dentry>,
    /// Where it is mounted: the parent mount does not keep its children's places alive, they keep theirs.
    place: Mutex<Option<(Weak<Mount>, Arc<Dentry>)>>,
    /// [`MountFlags`].
    flags: AtomicU64,
    lock: Mutex<Lock>,
    source: String,
    children: RwLock<NameMap<usize, Arc<Mount>>>,
}

impl Mount {
    /// The mount at the root of a namespace.
    pub fn new_root(superblock: Arc<Superblock>, flags: MountFlags, source: &str) -> Arc<Self> {
        let root = superblock.root.clone();
        Self::build(superblock, root, flags, source)
    }

    fn build(
        superblock: Arc<Superblock>,
        root: Arc<Dentry>,
        flags: MountFlags,
        source: &str,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            superblock,
            root,
            place: Mutex::new(None),
            flags: AtomicU64::new(flags.bits()),
            lock: Mutex::default(),
            source: source.to_owned(),
            children: RwLock::default(),
        })
    }

    /// The mount's id, as in statx and mountinfo.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The file system mounted.
    pub fn superblock(&self) -> &Arc<Superblock> {
        &self.superblock
    }

    /// The dentry shown at the mount point.
    pub fn root(&self) -> &Arc<Dentry> {
        &self.root
    }

    /// The flags.
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    /// What was mounted: a device or a word.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The path in the parent mount that this covers; `None` for the root of a namespace.
    pub fn mount_point(&self) -> Option<Path> {
        let place = self.place.lock();
        let (mount, dentry) = place.as_ref()?;
        Some(Path { mount: mount.upgrade()?, dentry: dentry.clone() })
    }

    /// It was somebody's who is more privileged than those who have it now: it stays where it is, if it is mounted anywhere, and keeps
    /// the flags that restrict.
    pub(super) fn lock(&self) {
        let place = self.place.lock().is_some();
        *self.lock.lock() = Lock { place, flags: Some(self.flags()) };
    }

    fn is_locked(&self) -> bool {
        self.lock.lock().place
    }

    /// Has the mount `other` take the place of this one, from which it can be taken as this could.
    pub(super) fn hand_over_lock(&self, other: &Mount) {
        if std::mem::take(&mut self.lock.lock().place) {
            other.lock.lock().place = true;
        }
    }

    /// `EINVAL` if it is to stay where it is.
    pub(super) fn check_movable(&self) -> SysResult<()> {
        if self.is_locked() { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// Fails with `EROFS` if nothing may be changed through this mount.
    pub fn writable(&self) -> SysResult<()> {
        if self.flags().contains(MountFlags::RDONLY) { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// Fails with `EACCES` if nothing may be run from this mount.
    pub fn executable(&self) -> SysResult<()> {
        if self.flags().contains(MountFlags::NOEXEC) { Err(Errno::EACCES) } else { Ok(()) }
    }

    fn covering(&self, dentry: &Arc<Dentry>) -> Option<Arc<Mount>> {
        self.children.read().get(&key(dentry)).cloned()
    }

    /// Hangs the mount, which hangs nowhere, into the tree at `at`. `ENOENT` for a place whose name was removed, `EBUSY` when somebody was
    /// faster.
    pub(super) fn attach(self: &Arc<Self>, at: &Path) -> SysResult<()> {
        if at.dentry.is_unlinked() {
            return Err(Errno::ENOENT);
        }
        let mut siblings = at.mount.children.write();
        let Entry::Vacant(vacant) = siblings.entry(key(&at.dentry)) else {
            return Err(Errno::EBUSY);
        };
        at.dentry.add_mount();
        *self.place.lock() = Some((Arc::downgrade(&at.mount), at.dentry.clone()));
        vacant.insert(self.clone());
        Ok(())
    }

    /// Takes the mount out of the tree.
    pub(super) fn detach(&self) {
        let Some((parent, dentry)) = self.place.lock().take() else { return };
        let parent = parent.upgrade();
        let removed = parent.and_then(|parent| parent.children.write().remove(&key(&dentry)));
        dentry.remove_mount();
        // What it kept alive goes without the lock.
        drop(removed);
    }

    /// The mounts below `dentry` of this mount, parents first: each with the index of its parent in the list (`None`: this one).
    fn below(
        self: &Arc<Self>,
        dentry: &Arc<Dentry>,
    ) -> Vec<(Option<usize>, Arc<Dentry>, Arc<Mount>)> {
        let mut all: Vec<(Option<usize>, Arc<Dentry>, Arc<Mount>)> = Vec::new();
        let mut from = (None, self.clone(), dentry.clone());
        let mut next = 0;
        loop {
            let (parent, mount, root) = from;
            for child in mount.children.read().values() {
                let place = child.place.lock().as_ref().map(|(_, place)| place.clone());
                if let Some(place) = place.filter(|place| place.is_within(&root)) {
                    all.push((parent, place, child.clone()));
                }
            }
            let Some((_, _, mount)) = all.get(next) else { return all };
            from = (Some(next), mount.clone(), mount.root.clone());
            next += 1;
        }
    }

    /// A copy that shows `root` of what this shows, and copies of what is mounted below that if `recursive`: the first, which hangs
    /// nowhere, and all with what they are copies of.
    pub(super) fn copy_tree(
        self: &Arc<Self>,
        root: &Arc<Dentry>,
        recursive: bool,
    ) -> (Arc<Self>, Copies) {
        let copy = |mount: &Mount, root: &Arc<Dentry>| {
            let flags = mount.flags();
            let copy = Mount::build(mount.superblock.clone(), root.clone(), flags, &mount.source);
            *copy.lock.lock() = *mount.lock.lock();
            copy
        };
        let top = copy(self, root);
        top.lock.lock().place = false;
        let below = if recursive { self.below(root) } else { Vec::new() };
        let mut copies = Vec::with_capacity(below.len() + 1);
        copies.push((self.clone(), top.clone()));
        for (parent, place, mount) in below {
            // The first of the copies is that of this mount.
            let parent = copies.get(parent.map_or(0, |index| index + 1)).map(|(_, copy)| copy);
            let place = Path::new(parent.unwrap_or(&top).clone(), place);
            let copied = copy(&mount, &mount.root);
            // A place that was removed meanwhile has none.
            let _ = copied.attach(&place);
            copies.push((mount, copied));
        }
        (top, copies)
    }

    /// From the root of its file system to the directory or file that it shows.
    pub fn shown(&self) -> Vec<u8> {
        let mut names = Vec::new();
        let mut at = self.root.clone();
        while let Some(parent) = at.parent() {
            names.push(at.name());
            at = parent;
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() { self.superblock.fs().root_name() } else { path }
    }

    /// This mount and all below it, parents first, in the order they were mounted.
    pub fn tree(self: &Arc<Self>) -> Vec<Arc<Mount>> {
        let mut all = vec![self.clone()];
        let mut next = 0;
        while let Some(mount) = all.get(next).cloned() {
            all.extend(mount.children.read().values().cloned());
            next += 1;
        }
        all.sort_by_key(|mount| mount.id);
        all
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some((_, dentry)) = self.place.get_mut() {
            dentry.remove_mount();
        }
    }
}

/// The file system of an inode that is in no tree.
struct Lone(Arc<dyn Inode>);

impl FileSystem for Lone {
    fn root(&self) -> Arc<dyn Inode> {
        self.0.clone()
    }

    fn type_name(&self) -> &'static str {
        "anon_inodefs"
    }

    fn is_lone(&self) -> bool {
        true
    }

    fn statfs(&self) -> SysResult<StatFs> {
        let magic = 0x0904_1934;
        Ok(StatFs { magic, block_size: 4096, name_max: 255, ..StatFs::default() })
    }

    fn device(&self) -> DeviceNumber {
        self.0.metadata().map_or(DeviceNumber(0), |metadata| metadata.dev)
    }
}

/// A place in the tree of names.
#[derive(Clone)]
pub struct Path {
    mount: Arc<Mount>,
    dentry: Arc<Dentry>,
}

impl Path {
    /// The place of `dentry`, which belongs to the tree of `mount`.
    pub fn new(mount: Arc<Mount>, dentry: Arc<Dentry>) -> Self {
        Self { mount, dentry }
    }

    /// The root of a mount.
    pub fn root_of(mount: &Arc<Mount>) -> Self {
        Self { mount: mount.clone(), dentry: mount.root.clone() }
    }

    /// The mount.
    pub fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    /// The dentry.
    pub fn dentry(&self) -> &Arc<Dentry> {
        &self.dentry
    }

    /// The inode.
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.dentry.inode()
    }

    /// Who watches what of the file system that it is in.
    pub fn watches(&self) -> &Arc<Watches> {
        &self.mount.superblock.watches
    }

    /// Whether it is the place of an [inode in no tree](Self::detached).
    pub fn is_lone(&self) -> bool {
        self.mount.superblock.fs().is_lone()
    }

    /// Whether both are the same place.
    pub fn same(&self, other: &Path) -> bool {
        Arc::ptr_eq(&self.dentry, &other.dentry) && Arc::ptr_eq(&self.mount, &other.mount)
    }

    /// Replaces the dentry by another one of the same mount.
    pub(super) fn set_dentry(&mut self, dentry: Arc<Dentry>) {
        self.dentry = dentry;
    }

    /// Steps onto whatever is mounted here, the topmost; whether anything was.
    pub fn cross_mounts(&mut self) -> bool {
        let mut crossed = false;
        while self.dentry.is_mount_point() {
            let Some(mount) = self.mount.covering(&self.dentry) else { break };
            self.dentry = mount.root.clone();
            self.mount = mount;
            crossed = true;
        }
        crossed
    }

    /// The directory above, across mount points; a root is its own parent.
    pub fn parent(&self) -> Path {
        let mut at = self.clone();
        while Arc::ptr_eq(&at.dentry, &at.mount.root) {
            let Some(below) = at.mount.mount_point() else { return at };
            at = below;
        }
        if let Some(parent) = at.dentry.parent() {
            at.dentry = parent;
        }
        // The parent may itself be covered when something was mounted on an ancestor later.
        at.cross_mounts();
        at
    }

    /// Mounts the tree of `superblock`, or its part from `root` on, here; the new mount.
    ///
    /// `ENOTDIR` unless both are directories or both are not.
    pub fn mount_here(
        &self,
        superblock: Arc<Superblock>,
        root: Option<Arc<Dentry>>,
        flags: MountFlags,
        source: &str,
    ) -> SysResult<Arc<Mount>> {
        let root = root.unwrap_or_else(|| superblock.root.clone());
        if root.inode().kind().is_dir() != self.inode().kind().is_dir() {
            return Err(Errno::ENOTDIR);
        }
        let mount = Mount::build(superblock, root, flags, source);
        mount.attach(self)?;
        Ok(mount)
    }

    /// Whether it is the root of a mount.
    pub fn is_mount_root(&self) -> bool {
        Arc::ptr_eq(&self.dentry, &self.mount.root)
    }

    /// Whether this is `other` or below it, across mounts.
    pub fn is_within(&self, other: &Path) -> bool {
        let mut at = self.clone();
        while !Arc::ptr_eq(&at.mount, &other.mount) {
            let Some(below) = at.mount.mount_point() else { return false };
            at = below;
        }
        at.dentry.is_within(&other.dentry)
    }

    /// Shows `from` here, too, and what is mounted below it if `recursive` (`MS_BIND`). `ENOTDIR`, `ENOENT`; `EINVAL` where that would show what
    /// must stay covered.
    pub fn bind_here(&self, from: &Path, recursive: bool) -> SysResult<()> {
        if from.inode().kind().is_dir() != self.inode().kind().is_dir() {
            return Err(Errno::ENOTDIR);
        }
        let covers = || from.mount.below(&from.dentry).iter().any(|(.., mount)| mount.is_locked());
        if !recursive && covers() {
            return Err(Errno::EINVAL);
        }
        let (top, _) = Mount::copy_tree(&from.mount, &from.dentry, recursive);
        top.attach(self)
    }

    /// Moves the mount whose root `from` is here (`MS_MOVE`). `EINVAL` unless it is one that can be moved, `ELOOP` into itself.
    pub fn move_here(&self, from: &Path) -> SysResult<()> {
        let is_dir = |path: &Path| path.inode().kind().is_dir();
        let movable = from.is_mount_root() && from.mount.mount_point().is_some();
        if !movable || is_dir(from) != is_dir(self) {
            return Err(Errno::EINVAL);
        }
        from.mount.check_movable()?;
        let mut above = Some(self.mount.clone());
        while let Some(mount) = above {
            if Arc::ptr_eq(&mount, &from.mount) {
                return Err(Errno::ELOOP);
            }
            above = mount.mount_point().map(|place| place.mount);
        }
        if self.dentry.is_unlinked() {
            return Err(Errno::ENOENT);
        }
        from.mount.detach();
        from.mount.attach(self)
    }

    /// Changes the flags of the mount whose root this is (`MS_REMOUNT`); `EINVAL` if it is none's, `EPERM` for flags that are to stay.
    pub fn remount(&self, flags: MountFlags) -> SysResult<()> {
        if !self.is_mount_root() {
            return Err(Errno::EINVAL);
        }
        self.mount.lock.lock().check(flags)?;
        self.mount.flags.store(flags.bits(), Ordering::Relaxed);
        Ok(())
    }

    /// The root of the tree that this place is in.
    pub fn top(&self) -> Path {
        let mut mount = self.mount.clone();
        while let Some(below) = mount.mount_point() {
            mount = below.mount;
        }
        Path::root_of(&mount)
    }

    /// A place for an inode that is in no tree.
    pub fn detached(inode: Arc<dyn Inode>) -> Path {
        let superblock = Superblock::new(Arc::new(Lone(inode)));
        Path::root_of(&Mount::new_root(superblock, MountFlags::empty(), "none"))
    }

    /// Takes the mount whose root this is out of the tree. `EINVAL` if this is no mount's root or that of the whole tree or is to stay, `EBUSY` if
    /// somebody uses it or something is mounted below, unless it is only to be detached.
    pub fn unmount(&self, how: Unmount) -> SysResult<()> {
        /// Who has a mount that nobody uses: its parent, and the caller's path.
        const UNUSED: usize = 2;
        if !self.is_mount_root() || self.mount.mount_point().is_none() {
            return Err(Errno::EINVAL);
        }
        self.mount.check_movable()?;
        let used = || Arc::strong_count(&self.mount) > UNUSED;
        if how == Unmount::IfUnused && (!self.mount.children.read().is_empty() || used()) {
            return Err(Errno::EBUSY);
        }
        self.mount.detach();
        Ok(())
    }

    /// The absolute path as seen from `root`, as getcwd(2) and /proc show it: `(unreachable)` in front if it is
    /// not below, ` (deleted)` behind if the name is gone.
    pub fn to_bytes(&self, root: &Path) -> Vec<u8> {
        let mut names: Vec<Arc<[u8]>> = Vec::new();
        let mut at = self.clone();
        let mut reachable = true;
        while !at.same(root) {
            if Arc::ptr_eq(&at.dentry, &at.mount.root) {
                match at.mount.mount_point() {
                    Some(below) => at = below,
                    None => {
                        reachable = false;
                        break;
                    }
                }
                continue;
            }
            names.push(at.dentry.name());
            match at.dentry.parent() {
                Some(parent) => at.dentry = parent,
                None => {
                    reachable = false;
                    break;
                }
            }
        }
        let mut path = Vec::new();
        if !reachable {
            path.extend_from_slice(b"(unreachable)");
        }
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if names.is_empty() {
            path.push(b'/');
        }
        if self.dentry.is_unlinked() {
            path.extend_from_slice(b" (deleted)");
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::testing::World;
    use crate::vfs::tmpfs::Tmpfs;

    fn mount(world: &World, at: &str, flags: MountFlags) -> Arc<Mount> {
        let fs = Tmpfs::new(&world.memory, 0o755).unwrap();
        world.place(at).unwrap().mount_here(Superblock::new(fs), None, flags, "t").unwrap()
    }

    #[test]
    fn a_mount_covers_and_uncovers() {
        let world = World::new();
        world.mkdir("/m").unwrap();
        world.create("/m/below", b"");
        mount(&world, "/m", MountFlags::empty());
        assert!(world.names("/m").is_empty());
        world.mkdir("/m/d").unwrap();
        let inside = world.place("/m/d").unwrap();
        assert_eq!(inside.to_bytes(&world.ctx.root), b"/m/d");
        assert_eq!(world.place("/m/..").unwrap().to_bytes(&world.ctx.root), b"/");
        assert!(world.place("/m/d/../..").unwrap().same(&world.ctx.root));
        // One on top of the other.
        mount(&world, "/m", MountFlags::empty());
        assert!(world.names("/m").is_empty());
        let unmount = |how| world.place("/m").unwrap().unmount(how);
        assert_eq!(unmount(Unmount::IfUnused), Ok(()));
        assert_eq!(world.names("/m"), ["d"]);
        assert_eq!(unmount(Unmount::IfUnused), Err(Errno::EBUSY), "somebody stands in it");
        assert_eq!(unmount(Unmount::Detach), Ok(()));
        assert_eq!(world.names("/m"), ["below"]);
        assert_eq!(inside.to_bytes(&world.ctx.root), b"(unreachable)/d");
        assert_eq!(world.ctx.root.unmount(Unmount::Detach), Err(Errno::EINVAL));
    }

    #[test]
    fn a_mount_point_cannot_be_removed_or_moved_and_a_read_only_mount_not_changed() {
        let world = World::new();
        world.mkdir("/m").unwrap();
        mount(&world, "/m", MountFlags::RDONLY);
        assert_eq!(world.rmdir("/m"), Err(Errno::EBUSY));
        assert_eq!(world.mkdir("/m/x"), Err(Errno::EROFS));
        let flags = crate::vfs::RenameFlags::empty();
        assert_eq!(world.rename("/m", "/n", flags), Err(Errno::EBUSY));
        world.mkdir("/d").unwrap();
        assert_eq!(world.rename("/d", "/m/d", flags), Err(Errno::EXDEV));
        assert_eq!(world.place("/m").unwrap().mount().tree().len(), 1);
        assert_eq!(world.ctx.root.mount().tree().len(), 2);
    }

    #[test]
    fn a_recursive_bind_shows_what_is_mounted_below_and_a_move_takes_it_along() {
        let world = World::new();
        for dir in ["/m", "/n", "/o"] {
            world.mkdir(dir).unwrap();
        }
        mount(&world, "/m", MountFlags::empty());
        world.mkdir("/m/d").unwrap();
        mount(&world, "/m/d", MountFlags::empty());
        world.create("/m/d/deep", b"");
        let place = |path: &str| world.place(path).unwrap();
        place("/n").bind_here(&place("/m"), true).unwrap();
        assert_eq!(
            (world.names("/n"), world.names("/n/d")),
            (vec!["d".to_owned()], vec!["deep".to_owned()])
        );
        assert_eq!(place("/n/d").move_here(&place("/n")), Err(Errno::ELOOP));
        place("/o").move_here(&place("/n")).unwrap();
        assert_eq!((world.names("/n").len(), world.names("/o/d").len()), (0, 1));
        // Onto itself: it shows what was there before.
        place("/m/d").bind_here(&place("/m"), true).unwrap();
        assert_eq!(world.names("/m/d/d"), ["deep"]);
        assert_eq!(world.ctx.root.mount().tree().len(), 7);
        place("/m").remount(MountFlags::RDONLY).unwrap();
        assert_eq!((world.mkdir("/m/x"), world.mkdir("/o/x")), (Err(Errno::EROFS), Ok(())));
    }

    #[test]
    fn a_removed_place_says_so() {
        let world = World::new();
        world.mkdir("/gone").unwrap();
        let place = world.place("/gone").unwrap();
        world.rmdir("/gone").unwrap();
        assert_eq!(place.to_bytes(&world.ctx.root), b"/gone (deleted)");
        assert_eq!(
            place
                .dentry()
                .create(b"x", &crate::vfs::NewNode::new(crate::vfs::FileType::Regular, 0o644, 0, 0))
                .err(),
            Some(Errno::ENOENT)
        );
    }
}
