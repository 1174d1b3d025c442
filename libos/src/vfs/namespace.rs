//! Building the tree of names that a kernel's first process sees.
//!
//! The one idea: the root is an overlay of a host directory, the kernel's own file systems cover /proc, /sys, /dev, and
//! binds let chosen host directories through. A covered directory of the host lends its attributes to the root that
//! covers it, so that listing `/` shows what the host shows.

use std::any::Any;
use std::sync::Arc;

use hal::host::HostNode;
use hal::pmem::PhysicalMemory;

use super::buf::host_errno;
use super::devices;
use super::hostfs::HostFs;
use super::inode::{FileSystem, NewNode};
use super::metadata::{DeviceNumber, FileType};
use super::mount::{Mount, MountFlags, Path, Superblock};
use super::mount_namespace::MountNamespace;
use super::ops;
use super::overlay::Overlay;
use super::path::{FsContext, LookupFlags};
use super::permission::Credentials;
use super::tmpfs::Tmpfs;
use crate::config::Bind;
use crate::errno::{Errno, SysResult};
use crate::tty::{self, DevPts, Terminals};

/// The mount at the root of a new tree: the host directory `lower` under a layer in memory, and /dev.
pub fn build(memory: &Arc<PhysicalMemory>, lower: Arc<HostNode>) -> SysResult<Arc<Mount>> {
    let overlay = Overlay::new(memory, lower.clone())?;
    let root = Mount::new_root(Superblock::new(overlay), MountFlags::RELATIME, "overlay");
    let ctx = context(&root);
    let like = lower.lookup(b"dev").ok().map(|(node, _)| node);
    let dev = Tmpfs::like(memory, 0o755, "devtmpfs", like)?;
    mount(&ctx, b"/dev", dev, MountFlags::NOSUID | MountFlags::RELATIME, "devtmpfs")?;
    populate_dev(&ctx)?;
    let shm = Tmpfs::new(memory, 0o1777)?;
    mount(&ctx, b"/dev/shm", shm, MountFlags::NOSUID | MountFlags::NODEV, "tmpfs")?;
    Ok(root)
}

/// The kernel's own view of the tree.
fn context(root: &Arc<Mount>) -> FsContext {
    let place = Path::root_of(root);
    let cred = Arc::new(Credentials::root());
    let mounts = MountNamespace::new(0, root.clone());
    FsContext { root: place.clone(), cwd: place, umask: 0, mounts, cred, pid: 0 }
}

/// The host directory `name` at the top of the tree, which a file system mounted there covers.
pub fn covered(root: &Arc<Mount>, name: &[u8]) -> Option<Arc<HostNode>> {
    let fs: &dyn Any = &**root.superblock().fs();
    let (node, _) = fs.downcast_ref::<Overlay>()?.lower().lookup(name).ok()?;
    Some(node)
}

/// Mounts a file system that shows the kernel itself, such as /proc, at `path`.
pub fn mount_system(
    root: &Arc<Mount>,
    path: &[u8],
    fs: Arc<dyn FileSystem>,
    source: &str,
) -> SysResult<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RELATIME;
    mount_with(root, path, fs, flags, source)
}

/// Mounts a file system at `path`.
pub fn mount_with(
    root: &Arc<Mount>,
    path: &[u8],
    fs: Arc<dyn FileSystem>,
    flags: MountFlags,
    source: &str,
) -> SysResult<()> {
    mount(&context(root), path, fs, flags, source)
}

/// Mounts the ptys of `terminals` at /dev/pts.
pub fn mount_ptys(root: &Arc<Mount>, terminals: &Arc<Terminals>) -> SysResult<()> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::RELATIME;
    mount(&context(root), b"/dev/pts", DevPts::new(terminals, 0, 0), flags, "devpts")
}

/// Lets a host file or directory through. Its place in the tree is made if it does not exist.
pub fn bind(root: &Arc<Mount>, memory: &Arc<PhysicalMemory>, bind: &Bind) -> SysResult<()> {
    let node = HostNode::open(&bind.host).map_err(host_errno)?;
    let fs = HostFs::new(memory, node, bind.read_only)?;
    let mut flags = MountFlags::RELATIME;
    flags.set(MountFlags::RDONLY, bind.read_only);
    let guest = bind.guest.as_os_str().as_encoded_bytes();
    mount(&context(root), guest, fs, flags, &bind.host.to_string_lossy())
}

/// Mounts `fs` at `path`, which is made if it does not exist.
fn mount(
    ctx: &FsContext,
    path: &[u8],
    fs: Arc<dyn FileSystem>,
    flags: MountFlags,
    source: &str,
) -> SysResult<()> {
    let directory = fs.root().kind().is_dir();
    let place = match ops::resolve(ctx, None, path, LookupFlags::FOLLOW) {
        Ok(place) => place,
        Err(Errno::ENOENT) => {
            make(ctx, path, directory)?;
            ops::resolve(ctx, None, path, LookupFlags::FOLLOW)?
        }
        Err(error) => return Err(error),
    };
    place.mount_here(Superblock::new(fs), None, flags, source)?;
    Ok(())
}

/// Makes a mount point and the directories above it.
fn make(ctx: &FsContext, path: &[u8], directory: bool) -> SysResult<()> {
    let ends = path.iter().enumerate().skip(1).filter(|&(_, &byte)| byte == b'/');
    for (end, _) in ends {
        match ops::mkdir(ctx, None, &path[..end], 0o755) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error),
        }
    }
    if directory {
        return match ops::mkdir(ctx, None, path, 0o755) {
            Err(Errno::EEXIST) => Ok(()),
            result => result,
        };
    }
    let flags = linux_raw_sys::general::O_CREAT;
    ops::open(ctx, None, path, flags, 0o644, LookupFlags::empty()).map(drop)
}

/// The nodes and links of /dev.
fn populate_dev(ctx: &FsContext) -> SysResult<()> {
    let dev = ops::resolve(ctx, None, b"/dev", LookupFlags::FOLLOW)?;
    let node = |name: &[u8], rdev: DeviceNumber, mode: u32| {
        let node = NewNode { rdev, ..NewNode::new(FileType::CharDevice, mode, 0, 0) };
        dev.dentry().create(name, &node).map(drop)
    };
    node(b"null", devices::NULL, 0o666)?;
    node(b"zero", devices::ZERO, 0o666)?;
    node(b"full", devices::FULL, 0o666)?;
    node(b"random", devices::RANDOM, 0o666)?;
    node(b"urandom", devices::URANDOM, 0o666)?;
    node(b"tty", tty::table::TTY, 0o666)?;
    node(b"console", tty::table::CONSOLE, 0o600)?;
    node(b"ptmx", tty::table::PTMX, 0o666)?;
    for (name, target) in [
        (&b"fd"[..], &b"/proc/self/fd"[..]),
        (b"stdin", b"/proc/self/fd/0"),
        (b"stdout", b"/proc/self/fd/1"),
        (b"stderr", b"/proc/self/fd/2"),
    ] {
        let link = NewNode { target, ..NewNode::new(FileType::Symlink, 0o777, 0, 0) };
        dev.dentry().create(name, &link)?;
    }
    for name in [&b"shm"[..], b"pts", b"mqueue"] {
        dev.dentry().create(name, &NewNode::new(FileType::Directory, 0o755, 0, 0))?;
    }
    Ok(())
}
