//! Mounts: file systems hung into one tree of names.
//!
//! The one idea: a place is a [`Path`], a dentry *in a mount*, because one dentry may be visible through several
//! mounts. A mount owns the mounts that sit on its dentries; walking down asks the dentry first whether it is
//! a mount point at all, one load, and only then the map.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bitflags::bitflags;
use parking_lot::{Mutex, RwLock};

use super::dentry::{Dentry, NameMap};
use super::inode::{FileSystem, Inode};
use super::metadata::{DeviceNumber, StatFs};
use super::notify::Watches;
use crate::errno::{Errno, SysResult};

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
}

impl Superblock {
    /// Puts `fs` to use.
    pub fn new(fs: Arc<dyn FileSystem>) -> Arc<Self> {
        let root = Dentry::root(fs.root());
        Arc::new(Self { fs, root, rename: Mutex::new(()), watches: Arc::default() })
    }

    /// The file system.
    pub fn fs(&self) -> &Arc<dyn FileSystem> {
        &self.fs
    }

    /// The root dentry.
    pub fn root(&self) -> &Arc<Dentry> {
        &self.root
    }

    pub(super) fn rename_lock(&self) -> &Mutex<()> {
        &self.rename
    }
}

impl Drop for Superblock {
    fn drop(&mut self) {
        self.watches.unmounted();
        // Parents and children hold each other.
        self.root.clear();
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// One attachment of a file system's tree (or of a part of it) to the tree of names.
pub struct Mount {
    id: u64,
    superblock: Arc<Superblock>,
    root: Arc<Dentry>,
    /// Where it is mounted: the parent mount does not keep its children's places alive, they keep theirs.
    place: Option<(Weak<Mount>, Arc<Dentry>)>,
    flags: MountFlags,
    source: String,
    children: RwLock<NameMap<usize, Arc<Mount>>>,
}

impl Mount {
    /// The mount at the root of a namespace.
    pub fn new_root(superblock: Arc<Superblock>, flags: MountFlags, source: &str) -> Arc<Self> {
        let root = superblock.root.clone();
        Self::build(superblock, root, None, flags, source)
    }

    fn build(
        superblock: Arc<Superblock>,
        root: Arc<Dentry>,
        place: Option<(Weak<Mount>, Arc<Dentry>)>,
        flags: MountFlags,
        source: &str,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            superblock,
            root,
            place,
            flags,
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
        self.flags
    }

    /// What was mounted: a device or a word.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The path in the parent mount that this covers; `None` for the root of a namespace.
    pub fn mount_point(&self) -> Option<Path> {
        let (mount, dentry) = self.place.as_ref()?;
        Some(Path { mount: mount.upgrade()?, dentry: dentry.clone() })
    }

    /// Fails with `EROFS` if nothing may be changed through this mount.
    pub fn writable(&self) -> SysResult<()> {
        if self.flags.contains(MountFlags::RDONLY) { Err(Errno::EROFS) } else { Ok(()) }
    }

    fn covering(&self, dentry: &Arc<Dentry>) -> Option<Arc<Mount>> {
        self.children.read().get(&(Arc::as_ptr(dentry) as usize)).cloned()
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
        if let Some((_, dentry)) = &self.place {
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
        let place = Some((Arc::downgrade(&self.mount), self.dentry.clone()));
        let mount = Mount::build(superblock, root, place, flags, source);
        self.dentry.add_mount();
        let key = Arc::as_ptr(&self.dentry) as usize;
        self.mount.children.write().insert(key, mount.clone());
        Ok(mount)
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

    /// Takes the mount whose root this is out of the tree. `EINVAL` if this is no mount's root, `EBUSY` if
    /// something is mounted below.
    pub fn unmount(&self) -> SysResult<()> {
        if !Arc::ptr_eq(&self.dentry, &self.mount.root) {
            return Err(Errno::EINVAL);
        }
        let Some(below) = self.mount.mount_point() else { return Err(Errno::EINVAL) };
        if !self.mount.children.read().is_empty() {
            return Err(Errno::EBUSY);
        }
        below.mount.children.write().remove(&(Arc::as_ptr(&below.dentry) as usize));
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
        world.place("/m").unwrap().unmount().unwrap();
        assert_eq!(world.names("/m"), ["d"]);
        drop(inside);
        world.place("/m").unwrap().unmount().unwrap();
        assert_eq!(world.names("/m"), ["below"]);
        assert_eq!(world.ctx.root.unmount(), Err(Errno::EINVAL));
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
