//! Path walks: from a name to a place (path_resolution(7)).
//!
//! The one idea: one loop takes component after component with nothing but cache lookups; a symbolic link restarts
//! the loop on a text made of the link's target and what was left, so that no depth of links costs stack.

use std::{borrow::Cow, sync::Arc};

use bitflags::bitflags;
use smallvec::SmallVec;

use super::dentry::Dentry;
use super::inode::Inode;
use super::metadata::FileType;
use super::mount::Path;
use super::mount_namespace::MountNamespace;
use super::permission::{self, Access, Credentials};
use crate::errno::{Errno, SysResult};

/// Longest path a system call takes, with the NUL.
pub const PATH_MAX: usize = 4096;

/// How many symbolic links one walk may follow.
const MAX_LINKS: u32 = 40;

bitflags! {
    /// How a walk treats links, mounts and its end.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct LookupFlags: u32 {
        /// Follow a symbolic link in the last component.
        const FOLLOW = 1;
        /// An empty path means the base itself (`AT_EMPTY_PATH`).
        const EMPTY_PATH = 2;
        /// The result must be a directory.
        const DIRECTORY = 4;
        /// `RESOLVE_NO_XDEV`: stay in the mount.
        const NO_XDEV = 0x100;
        /// `RESOLVE_NO_MAGICLINKS`: refuse the jumping links of /proc.
        const NO_MAGICLINKS = 0x200;
        /// `RESOLVE_NO_SYMLINKS`: refuse all links.
        const NO_SYMLINKS = 0x400;
        /// `RESOLVE_BENEATH`: refuse to leave the base.
        const BENEATH = 0x800;
        /// `RESOLVE_IN_ROOT`: the base is the root.
        const IN_ROOT = 0x1000;
    }
}

/// Whose view of the file tree a walk takes: one per process (or shared with `CLONE_FS`).
#[derive(Clone)]
pub struct FsContext {
    /// `/`.
    pub root: Path,
    /// The current directory.
    pub cwd: Path,
    /// Permission bits that new files do not get.
    pub umask: u32,
    /// The tree of mounts that both are in.
    pub mounts: Arc<MountNamespace>,
    /// On whose behalf.
    pub cred: Arc<Credentials>,
    /// The process that /proc/self stands for; 0 if none.
    pub pid: i32,
}

/// The last component of a path whose parent was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// A name, and whether a slash followed it.
    Name(SmallVec<[u8; 64]>, bool),
    /// `.`, `..` or nothing but slashes: an existing directory, where the walk ended.
    Existing(FinalDots),
}

/// Which nameless last component it was; system calls differ in their errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FinalDots {
    /// `/`.
    Root,
    /// `.`.
    Dot,
    /// `..`.
    DotDot,
}

/// How far one pass over a text came.
enum Step {
    Done,
    Last(Last),
    /// A link to follow; what is left of the text begins at this index.
    Link(Vec<u8>, usize),
}

/// A walk in progress.
pub(super) struct Walker<'c> {
    cred: &'c Credentials,
    pid: i32,
    root: &'c Path,
    /// Borrowed until it leaves where it began.
    at: Cow<'c, Path>,
    flags: LookupFlags,
    links: u32,
}

impl<'c> Walker<'c> {
    /// A walk from `base` (`None`: the current directory).
    pub(super) fn new(ctx: &'c FsContext, base: Option<&'c Path>, flags: LookupFlags) -> Self {
        let at = base.unwrap_or(&ctx.cwd);
        let confined = flags.intersects(LookupFlags::BENEATH | LookupFlags::IN_ROOT);
        let root = if confined { at } else { &ctx.root };
        Self { cred: &ctx.cred, pid: ctx.pid, root, at: Cow::Borrowed(at), flags, links: 0 }
    }

    /// The place that `path` leads to.
    pub(super) fn resolve(mut self, path: &[u8]) -> SysResult<Path> {
        self.run(path, false)?;
        Ok(self.into_place())
    }

    /// The directory that the last component of `path` is to be looked up in, and that component.
    pub(super) fn resolve_parent(&mut self, path: &[u8]) -> SysResult<Last> {
        match self.run(path, true)? {
            Some(last) => Ok(last),
            None => Err(Errno::ENOENT),
        }
    }

    /// Where the walk stands.
    pub(super) fn at(&self) -> &Path {
        &self.at
    }

    /// Ends the walk.
    pub(super) fn into_place(self) -> Path {
        self.at.into_owned()
    }

    fn run(&mut self, path: &[u8], parent: bool) -> SysResult<Option<Last>> {
        if path.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if path.is_empty() {
            if self.flags.contains(LookupFlags::EMPTY_PATH) && !parent {
                return Ok(None);
            }
            return Err(Errno::ENOENT);
        }
        let mut step = self.pass(path, parent)?;
        let mut text: Vec<u8> = Vec::new();
        let mut first = true;
        loop {
            match step {
                Step::Done => return Ok(None),
                Step::Last(last) => return Ok(Some(last)),
                Step::Link(mut target, rest) => {
                    target.extend_from_slice(if first { &path[rest..] } else { &text[rest..] });
                    first = false;
                    text = target;
                    step = self.pass(&text, parent)?;
                }
            }
        }
    }

    /// Walks along `text` until it ends or a link replaces it.
    fn pass(&mut self, text: &[u8], parent: bool) -> SysResult<Step> {
        let mut index = 0;
        if text.first() == Some(&b'/') {
            self.go_to_root()?;
        } else if !self.at.inode().kind().is_dir() {
            return Err(Errno::ENOTDIR);
        }
        loop {
            while text.get(index) == Some(&b'/') {
                index += 1;
            }
            let rest = &text[index..];
            if rest.is_empty() {
                // Only slashes so far: `/`, or a link's target consumed by a jump.
                if parent {
                    return Ok(Step::Last(Last::Existing(FinalDots::Root)));
                }
                return Ok(Step::Done);
            }
            let len = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
            let name = &rest[..len];
            let slashed = len < rest.len();
            let last = !slashed || rest[len..].iter().all(|&byte| byte == b'/');
            self.may_search()?;
            match name {
                b"." => {
                    if last && parent {
                        return Ok(Step::Last(Last::Existing(FinalDots::Dot)));
                    }
                }
                b".." => {
                    self.go_to_parent()?;
                    if last && parent {
                        return Ok(Step::Last(Last::Existing(FinalDots::DotDot)));
                    }
                }
                _ if last && parent => {
                    return Ok(Step::Last(Last::Name(name.into(), slashed)));
                }
                _ => {
                    let child = self.at.dentry().lookup(name)?;
                    let kind = child.inode().kind();
                    let follow = !last || slashed || self.flags.contains(LookupFlags::FOLLOW);
                    if kind == FileType::Symlink && follow {
                        match self.link(&child)? {
                            Some(target) => return Ok(Step::Link(target, index + len)),
                            None => {
                                let dir = self.at.inode().kind().is_dir();
                                if !dir && (!last || slashed || self.must_be_dir()) {
                                    return Err(Errno::ENOTDIR);
                                }
                            }
                        }
                    } else {
                        self.step_to(child)?;
                        if !kind.is_dir() && (!last || slashed || self.must_be_dir()) {
                            return Err(Errno::ENOTDIR);
                        }
                    }
                }
            }
            if last {
                return Ok(Step::Done);
            }
            index += len;
        }
    }

    fn must_be_dir(&self) -> bool {
        self.flags.contains(LookupFlags::DIRECTORY)
    }

    /// Looks the last component up in the directory where the walk stands. `None` if it does not exist.
    pub(super) fn lookup_last(&self, name: &[u8]) -> SysResult<Option<Arc<Dentry>>> {
        self.may_search()?;
        match self.at.dentry().lookup(name) {
            Ok(child) => Ok(Some(child)),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Follows the link `child` found under the last component, again up to the parent of its last component.
    /// `None` if the link jumped to an existing place, where the walk stands now.
    pub(super) fn follow_to_parent(&mut self, child: &Arc<Dentry>) -> SysResult<Option<Last>> {
        match self.link(child)? {
            Some(target) if target.is_empty() => Err(Errno::ENOENT),
            Some(target) => self.run(&target, true),
            None => Ok(None),
        }
    }

    /// Moves onto `child`, an entry of the current directory, and onto what is mounted there.
    pub(super) fn step_to(&mut self, child: Arc<Dentry>) -> SysResult<()> {
        let at = match &mut self.at {
            Cow::Owned(at) => {
                at.set_dentry(child);
                at
            }
            Cow::Borrowed(at) => {
                self.at = Cow::Owned(Path::new(Arc::clone(at.mount()), child));
                self.at.to_mut()
            }
        };
        if at.cross_mounts() && self.flags.contains(LookupFlags::NO_XDEV) {
            return Err(Errno::EXDEV);
        }
        Ok(())
    }

    /// The target of the link `child` of the current directory; `None` if following it moved the walk.
    fn link(&mut self, child: &Arc<Dentry>) -> SysResult<Option<Vec<u8>>> {
        self.links += 1;
        if self.links > MAX_LINKS || self.flags.contains(LookupFlags::NO_SYMLINKS) {
            return Err(Errno::ELOOP);
        }
        let inode: &Arc<dyn Inode> = child.inode();
        let Some(place) = inode.follow() else { return inode.read_link_as(self.pid).map(Some) };
        if self.flags.contains(LookupFlags::NO_MAGICLINKS) {
            return Err(Errno::ELOOP);
        }
        if self.flags.intersects(LookupFlags::BENEATH | LookupFlags::IN_ROOT) {
            return Err(Errno::EXDEV);
        }
        let place = place?;
        if self.flags.contains(LookupFlags::NO_XDEV) && !Arc::ptr_eq(place.mount(), self.at.mount())
        {
            return Err(Errno::EXDEV);
        }
        self.at = Cow::Owned(place);
        Ok(None)
    }

    fn may_search(&self) -> SysResult<()> {
        if self.cred.searches_all() {
            return Ok(());
        }
        let inode = &**self.at.inode();
        permission::check(self.cred, inode, &inode.metadata()?, Access::EXEC)
    }

    fn go_to_root(&mut self) -> SysResult<()> {
        if self.flags.contains(LookupFlags::BENEATH) {
            return Err(Errno::EXDEV);
        }
        if self.flags.contains(LookupFlags::NO_XDEV)
            && !Arc::ptr_eq(self.root.mount(), self.at.mount())
        {
            return Err(Errno::EXDEV);
        }
        self.at = Cow::Borrowed(self.root);
        Ok(())
    }

    fn go_to_parent(&mut self) -> SysResult<()> {
        if self.at.same(self.root) {
            if self.flags.contains(LookupFlags::BENEATH) {
                return Err(Errno::EXDEV);
            }
            return Ok(());
        }
        let parent = self.at.parent();
        if self.flags.contains(LookupFlags::NO_XDEV)
            && !Arc::ptr_eq(parent.mount(), self.at.mount())
        {
            return Err(Errno::EXDEV);
        }
        self.at = Cow::Owned(parent);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::ops;
    use crate::vfs::testing::World;

    fn world() -> World {
        let world = World::new();
        for dir in ["/a", "/a/b", "/a/b/c"] {
            world.mkdir(dir).unwrap();
        }
        world.create("/a/b/c/file", b"x");
        world
    }

    fn ino(world: &World, path: &str) -> SysResult<u64> {
        Ok(world.place(path)?.inode().metadata()?.ino)
    }

    #[test]
    fn dots_and_slashes_lead_where_they_say() {
        let world = world();
        let file = ino(&world, "/a/b/c/file");
        for path in ["/a/./b//c/../c/file", "a/b/c/file", "/../../a/b/c/file", "//a/b/c/./file"] {
            assert_eq!(ino(&world, path), file, "{path}");
        }
        assert_eq!(ino(&world, "/.."), ino(&world, "/"));
        assert_eq!(ino(&world, "/a/b/c/"), ino(&world, "/a/b/c"));
        assert_eq!(ino(&world, "/a/b/c/file/"), Err(Errno::ENOTDIR));
        assert_eq!(ino(&world, "/a/b/c/file/."), Err(Errno::ENOTDIR));
        assert_eq!(ino(&world, "/a/b/c/file/x"), Err(Errno::ENOTDIR));
        assert_eq!(ino(&world, ""), Err(Errno::ENOENT));
        assert_eq!(ino(&world, "/a/nothing/.."), Err(Errno::ENOENT));
        assert_eq!(ino(&world, &format!("/{}", "n".repeat(256))), Err(Errno::ENAMETOOLONG));
        assert_eq!(ino(&world, &"/a/..".repeat(1000)), Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn links_are_followed_but_not_for_ever() {
        let world = world();
        world.symlink("b/c", "/a/link");
        world.symlink("/a/link/file", "/abs");
        world.symlink("loop", "/loop");
        world.symlink("gone", "/dangling");
        assert_eq!(ino(&world, "/a/link/file"), ino(&world, "/a/b/c/file"));
        assert_eq!(ino(&world, "/abs"), ino(&world, "/a/b/c/file"));
        assert_eq!(ino(&world, "/a/link/../c/file"), ino(&world, "/a/b/c/file"));
        assert_eq!(ino(&world, "/loop"), Err(Errno::ELOOP));
        assert_eq!(ino(&world, "/dangling"), Err(Errno::ENOENT));
        assert_eq!(world.stat("/dangling").unwrap().kind, FileType::Symlink);
        // A chain of 40 is followed, one of 41 is not.
        world.symlink("/a", "/l0");
        for i in 1..=40 {
            world.symlink(&format!("/l{}", i - 1), &format!("/l{i}"));
        }
        assert!(ino(&world, "/l39").is_ok());
        assert_eq!(ino(&world, "/l40"), Err(Errno::ELOOP));
    }

    #[test]
    fn openat2_rules_confine_a_walk() {
        let world = world();
        world.symlink("/a/b", "/a/abs");
        world.symlink("../..", "/a/b/out");
        let base = world.place("/a").unwrap();
        let walk = |path: &str, flags| {
            let flags = LookupFlags::FOLLOW | flags;
            let place = ops::resolve(&world.ctx, Some(&base), path.as_bytes(), flags)?;
            Ok(place.inode().metadata()?.ino)
        };
        assert_eq!(walk("b/c", LookupFlags::BENEATH), ino(&world, "/a/b/c"));
        assert_eq!(walk("..", LookupFlags::BENEATH), Err(Errno::EXDEV));
        assert_eq!(walk("b/out", LookupFlags::BENEATH), Err(Errno::EXDEV));
        assert_eq!(walk("abs", LookupFlags::BENEATH), Err(Errno::EXDEV));
        assert_eq!(walk("../../b", LookupFlags::IN_ROOT), ino(&world, "/a/b"));
        assert_eq!(walk("abs", LookupFlags::IN_ROOT), Err(Errno::ENOENT));
        assert_eq!(walk("abs", LookupFlags::NO_SYMLINKS), Err(Errno::ELOOP));
    }

    #[test]
    fn a_directory_without_search_permission_stops_others() {
        let mut world = world();
        let place = world.place("/a/b").unwrap();
        ops::change_mode(&world.ctx, &place, 0o700).unwrap();
        world.ctx.cred = Arc::new(Credentials::user(5, 5));
        assert_eq!(ino(&world, "/a/b/c"), Err(Errno::EACCES));
        assert!(ino(&world, "/a/b").is_ok());
        assert_eq!(world.mkdir("/new"), Err(Errno::EACCES));
    }

    #[test]
    fn creation_goes_through_a_dangling_link_unless_exclusive() {
        use linux_raw_sys::general as raw;
        let world = world();
        world.symlink("a/made", "/to");
        assert_eq!(world.write("/to", raw::O_CREAT | raw::O_EXCL, b""), Err(Errno::EEXIST));
        assert_eq!(world.write("/to", raw::O_CREAT, b"hi"), Ok(2));
        assert_eq!(world.read("/a/made").unwrap(), b"hi");
        assert_eq!(world.write("/to", raw::O_NOFOLLOW, b"hi"), Err(Errno::ELOOP));
        assert_eq!(world.write("/a", 0, b""), Err(Errno::EISDIR));
        assert_eq!(world.write("/a/x/", raw::O_CREAT, b""), Err(Errno::EISDIR));
    }
}
