//! The coverage page docs/SYSCALLS.md, made from the table.
//!
//! The one idea: the page is a function of [`table::TABLE`], and a test compares it with the checked-in copy.

use std::fmt::Write;

use super::table::{self, Coverage};

/// The whole page in Markdown.
pub fn page() -> String {
    let mut entries: Vec<_> = table::TABLE.iter().collect();
    entries.sort_by_key(|entry| entry.number);
    let count = |wanted: fn(&Coverage) -> bool| {
        entries.iter().filter(|entry| wanted(&entry.coverage)).count()
    };
    let mut page = String::from(
        "# System calls\n\nGenerated from the table in `libos/src/syscall/table.rs` by\n\
        `UPDATE_DOCS=1 cargo test -p libos coverage`; a test fails when this page is stale. An absent call is `ENOSYS`.\n\n",
    );
    let _ = writeln!(
        page,
        "{} full, {} partial, {} absent.\n\n| number | name | coverage |\n|---:|---|---|",
        count(|coverage| *coverage == Coverage::Full),
        count(|coverage| matches!(coverage, Coverage::Partial(_))),
        count(|coverage| *coverage == Coverage::Absent),
    );
    for entry in entries {
        let _ = match entry.coverage {
            Coverage::Full => writeln!(page, "| {} | {} | full |", entry.number, entry.name),
            Coverage::Partial(missing) => {
                writeln!(page, "| {} | {} | partial: {missing} |", entry.number, entry.name)
            }
            Coverage::Absent => writeln!(page, "| {} | {} | absent |", entry.number, entry.name),
        };
    }
    page
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::*;

    #[test]
    fn the_checked_in_coverage_page_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/SYSCALLS.md");
        if env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, page()).expect("docs/SYSCALLS.md is writable");
        }
        let checked_in = fs::read_to_string(&path).expect("docs/SYSCALLS.md exists");
        assert!(
            checked_in == page(),
            "docs/SYSCALLS.md is stale: UPDATE_DOCS=1 cargo test -p libos coverage"
        );
    }
}
