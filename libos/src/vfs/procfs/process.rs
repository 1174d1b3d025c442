//! /proc/PID and /proc/PID/task/TID.

use std::fmt::Write;
use std::sync::{Arc, Weak};

use kernel_objects::KernelObject;
use kernel_objects::task::{BlockedReason, ThreadState};
use linux_raw_sys::general as raw;

use super::login;
use super::maps;
use super::memory::Memory;
use super::namespaces::NamespaceLinks;
use super::net;
use super::node::{Directory, Row, SinkAt, Table, Text, What};
use super::oom;
use crate::errno::{Errno, SysResult};
use crate::process::{IdKind, PidNamespace, Process, Thread, UserNamespace, init, trace::Tracee};
use crate::signal::SigSet;
use crate::syscall::argument::Fd;
use crate::timer::ticks;
use crate::vfs::metadata::FileType;
use crate::vfs::mount::Path;
use crate::vfs::permission::{Capabilities, Credentials};

/// Most bytes of arguments or environment that are shown.
const MAX_STRINGS: u64 = 4 << 20;

/// A process or one of its threads, as long as it is known.
#[derive(Clone)]
pub(super) struct Subject {
    process: Weak<Process>,
    /// By what numbers it and others are told.
    numbers: Arc<PidNamespace>,
    /// The thread whose directory it is, by the kernel's number; none if it is that of the process.
    tid: Option<i32>,
}

impl Subject {
    /// The process, dead or alive; not one that was waited for.
    pub(super) fn process(&self) -> SysResult<Arc<Process>> {
        let process = self.process.upgrade().ok_or(Errno::ESRCH)?;
        match process.kernel.pids.process(process.pid) {
            Some(known) if Arc::ptr_eq(&known, &process) => Ok(process),
            _ => Err(Errno::ESRCH),
        }
    }

    /// The thread, or for a process one that has not ended, the first before all others.
    pub(super) fn thread(&self) -> SysResult<Arc<Thread>> {
        let process = self.process.upgrade().ok_or(Errno::ESRCH)?;
        let thread = process.thread(self.tid.unwrap_or(process.pid));
        let any = || process.threads().into_iter().next();
        thread.or_else(|| if self.tid.is_none() { any() } else { None }).ok_or(Errno::ESRCH)
    }
}

/// The directory of `process`, which tells of processes by `numbers`.
pub(super) fn directory(process: &Arc<Process>, numbers: Arc<PidNamespace>) -> What {
    let subject = Subject { process: Arc::downgrade(process), numbers, tid: None };
    What::Directory(Arc::new(ProcessDirectory(subject)))
}

struct ProcessDirectory(Subject);

impl ProcessDirectory {
    fn table(&self) -> Table<Subject> {
        Table { context: self.0.clone(), entries: ENTRIES, prefix: "" }
    }
}

impl Directory for ProcessDirectory {
    fn links(&self) -> u32 {
        let names = self.list().unwrap_or_default();
        let below = names.iter().filter(|(_, kind)| *kind == FileType::Directory);
        u32::try_from(below.count()).map_or(2, |count| count + 2)
    }

    fn list(&self) -> SysResult<Vec<(Vec<u8>, FileType)>> {
        let mut names = self.table().list()?;
        names.push(match self.0.tid {
            None => (b"task".to_vec(), FileType::Directory),
            Some(_) => (b"children".to_vec(), FileType::Regular),
        });
        Ok(names)
    }

    fn find(&self, name: &[u8]) -> SysResult<What> {
        match (name, self.0.tid) {
            (b"task", None) => Ok(What::Directory(Arc::new(Tasks(self.0.clone())))),
            (b"children", Some(tid)) => Ok(children(&self.0, tid)),
            _ => self.table().find(name),
        }
    }

    fn process(&self) -> Option<Weak<Process>> {
        self.0.tid.is_none().then(|| Weak::clone(&self.0.process))
    }

    fn subject(&self) -> Option<Weak<Process>> {
        Some(Weak::clone(&self.0.process))
    }
}

const ENTRIES: &[Row<Subject>] = &[
    ("auxv", |s| bytes(s, |thread| Ok(thread.memory.image().auxv)).private()),
    ("cgroup", |_| What::fixed("0::/\n")),
    ("cmdline", cmdline),
    ("comm", comm),
    ("coredump_filter", |_| What::fixed("00000033\n")),
    ("cpuset", |_| What::fixed("/\n")),
    ("cwd", |s| jump(s, |thread| Ok(thread.fs.read_recursive().cwd.clone()))),
    ("environ", |s| {
        bytes(s, |thread| strings(thread, thread.memory.image().environment)).private()
    }),
    // The file itself, wherever it has gone since.
    ("exe", |s| jump(s, |thread| thread.memory.program().ok_or(Errno::ENOENT)?.place())),
    ("fd", |s| What::Directory(Arc::new(Fds(s.clone(), false)))),
    ("fdinfo", |s| What::Directory(Arc::new(Fds(s.clone(), true)))),
    ("gid_map", |s| id_map(s, IdKind::Group)),
    ("io", |_| {
        What::fixed(
            "rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n",
        )
        .private()
    }),
    ("limits", |s| text(s, limits)),
    ("loginuid", login::user),
    ("maps", |s| text(s, |thread| Ok(maps::maps(thread, false)))),
    ("mem", |s| What::Special(Arc::new(Memory(s.process.clone())))),
    ("mountinfo", |s| text(s, |thread| Ok(mounts(thread, true)))),
    ("mounts", |s| text(s, |thread| Ok(mounts(thread, false)))),
    ("net", net::directory),
    ("ns", |s| What::Directory(Arc::new(NamespaceLinks(s.clone())))),
    ("oom_adj", oom::old_adjustment),
    ("oom_score", |s| text(s, |thread| Ok(oom::score(thread)))),
    ("oom_score_adj", oom::adjustment),
    ("personality", |s| {
        text(s, |thread| Ok(format!("{:08x}\n", thread.attributes.lock().personality))).private()
    }),
    ("projid_map", |s| id_map(s, IdKind::Project)),
    ("root", |s| jump(s, |thread| Ok(thread.fs.read_recursive().root.clone()))),
    ("sessionid", login::session),
    ("setgroups", setgroups),
    ("smaps", |s| text(s, |thread| Ok(maps::maps(thread, true)))),
    ("smaps_rollup", |s| text(s, |thread| Ok(maps::rollup(thread)))),
    ("stat", stat),
    ("statm", |s| text(s, statm)),
    ("status", |s| {
        let subject = s.clone();
        What::of_ids(move |reader| match subject.thread() {
            Ok(thread) => status(&thread, &subject.numbers, reader),
            Err(_) => Ok(status_of_dead(&*subject.process()?, &subject.numbers, reader)),
        })
    }),
    ("timerslack_ns", |s| {
        text(s, |thread| Ok(format!("{}\n", thread.attributes.lock().timer_slack)))
    }),
    ("uid_map", |s| id_map(s, IdKind::User)),
    ("wchan", |_| What::fixed("0")),
];

/// A map of the process's namespace of users.
fn id_map(subject: &Subject, kind: IdKind) -> What {
    let subject = subject.clone();
    let open = move |_, cred: &Arc<Credentials>| -> SysResult<(Text, Option<SinkAt>)> {
        let users = subject.process()?.user_namespace();
        let (of, reader) = (users.clone(), cred.namespace.clone());
        let text: Text = Arc::new(move || Ok(of.map_text(kind, &reader).into_bytes()));
        let opener = Arc::clone(cred);
        let sink: SinkAt = Arc::new(move |at, text| users.write_map(kind, &opener, at, text));
        Ok((text, Some(sink)))
    };
    What::Seen(0o644, Arc::new(open))
}

/// Whether members of the process's namespace of users may call setgroups(2).
fn setgroups(subject: &Subject) -> What {
    let subject = subject.clone();
    let open = move |flags: u32, cred: &Arc<Credentials>| {
        let users = subject.process()?.user_namespace();
        let writes = flags & raw::O_ACCMODE != raw::O_RDONLY;
        if writes && !cred.has_in(&users, Capabilities::SYS_ADMIN) {
            return Err(Errno::EACCES);
        }
        let of = users.clone();
        let text: Text = Arc::new(move || {
            Ok(if of.allows_setgroups() { b"allow\n".to_vec() } else { b"deny\n".to_vec() })
        });
        let sink: SinkAt = Arc::new(move |at, text| users.write_setgroups(at, text));
        Ok((text, Some(sink)))
    };
    What::Seen(0o644, Arc::new(open))
}

fn bytes(
    subject: &Subject,
    make: impl Fn(&Thread) -> SysResult<Vec<u8>> + Send + Sync + 'static,
) -> What {
    let subject = subject.clone();
    What::text(move || make(&*subject.thread()?))
}

pub(super) fn text(
    subject: &Subject,
    make: impl Fn(&Thread) -> SysResult<String> + Send + Sync + 'static,
) -> What {
    bytes(subject, move |thread| Ok(make(thread)?.into_bytes()))
}

fn cmdline(subject: &Subject) -> What {
    let subject = subject.clone();
    What::text(move || match subject.thread() {
        Ok(thread) => strings(&thread, thread.memory.image().arguments),
        Err(_) => match subject.process()?.is_init() {
            true => Ok([init::NAME, b"\0"].concat()),
            false => Ok(Vec::new()),
        },
    })
}

/// The processes that a thread has made and nobody has waited for.
fn children(subject: &Subject, tid: i32) -> What {
    let subject = subject.clone();
    What::text(move || {
        let process = subject.process()?;
        let mut list = String::new();
        for child in process.kernel.pids.children(process.pid, Some(tid)) {
            let _ = write!(list, "{} ", subject.numbers.shown(child));
        }
        Ok(list.into_bytes())
    })
}

fn jump(
    subject: &Subject,
    place: impl Fn(&Thread) -> SysResult<Path> + Send + Sync + Clone + 'static,
) -> What {
    let (subject, again, place_again) = (subject.clone(), subject.clone(), place.clone());
    What::Jump(
        Arc::new(move || {
            let thread = subject.thread()?;
            let root = thread.fs.read_recursive().root.clone();
            Ok(place(&thread)?.to_bytes(&root))
        }),
        Arc::new(move || place_again(&*again.thread()?)),
    )
}

fn comm(subject: &Subject) -> What {
    let (subject, again) = (subject.clone(), subject.clone());
    What::File(
        Arc::new(move || {
            let mut name = match subject.thread() {
                Ok(thread) => thread.name(),
                Err(_) => subject.process()?.object.name_bytes(),
            };
            name.push(b'\n');
            Ok(name)
        }),
        Some(Arc::new(move |name| {
            let name = name.strip_suffix(b"\n").unwrap_or(name);
            again.thread()?.set_name(&name[..name.len().min(15)]);
            Ok(())
        })),
    )
}

fn strings(thread: &Thread, range: std::ops::Range<u64>) -> SysResult<Vec<u8>> {
    let len = range.end.saturating_sub(range.start).min(MAX_STRINGS);
    let mut text = vec![0; len as usize];
    thread.memory.read_bytes(range.start, &mut text)?;
    Ok(text)
}

fn mask(set: SigSet) -> u64 {
    set.iter().fold(0, |mask, signal| mask | 1 << signal.index())
}

fn limits(thread: &Thread) -> SysResult<String> {
    const ROWS: [(&str, &str); 16] = [
        ("Max cpu time", "seconds"),
        ("Max file size", "bytes"),
        ("Max data size", "bytes"),
        ("Max stack size", "bytes"),
        ("Max core file size", "bytes"),
        ("Max resident set", "bytes"),
        ("Max processes", "processes"),
        ("Max open files", "files"),
        ("Max locked memory", "bytes"),
        ("Max address space", "bytes"),
        ("Max file locks", "locks"),
        ("Max pending signals", "signals"),
        ("Max msgqueue size", "bytes"),
        ("Max nice priority", ""),
        ("Max realtime priority", ""),
        ("Max realtime timeout", "us"),
    ];
    let mut out = String::new();
    let _ =
        writeln!(out, "{:<25} {:<20} {:<20} {:<10}", "Limit", "Soft Limit", "Hard Limit", "Units");
    let limits = thread.process.limits.read();
    let show = |value: u64| match value {
        u64::MAX => "unlimited".to_owned(),
        value => value.to_string(),
    };
    for (number, (name, unit)) in (0..).zip(ROWS) {
        let limit = limits.by_number(number)?;
        let _ = writeln!(
            out,
            "{name:<25} {:<20} {:<20} {unit:<10}",
            show(limit.soft),
            show(limit.hard)
        );
    }
    Ok(out)
}

/// Bytes mapped, and those of them that are in memory.
fn sizes(thread: &Thread) -> (u64, u64) {
    (thread.memory.vmar().mapped_bytes(), thread.memory.resident_bytes())
}

fn statm(thread: &Thread) -> SysResult<String> {
    let (size, resident) = sizes(thread);
    Ok(format!("{} {} 0 0 0 {} 0\n", size / 4096, resident / 4096, size / 4096))
}

/// The letter of a process's state, as in /proc/PID/stat.
pub(crate) fn state_letter(process: &Process) -> char {
    match process.threads().first() {
        Some(thread) => state(thread).0,
        None => threadless_state(process).0,
    }
}

/// The state of a process without threads: one that was not waited for, or init, which waits.
fn threadless_state(process: &Process) -> (char, &'static str) {
    if process.is_init() { ('S', "sleeping") } else { ('Z', "zombie") }
}

/// What stat shows of a process without threads.
fn stat_of_dead(process: &Process, numbers: &PidNamespace) -> Vec<u8> {
    let mut out = format!("{} (", numbers.shown(process.pid)).into_bytes();
    out.extend_from_slice(&process.object.name_bytes());
    let started = ticks(process.started.saturating_sub(process.kernel.started));
    let rest = format!(
        ") {} {} {} {} 0 -1 {} 0 0 0 0 {} 0 {} 0 20 0 1 0 {started} 0 0 {} 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 {}\n",
        threadless_state(process).0,
        numbers.shown(process.ppid()),
        numbers.shown(process.pgid()),
        numbers.shown(process.sid()),
        // PF_EXITING for the dead.
        if process.is_init() { 4_194_304 } else { 4_194_316 },
        ticks(process.usage().cpu),
        ticks(process.children_usage().cpu),
        process.limit(crate::process::Resource::AddressSpace),
        process.wait_status(),
    );
    out.extend_from_slice(rest.as_bytes());
    out
}

fn status_of_dead(process: &Process, numbers: &PidNamespace, reader: &UserNamespace) -> String {
    let (users, groups) = {
        let ids = process.ids.lock();
        let user = |user| reader.shown_user(user);
        (ids.users.map(user), ids.groups.map(|group| reader.shown_group(group)))
    };
    let (state, word) = threadless_state(process);
    let join =
        |[real, effective, saved]: [u32; 3]| format!("{real}\t{effective}\t{saved}\t{effective}");
    format!(
        "Name:\t{}\nState:\t{state} ({word})\nTgid:\t{pid}\nNgid:\t0\nPid:\t{pid}\nPPid:\t{}\nTracerPid:\t0\n\
         Uid:\t{}\nGid:\t{}\nFDSize:\t0\nThreads:\t1\n",
        String::from_utf8_lossy(&process.object.name_bytes()),
        numbers.shown(process.ppid()),
        join(users),
        join(groups),
        pid = numbers.shown(process.pid),
    )
}

fn stat(subject: &Subject) -> What {
    let whole = subject.tid.is_none();
    let subject = subject.clone();
    What::text(move || {
        let Ok(thread) = subject.thread() else {
            return Ok(stat_of_dead(&*subject.process()?, &subject.numbers));
        };
        let numbers = &subject.numbers;
        let thread = &*thread;
        let process = &thread.process;
        let (id, cpu) = match whole {
            true => (numbers.shown(process.pid), process.object.runtime()),
            false => (numbers.shown(thread.tid), thread.cpu_time()),
        };
        let (size, resident) = sizes(thread);
        let image = thread.memory.image();
        let (ignored, caught) = process.signals.actions().summary();
        let scheduling = thread.attributes.lock().scheduling;
        let nice = scheduling.nice;
        let terminal = process.terminal();
        let mut out = format!("{id} (").into_bytes();
        out.extend_from_slice(&thread.name());
        let started = ticks(process.started.saturating_sub(process.kernel.started));
        let rest = format!(
            ") {} {} {} {} {} {} 4194304 0 0 0 0 {} 0 {} 0 {} {nice} {} 0 {started} {size} {} {} 1 1 {} 0 0 {} {} {} {} 0 0 0 17 {} {} {} 0 0 0 0 0 0 {} {} {} {} 0\n",
            state(thread).0,
            numbers.shown(process.ppid()),
            numbers.shown(process.pgid()),
            numbers.shown(process.sid()),
            terminal.as_ref().map_or(0, |terminal| terminal.device().0 as u32),
            terminal
                .as_ref()
                .map_or(-1, |terminal| { numbers.shown(terminal.foreground().unwrap_or(0)) }),
            ticks(cpu),
            ticks(process.children_usage().cpu),
            // Linux's own scale: below 0 what is realtime.
            if scheduling.is_realtime() { -1 - scheduling.priority as i32 } else { 20 + nice },
            process.object.thread_count(),
            resident / 4096,
            process.limit(crate::process::Resource::AddressSpace),
            image.stack.end,
            mask(thread.signals.pending()),
            mask(thread.signals.mask()),
            mask(ignored),
            mask(caught),
            thread.object.stats().ok().and_then(|stats| stats.last_scheduled_cpu).unwrap_or(0),
            scheduling.priority,
            scheduling.policy,
            image.arguments.start,
            image.arguments.end,
            image.environment.start,
            image.environment.end,
        );
        out.extend_from_slice(rest.as_bytes());
        Ok(out)
    })
}

/// What the thread is doing: the letter and the word of proc_pid_stat(5).
fn state(thread: &Thread) -> (char, &'static str) {
    if thread.tracee().is_some_and(|tracee| tracee.has_stopped()) {
        return ('t', "tracing stop");
    }
    if thread.process.stop.is_stopped() {
        return ('T', "stopped");
    }
    match thread.object.info().state {
        ThreadState::New | ThreadState::Running => ('R', "running"),
        ThreadState::Blocked(BlockedReason::Pager) => ('D', "disk sleep"),
        ThreadState::Blocked(_) => ('S', "sleeping"),
        ThreadState::Suspended => ('T', "stopped"),
        ThreadState::Dying | ThreadState::Dead => ('X', "dead"),
    }
}

fn status(thread: &Thread, numbers: &PidNamespace, reader: &UserNamespace) -> SysResult<String> {
    let process = &thread.process;
    let (size, resident) = sizes(thread);
    let (size, resident) = (size / 1024, resident / 1024);
    let locked = thread.memory.locked_bytes() / 1024;
    let (ignored, caught) = process.signals.actions().summary();
    let (umask, cred) = {
        let fs = thread.fs.read_recursive();
        (fs.umask, fs.cred.clone())
    };
    let ids = process.ids.lock().clone();
    let join = |ids: &[u32], last: u32, shown: &dyn Fn(u32) -> u32| {
        let all = ids.iter().chain([&last]).map(|&id| shown(id).to_string());
        all.collect::<Vec<_>>().join("\t")
    };
    let mut others = String::new();
    for group in &cred.groups {
        let _ = write!(others, "{} ", reader.shown_group(*group));
    }
    let inwards = |number| {
        let shown = process.pid_namespace.shown_from(numbers, number);
        shown.iter().map(|number| format!("\t{number}")).collect::<String>()
    };
    if others.is_empty() {
        others.push(' ');
    }
    let attributes = thread.attributes.lock().clone();
    let affinity = attributes.scheduling.affinity;
    let cpus = process.kernel.cpus.count();
    Ok(format!(
        "Name:\t{}\nUmask:\t{umask:04o}\nState:\t{} ({})\nTgid:\t{}\nNgid:\t0\nPid:\t{}\nPPid:\t{}\nTracerPid:\t{}\n\
         Uid:\t{}\nGid:\t{}\nFDSize:\t{}\nGroups:\t{others}\nNStgid:{}\nNSpid:{}\nNSpgid:{}\nNSsid:{}\n\
         VmPeak:\t{size:>8} kB\nVmSize:\t{size:>8} kB\nVmLck:\t{locked:>8} kB\nVmHWM:\t{resident:>8} kB\nVmRSS:\t{resident:>8} kB\n\
         VmData:\t{size:>8} kB\nVmStk:\t{:>8} kB\nVmExe:\t       0 kB\nVmLib:\t       0 kB\nVmPTE:\t       0 kB\nVmSwap:\t       0 kB\n\
         Threads:\t{}\nSigQ:\t{}/{}\nSigPnd:\t{:016x}\nShdPnd:\t{:016x}\nSigBlk:\t{:016x}\nSigIgn:\t{:016x}\nSigCgt:\t{:016x}\n\
         CapInh:\t{:016x}\nCapPrm:\t{:016x}\nCapEff:\t{:016x}\nCapBnd:\t{:016x}\nCapAmb:\t{:016x}\nNoNewPrivs:\t{}\nSeccomp:\t0\n\
         Cpus_allowed:\t{}\nCpus_allowed_list:\t{}\nMems_allowed:\t1\nMems_allowed_list:\t0\n\
         voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n",
        String::from_utf8_lossy(&thread.name()),
        state(thread).0,
        state(thread).1,
        numbers.shown(process.pid),
        numbers.shown(thread.tid),
        numbers.shown(process.ppid()),
        numbers.shown(Tracee::tracer_of(thread)),
        join(&ids.users, cred.fsuid, &|user| reader.shown_user(user)),
        join(&ids.groups, cred.fsgid, &|group| reader.shown_group(group)),
        thread.files.numbers().len().next_multiple_of(64).max(64),
        inwards(process.pid),
        inwards(thread.tid),
        inwards(process.pgid()),
        inwards(process.sid()),
        (image_stack(thread)) / 1024,
        process.object.thread_count(),
        process.signals.queued(),
        process.limit(crate::process::Resource::PendingSignals),
        mask(thread.signals.pending()),
        mask(process.signals.pending()),
        mask(thread.signals.mask()),
        mask(ignored),
        mask(caught),
        ids.inheritable.bits(),
        ids.permitted.bits(),
        cred.caps.bits(),
        attributes.bounding.bits(),
        ids.ambient.bits(),
        u8::from(attributes.no_new_privs),
        cpu_mask(affinity, cpus),
        cpu_list(affinity),
    ))
}

/// A set of CPUs in hexadecimal, with a comma before the last 32 of more: as wide as the machine has CPUs.
fn cpu_mask(set: u64, cpus: usize) -> String {
    let digits = |bits: usize| bits.div_ceil(4).max(1);
    match cpus {
        0..=32 => format!("{set:0width$x}", width = digits(cpus)),
        _ => {
            let (high, low) = (set >> 32, set & 0xffff_ffff);
            format!("{high:0width$x},{low:08x}", width = digits(cpus.min(64) - 32))
        }
    }
}

/// A set of CPUs as numbers and ranges.
fn cpu_list(set: u64) -> String {
    let mut list = String::new();
    let mut at = 0;
    while let Some(rest) = set.checked_shr(at).filter(|&rest| rest != 0) {
        let first = at + rest.trailing_zeros();
        let last = first + (set >> first).trailing_ones() - 1;
        let comma = if list.is_empty() { "" } else { "," };
        let _ = match first == last {
            true => write!(list, "{comma}{first}"),
            false => write!(list, "{comma}{first}-{last}"),
        };
        at = last + 1;
    }
    list
}

fn image_stack(thread: &Thread) -> u64 {
    let stack = thread.memory.image().stack;
    stack.end.saturating_sub(stack.start)
}

fn mounts(thread: &Thread, info: bool) -> String {
    let root = thread.fs.read_recursive().root.clone();
    let mut out = String::new();
    for mount in root.mount().tree() {
        let place = Path::root_of(&mount);
        if !place.is_within(&root) {
            continue;
        }
        let place = place.to_bytes(&root);
        let place = String::from_utf8_lossy(&place).replace(' ', "\\040");
        let fs = mount.superblock().fs();
        let options = mount.flags().options();
        let kind = fs.type_name();
        let special = fs.options();
        if info {
            let parent = mount.mount_point().map_or(0, |place| place.mount().id());
            let device = fs.device();
            let _ = writeln!(
                out,
                "{} {parent} {}:{} {} {place} {options} - {kind} {} rw{special}",
                mount.id(),
                device.major(),
                device.minor(),
                String::from_utf8_lossy(&mount.shown()).replace(' ', "\\040"),
                mount.source(),
            );
        } else {
            let _ = writeln!(out, "{} {place} {kind} {options}{special} 0 0", mount.source());
        }
    }
    out
}

/// The threads of a process.
struct Tasks(Subject);

impl Directory for Tasks {
    fn links(&self) -> u32 {
        // Programs ask so whether they have other threads.
        let threads = self.0.process().map_or(0, |process| process.object.thread_count());
        u32::try_from(threads).map_or(2, |count| count.saturating_add(2))
    }

    fn list(&self) -> SysResult<Vec<(Vec<u8>, FileType)>> {
        let threads = self.0.process()?.threads();
        let name = |thread: &Arc<Thread>| self.0.numbers.shown(thread.tid).to_string().into_bytes();
        Ok(threads.iter().map(|thread| (name(thread), FileType::Directory)).collect())
    }

    fn find(&self, name: &[u8]) -> SysResult<What> {
        let tid = super::number(name).and_then(|number| self.0.numbers.meant(number));
        let tid = tid.ok_or(Errno::ENOENT)?;
        self.0.process()?.thread(tid).ok_or(Errno::ENOENT)?;
        let subject = Subject { tid: Some(tid), ..self.0.clone() };
        Ok(What::Directory(Arc::new(ProcessDirectory(subject))))
    }
}

/// The descriptors of a process: links to what they name, or texts about them.
struct Fds(Subject, bool);

impl Directory for Fds {
    fn mode(&self) -> u32 {
        if self.1 { 0o555 } else { 0o500 }
    }

    fn list(&self) -> SysResult<Vec<(Vec<u8>, FileType)>> {
        let kind = if self.1 { FileType::Regular } else { FileType::Symlink };
        let numbers = self.0.thread()?.files.numbers();
        Ok(numbers.into_iter().map(|fd| (fd.0.to_string().into_bytes(), kind)).collect())
    }

    fn find(&self, name: &[u8]) -> SysResult<What> {
        let fd = match name {
            b"0" => Fd(0),
            _ => Fd(super::number(name).ok_or(Errno::ENOENT)?),
        };
        let subject = self.0.clone();
        // It must exist now; what it is, is asked again later.
        subject.thread()?.files.get_any(fd).map_err(|_| Errno::ENOENT)?;
        if self.1 {
            let numbers = Arc::clone(&subject.numbers);
            return Ok(text(&subject, move |thread| {
                let file = thread.files.get_any(fd).map_err(|_| Errno::ENOENT)?;
                let mount = file.path().map_or(0, |path| path.mount().id());
                let more = file.special().map_or(String::new(), |file| file.fdinfo(&numbers));
                let (at, flags) = (file.position(), file.flags());
                Ok(format!("pos:\t{at}\nflags:\t0{flags:o}\nmnt_id:\t{mount}\nino:\t0\n{more}"))
            }));
        }
        let again = subject.clone();
        Ok(What::Jump(
            Arc::new(move || {
                let thread = subject.thread()?;
                let root = thread.fs.read_recursive().root.clone();
                Ok(thread.files.get_any(fd).map_err(|_| Errno::ENOENT)?.link_text(&root))
            }),
            Arc::new(move || {
                let file = again.thread()?.files.get_any(fd).map_err(|_| Errno::ENOENT)?;
                file.place()
            }),
        ))
    }
}
