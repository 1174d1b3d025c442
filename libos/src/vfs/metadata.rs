//! What is known about a file besides its bytes: the fields of stat(2) and statx(2) and the changes to them.
//!
//! The one idea: one plain struct carries every field that any of the stat calls reports, and the ABI layer
//! lays it out; file systems never see a guest's struct layout.

use linux_raw_sys::general as raw;

/// The type of a file, the `S_IFMT` part of `st_mode` (inode(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named or unnamed pipe.
    Fifo,
    /// A socket.
    Socket,
    /// Of no type at all: a file of events, which has no place in any file system.
    Anonymous,
}

impl FileType {
    /// The `S_IF…` bits.
    pub const fn mode_bits(self) -> u32 {
        match self {
            Self::Regular => raw::S_IFREG,
            Self::Directory => raw::S_IFDIR,
            Self::Symlink => raw::S_IFLNK,
            Self::CharDevice => raw::S_IFCHR,
            Self::BlockDevice => raw::S_IFBLK,
            Self::Fifo => raw::S_IFIFO,
            Self::Socket => raw::S_IFSOCK,
            Self::Anonymous => 0,
        }
    }

    /// The type that the `S_IFMT` part of `mode` names; `None` for a value that names none.
    pub const fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & raw::S_IFMT {
            raw::S_IFREG => Self::Regular,
            raw::S_IFDIR => Self::Directory,
            raw::S_IFLNK => Self::Symlink,
            raw::S_IFCHR => Self::CharDevice,
            raw::S_IFBLK => Self::BlockDevice,
            raw::S_IFIFO => Self::Fifo,
            raw::S_IFSOCK => Self::Socket,
            _ => return None,
        })
    }

    /// The `d_type` of getdents64(2): `DT_REG` and its kin.
    pub const fn dirent_type(self) -> u8 {
        (self.mode_bits() >> 12) as u8
    }

    /// Whether this is [`FileType::Directory`].
    pub const fn is_dir(self) -> bool {
        matches!(self, Self::Directory)
    }
}

/// A device number in the 64-bit encoding of `st_dev` and makedev(3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeviceNumber(pub u64);

impl DeviceNumber {
    /// The number made of a major and a minor part.
    pub const fn new(major: u32, minor: u32) -> Self {
        let (major, minor) = (major as u64, minor as u64);
        Self(
            (minor & 0xff)
                | ((major & 0xfff) << 8)
                | ((minor & 0xffff_ff00) << 12)
                | ((major & 0xffff_f000) << 32),
        )
    }

    /// The major part.
    pub const fn major(self) -> u32 {
        (((self.0 >> 8) & 0xfff) | ((self.0 >> 32) & 0xffff_f000)) as u32
    }

    /// The minor part.
    pub const fn minor(self) -> u32 {
        ((self.0 & 0xff) | ((self.0 >> 12) & 0xffff_ff00)) as u32
    }
}

/// A point in time since the epoch, as file systems keep it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timespec {
    /// Whole seconds; negative before 1970.
    pub sec: i64,
    /// Nanoseconds past the second, below 1,000,000,000.
    pub nsec: u32,
}

impl Timespec {
    /// The time `ns` nanoseconds after the epoch.
    pub const fn from_nanos(ns: u64) -> Self {
        Self { sec: (ns / 1_000_000_000) as i64, nsec: (ns % 1_000_000_000) as u32 }
    }

    /// The current time of the realtime clock.
    pub fn now() -> Self {
        Self::from_nanos(hal::time::realtime())
    }
}

/// Everything that stat(2) and statx(2) tell about a file.
#[derive(Clone, Copy, Debug)]
pub struct Metadata {
    /// Device of the file system.
    pub dev: DeviceNumber,
    /// Inode number, unique in its device.
    pub ino: u64,
    /// Type of the file.
    pub kind: FileType,
    /// Permission, set-id and sticky bits (`07777`).
    pub mode: u32,
    /// Number of hard links.
    pub nlink: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The device that a device node stands for.
    pub rdev: DeviceNumber,
    /// Size in bytes.
    pub size: u64,
    /// Preferred size of I/O in bytes.
    pub block_size: u32,
    /// Space taken, in units of 512 bytes.
    pub blocks: u64,
    /// Last access.
    pub atime: Timespec,
    /// Last change of content.
    pub mtime: Timespec,
    /// Last change of content or attributes.
    pub ctime: Timespec,
    /// Creation, where the file system knows it.
    pub btime: Option<Timespec>,
}

impl Metadata {
    /// What is told of every file of events: they share one inode, as on Linux.
    pub fn anonymous() -> Self {
        let time = Timespec::from_nanos(0);
        Self {
            dev: DeviceNumber::new(0, 15),
            ino: 1,
            kind: FileType::Anonymous,
            mode: 0o600,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: DeviceNumber(0),
            size: 0,
            block_size: 4096,
            blocks: 0,
            atime: time,
            mtime: time,
            ctime: time,
            btime: None,
        }
    }

    /// `st_mode`: type and permission bits together.
    pub const fn st_mode(&self) -> u32 {
        self.kind.mode_bits() | self.mode
    }
}

/// What of a file's attributes is to change; fields that are `None` stay.
///
/// The file system only stores: whether the caller may, and what else the change implies (clearing set-id
/// bits), has been decided above. `ctime` becomes now with every change.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttributeChange {
    /// New permission bits (`07777`).
    pub mode: Option<u32>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New time of last access.
    pub atime: Option<Timespec>,
    /// New time of last change of content.
    pub mtime: Option<Timespec>,
}

/// What statfs(2) tells of a file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatFs {
    /// The magic number, statfs(2).
    pub magic: u64,
    /// Size of a block in bytes.
    pub block_size: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Free blocks for unprivileged users.
    pub blocks_available: u64,
    /// Inodes in all.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// File system id.
    pub fsid: u64,
    /// Longest name of an entry.
    pub name_max: u64,
    /// `ST_…` mount flags.
    pub flags: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_number_gives_back_its_parts() {
        for (major, minor) in [(1, 3), (0, 0x1234), (259, 0xf_ffff), (0xf_ffff, u32::MAX)] {
            let dev = DeviceNumber::new(major, minor);
            assert_eq!((dev.major(), dev.minor()), (major, minor));
        }
        assert_eq!(DeviceNumber::new(1, 5).0, 0x105);
    }

    #[test]
    fn a_type_survives_the_trip_through_mode_bits() {
        for kind in [FileType::Regular, FileType::Directory, FileType::Socket, FileType::Fifo] {
            assert_eq!(FileType::from_mode(kind.mode_bits() | 0o755), Some(kind));
        }
        assert_eq!(FileType::Directory.dirent_type(), 4);
        assert_eq!(FileType::from_mode(0o644), None);
    }
}
