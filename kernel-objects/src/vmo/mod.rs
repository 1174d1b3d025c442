//! Virtual memory objects: containers of pages that can be read, written and mapped.
//!
//! A [`Vmo`] is anonymous memory, the page cache of something with a [`PageSource`], or a child of another VMO. Its frames are
//! in a map that snapshots share until one of them writes; a clone of a page cache shows the cache's pages where it
//! has none of its own; slices and references have no pages: they are another way to their *owner's*. Owners are never slices and
//! page caches never clones, so however VMOs descend from each other, pages are at most one step away.
//!
//! Locks, in the order in which they nest: a VMAR's lock, then `contents` (held while bytes are
//! copied), a clone's before its source's. `changing` serialises whatever adds, drops or copies pages; it may be held while
//! mappings are told, so it is never taken under a VMAR's lock.

mod change;
mod children;
mod content;
mod discard;
mod family;
mod fetch;
mod frames;
mod hint;
mod hot;
mod info;
mod page_map;
mod pages;
mod pin;
mod placed;
mod reclaim;
mod segments;
mod source;
mod supplied;
mod tracking;
mod transfer;

use std::{
    any::Any,
    fmt, mem,
    ops::Range,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use hal::pmem::{Charge, PAGE_SIZE, PhysicalMemory};
use parking_lot::{Mutex, RwLock};
use rangemap::RangeSet;
use smallvec::SmallVec;

pub use self::{
    change::RangeOp,
    children::ChildOptions,
    content::CopyError,
    discard::LockState,
    info::{CommittedMemory, VmoFlags, VmoInfo},
    pin::Pin,
    placed::CachePolicy,
    segments::PageRun,
    source::{PageSink, PageSource},
    tracking::DirtyRange,
};
use self::{page_map::PageMap, segments::Segments, tracking::Tracking};
use crate::{
    error::{Error, Result},
    object::{KOID_INVALID, KObjectBase, KernelObject, Koid, ObjectType},
    rights::Rights,
    signals::Signals,
};

pub(crate) const PAGE: u64 = PAGE_SIZE as u64;
/// Largest VMO.
pub(crate) const MAX_SIZE: u64 = 1 << 62;

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

    /// How many mappings there are of `vmo` itself, not of others that show its pages.
    fn count(&self, vmo: &Vmo) -> usize;

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
    /// Pages that it does not have are those of a page cache, `offset` further on there.
    Over {
        source: Arc<Vmo>,
        offset: u64,
        /// Where that ends: beyond it is nothing. It ends sooner when the cache becomes smaller, and never later again.
        limit: AtomicU64,
        /// As Linux's MAP_PRIVATE: in place of the limit, what lies beyond the cache's end cannot be accessed, and comes back.
        follows: bool,
    },
    /// All pages are the owner's, `offset` further on.
    Slice {
        owner: Arc<Vmo>,
        offset: u64,
    },
    /// All pages are the owner's, and its size.
    Reference {
        owner: Arc<Vmo>,
    },
    /// All pages are in one place, from the start.
    Placed(Box<placed::Placed>),
}

#[derive(Debug, Default)]
struct Contents {
    /// Places for pages that are filled or copied one by one.
    segments: Segments,
    /// Pages that hold content. Of anonymous memory, the others are zero.
    pages: PageMap,
    charge: Option<Charge>,
    /// For the pages present, if they come from a source.
    cached: Option<Charge>,
    /// Pages that stay. Added to under `changing`, which whoever takes pages away holds.
    pins: pin::Pins,
    /// Which pages differ from a pager's, if it has one.
    tracking: Option<Tracking>,
    /// Pages of a source that somebody always needs.
    needed: RangeSet<u64>,
    /// It has grown or may: give segments room.
    growing: bool,
}

/// How much of a VMO has been written by streams; references share their owner's.
#[derive(Default)]
pub(crate) struct Content {
    size: AtomicU64,
    /// Held by streams while they write beyond the content.
    pub(crate) appending: Mutex<()>,
}

#[derive(Default)]
struct Links {
    /// Of an owner: who maps it, or a slice of it.
    mappers: WeakList<dyn Mapper>,
    /// Of a page cache: the clones that show its pages.
    clones: WeakList<Vmo>,
}

/// Weak references; dead ones are removed when they may be half of all, so that adding one takes
/// constant time on average.
struct WeakList<T: ?Sized> {
    list: SmallVec<[Weak<T>; 1]>,
    prune_at: usize,
}

impl<T: ?Sized> Default for WeakList<T> {
    fn default() -> Self {
        Self { list: SmallVec::new(), prune_at: 8 }
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
    /// [`ChildOptions::NO_WRITE`] was not given.
    writable: bool,
    /// Bytes, a page multiple. Changed under `changing` and the write lock of `contents`.
    size: AtomicU64,
    content: Arc<Content>,
    contents: RwLock<Contents>,
    hot: hot::Hot,
    changing: Mutex<()>,
    /// Of anonymous memory: it has been snapshotted or is a snapshot, so that a page may be somebody else's as well. Set under
    /// the write lock of `contents`, for good.
    shares: AtomicBool,
    /// Whether its pages may be taken away while nobody has it locked.
    discard: Option<Box<discard::Discard>>,
    /// Pages may have been written: through a mapping, since they were read from the source, or in any way, since a pager last
    /// asked.
    modified: AtomicBool,
    /// How many times memory was taken from it without its user having asked.
    losses: AtomicU64,
    links: Mutex<Links>,
    cookie: Mutex<Option<Cookie>>,
    parent_koid: Koid,
    family: family::Member,
}

impl fmt::Debug for Vmo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Anonymous => "anonymous",
            Kind::Source { .. } => "source",
            Kind::Over { .. } => "clone",
            Kind::Slice { .. } => "slice",
            Kind::Reference { .. } => "reference",
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
            base: KObjectBase::with("", Signals::VMO_ZERO_CHILDREN),
            memory: memory.clone(),
            kind,
            options,
            writable: true,
            size: AtomicU64::new(rounded),
            content: Arc::new(Content { size: AtomicU64::new(size), ..Content::default() }),
            contents: RwLock::new(Contents {
                charge,
                growing: options.resizable,
                ..Contents::default()
            }),
            hot: hot::Hot::default(),
            changing: Mutex::default(),
            shares: AtomicBool::new(false),
            discard: None,
            modified: AtomicBool::new(false),
            losses: AtomicU64::new(0),
            links: Mutex::default(),
            cookie: Mutex::default(),
            parent_koid: KOID_INVALID,
            family: family::Member::default(),
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

    /// Creates anonymous memory that is as large as can be, with `content` bytes of content (`zx_vmo_create`, `ZX_VMO_UNBOUNDED`). It is not
    /// [charged](VmoOptions): nobody promises so much.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `content` is absurd.
    pub fn create_unbounded(memory: &Arc<PhysicalMemory>, content: u64) -> Result<Arc<Self>> {
        round_up(content)?;
        let vmo = Self::new(memory, MAX_SIZE, VmoOptions::default(), Kind::Anonymous)?;
        vmo.content.size.store(content, Ordering::Release);
        Ok(Arc::new(vmo))
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
        Self::with_source(memory, size, true, source)
    }

    /// [`create_with_source`](Self::create_with_source), resizable or not.
    pub(crate) fn with_source(
        memory: &Arc<PhysicalMemory>,
        size: u64,
        resizable: bool,
        source: Arc<dyn PageSource>,
    ) -> Result<Arc<Self>> {
        let options = VmoOptions { resizable, charged: false };
        let mut vmo = Self::new(memory, size, options, Kind::Anonymous)?;
        let contents = vmo.contents.get_mut();
        contents.cached = Some(memory.no_cache_charge());
        contents.tracking = source.requests().map(|_| Tracking::default());
        Ok(Arc::new_cyclic(|me| {
            vmo.kind = Kind::Source { source, me: me.clone() };
            vmo
        }))
    }

    /// Size in bytes, a page multiple (`zx_vmo_get_size`).
    #[must_use]
    pub fn size(&self) -> u64 {
        let own = self.size.load(Ordering::Acquire);
        match &self.kind {
            // What the file has lost is lost here too.
            Kind::Over { source, offset, follows: true, .. } => {
                own.min(source.size().saturating_sub(*offset))
            }
            Kind::Reference { owner } => owner.size(),
            _ => own,
        }
    }

    /// Size in bytes, a page multiple, whatever has become of what it shows.
    pub(crate) fn own_size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Bytes of content, which may end inside the last page (`ZX_PROP_VMO_CONTENT_SIZE`).
    #[must_use]
    pub fn content_size(&self) -> u64 {
        self.content.size.load(Ordering::Acquire)
    }

    /// How much of it has been written by streams.
    pub(crate) fn content(&self) -> &Content {
        &self.content
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

    /// Whether it may be written to; a child made with [`ChildOptions::NO_WRITE`] may not.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Whether it is memory with pages of its own and no page cache behind.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        matches!(self.kind, Kind::Anonymous)
    }

    /// Whether it is anonymous memory that nobody else has pages of: all of it is present, or can be at once, to be written.
    pub(crate) fn is_plain(&self) -> bool {
        self.is_anonymous() && !self.shares.load(Ordering::Acquire) && self.discard.is_none()
    }

    /// Who has the pages, and where there this VMO begins.
    fn owner(&self) -> (&Vmo, u64) {
        match &self.kind {
            Kind::Slice { owner, offset } => (owner, *offset),
            Kind::Reference { owner } => (owner, 0),
            _ => (self, 0),
        }
    }

    /// Where `owner`'s pages begin in this VMO, if it shows them.
    pub(crate) fn offset_in(&self, owner: &Vmo) -> Option<u64> {
        let (own, offset) = self.owner();
        std::ptr::eq(own, owner).then_some(offset)
    }

    /// What was [attached](Self::set_cookie); a VMO that shows another's pages has that one's if it has none
    /// of its own.
    #[must_use]
    pub fn cookie(&self) -> Option<Cookie> {
        let own = self.cookie.lock().clone();
        own.or_else(|| self.behind().and_then(|(behind, _)| behind.cookie()))
    }

    /// Attaches something that the layer above wants to find again.
    pub fn set_cookie(&self, cookie: Cookie) {
        *self.cookie.lock() = Some(cookie);
    }

    /// The VMO whose pages it shows where it has none of its own, and the offset there.
    #[must_use]
    pub fn behind(&self) -> Option<(&Arc<Vmo>, u64)> {
        match &self.kind {
            Kind::Over { source, offset, .. } => Some((source, *offset)),
            Kind::Slice { owner, offset } => Some((owner, *offset)),
            Kind::Reference { owner } => Some((owner, 0)),
            Kind::Anonymous | Kind::Source { .. } | Kind::Placed(_) => None,
        }
    }

    fn check(&self, offset: u64, len: u64) -> Result<Range<u64>> {
        let end = offset.checked_add(len).ok_or(Error::OutOfRange)?;
        if end > self.size() { Err(Error::OutOfRange) } else { Ok(offset..end) }
    }

    fn check_writable(&self) -> Result<()> {
        if self.writable { Ok(()) } else { Err(Error::AccessDenied) }
    }

    /// Whether its bytes may be changed by others than a clone of it.
    pub(crate) fn may_change(&self) -> bool {
        match &self.kind {
            Kind::Anonymous | Kind::Placed(_) => true,
            Kind::Source { source, .. } => source.may_change(),
            Kind::Over { source: owner, .. }
            | Kind::Slice { owner, .. }
            | Kind::Reference { owner } => owner.may_change(),
        }
    }

    /// Whether somebody maps its pages, and not a clone's, so that the mapping is or may become writable (F_SEAL_WRITE).
    #[must_use]
    pub fn is_mapped_for_writing(&self) -> bool {
        let (owner, _) = self.owner();
        let mappers = owner.links.lock().mappers.live();
        mappers.iter().any(|mapper| mapper.may_write(owner))
    }

    /// Whether somebody maps its pages, and not a clone's.
    fn is_mapped(&self) -> bool {
        let (owner, _) = self.owner();
        let mappers = owner.links.lock().mappers.live();
        mappers.iter().any(|mapper| mapper.maps(owner))
    }

    /// Whether a page may be another VMO's as well, so that a mapping may not write all that it may
    /// read.
    pub(crate) fn copies_on_write(&self) -> bool {
        let (owner, _) = self.owner();
        matches!(owner.kind, Kind::Over { .. }) || owner.shares.load(Ordering::Acquire)
    }

    /// Whether a mapping may not write all that it may read: pages are copied first, or their becoming dirty is noted.
    pub(crate) fn traps_writes(&self) -> bool {
        self.copies_on_write() || self.requests().is_some()
    }

    /// Adds a mapper that is to be told of pages that go away; once is enough. `writes` if the mapping is or may become
    /// writable.
    pub(crate) fn add_mapper(&self, mapper: Weak<dyn Mapper>, writes: bool) {
        if writes {
            self.note_writable();
        }
        let mut links = self.owner().0.links.lock();
        // Nearly always the one that came last, if it is there.
        if !links.mappers.list.iter().rev().any(|known| known.ptr_eq(&mapper)) {
            links.mappers.push(mapper);
        }
    }

    /// Tells everyone who maps pages of `range`, of this owner's or where a clone shows them. Not under a lock that they
    /// take.
    fn notify(&self, range: Range<u64>) {
        let (mappers, clones) = {
            let links = self.links.lock();
            (links.mappers.live(), links.clones.live())
        };
        for mapper in mappers {
            mapper.invalidate(self, range.clone());
        }
        for clone in clones {
            clone.source_lost(&range);
        }
    }
}

impl Drop for Vmo {
    fn drop(&mut self) {
        self.leave_family();
        let contents = self.contents.get_mut();
        contents.segments = Segments::default();
        frames::free(mem::take(&mut contents.pages).into_own());
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
        self.parent_koid
    }

    fn default_rights(&self) -> Rights {
        let mut rights = Rights::default_for(ObjectType::Vmo);
        rights.set(Rights::RESIZE, self.options.resizable);
        rights.set(Rights::WRITE, self.writable);
        rights
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
