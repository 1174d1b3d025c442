//! One virtual CPU: its run queue, its inbox and the loop that serves them.
//!
//! What belongs to the worker alone ([`Local`]) is reached through a thread-local pointer and has no
//! atomics; what others reach ([`Worker`]) is an inbox under a lock, with a flag beside it that the
//! loop can read for a nanosecond.

mod running;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

pub(super) use self::running::note_yield;
pub use self::running::{
    begin_stretch, current_cpu, end_stretch, has_spare, need_resched, next_deadline, queued_until,
    request_resched, runnable,
};
pub(crate) use self::running::{busy, current_timers, is_wanted, leaves_host_cpus};
use super::{
    habits::Habits,
    observer::{Observer, Unobserved},
    park::Parker,
    task::{Home, Runnable},
};
use crate::{
    context,
    seed::Chances,
    sync::{Presence, SoleWorker},
    time::{self, TimerQueue},
};

/// How many hand-overs in a row may bypass the queue while others wait in it.
const HANDOVERS: u32 = 32;
/// How often [`need_resched`] looks at the cycle counter: once in this many calls.
const RESCHED_CALLS: u32 = 64;
/// A task's turn, in cycles of the time stamp counter (2 to 4 ms): [`need_resched`] says yes after it.
const SLICE_CYCLES: u64 = 1 << 23;
/// How much longer than the queued tasks the urgent ones may have run, in cycles: they go first up to there.
const URGENT_CYCLES: u64 = SLICE_CYCLES;
/// How often due timers are looked for while tasks run, in cycles (10 to 30 µs).
const TIMER_CYCLES: u64 = 1 << 15;

/// For how long a task waits for the running one though a CPU is idle, in cycles (20 to 30 µs): what it takes to wake a CPU.
const HOLD_CYCLES: u64 = 60_000;

/// In place of a time: since shortly before the running task comes by the next time. Saves the ones who wake and wait a look at the counter.
const JUST_NOW: u64 = 1;

/// With a seed, how long it takes to begin a turn, in ns.
const TURN_NS: u64 = 1000;
/// With a seed, how long a guest has run that was taken off its CPU, in ns.
const PREEMPTED_NS: u64 = 1_000_000_000;

/// What all CPUs of a machine share.
#[derive(Debug)]
pub(super) struct Machine {
    workers: Box<[Worker]>,
    stealing: bool,
    closing: AtomicBool,
    /// How many workers sleep or are about to; lets a push skip the search for one.
    idle: Presence,
    /// Round robin of spawns.
    next: AtomicUsize,
}

/// What others reach of one CPU.
#[derive(Debug)]
struct Worker {
    inbox: Mutex<Inbox>,
    /// Whether the inbox has something; written under its lock.
    mail: AtomicBool,
    parker: Parker,
    timers: Arc<TimerQueue>,
}

#[derive(Debug, Default)]
struct Inbox {
    /// For this CPU.
    here: VecDeque<Runnable>,
    /// For this CPU unless another one is idle. Used when stealing is on.
    any: VecDeque<Runnable>,
}

/// What belongs to one worker's thread.
struct Local {
    machine: Arc<Machine>,
    cpu: usize,
    queue: RefCell<VecDeque<Runnable>>,
    /// The task that the running one woke last: runs next.
    handover: Cell<Option<Runnable>>,
    /// Tasks that a timer woke, and those spawned as urgent: run before `queue`.
    urgent: RefCell<VecDeque<Runnable>>,
    /// The running task spawned an urgent one: it goes on right after that, unless a preemption signal came.
    interlude: Cell<bool>,
    /// How much longer than the others urgent tasks have run while others waited, in cycles.
    ahead: Cell<u64>,
    /// How many tasks `queue`, `handover` and `urgent` have.
    ready: Cell<usize>,
    /// Calls of `need_resched` until it looks at the cycle counter.
    calls: Cell<u32>,
    /// When the running task was first seen running, in cycles; 0 when not yet.
    slice: Cell<u64>,
    /// Set by `request_resched`, from a signal handler of this thread.
    resched: AtomicBool,
    /// Whether a task runs: one that is woken by it may be handed over to.
    running: Cell<bool>,
    /// Which task that is.
    task: Cell<usize>,
    /// When it had called a task whose CPU slept, in cycles, until it is seen again; else 0.
    called: Cell<u64>,
    /// Since when `handover` is held though a CPU is idle, in cycles, in the hope that it need not be woken, or [`JUST_NOW`]; else 0.
    held: Cell<u64>,
    habits: Habits,
    /// The running task gave way: look at the timers before going on.
    yielded: Cell<bool>,
    /// When the last [`end_stretch`] was, in cycles, if no other task has run since; else 0.
    ended: Cell<u64>,
    /// That of the task before, for the one that is about to run.
    begun: Cell<u64>,
    /// When the running task was queued, in cycles, until somebody asks; 0 if that is not measured.
    queued: Cell<u64>,
    /// What decides about the order of tasks, with a seed.
    chances: Option<RefCell<Chances>>,
}

thread_local! {
    /// The worker's own part, while the thread is one.
    static LOCAL: Cell<*const Local> = const { Cell::new(ptr::null()) };
    /// The machine whose `block_on` this thread is in.
    static ENTERED: RefCell<Option<Arc<Machine>>> = const { RefCell::new(None) };
}

#[inline]
fn local<R>(f: impl FnOnce(Option<&Local>) -> R) -> R {
    let local = LOCAL.get();
    // SAFETY: the pointer is null or was set by `run` on this thread to its own frame's `Local`, and is reset
    // before that frame ends; the reference does not outlive the call of `f`.
    f(unsafe { local.as_ref() })
}

impl Worker {
    /// Wakes the CPU if it sleeps; says whether it did.
    fn wake(&self) -> bool {
        if !self.parker.is_asleep() {
            return false;
        }
        // Before it can have done its work and sleep again.
        time::begin_work();
        let woken = self.parker.wake();
        if !woken {
            time::take_back();
        }
        woken
    }
}

impl Machine {
    pub(super) fn new(cpus: usize, stealing: bool) -> Self {
        let worker = |_| Worker {
            inbox: Mutex::default(),
            mail: AtomicBool::new(false),
            parker: Parker::new(),
            timers: Arc::new(TimerQueue::new()),
        };
        Self {
            workers: (0..cpus).map(worker).collect(),
            stealing: stealing && cpus > 1,
            closing: AtomicBool::new(false),
            idle: Presence::new(),
            next: AtomicUsize::new(0),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.workers.len()
    }

    /// The CPU that this thread is of this machine.
    pub(super) fn here(&self) -> Option<usize> {
        local(|local| local.filter(|l| ptr::eq(&*l.machine, self)).map(|l| l.cpu))
    }

    pub(super) fn next_cpu(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.count()
    }

    /// An idle CPU, else the next in turn.
    pub(super) fn spread_cpu(&self) -> usize {
        let first = self.next_cpu();
        if self.idle.count() == 0 {
            return first;
        }
        let count = self.count();
        (first..first + count)
            .map(|cpu| cpu % count)
            .find(|&cpu| {
                let worker = &self.workers[cpu];
                worker.parker.is_asleep() && !worker.mail.load(Ordering::Relaxed)
            })
            .unwrap_or(first)
    }

    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        for worker in &self.workers {
            // Through the lock, so that a worker about to sleep sees `closing` or is seen asleep (see `park`).
            drop(worker.inbox.lock());
            worker.wake();
        }
    }

    /// The earliest deadline of its CPUs' timers.
    pub(super) fn earliest_deadline(&self) -> Option<u64> {
        self.workers.iter().filter_map(|worker| worker.timers.next()).min()
    }

    /// Has the CPUs that sleep until a deadline look at the clock.
    pub(super) fn wake_sleepers(&self) {
        for worker in self.workers.iter().filter(|worker| worker.timers.next().is_some()) {
            worker.wake();
        }
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Queues a task from another thread than its CPU's.
    fn post(&self, runnable: Runnable) {
        let (cpu, pinned) = (runnable.metadata().cpu(), runnable.metadata().pinned);
        let worker = &self.workers[cpu];
        let mut inbox = worker.inbox.lock();
        if self.is_closing() {
            // Its worker may be gone. Not dropped here, since whoever wakes may hold locks that the
            // future's drop wants.
            drop(inbox);
            super::run_on_pool(move || drop(runnable));
            return;
        }
        let stealable = self.stealing && !pinned;
        if stealable {
            inbox.any.push_back(runnable);
        } else {
            inbox.here.push_back(runnable);
        }
        worker.mail.store(true, Ordering::Relaxed);
        drop(inbox);
        if !worker.wake() && stealable {
            self.wake_idle();
        }
    }

    /// Wakes one CPU that sleeps, so that it steals.
    fn wake_idle(&self) {
        // A CPU counts itself idle before it looks through the inboxes under their locks, and the caller pushed
        // under such a lock before: either it sees the push or we see it counted.
        if self.idle.is_empty() {
            return;
        }
        for worker in &self.workers {
            if worker.wake() {
                return;
            }
        }
    }
}

/// Queues a task that has been woken.
pub(super) fn schedule(runnable: Runnable, while_running: bool) {
    local(|local| {
        let home = runnable.metadata();
        home.note_queued();
        match local {
            Some(l) if home.cpu() == l.cpu && ptr::eq(&*home.machine, &*l.machine) => {
                if while_running {
                    l.give_way(runnable);
                } else if l.running.get() {
                    let may_move = l.machine.stealing && !home.pinned;
                    l.hand_over(runnable);
                    if may_move && l.held.get() == 0 && !l.machine.idle.is_empty() {
                        l.held.set(JUST_NOW);
                    }
                } else {
                    // Between two tasks only timers wake.
                    l.wake_urgent(runnable);
                }
            }
            Some(l) if !while_running && l.finds_asleep(home) => l.call(runnable),
            _ => {
                // The task may run, end and be freed as soon as it is posted.
                let machine = home.machine.clone();
                machine.post(runnable);
            }
        }
    })
}

/// Queues a new task: behind the others, as a new thread does not overtake.
pub(super) fn start_task(runnable: Runnable) {
    local(|local| {
        let home = runnable.metadata();
        match local {
            Some(l) if home.cpu() == l.cpu && ptr::eq(&*home.machine, &*l.machine) => {
                home.note_queued();
                l.push(runnable);
            }
            _ => schedule(runnable, false),
        }
    })
}

/// Queues a new task before the others, and has the running one give way to it.
pub(super) fn start_urgent(runnable: Runnable) {
    local(|local| {
        let home = runnable.metadata();
        match local {
            Some(l) if home.cpu() == l.cpu && ptr::eq(&*home.machine, &*l.machine) => {
                l.push_urgent(runnable);
                l.interlude.set(true);
                l.resched.store(true, Ordering::Relaxed);
            }
            _ => schedule(runnable, false),
        }
    })
}

impl Local {
    fn worker(&self) -> &Worker {
        &self.machine.workers[self.cpu]
    }

    /// Queues a task behind the others, while this CPU goes on with something else.
    fn push(&self, runnable: Runnable) {
        if self.machine.stealing && !runnable.metadata().pinned {
            self.offer(runnable);
            self.machine.wake_idle();
        } else {
            self.queue.borrow_mut().push_back(runnable);
            self.ready.set(self.ready.get() + 1);
        }
    }

    /// Queues the task that ran last behind the others. An idle CPU is called only when there are others: a task alone
    /// is better off here.
    fn give_way(&self, runnable: Runnable) {
        if self.interlude.get() && !context::need_resched() {
            self.queue.borrow_mut().push_front(runnable);
            self.ready.set(self.ready.get() + 1);
        } else if self.machine.stealing && !runnable.metadata().pinned && self.others_wait() {
            self.offer(runnable);
            self.machine.wake_idle();
        } else {
            self.queue.borrow_mut().push_back(runnable);
            self.ready.set(self.ready.get() + 1);
        }
    }

    /// Puts a task where thieves can reach it.
    fn offer(&self, runnable: Runnable) {
        let worker = self.worker();
        let mut inbox = worker.inbox.lock();
        inbox.any.push_back(runnable);
        worker.mail.store(true, Ordering::Relaxed);
    }

    fn others_wait(&self) -> bool {
        self.ready.get() > 0 || self.worker().mail.load(Ordering::Relaxed)
    }

    /// Whether a task that the running one has woken could be run here as well as where it lives, since that CPU sleeps.
    fn finds_asleep(&self, home: &Home) -> bool {
        self.machine.stealing
            && !home.pinned
            && self.running.get()
            && ptr::eq(&*home.machine, &*self.machine)
            && self.machine.workers[home.cpu()].parker.is_asleep()
    }

    /// Queues a task whose CPU sleeps: there, or at first here, if the running task is going to be seen again before that CPU were awake.
    fn call(&self, runnable: Runnable) {
        if !self.others_wait() && self.habits.returns_soon(self.task.get()) {
            self.held.set(time::cycles());
            self.hand_over(runnable);
        } else {
            self.machine.post(runnable);
        }
        // The host may have run the other CPU's thread in place of this one meanwhile.
        self.called.set(time::cycles());
    }

    /// The running task is seen again, or has ended its turn, at `now`: the first time since it called another.
    fn note_return(&self, now: u64) {
        self.habits.note(self.task.get(), now.wrapping_sub(self.called.take()));
    }

    /// The running task comes by after it has called another.
    #[cold]
    fn look_after_called(&self) {
        let now = time::cycles();
        if self.called.get() != 0 {
            self.note_return(now);
        }
        let held = self.held.get();
        if held == JUST_NOW {
            self.held.set(now);
        } else if held != 0 && now.wrapping_sub(held) > HOLD_CYCLES {
            self.held.set(0);
            if let Some(runnable) = self.handover.take() {
                self.ready.set(self.ready.get() - 1);
                self.machine.post(runnable);
            }
        }
    }

    fn hand_over(&self, runnable: Runnable) {
        match self.handover.replace(Some(runnable)) {
            Some(displaced) => {
                self.held.set(0);
                self.push(displaced);
            }
            None => self.ready.set(self.ready.get() + 1),
        }
    }

    fn push_urgent(&self, runnable: Runnable) {
        self.urgent.borrow_mut().push_back(runnable);
        self.ready.set(self.ready.get() + 1);
    }

    /// Queues a task that a timer woke: here and soon if it is the only one, else where an idle CPU may have it.
    fn wake_urgent(&self, runnable: Runnable) {
        let spare = self.machine.stealing && self.machine.idle.count() > 0;
        if spare && !self.urgent.borrow().is_empty() {
            self.push(runnable);
        } else {
            self.push_urgent(runnable);
        }
    }

    /// The next task, and whether it is an urgent one.
    fn pop(&self, handovers: &mut u32) -> Option<(Runnable, bool)> {
        if let Some(chances) = &self.chances {
            return self.draw(&mut chances.borrow_mut()).map(|drawn| (drawn, false));
        }
        if self.ahead.get() < URGENT_CYCLES
            && let Some(urgent) = self.pop_urgent()
        {
            return Some((urgent, true));
        }
        if let Some(runnable) = self.handover.take() {
            self.held.set(0);
            self.ready.set(self.ready.get() - 1);
            if *handovers < HANDOVERS || !self.others_wait() {
                *handovers = handovers.saturating_add(1);
                return Some((runnable, false));
            }
            self.push(runnable);
        }
        *handovers = 0;
        let Some(runnable) = self.queue.borrow_mut().pop_front() else {
            return self.pop_urgent().map(|urgent| (urgent, true));
        };
        self.ready.set(self.ready.get() - 1);
        Some((runnable, false))
    }

    /// The next task by chance.
    fn draw(&self, chances: &mut Chances) -> Option<Runnable> {
        let mut queue = self.queue.borrow_mut();
        queue.extend(self.handover.take());
        queue.append(&mut self.urgent.borrow_mut());
        let at = chances.below(queue.len());
        let drawn = queue.remove(at)?;
        self.ready.set(self.ready.get() - 1);
        Some(drawn)
    }

    fn pop_urgent(&self) -> Option<Runnable> {
        let urgent = self.urgent.borrow_mut().pop_front()?;
        self.ready.set(self.ready.get() - 1);
        Some(urgent)
    }

    /// Takes in what others have sent.
    fn take_mail(&self, tick: u32) {
        let worker = self.worker();
        if !worker.mail.load(Ordering::Relaxed) {
            return;
        }
        let mut inbox = worker.inbox.lock();
        let mut queue = self.queue.borrow_mut();
        queue.append(&mut inbox.here);
        // One at a time and when it can run soon: the rest stays where thieves can reach it.
        if queue.is_empty() || tick.is_multiple_of(8) {
            queue.extend(inbox.any.pop_front());
        }
        worker.mail.store(!inbox.any.is_empty(), Ordering::Relaxed);
        let handover = self.handover.take();
        let urgent = self.urgent.borrow().len();
        self.ready.set(queue.len() + urgent + usize::from(handover.is_some()));
        self.handover.set(handover);
    }

    fn fire_timers(&self) -> bool {
        let timers = &self.worker().timers;
        timers.next().is_some_and(|next| next <= time::monotonic()) && timers.fire() > 0
    }

    /// Takes half of what another CPU has to spare, if that is wanted.
    fn steal(&self) -> bool {
        if !self.machine.stealing {
            return false;
        }
        let count = self.machine.count();
        for victim in (1..count).map(|i| &self.machine.workers[(self.cpu + i) % count]) {
            if !victim.mail.load(Ordering::Relaxed) {
                continue;
            }
            let mut inbox = victim.inbox.lock();
            let half = inbox.any.len().div_ceil(2);
            let loot: Vec<Runnable> = inbox.any.drain(..half).collect();
            victim.mail.store(!inbox.any.is_empty() || !inbox.here.is_empty(), Ordering::Relaxed);
            drop(inbox);
            if loot.is_empty() {
                continue;
            }
            let mut loot = loot.into_iter().inspect(|r| r.metadata().move_to(self.cpu));
            let first = loot.next();
            self.ready.set(self.ready.get() + usize::from(first.is_some()));
            self.queue.borrow_mut().extend(first);
            loot.for_each(|runnable| self.push(runnable));
            return true;
        }
        false
    }

    /// Sleeps until there may be work. See [`super::park`] for why no wake-up is lost.
    fn park(&self, observer: &(impl Observer + ?Sized)) {
        let worker = self.worker();
        worker.parker.prepare();
        self.machine.idle.enter();
        let quiet = |worker: &Worker, any: bool| {
            let inbox = worker.inbox.lock();
            inbox.any.is_empty() && (any || inbox.here.is_empty())
        };
        let quiet = quiet(worker, false)
            && (!self.machine.stealing || self.machine.workers.iter().all(|w| quiet(w, true)));
        if quiet && !self.machine.is_closing() {
            self.ended.set(0);
            observer.sleeps(self.cpu);
            time::end_work();
            worker.parker.sleep(worker.timers.next().map(time::to_host));
            // Before it is seen awake, and so counted by nobody else.
            time::begin_work();
            observer.wakes(self.cpu);
        }
        self.machine.idle.leave();
        if worker.parker.cancel() {
            // Who woke it has counted it as well.
            time::take_back();
        }
    }

    fn run_one(&self, runnable: Runnable, observer: &(impl Observer + ?Sized)) {
        self.slice.set(0);
        self.interlude.set(false);
        self.resched.store(false, Ordering::Relaxed);
        let preempted = context::take_need_resched();
        match &self.chances {
            None => self.calls.set(RESCHED_CALLS),
            Some(_) => time::advance(if preempted { PREEMPTED_NS } else { TURN_NS }),
        }
        if let Some(deadline) = self.worker().timers.next() {
            context::preempt_at(deadline);
        }
        self.begun.set(self.ended.take());
        let home = runnable.metadata();
        self.queued.set(home.queued_since());
        if home.cpu() != self.cpu {
            home.move_to(self.cpu);
        }
        self.task.set(ptr::from_ref(home).addr());
        self.running.set(true);
        observer.begins_task(self.cpu);
        runnable.run();
        observer.ends_task(self.cpu);
        self.running.set(false);
        if self.called.get() != 0 {
            self.note_return(time::cycles());
        }
    }

    /// [`Local::run_one`], keeping account of how far urgent tasks are ahead of the others.
    fn run_in_account(
        &self,
        runnable: Runnable,
        urgent: bool,
        observer: &(impl Observer + ?Sized),
    ) {
        let begin = time::cycles();
        self.run_one(runnable, observer);
        let ran = time::cycles().wrapping_sub(begin);
        let ahead = self.ahead.get();
        self.ahead.set(match urgent {
            true if self.others_wait() => ahead.saturating_add(ran),
            true => 0,
            false => ahead.saturating_sub(ran),
        });
    }

    /// Serves until the machine closes. One copy of it is for nobody who watches, and has no trace of observers.
    fn serve(&self, observer: &(impl Observer + ?Sized)) {
        let (mut tick, mut handovers) = (0u32, 0);
        let mut checked = time::cycles();
        while !self.machine.is_closing() {
            tick = tick.wrapping_add(1);
            self.take_mail(tick);
            if self.worker().timers.next().is_some() {
                let now = time::cycles();
                if self.yielded.get() || now.wrapping_sub(checked) > TIMER_CYCLES {
                    checked = now;
                    self.fire_timers();
                }
            }
            self.yielded.set(false);
            if let Some((runnable, urgent)) = self.pop(&mut handovers) {
                if urgent || self.ahead.get() > 0 {
                    self.run_in_account(runnable, urgent, observer);
                } else {
                    self.run_one(runnable, observer);
                }
            } else if !self.fire_timers() && !self.steal() {
                self.park(observer);
            }
        }
    }

    /// Drops what is queued, and what dropping it queues.
    fn drain(&self) {
        self.worker().timers.close();
        loop {
            let mut doomed: Vec<Runnable> = self.queue.borrow_mut().drain(..).collect();
            doomed.extend(self.handover.take());
            doomed.extend(self.urgent.borrow_mut().drain(..));
            {
                let mut inbox = self.worker().inbox.lock();
                doomed.extend(inbox.here.drain(..));
                doomed.extend(inbox.any.drain(..));
            }
            self.ready.set(0);
            if doomed.is_empty() {
                return;
            }
        }
    }
}

/// Undoes `LOCAL` however the worker ends.
struct Attached;

impl Drop for Attached {
    fn drop(&mut self) {
        LOCAL.set(ptr::null());
    }
}

/// A worker's life.
pub(super) fn run(machine: Arc<Machine>, cpu: usize, observer: Option<Arc<dyn Observer>>) {
    // Deadlines of parked workers are kept to the host timer's precision, not to the usual 50 µs.
    // SAFETY: PR_SET_TIMERSLACK takes a number and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1usize, 0usize, 0usize, 0usize) };
    let local = Local {
        machine,
        cpu,
        queue: RefCell::new(VecDeque::with_capacity(256)),
        handover: Cell::new(None),
        urgent: RefCell::default(),
        interlude: Cell::new(false),
        ahead: Cell::new(0),
        ready: Cell::new(0),
        calls: Cell::new(0),
        slice: Cell::new(0),
        resched: AtomicBool::new(false),
        running: Cell::new(false),
        task: Cell::new(0),
        called: Cell::new(0),
        held: Cell::new(0),
        habits: Habits::new(),
        yielded: Cell::new(false),
        ended: Cell::new(0),
        begun: Cell::new(0),
        queued: Cell::new(0),
        chances: Chances::planted().map(RefCell::new),
    };
    let attached = Attached;
    LOCAL.set(&raw const local);
    let sole = (local.machine.count() == 1).then(SoleWorker::enter);
    match observer {
        None => local.serve(&Unobserved),
        Some(observer) => local.serve(&*observer),
    }
    local.drain();
    drop((attached, sole));
    time::end_work();
}

/// Marks the thread as being in `machine`'s `block_on` until the result is dropped.
pub(super) fn enter(machine: &Arc<Machine>) -> Entered {
    Entered(ENTERED.replace(Some(machine.clone())))
}

pub(super) struct Entered(Option<Arc<Machine>>);

impl Drop for Entered {
    fn drop(&mut self) {
        ENTERED.replace(self.0.take());
    }
}

pub(super) fn current_machine() -> Option<Arc<Machine>> {
    local(|local| local.map(|l| l.machine.clone())).or_else(|| ENTERED.with_borrow(Clone::clone))
}

const _: () = {
    const fn assert_sync<T: Send + Sync>() {}
    assert_sync::<Machine>();
    assert_sync::<Home>();
};
