//! Linux's io_uring: a door for programs that know it already (io_uring(7)).
//!
//! The one idea: a submission is checked and copied where it is taken, and what it wants is then done at once, or by one of the process's
//! [operations](crate::ring::Operations), which a chain of linked submissions shares. A completion always has a place: in the queue, or in
//! the list of those that the queue had none for.
//!
//! | | |
//! |---|---|
//! | [`layout`] | where things are in the memory that is shared with the guest |
//! | [`entry`], [`submission`], [`completion`] | what is in the queues, and their kernel's ends |
//! | [`request`] | a submission that was checked, and what becomes of it |
//! | [`submit`] | taking submissions, linking them, beginning them |
//! | [`gate`] | those that wait for all before them |
//! | [`op`] | the operations |
//! | [`registered`], [`buffers`] | files and buffers that are named by their places, and buffers that the kernel picks |
//! | [`register`], [`restrictions`] | what a ring is told once |

mod buffers;
mod completion;
mod entry;
mod gate;
mod layout;
mod op;
pub(crate) mod register;
mod registered;
mod request;
mod restrictions;
mod sqpoll;
mod submission;
mod submit;

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering},
};

use hal::time::timeout_at;
use kernel_objects::{Vmo, WaitQueue, task::BlockedReason};
use linux_raw_sys::io_uring as raw;
use parking_lot::Mutex;

use self::{
    buffers::Groups,
    completion::Completions,
    entry::Cqe,
    gate::Gate,
    layout::{Geometry, Shared},
    op::poll::AdjustableSet,
    registered::{Buffers, Files},
    restrictions::Restrictions,
    sqpoll::Poller,
    submission::Submissions,
    submit::Intake,
};
pub(crate) use self::{
    layout::Params,
    submit::{PIECE, Taken},
};
use crate::{
    errno::{Errno, SysResult},
    process::PidNamespace,
    process::{Process, Resource, Thread},
    ring::Operations,
    vfs::{File, PollEvents, Seeking},
};

/// The flags of io_uring_setup(2) that are there.
const SETUP: u32 = raw::IORING_SETUP_SQPOLL
    | raw::IORING_SETUP_CQSIZE
    | raw::IORING_SETUP_CLAMP
    | raw::IORING_SETUP_R_DISABLED
    | raw::IORING_SETUP_SUBMIT_ALL
    | raw::IORING_SETUP_COOP_TASKRUN
    | raw::IORING_SETUP_TASKRUN_FLAG
    | raw::IORING_SETUP_SQE128
    | raw::IORING_SETUP_CQE32
    | raw::IORING_SETUP_SINGLE_ISSUER
    | raw::IORING_SETUP_DEFER_TASKRUN
    | raw::IORING_SETUP_NO_SQARRAY;

/// The number of the next ring.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// What it tells of itself.
const FEATURES: u32 = raw::IORING_FEAT_SINGLE_MMAP
    | raw::IORING_FEAT_NODROP
    | raw::IORING_FEAT_SUBMIT_STABLE
    | raw::IORING_FEAT_RW_CUR_POS
    | raw::IORING_FEAT_CUR_PERSONALITY
    | raw::IORING_FEAT_FAST_POLL
    | raw::IORING_FEAT_POLL_32BITS
    | raw::IORING_FEAT_SQPOLL_NONFIXED
    | raw::IORING_FEAT_EXT_ARG
    | raw::IORING_FEAT_NATIVE_WORKERS
    | raw::IORING_FEAT_CQE_SKIP
    | raw::IORING_FEAT_LINKED_FILE
    | raw::IORING_FEAT_REG_REG_RING
    | raw::IORING_FEAT_RSRC_TAGS;

/// A ring, as an open file.
pub(crate) struct Uring {
    me: Weak<Self>,
    /// Who made it: its operations are that process's.
    process: Weak<Process>,
    /// What it is called in traces.
    number: u32,
    /// As io_uring_setup(2) got them.
    flags: u32,
    rings: Arc<Shared>,
    sqes: Arc<Shared>,
    geometry: Geometry,
    intake: Mutex<Intake>,
    completions: Completions,
    operations: Arc<Operations>,
    gate: Arc<Gate>,
    /// The only thread that may submit, with `IORING_SETUP_SINGLE_ISSUER`; 0 until it is known.
    issuer: AtomicI32,
    /// Whether submissions are taken.
    enabled: AtomicBool,
    files: Mutex<Files>,
    buffers: Mutex<Buffers>,
    groups: Mutex<Groups>,
    restrictions: Mutex<Restrictions>,
    adjustable: AdjustableSet,
    /// How many workers there may be that are bounded, and that are not. There are none ever: all waiting is done by futures.
    workers: Mutex<[u32; 2]>,
    /// What takes submissions by itself, if something does.
    poller: Option<Poller>,
}

fn check_flags(flags: u32) -> SysResult<()> {
    let has = |bits: u32| flags & bits != 0;
    let defers = has(raw::IORING_SETUP_DEFER_TASKRUN);
    let tells = has(raw::IORING_SETUP_TASKRUN_FLAG);
    let interrupts = raw::IORING_SETUP_COOP_TASKRUN
        | raw::IORING_SETUP_TASKRUN_FLAG
        | raw::IORING_SETUP_DEFER_TASKRUN;
    if flags & !SETUP != 0
        || has(raw::IORING_SETUP_SQPOLL) && has(interrupts)
        || defers && !has(raw::IORING_SETUP_SINGLE_ISSUER)
        || tells && !defers && !has(raw::IORING_SETUP_COOP_TASKRUN)
    {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

impl Uring {
    /// A ring of `thread`'s process as `params` say, which then tell what it is like. `EINVAL`, `ENOMEM`.
    pub(crate) fn create(
        thread: &Thread,
        entries: u32,
        params: &mut Params,
    ) -> SysResult<Arc<Self>> {
        if params.reserved != [0; 3] {
            return Err(Errno::EINVAL);
        }
        check_flags(params.flags)?;
        let geometry = Geometry::new(entries, params)?;
        let memory = &thread.process.kernel.memory;
        let rings = Arc::new(Shared::new(memory, geometry.rings_len())?);
        let sqes = Arc::new(Shared::new(memory, geometry.sqes_len())?);
        geometry.fill_in(&rings);
        geometry.describe(params);
        params.features = FEATURES;
        let processes = thread.process.limit(Resource::Processes);
        let bounded = geometry.sq_entries.min(4 * thread.process.kernel.cpus.count() as u32);
        let workers = [bounded, u32::try_from(processes).unwrap_or(u32::MAX)];
        let disabled = params.flags & raw::IORING_SETUP_R_DISABLED != 0;
        let submissions = Submissions::new(Arc::clone(&rings), Arc::clone(&sqes), geometry);
        let completions = Completions::new(Arc::clone(&rings), geometry, memory.no_charge());
        let ring = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            process: Arc::downgrade(&thread.process),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            flags: params.flags,
            rings,
            sqes,
            geometry,
            intake: Mutex::new(Intake::new(submissions)),
            completions,
            operations: thread.process.operations.create(),
            gate: Arc::default(),
            issuer: AtomicI32::new(if disabled { 0 } else { thread.tid }),
            enabled: AtomicBool::new(!disabled),
            files: Mutex::default(),
            buffers: Mutex::default(),
            groups: Mutex::default(),
            restrictions: Mutex::default(),
            adjustable: AdjustableSet::default(),
            workers: Mutex::new(workers),
            poller: (params.flags & raw::IORING_SETUP_SQPOLL != 0).then(Poller::default),
        });
        if ring.poller.is_some() {
            ring.poll_on(thread, params.sq_thread_idle)?;
        }
        Ok(ring)
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Whether `thread` may submit. `EPERM` in another process, `EEXIST` when another thread is the only one that may.
    fn check_issuer(&self, thread: &Thread) -> SysResult<()> {
        if !std::ptr::eq(self.process.as_ptr(), &*thread.process) {
            return Err(Errno::EPERM);
        }
        if self.has(raw::IORING_SETUP_SINGLE_ISSUER)
            && self.issuer.load(Ordering::Acquire) != thread.tid
        {
            return Err(Errno::EEXIST);
        }
        Ok(())
    }

    /// Whether submissions are taken.
    fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Acquire)
    }

    /// Has submissions taken from now on; if one thread only may submit, it is `thread`. `EBADFD` if they are taken already.
    fn enable(&self, thread: &Thread) -> SysResult<()> {
        if self.is_enabled() {
            return Err(Errno::EBADFD);
        }
        self.issuer.store(thread.tid, Ordering::Release);
        self.enabled.store(true, Ordering::Release);
        if let Some(poller) = &self.poller {
            poller.ring();
        }
        Ok(())
    }

    /// Changes how many workers there may be, where that is not 0; how many that were before.
    fn limit_workers(&self, wanted: [u32; 2]) -> [u32; 2] {
        let mut workers = self.workers.lock();
        let old = *workers;
        for (now, wanted) in workers.iter_mut().zip(wanted) {
            if wanted != 0 {
                *now = wanted;
            }
        }
        old
    }

    /// io_uring_enter(2), without waiting: takes up to `count` submissions, a piece at a time. One with a poller says that it takes all.
    /// `EBADFD` while the ring is disabled.
    pub(crate) fn enter(&self, thread: &Thread, count: u32, flags: u32) -> SysResult<Taken> {
        if !self.is_enabled() {
            return Err(Errno::EBADFD);
        }
        if let Some(poller) = &self.poller {
            if flags & raw::IORING_ENTER_SQ_WAKEUP != 0 {
                poller.ring();
            }
            return Ok(Taken { count, ended: true });
        }
        if count == 0 {
            return Ok(Taken { count, ended: true });
        }
        self.check_issuer(thread)?;
        Ok(self.take_submissions(thread, count))
    }

    /// Waits until there are `wanted` completions, or a time is up, or it is `until` on the monotonic clock. `ETIME`, `EINTR`, unless there
    /// is a completion.
    pub(crate) async fn wait(
        &self,
        thread: &Thread,
        wanted: u32,
        until: Option<u64>,
    ) -> SysResult<()> {
        let wanted = wanted.min(self.geometry.cq_entries);
        let at_first = self.completions.flush();
        if at_first.ready >= wanted {
            return Ok(());
        }
        loop {
            let mut more = self.completions.queue.wait();
            more.arm();
            let now = self.completions.flush();
            if now.ready >= wanted || now.timeouts != at_first.timeouts {
                return Ok(());
            }
            let waited = timeout_at(until.unwrap_or(u64::MAX), more);
            let error = match thread.object.interruptible(BlockedReason::WaitMany, waited).await {
                Ok(Ok(_)) => continue,
                Ok(Err(_)) => Errno::ETIME,
                Err(_) => Errno::EINTR,
            };
            return if self.completions.flush().ready > 0 { Ok(()) } else { Err(error) };
        }
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        // It may be one of them that had it last.
        self.operations.end_soon();
    }
}

impl File for Uring {
    fn poll(&self) -> PollEvents {
        let mut events = PollEvents::empty();
        events.set(PollEvents::READABLE, self.completions.available() > 0);
        // Somebody who is taking submissions, who may be the caller, makes room.
        let intake = self.intake.try_lock();
        let room = intake.is_none_or(|intake| intake.pending() < self.geometry.sq_entries);
        events.set(PollEvents::WRITABLE, room);
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.completions.queue)
    }

    fn shown(&self, offset: u64) -> SysResult<(Arc<Vmo>, u64)> {
        const RINGS: [u64; 2] = [raw::IORING_OFF_SQ_RING as u64, raw::IORING_OFF_CQ_RING as u64];
        const BUFFERS: u64 = raw::IORING_OFF_PBUF_RING as u64;
        const SQES: u64 = raw::IORING_OFF_SQES as u64;
        let part = match offset & u64::from(raw::IORING_OFF_MMAP_MASK) {
            of if RINGS.contains(&of) => Arc::clone(&self.rings),
            SQES => Arc::clone(&self.sqes),
            BUFFERS => {
                let group = (offset & !BUFFERS) >> raw::IORING_OFF_PBUF_SHIFT;
                let groups = self.groups.lock();
                let shared = u16::try_from(group).ok().and_then(|group| groups.shared(group));
                Arc::clone(shared.ok_or(Errno::ENOMEM)?)
            }
            // As Linux finds no room for what is not there.
            _ => return Err(Errno::ENOMEM),
        };
        Ok((Arc::clone(part.vmo()), 0))
    }

    fn seeking(&self) -> Seeking {
        Seeking::Never
    }

    fn link_text(&self) -> Vec<u8> {
        b"anon_inode:[io_uring]".to_vec()
    }

    fn fdinfo(&self, _: &PidNamespace) -> String {
        format!("on-their-way: {}\n", self.operations.count())
    }
}
