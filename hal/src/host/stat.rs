//! What the host says about a file.

use std::{ffi::CStr, mem::MaybeUninit, os::fd::RawFd};

use super::error::{Result, check};

/// A file's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Bytes on a disk.
    Regular,
    /// Names.
    Directory,
    /// A path to go on with.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// The file system does not say, see `DT_UNKNOWN` in `getdents64(2)`.
    Unknown,
}

impl FileKind {
    /// The kind that the `S_IFMT` bits of a mode name.
    pub fn from_mode(mode: u32) -> Self {
        match mode & libc::S_IFMT {
            libc::S_IFREG => Self::Regular,
            libc::S_IFDIR => Self::Directory,
            libc::S_IFLNK => Self::Symlink,
            libc::S_IFIFO => Self::Fifo,
            libc::S_IFSOCK => Self::Socket,
            libc::S_IFCHR => Self::CharDevice,
            libc::S_IFBLK => Self::BlockDevice,
            _ => Self::Unknown,
        }
    }

    /// The kind that a directory entry's `d_type` names: the mode's bits without the permissions'.
    pub(super) fn from_dirent(d_type: u8) -> Self {
        Self::from_mode(u32::from(d_type) << 12)
    }
}

/// A point in time: seconds since 1970 and the nanoseconds after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970; negative before.
    pub sec: i64,
    /// 0 to 999,999,999.
    pub nsec: u32,
}

impl From<libc::statx_timestamp> for Timestamp {
    fn from(time: libc::statx_timestamp) -> Self {
        Self { sec: time.tv_sec, nsec: time.tv_nsec }
    }
}

/// What `statx(2)` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostStat {
    /// Device that holds the file, as (major, minor).
    pub dev: (u32, u32),
    /// Inode number.
    pub ino: u64,
    /// Type and permissions.
    pub mode: u32,
    /// Hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// For a device, which one, as (major, minor).
    pub rdev: (u32, u32),
    /// Bytes.
    pub size: u64,
    /// Best size of reads, in bytes.
    pub blksize: u32,
    /// Space taken, in units of 512 bytes.
    pub blocks: u64,
    /// Last read.
    pub atime: Timestamp,
    /// Last write.
    pub mtime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// Creation, where the file system knows.
    pub btime: Option<Timestamp>,
    /// `STATX_ATTR_*`.
    pub attributes: u64,
    /// Which of those the file system knows.
    pub attributes_mask: u64,
    /// Number of the mount.
    pub mount_id: u64,
}

impl HostStat {
    /// The file's type.
    pub fn kind(&self) -> FileKind {
        FileKind::from_mode(self.mode)
    }

    /// `statx` without following a symlink at the end; an empty path is `dir` itself.
    pub(super) fn at(dir: RawFd, path: &CStr) -> Result<Self> {
        const MASK: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME | libc::STATX_MNT_ID;
        let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH | libc::AT_NO_AUTOMOUNT;
        let mut stat = MaybeUninit::<libc::statx>::zeroed();
        // SAFETY: the path is a C string, and the host writes one `statx` at the pointer.
        check(unsafe { libc::statx(dir, path.as_ptr(), flags, MASK, stat.as_mut_ptr()) } as isize)?;
        // SAFETY: zeroed, then filled by the host; every bit pattern is a `statx`.
        let s = unsafe { stat.assume_init() };
        Ok(Self {
            dev: (s.stx_dev_major, s.stx_dev_minor),
            ino: s.stx_ino,
            mode: u32::from(s.stx_mode),
            nlink: s.stx_nlink,
            uid: s.stx_uid,
            gid: s.stx_gid,
            rdev: (s.stx_rdev_major, s.stx_rdev_minor),
            size: s.stx_size,
            blksize: s.stx_blksize,
            blocks: s.stx_blocks,
            atime: s.stx_atime.into(),
            mtime: s.stx_mtime.into(),
            ctime: s.stx_ctime.into(),
            btime: (s.stx_mask & libc::STATX_BTIME != 0).then(|| s.stx_btime.into()),
            attributes: s.stx_attributes,
            attributes_mask: s.stx_attributes_mask,
            mount_id: s.stx_mnt_id,
        })
    }
}

/// What `statfs(2)` tells about a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostStatFs {
    /// Which file system, `*_SUPER_MAGIC`.
    pub magic: u64,
    /// Best size of reads, in bytes.
    pub block_size: u64,
    /// Blocks there are.
    pub blocks: u64,
    /// Blocks that are free.
    pub blocks_free: u64,
    /// Blocks that are free for everybody.
    pub blocks_available: u64,
    /// Inodes there are.
    pub files: u64,
    /// Inodes that are free.
    pub files_free: u64,
    /// The longest name, in bytes.
    pub name_max: u64,
    /// Bytes of a block in the counts above.
    pub fragment_size: u64,
}

impl HostStatFs {
    pub(super) fn of(fd: RawFd) -> Result<Self> {
        let mut statfs = MaybeUninit::<libc::statfs>::zeroed();
        // SAFETY: the host writes one `statfs` at the pointer.
        check(unsafe { libc::fstatfs(fd, statfs.as_mut_ptr()) } as isize)?;
        // SAFETY: zeroed, then filled by the host; every bit pattern is a `statfs`.
        let s = unsafe { statfs.assume_init() };
        Ok(Self {
            magic: s.f_type as u64,
            block_size: s.f_bsize as u64,
            blocks: s.f_blocks,
            blocks_free: s.f_bfree,
            blocks_available: s.f_bavail,
            files: s.f_files,
            files_free: s.f_ffree,
            name_max: s.f_namelen as u64,
            fragment_size: s.f_frsize as u64,
        })
    }
}
