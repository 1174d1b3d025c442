//! The files of /proc that tell what a process has mapped: maps, smaps, smaps_rollup.
//!
//! The one idea: what is in memory is asked of the objects that are mapped, when it is asked of us. Who else has a page is not known, so what is private counts as its owner's,
//! and what is shared as everybody's.

use std::fmt::Write;

use hal::aspace::Prot;
use kernel_objects::{MappingFlags, vmar::Mapping};

use crate::{memory::UserMemory, process::Thread, vfs::mapped_name::MappedName};

/// The name, device and inode number that a mapping shows.
fn mapped(memory: &UserMemory, mapping: &Mapping) -> (Vec<u8>, u64, u64) {
    if let Some(cookie) = mapping.vmo.cookie()
        && let Some(name) = cookie.downcast_ref::<MappedName>()
    {
        return (name.path.clone(), name.device.0, name.ino);
    }
    let stack = memory.image().stack;
    let name: &[u8] = if mapping.range.contains(&stack.end.wrapping_sub(1)) {
        b"[stack]"
    } else if memory.heap().contains(&mapping.range.start) {
        b"[heap]"
    } else {
        b""
    };
    (name.to_vec(), 0, 0)
}

pub(super) fn maps(thread: &Thread, detailed: bool) -> String {
    let memory = &thread.memory;
    let mut out = String::new();
    for mapping in memory.vmar().mappings() {
        let flag = |has, letter| if has { letter } else { '-' };
        let shared = if mapping.flags.contains(MappingFlags::PRIVATE) { 'p' } else { 's' };
        let (name, device, ino) = mapped(memory, &mapping);
        let base = mapping.vmo.behind().map_or(0, |(_, offset)| offset);
        let offset = if ino == 0 { 0 } else { base + mapping.vmo_offset };
        let device = crate::vfs::DeviceNumber(device);
        let line = format!(
            "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {} ",
            mapping.range.start,
            mapping.range.end,
            flag(mapping.perms.contains(Prot::READ), 'r'),
            flag(mapping.perms.contains(Prot::WRITE), 'w'),
            flag(mapping.perms.contains(Prot::EXEC), 'x'),
            shared,
            offset,
            device.major(),
            device.minor(),
            ino,
        );
        if name.is_empty() {
            let _ = writeln!(out, "{line}");
        } else {
            let _ = writeln!(out, "{line:<73}{}", String::from_utf8_lossy(&name));
        }
        if detailed {
            let counts = Counts::of(thread, &mapping);
            counts.write(&mut out, true);
        }
    }
    out
}

/// What smaps counts, in KiB.
#[derive(Clone, Copy, Default)]
struct Counts {
    size: u64,
    resident: u64,
    shared: u64,
    dirty: u64,
}

impl Counts {
    fn of(thread: &Thread, mapping: &Mapping) -> Self {
        let resident = thread.memory.vmar().resident(mapping.range.clone());
        let resident = resident.iter().map(|part| part.end - part.start).sum::<u64>() / 1024;
        let private = mapping.flags.contains(MappingFlags::PRIVATE);
        let dirty = private && mapping.perms.contains(Prot::WRITE);
        Self {
            size: (mapping.range.end - mapping.range.start) / 1024,
            resident,
            shared: if private { 0 } else { resident },
            dirty: if dirty { resident } else { 0 },
        }
    }

    fn add(&mut self, other: Self) {
        self.size += other.size;
        self.resident += other.resident;
        self.shared += other.shared;
        self.dirty += other.dirty;
    }

    /// Tells them, sizes too of a single mapping.
    fn write(self, out: &mut String, with_sizes: bool) {
        let sizes = [("Size", self.size), ("KernelPageSize", 4), ("MMUPageSize", 4)];
        let counts = [
            ("Rss", self.resident),
            ("Pss", self.resident),
            ("Shared_Clean", self.shared),
            ("Shared_Dirty", 0),
            ("Private_Clean", self.resident - self.shared - self.dirty),
            ("Private_Dirty", self.dirty),
            ("Swap", 0),
            ("SwapPss", 0),
        ];
        for (name, kib) in sizes.iter().filter(|_| with_sizes).chain(&counts) {
            let _ = writeln!(out, "{:<16}{kib:>8} kB", format!("{name}:"));
        }
    }
}

/// The sums of smaps.
pub(super) fn rollup(thread: &Thread) -> String {
    let mappings = thread.memory.vmar().mappings();
    let mut sums = Counts::default();
    for mapping in &mappings {
        sums.add(Counts::of(thread, mapping));
    }
    let start = mappings.first().map_or(0, |mapping| mapping.range.start);
    let end = mappings.last().map_or(0, |mapping| mapping.range.end);
    let line = format!("{start:08x}-{end:08x} ---p 00000000 00:00 0 ");
    let mut out = format!("{line:<73}[rollup]\n");
    sums.write(&mut out, false);
    out
}
