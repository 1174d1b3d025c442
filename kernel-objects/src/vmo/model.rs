//! Trees of VMOs against a model that copies everything.
//!
//! A hundred thousand random steps make roots, page caches and children of every kind, write, read, zero, commit, decommit and
//! resize them, directly and through mappings, and drop them in any order. After each step the bytes of the VMO that was used and
//! of another one are what the model says, and so is the number of frames that the host holds.
//!
//! [`Stores`] are the model.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use hal::aspace::{AddressSpace, Prot};

use self::stores::{Model, Store, Stores};
use super::{tests::get, *};
use crate::vmar::{MapArgs, Vmar};

mod stores;

/// Largest VMO, in pages.
const PAGES: usize = 12;
/// VMOs at a time.
const NODES: usize = 14;
const STEPS: usize = 100_000;
const P: usize = PAGE_SIZE;

/// Byte `n` of the file is 1 + `n` / 4096.
struct File;

impl PageSource for File {
    fn fill(&self, offset: u64, len: u64, sink: &mut PageSink<'_>) -> Result<()> {
        for at in (offset..offset + len).step_by(P) {
            sink.write(at, &pattern(at as usize / P));
        }
        Ok(())
    }
}

fn pattern(page: usize) -> Vec<u8> {
    vec![page as u8 + 1; P]
}

/// A VMO that the test holds.
struct Node {
    vmo: Arc<Vmo>,
    id: usize,
    store: usize,
    base: usize,
    /// Of a slice: how many pages.
    len: Option<usize>,
    writable: bool,
    resizable: bool,
    parent_koid: Koid,
    mapped: Option<u64>,
}

struct World {
    vmar: Arc<Vmar>,
    memory: Arc<PhysicalMemory>,
    random: u64,
    next: usize,
    /// What was done last, for whoever looks into a difference.
    last: String,
    stores: Stores,
    nodes: Vec<Node>,
    /// Parents of all VMOs alive, held by the test or not.
    family: BTreeMap<usize, Option<usize>>,
}

impl World {
    fn new(seed: u64) -> Self {
        // With a limit that leaves no room for freed frames to be kept.
        let memory = PhysicalMemory::new(Some(PAGE)).unwrap();
        let vmar = Vmar::create_root(&AddressSpace::new(&memory).unwrap()).unwrap();
        Self {
            vmar,
            memory,
            random: seed,
            next: 0,
            last: String::new(),
            stores: Stores::default(),
            nodes: Vec::new(),
            family: BTreeMap::new(),
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as usize % bound
    }

    fn pages(&self, node: usize) -> usize {
        let node = &self.nodes[node];
        node.len.unwrap_or(self.stores[&node.store].pages.len())
    }

    fn add(&mut self, vmo: Arc<Vmo>, store: Option<Store>, parent: Option<usize>, mut node: Node) {
        node.id = self.next;
        self.next += 1;
        node.vmo = vmo;
        if let Some(store) = store {
            node.store = node.id;
            self.stores.insert(node.id, store);
        }
        self.family.insert(node.id, parent);
        self.nodes.push(node);
    }

    fn root(&mut self) {
        let (pages, resizable, file) =
            (self.below(PAGES + 1), self.below(2) == 0, self.below(4) == 0);
        let size = (pages * P) as u64;
        let options = VmoOptions { resizable, charged: false };
        let (vmo, model) = match file {
            true => (Vmo::create_with_source(&self.memory, size, Arc::new(File)), Model::File),
            false => (Vmo::create(&self.memory, size, options), Model::Anonymous),
        };
        let (vmo, resizable) = (vmo.unwrap(), resizable || file);
        let store = Store { model, resizable, pages: vec![None; pages] };
        let node = Node {
            vmo: vmo.clone(),
            id: 0,
            store: 0,
            base: 0,
            len: None,
            writable: true,
            resizable,
            parent_koid: KOID_INVALID,
            mapped: None,
        };
        self.add(vmo, Some(store), None, node);
    }

    fn child(&mut self, of: usize) {
        let kinds = [
            ChildOptions::SNAPSHOT,
            ChildOptions::SNAPSHOT_AT_LEAST_ON_WRITE,
            ChildOptions::SNAPSHOT_MODIFIED,
            ChildOptions::SLICE,
            ChildOptions::REFERENCE,
        ];
        let kind = kinds[self.below(kinds.len())];
        let resizable = self.below(3) == 0;
        let no_write = !resizable && self.below(8) == 0;
        let mut options = kind;
        options.set(ChildOptions::RESIZABLE, resizable);
        options.set(ChildOptions::NO_WRITE, no_write);
        let (mut offset, mut pages) = (self.below(PAGES), self.below(PAGES + 1));
        if self.below(2) == 0 {
            (offset, pages) = (0, self.pages(of));
        }
        if kind == ChildOptions::REFERENCE {
            (offset, pages) = (0, 0);
        }
        let seen = self.pages(of);
        let parent = &self.nodes[of];
        let (id, owner, base) = (parent.id, parent.store, parent.base);
        let store = &self.stores[&owner];
        let refused = match kind {
            ChildOptions::SLICE if resizable => Some(Error::InvalidArgs),
            ChildOptions::SLICE if store.resizable => Some(Error::NotSupported),
            ChildOptions::SLICE if offset + pages > seen => Some(Error::OutOfRange),
            ChildOptions::REFERENCE if resizable && !parent.resizable => Some(Error::NotSupported),
            ChildOptions::SNAPSHOT if store.model != Model::Anonymous => Some(Error::NotSupported),
            _ => None,
        };
        let made = parent.vmo.create_child(options, (offset * P) as u64, (pages * P) as u64);
        if let Some(error) = refused {
            assert_eq!(made.err(), Some(error), "{options:?}");
            return;
        }
        let vmo = made.unwrap();
        let parent_koid = parent.vmo.koid();
        let shares = kind == ChildOptions::SLICE || kind == ChildOptions::REFERENCE;
        let mut node = Node {
            vmo: vmo.clone(),
            id: 0,
            store: owner,
            base: base + offset,
            len: (kind == ChildOptions::SLICE).then_some(pages),
            writable: !no_write && (!shares || parent.writable),
            resizable,
            parent_koid,
            mapped: None,
        };
        if shares {
            if kind == ChildOptions::REFERENCE {
                node.len = parent.len;
            }
            return self.add(vmo, None, Some(id), node);
        }
        node.base = 0;
        let seen = base + seen;
        let from = base + offset;
        let model = match store.model {
            Model::Anonymous => Model::Anonymous,
            Model::File => {
                let limit = seen.saturating_sub(from).min(pages);
                Model::Over { file: owner, offset: from, limit }
            }
            Model::Over { file, offset, limit } => {
                let limit = limit.min(seen).saturating_sub(from).min(pages);
                Model::Over { file, offset: offset + from, limit }
            }
        };
        let copy = |page: usize| {
            let page = from + page;
            (page < seen && store.model != Model::File).then(|| store.pages[page].clone()).flatten()
        };
        let pages = (0..pages).map(copy).collect();
        self.add(vmo, Some(Store { model, resizable, pages }), Some(id), node);
    }

    /// Drops a VMO, and what nobody has any more.
    fn drop_node(&mut self, node: usize) {
        self.unmap(node);
        drop(self.nodes.swap_remove(node));
        loop {
            let held: BTreeSet<usize> = self.nodes.iter().map(|node| node.id).collect();
            let mut alive: BTreeSet<usize> = self.nodes.iter().map(|node| node.store).collect();
            alive.extend(self.stores.values().filter_map(|store| match store.model {
                Model::Over { file, .. } => Some(file),
                _ => None,
            }));
            alive.extend(held);
            let dead = self.family.keys().find(|id| !alive.contains(id)).copied();
            let Some(dead) = dead else { return };
            self.stores.remove(&dead);
            let parent = self.family.remove(&dead).unwrap();
            for other in self.family.values_mut().filter(|other| **other == Some(dead)) {
                *other = parent;
            }
        }
    }

    fn unmap(&mut self, node: usize) {
        if let Some(addr) = self.nodes[node].mapped.take() {
            self.vmar.unmap(addr, (PAGES * P) as u64).unwrap();
        }
    }

    fn has_clones(&self, owner: usize) -> bool {
        let mut todo = vec![owner];
        while let Some(id) = todo.pop() {
            for (child, _) in self.family.iter().filter(|(_, parent)| **parent == Some(id)) {
                if self.stores.contains_key(child) {
                    return true;
                }
                todo.push(*child);
            }
        }
        false
    }

    /// A range of bytes inside a VMO, of whole pages or not.
    fn range(&mut self, node: usize, whole: bool) -> Range<usize> {
        let size = self.pages(node) * P;
        let unit = if whole { P } else { 1 };
        let (a, b) = (self.below(size / unit + 1), self.below(size / unit + 1));
        a.min(b) * unit..a.max(b) * unit
    }

    /// Calls `each(store, page, part)` for the pages of a range.
    fn each_page(
        &mut self,
        node: usize,
        range: &Range<usize>,
        mut each: impl FnMut(&mut Self, usize, usize, Range<usize>),
    ) {
        let (store, base) = (self.nodes[node].store, self.nodes[node].base);
        for page in range.start / P..range.end.div_ceil(P) {
            let part = range.start.max(page * P) - page * P..range.end.min(page * P + P) - page * P;
            if !part.is_empty() {
                each(self, store, base + page, part);
            }
        }
    }

    fn write(&mut self, node: usize) {
        let mut range = self.range(node, false);
        if self.below(2) == 0 {
            range.end = range.end.min(range.start + 100);
        }
        let value = self.below(255) as u8 + 1;
        let Node { vmo, writable, mapped, .. } = &self.nodes[node];
        let bytes = vec![value; range.len()];
        let through = mapped.filter(|_| value.is_multiple_of(2) && *writable);
        let done = match through {
            Some(addr) => self.vmar.write(addr + range.start as u64, &bytes).map_err(|_| Error::Io),
            None => vmo.write(range.start as u64, &bytes),
        };
        if !self.nodes[node].writable {
            return assert_eq!(done, Err(Error::AccessDenied));
        }
        assert_eq!(done, Ok(()));
        self.each_page(node, &range, |this, store, page, part| {
            this.stores.own(store, page).bytes[part].fill(value);
        });
    }

    fn op_range(&mut self, node: usize) {
        let op = [RangeOp::Commit, RangeOp::Decommit, RangeOp::Zero][self.below(3)];
        let whole = op == RangeOp::Decommit || self.below(2) == 0;
        let range = self.range(node, whole);
        let Node { vmo, writable, store, .. } = &self.nodes[node];
        let done = vmo.op_range(op, range.start as u64, range.len() as u64);
        self.last = format!("{op:?} {range:?} of {vmo:?}");
        if !writable {
            return assert_eq!(done, Err(Error::AccessDenied));
        }
        if op == RangeOp::Decommit {
            let anonymous = self.stores[store].model == Model::Anonymous;
            let copy = self.nodes.iter().any(|n| n.id == *store && n.parent_koid != KOID_INVALID);
            let copy = copy || self.family[store].is_some();
            // Whose parent has died is a copy all the same; the model does not know of those.
            if done == Err(Error::NotSupported) && anonymous && !copy {
                return assert!(
                    self.has_clones(*store) || vmo.owner().0.parent_koid != KOID_INVALID
                );
            }
            let expected = match anonymous && !copy && !self.has_clones(*store) {
                true => Ok(()),
                false => Err(Error::NotSupported),
            };
            assert_eq!(done, expected);
            if done.is_err() {
                return;
            }
        }
        assert_eq!(done, Ok(()), "{op:?}");
        let pages = match op {
            RangeOp::Commit => range.start / P * P..range.end.next_multiple_of(P),
            _ => range,
        };
        self.each_page(node, &pages, |this, store, page, part| match op {
            RangeOp::Commit => {
                this.stores.own(store, page);
            }
            _ => this.stores.zero(store, page, part, false),
        });
    }

    /// What Linux does to memory that is not needed: any VMO's.
    fn decommit(&mut self, node: usize) {
        let range = self.range(node, true);
        self.nodes[node].vmo.decommit(range.start as u64..range.end as u64);
        self.each_page(node, &range, |this, store, page, _| {
            this.stores.get_mut(&store).unwrap().pages[page] = None;
        });
    }

    fn resize(&mut self, node: usize) {
        let size = self.below(PAGES * P + 1);
        let Node { vmo, resizable, store, .. } = &self.nodes[node];
        let (done, store) = (vmo.set_size(size as u64), *store);
        if !resizable {
            return assert_eq!(done, Err(Error::Unavailable));
        }
        assert_eq!(done, Ok(()));
        assert_eq!(self.nodes[node].vmo.content_size(), size as u64);
        let (old, new) = (self.stores[&store].pages.len(), size.div_ceil(P));
        if size < new * P && size < old * P {
            self.stores.zero(store, size / P, size % P..P, true);
        }
        let changed = self.stores.get_mut(&store).unwrap();
        changed.pages.resize(new, None);
        if let Model::Over { limit, .. } = &mut changed.model {
            *limit = (*limit).min(new);
        }
        for over in self.stores.values_mut() {
            if let Model::Over { file, offset, limit } = &mut over.model
                && *file == store
                && new < old
            {
                *limit = (*limit).min(new.saturating_sub(*offset));
            }
        }
    }

    fn map(&mut self, node: usize) {
        if self.nodes[node].mapped.is_some() {
            return self.unmap(node);
        }
        let Node { vmo, writable, .. } = &self.nodes[node];
        let mut perms = Prot::READ;
        perms.set(Prot::WRITE, *writable);
        let args = MapArgs { perms, ..MapArgs::new(vmo.clone(), (PAGES * P) as u64) };
        self.nodes[node].mapped = Some(self.vmar.map(args).unwrap());
    }

    /// Compares all that a VMO shows with the model, directly and through its mapping.
    fn check(&mut self, node: usize) {
        let pages = self.pages(node);
        let vmo = self.nodes[node].vmo.clone();
        assert_eq!(vmo.size(), (pages * P) as u64);
        assert_eq!(vmo.related_koid(), self.nodes[node].parent_koid);
        let id = self.nodes[node].id;
        let children = self.family.values().filter(|parent| **parent == Some(id)).count();
        assert_eq!(vmo.children(), children);
        assert_eq!(vmo.signals().contains(Signals::VMO_ZERO_CHILDREN), children == 0);
        let shown = get(&vmo, 0, pages * P);
        let (store, base) = (self.nodes[node].store, self.nodes[node].base);
        for (page, bytes) in shown.chunks(P).enumerate() {
            assert!(self.stores.bytes(store, base + page) == bytes, "page {page}");
            let place = self.stores.behind(store, base + page).unwrap_or((store, base + page));
            let held =
                self.stores[&place.0].pages[place.1].as_ref().is_some_and(|p| p.identity.is_some());
            if let (Some(addr), true) = (self.nodes[node].mapped, held) {
                // Reading a hole through a mapping has the host hold it, which is the mapping's business.
                let mut through = [0; 2];
                for at in [0, P - 2] {
                    self.vmar.read(addr + (page * P + at) as u64, &mut through).unwrap();
                    assert_eq!(through, bytes[at..at + 2], "page {page} through its mapping");
                }
            }
        }
        self.check_memory(node);
    }

    fn check_frames(&self) {
        let distinct = self.stores.distinct() as u64;
        assert_eq!(self.memory.committed() / PAGE, distinct, "frames in use");
    }

    /// Whether those pages of a VMO are in memory that have an identity.
    fn check_memory(&self, node: usize) {
        let (node, pages) = (&self.nodes[node], self.pages(node));
        let mut held = vec![false; pages];
        let _ = node.vmo.visit(0..node.vmo.size(), &mut |run, _| {
            for part in self.memory.committed_ranges(run.pa, run.len) {
                let start = run.offset + (part.start - run.pa.0);
                let first = start as usize / P;
                held[first..first + (part.end - part.start) as usize / P].fill(true);
            }
            ControlFlow::Continue(())
        });
        for (page, held) in held.into_iter().enumerate() {
            let here = (node.store, node.base + page);
            let (store, at) = self.stores.behind(here.0, here.1).unwrap_or(here);
            let page_of = self.stores[&store].pages[at].as_ref();
            assert_eq!(
                held,
                page_of.is_some_and(|p| p.identity.is_some()),
                "page {page} in memory"
            );
        }
    }

    fn step(&mut self) {
        if self.nodes.is_empty() || (self.nodes.len() < NODES && self.below(40) == 0) {
            self.root();
        }
        let count = self.nodes.len();
        let node = self.below(count);
        let what = self.below(24);
        self.last = format!("{what} of {:?}", self.nodes[node].vmo);
        match what {
            0..=2 if count < NODES => self.child(node),
            3..=4 if count > 2 => return self.drop_node(node),
            5..=12 => self.write(node),
            13..=15 => self.op_range(node),
            16 => self.decommit(node),
            17..=18 => self.resize(node),
            19 => self.map(node),
            _ => {}
        }
        self.check(node);
        let other = self.below(self.nodes.len());
        self.check(other);
    }
}

#[test]
fn trees_of_children_agree_with_a_model_that_copies_everything() {
    for seed in 1..=10u64 {
        let mut world = World::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for step in 0..STEPS / 10 {
            let run = std::panic::AssertUnwindSafe(|| {
                world.step();
                world.check_frames();
            });
            if let Err(panic) = std::panic::catch_unwind(run) {
                eprintln!("seed {seed}, step {step}: {}", world.last);
                std::panic::resume_unwind(panic);
            }
        }
        while !world.nodes.is_empty() {
            let count = world.nodes.len();
            let node = world.below(count);
            world.drop_node(node);
            world.check_frames();
        }
        assert_eq!(world.memory.allocated(), 0);
    }
}
