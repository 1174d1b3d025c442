//! A VMAR against a model that knows only single pages.

use std::collections::BTreeMap;

use hal::{
    aspace::{Access, AddressSpace, Prot},
    pmem::{GUEST_BOUNDARY, PhysicalMemory},
};
use proptest::prelude::*;

use super::*;
use crate::vmo::{PageSink, PageSource, RangeOp, VmoOptions};

const PAGES: u64 = 48;

/// Every byte of page `n` is `n + 100`.
struct File;

impl PageSource for File {
    fn fill(&self, offset: u64, len: u64, sink: &mut PageSink<'_>) -> Result<()> {
        for at in (offset..offset + len).step_by(PAGE_SIZE) {
            sink.write(at, &[((at / PAGE) as u8).wrapping_add(100); PAGE_SIZE]);
        }
        Ok(())
    }

    fn try_fill(&self, offset: u64, len: u64, sink: &mut PageSink<'_>) -> Result<()> {
        self.fill(offset, len, sink)
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Anonymous { at: u64, len: u64, perms: u8 },
    Private { at: u64, len: u64, perms: u8, page: u64 },
    Shared { at: u64, len: u64, perms: u8, page: u64 },
    Unmap { at: u64, len: u64 },
    Protect { at: u64, len: u64, perms: u8 },
    Discard { at: u64, len: u64 },
    Write { at: u64, value: u8 },
    Move { at: u64, len: u64, to: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    let (at, len, perms) = (0..PAGES - 12, 1u64..12, 0u8..3);
    let to = at.clone();
    let page = 0u64..16;
    let place = (at, len);
    let of = (place.clone(), perms.clone(), page);
    prop_oneof![
        3 => (place.clone(), perms.clone()).prop_map(|((at, len), perms)| Op::Anonymous { at, len, perms }),
        2 => of.clone().prop_map(|((at, len), perms, page)| Op::Private { at, len, perms, page }),
        1 => of.prop_map(|((at, len), perms, page)| Op::Shared { at, len, perms, page }),
        2 => place.clone().prop_map(|(at, len)| Op::Unmap { at, len }),
        3 => (place.clone(), perms).prop_map(|((at, len), perms)| Op::Protect { at, len, perms }),
        1 => place.clone().prop_map(|(at, len)| Op::Discard { at, len }),
        4 => (0..PAGES, 1u8..90).prop_map(|(at, value)| Op::Write { at, value }),
        2 => (place, to).prop_map(|((at, len), to)| Op::Move { at, len, to }),
    ]
}

fn prot(perms: u8) -> Prot {
    [Prot::empty(), Prot::READ, Prot::READ | Prot::WRITE][usize::from(perms)]
}

/// What a page shows.
#[derive(Clone, Copy, Debug)]
enum Content {
    Anonymous(u8),
    /// A page of the file, or an own copy.
    Private(u64, Option<u8>),
    Shared(u64),
}

type Model = BTreeMap<u64, (Content, Prot)>;

struct Pair {
    vmar: Arc<Vmar>,
    file: Arc<Vmo>,
    base: u64,
    model: Model,
    /// The first bytes of the file's pages.
    bytes: Vec<u8>,
}

impl Pair {
    fn shown(&self, content: Content) -> u8 {
        match content {
            Content::Anonymous(byte) | Content::Private(_, Some(byte)) => byte,
            Content::Private(page, None) | Content::Shared(page) => self.bytes[page as usize],
        }
    }

    fn map(&mut self, at: u64, len: u64, vmo: Arc<Vmo>, page: u64, perms: u8, flags: MappingFlags) {
        let args = MapArgs {
            placement: Placement::Replace(self.base + at * PAGE),
            perms: prot(perms),
            vmo_offset: page * PAGE,
            flags,
            ..MapArgs::new(vmo, len * PAGE)
        };
        self.vmar.map(args).unwrap();
    }

    fn apply(&mut self, op: Op) {
        let memory = self.vmar.aspace().memory().clone();
        match op {
            Op::Anonymous { at, len, perms } => {
                let vmo = Vmo::create(&memory, len * PAGE, VmoOptions::default()).unwrap();
                self.map(at, len, vmo, 0, perms, MappingFlags::DISCARD | MappingFlags::ACCOUNT);
                for page in at..at + len {
                    self.model.insert(page, (Content::Anonymous(0), prot(perms)));
                }
            }
            Op::Private { at, len, perms, page } => {
                let copy = self.file.create_private(page * PAGE, len * PAGE, false).unwrap();
                self.map(at, len, copy, 0, perms, MappingFlags::PRIVATE);
                for i in 0..len {
                    self.model.insert(at + i, (Content::Private(page + i, None), prot(perms)));
                }
            }
            Op::Shared { at, len, perms, page } => {
                self.map(at, len, self.file.clone(), page, perms, MappingFlags::empty());
                for i in 0..len {
                    self.model.insert(at + i, (Content::Shared(page + i), prot(perms)));
                }
            }
            Op::Unmap { at, len } => {
                self.vmar.unmap(self.base + at * PAGE, len * PAGE).unwrap();
                self.model.retain(|page, _| !(at..at + len).contains(page));
            }
            Op::Protect { at, len, perms } => {
                let done = self.vmar.protect(self.base + at * PAGE, len * PAGE, prot(perms));
                let covered = (at..at + len).all(|page| self.model.contains_key(&page));
                assert_eq!(done, if covered { Ok(()) } else { Err(Error::NotFound) });
                if covered {
                    for page in at..at + len {
                        self.model.get_mut(&page).unwrap().1 = prot(perms);
                    }
                }
            }
            Op::Discard { at, len } => {
                let _ = self.vmar.discard(self.base + at * PAGE, len * PAGE);
                for (_, (content, _)) in self.model.range_mut(at..at + len) {
                    match content {
                        Content::Anonymous(byte) => *byte = 0,
                        Content::Private(_, own) => *own = None,
                        Content::Shared(_) => {}
                    }
                }
            }
            Op::Write { at, value } => {
                let va = self.base + at * PAGE;
                let done = self.vmar.write(va, &[value]).is_ok();
                let page = self.model.get_mut(&at).filter(|page| page.1.contains(Prot::WRITE));
                assert_eq!(done, page.is_some());
                match page {
                    Some((Content::Anonymous(byte), _)) => *byte = value,
                    Some((Content::Private(_, own), _)) => *own = Some(value),
                    Some((Content::Shared(page), _)) => self.bytes[*page as usize] = value,
                    None => {}
                }
                if done {
                    // Guest code would do the same through the host mapping.
                    self.touch_around(at);
                }
            }
            Op::Move { at, len, to } => {
                let (from, target) = (self.base + at * PAGE, self.base + to * PAGE);
                let done = self.vmar.remap(from, len * PAGE, len * PAGE, Remap::To(target));
                let covered = (at..at + len).all(|page| self.model.contains_key(&page));
                if at < to + len && to < at + len {
                    assert!(done.is_err());
                    return;
                }
                assert_eq!(done.is_ok(), covered);
                if covered {
                    self.model.retain(|page, _| !(to..to + len).contains(page));
                    for i in 0..len {
                        let page = self.model.remove(&(at + i)).unwrap();
                        self.model.insert(to + i, page);
                    }
                }
            }
        }
    }

    /// A write to a private page copies some around it, which no longer follow the file then.
    fn touch_around(&mut self, _at: u64) {
        let runs = self.vmar.mappings();
        for mapping in runs.iter().filter(|mapping| mapping.flags.contains(MappingFlags::PRIVATE)) {
            let pages = (mapping.range.end - mapping.range.start) / PAGE;
            for i in 0..pages {
                let page = (mapping.range.start - self.base) / PAGE + i;
                let own = mapping.vmo.present_run(mapping.vmo_offset + i * PAGE, PAGE);
                let own = own.is_some_and(|run| run.writable);
                let bytes = &self.bytes;
                if let Some((Content::Private(of, copy @ None), _)) = self.model.get_mut(&page)
                    && own
                {
                    *copy = Some(bytes[*of as usize]);
                }
            }
        }
    }

    fn check(&self) {
        let aspace = self.vmar.aspace();
        for page in 0..PAGES {
            let va = self.base + page * PAGE;
            let expected = self.model.get(&page);
            let mapping = self.vmar.find(va);
            assert_eq!(mapping.map(|mapping| mapping.perms), expected.map(|page| page.1));
            let readable = expected.filter(|page| page.1.contains(Prot::READ));
            let mut byte = [0];
            assert_eq!(self.vmar.read(va, &mut byte).is_ok(), readable.is_some());
            if let Some(&(content, prot)) = readable {
                assert_eq!(byte[0], self.shown(content), "page {page}");
                // The page table never allows more than the mapping does.
                let run = aspace.query(va).unwrap();
                assert!(prot.contains(run.prot));
            } else if expected.is_none() {
                assert!(aspace.query(va).is_none());
                assert_eq!(self.vmar.fault(va, Access::Read), Err(Error::NotFound));
            } else {
                assert_eq!(self.vmar.fault(va, Access::Read), Err(Error::AccessDenied));
            }
        }
        assert_eq!(self.vmar.mapped_bytes(), self.model.len() as u64 * PAGE);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn mappings_agree_with_a_list_of_pages(ops in prop::collection::vec(op(), 1..50)) {
        let memory = PhysicalMemory::new(None).unwrap();
        let aspace = AddressSpace::new(&memory).unwrap();
        let vmar = Vmar::create_root(&aspace).unwrap();
        let file = Vmo::create_with_source(&memory, 32 * PAGE, Arc::new(File)).unwrap();
        let base = aspace.window().start + (1 << 30);
        let bytes = (0..32).map(|page| page + 100).collect();
        let mut pair = Pair { vmar, file, base, model: Model::new(), bytes };
        for op in ops {
            pair.apply(op);
            pair.check();
        }
        drop(pair);
        drop(aspace);
        prop_assert_eq!(memory.allocated(), 0);
        prop_assert_eq!(memory.charged(), 0);
    }
}

/// Numbers that a hostile guest would try.
fn wild() -> impl Strategy<Value = u64> {
    let edges = [
        0,
        1,
        PAGE - 1,
        PAGE,
        GUEST_FLOOR,
        GUEST_BOUNDARY - PAGE,
        GUEST_BOUNDARY,
        GUEST_END - PAGE,
        1 << 47,
        1 << 62,
        1 << 63,
        u64::MAX - PAGE + 1,
        u64::MAX - PAGE,
        u64::MAX,
    ];
    prop_oneof![
        prop::sample::select(edges.to_vec()),
        (0u64..64).prop_map(|page| 0x1000_4000_0000 + page * PAGE),
        (0u64..64).prop_map(|page| page * PAGE),
        any::<u64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_numbers_make_it_panic(
        calls in prop::collection::vec((0u8..16, wild(), wild(), wild(), wild()), 1..40)
    ) {
        let memory = PhysicalMemory::new(Some(1 << 30)).unwrap();
        let aspace = AddressSpace::new(&memory).unwrap();
        let vmar = Vmar::create_root(&aspace).unwrap();
        let file = Vmo::create_with_source(&memory, 32 * PAGE, Arc::new(File)).unwrap();
        for (call, a, b, c, d) in calls {
            let placement = match d % 6 {
                0 => Placement::TopDown,
                1 => Placement::BottomUp,
                2 => Placement::Hint(a),
                3 => Placement::Exact(a),
                4 => Placement::Between(a, d),
                _ => Placement::Replace(a),
            };
            let flags = MappingFlags::from_bits_truncate(c as u32);
            let perms = Prot::from_bits_truncate(d as u8);
            // Not as much as would keep the host busy.
            let small = b.min(1 << 22);
            match call {
                0 => {
                    if let Ok(vmo) = Vmo::create(&memory, small, VmoOptions::default()) {
                        let args = MapArgs { placement, perms, flags, vmo_offset: c, ..MapArgs::new(vmo, small) };
                        let _ = vmar.map(args);
                    }
                }
                1 => {
                    if let Ok(copy) = file.create_private(c, b, false) {
                        let _ = vmar.map(MapArgs { placement, perms, ..MapArgs::new(copy, b) });
                    }
                }
                2 => {
                    let args = MapArgs { placement, perms, vmo_offset: c, align: d, ..MapArgs::new(file.clone(), b) };
                    let _ = vmar.map(args);
                }
                3 => drop(vmar.unmap(a, b)),
                4 => drop(vmar.protect(a, b, perms)),
                5 => drop(vmar.discard(a, b)),
                6 => drop(vmar.remap(a, b, c.min(1 << 40), Remap::MayMove)),
                7 => drop(vmar.remap(a, b, c, Remap::To(d))),
                8 => drop(vmar.remap(a, b, c, Remap::InPlace)),
                9 => drop(vmar.fault(a, Access::Write)),
                10 => drop((vmar.read(a, &mut [0; 100]), vmar.write(a, &[1; 100]))),
                11 => drop((vmar.zero(a, small), vmar.read_cstr(a, 5000))),
                12 => drop((vmar.load_u32(a), vmar.store_u32(a, 1), vmar.fetch_update_u32(b, |x| x))),
                13 => {
                    // Of a file that has become very long all can be copied.
                    let len = c.min(1 << 22);
                    let _ = vmar.copy_from_vmo(a, &file, b, len);
                    let _ = vmar.copy_to_vmo(a, &file, b, len);
                }
                14 => drop((vmar.allocate(placement, b), vmar.find_free(b, c), vmar.is_mapped(a..b))),
                _ => drop((
                    file.set_size(c % (64 * PAGE)),
                    file.set_size(c | 1 << 62),
                    file.op_range(RangeOp::Zero, a, small),
                    file.op_range(RangeOp::Decommit, a, b),
                    file.read(a, &mut [0; 10]),
                    vmar.resident(a..b.max(a)),
                    vmar.populate(a, small, Access::Read),
                )),
            }
        }
        drop((vmar, aspace, file));
        prop_assert_eq!(memory.allocated(), 0);
    }
}
