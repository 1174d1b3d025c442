//! Waiting for pages as a future: the one way for tasks, whatever kind of source the pages come from.
//!
//! An access is tried first. What it lacks is asked of the pager's service, by a request that the task joins and leaves when it
//! is dropped; or it is read by a thread that may block, if the source fills pages itself.

use std::{ops::Range, sync::Arc};

use super::{Kind, PAGE, RangeOp, Vmo};
use crate::{
    error::{Error, Result},
    pager::{Need, PageRequests, PageWait},
};

/// What an access lacks that only a pager's service can provide.
struct Lack<'a> {
    /// The VMO that is the pager's: the one accessed, or an ancestor.
    vmo: &'a Vmo,
    requests: &'a Arc<PageRequests>,
    need: Need,
    /// Pages of that VMO.
    range: Range<u64>,
}

/// How an access can go on.
enum Next {
    /// Waiting for the service.
    Wait(PageWait),
    /// What it lacked has come meanwhile.
    Again,
    /// A thread has to be blocked.
    Block,
}

impl Vmo {
    /// What an access to `range` lacks at its first page.
    fn lack(&self, range: Range<u64>, write: bool) -> Option<Lack<'_>> {
        let start = range.start / PAGE * PAGE;
        match &self.kind {
            Kind::Anonymous | Kind::Placed(_) => None,
            Kind::Slice { owner, offset } => owner.lack(offset + start..offset + range.end, write),
            Kind::Reference { owner } => owner.lack(start..range.end, write),
            Kind::Over { source, offset, .. } => {
                // As far as the pages are not its own.
                let gap = self.contents.read().pages.gap_around(start)?;
                let end = range.end.min(gap.end).min(self.shown());
                let theirs = offset.checked_add(start)?..offset.checked_add(end)?;
                if start < end { source.lack(theirs, false) } else { None }
            }
            Kind::Source { source, .. } => {
                let requests = source.requests()?;
                let range = start..range.end.next_multiple_of(PAGE).min(self.size());
                let contents = self.contents.read();
                let trapped = write && requests.traps_writes();
                let need = [Need::Read, Need::Dirty]
                    .into_iter()
                    .find(|&need| (need == Need::Read || trapped) && contents.lacks(start, need))?;
                let mut end = start;
                while end < range.end && contents.lacks(end, need) {
                    end += PAGE;
                }
                (start < end).then_some(Lack { vmo: self, requests, need, range: start..end })
            }
        }
    }

    /// Asks for what an access to `range` lacks at its first page.
    fn ask(&self, range: Range<u64>, write: bool) -> Result<Next> {
        if !self.is_pager_backed() {
            return Ok(Next::Block);
        }
        let Some(Lack { vmo, requests, need, range }) = self.lack(range, write) else {
            return Ok(Next::Again);
        };
        let persists = || range.end <= vmo.size() && vmo.contents.read().lacks(range.start, need);
        Ok(requests.join(need, &range, persists)?.map_or(Next::Again, Next::Wait))
    }

    /// How many bytes of `range`, from its start on, can be used without waiting.
    pub(crate) fn ready(&self, range: &Range<u64>, write: bool) -> Result<u64> {
        let mut at = range.start;
        while at < range.end {
            let page = at / PAGE * PAGE;
            let prepared = match self.present_run(page, range.end - page) {
                Some(run) if run.writable || !write => {
                    at = run.offset + run.len;
                    continue;
                }
                // A service is never waited for under a lock, so that this need not be tried.
                _ if self.is_pager_backed() => self.prepare(at, write),
                _ => self.try_prepare(at, write),
            };
            match prepared {
                Ok(()) => {}
                Err(_) if at > range.start => break,
                Err(Error::ShouldWait) => return Ok(0),
                Err(error) => return Err(error),
            }
        }
        Ok(at.min(range.end) - range.start)
    }

    /// Waits until the first page of `range` can be read, or written to if `write`; returns how many bytes of it, from its start
    /// on, can be used then. They may be gone when that is done: then it is to be called again.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), but for [`Error::ShouldWait`]; what the pager's service said, and [`Error::BadState`] if it
    /// cannot be asked or never answers.
    pub async fn fetch(self: &Arc<Self>, range: Range<u64>, write: bool) -> Result<u64> {
        loop {
            let ready = self.ready(&range, write)?;
            if ready > 0 || range.is_empty() {
                return Ok(ready);
            }
            match self.ask(range.clone(), write)? {
                Next::Wait(wait) => wait.ended().await?,
                Next::Again => {}
                Next::Block => {
                    let (vmo, at) = (self.clone(), range.start);
                    hal::cpu::spawn_blocking(move || vmo.prepare(at, write)).await?;
                }
            }
        }
    }

    /// Waits for one piece of `range` after the other, and has `each` use it.
    async fn with_fetched(
        self: &Arc<Self>,
        range: Range<u64>,
        write: bool,
        mut each: impl FnMut(Range<u64>) -> Result,
    ) -> Result {
        let mut at = range.start;
        while at < range.end {
            let end = at + self.fetch(at..range.end, write).await?;
            match each(at..end) {
                Ok(()) => at = end,
                // They have gone again.
                Err(Error::ShouldWait) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// [`read`](Self::read), which waits for pages as a future.
    ///
    /// # Errors
    /// As [`read`](Self::read) and [`fetch`](Self::fetch).
    pub async fn read_async(self: &Arc<Self>, offset: u64, buf: &mut [u8]) -> Result {
        let range = self.check(offset, buf.len() as u64)?;
        self.with_fetched(range, false, |part| {
            let part_of_buf = (part.start - offset) as usize..(part.end - offset) as usize;
            self.read(part.start, buf.get_mut(part_of_buf).ok_or(Error::Internal)?)
        })
        .await
    }

    /// [`write`](Self::write), which waits for pages as a future. What was written before an error stays.
    ///
    /// # Errors
    /// As [`write`](Self::write) and [`fetch`](Self::fetch).
    pub async fn write_async(self: &Arc<Self>, offset: u64, buf: &[u8]) -> Result {
        let range = self.check(offset, buf.len() as u64)?;
        self.with_fetched(range, true, |part| {
            let part_of_buf = (part.start - offset) as usize..(part.end - offset) as usize;
            self.write(part.start, buf.get(part_of_buf).ok_or(Error::Internal)?)
        })
        .await
    }

    /// [`op_range`](Self::op_range), which waits for pages as a future.
    ///
    /// # Errors
    /// As [`op_range`](Self::op_range) and [`fetch`](Self::fetch).
    pub async fn op_range_async(self: &Arc<Self>, op: RangeOp, offset: u64, len: u64) -> Result {
        let range = self.check(offset, len)?;
        match op {
            RangeOp::Commit => {
                let own = !matches!(self.owner().0.kind, Kind::Source { .. });
                self.with_fetched(super::pages_of(&range), own, |part| {
                    self.op_range(op, part.start, part.end - part.start)
                })
                .await
            }
            RangeOp::Zero => {
                let whole = range.start.next_multiple_of(PAGE)..range.end / PAGE * PAGE;
                let first = range.start..whole.start.min(range.end);
                let last = whole.end.max(first.end)..range.end;
                // Parts of pages need the rest of the page.
                for part in [first.clone(), first.end..last.start, last] {
                    let zero = || self.op_range(op, part.start, part.end - part.start);
                    while let Err(error) = zero() {
                        self.waited(error, part.clone()).await?;
                    }
                }
                Ok(())
            }
            RangeOp::AlwaysNeed | RangeOp::Prefetch => {
                self.with_fetched(super::pages_of(&range), false, |part| {
                    self.op_range(op, part.start, part.end - part.start)
                })
                .await
            }
            _ => self.op_range(op, offset, len),
        }
    }

    /// [`set_size`](Self::set_size), which waits for the last page as a future if a part of it has to be zeroed.
    ///
    /// # Errors
    /// As [`set_size`](Self::set_size) and [`fetch`](Self::fetch).
    pub async fn set_size_async(self: &Arc<Self>, size: u64) -> Result {
        while let Err(error) = self.set_size(size) {
            self.waited(error, size..size.saturating_add(1)).await?;
        }
        Ok(())
    }

    /// [`set_content_size`](Self::set_content_size), which waits for the page that the content ends in as a future.
    ///
    /// # Errors
    /// As [`set_content_size`](Self::set_content_size) and [`fetch`](Self::fetch).
    pub async fn set_content_size_async(self: &Arc<Self>, size: u64) -> Result {
        while let Err(error) = self.set_content_size(size) {
            self.waited(error, size..size.saturating_add(1)).await?;
        }
        Ok(())
    }

    /// After a write to `range` failed: waits for its first page if that is why.
    async fn waited(self: &Arc<Self>, error: Error, range: Range<u64>) -> Result {
        match error {
            Error::ShouldWait => self.fetch(range, true).await.map(drop),
            error => Err(error),
        }
    }
}
