//! What is in a directory.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use super::{File, FileType, OpenOptions};
use crate::{operation::submission, transfer};

/// How many bytes of entries are read at once.
const ROOM: usize = 32 << 10;

/// The entries of a directory, made by [`read_dir`].
#[derive(Debug)]
pub struct ReadDir {
    directory: File,
    path: PathBuf,
    /// Entries as getdents64(2) has them.
    entries: Vec<u8>,
    /// Where the next one begins.
    at: usize,
}

/// An entry of a directory.
#[derive(Debug, Clone)]
pub struct DirEntry {
    directory: PathBuf,
    name: OsString,
    file_type: FileType,
}

impl DirEntry {
    /// Its name.
    pub fn file_name(&self) -> &OsStr {
        &self.name
    }

    /// Its path: the directory's, and its name.
    pub fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }

    /// What kind of file it is, if the file system says so; [`FileType::Other`] else.
    pub fn file_type(&self) -> FileType {
        self.file_type
    }
}

/// Opens a directory, to see what is in it.
///
/// # Errors
///
/// Those of open(2).
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path = path.as_ref().to_path_buf();
    let mut options = OpenOptions::new();
    let directory = options.read(true).custom_flags(libc::O_DIRECTORY).open(&path).await?;
    Ok(ReadDir { directory, path, entries: Vec::new(), at: 0 })
}

impl ReadDir {
    /// The next entry but `.` and `..`, in no order; `None` at the end.
    ///
    /// # Errors
    ///
    /// Those of getdents64(2).
    pub async fn next(&mut self) -> io::Result<Option<DirEntry>> {
        loop {
            match parse(&self.entries[self.at..]) {
                Some((len, name, kind)) => {
                    self.at += len;
                    if name != b"." && name != b".." {
                        let name = OsString::from_vec(name.to_vec());
                        let directory = self.path.clone();
                        return Ok(Some(DirEntry { directory, name, file_type: kind }));
                    }
                }
                None => {
                    if self.fill().await? == 0 {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.resize(ROOM, 0);
        self.at = 0;
        let fd = &self.directory.fd;
        let call = submission(libc::SYS_getdents64, [fd.raw(), 0, ROOM as u64]);
        // SAFETY: the call writes to the bytes, as many as there are.
        let (result, mut entries) =
            unsafe { transfer::call_with(Some(fd), call, 1, entries) }.await;
        let len = result? as usize;
        entries.truncate(len);
        self.entries = entries;
        Ok(len)
    }
}

/// The first entry: how many bytes it takes, its name, its type.
fn parse(entries: &[u8]) -> Option<(usize, &[u8], FileType)> {
    // ino: u64, off: u64, reclen: u16, type: u8, name, NUL.
    let len = usize::from(u16::from_ne_bytes(entries.get(16..18)?.try_into().ok()?));
    let file_type = match *entries.get(18)? {
        libc::DT_REG => FileType::File,
        libc::DT_DIR => FileType::Directory,
        libc::DT_LNK => FileType::Symlink,
        _ => FileType::Other,
    };
    let name = entries.get(19..len)?;
    let end = name.iter().position(|&byte| byte == 0)?;
    Some((len, &name[..end], file_type))
}
