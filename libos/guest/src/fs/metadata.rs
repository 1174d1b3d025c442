//! What is known of a file.

use std::{
    io, mem,
    path::Path,
    time::{Duration, SystemTime},
};

use super::path_bytes;
use crate::{
    operation::{Fd, submission},
    transfer,
};

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileType {
    /// An ordinary file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Something else, or what the file system does not tell.
    Other,
}

/// What is known of a file.
#[derive(Clone, Copy)]
pub struct Metadata(libc::statx);

impl Metadata {
    /// How long it is.
    pub fn len(&self) -> u64 {
        self.0.stx_size
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What kind of file it is.
    pub fn file_type(&self) -> FileType {
        match u32::from(self.0.stx_mode) & libc::S_IFMT {
            libc::S_IFREG => FileType::File,
            libc::S_IFDIR => FileType::Directory,
            libc::S_IFLNK => FileType::Symlink,
            _ => FileType::Other,
        }
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type() == FileType::Directory
    }

    /// Its type and permissions.
    pub fn mode(&self) -> u32 {
        self.0.stx_mode.into()
    }

    /// Its inode's number.
    pub fn ino(&self) -> u64 {
        self.0.stx_ino
    }

    /// How many names it has.
    pub fn nlink(&self) -> u32 {
        self.0.stx_nlink
    }

    /// When it was written last.
    pub fn modified(&self) -> SystemTime {
        let libc::statx_timestamp { tv_sec, tv_nsec, .. } = self.0.stx_mtime;
        let span = Duration::from_secs(tv_sec.unsigned_abs());
        let whole =
            if tv_sec < 0 { SystemTime::UNIX_EPOCH - span } else { SystemTime::UNIX_EPOCH + span };
        whole + Duration::from_nanos(tv_nsec.into())
    }
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metadata")
            .field("type", &self.file_type())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// What is known of the file at `path`, or of the one that it links to.
///
/// # Errors
///
/// Those of statx(2).
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    statx(None, path_bytes(path.as_ref())?, 0).await
}

/// What is known of the file at `path`, be it a symbolic link.
///
/// # Errors
///
/// Those of statx(2).
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    statx(None, path_bytes(path.as_ref())?, libc::AT_SYMLINK_NOFOLLOW).await
}

pub(super) async fn of_file(fd: &Fd) -> io::Result<Metadata> {
    statx(Some(fd), vec![0], libc::AT_EMPTY_PATH).await
}

const SIZE: usize = mem::size_of::<libc::statx>();

async fn statx(fd: Option<&Fd>, path: Vec<u8>, flags: i32) -> io::Result<Metadata> {
    // Both in one piece: what is written, and the path.
    let mut bytes = vec![0; SIZE];
    bytes.extend_from_slice(&path);
    let at = fd.map_or(libc::AT_FDCWD as u64, Fd::raw);
    let path = bytes.as_ptr() as u64 + SIZE as u64;
    let mask = libc::STATX_BASIC_STATS;
    let call = submission(libc::SYS_statx, [at, path, flags as u64, mask.into(), 0]);
    // SAFETY: the call reads the path and writes what comes before it, both of which are in the bytes.
    let (result, bytes) = unsafe { transfer::call_with(fd, call, 4, bytes) }.await;
    result?;
    // SAFETY: there are as many bytes, and whatever they are is a `statx`: it has integers only.
    Ok(Metadata(unsafe { bytes.as_ptr().cast::<libc::statx>().read_unaligned() }))
}
