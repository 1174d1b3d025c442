//! The files of /proc that tell about the machine, and /proc/sys.

use std::fmt::Write;
use std::sync::Arc;

use super::Subject;
use super::net;
use super::node::{Row, What};
use super::sysvipc;
use crate::errno::{Errno, SysResult};
use crate::event::{aio, inotify};
use crate::ipc::{mqueue, msg, sem, shm};
use crate::kernel::Kernel;
use crate::process::pids::PID_MAX;
use crate::process::{NAMESPACES_MAX, OVERFLOW_ID, UserNamespace};
use crate::syscall::system::{RELEASE, VERSION};
use crate::timer::ticks;
use crate::vfs::lock::{LockKind, LockOwner};
use crate::vfs::metadata::DeviceNumber;
use crate::vfs::mqueuefs::QUEUES_MAX;

/// Everything at the top of /proc but the processes.
pub(super) const ENTRIES: &[Row<Subject>] = &[
    ("cmdline", |_| What::fixed("libos\n")),
    ("cpuinfo", |s| with(s, cpuinfo)),
    ("devices", |_| {
        What::fixed(
            "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n128 ptm\n136 pts\n\nBlock devices:\n",
        )
    }),
    // No disk is the machine's own.
    ("diskstats", |_| What::fixed("")),
    ("filesystems", |_| {
        What::fixed(
            "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\nnodev\toverlay\nnodev\tdevpts\nnodev\tpipefs\nnodev\tmqueue\n",
        )
    }),
    ("loadavg", |s| with(s, loadavg)),
    ("locks", locks),
    ("meminfo", |s| with(s, meminfo)),
    ("mounts", |_| What::link(b"self/mounts")),
    ("net", |_| What::link(b"self/net")),
    ("self", |s| own(s, |pid| format!("{pid}"))),
    ("stat", |s| with(s, stat)),
    ("swaps", |_| What::fixed("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")),
    ("sys/fs/aio-max-nr", |_| What::fixed(format!("{}\n", aio::REQUESTS_MAX))),
    ("sys/fs/aio-nr", |s| with(s, |kernel| Ok(format!("{}\n", kernel.aio.requests())))),
    ("sys/fs/file-max", |_| What::fixed("9223372036854775807\n")),
    ("sys/fs/inotify/max_queued_events", |_| {
        What::fixed(format!("{}\n", inotify::QUEUED_EVENTS_MAX))
    }),
    ("sys/fs/inotify/max_user_instances", |_| {
        What::fixed(format!("{}\n", inotify::USER_INSTANCES_MAX))
    }),
    ("sys/fs/inotify/max_user_watches", |_| {
        What::fixed(format!("{}\n", inotify::USER_WATCHES_MAX))
    }),
    ("sys/fs/mqueue/msg_default", |_| What::fixed(format!("{}\n", mqueue::DEFAULT.messages))),
    ("sys/fs/mqueue/msg_max", |_| What::fixed(format!("{}\n", mqueue::DEFAULT.messages))),
    ("sys/fs/mqueue/msgsize_default", |_| What::fixed(format!("{}\n", mqueue::DEFAULT.bytes))),
    ("sys/fs/mqueue/msgsize_max", |_| What::fixed(format!("{}\n", mqueue::DEFAULT.bytes))),
    ("sys/fs/mqueue/queues_max", |_| What::fixed(format!("{QUEUES_MAX}\n"))),
    ("sys/fs/nr_open", |_| What::fixed("1048576\n")),
    ("sys/fs/pipe-max-size", |_| What::fixed("1048576\n")),
    ("sys/kernel/cap_last_cap", |_| What::fixed("40\n")),
    ("sys/kernel/core_pattern", |_| What::fixed("core\n")),
    ("sys/kernel/dmesg_restrict", |_| What::fixed("1\n")),
    ("sys/kernel/domainname", |s| {
        with(s, |kernel| Ok(name_line(&kernel.namespaces.uts.names.read().domain)))
    }),
    ("sys/kernel/hostname", |s| {
        with(s, |kernel| Ok(name_line(&kernel.namespaces.uts.names.read().host)))
    }),
    ("sys/kernel/msgmax", |_| What::fixed(format!("{}\n", msg::MSGMAX))),
    ("sys/kernel/msgmnb", |_| What::fixed(format!("{}\n", msg::MSGMNB))),
    ("sys/kernel/msgmni", |_| What::fixed(format!("{}\n", msg::MSGMNI))),
    ("sys/kernel/ngroups_max", |_| What::fixed("65536\n")),
    ("sys/kernel/osrelease", |_| What::fixed(format!("{RELEASE}\n"))),
    ("sys/kernel/ostype", |_| What::fixed("Linux\n")),
    ("sys/kernel/overflowgid", |_| What::fixed(format!("{OVERFLOW_ID}\n"))),
    ("sys/kernel/overflowuid", |_| What::fixed(format!("{OVERFLOW_ID}\n"))),
    ("sys/kernel/pid_max", |_| What::fixed(format!("{PID_MAX}\n"))),
    ("sys/kernel/random/boot_id", |s| with(s, |kernel| Ok(uuid_from(kernel.started)))),
    ("sys/kernel/random/entropy_avail", |_| What::fixed("256\n")),
    ("sys/kernel/random/poolsize", |_| What::fixed("256\n")),
    ("sys/kernel/random/uuid", |_| What::text(|| Ok(uuid()))),
    ("sys/kernel/randomize_va_space", |_| What::fixed("2\n")),
    ("sys/kernel/sem", |_| What::fixed(semaphore_limits())),
    ("sys/kernel/shmall", |_| What::fixed(format!("{}\n", shm::SHMMAX))),
    ("sys/kernel/shmmax", |_| What::fixed(format!("{}\n", shm::SHMMAX))),
    ("sys/kernel/shmmni", |_| What::fixed(format!("{}\n", shm::SHMMNI))),
    ("sys/kernel/threads-max", |_| What::fixed(format!("{PID_MAX}\n"))),
    ("sys/kernel/version", |_| What::fixed(format!("{VERSION}\n"))),
    ("sys/kernel/yama/ptrace_scope", |_| What::fixed("0\n")),
    ("sys/net", |_| net::settings()),
    ("sys/user/max_user_namespaces", |_| What::fixed(format!("{NAMESPACES_MAX}\n"))),
    ("sys/vm/max_map_count", |_| What::fixed("65530\n")),
    ("sys/vm/mmap_min_addr", |_| What::fixed("65536\n")),
    ("sys/vm/overcommit_memory", |_| What::fixed("0\n")),
    ("sys/vm/swappiness", |_| What::fixed("60\n")),
    ("sysvipc/msg", |s| of_ids(s, sysvipc::msg)),
    ("sysvipc/sem", |s| of_ids(s, sysvipc::sem)),
    ("sysvipc/shm", |s| of_ids(s, sysvipc::shm)),
    ("thread-self", |s| own(s, |pid| format!("{pid}/task/{pid}"))),
    ("uptime", |s| with(s, uptime)),
    ("vmstat", |s| with(s, vmstat)),
    ("version", |_| What::fixed(format!("Linux version {RELEASE} (libos) {VERSION}\n"))),
];

fn with(
    subject: &Subject,
    text: impl Fn(&crate::kernel::Kernel) -> SysResult<String> + Send + Sync + 'static,
) -> What {
    let subject = subject.clone();
    What::text(move || Ok(text(&*subject.kernel()?)?.into_bytes()))
}

fn of_ids(subject: &Subject, text: fn(&Kernel, &UserNamespace) -> SysResult<String>) -> What {
    let subject = subject.clone();
    What::of_ids(move |reader| text(&*subject.kernel()?, reader))
}

fn name_line(name: &[u8]) -> String {
    format!("{}\n", String::from_utf8_lossy(name))
}

fn semaphore_limits() -> String {
    format!("{}\t{}\t{}\t{}\n", sem::SEMMSL, sem::SEMMNS, sem::SEMOPM, sem::SEMMNI)
}

/// A link to a place of whoever reads it.
fn own(subject: &Subject, place: fn(i32) -> String) -> What {
    let subject = subject.clone();
    What::Link(Arc::new(move |pid| match subject.shown(pid) {
        0 => Err(Errno::ENOENT),
        pid => Ok(place(pid).into_bytes()),
    }))
}

fn host(text: std::io::Result<Vec<u8>>) -> SysResult<String> {
    Ok(String::from_utf8_lossy(&text.map_err(|_| Errno::EIO)?).into_owned())
}

/// The host's blocks of text, as many as there are virtual CPUs.
fn cpuinfo(kernel: &crate::kernel::Kernel) -> SysResult<String> {
    let text = host(hal::host::system::cpuinfo())?;
    let mut out = String::new();
    for (cpu, block) in text.split_inclusive("\n\n").take(kernel.cpus.count()).enumerate() {
        for line in block.split_inclusive('\n') {
            match line.split_once(':') {
                Some((key, _)) if key.trim() == "processor" => {
                    let _ = writeln!(out, "processor\t: {cpu}");
                }
                _ => out.push_str(line),
            }
        }
    }
    Ok(out)
}

fn loadavg(kernel: &crate::kernel::Kernel) -> SysResult<String> {
    let text = host(hal::host::system::loadavg())?;
    let averages: Vec<&str> = text.split_whitespace().take(3).collect();
    let processes = kernel.pids.processes();
    let last = processes.iter().map(|process| process.pid).max().unwrap_or(0);
    Ok(format!("{} 1/{} {last}\n", averages.join(" "), kernel.pids.thread_count()))
}

/// The locks of flock(2) and fcntl(2), of those processes that have a number here.
fn locks(subject: &Subject) -> What {
    let subject = subject.clone();
    What::text(move || {
        let mut text = String::new();
        for (index, ((device, ino), kind, lock)) in (1..).zip(subject.kernel()?.locks.all()) {
            let (name, pid) = match (kind, lock.owner) {
                (LockKind::Whole, _) => ("FLOCK ", subject.shown(lock.pid)),
                (LockKind::Record, LockOwner::Process(pid)) => ("POSIX ", subject.shown(pid)),
                (LockKind::Record, LockOwner::OpenFile(_)) => ("OFDLCK", -1),
            };
            if pid == 0 {
                continue;
            }
            let device = DeviceNumber(device);
            let (major, minor) = (device.major(), device.minor());
            let how = if lock.exclusive { "WRITE" } else { "READ " };
            let start = lock.start;
            let _ = write!(
                text,
                "{index}: {name} ADVISORY  {how} {pid} {major:02x}:{minor:02x}:{ino} {start} "
            );
            let _ = match lock.last {
                u64::MAX => writeln!(text, "EOF"),
                last => writeln!(text, "{last}"),
            };
        }
        Ok(text.into_bytes())
    })
}

fn meminfo(kernel: &crate::kernel::Kernel) -> SysResult<String> {
    let (total, free) = kernel.memory_size();
    let used = kernel.memory.committed();
    let fields = [
        ("MemTotal:", total),
        ("MemFree:", free),
        ("MemAvailable:", free),
        ("Buffers:", 0),
        ("Cached:", used),
        ("SwapCached:", 0),
        ("Active:", used),
        ("Inactive:", 0),
        ("SwapTotal:", 0),
        ("SwapFree:", 0),
        ("Dirty:", 0),
        ("Writeback:", 0),
        ("AnonPages:", used),
        ("Mapped:", used),
        ("Shmem:", 0),
        ("CommitLimit:", total),
        ("Committed_AS:", kernel.memory.charged()),
    ];
    let mut out = String::new();
    for (name, bytes) in fields {
        let _ = writeln!(out, "{name:<16}{:>8} kB", bytes / 1024);
    }
    out.push_str(
        "HugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\n",
    );
    Ok(out)
}

/// Pages, of which none is ever written to a disk of the machine's own.
fn vmstat(kernel: &crate::kernel::Kernel) -> SysResult<String> {
    const PAGE: u64 = 4096;
    let used = kernel.memory.committed() / PAGE;
    let (_, free) = kernel.memory_size();
    let fields = [
        ("nr_free_pages", free / PAGE),
        ("nr_anon_pages", used),
        ("nr_mapped", used),
        ("nr_file_pages", used),
        ("nr_dirty", 0),
        ("nr_writeback", 0),
        ("nr_shmem", 0),
        ("pgpgin", 0),
        ("pgpgout", 0),
        ("pswpin", 0),
        ("pswpout", 0),
    ];
    let mut out = String::new();
    for (name, value) in fields {
        let _ = writeln!(out, "{name} {value}");
    }
    Ok(out)
}

fn stat(kernel: &crate::kernel::Kernel) -> SysResult<String> {
    let cpus = kernel.cpus.count() as u64;
    let processes = kernel.pids.processes();
    let busy = ticks(processes.iter().map(|process| process.object.runtime()).sum());
    let all = ticks(kernel.uptime()).saturating_mul(cpus);
    let idle = all.saturating_sub(busy);
    let mut out = format!("cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\n");
    for cpu in 0..cpus {
        let _ = writeln!(out, "cpu{cpu} {} 0 0 {} 0 0 0 0 0 0", busy / cpus, idle / cpus);
    }
    let boot = hal::time::realtime().saturating_sub(kernel.uptime()) / 1_000_000_000;
    let last = processes.iter().map(|process| process.pid).max().unwrap_or(0);
    let _ = writeln!(
        out,
        "intr 0\nctxt 0\nbtime {boot}\nprocesses {last}\nprocs_running 1\nprocs_blocked 0"
    );
    Ok(out)
}

fn uptime(kernel: &crate::kernel::Kernel) -> SysResult<String> {
    let up = kernel.uptime();
    let busy: u64 = kernel.pids.processes().iter().map(|process| process.object.runtime()).sum();
    let idle = up.saturating_mul(kernel.cpus.count() as u64).saturating_sub(busy);
    let show = |ns: u64| format!("{}.{:02}", ns / 1_000_000_000, ns / 10_000_000 % 100);
    Ok(format!("{} {}\n", show(up), show(idle)))
}

fn uuid() -> Vec<u8> {
    let mut bytes = [0; 16];
    hal::random::fill(&mut bytes);
    format_uuid(bytes).into_bytes()
}

/// A version 4 UUID that is the same for the same number.
fn uuid_from(seed: u64) -> String {
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..].copy_from_slice(&mixed.to_le_bytes());
    format_uuid(bytes)
}

fn format_uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut out = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        let _ = write!(out, "{byte:02x}");
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_its_version_and_form() {
        let text = String::from_utf8(uuid()).unwrap();
        assert_eq!(text.len(), 37);
        assert_eq!(text.as_bytes()[14], b'4');
        assert_eq!(uuid_from(7), uuid_from(7));
        assert_ne!(uuid_from(7), uuid_from(8));
    }
}
