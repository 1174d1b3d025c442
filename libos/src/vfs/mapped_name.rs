//! What /proc/PID/maps tells of a mapped file; kept with its pages, since the mapping outlives the descriptor.

use super::metadata::DeviceNumber;
use super::open_file::OpenFile;
use crate::errno::SysResult;

/// The name and the identity of a mapped file (`Vmo::set_cookie`).
#[derive(Clone, Debug)]
pub struct MappedName {
    /// Its path when it was first mapped.
    pub path: Vec<u8>,
    /// The device of its file system.
    pub device: DeviceNumber,
    /// Its inode number.
    pub ino: u64,
}

impl MappedName {
    /// That of an open file.
    pub fn of(file: &OpenFile) -> SysResult<Self> {
        let metadata = file.metadata()?;
        let path = match file.path() {
            Some(path) => path.to_bytes(&path.top()),
            None => b"/memfd: (deleted)".to_vec(),
        };
        Ok(Self { path, device: metadata.dev, ino: metadata.ino })
    }
}
