//! Requests for pages: what was asked of a pager's service, and who waits for the answer.
//!
//! A task that lacks pages *joins* a request. The first to do so asks the service by a packet; whoever lacks one of the same
//! pages afterwards waits for the same answer. A request ends when all its pages were dealt with, when the service failed one
//! of them, or when nobody can answer any more. A task that gives up leaves; the last one to leave takes the packet with it,
//! if nobody has read it.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use rangemap::RangeMap;
use slab::Slab;

use crate::{
    error::{Error, Result},
    port::{PageCommand, PageRequestPacket, Port},
    wait_queue::WaitQueue,
};

/// What pages are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To have them at all.
    Read,
    /// To write to them, although they are clean.
    Dirty,
}

impl Need {
    fn command(self) -> PageCommand {
        match self {
            Self::Read => PageCommand::Read,
            Self::Dirty => PageCommand::Dirty,
        }
    }
}

/// The requests of one VMO.
pub struct PageRequests {
    this: Weak<PageRequests>,
    port: Weak<Port>,
    key: u64,
    traps_writes: bool,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Nobody answers any more.
    ended: bool,
    requests: Slab<Request>,
    /// Which request each page belongs to that one is under way for: to read and to dirty.
    pending: [RangeMap<u64, usize>; 2],
}

struct Request {
    need: Need,
    /// All its pages, those dealt with included.
    range: Range<u64>,
    /// Bytes that have not been dealt with.
    left: u64,
    /// The packet's number.
    packet: u64,
    waiters: usize,
    ending: Arc<Ending>,
}

/// How a request ended, for those who wait.
#[derive(Default)]
struct Ending {
    result: Mutex<Option<Result>>,
    waiters: WaitQueue,
}

impl Table {
    /// Takes a request out; its ending is to be told, by [`tell`], when no lock is held.
    fn end(&mut self, index: usize, result: Result, port: Option<&Port>) -> Option<Arc<Ending>> {
        let request = self.requests.try_remove(index)?;
        if let Some(port) = port {
            port.remove_page_request(request.packet);
        }
        let pending = &mut self.pending[request.need as usize];
        let pieces = pending.overlapping(&request.range).filter(|(_, of)| **of == index);
        // A request's range can have pages of later ones, asked for anew since.
        let pieces: Vec<Range<u64>> = pieces.map(|(piece, _)| piece.clone()).collect();
        pieces.into_iter().for_each(|piece| pending.remove(piece));
        *request.ending.result.lock() = Some(result);
        Some(request.ending)
    }
}

fn tell(endings: impl IntoIterator<Item = Arc<Ending>>) {
    for ending in endings {
        ending.waiters.notify_all();
    }
}

impl PageRequests {
    /// The requests of a VMO whose packets go to `port`, with `key`. With `traps_writes` its pages become dirty only when the
    /// service agrees (`ZX_VMO_TRAP_DIRTY`).
    pub(super) fn new(port: &Arc<Port>, key: u64, traps_writes: bool) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            port: Arc::downgrade(port),
            key,
            traps_writes,
            table: Mutex::default(),
        })
    }

    /// Whether writes to clean pages need the service's agreement.
    pub(crate) fn traps_writes(&self) -> bool {
        self.traps_writes
    }

    /// Whether nobody answers any more.
    pub(super) fn has_ended(&self) -> bool {
        self.table.lock().ended
    }

    /// What an access ends with that would need an answer.
    pub(crate) fn refusal(&self) -> Error {
        match self.has_ended() {
            true => Error::BadState,
            false => Error::ShouldWait,
        }
    }

    /// Waits for the first pages of `range`: asks for them, as far as nobody has, if `lacking` still holds once nobody can
    /// answer meanwhile. `None` if it does not.
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if nobody answers any more.
    pub(crate) fn join(
        &self,
        need: Need,
        range: &Range<u64>,
        lacking: impl FnOnce() -> bool,
    ) -> Result<Option<PageWait>> {
        // Everywhere before the lock is taken, so that it is dropped after: a port that goes away tells what nobody has read.
        let port = self.port.upgrade().ok_or(Error::BadState)?;
        let mut table = self.table.lock();
        if table.ended {
            return Err(Error::BadState);
        }
        if !lacking() {
            return Ok(None);
        }
        if let Some(&index) = table.pending[need as usize].get(&range.start)
            && let Some(request) = table.requests.get_mut(index)
        {
            request.waiters += 1;
            return Ok(Some(PageWait::new(self, index, &request.ending)));
        }
        let pending = &table.pending[need as usize];
        let next = pending.overlapping(range).next().map_or(range.end, |(piece, _)| piece.start);
        let (offset, length) = (range.start, next - range.start);
        let packet = PageRequestPacket { command: need.command(), offset, length };
        let index = table.requests.vacant_key();
        let number = port.queue_page_request(self.key, packet, (self.this.clone(), index));
        let packet = number.ok_or(Error::BadState)?;
        let ending = Arc::<Ending>::default();
        let range = offset..next;
        table.pending[need as usize].insert(range.clone(), index);
        let request = Request { need, range, left: length, packet, waiters: 1, ending };
        let ending = request.ending.clone();
        table.requests.insert(request);
        drop(table);
        port.notify_reader();
        Ok(Some(PageWait::new(self, index, &ending)))
    }

    /// The pages of `range` are not what they were: requests for them alone end, and whoever waited looks again.
    pub(crate) fn answered(&self, need: Need, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let port = self.port.upgrade();
        let mut done = Vec::new();
        let mut table = self.table.lock();
        let pieces: Vec<(u64, usize)> = table.pending[need as usize]
            .overlapping(range)
            .map(|(piece, &index)| (piece.end.min(range.end) - piece.start.max(range.start), index))
            .collect();
        table.pending[need as usize].remove(range.clone());
        for (len, index) in pieces {
            let Some(request) = table.requests.get_mut(index) else { continue };
            request.left -= len;
            if request.left == 0 {
                done.extend(table.end(index, Ok(()), port.as_deref()));
            }
        }
        drop(table);
        tell(done);
    }

    /// Every request that wants a page of `range` ends with this error.
    pub(super) fn fail(&self, range: &Range<u64>, error: Error) {
        if range.is_empty() {
            return;
        }
        let port = self.port.upgrade();
        let mut done = Vec::new();
        let mut table = self.table.lock();
        for need in [Need::Read, Need::Dirty] {
            let hit = table.pending[need as usize].overlapping(range).map(|(_, &index)| index);
            for index in hit.collect::<Vec<_>>() {
                done.extend(table.end(index, Err(error), port.as_deref()));
            }
        }
        drop(table);
        tell(done);
    }

    /// Nobody answers any more: all requests end with [`Error::BadState`]. With `complete` the service is told.
    pub(super) fn end(&self, complete: bool) {
        let port = self.port.upgrade();
        let mut table = self.table.lock();
        if table.ended {
            return;
        }
        table.ended = true;
        let all: Vec<usize> = table.requests.iter().map(|(index, _)| index).collect();
        let ended = |index| table.end(index, Err(Error::BadState), port.as_deref());
        let done: Vec<_> = all.into_iter().filter_map(ended).collect();
        if let Some(port) = &port
            && complete
        {
            let packet = PageRequestPacket { command: PageCommand::Complete, offset: 0, length: 0 };
            port.queue_page_request(self.key, packet, (Weak::new(), 0));
        }
        drop(table);
        tell(done);
        if let Some(port) = port {
            port.notify_reader();
        }
    }

    /// The port is closed, and nobody has read this packet, for the request at `index`.
    pub(crate) fn refused(&self, index: usize, packet: u64) {
        let mut table = self.table.lock();
        let same = table.requests.get(index).is_some_and(|request| request.packet == packet);
        let ending = if same { table.end(index, Err(Error::BadState), None) } else { None };
        drop(table);
        tell(ending);
    }

    /// How many tasks wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.table.lock().requests.iter().map(|(_, request)| request.waiters).sum()
    }
}

impl fmt::Debug for PageRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table.lock();
        f.debug_struct("PageRequests")
            .field("key", &self.key)
            .field("ended", &table.ended)
            .field("requests", &table.requests.len())
            .finish_non_exhaustive()
    }
}

/// A task's part in a request; dropped, it leaves.
#[must_use]
pub(crate) struct PageWait {
    requests: Weak<PageRequests>,
    index: usize,
    ending: Arc<Ending>,
}

impl PageWait {
    fn new(requests: &PageRequests, index: usize, ending: &Arc<Ending>) -> Self {
        Self { requests: requests.this.clone(), index, ending: ending.clone() }
    }

    /// Waits for the end of the request.
    ///
    /// # Errors
    ///
    /// The one that the service failed it with, or [`Error::BadState`] if nobody answers any more.
    pub(crate) async fn ended(self) -> Result {
        self.ending.waiters.wait_until(|| *self.ending.result.lock()).await
    }
}

impl Drop for PageWait {
    fn drop(&mut self) {
        let Some(requests) = self.requests.upgrade() else { return };
        let port = requests.port.upgrade();
        let mut table = requests.table.lock();
        // Results are set under the table's lock: an entry without one is still ours.
        if self.ending.result.lock().is_some() {
            return;
        }
        let Some(request) = table.requests.get_mut(self.index) else { return };
        request.waiters -= 1;
        if request.waiters == 0 {
            table.end(self.index, Err(Error::Canceled), port.as_deref());
        }
    }
}
