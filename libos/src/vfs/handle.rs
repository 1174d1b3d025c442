//! File handles: names for files that lead to them wherever they are moved, name_to_handle_at(2).
//!
//! The one idea: a handle is an inode number and a generation, and a file system that is in use remembers to which dentry it has
//! given which. The last ones given are held on to; of the others it depends on the cache whether they are found again, and one that is
//! not is stale, as it is on Linux once its file has gone.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::dentry::Dentry;
use crate::errno::{Errno, SysResult};

/// How many dentries a file system is made to remember.
const HELD: usize = 1024;
/// How many handles it knows before those that lead nowhere are forgotten.
const KNOWN: usize = 4096;

/// What names a file of one file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handle {
    /// The inode number.
    pub ino: u64,
    /// Which file that had the number.
    pub generation: u32,
}

#[derive(Default)]
struct Table {
    known: HashMap<u64, (u32, Weak<Dentry>)>,
    held: VecDeque<Arc<Dentry>>,
    generation: u32,
}

/// The handles that a file system has given.
#[derive(Default)]
pub struct Handles(Mutex<Table>);

impl Handles {
    /// The handle of `dentry`.
    pub fn of(&self, dentry: &Arc<Dentry>) -> SysResult<Handle> {
        let ino = dentry.inode().metadata()?.ino;
        let mut table = self.0.lock();
        // The same file by another name has the same handle.
        let known = table.known.get(&ino).and_then(|(generation, known)| {
            let known = known.upgrade()?;
            let same = Arc::ptr_eq(known.inode(), dentry.inode());
            same.then_some((*generation, known.is_unlinked()))
        });
        let generation = match known {
            Some((generation, false)) => return Ok(Handle { ino, generation }),
            Some((generation, true)) => generation,
            None => {
                table.generation = table.generation.wrapping_add(1);
                table.generation
            }
        };
        if table.known.len() >= KNOWN {
            table.known.retain(|_, (_, dentry)| dentry.strong_count() > 0);
        }
        table.known.insert(ino, (generation, Arc::downgrade(dentry)));
        let forgotten = if table.held.len() >= HELD { table.held.pop_front() } else { None };
        table.held.push_back(Arc::clone(dentry));
        drop(table);
        drop(forgotten);
        Ok(Handle { ino, generation })
    }

    /// The dentry that `handle` leads to. `ESTALE`.
    pub fn find(&self, handle: Handle) -> SysResult<Arc<Dentry>> {
        let table = self.0.lock();
        let known = table.known.get(&handle.ino).filter(|known| known.0 == handle.generation);
        let dentry = known.and_then(|(_, dentry)| dentry.upgrade());
        drop(table);
        let dentry = dentry.ok_or(Errno::ESTALE)?;
        if dentry.inode().metadata()?.nlink == 0 { Err(Errno::ESTALE) } else { Ok(dentry) }
    }

    /// Lets go of all.
    pub(super) fn clear(&self) {
        let table = std::mem::take(&mut *self.0.lock());
        drop(table);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::{RenameFlags, testing::World};

    #[test]
    fn a_handle_leads_to_a_file_wherever_it_was_moved_until_it_is_removed() {
        let world = World::new();
        world.create("/a", b"text");
        let dentry = |path: &str| world.place(path).unwrap().dentry().clone();
        let handles = Handles::default();
        let handle = handles.of(&dentry("/a")).unwrap();
        assert_eq!(handles.of(&dentry("/a")), Ok(handle));
        world.rename("/a", "/b", RenameFlags::empty()).unwrap();
        assert!(Arc::ptr_eq(&handles.find(handle).unwrap(), &dentry("/b")));
        world.unlink("/b").unwrap();
        assert_eq!(handles.find(handle).err(), Some(Errno::ESTALE));
        let other = Handle { generation: handle.generation + 1, ..handle };
        assert_eq!(handles.find(other).err(), Some(Errno::ESTALE));
    }
}
