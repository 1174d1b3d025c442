//! The directory a run starts in: built from a fixture, the same bytes at the same path for both runs, and a digest of
//! what a run left in it.
//!
//! By default the kernel must not change the host at all, so after the run inside the directory is compared with the
//! fixture: each test is a test of isolation too.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use crate::{Result, paths};

/// What a directory holds: relative path → kind, mode and content.
pub type Tree = BTreeMap<PathBuf, String>;

/// A directory of a test, removed when dropped.
pub struct Scratch {
    dir: TempDir,
    fixture: bool,
}

impl Scratch {
    /// An empty directory.
    pub fn empty() -> Result<Self> {
        let parent = paths::target().join("scratch");
        fs::create_dir_all(&parent).map_err(text)?;
        let dir = tempfile::Builder::new().prefix("run-").tempdir_in(parent).map_err(text)?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).map_err(text)?;
        Ok(Self { dir, fixture: false })
    }

    /// A directory with the corpus' input files: everything of `tests/programs/inputs` and a few larger, generated files.
    pub fn with_inputs() -> Result<Self> {
        let scratch = Self { fixture: true, ..Self::empty()? };
        fill(scratch.path()).map_err(text)?;
        Ok(scratch)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Back to how it was made.
    pub fn reset(&self) -> Result<()> {
        for entry in fs::read_dir(self.path()).map_err(text)? {
            let path = entry.map_err(text)?.path();
            if path.is_dir() && !path.is_symlink() {
                fs::remove_dir_all(path).map_err(text)?;
            } else {
                fs::remove_file(path).map_err(text)?;
            }
        }
        if self.fixture {
            fill(self.path()).map_err(text)?;
        }
        Ok(())
    }

    /// What it holds now.
    pub fn tree(&self) -> Result<Tree> {
        let mut tree = Tree::new();
        walk(self.path(), self.path(), &mut tree).map_err(text)?;
        Ok(tree)
    }
}

fn text(error: std::io::Error) -> String {
    format!("scratch directory: {error}")
}

fn walk(top: &Path, dir: &Path, tree: &mut Tree) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let meta = fs::symlink_metadata(&path)?;
        let content = if meta.is_symlink() {
            format!("-> {}", fs::read_link(&path)?.display())
        } else if meta.is_file() {
            let bytes = fs::read(&path)?;
            format!("{} bytes, digest {:016x}", bytes.len(), fnv(&bytes))
        } else {
            String::new()
        };
        let name = path.strip_prefix(top).unwrap_or(&path).to_path_buf();
        tree.insert(name, format!("{:06o} {content}", meta.mode()));
        if meta.is_dir() {
            walk(top, &path, tree)?;
        }
    }
    Ok(())
}

/// FNV-1a, enough to tell two files apart.
pub fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Puts the inputs into `dir`. Every time stamp is the same fixed moment, so that listings and archives agree.
fn fill(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(paths::sources().join("programs/inputs"))? {
        let entry = entry?;
        fs::copy(entry.path(), dir.join(entry.file_name()))?;
    }
    let numbers: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
    fs::write(dir.join("numbers.txt"), numbers)?;
    let mut state = 88_172_645_463_325_252_u64;
    let noise: Vec<u8> = (0..300_000)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .collect();
    fs::write(dir.join("noise.bin"), noise)?;
    let tree = dir.join("tree");
    fs::create_dir_all(tree.join("one/two/three"))?;
    fs::create_dir_all(tree.join("empty"))?;
    fs::write(tree.join("one/a.txt"), "alpha\nbeta\n")?;
    fs::write(tree.join("one/two/b.txt"), "gamma\n")?;
    fs::write(tree.join("one/two/three/c.bin"), [0_u8; 5000])?;
    fs::set_permissions(tree.join("one/a.txt"), fs::Permissions::from_mode(0o640))?;
    symlink("one/a.txt", tree.join("link"))?;
    symlink("nowhere", tree.join("dangling"))?;
    fs::hard_link(tree.join("one/a.txt"), tree.join("hard"))?;
    stamp(dir)
}

fn stamp(path: &Path) -> std::io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_symlink() {
        let moment = nix::sys::time::TimeSpec::new(1_000_000_000, 0);
        let follow = nix::sys::stat::UtimensatFlags::NoFollowSymlink;
        nix::sys::stat::utimensat(nix::fcntl::AT_FDCWD, path, &moment, &moment, follow)?;
        return Ok(());
    }
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            stamp(&entry?.path())?;
        }
    }
    let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let times = fs::FileTimes::new().set_accessed(moment).set_modified(moment);
    fs::File::open(path)?.set_times(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_directory_is_as_it_was_made() {
        let scratch = Scratch::with_inputs().unwrap();
        let before = scratch.tree().unwrap();
        fs::write(scratch.path().join("tree/one/a.txt"), "other").unwrap();
        assert_ne!(before, scratch.tree().unwrap());
        scratch.reset().unwrap();
        assert_eq!(before, scratch.tree().unwrap());
    }
}
