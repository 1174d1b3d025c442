//! Ten thousand short guests in one kernel, and as many children of one guest: what each of them held is given back when it ends, however
//! it ends.

use std::{
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use kernel_objects::{handle, object};
use libos::{boot, config::Config, kernel::Kernel, process::ExitStatus};
use tests::guests::{self, Build};

/// What a guest could leave behind.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Held {
    /// Bytes in live extents of physical memory.
    allocated: u64,
    /// Bytes that the host holds for it.
    committed: u64,
    /// Bytes counted against the limit.
    charged: u64,
    /// Objects of all types that exist, and handles to them.
    objects: u64,
    handles: u64,
    processes: usize,
    threads: usize,
    futex_waiters: usize,
    /// Descriptors of this process on the host.
    host_fds: usize,
    /// Mappings of this process below the boundary, where guests live.
    guest_mappings: usize,
}

impl Held {
    fn now(kernel: &Kernel) -> Self {
        kernel.memory.trim();
        Self {
            allocated: kernel.memory.allocated(),
            committed: kernel.memory.committed(),
            charged: kernel.memory.charged(),
            objects: object::live_objects(),
            handles: handle::live_handles(),
            processes: kernel.pids.processes().len(),
            threads: kernel.pids.thread_count(),
            futex_waiters: kernel.futexes.waiting(),
            host_fds: fs::read_dir("/proc/self/fd").unwrap().count(),
            guest_mappings: mappings().0,
        }
    }

    /// What is held once everything that is on its way out has left, or after a second what still is.
    fn settled(kernel: &Kernel, expected: &Self) -> Self {
        for _ in 0..100 {
            let held = Self::now(kernel);
            if held == *expected {
                return held;
            }
            thread::sleep(Duration::from_millis(10));
        }
        Self::now(kernel)
    }
}

/// How many mappings this process has below the boundary, where guests live, and above, where the kernel does.
fn mappings() -> (usize, usize) {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let start = |line: &str| u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap();
    let guest = maps.lines().filter(|line| start(line) < hal::pmem::GUEST_BOUNDARY).count();
    (guest, maps.lines().count() - guest)
}

/// Bytes of memory that this process has on the host.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn run(kernel: &Arc<Kernel>, program: &[u8], argument: &str) -> ExitStatus {
    run_with(kernel, program, &[argument.as_bytes()])
}

fn run_with(kernel: &Arc<Kernel>, program: &[u8], arguments: &[&[u8]]) -> ExitStatus {
    let args = [program].iter().chain(arguments).map(|argument| argument.to_vec()).collect();
    let config =
        Config { program: program.to_vec(), args, cwd: Some(b"/".to_vec()), ..Config::default() };
    let process = boot::launch(kernel, &config).unwrap();
    kernel.cpus.block_on(process.wait_ended())
}

/// One guest of each kind; `round` chooses how the untidy one ends.
fn one_each(kernel: &Arc<Kernel>, untidy: &[u8], round: usize) {
    let how = round % 3;
    // By itself, by SIGSEGV, by SIGKILL.
    let expected = [0, 128 + 11, 128 + 9][how];
    assert_eq!(run(kernel, untidy, &how.to_string()).shell_code(), expected);
}

fn program(name: &str, how: Build, flags: &[&str]) -> Vec<u8> {
    guests::build(name, how, flags).unwrap().into_os_string().into_encoded_bytes()
}

/// What a test compares is of the whole host process: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn ten_thousand_children_leave_nothing_behind() {
    let _alone = alone();
    let brief = program("brief.c", Build::StaticPie, &["-nostdlib", "-nostartfiles"]);
    let spawner = program("spawner.c", Build::C, &[]);
    let config = Config { cpus: Some(2), memory: Some(512 << 20), ..Config::default() };
    let kernel = boot::start(&config).unwrap();
    let spawn = |count: &str| {
        let status = run_with(&kernel, &spawner, &[count.as_bytes(), &brief]);
        assert_eq!(status, ExitStatus::Exited(0));
    };
    spawn("50");
    thread::sleep(Duration::from_millis(200));
    let start = Held::now(&kernel);
    assert_eq!((start.processes, start.threads), (0, 0));
    spawn("10000");
    assert_eq!(Held::settled(&kernel, &start), start);
}

#[test]
fn ten_thousand_guests_leave_nothing_behind() {
    let _alone = alone();
    const GUESTS: usize = 10_000;
    /// Every so manyth guest takes much and leaves it.
    const UNTIDY: usize = 20;

    let brief = program("brief.c", Build::StaticPie, &["-nostdlib", "-nostartfiles"]);
    let untidy = program("untidy.c", Build::C, &[]);
    let config = Config { cpus: Some(2), memory: Some(512 << 20), ..Config::default() };
    let kernel = boot::start(&config).unwrap();

    // The page cache, dentries and host threads that are kept are there after the first few.
    for round in 0..6 {
        one_each(&kernel, &untidy, round);
        assert_eq!(run(&kernel, &brief, ""), ExitStatus::Exited(0));
    }
    thread::sleep(Duration::from_millis(200));
    let (start, resident_at_start) = (Held::now(&kernel), resident());
    let (_, mappings_at_start) = mappings();
    for round in 0..GUESTS {
        if round % UNTIDY == 0 {
            one_each(&kernel, &untidy, round / UNTIDY);
        } else {
            assert_eq!(run(&kernel, &brief, ""), ExitStatus::Exited(0));
        }
    }
    assert_eq!(Held::settled(&kernel, &start), start);
    // The host's threads and allocator take and give back some as they like.
    let grown = mappings().1.saturating_sub(mappings_at_start);
    assert!(grown < 16, "{GUESTS} guests left {grown} mappings of the kernel's own");
    let grown = resident().saturating_sub(resident_at_start);
    assert!(grown < 16 << 20, "{GUESTS} guests left {grown} bytes in the kernel's own memory");
}

#[test]
fn operations_of_rings_leave_nothing_behind() {
    let _alone = alone();
    let ends = program("sys/uringends.c", Build::C, &[]);
    let config = Config { cpus: Some(2), memory: Some(512 << 20), ..Config::default() };
    let kernel = boot::start(&config).unwrap();
    let round = || assert_eq!(run_with(&kernel, &ends, &[]), ExitStatus::Exited(0));
    round();
    thread::sleep(Duration::from_millis(200));
    let start = Held::now(&kernel);
    for _ in 0..5 {
        round();
    }
    assert_eq!(Held::settled(&kernel, &start), start);
}
