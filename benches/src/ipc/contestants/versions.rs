//! The versions of the contestants' crates, as the workspace's lock file has them.

static LOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"));

/// The highest version of `package` that the workspace builds with.
pub(super) fn of(package: &str) -> String {
    let name = format!("name = \"{package}\"");
    let versions = LOCK
        .split("[[package]]")
        .filter(|entry| entry.lines().any(|line| line == name))
        .filter_map(|entry| entry.lines().find_map(|line| line.strip_prefix("version = ")))
        .map(|version| version.trim_matches('"'));
    versions.last().unwrap_or("unknown").into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_lock_file_knows_the_contestants() {
        for package in ["evering", "shmipc", "iceoryx2", "tokio", "tokio-uring", "monoio"] {
            assert_ne!(super::of(package), "unknown", "{package}");
        }
        assert_eq!(super::of("no such package"), "unknown");
    }
}
