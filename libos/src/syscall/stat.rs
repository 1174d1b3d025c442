//! What files are: the stat family, in the layouts of the ABI.

use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::vfs::{Metadata, StatFs, Timespec};

/// struct timespec
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct RawTimespec {
    /// Seconds.
    pub(crate) sec: i64,
    /// Nanoseconds, or one of the `UTIME_*` values.
    pub(crate) nsec: i64,
}

impl From<Timespec> for RawTimespec {
    fn from(time: Timespec) -> Self {
        Self { sec: time.sec, nsec: i64::from(time.nsec) }
    }
}

/// struct stat of x86-64
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Stat {
    dev: u64,
    ino: u64,
    nlink: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    padding: u32,
    rdev: u64,
    size: i64,
    block_size: i64,
    blocks: i64,
    atime: RawTimespec,
    mtime: RawTimespec,
    ctime: RawTimespec,
    unused: [i64; 3],
}

impl From<&Metadata> for Stat {
    fn from(metadata: &Metadata) -> Self {
        Self {
            dev: metadata.dev.0,
            ino: metadata.ino,
            nlink: metadata.nlink,
            mode: metadata.st_mode(),
            uid: metadata.uid,
            gid: metadata.gid,
            padding: 0,
            rdev: metadata.rdev.0,
            size: metadata.size as i64,
            block_size: i64::from(metadata.block_size),
            blocks: metadata.blocks as i64,
            atime: metadata.atime.into(),
            mtime: metadata.mtime.into(),
            ctime: metadata.ctime.into(),
            unused: [0; 3],
        }
    }
}

/// struct statx_timestamp
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct StatxTime {
    sec: i64,
    nsec: u32,
    reserved: i32,
}

impl From<Timespec> for StatxTime {
    fn from(time: Timespec) -> Self {
        Self { sec: time.sec, nsec: time.nsec, reserved: 0 }
    }
}

/// struct statx
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Statx {
    mask: u32,
    block_size: u32,
    attributes: u64,
    nlink: u32,
    uid: u32,
    gid: u32,
    mode: u16,
    spare: u16,
    ino: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    atime: StatxTime,
    btime: StatxTime,
    ctime: StatxTime,
    mtime: StatxTime,
    rdev_major: u32,
    rdev_minor: u32,
    dev_major: u32,
    dev_minor: u32,
    mount_id: u64,
    dio_memory_align: u32,
    dio_offset_align: u32,
    spare_end: [u64; 12],
}

impl Statx {
    /// What statx(2) tells of a file that is in mount `mount_id`. Everything known is filled in, wanted or not.
    pub(crate) fn new(metadata: &Metadata, mount_id: u64) -> Self {
        let btime = if metadata.btime.is_some() { raw::STATX_BTIME } else { 0 };
        Self {
            mask: raw::STATX_BASIC_STATS | btime | raw::STATX_MNT_ID,
            block_size: metadata.block_size,
            attributes: 0,
            nlink: metadata.nlink as u32,
            uid: metadata.uid,
            gid: metadata.gid,
            mode: metadata.st_mode() as u16,
            spare: 0,
            ino: metadata.ino,
            size: metadata.size,
            blocks: metadata.blocks,
            attributes_mask: u64::from(raw::STATX_ATTR_AUTOMOUNT | raw::STATX_ATTR_MOUNT_ROOT),
            atime: metadata.atime.into(),
            btime: metadata.btime.unwrap_or_default().into(),
            ctime: metadata.ctime.into(),
            mtime: metadata.mtime.into(),
            rdev_major: metadata.rdev.major(),
            rdev_minor: metadata.rdev.minor(),
            dev_major: metadata.dev.major(),
            dev_minor: metadata.dev.minor(),
            mount_id,
            dio_memory_align: 0,
            dio_offset_align: 0,
            spare_end: [0; 12],
        }
    }
}

/// struct statfs of x86-64
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct RawStatFs {
    magic: u64,
    block_size: u64,
    blocks: u64,
    blocks_free: u64,
    blocks_available: u64,
    files: u64,
    files_free: u64,
    fsid: u64,
    name_max: u64,
    fragment_size: u64,
    flags: u64,
    spare: [u64; 4],
}

impl From<&StatFs> for RawStatFs {
    fn from(stat: &StatFs) -> Self {
        // The kernel marks the flags as filled in (ST_VALID).
        const ST_VALID: u64 = 0x20;
        Self {
            magic: stat.magic,
            block_size: stat.block_size,
            blocks: stat.blocks,
            blocks_free: stat.blocks_free,
            blocks_available: stat.blocks_available,
            files: stat.files,
            files_free: stat.files_free,
            fsid: stat.fsid,
            name_max: stat.name_max,
            fragment_size: stat.block_size,
            flags: stat.flags | ST_VALID,
            spare: [0; 4],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layouts_have_the_sizes_of_the_abi() {
        assert_eq!(size_of::<Stat>(), 144);
        assert_eq!(size_of::<Statx>(), 256);
        assert_eq!(size_of::<RawStatFs>(), 120);
    }
}
