//! Profiles: how a thread is to be scheduled, or how precious a region's memory is.
//!
//! A [`Profile`] is a set of wishes that a privileged service makes and others may apply: a priority or a deadline and a set of CPUs
//! to threads, or a memory priority to regions of address spaces. Whoever has a handle to one can apply it but not change it, so
//! that a program can be given exactly what it needs.
//!
//! What comes of a wish here: a region of high memory priority keeps the pages of what it maps from being
//! [reclaimed](hal::pmem::PhysicalMemory::reclaim). A thread's CPUs are looked at by whoever
//! [starts](crate::Thread::start) it, once, for tasks do not move ([`Scheduling::cpu`]). Priorities and deadlines are recorded
//! and can be asked for, but not honoured: a CPU's run queue is first come, first served.

use std::sync::Arc;

use bitflags::bitflags;

use crate::{
    error::{Error, Result},
    object::{KObjectBase, KernelObject, ObjectType},
    resource::{Resource, SystemBase},
    task::{Job, Thread},
    vmar::Vmar,
};

bitflags! {
    /// What a profile says something about: `ZX_PROFILE_INFO_FLAG_*`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct ProfileFlags: u32 {
        /// A thread's priority.
        const PRIORITY = 1 << 0;
        /// The CPUs it may run on.
        const CPU_MASK = 1 << 1;
        /// A thread's deadline, instead of its priority.
        const DEADLINE = 1 << 2;
        /// Its priority does not pass on to those it waits for.
        const NO_INHERIT = 1 << 3;
        /// A region's memory priority.
        const MEMORY_PRIORITY = 1 << 4;
    }
}

/// The least of priorities: `ZX_PRIORITY_LOWEST`.
pub const PRIORITY_LOWEST: i32 = 0;
/// `ZX_PRIORITY_LOW`.
pub const PRIORITY_LOW: i32 = 8;
/// What threads have from the start: `ZX_PRIORITY_DEFAULT`.
pub const PRIORITY_DEFAULT: i32 = 16;
/// `ZX_PRIORITY_HIGH`.
pub const PRIORITY_HIGH: i32 = 24;
/// The greatest of priorities: `ZX_PRIORITY_HIGHEST`.
pub const PRIORITY_HIGHEST: i32 = 31;

/// When work is to be done: `zx_sched_deadline_params_t`, in ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeadlineParams {
    /// How long it takes at most.
    pub capacity: i64,
    /// By when it is to be done, from the beginning of its period.
    pub relative_deadline: i64,
    /// How often it comes.
    pub period: i64,
}

/// A set of CPUs by their numbers, 0 to 511: `zx_cpu_set_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuSet(pub [u64; 8]);

impl CpuSet {
    /// Whether CPU `cpu` is in it.
    pub fn contains(&self, cpu: usize) -> bool {
        self.0.get(cpu / 64).is_some_and(|word| word >> (cpu % 64) & 1 == 1)
    }
}

/// What a profile is to say: `zx_profile_info_t`. Only the fields that the flags name count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProfileInfo {
    /// Which of the others count.
    pub flags: ProfileFlags,
    /// A thread's or a region's priority.
    pub priority: i32,
    /// A thread's deadline.
    pub deadline: DeadlineParams,
    /// A thread's CPUs.
    pub cpu_affinity_mask: CpuSet,
}

/// How a thread competes with others for a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discipline {
    /// In proportion to its priority.
    Fair {
        /// [`PRIORITY_LOWEST`] to [`PRIORITY_HIGHEST`].
        priority: i32,
        /// Whether it passes on to those that the thread waits for.
        inheritable: bool,
    },
    /// It has so much time in each period.
    Deadline(DeadlineParams),
}

/// How a thread is to be scheduled, by the profiles applied to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduling {
    /// How it competes with others.
    pub discipline: Discipline,
    /// Where it may run; `None` for anywhere.
    pub affinity: Option<CpuSet>,
}

impl Default for Scheduling {
    fn default() -> Self {
        let discipline = Discipline::Fair { priority: PRIORITY_DEFAULT, inheritable: true };
        Scheduling { discipline, affinity: None }
    }
}

impl Scheduling {
    /// The first of `count` CPUs that the thread may run on, if it may not run on all of them: whoever starts it spawns it
    /// [there](hal::cpu::spawn_on). A set that has none of them is no wish, as affinity is soft.
    pub fn cpu(&self, count: usize) -> Option<usize> {
        let affinity = self.affinity?;
        let all = (0..count).all(|cpu| affinity.contains(cpu));
        (0..count).find(|&cpu| !all && affinity.contains(cpu))
    }
}

/// How precious the pages of what a region maps are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemoryPriority {
    /// They may be reclaimed.
    #[default]
    Default,
    /// They may not.
    High,
}

/// Wishes that can be applied (`zx_profile_create`).
///
/// ```
/// use kernel_objects::profile::{Discipline, PRIORITY_HIGH, Profile, ProfileFlags, ProfileInfo};
/// use kernel_objects::task::{Job, Process, Thread};
///
/// let job = Job::root();
/// let info = ProfileInfo { flags: ProfileFlags::PRIORITY, priority: PRIORITY_HIGH, ..Default::default() };
/// let profile = Profile::create(&job, 0, &info).unwrap();
///
/// let process = Process::create(&job, "audio").unwrap();
/// let thread = Thread::create(&process, "mixer").unwrap();
/// profile.apply(&thread).unwrap();
/// let Discipline::Fair { priority, .. } = thread.scheduling().discipline else { panic!() };
/// assert_eq!(priority, PRIORITY_HIGH);
/// ```
#[derive(Debug)]
pub struct Profile {
    base: KObjectBase,
    discipline: Option<Discipline>,
    affinity: Option<CpuSet>,
    memory: Option<MemoryPriority>,
}

impl Profile {
    /// A profile, by the right of the root job, whose handle needs [`Rights::MANAGE_PROCESS`](crate::Rights::MANAGE_PROCESS).
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] if `job` is not a root job. [`Error::InvalidArgs`] if `options` is not 0; if the profile says nothing, or
    /// something of threads and of memory; if it has a priority and a deadline, or `NO_INHERIT` with no priority; if a thread's
    /// priority is not one of 0 to 31, or a region's not one of [`PRIORITY_DEFAULT`] and [`PRIORITY_HIGH`]; or if not 0 <
    /// capacity <= relative deadline <= period.
    pub fn create(job: &Job, options: u32, info: &ProfileInfo) -> Result<Arc<Profile>> {
        if job.parent().is_some() {
            return Err(Error::AccessDenied);
        }
        Self::new(options, info)
    }

    /// A profile, by the right of the resource for [profiles](SystemBase::Profile), or of the root resource.
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] if the resource is another; else as [`create`](Self::create).
    pub fn create_by(
        resource: &Resource,
        options: u32,
        info: &ProfileInfo,
    ) -> Result<Arc<Profile>> {
        resource.validate_system(SystemBase::Profile)?;
        Self::new(options, info)
    }

    fn new(options: u32, info: &ProfileInfo) -> Result<Arc<Profile>> {
        let of_threads = ProfileFlags::PRIORITY
            | ProfileFlags::CPU_MASK
            | ProfileFlags::DEADLINE
            | ProfileFlags::NO_INHERIT;
        let flags = info.flags;
        let memory = flags.contains(ProfileFlags::MEMORY_PRIORITY);
        let known = ProfileFlags::all().contains(flags);
        if options != 0 || !known || flags.is_empty() || (memory && flags.intersects(of_threads)) {
            return Err(Error::InvalidArgs);
        }
        let affinity = flags.contains(ProfileFlags::CPU_MASK).then_some(info.cpu_affinity_mask);
        let memory = if memory { Some(memory_priority(info.priority)?) } else { None };
        let base = KObjectBase::new();
        Ok(Arc::new(Profile { base, discipline: discipline(info)?, affinity, memory }))
    }

    /// Applies what it says of threads to `thread` (`zx_object_set_profile`), whose handle needs
    /// [`Rights::MANAGE_THREAD`](crate::Rights::MANAGE_THREAD); that of the profile needs
    /// [`Rights::APPLY_PROFILE`](crate::Rights::APPLY_PROFILE).
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if the thread has been killed or has ended.
    pub fn apply(&self, thread: &Thread) -> Result {
        let before = thread.scheduling();
        let discipline = self.discipline.unwrap_or(before.discipline);
        let affinity = self.affinity.or(before.affinity);
        thread.set_scheduling(Scheduling { discipline, affinity })
    }

    /// Applies what it says of memory to `vmar` and all regions in it, over what was applied to them before
    /// (`zx_object_set_profile`).
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if the region is destroyed.
    pub fn apply_to_vmar(&self, vmar: &Vmar) -> Result {
        vmar.set_memory_priority(self.memory.unwrap_or(vmar.memory_priority()?))
    }
}

/// What a profile says of how a thread competes, if anything.
fn discipline(info: &ProfileInfo) -> Result<Option<Discipline>> {
    let has = |flag| info.flags.contains(flag);
    let inheritable = !has(ProfileFlags::NO_INHERIT);
    match (has(ProfileFlags::PRIORITY), has(ProfileFlags::DEADLINE)) {
        (true, false) if (PRIORITY_LOWEST..=PRIORITY_HIGHEST).contains(&info.priority) => {
            Ok(Some(Discipline::Fair { priority: info.priority, inheritable }))
        }
        (false, true) if inheritable => {
            let DeadlineParams { capacity, relative_deadline, period } = info.deadline;
            let possible =
                0 < capacity && capacity <= relative_deadline && relative_deadline <= period;
            possible.then_some(Some(Discipline::Deadline(info.deadline))).ok_or(Error::InvalidArgs)
        }
        (false, false) if inheritable => Ok(None),
        _ => Err(Error::InvalidArgs),
    }
}

fn memory_priority(priority: i32) -> Result<MemoryPriority> {
    match priority {
        PRIORITY_DEFAULT => Ok(MemoryPriority::Default),
        PRIORITY_HIGH => Ok(MemoryPriority::High),
        _ => Err(Error::InvalidArgs),
    }
}

impl KernelObject for Profile {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Profile
    }
}

#[cfg(test)]
mod tests {
    use hal::{
        aspace::{AddressSpace, Prot},
        pmem::{PhysicalMemory, Reclaim},
    };

    use super::*;
    use crate::{
        resource::{ResourceKind, ResourceOptions, ResourceSpace},
        task::Process,
        vmar::{MapArgs, Placement},
        vmo::{PageSink, PageSource, Vmo},
    };

    const PAGE: u64 = 4096;

    fn info(flags: ProfileFlags) -> ProfileInfo {
        let deadline = DeadlineParams { capacity: 1, relative_deadline: 2, period: 3 };
        let cpu_affinity_mask = CpuSet([0b110, 0, 0, 0, 0, 0, 0, 1]);
        ProfileInfo { flags, priority: PRIORITY_HIGH, deadline, cpu_affinity_mask }
    }

    fn create(info: &ProfileInfo) -> Result<Arc<Profile>> {
        Profile::create(&Job::root(), 0, info)
    }

    fn thread() -> Arc<Thread> {
        Thread::create(&Process::create(&Job::root(), "").unwrap(), "").unwrap()
    }

    #[test]
    fn only_a_root_job_or_the_right_resource_makes_profiles() {
        let (root, good) = (Job::root(), info(ProfileFlags::PRIORITY));
        let child = Job::create(&root).unwrap();
        assert_eq!(Profile::create(&child, 0, &good).err(), Some(Error::AccessDenied));
        assert_eq!(Profile::create(&root, 1, &good).err(), Some(Error::InvalidArgs));
        assert!(Profile::create(&root, 0, &good).is_ok());

        let machine = ResourceSpace::new();
        let options = ResourceOptions::shared(ResourceKind::System);
        let system = |base: SystemBase| {
            Resource::create(&machine.root(), options, base as u64, 1, "").unwrap()
        };
        let by = |resource: &Resource, options| Profile::create_by(resource, options, &good).err();
        assert_eq!(by(&system(SystemBase::Msi), 0), Some(Error::AccessDenied));
        let mmio = machine.ranged_root(ResourceKind::Mmio, "").unwrap();
        assert_eq!(by(&mmio, 0), Some(Error::AccessDenied));
        let profiles = system(SystemBase::Profile);
        assert_eq!((by(&profiles, 0), by(&machine.root(), 0)), (None, None));
        assert_eq!(by(&profiles, 1), Some(Error::InvalidArgs));
    }

    #[test]
    fn flags_that_say_nothing_or_contradict_each_other_are_refused() {
        use ProfileFlags as F;
        for good in [
            F::PRIORITY,
            F::PRIORITY | F::NO_INHERIT,
            F::PRIORITY | F::CPU_MASK,
            F::DEADLINE | F::CPU_MASK,
            F::CPU_MASK,
            F::MEMORY_PRIORITY,
        ] {
            assert!(create(&info(good)).is_ok(), "{good:?}");
        }
        for bad in [
            F::empty(),
            F::NO_INHERIT,
            F::PRIORITY | F::DEADLINE,
            F::DEADLINE | F::NO_INHERIT,
            F::CPU_MASK | F::NO_INHERIT,
            F::MEMORY_PRIORITY | F::PRIORITY,
            F::MEMORY_PRIORITY | F::CPU_MASK,
            F::MEMORY_PRIORITY | F::DEADLINE,
            F::from_bits_retain(0x21),
        ] {
            assert_eq!(create(&info(bad)).err(), Some(Error::InvalidArgs), "{bad:?}");
        }
    }

    #[test]
    fn priorities_and_deadlines_must_be_possible() {
        let with = |flags, priority| create(&ProfileInfo { priority, ..info(flags) }).err();
        for priority in [0, 16, 31] {
            assert_eq!(with(ProfileFlags::PRIORITY, priority), None);
        }
        for priority in [-1, 32, i32::MIN, i32::MAX] {
            assert_eq!(with(ProfileFlags::PRIORITY, priority), Some(Error::InvalidArgs));
        }
        for priority in [0, 8, 15, 17, 25, 31] {
            assert_eq!(with(ProfileFlags::MEMORY_PRIORITY, priority), Some(Error::InvalidArgs));
        }
        let deadline = |capacity, relative_deadline, period| {
            let deadline = DeadlineParams { capacity, relative_deadline, period };
            create(&ProfileInfo { deadline, ..info(ProfileFlags::DEADLINE) }).err()
        };
        assert_eq!((deadline(1, 1, 1), deadline(1, 2, 3)), (None, None));
        for (capacity, relative, period) in [(0, 1, 1), (-1, 1, 1), (2, 1, 3), (1, 3, 2)] {
            assert_eq!(deadline(capacity, relative, period), Some(Error::InvalidArgs));
        }
    }

    #[test]
    fn a_thread_keeps_what_a_profile_says_nothing_of() {
        let thread = thread();
        assert_eq!(thread.scheduling(), Scheduling::default());
        let apply = |flags| create(&info(flags)).unwrap().apply(&thread);
        assert_eq!(apply(ProfileFlags::CPU_MASK), Ok(()));
        let affinity = Some(info(ProfileFlags::CPU_MASK).cpu_affinity_mask);
        assert_eq!(thread.scheduling(), Scheduling { affinity, ..Scheduling::default() });
        assert_eq!(thread.info().affinity, affinity);
        assert_eq!(apply(ProfileFlags::PRIORITY | ProfileFlags::NO_INHERIT), Ok(()));
        let discipline = Discipline::Fair { priority: PRIORITY_HIGH, inheritable: false };
        assert_eq!(thread.scheduling(), Scheduling { discipline, affinity });
        assert_eq!(apply(ProfileFlags::DEADLINE), Ok(()));
        let discipline = Discipline::Deadline(info(ProfileFlags::DEADLINE).deadline);
        assert_eq!(thread.scheduling(), Scheduling { discipline, affinity });
        assert_eq!(apply(ProfileFlags::MEMORY_PRIORITY), Ok(()), "nothing of threads");
        assert_eq!(thread.scheduling(), Scheduling { discipline, affinity });
    }

    #[test]
    fn a_dying_or_dead_thread_takes_no_profile() {
        let profile = create(&info(ProfileFlags::PRIORITY)).unwrap();
        let process = Process::create(&Job::root(), "").unwrap();
        let thread = Thread::create(&process, "").unwrap();
        let run = process.start(&thread, std::future::pending()).unwrap();
        assert_eq!(profile.apply(&thread), Ok(()));
        thread.kill();
        assert_eq!(profile.apply(&thread), Err(Error::BadState));
        futures::executor::block_on(run);
        assert_eq!(profile.apply(&thread), Err(Error::BadState));
    }

    #[test]
    fn a_set_of_cpus_tells_where_to_start() {
        let set = CpuSet([0b110, 0, 0, 0, 0, 0, 0, 1 << 63]);
        assert!(set.contains(1) && set.contains(511) && !set.contains(0) && !set.contains(512));
        let with = |affinity| Scheduling { affinity, ..Scheduling::default() };
        assert_eq!((with(Some(set)).cpu(4), with(Some(set)).cpu(1)), (Some(1), None));
        assert_eq!(with(None).cpu(4), None);
        assert_eq!(with(Some(CpuSet([3; 8]))).cpu(2), None, "all there are");
    }

    struct Zeroes;

    impl PageSource for Zeroes {
        fn fill(&self, _: u64, _: u64, _: &mut PageSink<'_>) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_region_of_high_priority_keeps_its_pages() {
        let memory = PhysicalMemory::new(None).unwrap();
        let root = Vmar::create_root(&AddressSpace::new(&memory).unwrap()).unwrap();
        let outer = root.allocate(Placement::TopDown, 64 * PAGE).unwrap();
        let inner = outer.allocate(Placement::TopDown, 16 * PAGE).unwrap();
        let file = Vmo::create_with_source(&memory, PAGE, Arc::new(Zeroes)).unwrap();
        let copy = file.create_private(0, PAGE, false).unwrap();
        inner.map(MapArgs::new(copy, PAGE)).unwrap();
        file.prepare(0, false).unwrap();
        let apply = |vmar: &Vmar, priority| {
            let info = ProfileInfo { priority, ..info(ProfileFlags::MEMORY_PRIORITY) };
            create(&info).unwrap().apply_to_vmar(vmar)
        };
        assert_eq!(apply(&outer, PRIORITY_HIGH), Ok(()));
        assert_eq!(inner.memory_priority(), Ok(MemoryPriority::High));
        assert_eq!(root.memory_priority(), Ok(MemoryPriority::Default));
        assert!(!file.reclaim(&(0..PAGE), true), "mapped through a child");
        let other = Vmo::create_with_source(&memory, PAGE, Arc::new(Zeroes)).unwrap();
        let (perms, max_perms) = (Prot::READ, Prot::READ);
        root.map(MapArgs { perms, max_perms, ..MapArgs::new(other.clone(), PAGE) }).unwrap();
        other.prepare(0, false).unwrap();
        assert!(other.reclaim(&(0..PAGE), true), "not in the region");
        let later = inner.allocate(Placement::TopDown, PAGE).unwrap();
        assert_eq!(later.memory_priority(), Ok(MemoryPriority::High));
        assert_eq!(create(&info(ProfileFlags::PRIORITY)).unwrap().apply_to_vmar(&outer), Ok(()));
        assert_eq!(outer.memory_priority(), Ok(MemoryPriority::High), "nothing of memory");
        assert_eq!(apply(&inner, PRIORITY_DEFAULT), Ok(()));
        assert_eq!(outer.memory_priority(), Ok(MemoryPriority::High));
        assert!(file.reclaim(&(0..PAGE), true));
        inner.destroy().unwrap();
        assert_eq!(apply(&inner, PRIORITY_HIGH), Err(Error::BadState));
    }
}
