//! Facts about the host: what firmware tables and CPU registers tell a kernel.

use std::{
    fs::File,
    io::{self, Read},
    sync::OnceLock,
};

use nix::{
    sched::{CpuSet, sched_getaffinity},
    sys::utsname::uname,
    unistd::Pid,
};

/// The instruction set's name for library paths (AT_PLATFORM).
pub const PLATFORM: &str = "x86_64";

/// How many CPUs the host lets this process run on; at least 1.
pub fn online_cpus() -> usize {
    // Not `available_parallelism`, which reads half a dozen files about cgroups first.
    match sched_getaffinity(Pid::from_raw(0)) {
        Ok(set) => (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu) == Ok(true)).count().max(1),
        Err(_) => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// The host's `/proc/NAME`, for the few texts that a guest should see as the host has them: `cpuinfo`, `meminfo`,
/// `loadavg`, `version`, …
pub fn proc_text(name: &str) -> io::Result<Vec<u8>> {
    // Such files have no size: with room for all of it there is one read, and one that finds the end.
    let mut bytes = Vec::with_capacity(16 << 10);
    File::open(format!("/proc/{name}"))?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The mappings of this process when it was asked for the first time, as `/proc/self/maps` has them.
pub(crate) fn first_mappings() -> &'static str {
    static MAPPINGS: OnceLock<String> = OnceLock::new();
    MAPPINGS.get_or_init(|| {
        let bytes = proc_text("self/maps").unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// `/proc/cpuinfo`.
pub fn cpuinfo() -> io::Result<Vec<u8>> {
    proc_text("cpuinfo")
}

/// `/proc/meminfo`.
pub fn meminfo() -> io::Result<Vec<u8>> {
    proc_text("meminfo")
}

/// `/proc/loadavg`.
pub fn loadavg() -> io::Result<Vec<u8>> {
    proc_text("loadavg")
}

/// The host's memory, in bytes: all, and what is available without swapping; zeroes when the host does not say.
pub fn memory() -> (u64, u64) {
    let text = meminfo().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let field = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = rest.trim_start_matches(':').trim().strip_suffix(" kB")?.parse().ok()?;
        kib.checked_mul(1024)
    };
    (field("MemTotal").unwrap_or(0), field("MemAvailable").unwrap_or(0))
}

/// What `uname(2)` says on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uname {
    /// `Linux`.
    pub sysname: String,
    /// The host's name.
    pub nodename: String,
    /// The kernel's release.
    pub release: String,
    /// The kernel's build.
    pub version: String,
    /// The instruction set.
    pub machine: String,
}

/// `uname(2)`.
pub fn host_uname() -> io::Result<Uname> {
    let names = uname()?;
    let text = |name: &std::ffi::OsStr| name.to_string_lossy().into_owned();
    Ok(Uname {
        sysname: text(names.sysname()),
        nodename: text(names.nodename()),
        release: text(names.release()),
        version: text(names.version()),
        machine: text(names.machine()),
    })
}

/// The processor's features as programs are told them (AT_HWCAP): CPUID leaf 1, edx.
pub fn hwcap() -> u64 {
    auxiliary(libc::AT_HWCAP)
}

/// More features (AT_HWCAP2); bit 1 says that user code may use `wrfsbase`.
pub fn hwcap2() -> u64 {
    auxiliary(libc::AT_HWCAP2)
}

/// Bytes that a signal frame needs on the stack (AT_MINSIGSTKSZ): the vector state is the larger part of it.
pub fn min_signal_stack() -> u64 {
    match auxiliary(libc::AT_MINSIGSTKSZ) {
        // Hosts before Linux 5.14 do not say; this is what theirs have room for.
        0 => 8192,
        bytes => bytes,
    }
}

/// Ticks of `times(2)` in a second (AT_CLKTCK).
pub fn clock_ticks() -> u64 {
    auxiliary(libc::AT_CLKTCK)
}

/// An entry of the auxiliary vector that the host gave this process; 0 when there is none.
fn auxiliary(kind: u64) -> u64 {
    static VECTOR: OnceLock<Vec<(u64, u64)>> = OnceLock::new();
    // Not getauxval(3): glibc answers AT_HWCAP with flags of its own.
    let vector = VECTOR.get_or_init(|| {
        let bytes = proc_text("self/auxv").unwrap_or_default();
        let (words, _) = bytes.as_chunks::<8>();
        let (pairs, _) = words.as_chunks::<2>();
        pairs
            .iter()
            .map(|pair| (u64::from_ne_bytes(pair[0]), u64::from_ne_bytes(pair[1])))
            .collect()
    });
    vector.iter().find(|entry| entry.0 == kind).map_or(0, |entry| entry.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_an_x86_64_processor() {
        // Bit 0 is the FPU and bit 26 SSE2: no x86-64 is without.
        assert_eq!(hwcap() & (1 | 1 << 26), 1 | 1 << 26);
        // The x87 and SSE state alone takes 512 bytes; how much more there is depends on the processor.
        assert!(min_signal_stack() > 512);
    }

    #[test]
    fn the_host_tells_its_facts() {
        assert!(online_cpus() >= 1);
        assert!(!cpuinfo().unwrap().is_empty() && !loadavg().unwrap().is_empty());
        let (total, available) = memory();
        assert!(total >= available && available > 0);
        let names = host_uname().unwrap();
        assert_eq!((names.sysname.as_str(), names.machine.as_str()), ("Linux", PLATFORM));
        assert!(clock_ticks() == 100);
    }
}
