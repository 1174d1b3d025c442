//! Faults on purpose: what the host may do and seldom does, done by [rules](Rules).
//!
//! The one idea: they come at the edge where this crate meets the host (files, streams, sockets, promises of memory), as the host's own
//! answers, so nothing above knows of them. Which come is drawn from a seed; without rules a call looks at one flag, or at a number that its file
//! has.
//!
//! They come only where the answer reaches the guest as it is: not where the kernel reads for itself (a program's pages, its own files), for
//! which a short read is read on and an error would be another one.

mod rules;

use std::{
    collections::BTreeMap,
    fmt::Write,
    os::fd::{AsRawFd, BorrowedFd},
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use parking_lot::Mutex;

use crate::{
    host::HostError,
    seed::{self, Chances},
    time,
};

pub use rules::{Kind, Op, Place, Rule, Rules};

/// Whether any rule holds now.
static ARMED: AtomicBool = AtomicBool::new(false);
static PLAN: OnceLock<Plan> = OnceLock::new();

#[derive(Debug)]
struct Plan {
    rules: Vec<Rule>,
    seed: u64,
    limit: u64,
    chances: Mutex<Chances>,
    injected: AtomicU64,
    counts: Mutex<BTreeMap<(Op, Kind), u64>>,
}

/// Has `rules` hold in this process, once it is [armed](arm). The first ones count.
pub fn plan(rules: Rules) {
    PLAN.get_or_init(|| {
        let seed = seed::planted().or(rules.seed).unwrap_or_else(crate::random::u64);
        Plan {
            rules: rules.rules,
            seed,
            limit: rules.limit.unwrap_or(u64::MAX),
            chances: Mutex::new(Chances::of_faults(seed)),
            injected: AtomicU64::new(0),
            counts: Mutex::default(),
        }
    });
}

/// Lets faults come from now on, or not.
pub fn arm(armed: bool) {
    ARMED.store(armed && PLAN.get().is_some(), Ordering::Relaxed);
}

/// What has been injected, in a line; none without rules.
pub fn report() -> Option<String> {
    let plan = PLAN.get()?;
    let total = plan.injected.load(Ordering::Relaxed).min(plan.limit);
    let mut line = format!("{total} faults injected (seed={})", plan.seed);
    for (at, ((op, kind), count)) in plan.counts.lock().iter().enumerate() {
        let separator = if at == 0 { ": " } else { ", " };
        // Writing to a String can not fail.
        let _ = write!(line, "{separator}{}:{} {count}", op.name(), kind.name());
    }
    Some(line)
}

/// Which rules hold for something, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mask(u64);

impl Mask {
    fn of(holds: impl Fn(&Rule) -> bool) -> Self {
        let rules = PLAN.get().map_or(&[][..], |plan| &plan.rules);
        Self(rules.iter().zip(0..).filter(|(rule, _)| holds(rule)).map(|(_, at)| 1_u64 << at).sum())
    }

    /// Those for a file of the host that was opened by its name.
    pub(crate) fn of_file(fd: BorrowedFd<'_>, writable: bool) -> Self {
        if PLAN.get().is_none() {
            return Self::default();
        }
        let path = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        Self::of_path(path.ok().as_deref(), writable)
    }

    fn of_path(path: Option<&Path>, writable: bool) -> Self {
        Self::of(|rule| match &rule.place {
            Place::Anywhere => writable,
            Place::Path(place) => path.is_some_and(|path| path.starts_with(place)),
            Place::Stdio | Place::Net => false,
        })
    }

    /// Those for what this process was started with.
    pub(crate) fn of_stdio() -> Self {
        Self::of(|rule| rule.place == Place::Stdio)
    }

    /// Those for sockets of the host.
    pub(crate) fn of_network() -> Self {
        Self::of(|rule| matches!(rule.place, Place::Anywhere | Place::Net))
    }

    /// Decides what comes of doing `op` now. It has taken its time then, if that was to be.
    #[inline]
    pub(crate) fn draw(self, op: Op) -> Fault {
        if self.0 == 0 { Fault::None } else { self.draw_one(op) }
    }

    #[cold]
    fn draw_one(self, op: Op) -> Fault {
        let Some(plan) = PLAN.get().filter(|_| ARMED.load(Ordering::Relaxed)) else {
            return Fault::None;
        };
        let rules = plan.rules.iter().zip(0..);
        for (rule, _) in rules.filter(|(rule, at)| self.0 >> at & 1 == 1 && rule.op == op) {
            if !plan.chances.lock().happens(rule.chance) || !plan.count(rule) {
                continue;
            }
            match rule.kind {
                Kind::Short => return Fault::Short,
                Kind::Reset => return Fault::Reset,
                Kind::Error(errno) => return Fault::Error(HostError::from_errno(errno)),
                Kind::Delay(delay) if time::is_stepping() => {
                    time::advance(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX));
                }
                Kind::Delay(delay) => thread::sleep(delay),
            }
        }
        Fault::None
    }
}

impl Plan {
    /// One more; false if there are enough.
    fn count(&self, rule: &Rule) -> bool {
        if self.injected.fetch_add(1, Ordering::Relaxed) >= self.limit {
            return false;
        }
        *self.counts.lock().entry((rule.op, rule.kind)).or_default() += 1;
        log::debug!("fault: {}:{}", rule.op.name(), rule.kind.name());
        true
    }
}

/// What comes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What the host says.
    None,
    /// A part of what it could.
    Short,
    /// The connection is reset.
    Reset,
    /// This, and nothing is done.
    Error(HostError),
}

impl Fault {
    /// How many of `len` bytes are to be transferred; the error if none are. Who has no connection is not reset.
    pub(crate) fn cut(self, len: usize) -> Result<usize, HostError> {
        match self {
            Self::None | Self::Reset => Ok(len),
            Self::Short => Ok(short(len)),
            Self::Error(error) => Err(error),
        }
    }

    /// For what is done or not.
    pub(crate) fn check(self) -> Result<(), HostError> {
        self.cut(0).map(drop)
    }
}

/// From 1 to one less than `len`, if there is such a number.
fn short(len: usize) -> usize {
    match PLAN.get() {
        Some(plan) if len > 1 => 1 + plan.chances.lock().below(len - 1),
        _ => len,
    }
}

/// Whether a promise of memory is refused.
#[inline]
pub(crate) fn refuses_memory() -> bool {
    ARMED.load(Ordering::Relaxed) && refuses()
}

#[cold]
fn refuses() -> bool {
    static MASK: OnceLock<Mask> = OnceLock::new();
    let mask = MASK.get_or_init(|| Mask::of(|rule| rule.op == Op::Alloc));
    mask.draw(Op::Alloc) != Fault::None
}

#[cfg(test)]
mod tests {
    use super::*;

    // The plan is the process's, so this is all one test; paths are of this test only, so no other one meets a fault.
    #[test]
    fn faults_come_where_rules_say_until_there_are_enough() {
        let rules =
            "write:short=0.5@/no/such/place,read:eio=1@/no/such/place/file,seed=3,limit=100";
        plan(rules.parse().unwrap());
        arm(true);
        let mask = |path: &str| Mask::of_path(Some(Path::new(path)), true);
        assert_eq!(mask("/no/such/placebo"), Mask::default());
        let (place, file) = (mask("/no/such/place"), mask("/no/such/place/file"));
        assert_eq!((place.0, file.0, Mask::of_network().0, Mask::of_stdio().0), (1, 3, 0, 0));
        assert_eq!(place.draw(Op::Read), Fault::None);
        assert_eq!(file.draw(Op::Read), Fault::Error(HostError::from_errno(libc::EIO)));
        let drawn = (0..100).filter(|_| place.draw(Op::Write) == Fault::Short).count();
        assert!((25..75).contains(&drawn), "{drawn}");
        for len in [2, 3, 1000] {
            assert!((1..len).contains(&Fault::Short.cut(len).unwrap()));
        }
        assert_eq!((Fault::Short.cut(0), Fault::Short.cut(1)), (Ok(0), Ok(1)));
        let line =
            format!("{} faults injected (seed=3): read:eio 1, write:short {drawn}", drawn + 1);
        assert_eq!(report().unwrap(), line);
        while file.draw(Op::Read) != Fault::None {}
        assert!(report().unwrap().starts_with("100 faults injected"));
        assert!((0..100).all(|_| place.draw(Op::Write) == Fault::None));
        arm(false);
    }
}
