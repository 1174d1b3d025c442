//! Pagers: services that provide the pages of VMOs when somebody uses them.
//!
//! A [`Pager`] creates VMOs that cache data kept elsewhere, by a file system for example. Nothing is in them at first: whoever
//! touches a page waits, as a future, and the service finds a request for it on its [port](crate::Port). It puts the bytes into
//! a VMO of its own and [supplies](Pager::supply_pages) them, or [fails](PagerOp::Fail) the request. A VMO keeps track of the
//! pages that were written to, for the service to [query](Pager::query_dirty_ranges) and write back. A page's states:
//!
//! ```text
//!               supply                       write
//!   missing ─────────────▶ clean ─────────────────────────▶ dirty
//!      ▲ ◀───────────────   ▲ ▲     (agreed to, if it is     │ ▲
//!      │  memory is short   │ │      trapped)      writeback │ │ write
//!      │                    │ │                       begins ▼ │
//!      │                    │ └───────────────────── awaiting clean
//!      │                    │     writeback ends
//!      │                    │
//!      │   writeback ends   │        write
//!      │  ┌─────────────────┘    ┌─────────────▶ dirty
//!      │  │ if it was read       │
//!   awaiting clean ◀────────── zero ◀─────────── any state
//!                  writeback             zeroed, or the VMO has grown
//!                  begins
//! ```
//!
//! The example `pager` is a file system of this kind.
//!
//! Zero pages have not been supplied and need not be: the service learns of them as dirty ranges that are all zero.
//!
//! The mechanism is that of every page cache here: a [`PageSource`]. Waiting for a page is
//! [`Vmo::fetch`](crate::Vmo::fetch) and what is built on it, whether a service supplies it or a host file fills it.

mod requests;

use std::{
    collections::HashMap,
    fmt,
    ops::Range,
    sync::{Arc, Weak},
};

use bitflags::bitflags;
use hal::pmem::{PAGE_SIZE, PhysicalMemory};
use parking_lot::Mutex;

pub(crate) use self::requests::PageWait;
pub use self::requests::{Need, PageRequests};
use crate::{
    error::{Error, Result},
    object::{KObjectBase, KernelObject, Koid, ObjectType},
    port::Port,
    vmo::{DirtyRange, PageSink, PageSource, Vmo},
};

bitflags! {
    /// How a pager's VMO is made.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct PagerVmoOptions: u32 {
        /// Its size can be changed: `ZX_VMO_RESIZABLE`.
        const RESIZABLE = 1 << 1;
        /// A clean page becomes dirty only if the service agrees: `ZX_VMO_TRAP_DIRTY`.
        const TRAP_DIRTY = 1 << 3;
    }
}

/// What a service does to a range of pages: `ZX_PAGER_OP_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PagerOp {
    /// It could not do what was requested: whoever waits for one of the pages gets this error.
    Fail(Error),
    /// It agrees that the pages become dirty.
    Dirty,
    /// It begins to write the dirty pages back, or only those that are zero.
    WritebackBegin {
        /// What has become something else than zero meanwhile stays dirty (`ZX_VMO_DIRTY_RANGE_IS_ZERO`).
        only_zero: bool,
    },
    /// It has written back what was dirty when it began; what was written to since stays dirty.
    WritebackEnd,
}

impl PagerOp {
    /// What a request may be failed with.
    const FAILURES: [Error; 5] =
        [Error::Io, Error::IoDataIntegrity, Error::BadState, Error::NoSpace, Error::BufferTooSmall];

    /// The operation with this number and these data.
    ///
    /// # Errors
    ///
    /// [`Error::NotSupported`] for an unknown number; [`Error::InvalidArgs`] if the data are not what it takes: 0, for a
    /// failure one of the statuses that are allowed, sign-extended, and for the beginning of a writeback 0 or 1.
    pub fn from_raw(op: u32, data: u64) -> Result<Self> {
        match (op, data) {
            (1, _) => {
                let status = i32::try_from(data as i64).map_err(|_| Error::InvalidArgs)?;
                Error::from_status(status).map(Self::Fail).ok_or(Error::InvalidArgs)
            }
            (2, 0) => Ok(Self::Dirty),
            (3, 0 | 1) => Ok(Self::WritebackBegin { only_zero: data == 1 }),
            (4, 0) => Ok(Self::WritebackEnd),
            (2..=4, _) => Err(Error::InvalidArgs),
            _ => Err(Error::NotSupported),
        }
        .and_then(Self::checked)
    }

    fn checked(self) -> Result<Self> {
        match self {
            Self::Fail(error) if !Self::FAILURES.contains(&error) => Err(Error::InvalidArgs),
            op => Ok(op),
        }
    }
}

/// What is known of a VMO's use: `zx_pager_vmo_stats_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PagerVmoStats {
    /// It was written to, zeroed or resized since this was last reset.
    pub modified: bool,
}

/// A maker of VMOs whose pages a service provides (`zx_pager_create`).
///
/// The service is whoever holds the pager and reads the port; the users of the VMOs need not know either. When the pager's last
/// handle is closed nobody can answer any more, and what would need an answer fails.
///
/// ```
/// use futures::{executor::block_on, join};
/// use hal::pmem::PhysicalMemory;
/// use kernel_objects::{Pager, Port, Vmo, VmoOptions};
/// use kernel_objects::pager::PagerVmoOptions;
/// use kernel_objects::port::{PageCommand, Payload};
///
/// let memory = PhysicalMemory::new(None).unwrap();
/// let (pager, port) = (Pager::create(), Port::create());
/// let file = pager.create_vmo(&memory, PagerVmoOptions::empty(), &port, 7, 1 << 20).unwrap();
///
/// // The service: page n is full of n.
/// let service = async {
///     let packet = port.wait().await;
///     let Payload::PageRequest(request) = packet.payload else { panic!() };
///     assert_eq!((packet.key, request.command), (7, PageCommand::Read));
///     let buffer = Vmo::create(&memory, request.length, VmoOptions::default()).unwrap();
///     for page in (0..request.length).step_by(4096) {
///         buffer.write(page, &[((request.offset + page) / 4096) as u8; 4096]).unwrap();
///     }
///     pager.supply_pages(&file, request.offset, request.length, &buffer, 0).unwrap();
/// };
/// // A user, who waits for pages 3 and 4 in one request.
/// let mut bytes = [0; 4096];
/// let user = async { file.read_async(3 * 4096 + 2048, &mut bytes).await };
///
/// let ((), result) = block_on(async { join!(service, user) });
/// assert_eq!(result, Ok(()));
/// assert_eq!((bytes[0], bytes[4095]), (3, 4));
/// ```
pub struct Pager {
    base: KObjectBase,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    closed: bool,
    /// The requests of its VMOs.
    vmos: HashMap<Koid, Arc<PageRequests>>,
}

/// What a pager's VMO has of its pager.
struct Backing {
    pager: Weak<Mutex<Inner>>,
    requests: Arc<PageRequests>,
    vmo: std::sync::OnceLock<Koid>,
}

impl PageSource for Backing {
    fn fill(&self, _: u64, _: u64, _: &mut PageSink<'_>) -> Result {
        Err(Error::ShouldWait)
    }

    fn requests(&self) -> Option<&Arc<PageRequests>> {
        Some(&self.requests)
    }
}

impl Drop for Backing {
    fn drop(&mut self) {
        // It goes with the VMO, if there ever was one.
        self.requests.end(self.vmo.get().is_some());
        if let (Some(pager), Some(koid)) = (self.pager.upgrade(), self.vmo.get()) {
            pager.lock().vmos.remove(koid);
        }
    }
}

fn pages(offset: u64, length: u64) -> Result<Range<u64>> {
    let page = PAGE_SIZE as u64;
    if !offset.is_multiple_of(page) || !length.is_multiple_of(page) {
        return Err(Error::InvalidArgs);
    }
    Ok(offset..offset.checked_add(length).ok_or(Error::OutOfRange)?)
}

impl Pager {
    /// A pager without VMOs.
    pub fn create() -> Arc<Pager> {
        Arc::new(Pager { base: KObjectBase::new(), inner: Arc::default() })
    }

    /// A new VMO of `size` bytes, rounded up to pages, none of which is there. Requests for them are sent to `port`, with `key`
    /// (`zx_pager_create_vmo`).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for unknown options, [`Error::OutOfRange`] if `size` is absurd, [`Error::BadState`] if the pager's
    /// last handle is gone.
    pub fn create_vmo(
        &self,
        memory: &Arc<PhysicalMemory>,
        options: PagerVmoOptions,
        port: &Arc<Port>,
        key: u64,
        size: u64,
    ) -> Result<Arc<Vmo>> {
        if !PagerVmoOptions::all().contains(options) {
            return Err(Error::InvalidArgs);
        }
        let traps = options.contains(PagerVmoOptions::TRAP_DIRTY);
        let requests = PageRequests::new(port, key, traps);
        let backing = Arc::new(Backing {
            pager: Arc::downgrade(&self.inner),
            requests: requests.clone(),
            vmo: std::sync::OnceLock::new(),
        });
        let resizable = options.contains(PagerVmoOptions::RESIZABLE);
        let vmo = Vmo::with_source(memory, size, resizable, backing.clone())?;
        let mut inner = self.inner.lock();
        if inner.closed {
            drop(inner);
            return Err(Error::BadState);
        }
        let _ = backing.vmo.set(vmo.koid());
        inner.vmos.insert(vmo.koid(), requests);
        Ok(vmo)
    }

    fn requests(&self, vmo: &Vmo) -> Result<Arc<PageRequests>> {
        self.inner.lock().vmos.get(&vmo.koid()).cloned().ok_or(Error::InvalidArgs)
    }

    /// Ends the requests for `vmo`, which fail with [`Error::BadState`] as all later ones; the service finds a packet with
    /// [`PageCommand::Complete`](crate::port::PageCommand::Complete), after which none comes. Pages that are there stay, and
    /// dirty ones can still be written back (`zx_pager_detach_vmo`).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if the VMO is not this pager's.
    pub fn detach_vmo(&self, vmo: &Vmo) -> Result {
        self.requests(vmo)?.end(true);
        Ok(())
    }

    /// Moves `length` bytes of `aux`, from `aux_offset` on, to `vmo` at `offset`: what `aux` does not hold is zero. Pages that
    /// `vmo` has already stay, and those for them are freed. Whoever waits for the pages goes on (`zx_pager_supply_pages`).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if the VMO is not this pager's or something is not a page multiple; [`Error::OutOfRange`];
    /// [`Error::NotSupported`] if `aux` is physical; [`Error::BadState`] if it cannot give its pages away (it was not made by
    /// [`Vmo::create`], or has children, mappings, or pins there) or `vmo` is detached; [`Error::NoMemory`].
    pub fn supply_pages(
        &self,
        vmo: &Vmo,
        offset: u64,
        length: u64,
        aux: &Vmo,
        aux_offset: u64,
    ) -> Result {
        let requests = self.requests(vmo)?;
        let range = pages(offset, length)?;
        pages(aux_offset, length)?;
        if requests.has_ended() {
            return Err(Error::BadState);
        }
        vmo.supply(&range, aux, aux_offset)
    }

    /// Does `op` to a range of `vmo` (`zx_pager_op_range`).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if the VMO is not this pager's, the range is not one of whole pages, or requests cannot be failed
    /// with that error; [`Error::OutOfRange`]; [`Error::NotFound`] if a page is missing that is to become dirty;
    /// [`Error::BadState`] for what a request is answered with if the VMO is detached; [`Error::NoMemory`].
    pub fn op_range(&self, op: PagerOp, vmo: &Vmo, offset: u64, length: u64) -> Result {
        let requests = self.requests(vmo)?;
        let op = op.checked()?;
        let range = pages(offset, length)?;
        match op {
            PagerOp::WritebackBegin { only_zero } => vmo.begin_writeback(&range, only_zero),
            PagerOp::WritebackEnd => vmo.end_writeback(&range),
            PagerOp::Fail(_) | PagerOp::Dirty if requests.has_ended() => Err(Error::BadState),
            PagerOp::Dirty => vmo.mark_dirty(&range),
            PagerOp::Fail(error) => {
                if range.end > vmo.size() {
                    return Err(Error::OutOfRange);
                }
                requests.fail(&range, error);
                Ok(())
            }
        }
    }

    /// What has to be written back in the pages of a range of `vmo`, in order, and what is being written back
    /// (`zx_pager_query_dirty_ranges`). A caller with less room asks again from behind the last one that it took.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if the VMO is not this pager's; [`Error::OutOfRange`].
    pub fn query_dirty_ranges(
        &self,
        vmo: &Vmo,
        offset: u64,
        length: u64,
    ) -> Result<Vec<DirtyRange>> {
        self.requests(vmo)?;
        let end = offset.checked_add(length).ok_or(Error::OutOfRange)?;
        vmo.dirty_ranges(&(offset..end))
    }

    /// Whether `vmo` was modified since this was last called with `reset` (`zx_pager_query_vmo_stats`). Writes through a mapping
    /// to a page that is dirty already go unnoticed.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if the VMO is not this pager's.
    pub fn query_vmo_stats(&self, vmo: &Vmo, reset: bool) -> Result<PagerVmoStats> {
        self.requests(vmo)?;
        Ok(PagerVmoStats { modified: vmo.was_modified(reset) })
    }

    /// Nobody answers any more.
    fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        let vmos = std::mem::take(&mut inner.vmos);
        drop(inner);
        vmos.into_values().for_each(|requests| requests.end(false));
    }
}

impl KernelObject for Pager {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Pager
    }

    fn on_zero_handles(&self) {
        self.close();
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Pager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pager")
            .field("base", &self.base)
            .field("vmos", &self.inner.lock().vmos.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
