//! What processes of the host use, as proc(5) tells: the kernel's, with its stubs, and those that it is compared with.

use std::fs;

/// A process and all below it, by number.
pub fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(&pid) = all.get(at) {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        at += 1;
    }
    all
}

/// Bytes of memory that a family has, a page that several have counted in parts.
pub fn memory(pid: u32) -> f64 {
    let of = |pid| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    family(pid).into_iter().map(|pid| kilobytes(&of(pid), "Pss:")).sum()
}

/// Bytes that the host's own kernel has in objects.
pub fn slab() -> f64 {
    kilobytes(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "Slab:")
}

/// Seconds of CPU time that a family has used.
pub fn cpu_time(pid: u32) -> f64 {
    family(pid).into_iter().map(cpu_time_of).sum()
}

fn cpu_time_of(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    // The user's and the system's are 11 and 12 words after the state, in ticks of 10 ms.
    let ticks = after.split_whitespace().skip(11).take(2);
    ticks.filter_map(|word| word.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The bytes in the line of `text` that begins with `name`.
fn kilobytes(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    number.unwrap_or(0.0) * 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_and_uses_time() {
        let me = std::process::id();
        assert!(family(me).contains(&me) && memory(me) > 100_000.0 && slab() > 0.0);
        let before = cpu_time_of(me);
        while cpu_time_of(me) < before + 0.02 {}
    }

    #[test]
    fn lines_are_found_by_their_names() {
        assert_eq!(kilobytes("Rss: 9 kB\nPss:   12 kB\n", "Pss:"), 12288.0);
        assert_eq!(kilobytes("", "Pss:"), 0.0);
    }
}
