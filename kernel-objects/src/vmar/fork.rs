//! Copying a whole address space: what fork(2) does to memory.
//!
//! The one idea: private memory is snapshotted, VMO by VMO, and from then on both sides fault where they write, until the other side is gone;
//! what is shared is the same VMO in both.
//!
//! Children of one parent mostly do the same thing before they execute a program or end. So what one of them touches is put into the next one's
//! page table before it runs, and pages that it writes are copied, for that costs a fraction of a fault; and from the second child on nothing else but
//! text is put there.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use hal::aspace::{Access, AddressSpace, Prot};
use parking_lot::Mutex;

use super::{MappingFlags, Tree, Vmar, fault::Install, refusal, tree::Entry};
use crate::{
    error::{Error, Result},
    vmo::{ChildOptions, Mapper, Vmo},
};

impl Vmar {
    /// Creates the root region of `aspace`, which has nothing in it yet, as a copy of this one: its [private](MappingFlags::PRIVATE)
    /// mappings are copies on write, the others show the same VMOs. Does not block.
    ///
    /// The guests of this address space may run meanwhile; what they write then may be in the copy or not.
    ///
    /// # Errors
    /// [`Error::NotSupported`] if this is no root or has child regions; [`Error::NoMemory`] at the limit, or the host's;
    /// [`Error::BadState`] if private memory has pinned pages.
    pub fn fork(&self, aspace: &Arc<AddressSpace>) -> Result<Arc<Self>> {
        let entries: Vec<(u64, Entry)> = {
            let state = self.tree.state.lock();
            if self.region != super::tree::ROOT || state.regions().nth(1).is_some() {
                return Err(Error::NotSupported);
            }
            state.all().map(|(start, entry)| (start, entry.clone())).collect()
        };
        let copy = Self::create_root_with(aspace, self.tree.lessons.of_child())?;
        let learnt = self.tree.lessons.learnt();
        let mut snapshots: HashMap<*const Vmo, Arc<Vmo>> = HashMap::new();
        for (start, mut entry) in entries {
            entry.flags.remove(MappingFlags::LOCKED);
            if entry.flags.contains(MappingFlags::PRIVATE) {
                let key = Arc::as_ptr(&entry.vmo);
                entry.vmo = match snapshots.get(&key) {
                    Some(snapshot) => snapshot.clone(),
                    None => {
                        let snapshot = entry.vmo.fork()?;
                        snapshots.insert(key, snapshot.clone());
                        snapshot
                    }
                };
            }
            // Patches are of what is mapped.
            let later = learnt.is_some() && !entry.perms.contains(Prot::EXEC);
            copy.tree.enter_copy(
                start,
                entry,
                if later { Install::Later } else { Install::Now },
            )?;
        }
        aspace.inherit_patches(&self.tree.aspace).map_err(refusal)?;
        for (page, access) in learnt.into_iter().flatten() {
            // It may be mapped no more, or otherwise; the child finds out by itself.
            let _ = copy.tree.fault(page, access, false);
        }
        Ok(copy)
    }
}

/// Pages that children have touched, at most.
const MOST_PAGES: usize = 96;
/// After so many forks what was learnt is forgotten, for the parent may do other things by then.
const FORGET: u32 = 64;

/// What forks have taught about an address space.
#[derive(Default)]
pub(super) struct Lessons {
    /// What children of this space have touched.
    pages: Arc<Mutex<Pages>>,
    /// Where this space, a child, tells what it touches.
    parent: Option<Weak<Mutex<Pages>>>,
}

#[derive(Default)]
struct Pages {
    touched: Vec<(u64, Access)>,
    forks: u32,
}

impl Lessons {
    fn of_child(&self) -> Self {
        Self { pages: Arc::default(), parent: Some(Arc::downgrade(&self.pages)) }
    }

    /// A page was not there at first, or could not be written.
    pub(super) fn note(&self, page: u64, access: Access) {
        let Some(pages) = self.parent.as_ref().and_then(Weak::upgrade) else { return };
        let touched = &mut pages.lock().touched;
        let has_room = touched.len() < MOST_PAGES;
        match touched.iter_mut().find(|(known, _)| *known == page) {
            Some((_, known)) if access == Access::Write => *known = access,
            Some(_) => {}
            None if has_room => touched.push((page, access)),
            None => {}
        }
    }

    /// What the next child will touch, by what is known; nothing is before the first one.
    fn learnt(&self) -> Option<Vec<(u64, Access)>> {
        let mut pages = self.pages.lock();
        pages.forks = pages.forks.wrapping_add(1);
        if pages.forks.is_multiple_of(FORGET) {
            pages.touched.clear();
        }
        (pages.forks > 1).then(|| pages.touched.clone())
    }
}

impl Tree {
    fn enter_copy(&self, start: u64, mut entry: Entry, install: Install) -> Result<()> {
        let mapper: Weak<dyn Mapper> = self.this.clone();
        // That it may be written was noted when it was mapped first.
        entry.vmo.add_mapper(mapper, false);
        let range = start..entry.end;
        // What was accounted stays so, even where it is not writable any more.
        let accounted = entry.accounted;
        let len = range.end - range.start;
        entry.sparse = false;
        let mut state = self.state.lock();
        self.map_locked(&mut state, range.clone(), entry, install)?;
        if accounted && !state.find(start).is_some_and(|(_, entry)| entry.accounted) {
            state.charge(len, 0)?;
            state.update(&range, |entry| entry.accounted = true);
        }
        Ok(())
    }
}

impl Vmo {
    /// A copy of all of it, as if made now, of anonymous memory; of a page cache's clone, of what it has itself.
    fn fork(self: &Arc<Self>) -> Result<Arc<Self>> {
        let kind = match self.is_anonymous() {
            true => ChildOptions::SNAPSHOT,
            false => ChildOptions::SNAPSHOT_MODIFIED,
        };
        // What a private mapping shows of a file comes back when the file grows: all of the mapping, not what is there now.
        self.create_child(kind, 0, self.own_size())
    }
}

#[cfg(test)]
mod tests {
    use hal::pmem::{PAGE_SIZE, PhysicalMemory};

    use super::*;
    use crate::{MapArgs, PageSink, PageSource, VmoOptions};

    const PAGE: u64 = PAGE_SIZE as u64;

    /// A space with a private and a shared mapping of four pages each.
    fn parent(memory: &Arc<PhysicalMemory>) -> (Arc<Vmar>, u64, u64) {
        let vmar = Vmar::create_root(&AddressSpace::new(memory).unwrap()).unwrap();
        let map = |flags| {
            let vmo = Vmo::create(memory, 4 * PAGE, VmoOptions::default()).unwrap();
            vmar.map(MapArgs { flags, ..MapArgs::new(vmo, 4 * PAGE) }).unwrap()
        };
        let private = map(MappingFlags::PRIVATE | MappingFlags::DISCARD | MappingFlags::ACCOUNT);
        let shared = map(MappingFlags::empty());
        (vmar, private, shared)
    }

    fn child(parent: &Vmar) -> Arc<Vmar> {
        parent.fork(&parent.aspace().new_copy().unwrap()).unwrap()
    }

    fn byte(vmar: &Vmar, at: u64) -> u8 {
        let mut byte = [0];
        vmar.read(at, &mut byte).unwrap();
        byte[0]
    }

    #[test]
    fn private_memory_is_copied_and_shared_memory_is_not() {
        let memory = PhysicalMemory::new(None).unwrap();
        let (parent, private, shared) = parent(&memory);
        for at in [private, shared] {
            parent.write(at, &[1]).unwrap();
        }
        let child = child(&parent);
        assert_eq!((byte(&child, private), byte(&child, shared)), (1, 1));
        for at in [private, shared] {
            child.write(at, &[2]).unwrap();
            parent.write(at + PAGE, &[3]).unwrap();
        }
        assert_eq!((byte(&parent, private), byte(&parent, shared)), (1, 2));
        assert_eq!((byte(&child, private + PAGE), byte(&child, shared + PAGE)), (0, 3));
        assert_eq!(memory.charged(), 8 * PAGE);
        drop(child);
        assert_eq!(memory.charged(), 4 * PAGE);
        assert_eq!(byte(&parent, private), 1);
    }

    #[test]
    fn both_sides_fault_where_they_write_until_the_other_is_gone() {
        let memory = PhysicalMemory::new(None).unwrap();
        let (parent, private, _) = parent(&memory);
        parent.write(private, &[1; 4 * PAGE_SIZE]).unwrap();
        let child = child(&parent);
        let writable = |vmar: &Vmar, at| {
            vmar.aspace().query(at).is_some_and(|run| run.prot.contains(Prot::WRITE))
        };
        for vmar in [&parent, &child] {
            assert!(!writable(vmar, private));
        }
        drop(child);
        parent.fault(private, Access::Write).unwrap();
        assert!(writable(&parent, private + 3 * PAGE), "all of it is the parent's again");
    }

    #[test]
    fn what_one_child_writes_is_the_next_ones_from_the_start() {
        let memory = PhysicalMemory::new(None).unwrap();
        let (parent, private, _) = parent(&memory);
        parent.write(private, &[1; 4 * PAGE_SIZE]).unwrap();
        let first = child(&parent);
        first.write(private + PAGE, &[2]).unwrap();
        let second = child(&parent);
        let run = second.aspace().query(private + PAGE).unwrap();
        assert!(run.prot.contains(Prot::WRITE));
        assert_eq!((byte(&second, private + PAGE), byte(&parent, private + PAGE)), (1, 1));
    }

    #[test]
    fn what_one_child_reads_is_there_for_the_next_one() {
        let memory = PhysicalMemory::new(None).unwrap();
        let (parent, private, _) = parent(&memory);
        parent.write(private, &[1; 4 * PAGE_SIZE]).unwrap();
        let _first = child(&parent);
        let there = |vmar: &Vmar| vmar.aspace().read(private + PAGE, &mut [0]).is_ok();
        let (one, other) = (child(&parent), child(&parent));
        assert!(!there(&one) && !there(&other), "nobody has touched it");
        assert_eq!(byte(&one, private + PAGE), 1);
        let last = child(&parent);
        let run = last.aspace().query(private + PAGE).unwrap();
        assert!(there(&last) && !run.prot.contains(Prot::WRITE));
    }

    struct Zeroes;

    impl PageSource for Zeroes {
        fn fill(&self, _: u64, _: u64, _: &mut PageSink<'_>) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_copy_of_a_files_private_mapping_shows_the_file_where_it_was_not_written() {
        let memory = PhysicalMemory::new(None).unwrap();
        let parent = Vmar::create_root(&AddressSpace::new(&memory).unwrap()).unwrap();
        let file = Vmo::create_with_source(&memory, 4 * PAGE, Arc::new(Zeroes)).unwrap();
        let vmo = file.create_private(0, 4 * PAGE, false).unwrap();
        let flags = MappingFlags::PRIVATE;
        let at = parent.map(MapArgs { flags, ..MapArgs::new(vmo, 4 * PAGE) }).unwrap();
        parent.write(at, &[1]).unwrap();
        let child = child(&parent);
        child.write(at + PAGE, &[2]).unwrap();
        file.write(0, &[9; 4 * PAGE_SIZE]).unwrap();
        let bytes = |vmar: &Vmar| [0, 1, 2].map(|page| byte(vmar, at + page * PAGE));
        assert_eq!((bytes(&parent), bytes(&child)), ([1, 9, 9], [1, 2, 9]));
    }

    #[test]
    fn a_grandchild_has_what_its_parent_had_when_it_was_made() {
        let memory = PhysicalMemory::new(None).unwrap();
        let (parent, private, _) = parent(&memory);
        parent.write(private, &[1]).unwrap();
        let first = child(&parent);
        first.write(private, &[2]).unwrap();
        let second = child(&first);
        first.write(private, &[3]).unwrap();
        drop(parent);
        assert_eq!((byte(&first, private), byte(&second, private)), (3, 2));
    }
}
