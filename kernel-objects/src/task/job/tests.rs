use super::*;
use crate::{
    task::{PolicyAction, PolicyCondition, PolicyOverride, SlackMode, Thread},
    vmo::{Vmo, VmoOptions},
};

const NO_CHILDREN: Signals = Signals::JOB_NO_CHILDREN;

fn created<T>(made: Result<Arc<T>>) -> Arc<T> {
    made.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn children_are_listed_in_order_and_found_by_koid() {
    let root = Job::root();
    let jobs: Vec<_> = (0..3).map(|_| created(Job::create(&root))).collect();
    let process = created(Process::create(&root, "p"));
    let koids = |jobs: &[Arc<Job>]| jobs.iter().map(|j| j.koid()).collect::<Vec<_>>();
    assert_eq!(koids(&root.children()), koids(&jobs));
    assert_eq!(root.processes()[0].koid(), process.koid());
    assert_eq!(jobs[0].related_koid(), root.koid());
    assert_eq!(root.related_koid(), 0);
    for koid in [jobs[1].koid(), process.koid()] {
        assert!(root.child(koid).is_ok_and(|child| child.koid() == koid));
    }
    assert_eq!(root.child(root.koid()).err(), Some(Error::NotFound));
}

#[test]
fn signals_tell_whether_it_is_empty() {
    let root = Job::root();
    let (no_jobs, no_processes) = (Signals::JOB_NO_JOBS, Signals::JOB_NO_PROCESSES);
    assert_eq!(root.signals(), no_jobs | no_processes | NO_CHILDREN);
    let job = created(Job::create(&root));
    assert_eq!(root.signals(), no_processes);
    let process = created(Process::create(&root, ""));
    assert_eq!(root.signals(), Signals::empty());
    drop(job);
    assert_eq!(root.signals(), no_jobs);
    process.kill();
    assert_eq!(root.signals(), no_jobs | no_processes | NO_CHILDREN);
}

#[test]
fn killing_it_kills_the_tree_and_takes_no_more_children() {
    let root = Job::root();
    let (a, b) = (created(Job::create(&root)), created(Job::create(&root)));
    let inner = created(Job::create(&a));
    let process = created(Process::create(&inner, ""));
    a.kill();
    for dead in [&a, &inner] {
        assert!(dead.signals().contains(Signals::TASK_TERMINATED));
        let info = dead.info();
        assert_eq!((info.exited, info.return_code), (true, retcode::SYSCALL_KILL));
        assert_eq!(Job::create(dead).err(), Some(Error::BadState));
        assert_eq!(Process::create(dead, "").err(), Some(Error::BadState));
    }
    assert_eq!(process.info().return_code, retcode::SYSCALL_KILL);
    assert!(!b.info().exited && !root.info().exited);
    assert_eq!(root.children().len(), 1);
    a.kill();
}

#[test]
fn a_killed_job_is_dead_only_when_its_last_thread_has_noticed() {
    let root = Job::root();
    let process = created(Process::create(&root, ""));
    let thread = created(Thread::create(&process, ""));
    let run = process.start(&thread, std::future::pending());
    root.kill();
    assert!(!root.info().exited && !process.info().exited);
    assert!(root.is_ending() && !root.signals().contains(Signals::TASK_TERMINATED));
    assert_eq!(root.info().return_code, retcode::SYSCALL_KILL);
    root.kill_with(retcode::OOM_KILL);
    assert_eq!(root.info().return_code, retcode::SYSCALL_KILL, "the first remains");
    assert_eq!(Process::create(&root, "").err(), Some(Error::BadState));
    drop(run);
    assert!(root.info().exited && process.info().exited);
    assert!(root.signals().contains(Signals::TASK_TERMINATED));
}

#[test]
fn an_empty_job_dies_at_once_when_killed() {
    let root = Job::root();
    assert!(!root.is_ending() && !root.info().kill_on_oom);
    for kill in [true, false] {
        root.set_kill_on_oom(kill);
        assert_eq!(root.info().kill_on_oom, kill);
    }
    root.kill();
    assert!(root.info().exited && root.is_ending());
    assert!(root.signals().contains(Signals::TASK_TERMINATED | NO_CHILDREN));
}

#[test]
fn policies_are_inherited_and_fixed_once_there_are_children() {
    let root = Job::root();
    let line = BasicPolicy {
        condition: PolicyCondition::NewVmo,
        action: PolicyAction::Deny,
        overridable: PolicyOverride::Deny,
    };
    let slack = TimerSlack { amount: 9, mode: SlackMode::Late };
    assert_eq!(root.set_policy(PolicyMode::Absolute, &[line]), Ok(()));
    assert_eq!(root.set_timer_slack(slack), Ok(()));
    let job = created(Job::create(&root));
    assert_eq!(job.policy().action(PolicyCondition::NewVmo), PolicyAction::Deny);
    assert_eq!(job.policy().timer_slack(), slack);
    assert_eq!(root.set_policy(PolicyMode::Absolute, &[line]), Err(Error::BadState));
    assert_eq!(root.set_timer_slack(slack), Err(Error::BadState));
    let allow = BasicPolicy { action: PolicyAction::Allow, ..line };
    assert_eq!(job.set_policy(PolicyMode::Absolute, &[allow]), Err(Error::AlreadyExists));
    assert_eq!(job.set_policy(PolicyMode::Relative, &[]), Err(Error::InvalidArgs));
    drop(job);
    assert_eq!(root.set_policy(PolicyMode::Relative, &[line]), Ok(()));
}

#[test]
fn a_child_has_the_policy_that_its_job_has_when_it_joins() {
    let root = Job::root();
    let line = BasicPolicy {
        condition: PolicyCondition::NewVmo,
        action: PolicyAction::Deny,
        overridable: PolicyOverride::Deny,
    };
    let made = std::cell::Cell::new(0);
    let child = root.adopt(
        |policy| {
            if made.replace(made.get() + 1) == 0 {
                assert_eq!(root.set_policy(PolicyMode::Absolute, &[line]), Ok(()));
            }
            Job::new(Some(root.clone()), 1, policy)
        },
        |inner, job| {
            inner.jobs.insert(job.koid(), Arc::downgrade(job));
        },
    );
    assert_eq!(made.get(), 2);
    assert_eq!(created(child).policy().action(PolicyCondition::NewVmo), PolicyAction::Deny);
}

#[test]
fn a_critical_process_takes_its_job_along() {
    let root = Job::root();
    let job = created(Job::create(&root));
    let inner = created(Job::create(&job));
    let process = created(Process::create(&inner, ""));
    assert_eq!(
        created(Job::create(&root)).set_critical(Critical::Always, &process),
        Err(Error::InvalidArgs)
    );
    assert_eq!(job.set_critical(Critical::Always, &process), Ok(()));
    assert_eq!(inner.set_critical(Critical::Always, &process), Err(Error::AlreadyBound));
    process.kill();
    assert!(job.info().exited);
    assert_eq!(job.info().return_code, retcode::CRITICAL_PROCESS_KILL);
    assert!(!root.info().exited);
}

#[test]
fn its_running_time_is_that_of_all_its_processes() {
    let job = Job::root();
    let spin = || {
        let process = created(Process::create(&job, ""));
        let thread = created(Thread::create(&process, ""));
        let run = process.start(&thread, async {
            let end = hal::time::monotonic() + 1_000_000;
            while hal::time::monotonic() < end {}
        });
        futures::executor::block_on(run.unwrap_or_else(|error| panic!("{error}")));
        process
    };
    let first = spin();
    assert!(first.info().exited);
    drop(first);
    assert!(job.runtime() >= 900_000);
    let before = job.runtime();
    let second = spin();
    assert!(job.runtime() >= before + 900_000);
    drop(second);
}

#[test]
fn when_memory_is_short_the_last_job_marked_for_it_is_killed() {
    use hal::pmem::{PAGE_SIZE, PhysicalMemory, Shortage};

    let memory = PhysicalMemory::new(Some(PAGE_SIZE as u64)).unwrap_or_else(|e| panic!("{e}"));
    let root = Job::root();
    let told: Weak<dyn Shortage> = Arc::<Job>::downgrade(&root);
    memory.tell_of_shortage(told);
    let job = |parent: &Arc<Job>| created(Job::create(parent));
    let (first, other) = (job(&root), job(&root));
    let (inner, last) = (job(&first), job(&other));
    for marked in [&first, &inner] {
        marked.set_kill_on_oom(true);
        assert!(marked.info().kill_on_oom);
    }
    last.set_kill_on_oom(true);
    last.set_kill_on_oom(false);
    let process = created(Process::create(&inner, ""));
    let shortage = || {
        let options = VmoOptions { charged: true, ..VmoOptions::default() };
        let refused = Vmo::create(&memory, 2 * PAGE_SIZE as u64, options);
        assert_eq!(refused.err(), Some(Error::NoMemory));
    };
    // What is refused while the root is being told is not told again, so try until it has been.
    let killed = |job: &Arc<Job>| {
        let end = hal::time::monotonic() + 20_000_000_000;
        while !job.info().exited {
            assert!(hal::time::monotonic() < end, "it is not killed");
            shortage();
            std::thread::yield_now();
        }
        assert_eq!(job.info().return_code, retcode::OOM_KILL);
    };
    killed(&inner);
    assert_eq!(process.info().return_code, retcode::OOM_KILL);
    killed(&first);
    shortage();
    assert!(!root.is_ending() && !other.is_ending() && !last.is_ending());
}

#[test]
fn a_tree_of_thousands_of_levels_is_killed_and_dropped_without_recursion() {
    let root = Job::root();
    let mut chain = vec![root.clone()];
    let mut job = root.clone();
    loop {
        match Job::create(&job) {
            Ok(next) => job = next,
            Err(error) => break assert_eq!(error, Error::OutOfRange),
        }
        chain.push(job.clone());
    }
    assert_eq!(chain.len() as u32, MAX_JOB_HEIGHT + 1);
    assert!(root.contains(&job) && !job.contains(&root));
    let process = created(Process::create(&job, ""));
    chain.clear();
    root.kill();
    assert!(process.info().exited && root.info().exited);
    drop((process, job));

    let root = Job::root();
    let mut job = root.clone();
    while let Ok(next) = Job::create(&job) {
        job = next;
    }
    assert_eq!(root.children().len(), 1);
    drop(job); // the only reference to the whole chain
    assert!(root.children().is_empty());
    assert!(root.signals().contains(NO_CHILDREN));
}

#[test]
fn threads_that_create_and_kill_leave_a_dead_and_empty_tree() {
    let root = Job::root();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for i in 0..500 {
                    let Ok(job) = Job::create(&root) else { return };
                    let process = Process::create(&job, "");
                    if i % 2 == 0 {
                        job.kill();
                        assert!(job.info().exited);
                    }
                    drop((job, process));
                }
            });
        }
        scope.spawn(|| {
            std::thread::yield_now();
            root.kill();
        });
    });
    assert!(root.info().exited);
    assert!(root.children().is_empty());
}

#[test]
fn the_time_of_processes_that_run_counts_before_they_end() {
    use super::super::run::tests::poll;
    let job = Job::root();
    let process = Process::create(&job, "").unwrap();
    let thread = Thread::create(&process, "").unwrap();
    let body = async {
        let start = hal::time::monotonic();
        while hal::time::monotonic() < start + 1_000_000 {}
        std::future::pending().await
    };
    let mut run = process.start(&thread, body).unwrap();
    assert_eq!(job.runtime(), 0);
    assert!(poll(&mut run).is_pending());
    assert!(job.runtime() >= 1_000_000);
}
