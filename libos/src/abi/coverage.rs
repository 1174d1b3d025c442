//! Coverage pages: which calls of an ABI are there, made from its table.
//!
//! The one idea: the page is a function of the table, and a test compares it with the checked-in copy.

use std::fmt::Write;

use super::table::{Coverage, Entry};

/// A page in Markdown: `head`, then how many calls there are of each kind and a line for each of `table`.
pub fn page(head: &str, table: &[Entry]) -> String {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|entry| entry.number);
    let count = |wanted: fn(&Coverage) -> bool| {
        entries.iter().filter(|entry| wanted(&entry.coverage)).count()
    };
    let mut page = String::from(head);
    let _ = writeln!(
        page,
        "\n{} full, {} partial, {} absent.\n\n| number | name | coverage |\n|---:|---|---|",
        count(|coverage| *coverage == Coverage::Full),
        count(|coverage| matches!(coverage, Coverage::Partial(_))),
        count(|coverage| matches!(coverage, Coverage::Absent(_))),
    );
    for entry in entries {
        let _ = match entry.coverage {
            Coverage::Full => writeln!(page, "| {} | {} | full |", entry.number, entry.name),
            Coverage::Partial(missing) => {
                writeln!(page, "| {} | {} | partial: {missing} |", entry.number, entry.name)
            }
            Coverage::Absent("") => {
                writeln!(page, "| {} | {} | absent |", entry.number, entry.name)
            }
            Coverage::Absent(why) => {
                writeln!(page, "| {} | {} | absent: {why} |", entry.number, entry.name)
            }
        };
    }
    page
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{env, fs, path::Path};

    /// Fails unless `docs/NAME` is `page`; writes it first if `UPDATE_DOCS` is set.
    pub(crate) fn assert_current(name: &str, page: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
        if env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, page).expect("the page is writable");
        }
        let checked_in = fs::read_to_string(&path).expect("the page exists");
        assert!(
            checked_in == page,
            "docs/{name} is stale: UPDATE_DOCS=1 cargo test -p libos coverage"
        );
    }
}
