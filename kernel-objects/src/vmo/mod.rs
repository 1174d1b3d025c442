//! Virtual memory objects: containers of pages that can be read, written and mapped.
//!
//! A [`Vmo`] is anonymous memory, the page cache of something with a [`PageSource`], a snapshot of
//! another VMO that copies pages when they are written (private file mappings), or a slice of one.
//! Its bytes lie in a few long segments of physical memory, so that mappings work by runs.
//!
//! Locks, in the order in which they nest: a VMAR's lock, then `contents` (held while bytes are
//! copied). `changing` serialises whatever adds, drops or copies pages; it may be held while
//! mappings are told, so it is never taken under a VMAR's lock.

mod change;
mod children;
mod content;
mod pages;
mod pin;
mod placed;
mod reclaim;
mod segments;
mod source;

use std::{
    any::Any,
    fmt,
    ops::Range,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use hal::pmem::{Charge, PAGE_SIZE, PhysicalMemory};
use parking_lot::{Mutex, RwLock};
use rangemap::RangeSet;

use self::segments::Segments;
pub use self::{
    change::RangeOp,
    content::CopyError,
    pin::Pin,
    placed::CachePolicy,
    segments::PageRun,
    source::{PageSink, PageSource},
};
use crate::{
    error::{Error, Result},
    object::{KOID_INVALID, KObjectBase, KernelObject, Koid, ObjectType},
};

const PAGE: u64 = PAGE_SIZE as u64;
/// Largest VMO.
const MAX_SIZE: u64 = 1 << 62;

/// How a VMO is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmoOptions {
    /// [`Vmo::set_size`] is allowed.
    pub resizable: bool,
    /// The whole size counts against the memory limit.
    pub charged: bool,
}

/// What libos keeps with a VMO: a file to name in /proc/self/maps, for instance.
pub type Cookie = Arc<dyn Any + Send + Sync>;

/// Something that maps VMOs, and must be told when pages go away.
pub(crate) trait Mapper: Send + Sync {
    /// The pages of `range` (offsets in `vmo`) are no longer what they were: cut the mappings of
    /// them, to fault again.
    fn invalidate(&self, vmo: &Vmo, range: Range<u64>);

    /// Whether there is a mapping of `vmo` that is or may become writable.
    fn may_write(&self, vmo: &Vmo) -> bool;

    /// Whether there is a mapping of `vmo`.
    fn maps(&self, vmo: &Vmo) -> bool;

    /// Whether there is one whose pages must not be reclaimed.
    fn keeps(&self, vmo: &Vmo) -> bool;
}

enum Kind {
    Anonymous,
    Source {
        source: Arc<dyn PageSource>,
        me: Weak<Vmo>,
    },
    /// Pages not present here are the parent's, `offset` further on.
    Snapshot {
        parent: Arc<Vmo>,
        offset: u64,
    },
    /// All pages are the parent's.
    Slice {
        parent: Arc<Vmo>,
        offset: u64,
    },
    /// All pages are in one place, from the start.
    Placed(Box<placed::Placed>),
}

#[derive(Debug, Default)]
struct Contents {
    segments: Segments,
    /// Pages that hold content; unused for anonymous memory, where every page that has a place
    /// does.
    present: RangeSet<u64>,
    charge: Option<Charge>,
    /// For the pages present, if they come from a source.
    cached: Option<Charge>,
    /// Pages that stay. Added to under `changing`, which whoever takes pages away holds.
    pins: pin::Pins,
    /// It has grown or may: give segments room.
    growing: bool,
}

#[derive(Default)]
struct Links {
    mappers: WeakList<dyn Mapper>,
    children: WeakList<Vmo>,
}

/// Weak references; dead ones are removed when they may be half of all, so that adding one takes
/// constant time on average.
struct WeakList<T: ?Sized> {
    list: Vec<Weak<T>>,
    prune_at: usize,
}

impl<T: ?Sized> Default for WeakList<T> {
    fn default() -> Self {
        Self { list: Vec::new(), prune_at: 8 }
    }
}

impl<T: ?Sized> WeakList<T> {
    fn push(&mut self, weak: Weak<T>) {
        if self.list.len() >= self.prune_at {
            self.list.retain(|known| known.strong_count() > 0);
            self.prune_at = (self.list.len() * 2).max(8);
        }
        self.list.push(weak);
    }

    fn live(&self) -> Vec<Arc<T>> {
        self.list.iter().filter_map(Weak::upgrade).collect()
    }
}

/// A virtual memory object.
pub struct Vmo {
    base: KObjectBase,
    memory: Arc<PhysicalMemory>,
    kind: Kind,
    options: VmoOptions,
    /// Bytes, a page multiple. Changed under `changing` and the write lock of `contents`.
    size: AtomicU64,
    content_size: AtomicU64,
    contents: RwLock<Contents>,
    changing: Mutex<()>,
    /// Held by streams while they write beyond the content.
    pub(crate) appending: Mutex<()>,
    /// Somebody mapped it so that pages may have been written since they were read from the source.
    dirty: AtomicBool,
    links: Mutex<Links>,
    cookie: Mutex<Option<Cookie>>,
}

impl fmt::Debug for Vmo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Anonymous => "anonymous",
            Kind::Source { .. } => "source",
            Kind::Snapshot { .. } => "snapshot",
            Kind::Slice { .. } => "slice",
            Kind::Placed(_) if self.is_physical() => "physical",
            Kind::Placed(_) => "contiguous",
        };
        f.debug_struct("Vmo").field("kind", &kind).field("size", &self.size()).finish()
    }
}

fn round_up(size: u64) -> Result<u64> {
    if size > MAX_SIZE {
        return Err(Error::OutOfRange);
    }
    Ok(size.next_multiple_of(PAGE))
}

/// The pages that hold `range`.
fn pages_of(range: &Range<u64>) -> Range<u64> {
    range.start / PAGE * PAGE..range.end.next_multiple_of(PAGE)
}

impl Vmo {
    fn new(
        memory: &Arc<PhysicalMemory>,
        size: u64,
        options: VmoOptions,
        kind: Kind,
    ) -> Result<Self> {
        let rounded = round_up(size)?;
        let charge = match options.charged {
            true => Some(memory.charge(rounded).map_err(|_| Error::NoMemory)?),
            false => None,
        };
        Ok(Self {
            base: KObjectBase::new(),
            memory: memory.clone(),
            kind,
            options,
            size: AtomicU64::new(rounded),
            content_size: AtomicU64::new(size),
            contents: RwLock::new(Contents {
                charge,
                growing: options.resizable,
                ..Contents::default()
            }),
            changing: Mutex::default(),
            appending: Mutex::default(),
            dirty: AtomicBool::new(false),
            links: Mutex::default(),
            cookie: Mutex::default(),
        })
    }

    /// Creates anonymous memory of `size` bytes, rounded up to pages, which reads as zero
    /// (`zx_vmo_create`).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `size` is absurd, [`Error::NoMemory`] if it is charged and passes
    /// the limit.
    pub fn create(
        memory: &Arc<PhysicalMemory>,
        size: u64,
        options: VmoOptions,
    ) -> Result<Arc<Self>> {
        Self::new(memory, size, options, Kind::Anonymous).map(Arc::new)
    }

    /// Creates the page cache of `source`, whose content is `size` bytes; it is resizable.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_with_source(
        memory: &Arc<PhysicalMemory>,
        size: u64,
        source: Arc<dyn PageSource>,
    ) -> Result<Arc<Self>> {
        let options = VmoOptions { resizable: true, charged: false };
        let mut vmo = Self::new(memory, size, options, Kind::Anonymous)?;
        vmo.contents.get_mut().cached = Some(memory.no_cache_charge());
        Ok(Arc::new_cyclic(|me| {
            vmo.kind = Kind::Source { source, me: me.clone() };
            vmo
        }))
    }

    /// Size in bytes, a page multiple.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.kind {
            // What the parent has lost is lost here too.
            Kind::Snapshot { parent, offset } | Kind::Slice { parent, offset } => {
                let left = parent.size().saturating_sub(*offset);
                self.size.load(Ordering::Acquire).min(left)
            }
            _ => self.size.load(Ordering::Acquire),
        }
    }

    /// Bytes of content, which may end inside the last page (`ZX_PROP_VMO_CONTENT_SIZE`).
    #[must_use]
    pub fn content_size(&self) -> u64 {
        self.content_size.load(Ordering::Acquire)
    }

    /// The memory that it lives in.
    #[must_use]
    pub fn memory(&self) -> &Arc<PhysicalMemory> {
        &self.memory
    }

    /// How it was created.
    #[must_use]
    pub fn options(&self) -> VmoOptions {
        self.options
    }

    /// Whether it is plain memory: no source, no parent.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        matches!(self.kind, Kind::Anonymous)
    }

    /// What was [attached](Self::set_cookie); a snapshot or a slice has its parent's if it has none
    /// of its own.
    #[must_use]
    pub fn cookie(&self) -> Option<Cookie> {
        let own = self.cookie.lock().clone();
        own.or_else(|| self.parent().and_then(|(parent, _)| parent.cookie()))
    }

    /// Attaches something that the layer above wants to find again.
    pub fn set_cookie(&self, cookie: Cookie) {
        *self.cookie.lock() = Some(cookie);
    }

    /// The VMO that it is a snapshot or slice of, and the offset there.
    #[must_use]
    pub fn parent(&self) -> Option<(&Arc<Vmo>, u64)> {
        match &self.kind {
            Kind::Snapshot { parent, offset } | Kind::Slice { parent, offset } => {
                Some((parent, *offset))
            }
            _ => None,
        }
    }

    fn check(&self, offset: u64, len: u64) -> Result<Range<u64>> {
        let end = offset.checked_add(len).ok_or(Error::OutOfRange)?;
        if end > self.size() { Err(Error::OutOfRange) } else { Ok(offset..end) }
    }

    /// Whether its bytes may be changed by others than a snapshot of it.
    pub(crate) fn may_change(&self) -> bool {
        match &self.kind {
            Kind::Anonymous | Kind::Placed(_) => true,
            Kind::Source { source, .. } => source.may_change(),
            Kind::Snapshot { parent, .. } | Kind::Slice { parent, .. } => parent.may_change(),
        }
    }

    /// Whether somebody maps it, itself and not a snapshot, so that it is or may become writable (F_SEAL_WRITE).
    #[must_use]
    pub fn is_mapped_for_writing(&self) -> bool {
        let mappers = self.links.lock().mappers.live();
        mappers.iter().any(|mapper| mapper.may_write(self))
    }

    /// Whether somebody maps it, itself and not a child. Anonymous memory of fixed size does not know.
    fn is_mapped(&self) -> bool {
        let mappers = self.links.lock().mappers.live();
        mappers.iter().any(|mapper| mapper.maps(self))
    }

    /// Whether a page can be shared with a parent, so that a mapping may not write all that it may
    /// read.
    pub(crate) fn copies_on_write(&self) -> bool {
        match &self.kind {
            Kind::Snapshot { .. } => true,
            Kind::Slice { parent, .. } => parent.copies_on_write(),
            _ => false,
        }
    }

    /// Adds a mapper that is to be told of pages that go away; once is enough. `writes` if the mapping is or may become
    /// writable.
    pub(crate) fn add_mapper(&self, mapper: Weak<dyn Mapper>, writes: bool) {
        if writes {
            self.note_writable();
        }
        if self.is_anonymous() && !self.options.resizable {
            // Its pages never go away while it is mapped, and what is decommitted the host replaces
            // by zeroes itself.
            return;
        }
        let mut links = self.links.lock();
        // Nearly always the one that came last, if it is there.
        if !links.mappers.list.iter().rev().any(|known| known.ptr_eq(&mapper)) {
            links.mappers.push(mapper);
        }
    }

    /// Tells everyone who maps pages of `range`, here or in children. Not under a lock that they
    /// take.
    fn notify(&self, range: Range<u64>) {
        let (mappers, children) = {
            let links = self.links.lock();
            (links.mappers.live(), links.children.live())
        };
        for mapper in mappers {
            mapper.invalidate(self, range.clone());
        }
        for child in children {
            child.parent_lost(range.clone());
        }
    }
}

impl KernelObject for Vmo {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Vmo
    }

    fn related_koid(&self) -> Koid {
        self.parent().map_or(KOID_INVALID, |(parent, _)| parent.koid())
    }
}

#[cfg(test)]
mod tests;
