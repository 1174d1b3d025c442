//! Files and directories.

mod directory;
mod file;
mod metadata;

use std::{io, os::unix::ffi::OsStrExt, path::Path};

pub use self::{
    directory::{DirEntry, ReadDir, read_dir},
    file::{File, OpenOptions, stderr, stdin, stdout},
    metadata::{FileType, Metadata, metadata, symlink_metadata},
};

/// The path as the kernel has it.
fn path_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = path.as_os_str().as_bytes().to_vec();
    if bytes.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is a NUL in the path"));
    }
    bytes.push(0);
    Ok(bytes)
}

/// All that is in a file.
///
/// # Errors
///
/// Those of [`File::open`] and [`File::read_at`].
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let file = File::open(path).await?;
    let size = file.metadata().await?.len() as usize;
    let (mut all, mut chunk) = (Vec::new(), Vec::with_capacity(size.clamp(4096, 1 << 20)));
    loop {
        let (result, same) = file.read_at(chunk, all.len() as u64).await;
        chunk = same;
        match result? {
            0 => return Ok(all),
            // All at once, mostly.
            _ if all.is_empty() => all = std::mem::replace(&mut chunk, Vec::with_capacity(4096)),
            _ => all.extend_from_slice(&chunk),
        }
    }
}

/// Makes a file with `buffer` in it, in place of what was there before.
///
/// # Errors
///
/// Those of [`File::create`] and [`File::write_at`].
pub async fn write<B: crate::Buffer>(path: impl AsRef<Path>, buffer: B) -> io::Result<()> {
    let file = File::create(path).await?;
    file.write_all_at(buffer, 0).await.0?;
    file.close().await
}
