//! The ring of this kernel's own: a region of evering's that a guest fills with system calls.
//!
//! The one idea: the kernel takes no more submissions than there is room for their completions, so a completion never waits
//! and nothing is kept for a guest that does not look. Submissions are taken a batch at a time, by whoever calls
//! [`enter`](Evering::enter) or by the ring's own [poller](Evering::poll_on); what is done at once is answered as a batch, too.
//!
//! All that is in the region a guest can write at any time. Entries are copied before they are looked at, indices are evering's to
//! check, and a ring whose indices are impossible is over: it takes nothing more, and its operations end.

mod perform;

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use evering::{
    peer::{Link, Peer},
    region::{Keeper, Options, Region, RegionError},
    spsc::{Receiver, Sender},
    wake::{How, SharedBell},
};
use hal::{sync::BiasedMutex, time::timeout_at};
use kernel_objects::{Vmo, WaitQueue, task::BlockedReason};
use libos_guest::abi::{self, Completion, Setup, Submission, call, flags, setup};
use smallvec::SmallVec;

use self::perform::{perform, perform_in_chain, refuses};
use super::{
    Operations,
    operations::End,
    pick::Groups,
    reads::{Begun, Collector, Reads},
    registered::Registered,
};
use crate::{
    errno::{Errno, SysResult},
    process::PidNamespace,
    process::{Process, Thread},
    syscall::table,
    trace,
    vfs::{File, PollEvents, Seeking},
};

/// How many submissions are taken at once.
const BATCH: usize = 64;
/// An average is kept times this: a new figure counts for one part of so many.
const SCALE: u32 = 8;
/// From so many submissions at a time on a poller does not pay: to fetch each from another CPU's cache costs more than the guest's trap.
const MANY: u32 = 8;
/// How long a poller looks at an idle ring unless it is told otherwise, ns.
const IDLE: u64 = 50_000;

/// The number of the next ring.
static NEXT: AtomicU32 = AtomicU32::new(0);

type Ends = Peer<Completion, Submission>;

/// A ring, as an open file.
pub(crate) struct Evering {
    me: Weak<Self>,
    /// What it is called in traces.
    number: u32,
    /// Who made it: its calls are that process's.
    process: Weak<Process>,
    vmo: Arc<Vmo>,
    requests: BiasedMutex<Requests>,
    answers: BiasedMutex<Answers>,
    operations: Arc<Operations>,
    /// The reads that need no operation to wait.
    reads: Arc<Reads<Self>>,
    /// Notified when a completion was sent, and when the ring is over.
    completed: Arc<WaitQueue>,
    /// What the guest answers when it has something: we are not looking.
    bell: SharedBell<Keeper>,
    /// A poller looks at it.
    polled: AtomicBool,
    /// How many submissions are taken at a time, on the average, times [`SCALE`]. Written by whoever takes them.
    usual: AtomicU32,
    /// How long a poller looks at it while it is idle, ns; `None` when there is to be none.
    idle: Option<u64>,
    _link: Link,
}

/// What the guest sends.
struct Requests {
    receiver: Receiver<Submission, Keeper>,
    /// Where a batch is copied to, out of the guest's reach.
    batch: Box<[Submission; BATCH]>,
    pending: Pending,
    /// Places for completions that are [claimed](Evering::reserve) and not used yet: kept, since to claim some takes the other lock.
    places: usize,
}

/// What has been taken and waits for the next submission.
#[derive(Default)]
struct Pending {
    /// Submissions that are linked to the next one.
    chain: Vec<(Submission, Option<trace::Operation>)>,
    /// What the next one has to be done by.
    deadline: Option<u64>,
}

/// What came of a look at the submissions.
#[derive(Default)]
struct Taken {
    /// How many have been taken.
    count: usize,
    /// How many completions there were when the last of them were answered, if any were at once.
    there: Option<usize>,
}

/// What is sent to the guest.
struct Answers {
    sender: Sender<Completion, Keeper>,
    /// How many places are claimed, for completions that are to come.
    owed: usize,
    groups: Groups,
    registered: Registered,
    over: bool,
}

impl Answers {
    /// For how many more completions there is room, if not for `wanted` then by a look at the guest's index. `None` if that is
    /// impossible.
    fn room(&mut self, wanted: usize) -> Option<usize> {
        let capacity = self.sender.capacity();
        let known = capacity.saturating_sub(self.sender.len().saturating_add(self.owed));
        if known >= wanted {
            return Some(known);
        }
        let unreceived = self.sender.unreceived().ok()?;
        Some(capacity.saturating_sub(unreceived.saturating_add(self.owed)))
    }
}

impl From<RegionError> for Errno {
    fn from(error: RegionError) -> Self {
        match error {
            RegionError::Layout(_) | RegionError::Geometry => Self::EINVAL,
            _ => Self::ENOMEM,
        }
    }
}

fn options(setup: &Setup) -> SysResult<Options> {
    let good = |entries: u32| entries.is_power_of_two() && entries <= abi::MAX_ENTRIES;
    if setup.flags & !setup::POLLED != 0
        || !good(setup.submissions)
        || !good(setup.completions)
        || setup.arena > abi::MAX_ARENA
    {
        return Err(Errno::EINVAL);
    }
    let capacities = (setup.completions, setup.submissions);
    Ok(Options::new().capacities(capacities.0, capacities.1).arenas(0, setup.arena).away(1))
}

/// The result as a completion has it.
fn encode(result: SysResult<u64>) -> i64 {
    match result {
        // Addresses and sizes are far below that.
        Ok(value) => value.cast_signed(),
        Err(error) => error.to_register().cast_signed(),
    }
}

/// What [`encode`] was given.
fn decode(result: i64) -> SysResult<u64> {
    u64::try_from(result).map_err(|_| Errno::from_raw(result.unsigned_abs() as i32))
}

/// The record of a submission in the trace.
#[cold]
fn record_of(thread: &Thread, submission: &Submission) -> Option<trace::Operation> {
    let name = || match submission.call {
        call::NOP => "nop",
        call::CANCEL => "cancel",
        call::DEADLINE => "deadline",
        call::TIMER => "timer",
        call::PROVIDE => "provide",
        call::REGISTER => "register",
        number => table::entry(number.into()).map_or("unknown", |entry| entry.name),
    };
    trace::submitted(&thread.process, trace::Door::Evering, name)
}

/// The point in time that a submission's first two arguments name.
fn deadline([nanoseconds, absolute, ..]: [u64; 6]) -> u64 {
    match absolute {
        0 => hal::time::monotonic().saturating_add(nanoseconds),
        _ => nanoseconds,
    }
}

impl Evering {
    /// A ring of `thread`'s process as `setup` says, in which it puts how large the region is. `EINVAL`, `ENOMEM`.
    pub(crate) fn create(thread: &Thread, setup: &mut Setup) -> SysResult<Arc<Self>> {
        let options = options(setup)?;
        let size = Region::<Completion, Submission>::size(&options)?;
        let vmo = Vmo::create_contiguous(&thread.process.kernel.memory, size as u64, 0);
        let vmo = vmo.map_err(|_| Errno::ENOMEM)?;
        let extent = vmo.extent().ok_or(Errno::ENOMEM)?;
        let region: Region<Completion, Submission> =
            hal::ring::region(Arc::clone(extent), &options)?;
        let Ends { sender, receiver, link, arena: _ } = region.first()?;
        setup.region = size as u64;
        let polled = setup.flags & setup::POLLED != 0;
        let idle = match setup.idle {
            0 => IDLE,
            microseconds => u64::from(microseconds) * 1000,
        };
        let completed = Arc::new(WaitQueue::new());
        let ring = Arc::new_cyclic(|me: &Weak<Self>| Self {
            me: me.clone(),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            process: Arc::downgrade(&thread.process),
            vmo,
            requests: BiasedMutex::new(Requests {
                receiver,
                batch: Box::new([Submission::default(); BATCH]),
                pending: Pending::default(),
                places: 0,
            }),
            answers: BiasedMutex::new(Answers {
                sender,
                owed: 0,
                groups: Groups::default(),
                registered: Registered::default(),
                over: false,
            }),
            operations: thread.process.operations.create(),
            reads: Reads::new(thread, Arc::clone(&completed), me.clone()),
            completed,
            bell: link.own_bell(),
            polled: AtomicBool::new(false),
            usual: AtomicU32::new(0),
            idle: polled.then_some(idle),
            _link: link,
        });
        thread.process.operations.add(&(Arc::clone(&ring.reads) as _));
        ring.bell.arm(How::Futex);
        Ok(ring)
    }

    /// Takes what there is to take: how many completions there are then. `EPERM` for another process than the ring's, `EIO`.
    pub(crate) fn enter(&self, thread: &Thread) -> SysResult<usize> {
        if !std::ptr::eq(self.process.as_ptr(), &*thread.process) {
            return Err(Errno::EPERM);
        }
        let there = self.kick(thread)?;
        match there {
            Some(there) if !self.collect() => Ok(there),
            _ => self.unreceived(),
        }
    }

    /// As [`enter`](Self::enter), which has been tried just now, and waits until there are `wanted` completions or it is `until` on the
    /// monotonic clock. `ETIME`, `EINTR`.
    pub(crate) async fn wait(
        &self,
        thread: &Thread,
        wanted: usize,
        until: Option<u64>,
    ) -> SysResult<usize> {
        loop {
            let mut completed = self.completed.wait();
            completed.arm();
            let mut waited = Ok(Ok(()));
            // Nobody is told of what came before.
            if !self.has_news(wanted)? {
                let wait = timeout_at(until.unwrap_or(u64::MAX), completed);
                waited = thread.object.interruptible(BlockedReason::WaitMany, wait).await;
            }
            // However it ended: it may have been told of reads, which nobody else makes then.
            self.collect();
            waited.map_err(|_| Errno::EINTR)?.map_err(|_| Errno::ETIME)?;
            let there = self.unreceived()?;
            if there >= wanted {
                return Ok(there);
            }
            // There was no room for all, perhaps, and now there is.
            let _ = self.kick(thread)?;
        }
    }

    /// Whether a thread that waits for `wanted` completions has something to do.
    fn has_news(&self, wanted: usize) -> SysResult<bool> {
        Ok(self.reads.are_ready() || self.unreceived()? >= wanted)
    }

    /// Makes the reads whose turn has come. Whether one is done.
    fn collect(&self) -> bool {
        let mut completions: SmallVec<[Completion; 8]> = SmallVec::new();
        self.reads.collect(|(id, record), result| {
            let result = result.map(|len| len as u64);
            completions.push(Completion { id, result: encode(result) });
            if let Some(record) = record {
                record.completed(result);
            }
        });
        if completions.is_empty() {
            return false;
        }
        // If they cannot be sent the ring is over, which everybody else finds out.
        let _ = self.answer(&completions);
        true
    }

    /// Takes what there is, and sees to it that somebody learns of what comes next: a poller where a CPU has nothing else to do, or
    /// the guest, by the bell. How many completions there were when the last were sent, if any were.
    fn kick(&self, thread: &Thread) -> SysResult<Option<usize>> {
        let mut there = None;
        loop {
            // Not both: a poller takes the lock again and again, and would let nobody else have it.
            if self.polled.load(Ordering::Acquire) {
                return Ok(there);
            }
            let mut requests = self.requests.lock();
            let is_armed = self.bell.is_armed();
            let taken = self.take_all(thread, &mut requests)?;
            there = taken.there.or(there);
            if let Some(idle) = self.idle
                && !self.takes_many()
                && hal::cpu::has_spare()
                && !self.polled.swap(true, Ordering::AcqRel)
            {
                drop(requests);
                self.poll_on(thread.stand_in()?, idle);
                return Ok(there);
            }
            if is_armed {
                // What came after that look was rung for, or is going to be.
                return Ok(there);
            }
            self.bell.arm(How::Futex);
            // It came before the bell was up: nobody will ring for it.
            if !self.may_take(&mut requests)? {
                return Ok(there);
            }
        }
    }

    /// Takes submissions until there are none, or no room for more completions. `EIO` when the ring is over.
    fn take_all(&self, thread: &Thread, requests: &mut Requests) -> SysResult<Taken> {
        let Requests { receiver, batch, pending, places } = requests;
        let mut taken = Taken::default();
        loop {
            match receiver.pending() {
                Ok(0) => {
                    self.took(taken.count);
                    return Ok(taken);
                }
                Ok(_) => {}
                Err(_) => return Err(self.break_off()),
            }
            if *places == 0 || self.operations.is_over() {
                *places = self.reserve()?;
            }
            let room = *places;
            let some = batch.get_mut(..room).unwrap_or_default();
            let count = receiver.recv_batch(some).unwrap_or_default();
            let mut answers: SmallVec<[Completion; BATCH]> = SmallVec::new();
            let traced = thread.process.kernel.trace.is_some();
            for submission in some.iter().take(count) {
                let mut record = if traced { record_of(thread, submission) } else { None };
                if let Some(result) = self.begin(pending, thread, submission, &mut record) {
                    answers.push(Completion { id: submission.id, result });
                    // Moved only if there is one: to read as a whole what was written in part takes longer than all the rest.
                    if traced && let Some(record) = record {
                        record.completed(decode(result));
                    }
                }
            }
            *places = room - count;
            if !answers.is_empty() {
                taken.there = Some(self.answer(&answers)?);
            }
            taken.count = taken.count.saturating_add(count);
            if traced {
                let (process, door) = (&thread.process, trace::Door::Evering);
                let done = self.unreceived()?;
                trace::depth(process, door, self.number, self.on_their_way(), done);
            }
            if room == 0 {
                if !pending.chain.is_empty() && self.on_their_way() == 0 {
                    // A chain that takes all the room: nobody else can make some.
                    self.begin_chain(pending, thread);
                }
                return Ok(taken);
            }
        }
    }

    /// How many calls have begun and are not done.
    fn on_their_way(&self) -> usize {
        self.operations.count() + self.reads.count()
    }

    /// Ends what is on its way.
    fn end_soon(&self) {
        self.operations.end_soon();
        self.reads.end();
    }

    fn took(&self, count: usize) {
        if count > 0 && self.idle.is_some() {
            let usual = self.usual.load(Ordering::Relaxed);
            let count = u32::try_from(count).unwrap_or(u32::MAX).min(abi::MAX_ENTRIES);
            self.usual.store(usual - usual / SCALE + count, Ordering::Relaxed);
        }
    }

    /// Whether so many submissions come at a time that no poller is of use.
    fn takes_many(&self) -> bool {
        self.usual.load(Ordering::Relaxed) / SCALE >= MANY
    }

    /// Whether there is something to take, and room for it.
    fn may_take(&self, requests: &mut Requests) -> SysResult<bool> {
        match requests.receiver.pending() {
            Ok(0) => Ok(false),
            Ok(_) if requests.places > 0 => Ok(true),
            Ok(_) => {
                let room = self.answers.lock().room(1);
                room.map(|room| room > 0).ok_or_else(|| self.break_off())
            }
            Err(_) => Err(self.break_off()),
        }
    }

    /// Claims places for the completions of a batch: how many.
    fn reserve(&self) -> SysResult<usize> {
        let mut answers = self.answers.lock();
        let room = answers.room(BATCH);
        let room = room.filter(|_| !answers.over && !self.operations.is_over());
        let Some(room) = room else {
            drop(answers);
            return Err(self.break_off());
        };
        let room = room.min(BATCH);
        answers.owed += room;
        Ok(room)
    }

    /// Sends completions, of which there are some and each has a place: how many there are then.
    fn answer(&self, completions: &[Completion]) -> SysResult<usize> {
        let mut answers = self.answers.lock();
        if answers.over {
            return Err(Errno::EIO);
        }
        answers.owed = answers.owed.saturating_sub(completions.len());
        // There is a place for each, unless the guest has moved its index backwards.
        let sent = answers.sender.send_batch(completions);
        let there = answers.sender.unreceived();
        drop(answers);
        match there {
            Ok(there) if sent == Ok(completions.len()) => {
                self.completed.notify_all_for(PollEvents::READABLE.bits());
                Ok(there)
            }
            _ => Err(self.break_off()),
        }
    }

    /// Sends the completion of something that was on its way.
    fn complete(&self, id: u64, result: SysResult<u64>) {
        // If it cannot be sent the ring is over, which everybody else finds out.
        let _ = self.answer(&[Completion { id, result: encode(result) }]);
    }

    /// How many completions there are to receive.
    fn unreceived(&self) -> SysResult<usize> {
        let mut answers = self.answers.lock();
        if answers.over {
            return Err(Errno::EIO);
        }
        let unreceived = answers.sender.unreceived();
        drop(answers);
        unreceived.map_err(|_| self.break_off())
    }

    /// The guest has made the ring useless.
    fn break_off(&self) -> Errno {
        self.answers.lock().over = true;
        self.end_soon();
        self.completed.notify_all();
        Errno::EIO
    }

    /// Begins a submission: its result, unless that comes later.
    fn begin(
        &self,
        pending: &mut Pending,
        thread: &Thread,
        submission: &Submission,
        record: &mut Option<trace::Operation>,
    ) -> Option<i64> {
        let linked = submission.flags & flags::LINK != 0;
        if linked || !pending.chain.is_empty() {
            pending.chain.push((*submission, record.take()));
            if !linked {
                self.begin_chain(pending, thread);
            }
            return None;
        }
        if submission.call == call::DEADLINE {
            pending.deadline = Some(deadline(submission.arguments));
            return Some(0);
        }
        // Not taken unless there is one: what was just written in part would be read as a whole, for which the processor waits.
        let until = match pending.deadline {
            None => None,
            Some(_) => pending.deadline.take(),
        };
        if submission.call == call::NOP && submission.flags == 0 {
            return Some(0);
        }
        let plain;
        let submission = if submission.flags & flags::FIXED == 0 {
            submission
        } else {
            match self.resolve(submission) {
                Ok(resolved) => plain = resolved,
                Err(error) => return Some(encode(Err(error))),
            }
            &plain
        };
        if let Some(result) = self.at_once(thread, submission) {
            return Some(encode(result));
        }
        if until.is_none() {
            match self.reads.begin(thread, submission, record) {
                Begun::Waits => return None,
                Begun::Done(result) => return Some(encode(result.map(|len| len as u64))),
                Begun::Unsuited => {}
            }
        }
        let (ring, submission, record) = (self.me.clone(), *submission, record.take());
        let begun = self.operations.begin(submission.id, thread, |operation| async move {
            let result = perform(&ring, &operation, &submission, until).await;
            drop(operation);
            record.into_iter().for_each(|record| record.completed(result));
            if let Some(ring) = ring.upgrade() {
                ring.complete(submission.id, result);
            }
        });
        begun.err().map(|error| encode(Err(error)))
    }

    /// What a submission with a place in a registered buffer means. `EINVAL`, `EFAULT`.
    fn resolve(&self, submission: &Submission) -> SysResult<Submission> {
        self.answers.lock().registered.resolve(submission)
    }

    /// The result of a submission that needs no waiting.
    fn at_once(&self, thread: &Thread, submission: &Submission) -> Option<SysResult<u64>> {
        let Submission { call, flags, group, arguments, .. } = *submission;
        if flags & !flags::ALL != 0 {
            return Some(Err(Errno::EINVAL));
        }
        match call {
            call::NOP => Some(Ok(0)),
            call::CANCEL => Some(self.cancel(arguments[0]).map(|()| 0)),
            call::PROVIDE => {
                let [address, size, count, first, ..] = arguments;
                let lent = [address, size, count, first];
                let good = self.answers.lock().groups.provide(group, lent);
                Some(if good { Ok(0) } else { Err(Errno::EINVAL) })
            }
            call::TIMER | call::REGISTER => None,
            call::DEADLINE => Some(Err(Errno::EINVAL)),
            _ if flags & flags::PICK != 0 => None,
            number if refuses(number.into()) => Some(Err(Errno::EOPNOTSUPP)),
            number => table::dispatch_now(thread, number.into(), &arguments),
        }
    }

    /// Has the submission `id` end early, which is on its way. `ENOENT`
    fn cancel(&self, id: u64) -> SysResult<()> {
        let Some((id, record)) = self.reads.cancel(id) else { return self.operations.cancel(id) };
        let result = Err(Errno::ECANCELED);
        self.complete(id, result);
        if let Some(record) = record {
            record.completed(result);
        }
        Ok(())
    }

    /// Begins the chain that has been gathered.
    fn begin_chain(&self, pending: &mut Pending, thread: &Thread) {
        let (chain, until) = (std::mem::take(&mut pending.chain), pending.deadline.take());
        let ids: Vec<u64> = chain.iter().map(|(submission, _)| submission.id).collect();
        let first = ids.first().copied().unwrap_or_default();
        let ring = self.me.clone();
        let begun = self.operations.begin(first, thread, |operation| async move {
            let mut goes_on = true;
            for (submission, record) in chain {
                operation.rename(submission.id);
                let result = if goes_on {
                    perform_in_chain(&ring, &operation, &submission, until).await
                } else {
                    Err(Errno::ECANCELED)
                };
                goes_on &= result.is_ok() || submission.flags & flags::ANYWAY != 0;
                record.into_iter().for_each(|record| record.completed(result));
                let Some(ring) = ring.upgrade() else { return };
                ring.complete(submission.id, result);
            }
        });
        if let Err(error) = begun {
            for id in ids {
                self.complete(id, Err(error));
            }
        }
    }

    /// Has a task look for submissions, in the name of `stand_in`: as long as there are some and for `idle` ns more, and only while nobody
    /// else wants its CPU. Then the bell is up.
    fn poll_on(&self, stand_in: Arc<Thread>, idle: u64) {
        let ring = self.me.clone();
        hal::cpu::spawn_spread(async move {
            let mut since = hal::time::monotonic();
            while let Some(ring) = ring.upgrade() {
                let taken = ring.take_all(&stand_in, &mut ring.requests.lock());
                match taken {
                    Err(_) => return,
                    Ok(Taken { count: 1.., .. }) => since = hal::time::monotonic(),
                    Ok(_) => std::hint::spin_loop(),
                }
                let gives_way = hal::cpu::runnable() || ring.takes_many();
                if !gives_way && hal::time::monotonic().saturating_sub(since) <= idle {
                    if hal::cpu::need_resched() {
                        drop(ring);
                        hal::cpu::yield_now().await;
                    }
                    continue;
                }
                ring.polled.store(false, Ordering::Release);
                ring.bell.arm(How::Futex);
                // What came before the bell was up nobody rings for.
                let missed = ring.may_take(&mut ring.requests.lock());
                if missed == Ok(false) || missed.is_ok() && ring.polled.swap(true, Ordering::AcqRel)
                {
                    return;
                }
                ring.bell.disarm();
                since = hal::time::monotonic();
                drop(ring);
                hal::cpu::yield_now().await;
            }
        })
        .detach();
    }
}

impl Drop for Evering {
    fn drop(&mut self) {
        self.end_soon();
    }
}

impl Collector for Evering {
    fn collect_soon(&self) {
        let Some(process) = self.process.upgrade() else { return };
        let ring = self.me.clone();
        let collect = async move {
            if let Some(ring) = ring.upgrade() {
                ring.collect();
            }
        };
        process.kernel.cpus.spawn(collect).detach();
    }
}

impl File for Evering {
    fn poll(&self) -> PollEvents {
        match self.unreceived() {
            Ok(0) => PollEvents::empty(),
            Ok(_) => PollEvents::READABLE,
            Err(_) => PollEvents::ERR,
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.completed)
    }

    fn vmo(&self) -> SysResult<Arc<Vmo>> {
        Ok(Arc::clone(&self.vmo))
    }

    fn seeking(&self) -> Seeking {
        Seeking::Never
    }

    fn link_text(&self) -> Vec<u8> {
        b"anon_inode:[evering]".to_vec()
    }

    fn fdinfo(&self, _: &PidNamespace) -> String {
        format!("on-their-way: {}\n", self.on_their_way())
    }
}
