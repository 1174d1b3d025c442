//! A tree of mounts of its own: mount_namespaces(7), pivot_root(2).
//!
//! The one idea: a namespace is the mount at the top of a tree, and whoever is in it has its root and working directory in that tree. A
//! copy copies the mounts and not what they show, so a place in the old tree has one in the new: the same dentry in the copy of
//! its mount. Nothing that is mounted or taken away in one shows in another.

use std::sync::Arc;

use parking_lot::Mutex;

use super::mount::{Mount, Path};
use super::path::FsContext;
use crate::errno::{Errno, SysResult};
use crate::process::UserNamespace;

/// A tree of mounts.
pub struct MountNamespace {
    number: u64,
    owner: UserNamespace,
    top: Mutex<Arc<Mount>>,
}

impl MountNamespace {
    /// That of the tree below `top`, of the first namespace of users.
    pub fn new(number: u64, top: Arc<Mount>) -> Arc<Self> {
        Self::of(UserNamespace::FIRST, number, top)
    }

    fn of(owner: UserNamespace, number: u64, top: Arc<Mount>) -> Arc<Self> {
        Arc::new(Self { number, owner, top: Mutex::new(top) })
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The namespace of users that it belongs to.
    pub fn owner(&self) -> &UserNamespace {
        &self.owner
    }

    /// The mount at the top.
    pub fn top(&self) -> Arc<Mount> {
        Arc::clone(&self.top.lock())
    }

    /// What a process that enters it has for root and working directory.
    pub fn root(&self) -> Path {
        let mut root = Path::root_of(&self.top());
        root.cross_mounts();
        root
    }

    /// Whether `path` is in it.
    pub fn contains(&self, path: &Path) -> bool {
        Arc::ptr_eq(path.top().mount(), &self.top.lock())
    }
}

impl FsContext {
    /// Gets a copy of its tree of mounts, with the number `number`, to be alone in. It belongs to `owner`, to whom what somebody else has mounted is
    /// locked.
    pub fn leave_mounts(&mut self, number: u64, owner: &UserNamespace) {
        let old = self.mounts.top();
        let (top, copies) = Mount::copy_tree(&old, old.root(), true);
        let moved = |path: &Path| {
            let copy = copies.iter().find(|(from, _)| Arc::ptr_eq(from, path.mount()));
            // What is in no tree stays where it is.
            copy.map_or_else(
                || path.clone(),
                |(_, to)| Path::new(to.clone(), path.dentry().clone()),
            )
        };
        (self.root, self.cwd) = (moved(&self.root), moved(&self.cwd));
        if owner != self.mounts.owner() {
            for (_, copy) in &copies {
                copy.lock();
            }
        }
        self.mounts = MountNamespace::of(owner.clone(), number, top);
    }

    /// Is in `mounts` from now on, at its top.
    pub fn enter_mounts(&mut self, mounts: Arc<MountNamespace>) {
        self.root = mounts.root();
        self.cwd = self.root.clone();
        self.mounts = mounts;
    }

    /// pivot_root(2): the mount whose root `new` is comes to where the caller's root is mounted, and that one to `old`. Those whose
    /// root or working directory was the old root are left with it; [`follow_pivot`](Self::follow_pivot) takes them along.
    ///
    /// `EINVAL` if a place is in another tree, or `new` or the root no mount's root, or `old` not below `new`; `EBUSY` if they are on the
    /// root's file system; `ENOENT` for a removed place.
    pub fn pivot(&self, new: &Path, old: &Path) -> SysResult<()> {
        let mounts = &self.mounts;
        if ![&self.root, new, old].into_iter().all(|path| mounts.contains(path)) {
            return Err(Errno::EINVAL);
        }
        if new.dentry().is_unlinked() {
            return Err(Errno::ENOENT);
        }
        let root = self.root.mount();
        if [new, old].into_iter().any(|path| Arc::ptr_eq(path.mount(), root)) {
            return Err(Errno::EBUSY);
        }
        let is_mount = self.root.is_mount_root() && new.is_mount_root();
        if !is_mount || !old.is_within(new) || !new.is_within(&self.root) {
            return Err(Errno::EINVAL);
        }
        new.mount().check_movable()?;
        let mut top = mounts.top.lock();
        let place = root.mount_point();
        root.hand_over_lock(new.mount());
        new.mount().detach();
        match &place {
            Some(place) => {
                root.detach();
                new.mount().attach(place)?;
            }
            None => *top = new.mount().clone(),
        }
        root.attach(old)
    }

    /// Takes what has its root or working directory at `old`, a root before, to `new`, the root now.
    pub fn follow_pivot(&mut self, old: &Path, new: &Path) {
        for place in [&mut self.root, &mut self.cwd] {
            if place.same(old) {
                place.clone_from(new);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::{
        Credentials, MountFlags, Superblock, mount::Unmount, testing::World, tmpfs::Tmpfs,
    };

    fn mount(world: &World, at: &str) {
        world.mkdir(at).unwrap();
        let fs = Superblock::new(Tmpfs::new(&world.memory, 0o755).unwrap());
        world.place(at).unwrap().mount_here(fs, None, MountFlags::empty(), "t").unwrap();
    }

    #[test]
    fn a_copy_shows_the_same_and_goes_its_own_way() {
        let mut world = World::new();
        mount(&world, "/m");
        world.mkdir("/m/d").unwrap();
        world.ctx.cwd = world.place("/m/d").unwrap();
        let before = world.ctx.clone();
        world.ctx.leave_mounts(7, &UserNamespace::FIRST);
        assert!(
            world.ctx.mounts.contains(&world.ctx.cwd) && !before.mounts.contains(&world.ctx.cwd)
        );
        assert_eq!(world.ctx.cwd.to_bytes(&world.ctx.root), b"/m/d");
        mount(&world, "/m/d/n");
        world.create("/m/d/n/x", b"");
        assert_eq!(world.names("/m/d/n"), ["x"]);
        world.ctx = before;
        assert!(world.names("/m/d/n").is_empty());
    }

    #[test]
    fn what_a_more_privileged_one_has_mounted_stays_as_it_is() {
        let mut world = World::new();
        mount(&world, "/m");
        world.mkdir("/n").unwrap();
        world.place("/m").unwrap().remount(MountFlags::RDONLY).unwrap();
        let users = UserNamespace::new(&Credentials::root()).unwrap();
        world.ctx.leave_mounts(7, &users);
        let place = |path: &str| world.place(path).unwrap();
        assert_eq!(place("/m").unmount(Unmount::Detach), Err(Errno::EINVAL));
        assert_eq!(place("/m").remount(MountFlags::empty()), Err(Errno::EPERM));
        assert_eq!(place("/m").remount(MountFlags::RDONLY | MountFlags::NOEXEC), Ok(()));
        assert_eq!(place("/n").move_here(&place("/m")), Err(Errno::EINVAL));
        assert_eq!(place("/n").bind_here(&place("/"), false), Err(Errno::EINVAL), "uncovers");
        // What is added can be taken away, and shows no more than it did.
        place("/n").bind_here(&place("/m"), false).unwrap();
        assert_eq!(place("/n").remount(MountFlags::empty()), Err(Errno::EPERM));
        assert_eq!(place("/n").unmount(Unmount::Detach), Ok(()));
    }

    #[test]
    fn a_pivot_exchanges_the_top_and_leaves_the_old_tree_where_it_is_wanted() {
        let mut world = World::new();
        mount(&world, "/new");
        world.mkdir("/new/old").unwrap();
        world.mkdir("/seen").unwrap();
        let (root, new, old) = (
            world.ctx.root.clone(),
            world.place("/new").unwrap(),
            world.place("/new/old").unwrap(),
        );
        assert_eq!(world.ctx.pivot(&root, &old), Err(Errno::EBUSY));
        assert_eq!(world.ctx.pivot(&old, &old), Err(Errno::EINVAL));
        world.ctx.pivot(&new, &old).unwrap();
        world.ctx.follow_pivot(&root, &new);
        assert_eq!(world.names("/"), ["old"]);
        assert_eq!(world.names("/old"), ["new", "seen"]);
        assert!(world.ctx.mounts.contains(&world.ctx.cwd));
        // And back, the one on top of the other.
        let (root, new) = (world.ctx.root.clone(), world.place("/old").unwrap());
        world.ctx.pivot(&new, &new).unwrap();
        world.ctx.follow_pivot(&root, &new);
        assert_eq!(world.names("/new"), Vec::<String>::new());
    }
}
